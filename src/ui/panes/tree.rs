//! Values that can be looked into: the variables of the selected frame, and
//! the user's watches. Nothing below a closed value is read.

use super::{Look, NEEDS_VMLINUX, Outcome};
use crate::base::text::printable;
use crate::config::actions::Action;
use crate::config::theme::Role;
use crate::session::view::{StopView, SymbolsView, View};
use crate::session::wants::RowView;
use crate::ui::list::List;
use crate::ui::pen::{Pen, clip};
use ratatui::{buffer::Buffer, layout::Rect, style::Style};
use std::collections::BTreeSet;
use unicode_width::UnicodeWidthStr;

/// Which values.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Arguments and locals.
    Variables,
    /// What the user wants to see at each stop.
    Watches,
}

/// What the pane keeps: a cursor, and what is open.
#[derive(Debug)]
pub struct Tree {
    kind: Kind,
    /// The cursor.
    pub list: List,
    /// The rows that are open, by their ids.
    pub open: BTreeSet<String>,
    /// Expressions, of the watch pane.
    pub watches: Vec<String>,
    /// Whether numbers are shown in hexadecimal.
    hex: bool,
}

/// The most columns the names take.
const NAMES: usize = 26;

impl Tree {
    /// A tree with nothing open.
    pub fn new(kind: Kind) -> Tree {
        Tree { kind, list: List::default(), open: BTreeSet::new(), watches: Vec::new(), hex: false }
    }

    /// Takes in a new view.
    pub fn follow(&mut self, view: &View) {
        let rows = view.stop.as_ref().and_then(|stop| self.rows(stop));
        // While they are read again the cursor stays where it is.
        if let Some(rows) = rows {
            self.list.fit(rows.len(), self.list.height);
        }
    }

    fn rows<'v>(&self, stop: &'v StopView) -> Option<&'v [RowView]> {
        match self.kind {
            Kind::Variables => stop.supplied.variables.as_deref(),
            Kind::Watches => stop.supplied.watches.as_deref(),
        }
    }

    /// Does what a key asks.
    pub fn act(&mut self, action: Action, view: Option<&View>) -> Option<Outcome> {
        let stop = view.and_then(|view| view.stop.as_ref());
        let rows = stop.and_then(|stop| self.rows(stop)).unwrap_or_default();
        let row = rows.get(self.list.cursor);
        match action {
            Action::Open => {
                let row = row?;
                if !row.can_open {
                    return Some(whole(row));
                }
                if !self.open.remove(&row.id) {
                    self.open.insert(row.id.clone());
                }
            }
            Action::Unfold => {
                let row = row.filter(|row| row.can_open)?;
                self.open.insert(row.id.clone());
            }
            Action::Fold => {
                let row = row?;
                if !self.open.remove(&row.id) {
                    let above = rows.get(..self.list.cursor)?;
                    let parent = above.iter().rposition(|other| other.depth < row.depth)?;
                    self.list.cursor = parent;
                    self.list.fit(self.list.len, self.list.height);
                }
            }
            Action::CycleUnit => self.hex = !self.hex,
            Action::ShowWhole => return row.map(whole),
            Action::Watch if self.kind == Kind::Variables => {
                return row.and_then(|row| row.expression.clone()).map(Outcome::Watch);
            }
            Action::Edit => {
                return row.and_then(|row| row.expression.clone()).map(Outcome::Edit);
            }
            Action::MemoryAt => {
                let row = row?;
                let expression = row.expression.as_ref()?;
                let pointer = row.type_name.trim_end().ends_with(['*', ')']);
                return Some(Outcome::Memory(match (pointer, row.address) {
                    (false, Some(_)) => format!("&({expression})"),
                    _ => expression.clone(),
                }));
            }
            Action::Unwatch if self.kind == Kind::Watches => {
                // The rows of one watch are those down to the next of depth 0.
                let until = self.list.cursor.checked_add(1)?.min(rows.len());
                let index = rows[..until].iter().filter(|row| row.depth == 0).count();
                if index > 0 && index <= self.watches.len() {
                    self.watches.remove(index - 1);
                }
            }
            action => {
                self.list.act(action);
            }
        }
        None
    }

    /// The value at the cursor, or why there is none.
    pub fn cursor_value(&self, view: Option<&View>) -> Option<String> {
        let rows = self.rows(view?.stop.as_ref()?)?;
        rows.get(self.list.cursor).map(|row| shown_value(row).0)
    }

    /// Draws the rows.
    pub fn draw(&self, buffer: &mut Buffer, area: Rect, look: &Look<'_>) {
        if self.kind == Kind::Watches && self.watches.is_empty() {
            let key = look.key(Action::Watch);
            let add =
                format!("{key} adds an expression, or the value the cursor is on in Variables");
            return look.placeholder(buffer, area, &add);
        }
        let Some((view, stop)) = look.view.and_then(|view| Some((view, view.stop.as_ref()?)))
        else {
            return look.placeholder(buffer, area, "known at the first stop");
        };
        let Some(rows) = self.rows(stop) else {
            return look.placeholder(buffer, area, nothing_yet(view, stop));
        };
        if rows.is_empty() {
            let words = match view.target.matches.is_guests() {
                true => "this function has none here",
                false => NEEDS_VMLINUX,
            };
            return look.placeholder(buffer, area, words);
        }
        let indented = |row: &RowView| 2 * row.depth + row.name.width();
        let width = rows.iter().map(indented).max().unwrap_or(0).min(NAMES);
        for (at, index) in self.list.seen().enumerate() {
            if let Some(row) = rows.get(index) {
                draw_row(buffer, area, at as u16, row, (width, self.hex), look);
            }
            look.cursor(buffer, area, at as u16, index == self.list.cursor);
        }
    }
}

fn draw_row(
    buffer: &mut Buffer,
    area: Rect,
    at: u16,
    row: &RowView,
    (width, hex): (usize, bool),
    look: &Look<'_>,
) {
    let sign = match (row.changed, row.argument && row.depth == 0) {
        (true, _) => "*",
        (false, true) => "›",
        (false, false) => " ",
    };
    let fold = match (row.can_open, row.open) {
        (false, _) => " ",
        (true, false) => "▸",
        (true, true) => "▾",
    };
    let (value, role) = shown_value(row);
    let value = if hex { in_hex(&value).unwrap_or(value) } else { value };
    let role = if row.changed { Role::Changed } else { role };
    let mut pen = Pen::new(buffer, area, at);
    pen.put(sign, look.style(if row.changed { Role::Changed } else { Role::Dim }));
    pen.put(&" ".repeat(2 * row.depth), Style::new());
    pen.put(fold, look.style(Role::Key));
    let name = printable(&row.name);
    let room = width.saturating_sub(2 * row.depth).max(name.width().min(12));
    pen.column(&name, room, look.style(if row.depth == 0 { Role::Strong } else { Role::Text }));
    pen.put(" ", Style::new());
    let type_name = printable(&row.type_name);
    pen.put(&clip(&value, pen.room()), look.style(role));
    if pen.room() > type_name.width() + 2 {
        pen.right(&type_name, look.style(Role::Type));
    }
}

fn whole(row: &RowView) -> Outcome {
    let (value, _) = shown_value(row);
    let name = row.expression.as_ref().unwrap_or(&row.name);
    Outcome::Text("Value", format!("{} {name} = {value}", row.type_name))
}

/// A number alone in hexadecimal; the sign of one below zero stays, because how
/// many bytes it has is not known here.
fn in_hex(value: &str) -> Option<String> {
    let (sign, digits) = match value.strip_prefix('-') {
        Some(digits) => ("-", digits),
        None => ("", value),
    };
    let plain = !digits.is_empty() && digits.bytes().all(|byte| byte.is_ascii_digit());
    let number: u128 = digits.parse().ok().filter(|_| plain)?;
    Some(format!("{sign}{number:#x}"))
}

/// The value in one line, or why there is none.
fn shown_value(row: &RowView) -> (String, Role) {
    match (&row.value, &row.unavailable) {
        (Some(value), _) => (printable(value), Role::Text),
        (None, Some(why)) => (format!("<{}>", printable(why)), Role::Dim),
        (None, None) if row.optimized_out => ("<optimized out>".into(), Role::Dim),
        (None, None) => ("…".into(), Role::Dim),
    }
}

fn nothing_yet(view: &View, stop: &StopView) -> &'static str {
    match (&view.symbols, stop.frames.is_empty()) {
        (SymbolsView::None | SymbolsView::Failed(_), _) => "no symbols; give --vmlinux FILE",
        (SymbolsView::NoDebugInfo, _) => "the vmlinux has no debug information",
        (SymbolsView::Looking(_), _) => "when the vmlinux is found",
        (SymbolsView::Loading(_), _) => "when the symbols are loaded",
        (SymbolsView::Ready, _) => "reading …",
    }
}

#[cfg(test)]
mod tests {
    use super::in_hex;

    #[test]
    fn only_numbers_are_turned() {
        let hex = |text| in_hex(text).unwrap_or_default();
        assert_eq!([hex("42"), hex("-110"), hex("0")], ["0x2a", "-0x6e", "0x0"]);
        assert_eq!([hex("0x10"), hex("{…}"), hex("97 'a'"), hex("-")], [""; 4]);
    }
}
