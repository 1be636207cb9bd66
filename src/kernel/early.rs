//! Breakpoints planted while the kernel boots, which it can't take out later.
//!
//! Before `mark_rodata_ro` kgdb writes an int3 like data and notes the type
//! `BP_BREAKPOINT`; afterwards that text is read-only, and taking the int3 out
//! by the noted type fails (`kgdb_arch_remove_breakpoint` in
//! arch/x86/kernel/kgdb.c; "KGDB: BP remove failed" in
//! kernel/debug/debug_core.c). The table itself, `kgdb_break[]`, is ordinary
//! data: with the type set to `BP_POKE_BREAKPOINT` and the state to `BP_ACTIVE`
//! the kernel takes the int3 out by `text_poke` the next time it enters the
//! debugger. Measured on 6.1.192.

use crate::{
    base::{addr::Addr, memory::Memory},
    kernel::{KernelError, Struct, symbol},
    symbols::placed::Symbols,
};

/// Entries are taken from the front of the table, and few are planted at boot.
const SEARCHED: u64 = 128;

/// Entries that are read at once: 20 of 24 bytes are one packet.
const AT_ONCE: u64 = 20;

/// What is written where, to have one int3 taken out.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Correction {
    /// The bytes and their place, in the order of writing.
    pub writes: Vec<(Addr, Vec<u8>)>,
}

/// Whether the kernel's text is read-only by now. A kernel that never makes it
/// so has no such variable, and no such problem.
pub fn text_is_readonly(symbols: &Symbols, memory: &dyn Memory) -> Result<bool, KernelError> {
    match symbols.symbol_addr("kernel_set_to_readonly") {
        Some(addr) => Ok(memory.u32(addr)? != 0),
        None => Ok(true),
    }
}

/// How to have the int3 at `site` taken out; `None` when the kernel's table does
/// not have it.
pub fn correction(
    symbols: &Symbols,
    memory: &dyn Memory,
    site: Addr,
) -> Result<Option<Correction>, KernelError> {
    let table = symbol(symbols, "kgdb_break")?;
    let entry = Struct::new(symbols, "kgdb_bkpt")?;
    let size = entry.size();
    let (addr, kind, state) =
        (entry.offset("bpt_addr")?, entry.field("type")?, entry.field("state")?);
    let word = |name: &str| {
        symbols
            .enumerator(name)
            .map(|value| (value as u64).to_le_bytes())
            .ok_or_else(|| KernelError::NoType(format!("enumerator {name}")))
    };
    let (poke, active) = (word("BP_POKE_BREAKPOINT")?, word("BP_ACTIVE")?);
    for first in (0..SEARCHED).step_by(AT_ONCE as usize) {
        let start = table.offset(first * size);
        let bytes = memory.bytes(start, (AT_ONCE * size) as usize)?;
        for (i, bytes) in bytes.chunks_exact(size as usize).enumerate() {
            let at = addr as usize;
            if bytes.get(at..at + 8) != Some(site.0.to_le_bytes().as_slice()) {
                continue;
            }
            let here = start.offset(i as u64 * size);
            let write = |(offset, len): (u64, u64), value: &[u8; 8]| {
                (here.offset(offset), value[..len.min(8) as usize].to_vec())
            };
            return Ok(Some(Correction {
                writes: vec![write(kind, &poke), write(state, &active)],
            }));
        }
    }
    Ok(None)
}

/// The int3 that is compiled into `kgdb_breakpoint`: executing it enters the
/// debugger, on the CPU that does.
pub fn entry_trap(symbols: &Symbols, memory: &dyn Memory) -> Result<Option<Addr>, KernelError> {
    const INT3: u8 = 0xcc;
    const SEARCHED_BYTES: usize = 64;
    let start = symbol(symbols, "kgdb_breakpoint")?;
    let bytes = memory.bytes(start, SEARCHED_BYTES)?;
    Ok(bytes.iter().position(|&byte| byte == INT3).map(|at| start.offset(at as u64)))
}
