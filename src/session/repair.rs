//! Taking out breakpoints that the kernel can't take out by itself.
//!
//! At a stop kgdb takes every int3 out of memory, and on resume puts them back.
//! It fails where an int3 was written before the text became read-only, and
//! while somebody holds `text_mutex` (a module is loaded, a static key changes).
//! Then it believes on resume that the int3 is what belongs there, and the byte
//! it stands for is lost, with the guest. So every stop is checked, the entries
//! of kgdb's table are corrected, and the guest runs for moments until the
//! kernel can take them out.

use super::{answer::Failure, request::Level, run::Session, step::thread_of, wire::WireEvent};
use crate::base::addr::Addr;
use crate::kernel::breaks::{self, Entry, State, TRAP};
use crate::rsp::{command::Command, reply::StopReply, thread::ThreadId};
use std::{
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};

/// How long the kernel may take to enter the debugger again: printing of others
/// and a starved host may come between.
pub const PATIENCE: Duration = Duration::from_secs(20);

/// How often other CPUs are given the chance to pass: up to ten times were seen
/// with two emulated CPUs. Once takes some ten milliseconds.
pub const MOST_BOUNCES: usize = 100;

/// What the repair of breakpoints needs to remember.
#[derive(Debug, Default)]
pub struct Repairs {
    /// Sites planted while the text was still writable.
    pub early: BTreeSet<Addr>,
    /// Whether the text of this boot is known to be read-only.
    pub is_readonly: bool,
    /// Whether the kernel's init memory is known to be freed.
    pub booted: bool,
    /// Sites whose int3 is still in memory at this stop. kgdb's table says so
    /// now, so that they stay what they are on resume.
    pub stuck: BTreeSet<Addr>,
    /// Sites that could not be planted at this stop, and are wanted.
    pub late: BTreeSet<Addr>,
    /// Tasks that were sent to the compiled-in int3 while another one stopped
    /// first.
    pub displaced: BTreeMap<Option<ThreadId>, Displaced>,
}

/// Where a task belongs that was sent to the compiled-in int3.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Displaced {
    /// Its pc.
    pub pc: Addr,
    /// Whether it came there by a breakpoint of ours.
    pub trapped: bool,
}

/// What became of a task that was sent to the compiled-in int3.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[must_use]
pub enum Bounced {
    /// It is back where it was, and stopped.
    Back,
    /// Another one stopped first, which is the next event; this stop is over.
    Overtaken,
}

impl Session {
    /// Whether what is planted now is planted into writable text.
    pub(super) async fn is_early(&mut self) -> Result<bool, Failure> {
        if !self.repairs.is_readonly {
            // Without symbols nothing is known, and nothing was planted by name.
            self.repairs.is_readonly =
                self.compute(breaks::text_is_readonly).await?.unwrap_or(true);
        }
        Ok(!self.repairs.is_readonly)
    }

    /// At a stop: sees to it that the kernel has taken every breakpoint out. `at`
    /// is where the stopped task is to go on, and how it came there.
    pub(super) async fn mend_sites(&mut self, at: Displaced) -> Result<Bounced, Failure> {
        for round in 0.. {
            let stuck = self.find_stuck().await?;
            self.repairs.stuck = stuck;
            if self.repairs.stuck.is_empty() {
                break;
            }
            let known = self.correct_table().await?;
            let sites: Vec<_> = self.repairs.stuck.iter().map(Addr::to_string).collect();
            let sites = sites.join(", ");
            tracing::debug!(sites, round, "the kernel could not take breakpoints out");
            if !known || round == MOST_BOUNCES || !self.may_bounce(at.pc).await? {
                break;
            }
            let trap = self.compute(breaks::entry_trap).await?;
            let Ok(Some(trap)) = trap else {
                return Err(Failure::Other(format!(
                    "the kernel can't take out breakpoints ({sites}), and has no kgdb_breakpoint to repair that"
                )));
            };
            if round == 0 {
                self.say(
                    Level::Info,
                    format!(
                        "the kernel could not take out breakpoints ({sites}): corrected kgdb_break[] and entered the debugger again"
                    ),
                );
            }
            if self.bounce(trap, at).await? == Bounced::Overtaken {
                return Ok(Bounced::Overtaken);
            }
        }
        Ok(Bounced::Back)
    }

    /// Sites whose int3 is in memory although the guest is stopped. Where nothing
    /// gives cause for doubt that is one read.
    async fn find_stuck(&mut self) -> Result<BTreeSet<Addr>, Failure> {
        let mut doubtful = self.repairs.stuck.clone();
        if !self.repairs.early.is_empty() && !self.is_early().await? {
            doubtful.append(&mut self.repairs.early);
        }
        if self.points.planted_count() > 0 {
            let mutex = self.compute(breaks::text_mutex).await?;
            if mutex.is_ok_and(|mutex| mutex.is_held) {
                doubtful.extend(self.points.planted_sites());
            }
        }
        if doubtful.is_empty() {
            return Ok(doubtful);
        }
        // kgdb shows an int3 only where it failed to take it out. A step goes on with
        // the code as an earlier stop had it, which does not tell that.
        if let Some(snapshot) = &mut self.snapshot {
            snapshot.memory.clear();
        }
        self.compute(move |_, memory| {
            let bytes: Vec<_> = doubtful.iter().map(|site| memory.uint(*site, 1)).collect();
            let left = doubtful.iter().zip(bytes).filter(|(_, byte)| *byte == Ok(u64::from(TRAP)));
            left.map(|(site, _)| *site).collect()
        })
        .await
    }

    /// Tells kgdb what it does not know of the stuck sites. Says whether its table
    /// has any of them, and the byte that belongs there.
    async fn correct_table(&mut self) -> Result<bool, Failure> {
        let stuck = self.repairs.stuck.clone();
        let writes = self
            .compute(move |symbols, memory| {
                let table = breaks::table(symbols, memory)?;
                let entries = stuck.iter().filter_map(|site| in_use(&table, *site));
                entries
                    .map(|entry| breaks::correction(symbols, entry))
                    .collect::<Result<Vec<_>, _>>()
            })
            .await?;
        let writes = writes.map_err(|error| Failure::Other(error.to_string()))?;
        let any = !writes.is_empty();
        for (addr, bytes) in writes.into_iter().flatten() {
            self.poke(addr, &bytes).await?;
        }
        Ok(any)
    }

    /// Sends the stopped task through the compiled-in int3 and back to where it
    /// is.
    pub(super) async fn bounce(&mut self, trap: Addr, at: Displaced) -> Result<Bounced, Failure> {
        let task = self.snapshot.as_ref().and_then(|snapshot| snapshot.thread);
        self.write_pc(trap).await?;
        self.repairs.displaced.insert(task, at);
        if let Err(error) = self.wire.ask(Command::Continue).await {
            return Err(self.lost(error));
        }
        let deadline = tokio::time::Instant::now() + PATIENCE;
        loop {
            match tokio::time::timeout_at(deadline, self.wire.event()).await {
                Ok(WireEvent::Stop(stop)) => {
                    if let Some(snapshot) = &mut self.snapshot {
                        snapshot.forget();
                    }
                    if self.put_back(&stop).await?.is_some() {
                        if let Some(snapshot) = &mut self.snapshot {
                            snapshot.thread = thread_of(&stop);
                        }
                        return Ok(Bounced::Back);
                    }
                    // Another CPU came first; this task follows by itself.
                    self.wire.push_front(WireEvent::Stop(stop));
                    break;
                }
                Ok(WireEvent::Console(text)) => self.show_console(text),
                Ok(other) => {
                    self.wire.push_front(other);
                    break;
                }
                Err(_) => {
                    self.say(
                        Level::Warning,
                        "the kernel has not entered the debugger again yet; it is waited for"
                            .into(),
                    );
                    break;
                }
            }
        }
        if !at.trapped {
            self.owed_steps.extend(task);
        }
        let what = self.journey.as_ref().map_or("continue", |journey| journey.plan.word());
        self.forget_stop(what);
        Ok(Bounced::Overtaken)
    }

    /// Whether this stop is the end of a bounce: then its pc is put back, and it
    /// is the stop that the bounce began at.
    pub(super) async fn put_back(
        &mut self,
        stop: &StopReply,
    ) -> Result<Option<Displaced>, Failure> {
        let task = thread_of(stop);
        let Some(&at) = self.repairs.displaced.get(&task) else { return Ok(None) };
        let now = Addr(self.register(self.arch().pc).await?);
        let trap = self.compute(breaks::entry_trap).await?;
        // The stub reports the address after a compiled-in int3.
        if !matches!(trap, Ok(Some(trap)) if trap.offset(1) == now) {
            return Ok(None);
        }
        self.repairs.displaced.remove(&task);
        self.write_pc(at.pc).await?;
        Ok(Some(at))
    }
}

/// The entry of kgdb's table for a site whose int3 is in memory: the one that is
/// set, else the last that was, for a debugger that is gone.
fn in_use(table: &[Entry], site: Addr) -> Option<&Entry> {
    let of_site = || table.iter().filter(|e| e.site == site && e.saved != TRAP);
    let is_set = |entry: &&Entry| matches!(entry.state, State::Set | State::Active);
    of_site().find(is_set).or_else(|| of_site().next_back())
}
