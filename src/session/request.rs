//! What a face can ask of the session, and what it hears back.

use super::answer::{Answer, Failure};
use super::conduct::{Adjusting, LogLine};
use super::crash_view::CrashEvent;
use super::dmesg::DmesgAsk;
use super::packets::PacketsAsk;
use super::saving::SnapshotAsk;
use super::view::View;
use super::wants::Wants;
use super::watching::Watching;
use crate::base::addr::Addr;
use serde::{Deserialize, Serialize};
use std::{path::PathBuf, sync::Arc};
use tokio::sync::{mpsc, oneshot};

/// How far a step goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Step {
    /// One instruction, into calls (`stepi`).
    Instruction,
    /// One instruction, over calls (`nexti`).
    InstructionOver,
    /// To another source line, into calls of functions with lines (`step`).
    Line,
    /// To another source line of this function or its caller (`next`).
    LineOver,
    /// Until the selected frame returns (`finish`).
    Out,
    /// To another source line, but not back in a loop (`until`).
    Onward,
}

/// How one runs to a place.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Towards {
    /// Whichever task comes there (run to cursor).
    Cursor,
    /// The stopped task in its selected frame, or out of that (`until`).
    Until,
    /// The stopped task in any of its functions, or out of the selected frame
    /// (`advance`).
    Advance,
}

/// A breakpoint's flavour.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BreakKind {
    /// Stays until deleted.
    Kept,
    /// Gone after its first hit (`tbreak`).
    Temporary,
}

/// What a breakpoint is made of.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum Means {
    /// An int3 in the code.
    #[default]
    Software,
    /// A debug register of the CPU (`hbreak`).
    Hardware,
}

/// Which of the times that control comes to a breakpoint count.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct When {
    /// A C expression that must not be zero.
    pub condition: Option<String>,
    /// The only task that counts, by pid.
    pub task: Option<i64>,
    /// The only CPU that counts.
    pub cpu: Option<u32>,
    /// Only tasks of this name count (`task_struct.comm`).
    pub comm: Option<String>,
}

/// A breakpoint that is asked for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Breaking {
    /// Whether it stays.
    pub kind: BreakKind,
    /// What it is made of.
    pub means: Means,
    /// Where, as the user wrote it; empty for the selected frame's place.
    pub location: String,
    /// When it counts.
    pub when: When,
    /// Whether it is planted where that may cost the guest (`--force`).
    pub forced: bool,
}

impl Breaking {
    /// A breakpoint of software that counts every time.
    pub fn at(kind: BreakKind, location: impl Into<String>) -> Breaking {
        let (means, when) = (Means::default(), When::default());
        Breaking { kind, means, location: location.into(), when, forced: false }
    }
}

/// What happens to a module.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum ModuleEvent {
    /// It is loaded; nothing of its init has run.
    Load,
    /// It is about to be freed: its exit has run, or its init failed.
    Unload,
}

/// A stop at what happens to a module (`catch`).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Catch {
    /// What.
    pub event: ModuleEvent,
    /// To which; any when there is no name.
    pub module: Option<String>,
}

impl Catch {
    /// Whether this is what happened. `-` and `_` are alike, as for `modprobe`.
    pub fn fits(&self, event: ModuleEvent, module: &str) -> bool {
        let plain = |name: &str| name.replace('-', "_");
        self.event == event
            && self.module.as_ref().is_none_or(|wanted| plain(wanted) == plain(module))
    }
}

/// How to part from the guest.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Leave {
    /// Lift every breakpoint, let the guest run, close the link.
    Detach,
    /// Lift every breakpoint but leave the guest stopped: the user's explicit choice.
    Stopped,
    /// Close the link and leave everything as it is, planted breakpoints
    /// too: the user's explicit choice when a running guest can't be stopped.
    AsIs,
}

/// Which stop of a record.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Goal {
    /// By its number, from 1.
    Number(usize),
    /// So many further on (negative: back).
    By(i32),
}

/// Which source lines (`list`).
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Listing {
    /// Those after the ones listed last; the first time, around the selected frame.
    #[default]
    On,
    /// Those before the ones listed last.
    Back,
    /// Around a location.
    Around(String),
    /// From one location to another; one may be left out.
    Range(Option<String>, Option<String>),
}

/// Which instructions, and how (`disassemble`).
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Disassembly {
    /// Source lines between (`/s`).
    pub source: bool,
    /// Raw bytes (`/r`).
    pub bytes: bool,
    /// Arrows for the jumps inside (`/a`).
    pub arrows: bool,
    /// Where.
    pub what: Part,
}

/// A part of the code.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Part {
    /// The function of the selected frame.
    #[default]
    Here,
    /// The function at a location.
    Function(String),
    /// From one location up to another.
    Range(String, String),
    /// From a location on, so many bytes.
    Length(String, u64),
}

/// Which kind of names.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Names {
    /// Functions.
    Functions,
    /// Variables of file scope.
    Variables,
    /// Types.
    Types,
}

/// Which names, and how many.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Pattern {
    /// A regular expression that is found in them; all when there is none.
    pub text: Option<String>,
    /// At most so many.
    pub limit: Option<usize>,
}

/// Which memory, and how (`x`). What is not said is as it was the last time.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Examining {
    /// How many units; below zero those before the address.
    pub count: Option<i32>,
    /// Bytes of a unit.
    pub unit: Option<u32>,
    /// gdb's letter for how they are written.
    pub format: Option<char>,
    /// An expression or a location; empty to go on.
    pub address: String,
}

/// What is in a collection (`info list`).
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Elements {
    /// The head: an expression.
    pub expression: String,
    /// The type of the elements, and the member by which they are in it.
    pub element: Option<(String, String)>,
    /// Elements at most.
    pub limit: Option<usize>,
}

/// Which value, and how (`print`).
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Printing {
    /// The expression; empty for the value that was printed last.
    pub expression: String,
    /// gdb's letter for how it is written.
    pub format: Option<char>,
    /// Whether the guest may be changed. If not, an expression that would is
    /// answered with what it would do ([`Answer::Confirm`]), to be asked again.
    pub write: bool,
    /// What the value is for.
    pub purpose: Purpose,
}

/// What a value is for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Purpose {
    /// It is shown and kept in the history (`print`).
    #[default]
    Print,
    /// It is shown only (`output`).
    Output,
    /// Only what it changes matters (`set var`).
    Set,
}

/// Something asked of the session. Each gets one [`Answer`] or [`Failure`].
#[derive(Clone, Debug, PartialEq)]
pub enum Request {
    /// Let the guest run (`continue`). The answer comes at the next stop.
    Continue,
    /// Step, `count` times. The answer comes when the last step ends.
    Step(Step, u32),
    /// Run to a place with a temporary breakpoint (`until`, `advance`, run to cursor).
    RunTo(String, Towards),
    /// Go on at another place (`jump`). Unless it is sure, the answer is what
    /// that means ([`Answer::Confirm`]), to be asked again.
    Jump {
        /// Where.
        location: String,
        /// Whether it is sure.
        sure: bool,
    },
    /// Let the kernel deal with the exception that stopped it (an oops kills
    /// the task). Answered once the guest runs, or has stopped again.
    PassException,
    /// Stop the running guest; asked again, by the next way.
    BreakIn,
    /// Stop it by typing into the shell on its console, which is allowed from
    /// now on.
    BreakInByShell,
    /// Give a break-in up; the guest runs on.
    CancelBreakIn,
    /// Plant and lift breakpoints now: a running guest is stopped for a moment.
    Plant,
    /// Wait for a stop at most this long.
    Wait(std::time::Duration),
    /// Plant a breakpoint at a location as the user wrote it.
    Break(Breaking),
    /// Stop when something in memory is changed or read (`watch` and its kin).
    Watch(Watching),
    /// Stop when something happens to a module (`catch`, `tcatch`).
    Catch(BreakKind, Catch),
    /// Stop when the kernel is in trouble (`catch panic` and the like).
    CatchCrash(BreakKind, CrashEvent),
    /// The crash that stopped the guest (`info crash`).
    Crash,
    /// Go over the instruction that can't be executed, without executing it.
    Skip,
    /// Restart the machine at once; only asked about while it is not confirmed.
    Reboot {
        /// Whether the user was asked.
        confirmed: bool,
    },
    /// Take breakpoints away; all of them when the list is empty.
    Delete(Vec<u32>),
    /// Enable or disable breakpoints; all of them when the list is empty.
    Enable(bool, Vec<u32>),
    /// Set a breakpoint at a location, or delete those which are there already.
    Toggle(String),
    /// Change what a breakpoint does (`condition`, `ignore`, `commands`, …).
    Adjust(Adjusting),
    /// `printf`: a format and expressions.
    Printf(String),
    /// Choose frame `n` of the stack as shown (inline frames count).
    Frame(usize),
    /// Choose the frame this many levels further out (negative: in).
    FrameBy(i64),
    /// The stack, at most so many frames.
    Backtrace(Option<usize>),
    /// Registers of the selected frame; all when empty.
    Registers(Vec<String>),
    /// Arguments of the selected frame.
    Arguments,
    /// Locals of the selected frame.
    Locals,
    /// Source lines.
    List(Listing),
    /// What a line or address is in the other world (`info line`).
    Line(String),
    /// The symbol at an address (`info symbol`).
    Symbol(String),
    /// The definition of a macro (`info macro`).
    Macro(String),
    /// Instructions.
    Disassemble(Disassembly),
    /// Names that have some letters.
    Search(String),
    /// Changes a setting: its name, its new value.
    Set(String, String),
    /// The value of a setting, or of all of them.
    Show(String),
    /// Memory (`x`).
    Examine(Examining),
    /// The value of an expression, and what it changes (`print`, `set var`).
    Print(Printing),
    /// What is in a list, tree or array (`info list`).
    Elements(Elements),
    /// Names that fit a regular expression (`info functions` and the like).
    Names(Names, Pattern),
    /// Source files known to the symbols (`info sources`).
    SourceFiles(Pattern),
    /// Variables that can be seen at a location (`info scope`).
    Scope(String),
    /// A type with its members (`ptype`), with offsets if asked for (`/o`).
    Type(String, bool),
    /// The name of a type, or of the type of something (`whatis`).
    WhatIs(String),
    /// Every breakpoint.
    Breakpoints,
    /// Modules of the guest, with their symbols' state.
    Modules,
    /// One module with all that its memory tells: sections, parameters, users.
    Module(String),
    /// CPUs and what runs on them.
    Cpus,
    /// Show another CPU's stack; none: tell whose is shown.
    Cpu(Option<u32>),
    /// Show another task's stack, by pid; none: tell whose is shown.
    Task(Option<i64>),
    /// Tasks. Goes on between other requests; ends early, with what is known,
    /// at one that interrupts or resumes.
    Tasks {
        /// Only those that have this text in pid, name, state or the function
        /// they wait in; all when it is empty.
        filter: String,
        /// With the command lines of processes.
        cmdlines: bool,
    },
    /// The stacks of all tasks, or of those that have a text in pid, name,
    /// state or a function of the stack; equal ones together. Goes on as tasks do.
    Stacks(String),
    /// The kernel's log; goes on as tasks do.
    Dmesg(DmesgAsk),
    /// The newest packets of the log of the wire.
    Packets(PacketsAsk),
    /// What the panes have on screen: it is read, now and at later stops.
    Want(Wants),
    /// Save what is known of this stop, after reading a set of things; goes on
    /// as tasks do, and saves what it has when it is interrupted.
    Snapshot(SnapshotAsk),
    /// Go to a stop of the record that takes the guest's place.
    ReplayTo(Goal),
    /// The stops of that record (`info replay`).
    Replay,
    /// Type these bytes into the running guest's console.
    Console(Vec<u8>),
    /// Say something to the user, on behalf of whoever else uses the session.
    Tell(Level, String),
    /// Memory as it is, byte by byte; unknown where the guest can't read.
    Bytes(Addr, u64),
    /// Write bytes into the guest's memory.
    WriteBytes(Addr, Vec<u8>),
    /// Write a register of what the guest stopped in, by its name.
    WriteRegister(String, u64),
    /// The registers of what the stub stopped in, whatever is shown.
    StopRegisters,
    /// Release, identity, slide.
    Target,
    /// How kgdb is set up in the running kernel (`info kgdb`).
    Kgdb,
    /// What the kernel was built with (`info config`).
    Config(Pattern),
    /// Bytes, packets, rate.
    Link,
    /// A kdb command, run in the stopped guest (`monitor`).
    Monitor(String),
    /// Take section addresses of modules from a directory or file.
    Sections(PathBuf),
    /// Take a file with symbols, and addresses of its sections: the text after
    /// `add-symbol-file`.
    AddSymbolFile(String),
    /// Forget a file that was added, by `-a ADDRESS` or its path.
    RemoveSymbolFile(String),
    /// Show symbols although the vmlinux could not be proven to be the guest's.
    TrustSymbols,
    /// Part from the guest; the session ends after the answer.
    Leave(Leave),
}

impl Request {
    /// What packets for it are for, in the log of the wire.
    pub(super) fn word(&self) -> &'static str {
        match self {
            Request::Continue | Request::RunTo(..) | Request::Jump { .. } => "going on",
            Request::Step(..) => "step",
            Request::BreakIn | Request::BreakInByShell | Request::CancelBreakIn => "break-in",
            Request::Break(_) | Request::Toggle(_) | Request::Delete(_) | Request::Enable(..) => {
                "breakpoint"
            }
            Request::Watch(_) => "watchpoint",
            Request::Catch(..) | Request::CatchCrash(..) => "catch",
            Request::Frame(_) | Request::FrameBy(_) | Request::Backtrace(_) => "stack",
            Request::Registers(_) => "registers",
            Request::Arguments | Request::Locals => "variables",
            Request::Disassemble(_) => "instructions",
            Request::Examine(_) => "memory",
            Request::Print(_) | Request::Printf(_) | Request::Elements(_) => "value",
            Request::Modules | Request::Module(_) => "modules",
            Request::Cpus | Request::Cpu(_) => "CPUs",
            Request::Tasks { .. } | Request::Task(_) => "tasks",
            Request::Stacks(_) => "stacks",
            Request::Dmesg(_) => "dmesg",
            Request::Snapshot(_) => "snapshot",
            Request::Monitor(_) => "monitor",
            Request::Console(_) => "console",
            Request::Bytes(..)
            | Request::WriteBytes(..)
            | Request::WriteRegister(..)
            | Request::StopRegisters => "gdb",
            Request::Leave(_) => "leaving",
            _ => "command",
        }
    }

    /// Whether long work that goes on between requests ends here: it was
    /// interrupted, or the guest will run.
    pub(super) fn ends_a_job(&self) -> bool {
        matches!(
            self,
            Request::Continue
                | Request::Step(..)
                | Request::RunTo(..)
                | Request::Jump { sure: true, .. }
                | Request::PassException
                | Request::Reboot { .. }
                | Request::BreakIn
                | Request::Leave(_)
        )
    }

    /// The same, where the guest may be changed without being asked again.
    #[must_use]
    pub fn confirmed(self) -> Request {
        match self {
            Request::Print(asked) => Request::Print(Printing { write: true, ..asked }),
            Request::Reboot { .. } => Request::Reboot { confirmed: true },
            Request::Jump { location, .. } => Request::Jump { location, sure: true },
            other => other,
        }
    }
}

/// A request with the way its answer goes back.
#[derive(Debug)]
pub struct Ask {
    /// What is asked.
    pub request: Request,
    /// Where the answer goes; a face may have stopped listening.
    pub reply: oneshot::Sender<Result<Answer, Failure>>,
}

/// News from the session.
#[derive(Clone, Debug)]
pub enum Update {
    /// Something that is shown has changed.
    View(Arc<View>),
    /// Text the guest printed on the line, not a packet.
    Console(Vec<u8>),
    /// A sentence for the user: what happened, what to do.
    Message(Level, String),
    /// What a log point printed.
    Log(LogLine),
    /// The session is over; the reason, when it was not asked for.
    Ended(Option<String>),
}

/// How much a message matters.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Level {
    /// Good to know.
    Info,
    /// What helps with what was said last.
    Hint,
    /// Something is not as it should be.
    Warning,
    /// Something failed.
    Error,
}

/// A face's end of a running session. The session leaves the guest (as
/// [`Leave::Detach`]) when every handle is gone.
#[derive(Clone, Debug)]
pub struct Handle {
    asks: mpsc::UnboundedSender<Ask>,
}

impl Handle {
    /// The two ends: the face's, and what the session reads.
    pub fn new() -> (Handle, mpsc::UnboundedReceiver<Ask>) {
        let (asks, requests) = mpsc::unbounded_channel();
        (Handle { asks }, requests)
    }

    /// The same end for whoever must not keep the session alive.
    pub fn weak(&self) -> WeakHandle {
        WeakHandle { asks: self.asks.downgrade() }
    }

    /// Sends a request. The answer arrives on the receiver; a receiver whose
    /// sender is gone means the session ended first.
    pub fn send(&self, request: Request) -> oneshot::Receiver<Result<Answer, Failure>> {
        let (reply, answer) = oneshot::channel();
        // A failed send drops `reply`, which the receiver sees as the end.
        let _ = self.asks.send(Ask { request, reply });
        answer
    }
}

/// An end that does not keep the session from ending.
#[derive(Clone, Debug)]
pub struct WeakHandle {
    asks: mpsc::WeakUnboundedSender<Ask>,
}

impl WeakHandle {
    /// Asks and waits for the answer; `None` when the session is over.
    pub async fn ask(&self, request: Request) -> Option<Result<Answer, Failure>> {
        self.send(request)?.await.ok()
    }

    /// As [`Handle::send`]; `None` when the session is over.
    pub fn send(&self, request: Request) -> Option<oneshot::Receiver<Result<Answer, Failure>>> {
        Some(Handle { asks: self.asks.upgrade()? }.send(request))
    }
}
