//! Every unit of an image: where it starts, what its root says, which code it
//! has. The first thing that is read, and enough for a question about an
//! address.
//!
//! Units are numbered: those of `.debug_info` in the order of the file, then
//! those of `.debug_types` (DWARF 4), those of types in `.dwo` files, and those
//! of the file that `dwz` moved common parts into. A unit whose entries are in
//! a `.dwo` has the number of its skeleton. What is kept borrows nothing.

use crate::{
    base::addr::FileAddr,
    image::file::Image,
    symbols::{
        SymbolsError,
        answer::SourceFile,
        dwarf::{
            index::NameRef,
            reader::{self, Opened, Sections, Slice, Value},
            roots::{Found, Home, Listed, Root, Rooted, bare, found_in, of_types},
            rows::Rows,
            split::{self, Finder, Missing, Split},
        },
    },
};
use gimli::{
    Abbreviations, DebugInfoOffset, DebugLineOffset, DebugTypes, LittleEndian, Section as _,
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
pub(in crate::symbols) struct Head {
    /// Where its header starts in its section.
    offset: usize,
    home: Home,
    /// Where its entries are instead, for a skeleton.
    body: Option<Body>,
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

/// Where the entries of a skeleton's unit are.
#[derive(Debug)]
pub(in crate::symbols) struct Body {
    split: u32,
    offset: usize,
    comp_dir: Option<String>,
}

/// DWARF that is not in the file itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(in crate::symbols) enum Elsewhere {
    /// In a `.dwo`, by its number.
    Split(u32),
    /// In the file of common parts.
    Common,
}

/// Code that a unit has.
#[derive(Clone, Copy, Debug)]
pub(in crate::symbols) struct UnitRange {
    pub start: u64,
    pub end: u64,
    pub unit: u32,
}

/// One range of a function out of line.
#[derive(Clone, Copy, Debug)]
pub(in crate::symbols) struct FunctionRange {
    pub start: u64,
    /// Bytes.
    pub size: u32,
    pub unit: u32,
    pub die: u32,
    pub name: NameRef,
}

/// The range of `ranges`, which are by start and longest first, that holds
/// `addr`.
pub(in crate::symbols) fn range_at(
    ranges: &[FunctionRange],
    addr: FileAddr,
) -> Option<FunctionRange> {
    let after = ranges.partition_point(|range| range.start <= addr.0);
    let mut near = ranges[..after].iter().rev().take(8);
    near.find(|range| addr.0 - range.start < range.size.into()).copied()
}

/// The units of an image.
#[derive(Debug, Default)]
pub(in crate::symbols) struct Units {
    heads: Vec<Head>,
    /// How many of them are in `.debug_info`.
    in_info: usize,
    /// Code by address: which unit.
    ranges: Vec<UnitRange>,
    /// Types that have a unit of their own, by signature: the unit and the
    /// entry in it.
    signatures: FxHashMap<u64, (u32, u32)>,
    sections: Sections,
    splits: Vec<Split>,
    common: Option<(Image, Sections)>,
    /// Where the units of that start, by number.
    in_common: usize,
    missing: Missing,
}

impl Units {
    /// Reads the headers and roots of all units.
    ///
    /// # Errors
    /// Not even the first header can be read.
    pub fn read(image: &Image) -> Result<Units, SymbolsError> {
        let mut units = Units { sections: Sections::of(image, false), ..Units::default() };
        match split::common(image) {
            Some(Ok(common)) => {
                let sections = Sections::of(&common, false);
                units.common = Some((common, sections));
            }
            Some(Err(path)) => units.missing.note_common(path),
            None => {}
        }
        let mut listed = {
            let dwarf = units.view(image);
            let found = found_in(image.path(), &dwarf)?;
            found.par_iter().map(|found| Listed::new(&dwarf, found)).collect::<Vec<Listed>>()
        };
        units.in_info = listed.iter().take_while(|listed| listed.home == Home::Info).count();
        let common = units.common.as_ref().map(|(common, sections)| {
            let dwarf = reader::view(common, sections);
            let found = found_in(common.path(), &dwarf).unwrap_or_default();
            let infos = found.into_iter().filter(|found| found.home == Home::Info);
            let moved = infos.map(|found| Found { home: Home::Common, ..found });
            moved.map(|found| Listed::new(&dwarf, &found)).collect::<Vec<Listed>>()
        });
        units.find_splits(image, &mut listed);
        units.in_common = listed.len();
        listed.extend(common.into_iter().flatten());
        for (number, listed) in (0u32..).zip(listed) {
            units.add(number, listed);
        }
        units.ranges.par_sort_by_key(|range| (range.start, Reverse(range.end)));
        units.ranges.shrink_to_fit();
        Ok(units)
    }

    /// Looks for the `.dwo` files of the skeletons, and lists the units of
    /// types that are in them.
    fn find_splits(&mut self, image: &Image, listed: &mut Vec<Listed>) {
        if listed.iter().all(|listed| listed.skeleton().is_none()) {
            return;
        }
        let finder = Finder::new(image);
        let finds: Vec<Option<Split>> = (listed.par_iter())
            .map(|listed| listed.skeleton().and_then(|skeleton| finder.find(skeleton)))
            .collect();
        let mut types = Vec::new();
        for (listed, split) in listed.iter_mut().zip(finds) {
            let Some(skeleton) = listed.skeleton().cloned() else { continue };
            let parts = split.iter().flat_map(Split::parts);
            let mut found = false;
            for part in parts {
                let number = self.splits.len() as u32;
                let Some(dwarf) = part.dwarf(&self.view(image)) else { continue };
                let (others, own): (Vec<_>, Vec<_>) =
                    split::units_of(&dwarf).into_iter().partition(|unit| unit.is_type());
                types.extend(of_types(number, &dwarf, others));
                if let (Some(unit), None) = (own.first(), &listed.body) {
                    let (offset, comp_dir) = (unit.offset, skeleton.comp_dir.clone());
                    listed.body = Some(Body { split: number, offset, comp_dir });
                    found = true;
                }
                drop((dwarf, own));
                self.splits.push(part);
            }
            self.missing.note(&skeleton, found);
        }
        for split in finder.types() {
            let number = self.splits.len() as u32;
            let dwarf = split.dwarf(&self.view(image));
            types.extend(
                dwarf.iter().flat_map(|dwarf| of_types(number, dwarf, split::units_of(dwarf))),
            );
            drop(dwarf);
            self.splits.push(split);
        }
        listed.extend(types);
    }

    fn add(&mut self, number: u32, listed: Listed) {
        if let Some((signature, die)) = listed.signed {
            self.signatures.entry(signature).or_insert((number, die));
        }
        let root = listed.rooted.map(|Rooted { root, code, .. }| {
            let range = |(start, end)| UnitRange { start, end, unit: number };
            self.ranges.extend(code.into_iter().map(range));
            root
        });
        self.heads.push(Head {
            offset: listed.offset,
            home: listed.home,
            body: listed.body,
            root,
            abbreviations: OnceLock::new(),
            rows: OnceLock::new(),
            files: OnceLock::new(),
            functions: OnceLock::new(),
        });
    }

    /// The DWARF of the file itself.
    pub fn view<'a>(&'a self, image: &'a Image) -> gimli::Dwarf<Slice<'a>> {
        let mut dwarf = reader::view(image, &self.sections);
        if let Some((common, sections)) = &self.common {
            dwarf.set_sup(reader::view(common, sections));
        }
        dwarf
    }

    /// DWARF that is not in the file itself, whose own is `main`.
    pub fn elsewhere<'a>(
        &'a self,
        place: Elsewhere,
        main: &gimli::Dwarf<Slice<'a>>,
    ) -> Option<gimli::Dwarf<Slice<'a>>> {
        match place {
            Elsewhere::Split(number) => self.splits.get(number as usize)?.dwarf(main),
            Elsewhere::Common => {
                self.common.as_ref().map(|(common, sections)| reader::view(common, sections))
            }
        }
    }

    /// What is not there of the debug info.
    pub fn missing(&self) -> &Missing {
        &self.missing
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

    /// The entry at `offset` of `.debug_info`, of the file of common parts or
    /// the file itself: the unit and the offset in it.
    pub fn holding(&self, offset: usize, common: bool) -> Option<(u32, usize)> {
        let first = if common { self.in_common } else { 0 };
        let heads = match common {
            true => self.heads.get(first..)?,
            false => self.heads.get(..self.in_info)?,
        };
        let at = heads.partition_point(|head| head.offset <= offset).checked_sub(1)?;
        Some((u32::try_from(first + at).ok()?, offset - heads[at].offset))
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

    /// The same, if it is in the file itself.
    pub fn lines_here(&self) -> Option<usize> {
        self.lines().filter(|_| matches!(self.home, Home::Info | Home::Types))
    }

    /// Where its entries are, if not in the file itself.
    pub fn elsewhere(&self) -> Option<Elsewhere> {
        match (&self.body, self.home) {
            (Some(body), _) => Some(Elsewhere::Split(body.split)),
            (None, Home::Split(number, _)) => Some(Elsewhere::Split(number)),
            (None, Home::Common) => Some(Elsewhere::Common),
            (None, Home::Info | Home::Types) => None,
        }
    }

    /// Whether its entries are in a `.dwo` and its lines in the file.
    pub fn is_split(&self) -> bool {
        self.body.is_some()
    }

    /// Whether it is in the file of common parts.
    pub fn is_common(&self) -> bool {
        self.home == Home::Common
    }

    /// Where the compiler ran, if only its skeleton says so.
    pub fn comp_dir(&self) -> Option<&str> {
        self.body.as_ref()?.comp_dir.as_deref()
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
        let offset = self.body.as_ref().map_or(self.offset, |body| body.offset);
        let header = match self.home {
            Home::Types | Home::Split(_, true) => {
                let tail = dwarf.debug_types.reader().slice().get(offset..)?;
                DebugTypes::new(tail, LittleEndian).units().next().ok()??
            }
            _ => dwarf.debug_info.header_from_offset(DebugInfoOffset(offset)).ok()?,
        };
        let parse = || dwarf.abbreviations(&header).unwrap_or_default();
        let abbreviations = match keep {
            true => self.abbreviations.get_or_init(parse).clone(),
            false => parse(),
        };
        let mut unit = bare(dwarf, header, abbreviations);
        unit.low_pc = root.low_pc;
        unit.addr_base.0 = root.addresses;
        // A `.dwo` has its own tables, but ranges before DWARF 5.
        if self.body.is_none() {
            unit.str_offsets_base.0 = root.strings;
            unit.loclists_base.0 = root.locations;
        }
        if self.body.is_none() || unit.header.version() < 5 {
            unit.rnglists_base.0 = root.ranges;
        }
        Some(unit)
    }

    /// The header of the unit's line table.
    pub fn line_program<'a>(
        &'a self,
        dwarf: &gimli::Dwarf<Slice<'a>>,
        open: &Opened<'a>,
    ) -> Option<gimli::IncompleteLineProgram<Slice<'a>>> {
        let offset = DebugLineOffset(self.root?.lines?);
        let unit = &open.unit;
        let root = unit.entry(unit.header.root_offset()).ok()?;
        let text = |name| {
            let value: Option<Value<'a>> = root.attr_value(name);
            value.and_then(|value| open.dwarf.attr_string(unit, value).ok())
        };
        let said = || self.comp_dir().map(|dir| Slice::new(dir.as_bytes(), LittleEndian));
        let dir = text(gimli::DW_AT_comp_dir).or_else(said);
        let name = text(gimli::DW_AT_name);
        dwarf.debug_line.program(offset, unit.header.address_size(), dir, name).ok()
    }
}
