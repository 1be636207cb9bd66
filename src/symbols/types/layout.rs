//! How structs and unions lie in memory, with everything inside them.

use crate::symbols::{
    answer::{Layout, Member, TypeRef},
    placed::Symbols,
    types::{
        node::{Field, Node, Types},
        written,
    },
};
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
            let mut budget = MAX_MEMBERS;
            layout(&Types::new(self), ty, 0, &mut budget).map(Arc::new)
        })
    }
}

fn layout(types: &Types<'_>, ty: TypeRef, depth: usize, budget: &mut usize) -> Option<Layout> {
    let (at, node) = types.whole(ty);
    let Node::Composite { size: Some(size), .. } = &*node else { return None };
    if depth > MAX_DEPTH {
        return None;
    }
    let mut members = Vec::new();
    for field in types.members(at) {
        *budget = budget.checked_sub(1)?;
        members.push(member(types, field, depth, budget));
    }
    Some(Layout { name: written::declared(types, at, "", -1), size: *size, members })
}

fn member(types: &Types<'_>, field: Field, depth: usize, budget: &mut usize) -> Member {
    let size = types.size(field.ty).unwrap_or(0);
    let (offset, bits) = storage(&field, size);
    let element = match &*types.plain(field.ty).1 {
        Node::Array { element, counts, .. } => {
            let count = counts.iter().fold(1u64, |n, c| n.saturating_mul(c.unwrap_or(0)));
            Some((types.size(*element).unwrap_or(0), count))
        }
        _ => None,
    };
    let inner = layout(types, field.ty, depth + 1, budget).map(Arc::new);
    let type_name = written::declared(types, field.ty, "", -1);
    Member { name: field.name, offset, size, bits, type_name, ty: field.ty, element, inner }
}

/// A bit field as (byte offset of its storage, (first bit, bits)): the storage
/// unit of the declared type that holds all its bits; in a packed struct there
/// may be none, then the byte it starts in.
fn storage(field: &Field, size: u64) -> (u64, Option<(u32, u32)>) {
    let Some(bits) = field.bits else { return (field.bit / 8, None) };
    let unit = size.clamp(1, 16) * 8;
    let start = field.bit / unit * unit;
    let start = match field.bit.saturating_add(bits.into()) <= start.saturating_add(unit) {
        true => start,
        false => field.bit / 8 * 8,
    };
    (start / 8, Some(((field.bit - start) as u32, bits)))
}
