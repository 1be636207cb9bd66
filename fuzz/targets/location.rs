//! Locations of any text: taken apart, and looked for in a small program.
#![no_main]

use kgdb_tui::symbols::{
    image::DebugImage,
    lookup::{location::Location, places::Here},
    placed::{Placement, Symbols, VMLINUX},
};
use libfuzzer_sys::fuzz_target;
use std::{
    hint::black_box,
    path::Path,
    sync::{OnceLock, atomic::AtomicBool},
};

fn program() -> &'static Symbols {
    static PROGRAM: OnceLock<Symbols> = OnceLock::new();
    PROGRAM.get_or_init(|| {
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("corpus/dwarf/linked");
        let image = DebugImage::open(&path).expect("the stored file can be opened");
        let loading = image.load_dwarf(&|_| {}, &AtomicBool::new(false));
        loading.expect("the stored file has debug info");
        let mut symbols = Symbols::new();
        symbols.place(VMLINUX, image, Placement::Slide(0));
        symbols
    })
}

fuzz_target!(|text: &str| {
    let Ok(location) = Location::parse(text) else { return };
    let here = Here { file: Some("main.c"), line: Some(40), registers: None };
    let _ = black_box(program().addresses_of(&location, here));
    let _ = black_box(program().address_of(&location, here));
});
