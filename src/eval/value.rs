//! A value's text, or the reason there is none.

use crate::{base::memory::Gap, eval::location::Absent};
use std::fmt;

/// What is known of a variable's value.
#[derive(Clone, Debug, PartialEq)]
pub enum Value {
    /// Known: its text as gdb would print it.
    Known(String),
    /// Its memory is not read yet.
    Missing(Gap),
    /// It can't be had, for this reason.
    Unavailable(String),
    /// The compiler kept it nowhere at this address.
    OptimizedOut,
}

impl fmt::Display for Value {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Value::Known(text) => f.write_str(text),
            Value::Missing(_) => f.write_str("…"),
            Value::Unavailable(why) => write!(f, "<{why}>"),
            Value::OptimizedOut => f.write_str("<optimized out>"),
        }
    }
}

impl From<Absent> for Value {
    fn from(absent: Absent) -> Value {
        match absent {
            Absent::Gap(gap @ Gap::Missing(_)) => Value::Missing(gap),
            Absent::Gap(gap @ (Gap::Fault(_) | Gap::Unrecorded(_))) => {
                Value::Unavailable(gap.to_string())
            }
            Absent::OptimizedOut => Value::OptimizedOut,
            Absent::Synthetic => Value::Known("<synthetic pointer>".to_string()),
            Absent::Unavailable(why) => Value::Unavailable(why.into_owned()),
        }
    }
}

impl From<Result<String, Absent>> for Value {
    fn from(text: Result<String, Absent>) -> Value {
        text.map_or_else(Value::from, Value::Known)
    }
}
