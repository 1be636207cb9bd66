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
//! offsets into the mapped file instead of text. A query parses the header of
//! its unit and walks one function; units keep their abbreviations, and line
//! tables that were asked for. Nothing borrows from the map across calls, so
//! there is no self-reference and no lock on the way to an answer.
//!
//! Measured on a vmlinux of 220 MB (58 MB of `.debug_info`, 1,100 units, two
//! busy cores, 2026-11; `cargo bench --bench symbols`): open 0.1 ms; first
//! symbol by name 30 ms; loading 360 ms of CPU in all and 19 MB; then frames,
//! lines, variables or a type at an address 5 to 40 µs; a function by name
//! 10 µs; a line of a C file 0.1 ms; a line of `list.h`, or the 650 places
//! `kmalloc` is inlined at, 90 ms.
//!
//! Types are told one step at a time (`node`), and a step comes from DWARF
//! or, where a file has none, from BTF (`btf`): names, sizes, layouts and
//! `ptype` are the same code for both.
//!
//! What is asked of gdb and not done here: references from one unit into
//! another (link-time optimization), type units, split DWARF.
//!
//! Invariants: every walk over DWARF is bounded by the size of its unit and
//! by a depth; a reference that leads nowhere makes an answer absent, never a
//! panic. Code at address zero is code the linker dropped; data at zero is
//! per-CPU. What DWARF does not say is not guessed.

pub mod answer;

pub mod placed;

pub mod image;

mod cache;

mod load;

mod split;

mod roots;

mod units;

mod dwarf;

mod index;

mod rows;

mod lines;

mod funcs;

mod prologue;

mod inlining;

mod names;

mod sites;

pub mod location;

pub mod expression;

pub mod places;

pub mod search;

mod corpus;

mod code;

pub mod types;

mod node;

mod from_dwarf;

mod btf;

mod btf_source;

mod from_btf;

mod written;

mod offsets;

pub mod describe;

pub mod catalog;

mod layout;

mod scope;

pub mod globals;

pub mod visible;

mod cfi;

mod macros;

pub mod calls;

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
