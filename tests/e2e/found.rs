//! A guest whose vmlinux nobody names.

use crate::facts::{alive, reaches_the_entry, run};
use crate::files::{build_id, of_another_build};
use crate::support::{
    batch::Setup,
    guest::{LockedGuest, boot, built},
};
use flate2::{Compression, write::GzEncoder};
use kgdb_tui::demo::guest::{BOOT_PATIENCE, Boot, Hgfs, Link, Mode};
use serde_json::Value;
use std::{
    fs,
    io::{Read, Write},
    net::{TcpListener, TcpStream},
    os::unix::{
        fs::{PermissionsExt, symlink},
        net::UnixStream,
    },
    path::Path,
    thread,
};

/// The program in a directory, with the modules but without a vmlinux.
fn in_dir(dir: &Path, address: &str) -> Setup {
    let modules = &built().modules;
    let setup = Setup::bare().in_dir(dir).env("DEBUGINFOD_URLS", "");
    setup.arg("--connect").arg(address).arg("--module-path").arg(modules)
}

/// Stops the guest, and asks who it is.
fn ask(guest: &mut LockedGuest, setup: Setup) -> (Value, Value, String) {
    guest.shell().unwrap().break_in().unwrap();
    let commands = ["wait 60", "info target", "bt", "info modules", "detach"];
    let ended = setup.exs(&commands).run();
    let answers = (ended.ok("info target").clone(), ended.ok("bt").clone());
    if answers.0["matches"] == "match" {
        assert_eq!(ended.ok("info modules")["modules"][0]["symbols"], "loaded");
    }
    alive(guest);
    (answers.0, answers.1, ended.said)
}

fn looked(target: &Value) -> String {
    let lines = target["looked"].as_array().unwrap().iter();
    lines.map(|line| line.as_str().unwrap()).collect::<Vec<_>>().join("\n")
}

/// Between the program and the guest: a kernel without kdb, which does not know
/// `qRcmd` and answers with an empty packet.
fn without_kdb(guest: &LockedGuest) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap().to_string();
    let socket = guest.address().strip_prefix("unix:").unwrap().to_owned();
    thread::spawn(move || {
        let client = listener.accept().unwrap().0;
        let stub = UnixStream::connect(socket).unwrap();
        let (mut from, mut to) = (stub.try_clone().unwrap(), client.try_clone().unwrap());
        thread::spawn(move || std::io::copy(&mut from, &mut to));
        filter(client, stub);
    });
    address
}

/// Passes requests on, one by one as the protocol has them, but for `qRcmd`.
fn filter(mut client: TcpStream, mut stub: UnixStream) {
    let mut bytes = [0; 4096];
    let mut ack_is_ours = false;
    while let Ok(count @ 1..) = client.read(&mut bytes) {
        let mut chunk = &bytes[..count];
        if ack_is_ours && chunk[0] == b'+' {
            chunk = &chunk[1..];
            ack_is_ours = false;
        }
        let monitor = chunk.windows(6).position(|word| word == b"$qRcmd");
        stub.write_all(&chunk[..monitor.unwrap_or(chunk.len())]).unwrap();
        if monitor.is_some() {
            client.write_all(b"+$#00").unwrap();
            ack_is_ours = true;
        }
    }
    let _ = stub.shutdown(std::net::Shutdown::Both);
}

/// The working directory has two; the guest says which is its own. With kdb it
/// tells its release and build-id; without, both are tried.
#[test]
fn the_guest_leads_to_its_vmlinux() {
    let dir = tempfile::tempdir().unwrap();
    let (wrong, right) = (dir.path().join("vmlinux"), dir.path().join("vmlinux.mine"));
    of_another_build(&built().vmlinux, &wrong);
    symlink(&built().vmlinux, &right).unwrap();
    let (wrong_id, right_id) = (build_id(&wrong), build_id(&right));
    let mut guest = boot(&Boot { hgfs: Hgfs::Loaded, link: Link::Unix, ..Boot::default() });
    let release = run(&mut guest, "uname -r");

    let setup = in_dir(dir.path(), guest.address());
    let (target, bt, said) = ask(&mut guest, setup);
    assert_eq!(target["matches"], "match", "{target} {said}");
    assert_eq!(target["vmlinux"], right.to_str().unwrap());
    assert_eq!(target["release"], release.trim());
    assert!(looked(&target).contains("of another build"), "{target}");
    reaches_the_entry(&bt);

    let setup = in_dir(dir.path(), &without_kdb(&guest));
    let (target, bt, said) = ask(&mut guest, setup);
    assert_eq!(target["matches"], "match", "{target} {said}");
    assert_eq!(target["vmlinux"], right.to_str().unwrap());
    let looked = looked(&target);
    assert!(looked.contains(&wrong_id) && looked.contains(&right_id), "{looked}");
    reaches_the_entry(&bt);
}

/// Where there is none, addresses are shown and it is said where it was looked;
/// where a server has it, that one is used.
#[test]
fn a_vmlinux_that_is_nowhere_or_on_a_server() {
    let dir = tempfile::tempdir().unwrap();
    let mut guest = boot(&Boot { hgfs: Hgfs::Loaded, link: Link::Unix, ..Boot::default() });
    let setup = in_dir(dir.path(), guest.address());
    let (target, bt, said) = ask(&mut guest, setup);
    assert_eq!((&target["matches"], &target["vmlinux"]), (&"unknown".into(), &Value::Null));
    assert_eq!(bt["frames"][0]["function"], Value::Null, "{bt}");
    let release = run(&mut guest, "uname -r");
    assert!(said.contains(&format!("vmlinux of {} was not found", release.trim())), "{said}");
    let id = build_id(&built().vmlinux);
    assert_eq!(target["build_id"], id, "kdb tells it");
    for place in [dir.path().to_str().unwrap(), "/usr/lib/debug", "DEBUGINFOD_URLS"] {
        assert!(looked(&target).contains(place), "{target}");
    }

    // A program that stands for elfutils' own, which asks servers.
    let tools = tempfile::tempdir().unwrap();
    let finder = tools.path().join("debuginfod-find");
    let script = format!(
        "#!/bin/sh\n[ \"$*\" = 'debuginfo {id}' ] || exit 1\necho 'Downloading 42%' >&2\nsleep 1\necho {}\n",
        built().vmlinux.display()
    );
    fs::write(&finder, script).unwrap();
    fs::set_permissions(&finder, fs::Permissions::from_mode(0o755)).unwrap();
    let path = format!("{}:{}", tools.path().display(), std::env::var("PATH").unwrap());
    let setup = in_dir(dir.path(), guest.address())
        .env("PATH", path)
        .env("DEBUGINFOD_URLS", "https://debuginfod.example/");
    let (target, bt, said) = ask(&mut guest, setup);
    assert_eq!(target["matches"], "match", "{target} {said}");
    assert_eq!(target["vmlinux"], built().vmlinux.to_str().unwrap());
    reaches_the_entry(&bt);
}

/// Symbols only, of no kernel: that is a mistake in the command line.
#[test]
fn offline_needs_a_vmlinux() {
    let ended = Setup::bare().arg("--offline").ex("info sources").run();
    assert_eq!(ended.status, Some(2));
    assert!(ended.said.contains("--vmlinux"), "{}", ended.said);
}

/// At the first moment a kernel can be stopped it tells who it is as well.
#[test]
fn while_it_boots() {
    let dir = tempfile::tempdir().unwrap();
    symlink(&built().vmlinux, dir.path().join("vmlinux")).unwrap();
    let mut guest = boot(&Boot { mode: Mode::Wait, link: Link::Unix, ..Boot::default() });
    let commands = ["wait 60", "info target", "bt", "detach"];
    let ended = in_dir(dir.path(), guest.address()).exs(&commands).run().all_good();
    assert_eq!(ended.ok("info target")["matches"], "match", "{}", ended.said);
    assert_eq!(ended.ok("wait 60")["stop"]["function"], "kgdb_breakpoint");
    guest.shell().unwrap().expect("guest ready", BOOT_PATIENCE).unwrap();
    alive(&mut guest);
}

/// A packed module that takes long to unpack comes when it is unpacked, and a
/// breakpoint in it waits for that; a small one is there at once.
#[test]
fn packed_modules() {
    let dir = tempfile::tempdir().unwrap();
    for name in ["fuse", "hgfs"] {
        let plain = fs::read(built().modules.join(format!("{name}.ko"))).unwrap();
        // Stored as it is: large, as a module with much more debug info would be.
        let level = if name == "fuse" { Compression::none() } else { Compression::best() };
        let file = fs::File::create(dir.path().join(format!("{name}.ko.gz"))).unwrap();
        let mut packer = GzEncoder::new(file, level);
        packer.write_all(&plain).unwrap();
        packer.finish().unwrap();
    }
    let mut guest = boot(&Boot { hgfs: Hgfs::Loaded, link: Link::Unix, ..Boot::default() });
    run(&mut guest, "insmod /lib/modules/fuse.ko");
    // Modules are looked for beside the vmlinux as well, so that is elsewhere.
    symlink(&built().vmlinux, dir.path().join("vmlinux")).unwrap();
    let setup = Setup::bare().in_dir(dir.path()).arg("--connect").arg(guest.address());
    let commands =
        ["wait 60", "info modules", "break fuse_dev_open", "break HgfsSendRequest", "detach"];
    guest.shell().unwrap().break_in().unwrap();
    let ended = setup.exs(&commands).run().all_good();
    let modules = ended.ok("info modules")["modules"].as_array().unwrap().clone();
    assert_eq!(modules.len(), 2);
    for module in &modules {
        assert_eq!(module["symbols"], "loaded", "{module}");
        assert!(module["path"].as_str().unwrap().ends_with(".ko.gz"), "{module}");
    }
    for command in &commands[2..4] {
        let wishes = ended.ok(command)["breakpoints"].as_array().unwrap().clone();
        assert_eq!(wishes.last().unwrap()["state"], "armed", "{wishes:?}");
    }
    alive(&mut guest);
}
