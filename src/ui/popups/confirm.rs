//! A question before something is done to the guest: what it does, in words.

use crate::config::theme::{Role, Theme};
use crate::session::request::Request;
use crate::ui::pen::{Pen, wrap};
use crossterm::event::KeyCode;
use ratatui::{
    buffer::Buffer,
    layout::{Position, Rect},
    style::Style,
};

/// The keys, and what each does.
const CHOICES: [(&str, &str); 2] = [("y", "do it"), ("Esc", "leave it as it is")];

/// What is to be done when the user says yes.
#[derive(Clone, Debug, PartialEq)]
pub struct Confirm {
    /// What it does to the guest.
    pub effect: String,
    /// The line it comes from.
    pub line: String,
    /// What is asked of the session first: the setting that allows it.
    pub before: Option<Box<Request>>,
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

    /// The rows of the words, and the window's size.
    fn shape(&self, screen: Rect) -> (Vec<String>, (u16, u16)) {
        let width = 72.min(screen.width);
        let rows = wrap(&self.effect, usize::from(width.saturating_sub(4)).max(1));
        let height = (rows.len() as u16 + 4).min(screen.height);
        (rows, (width, height))
    }

    /// The key of the choice that is drawn at a place.
    pub fn key_at(&self, screen: Rect, at: Position) -> Option<KeyCode> {
        let inside = super::inside(super::middle(screen, self.shape(screen).1));
        let mut x = inside.x;
        for (key, meaning) in CHOICES {
            // A space, the key, a space, the words, two spaces.
            let end = x + (key.len() + meaning.len() + 4) as u16;
            if at.y + 1 == inside.bottom() && (x..end - 2).contains(&at.x) {
                return super::key_of(key);
            }
            x = end;
        }
        None
    }

    /// Draws the question in the middle of `screen`.
    pub fn draw(&self, buffer: &mut Buffer, screen: Rect, theme: Theme) {
        let (rows, size) = self.shape(screen);
        let inside = super::window(buffer, screen, size, "This changes the guest", theme);
        for (row, words) in rows.iter().enumerate() {
            let mut pen = Pen::new(buffer, inside, row as u16);
            pen.put(" ", Style::new()).put(words, theme.style(Role::Text));
        }
        let mut pen = Pen::new(buffer, inside, inside.height.saturating_sub(1));
        for (key, meaning) in CHOICES {
            pen.put(" ", Style::new()).put(key, theme.style(Role::Key));
            pen.put(" ", Style::new())
                .put(meaning, theme.style(Role::Text))
                .put("  ", Style::new());
        }
    }
}
