//! Addresses. A guest's run-time address ([`Addr`]) and an address as linked
//! in a file ([`FileAddr`]) are two types, because KASLR makes them differ and
//! a mix-up goes unnoticed until it shows the wrong line.

use std::fmt;

/// A run-time virtual address in the guest.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Addr(pub u64);

/// An address as an ELF file has it, before any slide or placement.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct FileAddr(pub u64);

impl Addr {
    /// The address `bytes` further on; wraps as the CPU does.
    #[must_use]
    pub fn offset(self, bytes: u64) -> Addr {
        Addr(self.0.wrapping_add(bytes))
    }

    /// The address `bytes` back; wraps as the CPU does.
    #[must_use]
    pub fn back(self, bytes: u64) -> Addr {
        Addr(self.0.wrapping_sub(bytes))
    }

    /// The distance from `start` to here, modulo 2^64.
    pub fn since(self, start: Addr) -> u64 {
        self.0.wrapping_sub(start.0)
    }

    /// Parses `0x…` (hexadecimal) or plain decimal digits.
    pub fn parse(text: &str) -> Option<Addr> {
        parse_number(text).map(Addr)
    }
}

/// Parses `0x…` (hexadecimal) or plain decimal digits; `_` is not accepted.
pub fn parse_number(text: &str) -> Option<u64> {
    let digits_only = |s: &str, radix| !s.is_empty() && s.chars().all(|c| c.is_digit(radix));
    match text.strip_prefix("0x").or_else(|| text.strip_prefix("0X")) {
        Some(hex) if digits_only(hex, 16) => u64::from_str_radix(hex, 16).ok(),
        None if digits_only(text, 10) => text.parse().ok(),
        _ => None,
    }
}

macro_rules! shown_as_hex {
    ($type:ident) => {
        impl fmt::Display for $type {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, "0x{:x}", self.0)
            }
        }
        impl fmt::Debug for $type {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, concat!(stringify!($type), "(0x{:x})"), self.0)
            }
        }
    };
}
/// In JSON an address is the text `0x…`: numbers over 2^53 do not survive
/// every JSON reader.
impl serde::Serialize for Addr {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

/// As it is written: hexadecimal with `0x`, or decimal.
impl<'de> serde::Deserialize<'de> for Addr {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Addr, D::Error> {
        let text = <std::borrow::Cow<'_, str>>::deserialize(deserializer)?;
        let number = parse_number(&text);
        number.map(Addr).ok_or_else(|| serde::de::Error::custom(format!("'{text}' is no address")))
    }
}

shown_as_hex!(Addr);
shown_as_hex!(FileAddr);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_hex_or_decimal_and_nothing_else() {
        assert_eq!(parse_number("0xffffffff81000000"), Some(0xffff_ffff_8100_0000));
        assert_eq!(parse_number("42"), Some(42));
        for bad in ["", "0x", "+1", "-1", "12ab", "0x1_0", "0x10000000000000000", " 1"] {
            assert_eq!(parse_number(bad), None, "{bad:?}");
        }
    }

    #[test]
    fn arithmetic_wraps_instead_of_panicking() {
        assert_eq!(Addr(u64::MAX).offset(2), Addr(1));
        assert_eq!(Addr(0).back(1), Addr(u64::MAX));
        assert_eq!(Addr(1).since(Addr(u64::MAX)), 2);
    }
}
