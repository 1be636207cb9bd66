//! Loading: one pass over all units on every core, and what comes of it.
//!
//! Units are taken in pieces of the file. A piece drops what it has seen
//! already (types are described again in every unit), so that no more than a
//! piece is ever there twice. Pieces are merged in their order: of equal
//! names the first in the file is kept, however many cores there are.

use crate::{
    base::addr::FileAddr,
    image::file::Image,
    symbols::{
        SymbolsError,
        dwarf::{self, Head, Slice, Unit},
        index::{Index, Names},
        lines::Files,
    },
};
use rayon::{
    iter::{IndexedParallelIterator as _, ParallelIterator as _},
    slice::ParallelSlice as _,
};
use rustc_hash::FxHashMap;
use std::{
    cmp::Reverse,
    sync::{
        Arc, OnceLock,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
};

/// Units in one piece of the work.
const PIECE: usize = 32;

/// What loading makes.
pub(super) struct Loaded {
    /// Every unit, in the order of the file.
    pub heads: Vec<Head>,
    /// Code by address: which unit.
    pub unit_ranges: Vec<UnitRange>,
    /// Functions out of line by address.
    pub functions: Vec<FunctionRange>,
    /// Names.
    pub index: Index,
    /// Source files.
    pub files: Files,
    /// Where the compiler ran, most used first.
    pub comp_dirs: Vec<String>,
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

impl Loaded {
    /// The function out of line that holds `addr`.
    pub fn function_at(&self, addr: FileAddr) -> Option<FunctionRange> {
        let after = self.functions.partition_point(|range| range.start <= addr.0);
        let mut near = self.functions[..after].iter().rev().take(8);
        near.find(|range| addr.0 < range.end).copied()
    }
}

/// Reads the debug info of `image`; see
/// [`DebugImage::load_dwarf`](super::image::DebugImage::load_dwarf).
pub(super) fn load(
    image: &Image,
    progress: &(dyn Fn(f32) + Sync),
    cancel: &AtomicBool,
) -> Result<Loaded, SymbolsError> {
    if !image.has_dwarf() {
        return Err(SymbolsError::NoDwarf(image.path().to_owned()));
    }
    let dwarf = Arc::new(dwarf::view(image));
    let damaged = |why: gimli::Error| SymbolsError::Damaged {
        path: image.path().to_owned(),
        why: why.to_string(),
    };
    let mut headers = Vec::new();
    let mut units = dwarf.debug_info.units();
    loop {
        match units.next() {
            Ok(Some(header)) => headers.push(header),
            Ok(None) => break,
            // Units before the damage are good.
            Err(why) if headers.is_empty() => return Err(damaged(why)),
            Err(_) => break,
        }
    }
    let done = AtomicUsize::new(0);
    let total = headers.len().max(1);
    let read = |(piece, headers): (usize, &[gimli::UnitHeader<Slice<'_>>])| {
        let mut part = Part::default();
        for (i, header) in headers.iter().enumerate() {
            if cancel.load(Ordering::Relaxed) {
                return None;
            }
            part.read(&dwarf, *header, (piece * PIECE + i) as u32);
        }
        let count = done.fetch_add(headers.len(), Ordering::Relaxed) + headers.len();
        progress(0.9 * count as f32 / total as f32);
        Some(part)
    };
    let parts: Option<Vec<Part>> = headers.par_chunks(PIECE).enumerate().map(read).collect();
    let loaded = merge(image, parts.ok_or(SymbolsError::Cancelled)?);
    if cancel.load(Ordering::Relaxed) {
        return Err(SymbolsError::Cancelled);
    }
    Ok(loaded)
}

/// What one piece of the units adds.
#[derive(Default)]
struct Part {
    heads: Vec<Head>,
    comp_dirs: FxHashMap<String, usize>,
    ranges: Vec<UnitRange>,
    names: Names,
    files: Files,
}

impl Part {
    /// Adds one unit. One that can't be parsed adds nothing, but keeps its
    /// number.
    fn read<'a>(
        &mut self,
        dwarf: &Arc<gimli::Dwarf<Slice<'a>>>,
        header: gimli::UnitHeader<Slice<'a>>,
        number: u32,
    ) {
        let offset = header.debug_info_offset().map_or(0, |offset| offset.0);
        self.heads.push(Head { offset, abbreviations: OnceLock::new(), rows: OnceLock::new() });
        let Ok(unit) = gimli::Unit::new(dwarf, header) else { return };
        let unit = Unit { dwarf: dwarf.clone(), unit, number };
        if let Some(dir) = unit.unit.comp_dir {
            *self.comp_dirs.entry(dir.to_string_lossy().into_owned()).or_default() += 1;
        }
        self.names.read(&unit);
        self.files.read(&unit);
        if let Some(root) = unit.entry(unit.unit.header.root_offset().0 as u32) {
            let range = |(start, end)| UnitRange { start, end, unit: number };
            self.ranges.extend(unit.ranges(&root).into_iter().map(range));
        }
    }
}

fn merge(image: &Image, parts: Vec<Part>) -> Loaded {
    let (mut heads, mut unit_ranges, mut functions) = (Vec::new(), Vec::new(), Vec::new());
    let mut names = Vec::new();
    let mut files = Files::default();
    let mut dirs: FxHashMap<String, usize> = FxHashMap::default();
    for part in parts {
        heads.extend(part.heads);
        unit_ranges.extend(part.ranges);
        functions.extend(part.names.functions);
        names.push(part.names.entries);
        files.merge(part.files);
        for (dir, count) in part.comp_dirs {
            *dirs.entry(dir).or_default() += count;
        }
    }
    unit_ranges.sort_by_key(|range: &UnitRange| (range.start, Reverse(range.end)));
    functions.sort_by_key(|range: &FunctionRange| (range.start, Reverse(range.end)));
    unit_ranges.shrink_to_fit();
    functions.shrink_to_fit();
    let mut dirs: Vec<(String, usize)> = dirs.into_iter().collect();
    dirs.sort_by(|a, b| b.1.cmp(&a.1).then(a.0.cmp(&b.0)));
    Loaded {
        heads,
        unit_ranges,
        functions,
        index: Index::build(image, names),
        files: files.sorted(),
        comp_dirs: dirs.into_iter().map(|(dir, _)| dir).collect(),
    }
}
