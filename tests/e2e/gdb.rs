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

/// gdb needs long for a step, and longer on a busy machine.
const PATIENCE: Duration = Duration::from_secs(120);

/// A gdb that has loaded the kernel's and the module's symbols.
pub struct Gdb {
    child: Child,
    stdin: ChildStdin,
    lines: Receiver<String>,
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
        let mut child = tool("gdb")
            .args(["-q", "-nx", "-x"])
            .arg(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/e2e/gdb.py"))
            .env("LC_ALL", "C")
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
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
        let mut gdb = Gdb { child, stdin, lines };
        // It takes that from a program, not from symbols alone.
        gdb.ask(&["set architecture i386:x86-64"]);
        gdb.ask(&["set confirm off", "set pagination off", "set width 0"]);
        gdb.ask(&[&format!("symbol-file {} -o {slide:#x}", built().vmlinux.display())]);
        for (file, sections) in modules {
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
        for command in commands {
            writeln!(self.stdin, "{command}").unwrap();
        }
        writeln!(self.stdin, "python say('done')").unwrap();
        self.stdin.flush().unwrap();
        let mut said = Vec::new();
        let mut other = String::new();
        loop {
            let line = self
                .lines
                .recv_timeout(PATIENCE)
                .unwrap_or_else(|why| panic!("{commands:?} in gdb: {why}; it said: {other}"));
            // The prompt comes before it, since standard input is no terminal.
            let Some((_, json)) = line.split_once("@ ") else {
                other += &line;
                other.push('\n');
                continue;
            };
            let value: Value = serde_json::from_str(json).unwrap();
            if value == "done" {
                return said;
            }
            said.push(value);
        }
    }

    /// What it shows of the stopped guest on a unix socket, which stays stopped.
    pub fn look(&mut self, socket: &Path) -> Value {
        self.look_by(socket, "dump()")
    }

    /// What a function of the script says of it.
    pub fn look_by(&mut self, socket: &Path, call: &str) -> Value {
        let target = format!("target remote {}", socket.display());
        let call = format!("python {call}");
        let mut said = self.ask(&[&target, &call, "disconnect"]);
        assert_eq!(said.len(), 1);
        said.remove(0)
    }
}

impl Drop for Gdb {
    fn drop(&mut self) {
        // Not by `quit`, which would make the guest run.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
