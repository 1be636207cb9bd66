//! A line with noise, on the real guest: each answer is that of the clean line
//! or a clear error, nothing hangs, and nothing of ours stays in the guest.

use crate::facts::{alive, functions, values};
use crate::support::{
    batch::{Batch, Setup},
    faulty::{Faults, Faulty, Noise},
    guest::{LockedGuest, boot},
};
use kgdb_tui::demo::guest::{Boot, Hgfs, Link};
use serde_json::Value;
use std::time::Duration;

/// At one in so many bytes.
const PER_BYTE: f64 = 1e-3;

const NOP: [u64; 5] = [0x0f, 0x1f, 0x44, 0x00, 0x00];

/// A piece of debugging. The guest reads /proc/hgfs by itself once a second.
const SCRIPT: &[&str] = &[
    "wait 60",
    "x/64xb linux_banner",
    "print init_uts_ns.name.release",
    "info registers",
    "p $rip",
    "bt 3",
    "info modules",
    "break HgfsSendRequest",
    "continue",
    "bt",
    "next",
    "next",
    "info tasks",
    "x/32xw sys_call_table",
    "delete",
    "detach",
];

/// What the same on a clean line gives, as far as it can be the same twice.
fn told(command: &str, result: &Value) -> Value {
    match command {
        "x/64xb linux_banner" | "x/32xw sys_call_table" => result["values"].clone(),
        "print init_uts_ns.name.release" => result["value"].clone(),
        "bt" => {
            let names = functions(result);
            names.iter().map(|(name, inlined)| format!("{name} {inlined}")).collect()
        }
        "next" => result["stop"]["function"].clone(),
        "info modules" => {
            let modules = result["modules"].as_array().unwrap().iter();
            modules.map(|module| format!("{} {}", module["name"], module["address"])).collect()
        }
        _ => Value::Null,
    }
}

/// The first stop, however the guest was left.
pub fn stop_it(guest: &mut LockedGuest) {
    // A shell that answers runs, and then it can stop itself.
    let shell = guest.shell().unwrap();
    if shell.run_for("echo awake", Duration::from_secs(30)).is_ok() {
        shell.break_in().unwrap();
    }
}

fn script(faulty: &Faulty) -> Batch {
    Setup::new(&faulty.address()).arg("--timeout").arg("30").exs(SCRIPT).start()
}

/// On a clean line: nothing is planted, what is read is right, and it runs on.
#[track_caller]
pub fn check_clean(guest: &mut LockedGuest, faulty: &Faulty, banner: &Value) {
    stop_it(guest);
    let commands = ["wait 60", "x/64xb linux_banner", "x/5xb HgfsSendRequest", "detach"];
    let ended = Setup::new(&faulty.address()).exs(&commands).run().all_good();
    assert_eq!(&ended.ok(commands[1])["values"], banner);
    assert_eq!(values(ended.ok(commands[2])), NOP);
    alive(guest);
}

#[test]
fn every_answer_is_right_or_an_error() {
    let mut guest =
        boot(&Boot { hgfs: Hgfs::Busy, link: Link::Unix, kaslr: false, ..Boot::default() });
    let faulty = Faulty::start(guest.address(), Faults::default());
    stop_it(&mut guest);
    let clean = script(&faulty).end().all_good();
    // The second `next` comes after the first.
    let truth: Vec<Value> = clean.lines.iter().map(|line| told(&line.command, line.ok())).collect();
    let banner = truth[1].clone();
    assert!(banner.as_array().is_some_and(|bytes| bytes.len() == 64), "{banner}");

    for (seed, what, noise) in [
        (1, "flip", Noise { flip: PER_BYTE, ..Noise::default() }),
        (2, "drop", Noise { drop: PER_BYTE, ..Noise::default() }),
        (3, "double", Noise { double: PER_BYTE, ..Noise::default() }),
        (4, "insert", Noise { insert: PER_BYTE, ..Noise::default() }),
    ] {
        stop_it(&mut guest);
        faulty.set(Faults::noisy(seed, noise));
        let before = faulty.faults_made();
        let ended = script(&faulty).end();
        let hits = faulty.faults_made() - before;
        assert!(hits > 0, "the line had noise");
        let (mut right, mut failed) = (0, Vec::new());
        for (at, line) in ended.lines.iter().enumerate() {
            match &line.error {
                Some(error) => {
                    assert!(!error.trim().is_empty(), "{what}, seed {seed}: {line:?}");
                    failed.push(format!("{}: {error}", line.command));
                }
                // After an error it may be another stop.
                None if failed.is_empty() || line.command.starts_with("x/") => {
                    let told = told(&line.command, line.ok());
                    assert_eq!(told, truth[at], "{what}, seed {seed}: {}", line.command);
                    right += 1;
                }
                None => {}
            }
        }
        let stop = ended.lines.iter().find(|line| line.command == "wait 60");
        if let Some(stop) = stop.filter(|line| line.error.is_none())
            && let Some(rip) = ended.lines.iter().find(|line| line.command == "info registers")
            && rip.error.is_none()
        {
            assert_eq!(rip.result["registers"]["rip"], stop.result["stop"]["pc"], "seed {seed}");
        }
        println!("{what}, seed {seed}: {hits} bytes hit, {right} right, failed: {failed:?}");
        assert!(!ended.said.contains("panicked"), "{what}, seed {seed}: {}", ended.said);
        faulty.set(Faults::default());
        check_clean(&mut guest, &faulty, &banner);
    }
}
