//! The types that values of C expressions have: those the debug info
//! describes, and those that are built from them (`&x`, casts, `sizeof`).

use crate::symbols::{
    answer::{Member, TypeRef, TypeShape},
    placed::Symbols,
};

/// Types inside types at most: an expression may build them without end.
const MAX_DEPTH: usize = 64;

/// A type.
#[derive(Clone, Debug, PartialEq)]
pub enum CType {
    /// One that the debug info describes.
    Known(TypeRef),
    /// A pointer.
    Pointer(Box<CType>),
    /// An array; `None` for `[]`.
    Array(Box<CType>, Option<u64>),
    /// A function.
    Function {
        /// What it returns.
        result: Box<CType>,
        /// What it takes.
        parameters: Vec<CType>,
        /// It ends in `...`.
        variadic: bool,
    },
    /// With `const` or `volatile`.
    Qualified(&'static str, Box<CType>),
    /// A type of the language itself.
    Basic(Basic),
}

/// Types that C has without a declaration, in the sizes of the 64-bit Linux
/// ABIs (psABI for x86-64, table 3.1; AAPCS64, 10.1).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[allow(missing_docs)] // Their names say it.
pub enum Basic {
    Void,
    Bool,
    Char,
    SignedChar,
    UnsignedChar,
    Short,
    UnsignedShort,
    Int,
    UnsignedInt,
    Long,
    UnsignedLong,
    LongLong,
    UnsignedLongLong,
    Int128,
    UnsignedInt128,
    Float,
    Double,
}

/// What a type is, without names and qualifiers.
#[derive(Clone, Debug, PartialEq)]
pub enum Shape {
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
    /// An integer of one byte, which gdb shows as a character too.
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
    /// A pointer.
    Pointer {
        /// Bytes.
        size: u64,
        /// What it points to; may be void.
        target: CType,
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
    /// An array of its first dimension: the element may be an array.
    Array {
        /// What it is made of.
        element: CType,
        /// Elements; `None` for `[]`.
        count: Option<u64>,
    },
    /// A function.
    Function,
    /// `void`.
    Void,
    /// Not described, or a kind that C does not have.
    Unknown,
}

impl Shape {
    /// Bytes of a scalar; `None` for all else.
    pub fn scalar_size(&self) -> Option<u64> {
        match self {
            Shape::Char { .. } => Some(1),
            Shape::Int { size, .. }
            | Shape::Bool { size }
            | Shape::Float { size }
            | Shape::Enum { size, .. }
            | Shape::Pointer { size, .. } => Some(*size),
            _ => None,
        }
    }

    /// Whether a scalar's first bit is its sign. gcc makes an enumeration
    /// signed only when one of its names is negative.
    pub fn is_signed(&self) -> bool {
        match self {
            Shape::Int { signed, .. } | Shape::Char { signed } => *signed,
            Shape::Enum { names, .. } => names.iter().any(|(_, value)| *value < 0),
            _ => false,
        }
    }
}

/// A member of a struct or union.
#[derive(Clone, Debug, PartialEq)]
pub struct Field {
    /// Its name; empty for an anonymous struct or union.
    pub name: String,
    /// Its type.
    pub ty: CType,
    /// Bytes from the start of the struct it was asked of.
    pub offset: u64,
    /// Bytes.
    pub size: u64,
    /// For a bit field: its first bit counted from the least significant bit
    /// at `offset`, and how many bits.
    pub bits: Option<(u32, u32)>,
}

impl From<&Member> for Field {
    fn from(member: &Member) -> Field {
        Field {
            name: member.name.clone(),
            ty: CType::Known(member.ty),
            offset: member.offset,
            size: member.size,
            bits: member.bits,
        }
    }
}

impl From<TypeRef> for CType {
    fn from(ty: TypeRef) -> CType {
        CType::Known(ty)
    }
}

impl CType {
    /// A type of the language.
    pub const fn basic(basic: Basic) -> CType {
        CType::Basic(basic)
    }

    /// A pointer to it.
    pub fn pointer(self) -> CType {
        CType::Pointer(Box::new(self))
    }

    /// An array of it.
    pub fn array(self, count: u64) -> CType {
        CType::Array(Box::new(self), Some(count))
    }

    /// What it is.
    pub fn shape(&self, symbols: &Symbols) -> Shape {
        match self {
            CType::Known(ty) => known(symbols.type_shape(*ty)),
            CType::Pointer(target) => Shape::Pointer { size: 8, target: (**target).clone() },
            CType::Array(element, count) => {
                Shape::Array { element: (**element).clone(), count: *count }
            }
            CType::Function { .. } => Shape::Function,
            CType::Qualified(_, of) => of.shape(symbols),
            CType::Basic(basic) => basic.shape(),
        }
    }

    /// Bytes of a value; `None` for void, functions and what is nowhere
    /// described whole.
    pub fn size(&self, symbols: &Symbols) -> Option<u64> {
        match self {
            CType::Known(ty) => symbols.size_of(*ty),
            CType::Pointer(_) => Some(8),
            CType::Array(element, count) => element.size(symbols)?.checked_mul(count.unwrap_or(0)),
            CType::Function { .. } => None,
            CType::Qualified(_, of) => of.size(symbols),
            CType::Basic(basic) => basic.shape().scalar_size(),
        }
    }

    /// The type as gdb writes it: `struct list_head *`, `int (*)[3]`.
    pub fn name(&self, symbols: &Symbols) -> String {
        self.declare(symbols, String::new(), 0)
    }

    /// A declarator with this type around it.
    fn declare(&self, symbols: &Symbols, inner: String, depth: usize) -> String {
        if depth > MAX_DEPTH {
            return "?".to_owned();
        }
        let base = |name: &str| match inner.is_empty() {
            true => name.to_owned(),
            false => format!("{name} {inner}"),
        };
        match self {
            CType::Known(ty) if inner.is_empty() => symbols.type_name(*ty),
            CType::Known(ty) => symbols.declared_as(*ty, &inner),
            CType::Basic(basic) => base(basic.name()),
            CType::Pointer(target) => target.declare(symbols, format!("*{inner}"), depth + 1),
            CType::Array(element, count) => {
                let count = count.map_or(String::new(), |count| count.to_string());
                let inner = format!("{}[{count}]", grouped(inner));
                element.declare(symbols, inner, depth + 1)
            }
            CType::Function { result, parameters, variadic } => {
                let written = |ty: &CType| ty.declare(symbols, String::new(), depth + 1);
                let mut list: Vec<String> = parameters.iter().map(written).collect();
                match (list.is_empty(), variadic) {
                    (true, false) => list.push("void".to_owned()),
                    (_, true) => list.push("...".to_owned()),
                    _ => {}
                }
                let inner = format!("{}({})", grouped(inner), list.join(", "));
                result.declare(symbols, inner, depth + 1)
            }
            CType::Qualified(word, of) => match &**of {
                // `int * const`: behind the star it is of.
                CType::Pointer(target) => {
                    let space = if inner.is_empty() { "" } else { " " };
                    target.declare(symbols, format!("* {word}{space}{inner}"), depth + 1)
                }
                of => format!("{word} {}", of.declare(symbols, inner, depth + 1)),
            },
        }
    }

    /// Its members, for a struct or union, in order; anonymous ones by an
    /// empty name.
    pub fn members(&self, symbols: &Symbols) -> Vec<Field> {
        let layout = self.known().and_then(|ty| symbols.layout_of(ty));
        layout.map_or(Vec::new(), |layout| layout.members.iter().map(Field::from).collect())
    }

    /// The member of this name, also inside anonymous structs and unions.
    pub fn member(&self, symbols: &Symbols, name: &str) -> Option<Field> {
        let layout = symbols.layout_of(self.known()?)?;
        layout.member(name).as_ref().map(Field::from)
    }

    /// The described type it is, through qualifiers.
    pub fn known(&self) -> Option<TypeRef> {
        match self {
            CType::Known(ty) => Some(*ty),
            CType::Qualified(_, of) => of.known(),
            _ => None,
        }
    }

    /// Whether it is C's plain `char`, perhaps `const`: a pointer to it is
    /// text. A `u8` is seldom text, and behind a pointer to it may be a
    /// device, where a read has effects.
    pub fn is_char(&self, symbols: &Symbols) -> bool {
        match self {
            CType::Known(ty) => {
                matches!(symbols.type_shape(*ty), TypeShape::Char { .. })
                    && (symbols.type_name(*ty).split(' '))
                        .all(|word| matches!(word, "char" | "const" | "volatile"))
            }
            CType::Qualified(_, of) => of.is_char(symbols),
            CType::Basic(basic) => *basic == Basic::Char,
            _ => false,
        }
    }

    /// Whether it is `void`.
    pub fn is_void(&self, symbols: &Symbols) -> bool {
        matches!(self.shape(symbols), Shape::Void)
    }
}

/// A declarator that something binds stronger to than its star does.
fn grouped(inner: String) -> String {
    if inner.starts_with('*') { format!("({inner})") } else { inner }
}

fn known(shape: TypeShape) -> Shape {
    match shape {
        TypeShape::Int { size, signed } => Shape::Int { size, signed },
        TypeShape::Bool { size } => Shape::Bool { size },
        TypeShape::Char { signed } => Shape::Char { signed },
        TypeShape::Float { size } => Shape::Float { size },
        TypeShape::Enum { size, names } => Shape::Enum { size, names },
        TypeShape::Pointer { size, target } => Shape::Pointer { size, target: target.into() },
        TypeShape::Struct { name, size, union } => Shape::Struct { name, size, union },
        TypeShape::Array { element, counts } => {
            let (first, rest) = match counts.split_first() {
                Some((first, rest)) => (*first, rest),
                None => (None, &[][..]),
            };
            let of = |element: CType, count: &Option<u64>| CType::Array(Box::new(element), *count);
            Shape::Array { element: rest.iter().rev().fold(element.into(), of), count: first }
        }
        TypeShape::Function => Shape::Function,
        TypeShape::Void => Shape::Void,
        TypeShape::Unknown => Shape::Unknown,
    }
}

impl Basic {
    /// As C writes it.
    pub fn name(self) -> &'static str {
        match self {
            Basic::Void => "void",
            Basic::Bool => "_Bool",
            Basic::Char => "char",
            Basic::SignedChar => "signed char",
            Basic::UnsignedChar => "unsigned char",
            Basic::Short => "short",
            Basic::UnsignedShort => "unsigned short",
            Basic::Int => "int",
            Basic::UnsignedInt => "unsigned int",
            Basic::Long => "long",
            Basic::UnsignedLong => "unsigned long",
            Basic::LongLong => "long long",
            Basic::UnsignedLongLong => "unsigned long long",
            Basic::Int128 => "__int128",
            Basic::UnsignedInt128 => "unsigned __int128",
            Basic::Float => "float",
            Basic::Double => "double",
        }
    }

    /// What it is.
    pub fn shape(self) -> Shape {
        let int = |size, signed| Shape::Int { size, signed };
        match self {
            Basic::Void => Shape::Void,
            Basic::Bool => Shape::Bool { size: 1 },
            Basic::Char | Basic::SignedChar => Shape::Char { signed: true },
            Basic::UnsignedChar => Shape::Char { signed: false },
            Basic::Short => int(2, true),
            Basic::UnsignedShort => int(2, false),
            Basic::Int => int(4, true),
            Basic::UnsignedInt => int(4, false),
            Basic::Long | Basic::LongLong => int(8, true),
            Basic::UnsignedLong | Basic::UnsignedLongLong => int(8, false),
            Basic::Int128 => int(16, true),
            Basic::UnsignedInt128 => int(16, false),
            Basic::Float => Shape::Float { size: 4 },
            Basic::Double => Shape::Float { size: 8 },
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn built_types_are_written_as_c_declares_them() {
        let symbols = Symbols::new();
        let int = || CType::Basic(Basic::Int);
        let name = |ty: CType| ty.name(&symbols);
        assert_eq!(name(int().pointer()), "int *");
        assert_eq!(name(int().pointer().pointer()), "int **");
        assert_eq!(name(int().array(3)), "int [3]");
        assert_eq!(name(int().array(3).pointer()), "int (*)[3]");
        assert_eq!(name(int().array(3).array(2)), "int [2][3]");
        assert_eq!(name(int().pointer().array(3)), "int *[3]");
        let function = CType::Function {
            result: Box::new(CType::Basic(Basic::Void)),
            parameters: vec![int(), int().pointer()],
            variadic: false,
        };
        assert_eq!(name(function.clone()), "void (int, int *)");
        assert_eq!(name(function.clone().pointer()), "void (*)(int, int *)");
        assert_eq!(name(function.pointer().array(4)), "void (*[4])(int, int *)");
        let constant = |ty| CType::Qualified("const", Box::new(ty));
        assert_eq!(name(constant(int()).pointer()), "const int *");
        assert_eq!(name(constant(int().pointer())), "int * const");
    }

    #[test]
    fn sizes_are_those_of_the_abi() {
        let symbols = Symbols::new();
        let size = |ty: CType| ty.size(&symbols);
        assert_eq!(size(CType::Basic(Basic::Long).array(3)), Some(24));
        assert_eq!(size(CType::Basic(Basic::Int128)), Some(16));
        assert_eq!(size(CType::Basic(Basic::Void)), None);
        assert_eq!(size(CType::Basic(Basic::Void).pointer()), Some(8));
        assert_eq!(size(CType::Array(Box::new(CType::Basic(Basic::Char)), None)), Some(0));
    }
}
