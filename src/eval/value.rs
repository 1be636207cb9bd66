//! A value of a C type, in one line or absent with the reason.

use crate::{
    base::memory::Gap,
    eval::{
        ctype::CType,
        format::Formatter,
        location::{Absent, Context},
        typed::Typed,
    },
    symbols::answer::TypeShape,
};
use std::fmt;

/// What is known of a variable's value.
#[derive(Clone, Debug, PartialEq)]
pub enum Value {
    /// Known.
    Known {
        /// One line of text as gdb would print it.
        text: String,
        /// The bytes, as far as they were read: none for a struct.
        raw: Vec<u8>,
    },
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
            Value::Known { text, .. } => f.write_str(text),
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
            Absent::Gap(gap @ Gap::Fault(_)) => Value::Unavailable(gap.to_string()),
            Absent::OptimizedOut => Value::OptimizedOut,
            Absent::Synthetic => Value::Unavailable("synthetic pointer".to_string()),
            Absent::Unavailable(why) => Value::Unavailable(why.to_string()),
        }
    }
}

impl Context<'_> {
    /// A value in one line. Structs and arrays are not read: they are `{...}`.
    pub fn value(&self, value: &Typed) -> Value {
        let formatter = Formatter { symbols: self.symbols, memory: self.memory };
        let shape = match &value.ty {
            CType::Known(ty) => self.symbols.type_shape(*ty),
            _ => return known("{...}".to_string(), Vec::new()),
        };
        let size = match &shape {
            TypeShape::Struct { .. } => return known("{...}".to_string(), Vec::new()),
            TypeShape::Array { element, counts } => {
                return match formatter.char_array(&value.place, *element, counts) {
                    Ok(Some(text)) => known(text, Vec::new()),
                    Ok(None) => known("{...}".to_string(), Vec::new()),
                    Err(gap) => Absent::Gap(gap).into(),
                };
            }
            TypeShape::Unknown => return Value::Unavailable("type not known".to_string()),
            TypeShape::Void | TypeShape::Function => {
                return Value::Unavailable("no value".to_string());
            }
            TypeShape::Char { .. } => 1,
            TypeShape::Int { size, .. }
            | TypeShape::Bool { size }
            | TypeShape::Float { size }
            | TypeShape::Enum { size, .. }
            | TypeShape::Pointer { size, .. } => *size,
        };
        match self.bytes(&value.place, size) {
            Ok(raw) => known(formatter.scalar(&shape, &raw), raw),
            Err(absent) => absent.into(),
        }
    }
}

fn known(text: String, raw: Vec<u8>) -> Value {
    Value::Known { text, raw }
}
