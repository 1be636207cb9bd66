//! The user's own command that stops the guest (`--break-in`).

use crate::target::breakin::COMMAND_PATIENCE;
use rustix::process::{Pid, Signal, kill_process_group};
use std::{process::Stdio, time::Duration};
use tokio::{process::Command, task::JoinHandle};

/// Runs the command in a session of its own where the system can do that: it
/// can't ask for a password on our screen, and it can be ended with all it
/// started. `setsid` keeps the process only where that leads no group yet.
const RUN: &str =
    r#"if command -v setsid >/dev/null; then exec setsid sh -c "$0"; fi; exec sh -c "$0""#;

/// The most that is shown of what the command says.
const MOST_SAID: usize = 300;

/// A running command.
#[derive(Debug)]
pub struct BreakCommand {
    task: JoinHandle<Option<String>>,
    /// Its process group.
    group: Option<Pid>,
}

impl BreakCommand {
    /// Starts it beside the session.
    pub fn start(command: &str) -> Result<BreakCommand, String> {
        let child = Command::new("sh")
            .arg("-c")
            .arg(RUN)
            .arg(command)
            // ssh asks these for a password, and gets none.
            .env("SSH_ASKPASS", "false")
            .env("SSH_ASKPASS_REQUIRE", "force")
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .kill_on_drop(true)
            .spawn()
            .map_err(|error| error.to_string())?;
        let group = child.id().and_then(|id| Pid::from_raw(id.cast_signed()));
        let task = tokio::spawn(async move {
            // Whoever waits for it has a limit of its own; this one is for a
            // command that goes on when the guest has stopped.
            let limit = COMMAND_PATIENCE + Duration::from_secs(5);
            match tokio::time::timeout(limit, child.wait_with_output()).await {
                Ok(Ok(output)) if output.status.success() => None,
                Ok(Ok(output)) => {
                    let said = String::from_utf8_lossy(&output.stderr);
                    let said: String = said.trim().chars().take(MOST_SAID).collect();
                    let status = output.status;
                    Some(if said.is_empty() {
                        format!("it ended with {status}")
                    } else {
                        format!("it ended with {status}: {said}")
                    })
                }
                Ok(Err(error)) => Some(error.to_string()),
                Err(_) => Some("it did not end".into()),
            }
        });
        Ok(BreakCommand { task, group })
    }

    /// Waits for its end; gives what was wrong. May be dropped and asked again.
    pub async fn ended(&mut self) -> Option<String> {
        let problem = (&mut self.task).await.unwrap_or_else(|error| Some(error.to_string()));
        // Its number may be another process's from now on.
        self.group = None;
        problem
    }
}

impl Drop for BreakCommand {
    fn drop(&mut self) {
        if let Some(group) = self.group.filter(|_| !self.task.is_finished()) {
            // It may have something to put away; ssh ends at once.
            let _ = kill_process_group(group, Signal::TERM);
        }
        self.task.abort();
    }
}
