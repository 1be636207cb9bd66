//! What an expression is made of. It is printed with all its parentheses, and
//! what is printed is read back as the same.

use std::{fmt, ops::Range};

/// How deep an expression may be nested, operators in a row included: what is
/// walked by recursion must not use up the stack.
pub(super) const MOST_NESTED: usize = 100;

/// A place in the text.
pub(super) type At = Range<usize>;

/// An integer as it is written; its type follows from that (C11 6.4.4.1).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Integer {
    pub value: u64,
    pub unsigned: bool,
    /// How many `l` follow it.
    pub longs: u8,
    pub decimal: bool,
}

/// An expression, and where it stands.
#[derive(Clone, Debug)]
pub(super) struct Expr {
    pub kind: Kind,
    pub at: At,
    /// The longest way down from here.
    pub depth: usize,
}

#[derive(Clone, Debug)]
pub(super) enum Kind {
    Integer(Integer),
    /// A fraction, and whether it is a `float`.
    Float(f64, bool),
    Char(u8),
    Text(Vec<u8>),
    Name(Name),
    /// A register or a convenience variable.
    Dollar(String),
    History(History),
    Unary(Unary, Box<Expr>),
    Binary(Binary, Box<Expr>, Box<Expr>),
    /// `target = value`, or with an operator `target += value`.
    Assign(Option<Binary>, Box<Expr>, Box<Expr>),
    /// `++x`, `x--`: by how much, and whether the new value is meant.
    Step {
        target: Box<Expr>,
        up: bool,
        before: bool,
    },
    Conditional(Box<Expr>, Box<Expr>, Box<Expr>),
    Cast(Box<TypeExpr>, Box<Expr>),
    SizeOfType(Box<TypeExpr>),
    AlignOfType(Box<TypeExpr>),
    SizeOf(Box<Expr>),
    /// gdb's `{T} address`.
    TypedAt(Box<TypeExpr>, Box<Expr>),
    Member {
        of: Box<Expr>,
        arrow: bool,
        name: String,
        name_at: At,
    },
    Index(Box<Expr>, Box<Expr>),
    /// `container_of(pointer, T, member)` (include/linux/container_of.h).
    ContainerOf(Box<Expr>, Box<TypeExpr>, Vec<Step>),
    OffsetOf(Box<TypeExpr>, Vec<Step>),
    /// `per_cpu(x, n)`; without a number of the CPU that is shown. With
    /// `pointer` it is given the address of a per-CPU variable and gives that
    /// of a copy (include/linux/percpu-defs.h).
    PerCpu {
        of: Box<Expr>,
        cpu: Option<Box<Expr>>,
        pointer: bool,
    },
    /// A type by itself, for `ptype` and `whatis`.
    Type(Box<TypeExpr>),
}

/// A variable, function or enumerator, as far as it is said where it is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Name {
    pub module: Option<String>,
    pub scope: Option<Scope>,
    pub name: String,
}

/// Where a name is looked up.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Scope {
    /// `'file.c'::`
    File(String),
    /// `function::`
    Function(String),
}

/// A value printed before.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum History {
    /// `$7`
    Number(u32),
    /// `$` is 0 back, `$$` one, `$$3` three.
    Back(u32),
}

/// A step of the path to a member.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Step {
    Member(String, At),
    Index(u64, At),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Unary {
    Plus,
    Minus,
    Not,
    BitNot,
    Deref,
    Address,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Binary {
    Comma,
    Or,
    And,
    BitOr,
    BitXor,
    BitAnd,
    Equal,
    NotEqual,
    Less,
    Greater,
    LessEqual,
    GreaterEqual,
    ShiftLeft,
    ShiftRight,
    /// gdb's `@`: so many of them as an array.
    Repeat,
    Add,
    Subtract,
    Multiply,
    Divide,
    Remainder,
}

/// A type as it is written.
#[derive(Clone, Debug)]
pub(super) struct TypeExpr {
    pub kind: TypeKind,
    pub at: At,
    pub depth: usize,
}

#[derive(Clone, Debug)]
pub(super) enum TypeKind {
    /// One that C has words for, by the name compilers give it.
    Basic(&'static str),
    /// `struct page`: the keyword and the tag.
    Tagged(&'static str, String),
    /// A typedef.
    Named {
        module: Option<String>,
        name: String,
    },
    /// `typeof(expression)`.
    Of(Box<Expr>),
    /// `const` or `volatile` something.
    Qualified(&'static str, Box<TypeExpr>),
    Pointer(Box<TypeExpr>),
    Array(Box<TypeExpr>, Option<u64>),
    Function(Box<TypeExpr>, Vec<TypeExpr>),
}

impl Unary {
    pub fn mark(self) -> &'static str {
        match self {
            Unary::Plus => "+",
            Unary::Minus => "-",
            Unary::Not => "!",
            Unary::BitNot => "~",
            Unary::Deref => "*",
            Unary::Address => "&",
        }
    }
}

impl Binary {
    /// How it is written, and how strongly it binds; as in gdb's c-exp.y.
    const ALL: [(Binary, &'static str, u8); 20] = [
        (Binary::Comma, ",", 0),
        (Binary::Or, "||", 2),
        (Binary::And, "&&", 3),
        (Binary::BitOr, "|", 4),
        (Binary::BitXor, "^", 5),
        (Binary::BitAnd, "&", 6),
        (Binary::Equal, "==", 7),
        (Binary::NotEqual, "!=", 7),
        (Binary::Less, "<", 8),
        (Binary::Greater, ">", 8),
        (Binary::LessEqual, "<=", 8),
        (Binary::GreaterEqual, ">=", 8),
        (Binary::ShiftLeft, "<<", 9),
        (Binary::ShiftRight, ">>", 9),
        (Binary::Repeat, "@", 10),
        (Binary::Add, "+", 11),
        (Binary::Subtract, "-", 11),
        (Binary::Multiply, "*", 12),
        (Binary::Divide, "/", 12),
        (Binary::Remainder, "%", 12),
    ];

    pub fn mark(self) -> &'static str {
        Binary::ALL.iter().find(|(op, ..)| *op == self).map_or("", |(_, mark, _)| mark)
    }

    /// The operator of a mark and its strength; the comma is not among them.
    pub fn of_mark(mark: &str) -> Option<(Binary, u8)> {
        let found = Binary::ALL.iter().skip(1).find(|(_, own, _)| *own == mark);
        found.map(|(op, _, strength)| (*op, *strength))
    }

    /// The operator of `+=` and its like.
    pub fn of_assignment(mark: &str) -> Option<Binary> {
        let operator = mark.strip_suffix('=')?;
        let (op, strength) = Binary::of_mark(operator)?;
        (strength >= 4 && !matches!(strength, 7 | 8 | 10)).then_some(op)
    }
}

impl fmt::Display for Expr {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.kind {
            Kind::Integer(integer) => {
                let sign = if integer.unsigned { "u" } else { "" };
                let longs = "l".repeat(usize::from(integer.longs));
                match integer.decimal {
                    true => write!(f, "{}{sign}{longs}", integer.value),
                    false => write!(f, "{:#x}{sign}{longs}", integer.value),
                }
            }
            Kind::Float(value, single) => {
                write!(f, "{value:?}{}", if *single { "f" } else { "" })
            }
            Kind::Char(byte) => write!(f, "'{}'", escaped(*byte, '\'')),
            Kind::Text(bytes) => {
                let text: String = bytes.iter().map(|byte| escaped(*byte, '"')).collect();
                write!(f, "\"{text}\"")
            }
            Kind::Name(name) => name.fmt(f),
            Kind::Dollar(name) => write!(f, "${name}"),
            Kind::History(History::Number(number)) => write!(f, "${number}"),
            Kind::History(History::Back(0)) => f.write_str("$"),
            Kind::History(History::Back(1)) => f.write_str("$$"),
            Kind::History(History::Back(back)) => write!(f, "$${back}"),
            Kind::Unary(op, of) => write!(f, "({}{of})", op.mark()),
            Kind::Binary(op, left, right) => write!(f, "({left} {} {right})", op.mark()),
            Kind::Assign(op, target, value) => {
                write!(f, "({target} {}= {value})", op.map_or("", Binary::mark))
            }
            Kind::Step { target, up, before } => {
                let mark = if *up { "++" } else { "--" };
                match before {
                    true => write!(f, "({mark}{target})"),
                    false => write!(f, "({}{mark})", Operand(target)),
                }
            }
            Kind::Conditional(test, yes, no) => write!(f, "({test} ? {yes} : {no})"),
            Kind::Cast(ty, of) => write!(f, "(({ty}){of})"),
            Kind::SizeOfType(ty) => write!(f, "sizeof({ty})"),
            Kind::AlignOfType(ty) => write!(f, "_Alignof({ty})"),
            Kind::SizeOf(of) => write!(f, "sizeof({of})"),
            Kind::TypedAt(ty, address) => write!(f, "({{{ty}}}{address})"),
            Kind::Member { of, arrow, name, .. } => {
                write!(f, "{}{}{name}", Operand(of), if *arrow { "->" } else { "." })
            }
            Kind::Index(of, index) => write!(f, "{}[{index}]", Operand(of)),
            Kind::ContainerOf(pointer, ty, path) => {
                write!(f, "container_of({pointer}, {ty}, {})", Path(path))
            }
            Kind::OffsetOf(ty, path) => write!(f, "offsetof({ty}, {})", Path(path)),
            Kind::PerCpu { of, cpu, pointer } => {
                let pointer = if *pointer { "_ptr" } else { "" };
                match cpu {
                    Some(cpu) => write!(f, "per_cpu{pointer}({of}, {cpu})"),
                    None => write!(f, "this_cpu{pointer}({of})"),
                }
            }
            Kind::Type(ty) => ty.fmt(f),
        }
    }
}

/// What something is put behind: `1.b` would be a number.
struct Operand<'a>(&'a Expr);

impl fmt::Display for Operand<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0.kind {
            Kind::Integer(_) | Kind::Float(..) | Kind::SizeOf(_) | Kind::SizeOfType(_) => {
                write!(f, "({})", self.0)
            }
            _ => self.0.fmt(f),
        }
    }
}

struct Path<'a>(&'a [Step]);

impl fmt::Display for Path<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (place, step) in self.0.iter().enumerate() {
            match step {
                Step::Member(name, _) if place == 0 => f.write_str(name)?,
                Step::Member(name, _) => write!(f, ".{name}")?,
                Step::Index(index, _) => write!(f, "[{index}]")?,
            }
        }
        Ok(())
    }
}

impl fmt::Display for Name {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let plain = |text: &str| text.chars().all(|c| c.is_alphanumeric() || c == '_');
        let quoted = |text: &str| match plain(text) {
            true => text.to_owned(),
            false => format!("'{text}'"),
        };
        if let Some(module) = &self.module {
            write!(f, "{module}!")?;
        }
        match &self.scope {
            Some(Scope::File(file)) => write!(f, "'{file}'::")?,
            Some(Scope::Function(function)) => write!(f, "{}::", quoted(function))?,
            None => {}
        }
        f.write_str(&quoted(&self.name))
    }
}

impl fmt::Display for TypeExpr {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.declared(String::new()))
    }
}

impl TypeExpr {
    /// A declaration of what `inner` has gathered so far, as C reads it: from
    /// the name outwards.
    fn declared(&self, inner: String) -> String {
        let named = |name: String| match inner.is_empty() {
            true => name,
            false => format!("{name} {inner}"),
        };
        match &self.kind {
            TypeKind::Basic(name) => named((*name).to_owned()),
            TypeKind::Tagged(keyword, tag) => named(format!("{keyword} {tag}")),
            TypeKind::Named { module: None, name } => named(name.clone()),
            TypeKind::Named { module: Some(module), name } => named(format!("{module}!{name}")),
            TypeKind::Of(expr) => named(format!("typeof({expr})")),
            TypeKind::Qualified(word, of) => match of.kind {
                TypeKind::Pointer(_) => of.declared_pointer(&format!("{word} {inner}")),
                _ => format!("{word} {}", of.declared(inner)),
            },
            TypeKind::Pointer(_) => self.declared_pointer(&inner),
            TypeKind::Array(of, count) => {
                let count = count.map_or(String::new(), |count| count.to_string());
                of.declared(format!("{inner}[{count}]"))
            }
            TypeKind::Function(result, parameters) => {
                let list: Vec<String> = parameters.iter().map(ToString::to_string).collect();
                result.declared(format!("{inner}({})", list.join(", ")))
            }
        }
    }

    fn declared_pointer(&self, inner: &str) -> String {
        let TypeKind::Pointer(target) = &self.kind else { return self.declared(inner.to_owned()) };
        match target.kind {
            TypeKind::Array(..) | TypeKind::Function(..) => target.declared(format!("(*{inner})")),
            _ => target.declared(format!("*{inner}")),
        }
    }
}

/// One byte as it stands inside quotes.
fn escaped(byte: u8, quote: char) -> String {
    match byte {
        b'\\' => "\\\\".to_owned(),
        b' '..=b'~' if char::from(byte) == quote => format!("\\{quote}"),
        b' '..=b'~' => char::from(byte).to_string(),
        _ => format!("\\{byte:03o}"),
    }
}
