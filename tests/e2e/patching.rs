//! Breakpoints while the kernel changes its own text: kgdb can neither plant nor
//! take out then, and would lose the byte that an int3 stands for.

use crate::facts::{alive, reaches_the_entry, run, setup, start_stopped, type_line};
use crate::support::{
    batch::Setup,
    guest::{LockedGuest, boot},
};
use kgdb_tui::demo::guest::{Boot, Hgfs};

const TRACING: &str = "/sys/kernel/tracing";

/// A guest that can trace one function, whose tracing is off. More functions are
/// not patched: an emulator may keep code that has changed.
fn traced() -> (LockedGuest, Setup) {
    let mut guest = boot(&Boot { hgfs: Hgfs::Loaded, ..Boot::default() });
    run(&mut guest, &format!("mount -t tracefs none {TRACING}"));
    run(&mut guest, &format!("echo HgfsProcShow > {TRACING}/set_ftrace_filter"));
    let setup = setup(&guest);
    (guest, setup)
}

/// Turns tracing on and off, and counts.
fn toggle(guest: &mut LockedGuest) {
    let (on, off) = ("echo function", "echo nop");
    let tracer = format!("{TRACING}/current_tracer");
    type_line(guest, &format!("({on} > {tracer}; {off} > {tracer}; echo toggled) &"));
}

/// The stopped task itself holds `text_mutex`: it is stepped, gets off the
/// breakpoint it stands on, and meets it again.
#[test]
fn a_task_that_changes_the_kernels_text() {
    let (mut guest, setup) = traced();
    let commands = [
        "break kernel/ftrace.c:ftrace_replace_code",
        "break HgfsSendRequest",
        "continue",
        "bt",
        "p text_mutex.owner.counter != 0",
        "next",
        "next",
        "nexti",
        "stepi",
        "break vfs_write",
        "delete 3",
        "info breakpoints",
        "continue",
        "finish",
        "continue",
        "detach",
    ];
    let mut batch = start_stopped(&mut guest, setup, &commands);
    batch.ok(commands[0]);
    batch.ok(commands[1]);
    toggle(&mut guest);
    let on = batch.stop(commands[2]);
    assert_eq!((&on["function"], &on["breakpoint"]), (&"ftrace_replace_code".into(), &1.into()));
    reaches_the_entry(&batch.ok(commands[3]));
    assert_eq!(batch.ok(commands[4])["value"], "1");
    for command in &commands[5..9] {
        let stop = batch.stop(command);
        assert_eq!((&stop["reason"], &stop["pid"]), (&"step".into(), &on["pid"]), "{stop}");
    }
    assert_eq!(batch.ok(commands[9])["breakpoints"][0]["state"], "armed");
    batch.ok(commands[10]);
    let all = batch.ok(commands[11]);
    let states: Vec<_> =
        all["breakpoints"].as_array().unwrap().iter().map(|b| b["state"].clone()).collect();
    assert_eq!(states, ["armed", "armed"], "{all}");
    let off = batch.stop(commands[12]);
    assert_eq!((&off["function"], &off["breakpoint"]), (&"ftrace_replace_code".into(), &1.into()));
    assert_eq!(batch.stop(commands[13])["function"], "ftrace_modify_all_code");
    type_line(&mut guest, "cat /proc/hgfs > /dev/null");
    let hit = batch.stop(commands[14]);
    assert_eq!((&hit["function"], &hit["breakpoint"]), (&"HgfsSendRequest".into(), &2.into()));
    batch.ok(commands[15]);
    let ended = batch.end().all_good();
    assert!(!ended.said.contains("has to wait until"), "{}", ended.said);
    alive(&mut guest);
    assert_clean(&mut guest);
}

/// The guest is left where the stopped task holds `text_mutex`: what is in memory
/// is taken out before.
#[test]
fn leaving_a_task_that_changes_the_kernels_text() {
    let (mut guest, setup) = traced();
    let commands =
        ["break kernel/ftrace.c:ftrace_replace_code", "break HgfsSendRequest", "continue"];
    let mut batch = start_stopped(&mut guest, setup, &[&commands[..], &["detach"]].concat());
    batch.ok(commands[0]);
    batch.ok(commands[1]);
    toggle(&mut guest);
    assert_eq!(batch.stop(commands[2])["function"], "ftrace_replace_code");
    batch.ok("detach");
    batch.end().all_good();
    alive(&mut guest);
    assert_clean(&mut guest);
}

/// A step over the taking of `text_mutex`: when it comes back kgdb can't take its
/// site out any more, and the code of the function is known from before.
#[test]
fn a_step_over_the_taking_of_text_mutex() {
    let (mut guest, setup) = traced();
    let prepare = "ftrace_arch_code_modify_prepare";
    let begin = format!("break {prepare}");
    let round = ["continue", "next", "next", "finish"];
    let commands = [&[begin.as_str()][..], &round, &round, &["delete", "detach"]].concat();
    let mut batch = start_stopped(&mut guest, setup.arg("--timeout").arg("40"), &commands);
    batch.ok(&begin);
    toggle(&mut guest);
    for _ in 0..2 {
        let begun = batch.stop("continue");
        assert_eq!((&begun["function"], &begun["breakpoint"]), (&prepare.into(), &1.into()));
        let over = ["next", "next"].map(|step| batch.stop(step));
        for stop in &over {
            assert_eq!((&stop["reason"], &stop["pid"]), (&"step".into(), &begun["pid"]), "{stop}");
        }
        let out = batch.stop("finish");
        assert_eq!((&out["reason"], &out["pid"]), (&"finish".into(), &begun["pid"]), "{out}");
    }
    batch.ok("delete");
    batch.ok("detach");
    batch.end().all_good();
    alive(&mut guest);
    assert_clean(&mut guest);
}

/// That nothing is left in the guest: all that was touched runs, and the kernel
/// had nothing to say about kgdb but what it says of the mutex.
fn assert_clean(guest: &mut LockedGuest) {
    run(guest, "cat /proc/hgfs > /dev/null; echo written > /tmp/file; cat /tmp/file > /dev/null");
    toggle(guest);
    let bad = run(guest, "dmesg | grep -E 'BUG|Oops|WARNING|install failed|destroyed' || true");
    assert_eq!(bad, "");
}
