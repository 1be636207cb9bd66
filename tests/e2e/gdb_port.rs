//! A real gdb behind our cache that lets the guest run.

use crate::console::{Attached, ended, free_port, gdb, gdb_at};
use crate::facts::{address, setup};
use crate::support::{batch::Gate, guest::boot, typist::Typist};
use kgdb_tui::demo::guest::{Boot, Hgfs, Link, Mode};
use serde_json::Value;
use std::{
    io::{Read, Write},
    net::TcpStream,
    process::{Command, Stdio},
    time::{Duration, Instant},
};

/// What gdb says after a word that it was told to echo, to the end of that line.
#[track_caller]
fn after<'a>(said: &'a str, word: &str) -> &'a str {
    let (_, rest) = said.split_once(word).unwrap_or_else(|| panic!("no {word:?} in {said}"));
    rest.lines().next().unwrap_or_default().trim()
}

#[track_caller]
fn hex_after(said: &str, word: &str) -> u64 {
    address(&Value::from(after(said, word)))
}

/// `c`, `s`, `next`, `finish`, breakpoints of both kinds, and what is refused.
const SCRIPT: &[&str] = &[
    "break vfs_read",
    "continue",
    "printf \"at-break 0x%lx\\n\", $pc",
    "printf \"wanted 0x%lx\\n\", (unsigned long)vfs_read",
    "stepi",
    "printf \"at-stepi 0x%lx\\n\", $pc",
    "next",
    "printf \"at-next 0x%lx\\n\", $pc",
    "bt 2",
    "continue",
    "printf \"at-again 0x%lx\\n\", $pc",
    "delete",
    "finish",
    "thbreak vfs_write",
    "continue",
    "printf \"at-hard 0x%lx\\n\", $pc",
    "info symbol $pc",
    "watch jiffies",
    "continue",
    "delete",
    "break memcmp",
    "continue",
    "delete",
    "signal SIGINT",
    "stepi",
    "printf \"at-end 0x%lx\\n\", $pc",
];

/// Whether a gdb would be served at the port now; one at a time is.
fn is_free(port: u16) -> bool {
    let mut stream = TcpStream::connect(("127.0.0.1", port)).unwrap();
    stream.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
    let served = stream.write_all(b"+$qSupported#37").and_then(|()| stream.read(&mut [0; 1]));
    matches!(served, Ok(1))
}

#[test]
fn gdb_runs_the_guest_through_the_session() {
    let guest = boot(&Boot {
        mode: Mode::Shared,
        link: Link::Telnet,
        hgfs: Hgfs::Loaded,
        ..Boot::default()
    });
    let mut typist = Typist::new(guest.address());
    typist.ready();
    typist.run("(while :; do cat /proc/hgfs > /dev/null; usleep 20000; done) & true");
    drop(typist);
    let dir = tempfile::tempdir().unwrap();
    let (console_port, gdb_port) = (free_port(), free_port());
    let gates: Vec<Gate> =
        (0..4).map(|number| Gate::new(dir.path(), &format!("gate{number}"))).collect();
    let held = Gate::new(dir.path(), "held");
    let commands: Vec<String> = vec![
        "interrupt".into(),
        "set hardware-cure on".into(),
        gates[0].command(),
        "info registers rip".into(),
        "info breakpoints".into(),
        gates[1].command(),
        "tbreak vfs_read".into(),
        "continue".into(),
        gates[2].command(),
        gates[3].command(),
        "info registers rip".into(),
        "info breakpoints".into(),
    ];
    let mut batch = setup(&guest)
        .arg("--console-port")
        .arg(console_port.to_string())
        .arg("--gdb-port")
        .arg(gdb_port.to_string())
        .arg("--timeout")
        .arg("400")
        .exs(&commands.iter().map(String::as_str).collect::<Vec<_>>())
        .start();
    batch.stop("interrupt");
    batch.ok("set hardware-cure on");
    let mut terminal = Attached::new(console_port);

    let said = gdb(gdb_port, SCRIPT);
    println!("{said}");
    let begin = hex_after(&said, "wanted ");
    let at_break = hex_after(&said, "at-break ");
    assert!((begin..begin + 64).contains(&at_break), "{said}");
    let at_stepi = hex_after(&said, "at-stepi ");
    assert!((1..16).contains(&(at_stepi - at_break)), "{said}");
    assert_ne!(hex_after(&said, "at-next "), at_stepi, "{said}");
    assert_eq!(hex_after(&said, "at-again "), at_break, "{said}");
    assert!(said.contains("vfs_write"), "{said}");
    assert!(said.contains("a kernel takes no signals"), "{said}");
    gates[0].open();
    batch.next();
    // The session is where gdb was, and has nothing of it any more.
    let rip = batch.ok("info registers rip");
    assert_eq!(address(&rip["registers"]["rip"]), hex_after(&said, "at-end "), "{said}");
    assert_eq!(batch.ok("info breakpoints")["breakpoints"], Value::Array(vec![]));
    batch.expect_said("gdb's breakpoint");
    batch.expect_said("memcmp");

    // The guest is resumed by us while gdb is attached.
    let wait = format!("shell cat {}", dir.path().join("held").display());
    let mut stale = gdb_at(gdb_port, &["echo attached\\n", &wait, "info registers rip"]);
    let mut stale = stale.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    let mut out = stale.stdout.take().unwrap();
    let mut shown = String::new();
    let mut byte = [0; 1];
    while !shown.contains("attached") {
        assert_eq!(out.read(&mut byte).unwrap(), 1, "{shown}");
        shown.push(byte[0].into());
    }
    gates[1].open();
    batch.next();
    batch.ok("tbreak vfs_read");
    assert_eq!(batch.stop("continue")["function"], "vfs_read");
    // Then another one is served.
    let start = Instant::now();
    while !is_free(gdb_port) {
        assert!(start.elapsed() < Duration::from_secs(60), "gdb is still attached");
        std::thread::sleep(Duration::from_millis(50));
    }
    held.open();
    let rest = ended(stale);
    let error = String::from_utf8_lossy(&rest.stderr);
    assert!(error.contains("onnection closed") || error.contains("no registers"), "{error}");
    gates[2].open();
    batch.next();

    // Ctrl-C in a gdb whose guest runs.
    let mut running = gdb_at(gdb_port, &["continue", "printf \"at-end 0x%lx\\n\", $pc"]);
    let running = running.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    terminal.types_until("echo ru''ns", "runs\r\n");
    let kill = format!("kill -2 {}", running.id());
    assert!(Command::new("sh").args(["-c", &kill]).status().unwrap().success());
    let output = ended(running);
    let said = String::from_utf8_lossy(&output.stdout);
    println!("{said}");
    let at_end = hex_after(&said, "at-end ");
    gates[3].open();
    batch.next();
    let rip = batch.ok("info registers rip");
    assert_eq!(address(&rip["registers"]["rip"]), at_end, "{said}");
    assert_eq!(batch.ok("info breakpoints")["breakpoints"], Value::Array(vec![]));
    batch.end().all_good();
    let mut typist = Typist::new(guest.address());
    typist.ready();
    assert!(typist.run("cat /proc/hgfs").contains("requests "));
}
