//! The kernel's log, out of its memory: the newest lines, and older ones as one
//! scrolls up to them. A line of an oops leads to the source it names.

use super::{Look, NEEDS_VMLINUX, Outcome, Worst};
use crate::base::text::{bytes, printable};
use crate::config::actions::Action;
use crate::config::theme::Role;
use crate::session::log_place::place;
use crate::session::view::{SymbolsView, View};
use crate::session::wants::{DmesgLine, DmesgView, DmesgWant};
use crate::ui::list::List;
use crate::ui::pen::Pen;
use ratatui::{buffer::Buffer, layout::Rect, style::Style};
use std::sync::Arc;

/// Records that are read when the pane is opened, as far as it is high.
const FEW: usize = 20;

/// Bytes on the line that a record costs.
const OF_A_LINE: u64 = 260;

/// What the pane keeps.
#[derive(Debug, Default)]
pub struct Dmesg {
    /// The cursor; at the last line it follows.
    pub list: List,
    /// Only lines with this text.
    pub filter: String,
    worst: Worst,
    /// Records that are wanted beyond those that fit.
    more: usize,
    view: DmesgView,
    /// The rows: the line, and the part of its text.
    rows: Vec<(usize, usize)>,
    /// The lines' numbers when the rows were made.
    seqs: Vec<u64>,
}

/// The letter and the look of a level. The letters are the first ones of the
/// words, those of what is worth a look in capitals.
fn sign(level: &str) -> (&'static str, Role) {
    match level {
        "emerg" => ("!", Role::Error),
        "alert" => ("A", Role::Error),
        "crit" => ("C", Role::Error),
        "err" => ("E", Role::Error),
        "warn" => ("W", Role::Warning),
        "notice" => ("N", Role::Strong),
        "info" => ("i", Role::Text),
        _ => ("d", Role::Dim),
    }
}

impl Dmesg {
    /// How much is to be read when the pane is on screen.
    pub fn want(&self) -> DmesgWant {
        DmesgWant { lines: self.list.height.max(FEW) + self.more }
    }

    /// Takes in a new view.
    pub fn follow(&mut self, view: &View) {
        let supplied = view.stop.as_ref().and_then(|stop| stop.supplied.dmesg.as_ref());
        // Until it is read at a new stop, the old one stays.
        let Some(now) = supplied.filter(|now| **now != self.view) else { return };
        self.view = now.clone();
        self.arrange();
    }

    /// Shows only lines with a text.
    pub fn filter(&mut self, text: &str) {
        self.filter = text.trim().to_string();
        self.arrange();
    }

    /// Makes the rows; the cursor stays on its line.
    fn arrange(&mut self) {
        let following = self.list.cursor + 1 >= self.list.len;
        let at = self.rows.get(self.list.cursor).map(|&(line, part)| (self.seq_of(line), part));
        let below = self.list.cursor.saturating_sub(self.list.top);
        let text = self.filter.to_lowercase();
        let fits = |line: &DmesgLine| {
            let role = sign(line.level).1;
            let bad = match self.worst {
                Worst::All => true,
                Worst::Warnings => matches!(role, Role::Error | Role::Warning),
                Worst::Errors => role == Role::Error,
            };
            bad && line.text.to_lowercase().contains(&text)
        };
        let lines = Arc::clone(&self.view.lines);
        let shown = lines.iter().enumerate().filter(|(_, line)| fits(line));
        self.rows = shown
            .flat_map(|(index, line)| (0..line.text.split('\n').count()).map(move |p| (index, p)))
            .collect();
        self.seqs = lines.iter().map(|line| line.seq).collect();
        let found = at.and_then(|(seq, part)| {
            self.rows.iter().position(|&(line, p)| (self.seq_of(line), p) >= (seq, part))
        });
        self.list.fit(self.rows.len(), self.list.height);
        match found {
            Some(row) if !following => {
                self.list.cursor = row;
                self.list.top = row.saturating_sub(below);
            }
            _ => self.list.cursor = usize::MAX,
        }
        self.list.fit(self.rows.len(), self.list.height);
    }

    fn seq_of(&self, line: usize) -> u64 {
        self.seqs.get(line).copied().unwrap_or_default()
    }

    /// What of it is shown, for the title.
    pub fn note(&self, running: bool) -> String {
        let filter = match self.filter.as_str() {
            "" => String::new(),
            text => format!("/{}", printable(text)),
        };
        let worst = match self.worst {
            Worst::All => "",
            Worst::Warnings => "warnings and worse",
            Worst::Errors => "errors and worse",
        };
        let known = self.view.lines.len();
        let count = match (self.view.reading, self.view.older) {
            _ if known == 0 => String::new(),
            (true, _) => format!("{known} lines, reading …"),
            (false, true) => format!("{known} of {} lines", self.view.total),
            (false, false) => format!("all {known} lines"),
        };
        let running = if running { "at the last stop" } else { "" };
        let parts = [filter.as_str(), worst, &count, running];
        parts.into_iter().filter(|part| !part.is_empty()).collect::<Vec<_>>().join(", ")
    }

    /// Does what a key asks.
    pub fn act(&mut self, action: Action) -> Option<Outcome> {
        let page = self.list.height.max(10);
        match action {
            Action::Up | Action::PageUp | Action::Home if self.list.cursor == 0 => {
                if self.view.older && !self.view.reading {
                    self.more += page;
                    let cost = bytes(page as u64 * OF_A_LINE);
                    return Some(Outcome::Say(format!("reading {page} older lines, about {cost}")));
                }
                return None;
            }
            Action::CycleLevel => {
                self.worst = self.worst.next();
                self.arrange();
                return None;
            }
            _ if self.list.act(action) => return None,
            _ => {}
        }
        let &(line, part) = self.rows.get(self.list.cursor)?;
        let line = self.view.lines.get(line)?;
        match action {
            Action::Open => {
                let text = line.text.split('\n').nth(part).unwrap_or("");
                Some(place(text).map_or_else(|| whole(line), Outcome::Show))
            }
            Action::ShowWhole => Some(whole(line)),
            _ => None,
        }
    }

    /// Draws the lines.
    pub fn draw(&self, buffer: &mut Buffer, area: Rect, look: &Look<'_>) {
        if self.rows.is_empty() {
            return look.placeholder(buffer, area, &self.nothing(look.view));
        }
        for (at, index) in self.list.seen().enumerate() {
            let Some(&(line, part)) = self.rows.get(index) else { continue };
            let Some(line) = self.view.lines.get(line) else { continue };
            let (letter, role) = sign(line.level);
            let text = line.text.split('\n').nth(part).unwrap_or("");
            let text = printable(&text.replace('\t', "    "));
            let shown: String = text.chars().skip(self.list.left).collect();
            let mut pen = Pen::new(buffer, area, at as u16);
            pen.put(&format!("{:>13.6} ", line.time), look.style(Role::Dim));
            pen.put(letter, look.style(role)).put(" ", Style::new());
            // The letter says it too.
            let names = place(&text).is_some();
            pen.put(if names { "→" } else { " " }, look.style(Role::Key));
            pen.put(&shown, look.style(role));
            look.cursor(buffer, area, at as u16, index == self.list.cursor);
        }
    }

    /// Why there is no row.
    fn nothing(&self, view: Option<&View>) -> String {
        let proven = view.is_some_and(|view| view.target.matches.is_guests());
        let symbols = view.map(|view| &view.symbols);
        let stopped = view.is_some_and(|view| view.state.is_stopped());
        match &self.view.error {
            Some(why) => format!("can't be read: {}", printable(why)),
            None if !self.view.lines.is_empty() => {
                "no line read so far fits; / changes the text, v the level".into()
            }
            None if view.and_then(|view| view.stop.as_ref()).is_none() => {
                "the kernel's log is read from its memory at a stop; 20 lines take half a second at 115200 baud".into()
            }
            None if !proven => NEEDS_VMLINUX.into(),
            None if symbols == Some(&SymbolsView::NoDebugInfo) => {
                "not known: the vmlinux has no debug info".into()
            }
            None if stopped => "reading …".into(),
            None => "read when the guest is stopped".into(),
        }
    }
}

fn whole(line: &DmesgLine) -> Outcome {
    let caller = line.caller.as_deref().map_or(String::new(), |caller| {
        let (kind, number) = caller.split_at(1.min(caller.len()));
        let who = if kind == "T" { "the task with pid" } else { "an interrupt on CPU" };
        format!(", by {who} {number}")
    });
    let head =
        format!("record {}, level {}, {:.6} s after boot{caller}", line.seq, line.level, line.time);
    let text: Vec<String> = line.text.split('\n').map(printable).collect();
    Outcome::Text("dmesg", format!("{}\n\n{head}", text.join("\n")))
}
