//! Damaged and hostile files: every question must come back, with an answer
//! or without, and without a panic.

#![allow(clippy::unwrap_used, reason = "a test may")]

mod support {
    pub mod tools;
}

use kgdb_tui::{
    base::addr::Addr,
    symbols::{
        image::DebugImage,
        placed::{Placement, Symbols, VMLINUX},
    },
};
use proptest::prelude::{ProptestConfig, any, prop, proptest};
use std::{
    hint::black_box,
    path::Path,
    sync::{OnceLock, atomic::AtomicBool},
    time::{Duration, Instant},
};
use support::tools::tool;

const TEXT: u64 = 0xffff_ffff_8100_0000;

/// A file, and the `.dwo` it has its entries in.
struct Original {
    bytes: Vec<u8>,
    dwo: Option<Vec<u8>>,
}

/// How the originals are compiled: relocatable and linked, in DWARF 5 and 4,
/// with units of types, references between units, macros, and split.
const HOW: [&[&str]; 7] = [
    &["-gdwarf-5", "-c"],
    &["-gdwarf-4", "-c"],
    &["-gdwarf-5", "-nostdlib"],
    &["-gdwarf-4", "-fdebug-types-section", "-g3", "-nostdlib"],
    &["-gdwarf-5", "-fdebug-types-section", "-g3", "-nostdlib"],
    &["-gdwarf-5", "-flto", "-nostdlib"],
    SPLIT,
];

const SPLIT: &[&str] = &["-gdwarf-5", "-gsplit-dwarf", "-fdebug-types-section", "-c"];

fn originals() -> &'static [Original] {
    static FILES: OnceLock<Vec<Original>> = OnceLock::new();
    FILES.get_or_init(|| {
        let sources = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/symbols");
        let compile = |flags: &&[&str]| {
            let dir = tempfile::tempdir().unwrap();
            let status = tool("gcc")
                .current_dir(dir.path())
                .args(*flags)
                .args(["-O2", "-ffreestanding", "-fno-pic", "-no-pie", "-mcmodel=kernel"])
                .args(["-static", "-Wl,-e,entry", &format!("-Wl,-Ttext={TEXT:#x}")])
                .args(["-Wl,--unresolved-symbols=ignore-all", "-Wl,--build-id=sha1"])
                .arg(sources.join("main.c"))
                .args(["-o", "hostile"])
                .status();
            assert!(status.unwrap().success(), "{flags:?}");
            let read = |name| std::fs::read(dir.path().join(name));
            let dwo = (*flags == SPLIT).then(|| read("hostile.dwo").unwrap());
            Original { bytes: read("hostile").unwrap(), dwo }
        };
        HOW.iter().map(compile).collect()
    })
}

/// The files of an original, with one of them changed: its `.dwo`, if it has
/// one, else itself.
fn changed(original: &Original, change: impl FnOnce(&mut Vec<u8>)) -> Original {
    let (mut bytes, mut dwo) = (original.bytes.clone(), original.dwo.clone());
    change(dwo.as_mut().unwrap_or(&mut bytes));
    Original { bytes, dwo }
}

/// Asks everything. The addresses are those of the whole file and some wild.
fn ask_everything(path: &Path) {
    let Ok(image) = DebugImage::open(path) else { return };
    let sections = image.image().sections().to_vec();
    for section in &sections {
        black_box(image.image().section_data(&section.name));
    }
    let _ = image.load_dwarf(&|_| {}, &AtomicBool::new(false));
    let mut symbols = Symbols::new();
    let placement: Vec<(String, Addr)> = (sections.iter().enumerate())
        // The first section after the null one is `.text`.
        .map(|(i, section)| {
            (
                section.name.clone(),
                Addr(TEXT).offset((i as u64).wrapping_sub(1).wrapping_mul(0x10_0000)),
            )
        })
        .collect();
    symbols.place("mod", image.clone(), Placement::Sections(placement));
    let placed_twice = image.clone();
    symbols.place(VMLINUX, image, Placement::Slide(0));
    let mut addrs: Vec<Addr> = (0..0x180).step_by(5).map(|i| Addr(TEXT + i)).collect();
    addrs.extend([Addr(0), Addr(1), Addr(u64::MAX), Addr(TEXT - 1), Addr(0x1_0004)]);
    for &at in &addrs {
        black_box((symbols.describe(at), symbols.function_at(at), symbols.cfi_row(at)));
        black_box(symbols.place_at(at));
        black_box((symbols.row_at(at), symbols.rows_of(at, at.offset(64)), symbols.frame_base(at)));
        black_box(symbols.inline_ranges_at(at));
        for depth in 0..symbols.frames_at(at).len().min(3) {
            for variable in
                symbols.arguments_at(at, depth).iter().chain(&symbols.locals_at(at, depth))
            {
                black_box((symbols.type_name(variable.ty), symbols.type_shape(variable.ty)));
                black_box((symbols.size_of(variable.ty), symbols.layout_of(variable.ty)));
            }
        }
    }
    for name in ["send_request", "half", "twin", "list_add", "mod!entry", "", "first_request"] {
        black_box((symbols.find_functions(name), symbols.symbol_addr(name)));
        black_box((symbols.find_variable(name), symbols.per_cpu_offset_symbol(name)));
    }
    for name in ["request", "struct list_head", "atomic_t", "unsigned long", "state", "handler_t"] {
        black_box((symbols.struct_layout(name), symbols.type_size(name)));
    }
    for line in [0, 20, 46, 63, 5000, u32::MAX] {
        black_box((symbols.find_lines("main.c", line), symbols.find_lines("list.h", line)).0).ok();
    }
    black_box((
        symbols.lines_with_code("main.c"),
        symbols.files(),
        symbols.enumerator("STATE_GONE"),
    ));
    for name in ["__x86_64__", "INT_MAX", ""] {
        black_box((symbols.macro_named(name, None), symbols.macro_named(name, Some(addrs[0]))));
    }
    black_box((symbols.has_macros(), placed_twice.missing()));
    black_box((symbols.complete_function("s", 9), symbols.functions_matching("e", 9)));
    black_box(symbols.complete_file("m", 9));
}

fn survives(original: &Original) {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("hostile");
    std::fs::write(&path, &original.bytes).unwrap();
    if let Some(dwo) = &original.dwo {
        std::fs::write(dir.path().join("hostile.dwo"), dwo).unwrap();
    }
    let start = Instant::now();
    ask_everything(&path);
    // The untouched file takes 10 ms; this only finds walks without a bound.
    assert!(start.elapsed() < Duration::from_secs(20), "{:?}", start.elapsed());
}

#[test]
fn the_originals_answer() {
    for original in originals() {
        survives(original);
    }
}

#[test]
fn files_that_are_no_kernel_say_what_is_wanted() {
    let dir = tempfile::tempdir().unwrap();
    let open = |name: &str, bytes: &[u8]| {
        let path = dir.path().join(name);
        std::fs::write(&path, bytes).unwrap();
        DebugImage::open(&path).unwrap_err().to_string()
    };
    let mut bz = vec![0; 1024];
    bz[0x202..0x206].copy_from_slice(b"HdrS");
    assert!(open("bzImage", &bz).contains("the uncompressed vmlinux"));
    assert!(open("x.ko.gz", &[0x1f, 0x8b, 8, 0]).contains("gzip"));
    assert!(open("System.map", b"ffffffff81000000 T _text\n").contains("is text"));
    assert!(open("empty", b"").contains("is empty"));
    assert!(open("short", b"\x7fELF\x02\x01\x01").contains("cut off"));
    assert!(open("narrow", b"\x7fELF\x01\x01\x01").contains("32-bit"));
    let absent = DebugImage::open(&dir.path().join("absent")).unwrap_err().to_string();
    assert!(absent.contains("doesn't exist"), "{absent}");
    let folder = DebugImage::open(dir.path()).unwrap_err().to_string();
    assert!(folder.contains("not a regular file"), "{folder}");

    let whole = &originals()[2].bytes;
    assert!(open("cut", &whole[..whole.len() - 100]).contains("cut off"));
    let mut other = whole.clone();
    other[18] = 183;
    assert!(open("arm", &other).contains("machine"));
    let path = dir.path().join("stripped");
    std::fs::write(&path, whole).unwrap();
    let status = tool("strip").arg("-g").arg(&path).status();
    assert!(status.unwrap().success());
    let stripped = DebugImage::open(&path).unwrap();
    let why = stripped.load_dwarf(&|_| {}, &AtomicBool::new(false)).unwrap_err().to_string();
    assert!(why.contains("no debug info"), "{why}");
    assert!(stripped.image().build_id().is_some_and(|id| id.len() == 20));
}

proptest! {
    #![proptest_config(ProptestConfig {
        cases: cases(),
        failure_persistence: None,
        ..ProptestConfig::default()
    })]

    #[test]
    fn any_bytes_may_be_wrong(
        which in 0..HOW.len(),
        changes in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..40),
    ) {
        survives(&changed(&originals()[which], |bytes| {
            for (at, value) in changes {
                let at = at.index(bytes.len());
                bytes[at] = value;
            }
        }));
    }

    #[test]
    fn any_word_may_be_absurd(
        which in 0..HOW.len(),
        changes in prop::collection::vec((any::<prop::sample::Index>(), 0usize..6), 1..6),
    ) {
        const ABSURD: [u64; 6] =
            [0, u64::MAX, 0x7fff_ffff, 0xffff_fff0, 0x8000_0000_0000_0000, 0xffff_ffff_8100_0000];
        survives(&changed(&originals()[which], |bytes| {
            for (at, value) in changes {
                let at = at.index(bytes.len() - 8);
                bytes[at..at + 8].copy_from_slice(&ABSURD[value].to_le_bytes());
            }
        }));
    }

    #[test]
    fn any_end_may_be_missing(which in 0..HOW.len(), cut in any::<prop::sample::Index>()) {
        survives(&changed(&originals()[which], |bytes| bytes.truncate(cut.index(bytes.len()))));
    }
}

fn cases() -> u32 {
    std::env::var("PROPTEST_CASES").ok().and_then(|n| n.parse().ok()).unwrap_or(60)
}
