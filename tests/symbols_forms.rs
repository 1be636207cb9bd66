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
        answer::{ValuePlace, VariableDef},
        image::{ADDRESSES_AT, DebugImage},
        placed::{Placement, Symbols, VMLINUX},
    },
};
use oracle::{addr2line, gdb_lines, run};
use std::{
    path::{Path, PathBuf},
    sync::atomic::{AtomicBool, Ordering},
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
/// code, and debug info that addr2line and gdb can follow.
fn agrees(path: &Path, plain: &Path, what: &str) {
    let symbols = load(path);
    let image = Image::open(path).unwrap();
    let text = image.section(".text").unwrap();
    let addrs: Vec<u64> = (text.addr.0..text.addr.0 + text.size).collect();
    let (answers, lines) = (addr2line(plain, &addrs), gdb_lines(plain, &addrs));
    let (mut compared, mut inlined, mut located) = (0, 0, 0);
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
        let arguments = symbols.arguments_at(Addr(addr), frames.len() - 1);
        let has_place = |argument: &&VariableDef| argument.location != ValuePlace::None;
        located += arguments.iter().filter(has_place).count();
    }
    assert!(compared > 150 && inlined > 10, "{compared} {inlined} {what}");
    // Strict DWARF 2 has no words for most values.
    assert!(located > 60, "{located} {what}");

    let members = ["list.next", "grid", "low", "inner.refs", "handle", "next_request", "state"];
    let mut commands: Vec<String> = Vec::new();
    for member in members {
        commands.push(format!("print (long)&((struct request *)0)->{member}"));
        commands.push(format!("whatis ((struct request *)0)->{member}"));
    }
    commands.push("print sizeof(struct request)".to_owned());
    let answers = gdb(plain, &commands);
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

#[test]
fn entries_may_be_in_files_of_their_own() {
    let dir = sources();
    for version in ["-gdwarf-5", "-gdwarf-4"] {
        let plain = plain(dir.path(), version);
        for types in ["-fno-debug-types-section", "-fdebug-types-section"] {
            let path = build(dir.path(), &[version, "-gsplit-dwarf", types, "-O2"]);
            assert!(dir.path().join("main.dwo").exists());
            agrees(&path, &plain, &format!("split {version} {types}"));
            assert_eq!(opened(&path).missing(), None);
        }
    }
}

#[test]
fn missing_parts_are_told_and_lines_stay() {
    let dir = sources();
    for version in ["-gdwarf-5", "-gdwarf-4"] {
        let path = build(dir.path(), &[version, "-gsplit-dwarf", "-O2"]);
        std::fs::remove_file(dir.path().join("main.dwo")).unwrap();
        let told = opened(&path).missing().unwrap();
        assert!(told.starts_with("1 of 2 units of "), "{told}");
        let gone = dir.path().join("main.dwo");
        assert!(told.contains(&format!("e.g. {};", gone.display())), "{told}");
        let symbols = load(&path);
        assert_eq!(symbols.struct_layout("request"), None, "{version}");
        assert_eq!(symbols.find_lines("main.c", 67).unwrap().line, 67, "{version}");
        let at = symbols.symbol_addr("send_request").unwrap();
        let row = symbols.row_at(at).unwrap();
        assert!(row.file.name.ends_with("/main.c"), "{row:?}");
        assert_eq!(symbols.frames_at(at)[0].function, "send_request");
        assert_eq!(symbols.find_functions("other_twins").len(), 1, "{version}");
        // Beside the file is a place as good as where the compiler ran.
        let moved = tempfile::tempdir().unwrap();
        let there = moved.path().join("vmlinux");
        std::fs::copy(&path, &there).unwrap();
        std::fs::rename(dir.path().join("other.dwo"), moved.path().join("other.dwo")).unwrap();
        let symbols = load(&there);
        let found = symbols.find_functions("other_twins");
        assert!(found[0].line.is_some(), "{found:?} {version}");
    }
}

#[test]
fn parts_may_be_in_a_package() {
    let dir = sources();
    let plain = plain(dir.path(), "-gdwarf-4");
    for types in ["-fno-debug-types-section", "-fdebug-types-section"] {
        let path = build(dir.path(), &["-gdwarf-4", "-gsplit-dwarf", types, "-O2"]);
        let mut dwp = tool("dwp");
        dwp.current_dir(dir.path()).args(["-e", "vmlinux", "-o", "vmlinux.dwp"]);
        assert!(dwp.status().unwrap().success());
        for part in ["main.dwo", "other.dwo"] {
            std::fs::remove_file(dir.path().join(part)).unwrap();
        }
        let symbols = load(&path);
        let want = load(&plain);
        assert_eq!(opened(&path).missing(), None);
        for at in (TEXT..TEXT + 0x100).map(Addr) {
            assert_eq!(symbols.frames_at(at), want.frames_at(at), "{at} {types}");
        }
        let layout = symbols.struct_layout("request").unwrap();
        assert_eq!(layout.size, want.struct_layout("request").unwrap().size, "{types}");
        assert_eq!(layout.member("handle").unwrap().type_name, "handler_t", "{types}");
        std::fs::remove_file(dir.path().join("vmlinux.dwp")).unwrap();
    }
}

#[test]
fn files_may_share_a_part() {
    let dir = sources();
    for version in ["-gdwarf-5", "-gdwarf-4"] {
        let plain = plain(dir.path(), version);
        let path = build(dir.path(), &[version, "-O2"]);
        let (path, twin) = (path.to_str().unwrap(), dir.path().join("twin"));
        std::fs::copy(path, &twin).unwrap();
        let common = dir.path().join("common.debug");
        run("dwz", &["-m", common.to_str().unwrap(), path, twin.to_str().unwrap()]);
        assert!(has(Path::new(path), "links", "Separate debug"), "{version}");
        agrees(Path::new(path), &plain, &format!("dwz -m {version}"));
        std::fs::remove_file(&common).unwrap();
        let told = opened(Path::new(path)).missing().unwrap();
        assert!(told.contains("common.debug (made by dwz), which is not there"), "{told}");
    }
}

fn opened(path: &Path) -> std::sync::Arc<DebugImage> {
    let image = DebugImage::open(path).unwrap();
    image.load_dwarf(&|_| {}, &AtomicBool::new(false)).unwrap();
    image
}

#[test]
fn macros_are_those_of_the_compiler() {
    let dir = tempfile::tempdir().unwrap();
    let write = |name: &str, text: &str| std::fs::write(dir.path().join(name), text).unwrap();
    write("list.h", "#define DEPTH 3\n#define LAST(list, n) ((list)->prev[n])\n");
    write(
        "main.c",
        "#define DEPTHS 1\n#include \"list.h\"\n#define GONE 7\n#undef GONE\n#define TWICE 1\n\
         #undef TWICE\n#define TWICE 2\nint entry(int n) { return n + DEPTH; }\n",
    );
    write("other.c", "#define DEPTH 4\nint other(int n) { return n * DEPTH; }\n");
    for version in ["-gdwarf-2", "-gdwarf-4", "-gdwarf-5"] {
        for how in ["-gstrict-dwarf", "-gno-strict-dwarf"] {
            let flags = [version, "-g3", "-O2", how];
            let path = build(dir.path(), &flags);
            let symbols = load(&path);
            assert!(symbols.has_macros(), "{flags:?}");
            let told = |name: &str, near: Option<&str>| {
                let near = near.map(|name| symbols.symbol_addr(name).unwrap());
                let found = symbols.macro_named(name, near)?;
                let file = found.file.map(|file| file.name).unwrap_or_default();
                let file = file.rsplit('/').next().unwrap_or_default().to_owned();
                Some((found.text, file, found.line))
            };
            let is = |text: &str, file: &str, line| Some((text.to_owned(), file.to_owned(), line));
            assert_eq!(told("DEPTH", None), is("DEPTH 3", "list.h", 1), "{flags:?}");
            assert_eq!(told("DEPTH", Some("other")), is("DEPTH 4", "other.c", 1), "{flags:?}");
            let last = "LAST(list,n) ((list)->prev[n])";
            assert_eq!(told("LAST", Some("entry")), is(last, "list.h", 2), "{flags:?}");
            assert_eq!(told("TWICE", None), is("TWICE 2", "main.c", 7), "{flags:?}");
            assert_eq!(told("GONE", None), None, "{flags:?}");
            assert_eq!(told("DEP", None), None, "{flags:?}");
            assert_eq!(told("__x86_64__", None), is("__x86_64__ 1", "", 0), "{flags:?}");
        }
    }
}

#[test]
fn addresses_have_answers_before_names() {
    let dir = sources();
    let path = build(dir.path(), &["-gdwarf-5", "-O2"]);
    let whole = load(&path);
    let image = DebugImage::open(&path).unwrap();
    let mut early = Symbols::new();
    early.place(VMLINUX, image.clone(), Placement::Slide(0));
    // Loading is stopped as soon as addresses are said to have answers.
    let cancel = AtomicBool::new(false);
    let stop = |part| cancel.store(part >= ADDRESSES_AT, Ordering::Relaxed);
    assert!(image.load_dwarf(&stop, &cancel).unwrap_err().to_string().contains("cancelled"));
    assert!(!image.dwarf_ready());
    let text = image.image().section(".text").unwrap();
    let mut named = 0;
    for at in (text.addr.0..text.addr.0 + text.size).map(Addr) {
        assert_eq!(early.frames_at(at), whole.frames_at(at), "{at}");
        assert_eq!(early.row_at(at), whole.row_at(at), "{at}");
        assert_eq!(early.function_and_line(at), whole.function_and_line(at), "{at}");
        let Some(place) = whole.function_and_line(at) else { continue };
        assert_eq!(place.function, whole.frames_at(at).pop().unwrap().function, "{at}");
        let row = whole.row_at(at);
        assert_eq!(place.line, row.as_ref().map(|row| row.line), "{at}");
        assert_eq!(place.file, row.map(|row| row.file), "{at}");
        named += 1;
    }
    assert!(named > 200, "{named}");
    assert_eq!(early.struct_layout("request"), None);
}
