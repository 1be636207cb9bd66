//! Leaving the guest, again and again and in bad ways: nothing of ours stays in
//! it, or the next session finds it and takes it out.

use crate::facts::{address, alive, run, setup, start_stopped, type_line};
use crate::support::guest::{LockedGuest, boot};
use kgdb_tui::demo::guest::{Boot, Hgfs};
use serde_json::Value;
use std::{fs, path::Path, time::Duration};

/// How often the guest is attached to and left; 200 with KGDB_TUI_LONG=1.
fn cycles() -> u32 {
    if std::env::var_os("KGDB_TUI_LONG").is_some() { 200 } else { 25 }
}

/// Attached to and left, with breakpoints that are hit in between, by CPUs that
/// both run into them. The guest counts what it did, and has nothing to say.
#[test]
fn attached_and_left_again_and_again() {
    let mut guest = boot(&Boot { hgfs: Hgfs::Loaded, ..Boot::default() });
    let sums = "sha1sum /proc/kallsyms /bin/busybox";
    let before = run(&mut guest, sums);
    let reader = "while :; do cat /proc/hgfs > /dev/null; n=$((n + 1)); echo $n > /tmp/$1; done";
    run(&mut guest, &format!("echo '{reader}' > /tmp/reader"));
    type_line(&mut guest, "sh /tmp/reader a & sh /tmp/reader b &");
    let commands = [
        "break HgfsSendRequest",
        "break vfs_read",
        "tbreak ksys_write",
        "continue",
        "next",
        "continue",
        "next",
        "detach",
    ];
    for cycle in 0..cycles() {
        let setup = setup(&guest);
        let mut batch = start_stopped(&mut guest, setup, &commands);
        for command in &commands[..3] {
            let armed = batch.ok(command);
            assert_eq!(armed["breakpoints"][0]["state"], "armed", "cycle {cycle}: {armed}");
        }
        for command in &commands[3..7] {
            batch.stop(command);
        }
        batch.ok("detach");
        batch.end().all_good();
    }
    let count = |guest: &mut LockedGuest| -> u64 {
        let text = run(guest, "cat /tmp/a /tmp/b");
        text.split_whitespace().map(|count| count.parse::<u64>().unwrap()).sum()
    };
    let counted = count(&mut guest);
    let later = format!("while [ $(cat /tmp/a) -lt {counted} ]; do sleep 0.1; done");
    run(&mut guest, &later);
    assert!(count(&mut guest) > counted, "both go on reading");
    assert_eq!(run(&mut guest, sums), before);
    let bad = "dmesg | grep -E 'BUG|Oops|WARNING|BP remove|BP install|destroyed|re-enter' || true";
    assert_eq!(run(&mut guest, bad), "");
}

/// The files that are kept of targets below a directory.
fn kept(root: &Path) -> Vec<String> {
    let targets = root.join("kgdb-tui/targets");
    let dirs = fs::read_dir(targets).into_iter().flatten().flatten();
    let files = dirs.flat_map(|dir| fs::read_dir(dir.path()).into_iter().flatten().flatten());
    files.map(|file| file.file_name().into_string().unwrap()).collect()
}

/// A session is killed while the guest runs, and the breakpoint is hit with
/// nobody there. Without symbols only the journal tells the next one that the
/// pc belongs before it.
#[test]
fn the_journal_of_a_session_that_was_killed() {
    let mut guest = boot(&Boot { hgfs: Hgfs::Loaded, ..Boot::default() });
    let state = tempfile::tempdir().unwrap();
    let own = setup(&guest).env("XDG_STATE_HOME", state.path());
    let commands = ["break HgfsSendRequest", "continue", "continue"];
    let mut batch = start_stopped(&mut guest, own, &commands);
    let site = batch.ok(commands[0])["breakpoints"][0]["sites"][0].clone();
    type_line(&mut guest, "cat /proc/hgfs > /dev/null");
    batch.stop(commands[1]);
    std::thread::sleep(Duration::from_secs(2));
    batch.signal(9);
    batch.end();
    assert_eq!(kept(state.path()), ["journal.json"]);
    type_line(&mut guest, "cat /proc/hgfs > /dev/null &");
    std::thread::sleep(Duration::from_secs(1));

    // Without a vmlinux nothing is known of kgdb.
    guest.relay().unwrap().wait_listening().unwrap();
    let bare = crate::support::batch::Setup::bare()
        .arg("--connect")
        .arg(guest.address())
        .env("XDG_STATE_HOME", state.path())
        .env("HOME", state.path())
        .in_dir(state.path())
        .exs(&["wait 60", "info registers rip", "stepi", "detach"]);
    let mut batch = bare.start();
    batch.stop("wait 60");
    let rip = batch.ok("info registers rip");
    assert_eq!(rip["registers"]["rip"], site, "{rip}");
    let after = address(&batch.stop("stepi")["pc"]);
    assert_eq!(after, address(&site) + 5, "one whole instruction");
    batch.ok("detach");
    batch.end().all_good();
    alive(&mut guest);
    run(&mut guest, "cat /proc/hgfs > /dev/null");

    // With symbols it is looked after, and then gone.
    let own = setup(&guest).env("XDG_STATE_HOME", state.path());
    let mut batch = start_stopped(&mut guest, own, &["info breakpoints", "detach"]);
    assert_eq!(batch.ok("info breakpoints")["breakpoints"], Value::Array(vec![]));
    batch.ok("detach");
    batch.end().all_good();
    assert_eq!(kept(state.path()), Vec::<String>::new());
    alive(&mut guest);
}

/// More places than kgdb's table has entries, in one session.
#[test]
fn a_thousand_places() {
    let mut guest = boot(&Boot { hgfs: Hgfs::Loaded, ..Boot::default() });
    let vmlinux = crate::support::guest::built().vmlinux;
    let data = fs::read(vmlinux).unwrap();
    let names = functions(&data);
    let mut commands: Vec<String> = Vec::new();
    for pair in names.chunks(2).take(600) {
        commands.extend(pair.iter().map(|name| format!("tbreak {name}")));
        commands.push("delete".into());
    }
    commands.extend(["break HgfsSendRequest", "continue", "detach"].map(String::from));
    let words: Vec<&str> = commands.iter().map(String::as_str).collect();
    let setup = setup(&guest);
    let mut batch = start_stopped(&mut guest, setup, &words);
    let mut armed = 0;
    for command in &words[..words.len() - 3] {
        let answer = batch.ok(command);
        let states = answer["breakpoints"].as_array().unwrap().iter();
        armed += states.filter(|wish| wish["state"] == "armed").count();
    }
    assert!(armed > 1050, "{armed} places were planted");
    batch.ok("break HgfsSendRequest");
    type_line(&mut guest, "cat /proc/hgfs > /dev/null");
    assert_eq!(batch.stop("continue")["function"], "HgfsSendRequest");
    batch.ok("detach");
    batch.end().all_good();
    alive(&mut guest);
}

/// Names of functions that are one place each and that nothing dangerous is
/// known of: those of files systems and the network.
fn functions(vmlinux: &[u8]) -> Vec<String> {
    use object::{Object, ObjectSymbol, SymbolKind};
    let file = object::File::parse(vmlinux).unwrap();
    let mut count = std::collections::BTreeMap::<String, u32>::new();
    for symbol in file.symbols().filter(|symbol| symbol.kind() == SymbolKind::Text) {
        *count.entry(symbol.name().unwrap().to_string()).or_default() += 1;
    }
    let kinds = [
        "vfs_", "sys_", "tcp_", "udp_", "inet_", "ip_", "sock_", "proc_", "seq_", "dev_",
        "generic_", "kern_", "inode_", "do_", "tty_", "netlink_", "shmem_", "mnt_", "neigh_",
        "bdev_", "blk_", "bio_", "ksys_", "sysfs_", "kernfs_", "dentry_", "d_", "fib_", "skb_",
        "unix_", "file_", "simple_", "pipe_", "page_", "path_", "rt_", "xdp_", "fuse_", "eth_",
    ];
    let plain =
        |name: &String| kinds.iter().any(|kind| name.starts_with(kind)) && !name.contains('.');
    count
        .into_iter()
        .filter(|(name, count)| *count == 1 && plain(name))
        .map(|found| found.0)
        .collect()
}
