//! Variables that can be seen at a place, with everywhere they are while the
//! code around it runs, in words: `info scope`.

use crate::{
    arch::Arch,
    base::addr::{Addr, FileAddr},
    symbols::{
        answer::{ImageId, TypeRef, ValuePlace},
        code::{
            funcs::Nest,
            scope::{const_value, with_addresses},
        },
        dwarf::reader::{At, Entry, Unit},
        placed::{Placed, Symbols},
        types::named::type_ref,
    },
};
use gimli::{AttributeValue, EndianSlice, LittleEndian, Operation};
use std::collections::BTreeSet;

/// Ranges of one variable at most.
const MAX_RANGES: usize = 1000;
/// Operations of one expression at most.
const MAX_OPERATIONS: usize = 200;

/// A variable or parameter that can be seen somewhere.
#[derive(Clone, Debug, PartialEq)]
pub struct Visible {
    /// Its name.
    pub name: String,
    /// Its type.
    pub ty: TypeRef,
    /// It is a parameter.
    pub argument: bool,
    /// Where it is: one place for all of its scope, or several for parts of
    /// the code; none when it is optimized out.
    pub places: Vec<Place>,
    /// The image whose addresses the places have.
    pub image: ImageId,
}

/// Where a variable is.
#[derive(Clone, Debug, PartialEq)]
pub struct Place {
    /// For this code only; `None` for all of its scope.
    pub range: Option<(Addr, Addr)>,
    /// There.
    pub location: ValuePlace,
}

impl Visible {
    /// Where it is at an address.
    pub fn at(&self, pc: Addr) -> Option<&Place> {
        let here =
            |place: &&Place| place.range.is_none_or(|(start, end)| (start..end).contains(&pc));
        self.places.iter().find(here)
    }
}

impl Symbols {
    /// What can be seen at `pc` in the innermost function there: of the
    /// innermost block first, then of those around it.
    pub fn variables_visible(&self, pc: Addr) -> Vec<Visible> {
        let Some(nest) = Nest::at(self, pc) else { return Vec::new() };
        visible_in(&nest, 0)
    }

    /// The same in the function at place `depth` of [`Symbols::frames_at`].
    pub fn variables_visible_in(&self, pc: Addr, depth: usize) -> Vec<Visible> {
        Nest::at(self, pc).map_or(Vec::new(), |nest| visible_in(&nest, depth))
    }

    /// A place in words: `in $rdi`, `at $rbp-8`, `optimized out`.
    pub fn place_in_words(&self, image: ImageId, location: &ValuePlace, arch: &Arch) -> String {
        match location {
            ValuePlace::None => "optimized out".to_owned(),
            ValuePlace::Constant(bytes) => constant(bytes),
            ValuePlace::Expression { bytes, encoding, .. } => {
                let expression = gimli::Expression(EndianSlice::new(bytes, LittleEndian));
                let mut all = Vec::new();
                let mut operations = expression.operations(*encoding);
                while let Ok(Some(operation)) = operations.next() {
                    all.push(operation);
                    if all.len() > MAX_OPERATIONS {
                        break;
                    }
                }
                let address = |at: u64| self.runtime_of(image, FileAddr(at)).unwrap_or(Addr(at));
                words(&all, arch, &address)
            }
        }
    }
}

fn visible_in(nest: &Nest<'_>, depth: usize) -> Vec<Visible> {
    let frames = nest.frames();
    let Some(&first) = frames.get(depth) else { return Vec::new() };
    // Up to the function inlined into this one.
    let inner = depth.checked_sub(1).and_then(|inner| frames.get(inner));
    let end = inner.copied().unwrap_or(nest.blocks.len());
    let blocks = nest.blocks[first..end].iter().rev();
    blocks.flat_map(|block| in_block(nest, block)).collect()
}

const TAGS: [gimli::DwTag; 3] =
    [gimli::DW_TAG_formal_parameter, gimli::DW_TAG_variable, gimli::DW_TAG_lexical_block];

/// Blocks inside blocks at most.
const MAX_DEPTH: usize = 30;

/// The variables right in a block, with those of blocks inside it that have no
/// code, whose scope is this one; then those of the function it is an instance
/// of that the compiler left out of this instance.
fn in_block<'a>(nest: &Nest<'a>, block: &Entry<'a>) -> Vec<Visible> {
    let block = At { unit: nest.unit.clone(), entry: block.clone() };
    let mut found = Vec::new();
    gather(&block, &mut found, 0);
    found.iter().filter_map(|at| visible(nest.placed, at)).collect()
}

fn gather<'a>(block: &At<'a>, out: &mut Vec<At<'a>>, depth: usize) {
    if depth > MAX_DEPTH {
        return;
    }
    let mut described = BTreeSet::new();
    for at in block.children(&TAGS) {
        let origin = at.attr(gimli::DW_AT_abstract_origin);
        described.extend(origin.and_then(|origin| at.unit.target(origin)));
        let is_block = at.entry.tag() == gimli::DW_TAG_lexical_block;
        if !is_block && at.attr(gimli::DW_AT_declaration).is_none() {
            out.push(at);
        } else if is_block && !has_code(&at) {
            gather(&at, out, depth + 1);
        }
    }
    let origin = block.attr(gimli::DW_AT_abstract_origin);
    if let Some(origin) = origin.and_then(|origin| block.unit.referred(origin)) {
        dropped(&origin, &described, out, depth + 1);
    }
}

/// Of an abstract block what no instance describes.
fn dropped<'a>(
    block: &At<'a>,
    described: &BTreeSet<(u32, u32)>,
    out: &mut Vec<At<'a>>,
    depth: usize,
) {
    let children = block.children(&TAGS).into_iter();
    for at in children.filter(|at| !described.contains(&(at.unit.number, at.die()))) {
        if at.entry.tag() != gimli::DW_TAG_lexical_block {
            out.extend(Some(at).filter(|at| at.attr(gimli::DW_AT_declaration).is_none()));
        } else if depth <= MAX_DEPTH {
            dropped(&at, described, out, depth + 1);
        }
    }
}

fn has_code(at: &At<'_>) -> bool {
    [gimli::DW_AT_low_pc, gimli::DW_AT_ranges].iter().any(|&name| at.attr(name).is_some())
}

fn visible(placed: &Placed, at: &At<'_>) -> Option<Visible> {
    let ty = at.unit.inherited(&at.entry, gimli::DW_AT_type);
    let ty = ty.and_then(|(unit, value)| type_ref(placed, &unit, value));
    let everywhere = |location| vec![Place { range: None, location }];
    let places = if let Some((unit, value)) = at.unit.inherited(&at.entry, gimli::DW_AT_location) {
        places(placed, &unit, value)
    } else if let Some((_, value)) = at.unit.inherited(&at.entry, gimli::DW_AT_const_value) {
        everywhere(const_value(value))
    } else {
        Vec::new()
    };
    Some(Visible {
        name: at.unit.name(&at.entry)?,
        ty: ty.unwrap_or(TypeRef::void_of(placed)),
        argument: at.entry.tag() == gimli::DW_TAG_formal_parameter,
        places,
        image: placed.id,
    })
}

/// Every entry of a location list, or the one place there is.
fn places<'a>(
    placed: &Placed,
    unit: &Unit<'a>,
    value: AttributeValue<EndianSlice<'a, LittleEndian>>,
) -> Vec<Place> {
    let encoding = unit.unit.encoding();
    let place = |range, bytes: &[u8]| {
        let bytes = with_addresses(unit, bytes);
        let unit = Some(unit.number);
        Place { range, location: ValuePlace::Expression { bytes, encoding, unit } }
    };
    if let AttributeValue::Exprloc(bytes) = value {
        let bytes = bytes.0.slice();
        return if bytes.is_empty() { Vec::new() } else { vec![place(None, bytes)] };
    }
    let mut out = Vec::new();
    let offset = unit.dwarf.attr_locations_offset(&unit.unit, value).ok().flatten();
    let list = offset.and_then(|offset| unit.dwarf.locations(&unit.unit, offset).ok());
    let Some(mut list) = list else { return out };
    while let Ok(Some(entry)) = list.next() {
        let range = placed.runtime_range(entry.range.begin, entry.range.end);
        let bytes = entry.data.0.slice();
        if range.is_some() && !bytes.is_empty() && entry.range.begin < entry.range.end {
            out.push(place(range, bytes));
        }
        if out.len() >= MAX_RANGES {
            break;
        }
    }
    out
}

fn constant(bytes: &[u8]) -> String {
    let mut word = [0; 8];
    match bytes.len() {
        0 => "a constant without a value".to_owned(),
        len @ ..=8 => {
            word[..len].copy_from_slice(bytes);
            let shift = 64 - 8 * len as u32;
            format!("the constant {}", ((u64::from_le_bytes(word) << shift) as i64) >> shift)
        }
        len => format!("a constant of {len} bytes"),
    }
}

type Op<'a> = Operation<EndianSlice<'a, LittleEndian>>;

/// An expression in words, where it is one that compilers use for variables.
fn words(all: &[Op<'_>], arch: &Arch, address: &dyn Fn(u64) -> Addr) -> String {
    let register = |number: gimli::Register| match arch.reg_by_dwarf(number.0) {
        Some(reg) => format!("${}", arch.def(reg).name),
        None => format!("DWARF register {}", number.0),
    };
    let moved = |base: &str, offset: i64| match offset {
        0 => base.to_owned(),
        _ => format!("{base}{offset:+}"),
    };
    match all {
        [] => "optimized out".to_owned(),
        [Operation::Register { register: reg }] => format!("in {}", register(*reg)),
        [Operation::RegisterOffset { register: reg, offset, .. }] => {
            format!("at {}", moved(&register(*reg), *offset))
        }
        [Operation::FrameOffset { offset }] => format!("at {}", moved("the frame base ", *offset)),
        [Operation::CallFrameCFA] => "at the frame base".to_owned(),
        [Operation::Address { address: at }] => format!("at {}", address(*at)),
        [Operation::ImplicitValue { data }] => constant(data.slice()),
        [Operation::UnsignedConstant { value }, Operation::StackValue] => {
            format!("the constant {value}")
        }
        [Operation::SignedConstant { value }, Operation::StackValue] => {
            format!("the constant {value}")
        }
        [Operation::Address { address: at }, Operation::StackValue] => {
            format!("the address {}", address(*at))
        }
        [Operation::RegisterOffset { register: reg, offset, .. }, Operation::StackValue] => {
            format!("the value of {}", moved(&register(*reg), *offset))
        }
        [Operation::FrameOffset { offset }, Operation::StackValue] => {
            format!("the address {}", moved("the frame base ", *offset))
        }
        [Operation::EntryValue { expression }, Operation::StackValue] => {
            match entry_register(expression) {
                Some(reg) => format!("what {} was when the function was entered", register(reg)),
                None => computed(all.len()),
            }
        }
        [.., Operation::Piece { .. }] => {
            let pieces = all.split_inclusive(|op| matches!(op, Operation::Piece { .. }));
            let piece = |ops: &[Op<'_>]| {
                let (last, place) = ops.split_last()?;
                let Operation::Piece { size_in_bits, .. } = last else { return None };
                Some(format!("{} bits {}", size_in_bits, words(place, arch, address)))
            };
            let parts: Vec<String> = pieces.filter_map(piece).collect();
            format!("in pieces: {}", parts.join(", "))
        }
        _ => computed(all.len()),
    }
}

fn computed(operations: usize) -> String {
    format!("computed by {operations} DWARF operations")
}

/// The register whose value at the function's entry is meant.
fn entry_register(expression: &EndianSlice<'_, LittleEndian>) -> Option<gimli::Register> {
    // One of DW_OP_reg0 to DW_OP_reg31.
    match expression.slice() {
        [op @ 0x50..=0x6f] => Some(gimli::Register(u16::from(op - 0x50))),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::arch::x86_64::X86_64;

    #[test]
    fn places_are_told_in_words() {
        let symbols = Symbols::new();
        let encoding =
            gimli::Encoding { address_size: 8, format: gimli::Format::Dwarf32, version: 5 };
        let told = |bytes: &[u8]| {
            let bytes = bytes.to_vec();
            let location = ValuePlace::Expression { bytes, encoding, unit: None };
            symbols.place_in_words(ImageId(0), &location, &X86_64)
        };
        assert_eq!(told(&[0x55]), "in $rdi");
        assert_eq!(told(&[0x76, 0x78]), "at $rbp-8");
        assert_eq!(told(&[0x91, 0xf0, 0x7e]), "at the frame base -144");
        assert_eq!(told(&[0x73, 0x08, 0x9f]), "the value of $rbx+8");
        assert_eq!(told(&[0x35, 0x9f]), "the constant 5");
        assert_eq!(told(&[0xa3, 1, 0x55, 0x9f]), "what $rdi was when the function was entered");
        assert_eq!(
            told(&[0x55, 0x93, 4, 0x54, 0x93, 8]),
            "in pieces: 32 bits in $rdi, 64 bits in $rsi"
        );
        assert_eq!(told(&[0x31, 0x32, 0x22, 0x9f]), "computed by 4 DWARF operations");
        assert_eq!(told(&[]), "optimized out");
        let constant = |bytes: &[u8]| {
            symbols.place_in_words(ImageId(0), &ValuePlace::Constant(bytes.to_vec()), &X86_64)
        };
        assert_eq!(constant(&[0xff; 8]), "the constant -1");
        assert_eq!(constant(&[5, 0]), "the constant 5");
        assert_eq!(constant(&[0; 16]), "a constant of 16 bytes");
    }
}
