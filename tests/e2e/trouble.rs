//! What goes wrong in real life: crashes on either side, links that break,
//! other things than a kernel at the other end.

use crate::facts::{
    alive, frame, functions, reaches_the_entry, run, setup, start_stopped, type_line, values,
};
use crate::support::{
    batch::Setup,
    guest::{boot, built},
};
use kgdb_tui::demo::guest::{Boot, Hgfs, Link};
use serde_json::Value;
use std::{
    io::{Read, Write},
    net::TcpListener,
    time::Duration,
};

const ANSWER: Duration = Duration::from_secs(30);
const NOP: [u64; 5] = [0x0f, 0x1f, 0x44, 0x00, 0x00];

/// A NULL pointer in the module: kdb pages the oops on the line, the debugger
/// gets past it, shows where it is, and leaves the kernel to deal with it.
fn an_oops(link: Link) {
    let mut guest = boot(&Boot { hgfs: Hgfs::Loaded, link, ..Boot::default() });
    let commands = ["wait 60", "bt", "info args", "info registers", "list", "p $rip", "detach"];
    let mut batch = setup(&guest).exs(&commands).start();
    type_line(&mut guest, "(echo bug > /proc/hgfs) &");
    let stop = batch.stop("wait 60");
    assert_eq!((&stop["reason"], &stop["signal"]), (&"signal".into(), &11.into()), "{stop}");
    assert_eq!(stop["function"], "HgfsForgetFile");
    let line = crate::facts::line_of("hgfs/main.c", "file->opened = 0;");
    assert_eq!(stop["line"], line);
    let bt = batch.ok("bt");
    reaches_the_entry(&bt);
    assert_eq!(functions(&bt)[0], ("HgfsForgetFile", false));
    assert_eq!(frame(&bt, "HgfsProcWrite")["module"], "hgfs");
    batch.ok("info args");
    let registers = batch.ok("info registers");
    assert_eq!(registers["registers"]["rip"], stop["pc"]);
    assert_eq!(batch.ok("list")["line"], line);
    batch.ok("p $rip");
    batch.ok("detach");
    let ended = batch.end().all_good();
    assert!(ended.said.contains("exception"), "{}", ended.said);
    // The kernel killed the task; a lock stays taken, but the rest lives.
    let shell = guest.shell().unwrap();
    shell.expect("RIP: 0010:HgfsForgetFile", ANSWER).unwrap();
    shell.expect("end trace", ANSWER).unwrap();
    // What is typed while the kernel prints all that can get lost.
    let answers = |_| {
        std::thread::sleep(Duration::from_secs(1));
        shell.run_for("echo alive", Duration::from_secs(10)).is_ok()
    };
    assert!((0..3).any(answers), "{}", shell.log());
}

#[test]
fn an_oops_behind_socat() {
    an_oops(Link::SocatTcp);
}

#[test]
fn an_oops_on_a_unix_socket() {
    an_oops(Link::Unix);
}

/// The relay ends in mid-session, and comes back.
#[test]
fn a_relay_that_comes_back() {
    let mut guest = boot(&Boot { hgfs: Hgfs::Loaded, ..Boot::default() });
    let commands = [
        "break HgfsSendRequest",
        "continue",
        "wait 60",
        "info breakpoints",
        "continue",
        "bt",
        "detach",
    ];
    let setup_now = setup(&guest);
    let mut batch = start_stopped(&mut guest, setup_now, &commands);
    batch.ok(commands[0]);
    std::thread::sleep(Duration::from_millis(500));
    guest.relay().unwrap().stop().unwrap();
    let line = batch.next();
    assert!(line.error.as_ref().unwrap().contains("the link is lost"), "{line:?}");
    guest.relay().unwrap().restart().unwrap();
    // The breakpoint is still in the guest, and nobody was there to see it hit.
    type_line(&mut guest, "cat /proc/hgfs > /dev/null");
    let stop = batch.stop(commands[2]);
    assert_eq!((&stop["function"], &stop["breakpoint"]), (&"HgfsSendRequest".into(), &1.into()));
    assert_eq!(batch.ok(commands[3])["breakpoints"][0]["state"], "armed");
    type_line(&mut guest, "cat /proc/hgfs > /dev/null");
    assert_eq!(batch.stop(commands[4])["function"], "HgfsSendRequest");
    reaches_the_entry(&batch.ok(commands[5]));
    batch.ok(commands[6]);
    let ended = batch.end();
    assert_eq!(ended.status, Some(3), "the link was lost once: {}", ended.said);
    alive(&mut guest);
}

/// A debugger that is killed leaves breakpoints behind; the next one finds the
/// guest as it is and puts it right.
fn killed(signal: i32) {
    let mut guest = boot(&Boot { hgfs: Hgfs::Loaded, ..Boot::default() });
    let setup_now = setup(&guest);
    let commands = ["break HgfsSendRequest", "break ksys_write", "continue", "wait 0", "continue"];
    let mut batch = start_stopped(&mut guest, setup_now, &commands);
    batch.ok(commands[0]);
    batch.ok(commands[1]);
    assert_eq!(batch.stop(commands[2])["function"], "ksys_write");
    batch.stop(commands[3]);
    batch.signal(signal);
    let ended = batch.end();
    assert_ne!(ended.status, Some(0), "{}", ended.said);

    let commands = [
        "wait 60",
        "info breakpoints",
        "bt 1",
        "x/5bx ksys_write",
        "tbreak ksys_write",
        "continue",
        "detach",
    ];
    let mut batch = setup(&guest).exs(&commands).start();
    batch.stop(commands[0]);
    assert_eq!(batch.ok(commands[1])["breakpoints"], Value::Array(vec![]));
    batch.ok(commands[2]);
    assert_eq!(values(&batch.ok(commands[3])), NOP);
    batch.ok(commands[4]);
    type_line(&mut guest, "echo something to write");
    assert_eq!(batch.stop(commands[5])["function"], "ksys_write");
    batch.ok(commands[6]);
    batch.end().all_good();
    alive(&mut guest);
    // Nothing of the first one is left to stop it.
    run(&mut guest, "cat /proc/hgfs > /dev/null");
}

#[test]
fn killed_while_the_guest_is_stopped() {
    killed(9);
}

/// A breakpoint that is hit when its debugger is gone: the stub reports the
/// address after its int3, and to go on from there would crash the kernel.
fn killed_while_the_guest_runs(link: Link) {
    let mut guest = boot(&Boot { hgfs: Hgfs::Loaded, link, ..Boot::default() });
    let setup_now = setup(&guest);
    let commands = ["break HgfsSendRequest", "continue", "continue"];
    let mut batch = start_stopped(&mut guest, setup_now, &commands);
    let site = batch.ok(commands[0])["breakpoints"][0]["sites"][0].clone();
    type_line(&mut guest, "cat /proc/hgfs > /dev/null");
    batch.stop(commands[1]);
    // It goes on now; give it time to be away.
    std::thread::sleep(Duration::from_secs(2));
    batch.signal(9);
    batch.end();
    type_line(&mut guest, "cat /proc/hgfs > /dev/null");
    std::thread::sleep(Duration::from_secs(1));

    let commands = ["wait 60", "x/5bx HgfsSendRequest", "bt", "stepi", "finish", "detach"];
    let mut batch = setup(&guest).exs(&commands).start();
    let stop = batch.stop(commands[0]);
    assert_eq!((&stop["pc"], &stop["function"]), (&site, &"HgfsSendRequest".into()), "{stop}");
    assert_eq!(values(&batch.ok(commands[1])), NOP);
    reaches_the_entry(&batch.ok(commands[2]));
    batch.stop(commands[3]);
    assert_eq!(batch.stop(commands[4])["value"], "0");
    batch.ok(commands[5]);
    batch.end().all_good();
    alive(&mut guest);
    run(&mut guest, "cat /proc/hgfs > /dev/null");
}

#[test]
fn killed_while_the_guest_runs_behind_socat() {
    killed_while_the_guest_runs(Link::SocatTcp);
}

#[test]
fn killed_while_the_guest_runs_on_a_unix_socket() {
    killed_while_the_guest_runs(Link::Unix);
}

/// SIGTERM is a wish to go: the guest is let go of, as at the end of a batch.
#[test]
fn asked_to_end_while_the_guest_is_stopped() {
    let mut guest = boot(&Boot { hgfs: Hgfs::Loaded, ..Boot::default() });
    let setup_now = setup(&guest);
    // A stop that nothing comes after: the wait for the next one is long.
    let commands = ["break HgfsSendRequest", "continue", "continue"];
    let mut batch = start_stopped(&mut guest, setup_now, &commands);
    batch.ok(commands[0]);
    type_line(&mut guest, "cat /proc/hgfs > /dev/null");
    batch.stop(commands[1]);
    batch.signal(15);
    let ended = batch.end();
    assert_ne!(ended.status, Some(0), "{}", ended.said);
    alive(&mut guest);
}

#[test]
fn left_stopped_and_found_again() {
    let mut guest = boot(&Boot { hgfs: Hgfs::Loaded, link: Link::Unix, ..Boot::default() });
    let setup_now = setup(&guest).arg("--leave-stopped");
    let mut batch = start_stopped(
        &mut guest,
        setup_now,
        &["tbreak ksys_write", "break HgfsSendRequest", "continue"],
    );
    batch.ok("tbreak ksys_write");
    batch.ok("break HgfsSendRequest");
    let stop = batch.stop("continue");
    batch.end().all_good();
    // It waits for us, where it was, without a breakpoint.
    let commands = ["wait 30", "bt", "info breakpoints", "x/5bx HgfsSendRequest"];
    let ended = setup(&guest).exs(&commands).run().all_good();
    assert_eq!(ended.ok("wait 30")["stop"]["pc"], stop["pc"]);
    assert_eq!(ended.ok("wait 30")["stop"]["pid"], stop["pid"]);
    assert_eq!(functions(ended.ok("bt"))[0], ("ksys_write", false));
    assert_eq!(values(ended.ok("x/5bx HgfsSendRequest")), NOP);
    // The end of a batch without `detach` detaches.
    alive(&mut guest);
    run(&mut guest, "cat /proc/hgfs > /dev/null");
}

/// A server that answers everything like a web server does.
#[test]
fn a_web_server_is_no_kernel() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap().to_string();
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let Ok(mut stream) = stream else { return };
            let mut bytes = [0; 256];
            if stream.read(&mut bytes).is_ok() {
                let _ = stream.write_all(
                    b"HTTP/1.1 400 Bad Request\r\nServer: nginx\r\nConnection: close\r\n\r\n",
                );
            }
        }
    });
    let ended = Setup::bare().arg("--connect").arg(&address).ex("bt").run();
    assert_eq!(ended.status, Some(3), "{}", ended.said);
    assert!(ended.said.contains("web server"), "{}", ended.said);
    assert_eq!(ended.lines.len(), 0);
}

/// Nothing listens at first; it connects when something does.
#[test]
fn a_relay_that_starts_later() {
    let mut guest = boot(&Boot { hgfs: Hgfs::Loaded, ..Boot::default() });
    let setup_now = setup(&guest);
    guest.relay().unwrap().stop().unwrap();
    guest.shell().unwrap().break_in().unwrap();
    let mut batch = setup_now.exs(&["wait 60", "detach"]).start();
    batch.expect_said("nothing listens on 127.0.0.1:");
    guest.relay().unwrap().restart().unwrap();
    batch.stop("wait 60");
    batch.ok("detach");
    batch.end().all_good();
    alive(&mut guest);
}

#[test]
fn addresses_that_lead_nowhere() {
    let dir = tempfile::tempdir().unwrap();
    let missing = format!("unix:{}/nothing", dir.path().display());
    let file = dir.path().join("file");
    std::fs::write(&file, "text").unwrap();
    let plain = format!("unix:{}", file.display());
    // A port that was free a moment ago.
    let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let refused = format!("127.0.0.1:{port}");
    for (address, words) in [
        (missing.as_str(), "nothing"),
        (plain.as_str(), "socket"),
        (refused.as_str(), "kgdb-tui relay"),
        ("exec:false", "closed"),
    ] {
        let setup = Setup::bare().arg("--connect").arg(address).arg("--timeout").arg("2");
        let ended = setup.ex("bt").run();
        assert_eq!(ended.status, Some(3), "{address}: {}", ended.said);
        assert!(ended.said.contains(words), "{address}: {}", ended.said);
        assert!(!ended.said.contains("panicked"), "{}", ended.said);
    }
    // What can't even be an address is a mistake in the command line.
    for address in ["serial:", "host:99999", ""] {
        let ended = Setup::bare().arg("--connect").arg(address).run();
        assert_eq!(ended.status, Some(2), "{address}: {}", ended.said);
    }
}

/// Failures of commands are answers; the batch goes on and says so at its end.
#[test]
fn commands_that_fail() {
    let mut guest = boot(&Boot { link: Link::Unix, ..Boot::default() });
    let commands = [
        "braek vfs_read",
        "break no_such_function",
        "break *0x1000",
        "break fs/read_write.c:999999",
        "x/4bx 0x1000",
        "x/4bx 0xffffffffffffffff",
        "frame 999",
        "delete 77",
        "up 1000",
        "print no_such",
        "list no_such.c:1",
        "info line no_such",
        "monitor no_such_kdb_command",
        "finish",
        "detach",
    ];
    let setup_now = setup(&guest);
    let batch = start_stopped(&mut guest, setup_now, &commands);
    let ended = batch.end();
    assert_eq!(ended.status, Some(1), "{}", ended.said);
    assert_eq!(ended.lines.len(), commands.len());
    let error = |command: &str| ended.line(command).error.clone().unwrap_or_default();
    assert!(error(commands[0]).contains("did you mean break"), "{}", error(commands[0]));
    // It may come with a module.
    let wish = &ended.ok(commands[1])["breakpoints"][0];
    assert_eq!(wish["state"], "pending", "{wish}");
    let refused = &ended.line(commands[2]);
    assert!(
        refused.error.is_some() || refused.result["breakpoints"][0]["state"] == "refused",
        "{refused:?}"
    );
    for command in &commands[4..12] {
        assert!(!error(command).is_empty(), "{command}: {:?}", ended.line(command).result);
    }
    assert!(error(commands[4]).contains("0x1000"), "{}", error(commands[4]));
    // kdb answers with nothing but OK to what it does not know.
    assert_eq!(ended.ok(commands[12])["output"], "");
    assert!(!ended.said.contains("panicked"), "{}", ended.said);
    alive(&mut guest);
}

#[test]
fn a_mistake_in_the_command_line_is_status_2() {
    for args in [["--no-such-option"].as_slice(), &["--timeout", "soon"], &["-x"]] {
        let setup = args.iter().fold(Setup::bare(), |setup, arg| setup.arg(*arg));
        assert_eq!(setup.run().status, Some(2), "{args:?}");
    }
    let vmlinux = built().vmlinux;
    let ended = Setup::with_symbols(&vmlinux).arg("--offline").arg("-x").arg("/no/such").run();
    assert_eq!(ended.status, Some(1), "{}", ended.said);
    assert!(ended.said.contains("/no/such"), "{}", ended.said);
}
