//! The text of values, as gdb 13 writes it (gdb/valprint.c, c-valprint.c,
//! cp-valprint.c, printcmd.c; compared with it in `tests/values.rs`), with
//! three differences: a symbol of a module is not of vmlinux by chance of its
//! address, `u8 *` is not read as a string (behind it may be a device), and
//! neither is what user space has (kgdb can't read it).

mod chars;
mod float;
mod scalar;

pub mod brief;
pub mod whole;

/// How a scalar is written: gdb's format letters.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Format {
    /// `x`.
    Hex,
    /// `z`: hexadecimal with leading zeros.
    PaddedHex,
    /// `d`.
    Signed,
    /// `u`.
    Unsigned,
    /// `o`.
    Octal,
    /// `t`.
    Binary,
    /// `a`: hexadecimal with the symbol there.
    Address,
    /// `c`: a number and the character it stands for.
    Char,
    /// `f`: a floating-point number where its size is of one.
    Float,
    /// `s`: bytes as text.
    Text,
}

impl Format {
    /// By its letter.
    pub fn of(letter: char) -> Option<Format> {
        Some(match letter {
            'x' => Format::Hex,
            'z' => Format::PaddedHex,
            'd' => Format::Signed,
            'u' => Format::Unsigned,
            'o' => Format::Octal,
            't' => Format::Binary,
            'a' => Format::Address,
            'c' => Format::Char,
            'f' => Format::Float,
            's' => Format::Text,
            _ => return None,
        })
    }
}

/// How much of a value is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Elements of an array, characters of a string (`set print elements`).
    pub elements: usize,
    /// Equal elements in a row that are written out (`set print repeats`).
    pub repeats: usize,
    /// Structs inside structs (`set print max-depth`).
    pub depth: usize,
}

impl Default for Limits {
    /// gdb's.
    fn default() -> Limits {
        Limits { elements: 200, repeats: 10, depth: 20 }
    }
}
