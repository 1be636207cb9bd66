//! DWARF questions and answers: address to function, line, inlined calls,
//! variables; name to addresses; types to layouts; code to unwind rules.
//! No guest: answers are about files, placed where the guest says it has them.
//!
//! A [`DebugImage`](image::DebugImage) is one file: opening it is quick,
//! loading its DWARF takes a while and is done on a thread of its own. Until
//! then, and for code without DWARF, its ELF symbols answer. A
//! [`Symbols`](placed::Symbols) is a value: several images, each placed.
//!
//! How it stays small and quick: nothing is parsed before it is asked for,
//! except a table of units by address, and a sorted table of names that holds
//! offsets into the mapped file instead of text. The first is there in a tenth
//! of the time of the second, and is enough for what is at an address. A query
//! opens its unit and walks one function; units keep their abbreviations, and
//! line tables that were asked for. Nothing borrows from the map across calls,
//! so there is no self-reference and no lock on the way to an answer.
//!
//! The rooms: `dwarf` reads what the files say; [`code`] tells what is at an
//! address and where lines are; [`types`] finds, writes and lays out types;
//! [`lookup`] finds what people name.
//!
//! A reference may lead into another unit (link-time optimization, `dwz`),
//! into the unit of a type, or into another file (`.dwo`, `.dwp`, `dwz -m`):
//! see `dwarf::split`. What is said elsewhere comes with the unit it is
//! said in.
//!
//! Measured on a vmlinux of 632 MB (174 MB of `.debug_info`, 2,350 units, two
//! cores that four others used as well, 2026-11, so CPU time is what counts):
//! addresses answer after 28 ms of CPU, everything after 580 ms in all, with 35
//! MB; a program that tells the line of one address takes 40 ms from its start.
//! Then the function and line of an address take 2 µs at random places, the
//! inlined calls there too 12 µs, a function by name 10 µs, the 1,955 places
//! `kmalloc` is inlined at 50 ms of CPU, a line of `list.h` 80 ms the first
//! time, which is 4.3 million rows of 2,000 line tables at 15 ns.
//!
//! Invariants: every walk over DWARF is bounded by the size of its unit and
//! by a depth; a reference that leads nowhere makes an answer absent, never a
//! panic. Code at address zero is code the linker dropped; data at zero is
//! per-CPU. What DWARF does not say is not guessed.

pub mod answer;

pub mod placed;

mod constant;

pub mod image;

mod cache;

mod load;

mod dwarf;

pub mod code;

pub mod lookup;

pub mod types;

use crate::image::ImageError;
use std::path::PathBuf;
use thiserror::Error;

/// Why symbols can't be loaded.
#[derive(Debug, Error)]
pub enum SymbolsError {
    /// The file is no usable ELF file.
    #[error(transparent)]
    Image(#[from] ImageError),
    /// The file has no DWARF; its symbol table still answers.
    #[error("{} has no debug info; build the kernel with CONFIG_DEBUG_INFO_DWARF5", .0.display())]
    NoDwarf(PathBuf),
    /// The DWARF can't be followed at all.
    #[error("the debug info of {} is damaged: {why}", path.display())]
    Damaged {
        /// The file.
        path: PathBuf,
        /// What the DWARF reader said.
        why: String,
    },
    /// Loading was cancelled.
    #[error("loading the debug info was cancelled")]
    Cancelled,
}
