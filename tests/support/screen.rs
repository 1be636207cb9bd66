//! A program in a pseudo-terminal, with its screen as a terminal would show
//! it: keys in, cells out. The size is set before the program starts, because
//! crossterm asks for it once at the start.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on has failed")]
#![allow(dead_code, reason = "each test program uses a part of it")]

use portable_pty::{Child, CommandBuilder, ExitStatus, MasterPty, PtySize, native_pty_system};
use std::{
    ffi::OsStr,
    io::{Read, Write},
    num::NonZeroU16,
    path::Path,
    sync::{Arc, Mutex, MutexGuard},
    thread,
    time::{Duration, Instant},
};
use tempfile::TempDir;

/// A running program and its screen.
pub struct Screen {
    parser: Arc<Mutex<vt100::Parser>>,
    writer: Box<dyn Write + Send>,
    master: Box<dyn MasterPty + Send>,
    child: Box<dyn Child + Send + Sync>,
    state: Option<TempDir>,
}

/// How often the screen is looked at while waiting for something.
const LOOK: Duration = Duration::from_millis(20);

impl Screen {
    /// Starts a program on a terminal of `columns` by `rows`.
    pub fn spawn<S: AsRef<OsStr>>(program: S, args: &[S], columns: u16, rows: u16) -> Screen {
        // What one test keeps on disk is nothing to another one, which may get
        // the same address.
        let state = tempfile::tempdir().unwrap();
        let mut screen = Screen::spawn_with(program, args, (columns, rows), state.path());
        screen.state = Some(state);
        screen
    }

    /// The same, with a directory for what is kept between starts.
    pub fn spawn_with<S: AsRef<OsStr>>(
        program: S,
        args: &[S],
        (columns, rows): (u16, u16),
        state: &Path,
    ) -> Screen {
        Screen::spawn_in(program, args, (columns, rows), state, &[])
    }

    /// The same, with more of the environment: names and values.
    pub fn spawn_in<S: AsRef<OsStr>>(
        program: S,
        args: &[S],
        (columns, rows): (u16, u16),
        state: &Path,
        environment: &[(&str, &str)],
    ) -> Screen {
        // What a first start says is in the way of what is looked at.
        let own = state.join("kgdb-tui");
        std::fs::create_dir_all(&own).unwrap();
        std::fs::write(own.join("welcomed"), "").unwrap();
        let pair = native_pty_system().openpty(size(columns, rows)).unwrap();
        let mut command = CommandBuilder::new(program);
        command.args(args);
        command.env("TERM", "xterm-256color");
        command.env("XDG_STATE_HOME", state);
        command.env("XDG_CONFIG_HOME", state);
        for name in ["NO_COLOR", "COLORTERM", "COLORFGBG"] {
            command.env_remove(name);
        }
        for (name, value) in environment {
            command.env(name, value);
        }
        command.cwd(std::env::current_dir().unwrap());
        let child = pair.slave.spawn_command(command).unwrap();
        drop(pair.slave);
        let (rows, columns) = (positive(rows), positive(columns));
        let parser = Arc::new(Mutex::new(vt100::Parser::new(rows, columns, 0)));
        let mut reader = pair.master.try_clone_reader().unwrap();
        let shown = parser.clone();
        thread::spawn(move || {
            let mut bytes = [0; 4096];
            // The end is an error on Linux: the slave's side was closed.
            while let Ok(count @ 1..) = reader.read(&mut bytes) {
                shown.lock().unwrap().process(&bytes[..count]);
            }
        });
        let writer = pair.master.take_writer().unwrap();
        Screen { parser, writer, master: pair.master, child, state: None }
    }

    /// Waits until the screen has `text` in one row.
    ///
    /// # Panics
    /// When it does not within `timeout`; the screen is in the message.
    #[track_caller]
    pub fn wait_for(&self, text: &str, timeout: Duration) {
        self.wait_until(&format!("'{text}'"), timeout, |screen| screen.contains(text));
    }

    /// Waits until the screen has `text` no more.
    #[track_caller]
    pub fn wait_gone(&self, text: &str, timeout: Duration) {
        self.wait_until(&format!("no '{text}'"), timeout, |screen| !screen.contains(text));
    }

    /// Waits until the rows as text are as wanted.
    #[track_caller]
    pub fn wait_until(&self, what: &str, timeout: Duration, wanted: impl Fn(&str) -> bool) {
        let end = Instant::now() + timeout;
        while !wanted(&self.contents()) {
            let late = Instant::now() >= end;
            assert!(!late, "{what} was waited for {timeout:?}; the screen:\n{}", self.contents());
            thread::sleep(LOOK);
        }
    }

    /// Types text as it is; `\x1b` is Esc, `\r` is Enter, `\x03` is Ctrl-C.
    pub fn types(&mut self, text: &str) {
        self.writer.write_all(text.as_bytes()).unwrap();
        self.writer.flush().unwrap();
    }

    /// Presses keys by name, separated by spaces: `n`, `F5`, `Ctrl-C`, `Tab`.
    pub fn keys(&mut self, keys: &str) {
        for key in keys.split(' ') {
            self.types(&bytes_of(key));
        }
    }

    /// The rows as text.
    pub fn contents(&self) -> String {
        self.shown().screen().contents()
    }

    /// The screen row by row, as wide as the terminal.
    pub fn rows(&self) -> Vec<String> {
        let parser = self.shown();
        let screen = parser.screen();
        let (_, columns) = screen.size();
        screen.rows(0, columns.into()).collect()
    }

    /// Where a text is: row and column, both counted from 0.
    ///
    /// # Panics
    /// When it is nowhere; the screen is in the message.
    #[track_caller]
    pub fn find(&self, text: &str) -> (u16, u16) {
        let at = self.rows().iter().enumerate().find_map(|(row, line)| {
            let before = &line[..line.find(text)?];
            Some((row as u16, before.chars().count() as u16))
        });
        at.unwrap_or_else(|| panic!("no '{text}' on the screen:\n{}", self.contents()))
    }

    /// The colours of a cell: of its text and behind it.
    pub fn colours(&self, row: u16, column: u16) -> (vt100::Color, vt100::Color) {
        let parser = self.shown();
        let cell = parser.screen().cell(row, column).unwrap();
        (cell.fgcolor(), cell.bgcolor())
    }

    /// One cell, both counted from 0: its text, and whether it is bold.
    pub fn cell(&self, row: u16, column: u16) -> (String, bool) {
        let parser = self.shown();
        let cell = parser.screen().cell(row, column).unwrap();
        (cell.contents().to_string(), cell.bold())
    }

    /// All cells, row by row.
    pub fn cells(&self) -> Vec<Vec<vt100::Cell>> {
        let parser = self.shown();
        let (rows, columns) = parser.screen().size();
        let cell = |row, column| parser.screen().cell(row, column).cloned();
        (0..rows.get())
            .map(|row| (0..columns.get()).map_while(|at| cell(row, at)).collect())
            .collect()
    }

    /// Whether the alternate screen is on.
    pub fn is_full_screen(&self) -> bool {
        self.shown().screen().alternate_screen()
    }

    /// Whether the cursor is hidden.
    pub fn hides_cursor(&self) -> bool {
        self.shown().screen().hide_cursor()
    }

    /// Whether the terminal reports clicks to the program.
    pub fn reports_mouse(&self) -> bool {
        self.shown().screen().mouse_protocol_mode() != vt100::MouseProtocolMode::None
    }

    /// Presses and releases the left button on a cell, both counted from 0.
    pub fn click(&mut self, row: u16, column: u16) {
        self.drag((row, column), &[]);
    }

    /// Presses the left button on a cell, moves over others, and lets go on the
    /// last one.
    pub fn drag(&mut self, from: (u16, u16), over: &[(u16, u16)]) {
        // xterm's control sequences, "Extended coordinates": SGR.
        let place = |(row, column): (u16, u16)| format!("{};{}", column + 1, row + 1);
        let mut bytes = format!("\x1b[<0;{}M", place(from));
        over.iter().for_each(|at| bytes.push_str(&format!("\x1b[<32;{}M", place(*at))));
        bytes.push_str(&format!("\x1b[<0;{}m", place(*over.last().unwrap_or(&from))));
        self.types(&bytes);
    }

    /// Turns the wheel down on a cell.
    pub fn wheel_down(&mut self, row: u16, column: u16) {
        self.types(&format!("\x1b[<65;{};{}M", column + 1, row + 1));
    }

    /// Gives the terminal another size, as a window manager does.
    pub fn resize(&mut self, columns: u16, rows: u16) {
        self.shown().screen_mut().set_size(positive(rows), positive(columns));
        self.master.resize(size(columns, rows)).unwrap();
    }

    /// The program's process id.
    pub fn pid(&self) -> u32 {
        self.child.process_id().unwrap()
    }

    /// Sends the program a signal by its name (`TERM`, `CONT`).
    pub fn signal(&self, name: &str) {
        self.signal_to(self.pid(), name);
    }

    /// Sends a signal to a program that runs on this terminal.
    pub fn signal_to(&self, pid: u32, name: &str) {
        // The shell's own: the program `kill` is not on every machine.
        let kill = format!("kill -s {name} {pid}");
        let status = std::process::Command::new("sh").args(["-c", &kill]).status().unwrap();
        assert!(status.success());
    }

    /// Waits for the program's end.
    ///
    /// # Panics
    /// When it does not end within `timeout`.
    #[track_caller]
    pub fn wait_end(&mut self, timeout: Duration) -> ExitStatus {
        let end = Instant::now() + timeout;
        loop {
            if let Some(status) = self.child.try_wait().unwrap() {
                // What it wrote last may still be on the way.
                thread::sleep(LOOK * 2);
                return status;
            }
            let late = Instant::now() >= end;
            assert!(!late, "the program did not end; the screen:\n{}", self.contents());
            thread::sleep(LOOK);
        }
    }

    fn shown(&self) -> MutexGuard<'_, vt100::Parser> {
        self.parser.lock().unwrap()
    }
}

impl Drop for Screen {
    fn drop(&mut self) {
        // A test that failed must not leave its program behind.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn size(columns: u16, rows: u16) -> PtySize {
    PtySize { rows, cols: columns, pixel_width: 0, pixel_height: 0 }
}

fn positive(number: u16) -> NonZeroU16 {
    NonZeroU16::new(number).unwrap()
}

/// What xterm sends for a key.
fn bytes_of(key: &str) -> String {
    let control = key.strip_prefix("Ctrl-").and_then(|letter| letter.bytes().next());
    if let Some(letter) = control {
        return char::from(letter.to_ascii_uppercase() & 0x1f).to_string();
    }
    let sequence = match key {
        "Enter" => "\r",
        "Esc" => "\x1b",
        "Tab" => "\t",
        "Shift-Tab" => "\x1b[Z",
        "Backspace" => "\x7f",
        "Space" => " ",
        "Up" => "\x1b[A",
        "Down" => "\x1b[B",
        "Right" => "\x1b[C",
        "Left" => "\x1b[D",
        "PgUp" => "\x1b[5~",
        "PgDn" => "\x1b[6~",
        "Home" => "\x1b[H",
        "End" => "\x1b[F",
        "F1" => "\x1bOP",
        "F4" => "\x1bOS",
        "F5" => "\x1b[15~",
        "F6" => "\x1b[17~",
        "F7" => "\x1b[18~",
        "F8" => "\x1b[19~",
        "F9" => "\x1b[20~",
        "F10" => "\x1b[21~",
        "F11" => "\x1b[23~",
        "Shift-F11" => "\x1b[23;2~",
        letter => letter,
    };
    sequence.to_string()
}
