//! What is known of the guest without a debugger, and what every test does.

use crate::support::{
    batch::{Batch, Setup},
    guest::{LockedGuest, built},
};
use serde_json::Value;
use std::fs;

/// Where the kernel is linked to, and runs with `nokaslr`.
pub const LINKED_AT: u64 = 0xffff_ffff_8100_0000;

/// Where the system calls of 64-bit programs enter the kernel.
pub const ENTRY: &str = "entry_SYSCALL_64";

/// The stack below a read of /proc/hgfs, innermost first, with what is inlined.
pub const READ_STACK: &[(&str, bool)] = &[
    ("HgfsSendRequest", false),
    ("HgfsSendOpenRequest", false),
    ("HgfsOpenFile", false),
    ("HgfsProcShow", false),
    ("seq_read_iter", false),
    ("seq_read", false),
    ("pde_read", true),
    ("proc_reg_read", false),
    ("vfs_read", false),
    ("ksys_read", false),
    ("do_syscall_x64", true),
    ("do_syscall_64", false),
    (ENTRY, false),
];

/// The number of the first line with a text in a file of the guest's source.
pub fn line_of(file: &str, text: &str) -> u64 {
    let path = built().source.join(file);
    let source = fs::read_to_string(&path).unwrap();
    let at = source.lines().position(|line| line.contains(text));
    at.unwrap_or_else(|| panic!("{text:?} is not in {}", path.display())) as u64 + 1
}

/// Runs a command in the guest that must work.
#[track_caller]
pub fn run(guest: &mut LockedGuest, command: &str) -> String {
    let output = guest.shell().unwrap().run(command).unwrap();
    assert_eq!(output.status, 0, "{command}: {}", output.text);
    output.text
}

/// Types a line in the guest and does not wait for what it does.
pub fn type_line(guest: &mut LockedGuest, line: &str) {
    guest.shell().unwrap().send_line(line).unwrap();
}

/// That the guest runs, and its shell works.
#[track_caller]
pub fn alive(guest: &mut LockedGuest) {
    assert_eq!(run(guest, "echo alive"), "alive\n");
}

/// How far KASLR moved the kernel, asked of the guest itself.
pub fn slide(guest: &mut LockedGuest) -> u64 {
    let line = run(guest, "grep ' _text$' /proc/kallsyms");
    number(line.split_whitespace().next().unwrap()) - LINKED_AT
}

/// A hexadecimal number, with `0x` or without.
pub fn number(text: &str) -> u64 {
    u64::from_str_radix(text.trim_start_matches("0x"), 16).unwrap()
}

/// A hexadecimal number in an answer.
#[track_caller]
pub fn address(value: &Value) -> u64 {
    number(value.as_str().unwrap_or_else(|| panic!("no address: {value}")))
}

/// Stops the guest from its shell, and starts the program with `commands` after
/// a `wait`; the answer to that is read already.
pub fn start_stopped(guest: &mut LockedGuest, setup: Setup, commands: &[&str]) -> Batch {
    guest.shell().unwrap().break_in().unwrap();
    let mut batch = setup.ex("wait 60").exs(commands).start();
    let stop = batch.stop("wait 60");
    assert_eq!(stop["function"], "kgdb_breakpoint", "{stop}");
    batch
}

/// The program on this guest.
pub fn setup(guest: &LockedGuest) -> Setup {
    if let Some(relay) = guest.relay() {
        // After an earlier client it is there again in half a second.
        relay.wait_listening().unwrap();
    }
    Setup::new(guest.address())
}

/// Function and inline mark of each frame. The label inside the entry code that
/// an oops would name counts as the whole function, which gdb names.
pub fn functions(bt: &Value) -> Vec<(&str, bool)> {
    let frames = bt["frames"].as_array().unwrap();
    frames
        .iter()
        .map(|frame| {
            let name = frame["function"].as_str().unwrap_or("??");
            let name = if name.starts_with(ENTRY) { ENTRY } else { name };
            (name, frame["inlined"].as_bool().unwrap())
        })
        .collect()
}

/// That a stack goes to the entry of a system call and ends there.
#[track_caller]
pub fn reaches_the_entry(bt: &Value) {
    let names = functions(bt);
    assert_eq!(bt["complete"], true, "{}: {names:?}", bt["end"]);
    assert_eq!(names.last(), Some(&(ENTRY, false)), "{names:?}");
}

/// The frame of a function.
#[track_caller]
pub fn frame<'a>(bt: &'a Value, function: &str) -> &'a Value {
    let frames = bt["frames"].as_array().unwrap();
    let found = frames.iter().find(|frame| frame["function"] == function);
    found.unwrap_or_else(|| panic!("no {function} in {:?}", functions(bt)))
}

/// A variable of a list.
#[track_caller]
pub fn variable<'a>(list: &'a Value, name: &str) -> &'a Value {
    let found = list.as_array().unwrap().iter().find(|variable| variable["name"] == name);
    found.unwrap_or_else(|| panic!("no {name} in {list}"))
}

/// The words of a memory dump.
pub fn values(answer: &Value) -> Vec<u64> {
    answer["values"].as_array().unwrap().iter().map(address).collect()
}
