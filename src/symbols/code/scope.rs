//! Variables that exist at an address, and where their values are.

use crate::{
    base::addr::{Addr, FileAddr},
    symbols::{
        answer::{FrameBase, TypeRef, ValuePlace, VariableDef},
        code::funcs::{Nest, small},
        dwarf::reader::{Entry, Slice, Unit, die},
        placed::{Placed, Symbols},
        types::named::type_ref,
    },
};
use gimli::{AttributeValue, DwTag};
use std::collections::BTreeSet;

const OP_ADDR: u8 = gimli::DW_OP_addr.0;
const OP_ADDRX: u8 = gimli::DW_OP_addrx.0;
const OP_GNU_ADDR_INDEX: u8 = gimli::DW_OP_GNU_addr_index.0;

/// Blocks without code inside each other at most.
const MAX_BLOCKS: usize = 30;

impl Symbols {
    /// The parameters of the function at place `depth` of
    /// [`Symbols::frames_at`], in the order of its declaration; those the
    /// compiler dropped are there too, without a location.
    pub fn arguments_at(&self, pc: Addr, depth: usize) -> Vec<VariableDef> {
        let Some(nest) = Nest::at(self, pc) else { return Vec::new() };
        let Some(&block) = nest.frames().get(depth) else { return Vec::new() };
        variables(&nest, &nest.blocks[block], gimli::DW_TAG_formal_parameter)
    }

    /// The local variables in scope there, those of the innermost block
    /// first. A name may come twice: the first hides the others.
    pub fn locals_at(&self, pc: Addr, depth: usize) -> Vec<VariableDef> {
        let Some(nest) = Nest::at(self, pc) else { return Vec::new() };
        let frames = nest.frames();
        let Some(&block) = frames.get(depth) else { return Vec::new() };
        // Lexical blocks between this function and the one inlined into it.
        let inner = depth.checked_sub(1).and_then(|inner| frames.get(inner));
        let end = inner.copied().unwrap_or(nest.blocks.len());
        let blocks = nest.blocks[block..end].iter().rev();
        let of = |entry| {
            let mut found = variables(&nest, entry, gimli::DW_TAG_variable);
            without_code(&nest, entry, &mut found, 0);
            found
        };
        blocks.flat_map(of).collect()
    }

    /// What `DW_OP_fbreg` counts from in the function that holds `pc`.
    pub fn frame_base(&self, pc: Addr) -> Option<FrameBase> {
        let nest = Nest::at(self, pc)?;
        let value = nest.blocks[0].attr_value(gimli::DW_AT_frame_base)?;
        match location(&nest.unit, value, Some(nest.addr)) {
            ValuePlace::Expression { bytes, encoding, .. } => {
                let (image, unit) = (nest.placed.id, nest.unit.number);
                Some(FrameBase { bytes, encoding, image, unit })
            }
            _ => None,
        }
    }
}

/// Variables with a value of blocks inside this one that have no code left:
/// gdb counts them as this block's. Those without a value are only macros'.
fn without_code<'a>(nest: &Nest<'a>, block: &Entry<'a>, out: &mut Vec<VariableDef>, depth: usize) {
    let inner = nest.unit.children(die(block), &[gimli::DW_TAG_lexical_block]);
    let has_code = |entry: &Entry<'_>| {
        let has = |name| entry.attr_value(name).is_some();
        has(gimli::DW_AT_low_pc) || has(gimli::DW_AT_ranges)
    };
    for entry in inner.iter().filter(|entry| !has_code(entry)) {
        let found = variables(nest, entry, gimli::DW_TAG_variable).into_iter();
        out.extend(found.filter(|variable| variable.location != ValuePlace::None));
        if depth < MAX_BLOCKS {
            without_code(nest, entry, out, depth + 1);
        }
    }
}

/// The variables of one kind right in a block, then those of the function
/// it is an instance of that the compiler left out of this instance.
fn variables<'a>(nest: &Nest<'a>, block: &Entry<'a>, tag: DwTag) -> Vec<VariableDef> {
    let (unit, placed) = (&nest.unit, nest.placed);
    let mut out = Vec::new();
    let mut present = BTreeSet::new();
    for entry in unit.children(die(block), &[tag]) {
        // What describes it: the entry of the abstract function, else itself.
        let origin = entry.attr_value(gimli::DW_AT_abstract_origin);
        let described = origin.and_then(|origin| unit.target(origin));
        present.extend(described);
        if entry.attr_value(gimli::DW_AT_declaration).is_none() {
            let described = described.unwrap_or((unit.number, die(&entry)));
            out.push((described, variable(placed, unit, &entry, Some(nest.addr))));
        }
    }
    let instance = matches!(
        block.tag(),
        gimli::DW_TAG_inlined_subroutine | gimli::DW_TAG_subprogram | gimli::DW_TAG_lexical_block
    );
    let origin = block.attr_value(gimli::DW_AT_abstract_origin).filter(|_| instance);
    if let Some(origin) = origin.and_then(|value| unit.referred(value)) {
        let mut order = Vec::new();
        for entry in origin.unit.children(origin.die(), &[tag]) {
            let described = (origin.unit.number, die(&entry));
            order.push(described);
            if !present.contains(&described) && entry.attr_value(gimli::DW_AT_declaration).is_none()
            {
                let dropped = variable(placed, &origin.unit, &entry, Some(nest.addr));
                out.push((described, dropped));
            }
        }
        if tag == gimli::DW_TAG_formal_parameter {
            let place = |described| order.iter().position(|at| *at == described);
            out.sort_by_key(|(described, _)| place(*described).unwrap_or(usize::MAX));
        }
    }
    out.into_iter().filter_map(|(_, variable)| variable).collect()
}

pub(in crate::symbols) fn variable<'a>(
    placed: &Placed,
    unit: &Unit<'a>,
    entry: &Entry<'a>,
    addr: Option<FileAddr>,
) -> Option<VariableDef> {
    let name = unit.name(entry)?;
    let ty = unit.inherited(entry, gimli::DW_AT_type);
    let ty = ty.and_then(|(unit, value)| type_ref(placed, &unit, value));
    let place = if let Some((unit, value)) = unit.inherited(entry, gimli::DW_AT_location) {
        location(&unit, value, addr)
    } else if let Some((_, value)) = unit.inherited(entry, gimli::DW_AT_const_value) {
        const_value(value)
    } else {
        ValuePlace::None
    };
    let line = small(entry, gimli::DW_AT_decl_line)
        .or_else(|| small(&unit.origin(entry)?.entry, gimli::DW_AT_decl_line));
    Some(VariableDef {
        name,
        ty: ty.unwrap_or(TypeRef::void_of(placed)),
        location: place,
        line,
        image: placed.id,
    })
}

/// The location that holds at `addr`: the attribute itself, or the entry of
/// its list that covers the address.
pub(in crate::symbols) fn location(
    unit: &Unit<'_>,
    value: AttributeValue<Slice<'_>>,
    addr: Option<FileAddr>,
) -> ValuePlace {
    let encoding = unit.unit.encoding();
    let expression = |bytes: &[u8]| match bytes.is_empty() {
        true => ValuePlace::None,
        false => {
            let (bytes, unit) = (with_addresses(unit, bytes), Some(unit.number));
            ValuePlace::Expression { bytes, encoding, unit }
        }
    };
    if let AttributeValue::Exprloc(bytes) = value {
        return expression(bytes.0.slice());
    }
    let (Some(addr), Some(offset)) =
        (addr, unit.dwarf.attr_locations_offset(&unit.unit, value).ok().flatten())
    else {
        return ValuePlace::None;
    };
    let Ok(mut list) = unit.dwarf.locations(&unit.unit, offset) else { return ValuePlace::None };
    while let Ok(Some(entry)) = list.next() {
        if (entry.range.begin..entry.range.end).contains(&addr.0) {
            return expression(entry.data.0.slice());
        }
    }
    ValuePlace::None
}

/// An expression whose first operation is an index into `.debug_addr`, with
/// the address instead: the evaluator has no unit to look it up in. Compilers
/// put it nowhere else but first.
pub(in crate::symbols) fn with_addresses(unit: &Unit<'_>, bytes: &[u8]) -> Vec<u8> {
    if !matches!(bytes.first(), Some(&(OP_ADDRX | OP_GNU_ADDR_INDEX))) {
        return bytes.to_vec();
    }
    let mut index = 0u64;
    for (i, &byte) in bytes[1..].iter().enumerate().take(9) {
        index |= u64::from(byte & 0x7f) << (7 * i);
        if byte & 0x80 != 0 {
            continue;
        }
        let Ok(index) = usize::try_from(index) else { break };
        let Ok(addr) = unit.dwarf.address(&unit.unit, gimli::DebugAddrIndex(index)) else { break };
        let mut out = vec![OP_ADDR];
        out.extend(addr.to_le_bytes());
        out.extend(&bytes[2 + i..]);
        return out;
    }
    bytes.to_vec()
}

pub(in crate::symbols) fn const_value(value: AttributeValue<Slice<'_>>) -> ValuePlace {
    match value {
        AttributeValue::Block(block) => ValuePlace::Constant(block.slice().to_vec()),
        AttributeValue::Sdata(value) => ValuePlace::Constant(value.to_le_bytes().to_vec()),
        value => match value.udata_value() {
            Some(value) => ValuePlace::Constant(value.to_le_bytes().to_vec()),
            None => ValuePlace::None,
        },
    }
}
