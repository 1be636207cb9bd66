//! A pane as text: all its rows, not only those seen, for a file or for the
//! terminal's clipboard.

use super::app::App;
use super::layout::PaneId;
use super::list::List;
use super::view;
use ratatui::{buffer::Buffer, layout::Rect};
use std::ops::Range;
use unicode_width::UnicodeWidthStr;

/// Columns for panes whose rows are long text.
const LONG: u16 = 1000;
/// Columns for panes that place something at their right edge.
const PLACED: u16 = 200;
/// Rows that are drawn at once.
const PIECE: usize = 64;

/// The pane's rows as text, one line each.
pub fn pane(app: &mut App, pane: PaneId) -> String {
    let width = width(pane);
    let len = match pane {
        PaneId::Registers => app.registers.rows(app.stop(), width),
        // All there is of it is on the screen.
        PaneId::Memory => return rows(app, pane, 0..app.memory.list.height, app.memory.width),
        _ => app.list_of(pane).len,
    };
    rows(app, pane, 0..len.max(1), width)
}

/// What the cursor of a pane is on, as one wants it elsewhere: a line of source
/// without its marks, a value without its name, else the row.
pub fn at_cursor(app: &mut App, pane: PaneId) -> String {
    let own = match pane {
        PaneId::Source => app.source.cursor_text(),
        PaneId::Variables => app.variables.cursor_value(app.view.as_deref()),
        PaneId::Registers => app.registers.cursor_value(app.view.as_deref()),
        PaneId::Watches => app.watches.cursor_value(app.view.as_deref()),
        _ => None,
    };
    let cursor = app.list_of(pane).cursor;
    let width = if pane == PaneId::Memory { app.memory.width } else { width(pane) };
    own.unwrap_or_else(|| rows(app, pane, cursor..cursor + 1, width)).trim().to_string()
}

fn width(pane: PaneId) -> u16 {
    match pane {
        PaneId::Source
        | PaneId::Disassembly
        | PaneId::Console
        | PaneId::Dmesg
        | PaneId::Log
        | PaneId::Packets => LONG,
        _ => PLACED,
    }
}

/// Rows of a pane as they are drawn in one of this width. Its list is moved for
/// that, and moved back.
fn rows(app: &mut App, pane: PaneId, which: Range<usize>, width: u16) -> String {
    let mut text = String::new();
    if pane == PaneId::Memory {
        let buffer = drawn(app, pane, width, app.memory.list.height);
        which.for_each(|row| push_row(&mut text, &buffer, row));
        return text;
    }
    let before = *app.list_of(pane);
    for top in which.clone().step_by(PIECE) {
        let height = PIECE.min(which.end - top);
        let len = before.len.max(which.end);
        *app.list_of(pane) = List { cursor: top, top, len, height, left: 0 };
        let buffer = drawn(app, pane, width, height);
        (0..height).for_each(|row| push_row(&mut text, &buffer, row));
    }
    *app.list_of(pane) = before;
    text
}

fn drawn(app: &App, pane: PaneId, width: u16, height: usize) -> Buffer {
    let area = Rect::new(0, 0, width, u16::try_from(height).unwrap_or(u16::MAX));
    let mut buffer = Buffer::empty(area);
    view::draw_pane(app, &mut buffer, pane, area, false);
    buffer
}

fn push_row(text: &mut String, buffer: &Buffer, y: usize) {
    let mut row = String::new();
    let mut x = 0;
    while let Some(cell) = buffer.cell((x, y as u16)) {
        let symbol = cell.symbol();
        row.push_str(symbol);
        // The cell behind a wide character is empty, and no space.
        x += (symbol.width() as u16).max(1);
    }
    text.push_str(row.trim_end());
    text.push('\n');
}
