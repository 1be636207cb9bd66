//! The client against the model of the stub, on a line with a rate, a delay
//! and faults, under a clock that the test moves.

mod support {
    pub mod faulty;
    pub mod pair;
    pub mod stub;
}

use std::time::{Duration, Instant};

use kgdb_tui::{
    base::addr::Addr,
    rsp::{
        client::{Client, Event, Mode, RequestError},
        command::{Command, Point, PointKind},
        frame::{encode, unhex},
        reply::{Reply, ReplyError, StopReply},
        thread::ThreadId,
        timing::Timing,
    },
};
use proptest::prelude::*;
use support::{
    pair::{Fault, Pair},
    stub::Stub,
};

fn read(addr: u64, len: usize) -> Command {
    Command::read_memory(Addr(addr), len).expect("fits")
}

fn breakpoint(addr: u64) -> Point {
    Point { kind: PointKind::Software, addr: Addr(addr), len: 1 }
}

#[test]
fn a_whole_conversation() {
    let mut pair = Pair::new(Stub::stopped());
    assert_eq!(pair.good(Command::HaltReason), Reply::Stop(StopReply::Signal { signal: 5 }));
    assert_eq!(pair.client.mode(), Mode::Stopped);
    assert!(matches!(pair.good(Command::ReadRegisters), Reply::Registers(raw) if raw.len() == 156));
    assert!(matches!(pair.good(read(0x2000, 504)), Reply::Memory(data) if data.len() == 504));
    let fault = pair.ask(read(0, 8)).unwrap().0.unwrap_err();
    assert!(fault.to_string().contains("not mapped"));
    assert_eq!(pair.good(Command::Insert(breakpoint(0x4000))), Reply::Done);
    assert_eq!(pair.good(Command::monitor("hello").unwrap()), Reply::Done);
    assert_eq!(pair.texts(), "hello world\n");
    pair.stop_after = Some(Duration::from_secs(30));
    assert_eq!(pair.good(Command::Continue), Reply::Resumed);
    assert_eq!(pair.client.mode(), Mode::Running);
    pair.pump();
    let console = "[   1.0] console: 5$ + 3# - x\r\nroot@guest:~$ ";
    pair.stub.print(console.as_bytes());
    let stop = StopReply::Thread { signal: 5, thread: Some(ThreadId(500)) };
    assert!(pair.run_until(|event| *event == Event::Stop(stop)).is_some());
    assert_eq!(pair.texts(), console);
    pair.stop_after = None;
    assert_eq!(pair.good(Command::Detach), Reply::Done);
    while pair.step() {}
    assert!(pair.stub.is_running() && !pair.stub.connected);
    assert_eq!(pair.stub.junk, b"", "nothing may reach a running kernel");
    assert_eq!((pair.client.meter().resends, pair.client.meter().strays), (0, 0));
}

#[test]
fn a_stop_that_waits_since_before_we_came() {
    let mut stub = Stub::running();
    stub.connected = true;
    stub.stop();
    stub.out.clear();
    let mut pair = Pair::new(stub);
    let (reply, resent) = pair.ask(Command::HaltReason).unwrap();
    assert_eq!(reply, Ok(Reply::Stop(StopReply::Signal { signal: 5 })));
    assert!(resent);
    assert!(matches!(pair.good(Command::ReadRegisters), Reply::Registers(_)));
}

#[test]
fn a_silent_kernel_gets_one_knock() {
    let mut pair = Pair::new(Stub::running());
    let error = pair.ask(Command::HaltReason).unwrap_err();
    assert!(matches!(error, RequestError::NoAnswer { attempts: 1, .. }), "{error}");
    while pair.step() {}
    assert_eq!(pair.stub.junk, b"$?#3f");
}

#[test]
fn an_echo_is_no_answer() {
    let mut client = Client::new(Timing::default());
    let now = Instant::now();
    client.send(Command::HaltReason, now).unwrap();
    assert_eq!(client.poll_transmit().as_deref(), Some(&b"$?#3f"[..]));
    client.receive(b"$?#3f", now);
    client.timeout(now + Duration::from_secs(2));
    assert_eq!(client.poll(), Some(Event::Console(b"$?#3f".into())));
    let event = client.poll();
    assert!(matches!(event, Some(Event::Failed { error: RequestError::Echoed { .. }, .. })));
    assert_eq!(client.poll_transmit(), None);
    assert_eq!(client.mode(), Mode::Unknown);
}

#[test]
fn kdb_echoes_and_then_answers() {
    let mut client = Client::new(Timing::default());
    let now = Instant::now();
    client.send(Command::HaltReason, now).unwrap();
    client.receive(b"$?#3f\r\n+$S05#b8", now);
    let events: Vec<_> = std::iter::from_fn(|| client.poll()).collect();
    assert!(matches!(events.last(), Some(Event::Reply { reply: Ok(_), .. })), "{events:?}");
    let sent: Vec<u8> = std::iter::from_fn(|| client.poll_transmit()).flatten().collect();
    assert_eq!(sent, b"$?#3f+");
}

#[test]
fn a_lost_ack_of_continue_is_not_repeated() {
    let mut pair = Pair::new(Stub::stopped());
    pair.good(Command::HaltReason);
    pair.pump();
    pair.to_client.faults = vec![(pair.to_client.sent, Fault::Drop)];
    let error = pair.ask(Command::Continue).unwrap_err();
    assert!(matches!(error, RequestError::Unconfirmed { .. }));
    while pair.step() {}
    assert_eq!((pair.stub.continues, &pair.stub.junk[..]), (1, &b""[..]));
}

#[test]
fn a_refused_resume_is_told() {
    let mut client = Client::new(Timing::default());
    let now = Instant::now();
    client.send(Command::HaltReason, now).unwrap();
    client.receive(b"+$S05#b8", now);
    let now = now + Duration::from_secs(1);
    client.timeout(now);
    client.send(Command::Continue, now).unwrap();
    client.receive(b"+$E22#a9", now);
    let events: Vec<_> = std::iter::from_fn(|| client.poll()).collect();
    assert!(matches!(events.last(), Some(Event::ResumeRefused(error)) if error.errno == 22));
    assert_eq!(client.mode(), Mode::Stopped);
    let sent: Vec<u8> = std::iter::from_fn(|| client.poll_transmit()).flatten().collect();
    assert_eq!(sent, b"$?#3f+$c#63+");
}

#[test]
fn the_same_stop_twice_is_two_stops() {
    let mut client = Client::new(Timing::default());
    let now = Instant::now();
    let packet = encode(b"T05thread:01f4;");
    let stop = StopReply::Thread { signal: 5, thread: Some(ThreadId(500)) };
    for _ in 0..2 {
        client.receive(&packet, now);
        // On a running kernel's console anybody can print it; then more follows.
        client.timeout(now + Duration::from_millis(100));
        assert_eq!(client.poll(), Some(Event::Stop(stop)));
        client.receive(&packet, now);
        assert_eq!(client.poll(), None, "repeated by the stub, its ack was lost");
        client.assume_running();
    }
    let sent: Vec<u8> = std::iter::from_fn(|| client.poll_transmit()).flatten().collect();
    assert_eq!(sent, b"++++");
}

#[test]
fn the_end_of_the_machine_is_not_acknowledged() {
    let mut client = Client::new(Timing::default());
    let now = Instant::now();
    client.assume_running();
    client.receive(b"reboot: Restarting system\r\n$W01#b8", now);
    // Anybody can print it; then more follows.
    client.timeout(now + Duration::from_millis(100));
    let events: Vec<_> = std::iter::from_fn(|| client.poll()).collect();
    assert_eq!(events.last(), Some(&Event::Exited { code: 1 }));
    assert_eq!(client.poll_transmit(), None);
}

#[test]
fn a_damaged_stop_is_asked_for_again() {
    let mut pair = Pair::new(Stub::stopped());
    pair.good(Command::HaltReason);
    pair.pump();
    pair.stop_after = Some(Duration::from_secs(1));
    pair.to_client.faults = vec![(pair.to_client.sent + 10, Fault::Flip(1))];
    pair.good(Command::Continue);
    assert!(pair.run_until(|event| matches!(event, Event::Stop(_))).is_some());
    assert_eq!(pair.stub.junk, b"");
}

/// Runs a script on a line with faults. Whatever the faults do, an answer is
/// the right one or there is none, and nothing resumes the kernel twice.
///
/// Gives how many of the requests were answered.
fn withstand(script: &[u8], to_stub: Vec<(usize, Fault)>, to_client: Vec<(usize, Fault)>) -> usize {
    let mut pair = Pair::new(Stub::stopped());
    pair.stop_after = Some(Duration::from_millis(40));
    pair.to_stub.faults = to_stub;
    pair.to_client.faults = to_client;
    let (mut continues, mut steps) = (0, 0);
    let mut planted = false;
    let mut answered = 0;
    if !matches!(pair.ask(Command::HaltReason), Ok((Ok(Reply::Stop(_)), _))) {
        return answered;
    }
    for (turn, letter) in script.iter().enumerate() {
        let addr = 0x3000 + turn as u64 * 64;
        let command = match letter {
            b'g' => Command::ReadRegisters,
            b'm' => read(addr, 40),
            b'M' => Command::write_memory(Addr(0x8000), &[turn as u8; 24]).expect("fits"),
            b'Z' => Command::Insert(breakpoint(0x5000)),
            b'z' => Command::Remove(breakpoint(0x5000)),
            b'c' => Command::Continue,
            _ => Command::Step,
        };
        match letter {
            b'c' => continues += 1,
            b's' => steps += 1,
            _ => {}
        }
        let resumes = command.resumes();
        let outcome = pair.ask(command);
        if pair.stub.fooled {
            return script.len();
        }
        let Ok((reply, resent)) = outcome else { break };
        answered += 1;
        assert!(pair.stub.continues <= continues && pair.stub.steps <= steps);
        match (letter, reply) {
            // Cut by a bit error that left a good checksum: seen by its length.
            (b'g', Ok(Reply::Registers(raw))) if raw.len() != 156 => {}
            (b'g', Ok(Reply::Registers(raw))) => {
                assert_eq!(Some(raw), unhex(&pair.stub.registers()));
            }
            (b'm', Ok(Reply::Memory(data))) => {
                let truth: Vec<u8> = (addr..addr + 40).map(|at| pair.stub.memory(at)).collect();
                assert_eq!(data, truth);
            }
            (b'M', Ok(Reply::Done)) => assert_eq!(pair.stub.memory(0x8000), turn as u8),
            (b'Z', Ok(Reply::Done)) => planted = true,
            (b'Z', Err(ReplyError::Refused(error))) => {
                assert!(error.errno == 17 && (planted || resent));
                planted = true;
            }
            (b'z', Ok(Reply::Done)) => planted = false,
            (b'z', Err(ReplyError::Refused(error))) => {
                assert!(error.errno == 2 && (!planted || resent));
                planted = false;
            }
            (b'c' | b's', Ok(Reply::Resumed)) => {}
            (letter, reply) => panic!("{}: {reply:?}", *letter as char),
        }
        assert_eq!(pair.stub.breakpoints.contains(&0x5000), planted);
        if resumes {
            assert_eq!((pair.stub.continues, pair.stub.steps), (continues, steps));
            if pair.client.mode() == Mode::Running
                && pair.run_until(|event| matches!(event, Event::Stop(_))).is_none()
            {
                break;
            }
            pair.events.clear();
        }
    }
    pair.stop_after = None;
    pair.stop_at = None;
    for _ in 0..100_000 {
        if !pair.step() {
            break;
        }
    }
    assert!(pair.stub.continues <= continues && pair.stub.steps <= steps);
    answered
}

fn faults(kinds: impl Strategy<Value = Fault>) -> impl Strategy<Value = Vec<(usize, Fault)>> {
    // Far apart: two faults in one packet may hide from an 8-bit sum.
    proptest::collection::vec((0usize..400, kinds), 0..4).prop_map(|faults| {
        faults.into_iter().enumerate().map(|(nth, (at, fault))| (nth * 900 + at, fault)).collect()
    })
}

fn any_fault() -> impl Strategy<Value = Fault> {
    prop_oneof![
        Just(Fault::Drop),
        (1u8..255).prop_map(Fault::Flip),
        (b'a'..=b'z').prop_map(Fault::Insert),
        (0u16..4000).prop_map(Fault::Stall),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(600) })]

    #[test]
    fn answers_survive_faults(
        script in proptest::collection::vec(
            proptest::sample::select(&b"gmMZzcs"[..]), 1..12
        ),
        to_stub in faults(any_fault()),
        to_client in faults(any_fault()),
    ) {
        withstand(&script, to_stub.into_iter().map(|(at, fault)| (at / 8, fault)).collect(), to_client);
    }

    #[test]
    fn one_fault_stops_no_reading(
        script in proptest::collection::vec(proptest::sample::select(&b"gmMZz"[..]), 1..8),
        at in 20usize..1500, fault in any_fault(), upstream in any::<bool>(),
    ) {
        let (here, there) = (vec![(at, fault)], Vec::new());
        let answered = if upstream {
            withstand(&script, vec![(6 + at / 8, fault)], there)
        } else {
            withstand(&script, there, here)
        };
        prop_assert_eq!(answered, script.len());
    }

    #[test]
    fn receive_takes_anything(
        pieces in proptest::collection::vec(("[$#+\\-STOWEK05threadm:;,?]{0,20}", any::<bool>()), 0..20)
    ) {
        let mut client = Client::new(Timing::default());
        let mut now = Instant::now();
        for (bytes, knock) in pieces {
            if knock {
                let _ = client.send(Command::HaltReason, now);
            }
            client.receive(bytes.as_bytes(), now);
            now += Duration::from_millis(300);
            client.timeout(now);
            while client.poll_transmit().is_some() {}
            while client.poll().is_some() {}
        }
    }
}
