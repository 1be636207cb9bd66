//! Hours of debugging on a bad line, for those who ask:
//!
//! ```text
//! KGDB_TUI_SOAK=3600 cargo test --test e2e soak -- --nocapture
//! ```
//!
//! Rounds of commands in random order through a relay that makes noise, cuts the
//! link, and falls silent. After each round, on a clean line, nothing is planted,
//! what is read is right, and the guest runs.

use crate::noise::{check_clean, stop_it};
use crate::support::{
    batch::Setup,
    faulty::{Dice, Faults, Faulty, Noise},
    guest::boot,
};
use kgdb_tui::demo::guest::{Boot, Hgfs, Link};
use std::{
    sync::atomic::{AtomicBool, Ordering::Relaxed},
    time::{Duration, Instant},
};

const COMMANDS: &[&str] = &[
    "bt",
    "info registers",
    "x/64xb linux_banner",
    "x/100xw sys_call_table",
    "print init_uts_ns.name",
    "info modules",
    "info cpus",
    "break HgfsSendRequest",
    "tbreak ksys_write",
    "continue",
    "next",
    "step",
    "stepi",
    "finish",
    "delete",
    "info locals",
    "up",
    "info breakpoints",
];

#[test]
fn soak() {
    let Some(seconds) = std::env::var("KGDB_TUI_SOAK").ok().and_then(|text| text.parse().ok())
    else {
        println!("the soak is for KGDB_TUI_SOAK=SECONDS");
        return;
    };
    let limit = Duration::from_secs(seconds);
    let began = Instant::now();
    let first: u64 = std::env::var("KGDB_TUI_SEED").ok().and_then(|s| s.parse().ok()).unwrap_or(1);
    let mut guest = boot(&Boot { hgfs: Hgfs::Busy, link: Link::Unix, ..Boot::default() });
    let faulty = Faulty::start(guest.address(), Faults::default());
    stop_it(&mut guest);
    let commands = ["wait 60", "x/64xb linux_banner", "detach"];
    let clean = Setup::new(&faulty.address()).exs(&commands).run().all_good();
    let banner = clean.ok(commands[1])["values"].clone();

    let (mut rounds, mut good, mut failed, mut wrong_seen) = (0u64, 0u64, 0u64, 0u64);
    while began.elapsed() < limit {
        let seed = first + rounds;
        rounds += 1;
        let mut dice = Dice(seed);
        let part = |dice: &mut Dice| [0.0, 1e-4, 3e-4][dice.below(3) as usize];
        let noise = Noise {
            flip: part(&mut dice),
            drop: part(&mut dice),
            double: part(&mut dice),
            insert: part(&mut dice),
        };
        let mut setup = Setup::new(&faulty.address()).arg("--timeout").arg("20").ex("wait 60");
        for _ in 0..20 {
            setup = setup.ex(COMMANDS[dice.below(COMMANDS.len() as u64) as usize]);
        }
        let setup = setup.ex("x/64xb linux_banner").ex("delete").ex("detach");
        stop_it(&mut guest);
        faulty.set(Faults::noisy(seed, noise));
        let done = AtomicBool::new(false);
        let ended = std::thread::scope(|scope| {
            scope.spawn(|| misfortunes(&faulty, Dice(seed ^ 0x5555), &done));
            let ended = setup.start().end();
            done.store(true, Relaxed);
            ended
        });
        faulty.speak();
        faulty.restart();
        faulty.set(Faults::default());
        assert!(!ended.said.contains("panicked"), "seed {seed}: {}", ended.said);
        for line in &ended.lines {
            match &line.error {
                None => good += 1,
                Some(error) => {
                    assert!(!error.trim().is_empty(), "seed {seed}: {line:?}");
                    failed += 1;
                }
            }
            if line.command == "x/64xb linux_banner" && line.error.is_none() {
                wrong_seen += u64::from(line.result["values"] != banner);
            }
        }
        check_clean(&mut guest, &faulty, &banner);
        println!(
            "{:>5} s, round {rounds}, seed {seed}: {good} answers, {failed} errors, {wrong_seen} wrong, {} bytes hit, {} connections",
            began.elapsed().as_secs(),
            faulty.faults_made(),
            faulty.connections(),
        );
        assert_eq!(wrong_seen, 0, "seed {seed}");
    }
}

/// Cuts and silences, a few in each round.
fn misfortunes(faulty: &Faulty, mut dice: Dice, done: &AtomicBool) {
    let wait = |millis: u64| {
        let until = Instant::now() + Duration::from_millis(millis);
        while Instant::now() < until && !done.load(Relaxed) {
            std::thread::sleep(Duration::from_millis(20));
        }
    };
    while !done.load(Relaxed) {
        wait(3000 + dice.below(20_000));
        match dice.below(3) {
            _ if done.load(Relaxed) => return,
            0 => faulty.cut(),
            1 => {
                faulty.be_silent();
                wait(dice.below(15_000));
                faulty.speak();
            }
            _ => {
                faulty.stop();
                wait(dice.below(3000));
                faulty.restart();
            }
        }
    }
}
