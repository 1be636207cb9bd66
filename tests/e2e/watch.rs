//! Hardware breakpoints and watchpoints on the real guest, whose kernel drops
//! their hits unless it is cured of that.

use crate::facts::{address, alive, line_of, setup, start_stopped, type_line};
use crate::support::{
    batch::{Batch, Line},
    guest::boot,
};
use kgdb_tui::demo::guest::{Boot, Hgfs};
use serde_json::{Value, json};

/// A session whose commands are given as its answers are read.
struct Talk {
    batch: Batch,
    commands: std::vec::IntoIter<&'static str>,
}

impl Talk {
    fn next(&mut self) -> Line {
        let command = self.commands.next().unwrap();
        let line = self.batch.next();
        assert_eq!(line.command, command);
        line
    }

    #[track_caller]
    fn ok(&mut self) -> Value {
        self.next().ok().clone()
    }

    #[track_caller]
    fn refused(&mut self, words: &[&str]) {
        let line = self.next();
        let why = line.error.unwrap_or_else(|| panic!("{} was done", line.command));
        for word in words {
            assert!(why.contains(word), "{}: {why}", line.command);
        }
    }

    /// A new breakpoint that must be armed.
    #[track_caller]
    fn armed(&mut self) -> Value {
        let answer = self.ok();
        let wish = answer["breakpoints"][0].clone();
        assert_eq!(wish["state"], "armed", "{answer}");
        wish
    }

    #[track_caller]
    fn stop(&mut self) -> Value {
        self.next().stop().clone()
    }

    /// A stop at a watchpoint: the old and the new value.
    #[track_caller]
    fn seen(&mut self, number: u64, cpu: u64) -> (u64, u64, Value) {
        let stop = self.stop();
        assert_eq!(stop["reason"], "watchpoint", "{stop}");
        assert_eq!((&stop["breakpoint"], &stop["cpu"]), (&number.into(), &cpu.into()), "{stop}");
        let value = |name: &str| {
            let text = stop["watch"][name].as_str().unwrap();
            text.split(' ').next().unwrap().parse().unwrap()
        };
        (value("old"), value("new"), stop)
    }

    #[track_caller]
    fn at(&mut self, number: u64, function: &str) -> Value {
        let stop = self.stop();
        let told = (&stop["reason"], &stop["breakpoint"], &stop["function"]);
        assert_eq!(told, (&"breakpoint".into(), &number.into(), &function.into()), "{stop}");
        stop
    }

    #[track_caller]
    fn values(&mut self, count: usize) -> Vec<String> {
        let value = |answer: Value| answer["value"].as_str().unwrap().to_owned();
        (0..count).map(|_| value(self.ok())).collect()
    }
}

/// What the kernel itself has of the first debug register on both CPUs, and of
/// the second and the last one on one each.
const STATES: [&str; 4] = [
    "p (*(struct perf_event **)((char *)breakinfo[0].pev + __per_cpu_offset[0]))->state",
    "p (*(struct perf_event **)((char *)breakinfo[0].pev + __per_cpu_offset[1]))->state",
    "p (*(struct perf_event **)((char *)breakinfo[1].pev + __per_cpu_offset[0]))->state",
    "p (*(struct perf_event **)((char *)breakinfo[3].pev + __per_cpu_offset[1]))->state",
];

const ENABLED: [&str; 4] = [
    "p breakinfo[0].enabled",
    "p breakinfo[1].enabled",
    "p breakinfo[2].enabled",
    "p breakinfo[3].enabled",
];

const ACTIVE: &str = "PERF_EVENT_STATE_ACTIVE";
const OFF: &str = "PERF_EVENT_STATE_OFF";

#[test]
fn memory_is_watched_on_both_cpus() {
    let mut guest = boot(&Boot { hgfs: Hgfs::Loaded, ..Boot::default() });
    let groups: [&[&str]; 8] = [
        &["watch hgfs_transport.next_id", "hbreak HgfsSendRequest", "set hardware-cure on"],
        &["watch hgfs_transport.next_id"],
        &STATES,
        // One hit on each CPU.
        &["continue", "continue", "p hgfs_transport.next_id", "delete"],
        // Another type in the same register, at a stop by a debug exception.
        &["awatch hgfs_transport.next_id", "continue", "continue", "continue", "delete"],
        // All sizes at once, of one address; what has no place in memory, or
        // not enough registers.
        &[
            "watch hgfs_transport.next_id",
            "watch *(unsigned char *)&hgfs_transport.next_id",
            "watch *(unsigned short *)&hgfs_transport.next_id",
            "watch *(unsigned long *)&hgfs_transport.next_id",
            "watch hgfs_transport.next_id if hgfs_transport.next_id == 0",
            "info breakpoints",
            "watch $rip",
            "watch 1 + 1",
            "watch hgfs_transport",
            "watch cpu_dr7",
            "continue",
            "delete",
        ],
        // A breakpoint, steps from it, and the fifth.
        &[
            "hbreak HgfsSendRequest",
            "continue",
            "stepi",
            "continue",
            "next",
            "awatch hgfs_transport.pending",
            "rwatch hgfs_latency_ms",
            "hbreak HgfsAnswerRequest",
            "disable 9",
            "watch *(unsigned short *)((char *)&hgfs_transport.worker + 1)",
            "info breakpoints",
            "enable 9",
            "delete",
        ],
        &["detach"],
    ];
    let commands: Vec<&'static str> =
        groups.iter().flat_map(|group| group.iter().copied()).collect();
    let program = setup(&guest);
    let batch = start_stopped(&mut guest, program, &commands);
    let mut talk = Talk { batch, commands: commands.into_iter() };

    for _ in 0..2 {
        talk.refused(&["perf_event.state", "set hardware-cure on", "2 writes of 4 bytes"]);
    }
    talk.ok();
    let answer = talk.ok();
    let wish = &answer["breakpoints"][0];
    assert_eq!((&wish["state"], &wish["kind"]), (&"armed".into(), &"hw watchpoint".into()));
    assert_eq!(answer["hardware"], json!({"used": 1, "slots": 4}));
    assert_eq!((&wish["watch"]["length"], &wish["watch"]["registers"]), (&4.into(), &1.into()));
    assert_eq!(talk.values(4), [ACTIVE, ACTIVE, OFF, OFF]);

    let once = "taskset 1 cat /proc/hgfs > /dev/null; taskset 2 cat /proc/hgfs > /dev/null; ";
    type_line(&mut guest, &once.repeat(4));
    let (old, new, stop) = talk.seen(1, 0);
    assert_eq!(new, old + 1);
    let by = &stop["watch"]["by"];
    let written = line_of("hgfs/request.c", "transport->next_id = id;");
    assert_eq!((&by["line"], &by["proven"]), (&written.into(), &true.into()), "{stop}");
    assert!(by["instruction"].as_str().unwrap().starts_with("mov"), "{by}");
    assert!(address(&by["pc"]) < address(&stop["pc"]), "the trap comes after the access");
    let (old, last, _) = talk.seen(1, 1);
    assert_eq!((old, last), (new, new + 1));
    assert_eq!(talk.values(1), [last.to_string()]);
    talk.ok();

    assert_eq!(talk.armed()["kind"], "acc watchpoint");
    let (old, new, stop) = talk.seen(2, 0);
    assert_eq!((old, new), (last, last), "a read: {stop}");
    let (old, new, _) = talk.seen(2, 0);
    assert_eq!((old, new), (last, last + 1));
    let (old, new, stop) = talk.seen(2, 1);
    assert_eq!((old, new), (last + 1, last + 1), "a read on the other CPU: {stop}");
    talk.ok();

    for _ in 0..5 {
        talk.armed();
    }
    assert_eq!(talk.ok()["hardware"]["used"], 1, "all are of one address");
    talk.refused(&["register"]);
    talk.refused(&["value", "watch *(TYPE *)"]);
    talk.refused(&["64 bytes", "four debug registers"]);
    talk.refused(&["cpu_dr7", "every exception"]);
    let (old, new, stop) = talk.seen(3, 1);
    assert_eq!((old, new), (last + 1, last + 2));
    let also = stop["watch"]["also"].as_array().unwrap();
    let numbers: Vec<_> = also.iter().map(|hit| hit["number"].as_u64().unwrap()).collect();
    assert_eq!(numbers, [4, 5, 6], "all but the one whose condition is false: {stop}");
    talk.ok();

    let wish = talk.armed();
    assert_eq!((&wish["kind"], &wish["number"]), (&"hw breakpoint".into(), &8.into()));
    let first = talk.at(8, "HgfsSendRequest");
    assert_eq!(first["cpu"], 0);
    let stepped = talk.stop();
    assert_eq!(stepped["reason"], "step");
    assert!(address(&stepped["pc"]) > address(&first["pc"]), "{stepped}");
    let second = talk.at(8, "HgfsSendRequest");
    assert_eq!((&second["cpu"], &second["pc"]), (&1.into(), &first["pc"]), "{second}");
    assert_eq!(talk.stop()["reason"], "step");
    assert_eq!(talk.armed()["watch"]["registers"], 2);
    assert_eq!(talk.armed()["kind"], "read watchpoint");
    talk.refused(&["4 debug registers", "8 hw breakpoint", "9 acc watchpoint", "(2 registers)"]);
    talk.ok();
    let odd = talk.armed();
    assert_eq!(odd["watch"]["registers"], 2, "an odd address: {odd}");
    assert_eq!(talk.ok()["hardware"], json!({"used": 4, "slots": 4}));
    talk.refused(&["this would be 6"]);
    talk.ok();
    talk.ok();
    talk.batch.end();

    // Nothing is left in the kernel, and nothing stops it.
    type_line(&mut guest, once);
    alive(&mut guest);
    let witness: Vec<&'static str> = [&STATES[..], &ENABLED, &["detach"]].concat();
    let program = setup(&guest);
    let batch = start_stopped(&mut guest, program, &witness);
    let mut talk = Talk { batch, commands: witness.into_iter() };
    assert_eq!(talk.values(4), [OFF; 4]);
    assert_eq!(talk.values(4), ["0"; 4]);
    talk.ok();
    talk.batch.end().all_good();
    alive(&mut guest);
}

#[test]
fn what_is_watched_may_go() {
    let mut guest = boot(&Boot { hgfs: Hgfs::Loaded, ..Boot::default() });
    let commands = vec![
        "set hardware-cure on",
        // On the stack of a function that returns.
        "tbreak HgfsSendOpenRequest",
        "continue",
        "watch *handle",
        "awatch hgfs_stats.answered",
        "delete 3",
        "continue",
        "continue",
        "info breakpoints",
        // In a module that goes.
        "watch hgfs_transport.next_id",
        "hbreak HgfsSendRequest",
        "catch unload hgfs",
        "continue",
        "continue",
        "continue",
        "info breakpoints",
        "detach",
    ];
    let program = setup(&guest);
    let batch = start_stopped(&mut guest, program, &commands);
    let mut talk = Talk { batch, commands: commands.into_iter() };
    let lines = "echo open motd > /proc/hgfs; cat /proc/hgfs > /dev/null; rmmod hgfs";
    type_line(&mut guest, lines);
    talk.ok();
    talk.armed();
    talk.at(1, "HgfsSendOpenRequest");
    let wish = talk.armed();
    assert!(wish["watch"]["frame"].is_string(), "{wish}");
    let copy = talk.armed();
    assert!(copy["note"].as_str().unwrap().contains("the copy of CPU"), "{copy}");
    talk.ok();
    let stop = talk.stop();
    assert_eq!((&stop["reason"], &stop["breakpoint"]), (&"watchpoint".into(), &2.into()), "{stop}");
    let written = line_of("hgfs/request.c", "*handle = req->handle;");
    assert_eq!(stop["watch"]["by"]["line"], written, "{stop}");
    let over = talk.stop();
    assert_eq!((&over["reason"], &over["breakpoint"]), (&"watchpoint scope".into(), &2.into()));
    assert_eq!(talk.ok()["breakpoints"], json!([]), "it is gone with its frame");

    for kind in ["hw watchpoint", "hw breakpoint", "catch unload"] {
        assert_eq!(talk.armed()["kind"], kind);
    }
    talk.at(5, "HgfsSendRequest");
    assert_eq!(talk.stop()["reason"], "watchpoint");
    assert_eq!(talk.stop()["reason"], "module unloaded");
    let answer = talk.ok();
    let states = answer["breakpoints"].as_array().unwrap().iter();
    let states: Vec<_> = states.map(|wish| wish["state"].as_str().unwrap()).collect();
    assert_eq!(states, ["pending", "pending", "armed"], "{answer}");
    assert_eq!(answer["hardware"]["used"], 0);
    talk.ok();
    talk.batch.end().all_good();
    alive(&mut guest);
}

/// What both CPUs read all the time: when the guest is left, the other one has
/// mostly met it too, and would stop the guest with nobody there.
#[test]
fn nobody_is_left_waiting_at_a_watchpoint() {
    let mut guest = boot(&Boot::default());
    for _ in 0..5 {
        let commands =
            ["set hardware-cure on", "rwatch jiffies_64", "continue", "continue", "detach"];
        let program = setup(&guest);
        let mut batch = start_stopped(&mut guest, program, &commands);
        batch.ok(commands[0]);
        batch.ok(commands[1]);
        for command in &commands[2..4] {
            assert_eq!(batch.stop(command)["reason"], "watchpoint");
        }
        batch.ok("detach");
        batch.end().all_good();
        alive(&mut guest);
    }
}
