//! What can be shown at one moment: plain data, made by the session, drawn by
//! faces. A pane draws what is there and a placeholder for what is coming.

pub use super::completes::Completes;
use super::conduct::{AtHit, ConductView};
use super::crash_view::{CrashEvent, CrashView};
use super::packets::PacketView;
use super::request::ModuleEvent;
use super::symbol_answer::MatchAnswer;
use super::wants::{SubjectView, Supplied};
use super::watching::{HardwareView, WatchHit, WatchView};
use crate::arch::{
    Registers,
    insn::{Flavor, Insn},
};
use crate::base::addr::Addr;
use crate::symbols::image::ADDRESSES_AT;
use serde::Serialize;
use std::{collections::BTreeMap, path::PathBuf, sync::Arc, time::Duration, time::Instant};

/// All that can be shown.
#[derive(Clone, Debug)]
pub struct View {
    /// Grows with each view.
    pub revision: u64,
    /// What the guest does.
    pub state: State,
    /// Who the guest is.
    pub target: TargetView,
    /// How far the symbols are.
    pub symbols: SymbolsView,
    /// The stop, when the guest is stopped; the last one while it runs.
    pub stop: Option<Arc<StopView>>,
    /// Every breakpoint.
    pub breakpoints: Vec<BreakpointView>,
    /// The debug registers.
    pub hardware: HardwareView,
    /// The guest's modules, as far as read.
    pub modules: Vec<ModuleView>,
    /// The link's figures.
    pub link: LinkView,
    /// How instructions are written.
    pub flavor: Flavor,
    /// How far long work is, in a line; a break-in request ends it.
    pub working: Option<String>,
    /// What went over the wire, oldest first, when it is wanted.
    pub packets: Option<Arc<Vec<Arc<PacketView>>>>,
}

/// What the guest does.
#[derive(Clone, Debug, PartialEq)]
pub enum State {
    /// Nothing tried yet, or `--offline`.
    Offline,
    /// Waiting for the relay to appear.
    Connecting {
        /// What went wrong last, with what to do.
        why: String,
    },
    /// Connected; finding out what listens.
    Knocking,
    /// The guest runs.
    Running {
        /// Since when.
        since: Instant,
        /// What for: `continue`, `next`, or how to stop it when it ran before we came.
        what: String,
    },
    /// A break-in is under way; the words say what is tried or to be typed.
    BreakingIn {
        /// What is tried, or what to type in the guest.
        what: String,
        /// What the program could do (`interrupt shell`), if it is allowed to.
        asks: Option<String>,
    },
    /// The guest is stopped.
    Stopped,
    /// The link is lost; trying again.
    Lost {
        /// What happened.
        why: String,
    },
}

impl State {
    /// Whether the guest is stopped and answers.
    pub fn is_stopped(&self) -> bool {
        matches!(self, State::Stopped)
    }
}

/// Who the guest is.
#[derive(Clone, Debug, Default, Serialize)]
pub struct TargetView {
    /// Where we are connected.
    pub connect: String,
    /// The vmlinux in use.
    pub vmlinux: Option<PathBuf>,
    /// The guest's kernel release.
    pub release: Option<String>,
    /// The guest's banner, as in /proc/version.
    pub banner: Option<String>,
    /// Build-id of the running kernel, in hexadecimal.
    pub build_id: Option<String>,
    /// Build-id of the vmlinux file, in hexadecimal.
    pub vmlinux_build_id: Option<String>,
    /// `match`, `mismatch`, `trusted` (mismatch, overridden) or `unknown`.
    pub matches: Match,
    /// KASLR slide, `0x0` when off.
    pub slide: Option<Addr>,
    /// How the slide was found.
    pub slide_by: Option<String>,
    /// Online CPUs.
    pub cpus: Option<u32>,
    /// Where a vmlinux that was not given was looked for, and what was there
    /// and is not it.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub looked: Vec<String>,
}

/// Whether the vmlinux is the guest's.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Match {
    /// Not known yet, or not to be known.
    #[default]
    Unknown,
    /// Proven.
    Match,
    /// Proven to be another build: symbols are not shown as fact.
    Mismatch,
    /// Another build, shown all the same because the user said so.
    Trusted,
}

impl Match {
    /// Whether the vmlinux counts as the guest's: proven, or because the user said so.
    pub fn is_guests(self) -> bool {
        matches!(self, Match::Match | Match::Trusted)
    }
}

/// How far the symbols are.
#[derive(Clone, Debug, PartialEq)]
pub enum SymbolsView {
    /// No vmlinux given, and none found.
    None,
    /// None given; how the search for it goes.
    Looking(String),
    /// Being loaded; from 0 to 1.
    Loading(f32),
    /// All there.
    Ready,
    /// The file has a symbol table only: no lines, no types.
    NoDebugInfo,
    /// Could not be loaded; why.
    Failed(String),
}

impl SymbolsView {
    /// Whether the function and line of an address can be asked for: as soon
    /// as that part is loaded, and when there is nothing to wait for.
    pub fn answer_addresses(&self) -> bool {
        !matches!(self, SymbolsView::Loading(part) if *part < ADDRESSES_AT)
    }
}

/// One stop.
#[derive(Clone, Debug)]
pub struct StopView {
    /// Which stop this is, from 1.
    pub generation: u64,
    /// Why it happened.
    pub reason: StopReason,
    /// The stub's signal number.
    pub signal: Option<u8>,
    /// The CPU that stopped.
    pub cpu: Option<u32>,
    /// The task's pid; `None` until read or for a bare idle task id.
    pub pid: Option<i64>,
    /// The task's name.
    pub comm: Option<String>,
    /// Registers of the stopped CPU (frame 0).
    pub registers: Registers,
    /// The same at the stop before, to mark changes.
    pub previous: Option<Registers>,
    /// The stack as far as it is known, innermost first, inline frames expanded.
    pub frames: Vec<FrameView>,
    /// How the stack ends.
    pub frames_end: FramesEnd,
    /// The selected frame, an index into `frames`.
    pub selected: usize,
    /// Registers of the selected frame.
    pub frame_registers: Registers,
    /// What those point at that are addresses of something with a name.
    pub register_names: BTreeMap<&'static str, String>,
    /// Arguments and locals of the selected frame, when they are read.
    pub variables: Option<Vec<VariableView>>,
    /// Instructions around the selected frame's pc, when they are read.
    pub code: Vec<Insn>,
    /// Names for the addresses in `code`, one each.
    pub code_symbols: Vec<Option<String>>,
    /// What the finished function returned.
    pub returned: Option<ReturnedView>,
    /// The crash that stopped the guest, explained.
    pub crash: Option<Arc<CrashView>>,
    /// What the breakpoints that were hit leave to be done.
    pub at_hit: AtHit,
    /// What this stop has cost on the wire so far.
    pub cost: Cost,
    /// Whose stack this is; `None` until read.
    pub subject: Option<SubjectView>,
    /// What panes wanted besides.
    pub supplied: Supplied,
}

/// How a stack ends.
#[derive(Clone, Debug, PartialEq)]
pub enum FramesEnd {
    /// Frames are still being read.
    Reading,
    /// At the bottom; how (`syscall from user mode`).
    Complete(String),
    /// Not at the bottom; why it can't go on.
    Broken(String),
}

/// A value that a function returned.
#[derive(Clone, Debug, PartialEq)]
pub struct ReturnedView {
    /// Its type.
    pub type_name: String,
    /// The value in words.
    pub value: String,
    /// Its number in the history of values.
    pub number: usize,
}

/// Why the guest stopped.
#[derive(Clone, Debug, PartialEq)]
pub enum StopReason {
    /// It was stopped when we came.
    Found(String),
    /// A breakpoint of ours, by number.
    Breakpoint(u32),
    /// A step ended.
    Step,
    /// A frame returned (`finish`).
    Finished,
    /// `until`/`advance` got there.
    Arrived,
    /// Something happened to a module (`catch load`, `catch unload`).
    Module {
        /// The number of the catch.
        number: u32,
        /// What.
        event: ModuleEvent,
        /// To which module.
        name: String,
    },
    /// The kernel's own trouble.
    Crash {
        /// The number of the catch that waited for it.
        number: Option<u32>,
        /// What.
        event: CrashEvent,
        /// In two or three words.
        headline: String,
    },
    /// Watchpoints saw an access, of one instruction.
    Watch(Vec<WatchHit>),
    /// The function has returned in whose frame something was watched.
    FrameOver {
        /// The watchpoint that is gone with it.
        number: u32,
        /// What it watched.
        expression: String,
        /// The function.
        function: String,
    },
    /// We broke in.
    BreakIn,
    /// Something else trapped, in words (`oops: SIGSEGV`, `panic`, `kgdb_breakpoint`).
    Signal(String),
}

impl StopReason {
    /// One word for batch.
    pub fn word(&self) -> &'static str {
        match self {
            StopReason::Found(_) => "found",
            StopReason::Breakpoint(_) => "breakpoint",
            StopReason::Step => "step",
            StopReason::Finished => "finish",
            StopReason::Arrived => "location",
            StopReason::Module { event: ModuleEvent::Load, .. } => "module loaded",
            StopReason::Module { event: ModuleEvent::Unload, .. } => "module unloaded",
            StopReason::Crash { event: CrashEvent::Oops | CrashEvent::Bug, .. } => "signal",
            StopReason::Crash { event, .. } => event.word(),
            StopReason::Watch(_) => "watchpoint",
            StopReason::FrameOver { .. } => "watchpoint scope",
            StopReason::BreakIn => "interrupt",
            StopReason::Signal(_) => "signal",
        }
    }

    /// A few words for the status bar.
    pub fn text(&self) -> String {
        match self {
            StopReason::Found(how) | StopReason::Signal(how) => how.clone(),
            StopReason::Breakpoint(number) => format!("breakpoint {number}"),
            StopReason::Step => "step".into(),
            StopReason::Finished => "finished".into(),
            StopReason::Arrived => "arrived".into(),
            StopReason::Module { event: ModuleEvent::Load, name, .. } => {
                format!("module {name} is loaded, its init has not run")
            }
            StopReason::Module { event: ModuleEvent::Unload, name, .. } => {
                format!("module {name} is unloaded, its memory is about to be freed")
            }
            StopReason::Crash { headline, .. } => headline.clone(),
            StopReason::Watch(hits) => {
                let texts: Vec<String> = hits
                    .iter()
                    .map(|hit| format!("watchpoint {} {}", hit.number, hit.text()))
                    .collect();
                texts.join("; ")
            }
            StopReason::FrameOver { number, function, .. } => {
                format!("watchpoint {number} is gone: {function} has returned")
            }
            StopReason::BreakIn => "broken in".into(),
        }
    }

    /// The breakpoint that was hit.
    pub fn breakpoint(&self) -> Option<u32> {
        match self {
            StopReason::Breakpoint(number)
            | StopReason::Module { number, .. }
            | StopReason::FrameOver { number, .. } => Some(*number),
            StopReason::Watch(hits) => hits.first().map(|hit| hit.number),
            StopReason::Crash { number, .. } => *number,
            _ => None,
        }
    }
}

/// One frame as shown: a function call, or a function inlined in one.
#[derive(Clone, Debug, Serialize)]
pub struct FrameView {
    /// 0 is the innermost.
    pub level: usize,
    /// Where it is, or where it will come back to.
    pub pc: Addr,
    /// The function, when known.
    pub function: Option<String>,
    /// pc's distance from the function's start; `None` in inlined frames.
    pub offset: Option<u64>,
    /// The source file as DWARF has it.
    pub file: Option<String>,
    /// Where that file is on this machine.
    pub path: Option<PathBuf>,
    /// The line.
    pub line: Option<u32>,
    /// Whether the function is inlined in the next frame.
    pub inlined: bool,
    /// The module it lies in; `None` for vmlinux.
    pub module: Option<String>,
    /// `normal`, `interrupt`, `exception`, `nmi`, `syscall`, `user` or `guess`.
    pub kind: &'static str,
    /// For entry code, what it saved.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub saved: Option<SavedView>,
    /// Arguments; `None` while they are not read.
    pub args: Option<Vec<VariableView>>,
    /// How `path` was found (`--substitute-path …`, `guessed: …`), or, when it
    /// was not, where it was looked for and the option that would help.
    #[serde(skip)]
    pub source_note: String,
    /// Whether `path` is a guess.
    #[serde(skip)]
    pub source_guessed: bool,
}

/// The `struct pt_regs` that entry code made of what it was entered from.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct SavedView {
    /// Where it is.
    pub at: Addr,
    /// What it holds, by gdb's names; `None` while it is not read: a system
    /// call's is read when its frame is selected.
    pub registers: Option<BTreeMap<&'static str, Addr>>,
    /// The number of a system call.
    pub orig_ax: Option<i64>,
}

/// One argument or local variable in one line.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct VariableView {
    /// Its name.
    pub name: String,
    /// Its C type.
    #[serde(rename = "type")]
    pub type_name: String,
    /// Its value as text; `None` when there is none to show.
    pub value: Option<String>,
    /// Whether the compiler left no value here.
    pub optimized_out: bool,
    /// Why there is no value, when it is not optimized out.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub unavailable: Option<String>,
    /// What is to be said beside the value (`may not be initialized`), or of one
    /// that is optimized out: where it was last, what the caller passed. Not
    /// the value now.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub note: Option<String>,
    /// Whether it is an argument.
    #[serde(skip)]
    pub argument: bool,
}

/// A breakpoint as the user wished it, and what became of it.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct BreakpointView {
    /// Its number.
    pub number: u32,
    /// `breakpoint`, `temporary`, `dprintf`, `catch load`, `catch unload`, or these two
    /// with `tcatch` when they are gone after the first hit.
    pub kind: &'static str,
    /// The location as the user wrote it.
    pub location: String,
    /// The addresses where it is planted or will be.
    pub sites: Vec<Addr>,
    /// `armed`, `pending`, `disabled` or `refused`.
    pub state: &'static str,
    /// Why it is pending or refused.
    pub why: Option<String>,
    /// How often it was hit.
    pub hits: u64,
    /// Where the first site is: `function`.
    pub function: Option<String>,
    /// The file it landed in, as DWARF has it.
    pub file: Option<String>,
    /// The line it landed on.
    pub line: Option<u32>,
    /// Every place, one for each of `sites`.
    pub places: Vec<PlaceView>,
    /// What else is to be known: that the code of another line is taken.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub note: Option<String>,
    /// Of a watchpoint, what it watches.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub watch: Option<WatchView>,
    /// When it counts, and what follows.
    #[serde(flatten)]
    pub conduct: ConductView,
}

/// One place of a breakpoint.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct PlaceView {
    /// Where.
    pub address: Addr,
    /// The function there.
    pub function: Option<String>,
    /// The file as DWARF has it.
    pub file: Option<String>,
    /// The line.
    pub line: Option<u32>,
    /// The module; null for vmlinux.
    pub module: Option<String>,
    /// The function out of line that an inlined copy is in.
    pub inlined_into: Option<String>,
    /// A location that means this place alone.
    pub choose: String,
    /// What the stub said when it refused.
    pub refused: Option<String>,
}

/// A module of the guest.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct ModuleView {
    /// Its name.
    pub name: String,
    /// `live`, `coming` or `going`; `given` when only the user knows of it.
    pub state: &'static str,
    /// Where its text starts.
    pub base: Addr,
    /// Its size in bytes, when known.
    pub size: Option<u64>,
    /// Whether `refs`, `permanent`, `used_by` and `taints` were read at this stop.
    pub counted: bool,
    /// How often it is in use, as `lsmod` counts; when known.
    pub refs: Option<i64>,
    /// Whether it can't be unloaded: it has no exit function.
    pub permanent: bool,
    /// Modules that use it.
    pub used_by: Vec<String>,
    /// What it taints the kernel with: the letters of `/proc/modules`.
    pub taints: String,
    /// `loaded`, `loading`, `no debug info`, `not found`, `wrong build`, `failed`.
    pub symbols: &'static str,
    /// The .ko in use.
    pub path: Option<PathBuf>,
    /// What shows that it is the guest's.
    pub proven_by: Option<String>,
    /// Where it was looked for, what does not fit, or how much is read.
    pub why: Option<String>,
    /// Section names and addresses, in the guest's order.
    pub sections: Vec<(String, Addr)>,
}

/// A CPU at a stop.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct CpuView {
    /// Its number.
    pub cpu: u32,
    /// Whether it is the one that stopped the others.
    pub current: bool,
    /// Whether it answered the round-up.
    pub stopped: bool,
    /// Its task's pid.
    pub pid: Option<i64>,
    /// Its task's name.
    pub comm: Option<String>,
    /// Where it is.
    pub pc: Option<Addr>,
    /// Its stack pointer.
    pub sp: Option<Addr>,
    /// The function there.
    pub function: Option<String>,
    /// In words: `kernel`, `user mode`, `idle`, `did not answer …`.
    pub doing: String,
    /// Its registers by name, in gdb's order; empty when it did not answer.
    #[serde(serialize_with = "super::answer::as_map")]
    pub registers: Vec<(String, Option<Addr>)>,
}

/// What something cost on the wire.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize)]
pub struct Cost {
    /// Bytes sent.
    pub tx: u64,
    /// Bytes received.
    pub rx: u64,
    /// Packets sent that asked something.
    pub packets: u64,
    /// Time spent waiting for answers.
    #[serde(skip)]
    pub time: Duration,
}

/// The link's figures.
#[derive(Clone, Debug, Default, Serialize)]
pub struct LinkView {
    /// Where and what: `tcp 127.0.0.1:9999`.
    pub description: String,
    /// Since the start.
    #[serde(flatten)]
    pub total: Cost,
    /// Received bytes a second while something was under way.
    pub rate: u64,
    /// Milliseconds that a request takes beside its bytes, once that is known.
    pub latency: Option<f64>,
    /// Pieces of what is on screen that are still to be read.
    #[serde(skip)]
    pub queue: usize,
    /// Requests that had to be sent again.
    pub resends: u64,
    /// Packets with a wrong checksum.
    pub bad_checksums: u64,
    /// Where in a record, when one takes the guest's place.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub replay: Option<super::replay_view::ReplayView>,
}

/// One source file's text with colours, and code questions a face may ask at
/// any time without the guest. Implemented by the session over its symbols
/// and sources; quick enough for a keystroke.
pub trait CodeBook: Send + Sync {
    /// The text of a file on this machine.
    fn text(&self, path: &std::path::Path) -> Result<Arc<crate::source::text::Text>, String>;
    /// Lines of `file` (as DWARF has it) that have code.
    fn lines_with_code(&self, file: &str) -> Arc<std::collections::BTreeSet<u32>>;
    /// Names that begin with `prefix`, at most `limit`.
    fn complete(&self, what: Completes, prefix: &str, limit: usize) -> Vec<String>;
    /// Names that fit a text best, as `search` finds them. A whole kernel takes
    /// some milliseconds: not for the thread that draws.
    fn search(&self, text: &str, limit: usize) -> Vec<MatchAnswer>;
    /// What a name is of, as `ptype` writes it: a type with its members, or the
    /// type of a function or variable. Not for the thread that draws either.
    fn describe(&self, name: &str) -> Option<String>;
    /// Where a location is in source: file as DWARF has it, path on this
    /// machine, line.
    fn find(&self, location: &str) -> Result<(String, Option<PathBuf>, u32), String>;
}
