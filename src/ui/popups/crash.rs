//! What the kernel ran into, over the lower part of the screen, and what can be
//! done about it, each with its key.

use crate::base::text::printable;
use crate::config::theme::{Role, Theme};
use crate::session::crash_view::{CrashView, Way};
use crate::ui::pen::{Pen, wrap};
use crossterm::event::KeyCode;
use ratatui::{
    buffer::Buffer,
    layout::{Position, Rect},
    style::Style,
    widgets::{Block, BorderType, Clear, Widget},
};

/// Wider lines are hard to read.
const WIDEST: u16 = 110;

/// Whether a crash is worth a popup: after a warning, or for a task that hangs,
/// there is nothing to decide.
pub fn asks(crash: &CrashView) -> bool {
    !matches!(crash.event, "warn" | "hung")
}

/// The way that a key means.
pub fn way(crash: &CrashView, letter: char) -> Option<&Way> {
    crash.ways.iter().find(|way| way.key == letter)
}

/// What is told below the reason: one row each.
fn facts(crash: &CrashView) -> Vec<String> {
    let joined = |parts: [Option<&str>; 2]| {
        let parts: Vec<&str> = parts.into_iter().flatten().collect();
        (!parts.is_empty()).then(|| parts.join("   "))
    };
    let code = joined([crash.instruction.as_deref(), crash.operand.as_deref()]);
    let said = match (crash.message.as_deref(), crash.event) {
        // A panic's message is in the reason.
        (Some(said), "oops" | "bug") => Some(said),
        _ => None,
    };
    let said = joined([said, crash.error.as_deref()]);
    let notes = crash.notes.iter().cloned();
    code.into_iter().chain(said).chain(notes).map(|text| printable(&text)).collect()
}

/// What is told, and where.
struct Shape {
    reason: Vec<String>,
    facts: Vec<String>,
    area: Rect,
}

impl Shape {
    fn of(crash: &CrashView, screen: Rect) -> Shape {
        let width = WIDEST.min(screen.width);
        let room = usize::from(width.saturating_sub(4)).max(1);
        let reason = wrap(&printable(&crash.reason), room);
        let facts: Vec<String> = facts(crash).iter().flat_map(|fact| wrap(fact, room)).collect();
        let rows = reason.len() + facts.len() + crash.ways.len();
        let height = u16::try_from(rows + 3).unwrap_or(screen.height).min(screen.height);
        let x = screen.x + (screen.width - width) / 2;
        Shape { reason, facts, area: Rect { x, y: screen.bottom() - height, width, height } }
    }

    /// Rows above the ways; where there is no room for all, the ways stay.
    fn told(&self, crash: &CrashView) -> usize {
        let most = usize::from(super::inside(self.area).height);
        let most = most.saturating_sub(crash.ways.len() + 1);
        (self.reason.len() + self.facts.len()).min(most)
    }
}

/// The key of the way that is drawn at a place.
pub fn key_at(crash: &CrashView, screen: Rect, at: Position) -> Option<KeyCode> {
    let shape = Shape::of(crash, screen);
    let inside = super::inside(shape.area);
    let row = usize::from(at.y.checked_sub(inside.y).filter(|_| inside.contains(at))?);
    let way = crash.ways.get(row.checked_sub(shape.told(crash) + 1)?)?;
    Some(KeyCode::Char(way.key))
}

/// Draws it over the bottom of `screen`.
pub fn draw(crash: &CrashView, buffer: &mut Buffer, screen: Rect, theme: Theme) {
    let shape = Shape::of(crash, screen);
    let area = shape.area;
    Clear.render(area, buffer);
    let block = Block::bordered()
        .border_type(BorderType::Rounded)
        .border_style(theme.style(Role::Error))
        .title(format!(" {} ", printable(&crash.headline)));
    let inside = block.inner(area);
    block.render(area, buffer);
    let told = shape.reason.iter().map(|row| (row, Role::Strong));
    let told = told.chain(shape.facts.iter().map(|row| (row, Role::Text)));
    let mut at = 0;
    for (row, role) in told.take(shape.told(crash)) {
        let mut pen = Pen::new(buffer, inside, at);
        pen.put(" ", Style::new()).put(row, theme.style(role));
        at += 1;
    }
    for (row, way) in crash.ways.iter().enumerate() {
        let mut pen = Pen::new(buffer, inside, at + 1 + row as u16);
        pen.put(" ", Style::new()).column(&way.key.to_string(), 3, theme.style(Role::Key));
        pen.column(way.command, 10, theme.style(Role::Strong));
        pen.put(&printable(&way.does), theme.style(Role::Text));
    }
    let edge = Rect { x: area.x + 2, width: area.width.saturating_sub(4), ..area };
    let words = " Esc closes · :info crash opens it again ";
    Pen::new(buffer, edge, area.height - 1).right(words, theme.style(Role::Dim));
}
