//! The rows at the bottom: the facts that must always be seen, what was said
//! last, and the keys that matter now.

use super::app::App;
use super::layout::PaneId;
use super::pen::{Pen, clip};
use super::popups::Popup;
use crate::base::text::{bytes, duration, printable};
use crate::config::theme::Role;
use crate::config::{actions::Action, keymap};
use crate::session::request::Level;
use crate::session::view::{Match, State, SymbolsView, View};
use ratatui::{buffer::Buffer, layout::Rect, style::Style};
use unicode_width::UnicodeWidthStr;

/// A piece of the status row: text and what it is.
type Piece = (String, Role);

/// A fact with how much it may be missed: what has the highest number goes
/// first where there is no room; 0 stays.
type Fact = (u8, Piece);

/// The state in one word.
fn state_word(state: &State) -> (&'static str, Role) {
    match state {
        State::Offline => ("OFFLINE", Role::Running),
        State::Connecting { .. } => ("CONNECTING", Role::Stopped),
        State::Knocking => ("CONNECTED", Role::Stopped),
        State::Running { .. } => ("RUNNING", Role::Running),
        State::BreakingIn { .. } => ("BREAKING IN", Role::Stopped),
        State::Stopped => ("STOPPED", Role::Stopped),
        State::Lost { .. } => ("LINK LOST", Role::Error),
    }
}

/// Draws the status row. What matters less is left out where there is no room.
pub fn draw_status(app: &App, buffer: &mut Buffer, area: Rect) {
    let (word, role) = match app.view.as_ref().and_then(|view| view.link.replay.as_ref()) {
        Some(_) if app.state().is_stopped() => ("REPLAY", Role::Stopped),
        Some(_) if matches!(app.state(), State::Running { .. }) => ("REPLAY ENDS", Role::Running),
        _ => state_word(app.state()),
    };
    let mut pen = Pen::new(buffer, area, 0);
    pen.put(&format!(" {word} "), app.theme.style(role));
    let Some(view) = app.view.as_deref() else { return };
    let room = pen.room();
    let mut facts = facts(app, view, false);
    if width(&facts) > room {
        facts = self::facts(app, view, true);
    }
    while width(&facts) > room {
        let Some(most) = facts.iter().map(|(rank, _)| *rank).max().filter(|rank| *rank > 0) else {
            break;
        };
        if let Some(at) = facts.iter().rposition(|(rank, _)| *rank == most) {
            facts.remove(at);
        }
    }
    for (index, (_, (text, role))) in facts.iter().enumerate() {
        let gap = if index == 0 { " " } else { " │ " };
        pen.put(gap, app.theme.style(Role::Dim));
        let room = pen.room();
        pen.put(&clip(text, room), app.theme.style(*role));
    }
}

fn facts(app: &App, view: &View, short: bool) -> Vec<Fact> {
    let tiny = app.size.0 < 80;
    [
        why(app, view).map(|(text, role)| {
            const SHORT: usize = 24;
            (0, (if short { clip(&text, SHORT) } else { text }, role))
        }),
        view.link.replay.as_ref().map(|replay| (0, (replay.text(), Role::Text))),
        place(app).filter(|_| tiny).map(|piece| (0, piece)),
        who(view).map(|piece| (2, piece)),
        Some((1, identity(view))),
        symbols(view).map(|piece| (1, piece)),
        cost(view, short).map(|piece| (3, piece)),
        rate(view).map(|piece| (4, piece)),
    ]
    .into_iter()
    .flatten()
    .collect()
}

/// Columns of the facts with the signs between them.
fn width(facts: &[Fact]) -> usize {
    facts.iter().map(|(_, (text, _))| text.width() + 3).sum::<usize>().saturating_sub(2)
}

/// Why it stopped, or how long it has run.
fn why(app: &App, view: &View) -> Option<Piece> {
    match &view.state {
        State::Stopped => {
            let stop = view.stop.as_ref()?;
            let mut text = printable(&stop.reason.text());
            if let Some(returned) = &stop.returned {
                text.push_str(&format!(" = {}", printable(&returned.value)));
            }
            Some((text, Role::Strong))
        }
        State::Running { since, what } => {
            let time = duration(app.now.duration_since(*since));
            let text = match view.stop {
                Some(_) => format!("{} {time}", printable(what)),
                None => time,
            };
            Some((text, Role::Text))
        }
        State::BreakingIn { what, .. } => Some((printable(what), Role::Text)),
        _ => None,
    }
}

/// Where it is, for screens too small to show it otherwise.
fn place(app: &App) -> Option<Piece> {
    let stop = app.stop().filter(|_| app.state().is_stopped())?;
    let frame = stop.frames.get(stop.selected);
    let text = match frame.and_then(|frame| frame.function.as_deref()) {
        Some(function) => printable(function),
        None => frame.map(|frame| frame.pc).or(stop.registers.pc())?.to_string(),
    };
    Some((text, Role::Text))
}

fn who(view: &View) -> Option<Piece> {
    let stop = view.stop.as_ref().filter(|_| view.state.is_stopped())?;
    let cpu = stop.cpu.map(|cpu| format!("CPU{cpu}"));
    let pid = stop.pid.map(|pid| format!("pid {pid}"));
    let comm = stop.comm.as_deref().map(printable);
    let task = pid.into_iter().chain(comm).collect::<Vec<_>>().join(" ");
    let parts: Vec<_> = cpu.into_iter().chain(Some(task).filter(|t| !t.is_empty())).collect();
    (!parts.is_empty()).then(|| (parts.join(" · "), Role::Text))
}

fn identity(view: &View) -> Piece {
    let release = view.target.release.as_deref().map_or(String::new(), printable);
    let gap = if release.is_empty() { "" } else { " " };
    let (words, role) = match (view.target.matches, &view.symbols) {
        (_, SymbolsView::None | SymbolsView::Looking(_)) => ("no vmlinux", Role::Warning),
        (Match::Match, _) => ("✓ match", Role::Good),
        (Match::Mismatch, _) => ("✗ MISMATCH", Role::Error),
        (Match::Trusted, _) => ("! unproven, trusted", Role::Warning),
        (Match::Unknown, _) => ("? unproven", Role::Warning),
    };
    (format!("{release}{gap}{words}"), role)
}

fn symbols(view: &View) -> Option<Piece> {
    match &view.symbols {
        SymbolsView::Loading(part) => {
            let percent = (part.clamp(0.0, 1.0) * 100.0) as u32;
            Some((format!("symbols {percent} %"), Role::Text))
        }
        SymbolsView::Failed(_) => Some(("symbols failed".into(), Role::Error)),
        SymbolsView::NoDebugInfo => Some(("no debug info".into(), Role::Warning)),
        SymbolsView::Looking(_) if view.state.is_stopped() => {
            Some(("looking for the vmlinux".into(), Role::Text))
        }
        SymbolsView::None | SymbolsView::Looking(_) | SymbolsView::Ready => None,
    }
}

/// What this stop has cost on the wire.
fn cost(view: &View, short: bool) -> Option<Piece> {
    let cost = view.stop.as_ref().filter(|_| view.state.is_stopped())?.cost;
    let size = bytes(cost.tx + cost.rx);
    let time = duration(cost.time);
    let text = if short {
        format!("{size} {time}")
    } else {
        format!("{} req · {size} · {time}", cost.packets)
    };
    Some((text, Role::Dim))
}

fn rate(view: &View) -> Option<Piece> {
    let link = &view.link;
    let errors = match link.resends + link.bad_checksums {
        0 => String::new(),
        errors => format!(" {errors} resent"),
    };
    let queue = match link.queue {
        0 => String::new(),
        pieces => format!(" {pieces} to read"),
    };
    (link.rate > 0).then(|| (format!("{}/s{queue}{errors}", bytes(link.rate)), Role::Dim))
}

/// Draws the row for messages, typing and what stays true until it is mended.
/// Returns where the cursor goes when something is being typed, and whether
/// anything was drawn.
pub fn draw_line(app: &App, buffer: &mut Buffer, area: Rect) -> (Option<(u16, u16)>, bool) {
    let typing = match &app.popup {
        Popup::Command(command) => Some((":", &command.line)),
        Popup::Prompt(prompt) => Some((prompt.label(), &prompt.line)),
        _ => None,
    };
    let mut pen = Pen::new(buffer, area, 0);
    if let Some((label, line)) = typing {
        let room = pen.room().saturating_sub(label.width() + 1);
        // Long lines scroll so that the cursor is seen.
        let hidden = line.column().saturating_sub(room);
        let shown: String = line.text().chars().skip(hidden).collect();
        pen.put(label, app.theme.style(Role::Key)).put(&shown, Style::new());
        pen.put(&" ".repeat(pen.room()), Style::new());
        let x = area.x + (label.width() + line.column() - hidden) as u16;
        return (Some((x.min(area.right().saturating_sub(1)), area.y)), true);
    }
    let working = app.view.as_ref().and_then(|view| view.working.as_ref());
    let (level, text) = match (&app.message, standing(app)) {
        _ if working.is_some() => {
            let words = working.map_or(String::new(), |words| printable(words));
            (Level::Info, format!("{words}; {} ends it", app.keys(Action::Escape, 1)))
        }
        (Some((level, text)), _) => (*level, text.clone()),
        (None, Some((level, text))) => (level, text),
        (None, None) => return (None, false),
    };
    let (sign, role) = match level {
        Level::Info | Level::Hint => ("", Role::Strong),
        Level::Warning => ("! ", Role::Warning),
        Level::Error => ("✗ ", Role::Error),
    };
    let fill = pen.room();
    let text = clip(&format!(" {sign}{text}"), fill);
    pen.put(&text, app.theme.style(role)).put(&" ".repeat(fill), Style::new());
    (None, true)
}

/// What is wrong until somebody mends it.
fn standing(app: &App) -> Option<(Level, String)> {
    let view = app.view.as_deref()?;
    if view.target.matches == Match::Mismatch {
        let id = |id: &Option<String>| {
            id.as_deref()
                .map_or("unknown".into(), |id| printable(&id.chars().take(12).collect::<String>()))
        };
        let text = format!(
            "this vmlinux is not the guest's: guest {}…, file {}…; no symbol is shown; :trust-symbols overrides",
            id(&view.target.build_id),
            id(&view.target.vmlinux_build_id)
        );
        return Some((Level::Error, text));
    }
    match &view.symbols {
        SymbolsView::Failed(why) => Some((Level::Error, format!("symbols: {}", printable(why)))),
        SymbolsView::Looking(words) if view.state.is_stopped() => {
            Some((Level::Info, printable(words)))
        }
        _ => None,
    }
}

/// Draws the keys that matter now.
pub fn draw_hints(app: &App, buffer: &mut Buffer, area: Rect) {
    let mut pen = Pen::new(buffer, area, 0);
    for (_, keys, hint) in hints(app, pen.room()) {
        pen.put(" ", Style::new()).put(&keys, app.theme.style(Role::Key));
        pen.put(" ", Style::new()).put(hint, app.theme.style(Role::Dim)).put(" ", Style::new());
    }
}

/// What the hint at a column of the screen is about.
pub fn hint_at(app: &App, area: Rect, column: u16) -> Option<Action> {
    // Where it shares a row with a message or typing, that is there instead.
    let shared = app.arrangement().line == area;
    if shared && (app.message.is_some() || standing(app).is_some()) {
        return None;
    }
    let mut x = usize::from(area.x);
    for (action, keys, hint) in hints(app, area.width.into()) {
        let end = x + keys.width() + hint.width() + 3;
        if (x + 1..end - 1).contains(&column.into()) {
            return Some(action);
        }
        x = end;
    }
    None
}

/// The hints that fit: an action, its keys, a word.
fn hints(app: &App, mut room: usize) -> Vec<(Action, String, &'static str)> {
    let scopes = app.scopes();
    let mut shown = Vec::new();
    for action in wanted_hints(app) {
        let keys = app.keymap.hint_keys(action, &scopes);
        let hint = keymap::hint(action, &scopes);
        let Some(left) = room.checked_sub(keys.width() + hint.width() + 3) else { break };
        room = left;
        shown.push((action, keys, hint));
    }
    shown
}

fn wanted_hints(app: &App) -> Vec<Action> {
    use Action::{
        Back, BreakAtInit, Command, CommandLine, CycleCode, CycleLevel, CycleUnit,
        DeleteBreakpoint, Edit, EnableBreakpoint, Escape, Filter, GoTo, Help, Leave, MemoryAt,
        NextMatch, Open, PreviousMatch, Search, ShowWhole, Sort, ToggleBreakpoint, Unwatch, Watch,
        Zoom,
    };
    match &app.popup {
        Popup::Command(_)
        | Popup::Prompt(_)
        | Popup::Leave(_)
        | Popup::Crash
        | Popup::Palette(_)
        | Popup::Confirm(_) => {
            return Vec::new();
        }
        Popup::Output(_) | Popup::Help(_) | Popup::Peek(_) => {
            return vec![Escape, Action::PageDown, Action::PageUp, CommandLine];
        }
        Popup::None if !app.pending.is_empty() => return vec![Escape],
        // Every other key is the guest's.
        Popup::None if app.console.typing => return vec![Action::EndTyping],
        Popup::None => {}
    }
    let mut hints = Vec::new();
    if app.size.0 < 80 {
        hints.extend([Leave, Help]);
    }
    if app.source.search.is_some() && app.focus() == PaneId::Source {
        hints.extend([NextMatch, PreviousMatch, Escape]);
    }
    match app.focus() {
        PaneId::Stack => hints.push(Open),
        PaneId::Registers => hints.extend([Open, Edit, CycleUnit, MemoryAt]),
        PaneId::Variables => hints.extend([Open, ShowWhole, Watch, MemoryAt, Edit]),
        PaneId::Watches => hints.extend([Watch, Open, Unwatch, MemoryAt]),
        PaneId::Tasks => hints.extend([Open, Filter, Sort]),
        PaneId::Cpus => hints.push(Open),
        PaneId::Modules => hints.extend([Open, BreakAtInit, Filter, Sort]),
        PaneId::Memory => hints.extend([MemoryAt, Open, Back, CycleUnit]),
        PaneId::Packets => hints.extend([Open, Filter]),
        PaneId::Log => hints.extend([Open, Filter, CycleLevel]),
        PaneId::Dmesg => hints.extend([Open, Filter, CycleLevel]),
        PaneId::Console if !app.state().is_stopped() => {
            hints.extend([Action::TypeConsole, Filter]);
        }
        PaneId::Console => hints.push(Filter),
        PaneId::Disassembly => hints.extend([Open, Back, GoTo]),
        PaneId::Breakpoints => hints.extend([Open, EnableBreakpoint, Edit, DeleteBreakpoint]),
        PaneId::Source => {}
    }
    match app.state() {
        State::Stopped => {
            let run = ["continue", "next", "step", "finish"];
            hints.extend(run.map(Command));
            hints.extend([ToggleBreakpoint, Help, Leave, CommandLine]);
            if app.focus() == PaneId::Source {
                hints.extend([Open, ShowWhole]);
            }
            hints.extend([Command("up"), Command("down"), CycleCode]);
        }
        State::Running { .. } | State::BreakingIn { .. } => {
            hints.extend([Command("interrupt"), ToggleBreakpoint]);
        }
        _ => {}
    }
    for hint in [Help, Leave, CommandLine, Search, Zoom] {
        if !hints.contains(&hint) {
            hints.push(hint);
        }
    }
    hints
}
