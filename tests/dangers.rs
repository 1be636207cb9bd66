//! Where a breakpoint would cost the guest: on the real vmlinux, and beside the
//! kernel's own list on a real guest.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

mod support {
    pub mod guest;
    pub mod kernel;
    pub mod tools;
}

use kgdb_tui::{
    arch::{insn::MAX_LEN, insn::decode_one},
    base::{
        addr::Addr,
        memory::{Gap, Memory},
    },
    demo::guest::{BOOT_PATIENCE, Boot},
    kernel::danger::{Danger, Dangers, Kind},
    symbols::placed::Symbols,
};
use support::{
    guest::{boot, built},
    kernel::loaded,
};

/// Code as the file has it.
struct File<'a>(&'a Symbols);

impl Memory for File<'_> {
    fn read(&self, addr: Addr, into: &mut [u8]) -> Result<(), Gap> {
        let code = self.0.file_code(addr, into.len());
        let fault = || Gap::Fault(kgdb_tui::base::memory::Span::new(addr, into.len() as u64));
        let code = code.ok_or_else(fault)?;
        into.copy_from_slice(&code);
        Ok(())
    }
}

fn kind_of(symbols: &Symbols, dangers: &Dangers, name: &str) -> Option<Kind> {
    let addr = symbols.symbol_addr(name).unwrap_or_else(|| panic!("no symbol {name}"));
    match dangers.at(symbols, &File(symbols), addr).unwrap() {
        None => None,
        Some(Danger::Deadly { kind, .. }) => Some(kind),
        Some(other) => panic!("{name}: {other}"),
    }
}

/// Each kind is told by its own reason; what users set breakpoints on is free.
#[test]
fn kinds_of_dangerous_places() {
    let symbols = loaded(&built().vmlinux);
    let dangers = Dangers::new(&symbols);
    for (name, kind) in [
        ("entry_SYSCALL_64", Kind::Entry),
        ("asm_exc_int3", Kind::Entry),
        ("exc_int3", Kind::Noinstr),
        ("exc_nmi", Kind::Noinstr),
        ("notify_die", Kind::Listed),
        ("nmi_handle", Kind::Listed),
        ("kgdb_breakpoint", Kind::Debugger),
        ("gdb_serial_stub", Kind::Debugger),
        ("kgdb_nmi_handler", Kind::Debugger),
        ("vkdb_printf", Kind::Debugger),
        ("kgdboc_get_char", Kind::Serial),
        ("serial8250_put_poll_char", Kind::Serial),
        ("__text_poke", Kind::Patching),
        ("switch_mm_irqs_off", Kind::Patching),
    ] {
        assert_eq!(kind_of(&symbols, &dangers, name), Some(kind), "{name}");
    }
    for name in ["vfs_read", "do_init_module", "schedule", "kernel_clone", "ksys_write", "printk"] {
        let name = if name == "printk" { "_printk" } else { name };
        assert_eq!(kind_of(&symbols, &dangers, name), None, "{name}");
    }
    let jiffies = symbols.symbol_addr("init_task").unwrap();
    let found = dangers.at(&symbols, &File(&symbols), jiffies).unwrap();
    assert_eq!(found, Some(Danger::NotCode(jiffies)));
    let why = found.unwrap().to_string();
    assert!(why.contains("not code"), "{why}");
}

/// Every instruction of some functions is one, and every byte inside is not.
#[test]
fn instructions_and_what_is_inside_them() {
    let symbols = loaded(&built().vmlinux);
    let dangers = Dangers::new(&symbols);
    let memory = File(&symbols);
    let mut inside = 0;
    for name in ["vfs_read", "schedule", "do_init_module", "kernel_clone", "__alloc_pages"] {
        let function = symbols.function_at(symbols.symbol_addr(name).unwrap()).unwrap();
        let (start, end) = function.ranges[0];
        let mut at = start;
        while at < end {
            let bytes = symbols.file_code(at, MAX_LEN).unwrap();
            let insn = decode_one(at, &bytes).unwrap();
            assert_eq!(dangers.at(&symbols, &memory, at).unwrap(), None, "{name} {at}");
            for byte in 1..insn.bytes.len() as u64 {
                let addr = at.offset(byte);
                let found = dangers.at(&symbols, &memory, addr).unwrap();
                assert_eq!(found, Some(Danger::InsideInstruction { addr, begin: at }), "{name}");
                inside += 1;
            }
            at = insn.next();
        }
    }
    assert!(inside > 2000, "{inside}");
}

/// Nothing that the kernel itself refuses is allowed, and nothing is read to
/// know that.
#[test]
fn the_kernels_own_list() {
    struct Nothing;
    impl Memory for Nothing {
        fn read(&self, addr: Addr, into: &mut [u8]) -> Result<(), Gap> {
            Err(Gap::Missing(kgdb_tui::base::memory::Span::new(addr, into.len() as u64)))
        }
    }
    let mut guest = boot(&Boot { kaslr: false, ..Boot::default() });
    let shell = guest.shell().unwrap();
    shell.expect("# ", BOOT_PATIENCE).unwrap();
    let list = shell.run("cat /sys/kernel/debug/kprobes/blacklist").unwrap().text;
    let symbols = loaded(&built().vmlinux);
    let dangers = Dangers::new(&symbols);
    let lines: Vec<(Addr, Addr, String)> = list.lines().filter_map(entry).collect();
    assert!(lines.len() > 200, "{} lines: {list}", lines.len());
    let mut missed = Vec::new();
    for (start, _, name) in &lines {
        // What was freed after boot is no place at all.
        let Some(symbol) = symbols.symbol_at(*start) else { continue };
        let found = dangers.at(&symbols, &Nothing, *start);
        if !matches!(found, Ok(Some(Danger::Deadly { .. }))) {
            missed.push(format!("{start} {name} ({}): {found:?}", symbol.name));
        }
    }
    assert!(missed.is_empty(), "{} of {}: {missed:#?}", missed.len(), lines.len());
    // Not everything is refused.
    let names = symbols.complete_function("vfs_", 90);
    let free: Vec<String> =
        names.into_iter().filter(|name| symbols.symbol_addr(name).is_some()).collect();
    assert!(free.len() > 20, "{free:?}");
    for name in &free {
        assert_eq!(kind_of(&symbols, &dangers, name), None, "{name}");
    }
}

/// A line of the list: two addresses with `-` between, a tab, a name.
fn entry(line: &str) -> Option<(Addr, Addr, String)> {
    let (range, name) = line.trim().split_once('\t')?;
    let (start, end) = range.split_once('-')?;
    let number = |text: &str| u64::from_str_radix(text.trim().strip_prefix("0x")?, 16).ok();
    Some((Addr(number(start)?), Addr(number(end)?), name.to_string()))
}
