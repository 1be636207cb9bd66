//! Whether a CPU that the round-up held has met a breakpoint or a debug register,
//! and has not been through the debugger for it.

use super::{Frame, walk};
use crate::arch::Registers;
use crate::base::{addr::Addr, memory::Memory};
use crate::symbols::placed::Symbols;
use std::collections::BTreeSet;

/// The way from a trap to where a CPU waits for the debugger is shorter than this.
const DEEPEST: usize = 24;

/// Where a CPU comes in that has met an int3 or a debug register:
/// arch/x86/entry/entry_64.S, since 5.8 and before.
const ENTRIES: [&str; 4] = ["asm_exc_int3", "int3", "asm_exc_debug", "debug"];

/// Whether the CPU with these registers was held on its way from a trap, before it
/// came as far as the debugger or after its turn there, or in the middle of an
/// instruction step. `sites` are all breakpoints there ever were. Reads some of its
/// stack.
pub fn is_on_the_way(
    symbols: &Symbols,
    memory: &dyn Memory,
    registers: &Registers,
    cpu: u32,
    sites: &BTreeSet<Addr>,
) -> bool {
    let stack = walk::unwind(symbols, memory, registers, Some(cpu), DEEPEST);
    let is_entry = |frame: &Frame| {
        let symbol = symbols.symbol_at(frame.lookup);
        symbol.is_some_and(|symbol| ENTRIES.contains(&symbol.name.as_str()))
    };
    // Code that all exceptions share (error_entry) shows only what it interrupted.
    let interrupted = stack.frames.iter().filter_map(|frame| frame.saved.as_ref());
    let interrupted = interrupted.filter_map(|saved| saved.registers.as_ref());
    let comes = std::iter::once(registers).chain(interrupted).any(|r| comes(r, sites));
    comes || stack.frames.iter().any(is_entry)
}

/// Whether a trap is behind registers, or still to come: after an int3 of ours
/// there is an instruction's second byte; a step that another stop overtook has its
/// flag. The step of a program is the program's own (ptrace).
fn comes(registers: &Registers, sites: &BTreeSet<Addr>) -> bool {
    let arch = registers.arch;
    let steps = registers.get(arch.flags).is_some_and(|flags| flags & arch.step_flag != 0);
    let site = registers.pc().map(|pc| pc.back(arch.breakpoint_skid));
    !registers.is_user() && (steps || site.is_some_and(|site| sites.contains(&site)))
}
