//! Stacks of all kinds of ordinary activity, with gdb as the witness; what a
//! stack costs; and stacks that gdb can't see: through interrupts, to the
//! interrupted code.

use crate::{
    agreement::{Agreement, gdb, guest, socket},
    facts::{READ_STACK, address, functions, run, start_stopped, type_line},
    support::{
        batch::{Ended, Setup},
        guest::LockedGuest,
    },
};
use serde_json::Value;
use std::time::Instant;

/// What a shell does all day, again and again.
const ACTIVITY: &str = "while :; do \
     ls -l /bin >/dev/null; cat /proc/hgfs >/dev/null; echo hello >/tmp/f; \
     cat /tmp/f | wc >/dev/null; mkdir /tmp/d; rmdir /tmp/d; mv /tmp/f /tmp/g; rm /tmp/g; \
     ps >/dev/null; sleep 0.01; \
     insmod /lib/modules/dummy.ko; rmmod dummy; done 2>/dev/null &";

/// Where to stop. With a `+`, some instructions further than the entry.
const PLACES: &[&str] = &[
    // Files.
    "vfs_read",
    "+vfs_write",
    "ksys_write",
    "+do_sys_openat2",
    "path_openat",
    "+link_path_walk",
    "vfs_statx",
    "filp_close",
    "iterate_dir",
    "+shmem_file_read_iter",
    "generic_perform_write",
    "+vfs_mkdir",
    "vfs_rmdir",
    "vfs_unlink",
    "vfs_rename",
    "pipe_read",
    "+do_pipe2",
    "+seq_read_iter",
    "proc_reg_read",
    // Processes and memory.
    "kernel_clone",
    "+copy_process",
    "wake_up_new_task",
    "+load_elf_binary",
    "begin_new_exec",
    "do_exit",
    "do_wait",
    "handle_mm_fault",
    "+mmap_region",
    "unmap_vmas",
    "find_vma",
    "do_wp_page",
    "kmem_cache_alloc",
    "load_module",
    "+do_init_module",
    // Sleeping and waking.
    "hrtimer_nanosleep",
    "schedule",
    "+schedule_timeout",
    "wake_up_process",
    "try_to_wake_up",
    "+__wake_up_common",
    "HgfsSendRequest",
    "+HgfsAnswerRequest",
    // Interrupts, and what they leave to be done.
    "hrtimer_interrupt",
    "+update_process_times",
    "scheduler_tick",
    "task_tick_fair",
    "hrtimer_wakeup",
    "rcu_core",
    "run_timer_softirq",
    // Kernel threads and the idle task.
    "process_one_work",
    "delayed_work_timer_fn",
    "+rcu_gp_fqs_loop",
    "tick_nohz_idle_enter",
];

/// Goes to a place and asks all that is compared, and leaves the guest there.
fn stop_at(guest: &LockedGuest, place: &str, more: &[&str]) -> Ended {
    let tbreak = format!("tbreak {}", place.trim_start_matches('+'));
    let mut commands = vec!["wait 30", tbreak.as_str(), "continue"];
    if place.starts_with('+') {
        commands.extend(["stepi"; 7]);
    }
    commands.extend(["bt", "info registers"]);
    commands.extend(more);
    let setup = Setup::new(guest.address()).arg("--leave-stopped").arg("--timeout").arg("30");
    setup.exs(&commands).run().all_good()
}

/// The stack of a stop, each frame with its locals.
fn with_locals(ended: &Ended) -> Value {
    let mut bt = ended.ok("bt").clone();
    let locals = ended.lines.iter().filter(|line| line.command == "info locals");
    for (frame, line) in bt["frames"].as_array_mut().unwrap().iter_mut().zip(locals) {
        frame["locals"] = line.ok()["variables"].clone();
    }
    bt
}

#[test]
fn stacks_of_ordinary_activity_are_gdbs() {
    let mut guest = guest();
    let mut gdb = gdb(&mut guest);
    let socket = socket(&guest);
    type_line(&mut guest, ACTIVITY);
    let begin = Setup::new(guest.address()).arg("--leave-stopped");
    start_stopped(&mut guest, begin, &[]).end().all_good();
    let mut agreement = Agreement::default();
    let clock = Instant::now();
    // The locals of the innermost frames, where the most are alive.
    let locals = ["info locals", "up", "info locals", "up", "info locals", "frame 0"];
    for place in PLACES {
        eprint!("{place} ");
        let (ended, bt, gdbs) = loop {
            let ended = stop_at(&guest, place, &locals);
            let bt = with_locals(&ended);
            assert_eq!(bt["complete"], true, "{place}: {}: {:?}", bt["end"], functions(&bt));
            // Another task comes by there.
            let Some(gdbs) = gdb.look_by(&socket, "dump(True)") else { continue };
            break (ended, bt, gdbs);
        };
        let registers = &ended.ok("info registers")["registers"];
        agreement.stop(place, (&bt, registers), &gdbs);
    }
    eprintln!("{} in {:.0} s", agreement.told(PLACES.len()), clock.elapsed().as_secs_f64());
    assert!(agreement.differences.is_empty(), "{:#?}", agreement.differences);
    agreement.found_enough();
    assert!(agreement.frames > 300 && agreement.values > 400, "{}", agreement.told(0));
}

#[test]
fn a_timer_interrupt_leads_into_the_interrupted_task() {
    let mut guest = guest();
    let mut gdb = gdb(&mut guest);
    let socket = socket(&guest);
    type_line(&mut guest, ACTIVITY);
    let begin = Setup::new(guest.address()).arg("--leave-stopped");
    start_stopped(&mut guest, begin, &[]).end().all_good();
    let mut agreement = Agreement::default();
    let (mut user, mut idle, mut kernel) = (0, 0, 0);
    while user + idle + kernel < 16 {
        let ended = stop_at(&guest, "update_process_times", &[]);
        let bt = ended.ok("bt");
        let names = functions(bt);
        assert_eq!(bt["complete"], true, "{}: {names:?}", bt["end"]);
        let frames = bt["frames"].as_array().unwrap();
        let at = frames.iter().position(|frame| frame["kind"] == "interrupt").unwrap();
        assert_eq!(names[at].0, "asm_sysvec_apic_timer_interrupt");
        let saved = &frames[at]["saved"]["registers"];
        if address(&saved["cs"]) & 3 != 0 {
            assert_eq!((frames.len(), &bt["end"]), (at + 1, &"user space".into()), "{names:?}");
            user += 1;
            continue;
        }
        assert_eq!(frames[at + 1]["pc"], saved["rip"]);
        // gdb can't leave the interrupt stack, but goes on from its place when
        // it is told where the registers are.
        let (pc, from) = (address(&frames[0]["pc"]), address(&frames[at]["saved"]["at"]));
        let through = format!("dump_through({pc}, {from})");
        let Some(gdbs) = gdb.look_by(&socket, &through) else { continue };
        agreement.beyond(at, bt, &gdbs);
        match bt["end"].as_str().unwrap() {
            "start of the CPU" => idle += 1,
            _ => kernel += 1,
        }
    }
    eprintln!("interrupted: user {user}, idle {idle}, kernel {kernel}; {}", agreement.told(16));
    agreement.found_enough();
    assert!(agreement.differences.is_empty(), "{:#?}", agreement.differences);
    assert!(idle + kernel > 0 && agreement.frames > 10);
}

#[test]
fn a_whole_stack_costs_few_reads() {
    let mut guest = guest();
    let begin = Setup::new(guest.address()).arg("--leave-stopped");
    start_stopped(&mut guest, begin, &[]).end().all_good();
    let entry = READ_STACK.len() - 1;
    let select = format!("frame {entry}");
    let ended = stop_at(&guest, "HgfsSendRequest", &[&select, "info registers", "bt"]);
    let first = ended.line("bt");
    eprintln!("a stack of {} frames: {}", functions(first.ok()).len(), first.wire);
    // The registers, two for the stack, the others for its frames' arguments; the
    // text of one is the module's own.
    assert!(first.wire["packets"].as_u64().unwrap() <= 5, "{}", first.wire);
    assert!(first.wire["rx"].as_u64().unwrap() <= 1650, "{}", first.wire);
    assert_eq!(functions(first.ok()), READ_STACK);

    // The registers of user space are read when they are wanted, and shown.
    let [.., selected, registers, again] = ended.lines.as_slice() else { unreachable!() };
    let saved = &again.ok()["frames"][entry]["saved"];
    let at = address(&first.ok()["frames"][entry]["saved"]["at"]);
    assert_eq!((at, saved["orig_ax"].as_i64()), (address(&saved["at"]), Some(0)), "a read");
    assert_eq!(registers.ok()["registers"]["rip"], saved["registers"]["rip"]);
    assert!(address(&saved["registers"]["rip"]) < 1 << 47);
    assert!(selected.wire["packets"].as_u64().unwrap() <= 1, "{}", selected.wire);
    assert_eq!(again.wire["packets"], 0, "nothing is read twice");
}

#[test]
fn a_scripts_step_reads_the_registers_only_when_they_are_asked_for() {
    let mut guest = guest();
    let begin = Setup::new(guest.address()).arg("--leave-stopped");
    start_stopped(&mut guest, begin, &[]).end().all_good();
    let more = ["next", "next", "info registers", "next", "bt"];
    let ended = stop_at(&guest, "HgfsSendRequest", &more);
    let [.., first, second, registers, third, bt] = ended.lines.as_slice() else { unreachable!() };
    for next in [first, second, third] {
        eprintln!("a next: {}", next.wire);
        // The answer to `g` alone is more: 312 digits, `$`, `#`, two more and `+`.
        assert!(next.wire["rx"].as_u64().unwrap() < 317, "{}", next.wire);
    }
    assert_eq!(registers.wire["packets"], 1);
    let values = registers.ok()["registers"].as_object().unwrap();
    assert_eq!(values["rip"], second.ok()["stop"]["pc"]);
    let known = values.values().filter(|value| !value.is_null()).count();
    assert!(known >= 20, "{values:?}");
    let frames = &bt.ok()["frames"];
    assert_eq!(frames[0]["pc"], third.ok()["stop"]["pc"]);
    assert_eq!(functions(bt.ok()), READ_STACK);
}

#[test]
fn a_function_that_is_traced_has_its_caller() {
    let mut guest = guest();
    let setup = "mount -t tracefs t /sys/kernel/tracing; cd /sys/kernel/tracing && \
         echo vfs_read >set_ftrace_filter && echo function >current_tracer && cd /";
    run(&mut guest, setup);
    let begin = Setup::new(guest.address()).arg("--leave-stopped");
    start_stopped(&mut guest, begin, &[]).end().all_good();
    let ended = stop_at(&guest, "trace_function", &[]);
    let bt = ended.ok("bt");
    let names: Vec<&str> = functions(bt).iter().map(|(name, _)| *name).collect();
    // The copy of ftrace_caller is in no file.
    let copy = names.iter().position(|name| *name == "??").unwrap();
    assert_eq!(names[0], "trace_function");
    assert_eq!(names[copy + 1], "vfs_read");
    assert_eq!(names.last(), Some(&"entry_SYSCALL_64"));
    assert_eq!(bt["complete"], true, "{names:?}");
    assert!(bt["frames"].as_array().unwrap().iter().all(|frame| frame["kind"] != "guess"));
}
