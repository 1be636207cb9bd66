//! Real files with their symbols, and samples of what is in them.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on has failed")]
#![allow(dead_code, reason = "each test program uses a part of it")]

use super::tools::tool;
use kgdb_tui::symbols::{
    image::DebugImage,
    placed::{Placement, Symbols, VMLINUX},
};
use std::{path::Path, sync::atomic::AtomicBool};

/// A file with its debug info loaded, where it was linked.
pub fn loaded(path: &Path) -> Symbols {
    let image = DebugImage::open(path).unwrap();
    image.load_dwarf(&|_| {}, &AtomicBool::new(false)).unwrap();
    let mut symbols = Symbols::new();
    symbols.place(VMLINUX, image, Placement::Slide(0));
    symbols
}

/// About `count` of a list, evenly.
pub fn some<T: Clone>(all: &[T], count: usize) -> Vec<T> {
    all.iter().step_by((all.len() / count).max(1)).cloned().collect()
}

/// Every struct and union that pahole finds, `struct page` and the like.
pub fn struct_names(path: &Path) -> Vec<String> {
    let output = tool("pahole").args(["-F", "dwarf"]).arg(path).output().unwrap();
    assert!(output.status.success());
    let out = String::from_utf8_lossy(&output.stdout);
    let heads = out.lines().filter_map(|line| line.strip_suffix(" {"));
    let tagged = heads.filter(|h| h.starts_with("struct ") || h.starts_with("union "));
    let mut names: Vec<String> = tagged.map(str::to_owned).collect();
    names.sort();
    names.dedup();
    names
}
