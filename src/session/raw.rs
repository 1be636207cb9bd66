//! Registers and memory as they are, for whoever reads them by number: a gdb
//! that is attached behind our cache. What is known of the stop is not read
//! again.

use super::{
    answer::{Answer, Failure},
    memory::known_bytes,
    run::Session,
};
use crate::arch::Registers;
use crate::base::addr::Addr;

/// The most that is read for one request.
const MOST: u64 = 64 * 1024;

impl Session {
    /// Bytes of memory.
    pub(super) async fn raw_memory(&mut self, start: Addr, len: u64) -> Result<Answer, Failure> {
        self.need_stopped()?;
        if len > MOST {
            return Err(Failure::Other(format!("{len} bytes are more than {MOST} at once")));
        }
        let bytes = self.compute(move |_, memory| known_bytes(memory, start, len)).await?;
        Ok(Answer::Bytes { bytes })
    }

    /// Writes memory, with all that this changes on the screen.
    pub(super) async fn write_bytes(
        &mut self,
        addr: Addr,
        bytes: &[u8],
    ) -> Result<Answer, Failure> {
        self.need_stopped()?;
        self.write_memory(addr, bytes).await?;
        self.changed_guest();
        Ok(Answer::Done {})
    }

    /// The registers of what the stub stopped in.
    pub(super) fn stop_registers(&self) -> Result<Answer, Failure> {
        self.need_stopped()?;
        let snapshot = self.snapshot.as_ref().ok_or(Failure::Running)?;
        Ok(Answer::Registers { registers: named(&snapshot.registers) })
    }
}

/// Registers by name, in the order of the stub.
fn named(registers: &Registers) -> Vec<(String, Option<Addr>)> {
    registers.iter().map(|(def, value)| (def.name.to_string(), value.map(Addr))).collect()
}
