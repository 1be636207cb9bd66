//! Every unit of an image: where it starts, what its root says, which code it
//! has. The first thing that is read, and enough for a question about an
//! address.
//!
//! Units are numbered: those of `.debug_info` in the order of the file, then
//! those of `.debug_types` (DWARF 4). What is kept of them borrows nothing.

use crate::{
    base::addr::FileAddr,
    image::file::Image,
    symbols::{
        SymbolsError,
        answer::SourceFile,
        dwarf::{self, Sections, Slice, Value},
        rows::Rows,
    },
};
use gimli::{
    Abbreviations, AttributeValue, DebugInfoOffset, DebugLineOffset, DebugTypes, LittleEndian,
    Reader as _, Section as _, UnitHeader, UnitType,
};
use rayon::{
    iter::{IntoParallelRefIterator as _, ParallelIterator as _},
    slice::ParallelSliceMut as _,
};
use rustc_hash::FxHashMap;
use std::{
    cmp::Reverse,
    sync::{Arc, OnceLock},
};

/// What is kept of a unit.
#[derive(Debug)]
pub(super) struct Head {
    /// Where its header starts in its section.
    pub offset: usize,
    /// It is in `.debug_types`.
    in_types: bool,
    /// What its root says; `None` for a unit that can't be parsed, which
    /// keeps its number.
    root: Option<Root>,
    /// Its abbreviations, once it was asked for: those of all units are more
    /// than everything else that is kept.
    abbreviations: OnceLock<Arc<Abbreviations>>,
    /// Its line table, once it was asked for.
    pub rows: OnceLock<Arc<Rows>>,
    /// The files of its line table by index, those that were asked for.
    pub files: OnceLock<Files>,
    /// Its functions out of line, when an address was asked for before the
    /// functions of all units were there.
    pub functions: OnceLock<Vec<FunctionRange>>,
}

type Files = Box<[OnceLock<Option<Box<SourceFile>>>]>;

/// What the root of a unit says that every question needs: bases of its
/// tables, and where its lines are.
#[derive(Clone, Copy, Debug, Default)]
struct Root {
    low_pc: u64,
    strings: usize,
    addresses: usize,
    locations: usize,
    ranges: usize,
    lines: Option<usize>,
}

/// Code that a unit has.
#[derive(Clone, Copy, Debug)]
pub(super) struct UnitRange {
    pub start: u64,
    pub end: u64,
    pub unit: u32,
}

/// One range of a function out of line.
#[derive(Clone, Copy, Debug)]
pub(super) struct FunctionRange {
    pub start: u64,
    pub end: u64,
    pub unit: u32,
    pub die: u32,
}

/// The range of `ranges`, which are by start and longest first, that holds
/// `addr`.
pub(super) fn range_at(ranges: &[FunctionRange], addr: FileAddr) -> Option<FunctionRange> {
    let after = ranges.partition_point(|range| range.start <= addr.0);
    let mut near = ranges[..after].iter().rev().take(8);
    near.find(|range| addr.0 < range.end).copied()
}

/// The units of an image.
#[derive(Debug, Default)]
pub(super) struct Units {
    heads: Vec<Head>,
    /// How many of them are in `.debug_info`.
    in_info: usize,
    /// Code by address: which unit.
    ranges: Vec<UnitRange>,
    /// Types that have a unit of their own, by signature: the unit and the
    /// entry in it.
    signatures: FxHashMap<u64, (u32, u32)>,
    sections: Sections,
}

/// A unit as it is found before anything in it is read.
struct Found<'a> {
    header: UnitHeader<Slice<'a>>,
    offset: usize,
    in_types: bool,
}

impl Units {
    /// Reads the headers and roots of all units.
    ///
    /// # Errors
    /// Not even the first header can be read.
    pub fn read(image: &Image) -> Result<Units, SymbolsError> {
        let sections = Sections::of(image);
        let dwarf = dwarf::view(image, &sections);
        let mut found = Vec::new();
        let mut headers = dwarf.debug_info.units();
        loop {
            match headers.next() {
                Ok(Some(header)) => {
                    let offset = header.debug_info_offset().map_or(0, |offset| offset.0);
                    found.push(Found { header, offset, in_types: false });
                }
                Ok(None) => break,
                // Units before the damage are good.
                Err(why) if found.is_empty() => {
                    let (path, why) = (image.path().to_owned(), why.to_string());
                    return Err(SymbolsError::Damaged { path, why });
                }
                Err(_) => break,
            }
        }
        let in_info = found.len();
        let mut headers = dwarf.debug_types.units();
        while let Ok(Some(header)) = headers.next() {
            let offset = header.debug_types_offset().map_or(0, |offset| offset.0);
            found.push(Found { header, offset, in_types: true });
        }
        let mut units = Units { in_info, sections, ..Units::default() };
        let roots: Vec<Option<Rooted>> =
            found.par_iter().map(|found| Rooted::read(&dwarf, &found.header)).collect();
        for (number, (found, rooted)) in (0u32..).zip(found.into_iter().zip(roots)) {
            let signed = match found.header.type_() {
                UnitType::Type { type_signature, type_offset }
                | UnitType::SplitType { type_signature, type_offset } => {
                    u32::try_from(type_offset.0).ok().map(|die| (type_signature.0, die))
                }
                _ => None,
            };
            if let Some((signature, die)) = signed {
                units.signatures.entry(signature).or_insert((number, die));
            }
            let root = rooted.map(|Rooted { root, code }| {
                let range = |(start, end)| UnitRange { start, end, unit: number };
                units.ranges.extend(code.into_iter().map(range));
                root
            });
            let Found { offset, in_types, .. } = found;
            units.heads.push(Head {
                offset,
                in_types,
                root,
                abbreviations: OnceLock::new(),
                rows: OnceLock::new(),
                files: OnceLock::new(),
                functions: OnceLock::new(),
            });
        }
        units.ranges.par_sort_by_key(|range| (range.start, Reverse(range.end)));
        units.ranges.shrink_to_fit();
        Ok(units)
    }

    /// Where the sections they are in are.
    pub fn sections(&self) -> &Sections {
        &self.sections
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        self.heads.len()
    }

    /// What is kept of a unit.
    pub fn head(&self, number: u32) -> Option<&Head> {
        self.heads.get(number as usize)
    }

    /// The code of all units, by address.
    pub fn ranges(&self) -> &[UnitRange] {
        &self.ranges
    }

    /// The unit whose code holds `addr`.
    pub fn at(&self, addr: FileAddr) -> Option<u32> {
        let after = self.ranges.partition_point(|range| range.start <= addr.0);
        // Ranges of units may overlap where a compiler is careless; the
        // nearest start is the tightest.
        let mut near = self.ranges[..after].iter().rev().take(8);
        near.find(|range| addr.0 < range.end).map(|range| range.unit)
    }

    /// The unit of `.debug_info` that has the entry at `offset` of the
    /// section.
    pub fn holding(&self, offset: usize) -> Option<u32> {
        let after = self.heads[..self.in_info].partition_point(|head| head.offset <= offset);
        after.checked_sub(1).and_then(|number| u32::try_from(number).ok())
    }

    /// The type of a signature: its unit, and the entry there.
    pub fn signed(&self, signature: u64) -> Option<(u32, u32)> {
        self.signatures.get(&signature).copied()
    }
}

impl Head {
    /// Where its line table is.
    pub fn lines(&self) -> Option<usize> {
        self.root?.lines
    }

    /// A file of its line table, if it was asked for before.
    pub fn file(&self, index: u64) -> Option<SourceFile> {
        self.files.get()?.get(usize::try_from(index).ok()?)?.get()?.as_deref().cloned()
    }

    /// The unit, ready to be read. With `keep`, its abbreviations are kept.
    pub fn open<'a>(
        &self,
        dwarf: &gimli::Dwarf<Slice<'a>>,
        keep: bool,
    ) -> Option<gimli::Unit<Slice<'a>>> {
        let root = self.root?;
        let header = match self.in_types {
            false => dwarf.debug_info.header_from_offset(DebugInfoOffset(self.offset)).ok()?,
            true => {
                let tail = dwarf.debug_types.reader().slice().get(self.offset..)?;
                DebugTypes::new(tail, LittleEndian).units().next().ok()??
            }
        };
        let parse = || dwarf.abbreviations(&header).unwrap_or_default();
        let abbreviations = match keep {
            true => self.abbreviations.get_or_init(parse).clone(),
            false => parse(),
        };
        let mut unit = bare(header, abbreviations);
        unit.low_pc = root.low_pc;
        unit.str_offsets_base.0 = root.strings;
        unit.addr_base.0 = root.addresses;
        unit.loclists_base.0 = root.locations;
        unit.rnglists_base.0 = root.ranges;
        Some(unit)
    }

    /// The unit's line table and what comes after it; empty for none.
    pub fn line_table<'a>(&self, dwarf: &gimli::Dwarf<Slice<'a>>) -> &'a [u8] {
        let section = dwarf.debug_line.reader().slice();
        self.lines().and_then(|lines| section.get(lines..)).unwrap_or_default()
    }

    /// The header of the unit's line table.
    pub fn line_program<'a>(
        &self,
        dwarf: &gimli::Dwarf<Slice<'a>>,
        unit: &gimli::Unit<Slice<'a>>,
    ) -> Option<gimli::IncompleteLineProgram<Slice<'a>>> {
        let offset = DebugLineOffset(self.root?.lines?);
        let root = unit.entry(unit.header.root_offset()).ok()?;
        let text = |name| {
            let value: Option<Value<'a>> = root.attr_value(name);
            value.and_then(|value| dwarf.attr_string(unit, value).ok())
        };
        let (dir, name) = (text(gimli::DW_AT_comp_dir), text(gimli::DW_AT_name));
        dwarf.debug_line.program(offset, unit.header.address_size(), dir, name).ok()
    }
}

/// A unit before its root is read.
fn bare<'a>(
    header: UnitHeader<Slice<'a>>,
    abbreviations: Arc<Abbreviations>,
) -> gimli::Unit<Slice<'a>> {
    gimli::Unit {
        header,
        abbreviations,
        name: None,
        comp_dir: None,
        low_pc: 0,
        str_offsets_base: gimli::DebugStrOffsetsBase(0),
        addr_base: gimli::DebugAddrBase(0),
        loclists_base: gimli::DebugLocListsBase(0),
        rnglists_base: gimli::DebugRngListsBase(0),
        line_program: None,
        dwo_id: None,
    }
}

/// The root of a unit and the unit's code.
struct Rooted {
    root: Root,
    code: Vec<(u64, u64)>,
}

impl Rooted {
    fn read<'a>(dwarf: &gimli::Dwarf<Slice<'a>>, header: &UnitHeader<Slice<'a>>) -> Option<Rooted> {
        let mut unit = bare(*header, Arc::new(root_abbreviation(dwarf, header)?));
        let entry = unit.entry(header.root_offset()).ok().filter(|entry| !entry.is_null())?;
        let mut lines = None;
        for attribute in entry.attrs() {
            match (attribute.name(), attribute.value()) {
                (gimli::DW_AT_stmt_list, AttributeValue::DebugLineRef(at)) => lines = Some(at.0),
                (_, AttributeValue::DebugStrOffsetsBase(base)) => unit.str_offsets_base = base,
                (_, AttributeValue::DebugAddrBase(base)) => unit.addr_base = base,
                (_, AttributeValue::DebugLocListsBase(base)) => unit.loclists_base = base,
                (_, AttributeValue::DebugRngListsBase(base)) => unit.rnglists_base = base,
                _ => {}
            }
        }
        let attr = |name| entry.attr_value(name);
        let low = attr(gimli::DW_AT_low_pc);
        let address = |value| dwarf.attr_address(&unit, value).ok().flatten();
        unit.low_pc = low.and_then(address).unwrap_or(0);
        let (high, ranges) = (attr(gimli::DW_AT_high_pc), attr(gimli::DW_AT_ranges));
        let code = dwarf::code(dwarf, &unit, low, high, ranges);
        let root = Root {
            low_pc: unit.low_pc,
            strings: unit.str_offsets_base.0,
            addresses: unit.addr_base.0,
            locations: unit.loclists_base.0,
            ranges: unit.rnglists_base.0,
            lines,
        };
        Some(Rooted { root, code })
    }
}

/// The one abbreviation that the root of a unit has. Parsing all of them takes
/// most of the time that reading the roots of all units would.
fn root_abbreviation(
    dwarf: &gimli::Dwarf<Slice<'_>>,
    header: &UnitHeader<Slice<'_>>,
) -> Option<Abbreviations> {
    let root = header.range_from(header.root_offset()..).ok()?.read_uleb128().ok()?;
    let mut all = *dwarf.debug_abbrev.reader();
    all.skip(header.debug_abbrev_offset().0).ok()?;
    loop {
        let start = all;
        let code = all.read_uleb128().ok().filter(|&code| code != 0)?;
        all.skip_leb128().ok()?;
        all.skip(1).ok()?;
        loop {
            let (name, form) = (all.read_uleb128().ok()?, all.read_uleb128().ok()?);
            if form == u64::from(gimli::DW_FORM_implicit_const.0) {
                all.skip_leb128().ok()?;
            }
            if (name, form) == (0, 0) {
                break;
            }
        }
        if code == root {
            let mut one = start.slice()[..start.len() - all.len()].to_vec();
            // The end of the table.
            one.push(0);
            let one = gimli::DebugAbbrev::new(&one, LittleEndian);
            return one.abbreviations(gimli::DebugAbbrevOffset(0)).ok();
        }
    }
}
