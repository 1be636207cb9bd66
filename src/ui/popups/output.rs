//! Text of several lines over the lower part of the screen: what a command
//! answered, or the key sheet.

use crate::base::text::printable;
use crate::config::actions::Action;
use crate::config::theme::{Role, Theme};
use crate::ui::pen::Pen;
use ratatui::{
    buffer::Buffer,
    layout::Rect,
    style::Style,
    widgets::{Block, BorderType, Clear, Widget},
};
use unicode_width::{UnicodeWidthChar, UnicodeWidthStr};

/// How far the rest of a long line is set in.
const INDENT: &str = "    ";

/// The text and how far it is scrolled.
#[derive(Debug)]
pub struct Output {
    title: String,
    lines: Vec<String>,
    top: usize,
}

impl Output {
    /// Text under a title; control characters in it are made harmless.
    pub fn new(title: &str, text: &str) -> Output {
        let expand = |line: &str| printable(&line.replace('\t', "        "));
        let lines = text.lines().map(expand).collect();
        Output { title: printable(title), lines, top: 0 }
    }

    /// Where it goes on a screen of this size (as high as it needs, at most
    /// two thirds), and the rows it then has.
    pub fn place(&self, screen: Rect) -> (Rect, Vec<String>) {
        let width = usize::from(screen.width.saturating_sub(4)).max(8);
        let rows: Vec<String> = self.lines.iter().flat_map(|line| fold(line, width)).collect();
        let most = (screen.height * 2 / 3).max(screen.height.min(12));
        let height = u16::try_from(rows.len()).unwrap_or(most).saturating_add(2).min(most);
        (Rect { y: screen.bottom() - height, height, ..screen }, rows)
    }

    /// Moves; `false` when the action is no movement.
    pub fn act(&mut self, action: Action, screen: Rect) -> bool {
        let (area, rows) = self.place(screen);
        let height = usize::from(area.height.saturating_sub(2));
        let last = rows.len().saturating_sub(height);
        let page = height.saturating_sub(1).max(1);
        self.top = match action {
            Action::Up => self.top.saturating_sub(1),
            Action::Down => self.top + 1,
            Action::PageUp => self.top.saturating_sub(page),
            Action::PageDown => self.top + page,
            Action::Home => 0,
            Action::End => last,
            Action::Left | Action::Right => self.top,
            _ => return false,
        }
        .min(last);
        true
    }

    /// Draws it over the bottom of `screen`.
    pub fn draw(&self, buffer: &mut Buffer, screen: Rect, theme: Theme) {
        let (area, rows) = self.place(screen);
        Clear.render(area, buffer);
        let block = Block::bordered()
            .border_type(BorderType::Rounded)
            .border_style(theme.style(Role::Focused))
            .title(format!(" {} ", self.title));
        let inside = block.inner(area);
        block.render(area, buffer);
        let height = usize::from(inside.height);
        for (row, line) in rows.iter().skip(self.top).take(height).enumerate() {
            let mut pen = Pen::new(buffer, inside, row as u16);
            pen.put(" ", Style::new()).put(line, theme.style(Role::Text));
        }
        let hidden = rows.len().saturating_sub(self.top + height);
        let words = match (hidden, self.top) {
            (0, 0) => " Esc closes ".to_string(),
            (0, _) => " end · Esc closes ".to_string(),
            _ => format!(" {hidden} more · PgDn · Esc closes "),
        };
        if area.height > 1 {
            let edge = Rect { x: area.x + 2, width: area.width.saturating_sub(4), ..area };
            Pen::new(buffer, edge, area.height - 1).right(&words, theme.style(Role::Dim));
        }
    }
}

/// A line in rows of at most `width` columns; what goes on is indented, so
/// that the columns of the first rows stay readable.
fn fold(line: &str, width: usize) -> Vec<String> {
    let mut rows = vec![String::new()];
    let mut used = 0;
    for c in line.chars() {
        let columns = c.width().unwrap_or(0);
        if used + columns > width {
            let row = rows.last_mut().map(|row| cut_word(row, width, columns)).unwrap_or_default();
            rows.push(format!("{INDENT}{row}"));
            used = rows.last().map_or(0, |row| row.width());
        }
        if let Some(row) = rows.last_mut() {
            row.push(c);
        }
        used += columns;
    }
    rows
}

/// Takes the word that is cut by the end of a full row off it, when it is short
/// enough to be worth moving and has room, with `more` columns, in the next row.
fn cut_word(row: &mut String, width: usize, more: usize) -> String {
    let at = row.rfind(' ').map(|at| at + 1);
    let word = at.filter(|at| {
        let (before, word) = row.split_at(*at);
        before.width() > width / 2 && INDENT.len() + word.width() + more <= width
    });
    word.map(|at| row.split_off(at)).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::fold;

    #[test]
    fn long_lines_go_on_indented() {
        assert_eq!(fold("", 8), [""]);
        assert_eq!(fold("a b c d e f", 8), ["a b c d ", "    e f"]);
        assert_eq!(fold("it is at 0xffff", 14), ["it is at ", "    0xffff"]);
        assert_eq!(fold("0xffffffffffff", 8), ["0xffffff", "    ffff", "    ff"]);
    }
}
