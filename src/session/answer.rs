//! What the session answers, in the shape of the JSON contract (design: the
//! `result` object of each batch command). Text for people is made from these
//! by [`crate::command::render`].

use super::crash_view::CrashView;
use super::elements::ElementsAnswer;
use super::kernel_facts::{ConfigAnswer, KgdbAnswer};
use super::module_answer::ModuleAnswer;
use super::packets::PacketView;
use super::replay_view::ReplayAnswer;
use super::saving::SnapshotAnswer;
use super::symbol_answer::{
    CodeAnswer, LineRange, MatchAnswer, NamesAnswer, ScopeAnswer, SourceAnswer, SymbolAnswer,
    TypeAnswer,
};
use super::view::{
    BreakpointView, CpuView, FrameView, LinkView, ModuleView, StopReason, StopView, TargetView,
    VariableView,
};
use super::wants::{DmesgLine, SubjectView, TaskView};
use super::watching::{HardwareView, WatchHit};
use crate::base::addr::Addr;
use crate::target::breakin::{Outcome, Tried};
use serde::Serialize;
use thiserror::Error;

/// Why a request was not done. The text says what failed, on what, and what to do.
#[derive(Clone, Debug, Error, PartialEq)]
pub enum Failure {
    /// The guest runs, and this needs a stopped one.
    #[error("the guest is running; stop it first (interrupt)")]
    Running,
    /// The guest is stopped already.
    #[error("the guest is stopped already")]
    Stopped,
    /// There is no guest.
    #[error("no target: {0}")]
    NoTarget(String),
    /// No way to stop it worked so far; it runs on.
    #[error("the guest runs on{}", TriedAnswer::told(tried))]
    NotStopped {
        /// What was tried.
        tried: Vec<TriedAnswer>,
    },
    /// A newer request or the user ended it.
    #[error("cancelled")]
    Cancelled,
    /// Nothing stopped in time; the guest runs on.
    #[error("no stop within {0:?}; the guest is running")]
    Timeout(std::time::Duration),
    /// The guest would only run into the same exception again; asked once more,
    /// it does.
    #[error("{0}")]
    Repeats(String),
    /// An expression is wrong, or can't be computed.
    #[error("{shown}")]
    Expression {
        /// What is wrong.
        message: String,
        /// The same with the expression and a mark below the place.
        shown: String,
        /// Where in the expression: the first byte.
        start: usize,
        /// One past the last.
        end: usize,
    },
    /// Anything else, in words.
    #[error("{0}")]
    Other(String),
}

impl Failure {
    /// Whether the exit status is 3 (no target, or the link is lost).
    pub fn is_no_target(&self) -> bool {
        matches!(self, Failure::NoTarget(_))
    }
}

/// The answer to a request.
#[derive(Clone, Debug, Serialize)]
#[serde(untagged)]
pub enum Answer {
    /// Done; nothing to show.
    Done {},
    /// So many bytes will be typed into the guest's console.
    Typed {
        /// How many.
        typed: usize,
    },
    /// Memory as it is.
    Bytes {
        /// Byte by byte; null where the guest can't read.
        bytes: Vec<Option<u8>>,
    },
    /// Where the guest stopped.
    Stop {
        /// The stop.
        stop: Box<StopAnswer>,
    },
    /// Where the guest was stopped (`interrupt`), and how.
    BrokenIn {
        /// The stop.
        stop: Box<StopAnswer>,
        /// What was tried, in order.
        tried: Vec<TriedAnswer>,
    },
    /// What was tried to stop the guest, which runs on.
    Tried {
        /// In order.
        tried: Vec<TriedAnswer>,
    },
    /// Breakpoints were planted, and the guest runs on as it did (`plant`).
    Planted {
        /// Every breakpoint.
        breakpoints: Vec<BreakpointView>,
        /// How long the guest was stopped, in seconds.
        stopped: f64,
        /// How it was stopped.
        #[serde(skip_serializing_if = "Vec::is_empty")]
        tried: Vec<TriedAnswer>,
    },
    /// A stack.
    Frames {
        /// Innermost first.
        frames: Vec<FrameView>,
        /// Whether it reaches the bottom of the kernel stack.
        complete: bool,
        /// How it ends, in words.
        end: String,
    },
    /// One frame.
    Frame {
        /// The frame.
        frame: Box<FrameView>,
    },
    /// Register values by name, in gdb's order; null where unknown.
    Registers {
        /// The values.
        #[serde(serialize_with = "as_map")]
        registers: Vec<(String, Option<Addr>)>,
    },
    /// What is in a collection.
    Elements(Box<ElementsAnswer>),
    /// Arguments or locals.
    Variables {
        /// In the order of declaration.
        variables: Vec<VariableView>,
    },
    /// Breakpoints.
    Breakpoints {
        /// In the order of their numbers.
        breakpoints: Vec<BreakpointView>,
        /// The debug registers.
        hardware: HardwareView,
    },
    /// Modules.
    Modules {
        /// As the guest lists them.
        modules: Vec<ModuleView>,
    },
    /// One module.
    Module(Box<ModuleAnswer>),
    /// CPUs.
    Cpus {
        /// By number.
        cpus: Vec<CpuView>,
    },
    /// Whose stack is shown.
    Subject {
        /// Who it is.
        subject: SubjectView,
        /// The selected frame.
        frame: Box<FrameView>,
    },
    /// Tasks.
    Tasks(TasksAnswer),
    /// Stacks of tasks.
    Stacks(StacksAnswer),
    /// What went over the wire.
    Packets {
        /// Oldest first.
        packets: Vec<PacketView>,
    },
    /// The kernel's log.
    Dmesg {
        /// Oldest first.
        records: Vec<DmesgLine>,
    },
    /// The record that takes the guest's place.
    Replay(Box<ReplayAnswer>),
    /// A snapshot that was made.
    Snapshot(Box<SnapshotAnswer>),
    /// The target's identity.
    Target(Box<TargetView>),
    /// How kgdb is set up in the running kernel.
    Kgdb(Box<KgdbAnswer>),
    /// What the kernel was built with.
    Config(Box<ConfigAnswer>),
    /// The link's figures.
    Link(LinkView),
    /// Source lines.
    Source(SourceAnswer),
    /// A line and its addresses.
    Line {
        /// The file as DWARF has it.
        file: Option<String>,
        /// The line that has code.
        line: Option<u32>,
        /// Where its code starts.
        addresses: Vec<Addr>,
        /// The function there.
        function: Option<String>,
        /// Each piece of code, with its line.
        ranges: Vec<LineRange>,
    },
    /// Instructions.
    Code(Box<CodeAnswer>),
    /// Names that were searched.
    Matches {
        /// Best first.
        matches: Vec<MatchAnswer>,
    },
    /// Memory.
    Memory {
        /// The first byte's address.
        address: Addr,
        /// Unit size in bytes.
        unit: u32,
        /// The units as text in the asked format.
        values: Vec<String>,
        /// The whole as text.
        text: String,
    },
    /// The value of an expression.
    Value(Box<ValueAnswer>),
    /// The expression would change the guest; ask again to have it done.
    Confirm {
        /// What it would do.
        effect: String,
        /// The setting that allows it, and its value, when that is how it is
        /// agreed to.
        #[serde(skip)]
        allow: Option<(&'static str, &'static str)>,
    },
    /// Names: functions or files.
    Names {
        /// The names.
        names: Vec<String>,
        /// Whether there are more than are listed.
        truncated: bool,
    },
    /// Functions, variables or types.
    Listed(Box<NamesAnswer>),
    /// Variables that can be seen somewhere.
    Scope(Box<ScopeAnswer>),
    /// What is at an address.
    Symbol(Box<SymbolAnswer>),
    /// A type.
    Type(Box<TypeAnswer>),
    /// The crash that stopped the guest.
    Crash {
        /// The crash.
        crash: Box<CrashView>,
    },
    /// Plain text.
    Text {
        /// The text.
        text: String,
    },
    /// What kdb printed.
    Output {
        /// As kdb wrote it.
        output: String,
    },
}

/// The value of an expression as batch reports it.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct ValueAnswer {
    /// Its type as C writes it.
    #[serde(rename = "type")]
    pub type_name: String,
    /// Its value as text; null for `set var`.
    pub value: Option<String>,
    /// Its number in the history.
    pub number: Option<usize>,
    /// The compiler kept it nowhere.
    pub optimized_out: bool,
    /// What was changed in the guest, in words.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub wrote: Vec<String>,
    /// The value of the register that was asked for by its name alone.
    #[serde(skip_serializing_if = "Option::is_none", serialize_with = "as_some_map")]
    pub registers: Option<Vec<(String, Option<Addr>)>>,
}

/// A way to stop the guest that was tried.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct TriedAnswer {
    /// `break`, `command`, `shell` or `by hand`.
    pub strategy: &'static str,
    /// `stopped`, `failed` or `given up`.
    pub outcome: &'static str,
    /// Why it failed, and what to do.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub why: Option<String>,
    /// How long it took.
    pub seconds: f64,
}

impl TriedAnswer {
    /// The answer for one way.
    pub fn of(tried: &Tried) -> TriedAnswer {
        let (outcome, why) = match &tried.outcome {
            Outcome::Stopped => ("stopped", None),
            Outcome::Failed(why) => ("failed", Some(why.clone())),
            Outcome::GivenUp => ("given up", None),
        };
        let seconds = (tried.time.as_secs_f64() * 1e3).round() / 1e3;
        TriedAnswer { strategy: tried.way.word(), outcome, why, seconds }
    }

    /// What failed, in words that follow others; empty when nothing was tried.
    fn told(tried: &[TriedAnswer]) -> String {
        let one = |tried: &TriedAnswer| {
            let TriedAnswer { strategy, outcome, why, seconds } = tried;
            let why = why.as_ref().map(|why| format!(": {why}")).unwrap_or_default();
            format!("{strategy} {outcome} after {seconds:.1} s{why}")
        };
        match tried {
            [] => String::new(),
            _ => format!("; {}", tried.iter().map(one).collect::<Vec<_>>().join("; ")),
        }
    }
}

/// A stop as batch reports it.
#[derive(Clone, Debug, Serialize)]
pub struct StopAnswer {
    /// One word: `breakpoint`, `step`, `finish`, `interrupt`, `signal`, `panic`, `location`,
    /// `module loaded`, `module unloaded`, …
    pub reason: String,
    /// The module that was loaded or unloaded (`catch`).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub module: Option<String>,
    /// Number of the breakpoint that was hit.
    pub breakpoint: Option<u32>,
    /// What a watchpoint saw.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub watch: Option<Box<WatchAnswer>>,
    /// The stub's signal number.
    pub signal: Option<u8>,
    /// The CPU that stopped.
    pub cpu: Option<u32>,
    /// The task's pid.
    pub pid: Option<i64>,
    /// The task's name.
    pub comm: Option<String>,
    /// Where.
    pub pc: Option<Addr>,
    /// The function there (inlined ones count).
    pub function: Option<String>,
    /// The file as DWARF has it.
    pub file: Option<String>,
    /// The line.
    pub line: Option<u32>,
    /// The crash that it is, explained.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub crash: Option<Box<CrashView>>,
    /// What the finished function returned.
    pub value: Option<String>,
    /// Its type.
    pub value_type: Option<String>,
    /// Its number in the history of values.
    pub value_number: Option<usize>,
    /// Why a breakpoint's condition could not be told, and it stopped all the same.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub condition_error: Option<String>,
    /// What is to be done now (`commands`); once for each stop.
    #[serde(skip)]
    pub commands: Vec<String>,
    /// Which stop it is.
    #[serde(skip)]
    pub generation: u64,
}

impl StopAnswer {
    /// The answer a stop gives.
    pub fn of(stop: &StopView) -> StopAnswer {
        let top = stop.frames.first();
        StopAnswer {
            reason: stop.reason.word().to_string(),
            module: match &stop.reason {
                StopReason::Module { name, .. } => Some(name.clone()),
                _ => None,
            },
            breakpoint: stop.reason.breakpoint(),
            watch: match &stop.reason {
                StopReason::Watch(hits) => WatchAnswer::of(hits),
                _ => None,
            },
            signal: stop.signal,
            cpu: stop.cpu,
            pid: stop.pid,
            comm: stop.comm.clone(),
            pc: stop.registers.pc(),
            function: top.and_then(|f| f.function.clone()),
            file: top.and_then(|f| f.file.clone()),
            line: top.and_then(|f| f.line),
            value: stop.returned.as_ref().map(|returned| returned.value.clone()),
            value_type: stop.returned.as_ref().map(|returned| returned.type_name.clone()),
            value_number: stop.returned.as_ref().map(|returned| returned.number),
            crash: stop.crash.as_deref().cloned().map(Box::new),
            condition_error: stop.at_hit.error.clone(),
            commands: stop.at_hit.commands.clone(),
            generation: stop.generation,
        }
    }
}

/// What watchpoints saw at a stop.
#[derive(Clone, Debug, Serialize)]
pub struct WatchAnswer {
    /// The first.
    #[serde(flatten)]
    pub first: WatchHit,
    /// Those that the same instruction met besides.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub also: Vec<WatchHit>,
}

impl WatchAnswer {
    fn of(hits: &[WatchHit]) -> Option<Box<WatchAnswer>> {
        let (first, also) = hits.split_first()?;
        Some(Box::new(WatchAnswer { first: first.clone(), also: also.to_vec() }))
    }
}

/// Tasks as batch reports them.
#[derive(Clone, Debug, Default, Serialize)]
pub struct TasksAnswer {
    /// Those that fit the filter, threads after the first one of their process.
    pub tasks: Vec<TaskView>,
    /// How many the guest counts, idle ones apart.
    pub total: Option<u32>,
    /// Whether everything that was asked for is there; not when it was interrupted.
    pub complete: bool,
    /// What is wrong with the guest's lists.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub troubles: Vec<String>,
}

/// Stacks of tasks as batch reports them.
#[derive(Clone, Debug, Default, Serialize)]
pub struct StacksAnswer {
    /// Those that most tasks share first.
    pub stacks: Vec<StackAnswer>,
    /// Tasks whose stacks are not there, and why.
    pub without: Vec<NoStackAnswer>,
    /// Whether everything that was asked for is there; not when it was interrupted.
    pub complete: bool,
    /// What is wrong with the guest's lists.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub troubles: Vec<String>,
}

/// One stack that some tasks have.
#[derive(Clone, Debug, Serialize)]
pub struct StackAnswer {
    /// How many tasks.
    pub count: usize,
    /// The tasks.
    pub tasks: Vec<NamedTask>,
    /// Innermost first; without arguments.
    pub frames: Vec<FrameView>,
    /// Whether it reaches the bottom of the kernel stack.
    pub complete: bool,
    /// How it ends, in words.
    pub end: String,
}

/// A task whose stack could not be read.
#[derive(Clone, Debug, Serialize)]
pub struct NoStackAnswer {
    /// The task.
    #[serde(flatten)]
    pub task: NamedTask,
    /// Why.
    pub why: String,
}

/// A task by its names.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct NamedTask {
    /// Its pid; 0 for an idle task.
    pub pid: i64,
    /// Its name.
    pub comm: String,
    /// What it does, in words.
    pub state: String,
}

pub(super) fn as_map<S: serde::Serializer>(
    values: &[(String, Option<Addr>)],
    serializer: S,
) -> Result<S::Ok, S::Error> {
    serializer.collect_map(values.iter().map(|(name, value)| (name, value)))
}

fn as_some_map<S: serde::Serializer>(
    values: &Option<Vec<(String, Option<Addr>)>>,
    serializer: S,
) -> Result<S::Ok, S::Error> {
    as_map(values.as_deref().unwrap_or_default(), serializer)
}
