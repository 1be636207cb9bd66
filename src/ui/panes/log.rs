//! What the debugger said: messages, answers to commands, failures. Nothing
//! said is lost when the message row moves on. The same message again is
//! counted, not repeated.

use super::{Look, Outcome, Worst};
use crate::base::text::printable;
use crate::config::actions::Action;
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
    /// What a log point printed.
    Printed,
}

/// One thing that was said.
#[derive(Debug)]
struct Said {
    /// When it was said first and last, since the start.
    first: Duration,
    last: Duration,
    kind: Kind,
    text: String,
    /// How often.
    times: u32,
}

/// What the pane keeps.
#[derive(Debug, Default)]
pub struct Log {
    /// The cursor; at the last row it follows.
    pub list: List,
    /// Only what has this text.
    pub filter: String,
    worst: Worst,
    said: VecDeque<Said>,
    /// How many were thrown away.
    gone: usize,
    /// The rows: what was said, counted with those that are gone, and which of
    /// its lines.
    rows: VecDeque<(usize, usize)>,
}

/// The letter, the sign and the look of what was said.
fn sign(kind: Kind) -> (&'static str, Role) {
    match kind {
        Kind::Command => (":", Role::Strong),
        Kind::Answer => (" ", Role::Text),
        Kind::Printed => ("»", Role::Strong),
        Kind::Message(Level::Info) => ("i", Role::Text),
        Kind::Message(Level::Hint) => ("?", Role::Text),
        Kind::Message(Level::Warning) => ("W", Role::Warning),
        Kind::Message(Level::Error) => ("E", Role::Error),
    }
}

impl Log {
    /// Adds text of one or more lines, said `at` this long after the start.
    pub fn push(&mut self, at: Duration, kind: Kind, text: &str) {
        if text.is_empty() {
            return;
        }
        let following = self.list.cursor + 1 >= self.list.len;
        match self.said.back_mut() {
            Some(last) if last.kind == kind && last.text == text && kind != Kind::Command => {
                last.times += 1;
                last.last = at;
                return;
            }
            _ => {}
        }
        let text = text.to_string();
        self.said.push_back(Said { first: at, last: at, kind, text, times: 1 });
        let newest = self.gone + self.said.len() - 1;
        self.add_rows(newest);
        while self.rows.len() > MOST && self.said.len() > 1 {
            self.said.pop_front();
            self.gone += 1;
            while self.rows.front().is_some_and(|row| row.0 < self.gone) {
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

    /// Shows only what has a text.
    pub fn filter(&mut self, text: &str) {
        self.filter = text.trim().to_string();
        self.arrange();
    }

    fn add_rows(&mut self, index: usize) {
        let Some(said) = self.said.get(index - self.gone) else { return };
        let shown = match (self.worst, said.kind) {
            (Worst::All, _) => true,
            (Worst::Warnings, Kind::Message(level)) => level >= Level::Warning,
            (Worst::Errors, Kind::Message(level)) => level >= Level::Error,
            _ => false,
        };
        if shown && said.text.to_lowercase().contains(&self.filter.to_lowercase()) {
            self.rows.extend((0..said.text.lines().count()).map(|line| (index, line)));
        }
    }

    fn arrange(&mut self) {
        let at = self.rows.get(self.list.cursor).copied();
        self.rows.clear();
        (self.gone..self.gone + self.said.len()).for_each(|index| self.add_rows(index));
        self.list.fit(self.rows.len(), self.list.height);
        let row = at.map(|at| self.rows.partition_point(|row| *row < at));
        self.list.show(row.unwrap_or(usize::MAX));
    }

    /// What of it is shown, for the title.
    pub fn note(&self) -> String {
        let worst = match self.worst {
            Worst::All => "",
            Worst::Warnings => "warnings and errors",
            Worst::Errors => "errors",
        };
        match (self.filter.as_str(), worst) {
            ("", worst) => worst.to_string(),
            (text, "") => format!("/{}", printable(text)),
            (text, worst) => format!("/{}, {worst}", printable(text)),
        }
    }

    fn at(&self, row: usize) -> Option<(&Said, usize)> {
        let &(index, line) = self.rows.get(row)?;
        Some((self.said.get(index.checked_sub(self.gone)?)?, line))
    }

    /// Does what a key asks.
    pub fn act(&mut self, action: Action) -> Option<Outcome> {
        match action {
            Action::CycleLevel => {
                self.worst = self.worst.next();
                self.arrange();
                None
            }
            Action::Open | Action::ShowWhole => {
                let (said, _) = self.at(self.list.cursor)?;
                Some(Outcome::Text("message", whole(said)))
            }
            action => {
                self.list.act(action);
                None
            }
        }
    }

    /// Draws the log.
    pub fn draw(&self, buffer: &mut Buffer, area: Rect, look: &Look<'_>) {
        if self.rows.is_empty() {
            let words = match self.said.is_empty() {
                true => "what the debugger says is kept here: messages, commands, their answers",
                false => "nothing said fits; / changes the text, v the level",
            };
            return look.placeholder(buffer, area, words);
        }
        for (row, index) in self.list.seen().enumerate() {
            let Some((said, line)) = self.at(index) else { continue };
            let (mark, role) = sign(said.kind);
            let mut pen = Pen::new(buffer, area, row as u16);
            if line == 0 {
                pen.put(&format!(" {} ", clock(said.first)), look.style(Role::Dim));
                pen.put(mark, look.style(role)).put(" ", Style::new());
                if said.times > 1 {
                    pen.put(&format!("×{} ", said.times), look.style(Role::Number));
                }
            } else {
                let width = clock(said.first).len() + 4;
                pen.put(&" ".repeat(width), Style::new());
            }
            let text = printable(said.text.lines().nth(line).unwrap_or(""));
            let shown: String = text.chars().skip(self.list.left).collect();
            pen.put(&shown, look.style(role));
            look.cursor(buffer, area, row as u16, index == self.list.cursor);
        }
    }
}

/// Minutes and seconds.
fn clock(time: Duration) -> String {
    format!("{:>2}:{:02}", time.as_secs() / 60, time.as_secs() % 60)
}

fn whole(said: &Said) -> String {
    let what = match said.kind {
        Kind::Command => "a command that was given",
        Kind::Answer => "the answer to a command",
        Kind::Printed => "printed by a log point",
        Kind::Message(Level::Info) => "a message, good to know",
        Kind::Message(Level::Hint) => "a hint to what was said before",
        Kind::Message(Level::Warning) => "a warning: something is not as it should be",
        Kind::Message(Level::Error) => "an error: something failed",
    };
    let when = match said.times {
        1 => format!("said {} after the start", clock(said.first).trim()),
        times => format!(
            "said {times} times, from {} to {} after the start",
            clock(said.first).trim(),
            clock(said.last).trim()
        ),
    };
    let text: Vec<String> = said.text.lines().map(printable).collect();
    format!("{}\n\n{what}, {when}", text.join("\n"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn texts(log: &Log) -> Vec<(String, u32)> {
        (0..log.rows.len())
            .filter_map(|row| log.at(row))
            .map(|(said, line)| (said.text.lines().nth(line).unwrap().to_string(), said.times))
            .collect()
    }

    #[test]
    fn what_is_said_again_is_counted() {
        let mut log = Log::default();
        let second = Duration::from_secs;
        log.push(second(1), Kind::Message(Level::Warning), "no answer");
        log.push(second(2), Kind::Message(Level::Warning), "no answer");
        log.push(second(3), Kind::Command, "next");
        log.push(second(4), Kind::Command, "next");
        log.push(second(5), Kind::Answer, "one\ntwo");
        let expected = [("no answer", 2), ("next", 1), ("next", 1), ("one", 1), ("two", 1)];
        assert_eq!(texts(&log), expected.map(|(text, times)| (text.to_string(), times)));
        log.act(Action::CycleLevel);
        assert_eq!(texts(&log), [("no answer".to_string(), 2)]);
        log.act(Action::CycleLevel);
        log.act(Action::CycleLevel);
        log.filter("TW");
        assert_eq!(texts(&log).len(), 2, "an answer is shown whole");
    }

    #[test]
    fn the_oldest_goes_when_it_is_too_much() {
        let mut log = Log::default();
        log.list.fit(0, 10);
        for number in 0..MOST + 100 {
            log.push(Duration::ZERO, Kind::Printed, &format!("{number}"));
        }
        assert_eq!((log.rows.len(), log.at(0).unwrap().0.text.as_str()), (MOST, "100"));
        assert_eq!(log.list.cursor, MOST - 1);
    }
}
