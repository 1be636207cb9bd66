//! Other tools as witnesses. A test whose tool cannot be had fails.

#![allow(dead_code, reason = "each test program uses a part of it")]

use kgdb_tui::{
    base::addr::FileAddr,
    image::file::{Image, Kind},
    symbols::answer::{CfaRule, CfiRow, RegRule},
};
use std::{io::Write as _, path::Path, process::Stdio};

use crate::support::tools::tool;

/// Runs a tool and gives what it printed.
pub fn run(program: &'static str, args: &[&str]) -> String {
    let output = tool(program)
        .args(args)
        .env("LC_ALL", "C")
        .output()
        .unwrap_or_else(|why| panic!("{program}: {why}"));
    assert!(
        output.status.success(),
        "{program} {args:?}: {}",
        String::from_utf8_lossy(&output.stderr)
    );
    String::from_utf8_lossy(&output.stdout).into_owned()
}

/// Runs Python in gdb on a file; the lines it prints after `@ `.
pub fn gdb_python(path: &Path, script: &str) -> Vec<String> {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("ask.py");
    std::fs::write(&file, format!("import gdb\n{script}")).unwrap();
    let args = ["-nx", "-batch", "-x", file.to_str().unwrap(), path.to_str().unwrap()];
    let out = run("gdb", &args);
    out.lines().filter_map(|line| line.strip_prefix("@ ")).map(str::to_owned).collect()
}

/// gdb's line at each address; 0 for none.
pub fn gdb_lines(path: &Path, addrs: &[u64]) -> Vec<u32> {
    let script = format!("for a in {addrs:?}:\n  s = gdb.find_pc_line(a)\n  print('@', s.line)\n");
    let lines = gdb_python(path, &script);
    assert_eq!(lines.len(), addrs.len());
    lines.iter().map(|line| line.parse().unwrap()).collect()
}

/// A function at an address, as a witness tells it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Frame {
    pub function: String,
    pub file: String,
    /// 0 for none.
    pub line: u32,
}

/// addr2line's frames at each address of an image, from the inside out. In a
/// module its addresses count from the start of a section.
pub fn addr2line_of(path: &Path, image: &Image, addrs: &[FileAddr]) -> Vec<Vec<Frame>> {
    if image.kind() != Kind::Relocatable {
        return frames(path, None, &addrs.iter().map(|addr| addr.0).collect::<Vec<_>>());
    }
    let mut out = vec![Vec::new(); addrs.len()];
    for section in image.sections().iter().filter(|section| section.exec) {
        let inside: Vec<usize> =
            (0..addrs.len()).filter(|&at| section.contains(addrs[at])).collect();
        let offsets: Vec<u64> = inside.iter().map(|&at| addrs[at].0 - section.addr.0).collect();
        for (at, frames) in
            inside.into_iter().zip(self::frames(path, Some(&section.name), &offsets))
        {
            out[at] = frames;
        }
    }
    out
}

/// The same as text, (function, file:line), at addresses of a linked file.
pub fn addr2line(path: &Path, addrs: &[u64]) -> Vec<Vec<(String, String)>> {
    let place = |frame: &Frame| match frame.line {
        0 => format!("{}:?", frame.file),
        line => format!("{}:{line}", frame.file),
    };
    let text = |frame: Frame| (frame.function.clone(), place(&frame));
    let frames = frames(path, None, addrs);
    frames.into_iter().map(|frames| frames.into_iter().map(text).collect()).collect()
}

fn frames(path: &Path, section: Option<&str>, addrs: &[u64]) -> Vec<Vec<Frame>> {
    if addrs.is_empty() {
        return Vec::new();
    }
    let mut command = tool("addr2line");
    command.args(["-a", "-i", "-f", "-e"]).arg(path).env("LC_ALL", "C");
    if let Some(section) = section {
        command.args(["-j", section]);
    }
    // Thousands of addresses would be too long for a command line.
    let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
    let mut input = child.stdin.take().unwrap();
    let list: String = addrs.iter().map(|addr| format!("{addr:#x}\n")).collect();
    let writer = std::thread::spawn(move || input.write_all(list.as_bytes()));
    let output = child.wait_with_output().unwrap();
    writer.join().unwrap().unwrap();
    assert!(output.status.success());
    let out = String::from_utf8_lossy(&output.stdout);
    let mut answers: Vec<Vec<Frame>> = Vec::new();
    let mut lines = out.lines();
    while let Some(function) = lines.next() {
        if function.starts_with("0x") {
            answers.push(Vec::new());
            continue;
        }
        let place = lines.next().unwrap_or_default();
        let place = place.split(" (discriminator").next().unwrap_or_default();
        let (file, line) = place.rsplit_once(':').unwrap_or((place, ""));
        answers.last_mut().unwrap().push(Frame {
            function: function.to_owned(),
            file: file.replace("/./", "/"),
            line: line.parse().unwrap_or(0),
        });
    }
    assert_eq!(answers.len(), addrs.len());
    answers
}

/// One row of readelf's unwind table: from where on, the CFA, and the rules
/// of the registers that have one, by name.
pub type UnwindRow = (u64, String, Vec<(String, String)>);

/// Every unwind row of a file, by function.
pub fn unwind_rows(path: &Path) -> Vec<Vec<UnwindRow>> {
    let out = run("readelf", &["-W", "--debug-dump=frames-interp", path.to_str().unwrap()]);
    let mut functions = Vec::new();
    let mut columns: Vec<String> = Vec::new();
    let mut inside = false;
    for line in out.lines() {
        let words: Vec<&str> = line.split_whitespace().collect();
        if line.contains(" FDE ") || line.contains(" CIE ") {
            inside = line.contains(" FDE ");
            if inside {
                functions.push(Vec::new());
            }
        } else if words.first() == Some(&"LOC") {
            columns = words[2..].iter().map(|&word| word.to_owned()).collect();
        } else if inside && words.len() == columns.len() + 2 {
            let Ok(at) = u64::from_str_radix(words[0], 16) else { continue };
            let rules = columns.iter().cloned().zip(words[2..].iter().map(|&w| w.to_owned()));
            // `u` only fills the column of a register that has a rule elsewhere.
            let rules = rules.filter(|(_, rule)| rule != "u").collect();
            functions.last_mut().unwrap().push((at, words[1].to_owned(), rules));
        }
    }
    functions
}

/// A row of ours as readelf writes it.
pub fn as_readelf(at: u64, row: &CfiRow) -> UnwindRow {
    const NAMES: [&str; 17] = [
        "rax", "rdx", "rcx", "rbx", "rsi", "rdi", "rbp", "rsp", "r8", "r9", "r10", "r11", "r12",
        "r13", "r14", "r15", "ra",
    ];
    let name = |dwarf: u16| NAMES[usize::from(dwarf)].to_owned();
    let cfa = match &row.cfa {
        CfaRule::Register { dwarf, offset } => format!("{}{offset:+}", name(*dwarf)),
        CfaRule::Expression(_) => "exp".to_owned(),
    };
    let rule = |rule: &RegRule| match rule {
        RegRule::Undefined => "u".to_owned(),
        RegRule::SameValue => "s".to_owned(),
        RegRule::Offset(offset) => format!("c{offset:+}"),
        RegRule::ValOffset(offset) => format!("v{offset:+}"),
        RegRule::Register(other) => name(*other),
        RegRule::Expression(_) => "exp".to_owned(),
        RegRule::ValExpression(_) => "vexp".to_owned(),
    };
    let rules = row.rules.iter().map(|(dwarf, r)| (name(*dwarf), rule(r)));
    (at, cfa, rules.filter(|(_, rule)| rule != "u").collect())
}

/// What gdb prints for each of many commands on a file; an error is its text
/// after `error: `.
pub fn gdb_outputs(path: &Path, commands: &[String]) -> Vec<String> {
    const MARK: &str = "<<<mark>>>";
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("ask.py");
    let script = format!(
        "import gdb\ngdb.execute('set width 0')\n\
         gdb.execute('set max-value-size unlimited')\nfor c in {commands:?}:\n  print({MARK:?})\n  \
         try: print(gdb.execute(c, to_string=True), end='')\n  \
         except gdb.error as e: print('error:', e)\nprint({MARK:?})\n"
    );
    std::fs::write(&file, script).unwrap();
    let args = ["-nx", "-batch", "-x", file.to_str().unwrap(), path.to_str().unwrap()];
    let out = run("gdb", &args);
    let parts: Vec<&str> = out.split(MARK).skip(1).collect();
    assert_eq!(parts.len(), commands.len() + 1, "{out}");
    let text = |part: &&str| part.trim_matches('\n').to_owned();
    parts[..commands.len()].iter().map(text).collect()
}
