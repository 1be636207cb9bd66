//! A record with many stops: walked as it was made, and in any other order.

use crate::facts::{alive, setup, start_stopped, type_line};
use crate::replay::{is_whole, on_record};
use crate::support::{
    batch::{Line, Setup},
    guest::{LockedGuest, boot},
};
use kgdb_tui::demo::guest::{Boot, Link};
use std::path::Path;

/// What is looked at wherever the guest stops.
const LOOKS: &[&str] = &[
    "bt",
    "info registers",
    "info args",
    "info locals",
    "x/4gx $rsp",
    "x/3i $pc",
    "print jiffies_64",
    "info cpus",
    "info modules",
];

/// The ways to run, and what is done at the stop that each leads to after all of
/// [`LOOKS`].
const TOUR: &[(&str, &[&str])] = &[
    (
        "wait 60",
        &[
            "info target",
            "info tasks",
            "dmesg -n 10",
            "break HgfsOpenFile",
            "tcatch load hgfs",
            "task 1",
            "bt",
        ],
    ),
    ("continue", &["info module hgfs", "dmesg -n 10"]),
    ("continue", &["up", "info locals", "info args", "up", "info locals", "frame 0"]),
    ("next", &[]),
    ("step", &["up", "info locals", "frame 0"]),
    ("next", &["print *req"]),
    ("next", &["print *req"]),
    ("next", &["print *req"]),
    ("finish", &["list"]),
    ("stepi", &[]),
    ("nexti", &["delete", "break HgfsSendRequest"]),
    ("continue", &["print *req", "info tasks", "cpu 0", "bt", "cpu 1", "bt"]),
    ("continue", &["print *req", "info breakpoints", "delete", "tbreak vfs_read"]),
    ("continue", &["info breakpoints", "dmesg -n 10", "up", "info registers", "frame 0"]),
    ("finish", &[]),
    ("until", &["print *file", "print $"]),
];

/// What is looked at at some stops, and tells the same whenever it is asked there.
const MORE: &[&str] = &["dmesg -n 10", "info module hgfs", "info tasks"];

/// What was answered at one stop: the stop itself, [`LOOKS`], the rest.
type Answers = Vec<Line>;

fn commands() -> Vec<&'static str> {
    let of_stop =
        |(way, more): &(&'static str, &'static [&'static str])| [&[*way], LOOKS, more].concat();
    TOUR.iter().flat_map(of_stop).collect()
}

fn by_stop(lines: &[Line]) -> Vec<Answers> {
    let mut rest = lines;
    let stops = TOUR.iter().map(|(_, more)| {
        let (these, others) = rest.split_at((1 + LOOKS.len() + more.len()).min(rest.len()));
        rest = others;
        these.to_vec()
    });
    stops.collect()
}

/// How many answers of a record are whole, and of how many.
#[derive(Default)]
struct Count {
    whole: usize,
    all: usize,
}

impl Count {
    #[track_caller]
    fn take(&mut self, at: usize, live: &Line, replayed: &Line) {
        assert_eq!(live.command, replayed.command);
        self.all += 1;
        match is_whole(live, replayed) {
            true => self.whole += 1,
            false => println!("  at stop {}", at + 1),
        }
    }
}

/// What needs no symbols: the answers are the stub's own. The last stop is one that
/// the guest makes by itself.
const RAW: &[&str] = &[
    "wait 60",
    "info registers",
    "x/8gx $rsp",
    "x/6i $pc",
    "x/4bx 8",
    "monitor summary",
    "stepi",
    "info registers rip",
    "stepi 3",
    "x/2i $pc",
    "nexti",
    "print/x $rsp",
    "x/s 0",
    "continue",
    "info registers",
    "x/4gx $rsp",
];

/// A small record of a guest that nothing is known of. Copies of it and of what was
/// answered then are tests/fixtures/records/raw.*, which tests/records.rs reads; they
/// stay what they are, so that later programs read what earlier ones wrote.
fn a_small_record(guest: &mut LockedGuest, dir: &Path) {
    let record = dir.join("raw.rec");
    guest.shell().unwrap().break_in().unwrap();
    let recorded = Setup::bare().arg("--connect").arg(guest.address());
    let mut batch = recorded.arg("--record").arg(&record).exs(RAW).start();
    type_line(guest, "echo g > /proc/sysrq-trigger");
    let live: Vec<Line> = RAW.iter().map(|_| batch.next()).collect();
    batch.end();
    let mut answers = String::new();
    for line in &live {
        let Line { command, error, result, .. } = line;
        let answer = serde_json::json!({ "command": command, "error": error, "result": result });
        answers += &format!("{answer}\n");
    }
    let kept = Path::new(env!("CARGO_TARGET_TMPDIR"));
    std::fs::copy(&record, kept.join("raw.rec")).unwrap();
    std::fs::write(kept.join("raw.json"), answers).unwrap();
    let replayed = Setup::bare().arg("--replay").arg(&record).exs(RAW).run();
    assert_eq!(replayed.lines.len(), live.len(), "{replayed:#?}");
    for (live, replayed) in live.iter().zip(&replayed.lines) {
        assert!(is_whole(live, replayed), "{}", live.command);
    }
}

#[test]
fn a_record_is_walked_from_stop_to_stop() {
    let mut guest = boot(&Boot { link: Link::Unix, ..Boot::default() });
    let dir = tempfile::tempdir().unwrap();
    let record = dir.path().join("tour.rec");
    a_small_record(&mut guest, dir.path());
    alive(&mut guest);
    let recorded = setup(&guest).arg("--record").arg(&record);
    let all = commands();
    let mut batch = start_stopped(&mut guest, recorded, &all[1..]);
    type_line(
        &mut guest,
        "insmod /lib/modules/hgfs.ko; (while :; do cat /proc/hgfs; done) > /dev/null 2>&1 &",
    );
    let lines: Vec<Line> = all[1..].iter().map(|_| batch.next()).collect();
    batch.end();
    alive(&mut guest);
    drop(guest);
    std::fs::copy(&record, Path::new(env!("CARGO_TARGET_TMPDIR")).join("tour.rec")).unwrap();
    for line in &lines {
        if let Some(error) = &line.error {
            println!("live {}: {error}", line.command);
        }
    }

    // As it was made.
    let replayed = on_record(&record, &all);
    let mut count = Count::default();
    let live = by_stop(&[&replayed.lines[..1], &lines[..]].concat());
    for (at, (live, replayed)) in live.iter().zip(by_stop(&replayed.lines)).enumerate() {
        for (live, replayed) in live.iter().zip(&replayed) {
            count.take(at, live, replayed);
        }
    }
    println!("{} of {} answers are whole on the way it was made", count.whole, count.all);
    assert_eq!(count.whole, count.all);

    // Each stop alone, on and back, and what is asked there in another order.
    let order: Vec<usize> = (0..TOUR.len()).chain([4, 11, 2, 9, 13, 1]).collect();
    let gone: Vec<String> = order.iter().map(|at| format!("replay {}", at + 1)).collect();
    // What was looked at once at that stop is asked for there as well.
    let more = |at: usize| MORE.iter().filter(move |look| TOUR[at].1.contains(look));
    let looks = |at: usize| LOOKS.iter().chain(more(at)).rev().copied();
    let visits = order.iter().zip(&gone);
    let visits = visits.flat_map(|(at, goes)| std::iter::once(goes.as_str()).chain(looks(*at)));
    let visits: Vec<&str> = visits.collect();
    let replayed = on_record(&record, &visits);
    assert_eq!(replayed.lines.len(), visits.len(), "{}", replayed.said);
    let mut count = Count::default();
    let mut rest = &replayed.lines[..];
    for at in &order {
        let (lines, others) = rest.split_at(1 + looks(*at).count());
        rest = others;
        let (was, is) = (&live[*at], &lines[0]);
        let (then, now) = (was[0].stop(), is.stop());
        assert_eq!(then["pc"], now["pc"], "stop {}", at + 1);
        // A step stays with its task, so its stops do not tell which that is.
        for field in ["pid", "comm", "cpu"] {
            assert!(now[field].is_null() || then[field] == now[field], "stop {}: {now}", at + 1);
        }
        for place in ["function", "line"] {
            assert_eq!(then[place], now[place], "stop {}: {now}", at + 1);
        }
        for replayed in &lines[1..] {
            let live = was.iter().find(|live| live.command == replayed.command).unwrap();
            count.take(*at, live, replayed);
        }
    }
    println!("{} of {} answers are whole in another order", count.whole, count.all);
    assert!(count.whole * 10 >= count.all * 9);
}
