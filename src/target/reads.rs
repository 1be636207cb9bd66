//! From wanted memory to packets.

use crate::{
    base::{
        addr::Addr,
        memory::{PAGE, Span},
    },
    rsp::command::MAX_READ,
};

/// What a read costs on the line beside its bytes: `$m`, 16 digits of address, the
/// length, the sum, acks both ways, and the frame of the answer.
const REQUEST: u64 = 29;

/// What [`worth_merging`] is on a line of 115,200 baud with 3 ms there and back.
const USUALLY_WORTH_MERGING: u64 = 32;

/// More is never read for nothing: others want the line too.
const MOST_WORTH_MERGING: u64 = 64;

/// How many bytes of memory are cheaper to read along than to make a second
/// request for, where the way there and back takes as long as `latency` bytes on
/// the line. A byte of memory is two of them.
pub fn worth_merging(latency: Option<u64>) -> u64 {
    match latency {
        Some(latency) => (REQUEST.saturating_add(latency) / 2).min(MOST_WORTH_MERGING),
        None => USUALLY_WORTH_MERGING,
    }
}

/// What one packet asks for where the line has noise: at one fault in 1,000
/// bytes five of six answers of this size are good, and one of three of 504 bytes.
pub const READ_IN_NOISE: usize = 64;

/// Plans the reads for all wanted spans: overlaps and neighbours no more than
/// `gap` bytes apart become one, then each is cut at pages and at `most` bytes,
/// or what one packet may ask for. The plan is in the order of addresses, covers every
/// wanted byte, and touches no page that nobody wants.
pub fn plan_reads(wanted: &[Span], gap: u64, most: usize) -> Vec<Span> {
    // A longer gap could hold a page of its own, perhaps not mapped.
    let gap = u128::from(gap.min(PAGE / 2));
    let mut ranges: Vec<(u128, u128)> = wanted
        .iter()
        .map(|span| (u128::from(span.start.0), u128::from(span.start.0) + u128::from(span.len)))
        .map(|(start, end)| (start, end.min(1 << 64)))
        .filter(|(start, end)| start < end)
        .collect();
    ranges.sort_unstable();
    let mut merged: Vec<(u128, u128)> = Vec::new();
    for (start, end) in ranges {
        match merged.last_mut() {
            Some((_, last)) if start <= *last + gap => *last = end.max(*last),
            _ => merged.push((start, end)),
        }
    }
    merged.into_iter().flat_map(|(start, end)| cut(start, end, most)).collect()
}

fn cut(mut start: u128, end: u128, most: usize) -> impl Iterator<Item = Span> {
    let most = most.clamp(1, MAX_READ) as u128;
    std::iter::from_fn(move || {
        let page_end = (start / u128::from(PAGE) + 1) * u128::from(PAGE);
        let piece_end = end.min(page_end).min(start + most);
        let piece = Span::new(Addr(start as u64), (piece_end - start) as u64);
        start = piece_end;
        (piece.len > 0).then_some(piece)
    })
}

/// Whether it is cheaper to read the saved registers of each frame of a stack by
/// themselves than all of the stack: some 8 reads of 36 bytes against 2 of 310,
/// where a read costs as much as [`worth_merging`] bytes. At 115,200 baud it is,
/// if the way there and back takes less than 7 ms.
pub fn spares_bytes(latency: Option<u64>) -> bool {
    latency.is_some_and(|latency| {
        let read = REQUEST.saturating_add(latency) / 2;
        8 * 36 + read.saturating_mul(8 - 2) < 2 * 310
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rsp::command::Command;
    use proptest::prelude::*;
    use std::collections::BTreeSet;

    fn plan(wanted: &[(u64, u64)], gap: u64) -> Vec<(u64, u64)> {
        let wanted: Vec<_> = wanted.iter().map(|&(at, len)| Span::new(Addr(at), len)).collect();
        plan_reads(&wanted, gap, MAX_READ).iter().map(|span| (span.start.0, span.len)).collect()
    }

    #[test]
    fn a_slow_line_is_spared_and_a_late_one_is_asked_seldom() {
        assert_eq!(worth_merging(None), worth_merging(Some(3 * 11_520 / 1000 + 1)));
        assert_eq!(worth_merging(Some(0)), 14);
        assert_eq!(worth_merging(Some(u64::MAX)), 64);
        assert!(spares_bytes(Some(46)) && !spares_bytes(Some(100)) && !spares_bytes(None));
    }

    #[test]
    fn neighbours_become_one_and_big_ones_are_cut() {
        assert_eq!(plan(&[(0x1010, 8), (0x1000, 8)], 8), [(0x1000, 24)]);
        assert_eq!(plan(&[(0x1010, 8), (0x1000, 8)], 7), [(0x1000, 8), (0x1010, 8)]);
        assert_eq!(plan(&[(0x1000, 64), (0x1010, 8)], 0), [(0x1000, 64)]);
        assert_eq!(plan(&[(0x1ff8, 16)], 0), [(0x1ff8, 8), (0x2000, 8)]);
        assert_eq!(plan(&[(0x1000, 1000)], 0), [(0x1000, 504), (0x11f8, 496)]);
        assert_eq!(plan(&[(u64::MAX, 100)], 0), [(u64::MAX, 1)]);
        assert_eq!(plan(&[(5, 0)], 0), []);
        assert_eq!(plan(&[(0x1000, 1), (0x9000, 1)], u64::MAX), [(0x1000, 1), (0x9000, 1)]);
    }

    proptest! {
        #[test]
        fn every_read_can_be_sent_and_every_byte_is_covered_once(
            wanted in proptest::collection::vec((0x1000u64..0x5000, 0u64..1500), 0..8),
            gap in 0u64..100,
        ) {
            let bytes: BTreeSet<u64> =
                wanted.iter().flat_map(|&(at, len)| at..at + len).collect();
            let pages: BTreeSet<u64> = bytes.iter().map(|at| at / PAGE).collect();
            let mut covered = BTreeSet::new();
            for (at, len) in plan(&wanted, gap) {
                prop_assert!(Command::read_memory(Addr(at), len as usize).is_ok());
                prop_assert!(pages.contains(&(at / PAGE)));
                for byte in at..at + len {
                    prop_assert!(covered.insert(byte));
                }
            }
            prop_assert!(bytes.is_subset(&covered));
        }
    }
}
