//! The text of one scalar, as gdb prints it.

use crate::{
    base::{
        addr::Addr,
        memory::{Gap, Memory, PAGE},
    },
    eval::location::Place,
    symbols::{
        answer::{TypeRef, TypeShape},
        placed::Symbols,
    },
};

/// How much of a string is read and shown: one small packet.
const STRING_BYTES: u64 = 64;

pub(super) struct Formatter<'a> {
    pub(super) symbols: &'a Symbols,
    pub(super) memory: &'a dyn Memory,
}

impl Formatter<'_> {
    /// A number, character, enumerator or pointer. `raw` has the bytes of the
    /// type, little-endian.
    pub(super) fn scalar(&self, shape: &TypeShape, raw: &[u8]) -> String {
        match shape {
            TypeShape::Int { signed, .. } => integer(raw, *signed),
            TypeShape::Bool { .. } => match unsigned(raw) {
                0 => "false".to_string(),
                1 => "true".to_string(),
                other => other.to_string(),
            },
            TypeShape::Char { signed } => {
                let byte = raw.first().copied().unwrap_or(0);
                format!("{} {}", integer(raw, *signed), quoted_char(byte))
            }
            TypeShape::Float { .. } => float(raw),
            TypeShape::Enum { names, .. } => enumerator(names, raw),
            TypeShape::Pointer { target, .. } => self.pointer(*target, unsigned(raw) as u64),
            _ => "{...}".to_string(),
        }
    }

    fn pointer(&self, target: TypeRef, value: u64) -> String {
        let mut text = format!("{value:#x}");
        if value == 0 {
            return text;
        }
        if let Some(symbol) = self.symbols.describe(Addr(value)) {
            text.push_str(&format!(" <{symbol}>"));
        }
        // kgdb can't read user space (arch/x86/mm/maccess.c), so asking would
        // only cost a packet.
        if value >> 63 == 1 && self.is_text(target) {
            // A string that can't be read, or not yet, is just not shown.
            if let Ok(string) = self.string(Addr(value), STRING_BYTES) {
                text.push_str(&format!(" {string}"));
            }
        }
        text
    }

    /// Whether a type is C's plain `char`. A `u8` is seldom text, and behind
    /// a pointer to it may be a device, where a read has effects.
    fn is_text(&self, ty: TypeRef) -> bool {
        matches!(self.symbols.type_shape(ty), TypeShape::Char { .. })
            && (self.symbols.type_name(ty).split(' '))
                .all(|word| matches!(word, "char" | "const" | "volatile"))
    }

    /// An array of characters as a string; `None` for any other array.
    pub(super) fn char_array(
        &self,
        found: &Place,
        element: TypeRef,
        counts: &[Option<u64>],
    ) -> Result<Option<String>, Gap> {
        let &[Some(count)] = counts else { return Ok(None) };
        if !self.is_text(element) {
            return Ok(None);
        }
        match found {
            Place::Memory(addr) => self.string(*addr, count.min(STRING_BYTES)).map(Some),
            Place::Bytes(bytes) => Ok(Some(quoted(bytes, bytes.contains(&0)))),
            _ => Ok(None),
        }
    }

    /// Text in quotes, up to a NUL or `max` bytes. A string at the end of
    /// mapped memory is read to the end of its page only.
    fn string(&self, at: Addr, max: u64) -> Result<String, Gap> {
        let to_page = PAGE - at.0 % PAGE;
        let mut bytes = self.memory.bytes(at, max.min(to_page) as usize)?;
        if to_page < max && !bytes.contains(&0) {
            bytes.extend(self.memory.bytes(at.offset(to_page), (max - to_page) as usize)?);
        }
        Ok(quoted(&bytes, bytes.contains(&0)))
    }
}

fn unsigned(raw: &[u8]) -> u128 {
    raw.iter().take(16).rev().fold(0, |value, &byte| value << 8 | u128::from(byte))
}

fn integer(raw: &[u8], signed: bool) -> String {
    let bits = 8 * raw.len().min(16) as u32;
    match signed && bits > 0 {
        true => ((unsigned(raw) << (128 - bits)) as i128 >> (128 - bits)).to_string(),
        false => unsigned(raw).to_string(),
    }
}

fn float(raw: &[u8]) -> String {
    if let Ok(bytes) = raw.try_into() {
        return f64::from_le_bytes(bytes).to_string();
    }
    match raw.try_into() {
        Ok(bytes) => f32::from_le_bytes(bytes).to_string(),
        Err(_) => "<a floating-point number of this size is not shown>".to_string(),
    }
}

/// The name of a value, or the names of its bits where every name is one bit
/// and together they give the value, or the number.
fn enumerator(names: &[(String, i64)], raw: &[u8]) -> String {
    let value = unsigned(raw) as u64;
    let mask = if raw.len() >= 8 { u64::MAX } else { (1 << (8 * raw.len())) - 1 };
    let matching = |wanted: u64| names.iter().find(move |(_, v)| *v as u64 & mask == wanted);
    if let Some((name, _)) = matching(value) {
        return name.clone();
    }
    let is_flags = names.iter().all(|(_, v)| (*v as u64 & mask).count_ones() <= 1);
    let bits: Option<Vec<&str>> = (0..64)
        .map(|bit| value & 1 << bit)
        .filter(|&bit| bit != 0)
        .map(|bit| matching(bit).map(|(name, _)| name.as_str()))
        .collect();
    match bits {
        Some(bits) if is_flags && bits.len() > 1 => format!("({})", bits.join(" | ")),
        _ => integer(raw, names.iter().any(|(_, v)| *v < 0)),
    }
}

/// A string in C's quotes, up to a NUL; dots after it say that it goes on.
fn quoted(bytes: &[u8], ended: bool) -> String {
    let text: String =
        bytes.iter().take_while(|&&byte| byte != 0).map(|&byte| escaped(byte, '"')).collect();
    if ended { format!("\"{text}\"") } else { format!("\"{text}\"...") }
}

fn quoted_char(byte: u8) -> String {
    format!("'{}'", escaped(byte, '\''))
}

/// One byte as C writes it inside `quote`; octal for what does not print.
fn escaped(byte: u8, quote: char) -> String {
    match byte {
        b'\n' => "\\n".to_string(),
        b'\t' => "\\t".to_string(),
        b'\r' => "\\r".to_string(),
        b'\\' => "\\\\".to_string(),
        b' '..=b'~' if char::from(byte) == quote => format!("\\{quote}"),
        b' '..=b'~' => char::from(byte).to_string(),
        _ => format!("\\{byte:03o}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::memory::Sparse;
    use proptest::prelude::*;

    fn text(shape: TypeShape, raw: &[u8]) -> String {
        Formatter { symbols: &Symbols::new(), memory: &Sparse::new() }.scalar(&shape, raw)
    }

    #[test]
    fn integers_by_sign_and_size() {
        let int = |signed, raw: &[u8]| text(TypeShape::Int { size: raw.len() as u64, signed }, raw);
        assert_eq!(int(true, &[0xff; 4]), "-1");
        assert_eq!(int(false, &[0xff; 4]), "4294967295");
        assert_eq!(int(true, &[0xf2, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff]), "-14");
        assert_eq!(int(false, &[0xff; 16]), u128::MAX.to_string());
        assert_eq!(int(true, &[]), "0");
    }

    #[test]
    fn characters_and_truth() {
        let char = |raw| text(TypeShape::Char { signed: true }, raw);
        assert_eq!(char(b"a"), "97 'a'");
        assert_eq!(char(b"\'"), r"39 '\''");
        assert_eq!(char(&[0]), r"0 '\000'");
        assert_eq!(char(&[0xff]), r"-1 '\377'");
        assert_eq!(text(TypeShape::Bool { size: 1 }, &[1]), "true");
        assert_eq!(text(TypeShape::Bool { size: 1 }, &[7]), "7");
    }

    #[test]
    fn enumerators_flags_and_strangers() {
        let names = |all: &[(&str, i64)]| TypeShape::Enum {
            size: 4,
            names: all.iter().map(|(n, v)| (n.to_string(), *v)).collect(),
        };
        let states =
            names(&[("LIVE", 0), ("COMING", 1), ("GOING", 2), ("ERROR", -1), ("THREE", 3)]);
        assert_eq!(text(states.clone(), &[1, 0, 0, 0]), "COMING");
        assert_eq!(text(states.clone(), &[0xff; 4]), "ERROR");
        assert_eq!(text(states, &[9, 0, 0, 0]), "9");
        let flags = names(&[("A", 1), ("B", 2), ("D", 8)]);
        assert_eq!(text(flags.clone(), &[9, 0, 0, 0]), "(A | D)");
        assert_eq!(text(flags, &[12, 0, 0, 0]), "12");
    }

    #[test]
    fn strings_end_or_go_on() {
        assert_eq!(quoted(b"hi\n\"\x01\0x", true), r#""hi\n\"\001""#);
        assert_eq!(quoted(b"hi", false), "\"hi\"...");
        let mut memory = Sparse::new();
        memory.insert(Addr(0xffc), b"tail");
        memory.insert_fault(Addr(0x1000));
        let formatter = Formatter { symbols: &Symbols::new(), memory: &memory };
        assert!(formatter.string(Addr(0xffc), 64).is_err());
        memory.insert(Addr(0xffc), b"end\0");
        let formatter = Formatter { symbols: &Symbols::new(), memory: &memory };
        assert_eq!(formatter.string(Addr(0xffc), 64).unwrap(), "\"end\"");
    }

    #[test]
    fn pointers_are_hexadecimal() {
        assert_eq!(float(&1.5f64.to_le_bytes()), "1.5");
        assert_eq!(float(&0.25f32.to_le_bytes()), "0.25");
    }

    proptest! {
        #[test]
        fn any_bytes_have_a_text(raw in prop::collection::vec(any::<u8>(), 0..20), signed: bool) {
            let names = vec![("A".to_string(), 1), ("B".to_string(), -1)];
            text(TypeShape::Int { size: 4, signed }, &raw);
            text(TypeShape::Char { signed }, &raw);
            text(TypeShape::Float { size: 8 }, &raw);
            text(TypeShape::Enum { size: 4, names }, &raw);
        }

        #[test]
        fn integers_agree_with_rust(value: i64) {
            prop_assert_eq!(integer(&value.to_le_bytes(), true), value.to_string());
            prop_assert_eq!(integer(&(value as u16).to_le_bytes(), false), (value as u16).to_string());
        }
    }
}
