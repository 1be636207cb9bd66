//! Operators with two sides: numbers, pointers, and gdb's `@`.

use crate::eval::{
    ctype::CType,
    expr::{
        arith::{self, Int, Number},
        ast::{At, Binary, Expr},
        error::ExprError,
        evaluate::{Evaluator, Operand, Result, of_number, pointer_value, truth_value},
    },
    location::Place,
    typed::Typed,
};

impl Evaluator<'_> {
    pub fn binary(&self, op: Binary, left: &Expr, right: &Expr, at: &At) -> Result<Typed> {
        match op {
            Binary::Comma => {
                self.value(left)?;
                return self.value(right);
            }
            Binary::Or | Binary::And if self.dry => return Ok(truth_value(false)),
            Binary::Or => return Ok(truth_value(self.truth(left)? || self.truth(right)?)),
            Binary::And => return Ok(truth_value(self.truth(left)? && self.truth(right)?)),
            Binary::Repeat => return self.repeated(left, right, at),
            _ => {}
        }
        let (a, b) = (self.value(left)?, self.value(right)?);
        self.combine(op, (&a, &left.at), (&b, &right.at), at)
    }

    /// Two values put together.
    pub fn combine(
        &self,
        op: Binary,
        (left, left_at): (&Typed, &At),
        (right, right_at): (&Typed, &At),
        at: &At,
    ) -> Result<Typed> {
        let error = |message: &str| ExprError::new(at.clone(), message);
        use Operand::{Number as Num, Pointer};
        match (self.operand(left, left_at)?, self.operand(right, right_at)?) {
            (Num(left), Num(right)) => {
                if self.dry && matches!(op, Binary::Divide | Binary::Remainder) {
                    return Ok(of_number(arith::binary(Binary::Add, left, right).map_err(error)?));
                }
                Ok(of_number(arith::binary(op, left, right).map_err(error)?))
            }
            (Pointer { addr: x, target }, Pointer { addr: y, target: other }) => {
                if let Some(truth) = arith::compared(op, Some(x.cmp(&y))) {
                    return Ok(of_number(Number::Int(truth)));
                }
                if op != Binary::Subtract {
                    return Err(error(
                        "two pointers can be compared or subtracted, or cast to numbers",
                    ));
                }
                let size = self.size(&target, left_at)?;
                if size != self.size(&other, right_at)? {
                    return Err(error("these pointers are to types of different sizes"));
                }
                let distance = x.wrapping_sub(y) as i64 / (size.max(1) as i64);
                Ok(of_number(Number::Int(Int::new(distance.into(), 8, true))))
            }
            (Pointer { addr, target }, Num(number)) => self.moved(op, addr, target, number, at),
            (Num(number), Pointer { addr, target }) => match op {
                Binary::Subtract => Err(error("a pointer can't be subtracted from a number")),
                Binary::Add => self.moved(op, addr, target, number, at),
                _ => {
                    let own = Number::Int(Int::new(addr.into(), 8, false));
                    self.compared(op, number, own, at)
                }
            },
        }
    }

    /// A pointer and a number.
    fn moved(
        &self,
        op: Binary,
        addr: u64,
        target: CType,
        number: Number,
        at: &At,
    ) -> Result<Typed> {
        let forward = match (op, number) {
            (Binary::Add | Binary::Subtract, Number::Float(..)) => {
                return Err(ExprError::new(at.clone(), "a pointer moves by whole numbers"));
            }
            (Binary::Add, _) => true,
            (Binary::Subtract, _) => false,
            _ => {
                let own = Number::Int(Int::new(addr.into(), 8, false));
                return self.compared(op, own, number, at);
            }
        };
        let steps = number.to_int(8, true).value as u64;
        let bytes = steps.wrapping_mul(self.size(&target, at)?);
        let moved = if forward { addr.wrapping_add(bytes) } else { addr.wrapping_sub(bytes) };
        Ok(pointer_value(moved, target))
    }

    fn compared(&self, op: Binary, left: Number, right: Number, at: &At) -> Result<Typed> {
        let message = "a pointer is no number; cast it to one, such as (unsigned long)";
        match arith::compared(op, Some(std::cmp::Ordering::Equal)) {
            Some(_) => {
                let truth = arith::binary(op, left, right);
                Ok(of_number(truth.map_err(|why| ExprError::new(at.clone(), why))?))
            }
            None => Err(ExprError::new(at.clone(), message)),
        }
    }

    /// `first@count`: so many of them in memory, as an array.
    fn repeated(&self, first: &Expr, count: &Expr, at: &At) -> Result<Typed> {
        // The type has the count in it.
        let real = Evaluator { dry: false, ..*self };
        let number = real.value(count).and_then(|value| real.number(&value, &count.at));
        let number = match number {
            Err(_) if self.dry => 1,
            number => number?.to_int(8, true).value,
        };
        let value = self.lvalue(first)?;
        let number = match number {
            number @ 1..=0x7fff_ffff => number as u64,
            number => {
                let message = format!("{number} of them can't be an array");
                return Err(ExprError::new(count.at.clone(), message));
            }
        };
        match value.place {
            Place::Memory(addr) if value.bits.is_none() => {
                Ok(Typed::at(value.ty.array(number), addr))
            }
            _ => {
                let message = "only what is in memory can be followed by '@'";
                Err(ExprError::new(at.clone(), message))
            }
        }
    }
}
