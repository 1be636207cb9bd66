//! Getting a task off a breakpoint that stays where it is: what the instruction
//! there does is done from outside.

use super::{
    answer::Failure,
    run::Session,
    step::{Journey, Leg},
};
use crate::arch::{
    Reg, Registers,
    emulate::{Effect, Plain},
    insn::MAX_LEN,
};
use crate::base::{
    addr::Addr,
    memory::{Memory, Span},
};
use crate::kernel::{KernelError, cpus};
use crate::rsp::command::Command;
use crate::symbols::{placed::Symbols, types::pt_regs::PtRegs};
use crate::target::registers;

/// Registers that are asked for one by one; more cost less where they are saved.
const MOST_ASKED: usize = 3;

impl Session {
    /// Does the instruction at `pc`, where the stopped task is. Says whether it
    /// could; if not, nothing has changed.
    pub(super) async fn emulate(&mut self, pc: Addr) -> Result<bool, Failure> {
        let code = self.site_code(pc).await?;
        let Some(plain) = Plain::new(self.arch(), pc, &code) else { return Ok(false) };
        if plain.uses_memory() && self.points.hardware.watches() {
            // What is done from outside no debug register sees.
            return Ok(false);
        }
        let mut saved = None;
        if plain.reads().len() > MOST_ASKED {
            saved = self.saved(plain.reads()).await?;
            let known = saved.as_ref().map(Saved::registers);
            if let (Some(known), Some(snapshot)) = (known, &mut self.snapshot) {
                for &register in plain.reads() {
                    snapshot.registers.set(register, known.get(register));
                }
            }
        }
        for &register in plain.reads() {
            self.register(register).await?;
        }
        let Some(snapshot) = &self.snapshot else { return Err(Failure::Running) };
        let registers = snapshot.registers.clone();
        let effect = self.compute(move |_, memory| plain.effect(&registers, memory)).await?;
        let Ok(Some(effect)) = effect else { return Ok(false) };
        tracing::debug!(%pc, ?effect, "done from outside");
        if !effect.repeats {
            let changed: Vec<Reg> =
                effect.registers.iter().map(|(register, _)| *register).collect();
            if !saved.as_ref().is_some_and(|saved| saved.has(&changed)) {
                saved = self.saved(&changed).await?;
            }
            if saved.is_none() {
                return Ok(false);
            }
        }
        if let Some((addr, bytes)) = &effect.store
            && !self.store(*addr, bytes).await?
        {
            return Ok(false);
        }
        if !effect.repeats {
            return match saved {
                Some(saved) => self.write_saved(&saved, &effect).await,
                None => Ok(false),
            };
        }
        for &(register, value) in &effect.registers {
            let command = registers::write(self.arch(), register, value)
                .map_err(|error| Failure::Other(error.to_string()))?;
            if let Err(error) = self.wire.ask(command).await {
                return Err(self.lost(error));
            }
        }
        self.write_pc(effect.next).await?;
        Ok(true)
    }

    /// Whether the task that is stepped waits on another CPU for its turn in the
    /// debugger. It may be at the very site that this one stands at, and would
    /// be sent on unseen if that were taken out.
    pub(super) async fn is_waited_for(&mut self) -> Result<bool, Failure> {
        let Some(Journey { task: Some(task), leg, .. }) = &self.journey else { return Ok(false) };
        let here = self.snapshot.as_ref().and_then(|snapshot| snapshot.thread);
        if here == Some(*task) || matches!(leg, Leg::Free | Leg::Single) {
            return Ok(false);
        }
        let task = task.0;
        let found = self
            .compute(move |symbols: &Symbols, memory: &dyn Memory| {
                let waiting = cpus::waiting_tasks(symbols, memory)?;
                let pids = waiting.iter().map(|addr| Ok(cpus::task(symbols, memory, *addr)?.pid));
                Ok::<_, KernelError>(pids.collect::<Result<Vec<_>, KernelError>>()?.contains(&task))
            })
            .await?;
        Ok(found.unwrap_or(false))
    }

    /// The code at a site, which is the same for as long as it is planted.
    async fn site_code(&mut self, pc: Addr) -> Result<Vec<u8>, Failure> {
        if let Some(code) = self.site_codes.get(&pc) {
            return Ok(code.clone());
        }
        let read = self
            .compute(move |_, memory| {
                // Near the end of what can be read it may be shorter.
                let left = (0x1000 - pc.0 % 0x1000).min(MAX_LEN as u64) as usize;
                memory.bytes(pc, MAX_LEN).or_else(|gap| match gap.is_missing() {
                    true => Err(gap),
                    false => memory.bytes(pc, left),
                })
            })
            .await?;
        let code = read.unwrap_or_default();
        if self.points.temporary.contains(&pc) {
            self.site_codes.insert(pc, code.clone());
        }
        Ok(code)
    }

    /// Stores bytes; not where the guest would not.
    async fn store(&mut self, addr: Addr, bytes: &[u8]) -> Result<bool, Failure> {
        let command = Command::write_memory(addr, bytes)
            .map_err(|error| Failure::Other(error.to_string()))?;
        match self.wire.ask(command).await {
            Ok(_) => Ok(true),
            Err(error) if error.errno().is_some() => Ok(false),
            Err(error) => Err(self.lost(error)),
        }
    }

    /// These of the stopped task's registers and its pc where they are saved, which
    /// is what the stub shows and changes (`ks->linux_regs`). Read anew: they may
    /// have been changed since. `None` when it is not sure that these are the ones.
    async fn saved(&mut self, registers: &[Reg]) -> Result<Option<Saved>, Failure> {
        let found = self
            .compute(|symbols: &Symbols, memory: &dyn Memory| {
                let active = cpus::active(symbols, memory)?;
                Ok::<_, KernelError>(cpus::stops(symbols, memory, &[active])?.into_iter().next())
            })
            .await?;
        let Some(at) = found.ok().flatten().and_then(|stop| stop.registers) else {
            return Ok(None);
        };
        let Some(layout) = self.guest_symbols().pt_regs(self.arch()) else { return Ok(None) };
        let wanted = registers.iter().copied().chain([self.arch().pc]);
        let Some(part) = layout.part(wanted) else { return Ok(None) };
        let span = Span::new(at.offset(part.start as u64), part.len() as u64);
        let Some(bytes) = self.read(span).await? else { return Ok(None) };
        let saved = Saved { at, start: part.start, bytes, layout };
        let (pc, skid) = (self.pc()?, self.arch().breakpoint_skid);
        // The pc may not be put right yet.
        let there = saved.registers().pc();
        let sure = there.is_some_and(|there| there == pc || there == pc.offset(skid));
        Ok(sure.then_some(saved))
    }

    /// Changes registers all at once, where they are saved: one write, so that
    /// there is no moment at which half of the instruction is done, and the only
    /// way to change the stack pointer (`dbg_set_reg` ignores it).
    async fn write_saved(&mut self, saved: &Saved, effect: &Effect) -> Result<bool, Failure> {
        let changed = effect.registers.iter().copied().chain([(self.arch().pc, effect.next.0)]);
        let mut after = saved.bytes.clone();
        let (mut first, mut last) = (after.len(), 0);
        for (register, value) in changed.clone() {
            let Some((offset, len)) = saved.layout.place(register) else { return Ok(false) };
            let Some(offset) = offset.checked_sub(saved.start) else { return Ok(false) };
            let Some(slot) = after.get_mut(offset..offset + len) else { return Ok(false) };
            slot.copy_from_slice(&value.to_le_bytes()[..len]);
            (first, last) = (first.min(offset), last.max(offset + len));
        }
        let at = saved.at.offset((saved.start + first) as u64);
        if !self.store(at, &after[first..last]).await? {
            return Ok(false);
        }
        if let Some(snapshot) = &mut self.snapshot {
            for (register, value) in changed {
                snapshot.registers.set(register, Some(value));
            }
        }
        Ok(true)
    }
}

/// A part of a `pt_regs` of the guest.
struct Saved {
    /// Where the whole begins.
    at: Addr,
    /// Where in it the part begins.
    start: usize,
    bytes: Vec<u8>,
    layout: PtRegs,
}

impl Saved {
    fn registers(&self) -> Registers {
        self.layout.decode(self.start, &self.bytes)
    }

    /// Whether all of these are in it.
    fn has(&self, registers: &[Reg]) -> bool {
        let known = self.registers();
        registers.iter().all(|register| known.get(*register).is_some())
    }
}
