//! The program on a terminal, without a guest: it starts, fits the terminal,
//! and gives it back as it was, however it ends.

mod support {
    pub mod screen;
}

use std::{net::TcpListener, time::Duration};
use support::screen::Screen;

const SOON: Duration = Duration::from_secs(20);

/// A port that was free a moment ago, and that nothing listens on.
fn free_port() -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").expect("some port is free");
    listener.local_addr().expect("a bound socket has an address").port()
}

/// The program on a terminal, with an address where nothing listens.
fn start(columns: u16, rows: u16) -> Screen {
    let address = format!("127.0.0.1:{}", free_port());
    let program = env!("CARGO_BIN_EXE_kgdb-tui");
    let screen = Screen::spawn(program, &["--connect", &address], columns, rows);
    screen.wait_for(&format!("Waiting for {address}"), SOON);
    screen
}

#[test]
fn it_waits_says_what_to_do_and_leaves_the_terminal_as_it_was() {
    let mut screen = start(100, 30);
    assert!(screen.is_full_screen());
    screen.wait_for("socat -d -d /tmp/com_guest tcp-listen:", SOON);
    screen.wait_for("CONNECTING", SOON);
    assert_eq!(screen.cell(0, 0).0, "─");
    screen.keys("?");
    screen.wait_for("F6  Ctrl-C  p", SOON);
    screen.keys("Esc");
    screen.wait_gone("F6  Ctrl-C  p", SOON);
    screen.keys("Ctrl-C");
    screen.wait_for("there is nothing to stop", SOON);
    screen.keys("q");
    assert!(screen.wait_end(SOON).success());
    assert!(!screen.is_full_screen() && !screen.hides_cursor());
}

#[test]
fn it_follows_the_terminals_size() {
    let mut screen = start(160, 48);
    screen.wait_for("7 Breakpoints │ 9 CPUs", SOON);
    screen.resize(60, 12);
    screen.wait_for("60x12: needs 80x24", SOON);
    screen.resize(80, 24);
    screen.wait_for("4 Stack│5 Vars│", SOON);
    screen.wait_gone("needs 80x24", SOON);
}

#[test]
fn a_signal_to_end_gives_the_terminal_back() {
    for signal in ["TERM", "HUP"] {
        let mut screen = start(80, 24);
        screen.signal(signal);
        screen.wait_end(SOON);
        assert!(!screen.is_full_screen() && !screen.hides_cursor(), "{signal}");
    }
}

#[test]
fn under_a_shell_the_shell_gets_the_terminal() {
    let port = free_port();
    let program = env!("CARGO_BIN_EXE_kgdb-tui");
    let mut screen = Screen::spawn("bash", &["--norc", "--noprofile", "-i"], 80, 24);
    screen.types(&format!("PS1='shell% '; {program} --connect 127.0.0.1:{port}\r"));
    screen.wait_for("CONNECTING", SOON);
    screen.keys("Ctrl-Z");
    screen.wait_for("Stopped", SOON);
    assert!(!screen.is_full_screen() && !screen.hides_cursor());
    screen.types("echo here I am\r");
    screen.wait_for("\nhere I am", SOON);
    screen.types("fg\r");
    screen.wait_for("CONNECTING", SOON);
    assert!(screen.is_full_screen());
    screen.keys("q");
    screen.wait_until("the shell", SOON, |rows| rows.trim_end().ends_with("shell%"));
    screen.types("stty -a\r");
    screen.wait_for(" icanon", SOON);
    screen.types("exit\r");
    screen.wait_end(SOON);
}
