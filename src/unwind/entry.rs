//! The kernel's entry code: assembly without DWARF rules, below which there
//! is a `struct pt_regs` of what was entered from. Its place is what ORC says;
//! kernels without ORC need the following.
//!
//! When C code returns into entry code, the stack pointer is at the
//! `pt_regs` the entry code pushed (arch/x86/entry/entry_64.S,
//! arch/x86/entry/calling.h `PUSH_AND_CLEAR_REGS`). Before 5.8 interrupts
//! changed stacks there, and the stack pointer is at a pointer to it
//! (`ENTER_IRQ_STACK`, and `interrupt` before). Either is only taken when the
//! values are such as the CPU pushes.

use crate::{
    arch::{Arch, Registers},
    base::{addr::Addr, memory::Memory},
    symbols::placed::Symbols,
    unwind::{End, FrameKind, Saved, rules},
};

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
        "irq_entries_start",
        "spurious_entries_start",
    ]) {
        return Some(Entry::Entered(FrameKind::Interrupt));
    }
    if name == "nmi" || starts(&["asm_exc_nmi"]) {
        return Some(Entry::Entered(FrameKind::Nmi));
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

/// What is saved in the `struct pt_regs` at `at`. One read of 168 bytes.
///
/// # Errors
/// [`End::Missing`] and [`End::Fault`] as memory says; [`End::NoCfi`] without
/// debug information.
pub fn saved(
    symbols: &Symbols,
    memory: &dyn Memory,
    at: Addr,
    arch: &'static Arch,
) -> Result<Saved, End> {
    let layout = symbols.pt_regs(arch).ok_or(End::NoCfi(at))?;
    let bytes = memory.bytes(at, layout.size).map_err(End::of)?;
    let orig_ax = layout.orig_ax(&bytes);
    Ok(Saved { at, registers: Some(layout.decode(0, &bytes)), orig_ax })
}

/// What was pushed on entry, found from the stack pointer in the entry code.
pub(super) fn entered_from(
    symbols: &Symbols,
    memory: &dyn Memory,
    in_entry: &Registers,
    at: Addr,
) -> Result<Saved, End> {
    let sp = in_entry.sp().ok_or(End::LostRegister)?;
    match saved(symbols, memory, sp, in_entry.arch) {
        Ok(direct) if is_plausible(&direct) => return Ok(direct),
        Err(missing @ End::Missing(_)) => return Err(missing),
        // At the end of an interrupt stack there may be no room for one.
        _ => {}
    }
    let pointer = Addr(memory.u64(sp).map_err(End::of)?);
    if pointer.0 >> 63 == 0 || !pointer.0.is_multiple_of(8) {
        return Err(End::NoCfi(at));
    }
    pushed_at(symbols, memory, pointer, in_entry.arch, at)
}

/// What is in the `pt_regs` that the unwind table says is at `sp`.
pub(super) fn pushed_at(
    symbols: &Symbols,
    memory: &dyn Memory,
    sp: Addr,
    arch: &'static Arch,
    at: Addr,
) -> Result<Saved, End> {
    let pushed = saved(symbols, memory, sp, arch)?;
    if is_plausible(&pushed) { Ok(pushed) } else { Err(End::NoCfi(at)) }
}

/// What the CPU alone pushed, at `sp`: pc, flags, stack. The registers that a
/// function must save are still those of the entry code, which pushes or
/// clears them later, or has got them back.
pub(super) fn pushed_by_cpu(
    symbols: &Symbols,
    memory: &dyn Memory,
    sp: Addr,
    in_entry: &Registers,
    at: Addr,
) -> Result<Saved, End> {
    let layout = symbols.pt_regs(in_entry.arch).ok_or(End::NoCfi(at))?;
    let from = layout.pushed_by_cpu;
    let bytes = memory.bytes(sp, layout.size.saturating_sub(from)).map_err(End::of)?;
    let mut registers = layout.decode(from, &bytes);
    for reg in rules::callee_saved(in_entry.arch) {
        registers.set(reg, in_entry.get(reg));
    }
    let pushed = Saved { at: sp.back(from as u64), registers: Some(registers), orig_ax: None };
    if is_plausible(&pushed) { Ok(pushed) } else { Err(End::NoCfi(at)) }
}

/// Whether the CPU could have pushed this: known selectors
/// (arch/x86/include/asm/segment.h: kernel 0x10, user 0x23 and 0x33), the flag
/// that is always set and those that never are, and a pc and stack that go with
/// the privilege. The pc of a kernel that jumped astray is anywhere.
fn is_plausible(saved: &Saved) -> bool {
    let Some(registers) = &saved.registers else { return false };
    let (Some(cs), Some(flags)) = (registers.by_name("cs"), registers.by_name("eflags")) else {
        return false;
    };
    let (Some(pc), Some(sp)) = (registers.pc(), registers.sp()) else { return false };
    let flags_ok = flags & 0x2 != 0 && flags & !0x3f_7fd7 == 0;
    let place_ok = match cs & 0xffff {
        0x10 => sp.0 >> 63 == 1,
        0x23 | 0x33 => pc.0 >> 63 == 0,
        _ => false,
    };
    flags_ok && place_ok
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::arch::x86_64::X86_64;

    #[test]
    fn only_what_a_cpu_pushes_is_plausible() {
        let pushed = |cs: u64, flags: u64, pc: u64, sp: u64| {
            let mut registers = Registers::unknown(&X86_64);
            for (name, value) in [("cs", cs), ("eflags", flags), ("rip", pc), ("rsp", sp)] {
                registers.set(X86_64.reg(name).unwrap(), Some(value));
            }
            is_plausible(&Saved { at: Addr(0), registers: Some(registers), orig_ax: None })
        };
        let (kernel, stack) = (0xffff_ffff_8100_0000, 0xffff_c900_0001_3e00);
        assert!(pushed(0x10, 0x246, kernel, stack));
        assert!(pushed(0x33, 0x246, 0x40_1000, 0x7fff_0000_0000));
        assert!(pushed(0x10, 0x1_0246, 0, stack), "a call of a null pointer");
        assert!(!pushed(0x10, 0x244, kernel, stack), "bit 1 of the flags is always set");
        assert!(!pushed(0x10, 0x246, kernel, 0x7fff_0000_0000), "not on a user stack");
        assert!(!pushed(0x33, 0x246, kernel, stack), "not user space");
        assert!(!pushed(0x18, 0x246, kernel, stack));
    }
}
