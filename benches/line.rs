//! How long a person waits on a line of 115200 baud, with this program and with
//! gdb: the same guest, the same stops, behind a relay that carries 11,520 bytes a
//! second each way and is 2 ms late.
//!
//! `cargo bench --bench line` builds the guest when it is missing. gdb is left out
//! when it is not installed.

#![allow(clippy::unwrap_used, reason = "a measurement that cannot go on has failed")]

use kgdb_tui::demo::{
    build::Built,
    guest::{Boot, Guest, Hgfs, Link},
};
use serde_json::Value;
use std::{
    io::{BufRead, BufReader, Read},
    process::{Command, Stdio},
    thread::sleep,
    time::{Duration, SystemTime, UNIX_EPOCH},
};
use support::faulty::{Faults, Faulty, RATE_115200};

#[path = "../tests/support"]
mod support {
    pub mod faulty;
    pub mod guest;
    pub mod tools;
}

#[path = "support/mod.rs"]
mod own;

#[path = "support/scenario.rs"]
mod scenario;

use scenario::BREAK;

/// How late each byte comes.
const LATENCY: Duration = Duration::from_millis(2);

/// What is measured, in the words of both debuggers.
const WALK: &[(&str, &str)] = &[
    ("continue", "stop to source line"),
    ("info registers", "stop to registers too"),
    ("bt 10", "stop to ten frames"),
    ("info locals", "stop to locals"),
    ("next", "next"),
    ("next", "next"),
    ("step", "step"),
    ("bt", "frames after the step"),
    ("finish", "finish"),
];

/// How many of the first steps are counted from the stop.
const FROM_STOP: usize = 4;

/// When each step was done, in seconds since the epoch, and what all cost.
struct Walk {
    done: Vec<f64>,
    /// When the first stop passed the relay.
    stopped: f64,
    sent: u64,
    received: u64,
}

impl Walk {
    /// Milliseconds of a step, as it is named.
    fn took(&self, step: usize) -> f64 {
        let began = if step < FROM_STOP { self.stopped } else { self.done[step - 1] };
        (self.done[step] - began) * 1000.0
    }
}

fn seconds(at: SystemTime) -> f64 {
    at.duration_since(UNIX_EPOCH).unwrap().as_secs_f64()
}

/// Walks with this program: each answer is a line.
fn ours(built: &Built, line: &Faulty) -> Walk {
    let before = line.bytes();
    let stops = line.stops().len();
    let mut command = Command::new(env!("CARGO_BIN_EXE_kgdb-tui"));
    command.args(["--batch", "--json", "--connect", &line.address(), "--vmlinux"]);
    command.arg(&built.vmlinux).arg("--module-path").arg(&built.modules);
    command.args(["-ex", "wait 60", "-ex", BREAK]);
    for (words, _) in WALK {
        command.args(["-ex", words]);
    }
    let mut child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    let mut done = Vec::new();
    for text in BufReader::new(child.stdout.take().unwrap()).lines() {
        let answer: Value = serde_json::from_str(&text.unwrap()).unwrap();
        assert_eq!(answer["ok"], true, "{answer}");
        done.push(seconds(SystemTime::now()));
    }
    let mut said = String::new();
    child.stderr.take().unwrap().read_to_string(&mut said).unwrap();
    assert!(child.wait().unwrap().success(), "{said}");
    walk(line, stops, before, done.split_off(2))
}

/// Walks with gdb, which prints the time after each step.
fn gdbs(built: &Built, line: &Faulty, sections: &str) -> Option<Walk> {
    let before = line.bytes();
    let mut command = Command::new("gdb");
    command.args(["-batch", "-nx", "-ex", "set pagination off"]).arg(&built.vmlinux);
    command.args(["-ex", &own::add_symbol_file(built, sections), "-ex", "python import time"]);
    command.args(["-ex", &format!("target remote {}", line.address()), "-ex", BREAK]);
    let stops = line.stops().len();
    for (words, _) in WALK {
        command.args(["-ex", words, "-ex", "python print('done at', time.time())"]);
    }
    command.args(["-ex", "delete", "-ex", "detach"]);
    let output = command.output().ok()?;
    let said = String::from_utf8_lossy(&output.stdout);
    let at = |line: &str| line.strip_prefix("done at ").and_then(|time| time.parse().ok());
    let done: Vec<f64> = said.lines().filter_map(at).collect();
    assert_eq!(done.len(), WALK.len(), "{said}{}", String::from_utf8_lossy(&output.stderr));
    Some(walk(line, stops, before, done))
}

fn walk(line: &Faulty, stops: usize, before: (u64, u64), done: Vec<f64>) -> Walk {
    let after = line.bytes();
    let stopped = seconds(line.stops()[stops]);
    Walk { done, stopped, sent: after.0 - before.0, received: after.1 - before.1 }
}

/// Stops the guest from its shell.
fn stop(guest: &mut Guest) {
    guest.shell().unwrap().break_in().unwrap();
    sleep(Duration::from_secs(1));
}

fn main() {
    let built = support::guest::built();
    // gdb can't follow KASLR.
    let boot = Boot { kaslr: false, hgfs: Hgfs::Busy, link: Link::Unix, ..Boot::default() };
    let mut guest = support::guest::boot(&boot);
    let sections = own::sections(&mut guest);
    let line = Faulty::start(guest.address(), Faults::slow(RATE_115200, LATENCY));

    stop(&mut guest);
    let ours = ours(&built, &line);
    stop(&mut guest);
    let gdbs = gdbs(&built, &line, &sections);
    println!("at 115200 baud, each byte {} ms late", LATENCY.as_millis());
    println!("{:<24} {:>10} {:>10}", "", "kgdb-tui", "gdb");
    let gdbs_of = |value: &dyn Fn(&Walk) -> String| gdbs.as_ref().map_or("-".into(), value);
    for (step, (_, name)) in WALK.iter().enumerate() {
        let time = |walk: &Walk| format!("{:.0} ms", walk.took(step));
        println!("{name:<24} {:>10} {:>10}", time(&ours), gdbs_of(&time));
    }
    let bytes = |walk: &Walk| (walk.sent + walk.received).to_string();
    println!("{:<24} {:>10} {:>10}", "bytes, attaching too", bytes(&ours), gdbs_of(&bytes));
    if gdbs.is_none() {
        println!("gdb is not installed");
    }

    println!("the scenario of the wire benchmark on this line");
    stop(&mut guest);
    let ours = scenario::ours(&built, &line.address());
    ours.print("kgdb-tui");
    ours.print_kinds();
    stop(&mut guest);
    let log = tempfile::NamedTempFile::new().unwrap();
    if let Some(gdbs) = scenario::gdbs(&built, &line.address(), &sections, log.path()) {
        gdbs.print("gdb");
        println!("gdb sends and receives {:.1} times as much", gdbs.bytes() / ours.bytes());
    }
}
