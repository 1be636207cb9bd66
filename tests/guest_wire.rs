//! The client and the links against the real stub.

mod support {
    pub mod guest;
    pub mod pump;
    pub mod tools;
}

use std::time::{Duration, Instant};

use kgdb_tui::{
    arch::{Registers, x86_64::X86_64},
    base::addr::Addr,
    demo::guest::{Boot, Link as Wiring, Mode},
    link::Link,
    rsp::{
        client::{Client, Event, Mode as ClientMode},
        command::{Command, Point, PointKind, ThreadUse},
        reply::{Reply, ReplyError, StopReply},
        thread::ThreadId,
        timing::Timing,
    },
    target::{
        breakin::{Act, Attempt, Way},
        console::{Sign, Watcher},
        knock::{Evidence, Knock, Verdict},
        prompt::Tail,
        registers,
        threads::{ThreadList, Who, name},
    },
};
use object::{Object, ObjectSymbol};
use support::{
    guest::{LockedGuest, boot, built},
    pump::Pump,
};

async fn connect(guest: &LockedGuest) -> Pump {
    let endpoint = guest.address().parse().expect("an address");
    Pump::new(Link::open(&endpoint).await.expect("the guest listens"))
}

fn new_knock() -> Knock {
    Knock::new(Instant::now(), Timing::default())
}

/// The address of a function in a kernel without KASLR.
fn function(name: &str) -> Addr {
    let data = std::fs::read(built().vmlinux).expect("vmlinux");
    let file = object::File::parse(&*data).expect("an ELF file");
    let symbol = file.symbols().find(|symbol| symbol.name() == Ok(name));
    Addr(symbol.unwrap_or_else(|| panic!("{name} in vmlinux")).address())
}

async fn registers(pump: &mut Pump) -> Registers {
    let Reply::Registers(bytes) = pump.ask(Command::ReadRegisters).await else { panic!() };
    registers::from_reply(&X86_64, &bytes).expect("156 bytes")
}

async fn read(pump: &mut Pump, addr: Addr, len: usize) -> Vec<u8> {
    let command = Command::read_memory(addr, len).expect("fits");
    let Reply::Memory(data) = pump.ask(command).await else { panic!() };
    data
}

async fn measure(pump: &mut Pump, what: &str, command: Command) {
    let mut times = Vec::new();
    let step = command == Command::Step;
    for _ in 0..50 {
        let start = Instant::now();
        pump.ask(command.clone()).await;
        if step {
            pump.wait(|event| matches!(event, Event::Stop(_))).await;
        }
        times.push(start.elapsed());
    }
    times.sort();
    eprintln!("{what}: median {:?}, 90 % {:?}, worst {:?}", times[25], times[45], times[49]);
}

/// A running guest, stopped from its shell, driven and left running.
async fn a_life(wiring: Wiring) {
    let mut guest = boot(&Boot { link: wiring, kaslr: false, ..Boot::default() });
    let mut pump = connect(&guest).await;
    assert_eq!(pump.knock(new_knock()).await, Verdict::Running(Evidence::Silence));
    pump.client.assume_running();

    // Nobody has ttyS0 open, so the question is answered when the kernel stops.
    guest.shell().expect("a shell").break_in().expect("typed");
    let stop = pump.wait(|event| matches!(event, Event::Stop(_))).await;
    assert_eq!(stop, Event::Stop(StopReply::Signal { signal: 5 }));
    let signs = Watcher::default().feed(pump.text().as_bytes());
    assert!(matches!(&signs[0], Sign::KdbEntered(entry) if entry.cpu.is_some()), "{signs:?}");

    let regs = registers(&mut pump).await;
    let trap = function("kgdb_breakpoint");
    let offset = regs.pc().expect("known").since(trap);
    assert!(offset < 64, "stopped in kgdb_breakpoint: {offset}");
    let before = pump.client.meter();
    read(&mut pump, trap, 64).await;
    let cost = pump.client.meter() - before;
    assert_eq!((cost.round_trips, cost.packets(), cost.resends, cost.strays), (1, 2, 0, 0));
    let id = pump.client.send(Command::read_memory(Addr(0x1000), 8).expect("fits"), Instant::now());
    let event = pump.wait(|event| matches!(event, Event::Reply { .. })).await;
    let Event::Reply { id: about, reply: Err(ReplyError::Refused(error)), .. } = event else {
        panic!("{event:?}")
    };
    assert_eq!((id, error.errno), (Ok(about), 22));

    threads(&mut pump).await;
    measure(&mut pump, &format!("{wiring:?}: g"), Command::ReadRegisters).await;
    let page = Command::read_memory(trap, 64).expect("fits");
    measure(&mut pump, &format!("{wiring:?}: m of 64"), page).await;
    let most = Command::read_memory(Addr(trap.0 & !0xfff), 504).expect("fits");
    measure(&mut pump, &format!("{wiring:?}: m of 504"), most).await;

    assert_eq!(pump.ask(Command::monitor("lsmod").expect("fits")).await, Reply::Done);
    assert!(pump.other.iter().any(|event| matches!(event, Event::Output(_))));

    let write = Point { kind: PointKind::Software, addr: function("ksys_write"), len: 1 };
    assert_eq!(pump.ask(Command::Insert(write)).await, Reply::Done);
    assert_eq!(pump.ask(Command::Continue).await, Reply::Resumed);
    guest.shell().expect("a shell").send_line("echo hit").expect("typed");
    let stop = pump.wait(|event| matches!(event, Event::Stop(_))).await;
    assert!(matches!(stop, Event::Stop(StopReply::Thread { signal: 5, thread: Some(_) })));
    let regs = registers(&mut pump).await;
    assert_eq!(regs.pc(), Some(write.addr.offset(1)), "the pc is past the int3");
    let rewind = registers::write(&X86_64, X86_64.pc, write.addr.0).expect("fits");
    assert_eq!(pump.ask(rewind).await, Reply::Done);
    assert_eq!(pump.ask(Command::Remove(write)).await, Reply::Done);
    assert_eq!(pump.ask(Command::Step).await, Reply::Resumed);
    let stop = pump.wait(|event| matches!(event, Event::Stop(_))).await;
    assert!(matches!(stop, Event::Stop(StopReply::Thread { signal: 5, .. })));
    measure(&mut pump, &format!("{wiring:?}: s until T05"), Command::Step).await;

    assert_eq!(pump.ask(Command::Detach).await, Reply::Done);
    assert_eq!(pump.client.mode(), ClientMode::Running);
    let alive = guest.shell().expect("a shell").run("echo alive").expect("the guest runs");
    assert!(alive.text.contains("alive"));
    assert_eq!(pump.client.meter().bad_checksums, 0);
    eprintln!("{wiring:?}: {:?}", pump.client.meter());
}

async fn threads(pump: &mut Pump) {
    let mut list = ThreadList::default();
    let mut command = Command::FirstThreads;
    loop {
        let Reply::Threads(page) = pump.ask(command).await else { panic!() };
        if !list.add(&page) {
            break;
        }
        command = Command::NextThreads;
    }
    let all: Vec<_> = list.iter().collect();
    assert!(all.starts_with(&[Who::Cpu(0), Who::Cpu(1)]) && all.len() > 20, "{all:?}");
    let Reply::Text(info) = pump.ask(Command::ThreadExtraInfo(ThreadId(2))).await else { panic!() };
    assert_eq!(name(&info), "kthreadd");
    let choose = |id| Command::SetThread { usage: ThreadUse::Registers, id };
    assert_eq!(pump.ask(choose(ThreadId(2))).await, Reply::Done);
    assert_eq!(registers(pump).await.pc(), Some(Addr(0)), "a sleeping task has no pc");
    assert_eq!(pump.ask(choose(ThreadId::CURRENT)).await, Reply::Done);
}

#[tokio::test]
async fn through_socat() {
    a_life(Wiring::SocatTcp).await;
}

#[tokio::test]
async fn through_a_unix_socket() {
    a_life(Wiring::Unix).await;
}

#[tokio::test]
async fn a_kernel_that_waits_at_boot() {
    let guest = boot(&Boot { mode: Mode::Wait, link: Wiring::Unix, ..Boot::default() });
    let mut pump = connect(&guest).await;
    let verdict = pump.knock(new_knock()).await;
    // The kernel needs a second to the stop: the knock may come before it, and
    // the firmware prints on the line.
    if let Verdict::Running(Evidence::Silence | Evidence::Console) = verdict {
        pump.client.assume_running();
        pump.wait_text("kdb> ").await;
        pump.client.assume_unknown();
        let knock = Knock::at_prompt(Instant::now(), Timing::default(), None);
        let verdict = pump.knock(knock).await;
        assert_eq!(verdict, Verdict::StoppedByKdb { signal: 5, entry: None });
    } else {
        assert!(verdict.is_stopped(), "{verdict:?}");
    }
    assert!(registers(&mut pump).await.pc().is_some());

    // A debugger that dies in a stop, and one that comes after it.
    let whole = Command::read_memory(Addr(0x1000), 8).expect("fits").encode();
    for last in [&b""[..], &whole, &whole[..whole.len() - 4], b"$"] {
        pump.link.write_all(last).await.expect("the link is up");
        drop(pump);
        pump = connect(&guest).await;
        let verdict = pump.knock(new_knock()).await;
        assert_eq!(verdict, Verdict::Stopped { signal: 5 }, "after {}", last.escape_ascii());
        assert!(registers(&mut pump).await.pc().is_some());
    }
    assert_eq!(pump.ask(Command::Detach).await, Reply::Done);
}

#[tokio::test]
async fn a_machine_that_restarts() {
    let mut guest = boot(&Boot { link: Wiring::Unix, ..Boot::default() });
    let mut pump = connect(&guest).await;
    pump.client.assume_running();
    guest.shell().expect("a shell").break_in().expect("typed");
    pump.wait_text("kdb> ").await;
    pump.client.assume_unknown();
    let knock = Knock::at_prompt(Instant::now(), Timing::default(), None);
    assert!(pump.knock(knock).await.is_stopped());
    assert_eq!(pump.ask(Command::Continue).await, Reply::Resumed);
    guest.shell().expect("a shell").send_line("reboot -f").expect("typed");
    pump.wait(|event| *event == Event::Exited { code: 1 }).await;
    assert_eq!(pump.client.mode(), ClientMode::Running);
}

#[tokio::test]
async fn a_break_by_telnet_on_a_shared_console() {
    let guest = boot(&Boot { mode: Mode::Shared, link: Wiring::Telnet, ..Boot::default() });
    let mut pump = connect(&guest).await;
    pump.client.assume_running();
    pump.link.write_all(b"\r").await.expect("the link is up");
    pump.wait_text("# ").await;
    tokio::time::sleep(Duration::from_millis(200)).await;

    // A shell has the line: it echoes the question.
    pump.client.assume_unknown();
    assert_eq!(pump.knock(new_knock()).await, Verdict::Running(Evidence::Echo));
    pump.link.write_all(b"\x15").await.expect("the link is up");

    let mut attempt = Attempt::new([Way::Break], Tail::default(), Instant::now());
    loop {
        match attempt.next(Instant::now()) {
            Act::Begin(way) => assert_eq!(way, Way::Break),
            Act::Break => pump.link.send_break().await.expect("telnet has BREAK"),
            Act::Type(bytes) => {
                pump.link.write_all(bytes).await.expect("up");
                break;
            }
            Act::Wait(until) => tokio::time::sleep_until(until.into()).await,
            other => panic!("{other:?}"),
        }
    }
    let banner = pump.wait_text("kdb> ").await;
    let signs = Watcher::default().feed(banner.as_bytes());
    let entry = signs.iter().find_map(|sign| match sign {
        Sign::KdbEntered(entry) => Some(entry.clone()),
        _ => None,
    });
    assert!(entry.is_some() && matches!(signs.last(), Some(Sign::KdbPrompt { cpu: Some(_) })));
    pump.client.assume_unknown();
    let knock = Knock::at_prompt(Instant::now(), Timing::default(), entry.clone());
    assert_eq!(pump.knock(knock).await, Verdict::StoppedByKdb { signal: 5, entry });
    assert!(registers(&mut pump).await.pc().is_some());
    assert_eq!(pump.ask(Command::Detach).await, Reply::Done);
    pump.link.write_all(b"echo a''live\r").await.expect("the link is up");
    pump.wait_text("alive").await;
}

/// The session may live on a thread of its own.
#[test]
fn the_client_can_move_between_threads() {
    fn assert_send<T: Send>() {}
    assert_send::<Client>();
    assert_send::<Link>();
}
