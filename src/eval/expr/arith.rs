//! Arithmetic of C on numbers: promotions, the usual conversions, and what the
//! operators give in the 64-bit Linux ABIs (C11 6.3.1, 6.5). Nothing here is
//! undefined: what C leaves open wraps, as the CPU does.

use crate::eval::{ctype::Basic, expr::ast::Binary};
use std::cmp::Ordering;

/// A number with the size and sign of its type.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Number {
    Int(Int),
    /// A fraction, and the bytes of its type.
    Float(f64, u64),
}

/// An integer. Its value is in the range of its type; one of 16 bytes without
/// a sign has the bits of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Int {
    pub value: i128,
    pub size: u64,
    pub signed: bool,
}

impl Int {
    /// The value cut to the size of a type.
    pub fn new(value: i128, size: u64, signed: bool) -> Int {
        let size = size.clamp(1, 16);
        let unused = 128 - 8 * size as u32;
        let value = match signed {
            true => value << unused >> unused,
            false => ((value as u128) << unused >> unused) as i128,
        };
        Int { value, size, signed }
    }

    /// C's `int`.
    pub fn of_c_int(value: i128) -> Int {
        Int::new(value, 4, true)
    }

    /// What is smaller than `int` becomes one.
    pub fn promoted(self) -> Int {
        if self.size < 4 { Int::of_c_int(self.value) } else { self }
    }

    /// The language's own type of this size.
    pub fn basic(self) -> Basic {
        match (self.size, self.signed) {
            (1, true) => Basic::SignedChar,
            (1, false) => Basic::UnsignedChar,
            (2, true) => Basic::Short,
            (2, false) => Basic::UnsignedShort,
            (3..=4, true) => Basic::Int,
            (3..=4, false) => Basic::UnsignedInt,
            (5..=8, true) => Basic::Long,
            (5..=8, false) => Basic::UnsignedLong,
            (_, true) => Basic::Int128,
            (_, false) => Basic::UnsignedInt128,
        }
    }

    /// The two in the type that both fit, which is how C calculates.
    fn common(self, other: Int) -> (Int, Int) {
        let (a, b) = (self.promoted(), other.promoted());
        let size = a.size.max(b.size);
        let signed = (a.signed || a.size < size) && (b.signed || b.size < size);
        (Int::new(a.value, size, signed), Int::new(b.value, size, signed))
    }

    fn compare(self, other: Int) -> Ordering {
        let (a, b) = self.common(other);
        match a.signed {
            true => a.value.cmp(&b.value),
            false => (a.value as u128).cmp(&(b.value as u128)),
        }
    }

    fn as_float(self) -> f64 {
        match self.signed {
            true => self.value as f64,
            false => self.value as u128 as f64,
        }
    }
}

impl Number {
    pub fn is_zero(self) -> bool {
        match self {
            Number::Int(int) => int.value == 0,
            Number::Float(value, _) => value == 0.0,
        }
    }

    /// As an integer of a type; a fraction is cut off.
    pub fn to_int(self, size: u64, signed: bool) -> Int {
        match self {
            Number::Int(int) => Int::new(int.value, size, signed),
            // Rust's conversion has no undefined values: it stops at the ends.
            Number::Float(value, _) => Int::new(value as i128, size, signed),
        }
    }

    pub fn to_float(self, size: u64) -> f64 {
        let value = match self {
            Number::Int(int) => int.as_float(),
            Number::Float(value, _) => value,
        };
        if size == 4 { f64::from(value as f32) } else { value }
    }

    /// The language's own type for it.
    pub fn basic(self) -> Basic {
        match self {
            Number::Int(int) => int.basic(),
            Number::Float(_, 4) => Basic::Float,
            Number::Float(..) => Basic::Double,
        }
    }

    /// Its bytes, little-endian.
    pub fn bytes(self) -> Vec<u8> {
        match self {
            Number::Int(int) => int.value.to_le_bytes()[..int.size as usize].to_vec(),
            Number::Float(value, 4) => (value as f32).to_le_bytes().to_vec(),
            Number::Float(value, _) => value.to_le_bytes().to_vec(),
        }
    }
}

/// Two numbers put together. Logic and the comma are not among the operators:
/// they may leave a side alone.
pub(super) fn binary(op: Binary, left: Number, right: Number) -> Result<Number, &'static str> {
    match (left, right) {
        (Number::Int(left), Number::Int(right)) => integers(op, left, right).map(Number::Int),
        _ => floats(op, left, right),
    }
}

fn integers(op: Binary, left: Int, right: Int) -> Result<Int, &'static str> {
    if let Some(truth) = compared(op, Some(left.compare(right))) {
        return Ok(truth);
    }
    if matches!(op, Binary::ShiftLeft | Binary::ShiftRight) {
        return Ok(shifted(op, left.promoted(), right));
    }
    let (a, b) = left.common(right);
    let (x, y) = (a.value, b.value);
    let by_zero = Err("division by zero");
    let unsigned_wide = !a.signed && a.size == 16;
    let value = match op {
        Binary::Add => x.wrapping_add(y),
        Binary::Subtract => x.wrapping_sub(y),
        Binary::Multiply => x.wrapping_mul(y),
        Binary::Divide | Binary::Remainder if y == 0 => return by_zero,
        Binary::Divide if unsigned_wide => ((x as u128) / (y as u128)) as i128,
        Binary::Remainder if unsigned_wide => ((x as u128) % (y as u128)) as i128,
        Binary::Divide => x.wrapping_div(y),
        Binary::Remainder => x.wrapping_rem(y),
        Binary::BitAnd => x & y,
        Binary::BitOr => x | y,
        Binary::BitXor => x ^ y,
        _ => return Err("this operator does not take numbers"),
    };
    Ok(Int::new(value, a.size, a.signed))
}

/// A shift has the type of its left side. Over the end nothing is left; x86
/// would take the count modulo the width, and C says nothing.
fn shifted(op: Binary, left: Int, right: Int) -> Int {
    let bits = 8 * left.size as i128;
    let value = match (op, right.value) {
        (_, count) if count < 0 || count >= bits => match op {
            Binary::ShiftRight if left.signed && left.value < 0 => -1,
            _ => 0,
        },
        (Binary::ShiftLeft, count) => left.value << count,
        (_, count) if left.signed => left.value >> count,
        (_, count) => (left.value as u128 >> count) as i128,
    };
    Int::new(value, left.size, left.signed)
}

fn floats(op: Binary, left: Number, right: Number) -> Result<Number, &'static str> {
    let size = |number| match number {
        Number::Float(_, size) => size,
        Number::Int(_) => 0,
    };
    let wide = size(left).max(size(right));
    let (x, y) = (left.to_float(8), right.to_float(8));
    if let Some(truth) = compared(op, x.partial_cmp(&y)) {
        return Ok(Number::Int(truth));
    }
    let value = match op {
        Binary::Add => x + y,
        Binary::Subtract => x - y,
        Binary::Multiply => x * y,
        Binary::Divide => x / y,
        _ => return Err("this operator does not take fractions"),
    };
    Ok(Number::Float(Number::Float(value, 8).to_float(wide), wide))
}

/// What a comparison gives; nothing is like what is no number.
pub(super) fn compared(op: Binary, order: Option<Ordering>) -> Option<Int> {
    let truth = match op {
        Binary::Equal => order == Some(Ordering::Equal),
        Binary::NotEqual => order != Some(Ordering::Equal),
        Binary::Less => order == Some(Ordering::Less),
        Binary::Greater => order == Some(Ordering::Greater),
        Binary::LessEqual => order.is_some_and(Ordering::is_le),
        Binary::GreaterEqual => order.is_some_and(Ordering::is_ge),
        _ => return None,
    };
    Some(Int::of_c_int(truth.into()))
}

/// The opposite number, in its promoted type.
pub(super) fn negated(number: Number) -> Number {
    match number {
        Number::Int(int) => {
            let int = int.promoted();
            Number::Int(Int::new(int.value.wrapping_neg(), int.size, int.signed))
        }
        Number::Float(value, size) => Number::Float(-value, size),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn int(value: i128) -> Number {
        Number::Int(Int::of_c_int(value))
    }

    fn uint(value: i128) -> Number {
        Number::Int(Int::new(value, 4, false))
    }

    fn long(value: i128) -> Number {
        Number::Int(Int::new(value, 8, true))
    }

    #[test]
    fn the_wider_type_wins_and_then_the_unsigned() {
        assert_eq!(binary(Binary::Add, int(-1), uint(0)), Ok(uint(0xffff_ffff)));
        assert_eq!(binary(Binary::Less, int(-1), uint(0)), Ok(int(0)));
        assert_eq!(binary(Binary::Less, int(-1), long(0)), Ok(int(1)));
        assert_eq!(binary(Binary::Add, uint(0xffff_ffff), long(1)), Ok(long(0x1_0000_0000)));
        let byte = Number::Int(Int::new(255, 1, false));
        assert_eq!(binary(Binary::Add, byte, byte), Ok(int(510)));
    }

    #[test]
    fn what_c_leaves_open_has_an_answer() {
        assert_eq!(binary(Binary::Divide, int(1), int(0)), Err("division by zero"));
        assert_eq!(binary(Binary::Divide, int(i32::MIN.into()), int(-1)), Ok(int(i32::MIN.into())));
        assert_eq!(binary(Binary::ShiftLeft, int(1), int(40)), Ok(int(0)));
        assert_eq!(binary(Binary::ShiftRight, int(-8), int(99)), Ok(int(-1)));
        assert_eq!(binary(Binary::Add, int(i32::MAX.into()), int(1)), Ok(int(i32::MIN.into())));
        let wide = |value: u128| Number::Int(Int::new(value as i128, 16, false));
        assert_eq!(binary(Binary::Divide, wide(u128::MAX), int(2)), Ok(wide(u128::MAX / 2)));
        assert_eq!(binary(Binary::Greater, wide(u128::MAX), int(1)), Ok(int(1)));
    }

    #[test]
    fn fractions() {
        let (half, single) = (Number::Float(0.5, 8), Number::Float(0.5, 4));
        assert_eq!(binary(Binary::Multiply, half, int(3)), Ok(Number::Float(1.5, 8)));
        assert_eq!(binary(Binary::Add, single, single), Ok(Number::Float(1.0, 4)));
        assert_eq!(binary(Binary::Less, half, int(1)), Ok(int(1)));
        assert!(binary(Binary::Remainder, half, int(1)).is_err());
        assert_eq!(Number::Float(-1.9, 8).to_int(4, true).value, -1);
        assert_eq!(Number::Float(1.5, 4).bytes(), 1.5f32.to_le_bytes());
    }

    proptest! {
        #[test]
        fn the_same_as_rust_does(a: i64, b: i64) {
            let check = |op, wanted: i64| {
                assert_eq!(binary(op, long(a.into()), long(b.into())), Ok(long(wanted.into())));
            };
            check(Binary::Add, a.wrapping_add(b));
            check(Binary::Subtract, a.wrapping_sub(b));
            check(Binary::Multiply, a.wrapping_mul(b));
            check(Binary::BitXor, a ^ b);
            if b != 0 {
                check(Binary::Divide, a.wrapping_div(b));
                check(Binary::Remainder, a.wrapping_rem(b));
            }
            let (x, y) = (Int::new(a.into(), 8, false), Int::new(b.into(), 8, false));
            prop_assert_eq!(x.compare(y), (a as u64).cmp(&(b as u64)));
        }

        #[test]
        fn any_two_numbers_have_an_answer(
            a: i128, b: i128, sizes in prop::sample::select(vec![(1u64, 16u64), (4, 8), (16, 16), (2, 4)]),
            signs: (bool, bool), place in 0usize..18
        ) {
            let ops = ["|", "^", "&", "==", "!=", "<", ">", "<=", ">=", "<<", ">>", "+", "-", "*",
                "/", "%", "@", "||"];
            let (op, _) = Binary::of_mark(ops[place]).unwrap();
            let a = Number::Int(Int::new(a, sizes.0, signs.0));
            let b = Number::Int(Int::new(b, sizes.1, signs.1));
            if let Ok(Number::Int(int)) = binary(op, a, b) {
                prop_assert_eq!(int, Int::new(int.value, int.size, int.signed));
            }
        }
    }
}
