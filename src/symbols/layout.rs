//! How structs and unions lie in memory, with everything inside them.

use crate::symbols::{
    answer::{Layout, Member, TypeRef},
    dwarf::{At, Entry, Value, number},
    placed::Symbols,
    types::{Typed, constant, counts, tagged},
};
use gimli::{AttributeValue, Operation};
use std::sync::Arc;

/// Structs inside structs; `task_struct` has eight.
const MAX_DEPTH: usize = 24;
/// Members of one layout with all that is inside; `task_struct` has 1,000.
const MAX_MEMBERS: usize = 50_000;

impl Symbols {
    /// The layout of a struct, a union, or a typedef of one, by name (with or
    /// without `struct`). Made once for each image.
    pub fn struct_layout(&self, name: &str) -> Option<Arc<Layout>> {
        let found = self.find_type(name).and_then(|ty| self.layout_of(ty));
        // A bare tag may also be the name of a typedef of something else.
        found.or_else(|| self.layout_of(self.find_type(&format!("struct {name}"))?))
    }

    /// The layout of a type that is a struct or union, through typedefs and
    /// qualifiers.
    pub fn layout_of(&self, ty: TypeRef) -> Option<Arc<Layout>> {
        let placed = self.image(ty.image)?;
        placed.image.layouts.get((ty.unit, ty.die), || {
            let typed = Typed::open(self, ty)?;
            let at = typed.plain(ty)?;
            let mut budget = MAX_MEMBERS;
            typed.layout(&at, 0, &mut budget).map(Arc::new)
        })
    }
}

impl<'a> Typed<'a> {
    fn layout(&self, at: &At<'a>, depth: usize, budget: &mut usize) -> Option<Layout> {
        if !matches!(at.entry.tag(), gimli::DW_TAG_structure_type | gimli::DW_TAG_union_type)
            || depth > MAX_DEPTH
        {
            return None;
        }
        if let Some(whole) = self.definition(at) {
            let typed = Typed::open(self.symbols, whole)?;
            return typed.layout(&typed.at(whole)?, depth + 1, budget);
        }
        let size = number(at.attr(gimli::DW_AT_byte_size))?;
        let mut members = Vec::new();
        for child in at.children(&[gimli::DW_TAG_member]) {
            *budget = budget.checked_sub(1)?;
            members.extend(self.member(&child, depth, budget));
        }
        Some(Layout { name: tagged(at), size, members })
    }

    fn member(&self, child: &At<'a>, depth: usize, budget: &mut usize) -> Option<Member> {
        let ty = self.type_of(child);
        let plain = self.plain(ty);
        let size = self.size(ty).unwrap_or(0);
        let at = child.attr(gimli::DW_AT_data_member_location);
        // A member of a union has no location: it is at the start.
        let offset = match at {
            Some(value) => member_offset(child.unit.unit.encoding(), value)?,
            None => 0,
        };
        let (offset, bits) = bit_field(&child.entry, offset, size);
        let element = plain.as_ref().filter(|at| at.entry.tag() == gimli::DW_TAG_array_type);
        let element = element.map(|array| {
            let count = counts(array).iter().fold(1u64, |n, c| n.saturating_mul(c.unwrap_or(0)));
            (self.size(self.type_of(array)).unwrap_or(0), count)
        });
        let inner = plain.and_then(|at| self.layout(&at, depth + 1, budget));
        Some(Member {
            name: child.unit.name(&child.entry).unwrap_or_default(),
            offset,
            size,
            bits,
            type_name: self.written(ty),
            ty,
            element,
            inner: inner.map(Arc::new),
        })
    }
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

/// A bit field as (byte offset of its storage, (first bit, bits)). DWARF 4
/// counts bits from the start of the struct (`DW_AT_data_bit_offset`). Before
/// that, they count from the most significant bit of a storage unit of
/// `DW_AT_byte_size` bytes (`DW_AT_bit_offset`; GCC 4.9 and the like).
fn bit_field(child: &Entry<'_>, offset: u64, size: u64) -> (u64, Option<(u32, u32)>) {
    let attr = |name| number(child.attr_value(name));
    let Some(bits) = attr(gimli::DW_AT_bit_size).and_then(|bits| u32::try_from(bits).ok()) else {
        return (offset, None);
    };
    let first = if let Some(first) = attr(gimli::DW_AT_data_bit_offset) {
        first
    } else if let Some(from_top) = child.attr_value(gimli::DW_AT_bit_offset).and_then(constant) {
        // Negative when a packed field goes on past its storage unit.
        let unit = attr(gimli::DW_AT_byte_size).unwrap_or(size).saturating_mul(8);
        let top = offset.saturating_mul(8).saturating_add(unit);
        top.wrapping_add_signed(from_top.wrapping_neg()).saturating_sub(bits.into())
    } else {
        offset.saturating_mul(8)
    };
    // The storage unit of the declared type that holds all its bits; in a
    // packed struct there may be none, then the byte it starts in.
    let unit = size.clamp(1, 16) * 8;
    let start = first / unit * unit;
    let start = match first + u64::from(bits) <= start + unit {
        true => start,
        false => first / 8 * 8,
    };
    (start / 8, Some(((first - start) as u32, bits)))
}
