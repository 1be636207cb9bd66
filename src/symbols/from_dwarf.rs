//! Types as DWARF describes them (DWARF 5, chapter 5).

use crate::symbols::{
    answer::TypeRef,
    dwarf::{Entry, Value, die, number},
    node::{Encoding, Field, Function, Node, Opened, Types},
    types::type_ref,
};
use gimli::{AttributeValue, DwTag, Operation};

/// Children of one type at most; the kernel's largest enumeration has some
/// 1,000, its largest struct 300.
const MAX_CHILDREN: usize = 20_000;

impl<'a> Opened<'a> {
    /// The type an entry has; none is `void`.
    fn type_of(&self, entry: &Entry<'a>) -> TypeRef {
        let value = self.unit.inherited(entry, gimli::DW_AT_type);
        value
            .and_then(|value| type_ref(self.placed, &self.unit, value))
            .unwrap_or(TypeRef::void_of(self.placed))
    }

    fn own_name(&self, entry: &Entry<'a>) -> Option<String> {
        entry.attr_value(gimli::DW_AT_name).and_then(|name| self.unit.string(name))
    }

    /// The number of elements in each dimension of an array.
    fn counts(&self, array: &Entry<'a>) -> Vec<Option<u64>> {
        let subranges = self.unit.children(die(array), &[gimli::DW_TAG_subrange_type]);
        let count = |range: &Entry<'a>| {
            number(range.attr_value(gimli::DW_AT_count)).or_else(|| {
                // `-1` of any width is how `[0]` comes.
                let bound = match range.attr_value(gimli::DW_AT_upper_bound)? {
                    AttributeValue::Sdata(bound) => bound as u64,
                    value => number(Some(value))?,
                };
                let bound = if bound == u64::from(u32::MAX) { u64::MAX } else { bound };
                Some(bound.wrapping_add(1))
            })
        };
        subranges.iter().map(count).collect()
    }

    /// The type of a function, also of one that is defined.
    fn function(&self, entry: &Entry<'a>) -> Function {
        let tags = [gimli::DW_TAG_formal_parameter, gimli::DW_TAG_unspecified_parameters];
        let mut parameters = Vec::new();
        let mut variadic = false;
        for child in self.unit.children(die(entry), &tags).iter().take(MAX_CHILDREN) {
            match child.tag() {
                gimli::DW_TAG_formal_parameter => parameters.push(self.type_of(child)),
                _ => variadic = true,
            }
        }
        let prototyped = self.unit.inherited(entry, gimli::DW_AT_prototyped).is_some();
        Function { result: self.type_of(entry), parameters, variadic, prototyped }
    }
}

/// What a type is; `None` where its entry is none. A function that is defined
/// counts as its type.
pub(super) fn node(types: &Types<'_>, of: &Opened<'_>, ty: TypeRef) -> Option<Node> {
    let entry = of.unit.entry(ty.die)?;
    // An instance of a function may have lost parameters to the optimizer.
    if let Some(origin) = entry.attr_value(gimli::DW_AT_abstract_origin) {
        let origin = type_ref(of.placed, &of.unit, origin).filter(|&origin| origin != ty)?;
        return Some((*types.node(origin)).clone());
    }
    let declared = entry.attr_value(gimli::DW_AT_declaration).is_some();
    let size = || number(entry.attr_value(gimli::DW_AT_byte_size)).filter(|_| !declared);
    Some(match entry.tag() {
        gimli::DW_TAG_base_type => Node::Base {
            name: of.own_name(&entry).unwrap_or_else(|| "?".to_owned()),
            size: size().unwrap_or(0),
            encoding: encoding(&entry, size().unwrap_or(0)),
        },
        gimli::DW_TAG_pointer_type => Node::Pointer {
            size: size().unwrap_or_else(|| of.unit.unit.header.address_size().into()),
            target: of.type_of(&entry),
        },
        tag @ (gimli::DW_TAG_structure_type | gimli::DW_TAG_union_type) => Node::Composite {
            union: tag == gimli::DW_TAG_union_type,
            name: of.own_name(&entry),
            size: size(),
        },
        gimli::DW_TAG_enumeration_type => Node::Enum { name: of.own_name(&entry), size: size() },
        gimli::DW_TAG_typedef => Node::Typedef {
            name: of.own_name(&entry).unwrap_or_else(|| "?".to_owned()),
            target: of.type_of(&entry),
        },
        gimli::DW_TAG_array_type => Node::Array {
            element: of.type_of(&entry),
            counts: of.counts(&entry),
            vector: entry.attr_value(gimli::DW_AT_GNU_vector).is_some(),
        },
        gimli::DW_TAG_subroutine_type | gimli::DW_TAG_subprogram => {
            Node::Function(of.function(&entry))
        }
        tag => Node::Qualified { word: qualifier(tag)?, target: of.type_of(&entry) },
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
pub(super) fn members<'a>(types: &Types<'_>, of: &Opened<'a>, ty: TypeRef) -> Vec<Field> {
    let children = of.unit.children(ty.die, &[gimli::DW_TAG_member]);
    let field = |child: &Entry<'a>| {
        let ty = of.type_of(child);
        let at = child.attr_value(gimli::DW_AT_data_member_location);
        // A member of a union has no location: it is at the start.
        let offset = match at {
            Some(value) => member_offset(of.unit.unit.encoding(), value)?,
            None => 0,
        };
        let (bit, bits) = bit_field(child, offset, || types.size(ty).unwrap_or(0));
        Some(Field { name: of.own_name(child).unwrap_or_default(), ty, bit, bits })
    };
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
pub(super) fn enumerators<'a>(of: &Opened<'a>, ty: TypeRef) -> Vec<(String, i64)> {
    let children = of.unit.children(ty.die, &[gimli::DW_TAG_enumerator]);
    let value = |entry: &Entry<'a>| {
        Some((of.own_name(entry)?, constant(entry.attr_value(gimli::DW_AT_const_value)?)?))
    };
    children.iter().take(MAX_CHILDREN).filter_map(value).collect()
}

/// A constant, with its sign where the form has one.
pub(super) fn constant(value: Value<'_>) -> Option<i64> {
    match value {
        AttributeValue::Sdata(value) => Some(value),
        value => value.udata_value().map(|value| value as i64),
    }
}
