//! The guest's tasks, read a task at a time: for the pane as far as it shows,
//! for a command to the end. What was read stays until the guest runs.

use super::{
    answer::{Failure, TasksAnswer},
    jobs::{OF_A_TASK, OF_A_WAIT},
    run::Session,
    subject::said,
    wants::{TaskSort, TaskView, TaskWant, TasksView},
};
use crate::arch::Arch;
use crate::base::{
    addr::Addr,
    memory::{Memory, Recorder},
    text::bytes,
};
use crate::kernel::{
    cmdline,
    task_list::{self, Walk},
    tasks::{State, Task},
};
use crate::symbols::placed::Symbols;
use crate::unwind::{FrameKind, sleeping, walk};
use std::{collections::HashMap, time::Duration};

/// Rows that appear at a time while the list is read for a filter.
const ROWS_AT_ONCE: usize = 16;

/// Frames of a task that waits which may all be the scheduler's.
const MOST_SCHEDULER_FRAMES: usize = 12;

/// Bytes of a sleeping task's stack that are read at once: the scheduler's
/// frames and the one that called them take 200 to 250.
const TOP_OF_STACK: u64 = 256;

/// What is known of the tasks of a stop.
#[derive(Debug)]
pub struct Tasks {
    walk: Walk,
    /// How many the guest counts.
    total: Option<u32>,
    more: HashMap<Addr, More>,
}

/// Where a task waits.
#[derive(Clone, Debug)]
pub(super) struct Wait {
    pub(super) function: String,
    module: Option<String>,
}

/// What only some tasks are worth.
#[derive(Clone, Debug, Default)]
struct More {
    /// Where it waits, once looked up.
    wait: Option<Option<Wait>>,
    /// Its command line and its CPU, once looked up.
    details: Option<(Option<String>, Option<u32>)>,
}

impl Tasks {
    /// The tasks, parents before children, threads after the first of their
    /// process.
    pub fn list(&self) -> &[Task] {
        self.walk.tasks()
    }

    /// How many the guest counts.
    pub fn total(&self) -> Option<u32> {
        self.total
    }

    /// Of how many it is known where they wait.
    pub fn looked_at(&self) -> usize {
        self.more.values().filter(|more| more.wait.is_some()).count()
    }

    /// What is wrong with the guest's lists.
    pub fn troubles(&self) -> Vec<String> {
        let mut troubles = self.walk.troubles().to_vec();
        let (read, total) = (self.list().len(), self.total.unwrap_or_default() as usize);
        if self.walk.is_over() && self.total.is_some() && read != total {
            troubles.push(format!("the guest counts {total} tasks, but its lists have {read}"));
        }
        troubles
    }

    /// A task as it is shown, as far as it is known.
    fn view(&self, task: &Task) -> TaskView {
        let more = self.more.get(&task.addr);
        let details = more.and_then(|more| more.details.clone());
        let wait = more.and_then(|more| more.wait.clone()).flatten();
        let (cmdline, cpu) = details.unwrap_or((None, task.cpu));
        // init_task, the parent of all, is in no list and has the pid 0.
        let parent = match self.walk.task(task.parent) {
            Some(parent) => Some(i64::from(parent.tgid)),
            None => (task.parent == self.walk.root()).then_some(0),
        };
        TaskView {
            address: task.addr,
            pid: i64::from(task.pid),
            tgid: i64::from(task.tgid),
            comm: task.comm.clone(),
            state: task.state.word().to_string(),
            cpu,
            on_cpu: task.on_cpu.unwrap_or(task.state == State::Running),
            kernel: task.kernel,
            parent,
            thread: task.pid != task.tgid,
            cmdline,
            wait: wait.as_ref().map(|wait| wait.function.clone()),
            wait_module: wait.and_then(|wait| wait.module),
        }
    }

    /// Those that fit a filter, as far as that is known.
    fn matching(&self, filter: &Filter) -> Vec<&Task> {
        let fits = |task: &&Task| {
            let wait = || self.more.get(&task.addr)?.wait.as_ref()?.as_ref();
            filter.fits(task) || wait().is_some_and(|wait| filter.fits_function(&wait.function))
        };
        self.list().iter().filter(fits).collect()
    }

    /// A task that has to be looked at before it is known whether it fits.
    fn undecided(&self, filter: &Filter) -> Option<&Task> {
        let undecided = |task: &&Task| !filter.fits(task) && !self.knows_wait(task);
        self.list().iter().find(undecided).filter(|_| filter.asks_for_functions())
    }

    fn knows_wait(&self, task: &Task) -> bool {
        !task.state.waits() || self.more.get(&task.addr).is_some_and(|more| more.wait.is_some())
    }

    fn knows_details(&self, task: &Task) -> bool {
        self.more.get(&task.addr).is_some_and(|more| more.details.is_some())
    }
}

/// A text that tasks are to have.
#[derive(Clone, Debug)]
pub(super) struct Filter {
    /// In lower case; empty for all tasks.
    text: String,
}

impl Filter {
    /// From what the user typed.
    pub(super) fn new(text: &str) -> Filter {
        Filter { text: text.trim().to_lowercase() }
    }

    /// Whether a task has it in pid, name or state.
    pub(super) fn fits(&self, task: &Task) -> bool {
        self.fits_name(&task.comm)
            || task.state.word().contains(&self.text)
            || task.pid.to_string().contains(&self.text)
    }

    /// Whether a name has it.
    pub(super) fn fits_name(&self, name: &str) -> bool {
        name.to_lowercase().contains(&self.text)
    }

    /// Whether it may be meant for functions: it is there, and is no number.
    pub(super) fn asks_for_functions(&self) -> bool {
        !self.text.bytes().all(|byte| byte.is_ascii_digit())
    }

    /// Whether it is meant for functions and this one has it.
    pub(super) fn fits_function(&self, name: &str) -> bool {
        self.asks_for_functions() && self.fits_name(name)
    }
}

/// In the order that is asked for; the sort is stable, so that equal ones stay
/// as the walk found them.
fn sort(tasks: &mut [&Task], order: TaskSort) {
    match order {
        TaskSort::List => {}
        TaskSort::Pid => tasks.sort_by_key(|task| task.pid),
        TaskSort::Name => tasks.sort_by_key(|task| task.comm.to_lowercase()),
        TaskSort::State => tasks.sort_by_key(|task| {
            // What is rare comes first.
            let rank = match task.state {
                _ if task.on_cpu == Some(true) => 0,
                State::Running | State::New => 1,
                State::DiskSleep => 2,
                State::Stopped | State::Tracing => 3,
                State::Zombie | State::Dead => 4,
                State::Sleeping => 5,
                State::Idle => 6,
                State::Parked => 7,
            };
            (rank, task.state)
        }),
    }
}

impl Session {
    /// Gets ready to read tasks.
    pub(super) async fn start_tasks(&mut self) -> Result<(), Failure> {
        if self.snapshot.as_ref().is_some_and(|snapshot| snapshot.tasks.is_some()) {
            return Ok(());
        }
        self.need_symbols()?;
        let (walk, total) = self
            .compute(|symbols, memory| (Walk::new(symbols), task_list::count(symbols, memory).ok()))
            .await?;
        let walk = walk.map_err(said)?;
        if let Some(snapshot) = &mut self.snapshot {
            snapshot.tasks = Some(Tasks { walk, total, more: HashMap::new() });
        }
        Ok(())
    }

    /// The tasks as far as they are read.
    pub(super) fn tasks(&self) -> Option<&Tasks> {
        self.snapshot.as_ref()?.tasks.as_ref()
    }

    /// A task among those that were read.
    pub(super) fn known_task(&self, is_it: impl Fn(&Task) -> bool) -> Option<Task> {
        self.tasks()?.list().iter().find(|task| is_it(task)).cloned()
    }

    /// Reads one more task; false when there is none. [`Session::start_tasks`]
    /// comes first.
    pub(super) async fn next_task(&mut self) -> Result<bool, Failure> {
        loop {
            let Some(snapshot) = &mut self.snapshot else { return Err(Failure::Running) };
            let Some(tasks) = &mut snapshot.tasks else { return Ok(false) };
            let recorder = Recorder::new(&snapshot.memory);
            let more = tasks.walk.step(&recorder);
            let misses = recorder.into_misses();
            match more {
                Ok(more) => return Ok(more),
                Err(gap) if misses.is_empty() => return Err(Failure::Other(gap.to_string())),
                Err(_) => self.fetch(misses).await?,
            }
        }
    }

    /// Finds where a task waits: its first frame that is not the scheduler's.
    /// Two reads; more when the scheduler's frames are large.
    pub(super) async fn read_wait(&mut self, task: &Task) -> Result<(), Failure> {
        if self.tasks().is_none_or(|tasks| tasks.knows_wait(task)) {
            return Ok(());
        }
        let (symbols, arch) = (self.guest_symbols(), self.arch());
        let wait = loop {
            let Some(snapshot) = &self.snapshot else { return Err(Failure::Running) };
            let recorder = Recorder::new(&snapshot.memory);
            let wait = wait_of(&symbols, &recorder, task.addr, arch);
            let misses = recorder.into_misses();
            // What the frames below would need is not worth a read.
            if wait.is_some() || misses.is_empty() {
                break wait;
            }
            self.fetch(misses).await?;
        };
        if let Some(tasks) = self.snapshot.as_mut().and_then(|snapshot| snapshot.tasks.as_mut()) {
            tasks.more.entry(task.addr).or_default().wait = Some(wait);
        }
        Ok(())
    }

    /// Finds what is shown only of tasks on screen.
    async fn read_details(&mut self, task: &Task) -> Result<(), Failure> {
        let Some(tasks) = self.tasks() else { return Ok(()) };
        let layouts = tasks.walk.layouts().clone();
        let wanted = task.clone();
        let details = self
            .compute(move |symbols, memory| {
                let cpu = layouts.cpu(memory, &wanted).ok().flatten();
                let words = match wanted.kernel || wanted.state.has_ended() {
                    true => None,
                    false => cmdline::of(symbols, memory, wanted.addr).ok().flatten(),
                };
                (words, cpu)
            })
            .await?;
        if let Some(tasks) = self.snapshot.as_mut().and_then(|snapshot| snapshot.tasks.as_mut()) {
            tasks.more.entry(task.addr).or_default().details = Some(details);
        }
        Ok(())
    }

    /// One round for the pane of tasks; false when it has all it wants.
    pub(super) async fn tasks_round(&mut self) -> Result<bool, Failure> {
        let Some(want) = self.panes.wants.tasks.clone() else { return Ok(false) };
        if let Err(failure) = self.start_tasks().await {
            let trouble = Some(failure.to_string());
            self.supply(TasksView { complete: true, trouble, ..TasksView::default() });
            return if self.wire.is_open() { Ok(false) } else { Err(failure) };
        }
        let last = want.first.saturating_add(want.rows);
        let Some(tasks) = self.tasks() else { return Ok(false) };
        let filter = Filter::new(&want.filter);
        let lazy = want.filter.trim().is_empty() && want.sort == TaskSort::List;
        if !lazy
            && !want.sure
            && let Some(asks) = self.price_of_tasks(tasks, &filter, want.rows > 0)
        {
            self.supply_tasks(&want);
            if let Some(supplied) = self.stop.as_mut().and_then(|stop| stop.supplied.tasks.as_mut())
            {
                supplied.asks = Some(asks);
            }
            return Ok(false);
        }
        if !(tasks.walk.is_over() || lazy && tasks.list().len() > last) {
            let more = self.next_task().await?;
            let count = self.tasks().map_or(0, |tasks| tasks.list().len());
            if !more || count.is_multiple_of(ROWS_AT_ONCE) || lazy {
                self.supply_tasks(&want);
            }
            return Ok(true);
        }
        // Then what rows on screen lack, then what the filter does.
        let mut rows = tasks.matching(&filter);
        sort(&mut rows, want.sort);
        let shown = || rows.iter().skip(want.first).take(want.rows);
        let wait = shown().find(|task| !tasks.knows_wait(task)).map(|task| (*task).clone());
        let undecided = tasks.undecided(&filter).cloned();
        let details = shown().find(|task| !tasks.knows_details(task)).map(|task| (*task).clone());
        match (wait.or(undecided), details) {
            (Some(task), _) => self.read_wait(&task).await?,
            (None, Some(task)) => self.read_details(&task).await?,
            (None, None) => {
                self.supply_tasks(&want);
                return Ok(false);
            }
        }
        self.supply_tasks(&want);
        Ok(true)
    }

    /// What it costs to read the tasks that are not read yet, in words, when
    /// that is long enough to ask first.
    fn price_of_tasks(&self, tasks: &Tasks, filter: &Filter, waits: bool) -> Option<String> {
        /// Less is over before one has read the question.
        const WORTH_ASKING: Duration = Duration::from_secs(4);
        let total = u64::from(tasks.total?);
        let unread = total.saturating_sub(tasks.list().len() as u64);
        let waits = waits && filter.asks_for_functions();
        let unseen = total.saturating_sub(tasks.looked_at() as u64) * u64::from(waits);
        let packets = unread * OF_A_TASK.0 + unseen * OF_A_WAIT.0;
        let size = unread * OF_A_TASK.1 + unseen * OF_A_WAIT.1;
        let time = self.estimate(packets, size).filter(|time| *time > WORTH_ASKING)?;
        Some(format!(
            "the list of {total} tasks takes about {}, {:.0} s at this link's rate",
            bytes(size),
            time.as_secs_f64()
        ))
    }

    fn supply_tasks(&mut self, want: &TaskWant) {
        let Some(tasks) = self.tasks() else { return };
        let filter = Filter::new(&want.filter);
        let mut rows = tasks.matching(&filter);
        sort(&mut rows, want.sort);
        let view = TasksView {
            total: tasks.total,
            rows: rows.into_iter().map(|task| tasks.view(task)).collect(),
            complete: tasks.walk.is_over() && tasks.undecided(&filter).is_none(),
            trouble: tasks.troubles().first().cloned(),
            read: tasks.list().len(),
            asks: None,
        };
        self.supply(view);
    }

    fn supply(&mut self, view: TasksView) {
        if let Some(stop) = &mut self.stop {
            stop.supplied.tasks = Some(view);
        }
        self.touch();
    }

    /// Reads more of a task that a list with this filter needs, after all of
    /// them were met; false when nothing is lacking.
    pub(super) async fn look_at_a_task(
        &mut self,
        filter: &Filter,
        cmdlines: bool,
    ) -> Result<bool, Failure> {
        let Some(tasks) = self.tasks() else { return Ok(false) };
        let rows = tasks.matching(filter);
        let unread = rows.iter().copied().find(|task| !tasks.knows_wait(task));
        let lacks = |task: &&Task| cmdlines && !task.kernel && !tasks.knows_details(task);
        let details = rows.iter().copied().find(lacks).cloned();
        match (tasks.undecided(filter).or(unread).cloned(), details) {
            (Some(task), _) => self.read_wait(&task).await?,
            (None, Some(task)) => self.read_details(&task).await?,
            (None, None) => return Ok(false),
        }
        Ok(true)
    }

    /// The tasks that fit, as far as they are known.
    pub(super) fn tasks_answer(&self, filter: &Filter, complete: bool) -> TasksAnswer {
        let Some(tasks) = self.tasks() else { return TasksAnswer::default() };
        TasksAnswer {
            tasks: tasks.matching(filter).into_iter().map(|task| tasks.view(task)).collect(),
            total: tasks.total,
            complete,
            troubles: tasks.troubles(),
        }
    }
}

/// The function a sleeping task waits in: its first frame that is not in the
/// scheduler's own sections (`in_sched_functions` in kernel/sched/core.c), as
/// /proc/PID/wchan has it.
pub(super) fn wait_of(
    symbols: &Symbols,
    memory: &dyn Memory,
    task: Addr,
    arch: &'static Arch,
) -> Option<Wait> {
    let start = read_ahead(symbols, memory, task, TOP_OF_STACK, arch)?;
    let owner = walk::Owner { task: Some(task), ..Default::default() };
    let stack = walk::unwind(symbols, memory, &start, owner, MOST_SCHEDULER_FRAMES);
    let is_schedulers = |addr: Addr| {
        let within = |first: &str, end: &str| {
            let range = symbols.symbol_addr(first).zip(symbols.symbol_addr(end));
            range.is_some_and(|(first, end)| (first..end).contains(&addr))
        };
        within("__sched_text_start", "__sched_text_end")
            || within("__lock_text_start", "__lock_text_end")
    };
    // What a scan found is no fact.
    let mut frames = stack.frames.iter().take_while(|frame| frame.kind != FrameKind::Guess);
    let frame = frames.find(|frame| !is_schedulers(frame.lookup))?;
    let symbol = symbols.symbol_at(frame.lookup)?;
    Some(Wait { function: symbol.name, module: symbol.module })
}

/// Where the stack of a sleeping task starts; asks for `len` bytes of it at
/// once, which is cheaper than word by word.
pub(super) fn read_ahead(
    symbols: &Symbols,
    memory: &dyn Memory,
    task: Addr,
    len: u64,
    arch: &'static Arch,
) -> Option<crate::arch::Registers> {
    let member = symbols.struct_layout("task_struct")?.member("thread.sp")?;
    let sp = Addr(memory.u64(task.offset(member.offset)).ok()?);
    // Stacks end at a multiple of their size, which is two pages at least.
    let top = (sp.0 | 0x1fff).saturating_add(1);
    if sp.0 >> 63 == 1 && sp.0.is_multiple_of(8) {
        let _ = memory.bytes(sp, len.min(top - sp.0) as usize);
    }
    sleeping::start(symbols, memory, task, arch).ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kernel::tasks::Links;

    fn task(pid: i32, comm: &str, state: State, on_cpu: bool) -> Task {
        Task {
            addr: Addr(0xffff_8880_0000_0000 + pid as u64 * 0x2000),
            pid,
            tgid: pid,
            comm: comm.into(),
            state,
            cpu: Some(0),
            on_cpu: Some(on_cpu),
            kernel: false,
            parent: Addr(0xffff_ffff_81c1_0a40),
            stack: Addr(0),
            links: Links::default(),
        }
    }

    fn some() -> Vec<Task> {
        vec![
            task(1, "init", State::Sleeping, false),
            task(12, "kworker/0:1", State::Idle, false),
            task(5, "cat", State::DiskSleep, false),
            task(3, "Xorg", State::Running, true),
            task(4, "bash", State::Running, false),
        ]
    }

    #[test]
    fn orders_put_the_wanted_first_and_keep_the_rest() {
        let tasks = some();
        let sorted = |order| {
            let mut rows: Vec<&Task> = tasks.iter().collect();
            sort(&mut rows, order);
            rows.into_iter().map(|task| task.pid).collect::<Vec<_>>()
        };
        assert_eq!(sorted(TaskSort::List), [1, 12, 5, 3, 4]);
        assert_eq!(sorted(TaskSort::Pid), [1, 3, 4, 5, 12]);
        assert_eq!(sorted(TaskSort::Name), [4, 5, 1, 12, 3]);
        assert_eq!(sorted(TaskSort::State), [3, 4, 5, 1, 12]);
    }

    #[test]
    fn a_filter_is_for_names_states_and_pids_and_a_number_for_no_function() {
        let tasks = some();
        let fits = |text: &str| {
            let filter = Filter::new(text);
            tasks.iter().filter(|task| filter.fits(task)).map(|task| task.pid).collect::<Vec<_>>()
        };
        assert_eq!(fits(""), [1, 12, 5, 3, 4]);
        assert_eq!(fits(" XORG "), [3]);
        assert_eq!(fits("sleep"), [1, 5]);
        assert_eq!(fits("1"), [1, 12], "in the pid, and in the name");
        assert!(Filter::new("vfs").fits_function("vfs_read"));
        assert!(!Filter::new("64").fits_function("do_syscall_64"));
        assert!(!Filter::new("").fits_function("vfs_read"));
    }
}
