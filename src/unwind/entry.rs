//! The kernel's entry code: assembly without unwind rules, below which there
//! is a `struct pt_regs` of what was entered from.
//!
//! When C code returns into entry code, the stack pointer is at the
//! `pt_regs` the entry code pushed (arch/x86/entry/entry_64.S,
//! arch/x86/entry/calling.h `PUSH_AND_CLEAR_REGS`). Before 5.8 interrupts
//! changed stacks there, and the stack pointer is at a pointer to it
//! (`ENTER_IRQ_STACK`, and `interrupt` before). Either is only taken when the
//! values are such as the CPU pushes.

use crate::{
    arch::Registers,
    base::{addr::Addr, memory::Memory},
    symbols::{answer::Layout, placed::Symbols},
    unwind::{End, FrameKind},
};
use std::sync::Arc;

/// What assembly without a rule is, by its symbol.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Entry {
    /// Below it is a `pt_regs`.
    Entered(FrameKind),
    /// The first code of a thread.
    Thread,
    /// The first code of a CPU.
    Boot,
}

/// Entry points of exceptions before 5.8, by their whole names.
const OLD_EXCEPTIONS: &[&str] = &[
    "alignment_check",
    "async_page_fault",
    "bounds",
    "coprocessor_error",
    "debug",
    "divide_error",
    "error_entry",
    "general_protection",
    "int3",
    "invalid_op",
    "machine_check",
    "nmi",
    "overflow",
    "page_fault",
    "segment_not_present",
    "simd_coprocessor_error",
    "stack_segment",
];

/// What the code at `at`, for which there is no unwind rule, is.
pub(super) fn classify(symbols: &Symbols, at: Addr) -> Option<Entry> {
    let name = symbols.symbol_at(at)?.name;
    let starts = |prefixes: &[&str]| prefixes.iter().any(|prefix| name.starts_with(prefix));
    if starts(&["ret_from_fork", "ret_from_kernel_thread"]) {
        return Some(Entry::Thread);
    }
    // x86_64_start_kernel and start_secondary are called from here.
    if starts(&["secondary_startup_64", "startup_64", "start_cpu", "common_startup_64"]) {
        return Some(Entry::Boot);
    }
    let bounds =
        symbols.symbol_addr("__entry_text_start").zip(symbols.symbol_addr("__entry_text_end"));
    let in_entry_text = bounds.is_some_and(|(start, end)| at >= start && at < end);
    if starts(&["entry_SYSCALL", "entry_SYSENTER", "entry_INT80", "system_call", "tracesys"]) {
        return Some(Entry::Entered(FrameKind::Syscall));
    }
    if starts(&[
        "asm_common_interrupt",
        "asm_spurious_interrupt",
        "asm_sysvec_",
        "common_interrupt",
    ]) {
        return Some(Entry::Entered(FrameKind::Interrupt));
    }
    if starts(&["asm_exc_", "asm_int80"]) {
        return Some(Entry::Entered(FrameKind::Exception));
    }
    // Before 5.8 the names are those of the vectors, and these are outside the
    // entry text, in .kprobes.text (entry_64.S, `idtentry`).
    if OLD_EXCEPTIONS.contains(&name.as_str()) {
        return Some(Entry::Entered(FrameKind::Exception));
    }
    let is_interrupt = name.ends_with("_interrupt") || name.starts_with("ret_from_intr");
    let kind = if is_interrupt { FrameKind::Interrupt } else { FrameKind::Exception };
    in_entry_text.then_some(Entry::Entered(kind))
}

/// The registers that were pushed on entry, found from the stack pointer in
/// the entry code.
pub(super) fn entered_from(
    symbols: &Symbols,
    memory: &dyn Memory,
    in_entry: &Registers,
    at: Addr,
) -> Result<Registers, End> {
    let sp = in_entry.sp().ok_or(End::LostRegister)?;
    let layout = symbols.struct_layout("pt_regs").ok_or(End::NoCfi(at))?;
    match PtRegs::read(&layout, memory, sp, in_entry) {
        Ok(direct) if direct.is_plausible(symbols) => return Ok(direct.registers),
        Err(missing @ End::Missing(_)) => return Err(missing),
        // At the end of an interrupt stack there may be no room for one.
        _ => {}
    }
    let pointer = Addr(memory.u64(sp).map_err(End::of)?);
    if pointer.0 >> 63 == 0 || !pointer.0.is_multiple_of(8) {
        return Err(End::NoCfi(at));
    }
    let behind = PtRegs::read(&layout, memory, pointer, in_entry)?;
    if behind.is_plausible(symbols) { Ok(behind.registers) } else { Err(End::NoCfi(at)) }
}

/// The registers in a `pt_regs` that the unwind table says is at `sp`.
pub(super) fn pushed_at(
    symbols: &Symbols,
    memory: &dyn Memory,
    sp: Addr,
    like: &Registers,
    at: Addr,
) -> Result<Registers, End> {
    let layout = symbols.struct_layout("pt_regs").ok_or(End::NoCfi(at))?;
    let pushed = PtRegs::read(&layout, memory, sp, like)?;
    if pushed.is_plausible(symbols) { Ok(pushed.registers) } else { Err(End::NoCfi(at)) }
}

struct PtRegs {
    registers: Registers,
}

impl PtRegs {
    fn read(
        layout: &Arc<Layout>,
        memory: &dyn Memory,
        at: Addr,
        like: &Registers,
    ) -> Result<PtRegs, End> {
        let bytes = memory.bytes(at, layout.size.min(504) as usize).map_err(End::of)?;
        let mut registers = Registers::unknown(like.arch);
        for def in like.arch.registers {
            // rax is ax, eflags is flags; r8 and cs are themselves.
            let short =
                def.name.strip_prefix(['r', 'e']).filter(|s| !s.starts_with(char::is_numeric));
            let value = layout.member(short.unwrap_or(def.name)).and_then(|member| {
                let start = member.offset as usize;
                let bytes = bytes.get(start..start + member.size.min(8) as usize)?;
                Some(bytes.iter().rev().fold(0u64, |value, &byte| value << 8 | u64::from(byte)))
            });
            if let Some(reg) = like.arch.reg(def.name) {
                registers.set(reg, value);
            }
        }
        Ok(PtRegs { registers })
    }

    /// Whether the CPU could have pushed this: known selectors
    /// (arch/x86/include/asm/segment.h: kernel 0x10, user 0x23 and 0x33), the
    /// flag that is always set and those that never are, and a pc that goes
    /// with the privilege.
    fn is_plausible(&self, symbols: &Symbols) -> bool {
        let get = |name| self.registers.by_name(name);
        let (Some(cs), Some(flags)) = (get("cs"), get("eflags")) else { return false };
        let (Some(pc), Some(sp)) = (self.registers.pc(), self.registers.sp()) else { return false };
        let flags_ok = flags & 0x2 != 0 && flags & !0x3f_7fd7 == 0;
        let pc_ok = match cs & 0xffff {
            0x10 => symbols.symbol_at(pc).is_some() && sp.0 >> 63 == 1,
            0x23 | 0x33 => pc.0 >> 63 == 0,
            _ => false,
        };
        flags_ok && pc_ok
    }
}
