//! Damaged and hostile files: every question must come back, with an answer
//! or without, and without a panic.

#![allow(clippy::unwrap_used, reason = "a test may")]

mod support {
    pub mod questions;
    pub mod tools;
}

use kgdb_tui::symbols::image::DebugImage;
use proptest::prelude::{ProptestConfig, any, prop, proptest};
use std::{
    path::Path,
    sync::{OnceLock, atomic::AtomicBool},
    time::{Duration, Instant},
};
use support::{
    questions::{TEXT, ask_everything},
    tools::tool,
};

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
fn what_fuzzing_began_with_and_found_answers() {
    let corpus = Path::new(env!("CARGO_MANIFEST_DIR")).join("fuzz/corpus");
    let mut count = 0;
    for target in ["image", "dwarf"] {
        for entry in std::fs::read_dir(corpus.join(target)).unwrap() {
            let bytes = std::fs::read(entry.unwrap().path()).unwrap();
            survives(&Original { bytes, dwo: None });
            count += 1;
        }
    }
    assert!(count >= 15, "{count}");
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
    assert!(open("bzImage", &bz).contains("a bootable kernel; wanted is a vmlinux"));
    assert!(open("x.ko.gz", &[0x1f, 0x8b, 8, 0]).contains("can't be unpacked (gzip)"));
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
    assert!(open("arm", &other).contains("arm64"));
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
