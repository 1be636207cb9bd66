//! Stacks: from the registers of a stop to the frames that called each other.
//!
//! Contract: plain code over a [`Memory`](crate::base::memory::Memory); a read
//! that has no answer yet ends the walk with [`End::Missing`] and the frames
//! so far, and the same call is made again with more memory. Every frame is
//! there because an unwind rule or the kernel's own record (`struct pt_regs`)
//! says so, or, where code has no rule, because a return address is where the
//! instruction set or the frame pointer says; see [`By`]. What is only a scan of
//! the stack is marked ([`FrameKind::Guess`]), and a stack with such a frame in
//! it is not [whole](Stack::is_whole). Walks are bounded.

pub mod entry;
mod expression;
mod irq_stack;
mod orc;
mod percpu;
mod ruleless;
mod rules;
pub mod shown;
pub mod sleeping;
mod trampoline;
pub mod trapped;
pub mod walk;

use crate::{
    arch::Registers,
    base::{addr::Addr, memory::Gap},
};
use std::fmt;

/// What kind of code a frame is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FrameKind {
    /// A function, called by the next frame.
    Normal,
    /// The entry code of an interrupt: the next frame was interrupted.
    Interrupt,
    /// The entry code of an exception: the next frame raised it.
    Exception,
    /// The entry code of a non-maskable interrupt: the next frame was
    /// interrupted, wherever it was.
    Nmi,
    /// The entry code of a system call.
    Syscall,
    /// User space.
    User,
    /// Found by a scan of the stack, not by a rule.
    Guess,
}

/// What says that a frame is there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum By {
    /// The registers the walk began with.
    Start,
    /// DWARF's rule for the frame before it.
    Cfi,
    /// The kernel's own table.
    Orc,
    /// The registers that entry code saved.
    PtRegs,
    /// The frame before it has not moved the stack pointer, and there is the
    /// return address of a call to it.
    Return,
    /// The frame pointer, in code without a rule.
    FramePointer,
    /// A scan of the stack: it follows a call, and nothing more is known.
    Guess,
}

/// What the code that a frame of entry code entered from had in its registers.
#[derive(Clone, Debug, PartialEq)]
pub struct Saved {
    /// Where the `struct pt_regs` is.
    pub at: Addr,
    /// What is in it; `None` while it was not needed: see [`entry::saved`].
    pub registers: Option<Registers>,
    /// The number of the system call in a `pt_regs` of one, where it was read.
    pub orig_ax: Option<u64>,
}

/// One frame of a stack, without the functions inlined into it.
#[derive(Clone, Debug, PartialEq)]
pub struct Frame {
    /// 0 is where the CPU stands.
    pub level: usize,
    /// Where execution stands, or goes on after the call returns.
    pub pc: Addr,
    /// The address to ask symbols about: `pc`, or for a caller the byte
    /// before it, because a call that is the last instruction of a function
    /// returns to the next one.
    pub lookup: Addr,
    /// The registers as they are in this frame, as far as they are saved.
    pub registers: Registers,
    /// The canonical frame address: the stack pointer before this frame was
    /// called. `None` where no rule gave it.
    pub cfa: Option<Addr>,
    /// What kind of code it is.
    pub kind: FrameKind,
    /// What says that it is there.
    pub by: By,
    /// For entry code, what it saved.
    pub saved: Option<Saved>,
}

/// Where a stack rightly ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Bottom {
    /// A system call from user space.
    Syscall,
    /// An interrupt or exception while user space ran.
    User,
    /// The start of a kernel thread, or of a new process.
    Thread,
    /// The start of the kernel, or of a CPU: an idle task.
    Boot,
}

/// Why a walk ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum End {
    /// There is nothing more.
    Complete(Bottom),
    /// As many frames as were asked for.
    Limit,
    /// Memory that is not read yet.
    Missing(Gap),
    /// Memory that the guest can't read, or that a record does not have.
    Fault(Gap),
    /// No unwind rule for the code at this address.
    NoCfi(Addr),
    /// The return address is no address of the kernel: the stack is damaged,
    /// or the rule did not fit.
    BadReturn(Addr),
    /// A tracer put this return address in place of the real one, which is
    /// not in its records.
    Hooked(Addr),
    /// The stack pointer of a task is no address of a kernel's stack.
    BadStack(Addr),
    /// A rule needs a register that no frame saved.
    LostRegister,
    /// The stack pointer went backwards.
    Loop,
}

impl End {
    pub(super) fn of(gap: Gap) -> End {
        match gap {
            Gap::Missing(_) => End::Missing(gap),
            Gap::Fault(_) | Gap::Unrecorded(_) => End::Fault(gap),
        }
    }
}

impl fmt::Display for End {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            End::Complete(Bottom::Syscall) => f.write_str("system call from user space"),
            End::Complete(Bottom::User) => f.write_str("user space"),
            End::Complete(Bottom::Thread) => f.write_str("start of the thread"),
            End::Complete(Bottom::Boot) => f.write_str("start of the CPU"),
            End::Limit => f.write_str("more frames follow"),
            End::Missing(gap) | End::Fault(gap) => gap.fmt(f),
            End::NoCfi(pc) => write!(f, "no unwind rule at {pc}"),
            End::BadReturn(pc) => write!(f, "{pc} is no return address; the stack may be damaged"),
            End::Hooked(pc) => {
                write!(f, "a tracer returns to {pc} first, and its record of where then is lost")
            }
            End::BadStack(sp) => write!(f, "{sp} is no stack; the task may be freed or damaged"),
            End::LostRegister => f.write_str("a register the unwind rule needs was not saved"),
            End::Loop => f.write_str("the stack goes in a circle; it may be damaged"),
        }
    }
}

/// A stack: innermost frame first, and why there are no more.
#[derive(Clone, Debug, PartialEq)]
pub struct Stack {
    /// The frames.
    pub frames: Vec<Frame>,
    /// Why it ends.
    pub end: End,
}

impl Stack {
    /// Whether it ends where a stack rightly ends, and no frame is a guess.
    pub fn is_whole(&self) -> bool {
        matches!(self.end, End::Complete(_))
            && self.frames.iter().all(|frame| frame.by != By::Guess)
    }
}
