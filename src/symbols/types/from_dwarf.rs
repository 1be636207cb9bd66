//! Types as DWARF describes them (DWARF 5, chapter 5).

use crate::symbols::{
    answer::TypeRef,
    dwarf::reader::{At, Entry, Value, number},
    types::{
        named::type_ref,
        node::{Described, Encoding, Field, Function, Node, Types},
    },
};
use gimli::{AttributeValue, DwTag, Operation};

/// Children of one type at most; the kernel's largest enumeration has some
/// 1,000, its largest struct 300.
const MAX_CHILDREN: usize = 20_000;

impl<'a> Described<'a> {
    /// The type an entry of this image has; none is `void`.
    fn type_of(&self, at: &At<'a>) -> TypeRef {
        let value = at.unit.inherited(&at.entry, gimli::DW_AT_type);
        value
            .and_then(|(unit, value)| type_ref(self.placed, &unit, value))
            .unwrap_or(TypeRef::void_of(self.placed))
    }

    /// The type of a function, also of one that is defined.
    fn function(&self) -> Function {
        let tags = [gimli::DW_TAG_formal_parameter, gimli::DW_TAG_unspecified_parameters];
        let mut parameters = Vec::new();
        let mut variadic = false;
        for child in self.at.children(&tags).iter().take(MAX_CHILDREN) {
            match child.entry.tag() {
                gimli::DW_TAG_formal_parameter => parameters.push(self.type_of(child)),
                _ => variadic = true,
            }
        }
        let prototyped = self.at.unit.inherited(&self.at.entry, gimli::DW_AT_prototyped).is_some();
        Function { result: self.type_of(&self.at), parameters, variadic, prototyped }
    }
}

fn own_name(at: &At<'_>) -> Option<String> {
    at.attr(gimli::DW_AT_name).and_then(|name| at.unit.string(name))
}

/// The number of elements in each dimension of an array.
fn counts(array: &At<'_>) -> Vec<Option<u64>> {
    let count = |range: &At<'_>| {
        number(range.attr(gimli::DW_AT_count)).or_else(|| {
            // `-1` of any width is how `[0]` comes.
            let bound = match range.attr(gimli::DW_AT_upper_bound)? {
                AttributeValue::Sdata(bound) => bound as u64,
                value => number(Some(value))?,
            };
            let bound = if bound == u64::from(u32::MAX) { u64::MAX } else { bound };
            Some(bound.wrapping_add(1))
        })
    };
    array.children(&[gimli::DW_TAG_subrange_type]).iter().map(count).collect()
}

/// What a type is; `None` where its entry is none. A function that is defined
/// counts as its type.
pub(in crate::symbols) fn node(of: &Described<'_>) -> Option<Node> {
    let Described { placed, at } = of;
    // An instance of a function may have lost parameters to the optimizer.
    if let Some(origin) = at.attr(gimli::DW_AT_abstract_origin) {
        let origin = at.unit.referred(origin)?;
        // Abstract functions have no origin of their own.
        let whole = origin.attr(gimli::DW_AT_abstract_origin).is_none();
        return whole.then(|| node(&Described { placed, at: origin }))?;
    }
    let declared = at.attr(gimli::DW_AT_declaration).is_some();
    let size = || number(at.attr(gimli::DW_AT_byte_size)).filter(|_| !declared);
    let name = || own_name(at);
    let target = || of.type_of(at);
    Some(match at.entry.tag() {
        gimli::DW_TAG_base_type => Node::Base {
            name: name().unwrap_or_else(|| "?".to_owned()),
            size: size().unwrap_or(0),
            encoding: encoding(&at.entry, size().unwrap_or(0)),
        },
        gimli::DW_TAG_pointer_type => Node::Pointer {
            size: size().unwrap_or_else(|| at.unit.unit.header.address_size().into()),
            target: target(),
        },
        tag @ (gimli::DW_TAG_structure_type | gimli::DW_TAG_union_type) => {
            Node::Composite { union: tag == gimli::DW_TAG_union_type, name: name(), size: size() }
        }
        gimli::DW_TAG_enumeration_type => Node::Enum { name: name(), size: size() },
        gimli::DW_TAG_typedef => {
            Node::Typedef { name: name().unwrap_or_else(|| "?".to_owned()), target: target() }
        }
        gimli::DW_TAG_array_type => Node::Array {
            element: target(),
            counts: counts(at),
            vector: at.attr(gimli::DW_AT_GNU_vector).is_some(),
        },
        gimli::DW_TAG_subroutine_type | gimli::DW_TAG_subprogram => Node::Function(of.function()),
        tag => Node::Qualified { word: qualifier(tag)?, target: target() },
    })
}

fn qualifier(tag: DwTag) -> Option<&'static str> {
    match tag {
        gimli::DW_TAG_const_type => Some("const"),
        gimli::DW_TAG_volatile_type => Some("volatile"),
        gimli::DW_TAG_restrict_type => Some("restrict"),
        gimli::DW_TAG_atomic_type => Some("_Atomic"),
        _ => None,
    }
}

fn encoding(entry: &Entry<'_>, size: u64) -> Encoding {
    let Some(AttributeValue::Encoding(encoding)) = entry.attr_value(gimli::DW_AT_encoding) else {
        return Encoding::Other;
    };
    match encoding {
        gimli::DW_ATE_boolean => Encoding::Bool,
        gimli::DW_ATE_float => Encoding::Float,
        gimli::DW_ATE_signed_char if size == 1 => Encoding::SignedChar,
        gimli::DW_ATE_unsigned_char if size == 1 => Encoding::UnsignedChar,
        gimli::DW_ATE_signed => Encoding::Signed,
        _ => Encoding::Unsigned,
    }
}

/// The members of a struct or union in their order.
pub(in crate::symbols) fn members<'a>(types: &Types<'_>, of: &Described<'a>) -> Vec<Field> {
    let field = |child: &At<'a>| {
        let ty = of.type_of(child);
        // A member of a union has no location: it is at the start.
        let offset = match child.attr(gimli::DW_AT_data_member_location) {
            Some(value) => member_offset(child.unit.unit.encoding(), value)?,
            None => 0,
        };
        let (bit, bits) = bit_field(&child.entry, offset, || types.size(ty).unwrap_or(0));
        Some(Field { name: own_name(child).unwrap_or_default(), ty, bit, bits })
    };
    let children = of.at.children(&[gimli::DW_TAG_member]);
    children.iter().take(MAX_CHILDREN).filter_map(field).collect()
}

/// The offset of a member: a constant, or before DWARF 4 an expression that
/// adds one to the address of the struct.
fn member_offset(encoding: gimli::Encoding, value: Value<'_>) -> Option<u64> {
    if let AttributeValue::Exprloc(expression) = value {
        let operation = expression.operations(encoding).next().ok()??;
        return match operation {
            Operation::PlusConstant { value } => Some(value),
            _ => None,
        };
    }
    number(Some(value))
}

/// The first bit of a member at byte `offset`, and how many bits if it is a
/// bit field. DWARF 4 counts bits from the start of the struct
/// (`DW_AT_data_bit_offset`). Before that, they count from the most
/// significant bit of a storage unit of `DW_AT_byte_size` bytes
/// (`DW_AT_bit_offset`; GCC 4.9 and the like).
fn bit_field(child: &Entry<'_>, offset: u64, size: impl Fn() -> u64) -> (u64, Option<u32>) {
    let attr = |name| number(child.attr_value(name));
    let start = offset.saturating_mul(8);
    let Some(bits) = attr(gimli::DW_AT_bit_size).and_then(|bits| u32::try_from(bits).ok()) else {
        return (start, None);
    };
    let first = if let Some(first) = attr(gimli::DW_AT_data_bit_offset) {
        first
    } else if let Some(from_top) = child.attr_value(gimli::DW_AT_bit_offset).and_then(constant) {
        // Negative when a packed field goes on past its storage unit.
        let unit = attr(gimli::DW_AT_byte_size).unwrap_or_else(size).saturating_mul(8);
        let top = start.saturating_add(unit);
        top.wrapping_add_signed(from_top.wrapping_neg()).saturating_sub(bits.into())
    } else {
        start
    };
    (first, Some(bits))
}

/// The enumerators of an enumeration in their order.
pub(in crate::symbols) fn enumerators(of: &Described<'_>) -> Vec<(String, i64)> {
    let value = |at: &At<'_>| Some((own_name(at)?, constant(at.attr(gimli::DW_AT_const_value)?)?));
    let children = of.at.children(&[gimli::DW_TAG_enumerator]);
    children.iter().take(MAX_CHILDREN).filter_map(value).collect()
}

/// A constant, with its sign where the form has one.
pub(in crate::symbols) fn constant(value: Value<'_>) -> Option<i64> {
    match value {
        AttributeValue::Sdata(value) => Some(value),
        value => value.udata_value().map(|value| value as i64),
    }
}
