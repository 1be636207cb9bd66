//! The kernel's side of hardware breakpoints: kgdb's four, and the perf event
//! that each of them is on each CPU (`breakinfo[]` in arch/x86/kernel/kgdb.c).
//!
//! - Which one fired: the reply to a stop does not say, and DR6 is cleared
//!   before kgdb is entered. But `perf_swevent_event` adds one to the event's
//!   `count` each time its breakpoint fires on its CPU, whatever comes of it.
//! - Hits that are dropped: since "perf: Fix __perf_event_overflow() vs
//!   perf_remove_from_context() race" (in 6.1.192 and 6.12.77, for example) the
//!   same function returns at once unless the event's `state` is ACTIVE. kgdb
//!   programs the CPU behind perf's back and leaves it OFF, so its own overflow
//!   handler is never called and the guest does not stop.
//! - DR7 that comes back: an NMI (that is how kgdb stops the other CPUs) saves
//!   DR7 in `nmi_dr7` and writes it back as it ends, over what kgdb has
//!   programmed meanwhile, unless it was 0 (`local_db_save`,
//!   `local_db_restore` in arch/x86/include/asm/debugreg.h, since 5.8).

use crate::{
    arch::operand,
    base::{
        addr::Addr,
        memory::{Gap, Memory},
    },
    kernel::{KernelError, Struct, percpu, symbol},
    symbols::placed::Symbols,
};

/// Debug registers that hold an address (HBP_NUM in
/// arch/x86/include/asm/hw_breakpoint.h).
pub const SLOTS: usize = 4;

/// Where every entry into the kernel passes (Documentation/x86/x86_64/mm.rst:
/// "cpu_entry_area mapping").
const ENTRY_AREA: (u64, u64) = (0xffff_fe00_0000_0000, 0xffff_fe80_0000_0000);

/// Per-CPU variables that the way into a debug exception touches
/// (`within_cpu_entry` in arch/x86/kernel/hw_breakpoint.c, which kgdb does not ask).
const ENTRY_DATA: [&str; 4] = ["gdt_page", "cpu_tss_rw", "cpu_tlbstate", "cpu_dr7"];

/// Bytes of a function that are looked at; `perf_swevent_event` has 200.
const MOST_CODE: u64 = 2048;

/// One of kgdb's hardware breakpoints.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Slot {
    /// Whether it is set.
    pub enabled: bool,
    /// The address it is set for.
    pub addr: Addr,
    /// `X86_BREAKPOINT_LEN_…`: the bits of DR7.
    pub len: u32,
    /// `X86_BREAKPOINT_EXECUTE` 0x80, `…_WRITE` 0x81, `…_RW` 0x83.
    pub kind: u32,
    /// Its `struct perf_event` on each CPU that was asked for; none before
    /// `kgdb_arch_late`.
    pub events: Vec<(u32, Addr)>,
}

/// kgdb's slots, with the events of these CPUs.
///
/// # Errors
/// A read that has no answer; no debug information.
pub fn slots(
    symbols: &Symbols,
    memory: &dyn Memory,
    cpus: &[u32],
) -> Result<Vec<Slot>, KernelError> {
    let table = symbol(symbols, "breakinfo")?;
    let layout = Struct::new(symbols, "hw_breakpoint")?;
    let size = layout.size();
    if size == 0 || size > 128 {
        return Err(KernelError::Implausible("struct hw_breakpoint is too large".to_string()));
    }
    let fields = [
        layout.field("enabled")?,
        layout.field("addr")?,
        layout.field("len")?,
        layout.field("type")?,
        layout.field("pev")?,
    ];
    let bytes = memory.bytes(table, size as usize * SLOTS)?;
    let number = |slot: usize, (at, len): (u64, u64)| {
        let at = slot * size as usize + at as usize;
        let bytes = bytes.get(at..at + len.min(8) as usize).unwrap_or_default();
        bytes.iter().rev().fold(0u64, |value, &byte| value << 8 | u64::from(byte))
    };
    // All offsets, then all pointers are asked for before one can fail, so
    // that one round reads them together.
    let offsets: Vec<_> = cpus.iter().map(|&cpu| percpu::offset(symbols, memory, cpu)).collect();
    let offsets = offsets.into_iter().collect::<Result<Vec<_>, _>>()?;
    let mut events: Vec<Vec<Result<Addr, Gap>>> = Vec::new();
    for slot in 0..SLOTS {
        let pointers = number(slot, fields[4]);
        let of_cpu = |offset: &u64| memory.u64(Addr(pointers.wrapping_add(*offset))).map(Addr);
        let there = if pointers == 0 { &[] } else { &offsets[..] };
        events.push(there.iter().map(of_cpu).collect());
    }
    let mut slots = Vec::new();
    for (slot, events) in events.into_iter().enumerate() {
        let events = events.into_iter().collect::<Result<Vec<_>, _>>()?;
        slots.push(Slot {
            enabled: number(slot, fields[0]) != 0,
            addr: Addr(number(slot, fields[1])),
            len: number(slot, fields[2]) as u32,
            kind: number(slot, fields[3]) as u32,
            events: cpus.iter().copied().zip(events).collect(),
        });
    }
    Ok(slots)
}

/// How often an event's breakpoint has fired on its CPU. One read of 8 bytes.
///
/// # Errors
/// A read that has no answer; no debug information.
pub fn count(symbols: &Symbols, memory: &dyn Memory, event: Addr) -> Result<u64, KernelError> {
    let (offset, size) = Struct::new(symbols, "perf_event")?.field("count")?;
    Ok(memory.uint(event.offset(offset), size.min(8) as usize)?)
}

/// What is to be written, and where, so that an event has the state ACTIVE, or
/// OFF as kgdb leaves it.
///
/// # Errors
/// No debug information.
pub fn state(symbols: &Symbols, event: Addr, active: bool) -> Result<(Addr, Vec<u8>), KernelError> {
    let (offset, size) = Struct::new(symbols, "perf_event")?.field("state")?;
    let name = if active { "PERF_EVENT_STATE_ACTIVE" } else { "PERF_EVENT_STATE_OFF" };
    let value = symbols
        .enumerator(name)
        .ok_or_else(|| KernelError::NoType(format!("enumerator {name}")))?;
    Ok((event.offset(offset), value.to_le_bytes()[..size.min(8) as usize].to_vec()))
}

/// Whether this kernel drops the hits of kgdb's hardware breakpoints. Known by
/// its code as it is in memory: whether it looks at the event's state.
///
/// # Errors
/// A read that has no answer; no debug information; no such function.
pub fn drops_hits(symbols: &Symbols, memory: &dyn Memory) -> Result<bool, KernelError> {
    let (offset, size) = Struct::new(symbols, "perf_event")?.field("state")?;
    // Inlined into its only caller in some kernels.
    let names = ["perf_swevent_event", "perf_bp_event"];
    let start = names.into_iter().find_map(|name| symbols.symbol_addr(name));
    let start = start.ok_or_else(|| KernelError::NoSymbol("perf_swevent_event".to_string()))?;
    let len = symbols.symbol_at(start).map_or(0, |symbol| symbol.size).min(MOST_CODE);
    if len == 0 {
        return Err(KernelError::Implausible("perf_swevent_event has no size".to_string()));
    }
    let code = memory.bytes(start, len as usize)?;
    Ok(operand::reads_member(&code, offset, size))
}

/// Where an NMI on a CPU keeps the DR7 that it writes back; `None` in a kernel
/// that does not do that.
///
/// # Errors
/// A read that has no answer.
pub fn saved_dr7(
    symbols: &Symbols,
    memory: &dyn Memory,
    cpu: u32,
) -> Result<Option<Addr>, KernelError> {
    match percpu::addr(symbols, memory, "nmi_dr7", cpu) {
        Ok(addr) => Ok(Some(addr)),
        Err(KernelError::NoSymbol(_)) => Ok(None),
        Err(error) => Err(error),
    }
}

/// Why memory must not be watched: the way into a debug exception touches it,
/// before the CPU's debug registers are off.
///
/// # Errors
/// A read that has no answer.
pub fn delicate(
    symbols: &Symbols,
    memory: &dyn Memory,
    cpus: &[u32],
    addr: Addr,
    len: u64,
) -> Result<Option<String>, KernelError> {
    let end = addr.0.saturating_add(len);
    let overlaps = |start: u64, size: u64| addr.0 < start.saturating_add(size) && start < end;
    let why = |what: &str| {
        Some(format!(
            "{what} is touched on the way into every exception, so that watching it would be the end of the guest"
        ))
    };
    if overlaps(ENTRY_AREA.0, ENTRY_AREA.1 - ENTRY_AREA.0) {
        return Ok(why("the CPU entry area"));
    }
    if let Some(offsets) = symbols.symbol_addr("__per_cpu_offset")
        && overlaps(offsets.0, cpus.len() as u64 * 8)
    {
        return Ok(why("__per_cpu_offset"));
    }
    let offsets: Vec<_> = cpus.iter().map(|&cpu| percpu::offset(symbols, memory, cpu)).collect();
    let offsets = offsets.into_iter().collect::<Result<Vec<_>, _>>()?;
    for name in ENTRY_DATA {
        let Some(at) = symbols.per_cpu_offset_symbol(name) else { continue };
        let size = symbols.symbols_at(at).map_or(8, |(named, _)| named[0].size.max(8));
        if offsets.iter().any(|offset| overlaps(at.0.wrapping_add(*offset), size)) {
            return Ok(why(name));
        }
    }
    Ok(None)
}
