//! What the user decided before the session began.

use super::kept::Kept;
use crate::link::endpoint::Endpoint;
use std::path::PathBuf;

/// Everything a session needs to know at its start.
#[derive(Clone, Debug, Default)]
pub struct Options {
    /// Where the stub is; `None` for symbols only (`--offline`).
    pub connect: Option<Endpoint>,
    /// The kernel's ELF file with debug info.
    pub vmlinux: Option<PathBuf>,
    /// `--substitute-path`, in order.
    pub substitute: Vec<(String, String)>,
    /// `--source-dir`, in order.
    pub source_dirs: Vec<PathBuf>,
    /// `--module-path`: trees with .ko files.
    pub module_paths: Vec<PathBuf>,
    /// `--debug-dir`: trees with separate debug files, as /usr/lib/debug is one.
    pub debug_dirs: Vec<PathBuf>,
    /// `--sections`: copies of `/sys/module/M/sections`, or files of lines.
    pub sections: Vec<PathBuf>,
    /// `--break-in`: a shell command that stops the guest.
    pub break_in: Option<String>,
    /// `--break-in-shell`: the shell on the guest's console may be typed into.
    pub break_in_shell: bool,
    /// `--record`: where every byte of the link is written down.
    pub record: Option<PathBuf>,
    /// Where what is kept of targets is; nothing is kept without.
    pub state_dir: Option<PathBuf>,
    /// Read at each stop what a full screen shows (stack, variables), not
    /// only what is asked for.
    pub eager: bool,
    /// The number of the first breakpoint that is restored; those of commands
    /// at the start come before.
    pub first_restored: u32,
    /// Values of settings, as `set` takes them.
    pub set: Vec<(String, String)>,
    /// Use symbols although they are not proven.
    pub trust_symbols: bool,
}

impl Options {
    /// Whether a record takes the guest's place.
    pub fn is_replay(&self) -> bool {
        matches!(self.connect, Some(Endpoint::Replay(_)))
    }

    /// Where things about the target are kept; nowhere without a target.
    pub fn kept(&self) -> Option<Kept> {
        let target = self.connect.as_ref()?.to_string();
        Some(Kept::new(self.state_dir.as_ref()?, &target))
    }
}
