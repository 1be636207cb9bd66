//! Steps in a busy kernel: in the right task, to the end, and without a trace.

use crate::agreement::{gdb, guest};
use crate::facts::{ENTRY, alive, line_of, run, setup, start_stopped, type_line, values};
use crate::oracle::compare_steps;
use crate::support::{
    batch::{Batch, Setup},
    guest::{LockedGuest, boot},
};
use kgdb_tui::demo::guest::{Boot, Hgfs, Link};
use serde_json::Value;

/// What keeps both CPUs busy: files, processes, pipes, a terminal, sockets.
const LOAD: &[&str] = &[
    "(while :; do cat /proc/hgfs > /dev/null; done) &",
    "(while :; do yes | head -c 200000 > /dev/null; done) &",
    "(while :; do ls -lR /proc/1 > /dev/null 2>&1; done) &",
    "(while :; do echo busy > /dev/tty1; usleep 3000; done) 2> /dev/null &",
    "ifconfig lo 127.0.0.1 up",
    "(while :; do nc -l -p 77 > /dev/null < /dev/null; done) 2> /dev/null &",
    "(while :; do head -c 20000 /dev/zero | nc 127.0.0.1 77; usleep 9000; done) > /dev/null 2>&1 &",
];

/// Where the steps begin: many tasks come by there all the time. None is so
/// near to the entry that a few steps lead out of the kernel.
const BUSY: &[&str] = &[
    "vfs_write",
    "wake_up_process",
    "pipe_read",
    "dequeue_task_fair",
    "tcp_sendmsg",
    "__alloc_pages",
    "update_process_times",
    "wait_for_completion_killable",
    "hrtimer_start_range_ns",
    "tcp_rcv_established",
    "HgfsSendRequest",
    "try_to_wake_up",
    "pipe_write",
    "run_timer_softirq",
    "link_path_walk",
    "n_tty_write",
    "vfs_read",
    "tick_sched_timer",
    "seq_read_iter",
    "copy_process",
];

/// The steps from each of them, in turns.
const MIXED: &[&str] = &[
    "next", "step", "stepi", "next", "nexti", "step", "next", "finish", "next", "stepi", "step",
    "next",
];

/// What is said when a step leads out of the kernel.
const LEAVES: &str = "leaves for user mode";

/// Whether everything is tried that is there to be tried, not only as much as
/// fits in a minute.
fn is_long() -> bool {
    std::env::var_os("KGDB_TUI_LONG").is_some()
}

/// A stop of a step: in the task that is stepped, and for no other reason.
#[track_caller]
fn is_step_of(task: &Value, stop: &Value, came: &str) {
    assert!(stop["reason"] == "step" || stop["reason"] == "finish", "{came}: {stop}");
    assert_eq!(stop["pid"], task["pid"], "{came}: {stop}, from {task}");
    let function = stop["function"].as_str().unwrap_or_default();
    let entered = ["asm_sysvec_", "asm_exc_", "asm_common_interrupt", "exc_nmi"];
    assert!(!entered.iter().any(|name| function.starts_with(name)), "{came}: {stop}");
}

/// Whether the guest's shell answers, and what its kernel said last.
fn shell_says(guest: &mut LockedGuest) -> String {
    let patience = std::time::Duration::from_secs(20);
    match guest.shell().unwrap().run_for("dmesg | tail -n 5; uptime", patience) {
        Ok(output) => format!("the guest's shell answers: {}", output.text),
        Err(error) => format!("the guest's shell is silent: {error}"),
    }
}

/// 1,080 steps of all kinds with KGDB_TUI_LONG=1, which takes some minutes; 96
/// without. Interrupts are on, both CPUs are busy, and other tasks come by the
/// same places all the time.
#[test]
fn a_thousand_steps_in_a_busy_kernel() {
    let mut guest = boot(&Boot { hgfs: Hgfs::Loaded, link: Link::Unix, ..Boot::default() });
    for line in LOAD {
        type_line(&mut guest, line);
    }
    let rounds = if is_long() { 90 } else { 8 };
    let mut commands = Vec::new();
    for round in 0..rounds {
        let turned = MIXED.iter().cycle().skip(round).take(MIXED.len());
        commands.push("wait 60".to_owned());
        commands.push(format!("tbreak {}", BUSY[round % BUSY.len()]));
        commands.push("continue".into());
        commands.extend(turned.map(|step| (*step).to_owned()));
    }
    commands.extend(["wait 60".into(), "info breakpoints".into(), "detach".into()]);
    let commands: Vec<&str> = commands.iter().map(String::as_str).collect();
    let mut setup = setup(&guest).arg("--timeout").arg("90");
    if is_long() {
        setup = setup.arg("--log").arg(std::env::temp_dir().join("kgdb-tui-thousand-steps.log"));
    }
    let clock = std::time::Instant::now();
    let mut batch = start_stopped(&mut guest, setup, &commands);
    let (mut task, mut steps, mut slowest) = (Value::Null, 0, (0.0, String::new()));
    let (mut path, mut left) = (Vec::new(), 0);
    // Whether the rest of the round is void: a step came to the end of an interrupt
    // of a program, or of a system call.
    let mut is_out = false;
    for command in &commands[..commands.len() - 2] {
        let line = batch.next();
        if command.starts_with("wait") {
            line.stop();
            is_out = false;
        } else if is_out {
            continue;
        } else if line.error.is_some() && batch.said().matches(LEAVES).count() > left {
            left += 1;
            is_out = true;
            break_in(&mut guest);
            continue;
        }
        if let Some(error) = &line.error {
            let now = shell_says(&mut guest);
            panic!("{command}: {error} after {path:?}; now {now}; it said {}", batch.said());
        }
        if command.starts_with("tbreak") || command.starts_with("wait") {
            continue;
        }
        let at = line.stop().clone();
        if *command == "continue" {
            assert_eq!(at["reason"], "breakpoint", "{at} after {path:?}");
            task = at;
            path = vec![task["function"].to_string()];
        } else {
            path.push(format!("{command} {}:{}", at["function"], at["line"]));
            is_step_of(&task, &at, &format!("{path:?}"));
            steps += 1;
            if line.seconds > slowest.0 {
                slowest = (line.seconds, format!("{path:?}"));
            }
        }
    }
    assert!(left <= 2 + rounds / 20, "{left} of {rounds} walks led out of the kernel");
    assert_eq!(batch.ok("info breakpoints")["breakpoints"], Value::Array(vec![]));
    batch.ok("detach");
    batch.end().all_good();
    let seconds = clock.elapsed().as_secs_f64();
    eprintln!(
        "{steps} steps in {seconds:.0} s, {left} walks out of the kernel; the slowest took {:.1} s: {}",
        slowest.0, slowest.1
    );
    alive(&mut guest);
}

/// A part of a function that the compiler made a function of its own has the
/// name and the lines of the whole (`__run_timers.part.0`): the way out of the
/// one is not that of the other. What was its frame is written over by the first
/// interrupt, and a breakpoint on what is there then destroys the guest's data.
#[test]
fn a_step_out_of_a_part_of_a_function() {
    let mut guest = boot(&Boot { hgfs: Hgfs::Loaded, link: Link::Unix, ..Boot::default() });
    for line in LOAD {
        type_line(&mut guest, line);
    }
    let end = line_of("linux-6.1/kernel/time/timer.c", "expire_timers(base, heads + levels);") + 2;
    let stop_there = format!("tbreak kernel/time/timer.c:{end}");
    // The part's last two instructions are `sti` and `ret`.
    let round = [stop_there.as_str(), "continue", "stepi", "next"];
    let mut commands = round.repeat(24);
    commands.extend(["info packets -n 2000 Z0,", "detach"]);
    let setup = setup(&guest).arg("--timeout").arg("90");
    let mut batch = start_stopped(&mut guest, setup, &commands);
    for _ in 0..commands.len() / round.len() {
        batch.ok(&stop_there);
        let begin = batch.stop("continue");
        assert_eq!(begin["function"], "__run_timers", "{begin}");
        let path = ["stepi", "next"].map(|step| batch.stop(step));
        path.iter().for_each(|stop| is_step_of(&begin, stop, &format!("{path:?}")));
    }
    // Code is mapped there, and nothing else (Documentation/x86/x86_64/mm.rst).
    let packets = batch.ok("info packets -n 2000 Z0,");
    let planted = packets["packets"].as_array().unwrap();
    let places = planted.iter().map(|packet| packet["raw"].as_str().unwrap());
    let places: Vec<&str> = places.filter_map(|raw| raw.strip_prefix("Z0,")).collect();
    assert!(places.len() > 24, "{packets}");
    assert!(places.iter().all(|place| place.starts_with("ffffffff")), "{places:?}");
    batch.ok("detach");
    batch.end().all_good();
    alive(&mut guest);
}

/// With the 53 steps of `steps_land_where_gdbs_do` that is more than 100.
#[test]
fn more_steps_land_where_gdbs_do() {
    let mut guest = guest();
    let mut gdb = gdb(&mut guest);
    let begin = Setup::new(guest.address()).arg("--leave-stopped");
    start_stopped(&mut guest, begin, &[]).end().all_good();
    let walks = [
        ("HgfsSendRequest", "finish", 8),
        ("HgfsProcShow", "step", 8),
        // The seventh of gdb shows the call of an inlined function again whose
        // code is in pieces; ours goes into the function that it calls.
        ("HgfsSendOpenRequest", "step", 6),
        ("proc_reg_read", "next", 5),
        ("proc_reg_read", "step", 8),
        ("proc_reg_read", "finish", 2),
        ("HgfsOpenFile", "finish", 4),
        ("HgfsSendRequest", "step", 2),
        ("vfs_read", "step", 6),
        ("HgfsAnswerRequest", "step", 4),
    ];
    let differences: Vec<_> =
        walks.into_iter().filter_map(|walk| compare_steps(&mut guest, &mut gdb, walk)).collect();
    assert!(differences.is_empty(), "{differences:#?}");
}

/// The next answer, which is a stop, or why there is none.
fn next_stop(batch: &mut Batch) -> Result<Value, String> {
    let line = batch.next();
    match &line.error {
        None => Ok(line.stop().clone()),
        Some(error) => Err(error.clone()),
    }
}

/// Stops the guest from its shell while a command waits for that.
fn break_in(guest: &mut LockedGuest) {
    guest.shell().unwrap().break_in().unwrap();
}

/// What an instruction step must not be used for is done in other ways, and
/// leaves no flag behind that would stop the guest later.
#[test]
fn what_must_not_be_stepped() {
    let mut guest = boot(&Boot { hgfs: Hgfs::Busy, link: Link::Unix, ..Boot::default() });
    // A task that switches all the time, and is not on its way to be one: between
    // two hits of a breakpoint on the switch itself no task gets far enough for an exec.
    type_line(&mut guest, "(yes | cat > /dev/null) &");
    assert_eq!(run(&mut guest, "until pidof yes > /dev/null; do :; done; echo there"), "there\n");
    let mut commands = vec![
        // nop, push, pushf, pop
        "tbreak _raw_spin_lock_irqsave",
        "continue",
        "stepi 2",
        "x/i $rip",
        "stepi",
        "x/gx $rsp",
        // A switch of tasks and back.
        "tbreak *__switch_to_asm comm yes",
        "continue",
        "stepi",
        "tbreak schedule comm yes",
        "continue",
        "next",
        "finish",
        // Out of an interrupt, up to where the stack is its own.
        "tbreak update_process_times",
        "continue",
    ];
    let out = ["finish"; 7];
    commands.extend(out);
    // Out of a system call, by sysret or iret.
    commands.extend(["tbreak ksys_read", "continue", "finish", "finish", "finish", "next 90"]);
    commands.push("detach");
    let setup = setup(&guest).arg("--timeout").arg("20");
    let mut batch = start_stopped(&mut guest, setup, &commands);
    let came = |batch: &mut Batch, what: &str| {
        batch.ok(what);
        batch.stop("continue")
    };
    let task = came(&mut batch, commands[0]);
    is_step_of(&task, &batch.stop("stepi 2"), "stepi 2");
    let next = batch.ok("x/i $rip").to_string();
    assert!(next.contains("pushf"), "{next}");
    is_step_of(&task, &batch.stop("stepi"), "stepi over pushf");
    let pushed = values(&batch.ok("x/gx $rsp"))[0];
    assert_eq!(pushed & 0x102, 2, "flags without the step flag: {pushed:#x}");

    let task = came(&mut batch, commands[6]);
    let back = batch.stop("stepi");
    is_step_of(&task, &back, "stepi at __switch_to_asm");
    assert_ne!(back["function"], "__switch_to_asm");
    let task = came(&mut batch, "tbreak schedule comm yes");
    is_step_of(&task, &batch.stop("next"), "next in schedule");
    is_step_of(&task, &batch.stop("finish"), "finish of schedule");

    let task = came(&mut batch, "tbreak update_process_times");
    let mut left = Vec::new();
    for step in out {
        match next_stop(&mut batch) {
            Ok(stop) => {
                assert_eq!((&stop["pid"], &stop["reason"]), (&task["pid"], &"finish".into()));
                left.push(stop["function"].to_string());
            }
            // Of an interrupted program there is none.
            Err(why) => assert!(why.contains("no caller"), "{step}: {why} after {left:?}"),
        }
    }
    eprintln!("out of an interrupt: {left:?}");
    assert!(left.iter().any(|function| function.contains("sysvec_apic_timer_interrupt")));

    let task = came(&mut batch, "tbreak ksys_read");
    let mut stop = Value::Null;
    for _ in 0..3 {
        // The last one may be the entry code already, which has no caller.
        if let Ok(next) = next_stop(&mut batch) {
            assert_eq!(next["pid"], task["pid"], "{next}");
            stop = next;
        }
    }
    assert!(stop["function"].as_str().unwrap().starts_with(ENTRY), "{stop}");
    let line = batch.next();
    assert!(line.error.as_ref().unwrap().contains("running"), "{line:?}");
    batch.expect_said(LEAVES);
    batch.ok("detach");
    batch.end();
    alive_after_all(&mut guest);
}

/// That the guest runs, and nothing stops it any more.
fn alive_after_all(guest: &mut LockedGuest) {
    let again = setup(guest).arg("--timeout").arg("5");
    break_in(guest);
    let mut batch = again.exs(&["wait 30", "continue"]).start();
    batch.stop("wait 30");
    let line = batch.next();
    assert!(line.error.as_ref().unwrap().contains("running"), "{line:?}");
    drop(batch);
    alive(guest);
}

/// `jump` goes on at another line of the function; what is between is not done.
#[test]
fn jumps_and_runs_to_places() {
    let mut guest = boot(&Boot { hgfs: Hgfs::Busy, link: Link::Unix, ..Boot::default() });
    let call = line_of("hgfs/main.c", "ret = HgfsSendOpenRequest(name, 0444, handle);");
    let here = format!("tbreak hgfs/main.c:{call}");
    let commands = [
        // In HgfsOpenFile, at the call; then past it, and out.
        here.as_str(),
        "continue",
        "until",
        "advance HgfsSendRequest",
        "finish",
        "print $",
        // Into the call, and as far as the frame lasts.
        "tbreak HgfsSendOpenRequest",
        "continue",
        "advance HgfsSendRequest",
        "finish",
        "print $",
        "until HgfsSendRequest",
        // The call is left out: nothing comes by the function it calls.
        "break HgfsSendOpenRequest",
        here.as_str(),
        "continue",
        "tbreak HgfsProcShow",
        "p $rax = 0",
        "jump hgfs/main.c:AFTER",
        "info breakpoints",
        "delete",
        "detach",
    ];
    let after = format!("jump hgfs/main.c:{}", call + 1);
    let commands = commands.map(|c| if c.starts_with("jump") { after.as_str() } else { c });
    let setup = setup(&guest).arg("--timeout").arg("30");
    let mut batch = start_stopped(&mut guest, setup, &commands);
    batch.ok(&here);
    let task = batch.stop("continue");
    assert_eq!(task["line"], call);
    let next = batch.stop("until");
    is_step_of(&task, &next, "until");
    assert_eq!(next["function"], "HgfsOpenFile");
    // Its caller does not come by there either.
    let stop = batch.stop("advance HgfsSendRequest");
    let (pid, reason) = (&task["pid"], Value::from("location"));
    assert_eq!((&stop["pid"], &stop["reason"]), (pid, &reason), "{stop}");
    assert_eq!(stop["function"], "HgfsProcShow");
    assert_eq!(batch.stop("finish")["function"], "seq_read_iter");
    let shown = batch.ok("print $");
    eprintln!("HgfsProcShow returned {shown}");

    batch.ok(commands[6]);
    let task = batch.stop("continue");
    let stop = batch.stop("advance HgfsSendRequest");
    assert_eq!((&stop["pid"], &stop["function"]), (&task["pid"], &"HgfsSendRequest".into()));
    let stop = batch.stop("finish");
    assert_eq!((&stop["value"], &stop["value_type"]), (&"0".into(), &"int".into()), "{stop}");
    assert_eq!(batch.ok("print $")["value"], "0");
    // It is not called again in this frame.
    let stop = batch.stop("until HgfsSendRequest");
    assert_eq!((&stop["pid"], &stop["function"]), (&task["pid"], &"HgfsOpenFile".into()));

    batch.ok(commands[12]);
    batch.ok(&here);
    assert_eq!(batch.stop("continue")["function"], "HgfsOpenFile");
    batch.ok("tbreak HgfsProcShow");
    batch.ok("p $rax = 0");
    let stop = batch.stop(&after);
    assert_eq!(stop["function"], "HgfsProcShow", "the call was left out: {stop}");
    let breaks = batch.ok("info breakpoints");
    assert_eq!(breaks["breakpoints"][0]["hits"], 0, "{breaks}");
    batch.ok("delete");
    batch.ok("detach");
    batch.end().all_good();
    alive(&mut guest);
}
