//! Taking out breakpoints that the kernel can't take out by itself, because
//! they were planted before its text became read-only.

use super::{answer::Failure, control::SIGTRAP, request::Level, run::Session, wire::WireEvent};
use crate::arch::Registers;
use crate::base::{addr::Addr, memory::Memory};
use crate::kernel::{breaks, cpus};
use crate::rsp::{command::Command, reply::StopReply, thread::ThreadId};
use crate::symbols::placed::Symbols;
use std::{collections::BTreeSet, time::Duration};

/// How long the kernel may take to enter the debugger again.
const PATIENCE: Duration = Duration::from_secs(5);

/// How often other CPUs are given the chance to pass: up to ten times were seen
/// with two emulated CPUs. Once takes some ten milliseconds.
const MOST_BOUNCES: usize = 100;

/// Breakpoints planted at boot, and what their repair needs to remember.
#[derive(Debug, Default)]
pub struct Early {
    /// Sites planted while the text was still writable.
    pub sites: BTreeSet<Addr>,
    /// Whether the text of this boot is known to be read-only.
    pub over: bool,
    /// A task that was sent to the compiled-in int3 while another one stopped
    /// first: where its pc belongs.
    displaced: Option<(Option<ThreadId>, Addr)>,
}

impl Session {
    /// Whether what is planted now is planted into writable text.
    pub(super) async fn is_early(&mut self) -> Result<bool, Failure> {
        if !self.early.over {
            // Without symbols nothing is known, and nothing was planted by name.
            self.early.over = self.compute(breaks::text_is_readonly).await?.unwrap_or(true);
        }
        Ok(!self.early.over)
    }

    /// At a stop: has early breakpoints taken out, when the time has come.
    /// `pc` is where the stopped task is to go on.
    pub(super) async fn repair_early(&mut self, pc: Addr) -> Result<(), Failure> {
        if self.early.sites.is_empty() || self.is_early().await? {
            return Ok(());
        }
        let mut stale = Vec::new();
        for site in std::mem::take(&mut self.early.sites) {
            // The stub shows an int3 only where it failed to take it out.
            let byte = self.compute(move |_, memory| memory.uint(site, 1)).await?;
            if byte == Ok(0xcc) {
                stale.push(site);
            }
        }
        if stale.is_empty() {
            return Ok(());
        }
        for &site in &stale {
            let found = self
                .compute(move |symbols, memory| match breaks::entry(symbols, memory, site)? {
                    Some(entry) => breaks::correction(symbols, entry),
                    None => Ok(Vec::new()),
                })
                .await?;
            for (addr, bytes) in found.map_err(|error| Failure::Other(error.to_string()))? {
                let command = Command::write_memory(addr, &bytes)
                    .map_err(|error| Failure::Other(error.to_string()))?;
                if let Err(error) = self.wire.ask(command).await {
                    return Err(self.lost(error));
                }
            }
        }
        let trap = self.compute(breaks::entry_trap).await?;
        let Ok(Some(trap)) = trap else {
            return Err(Failure::Other(
                "the kernel can't take out a breakpoint that was planted at boot, and has no kgdb_breakpoint to repair that".into(),
            ));
        };
        let sites: Vec<_> = stale.iter().map(Addr::to_string).collect();
        self.say(
            Level::Info,
            format!(
                "breakpoints planted at boot were in the way ({}): corrected kgdb_break[] and entered the debugger again",
                sites.join(", ")
            ),
        );
        self.bounce(trap, pc).await
    }

    /// Before the guest is left: lets CPUs pass that met a breakpoint together
    /// with the one that stopped, and wait for their turn in the debugger. They
    /// would stop the guest with nobody there: the kernel passes over a
    /// breakpoint that was taken out (`kgdb_skipexception` in
    /// arch/x86/kernel/kgdb.c), but `D` makes it forget that there was one.
    pub(super) async fn let_others_pass(&mut self) -> Result<(), Failure> {
        let trapped = self.snapshot.as_ref().is_some_and(|stop| stop.signal == SIGTRAP);
        if !trapped || self.points.planted_count() == 0 {
            return Ok(());
        }
        let others_wait = |symbols: &Symbols, memory: &dyn Memory| {
            let cpus = cpus::online(symbols, memory)?;
            cpus::others_wait(symbols, memory, &cpus)
        };
        let pc = self.pc()?;
        // Whoever comes first takes the debugger: ours may be back before the
        // other one had its turn.
        for _ in 0..MOST_BOUNCES {
            let Ok(true) = self.compute(others_wait).await? else { return Ok(()) };
            let Ok(Some(trap)) = self.compute(breaks::entry_trap).await? else { return Ok(()) };
            tracing::debug!("another CPU is at a breakpoint: it passes before we leave");
            self.lift_all().await?;
            self.bounce(trap, pc).await?;
            if self.early.displaced.is_some() {
                // Another CPU stopped for something else.
                return Ok(());
            }
        }
        self.say(
            Level::Warning,
            "another CPU is at a breakpoint and could not pass: it may stop the guest once more; connect again then".into(),
        );
        Ok(())
    }

    /// Sends the stopped task through the compiled-in int3 and back to `pc`.
    async fn bounce(&mut self, trap: Addr, pc: Addr) -> Result<(), Failure> {
        let task = self.snapshot.as_ref().and_then(|snapshot| snapshot.thread);
        self.write_pc(trap).await?;
        self.early.displaced = Some((task, pc));
        if let Err(error) = self.wire.ask(Command::Continue).await {
            return Err(self.lost(error));
        }
        let deadline = tokio::time::Instant::now() + PATIENCE;
        loop {
            match tokio::time::timeout_at(deadline, self.wire.event()).await {
                Ok(WireEvent::Stop(stop)) => {
                    if let Some(snapshot) = &mut self.snapshot {
                        snapshot.registers = Registers::unknown(snapshot.registers.arch);
                        snapshot.memory.clear();
                    }
                    if !self.put_back(&stop).await? {
                        // Another CPU came first; this task follows by itself.
                        self.wire.push_front(WireEvent::Stop(stop));
                    }
                    return Ok(());
                }
                Ok(WireEvent::Console(text)) => self.show_console(text),
                Ok(other) => {
                    self.wire.push_front(other);
                    return Err(Failure::Running);
                }
                Err(_) => {
                    return Err(Failure::Other(
                        "the kernel did not enter the debugger again".into(),
                    ));
                }
            }
        }
    }

    /// Whether this stop is the end of a bounce; then its pc is put back.
    pub(super) async fn put_back(&mut self, stop: &StopReply) -> Result<bool, Failure> {
        let Some((task, pc)) = self.early.displaced else { return Ok(false) };
        if super::step::thread_of(stop) != task {
            return Ok(false);
        }
        let now = Addr(self.register(self.arch().pc).await?);
        let trap = self.compute(breaks::entry_trap).await?;
        // The stub reports the address after a compiled-in int3.
        if !matches!(trap, Ok(Some(trap)) if trap.offset(1) == now) {
            return Ok(false);
        }
        self.early.displaced = None;
        self.write_pc(pc).await?;
        Ok(true)
    }
}
