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
    /// Its abbreviations, once it was asked for: those of all units are more
    /// than everything else that is kept.
    pub abbreviations: OnceLock<Arc<Abbreviations>>,
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
    pub dwarf: Arc<gimli::Dwarf<Slice<'a>>>,
    pub unit: gimli::Unit<Slice<'a>>,
    /// Its number among the units of the image.
    pub number: u32,
}

impl<'a> Unit<'a> {
    /// Opens unit `number`; `None` when the number is of no unit, or its
    /// header can't be parsed.
    pub fn open(image: &'a DebugImage, number: u32) -> Option<Unit<'a>> {
        let head = image.loaded()?.heads.get(number as usize)?;
        let dwarf = Arc::new(view(image.image()));
        let header = dwarf.debug_info.header_from_offset(DebugInfoOffset(head.offset)).ok()?;
        let parse = || dwarf.abbreviations(&header).unwrap_or_default();
        let abbreviations = head.abbreviations.get_or_init(parse).clone();
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
        self.code(
            entry.attr_value(gimli::DW_AT_low_pc),
            entry.attr_value(gimli::DW_AT_high_pc),
            entry.attr_value(gimli::DW_AT_ranges),
        )
    }

    /// The same from the attributes. Not gimli's `die_ranges`, which adds
    /// without a check and panics on a hostile size in a debug build.
    pub fn code(
        &self,
        low: Option<Value<'a>>,
        high: Option<Value<'a>>,
        ranges: Option<Value<'a>>,
    ) -> Vec<(u64, u64)> {
        let address = |value| self.dwarf.attr_address(&self.unit, value).ok().flatten();
        let mut out = Vec::new();
        if let Some(value) = ranges {
            let Ok(Some(mut list)) = self.dwarf.attr_ranges(&self.unit, value) else { return out };
            while let Ok(Some(range)) = list.next() {
                out.push((range.begin, range.end));
            }
        } else if let (Some(low), Some(high)) = (low.and_then(address), high) {
            let end = match high {
                AttributeValue::Addr(_) | AttributeValue::DebugAddrIndex(_) => address(high),
                value => value.udata_value().map(|size| low.wrapping_add(size)),
            };
            out.extend(end.map(|end| (low, end)));
        }
        out.retain(|&(start, end)| start != 0 && start < end);
        out
    }

    /// Whether the code of an entry holds `addr`.
    pub fn covers(&self, entry: &Entry<'a>, addr: FileAddr) -> bool {
        self.ranges(entry).iter().any(|&(start, end)| (start..end).contains(&addr.0))
    }

    /// Where an entry with code is entered: `DW_AT_entry_pc` when its code
    /// has that address, else the start of its first range. (GCC gives many
    /// inlined calls an entry at an empty range before their code; stopping
    /// there would not be in them yet.) `None` when it has no code.
    pub fn entry_pc(&self, entry: &Entry<'a>, ranges: &[(u64, u64)]) -> Option<u64> {
        let first = ranges.first()?.0;
        let said = match entry.attr_value(gimli::DW_AT_entry_pc) {
            // DWARF 5, 2.18: a constant counts from the base address.
            Some(AttributeValue::Udata(offset)) => Some(first.wrapping_add(offset)),
            Some(value) => self.dwarf.attr_address(&self.unit, value).ok().flatten(),
            None => None,
        };
        let covered = |at: &u64| ranges.iter().any(|&(start, end)| (start..end).contains(at));
        Some(said.filter(covered).unwrap_or(first))
    }

    /// Visits the entries below an entry that have one of these tags; the
    /// others are passed over without reading their attributes, and looked
    /// below. `visit` says whether to look below the entry too.
    pub fn walk(&self, die: u32, tags: &[DwTag], visit: &mut dyn FnMut(&Entry<'a>) -> Below) {
        self.descend(die, tags, Below::Look, visit);
    }

    fn descend(
        &self,
        die: u32,
        tags: &[DwTag],
        unlisted: Below,
        visit: &mut dyn FnMut(&Entry<'a>) -> Below,
    ) {
        let Ok(mut raw) = self.unit.entries_raw(Some(UnitOffset(die as usize))) else { return };
        match raw.read_abbreviation() {
            Ok(Some(root)) if root.has_children() => {
                if raw.skip_attributes(root.attributes()).is_err() {
                    return;
                }
            }
            _ => return,
        }
        let mut entry = Entry::null();
        // Entries deeper than this are passed over.
        let mut floor = isize::MAX;
        while raw.next_depth() > 0 {
            let (depth, offset) = (raw.next_depth(), raw.next_offset());
            let abbreviation = match raw.read_abbreviation() {
                Ok(Some(abbreviation)) => abbreviation,
                Ok(None) => continue,
                Err(_) => return,
            };
            let (tag, specs) = (abbreviation.tag(), abbreviation.attributes());
            if depth > floor || !tags.contains(&tag) {
                if raw.skip_attributes(specs).is_err() {
                    return;
                }
                if depth <= floor {
                    floor = unlisted.floor(depth);
                }
                continue;
            }
            if raw.read_attributes(specs, &mut entry.attrs).is_err() {
                return;
            }
            entry =
                Entry { tag, has_children: abbreviation.has_children(), offset, depth, ..entry };
            floor = visit(&entry).floor(depth);
        }
    }

    /// The direct children of an entry that have one of these tags.
    pub fn children(&self, die: u32, tags: &[DwTag]) -> Vec<Entry<'a>> {
        let mut out = Vec::new();
        self.descend(die, tags, Below::Skip, &mut |entry| {
            out.push(entry.clone());
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

impl Below {
    /// The depth below which entries are passed over, after one at `depth`.
    fn floor(self, depth: isize) -> isize {
        match self {
            Below::Look => isize::MAX,
            Below::Skip => depth,
        }
    }
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
