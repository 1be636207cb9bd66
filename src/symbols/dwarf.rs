//! Units of DWARF as queries see them: opened for one question, thrown away
//! after it, nothing borrowed across. What is worth keeping between questions
//! (abbreviations, line rows) holds no reference and lives in [`Head`].

use crate::{
    base::addr::FileAddr,
    image::file::Image,
    symbols::{image::DebugImage, lines::Rows},
};
use gimli::{
    Abbreviations, AttributeValue, DebugInfoOffset, DebuggingInformationEntry, DwAt, DwTag,
    EndianSlice, LittleEndian, UnitOffset,
};
use std::sync::{Arc, OnceLock};

/// Bytes of a section, as the DWARF reader wants them.
pub(super) type Slice<'a> = EndianSlice<'a, LittleEndian>;
/// One entry (DIE).
pub(super) type Entry<'a> = DebuggingInformationEntry<Slice<'a>>;
/// The value of one attribute.
pub(super) type Value<'a> = AttributeValue<Slice<'a>>;

/// How many references (`DW_AT_abstract_origin`, `DW_AT_specification`,
/// `DW_AT_type`) are followed in a row; real chains have two or three, a
/// hostile file may have a loop.
pub(super) const MAX_HOPS: usize = 16;

/// What is kept of a unit.
#[derive(Debug)]
pub(super) struct Head {
    /// Where its header starts in `.debug_info`.
    pub offset: usize,
    /// Its abbreviations, parsed once.
    pub abbreviations: Arc<Abbreviations>,
    /// Its line table, once it was asked for.
    pub rows: OnceLock<Arc<Rows>>,
}

/// All DWARF sections of a file. Cheap to make.
pub(super) fn view(image: &Image) -> gimli::Dwarf<Slice<'_>> {
    let section = |id: gimli::SectionId| {
        let data = image.section_data(id.name()).unwrap_or_default();
        Ok::<_, std::convert::Infallible>(EndianSlice::new(data, LittleEndian))
    };
    match gimli::Dwarf::load(section) {
        Ok(dwarf) => dwarf,
        Err(never) => match never {},
    }
}

/// A unit opened for a question.
pub(super) struct Unit<'a> {
    pub dwarf: gimli::Dwarf<Slice<'a>>,
    pub unit: gimli::Unit<Slice<'a>>,
    /// Its number among the units of the image.
    pub number: u32,
}

impl<'a> Unit<'a> {
    /// Opens unit `number`; `None` when the number is of no unit, or its
    /// header can't be parsed.
    pub fn open(image: &'a DebugImage, number: u32) -> Option<Unit<'a>> {
        let head = image.loaded()?.heads.get(number as usize)?;
        let dwarf = view(image.image());
        let header = dwarf.debug_info.header_from_offset(DebugInfoOffset(head.offset)).ok()?;
        let abbreviations = head.abbreviations.clone();
        let unit = gimli::Unit::new_with_abbreviations(&dwarf, header, abbreviations).ok()?;
        Some(Unit { dwarf, unit, number })
    }

    /// The entry at an offset of the unit.
    pub fn entry(&self, die: u32) -> Option<Entry<'a>> {
        self.unit.entry(UnitOffset(die as usize)).ok().filter(|entry| !entry.is_null())
    }

    /// The entry of this unit that an attribute refers to. References into
    /// other units (link-time optimization) are not followed.
    pub fn referred(&self, value: Value<'_>) -> Option<Entry<'a>> {
        self.entry(self.offset(value)?)
    }

    /// The offset in this unit that an attribute refers to.
    pub fn offset(&self, value: Value<'_>) -> Option<u32> {
        let offset = match value {
            AttributeValue::UnitRef(offset) => offset.0,
            AttributeValue::DebugInfoRef(offset) => offset.to_unit_offset(&self.unit.header)?.0,
            _ => return None,
        };
        u32::try_from(offset).ok()
    }

    /// The attribute of an entry, or of the entry it is an instance or the
    /// definition of.
    pub fn inherited(&self, entry: &Entry<'a>, name: DwAt) -> Option<Value<'a>> {
        let mut at = entry.attr_value(name);
        let mut next = self.origin(entry);
        for _ in 0..MAX_HOPS {
            if at.is_some() {
                break;
            }
            let origin = next?;
            at = origin.attr_value(name);
            next = self.origin(&origin);
        }
        at
    }

    /// The entry that an entry is an instance of (`DW_AT_abstract_origin`) or
    /// the definition of (`DW_AT_specification`).
    pub fn origin(&self, entry: &Entry<'a>) -> Option<Entry<'a>> {
        let value = entry
            .attr_value(gimli::DW_AT_abstract_origin)
            .or_else(|| entry.attr_value(gimli::DW_AT_specification))?;
        self.referred(value)
    }

    /// The name of an entry, its own or inherited.
    pub fn name(&self, entry: &Entry<'a>) -> Option<String> {
        self.inherited(entry, gimli::DW_AT_name).and_then(|value| self.string(value))
    }

    /// A string attribute as text.
    pub fn string(&self, value: Value<'a>) -> Option<String> {
        let text = self.dwarf.attr_string(&self.unit, value).ok()?;
        Some(text.to_string_lossy().into_owned())
    }

    /// The code of an entry, as file addresses, without what the linker
    /// dropped; in the order of the file, the entry's own part first as
    /// compilers write it.
    pub fn ranges(&self, entry: &Entry<'a>) -> Vec<(u64, u64)> {
        let mut out = Vec::new();
        let Ok(mut ranges) = self.dwarf.die_ranges(&self.unit, entry) else { return out };
        while let Ok(Some(range)) = ranges.next() {
            if range.begin < range.end && range.begin != 0 {
                out.push((range.begin, range.end));
            }
        }
        out
    }

    /// Whether the code of an entry holds `addr`.
    pub fn covers(&self, entry: &Entry<'a>, addr: FileAddr) -> bool {
        self.ranges(entry).iter().any(|&(start, end)| (start..end).contains(&addr.0))
    }

    /// Where an entry with code is entered: `DW_AT_entry_pc`, `DW_AT_low_pc`,
    /// else the start of its first range.
    pub fn entry_pc(&self, entry: &Entry<'a>, ranges: &[(u64, u64)]) -> Option<u64> {
        let said = match entry.attr_value(gimli::DW_AT_entry_pc) {
            // DWARF 5, 2.18: a constant counts from the base address.
            Some(AttributeValue::Udata(offset)) => {
                ranges.first().map(|range| range.0.wrapping_add(offset))
            }
            Some(value) => self.dwarf.attr_address(&self.unit, value).ok().flatten(),
            None => None,
        };
        said.or_else(|| ranges.first().map(|range| range.0))
    }

    /// The children of an entry, each with its depth below it (1 for a direct
    /// child). `visit` says whether to look below the child too.
    pub fn walk(&self, die: u32, visit: &mut dyn FnMut(&Entry<'a>, isize) -> Below) {
        let Ok(mut raw) = self.unit.entries_raw(Some(UnitOffset(die as usize))) else { return };
        let mut entry = Entry::null();
        // Below this depth entries are passed over.
        let mut floor = isize::MAX;
        loop {
            match raw.read_entry(&mut entry) {
                Ok(true) => {}
                Ok(false) if raw.next_depth() <= 0 => return,
                Ok(false) => continue,
                Err(_) => return,
            }
            let depth = entry.depth();
            if depth == 0 {
                if !entry.has_children() {
                    return;
                }
                continue;
            }
            if depth > floor {
                continue;
            }
            floor = match visit(&entry, depth) {
                Below::Look => isize::MAX,
                Below::Skip => depth,
            };
        }
    }

    /// The direct children of an entry that have one of these tags.
    pub fn children(&self, die: u32, tags: &[DwTag]) -> Vec<Entry<'a>> {
        let mut out = Vec::new();
        self.walk(die, &mut |entry, _| {
            if tags.contains(&entry.tag()) {
                out.push(entry.clone());
            }
            Below::Skip
        });
        out
    }
}

/// Whether a walk goes on below an entry.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Below {
    /// Visit its children.
    Look,
    /// Pass over its children.
    Skip,
}

/// The offset of an entry in its unit.
pub(super) fn die(entry: &Entry<'_>) -> u32 {
    u32::try_from(entry.offset().0).unwrap_or(u32::MAX)
}

/// A small unsigned attribute: a line, a column, a count.
pub(super) fn number(value: Option<Value<'_>>) -> Option<u64> {
    match value? {
        // `udata_value` refuses signed forms, in which lines never come but
        // counts and sizes may.
        AttributeValue::Sdata(value) => u64::try_from(value).ok(),
        AttributeValue::FileIndex(index) => Some(index),
        value => value.udata_value(),
    }
}
