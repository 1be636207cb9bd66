//! What the program that made a record still knew at a stop from stops before it.
//!
//! It reads some things once and keeps them: the list of modules until that changes,
//! where their sections are, the kernel's log. So the record has them at one stop and
//! not at the next. This is all memory that was read up to a stop, each byte as it
//! was read last. It is old: only for what the program itself takes from earlier
//! stops, and only where the stop's own record has nothing.

use super::{
    held::{MOST_PAGES, memory_range},
    tape::{Tape, TapedStop},
};
use crate::{
    base::memory::Sparse,
    rsp::{frame::unhex, reply},
};
use std::sync::Arc;

/// From which stops a thing may come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reach {
    /// This one and those before it.
    Before,
    /// Those up to the next one that was shown as well: for what does not change as
    /// long as it is there, and was looked at as soon as there was time.
    Around,
}

/// Memory of several stops.
#[derive(Debug, Default)]
pub struct Kept {
    /// How many stops are in it.
    count: usize,
    before: Arc<Sparse>,
}

impl Kept {
    /// What was known at the stop at `at`.
    pub fn at(&mut self, tape: &Tape, at: usize, reach: Reach) -> Arc<Sparse> {
        let end = (at + 1).min(tape.stops.len());
        if self.count > end {
            *self = Kept::default();
        }
        if self.count < end {
            let memory = Arc::make_mut(&mut self.before);
            for stop in &tape.stops[self.count..end] {
                reads(stop, |addr, bytes| {
                    if memory.page_count() < MOST_PAGES {
                        memory.insert(addr, bytes);
                    }
                });
            }
            self.count = end;
        }
        if reach == Reach::Before {
            return Arc::clone(&self.before);
        }
        let mut memory = Sparse::clone(&self.before);
        for stop in &tape.stops[end..] {
            reads(stop, |addr, bytes| {
                if memory.page_count() < MOST_PAGES {
                    memory.fill(addr, bytes);
                }
            });
            if stop.shown.is_some() {
                break;
            }
        }
        Arc::new(memory)
    }
}

/// Every read of memory at a stop that was answered.
fn reads(stop: &TapedStop, mut take: impl FnMut(crate::base::addr::Addr, &[u8])) {
    for exchange in &stop.exchanges {
        if exchange.request.first() != Some(&b'm') || reply::errno(&exchange.reply).is_some() {
            continue;
        }
        let Some(span) = memory_range(&exchange.request) else { continue };
        let bytes = unhex(&exchange.reply).unwrap_or_default();
        if bytes.len() as u64 == span.len {
            take(span.start, &bytes);
        }
    }
}
