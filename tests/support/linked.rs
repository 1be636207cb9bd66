//! A program that is compiled for a test and never runs: its variables have
//! the values that the file has for them, in the file's memory.

use super::tools::tool;
use kgdb_tui::{
    base::{
        addr::{Addr, FileAddr},
        memory::{Gap, Memory, Span},
    },
    image::file::Section,
    symbols::{
        image::DebugImage,
        placed::{Placement, Symbols, VMLINUX},
    },
};
use std::{
    path::{Path, PathBuf},
    sync::atomic::AtomicBool,
};

/// The bytes of a linked file, as a guest that never ran.
pub struct FileMemory(pub Symbols);

impl Memory for FileMemory {
    fn read(&self, addr: Addr, buf: &mut [u8]) -> Result<(), Gap> {
        let image = self.0.vmlinux().unwrap().image.image();
        for (i, out) in buf.iter_mut().enumerate() {
            let at = FileAddr(addr.0.wrapping_add(i as u64));
            // Memory comes in pages.
            let page = |section: &Section| {
                let start = section.addr.0 & !0xfff;
                let end = (section.addr.0 + section.size) | 0xfff;
                section.alloc && (start..=end).contains(&at.0)
            };
            let zero = image.sections().iter().any(page);
            *out = match image.file_bytes(at, 1) {
                Some(byte) => byte[0],
                None if zero => 0,
                None => return Err(Gap::Fault(Span::new(addr, buf.len() as u64))),
            };
        }
        Ok(())
    }
}

/// A program and its symbols.
pub struct Linked {
    _dir: tempfile::TempDir,
    /// The file.
    pub program: PathBuf,
    /// Its symbols, placed where it is linked to.
    pub symbols: Symbols,
}

impl Linked {
    /// Compiles a file of tests/fixtures, at addresses like a kernel's.
    pub fn compile(source: &str, flags: &[&str]) -> Linked {
        let dir = tempfile::tempdir().unwrap();
        let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures").join(source);
        let program = dir.path().join("program");
        let status = tool("gcc")
            .args(["-g", "-w", "-O0", "-nostdlib", "-static", "-no-pie", "-fno-pic"])
            .args(["-ffreestanding", "-mcmodel=kernel", "-Wl,-Ttext=0xffffffff81000000"])
            .args(["-Wl,-e,main", "-Wl,--build-id"])
            .args(flags)
            .arg("-o")
            .args([&program, &source])
            .status()
            .unwrap();
        assert!(status.success());
        let image = DebugImage::open(&program).unwrap();
        image.load_dwarf(&|_| {}, &AtomicBool::new(false)).unwrap();
        let mut symbols = Symbols::new();
        symbols.place(VMLINUX, image, Placement::Slide(0));
        Linked { _dir: dir, program, symbols }
    }
}
