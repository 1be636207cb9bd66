//! Arguments of the command line.

use clap::{Parser, Subcommand};
use etcetera::BaseStrategy;
use kgdb_tui::{
    config::settings::Settings,
    link::endpoint::Endpoint,
    ports::{ListenAt, Ports},
    relay::listen::Listen,
    session::options::Options,
};
use std::{path::PathBuf, time::Duration};

/// Where the guest's serial line is when nobody says it.
const DEFAULT_ADDRESS: &str = "localhost:9999";

/// A full-screen debugger for Linux kernels with kgdb on a serial line.
#[derive(Debug, Parser)]
#[command(version, about, max_term_width = 100)]
#[command(after_help = "Examples:\n  \
    kgdb-tui --vmlinux vmlinux-4.2.0-14-generic\n  \
    kgdb-tui --vmlinux vmlinux --connect telnet:localhost:4444\n  \
    kgdb-tui --vmlinux vmlinux --replay bug.rec\n  \
    kgdb-tui --vmlinux vmlinux --batch -ex 'break vfs_read' -ex continue -ex bt\n  \
    kgdb-tui relay unix:/tmp/com_guest tcp-listen:9999\n  \
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
    /// serial:/dev/ttyUSB0,115200, exec:COMMAND, or the path of a socket or tty
    /// [default: localhost:9999].
    #[arg(long, value_name = "ADDR")]
    pub connect: Option<Endpoint>,
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
    /// Allow typing "echo g > /proc/sysrq-trigger" into the shell on the guest's
    /// console, to stop it where console and kgdb share the line. A line that is
    /// half typed there is thrown away.
    #[arg(long)]
    pub break_in_shell: bool,
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
    /// Read settings from FILE instead of the user's config.toml; see `kgdb-tui
    /// config`.
    #[arg(long, value_name = "FILE", global = true)]
    pub config: Option<PathBuf>,
    /// Leave the mouse to the terminal: clicks select text as usual.
    #[arg(long, global = true)]
    pub no_mouse: bool,
    /// Write every byte of the line to FILE, with times and what was asked for;
    /// packed with gzip, unless its name ends in .txt. It has the guest's memory
    /// in it as far as that was read.
    #[arg(long, value_name = "FILE", global = true)]
    pub record: Option<PathBuf>,
    /// Show what is in FILE, made by --record or the command snapshot, in place
    /// of a guest.
    #[arg(long, value_name = "FILE", conflicts_with_all = ["connect", "record", "offline"])]
    pub replay: Option<PathBuf>,
    /// Write what the program does to FILE.
    #[arg(long, value_name = "FILE", global = true)]
    pub log: Option<PathBuf>,
    /// Write what the guest prints to a file, at its end, with a line at each stop
    #[arg(long, value_name = "FILE", global = true)]
    pub console_log: Option<PathBuf>,
    /// Let terminals attach to the guest's console at a local port (nc, telnet, socat)
    ///
    /// With an address, programs of other machines too: they have a shell of the guest
    /// then, where there is one.
    #[arg(long, value_name = "[ADDR:]PORT", global = true)]
    pub console_port: Option<ListenAt>,
    /// Let gdb debug the guest at a local port, behind our cache (target remote)
    ///
    /// With an address, programs of other machines too: they can read and write all of
    /// the guest's memory then.
    #[arg(long, value_name = "[ADDR:]PORT", global = true)]
    pub gdb_port: Option<ListenAt>,
}

/// What to do instead of debugging.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Build a guest with kgdb, boot it in QEMU, and debug a module in it.
    Demo(Demo),
    /// Make the guest's serial line reachable by a TCP port or a unix socket, as
    /// socat does, without its delay, and show what goes over it.
    Relay(Relay),
    /// Save what is known of one stop of the guest to a file, for --replay; the
    /// guest is left as it was.
    Snapshot(Snapshot),
    /// Print shell lines that list, in the guest, where the sections of modules
    /// are; what they print is for --sections.
    SectionsScript(SectionsScript),
    /// Look at the whole chain from this machine to the guest's kernel, and say what
    /// is wrong and what cures it. Changes nothing.
    Doctor(Doctor),
    /// Give a virtual machine of VMware a serial port for kgdb: writes into its
    /// .vmx, after a copy. Done twice, it changes nothing.
    Vmx(Vmx),
    /// Print a shell script for the guest: its configuration checked, kgdboc and
    /// sysrq set, an entry of the boot menu.
    GuestSetup(GuestSetup),
    /// Print the manual page, for man -l or a file man1/kgdb-tui.1.
    Man,
    /// Print the words that make a shell complete this program's options.
    Completions {
        /// The shell.
        shell: clap_complete::Shell,
    },
    /// Print the default settings, explained: the beginning of a config.toml.
    Config(Config),
}

/// Options of the relay.
#[derive(Debug, clap::Args)]
pub struct Relay {
    /// The guest's end: unix:PATH, serial:/dev/ttyUSB0,115200, HOST:PORT,
    /// telnet:HOST:PORT, exec:COMMAND, or the path of a socket or tty.
    pub from: Endpoint,
    /// Where debuggers connect: tcp-listen:PORT (this machine alone),
    /// tcp-listen:ADDR:PORT, or unix-listen:PATH.
    pub to: Listen,
}

/// Options of `snapshot`.
#[derive(Debug, clap::Args)]
pub struct Snapshot {
    /// The file to make. It has the guest's memory in it.
    #[arg(value_name = "FILE")]
    pub file: PathBuf,
    /// CPUs with their stacks and variables, and modules alone.
    #[arg(long, conflicts_with = "full")]
    pub quick: bool,
    /// The whole of the kernel's log and command lines too.
    #[arg(long)]
    pub full: bool,
    /// Replace a file that is there.
    #[arg(long, short)]
    pub force: bool,
}

/// Options of `doctor`.
#[derive(Debug, clap::Args)]
pub struct Doctor {
    /// Where the guest's serial line is [default: localhost:9999].
    #[arg(long, value_name = "ADDR")]
    pub connect: Option<Endpoint>,
    /// The vmlinux of the guest's kernel.
    #[arg(long, value_name = "FILE")]
    pub vmlinux: Option<PathBuf>,
    /// Build path FROM is TO on this machine; may be given several times.
    #[arg(long, value_name = "FROM=TO", value_parser = substitution)]
    pub substitute_path: Vec<(String, String)>,
    /// Look for sources below DIR; may be given several times.
    #[arg(long, value_name = "DIR")]
    pub source_dir: Vec<PathBuf>,
    /// Look for a vmlinux below DIR; may be given several times.
    #[arg(long, value_name = "DIR")]
    pub debug_dir: Vec<PathBuf>,
    /// VMware's file of the guest, to look at its serial port.
    #[arg(long, value_name = "FILE")]
    pub vmx: Option<PathBuf>,
    /// The configuration of the guest's kernel: a copy of /boot/config-RELEASE or of
    /// /proc/config.gz.
    #[arg(long, value_name = "FILE")]
    pub config_file: Option<PathBuf>,
    /// Stop a running guest for a moment, to look into its kernel.
    #[arg(long)]
    pub stop: bool,
    /// A shell command that does it.
    #[arg(long, value_name = "COMMAND", requires = "stop")]
    pub break_in: Option<String>,
    /// Allow typing the words that do it into the shell on the guest's console.
    #[arg(long, requires = "stop")]
    pub break_in_shell: bool,
    /// How long to wait for a connection and for the stop [default: 60].
    #[arg(long, value_name = "SECONDS", value_parser = seconds)]
    pub timeout: Option<Duration>,
    /// Listen so long for a marker that the script of guest-setup writes to the
    /// guest's ports (sh SCRIPT mark), to tell which port the line is.
    #[arg(long, value_name = "SECONDS", value_parser = seconds)]
    pub listen: Option<Duration>,
    /// Print one JSON object.
    #[arg(long = "json")]
    pub as_json: bool,
}

/// Options of `vmx`.
#[derive(Debug, clap::Args)]
pub struct Vmx {
    /// The virtual machine's .vmx.
    #[arg(value_name = "FILE")]
    pub file: PathBuf,
    /// The socket that the virtual machine is to make: of a port that is there, or
    /// of the next free one [default: that of the first pipe, or /tmp/com_NAME].
    #[arg(long, value_name = "PATH")]
    pub socket: Option<PathBuf>,
    /// Only say what would be written.
    #[arg(long)]
    pub print: bool,
}

/// Options of `guest-setup`.
#[derive(Debug, clap::Args)]
pub struct GuestSetup {
    /// The guest's serial port.
    #[arg(long, value_name = "TTY", default_value = "ttyS0")]
    pub tty: String,
    /// Its rate.
    #[arg(long, value_name = "RATE", default_value = "115200", value_parser = clap::value_parser!(u32).range(50..=4_000_000))]
    pub baud: u32,
    /// The entry of the boot menu stops while it boots (kgdbwait).
    #[arg(long)]
    pub wait: bool,
}

/// Options of `config`.
#[derive(Debug, clap::Args)]
pub struct Config {
    /// Say which files of settings are read here, and what is wrong in them.
    #[arg(long)]
    pub path: bool,
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

impl Doctor {
    /// What the session needs: what is given before the word `doctor`, then
    /// what is given after it, then what the files say.
    pub fn options(&self, cli: &Cli, files: Settings) -> Options {
        let here = Settings {
            connect: self.connect.as_ref().map(ToString::to_string),
            vmlinux: self.vmlinux.clone(),
            substitute_path: self.substitute_path.clone(),
            source_dir: self.source_dir.clone(),
            debug_dir: self.debug_dir.clone(),
            break_in: self.break_in.clone(),
            ..Settings::default()
        };
        let mut options = cli.options(&here.over(files));
        options.break_in_shell |= self.break_in_shell;
        options
    }
}

impl Cli {
    /// The ends for other programs.
    pub fn ports(&self) -> Ports {
        Ports {
            console_log: self.console_log.clone(),
            console: self.console_port,
            gdb: self.gdb_port,
        }
    }

    /// Parses the process's arguments, with gdb's spelling `-ex` as well.
    pub fn from_process() -> Cli {
        Cli::parse_from(std::env::args_os().map(|arg| match arg.to_str() {
            Some("-ex") => "--ex".into(),
            Some("-batch") => "--batch".into(),
            _ => arg,
        }))
    }

    /// What the session needs: what is given here, then what the files say.
    pub fn options(&self, files: &Settings) -> Options {
        let here = Settings {
            substitute_path: self.substitute_path.clone(),
            source_dir: self.source_dir.clone(),
            module_path: self.module_path.clone(),
            debug_dir: self.debug_dir.clone(),
            vmlinux: self.vmlinux.clone(),
            break_in: self.break_in.clone(),
            ..Settings::default()
        };
        let all = here.over(files.clone());
        let replay = self.replay.clone().map(Endpoint::Replay);
        let connect = replay.or_else(|| self.connect.clone()).or_else(|| {
            // The address of a file was checked when it was read.
            all.connect.as_deref().unwrap_or(DEFAULT_ADDRESS).parse().ok()
        });
        let is_replay = matches!(connect, Some(Endpoint::Replay(_)));
        Options {
            connect: connect.filter(|_| !self.offline),
            vmlinux: all.vmlinux,
            substitute: all.substitute_path,
            source_dirs: all.source_dir,
            module_paths: all.module_path,
            debug_dirs: all.debug_dir,
            sections: self.sections.clone(),
            // There is no guest to be stopped.
            break_in: all.break_in.filter(|_| !is_replay),
            set: all.set,
            break_in_shell: self.break_in_shell,
            record: self.record.clone(),
            state_dir: state_dir(),
            eager: !self.batch,
            first_restored: match self.ex.is_empty() && self.command_file.is_none() {
                true => 1,
                // Commands count their breakpoints from 1.
                false => 101,
            },
            trust_symbols: self.trust_symbols,
        }
    }
}

/// `$XDG_STATE_HOME/kgdb-tui`, or what takes its place.
fn state_dir() -> Option<PathBuf> {
    let base = etcetera::choose_base_strategy().ok()?;
    Some(base.state_dir()?.join("kgdb-tui"))
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
