//! ELF files as distributions ship them: packed, with packed sections, and
//! split in two; made here with the tools that distributions use.

#![allow(clippy::unwrap_used, reason = "a test may")]

mod support {
    pub mod tools;
}

use kgdb_tui::{
    base::{
        addr::{Addr, FileAddr},
        memory::Sparse,
    },
    image::{
        file::{Image, Kind},
        pair, wanted,
    },
    kernel::{
        module_identity::{self, Verdict},
        module_sections::Section,
        modules::{Module, State},
    },
    symbols::{
        image::DebugImage,
        placed::{Placement, Symbols},
    },
};
use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
    sync::{Arc, atomic::AtomicBool},
    time::{Duration, Instant},
};
use support::tools::tool;

const SOURCE: &str = r#"
struct request { int number; long padding[3]; struct request *next; };
struct request first = { 42 };
const char banner[] = "Linux version 6.1.0-test";
__attribute__((noinline)) int send_request(struct request *request)
{
        int answer = request->number * 3;
        return answer + (int)request->padding[1];
}
int entry(void)
{
        return send_request(&first) + 1;
}
__attribute__((section(".init.text"))) int begin(void)
{
        return send_request(&first) - 1;
}
"#;

/// A directory with a module and a kernel of sorts.
struct Fixture {
    dir: tempfile::TempDir,
}

impl Fixture {
    fn new() -> Fixture {
        let fixture = Fixture { dir: tempfile::tempdir().unwrap() };
        fs::write(fixture.at("main.c"), SOURCE).unwrap();
        let compile = ["-g", "-O1", "-ffreestanding", "-fno-pic", "-mcmodel=kernel", "-c"];
        fixture.run(tool("gcc").args(compile).args(["main.c", "-o", "main.o"]));
        fixture.run(tool("ld").args(["-r", "--build-id=sha1", "main.o", "-o", "mod.ko"]));
        fixture.run(tool("gcc").args(["-nostdlib", "-static", "-no-pie", "-Wl,-q"]).args([
            "-Wl,--build-id=sha1",
            "-Wl,-Ttext=0xffffffff81000000",
            "-Wl,-z,norelro",
            "-Wl,-e,entry",
            "main.o",
            "-o",
            "vmlinux",
        ]));
        fixture
    }

    fn at(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    /// Runs a tool in the directory.
    #[track_caller]
    fn run(&self, command: &mut Command) {
        let output = command.current_dir(self.dir.path()).output().unwrap();
        assert!(output.status.success(), "{command:?}: {output:?}");
    }

    /// Splits `name` as Debian's and gdb's manuals tell: `name.debug` has the
    /// debug info, and `name` leads to it.
    fn split(&self, name: &str) {
        let debug = format!("{name}.debug");
        self.run(tool("objcopy").args(["--only-keep-debug", name, &debug]));
        self.run(tool("objcopy").arg("--strip-debug").arg(name));
        self.run(tool("objcopy").arg(format!("--add-gnu-debuglink={debug}")).arg(name));
    }
}

fn open(path: &Path, dirs: &[PathBuf]) -> Image {
    pair::open(path, dirs, &AtomicBool::new(false)).unwrap()
}

/// What a user sees of the debug info.
fn facts(path: &Path, dirs: &[PathBuf]) -> String {
    let image = DebugImage::open_in(path, dirs, &AtomicBool::new(false)).unwrap();
    image.load_dwarf(&|_| (), &AtomicBool::new(false)).unwrap();
    let placement = match image.image().kind() {
        Kind::Relocatable => Placement::Sections(vec![
            (".text".to_owned(), Addr(0xffff_ffff_c000_0000)),
            (".init.text".to_owned(), Addr(0xffff_ffff_c001_0000)),
        ]),
        _ => Placement::Slide(0),
    };
    let mut symbols = Symbols::new();
    symbols.place("vmlinux", image, placement);
    let functions = ["send_request", "entry", "begin"].map(|name| symbols.find_functions(name));
    for found in &functions {
        assert_eq!(found.len(), 1, "{functions:?}");
    }
    let frames = symbols.frames_at(functions[0][0].entry.offset(4));
    format!("{functions:?} {frames:?} {:?}", symbols.struct_layout("request").unwrap())
}

/// Bytes that are in the file with the code only.
fn code(image: &Image, symbol: &str) -> Option<Vec<u8>> {
    let symbol = image.symbols().named(symbol).next().unwrap();
    image.file_bytes(symbol.addr, symbol.size.max(4) as usize).map(<[u8]>::to_vec)
}

#[test]
fn packed_files_answer_like_plain_ones() {
    let fixture = Fixture::new();
    for name in ["mod.ko", "vmlinux"] {
        let plain = facts(&fixture.at(name), &[]);
        fixture.run(tool("xz").args(["--keep", "--check=crc32", "--lzma2=dict=1MiB", name]));
        fixture.run(tool("zstd").args(["-q", "--keep", name]));
        fixture.run(tool("gzip").args(["-9", "--keep", name]));
        for ending in ["xz", "zst", "gz"] {
            // By what it is, not by its name.
            let packed = fixture.at("packed");
            fs::rename(fixture.at(&format!("{name}.{ending}")), &packed).unwrap();
            assert_eq!(facts(&packed, &[]), plain, "{name}.{ending}");
        }
    }
}

#[test]
fn damaged_packed_files_say_so() {
    let fixture = Fixture::new();
    fixture.run(tool("xz").args(["--keep", "--check=crc32", "mod.ko"]));
    fixture.run(tool("zstd").args(["-q", "--keep", "--check", "mod.ko"]));
    fixture.run(tool("gzip").args(["--keep", "mod.ko"]));
    for ending in ["xz", "zst", "gz"] {
        let bytes = fs::read(fixture.at(&format!("mod.ko.{ending}"))).unwrap();
        let path = fixture.at(&format!("damaged.{ending}"));
        let mut accepted = 0;
        for at in (0..bytes.len()).step_by(bytes.len() / 150 + 1) {
            fs::write(&path, &bytes[..at.max(8)]).unwrap();
            let error = Image::open(&path).unwrap_err().to_string();
            assert!(error.contains(path.to_str().unwrap()), "{error}");
            let mut flipped = bytes.clone();
            flipped[at] ^= 0x10;
            fs::write(&path, &flipped).unwrap();
            accepted += usize::from(Image::open(&path).is_ok());
        }
        // A flip in a gzip header's time is no damage.
        assert!(accepted <= 5, "{ending}: {accepted}");
    }
}

#[test]
fn a_packed_bomb_is_refused_before_it_fills_the_memory() {
    let fixture = Fixture::new();
    let mut bomb = fs::read(fixture.at("mod.ko")).unwrap();
    bomb.resize(300 << 20, 0);
    fs::write(fixture.at("bomb"), &bomb).unwrap();
    for (packer, ending) in [("xz", "xz"), ("zstd", "zst"), ("gzip", "gz")] {
        fixture.run(tool(packer).args(["-1", "-q", "--keep", "bomb"]));
        let path = fixture.at(&format!("bomb.{ending}"));
        let error = Image::open(&path).unwrap_err().to_string();
        assert!(error.contains("MiB come out of it"), "{ending}: {error}");
    }
}

#[test]
fn packed_sections_of_every_kind_are_unpacked() {
    let fixture = Fixture::new();
    for name in ["mod.ko", "vmlinux"] {
        let plain = facts(&fixture.at(name), &[]);
        let whole = Image::open(&fixture.at(name)).unwrap();
        for kind in ["zlib-gnu", "zlib-gabi", "zstd"] {
            let flag = format!("--compress-debug-sections={kind}");
            // `eu-elfcompress` where binutils were built without zstd.
            let mut objcopy = tool("objcopy");
            objcopy.current_dir(fixture.dir.path()).args([&flag, name, "packed"]);
            if !objcopy.output().unwrap().status.success() {
                fixture.run(
                    tool("eu-elfcompress").args(["-q", "-f", "-t", kind, "-o", "packed"]).arg(name),
                );
            }
            let packed = Image::open(&fixture.at("packed")).unwrap();
            assert!(packed.debug_sections_to_cook().contains(&".debug_info"), "{kind}");
            assert!(packed.has_dwarf(), "{kind}");
            assert_eq!(
                packed.section_data(".debug_info"),
                whole.section_data(".debug_info"),
                "{name} {kind}"
            );
            assert_eq!(facts(&fixture.at("packed"), &[]), plain, "{name} {kind}");
        }
    }
}

#[test]
fn debug_info_is_found_beside_by_its_link_and_by_build_id() {
    for name in ["mod.ko", "vmlinux"] {
        let fixture = Fixture::new();
        let whole = fixture.at(name);
        let plain = facts(&whole, &[]);
        let entry = code(&Image::open(&whole).unwrap(), "entry");
        let id = Image::open(&whole).unwrap().build_id().unwrap().to_vec();
        fixture.split(name);
        let debug = fixture.at(&format!("{name}.debug"));

        let check = |path: &Path, dirs: &[PathBuf], debug: &Path| {
            let image = open(path, dirs);
            assert_eq!(image.path(), debug, "{name}");
            assert!(image.has_dwarf() && image.is_debug_only(), "{name}");
            assert_eq!(code(&image, "entry"), entry, "{name}");
            assert_eq!(code(&image, "banner").unwrap()[..5], *b"Linux", "{name}");
            assert_eq!(facts(path, dirs), plain, "{name}");
        };
        // Beside it; either half leads to the other.
        check(&whole, &[], &debug);
        check(&debug, &[], &debug);
        // In `.debug` beside it.
        let hidden = fixture.at(".debug").join(debug.file_name().unwrap());
        fs::create_dir(fixture.at(".debug")).unwrap();
        fs::rename(&debug, &hidden).unwrap();
        check(&whole, &[], &hidden);
        check(&hidden, &[], &hidden);
        // In a tree like /usr/lib/debug, in the place it is about.
        let tree = fixture.at("tree");
        let home = tree.join(fixture.dir.path().canonicalize().unwrap().strip_prefix("/").unwrap());
        fs::create_dir_all(&home).unwrap();
        let there = home.join(debug.file_name().unwrap());
        fs::rename(&hidden, &there).unwrap();
        check(&whole, std::slice::from_ref(&tree), &there);
        check(&there, std::slice::from_ref(&tree), &there);
        // By build-id.
        let hex = kgdb_tui::image::notes::hex(&id);
        let by_id = tree.join(".build-id").join(&hex[..2]).join(format!("{}.debug", &hex[2..]));
        fs::create_dir_all(by_id.parent().unwrap()).unwrap();
        fs::rename(&there, &by_id).unwrap();
        check(&whole, std::slice::from_ref(&tree), &by_id);
        // Nowhere: the symbol table is left.
        let image = open(&whole, &[]);
        assert!(!image.has_dwarf() && image.symbols().named("entry").next().is_some());
        // The half with the debug info alone: all but bytes.
        fs::rename(&by_id, &debug).unwrap();
        fs::remove_file(&whole).unwrap();
        let image = open(&debug, &[]);
        assert!(image.body().is_none() && code(&image, "entry").is_none());
        assert_eq!(facts(&debug, &[]), plain, "{name}");
    }
}

#[test]
fn halves_made_by_elfutils_fit_too() {
    for name in ["mod.ko", "vmlinux"] {
        let fixture = Fixture::new();
        let plain = facts(&fixture.at(name), &[]);
        let debug = format!("{name}.debug");
        fixture.run(tool("eu-strip").args(["--remove-comment", "-f", &debug, name]));
        let image = open(&fixture.at(name), &[]);
        assert_eq!(image.path(), fixture.at(&debug), "{name}: {:?}", image.remarks());
        assert!(code(&image, "entry").is_some(), "{name}");
        assert_eq!(facts(&fixture.at(name), &[]), plain, "{name}");
    }
}

/// A distribution's module: stripped and packed, its debug info elsewhere.
#[test]
fn a_packed_stripped_module_leads_to_its_debug_info_and_back() {
    let fixture = Fixture::new();
    let plain = facts(&fixture.at("mod.ko"), &[]);
    fixture.split("mod.ko");
    fixture.run(tool("xz").args(["--check=crc32", "mod.ko"]));
    for path in [fixture.at("mod.ko.xz"), fixture.at("mod.ko.debug")] {
        let image = open(&path, &[]);
        assert_eq!(image.path(), fixture.at("mod.ko.debug"));
        assert_eq!(image.body().unwrap().path(), fixture.at("mod.ko.xz"));
        assert!(code(&image, "entry").is_some());
        assert_eq!(facts(&path, &[]), plain);
    }
}

#[test]
fn a_half_of_another_build_is_refused_and_named() {
    let (one, other) = (Fixture::new(), Fixture::new());
    fs::write(other.at("main.c"), SOURCE.replace("* 3", "* 5")).unwrap();
    other.run(tool("gcc").args(["-g", "-O1", "-c", "main.c", "-o", "main.o"]));
    other.run(tool("ld").args(["-r", "--build-id=sha1", "main.o", "-o", "mod.ko"]));
    one.split("mod.ko");
    other.split("mod.ko");
    fs::copy(other.at("mod.ko.debug"), one.at("mod.ko.debug")).unwrap();
    let image = open(&one.at("mod.ko"), &[]);
    assert!(!image.has_dwarf());
    let remark = image.remarks().concat();
    assert!(remark.contains("of another build"), "{remark}");
    let image = open(&one.at("mod.ko.debug"), &[]);
    assert!(image.body().is_none());
    assert!(image.remarks().concat().contains("of another build"), "{:?}", image.remarks());
}

/// Without build-ids the CRC in the link proves that two files belong together.
#[test]
fn without_build_ids_the_crc_decides() {
    let fixture = Fixture::new();
    fixture.run(tool("ld").args(["-r", "--build-id=none", "main.o", "-o", "mod.ko"]));
    fixture.split("mod.ko");
    let debug = fixture.at("mod.ko.debug");
    assert_eq!(open(&fixture.at("mod.ko"), &[]).path(), debug);
    let mut bytes = fs::read(&debug).unwrap();
    *bytes.last_mut().unwrap() ^= 1;
    fs::write(&debug, bytes).unwrap();
    let image = open(&fixture.at("mod.ko"), &[]);
    assert_eq!(image.path(), fixture.at("mod.ko"));
    assert!(image.remarks().concat().contains("CRC"), "{:?}", image.remarks());
}

#[test]
fn what_can_not_be_used_says_what_is_wanted() {
    let fixture = Fixture::new();
    let error = |name: &str| Image::open(&fixture.at(name)).unwrap_err().to_string();
    fixture.run(tool("gcc").args(["-m32", "-g", "-c", "-ffreestanding", "main.c", "-o", "i386"]));
    assert!(error("i386").contains("32-bit"), "{}", error("i386"));
    let mut arm = fs::read(fixture.at("vmlinux")).unwrap();
    arm[18..20].copy_from_slice(&183u16.to_le_bytes());
    fs::write(fixture.at("arm"), arm).unwrap();
    assert!(error("arm").contains("arm64"), "{}", error("arm"));
    fs::write(fixture.at("initrd"), b"070701, and so on").unwrap();
    fixture.run(tool("gzip").args(["-n", "initrd"]));
    assert!(error("initrd.gz").contains("packed with gzip"), "{}", error("initrd.gz"));
}

/// Loaded sections without bytes have an address, and an unwinder's tables are
/// relocated against it.
#[test]
fn the_tables_of_a_split_module_are_relocated_where_its_sections_are() {
    let fixture = Fixture::new();
    fs::write(
        fixture.at("table.S"),
        ".section .orc_unwind_ip, \"a\"\n.long send_request - .\n.long entry - .\n",
    )
    .unwrap();
    fixture.run(tool("gcc").args(["-c", "table.S", "-o", "table.o"]));
    fixture.run(tool("ld").args(["-r", "--build-id=sha1", "table.o", "main.o", "-o", "mod.ko"]));
    let table = |image: &Image| image.section_data(".orc_unwind_ip").unwrap().to_vec();
    let whole = Image::open(&fixture.at("mod.ko")).unwrap();
    let want = table(&whole);
    fixture.split("mod.ko");
    let image = open(&fixture.at("mod.ko.debug"), &[]);
    assert_eq!(table(&image), want);
    // The first entry leads to the function.
    let at = image.section(".orc_unwind_ip").unwrap().addr;
    let first = i32::from_le_bytes(want[..4].try_into().unwrap());
    let function = image.symbols().named("send_request").next().unwrap();
    assert_eq!(FileAddr(at.0.wrapping_add_signed(first.into())), function.addr);
}

/// Either half may be damaged anywhere; whatever is still there answers.
#[test]
fn damaged_halves_are_survived() {
    let fixture = Fixture::new();
    fixture.split("mod.ko");
    let mut paired = 0;
    for name in ["mod.ko", "mod.ko.debug"] {
        let whole = fs::read(fixture.at(name)).unwrap();
        for at in (0..whole.len()).step_by(whole.len() / 150 + 1) {
            for value in [0x00, 0x7f, 0xff] {
                let mut bytes = whole.clone();
                bytes[at] = value;
                fs::write(fixture.at(name), &bytes).unwrap();
                for path in ["mod.ko", "mod.ko.debug"].map(|name| fixture.at(name)) {
                    let Ok(image) = pair::open(&path, &[], &AtomicBool::new(false)) else {
                        continue;
                    };
                    paired += usize::from(image.body().is_some());
                    for section in image.sections() {
                        let _ = image.section_data(&section.name);
                    }
                    for symbol in image.symbols().iter() {
                        let _ = image.file_bytes(symbol.addr, 16);
                    }
                }
            }
        }
        fs::write(fixture.at(name), whole).unwrap();
    }
    assert!(paired > 500, "{paired}");
}

/// Debian's modules have no link; their debug info has their name, elsewhere.
#[test]
fn a_module_without_a_link_is_found_by_its_name_in_a_debug_tree() {
    let fixture = Fixture::new();
    let plain = facts(&fixture.at("mod.ko"), &[]);
    let tree = fixture.at("tree");
    let home = tree.join(fixture.dir.path().canonicalize().unwrap().strip_prefix("/").unwrap());
    fs::create_dir_all(&home).unwrap();
    fs::copy(fixture.at("mod.ko"), home.join("mod.ko")).unwrap();
    fixture.run(tool("strip").args(["--strip-debug", "mod.ko"]));
    fixture.run(tool("zstd").args(["-q", "--rm", "mod.ko"]));
    let dirs = [tree];
    let image = open(&fixture.at("mod.ko.zst"), &dirs);
    assert_eq!(image.path(), home.join("mod.ko"));
    assert!(image.body().is_none() && code(&image, "entry").is_some(), "it has all itself");
    assert_eq!(facts(&fixture.at("mod.ko.zst"), &dirs), plain);
}

#[test]
fn files_tell_their_release() {
    let fixture = Fixture::new();
    let source = format!(
        "{SOURCE}\nconst char linux_banner[] = \"Linux version 6.1.0-53-amd64 (x@y) #1\";\n\
         const char vermagic[] __attribute__((section(\".modinfo\"))) = \"vermagic=5.15-z SMP \";"
    );
    fs::write(fixture.at("main.c"), source).unwrap();
    fixture.run(tool("gcc").args(["-c", "-fno-pic", "-mcmodel=kernel", "main.c", "-o", "a.ko"]));
    fixture.run(
        tool("gcc")
            .args(["-nostdlib", "-static", "-no-pie", "-Wl,-e,entry"])
            .args(["a.ko", "-o", "vmlinux"]),
    );
    let release = |name: &str| wanted::release_of(&Image::open(&fixture.at(name)).unwrap());
    assert_eq!(release("vmlinux").as_deref(), Some("6.1.0-53-amd64"));
    fixture.run(tool("strip").args(["--strip-all", "vmlinux"]));
    assert!(release("vmlinux").is_some_and(|release| release.starts_with("6.1.0-")));
    assert_eq!(release("mod.ko"), None);
    // By its own banner, and without one by the kernel it is for.
    assert_eq!(release("a.ko").as_deref(), Some("6.1.0-53-amd64"));
    fixture.run(tool("objcopy").args(["--strip-unneeded", "-N", "linux_banner", "a.ko"]));
    assert_eq!(release("a.ko").as_deref(), Some("5.15-z"));
}

/// One module comes, loses its init sections and goes; the kernel and the other
/// modules are the same objects as before, with all that they know.
#[test]
fn a_module_comes_and_goes_without_touching_the_kernel() {
    const MODULES: u64 = 100;
    let fixture = Fixture::new();
    let load = |name: &str| {
        let image = DebugImage::open(&fixture.at(name)).unwrap();
        image.load_dwarf(&|_| (), &AtomicBool::new(false)).unwrap();
        image
    };
    let (vmlinux, module) = (load("vmlinux"), load("mod.ko"));
    let names: Vec<String> = module.image().sections().iter().map(|s| s.name.clone()).collect();
    let at = |start: u64| {
        let places = (0..).zip(&names).map(|(i, name)| (name.clone(), Addr(start + 0x1000 * i)));
        places.collect::<Vec<_>>()
    };
    let mut symbols = Symbols::new();
    let kernel = symbols.place("vmlinux", vmlinux.clone(), Placement::Slide(0x100_0000));
    let same = |symbols: &Symbols| {
        let placed = symbols.vmlinux().unwrap();
        placed.id == kernel && Arc::ptr_eq(&placed.image, &vmlinux)
    };
    let began = Instant::now();
    let mut shown = Vec::new();
    for number in 0..MODULES {
        let start = 0xffff_ffff_c000_0000 + 0x10_0000 * number;
        symbols.place(&format!("mod{number}"), module.clone(), Placement::Sections(at(start)));
        // Somebody still looks at the symbols as they were.
        shown.push(symbols.clone());
    }
    let placed = began.elapsed();
    let named = |symbols: &Symbols, name: &str| symbols.find_functions(name).len() as u64;
    assert!(same(&symbols) && named(&symbols, "mod7!begin") == 1);
    assert_eq!(named(&symbols, "send_request"), MODULES + 1);

    let began = Instant::now();
    let mut live = at(0xffff_ffff_c000_0000 + 0x10_0000 * 7);
    live.retain(|(name, _)| !name.starts_with(".init"));
    let id = symbols.images().find(|placed| placed.name == "mod7").unwrap().id;
    symbols.replace("mod7", Placement::Sections(live));
    let replaced = began.elapsed();
    assert!(same(&symbols) && symbols.image(id).is_some());
    assert_eq!(named(&symbols, "mod7!begin"), 0);
    assert_eq!((named(&symbols, "mod7!entry"), named(&symbols, "mod8!begin")), (1, 1));
    assert_eq!(named(&shown[99], "mod7!begin"), 1, "as it was when it was taken");

    let began = Instant::now();
    symbols.remove("mod7");
    let removed = began.elapsed();
    assert!(same(&symbols) && named(&symbols, "send_request") == MODULES);
    eprintln!(
        "{MODULES} modules placed in {placed:.1?}, one replaced in {replaced:.1?}, removed in {removed:.1?}"
    );
    assert!(placed < Duration::from_secs(1));
}

/// Sections of one name stay apart: the guest lists them in the file's order.
#[test]
fn sections_of_one_name_have_their_own_places() {
    let fixture = Fixture::new();
    let twice = ".section .same, \"ax\", unique, 1\nfirst: .quad 1\n.type first, @function\n.size first, 8\n\
                 .section .same, \"ax\", unique, 2\nsecond: .quad 2\n.type second, @function\n.size second, 8\n";
    fs::write(fixture.at("twice.S"), twice).unwrap();
    fixture.run(tool("gcc").args(["-c", "twice.S", "-o", "twice.ko"]));
    let image = DebugImage::open(&fixture.at("twice.ko")).unwrap();
    let mut symbols = Symbols::new();
    let places = [0xffff_ffff_c000_0000, 0xffff_ffff_c000_1000].map(Addr);
    let list = places.map(|addr| (".same".to_owned(), addr)).to_vec();
    symbols.place("twice", image, Placement::Sections(list));
    let names = places.map(|addr| symbols.symbol_at(addr).map(|symbol| symbol.name));
    assert_eq!(names, [Some("first".to_owned()), Some("second".to_owned())]);
}

#[test]
fn a_build_id_proves_a_module_or_not() {
    let fixture = Fixture::new();
    let image = Image::open(&fixture.at("mod.ko")).unwrap();
    let note = image.section_data(".note.gnu.build-id").unwrap().to_vec();
    let at = Addr(0xffff_ffff_c000_0000);
    let module = Module {
        name: "mod".into(),
        addr: at.offset(0x1000),
        state: State::Live,
        base: None,
        size: None,
        memory: Vec::new(),
    };
    let sections = [Section { name: ".note.gnu.build-id".into(), addr: at }];
    let judge = |memory: &Sparse, sections: &[Section], image: &Image| {
        module_identity::judge(&Symbols::new(), memory, &module, sections, image)
    };
    let guest = |note: &[u8]| {
        let mut memory = Sparse::new();
        memory.insert(at, note);
        memory
    };
    let verdict = judge(&guest(&note), &sections, &image).unwrap();
    let id = kgdb_tui::image::notes::hex(image.build_id().unwrap());
    assert_eq!(verdict, Verdict::Proven(format!("build-id {id}")));
    let mut other = note.clone();
    *other.last_mut().unwrap() ^= 1;
    let verdict = judge(&guest(&other), &sections, &image).unwrap();
    assert!(matches!(&verdict, Verdict::Other(why) if why.contains(&id)), "{verdict:?}");
    assert!(judge(&Sparse::new(), &sections, &image).unwrap_err().is_missing());
    // Without an id on one side nothing is proven, whatever else agrees.
    let verdict = judge(&guest(&note), &[], &image).unwrap();
    assert!(
        matches!(&verdict, Verdict::Unknown(why) if why.contains("guest's module has no")),
        "{verdict:?}"
    );
    fixture.run(tool("objcopy").args(["-R", ".note.gnu.build-id", "mod.ko", "bare.ko"]));
    let bare = Image::open(&fixture.at("bare.ko")).unwrap();
    let verdict = judge(&guest(&note), &sections, &bare).unwrap();
    assert!(
        matches!(&verdict, Verdict::Unknown(why) if why.contains("the file has no")),
        "{verdict:?}"
    );
}
