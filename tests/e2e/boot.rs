//! From the first moments of a kernel on: waiting at boot, modules that come
//! later, and a machine that restarts.

use crate::facts::{
    address, alive, functions, reaches_the_entry, run, setup, start_stopped, type_line, values,
};
use crate::support::guest::boot;
use kgdb_tui::demo::guest::{BOOT_PATIENCE, Boot, Hgfs, Link, Mode};
use serde_json::Value;

const NOP: [u64; 5] = [0x0f, 0x1f, 0x44, 0x00, 0x00];

/// A wish for a module that is not there yet waits, and is granted at the first
/// stop after the module came.
fn waiting_at_boot(kaslr: bool, link: Link) {
    let mut guest =
        boot(&Boot { mode: Mode::Wait, kaslr, link, hgfs: Hgfs::Loaded, ..Boot::default() });
    let commands = [
        "wait 60",
        "info target",
        "info modules",
        "break HgfsSendRequest",
        "continue",
        "info breakpoints",
        "continue",
        "bt 3",
        "x/5bx HgfsSendRequest",
        "detach",
    ];
    let mut batch = setup(&guest).exs(&commands).start();
    let stop = batch.stop(commands[0]);
    assert_eq!((&stop["function"], &stop["pid"]), (&"kgdb_breakpoint".into(), &1.into()));
    let target = batch.ok(commands[1]);
    assert_eq!(target["matches"], "match", "{target}");
    assert!(kaslr || address(&target["slide"]) == 0);
    assert_eq!(batch.ok(commands[2])["modules"], Value::Array(vec![]));
    let wish = batch.ok(commands[3]);
    assert_eq!(wish["breakpoints"][0]["state"], "pending", "{wish}");
    assert!(!wish["breakpoints"][0]["why"].as_str().unwrap().is_empty());

    let shell = guest.shell().unwrap();
    shell.expect("guest ready", BOOT_PATIENCE).unwrap();
    shell.break_in().unwrap();
    let stop = batch.stop(commands[4]);
    assert_eq!((&stop["function"], &stop["breakpoint"]), (&"kgdb_breakpoint".into(), &Value::Null));
    let wish = batch.ok(commands[5]);
    assert_eq!(wish["breakpoints"][0]["state"], "armed", "{wish}");
    type_line(&mut guest, "cat /proc/hgfs > /dev/null &");
    assert_eq!(batch.stop(commands[6])["function"], "HgfsSendRequest");
    let bt = batch.ok(commands[7]);
    let stack = ["HgfsSendRequest", "HgfsSendOpenRequest", "HgfsOpenFile"];
    assert_eq!(functions(&bt), stack.map(|name| (name, false)));
    assert_eq!(values(&batch.ok(commands[8])), NOP);
    batch.ok(commands[9]);
    batch.end().all_good();
    alive(&mut guest);
}

#[test]
fn waiting_at_boot_behind_socat_at_a_random_address() {
    waiting_at_boot(true, Link::SocatTcp);
}

#[test]
fn waiting_at_boot_on_a_unix_socket_where_it_was_linked() {
    waiting_at_boot(false, Link::Unix);
}

/// A breakpoint planted before the kernel makes its text read-only can't be
/// taken out by the stub later; the debugger repairs it.
#[test]
fn a_breakpoint_set_while_the_kernel_boots_can_be_left() {
    let mut guest = boot(&Boot { mode: Mode::Wait, hgfs: Hgfs::Loaded, ..Boot::default() });
    let commands =
        ["wait 60", "break do_init_module", "continue", "bt", "next", "stepi", "delete", "detach"];
    let mut batch = setup(&guest).exs(&commands).start();
    batch.stop(commands[0]);
    assert_eq!(batch.ok(commands[1])["breakpoints"][0]["state"], "armed");
    let stop = batch.stop(commands[2]);
    assert_eq!((&stop["function"], &stop["breakpoint"]), (&"do_init_module".into(), &1.into()));
    assert_eq!(stop["comm"], "insmod");
    let bt = batch.ok(commands[3]);
    reaches_the_entry(&bt);
    assert_eq!(batch.stop(commands[4])["function"], "do_init_module");
    batch.stop(commands[5]);
    batch.ok(commands[6]);
    batch.ok(commands[7]);
    batch.end().all_good();
    let shell = guest.shell().unwrap();
    shell.expect("guest ready", BOOT_PATIENCE).unwrap();
    // Another module goes through the place where the breakpoint was.
    run(&mut guest, "insmod /lib/modules/dummy.ko");
    alive(&mut guest);
}

/// A module that is loaded, unloaded and loaded again while we are attached.
#[test]
fn modules_come_and_go() {
    let mut guest = boot(&Boot::default());
    let commands = [
        "info modules",
        "break HgfsSendRequest",
        "break hgfs/main.c:65",
        "tbreak do_init_module",
        "continue",
        "info modules",
        "info breakpoints",
        "continue",
        "info args",
        "delete 2",
        "continue",
        "info modules",
        "info breakpoints",
        "detach",
    ];
    let setup_now = setup(&guest);
    let mut batch = start_stopped(&mut guest, setup_now, &commands);
    assert_eq!(batch.ok("info modules")["modules"], Value::Array(vec![]));
    for command in &commands[1..3] {
        assert_eq!(batch.ok(command)["breakpoints"][0]["state"], "pending");
    }
    batch.ok(commands[3]);
    type_line(&mut guest, "insmod /lib/modules/hgfs.ko; cat /proc/hgfs > /dev/null");
    let stop = batch.stop("continue");
    assert_eq!((&stop["function"], &stop["comm"]), (&"do_init_module".into(), &"insmod".into()));
    let modules = batch.ok("info modules");
    let module = &modules["modules"][0];
    assert_eq!((&module["name"], &module["symbols"]), (&"hgfs".into(), &"loaded".into()));
    assert_eq!(module["state"], "coming");
    let wishes = batch.ok("info breakpoints");
    for wish in wishes["breakpoints"].as_array().unwrap() {
        assert_eq!(wish["state"], "armed", "{wish}");
    }
    // The line is reached first, the function it calls next.
    let stop = batch.stop("continue");
    assert_eq!((&stop["breakpoint"], &stop["line"]), (&2.into(), &65.into()), "{stop}");
    batch.ok("info args");
    batch.ok("delete 2");
    assert_eq!(batch.stop("continue")["function"], "HgfsSendRequest");
    assert_eq!(batch.ok("info modules")["modules"][0]["state"], "live");
    assert_eq!(batch.ok("info breakpoints")["breakpoints"][0]["hits"], 1);
    batch.ok("detach");
    batch.end().all_good();
    alive(&mut guest);

    run(&mut guest, "rmmod hgfs && insmod /lib/modules/fuse.ko && insmod /lib/modules/hgfs.ko");
    let text = run(&mut guest, "cat /sys/module/hgfs/sections/.text");
    let commands = ["info modules", "break HgfsSendRequest", "continue", "detach"];
    let setup_now = setup(&guest);
    let mut batch = start_stopped(&mut guest, setup_now, &commands);
    let modules = batch.ok("info modules");
    let names: Vec<_> = modules["modules"].as_array().unwrap().iter().collect();
    assert_eq!(names.len(), 2, "{modules}");
    let hgfs = names.iter().find(|module| module["name"] == "hgfs").unwrap();
    assert_eq!(hgfs["base"], text.trim());
    batch.ok("break HgfsSendRequest");
    type_line(&mut guest, "cat /proc/hgfs > /dev/null");
    assert_eq!(batch.stop("continue")["function"], "HgfsSendRequest");
    batch.ok("detach");
    batch.end().all_good();
    alive(&mut guest);
}

/// The guest restarts under us; KASLR puts the next kernel elsewhere, and the
/// breakpoint is found there again.
#[test]
fn a_guest_that_restarts() {
    let mut guest = boot(&Boot { hgfs: Hgfs::Loaded, ..Boot::default() });
    let commands = [
        "break HgfsSendRequest",
        "info target",
        "continue",
        "wait 90",
        "info target",
        "info breakpoints",
        "continue",
        "bt",
        "detach",
    ];
    let setup_now = setup(&guest);
    let mut batch = start_stopped(&mut guest, setup_now, &commands);
    batch.ok(commands[0]);
    let before = batch.ok(commands[1]);
    type_line(&mut guest, "reboot -f");
    let line = batch.next();
    assert!(line.error.as_ref().unwrap().contains("restarts"), "{line:?}");
    let shell = guest.shell().unwrap();
    shell.expect("guest ready", BOOT_PATIENCE).unwrap();
    shell.break_in().unwrap();
    assert_eq!(batch.stop(commands[3])["function"], "kgdb_breakpoint");
    let after = batch.ok(commands[4]);
    assert_eq!(after["matches"], "match", "{after}");
    // One boot in some hundreds lands at the same place.
    eprintln!("slide before {}, after {}", before["slide"], after["slide"]);
    assert_eq!(batch.ok(commands[5])["breakpoints"][0]["state"], "armed");
    type_line(&mut guest, "cat /proc/hgfs > /dev/null");
    assert_eq!(batch.stop(commands[6])["function"], "HgfsSendRequest");
    reaches_the_entry(&batch.ok(commands[7]));
    batch.ok(commands[8]);
    let ended = batch.end();
    assert_eq!(ended.status, Some(1), "a command failed, the link did not: {}", ended.said);
    alive(&mut guest);
}
