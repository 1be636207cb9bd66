//! What is kept from one expression to the next: values that were printed,
//! and convenience variables.

use crate::{
    base::addr::Addr,
    eval::{ctype::CType, typed::Typed},
};
use std::collections::BTreeMap;

/// Values that are kept by their number (`$1`), or by a name (`$x`). Their
/// bytes are those of the time when they were taken.
#[derive(Clone, Debug, Default)]
pub struct Kept {
    history: Vec<KeptValue>,
    variables: BTreeMap<String, Typed>,
}

/// A value of the history.
#[derive(Clone, Debug, PartialEq)]
pub struct KeptValue {
    /// The value, with its bytes where they were read.
    pub value: Typed,
    /// Where it was in memory: `&$1` still means that place.
    pub home: Option<Addr>,
}

impl Kept {
    /// Keeps a value that was printed; its number.
    pub fn push(&mut self, value: KeptValue) -> usize {
        self.history.push(value);
        self.history.len()
    }

    /// How many values there are.
    pub fn len(&self) -> usize {
        self.history.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.history.is_empty()
    }

    /// Value number `number`, from 1.
    pub fn number(&self, number: usize) -> Option<&KeptValue> {
        self.history.get(number.checked_sub(1)?)
    }

    /// The value so many before the last.
    pub fn back(&self, back: usize) -> Option<&KeptValue> {
        self.number(self.history.len().checked_sub(back)?)
    }

    /// The convenience variable `$name`.
    pub fn variable(&self, name: &str) -> Option<&Typed> {
        self.variables.get(name)
    }

    /// Sets `$name`.
    pub fn set(&mut self, name: String, value: Typed) {
        self.variables.insert(name, value);
    }

    /// Every convenience variable, by name.
    pub fn variables(&self) -> impl Iterator<Item = (&str, &Typed)> {
        self.variables.iter().map(|(name, value)| (name.as_str(), value))
    }
}

/// What an unset variable is.
pub(super) fn void() -> Typed {
    Typed::of_bytes(CType::Basic(crate::eval::ctype::Basic::Void), &[])
}
