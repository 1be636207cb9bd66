//! Where `break function` belongs, as gdb decides it.
//!
//! GCC since 4.5 describes where each variable is at every instruction, so
//! with such descriptions (location lists) the first instruction is as good
//! as any, and gdb takes it (`locations_valid` in gdb/dwarf2/read.c). Without
//! them gdb skips a `push %rbp; mov %rsp,%rbp` (gdb/amd64-tdep.c,
//! `amd64_analyze_prologue`) and goes on to the next line
//! (gdb/symtab.c, `skip_prologue_sal`). clang marks the end of the prologue
//! by a second line.

use crate::{
    base::addr::FileAddr,
    symbols::{dwarf::reader::Unit, image::DebugImage},
};

const ENDBR64: [u8; 4] = [0xf3, 0x0f, 0x1e, 0xfa];
const PUSH_RBP: u8 = 0x55;
const MOV_RSP_RBP: [[u8; 3]; 2] = [[0x48, 0x89, 0xe5], [0x48, 0x8b, 0xec]];

/// The address to stop at for a function that is entered at `entry` and ends
/// at `end`, as file addresses.
pub(in crate::symbols) fn after(image: &DebugImage, unit: &Unit<'_>, entry: u64, end: u64) -> u64 {
    let producer = producer(unit);
    if producer.contains("clang") {
        return line_end(image, unit, entry).filter(|&at| at < end).unwrap_or(entry);
    }
    if locations_valid(unit, &producer) {
        return entry;
    }
    let Some(at) = frame_set_up(image, entry) else { return entry };
    match line_start(image, unit, at) {
        Some(start) if start != at => {
            line_end(image, unit, at).filter(|&next| next < end).unwrap_or(at)
        }
        _ => at,
    }
}

fn producer(unit: &Unit<'_>) -> String {
    let root = unit.root();
    let value = root.as_ref().and_then(|root| root.attr_value(gimli::DW_AT_producer));
    value.and_then(|value| unit.string(value)).unwrap_or_default()
}

/// Whether the unit has location lists of a compiler that makes them right
/// from the first instruction on.
fn locations_valid(unit: &Unit<'_>, producer: &str) -> bool {
    producer.starts_with("GNU C") && !old_gcc(producer) && has_location_lists(unit)
}

/// GCC before 4.5, from `GNU C 4.4.7 …`, `GNU C11 12.2.0 …`.
fn old_gcc(producer: &str) -> bool {
    let version = producer
        .split_whitespace()
        .find(|word| word.contains('.') && word.starts_with(|c: char| c.is_ascii_digit()));
    let mut parts = version.unwrap_or_default().split('.').map(|part| part.parse::<u32>());
    match (parts.next(), parts.next()) {
        (Some(Ok(major)), Some(Ok(minor))) => (major, minor) < (4, 5),
        _ => true,
    }
}

fn has_location_lists(unit: &Unit<'_>) -> bool {
    unit.abbreviations().any(|abbreviation| {
        abbreviation.attributes().iter().any(|spec| {
            spec.name() == gimli::DW_AT_location
                && matches!(
                    spec.form(),
                    gimli::DW_FORM_sec_offset
                        | gimli::DW_FORM_loclistx
                        | gimli::DW_FORM_data4
                        | gimli::DW_FORM_data8
                )
        })
    })
}

/// The address after `push %rbp; mov %rsp,%rbp` at `entry`.
fn frame_set_up(image: &DebugImage, entry: u64) -> Option<u64> {
    let elf = image.image();
    let mut at = entry;
    if elf.file_bytes(FileAddr(at), 4).is_some_and(|bytes| bytes == ENDBR64) {
        at += 4;
    }
    let code = elf.file_bytes(FileAddr(at), 4)?;
    let set_up = code[0] == PUSH_RBP && MOV_RSP_RBP.iter().any(|mov| code[1..] == mov[..]);
    set_up.then_some(at + 4)
}

fn line_end(image: &DebugImage, unit: &Unit<'_>, at: u64) -> Option<u64> {
    image.rows(unit).spans(at, at + 1).first().map(|(_, end)| *end)
}

fn line_start(image: &DebugImage, unit: &Unit<'_>, at: u64) -> Option<u64> {
    image.rows(unit).spans(at, at + 1).first().map(|(row, _)| row.addr)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_of_gcc_are_read_from_its_name() {
        assert!(!old_gcc("GNU C11 12.2.0 -mcmodel=kernel"));
        assert!(!old_gcc("GNU C89 5.2.1 20151010 -m64"));
        assert!(old_gcc("GNU C 4.4.7 20120313"));
        assert!(old_gcc("GNU C"));
    }
}
