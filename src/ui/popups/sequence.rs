//! What can follow the keys that began a sequence: a window above the bottom
//! rows, from the keymap in force.

use crate::config::keymap::{self, Found, Next};
use crate::config::theme::Role;
use crate::ui::app::App;
use crate::ui::pen::Pen;
use ratatui::{
    buffer::Buffer,
    layout::Rect,
    style::Style,
    widgets::{Block, BorderType, Clear, Widget},
};
use unicode_width::UnicodeWidthStr;

/// Draws the window over the bottom of `screen`, when a sequence was begun.
pub fn draw(app: &App, buffer: &mut Buffer, screen: Rect) {
    /// Columns of what a key does; more would leave too few side by side.
    const WORDS: usize = 44;
    let scopes = app.scopes();
    let Found::Prefix(next) = app.keymap.find(&app.pending, &scopes) else { return };
    if app.pending.is_empty() || screen.height < 4 || screen.width < 20 {
        return;
    }
    let mut entries: Vec<(String, &str)> = Vec::new();
    for (key, to) in next {
        let words = match to {
            Next::Action(action) => keymap::help(action, &scopes),
            Next::More => "… more keys",
        };
        match entries.iter_mut().find(|(_, other)| *other == words) {
            Some((keys, _)) => *keys = format!("{keys} {key}"),
            None => entries.push((key.to_string(), words)),
        }
    }
    let keys = entries.iter().map(|(key, _)| key.width()).max().unwrap_or(0);
    // Two side by side, wherever that leaves room for words.
    let half = usize::from(screen.width / 2).saturating_sub(keys + 5).max(20);
    let words = entries.iter().map(|(_, words)| words.width()).max().unwrap_or(0);
    let words = words.min(WORDS).min(half);
    let cell = keys + words + 4;
    let columns = (usize::from(screen.width - 2) / cell).clamp(1, entries.len());
    let rows = entries.len().div_ceil(columns).min(usize::from(screen.height - 2));
    let height = rows as u16 + 2;
    let area = Rect { y: screen.bottom() - height, height, ..screen };
    Clear.render(area, buffer);
    let block = Block::bordered()
        .border_type(BorderType::Rounded)
        .border_style(app.theme.style(Role::Focused))
        .title(format!(" {} … ", keymap::written(&app.pending)));
    let inside = block.inner(area);
    block.render(area, buffer);
    for row in 0..rows {
        let mut pen = Pen::new(buffer, inside, row as u16);
        for (key, words) in entries.iter().skip(row).step_by(rows).take(columns) {
            pen.put(" ", Style::new()).column(key, keys, app.theme.style(Role::Key));
            pen.put("  ", Style::new());
            pen.column(words, cell - keys - 4, app.theme.style(Role::Text));
            pen.put(" ", Style::new());
        }
    }
    let edge = Rect { x: area.x + 2, width: area.width.saturating_sub(4), ..area };
    let hidden = entries.len().saturating_sub(rows * columns);
    let more = if hidden > 0 { format!(" {hidden} more ·") } else { String::new() };
    let words = format!("{more} Esc cancels ");
    Pen::new(buffer, edge, height - 1).right(&words, app.theme.style(Role::Dim));
}
