//! What lies over the panes and takes the keys while it is open.

pub mod command;
pub mod confirm;
pub mod help;
pub mod leave;
pub mod output;
pub mod prompt;

use crate::config::theme::{Role, Theme};
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
    /// The keys.
    Help(output::Output),
    /// How to leave.
    Leave(leave::Leaving),
    /// Whether to change the guest.
    Confirm(confirm::Confirm),
}

/// Clears a window of at most this size in the middle of the screen, draws its
/// border, and gives the room inside.
fn window(
    buffer: &mut Buffer,
    screen: Rect,
    (width, height): (u16, u16),
    title: &str,
    theme: Theme,
) -> Rect {
    let area = Rect {
        x: screen.x + (screen.width - width) / 2,
        y: screen.y + (screen.height - height) / 2,
        width,
        height,
    };
    Clear.render(area, buffer);
    let block = Block::bordered()
        .border_type(BorderType::Rounded)
        .border_style(theme.style(Role::Warning))
        .title(format!(" {title} "));
    let inside = block.inner(area);
    block.render(area, buffer);
    inside
}
