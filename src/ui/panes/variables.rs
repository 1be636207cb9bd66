//! Arguments and locals of the selected frame, one row each.

use super::Look;
use crate::base::text::printable;
use crate::config::keys::Action;
use crate::config::theme::Role;
use crate::session::view::{StopView, SymbolsView, VariableView, View};
use crate::ui::list::List;
use crate::ui::pen::Pen;
use ratatui::{buffer::Buffer, layout::Rect, style::Style};
use std::collections::HashMap;
use unicode_width::UnicodeWidthStr;

/// What the pane keeps: a cursor, and the values of the stop before.
#[derive(Debug, Default)]
pub struct Variables {
    /// The cursor.
    pub list: List,
    now: Values,
    before: Values,
}

/// The values of one function at one stop.
#[derive(Debug, Default)]
struct Values {
    generation: u64,
    function: Option<String>,
    values: HashMap<String, Option<String>>,
}

impl Variables {
    /// Takes in a new view: remembers values so that changes can be marked.
    pub fn follow(&mut self, view: &View) {
        let Some(stop) = &view.stop else { return };
        let variables = stop.variables.as_deref().unwrap_or_default();
        self.list.fit(rows(variables), self.list.height);
        if stop.variables.is_none() {
            return;
        }
        let frame = stop.frames.get(stop.selected);
        let values = variables.iter().map(|v| (v.name.clone(), v.value.clone())).collect();
        let function = frame.and_then(|frame| frame.function.clone());
        let now = Values { generation: stop.generation, function, values };
        if self.now.generation != now.generation {
            self.before = std::mem::take(&mut self.now);
        }
        self.now = now;
    }

    /// Does what a key asks; gives a text to be shown where it asks for that.
    pub fn act(&mut self, action: Action, view: Option<&View>) -> Option<String> {
        if self.list.act(action) || action != Action::ShowWhole {
            return None;
        }
        let variables = view?.stop.as_ref()?.variables.as_deref()?;
        let variable = at_row(variables, self.list.cursor)?;
        let (value, _) = shown_value(variable);
        Some(format!("{} {} = {value}", variable.type_name, variable.name))
    }

    fn changed(&self, variable: &VariableView) -> bool {
        let same = self.before.function == self.now.function && self.now.function.is_some();
        let before = self.before.values.get(&variable.name);
        same && before.is_some_and(|value| value.is_some() && *value != variable.value)
    }

    /// Draws the variables.
    pub fn draw(&self, buffer: &mut Buffer, area: Rect, look: &Look<'_>) {
        let Some((view, stop)) = look.view.and_then(|view| Some((view, view.stop.as_ref()?)))
        else {
            return look.placeholder(buffer, area, "known at the first stop");
        };
        let Some(variables) = &stop.variables else {
            return look.placeholder(buffer, area, nothing_yet(view, stop));
        };
        if variables.is_empty() {
            return look.placeholder(buffer, area, "this function has none here");
        }
        let width = variables.iter().map(|v| v.name.width()).max().unwrap_or(0).min(18);
        for (row, index) in self.list.seen().enumerate() {
            let row = row as u16;
            match at_row(variables, index) {
                Some(variable) => self.draw_one(buffer, area, row, variable, width, look),
                None => {
                    let mut pen = Pen::new(buffer, area, row);
                    pen.put(" locals", look.style(Role::Dim));
                }
            }
            look.cursor(buffer, area, row, index == self.list.cursor);
        }
    }

    fn draw_one(
        &self,
        buffer: &mut Buffer,
        area: Rect,
        row: u16,
        variable: &VariableView,
        width: usize,
        look: &Look<'_>,
    ) {
        let changed = self.changed(variable);
        let sign = match (changed, variable.argument) {
            (true, _) => "*",
            (false, true) => "›",
            (false, false) => " ",
        };
        let (value, role) = shown_value(variable);
        let role = if changed { Role::Changed } else { role };
        let mut pen = Pen::new(buffer, area, row);
        pen.put(sign, look.style(if changed { Role::Changed } else { Role::Dim }));
        pen.column(&printable(&variable.name), width, look.style(Role::Strong));
        pen.put(" ", Style::new());
        let type_name = printable(&variable.type_name);
        pen.put(&crate::ui::pen::clip(&value, pen.room()), look.style(role));
        if pen.room() > type_name.width() + 2 {
            pen.right(&type_name, look.style(Role::Type));
        }
    }
}

/// The value in one line, or why there is none.
fn shown_value(variable: &VariableView) -> (String, Role) {
    match (&variable.value, &variable.unavailable) {
        (Some(value), _) => (printable(value), Role::Text),
        (None, _) if variable.optimized_out => ("<optimized out>".into(), Role::Dim),
        (None, Some(why)) => (format!("<{}>", printable(why)), Role::Dim),
        (None, None) => ("…".into(), Role::Dim),
    }
}

fn nothing_yet(view: &View, stop: &StopView) -> &'static str {
    match (&view.symbols, stop.frames.is_empty()) {
        (SymbolsView::None | SymbolsView::Failed(_), _) => "no symbols; give --vmlinux FILE",
        (SymbolsView::NoDebugInfo, _) => "the vmlinux has no debug information",
        (SymbolsView::Looking(_), _) => "when the vmlinux is found",
        (SymbolsView::Loading(_), _) => "when the symbols are loaded",
        (SymbolsView::Ready, _) => "reading …",
    }
}

/// Arguments, then a heading when there are both, then locals.
fn rows(variables: &[VariableView]) -> usize {
    let arguments = variables.iter().filter(|v| v.argument).count();
    variables.len() + usize::from(arguments > 0 && arguments < variables.len())
}

fn at_row(variables: &[VariableView], row: usize) -> Option<&VariableView> {
    let arguments = variables.iter().filter(|v| v.argument);
    let locals = variables.iter().filter(|v| !v.argument);
    let count = arguments.clone().count();
    match row {
        _ if row < count => arguments.clone().nth(row),
        _ if count == 0 => locals.clone().nth(row),
        _ => locals.clone().nth(row.checked_sub(count + 1)?),
    }
}
