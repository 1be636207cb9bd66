//! Breakpoints as the user wished them, and what became of each.

use super::{Look, Outcome, file_name, of_module};
use crate::base::text::printable;
use crate::config::actions::Action;
use crate::config::theme::Role;
use crate::session::request::Request;
use crate::session::view::{BreakpointView, View};
use crate::session::watching::HardwareView;
use crate::ui::list::List;
use crate::ui::pen::{Pen, clip};
use ratatui::{buffer::Buffer, layout::Rect, style::Style};
use std::collections::BTreeSet;
use unicode_width::UnicodeWidthStr;

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
    /// How many debug registers are in use, for the title.
    pub fn note(view: Option<&View>) -> String {
        match view.map(|view| view.hardware) {
            Some(HardwareView { used: used @ 1.., slots }) => format!("hw {used}/{slots}"),
            _ => String::new(),
        }
    }

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
            Action::Edit if wish.kind.contains("catch") => {
                Some(Outcome::Say("a catch has no condition".into()))
            }
            Action::Edit => {
                let condition = wish.conduct.condition.as_deref().unwrap_or_default();
                Some(Outcome::Command(format!("condition {} {condition}", wish.number)))
            }
            Action::EditIgnore => {
                let ignore = match wish.conduct.ignore {
                    0 => String::new(),
                    count => count.to_string(),
                };
                Some(Outcome::Command(format!("ignore {} {ignore}", wish.number)))
            }
            Action::EditCommands => {
                let commands = wish.conduct.commands.join("; ");
                Some(Outcome::Command(format!("commands {} {commands}", wish.number)))
            }
            _ => None,
        }
    }

    /// Draws the breakpoints.
    pub fn draw(&self, buffer: &mut Buffer, area: Rect, look: &Look<'_>) {
        let wishes = look.view.map_or(&[][..], |view| &view.breakpoints);
        if wishes.is_empty() {
            let key = look.key(Action::ToggleBreakpoint);
            return look.placeholder(buffer, area, &format!("none; {key} sets one at the cursor"));
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
    let hits = match (wish.hits, wish.conduct.passed) {
        (0, 0) => String::new(),
        (1, 0) => "1 hit".into(),
        (hits, 0) => format!("{hits} hits"),
        (0, passed) => format!("passed {passed}"),
        (hits, passed) => format!("{hits} hits, passed {passed}"),
    };
    let mut pen = Pen::new(buffer, area, row);
    pen.put(" ", Style::new()).put(mark, look.style(role));
    pen.put(&format!("{:>3} ", wish.number), look.style(Role::Dim));
    let hard = wish.kind.starts_with("hw b") || wish.kind.starts_with("hw t");
    if wish.kind.contains("catch") || wish.watch.is_some() {
        let kind = wish.kind.replace("hw watchpoint", "watch");
        pen.put(kind.strip_suffix("point").unwrap_or(&kind), look.style(Role::Type))
            .put(" ", Style::new());
    }
    if hard {
        pen.put("hw ", look.style(Role::Type));
    }
    pen.put(&printable(&wish.location), look.style(Role::Strong));
    if wish.kind.ends_with("temporary") {
        pen.put(" once", look.style(Role::Type));
    }
    draw_conduct(&mut pen, wish, look, hits.width() + 1);
    // Counts are what one looks for here.
    let fits =
        |pen: &Pen<'_>, text: &str| hits.is_empty() || pen.room() > text.width() + hits.width();
    if wish.state != "armed" {
        pen.put(" ", Style::new()).put(wish.state, look.style(role));
    }
    if let Some(why) = &wish.why {
        pen.put(": ", look.style(Role::Dim)).put(&printable(why), look.style(Role::Dim));
    } else if let (Some(file), Some(line)) = (&wish.file, wish.line) {
        let landed = format!("{}:{line}", file_name(file));
        let landed = format!(" → {}", printable(&landed));
        if !wish.location.ends_with(&landed[" → ".len()..]) && fits(&pen, &landed) {
            pen.put(&landed, look.style(Role::Dim));
        }
    }
    if let Some(watch) = &wish.watch {
        pen.put(" = ", look.style(Role::Dim)).put(&printable(&watch.value), look.style(Role::Text));
    }
    if wish.sites.len() > 1 {
        pen.put(&format!(" ×{}", wish.sites.len()), look.style(Role::Dim));
    }
    let modules: BTreeSet<&str> = wish.places.iter().filter_map(|p| p.module.as_deref()).collect();
    if !modules.is_empty() {
        let names = modules.into_iter().collect::<Vec<_>>().join(",");
        let names = of_module(&names);
        if fits(&pen, &names) {
            pen.put(&names, look.style(Role::Type));
        }
    }
    pen.right(&hits, look.style(Role::Text));
}

/// When it counts and what it does, cut so that `keep` columns are left.
fn draw_conduct(pen: &mut Pen<'_>, wish: &BreakpointView, look: &Look<'_>, keep: usize) {
    let conduct = &wish.conduct;
    let mut put = |text: &str, role: Role| {
        let room = pen.room().saturating_sub(keep);
        pen.put(&clip(&printable(text), room), look.style(role));
    };
    let scope = conduct.scope.words();
    if !scope.is_empty() {
        put(&format!(" {scope}"), Role::Type);
    }
    if let Some(condition) = &conduct.condition {
        put(" if ", Role::Dim);
        put(condition, Role::Text);
    }
    if conduct.ignore > 0 {
        put(&format!(" ignore {}", conduct.ignore), Role::Type);
    }
    if let Some(log) = &conduct.log {
        put(" prints ", Role::Dim);
        put(log, Role::Text);
    }
    if !conduct.commands.is_empty() {
        put(" does ", Role::Dim);
        put(&conduct.commands.join("; "), Role::Text);
    }
    if let Some(after) = &conduct.after {
        put(&format!(" ({after})"), Role::Dim);
    }
}
