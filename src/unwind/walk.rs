//! The walk: frame by frame by unwind rules, through entry code and stack
//! switches, to a place where a stack rightly ends, or to the reason why not.

use crate::{
    arch::Registers,
    base::{addr::Addr, memory::Memory},
    symbols::placed::Symbols,
    unwind::{
        Bottom, End, Frame, FrameKind, Stack,
        entry::{self, Entry},
        irq_stack,
        orc::{self, Before},
        rules,
    },
};

/// No real stack has more frames; kernel stacks are 16 KiB.
pub const MAX_FRAMES: usize = 512;

/// All code of an x86_64 kernel, its modules and what it compiles itself is in
/// the top 2 GiB, because it is built with `-mcmodel=kernel`.
const LOWEST_CODE: Addr = Addr(0xffff_ffff_8000_0000);

/// The stack of a CPU or task with these registers, up to `limit` frames.
/// `cpu` is the CPU the stack belongs to; without it a stack that comes from
/// an interrupt stack costs more reads.
///
/// Frames that were walked over interrupted code: the entry code is a frame
/// of its own, of kind [`FrameKind::Interrupt`] or [`FrameKind::Exception`];
/// the next one is the interrupted code, looked up at its pc exactly.
///
/// A pc without flags is none of a CPU but of a task that was switched away
/// from ([`sleeping::start`](super::sleeping::start)), thus a return address;
/// but the first instruction of a function, where a new task starts, is called
/// by nobody.
pub fn unwind(
    symbols: &Symbols,
    memory: &dyn Memory,
    start: &Registers,
    cpu: Option<u32>,
    limit: usize,
) -> Stack {
    let walk = Walk { symbols, memory, cpu };
    let mut frames: Vec<Frame> = Vec::new();
    let mut next = Some((start.clone(), stands(symbols, start)));
    let mut end = End::Limit;
    while let Some((registers, exact)) = next.take() {
        if frames.len() >= limit.min(MAX_FRAMES) {
            break;
        }
        let Some(pc) = registers.pc() else {
            end = End::LostRegister;
            break;
        };
        let lookup = if exact { pc } else { pc.back(1) };
        let level = frames.len();
        let user = exact && is_user(&registers);
        let kind = if user { FrameKind::User } else { FrameKind::Normal };
        let mut frame = Frame { level, pc, lookup, registers, cfa: None, kind };
        let step =
            if user { Err(End::Complete(Bottom::User)) } else { walk.step(&mut frame, exact) };
        frames.push(frame);
        match step {
            Ok(step) => next = Some(step),
            Err(reason) => end = reason,
        }
    }
    Stack { frames, end }
}

struct Walk<'a> {
    symbols: &'a Symbols,
    memory: &'a dyn Memory,
    cpu: Option<u32>,
}

impl Walk<'_> {
    /// The registers of the frame after `frame`, and whether its pc is exact.
    fn step(&self, frame: &mut Frame, exact: bool) -> Result<(Registers, bool), End> {
        let Some(row) = self.symbols.cfi_row(frame.lookup) else {
            return self.leave_assembly(frame, exact);
        };
        let mut registers = frame.registers.clone();
        let sp = registers.sp().ok_or(End::LostRegister)?;
        let effective =
            irq_stack::leave(self.symbols, self.memory, sp, self.cpu).map_err(End::of)?;
        registers.set(registers.arch.sp, Some(effective.0));
        let (caller, cfa) = rules::caller(&row, self.memory, &registers)?;
        frame.cfa = Some(cfa);
        // A stack grows down, so a caller's is above, except across a switch.
        if cfa <= effective {
            return Err(End::Loop);
        }
        called(caller, row.signal_frame)
    }

    /// From code without a DWARF rule: entry code that was returned into, or
    /// any assembly that the kernel's own table covers.
    fn leave_assembly(&self, frame: &mut Frame, exact: bool) -> Result<(Registers, bool), End> {
        let at = frame.lookup;
        match entry::classify(self.symbols, at) {
            Some(Entry::Thread) => Err(End::Complete(Bottom::Thread)),
            Some(Entry::Boot) => Err(End::Complete(Bottom::Boot)),
            Some(Entry::Entered(kind)) => {
                frame.kind = kind;
                // Standing in it, one does not know how much it has pushed.
                if exact {
                    return self.by_orc(frame);
                }
                if kind == FrameKind::Syscall {
                    return Err(End::Complete(Bottom::Syscall));
                }
                let from = entry::entered_from(self.symbols, self.memory, &frame.registers, at)?;
                interrupted(from)
            }
            None => self.by_orc(frame),
        }
    }

    fn by_orc(&self, frame: &mut Frame) -> Result<(Registers, bool), End> {
        let at = frame.lookup;
        let rule = orc::rule(self.symbols, at).ok_or(End::NoCfi(at))?;
        if rule.is_end() {
            return Err(End::Complete(match frame.kind {
                FrameKind::Syscall => Bottom::Syscall,
                FrameKind::Normal => Bottom::Boot,
                _ => Bottom::User,
            }));
        }
        match rule.step(self.memory, &frame.registers, at)? {
            Before::PtRegs(sp) => {
                let like = &frame.registers;
                let from = entry::pushed_at(self.symbols, self.memory, sp, like, at)?;
                if is_user(&from) && frame.kind == FrameKind::Syscall {
                    return Err(End::Complete(Bottom::Syscall));
                }
                interrupted(from)
            }
            Before::Caller(caller, cfa) => {
                frame.cfa = Some(cfa);
                if frame.registers.sp().is_none_or(|sp| cfa <= sp) {
                    return Err(End::Loop);
                }
                called(caller, false)
            }
        }
    }
}

/// Whether the pc is where execution stands, not where it returns to.
fn stands(symbols: &Symbols, registers: &Registers) -> bool {
    registers.get(registers.arch.flags).is_some()
        || registers.pc().is_some_and(|pc| symbols.symbol_at(pc).is_some_and(|s| s.start == pc))
}

/// On to a caller, if there can be one.
fn called(caller: Registers, exact: bool) -> Result<(Registers, bool), End> {
    match caller.pc() {
        // head_64.S pushes it so that unwinders stop.
        Some(Addr(0)) => Err(End::Complete(Bottom::Boot)),
        Some(pc) if pc < LOWEST_CODE => Err(End::BadReturn(pc)),
        Some(_) => Ok((caller, exact)),
        None => Err(End::LostRegister),
    }
}

/// On to interrupted code, if it is the kernel's.
fn interrupted(from: Registers) -> Result<(Registers, bool), End> {
    match is_user(&from) {
        true => Err(End::Complete(Bottom::User)),
        false => Ok((from, true)),
    }
}

/// By the privilege level in the code segment's selector.
fn is_user(registers: &Registers) -> bool {
    registers.by_name("cs").is_some_and(|cs| cs & 3 != 0)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{arch::x86_64::X86_64, base::memory::Sparse};

    #[test]
    fn without_symbols_there_is_one_frame_and_a_reason() {
        let registers = Registers::from_g(&X86_64, &[0x10; 156]);
        let stack = unwind(&Symbols::new(), &Sparse::new(), &registers, None, 64);
        assert_eq!(stack.frames.len(), 1);
        assert_eq!(stack.end, End::NoCfi(Addr(0x1010_1010_1010_1010)));
    }

    #[test]
    fn a_cpu_in_user_space_has_one_frame() {
        let mut registers = Registers::from_g(&X86_64, &[0; 156]);
        registers.set(X86_64.reg("cs").unwrap(), Some(0x33));
        let stack = unwind(&Symbols::new(), &Sparse::new(), &registers, None, 64);
        assert_eq!(stack.frames[0].kind, FrameKind::User);
        assert_eq!(stack.end, End::Complete(Bottom::User));
    }

    #[test]
    fn a_limit_is_kept_and_unknown_registers_end_it() {
        let registers = Registers::from_g(&X86_64, &[0; 156]);
        assert_eq!(unwind(&Symbols::new(), &Sparse::new(), &registers, None, 0).end, End::Limit);
        let unknown = Registers::unknown(&X86_64);
        let stack = unwind(&Symbols::new(), &Sparse::new(), &unknown, None, 9);
        assert_eq!((stack.frames.len(), stack.end), (0, End::LostRegister));
    }
}
