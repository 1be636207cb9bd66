//! What waits for input at the end of the guest's console: a shell, a login, a
//! question for a password.
//!
//! The text comes in pieces of any size, with colours, line editing and
//! messages of the kernel between. Anybody can print anything there, so a
//! [`Prompt`] is a reason to type something harmless, never a fact.

/// The longest line that is kept; a prompt is short.
const LONGEST: usize = 512;

/// How many finished lines are kept.
const LINES: usize = 64;

/// What waits for input.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Prompt {
    /// A shell of root's: its prompt ends in `#`.
    Root,
    /// A shell of somebody else's: `$` or `%`.
    User,
    /// `login:`.
    Login,
    /// A question for a password or the like, whose answer is not echoed.
    Password,
    /// Text that looks like none of these; the last line.
    Unknown(String),
}

/// Where in an escape sequence (ECMA-48) the text is.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
enum Escape {
    #[default]
    None,
    /// After ESC.
    Begun,
    /// In a control sequence, until a byte from `@` to `~`. Whether it has a
    /// parameter other than 0.
    Control(bool),
    /// In an operating system command, until BEL or ESC.
    Command,
}

/// The last lines of a console as a terminal would show them, near enough.
#[derive(Debug, Clone, Default)]
pub struct Tail {
    lines: Vec<String>,
    line: Vec<u8>,
    column: usize,
    escape: Escape,
}

impl Tail {
    /// Adds text.
    pub fn feed(&mut self, text: &[u8]) {
        for &byte in text {
            self.byte(byte);
        }
    }

    /// Forgets the lines, to see what comes next.
    pub fn clear(&mut self) {
        let escape = self.escape;
        *self = Tail { escape, ..Tail::default() };
    }

    /// The finished lines that are kept, oldest first.
    pub fn lines(&self) -> &[String] {
        &self.lines
    }

    /// The line that is not finished.
    pub fn line(&self) -> String {
        String::from_utf8_lossy(&self.line).into_owned()
    }

    /// What waits for input at the end. `None` when nothing can be seen of it:
    /// the last line is empty, or the kernel's.
    pub fn prompt(&self) -> Option<Prompt> {
        let last = self.line();
        let visible = before_log(&last).unwrap_or(&last);
        if !visible.trim().is_empty() {
            return Some(classify(visible));
        }
        // The kernel's messages begin where the cursor was: behind the prompt.
        for line in self.lines.iter().rev() {
            match before_log(line) {
                Some(before) if before.trim().is_empty() => {}
                Some(before) => return Some(classify(before)),
                None => return None,
            }
        }
        None
    }

    fn byte(&mut self, byte: u8) {
        self.escape = match (self.escape, byte) {
            (Escape::None | Escape::Command, 0x1b) => Escape::Begun,
            (Escape::None, _) => {
                self.text(byte);
                Escape::None
            }
            (Escape::Begun, b'[') => Escape::Control(false),
            (Escape::Begun, b']') => Escape::Command,
            // A line end inside a sequence means that the sequence was noise.
            (_, b'\n') => {
                self.text(byte);
                Escape::None
            }
            (Escape::Control(other), b'J' | b'K') => {
                // To the end of the line or screen, as shells redraw their line.
                if !other {
                    self.line.truncate(self.column);
                }
                Escape::None
            }
            (Escape::Control(_), b'1'..=b'9') => Escape::Control(true),
            (Escape::Begun, _) | (Escape::Control(_), b'@'..=b'~') | (Escape::Command, 7) => {
                Escape::None
            }
            (state, _) => state,
        };
    }

    fn text(&mut self, byte: u8) {
        match byte {
            b'\n' => {
                self.lines.push(self.line());
                self.line.clear();
                self.column = 0;
                if self.lines.len() > LINES {
                    self.lines.remove(0);
                }
            }
            b'\r' => self.column = 0,
            8 => self.column = self.column.saturating_sub(1),
            0..=0x1f | 0x7f => {}
            _ if self.column >= LONGEST => {}
            _ => {
                match self.line.get_mut(self.column) {
                    Some(old) => *old = byte,
                    None => self.line.push(byte),
                }
                self.column += 1;
            }
        }
    }
}

/// What a line says that waits for an answer.
fn classify(line: &str) -> Prompt {
    let line = line.trim();
    let lower = line.to_lowercase();
    let asks = lower.ends_with(':');
    let secrets = ["password", "passphrase", "passcode", "verification code", "pin for"];
    if asks && secrets.iter().any(|word| lower.contains(word)) {
        return Prompt::Password;
    }
    if lower.ends_with("login:") || lower.ends_with("username:") {
        return Prompt::Login;
    }
    match line.chars().next_back() {
        Some('#') => Prompt::Root,
        Some('$' | '%') => Prompt::User,
        _ => Prompt::Unknown(line.chars().take(60).collect()),
    }
}

/// What is before a message of the kernel, which begins with its time:
/// `[   12.345678] ` (`print_time` in kernel/printk/printk.c). `None` when there
/// is no message. A kernel without PRINTK_TIME can't be told from others.
fn before_log(line: &str) -> Option<&str> {
    line.match_indices('[').find_map(|(at, _)| {
        let (time, _) = line[at + 1..].split_once(']')?;
        let (seconds, micros) = time.trim_start().split_once('.')?;
        let digits = |text: &str| !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit());
        (digits(seconds) && micros.len() == 6 && digits(micros)).then_some(&line[..at])
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn prompt(text: &str) -> Option<Prompt> {
        let mut tail = Tail::default();
        tail.feed(text.as_bytes());
        tail.prompt()
    }

    #[test]
    fn prompts_of_shells_and_logins() {
        for (text, wanted) in [
            ("# ", Prompt::Root),
            ("\r\n~ # ", Prompt::Root),
            ("root@guest:~# ", Prompt::Root),
            ("[root@guest ~]# ", Prompt::Root),
            ("\x1b[?2004h\x1b[01;32mroot@guest\x1b[00m:\x1b[01;34m~\x1b[00m# ", Prompt::Root),
            ("\x1b]0;root@guest: ~\x07root@guest:~# \x1b[6n", Prompt::Root),
            // Line editing takes back what was typed.
            ("# x\x08 \x08", Prompt::Root),
            ("# $?#3f\r\x1b[K# ", Prompt::Root),
            ("me@guest:~$ ", Prompt::User),
            ("guest% ", Prompt::User),
            ("Debian GNU/Linux 12 guest ttyS0\r\n\r\nguest login: ", Prompt::Login),
            ("guest login: root\r\nPassword: ", Prompt::Password),
            ("[sudo] password for me: ", Prompt::Password),
            ("Enter passphrase for key '/home/me/.ssh/id': ", Prompt::Password),
            (">>> ", Prompt::Unknown(">>>".into())),
            ("Köln ❯ ", Prompt::Unknown("Köln ❯".into())),
            // Messages of the kernel behind a prompt.
            ("# [   12.345678] usb 1-1: new device\r\n", Prompt::Root),
            ("# [   12.345678][    T1] usb 1-1: a\r\n[   12.345679] usb 1-1: b\r\n", Prompt::Root),
            ("guest login: [   12.345678] usb", Prompt::Login),
        ] {
            assert_eq!(prompt(text), Some(wanted), "{text:?}");
        }
    }

    #[test]
    fn no_prompt_to_be_seen() {
        for text in ["", "\r\n", "# \r\n", "[   12.345678] usb 1-1: new device\r\n", "text\r\n"] {
            assert_eq!(prompt(text), None, "{text:?}");
        }
        let mut tail = Tail::default();
        tail.feed(b"# ");
        tail.clear();
        assert_eq!(tail.prompt(), None);
    }

    proptest! {
        #[test]
        fn pieces_do_not_matter(cut in 1usize..30) {
            let text = "\x1b[01;32mroot@Köln\x1b[00m:~# ls\x08\x08\x1b[J[    1.000000] a\r\n";
            let mut tail = Tail::default();
            text.as_bytes().chunks(cut).for_each(|piece| tail.feed(piece));
            prop_assert_eq!(tail.prompt(), Some(Prompt::Root));
        }

        #[test]
        fn feed_takes_anything(text in proptest::collection::vec(any::<u8>(), 0..800)) {
            let mut tail = Tail::default();
            tail.feed(&text);
            tail.prompt();
            prop_assert!(tail.line().len() <= 3 * LONGEST && tail.lines().len() <= LINES);
        }
    }
}
