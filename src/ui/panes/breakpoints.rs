//! Breakpoints as the user wished them, and what became of each.

use super::{Look, Outcome, file_name, of_module};
use crate::base::text::printable;
use crate::config::keys::Action;
use crate::config::theme::Role;
use crate::session::request::Request;
use crate::session::view::{BreakpointView, View};
use crate::ui::list::List;
use crate::ui::pen::Pen;
use ratatui::{buffer::Buffer, layout::Rect, style::Style};
use std::collections::BTreeSet;

/// What the pane keeps: a cursor.
#[derive(Debug, Default)]
pub struct Breakpoints {
    /// The cursor.
    pub list: List,
}

/// The sign of a breakpoint's state, the same in every pane.
pub fn sign(state: &str) -> (&'static str, Role) {
    match state {
        "armed" => ("●", Role::Armed),
        "pending" => ("○", Role::Waiting),
        "disabled" => ("◐", Role::Waiting),
        _ => ("✗", Role::Error),
    }
}

impl Breakpoints {
    /// Takes in a new view.
    pub fn follow(&mut self, view: &View) {
        self.list.fit(view.breakpoints.len(), self.list.height);
    }

    /// Does what a key asks.
    pub fn act(&mut self, action: Action, view: Option<&View>) -> Option<Outcome> {
        if self.list.act(action) {
            return None;
        }
        let wish = view?.breakpoints.get(self.list.cursor)?;
        match action {
            Action::Open => Some(Outcome::Show(place(wish))),
            Action::DeleteBreakpoint => Some(Outcome::Ask(Request::Delete(vec![wish.number]))),
            Action::EnableBreakpoint => {
                let enable = wish.state == "disabled";
                Some(Outcome::Ask(Request::Enable(enable, vec![wish.number])))
            }
            _ => None,
        }
    }

    /// Draws the breakpoints.
    pub fn draw(&self, buffer: &mut Buffer, area: Rect, look: &Look<'_>) {
        let wishes = look.view.map_or(&[][..], |view| &view.breakpoints);
        if wishes.is_empty() {
            return look.placeholder(buffer, area, "none; b sets one at the cursor");
        }
        for (row, index) in self.list.seen().enumerate() {
            if let Some(wish) = wishes.get(index) {
                draw_one(buffer, area, row as u16, wish, look);
            }
            look.cursor(buffer, area, row as u16, index == self.list.cursor);
        }
    }
}

/// The location to look up: where it landed, else as the user wrote it.
fn place(wish: &BreakpointView) -> String {
    match (&wish.file, wish.line, wish.sites.first()) {
        (Some(file), Some(line), _) => format!("{file}:{line}"),
        (_, _, Some(site)) => format!("*{site}"),
        _ => wish.location.clone(),
    }
}

fn draw_one(buffer: &mut Buffer, area: Rect, row: u16, wish: &BreakpointView, look: &Look<'_>) {
    let (mark, role) = sign(wish.state);
    let hits = match wish.hits {
        0 => String::new(),
        1 => "1 hit".into(),
        hits => format!("{hits} hits"),
    };
    let mut pen = Pen::new(buffer, area, row);
    pen.put(" ", Style::new()).put(mark, look.style(role));
    pen.put(&format!("{:>3} ", wish.number), look.style(Role::Dim));
    if wish.kind.contains("catch") {
        pen.put(wish.kind, look.style(Role::Type)).put(" ", Style::new());
    }
    pen.put(&printable(&wish.location), look.style(Role::Strong));
    if wish.kind == "temporary" {
        pen.put(" once", look.style(Role::Type));
    }
    if wish.state != "armed" {
        pen.put(" ", Style::new()).put(wish.state, look.style(role));
    }
    if let Some(why) = &wish.why {
        pen.put(": ", look.style(Role::Dim)).put(&printable(why), look.style(Role::Dim));
    } else if let (Some(file), Some(line)) = (&wish.file, wish.line) {
        let landed = format!("{}:{line}", file_name(file));
        if !wish.location.ends_with(&landed) {
            pen.put(" → ", look.style(Role::Dim)).put(&printable(&landed), look.style(Role::Dim));
        }
    }
    if wish.sites.len() > 1 {
        pen.put(&format!(" ×{}", wish.sites.len()), look.style(Role::Dim));
    }
    let modules: BTreeSet<&str> = wish.places.iter().filter_map(|p| p.module.as_deref()).collect();
    if !modules.is_empty() {
        let names = modules.into_iter().collect::<Vec<_>>().join(",");
        pen.put(&of_module(&names), look.style(Role::Type));
    }
    pen.right(&hits, look.style(Role::Text));
}
