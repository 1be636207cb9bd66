//! What the panes beside the stack want of a stop, and what they get. A pane
//! says what is on screen ([`Wants`]), the session reads that and no more, and
//! the [`View`](super::view::View) has the rows as far as they are known.

use super::symbol_answer::InsnAnswer;
use super::view::CpuView;
use crate::base::addr::Addr;
use serde::Serialize;
use std::{collections::BTreeSet, sync::Arc};

/// A piece of what is on screen, in the order in which they are read when none
/// of them has the keys.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Piece {
    /// The frames of the stack.
    Frames,
    /// Arguments and locals of the selected frame.
    Locals,
    /// The instructions at the selected frame's pc, where there is no source.
    Around,
    /// The trees of variables and watches.
    Tree,
    /// The instructions of a function.
    Code,
    /// Memory.
    Memory,
    /// CPUs.
    Cpus,
    /// Modules.
    Modules,
    /// Tasks.
    Tasks,
    /// The kernel's log.
    Dmesg,
}

/// What the panes want. Replaces what was wanted before; nothing is read for
/// what is not in it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Wants {
    /// The CPUs and what they run.
    pub cpus: bool,
    /// The use counts, users and taints of modules: these change without a
    /// module coming or going, so they are read only while they are on screen.
    /// They come with the modules of the view, which are `counted` then.
    pub modules: bool,
    /// Tasks.
    pub tasks: Option<TaskWant>,
    /// Whether the tree of variables is on screen.
    pub variables: bool,
    /// The nodes of both trees that are open, by [`RowView::id`].
    pub open: BTreeSet<String>,
    /// The expressions of the watch tree.
    pub watches: Vec<String>,
    /// Memory.
    pub memory: Option<MemoryWant>,
    /// Instructions.
    pub code: Option<CodeWant>,
    /// The kernel's log.
    pub dmesg: Option<DmesgWant>,
    /// Whether the log of the wire is on screen.
    pub packets: bool,
    /// What the user looks at: it is read before all else.
    pub first: Option<Piece>,
}

/// Which tasks are on screen.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct TaskWant {
    /// Only tasks that have this text in pid, name, state or wait; empty for all.
    pub filter: String,
    /// The order.
    pub sort: TaskSort,
    /// The first row on screen, counted in filtered and sorted rows.
    pub first: usize,
    /// Rows on screen.
    pub rows: usize,
    /// Whether it may take long: else a list that would is not read, and
    /// [`TasksView::asks`] says what it costs.
    pub sure: bool,
}

/// An order of tasks.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum TaskSort {
    /// As the tree of processes has them: parents before their children,
    /// threads under their group; the first rows cost least.
    #[default]
    List,
    /// By pid.
    Pid,
    /// By name.
    Name,
    /// Running first, then by state.
    State,
}

/// Which memory is on screen.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct MemoryWant {
    /// Where it starts: an expression.
    pub expression: String,
    /// Bytes from there to the first byte on screen; may be negative.
    pub offset: i64,
    /// Bytes on screen.
    pub len: u64,
}

/// Which instructions are on screen.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct CodeWant {
    /// A location whose function is wanted; none for the selected frame's.
    pub place: Option<String>,
    /// At most so many bytes of it, around the place.
    pub most: u64,
}

/// How much of the kernel's log is on screen.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct DmesgWant {
    /// So many of the newest records.
    pub lines: usize,
}

/// What the panes get.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Supplied {
    /// CPUs; `None` until read.
    pub cpus: Option<Vec<CpuView>>,
    /// Tasks, as far as read.
    pub tasks: Option<TasksView>,
    /// The rows of the tree of variables.
    pub variables: Option<Vec<RowView>>,
    /// The rows of the tree of watches.
    pub watches: Option<Vec<RowView>>,
    /// Memory.
    pub memory: Option<MemoryView>,
    /// Instructions.
    pub code: Option<CodeView>,
    /// The kernel's log.
    pub dmesg: Option<DmesgView>,
}

/// Tasks, as far as they are read.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct TasksView {
    /// How many the guest says there are, idle ones apart.
    pub total: Option<u32>,
    /// Those that were read, filtered and sorted. A row that was not on
    /// screen yet may lack what only rows on screen are worth.
    pub rows: Vec<TaskView>,
    /// Whether `rows` are all there are.
    pub complete: bool,
    /// How many were read, of all of them.
    #[serde(skip)]
    pub read: usize,
    /// What reading the rest would cost, when that waits for a word.
    #[serde(skip)]
    pub asks: Option<String>,
    /// What is wrong with the list, when something is.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub trouble: Option<String>,
}

/// A task.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct TaskView {
    /// Its `struct task_struct`.
    pub address: Addr,
    /// The thread's number in the first pid namespace.
    pub pid: i64,
    /// The process's number.
    pub tgid: i64,
    /// Its name.
    pub comm: String,
    /// In words: `running`, `sleeping`, `disk sleep`, `stopped`, `zombie`, …
    pub state: String,
    /// The CPU it runs on, or ran on last.
    pub cpu: Option<u32>,
    /// Whether it is on that CPU now.
    pub on_cpu: bool,
    /// Whether it is a kernel thread.
    pub kernel: bool,
    /// Its parent's pid.
    pub parent: Option<i64>,
    /// Whether it is another thread's child thread, shown under it.
    pub thread: bool,
    /// Its command line, where it was readable.
    pub cmdline: Option<String>,
    /// The function it waits in: its top frame that is not the scheduler's.
    pub wait: Option<String>,
    /// The module of that; null for vmlinux.
    pub wait_module: Option<String>,
}

/// One row of a tree of values.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct RowView {
    /// What names the node, at this stop and at the next.
    pub id: String,
    /// How deep it is; 0 for a variable.
    pub depth: usize,
    /// The variable's, member's or element's name.
    pub name: String,
    /// Its C type.
    #[serde(rename = "type")]
    pub type_name: String,
    /// Its value in one line; `None` when there is none to show.
    pub value: Option<String>,
    /// Whether the compiler left no value here.
    pub optimized_out: bool,
    /// Why there is no value, when it is not optimized out.
    pub unavailable: Option<String>,
    /// Whether there is something below it.
    pub can_open: bool,
    /// Whether that is shown.
    pub open: bool,
    /// Whether its value is another than at the stop before.
    pub changed: bool,
    /// A C expression for it in the selected frame.
    pub expression: Option<String>,
    /// Where it is in memory.
    pub address: Option<Addr>,
    /// Whether it is an argument.
    pub argument: bool,
}

/// A piece of memory.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct MemoryView {
    /// What was asked for.
    pub want: MemoryWant,
    /// The first byte's address.
    pub start: Addr,
    /// The bytes; `None` where the guest can't read.
    pub bytes: Vec<Option<u8>>,
    /// Names of addresses in it: of the whole word there, and of what a word
    /// that is a pointer points at.
    pub names: Vec<(Addr, String)>,
    /// Why there is nothing.
    pub error: Option<String>,
}

/// The kernel's log as far as it is read.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct DmesgView {
    /// Oldest first, without a gap, up to the newest.
    pub lines: Arc<Vec<DmesgLine>>,
    /// How many records the guest has.
    pub total: u64,
    /// Whether it has older ones that can still be read.
    pub older: bool,
    /// Whether more is being read.
    pub reading: bool,
    /// Why there is nothing, or nothing more.
    pub error: Option<String>,
}

/// A record of the kernel's log.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct DmesgLine {
    /// Its number, from 0 at boot.
    pub seq: u64,
    /// `emerg` to `debug`.
    pub level: &'static str,
    /// Seconds since boot.
    pub time: f64,
    /// What it says; several lines where it has newlines.
    pub text: String,
    /// `T1` for a task, `C0` for an interrupt on a CPU, where the kernel keeps it.
    pub caller: Option<String>,
}

/// A part of a function's instructions.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct CodeView {
    /// What was asked for.
    pub want: CodeWant,
    /// Where the place, or the frame's pc, is.
    pub at: Addr,
    /// The function.
    pub function: Option<String>,
    /// The instructions.
    pub instructions: Arc<Vec<InsnAnswer>>,
    /// Bytes of the function before them.
    pub before: u64,
    /// And after them.
    pub after: u64,
    /// Why there is nothing.
    pub error: Option<String>,
}

/// Whose stack, registers and variables are shown.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct SubjectView {
    /// The CPU it is on, or was on last.
    pub cpu: Option<u32>,
    /// Its pid; 0 for an idle task.
    pub pid: Option<i64>,
    /// Its name.
    pub comm: Option<String>,
    /// Whether it is what the stub stopped in: only that can be stepped, and
    /// only its registers can be written.
    pub stopped_here: bool,
    /// In words: `runs on CPU 1`, `sleeps`, `in user mode`.
    pub doing: String,
}
