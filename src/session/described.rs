//! What the session answers about names and types, in the shape of the JSON
//! contract.

use crate::base::addr::Addr;
use serde::Serialize;

/// Names that fit, as batch reports them.
#[derive(Clone, Debug, Serialize)]
pub struct NamesAnswer {
    /// The kind of names: `functions`, `variables`, `types`, `sources`.
    #[serde(skip)]
    pub what: &'static str,
    /// What was looked for.
    #[serde(skip)]
    pub pattern: Option<String>,
    /// The names, sorted, each once.
    pub names: Vec<String>,
    /// Each with where and what it is.
    pub symbols: Vec<NameAnswer>,
    /// Whether there are more than are listed.
    pub truncated: bool,
    /// How many more.
    pub more: usize,
}

/// One function, variable or type as batch reports it.
#[derive(Clone, Debug, Serialize)]
pub struct NameAnswer {
    /// Its name.
    pub name: String,
    /// `function`, `inline`, `variable` or `type`.
    pub kind: &'static str,
    /// The file it is declared in, as DWARF has it.
    pub file: Option<String>,
    /// The same as it is shown: below the directory the compiler ran in.
    #[serde(skip)]
    pub shown_file: Option<String>,
    /// The line of that.
    pub line: Option<u32>,
    /// Where it is in the guest.
    pub address: Option<Addr>,
    /// Its type as C writes it.
    #[serde(rename = "type")]
    pub type_name: Option<String>,
    /// How C declares it; null when only the symbol table has it.
    pub declaration: Option<String>,
    /// The module; null for vmlinux.
    pub module: Option<String>,
}

/// What can be seen at a place, as batch reports it.
#[derive(Clone, Debug, Serialize)]
pub struct ScopeAnswer {
    /// The place as it was named.
    pub location: String,
    /// Where that is.
    pub address: Addr,
    /// The function there; an inlined one counts.
    pub function: Option<String>,
    /// Of the innermost block first.
    pub variables: Vec<ScopeVariable>,
}

/// One variable that can be seen.
#[derive(Clone, Debug, Serialize)]
pub struct ScopeVariable {
    /// Its name.
    pub name: String,
    /// Its type as C writes it.
    #[serde(rename = "type")]
    pub type_name: String,
    /// Bytes of its type.
    pub size: Option<u64>,
    /// It is a parameter.
    pub argument: bool,
    /// Where it is at the place: `in $rdi`, `at $rbp-8`, `optimized out`.
    pub value: String,
    /// It is nowhere at the place.
    pub optimized_out: bool,
    /// Where it is while other code of its scope runs.
    pub ranges: Vec<ScopeRange>,
}

/// Where a variable is while some code runs.
#[derive(Clone, Debug, Serialize)]
pub struct ScopeRange {
    /// The code's first address.
    pub start: Addr,
    /// One past its last.
    pub end: Addr,
    /// Where the variable is.
    pub value: String,
}

/// What is at an address, as batch reports it.
#[derive(Clone, Debug, Serialize)]
pub struct SymbolAnswer {
    /// The address.
    pub address: Addr,
    /// The symbol that names it best.
    pub symbol: String,
    /// Other names of the same place.
    pub aliases: Vec<String>,
    /// Bytes from the symbol's start to the address.
    pub offset: u64,
    /// The section of the file.
    pub section: String,
    /// The module; null for vmlinux.
    pub module: Option<String>,
    /// All of it in gdb's words.
    pub text: String,
}

/// A type as batch reports it.
#[derive(Clone, Debug, Serialize)]
pub struct TypeAnswer {
    /// Its name as C writes it.
    #[serde(rename = "type")]
    pub name: String,
    /// It as gdb's `ptype` or `whatis` prints it.
    pub text: String,
    /// Bytes of a value.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub size: Option<u64>,
    /// Of a struct or union: what it is made of.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub members: Vec<MemberAnswer>,
    /// Of a struct or union, with offsets: its figures in pahole's words.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub summary: Option<String>,
}

/// One member of a struct or union as batch reports it.
#[derive(Clone, Debug, Serialize)]
pub struct MemberAnswer {
    /// Its name; empty for an anonymous struct or union.
    pub name: String,
    /// The byte it starts in.
    pub offset: u64,
    /// Bytes of its type.
    pub size: u64,
    /// Of a bit field: the first bit in that byte.
    pub bit: Option<u32>,
    /// Of a bit field: how many bits.
    pub bits: Option<u32>,
    /// Its type as C writes it.
    #[serde(rename = "type")]
    pub type_name: String,
    /// Unused bytes and bits after it.
    pub hole: Option<HoleAnswer>,
}

/// Unused space in a struct as batch reports it.
#[derive(Clone, Copy, Debug, Serialize)]
pub struct HoleAnswer {
    /// Whole bytes.
    pub bytes: u64,
    /// Bits besides them.
    pub bits: u32,
}
