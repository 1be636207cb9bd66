//! All that is known of one stop. Thrown away when the guest runs on.

use super::{crash::Crash, subject::Chosen, tasks::Tasks};
use crate::arch::Registers;
use crate::base::memory::Sparse;
use crate::rsp::thread::ThreadId;

/// One stop's knowledge.
#[derive(Debug)]
pub struct Snapshot {
    /// Which stop, from 1.
    pub generation: u64,
    /// Registers of the CPU that stopped, as far as they were read.
    pub registers: Registers,
    /// Whether all of them were.
    pub has_registers: bool,
    /// Whose registers these are, as the stop packet said.
    pub thread: Option<ThreadId>,
    /// The stub's signal number.
    pub signal: u8,
    /// Guest memory as far as it was read.
    pub memory: Sparse,
    /// What is shown, when it is not what the stub stopped in.
    pub chosen: Option<Chosen>,
    /// The crash that stopped the guest.
    pub crash: Option<Crash>,
    /// Tasks as far as they were read.
    pub tasks: Option<Tasks>,
}

impl Snapshot {
    /// The guest ran for a moment: what was read of it counts no more.
    pub fn forget(&mut self) {
        self.registers = Registers::unknown(self.registers.arch);
        self.has_registers = false;
        self.memory.clear();
    }
}
