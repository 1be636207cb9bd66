//! One file with its debug info: quick to open, slow to load, once.

use crate::{
    base::addr::FileAddr,
    image::file::Image,
    symbols::{
        SymbolsError,
        answer::{CodeLines, Layout},
        cfi::Frames,
        dwarf::{self, Head, Slice, Unit},
        index::{Index, Names},
        lines::{Files, UnitFiles},
    },
};
use rayon::iter::{
    IndexedParallelIterator as _, IntoParallelRefIterator as _, ParallelIterator as _,
};
use rustc_hash::FxHashMap;
use std::{
    collections::BTreeSet,
    path::Path,
    sync::{
        Arc, Mutex, OnceLock,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
};

/// An ELF file and, once loaded, its DWARF.
pub struct DebugImage {
    image: Image,
    loaded: OnceLock<Loaded>,
    frames: OnceLock<Frames>,
    /// By unit and entry.
    layouts: Mutex<FxHashMap<(u32, u32), CachedLayout>>,
    lines: Mutex<FxHashMap<String, CodeLines>>,
}

/// A layout, or that there is none.
type CachedLayout = Option<Arc<Layout>>;

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
    comp_dirs: Vec<String>,
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

impl DebugImage {
    /// Opens a file without looking at its debug info.
    pub fn open(path: &Path) -> Result<Arc<DebugImage>, SymbolsError> {
        Ok(Arc::new(DebugImage {
            image: Image::open(path)?,
            loaded: OnceLock::new(),
            frames: OnceLock::new(),
            layouts: Mutex::default(),
            lines: Mutex::default(),
        }))
    }

    /// Reads the debug info; takes a while, so call it on a thread.
    /// `progress` gets values from 0 to 1; setting `cancel` ends it early.
    ///
    /// # Errors
    /// There is no DWARF, its headers are damaged, or `cancel` was set; the
    /// ELF symbols answer as before, and loading may be tried again.
    pub fn load_dwarf(
        &self,
        progress: &(dyn Fn(f32) + Sync),
        cancel: &AtomicBool,
    ) -> Result<(), SymbolsError> {
        if self.loaded.get().is_some() {
            return Ok(());
        }
        let loaded = load(&self.image, progress, cancel)?;
        // When two threads loaded at once, either result is right.
        let _ = self.loaded.set(loaded);
        progress(1.0);
        Ok(())
    }

    /// Whether the debug info has been loaded.
    pub fn dwarf_ready(&self) -> bool {
        self.loaded.get().is_some()
    }

    /// The ELF file.
    pub fn image(&self) -> &Image {
        &self.image
    }

    /// Every directory the compiler ran in (`DW_AT_comp_dir`), most used
    /// first; where the sources were when the kernel was built.
    pub fn comp_dirs(&self) -> Vec<String> {
        self.loaded().map(|loaded| loaded.comp_dirs.clone()).unwrap_or_default()
    }

    pub(super) fn loaded(&self) -> Option<&Loaded> {
        self.loaded.get()
    }

    /// The call frame descriptions; needs no loading.
    pub(super) fn frames(&self) -> &Frames {
        self.frames.get_or_init(|| Frames::read(&self.image))
    }

    /// The layout of the type at `die` of `unit`, made once.
    pub(super) fn cached_layout(
        &self,
        key: (u32, u32),
        make: impl FnOnce() -> Option<Arc<Layout>>,
    ) -> Option<Arc<Layout>> {
        let lock = || self.layouts.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        if let Some(known) = lock().get(&key) {
            return known.clone();
        }
        let layout = make();
        lock().insert(key, layout.clone());
        layout
    }

    /// The lines of a file that have code, found once.
    pub(super) fn code_lines(&self, file: &str, find: impl FnOnce() -> BTreeSet<u32>) -> CodeLines {
        if !self.dwarf_ready() {
            return CodeLines::default();
        }
        let lock = || self.lines.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        if let Some(known) = lock().get(file) {
            return known.clone();
        }
        let lines = Arc::new(find());
        lock().insert(file.to_owned(), lines.clone());
        lines
    }

    /// The unit whose code holds `addr`.
    pub(super) fn unit_at(&self, addr: FileAddr) -> Option<u32> {
        let loaded = self.loaded()?;
        if let Some(function) = loaded.function_at(addr) {
            return Some(function.unit);
        }
        let ranges = &loaded.unit_ranges;
        let after = ranges.partition_point(|range| range.start <= addr.0);
        // Ranges of units may overlap where a compiler is careless; the
        // nearest start is the tightest.
        let mut near = ranges[..after].iter().rev().take(8);
        near.find(|range| addr.0 < range.end).map(|range| range.unit)
    }
}

impl Loaded {
    /// The function out of line that holds `addr`.
    pub fn function_at(&self, addr: FileAddr) -> Option<FunctionRange> {
        let after = self.functions.partition_point(|range| range.start <= addr.0);
        let mut near = self.functions[..after].iter().rev().take(8);
        near.find(|range| addr.0 < range.end).copied()
    }
}

impl std::fmt::Debug for DebugImage {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "DebugImage({}, dwarf: {})", self.image.path().display(), self.dwarf_ready())
    }
}

fn load(
    image: &Image,
    progress: &(dyn Fn(f32) + Sync),
    cancel: &AtomicBool,
) -> Result<Loaded, SymbolsError> {
    if !image.has_dwarf() {
        return Err(SymbolsError::NoDwarf(image.path().to_owned()));
    }
    let dwarf = dwarf::view(image);
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
    let read = |(number, header): (usize, &gimli::UnitHeader<Slice<'_>>)| {
        if cancel.load(Ordering::Relaxed) {
            return None;
        }
        let count = done.fetch_add(1, Ordering::Relaxed) + 1;
        if count.is_multiple_of(64) {
            progress(0.9 * count as f32 / total as f32);
        }
        Some(read_unit(image, *header, number as u32))
    };
    let parts: Option<Vec<UnitPart>> = headers.par_iter().enumerate().map(read).collect();
    let parts = parts.ok_or(SymbolsError::Cancelled)?;
    let loaded = merge(image, parts);
    if cancel.load(Ordering::Relaxed) {
        return Err(SymbolsError::Cancelled);
    }
    Ok(loaded)
}

/// What one unit adds. A unit that can't be parsed adds nothing, but keeps
/// its number.
struct UnitPart {
    head: Head,
    comp_dir: Option<String>,
    ranges: Vec<UnitRange>,
    names: Names,
    files: UnitFiles,
}

fn read_unit(image: &Image, header: gimli::UnitHeader<Slice<'_>>, number: u32) -> UnitPart {
    let dwarf = dwarf::view(image);
    let offset = header.debug_info_offset().map_or(0, |offset| offset.0);
    let abbreviations = dwarf.abbreviations(&header).unwrap_or_default();
    let head = Head { offset, abbreviations: OnceLock::new(), rows: OnceLock::new() };
    let mut part = UnitPart {
        head,
        comp_dir: None,
        ranges: Vec::new(),
        names: Names::default(),
        files: UnitFiles::default(),
    };
    let unit = gimli::Unit::new_with_abbreviations(&dwarf, header, abbreviations);
    let Ok(unit) = unit else { return part };
    let unit = Unit { dwarf, unit, number };
    part.comp_dir = unit.unit.comp_dir.map(|dir| dir.to_string_lossy().into_owned());
    part.names = Names::read(&unit);
    part.files = UnitFiles::read(&unit);
    if let Some(root) = unit.entry(unit.unit.header.root_offset().0 as u32) {
        let range = |(start, end)| UnitRange { start, end, unit: number };
        part.ranges.extend(unit.ranges(&root).into_iter().map(range));
    }
    part
}

fn merge(image: &Image, parts: Vec<UnitPart>) -> Loaded {
    let mut heads = Vec::with_capacity(parts.len());
    let (mut unit_ranges, mut functions) = (Vec::new(), Vec::new());
    let (mut names, mut files) = (Vec::new(), Vec::new());
    let mut dirs: FxHashMap<String, usize> = FxHashMap::default();
    for part in parts {
        heads.push(part.head);
        unit_ranges.extend(part.ranges);
        functions.extend(part.names.functions);
        names.push(part.names.entries);
        files.push(part.files);
        if let Some(dir) = part.comp_dir {
            *dirs.entry(dir).or_default() += 1;
        }
    }
    unit_ranges.sort_by_key(|range| (range.start, std::cmp::Reverse(range.end)));
    functions.sort_by_key(|range: &FunctionRange| (range.start, std::cmp::Reverse(range.end)));
    let mut dirs: Vec<(String, usize)> = dirs.into_iter().collect();
    dirs.sort_by(|a, b| b.1.cmp(&a.1).then(a.0.cmp(&b.0)));
    Loaded {
        heads,
        unit_ranges,
        functions,
        index: Index::build(image, names),
        files: Files::build(files),
        comp_dirs: dirs.into_iter().map(|(dir, _)| dir).collect(),
    }
}
