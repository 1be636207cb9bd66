//! Where in a unit inlined calls of a function may be, without parsing it: the
//! entry of each has the four bytes of the offset of the abstract function in
//! it, so only functions with these bytes inside need to be walked.

use crate::symbols::{
    dwarf::{reader::Unit, units::FunctionRange},
    image::DebugImage,
};
use gimli::{DW_AT_abstract_origin, DW_FORM_ref4, DW_TAG_inlined_subroutine};
use std::collections::BTreeSet;

/// Entries of a unit to look below for inlined calls of the functions
/// `described` (unit, entry): functions of the unit, or its root when the
/// shape of its references does not let them be searched for.
pub(in crate::symbols) fn candidates(
    image: &DebugImage,
    unit: &Unit<'_>,
    described: &BTreeSet<(u32, u32)>,
) -> BTreeSet<u32> {
    let mut out = BTreeSet::new();
    let bytes = unit.unit.header.range_from(unit.unit.header.root_offset()..);
    let (Ok(bytes), true, Some(loaded)) = (bytes, searchable(unit), image.loaded()) else {
        return BTreeSet::from([unit.root_die()]);
    };
    let functions = loaded.functions_by_die(unit.number);
    let own = (unit.number, 0)..=(unit.number, u32::MAX);
    for &(_, die) in described.range(own) {
        let mut from = 0;
        while let Some(at) = find(&bytes.slice()[from..], die.to_le_bytes()) {
            let offset = unit.root_die().saturating_add((from + at) as u32);
            // The function that the bytes are in; by chance they may be in
            // something else, which the walk finds out.
            let after = functions.partition_point(|function| function.die <= offset);
            out.extend(after.checked_sub(1).map(|at| functions[at].die));
            // On to what comes after it.
            let next = functions.get(after).map_or(usize::MAX, |function| function.die as usize);
            let next = next.saturating_sub(unit.root_die() as usize);
            from = next.max(from + at + 1);
            if from >= bytes.slice().len() {
                break;
            }
        }
    }
    out
}

/// Whether every reference of an inlined call of the unit is four bytes.
fn searchable(unit: &Unit<'_>) -> bool {
    unit.abbreviations().all(|abbreviation| {
        abbreviation.tag() != DW_TAG_inlined_subroutine
            || abbreviation
                .attributes()
                .iter()
                .all(|spec| spec.name() != DW_AT_abstract_origin || spec.form() == DW_FORM_ref4)
    })
}

/// The first place of four bytes.
fn find(bytes: &[u8], want: [u8; 4]) -> Option<usize> {
    /// Bytes that are compared without a branch, so that the compiler can do
    /// many at once.
    const BLOCK: usize = 64;
    let mut at = 0;
    while let Some(block) = bytes.get(at..at + BLOCK + 3) {
        let like = |i: usize, byte: u8| u8::from(block[i] == byte);
        let hit = (0..BLOCK).fold(0, |hit, i| {
            hit | like(i, want[0])
                & like(i + 1, want[1])
                & like(i + 2, want[2])
                & like(i + 3, want[3])
        });
        if hit != 0 {
            break;
        }
        at += BLOCK;
    }
    bytes[at..].windows(4).position(|window| window == want).map(|found| at + found)
}

/// Ranges of functions in the order of their entries in the file, each entry
/// once.
pub(in crate::symbols) fn by_die(functions: &[FunctionRange]) -> Vec<FunctionRange> {
    let mut out = functions.to_vec();
    out.sort_unstable_by_key(|function| (function.unit, function.die));
    out.dedup_by_key(|function| (function.unit, function.die));
    out
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::{any, prop, proptest};

    proptest! {
        #[test]
        fn four_bytes_are_found_where_they_are(
            mut bytes in prop::collection::vec(0u8..3, 4..300),
            at in any::<prop::sample::Index>(),
            want in [0u8..4, 0u8..4, 0u8..4, 0u8..4],
        ) {
            let at = at.index(bytes.len() - 3);
            let slow = |bytes: &[u8]| bytes.windows(4).position(|window| window == want);
            assert_eq!(find(&bytes, want), slow(&bytes));
            bytes[at..at + 4].copy_from_slice(&want);
            assert_eq!(find(&bytes, want), slow(&bytes));
        }
    }
}
