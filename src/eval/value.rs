//! A value of a C type, in one line or absent with the reason.

use crate::{
    base::memory::Gap,
    eval::{
        format::Formatter,
        location::{Absent, Context, Found},
    },
    symbols::answer::{ImageId, TypeRef, TypeShape, ValuePlace},
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
            Absent::OptimizedOut | Absent::PartlyOptimizedOut => Value::OptimizedOut,
            Absent::Unavailable(why) => Value::Unavailable(why.to_string()),
        }
    }
}

impl Context<'_> {
    /// The value of type `ty` at `location`.
    pub fn value(&self, ty: TypeRef, location: &ValuePlace, image: ImageId) -> Value {
        match self.find(location, image) {
            Ok(found) => self.value_at(ty, &found),
            // Its members tell which of them are there.
            Err(Absent::PartlyOptimizedOut)
                if matches!(self.symbols.type_shape(ty), TypeShape::Struct { .. }) =>
            {
                known("{...}".to_string(), Vec::new())
            }
            Err(absent) => absent.into(),
        }
    }

    /// The value of type `ty` found there. Structs and arrays are not read:
    /// in one line they are `{...}`.
    pub fn value_at(&self, ty: TypeRef, found: &Found) -> Value {
        let shape = self.symbols.type_shape(ty);
        let formatter = Formatter { symbols: self.symbols, memory: self.memory };
        let size = match &shape {
            TypeShape::Struct { .. } => return known("{...}".to_string(), Vec::new()),
            TypeShape::Array { element, counts } => {
                return match formatter.char_array(found, *element, counts) {
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
        match self.fetch(found, size) {
            Ok(raw) => known(formatter.scalar(&shape, &raw), raw),
            Err(absent) => absent.into(),
        }
    }
}

fn known(text: String, raw: Vec<u8>) -> Value {
    Value::Known { text, raw }
}
