//! The log of kernels since 5.10: descriptors, facts and text in three arrays.
//!
//! A descriptor says by two bits of its `state_var` what became of its record,
//! and where the text is: `begin` and `next`, positions that grow for ever and
//! are taken modulo the size of the text. Each piece of text follows the id of
//! its descriptor (`struct prb_data_block`). The facts, `struct printk_info`,
//! have the descriptor's place in an array of their own.

use super::{
    KernelError, Struct,
    dmesg::{Caller, MOST_TEXT, Part, Place, Record},
    record::{self, Field},
    symbol,
};
use crate::{
    base::{
        addr::Addr,
        memory::{Gap, Memory},
    },
    symbols::placed::Symbols,
};

/// What became of a record, in the upper two bits of `state_var`
/// (`enum desc_state`).
const COMMITTED: u64 = 1;
const FINALIZED: u64 = 2;

/// Where these bits are (`DESC_FLAGS_SHIFT`); the others are the id.
const STATE_SHIFT: u32 = 62;
const ID_MASK: u64 = !0 >> 2;

/// A position with this bit is none: the record has no text
/// (`LPOS_DATALESS`).
const NO_TEXT: u64 = 1;

/// Larger rings are no rings: the kernel allows 2^25 bytes of log
/// (CONFIG_LOG_BUF_SHIFT), 2^31 on its command line.
const MOST_BITS: u64 = 31;

/// The rings as they are now.
pub(super) struct Ring {
    descs: Addr,
    infos: Addr,
    /// Descriptors, as a power of two.
    count_bits: u64,
    head: u64,
    tail: u64,
    text: Addr,
    size_bits: u64,
    layout: Layout,
}

/// Where members are in this kernel.
struct Layout {
    desc: u64,
    state: Field,
    begin: Field,
    next: Field,
    info: u64,
    seq: Field,
    time: Field,
    length: Field,
    /// The offset of the byte, the first bit and how many.
    level: (u64, u32, u32),
    caller: Option<Field>,
    /// Bytes of the id before each text.
    id: u64,
}

impl Layout {
    fn new(symbols: &Symbols) -> Result<Layout, KernelError> {
        let desc = Struct::new(symbols, "prb_desc")?;
        let info = Struct::new(symbols, "printk_info")?;
        Ok(Layout {
            desc: desc.size(),
            state: desc.field("state_var")?,
            begin: desc.field("text_blk_lpos.begin")?,
            next: desc.field("text_blk_lpos.next")?,
            info: info.size(),
            seq: info.field("seq")?,
            time: info.field("ts_nsec")?,
            length: info.field("text_len")?,
            level: info.bits("level")?,
            caller: info.find("caller_id"),
            id: Struct::new(symbols, "prb_data_block")?.offset("data")?,
        })
    }

    fn of_info(&self) -> Vec<Field> {
        let level = (self.level.0, 1);
        [self.time, self.length, level].into_iter().chain(self.caller).collect()
    }
}

/// A descriptor that has a record.
struct Desc {
    id: u64,
    open: bool,
    begin: u64,
    next: u64,
}

impl Ring {
    /// Whether this kernel has such rings.
    pub(super) fn is_used(symbols: &Symbols) -> bool {
        symbols.symbol_addr("prb").is_some()
    }

    /// Finds the rings: two reads.
    pub(super) fn find(symbols: &Symbols, memory: &dyn Memory) -> Result<Ring, KernelError> {
        let layout = Layout::new(symbols)?;
        let rings = Struct::new(symbols, "printk_ringbuffer")?;
        let at = Addr(memory.u64(symbol(symbols, "prb")?)?);
        let count_bits = rings.field("desc_ring.count_bits")?;
        let descs = rings.field("desc_ring.descs")?;
        let infos = rings.field("desc_ring.infos")?;
        let head = rings.field("desc_ring.head_id")?;
        let tail = rings.field("desc_ring.tail_id")?;
        let size_bits = rings.field("text_data_ring.size_bits")?;
        let text = rings.field("text_data_ring.data")?;
        let fields = [count_bits, descs, infos, head, tail, size_bits, text];
        let read = record::Record::read(memory, at, &fields, 1)?;
        let ring = Ring {
            descs: Addr(read.uint(descs)),
            infos: Addr(read.uint(infos)),
            count_bits: read.uint(count_bits),
            head: read.uint(head) & ID_MASK,
            tail: read.uint(tail) & ID_MASK,
            text: Addr(read.uint(text)),
            size_bits: read.uint(size_bits),
            layout,
        };
        if ring.count_bits > MOST_BITS || ring.size_bits > MOST_BITS {
            let why = format!("the log's rings at {at} hold no sizes that can be");
            return Err(KernelError::Implausible(why));
        }
        Ok(ring)
    }

    /// How many records there may be.
    pub(super) fn count(&self) -> u64 {
        (self.behind(self.tail) + 1).min(1 << self.count_bits)
    }

    /// How far an id is behind the newest; more than there are when it is none
    /// of theirs.
    fn behind(&self, id: u64) -> u64 {
        self.head.wrapping_sub(id) & ID_MASK
    }

    pub(super) fn newest(
        &self,
        memory: &dyn Memory,
        since: Option<Place>,
        most: usize,
    ) -> Result<Part, KernelError> {
        let new = match since {
            Some(Place::Behind(id)) if self.behind(id) < self.count() => Some(self.behind(id)),
            _ => None,
        };
        let joins = new.is_some_and(|new| new <= most as u64);
        let most = new.map_or(most, |new| most.min(new as usize));
        Ok(Part { joins, ..self.read(memory, self.head, most)? })
    }

    pub(super) fn older(
        &self,
        memory: &dyn Memory,
        before: Place,
        most: usize,
    ) -> Result<Part, KernelError> {
        match before {
            Place::Behind(id) if self.behind(id) < self.count() => {
                Ok(Part { joins: true, ..self.read(memory, id, most)? })
            }
            // Overwritten meanwhile.
            _ => Ok(Part { records: Vec::new(), begin: None, end: before, joins: true }),
        }
    }

    /// Records from that of `newest` back.
    fn read(&self, memory: &dyn Memory, newest: u64, most: usize) -> Result<Part, KernelError> {
        let room = self.count().saturating_sub(self.behind(newest));
        let most = room.min(most as u64);
        let ids = (0..most).rev().map(|back| newest.wrapping_sub(back) & ID_MASK);
        // All is asked for before one can fail, so that one run reports every miss.
        let last = self.place(self.infos, self.layout.info, newest).offset(self.layout.seq.0);
        let seq = memory.uint(last, self.layout.seq.1 as usize);
        let raw: Vec<_> = ids.map(|id| (self.desc(memory, id), self.info(memory, id))).collect();
        let mut found = Vec::new();
        // Every descriptor that is given out has the next number.
        let mut missing = seq.err().filter(Gap::is_missing);
        let seq = seq.unwrap_or_default();
        for (desc, info) in raw {
            match (desc, info) {
                (Ok(Some(desc)), Ok(info)) => found.push((desc, info)),
                (Err(gap), _) | (_, Err(gap)) if gap.is_missing() => missing = Some(gap),
                // None, being written, or not to be read: left out.
                _ => {}
            }
        }
        let texts: Vec<_> =
            found.iter().map(|(desc, info)| self.text(memory, desc, info)).collect();
        let mut records = Vec::new();
        for ((desc, info), text) in found.iter().zip(texts) {
            let text = match text {
                Ok(bytes) => String::from_utf8_lossy(&bytes).into_owned(),
                Err(gap) if gap.is_missing() => {
                    missing = Some(gap);
                    continue;
                }
                Err(gap) => format!("({gap})"),
            };
            let back = newest.wrapping_sub(desc.id) & ID_MASK;
            let record = self.record(desc, info, text);
            records.push(Record { seq: seq.wrapping_sub(back), ..record });
        }
        if let Some(gap) = missing {
            return Err(gap.into());
        }
        let last_is_open = found.last().is_some_and(|(desc, _)| desc.open);
        let more = room > most;
        Ok(Part {
            records,
            begin: more.then_some(Place::Behind(newest.wrapping_sub(most) & ID_MASK)),
            // What may still grow is read again.
            end: Place::Behind(newest.wrapping_sub(u64::from(last_is_open)) & ID_MASK),
            joins: false,
        })
    }

    fn place(&self, array: Addr, size: u64, id: u64) -> Addr {
        array.offset((id & ((1 << self.count_bits) - 1)).wrapping_mul(size))
    }

    /// The descriptor of an id, when it has a record.
    fn desc(&self, memory: &dyn Memory, id: u64) -> Result<Option<Desc>, Gap> {
        let at = self.place(self.descs, self.layout.desc, id);
        let bytes = memory.bytes(at, self.layout.desc.min(64) as usize)?;
        let uint = |(at, len): Field| record::number(&bytes, at, len);
        let state = uint(self.layout.state);
        let valid = state & ID_MASK == id;
        let open = match state >> STATE_SHIFT {
            COMMITTED if valid => true,
            FINALIZED if valid => false,
            _ => return Ok(None),
        };
        let (begin, next) = (uint(self.layout.begin), uint(self.layout.next));
        Ok(Some(Desc { id, open: open && id == self.head, begin, next }))
    }

    fn info(&self, memory: &dyn Memory, id: u64) -> Result<record::Record, Gap> {
        let at = self.place(self.infos, self.layout.info, id);
        record::Record::read(memory, at, &self.layout.of_info(), 1).map_err(|error| match error {
            KernelError::Gap(gap) => gap,
            // `read` has no other.
            _ => Gap::Fault(crate::base::memory::Span::new(at, 1)),
        })
    }

    /// The text of a record (`get_data` in printk_ringbuffer.c).
    fn text(
        &self,
        memory: &dyn Memory,
        desc: &Desc,
        info: &record::Record,
    ) -> Result<Vec<u8>, Gap> {
        let (begin, next) = (desc.begin, desc.next);
        if begin & NO_TEXT != 0 {
            return Ok(Vec::new());
        }
        let lap = |at: u64| at >> self.size_bits;
        let index = |at: u64| at & ((1 << self.size_bits) - 1);
        let (start, len) = if lap(begin) == lap(next) && begin < next {
            (index(begin), next - begin)
        } else {
            // What does not fit at the end is at the beginning, whole.
            (0, index(next))
        };
        let len = len.saturating_sub(self.layout.id);
        let len = info.uint(self.layout.length).min(len).min(MOST_TEXT);
        memory.bytes(self.text.offset(start + self.layout.id), len as usize)
    }

    fn record(&self, desc: &Desc, info: &record::Record, text: String) -> Record {
        let (at, first, bits) = self.layout.level;
        let level = info.uint((at, 1)) >> first & ((1 << bits) - 1);
        Record {
            seq: 0,
            level: level as u8,
            nanoseconds: info.uint(self.layout.time),
            caller: self.layout.caller.map(|field| Caller::of(info.uint(field) as u32)),
            text,
            continues: false,
            to_continue: false,
            open: desc.open,
        }
    }
}
