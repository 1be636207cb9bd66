//! The stacks of all tasks, equal ones together.

use super::{
    answer::{Failure, NamedTask, NoStackAnswer, StackAnswer, StacksAnswer},
    entered::frames_end,
    run::Session,
    tasks::{Filter, read_ahead},
    view::FramesEnd,
};
use crate::base::addr::Addr;
use crate::kernel::tasks::Task;
use crate::unwind::{Stack, walk};
use std::collections::HashMap;

/// Bytes of a sleeping task's stack that are read at once. Most stacks are no
/// deeper.
const READ_AHEAD: u64 = 504;

/// Stacks as far as they are known.
#[derive(Debug, Default)]
pub struct Stacks {
    /// By the addresses of the frames, in the order of meeting; each task
    /// with whether it fits by what it is called.
    groups: Vec<(Stack, Vec<(NamedTask, bool)>)>,
    by_frames: HashMap<Vec<Addr>, usize>,
    without: Vec<NoStackAnswer>,
}

impl Stacks {
    fn add(&mut self, task: NamedTask, fits: bool, stack: Stack) {
        let key: Vec<Addr> = stack.frames.iter().map(|frame| frame.pc).collect();
        let groups = &mut self.groups;
        let index = *self.by_frames.entry(key).or_insert_with(|| {
            groups.push((stack, Vec::new()));
            groups.len() - 1
        });
        groups[index].1.push((task, fits));
    }

    /// How many tasks have one.
    pub fn count(&self) -> usize {
        self.groups.iter().map(|(_, tasks)| tasks.len()).sum::<usize>() + self.without.len()
    }
}

impl Session {
    /// Which tasks have stacks to be read for a filter: those that have it in
    /// pid, name or state, and if it may be the name of a function, all.
    pub(super) fn tasks_for_stacks(&self, filter: &Filter) -> Vec<Task> {
        let all = self.tasks().map_or(&[][..], |tasks| tasks.list());
        let wanted = |task: &&Task| filter.asks_for_functions() || filter.fits(task);
        all.iter().filter(wanted).cloned().collect()
    }

    /// Reads the stack of one task.
    pub(super) async fn add_stack(
        &mut self,
        stacks: &mut Stacks,
        filter: &Filter,
        task: &Task,
    ) -> Result<(), Failure> {
        let fits = filter.fits(task);
        let named = NamedTask {
            pid: i64::from(task.pid),
            comm: task.comm.clone(),
            state: task.state.word().to_string(),
        };
        let (addr, arch) = (task.addr, self.arch());
        if task.state.waits() {
            self.compute(move |symbols, memory| {
                read_ahead(symbols, memory, addr, READ_AHEAD, arch);
            })
            .await?;
        }
        self.know_registers().await?;
        let own = self.snapshot.as_ref().map(|s| s.registers.clone()).ok_or(Failure::Running)?;
        let (registers, cpu) = match self.chosen_task(task).await {
            Ok(Some(chosen)) => (chosen.registers, chosen.cpu),
            Ok(None) => (own, self.stop.as_ref().and_then(|stop| stop.cpu)),
            Err(failure) if !self.wire.is_open() => return Err(failure),
            Err(failure) => {
                if fits {
                    stacks.without.push(NoStackAnswer { task: named, why: failure.to_string() });
                }
                return Ok(());
            }
        };
        let owner = walk::Owner { cpu, task: Some(task.addr), ..Default::default() };
        let stack = self
            .compute(move |symbols, memory| {
                walk::unwind(symbols, memory, &registers, owner, walk::MAX_FRAMES)
            })
            .await?;
        stacks.add(named, fits, stack);
        Ok(())
    }

    /// The stacks of the CPUs that idle: their tasks are in no list.
    pub(super) async fn add_idle_stacks(
        &mut self,
        stacks: &mut Stacks,
        filter: &Filter,
    ) -> Result<(), Failure> {
        for state in self.cpu_states().await? {
            let cpu = state.stop.cpu;
            let Some(task) = state.task.filter(|task| task.pid == 0) else { continue };
            let fits = filter.fits_name(&task.comm);
            let wanted = fits || filter.asks_for_functions();
            let Some(registers) = state.registers.filter(|_| wanted) else { continue };
            let stack = self
                .compute(move |symbols, memory| {
                    walk::unwind(symbols, memory, &registers, Some(cpu), walk::MAX_FRAMES)
                })
                .await?;
            let named = NamedTask { pid: 0, comm: task.comm, state: "idle".into() };
            stacks.add(named, fits, stack);
        }
        Ok(())
    }

    /// What is known: the stacks that most tasks share first, of tasks that
    /// fit by what they are called or by a function in their stack.
    pub(super) fn stacks_answer(
        &self,
        stacks: Stacks,
        filter: &Filter,
        complete: bool,
    ) -> StacksAnswer {
        let mut answers = Vec::new();
        for (stack, tasks) in stacks.groups {
            let frames = self.frame_views(&stack);
            let has = frames.iter().any(|frame| {
                frame.function.as_ref().is_some_and(|name| filter.fits_function(name))
            });
            let tasks = tasks.into_iter().filter(|(_, fits)| has || *fits);
            let tasks: Vec<_> = tasks.map(|(task, _)| task).collect();
            let (complete, end) = match frames_end(&stack) {
                FramesEnd::Complete(how) => (true, how),
                FramesEnd::Broken(why) => (false, why),
                FramesEnd::Reading => (false, "not read to its end".to_string()),
            };
            if !tasks.is_empty() {
                answers.push(StackAnswer { count: tasks.len(), tasks, frames, complete, end });
            }
        }
        answers.sort_by_key(|answer| std::cmp::Reverse(answer.count));
        StacksAnswer {
            stacks: answers,
            without: stacks.without,
            complete,
            troubles: self.tasks().map_or(Vec::new(), |tasks| tasks.troubles()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::arch::{Registers, x86_64::X86_64};
    use crate::unwind::{Bottom, By, End, Frame, FrameKind};

    fn stack(pcs: &[u64]) -> Stack {
        let frame = |(level, pc): (usize, &u64)| Frame {
            level,
            pc: Addr(*pc),
            lookup: Addr(*pc),
            registers: Registers::unknown(&X86_64),
            cfa: None,
            kind: FrameKind::Normal,
            by: By::Cfi,
            saved: None,
        };
        let frames = pcs.iter().enumerate().map(frame).collect();
        Stack { frames, end: End::Complete(Bottom::Thread) }
    }

    #[test]
    fn equal_stacks_are_one_group_in_the_order_of_meeting() {
        let named = |pid| NamedTask { pid, comm: format!("t{pid}"), state: "idle".into() };
        let mut stacks = Stacks::default();
        stacks.add(named(1), true, stack(&[1, 2, 3]));
        stacks.add(named(2), true, stack(&[1, 2]));
        stacks.add(named(3), false, stack(&[1, 2, 3]));
        let pids: Vec<Vec<_>> = stacks
            .groups
            .iter()
            .map(|(_, tasks)| tasks.iter().map(|(task, fits)| (task.pid, *fits)).collect())
            .collect();
        assert_eq!(pids, [vec![(1, true), (3, false)], vec![(2, true)]]);
        assert_eq!(stacks.count(), 3);
    }
}
