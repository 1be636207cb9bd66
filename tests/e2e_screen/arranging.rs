//! What the user makes of the screen, on a real guest: breakpoints by mouse,
//! borders dragged, the editor, the shell and back, and all of it found again
//! by the next start.

use crate::{
    LATER, PROGRAM, SOON, alive_and_clean, arguments, busy, line_of, row_of_line,
    support::screen::Screen, type_breakpoint, wait_pc, wait_stopped,
};
use std::{fs, os::unix::fs::PermissionsExt, path::Path};

/// A program that stands for an editor: writes down its arguments and waits for
/// a line.
fn editor(dir: &Path) -> String {
    let (path, out) = (dir.join("editor"), dir.join("edited"));
    let script = format!("#!/bin/sh\necho \"$*\" >>{}\necho EDITING; read line\n", out.display());
    fs::write(&path, script).unwrap();
    fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).unwrap();
    path.display().to_string()
}

/// Where the column between left and right is, in the first row.
fn divider(screen: &Screen) -> Option<usize> {
    screen.rows().first()?.chars().position(|c| c == '┬')
}

#[test]
fn the_mouse_the_editor_and_what_is_remembered() {
    let mut guest = busy();
    let dir = tempfile::tempdir().unwrap();
    let mut screen = Screen::spawn_with(
        "bash",
        &["--norc", "--noprofile", "-i"],
        (160, 48),
        &dir.path().join("state"),
    );
    let run = format!("{PROGRAM} {}\r", arguments(&guest).join(" "));
    screen.types(&format!("PS1='shell% '; export EDITOR={}; unset VISUAL\r", editor(dir.path())));
    screen.types(&run);
    screen.wait_for("The guest is running", LATER);
    guest.shell().unwrap().break_in().unwrap();
    wait_stopped(&screen, "✓ match");
    type_breakpoint(&mut screen);
    screen.keys("F5");
    wait_stopped(&screen, "breakpoint 1");
    let entry = line_of("hgfs/request.c", "noinline int HgfsSendRequest(") + 1;
    wait_pc(&screen, entry);

    // A breakpoint in the gutter, there and gone again; by key at the same line.
    let number = (entry + 1..).find(|line| {
        let row = row_of_line(&screen, *line);
        screen.cell(row, 0).0 == "·"
    });
    let line = number.unwrap();
    let row = row_of_line(&screen, line);
    screen.click(row, 0);
    screen.wait_for("●  2 ", SOON);
    assert_eq!(screen.cell(row, 0).0, "●");
    screen.click(row, 3);
    screen.wait_gone("●  2 ", SOON);
    screen.keys("b");
    screen.wait_for("●  3 ", SOON);
    assert_eq!(screen.cell(row_of_line(&screen, line), 0).0, "●");
    screen.keys("b");
    screen.wait_gone("●  3 ", SOON);

    // A frame: the first click chooses, the second opens.
    let (row, column) = screen.find("#1  HgfsSendOpenRequest");
    screen.click(row, column + 5);
    screen.click(row, column + 5);
    screen.wait_for("▶#1  HgfsSendOpenRequest", SOON);
    let (row, column) = screen.find("#0  HgfsSendRequest");
    screen.click(row, column + 5);
    screen.click(row, column + 5);
    screen.wait_for("▶#0  HgfsSendRequest", SOON);

    // The column between left and right, which stays where it was put.
    let from = divider(&screen).unwrap() as u16;
    screen.drag((9, from), &[(9, from - 7), (12, from - 20)]);
    let to = usize::from(from) - 20;
    screen.wait_until("the border", SOON, |_| divider(&screen) == Some(to));
    screen.resize(80, 24);
    screen.wait_for("4 Stack│5 Vars│6 Regs", SOON);
    screen.resize(160, 48);
    screen.wait_until("the border", SOON, |_| divider(&screen) == Some(to));

    // The shell and back.
    assert!(screen.reports_mouse());
    screen.keys("Ctrl-Z");
    screen.wait_for("Stopped", SOON);
    assert!(!screen.is_full_screen() && !screen.reports_mouse());
    screen.types("fg\r");
    wait_stopped(&screen, "breakpoint 1");
    assert!(screen.is_full_screen() && screen.reports_mouse());

    // The editor, at the line of the cursor; Ctrl-C there is the editor's.
    wait_pc(&screen, entry);
    screen.keys("1 . e");
    screen.wait_for("EDITING", SOON);
    assert!(!screen.is_full_screen() && !screen.reports_mouse());
    screen.keys("Enter");
    wait_stopped(&screen, "breakpoint 1");
    let edited = fs::read_to_string(dir.path().join("edited")).unwrap();
    assert!(edited.starts_with(&format!("+{entry} ")), "{edited}");
    assert!(edited.trim_end().ends_with("hgfs/request.c"), "{edited}");
    screen.keys("e");
    screen.wait_for("EDITING", SOON);
    screen.keys("Ctrl-C");
    screen.wait_for("ended with", SOON);
    wait_stopped(&screen, "breakpoint 1");
    assert!(screen.reports_mouse());

    // A pane in a file.
    let saved = dir.path().join("stack.txt");
    screen.keys("4");
    screen.types(&format!(":save pane {}\r", saved.display()));
    screen.wait_for("lines are in", SOON);
    let stack = fs::read_to_string(&saved).unwrap();
    assert!(stack.contains("#0  HgfsSendRequest(req=0x"), "{stack}");
    assert!(stack.contains("└ system call from user space"), "{stack}");

    screen.types(":display hgfs_queue\r");
    screen.wait_for(" hgfs_queue", SOON);
    screen.keys("F4");
    screen.wait_for("─ D Disassembly HgfsSendRequest", SOON);
    screen.wait_for("▶ffffffffc", LATER);
    quit(&mut screen);

    guest.relay().unwrap().wait_listening().unwrap();
    screen.types(&run);
    screen.wait_for("─ D Disassembly ─", LATER);
    screen.keys(":");
    screen.types("\x1b[A");
    screen.wait_for(":display hgfs_queue", SOON);
    screen.keys("Esc");
    screen.wait_gone(":display hgfs_queue", SOON);
    screen.types(":layout code\r");
    screen.wait_until("the border", SOON, |_| divider(&screen) == Some(to));
    screen.keys("W");
    guest.shell().unwrap().break_in().unwrap();
    wait_stopped(&screen, "✓ match");
    screen.wait_for(" hgfs_queue ", LATER);
    quit(&mut screen);
    alive_and_clean(&mut guest);
}

/// Leaves the guest running, back to the shell.
#[track_caller]
fn quit(screen: &mut Screen) {
    screen.keys("q");
    screen.wait_for("Leave the debugger. The guest is stopped.", SOON);
    let (row, column) = screen.find("lift the breakpoints and let the guest run");
    screen.click(row, column);
    screen.wait_until("the shell", LATER, |rows| rows.trim_end().ends_with("shell%"));
    assert!(!screen.is_full_screen() && !screen.reports_mouse());
}
