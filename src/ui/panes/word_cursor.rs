//! The cursor in a line of the source pane: Left and Right go from name to name
//! where there are some, and scroll where there are none. And the values that
//! stand beside the line where the guest has stopped.

use super::Outcome;
use super::source::{Row, Source};
use super::words::{Use, Word, words};
use crate::base::text::printable;
use crate::config::actions::Action;
use crate::session::view::{StopView, View};
use crate::source::clex::Span;
use crate::ui::pen::clip;
use unicode_width::UnicodeWidthChar;

/// Columns of one value beside the line; the variables pane has the whole.
const VALUE: usize = 36;

impl Source {
    /// Does what a key asks.
    pub fn act(&mut self, action: Action) -> Option<Outcome> {
        match action {
            Action::Left | Action::Right if self.walk(action == Action::Right) => {}
            Action::ToggleValues => self.plain = !self.plain,
            Action::Open => return Some(self.wanted(Use::Definition)),
            Action::ShowWhole => return Some(self.wanted(Use::Peek)),
            // Without a word that is meant, what is wanted is asked for.
            Action::Watch => return self.meant().map(|word| Outcome::Word(Use::Watch, vec![word])),
            Action::MemoryAt => {
                return self.meant().map(|word| Outcome::Word(Use::Memory, vec![word]));
            }
            action => {
                let before = self.list.cursor;
                self.list.act(action);
                if self.list.cursor != before {
                    self.word = None;
                }
            }
        }
        None
    }

    /// The word the cursor is on, or else all of its line.
    fn wanted(&self, what: Use) -> Outcome {
        match self.meant() {
            Some(word) => Outcome::Word(what, vec![word]),
            None => {
                let mut words = self.words_here();
                let mut seen = Vec::new();
                words.retain(|word| {
                    let new = !seen.contains(&word.text);
                    seen.push(word.text.clone());
                    new
                });
                Outcome::Word(what, words)
            }
        }
    }

    fn meant(&self) -> Option<Word> {
        self.words_here().into_iter().nth(self.word?)
    }

    fn words_here(&self) -> Vec<Word> {
        let (Some(Row::Line(line)), Some(text)) = (self.rows.get(self.list.cursor), &self.text)
        else {
            return Vec::new();
        };
        let line = *line as usize;
        text.line(line).map(|content| words(content, text.spans(line))).unwrap_or_default()
    }

    /// The bytes of the word the cursor is on, when it is in this row.
    pub(super) fn word_in(&self, row: usize) -> Option<std::ops::Range<usize>> {
        (row == self.list.cursor).then(|| self.meant()).flatten().map(|word| word.bytes)
    }

    /// Goes to the next word, or the one before; `false` when there is none.
    fn walk(&mut self, forward: bool) -> bool {
        let words = self.words_here();
        let next = match (self.word, forward) {
            (None, true) => Some(0),
            (Some(at), true) => Some(at + 1),
            (at, false) => at.and_then(|at| at.checked_sub(1)),
        };
        let Some(word) = next.and_then(|next| words.get(next)) else {
            // To the left of the first word there is the whole line.
            let leaves = !forward && self.word.take().is_some() && self.list.left == 0;
            return leaves;
        };
        self.word = next;
        let (Some(Row::Line(line)), Some(text)) = (self.rows.get(self.list.cursor), &self.text)
        else {
            return true;
        };
        let content = text.line(*line as usize).unwrap_or("");
        let start = columns(content.get(..word.bytes.start).unwrap_or(""));
        let end = start + columns(content.get(word.bytes.clone()).unwrap_or(""));
        let room = usize::from(self.width).saturating_sub(self.gutter()).max(8);
        if start < self.list.left {
            self.list.left = start.saturating_sub(8);
        } else if end > self.list.left + room {
            self.list.left = end - room;
        }
        true
    }

    /// Takes the word at a column of the pane, in the row of the cursor.
    pub fn point(&mut self, column: u16) {
        self.word = None;
        let (Some(Row::Line(line)), Some(text)) = (self.rows.get(self.list.cursor), &self.text)
        else {
            return;
        };
        let content = text.line(*line as usize).unwrap_or("");
        let Some(at) = usize::from(column).checked_sub(self.gutter()) else { return };
        let at = at + self.list.left;
        let has = |word: &Word| {
            let start = columns(content.get(..word.bytes.start).unwrap_or(""));
            let end = columns(content.get(..word.bytes.end).unwrap_or(""));
            (start..end).contains(&at)
        };
        self.word = self.words_here().iter().position(has);
    }

    /// What is known of the names in a line of the selected frame: only what
    /// was read already.
    pub(super) fn values(&self, line: &str, spans: &[Span], view: &View) -> String {
        let Some(stop) = view.stop.as_deref().filter(|_| view.state.is_stopped() && !self.plain)
        else {
            return String::new();
        };
        let mut shown: Vec<String> = Vec::new();
        for word in words(line, spans) {
            if let Some((value, changed)) = value_of(stop, &word.text) {
                let sign = if changed { "*" } else { "" };
                // What a pointer points at says more than where that is.
                let value = match value.split_once(" <") {
                    Some((address, name)) if address.starts_with("0x") => format!("<{name}"),
                    _ => value,
                };
                let text = format!("{}{sign} = {}", word.text, clip(&printable(&value), VALUE));
                if !shown.contains(&text) {
                    shown.push(text);
                }
            }
        }
        shown.join("  ")
    }
}

/// The value of an expression among what the panes have, and whether it differs
/// from the stop before.
fn value_of(stop: &StopView, expression: &str) -> Option<(String, bool)> {
    let rows = stop.supplied.variables.iter().chain(&stop.supplied.watches).flatten();
    let row = rows
        .filter(|row| row.expression.as_deref() == Some(expression))
        .find_map(|row| Some((row.value.clone().filter(|value| !value.is_empty())?, row.changed)));
    row.or_else(|| {
        let variables = stop.variables.iter().flatten();
        // Of two of one name the inner one is meant, and which that is the
        // line does not say.
        let mut named = variables.filter(|variable| variable.name == expression);
        match (named.next(), named.next()) {
            (Some(one), None) => one.value.clone().map(|value| (value, false)),
            _ => None,
        }
    })
}

fn columns(text: &str) -> usize {
    text.chars().fold(0, |column, c| match c {
        '\t' => column + 8 - column % 8,
        c => column + c.width().unwrap_or(0),
    })
}
