//! The guest's modules: where each is, who uses it, and how far its symbols are.

use super::{Look, NEEDS_VMLINUX, Outcome};
use crate::base::text::{bytes, printable};
use crate::config::actions::Action;
use crate::config::theme::Role;
use crate::session::request::{BreakKind, Breaking, Request};
use crate::session::view::{ModuleView, SymbolsView, View};
use crate::ui::list::List;
use crate::ui::pen::Pen;
use ratatui::{buffer::Buffer, layout::Rect, style::Style};
use std::fmt::Write;

/// What the pane keeps: a cursor, a filter and an order.
#[derive(Debug, Default)]
pub struct Modules {
    /// The cursor.
    pub list: List,
    /// Only modules with this text.
    pub filter: String,
    sort: Sort,
    /// The module the cursor is on; it stays there when others come and go.
    at: Option<String>,
}

/// An order of modules.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Sort {
    /// As the guest lists them: the newest first.
    #[default]
    List,
    Name,
    Address,
    /// The largest first.
    Size,
    /// What lacks symbols first.
    Symbols,
}

/// The sign and the look of a state of symbols. The word stands beside it.
fn sign(symbols: &str) -> (&'static str, Role) {
    match symbols {
        "loaded" => ("●", Role::Good),
        "loading" => ("…", Role::Waiting),
        "no debug info" => ("◐", Role::Waiting),
        "not found" => ("○", Role::Waiting),
        _ => ("✗", Role::Error),
    }
}

impl Modules {
    /// The modules that are shown, in the order they are shown.
    fn rows<'a>(&self, view: &'a View) -> Vec<&'a ModuleView> {
        let text = self.filter.to_lowercase();
        let fits = |module: &&ModuleView| {
            let has = |of: &str| of.to_lowercase().contains(&text);
            has(&module.name) || has(module.state) || has(module.symbols)
        };
        let mut rows: Vec<_> = view.modules.iter().filter(fits).collect();
        match self.sort {
            Sort::List => {}
            Sort::Name => rows.sort_by(|a, b| a.name.cmp(&b.name)),
            Sort::Address => rows.sort_by_key(|module| module.base),
            Sort::Size => rows.sort_by_key(|module| std::cmp::Reverse(module.size)),
            Sort::Symbols => rows.sort_by_key(|module| match sign(module.symbols).1 {
                Role::Error => 0,
                Role::Waiting => 1,
                _ => 2,
            }),
        }
        rows
    }

    /// Takes in a new view.
    pub fn follow(&mut self, view: &View) {
        let rows = self.rows(view);
        let at = self.at.as_ref().and_then(|name| rows.iter().position(|m| m.name == *name));
        self.list.fit(rows.len(), self.list.height);
        if let Some(at) = at {
            self.list.cursor = at;
            self.list.fit(rows.len(), self.list.height);
        }
    }

    /// Shows only modules with a text.
    pub fn filter(&mut self, text: String, view: Option<&View>) {
        self.filter = text;
        if let Some(view) = view {
            self.follow(view);
        }
    }

    /// The order and the filter in words, for the title.
    pub fn note(&self, view: Option<&View>) -> String {
        let filter = match self.filter.as_str() {
            "" => String::new(),
            text => format!("/{}", printable(text)),
        };
        let order = match self.sort {
            Sort::List => "",
            Sort::Name => "by name",
            Sort::Address => "by address",
            Sort::Size => "by size",
            Sort::Symbols => "by symbols",
        };
        let count = view.map_or(0, |view| view.modules.len());
        let count = if count == 0 { String::new() } else { format!("{count} in all") };
        let parts = [filter, order.to_string(), count];
        parts.into_iter().filter(|part| !part.is_empty()).collect::<Vec<_>>().join(", ")
    }

    /// Does what a key asks.
    pub fn act(&mut self, action: Action, view: Option<&View>) -> Option<Outcome> {
        let view = view?;
        if action == Action::Sort {
            self.sort = match self.sort {
                Sort::List => Sort::Name,
                Sort::Name => Sort::Address,
                Sort::Address => Sort::Size,
                Sort::Size => Sort::Symbols,
                Sort::Symbols => Sort::List,
            };
            self.follow(view);
            return None;
        }
        let moved = self.list.act(action);
        let module = *self.rows(view).get(self.list.cursor)?;
        self.at = Some(module.name.clone());
        match action {
            _ if moved => None,
            Action::BreakAtInit => Some(Outcome::Ask(Request::Break(Breaking::at(
                BreakKind::Kept,
                format!("{}!init", module.name),
            )))),
            // All of it is in the guest's memory.
            Action::Open if view.state.is_stopped() && module.state != "given" => {
                Some(Outcome::Typed(format!("info module {}", module.name)))
            }
            Action::Open => Some(Outcome::Text("module", known(module))),
            _ => None,
        }
    }

    /// Draws the modules.
    pub fn draw(&self, buffer: &mut Buffer, area: Rect, look: &Look<'_>) {
        let Some(view) = look.view else {
            return look.placeholder(buffer, area, "known when the guest is stopped");
        };
        let rows = self.rows(view);
        if rows.is_empty() {
            let proven = view.target.matches.is_guests();
            let words = match (&view.stop, view.modules.is_empty()) {
                (_, false) => "no module has this text; / changes the filter",
                (None, true) => "read at the first stop; :sections PATH gives what you have",
                (Some(_), true) if !proven => NEEDS_VMLINUX,
                (Some(_), true) if view.symbols != SymbolsView::Ready => {
                    "not known: the vmlinux has no debug info"
                }
                (Some(_), true) => "no module is loaded in the guest",
            };
            return look.placeholder(buffer, area, words);
        }
        for (at, index) in self.list.seen().enumerate() {
            if let Some(module) = rows.get(index) {
                draw_one(buffer, area, at as u16, module, look);
            }
            look.cursor(buffer, area, at as u16, index == self.list.cursor);
        }
    }
}

/// What is known of a module without asking the guest.
fn known(module: &ModuleView) -> String {
    let mut out = format!("{}: {}", module.name, module.state);
    if module.base.0 != 0 {
        let _ = write!(out, ", at {}", module.base);
    }
    if let Some(size) = module.size {
        let _ = write!(out, ", {size} bytes");
    }
    let _ = write!(out, "\nsymbols: {}", module.symbols);
    if let Some(path) = &module.path {
        let _ = write!(out, " from {}", path.display());
    }
    if let Some(why) = &module.why {
        let _ = write!(out, "\n{why}");
    }
    for (name, addr) in &module.sections {
        let _ = write!(out, "\n{name:<24} {addr}");
    }
    out
}

/// How often it is used, and by whom.
fn used_by(module: &ModuleView) -> String {
    let refs = match module.refs {
        Some(refs) => refs.to_string(),
        None => return String::new(),
    };
    let users = module.used_by.iter().map(|name| printable(name)).collect::<Vec<_>>().join(",");
    let fixed = if module.permanent { " permanent" } else { "" };
    let text = if users.is_empty() { refs } else { format!("{refs} {users}") };
    format!("{text}{fixed}")
}

/// What there is no room for is left out whole: half an address is none.
fn draw_one(buffer: &mut Buffer, area: Rect, at: u16, module: &ModuleView, look: &Look<'_>) {
    const ADDRESS: usize = 18;
    const SIZE: usize = 9;
    let (mark, role) = sign(module.symbols);
    let state = if module.state == "live" { Role::Dim } else { Role::Warning };
    let mut pen = Pen::new(buffer, area, at);
    pen.put(" ", Style::new()).put(mark, look.style(role)).put(" ", Style::new());
    let narrow = area.width < 62;
    pen.column(&printable(&module.name), if narrow { 16 } else { 17 }, look.style(Role::Strong));
    pen.put(" ", Style::new()).column(module.state, 6, look.style(state)).put(" ", Style::new());
    pen.column(module.symbols, 13, look.style(role));
    if pen.room() > ADDRESS {
        let base = match module.base.0 {
            0 => "—".to_string(),
            _ => module.base.to_string(),
        };
        pen.put(" ", Style::new()).column(&base, ADDRESS, look.style(Role::Text));
    }
    if pen.room() > SIZE {
        let size = module.size.map_or_else(|| "—".into(), bytes);
        pen.put(" ", Style::new()).put(&format!("{size:>SIZE$}"), look.style(Role::Number));
    }
    if pen.room() > 2 {
        let uses = crate::ui::pen::clip(&used_by(module), pen.room() - 2);
        pen.put("  ", Style::new()).put(&uses, look.style(Role::Dim));
    }
    if pen.room() > 12
        && let Some(why) = &module.why
    {
        let why = crate::ui::pen::clip(&printable(why), pen.room() - 2);
        pen.put("  ", Style::new()).put(&why, look.style(Role::Dim));
    }
}
