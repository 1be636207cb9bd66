//! Planting and taking out while somebody holds `text_mutex`.
//!
//! kgdb does neither then, because it could be in the middle of somebody else's
//! `__text_poke`, whose mapping it uses. But mostly the holder is only between
//! two of those: a task that is stopped where it changes the kernel's text, or
//! one that sleeps there. Nobody sleeps in `__text_poke`, and no breakpoint is
//! allowed in it, so then the mapping is free, and it takes no more than to
//! show kgdb the mutex as free for the time of one packet, in which nothing else
//! runs.
//!
//! That packet is `?`, at which kgdb takes out every breakpoint that is in
//! memory (`dbg_remove_all_break` in kernel/debug/debug_core.c): it writes the
//! byte its table has saved. All entries but one are shown to it as unused, and
//! that one has the true byte, or an int3 to plant one.

use super::{
    answer::Failure,
    control::SIGTRAP,
    repair::{Bounced, Displaced},
    run::Session,
};
use crate::base::{addr::Addr, memory::Memory};
use crate::kernel::{
    KernelError,
    breaks::{self, Entry, State, TRAP},
    cpus,
    danger::Dangers,
};
use crate::rsp::command::Command;
use crate::symbols::placed::Symbols;

/// How often the guest runs for a moment so that a breakpoint can be planted. One
/// that waits for the stopped CPU, whose interrupts are off, does not get on by it.
const MOST_TRIES: usize = 30;

/// Who holds `text_mutex`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Holder {
    /// The task that is stopped and talked to.
    Stopped,
    /// One on another CPU.
    Running,
    /// One on none.
    Sleeping,
}

/// Bytes, and where they are to be written.
type Writes = Vec<(Addr, Vec<u8>)>;

impl Session {
    /// Takes a site out at this stop, whose int3 is still in memory.
    pub(super) async fn take_out_here(&mut self, site: Addr) -> Result<(), Failure> {
        self.poke_here(site, false).await?;
        self.repairs.stuck.remove(&site);
        self.points.lifted(site);
        Ok(())
    }

    /// Plants a site at this stop; its int3 is in memory from now on.
    pub(super) async fn plant_here(&mut self, site: Addr) -> Result<(), Failure> {
        self.poke_here(site, true).await?;
        self.repairs.stuck.insert(site);
        self.points.planted(site);
        Ok(())
    }

    async fn poke_here(&mut self, site: Addr, plant: bool) -> Result<(), Failure> {
        let holder = self.holder_of_text().await?;
        if !matches!(holder, Some(Holder::Stopped | Holder::Sleeping)) {
            return Err(Failure::Other(format!(
                "the guest was stopped while another CPU changes the kernel's text (text_mutex is held); the breakpoint at {site} has to wait until that is done"
            )));
        }
        let found = self
            .compute(move |symbols, memory| writes(symbols, memory, site, plant))
            .await?
            .map_err(|error| Failure::Other(error.to_string()))?;
        let Some((before, after)) = found else {
            return Err(Failure::Other(format!(
                "kgdb's table has no entry for the breakpoint at {site}, or no room for one"
            )));
        };
        tracing::debug!(%site, plant, "poking while text_mutex is held");
        for (addr, bytes) in before {
            self.poke(addr, &bytes).await?;
        }
        if let Err(error) = self.wire.ask(Command::HaltReason).await {
            return Err(self.lost(error));
        }
        // It takes hardware breakpoints away too.
        self.points.hardware.emptied();
        for (addr, bytes) in after {
            self.poke(addr, &bytes).await?;
        }
        if let Some(snapshot) = &mut self.snapshot {
            snapshot.memory.clear();
        }
        let byte = self.compute(move |_, memory| memory.uint(site, 1)).await?;
        match byte == Ok(u64::from(TRAP)) {
            is_there if is_there == plant => Ok(()),
            _ => Err(Failure::Other(format!(
                "the kernel did not change its text at {site}, for a breakpoint there"
            ))),
        }
    }

    /// Plants what could not be planted because another CPU changes the kernel's
    /// text: the guest runs for moments until that is done. Says whether the stop
    /// is still there; else another one is the next event.
    pub(super) async fn plant_late(&mut self, pc: Addr) -> Result<bool, Failure> {
        for round in 0..MOST_TRIES {
            let late = self.points.visible().any(|addr| self.repairs.late.contains(&addr));
            if !late || !self.may_bounce(pc).await? {
                break;
            }
            let Ok(Some(trap)) = self.compute(breaks::entry_trap).await? else { break };
            tracing::debug!(round, late = ?self.repairs.late, "run for a moment, to plant these");
            let at = Displaced { pc, trapped: false };
            if self.bounce(trap, at).await? == Bounced::Overtaken {
                return Ok(false);
            }
            self.reconcile().await?;
        }
        Ok(true)
    }

    /// Whether letting the guest run for a moment is safe and may help.
    pub(super) async fn may_bounce(&mut self, pc: Addr) -> Result<bool, Failure> {
        let trapped = self.snapshot.as_ref().is_some_and(|stop| stop.signal == SIGTRAP);
        if !trapped || Dangers::is_entry(&self.guest_symbols(), pc) {
            return Ok(false);
        }
        Ok(!matches!(self.holder_of_text().await?, Some(Holder::Stopped | Holder::Sleeping)))
    }

    /// Who holds `text_mutex`; `None` when nobody does or it can't be told.
    async fn holder_of_text(&mut self) -> Result<Option<Holder>, Failure> {
        let found = self.compute(|symbols, memory| {
            let mutex = breaks::text_mutex(symbols, memory)?;
            let Some(holder) = mutex.holder else { return Ok(None) };
            let active = cpus::active(symbols, memory)?;
            let stops = cpus::stops(symbols, memory, &cpus::online(symbols, memory)?)?;
            let here = stops.iter().find(|stop| stop.task == Some(holder));
            Ok::<_, KernelError>(Some(match here {
                Some(stop) if stop.cpu == active => Holder::Stopped,
                Some(_) => Holder::Running,
                // It may be on a CPU that did not answer.
                None if stops.iter().any(|stop| !stop.held) => Holder::Running,
                None => Holder::Sleeping,
            }))
        });
        Ok(found.await?.ok().flatten())
    }

    /// Writes a few bytes of kgdb's or the kernel's own data.
    pub(super) async fn poke(&mut self, addr: Addr, bytes: &[u8]) -> Result<(), Failure> {
        let command = Command::write_memory(addr, bytes)
            .map_err(|error| Failure::Other(error.to_string()))?;
        match self.wire.ask(command).await {
            Ok(_) => {
                if let Some(snapshot) = &mut self.snapshot {
                    snapshot.memory.insert(addr, bytes);
                }
                Ok(())
            }
            Err(error) => Err(self.lost(error)),
        }
    }
}

/// What is to be written before `?`, and after it; `None` without an entry.
fn writes(
    symbols: &Symbols,
    memory: &dyn Memory,
    site: Addr,
    plant: bool,
) -> Result<Option<(Writes, Writes)>, KernelError> {
    // All are tried, so that one round reads what they need.
    let mutex = breaks::text_mutex(symbols, memory);
    let byte = memory.uint(site, 1);
    let table = breaks::table(symbols, memory)?;
    let (mutex, byte) = (mutex?, byte?);
    let used = |entry: &&Entry| entry.state != State::Free;
    let own = table.iter().filter(used).find(|entry| entry.site == site);
    let own = match own {
        None if plant => breaks::unused(symbols, &table)?,
        own => own.copied(),
    };
    let Some(own) = own else { return Ok(None) };
    let (true_byte, written) = if plant { (byte as u8, TRAP) } else { (own.saved, own.saved) };
    let mut before = Writes::new();
    let mut after = vec![(mutex.word, mutex.now)];
    for entry in table.iter().filter(used).filter(|entry| entry.addr != own.addr) {
        before.push(breaks::with_state(symbols, entry, State::Free)?);
        after.push(breaks::with_state(symbols, entry, entry.state)?);
    }
    before.extend(breaks::entry_of(symbols, &own, site, written)?);
    if plant {
        after.extend(breaks::entry_of(symbols, &own, site, true_byte)?);
    }
    // Last, so that it is shown as free for as short as can be.
    before.push((mutex.word, mutex.free));
    Ok(Some((before, after)))
}
