//! Other CPUs, when the guest is left: those that have met a breakpoint or a debug
//! register have to come through the debugger before, or they would stop the
//! guest with nobody there.

use super::{
    answer::Failure,
    control::SIGTRAP,
    repair::{Bounced, Displaced, MOST_BOUNCES, PATIENCE},
    request::Level,
    run::Session,
    slots::Entry,
    wire::WireEvent,
};
use crate::base::{addr::Addr, memory::Memory};
use crate::kernel::{KernelError, breaks, cpus};
use crate::rsp::command::Command;
use crate::symbols::placed::Symbols;
use crate::unwind::trapped;
use std::collections::BTreeSet;

/// How often a CPU that did not answer is waited for.
const MOST_SILENT: usize = 5;

/// How often a task is waited for whose step was overtaken. One that has left the
/// kernel meanwhile has lost its step, and never comes.
const MOST_OWED: usize = 10;

impl Session {
    /// Before the guest is left: lets CPUs pass that met a breakpoint together
    /// with the one that stopped, and wait for their turn in the debugger. They
    /// would stop the guest with nobody there: the kernel passes over a
    /// breakpoint that was taken out (`kgdb_skipexception` in
    /// arch/x86/kernel/kgdb.c), but `D` makes it forget that there was one.
    pub(super) async fn let_others_pass(&mut self) -> Result<(), Failure> {
        let trapped = self.snapshot.as_ref().is_some_and(|stop| stop.signal == SIGTRAP);
        let nothing_met = self.points.planted_count() == 0 && self.owed_steps.is_empty();
        if !trapped || nothing_met {
            return Ok(());
        }
        self.pass_others().await
    }

    /// Lets CPUs pass that wait for their turn in the debugger, or are on their
    /// way to it, until none does. The task that the guest is stopped in then may
    /// be another one.
    ///
    /// A CPU that came by a debug exception gets its old DR7 back as it leaves that
    /// (`local_db_restore` in arch/x86/include/asm/debugreg.h). So each goes by way
    /// of the compiled-in int3, after which it has what kgdb has.
    pub(super) async fn pass_others(&mut self) -> Result<(), Failure> {
        let sites = self.points.planted_sites();
        // Whether the stopped task has just been through the compiled-in int3.
        let mut through = false;
        for round in 0..MOST_BOUNCES {
            let (others, silent) = self.others_on_the_way().await?;
            // Of one that did not answer nobody knows. Each try takes the kernel a
            // second when it never does.
            let others = others + if round < MOST_SILENT { silent } else { 0 };
            let owed = if round < MOST_OWED { self.owed_steps.len() } else { 0 };
            let pc = self.pc()?;
            let armed = !through && self.points.hardware.used && self.entered_by_debug(pc).await?;
            if others == 0 && owed == 0 && self.repairs.displaced.is_empty() && !armed {
                return Ok(());
            }
            let Ok(Some(trap)) = self.compute(breaks::entry_trap).await? else { return Ok(()) };
            tracing::debug!(round, others, owed, armed, through, "others pass before we leave");
            self.lift_all().await?;
            // A task that was overtaken on its way through the compiled-in int3 comes
            // for sure. Of the others nobody knows: one in the handler of a debug
            // exception may have had its turn, and be on its way out.
            if through && !armed && !self.repairs.displaced.is_empty() {
                if let Err(error) = self.wire.ask(Command::Continue).await {
                    return Err(self.lost(error));
                }
                through = self.take_over(&sites).await?;
                continue;
            }
            let at = Displaced { pc, trapped: false };
            through = match self.bounce(trap, at).await? {
                Bounced::Back => {
                    self.forget_owed_step();
                    true
                }
                Bounced::Overtaken => self.take_over(&sites).await?,
            };
        }
        self.say(
            Level::Warning,
            "another CPU is at a breakpoint and could not pass: it may stop the guest once more; connect again then".into(),
        );
        Ok(())
    }

    /// How many other CPUs wait for their turn in the debugger, or were held by the
    /// NMI on their way from a trap (before they came as far, or after their turn)
    /// or in the middle of a step. And how many did not answer the NMI.
    async fn others_on_the_way(&mut self) -> Result<(usize, usize), Failure> {
        let sites: BTreeSet<Addr> = self.points.ever_planted().collect();
        let is_on_the_way = move |symbols: &Symbols, memory: &dyn Memory, stop: &cpus::CpuStop| {
            let Some(saved) = stop.registers else { return Ok(false) };
            let registers = cpus::registers(symbols, memory, saved)?;
            let cpu = stop.cpu;
            Ok::<_, KernelError>(trapped::is_on_the_way(symbols, memory, &registers, cpu, &sites))
        };
        let found = self
            .compute(move |symbols, memory| {
                let online = cpus::online(symbols, memory)?;
                let (active, stops) =
                    (cpus::active(symbols, memory), cpus::stops(symbols, memory, &online));
                let waiting = cpus::waiting(symbols, memory, &online)?;
                let (active, stops) = (active?, stops?);
                let others = stops.iter().filter(|stop| stop.cpu != active);
                // All are tried, so that one round reads what all need.
                let silent = others.clone().filter(|stop| !stop.held).count();
                let there: Vec<_> = others
                    .map(|stop| match waiting.contains(&stop.cpu) {
                        true => Ok(true),
                        false => is_on_the_way(symbols, memory, stop),
                    })
                    .collect();
                let there = there.into_iter().collect::<Result<Vec<_>, KernelError>>()?;
                let there = there.into_iter().filter(|there| *there).count();
                Ok::<_, KernelError>((there, silent))
            })
            .await?;
        Ok(found.unwrap_or_else(|error| {
            tracing::warn!(%error, "whether other CPUs are at breakpoints is not known");
            (0, 0)
        }))
    }

    /// Takes the stop of another CPU while the guest is being left: its pc is put
    /// right. Says whether it has been through the compiled-in int3.
    pub(super) async fn take_over(&mut self, lifted: &[Addr]) -> Result<bool, Failure> {
        let deadline = tokio::time::Instant::now() + PATIENCE;
        let stop = loop {
            match tokio::time::timeout_at(deadline, self.wire.event()).await {
                Ok(WireEvent::Stop(stop)) => break stop,
                Ok(WireEvent::Console(text)) => self.show_console(text),
                Ok(other) => {
                    self.wire.push_front(other);
                    return Err(Failure::Running);
                }
                Err(_) => return Err(Failure::Running),
            }
        };
        self.new_snapshot(&stop);
        self.forget_owed_step();
        self.points.hardware.entry = Entry::Unknown;
        let pc = Addr(self.register(self.arch().pc).await?);
        if self.put_back(&stop).await?.is_some() {
            return Ok(true);
        }
        let skid = pc.back(self.arch().breakpoint_skid);
        if lifted.contains(&skid) {
            self.write_pc(skid).await?;
        }
        Ok(false)
    }

    /// The stopped task owes no step any more: its next resume clears the flag.
    fn forget_owed_step(&mut self) {
        if let Some(task) = self.snapshot.as_ref().and_then(|stop| stop.thread) {
            self.owed_steps.remove(&task);
        }
    }
}
