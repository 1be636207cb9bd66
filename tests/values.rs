//! The text of values against gdb, which prints the variables of a file
//! without running it; ours reads the same bytes.

#![allow(clippy::unwrap_used, reason = "a test may")]

mod oracle;
mod support {
    pub mod tools;
}

use kgdb_tui::{
    base::{
        addr::{Addr, FileAddr},
        memory::{Gap, Memory, Span},
    },
    eval::{
        format::{Format, Limits},
        location::Context,
    },
    image::file::Section,
    symbols::{
        image::DebugImage,
        placed::{Placement, Symbols, VMLINUX},
    },
};
use std::{
    fmt::Write as _,
    path::{Path, PathBuf},
    sync::atomic::AtomicBool,
};
use support::tools::tool;

/// The bytes of a linked file, as a guest that never ran.
struct FileMemory(Symbols);

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

struct Fixture {
    #[allow(dead_code, reason = "it is deleted when it is dropped")]
    dir: tempfile::TempDir,
    program: PathBuf,
    symbols: Symbols,
}

impl Fixture {
    fn compile(name: &str, flags: &[&str]) -> Fixture {
        let dir = tempfile::tempdir().unwrap();
        let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/values").join(name);
        let program = dir.path().join("program");
        // High addresses, as a kernel's: text is read from behind such only.
        let status = tool("gcc")
            .args([
                "-g",
                "-w",
                "-O0",
                "-nostdlib",
                "-static",
                "-no-pie",
                "-fno-pic",
                "-ffreestanding",
            ])
            .args([
                "-mcmodel=kernel",
                "-Wl,-Ttext=0xffffffff81000000",
                "-Wl,-e,main",
                "-Wl,--build-id",
            ])
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
        Fixture { dir, program, symbols }
    }

    /// Names of the variables in the source that begin with `v_`.
    fn variables(&self) -> Vec<String> {
        let mut names: Vec<String> = self
            .symbols
            .list_variables(&|name: &[u8]| name.starts_with(b"v_"), 1000)
            .listed
            .into_iter()
            .map(|listed| listed.name)
            .collect();
        names.sort();
        names.dedup();
        names
    }

    fn print(&self, name: &str, format: Option<char>) -> String {
        let memory = FileMemory(self.symbols.clone());
        let context = Context { symbols: &self.symbols, memory: &memory, frames: &[], cpu: None };
        let variable = self.symbols.find_variable(name).unwrap();
        let value = context.of(&variable).unwrap();
        let format = format.map(|letter| Format::of(letter).unwrap());
        match context.printed(&value, format, &Limits::default()) {
            Ok(text) => text,
            Err(absent) => format!("error: {absent}"),
        }
    }

    /// What gdb prints for `print` commands.
    fn gdb(&self, prints: &[String]) -> Vec<String> {
        let mut script = String::new();
        for print in prints {
            writeln!(script, "try:\n  t = gdb.execute({print:?}, to_string=True)").unwrap();
            writeln!(script, "  print('@', t.split(' = ', 1)[1].rstrip('\\n'))").unwrap();
            writeln!(script, "except gdb.error as e:\n  print('@ error:', e)").unwrap();
        }
        let out = oracle::gdb_python(&self.program, &script);
        assert_eq!(out.len(), prints.len());
        out
    }
}

/// Where we want to differ.
fn explained(name: &str, format: Option<char>, ours: &str, gdbs: &str) -> bool {
    match name {
        // gdb has no such formats for 16 bytes; the lowest 8 are shown.
        "v_int128" | "v_uint128" => matches!(format, Some('a' | 'c' | 'f')),
        // What `u8 *` points to is not read: it may be a device.
        "v_raw" => gdbs.strip_prefix(ours).is_some_and(|more| more.starts_with(" \"")),
        _ => false,
    }
}

#[test]
fn every_kind_of_value_is_printed_as_in_gdb() {
    for flags in [&["-gdwarf-5"][..], &["-gdwarf-4"]] {
        let fixture = Fixture::compile("values.c", flags);
        let names = fixture.variables();
        assert!(names.len() > 90, "{names:?}");
        let formats = [None, Some('x'), Some('d'), Some('u'), Some('o'), Some('t'), Some('z')];
        let formats = formats.into_iter().chain(['a', 'c', 's', 'f'].map(Some));
        let mut asked = Vec::new();
        for format in formats {
            asked.extend(names.iter().map(|name| (name.clone(), format)));
        }
        let command = |(name, format): &(String, Option<char>)| match format {
            Some(letter) => format!("print/{letter} {name}"),
            None => format!("print {name}"),
        };
        let prints: Vec<String> = asked.iter().map(command).collect();
        let mut different = 0;
        for (((name, format), print), gdbs) in asked.iter().zip(&prints).zip(fixture.gdb(&prints)) {
            let ours = fixture.print(name, *format);
            if ours != gdbs && !explained(name, *format, &ours, &gdbs) {
                different += 1;
                println!("{print}\n  gdb:  {gdbs}\n  ours: {ours}");
            }
        }
        println!("{} of {} equal", prints.len() - different, prints.len());
        assert_eq!(different, 0);
    }
}
