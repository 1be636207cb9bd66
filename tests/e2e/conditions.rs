//! What makes a breakpoint count and what it does then, with the counts of the
//! guest itself and of gdb as witnesses.

use crate::agreement::{gdb, socket};
use crate::facts::{address, alive, line_of, run, setup, start_stopped, type_line, variable};
use crate::support::{
    batch::{Batch, Setup},
    guest::boot,
};
use kgdb_tui::demo::guest::{Boot, Hgfs, Link};
use serde_json::Value;
use std::time::Instant;

/// Six requests of the guest's shell, and the end of them.
const SIX: &str =
    "for n in hello motd shopping hello motd shopping; do echo open $n > /proc/hgfs; done";

/// The requests the guest has counted.
const SENT: &str = "print per_cpu(hgfs_stats, 0).sent + per_cpu(hgfs_stats, 1).sent";

/// A breakpoint of a list, by number.
#[track_caller]
fn breakpoint(answer: &Value, number: u64) -> &Value {
    let all = answer["breakpoints"].as_array().unwrap();
    let found = all.iter().find(|one| one["number"] == number);
    found.unwrap_or_else(|| panic!("no breakpoint {number} in {answer}"))
}

/// The text in double quotes of a value.
#[track_caller]
fn quoted(value: &Value) -> &str {
    let text = value.as_str().unwrap_or_else(|| panic!("no text: {value}"));
    text.split('"').nth(1).unwrap_or_else(|| panic!("no quotes in {text}"))
}

/// What a `print` printed.
fn printed(batch: &mut Batch, command: &str) -> String {
    batch.ok(command)["value"].as_str().unwrap().to_owned()
}

#[test]
fn what_counts_is_counted_as_the_guest_counts() {
    let mut guest = boot(&Boot { hgfs: Hgfs::Loaded, ..Boot::default() });
    let shell: u64 = run(&mut guest, "echo $$").trim().parse().unwrap();
    let task = format!("break HgfsSendRequest task {shell}");
    let in_nested = line_of("hgfs/request.c", "transport->next_id = id;");
    let nested = format!("break hgfs/request.c:{in_nested} if id % 2 == 0");
    let name = "print req->name";
    let setup = setup(&guest).arg("--timeout").arg("60");
    let mut batch = start_stopped(
        &mut guest,
        setup,
        &[
            // What is wrong is told at once, with no breakpoint left.
            "break HgfsSendRequest if req->nam[0] == 'm'",
            "break HgfsSendRequest if req->id = 5",
            "break HgfsSendRequest if req->name[0] == 'm'",
            "continue",
            name,
            "continue",
            "info breakpoints",
            // Everything counts, and the first four are ignored.
            "condition 1",
            "ignore 1 4",
            "continue",
            name,
            "info breakpoints",
            "delete",
            // By who comes.
            &task,
            "continue",
            name,
            "delete",
            "break HgfsSendRequest comm cat",
            "continue",
            "info breakpoints",
            "delete",
            "break HgfsSendRequest cpu 0",
            "break HgfsSendRequest cpu 1",
            "ignore 4 1000",
            "ignore 5 1000",
            // 50 that do not count, to the last one.
            "break HgfsSendRequest if req->id == 0xfffffff0",
            SENT,
            "continue",
            SENT,
            "info breakpoints",
            "delete",
            // Printed, and gone on.
            "dprintf HgfsSendRequest,\"open %s, %d\\n\",req->name,req->op",
            "condition 7 req->name[0] != 's'",
            "tbreak HgfsSendRequest if req->name[0] == 's' && req->attempts == 0",
            "commands $bpnum; silent; printf \"%s|%p\",req->name,req; bt 1; end",
            "continue",
            "printf \"%s|%p\",req->name,req",
            "bt 1",
            "info breakpoints",
            "delete",
            // Where a condition can't be told, it stops.
            "break HgfsSendRequest if *(int *)16 == 5",
            "continue",
            "delete",
            // A step goes on being one over what does not count.
            "tbreak HgfsSendOpenRequest",
            "continue",
            "break HgfsSendRequest if req->id == 0xfffffff0",
            "next",
            "next",
            "next",
            "next",
            "next",
            "info breakpoints",
            "delete",
            // In code that was inlined, by its own variable.
            &nested,
            "continue",
            "info locals",
            "enable count 2 11",
            "continue",
            "continue",
            "info breakpoints",
            "delete",
            "detach",
        ],
    );
    let line = batch.next();
    let error = line.error.unwrap();
    assert!(error.contains("no member 'nam'") && error.contains("^^^"), "{error}");
    assert!(batch.next().error.unwrap().contains("would write"));
    let set = batch.ok("break HgfsSendRequest if req->name[0] == 'm'");
    assert_eq!(breakpoint(&set, 1)["condition"], "req->name[0] == 'm'");

    type_line(&mut guest, SIX);
    assert_eq!(batch.stop("continue")["breakpoint"], 1);
    assert_eq!(quoted(&batch.ok(name)["value"]), "motd");
    batch.stop("continue");
    let list = batch.ok("info breakpoints");
    // hello, MOTD, shopping, hello, MOTD
    assert_eq!(
        (&breakpoint(&list, 1)["hits"], &breakpoint(&list, 1)["passed"]),
        (&2.into(), &3.into())
    );

    assert_eq!(breakpoint(&batch.ok("condition 1"), 1)["condition"], Value::Null);
    assert_eq!(breakpoint(&batch.ok("ignore 1 4"), 1)["ignore"], 4);
    // One shopping is left of the first six.
    type_line(&mut guest, SIX);
    batch.stop("continue");
    assert_eq!(quoted(&batch.ok(name)["value"]), "hello");
    let list = batch.ok("info breakpoints");
    assert_eq!(
        (&breakpoint(&list, 1)["hits"], &breakpoint(&list, 1)["ignore"]),
        (&7.into(), &0.into())
    );
    batch.ok("delete");

    batch.ok(&task);
    // The two that are left, then one of another task, then one of the shell's.
    type_line(&mut guest, "(echo open secret > /proc/hgfs); echo open hello > /proc/hgfs");
    batch.stop("continue");
    assert_eq!(quoted(&batch.ok(name)["value"]), "motd", "still the shell's own");
    batch.ok("delete");
    batch.ok("break HgfsSendRequest comm cat");
    type_line(&mut guest, "cat /proc/hgfs > /dev/null");
    let stop = batch.stop("continue");
    assert_eq!((&stop["comm"], &stop["breakpoint"]), (&"cat".into(), &3.into()));
    let list = batch.ok("info breakpoints");
    // shopping, secret and hello came before.
    assert_eq!(
        (&breakpoint(&list, 3)["hits"], &breakpoint(&list, 3)["passed"]),
        (&1.into(), &3.into())
    );
    assert_eq!(breakpoint(&list, 3)["scope"]["comm"], "cat");
    batch.ok("delete");

    batch.ok("break HgfsSendRequest cpu 0");
    batch.ok("break HgfsSendRequest cpu 1");
    batch.ok("ignore 4 1000");
    batch.ok("ignore 5 1000");
    batch.ok("break HgfsSendRequest if req->id == 0xfffffff0");
    let before: u64 = printed(&mut batch, SENT).parse().unwrap();
    // The request of the cat that stopped here is the first to be counted.
    type_line(
        &mut guest,
        "for i in $(seq 49); do echo open hello > /proc/hgfs; done; echo g > /proc/sysrq-trigger",
    );
    let stop = batch.stop("continue");
    assert_eq!(stop["function"], "kgdb_breakpoint", "{stop}");
    let after: u64 = printed(&mut batch, SENT).parse().unwrap();
    assert_eq!(after - before, 50);
    let list = batch.ok("info breakpoints");
    let count = |number| breakpoint(&list, number)["hits"].as_u64().unwrap();
    assert_eq!(count(4) + count(5), 49, "each is on one CPU: {list}");
    assert_eq!((count(6), &breakpoint(&list, 6)["passed"]), (0, &49.into()));
    batch.ok("delete");

    let log = batch.ok("dprintf HgfsSendRequest,\"open %s, %d\\n\",req->name,req->op");
    assert_eq!(breakpoint(&log, 7)["kind"], "dprintf");
    batch.next().ok();
    batch.next().ok();
    batch.next().ok();
    type_line(&mut guest, SIX);
    let stop = batch.stop("continue");
    assert_eq!(stop["breakpoint"], 8);
    let logs: Vec<_> = batch.logs.iter().map(|log| log["text"].as_str().unwrap()).collect();
    assert_eq!(logs, ["open hello, 1\n", "open motd, 1\n"]);
    let log = &batch.logs[0];
    assert_eq!((&log["breakpoint"], &log["pid"]), (&7.into(), &shell.into()));
    assert!(log["cpu"].is_u64() && log["comm"].is_string() && log["seconds"].is_f64(), "{log}");
    // Its commands, before the ones given.
    let text = batch.ok("printf \"%s|%p\",req->name,req");
    assert!(text["text"].as_str().unwrap().starts_with("shopping|0xffff"), "{text}");
    assert_eq!(batch.ok("bt 1")["frames"][0]["function"], "HgfsSendRequest");
    batch.ok("printf \"%s|%p\",req->name,req");
    batch.ok("bt 1");
    let list = batch.ok("info breakpoints");
    assert_eq!(list["breakpoints"].as_array().unwrap().len(), 1, "the temporary one is gone");
    assert_eq!(breakpoint(&list, 7)["hits"], 2);
    batch.ok("delete");

    batch.ok("break HgfsSendRequest if *(int *)16 == 5");
    let stop = batch.stop("continue");
    let why = stop["condition_error"].as_str().unwrap();
    assert!(why.contains("breakpoint 9") && why.contains("can't be read"), "{why}");
    batch.ok("delete");

    batch.ok("tbreak HgfsSendOpenRequest");
    batch.stop("continue");
    batch.ok("break HgfsSendRequest if req->id == 0xfffffff0");
    let lines: Vec<Value> = (0..5).map(|_| batch.stop("next")).collect();
    for stop in &lines {
        assert_eq!(
            (&stop["reason"], &stop["function"]),
            (&"step".into(), &"HgfsSendOpenRequest".into())
        );
    }
    let list = batch.ok("info breakpoints");
    assert_eq!(
        (&breakpoint(&list, 11)["hits"], &breakpoint(&list, 11)["passed"]),
        (&0.into(), &1.into()),
        "{lines:?}"
    );
    batch.ok("delete");

    batch.ok(&nested);
    type_line(&mut guest, SIX);
    for place in 0..3 {
        batch.stop("continue");
        if place == 0 {
            let locals = batch.ok("info locals");
            let id: u64 =
                variable(&locals["variables"], "id")["value"].as_str().unwrap().parse().unwrap();
            assert_eq!(id % 2, 0);
            let line = batch.next();
            assert!(line.error.is_some(), "11 is gone: {line:?}");
        }
    }
    let list = batch.ok("info breakpoints");
    assert_eq!(breakpoint(&list, 12)["hits"], 3);
    batch.ok("delete");
    batch.ok("detach");
    batch.end();
    alive(&mut guest);
}

/// The same conditional breakpoint in gdb: the same hit, the same count; and
/// what a hit costs that does not count.
#[test]
fn gdb_stops_at_the_same_hit() {
    let mut guest =
        boot(&Boot { kaslr: false, hgfs: Hgfs::Loaded, link: Link::Unix, ..Boot::default() });
    let mut gdb = gdb(&mut guest);
    let socket = socket(&guest);
    let set = "break HgfsSendRequest if req->name[0] == 'm'";
    let loops = |count: u32| {
        format!(
            "for i in $(seq {count}); do for n in hello motd shopping; do echo open $n > /proc/hgfs; done; done"
        )
    };
    let begin = Setup::new(guest.address()).arg("--leave-stopped");
    start_stopped(&mut guest, begin, &[]).end().all_good();
    type_line(&mut guest, &loops(4));
    let commands =
        ["wait 30", set, "ignore 1 1", "continue", "info breakpoints", "print req->name", "next"];
    let ours = Setup::new(guest.address()).arg("--leave-stopped").exs(&commands).run().all_good();
    let hits = breakpoint(ours.ok("info breakpoints"), 1)["hits"].as_u64().unwrap();
    assert_eq!((hits, quoted(&ours.ok("print req->name")["value"])), (2, "motd"));

    let target = format!("target remote {}", socket.display());
    let hit = "python hit('req->name')";
    let log = tempfile::NamedTempFile::new().unwrap();
    let remote = format!("set remotelogfile {}", log.path().display());
    let said = gdb.ask(&[&remote, &target, set, "ignore 1 1", "continue", hit, "delete"]);
    assert_eq!(said[0]["hits"], 2, "{said:?}");
    assert_eq!(quoted(&said[0]["value"]), "motd");
    // What is left of the loop comes by, and the shell is back.
    let never = "break HgfsSendRequest if req->name[0] == 'z'";
    type_line(&mut guest, &format!("{}; echo g > /proc/sysrq-trigger", loops(7)));
    let began = Instant::now();
    gdb.ask(&[never, "continue", "delete", "disconnect"]);
    let gdb_time = began.elapsed().as_secs_f64();
    drop(gdb);
    // From the second `continue` on.
    let text = std::fs::read_to_string(log.path()).unwrap();
    let from = text.match_indices("$c#63").nth(1).map_or(0, |(at, _)| at);
    let gdb_packets = text[from..]
        .lines()
        .filter_map(|line| line.strip_prefix("w "))
        .map(|data| data.matches('$').count())
        .sum::<usize>();

    // gdb had the last of the first loop too.
    let (each, time) = (gdb_packets as f64 / 22.0, gdb_time * 1000.0 / 22.0);
    eprintln!("a hit that does not count for gdb: {each:.1} packets, {time:.1} ms");
    for (never, most) in [(never, 8), ("break HgfsSendRequest comm nobody", 7)] {
        type_line(&mut guest, &format!("{}; echo g > /proc/sysrq-trigger", loops(7)));
        let commands = ["wait 30", never, "continue", "info breakpoints", "delete"];
        let stays = setup(&guest).arg("--leave-stopped");
        let ours = stays.exs(&commands).run().all_good();
        let list = ours.ok("info breakpoints");
        let passed = breakpoint(list, 1)["passed"].as_u64().unwrap();
        let line = ours.line("continue");
        let packets = line.wire["packets"].as_u64().unwrap();
        let bytes = line.wire["tx"].as_u64().unwrap() + line.wire["rx"].as_u64().unwrap();
        assert_eq!(passed, 21);
        eprintln!(
            "{never}: {:.1} packets, {} bytes, {:.1} ms",
            packets as f64 / passed as f64,
            bytes / passed,
            line.seconds * 1000.0 / passed as f64,
        );
        // The stop at the end, and what the panes of no screen show, are in it.
        assert!(packets <= passed * most + 30, "{packets} packets");
    }
    setup(&guest).exs(&["wait 30", "detach"]).run().all_good();
    alive(&mut guest);
}

/// Breakpoints come by all the time: it can be stopped all the same, and what
/// is saved is set again.
#[test]
fn a_flood_is_survived_and_breakpoints_are_saved() {
    let mut guest = boot(&Boot { hgfs: Hgfs::Loaded, ..Boot::default() });
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("points.gdb");
    let (save, source) =
        (format!("save breakpoints {}", file.display()), format!("source {}", file.display()));
    let commands = [
        "break vfs_read if count == 0x7fffffff",
        "break ksys_write task 1 cpu 0 if count == 12345",
        "continue",
        "interrupt",
        "info breakpoints",
        "commands 2; print count; bt; end",
        "dprintf HgfsSendRequest,\"a %s\",req->name",
        "tbreak HgfsOpenFile",
        "ignore 4 3",
        "disable 3",
        &save,
        "delete",
        &source,
        "delete",
        "rbreak ^HgfsSend(Open|Read)Request$",
    ];
    let mut batch = {
        let setup = setup(&guest).arg("--timeout").arg("6");
        start_stopped(&mut guest, setup, &commands)
    };
    batch.ok(commands[0]);
    batch.ok(commands[1]);
    type_line(&mut guest, "while true; do read x < /proc/version; done &");
    let line = batch.next();
    assert!(line.error.as_ref().is_some_and(|error| error.contains("no stop within")), "{line:?}");
    let began = Instant::now();
    let stop = batch.stop("interrupt");
    assert!(began.elapsed().as_secs() < 5);
    assert_eq!(stop["reason"], "interrupt", "{stop}");
    assert!(["vfs_read", "ksys_write"].contains(&stop["function"].as_str().unwrap()), "{stop}");
    let list = batch.ok("info breakpoints");
    eprintln!("{} passed in 6 s", breakpoint(&list, 1)["passed"]);
    assert!(breakpoint(&list, 1)["passed"].as_u64().unwrap() > 20, "{list}");
    let before: Vec<Value> = (0..6).map(|_| batch.next().ok().clone()).collect();
    batch.ok("delete");
    batch.ok(&source);
    let text = std::fs::read_to_string(&file).unwrap();
    // gdb's own words, but for who must come.
    for line in [
        "break vfs_read if count == 0x7fffffff",
        "break ksys_write task 1 cpu 0 if count == 12345",
        "dprintf HgfsSendRequest,\"a %s\",req->name",
        "tbreak HgfsOpenFile",
        "ignore $bpnum 3",
        "disable $bpnum",
    ] {
        assert!(text.lines().any(|own| own == line), "no {line} in\n{text}");
    }
    let ended = batch.end();
    let told: Vec<&Value> = ended.lines.iter().map(|line| line.ok()).collect();
    assert_eq!(told.len(), 9, "{told:#?}");
    let found = &ended.ok("rbreak ^HgfsSend(Open|Read)Request$")["breakpoints"];
    assert_eq!(found.as_array().unwrap().len(), 2, "{found}");
    assert!(before.iter().all(|answer| !answer.is_null()));
    assert!(address(&stop["pc"]) > 0);
    run(&mut guest, "kill $!");
    alive(&mut guest);
}
