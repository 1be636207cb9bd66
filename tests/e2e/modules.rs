//! Modules as they come and go under a debugger.

use crate::facts::{
    address, alive, frame, functions, line_of, reaches_the_entry, run, setup, start_stopped,
    type_line, values, variable,
};
use crate::support::{
    batch::{Batch, Setup},
    guest::{LockedGuest, boot, built},
    tools::tool,
};
use kgdb_tui::demo::guest::{BOOT_PATIENCE, Boot, Hgfs, Link, Mode};
use serde_json::Value;

const NOP: [u64; 5] = [0x0f, 0x1f, 0x44, 0x00, 0x00];

/// Starts with commands of which some are given twice.
fn start(guest: &mut LockedGuest, commands: &[&str]) -> Batch {
    let setup = setup(guest);
    start_stopped(guest, setup, commands)
}

/// Answers that must be good, to commands in their order.
fn skip(batch: &mut Batch, commands: &[&str]) {
    for command in commands {
        batch.ok(command);
    }
}

/// A wish by its number.
#[track_caller]
fn wish(answer: &Value, number: u64) -> &Value {
    let wishes = answer["breakpoints"].as_array().unwrap();
    wishes.iter().find(|wish| wish["number"] == number).unwrap()
}

/// The modules and functions of the places of a wish.
fn places(wish: &Value) -> Vec<(&str, &str)> {
    let places = wish["places"].as_array().unwrap().iter();
    places
        .map(|place| {
            let module = place["module"].as_str().unwrap_or("vmlinux");
            (module, place["function"].as_str().unwrap())
        })
        .collect()
}

#[track_caller]
fn at(stop: &Value, function: &str, breakpoint: u64) {
    assert_eq!((&stop["function"], &stop["breakpoint"]), (&function.into(), &breakpoint.into()));
}

fn section(guest: &mut LockedGuest, module: &str, name: &str) -> u64 {
    let text = run(guest, &format!("cat /sys/module/{module}/sections/{name}"));
    crate::facts::number(text.trim())
}

/// Loaded while we are attached, debugged from the first line of its init,
/// unloaded, and loaded again elsewhere.
#[test]
fn a_module_from_its_first_line_on() {
    let mut guest = boot(&Boot::default());
    let opened = line_of("hgfs/main.c", "ret = HgfsSendOpenRequest(name, 0444, handle);");
    let at_open = format!("break hgfs/main.c:{opened}");
    let commands = [
        // Before it exists.
        "info modules",
        "break HgfsSendRequest",
        &at_open,
        "break hgfs!init",
        "tcatch load hgfs",
        "catch unload hgfs",
        "info breakpoints",
        // insmod
        "continue",
        "info breakpoints",
        "info modules",
        "bt",
        "continue",
        "bt",
        "info locals",
        "next",
        "next",
        "finish",
        "info modules",
        // cat /proc/hgfs
        "continue",
        "info breakpoints",
        "info modules",
        "info args",
        "continue",
        "info args",
        "bt",
        "x/5bx HgfsSendRequest",
        // rmmod
        "continue",
        "bt",
        "info breakpoints",
        "info modules",
        "disable 5",
        // insmod fuse and hgfs
        "continue",
        "info breakpoints",
        "bt",
        "continue",
        "delete 2",
        "continue",
        "info args",
        "info modules",
        "x/5bx HgfsSendRequest",
        "detach",
    ];
    let mut batch = start(&mut guest, &commands);
    let mut commands = commands.into_iter();
    let mut next = || commands.next().unwrap();
    assert_eq!(batch.ok(next())["modules"], Value::Array(vec![]));
    for why in ["module that has it", "", "module hgfs to be loaded"] {
        let set = batch.ok(next());
        let wish = &set["breakpoints"][0];
        assert_eq!(wish["state"], "pending", "{wish}");
        assert!(wish["why"].as_str().unwrap().contains(why), "{wish}");
    }
    for kind in ["tcatch load", "catch unload"] {
        let set = batch.ok(next());
        assert_eq!((&set["breakpoints"][0]["kind"]), kind);
        assert_eq!(set["breakpoints"][0]["state"], "armed");
    }
    batch.ok(next());

    type_line(&mut guest, "insmod /lib/modules/hgfs.ko && cat /proc/hgfs > /dev/null");
    let stop = batch.stop(next());
    at(&stop, "do_init_module", 4);
    assert_eq!((&stop["reason"], &stop["module"]), (&"module loaded".into(), &"hgfs".into()));
    assert_eq!(stop["comm"], "insmod");
    let wishes = batch.ok(next());
    for number in [1, 2, 3, 5] {
        assert_eq!(wish(&wishes, number)["state"], "armed", "{wishes}");
    }
    assert_eq!(wishes["breakpoints"].as_array().unwrap().len(), 4, "tcatch is gone");
    let first = address(&wish(&wishes, 1)["sites"][0]);
    let modules = batch.ok(next());
    assert_eq!((&modules["modules"][0]["state"]), "coming");
    reaches_the_entry(&batch.ok(next()));
    // The first line of its init, and on from there.
    let stop = batch.stop(next());
    at(&stop, "HgfsInit", 3);
    let bt = batch.ok(next());
    reaches_the_entry(&bt);
    let names: Vec<_> = functions(&bt).into_iter().map(|(name, _)| name).collect();
    assert_eq!(names[..3], ["HgfsInit", "do_one_initcall", "do_init_module"]);
    assert_eq!(bt["frames"][0]["module"], "hgfs");
    let locals = batch.ok(next());
    variable(&locals["variables"], "names");
    for _ in 0..2 {
        let stop = batch.stop(next());
        assert_eq!((&stop["function"], &stop["reason"]), (&"HgfsInit".into(), &"step".into()));
    }
    let stop = batch.stop(next());
    assert_eq!(stop["function"], "do_one_initcall", "{stop}");
    assert_eq!(stop["value"].as_str().map(|value| value.contains('0')), Some(true), "{stop}");
    assert_eq!(batch.ok(next())["modules"][0]["state"], "coming");

    // Its init is over; that breakpoint waits.
    at(&batch.stop(next()), "HgfsOpenFile", 2);
    let wishes = batch.ok(next());
    let init = wish(&wishes, 3);
    assert_eq!((&init["state"], &init["hits"]), (&"pending".into(), &1.into()));
    assert!(init["why"].as_str().unwrap().contains("init memory of hgfs is freed"), "{init}");
    let modules = batch.ok(next());
    let module = &modules["modules"][0];
    assert_eq!((&module["name"], &module["state"]), (&"hgfs".into(), &"live".into()));
    let args = batch.ok(next());
    assert!(variable(&args["variables"], "name")["value"].as_str().unwrap().contains("\"/\""));
    at(&batch.stop(next()), "HgfsSendRequest", 1);
    variable(&batch.ok(next())["variables"], "req");
    let bt = batch.ok(next());
    reaches_the_entry(&bt);
    assert_eq!(frame(&bt, "HgfsOpenFile")["line"], opened);
    assert_eq!(values(&batch.ok(next())), NOP);

    type_line(&mut guest, "rmmod hgfs");
    let stop = batch.stop(next());
    at(&stop, "free_module", 5);
    assert_eq!((&stop["reason"], &stop["comm"]), (&"module unloaded".into(), &"rmmod".into()));
    reaches_the_entry(&batch.ok(next()));
    let wishes = batch.ok(next());
    for number in [1, 2, 3] {
        let wish = wish(&wishes, number);
        assert_eq!((&wish["state"], &wish["sites"]), (&"pending".into(), &Value::Array(vec![])));
    }
    assert!(wish(&wishes, 1)["why"].as_str().unwrap().contains("hgfs was unloaded"));
    assert_eq!(batch.ok(next())["modules"], Value::Array(vec![]), "it is as good as gone");
    batch.ok(next());

    let line = "insmod /lib/modules/fuse.ko && insmod /lib/modules/hgfs.ko && cat /proc/hgfs";
    type_line(&mut guest, &format!("{line} > /dev/null"));
    at(&batch.stop(next()), "HgfsInit", 3);
    let wishes = batch.ok(next());
    let again = address(&wish(&wishes, 1)["sites"][0]);
    assert_ne!(first, again, "the other module is where it was");
    assert_eq!(wish(&wishes, 3)["hits"], 2);
    reaches_the_entry(&batch.ok(next()));
    at(&batch.stop(next()), "HgfsOpenFile", 2);
    batch.ok(next());
    let stop = batch.stop(next());
    at(&stop, "HgfsSendRequest", 1);
    assert_eq!(address(&stop["pc"]), again);
    variable(&batch.ok(next())["variables"], "req");
    let modules = batch.ok(next());
    let modules = modules["modules"].as_array().unwrap().clone();
    let names: Vec<_> = modules.iter().map(|module| module["name"].as_str().unwrap()).collect();
    assert_eq!(names, ["hgfs", "fuse"], "the newest first, as the guest has them");
    assert_eq!(values(&batch.ok(next())), NOP);
    batch.ok(next());
    batch.end().all_good();
    alive(&mut guest);
    let text = section(&mut guest, "hgfs", ".text");
    assert_eq!(address(&modules[0]["base"]), text);
    // Nothing is left where modules are loaded and unloaded.
    run(&mut guest, "rmmod hgfs && insmod /lib/modules/hgfs.ko && rmmod hgfs");
    alive(&mut guest);
}

/// An init that fails, and breakpoints that have places in two modules: only
/// those in the module that goes are given up.
#[test]
fn a_failed_init_and_the_same_name_twice() {
    let mut guest = boot(&Boot { hgfs: Hgfs::Loaded, ..Boot::default() });
    let commands = [
        "break HgfsOpenFile",
        "break hgfs_ping!init",
        "break hgfs_ping!exit",
        "tbreak PingCountSizes",
        // insmod hgfs-ping.ko fail=22
        "continue",
        "info breakpoints",
        "continue",
        // busybox tries it twice, by finit_module and by init_module.
        "continue",
        // echo g
        "continue",
        "info breakpoints",
        "info modules",
        // insmod hgfs-ping.ko
        "continue",
        "info breakpoints",
        "continue",
        "info breakpoints",
        "bt",
        // cat /proc/hgfs
        "continue",
        "bt 1",
        // rmmod hgfs, while stopped in it nowhere; then its own exit
        "continue",
        "info breakpoints",
        "disable",
        "set module-events off",
        // rmmod, insmod, echo g
        "continue",
        "info breakpoints",
        "info modules",
        "enable 1",
        // rmmod with a breakpoint in it and module-events off, insmod, echo g
        "continue",
        "info breakpoints",
        "show module-events",
        "detach",
    ];
    let mut batch = start(&mut guest, &commands);
    let mut commands = commands.into_iter();
    let mut next = || commands.next().unwrap();
    let set = batch.ok(next());
    assert_eq!(places(&set["breakpoints"][0]), [("hgfs", "HgfsOpenFile")]);
    for _ in 0..3 {
        assert_eq!(batch.ok(next())["breakpoints"][0]["state"], "pending");
    }
    type_line(&mut guest, "insmod /lib/modules/hgfs-ping.ko fail=22; echo failed as asked $?");
    at(&batch.stop(next()), "PingInit", 2);
    let wishes = batch.ok(next());
    let two = [("hgfs", "HgfsOpenFile"), ("hgfs_ping", "HgfsOpenFile")];
    assert_eq!(places(wish(&wishes, 1)), two);
    assert_eq!(wish(&wishes, 1)["state"], "armed");
    assert_eq!(places(wish(&wishes, 3)), [("hgfs_ping", "PingExit")]);
    // It is inlined there.
    at(&batch.stop(next()), "PingCountSizes", 4);
    at(&batch.stop(next()), "PingInit", 2);
    guest.shell().unwrap().expect("failed as asked", BOOT_PATIENCE).unwrap();
    guest.shell().unwrap().break_in().unwrap();
    assert_eq!(batch.stop(next())["function"], "kgdb_breakpoint");
    let wishes = batch.ok(next());
    assert_eq!(places(wish(&wishes, 1)), two[..1]);
    assert_eq!(wish(&wishes, 1)["state"], "armed");
    for number in [2, 3] {
        assert_eq!(wish(&wishes, number)["state"], "pending", "{wishes}");
    }
    let modules = batch.ok(next());
    assert_eq!(modules["modules"].as_array().unwrap().len(), 1, "{modules}");

    type_line(&mut guest, "insmod /lib/modules/hgfs-ping.ko");
    at(&batch.stop(next()), "PingInit", 2);
    assert_eq!(places(wish(&batch.ok(next()), 1)), two);
    // Its own init calls it.
    at(&batch.stop(next()), "HgfsOpenFile", 1);
    assert_eq!(wish(&batch.ok(next()), 1)["hits"], 1);
    let bt = batch.ok(next());
    assert_eq!(bt["frames"][0]["module"], "hgfs_ping");
    reaches_the_entry(&bt);
    type_line(&mut guest, "cat /proc/hgfs > /dev/null");
    at(&batch.stop(next()), "HgfsOpenFile", 1);
    assert_eq!(batch.ok(next())["frames"][0]["module"], "hgfs");
    type_line(&mut guest, "rmmod hgfs; rmmod hgfs_ping");
    at(&batch.stop(next()), "PingExit", 3);
    let wishes = batch.ok(next());
    assert_eq!(places(wish(&wishes, 1)), two[1..], "{wishes}");
    assert_eq!(
        (&wish(&wishes, 1)["state"], &wish(&wishes, 1)["hits"]),
        (&"armed".into(), &2.into())
    );
    batch.ok(next());
    batch.ok(next());

    // Now modules are looked at only when the guest stops anyway.
    type_line(&mut guest, "insmod /lib/modules/hgfs.ko; echo g > /proc/sysrq-trigger");
    let stop = batch.stop(next());
    assert_eq!(stop["function"], "kgdb_breakpoint");
    batch.ok(next());
    assert_eq!(batch.ok(next())["modules"][0]["name"], "hgfs");
    batch.ok(next());
    let line =
        "rmmod hgfs; insmod /lib/modules/hgfs.ko; cat /proc/hgfs; echo g > /proc/sysrq-trigger";
    type_line(&mut guest, line);
    assert_eq!(batch.stop(next())["function"], "kgdb_breakpoint", "the guard saw it go");
    let wishes = batch.ok(next());
    assert_eq!(places(wish(&wishes, 1)), two[..1]);
    assert_eq!(wish(&wishes, 1)["state"], "armed");
    assert!(batch.ok(next())["text"].as_str().unwrap().ends_with(": off."));
    batch.ok(next());
    batch.end().all_good();
    alive(&mut guest);
}

/// Steps of a task that go on as if nothing was, while another one loads and
/// unloads a module over and over.
#[test]
fn steps_go_on_while_modules_come_and_go() {
    let mut guest = boot(&Boot { hgfs: Hgfs::Loaded, ..Boot::default() });
    let steps = ["next", "nexti", "nexti", "next"].repeat(8);
    let mut commands = vec![
        "set module-events always",
        "break dummy!init",
        "tbreak HgfsProcShow",
        "continue",
        "info breakpoints",
        "disable 1",
        "continue",
    ];
    commands.extend(&steps);
    commands.extend(["enable 1", "continue", "continue", "info modules", "info breakpoints"]);
    commands.extend(["delete", "finish", "detach"]);
    let mut batch = start(&mut guest, &commands);
    skip(&mut batch, &commands[..3]);
    // With a pause: a CPU that is always busy is not always held in time when
    // the emulated machine is itself short of CPUs. Stops while a load holds
    // `text_mutex` are many all the same.
    // A file that is read while it is written would be empty.
    let count = "n=$((n + 1)); echo $n > /tmp/new; mv /tmp/new /tmp/rounds";
    let round = format!("insmod /lib/modules/dummy.ko; rmmod dummy; {count}");
    type_line(&mut guest, &format!("(while :; do {round}; sleep 0.1; done) > /dev/null 2>&1 &"));
    at(&batch.stop("continue"), "dummy_init_module", 1);
    assert_eq!(wish(&batch.ok("info breakpoints"), 1)["hits"], 1);
    batch.ok("disable 1");
    type_line(&mut guest, "cat /proc/hgfs > /dev/null");
    let stop = batch.stop("continue");
    at(&stop, "HgfsProcShow", 2);
    let mut seen = Vec::new();
    for command in &steps {
        let next = batch.stop(command);
        seen.push(format!("{command}: {} {} {}", next["function"], next["line"], next["reason"]));
        let (pid, step) = (&next["pid"], &next["reason"]);
        assert_eq!((pid, step), (&stop["pid"], &"step".into()), "{seen:#?}");
    }
    batch.ok("enable 1");
    let stops = [batch.stop("continue"), batch.stop("continue")];
    for stop in &stops {
        at(stop, "dummy_init_module", 1);
    }
    assert_ne!(stops[0]["pid"], stops[1]["pid"], "one load each");
    let modules = batch.ok("info modules");
    let names: Vec<_> = modules["modules"].as_array().unwrap().iter().collect();
    assert_eq!((names.len(), &names[0]["state"]), (2, &"coming".into()), "{modules}");
    assert_eq!(wish(&batch.ok("info breakpoints"), 1)["hits"], 3);
    batch.ok("delete");
    assert_eq!(batch.stop("finish")["function"], "do_one_initcall");
    batch.ok("detach");
    batch.end().all_good();
    alive(&mut guest);
    let before: u64 = run(&mut guest, "cat /tmp/rounds").trim().parse().unwrap();
    let passed = "while [ $(cat /tmp/rounds) -lt LIMIT ]; do sleep 0.1; done";
    run(&mut guest, &passed.replace("LIMIT", &(before + 10).to_string()));
    eprintln!("{before} rounds while it was debugged");
    assert!(before >= 2);
}

/// What one load and one unload cost when nobody stops there, and that a place
/// to run to is given up with its module.
#[test]
fn what_a_load_costs() {
    let mut guest = boot(&Boot { hgfs: Hgfs::Loaded, link: Link::Unix, ..Boot::default() });
    let commands = [
        // Out of the outermost frame there is no way, so that only the place is left.
        "frame 9",
        "advance HgfsForgetFile",
        "info modules",
        "break NoSuchFunction",
        "info link",
        "continue",
        "info link",
        "info modules",
        "set module-events off",
        "info link",
        "continue",
        "info link",
        "info modules",
        "detach",
    ];
    let setup = setup(&guest);
    let mut batch = start_stopped(&mut guest, setup, &commands);
    type_line(&mut guest, "rmmod hgfs; echo g > /proc/sysrq-trigger");
    assert_eq!(batch.ok(commands[0])["frame"]["function"], "entry_SYSCALL_64");
    assert_eq!(batch.stop(commands[1])["function"], "kgdb_breakpoint");
    assert!(batch.said().contains("gone with its module"), "{}", batch.said());
    assert_eq!(batch.ok(commands[2])["modules"], Value::Array(vec![]));
    batch.ok(commands[3]);
    let line = "insmod /lib/modules/dummy.ko; rmmod dummy; insmod /lib/modules/dummy.ko; rmmod dummy; echo g > /proc/sysrq-trigger";
    let mut costs = Vec::new();
    for part in [4..9, 9..13] {
        let part = &commands[part];
        let before = batch.ok(part[0]);
        type_line(&mut guest, line);
        assert_eq!(batch.stop(part[1])["function"], "kgdb_breakpoint");
        let after = batch.ok(part[2]);
        let of = |name: &str| {
            let value = |answer: &Value| answer[name].as_f64().unwrap();
            value(&after) - value(&before)
        };
        costs.push(["packets", "tx", "rx"].map(of));
        assert_eq!(batch.ok(part[3])["modules"], Value::Array(vec![]));
        if let Some(command) = part.get(4) {
            batch.ok(command);
        }
    }
    batch.ok("detach");
    batch.end().all_good();
    alive(&mut guest);
    let cost: Vec<f64> = costs[0].iter().zip(costs[1]).map(|(on, off)| (on - off) / 2.0).collect();
    eprintln!(
        "a load and an unload: {} packets, {} bytes sent, {} received",
        cost[0], cost[1], cost[2]
    );
    assert!(cost[0] <= 80.0, "{costs:?}");
}

/// A breakpoint in a module that is loaded at boot: planted before the kernel
/// makes its text read-only, where the stub can't take it out by itself.
#[test]
fn a_module_of_the_boot() {
    let mut guest = boot(&Boot { mode: Mode::Wait, hgfs: Hgfs::Loaded, ..Boot::default() });
    let commands = [
        "wait 60",
        "break HgfsSendRequest",
        "break hgfs!init",
        "continue",
        "bt",
        "next",
        "info breakpoints",
        "delete 2",
        "continue",
        "bt",
        "detach",
    ];
    let mut batch = setup(&guest).exs(&commands).start();
    batch.stop(commands[0]);
    for command in &commands[1..3] {
        assert_eq!(batch.ok(command)["breakpoints"][0]["state"], "pending");
    }
    at(&batch.stop(commands[3]), "HgfsInit", 2);
    reaches_the_entry(&batch.ok(commands[4]));
    assert_eq!(batch.stop(commands[5])["function"], "HgfsInit");
    assert_eq!(wish(&batch.ok(commands[6]), 1)["state"], "armed");
    batch.ok(commands[7]);
    let shell = guest.shell().unwrap();
    shell.send_line("cat /proc/hgfs > /dev/null").unwrap();
    at(&batch.stop(commands[8]), "HgfsSendRequest", 1);
    reaches_the_entry(&batch.ok(commands[9]));
    batch.ok(commands[10]);
    batch.end().all_good();
    // Modules come and go with nobody there.
    run(&mut guest, "rmmod hgfs && insmod /lib/modules/hgfs.ko && cat /proc/hgfs > /dev/null");
    alive(&mut guest);
}

/// A kernel in which `free_module` was compiled into its callers: kgdb's own
/// notifier tells that a module goes.
#[test]
fn a_kernel_without_free_module() {
    let dir = tempfile::tempdir().unwrap();
    let vmlinux = dir.path().join("vmlinux");
    let mut objcopy = tool("objcopy");
    objcopy.args(["--redefine-sym", "free_module=nobody_knows"]).arg(built().vmlinux).arg(&vmlinux);
    assert!(objcopy.status().unwrap().success());
    let mut guest = boot(&Boot { hgfs: Hgfs::Loaded, link: Link::Unix, ..Boot::default() });
    let commands = [
        "break HgfsSendRequest",
        "continue",
        "info breakpoints",
        "info modules",
        "continue",
        "delete",
        "detach",
    ];
    let setup = Setup::with_symbols(&vmlinux).arg("--connect").arg(guest.address());
    let setup = setup.arg("--module-path").arg(built().modules);
    let mut batch = start_stopped(&mut guest, setup, &commands);
    let before = batch.ok(commands[0])["breakpoints"][0]["sites"].clone();
    assert_eq!(before.as_array().unwrap().len(), 1);
    // Its memory is free while the guest stops, and another module's later.
    let line = "rmmod hgfs; echo g > /proc/sysrq-trigger; insmod /lib/modules/fuse.ko; \
                insmod /lib/modules/hgfs.ko; cat /proc/hgfs > /dev/null";
    type_line(&mut guest, line);
    assert_eq!(batch.stop(commands[1])["function"], "kgdb_breakpoint");
    let gone = batch.ok(commands[2]);
    assert_eq!(wish(&gone, 1)["state"], "pending", "{gone}");
    assert_eq!(batch.ok(commands[3])["modules"], Value::Array(vec![]));
    at(&batch.stop(commands[4]), "HgfsSendRequest", 1);
    skip(&mut batch, &commands[5..]);
    batch.end().all_good();
    let now = section(&mut guest, "hgfs", ".text");
    assert_ne!(address(&before[0]) & !0xfff, now, "it was loaded elsewhere");
    alive(&mut guest);
}
