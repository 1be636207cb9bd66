//! Draws the whole screen from the state. Changes nothing.

use super::app::App;
use super::layout::{Arrangement, PaneId, Size, Slot};
use super::panes::Look;
use super::pen::{Pen, clip, clip_start, wrap};
use super::popups::Popup;
use super::{status, waiting};
use crate::base::text::printable;
use crate::config::keys::Action;
use crate::config::theme::Role;
use crate::session::view::State;
use ratatui::{Frame, buffer::Buffer, layout::Rect};
use unicode_width::UnicodeWidthStr;

/// Draws everything.
pub fn draw(app: &App, frame: &mut Frame<'_>) {
    let arranged = app.arrangement();
    let buffer = frame.buffer_mut();
    for slot in &arranged.slots {
        draw_slot(app, buffer, slot);
    }
    if let Some(divider) = arranged.divider.filter(|_| !app.zoom) {
        draw_divider(app, buffer, divider, &arranged.slots);
    }
    if arranged.size == Size::Tiny {
        draw_tiny(app, buffer, &arranged);
    }
    draw_tour(app, buffer, arranged.tour);
    status::draw_status(app, buffer, arranged.status);
    let screen = Rect::new(0, 0, app.size.0, arranged.status.y).intersection(buffer.area);
    match &app.popup {
        Popup::Output(output) | Popup::Help(output) => output.draw(buffer, screen, app.theme),
        Popup::Leave(leaving) => leaving.draw(buffer, screen, app.state(), app.theme),
        Popup::Command(command) => {
            command.draw_choices(buffer, arranged.line.intersection(buffer.area), app.theme);
        }
        Popup::Confirm(confirm) => confirm.draw(buffer, screen, app.theme),
        Popup::None | Popup::Prompt(_) => {}
    }
    let (cursor, drawn) = status::draw_line(app, buffer, arranged.line);
    if !drawn || arranged.hints != arranged.line {
        status::draw_hints(app, buffer, arranged.hints);
    }
    if let Some(position) = cursor {
        frame.set_cursor_position(position);
    }
}

fn draw_slot(app: &App, buffer: &mut Buffer, slot: &Slot) {
    draw_title(app, buffer, slot);
    let look =
        Look { theme: app.theme, focused: app.focus() == slot.pane, view: app.view.as_deref() };
    let inside = slot.inside();
    match slot.pane {
        PaneId::Source => {
            if app.stop().is_some() || !app.source.is_empty() {
                app.source.draw(buffer, inside, &look);
                waiting::draw_over(app, buffer, inside);
            } else {
                waiting::draw_whole(app, buffer, inside);
            }
        }
        PaneId::Console => app.console.draw(buffer, inside, &look),
        PaneId::Log => app.log.draw(buffer, inside, &look),
        PaneId::Stack => app.stack.draw(buffer, inside, &look),
        PaneId::Variables => app.variables.draw(buffer, inside, &look),
        PaneId::Watches => app.watches.draw(buffer, inside, &look),
        PaneId::Tasks => app.tasks.draw(buffer, inside, &look),
        PaneId::Cpus => app.cpus.draw(buffer, inside, &look),
        PaneId::Modules => app.modules.draw(buffer, inside, &look),
        PaneId::Memory => app.memory.draw(buffer, inside, &look),
        PaneId::Registers => app.registers.draw(buffer, inside, &look),
        PaneId::Breakpoints => app.breakpoints.draw(buffer, inside, &look),
    }
}

/// `─ 4 Stack ───── last stop ─`: the key, the name (or names, where panes
/// share the place), and what the pane wants said.
fn draw_title(app: &App, buffer: &mut Buffer, slot: &Slot) {
    let focused = slot.tabs.contains(&app.focus());
    let rule = app.theme.style(if focused { Role::Focused } else { Role::Border });
    let dim = app.theme.style(Role::Dim);
    let running = app.stop().is_some() && !app.state().is_stopped();
    let (text, note, warn) = match slot.pane {
        PaneId::Source => {
            let (mut path, note) = app.source.title();
            let frame = app.stop().and_then(|stop| stop.frames.get(stop.selected));
            let shown = app.source.file().map(|(file, _)| file);
            if let Some(module) = frame.and_then(|frame| frame.module.as_ref())
                && frame.and_then(|frame| frame.file.as_deref()) == shown
            {
                path = format!("{path} [{}]", printable(module));
            }
            (path, note, app.source.is_guess() || !app.source.has_text())
        }
        PaneId::Stack | PaneId::Variables | PaneId::Registers if running => {
            (String::new(), "at the last stop".into(), false)
        }
        PaneId::Watches | PaneId::Tasks | PaneId::Cpus if running => {
            (String::new(), "at the last stop".into(), false)
        }
        PaneId::Tasks => (String::new(), app.tasks.note(app.stop()), false),
        PaneId::Modules => (String::new(), app.modules.note(app.view.as_deref()), false),
        PaneId::Memory => (app.memory.title(), String::new(), false),
        PaneId::Stack | PaneId::Registers | PaneId::Variables => {
            (String::new(), frame_note(app, slot.pane), false)
        }
        _ => Default::default(),
    };
    let mut pen = Pen::new(buffer, slot.area, 0);
    pen.put("─", rule);
    let titles = |name: fn(PaneId) -> &'static str, sign: usize| -> usize {
        slot.tabs.iter().map(|pane| name(*pane).len() + sign).sum()
    };
    let room = usize::from(slot.area.width).saturating_sub(note.width() + 4);
    let short = titles(PaneId::title, 5) > room && slot.tabs.len() > 1;
    // Many panes in little room: the others by their keys alone.
    let keys_only = short && titles(PaneId::short, 3) + 2 > usize::from(slot.area.width);
    for (index, pane) in slot.tabs.iter().enumerate() {
        let role = match (*pane == slot.pane, *pane == app.focus()) {
            (true, true) => Role::Focused,
            (true, false) => Role::Strong,
            _ => Role::Dim,
        };
        let name = if short { pane.short() } else { pane.title() };
        let gap = match (index, short) {
            (0, _) => " ",
            (_, true) => "│",
            (_, false) => "│ ",
        };
        pen.put(gap, if index == 0 { rule } else { dim });
        pen.put(&pane.key().to_string(), app.theme.style(Role::Key));
        if !keys_only || pane == &slot.pane {
            pen.put(" ", rule).put(name, app.theme.style(role));
        }
        if !short || index + 1 == slot.tabs.len() {
            pen.put(" ", rule);
        }
    }
    // The path matters more than how it was found, of which a word must be seen.
    let note = clip(&note, pen.room().saturating_sub(text.width() + 5).max(12));
    let text = clip_start(&text, pen.room().saturating_sub(note.width() + 5));
    if !text.is_empty() {
        pen.put(&text, app.theme.style(Role::Text)).put(" ", rule);
    }
    let tail = if note.is_empty() { 0 } else { note.width() + 3 };
    pen.put(&"─".repeat(pen.room().saturating_sub(tail)), rule);
    if !note.is_empty() {
        let role = if warn { Role::Warning } else { Role::Dim };
        pen.put(" ", rule).put(&note, app.theme.style(role)).put(" ", rule);
        pen.put(&"─".repeat(pen.room()), rule);
    }
}

/// Which frame variables and registers belong to, when it is not the innermost;
/// whose stack it is, when it is not that of the stop.
fn frame_note(app: &App, pane: PaneId) -> String {
    let Some(stop) = app.stop() else { return String::new() };
    if pane != PaneId::Stack {
        return if stop.selected == 0 { String::new() } else { format!("frame {}", stop.selected) };
    }
    let Some(subject) = stop.subject.as_ref().filter(|subject| !subject.stopped_here) else {
        return String::new();
    };
    let pid = subject.pid.map_or(String::new(), |pid| format!("{pid} "));
    let comm = subject.comm.as_deref().map_or(String::new(), printable);
    format!("{pid}{comm}: {}", printable(&subject.doing))
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
    let close = app.keymap.keys(Action::Escape, 1);
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
