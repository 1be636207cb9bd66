//! The registers of a stop. On a screen they are all read at once. A script that
//! steps on without looking at them needs the pc and one or two more, and `g` is
//! the dearest packet there is (320 bytes; `p` is 28): there it is sent once
//! somebody asks for what needs it.

use super::{
    answer::Failure,
    request::{Level, Request},
    run::Session,
};
use crate::arch::Registers;
use crate::rsp::{command::Command, reply::Reply};
use crate::target::registers;

impl Session {
    /// Whether all registers are read at each stop, whoever looks at it. A record
    /// is to have them for its readers, and is read as it was written.
    pub(super) fn reads_registers_at_once(&mut self) -> bool {
        let recorded = self.recorder.is_some() || self.wire.recorder().is_some();
        self.options.eager || recorded || self.replay.is_some()
    }

    /// Reads all registers of what the stub stopped in, unless they are known. What
    /// is shown, and was made of the pc alone, is made anew.
    pub(super) async fn know_registers(&mut self) -> Result<(), Failure> {
        let snapshot = self.snapshot.as_ref().ok_or(Failure::Running)?;
        if snapshot.has_registers {
            return Ok(());
        }
        let registers = self.read_all_registers().await?;
        if let Some(stop) = self.stop.as_mut().filter(|_| self.state.is_stopped()) {
            stop.frame_registers = registers.clone();
            stop.registers = registers;
            self.panes.stack = None;
            self.first_frame();
        }
        Ok(())
    }

    /// `g`. A pc that was put right is not taken from it.
    pub(super) async fn read_all_registers(&mut self) -> Result<Registers, Failure> {
        let arch = self.arch();
        let bytes = match self.wire.ask(Command::ReadRegisters).await {
            Ok(Reply::Registers(bytes)) => bytes,
            Ok(_) => return Err(Failure::Other("the stub sent no registers".into())),
            Err(error) => return Err(self.lost(error)),
        };
        let mut registers = registers::from_reply(arch, &bytes).unwrap_or_else(|error| {
            self.say(Level::Warning, error.to_string());
            Registers::from_g(arch, &bytes)
        });
        let snapshot = self.snapshot.as_mut().ok_or(Failure::Running)?;
        if let Some(pc) = snapshot.registers.get(arch.pc) {
            registers.set(arch.pc, Some(pc));
        }
        snapshot.registers = registers.clone();
        snapshot.has_registers = true;
        Ok(registers)
    }
}

impl Request {
    /// Whether the answer has nothing to do with registers.
    pub(super) fn is_beside_registers(&self) -> bool {
        matches!(
            self,
            Request::Breakpoints
                | Request::Delete(_)
                | Request::Enable(..)
                | Request::Console(_)
                | Request::Link
                | Request::Modules
                | Request::Module(_)
                | Request::Monitor(_)
                | Request::Packets(_)
                | Request::Replay
                | Request::Set(..)
                | Request::Show(_)
                | Request::Target
                | Request::Tell(..)
                | Request::Want(_)
        )
    }
}
