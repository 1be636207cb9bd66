//! A made record, and what its stub answers; the real client asks.

use super::{stub::Stub, tape::*};
use crate::{
    arch::x86_64::X86_64,
    base::addr::Addr,
    rsp::{
        client::{Client, Event},
        command::{Command, Point, PointKind, ThreadUse},
        frame::{encode, hex},
        reply::{Reply, ReplyError, StopReply},
        thread::ThreadId,
        timing::Timing,
    },
};
use proptest::prelude::*;
use std::{
    sync::Arc,
    time::{Duration, Instant},
};

/// Where a breakpoint is.
const SITE: u64 = 0xffff_ffff_8100_0010;

/// Makes a record, packet by packet.
#[derive(Default)]
struct Record {
    taping: Taping,
    at: Duration,
}

impl Record {
    fn ask(&mut self, request: &str, answer: &str) -> &mut Record {
        self.at += Duration::from_millis(3);
        self.taping.sent(self.at, &encode(request.as_bytes()));
        let came = [b"+".to_vec(), encode(answer.as_bytes())].concat();
        // In two pieces, as lines do.
        let (head, tail) = came.split_at(came.len() / 2);
        self.taping.received(self.at, head);
        self.taping.received(self.at, tail);
        self.taping.sent(self.at, b"+");
        self
    }

    fn resume(&mut self, letter: &str, text: &str, stop: &str) -> &mut Record {
        self.at += Duration::from_secs(1);
        self.taping.sent(self.at, &encode(letter.as_bytes()));
        self.taping.received(self.at, &[b"+", text.as_bytes()].concat());
        self.taping.received(self.at, &encode(stop.as_bytes()));
        self.taping.sent(self.at, b"+");
        self
    }

    fn note(&mut self, text: &str) -> &mut Record {
        self.taping.noted(text);
        self
    }
}

fn registers(pc: u64) -> String {
    let mut bytes = vec![0; 156];
    bytes[..8].copy_from_slice(&7u64.to_le_bytes());
    bytes[128..136].copy_from_slice(&pc.to_le_bytes());
    hex(&bytes)
}

fn little(value: u64) -> String {
    hex(&value.to_le_bytes())
}

/// Two stops that were shown, and between them one that was passed by.
fn record() -> Record {
    let site = format!("0,{SITE:x},1");
    let mut record = Record::default();
    record
        .note("program kgdb-tui 0.1.0")
        .ask("?", "S05")
        .ask("p10", &little(0x1000))
        .ask("g", &registers(0x1000))
        .note("stop 1: was stopped")
        .ask("mffff888000001000,8", "0102030405060708")
        .ask("mffff888000001008,4", "090a0b0c")
        .ask("mffff888000002000,8", "E22")
        .ask("Mffff888000001000,2:ffff", "OK")
        .ask("mffff888000001000,10", "ffff030405060708090a0b0c0d0e0f10")
        .note("asked break f if x")
        .ask(&format!("Z{site}"), "OK")
        .resume("c", "hello\r\n", "T05thread:07;")
        .ask("p10", &little(SITE + 1))
        .ask(&format!("P10={}", little(SITE)), "OK")
        .ask("mffff888000001000,8", "0000000000000000")
        .resume("c", "world\r\n", "T05thread:fffffffe;")
        .ask("p10", &little(SITE + 1))
        .ask(&format!("P10={}", little(SITE)), "OK")
        .ask("g", &registers(SITE))
        .note("stop 2: breakpoint 1")
        .ask("Hg07", "OK")
        .ask("g", &registers(0x77))
        .ask("Hg-1", "OK")
        .ask("mffff888000001000,8", "1111111111111111")
        .ask("qfThreadInfo", "mfffffffe,01")
        .ask("qsThreadInfo", "m02")
        .ask("qsThreadInfo", "");
    record
}

/// A client on the stub.
struct Bench {
    stub: Stub,
    client: Client,
    console: Vec<u8>,
    stops: Vec<StopReply>,
    now: Instant,
}

impl Bench {
    fn new(record: Record) -> Bench {
        let stub = Stub::new(&X86_64, Arc::new(record.taping.finish()));
        let client = Client::new(Timing::default());
        Bench { stub, client, console: Vec::new(), stops: Vec::new(), now: Instant::now() }
    }

    fn ask(&mut self, command: Command) -> Result<Reply, ReplyError> {
        let mut now = self.now;
        self.client.send(command, now).unwrap();
        let mut answer = None;
        loop {
            let mut idle = true;
            while let Some(bytes) = self.client.poll_transmit() {
                self.stub.take(&bytes);
                idle = false;
            }
            let mut buffer = [0; 100];
            let count = self.stub.say(&mut buffer);
            self.client.receive(&buffer[..count], now);
            while let Some(event) = self.client.poll() {
                match event {
                    Event::Reply { reply, .. } => answer = Some(reply),
                    Event::Console(text) | Event::Output(text) => self.console.extend(text),
                    Event::Stop(stop) => self.stops.push(stop),
                    other => panic!("{other:?}"),
                }
            }
            if !idle || count > 0 {
                continue;
            }
            // What it waits for may be silence: a stop of a console is taken then.
            let due = self.client.poll_timeout();
            match due.filter(|due| *due < self.now + Duration::from_secs(2)) {
                Some(due) => {
                    now = due;
                    self.client.timeout(now);
                }
                None => {
                    self.now = now + Duration::from_secs(2);
                    return answer.expect("an answer");
                }
            }
        }
    }

    fn read(&mut self, addr: u64, len: usize) -> Result<Vec<u8>, u8> {
        match self.ask(Command::read_memory(Addr(addr), len).unwrap()) {
            Ok(Reply::Memory(bytes)) => Ok(bytes),
            Err(ReplyError::Refused(error)) => Err(error.errno),
            other => panic!("{other:?}"),
        }
    }

    fn pc(&mut self) -> u64 {
        match self.ask(Command::ReadRegister { number: 0x10 }).unwrap() {
            Reply::Register(bytes) => u64::from_le_bytes(bytes.try_into().unwrap()),
            other => panic!("{other:?}"),
        }
    }
}

fn site() -> Point {
    Point { kind: PointKind::Software, addr: Addr(SITE), len: 1 }
}

#[test]
fn memory_is_put_together_from_all_reads() {
    let mut bench = Bench::new(record());
    bench.ask(Command::HaltReason).unwrap();
    let base = 0xffff_8880_0000_1000;
    assert_eq!(bench.read(base + 2, 8), Ok(vec![3, 4, 5, 6, 7, 8, 9, 10]));
    assert_eq!(bench.read(base, 1), Ok(vec![1]), "as it was before it was written");
    assert_eq!(bench.read(base + 12, 4), Ok(vec![13, 14, 15, 16]), "read later, never written");
    assert_eq!(bench.read(base + 12, 8), Err(61), "a part is not in the record");
    assert_eq!(bench.read(base + 0x1000, 8), Err(22), "as the guest refused it");
    assert_eq!(bench.read(base + 0x1000, 16), Err(22), "more than it refused");
    assert_eq!(bench.read(base + 0x1ff0, 4), Err(22), "the page is not mapped");
    let known = bench.stub.known_in(crate::base::memory::Span::new(Addr(base + 8), 16)).unwrap();
    assert_eq!(known, [crate::base::memory::Span::new(Addr(base + 8), 8)]);
    bench.ask(Command::write_memory(Addr(base), &[5, 5]).unwrap()).unwrap();
    assert_eq!(bench.read(base, 4), Ok(vec![5, 5, 3, 4]));
    bench.ask(Command::write_binary(Addr(base), b"#}").unwrap()).unwrap();
    assert_eq!(bench.read(base, 3), Ok(vec![b'#', b'}', 3]));
}

#[test]
fn the_same_way_meets_the_same_stops() {
    let mut bench = Bench::new(record());
    assert_eq!(bench.ask(Command::HaltReason), Ok(Reply::Stop(StopReply::Signal { signal: 5 })));
    assert_eq!(bench.pc(), 0x1000);
    bench.ask(Command::Insert(site())).unwrap();
    bench.ask(Command::Continue).unwrap();
    let thread = |id| StopReply::Thread { signal: 5, thread: Some(ThreadId(id)) };
    assert_eq!(
        (bench.stops.pop(), bench.console.split_off(0)),
        (Some(thread(7)), b"hello\r\n".into())
    );
    assert!(!bench.stub.came_another_way() && !bench.stub.has_registers());
    assert_eq!(bench.pc(), SITE + 1, "behind the breakpoint, as the kernel says it");
    assert_eq!(bench.read(0xffff_8880_0000_1000, 1), Ok(vec![0]), "each stop has its own memory");
    bench.ask(Command::Continue).unwrap();
    assert_eq!(
        (bench.stops.pop(), bench.console.split_off(0)),
        (Some(thread(-2)), b"world\r\n".into())
    );
    assert_eq!((bench.stub.number(), bench.stub.count()), (2, 2));
    assert_eq!(bench.ask(Command::CurrentThread), Ok(Reply::Thread(ThreadId(-2))));
    bench.ask(Command::Continue).unwrap();
    assert!(bench.stub.is_over() && bench.stops.is_empty());
}

#[test]
fn another_way_meets_the_next_stop_that_was_shown() {
    let mut bench = Bench::new(record());
    bench.ask(Command::HaltReason).unwrap();
    // Nothing is planted: the pc is where the program had put it.
    bench.ask(Command::Step).unwrap();
    assert!(bench.stub.came_another_way());
    assert_eq!(bench.console, b"hello\r\nworld\r\n");
    assert_eq!(bench.pc(), SITE);
    bench.stub.rewind();
    bench.client.reconnected();
    bench.ask(Command::HaltReason).unwrap();
    bench.ask(Command::Insert(site())).unwrap();
    bench.ask(Command::Step).unwrap();
    assert_eq!(bench.pc(), SITE + 1, "the breakpoint is there");
    bench.ask(Command::write_register(0x10, &SITE.to_le_bytes()).unwrap()).unwrap();
    let Ok(Reply::Registers(bytes)) = bench.ask(Command::ReadRegisters) else { panic!() };
    assert_eq!(hex(&bytes), registers(SITE));
    let Ok(Reply::Register(ax)) = bench.ask(Command::ReadRegister { number: 0 }) else { panic!() };
    assert_eq!(ax, 7u64.to_le_bytes(), "from the answer to `g`");
    assert_eq!(bench.stub.stop().unwrap().shown.as_deref(), Some("2: breakpoint 1"));
}

#[test]
fn threads_have_their_own_registers_and_lists() {
    let mut bench = Bench::new(record());
    bench.ask(Command::HaltReason).unwrap();
    bench.ask(Command::Step).unwrap();
    let choose = |id| Command::SetThread { usage: ThreadUse::Registers, id: ThreadId(id) };
    bench.ask(choose(7)).unwrap();
    assert_eq!(
        bench.ask(Command::ReadRegisters),
        Ok(Reply::Registers(crate::rsp::frame::unhex(registers(0x77).as_bytes()).unwrap()))
    );
    assert!(bench.ask(choose(9)).unwrap_err().to_string().contains("not in the record"));
    bench.ask(choose(-1)).unwrap();
    assert_eq!(bench.pc(), SITE);
    for _ in 0..2 {
        let page = |ids: &[i32]| Ok(Reply::Threads(ids.iter().copied().map(ThreadId).collect()));
        assert_eq!(bench.ask(Command::FirstThreads), page(&[-2, 1]));
        assert_eq!(bench.ask(Command::NextThreads), page(&[2]));
        assert_eq!(bench.ask(Command::NextThreads), page(&[]));
    }
    let monitor = bench.ask(Command::monitor("ps").unwrap()).unwrap_err();
    assert!(monitor.to_string().contains("not in the record"), "{monitor}");
}

#[test]
fn damage_on_the_line_does_not_matter() {
    let mut record = Record::default();
    record.ask("?", "S05");
    record.taping.sent(Duration::ZERO, &encode(b"m1000,2"));
    record.taping.received(Duration::ZERO, b"-");
    record.taping.sent(Duration::ZERO, &encode(b"m1000,2"));
    record.taping.received(Duration::ZERO, b"+$0x02#00");
    record.taping.sent(Duration::ZERO, b"-");
    record.taping.received(Duration::ZERO, &encode(b"0102"));
    record.ask("g", &registers(0x1000));
    let mut bench = Bench::new(record);
    bench.ask(Command::HaltReason).unwrap();
    assert_eq!(bench.read(0x1000, 2), Ok(vec![1, 2]));
}

#[test]
fn what_a_record_has_is_bounded() {
    let mut record = Record::default();
    record.ask("?", "S05").ask("g", &registers(0));
    // A page each.
    for page in 0..40_000u64 {
        record.ask(&format!("m{:x},1", page << 12), "00");
    }
    let tape = record.taping.finish();
    let held = super::held::Held::of(&X86_64, &tape.stops[0]);
    assert!(held.peek(Addr(0)).is_err_and(|gap| gap.is_missing()));
    assert!(held.memory(crate::base::memory::Span::new(Addr(1 << 12), 1)).is_some());
    assert!(held.memory(crate::base::memory::Span::new(Addr(39_999 << 12), 1)).is_none());
}

proptest! {
    #[test]
    fn any_conversation_makes_a_stub(
        pieces in proptest::collection::vec(
            (0u8..4, proptest::collection::vec(any::<u8>(), 0..40), "[?gmpPZzcsHqCDT0-9a-f,:;=]{1,20}"), 0..40),
        asked in proptest::collection::vec("[?gmpPMXZzcsHqCDTR0-9a-f,:;=]{1,20}", 0..30),
    ) {
        let mut record = Record::default();
        record.ask("?", "S05").ask("g", &registers(5));
        for (what, bytes, text) in &pieces {
            match what {
                0 => record.taping.received(record.at, bytes),
                1 => record.taping.sent(record.at, &encode(text.as_bytes())),
                2 => record.taping.received(record.at, &[b"+", &encode(text.as_bytes())[..]].concat()),
                _ => record.taping.noted(text),
            }
        }
        let mut stub = Stub::new(&X86_64, Arc::new(record.taping.finish()));
        let mut buffer = [0; 5000];
        for text in &asked {
            stub.take(&encode(text.as_bytes()));
            while stub.say(&mut buffer) > 0 {}
        }
    }
}
