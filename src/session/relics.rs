//! What an earlier session left in the guest: a stop at a breakpoint that
//! nobody is responsible for any more.

use super::{answer::Failure, control::SIGTRAP, request::Level, run::Session, view::StopReason};
use crate::base::addr::Addr;
use crate::kernel::breaks::{self, TRAP};

/// The trap flag, which the stub leaves set after a step (Intel SDM volume 1,
/// 3.4.3.3).
const TRAP_FLAG: u64 = 1 << 8;

impl Session {
    /// Puts the pc back onto the instruction, when the first stop on a link is
    /// at a breakpoint of a session that is gone: its debugger was killed, or
    /// the link was lost. The stub reports the address after its int3; to go on
    /// from there would execute the rest of an instruction.
    ///
    /// The stub's table has forgotten that the breakpoint was planted (`?` does
    /// that), but it still has the address.
    pub(super) async fn mend_pc(&mut self) -> Result<(), Failure> {
        // A hardware breakpoint of another debugger stops at its instruction, so
        // there must be a reason to believe in one of software.
        let Some(skid) = self.pc_after_trap().await? else { return Ok(()) };
        let known = self.points.was_planted(skid)
            || self.was_journaled(skid)
            || self
                .compute(breaks::table)
                .await?
                .is_ok_and(|table| table.iter().any(|entry| entry.site == skid));
        if !known {
            return Ok(());
        }
        self.write_pc(skid).await?;
        let at = skid;
        let register = self.arch().pc;
        if let Some(stop) = &mut self.stop {
            stop.registers.set(register, Some(at.0));
            stop.frame_registers.set(register, Some(at.0));
        }
        self.say(Level::Info, format!("stopped at {at}, a breakpoint of an earlier session"));
        Ok(())
    }

    /// At a stop of a running session that nothing explains: when it is a
    /// breakpoint that is no more, puts the pc back onto the instruction, and
    /// says whether it did.
    ///
    /// It is a CPU that met the breakpoint together with another one, and had
    /// to wait while the breakpoint was taken out. The kernel rewinds such a one
    /// by itself (`kgdb_skipexception` in arch/x86/kernel/kgdb.c), but not after
    /// `?`, which makes it forget that the breakpoint ever was.
    pub(super) async fn rewind_stale_trap(&mut self) -> Result<bool, Failure> {
        // `?` or `D` came before, so no hardware breakpoint is left that could
        // stop here too, unless a DR7 came back.
        let Some(skid) = self.pc_after_trap().await? else { return Ok(false) };
        if self.points.hardware.used && !self.points.was_ever_planted(skid) {
            // More likely a watchpoint that is no more: its trap is after a
            // whole instruction.
            return Ok(false);
        }
        // Once is enough, unless the CPU executes what is not in memory: seen on
        // an emulator that kept a translation of code which had changed.
        let here = (self.snapshot.as_ref().and_then(|snapshot| snapshot.thread), skid);
        let before = self.rewound.replace(here);
        if before == Some(here) {
            self.say(
                Level::Warning,
                format!("a CPU keeps trapping at {skid}, where no breakpoint is in memory; the pc is put before it"),
            );
        }
        self.write_pc(skid).await?;
        Ok(before != Some(here))
    }

    /// Where the int3 was, when the pc looks like the address after one: a trap
    /// that was no step, and no int3 that is compiled in, after which the pc
    /// belongs.
    async fn pc_after_trap(&mut self) -> Result<Option<Addr>, Failure> {
        let (Some(snapshot), Some(flags)) = (&self.snapshot, self.arch().reg("eflags")) else {
            return Ok(None);
        };
        if snapshot.signal != SIGTRAP || self.register(flags).await? & TRAP_FLAG != 0 {
            return Ok(None);
        }
        let pc = self.pc()?;
        let skid = pc.back(self.arch().breakpoint_skid);
        let before = self.compute(move |_, memory| memory.bytes(skid, 1)).await?;
        Ok((skid != pc && before.is_ok_and(|bytes| bytes != [TRAP])).then_some(skid))
    }

    /// Names the stop after the user's breakpoint there, once its place is
    /// known again. One that was counted before the guest was lost sight of is not
    /// counted again.
    pub(super) fn name_found_breakpoint(&mut self) {
        let found = matches!(
            &self.stop,
            Some(stop) if matches!(stop.reason, StopReason::Found(_) | StopReason::Signal(_))
                && stop.signal == Some(SIGTRAP)
        );
        let Ok(pc) = self.pc() else { return };
        let counted = self.silences.stopped_at.take() == Some(pc);
        if !found {
            return;
        }
        let number = match counted {
            true => self.points.wish_at(pc).map(|wish| wish.number),
            false => self.points.hit(pc).map(|(number, _)| number),
        };
        if let (Some(number), Some(stop)) = (number, &mut self.stop) {
            stop.reason = StopReason::Breakpoint(number);
        }
    }
}
