//! Guests and lines that go away: it goes on by itself with what the user has.

use crate::facts::{alive, run, start_stopped, type_line, values};
use crate::support::{
    batch::{Batch, Gate, Setup},
    faulty::{Faults, Faulty},
    guest::{LockedGuest, boot},
};
use kgdb_tui::demo::guest::{Boot, Hgfs, Link};
use serde_json::Value;
use std::time::{Duration, Instant};

/// What makes the guest hit a breakpoint on `HgfsSendRequest`.
pub const HIT: &str = "cat /proc/hgfs > /dev/null";

/// The instruction there, as the kernel has it.
pub const NOP: [u64; 5] = [0x0f, 0x1f, 0x44, 0x00, 0x00];

/// A guest that was stopped by the breakpoint, and what was told of it.
pub struct AtBreakpoint {
    pub batch: Batch,
    pub stop: Value,
    /// How often it was hit.
    pub hits: u64,
}

/// Stops the guest at a breakpoint of ours, hit once; `commands` come then.
pub fn at_breakpoint(guest: &mut LockedGuest, setup: Setup, commands: &[&str]) -> AtBreakpoint {
    let first = ["break HgfsSendRequest", "continue"];
    let mut batch = start_stopped(guest, setup, &[&first[..], commands].concat());
    batch.ok(first[0]);
    type_line(guest, HIT);
    let stop = batch.stop(first[1]);
    assert_eq!(stop["breakpoint"], 1, "{stop}");
    AtBreakpoint { batch, stop, hits: 1 }
}

impl AtBreakpoint {
    /// The answer to `wait`: the guest is where it was.
    #[track_caller]
    pub fn found_again(&mut self, wait: &str) {
        let found = self.batch.stop(wait);
        for part in ["pc", "function", "line", "pid", "comm", "cpu", "breakpoint", "signal"] {
            assert_eq!(found[part], self.stop[part], "{part}: {found}, before {}", self.stop);
        }
    }

    /// The answers to `info breakpoints`, `continue`, `x/5xb HgfsSendRequest`,
    /// `info breakpoints`, `detach`: the user's state is as it was, what is planted
    /// works, and is gone afterwards.
    #[track_caller]
    pub fn goes_on(mut self, guest: &mut LockedGuest) -> String {
        let hits = |batch: &mut Batch, hits: u64| {
            let wish = batch.ok("info breakpoints")["breakpoints"][0].clone();
            assert_eq!((&wish["state"], &wish["hits"]), (&"armed".into(), &hits.into()), "{wish}");
        };
        hits(&mut self.batch, self.hits);
        type_line(guest, HIT);
        let stop = self.batch.stop("continue");
        assert_eq!((&stop["pc"], &stop["breakpoint"]), (&self.stop["pc"], &1.into()), "{stop}");
        assert_eq!(values(&self.batch.ok("x/5xb HgfsSendRequest")), NOP);
        hits(&mut self.batch, self.hits + 1);
        self.batch.ok("detach");
        let ended = self.batch.end();
        assert!(!ended.said.contains("panicked"), "{}", ended.said);
        alive(guest);
        run(guest, HIT);
        ended.said
    }
}

/// What [`AtBreakpoint::goes_on`] reads the answers of.
pub const GOES_ON: [&str; 5] =
    ["info breakpoints", "continue", "x/5xb HgfsSendRequest", "info breakpoints", "detach"];

fn guest() -> (LockedGuest, Faulty) {
    let guest = boot(&Boot { hgfs: Hgfs::Loaded, link: Link::Unix, ..Boot::default() });
    let faulty = Faulty::start(guest.address(), Faults::default());
    (guest, faulty)
}

/// The machine restarts without a word (sysrq b calls no reboot notifier): the
/// breakpoints are planted again at the next stop, where KASLR put them now.
#[test]
fn a_machine_that_was_reset() {
    let (mut guest, faulty) = guest();
    let commands = [
        "break ksys_write",
        "disable 1",
        "continue",
        "wait 120",
        "enable 1",
        "continue",
        "delete",
        "detach",
    ];
    let setup = Setup::new(&faulty.address()).arg("--timeout").arg("120");
    let mut batch = start_stopped(&mut guest, setup, &commands);
    let site = batch.ok(commands[0])["breakpoints"][0]["sites"][0].clone();
    batch.ok(commands[1]);
    guest.shell().unwrap().expect("# ", Duration::from_secs(60)).unwrap();
    type_line(&mut guest, "echo b > /proc/sysrq-trigger");
    guest.shell().unwrap().expect("guest ready", Duration::from_secs(120)).unwrap();
    guest.shell().unwrap().break_in().unwrap();
    // The `continue` of before the reset ends with this stop, which is one of
    // another boot.
    let stop = batch.stop(commands[2]);
    assert_eq!(stop["function"], "kgdb_breakpoint", "the symbols fit: {stop}");
    batch.stop(commands[3]);
    let again = batch.ok(commands[4])["breakpoints"][0].clone();
    assert_eq!(again["state"], "armed", "{again}");
    println!("ksys_write before and after the reset: {site}, {}", again["sites"][0]);
    assert_eq!(batch.stop(commands[5])["function"], "ksys_write");
    batch.ok(commands[6]);
    batch.ok(commands[7]);
    batch.end().all_good();
    alive(&mut guest);
}

/// The relay dies while an answer comes: after its first byte, in its middle, before
/// its last one. The stub waits for the ack of an answer that nobody has.
#[test]
fn a_line_that_is_cut_in_the_middle_of_an_answer() {
    let (mut guest, faulty) = guest();
    let dir = tempfile::tempdir().unwrap();
    // `+`, `$`, 128 digits, `#` and two digits.
    let cuts = [(1, "x/64xb init_mm"), (70, "x/64xb init_nsproxy"), (132, "x/64xb init_user_ns")];
    let gates: Vec<Gate> =
        (0..cuts.len()).map(|number| Gate::new(dir.path(), &format!("gate{number}"))).collect();
    let sources: Vec<String> = gates.iter().map(Gate::command).collect();
    let mut commands = Vec::new();
    for (source, (_, read)) in sources.iter().zip(cuts) {
        // Once cut, once whole.
        commands.extend([source, read, "wait 60", read]);
    }
    commands.extend(GOES_ON);
    let setup = Setup::new(&faulty.address()).arg("--timeout").arg("120");
    let mut at = at_breakpoint(&mut guest, setup, &commands);
    for ((gate, source), (bytes, read)) in gates.iter().zip(&sources).zip(cuts) {
        faulty.be_silent_after(bytes);
        gate.open();
        at.batch.ok(source);
        let start = Instant::now();
        while !faulty.is_silent() {
            assert!(start.elapsed() < Duration::from_secs(60), "{read}: it was not asked");
            std::thread::sleep(Duration::from_millis(2));
        }
        faulty.cut();
        faulty.speak();
        let failed = at.batch.next();
        let error = failed.error.unwrap_or_else(|| panic!("{read}: {}", failed.result));
        assert!(error.contains("link is lost"), "{error}");
        at.found_again("wait 60");
        println!("cut after {bytes} bytes of an answer: found again in {:?}", start.elapsed());
        assert_eq!(values(&at.batch.ok(read)).len(), 64);
    }
    assert_eq!(faulty.connections(), 1 + cuts.len() as u64);
    let said = at.goes_on(&mut guest);
    assert!(said.contains("stays stopped until a debugger comes back"), "{said}");
}

/// The other end of a TCP connection is gone without a word: nothing is
/// acknowledged, nothing is closed. It is found out when something is asked, in a
/// bounded time, and the guest is found where it was on a new connection.
#[test]
fn a_connection_that_is_half_open() {
    let (mut guest, faulty) = guest();
    let dir = tempfile::tempdir().unwrap();
    let gate = Gate::new(dir.path(), "gate");
    let source = gate.command();
    let mut commands = vec![&source[..], "x/64xb init_mm", "wait 61", "wait 60", "x/64xb init_mm"];
    commands.extend(GOES_ON);
    let setup = Setup::new(&faulty.address()).arg("--timeout").arg("120");
    let mut at = at_breakpoint(&mut guest, setup, &commands);
    faulty.vanish();
    gate.open();
    at.batch.ok(&source);
    let start = Instant::now();
    at.batch.expect_said("nothing came for 4 s");
    let told = start.elapsed();
    let failed = at.batch.next();
    assert!(failed.error.is_some(), "{}: {}", failed.command, failed.result);
    let lost = at.batch.next();
    let lost = lost.error.unwrap_or_else(|| panic!("{}: {}", lost.command, lost.result));
    assert!(lost.contains("nothing is acknowledged any more"), "{lost}");
    let closed = start.elapsed();
    at.found_again("wait 60");
    println!("half open: told in {told:?}, lost in {closed:?}, found in {:?}", start.elapsed());
    assert!(closed < Duration::from_secs(60), "{closed:?}");
    assert_eq!(values(&at.batch.ok("x/64xb init_mm")).len(), 64);
    assert_eq!(faulty.connections(), 2);
    at.goes_on(&mut guest);
}

/// The link is lost while the guest runs with a breakpoint planted, and comes back:
/// the guest is not left with it before it could be taken out.
#[test]
fn what_is_planted_is_not_forgotten_with_the_link() {
    let (mut guest, faulty) = guest();
    let dir = tempfile::tempdir().unwrap();
    let gate = Gate::new(dir.path(), "gate");
    let source = gate.command();
    let commands = [
        "break HgfsSendRequest",
        "continue",
        &source,
        "detach",
        "wait 60",
        "info breakpoints",
        "x/5xb HgfsSendRequest",
        "detach",
    ];
    let setup = Setup::new(&faulty.address()).arg("--timeout").arg("120");
    let mut batch = start_stopped(&mut guest, setup, &commands);
    batch.ok(commands[0]);
    // It runs.
    alive(&mut guest);
    faulty.cut();
    let lost = batch.next();
    assert!(lost.error.as_ref().unwrap().contains("the link is lost"), "{lost:?}");
    let start = Instant::now();
    while faulty.connections() < 2 {
        assert!(start.elapsed() < Duration::from_secs(60));
        std::thread::sleep(Duration::from_millis(5));
    }
    gate.open();
    batch.ok(&source);
    let left = batch.next();
    let error = left.error.as_ref().unwrap_or_else(|| panic!("{left:?}"));
    // Ours, and the hidden ones that see modules go.
    assert!(error.contains("breakpoints planted"), "{error}");
    type_line(&mut guest, HIT);
    let stop = batch.stop(commands[4]);
    assert_eq!((&stop["function"], &stop["breakpoint"]), (&"HgfsSendRequest".into(), &1.into()));
    assert_eq!(batch.ok(commands[5])["breakpoints"][0]["hits"], 1);
    assert_eq!(values(&batch.ok(commands[6])), NOP);
    batch.ok(commands[7]);
    batch.end();
    alive(&mut guest);
    run(&mut guest, HIT);
}

/// A program of the guest prints what a machine sends that goes down. With a line's
/// end behind it it is text. With nothing behind it it is told, and nothing is
/// forgotten for it: the breakpoint is hit as if nothing had been.
#[test]
fn a_printed_reboot_is_none() {
    let mut guest = boot(&Boot { hgfs: Hgfs::Loaded, link: Link::Unix, ..Boot::default() });
    let setup = Setup::new(guest.address()).arg("--timeout").arg("120");
    let mut commands = vec!["break HgfsSendRequest", "continue", "continue", "wait 60"];
    commands.push("info breakpoints");
    commands.extend(&GOES_ON[1..3]);
    commands.push("detach");
    let mut batch = start_stopped(&mut guest, setup, &commands);
    let site = batch.ok("break HgfsSendRequest")["breakpoints"][0]["sites"][0].clone();
    run(&mut guest, r"printf '\044W01\043b8\n' > /dev/ttyS0");
    type_line(&mut guest, HIT);
    let stop = batch.stop("continue");
    assert_eq!((&stop["pc"], &stop["breakpoint"]), (&site, &1.into()), "{stop}");

    // It runs again.
    alive(&mut guest);
    run(&mut guest, r"printf '\044W01\043b8' > /dev/ttyS0");
    let told = batch.next();
    let error = told.error.unwrap_or_else(|| panic!("{}", told.result));
    assert_eq!(error, "the guest says that it restarts");
    type_line(&mut guest, HIT);
    let stop = batch.stop("wait 60");
    assert_eq!((&stop["pc"], &stop["breakpoint"]), (&site, &1.into()), "{stop}");
    let wish = batch.ok("info breakpoints")["breakpoints"][0].clone();
    assert_eq!((&wish["state"], &wish["hits"]), (&"armed".into(), &2.into()), "{wish}");
    type_line(&mut guest, HIT);
    assert_eq!(batch.stop("continue")["pc"], site);
    assert_eq!(values(&batch.ok("x/5xb HgfsSendRequest")), NOP);
    batch.ok("detach");
    let ended = batch.end();
    assert!(ended.said.contains("the guest did not go down"), "{}", ended.said);
    alive(&mut guest);
    run(&mut guest, HIT);
}
