//! What the session answers about symbols: source lines, code, names, types.

use crate::base::addr::Addr;
use serde::Serialize;
use std::path::PathBuf;

/// Source lines as batch reports them.
#[derive(Clone, Debug, Default, Serialize)]
pub struct SourceAnswer {
    /// The file as DWARF has it.
    pub file: String,
    /// Where it was found on this machine.
    pub path: Option<PathBuf>,
    /// The number of the first line.
    pub first: u32,
    /// Their text.
    pub lines: Vec<String>,
    /// The line in question.
    pub line: u32,
    /// What is to be said before them: the function an address is in.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub heading: Option<String>,
    /// Other places of the same name, as locations.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub others: Vec<String>,
}

/// A piece of code that is of one line.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct LineRange {
    /// The file as DWARF has it; `None` where no line is known.
    pub file: Option<String>,
    /// The line that was asked for.
    pub line: Option<u32>,
    /// Where its code starts.
    pub start: Addr,
    /// One past its end; the same as `start` when the line has no code, and
    /// `start` is that of a later line.
    pub end: Addr,
    /// `function+0x10` for the start.
    pub start_symbol: Option<String>,
    /// The same for the end.
    pub end_symbol: Option<String>,
    /// The function at the start (inlined ones count).
    pub function: Option<String>,
    /// `FILE:LINE` whose code is at the start, when the line itself has none
    /// there: all of it is inlined.
    pub code_of: Option<String>,
    /// The file in short.
    #[serde(skip)]
    pub short: String,
}

/// A name that was searched.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct MatchAnswer {
    /// The name, or a file's path.
    pub name: String,
    /// `function`, `variable`, `struct`, `union`, `enum`, `typedef`, `base`,
    /// `enumerator` or `file`.
    pub kind: &'static str,
    /// The file that declares it.
    pub file: Option<String>,
    /// The line of that.
    pub line: Option<u32>,
    /// The module; null for vmlinux.
    pub module: Option<String>,
    /// A location that means this one alone, where others have the name.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub choose: Option<String>,
    /// How well it fits; only comparable within one search.
    pub score: u32,
}

/// A listing of instructions.
#[derive(Clone, Debug, Default, Serialize)]
pub struct CodeAnswer {
    /// The instructions, range after range.
    pub instructions: Vec<InsnAnswer>,
    /// The function they are all of.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub function: Option<String>,
    /// What is listed; several when the function is in several parts.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub ranges: Vec<CodeRange>,
    /// What is left out, in words.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub note: Option<String>,
    /// Source lines between the instructions, where they were asked for.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub source: Vec<SourceRun>,
    /// Whether raw bytes are to be shown.
    #[serde(skip)]
    pub bytes: bool,
    /// Whether arrows are to be shown.
    #[serde(skip)]
    pub arrows: bool,
}

/// A part of a function, or another range of code.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct CodeRange {
    /// The first address.
    pub start: Addr,
    /// One past the last.
    pub end: Addr,
}

/// Source lines that come before an instruction.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct SourceRun {
    /// The instruction, by its place in the listing.
    pub before: usize,
    /// The file as DWARF has it.
    pub file: String,
    /// The same in short.
    #[serde(skip)]
    pub short: String,
    /// Whether the file is another than that of the run before.
    pub new_file: bool,
    /// The number of the first line.
    pub first: u32,
    /// Their text; `None` where the file is not on this machine.
    pub lines: Vec<Option<String>>,
}

/// One instruction as batch reports it.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct InsnAnswer {
    /// Where.
    pub address: Addr,
    /// `function+0x10`.
    pub symbol: Option<String>,
    /// Its bytes in hexadecimal.
    pub bytes: String,
    /// Its text.
    pub text: String,
    /// Whether the selected frame's pc is here.
    pub current: bool,
    /// The address it names: a branch's target, or pc-relative data.
    pub target: Option<Addr>,
    /// That in words: `function+0x10`.
    pub target_symbol: Option<String>,
    /// The file of its line, as DWARF has it.
    pub file: Option<String>,
    /// The line.
    pub line: Option<u32>,
    /// Where it jumps to, when that is a fixed place; not for calls.
    #[serde(skip)]
    pub jump: Option<Addr>,
}

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
