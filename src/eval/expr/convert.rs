//! Casts.

use crate::eval::{
    ctype::{CType, Shape},
    expr::{
        ast::At,
        error::ExprError,
        evaluate::{Evaluator, Result},
    },
    location::Place,
    typed::Typed,
};

impl Evaluator<'_> {
    /// A value in another type. Numbers and pointers are converted; anything
    /// that is in memory can be seen as another struct or array there.
    pub fn cast(&self, ty: &CType, value: &Typed, at: &At) -> Result<Typed> {
        let symbols = self.context.symbols;
        let (from, to) = (value.ty.shape(symbols), ty.shape(symbols));
        let in_memory = matches!(value.place, Place::Memory(_)) && value.bits.is_none();
        let seen_as = || Typed { ty: ty.clone(), place: value.place.clone(), bits: None };
        match (&from, &to) {
            (_, Shape::Void) => Ok(Typed::of_bytes(ty.clone(), &[])),
            // A symbol without a type: what it is cast to is what it is.
            (Shape::Void | Shape::Unknown, _) if in_memory => Ok(seen_as()),
            (_, Shape::Struct { .. } | Shape::Array { .. }) => {
                let same = value.ty.name(symbols) == ty.name(symbols);
                match in_memory || same {
                    true => Ok(seen_as()),
                    false => {
                        let message = format!("this can't be seen as '{}'", ty.name(symbols));
                        Err(ExprError::new(at.clone(), message))
                    }
                }
            }
            (_, Shape::Function | Shape::Unknown) => {
                let message = format!("nothing can be cast to '{}'", ty.name(symbols));
                Err(ExprError::new(at.clone(), message))
            }
            _ if self.dry => Ok(Typed::of_bytes(ty.clone(), &[0; 16])),
            _ => Ok(Typed::of_bytes(ty.clone(), &self.bytes_as(&to, value, at)?)),
        }
    }

    /// The bytes of a number or pointer after its conversion to a scalar type.
    pub fn bytes_as(&self, to: &Shape, value: &Typed, at: &At) -> Result<Vec<u8>> {
        use crate::eval::expr::arith::Number;
        let number = self.number(value, at)?;
        let size = to.scalar_size().unwrap_or(8);
        Ok(match to {
            Shape::Float { size } => Number::Float(number.to_float(*size), *size).bytes(),
            Shape::Bool { .. } => {
                let mut bytes = vec![0; size as usize];
                bytes[0] = u8::from(!number.is_zero());
                bytes
            }
            _ => Number::Int(number.to_int(size, to.is_signed())).bytes(),
        })
    }
}
