//! What lies over the panes and takes the keys while it is open.

pub mod command;
pub mod confirm;
pub mod crash;
pub mod help;
pub mod leave;
pub mod output;
pub mod peek;
pub mod prompt;
pub mod sequence;

use super::palette::Palette;
use crate::config::theme::{Role, Theme};
use crossterm::event::KeyCode;
use ratatui::{
    buffer::Buffer,
    layout::Rect,
    widgets::{Block, BorderType, Clear, Widget},
};

/// The one popup that is open.
#[derive(Debug)]
pub enum Popup {
    /// None.
    None,
    /// The `:` line.
    Command(command::CommandLine),
    /// A question for a text.
    Prompt(prompt::Prompt),
    /// Text of several lines, to be read.
    Output(output::Output),
    /// What a name of the source is.
    Peek(peek::Peek),
    /// The keys.
    Help(output::Output),
    /// How to leave.
    Leave(leave::Leaving),
    /// What the kernel ran into, and what can be done.
    Crash,
    /// Everything that has a name.
    Palette(Box<Palette>),
    /// Whether to change the guest.
    Confirm(confirm::Confirm),
}

/// A window of at most this size in the middle of the screen, border included.
fn middle(screen: Rect, (width, height): (u16, u16)) -> Rect {
    let (width, height) = (width.min(screen.width), height.min(screen.height));
    let x = screen.x + (screen.width - width) / 2;
    Rect { x, y: screen.y + (screen.height - height) / 2, width, height }
}

/// The key that a popup writes as a word.
fn key_of(word: &str) -> Option<KeyCode> {
    match word {
        "Esc" => Some(KeyCode::Esc),
        word => word.chars().next().map(KeyCode::Char),
    }
}

/// The room inside of a window's border.
fn inside(window: Rect) -> Rect {
    Block::bordered().inner(window)
}

/// Clears a window of at most this size in the middle of the screen, draws its
/// border, and gives the room inside.
fn window(buffer: &mut Buffer, screen: Rect, size: (u16, u16), title: &str, theme: Theme) -> Rect {
    let area = middle(screen, size);
    Clear.render(area, buffer);
    let block = Block::bordered()
        .border_type(BorderType::Rounded)
        .border_style(theme.style(Role::Warning))
        .title(format!(" {title} "));
    let inside = block.inner(area);
    block.render(area, buffer);
    inside
}
