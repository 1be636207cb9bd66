//! The demo guest: a real kernel in QEMU, built and booted by us.
//!
//! Used alike by `kgdb-tui demo` and by the tests. In reading order:
//!
//! - [`packages`]: which Debian packages are missing, and their installation;
//! - [`build`]: the kernel, the demo module and the RAM disk, built once and
//!   kept in the user's cache;
//! - [`guest`]: one boot of it, behind the relay the user would have;
//! - [`shell`]: the guest's shell on its second serial port;
//! - [`relay`]: `socat` between QEMU and a TCP port;
//! - [`process`]: child processes that end when we do;
//! - [`prepare`]: the demo's own way through all of these, told on the terminal.
//!
//! All of it is blocking code on threads. Only the last one knows the debugger:
//! to the others a guest is an address to connect to.

pub mod build;
pub mod guest;
mod job;
pub mod packages;
pub mod prepare;
pub mod process;
pub mod relay;
pub mod shell;

use std::path::PathBuf;
use std::time::Duration;

/// How far a long job has come.
#[derive(Debug, Clone, PartialEq)]
pub struct Progress {
    /// The step that runs, from 1.
    pub step: u32,
    /// How many steps there are.
    pub steps: u32,
    /// What the step does, such as `compiling the kernel`.
    pub title: String,
    /// How much of the whole job is done, 0 to 1.
    pub fraction: f64,
    /// How long the rest takes, when enough is done to say.
    pub eta: Option<Duration>,
}

/// Why there is no demo guest.
#[derive(Debug, thiserror::Error)]
pub enum DemoError {
    /// The system has no `apt-get`.
    #[error("apt-get is not on this system; install what these provide by hand: {0}")]
    NoApt(String),
    /// The user is not root, and did not agree to `sudo`.
    #[error("these packages are missing; install them as root: apt-get install {0}")]
    NotInstalled(String),
    /// `apt-get` said no.
    #[error("{command} failed: {output}")]
    Install {
        /// The command that failed.
        command: String,
        /// The end of what it printed.
        output: String,
    },
    /// A file could not be read, written or made.
    #[error("{what} {path}: {source}")]
    File {
        /// What was tried, such as `create`.
        what: &'static str,
        /// On what.
        path: PathBuf,
        /// What the system said.
        source: std::io::Error,
    },
    /// A program could not be started.
    #[error("cannot start {program}: {source}; `kgdb-tui demo` installs it")]
    Start {
        /// The program.
        program: String,
        /// What the system said.
        source: std::io::Error,
    },
    /// A build step failed; the log stays for reading.
    #[error("{why}; the log is {log}, it ends with:\n{tail}")]
    Build {
        /// What failed.
        why: String,
        /// The whole log.
        log: PathBuf,
        /// Its last lines.
        tail: String,
    },
    /// The build was cancelled.
    #[error("the build was cancelled")]
    Cancelled,
    /// Neither `XDG_CACHE_HOME` nor `HOME` says where a cache may be.
    #[error("no place for the guest: set HOME or XDG_CACHE_HOME")]
    NoCache,
    /// QEMU or the relay ended although nobody asked it to.
    #[error("{program} ended: {output}")]
    Ended {
        /// The program.
        program: &'static str,
        /// The end of what it printed.
        output: String,
    },
    /// The guest did not say what was waited for.
    #[error("waited {seconds} s for {what}; the guest said last: {last}")]
    Silent {
        /// What was waited for.
        what: String,
        /// How long.
        seconds: u64,
        /// The end of what the guest said.
        last: String,
    },
    /// The guest's shell went away.
    #[error("the guest's shell is gone: {0}")]
    Shell(std::io::Error),
}

impl DemoError {
    /// For `map_err` on a file operation.
    fn file(
        what: &'static str,
        path: impl Into<PathBuf>,
    ) -> impl FnOnce(std::io::Error) -> DemoError {
        let path = path.into();
        move |source| DemoError::File { what, path, source }
    }
}

/// The end of a long text, whole lines, for an error message.
fn tail(text: &str, lines: usize) -> String {
    let all: Vec<&str> = text.lines().collect();
    all[all.len().saturating_sub(lines)..].join("\n")
}

#[cfg(test)]
mod tests {
    use super::tail;

    #[test]
    fn tail_keeps_whole_lines() {
        assert_eq!(tail("a\nb\nc\n", 2), "b\nc");
        assert_eq!(tail("a", 2), "a");
        assert_eq!(tail("", 2), "");
    }
}
