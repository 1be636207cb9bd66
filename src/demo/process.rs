//! Child processes that end when we do, however we end.
//!
//! Rust destructors do not run on SIGKILL, and a forgotten QEMU with a stopped
//! kernel in it runs for ever. So a child is started by a small shell that
//! waits for it, and for the end of a pipe of which only we hold the other end:
//! when that is closed, by us or by the kernel, the child gets SIGTERM.

use std::ffi::OsStr;
use std::io;
use std::process::{Child, ChildStdin, Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

/// `$@` is the child. It has no standard input: a shell gives background jobs
/// `/dev/null`. The subshell blocks in `read` for as long as we live. A child that
/// somebody suspended takes SIGTERM only when it goes on.
const WATCHER: &str = r#"
exec 3<&0 </dev/null
"$@" 3<&- & child=$!
{ read -r _; kill "$child"; kill -CONT "$child"; } <&3 >/dev/null 2>&1 & watch=$!
exec 3<&-
trap 'kill "$child"' TERM INT HUP
wait "$child"; status=$?
kill "$watch"
exit "$status"
"#;

/// How long a child may take to end after SIGTERM.
const PATIENCE: Duration = Duration::from_secs(5);

/// A running program that ends when this value is dropped or we are gone.
#[derive(Debug)]
pub struct Watched {
    child: Child,
    leash: Option<ChildStdin>,
}

impl Watched {
    /// Starts a program.
    ///
    /// `stdout` and `stderr` are the program's; its standard input is empty. It
    /// runs in its own process group, so Ctrl-C in our terminal is not its.
    ///
    /// # Errors
    /// The shell cannot be started. A program that does not exist shows as an
    /// exit with status 127.
    pub fn start<S: AsRef<OsStr>>(
        program: &str,
        args: impl IntoIterator<Item = S>,
        stdout: Stdio,
        stderr: Stdio,
    ) -> io::Result<Watched> {
        use std::os::unix::process::CommandExt;
        let mut child = Command::new("/bin/sh")
            .args(["-c", WATCHER, "sh", program])
            .args(args)
            .stdin(Stdio::piped())
            .stdout(stdout)
            .stderr(stderr)
            .process_group(0)
            .spawn()?;
        let leash = child.stdin.take();
        Ok(Watched { child, leash })
    }

    /// The program's standard error, once, when it was piped.
    pub fn take_stderr(&mut self) -> Option<std::process::ChildStderr> {
        self.child.stderr.take()
    }

    /// The status, when the program has ended.
    ///
    /// # Errors
    /// The system does not know the child.
    pub fn try_wait(&mut self) -> io::Result<Option<ExitStatus>> {
        self.child.try_wait()
    }

    /// Hands out the pipe whose closing ends the program.
    pub fn take_leash(&mut self) -> Option<ChildStdin> {
        self.leash.take()
    }

    /// Ends the program and waits until it is gone.
    pub fn stop(&mut self) {
        drop(self.leash.take());
        let end = Instant::now() + PATIENCE;
        while Instant::now() < end {
            match self.child.try_wait() {
                Ok(None) => std::thread::sleep(Duration::from_millis(5)),
                Ok(Some(_)) | Err(_) => return,
            }
        }
        // The program ignores SIGTERM; the least that can be done is not to
        // wait for it for ever.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl Drop for Watched {
    fn drop(&mut self) {
        self.stop();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Read;

    fn alive(pid: &str) -> bool {
        std::fs::read_to_string(format!("/proc/{pid}/stat"))
            .is_ok_and(|stat| !stat.contains(") Z "))
    }

    /// A program that prints its process id and sleeps.
    fn sleeper() -> (Watched, String) {
        let mut watched =
            Watched::start("sh", ["-c", "echo $$; exec sleep 60"], Stdio::piped(), Stdio::null())
                .unwrap();
        let mut pid = String::new();
        let out = watched.child.stdout.as_mut().unwrap();
        let mut byte = [0];
        while out.read(&mut byte).unwrap() == 1 && byte[0] != b'\n' {
            pid.push(byte[0] as char);
        }
        (watched, pid)
    }

    #[test]
    fn dropping_ends_the_program() {
        let (watched, pid) = sleeper();
        assert!(alive(&pid));
        let start = Instant::now();
        drop(watched);
        assert!(!alive(&pid));
        assert!(start.elapsed() < PATIENCE);
    }

    #[test]
    fn losing_the_pipe_ends_the_program() {
        let (mut watched, pid) = sleeper();
        drop(watched.take_leash());
        let end = Instant::now() + PATIENCE;
        while watched.try_wait().unwrap().is_none() && Instant::now() < end {
            std::thread::sleep(Duration::from_millis(5));
        }
        assert!(!alive(&pid));
    }

    #[test]
    fn a_suspended_program_ends_too() {
        let (watched, pid) = sleeper();
        let id = rustix::process::Pid::from_raw(pid.parse().unwrap()).unwrap();
        rustix::process::kill_process(id, rustix::process::Signal::STOP).unwrap();
        let start = Instant::now();
        drop(watched);
        assert!(!alive(&pid));
        assert!(start.elapsed() < PATIENCE);
    }

    #[test]
    fn status_and_end_are_seen() {
        let mut watched =
            Watched::start("sh", ["-c", "exit 7"], Stdio::null(), Stdio::null()).unwrap();
        let end = Instant::now() + PATIENCE;
        let status = loop {
            if let Some(status) = watched.try_wait().unwrap() {
                break status;
            }
            assert!(Instant::now() < end);
            std::thread::sleep(Duration::from_millis(5));
        };
        assert_eq!(status.code(), Some(7));
    }
}
