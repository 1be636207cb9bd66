//! What an earlier session left in the guest: a stop at a breakpoint that
//! nobody is responsible for any more.

use super::{answer::Failure, control::SIGTRAP, request::Level, run::Session, view::StopReason};
use crate::kernel::breaks;

/// The trap flag, which the stub leaves set after a step (Intel SDM volume 1,
/// 3.4.3.3).
const TRAP_FLAG: u64 = 1 << 8;

/// `int3`.
const TRAP: u8 = 0xcc;

impl Session {
    /// Puts the pc back onto the instruction, when the first stop on a link is
    /// at a breakpoint of a session that is gone: its debugger was killed, or
    /// the link was lost. The stub reports the address after its int3; to go on
    /// from there would execute the rest of an instruction.
    ///
    /// The stub's table has forgotten that the breakpoint was planted (`?` does
    /// that), but it still has the address.
    pub(super) async fn mend_pc(&mut self) -> Result<(), Failure> {
        let Some(snapshot) = self.snapshot.as_ref().filter(|s| s.signal == SIGTRAP) else {
            return Ok(());
        };
        let stepped = snapshot.registers.by_name("eflags").is_none_or(|f| f & TRAP_FLAG != 0);
        let pc = self.pc()?;
        let skid = pc.back(self.arch().breakpoint_skid);
        if stepped || pc == skid {
            return Ok(());
        }
        // An int3 that is compiled in is where the pc belongs after.
        let compiled_in = self.compute(move |_, memory| memory.bytes(skid, 1)).await?;
        if compiled_in.is_ok_and(|bytes| bytes == [TRAP]) {
            return Ok(());
        }
        let known = self.points.was_planted(skid)
            || self
                .compute(move |symbols, memory| breaks::entry(symbols, memory, skid))
                .await?
                .is_ok_and(|entry| entry.is_some());
        if !known {
            return Ok(());
        }
        self.write_pc(skid).await?;
        let register = self.arch().pc;
        if let Some(stop) = &mut self.stop {
            stop.registers.set(register, Some(skid.0));
            stop.frame_registers.set(register, Some(skid.0));
        }
        self.say(Level::Info, format!("stopped at {skid}, a breakpoint of an earlier session"));
        Ok(())
    }

    /// Names the stop after the user's breakpoint there, once its place is
    /// known again.
    pub(super) fn name_found_breakpoint(&mut self) {
        let found = matches!(
            &self.stop,
            Some(stop) if matches!(stop.reason, StopReason::Found(_) | StopReason::Signal(_))
                && stop.signal == Some(SIGTRAP)
        );
        let Ok(pc) = self.pc() else { return };
        if found
            && let Some((number, _)) = self.points.hit(pc)
            && let Some(stop) = &mut self.stop
        {
            stop.reason = StopReason::Breakpoint(number);
        }
    }
}
