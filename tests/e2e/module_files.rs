//! The files of modules: wherever they are, however they are packed or split,
//! and whether they are the guest's.

use crate::facts::{READ_STACK, address, alive, functions, run, start_stopped, type_line};
use crate::files::{build_id, of_another_build};
use crate::support::{
    batch::{Ended, Setup},
    guest::{LockedGuest, boot, built},
    tools::tool,
};
use kgdb_tui::demo::{
    build::COMPILED_IN,
    guest::{Boot, Hgfs, Link},
};
use serde_json::Value;
use std::{
    fs,
    os::unix::fs::symlink,
    path::{Path, PathBuf},
    process::Command,
};

/// A directory of its own, and a vmlinux in another, with nothing beside it.
struct Place {
    home: tempfile::TempDir,
    dir: tempfile::TempDir,
}

impl Place {
    fn new() -> Place {
        let place = Place { home: tempfile::tempdir().unwrap(), dir: tempfile::tempdir().unwrap() };
        fs::copy(built().vmlinux, place.home.path().join("vmlinux")).unwrap();
        place
    }

    fn at(&self, path: &str) -> PathBuf {
        let path = self.dir.path().join(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        path
    }

    /// The guest's own file, put somewhere.
    fn put(&self, module: &str, path: &str) -> PathBuf {
        let to = self.at(path);
        fs::copy(built().modules.join(module), &to).unwrap();
        to
    }

    /// The program on a stopped guest, which stays so.
    fn setup(&self, guest: &LockedGuest) -> Setup {
        let sources = format!("{COMPILED_IN}={}", built().source.display());
        let setup = Setup::bare().in_dir(self.home.path()).arg("--vmlinux");
        let setup = setup.arg(self.home.path().join("vmlinux")).arg("--connect");
        setup.arg(guest.address()).arg("--substitute-path").arg(sources).arg("--leave-stopped")
    }

    /// What is known of modules with a tree of this directory.
    fn modules(&self, guest: &LockedGuest, tree: &str, more: &[&str]) -> Ended {
        let setup = self.setup(guest).arg("--module-path").arg(self.dir.path().join(tree));
        setup.ex("wait 60").ex("info modules").exs(more).run().all_good()
    }
}

#[track_caller]
fn good(command: &mut Command) {
    let output = command.output().unwrap();
    assert!(output.status.success(), "{command:?}: {output:?}");
}

/// One module of `info modules`.
#[track_caller]
fn module<'a>(ended: &'a Ended, name: &str) -> &'a Value {
    let modules = ended.ok("info modules")["modules"].as_array().unwrap();
    let found = modules.iter().find(|module| module["name"] == name);
    found.unwrap_or_else(|| panic!("no {name} in {modules:#?}"))
}

#[track_caller]
fn is_loaded(ended: &Ended, name: &str, from: &Path) {
    let module = module(ended, name);
    assert_eq!(module["symbols"], "loaded", "{module}");
    assert_eq!(module["path"], from.to_str().unwrap(), "{module}");
    assert!(module["proven_by"].as_str().unwrap().starts_with("build-id "), "{module}");
}

#[track_caller]
fn why(module: &Value, state: &str) -> String {
    assert_eq!(module["symbols"], state, "{module}");
    module["why"].as_str().unwrap().to_owned()
}

/// Wherever they are, and however packed.
#[test]
fn files_of_modules_are_found_and_proven() {
    let place = Place::new();
    let mut guest = boot(&Boot { hgfs: Hgfs::Busy, link: Link::Unix, ..Boot::default() });
    run(&mut guest, "insmod /lib/modules/hgfs-ping.ko && insmod /lib/modules/fuse.ko");
    let begin = Setup::new(guest.address()).arg("--leave-stopped");
    start_stopped(&mut guest, begin, &[]).end().all_good();

    // Packed, deep below, `-` and `_` alike.
    let packed = [
        ("xz", place.put("hgfs.ko", "packed/updates/dkms/hgfs.ko")),
        ("gzip", place.put("hgfs-ping.ko", "packed/hgfs_ping.ko")),
        ("zstd", place.put("fuse.ko", "packed/kernel/fs/fuse/fuse.ko")),
    ];
    for (packer, path) in &packed {
        good(tool(packer).arg("-q").arg(path));
        let _ = fs::remove_file(path);
    }
    let found = place.modules(&guest, "packed", &["break HgfsSendRequest", "delete"]);
    for ((_, path), (name, ending)) in
        packed.iter().zip([("hgfs", "xz"), ("hgfs_ping", "gz"), ("fuse", "zst")])
    {
        is_loaded(&found, name, &PathBuf::from(format!("{}.{ending}", path.display())));
    }
    assert_eq!(found.ok("break HgfsSendRequest")["breakpoints"][0]["state"], "armed");

    // The debug info elsewhere: by build-id, beside the stripped file, alone.
    let whole = built().modules.join("hgfs.ko");
    let id = build_id(&whole);
    let by_id = format!("debug/.build-id/{}/{}.debug", &id[..2], &id[2..]);
    let strip = |module: &str, path: &str, debug: &str| {
        let (to, debug) = (place.at(path), place.at(debug));
        let from = built().modules.join(module);
        good(tool("objcopy").arg("--only-keep-debug").arg(&from).arg(&debug));
        good(tool("objcopy").arg("--strip-debug").arg(&from).arg(&to));
        to
    };
    let hgfs = strip("hgfs.ko", "split/hgfs.ko", &by_id);
    let ping = strip("hgfs-ping.ko", "split/hgfs-ping.ko", "split/hgfs-ping.ko.debug");
    strip("fuse.ko", "nowhere", "split/fuse.ko.debug");
    let setup = place.setup(&guest).arg("--debug-dir").arg(place.dir.path().join("debug"));
    let setup = setup.arg("--module-path").arg(place.dir.path().join("split"));
    let commands = ["wait 60", "info modules", "list HgfsSendRequest", "disassemble PingTooLong"];
    let found = setup.exs(&commands).run().all_good();
    is_loaded(&found, "hgfs", &hgfs);
    is_loaded(&found, "hgfs_ping", &ping);
    is_loaded(&found, "fuse", &place.at("split/fuse.ko.debug"));

    // Installed and stripped, with the link to where it was built.
    let stripped = strip("hgfs.ko", "installed/extra/hgfs.ko", "unused");
    let whole = place.put("hgfs.ko", "tree/fs/hgfs/hgfs.ko");
    symlink(place.dir.path().join("tree"), place.dir.path().join("installed/build")).unwrap();
    let found = place.modules(&guest, "installed", &[]);
    is_loaded(&found, "hgfs", &place.dir.path().join("installed/build/fs/hgfs/hgfs.ko"));
    fs::remove_file(&whole).unwrap();
    let found = place.modules(&guest, "installed", &["info symbol HgfsSendRequest"]);
    let told = why(module(&found, "hgfs"), "no debug info");
    assert!(told.contains(stripped.to_str().unwrap()) && told.contains("--debug-dir"), "{told}");
    let symbol = found.ok("info symbol HgfsSendRequest")["text"].as_str().unwrap();
    assert!(symbol.contains("HgfsSendRequest"), "{symbol}");
    let told = why(module(&found, "fuse"), "not found");
    assert!(told.contains("installed") && told.contains("--module-path"), "{told}");

    // A link to a module of another release, as `weak-modules` makes it.
    let weak = place.at("weak/weak-updates/hgfs.ko");
    symlink(built().modules.join("hgfs.ko"), &weak).unwrap();
    is_loaded(&place.modules(&guest, "weak", &[]), "hgfs", &weak);

    // In the working directory; and there, not where it was told.
    let here = place.home.path().join("hgfs.ko");
    fs::copy(built().modules.join("hgfs.ko"), &here).unwrap();
    let found = place.modules(&guest, "no-such-place", &[]);
    assert_eq!(module(&found, "hgfs")["symbols"], "loaded", "{}", module(&found, "hgfs"));
    let told = why(module(&found, "fuse"), "not found");
    assert!(told.contains("no-such-place is no directory"), "{told}");
    fs::remove_file(&here).unwrap();

    // Stacks through a module by its ORC, when it has no call frame descriptions.
    let bare = place.at("orc/hgfs.ko");
    let mut objcopy = tool("objcopy");
    objcopy.args(["-R", ".debug_frame", "-R", ".rela.debug_frame"]);
    good(objcopy.arg(built().modules.join("hgfs.ko")).arg(&bare));
    let stack = ["tbreak HgfsSendRequest", "continue", "bt"];
    let found = place.modules(&guest, "orc", &stack);
    is_loaded(&found, "hgfs", &bare);
    assert_eq!(functions(found.ok("bt")), READ_STACK);

    // Of other builds: told shortly, with both ids, and not used.
    for number in 0..5 {
        let to = place.at(&format!("wrong/{number}/hgfs.ko"));
        of_another_build(&built().modules.join("hgfs.ko"), &to);
    }
    let commands = ["break hgfs!HgfsSendRequest", "delete", "trust-symbols", "info modules"];
    let found = place.modules(&guest, "wrong", &commands);
    let told = why(module(&found, "hgfs"), "wrong build");
    assert!(told.contains(&id) && told.contains("and 2 more"), "{told}");
    assert!(told.contains(&build_id(&place.at("wrong/0/hgfs.ko"))), "{told}");
    assert_eq!(found.ok(commands[0])["breakpoints"][0]["state"], "pending");
    let trusted = found.lines.iter().rfind(|line| line.command == "info modules").unwrap();
    let trusted = trusted.ok()["modules"].as_array().unwrap();
    let hgfs = trusted.iter().find(|module| module["name"] == "hgfs").unwrap();
    assert_eq!(hgfs["symbols"], "loaded", "{hgfs}");
    assert!(hgfs["proven_by"].as_str().unwrap().starts_with("nothing: "), "{hgfs}");
    assert!(found.said.contains("they may be wrong"), "{}", found.said);

    // Stripped of its build-id: by the hash of its sources, which hgfs has not.
    for name in ["hgfs.ko", "hgfs-ping.ko"] {
        let to = place.at(&format!("no-id/{name}"));
        let mut objcopy = tool("objcopy");
        objcopy.args(["-R", ".note.gnu.build-id"]);
        good(objcopy.arg(built().modules.join(name)).arg(&to));
    }
    let found = place.modules(&guest, "no-id", &[]);
    let ping = module(&found, "hgfs_ping");
    assert_eq!(ping["symbols"], "loaded", "{ping}");
    assert!(ping["proven_by"].as_str().unwrap().starts_with("srcversion "), "{ping}");
    let told = why(module(&found, "hgfs"), "wrong build");
    assert!(told.contains("the file has no build-id") && told.contains("trust-symbols"), "{told}");

    // Another file by the same sources and name.
    let sourced = place.at("same-sources/hgfs-ping.ko");
    let mut objcopy = tool("objcopy");
    objcopy.args(["-R", ".note.gnu.build-id", "--set-section-flags", ".extra=alloc,readonly"]);
    objcopy
        .arg("--add-section")
        .arg(format!(".extra={}", place.put("dummy.ko", "extra").display()));
    good(objcopy.arg(built().modules.join("hgfs-ping.ko")).arg(&sourced));
    let found = place.modules(&guest, "same-sources", &[]);
    let told = why(module(&found, "hgfs_ping"), "wrong build");
    assert!(told.contains("no section .extra"), "{told}");

    let setup = Setup::new(guest.address());
    setup.ex("wait 60").ex("detach").run().all_good();
    alive(&mut guest);
}

/// Names that two modules have, and what belongs to which.
#[test]
fn a_name_of_two_modules_and_init_sections() {
    let mut guest = boot(&Boot { hgfs: Hgfs::Loaded, link: Link::Unix, ..Boot::default() });
    let commands = [
        "break do_init_module",
        "continue",
        "info modules",
        "break PingInit",
        "delete 1",
        "continue",
        "info locals",
        "print first",
        "break hgfs_ping!HgfsOpenFile",
        "continue",
        "bt",
        "finish",
        "delete",
        "tbreak free_module",
        "tbreak hgfs_ping!HgfsPing",
        "continue",
    ];
    let setup = Setup::new(guest.address());
    let mut batch = start_stopped(&mut guest, setup, &commands);
    type_line(&mut guest, "insmod /lib/modules/hgfs-ping.ko");
    batch.ok(commands[0]);
    batch.stop("continue");
    let modules = batch.ok("info modules");
    let mut modules = modules["modules"].as_array().unwrap().iter();
    let ping = modules.find(|module| module["name"] == "hgfs_ping").unwrap();
    assert_eq!(ping["state"], "coming", "{ping}");
    assert_eq!(ping["symbols"], "loaded", "{ping}");
    let has = |module: &Value, name: &str| {
        let sections = module["sections"].as_array().unwrap();
        sections.iter().any(|section| section[0] == name)
    };
    assert!(has(ping, ".init.text") && has(ping, ".init.data"), "{ping}");
    assert_eq!(batch.ok("break PingInit")["breakpoints"][0]["state"], "armed");
    batch.ok("delete 1");
    assert_eq!(batch.stop("continue")["function"], "PingInit");
    batch.ok("info locals");
    assert_eq!(batch.ok("print first")["value"], "3", "in .init.data");
    batch.ok("break hgfs_ping!HgfsOpenFile");
    assert_eq!(batch.stop("continue")["function"], "HgfsOpenFile");
    let bt = batch.ok("bt");
    let names = functions(&bt);
    assert!(names[0].0 == "HgfsOpenFile" && names[1].0 == "PingInit", "{names:?}");
    assert!(names.contains(&("do_init_module", false)), "{names:?}");
    batch.stop("finish");
    batch.ok("delete");
    batch.ok(commands[13]);
    batch.ok(commands[14]);
    // The guest runs, and init is done.
    type_line(&mut guest, "insmod /lib/modules/hgfs-pong.ko");
    assert_eq!(batch.stop("continue")["function"], "HgfsPing");
    batch.end().all_good();
    alive(&mut guest);

    // Both of them, live.
    let commands = [
        "info modules",
        "break PingInit",
        "info line HgfsInit",
        "break HgfsOpenFile",
        "delete",
        "break hgfs_ping!HgfsOpenFile",
        "print hgfs_ping!hgfs_wakeups",
        "print hgfs!hgfs_wakeups",
        "print &hgfs_ping!hgfs_stats",
        "print &hgfs!hgfs_stats",
        "continue",
        "next",
        "next",
        "print hgfs_wakeups",
        "print hgfs_stats",
        "print &hgfs_wakeups == &hgfs_ping!hgfs_wakeups",
        "print sizeof(hgfs_stats)",
    ];
    let setup = Setup::new(guest.address());
    let mut batch = start_stopped(&mut guest, setup, &commands);
    type_line(&mut guest, "echo five5 > /sys/module/hgfs_ping/parameters/open");
    let modules = batch.ok("info modules");
    for module in modules["modules"].as_array().unwrap() {
        assert!(!has(module, ".init.text") && has(module, ".orc_unwind"), "{module}");
        assert_eq!((&module["state"], &module["symbols"]), (&"live".into(), &"loaded".into()));
    }
    let init = batch.ok("break PingInit");
    assert_eq!(init["breakpoints"][0]["state"], "pending", "{init}");
    let freed = init["breakpoints"][0]["why"].as_str().unwrap().to_owned();
    assert!(freed.contains("init memory of hgfs_ping"), "{freed}");
    let line = batch.next();
    assert!(line.error.as_ref().unwrap().contains(".init.text of hgfs"), "{line:?}");
    let both = batch.ok("break HgfsOpenFile");
    let sites = both["breakpoints"][0]["sites"].as_array().unwrap();
    assert_eq!(sites.len(), 2, "{both}");
    batch.ok("delete");
    let one = batch.ok("break hgfs_ping!HgfsOpenFile");
    assert_eq!(one["breakpoints"][0]["sites"].as_array().unwrap().len(), 1, "{one}");
    let value = |answer: Value| answer["value"].as_str().unwrap().to_owned();
    // 3 and the sizes 1, 2 and 3 and the letters of "init".
    assert_eq!(value(batch.ok("print hgfs_ping!hgfs_wakeups")), "13");
    assert_eq!(value(batch.ok("print hgfs!hgfs_wakeups")), "0");
    let stats = [commands[8], commands[9]].map(|command| value(batch.ok(command)));
    assert_ne!(stats[0], stats[1]);
    assert_eq!(
        batch.stop("continue")["file"].as_str().unwrap().rsplit('/').next(),
        Some("hgfs-ping.c")
    );
    batch.stop("next");
    batch.stop("next");
    assert_eq!(value(batch.ok("print hgfs_wakeups")), "13");
    let stats = value(batch.ok("print hgfs_stats"));
    assert!(stats.contains("opened") && stats.contains("pinged"), "{stats}");
    assert_eq!(value(batch.ok(commands[15])), "1");
    assert!(address_or_number(&value(batch.ok(commands[16]))) > 0);
    // For the one that has no line.
    assert_eq!(batch.end().status, Some(1));
    alive(&mut guest);
}

fn address_or_number(text: &str) -> u64 {
    text.parse().unwrap_or_else(|_| address(&Value::from(text)))
}
