//! The shell of the guest, on its second serial port.
//!
//! A thread reads the port from the moment it exists, so nothing the guest says
//! is lost, and a guest is never held up by a full socket. The kernel log comes
//! out of the same port, at any time.

use std::io::{self, Read, Write};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use crate::demo::{DemoError, tail};

/// How long an ordinary command may take.
const COMMAND_PATIENCE: Duration = Duration::from_secs(30);

/// What a command in the guest did.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Output {
    /// What it printed, without kernel messages; lines end in `\n`.
    pub text: String,
    /// Its exit status.
    pub status: i32,
}

/// The guest's shell and log.
#[derive(Debug)]
pub struct Shell {
    stream: UnixStream,
    heard: Arc<Heard>,
    /// What was waited for already.
    seen: usize,
    /// Makes the marks of [`Shell::run`] unique.
    marks: u32,
}

#[derive(Debug, Default)]
struct Heard {
    bytes: Mutex<(Vec<u8>, bool)>,
    more: Condvar,
}

impl Heard {
    fn lock(&self) -> MutexGuard<'_, (Vec<u8>, bool)> {
        self.bytes.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Shell {
    /// Connects to the serial port's socket, which QEMU makes soon after its
    /// start.
    ///
    /// # Errors
    /// The socket does not appear in ten seconds.
    pub fn connect(socket: &Path) -> Result<Shell, DemoError> {
        let end = Instant::now() + Duration::from_secs(10);
        let stream = loop {
            match UnixStream::connect(socket) {
                Ok(stream) => break stream,
                Err(error) if Instant::now() > end => return Err(DemoError::Shell(error)),
                Err(_) => std::thread::sleep(Duration::from_millis(10)),
            }
        };
        let heard = Arc::new(Heard::default());
        let mut reader = stream.try_clone().map_err(DemoError::Shell)?;
        std::thread::spawn({
            let heard = Arc::clone(&heard);
            move || {
                let mut bytes = [0; 4096];
                loop {
                    let read = reader.read(&mut bytes);
                    let mut inner = heard.lock();
                    match read {
                        Ok(0) | Err(_) => {
                            inner.1 = true;
                            heard.more.notify_all();
                            return;
                        }
                        Ok(count) => inner.0.extend_from_slice(&bytes[..count]),
                    }
                    heard.more.notify_all();
                }
            }
        });
        Ok(Shell { stream, heard, seen: 0, marks: 0 })
    }

    /// Types a line.
    ///
    /// # Errors
    /// The guest is gone.
    pub fn send_line(&mut self, line: &str) -> Result<(), DemoError> {
        self.stream.write_all(format!("{line}\n").as_bytes()).map_err(DemoError::Shell)
    }

    /// Waits for a text after all that was waited for before, and gives what
    /// came up to its end.
    ///
    /// # Errors
    /// The text did not come in time, or the guest is gone.
    pub fn expect(&mut self, text: &str, patience: Duration) -> Result<String, DemoError> {
        let end = Instant::now() + patience;
        let mut inner = self.heard.lock();
        loop {
            let fresh = &inner.0[self.seen..];
            if let Some(at) = find(fresh, text.as_bytes()) {
                let upto = at + text.len();
                let said = String::from_utf8_lossy(&fresh[..upto]).into_owned();
                self.seen += upto;
                return Ok(said);
            }
            if inner.1 {
                return Err(DemoError::Shell(io::ErrorKind::UnexpectedEof.into()));
            }
            let left = end.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return Err(DemoError::Silent {
                    what: format!("{text:?}"),
                    seconds: patience.as_secs(),
                    last: tail(&String::from_utf8_lossy(&inner.0), 8),
                });
            }
            inner =
                self.heard.more.wait_timeout(inner, left).unwrap_or_else(PoisonError::into_inner).0;
        }
    }

    /// Runs a command and waits for its end, at most 30 seconds.
    ///
    /// # Errors
    /// It did not end, for instance because the kernel is stopped; or the guest
    /// is gone.
    pub fn run(&mut self, command: &str) -> Result<Output, DemoError> {
        self.run_for(command, COMMAND_PATIENCE)
    }

    /// The same with another limit.
    ///
    /// # Errors
    /// As for [`Shell::run`].
    pub fn run_for(&mut self, command: &str, patience: Duration) -> Result<Output, DemoError> {
        self.marks += 1;
        let mark = self.marks;
        // The shell echoes what is typed; the quotes make the echo differ from
        // what is printed.
        self.send_line(&format!("echo '<'beg{mark}'>'; {command}; echo '<'end{mark} $?'>'"))?;
        self.expect(&format!("<beg{mark}>"), patience)?;
        let mut text = self.expect(&format!("<end{mark} "), patience)?;
        let status = self.expect(">", patience)?;
        text.truncate(text.len() - format!("<end{mark} ").len());
        Ok(Output {
            text: without_log(&text),
            status: status.trim_end_matches('>').parse().unwrap_or(-1),
        })
    }

    /// Stops the kernel: types `echo g > /proc/sysrq-trigger`, and does not wait.
    ///
    /// # Errors
    /// The guest is gone.
    pub fn break_in(&mut self) -> Result<(), DemoError> {
        self.send_line("echo g > /proc/sysrq-trigger")
    }

    /// All that was said since the guest started.
    pub fn log(&self) -> String {
        String::from_utf8_lossy(&self.heard.lock().0).into_owned()
    }
}

impl Drop for Shell {
    fn drop(&mut self) {
        // Ends the reader thread.
        let _ = self.stream.shutdown(std::net::Shutdown::Both);
    }
}

fn find(bytes: &[u8], what: &[u8]) -> Option<usize> {
    bytes.windows(what.len()).position(|window| window == what)
}

/// A command's output as it was before the terminal and the kernel added to it.
fn without_log(text: &str) -> String {
    let text = text.replace('\r', "");
    let lines = text.strip_prefix('\n').unwrap_or(&text).split_inclusive('\n');
    lines.filter(|line| !is_log(line)).collect()
}

/// Whether a line starts with the kernel's time, such as `[   12.345678] `.
fn is_log(line: &str) -> bool {
    let Some((time, _)) = line.strip_prefix('[').and_then(|rest| rest.split_once("] ")) else {
        return false;
    };
    let Some((seconds, micros)) = time.trim_start().split_once('.') else {
        return false;
    };
    let digits = |text: &str| !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit());
    digits(seconds) && micros.len() == 6 && digits(micros)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::net::UnixListener;

    /// A shell whose other end is in the test's hands.
    fn pair() -> (Shell, UnixStream) {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("shell");
        let listener = UnixListener::bind(&path).unwrap();
        let shell = Shell::connect(&path).unwrap();
        (shell, listener.accept().unwrap().0)
    }

    #[test]
    fn kernel_messages_are_not_output() {
        let text = "\r\nLinux\r\n[    1.250013] hgfs: 4 files\r\n[x] y\r\n[12] z\r\n";
        assert_eq!(without_log(text), "Linux\n[x] y\n[12] z\n");
        assert!(is_log("[12345.678901] x"));
        assert!(!is_log("[1.5] x"));
        assert!(!is_log("plain"));
    }

    #[test]
    fn a_command_has_output_and_status() {
        let (mut shell, mut guest) = pair();
        let answer = std::thread::spawn(move || {
            let mut typed = Vec::new();
            let mut byte = [0];
            while byte[0] != b'\n' {
                guest.read_exact(&mut byte).unwrap();
                typed.push(byte[0]);
            }
            guest.write_all(&typed).unwrap();
            guest
                .write_all(b"\r\n<beg1>\r\none\r\n[    2.000000] noise\r\n<end1 3>\r\n# ")
                .unwrap();
            guest
        });
        let output = shell.run("false").unwrap();
        assert_eq!(output, Output { text: "one\n".to_owned(), status: 3 });
        let guest = answer.join().unwrap();
        assert!(shell.log().contains("noise"));

        drop(guest);
        let gone = shell.expect("more", Duration::from_secs(5)).unwrap_err();
        assert!(matches!(gone, DemoError::Shell(_)), "{gone}");
    }

    #[test]
    fn waiting_in_vain_tells_what_was_said_last() {
        let (mut shell, mut guest) = pair();
        guest.write_all(b"Kernel panic\r\n").unwrap();
        shell.expect("Kernel", Duration::from_secs(5)).unwrap();
        let error = shell.expect("ready", Duration::from_millis(20)).unwrap_err();
        assert!(error.to_string().contains("Kernel panic"), "{error}");
    }
}
