//! A record of a session on the real guest, and the same commands on the record
//! when the guest is gone.

use crate::facts::{alive, setup, start_stopped, type_line};
use crate::support::{
    batch::{Ended, Line, Setup},
    guest::{LockedGuest, boot, built},
};
use flate2::read::GzDecoder;
use kgdb_tui::{
    demo::{
        build::COMPILED_IN,
        guest::{Boot, Hgfs},
    },
    link::record_reader::{Happening, Reader},
};
use serde_json::Value;
use std::{io::Read as _, path::Path, process::Command};

/// Looks at everything a stop has.
const COMMANDS: &[&str] = &[
    "info target",
    "bt",
    "info registers",
    "info cpus",
    "info modules",
    "info module hgfs",
    "dmesg -n 30",
    "info tasks",
    "info stacks",
    "task 1",
    "bt",
    "info registers",
    "cpu 0",
    "bt",
    "cpu 1",
    "bt",
    "monitor lsmod",
    "p jiffies_64",
    "p init_task.comm",
    "x/8gx $rsp",
    "x/2gx 8",
];

/// Seconds that a snapshot may take on a busy machine.
const LONGEST: &str = "300";

/// What is said of what was never read.
const LACKS: &str = "not in the record";

/// The program on a record.
pub fn on_record(record: &Path, commands: &[&str]) -> Ended {
    Setup::bare()
        .arg("--vmlinux")
        .arg(&built().vmlinux)
        .arg("--module-path")
        .arg(&built().modules)
        .arg("--substitute-path")
        .arg(format!("{COMPILED_IN}={}", built().source.display()))
        .arg("--replay")
        .arg(record)
        .exs(commands)
        .run()
}

/// An answer without what is about the line, and without what depends on what was
/// read before by chance: the registers that entry code has saved.
fn plain(line: &Line) -> (String, Option<String>, Value) {
    let mut result = line.result.clone();
    if let Some(fields) = result.as_object_mut() {
        fields.remove("connect");
        // Counted from the first of the session.
        fields.remove("number");
        let frames = fields.get_mut("frames").and_then(Value::as_array_mut);
        for saved in frames.into_iter().flatten().filter_map(|frame| frame.get_mut("saved")) {
            *saved = saved["at"].clone();
        }
    }
    (line.command.clone(), line.error.clone(), result)
}

/// What the record answers is what the guest answered, or missing: an error that
/// says so, or no value where there was one. Tells whether it is whole.
#[track_caller]
pub fn is_whole(live: &Line, replayed: &Line) -> bool {
    let (live, replayed) = (plain(live), plain(replayed));
    match &replayed.1 {
        Some(error) if live.1.is_none() => {
            assert!(error.contains(LACKS), "{}: {error}", live.0);
        }
        Some(_) => {}
        None => {
            let (seen, told) = (&live.2, &replayed.2);
            let says_so = told.to_string().contains(LACKS);
            assert!(says_so || is_part(told, seen), "{}:\n{told}\n{seen}", live.0);
        }
    }
    let is_whole = live == replayed;
    if !is_whole {
        println!("not whole: {replayed:?}\n      was: {live:?}");
    }
    is_whole
}

/// The same of all answers. Gives how many are whole.
#[track_caller]
fn equal_or_missing(live: &[Line], replayed: &[Line]) -> usize {
    assert_eq!(live.len(), replayed.len(), "{replayed:#?}");
    let mut whole = 0;
    // What follows is of another task, when this one is not in the record.
    let mut is_lost = false;
    for (live, replayed) in live.iter().zip(replayed) {
        if live.command.starts_with("task ") || live.command.starts_with("cpu ") {
            is_lost = replayed.error.is_some();
        } else if is_lost {
            continue;
        }
        whole += usize::from(is_whole(live, replayed));
    }
    whole
}

/// Whether nothing in an answer differs from another one but by being missing.
fn is_part(answer: &Value, of: &Value) -> bool {
    match (answer, of) {
        (Value::Null, _) => true,
        (Value::Array(some), Value::Array(all)) => {
            some.len() <= all.len() && some.iter().zip(all).all(|(some, all)| is_part(some, all))
        }
        (Value::Object(some), Value::Object(all)) => {
            some.iter().all(|(key, value)| all.get(key).is_some_and(|of| is_part(value, of)))
        }
        // A list that could not be read to its end.
        (Value::Bool(false), Value::Bool(true)) => true,
        (some, all) => some == all,
    }
}

/// Bytes on the line in a record.
fn bytes_on_line(record: &Path) -> usize {
    let size = |what| match what {
        Happening::Sent(bytes) | Happening::Received(bytes) => bytes.len(),
        Happening::Break | Happening::Note(_) => 0,
    };
    Reader::open(record).unwrap().map(|entry| size(entry.what)).sum()
}

#[test]
fn a_record_answers_as_the_guest_did() {
    let mut guest = boot(&Boot { hgfs: Hgfs::Loaded, ..Boot::default() });
    let dir = tempfile::tempdir().unwrap();
    let record = dir.path().join("session.rec");
    type_line(&mut guest, "(while :; do cat /proc/hgfs; done) > /dev/null 2>&1 &");
    let setup_live = setup(&guest).arg("--record").arg(&record);
    let mut batch = start_stopped(&mut guest, setup_live, COMMANDS);
    let live: Vec<Line> = COMMANDS.iter().map(|_| batch.next()).collect();
    batch.end();
    let failed: Vec<_> = live.iter().filter(|line| line.error.is_some()).collect();
    assert!((1..5).contains(&failed.len()), "one address can't be read: {failed:#?}");
    let (line, file) = (bytes_on_line(&record), std::fs::read(&record).unwrap());
    let mut text = String::new();
    GzDecoder::new(&*file).read_to_string(&mut text).unwrap();
    let pieces = text.lines().filter(|line| line.contains(" rx ")).count();
    let sizes = format!(
        "{line} bytes on the line, which came in {pieces} pieces, are {} of text and {} of record",
        text.len(),
        file.len()
    );
    println!("{sizes}");
    assert!(2 * file.len() < text.len() && file.len() < line, "{sizes}");

    // One stop alone, made while the guest is still there.
    let snapshot = dir.path().join("stop.rec");
    let save = format!("snapshot {}", snapshot.display());
    let looks = [
        "info target",
        "bt",
        "info locals",
        "info registers",
        "info cpus",
        "info modules",
        "info module hgfs",
        "dmesg -n 100",
        "info tasks",
        "info stacks",
        "task 1",
        "bt",
        "p jiffies_64",
        "p hgfs_latency_ms",
    ];
    let mut commands = vec!["p jiffies_64", "p hgfs_latency_ms"];
    commands.push(&save);
    commands.extend(looks);
    let at_guest = setup(&guest);
    let mut batch = start_stopped(&mut guest, at_guest, &commands);
    batch.next();
    batch.next();
    let saved = batch.ok(&save);
    println!("snapshot: {saved}");
    assert_eq!(saved["complete"], true, "{saved}");
    assert_eq!(saved["troubles"], Value::Null, "{saved}");
    let of_stop: Vec<Line> = looks.iter().map(|_| batch.next()).collect();
    batch.end().all_good();
    alive(&mut guest);
    let quick = dir.path().join("quick.rec");
    in_one_go(&mut guest, &quick);
    alive(&mut guest);
    drop(guest);

    // To be looked at by hand.
    for file in [&record, &snapshot] {
        let kept = Path::new(env!("CARGO_TARGET_TMPDIR")).join(file.file_name().unwrap());
        std::fs::copy(file, kept).unwrap();
    }

    let mut waited = vec!["wait 60"];
    waited.extend(COMMANDS);
    let replayed = on_record(&record, &waited);
    let whole = equal_or_missing(&live, &replayed.lines[1..]);
    println!("{whole} of {} answers are whole in the record", live.len());
    assert!(whole * 10 >= live.len() * 9);
    let replayed = on_record(&snapshot, &looks);
    let whole = equal_or_missing(&of_stop, &replayed.lines);
    println!("{whole} of {} in the snapshot", looks.len());
    assert!(whole * 2 >= looks.len());
    let replayed = on_record(&quick, &["bt", "info modules", "p jiffies_64", "info tasks"]);
    for line in &replayed.lines[..3] {
        assert_eq!(line.error, None, "{}", line.command);
    }
    assert!(replayed.lines[3].result.to_string().contains("not in the record"));
    damaged(&record, dir.path(), &live);
}

/// `kgdb-tui snapshot`; afterwards the guest is let run.
fn in_one_go(guest: &mut LockedGuest, file: &Path) {
    let relayed = setup(guest);
    guest.shell().unwrap().break_in().unwrap();
    let (told, said) = save(guest, &["-ex", "p jiffies_64", "snapshot", "--quick"], file);
    assert!(told.starts_with("$1 = ") && told.contains("look at it with --replay"), "{told}");
    assert!(said.contains("snapshot (quick)"), "what it costs is said: {said}");
    println!("kgdb-tui snapshot --quick: {told}");
    drop(relayed);
    setup(guest).ex("info target").run().all_good();
}

/// `kgdb-tui snapshot`, as a user calls it: what it prints and says.
fn save(guest: &LockedGuest, args: &[&str], file: &Path) -> (String, String) {
    let made = Command::new("timeout")
        .args([LONGEST, env!("CARGO_BIN_EXE_kgdb-tui"), "--vmlinux"])
        .arg(&built().vmlinux)
        .arg("--module-path")
        .arg(&built().modules)
        .args(["--connect", guest.address()])
        .args(args)
        .arg(file)
        .env("XDG_STATE_HOME", concat!(env!("CARGO_TARGET_TMPDIR"), "/state"))
        .env("XDG_CONFIG_HOME", concat!(env!("CARGO_TARGET_TMPDIR"), "/state"))
        .output()
        .unwrap();
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    let (told, said) = (text(&made.stdout), text(&made.stderr));
    assert!(made.status.success(), "{said}\n{told}");
    (told, said)
}

/// Everything of a stop that was saved, and then of the same stop of the guest.
#[test]
fn a_full_snapshot_answers_as_the_guest_does() {
    let mut guest = boot(&Boot { hgfs: Hgfs::Loaded, ..Boot::default() });
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("full.rec");
    type_line(&mut guest, "(while :; do cat /proc/hgfs; done) > /dev/null 2>&1 &");
    let relayed = setup(&guest);
    guest.shell().unwrap().break_in().unwrap();
    let (told, said) = save(&guest, &["snapshot", "--full"], &file);
    println!("kgdb-tui snapshot --full: {said}{told}");
    assert!(said.contains("snapshot (full)"), "{said}");
    assert!(!told.contains("not in it"), "{told}");
    drop(relayed);
    let looks = [
        "info target",
        "info cpus",
        "info modules",
        "info module hgfs",
        "dmesg -n 1000",
        "info tasks",
        "info stacks",
        "bt",
        "info locals",
        "info args",
        "list",
        "disassemble",
        "frame 1",
        "info locals",
        "frame 0",
        "x/16gx $rsp",
        "cpu 0",
        "bt",
        "info registers",
        "cpu 1",
        "bt",
        "info registers",
        "task 1",
        "bt",
        "info registers",
        "task 2",
        "bt",
    ];
    // It was left as it was.
    let live = setup(&guest).ex("wait 60").exs(&looks).run();
    let replayed = on_record(&file, &[&["wait 60"], &looks[..]].concat());
    alive(&mut guest);
    let whole = equal_or_missing(&live.lines[1..], &replayed.lines[1..]);
    println!("{whole} of {} answers of a full snapshot are whole", looks.len());
    assert!(whole * 10 >= looks.len() * 9, "{whole}");
}

/// What is left of a record that was cut off, and what is none.
fn damaged(record: &Path, dir: &Path, live: &[Line]) {
    let whole = std::fs::read(record).unwrap();
    let cut = dir.join("cut.rec");
    std::fs::write(&cut, &whole[..whole.len() * 3 / 4]).unwrap();
    let ended = on_record(&cut, &["info target", "bt", "info replay"]);
    assert!(ended.said.contains("it is cut off"), "{}", ended.said);
    assert_eq!(ended.line("bt").ok(), &live[1].result);
    assert!(ended.ok("info replay")["trouble"].as_str().unwrap().contains("cut off"));
    let none = dir.join("none.rec");
    for (bytes, why) in
        [(&b"hello"[..], "not a record"), (b"", "not a record"), (&whole[..200], "no stop")]
    {
        std::fs::write(&none, bytes).unwrap();
        let ended = on_record(&none, &["bt"]);
        assert_eq!(ended.status, Some(3), "{}", ended.said);
        assert!(ended.said.contains(why), "{}", ended.said);
    }
    let ended = on_record(&dir.join("nowhere.rec"), &["bt"]);
    assert!(ended.status == Some(3) && ended.said.contains("nowhere.rec"), "{}", ended.said);
}
