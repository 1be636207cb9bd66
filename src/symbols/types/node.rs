//! Types one step at a time, whatever describes them: a struct, a pointer to
//! something, a name for something. Everything that is said of types (their
//! names, sizes, layouts, how they are printed) is said over these, so DWARF
//! and BTF are told apart here and nowhere else.
//!
//! A [`Types`] is for one question: units it opened and steps it took are kept
//! until it is dropped.

use crate::symbols::{
    answer::TypeRef,
    dwarf::{
        index::Kind,
        reader::{At, MAX_HOPS, Unit},
    },
    placed::{Placed, Symbols},
    types::{from_btf, from_dwarf},
};
use rustc_hash::FxHashMap;
use std::{cell::RefCell, rc::Rc};

/// Typedefs and qualifiers in a row at most.
const MAX_NAMES: usize = MAX_HOPS * 4;

/// The unit of a [`TypeRef`] whose type is in BTF; its entry is the number.
pub(in crate::symbols) const BTF_UNIT: u32 = u32::MAX;

/// What a type is right here; names and qualifiers are steps of their own.
#[derive(Clone, Debug, PartialEq)]
pub(in crate::symbols) enum Node {
    Void,
    /// An integer or the like, by the name its description gives it.
    Base {
        name: String,
        size: u64,
        encoding: Encoding,
    },
    Pointer {
        size: u64,
        target: TypeRef,
    },
    /// A struct or union; without a size it is only declared here.
    Composite {
        union: bool,
        name: Option<String>,
        size: Option<u64>,
    },
    Enum {
        name: Option<String>,
        size: Option<u64>,
    },
    Typedef {
        name: String,
        target: TypeRef,
    },
    Qualified {
        word: &'static str,
        target: TypeRef,
    },
    /// Counts by dimension, outermost first; `None` for `[]`.
    Array {
        element: TypeRef,
        counts: Vec<Option<u64>>,
        vector: bool,
    },
    Function(Function),
    /// Not described, or a kind that C does not have.
    Unknown,
}

/// What the bits of a base type mean.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::symbols) enum Encoding {
    Signed,
    Unsigned,
    SignedChar,
    UnsignedChar,
    Bool,
    Float,
    Other,
}

/// The type of a function.
#[derive(Clone, Debug, PartialEq)]
pub(in crate::symbols) struct Function {
    pub result: TypeRef,
    pub parameters: Vec<TypeRef>,
    /// It ends in `...`.
    pub variadic: bool,
    /// `f(void)` rather than `f()`.
    pub prototyped: bool,
}

/// A member of a struct or union.
#[derive(Clone, Debug, PartialEq)]
pub(in crate::symbols) struct Field {
    /// Empty for an anonymous struct or union.
    pub name: String,
    pub ty: TypeRef,
    /// Its first bit, counted from the start of the struct.
    pub bit: u64,
    /// How many bits, for a bit field.
    pub bits: Option<u32>,
}

/// An entry that describes a type, and the image it is in.
pub(in crate::symbols) struct Described<'a> {
    pub placed: &'a Placed,
    pub at: At<'a>,
}

/// Types as one question sees them.
pub(in crate::symbols) struct Types<'a> {
    pub symbols: &'a Symbols,
    /// A unit of each image, from which its others are reached.
    units: RefCell<FxHashMap<u32, (&'a Placed, Unit<'a>)>>,
    nodes: RefCell<FxHashMap<TypeRef, Rc<Node>>>,
}

impl<'a> Types<'a> {
    pub fn new(symbols: &'a Symbols) -> Types<'a> {
        Types { symbols, units: RefCell::default(), nodes: RefCell::default() }
    }

    /// The entry of a type that DWARF describes; a type that is only named
    /// there and has a unit of its own is found in that.
    fn entry(&self, ty: TypeRef) -> Option<Described<'a>> {
        let known = self.units.borrow().get(&ty.image.0).cloned();
        let (placed, unit) = match known {
            Some((placed, unit)) => (placed, unit),
            None => {
                let placed = self.symbols.image(ty.image)?;
                let unit = Unit::open(&placed.image, ty.unit)?;
                self.units.borrow_mut().insert(ty.image.0, (placed, unit.clone()));
                (placed, unit)
            }
        };
        let at = unit.at((ty.unit, ty.die))?;
        let signature = at.attr(gimli::DW_AT_signature);
        let at = signature.and_then(|signature| at.unit.referred(signature)).unwrap_or(at);
        Some(Described { placed, at })
    }

    /// What a type is.
    pub fn node(&self, ty: TypeRef) -> Rc<Node> {
        if let Some(known) = self.nodes.borrow().get(&ty) {
            return known.clone();
        }
        let node = match () {
            () if ty.is_void() => Some(Node::Void),
            () if ty.unit == BTF_UNIT => from_btf::node(self.symbols, ty),
            () => self.entry(ty).and_then(|entry| from_dwarf::node(&entry)),
        };
        let node = Rc::new(node.unwrap_or(Node::Unknown));
        self.nodes.borrow_mut().insert(ty, node.clone());
        node
    }

    /// The members of a struct or union that is described here.
    pub fn members(&self, ty: TypeRef) -> Vec<Field> {
        match ty.unit {
            BTF_UNIT => from_btf::members(self.symbols, ty),
            _ => self.entry(ty).map(|entry| from_dwarf::members(self, &entry)),
        }
        .unwrap_or_default()
    }

    /// The enumerators of an enumeration that is described here.
    pub fn enumerators(&self, ty: TypeRef) -> Vec<(String, i64)> {
        match ty.unit {
            BTF_UNIT => from_btf::enumerators(self.symbols, ty),
            _ => self.entry(ty).map(|entry| from_dwarf::enumerators(&entry)),
        }
        .unwrap_or_default()
    }

    /// A type without typedefs and qualifiers.
    pub fn plain(&self, ty: TypeRef) -> (TypeRef, Rc<Node>) {
        let mut at = ty;
        for _ in 0..MAX_NAMES {
            let node = self.node(at);
            match &*node {
                Node::Typedef { target, .. } | Node::Qualified { target, .. } => at = *target,
                _ => return (at, node),
            }
        }
        (at, Rc::new(Node::Unknown))
    }

    /// A type without the typedefs it starts with; qualifiers behind them stay.
    pub fn past_typedefs(&self, ty: TypeRef) -> TypeRef {
        let mut at = ty;
        for _ in 0..MAX_NAMES {
            match &*self.node(at) {
                Node::Typedef { target, .. } => at = *target,
                _ => break,
            }
        }
        at
    }

    /// The same as [`Types::plain`], where it is described whole if it is only declared here.
    pub fn whole(&self, ty: TypeRef) -> (TypeRef, Rc<Node>) {
        let (at, node) = self.plain(ty);
        let kind = match &*node {
            Node::Composite { union: false, size: None, .. } => Kind::Struct,
            Node::Composite { union: true, size: None, .. } => Kind::Union,
            Node::Enum { size: None, .. } => Kind::Enum,
            _ => return (at, node),
        };
        let (Node::Composite { name: Some(name), .. } | Node::Enum { name: Some(name), .. }) =
            &*node
        else {
            return (at, node);
        };
        // The image itself first: a module's own type of that name is meant.
        let own = self.symbols.image(at.image);
        let own = own.and_then(|placed| self.symbols.type_named_in(placed, name, &[kind]));
        match own.or_else(|| self.symbols.type_named(name, &[kind])) {
            Some(whole) if whole != at => (whole, self.node(whole)),
            _ => (at, node),
        }
    }

    /// Bytes of a value; `None` for void, functions and what is not complete.
    pub fn size(&self, ty: TypeRef) -> Option<u64> {
        let mut at = ty;
        let mut count: u64 = 1;
        for _ in 0..MAX_HOPS {
            let size = match &*self.whole(at).1 {
                Node::Base { size, .. } | Node::Pointer { size, .. } => *size,
                Node::Composite { size, .. } | Node::Enum { size, .. } => (*size)?,
                Node::Array { element, counts, .. } => {
                    for dimension in counts {
                        count = count.checked_mul(dimension.unwrap_or(0))?;
                    }
                    at = *element;
                    continue;
                }
                _ => return None,
            };
            return size.checked_mul(count);
        }
        None
    }
}
