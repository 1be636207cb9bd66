//! The forms DWARF comes in, each made by the compiler or a tool that makes
//! it: every version, references between units, units of types, shared units.
//! Answers are compared with addr2line's and gdb's on the same file.

#![allow(clippy::unwrap_used, reason = "a test may")]

mod oracle;
mod support {
    pub mod tools;
}

use kgdb_tui::{
    base::addr::Addr,
    image::file::Image,
    symbols::{
        image::DebugImage,
        placed::{Placement, Symbols, VMLINUX},
    },
};
use oracle::{addr2line, gdb_lines, run};
use std::{
    path::{Path, PathBuf},
    sync::atomic::AtomicBool,
};
use support::tools::tool;

const TEXT: u64 = 0xffff_ffff_8100_0000;

/// A directory with the fixture's sources.
fn sources() -> tempfile::TempDir {
    let dir = tempfile::tempdir().unwrap();
    let from = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/symbols");
    for name in ["main.c", "other.c", "list.h"] {
        std::fs::copy(from.join(name), dir.path().join(name)).unwrap();
    }
    dir
}

/// Compiles and links the fixture in `dir` as a kernel of sorts.
fn build(dir: &Path, flags: &[&str]) -> PathBuf {
    let common = ["-ffreestanding", "-fno-pic", "-mcmodel=kernel", "-mno-sse"];
    for name in ["main", "other"] {
        let mut gcc = tool("gcc");
        gcc.current_dir(dir).args(flags).args(common).arg("-fcf-protection=none");
        gcc.args(["-c", &format!("{name}.c"), "-o", &format!("{name}.o")]);
        assert!(gcc.status().unwrap().success(), "{flags:?}");
    }
    let mut gcc = tool("gcc");
    gcc.current_dir(dir).args(flags).args(common).arg(format!("-Wl,-Ttext={TEXT:#x}"));
    gcc.args(["-nostdlib", "-static", "-no-pie", "-Wl,-e,entry", "-Wl,-z,norelro"]);
    gcc.args(["-Wl,--build-id=sha1", "-o", "vmlinux", "main.o", "other.o"]);
    assert!(gcc.status().unwrap().success(), "{flags:?}");
    dir.join("vmlinux")
}

/// The fixture in the form everybody reads.
fn plain(dir: &Path, version: &str) -> PathBuf {
    let kept = dir.join("plain");
    std::fs::rename(build(dir, &[version, "-O2"]), &kept).unwrap();
    kept
}

fn load(path: &Path) -> Symbols {
    let image = DebugImage::open(path).unwrap();
    image.load_dwarf(&|_| {}, &AtomicBool::new(false)).unwrap();
    let mut symbols = Symbols::new();
    symbols.place(VMLINUX, image, Placement::Slide(0));
    symbols
}

/// What gdb says to each of some commands.
fn gdb(path: &Path, commands: &[String]) -> Vec<String> {
    let mut arguments = vec!["-nx", "-batch", "-ex", "set width 0", path.to_str().unwrap()];
    for command in commands {
        arguments.extend(["-ex", command]);
    }
    run("gdb", &arguments).lines().map(str::to_owned).collect()
}

/// Asks everything that follows references, and compares. `plain` has the same
/// code, and debug info that addr2line can follow.
fn agrees(path: &Path, plain: &Path, what: &str) {
    let symbols = load(path);
    let image = Image::open(path).unwrap();
    let text = image.section(".text").unwrap();
    let addrs: Vec<u64> = (text.addr.0..text.addr.0 + text.size).collect();
    let (answers, lines) = (addr2line(plain, &addrs), gdb_lines(plain, &addrs));
    let (mut compared, mut inlined) = (0, 0);
    for ((&addr, mut want), line) in addrs.iter().zip(answers).zip(lines) {
        // addr2line gives the padding between functions to the one before.
        if want[0].1.starts_with("??") || symbols.symbol_at(Addr(addr)).is_none() {
            continue;
        }
        let frames = symbols.frames_at(Addr(addr));
        let place = |frame: &kgdb_tui::symbols::answer::CodeFrame| {
            let file = frame.file.as_ref().map_or("??", |file| file.name.as_str());
            (frame.function.clone(), format!("{file}:{}", frame.line.unwrap_or(0)))
        };
        let mut have: Vec<(String, String)> = frames.iter().map(place).collect();
        // Of several rows at one address addr2line takes the last, gdb (and
        // this) the last that is a statement.
        want[0].1.clear();
        // addr2line takes the symbol's name for a part that is elsewhere.
        for (name, place) in &mut want {
            *name = name.trim_end_matches(".cold").to_owned();
            // Strict DWARF 2 can't say where an inlined call is.
            *place = place.replace("??:?", "??:0");
        }
        have[0].1.clear();
        assert_eq!(have, want, "{addr:#x} {what}");
        assert_eq!(symbols.row_at(Addr(addr)).map_or(0, |row| row.line), line, "{addr:#x} {what}");
        compared += 1;
        inlined += usize::from(frames.len() > 1);
    }
    assert!(compared > 150 && inlined > 10, "{compared} {inlined} {what}");

    let members = ["list.next", "grid", "low", "inner.refs", "handle", "next_request", "state"];
    let mut commands: Vec<String> = Vec::new();
    for member in members {
        commands.push(format!("print (long)&((struct request *)0)->{member}"));
        commands.push(format!("whatis ((struct request *)0)->{member}"));
    }
    commands.push("print sizeof(struct request)".to_owned());
    let answers = gdb(path, &commands);
    assert_eq!(answers.len(), commands.len(), "{answers:?} {what}");
    let value = |text: &str| text.rsplit("= ").next().unwrap().parse::<u64>().unwrap();
    let layout = symbols.struct_layout("request").unwrap();
    for (member, answer) in members.iter().zip(answers.chunks(2)) {
        let found = layout.member(member).unwrap();
        assert_eq!(found.offset, value(&answer[0]), "{member} {what}");
        assert_eq!(Some(found.type_name.as_str()), answer[1].strip_prefix("type = "), "{what}");
    }
    assert_eq!(layout.size, value(answers.last().unwrap()), "{what}");
    assert_eq!(symbols.enumerator("STATE_GONE"), Some(-1), "{what}");
    let variable = symbols.find_variable("first_request").unwrap();
    assert_eq!(symbols.type_name(variable.ty), "struct request", "{what}");
    assert_eq!(symbols.size_of(variable.ty), Some(layout.size), "{what}");

    let halves = symbols.find_functions("half");
    assert!(!halves.is_empty(), "{what}");
    for half in halves.iter().filter(|half| half.inlined) {
        let instance = &symbols.inline_ranges_at(half.entry)[0];
        assert_eq!(instance.name, "half", "{what}");
        assert!(half.file.as_ref().unwrap().name.ends_with("/main.c"), "{half:?} {what}");
        let arguments = symbols.arguments_at(half.entry, 0);
        assert_eq!(arguments.len(), 1, "{what}");
        assert_eq!(arguments[0].name, "value", "{what}");
        assert_eq!(symbols.type_name(arguments[0].ty), "int", "{what}");
    }
    let inlined_halves = halves.iter().filter(|half| half.inlined).count();
    assert!(inlined_halves > 0, "{halves:?} {what}");
    for (file, line) in [("main.c", 67), ("list.h", 9)] {
        let sites = symbols.find_lines(file, line).unwrap();
        assert_eq!(sites.line, line, "{what}");
        assert!(sites.file.name.ends_with(file), "{sites:?} {what}");
    }
}

/// The forms of an attribute in the abbreviations of a file, to prove that a
/// fixture has what it is for.
fn has(path: &Path, dump: &str, word: &str) -> bool {
    run("readelf", &[&format!("--debug-dump={dump}"), path.to_str().unwrap()]).contains(word)
}

#[test]
fn link_time_optimization_refers_to_other_units() {
    let dir = sources();
    for version in ["-gdwarf-5", "-gdwarf-4"] {
        let path = build(dir.path(), &[version, "-O2", "-flto"]);
        assert!(has(&path, "abbrev", "DW_FORM_ref_addr"));
        agrees(&path, &path, version);
    }
}

#[test]
fn types_may_have_units_of_their_own() {
    let dir = sources();
    for version in ["-gdwarf-5", "-gdwarf-4"] {
        let plain = plain(dir.path(), version);
        let path = build(dir.path(), &[version, "-O2", "-fdebug-types-section"]);
        assert!(has(&path, "abbrev", "DW_FORM_ref_sig8"));
        agrees(&path, &plain, version);
    }
}

#[test]
fn units_may_share_a_part() {
    let dir = sources();
    for version in ["-gdwarf-5", "-gdwarf-4"] {
        let plain = plain(dir.path(), version);
        let path = build(dir.path(), &[version, "-O2"]);
        run("dwz", &[path.to_str().unwrap()]);
        assert!(has(&path, "info", "DW_TAG_partial_unit"));
        agrees(&path, &plain, version);
    }
}

#[test]
fn every_version_is_read() {
    let dir = sources();
    let versions = ["-gdwarf-2", "-gdwarf-3", "-gdwarf-4", "-gdwarf-5"];
    for version in versions {
        for strict in ["-gstrict-dwarf", "-gno-strict-dwarf"] {
            // Strict DWARF 2 can't say that a function has two parts.
            let whole = "-fno-reorder-blocks-and-partition";
            let path = build(dir.path(), &[version, strict, "-O2", whole]);
            agrees(&path, &path, &format!("{version} {strict}"));
        }
    }
    for version in ["-gdwarf-4", "-gdwarf-5"] {
        // addr2line 2.40 reads no version 5 of 64 bits.
        let plain = plain(dir.path(), version);
        let path = build(dir.path(), &[version, "-gdwarf64", "-O2"]);
        agrees(&path, &plain, &format!("{version} -gdwarf64"));
    }
}
