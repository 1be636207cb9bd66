//! Macros, as `-g3` keeps them: `.debug_macro` (DWARF 5, and GNU's before), and
//! `.debug_macinfo` (DWARF 2 to 4). Nothing is read before it is asked for.
//!
//! GCC 12 writes those of `.dwo` files with references that lead nowhere, so
//! that nobody can read them; split units have no macros here.

use crate::{
    base::addr::Addr,
    symbols::{
        answer::MacroDef,
        code::lines::source_file,
        dwarf::reader::{Slice, Unit, Value},
        image::DebugImage,
        placed::Symbols,
    },
};
use gimli::{
    AttributeValue, DebugMacinfoOffset, DebugMacroOffset, MacroEntry, MacroIter, MacroString,
    UnitRef,
};
use rayon::iter::{IntoParallelIterator as _, ParallelIterator as _};
use std::collections::BTreeSet;

/// Files included in each other at most; GCC's own limit is 200.
const MAX_DEPTH: usize = 256;

impl Symbols {
    /// The definition of a macro: the one that holds at the end of the file
    /// that the code at `near` was compiled from, else of the first unit that
    /// has one, vmlinux first. `None` when nothing defines it, or the files
    /// were not compiled with `-g3`.
    pub fn macro_named(&self, name: &str, near: Option<Addr>) -> Option<MacroDef> {
        let at = near.and_then(|addr| {
            let (placed, file) = self.locate(addr)?;
            defined_in(&placed.image, placed.image.unit_at(file)?, name)
        });
        at.or_else(|| {
            self.images().find_map(|placed| {
                let units = 0..placed.image.units()?.len() as u32;
                let of = |number| defined_in(&placed.image, number, name);
                units.into_par_iter().find_map_first(of)
            })
        })
    }

    /// Whether any image says something of macros.
    pub fn has_macros(&self) -> bool {
        let sections = [".debug_macro", ".debug_macinfo"];
        self.images().any(|placed| {
            let image = placed.image.image();
            sections.iter().any(|name| image.section(name).is_some_and(|section| section.size > 0))
        })
    }
}

fn defined_in(image: &DebugImage, number: u32, name: &str) -> Option<MacroDef> {
    let unit = Unit::open(image, number)?;
    let root = unit.root().filter(|_| unit.head.elsewhere().is_none())?;
    let (dwarf, macros) = (&unit.dwarf, |name| root.attr_value(name));
    let entries = if let Some(value) = macros(gimli::DW_AT_macro_info) {
        dwarf.macinfo(DebugMacinfoOffset(offset(value)?)).ok()?
    } else {
        let value = macros(gimli::DW_AT_macros).or_else(|| macros(gimli::DW_AT_GNU_macros))?;
        dwarf.macros(DebugMacroOffset(offset(value)?)).ok()?
    };
    let mut search = Search {
        unit: &unit,
        name,
        files: Vec::new(),
        imported: BTreeSet::new(),
        last: None,
        defined: false,
    };
    search.read(entries);
    let Found { text, file, line } = search.last.filter(|_| search.defined)?;
    Some(MacroDef { text, file: file.and_then(|file| source_file(&unit, file)), line })
}

/// An offset into a section of macros. Before DWARF 4 it comes as a number.
fn offset(value: Value<'_>) -> Option<usize> {
    match value {
        AttributeValue::DebugMacroRef(offset) => Some(offset.0),
        AttributeValue::DebugMacinfoRef(offset) => Some(offset.0),
        AttributeValue::SecOffset(offset) => Some(offset),
        value => usize::try_from(value.udata_value()?).ok(),
    }
}

/// A walk over the macros of one unit.
struct Search<'u, 'a> {
    unit: &'u Unit<'a>,
    name: &'u str,
    /// The files that are being included, the innermost last.
    files: Vec<u64>,
    /// Parts that were read already. A header's part is imported again only by
    /// a loop, which no compiler makes.
    imported: BTreeSet<usize>,
    last: Option<Found>,
    /// It has not been undefined since.
    defined: bool,
}

/// A definition.
struct Found {
    text: String,
    file: Option<u64>,
    line: u32,
}

impl<'a> Search<'_, 'a> {
    /// Reads to the end, or to damage.
    fn read(&mut self, mut entries: MacroIter<Slice<'a>>) {
        while let Ok(Some(entry)) = entries.next() {
            match entry {
                MacroEntry::Define { line, text } => {
                    let Some(text) = self.string(text).filter(|text| self.is_named(text)) else {
                        continue;
                    };
                    let text = text.to_string_lossy().into_owned();
                    let line = u32::try_from(line).unwrap_or(0);
                    self.last = Some(Found { text, file: self.files.last().copied(), line });
                    self.defined = true;
                }
                MacroEntry::Undef { name, .. } => {
                    let same = self.string(name).is_some_and(|name| self.is_named(&name));
                    self.defined &= !same;
                }
                MacroEntry::StartFile { file, .. } if self.files.len() < MAX_DEPTH => {
                    self.files.push(file);
                }
                MacroEntry::EndFile => drop(self.files.pop()),
                MacroEntry::Import { offset } => self.import(offset),
                // Parts that `dwz` moved elsewhere, and what vendors add.
                _ => {}
            }
        }
    }

    fn import(&mut self, offset: DebugMacroOffset) {
        if self.imported.len() < MAX_DEPTH * MAX_DEPTH
            && self.imported.insert(offset.0)
            && let Ok(entries) = self.unit.dwarf.macros(offset)
        {
            self.read(entries);
        }
    }

    fn string(&self, text: MacroString<Slice<'a>>) -> Option<Slice<'a>> {
        text.string(UnitRef::new(&self.unit.dwarf, &self.unit.unit)).ok()
    }

    /// Whether a definition (`NAME text`, `NAME(a,b) text`) is of the name.
    fn is_named(&self, text: &Slice<'_>) -> bool {
        let rest = text.slice().strip_prefix(self.name.as_bytes());
        rest.is_some_and(|rest| matches!(rest.first(), None | Some(b' ' | b'(')))
    }
}
