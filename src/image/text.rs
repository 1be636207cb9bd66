//! Code as a file has it, with every address filled in.
//!
//! A vmlinux needs nothing. In a module the linker left the addresses out:
//! those inside it are filled in by its layout ([`super::layout`]); what it
//! calls in the kernel or in other modules has no address in this file, only
//! a name. Each such name gets an address of its own past the layout, so that
//! an instruction refers to it like to anything else, and it can be named.

use crate::{
    base::addr::FileAddr,
    image::{
        file::{Image, Kind},
        layout,
    },
};
use object::{Object as _, ObjectSection as _, ObjectSymbol as _, RelocationTarget};
use rustc_hash::FxHashMap;
use std::borrow::Cow;

/// Between two names outside; small distances from a symbol fit.
const APART: u64 = 0x10;

/// What a module refers to outside of itself.
pub(super) struct Outside {
    /// Where the made-up addresses start.
    base: u64,
    names: Vec<String>,
    by_name: FxHashMap<String, u64>,
    /// Code by section, with those addresses filled in.
    code: FxHashMap<usize, Vec<u8>>,
}

impl Image {
    /// `len` bytes of code at `addr` before any patching by the guest; a
    /// module's are relocated to its made-up layout. `None` when they are not
    /// all in one section of the file.
    pub fn code(&self, addr: FileAddr, len: usize) -> Option<Cow<'_, [u8]>> {
        if self.kind() != Kind::Relocatable {
            return self.file_bytes(addr, len).map(Cow::Borrowed);
        }
        let index = self.sections().iter().position(|section| section.contains(addr))?;
        let section = &self.sections()[index];
        let start = usize::try_from(addr.0 - section.addr.0).ok()?;
        let bytes = match self.outside().code.get(&index) {
            Some(bytes) => bytes.as_slice(),
            None => self.section_data(&section.name)?,
        };
        bytes.get(start..start.checked_add(len)?).map(Cow::Borrowed)
    }

    /// The name that a made-up address outside a module stands for, and the
    /// distance from it.
    pub fn outside_name(&self, addr: FileAddr) -> Option<(&str, u64)> {
        if self.kind() != Kind::Relocatable {
            return None;
        }
        let outside = self.outside();
        let distance = addr.0.checked_sub(outside.base)?;
        let name = outside.names.get(usize::try_from(distance / APART).ok()?)?;
        Some((name, distance % APART))
    }

    fn outside(&self) -> &Outside {
        self.outside.get_or_init(|| Outside::read(self))
    }
}

impl Outside {
    fn read(image: &Image) -> Outside {
        let ends = image.sections().iter().filter(|section| section.alloc);
        let end = ends.map(|section| section.addr.0.saturating_add(section.size)).max();
        let base = end.unwrap_or(0).checked_next_multiple_of(0x1000).unwrap_or(0);
        let base = base.saturating_add(0x1000);
        let mut outside = Outside {
            base,
            names: Vec::new(),
            by_name: FxHashMap::default(),
            code: FxHashMap::default(),
        };
        // Sections that share their bytes are hostile; no more is copied than
        // a file can have of its own.
        let mut room = image.file_size();
        if let Some(elf) = image.elf() {
            for (index, section) in image.sections().iter().enumerate() {
                if section.exec && section.alloc && section.size <= room {
                    room -= section.size;
                    outside.fill_in(image, &elf, index);
                }
            }
        }
        outside
    }

    /// Fills in the addresses of a section's references to the outside.
    fn fill_in(&mut self, image: &Image, elf: &super::file::Elf<'_>, index: usize) {
        let place = image.sections()[index].addr.0;
        let Some(data) = image.section_data(&image.sections()[index].name) else { return };
        let Ok(section) = elf.section_by_index(object::SectionIndex(index)) else { return };
        let mut data = data.to_vec();
        let mut known: FxHashMap<usize, u64> = FxHashMap::default();
        for (offset, relocation) in section.relocations() {
            let RelocationTarget::Symbol(symbol) = relocation.target() else { continue };
            let Ok(named) = elf.symbol_by_index(symbol) else { continue };
            if !named.is_undefined() {
                continue;
            }
            let at = *known.entry(symbol.0).or_insert_with(|| {
                let name = String::from_utf8_lossy(named.name_bytes().unwrap_or_default());
                self.at(&name)
            });
            let object::RelocationFlags::Elf { r_type } = relocation.flags() else { continue };
            let target = at.wrapping_add(relocation.addend() as u64);
            layout::patch(&mut data, r_type, offset, place, target);
        }
        self.code.insert(index, data);
    }

    /// The address of a name, the same for every section.
    fn at(&mut self, name: &str) -> u64 {
        if let Some(&known) = self.by_name.get(name) {
            return known;
        }
        let at = self.base.wrapping_add(self.names.len() as u64 * APART);
        self.names.push(name.to_owned());
        self.by_name.insert(name.to_owned(), at);
        at
    }
}
