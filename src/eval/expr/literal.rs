//! Numbers and characters as C writes them.

use crate::eval::expr::ast::Integer;

/// A number, as it stands in the text.
pub(super) enum Number {
    Integer(Integer),
    /// A fraction, and whether an `f` makes it a `float`.
    Float(f64, bool),
}

/// Reads a whole word as a number: decimal, `0x`, `0b`, octal with a leading
/// zero, with the suffixes `u`, `l`, `ll`; or a decimal fraction.
pub(super) fn number(word: &str) -> Result<Number, String> {
    let invalid = || format!("'{word}' is no number");
    let lower = word.to_ascii_lowercase();
    let is_hex = lower.starts_with("0x");
    if !is_hex && (lower.contains('.') || lower.contains('e')) {
        let digits = lower.trim_end_matches(['f', 'l']);
        let single = lower.ends_with('f');
        return digits.parse().map(|v| Number::Float(v, single)).map_err(|_| invalid());
    }
    let digits = lower.trim_end_matches(['u', 'l']);
    let suffix = &lower[digits.len()..];
    let unsigned = suffix.contains('u');
    let longs = suffix.matches('l').count();
    // `lul` is no suffix, but `ull` and `llu` are.
    let known = ["", "u", "l", "ul", "lu", "ll", "ull", "llu"].contains(&suffix);
    let (digits, radix) = match digits {
        _ if !known => return Err(invalid()),
        hex if is_hex => (&hex[2..], 16),
        binary if binary.starts_with("0b") => (&binary[2..], 2),
        octal if octal.len() > 1 && octal.starts_with('0') => (&octal[1..], 8),
        decimal => (decimal, 10),
    };
    if digits.is_empty() || !digits.chars().all(|c| c.is_digit(radix)) {
        return Err(invalid());
    }
    let value = u64::from_str_radix(digits, radix)
        .map_err(|_| format!("'{word}' is too large for 64 bits"))?;
    Ok(Number::Integer(Integer { value, unsigned, longs: longs as u8, decimal: radix == 10 }))
}

/// One character of a literal after an escape or as it is; what is left.
pub(super) fn character(text: &str) -> Option<(Vec<u8>, &str)> {
    let mut chars = text.chars();
    let first = chars.next()?;
    if first != '\\' {
        return Some((first.to_string().into_bytes(), chars.as_str()));
    }
    let escape = chars.next()?;
    let rest = chars.as_str();
    let simple = |byte: u8| Some((vec![byte], rest));
    match escape {
        'n' => simple(b'\n'),
        't' => simple(b'\t'),
        'r' => simple(b'\r'),
        'a' => simple(7),
        'b' => simple(8),
        'e' => simple(0x1b),
        'f' => simple(0x0c),
        'v' => simple(0x0b),
        'x' => {
            let len = rest.bytes().take_while(u8::is_ascii_hexdigit).take(2).count();
            let byte = u8::from_str_radix(&rest[..len], 16).ok()?;
            Some((vec![byte], &rest[len..]))
        }
        '0'..='7' => {
            let digits = &text[1..];
            let len = digits.bytes().take_while(|b| (b'0'..=b'7').contains(b)).take(3).count();
            let value = u16::from_str_radix(&digits[..len], 8).ok()?;
            Some((vec![value as u8], &digits[len..]))
        }
        other => Some((other.to_string().into_bytes(), rest)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_have_bases_and_suffixes() {
        let integer = |word| match number(word) {
            Ok(Number::Integer(i)) => (i.value, i.unsigned, i.longs),
            _ => panic!("{word}"),
        };
        assert_eq!(integer("42"), (42, false, 0));
        assert_eq!(integer("0x1Fu"), (31, true, 0));
        assert_eq!(integer("0b101"), (5, false, 0));
        assert_eq!(integer("017"), (15, false, 0));
        assert_eq!(integer("0"), (0, false, 0));
        assert_eq!(integer("1ULL"), (1, true, 2));
        assert_eq!(integer("0xffffffffffffffff"), (u64::MAX, false, 0));
        for bad in ["0x", "12ab", "09", "0b2", "1lul", "0x1g", "99999999999999999999"] {
            assert!(number(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn fractions_are_floats() {
        for (word, value) in [("1.5", 1.5), ("2e3", 2000.0), (".5", 0.5), ("1.5f", 1.5)] {
            assert!(matches!(number(word), Ok(Number::Float(v, _)) if v == value), "{word}");
        }
        assert!(number("1.2.3").is_err());
    }

    #[test]
    fn escapes_are_cs() {
        let one = |text| character(text).map(|(bytes, rest)| (bytes, rest.to_owned()));
        assert_eq!(one(r"\n'"), Some((vec![10], "'".into())));
        assert_eq!(one(r"\0"), Some((vec![0], String::new())));
        assert_eq!(one(r"\1779"), Some((vec![0x7f], "9".into())));
        assert_eq!(one(r"\x41b"), Some((vec![0x41], "b".into())));
        assert_eq!(one(r"\'x"), Some((vec![b'\''], "x".into())));
        assert_eq!(one(""), None);
        assert_eq!(one("\\"), None);
    }
}
