//! Records of the line with any text: read, made into a stub, and asked.
#![no_main]

use kgdb_tui::arch::x86_64::X86_64;
use kgdb_tui::link::record_reader::{Happening, Reader};
use kgdb_tui::rsp::frame::encode;
use kgdb_tui::target::replay::{stub::Stub, tape::Taping};
use libfuzzer_sys::fuzz_target;
use std::sync::Arc;

/// What the program asks first, and ways on.
const ASKED: [&str; 12] = [
    "?",
    "p10",
    "g",
    "qC",
    "mffff888000001000,8",
    "qfThreadInfo",
    "qsThreadInfo",
    "Hg01",
    "g",
    "Z0,ffffffff81000010,1",
    "s",
    "c",
];

fuzz_target!(|bytes: &[u8]| {
    let Ok(mut reader) = Reader::new(bytes) else { return };
    let mut taping = Taping::default();
    for entry in reader.by_ref() {
        match entry.what {
            Happening::Sent(bytes) => taping.sent(entry.at, &bytes),
            Happening::Received(bytes) => taping.received(entry.at, &bytes),
            Happening::Note(text) => taping.noted(&text),
            Happening::Break => {}
        }
    }
    let _ = reader.trouble();
    let mut stub = Stub::new(&X86_64, Arc::new(taping.finish()));
    let mut buffer = [0; 4096];
    for round in 0..8 {
        for asked in ASKED {
            stub.take(&encode(asked.as_bytes()));
            while stub.say(&mut buffer) > 0 {}
        }
        if round % 2 == 1 {
            stub.leap();
        }
        assert!(stub.number() <= stub.count());
    }
    stub.rewind();
});
