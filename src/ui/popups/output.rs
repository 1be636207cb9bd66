//! Text of several lines over the lower part of the screen: what a command
//! answered, or the key sheet.

use crate::base::text::printable;
use crate::config::keys::Action;
use crate::config::theme::{Role, Theme};
use crate::ui::list::List;
use crate::ui::pen::Pen;
use ratatui::{
    buffer::Buffer,
    layout::Rect,
    style::Style,
    widgets::{Block, BorderType, Clear, Widget},
};

/// The text and how far it is scrolled.
#[derive(Debug)]
pub struct Output {
    title: String,
    lines: Vec<String>,
    /// Scroll position; `top` moves, there is no cursor.
    list: List,
}

impl Output {
    /// Text under a title; control characters in it are made harmless.
    pub fn new(title: &str, text: &str) -> Output {
        let expand = |line: &str| printable(&line.replace('\t', "        "));
        let lines = text.lines().map(expand).collect();
        Output { title: printable(title), lines, list: List::default() }
    }

    /// Where it goes on a screen of this size: as high as it needs, at most
    /// two thirds.
    fn area(&self, screen: Rect) -> Rect {
        let most = (screen.height * 2 / 3).max(screen.height.min(12));
        let height = (self.lines.len() as u16).saturating_add(2).min(most);
        Rect { y: screen.bottom() - height, height, ..screen }
    }

    /// Moves; `false` when the action is no movement.
    pub fn act(&mut self, action: Action, screen: Rect) -> bool {
        let height = usize::from(self.area(screen).height.saturating_sub(2));
        let last = self.lines.len().saturating_sub(height);
        let page = height.saturating_sub(1).max(1);
        let top = &mut self.list.top;
        match action {
            Action::Up => *top = top.saturating_sub(1),
            Action::Down => *top = (*top + 1).min(last),
            Action::PageUp => *top = top.saturating_sub(page),
            Action::PageDown => *top = (*top + page).min(last),
            Action::Home => *top = 0,
            Action::End => *top = last,
            Action::Left => self.list.left = self.list.left.saturating_sub(8),
            Action::Right => self.list.left = (self.list.left + 8).min(4096),
            _ => return false,
        }
        true
    }

    /// Draws it over the bottom of `screen`.
    pub fn draw(&self, buffer: &mut Buffer, screen: Rect, theme: Theme) {
        let area = self.area(screen);
        Clear.render(area, buffer);
        let block = Block::bordered()
            .border_type(BorderType::Rounded)
            .border_style(theme.style(Role::Focused))
            .title(format!(" {} ", self.title));
        let inside = block.inner(area);
        block.render(area, buffer);
        let height = usize::from(inside.height);
        for (row, line) in self.lines.iter().skip(self.list.top).take(height).enumerate() {
            let shown: String = line.chars().skip(self.list.left).collect();
            Pen::new(buffer, inside, row as u16)
                .put(" ", Style::new())
                .put(&shown, theme.style(Role::Text));
        }
        let hidden = self.lines.len().saturating_sub(self.list.top + height);
        let words = match (hidden, self.list.top) {
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
