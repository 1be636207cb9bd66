//! Stopping a running guest by each of the ways there are, and what is said
//! when one does not work.

use crate::facts::{alive, run, setup};
use crate::support::{
    batch::{Ended, Setup},
    guest::{LockedGuest, boot},
    tools::tool,
    typist::Typist,
};
use kgdb_tui::demo::guest::{Boot, Hgfs, Link, Mode};
use serde_json::Value;
use std::{
    path::Path,
    process::Stdio,
    time::{Duration, Instant},
};

/// The ways that were tried, each with how it ended.
#[track_caller]
fn tried(result: &Value) -> Vec<(&str, &str)> {
    let tried = result["tried"].as_array().unwrap_or_else(|| panic!("nothing tried: {result}"));
    assert!(tried.iter().all(|one| one["seconds"].is_f64()), "{result}");
    tried
        .iter()
        .map(|it| (it["strategy"].as_str().unwrap(), it["outcome"].as_str().unwrap()))
        .collect()
}

#[track_caller]
fn why(result: &Value, at: usize) -> &str {
    result["tried"][at]["why"].as_str().unwrap_or_else(|| panic!("no reason in {result}"))
}

/// The program on a guest, with little patience.
fn soon(guest: &LockedGuest) -> Setup {
    setup(guest).arg("--timeout").arg("20")
}

/// Runs commands that all work.
#[track_caller]
fn good(setup: Setup, commands: &[&str]) -> Ended {
    setup.exs(commands).run().all_good()
}

const STOPPED_BY_BREAK: [(&str, &str); 1] = [("break", "stopped")];
const STOPPED_BY_SHELL: [(&str, &str); 1] = [("shell", "stopped")];
const BREAK_THEN_SHELL: [(&str, &str); 2] = [("break", "failed"), ("shell", "stopped")];
const BREAK_THEN_NOTHING: [(&str, &str); 2] = [("break", "failed"), ("by hand", "given up")];

/// A BREAK and `g`, on a console that is shared; and each thing in the guest
/// that makes it refuse them, with its cure.
#[test]
fn by_break_and_what_the_guest_says_against_it() {
    let mut guest = boot(&Boot {
        mode: Mode::Shared,
        link: Link::Telnet,
        hgfs: Hgfs::Loaded,
        ..Boot::default()
    });
    let address = guest.address().to_string();
    let in_shell = |command: &str| {
        let mut typist = Typist::new(&address);
        typist.ready();
        typist.run(command)
    };
    in_shell("(while sleep 1; do cat /proc/hgfs > /dev/null; done) & true");
    let ended = good(soon(&guest), &["interrupt", "detach"]);
    let answer = ended.ok("interrupt");
    assert_eq!(tried(answer), STOPPED_BY_BREAK);
    assert_eq!(
        (&answer["stop"]["reason"], &answer["stop"]["function"]),
        (&"interrupt".into(), &"kgdb_breakpoint".into())
    );

    // A mask that leaves `g` out: the kernel says so. Typing in the shell is
    // only done when it is allowed.
    in_shell("sysctl kernel.sysrq=176");
    let ended = setup(&guest).arg("--timeout").arg("5").ex("interrupt").run();
    assert_eq!(ended.status, Some(1), "{}", ended.said);
    let line = ended.line("interrupt");
    assert!(line.error.as_ref().unwrap().contains("sysctl kernel.sysrq=1"), "{line:?}");
    assert_eq!(tried(&line.result), BREAK_THEN_NOTHING);
    assert!(ended.said.contains("echo g > /proc/sysrq-trigger"), "{}", ended.said);
    // The way that worked comes first the next time.
    let commands = ["interrupt", "tbreak ksys_read", "continue", "continue", "interrupt shell"];
    let setup_shell = || setup(&guest).arg("--break-in-shell").arg("--timeout").arg("8");
    let mut batch = setup_shell().exs(&commands).ex("interrupt").start();
    let answer = batch.ok("interrupt");
    assert_eq!(tried(&answer), BREAK_THEN_SHELL);
    assert!(why(&answer, 0).contains("kernel.sysrq=1"), "{answer}");
    batch.ok(commands[1]);
    assert_eq!(batch.stop(commands[2])["function"], "ksys_read");
    assert!(batch.next().error.unwrap().contains("the guest is running"));
    assert_eq!(tried(&batch.ok(commands[4])), STOPPED_BY_SHELL);
    assert!(batch.next().error.unwrap().contains("stopped already"));
    assert_eq!(batch.end().status, Some(1));

    // Sysrq is off: the kernel takes the g for typed text, and it is taken back.
    in_shell("sysctl kernel.sysrq=0");
    let ended = good(setup_shell(), &["interrupt", "detach"]);
    let answer = ended.ok("interrupt");
    assert_eq!(tried(answer), BREAK_THEN_SHELL);
    assert!(why(answer, 0).contains("typed text"), "{answer}");
    let shown = in_shell("sysctl kernel.sysrq=1");
    assert!(shown.contains("kernel.sysrq = 1"), "{shown}");

    // kgdb has no line: no way in is any good.
    in_shell("echo > /sys/module/kgdboc/parameters/kgdboc");
    let ended = setup_shell().ex("interrupt").run();
    let line = ended.line("interrupt");
    assert_eq!(tried(&line.result), BREAK_THEN_NOTHING);
    assert!(why(&line.result, 0).contains("/sys/module/kgdboc/parameters/kgdboc"), "{line:?}");
    in_shell("echo ttyS0,115200 > /sys/module/kgdboc/parameters/kgdboc");

    // Breakpoints that are set while it runs: a stop of a moment.
    let commands = [
        "break HgfsSendRequest",
        "plant",
        "wait 20",
        "delete",
        "continue",
        "break HgfsSendRequest",
        "plant",
        "wait 20",
        "info breakpoints",
        "delete",
        "detach",
    ];
    let mut batch = setup(&guest).arg("--timeout").arg("6").exs(&commands).start();
    let pending = batch.ok(commands[0]);
    assert_eq!(pending["breakpoints"][0]["state"], "pending", "{pending}");
    let first = batch.ok(commands[1]);
    assert_eq!(first["breakpoints"][0]["state"], "armed", "{first}");
    assert_eq!(batch.stop(commands[2])["function"], "HgfsSendRequest");
    batch.ok(commands[3]);
    assert!(batch.next().error.unwrap().contains("the guest is running"));
    let pending = batch.ok(commands[5]);
    assert!(pending["breakpoints"][0]["why"].as_str().unwrap().contains("now: plant"), "{pending}");
    let planted = batch.ok(commands[6]);
    assert_eq!(tried(&planted), STOPPED_BY_BREAK);
    eprintln!("stopped for planting: {} s first, {} s later", first["stopped"], planted["stopped"]);
    assert!(planted["stopped"].as_f64().unwrap() < 2.0, "{planted}");
    assert_eq!(batch.stop(commands[7])["function"], "HgfsSendRequest");
    let points = batch.ok(commands[8]);
    assert_eq!(points["breakpoints"][0]["hits"], 1, "{points}");
    let ended = batch.end();
    assert_eq!(ended.status, Some(1), "one continue timed out: {}", ended.said);
    in_shell("true");
    assert!(guest.is_running());
}

/// The user's command: what it says, how long it may take, that nothing of it
/// is left; and a break-in that comes after it was given up.
#[test]
fn by_a_command_and_what_comes_late() {
    let mut guest = boot(&Boot { hgfs: Hgfs::Loaded, ..Boot::default() });
    // It fails, and the user's hand is next.
    let setup_failing = soon(&guest).arg("--break-in").arg("echo no route >&2; exit 3");
    let mut batch = setup_failing.exs(&["interrupt", "detach"]).start();
    batch.expect_said("no route");
    batch.expect_said("type in the guest as root: echo g");
    guest.shell().unwrap().break_in().unwrap();
    let answer = batch.ok("interrupt");
    assert_eq!(tried(&answer), [("command", "failed"), ("by hand", "stopped")]);
    assert!(why(&answer, 0).contains("exit status: 3: no route"), "{answer}");
    batch.ok("detach");
    batch.end().all_good();

    // It takes too long and is given up: with all that it started. The stop
    // that comes all the same is known for what it is.
    let dir = tempfile::tempdir().unwrap();
    let note = dir.path().join("pid");
    let command = format!("sh -c 'echo $$ > {}; exec sleep 1000' & wait", note.display());
    let setup_slow = setup(&guest).arg("--timeout").arg("4").arg("--break-in").arg(&command);
    let mut batch = setup_slow.exs(&["interrupt", "wait 60", "interrupt cancel", "detach"]).start();
    let line = batch.next();
    assert_eq!(tried(&line.result), [("command", "given up")]);
    let pid = std::fs::read_to_string(&note).unwrap();
    let gone = || {
        let state = std::fs::read_to_string(format!("/proc/{}/stat", pid.trim()));
        state.is_err() || state.is_ok_and(|stat| stat.contains(" Z "))
    };
    let start = Instant::now();
    while !gone() {
        assert!(start.elapsed() < Duration::from_secs(20), "the command goes on: {pid}");
        std::thread::sleep(Duration::from_millis(20));
    }
    guest.shell().unwrap().break_in().unwrap();
    let stop = batch.stop("wait 60");
    assert_eq!(
        (&stop["reason"], &stop["function"]),
        (&"interrupt".into(), &"kgdb_breakpoint".into())
    );
    assert!(batch.next().error.unwrap().contains("no break-in is under way"));
    batch.ok("detach");
    let ended = batch.end();
    assert!(ended.said.contains("came late"), "{}", ended.said);

    // Nothing can stop it for a moment here.
    let ended = soon(&guest).ex("break HgfsSendRequest").ex("plant").run();
    assert!(ended.line("plant").error.as_ref().unwrap().contains("--break-in"), "{ended:?}");
    alive(&mut guest);
    assert!(run(&mut guest, "cat /proc/hgfs").contains("requests "));
}

/// Typing into the console's shell where no BREAK goes through: with a line
/// half typed, at a login, at a password, behind a program; on a socket and
/// behind a pseudo terminal.
#[test]
fn by_typing_in_the_consoles_shell() {
    let guest =
        boot(&Boot { mode: Mode::Shared, link: Link::Unix, hgfs: Hgfs::Loaded, ..Boot::default() });
    let address = guest.address().to_string();
    let typist = || {
        let mut typist = Typist::new(&address);
        typist.ready();
        typist
    };
    let shell = || setup(&guest).arg("--break-in-shell").arg("--timeout").arg("8");
    let refused = |words: &str| {
        let ended = shell().ex("interrupt").run();
        let line = ended.line("interrupt");
        assert_eq!(
            tried(&line.result),
            [("shell", "failed"), ("by hand", "given up")],
            "{ended:?}"
        );
        assert!(why(&line.result, 0).contains(words), "{line:?}");
    };
    let stopped_by_shell = || {
        let ended = good(shell(), &["interrupt"]);
        assert_eq!(tried(ended.ok("interrupt")), STOPPED_BY_SHELL);
    };
    // A line that must not be run.
    let mut console = typist();
    console.types("touch /tmp/must-not-be");
    console.expect("must-not-be");
    drop(console);
    stopped_by_shell();
    let mut console = typist();
    assert!(console.run("ls /tmp").trim().is_empty());
    // Messages of the kernel come behind the prompt.
    console.types("(while sleep 0.1; do echo noise > /dev/kmsg; done) & true\r");
    console.expect("noise");
    drop(console);
    stopped_by_shell();
    let mut console = typist();
    console.run("kill %1");
    // A program that reads nothing, then a login.
    console.types("sleep 1000\r");
    console.expect("1000\r\n");
    drop(console);
    refused("busy");
    let mut console = Typist::new(&address);
    console.types("\x03");
    drop(console);
    let mut console = typist();
    console.types("login\r");
    console.expect("login: ");
    drop(console);
    refused("nobody is logged in");
    let mut console = Typist::new(&address);
    // An empty answer ends it after a while; Ctrl-C at once.
    console.types("\x03");
    drop(console);
    // A shell that is not root's.
    let mut console = typist();
    console.types("PS1='me@guest:~$ '\r");
    console.expect("me@guest:~$ ");
    drop(console);
    refused("not root's");
    let mut console = Typist::new(&address);
    console.types_until("\x15PS1='# '", "\r\n# ");
    drop(console);

    // kdb entered by another path while we wait, with something typed before.
    let mut console = typist();
    console.types("(sleep 4; echo g > /proc/sysrq-trigger) & cat > /dev/null\r");
    console.expect("null\r\n");
    drop(console);
    let stop = good(setup(&guest), &["wait 60", "detach"]).ok("wait 60")["stop"].clone();
    assert_eq!(stop["function"], "kgdb_breakpoint");
    let mut console = Typist::new(&address);
    console.types("\x03");
    drop(console);
    drop(typist());

    // A pseudo terminal drops a BREAK: none is tried.
    let dir = tempfile::tempdir().unwrap();
    let tty = dir.path().join("tty");
    let mut socat = socat(&tty, &address);
    let ended = Setup::new(&format!("serial:{}", tty.display()))
        .arg("--break-in-shell")
        .exs(&["interrupt", "break HgfsSendRequest", "delete", "detach"])
        .run()
        .all_good();
    assert_eq!(tried(ended.ok("interrupt")), STOPPED_BY_SHELL);
    socat.kill().unwrap();
    socat.wait().unwrap();
    assert!(typist().run("cat /proc/hgfs").contains("requests "));
}

/// A pseudo terminal that leads to the guest's socket.
fn socat(tty: &Path, address: &str) -> std::process::Child {
    let socket = address.strip_prefix("unix:").unwrap();
    let child = tool("socat")
        .arg(format!("PTY,link={},raw,echo=0", tty.display()))
        .arg(format!("UNIX-CONNECT:{socket}"))
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    while !tty.exists() {
        std::thread::sleep(Duration::from_millis(10));
    }
    child
}
