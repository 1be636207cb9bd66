//! Breakpoints on a real guest: changed by keys, and there again after a start.

use crate::{
    LATER, PROGRAM, SOON, alive_and_clean, arguments, busy, support::guest::LockedGuest,
    support::screen::Screen, type_breakpoint, wait_stopped,
};
use std::path::{Path, PathBuf};

fn start(guest: &LockedGuest, state: &Path) -> Screen {
    if let Some(relay) = guest.relay() {
        relay.wait_listening().unwrap();
    }
    let screen = Screen::spawn_with(PROGRAM.to_string(), &arguments(guest), (160, 48), state);
    screen.wait_for("The guest is running", LATER);
    screen
}

fn leave(screen: &mut Screen) {
    screen.keys("q");
    screen.wait_for("Leave the debugger. The guest is stopped.", SOON);
    screen.keys("c");
    assert!(screen.wait_end(SOON).success());
}

/// Types at a line that a key has opened.
#[track_caller]
fn finish_line(screen: &mut Screen, begun: &str, text: &str) {
    screen.wait_for(begun, SOON);
    screen.types(text);
    screen.wait_for(&format!("{begun}{text}"), SOON);
    screen.keys("Enter");
}

/// Files below a directory that have a name.
fn files(dir: &Path, name: &str) -> Vec<PathBuf> {
    let entries = std::fs::read_dir(dir).into_iter().flatten().flatten();
    let below = entries.flat_map(|entry| match entry.path() {
        path if path.is_dir() => files(&path, name),
        path if path.ends_with(name) => vec![path],
        _ => Vec::new(),
    });
    below.collect()
}

#[test]
fn breakpoints_are_changed_by_keys_and_are_there_again() {
    let mut guest = busy();
    let state = tempfile::tempdir().unwrap();
    let mut screen = start(&guest, state.path());
    guest.shell().unwrap().break_in().unwrap();
    wait_stopped(&screen, "✓ match");
    type_breakpoint(&mut screen);

    // Over the whole screen: there is much to see.
    screen.keys("7 z e");
    finish_line(&mut screen, ":condition 1 ", "req->urgnt");
    screen.wait_for("no member 'urgnt' in struct HgfsReq; did you mean 'urgent'?", SOON);
    screen.keys("e");
    finish_line(&mut screen, ":condition 1 ", "req->urgent");
    screen.wait_for("●  1 HgfsSendRequest if req->urgent", SOON);
    screen.keys("x");
    finish_line(&mut screen, ":ignore 1 ", "1");
    screen.wait_for("if req->urgent ignore 1", SOON);
    screen.keys("F5");
    wait_stopped(&screen, "breakpoint 1");
    screen.wait_for("2 hits, passed 1", SOON);
    screen.keys("E");
    finish_line(&mut screen, ":commands 1 ", "printf \"op is %d\",req->op");
    screen.wait_for("does printf", SOON);
    screen.keys("F5");
    screen.wait_for("3 hits, passed 1", LATER);
    screen.keys("3");
    screen.wait_for("  op is 1", SOON);
    screen.keys("7 Space");
    screen.wait_for("◐  1 HgfsSendRequest", SOON);
    screen.keys("Space");
    screen.wait_for("●  1 HgfsSendRequest", SOON);
    screen.types(":dprintf HgfsOpenFile,\"opens %s\",name\r");
    screen.wait_for("●  2 HgfsOpenFile prints", SOON);
    leave(&mut screen);
    alive_and_clean(&mut guest);
    assert_eq!(files(state.path(), "breakpoints.json").len(), 1);

    // Not armed before the kernel is proven to be the one of the file.
    let mut screen = start(&guest, state.path());
    screen.keys("3");
    screen.wait_for("2 breakpoints restored from ", SOON);
    screen.keys("7 z");
    screen.wait_for("○  1 HgfsSendRequest if req->urgent", SOON);
    guest.shell().unwrap().break_in().unwrap();
    wait_stopped(&screen, "✓ match");
    screen.wait_for("●  1 HgfsSendRequest if req->urgent", SOON);
    screen.keys("F5");
    wait_stopped(&screen, "breakpoint 1");
    screen.keys("3");
    screen.wait_for(": opens /", SOON);
    screen.wait_for("  op is 1", SOON);
    screen.types(":delete\r");
    screen.keys("7");
    screen.wait_for("none; F9/b sets one at the cursor", SOON);
    leave(&mut screen);
    alive_and_clean(&mut guest);
    assert!(files(state.path(), "breakpoints.json").is_empty(), "'delete' empties the file");
}
