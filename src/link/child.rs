//! A child process whose standard input and output are the line.

use std::{
    process::Stdio,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use rustix::process::{Pid, Signal, kill_process_group};
use tokio::{
    io::AsyncReadExt,
    process::{self, ChildStdin, ChildStdout, Command},
    task::JoinHandle,
    time::timeout,
};

use crate::link::error::LinkError;

/// How much of the child's error output is kept.
const KEPT: usize = 4096;

/// A running shell command. Dropping it ends the whole process group.
#[derive(Debug)]
pub(super) struct Child {
    pub stdin: ChildStdin,
    pub stdout: ChildStdout,
    process: process::Child,
    errors: Arc<Mutex<Vec<u8>>>,
    reader: JoinHandle<()>,
}

impl Child {
    /// Starts the command in `/bin/sh`, in a process group of its own: Ctrl-C
    /// in the terminal does not reach it.
    pub fn spawn(command: &str) -> Result<Child, LinkError> {
        let failed = |source| LinkError::Spawn { command: command.to_owned(), source };
        let mut process = Command::new("/bin/sh")
            .arg("-c")
            .arg(command)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .process_group(0)
            .kill_on_drop(true)
            .spawn()
            .map_err(failed)?;
        let pipes = (process.stdin.take(), process.stdout.take(), process.stderr.take());
        let (Some(stdin), Some(stdout), Some(mut stderr)) = pipes else {
            return Err(failed(std::io::ErrorKind::BrokenPipe.into()));
        };
        let errors = Arc::new(Mutex::new(Vec::new()));
        let kept = Arc::clone(&errors);
        let reader = tokio::spawn(async move {
            let mut buffer = [0; 512];
            while let Ok(count @ 1..) = stderr.read(&mut buffer).await {
                let mut kept = kept.lock().unwrap_or_else(PoisonError::into_inner);
                kept.extend_from_slice(&buffer[..count]);
                let surplus = kept.len().saturating_sub(KEPT);
                kept.drain(..surplus);
            }
        });
        Ok(Child { stdin, stdout, process, errors, reader })
    }

    /// How the child ended and what it had to say.
    pub async fn last_words(&mut self) -> Option<String> {
        let second = Duration::from_secs(1);
        let status = timeout(second, self.process.wait()).await.ok()?.ok()?;
        // A grandchild may keep the pipe open: what came so far must do.
        let _ = timeout(Duration::from_millis(200), &mut self.reader).await;
        let errors = self.errors.lock().unwrap_or_else(PoisonError::into_inner);
        let errors = String::from_utf8_lossy(&errors);
        Some(match errors.trim() {
            "" => format!("the command ended with {status}"),
            lines => format!("the command ended with {status}: {lines}"),
        })
    }
}

impl Drop for Child {
    fn drop(&mut self) {
        self.reader.abort();
        // `id` is `None` once the child was waited for: its number may belong
        // to another process by now.
        if let Some(pid) = self.process.id().and_then(|id| Pid::from_raw(id.cast_signed())) {
            let _ = kill_process_group(pid, Signal::KILL);
        }
    }
}
