//! The log of kernels before 5.10: one buffer of records one after another,
//! each a header (`struct printk_log`; before 3.11 `struct log`), its text, a
//! dictionary, and padding. Where a record would not fit before the end of the
//! buffer, a header of zeros is, and the buffer begins anew (`log_store` in
//! kernel/printk/printk.c).
//!
//! There are no links back. To read the newest records without the whole
//! buffer, a piece of it is searched for headers from which one record leads
//! to the next up to a place that is known to be between two records.

use super::{
    KernelError, Struct,
    dmesg::{Caller, MOST_TEXT, Part, Place, Record},
    record::{self, Field},
    symbol,
};
use crate::{
    base::{addr::Addr, memory::Memory},
    symbols::placed::Symbols,
};

/// Flags of a record (`enum log_flags`).
const NEWLINE: u64 = 2;
const CONT: u64 = 8;

/// Bytes of a usual record: the header and a line.
const USUAL: u64 = 92;

/// The fewest bytes that are searched at once.
const LEAST: u64 = 256;

/// The most bytes that are searched at once.
const MOST_BYTES: u64 = 8192;

/// Headers are at multiples of this (`LOG_ALIGN`, 8 where the CPU needs it).
const ALIGN: u64 = 4;

/// The buffer as it is now.
pub(super) struct Old {
    at: Addr,
    len: u32,
    first: (u64, u32),
    next: (u64, u32),
    layout: Layout,
}

/// Where members are in this kernel.
struct Layout {
    size: u64,
    time: Field,
    length: Field,
    text: Field,
    dict: Field,
    flags: (u64, u32, u32),
    level: (u64, u32, u32),
    caller: Option<Field>,
}

impl Layout {
    fn new(symbols: &Symbols) -> Result<Layout, KernelError> {
        let log = Struct::new(symbols, "printk_log");
        let log = log.or_else(|missing| Struct::new(symbols, "struct log").map_err(|_| missing))?;
        Ok(Layout {
            size: log.size(),
            time: log.field("ts_nsec")?,
            length: log.field("len")?,
            text: log.field("text_len")?,
            dict: log.field("dict_len")?,
            flags: log.bits("flags")?,
            level: log.bits("level")?,
            caller: log.find("caller_id"),
        })
    }
}

/// A header and what is behind it.
struct Raw<'a> {
    bytes: &'a [u8],
    layout: &'a Layout,
}

impl<'a> Raw<'a> {
    /// The record at `at`, if there can be one.
    fn at(bytes: &'a [u8], at: u64, layout: &'a Layout) -> Option<Raw<'a>> {
        let raw = Raw { bytes: bytes.get(at as usize..)?, layout };
        let (len, text) = (raw.uint(layout.length), raw.uint(layout.text));
        let used = layout.size + text + raw.uint(layout.dict);
        let padding = len.checked_sub(used)?;
        let fits =
            len.is_multiple_of(ALIGN) && padding < 2 * ALIGN && len <= raw.bytes.len() as u64;
        let says = raw.bytes.get(layout.size as usize..(layout.size + text) as usize);
        let plain = says.is_some_and(|text| !text.contains(&0));
        (fits && len >= layout.size && plain).then_some(raw)
    }

    fn uint(&self, (at, len): Field) -> u64 {
        record::number(self.bytes, at, len)
    }

    fn bits(&self, (at, first, count): (u64, u32, u32)) -> u64 {
        self.uint((at, 1)) >> first & ((1 << count) - 1)
    }

    fn len(&self) -> u64 {
        self.uint(self.layout.length)
    }

    fn time(&self) -> u64 {
        self.uint(self.layout.time)
    }

    fn record(&self, seq: u64) -> Record {
        let len = self.uint(self.layout.text).min(MOST_TEXT);
        let start = self.layout.size as usize;
        let text = self.bytes.get(start..start + len as usize).unwrap_or_default();
        let flags = self.bits(self.layout.flags);
        Record {
            seq,
            level: self.bits(self.layout.level) as u8,
            nanoseconds: self.time(),
            caller: self.layout.caller.map(|field| Caller::of(self.uint(field) as u32)),
            text: String::from_utf8_lossy(text).into_owned(),
            continues: false,
            to_continue: flags & CONT != 0 && flags & NEWLINE == 0,
            open: false,
        }
    }
}

/// How a chain of records ends.
#[derive(Clone, Copy)]
struct Chain {
    /// Where.
    end: u64,
    /// The time of its last record.
    time: u64,
}

/// The starts of records in `bytes`, from which one leads to the next up to the
/// end of the bytes, or, when `zeros`, up to a header of zeros.
fn chain(bytes: &[u8], layout: &Layout, zeros: bool) -> Vec<u64> {
    let len = bytes.len() as u64;
    let mut chains: Vec<Option<Chain>> = vec![None; (len / ALIGN) as usize + 1];
    let slot = |at: u64| (at / ALIGN) as usize;
    for at in (0..len / ALIGN).rev().map(|index| index * ALIGN) {
        let Some(raw) = Raw::at(bytes, at, layout) else { continue };
        let next = at + raw.len();
        let is_end = if zeros { are_zeros(bytes, next, layout) } else { next == len };
        chains[slot(at)] = match chains.get(slot(next)) {
            _ if is_end => Some(Chain { end: next, time: raw.time() }),
            Some(after) => *after,
            None => None,
        };
    }
    // What an earlier lap left behind the end leads to an older end.
    let ends = chains.iter().flatten();
    let Some(best) = ends.max_by_key(|chain| chain.time).copied() else { return Vec::new() };
    let first = chains.iter().position(|chain| chain.is_some_and(|c| c.end == best.end));
    let mut at = first.unwrap_or(0) as u64 * ALIGN;
    let mut starts = Vec::new();
    while at < best.end {
        let Some(raw) = Raw::at(bytes, at, layout) else { break };
        starts.push(at);
        at += raw.len();
    }
    starts
}

fn are_zeros(bytes: &[u8], at: u64, layout: &Layout) -> bool {
    let header = bytes.get(at as usize..(at + layout.size) as usize);
    header.is_some_and(|header| header.iter().all(|&byte| byte == 0))
}

impl Old {
    /// Finds the buffer: six small reads, of which most are neighbours.
    pub(super) fn find(symbols: &Symbols, memory: &dyn Memory) -> Result<Old, KernelError> {
        let layout = Layout::new(symbols)?;
        let names = ["log_buf", "log_first_seq", "log_next_seq"];
        let [at, first_seq, next_seq] = names
            .map(|name| -> Result<u64, KernelError> { Ok(memory.u64(symbol(symbols, name)?)?) });
        let names = ["log_buf_len", "log_first_idx", "log_next_idx"];
        let [len, first, next] = names
            .map(|name| -> Result<u32, KernelError> { Ok(memory.u32(symbol(symbols, name)?)?) });
        let old = Old {
            at: Addr(at?),
            len: len?,
            first: (first_seq?, first?),
            next: (next_seq?, next?),
            layout,
        };
        let inside = |index: u32| index <= old.len && u64::from(index).is_multiple_of(ALIGN);
        if !inside(old.first.1) || !inside(old.next.1) || old.first.0 > old.next.0 {
            let why = format!("the log at {} has places that can't be", old.at);
            return Err(KernelError::Implausible(why));
        }
        Ok(old)
    }

    /// How many records there are.
    pub(super) fn count(&self) -> u64 {
        self.next.0 - self.first.0
    }

    fn bytes(&self, memory: &dyn Memory, start: u32, end: u32) -> Result<Vec<u8>, KernelError> {
        let len = end.saturating_sub(start);
        Ok(memory.bytes(self.at.offset(start.into()), len as usize)?)
    }

    pub(super) fn newest(
        &self,
        memory: &dyn Memory,
        since: Option<Place>,
        most: usize,
    ) -> Result<Part, KernelError> {
        let (seq, index) = self.next;
        let end = Place::Before { seq, index };
        if let Some(Place::Before { seq: known, index: from }) = since
            && (self.first.0..=seq).contains(&known)
            && seq - known <= most as u64
            && let Some(records) = self.onward(memory, (known, from))?
        {
            return Ok(Part { records, begin: since, end, joins: true });
        }
        Ok(Part { joins: false, ..self.older(memory, end, most)? })
    }

    /// Every record from a place on; `None` where it is too much, or something
    /// else than records.
    fn onward(
        &self,
        memory: &dyn Memory,
        (mut seq, from): (u64, u32),
    ) -> Result<Option<Vec<Record>>, KernelError> {
        let to = self.next.1;
        let pieces = match from <= to {
            true => vec![(from, to)],
            // Where the buffer begins anew is not known: a header of zeros says it.
            false => vec![(from, self.len), (0, to)],
        };
        let total: u64 = pieces.iter().map(|(start, end)| u64::from(end - start)).sum();
        if total > MOST_BYTES {
            return Ok(None);
        }
        let read: Vec<_> =
            pieces.iter().map(|&(start, end)| self.bytes(memory, start, end)).collect();
        let mut records = Vec::new();
        for (bytes, (_, end)) in read.into_iter().zip(pieces) {
            let bytes = bytes?;
            let mut at = 0;
            while at < bytes.len() as u64 {
                if end == self.len && are_zeros(&bytes, at, &self.layout) {
                    break;
                }
                let Some(raw) = Raw::at(&bytes, at, &self.layout) else { return Ok(None) };
                records.push(raw.record(seq));
                seq += 1;
                at += raw.len();
            }
        }
        Ok((seq == self.next.0).then_some(records))
    }

    pub(super) fn older(
        &self,
        memory: &dyn Memory,
        before: Place,
        most: usize,
    ) -> Result<Part, KernelError> {
        let nothing = Part { records: Vec::new(), begin: None, end: before, joins: true };
        let Place::Before { seq, index } = before else { return Ok(nothing) };
        let left = seq.saturating_sub(self.first.0);
        if left == 0 || most == 0 || seq > self.next.0 {
            return Ok(nothing);
        }
        // At the beginning the records before are at the end of the buffer.
        let (end, zeros) = if index == 0 { (self.len, true) } else { (index, false) };
        let floor = if self.first.1 < end { self.first.1 } else { 0 };
        let usual = (most as u64 * USUAL).clamp(LEAST, MOST_BYTES) as u32;
        // The end of a lap lies before the end of the buffer.
        let mut room = if zeros { usual.max(MOST_TEXT as u32) } else { usual };
        loop {
            let start = (end - room.min(end - floor)) / ALIGN as u32 * ALIGN as u32;
            let bytes = self.bytes(memory, start, end)?;
            let mut starts = chain(&bytes, &self.layout, zeros);
            let excess = (starts.len() as u64).saturating_sub(left) as usize;
            starts.drain(..excess);
            if !starts.is_empty() {
                return Ok(self.part(&bytes, &starts, start, (seq, before)));
            }
            // All of it may be one long record.
            if start <= floor || u64::from(room) >= MOST_BYTES {
                let at = self.at.offset(end.into());
                let why = format!("the log has no record before {at}; it is damaged");
                return Err(KernelError::Implausible(why));
            }
            room *= 4;
        }
    }

    fn part(&self, bytes: &[u8], starts: &[u64], base: u32, (seq, end): (u64, Place)) -> Part {
        let first = seq - starts.len() as u64;
        let record = |(seq, at): (u64, &u64)| {
            Raw::at(bytes, *at, &self.layout).map(|raw| raw.record(seq)).unwrap_or_default()
        };
        let begin = Place::Before { seq: first, index: base + starts[0] as u32 };
        Part {
            records: (first..).zip(starts).map(record).collect(),
            begin: (first > self.first.0).then_some(begin),
            end,
            joins: true,
        }
    }
}
