//! A stopped test guest for the pure layers: boots it, stops it, and answers
//! reads with plain `m` packets, one at a time. No debugger of ours between,
//! so that what fails here is the layer under test.

use crate::support::guest::{LockedGuest, boot};
use kgdb_tui::{
    arch::{Registers, x86_64::X86_64},
    base::{
        addr::Addr,
        memory::{Gap, Memory, Span, Sparse},
    },
    demo::guest::{BOOT_PATIENCE, Boot, Link, Mode},
};
use std::{
    cell::RefCell,
    fmt::Write as _,
    io::{Read, Write},
    os::unix::net::UnixStream,
    path::Path,
    thread::sleep,
    time::Duration,
};

/// A running guest; ends with this value.
pub struct Guest {
    guest: LockedGuest,
    wire: RefCell<Wire>,
}

struct Wire {
    stream: UnixStream,
    known: Sparse,
    console: String,
    packets: u32,
    bytes: u64,
}

/// How long the stub may take: it answers late after an oops, whose text is
/// printed first.
const ANSWER: Duration = Duration::from_secs(90);
/// How long the shell may take.
const SHELL: Duration = Duration::from_secs(60);

fn connect(guest: &LockedGuest) -> UnixStream {
    let socket = guest.address().strip_prefix("unix:").expect("the link is a socket");
    let stream = UnixStream::connect(socket).unwrap();
    stream.set_read_timeout(Some(ANSWER)).unwrap();
    stream
}

impl Guest {
    /// Boots with `words` on the command line, up to the shell; with
    /// `kgdbwait` up to where the kernel waits.
    pub fn boot(words: &str) -> Guest {
        let wait = words.contains("kgdbwait");
        let mode = if wait { Mode::Wait } else { Mode::Running };
        let append = words.replace("kgdbwait", "");
        let mut guest = boot(&Boot { mode, link: Link::Unix, append, ..Boot::default() });
        let stream = connect(&guest);
        if wait {
            // Until the stub reads.
            sleep(Duration::from_millis(300));
        } else {
            guest.shell().unwrap().expect("# ", BOOT_PATIENCE).unwrap();
        }
        let wire =
            Wire { stream, known: Sparse::new(), console: String::new(), packets: 0, bytes: 0 };
        Guest { guest, wire: RefCell::new(wire) }
    }

    /// Gives the line up to another debugger, and takes it again after.
    pub fn lend_line<T>(&self, use_it: impl FnOnce(&Path) -> T) -> T {
        self.wire.borrow().stream.shutdown(std::net::Shutdown::Both).unwrap();
        let socket = self.guest.address().strip_prefix("unix:").expect("the link is a socket");
        let result = use_it(Path::new(socket));
        self.wire.borrow_mut().stream = connect(&self.guest);
        result
    }

    /// Types a line in the guest's shell.
    pub fn shell(&mut self, line: &str) {
        self.guest.shell().unwrap().send_line(line).unwrap();
    }

    /// What the shell prints, up to and with `wanted`.
    pub fn shell_until(&mut self, wanted: &str) -> String {
        self.guest.shell().unwrap().expect(wanted, SHELL).unwrap()
    }

    /// Stops the running guest by sysrq, as an interrupt of the serial port.
    pub fn break_in(&mut self) {
        self.shell("echo g > /proc/sysrq-trigger");
        sleep(Duration::from_millis(300));
        self.knock();
    }

    /// Makes the stub at a kdb prompt listen.
    pub fn knock(&self) {
        let mut wire = self.wire.borrow_mut();
        for _ in 0..2 {
            wire.stream.write_all(b"$?#3f").unwrap();
            sleep(Duration::from_millis(300));
        }
        wire.stream.set_nonblocking(true).unwrap();
        let _ = wire.stream.read(&mut [0; 65536]);
        wire.stream.set_nonblocking(false).unwrap();
        wire.stream.write_all(b"+").unwrap();
        drop(wire);
        let signal = self.ask("?");
        assert!(signal.starts_with('S'), "{signal}");
    }

    /// One request, one reply.
    pub fn ask(&self, request: &str) -> String {
        self.wire.borrow_mut().ask(request)
    }

    /// What a command of kdb prints.
    pub fn monitor(&self, command: &str) -> String {
        let digits = command.bytes().fold(String::new(), |mut text, byte| {
            let _ = write!(text, "{byte:02x}");
            text
        });
        let mut wire = self.wire.borrow_mut();
        wire.console.clear();
        assert_eq!(wire.ask(&format!("qRcmd,{digits}")), "OK");
        std::mem::take(&mut wire.console)
    }

    /// Goes on with a breakpoint at `addr` and stops there.
    pub fn run_to(&self, addr: Addr) {
        // A breakpoint where it stands would stop it on the spot.
        if self.registers().pc() == Some(addr) {
            let stop = self.ask("s");
            assert!(stop.starts_with("T05"), "{stop}");
        }
        assert_eq!(self.ask(&format!("Z0,{:x},1", addr.0)), "OK");
        let stop = self.ask("c");
        assert!(stop.starts_with("T05"), "{stop}");
        assert_eq!(self.ask(&format!("z0,{:x},1", addr.0)), "OK");
        self.forget();
        let pc: String = addr.0.to_le_bytes().iter().fold(String::new(), |mut s, b| {
            let _ = write!(s, "{b:02x}");
            s
        });
        assert_eq!(self.ask(&format!("P10={pc}")), "OK");
    }

    /// Forgets the memory of the last stop, and its cost.
    pub fn forget(&self) {
        let mut wire = self.wire.borrow_mut();
        wire.known.clear();
        (wire.packets, wire.bytes) = (0, 0);
    }

    /// The registers of the stopped task.
    pub fn registers(&self) -> Registers {
        Registers::from_g(&X86_64, &from_hex(&self.ask("g")).unwrap())
    }

    /// Packets and bytes of memory read since the last stop.
    pub fn cost(&self) -> (u32, u64) {
        let wire = self.wire.borrow();
        (wire.packets, wire.bytes)
    }
}

fn from_hex(text: &str) -> Option<Vec<u8>> {
    (0..text.len() / 2).map(|i| u8::from_str_radix(text.get(2 * i..2 * i + 2)?, 16).ok()).collect()
}

impl Wire {
    fn ask(&mut self, request: &str) -> String {
        let sum = request.bytes().fold(0u8, u8::wrapping_add);
        self.stream.write_all(format!("${request}#{sum:02x}").as_bytes()).unwrap();
        loop {
            let mut reply = Vec::new();
            while self.byte() != b'$' {}
            loop {
                match self.byte() {
                    b'#' => break,
                    byte => reply.push(byte),
                }
            }
            self.byte();
            self.byte();
            self.stream.write_all(b"+").unwrap();
            let reply = String::from_utf8_lossy(&reply).into_owned();
            match reply.strip_prefix('O').filter(|rest| *rest != "K") {
                Some(text) => {
                    let text = from_hex(text).expect("console text is hexadecimal");
                    self.console.push_str(&String::from_utf8_lossy(&text));
                }
                None => return reply,
            }
        }
    }

    fn byte(&mut self) -> u8 {
        let mut byte = [0];
        self.stream.read_exact(&mut byte).expect("the stub answers");
        byte[0]
    }
}

impl Memory for Guest {
    fn read(&self, addr: Addr, buf: &mut [u8]) -> Result<(), Gap> {
        let mut wire = self.wire.borrow_mut();
        let mut done = 0;
        while done < buf.len() {
            let at = addr.offset(done as u64);
            let len = (buf.len() - done).min(504).min((4096 - at.0 % 4096) as usize);
            let piece = &mut buf[done..done + len];
            match wire.known.read(at, piece) {
                Ok(()) => {}
                Err(Gap::Fault(_)) => return Err(Gap::Fault(Span::new(addr, buf.len() as u64))),
                Err(unrecorded @ Gap::Unrecorded(_)) => return Err(unrecorded),
                Err(Gap::Missing(_)) => {
                    wire.packets += 1;
                    wire.bytes += len as u64;
                    let reply = wire.ask(&format!("m{:x},{len:x}", at.0));
                    match from_hex(&reply).filter(|bytes| bytes.len() == len) {
                        Some(bytes) => {
                            wire.known.insert(at, &bytes);
                            piece.copy_from_slice(&bytes);
                        }
                        None => {
                            wire.known.insert_fault(at);
                            return Err(Gap::Fault(Span::new(addr, buf.len() as u64)));
                        }
                    }
                }
            }
            done += len;
        }
        Ok(())
    }
}
