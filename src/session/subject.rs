//! Whose stack, registers and variables are shown: the task that the stub
//! stopped in, another CPU, or a task that is on none.
//!
//! Only what the stub stopped in can be stepped and have its registers
//! written, so steps are refused while something else is shown: to step
//! another task than the one on screen would surprise. The guest as a whole
//! can be run on (`continue`, `until`, `advance`). A new stop shows what it is
//! about.

use super::{
    answer::{Answer, Failure},
    run::Session,
    view::{CpuView, FramesEnd},
    wants::SubjectView,
};
use crate::arch::Registers;
use crate::base::addr::Addr;
use crate::kernel::{
    KernelError,
    cpus::{self, CpuStop},
    task_list,
    tasks::{Layouts, Task},
};
use crate::unwind::{sleeping, walk::Owner};

/// A subject that is not what the stub stopped in.
#[derive(Clone, Debug)]
pub struct Chosen {
    /// The registers of its innermost frame.
    pub registers: Registers,
    /// The CPU whose stacks it may be on.
    pub cpu: Option<u32>,
    /// Its `struct task_struct`.
    pub task: Option<Addr>,
    /// The same for people.
    pub view: SubjectView,
}

/// A CPU at a stop.
#[derive(Clone, Debug)]
pub struct CpuState {
    /// What the debugger core knows.
    pub stop: CpuStop,
    /// Whether it is the one that talks to us.
    pub active: bool,
    /// Its task.
    pub task: Option<cpus::Task>,
    /// Its registers.
    pub registers: Option<Registers>,
}

impl CpuState {
    fn is_in_user_mode(&self) -> bool {
        self.registers.as_ref().is_some_and(Registers::is_user)
    }

    /// In words.
    fn doing(&self) -> &'static str {
        match &self.task {
            _ if !self.stop.held => "did not answer the round-up; its registers are not known",
            _ if self.is_in_user_mode() => "user mode",
            Some(task) if task.pid == 0 => "idle",
            _ => "kernel",
        }
    }
}

impl Session {
    /// `cpu N`; without a number, whose stack is shown.
    pub(super) async fn choose_cpu(&mut self, cpu: Option<u32>) -> Result<Answer, Failure> {
        self.need_stopped()?;
        let Some(cpu) = cpu else { return self.subject_answer().await };
        let states = self.cpu_states().await?;
        let Some(state) = states.iter().find(|state| state.stop.cpu == cpu) else {
            let online: Vec<_> = states.iter().map(|s| s.stop.cpu.to_string()).collect();
            let online = online.join(", ");
            return Err(Failure::Other(format!("CPU {cpu} is not online; those are {online}")));
        };
        let chosen = if state.active { None } else { Some(chosen_cpu(state)?) };
        self.choose(chosen).await
    }

    /// `task PID`; without a number, whose stack is shown.
    pub(super) async fn choose_task(&mut self, pid: Option<i64>) -> Result<Answer, Failure> {
        self.need_stopped()?;
        let Some(pid) = pid else { return self.subject_answer().await };
        if self.stop.as_ref().is_some_and(|stop| stop.pid == Some(pid)) {
            return self.choose(None).await;
        }
        if pid == 0 {
            return Err(Failure::Other(
                "every CPU has an idle task with pid 0; choose one with 'cpu NUMBER'".into(),
            ));
        }
        let task = self.find_task(pid).await?;
        let chosen = self.chosen_task(&task).await?;
        self.choose(chosen).await
    }

    /// The task as a subject; `None` when the stub stopped in it.
    pub(super) async fn chosen_task(&mut self, task: &Task) -> Result<Option<Chosen>, Failure> {
        let states = match task.on_cpu {
            Some(false) => Vec::new(),
            Some(true) | None => self.cpu_states().await?,
        };
        if let Some(on) = states.iter().find(|state| state.stop.task == Some(task.addr)) {
            return Ok(if on.active { None } else { Some(chosen_cpu(on)?) });
        }
        let lost = |state: &&CpuState| !state.stop.held && task.cpu == Some(state.stop.cpu);
        if let Some(state) = states.iter().find(lost).filter(|_| task.on_cpu == Some(true)) {
            return Err(Failure::Other(format!(
                "pid {} runs on CPU {}, which did not answer the round-up; its registers are not known",
                task.pid, state.stop.cpu
            )));
        }
        if task.state.has_ended() {
            return Err(Failure::Other(format!(
                "pid {} has ended ({}); it has no stack any more",
                task.pid,
                task.state.word()
            )));
        }
        let (addr, arch) = (task.addr, self.arch());
        let registers =
            self.compute(move |s, memory| sleeping::start(s, memory, addr, arch)).await?;
        let registers = registers.map_err(|why| Failure::Other(why.to_string()))?;
        let view = SubjectView {
            cpu: task.cpu,
            pid: Some(i64::from(task.pid)),
            comm: Some(task.comm.clone()),
            stopped_here: false,
            doing: match task.state.waits() {
                true => task.state.word().to_string(),
                false => format!("{}, on no CPU", task.state.word()),
            },
        };
        Ok(Some(Chosen { registers, cpu: task.cpu, task: Some(task.addr), view }))
    }

    /// Shows another stack.
    pub(super) async fn choose(&mut self, chosen: Option<Chosen>) -> Result<Answer, Failure> {
        self.know_registers().await?;
        let Some(snapshot) = &mut self.snapshot else { return Err(Failure::Running) };
        snapshot.chosen = chosen;
        let registers = self.subject_registers()?;
        let subject = self.subject_view();
        if let Some(stop) = &mut self.stop {
            stop.subject = Some(subject);
            stop.selected = 0;
            stop.frames.clear();
            stop.frames_end = FramesEnd::Reading;
            stop.frame_registers = registers;
            stop.variables = None;
            stop.code.clear();
            stop.code_symbols.clear();
        }
        self.panes.stack = None;
        self.first_frame();
        self.panes.resubject(self.options.eager);
        self.touch_now();
        self.subject_answer().await
    }

    async fn subject_answer(&mut self) -> Result<Answer, Failure> {
        let level = self.stop.as_ref().map_or(0, |stop| stop.selected);
        let frame = self.select(level).await?;
        Ok(Answer::Subject { subject: self.subject_view(), frame: Box::new(frame) })
    }

    /// Whose stack is shown.
    pub(super) fn subject_view(&self) -> SubjectView {
        let chosen = self.snapshot.as_ref().and_then(|snapshot| snapshot.chosen.as_ref());
        if let Some(chosen) = chosen {
            return chosen.view.clone();
        }
        let stop = self.stop.as_ref();
        SubjectView {
            cpu: stop.and_then(|stop| stop.cpu),
            pid: stop.and_then(|stop| stop.pid),
            comm: stop.and_then(|stop| stop.comm.clone()),
            stopped_here: true,
            doing: "stopped here".into(),
        }
    }

    /// The registers of the innermost frame of what is shown.
    pub(super) fn subject_registers(&self) -> Result<Registers, Failure> {
        let snapshot = self.snapshot.as_ref().ok_or(Failure::Running)?;
        let chosen = snapshot.chosen.as_ref().map(|chosen| &chosen.registers);
        Ok(chosen.unwrap_or(&snapshot.registers).clone())
    }

    /// The CPU whose stacks what is shown may be on.
    pub(super) fn subject_cpu(&self) -> Option<u32> {
        match self.snapshot.as_ref().and_then(|snapshot| snapshot.chosen.as_ref()) {
            Some(chosen) => chosen.cpu,
            None => self.stop.as_ref().and_then(|stop| stop.cpu),
        }
    }

    /// Whose stack is shown.
    pub(super) fn subject_owner(&self) -> Owner {
        let chosen = self.snapshot.as_ref().and_then(|snapshot| snapshot.chosen.as_ref());
        let task = chosen.and_then(|chosen| chosen.task);
        Owner { cpu: self.subject_cpu(), task, sparing: self.wire.spares_bytes() }
    }

    /// Whether what is shown is what the stub stopped in.
    pub(super) fn shows_the_stopped(&self) -> bool {
        self.snapshot.as_ref().is_none_or(|snapshot| snapshot.chosen.is_none())
    }

    /// That what is shown can be stepped, and its registers be written.
    pub(super) fn need_own_subject(&self) -> Result<(), Failure> {
        if self.shows_the_stopped() {
            return Ok(());
        }
        let shown = describe(&self.subject_view());
        let stop = self.stop.as_ref();
        let cpu = stop.and_then(|stop| stop.cpu);
        let back = match cpu {
            Some(cpu) => format!("cpu {cpu}"),
            None => format!("task {}", stop.and_then(|stop| stop.pid).unwrap_or_default()),
        };
        Err(Failure::Other(format!(
            "{shown} is shown, but kgdb can step and change only what it stopped in; go back to that with '{back}', or run with continue, until or advance"
        )))
    }

    /// The task with this pid: as the list has it, if that was read, else by
    /// the kernel's own table, else by the list.
    async fn find_task(&mut self, pid: i64) -> Result<Task, Failure> {
        let none = || Failure::Other(format!("there is no task with pid {pid}"));
        let number = i32::try_from(pid).map_err(|_| none())?;
        self.need_symbols()?;
        if let Some(task) = self.known_task(|task| task.pid == number) {
            return Ok(task);
        }
        let found = self
            .compute(move |symbols, memory| {
                let Some(addr) = task_list::by_pid(symbols, memory, number)? else {
                    return Ok(None);
                };
                Layouts::new(symbols)?.read(memory, addr).map(Some)
            })
            .await?;
        match found {
            Ok(Some(task)) if task.pid == number => return Ok(task),
            Ok(None) => return Err(none()),
            // A kernel with another table, or a damaged one.
            Ok(Some(_)) | Err(_) => {}
        }
        self.start_tasks().await?;
        while self.next_task().await? {
            if let Some(task) = self.known_task(|task| task.pid == number) {
                return Ok(task);
            }
        }
        Err(none())
    }

    /// That the symbols are those of the guest's kernel: without, nothing of
    /// its own structures is known.
    pub(super) fn need_symbols(&self) -> Result<(), Failure> {
        if self.guest_symbols().vmlinux().is_some() {
            return Ok(());
        }
        Err(Failure::Other(match &self.target.vmlinux {
            None => "this needs the symbols of the guest's kernel; give its vmlinux with --vmlinux".into(),
            Some(_) => "this needs symbols, and the vmlinux is not proven to be the guest's; override with: trust-symbols".into(),
        }))
    }

    /// What each CPU does. What is not known yet is asked for at once: one
    /// round for all CPUs after that which tells where to look.
    pub(super) async fn cpu_states(&mut self) -> Result<Vec<CpuState>, Failure> {
        self.need_symbols()?;
        self.know_registers().await?;
        let own = self.snapshot.as_ref().map(|s| s.registers.clone()).ok_or(Failure::Running)?;
        let states = self
            .compute(move |symbols, memory| {
                let (active, online) =
                    (cpus::active(symbols, memory), cpus::online(symbols, memory));
                let (active, online) = (active?, online?);
                let state = |stop: CpuStop| {
                    let is_active = stop.cpu == active;
                    let task = stop.task.map(|addr| cpus::task(symbols, memory, addr));
                    // Its registers came with the stop.
                    let registers = match is_active {
                        true => Some(own.clone()),
                        false => stop
                            .registers
                            .and_then(|addr| cpus::registers(symbols, memory, addr).ok()),
                    };
                    CpuState { stop, active: is_active, task: task.and_then(Result::ok), registers }
                };
                let stops = cpus::stops(symbols, memory, &online)?;
                Ok(stops.into_iter().map(state).collect::<Vec<_>>())
            })
            .await?;
        states.map_err(said)
    }

    /// The same for people.
    pub(super) async fn read_cpus(&mut self) -> Result<Vec<CpuView>, Failure> {
        let states = self.cpu_states().await?;
        let symbols = self.guest_symbols();
        let view = |state: CpuState| {
            let registers = state.registers.as_ref();
            let pc = registers.and_then(Registers::pc);
            let frames = pc.filter(|_| !state.is_in_user_mode()).map(|pc| symbols.frames_at(pc));
            CpuView {
                cpu: state.stop.cpu,
                current: state.active,
                stopped: state.stop.held,
                doing: state.doing().to_string(),
                pid: state.task.as_ref().map(|task| i64::from(task.pid)),
                comm: state.task.as_ref().map(|task| task.comm.clone()),
                pc,
                sp: registers.and_then(Registers::sp),
                function: frames.and_then(|f| f.first().map(|frame| frame.function.clone())),
                registers: registers.map_or(Vec::new(), |registers| {
                    let known = |(def, value): (&crate::arch::RegisterDef, Option<u64>)| {
                        (def.name.to_string(), value.map(Addr))
                    };
                    registers.iter().map(known).collect()
                }),
            }
        };
        Ok(states.into_iter().map(view).collect())
    }
}

/// A CPU that is not the one that talks to us as a subject.
fn chosen_cpu(state: &CpuState) -> Result<Chosen, Failure> {
    let cpu = state.stop.cpu;
    let lost = || {
        let why = match state.stop.held {
            true => "its registers can't be read",
            false => state.doing(),
        };
        Failure::Other(format!("CPU {cpu}: {why}"))
    };
    let registers = state.registers.clone().ok_or_else(lost)?;
    let view = SubjectView {
        cpu: Some(cpu),
        pid: state.task.as_ref().map(|task| i64::from(task.pid)),
        comm: state.task.as_ref().map(|task| task.comm.clone()),
        stopped_here: false,
        doing: match state.doing() {
            "idle" => format!("idle on CPU {cpu}"),
            "user mode" => format!("in user mode on CPU {cpu}"),
            _ => format!("runs on CPU {cpu}"),
        },
    };
    Ok(Chosen { registers, cpu: Some(cpu), task: state.stop.task, view })
}

/// `CPU 1`, or `pid 7 rcu_sched`.
fn describe(view: &SubjectView) -> String {
    match (view.pid, &view.comm, view.cpu) {
        (Some(pid @ 1..), Some(comm), _) => format!("pid {pid} {comm}"),
        (_, _, Some(cpu)) => format!("CPU {cpu}"),
        _ => "another task".into(),
    }
}

pub(super) fn said(error: KernelError) -> Failure {
    Failure::Other(error.to_string())
}
