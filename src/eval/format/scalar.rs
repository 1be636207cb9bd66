//! The text of one scalar, by its type or by a format.

use super::{Format, chars::quoted_char, float::float};
use crate::{
    base::addr::Addr,
    eval::{ctype::Shape, typed::Scalar},
    symbols::placed::Symbols,
};

/// A number, character, truth value or enumerator by its type. A pointer is
/// its address and the symbol there.
pub(super) fn plain(symbols: &Symbols, shape: &Shape, scalar: &Scalar) -> String {
    match shape {
        Shape::Bool { .. } => match scalar.bits {
            0 => "false".to_string(),
            1 => "true".to_string(),
            other => other.to_string(),
        },
        Shape::Char { .. } => {
            format!("{} {}", decimal(scalar), quoted_char(scalar.bits as u8))
        }
        Shape::Float { .. } => float(&bytes(scalar)),
        Shape::Enum { names, .. } => enumerator(names, scalar),
        Shape::Pointer { .. } => address(symbols, scalar.addr()),
        _ => decimal(scalar),
    }
}

/// The same by a format letter.
pub(super) fn formatted(
    symbols: &Symbols,
    shape: &Shape,
    scalar: &Scalar,
    format: Format,
) -> String {
    let digits = 2 * scalar.size.clamp(1, 16) as usize;
    match format {
        Format::Hex => format!("{:#x}", scalar.bits),
        Format::PaddedHex => format!("0x{:0digits$x}", scalar.bits),
        Format::Signed => decimal(&Scalar { signed: true, ..*scalar }),
        Format::Unsigned => scalar.bits.to_string(),
        Format::Octal if scalar.bits == 0 => "0".to_string(),
        Format::Octal => format!("0{:o}", scalar.bits),
        Format::Binary => format!("{:b}", scalar.bits),
        Format::Address => address(symbols, Addr(whole(shape, scalar) as u64)),
        Format::Char => {
            let bits = whole(shape, scalar) as u128 & 0xff;
            let signed = scalar.signed || matches!(shape, Shape::Float { .. });
            let byte = Scalar { bits, size: 1, signed };
            format!("{} {}", decimal(&byte), quoted_char(byte.bits as u8))
        }
        Format::Float if matches!(scalar.size, 4 | 8) => float(&bytes(scalar)),
        Format::Float => decimal(scalar),
        Format::Text => plain(symbols, shape, scalar),
    }
}

/// The whole number that is in it.
fn whole(shape: &Shape, scalar: &Scalar) -> i128 {
    match (shape, scalar.size) {
        (Shape::Float { .. }, 8) => i128::from(f64::from_bits(scalar.bits as u64) as i64),
        (Shape::Float { .. }, 4) => i128::from(f32::from_bits(scalar.bits as u32) as i64),
        _ => scalar.value(),
    }
}

fn bytes(scalar: &Scalar) -> Vec<u8> {
    scalar.bits.to_le_bytes()[..scalar.size.min(16) as usize].to_vec()
}

fn decimal(scalar: &Scalar) -> String {
    if scalar.signed { scalar.value().to_string() } else { scalar.bits.to_string() }
}

/// An address and the symbol that has it, in gdb's way: decimal offset.
pub(super) fn address(symbols: &Symbols, addr: Addr) -> String {
    match symbol(symbols, addr) {
        Some(symbol) => format!("{addr} <{symbol}>"),
        None => addr.to_string(),
    }
}

/// Labels that have no size name code only: as data they are ends of what is
/// before them, and the start of nothing.
fn symbol(symbols: &Symbols, addr: Addr) -> Option<String> {
    let symbol = symbols.symbol_at(addr)?;
    let offset = addr.since(symbol.start);
    let is_code = || symbols.images().any(|placed| placed.is_code(addr));
    match (offset, symbol.size) {
        (_, 0) if !is_code() => None,
        (offset, size) if size > 0 && offset >= size => None,
        (0, _) => Some(symbol.name),
        (offset, _) => Some(format!("{}+{offset}", symbol.name)),
    }
}

/// The name of a value, or the names of its bits where every name is of a
/// bit, or the number.
fn enumerator(names: &[(String, i64)], scalar: &Scalar) -> String {
    let value = scalar.value();
    let mask = !(u128::MAX << (8 * scalar.size.clamp(1, 15)));
    let bits_of = |value: i64| i128::from(value) as u128 & mask;
    if let Some((name, _)) = names.iter().find(|(_, of)| bits_of(*of) == scalar.bits) {
        return name.clone();
    }
    // Flags are one bit each (gdb/dwarf2/read.c, `process_enumeration_scope`).
    if !names.iter().all(|(_, value)| is_flag(*value)) {
        return value.to_string();
    }
    let mut left = scalar.bits;
    let mut parts = Vec::new();
    for (name, of) in names {
        let bits = bits_of(*of);
        if left & bits != 0 {
            left &= !bits;
            parts.push(name.clone());
        }
    }
    if left != 0 {
        parts.push(format!("unknown: {left:#x}"));
    }
    match parts.is_empty() {
        true => "0".to_string(),
        false => format!("({})", parts.join(" | ")),
    }
}

/// Whether a value can be a flag: one bit, or none.
fn is_flag(value: i64) -> bool {
    value >= 0 && value.count_ones() <= 1
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn text(shape: &Shape, raw: &[u8]) -> String {
        plain(&Symbols::new(), shape, &Scalar::from_bytes(raw, shape.is_signed()))
    }

    #[test]
    fn integers_by_sign_and_size() {
        let int = |signed, raw: &[u8]| text(&Shape::Int { size: raw.len() as u64, signed }, raw);
        assert_eq!(int(true, &[0xff; 4]), "-1");
        assert_eq!(int(false, &[0xff; 4]), "4294967295");
        assert_eq!(int(true, &[0xf2, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff]), "-14");
        assert_eq!(int(false, &[0xff; 16]), u128::MAX.to_string());
        assert_eq!(int(true, &[0xff; 16]), "-1");
        assert_eq!(int(true, &[]), "0");
    }

    #[test]
    fn characters_and_truth() {
        let char = |raw| text(&Shape::Char { signed: true }, raw);
        assert_eq!(char(b"a"), "97 'a'");
        assert_eq!(char(&[0xff]), r"-1 '\377'");
        assert_eq!(text(&Shape::Bool { size: 1 }, &[1]), "true");
        assert_eq!(text(&Shape::Bool { size: 1 }, &[7]), "7");
    }

    #[test]
    fn enumerators_flags_and_strangers() {
        let names = |all: &[(&str, i64)]| Shape::Enum {
            size: 4,
            names: all.iter().map(|(n, v)| (n.to_string(), *v)).collect(),
        };
        let states = names(&[("LIVE", 0), ("COMING", 1), ("GOING", 2), ("ERROR", -1), ("FIVE", 5)]);
        assert_eq!(text(&states, &[1, 0, 0, 0]), "COMING");
        assert_eq!(text(&states, &[0xff; 4]), "ERROR");
        assert_eq!(text(&states, &[9, 0, 0, 0]), "9");
        let flags = names(&[("A", 1), ("B", 2), ("D", 8)]);
        assert_eq!(text(&flags, &[9, 0, 0, 0]), "(A | D)");
        assert_eq!(text(&flags, &[12, 0, 0, 0]), "(D | unknown: 0x4)");
        assert_eq!(text(&flags, &[4, 0, 0, 0]), "(unknown: 0x4)");
        assert_eq!(text(&flags, &[0; 4]), "0");
    }

    #[test]
    fn formats_are_gdbs() {
        let symbols = Symbols::new();
        let shape = Shape::Int { size: 4, signed: true };
        let scalar = Scalar::from_bytes(&(-2i32).to_le_bytes(), true);
        let text = |letter| formatted(&symbols, &shape, &scalar, Format::of(letter).unwrap());
        assert_eq!(text('x'), "0xfffffffe");
        assert_eq!(text('d'), "-2");
        assert_eq!(text('u'), "4294967294");
        assert_eq!(text('o'), "037777777776");
        assert_eq!(text('t'), "11111111111111111111111111111110");
        assert_eq!(text('c'), r"-2 '\376'");
        assert_eq!(text('a'), "0xfffffffffffffffe");
        assert_eq!(text('s'), "-2");
        assert!(Format::of('i').is_none());
    }

    proptest! {
        #[test]
        fn any_bytes_have_a_text(raw in prop::collection::vec(any::<u8>(), 0..20), signed: bool) {
            let names = vec![("A".to_string(), 1), ("B".to_string(), -1), ("C".to_string(), i64::MIN)];
            text(&Shape::Int { size: 4, signed }, &raw);
            text(&Shape::Char { signed }, &raw);
            text(&Shape::Float { size: 8 }, &raw);
            text(&Shape::Enum { size: 4, names }, &raw);
        }

        #[test]
        fn integers_agree_with_rust(value: i64) {
            let int = |size, signed| Shape::Int { size, signed };
            prop_assert_eq!(text(&int(8, true), &value.to_le_bytes()), value.to_string());
            let short = value as u16;
            prop_assert_eq!(text(&int(2, false), &short.to_le_bytes()), short.to_string());
        }
    }
}
