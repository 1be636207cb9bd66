//! What the debugger said: messages, answers to commands, failures. Nothing
//! said is lost when the message row moves on.

use super::Look;
use crate::base::text::printable;
use crate::config::theme::Role;
use crate::session::request::Level;
use crate::ui::list::List;
use crate::ui::pen::Pen;
use ratatui::{buffer::Buffer, layout::Rect, style::Style};
use std::{collections::VecDeque, time::Duration};

/// The most rows kept.
const MOST: usize = 5_000;

/// What a row of the log is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// A command that was given.
    Command,
    /// What it answered.
    Answer,
    /// A message.
    Message(Level),
}

/// What the pane keeps.
#[derive(Debug, Default)]
pub struct Log {
    /// The cursor; at the last row it follows.
    pub list: List,
    rows: VecDeque<(Duration, Kind, String)>,
}

impl Log {
    /// Adds text of one or more lines, said `at` this long after the start.
    pub fn push(&mut self, at: Duration, kind: Kind, text: &str) {
        let following = self.list.cursor + 1 >= self.list.len;
        for line in text.lines() {
            self.rows.push_back((at, kind, printable(line)));
            if self.rows.len() > MOST {
                self.rows.pop_front();
                self.list.cursor = self.list.cursor.saturating_sub(1);
                self.list.top = self.list.top.saturating_sub(1);
            }
        }
        if following {
            self.list.cursor = usize::MAX;
        }
        self.list.fit(self.rows.len(), self.list.height);
    }

    /// Draws the log.
    pub fn draw(&self, buffer: &mut Buffer, area: Rect, look: &Look<'_>) {
        if self.rows.is_empty() {
            return look.placeholder(buffer, area, "nothing said yet");
        }
        for (row, index) in self.list.seen().enumerate() {
            let Some((at, kind, text)) = self.rows.get(index) else { continue };
            let (sign, role) = match kind {
                Kind::Command => (":", Role::Strong),
                Kind::Answer => (" ", Role::Text),
                Kind::Message(Level::Info | Level::Hint) => ("·", Role::Text),
                Kind::Message(Level::Warning) => ("!", Role::Warning),
                Kind::Message(Level::Error) => ("✗", Role::Error),
            };
            let seconds = at.as_secs();
            let mut pen = Pen::new(buffer, area, row as u16);
            pen.put(&format!(" {:>2}:{:02} ", seconds / 60, seconds % 60), look.style(Role::Dim));
            pen.put(sign, look.style(role)).put(" ", Style::new());
            let shown: String = text.chars().skip(self.list.left).collect();
            pen.put(&shown, look.style(role));
            look.cursor(buffer, area, row as u16, index == self.list.cursor);
        }
    }
}
