//! The kernel's log (`dmesg`), read from the guest's memory, the newest lines
//! first and no more than are wanted.
//!
//! There were two ways to keep it: since 5.10 a ring of descriptors beside a
//! ring of text (kernel/printk/printk_ringbuffer.h, see `dmesg_ring`), before
//! that one buffer of records after records (`struct printk_log` in
//! kernel/printk/printk.c, see `dmesg_old`).

use super::{KernelError, dmesg_old::Old, dmesg_ring::Ring};
use crate::{base::memory::Memory, symbols::placed::Symbols};

/// The most bytes of one record's text: the kernel's own limit is 1024
/// (`LOG_LINE_MAX`, since 6.6 `PRINTKRB_RECORD_MAX`).
pub(super) const MOST_TEXT: u64 = 2048;

/// The words of the levels, as `dmesg -l` takes them.
pub const LEVELS: [&str; 8] = ["emerg", "alert", "crit", "err", "warn", "notice", "info", "debug"];

/// A record: what one call of `printk` stored.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Record {
    /// Its number, from 0 at boot.
    pub seq: u64,
    /// How bad it is, from 0 (`emerg`) to 7 (`debug`).
    pub level: u8,
    /// Since boot, by the clock of the CPU that wrote it.
    pub nanoseconds: u64,
    /// Who wrote it, where the kernel keeps that.
    pub caller: Option<Caller>,
    /// What it says; several lines where it has newlines.
    pub text: String,
    /// Whether it goes on with the line of the record before.
    pub continues: bool,
    /// Whether the next record goes on with its line.
    pub(super) to_continue: bool,
    /// Whether more may still be added to it.
    pub open: bool,
}

/// Who wrote a record (`printk_caller_id`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Caller {
    /// A task, by its pid.
    Task(u32),
    /// An interrupt, on this CPU.
    Cpu(u32),
}

impl Caller {
    /// From the number that the kernel keeps: the upper bit says which.
    pub(super) fn of(id: u32) -> Caller {
        const CPU: u32 = 0x8000_0000;
        if id & CPU == 0 { Caller::Task(id) } else { Caller::Cpu(id & !CPU) }
    }
}

impl std::fmt::Display for Caller {
    /// As the kernel prints it with CONFIG_PRINTK_CALLER.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Caller::Task(pid) => write!(f, "T{pid}"),
            Caller::Cpu(cpu) => write!(f, "C{cpu}"),
        }
    }
}

/// A place between two records of the log.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Place {
    /// Behind the descriptor with this id.
    Behind(u64),
    /// Before the record with this number, which is at this index of the
    /// buffer. Where the buffer begins anew both of its ends are meant.
    Before {
        /// The record's number.
        seq: u64,
        /// Its index in bytes.
        index: u32,
    },
}

/// A part of the log.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Part {
    /// Its records, oldest first.
    pub records: Vec<Record>,
    /// Where it begins; `None` when there is nothing older.
    pub begin: Option<Place>,
    /// Where it ends, which is where newer records will be.
    pub end: Place,
    /// Whether it begins where it was asked to go on from.
    pub joins: bool,
}

/// How many records the guest keeps.
pub fn count(symbols: &Symbols, memory: &dyn Memory) -> Result<u64, KernelError> {
    match Ring::is_used(symbols) {
        true => Ok(Ring::find(symbols, memory)?.count()),
        false => Ok(Old::find(symbols, memory)?.count()),
    }
}

/// The newest records, at most `most`: those behind `since`, if that is still
/// there and no further away.
pub fn newest(
    symbols: &Symbols,
    memory: &dyn Memory,
    since: Option<Place>,
    most: usize,
) -> Result<Part, KernelError> {
    match Ring::is_used(symbols) {
        true => Ring::find(symbols, memory)?.newest(memory, since, most),
        false => Old::find(symbols, memory)?.newest(memory, since, most),
    }
}

/// The records before a place, some of them, at most `most`.
pub fn older(
    symbols: &Symbols,
    memory: &dyn Memory,
    before: Place,
    most: usize,
) -> Result<Part, KernelError> {
    match Ring::is_used(symbols) {
        true => Ring::find(symbols, memory)?.older(memory, before, most),
        false => Old::find(symbols, memory)?.older(memory, before, most),
    }
}

/// Marks what goes on with the line before it.
pub fn join(records: &mut [Record]) {
    let mut to_continue = false;
    for record in records {
        record.continues = to_continue;
        to_continue = record.to_continue;
    }
}
