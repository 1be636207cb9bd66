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
    assert!(screen.is_full_screen() && screen.reports_mouse());
    screen.wait_for("kgdb-tui relay unix:/tmp/com_guest tcp-listen:", SOON);
    screen.wait_for("CONNECTING", SOON);
    assert_eq!(screen.cell(0, 0).0, "─");
    screen.keys("?");
    screen.wait_for("F6  Ctrl-C  p", SOON);
    screen.keys("Esc");
    screen.wait_gone("F6  Ctrl-C  p", SOON);
    screen.keys("Ctrl-C");
    screen.wait_for("there is nothing to stop", SOON);
    // A hint is as good as its key; in so few rows it shares one with messages.
    screen.keys("Esc");
    screen.wait_for(" quit", SOON);
    let (row, column) = screen.find(" quit");
    screen.click(row, column + 2);
    assert!(screen.wait_end(SOON).success());
    assert!(!screen.is_full_screen() && !screen.hides_cursor() && !screen.reports_mouse());
}

#[test]
fn the_mouse_can_be_left_to_the_terminal() {
    let address = format!("127.0.0.1:{}", free_port());
    let program = env!("CARGO_BIN_EXE_kgdb-tui");
    let screen = Screen::spawn(program, &["--no-mouse", "--connect", &address], 100, 30);
    screen.wait_for(&format!("Waiting for {address}"), SOON);
    assert!(!screen.reports_mouse());
}

#[test]
fn what_is_remembered_comes_back_and_a_damaged_file_is_told_of() {
    let state = tempfile::tempdir().unwrap();
    let address = format!("127.0.0.1:{}", free_port());
    let program = env!("CARGO_BIN_EXE_kgdb-tui");
    let start = || {
        let args = ["--connect", &address];
        let screen = Screen::spawn_with(program, &args, (120, 35), state.path());
        screen.wait_for("CONNECTING", SOON);
        screen
    };
    let end = |mut screen: Screen| {
        screen.keys("q");
        assert!(screen.wait_end(SOON).success());
    };
    let mut screen = start();
    screen.keys("F4");
    screen.wait_for("layout asm: ", SOON);
    screen.types(":display jiffies\r");
    screen.wait_for("W Watch", SOON);
    end(screen);
    let mut screen = start();
    screen.wait_for("─ D Disassembly ─", SOON);
    screen.types(":");
    screen.types("\x1b[A");
    screen.wait_for(":display jiffies", SOON);
    // An Esc that comes together with the next key is another key (Alt).
    screen.keys("Esc");
    screen.wait_gone(":display jiffies", SOON);
    end(screen);
    let targets = std::fs::read_dir(state.path().join("kgdb-tui/targets")).unwrap();
    let dir = targets.map(|entry| entry.unwrap().path()).next().unwrap();
    std::fs::write(dir.join("screen.json"), "{\"layout\": ").unwrap();
    let screen = start();
    screen.wait_for("is damaged and not used", SOON);
    screen.wait_for("─ 1 Source ─", SOON);
    end(screen);
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
    for signal in ["TERM", "HUP", "INT"] {
        let mut screen = start(80, 24);
        screen.signal(signal);
        screen.wait_end(SOON);
        assert!(!screen.is_full_screen() && !screen.reports_mouse(), "{signal}");
        assert!(!screen.hides_cursor(), "{signal}");
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
    assert!(!screen.is_full_screen() && !screen.hides_cursor() && !screen.reports_mouse());
    screen.types("echo here I am\r");
    screen.wait_for("\nhere I am", SOON);
    screen.types("fg\r");
    screen.wait_for("CONNECTING", SOON);
    assert!(screen.is_full_screen() && screen.reports_mouse());
    screen.keys("q");
    screen.wait_until("the shell", SOON, |rows| rows.trim_end().ends_with("shell%"));
    screen.types("stty -a\r");
    screen.wait_for(" icanon", SOON);
    screen.types("exit\r");
    screen.wait_end(SOON);
}

#[test]
fn settings_are_read_at_the_start_and_when_they_change() {
    let state = tempfile::tempdir().expect("a temporary directory");
    let config = state.path().join("kgdb-tui/config.toml");
    std::fs::create_dir_all(config.parent().expect("it has one")).expect("a new directory");
    let write = |text: &str| std::fs::write(&config, text).expect("the file can be written");
    let address = format!("127.0.0.1:{}", free_port());
    write(&format!(
        "connect = '{address}'\n[keys]\npreset = 'vi'\n[keys.everywhere]\nq = ''\n[set]\nlistsiez = 1\n"
    ));
    let program = env!("CARGO_BIN_EXE_kgdb-tui");
    let mut screen = Screen::spawn_with(program, &[] as &[&str], (120, 30), state.path());
    screen.wait_for(&format!("Waiting for {address}"), SOON);
    screen.wait_for(
        " ! config.toml:7: unknown setting of [set] 'listsiez'; did you mean listsize?",
        SOON,
    );
    // The set's keys, with what can follow; the user's own word about q.
    screen.types("\x17");
    screen.wait_for(" Ctrl-W … ", SOON);
    screen.wait_for("this pane over the whole screen", SOON);
    screen.keys("Esc");
    screen.wait_gone(" Ctrl-W … ", SOON);
    screen.keys("q ?");
    screen.wait_for("In this pane (Source)", SOON);
    screen.keys("Esc");
    // While it runs: another set of keys, and a theme without colours.
    write("theme = 'mono'\n[keys]\npreset = 'jetbrains'\n[keys.everywhere]\nq = 'focus log'\n");
    screen.wait_for("the settings were read again", SOON);
    screen.wait_until("no colours", SOON, |_| {
        let plain = (vt100::Color::Default, vt100::Color::Default);
        (0..100).all(|column| screen.colours(28, column) == plain)
    });
    screen.keys("q");
    screen.wait_for("the settings were read again; connect at the next start only", SOON);
    // A text that is no TOML changes nothing.
    write("theme = \n");
    screen.wait_for("config.toml:1: ", SOON);
    screen.wait_for("(and 1 more: q shows the log)", SOON);
    screen.keys("1 q z");
    screen.wait_for("what the file said before stays in force", SOON);
    write("");
    // The log has these words too.
    screen.wait_until("the message", SOON, |rows| {
        rows.lines().last().is_some_and(|row| row.contains("the settings were read again"))
    });
    screen.keys("z");
    screen.wait_for("q quit", SOON);
    screen.keys("q");
    assert!(screen.wait_end(SOON).success());
}

#[test]
fn a_source_trees_file_is_found_from_below_and_runs_nothing() {
    let home = tempfile::tempdir().expect("a temporary directory");
    let below = home.path().join("linux/fs");
    std::fs::create_dir_all(&below).expect("new directories");
    let file = home.path().join("linux/.kgdb-tui.toml");
    let text = "break-in = 'touch /tmp/never'\nconnect = 'exec:touch /tmp/never'\n\
                [keys.everywhere]\nF4 = 'save breakpoints /tmp/never'\n";
    std::fs::write(&file, text).expect("the file can be written");
    let run = |args: &[&str]| {
        let output = std::process::Command::new(env!("CARGO_BIN_EXE_kgdb-tui"))
            .args(args)
            .current_dir(&below)
            .env("HOME", home.path())
            .env("XDG_CONFIG_HOME", home.path().join("config"))
            .output()
            .expect("the program runs");
        String::from_utf8_lossy(&output.stdout).into_owned()
    };
    let said = run(&["config", "--path"]);
    assert!(said.contains("not there: ") && said.contains("config/kgdb-tui/config.toml"), "{said}");
    for line in [1, 2, 4] {
        let words = format!("/linux/.kgdb-tui.toml:{line}: ");
        assert!(said.contains(&words) && said.contains("refused here"), "{said}");
    }
    let default = run(&["config"]);
    assert!(
        default.contains("preset = \"kgdb\"") && default.contains("listsize = 10"),
        "{default}"
    );
}
