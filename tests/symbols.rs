//! Symbols against other tools, on code compiled here: gdb for breakpoints,
//! lines, types and offsets, addr2line for inlined frames. A test that cannot
//! have its oracle fails rather than passes.

#![allow(clippy::unwrap_used, reason = "a test may")]

mod oracle;
mod support {
    pub mod tools;
}

use kgdb_tui::{
    base::addr::Addr,
    image::file::{Image, Kind},
    symbols::{
        answer::{FunctionMatch, LineMiss, TypeShape, ValuePlace},
        image::DebugImage,
        placed::{Placement, Symbols, VMLINUX},
    },
};
use oracle::{addr2line, as_readelf, gdb_lines, run, unwind_rows};
use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
    sync::atomic::AtomicBool,
};
use support::tools::tool;

const TEXT: u64 = 0xffff_ffff_8100_0000;

struct Fixture {
    dir: tempfile::TempDir,
    flags: Vec<&'static str>,
}

impl Fixture {
    fn new(flags: &[&'static str]) -> Fixture {
        let dir = tempfile::tempdir().unwrap();
        let sources = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/symbols");
        for name in ["main.c", "other.c", "list.h", "low.S"] {
            std::fs::copy(sources.join(name), dir.path().join(name)).unwrap();
        }
        let fixture = Fixture { dir, flags: flags.to_vec() };
        for name in ["main.c", "other.c", "low.S"] {
            fixture.compile(name);
        }
        fixture
    }

    /// The lines of a source that contain some text, from 1.
    fn lines(&self, name: &str, needle: &str) -> Vec<u32> {
        let text = std::fs::read_to_string(self.path(name)).unwrap();
        let numbered = (1..).zip(text.lines());
        numbered.filter(|(_, line)| line.contains(needle)).map(|(number, _)| number).collect()
    }

    fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    fn compile(&self, name: &str) {
        let object = self.path(name).with_extension("o");
        let mut command = tool("gcc");
        command.current_dir(self.dir.path()).args(&self.flags);
        // Assembly has lines of its own from -g; low.S stands for code that
        // has nothing.
        let debug: &[&str] = if name.ends_with(".S") { &["-g0"] } else { &[] };
        command.args(["-ffreestanding", "-fno-pic", "-mcmodel=kernel", "-mno-sse", "-c"]);
        command.args(["-fcf-protection=none"]);
        let status = command.args(debug).arg(name).arg("-o").arg(object).status();
        assert!(status.unwrap().success());
    }

    /// A linked kernel of sorts, with relocations left over as vmlinux has.
    fn link(&self) -> PathBuf {
        let out = self.path("vmlinux");
        let text = format!("-Wl,-Ttext={TEXT:#x}");
        let objects = ["main.o", "other.o", "low.o"].map(|name| self.path(name));
        let status = tool("gcc")
            .args(["-nostdlib", "-static", "-no-pie", "-Wl,-q", "-Wl,-e,entry", &text])
            .args(["-Wl,-z,norelro", "-Wl,--build-id=sha1", "-o"])
            .arg(&out)
            .args(objects)
            .status();
        assert!(status.unwrap().success());
        out
    }

    /// A module of sorts: not linked.
    fn module(&self) -> PathBuf {
        let out = self.path("mod.ko");
        let objects = ["main.o", "other.o"].map(|name| self.path(name));
        let mut command = tool("ld");
        command.args(["-r", "--build-id=sha1", "-o"]).arg(&out).args(objects);
        assert!(command.status().unwrap().success());
        out
    }
}

fn load(path: &Path, placement: Placement) -> Symbols {
    let image = DebugImage::open(path).unwrap();
    image.load_dwarf(&|_| {}, &AtomicBool::new(false)).unwrap();
    let mut symbols = Symbols::new();
    symbols.place(VMLINUX, image, placement);
    symbols
}

/// One answer of gdb for each of many commands, split by a marker.
fn gdb(path: &Path, commands: &[String]) -> Vec<String> {
    let script = path.with_extension("gdb");
    let mut text = String::from("set width 0\nset confirm off\nset print pretty off\n");
    for command in commands {
        // A command that fails must not end the script.
        text.push_str("echo <<<\\n\n");
        text.push_str(&format!("python\ntry:\n  gdb.execute({command:?})\n"));
        text.push_str("except gdb.error as e:\n  print('error:', e)\nend\n");
    }
    text.push_str("echo <<<\\n\n");
    std::fs::write(&script, text).unwrap();
    let out =
        run("gdb", &["-nx", "-batch", "-x", script.to_str().unwrap(), path.to_str().unwrap()]);
    let parts: Vec<String> = out.split("<<<\n").skip(1).map(|s| s.trim().to_owned()).collect();
    assert_eq!(parts.len(), commands.len() + 1, "{out}");
    parts[..commands.len()].to_vec()
}

/// The addresses in gdb's answer to `info breakpoints`, by breakpoint.
fn breakpoints(text: &str) -> BTreeMap<u32, Vec<u64>> {
    let mut out: BTreeMap<u32, Vec<u64>> = BTreeMap::new();
    for line in text.lines() {
        let Some(number) = line.split([' ', '.']).next().and_then(|n| n.parse().ok()) else {
            continue;
        };
        let hex = line.split_whitespace().find_map(|word| word.strip_prefix("0x"));
        if let Some(addr) = hex.and_then(|hex| u64::from_str_radix(hex, 16).ok()) {
            out.entry(number).or_default().push(addr);
        }
    }
    out.values_mut().for_each(|addrs| addrs.sort());
    out
}

fn every_flavour() -> Vec<Fixture> {
    [["-gdwarf-5", "-O2"], ["-gdwarf-4", "-O2"], ["-gdwarf-5", "-O0"], ["-gdwarf-4", "-O1"]]
        .iter()
        .map(|flags| Fixture::new(flags))
        .collect()
}

#[test]
fn breakpoints_are_where_gdb_puts_them() {
    for fixture in every_flavour() {
        let path = fixture.link();
        let symbols = load(&path, Placement::Slide(0));
        let functions = [
            "send_request",
            "twin",
            "half",
            "list_add",
            "complain",
            "other_twins",
            "entry",
            "low_entry",
        ];
        let mut commands = vec!["set breakpoint pending off".to_owned()];
        commands.extend(functions.iter().map(|name| format!("break {name}")));
        let main_lines = std::fs::read_to_string(fixture.path("main.c")).unwrap().lines().count();
        let lines: Vec<usize> = (1..=main_lines).collect();
        commands.extend(lines.iter().map(|line| format!("break main.c:{line}")));
        let header: Vec<usize> = (5..=12).collect();
        commands.extend(header.iter().map(|line| format!("break list.h:{line}")));
        commands.push("info breakpoints".to_owned());
        let answers = gdb(&path, &commands);
        let placed = breakpoints(answers.last().unwrap());
        let mut number = 0;
        let mut next = |answer: &str| {
            if answer.starts_with("error:") || answer.starts_with("No ") {
                return Vec::new();
            }
            number += 1;
            placed.get(&number).cloned().unwrap_or_else(|| panic!("{number}: {answer}"))
        };
        for (i, name) in functions.iter().enumerate() {
            let want = next(&answers[1 + i]);
            let mut found = symbols.find_functions(name);
            found.sort_by_key(|f| f.after_prologue);
            // gdb 13 does not know DW_AT_entry_pc and takes the start of an
            // inlined instance's first range, which may be an instruction
            // that was moved up; gdb 16 takes the entry, as is done here.
            let as_gdb_13 = |f: &FunctionMatch| match f.inlined {
                true => symbols.inline_ranges_at(f.entry)[0].ranges[0].0.0,
                false => f.after_prologue.0,
            };
            let mut have: Vec<u64> = found.iter().map(as_gdb_13).collect();
            have.sort();
            assert_eq!(hex(&have), hex(&want), "{name} {:?}", fixture.flags);
        }
        let (mut compared, mut forgotten) = (0, 0);
        let after = 1 + functions.len();
        let in_main = lines.iter().map(|line| ("main.c", *line));
        let all = in_main.chain(header.iter().map(|line| ("list.h", *line)));
        for (i, (file, line)) in all.enumerate() {
            let answer = &answers[after + i];
            let want = next(answer);
            // gdb refuses a line before a function; here the next line with
            // code is taken.
            if want.is_empty() {
                continue;
            }
            let found = symbols.find_lines(file, line as u32).unwrap();
            // gdb takes a `.cold` part below its function for the prologue
            // and moves the site to the function's entry, where the line
            // may never be reached from.
            let as_gdb = |site: &Addr| match symbols.function_at(*site) {
                Some(function) if function.entry > *site => function.entry.0,
                _ => site.0,
            };
            let mut have: Vec<u64> = found.sites.iter().map(as_gdb).collect();
            have.sort();
            // A line whose only code is a call inlined at its very first
            // address: gdb 13 forgets it when the file changes to that of
            // the inlined function (dwarf_finish_line) and goes on to a
            // later line. The line table has it, so it is kept here.
            let landed =
                answer.rsplit("line ").next().and_then(|n| n.trim_end_matches('.').parse().ok());
            if hex(&have) != hex(&want) && landed.is_some_and(|landed: u32| landed > found.line) {
                forgotten += 1;
                continue;
            }
            compared += 1;
            assert_eq!(hex(&have), hex(&want), "{file}:{line} {:?}\n{answer}", fixture.flags);
        }
        assert!(compared > 40 && forgotten < 4, "{compared} {forgotten}");
    }
}

fn hex(addrs: &[u64]) -> Vec<String> {
    addrs.iter().map(|addr| format!("{addr:#x}")).collect()
}

fn frames_as_text(symbols: &Symbols, addr: u64) -> Vec<(String, String)> {
    let frames = symbols.frames_at(Addr(addr));
    let text = |frame: &kgdb_tui::symbols::answer::CodeFrame| {
        let file = frame.file.as_ref().map_or("??", |file| file.name.as_str());
        let line = frame.line.map_or("?".to_owned(), |line| line.to_string());
        (frame.function.clone(), format!("{file}:{line}"))
    };
    frames.iter().map(text).collect()
}

#[test]
fn frames_are_those_of_addr2line_at_every_address() {
    for fixture in every_flavour() {
        let path = fixture.link();
        let symbols = load(&path, Placement::Slide(0));
        let image = Image::open(&path).unwrap();
        let text = image.section(".text").unwrap();
        let addrs: Vec<u64> = (text.addr.0..text.addr.0 + text.size).collect();
        let answers = addr2line(&path, &addrs);
        let lines = gdb_lines(&path, &addrs);
        let mut compared = 0;
        for ((addr, mut want), line) in addrs.iter().zip(answers).zip(lines) {
            let mut have = frames_as_text(&symbols, *addr);
            // addr2line gives the padding between functions to the one before.
            if want[0].1.starts_with("??") || symbols.symbol_at(Addr(*addr)).is_none() {
                continue;
            }
            // Of several rows at one address addr2line takes the last, gdb
            // (and this) the last that is a statement.
            want[0].1.clear();
            have[0].1.clear();
            assert_eq!(have, want, "{addr:#x} {:?}", fixture.flags);
            let row = symbols.row_at(Addr(*addr)).unwrap();
            assert_eq!(row.line, line, "{addr:#x} {:?}", fixture.flags);
            compared += 1;
        }
        assert!(compared > 200, "{compared} addresses of {}", addrs.len());
    }
}

/// In `.eh_frame`, and in `.debug_frame` as Linux has it.
#[test]
fn unwind_rows_are_readelfs() {
    for flags in [["-gdwarf-5", "-O2"], ["-fno-asynchronous-unwind-tables", "-O2"]] {
        let flags = [flags[0], flags[1], "-g", "-fno-omit-frame-pointer"];
        let fixture = Fixture::new(&flags);
        let path = fixture.link();
        let symbols = load(&path, Placement::Slide(0));
        let mut compared = 0;
        for (at, cfa, rules) in unwind_rows(&path).into_iter().flatten() {
            let row = symbols.cfi_row(Addr(at)).unwrap();
            assert_eq!(as_readelf(at, &row), (at, cfa, rules), "{flags:?}");
            assert_eq!(row.return_register, 16);
            compared += 1;
        }
        assert!(compared > 12, "{compared} {flags:?}");
    }
}

/// Debug sections may be compressed (CONFIG_DEBUG_INFO_COMPRESSED).
#[test]
fn compressed_sections_answer_the_same() {
    let fixture = Fixture::new(&["-gdwarf-5", "-O2"]);
    let path = fixture.link();
    let plain = load(&path, Placement::Slide(0));
    let packed_path = fixture.path("packed");
    let packed = packed_path.to_str().unwrap();
    run("objcopy", &["--compress-debug-sections=zlib", path.to_str().unwrap(), packed]);
    let packed = load(&packed_path, Placement::Slide(0));
    for addr in (TEXT..TEXT + 0x100).map(Addr) {
        assert_eq!(plain.frames_at(addr), packed.frames_at(addr));
    }
    assert_eq!(plain.struct_layout("request"), packed.struct_layout("request"));
    assert_eq!(plain.files(), packed.files());
    let image = Image::open(&packed_path).unwrap();
    assert_eq!(
        image.section_data(".debug_info"),
        Image::open(&path).unwrap().section_data(".debug_info")
    );

    let module = fixture.module();
    let packed_path = fixture.path("packed.ko");
    let packed = packed_path.to_str().unwrap();
    run("objcopy", &["--compress-debug-sections=zlib", module.to_str().unwrap(), packed]);
    let text = vec![(".text".to_owned(), Addr(0xffff_ffff_c000_0000))];
    let plain = load(&module, Placement::Sections(text.clone()));
    let packed = load(&packed_path, Placement::Sections(text));
    let found = plain.find_functions("send_request");
    assert_eq!(found.len(), 1);
    assert_eq!(found, packed.find_functions("send_request"));
}

#[test]
fn layouts_and_type_names_are_gdbs() {
    for fixture in every_flavour() {
        let path = fixture.link();
        let symbols = load(&path, Placement::Slide(0));
        let layout = symbols.struct_layout("request").unwrap();
        let paths = [
            "list",
            "list.next",
            "name",
            "grid",
            "data",
            "low",
            "high",
            "inner.refs.counter",
            "handle",
            "next_request",
            "state",
            "ready",
            "tail",
        ];
        let mut commands: Vec<String> =
            paths.iter().map(|p| format!("print (long)&((struct request *)0)->{p}")).collect();
        commands.extend(paths.iter().map(|p| format!("print sizeof(((struct request *)0)->{p})")));
        commands.extend(paths.iter().map(|p| format!("whatis ((struct request *)0)->{p}")));
        commands.push("print sizeof(struct request)".to_owned());
        let answers = gdb(&path, &commands);
        let value = |text: &str| text.rsplit("= ").next().unwrap().parse::<u64>().unwrap();
        let n = paths.len();
        for (i, path) in paths.iter().enumerate() {
            let member = layout.member(path).unwrap_or_else(|| panic!("no member {path}"));
            assert_eq!(member.offset, value(&answers[i]), "offset of {path}");
            assert_eq!(member.size, value(&answers[n + i]), "size of {path}");
            let want = answers[2 * n + i].strip_prefix("type = ").unwrap();
            assert_eq!(member.type_name, want, "type of {path}");
        }
        assert_eq!(layout.size, value(answers.last().unwrap()));
        assert_eq!(layout.name, "struct request");
        assert_eq!(layout.member("grid").unwrap().element, Some((4, 12)));
        assert_eq!(layout.member("tail").unwrap().element, Some((1, 0)));
        assert_eq!(layout.member("nothing"), None);
        assert_eq!(layout.member("list.nothing"), None);
    }
}

/// Bit fields are checked by what the compiler stores, not by another reader
/// of DWARF: the bytes of an initialised struct are read back through them.
#[test]
fn bit_fields_read_back_what_the_compiler_stored() {
    let source = r#"
        struct bits { unsigned a : 3; int b : 7; unsigned long long c : 40; unsigned char d : 2;
                      short e : 11; };
        struct __attribute__((packed)) tight { unsigned a : 5; unsigned b : 30; unsigned c : 13; };
        struct bits loose = { 5, -3, 0xabcdef0123, 2, -600 };
        struct tight packed = { 17, 0x2abcdef1, 0x1234 };
    "#;
    for version in ["-gdwarf-5", "-gdwarf-4", "-gdwarf-3"] {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("bits.c");
        std::fs::write(&file, source).unwrap();
        let object = dir.path().join("bits.o");
        let out = object.to_str().unwrap();
        let strict = if version == "-gdwarf-3" { "-gstrict-dwarf" } else { "-O0" };
        run("gcc", &[version, strict, "-c", file.to_str().unwrap(), "-o", out]);
        let image = Image::open(&object).unwrap();
        let symbols = load(&object, Placement::Sections(vec![(".data".to_owned(), Addr(0x5000))]));
        let mut checked = 0;
        for (variable, tag, want) in [
            (
                "loose",
                "bits",
                vec![("a", 5), ("b", 0x7d), ("c", 0xabcdef0123), ("d", 2), ("e", 0x5a8)],
            ),
            ("packed", "tight", vec![("a", 17), ("b", 0x2abcdef1), ("c", 0x1234)]),
        ] {
            let symbol = image.symbols().named(variable).next().unwrap();
            let layout = symbols.struct_layout(tag).unwrap();
            let bytes = image.file_bytes(symbol.addr, layout.size as usize).unwrap();
            for (name, want) in want {
                let member = layout.member(name).unwrap();
                let (first, bits) = member.bits.unwrap();
                let mut word = [0; 16];
                let tail = &bytes[member.offset as usize..];
                let len = tail.len().min(16);
                word[..len].copy_from_slice(&tail[..len]);
                let have = u128::from_le_bytes(word) >> first & ((1 << bits) - 1);
                assert_eq!(have, want, "{tag}.{name} {version}");
                checked += 1;
            }
        }
        assert_eq!(checked, 8);
    }
}

#[test]
fn a_module_is_placed_by_section_and_loses_what_was_discarded() {
    let fixture = Fixture::new(&["-gdwarf-5", "-O2"]);
    let path = fixture.module();
    let kernel = fixture.link();
    let mut symbols = load(&kernel, Placement::Slide(0x1400_0000));
    let image = DebugImage::open(&path).unwrap();
    assert_eq!(image.image().kind(), Kind::Relocatable);
    image.load_dwarf(&|_| {}, &AtomicBool::new(false)).unwrap();
    let (text, data) = (Addr(0xffff_ffff_c000_1000), Addr(0xffff_ffff_c100_0000));
    let sections = vec![(".text".to_owned(), text), (".data".to_owned(), data)];
    symbols.place("mod", image.clone(), Placement::Sections(sections));

    let found = symbols.find_functions("mod!send_request");
    assert_eq!(found.len(), 1);
    let at = found[0].entry;
    assert!(at >= text && at.since(text) < 0x1000, "{at}");
    assert_eq!(symbols.describe(at.offset(4)).unwrap(), "send_request+0x4 [mod]");
    let frame = symbols.frames_at(at).pop().unwrap();
    assert_eq!((frame.function.as_str(), frame.module.as_deref()), ("send_request", Some("mod")));
    // The same code is in the "kernel", slid.
    let both = symbols.find_functions("send_request");
    assert_eq!(both.len(), 2);
    assert_eq!(both[0].module, None);
    assert!(both[0].entry.0 >= TEXT + 0x1400_0000);
    // The `.text.unlikely` part was not placed: no address is in it.
    let complain = symbols.find_functions("mod!complain");
    assert_eq!(complain, []);
    // Rows and unwind rows are translated.
    let row = symbols.row_at(at).unwrap();
    assert!(row.start <= at && at < row.end && row.file.name.ends_with("/main.c"));
    let cfi = symbols.cfi_row(at).unwrap();
    assert_eq!(cfi.start, at);
    // A line has sites in both images.
    let sites = symbols.find_lines("other.c", 19).unwrap().sites;
    assert!(sites.iter().any(|site| site.since(text) < 0x1000), "{sites:?}");
    assert!(sites.iter().any(|site| site.0 < text.0), "{sites:?}");
    // Taken out, it is gone.
    symbols.remove("mod");
    assert_eq!(symbols.describe(at), None);
    assert_eq!(symbols.find_functions("mod!send_request"), []);
    assert_eq!(symbols.frames_at(at), []);
}

#[test]
fn before_loading_the_symbol_table_answers() {
    let fixture = Fixture::new(&["-gdwarf-5", "-O2"]);
    let image = DebugImage::open(&fixture.link()).unwrap();
    let mut symbols = Symbols::new();
    symbols.place(VMLINUX, image.clone(), Placement::Slide(0));
    let at = symbols.symbol_addr("send_request").unwrap();
    let frames = symbols.frames_at(at.offset(3));
    assert_eq!(frames.len(), 1);
    assert_eq!((frames[0].function.as_str(), frames[0].line), ("send_request", None));
    assert_eq!(symbols.find_functions("send_request")[0].entry, at);
    assert_eq!(symbols.complete_function("send_", 5), ["send_request"]);
    assert!(symbols.cfi_row(at).is_some());
    assert_eq!(symbols.struct_layout("request"), None);
    symbols.set_slide(0x1000);
    assert_eq!(symbols.symbol_addr("send_request").unwrap(), at.offset(0x1000));

    let cancelled = image.load_dwarf(&|_| {}, &AtomicBool::new(true));
    assert!(cancelled.unwrap_err().to_string().contains("cancelled"));
    assert!(!image.dwarf_ready());
    image.load_dwarf(&|_| {}, &AtomicBool::new(false)).unwrap();
    assert!(symbols.struct_layout("request").is_some(), "the value sees what was loaded later");
    assert_eq!(
        symbols.find_functions("send_request")[0].line,
        Some(fixture.lines("main.c", "int send_request(")[0])
    );
}

#[test]
fn variables_in_scope_are_gdbs() {
    for fixture in every_flavour() {
        let path = fixture.link();
        let symbols = load(&path, Placement::Slide(0));
        let send = symbols.find_functions("send_request")[0].entry;
        let function = symbols.function_at(send).unwrap();
        let names = |list: Vec<kgdb_tui::symbols::answer::VariableDef>| -> Vec<String> {
            list.iter().map(|v| format!("{} {}", symbols.type_name(v.ty), v.name)).collect()
        };
        let outer = |addr| symbols.frames_at(addr).len() - 1;
        assert_eq!(
            names(symbols.arguments_at(send, outer(send))),
            ["struct request * req", "int count"]
        );
        assert!(names(symbols.locals_at(send, outer(send))).contains(&"int sum".to_owned()));
        // Somewhere in it the loop's block is in scope, and an inlined half().
        let (start, end) = function.ranges[0];
        let calls = fixture.lines("main.c", " half(");
        let mut seen_part = false;
        let mut seen_half = fixture.flags.contains(&"-O0");
        let mut addr = start;
        while addr < end {
            let frames = symbols.frames_at(addr);
            let locals = names(symbols.locals_at(addr, frames.len() - 1));
            if let Some(at) = locals.iter().position(|name| name == "int part") {
                seen_part = true;
                let sum = locals.iter().position(|name| name == "int sum").unwrap();
                assert!(at < sum, "inner first: {locals:?}");
            }
            if frames[0].function == "half" {
                seen_half = true;
                assert_eq!(names(symbols.arguments_at(addr, 0)), ["int value"]);
                assert_eq!(names(symbols.locals_at(addr, 0)), ["int rest"]);
                let instance = &symbols.inline_ranges_at(addr)[0];
                assert_eq!(instance.name, "half");
                assert!(instance.ranges.iter().any(|(s, e)| (*s..*e).contains(&addr)));
                assert!(calls.contains(&instance.call_line.unwrap()), "{instance:?}");
            }
            addr = addr.offset(1);
        }
        assert!(seen_part && seen_half, "{seen_part} {seen_half} {:?}", fixture.flags);
        assert!(symbols.frame_base(send).is_some());
    }
}

#[test]
fn types_and_variables_of_file_scope() {
    let fixture = Fixture::new(&["-gdwarf-5", "-O2"]);
    let symbols = load(&fixture.link(), Placement::Slide(0));
    assert_eq!(symbols.enumerator("STATE_COMING"), Some(5));
    assert_eq!(symbols.enumerator("STATE_GONE"), Some(-1));
    assert_eq!(symbols.enumerator("STATE_NONE"), None);
    assert_eq!(symbols.type_size("unsigned long"), Some(8));
    assert_eq!(symbols.type_size("struct request"), symbols.type_size("request"));
    assert_eq!(symbols.type_size("atomic_t"), Some(4));
    assert_eq!(symbols.type_size("struct hidden"), None);
    let variable = symbols.find_variable("first_request").unwrap();
    assert_eq!(symbols.type_name(variable.ty), "struct request");
    let ValuePlace::Expression { bytes, .. } = &variable.location else { panic!("{variable:?}") };
    let at = symbols.symbol_addr("first_request").unwrap();
    assert_eq!(bytes[1..], at.0.to_le_bytes());
    let hidden = symbols.find_variable("hidden_place").unwrap();
    let TypeShape::Pointer { size: 8, target } = symbols.type_shape(hidden.ty) else { panic!() };
    assert_eq!(symbols.type_name(target), "struct hidden");
    let layout = symbols.struct_layout("request").unwrap();
    let TypeShape::Enum { names, .. } = symbols.type_shape(layout.member("state").unwrap().ty)
    else {
        panic!()
    };
    assert_eq!(names[2], ("STATE_GONE".to_owned(), -1));
    let state = layout.member("grid").unwrap().ty;
    let TypeShape::Array { counts, .. } = symbols.type_shape(state) else { panic!() };
    assert_eq!(counts, [Some(3), Some(4)]);
}

#[test]
fn lines_that_have_no_code_say_why() {
    let fixture = Fixture::new(&["-gdwarf-5", "-O2"]);
    let symbols = load(&fixture.link(), Placement::Slide(0));
    let landed = symbols.find_lines("main.c", 2).unwrap();
    assert!(landed.line > 2);
    assert_eq!(
        symbols.find_lines("main.c", 5000),
        Err(LineMiss::NoCode { file: "main.c".to_owned(), line: 5000 })
    );
    let miss = symbols.find_lines("mian.c", 1).unwrap_err();
    assert!(miss.to_string().contains("mian.c"), "{miss}");
    let miss = symbols.find_lines("maim.c", 1).unwrap_err().to_string();
    assert!(miss.contains("did you mean") && miss.contains("/main.c"), "{miss}");
    let lines = symbols.lines_with_code("main.c");
    assert!(
        lines.contains(&fixture.lines("main.c", "int sum = 0")[0])
            && !lines.contains(&1)
            && !lines.contains(&5),
        "{lines:?}"
    );
    assert!(symbols.files().iter().any(|file| file.ends_with("/list.h")));
    assert_eq!(symbols.complete_file("mai", 5), ["main.c"]);
    let found: Vec<String> =
        symbols.search("f:request", 5).into_iter().map(|found| found.name).collect();
    assert_eq!(found, ["send_request"]);
}
