//! Types as C spells them: words in any order, then an abstract declarator.
//! `unsigned long int *const`, `struct foo *(*)(int)`, `char (*[4])[16]`.

use crate::eval::expr::{
    ast::{At, MOST_NESTED, TypeExpr, TypeKind},
    error::ExprError,
    lex::Token,
    parse::{Parser, Result},
};

/// Words that only types begin with.
const WORDS: [&str; 22] = [
    "void",
    "char",
    "short",
    "int",
    "long",
    "float",
    "double",
    "signed",
    "unsigned",
    "_Bool",
    "__int128",
    "const",
    "volatile",
    "restrict",
    "_Atomic",
    "struct",
    "union",
    "enum",
    "typeof",
    "__typeof__",
    "__signed__",
    "__volatile__",
];

/// A step of a declarator, from the name outwards.
enum Part {
    Pointer(Vec<&'static str>),
    Array(Option<u64>),
    Function(Vec<TypeExpr>),
}

impl TypeExpr {
    pub fn new(kind: TypeKind, at: At) -> Result<TypeExpr> {
        let below = match &kind {
            TypeKind::Basic(_) | TypeKind::Tagged(..) | TypeKind::Named { .. } => 0,
            TypeKind::Of(expr) => expr.depth,
            TypeKind::Qualified(_, of) | TypeKind::Pointer(of) | TypeKind::Array(of, _) => of.depth,
            TypeKind::Function(of, list) => {
                list.iter().map(|ty| ty.depth).fold(of.depth, usize::max)
            }
        };
        if below >= MOST_NESTED {
            return Err(ExprError::new(at, "this type is nested too deeply"));
        }
        Ok(TypeExpr { kind, at, depth: below + 1 })
    }
}

impl Parser<'_> {
    /// Whether a type begins here.
    pub fn at_type(&self) -> bool {
        match self.token() {
            Token::Name(name) if WORDS.contains(&name.as_str()) => true,
            Token::Name(name) => match self.adjacent_name(1) {
                Some(own) => (self.is_type)(&format!("{name}!{own}")),
                // `name::…` and `name!…` are no types by themselves.
                None => !self.is_mark(1, "::") && (self.is_type)(name),
            },
            _ => false,
        }
    }

    /// A type with its declarator, which names nothing.
    pub fn type_name(&mut self) -> Result<TypeExpr> {
        let start = self.word().at.start;
        self.enter()?;
        let base = self.specifiers()?;
        self.leave();
        let mut parts = Vec::new();
        self.declarator(&mut parts, 0)?;
        let mut ty = base;
        for part in parts.into_iter().rev() {
            let at = start..self.end_of_last();
            ty = match part {
                Part::Pointer(words) => {
                    let pointer = TypeExpr::new(TypeKind::Pointer(Box::new(ty)), at)?;
                    qualified(pointer, &words)?
                }
                Part::Array(count) => TypeExpr::new(TypeKind::Array(Box::new(ty), count), at)?,
                Part::Function(list) => TypeExpr::new(TypeKind::Function(Box::new(ty), list), at)?,
            };
        }
        ty.at = start..self.end_of_last();
        Ok(ty)
    }

    /// The words before the declarator, in any order.
    fn specifiers(&mut self) -> Result<TypeExpr> {
        let start = self.word().at.start;
        let (mut basics, mut qualifiers) = (Vec::new(), Vec::new());
        let mut whole: Option<TypeKind> = None;
        while let Token::Name(name) = self.token().clone() {
            let kind = match name.as_str() {
                "const" | "volatile" | "__volatile__" | "restrict" | "_Atomic" => {
                    qualifiers.extend(qualifier(&name));
                    self.skip();
                    continue;
                }
                keyword @ ("struct" | "union" | "enum") => {
                    self.skip();
                    let keyword = ["struct", "union", "enum"].into_iter().find(|k| *k == keyword);
                    let tag = self.name(&format!("the tag of a {name}"))?;
                    TypeKind::Tagged(keyword.unwrap_or("struct"), tag)
                }
                "typeof" | "__typeof__" => {
                    self.skip();
                    self.expect("(")?;
                    let inner = match self.at_type() {
                        true => self.type_name()?.kind,
                        false => TypeKind::Of(Box::new(self.comma()?)),
                    };
                    self.expect(")")?;
                    inner
                }
                word if WORDS.contains(&word) => {
                    if whole.is_some() {
                        break;
                    }
                    basics.push(name);
                    self.skip();
                    continue;
                }
                _ if whole.is_some() || !basics.is_empty() || !self.at_type() => break,
                _ => {
                    self.skip();
                    match self.adjacent_name(0) {
                        Some(own) => {
                            self.skip();
                            self.skip();
                            TypeKind::Named { module: Some(name), name: own }
                        }
                        None => TypeKind::Named { module: None, name },
                    }
                }
            };
            if whole.is_some() || !basics.is_empty() {
                let at = start..self.end_of_last();
                return Err(ExprError::new(at, "these are two types in one"));
            }
            whole = Some(kind);
        }
        let at = start..self.end_of_last().max(start);
        let kind = match (whole, basics.is_empty()) {
            (Some(kind), _) => kind,
            (None, false) => TypeKind::Basic(basic(&basics).ok_or_else(|| {
                ExprError::new(at.clone(), format!("C has no type '{}'", basics.join(" ")))
            })?),
            (None, true) => return Err(self.wanted("a type")),
        };
        qualified(TypeExpr::new(kind, at)?, &qualifiers)
    }

    /// What follows the words; its parts come from the name outwards.
    fn declarator(&mut self, parts: &mut Vec<Part>, depth: usize) -> Result<()> {
        if depth > MOST_NESTED {
            return Err(self.deep());
        }
        if self.eat("*") {
            let mut words = Vec::new();
            while let Token::Name(name) = self.token() {
                let Some(word) = qualifier(name) else { break };
                words.extend((word != "restrict").then_some(word));
                self.skip();
            }
            self.declarator(parts, depth + 1)?;
            parts.push(Part::Pointer(words));
            return Ok(());
        }
        // A parenthesis holds a declarator when one of its marks follows, and
        // parameters otherwise.
        let nested =
            self.is_mark(0, "(") && ["*", "(", "["].iter().any(|mark| self.is_mark(1, mark));
        if nested {
            self.skip();
            self.declarator(parts, depth + 1)?;
            self.expect(")")?;
        }
        loop {
            if self.eat("[") {
                let count = match self.token() {
                    Token::Integer(integer) => Some(integer.value),
                    _ => None,
                };
                if count.is_some() {
                    self.skip();
                }
                self.expect("]")?;
                parts.push(Part::Array(count));
            } else if self.is_mark(0, "(") {
                parts.push(Part::Function(self.parameters()?));
            } else {
                return Ok(());
            }
        }
    }

    fn parameters(&mut self) -> Result<Vec<TypeExpr>> {
        self.expect("(")?;
        let mut list = Vec::new();
        if self.eat(")") {
            return Ok(list);
        }
        self.enter()?;
        loop {
            if self.eat(".") {
                self.expect(".")?;
                self.expect(".")?;
                break;
            }
            list.push(self.type_name()?);
            // A parameter may have a name, as when it is pasted from source.
            if let Token::Name(_) = self.token() {
                self.skip();
            }
            if !self.eat(",") {
                break;
            }
        }
        self.leave();
        self.expect(")")?;
        Ok(list)
    }
}

fn qualifier(word: &str) -> Option<&'static str> {
    match word {
        "const" => Some("const"),
        "volatile" | "__volatile__" => Some("volatile"),
        // It says nothing about values.
        "restrict" | "__restrict" => Some("restrict"),
        "_Atomic" => Some("_Atomic"),
        _ => None,
    }
}

/// The same type with these words, each once, in gdb's order.
fn qualified(mut ty: TypeExpr, words: &[&'static str]) -> Result<TypeExpr> {
    for word in ["_Atomic", "volatile", "const"] {
        if words.contains(&word) {
            let at = ty.at.clone();
            ty = TypeExpr::new(TypeKind::Qualified(word, Box::new(ty)), at)?;
        }
    }
    Ok(ty)
}

/// The name compilers give a type that is spelled with these words.
fn basic(words: &[String]) -> Option<&'static str> {
    let count = |wanted: &str| {
        words.iter().filter(|word| word.trim_matches('_') == wanted.trim_matches('_')).count()
    };
    let (signed, unsigned) = (count("signed"), count("unsigned"));
    let (long, short, int, char) = (count("long"), count("short"), count("int"), count("char"));
    let others = ["void", "float", "double", "_Bool", "__int128"];
    let other = others.into_iter().find(|word| count(word) > 0);
    let once = words.len() == 1 + long + signed + unsigned;
    if signed + unsigned > 1 || short > 1 || int > 1 || char > 1 || long > 2 {
        return None;
    }
    let is_unsigned = unsigned > 0;
    if let Some(other) = other {
        return match other {
            "double" if once && long == 1 && signed + unsigned == 0 => Some("long double"),
            "__int128" if once && long == 0 => {
                Some(if is_unsigned { "__int128 unsigned" } else { "__int128" })
            }
            _ if words.len() == 1 => Some(other),
            _ => None,
        };
    }
    match (long, short, char) {
        (0, 0, 0) if is_unsigned => Some("unsigned int"),
        (0, 0, 0) => Some("int"),
        (1, 0, 0) if is_unsigned => Some("long unsigned int"),
        (1, 0, 0) => Some("long int"),
        (2, 0, 0) if is_unsigned => Some("long long unsigned int"),
        (2, 0, 0) => Some("long long int"),
        (0, 1, 0) if is_unsigned => Some("short unsigned int"),
        (0, 1, 0) => Some("short int"),
        (0, 0, 1) if int > 0 => None,
        (0, 0, 1) if is_unsigned => Some("unsigned char"),
        (0, 0, 1) if signed > 0 => Some("signed char"),
        (0, 0, 1) => Some("char"),
        _ => None,
    }
}
