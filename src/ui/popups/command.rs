//! The `:` line: typing, completion with Tab, history with Up and Down.

use crate::command::complete::complete;
use crate::config::key::Key;
use crate::config::theme::{Role, Theme};
use crate::session::view::CodeBook;
use crate::ui::edit::{History, Line};
use crate::ui::pen::Pen;
use crossterm::event::{KeyCode, KeyModifiers};
use ratatui::{
    buffer::Buffer,
    layout::{Position, Rect},
    style::Style,
    widgets::Clear,
    widgets::Widget,
};
use unicode_width::UnicodeWidthStr;

/// A command being typed.
#[derive(Debug, Default)]
pub struct CommandLine {
    /// What is typed.
    pub line: Line,
    /// What the word could become, after a Tab.
    choices: Option<Choices>,
}

#[derive(Debug)]
struct Choices {
    start: usize,
    candidates: Vec<String>,
    chosen: Option<usize>,
}

/// What a key led to.
#[derive(Debug, PartialEq, Eq)]
pub enum Typed {
    /// More typing.
    Going,
    /// This line is to be done.
    Done(String),
    /// Nothing is to be done.
    Cancelled,
}

impl CommandLine {
    /// A line that begins with a text.
    pub fn with(text: &str) -> CommandLine {
        let mut command = CommandLine::default();
        command.line.insert(text);
        command
    }

    /// Takes a key.
    pub fn key(&mut self, key: Key, history: &mut History, book: &dyn CodeBook) -> Typed {
        let shift = key.modifiers == KeyModifiers::SHIFT;
        match key.code {
            KeyCode::Tab => self.complete(!shift, book),
            KeyCode::Enter => return Typed::Done(self.line.text().trim().to_string()),
            KeyCode::Esc if self.choices.take().is_none() => return Typed::Cancelled,
            KeyCode::Esc => {}
            KeyCode::Backspace if self.line.text().is_empty() => return Typed::Cancelled,
            KeyCode::Up => self.walk(history.older(self.line.text())),
            KeyCode::Down => self.walk(history.newer()),
            _ => {
                self.choices = None;
                self.line.key(key);
            }
        }
        Typed::Going
    }

    fn walk(&mut self, line: Option<Line>) {
        self.choices = None;
        if let Some(line) = line {
            self.line = line;
        }
    }

    /// The first Tab writes what all candidates begin with, and shows them
    /// when there are several; further ones try them in turn.
    fn complete(&mut self, forward: bool, book: &dyn CodeBook) {
        if let Some(choices) = &mut self.choices {
            let count = choices.candidates.len();
            let next = match (choices.chosen, forward) {
                (None, true) => 0,
                (None, false) => count - 1,
                (Some(at), true) => (at + 1) % count,
                (Some(at), false) => (at + count - 1) % count,
            };
            choices.chosen = Some(next);
            self.line.replace(choices.start, &choices.candidates[next]);
            return;
        }
        let completion = complete(self.line.text(), self.line.cursor(), book);
        let (start, mut candidates) = (completion.start, completion.candidates);
        let typed = self.line.text().get(start..self.line.cursor()).unwrap_or_default();
        // Those that do not begin as typed come best first.
        if candidates.iter().all(|candidate| candidate.starts_with(typed)) {
            candidates.sort();
            candidates.dedup();
        }
        match &candidates[..] {
            [] => {}
            [only] => {
                let word = format!("{only} ");
                self.line.replace(start, &word);
            }
            [first, rest @ ..] => {
                let common = rest.iter().fold(first.as_str(), |head, next| shared(head, next));
                if common.len() > self.line.cursor().saturating_sub(start) {
                    self.line.replace(start, common);
                }
                self.choices = Some(Choices { start, candidates, chosen: None });
            }
        }
    }

    /// Where the candidates are: the area, columns of each, the first row seen.
    fn grid(&self, below: Rect) -> Option<(Rect, usize, usize)> {
        const ROWS: usize = 8;
        let choices = self.choices.as_ref()?;
        let widest = choices.candidates.iter().map(|c| c.width()).max().unwrap_or(0) + 2;
        let columns = (usize::from(below.width) / widest.max(1)).max(1);
        let count = choices.candidates.len();
        let rows = count.div_ceil(columns).min(ROWS).min(usize::from(below.y));
        let area = Rect { y: below.y - rows as u16, height: rows as u16, ..below };
        // The chosen one is kept in sight.
        let first_row =
            choices.chosen.map_or(0, |at| (at / columns).saturating_sub(rows.max(1) - 1));
        Some((area, widest, first_row))
    }

    /// Writes the candidate that is drawn at a place.
    pub fn choose_at(&mut self, below: Rect, at: Position) {
        let Some((area, widest, first_row)) = self.grid(below) else { return };
        let columns = (usize::from(area.width) / widest.max(1)).max(1);
        let (row, column) = (at.y.saturating_sub(area.y), usize::from(at.x) / widest.max(1));
        let index = (first_row + usize::from(row)) * columns + column;
        if let Some(choices) = self.choices.as_mut().filter(|_| area.contains(at))
            && let Some(candidate) = choices.candidates.get(index).filter(|_| column < columns)
        {
            choices.chosen = Some(index);
            self.line.replace(choices.start, candidate);
        }
    }

    /// Draws the candidates above `below`.
    pub fn draw_choices(&self, buffer: &mut Buffer, below: Rect, theme: Theme) {
        let Some((area, widest, first_row)) = self.grid(below) else { return };
        let Some(choices) = &self.choices else { return };
        let columns = (usize::from(below.width) / widest.max(1)).max(1);
        let (count, rows) = (choices.candidates.len(), usize::from(area.height));
        Clear.render(area, buffer);
        for row in 0..rows {
            let mut pen = Pen::new(buffer, area, row as u16);
            let from = (first_row + row) * columns;
            for (at, candidate) in choices.candidates.iter().enumerate().skip(from).take(columns) {
                let role = if choices.chosen == Some(at) { Role::Match } else { Role::Text };
                pen.put(" ", Style::new()).put(candidate, theme.style(role));
                let fill = widest.saturating_sub(candidate.width() + 1);
                pen.put(&" ".repeat(fill), Style::new());
            }
            let hidden = count.saturating_sub((first_row + rows) * columns);
            if row + 1 == rows && hidden > 0 {
                pen.right(&format!("{hidden} more "), theme.style(Role::Dim));
            }
        }
    }
}

fn shared<'a>(a: &'a str, b: &str) -> &'a str {
    let same = a.char_indices().zip(b.chars()).find(|((_, x), y)| x != y);
    &a[..same.map_or(a.len().min(b.len()), |((at, _), _)| at)]
}
