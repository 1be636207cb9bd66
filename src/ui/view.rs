//! Draws the whole screen from the state. Changes nothing.

use super::app::App;
use super::layout::{Arrangement, PaneId, Size, Slot};
use super::panes::Look;
use super::pen::{Pen, wrap};
use super::popups::{Popup, crash, sequence};
use super::{status, title, waiting};
use crate::base::text::printable;
use crate::config::actions::Action;
use crate::config::theme::Role;
use crate::session::view::State;
use ratatui::{Frame, buffer::Buffer, layout::Rect};

/// Draws everything.
pub fn draw(app: &App, frame: &mut Frame<'_>) {
    let arranged = app.arrangement();
    let buffer = frame.buffer_mut();
    for slot in &arranged.slots {
        draw_slot(app, buffer, slot);
    }
    for border in arranged.borders.iter().filter(|border| border.beside) {
        draw_divider(app, buffer, border.area, &arranged.slots);
    }
    if arranged.size == Size::Tiny {
        draw_tiny(app, buffer, &arranged);
    }
    draw_tour(app, buffer, arranged.tour);
    status::draw_status(app, buffer, arranged.status);
    let screen = Rect::new(0, 0, app.size.0, arranged.status.y).intersection(buffer.area);
    let mut typing = None;
    match &app.popup {
        Popup::Output(output) | Popup::Help(output) => output.draw(buffer, screen, app.theme),
        Popup::Peek(peek) => peek.output.draw(buffer, screen, app.theme),
        Popup::Leave(leaving) => leaving.draw(buffer, screen, app.state(), app.theme),
        Popup::Command(command) => {
            command.draw_choices(buffer, arranged.line.intersection(buffer.area), app.theme);
        }
        Popup::Crash => {
            if let Some(crash) = app.stop().and_then(|stop| stop.crash.as_ref()) {
                crash::draw(crash, buffer, screen, app.theme);
            }
        }
        Popup::Confirm(confirm) => confirm.draw(buffer, screen, app.theme),
        Popup::Palette(palette) => {
            let view = app.view.as_deref();
            typing = Some(palette.draw(buffer, screen, view, app.theme));
        }
        Popup::None => {
            sequence::draw(app, buffer, screen);
            let slot = arranged.slot(PaneId::Console);
            typing = slot.and_then(|slot| app.console.cursor(slot.inside())).map(Into::into);
        }
        Popup::Prompt(_) => {}
    }
    let (cursor, drawn) = status::draw_line(app, buffer, arranged.line);
    if !drawn || arranged.hints != arranged.line {
        status::draw_hints(app, buffer, arranged.hints);
    }
    if let Some(position) = typing.or(cursor) {
        frame.set_cursor_position(position);
    }
}

fn draw_slot(app: &App, buffer: &mut Buffer, slot: &Slot) {
    title::draw_title(app, buffer, slot);
    let inside = slot.inside();
    if slot.pane == PaneId::Source && app.stop().is_none() && app.source.is_empty() {
        return waiting::draw_whole(app, buffer, inside);
    }
    draw_pane(app, buffer, slot.pane, inside, app.focus() == slot.pane);
    if slot.pane == PaneId::Source {
        waiting::draw_over(app, buffer, inside);
    }
}

/// Draws the rows of a pane.
pub(super) fn draw_pane(app: &App, buffer: &mut Buffer, pane: PaneId, inside: Rect, focused: bool) {
    let view = app.view.as_deref();
    let look = Look { theme: app.theme, keymap: &app.keymap, focused, view };
    match pane {
        PaneId::Source => app.source.draw(buffer, inside, &look),
        PaneId::Console => app.console.draw(buffer, inside, &look),
        PaneId::Log => app.log.draw(buffer, inside, &look),
        PaneId::Stack => app.stack.draw(buffer, inside, &look),
        PaneId::Variables => app.variables.draw(buffer, inside, &look),
        PaneId::Watches => app.watches.draw(buffer, inside, &look),
        PaneId::Tasks => app.tasks.draw(buffer, inside, &look),
        PaneId::Cpus => app.cpus.draw(buffer, inside, &look),
        PaneId::Modules => app.modules.draw(buffer, inside, &look),
        PaneId::Memory => app.memory.draw(buffer, inside, &look),
        PaneId::Disassembly => app.disassembly.draw(buffer, inside, &look),
        PaneId::Dmesg => app.dmesg.draw(buffer, inside, &look),
        PaneId::Packets => app.packets.draw(buffer, inside, &look),
        PaneId::Registers => app.registers.draw(buffer, inside, &look),
        PaneId::Breakpoints => app.breakpoints.draw(buffer, inside, &look),
    }
}

/// The column between left and right, joined to the title rules.
fn draw_divider(app: &App, buffer: &mut Buffer, divider: Rect, slots: &[Slot]) {
    let has_rule = |y: u16, left: bool| {
        slots.iter().any(|slot| {
            let beside =
                if left { slot.area.right() == divider.x } else { slot.area.x == divider.right() };
            beside && slot.area.y == y && slot.area.height > 0
        })
    };
    for y in divider.y..divider.bottom() {
        let sign = match (has_rule(y, true), has_rule(y, false)) {
            (true, true) if y == divider.y => "┬",
            (true, true) => "┼",
            (true, false) => "┤",
            (false, true) => "├",
            (false, false) => "│",
        };
        let column = Rect { y, height: 1, ..divider };
        Pen::new(buffer, column, 0).put(sign, app.theme.style(Role::Border));
    }
}

fn draw_tour(app: &App, buffer: &mut Buffer, area: Rect) {
    let Some(tour) = app.tour.as_ref().filter(|_| area.height > 0) else { return };
    let width = usize::from(area.width.saturating_sub(12)).max(1);
    let close = app.keys(Action::Escape, 1);
    for (row, words) in wrap(&tour.text(), width).iter().take(area.height.into()).enumerate() {
        let mut pen = Pen::new(buffer, area, row as u16);
        pen.put(if row == 0 { " ☞ " } else { "   " }, app.theme.style(Role::Key));
        pen.put(words, app.theme.style(Role::Strong));
        if row == 0 {
            pen.right(&format!("{close} hides "), app.theme.style(Role::Dim));
        }
    }
}

/// Under the smallest size that is supported: that it is too small, where the
/// guest is. The hint row says how to leave.
fn draw_tiny(app: &App, buffer: &mut Buffer, arranged: &Arrangement) {
    let above = arranged.slots.first().map_or(arranged.status.y, |slot| slot.area.y);
    let area = Rect::new(0, 0, app.size.0, above);
    let (columns, rows) = app.size;
    let mut lines = vec![format!("{columns}x{rows}: needs 80x24")];
    if let Some(stop) = app.stop() {
        let frame = stop.frames.get(stop.selected);
        let function = frame.and_then(|frame| frame.function.as_deref()).unwrap_or("");
        let pc = frame.map(|frame| frame.pc).or(stop.registers.pc());
        let pc = pc.map_or("—".to_string(), |pc| pc.to_string());
        let running = if app.state().is_stopped() { "" } else { " (last stop)" };
        lines.push(format!("{pc} {}{running}", printable(function)));
    } else if let State::Connecting { why } | State::Lost { why } = app.state() {
        lines.push(printable(why));
    }
    let wrapped = lines.iter().flat_map(|line| wrap(line, columns.max(1).into()));
    for (row, line) in wrapped.take(area.height.into()).enumerate() {
        let role = if row == 0 { Role::Warning } else { Role::Text };
        Pen::new(buffer, area, row as u16).put(&line, app.theme.style(role));
    }
}
