//! Where the stack of a task begins that is on no CPU.
//!
//! `switch_to` leaves `thread.sp` behind, at what it pushed. Since 4.9 that is
//! a `struct inactive_task_frame` (arch/x86/include/asm/switch_to.h): the
//! registers a function must save and the return address of
//! `__switch_to_asm`; `copy_thread` makes one for a new task that returns to
//! `ret_from_fork`. Before, `switch_to` was inline assembly in `__schedule`
//! that pushed the flags and rbp (`SAVE_CONTEXT`), everybody continued after
//! its `call __switch_to`, and a new task had its `thread.sp` at its
//! `pt_regs`.

use crate::{
    arch::{
        Arch, Registers,
        insn::{self, Flow},
    },
    base::{addr::Addr, memory::Memory},
    symbols::{answer::Layout, placed::Symbols},
    unwind::End,
};

/// No scheduler has a longer `__schedule`; it is decoded from the file.
const LONGEST_SCHEDULE: u64 = 16 * 1024;

/// The registers from which the stack of the task at `task` (a `struct
/// task_struct`) unwinds, with [`walk::unwind`](super::walk::unwind): pc, sp
/// and those a function must save; the others are unknown. Two small reads:
/// `thread.sp`, and what is there. Means nothing for a task that runs now:
/// its `thread.sp` is of the last time it was switched away from.
///
/// # Errors
/// [`End::Missing`] for a read that is not answered yet; [`End::NoCfi`] when
/// the debug information lacks the layouts, [`End::BadReturn`] when what is
/// there can't be a switched task's.
pub fn start(
    symbols: &Symbols,
    memory: &dyn Memory,
    task: Addr,
    like: &'static Arch,
) -> Result<Registers, End> {
    let unknown = || End::NoCfi(Addr(0));
    let layout = symbols.struct_layout("task_struct").ok_or_else(unknown)?;
    let at = layout.member("thread.sp").ok_or_else(unknown)?;
    let sp = Addr(memory.u64(task.offset(at.offset)).map_err(End::of)?);
    if sp.0 >> 63 == 0 || !sp.0.is_multiple_of(8) {
        return Err(End::BadStack(sp));
    }
    match symbols.struct_layout("inactive_task_frame") {
        Some(frame) => {
            let members = frame.members.iter().map(|m| (m.name.as_str(), m.offset as usize));
            from_frame(members, frame.size, memory, sp, like)
        }
        None => before_frames(symbols, memory, (task, &layout), sp, like),
    }
}

/// By the `struct inactive_task_frame` at `sp`, of words with these names and
/// offsets.
fn from_frame<'a>(
    members: impl Iterator<Item = (&'a str, usize)>,
    size: u64,
    memory: &dyn Memory,
    sp: Addr,
    like: &'static Arch,
) -> Result<Registers, End> {
    let bytes = memory.bytes(sp, size.min(256) as usize).map_err(End::of)?;
    let mut registers = Registers::unknown(like);
    for (name, start) in members {
        let Some(bytes) = bytes.get(start..start + 8).and_then(|b| b.try_into().ok()) else {
            continue;
        };
        let reg = match name {
            "ret_addr" => Some(like.pc),
            // bx is rbx; r15 is itself.
            name => like.reg(name).or_else(|| like.reg(&format!("r{name}"))),
        };
        if let Some(reg) = reg {
            registers.set(reg, Some(u64::from_le_bytes(bytes)));
        }
    }
    registers.set(like.sp, Some(sp.offset(size).0));
    Ok(registers)
}

/// Before 4.9: rbp and the flags are at `sp`, and the pc is always the same.
fn before_frames(
    symbols: &Symbols,
    memory: &dyn Memory,
    (task, layout): (Addr, &Layout),
    sp: Addr,
    like: &'static Arch,
) -> Result<Registers, End> {
    let unknown = || End::NoCfi(Addr(0));
    let mut registers = Registers::unknown(like);
    // `copy_thread`: a task that never ran has its stack pointer at the
    // `pt_regs` at the end of its stack.
    if let (Some(top), Some(regs)) = (layout.member("thread.sp0"), symbols.struct_layout("pt_regs"))
    {
        let top = Addr(memory.u64(task.offset(top.offset)).map_err(End::of)?);
        if top.back(regs.size) == sp {
            let first = symbols.symbol_addr("ret_from_fork").ok_or_else(unknown)?;
            registers.set(like.pc, Some(first.0));
            registers.set(like.sp, Some(sp.0));
            return Ok(registers);
        }
    }
    let pc = after_switch(symbols).ok_or_else(unknown)?;
    registers.set(like.pc, Some(pc.0));
    registers.set(like.fp, Some(memory.u64(sp).map_err(End::of)?));
    registers.set(like.sp, Some(sp.offset(16).0));
    Ok(registers)
}

/// The address after `call __switch_to` in `__schedule`, by the code in the
/// file.
fn after_switch(symbols: &Symbols) -> Option<Addr> {
    let target = symbols.symbol_addr("__switch_to")?;
    let schedule = symbols.symbol_at(symbols.symbol_addr("__schedule")?)?;
    let len = schedule.size.min(LONGEST_SCHEDULE) as usize;
    let code = symbols.file_code(schedule.start, len)?;
    let mut at = schedule.start;
    while let Some(rest) = code.get(at.since(schedule.start) as usize..).filter(|r| !r.is_empty()) {
        let insn = insn::decode_one(at, rest)?;
        at = insn.next();
        if insn.flow == Flow::Call(Some(target)) {
            return Some(at);
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{arch::x86_64::X86_64, base::memory::Sparse};

    #[test]
    fn the_pushed_frame_gives_the_registers_that_a_function_saves() {
        // `flags` was the first one for some versions.
        let names = ["flags", "r15", "r14", "r13", "r12", "bx", "bp", "ret_addr"];
        let members = names.iter().enumerate().map(|(index, name)| (*name, 8 * index));
        let mut memory = Sparse::new();
        let sp = Addr(0xffff_c900_0001_3d00);
        for index in 0..8u64 {
            memory.insert(sp.offset(8 * index), &(0xa0 + index).to_le_bytes());
        }
        let registers = from_frame(members, 64, &memory, sp, &X86_64).unwrap();
        assert_eq!(registers.pc(), Some(Addr(0xa7)));
        assert_eq!(registers.sp(), Some(sp.offset(64)));
        assert_eq!(registers.by_name("rbx"), Some(0xa5));
        assert_eq!(registers.by_name("rbp"), Some(0xa6));
        assert_eq!(registers.by_name("r15"), Some(0xa1));
        assert_eq!(registers.by_name("rax"), None);
        assert_eq!(registers.by_name("eflags"), None, "a member of that name is no register");
    }
}
