//! Work that takes long, done a piece at a time between the user's requests:
//! all tasks, all stacks. What it will cost is said when it starts, the view has
//! how far it is, and what is known is the answer when the user ends it.

use super::{
    answer::{Answer, Failure},
    dmesg::DmesgAsk,
    request::{Level, Request},
    run::Session,
    saving::Saving,
    stacks::Stacks,
    tasks::Filter,
    view::Cost,
};
use crate::base::text;
use crate::kernel::tasks::Task;
use std::time::{Duration, Instant};
use tokio::sync::oneshot;

/// Work of less time is not announced.
const WORTH_A_WORD: Duration = Duration::from_millis(500);

/// Letters of a bar that shows how far it is.
const BAR: usize = 20;

/// What one task costs: packets, and bytes on the line in both directions (two
/// digits a byte, about 45 for the frame, the address and the acks). Measured
/// on a 6.1 guest: half of its tasks are kernel threads.
pub(super) const OF_A_TASK: (u64, u64) = (3, 450);
pub(super) const OF_A_WAIT: (u64, u64) = (2, 610);
const OF_A_STACK: (u64, u64) = (3, 1200);

/// What is to be done.
#[derive(Debug)]
pub(super) enum Work {
    Tasks { filter: Filter, cmdlines: bool },
    Stacks { filter: Filter, stacks: Stacks, left: Option<Vec<Task>> },
    Dmesg(DmesgAsk),
    Save(Box<Saving>),
}

impl Work {
    /// All tasks.
    pub(super) fn tasks(cmdlines: bool) -> Work {
        Work::Tasks { filter: Filter::new(""), cmdlines }
    }

    /// The stacks of all tasks.
    pub(super) fn stacks() -> Work {
        Work::Stacks { filter: Filter::new(""), stacks: Stacks::default(), left: None }
    }

    /// So many lines of the kernel's log.
    pub(super) fn dmesg(lines: usize) -> Work {
        Work::Dmesg(DmesgAsk { count: Some(lines), filter: String::new() })
    }
}

/// Work that is under way.
#[derive(Debug)]
pub struct Job {
    work: Work,
    reply: oneshot::Sender<Result<Answer, Failure>>,
    began: Instant,
    announced: bool,
    cost: Cost,
}

impl Job {
    fn what(&self) -> &'static str {
        match self.work {
            Work::Tasks { .. } => "tasks",
            Work::Stacks { .. } => "stacks",
            Work::Dmesg(_) => "dmesg",
            Work::Save(_) => "snapshot",
        }
    }
}

impl Session {
    /// Takes work that a request is for; the answer comes when it is done.
    pub(super) async fn take_job(
        &mut self,
        request: Request,
        reply: oneshot::Sender<Result<Answer, Failure>>,
    ) {
        self.end_job().await;
        let work = match request {
            Request::Stacks(filter) => {
                let (filter, stacks) = (Filter::new(&filter), Stacks::default());
                Work::Stacks { filter, stacks, left: None }
            }
            Request::Tasks { filter, cmdlines } => {
                Work::Tasks { filter: Filter::new(&filter), cmdlines }
            }
            Request::Dmesg(ask) => Work::Dmesg(ask),
            Request::Snapshot(ask) => Work::Save(Box::new(Saving::new(ask))),
            _ => return,
        };
        let (began, cost) = (Instant::now(), self.wire.cost());
        self.job = Some(Job { work, reply, began, announced: false, cost });
    }

    /// Ends the work that is under way with what is known. True when there was
    /// some.
    pub(super) async fn end_job(&mut self) -> bool {
        let Some(job) = self.job.take() else { return false };
        let _ = job.reply.send(match self.need_stopped() {
            Ok(()) => Box::pin(self.job_answer(job.work, false)).await,
            Err(failure) => Err(failure),
        });
        true
    }

    /// Does one piece of the work.
    pub(super) async fn job_round(&mut self) {
        let Some(mut job) = self.job.take() else { return };
        self.wire.log().purpose(job.what());
        match self.piece(&mut job).await {
            Ok(true) => self.job = Some(job),
            Ok(false) => {
                let answer = Box::pin(self.job_answer(job.work, true)).await;
                let _ = job.reply.send(answer);
            }
            Err(failure) => {
                let _ = job.reply.send(Err(failure));
            }
        }
        self.publish_cost();
    }

    async fn job_answer(&mut self, work: Work, complete: bool) -> Result<Answer, Failure> {
        Ok(match work {
            Work::Tasks { filter, .. } => Answer::Tasks(self.tasks_answer(&filter, complete)),
            Work::Stacks { filter, stacks, .. } => {
                Answer::Stacks(self.stacks_answer(stacks, &filter, complete))
            }
            Work::Dmesg(ask) => self.dmesg_answer(&ask),
            Work::Save(saving) => return self.end_saving(*saving, complete).await,
        })
    }

    /// One piece; false when nothing is left.
    async fn piece(&mut self, job: &mut Job) -> Result<bool, Failure> {
        self.need_stopped()?;
        if matches!(job.work, Work::Tasks { .. } | Work::Stacks { .. }) {
            self.start_tasks().await?;
            if !std::mem::replace(&mut job.announced, true) {
                self.announce(job);
            }
        }
        self.work_piece(&mut job.work).await
    }

    /// One piece, without a word about it.
    pub(super) async fn work_piece(&mut self, work: &mut Work) -> Result<bool, Failure> {
        match work {
            Work::Dmesg(ask) => {
                let wanted = ask.wanted();
                return self.dmesg_piece(wanted).await;
            }
            Work::Save(saving) => return Box::pin(self.saving_piece(saving)).await,
            Work::Tasks { .. } | Work::Stacks { .. } => self.start_tasks().await?,
        }
        if self.next_task().await? {
            return Ok(true);
        }
        match work {
            Work::Tasks { filter, cmdlines } => self.look_at_a_task(filter, *cmdlines).await,
            Work::Stacks { filter, stacks, left: Some(left) } => match left.pop() {
                Some(task) => {
                    self.add_stack(stacks, filter, &task).await?;
                    Ok(true)
                }
                None => {
                    self.add_idle_stacks(stacks, filter).await?;
                    Ok(false)
                }
            },
            Work::Stacks { filter, left, .. } => {
                let mut tasks = self.tasks_for_stacks(filter);
                tasks.reverse();
                *left = Some(tasks);
                Ok(true)
            }
            // Done above: they need no tasks.
            Work::Dmesg(_) | Work::Save(_) => Ok(false),
        }
    }

    /// Says what the work will cost.
    fn announce(&self, job: &Job) {
        let Some(tasks) = self.tasks() else { return };
        let known = tasks.list().len() as u64;
        let count = u64::from(tasks.total().unwrap_or(known as u32));
        let each = match job.work {
            Work::Tasks { .. } => OF_A_WAIT,
            Work::Stacks { .. } => OF_A_STACK,
            Work::Dmesg(_) | Work::Save(_) => return,
        };
        let unread = count.saturating_sub(known);
        let packets = unread * OF_A_TASK.0 + count * each.0;
        let bytes = unread * OF_A_TASK.1 + count * each.1;
        let time = self.estimate(packets, bytes);
        if time.is_some_and(|time| time < WORTH_A_WORD) {
            return;
        }
        let time = time.map_or(String::new(), |time| format!(", {:.0} s", time.as_secs_f64()));
        self.say(
            Level::Info,
            format!(
                "{} of {count} tasks: at most {packets} reads, {}{time}; interrupt ends it with what is known",
                job.what(),
                text::bytes(bytes)
            ),
        );
    }

    /// How long so much would take at the rate measured so far.
    pub(super) fn estimate(&self, packets: u64, bytes: u64) -> Option<Duration> {
        let cost = self.wire.cost();
        let spent = cost.time.as_secs_f64();
        let (so_far, answered) = ((cost.tx + cost.rx) as f64, cost.packets as f64);
        if answered < 8.0 || spent <= 0.0 {
            return None;
        }
        // By bytes on a slow line, by packets on one that is only far.
        let seconds = (bytes as f64 * spent / so_far).max(0.0);
        let by_packets = packets as f64 * spent / answered;
        Duration::try_from_secs_f64(seconds.max(by_packets)).ok()
    }

    /// How far the work under way is, in a line; what is over in a moment is
    /// not worth one.
    pub(super) fn working(&self) -> Option<String> {
        let job = self.job.as_ref().filter(|job| job.began.elapsed() >= WORTH_A_WORD)?;
        let now = self.wire.cost();
        let spent = format!(
            "{} reads, {}, {:.0} s so far",
            now.packets - job.cost.packets,
            text::bytes(now.tx + now.rx - job.cost.tx - job.cost.rx),
            job.began.elapsed().as_secs_f64(),
        );
        let work = match &job.work {
            Work::Save(saving) => {
                let (done, all) = saving.done();
                let part = done as f64 / all.max(1) as f64;
                let inner = match saving.inner() {
                    Some(Work::Tasks { .. }) => ", tasks",
                    Some(Work::Stacks { .. }) => ", stacks",
                    Some(Work::Dmesg(_)) => ", dmesg",
                    _ => "",
                };
                return Some(format!(
                    "{} snapshot: {done} of {all} steps{inner}; {spent}",
                    bar(part)
                ));
            }
            work => work,
        };
        if let Work::Dmesg(ask) = work {
            let (known, total) = self.dmesg_known();
            let wanted = (ask.wanted() as u64).min(total.max(1));
            let part = known as f64 / wanted as f64;
            return Some(format!(
                "{} dmesg: {known} of {wanted} lines; {spent}",
                bar(part.min(1.0))
            ));
        }
        let count = self.tasks()?.list().len();
        let total = self.tasks()?.total().map_or(String::new(), |total| format!(" of {total}"));
        let stacks = match &job.work {
            Work::Stacks { stacks, .. } if stacks.count() > 0 => {
                format!(", stacks of {} of them", stacks.count())
            }
            _ => String::new(),
        };
        let (bar, what) = (bar(self.part_done(job)), job.what());
        Some(format!("{bar} {what}: {count}{total} tasks read{stacks}; {spent}"))
    }

    /// How much of the work is done, from 0 to 1, by packets.
    fn part_done(&self, job: &Job) -> f64 {
        let Some(tasks) = self.tasks() else { return 0.0 };
        let read = tasks.list().len() as u64;
        let count = u64::from(tasks.total().unwrap_or_default()).max(read);
        let (each, done) = match &job.work {
            Work::Tasks { .. } => (OF_A_WAIT, tasks.looked_at() as u64),
            Work::Stacks { stacks, .. } => (OF_A_STACK, stacks.count() as u64),
            Work::Dmesg(_) | Work::Save(_) => return 0.0,
        };
        let (all, done) = (count * (OF_A_TASK.0 + each.0), read * OF_A_TASK.0 + done * each.0);
        (done as f64 / all.max(1) as f64).min(1.0)
    }
}

/// `[#####     ]`.
fn bar(part: f64) -> String {
    let full = (part * BAR as f64).round() as usize;
    format!("[{:<BAR$}]", "#".repeat(full.min(BAR)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bar_fills_from_the_left() {
        assert_eq!(bar(0.0), "[                    ]");
        assert_eq!(bar(0.5), "[##########          ]");
        assert_eq!(bar(7.0), "[####################]");
    }
}
