//! `kgdb-tui relay`: the program itself between real sockets, with socat and
//! ours as clients.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

#[path = "support"]
mod support {
    pub mod tools;
}

use std::{
    fs,
    io::{Read, Write},
    net::{TcpListener, TcpStream},
    os::unix::net::{UnixListener, UnixStream},
    path::Path,
    process::{Child, Command, Stdio},
    sync::{Arc, Mutex},
    thread::JoinHandle,
    time::{Duration, Instant},
};

const PATIENCE: Duration = Duration::from_secs(60);

/// The running relay, and what it says.
struct Relay {
    child: Child,
    out: Arc<Mutex<String>>,
    log: Arc<Mutex<String>>,
    readers: Vec<JoinHandle<()>>,
}

fn collect(mut from: impl Read + Send + 'static) -> (Arc<Mutex<String>>, JoinHandle<()>) {
    let text = Arc::new(Mutex::new(String::new()));
    let reader = std::thread::spawn({
        let text = Arc::clone(&text);
        move || {
            let mut bytes = [0; 1024];
            while let Ok(count @ 1..) = from.read(&mut bytes) {
                text.lock().unwrap().push_str(&String::from_utf8_lossy(&bytes[..count]));
            }
        }
    });
    (text, reader)
}

impl Relay {
    fn start(args: &[&str]) -> Relay {
        let mut child = Command::new(env!("CARGO_BIN_EXE_kgdb-tui"))
            .arg("relay")
            .args(args)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let (out, reading_out) = collect(child.stdout.take().unwrap());
        let (log, reading_log) = collect(child.stderr.take().unwrap());
        Relay { child, out, log, readers: vec![reading_out, reading_log] }
    }

    fn log(&self) -> String {
        self.log.lock().unwrap().clone()
    }

    fn out(&self) -> String {
        self.out.lock().unwrap().clone()
    }

    /// Waits until it has said something so often.
    #[track_caller]
    fn expect(&self, words: &str, times: usize) -> String {
        let start = Instant::now();
        while self.log().matches(words).count() < times {
            assert!(start.elapsed() < PATIENCE, "not said: {words:?}; it said: {}", self.log());
            std::thread::sleep(Duration::from_millis(10));
        }
        self.log()
    }

    /// Waits until it has shown something of the guest.
    #[track_caller]
    fn expect_out(&self, text: &str) {
        let start = Instant::now();
        while !self.out().contains(text) {
            assert!(start.elapsed() < PATIENCE, "not shown: {text:?}; shown: {}", self.out());
            std::thread::sleep(Duration::from_millis(10));
        }
    }

    /// The address it listens on for the `times`th time.
    fn address(&self, times: usize) -> String {
        let log = self.expect("listening on ", times);
        let line = log.lines().filter(|line| line.contains("listening on ")).nth(times - 1);
        line.unwrap().rsplit_once("listening on ").unwrap().1.trim().to_owned()
    }

    /// Ends it with a signal, and gives its exit status.
    fn end(mut self, signal: &str) -> (Option<i32>, String, String) {
        let kill = format!("kill -{signal} {}", self.child.id());
        assert!(Command::new("sh").args(["-c", &kill]).status().unwrap().success());
        self.finish()
    }

    fn finish(&mut self) -> (Option<i32>, String, String) {
        let status = self.child.wait().unwrap().code();
        for reader in self.readers.drain(..) {
            reader.join().unwrap();
        }
        (status, self.out(), self.log())
    }
}

impl Drop for Relay {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// The other end of a unix socket that plays the guest's serial port.
struct Port {
    listener: UnixListener,
    path: String,
}

impl Port {
    fn create(dir: &Path) -> Port {
        let path = dir.join("com_guest");
        let _ = fs::remove_file(&path);
        Port { listener: UnixListener::bind(&path).unwrap(), path: path.display().to_string() }
    }

    fn accept(&self) -> UnixStream {
        let (stream, _) = self.listener.accept().unwrap();
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        stream
    }
}

fn connect(address: &str) -> TcpStream {
    let client = TcpStream::connect(address).unwrap();
    client.set_nodelay(true).unwrap();
    client.set_read_timeout(Some(PATIENCE)).unwrap();
    client
}

fn pass(from: &mut impl Write, to: &mut impl Read, bytes: &[u8]) {
    from.write_all(bytes).unwrap();
    let mut came = vec![0; bytes.len()];
    to.read_exact(&mut came).unwrap();
    assert_eq!(came, bytes);
}

/// Everything until the other end closes.
fn rest(from: &mut impl Read) -> String {
    let mut text = Vec::new();
    let _ = from.read_to_end(&mut text);
    String::from_utf8_lossy(&text).into_owned()
}

#[test]
fn a_day_of_a_relay() {
    let dir = tempfile::tempdir().unwrap();
    let port = Port::create(dir.path());
    let from = format!("unix:{}", port.path);
    let record = dir.path().join("record.txt");
    let relay = Relay::start(&[&from, "tcp-listen:0", "--record", &record.display().to_string()]);
    let mut guest = port.accept();
    let address = relay.address(1);
    assert!(address.starts_with("127.0.0.1:"), "{address}");

    // Nobody is connected: what the guest says is shown, and a stop is told.
    guest.write_all(b"booting\r\n$T05thread:01;#07").unwrap();
    relay.expect("the guest is stopped", 1);
    relay.expect_out("booting\n");
    assert_eq!(relay.out(), "booting\n");

    let mut client = connect(&address);
    relay.expect("is connected", 1);
    pass(&mut client, &mut guest, b"$?#3f");
    pass(&mut guest, &mut client, b"+$S05#b8");
    // Bytes of any value pass as they are, in order.
    let all: Vec<u8> = (0..40_000u32).map(|n| (n * 7 % 251) as u8).collect();
    pass(&mut client, &mut guest, &all);
    pass(&mut guest, &mut client, &all);

    // A second one is told, and disturbs nobody.
    let words = rest(&mut connect(&address));
    assert!(words.contains("has this line") && words.contains("127.0.0.1:"), "{words}");
    pass(&mut client, &mut guest, b"+$g#67");

    // The client leaves, the guest stays, the next one comes.
    drop(client);
    relay.expect("has left", 1);
    guest.write_all(b"between\r\n").unwrap();
    relay.expect_out("between\n");
    let mut client = connect(&address);
    relay.expect("is connected", 2);
    pass(&mut client, &mut guest, b"$qC#b4");

    // The guest's end goes: the client knows, and nobody can come in.
    drop(guest);
    assert_eq!(rest(&mut client), "");
    relay.expect("is gone", 1);
    drop(port);
    let start = Instant::now();
    while TcpStream::connect(&address).is_ok() {
        assert!(start.elapsed() < PATIENCE);
        std::thread::sleep(Duration::from_millis(10));
    }
    relay.expect("trying again until it is there", 1);

    // It comes back by itself, on the same port.
    let port = Port::create(dir.path());
    let mut guest = port.accept();
    assert_eq!(relay.address(2), address);
    let mut client = connect(&address);
    pass(&mut client, &mut guest, b"$?#3f");
    pass(&mut guest, &mut client, b"+$S05#b8");

    let (status, out, log) = relay.end("TERM");
    assert_eq!(status, Some(0), "{log}");
    assert!(out.contains("between\n"), "{out}");
    assert!(log.contains("ended by SIGTERM") && log.contains("packets"), "{log}");
    let record = fs::read_to_string(record).unwrap();
    assert!(record.contains("rx booting") && record.ends_with("rx +$S05#b8\n"), "{record}");
}

#[test]
fn socat_is_a_client_too_and_a_socket_can_be_listened_on() {
    let dir = tempfile::tempdir().unwrap();
    let port = Port::create(dir.path());
    let line = dir.path().join("line").display().to_string();
    let to = format!("unix-listen:{line}");
    // The bare path: by what it is.
    let relay = Relay::start(&[&port.path, &to]);
    let mut guest = port.accept();
    assert_eq!(relay.address(1), line);
    let mut socat = support::tools::tool("socat")
        .args(["-", &format!("UNIX-CONNECT:{line}")])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let (mut to_line, mut of_line) = (socat.stdin.take().unwrap(), socat.stdout.take().unwrap());
    pass(&mut to_line, &mut guest, b"$?#3f");
    pass(&mut guest, &mut of_line, b"+$S05#b8");
    let (status, _, log) = relay.end("INT");
    assert_eq!(status, Some(0), "{log}");
    assert!(log.contains("SIGINT"), "{log}");
    assert!(!Path::new(&line).exists(), "the socket is gone with the relay");
    assert_eq!(rest(&mut of_line), "");
    drop(to_line);
    socat.wait().unwrap();
}

#[test]
fn what_can_not_be() {
    let dir = tempfile::tempdir().unwrap();
    let port = Port::create(dir.path());
    let from = format!("unix:{}", port.path);
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let to = format!("tcp-listen:{}", taken.local_addr().unwrap().port());
    let file = dir.path().join("file");
    fs::write(&file, "text").unwrap();
    let file = format!("unix:{}", file.display());
    for (args, words, code) in [
        ([from.as_str(), to.as_str()], "another program listens there", 1),
        ([file.as_str(), "tcp-listen:0"], "it must be a socket or a tty", 1),
        (["nowhere", "tcp-listen:0"], "has no port", 2),
        ([from.as_str(), "9999"], "tcp-listen:9999", 2),
    ] {
        let mut relay = Relay::start(&args);
        let (status, _, log) = relay.finish();
        assert_eq!(status, Some(code), "{log}");
        assert!(log.contains(words), "{log}");
    }
}

#[test]
fn other_machines_are_let_in_only_aloud() {
    let dir = tempfile::tempdir().unwrap();
    let port = Port::create(dir.path());
    let from = format!("unix:{}", port.path);
    let relay = Relay::start(&[&from, "tcp-listen:127.0.0.2:0"]);
    let _guest = port.accept();
    assert!(relay.address(1).starts_with("127.0.0.2:"));
    assert!(!relay.log().contains("WARNING"));
    drop(relay);
    // Not really: an address of the documentation, which no machine has.
    let mut relay = Relay::start(&[&from, "tcp-listen:192.0.2.1:0"]);
    let (status, _, log) = relay.finish();
    assert_eq!(status, Some(1));
    assert!(log.contains("does not have that address"), "{log}");
}

/// What one exchange of `g` costs behind a relay: the request in one piece, the
/// ack and the answer in two, as QEMU's UART and kgdb have it.
fn exchanges(address: &str, rounds: u32) -> Duration {
    let mut client = connect(address);
    let start = Instant::now();
    for _ in 0..rounds {
        client.write_all(b"$g#67").unwrap();
        let mut answer = [0; 317];
        client.read_exact(&mut answer).unwrap();
        client.write_all(b"+").unwrap();
    }
    start.elapsed() / rounds
}

/// Answers each `$g#67` byte by byte, as a UART does.
fn answer(port: Port) -> JoinHandle<()> {
    std::thread::spawn(move || {
        while let Ok((mut guest, _)) = port.listener.accept() {
            let mut byte = [0];
            let mut request = Vec::new();
            while let Ok(1..) = guest.read(&mut byte) {
                request.push(byte[0]);
                if request.ends_with(b"$g#67") {
                    request.clear();
                    let _ = guest.write_all(b"+");
                    for piece in vec![b'x'; 316].chunks(16) {
                        if guest.write_all(piece).is_err() {
                            break;
                        }
                        std::thread::sleep(Duration::from_micros(100));
                    }
                } else if request == b"END" {
                    return;
                }
            }
        }
    })
}

/// Beside socat, with a client that is as careless as most are: no quick acks.
#[test]
fn an_exchange_costs_less_than_behind_socat() {
    let rounds = 30;
    let dir = tempfile::tempdir().unwrap();
    let port = Port::create(dir.path());
    let path = port.path.clone();
    let guest = answer(port);
    let relay = Relay::start(&[&path, "tcp-listen:0"]);
    let ours = exchanges(&relay.address(1), rounds);
    relay.end("TERM");

    let number = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let listen = format!("tcp-listen:{number},bind=127.0.0.1");
    let address = format!("127.0.0.1:{number}");
    let mut socat = support::tools::tool("socat")
        .args([&listen, &format!("unix:{path}")])
        .stdin(Stdio::null())
        .spawn()
        .unwrap();
    let start = Instant::now();
    while !listens(number) {
        assert!(start.elapsed() < PATIENCE);
        std::thread::sleep(Duration::from_millis(20));
    }
    let theirs = exchanges(&address, rounds);
    socat.kill().unwrap();
    socat.wait().unwrap();
    let mut last = UnixStream::connect(&path).unwrap();
    last.write_all(b"END").unwrap();
    guest.join().unwrap();
    println!("one exchange of 322 bytes: relay {ours:?}, socat {theirs:?}");
    assert!(ours < Duration::from_millis(20) && ours < theirs, "{ours:?}, socat {theirs:?}");
}

/// Whether a TCP port of this machine listens, without connecting to it.
fn listens(port: u16) -> bool {
    let local = format!(":{port:04X}");
    fs::read_to_string("/proc/net/tcp").unwrap_or_default().lines().any(|line| {
        let mut words = line.split_whitespace().skip(1);
        words.next().is_some_and(|word| word.ends_with(&local)) && words.nth(1) == Some("0A")
    })
}
