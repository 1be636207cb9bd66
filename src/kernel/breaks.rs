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

/// Whether the table has, or had, a breakpoint at `addr`. One read for each 20
/// entries that were ever used.
///
/// # Errors
/// A read that has no answer; no debug information.
pub fn table_has(symbols: &Symbols, memory: &dyn Memory, addr: Addr) -> Result<bool, KernelError> {
    let table = symbol(symbols, "kgdb_break")?;
    let layout = Struct::new(symbols, "kgdb_bkpt")?;
    let (at, size) = (layout.offset("bpt_addr")?, layout.size());
    if size == 0 || size > 64 || at + 8 > size {
        return Err(KernelError::Implausible("struct kgdb_bkpt is too large".to_string()));
    }
    for first in (0..MOST).step_by(AT_ONCE as usize) {
        let bytes = memory.bytes(table.offset(first * size), (AT_ONCE * size) as usize)?;
        for entry in bytes.chunks_exact(size as usize) {
            let word = &entry[at as usize..at as usize + 8];
            match word.iter().rev().fold(0u64, |value, &byte| value << 8 | u64::from(byte)) {
                0 => return Ok(false),
                there if there == addr.0 => return Ok(true),
                _ => {}
            }
        }
    }
    Ok(false)
}
