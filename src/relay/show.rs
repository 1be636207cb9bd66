//! What the relay prints: the guest's text and what happens, line by line, and
//! on a terminal one line below that always says how things are.

use std::io::{self, IsTerminal, Write};

use crate::base::text::printable;

/// A line of text that does not end is broken here.
const LONGEST: usize = 400;

/// Takes the line of a terminal back and empties it: `\r`, then ED's sister EL.
const EMPTY_LINE: &str = "\r\x1b[K";

/// Where it is printed.
pub struct Show {
    out: Box<dyn Write + Send>,
    log: Box<dyn Write + Send>,
    /// Whether `log` is a terminal, with a line for the state.
    terminal: bool,
    line: Vec<u8>,
    status: String,
}

impl Show {
    /// The guest's text goes to standard output, what happens to standard error.
    pub fn of_process() -> Show {
        let (out, log) = (io::stdout(), io::stderr());
        let terminal = log.is_terminal();
        Show::new(Box::new(out), Box::new(log), terminal)
    }

    /// To writers of one's own.
    pub fn new(out: Box<dyn Write + Send>, log: Box<dyn Write + Send>, terminal: bool) -> Show {
        Show { out, log, terminal, line: Vec::new(), status: String::new() }
    }

    /// Text of the guest. Nothing in it can move the cursor.
    pub fn text(&mut self, bytes: &[u8]) {
        for &byte in bytes {
            match byte {
                b'\n' => self.end_line(),
                b'\r' => {}
                _ => {
                    self.line.push(byte);
                    if self.line.len() >= LONGEST {
                        self.end_line();
                    }
                }
            }
        }
    }

    /// Prints what has no end yet: nothing came behind it for a while.
    pub fn flush_text(&mut self) {
        if !self.line.is_empty() {
            self.end_line();
        }
    }

    fn end_line(&mut self) {
        let line = printable(&String::from_utf8_lossy(&self.line));
        self.line.clear();
        self.hide_status();
        let _ = writeln!(self.out, "{line}").and_then(|()| self.out.flush());
        self.draw_status();
    }

    /// Something happened.
    pub fn say(&mut self, text: &str) {
        self.hide_status();
        let _ = writeln!(self.log, "kgdb-tui relay: {}", printable(text));
        self.draw_status();
    }

    /// How things are.
    pub fn status(&mut self, status: String) {
        if self.terminal && self.status != status {
            self.status = status;
            self.hide_status();
            self.draw_status();
        }
    }

    fn hide_status(&mut self) {
        if self.terminal && !self.status.is_empty() {
            let _ = write!(self.log, "{EMPTY_LINE}").and_then(|()| self.log.flush());
        }
    }

    fn draw_status(&mut self) {
        if self.terminal && !self.status.is_empty() {
            let width = terminal_width();
            let shown: String = self.status.chars().take(width.saturating_sub(1)).collect();
            let _ = write!(self.log, "{shown}").and_then(|()| self.log.flush());
        }
    }

    /// The last word: the line of the state stays.
    pub fn end(&mut self) {
        self.flush_text();
        if self.terminal && !self.status.is_empty() {
            let _ = writeln!(self.log);
        }
        self.status.clear();
    }
}

fn terminal_width() -> usize {
    rustix::termios::tcgetwinsize(io::stderr()).map_or(80, |size| usize::from(size.ws_col).max(20))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::{Arc, Mutex};

    #[derive(Clone, Default)]
    struct Buffer(Arc<Mutex<Vec<u8>>>);

    impl Write for Buffer {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.0.lock().unwrap().extend_from_slice(bytes);
            Ok(bytes.len())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    impl Buffer {
        fn text(&self) -> String {
            String::from_utf8(self.0.lock().unwrap().clone()).unwrap()
        }
    }

    #[test]
    fn lines_are_plain_where_there_is_no_terminal() {
        let (out, log) = (Buffer::default(), Buffer::default());
        let mut show = Show::new(Box::new(out.clone()), Box::new(log.clone()), false);
        show.status("silent".into());
        show.text(b"one\r\n\x1b[2Jtw");
        show.text(b"o\r\nhalf");
        show.say("a client came");
        assert_eq!(out.text(), "one\n·[2Jtwo\n");
        show.end();
        assert_eq!(out.text(), "one\n·[2Jtwo\nhalf\n");
        assert_eq!(log.text(), "kgdb-tui relay: a client came\n");
    }

    #[test]
    fn the_state_stays_below() {
        let both = Buffer::default();
        let mut show = Show::new(Box::new(both.clone()), Box::new(both.clone()), true);
        show.status("silent".into());
        show.text(b"hello\n");
        assert_eq!(both.text(), "\r\x1b[Ksilent\r\x1b[Khello\nsilent");
    }
}
