//! Random addresses and lines of real files, against addr2line and gdb: the
//! test guest's vmlinux and every module of it; with `KGDB_TUI_BIG=1` also a
//! distribution's vmlinux and its largest modules (a download of 860 MB, once).
//!
//! Every difference is listed unless a rule below explains it, and one that is
//! listed fails the test. `KGDB_TUI_SEED=N` draws other samples.

#![allow(clippy::unwrap_used, reason = "a test may")]

mod oracle;
mod support {
    pub mod distribution;
    pub mod guest;
    pub mod tools;
}

use kgdb_tui::{
    base::addr::{Addr, FileAddr},
    symbols::{
        image::DebugImage,
        placed::{Placed, Placement, Symbols, VMLINUX},
    },
};
use oracle::{Frame, addr2line_of, gdb_python};
use std::{
    fmt::Write as _,
    fs,
    path::{Path, PathBuf},
    sync::atomic::AtomicBool,
};
use support::{distribution, guest::built};

/// Numbers that look random and are the same each time (xorshift64*).
struct Dice(u64);

impl Dice {
    fn new() -> Dice {
        let seed = std::env::var("KGDB_TUI_SEED").ok().and_then(|seed| seed.parse().ok());
        Dice(seed.unwrap_or(0x5eed_0001_u64).max(1))
    }

    fn below(&mut self, end: u64) -> u64 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        self.0.wrapping_mul(0x2545_f491_4f6c_dd1d) % end.max(1)
    }

    fn pick<'a, T>(&mut self, list: &'a [T]) -> &'a T {
        &list[self.below(list.len() as u64) as usize]
    }
}

fn loaded(path: &Path, name: &str, placement: impl Fn(&DebugImage) -> Placement) -> Symbols {
    let image = DebugImage::open(path).unwrap();
    image.load_dwarf(&|_| {}, &AtomicBool::new(false)).unwrap();
    let mut symbols = Symbols::new();
    let placement = placement(&image);
    symbols.place(name, image, placement);
    symbols
}

fn kernel(path: &Path) -> Symbols {
    loaded(path, VMLINUX, |_| Placement::Slide(0))
}

/// A module with each loaded section at a place of its own.
fn module(path: &Path) -> Symbols {
    let name = path.file_name().unwrap().to_string_lossy();
    loaded(path, name.split('.').next().unwrap(), |image| {
        let mut next = 0xffff_ffff_c012_3000;
        let loaded = image.image().sections().iter().filter(|s| s.alloc && s.size > 0);
        let place = |section: &kgdb_tui::image::file::Section| {
            let at = next;
            next += section.size.next_multiple_of(0x1000) + 0x3000;
            (section.name.clone(), Addr(at))
        };
        Placement::Sections(loaded.map(place).collect())
    })
}

fn only(symbols: &Symbols) -> &Placed {
    symbols.images().next().unwrap()
}

/// Addresses inside functions, as likely in each byte of code.
fn random_addresses(placed: &Placed, count: usize, dice: &mut Dice) -> Vec<FileAddr> {
    let image = placed.image.image();
    let in_code = |at| image.section_at(at).is_some_and(|section| section.exec);
    let mut functions: Vec<(u64, u64)> = (image.symbols().iter())
        .filter(|symbol| symbol.function && symbol.size > 0 && in_code(symbol.addr))
        .map(|symbol| (symbol.addr.0, symbol.size))
        .collect();
    functions.dedup();
    let total: u64 = functions.iter().map(|function| function.1).sum();
    let mut ends = Vec::with_capacity(functions.len());
    let mut end = 0;
    for (_, size) in &functions {
        end += size;
        ends.push(end);
    }
    let mut addrs: Vec<FileAddr> = (0..count)
        .map(|_| {
            let byte = dice.below(total);
            let function = ends.partition_point(|&end| end <= byte);
            let (start, size) = functions[function];
            FileAddr(start + (byte + size - ends[function]))
        })
        .collect();
    addrs.sort();
    addrs.dedup();
    addrs
}

/// gdb's line at each address of an image, as it is placed; 0 for none.
fn gdb_lines(path: &Path, placed: &Placed, addrs: &[Addr]) -> Vec<u32> {
    let addrs: Vec<u64> = addrs.iter().map(|addr| addr.0).collect();
    let script = format!(
        "{}for a in {addrs:?}:\n  print('@', gdb.find_pc_line(a).line)\n",
        placing(path, placed)
    );
    let lines = gdb_python(path, &script);
    assert_eq!(lines.len(), addrs.len());
    lines.iter().map(|line| line.parse().unwrap()).collect()
}

/// Python that makes gdb place a module as `placed` is.
fn placing(path: &Path, placed: &Placed) -> String {
    let Placement::Sections(sections) = &placed.placement else { return String::new() };
    let mut command = format!("add-symbol-file {}", path.display());
    for (name, addr) in sections {
        let _ = write!(command, " -s {name} {addr}");
    }
    format!(
        "gdb.execute('set confirm off')\ngdb.execute('file')\ngdb.execute('{command}', to_string=True)\n"
    )
}

/// Compares the functions, the chain of inlined calls, and the lines at
/// `count` random addresses.
fn compare_addresses(path: &Path, symbols: &Symbols, count: usize) {
    let placed = only(symbols);
    let image = placed.image.image();
    let addrs = random_addresses(placed, count, &mut Dice::new());
    let runtime: Vec<Addr> = addrs.iter().map(|&at| placed.runtime(at).unwrap()).collect();
    let lines = gdb_lines(path, placed, &runtime);
    let witness = addr2line_of(path, image, &addrs);
    let (mut chains, mut assembly, mut other_row) = (0, 0, 0);
    let mut differ = Vec::new();
    for (((at, here), mut want), gdb) in addrs.iter().zip(&runtime).zip(witness).zip(lines) {
        let found = symbols.frames_at(*here);
        let mut have: Vec<Frame> = (found.iter())
            .map(|frame| Frame {
                function: frame.function.clone(),
                file: frame.file.as_ref().map_or("??".to_owned(), |file| file.name.clone()),
                line: frame.line.unwrap_or(0),
            })
            .collect();
        let note = format!("{at}: here {have:?}, gdb {gdb}, addr2line {want:?}");
        if have.is_empty() {
            differ.push(note);
            continue;
        }
        // Of several rows at one address addr2line takes the last. Here and in
        // gdb it is the last one that is a statement; but gdb has dropped rows
        // that go on with a line after a discriminator (`dwarf_record_line_p`
        // in gdb/dwarf2/read.c). So the innermost line has two witnesses that
        // may differ, and has to be what one of them says.
        other_row += usize::from(have[0].line != want[0].line);
        if have[0].line != want[0].line && have[0].line != gdb {
            differ.push(note);
            continue;
        }
        want[0].line = have[0].line;
        want[0].file.clone_from(&have[0].file);
        // Assembly has no function in DWARF: addr2line names the nearest
        // symbol of any kind, here it is the best one that reaches so far.
        let by_symbol = placed.image.image().symbols();
        if symbols.function_at(*here).is_some_and(|function| function.line.is_none()) {
            assembly += 1;
            let named = by_symbol.named(&want[0].function).any(|symbol| symbol.addr <= *at);
            if have.len() != 1 || !named {
                differ.push(note);
            }
            continue;
        }
        chains += usize::from(have.len() > 1);
        for frame in have.iter_mut().chain(&mut want) {
            frame.file = base_name(&frame.file);
        }
        if have != want {
            differ.push(note);
        }
    }
    println!(
        "{}: {} addresses, {chains} inlined, {assembly} in assembly, {other_row} at another row than addr2line",
        path.display(),
        addrs.len()
    );
    // A module of a few lines has nothing inlined.
    let few = addrs.len() < 100;
    assert!(few || chains * 20 > addrs.len(), "{chains} of {} are inlined", addrs.len());
    assert!(differ.is_empty(), "{} of {}:\n{}", differ.len(), addrs.len(), differ.join("\n"));
}

/// The tools join directories in ways of their own.
fn base_name(path: &str) -> String {
    path.rsplit('/').next().unwrap_or(path).to_owned()
}

/// Compares where random lines of source files are broken at.
fn compare_lines(path: &Path, symbols: &Symbols, count: usize) {
    let placed = only(symbols);
    let mut dice = Dice::new();
    let files: Vec<String> =
        symbols.files().into_iter().filter(|file| file.ends_with(".c")).collect();
    let mut asked: Vec<(String, u32)> = Vec::new();
    for _ in 0..count * 20 {
        if asked.len() >= count {
            break;
        }
        // A few lines of each file: gdb reads a unit at the first question.
        let file = dice.pick(&files).clone();
        let lines: Vec<u32> = symbols.lines_with_code(&file).iter().copied().collect();
        if !lines.is_empty() {
            let of_file = (0..5).map(|_| (file.clone(), *dice.pick(&lines)));
            asked.extend(of_file.collect::<Vec<_>>());
        }
    }
    asked.sort();
    asked.dedup();
    let script = format!(
        r#"
{}gdb.execute('set breakpoint pending off')
for file, line in {asked:?}:
    try:
        b = gdb.Breakpoint(source=file, line=line)
        sites = sorted(str(l.address) + ':' + str(l.source[1] if l.source else 0) for l in b.locations)
        b.delete()
        tables = {{s.symtab for s in gdb.decode_line(f'{{file}}:{{line}}')[1] if s.symtab}}
        rows = {{r.pc for t in tables for r in t.linetable().line(line) or ()}}
        print('@ =', *sites, '=', *rows)
    except (gdb.error, RuntimeError) as e:
        print('@ = =' if str(e).startswith('No line') else '@ ?', e)
"#,
        placing(path, placed)
    )
    .replace("[(\"", "[(r\"");
    let answers = gdb_python(path, &script);
    assert_eq!(answers.len(), asked.len());
    let (mut lost_rows, mut refused) = (0, 0);
    let mut differ = Vec::new();
    for ((file, line), answer) in asked.iter().zip(&answers) {
        if answer.starts_with('?') {
            refused += 1;
            differ.push(format!("{file}:{line}: gdb says {answer}"));
            continue;
        }
        // Sites, each with the line that gdb takes it for; then the addresses
        // of the rows of the line that are in gdb's own table.
        let (sites, rows) = answer.rsplit_once('=').unwrap();
        let sites: Vec<(u64, u32)> = (sites.split(' '))
            .filter_map(|site| site.split_once(':'))
            .map(|(at, line)| (at.parse().unwrap(), line.parse().unwrap()))
            .collect();
        let rows: Vec<u64> = rows.split(' ').filter_map(|row| row.parse().ok()).collect();
        let want: Vec<u64> = sites.iter().map(|site| site.0).collect();
        let found = match symbols.find_lines(file, *line) {
            Ok(found) => found,
            Err(why) => {
                differ.push(format!("{file}:{line}: here {why}, gdb {want:x?}"));
                continue;
            }
        };
        let mut have: Vec<u64> = found.sites.iter().map(|site| site.0).collect();
        have.sort();
        if have == want {
            continue;
        }
        // gdb drops rows that are in the file: one without instructions at a
        // switch to another file ("all we lose is the ability to set
        // breakpoints at some lines which contain no instructions anyway",
        // gdb/buildsym.c), such as the line of a call that was inlined right
        // at its start; and one that goes on with a line after a discriminator
        // (`dwarf_record_line_p` in gdb/dwarf2/read.c). Here they can be
        // stopped at. Where it has dropped the first row of a block, gdb takes
        // a later one there; where it has dropped all, a later line.
        let lost = |site: &u64| !rows.contains(site);
        // gdb takes a row of no length too: the next one begins at the same
        // address, with another line.
        let empty = |at: &u64| {
            symbols.row_at(Addr(*at)).is_some_and(|row| row.start.0 == *at && row.line != *line)
        };
        let moved = |at: &u64| sites.iter().any(|site| site.0 == *at && site.1 != *line);
        let later = |at: &u64| moved(at) || have.iter().any(|other| lost(other) && other < at);
        let more = have.iter().filter(|site| !want.contains(site));
        let less = want.iter().filter(|site| !have.contains(site));
        if more.copied().all(|site| lost(&site))
            && less.copied().all(|site| later(&site) || empty(&site))
        {
            lost_rows += 1;
            continue;
        }
        differ.push(format!("{file}:{line}: here {have:x?}, gdb {sites:x?}"));
    }
    println!(
        "{}: {} lines, {lost_rows} where gdb has no row, {refused} refused by gdb",
        path.display(),
        asked.len()
    );
    assert!(lost_rows * 3 < asked.len(), "{lost_rows} of {}", asked.len());
    assert!(differ.is_empty(), "{} of {}:\n{}", differ.len(), asked.len(), differ.join("\n"));
}

fn modules() -> Vec<PathBuf> {
    let dir = built().dir.join("modules");
    let mut found: Vec<PathBuf> =
        fs::read_dir(dir).unwrap().map(|entry| entry.unwrap().path()).collect();
    found.retain(|path| path.extension().is_some_and(|ending| ending == "ko"));
    found.sort();
    assert!(found.len() >= 3, "{found:?}");
    found
}

#[test]
fn random_addresses_of_the_guests_kernel() {
    let path = built().vmlinux;
    compare_addresses(&path, &kernel(&path), 4000);
}

#[test]
fn random_addresses_of_the_guests_modules() {
    for path in modules() {
        compare_addresses(&path, &module(&path), 1500);
    }
}

#[test]
fn random_lines_of_the_guests_kernel() {
    let path = built().vmlinux;
    compare_lines(&path, &kernel(&path), 1500);
}

#[test]
fn random_lines_of_the_guests_modules() {
    for path in modules() {
        compare_lines(&path, &module(&path), 500);
    }
}

#[test]
fn a_distributions_files_as_well() {
    let Some(files) = distribution::files() else { return };
    compare_addresses(&files.vmlinux, &kernel(&files.vmlinux), 3000);
    compare_lines(&files.vmlinux, &kernel(&files.vmlinux), 500);
    for path in &files.modules {
        compare_addresses(path, &module(path), 1500);
        compare_lines(path, &module(path), 300);
    }
}
