//! gdb on the same guest, as a witness.

use crate::facts::number;
use crate::support::{guest::built, tools::tool};
use serde_json::Value;
use std::{
    io::{BufRead, BufReader, Write},
    path::Path,
    process::{Child, ChildStdin, Stdio},
    sync::mpsc::{Receiver, channel},
    time::Duration,
};
use tempfile::NamedTempFile;

/// gdb needs long for a step, and longer on a busy machine.
const PATIENCE: Duration = Duration::from_secs(120);

/// What gdb 13 says before it aborts when the stub names a task that is not in the
/// stub's list of tasks: one that is ending still runs, and takes interrupts, when
/// `release_task` (kernel/exit.c) has taken it from there.
const TASK_NOT_LISTED: &str = "internal-error: switch_to_thread: Assertion `thr != NULL' failed";

/// How often gdb may break down in that way; it is rare.
const MOST_BREAKDOWNS: usize = 2;

/// A gdb that has loaded the kernel's and the module's symbols.
pub struct Gdb {
    child: Child,
    stdin: ChildStdin,
    lines: Receiver<String>,
    /// What it says on standard error.
    errors: NamedTempFile,
    slide: u64,
    /// Files of modules and their sections.
    modules: Vec<(String, String)>,
    breakdowns: usize,
}

impl Gdb {
    /// Starts it; `sections` are lines of `NAME ADDRESS` of the demo module.
    /// The kernel must be where it was linked.
    pub fn start(sections: &str) -> Gdb {
        let some =
            |name: &str| [".text", ".data", ".bss", ".rodata", ".text.unlikely"].contains(&name);
        let lines: Vec<&str> = sections
            .lines()
            .filter(|line| line.split_once(' ').is_some_and(|(name, _)| some(name)))
            .collect();
        Gdb::start_at(0, &[("hgfs.ko", &lines.join("\n"))])
    }

    /// Starts it for a kernel that KASLR moved by `slide`, with files of modules
    /// and all their sections as lines of `NAME ADDRESS`.
    pub fn start_at(slide: u64, modules: &[(&str, &str)]) -> Gdb {
        let owned = |(file, sections): &(&str, &str)| (file.to_string(), sections.to_string());
        Gdb::start_with(slide, modules.iter().map(owned).collect())
    }

    fn start_with(slide: u64, modules: Vec<(String, String)>) -> Gdb {
        let errors = NamedTempFile::new().unwrap();
        let mut child = tool("gdb")
            .args(["-q", "-nx", "-x"])
            .arg(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/e2e/gdb.py"))
            .env("LC_ALL", "C")
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(errors.reopen().unwrap())
            .spawn()
            .unwrap();
        let stdout = child.stdout.take().unwrap();
        let (sender, lines) = channel();
        std::thread::spawn(move || {
            for line in BufReader::new(stdout).lines().map_while(Result::ok) {
                if sender.send(line).is_err() {
                    return;
                }
            }
        });
        let stdin = child.stdin.take().unwrap();
        let mut gdb = Gdb { child, stdin, lines, errors, slide, modules, breakdowns: 0 };
        gdb.ask(&["maintenance set internal-error corefile no"]);
        // It takes that from a program, not from symbols alone.
        gdb.ask(&["set architecture i386:x86-64"]);
        gdb.ask(&["set confirm off", "set pagination off", "set width 0"]);
        gdb.ask(&[&format!("symbol-file {} -o {slide:#x}", built().vmlinux.display())]);
        for (file, sections) in gdb.modules.clone() {
            let mut load = format!("add-symbol-file {}", built().modules.join(file).display());
            for (name, addr) in sections.lines().filter_map(|line| line.split_once(' ')) {
                load += &format!(" -s {name} {:#x}", number(addr.trim()));
            }
            gdb.ask(&[&load]);
        }
        gdb
    }

    /// Gives commands; what the script printed until they were done.
    pub fn ask(&mut self, commands: &[&str]) -> Vec<Value> {
        self.try_ask(commands).unwrap_or_else(|why| panic!("{commands:?} in gdb: {why}"))
    }

    /// The same; the error is why there is no answer.
    fn try_ask(&mut self, commands: &[&str]) -> Result<Vec<Value>, String> {
        for command in commands {
            writeln!(self.stdin, "{command}").unwrap();
        }
        writeln!(self.stdin, "python say('done')").unwrap();
        self.stdin.flush().unwrap();
        let mut said = Vec::new();
        let mut other = String::new();
        loop {
            let line = self.lines.recv_timeout(PATIENCE).map_err(|why| {
                let errors = std::fs::read_to_string(self.errors.path()).unwrap_or_default();
                format!("{why}; it said: {other}{errors}")
            })?;
            // The prompt comes before it, since standard input is no terminal.
            let Some((_, json)) = line.split_once("@ ") else {
                other += &line;
                other.push('\n');
                continue;
            };
            let value: Value = serde_json::from_str(json).unwrap();
            if value == "done" {
                return Ok(said);
            }
            said.push(value);
        }
    }

    /// What it shows of the stopped guest on a unix socket, which stays stopped.
    pub fn look(&mut self, socket: &Path) -> Value {
        self.look_by(socket, "dump()").expect("the task is in the stub's list")
    }

    /// What a function of the script says of it. `None` when gdb broke down because
    /// it can't look at this task; it is started again then, for the next stop.
    pub fn look_by(&mut self, socket: &Path, call: &str) -> Option<Value> {
        let target = format!("target remote {}", socket.display());
        let call = format!("python {call}");
        match self.try_ask(&[&target, &call, "disconnect"]) {
            Ok(mut said) => {
                assert_eq!(said.len(), 1);
                Some(said.remove(0))
            }
            Err(why) => {
                let breakdowns = self.breakdowns + 1;
                assert!(why.contains(TASK_NOT_LISTED) && breakdowns <= MOST_BREAKDOWNS, "{why}");
                eprintln!("gdb broke down: {TASK_NOT_LISTED}");
                *self = Gdb::start_with(self.slide, std::mem::take(&mut self.modules));
                self.breakdowns = breakdowns;
                None
            }
        }
    }
}

impl Drop for Gdb {
    fn drop(&mut self) {
        // Not by `quit`, which would make the guest run.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
