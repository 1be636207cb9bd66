//! `kgdb-tui relay` between the program and the guest, and the same through socat.

use crate::facts::{alive, functions, run, type_line, values};
use crate::loss::{HIT, NOP};
use crate::support::{
    batch::Setup,
    guest::{LockedGuest, boot},
};
use kgdb_tui::demo::guest::{Boot, Hgfs, Link};
use kgdb_tui::demo::relay::Relay;
use serde_json::Value;
use std::{
    io::Read,
    process::{Child, Command, Stdio},
    sync::{Arc, Mutex},
    thread::JoinHandle,
    time::{Duration, Instant},
};

const PATIENCE: Duration = Duration::from_secs(60);

const COMMANDS: [&str; 11] = [
    "wait 60",
    "break HgfsSendRequest",
    "continue",
    "bt",
    "info registers",
    "info args",
    "next",
    "next",
    "next",
    "x/5xb HgfsSendRequest",
    "detach",
];

/// What is the same each time the guest comes there.
#[derive(Debug, PartialEq)]
struct Told {
    places: Vec<(Value, Value)>,
    stack: Vec<(String, bool)>,
    registers: usize,
    arguments: Vec<Value>,
}

/// The scenario on a stopped guest; what it told, and how long each `next` took.
fn debug(guest: &mut LockedGuest, address: &str) -> (Told, Vec<f64>) {
    let mut batch = Setup::new(address).exs(&COMMANDS).start();
    assert_eq!(batch.stop(COMMANDS[0])["function"], "kgdb_breakpoint");
    let [_, commands @ ..] = COMMANDS;
    batch.ok(commands[0]);
    type_line(guest, HIT);
    let place = |stop: &Value| (stop["function"].clone(), stop["line"].clone());
    let mut places = vec![place(&batch.stop(commands[1]))];
    let bt = batch.ok(commands[2]);
    let stack = functions(&bt).into_iter().map(|(name, inlined)| (name.to_string(), inlined));
    let stack = stack.collect();
    let registers = batch.ok(commands[3])["registers"].as_object().unwrap().len();
    let arguments = batch.ok(commands[4]);
    let arguments = arguments["variables"].as_array().unwrap().iter();
    let arguments = arguments.map(|variable| variable["name"].clone()).collect();
    let mut times = Vec::new();
    for next in &commands[5..8] {
        let line = batch.next();
        assert_eq!(line.command, *next);
        places.push(place(line.stop()));
        times.push(line.seconds);
    }
    assert_eq!(values(&batch.ok(commands[8])), NOP);
    batch.ok(commands[9]);
    batch.end().all_good();
    alive(guest);
    run(guest, HIT);
    (Told { places, stack, registers, arguments }, times)
}

/// The relay of ours, as a user runs it.
struct Ours {
    child: Child,
    log: Arc<Mutex<String>>,
    reader: Option<JoinHandle<()>>,
}

impl Ours {
    fn start(from: &str) -> Ours {
        let mut child = Command::new(env!("CARGO_BIN_EXE_kgdb-tui"))
            .args(["relay", from, "tcp-listen:0"])
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let mut stderr = child.stderr.take().unwrap();
        let log = Arc::new(Mutex::new(String::new()));
        let reader = std::thread::spawn({
            let log = Arc::clone(&log);
            move || {
                let mut bytes = [0; 1024];
                while let Ok(count @ 1..) = stderr.read(&mut bytes) {
                    log.lock().unwrap().push_str(&String::from_utf8_lossy(&bytes[..count]));
                }
            }
        });
        Ours { child, log, reader: Some(reader) }
    }

    fn log(&self) -> String {
        self.log.lock().unwrap().clone()
    }

    #[track_caller]
    fn expect(&self, words: &str) -> String {
        let start = Instant::now();
        while !self.log().contains(words) {
            assert!(start.elapsed() < PATIENCE, "not said: {words:?}; it said: {}", self.log());
            std::thread::sleep(Duration::from_millis(10));
        }
        self.log()
    }

    fn address(&self) -> String {
        let log = self.expect("listening on ");
        let line = log.lines().find(|line| line.contains("listening on ")).unwrap().to_string();
        line.rsplit_once("listening on ").unwrap().1.trim().to_string()
    }

    /// Ends it as Ctrl-C does; all it said.
    fn end(mut self) -> String {
        let pid = rustix::process::Pid::from_child(&self.child);
        rustix::process::kill_process(pid, rustix::process::Signal::INT).unwrap();
        assert!(self.child.wait().unwrap().success());
        self.reader.take().unwrap().join().unwrap();
        self.log()
    }
}

impl Drop for Ours {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

#[test]
fn our_relay_does_what_socat_does() {
    let mut guest = boot(&Boot { hgfs: Hgfs::Loaded, link: Link::Unix, ..Boot::default() });
    let address = guest.address().to_string();
    let relay = Ours::start(&address);
    let relayed = relay.address();
    guest.shell().unwrap().break_in().unwrap();
    // Nobody is connected yet: who reads it knows what to do.
    relay.expect("the guest is stopped (kdb prompt); connect a debugger");
    let (ours, our_times) = debug(&mut guest, &relayed);
    relay.expect("has left");
    let log = relay.end();
    // It saw what went over it.
    assert!(log.contains(" is connected"), "{log}");
    let totals = log.lines().find(|line| line.ends_with(" packets")).unwrap_or_default();
    let packets = totals.split_whitespace().nth_back(1).and_then(|count| count.parse::<u64>().ok());
    assert!(packets.is_some_and(|count| count > 50), "{log}");
    println!("{totals}");

    guest.shell().unwrap().break_in().unwrap();
    let socat = Relay::start(address.trim_start_matches("unix:").into()).unwrap();
    let (theirs, their_times) = debug(&mut guest, &format!("127.0.0.1:{}", socat.port()));
    assert_eq!(ours, theirs);
    assert_eq!(ours.places[0].0, "HgfsSendRequest");
    assert_eq!(ours.places.len(), 4);
    println!("next, three times, seconds: through our relay {our_times:?}, socat {their_times:?}");
}
