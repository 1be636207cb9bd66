//! The stub's own table of software breakpoints: `kgdb_break[]`, 1000 entries
//! of `struct kgdb_bkpt` (kernel/debug/debug_core.c, include/linux/kgdb.h).
//!
//! Entries are taken from the front and keep their address when the breakpoint
//! is gone, so the table remembers what earlier sessions planted.

use crate::{
    base::{addr::Addr, memory::Memory},
    kernel::{KernelError, Struct, symbol},
    symbols::placed::Symbols,
};

/// KGDB_MAX_BREAKPOINTS in include/linux/kgdb.h.
const MOST: u64 = 1000;

/// Entries that are read at a time: one packet.
const AT_ONCE: u64 = 20;

/// The address of the table's entry for a breakpoint at `site`, planted now or
/// earlier; `None` when there is none. One read for each 20 entries that were
/// ever used.
///
/// # Errors
/// A read that has no answer; no debug information.
pub fn entry(
    symbols: &Symbols,
    memory: &dyn Memory,
    site: Addr,
) -> Result<Option<Addr>, KernelError> {
    let table = symbol(symbols, "kgdb_break")?;
    let layout = Struct::new(symbols, "kgdb_bkpt")?;
    let (at, size) = (layout.offset("bpt_addr")?, layout.size());
    if size == 0 || size > 64 || at + 8 > size {
        return Err(KernelError::Implausible("struct kgdb_bkpt is too large".to_string()));
    }
    for first in (0..MOST).step_by(AT_ONCE as usize) {
        let start = table.offset(first * size);
        let bytes = memory.bytes(start, (AT_ONCE * size) as usize)?;
        for (i, entry) in bytes.chunks_exact(size as usize).enumerate() {
            let word = &entry[at as usize..at as usize + 8];
            match word.iter().rev().fold(0u64, |value, &byte| value << 8 | u64::from(byte)) {
                0 => return Ok(None),
                there if there == site.0 => return Ok(Some(start.offset(i as u64 * size))),
                _ => {}
            }
        }
    }
    Ok(None)
}

/// What is to be written into `entry`, and where, so that the kernel takes its
/// int3 out the next time it enters the debugger, whether its text is
/// read-only or not: the type `BP_POKE_BREAKPOINT`, the state `BP_ACTIVE`.
///
/// Before `mark_rodata_ro` kgdb writes an int3 like data and notes the type
/// `BP_BREAKPOINT`; afterwards that text is read-only, and taking the int3 out
/// by the noted type fails (`kgdb_arch_remove_breakpoint` in
/// arch/x86/kernel/kgdb.c; "KGDB: BP remove failed" in
/// kernel/debug/debug_core.c). The table itself is ordinary data. Measured on
/// 6.1.192.
///
/// # Errors
/// No debug information.
pub fn correction(symbols: &Symbols, entry: Addr) -> Result<Vec<(Addr, Vec<u8>)>, KernelError> {
    let layout = Struct::new(symbols, "kgdb_bkpt")?;
    let write = |member: &str, name: &str| -> Result<(Addr, Vec<u8>), KernelError> {
        let (offset, len) = layout.field(member)?;
        let value = symbols
            .enumerator(name)
            .ok_or_else(|| KernelError::NoType(format!("enumerator {name}")))?;
        Ok((entry.offset(offset), value.to_le_bytes()[..len.min(8) as usize].to_vec()))
    };
    Ok(vec![write("type", "BP_POKE_BREAKPOINT")?, write("state", "BP_ACTIVE")?])
}

/// Whether the kernel's text is read-only by now. A kernel that never makes it
/// so has no such variable, and no such problem.
///
/// # Errors
/// A read that has no answer.
pub fn text_is_readonly(symbols: &Symbols, memory: &dyn Memory) -> Result<bool, KernelError> {
    match symbols.symbol_addr("kernel_set_to_readonly") {
        Some(addr) => Ok(memory.u32(addr)? != 0),
        None => Ok(true),
    }
}

/// The int3 that is compiled into `kgdb_breakpoint`: executing it enters the
/// debugger, on the CPU that does.
///
/// # Errors
/// A read that has no answer; no such symbol.
pub fn entry_trap(symbols: &Symbols, memory: &dyn Memory) -> Result<Option<Addr>, KernelError> {
    const INT3: u8 = 0xcc;
    const SEARCHED_BYTES: usize = 64;
    let start = symbol(symbols, "kgdb_breakpoint")?;
    let bytes = memory.bytes(start, SEARCHED_BYTES)?;
    Ok(bytes.iter().position(|&byte| byte == INT3).map(|at| start.offset(at as u64)))
}
