//! One scenario with both debuggers, and what it costs on the line.

use super::own::add_symbol_file;
use kgdb_tui::demo::build::Built;
use serde_json::Value;
use std::{collections::BTreeMap, path::Path, process::Command};

/// Where the guest is stopped: sent for each read of /proc/hgfs, which somebody
/// does every second.
pub const BREAK: &str = "break HgfsSendRequest";

/// After attaching, in the words of both debuggers; `THREADS` differs.
pub const SCENARIO: &[&str] = &[
    "bt",
    BREAK,
    "continue",
    "bt",
    "info locals",
    "next",
    "next",
    "next",
    "step",
    "bt",
    "info locals",
    "stepi",
    "THREADS",
];

/// Packets and bytes; the seconds of each `next`, and the packets of all.
#[derive(Default)]
pub struct Cost {
    pub packets: u64,
    pub sent: u64,
    pub received: u64,
    nexts: Vec<f64>,
    next_packets: u64,
    /// By what a packet was for and what it was: packets and bytes, acks too.
    kinds: BTreeMap<(String, String), (u64, u64)>,
}

impl Cost {
    pub fn print(&self, name: &str) {
        let times: Vec<_> = self.nexts.iter().map(|s| format!("{:.0} ms", s * 1000.0)).collect();
        println!(
            "{name:<10} {:>5} packets {:>7} bytes ({} sent, {} received)   next: {}; {:.1} packets each",
            self.packets,
            self.sent + self.received,
            self.sent,
            self.received,
            times.join(", "),
            self.each_next()
        );
    }

    /// Where the bytes go, most first.
    pub fn print_kinds(&self) {
        let mut kinds: Vec<_> = self.kinds.iter().collect();
        kinds.sort_by_key(|(_, (_, bytes))| std::cmp::Reverse(*bytes));
        for ((purpose, kind), (packets, bytes)) in kinds {
            println!("  {purpose:<14} {kind:<14} {packets:>4} packets {bytes:>6} bytes");
        }
    }

    /// Takes in a line of the log of packets.
    fn count(&mut self, packet: &Value, asked: &mut String) {
        let text = |key: &str| packet[key].as_str().unwrap().to_owned();
        // As it is on the line: `$`, `#` and two digits, and its ack.
        let (raw, bytes) = (text("raw"), text("raw").len() as u64 + 5);
        let (kind, bytes) = match text("way").as_str() {
            "sent" => {
                *asked = raw.chars().take(1).collect();
                (asked.clone(), bytes)
            }
            "received" if raw.starts_with('T') => ("stop".into(), bytes),
            "received" if text("words") == "text of the guest" => ("text".into(), bytes - 5),
            "received" => (asked.clone(), bytes),
            _ => return,
        };
        let entry = self.kinds.entry((text("purpose"), kind)).or_default();
        entry.0 += u64::from(text("way") == "sent");
        entry.1 += bytes;
    }

    /// Sent and received.
    pub fn bytes(&self) -> f64 {
        (self.sent + self.received) as f64
    }

    /// Packets of one `next`, on average.
    pub fn each_next(&self) -> f64 {
        self.next_packets as f64 / self.nexts.len().max(1) as f64
    }
}

/// Runs the scenario with this program; its own meter counts every byte.
pub fn ours(built: &Built, address: &str) -> Cost {
    let mut command = Command::new(env!("CARGO_BIN_EXE_kgdb-tui"));
    command.args(["--batch", "--json", "--connect", address, "--vmlinux"]);
    command.arg(&built.vmlinux).arg("--module-path").arg(&built.modules);
    command.args(["-ex", "wait 60"]);
    for words in SCENARIO {
        let words = if *words == "THREADS" { "info cpus" } else { words };
        command.args(["-ex", words]);
    }
    command.args(["-ex", "info link", "-ex", "info packets -n 2000", "-ex", "detach"]);
    let output = command.output().unwrap();
    let mut cost = Cost::default();
    let text = String::from_utf8_lossy(&output.stdout);
    for line in text.lines() {
        let line: Value = serde_json::from_str(line).unwrap();
        assert_eq!(line["ok"], true, "{line}");
        if line["command"] == "next" {
            cost.nexts.push(line["seconds"].as_f64().unwrap());
            cost.next_packets += line["wire"]["packets"].as_u64().unwrap();
        }
        if line["command"] == "info packets -n 2000" {
            let mut asked = String::new();
            for packet in line["result"]["packets"].as_array().unwrap() {
                cost.count(packet, &mut asked);
            }
        }
        if line["command"] == "info link" {
            let number = |key: &str| line["result"][key].as_u64().unwrap();
            (cost.packets, cost.sent, cost.received) =
                (number("packets"), number("tx"), number("rx"));
        }
    }
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    cost
}

/// Runs it with gdb, whose log of the line is counted.
pub fn gdbs(built: &Built, address: &str, sections: &str, log: &Path) -> Option<Cost> {
    let mut command = Command::new("gdb");
    command.args(["-batch", "-nx", "-ex", "set pagination off"]).arg(&built.vmlinux);
    command.args(["-ex", &add_symbol_file(built, sections), "-ex", "python import time"]);
    command.args(["-ex", &format!("set remotelogfile {}", log.display())]);
    command.args(["-ex", &format!("target remote {address}")]);
    for words in SCENARIO {
        let words = if *words == "THREADS" { "info threads" } else { words };
        if words == "next" {
            command.args(["-ex", "set debug remote 1"]);
            command.args(["-ex", "python began = time.time()", "-ex", words]);
            command.args(["-ex", "python print('took', time.time() - began)"]);
            command.args(["-ex", "set debug remote 0"]);
        } else {
            command.args(["-ex", words]);
        }
    }
    // What comes after is no part of the scenario.
    command.args(["-ex", "python print('scenario done')", "-ex", "delete", "-ex", "detach"]);
    let output = command.output().ok()?;
    let said = String::from_utf8_lossy(&output.stdout);
    let took = |line: &str| line.strip_prefix("took ").and_then(|time| time.parse().ok());
    let mut cost = Cost { nexts: said.lines().filter_map(took).collect(), ..Cost::default() };
    let logged = String::from_utf8_lossy(&output.stderr);
    cost.next_packets = logged.matches("Sending packet: ").count() as u64;
    assert!(said.contains("scenario done"), "{said}");
    // Lines `w DATA` and `r DATA`; what gdb read a byte at a time is in pieces.
    for line in std::fs::read_to_string(log).unwrap().lines() {
        match line.split_at_checked(2) {
            Some(("w ", data)) => {
                cost.sent += data.len() as u64;
                cost.packets += data.matches('$').count() as u64;
            }
            Some(("r ", data)) => cost.received += data.len() as u64,
            _ => {}
        }
    }
    Some(cost)
}
