//! ELF files of any content, with every question that symbols take.
#![no_main]

#[path = "../file.rs"]
mod file;
#[path = "../../tests/support/questions.rs"]
mod questions;

use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| file::with(bytes, questions::ask_everything));
