//! What queries give. Addresses are the guest's own, lines start at 1.

use crate::base::addr::Addr;
use std::{collections::BTreeSet, sync::Arc};

/// One image among those placed. Ids are not used again, so an id kept
/// across a module's unload finds nothing rather than another module.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ImageId(pub u32);

/// A file that code was compiled from.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct SourceFile {
    /// Its path as DWARF has it: joined with the unit's directory when it is
    /// relative and that directory is absolute; without `.` and `x/..`.
    pub name: String,
    /// Where the compiler ran (`DW_AT_comp_dir`); it may be relative.
    pub comp_dir: Option<String>,
}

impl SourceFile {
    /// Its path from the directory the compiler ran in on, as people who know
    /// the source write it.
    pub fn short(&self) -> &str {
        let inside = |dir: &str| self.name.strip_prefix(dir)?.strip_prefix('/');
        self.comp_dir.as_deref().and_then(inside).unwrap_or(&self.name)
    }
}

/// The symbol an address belongs to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SymbolAt {
    /// Its name.
    pub name: String,
    /// Where it starts.
    pub start: Addr,
    /// Bytes; zero when the file does not say.
    pub size: u64,
    /// The module; `None` for vmlinux.
    pub module: Option<String>,
}

/// One function that is "at" an address: the innermost inlined one, or one of
/// those it is inlined into.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CodeFrame {
    /// The function's name.
    pub function: String,
    /// The file of the line, where there is one.
    pub file: Option<SourceFile>,
    /// The line executed at the address; in outer frames, the line of the
    /// call that was inlined.
    pub line: Option<u32>,
    /// The column of that.
    pub column: Option<u32>,
    /// Inlined into the next frame; the last is never.
    pub inlined: bool,
    /// The module; `None` for vmlinux.
    pub module: Option<String>,
    /// Where the function out of line starts, or this instance of an inlined
    /// one (`DW_AT_entry_pc`, else its lowest address).
    pub entry: Addr,
    /// Its place in the answer: 0 is innermost.
    pub depth: usize,
}

/// What is at an address in short.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FunctionLine {
    /// The function out of line.
    pub function: String,
    /// The file of the line, where there is one.
    pub file: Option<SourceFile>,
    /// The line; it may be of a function that is inlined there.
    pub line: Option<u32>,
    /// The module; `None` for vmlinux.
    pub module: Option<String>,
}

/// A row of the line table: the code of `start..end` is of this line.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LineRow {
    /// The first address.
    pub start: Addr,
    /// One past the last.
    pub end: Addr,
    /// The file.
    pub file: SourceFile,
    /// The line; 0 when the code is of no line.
    pub line: u32,
    /// The column; 0 when not said.
    pub column: u32,
    /// The compiler recommends `start` as a place to stop for the line.
    pub is_stmt: bool,
}

/// A function out of line.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Function {
    /// Its name.
    pub name: String,
    /// Where it is entered.
    pub entry: Addr,
    /// All its code, the entry's part first: `.cold` parts are elsewhere.
    pub ranges: Vec<(Addr, Addr)>,
    /// Where it is declared.
    pub file: Option<SourceFile>,
    /// The line of that.
    pub line: Option<u32>,
    /// The module; `None` for vmlinux.
    pub module: Option<String>,
    /// What it returns; `None` for void or when not known.
    pub return_type: Option<TypeRef>,
}

/// A call that was inlined.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct InlineInstance {
    /// The function that was inlined.
    pub name: String,
    /// Where it is entered (`DW_AT_entry_pc`, else its lowest address).
    pub entry: Addr,
    /// Its code.
    pub ranges: Vec<(Addr, Addr)>,
    /// The file of the call.
    pub call_file: Option<SourceFile>,
    /// The line of the call.
    pub call_line: Option<u32>,
    /// The column of the call.
    pub call_column: Option<u32>,
}

/// The definition of a macro.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MacroDef {
    /// As after `#define`: the name, its parameters right behind it, a space,
    /// the text.
    pub text: String,
    /// Where it is defined; `None` for one of the compiler's own or of its
    /// command line.
    pub file: Option<SourceFile>,
    /// The line of that.
    pub line: u32,
}

/// A place where a function starts.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FunctionMatch {
    /// Its name as DWARF or the symbol table has it.
    pub name: String,
    /// Its first instruction.
    pub entry: Addr,
    /// Where its arguments are in place: what `break` wants.
    pub after_prologue: Addr,
    /// The file it is declared in.
    pub file: Option<SourceFile>,
    /// The line of that.
    pub line: Option<u32>,
    /// The module; `None` for vmlinux.
    pub module: Option<String>,
    /// An inlined instance rather than the function out of line.
    pub inlined: bool,
}

/// Where the code of a source line is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LineMatch {
    /// The file that was meant.
    pub file: SourceFile,
    /// The line with code: the one asked for, or the next one that has some.
    pub line: u32,
    /// One address for each block of its code, lowest first.
    pub sites: Vec<Addr>,
}

/// Why a source line has no address.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum LineMiss {
    /// No code was compiled from a file of that name.
    #[error("no code comes from a file {file}{}", similar_text(.similar))]
    NoSuchFile {
        /// The name asked for.
        file: String,
        /// Names that resemble it.
        similar: Vec<String>,
    },
    /// The file has no code at that line or after it.
    #[error("no code at line {line} of {file} or after it")]
    NoCode {
        /// The file.
        file: String,
        /// The line asked for.
        line: u32,
    },
    /// Several files end in that name.
    #[error("{file} is one of {}; say more of the path", some_of(.files))]
    Ambiguous {
        /// The name asked for.
        file: String,
        /// The files.
        files: Vec<String>,
    },
}

/// The first of a list, and how many more there are.
fn some_of(names: &[String]) -> String {
    const SHOWN: usize = 8;
    let shown = names.iter().take(SHOWN).cloned().collect::<Vec<_>>().join(", ");
    match names.len().saturating_sub(SHOWN) {
        0 => shown,
        more => format!("{shown} and {more} more"),
    }
}

fn similar_text(similar: &[String]) -> String {
    match similar {
        [] => String::new(),
        names => format!("; did you mean {}?", names.join(" or ")),
    }
}

/// The lines of a file that have code, shared because panes keep it.
pub type CodeLines = Arc<BTreeSet<u32>>;

/// A type by where it is described. Compare types by name, not by this: every
/// unit describes its own copy.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct TypeRef {
    pub(super) image: ImageId,
    pub(super) unit: u32,
    /// Offset of the DIE in the unit; zero, which is inside the unit's
    /// header, stands for `void`.
    pub(super) die: u32,
}

/// What a type is, without typedefs and qualifiers.
#[derive(Clone, Debug, PartialEq)]
pub enum TypeShape {
    /// An integer of `size` bytes.
    Int {
        /// Bytes.
        size: u64,
        /// Whether it has a sign.
        signed: bool,
    },
    /// `_Bool`, of `size` bytes.
    Bool {
        /// Bytes.
        size: u64,
    },
    /// A byte that is text.
    Char {
        /// Whether it has a sign.
        signed: bool,
    },
    /// A floating-point number of `size` bytes.
    Float {
        /// Bytes.
        size: u64,
    },
    /// An enumeration.
    Enum {
        /// Bytes.
        size: u64,
        /// The names in order of declaration, with their values.
        names: Vec<(String, i64)>,
    },
    /// A pointer of `size` bytes.
    Pointer {
        /// Bytes.
        size: u64,
        /// What it points to; may be void.
        target: TypeRef,
    },
    /// A struct or union.
    Struct {
        /// Its tag; `None` when it has none.
        name: Option<String>,
        /// Bytes; `None` when it is nowhere described whole.
        size: Option<u64>,
        /// A union.
        union: bool,
    },
    /// An array; several counts for several dimensions, outermost first.
    Array {
        /// What it is made of.
        element: TypeRef,
        /// Elements by dimension; `None` for `[]`.
        counts: Vec<Option<u64>>,
    },
    /// A function (pointed to).
    Function,
    /// `void`.
    Void,
    /// Not described, or a kind that C does not have.
    Unknown,
}

/// How a struct or union lies in memory.
#[derive(Clone, Debug, PartialEq)]
pub struct Layout {
    /// Its name: `struct list_head`, `union x`, or a typedef's.
    pub name: String,
    /// Bytes.
    pub size: u64,
    /// Its members in order of declaration.
    pub members: Vec<Member>,
}

/// A member of a struct or union.
#[derive(Clone, Debug, PartialEq)]
pub struct Member {
    /// Its name; empty for an anonymous struct or union.
    pub name: String,
    /// Bytes from the start of the layout it was found in.
    pub offset: u64,
    /// Bytes.
    pub size: u64,
    /// For a bit field: its first bit counted from the least significant bit
    /// at `offset`, and how many bits.
    pub bits: Option<(u32, u32)>,
    /// Its type as C writes it.
    pub type_name: String,
    /// Its type.
    pub ty: TypeRef,
    /// For an array: bytes of one element, and how many there are (0 for a
    /// flexible array).
    pub element: Option<(u64, u64)>,
    /// For a struct or union by value: its own layout.
    pub inner: Option<Arc<Layout>>,
}

impl Layout {
    /// The member at `path`: `"pid"`, or through nested structs by dots:
    /// `"list.next"`. Anonymous structs and unions are looked through. The
    /// offset counts from the start of this layout.
    pub fn member(&self, path: &str) -> Option<Member> {
        let (first, rest) = match path.split_once('.') {
            Some((first, rest)) => (first, Some(rest)),
            None => (path, None),
        };
        for member in &self.members {
            let inside = match (&member.inner, rest) {
                (Some(inner), _) if member.name.is_empty() => inner.member(path),
                (Some(inner), Some(rest)) if member.name == first => inner.member(rest),
                (_, None) if member.name == first => return Some(member.clone()),
                _ => None,
            };
            if let Some(found) = inside {
                return Some(Member { offset: member.offset + found.offset, ..found });
            }
        }
        None
    }
}

/// Where the caller's registers are, for the code at some address.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CfiRow {
    /// The canonical frame address: the stack pointer before the call.
    pub cfa: CfaRule,
    /// By DWARF register, in its order. Registers not named have the
    /// architecture's default rule.
    pub rules: Vec<(u16, RegRule)>,
    /// The DWARF register that holds the return address.
    pub return_register: u16,
    /// Where the function's description starts.
    pub start: Addr,
    /// One past its end.
    pub end: Addr,
    /// The frame was made by an interruption, not by a call: the pc itself is
    /// the place, not the instruction before it.
    pub signal_frame: bool,
}

/// How to compute the canonical frame address.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum CfaRule {
    /// A register and an offset in bytes.
    Register {
        /// DWARF number.
        dwarf: u16,
        /// Bytes to add.
        offset: i64,
    },
    /// A DWARF expression.
    Expression(Vec<u8>),
}

/// How to find one register of the caller.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum RegRule {
    /// It can't be found.
    Undefined,
    /// It still has its value.
    SameValue,
    /// Saved at the canonical frame address plus this.
    Offset(i64),
    /// It is the canonical frame address plus this.
    ValOffset(i64),
    /// It is in another register, by DWARF number.
    Register(u16),
    /// Saved where this DWARF expression says.
    Expression(Vec<u8>),
    /// The value of this DWARF expression.
    ValExpression(Vec<u8>),
}

/// A variable or parameter in scope.
#[derive(Clone, Debug, PartialEq)]
pub struct VariableDef {
    /// Its name.
    pub name: String,
    /// Its type.
    pub ty: TypeRef,
    /// Where its value is at the address asked about.
    pub location: ValuePlace,
    /// The line it is declared at.
    pub line: Option<u32>,
    /// The image whose addresses a location has: see
    /// [`Symbols::runtime_of`](super::placed::Symbols::runtime_of).
    pub image: ImageId,
}

/// Where a value is.
#[derive(Clone, Debug, PartialEq)]
pub enum ValuePlace {
    /// A DWARF expression. Addresses in it are the file's; an index into
    /// `.debug_addr` has been replaced by the address.
    Expression {
        /// The operations.
        bytes: Vec<u8>,
        /// How to read them.
        encoding: gimli::Encoding,
        /// The unit whose types they name; `None` when they name none.
        unit: Option<u32>,
    },
    /// The value itself (`DW_AT_const_value`), little-endian.
    Constant(Vec<u8>),
    /// Optimized out at this address.
    None,
}

/// What `DW_OP_fbreg` counts from.
#[derive(Clone, Debug, PartialEq)]
pub struct FrameBase {
    /// The operations; in kernels usually one `DW_OP_call_frame_cfa`.
    pub bytes: Vec<u8>,
    /// How to read them.
    pub encoding: gimli::Encoding,
    /// The image whose addresses it has.
    pub image: ImageId,
    /// The unit whose types it names.
    pub unit: u32,
}

/// A type with everything in it.
#[derive(Clone, Debug, PartialEq)]
pub struct TypeDescription {
    /// Its name as C writes it.
    pub name: String,
    /// It and its members as gdb's `ptype` prints them, without a newline at
    /// the end.
    pub text: String,
    /// Bytes of a value, where it has them.
    pub size: Option<u64>,
    /// Its members, for a struct or union.
    pub members: Vec<MemberView>,
    /// Its size, holes and padding in pahole's words, for a struct or union.
    pub summary: Option<String>,
}

/// One member of a described struct or union.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MemberView {
    /// Its name; empty for an anonymous struct or union.
    pub name: String,
    /// The byte it starts in.
    pub offset: u64,
    /// Bytes of its type.
    pub size: u64,
    /// For a bit field: its first bit in the byte at `offset`.
    pub bit: Option<u32>,
    /// For a bit field: how many bits it has.
    pub bits: Option<u32>,
    /// Its type as C writes it.
    pub type_name: String,
    /// What is unused between it and the next member, or the end.
    pub hole: Option<Gap>,
}

/// Unused bytes, and bits besides.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Gap {
    /// Whole bytes.
    pub bytes: u64,
    /// Bits besides them, up to 7.
    pub bits: u32,
}
