//! A stopped test guest for the pure layers: boots it, stops it, and answers
//! reads with plain `m` packets, one at a time. No debugger of ours between,
//! so that what fails here is the layer under test.

use kgdb_tui::{
    arch::{Registers, x86_64::X86_64},
    base::{
        addr::Addr,
        memory::{Gap, Memory, Span, Sparse},
    },
};
use std::{
    cell::RefCell,
    fmt::Write as _,
    io::{Read, Write},
    os::unix::net::UnixStream,
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    sync::{Mutex, MutexGuard, PoisonError},
    thread::sleep,
    time::{Duration, Instant},
};

/// The test guest's directory.
pub fn guest_dir() -> PathBuf {
    let home = std::env::var_os("HOME").expect("HOME is set");
    let cache = std::env::var_os("XDG_CACHE_HOME")
        .map_or(PathBuf::from(home).join(".cache"), PathBuf::from);
    let guest = cache.join("kgdb-tui/guest-current");
    assert!(guest.join("vmlinux").exists(), "no test guest at {}; build it first", guest.display());
    guest
}

/// A running guest; ends with this value.
pub struct Guest {
    qemu: Child,
    dir: tempfile::TempDir,
    shell: UnixStream,
    wire: RefCell<Wire>,
    _turn: MutexGuard<'static, ()>,
}

/// One guest at a time: each emulates two CPUs.
static TURN: Mutex<()> = Mutex::new(());

struct Wire {
    stream: UnixStream,
    known: Sparse,
    console: String,
    packets: u32,
    bytes: u64,
}

impl Drop for Guest {
    fn drop(&mut self) {
        let _ = self.qemu.kill();
        let _ = self.qemu.wait();
    }
}

fn connect(path: &Path) -> UnixStream {
    let start = Instant::now();
    loop {
        match UnixStream::connect(path) {
            Ok(stream) => return stream,
            Err(error) => assert!(start.elapsed().as_secs() < 20, "{}: {error}", path.display()),
        }
        sleep(Duration::from_millis(20));
    }
}

impl Guest {
    /// Boots with `words` on the command line, up to the shell.
    pub fn boot(words: &str) -> Guest {
        // A test that failed with its guest does not stop the others.
        let turn = TURN.lock().unwrap_or_else(PoisonError::into_inner);
        let guest = guest_dir();
        let dir = tempfile::tempdir().unwrap();
        let mut qemu = Command::new("qemu-system-x86_64");
        qemu.args("-accel tcg -cpu max -smp 2 -m 512 -display none -vga none".split(' '));
        qemu.args(["-no-user-config", "-nodefaults"]);
        qemu.arg("-kernel").arg(guest.join("bzImage")).arg("-initrd").arg(guest.join("initrd.gz"));
        qemu.args(["-append", &format!("console=ttyS1 kgdboc=ttyS0,115200 {words}")]);
        for name in ["kgdb", "shell"] {
            let path = dir.path().join(name);
            qemu.args([
                "-chardev",
                &format!("socket,id={name},path={},server=on,wait=off", path.display()),
            ]);
            qemu.args(["-serial", &format!("chardev:{name}")]);
        }
        let qemu =
            qemu.stdin(Stdio::null()).stdout(Stdio::null()).spawn().expect("qemu is installed");
        let shell = connect(&dir.path().join("shell"));
        let stream = connect(&dir.path().join("kgdb"));
        stream.set_read_timeout(Some(Duration::from_secs(90))).unwrap();
        let wire =
            Wire { stream, known: Sparse::new(), console: String::new(), packets: 0, bytes: 0 };
        let mut guest = Guest { qemu, dir, shell, wire: RefCell::new(wire), _turn: turn };
        if words.contains("kgdbwait") {
            guest.shell_until("KGDB: Waiting for connection");
            sleep(Duration::from_millis(300));
        } else {
            guest.shell_until("guest ready");
            guest.shell_until("# ");
        }
        guest
    }

    /// The path of the kgdb socket, for another debugger.
    pub fn socket(&self) -> PathBuf {
        self.dir.path().join("kgdb")
    }

    /// Gives the line up to another debugger, and takes it again after.
    pub fn lend_line<T>(&self, use_it: impl FnOnce(&Path) -> T) -> T {
        let socket = self.socket();
        self.wire.borrow().stream.shutdown(std::net::Shutdown::Both).unwrap();
        let result = use_it(&socket);
        let stream = connect(&socket);
        stream.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
        self.wire.borrow_mut().stream = stream;
        result
    }

    /// Types a line in the guest's shell.
    pub fn shell(&mut self, line: &str) {
        self.shell.write_all(format!("{line}\n").as_bytes()).unwrap();
    }

    /// What the shell prints, up to and with `wanted`.
    pub fn shell_until(&mut self, wanted: &str) -> String {
        self.shell.set_read_timeout(Some(Duration::from_secs(60))).unwrap();
        let mut text = String::new();
        let mut byte = [0];
        while !text.ends_with(wanted) {
            let got = self.shell.read(&mut byte);
            assert!(got.is_ok_and(|n| n == 1), "the guest does not say {wanted:?}:\n{text}");
            text.push(char::from(byte[0]));
        }
        text
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
