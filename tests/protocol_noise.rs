//! Thousands of requests on a line with noise at 1 in 1,000 bytes, both ways:
//! every answer is right, or there is none.

mod support {
    pub mod faulty;
    pub mod pair;
    pub mod stub;
}

use std::{collections::BTreeSet, time::Duration};

use kgdb_tui::{
    base::addr::Addr,
    rsp::{
        client::{Event, Mode, RequestError},
        command::{Command, Point, PointKind},
        frame::unhex,
        reply::{Reply, ReplyError},
    },
};
use support::{
    faulty::{Dice, Noise},
    pair::Pair,
    stub::Stub,
};

const PER_BYTE: f64 = 1e-3;

/// What a run has shown.
#[derive(Debug, Default)]
struct Tally {
    right: u32,
    failed: u32,
    /// Failed because noise made another address of it, and that was seen.
    astray: u32,
    /// Had to be found out with `?`.
    stops_lost: u32,
    /// Wrong, when no damage had been seen for 64 KiB.
    slipped: u32,
    seconds: u64,
}

/// Requests of all kinds, checked against the model itself.
fn run(noise: Noise, seed: u64, requests: u32) -> Tally {
    let mut pair = Pair::new(Stub::stopped());
    let began = pair.now;
    pair.stop_after = Some(Duration::from_millis(30));
    pair.to_stub.noise = Some((noise, Dice(seed)));
    pair.to_client.noise = Some((noise, Dice(seed ^ 0xffff)));
    let mut dice = Dice(seed ^ 0xabcd);
    let mut tally = Tally::default();
    let (mut continues, mut steps) = (0, 0);
    // Noise may make any address of a write, and what the model then holds is
    // what it holds; only what a client can know is compared.
    for turn in 0..requests {
        find_out(&mut pair);
        let addr = Addr(0x10_0000 + dice.below(64) * 0x200);
        let size = if pair.client.is_noisy() { 64 } else { 504 };
        let point = Point { kind: PointKind::Software, addr: Addr(0x5000 + dice.below(4)), len: 1 };
        let command = match dice.below(20) {
            0..3 => Command::ReadRegisters,
            3..12 => {
                Command::read_memory(addr, 1 + dice.below(size) as usize).expect("a small read")
            }
            12..14 => Command::write_memory(addr, &[turn as u8; 16]).expect("a small write"),
            14 => Command::Insert(point),
            15 => Command::Remove(point),
            16 => Command::CurrentThread,
            17 => Command::Continue,
            _ => Command::Step,
        };
        match command {
            Command::Continue => continues += 1,
            Command::Step => steps += 1,
            _ => {}
        }
        let planted = pair.stub.breakpoints.clone();
        let outcome = pair.ask(command.clone());
        assert!(pair.stub.continues <= continues && pair.stub.steps <= steps, "seed {seed}");
        let (reply, resent) = match outcome {
            Ok(answer) => answer,
            Err(error) => {
                tally.failed += 1;
                tally.astray += u32::from(matches!(error, RequestError::Astray { .. }));
                if matches!(error, RequestError::Astray { .. }) {
                    // What a debugger does then: all out, and planted anew.
                    pair.client.assume_unknown();
                }
                continue;
            }
        };
        if is_right(&pair, &command, &reply, resent, &planted) {
            tally.right += 1;
        } else {
            let words = format!("seed {seed}: {command}: {reply:?}, resent {resent}");
            assert!(!pair.client.is_noisy(), "{words}");
            // The very first damage of a line that was good so far, and one that
            // the checksum does not see.
            tally.slipped += 1;
        }
        if command.resumes() {
            if pair.client.mode() == Mode::Running {
                let stopped =
                    pair.run_until(|event| matches!(event, Event::Stop(_) | Event::StopLost));
                let text = pair.texts();
                assert!(stopped.is_some(), "seed {seed}: a stop was lost for ever: {text:?}");
                if stopped == Some(Event::StopLost) {
                    tally.stops_lost += 1;
                    pair.client.assume_unknown();
                }
            }
            pair.events.clear();
        }
    }
    tally.seconds = (pair.now - began).as_secs();
    tally
}

/// Asks `?` as often as it takes.
fn find_out(pair: &mut Pair) {
    for _ in 0..20 {
        if pair.client.mode() == Mode::Stopped {
            return;
        }
        if pair.stub.is_running() {
            // A request of which nobody knows whether it arrived: it did. A
            // person would wait, or break in.
            pair.client.assume_running();
            assert!(
                pair.run_until(|event| matches!(event, Event::Stop(_) | Event::StopLost)).is_some()
            );
            return;
        }
        let _ = pair.ask(Command::HaltReason);
    }
    panic!("the stub was not found again");
}

fn is_right(
    pair: &Pair,
    command: &Command,
    reply: &Result<Reply, ReplyError>,
    resent: bool,
    planted: &BTreeSet<u64>,
) -> bool {
    let stub = &pair.stub;
    let errno = |error: &ReplyError| match error {
        ReplyError::Refused(error) => error.errno,
        _ => 0,
    };
    match (command, reply) {
        (Command::ReadMemory(access), Ok(Reply::Memory(data))) => {
            let at = access.addr().0;
            let truth: Vec<u8> = (at..at + access.len() as u64).map(|at| stub.memory(at)).collect();
            *data == truth
        }
        (Command::ReadRegisters, Ok(Reply::Registers(raw))) => {
            Some(raw) == unhex(&stub.registers()).as_ref()
        }
        (Command::WriteMemory(bytes), Ok(Reply::Done)) => {
            let Some(Command::ReadMemory(access)) = bytes.read_back() else { unreachable!() };
            (0..).zip(bytes.data()).all(|(n, &byte)| stub.memory(access.addr().0 + n) == byte)
        }
        (Command::Insert(point), Ok(Reply::Done)) => stub.breakpoints.contains(&point.addr.0),
        (Command::Insert(point), Err(error)) => {
            errno(error) == 17
                && (resent || planted.contains(&point.addr.0))
                && stub.breakpoints.contains(&point.addr.0)
        }
        (Command::Remove(point), Ok(Reply::Done)) => !stub.breakpoints.contains(&point.addr.0),
        (Command::Remove(point), Err(error)) => {
            errno(error) == 2
                && (resent || !planted.contains(&point.addr.0))
                && !stub.breakpoints.contains(&point.addr.0)
        }
        (Command::CurrentThread, Ok(Reply::Thread(id))) => id.0 == 0x1f4,
        (Command::Continue | Command::Step, Ok(Reply::Resumed)) => true,
        _ => false,
    }
}

fn all_seeds(noise: Noise) {
    // The same on every machine and every day; more with KGDB_TUI_LONG=1.
    let seeds = if std::env::var_os("KGDB_TUI_LONG").is_some() { 200 } else { 4 };
    let mut sum = Tally::default();
    for seed in 0..seeds {
        let tally = run(noise, seed * 7919 + 1, 1000);
        sum.right += tally.right;
        sum.failed += tally.failed;
        sum.astray += tally.astray;
        sum.stops_lost += tally.stops_lost;
        sum.slipped += tally.slipped;
        sum.seconds += tally.seconds;
    }
    println!("{noise:?}: {sum:?}");
    assert!(sum.right > 50 * sum.failed, "most requests get through: {sum:?}");
    assert!(sum.slipped <= sum.right / 50_000, "{sum:?}");
}

#[test]
fn flipped_bits() {
    all_seeds(Noise { flip: PER_BYTE, ..Noise::default() });
}

#[test]
fn dropped_bytes() {
    all_seeds(Noise { drop: PER_BYTE, ..Noise::default() });
}

#[test]
fn doubled_bytes() {
    all_seeds(Noise { double: PER_BYTE, ..Noise::default() });
}

#[test]
fn inserted_bytes() {
    all_seeds(Noise { insert: PER_BYTE, ..Noise::default() });
}

#[test]
fn all_of_it() {
    let each = PER_BYTE / 4.0;
    all_seeds(Noise { flip: each, drop: each, double: each, insert: each });
}
