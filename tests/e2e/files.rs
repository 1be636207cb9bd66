//! Files that are not what they should be, and questions that need no guest.

use crate::facts::{
    LINKED_AT, address, alive, functions, line_of, reaches_the_entry, setup, start_stopped,
};
use crate::support::{
    batch::Setup,
    guest::{LockedGuest, boot, built},
    tools::tool,
};
use kgdb_tui::demo::{
    build::COMPILED_IN,
    guest::{Boot, Hgfs, Link},
};
use object::Object;
use serde_json::Value;
use std::{
    fs,
    path::{Path, PathBuf},
};

/// The program on a guest, with another vmlinux.
fn with_vmlinux(guest: &LockedGuest, vmlinux: &Path) -> Setup {
    Setup::with_symbols(vmlinux).arg("--connect").arg(guest.address())
}

/// A copy of a file whose build-id is another one.
pub fn of_another_build(file: &Path, to: &Path) {
    let mut data = fs::read(file).unwrap();
    let at = {
        let object = object::File::parse(&*data).unwrap();
        let id = object.build_id().unwrap().unwrap();
        id.as_ptr() as usize - data.as_ptr() as usize
    };
    data[at] ^= 0xff;
    fs::write(to, data).unwrap();
}

pub fn build_id(file: &Path) -> String {
    let data = fs::read(file).unwrap();
    let object = object::File::parse(&*data).unwrap();
    object.build_id().unwrap().unwrap().iter().map(|byte| format!("{byte:02x}")).collect()
}

/// The wrong kernel is refused loudly, with both ids, until the user insists;
/// and one without debug info is used for what it has.
#[test]
fn a_vmlinux_that_does_not_fit() {
    let dir = tempfile::tempdir().unwrap();
    let wrong = dir.path().join("vmlinux-wrong");
    of_another_build(&built().vmlinux, &wrong);
    let (right_id, wrong_id) = (build_id(&built().vmlinux), build_id(&wrong));
    let mut guest = boot(&Boot { hgfs: Hgfs::Loaded, link: Link::Unix, ..Boot::default() });

    let commands = [
        "info target",
        "bt",
        "break ksys_write",
        "info symbol $rip",
        "info registers",
        "trust-symbols",
        "info target",
        "bt",
        "delete",
        "detach",
    ];
    guest.shell().unwrap().break_in().unwrap();
    let mut batch = with_vmlinux(&guest, &wrong).ex("wait 60").exs(&commands).start();
    let stop = batch.stop("wait 60");
    assert_eq!((&stop["function"], &stop["file"]), (&Value::Null, &Value::Null), "{stop}");
    let target = batch.ok("info target");
    assert_eq!(target["matches"], "mismatch");
    assert_eq!(
        (&target["build_id"], &target["vmlinux_build_id"]),
        (&right_id.as_str().into(), &wrong_id.as_str().into())
    );
    let bt = batch.next();
    if bt.error.is_none() {
        assert!(functions(&bt.result).iter().all(|(name, _)| *name == "??"), "{}", bt.result);
    }
    let wish = batch.ok("break ksys_write");
    assert_eq!(wish["breakpoints"][0]["state"], "pending", "{wish}");
    assert!(batch.next().error.is_some(), "no symbol is a fact");
    batch.ok("info registers");
    batch.ok("trust-symbols");
    assert_eq!(batch.ok("info target")["matches"], "trusted");
    let bt = batch.ok("bt");
    assert_eq!(functions(&bt)[0], ("kgdb_breakpoint", false), "{bt}");
    batch.ok("delete");
    batch.ok("detach");
    let ended = batch.end();
    assert!(ended.said.contains("NOT the guest's"), "{}", ended.said);
    assert!(ended.said.contains(&right_id) && ended.said.contains(&wrong_id), "{}", ended.said);
    alive(&mut guest);

    guest.shell().unwrap().break_in().unwrap();
    let setup = with_vmlinux(&guest, &wrong).arg("--trust-symbols");
    let ended = setup.exs(&["wait 60", "info target", "bt"]).run().all_good();
    assert_eq!(ended.ok("info target")["matches"], "trusted");
    reaches_the_entry(ended.ok("bt"));
    assert!(ended.said.contains(&wrong_id), "{}", ended.said);
    alive(&mut guest);
    drop(wrong);

    // Of another kernel altogether: its notes are not where the guest's are.
    let other = dir.path().join("vmlinux-other");
    let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/symbols/main.c");
    let mut gcc = tool("gcc");
    gcc.args(["-g", "-O2", "-ffreestanding", "-fno-pic", "-no-pie", "-mcmodel=kernel"])
        .args(["-static", "-nostdlib", "-Wl,-e,entry", "-Wl,-Ttext=0xffffffff81000000"])
        .args(["-Wl,--unresolved-symbols=ignore-all", "-Wl,--build-id=sha1"])
        .arg(source)
        .arg("-o")
        .arg(&other);
    assert!(gcc.status().unwrap().success());
    guest.shell().unwrap().break_in().unwrap();
    let ended = with_vmlinux(&guest, &other).exs(&["wait 60", "info target"]).run().all_good();
    assert_eq!(ended.ok("info target")["matches"], "mismatch", "{}", ended.said);
    let other_id = build_id(&other);
    assert!(ended.said.contains(&right_id) && ended.said.contains(&other_id), "{}", ended.said);
    alive(&mut guest);

    let bare = dir.path().join("vmlinux-bare");
    let mut objcopy = tool("objcopy");
    objcopy.arg("--strip-debug").arg(&built().vmlinux).arg(&bare);
    assert!(objcopy.status().unwrap().success());
    guest.shell().unwrap().break_in().unwrap();
    let commands = [
        "wait 60",
        "info target",
        "info symbol $rip",
        "bt",
        "tbreak ksys_write",
        "continue",
        "list",
        "disassemble",
        "info locals",
        "stepi",
        "detach",
    ];
    let mut batch = with_vmlinux(&guest, &bare).exs(&commands).start();
    let stop = batch.stop("wait 60");
    assert_eq!((&stop["function"], &stop["line"]), (&"kgdb_breakpoint".into(), &Value::Null));
    assert_eq!(batch.ok("info target")["matches"], "match");
    let symbol = batch.ok("info symbol $rip");
    assert!(symbol["text"].as_str().unwrap().starts_with("kgdb_breakpoint"), "{symbol}");
    let bt = batch.ok("bt");
    assert_eq!(functions(&bt)[0], ("kgdb_breakpoint", false));
    batch.ok("tbreak ksys_write");
    assert_eq!(batch.stop("continue")["function"], "ksys_write");
    assert!(batch.next().error.is_some(), "there are no lines to list");
    let code = batch.ok("disassemble");
    let first = &code["instructions"][0]["symbol"];
    assert!(first.as_str().unwrap().starts_with("ksys_write"), "{first}");
    batch.next();
    batch.stop("stepi");
    batch.ok("detach");
    let ended = batch.end();
    assert!(ended.said.contains("functions are named from its symbol table"), "{}", ended.said);
    alive(&mut guest);
}

/// A module of another build is not used, and says so with both ids.
#[test]
fn a_module_that_does_not_fit() {
    let dir = tempfile::tempdir().unwrap();
    of_another_build(&built().modules.join("hgfs.ko"), &dir.path().join("hgfs.ko"));
    let mut guest = boot(&Boot { hgfs: Hgfs::Loaded, link: Link::Unix, ..Boot::default() });
    // Modules are looked for beside vmlinux as well, so that is elsewhere.
    let vmlinux = dir.path().join("vmlinux");
    std::fs::copy(built().vmlinux, &vmlinux).unwrap();
    let setup = |module_path: &Path| {
        Setup::bare()
            .arg("--vmlinux")
            .arg(&vmlinux)
            .arg("--connect")
            .arg(guest.address())
            .arg("--module-path")
            .arg(module_path)
    };
    let wrong = setup(dir.path());
    let right = setup(&built().modules);
    let absent = tempfile::tempdir().unwrap();
    let nowhere = Setup::bare().arg("--vmlinux").arg(absent.path().join("vmlinux"));
    std::fs::copy(&vmlinux, absent.path().join("vmlinux")).unwrap();
    let nowhere = nowhere.arg("--connect").arg(guest.address());
    let commands = ["info modules", "break HgfsSendRequest", "detach"];
    let mut batch = start_stopped(&mut guest, wrong, &commands);
    let modules = batch.ok("info modules");
    let module = &modules["modules"][0];
    assert_eq!(module["symbols"], "wrong build", "{module}");
    let why = module["why"].as_str().unwrap();
    assert!(why.contains(&build_id(&dir.path().join("hgfs.ko"))), "{why}");
    assert!(why.contains(&build_id(&built().modules.join("hgfs.ko"))), "{why}");
    assert_eq!(batch.ok(commands[1])["breakpoints"][0]["state"], "pending");
    batch.ok("detach");
    batch.end().all_good();

    let mut batch = start_stopped(&mut guest, nowhere, &commands);
    let modules = batch.ok("info modules");
    let module = &modules["modules"][0];
    assert_eq!(module["symbols"], "not found", "{module}");
    assert!(module["why"].as_str().unwrap().contains("--module-path"), "{module}");
    batch.ok(commands[1]);
    batch.ok("detach");
    batch.end().all_good();

    // The wrong one lies beside vmlinux; the right one is found all the same.
    let mut batch = start_stopped(&mut guest, right, &commands);
    assert_eq!(batch.ok("info modules")["modules"][0]["symbols"], "loaded");
    assert_eq!(batch.ok(commands[1])["breakpoints"][0]["state"], "armed");
    batch.ok("detach");
    batch.end().all_good();
    alive(&mut guest);
}

/// Section addresses from a copy of /sys/module/hgfs/sections.
#[test]
fn sections_from_files() {
    let mut guest = boot(&Boot { hgfs: Hgfs::Loaded, link: Link::Unix, ..Boot::default() });
    let listing = crate::facts::run(
        &mut guest,
        "cd /sys/module/hgfs/sections && for f in .* *; do [ -f $f ] && echo $f $(cat $f); done; cd /",
    );
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("hgfs");
    fs::write(&file, &listing).unwrap();
    let setup = setup(&guest).arg("--sections").arg(&file);
    let commands = ["info modules", "break HgfsSendRequest", "detach"];
    let mut batch = start_stopped(&mut guest, setup, &commands);
    let modules = batch.ok("info modules");
    assert_eq!(modules["modules"].as_array().unwrap().len(), 1, "{modules}");
    assert_eq!(batch.ok(commands[1])["breakpoints"][0]["state"], "armed");
    batch.ok("detach");
    batch.end().all_good();
    alive(&mut guest);
}

/// What a file that is no kernel leads to.
#[test]
fn files_that_are_no_kernels() {
    let dir = tempfile::tempdir().unwrap();
    let path = |name: &str, bytes: &[u8]| -> PathBuf {
        let path = dir.path().join(name);
        fs::write(&path, bytes).unwrap();
        path
    };
    let whole = fs::read(built().modules.join("dummy.ko")).unwrap();
    let files = [
        path("empty", b""),
        path("text", b"this is no ELF file\n"),
        path("cut", &whole[..whole.len() / 3]),
        path("magic", b"\x7fELF"),
        dir.path().join("absent"),
        dir.path().to_path_buf(),
    ];
    for file in &files {
        let setup = Setup::bare().arg("--vmlinux").arg(file).arg("--offline");
        let ended = setup.exs(&["info line vfs_read", "info functions vfs_r"]).run();
        assert!(ended.status == Some(1), "{}: {ended:?}", file.display());
        assert!(ended.said.contains(file.to_str().unwrap()), "{}", ended.said);
        assert!(!ended.said.contains("panicked"), "{}", ended.said);
        assert_eq!(ended.lines.len(), 2);
        assert!(ended.lines[0].error.is_some());
    }
}

/// Symbols without a guest.
#[test]
fn offline() {
    let commands = [
        "info line ksys_read",
        "info line fs/read_write.c:613",
        "info symbol *vfs_read+0x10",
        "info functions ksys_",
        "info sources",
        "list vfs_read",
        "break vfs_read",
        "info breakpoints",
    ];
    let setup = Setup::with_symbols(&built().vmlinux).arg("--offline");
    let ended = setup.exs(&commands).run().all_good();
    let line = ended.ok(commands[0]);
    assert_eq!(line["function"], "ksys_read");
    assert!(address(&line["addresses"][0]) > LINKED_AT);
    let by_line = ended.ok(commands[1]);
    assert_eq!(by_line["line"], 613);
    let symbol = ended.ok(commands[2])["text"].as_str().unwrap();
    assert_eq!(symbol, "vfs_read + 16 in section .text");
    let names = ended.ok(commands[3]);
    assert!(names["names"].as_array().unwrap().contains(&"ksys_read".into()), "{names}");
    assert!(ended.ok(commands[4])["names"].as_array().unwrap().len() > 500);
    let list = ended.ok(commands[5]);
    // Where its code begins: at the brace.
    assert_eq!(list["line"], line_of("linux-6.1/fs/read_write.c", "ssize_t vfs_read(") + 1);
    assert!(ended.lines.iter().all(|line| line.wire["tx"] == 0));

    // What needs a guest says that there is none.
    let setup = Setup::with_symbols(&built().vmlinux).arg("--offline");
    let ended = setup.exs(&["bt", "continue", "x/4bx vfs_read", "monitor ps"]).run();
    assert_eq!(ended.status, Some(3), "{}", ended.said);
    for line in &ended.lines {
        assert!(line.error.as_ref().unwrap().contains("--offline"), "{line:?}");
    }
}

/// Sources: where they are, said or guessed, and what helps when they are not.
#[test]
fn sources_are_found_or_the_way_is_told() {
    let vmlinux = built().vmlinux;
    let bare = || Setup::bare().arg("--offline").arg("--vmlinux").arg(&vmlinux);
    let source = built().source;
    for setup in [
        bare().arg("--substitute-path").arg(format!("{COMPILED_IN}={}", source.display())),
        bare().arg("--source-dir").arg(source.join("linux-6.1")),
    ] {
        let ended = setup.ex("list vfs_read").run().all_good();
        let path = ended.ok("list vfs_read")["path"].as_str().unwrap();
        assert_eq!(Path::new(path), source.join("linux-6.1/fs/read_write.c"));
    }
    let empty = tempfile::tempdir().unwrap();
    let copy = empty.path().join("vmlinux");
    std::os::unix::fs::symlink(&vmlinux, &copy).unwrap();
    let setup = Setup::bare().arg("--offline").arg("--vmlinux").arg(&copy);
    let ended = setup.ex("list vfs_read").run();
    let line = ended.line("list vfs_read");
    match &line.error {
        Some(error) => assert!(
            error.contains("--substitute-path") || error.contains("--source-dir"),
            "{error}"
        ),
        // The symbolic link leads to the guest's directory, where they are.
        None => assert!(line.result["path"].is_string()),
    }
}
