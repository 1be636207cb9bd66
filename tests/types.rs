//! Types of small C files against gdb; and types from BTF against the same
//! types from DWARF, of such files and of a real kernel, stripped after pahole
//! made BTF of its debug info.

#![allow(clippy::unwrap_used, reason = "a test may")]

mod oracle;
mod support {
    pub mod guest;
    pub mod kernel;
    pub mod tools;
}

use kgdb_tui::symbols::{
    answer::{Layout, Member, TypeShape, ValuePlace, VariableDef},
    image::DebugImage,
    placed::{Placement, Symbols, VMLINUX},
};
use oracle::gdb_outputs;
use std::{
    fs,
    path::{Path, PathBuf},
    sync::{OnceLock, atomic::AtomicBool},
};
use support::{guest::built, kernel::struct_names, tools::tool};

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

/// What differs between two layouts, as text; members by their path.
fn differences(path: &str, dwarf: &Layout, btf: &Layout, out: &mut Vec<String>) {
    if dwarf.size != btf.size || dwarf.members.len() != btf.members.len() {
        let brief = |l: &Layout| format!("{} bytes, {} members", l.size, l.members.len());
        out.push(format!("{path}: DWARF {}, BTF {}", brief(dwarf), brief(btf)));
        return;
    }
    for (a, b) in dwarf.members.iter().zip(&btf.members) {
        let path = format!("{path}.{}", a.name);
        // An array without a length is one of length 0 in BTF, and pahole makes
        // one dimension of several.
        let plain = |name: &str| flat(&name.replace("[0]", "[]"));
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
    for name in struct_names(&vmlinux) {
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
    let place = |variable: &VariableDef| match &variable.location {
        ValuePlace::Expression { bytes, .. } => bytes.clone(),
        other => panic!("{other:?}"),
    };
    assert_eq!(place(&runqueues), place(&dwarf.find_variable("runqueues").unwrap()));
    let jiffies = btf.find_variable("jiffies_64").unwrap();
    assert!(jiffies.ty.is_void());
    assert!(matches!(jiffies.location, ValuePlace::Expression { .. }));
}

/// A C file, compiled.
fn compiled(dir: &Path, text: &str, flags: &[&str]) -> PathBuf {
    let (source, object) = (dir.join("a.c"), dir.join("a.o"));
    fs::write(&source, text).unwrap();
    let mut gcc = tool("gcc");
    gcc.args(["-c", "-O0", "-w", "-ffreestanding"]).args(flags).arg("-o").arg(&object).arg(&source);
    assert!(gcc.status().unwrap().success());
    object
}

/// A C file as DWARF and as BTF.
fn both(text: &str) -> (tempfile::TempDir, Symbols, Symbols) {
    let dir = tempfile::tempdir().unwrap();
    let object = compiled(dir.path(), text, &["-g"]);
    let other = dir.path().join("b.o");
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

/// Every shape of declaration that C has and kernels use, some by accident.
const ODD: &str = "
typedef int vector __attribute__((vector_size(16)));
struct empty {};
typedef struct { int x; } untagged;
typedef const volatile int cvi;
typedef struct untagged_pointer { struct { int z; } *to; } untagged_pointer;
struct nest { int a; struct { char x; struct { int deep; union { int q; long r; }; }; } s; };
struct bits { unsigned a : 3; unsigned b : 5; unsigned : 0; long c : 40; char d; int e : 2; };
struct __attribute__((packed)) packed { char a; int b; unsigned c : 3; unsigned d : 30; short s; };
struct holes {
    char a; int b; char c; struct { short s; long l; } in; union { char u; long v; }; char last;
};
enum values { A, B = 5, C, D = -1 };
struct declared;
struct all {
    vector v; struct empty em; untagged at; enum values en; struct declared *dp; cvi k;
    const char *const name; char *const *volatile pp; int arr[3][4]; int (*fa)[3];
    int (*fn[2])(void); int (*ret)(int, ...); int (*unproto)(); const int carr[2];
    enum { X1, Y1 = 3 } ae; void (*cb)(struct { int i; } *p, const struct all *);
    _Bool bo; unsigned long long ull; signed char sc; untagged_pointer up; int zero[0]; int flex[];
} g;
struct nest n; struct bits b; struct packed p; struct holes h; cvi constant;
int (*getfn(int x))(char) { return 0; }
static int split(struct all *a, char *restrict r) { return a->en; }
int noargs(void) { return split(&g, 0); }
int oldstyle() { return 1; }
";

#[test]
fn odd_types_are_printed_as_gdb_prints_them() {
    let names = [
        "struct all",
        "struct all *",
        "struct nest",
        "struct bits",
        "struct packed",
        "struct holes",
        "struct empty",
        "enum values",
        "untagged",
        "cvi",
        "vector",
        "untagged_pointer",
        "getfn",
        "split",
        "noargs",
        "oldstyle",
        "g",
        "n",
        "constant",
    ];
    let mut differ = Vec::new();
    let flavours: [&[&str]; 4] =
        [&["-gdwarf-5"], &["-gdwarf-4"], &["-gdwarf-3", "-gstrict-dwarf"], &["-gdwarf-2"]];
    for flags in flavours {
        let dir = tempfile::tempdir().unwrap();
        let object = compiled(dir.path(), ODD, flags);
        let symbols = open(&object);
        for form in ["ptype", "whatis", "ptype /o"] {
            // Behind a pointer gdb 13 counts from the member before, and of a
            // variable with a flexible array it leaves the tail's padding out.
            let fit = |name: &&&str| form != "ptype /o" || !name.ends_with('*') && **name != "g";
            let names: Vec<&str> = names.iter().filter(fit).copied().collect();
            let commands: Vec<String> = names.iter().map(|n| format!("{form} {n}")).collect();
            for (name, want) in names.iter().zip(gdb_outputs(&object, &commands)) {
                let named = symbols.find_typed(name).unwrap_or_else(|| panic!("no {name}"));
                let have = match form {
                    "whatis" => format!("type = {}", symbols.whatis(named)),
                    form => symbols.describe_type(named, form == "ptype /o").text,
                };
                // gdb 13 heads the columns only where a tag was written.
                let headless = |text: &str| match text.split_once("type = ") {
                    Some((_, rest)) => rest.to_owned(),
                    None => text.to_owned(),
                };
                if headless(&have) != headless(&want) {
                    differ.push(format!("{form} {name} {flags:?}\nhere: {have}\ngdb: {want}"));
                }
            }
        }
    }
    assert!(differ.is_empty(), "{}", differ.join("\n"));
}

#[test]
fn pointers_and_spaces_in_a_types_name_do_not_matter() {
    let dir = tempfile::tempdir().unwrap();
    let symbols = open(&compiled(dir.path(), ODD, &["-g"]));
    let whatis = |name: &str| symbols.find_typed(name).map(|named| symbols.whatis(named));
    let is = |name, want: &str| assert_eq!(whatis(name).as_deref(), Some(want), "{name}");
    is("struct  nest  * *", "struct nest **");
    is("nest", "struct nest");
    is("unsigned long long", "unsigned long long");
    is("void *", "void *");
    is("'a.c'::b", "struct bits");
    assert_eq!(whatis("'b.c'::b"), None);
    assert_eq!(whatis("struct nothing"), None);
    assert_eq!(whatis(""), None);
    assert_eq!(whatis("*"), None);
}

#[test]
fn damaged_btf_gives_answers_or_none() {
    let dir = tempfile::tempdir().unwrap();
    let object = compiled(dir.path(), ODD, &["-g"]);
    strip_to_btf(&object, &["-J", "--btf_gen_floats"]);
    let whole = fs::read(&object).unwrap();
    let start = whole.windows(4).position(|bytes| bytes == [0x9f, 0xeb, 1, 0]).unwrap();
    let size = 24 + u32::from_le_bytes(whole[start + 12..start + 16].try_into().unwrap()) as usize;
    let damaged = dir.path().join("damaged.o");
    let mut seed: u32 = 12345;
    let mut answers = 0;
    for _ in 0..400 {
        let mut bytes = whole.clone();
        for _ in 0..3 {
            seed = seed.wrapping_mul(1_103_515_245).wrapping_add(12345);
            let at = start + (seed >> 8) as usize % size;
            bytes[at] ^= 1 << (seed % 8);
        }
        fs::write(&damaged, bytes).unwrap();
        let symbols = open(&damaged);
        for listed in symbols.list_types(&|_| true, 1000).listed {
            let Some(named) = symbols.find_typed(&listed.name) else { continue };
            let _ = symbols.describe_type(named, true).text.len();
            let _ = (symbols.layout_of(named.ty), symbols.type_shape(named.ty));
            answers += 1;
        }
        let _ = (symbols.enumerator("C"), symbols.find_typed("split"));
    }
    assert!(answers > 400, "{answers}");
}

/// What a batch without a guest prints: its lines of JSON, and its messages.
fn batch(vmlinux: &Path, commands: &[&str]) -> (Vec<serde_json::Value>, String) {
    let mut command = std::process::Command::new(env!("CARGO_BIN_EXE_kgdb-tui"));
    command.args(["--batch", "--offline", "--json", "--vmlinux"]).arg(vmlinux);
    for text in commands {
        command.args(["-ex", text]);
    }
    let output = command.output().unwrap();
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    let lines = text.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    (lines, String::from_utf8_lossy(&output.stderr).into_owned())
}

#[test]
fn commands_about_types_answer_with_and_without_debug_info() {
    let commands = [
        "ptype /o struct list_head",
        "whatis vfs_read",
        "info types ^list_head$",
        "info functions ^vfs_read$",
        "info variables ^init_task$",
        "info symbol vfs_read+16",
        "info scope vfs_read",
        "info sources fs/read_write",
        "ptype struct no_such_thing",
        "info types [",
    ];
    let (whole, _) = batch(&built().vmlinux, &commands);
    let (stripped, said) = batch(&stripped_kernel(), &commands);
    assert!(said.contains("types come from BTF"), "{said}");
    let result = |lines: &[serde_json::Value], n: usize| lines[n]["result"].clone();
    for lines in [&whole, &stripped] {
        let list = result(lines, 0);
        assert_eq!(list["type"], "struct list_head");
        assert_eq!(list["size"], 16);
        assert_eq!(list["members"][1]["name"], "prev");
        assert_eq!(list["members"][1]["offset"], 8);
        assert_eq!(list["members"][1]["type"], "struct list_head *");
        assert!(list["members"][1]["hole"].is_null());
        assert!(list["text"].as_str().unwrap().starts_with("/* offset      |    size */  type"));
        assert_eq!(result(lines, 1)["type"], "ssize_t (struct file *, char *, size_t, loff_t *)");
        assert_eq!(result(lines, 2)["names"], serde_json::json!(["list_head"]));
        assert_eq!(result(lines, 3)["symbols"][0]["kind"], "function");
        assert_eq!(result(lines, 3)["truncated"], false);
        assert!(result(lines, 4)["symbols"][0]["address"].as_str().unwrap().starts_with("0xffff"));
        assert_eq!(result(lines, 5)["text"], "vfs_read + 16 in section .text");
        assert_eq!(lines[8]["ok"], false);
        assert_eq!(lines[9]["ok"], false);
    }
    let of = |n: usize, key: &str| result(&whole, n)["symbols"][0][key].clone();
    assert_eq!((of(3, "line"), of(4, "type")), (450.into(), "struct task_struct".into()));
    assert!(of(3, "file").as_str().unwrap().ends_with("/fs/read_write.c"));
    let scope = result(&whole, 6);
    assert_eq!(scope["variables"][0]["name"], "file");
    assert_eq!(scope["variables"][0]["value"], "in $rdi");
    assert_eq!(scope["variables"][0]["optimized_out"], false);
    assert!(scope["variables"][0]["ranges"].as_array().unwrap().len() > 2);
    assert_eq!(result(&whole, 7)["names"].as_array().unwrap().len(), 1);
    assert!(whole[8]["error"].as_str().unwrap().contains("no type, variable or function"));
}
