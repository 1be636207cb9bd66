//! Types from BTF against the same types from DWARF: a real kernel, stripped
//! after pahole made BTF of its debug info, and small C files.

#![allow(clippy::unwrap_used, reason = "a test may")]

mod oracle;
mod support {
    pub mod guest;
    pub mod tools;
}

use kgdb_tui::{
    base::addr::{Addr, FileAddr},
    symbols::{
        answer::{Layout, TypeShape},
        image::DebugImage,
        placed::{Placement, Symbols, VMLINUX},
    },
};
use oracle::run;
use std::{
    fs,
    path::{Path, PathBuf},
    sync::{OnceLock, atomic::AtomicBool},
};
use support::{guest::built, tools::tool};

fn open(path: &Path) -> Symbols {
    let image = DebugImage::open(path).unwrap();
    if image.image().has_dwarf() {
        image.load_dwarf(&|_| {}, &AtomicBool::new(false)).unwrap();
    }
    let mut symbols = Symbols::new();
    symbols.place(VMLINUX, image, Placement::Slide(0));
    symbols
}

/// The guest's vmlinux with BTF instead of debug info, kept for next time.
fn stripped_kernel() -> PathBuf {
    static MADE: OnceLock<PathBuf> = OnceLock::new();
    MADE.get_or_init(|| {
        let vmlinux = built().vmlinux;
        let id = fs::metadata(&vmlinux).unwrap().len();
        let out = Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("vmlinux-btf-{id}"));
        if !out.exists() {
            let whole = out.with_extension("whole");
            fs::copy(&vmlinux, &whole).unwrap();
            strip_to_btf(&whole, &["-J"]);
            // Another test program may be doing the same.
            fs::rename(&whole, &out).unwrap();
        }
        out
    })
    .clone()
}

/// Has pahole add BTF to a file, and takes its debug info away.
fn strip_to_btf(path: &Path, flags: &[&str]) {
    let file = path.to_str().unwrap();
    assert!(tool("pahole").args(flags).arg(file).status().unwrap().success());
    assert!(tool("strip").args(["--strip-debug", file]).status().unwrap().success());
}

/// Every struct and union of pahole's output, `struct page` and the like, that
/// has one description only.
fn names(path: &Path) -> Vec<String> {
    let out = run("pahole", &["-F", "dwarf", path.to_str().unwrap()]);
    let heads = out.lines().filter_map(|line| line.strip_suffix(" {"));
    let tagged = heads.filter(|h| h.starts_with("struct ") || h.starts_with("union "));
    let mut names: Vec<String> = tagged.map(str::to_owned).collect();
    names.sort();
    names.dedup();
    names
}

/// What differs between two layouts, as text; members by their path.
fn differences(path: &str, dwarf: &Layout, btf: &Layout, out: &mut Vec<String>) {
    if dwarf.size != btf.size || dwarf.members.len() != btf.members.len() {
        let brief = |l: &Layout| format!("{} bytes, {} members", l.size, l.members.len());
        out.push(format!("{path}: DWARF {}, BTF {}", brief(dwarf), brief(btf)));
        return;
    }
    for (a, b) in dwarf.members.iter().zip(&btf.members) {
        let path = format!("{path}.{}", a.name);
        // An array without a length is one of length 0 in BTF, `f()` is
        // `f(void)`, and pahole makes one dimension of several.
        let plain = |name: &str| flat(&name.replace("[0]", "[]").replace("()", "(void)"));
        let have = |m: &kgdb_tui::symbols::answer::Member| {
            (m.name.clone(), m.offset, m.size, m.bits, plain(&m.type_name), m.element)
        };
        if have(a) != have(b) {
            out.push(format!("{path}: DWARF {:?}, BTF {:?}", have(a), have(b)));
        } else if let (Some(a), Some(b)) = (&a.inner, &b.inner) {
            differences(&path, a, b, out);
        } else if a.inner.is_some() != b.inner.is_some() {
            out.push(format!("{path}: described in one of them only"));
        }
    }
}

/// A type's name with the dimensions of an array multiplied.
fn flat(name: &str) -> String {
    let Some((before, rest)) = name.split_once('[') else { return name.to_owned() };
    let (dimensions, after) = rest.rsplit_once(']').unwrap();
    let counts: Option<Vec<u64>> = dimensions.split("][").map(|n| n.parse().ok()).collect();
    match counts {
        Some(counts) => format!("{before}[{}]{after}", counts.iter().product::<u64>()),
        None => name.to_owned(),
    }
}

#[test]
fn every_layout_of_the_kernel_is_the_same_from_btf() {
    let vmlinux = built().vmlinux;
    let (dwarf, btf) = (open(&vmlinux), open(&stripped_kernel()));
    let (mut compared, mut differ) = (0, Vec::new());
    for name in names(&vmlinux) {
        let (Some(a), Some(b)) = (dwarf.struct_layout(&name), btf.struct_layout(&name)) else {
            differ.push(format!("{name}: not in both"));
            continue;
        };
        compared += 1;
        let before = differ.len();
        differences(&name, &a, &b, &mut differ);
        differ.truncate(before + 1);
    }
    println!("{compared} layouts compared");
    assert!(compared > 3000, "{compared}");
    assert!(differ.is_empty(), "{} of {compared}:\n{}", differ.len(), differ.join("\n"));
}
