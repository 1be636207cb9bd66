//! One file with its debug info: quick to open, slow to load, once.

use crate::{
    base::addr::FileAddr,
    image::{file::Image, pair},
    symbols::{
        SymbolsError,
        answer::{CodeLines, Layout},
        cache::Cache,
        code::cfi::Frames,
        dwarf::{
            index::Names,
            reader::Unit,
            rows::Row,
            units::{FunctionRange, Units, range_at},
        },
        load::{self, Loaded},
        lookup::{
            corpus::{Corpus, Kept},
            functions::Inlined,
        },
        types::btf::Btf,
    },
};
use rayon::iter::{IntoParallelRefIterator as _, ParallelIterator as _};
use std::{
    path::{Path, PathBuf},
    sync::{
        Arc, OnceLock,
        atomic::{AtomicBool, Ordering},
    },
};

/// The progress of loading from which on questions about an address have their
/// answer: units are known by address. Those by name need all of it.
pub const ADDRESSES_AT: f32 = 0.1;

/// An ELF file and, once loaded, its DWARF.
pub struct DebugImage {
    image: Image,
    units: OnceLock<Units>,
    loaded: OnceLock<Loaded>,
    frames: OnceLock<Frames>,
    /// Its BTF, once it was asked for; `None` when it is damaged.
    pub(super) btf: OnceLock<Option<Btf>>,
    /// The base that a module brings with it.
    pub(super) btf_base: OnceLock<Option<Btf>>,
    /// Layouts by unit and entry; some types have none.
    pub(super) layouts: Cache<(u32, u32), Option<Arc<Layout>>>,
    /// Lines with code by file.
    pub(super) lines: Cache<String, CodeLines>,
    /// Rows of headers: those of the last few that were asked for.
    pub(super) headers: Cache<String, Arc<Vec<(u32, Row)>>>,
    /// Inlined instances by function.
    pub(super) inlined: Cache<String, Arc<Vec<Inlined>>>,
    /// Names for searches.
    pub(super) names: Kept,
}

impl DebugImage {
    /// Opens a file without looking at its debug info, and its other half
    /// where that was split off ([`pair`]).
    pub fn open(path: &Path) -> Result<Arc<DebugImage>, SymbolsError> {
        DebugImage::open_in(path, &[], &AtomicBool::new(false))
    }

    /// Like [`DebugImage::open`]; other halves are looked for in `debug_dirs`
    /// as well. A packed file takes a while; setting `cancel` ends that.
    pub fn open_in(
        path: &Path,
        debug_dirs: &[PathBuf],
        cancel: &AtomicBool,
    ) -> Result<Arc<DebugImage>, SymbolsError> {
        Ok(Arc::new(DebugImage {
            image: pair::open(path, debug_dirs, cancel)?,
            units: OnceLock::new(),
            loaded: OnceLock::new(),
            frames: OnceLock::new(),
            btf: OnceLock::new(),
            btf_base: OnceLock::new(),
            layouts: Cache::new(),
            lines: Cache::new(),
            headers: Cache::of(8),
            inlined: Cache::new(),
            names: Kept::default(),
        }))
    }

    /// Reads the debug info; takes a while, so call it on a thread.
    /// `progress` gets values from 0 to 1, from several threads and therefore
    /// not always in order; from [`ADDRESSES_AT`] on addresses have answers.
    /// Setting `cancel` ends it early.
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
        // Sections that are packed or to be relocated, each on its own core.
        self.image.debug_sections_to_cook().par_iter().for_each(|name| {
            if !cancel.load(Ordering::Relaxed) {
                self.image.section_data(name);
            }
        });
        let units = self.read_units()?;
        progress(ADDRESSES_AT);
        let loaded = load::load(&self.image, units, progress, cancel)?;
        // When two threads loaded at once, either result is right.
        let _ = self.loaded.set(loaded);
        progress(1.0);
        Ok(())
    }

    /// What of the debug info is in other files that are not there, in words;
    /// `None` when nothing is missing, and before loading.
    pub fn missing(&self) -> Option<String> {
        self.units()?.missing().told(self.image.path())
    }

    /// Whether the debug info has been loaded.
    pub fn dwarf_ready(&self) -> bool {
        self.loaded.get().is_some()
    }

    /// The ELF file.
    pub fn image(&self) -> &Image {
        &self.image
    }

    /// Makes the list of names that searches go through (40 ms for a large
    /// kernel), which the first search would do.
    pub fn prepare_search(&self) {
        Corpus::of(self);
    }

    /// Every directory the compiler ran in (`DW_AT_comp_dir`), most used
    /// first; where the sources were when the kernel was built.
    pub fn comp_dirs(&self) -> Vec<String> {
        self.loaded().map(|loaded| loaded.comp_dirs.clone()).unwrap_or_default()
    }

    fn read_units(&self) -> Result<&Units, SymbolsError> {
        if self.units.get().is_none() {
            if !self.image.has_dwarf() {
                return Err(SymbolsError::NoDwarf(self.image.path().to_owned()));
            }
            // When two threads read them at once, either result is right.
            let _ = self.units.set(Units::read(&self.image)?);
        }
        Ok(self.units.get_or_init(Units::default))
    }

    pub(super) fn loaded(&self) -> Option<&Loaded> {
        self.loaded.get()
    }

    /// The units, once they are read.
    pub(super) fn units(&self) -> Option<&Units> {
        self.units.get()
    }

    /// The call frame descriptions; needs no loading.
    pub(super) fn frames(&self) -> &Frames {
        self.frames.get_or_init(|| Frames::read(&self.image))
    }

    /// The function out of line that holds `addr`. Until those of all units
    /// are there, the unit of the address is read for it.
    pub(super) fn function_range(&self, addr: FileAddr) -> Option<FunctionRange> {
        if let Some(loaded) = self.loaded() {
            return range_at(&loaded.functions, addr);
        }
        let units = self.units()?;
        let number = units.at(addr)?;
        let functions = units.head(number)?.functions.get_or_init(|| {
            let unit = Unit::open(self, number);
            unit.map(|unit| Names::of(&unit).functions()).unwrap_or_default()
        });
        range_at(functions, addr)
    }

    /// The unit whose code holds `addr`.
    pub(super) fn unit_at(&self, addr: FileAddr) -> Option<u32> {
        let function = self.loaded().and_then(|loaded| range_at(&loaded.functions, addr));
        function.map(|function| function.unit).or_else(|| self.units()?.at(addr))
    }
}

impl std::fmt::Debug for DebugImage {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "DebugImage({}, dwarf: {})", self.image.path().display(), self.dwarf_ready())
    }
}
