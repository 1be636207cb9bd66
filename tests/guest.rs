//! The test guest itself: it boots in every way, and its kgdb answers.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

mod support {
    pub mod guest;
    pub mod tools;
}

use std::io::{Read, Write};
use std::net::TcpStream;
use std::os::unix::net::UnixStream;
use std::time::{Duration, Instant};

use kgdb_tui::demo::guest::{BOOT_PATIENCE, Boot, Hgfs, Link, Mode};
use support::guest::{LockedGuest, boot};

/// Where the kernel is linked to, and runs with `nokaslr`.
const LINKED_AT: u64 = 0xffff_ffff_8100_0000;
const ANSWER: Duration = Duration::from_secs(20);

trait Stream: Read + Write {}
impl<T: Read + Write> Stream for T {}

/// A client of the kgdb port that knows nothing but bytes.
struct Port {
    stream: Box<dyn Stream>,
    heard: Vec<u8>,
}

impl Port {
    fn connect(address: &str) -> Port {
        let short = Some(Duration::from_millis(200));
        let stream: Box<dyn Stream> = if let Some(path) = address.strip_prefix("unix:") {
            let stream = UnixStream::connect(path).unwrap();
            stream.set_read_timeout(short).unwrap();
            Box::new(stream)
        } else {
            let stream =
                TcpStream::connect(address.strip_prefix("telnet:").unwrap_or(address)).unwrap();
            stream.set_read_timeout(short).unwrap();
            Box::new(stream)
        };
        Port { stream, heard: Vec::new() }
    }

    fn send(&mut self, bytes: &[u8]) {
        self.stream.write_all(bytes).unwrap();
    }

    /// Reads until a text comes, and forgets what came up to its end.
    fn expect(&mut self, text: &str, patience: Duration) {
        self.expect_any(&[text], patience);
    }

    /// The same with the first of some texts, and says which it was.
    fn expect_any<'a>(&mut self, texts: &[&'a str], patience: Duration) -> &'a str {
        let end = Instant::now() + patience;
        loop {
            for text in texts {
                let at = self.heard.windows(text.len()).position(|part| part == text.as_bytes());
                if let Some(at) = at {
                    self.heard.drain(..at + text.len());
                    return text;
                }
            }
            let said = String::from_utf8_lossy(&self.heard);
            assert!(Instant::now() < end, "none of {texts:?} in {said:?}");
            let mut bytes = [0; 1024];
            match self.stream.read(&mut bytes) {
                Ok(0) => panic!("the port was closed after {said:?}"),
                Ok(count) => self.heard.extend_from_slice(&bytes[..count]),
                Err(error) => assert!(
                    matches!(
                        error.kind(),
                        std::io::ErrorKind::WouldBlock | std::io::ErrorKind::TimedOut
                    ),
                    "{error}"
                ),
            }
        }
    }

    /// Asks the stopped kernel why it stopped, and lets it go.
    fn knock_and_detach(&mut self, signal: &str) {
        self.send(b"$?#3f");
        self.expect(signal, ANSWER);
        self.send(b"+$D#44");
        self.expect("+$OK#9a", ANSWER);
        self.send(b"+");
    }
}

fn run(guest: &mut LockedGuest, command: &str) -> String {
    let output = guest.shell().unwrap().run(command).unwrap();
    assert_eq!(output.status, 0, "{command}: {}", output.text);
    output.text
}

fn text_address(guest: &mut LockedGuest) -> u64 {
    let line = run(guest, "grep ' _text$' /proc/kallsyms");
    u64::from_str_radix(line.split_whitespace().next().unwrap(), 16).unwrap()
}

/// Stops a running guest from its shell, and lets it go again.
fn stop_and_go(guest: &mut LockedGuest, port: &mut Port) {
    let shell = guest.shell().unwrap();
    shell.break_in().unwrap();
    // The first stop shows a kdb prompt on the port; once a debugger has been
    // there, a stop is silent.
    shell.expect("sysrq: DEBUG", ANSWER).unwrap();
    port.knock_and_detach("+$S05#b8");
    assert_eq!(run(guest, "echo alive"), "alive\n");
}

#[test]
fn running_behind_socat_without_kaslr() {
    let start = Instant::now();
    let mut guest = boot(&Boot { kaslr: false, ..Boot::default() });
    eprintln!("boot and lock: {:.2} s", start.elapsed().as_secs_f64());
    assert_eq!(run(&mut guest, "uname -r"), "6.1.192-kgdbtui\n");
    assert_eq!(run(&mut guest, "nproc"), "2\n");
    assert_eq!(text_address(&mut guest), LINKED_AT);

    run(&mut guest, "insmod /lib/modules/hgfs.ko");
    assert!(run(&mut guest, "cat /proc/hgfs").starts_with("hello "));
    assert!(run(&mut guest, "cat /sys/module/hgfs/sections/.text").starts_with("0xffffffffc0"));
    run(&mut guest, "echo 'read motd' > /proc/hgfs");
    assert!(guest.shell().unwrap().log().contains("hgfs: motd: Be kind"));
    // One sleeps in the module until another wakes it; errors are errors.
    run(
        &mut guest,
        "(echo wait > /proc/hgfs && echo woke > /tmp/woke) & sleep 1; test ! -e /tmp/woke",
    );
    run(&mut guest, "echo wake > /proc/hgfs; wait; cat /tmp/woke");
    let absent = guest.shell().unwrap().run("echo 'open nothing' > /proc/hgfs").unwrap();
    assert_eq!(absent.status, 1);
    assert!(guest.shell().unwrap().log().contains("hgfs: cannot open nothing: error 2"));
    run(&mut guest, "rmmod hgfs");
    run(&mut guest, "insmod /lib/modules/fuse.ko && insmod /lib/modules/dummy.ko");

    let mut port = Port::connect(guest.address());
    stop_and_go(&mut guest, &mut port);

    // A relay that goes away and comes back, on the same port.
    guest.relay().unwrap().restart().unwrap();
    let mut port = Port::connect(guest.address());
    stop_and_go(&mut guest, &mut port);
    drop(port);
    guest.relay().unwrap().wait_listening().unwrap();
    let mut port = Port::connect(guest.address());
    stop_and_go(&mut guest, &mut port);
}

#[test]
fn running_on_a_unix_socket_with_kaslr() {
    // One boot in some hundreds lands where the kernel is linked to.
    let moved = (0..3).any(|_| {
        let mut guest = boot(&Boot { link: Link::Unix, ..Boot::default() });
        let mut port = Port::connect(guest.address());
        stop_and_go(&mut guest, &mut port);
        text_address(&mut guest) != LINKED_AT
    });
    assert!(moved);
}

fn wait_mode(kaslr: bool) {
    let mut guest = boot(&Boot { mode: Mode::Wait, kaslr, hgfs: Hgfs::Busy, ..Boot::default() });
    assert!(guest.shell().unwrap().log().contains("KGDB: Waiting for connection"));
    let mut port = Port::connect(guest.address());
    port.knock_and_detach("+$S05#b8");
    let shell = guest.shell().unwrap();
    shell.expect("guest ready", BOOT_PATIENCE).unwrap();
    if !kaslr {
        assert_eq!(text_address(&mut guest), LINKED_AT);
    }
    let requests = run(&mut guest, "sleep 3; cat /proc/hgfs | grep requests");
    let count: u32 = requests.split_whitespace().last().unwrap().parse().unwrap();
    assert!(count >= 2, "somebody reads /proc/hgfs: {requests}");
}

#[test]
fn waiting_at_boot_without_kaslr() {
    wait_mode(false);
}

#[test]
fn waiting_at_boot_with_kaslr() {
    wait_mode(true);
}

fn shared_mode(kaslr: bool) {
    let mut guest = boot(&Boot {
        mode: Mode::Shared,
        link: Link::Telnet,
        kaslr,
        hgfs: Hgfs::Loaded,
        ..Boot::default()
    });
    assert!(guest.shell().is_none());
    let mut port = Port::connect(guest.address());
    port.expect("guest ready", BOOT_PATIENCE);
    port.expect("# ", ANSWER);
    // Telnet's BREAK, then the sysrq key.
    port.send(b"\xff\xf3g");
    port.expect("kdb> ", ANSWER);
    port.knock_and_detach("+$S05#b8");
    port.send(b"echo a'live'\n");
    port.expect("\nalive", ANSWER);
    port.send(b"poweroff -f\n");
    let end = Instant::now() + ANSWER;
    while guest.is_running() {
        assert!(Instant::now() < end, "the guest did not power off");
        std::thread::sleep(Duration::from_millis(20));
    }
}

#[test]
fn one_shared_port_without_kaslr() {
    shared_mode(false);
}

#[test]
fn one_shared_port_with_kaslr() {
    shared_mode(true);
}

#[test]
fn the_bug_stops_the_kernel_and_a_reboot_comes_back() {
    let mut guest = boot(&Boot { hgfs: Hgfs::Loaded, ..Boot::default() });
    let mut port = Port::connect(guest.address());
    guest.shell().unwrap().send_line("(echo bug > /proc/hgfs) &").unwrap();
    port.expect("Entering kdb", ANSWER);
    // kdb prints the oops a page at a time.
    while port.expect_any(&["more> ", "kdb> "], ANSWER) == "more> " {
        port.send(b"q");
    }
    port.send(b"$?#3f");
    port.expect("+$S0b#e5", ANSWER);
    // Detach, and let the kernel deal with the exception; with a plain D it
    // would run into it again.
    port.send(b"+$C15#a9");
    port.expect("+", ANSWER);

    // The task that made the mistake holds a lock, but the kernel lives.
    let shell = guest.shell().unwrap();
    shell.expect("HgfsForgetFile", ANSWER).unwrap();
    shell.send_line("reboot -f").unwrap();
    shell.expect("guest ready", BOOT_PATIENCE).unwrap();
    assert_eq!(run(&mut guest, "uname -r"), "6.1.192-kgdbtui\n");
}
