//! The trees of variables and of watches: rows of the selected frame, read as
//! far as nodes are open, with what changed since the stop before.

use super::{answer::Failure, elements::known, run::Session, wants::RowView};
use crate::eval::{
    expr::evaluate::{self, Scene},
    location::{Absent, Context},
    tree::{self, Root, Row},
    value::Value,
};
use std::collections::BTreeMap;

/// Columns of a value: more than a pane has.
const WIDTH: usize = 120;

/// Values that were shown, by function and node: this stop's and those of the
/// stop before.
#[derive(Debug, Default)]
pub(super) struct Shown {
    now: BTreeMap<String, BTreeMap<String, String>>,
    before: BTreeMap<String, BTreeMap<String, String>>,
}

impl Shown {
    /// At the next stop.
    pub(super) fn next_stop(self) -> Shown {
        Shown { now: BTreeMap::new(), before: self.now }
    }

    /// Takes in what is shown of a function, and marks what is another value
    /// than it was at the stop before.
    fn mark(&mut self, function: &str, rows: &mut [RowView]) {
        let before = self.before.get(function);
        let now = self.now.entry(function.to_owned()).or_default();
        for row in rows {
            let Some(value) = &row.value else { continue };
            let old = before.and_then(|before| before.get(&row.id));
            row.changed = old.is_some_and(|old| old != value);
            now.insert(row.id.clone(), value.clone());
        }
    }
}

impl Session {
    /// Reads what the open nodes need; whether something is still missing.
    pub(super) async fn tree_round(&mut self) -> Result<bool, Failure> {
        self.need_stopped()?;
        // One caller more: an argument may be known only to it.
        self.whole_stack(self.selected_physical() + 2).await?;
        let function = self.selected_function();
        let wants = self.panes.wants.clone();
        let work = move |context: &Context<'_>, scene: &Scene<'_>| {
            let rows = |roots: Vec<Root>| tree::rows(context, &roots, &wants.open, WIDTH);
            let variables = wants.variables.then(|| tree::variables(context, scene.depth));
            let watches = wants.watches.iter().map(|text| watch(context, scene, text)).collect();
            (variables.map(rows), rows(watches))
        };
        let ((variables, watches), missed) = self.see_once(work).await?;
        let old = self.stop.as_ref().map(|stop| stop.supplied.clone()).unwrap_or_default();
        let variables = variables.map(|rows| self.views(&function, rows, old.variables, missed));
        // What is watched is the same in every function.
        let watches = self.views("", watches, old.watches, missed);
        if let Some(stop) = &mut self.stop {
            if variables.is_some() {
                stop.supplied.variables = variables;
            }
            stop.supplied.watches = Some(watches);
        }
        Ok(missed)
    }

    fn views(
        &mut self,
        function: &str,
        rows: Vec<Row>,
        old: Option<Vec<RowView>>,
        missed: bool,
    ) -> Vec<RowView> {
        let mut rows: Vec<RowView> = rows.into_iter().map(row_view).collect();
        match missed {
            // Where there was text, text stays until there is better.
            true => keep_old(&mut rows, &old.unwrap_or_default()),
            false => self.panes.shown.mark(function, &mut rows),
        }
        rows
    }

    fn selected_function(&self) -> String {
        let function = self.selected_frame().and_then(|frame| frame.function.clone());
        function.unwrap_or_default()
    }
}

/// Puts the values of rows that are shown in the place of those that are not
/// read yet.
fn keep_old(rows: &mut [RowView], old: &[RowView]) {
    let known: BTreeMap<&str, &RowView> = old.iter().map(|row| (row.id.as_str(), row)).collect();
    for row in rows.iter_mut().filter(|row| row.value.is_none()) {
        if let Some(old) = known.get(row.id.as_str()) {
            (row.value, row.changed) = (old.value.clone(), old.changed);
        }
    }
}

/// An expression as the top of a tree.
fn watch(context: &Context<'_>, scene: &Scene<'_>, text: &str) -> Root {
    let value = evaluate::evaluate(context, scene, text);
    let (type_name, value) = match value {
        Ok(value) => (value.ty.name(context.symbols), Ok(value)),
        Err(error) => {
            let ty = evaluate::type_of(context, scene, text).ok();
            let type_name = ty.map_or(String::new(), |(ty, _)| ty.name(context.symbols));
            let absent = error.absent.clone().unwrap_or(Absent::because(error.message));
            (type_name, Err(absent))
        }
    };
    Root {
        id: format!("={text}"),
        name: text.to_owned(),
        expression: Some(text.to_owned()),
        type_name,
        value,
        element: known(context, scene, text),
        lost: None,
        argument: false,
    }
}

/// A row as faces see it.
fn row_view(row: Row) -> RowView {
    let mut view = RowView {
        id: row.id,
        depth: row.depth,
        name: row.name,
        type_name: row.type_name,
        can_open: row.can_open,
        open: row.open,
        expression: row.expression,
        address: row.address,
        argument: row.argument,
        ..RowView::default()
    };
    match row.value {
        Some(Value::Known(text)) => view.value = Some(text),
        Some(Value::OptimizedOut) => {
            view.optimized_out = true;
            view.unavailable = row.lost.map(|note| format!("optimized out; {note}"));
        }
        Some(Value::Unavailable(why)) => view.unavailable = Some(why),
        // To be read, or a page of an array, which has no value of its own.
        Some(Value::Missing(_)) => {}
        None => view.value = Some(String::new()),
    }
    view
}

#[cfg(test)]
mod tests {
    use super::*;

    fn row(id: &str, value: &str) -> RowView {
        RowView { id: id.into(), value: Some(value.into()), ..RowView::default() }
    }

    #[test]
    fn a_value_has_changed_when_the_stop_before_had_another() {
        let mut shown = Shown::default();
        let mut rows = [row("a", "1"), row("b", "2")];
        shown.mark("f", &mut rows);
        assert!(rows.iter().all(|row| !row.changed), "nothing to compare with");
        shown = shown.next_stop();
        let mut rows = [row("a", "1"), row("b", "3"), row("c", "4")];
        shown.mark("f", &mut rows);
        shown.mark("f", &mut rows);
        assert_eq!(rows.map(|row| row.changed), [false, true, false]);
        let mut other = [row("a", "9")];
        shown.mark("g", &mut other);
        assert!(!other[0].changed, "the name of another function's variable");
        shown = shown.next_stop();
        let mut rows = [row("b", "3")];
        shown.mark("f", &mut rows);
        assert!(!rows[0].changed);
    }
}
