//! What is to be said beside a value, or in the place of one that the compiler
//! kept nowhere at this address: where in the function it was last, and what
//! the caller passed. Neither is the value now, and neither is shown as that.

use crate::{
    base::addr::Addr,
    eval::{
        entry,
        format::Limits,
        location::{Absent, Context, initialized},
        typed::Typed,
    },
    symbols::{
        answer::{ValuePlace, VariableDef},
        code::visible::Visible,
        placed::Symbols,
    },
};
use std::cell::OnceCell;

/// Notes on variables of one function at one address.
pub struct Notes<'n, 'a> {
    context: &'n Context<'a>,
    depth: usize,
    visible: OnceCell<Vec<Visible>>,
}

impl<'n, 'a> Notes<'n, 'a> {
    /// On those of the function at place `depth` among those inlined into each
    /// other at the frame.
    pub fn new(context: &'n Context<'a>, depth: usize) -> Notes<'n, 'a> {
        Notes { context, depth, visible: OnceCell::new() }
    }

    /// Whether the compiler says so (`DW_OP_GNU_uninit`).
    pub fn may_be_uninitialized(&self, definition: &VariableDef) -> bool {
        match &definition.location {
            ValuePlace::Expression { bytes, encoding, .. } => {
                initialized(bytes, *encoding).is_some()
            }
            _ => false,
        }
    }

    /// In words: `last at line 84; req@entry = 0xffff…`. `None` when there is
    /// nothing to say, or it is not read yet.
    pub fn on(&self, definition: &VariableDef) -> Option<String> {
        let (context, symbols) = (self.context, self.context.symbols);
        let pc = context.frames.first()?.lookup;
        if self.may_be_uninitialized(definition) {
            return Some("may not be initialized".to_owned());
        }
        let find = || symbols.variables_visible_in(pc, self.depth);
        let same = |other: &&Visible| other.name == definition.name && other.ty == definition.ty;
        let variable = self.visible.get_or_init(find).iter().find(same)?;
        let mut parts = Vec::new();
        parts.extend(whereabouts(symbols, variable, pc));
        // What is inlined was not called.
        let called = || symbols.frames_at(pc).get(self.depth).is_some_and(|f| !f.inlined);
        if variable.argument && called() {
            parts.extend(passed(context, definition, variable));
        }
        (!parts.is_empty()).then(|| parts.join("; "))
    }
}

/// Where the variable is known nearest to `pc`.
fn whereabouts(symbols: &Symbols, variable: &Visible, pc: Addr) -> Option<String> {
    let function = symbols.function_at(pc)?;
    let inside = |at: Addr| function.ranges.iter().any(|(start, end)| (*start..*end).contains(&at));
    let known = variable.places.iter().filter(|place| {
        !matches!(place.location, ValuePlace::None) && !only_on_entry(&place.location)
    });
    let ranges: Vec<(Addr, Addr)> = known.filter_map(|place| place.range).collect();
    let line = |at: Addr| symbols.row_at(at).map(|row| row.line).filter(|line| *line != 0);
    let before =
        ranges.iter().map(|range| range.1.back(1)).filter(|last| *last < pc && inside(*last));
    if let Some(line) = before.max().and_then(line) {
        return Some(format!("last at line {line}"));
    }
    let after = ranges.iter().map(|range| range.0).filter(|first| *first > pc && inside(*first));
    match after.min().and_then(line) {
        Some(line) => Some(format!("known from line {line} on")),
        None if variable.places.is_empty() => Some("kept nowhere in this function".to_owned()),
        None => None,
    }
}

/// A place that tells what was passed, which is what it is at the entry only
/// if the caller says so.
fn only_on_entry(location: &ValuePlace) -> bool {
    let ops = [gimli::DW_OP_entry_value.0, gimli::DW_OP_GNU_entry_value.0];
    matches!(location, ValuePlace::Expression { bytes, .. } if bytes.first().is_some_and(|op| ops.contains(op)))
}

/// What the caller passed, by its note of the register the argument comes in.
fn passed(context: &Context<'_>, definition: &VariableDef, variable: &Visible) -> Option<String> {
    let entry = context.symbols.function_at(context.frames.first()?.lookup)?.entry;
    let ValuePlace::Expression { bytes, .. } = &variable.at(entry)?.location else { return None };
    entry::register(bytes)?;
    let value: Result<u64, Absent> = entry::value(context, bytes);
    let value = Typed::of_bytes(definition.ty.into(), &value.ok()?.to_le_bytes());
    let text = context.text(&value, None, &Limits::default()).ok()?;
    Some(format!("{}@entry = {text}", definition.name))
}
