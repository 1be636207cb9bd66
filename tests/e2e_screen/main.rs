//! The program on a terminal, with a real guest behind a real relay and KASLR
//! on: keys in, cells out, and the guest asked what became of it.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

#[path = "../support"]
mod support {
    pub mod faulty;
    pub mod guest;
    pub mod screen;
    pub mod svg;
    pub mod tools;
    pub mod typist;
}

mod arranging;
mod break_in;
mod breakpoints;
mod console;
mod find;
mod logs;
mod loss;
mod modules;
mod panes;
mod picture;

use kgdb_tui::demo::guest::{Boot, GuestLock, Hgfs};
use std::{
    fs,
    os::unix::fs::PermissionsExt,
    thread::sleep,
    time::{Duration, Instant},
};
use support::{
    guest::{LockedGuest, boot, built},
    screen::Screen,
};
use vt100::Color;

/// For what takes a moment, on a busy machine.
const SOON: Duration = Duration::from_secs(30);
/// For what waits for the guest or the symbols.
const LATER: Duration = Duration::from_secs(90);

const PROGRAM: &str = env!("CARGO_BIN_EXE_kgdb-tui");
const BLUE: Color = Color::Idx(4);
const LIGHT_RED: Color = Color::Idx(9);
const LIGHT_YELLOW: Color = Color::Idx(11);

/// The stack below a read of /proc/hgfs, with what is inlined, innermost first.
const READ_STACK: &[&str] = &[
    "HgfsSendRequest",
    "HgfsSendOpenRequest",
    "HgfsOpenFile",
    "HgfsProcShow",
    "seq_read_iter",
    "seq_read",
    "pde_read inlined",
    "proc_reg_read",
    "vfs_read",
    "ksys_read",
    "do_syscall_x64 inlined",
    "do_syscall_64",
    "entry_SYSCALL_64",
];

/// A guest with the demo module in use.
fn busy() -> LockedGuest {
    boot(&Boot { hgfs: Hgfs::Busy, ..Boot::default() })
}

/// The command line a user would type: sources and modules are found without
/// further options.
fn arguments(guest: &LockedGuest) -> Vec<String> {
    let vmlinux = built().vmlinux.display().to_string();
    vec!["--vmlinux".into(), vmlinux, "--connect".into(), guest.address().into()]
}

/// Runs a command in the guest that must work.
#[track_caller]
fn run(guest: &mut LockedGuest, command: &str) -> String {
    let output = guest.shell().unwrap().run(command).unwrap();
    assert_eq!(output.status, 0, "{command}: {}", output.text);
    output.text
}

/// That the guest runs, and runs through the places where breakpoints were
/// without stopping.
#[track_caller]
fn alive_and_clean(guest: &mut LockedGuest) {
    assert!(run(guest, "cat /proc/hgfs").contains("requests "));
    // The loop of the guest's own goes on too.
    let count = |guest: &mut LockedGuest| -> u64 {
        let text = run(guest, "cat /proc/hgfs");
        text.split_whitespace().last().unwrap().parse().unwrap()
    };
    let before = count(guest);
    run(guest, "sleep 2");
    assert!(count(guest) > before + 1);
}

/// The number of the only line with a text in a file of the guest's source.
fn line_of(file: &str, text: &str) -> u32 {
    let source = fs::read_to_string(built().source.join(file)).unwrap();
    let at = source.lines().position(|line| line.contains(text));
    at.unwrap_or_else(|| panic!("no {text:?} in {file}")) as u32 + 1
}

/// The number of the line in a row of the source pane, after two columns of
/// marks.
fn line_number(row: &str) -> Option<u32> {
    let after: String = row.chars().skip(2).collect();
    let digits = after.trim_start().split(' ').next()?;
    digits.parse().ok()
}

/// The row of the source pane with the program counter's mark, and the number
/// of its line.
fn pc_line(screen: &Screen) -> Option<(u16, u32)> {
    let marked = |row: &str| row.chars().nth(1) == Some('▶');
    let number = |row: &str| line_number(row).filter(|_| marked(row));
    (0..).zip(screen.rows()).find_map(|(row, text)| Some((row, number(&text)?)))
}

/// The row of the source pane with a line.
#[track_caller]
fn row_of_line(screen: &Screen, line: u32) -> u16 {
    let at = screen.rows().iter().position(|row| line_number(row) == Some(line));
    at.unwrap_or_else(|| panic!("no line {line}:\n{}", screen.contents())) as u16
}

/// The status row, when the guest is stopped.
fn status(text: &str) -> Option<&str> {
    text.lines().rev().find(|line| line.starts_with(" STOPPED "))
}

/// Waits for a stop, by a text of the status row.
#[track_caller]
fn wait_stopped(screen: &Screen, why: &str) {
    screen.wait_until(&format!("a stop: {why}"), LATER, |text| {
        status(text).is_some_and(|status| status.contains(why))
    });
}

/// Waits until the mark is on a line.
#[track_caller]
fn wait_pc(screen: &Screen, line: u32) {
    screen.wait_until(&format!("the mark on line {line}"), LATER, |text| {
        status(text).is_some() && pc_line(screen).is_some_and(|(_, at)| at == line)
    });
}

/// Sets a breakpoint in the demo module by typing, with completion.
#[track_caller]
fn type_breakpoint(screen: &mut Screen) {
    screen.types(":break HgfsSendReq");
    screen.wait_for(":break HgfsSendReq", SOON);
    // The module's names are there a moment after the stop.
    let end = Instant::now() + SOON;
    while !screen.contents().contains(":break HgfsSendRequest") {
        assert!(Instant::now() < end, "no completion:\n{}", screen.contents());
        screen.keys("Tab");
        sleep(Duration::from_millis(300));
    }
    screen.keys("Enter");
    screen.wait_for("●  1 HgfsSendRequest", SOON);
}

#[test]
fn a_stop_is_shown_stepped_through_and_left() {
    let mut guest = busy();
    let mut screen = Screen::spawn(PROGRAM.to_string(), &arguments(&guest), 160, 48);
    screen.wait_for("The guest is running", LATER);
    screen.wait_for("echo g > /proc/sysrq-trigger", SOON);
    screen.wait_for(" RUNNING ", SOON);
    guest.shell().unwrap().break_in().unwrap();
    wait_stopped(&screen, "✓ match");
    screen.wait_for("#0  kgdb_breakpoint", LATER);
    wait_pc(&screen, line_of("linux-6.1/kernel/debug/debug_core.c", "after breakpoint */"));
    screen.find("kernel/debug/debug_core.c");
    screen.wait_for("└ system call from user space", SOON);
    screen.find(" __handle_sysrq ");
    screen.find(" entry_SYSCALL_64");
    screen.wait_for(" · pid ", SOON);
    screen.find("6.1.192-kgdbtui");

    type_breakpoint(&mut screen);
    screen.keys("F5");
    wait_stopped(&screen, "breakpoint 1");
    let entry = line_of("hgfs/request.c", "noinline int HgfsSendRequest(") + 1;
    wait_pc(&screen, entry);
    screen.wait_for("›▸req 0xffff", SOON);
    screen.wait_for("#0  HgfsSendRequest(req=0xffff", SOON);
    screen.wait_for("struct HgfsReq *", SOON);
    screen.wait_for("└ system call from user space", SOON);
    screen.find("hgfs/request.c ");
    check_marks(&screen);
    check_stack(&screen);
    check_registers(&screen, "HgfsSendRequest+0x");

    // A step ends somewhere else, in the same function.
    screen.keys("n");
    wait_stopped(&screen, " step ");
    screen.wait_for("#0  HgfsSendRequest(req=", SOON);
    screen.wait_until("another line", SOON, |_| {
        pc_line(&screen).is_some_and(|(_, line)| line != entry)
    });
    let (_, line) = pc_line(&screen).unwrap();
    screen.keys("s");
    screen.wait_until("the next line", LATER, |text| {
        status(text).is_some() && pc_line(&screen).is_some_and(|(_, at)| at != line)
    });
    check_registers(&screen, "HgfsSendRequest+0x");
    // Its caller tested the answer; 0 is success.
    screen.keys("f");
    wait_stopped(&screen, "finished = 0");
    let call = line_of("hgfs/request.c", "int HgfsSendOpenRequest(") + 8;
    wait_pc(&screen, call);
    screen.wait_for("▶#0  HgfsSendOpenRequest(name=", SOON);
    check_registers(&screen, "HgfsSendOpenRequest+0x");
    screen.wait_for("rax*0000000000000000", SOON);

    screen.keys("u");
    screen.wait_for("▶#1  HgfsOpenFile", SOON);
    let caller = line_of("hgfs/main.c", "ret = HgfsSendOpenRequest(");
    screen.wait_for(&format!("▷{caller:>3} "), SOON);
    screen.find("hgfs/main.c ");
    // What a callee may overwrite is not known in its caller.
    screen.wait_for(" rax — ", SOON);
    screen.keys("d");
    screen.wait_for("▶#0  HgfsSendOpenRequest", SOON);
    wait_pc(&screen, call);

    toggle_at_cursor(&mut screen, call + 1);
    follow_sizes(&mut screen, call);

    screen.keys("q");
    screen.wait_for("Leave the debugger. The guest is stopped.", SOON);
    screen.keys("Esc");
    screen.wait_gone("Leave the debugger", SOON);
    screen.keys("q");
    screen.wait_for("Leave the debugger. The guest is stopped.", SOON);
    screen.keys("c");
    assert!(screen.wait_end(SOON).success());
    screen.find("detached; the guest runs on");
    assert!(!screen.is_full_screen() && !screen.hides_cursor());
    alive_and_clean(&mut guest);
}

/// The line where it stopped at its breakpoint is marked in the gutter, and
/// stands out as a whole.
#[track_caller]
fn check_marks(screen: &Screen) {
    let (row, _) = pc_line(screen).unwrap();
    assert_eq!(screen.cell(row, 0), ("●".to_string(), true));
    assert_eq!(screen.colours(row, 0).0, LIGHT_RED);
    assert_eq!(screen.cell(row, 1), ("▶".to_string(), true));
    for column in [1, 4, 20, 60] {
        assert_eq!(screen.colours(row, column).1, BLUE, "column {column}");
        assert_ne!(screen.colours(row + 1, column).1, BLUE, "column {column}");
    }
}

/// Every frame in a row of its own, in order, down to the system call.
#[track_caller]
fn check_stack(screen: &Screen) {
    let (first, column) = screen.find("▶#0  HgfsSendRequest");
    let rows = screen.rows();
    for (level, function) in READ_STACK.iter().enumerate() {
        let row: String = rows[usize::from(first) + level].chars().skip(column.into()).collect();
        let wanted = format!("#{level:<2} {function}");
        assert!(row.contains(&wanted), "{wanted}: {row}");
    }
    let end = &rows[usize::from(first) + READ_STACK.len()];
    assert!(end.contains("└ system call from user space"), "{end}");
}

/// The program counter moved, is marked so, and the flags are in words.
#[track_caller]
fn check_registers(screen: &Screen, function: &str) {
    screen.wait_for("rip*ffffffffc0", SOON);
    let (row, column) = screen.find("rip*");
    let (_, bold) = screen.cell(row, column + 4);
    assert!(bold);
    assert_eq!(screen.colours(row, column + 4).0, LIGHT_YELLOW);
    assert!(screen.rows()[usize::from(row)].contains(function));
    let (row, _) = screen.find(" flg");
    let flags = &screen.rows()[usize::from(row)];
    assert!(flags.contains(" [") && flags.contains("IF"), "{flags}");
}

/// `b` sets a breakpoint on the line below the mark, and takes it away.
#[track_caller]
fn toggle_at_cursor(screen: &mut Screen, line: u32) {
    screen.keys("1 Down b");
    screen.wait_for("●  2 ", SOON);
    let row = row_of_line(screen, line);
    assert_eq!(screen.cell(row, 0).0, "●");
    assert_eq!(screen.colours(row, 0).0, LIGHT_RED);
    screen.keys("b");
    screen.wait_gone("●  2 ", SOON);
    assert_eq!(screen.cell(row_of_line(screen, line), 0).0, "·");
}

/// Every size shows the stop, the smallest in words only.
#[track_caller]
fn follow_sizes(screen: &mut Screen, line: u32) {
    screen.resize(80, 24);
    screen.wait_for("4 Stack│5 Vars│6 Regs", SOON);
    wait_pc(screen, line);
    screen.resize(20, 5);
    screen.wait_for("20x5: needs 80x24", SOON);
    screen.find("HgfsSendOpenRequest");
    screen.find(" STOPPED ");
    screen.resize(160, 48);
    screen.wait_for("─ 7 Breakpoints │ 9 CPUs", SOON);
    screen.wait_for("●  1 HgfsSendRequest", SOON);
    wait_pc(screen, line);
}

#[test]
fn the_shell_gets_the_terminal_and_a_signal_lets_the_guest_go() {
    let mut guest = busy();
    let mut screen = Screen::spawn("bash", &["--norc", "--noprofile", "-i"], 160, 48);
    screen.types("PS1='shell% '\r");
    screen.types(&format!("{PROGRAM} {}\r", arguments(&guest).join(" ")));
    screen.wait_for("The guest is running", LATER);
    guest.shell().unwrap().break_in().unwrap();
    wait_stopped(&screen, "✓ match");
    type_breakpoint(&mut screen);
    screen.keys("F5");
    wait_stopped(&screen, "breakpoint 1");
    let program = children(screen.pid());
    assert_eq!(program.len(), 1, "{program:?}");

    screen.keys("Ctrl-Z");
    screen.wait_for("Stopped", SOON);
    assert!(!screen.is_full_screen() && !screen.hides_cursor());
    screen.types("echo here; fg\r");
    wait_stopped(&screen, "breakpoint 1");
    assert!(screen.is_full_screen());
    // The keys are read again.
    screen.keys("u");
    screen.wait_for("▶#1  HgfsSendOpenRequest", SOON);

    screen.signal_to(program[0].0, "TERM");
    screen.wait_until("the shell", LATER, |rows| rows.trim_end().ends_with("shell%"));
    assert!(!screen.is_full_screen() && !screen.hides_cursor());
    screen.types("stty -a\r");
    screen.wait_for(" icanon", SOON);
    screen.find(" echo ");
    alive_and_clean(&mut guest);
}

/// Nobody names a vmlinux: what is done about it is told, addresses are shown
/// meanwhile, and source when it is there. What was started for it ends with us.
#[test]
fn a_vmlinux_that_comes_late() {
    let mut guest = busy();
    let dir = tempfile::tempdir().unwrap();
    let at = |name: &str| dir.path().join(name).display().to_string();
    // A program that stands for elfutils' own, which asks servers.
    let script = format!(
        "#!/bin/sh\necho 'Downloading 42%' >&2\n[ \"$1\" = debuginfo ] || exit 1\n\
         until [ -e {} ]; do sleep 0.1; done\necho {}\n",
        at("there"),
        built().vmlinux.display()
    );
    fs::write(at("debuginfod-find"), script).unwrap();
    fs::set_permissions(at("debuginfod-find"), fs::Permissions::from_mode(0o755)).unwrap();
    let path = format!("PATH={}:{}", dir.path().display(), std::env::var("PATH").unwrap());
    let program = ["-C", &at(""), &path, "DEBUGINFOD_URLS=https://debuginfod.example", PROGRAM];
    let address = guest.address().to_string();
    let start = || {
        let address = address.clone();
        let args: Vec<_> = program.iter().map(|arg| arg.to_string()).collect();
        Screen::spawn(
            "env".to_string(),
            &[args, vec!["--connect".into(), address]].concat(),
            160,
            48,
        )
    };
    let mut screen = start();
    screen.wait_for("The guest is running", LATER);
    screen.find("the vmlinux is looked for when the guest stops");
    guest.shell().unwrap().break_in().unwrap();
    screen.wait_for("debuginfod-find: Downloading 42%", LATER);
    screen.find("6.1.192-kgdbtui no vmlinux");
    screen.find("#0  0xffffffff");
    let asked = descendants(screen.pid());
    assert!(asked.iter().any(|(_, name)| name == "debuginfod-find"), "{asked:?}");
    screen.keys("q");
    screen.wait_for("Leave the debugger. The guest is stopped.", SOON);
    screen.keys("c");
    assert!(screen.wait_end(SOON).success());
    let is_there = |(pid, name): &&(u32, String)| process(*pid).is_some_and(|now| now.0 == *name);
    let left = asked.iter().find(|one| one.1 == "debuginfod-find" && is_there(one));
    assert!(left.is_none(), "{left:?}");

    guest.relay().unwrap().wait_listening().unwrap();
    let mut screen = start();
    screen.wait_for("The guest is running", LATER);
    guest.shell().unwrap().break_in().unwrap();
    screen.wait_for("debuginfod-find: Downloading 42%", LATER);
    fs::write(at("there"), "").unwrap();
    wait_stopped(&screen, "✓ match");
    screen.wait_for("#0  kgdb_breakpoint", LATER);
    screen.wait_for("└ system call from user space", SOON);
    screen.keys("q");
    screen.wait_for("Leave the debugger. The guest is stopped.", SOON);
    screen.keys("c");
    assert!(screen.wait_end(SOON).success());
    alive_and_clean(&mut guest);
}

#[test]
fn the_demo_stops_in_its_module_and_takes_its_guest_along() {
    // The demo boots a guest of its own.
    let _turn = GuestLock::take(&built()).unwrap();
    let mut screen = Screen::spawn(PROGRAM, &["demo"], 160, 48);
    wait_stopped(&screen, "breakpoint 1");
    wait_pc(&screen, line_of("hgfs/request.c", "noinline int HgfsSendRequest(") + 1);
    screen.wait_for("2/10 Stopped in HgfsSendRequest of module hgfs. Press n", SOON);
    screen.keys("n");
    screen.wait_for("3/10 Press 5 for the variables", LATER);
    screen.keys("5");
    screen.wait_for("›▸req 0xffff", SOON);
    screen.keys("Enter");
    screen.wait_for("4/10 Press s", SOON);

    let family = descendants(screen.pid());
    for program in ["qemu-system-x86", "socat"] {
        assert!(family.iter().any(|(_, name)| name == program), "no {program}: {family:?}");
    }
    screen.keys("q");
    screen.wait_for("Leave the debugger. The guest is stopped.", SOON);
    screen.keys("c");
    assert!(screen.wait_end(SOON).success());
    screen.find("detached; the guest runs on");
    screen.find("the demo guest has ended");
    assert!(!screen.is_full_screen() && !screen.hides_cursor());
    let end = Instant::now() + SOON;
    let is_there = |(pid, name): &&(u32, String)| process(*pid).is_some_and(|now| now.0 == *name);
    while let Some(left) = family.iter().find(is_there) {
        assert!(Instant::now() < end, "{left:?} is still there");
        sleep(Duration::from_millis(20));
    }
}

/// A process that has not ended: its name and its parent, fields 2 and 4 of its
/// `stat`, the state being field 3.
fn process(pid: u32) -> Option<(String, u32)> {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    let (name, rest) = stat.split_once('(')?.1.rsplit_once(") ")?;
    let mut fields = rest.split(' ');
    let alive = fields.next()? != "Z";
    let parent = fields.next()?.parse().ok()?;
    alive.then(|| (name.to_string(), parent))
}

/// The processes a process has started, by id and name.
fn children(of: u32) -> Vec<(u32, String)> {
    let all = fs::read_dir("/proc").unwrap().flatten();
    let ids = all.filter_map(|entry| entry.file_name().to_str()?.parse().ok());
    ids.filter_map(|pid| process(pid).filter(|(_, parent)| *parent == of).map(|(n, _)| (pid, n)))
        .collect()
}

/// Those, and what they have started.
fn descendants(of: u32) -> Vec<(u32, String)> {
    let mut all = children(of);
    let below: Vec<_> = all.iter().flat_map(|(pid, _)| descendants(*pid)).collect();
    all.extend(below);
    all
}
