//! Places in the code, as a user names and sees them, against gdb and objdump
//! on the test guest's vmlinux and module: locations, listings, disassembly,
//! and the search for names.

#![allow(clippy::unwrap_used, reason = "a test may")]

mod oracle;
mod support {
    pub mod guest;
    pub mod kernel;
    pub mod tools;
}

use kgdb_tui::{
    base::addr::Addr,
    demo::build::COMPILED_IN,
    symbols::{
        lookup::{
            location::Location,
            places::Here,
            search::{NameKind, Searcher},
        },
        placed::Symbols,
    },
};
use oracle::{addr2line, gdb_lines};
use std::{
    path::Path,
    process::Command,
    sync::OnceLock,
    time::{Duration, Instant},
};
use support::{
    guest::built,
    kernel::{loaded, some},
    tools::tool,
};

/// Runs a tool and gives what it printed.
fn run(program: &'static str, args: &[&str]) -> String {
    let output = tool(program).args(args).env("LC_ALL", "C").output().unwrap();
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{program} {args:?}: {errors}");
    String::from_utf8_lossy(&output.stdout).into_owned()
}

fn kernel() -> &'static Symbols {
    static KERNEL: OnceLock<Symbols> = OnceLock::new();
    KERNEL.get_or_init(|| loaded(&built().vmlinux))
}

/// Entries of functions all over the kernel.
fn entries(count: usize) -> Vec<Addr> {
    let symbols = kernel();
    let names = some(&symbols.complete_function("", 1_000_000), count);
    let entry = |name: &String| {
        let found = symbols.find_functions(name).into_iter().find(|found| !found.inlined)?;
        symbols.function_at(found.entry).filter(|f| !f.ranges.is_empty()).map(|f| f.entry)
    };
    names.iter().filter_map(entry).collect()
}

fn lines(text: &str) -> Vec<String> {
    text.trim_end().lines().map(str::to_owned).collect()
}

/// What the program answers to each command, as text, without a guest.
fn ours(file: &Path, commands: &[String]) -> Vec<Vec<String>> {
    const MARK: &str = "The disassembly flavor is \"att\".\n";
    let built = built();
    let mut program = Command::new(env!("CARGO_BIN_EXE_kgdb-tui"));
    program.args(["--batch", "--offline", "--vmlinux"]).arg(file);
    program.arg(format!("--substitute-path={COMPILED_IN}={}", built.source.display()));
    for command in commands {
        program.args(["-ex", "show disassembly-flavor", "-ex", command]);
    }
    let output = program.output().unwrap();
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    let answers: Vec<Vec<String>> = text.split(MARK).skip(1).map(lines).collect();
    assert_eq!(answers.len(), commands.len(), "{text}");
    answers
}

/// The same of gdb.
fn gdbs(file: &Path, commands: &[String]) -> Vec<Vec<String>> {
    let rule = format!("set substitute-path {COMPILED_IN} {}", built().source.display());
    let mut args = vec!["-nx", "-batch", "-ex", "set width 0", "-ex", &rule];
    for command in commands {
        args.extend(["-ex", "echo <<<\\n", "-ex", command]);
    }
    args.push(file.to_str().unwrap());
    let text = run("gdb", &args);
    let answers: Vec<Vec<String>> = text.split("<<<\n").skip(1).map(lines).collect();
    assert_eq!(answers.len(), commands.len(), "{text}");
    answers
}

/// Fails with the first answers that differ, when more than `allowed` do.
fn compare(
    commands: &[String],
    ours: Vec<Vec<String>>,
    gdbs: Vec<Vec<String>>,
    allowed: usize,
    shape: fn(&str) -> String,
) {
    let mut differ = Vec::new();
    for ((command, ours), gdbs) in commands.iter().zip(ours).zip(gdbs) {
        let shaped = |lines: &[String]| lines.iter().map(|l| shape(l)).collect::<Vec<_>>();
        let (ours, gdbs) = (shaped(&ours), shaped(&gdbs));
        if ours != gdbs {
            let at = ours.iter().zip(&gdbs).take_while(|(a, b)| a == b).count();
            let line = |lines: &[String]| lines.get(at).cloned().unwrap_or_default();
            differ.push(format!(
                "{command}: line {at}\n  here {}\n  gdb  {}",
                line(&ours),
                line(&gdbs)
            ));
        }
    }
    let (count, total) = (differ.len(), commands.len());
    println!("{count} of {total} differ\n{}", differ.join("\n"));
    assert!(count <= allowed, "{count} of {total} differ:\n{}", differ.join("\n"));
}

/// A line of a listing without what two disassemblers write differently: the
/// place, the bytes, and the target of a branch stay.
fn place_and_bytes(line: &str) -> String {
    if line.starts_with("Dump of") {
        // Of two names at one address either may be chosen.
        return String::new();
    }
    let Some((place, code)) = line.split_once(":\t") else { return line.to_owned() };
    let Some((bytes, text)) = code.split_once('\t') else { return line.to_owned() };
    let mut words =
        text.split_whitespace().skip_while(|word| ["notrack", "bnd", "cs"].contains(word));
    let operation = words.next().unwrap_or_default();
    let target = match operation.starts_with('j') || operation.starts_with("call") {
        true => words.next().unwrap_or_default(),
        false => "",
    };
    format!("{place}: {} {target}", bytes.trim_end())
}

/// Neither operands nor operations: what `/s` puts between instructions.
fn between(line: &str) -> String {
    let line = line.strip_prefix("./").unwrap_or(line);
    match line.split_once(":\t") {
        Some((place, _)) if place.starts_with("   0x") => place.to_owned(),
        _ => line.to_owned(),
    }
}

#[test]
fn instructions_begin_end_and_lead_where_gdb_says() {
    let commands: Vec<String> =
        entries(900).iter().map(|entry| format!("disassemble /r {entry}")).collect();
    assert!(commands.len() > 300);
    let vmlinux = built().vmlinux;
    compare(&commands, ours(&vmlinux, &commands), gdbs(&vmlinux, &commands), 0, place_and_bytes);
}

/// gdb ends the code of a line at the next statement; code of another line in
/// between that is no statement it shows under that line, though it knows
/// better when it is asked for the address. So the whole text is the same only
/// for most functions, and the line of each instruction is what it says then.
#[test]
fn source_lines_lie_between_instructions_as_gdb_has_them() {
    let commands: Vec<String> =
        entries(400).iter().map(|entry| format!("disassemble /s {entry}")).collect();
    let vmlinux = built().vmlinux;
    let answers = ours(&vmlinux, &commands);
    let mut shown = Vec::new();
    for line in answers.iter().flatten() {
        if let Some((place, _)) = line.split_once(":\t").filter(|_| line.starts_with("   0x")) {
            let hex = place.trim_start().split(' ').next().unwrap();
            shown.push((u64::from_str_radix(&hex[2..], 16).unwrap(), 0));
        } else if let Some(number) = line.split('\t').next().and_then(|n| n.parse::<u32>().ok()) {
            shown.push((0, number));
        }
    }
    let mut line = 0;
    for entry in &mut shown {
        match entry {
            (0, number) => line = *number,
            (_, number) => *number = line,
        }
    }
    shown.retain(|(addr, _)| *addr != 0);
    let addrs: Vec<u64> = shown.iter().map(|(addr, _)| *addr).collect();
    assert!(addrs.len() > 3000);
    let differ =
        shown.iter().zip(gdb_lines(&vmlinux, &addrs)).filter(|(a, b)| a.1 != *b && *b != 0);
    let differ: Vec<_> = differ.collect();
    // gdb drops rows that go on with a line after a discriminator
    // (`dwarf_record_line_p` in gdb/dwarf2/read.c); addr2line has them.
    let asked: Vec<u64> = differ.iter().map(|(shown, _)| shown.0).collect();
    let is_ours = |line: u32, frames: &[(String, String)]| {
        frames.first().is_some_and(|(_, place)| place.ends_with(&format!(":{line}")))
    };
    let differ: Vec<_> = (differ.iter().zip(addr2line(&vmlinux, &asked)))
        .filter(|((shown, _), frames)| !is_ours(shown.1, frames))
        .collect();
    // Where a line table has one address twice over, for two files, gdb may
    // take either.
    let few = differ.len() * 1000 < addrs.len();
    assert!(few, "{} of {}: {differ:x?}", differ.len(), addrs.len());
    println!("{} of {} lines differ from gdb's and from addr2line's", differ.len(), addrs.len());
    let most = commands.len() / 5;
    compare(&commands, answers, gdbs(&vmlinux, &commands), most, between);
}

#[test]
fn lists_are_gdbs() {
    let commands: Vec<String> = [
        "list vfs_read",
        "list",
        "list",
        "list -",
        "list fs/read_write.c:3",
        "list",
        "list fs/read_write.c:451,460",
        "list vfs_read,+3",
        "list ,fs/inode.c:20",
        "list kernel/fork.c:100,",
        "list *vfs_read+30",
        "list *0xffffffff81100010",
        "list fs/read_write.c:vfs_read",
        "list 'fs/read_write.c':9",
        "list fs/read_write.c : 9",
    ]
    .map(str::to_owned)
    .into();
    let vmlinux = built().vmlinux;
    compare(&commands, ours(&vmlinux, &commands), gdbs(&vmlinux, &commands), 0, str::to_owned);
}

#[test]
fn lines_have_the_code_gdb_says() {
    let symbols = kernel();
    let root = format!("{COMPILED_IN}/linux-6.1/");
    let files = symbols.files();
    let sources: Vec<&str> = files.iter().filter_map(|f| f.strip_prefix(&root)).collect();
    let sources: Vec<&str> = sources.into_iter().filter(|file| file.ends_with(".c")).collect();
    let mut commands = Vec::new();
    for file in some(&sources, 60) {
        let lines: Vec<u32> = symbols.lines_with_code(file).iter().copied().collect();
        commands.extend(some(&lines, 6).iter().map(|line| format!("info line {file}:{line}")));
        // Few lines after one with code have code of their own.
        commands.extend(some(&lines, 2).iter().map(|l| format!("info line {file}:{}", l + 1)));
    }
    for entry in entries(60) {
        commands.push(format!("info line *{entry}"));
        commands.push(format!("info line *{}", entry.offset(9)));
    }
    assert!(commands.len() > 400);
    let vmlinux = built().vmlinux;
    let mut gdbs = gdbs(&vmlinux, &commands);
    let mut ours = ours(&vmlinux, &commands);
    let mut lost = 0;
    for (ours, gdbs) in ours.iter_mut().zip(&mut gdbs) {
        // gdb tells the first place of a line, though `break` finds all.
        ours.truncate(gdbs.len().max(1));
        // gdb drops the row of a line that has no instructions of its own,
        // such as one that is all inlined, and tells of a later line; here
        // that line has an address (see tests/symbols_random.rs).
        let says = |lines: &[String], what: &str| lines.iter().any(|line| line.contains(what));
        let all_inlined = says(ours, "but the code there is of");
        if says(gdbs, "contains no code") && !says(ours, "contains no code") || all_inlined {
            lost += 1;
            ours.clear();
            gdbs.clear();
        }
        // The same of the later line that a line without code moves to.
        if says(gdbs, "contains no code") && says(ours, "contains no code") {
            let without_address = |line: &String| match line.split_once(" is at address ") {
                Some((place, _)) => place.to_owned(),
                None => line.clone(),
            };
            assert_eq!(
                ours.iter().map(without_address).collect::<Vec<_>>(),
                gdbs.iter().map(without_address).collect::<Vec<_>>()
            );
            ours.clear();
            gdbs.clear();
        }
        // Past the last line with code we have an error, in other words.
        if gdbs.iter().any(|line| line.contains("out of range")) {
            // The last lines may be among those that gdb has dropped.
            ours.clear();
            gdbs.clear();
        }
    }
    assert!(lost * 3 < commands.len(), "{lost} of {}", commands.len());
    compare(&commands, ours, gdbs, 0, start_of_line);
}

/// Of a sentence of `info line` the line and where its code starts. Names of
/// places differ in cold parts, and ends where a line that is no statement
/// follows, which gdb does not tell apart.
fn start_of_line(line: &str) -> String {
    let head = line.split(" and ends at").next().unwrap_or(line).replace("\"./", "\"");
    match (head.find('<'), head.find('>')) {
        (Some(open), Some(close)) => format!("{}{}", &head[..open], &head[close + 1..]),
        _ => head,
    }
}

#[test]
fn calls_out_of_a_module_are_named() {
    let module = built().modules.join("hgfs.ko");
    let dump = run("objdump", &["-dr", "--no-show-raw-insn", module.to_str().unwrap()]);
    let mut wanted = Vec::new();
    let mut function = String::new();
    for line in dump.lines() {
        if let Some(name) = line.strip_suffix(">:").and_then(|head| head.split_once(" <")) {
            function = name.1.to_owned();
        } else if let Some((_, target)) = line.split_once("R_X86_64_PLT32\t") {
            wanted.push((function.clone(), target.trim_end_matches("-0x4").to_owned()));
        }
    }
    assert!(wanted.len() > 50, "{dump}");
    let mut functions: Vec<String> = wanted.iter().map(|(function, _)| function.clone()).collect();
    functions.dedup();
    functions.retain(|name| !name.ends_with(".cold"));
    let commands: Vec<String> =
        functions.iter().map(|name| format!("disassemble {name}")).collect();
    let answers = ours(&module, &commands);
    for (name, answer) in functions.iter().zip(&answers) {
        let text = answer.join("\n");
        for (_, target) in wanted.iter().filter(|(function, _)| function == name) {
            let shown = text.contains(&format!("<{target}>"));
            assert!(shown, "{name} calls {target}:\n{text}");
        }
    }
}

#[test]
fn a_location_means_all_of_its_places() {
    let symbols = kernel();
    let find = |text: &str| symbols.addresses_of(&Location::parse(text).unwrap(), Here::default());
    let all = find("init_once").unwrap().places;
    assert_eq!(all.len(), 4, "{all:?}");
    for place in &all {
        let file = &place.file.as_ref().unwrap().name;
        let one = find(&format!("{file}:init_once")).unwrap().places;
        assert_eq!(one, std::slice::from_ref(place));
        let by_address = find(&format!("*{}", place.addr)).unwrap().places;
        assert_eq!(by_address, std::slice::from_ref(place));
    }
    let copies = find("kmalloc").unwrap().places;
    assert!(copies.len() > 500 && copies.iter().all(|copy| copy.inlined_into.is_some()));
    assert_eq!(copies[0].function.as_deref(), Some("kmalloc"));
    assert_eq!(find("vmlinux!vfs_read"), find("vfs_read"));
    assert_eq!(find("kernel/fork.c:40").unwrap().moved_to, Some(159));
    let why = |text: &str| find(text).unwrap_err().to_string();
    assert!(why("vfs_raed").contains("did you mean vfs_read"), "{}", why("vfs_raed"));
    assert!(why("VFS_READ").contains("did you mean vfs_read"), "{}", why("VFS_READ"));
    assert!(why("fs/inode.c:vfs_read").contains("it is in"), "{}", why("fs/inode.c:vfs_read"));
    assert!(why("fs/inod.c:12").contains("did you mean"), "{}", why("fs/inod.c:12"));
    assert!(why("nfs!init").starts_with("no symbols of a module 'nfs'"), "{}", why("nfs!init"));
    assert!(why("hlist_nothing_like_it_at_all").starts_with("no symbol"));
}

#[test]
fn a_search_finds_the_best_first_and_narrows_while_typing() {
    let symbols = kernel();
    let best = |text: &str| symbols.search(text, 1).pop().map(|found| (found.name, found.kind));
    for (text, name, kind) in [
        ("vfs_read", "vfs_read", NameKind::Function),
        ("vfsread", "vfs_read", NameKind::Function),
        ("task_struct", "task_struct", NameKind::Struct),
        ("jiffies_64", "jiffies_64", NameKind::Variable),
        ("s:read_write.c", "read_write.c", NameKind::File),
        ("t:list_head", "list_head", NameKind::Struct),
        ("^schedule_time", "schedule_timeout", NameKind::Function),
    ] {
        let (found, of) = best(text).unwrap();
        assert!(found == name || found.ends_with(&format!("/{name}")), "{text}: {found}");
        assert_eq!(of, kind, "{text}");
    }
    let found = symbols.search("vfs_read", 1).pop().unwrap();
    assert!(found.file.unwrap().ends_with("fs/read_write.c") && found.line == Some(450));
    assert!(symbols.search("", 10).is_empty() && symbols.search("qqqqqqqqq", 10).is_empty());

    let mut searcher = Searcher::default();
    for text in [
        "h", "hl", "hli", "hlis", "hlist", "hlist_", "hlist_a", "hlist_b", "rea !x", "rea", "s",
        "s:", "s:r", "s:rw",
    ] {
        assert_eq!(searcher.search(symbols, text, 30), symbols.search(text, 30), "{text}");
    }
    // The budget is 10 ms in a release build on a quiet machine.
    let start = Instant::now();
    searcher.search(symbols, "sched", 30);
    assert!(start.elapsed() < Duration::from_millis(500), "{:?}", start.elapsed());
}
