//! Types as BTF describes them.

use crate::symbols::{
    answer::TypeRef,
    placed::Symbols,
    types::{
        btf::{BtfKind, Raw, View},
        node::{BTF_UNIT, Encoding, Field, Function, Node},
    },
};

/// A pointer's bytes: only 64-bit files are opened.
const POINTER: u64 = 8;

// Of the word after an `Int` (`BTF_INT_*` in include/uapi/linux/btf.h).
const INT_SIGNED: u32 = 1;
const INT_CHAR: u32 = 2;
const INT_BOOL: u32 = 4;

/// What a type is; `None` where the number is of none.
pub(in crate::symbols) fn node(symbols: &Symbols, ty: TypeRef) -> Option<Node> {
    symbols.with_btf(ty.image, |view| {
        let raw = view.raw(ty.die)?;
        let target = at(ty, raw.size_or_type);
        let name = || view.name(raw.name);
        let size = u64::from(raw.size_or_type);
        let qualified = |word| Node::Qualified { word, target };
        Some(match raw.kind {
            BtfKind::Int => base(view, &raw),
            BtfKind::Float => Node::Base {
                name: name().unwrap_or_else(|| "?".to_owned()),
                size,
                encoding: Encoding::Float,
            },
            BtfKind::Ptr => Node::Pointer { size: POINTER, target },
            BtfKind::Struct | BtfKind::Union => Node::Composite {
                union: raw.kind == BtfKind::Union,
                name: name(),
                // A distilled base (`.BTF.base`) has names and sizes only.
                size: Some(size).filter(|_| !view.is_stub(ty.die, &raw)),
            },
            BtfKind::Fwd => Node::Composite { union: raw.flag, name: name(), size: None },
            BtfKind::Enum | BtfKind::Enum64 => {
                // An enumeration without enumerators is a declaration.
                let whole = !view.enumerators(&raw).is_empty();
                Node::Enum { name: name(), size: Some(size).filter(|_| whole) }
            }
            BtfKind::Typedef => {
                Node::Typedef { name: name().unwrap_or_else(|| "?".to_owned()), target }
            }
            BtfKind::Volatile => qualified("volatile"),
            BtfKind::Const => qualified("const"),
            BtfKind::Restrict => qualified("restrict"),
            // `__user` and the like: C does not see them.
            BtfKind::TypeTag => qualified(""),
            BtfKind::Array => array(view, ty, &raw),
            BtfKind::FuncProto => function(ty, &raw),
            BtfKind::Func => {
                let proto = view.raw(raw.size_or_type)?;
                (proto.kind == BtfKind::FuncProto).then(|| function(ty, &proto))?
            }
            BtfKind::Var | BtfKind::DataSec | BtfKind::DeclTag => return None,
        })
    })
}

fn at(ty: TypeRef, id: u32) -> TypeRef {
    TypeRef { image: ty.image, unit: BTF_UNIT, die: id }
}

fn base(view: &View<'_>, raw: &Raw<'_>) -> Node {
    let size = u64::from(raw.size_or_type);
    let name = view.name(raw.name).unwrap_or_else(|| "?".to_owned());
    let flags = raw.word() >> 24 & 0xf;
    let encoding = match () {
        () if flags & INT_BOOL != 0 => Encoding::Bool,
        // pahole marks no type with `INT_CHAR`; the names are C's.
        () if size == 1 && (flags & INT_CHAR != 0 || name.ends_with("char")) => {
            match flags & INT_SIGNED != 0 {
                true => Encoding::SignedChar,
                false => Encoding::UnsignedChar,
            }
        }
        () if flags & INT_SIGNED != 0 => Encoding::Signed,
        () => Encoding::Unsigned,
    };
    Node::Base { name, size, encoding }
}

/// An array of arrays is one of several dimensions.
fn array(view: &View<'_>, ty: TypeRef, raw: &Raw<'_>) -> Node {
    let [mut element, _, count] = raw.array();
    let mut counts = vec![Some(u64::from(count))];
    while let Some(inner) = view.raw(element).filter(|raw| raw.kind == BtfKind::Array)
        && counts.len() < 16
    {
        let [next, _, count] = inner.array();
        element = next;
        counts.push(Some(u64::from(count)));
    }
    Node::Array { element: at(ty, element), counts, vector: false }
}

fn function(ty: TypeRef, proto: &Raw<'_>) -> Node {
    let mut parameters: Vec<[u32; 2]> = proto.parameters().collect();
    // `...` is a last parameter without name and type.
    let variadic = parameters.last() == Some(&[0, 0]);
    if variadic {
        parameters.pop();
    }
    Node::Function(Function {
        result: at(ty, proto.size_or_type),
        parameters: parameters.into_iter().map(|[_, id]| at(ty, id)).collect(),
        variadic,
        // `f()` comes as `f(...)`, which C has not had before C23.
        prototyped: !variadic || proto.parameters().count() > 1,
    })
}

/// The members of a struct or union in their order.
pub(in crate::symbols) fn members(symbols: &Symbols, ty: TypeRef) -> Option<Vec<Field>> {
    symbols.with_btf(ty.image, |view| {
        let raw = view.raw(ty.die)?;
        if !matches!(raw.kind, BtfKind::Struct | BtfKind::Union) {
            return None;
        }
        let field = |[name, id, offset]: [u32; 3]| {
            let (bit, bits) = match raw.flag {
                true => (offset & 0xff_ffff, Some(offset >> 24).filter(|&bits| bits != 0)),
                false => old_bit_field(view, id, offset),
            };
            let name = view.name(name).unwrap_or_default();
            Field { name, ty: at(ty, id), bit: bit.into(), bits }
        };
        Some(raw.members().map(field).collect())
    })
}

/// Before `kind_flag` (Linux 4.21) a bit field was an integer type of fewer
/// bits than its bytes hold, with an offset of its own.
fn old_bit_field(view: &View<'_>, id: u32, offset: u32) -> (u32, Option<u32>) {
    match view.raw(id) {
        Some(raw) if raw.kind == BtfKind::Int => {
            let (bits, first) = (raw.word() & 0xff, raw.word() >> 16 & 0xff);
            let narrow = u64::from(bits) < u64::from(raw.size_or_type) * 8 || first != 0;
            (offset.saturating_add(first), Some(bits).filter(|_| narrow))
        }
        _ => (offset, None),
    }
}

/// The enumerators of an enumeration in their order.
pub(in crate::symbols) fn enumerators(
    symbols: &Symbols,
    ty: TypeRef,
) -> Option<Vec<(String, i64)>> {
    symbols.with_btf(ty.image, |view| {
        let raw = view.raw(ty.die)?;
        if !matches!(raw.kind, BtfKind::Enum | BtfKind::Enum64) {
            return None;
        }
        let named = |(name, value)| Some((view.name(name)?, value));
        Some(view.enumerators(&raw).into_iter().filter_map(named).collect())
    })
}
