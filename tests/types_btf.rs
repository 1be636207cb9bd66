//! Types from BTF against the same types from DWARF: a real kernel, stripped
//! after pahole made BTF of its debug info, and small C files.

#![allow(clippy::unwrap_used, reason = "a test may")]

mod oracle;
mod support {
    pub mod guest;
    pub mod tools;
}

use kgdb_tui::symbols::{
    answer::{Layout, Member, TypeShape, ValuePlace},
    image::DebugImage,
    placed::{Placement, Symbols, VMLINUX},
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
        let have =
            |m: &Member| (m.name.clone(), m.offset, m.size, m.bits, plain(&m.type_name), m.element);
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

#[test]
fn functions_enumerators_and_variables_of_the_kernel_are_known_from_btf() {
    let (dwarf, btf) = (open(&built().vmlinux), open(&stripped_kernel()));
    for name in ["MODULE_STATE_COMING", "HRTIMER_MODE_REL", "PIDTYPE_SID", "NR_FREE_PAGES"] {
        assert!(dwarf.enumerator(name).is_some(), "{name}");
        assert_eq!(dwarf.enumerator(name), btf.enumerator(name), "{name}");
    }
    let ptype = |symbols: &Symbols, name: &str| {
        symbols.find_typed(name).map(|named| symbols.describe_type(named, false).text)
    };
    for name in ["vfs_read", "do_exit", "schedule", "u32", "struct list_head", "enum pid_type"] {
        assert!(ptype(&dwarf, name).is_some(), "{name}");
        assert_eq!(ptype(&dwarf, name), ptype(&btf, name), "{name}");
    }
    // BTF has the types of per-CPU variables only.
    let runqueues = btf.find_variable("runqueues").unwrap();
    assert_eq!(btf.type_name(runqueues.ty), "struct rq");
    assert_eq!(runqueues.location, dwarf.find_variable("runqueues").unwrap().location);
    let jiffies = btf.find_variable("jiffies_64").unwrap();
    assert!(jiffies.ty.is_void());
    assert!(matches!(jiffies.location, ValuePlace::Expression { .. }));
}

/// A C file as DWARF and as BTF.
fn both(text: &str) -> (tempfile::TempDir, Symbols, Symbols) {
    let dir = tempfile::tempdir().unwrap();
    let (source, object, other) =
        (dir.path().join("a.c"), dir.path().join("a.o"), dir.path().join("b.o"));
    fs::write(&source, text).unwrap();
    let mut gcc = tool("gcc");
    gcc.args(["-g", "-c", "-O0", "-ffreestanding", "-o"]).arg(&object).arg(&source);
    assert!(gcc.status().unwrap().success());
    fs::copy(&object, &other).unwrap();
    strip_to_btf(&other, &["-J", "--btf_gen_floats"]);
    let (dwarf, btf) = (open(&object), open(&other));
    (dir, dwarf, btf)
}

#[test]
fn every_kind_of_type_is_the_same_from_btf() {
    let (_dir, dwarf, btf) = both(
        "enum negative { N = -5, Z, P = 7 };
         enum large { SMALL = 1, LARGE = 0x123456789ab };
         enum unsigned_one { U = 0xffffffff };
         typedef int (*handler)(const char *, ...);
         typedef unsigned char byte;
         struct declared;
         struct bits { unsigned a : 3; unsigned b : 5; long c : 40; _Bool d : 1; int e : 2; };
         struct __attribute__((packed)) packed { char a; int b; unsigned c : 30; short d; };
         union either { struct { int x, y; }; double real; float f[2]; };
         struct all {
             const volatile int cv; char *const *restrict pp; handler h; byte bytes[7];
             struct declared *d; union either u; struct bits b; struct packed p;
             int (*functions[2])(struct all *, void (*)(int)); enum negative n; enum large l;
             _Bool flag; long double ld; struct { int deep; } nested[3]; void *data; int tail[];
         } all;
         enum unsigned_one one;
         int function(struct all *a, char c) { return a->cv + c; }",
    );
    let described = |symbols: &Symbols, name: &str, offsets| {
        let named = symbols.find_typed(name).unwrap_or_else(|| panic!("no {name}"));
        symbols.describe_type(named, offsets).text.replace("tail[0]", "tail[]")
    };
    for name in [
        "struct all",
        "struct bits",
        "struct packed",
        "union either",
        "enum negative",
        "enum large",
        "enum unsigned_one",
        "handler",
        "byte",
        "function",
    ] {
        for offsets in [false, true] {
            assert_eq!(described(&dwarf, name, offsets), described(&btf, name, offsets), "{name}");
        }
    }
    assert_eq!(btf.enumerator("N"), Some(-5));
    assert_eq!(btf.enumerator("LARGE"), Some(0x123_4567_89ab));
    assert_eq!(btf.enumerator("NOTHING"), None);
    let shape =
        |symbols: &Symbols, name: &str| symbols.type_shape(symbols.find_type(name).unwrap());
    assert_eq!(shape(&btf, "byte"), TypeShape::Char { signed: false });
    assert_eq!(shape(&btf, "double"), TypeShape::Float { size: 8 });
    assert_eq!(shape(&btf, "_Bool"), TypeShape::Bool { size: 1 });
    assert_eq!(shape(&btf, "enum negative"), shape(&dwarf, "enum negative"));
    assert!(btf.find_type("struct declared").is_none());
}

#[test]
fn a_modules_btf_goes_on_from_the_kernels() {
    let kernel = stripped_kernel();
    let of_guest = built().modules.join("fuse.ko");
    let dir = tempfile::tempdir().unwrap();
    let module = dir.path().join("fuse.ko");
    fs::copy(&of_guest, &module).unwrap();
    let base = format!("--btf_base={}", kernel.display());
    strip_to_btf(&module, &["-J", &base]);
    let with_module = |mut symbols: Symbols, path: &Path| {
        let image = DebugImage::open(path).unwrap();
        if image.image().has_dwarf() {
            image.load_dwarf(&|_| {}, &AtomicBool::new(false)).unwrap();
        }
        symbols.place("fuse", image, Placement::Sections(Vec::new()));
        symbols
    };
    let dwarf = with_module(open(&built().vmlinux), &of_guest);
    let btf = with_module(open(&kernel), &module);
    let mut differ = Vec::new();
    for name in ["fuse_conn", "fuse_req", "fuse_inode", "fuse_mount", "fuse_in_header", "fuse_dev"]
    {
        let a = dwarf.struct_layout(name).unwrap_or_else(|| panic!("no {name} in DWARF"));
        let b = btf.struct_layout(name).unwrap_or_else(|| panic!("no {name} in BTF"));
        differences(name, &a, &b, &mut differ);
    }
    assert!(differ.is_empty(), "{}", differ.join("\n"));
    // A base that is another kernel's, or none, is worse than nothing.
    let alone = with_module(Symbols::new(), &module);
    assert!(alone.struct_layout("fuse_conn").is_none());
}
