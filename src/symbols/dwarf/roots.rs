//! The headers and roots of units, read for all units at once.

use crate::symbols::{
    SymbolsError,
    dwarf::{
        reader::{self, Slice, Value},
        split::Skeleton,
        units::Body,
    },
};
use gimli::{
    Abbreviations, AttributeValue, DebugLocListsBase, DebugRngListsBase, DebugStrOffsetsBase,
    LittleEndian, Reader as _, Section as _, UnitHeader, UnitType,
};
use std::{path::Path, sync::Arc};

/// Where a unit is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::symbols) enum Home {
    /// In `.debug_info`.
    Info,
    /// In `.debug_types`.
    Types,
    /// A type, in a `.dwo`; the number of that, and whether it is in
    /// `.debug_types` there.
    Split(u32, bool),
    /// In the `.debug_info` of the file of common parts.
    Common,
}

/// What the root of a unit says that every question needs: bases of its
/// tables, and where its lines are.
#[derive(Clone, Copy, Debug, Default)]
pub(in crate::symbols) struct Root {
    pub low_pc: u64,
    pub strings: usize,
    pub addresses: usize,
    pub locations: usize,
    pub ranges: usize,
    pub lines: Option<usize>,
}

/// A unit as it is found before anything in it is read.
pub(in crate::symbols) struct Found<'a> {
    pub header: UnitHeader<Slice<'a>>,
    pub offset: usize,
    pub home: Home,
}

impl Found<'_> {
    /// Whether it is of one type.
    pub fn is_type(&self) -> bool {
        matches!(self.header.type_(), UnitType::Type { .. } | UnitType::SplitType { .. })
    }
}

/// The units of a file, those of `.debug_info` first.
pub(in crate::symbols) fn found_in<'a>(
    path: &Path,
    dwarf: &gimli::Dwarf<Slice<'a>>,
) -> Result<Vec<Found<'a>>, SymbolsError> {
    let mut found = Vec::new();
    let mut headers = dwarf.debug_info.units();
    loop {
        match headers.next() {
            Ok(Some(header)) => {
                let offset = header.debug_info_offset().map_or(0, |offset| offset.0);
                found.push(Found { header, offset, home: Home::Info });
            }
            Ok(None) => break,
            // Units before the damage are good.
            Err(why) if found.is_empty() => {
                let (path, why) = (path.to_owned(), why.to_string());
                return Err(SymbolsError::Damaged { path, why });
            }
            Err(_) => break,
        }
    }
    let mut headers = dwarf.debug_types.units();
    while let Ok(Some(header)) = headers.next() {
        let offset = header.debug_types_offset().map_or(0, |offset| offset.0);
        found.push(Found { header, offset, home: Home::Types });
    }
    Ok(found)
}

/// The units of types in a `.dwo`.
pub(in crate::symbols) fn of_types<'a>(
    split: u32,
    dwarf: &gimli::Dwarf<Slice<'a>>,
    units: Vec<Found<'a>>,
) -> Vec<Listed> {
    let listed = |found: Found<'a>| {
        let home = Home::Split(split, found.home == Home::Types);
        Listed::new(dwarf, &Found { home, ..found })
    };
    units.into_iter().map(listed).collect()
}

/// A unit before it has a number.
pub(in crate::symbols) struct Listed {
    pub offset: usize,
    pub home: Home,
    pub body: Option<Body>,
    pub rooted: Option<Rooted>,
    /// For a unit of a type: its signature, and the type's entry.
    pub signed: Option<(u64, u32)>,
}

impl Listed {
    /// Reads the root of a unit.
    pub fn new<'a>(dwarf: &gimli::Dwarf<Slice<'a>>, found: &Found<'a>) -> Listed {
        let signed = match found.header.type_() {
            UnitType::Type { type_signature, type_offset }
            | UnitType::SplitType { type_signature, type_offset } => {
                u32::try_from(type_offset.0).ok().map(|die| (type_signature.0, die))
            }
            _ => None,
        };
        let rooted = Rooted::read(dwarf, &found.header);
        Listed { offset: found.offset, home: found.home, body: None, rooted, signed }
    }

    /// What it says of its part elsewhere.
    pub fn skeleton(&self) -> Option<&Skeleton> {
        self.rooted.as_ref()?.skeleton.as_ref()
    }
}

/// A unit before its root is read.
pub(in crate::symbols) fn bare<'a>(
    dwarf: &gimli::Dwarf<Slice<'a>>,
    header: UnitHeader<Slice<'a>>,
    abbreviations: Arc<Abbreviations>,
) -> gimli::Unit<Slice<'a>> {
    let (encoding, file) = (header.encoding(), dwarf.file_type);
    gimli::Unit {
        header,
        abbreviations,
        name: None,
        comp_dir: None,
        low_pc: 0,
        str_offsets_base: DebugStrOffsetsBase::default_for_encoding_and_file(encoding, file),
        addr_base: gimli::DebugAddrBase(0),
        loclists_base: DebugLocListsBase::default_for_encoding_and_file(encoding, file),
        rnglists_base: DebugRngListsBase::default_for_encoding_and_file(encoding, file),
        line_program: None,
        dwo_id: None,
    }
}

/// The root of a unit and the unit's code.
pub(in crate::symbols) struct Rooted {
    pub root: Root,
    pub code: Vec<(u64, u64)>,
    /// Its entries are elsewhere.
    skeleton: Option<Skeleton>,
}

impl Rooted {
    fn read<'a>(dwarf: &gimli::Dwarf<Slice<'a>>, header: &UnitHeader<Slice<'a>>) -> Option<Rooted> {
        let mut unit = bare(dwarf, *header, Arc::new(root_abbreviation(dwarf, header)?));
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
        let code = reader::code(dwarf, &unit, low, high, ranges);
        let text = |value: Value<'a>| {
            let text = dwarf.attr_string(&unit, value).ok()?;
            Some(text.to_string_lossy().into_owned())
        };
        let name = attr(gimli::DW_AT_dwo_name).or_else(|| attr(gimli::DW_AT_GNU_dwo_name));
        let skeleton = name.and_then(text).map(|name| Skeleton {
            name,
            id: match (header.type_(), attr(gimli::DW_AT_GNU_dwo_id)) {
                (UnitType::Skeleton(id), _) | (_, Some(AttributeValue::DwoId(id))) => Some(id.0),
                _ => None,
            },
            comp_dir: attr(gimli::DW_AT_comp_dir).and_then(text),
        });
        let root = Root {
            low_pc: unit.low_pc,
            strings: unit.str_offsets_base.0,
            addresses: unit.addr_base.0,
            locations: unit.loclists_base.0,
            ranges: unit.rnglists_base.0,
            lines,
        };
        Some(Rooted { root, code, skeleton })
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
