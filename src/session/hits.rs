//! What becomes of control that comes to a breakpoint of the user's.
//!
//! Every breakpoint at the site is judged and counted by itself, in gdb's
//! order: who came, the condition, the ignore count. The stop is for the first
//! that says stop. When none does, the guest goes on with what it was doing.

use super::{
    answer::Failure,
    conduct::{After, LogLine, Verdict},
    exits,
    identify::idle_name,
    request::{BreakKind, Level, Update},
    run::Session,
    step::{Journey, Leg},
    view::{State, StopReason},
};
use crate::base::{addr::Addr, text::printable};
use crate::kernel::cpus;
use crate::rsp::thread::ThreadId;
use crate::target::threads::Who;
use std::time::{Duration, Instant};

/// What a trap at a breakpoint means.
#[derive(Debug, PartialEq)]
pub enum Hit {
    /// There is none of the user's.
    Nothing,
    /// None that counts this time, or whose hit stops the guest.
    Passed,
    /// The guest stays here.
    Stop(StopReason),
}

/// A breakpoint that was passed so lately will be again in a moment.
const PASSES_OFTEN: Duration = Duration::from_millis(500);

/// The longest name of a task (`TASK_COMM_LEN` with its NUL, include/linux/sched.h).
const LONGEST_COMM: usize = 15;

impl Session {
    /// The guest is at `pc` and trapped: what the breakpoints of the user's
    /// there make of it.
    pub(super) async fn breakpoint_hit(&mut self, pc: Addr) -> Result<Hit, Failure> {
        let plain = self.points.wishes.iter().filter(|wish| wish.crash.is_none());
        let enabled = plain.filter(|wish| wish.is_armed() && wish.is_at(pc));
        let there: Vec<u32> = enabled.map(|wish| wish.number).collect();
        if there.is_empty() {
            return Ok(Hit::Nothing);
        }
        self.judge_hit(&there, pc).await
    }

    /// Judges breakpoints that control has come to, each by itself.
    pub(super) async fn judge_hit(&mut self, there: &[u32], pc: Addr) -> Result<Hit, Failure> {
        let mut first = None;
        for &number in there {
            let Some(line) = self.line_of_site(number, pc) else { continue };
            let inside = self.hidden_for(pc, line);
            let (counts, failed) = match self.counts(number, inside).await? {
                Ok(counts) => (counts, false),
                Err(why) => {
                    let why = format!("breakpoint {number}: {why}");
                    self.say(Level::Warning, format!("{why}; the guest stays stopped here"));
                    self.at_hit.error.get_or_insert(why);
                    (true, true)
                }
            };
            let Some(wish) = self.points.wish(number) else { continue };
            if !counts {
                wish.conduct.passed += 1;
                continue;
            }
            wish.hits += 1;
            match wish.conduct.hit() {
                Verdict::GoOn | Verdict::Print if failed => {
                    first.get_or_insert((number, inside));
                }
                Verdict::GoOn => {}
                Verdict::Print => self.print_log(number, inside).await?,
                Verdict::Stop { disable, delete } => {
                    wish.enabled &= !disable;
                    let commands = wish.conduct.commands.clone();
                    let delete = delete || wish.kind == BreakKind::Temporary;
                    self.at_hit.commands.extend(commands);
                    if delete {
                        self.points.delete(&[number]);
                    }
                    first.get_or_insert((number, inside));
                }
            }
        }
        match first {
            Some((number, inside)) => {
                self.hidden = inside;
                Ok(Hit::Stop(StopReason::Breakpoint(number)))
            }
            None => Ok(Hit::Passed),
        }
    }

    /// The line that the site of a breakpoint is on; `None` when there is no
    /// such breakpoint.
    fn line_of_site(&mut self, number: u32, pc: Addr) -> Option<Option<u32>> {
        let wish = self.points.wish(number)?;
        Some(wish.sites.iter().find(|site| site.addr == pc).and_then(|site| site.line))
    }

    /// A breakpoint on a line that calls an inlined function may be on the
    /// first instruction of that: then the frame of the line is meant.
    fn hidden_for(&self, pc: Addr, line: Option<u32>) -> usize {
        let symbols = self.guest_symbols();
        let begun = exits::begun_inlines(&symbols, pc);
        let frames = symbols.frames_at(pc);
        frames.iter().take(begun + 1).position(|frame| frame.line == line).unwrap_or(0)
    }

    /// Whether a hit counts: by who came, cheapest first, then by the condition
    /// in the frame `inside` frames out. The inner error is why it can't be told.
    async fn counts(
        &mut self,
        number: u32,
        inside: usize,
    ) -> Result<Result<bool, String>, Failure> {
        let Some(wish) = self.points.wish(number) else { return Ok(Ok(false)) };
        let when = wish.when.clone();
        let thread = self.snapshot.as_ref().and_then(|snapshot| snapshot.thread);
        if let (Some(wanted), Some(thread)) = (when.task, thread)
            && pid_of(thread) != wanted
        {
            return Ok(Ok(false));
        }
        if let Some(wanted) = when.cpu {
            match self.cpu_at_hit().await? {
                Ok(cpu) if cpu != wanted => return Ok(Ok(false)),
                Ok(_) => {}
                Err(why) => return Ok(Err(format!("the CPU can't be told: {why}"))),
            }
        }
        if let Some(wanted) = &when.comm {
            let short: String = wanted.chars().take(LONGEST_COMM).collect();
            match self.comm_at_hit().await? {
                Ok(comm) if comm != printable(&short) => return Ok(Ok(false)),
                Ok(_) => {}
                Err(why) => return Ok(Err(format!("the task's name can't be told: {why}"))),
            }
        }
        match &when.condition {
            None => Ok(Ok(true)),
            Some(condition) => {
                let holds = self.holds(condition, inside).await?;
                Ok(holds.map_err(|why| format!("error in its condition '{condition}': {why}")))
            }
        }
    }

    /// The CPU that trapped.
    pub(super) async fn cpu_at_hit(&mut self) -> Result<Result<u32, String>, Failure> {
        // An idle task is called by its CPU.
        let thread = self.snapshot.as_ref().and_then(|snapshot| snapshot.thread);
        if let Some(ThreadId(shadow @ ..=-2)) = thread {
            return Ok(Ok(shadow.abs_diff(-2)));
        }
        let cpu = self.compute(cpus::active).await?;
        Ok(cpu.map_err(|why| why.to_string()))
    }

    /// The name of the task that trapped. The stub tells it in one packet; in memory
    /// it is at the end of four reads.
    async fn comm_at_hit(&mut self) -> Result<Result<String, String>, Failure> {
        let thread = self.snapshot.as_ref().and_then(|snapshot| snapshot.thread);
        let told = match thread.map(|thread| (thread, Who::from(thread))) {
            Some((_, Who::Cpu(cpu))) => Some(idle_name(cpu)),
            Some((thread, Who::Task(_))) => self.comm(thread).await?,
            Some((_, Who::Current)) | None => None,
        };
        if let Some(comm) = told {
            return Ok(Ok(printable(&comm)));
        }
        let found = self.compute(cpus::current).await?;
        Ok(found.map(|(_, task)| task.comm).map_err(|why| why.to_string()))
    }

    /// Prints what a log point says.
    async fn print_log(&mut self, number: u32, inside: usize) -> Result<(), Failure> {
        let log = self.points.wish(number).and_then(|wish| wish.conduct.log.clone());
        let Some(log) = log else { return Ok(()) };
        let text = self.text_of_log(&log, inside).await?;
        let (cpu, comm) = (self.cpu_at_hit().await?.ok(), self.comm_at_hit().await?.ok());
        let thread = self.snapshot.as_ref().and_then(|snapshot| snapshot.thread);
        let line = LogLine {
            breakpoint: number,
            seconds: self.began.elapsed(),
            cpu,
            pid: thread.map(pid_of),
            comm,
            text,
        };
        let _ = self.updates().send(Update::Log(line));
        Ok(())
    }

    /// The breakpoint that control passes so often that it will again in a
    /// moment.
    pub(super) fn passes_often(&self) -> Option<u32> {
        let lately = self.passing.filter(|(_, _, at)| at.elapsed() < PASSES_OFTEN);
        lately.map(|(number, ..)| number)
    }

    /// Lets the guest go on from breakpoints that did not stop it.
    pub(super) async fn go_past(&mut self, pc: Addr) -> Result<(), Failure> {
        let there = self.points.wishes.iter().filter(|wish| wish.is_at(pc));
        let passed = there.max_by_key(|wish| wish.conduct.passed);
        let passed = passed.map(|wish| (wish.number, wish.conduct.passed));
        self.passing = passed.map(|(number, times)| (number, times, Instant::now()));
        if let Some(task) = self.snapshot.as_ref().and_then(|snapshot| snapshot.thread) {
            // An instruction step of it that was overtaken ends here.
            self.owed_steps.remove(&task);
        }
        self.pass_by().await?;
        if let (State::Running { what, .. }, Some((number, times))) = (&mut self.state, passed) {
            let word = what.split(',').next().unwrap_or_default();
            *what = format!("{word}, breakpoint {number} passed {}", grouped(times));
        }
        Ok(())
    }
}

impl Journey {
    /// Whether the leg may end at a stop of this task at this place, so that
    /// the place is more than a breakpoint that did not count.
    pub(super) fn may_end(&self, pc: Addr, task: Option<ThreadId>) -> bool {
        let same = self.task.is_none() || task == self.task;
        match &self.leg {
            Leg::Free => false,
            Leg::Sites { places, .. } => places.contains(&pc),
            Leg::Crawl { over: Some((ends, _)), .. } => ends.contains(&pc),
            Leg::Single | Leg::Crawl { over: None, .. } => same,
        }
    }
}

/// A task's pid; every idle task has 0, and the stub calls it by its CPU.
fn pid_of(ThreadId(id): ThreadId) -> i64 {
    i64::from(id.max(0))
}

/// `once`, `12 times`, `1,234 times`.
pub(super) fn grouped(times: u64) -> String {
    if times == 1 {
        return "once".into();
    }
    let digits = times.to_string();
    let mut text = String::new();
    for (place, digit) in digits.chars().enumerate() {
        if place > 0 && (digits.len() - place).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    format!("{text} times")
}

impl After {
    /// How gdb's `info breakpoints` calls it.
    pub fn word(self) -> &'static str {
        match self {
            After::Stays => "keep",
            After::Disabled(_) => "dis",
            After::Deleted => "del",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::session::step::Guard;

    #[test]
    fn numbers_are_grouped() {
        assert_eq!(grouped(1), "once");
        assert_eq!(grouped(999), "999 times");
        assert_eq!(grouped(1234), "1,234 times");
        assert_eq!(grouped(1_234_567), "1,234,567 times");
    }

    #[test]
    fn idle_tasks_have_pid_0() {
        assert_eq!(pid_of(ThreadId(-2)), 0);
        assert_eq!(pid_of(ThreadId(12)), 12);
    }

    #[test]
    fn a_step_that_meets_a_breakpoint_may_end_there() {
        let (own, other) = (Some(ThreadId(1)), Some(ThreadId(2)));
        let to = |leg| Journey { leg, task: own, ..Journey::free() };
        let sites = || Leg::Sites { places: [Addr(8)].into(), guard: Guard::Any };
        assert!(!to(Leg::Free).may_end(Addr(8), own));
        assert!(to(sites()).may_end(Addr(8), own));
        assert!(!to(sites()).may_end(Addr(9), own));
        assert!(to(Leg::Single).may_end(Addr(9), own));
        assert!(!to(Leg::Single).may_end(Addr(9), other), "it still has its own step to make");
    }
}
