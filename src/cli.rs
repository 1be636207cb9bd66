//! Arguments of the command line.

use clap::{Parser, Subcommand};
use kgdb_tui::{link::endpoint::Endpoint, session::options::Options};
use std::{path::PathBuf, time::Duration};

/// A full-screen debugger for Linux kernels with kgdb on a serial line.
#[derive(Debug, Parser)]
#[command(version, about, max_term_width = 100)]
#[command(after_help = "Examples:\n  \
    kgdb-tui --vmlinux vmlinux-4.2.0-14-generic\n  \
    kgdb-tui --vmlinux vmlinux --connect telnet:localhost:4444\n  \
    kgdb-tui --vmlinux vmlinux --batch -ex 'break vfs_read' -ex continue -ex bt\n  \
    kgdb-tui demo")]
pub struct Cli {
    /// What to do instead of debugging.
    #[command(subcommand)]
    pub command: Option<Command>,
    /// The kernel's ELF file with debug info. Without it, the file is looked
    /// for by the guest's release and build-id.
    #[arg(long, value_name = "FILE")]
    pub vmlinux: Option<PathBuf>,
    /// Where the guest's serial line is: host:port, unix:PATH, telnet:host:port,
    /// serial:/dev/ttyUSB0,115200, exec:COMMAND, or the path of a socket or tty.
    #[arg(long, value_name = "ADDR", default_value = "localhost:9999")]
    pub connect: Endpoint,
    /// Build path FROM is TO on this machine; may be given several times.
    #[arg(long, value_name = "FROM=TO", value_parser = substitution)]
    pub substitute_path: Vec<(String, String)>,
    /// Look for sources below DIR; may be given several times.
    #[arg(long, value_name = "DIR")]
    pub source_dir: Vec<PathBuf>,
    /// Look for .ko files below DIR; may be given several times.
    #[arg(long, value_name = "DIR")]
    pub module_path: Vec<PathBuf>,
    /// Look for separate debug files (and a vmlinux) below DIR, before
    /// /usr/lib/debug; may be given several times.
    #[arg(long, value_name = "DIR")]
    pub debug_dir: Vec<PathBuf>,
    /// Section addresses of modules: copies of /sys/module/M/sections, listings
    /// of them (see sections-script), lines NAME ADDR, or a script of gdb's with
    /// add-symbol-file; may be given several times.
    #[arg(long, value_name = "PATH")]
    pub sections: Vec<PathBuf>,
    /// A shell command that stops the guest, such as
    /// "ssh root@guest 'echo g > /proc/sysrq-trigger'".
    #[arg(long, value_name = "COMMAND")]
    pub break_in: Option<String>,
    /// Use symbols although the vmlinux is not proven to be the guest's.
    #[arg(long)]
    pub trust_symbols: bool,
    /// A command to run at the start; may be given several times.
    #[arg(long = "ex", value_name = "CMD")]
    pub ex: Vec<String>,
    /// A file of commands to run at the start, before those of -ex. It may be
    /// one made for gdb: what means nothing here is passed over.
    #[arg(short = 'x', long = "command", value_name = "FILE")]
    pub command_file: Option<PathBuf>,
    /// No screen: run the commands, print the results, detach.
    #[arg(long)]
    pub batch: bool,
    /// With --batch: one JSON object a command.
    #[arg(long, requires = "batch")]
    pub json: bool,
    /// Symbols only, no target.
    #[arg(long, requires = "vmlinux")]
    pub offline: bool,
    /// With --batch: leave the guest stopped at the end.
    #[arg(long, requires = "batch")]
    pub leave_stopped: bool,
    /// With --batch: how long to wait for a connection and for each stop.
    #[arg(long, value_name = "SECONDS", default_value = "60", value_parser = seconds)]
    pub timeout: Duration,
    /// Write every byte of the line to FILE, with times.
    #[arg(long, value_name = "FILE", global = true)]
    pub record: Option<PathBuf>,
    /// Write what the program does to FILE.
    #[arg(long, value_name = "FILE", global = true)]
    pub log: Option<PathBuf>,
}

/// What to do instead of debugging.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Build a guest with kgdb, boot it in QEMU, and debug a module in it.
    Demo(Demo),
    /// Print shell lines that list, in the guest, where the sections of modules
    /// are; what they print is for --sections.
    SectionsScript(SectionsScript),
}

/// Options of the script.
#[derive(Debug, clap::Args)]
pub struct SectionsScript {
    /// Modules, as lsmod names them; all that are loaded when there is none.
    #[arg(value_name = "MODULE")]
    pub modules: Vec<String>,
}

/// Options of the demo.
#[derive(Debug, clap::Args)]
pub struct Demo {
    /// Only build the guest.
    #[arg(long)]
    pub build_only: bool,
    /// Boot without KASLR.
    #[arg(long)]
    pub nokaslr: bool,
    /// Answer yes to questions about installing packages.
    #[arg(long, short = 'y')]
    pub yes: bool,
}

impl Cli {
    /// Parses the process's arguments, with gdb's spelling `-ex` as well.
    pub fn from_process() -> Cli {
        Cli::parse_from(std::env::args_os().map(|arg| match arg.to_str() {
            Some("-ex") => "--ex".into(),
            Some("-batch") => "--batch".into(),
            _ => arg,
        }))
    }

    /// What the session needs.
    pub fn options(&self) -> Options {
        Options {
            connect: (!self.offline).then(|| self.connect.clone()),
            vmlinux: self.vmlinux.clone(),
            substitute: self.substitute_path.clone(),
            source_dirs: self.source_dir.clone(),
            module_paths: self.module_path.clone(),
            debug_dirs: self.debug_dir.clone(),
            sections: self.sections.clone(),
            break_in: self.break_in.clone(),
            record: self.record.clone(),
            eager: !self.batch,
            trust_symbols: self.trust_symbols,
        }
    }
}

fn substitution(text: &str) -> Result<(String, String), String> {
    match text.split_once('=') {
        Some((from, to)) if !from.is_empty() && !to.is_empty() => {
            Ok((from.to_string(), to.to_string()))
        }
        _ => Err("write FROM=TO, such as /build/linux-xyz/linux-4.2.0=/home/me/linux-4.2.0".into()),
    }
}

fn seconds(text: &str) -> Result<Duration, String> {
    let seconds: f64 = text.parse().map_err(|_| format!("'{text}' is no number"))?;
    Duration::try_from_secs_f64(seconds).map_err(|error| error.to_string())
}
