//! ELF files of any content: opened, listed, read.
#![no_main]

#[path = "../file.rs"]
mod file;

use kgdb_tui::{base::addr::FileAddr, image::file::Image};
use libfuzzer_sys::fuzz_target;
use std::hint::black_box;

fuzz_target!(|bytes: &[u8]| file::with(bytes, |path| {
    let Ok(image) = Image::open(path) else { return };
    for section in image.sections() {
        black_box(image.section_data(&section.name));
        black_box(image.file_bytes(section.addr, 16));
        black_box(image.symbols().at_addr(section.addr));
    }
    let symbols = image.symbols();
    for symbol in symbols.iter() {
        black_box((symbols.named(symbol.name).count(), symbols.at_addr(symbol.addr)));
    }
    black_box((image.build_id(), symbols.at_addr(FileAddr(u64::MAX))));
}));
