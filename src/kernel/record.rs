//! Reads of some members of one structure, planned by where this kernel has
//! them: members that lie near each other come in one packet, others apart.

use crate::{
    base::{
        addr::Addr,
        memory::{Memory, PAGE},
    },
    kernel::KernelError,
};

/// Bytes that cost as much as one more read: the packet, its acks and the
/// time there and back.
const READ_COST: u64 = 32;

/// An offset and a size in bytes.
pub(super) type Field = (u64, u64);

/// Pieces of a structure that were read.
#[derive(Default)]
pub(super) struct Record {
    pieces: Vec<(u64, Vec<u8>)>,
}

impl Record {
    /// Reads all `fields` of the structure at `addr`, in at most `most`
    /// packets where that can be. All of them are asked for before one can
    /// fail, so that one run reports every miss.
    pub(super) fn read(
        memory: &dyn Memory,
        addr: Addr,
        fields: &[Field],
        most: u64,
    ) -> Result<Record, KernelError> {
        let spans = spans(fields, addr, most);
        let read = |(at, len): Field| Ok((at, memory.bytes(addr.offset(at), len as usize)?));
        let pieces: Vec<_> = spans.into_iter().map(read).collect();
        Ok(Record { pieces: pieces.into_iter().collect::<Result<_, KernelError>>()? })
    }

    pub(super) fn add(&mut self, other: Record) {
        self.pieces.extend(other.pieces);
    }

    /// The bytes of a field; none if it was not read.
    pub(super) fn bytes(&self, (at, len): Field) -> &[u8] {
        let inside = |(start, bytes): &'_ (u64, Vec<u8>)| {
            let from = at.checked_sub(*start)?;
            (from + len <= bytes.len() as u64).then_some(from as usize)
        };
        for piece in &self.pieces {
            if let Some(from) = inside(piece) {
                return &piece.1[from..from + len as usize];
            }
        }
        &[]
    }

    pub(super) fn uint(&self, field: Field) -> u64 {
        number(self.bytes(field), 0, field.1)
    }
}

/// The cheapest reads that have all `fields` of a structure at `addr`: as few
/// packets as `most` if that can be, then the fewest bytes. A packet has at
/// most 504 bytes of one page.
pub(super) fn spans(fields: &[Field], addr: Addr, most: u64) -> Vec<Field> {
    let mut fields = fields.to_vec();
    fields.sort_unstable();
    fields.truncate(16);
    let cuts = fields.len().saturating_sub(1);
    let grouped = |mask: u32| {
        let mut groups: Vec<Field> = Vec::new();
        for (i, &(at, len)) in fields.iter().enumerate() {
            match groups.last_mut() {
                Some(last) if mask >> (i - 1) & 1 == 0 => last.1 = last.1.max(at + len - last.0),
                _ => groups.push((at, len)),
            }
        }
        groups
    };
    let cost = |groups: &[Field]| {
        let packets: u64 = groups.iter().map(|&group| packets(addr, group)).sum();
        let bytes: u64 = groups.iter().map(|group| group.1).sum();
        (packets.saturating_sub(most), bytes + packets * READ_COST)
    };
    (0..1 << cuts).map(grouped).min_by_key(|groups| cost(groups)).unwrap_or_default()
}

/// How many reads the stub needs for a part of a structure.
pub(super) fn packets(addr: Addr, (at, len): Field) -> u64 {
    const MOST: u64 = 504;
    let mut start = addr.offset(at).0;
    let end = start.saturating_add(len);
    let mut count = 0;
    while start < end {
        start = end.min((start / PAGE + 1).saturating_mul(PAGE)).min(start + MOST);
        count += 1;
    }
    count
}

/// A little-endian number of up to 8 bytes; 0 where the bytes end.
pub(super) fn number(bytes: &[u8], at: u64, len: u64) -> u64 {
    let bytes = bytes.get(at as usize..(at + len.min(8)) as usize).unwrap_or_default();
    bytes.iter().rev().fold(0, |value, &byte| value << 8 | u64::from(byte))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn every_field_is_read_once_and_spans_are_no_worse_than_the_whole(
            fields in prop::collection::vec((0u64..3000, 1u64..17), 1..9),
            page in 0u64..4096,
            most in 1u64..4,
        ) {
            let addr = Addr(0xffff_8880_0000_0000 + page * 8 % 4096);
            let spans = spans(&fields, addr, most);
            for (at, len) in &fields {
                prop_assert!(spans.iter().any(|(s, l)| s <= at && at + len <= s + l));
            }
            let bytes: u64 = spans.iter().map(|span| span.1).sum();
            let low = fields.iter().map(|f| f.0).min().unwrap();
            let high = fields.iter().map(|f| f.0 + f.1).max().unwrap();
            // Fields that overlap may be in two spans.
            prop_assert!(bytes <= high - low + 17 * fields.len() as u64);
        }
    }
}
