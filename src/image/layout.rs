//! A module laid out and relocated, once, at addresses of our own.
//!
//! In a `.ko` every section starts at zero. DWARF refers to code by section
//! and offset, through relocations, so without a layout two functions of two
//! sections would share an address. Here each loaded section gets its own
//! page-aligned place from `BASE` on; relocations are applied against that.
//! The guest's own placement is a table from section to section on top.
//!
//! Only ET_REL is relocated. A vmlinux linked with `--emit-relocs` keeps
//! `.rela.debug_*`, but its bytes already have every relocation applied
//! (checked on 12.7 million entries of a distribution kernel), and applying
//! them again would read 271 MB for nothing.

use crate::{
    base::addr::FileAddr,
    image::file::{Elf, Section},
};
use object::{Object as _, ObjectSection as _, ObjectSymbol as _, RelocationTarget, elf};
use std::collections::BTreeSet;

/// Where the layout starts: not at zero, because zero in DWARF is code that
/// the linker dropped.
const BASE: u64 = 0x1_0000;
/// Between two sections there is at least this much that belongs to none, so
/// that an address one past the end of a section is in no other.
const GUARD: u64 = 0x1000;

/// Gives every loaded section its place. `aligns` is by section.
pub fn assign(sections: &mut [Section], aligns: &[u64]) {
    let mut next = BASE;
    for (section, &align) in sections.iter_mut().zip(aligns) {
        if !section.alloc {
            continue;
        }
        // An alignment or a size beyond reason leaves the rest unplaced at
        // the top of the address space rather than overflowing.
        let align = align.clamp(1, 1 << 24).next_power_of_two().max(0x1000);
        let start = next.checked_next_multiple_of(align).unwrap_or(u64::MAX);
        section.addr = FileAddr(start);
        next = start.saturating_add(section.size).saturating_add(GUARD);
    }
}

/// The indexes of the sections that have relocations.
pub(super) fn relocated_sections(file: &Elf<'_>) -> BTreeSet<usize> {
    let has_some = |s: &object::read::elf::ElfSection<'_, '_, _>| s.relocations().next().is_some();
    file.sections().filter(has_some).map(|section| section.index().0).collect()
}

/// Applies the relocations of `section` to its contents. Relocations against
/// symbols of other modules or the kernel stay as they are: their targets
/// have no place in this file. Types other than the five below don't occur in
/// what is asked for here (debug sections, `.orc_unwind_ip`) and are skipped.
pub(super) fn relocate(
    file: &Elf<'_>,
    section: &object::read::elf::ElfSection<'_, '_, elf::FileHeader64<object::LittleEndian>>,
    sections: &[Section],
    data: &mut [u8],
) {
    let place = sections.get(section.index().0).map_or(0, |s| s.addr.0);
    for (offset, relocation) in section.relocations() {
        let RelocationTarget::Symbol(index) = relocation.target() else { continue };
        let Ok(symbol) = file.symbol_by_index(index) else { continue };
        let base = match symbol.section_index() {
            Some(target) => sections.get(target.0).map_or(0, |s| s.addr.0),
            None if symbol.section() == object::SymbolSection::Absolute => 0,
            None => continue,
        };
        let target = base.wrapping_add(symbol.address()).wrapping_add(relocation.addend() as u64);
        let object::RelocationFlags::Elf { r_type } = relocation.flags() else { continue };
        patch(data, r_type, offset, place, target);
    }
}

/// Writes what a relocation at `offset` of a section that starts at `place`
/// wants for `target`.
pub(super) fn patch(
    data: &mut [u8],
    r_type: elf::RelocationType,
    offset: u64,
    place: u64,
    target: u64,
) {
    let (value, size) = match r_type {
        elf::R_X86_64_64 => (target, 8),
        elf::R_X86_64_32 | elf::R_X86_64_32S => (target, 4),
        elf::R_X86_64_PC32 | elf::R_X86_64_PLT32 => {
            (target.wrapping_sub(place.wrapping_add(offset)), 4)
        }
        _ => return,
    };
    let Ok(start) = usize::try_from(offset) else { return };
    let slot = start.checked_add(size).and_then(|end| data.get_mut(start..end));
    if let Some(slot) = slot {
        slot.copy_from_slice(&value.to_le_bytes()[..size]);
    }
}
