//! A one-line editor: text, a cursor, and the keys that move and change it.

use crate::config::key::Key;
use crossterm::event::{KeyCode, KeyModifiers};
use unicode_width::UnicodeWidthStr;

/// A line being typed.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Line {
    text: String,
    /// A byte offset, always on a character boundary.
    cursor: usize,
}

/// The most bytes a line takes; more is not typed but pasted by mistake.
const MOST: usize = 1024;

impl Line {
    /// A line with the cursor at its end.
    pub fn new(text: &str) -> Line {
        Line { text: text.to_string(), cursor: text.len() }
    }

    /// What is typed.
    pub fn text(&self) -> &str {
        &self.text
    }

    /// The cursor as a byte offset into the text.
    pub fn cursor(&self) -> usize {
        self.cursor
    }

    /// The cursor's column.
    pub fn column(&self) -> usize {
        self.text[..self.cursor].width()
    }

    /// Replaces bytes `start..cursor` (a word being completed).
    pub fn replace(&mut self, start: usize, with: &str) {
        if start <= self.cursor && self.text.is_char_boundary(start) {
            self.text.replace_range(start..self.cursor, with);
            self.cursor = start + with.len();
        }
    }

    /// Types text; line ends and control characters become spaces.
    pub fn insert(&mut self, text: &str) {
        let clean: String = text.chars().map(|c| if c.is_control() { ' ' } else { c }).collect();
        if self.text.len() + clean.len() <= MOST {
            self.text.insert_str(self.cursor, &clean);
            self.cursor += clean.len();
        }
    }

    /// Does what an editing key asks (readline's Ctrl keys too); `false` when
    /// the key is none.
    pub fn key(&mut self, key: Key) -> bool {
        let control = key.modifiers == KeyModifiers::CONTROL;
        match key.code {
            KeyCode::Char('a') if control => self.cursor = 0,
            KeyCode::Char('e') if control => self.cursor = self.text.len(),
            KeyCode::Char('b') if control => self.cursor = self.before(),
            KeyCode::Char('u') if control => {
                self.text.drain(..self.cursor);
                self.cursor = 0;
            }
            KeyCode::Char('k') if control => self.text.truncate(self.cursor),
            KeyCode::Char('w') if control => {
                let head = self.text[..self.cursor].trim_end();
                let start = head.rfind(' ').map_or(0, |i| i + 1);
                self.text.drain(start..self.cursor);
                self.cursor = start;
            }
            KeyCode::Char('h') if control => self.erase(),
            KeyCode::Left => self.cursor = self.before(),
            KeyCode::Right => self.cursor = self.after(),
            KeyCode::Home => self.cursor = 0,
            KeyCode::End => self.cursor = self.text.len(),
            KeyCode::Backspace => self.erase(),
            KeyCode::Delete => {
                let after = self.after();
                self.text.drain(self.cursor..after);
            }
            _ => match key.typed() {
                Some(letter) => self.insert(letter.encode_utf8(&mut [0; 4])),
                None => return false,
            },
        }
        true
    }

    fn erase(&mut self) {
        let before = self.before();
        self.text.drain(before..self.cursor);
        self.cursor = before;
    }

    fn before(&self) -> usize {
        self.text[..self.cursor].char_indices().next_back().map_or(0, |(i, _)| i)
    }

    fn after(&self) -> usize {
        let mut rest = self.text[self.cursor..].char_indices().skip(1);
        rest.next().map_or(self.text.len(), |(i, _)| self.cursor + i)
    }
}

/// Lines entered before, walked with Up and Down.
#[derive(Clone, Debug, Default)]
pub struct History {
    lines: Vec<String>,
    at: Option<usize>,
    unfinished: String,
}

impl History {
    /// Keeps a line; the same line twice in a row is kept once.
    pub fn push(&mut self, line: &str) {
        const MOST: usize = 1000;
        self.at = None;
        if !line.trim().is_empty() && self.lines.last().is_none_or(|last| last != line) {
            self.lines.push(line.to_string());
            if self.lines.len() > MOST {
                self.lines.remove(0);
            }
        }
    }

    /// All of them, the oldest first.
    pub fn lines(&self) -> &[String] {
        &self.lines
    }

    /// The line before the one shown; `now` is what is typed so far.
    pub fn older(&mut self, now: &str) -> Option<Line> {
        let at = match self.at {
            None => {
                self.unfinished = now.to_string();
                self.lines.len().checked_sub(1)?
            }
            Some(at) => at.checked_sub(1)?,
        };
        self.at = Some(at);
        Some(Line::new(&self.lines[at]))
    }

    /// The line after the one shown, at last what was being typed.
    pub fn newer(&mut self) -> Option<Line> {
        let at = self.at? + 1;
        self.at = (at < self.lines.len()).then_some(at);
        Some(Line::new(self.at.map_or(&self.unfinished, |at| &self.lines[at])))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn typed(keys: &[&str]) -> Line {
        let mut line = Line::default();
        for key in keys {
            assert!(line.key(key.parse().unwrap()), "{key}");
        }
        line
    }

    #[test]
    fn editing_as_in_readline() {
        assert_eq!(typed(&["a", "b", "Left", "Backspace", "x"]).text(), "xb");
        assert_eq!(typed(&["a", "Space", "b", "c", "Ctrl-W"]).text(), "a ");
        assert_eq!(typed(&["é", "b", "Ctrl-A", "Del"]).text(), "b");
        assert_eq!(typed(&["a", "b", "Home", "Right", "Ctrl-K"]).text(), "a");
        let mut line = Line::new("b vfs_r");
        line.replace(2, "vfs_read");
        assert_eq!((line.text(), line.cursor()), ("b vfs_read", 10));
    }

    #[test]
    fn history_comes_back_to_what_was_typed() {
        let mut history = History::default();
        ["bt", "next", "next", " "].iter().for_each(|line| history.push(line));
        assert_eq!(history.older("inf").unwrap().text(), "next");
        assert_eq!(history.older("").unwrap().text(), "bt");
        assert_eq!(history.older(""), None);
        assert_eq!(history.newer().unwrap().text(), "next");
        assert_eq!(history.newer().unwrap().text(), "inf");
        assert_eq!(history.newer(), None);
    }

    proptest! {
        #[test]
        fn any_keys_leave_the_cursor_on_a_character(
            text in "\\PC{0,20}",
            keys in proptest::collection::vec(0usize..11, 0..40),
        ) {
            const KEYS: [&str; 11] = ["Left", "Right", "Home", "End", "Backspace", "Del",
                "Ctrl-W", "Ctrl-U", "Ctrl-K", "é", "宽"];
            let mut line = Line::new(&text);
            for key in keys {
                line.key(KEYS[key].parse().unwrap());
                prop_assert!(line.text().is_char_boundary(line.cursor()));
            }
        }
    }
}
