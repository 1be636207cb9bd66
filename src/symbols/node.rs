//! Types one step at a time, whatever describes them: a struct, a pointer to
//! something, a name for something. Everything that is said of types (their
//! names, sizes, layouts, how they are printed) is said over these, so DWARF
//! and BTF are told apart here and nowhere else.
//!
//! A [`Types`] is for one question: units it opened and steps it took are kept
//! until it is dropped.

use crate::symbols::{
    answer::TypeRef,
    dwarf::{MAX_HOPS, Unit},
    from_btf, from_dwarf,
    index::Kind,
    placed::{Placed, Symbols},
};
use rustc_hash::FxHashMap;
use std::{cell::RefCell, rc::Rc};

/// Typedefs and qualifiers in a row at most.
const MAX_NAMES: usize = MAX_HOPS * 4;

/// The unit of a [`TypeRef`] whose type is in BTF; its entry is the number.
pub(super) const BTF_UNIT: u32 = u32::MAX;

/// What a type is right here; names and qualifiers are steps of their own.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Node {
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
pub(super) enum Encoding {
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
pub(super) struct Function {
    pub result: TypeRef,
    pub parameters: Vec<TypeRef>,
    /// It ends in `...`.
    pub variadic: bool,
    /// `f(void)` rather than `f()`.
    pub prototyped: bool,
}

/// A member of a struct or union.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Field {
    /// Empty for an anonymous struct or union.
    pub name: String,
    pub ty: TypeRef,
    /// Its first bit, counted from the start of the struct.
    pub bit: u64,
    /// How many bits, for a bit field.
    pub bits: Option<u32>,
}

/// A unit that was opened, and the image it is of.
pub(super) struct Opened<'a> {
    pub placed: &'a Placed,
    pub unit: Unit<'a>,
}

/// Types as one question sees them.
pub(super) struct Types<'a> {
    pub symbols: &'a Symbols,
    units: RefCell<FxHashMap<(u32, u32), Option<Rc<Opened<'a>>>>>,
    nodes: RefCell<FxHashMap<TypeRef, Rc<Node>>>,
}

impl<'a> Types<'a> {
    pub fn new(symbols: &'a Symbols) -> Types<'a> {
        Types { symbols, units: RefCell::default(), nodes: RefCell::default() }
    }

    /// The unit that describes a type.
    pub fn unit(&self, ty: TypeRef) -> Option<Rc<Opened<'a>>> {
        let open = || {
            let placed = self.symbols.image(ty.image)?;
            let unit = Unit::open(&placed.image, ty.unit)?;
            Some(Rc::new(Opened { placed, unit }))
        };
        self.units.borrow_mut().entry((ty.image.0, ty.unit)).or_insert_with(open).clone()
    }

    /// What a type is.
    pub fn node(&self, ty: TypeRef) -> Rc<Node> {
        if let Some(known) = self.nodes.borrow().get(&ty) {
            return known.clone();
        }
        let node = match () {
            () if ty.is_void() => Some(Node::Void),
            () if ty.unit == BTF_UNIT => from_btf::node(self.symbols, ty),
            () => self.unit(ty).and_then(|opened| from_dwarf::node(self, &opened, ty)),
        };
        let node = Rc::new(node.unwrap_or(Node::Unknown));
        self.nodes.borrow_mut().insert(ty, node.clone());
        node
    }

    /// The members of a struct or union that is described here.
    pub fn members(&self, ty: TypeRef) -> Vec<Field> {
        match ty.unit {
            BTF_UNIT => from_btf::members(self.symbols, ty),
            _ => self.unit(ty).map(|opened| from_dwarf::members(self, &opened, ty)),
        }
        .unwrap_or_default()
    }

    /// The enumerators of an enumeration that is described here.
    pub fn enumerators(&self, ty: TypeRef) -> Vec<(String, i64)> {
        match ty.unit {
            BTF_UNIT => from_btf::enumerators(self.symbols, ty),
            _ => self.unit(ty).map(|opened| from_dwarf::enumerators(&opened, ty)),
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

    /// The same, where it is described whole if it is only declared here.
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
