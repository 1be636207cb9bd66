//! The title row of a place: its tabs, each with its key, and what the pane
//! that is shown wants said. Drawing and clicking ask the same function where
//! the tabs are.

use super::app::App;
use super::layout::{PaneId, Slot};
use super::panes::breakpoints::Breakpoints;
use super::pen::{Pen, clip, clip_start};
use super::typing;
use crate::base::text::printable;
use crate::config::theme::Role;
use ratatui::buffer::Buffer;
use unicode_width::UnicodeWidthStr;

/// A pane's name in a title row.
struct Tab {
    pane: PaneId,
    /// What is before it.
    gap: &'static str,
    /// Where there is room.
    name: Option<&'static str>,
    /// Whether a space follows.
    spaced: bool,
}

impl Tab {
    /// Columns of key and name, without what is around them.
    fn width(&self) -> usize {
        1 + self.name.map_or(0, |name| name.len() + 1)
    }
}

/// The pane whose tab is at a column of the screen, in the title row of `slot`.
pub fn tab_at(app: &App, slot: &Slot, column: u16) -> Option<PaneId> {
    let (_, note, _) = words(app, slot);
    let mut x = usize::from(slot.area.x) + 1;
    let column = usize::from(column);
    for tab in tabs(slot, &note) {
        x += tab.gap.width();
        if (x..x + tab.width()).contains(&column) {
            return Some(tab.pane);
        }
        x += tab.width() + usize::from(tab.spaced);
    }
    None
}

fn tabs(slot: &Slot, note: &str) -> Vec<Tab> {
    let titles = |name: fn(PaneId) -> &'static str, sign: usize| -> usize {
        slot.tabs.iter().map(|pane| name(*pane).len() + sign).sum()
    };
    let room = usize::from(slot.area.width).saturating_sub(note.width() + 4);
    let short = titles(PaneId::title, 5) > room && slot.tabs.len() > 1;
    // Many panes in little room: the last ones by their keys alone.
    let alone = 2 * slot.tabs.len() + slot.pane.short().len() + 3;
    let mut spare = usize::from(slot.area.width).saturating_sub(alone);
    if short {
        spare = spare.saturating_sub(note.width().min(12));
    }
    let tab = |(index, pane): (usize, &PaneId)| {
        let name = if short { pane.short() } else { pane.title() };
        let named = pane == &slot.pane || !short || name.len() < spare;
        if !named {
            spare = 0;
        } else if short && pane != &slot.pane {
            spare -= name.len() + 1;
        }
        Tab {
            pane: *pane,
            gap: match (index, short) {
                (0, _) => " ",
                (_, true) => "│",
                (_, false) => "│ ",
            },
            name: named.then_some(name),
            spaced: !short || index + 1 == slot.tabs.len(),
        }
    };
    slot.tabs.iter().enumerate().map(tab).collect()
}

/// `─ 4 Stack ───── last stop ─`: the key, the name (or names, where panes
/// share the place), and what the pane wants said.
pub fn draw_title(app: &App, buffer: &mut Buffer, slot: &Slot) {
    let focused = slot.tabs.contains(&app.focus());
    let rule = app.theme.style(if focused { Role::Focused } else { Role::Border });
    let dim = app.theme.style(Role::Dim);
    let (text, note, warn) = words(app, slot);
    let mut pen = Pen::new(buffer, slot.area, 0);
    pen.put("─", rule);
    for (index, tab) in tabs(slot, &note).iter().enumerate() {
        let role = match (tab.pane == slot.pane, tab.pane == app.focus()) {
            (true, true) => Role::Focused,
            (true, false) => Role::Strong,
            _ => Role::Dim,
        };
        pen.put(tab.gap, if index == 0 { rule } else { dim });
        pen.put(&tab.pane.key().to_string(), app.theme.style(Role::Key));
        if let Some(name) = tab.name {
            pen.put(" ", rule).put(name, app.theme.style(role));
        }
        if tab.spaced {
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

/// What the pane that is shown wants said: what it shows, a note at the right
/// edge, and whether that is a warning.
fn words(app: &App, slot: &Slot) -> (String, String, bool) {
    let running = app.stop().is_some() && !app.state().is_stopped();
    match slot.pane {
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
        PaneId::Breakpoints => (String::new(), Breakpoints::note(app.view.as_deref()), false),
        PaneId::Memory => (app.memory.title(), String::new(), false),
        PaneId::Dmesg => (String::new(), app.dmesg.note(running), false),
        PaneId::Packets => (String::new(), app.packets.note(app.view.as_deref()), false),
        PaneId::Log => (String::new(), app.log.note(), false),
        PaneId::Console => {
            let (note, warn) = typing::note(app);
            (String::new(), note, warn)
        }
        PaneId::Disassembly => {
            let (text, note) = app.disassembly.title(running);
            (text, note, false)
        }
        PaneId::Registers => {
            let focused = app.focus() == PaneId::Registers;
            let own = if focused { app.registers.note(app.stop()) } else { String::new() };
            let parts = [frame_note(app, slot.pane), own];
            let parts: Vec<String> = parts.into_iter().filter(|part| !part.is_empty()).collect();
            (String::new(), parts.join(", "), false)
        }
        PaneId::Stack | PaneId::Variables => (String::new(), frame_note(app, slot.pane), false),
        PaneId::Watches | PaneId::Cpus => Default::default(),
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
