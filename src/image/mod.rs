//! ELF files on this machine, by memory map or unpacked: sections, symbols,
//! build-ids. No guest, no DWARF, no guesses about where a file is loaded.
//!
//! Where debug info was split from the code (`.gnu_debuglink`, the build-id
//! tree), the two files are one image here: see [`pair`].
//!
//! A linked file (vmlinux) keeps the addresses it was linked for. A module
//! (`.ko`) is not linked: every section of it starts at zero, so `.text` and
//! `.init.text` overlap. It is laid out here once, at made-up addresses that
//! do not overlap (see [`layout`]), and a [`FileAddr`] of a module is an
//! address in that layout. Whoever knows where the guest put each section
//! translates by section; reloading the module costs nothing.
//!
//! Invariant: nothing here writes, and no content of a file panics it.
//!
//! [`FileAddr`]: crate::base::addr::FileAddr

pub mod file;

pub mod open;

pub mod packed;

pub mod pair;

pub mod wanted;

pub mod layout;

pub mod symtab;

mod text;

pub mod notes;

pub mod locate;

pub mod module_tree;

use std::path::PathBuf;
use thiserror::Error;

/// Why a file can't be used as an image.
#[derive(Debug, Error)]
pub enum ImageError {
    /// The file is not there.
    #[error("{} doesn't exist", .0.display())]
    Absent(PathBuf),
    /// The file may not be read.
    #[error("{} can't be read: permission denied", .0.display())]
    Permission(PathBuf),
    /// Reading failed otherwise.
    #[error("{} can't be read: {why}", path.display())]
    Io {
        /// The file.
        path: PathBuf,
        /// What the system said.
        why: std::io::Error,
    },
    /// A directory, socket or device.
    #[error("{} is not a regular file", .0.display())]
    NotAFile(PathBuf),
    /// Nothing in it.
    #[error("{} is empty", .0.display())]
    Empty(PathBuf),
    /// Not an ELF file, with what it looks like and what is wanted.
    #[error("{} is {looks}; {wanted}", path.display())]
    NotElf {
        /// The file.
        path: PathBuf,
        /// What it looks like, with an article.
        looks: String,
        /// What to give instead.
        wanted: String,
        /// Of which kernel, where the file tells.
        release: Option<String>,
    },
    /// A packed file that can't be unpacked.
    #[error("{} can't be unpacked ({packing}): {why}; copy it again", path.display())]
    Packed {
        /// The file.
        path: PathBuf,
        /// What packed it.
        packing: &'static str,
        /// What is wrong.
        why: String,
    },
    /// Opening it was cancelled.
    #[error("opening {} was cancelled", .0.display())]
    Cancelled(PathBuf),
    /// An ELF file of a kind or machine that can't be debugged here.
    #[error("{} is {what}; an x86_64 vmlinux or module is needed", path.display())]
    Unsupported {
        /// The file.
        path: PathBuf,
        /// What it is.
        what: String,
    },
    /// Ends before what its headers name.
    #[error("{} is cut off: {part} ends at byte {end} of {len}; copy it again", path.display())]
    Truncated {
        /// The file.
        path: PathBuf,
        /// What is missing.
        part: String,
        /// Where that ends.
        end: u64,
        /// The size of the file.
        len: u64,
    },
    /// Headers that make no sense.
    #[error("{} has damaged ELF headers: {why}", path.display())]
    Damaged {
        /// The file.
        path: PathBuf,
        /// What the ELF reader said.
        why: String,
    },
}

impl ImageError {
    /// Where the right file comes from, a sentence each, when another one is
    /// wanted.
    pub fn advice(&self) -> Vec<String> {
        match self {
            ImageError::NotElf { release, .. } => wanted::sources(release.as_deref(), None),
            _ => Vec::new(),
        }
    }
}
