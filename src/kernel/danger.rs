//! Places where a software breakpoint costs the guest, or can't be planted.
//!
//! A breakpoint is an int3, and what runs between that int3 and the debugger
//! must not have another one in it: the machine would trap inside its own trap.
//! Newer kernels refuse some of these places themselves
//! (`kgdb_within_blocklist` in include/linux/kgdb.h, 5.10 and later, with
//! CONFIG_KGDB_HONOUR_BLOCKLIST), older ones none; no kernel refuses kgdb's own
//! code, nor an address in the middle of an instruction.
//!
//! All of this is known from vmlinux alone: nothing is read from the guest but
//! the code before an address that no symbol and no line begins at.

use crate::{
    arch::insn::instruction,
    base::{
        addr::{Addr, FileAddr},
        memory::{Gap, Memory},
    },
    symbols::placed::{Placed, Symbols},
};
use std::collections::BTreeSet;
use thiserror::Error;

/// More code than is decoded to find out where instructions begin; rows of the
/// line table are nearer than that.
const MOST_DECODED: u64 = 4096;

/// Why there must be no breakpoint.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum Danger {
    /// Data, or nothing.
    #[error("{0} is not code: nothing is executed there")]
    NotCode(Addr),
    /// Inside an instruction.
    #[error("{addr} is in the middle of an instruction, which begins at {begin}")]
    InsideInstruction {
        /// The address.
        addr: Addr,
        /// The instruction it is in.
        begin: Addr,
    },
    /// Code of a kind that must not trap.
    #[error("{function} is {kind}; a breakpoint there can cost the guest")]
    Deadly {
        /// The function.
        function: String,
        /// What it is.
        kind: Kind,
    },
}

/// Kinds of code that must not trap.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum Kind {
    /// `.entry.text`.
    #[error("entry code, which runs before the kernel's own stack and registers are set up")]
    Entry,
    /// `.noinstr.text`.
    #[error("code that must not be instrumented (noinstr); exceptions and NMIs run through it")]
    Noinstr,
    /// `.kprobes.text`.
    #[error("code of the breakpoint exception itself (.kprobes.text)")]
    Kprobes,
    /// On the list that NOKPROBE_SYMBOL makes.
    #[error("on the kernel's own list of functions that must not have a breakpoint")]
    Listed,
    /// kgdb and kdb.
    #[error("the kernel's debugger itself")]
    Debugger,
    /// What kgdb talks through.
    #[error("the serial port's code that the kernel's debugger talks through")]
    Serial,
    /// What plants and lifts breakpoints.
    #[error("the code that plants and lifts breakpoints")]
    Patching,
    /// NMIs stop the other CPUs.
    #[error("on the way of the NMI that stops the other CPUs")]
    Nmi,
}

/// Sections that a pair of symbols encloses (arch/x86/kernel/vmlinux.lds.S,
/// include/asm-generic/vmlinux.lds.h).
const RANGES: &[(&str, &str, Kind)] = &[
    ("__entry_text_start", "__entry_text_end", Kind::Entry),
    ("__noinstr_text_start", "__noinstr_text_end", Kind::Noinstr),
    ("__kprobes_text_start", "__kprobes_text_end", Kind::Kprobes),
];

/// Files of which every function is of a kind.
const FILES: &[(&str, Kind)] = &[
    ("kernel/debug/debug_core.c", Kind::Debugger),
    ("kernel/debug/gdbstub.c", Kind::Debugger),
    ("kernel/debug/kdb/kdb_main.c", Kind::Debugger),
    ("kernel/debug/kdb/kdb_io.c", Kind::Debugger),
    ("kernel/debug/kdb/kdb_debugger.c", Kind::Debugger),
    ("kernel/debug/kdb/kdb_support.c", Kind::Debugger),
    ("kernel/debug/kdb/kdb_bt.c", Kind::Debugger),
    ("kernel/debug/kdb/kdb_bp.c", Kind::Debugger),
    ("arch/x86/kernel/kgdb.c", Kind::Debugger),
    ("drivers/tty/serial/kgdboc.c", Kind::Serial),
    ("drivers/tty/serial/kgdb_nmi.c", Kind::Serial),
];

/// Functions of a kind, by name.
const FUNCTIONS: &[(&str, Kind)] = &[
    // `text_poke_kgdb` and what it calls (arch/x86/kernel/alternative.c,
    // arch/x86/mm/tlb.c, mm/memory.c). Measured on 6.1, one guest each: to set
    // a breakpoint there is a panic ("Recursive entry to debugger") or an oops
    // at once, in the last two the loss of every breakpoint ("re-enter
    // exception: ALL breakpoints killed").
    ("text_poke_kgdb", Kind::Patching),
    ("__text_poke", Kind::Patching),
    ("__get_locked_pte", Kind::Patching),
    ("walk_to_pmd", Kind::Patching),
    ("switch_mm_irqs_off", Kind::Patching),
    ("load_new_mm_cr3", Kind::Patching),
    ("cr4_update_irqsoff", Kind::Patching),
    ("switch_ldt", Kind::Patching),
    ("flush_tlb_mm_range", Kind::Patching),
    ("hw_breakpoint_restore", Kind::Patching),
    ("core_kernel_text", Kind::Patching),
    ("_raw_spin_lock", Kind::Patching),
    ("memcmp", Kind::Patching),
    ("_find_next_bit", Kind::Patching),
    // Kernels whose `text_poke_kgdb` was not there yet (before 5.3), from
    // their source: 4.2 maps a page (arch/x86/kernel/alternative.c).
    ("text_poke", Kind::Patching),
    ("text_poke_memcpy", Kind::Patching),
    ("__native_set_fixmap", Kind::Patching),
    ("native_set_fixmap", Kind::Patching),
    ("set_pte_vaddr", Kind::Patching),
    ("set_pte_vaddr_pud", Kind::Patching),
    // How kgdb reads memory; the same loss, measured.
    ("copy_from_kernel_nofault", Kind::Debugger),
    ("probe_kernel_read", Kind::Debugger),
    ("__probe_kernel_read", Kind::Debugger),
    // What gdbstub reads and writes the line with.
    ("serial8250_get_poll_char", Kind::Serial),
    ("serial8250_put_poll_char", Kind::Serial),
    ("uart_poll_get_char", Kind::Serial),
    ("uart_poll_put_char", Kind::Serial),
    ("io_serial_in", Kind::Serial),
    ("io_serial_out", Kind::Serial),
    ("mem_serial_in", Kind::Serial),
    ("mem_serial_out", Kind::Serial),
    ("wait_for_xmitr", Kind::Serial),
    // 4.2 has no blocklist (arch/x86/kernel/nmi.c).
    ("do_nmi", Kind::Nmi),
    ("exc_nmi", Kind::Nmi),
    ("default_do_nmi", Kind::Nmi),
    ("nmi_handle", Kind::Nmi),
    ("do_int3", Kind::Kprobes),
    ("do_debug", Kind::Kprobes),
];

/// What is known of a kernel's dangerous places. Made once for a placement of
/// vmlinux.
#[derive(Debug, Default)]
pub struct Dangers {
    ranges: Vec<(Addr, Addr, Kind)>,
    /// Where the functions of the kernel's own list begin.
    listed: BTreeSet<Addr>,
}

impl Dangers {
    /// From vmlinux's symbols, and the list NOKPROBE_SYMBOL makes in its file:
    /// the guest itself frees that after boot.
    pub fn new(symbols: &Symbols) -> Dangers {
        let range = |&(start, end, kind): &(&str, &str, Kind)| {
            let (start, end) = (symbols.symbol_addr(start)?, symbols.symbol_addr(end)?);
            (start < end).then_some((start, end, kind))
        };
        Dangers {
            ranges: RANGES.iter().filter_map(range).collect(),
            listed: symbols.vmlinux().map(listed).unwrap_or_default(),
        }
    }

    /// Why there must be no breakpoint at `addr`; `None` when there may be.
    /// Needs no memory where a function, a symbol or a line begins.
    ///
    /// # Errors
    /// Code that has to be read, to find where instructions begin.
    pub fn at(
        &self,
        symbols: &Symbols,
        memory: &dyn Memory,
        addr: Addr,
    ) -> Result<Option<Danger>, Gap> {
        let Some(function) = symbols.function_at(addr) else {
            // In no image: code that was made at run time, or nothing. Whether
            // it is mapped the stub finds out.
            let data = symbols.symbol_at(addr).is_some();
            return Ok(data.then_some(Danger::NotCode(addr)));
        };
        let kind = (self.ranges.iter())
            .find(|(start, end, _)| (*start..*end).contains(&addr))
            .map(|&(_, _, kind)| kind)
            .or_else(|| self.listed(symbols, addr))
            .or_else(|| by_source(&function.name, function.file.as_ref().map(|f| f.name.as_str())));
        if let Some(kind) = kind {
            return Ok(Some(Danger::Deadly { function: function.name, kind }));
        }
        let begin = instruction_start(symbols, memory, addr)?;
        let inside = begin.filter(|begin| *begin != addr);
        Ok(inside.map(|begin| Danger::InsideInstruction { addr, begin }))
    }

    /// Whether an address is in code that runs before the kernel's own stack and
    /// registers are set up, or after that. Nothing is read.
    pub fn is_entry(symbols: &Symbols, addr: Addr) -> bool {
        RANGES.iter().filter(|(_, _, kind)| *kind == Kind::Entry).any(|(start, end, _)| {
            let range = (symbols.symbol_addr(start), symbols.symbol_addr(end));
            matches!(range, (Some(start), Some(end)) if (start..end).contains(&addr))
        })
    }

    /// Whether an address is in what plants and lifts breakpoints: not even a
    /// step may plant something there. Nothing is read.
    pub fn is_patching(symbols: &Symbols, addr: Addr) -> bool {
        let symbol = symbols.symbol_at(addr);
        symbol.is_some_and(|symbol| by_source(&symbol.name, None) == Some(Kind::Patching))
    }

    fn listed(&self, symbols: &Symbols, addr: Addr) -> Option<Kind> {
        let symbol = symbols.symbol_at(addr)?;
        self.listed.contains(&symbol.start).then_some(Kind::Listed)
    }
}

/// The addresses between `__start_kprobe_blacklist` and
/// `__stop_kprobe_blacklist` (include/asm-generic/kprobes.h), as run-time ones.
fn listed(vmlinux: &Placed) -> BTreeSet<Addr> {
    /// More than any kernel has.
    const MOST: u64 = 65_536;
    let image = vmlinux.image.image();
    let at = |name: &str| image.symbols().named(name).next().map(|symbol| symbol.addr.0);
    let (Some(start), Some(end)) = (at("__start_kprobe_blacklist"), at("__stop_kprobe_blacklist"))
    else {
        return BTreeSet::new();
    };
    let size = end.saturating_sub(start).min(8 * MOST);
    let bytes = image.file_bytes(FileAddr(start), size as usize).unwrap_or_default();
    let words = bytes.chunks_exact(8).map(|word| {
        let mut value = [0; 8];
        value.copy_from_slice(word);
        FileAddr(u64::from_le_bytes(value))
    });
    words.filter_map(|file| vmlinux.runtime(file)).collect()
}

/// What a function is by the file and the name it has in the source.
fn by_source(name: &str, file: Option<&str>) -> Option<Kind> {
    // The compiler's copies are the same code: `text_poke.constprop.0`.
    let plain = name.split('.').next().unwrap_or(name);
    let file = file.unwrap_or_default();
    let of_file = FILES.iter().find(|(end, _)| {
        file.strip_suffix(end).is_some_and(|rest| rest.is_empty() || rest.ends_with('/'))
    });
    let of_name = FUNCTIONS.iter().find(|(function, _)| *function == plain);
    of_name.or(of_file).map(|&(_, kind)| kind)
}

/// Where the instruction at or around `addr` begins; `None` when that can't be
/// found out.
fn instruction_start(
    symbols: &Symbols,
    memory: &dyn Memory,
    addr: Addr,
) -> Result<Option<Addr>, Gap> {
    let row = symbols.row_at(addr).map(|row| row.start);
    let symbol = symbols.symbol_at(addr).map(|symbol| symbol.start);
    let known = [row, symbol].into_iter().flatten().filter(|start| *start <= addr).max();
    let Some(mut begin) = known.filter(|start| addr.since(*start) <= MOST_DECODED) else {
        return Ok(None);
    };
    while begin < addr {
        let Some(insn) = instruction(memory, begin)? else { return Ok(None) };
        if insn.next() > addr {
            return Ok(Some(begin));
        }
        begin = insn.next();
    }
    Ok(Some(begin))
}
