//! The question on leaving: what becomes of the guest. Nothing is done to it
//! without an answer.

use crate::config::theme::{Role, Theme};
use crate::session::request::Leave;
use crate::session::view::State;
use crate::ui::pen::{Pen, wrap};
use crossterm::event::KeyCode;
use ratatui::{
    buffer::Buffer,
    layout::{Position, Rect},
    style::Style,
};

/// Keys, and what each does.
type Keys = Vec<(&'static str, &'static str)>;

/// Where the leaving is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Leaving {
    /// The question stands.
    Asking,
    /// The session was asked to leave.
    Under(Leave),
    /// It could not; why.
    Failed(String),
}

/// What an answer to the question means.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Choice {
    /// Leave like this.
    Leave(Leave),
    /// End at once, without waiting for the session.
    Abandon,
    /// Stay.
    Stay,
}

impl Leaving {
    /// What a key means now.
    pub fn choice(&self, letter: char, state: &State) -> Option<Choice> {
        match (self, letter) {
            (Leaving::Asking, 'c' | 'y') => Some(Choice::Leave(Leave::Detach)),
            (Leaving::Asking, 's') if state.is_stopped() => Some(Choice::Leave(Leave::Stopped)),
            (Leaving::Under(Leave::AsIs), 'x') => Some(Choice::Abandon),
            (Leaving::Under(_) | Leaving::Failed(_), 'x') => Some(Choice::Leave(Leave::AsIs)),
            (Leaving::Asking | Leaving::Failed(_), 'q' | 'n') => Some(Choice::Stay),
            _ => None,
        }
    }

    fn lines(&self, state: &State) -> (String, Keys) {
        const STAY: (&str, &str) = ("Esc", "stay");
        const AS_IS: (&str, &str) = ("x", "leave it as it is; breakpoints stay planted");
        match (self, state) {
            (Leaving::Asking, State::Stopped) => (
                "Leave the debugger. The guest is stopped.".into(),
                vec![
                    ("c", "lift the breakpoints and let the guest run"),
                    ("s", "lift the breakpoints, leave the guest stopped"),
                    STAY,
                ],
            ),
            (Leaving::Asking, State::Lost { .. }) => (
                "Leave the debugger. The link is lost: what is planted in the guest stays there."
                    .into(),
                vec![("c", "leave"), STAY],
            ),
            (Leaving::Asking, _) => (
                "Leave the debugger. The guest is running; to lift breakpoints it is stopped for \
                 a moment."
                    .into(),
                vec![("c", "lift the breakpoints and let the guest run"), STAY],
            ),
            (Leaving::Under(Leave::AsIs), _) => {
                ("Leaving: closing the link …".into(), vec![("x", "do not wait for it")])
            }
            (Leaving::Under(_), _) => ("Leaving: lifting the breakpoints …".into(), vec![AS_IS]),
            (Leaving::Failed(why), _) => {
                (format!("Leaving did not work: {why}"), vec![AS_IS, STAY])
            }
        }
    }

    /// The rows of the question, and the window's size.
    fn shape(&self, screen: Rect, state: &State) -> (Vec<String>, Keys, (u16, u16)) {
        let width = 64.min(screen.width);
        let (words, keys) = self.lines(state);
        let rows = wrap(&words, usize::from(width.saturating_sub(4)));
        let height = ((rows.len() + keys.len()) as u16 + 3).min(screen.height);
        (rows, keys, (width, height))
    }

    /// The key of the choice that is drawn at a place.
    pub fn key_at(&self, screen: Rect, state: &State, at: Position) -> Option<KeyCode> {
        let (rows, keys, size) = self.shape(screen, state);
        let inside = super::inside(super::middle(screen, size));
        let row = usize::from(at.y.checked_sub(inside.y).filter(|_| inside.contains(at))?);
        let (key, _) = keys.get(row.checked_sub(rows.len() + 1)?)?;
        super::key_of(key)
    }

    /// Draws the question in the middle of `screen`.
    pub fn draw(&self, buffer: &mut Buffer, screen: Rect, state: &State, theme: Theme) {
        let (rows, keys, size) = self.shape(screen, state);
        let inside = super::window(buffer, screen, size, "Quit", theme);
        for (row, words) in rows.iter().enumerate() {
            let mut pen = Pen::new(buffer, inside, row as u16);
            pen.put(" ", Style::new()).put(words, theme.style(Role::Text));
        }
        for (row, (key, meaning)) in keys.iter().enumerate() {
            let mut pen = Pen::new(buffer, inside, (rows.len() + 1 + row) as u16);
            pen.put(" ", Style::new()).column(key, 5, theme.style(Role::Key));
            pen.put(meaning, theme.style(Role::Text));
        }
    }
}
