//! What the mouse does: a click gives a pane the keys and chooses a row, on the
//! chosen row it opens; in the gutter of the source it sets a breakpoint; tabs,
//! hints and what a popup offers are clicked as they are read; the wheel scrolls
//! what it is over; borders are dragged. All of it works by key as well.

use super::act;
use super::app::App;
use super::layout::{Arrangement, PaneId, Slot};
use super::list::List;
use super::message::Effect;
use super::popups::{self, Popup, peek::Peek};
use super::{status, title, update};
use crate::config::{actions::Action, key::Key};
use crossterm::event::{KeyCode, KeyEvent, MouseButton, MouseEvent, MouseEventKind};
use ratatui::layout::{Position, Rect};

/// Rows or columns of one turn of the wheel.
const TURN: isize = 3;

/// Whether an event means something here: only what does wakes the screen.
pub fn means_something(event: &MouseEvent) -> bool {
    use MouseEventKind::{Down, Drag, ScrollDown, ScrollLeft, ScrollRight, ScrollUp, Up};
    matches!(
        event.kind,
        Down(MouseButton::Left)
            | Drag(MouseButton::Left)
            | Up(MouseButton::Left)
            | ScrollUp
            | ScrollDown
            | ScrollLeft
            | ScrollRight
    )
}

/// Takes in an event of the mouse.
pub fn mouse(app: &mut App, event: MouseEvent) -> Vec<Effect> {
    let at = Position::new(event.column, event.row);
    match event.kind {
        MouseEventKind::Down(MouseButton::Left) => return pressed(app, at),
        MouseEventKind::Drag(MouseButton::Left) => dragged(app, at),
        MouseEventKind::Up(MouseButton::Left) => app.dragged = None,
        MouseEventKind::ScrollUp => wheel(app, at, -TURN),
        MouseEventKind::ScrollDown => wheel(app, at, TURN),
        MouseEventKind::ScrollLeft => sideways(app, at, Action::Left),
        MouseEventKind::ScrollRight => sideways(app, at, Action::Right),
        _ => {}
    }
    Vec::new()
}

fn pressed(app: &mut App, at: Position) -> Vec<Effect> {
    app.dragged = None;
    app.pending.clear();
    let arranged = app.arrangement();
    if arranged.hints.contains(at)
        && let Some(action) = status::hint_at(app, arranged.hints, at.x)
    {
        return hinted(app, action);
    }
    let screen = Rect::new(0, 0, app.size.0, arranged.status.y);
    let key = match &mut app.popup {
        Popup::None => return in_panes(app, at, &arranged),
        Popup::Output(output) | Popup::Help(output) | Popup::Peek(Peek { output, .. }) => {
            (!output.place(screen).0.contains(at)).then_some(KeyCode::Esc)
        }
        Popup::Leave(leaving) => {
            let state = app.view.as_ref().map(|view| &view.state);
            state.and_then(|state| leaving.key_at(screen, state, at))
        }
        Popup::Confirm(confirm) => confirm.key_at(screen, at),
        Popup::Crash => {
            let crash = app.stop().and_then(|stop| stop.crash.as_ref());
            crash.and_then(|crash| popups::crash::key_at(crash, screen, at))
        }
        Popup::Command(command) => {
            command.choose_at(arranged.line, at);
            None
        }
        Popup::Palette(palette) => palette.press(screen, at),
        Popup::Prompt(_) => None,
    };
    let press = |code| update::key_pressed(app, Key::of(KeyEvent::from(code)));
    key.map_or(Vec::new(), press)
}

/// A hint does what its key does.
fn hinted(app: &mut App, action: Action) -> Vec<Effect> {
    let screen = Rect::new(0, 0, app.size.0, app.arrangement().status.y);
    match &mut app.popup {
        Popup::Output(output) | Popup::Help(output) | Popup::Peek(Peek { output, .. }) => {
            if output.act(action, screen) {
                return Vec::new();
            }
            app.popup = Popup::None;
            if action == Action::Escape { Vec::new() } else { act::act(app, action) }
        }
        _ => {
            app.message = None;
            act::act(app, action)
        }
    }
}

fn in_panes(app: &mut App, at: Position, arranged: &Arrangement) -> Vec<Effect> {
    app.message = None;
    let slot = arranged.slots.iter().find(|slot| slot.area.contains(at));
    if let Some(slot) = slot.filter(|slot| slot.area.y == at.y) {
        if let Some(pane) = title::tab_at(app, slot, at.x) {
            app.give_focus(pane);
            return Vec::new();
        }
        app.give_focus(slot.pane);
    }
    if let Some(border) = arranged.borders.iter().find(|border| border.area.contains(at)) {
        app.dragged = Some(border.split);
        return Vec::new();
    }
    match slot {
        Some(slot) => on_row(app, slot, at),
        None => Vec::new(),
    }
}

fn on_row(app: &mut App, slot: &Slot, at: Position) -> Vec<Effect> {
    let inside = slot.inside();
    if !inside.contains(at) {
        return Vec::new();
    }
    let had_keys = app.focus() == slot.pane;
    app.give_focus(slot.pane);
    let (row, column) = (usize::from(at.y - inside.y), at.x - inside.x);
    let list = app.list_of(slot.pane);
    let index = list.top + row;
    if index >= list.len {
        return Vec::new();
    }
    let chosen = std::mem::replace(&mut list.cursor, index) == index;
    match slot.pane {
        PaneId::Source if app.source.is_gutter(index, column) => {
            act::act(app, Action::ToggleBreakpoint)
        }
        PaneId::Disassembly if column < 2 => act::act(app, Action::ToggleBreakpoint),
        PaneId::Source => {
            app.source.point(column);
            Vec::new()
        }
        PaneId::Registers if !app.registers.point(column) => Vec::new(),
        PaneId::Memory if !app.memory.point(column) => Vec::new(),
        _ if had_keys && chosen => act::act(app, Action::Open),
        _ => Vec::new(),
    }
}

/// A border that is held goes where the mouse goes.
fn dragged(app: &mut App, at: Position) {
    let borders = app.arrangement().borders;
    let held = borders.iter().find(|border| Some(border.split) == app.dragged);
    if let Some(border) = held {
        let second = match border.beside {
            true => i32::from(border.whole.right()) - 1 - i32::from(at.x),
            false => i32::from(border.whole.bottom()) - i32::from(at.y),
        };
        app.layout.pull(app.size, border, second);
    }
}

/// The pane below the pointer, unless something else lies over it.
fn below(app: &App, at: Position) -> Option<PaneId> {
    let free = matches!(app.popup, Popup::None | Popup::Command(_) | Popup::Prompt(_));
    let slots = app.arrangement().slots;
    let slot = slots.iter().find(|slot| slot.area.contains(at)).filter(|_| free);
    slot.map(|slot| slot.pane)
}

/// Scrolls what the pointer is over; the keys stay where they are.
fn wheel(app: &mut App, at: Position, rows: isize) {
    let screen = Rect::new(0, 0, app.size.0, app.arrangement().status.y);
    let action = if rows < 0 { Action::Up } else { Action::Down };
    for _ in 0..rows.unsigned_abs() {
        match &mut app.popup {
            Popup::Output(output) | Popup::Help(output) | Popup::Peek(Peek { output, .. }) => {
                output.act(action, screen);
            }
            Popup::Palette(palette) => drop(palette.list.act(action)),
            _ => {}
        }
    }
    match below(app, at) {
        Some(PaneId::Memory) => app.memory.scroll(rows as i64),
        Some(pane) => app.list_of(pane).scroll(rows),
        None => {}
    }
}

fn sideways(app: &mut App, at: Position, action: Action) {
    if let Some(pane) = below(app, at) {
        List::act(app.list_of(pane), action);
    }
}
