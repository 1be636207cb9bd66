//! One file with its debug info: quick to open, slow to load, once.

use crate::{image::file::Image, symbols::SymbolsError};
use std::{
    path::Path,
    sync::{Arc, OnceLock, atomic::AtomicBool},
};

/// An ELF file and, once loaded, its DWARF.
#[derive(Debug)]
pub struct DebugImage {
    image: Image,
    loaded: OnceLock<()>,
}

impl DebugImage {
    /// Opens a file without looking at its debug info.
    pub fn open(path: &Path) -> Result<Arc<DebugImage>, SymbolsError> {
        Ok(Arc::new(DebugImage { image: Image::open(path)?, loaded: OnceLock::new() }))
    }

    /// Reads the debug info; takes a while, so call it on a thread.
    /// `progress` gets values from 0 to 1; setting `cancel` ends it early.
    pub fn load_dwarf(
        &self,
        progress: &(dyn Fn(f32) + Sync),
        cancel: &AtomicBool,
    ) -> Result<(), SymbolsError> {
        let _ = (progress, cancel);
        Err(SymbolsError::NoDwarf(self.image.path().to_owned()))
    }

    /// Whether the debug info has been loaded.
    pub fn dwarf_ready(&self) -> bool {
        self.loaded.get().is_some()
    }

    /// The ELF file.
    pub fn image(&self) -> &Image {
        &self.image
    }

    /// Every directory the compiler ran in.
    pub fn comp_dirs(&self) -> Vec<String> {
        Vec::new()
    }
}
