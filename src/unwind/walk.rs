//! The walk: frame by frame by unwind rules, through entry code and stack
//! switches, to a place where a stack rightly ends, or to the reason why not.

use crate::{
    arch::Registers,
    base::{
        addr::Addr,
        memory::{Gap, Memory, PAGE},
    },
    symbols::placed::Symbols,
    unwind::{
        Bottom, By, End, Frame, FrameKind, Saved, Stack,
        entry::{self, Entry},
        irq_stack,
        orc::{self, Before, Rule},
        percpu, ruleless, rules, trampoline,
    },
};
use std::cell::Cell;

/// No real stack has more frames; kernel stacks are 16 KiB.
pub const MAX_FRAMES: usize = 512;

/// How much of a stack is read at once, upward, when few frames are wanted: what
/// is next to a saved register is wanted next, and a packet costs as much as 20 of
/// these bytes.
const AHEAD: u64 = 192;

/// The same when as many frames are wanted as there are: then nearly all of the
/// stack is, and it comes in the largest packets there are.
const AHEAD_OF_ALL: u64 = 504;

/// More frames than this are taken for all.
const FEW: usize = 4;

/// A kernel stack ends at a multiple of this (`THREAD_SIZE` of x86_64, and
/// `IRQ_STACK_SIZE`). Where it does not, more is read than wanted, or less.
const STACK_END: u64 = 16 * 1024;

/// Whose stack it is, as far as that is known. Only stacks that come from an
/// interrupt stack or have a tracer in them need it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Owner {
    /// The CPU it is used on; without it every CPU is tried.
    pub cpu: Option<u32>,
    /// The `struct task_struct`; without it the one that runs on the CPU.
    pub task: Option<Addr>,
    /// Whether bytes of it are dearer than reads: then nothing is read ahead.
    pub sparing: bool,
}

impl From<Option<u32>> for Owner {
    fn from(cpu: Option<u32>) -> Owner {
        Owner { cpu, ..Owner::default() }
    }
}

/// The stack of a CPU or task with these registers, up to `limit` frames.
///
/// Frames that were walked over interrupted code: the entry code is a frame
/// of its own, of kind [`FrameKind::Interrupt`], [`FrameKind::Exception`] or
/// [`FrameKind::Nmi`], with what it [saved](Frame::saved); the next one is the
/// interrupted code, looked up at its pc exactly.
///
/// A pc without flags is none of a CPU but of a task that was switched away
/// from ([`sleeping::start`](super::sleeping::start)), thus a return address;
/// but the first instruction of a function, where a new task starts, is called
/// by nobody.
pub fn unwind(
    symbols: &Symbols,
    memory: &dyn Memory,
    start: &Registers,
    owner: impl Into<Owner>,
    limit: usize,
) -> Stack {
    let owner = owner.into();
    let most = match limit {
        _ if owner.sparing => 0,
        ..=FEW => AHEAD,
        _ => AHEAD_OF_ALL,
    };
    let saved = symbols.pt_regs(start.arch).map_or(0, |layout| layout.size as u64);
    let stack = Ahead { memory, most, saved };
    let walk = Walk { symbols, memory, stack: &stack, owner, hooks: Cell::new(0) };
    let mut frames: Vec<Frame> = Vec::new();
    let exact = stands(symbols, start);
    let mut next = Some(Step { registers: start.clone(), exact, by: By::Start });
    let mut end = End::Limit;
    while let Some(Step { registers, exact, by }) = next.take() {
        if frames.len() >= limit.min(MAX_FRAMES) {
            break;
        }
        let Some(pc) = registers.pc() else {
            end = End::LostRegister;
            break;
        };
        let lookup = if exact { pc } else { pc.back(1) };
        let level = frames.len();
        let user = exact && registers.is_user();
        let kind = if user { FrameKind::User } else { FrameKind::Normal };
        let mut frame = Frame { level, pc, lookup, registers, cfa: None, kind, by, saved: None };
        let step =
            if user { Err(End::Complete(Bottom::User)) } else { walk.step(&mut frame, exact) };
        if by == By::Guess {
            frame.kind = FrameKind::Guess;
        }
        // Entry code that was entered from itself would go on for ever.
        let again = frame.saved.as_ref().is_some_and(|saved| {
            let mut before = frames.iter().filter_map(|frame| frame.saved.as_ref());
            before.any(|other| other.at == saved.at)
        });
        frames.push(frame);
        match step {
            Ok(_) if again => end = End::Loop,
            Ok(step) => next = Some(step),
            Err(reason) => end = reason,
        }
    }
    Stack { frames, end }
}

/// The frame of a CPU that stands at the pc of these registers, where no more of
/// them may be known. Its callers are not looked for.
pub fn standing(start: &Registers) -> Stack {
    let frame = |pc| Frame {
        level: 0,
        pc,
        lookup: pc,
        registers: start.clone(),
        cfa: None,
        kind: if start.is_user() { FrameKind::User } else { FrameKind::Normal },
        by: By::Start,
        saved: None,
    };
    Stack { frames: start.pc().map(frame).into_iter().collect(), end: End::Limit }
}

/// The next frame.
struct Step {
    registers: Registers,
    /// Execution stands at the pc, rather than returns to it.
    exact: bool,
    by: By,
}

struct Walk<'a> {
    symbols: &'a Symbols,
    /// For what is not on the stack.
    memory: &'a dyn Memory,
    /// For what is.
    stack: &'a dyn Memory,
    owner: Owner,
    /// Return addresses so far that a tracer had replaced.
    hooks: Cell<usize>,
}

impl Walk<'_> {
    /// The frame after `frame`, which learns what the step tells about it.
    fn step(&self, frame: &mut Frame, exact: bool) -> Result<Step, End> {
        if exact && trampoline::is_hook(self.symbols, frame.pc) {
            // Just returned to; the slot is below the stack pointer.
            let sp = frame.registers.sp().ok_or(End::LostRegister)?;
            let mut registers = frame.registers.clone();
            registers.set(registers.arch.pc, Some(self.unhooked(frame.pc, sp)?.0));
            return Ok(Step { registers, exact: false, by: By::Return });
        }
        let Some(row) = self.symbols.cfi_row(frame.lookup) else {
            return self.leave_assembly(frame, exact);
        };
        let mut registers = frame.registers.clone();
        let sp = registers.sp().ok_or(End::LostRegister)?;
        let effective =
            irq_stack::leave(self.symbols, self.memory, sp, self.owner.cpu).map_err(End::of)?;
        registers.set(registers.arch.sp, Some(effective.0));
        let (caller, cfa) = rules::caller(&row, self.stack, &registers)?;
        // A stack grows down, so a caller's is above, except across a switch.
        if cfa <= effective {
            return Err(End::Loop);
        }
        let step = self.called(caller, row.signal_frame, By::Cfi);
        if matches!(step, Err(End::BadReturn(_))) && frame.by == By::FramePointer {
            // The frame pointers of ftrace_caller before 5.1 are made up for
            // such walks; the stack pointer that goes with them is not.
            let caller = ruleless::by_frame_pointer(self.symbols, self.stack, &registers)?;
            return caller.map_or(step, |caller| self.called(caller, false, By::FramePointer));
        }
        frame.cfa = Some(cfa);
        step
    }

    /// From code without a DWARF rule: entry code, or any assembly that the
    /// kernel's own table covers, or what no table does.
    fn leave_assembly(&self, frame: &mut Frame, exact: bool) -> Result<Step, End> {
        let at = frame.lookup;
        match entry::classify(self.symbols, at) {
            Some(Entry::Thread) => Err(End::Complete(Bottom::Thread)),
            Some(Entry::Boot) => Err(End::Complete(Bottom::Boot)),
            Some(Entry::Entered(kind)) => {
                frame.kind = kind;
                if let Some(rule) = orc::rule(self.symbols, at) {
                    let step = self.by_orc(frame, (&rule, at), exact);
                    if !matches!(step, Err(End::NoCfi(_))) || kind == FrameKind::Syscall {
                        return step;
                    }
                    // Between the return of error_entry, which pushes for its
                    // caller, and the next hint, the table is behind.
                    let from = entry::entered_from(self.symbols, self.stack, &frame.registers, at);
                    return from.and_then(|from| interrupted(frame, from));
                }
                if kind == FrameKind::Syscall {
                    // Standing in it, one does not know how much it has pushed.
                    let sp = frame.registers.sp().filter(|_| !exact);
                    frame.saved = sp.map(|at| Saved { at, registers: None, orig_ax: None });
                    return Err(End::Complete(Bottom::Syscall));
                }
                if exact {
                    return self.without_rules(frame, exact);
                }
                let from = entry::entered_from(self.symbols, self.stack, &frame.registers, at)?;
                interrupted(frame, from)
            }
            None => {
                let outside = self.symbols.symbol_at(at).is_none();
                let copied = match outside && ruleless::may_be_code(self.symbols, at) {
                    true => trampoline::copied_from(self.symbols, self.memory, at),
                    false => Ok(None),
                };
                let place = copied.map_err(End::of)?.unwrap_or(at);
                match orc::rule(self.symbols, place) {
                    Some(rule) if rule.is_known() => self.by_orc(frame, (&rule, place), exact),
                    _ => self.without_rules(frame, exact),
                }
            }
        }
    }

    /// By the rule for `place`, which is that of the frame or its original.
    fn by_orc(
        &self,
        frame: &mut Frame,
        (rule, place): (&Rule, Addr),
        exact: bool,
    ) -> Result<Step, End> {
        let (at, arch) = (frame.lookup, frame.registers.arch);
        if rule.is_end() {
            return Err(End::Complete(match frame.kind {
                FrameKind::Syscall => Bottom::Syscall,
                FrameKind::Normal => Bottom::Boot,
                _ => Bottom::User,
            }));
        }
        let kept = rules::kept(self.symbols, place, exact, &frame.registers);
        let from = match rule.step(self.stack, &frame.registers, &kept, at)? {
            // It costs a read, and where the stack ends is known without.
            Before::PtRegs(at) if frame.kind == FrameKind::Syscall && !exact => {
                frame.saved = Some(Saved { at, registers: None, orig_ax: None });
                return Err(End::Complete(Bottom::Syscall));
            }
            Before::PtRegs(sp) => entry::pushed_at(self.symbols, self.stack, sp, arch, at)?,
            Before::Pushed(sp) => {
                entry::pushed_by_cpu(self.symbols, self.stack, sp, &frame.registers, at)?
            }
            Before::Caller(caller, cfa) => {
                if frame.registers.sp().is_none_or(|sp| cfa <= sp) {
                    return Err(End::Loop);
                }
                frame.cfa = Some(cfa);
                return self.called(caller, false, By::Orc);
            }
        };
        interrupted(frame, from)
    }

    fn without_rules(&self, frame: &mut Frame, exact: bool) -> Result<Step, End> {
        let place = (frame.lookup, exact);
        let (caller, by) = ruleless::caller(self.symbols, self.stack, &frame.registers, place)?;
        frame.cfa = caller.sp();
        self.called(caller, false, by)
    }

    /// On to a caller, if there can be one.
    fn called(&self, mut caller: Registers, exact: bool, by: By) -> Result<Step, End> {
        let (Some(pc), Some(sp)) = (caller.pc(), caller.sp()) else {
            return Err(End::LostRegister);
        };
        // head_64.S pushes it so that unwinders stop.
        if pc == Addr(0) {
            return Err(End::Complete(Bottom::Boot));
        }
        if trampoline::is_hook(self.symbols, pc) {
            caller.set(caller.arch.pc, Some(self.unhooked(pc, sp)?.0));
        } else if !ruleless::may_be_code(self.symbols, if exact { pc } else { pc.back(1) }) {
            return Err(End::BadReturn(pc));
        }
        Ok(Step { registers: caller, exact, by })
    }

    /// Where a function really returns to that returns to the hook at `pc`,
    /// when `sp` is the stack pointer after that.
    fn unhooked(&self, pc: Addr, sp: Addr) -> Result<Addr, End> {
        let task = match self.owner.task {
            Some(task) => task,
            None => {
                let current = percpu::variable(self.symbols, "current_task");
                let (Some(current), Some(cpu)) = (current, self.owner.cpu) else {
                    return Err(End::Hooked(pc));
                };
                let at = percpu::copy(self.symbols, self.memory, current, cpu.into());
                Addr(at.and_then(|at| self.memory.u64(at)).map_err(End::of)?)
            }
        };
        let (slot, met) = (sp.back(8), self.hooks.get());
        let real = trampoline::real_return(self.symbols, self.memory, task, (pc, slot), met)?;
        self.hooks.set(met + 1);
        Ok(real)
    }
}

/// Whether the pc is where execution stands, not where it returns to.
fn stands(symbols: &Symbols, registers: &Registers) -> bool {
    registers.get(registers.arch.flags).is_some()
        || registers.pc().is_some_and(|pc| symbols.symbol_at(pc).is_some_and(|s| s.start == pc))
}

/// On to interrupted code, if it is the kernel's.
fn interrupted(frame: &mut Frame, from: Saved) -> Result<Step, End> {
    let registers = from.registers.clone().ok_or(End::LostRegister)?;
    frame.saved = Some(from);
    match registers.is_user() {
        true if frame.kind == FrameKind::Syscall => Err(End::Complete(Bottom::Syscall)),
        true => Err(End::Complete(Bottom::User)),
        false => Ok(Step { registers, exact: true, by: By::PtRegs }),
    }
}

/// A stack as it is read: a miss asks for more of it, in the same page.
struct Ahead<'a> {
    memory: &'a dyn Memory,
    /// Bytes that are asked for at once.
    most: u64,
    /// Bytes at the end of a task's stack that the registers of user space are in:
    /// no frame is there.
    saved: u64,
}

impl Ahead<'_> {
    /// How much is worth asking for from `addr` on.
    fn reach(&self, addr: Addr) -> u64 {
        let to_end = STACK_END - addr.0 % STACK_END;
        let to_saved = to_end.checked_sub(self.saved).filter(|len| *len > 0);
        self.most.min(PAGE - addr.0 % PAGE).min(to_saved.unwrap_or(to_end))
    }
}

impl Memory for Ahead<'_> {
    fn read(&self, addr: Addr, buf: &mut [u8]) -> Result<(), Gap> {
        let result = self.memory.read(addr, buf);
        if matches!(result, Err(Gap::Missing(_))) {
            let mut ahead = [0; AHEAD_OF_ALL as usize];
            let len = self.reach(addr) as usize;
            if len > buf.len() {
                // Only to be missed as well.
                let _ = self.memory.read(addr, &mut ahead[..len]);
            }
        }
        result
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        arch::x86_64::X86_64,
        base::memory::{Recorder, Span, Sparse},
    };

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
    fn a_stack_is_read_up_to_the_registers_at_its_end() {
        let memory = Sparse::new();
        let stack = |most| Ahead { memory: &memory, most, saved: 168 };
        let at = |offset: u64| Addr(0xffff_c900_0001_0000 + offset);
        assert_eq!(stack(504).reach(at(0x3c00)), 504);
        assert_eq!(stack(192).reach(at(0x3c00)), 192);
        assert_eq!(stack(504).reach(at(0x3e00)), 512 - 168);
        assert_eq!(stack(504).reach(at(0x3f58)), 168, "in them, they are wanted");
        assert_eq!(stack(504).reach(at(0x2f00)), 256, "no further than the page");
        let recorder = Recorder::new(&memory);
        let ahead = Ahead { memory: &recorder, most: 504, saved: 168 };
        assert!(ahead.u64(at(0x3e00)).is_err());
        let spans = [Span::new(at(0x3e00), 8), Span::new(at(0x3e00), 344)];
        assert_eq!(recorder.into_misses(), spans);
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
