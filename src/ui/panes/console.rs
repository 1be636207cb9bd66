//! What the guest printed on the shared line: the last lines, with escape
//! sequences taken out, because a guest must not be able to move our cursor.

use super::Look;
use crate::config::theme::Role;
use crate::ui::list::List;
use crate::ui::pen::Pen;
use ratatui::{buffer::Buffer, layout::Rect, style::Style};
use std::collections::VecDeque;

/// The most lines kept.
const MOST: usize = 5_000;
/// A longer line is broken.
const MOST_COLUMNS: usize = 1_000;

/// Where in an escape sequence (ECMA-48) the text is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Escape {
    #[default]
    None,
    /// After ESC.
    Begun,
    /// In a control sequence, until a byte from `@` to `~`.
    Control,
    /// In an operating system command, until BEL or ESC.
    Command,
}

/// What the pane keeps.
#[derive(Debug, Default)]
pub struct Console {
    /// The cursor; at the last line it follows.
    pub list: List,
    lines: VecDeque<String>,
    /// The column of the next character in the last line: `\r` and backspace
    /// move it back.
    column: usize,
    escape: Escape,
    /// The beginning of a UTF-8 character whose rest has not come yet.
    partial: Vec<u8>,
}

impl Console {
    /// Takes in bytes as they came; they may end anywhere.
    pub fn push(&mut self, bytes: &[u8]) {
        let following = self.list.cursor + 1 >= self.list.len;
        let mut all = std::mem::take(&mut self.partial);
        all.extend_from_slice(bytes);
        let complete = complete_prefix(&all);
        for c in String::from_utf8_lossy(&all[..complete]).chars() {
            self.character(c);
        }
        self.partial = all[complete..].to_vec();
        if following {
            self.list.cursor = usize::MAX;
        }
        self.list.fit(self.lines.len(), self.list.height);
    }

    fn character(&mut self, c: char) {
        self.escape = match (self.escape, c) {
            (Escape::None, '\x1b') | (Escape::Command, '\x1b') => Escape::Begun,
            (Escape::None, _) => {
                self.text(c);
                Escape::None
            }
            (Escape::Begun, '[') => Escape::Control,
            (Escape::Begun, ']') => Escape::Command,
            (Escape::Begun, _) | (Escape::Control, '@'..='~') | (Escape::Command, '\x07') => {
                Escape::None
            }
            // A line end inside a sequence means that the sequence was noise.
            (_, '\n') => {
                self.text('\n');
                Escape::None
            }
            (state, _) => state,
        };
    }

    fn text(&mut self, c: char) {
        if self.lines.is_empty() {
            self.lines.push_back(String::new());
        }
        match c {
            '\n' => self.new_line(),
            '\r' => self.column = 0,
            '\x08' => self.column = self.column.saturating_sub(1),
            '\t' => (0..8 - self.column % 8).for_each(|_| self.write(' ')),
            c if c.is_control() => {}
            c => self.write(c),
        }
    }

    fn write(&mut self, c: char) {
        if self.column >= MOST_COLUMNS {
            self.new_line();
        }
        if let Some(line) = self.lines.back_mut() {
            match line.char_indices().nth(self.column) {
                Some((at, old)) => {
                    line.replace_range(at..at + old.len_utf8(), c.encode_utf8(&mut [0; 4]))
                }
                None => line.push(c),
            }
            self.column += 1;
        }
    }

    fn new_line(&mut self) {
        self.lines.push_back(String::new());
        self.column = 0;
        if self.lines.len() > MOST {
            self.lines.pop_front();
            self.list.cursor = self.list.cursor.saturating_sub(1);
            self.list.top = self.list.top.saturating_sub(1);
        }
    }

    /// Draws the lines.
    pub fn draw(&self, buffer: &mut Buffer, area: Rect, look: &Look<'_>) {
        if self.lines.is_empty() {
            return look.placeholder(buffer, area, "the guest has printed nothing on this line");
        }
        for (row, index) in self.list.seen().enumerate() {
            let Some(line) = self.lines.get(index) else { continue };
            let shown: String = line.chars().skip(self.list.left).collect();
            let mut pen = Pen::new(buffer, area, row as u16);
            pen.put(" ", Style::new()).put(&shown, look.style(Role::Text));
            look.cursor(buffer, area, row as u16, index == self.list.cursor);
        }
    }
}

/// How many bytes are whole characters; at most three at the end are the
/// beginning of one.
fn complete_prefix(bytes: &[u8]) -> usize {
    match std::str::from_utf8(bytes) {
        Ok(_) => bytes.len(),
        Err(_) => {
            let from = bytes.len().saturating_sub(3);
            let begun = (from..bytes.len()).rev().find(|&i| (0xc2..0xf5).contains(&bytes[i]));
            let needs = |lead: u8| match lead {
                0xf0.. => 4,
                0xe0.. => 3,
                _ => 2,
            };
            begun.filter(|&i| bytes.len() - i < needs(bytes[i])).unwrap_or(bytes.len())
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn lines(chunks: &[&[u8]]) -> Vec<String> {
        let mut console = Console::default();
        chunks.iter().for_each(|chunk| console.push(chunk));
        console.lines.into()
    }

    #[test]
    fn a_guest_cannot_move_our_cursor() {
        assert_eq!(lines(&[b"\x1b[2J\x1b[1;1Hlogin: \x1b]0;title\x07ok\x07"]), ["login: ok"]);
        assert_eq!(lines(&[b"a\x1b[3", b"1mb\r\nc"]), ["ab", "c"]);
    }

    #[test]
    fn progress_lines_overwrite_themselves() {
        assert_eq!(lines(&[b" 10%\r 90%\n", b"ab\x08c"]), [" 90%", "ac"]);
    }

    #[test]
    fn a_character_may_come_in_pieces() {
        assert_eq!(lines(&[b"\xe5\xae", b"\xbd!"]), ["宽!"]);
        assert_eq!(lines(&[b"\xff", b"a"]), ["\u{fffd}a"]);
    }

    proptest! {
        #[test]
        fn any_bytes_in_any_pieces_give_the_same_lines(
            bytes in proptest::collection::vec(any::<u8>(), 0..200), at in 0usize..200,
        ) {
            let at = at.min(bytes.len());
            let whole = lines(&[&bytes]);
            prop_assert!(whole.iter().all(|line| !line.contains(char::is_control)));
            if std::str::from_utf8(&bytes).is_ok() {
                prop_assert_eq!(lines(&[&bytes[..at], &bytes[at..]]), whole);
            }
        }
    }
}
