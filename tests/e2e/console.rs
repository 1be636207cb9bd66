//! The guest's console on the line that kgdb has too: typed into, heard by other
//! programs, written to a file, and told apart from packets.

use crate::facts::setup;
use crate::support::{
    batch::{Batch, Gate},
    guest::{boot, built},
    tools::tool,
    typist::Typist,
};
use kgdb_tui::demo::guest::{Boot, Hgfs, Link, Mode};
use serde_json::Value;
use std::{
    fs,
    io::{Read, Write},
    net::{TcpListener, TcpStream},
    process::{Child, Command, Output, Stdio},
    time::{Duration, Instant},
};

/// Longer than anything here takes on a busy machine.
const PATIENCE: Duration = Duration::from_secs(120);

/// A port that was free a moment ago.
pub fn free_port() -> u16 {
    TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port()
}

/// A terminal on the console port.
pub struct Attached {
    stream: TcpStream,
    heard: String,
}

impl Attached {
    /// Attaches as soon as the port is there.
    pub fn new(port: u16) -> Attached {
        let start = Instant::now();
        loop {
            match TcpStream::connect(("127.0.0.1", port)) {
                Ok(stream) => {
                    stream.set_read_timeout(Some(Duration::from_millis(100))).unwrap();
                    return Attached { stream, heard: String::new() };
                }
                Err(error) => assert!(start.elapsed() < PATIENCE, "{error}"),
            }
            std::thread::sleep(Duration::from_millis(20));
        }
    }

    fn types(&mut self, text: &str) {
        self.stream.write_all(text.as_bytes()).unwrap();
    }

    /// Waits for a text that comes from now on; gives what came up to it.
    #[track_caller]
    fn expect(&mut self, text: &str) -> String {
        self.expect_within(text, PATIENCE)
            .unwrap_or_else(|| panic!("no {text:?} in {:?}", self.heard))
    }

    /// Types a line, after taking back what stands there, until a text comes for it:
    /// the guest may not run yet, or its shell ask the terminal something.
    #[track_caller]
    pub fn types_until(&mut self, line: &str, text: &str) {
        let start = Instant::now();
        while start.elapsed() < PATIENCE {
            self.types(&format!("\x15{line}\r"));
            if self.expect_within(text, Duration::from_secs(3)).is_some() {
                return;
            }
        }
        panic!("no {text:?} for {line:?} in {:?}", self.heard);
    }

    fn expect_within(&mut self, text: &str, patience: Duration) -> Option<String> {
        let start = Instant::now();
        let mut bytes = [0; 4096];
        loop {
            if let Some(at) = self.heard.find(text) {
                return Some(self.heard.drain(..at + text.len()).collect());
            }
            if start.elapsed() > patience {
                return None;
            }
            match self.stream.read(&mut bytes) {
                Ok(0) => panic!("closed without {text:?}: {:?}", self.heard),
                Ok(count) => self.heard += &String::from_utf8_lossy(&bytes[..count]),
                Err(_) => {}
            }
        }
    }
}

/// A gdb that attaches to the port, and what it is to do then.
pub fn gdb_at(port: u16, commands: &[&str]) -> Command {
    let mut gdb = tool("gdb");
    gdb.args(["-q", "-nx", "-batch"]).env("LC_ALL", "C");
    let target = format!("target remote 127.0.0.1:{port}");
    let file = format!("file {}", built().vmlinux.display());
    let first = ["set pagination off", "set width 0", "set confirm off", &file, &target];
    first.iter().chain(commands).for_each(|command| {
        gdb.args(["-ex", command]);
    });
    gdb.stdin(Stdio::null());
    gdb
}

/// Longer than a gdb takes on a busy machine.
const LATER: Duration = Duration::from_secs(180);

/// The end of a gdb, which is not waited for without end.
#[track_caller]
pub fn ended(gdb: Child) -> Output {
    let id = gdb.id();
    let (sender, output) = std::sync::mpsc::channel();
    std::thread::spawn(move || sender.send(gdb.wait_with_output()));
    output.recv_timeout(LATER).map_or_else(
        |_| {
            let killed = Command::new("sh").args(["-c", &format!("kill -9 {id}")]).status();
            let output = output.recv();
            panic!("gdb did not end ({killed:?}): {output:?}");
        },
        Result::unwrap,
    )
}

/// What a gdb prints that attaches to the port.
pub fn gdb(port: u16, commands: &[&str]) -> String {
    let mut gdb = gdb_at(port, commands);
    let output = ended(gdb.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap());
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    text(&output.stdout) + &text(&output.stderr)
}

fn packets(link: &Value) -> u64 {
    link["packets"].as_u64().unwrap_or_else(|| panic!("no packets in {link}"))
}

#[test]
fn the_console_and_kgdb_share_a_line() {
    let guest = boot(&Boot {
        mode: Mode::Shared,
        link: Link::Telnet,
        hgfs: Hgfs::Loaded,
        ..Boot::default()
    });
    Typist::new(guest.address()).ready();
    let dir = tempfile::tempdir().unwrap();
    let log = dir.path().join("console");
    let (console_port, gdb_port) = (free_port(), free_port());
    let gates: Vec<Gate> =
        (0..6).map(|number| Gate::new(dir.path(), &format!("gate{number}"))).collect();
    let mut commands: Vec<String> = Vec::new();
    let mut say = |command: &str| commands.push(command.to_string());
    // Typed, and heard by who attaches later.
    say("console echo he''llo");
    say(&gates[0].command());
    // A stop by the guest's own hand.
    say("wait 100");
    say("console echo lost");
    say("info registers rip");
    say("print jiffies");
    say("print init_task.comm");
    say("info cpus");
    say("info link");
    say(&gates[1].command());
    say("info link");
    say(&gates[2].command());
    say("info link");
    // Text that looks like packets, while the kernel runs.
    say("tbreak ksys_sync");
    say(&gates[3].command());
    say("continue");
    say("delete");
    let mut batch = setup(&guest)
        .arg("--console-log")
        .arg(&log)
        .arg("--console-port")
        .arg(console_port.to_string())
        .arg("--gdb-port")
        .arg(gdb_port.to_string())
        // All of what happens after `continue` comes before its stop.
        .arg("--timeout")
        .arg("400")
        .exs(&commands.iter().map(String::as_str).collect::<Vec<_>>())
        .start();
    let next = |batch: &mut Batch| batch.next();

    assert_eq!(batch.ok("console echo he''llo")["typed"], 13);
    let mut first = Attached::new(console_port);
    first.expect("it runs --");
    first.expect("hello\r\n");
    first.types("echo fr''om port\r");
    first.expect("from port\r\n");
    let mut second = Attached::new(console_port);
    second.expect("hello\r\n");
    second.expect("from port\r\n");
    // A kdb prompt comes up under a terminal that is attached, and is left.
    gates[0].open();
    next(&mut batch);
    first.types("echo g > /proc/sysrq-trigger\r");
    assert_eq!(batch.stop("wait 100")["function"], "kgdb_breakpoint");
    first.expect("-- stopped at kgdb_breakpoint (");
    second.expect("-- stopped at kgdb_breakpoint (");
    first.types("reboot\r");
    first.expect("thrown away: the guest is stopped");
    let refused = next(&mut batch);
    assert!(refused.error.unwrap().contains("reads nothing until it runs"));

    gdb_sees_the_same(&mut batch, gdb_port, &gates);

    batch.ok("tbreak ksys_sync");
    // Nobody's terminal is alone: the other one goes.
    drop(second);
    gates[3].open();
    next(&mut batch);
    first.types_until("echo ru''ns", "runs\r\n");
    // A gdb that comes now is sent away.
    let said = gdb(gdb_port, &[]);
    assert!(said.contains("closed") || said.contains("isconnected"), "{said}");
    let stop = r"printf '\044T05thread:01;\04307\n'";
    let others = r"printf '\044S05\043b8\n+\n-\n\044O41\043b4\n\044abc\04300\n\044\044OK\0439a\n'";
    for (number, line) in [stop, others, stop].iter().enumerate() {
        first.types_until(&format!("{line}; echo do''ne{number}"), &format!("done{number}\r\n"));
    }
    // One without anything after it for some time is asked who it is, and no stop.
    first.types("\x15printf '\\044T05thread:01;\\04307'; sleep 15; echo wo''ke\r");
    batch.expect_said("may be none");
    first.expect("woke");
    // A flood, with a stop in its middle; and it goes on after it.
    first.types_until("echo re''ady", "ready\r\n");
    first.types("\x15(sleep 1; sync) & yes kgdb-tui | head -c 300000\r");
    assert_eq!(batch.stop("continue")["function"], "ksys_sync");
    batch.ok("delete");
    let ended = batch.end();
    assert_eq!(ended.status, Some(1), "one command was refused: {}", ended.said);

    let written = fs::read_to_string(&log).unwrap();
    for text in [
        "hello\r\n",
        "from port\r\n",
        "-- stopped ",
        "at kgdb_breakpoint (",
        "-- runs ",
        "$T05thread:01;#07",
        "$S05#b8",
        "\n+\r\n-\r\n",
        "\n$abc#00\r\n$$OK#9a\r\n",
    ] {
        assert!(written.contains(text), "no {text:?} in {written:?}");
    }
    assert!(written.contains("at ksys_sync ("), "{written}");
    assert!(written.matches("\nkgdb-tui\r").count() > 100, "{}", written.len());
    // It was not rebooted, and nothing is left in it.
    let mut typist = Typist::new(guest.address());
    typist.ready();
    assert!(typist.run("cat /proc/hgfs").contains("requests "));
}

/// gdb behind the cache shows what we show, and costs no packet the second time.
#[track_caller]
fn gdb_sees_the_same(batch: &mut Batch, port: u16, gates: &[Gate]) {
    let rip = batch.ok("info registers rip");
    let jiffies = batch.ok("print jiffies");
    let comm = batch.ok("print init_task.comm");
    let cpus = batch.ok("info cpus");
    let before = packets(&batch.ok("info link"));
    let commands = [
        "info registers rip",
        "bt 3",
        "print jiffies",
        "print init_task.comm",
        "info threads",
        "x/2i $pc",
        "print jiffies",
    ];
    let said = gdb(port, &commands);
    let text = |value: &Value| value.as_str().map(str::to_string).unwrap_or_default();
    let has = |wanted: &str| assert!(said.contains(wanted), "no {wanted:?} in {said}");
    has(&text(&rip["registers"]["rip"]));
    has(&text(&jiffies["value"]));
    has("kgdb_breakpoint");
    has("CPU 0, pid ");
    has("CPU 1, pid ");
    assert!(text(&comm["value"]).contains("swapper"), "{comm}");
    has("swapper");
    assert_eq!(cpus["cpus"].as_array().unwrap().len(), 2);
    gates[1].open();
    batch.next();
    let first = packets(&batch.ok("info link"));
    let again = gdb(port, &commands);
    assert!(again.contains(&text(&jiffies["value"])), "{again}");
    gates[2].open();
    batch.next();
    let second = packets(&batch.ok("info link"));
    println!("gdb's first look: {} packets, its second: {}", first - before, second - first);
    assert_eq!(second, first, "what is known is not read again");
}

/// A file that can't be written, a port that is taken: said before anything is done.
#[test]
fn ends_that_cannot_be_had_are_said_at_once() {
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = taken.local_addr().unwrap().port().to_string();
    for (option, value, words) in [
        ("--console-port", port.as_str(), "another port may be free"),
        ("--gdb-port", port.as_str(), "another port may be free"),
        ("--console-log", "/no/such/dir/file", "/no/such/dir/file"),
        ("--gdb-port", "nonsense", "write 4000"),
    ] {
        let ended = crate::support::batch::Setup::bare()
            .arg("--connect")
            .arg("unix:/no/such/socket")
            .arg(option)
            .arg(value)
            .run();
        assert_ne!(ended.status, Some(0));
        assert!(ended.said.contains(words), "{option}: {}", ended.said);
    }
}
