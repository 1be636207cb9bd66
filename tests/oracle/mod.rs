//! Other tools as witnesses. A test without its tool fails.

use std::{path::Path, process::Command};

/// Runs a tool and gives what it printed.
pub fn run(tool: &str, args: &[&str]) -> String {
    let output = Command::new(tool)
        .args(args)
        .env("LC_ALL", "C")
        .output()
        .unwrap_or_else(|why| panic!("{tool} is needed for this test: {why}"));
    assert!(
        output.status.success(),
        "{tool} {args:?}: {}",
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

/// addr2line's answer: for each address its frames, (function, file:line).
pub fn addr2line(path: &Path, addrs: &[u64]) -> Vec<Vec<(String, String)>> {
    let list: Vec<String> = addrs.iter().map(|addr| format!("{addr:#x}")).collect();
    let mut args = vec!["-a", "-i", "-f", "-e", path.to_str().unwrap()];
    args.extend(list.iter().map(String::as_str));
    let out = run("addr2line", &args);
    let mut answers: Vec<Vec<(String, String)>> = Vec::new();
    let mut lines = out.lines();
    while let Some(line) = lines.next() {
        if line.starts_with("0x") {
            answers.push(Vec::new());
            continue;
        }
        let place = lines.next().unwrap_or_default();
        let place = place.split(" (discriminator").next().unwrap_or_default();
        let frame = (line.to_owned(), place.replace("/./", "/"));
        answers.last_mut().unwrap().push(frame);
    }
    assert_eq!(answers.len(), addrs.len());
    answers
}
