//! From the first moments of a kernel on: waiting at boot, and a machine that
//! restarts.

use crate::facts::{
    address, alive, functions, reaches_the_entry, run, setup, start_stopped, type_line, values,
};
use crate::support::guest::boot;
use kgdb_tui::demo::guest::{BOOT_PATIENCE, Boot, Hgfs, Link, Mode};
use serde_json::Value;

const NOP: [u64; 5] = [0x0f, 0x1f, 0x44, 0x00, 0x00];

/// A wish for a module that is not there yet waits, and is granted when the
/// module comes.
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

/// A breakpoint in the kernel's init code stops there while it boots, and goes
/// with that memory: afterwards it is somebody else's.
#[test]
fn a_breakpoint_in_init_code_goes_when_the_kernel_has_booted() {
    let mut guest = boot(&Boot { mode: Mode::Wait, hgfs: Hgfs::Loaded, ..Boot::default() });
    let commands = [
        "wait 60",
        "break console_on_rootfs",
        "break start_kernel",
        "continue",
        "next",
        "continue",
        "info breakpoints",
        "break console_on_rootfs",
        "break HgfsSendRequest",
        "continue",
        "detach",
    ];
    let mut batch = setup(&guest).exs(&commands).start();
    batch.stop(commands[0]);
    assert_eq!(batch.ok(commands[1])["breakpoints"][0]["state"], "armed");
    assert_eq!(batch.ok(commands[2])["breakpoints"][0]["state"], "armed");
    let stop = batch.stop(commands[3]);
    assert_eq!((&stop["function"], &stop["pid"]), (&"console_on_rootfs".into(), &1.into()));
    assert_eq!(batch.stop(commands[4])["function"], "console_on_rootfs");
    let shell = guest.shell().unwrap();
    shell.expect("guest ready", BOOT_PATIENCE).unwrap();
    shell.break_in().unwrap();
    assert_eq!(batch.stop(commands[5])["function"], "kgdb_breakpoint");
    let all = batch.ok(commands[6]);
    for wish in all["breakpoints"].as_array().unwrap() {
        assert_ne!(wish["state"], "armed", "{wish}");
        assert!(wish["why"].as_str().unwrap().contains("init memory"), "{wish}");
    }
    let wish = &batch.ok(commands[7])["breakpoints"][0];
    assert_eq!(wish["state"], "refused", "{wish}");
    assert_eq!(batch.ok(commands[8])["breakpoints"][0]["state"], "armed");
    type_line(&mut guest, "cat /proc/hgfs > /dev/null");
    assert_eq!(batch.stop(commands[9])["function"], "HgfsSendRequest");
    batch.ok(commands[10]);
    batch.end().all_good();
    alive(&mut guest);
}
