//! Symbols against gdb and addr2line on a real kernel: the test guest's
//! vmlinux, or the one that `KGDB_TUI_VMLINUX` names.

#![allow(clippy::unwrap_used, reason = "a test may")]

mod oracle;
mod support {
    pub mod guest;
    pub mod kernel;
    pub mod tools;
}

use kgdb_tui::{
    base::addr::{Addr, FileAddr},
    image::{
        file::Image,
        module_tree::{DEEP, ModuleTree},
    },
    symbols::{
        answer::{FunctionMatch, Layout, VariableDef},
        image::DebugImage,
        placed::{Placement, Symbols, VMLINUX},
    },
};
use oracle::{as_readelf, gdb_python, unwind_rows};
use std::{
    path::PathBuf,
    sync::{OnceLock, atomic::AtomicBool},
};
use support::{
    guest::built,
    kernel::{loaded, some},
};

fn vmlinux() -> PathBuf {
    if let Some(path) = std::env::var_os("KGDB_TUI_VMLINUX") {
        return path.into();
    }
    built().vmlinux
}

fn kernel() -> &'static Symbols {
    static KERNEL: OnceLock<Symbols> = OnceLock::new();
    KERNEL.get_or_init(|| loaded(&vmlinux()))
}

#[test]
fn break_function_is_where_gdb_puts_it() {
    let symbols = kernel();
    let names = some(&symbols.complete_function("", 1_000_000), 220);
    assert!(names.len() >= 200);
    let script = format!(
        r#"
gdb.execute('set breakpoint pending off')
for name in {names:?}:
    try:
        b = gdb.Breakpoint(function=name)
        print('@', name, *sorted(l.address for l in b.locations))
        b.delete()
    except (gdb.error, RuntimeError) as e:
        print('@', name)
"#
    );
    let answers = gdb_python(&vmlinux(), &script);
    assert_eq!(answers.len(), names.len());
    let mut differ = Vec::new();
    for (name, answer) in names.iter().zip(&answers) {
        let want: Vec<u64> = answer.split(' ').skip(1).map(|n| n.parse().unwrap()).collect();
        let found = symbols.find_functions(name);
        let mut have: Vec<u64> = found.iter().map(|f| as_gdb_13(symbols, f)).collect();
        have.sort();
        have.dedup();
        if have != want {
            differ.push(format!("{name}: here {have:x?}, gdb {want:x?}"));
        }
    }
    assert!(differ.is_empty(), "{} of {}:\n{}", differ.len(), names.len(), differ.join("\n"));
}

/// gdb 13 takes the start of an inlined instance's first range for its entry.
fn as_gdb_13(symbols: &Symbols, found: &FunctionMatch) -> u64 {
    if !found.inlined {
        return found.after_prologue.0;
    }
    let inlined = symbols.inline_ranges_at(found.entry);
    let own = inlined.iter().find(|i| i.name == found.name && i.entry == found.entry);
    own.map_or(found.entry.0, |instance| instance.ranges[0].0.0)
}

/// What the crate `addr2line` says of addresses in a file's own layout: for
/// each its frames from the inside out, function and line.
fn frames_of_crate(image: &Image, addrs: &[FileAddr]) -> Vec<Vec<(String, Option<u32>)>> {
    let section = |id: gimli::SectionId| {
        let bytes = image.section_data(id.name()).unwrap_or_default();
        Ok::<_, gimli::Error>(gimli::EndianSlice::new(bytes, gimli::LittleEndian))
    };
    let context = addr2line::Context::from_dwarf(gimli::Dwarf::load(section).unwrap()).unwrap();
    let of = |addr: &FileAddr| {
        let mut frames = context.find_frames(addr.0).skip_all_loads().unwrap();
        let mut list = Vec::new();
        while let Some(frame) = frames.next().unwrap() {
            let name = frame.function.map(|name| name.raw_name().unwrap().into_owned());
            let line = frame.location.and_then(|place| place.line);
            list.push((name.unwrap_or_default(), line));
        }
        list
    };
    addrs.iter().map(of).collect()
}

/// Compares the frames at about `count` addresses of an image's code, spread
/// evenly, and gives how many had a function there.
fn compare_frames(symbols: &Symbols, name: &str, count: u64) -> usize {
    let placed = symbols.images().find(|placed| placed.name == name).unwrap();
    let image = placed.image.image();
    let text = image.section(".text").unwrap();
    let addrs: Vec<FileAddr> =
        (0..count).map(|i| FileAddr(text.addr.0 + text.size * i / count)).collect();
    let (mut compared, mut other_row) = (0, 0);
    let mut differ = Vec::new();
    for (addr, want) in addrs.iter().zip(frames_of_crate(image, &addrs)) {
        // Assembly has lines and no function in DWARF.
        if want.first().is_none_or(|frame| frame.0.is_empty()) {
            continue;
        }
        compared += 1;
        let frames = symbols.frames_at(placed.runtime(*addr).unwrap());
        let have: Vec<_> = frames.into_iter().map(|f| (f.function, f.line)).collect();
        let names = |frames: &[(String, Option<u32>)]| {
            frames.iter().map(|frame| frame.0.clone()).collect::<Vec<_>>()
        };
        if names(&have) != names(&want) || have[1..] != want[1..] {
            differ.push(format!("{addr}: here {have:?}, addr2line {want:?}"));
        }
        // The crate takes the last row at or before the address, here it is
        // the last that starts a statement, as in gdb: see the test before.
        other_row += usize::from(have[0] != want[0]);
    }
    println!("{name}: {compared} compared, {other_row} at another row");
    assert!(differ.is_empty(), "{} of {compared}:\n{}", differ.len(), differ.join("\n"));
    assert!(other_row * 6 < compared, "{other_row} of {compared} at another line");
    compared
}

/// The files of a module beside the vmlinux or below.
fn module_files(name: &str) -> Vec<PathBuf> {
    ModuleTree::scan(vmlinux().parent().unwrap(), DEEP).files(name).to_vec()
}

#[test]
fn frames_are_those_of_the_addr2line_crate() {
    assert!(compare_frames(kernel(), VMLINUX, 4000) > 2000);
    for (name, at_least) in [("hgfs", 500), ("fuse", 2000)] {
        let path = module_files(name).into_iter().next().unwrap();
        let image = DebugImage::open(&path).unwrap();
        image.load_dwarf(&|_| {}, &AtomicBool::new(false)).unwrap();
        let mut symbols = Symbols::new();
        let text = vec![(".text".to_owned(), Addr(0xffff_ffff_c012_3000))];
        symbols.place(name, image, Placement::Sections(text));
        assert!(compare_frames(&symbols, name, 3000) > at_least);
    }
}

#[test]
fn unwind_rows_are_readelfs() {
    let symbols = kernel();
    let rows: Vec<_> = unwind_rows(&vmlinux()).into_iter().flatten().collect();
    let rows = some(&rows, 5000);
    assert!(rows.len() >= 5000);
    for (at, cfa, rules) in rows {
        let row = symbols.cfi_row(Addr(at)).unwrap_or_else(|| panic!("no row at {at:#x}"));
        assert_eq!(as_readelf(at, &row), (at, cfa, rules));
    }
}

#[test]
fn every_member_is_at_gdbs_offset() {
    let symbols = kernel();
    let names = [
        "task_struct",
        "module",
        "mm_struct",
        "file",
        "inode",
        "sk_buff",
        "rq",
        "pt_regs",
        "list_head",
        "super_block",
        "net_device",
        "page",
        "vm_area_struct",
        "cred",
        "dentry",
    ];
    let script = format!(
        r#"
def walk(t, base, path, depth):
    for f in t.fields():
        if not hasattr(f, 'bitpos'): continue
        p = path + (f.name or '')
        print('@', p or '-', base + f.bitpos // 8 if not f.bitsize else base * 8 + f.bitpos,
              f.bitsize, str(f.type.sizeof))
        s = f.type.strip_typedefs()
        if s.code in (gdb.TYPE_CODE_STRUCT, gdb.TYPE_CODE_UNION) and depth < 6:
            walk(s, base + f.bitpos // 8, p + '.' if f.name else path, depth + 1)
for name in {names:?}:
    t = gdb.lookup_type('struct ' + name)
    print('@ struct', name, t.sizeof)
    walk(t, 0, '', 0)
"#
    );
    let mut have = Vec::new();
    for name in names {
        let layout = symbols.struct_layout(name).unwrap_or_else(|| panic!("no {name}"));
        have.push(format!("struct {name} {}", layout.size));
        list(&layout, 0, "", 0, &mut have);
    }
    let want = gdb_python(&vmlinux(), &script);
    assert!(want.len() > 1500, "{}", want.len());
    for (have, want) in have.iter().zip(&want) {
        assert_eq!(have, want);
    }
    assert_eq!(have.len(), want.len());
}

fn list(layout: &Layout, base: u64, path: &str, depth: u32, out: &mut Vec<String>) {
    for member in &layout.members {
        let name = format!("{path}{}", member.name);
        let shown = if name.is_empty() { "-" } else { &name };
        let at = base + member.offset;
        match member.bits {
            Some((first, bits)) => {
                out.push(format!("{shown} {} {bits} {}", at * 8 + u64::from(first), member.size))
            }
            None => out.push(format!("{shown} {at} 0 {}", member.size)),
        }
        if let Some(inner) = &member.inner
            && depth < 6
        {
            let path = if member.name.is_empty() { path.to_owned() } else { format!("{name}.") };
            list(inner, at, &path, depth + 1, out);
        }
    }
}

#[test]
fn a_kernel_says_what_the_kernel_layer_asks() {
    let symbols = kernel();
    let layout = symbols.struct_layout("module").unwrap();
    assert!(layout.member("list.next").is_some() && layout.member("state").is_some());
    assert_eq!(symbols.enumerator("MODULE_STATE_LIVE"), Some(0));
    let current = symbols.per_cpu_offset_symbol("current_task");
    let kernel = symbols.vmlinux().unwrap().image.image();
    let zero_based = kernel.section(".data..percpu").is_some_and(|section| section.addr.0 == 0);
    if let Some(current) = current {
        assert_eq!(zero_based, current.0 < 0x100_0000, "{current}");
        let mut slid = symbols.clone();
        slid.set_slide(0x1400_0000);
        let moved = slid.per_cpu_offset_symbol("current_task").unwrap().since(current);
        assert_eq!(moved, if zero_based { 0 } else { 0x1400_0000 });
        let table = |symbols: &Symbols| symbols.symbol_addr("__per_cpu_offset").unwrap();
        assert_eq!(table(&slid).since(table(symbols)), 0x1400_0000);
    }
    // The linker makes it; C only declares it.
    let jiffies = symbols.find_variable("jiffies").unwrap();
    assert_eq!(symbols.type_name(jiffies.ty), "volatile unsigned long");
    assert!(symbols.search("v:jiffies", 9).iter().any(|found| found.name == "jiffies"));
    // Declared in a header, and nowhere in this kernel.
    assert!(symbols.find_variable("no_such_variable").is_none());
    // Assembly has a symbol and no DWARF function; nothing is invented.
    let entry = symbols.symbol_addr("entry_SYSCALL_64").unwrap();
    assert_eq!(symbols.describe(entry).as_deref(), Some("entry_SYSCALL_64"));
    assert_eq!(symbols.cfi_row(entry), None);
    let found = symbols.find_functions("entry_SYSCALL_64");
    assert_eq!(found.len(), 1);
    // Its lines are known all the same.
    assert!(found[0].file.as_ref().is_some_and(|file| file.name.ends_with("/entry_64.S")));
    assert_eq!(symbols.frames_at(entry)[0].line, found[0].line);
    assert_eq!(symbols.symbol_at(Addr(0)), None);
    assert_eq!(symbols.symbol_at(Addr(0x1000)), None);
    assert_eq!(symbols.symbol_at(Addr(u64::MAX)), None);
}

#[test]
fn variables_in_scope_are_gdbs() {
    let symbols = kernel();
    let names = some(&symbols.complete_function("", 1_000_000), 260);
    let addrs: Vec<u64> = (names.iter())
        .filter_map(|name| symbols.find_functions(name).into_iter().find(|f| !f.inlined))
        .filter_map(|found| symbols.function_at(found.entry))
        .flat_map(|function| {
            let (start, end) = function.ranges[0];
            let size = end.since(start);
            [start.0 + size / 3, start.0 + size * 2 / 3]
        })
        .collect();
    let script = format!(
        r#"
for a in {addrs:?}:
    out = []
    arguments, locals = [], []
    b = gdb.block_for_pc(a)
    while b is not None and not b.is_static and not b.is_global:
        for s in b:
            optional = (gdb.SYMBOL_LOC_OPTIMIZED_OUT, gdb.SYMBOL_LOC_STATIC)
            gone = '?' if s.addr_class in optional else ''
            if s.is_argument:
                arguments.append(str(s.type) + ' ' + s.name)
            elif s.is_variable or s.addr_class == gdb.SYMBOL_LOC_CONST:
                locals.append(gone + str(s.type) + ' ' + s.name)
        if b.function is not None:
            out.append('|'.join([str(b.function), ', '.join(sorted(arguments)), '; '.join(locals)]))
            arguments, locals = [], []
        b = b.superblock
    print('@', ' < '.join(out))
"#
    );
    let answers = gdb_python(&vmlinux(), &script);
    assert_eq!(answers.len(), addrs.len());
    let shown = |list: Vec<VariableDef>| -> Vec<String> {
        let mut list: Vec<String> =
            list.iter().map(|v| format!("{} {}", symbols.type_name(v.ty), v.name)).collect();
        list.sort();
        list
    };
    let mut differ = Vec::new();
    let mut compared = 0;
    for (addr, want) in addrs.iter().zip(&answers) {
        let at = Addr(*addr);
        let frames = symbols.frames_at(at);
        // Assembly has no block in gdb and no variables here.
        if want.is_empty() && symbols.function_at(at).is_some_and(|f| f.line.is_none()) {
            continue;
        }
        let want: Vec<&str> = want.split(" < ").collect();
        assert_eq!(frames.len(), want.len(), "{at}");
        for (depth, want) in want.iter().enumerate() {
            compared += 1;
            let (function, want) = want.split_once('|').unwrap();
            let (arguments, want) = want.split_once('|').unwrap();
            let have = shown(symbols.arguments_at(at, depth)).join(", ");
            if frames[depth].function != function || have != arguments {
                differ.push(format!("{at} {function}:\n  here {have}\n  gdb  {arguments}"));
            }
            // gdb also lists what was optimized out of blocks that are not
            // here at all, and statics of such blocks; the rest must be the
            // same.
            let have = shown(symbols.locals_at(at, depth));
            let all: Vec<&str> = want.split("; ").filter(|name| !name.is_empty()).collect();
            let missing = all.iter().any(|v| !v.starts_with('?') && !have.iter().any(|h| h == v));
            let invented = have.iter().any(|h| !all.iter().any(|v| v.trim_start_matches('?') == h));
            if missing || invented {
                differ.push(format!("{at} {function}:\n  here {have:?}\n  gdb  {all:?}"));
            }
        }
    }
    assert!(compared > 200, "{compared}");
    assert!(differ.is_empty(), "{} of {compared}:\n{}", differ.len(), differ.join("\n"));
}

#[test]
fn break_line_is_where_gdb_puts_it() {
    let symbols = kernel();
    for file in ["fs/read_write.c", "kernel/fork.c"] {
        let lines: Vec<u32> = symbols.lines_with_code(file).iter().copied().collect();
        let lines = some(&lines, 150);
        let script = format!(
            r#"
for line in {lines:?}:
    b = gdb.Breakpoint(source='{file}', line=line)
    print('@', *sorted(l.address for l in b.locations))
    b.delete()
"#
        );
        let answers = gdb_python(&vmlinux(), &script);
        assert_eq!(answers.len(), lines.len());
        let mut differ = Vec::new();
        for (line, answer) in lines.iter().zip(&answers) {
            let want: Vec<u64> = answer.split(' ').filter_map(|n| n.parse().ok()).collect();
            let found = symbols.find_lines(file, *line).unwrap();
            assert_eq!(found.line, *line);
            let mut have: Vec<u64> = found.sites.iter().map(|site| site.0).collect();
            have.sort();
            // gdb drops a row without instructions at a switch to another
            // file ("all we lose is the ability to set breakpoints at some
            // lines which contain no instructions anyway", buildsym.c). The
            // line of a call that was inlined right at its start is such a
            // row; here it can be stopped at, before the inlined code.
            let empty = |site: &u64| {
                let row = symbols.row_at(Addr(*site)).unwrap();
                row.line != *line || !row.file.name.ends_with(file)
            };
            let lost = |site: &&u64| !want.contains(site);
            if have != want && !have.iter().filter(lost).all(empty) {
                differ.push(format!("{file}:{line}: here {have:x?}, gdb {want:x?}"));
            }
        }
        assert!(differ.is_empty(), "{} of {}:\n{}", differ.len(), lines.len(), differ.join("\n"));
    }
}

/// A real module, with the sections where a guest might have them.
#[test]
fn a_module_breaks_where_gdb_breaks_it() {
    let path = module_files("fuse")
        .into_iter()
        .find(|path| path.extension().is_some_and(|ending| ending == "ko"))
        .expect("fuse.ko beside the vmlinux or below");
    let image = DebugImage::open(&path).unwrap();
    image.load_dwarf(&|_| {}, &AtomicBool::new(false)).unwrap();
    // Relocated tables point into the module's code: ORC's offsets count from
    // where they are.
    let elf = image.image();
    let table = elf.section_data(".orc_unwind_ip").expect("the guest has ORC");
    let start = elf.section(".orc_unwind_ip").unwrap().addr.0;
    assert!(table.len() > 4000);
    for (i, word) in table.chunks_exact(4).enumerate() {
        let offset = i64::from(i32::from_le_bytes(word.try_into().unwrap()));
        let at = (start + 4 * i as u64).wrapping_add_signed(offset);
        let section = elf.section_at(FileAddr(at)).or_else(|| elf.section_at(FileAddr(at - 1)));
        assert!(section.is_some_and(|section| section.exec), "{i}: {at:#x}");
    }
    let loaded =
        image.image().sections().iter().filter(|section| section.alloc && section.size > 0);
    let mut next = 0xffff_ffff_c012_3000;
    let mut placement = Vec::new();
    for section in loaded.filter(|section| !section.name.starts_with(".init")) {
        placement.push((section.name.clone(), Addr(next)));
        next += section.size.next_multiple_of(0x1000) + 0x3000;
    }
    let text = placement.iter().find(|(name, _)| name == ".text").unwrap().1;
    let mut symbols = Symbols::new();
    symbols.place("fuse", image.clone(), Placement::Sections(placement.clone()));

    let names = symbols.complete_function("fuse_", 1000);
    assert!(names.len() > 300, "{}", names.len());
    let places: Vec<String> = placement
        .iter()
        .filter(|(name, _)| name != ".text")
        .map(|(name, addr)| format!("-s {name} {addr}"))
        .collect();
    let script = format!(
        r#"
gdb.execute('set confirm off')
gdb.execute('set breakpoint pending off')
gdb.execute('file')
gdb.execute('add-symbol-file {} {text} {}')
for name in {names:?}:
    try:
        b = gdb.Breakpoint(function=name)
        print('@', name, *sorted(l.address for l in b.locations))
        b.delete()
    except (gdb.error, RuntimeError) as e:
        print('@', name)
"#,
        path.display(),
        places.join(" ")
    );
    let answers = gdb_python(&path, &script);
    assert_eq!(answers.len(), names.len());
    let answered = answers.iter().filter(|answer| answer.contains(' ')).count();
    assert!(answered > 250, "gdb knows {answered}");
    let in_module = |addr: &u64| (text.0..next).contains(addr);
    let mut differ = Vec::new();
    for (name, answer) in names.iter().zip(&answers) {
        // gdb leaves what has no place (`.init.text`) at low addresses.
        let want: Vec<u64> = answer.split(' ').skip(1).map(|n| n.parse().unwrap()).collect();
        let want: Vec<u64> = want.into_iter().filter(in_module).collect();
        let found = symbols.find_functions(name);
        let mut have: Vec<u64> = found.iter().map(|f| as_gdb_13(&symbols, f)).collect();
        have.sort();
        have.dedup();
        if have != want {
            differ.push(format!("{name}: here {have:x?}, gdb {want:x?}"));
        }
    }
    assert!(differ.is_empty(), "{} of {}:\n{}", differ.len(), names.len(), differ.join("\n"));
}

/// Every call that gcc describes is found by where it returns to, those too
/// that it leaves in the abstract instance of a function that has code of its
/// own. Checked in one unit of forty.
#[test]
fn described_calls_are_found() {
    let symbols = kernel();
    let placed = symbols.vmlinux().unwrap();
    let image = placed.image.image();
    let section = |id: gimli::SectionId| {
        let bytes = image.section_data(id.name()).unwrap_or_default();
        Ok::<_, gimli::Error>(gimli::EndianSlice::new(bytes, gimli::LittleEndian))
    };
    let dwarf = gimli::Dwarf::load(section).unwrap();
    let (mut units, mut found, mut missed) = (dwarf.units(), 0, Vec::new());
    let mut number = 0;
    while let Some(header) = units.next().unwrap() {
        number += 1;
        let unit = dwarf.unit(header).unwrap();
        let name = unit.name.map_or(String::new(), |name| name.to_string_lossy().into_owned());
        if number % 40 != 0 && name != "kernel/rcu/tree.c" {
            continue;
        }
        let mut entries = unit.entries();
        while let Some(entry) = entries.next_dfs().unwrap() {
            if entry.tag() != gimli::DW_TAG_call_site {
                continue;
            }
            let Some(value) = entry.attr_value(gimli::DW_AT_call_return_pc) else {
                continue;
            };
            let pc = dwarf.attr_address(&unit, value).unwrap().unwrap();
            let pc = placed.runtime(FileAddr(pc)).unwrap_or_default();
            match symbols.call_site_at(pc) {
                Some(_) => found += 1,
                None => missed.push(format!("{name}: {pc}")),
            }
        }
    }
    eprintln!("{found} described calls found, {} not", missed.len());
    assert!(missed.is_empty(), "{missed:#?}");
    assert!(found > 500, "{found}");
}

/// A text that is taken from the file holds nothing that KASLR moves: the kernel's
/// own relocations say what that is.
#[test]
fn constant_texts_hold_nothing_that_moves() {
    use object::{
        Object as _, ObjectSection as _, ObjectSymbol as _, RelocationFlags, RelocationTarget,
        SymbolSection, elf,
    };
    let symbols = kernel();
    let bytes = std::fs::read(vmlinux()).unwrap();
    let file = object::File::parse(&*bytes).unwrap();
    let rodata = file.section_by_name(".rodata").unwrap();
    let (start, size) = (rodata.address(), rodata.size());
    // Offsets into per-CPU data and absolute numbers stay (arch/x86/tools/relocs.c),
    // and distances inside the kernel.
    let stays = |target: RelocationTarget| {
        let RelocationTarget::Symbol(index) = target else { return false };
        let symbol = file.symbol_by_index(index).unwrap();
        match symbol.section_index() {
            Some(index) => file.section_by_index(index).unwrap().address() == 0,
            None => symbol.section() == SymbolSection::Absolute,
        }
    };
    let moved: std::collections::BTreeSet<u64> = rodata
        .relocations()
        .filter(|(_, relocation)| !stays(relocation.target()))
        .flat_map(|(at, relocation)| match relocation.flags() {
            RelocationFlags::Elf { r_type: elf::R_X86_64_64 } => at + 2..at + 8,
            RelocationFlags::Elf { r_type: elf::R_X86_64_32S | elf::R_X86_64_32 } => at + 2..at + 4,
            _ => 0..0,
        })
        .collect();
    if moved.is_empty() {
        println!("this vmlinux has no relocations any more");
        return;
    }
    assert!(moved.iter().all(|at| (start..start + size).contains(at)));
    let (mut texts, mut bytes_of_texts) = (0, 0);
    let mut offset = 0;
    while offset < size {
        let Some(text) = symbols.constant_text(Addr(start + offset), 4096) else {
            offset += 1;
            continue;
        };
        let at = start + offset;
        let hit = moved.range(at..at + text.len() as u64).next();
        assert_eq!(hit, None, "at {at:#x}: {text:?}");
        texts += 1;
        bytes_of_texts += text.len();
        offset += 1;
    }
    println!("{texts} beginnings of texts, {bytes_of_texts} bytes, {} moved bytes", moved.len());
    assert!(texts > 100_000);
    let banner = symbols.symbol_addr("linux_banner").unwrap();
    assert!(symbols.constant_text(banner, 200).unwrap().starts_with(b"Linux version "));
    let data = symbols.symbol_addr("init_uts_ns").unwrap();
    assert_eq!(symbols.constant_text(data, 200), None);
}
