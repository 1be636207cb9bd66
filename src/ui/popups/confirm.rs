//! A question before something is done to the guest: what it does, in words.

use crate::config::theme::{Role, Theme};
use crate::session::request::Request;
use crate::ui::pen::{Pen, wrap};
use ratatui::{buffer::Buffer, layout::Rect, style::Style};

/// What is to be done when the user says yes.
#[derive(Clone, Debug, PartialEq)]
pub struct Confirm {
    /// What it does to the guest.
    pub effect: String,
    /// The line it comes from.
    pub line: String,
    /// What is asked of the session then.
    pub request: Request,
}

impl Confirm {
    /// Whether a letter means yes or no; `None` when it means neither.
    pub fn choice(letter: char) -> Option<bool> {
        match letter {
            'y' => Some(true),
            'n' | 'q' => Some(false),
            _ => None,
        }
    }

    /// Draws the question in the middle of `screen`.
    pub fn draw(&self, buffer: &mut Buffer, screen: Rect, theme: Theme) {
        let width = 72.min(screen.width);
        let rows = wrap(&self.effect, usize::from(width.saturating_sub(4)).max(1));
        let height = (rows.len() as u16 + 4).min(screen.height);
        let inside =
            super::window(buffer, screen, (width, height), "This changes the guest", theme);
        for (row, words) in rows.iter().enumerate() {
            let mut pen = Pen::new(buffer, inside, row as u16);
            pen.put(" ", Style::new()).put(words, theme.style(Role::Text));
        }
        let mut pen = Pen::new(buffer, inside, inside.height.saturating_sub(1));
        for (key, meaning) in [("y", "do it"), ("Esc", "leave it as it is")] {
            pen.put(" ", Style::new()).put(key, theme.style(Role::Key));
            pen.put(" ", Style::new())
                .put(meaning, theme.style(Role::Text))
                .put("  ", Style::new());
        }
    }
}
