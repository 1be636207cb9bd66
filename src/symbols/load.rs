//! Loading: one pass over all units on every core, and what comes of it.
//!
//! Units are taken in pieces of the file. A piece drops what it has seen
//! already (types are described again in every unit), so that no more than a
//! piece is ever there twice. Pieces are merged in their order: of equal
//! names the first in the file is kept, however many cores there are.

use crate::{
    image::file::Image,
    symbols::{
        SymbolsError,
        code::{inlining, lines::Files},
        dwarf::{
            index::{Index, Names, SharedPool},
            reader::{Desk, Unit},
            units::{FunctionRange, Units},
        },
        image::ADDRESSES_AT,
    },
};
use rayon::{
    iter::{IntoParallelIterator as _, ParallelIterator as _},
    slice::ParallelSliceMut as _,
};
use rustc_hash::FxHashMap;
use std::{
    cmp::Reverse,
    sync::{
        Arc, OnceLock, PoisonError,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
};

/// Units in one piece of the work.
const PIECE: usize = 32;

/// What loading makes.
pub(super) struct Loaded {
    /// Functions out of line by address.
    pub functions: Vec<FunctionRange>,
    /// The same by entry, once they were asked for.
    by_die: OnceLock<Vec<FunctionRange>>,
    /// Names.
    pub index: Index,
    /// Source files.
    pub files: Files,
    /// Units with inlined calls of functions that other units describe.
    pub inline_far: Vec<u32>,
    /// Where the compiler ran, most used first.
    pub comp_dirs: Vec<String>,
}

impl Loaded {
    /// The functions of a unit in the order of their entries.
    pub fn functions_by_die(&self, unit: u32) -> &[FunctionRange] {
        let all = self.by_die.get_or_init(|| inlining::by_die(&self.functions));
        let start = all.partition_point(|function| function.unit < unit);
        let len = all[start..].partition_point(|function| function.unit == unit);
        &all[start..start + len]
    }
}

/// Reads the debug info of `image`; see
/// [`DebugImage::load_dwarf`](super::image::DebugImage::load_dwarf).
pub(super) fn load(
    image: &Image,
    units: &Units,
    progress: &(dyn Fn(f32) + Sync),
    cancel: &AtomicBool,
) -> Result<Loaded, SymbolsError> {
    let done = AtomicUsize::new(0);
    let pool = Arc::<SharedPool>::default();
    let total = units.len().max(1);
    let read = |piece: usize| {
        let mut part = Part { names: Names::new(pool.clone()), ..Part::default() };
        let desk = Desk::new(image, units, false);
        let numbers = piece * PIECE..units.len().min((piece + 1) * PIECE);
        for number in numbers.clone() {
            if cancel.load(Ordering::Relaxed) {
                return None;
            }
            // One that can't be parsed adds nothing.
            if let Some(unit) = desk.unit(number as u32) {
                part.read(&unit);
            }
        }
        let count = done.fetch_add(numbers.len(), Ordering::Relaxed) + numbers.len();
        progress(ADDRESSES_AT + (0.9 - ADDRESSES_AT) * count as f32 / total as f32);
        Some(part)
    };
    let pieces = 0..units.len().div_ceil(PIECE);
    let parts: Option<Vec<Part>> = pieces.into_par_iter().map(read).collect();
    let parts = parts.ok_or(SymbolsError::Cancelled)?;
    let pool = std::mem::take(&mut *pool.lock().unwrap_or_else(PoisonError::into_inner));
    let loaded = merge(image, parts, pool.into_text());
    if cancel.load(Ordering::Relaxed) {
        return Err(SymbolsError::Cancelled);
    }
    Ok(loaded)
}

/// What one piece of the units adds.
#[derive(Default)]
struct Part {
    comp_dirs: FxHashMap<String, usize>,
    names: Names,
    files: Files,
    inline_far: Vec<u32>,
}

impl Part {
    fn read(&mut self, unit: &Unit<'_>) {
        if let Some(dir) = unit.comp_dir() {
            *self.comp_dirs.entry(dir).or_default() += 1;
        }
        if unit.inlines_from_afar() {
            self.inline_far.push(unit.number);
        }
        self.names.read(unit);
        // Units of types have no code, and name the files of others.
        if !unit.is_of_type() {
            self.files.read(unit);
        }
    }
}

fn merge(image: &Image, parts: Vec<Part>, pool: Vec<u8>) -> Loaded {
    let (mut functions, mut names, mut inline_far) = (Vec::new(), Vec::new(), Vec::new());
    let mut files = Vec::new();
    let mut dirs: FxHashMap<String, usize> = FxHashMap::default();
    for part in parts {
        functions.extend(part.names.functions);
        names.push(part.names.entries);
        files.push(part.files);
        inline_far.extend(part.inline_far);
        for (dir, count) in part.comp_dirs {
            *dirs.entry(dir).or_default() += count;
        }
    }
    functions.par_sort_by_key(|range: &FunctionRange| (range.start, Reverse(range.size)));
    functions.shrink_to_fit();
    let mut dirs: Vec<(String, usize)> = dirs.into_iter().collect();
    dirs.sort_by(|a, b| b.1.cmp(&a.1).then(a.0.cmp(&b.0)));
    let (index, files) =
        rayon::join(|| Index::build(image, names, pool), || Files::of_parts(files));
    Loaded {
        functions,
        by_die: OnceLock::new(),
        index,
        files,
        inline_far,
        comp_dirs: dirs.into_iter().map(|(dir, _)| dir).collect(),
    }
}
