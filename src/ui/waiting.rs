//! What is shown while the guest is not stopped: what is going on, and what
//! the user can do about it.

use super::app::App;
use super::pen::{Pen, wrap};
use crate::base::text::printable;
use crate::config::actions::Action;
use crate::config::theme::Role;
use crate::session::view::{State, SymbolsView, View};
use ratatui::{
    buffer::Buffer,
    layout::Rect,
    style::Style,
    widgets::{Block, BorderType, Clear, Widget},
};

/// A heading and paragraphs; a paragraph that begins with `$` is something to
/// be typed, drawn as such.
struct Words {
    heading: String,
    text: Vec<String>,
}

fn words(app: &App) -> Option<Words> {
    let keys = |action| app.keys(action, 3);
    let view = app.view.as_deref();
    let at = view.map_or("", |view| &view.target.connect);
    let (heading, text) = match app.state() {
        State::Stopped => return None,
        State::Offline if view.is_none() => ("Starting".into(), Vec::new()),
        State::Offline => (
            "Offline: symbols and source only".to_string(),
            vec![format!("{} goes to a function or line.", keys(Action::GoTo))],
        ),
        State::Connecting { why } => {
            (format!("Waiting for {at}"), connecting(why, at, &app.keys(Action::Leave, 1)))
        }
        State::Knocking => (
            format!("Connected to {at}"),
            vec!["Finding out what listens: a stopped guest, a running one, kdb.".into()],
        ),
        State::Running { what, .. } => ("The guest is running".to_string(), vec![what.clone()]),
        State::BreakingIn { what, .. } => ("Stopping the guest".to_string(), vec![what.clone()]),
        State::Lost { why } => (
            "The link is lost".to_string(),
            vec![why.clone(), "It is tried again until it is back.".to_string()],
        ),
    };
    let apart: Vec<String> = text.iter().map(|words| commands_apart(words)).collect();
    let text = apart.iter().flat_map(|t| t.lines()).map(printable).filter(|t| !t.is_empty());
    Some(Words { heading: printable(&heading), text: text.collect() })
}

/// What is to be typed stands on a line of its own, whole, so that it can be
/// copied: `… as root: echo g > …` becomes two lines.
fn commands_apart(words: &str) -> String {
    let typed = ["kgdb-tui relay ", "echo g "];
    let begins = typed.iter().filter_map(|word| words.find(&format!(": {word}"))).min();
    match begins {
        Some(at) => format!("{}:\n$ {}", &words[..at], &words[at + 2..]),
        None => words.to_string(),
    }
}

/// What to do where nothing listens: the relay's own command line.
fn connecting(why: &str, at: &str, leave: &str) -> Vec<String> {
    let mut text = vec![why.to_string()];
    let port = at.rsplit_once(':').map(|(_, port)| port);
    let is_tcp = !at.contains("unix:") && !at.contains("serial:") && !at.contains("exec:");
    if why.contains("kgdb-tui relay ") {
        // It says itself what to start.
    } else if let Some(port) = port.filter(|port| is_tcp && port.parse::<u16>().is_ok()) {
        text.push("A relay makes the guest's serial port reachable, for example:".into());
        text.push(format!("$ kgdb-tui relay unix:/tmp/com_guest tcp-listen:{port}"));
    }
    text.push(format!("It is tried again until it is there; {leave} leaves."));
    text
}

fn symbols_line(view: &View) -> Option<String> {
    match &view.symbols {
        SymbolsView::None => {
            Some("No vmlinux is given (--vmlinux FILE) or found: no source.".into())
        }
        SymbolsView::Looking(words) => Some(printable(words)),
        SymbolsView::Loading(part) => {
            const CELLS: usize = 24;
            let full = (part.clamp(0.0, 1.0) * CELLS as f32) as usize;
            let bar = format!("{}{}", "█".repeat(full), "░".repeat(CELLS - full));
            Some(format!("Symbols {bar} {:>3.0} %", part * 100.0))
        }
        SymbolsView::Failed(why) => Some(format!("Symbols: {}", printable(why))),
        SymbolsView::NoDebugInfo => Some("The vmlinux has no debug information.".into()),
        SymbolsView::Ready => {
            let file = view.target.vmlinux.as_ref();
            file.map(|file| {
                format!("Symbols of {} are loaded.", printable(&file.display().to_string()))
            })
        }
    }
}

/// Fills the source pane before the first stop.
pub fn draw_whole(app: &App, buffer: &mut Buffer, area: Rect) {
    let Some(words) = words(app) else {
        Pen::new(buffer, area, 0).put(" reading …", app.theme.style(Role::Dim));
        return;
    };
    let mut rows = rows(&words, area.width);
    if let Some(line) = app.view.as_deref().and_then(symbols_line) {
        rows.push((String::new(), Role::Text));
        rows.extend(wrap(&line, width(area.width)).into_iter().map(|row| (row, Role::Dim)));
    }
    let used = rows.len() as u16;
    let top = area.height.saturating_sub(used) / 3;
    let left = if area.width > 60 { (area.width - 60) / 4 } else { 1 };
    for (row, (text, role)) in rows.iter().enumerate() {
        let mut pen = Pen::new(buffer, area, top + row as u16);
        pen.put(&" ".repeat(left.into()), Style::new()).put(text, app.theme.style(*role));
    }
}

/// Lies over the bottom of the source pane when the last stop is shown and
/// something needs to be known or done.
pub fn draw_over(app: &App, buffer: &mut Buffer, area: Rect) {
    if matches!(app.state(), State::Running { .. } | State::Stopped | State::Offline) {
        return;
    }
    let Some(words) = words(app) else { return };
    let rows = rows(&words, area.width.saturating_sub(4));
    let height = (rows.len() as u16 + 2).min(area.height);
    let place = Rect { y: area.bottom() - height, height, ..area };
    Clear.render(place, buffer);
    let block = Block::bordered()
        .border_type(BorderType::Rounded)
        .border_style(app.theme.style(Role::Warning));
    let inside = block.inner(place);
    block.render(place, buffer);
    for (row, (text, role)) in rows.iter().enumerate() {
        let mut pen = Pen::new(buffer, inside, row as u16);
        pen.put(" ", Style::new()).put(text, app.theme.style(*role));
    }
}

fn width(width: u16) -> usize {
    usize::from(width.saturating_sub(4)).min(76)
}

fn rows(words: &Words, columns: u16) -> Vec<(String, Role)> {
    let mut rows = vec![(words.heading.clone(), Role::Warning)];
    for paragraph in &words.text {
        match paragraph.strip_prefix("$ ") {
            Some(typed) => rows.push((format!("    {typed}"), Role::Strong)),
            None => {
                let wrapped = wrap(paragraph, width(columns));
                rows.extend(wrapped.into_iter().map(|row| (row, Role::Text)));
            }
        }
    }
    rows
}
