//! What a caller passed: the compiler's note of the values in registers at a
//! call (DWARF 5, 3.4 "call site entries"; `DW_TAG_GNU_call_site` before).
//! With it the value a register had on entry to the callee can be told when
//! the callee no longer keeps it.

use crate::{
    base::addr::Addr,
    symbols::{
        answer::ImageId,
        code::funcs::Nest,
        dwarf::reader::{Below, Entry, Unit, Value, die},
        placed::Symbols,
    },
};
use gimli::AttributeValue;

/// The values in registers at one call.
#[derive(Clone, Debug, PartialEq)]
pub struct CallSite {
    /// By DWARF register: an expression for its value at the call, over the
    /// registers of the caller.
    pub registers: Vec<(u16, Vec<u8>)>,
    /// How to read the expressions.
    pub encoding: gimli::Encoding,
    /// The image whose addresses they have.
    pub image: ImageId,
    /// The unit whose types they name.
    pub unit: u32,
}

impl Symbols {
    /// The call that returns to `pc`, where the compiler described it.
    pub fn call_site_at(&self, pc: Addr) -> Option<CallSite> {
        // The byte before is still in the caller; its place in the file and
        // one more is what DWARF has.
        let nest = Nest::at(self, pc.back(1))?;
        let return_pc = nest.addr.0.wrapping_add(1);
        let image = nest.placed.id;
        call_below(&nest.unit, die(&nest.blocks[0]), return_pc, image).or_else(|| {
            // gcc leaves some in the abstract function that the code is an
            // instance of, where no address leads to them.
            nest.blocks.iter().find_map(|block| {
                let origin = nest.unit.origin(block)?;
                call_below(&origin.unit, origin.die(), return_pc, image)
            })
        })
    }
}

/// The call that returns to a file address, among what is below an entry.
fn call_below(unit: &Unit<'_>, below: u32, return_pc: u64, image: ImageId) -> Option<CallSite> {
    let mut site = None;
    let calls = [gimli::DW_TAG_call_site, gimli::DW_TAG_GNU_call_site];
    unit.walk(below, &calls, &mut |entry| {
        if site.is_none() && returns_to(unit, entry) == Some(return_pc) {
            site = Some(die(entry));
        }
        Below::Skip
    });
    let tags = [gimli::DW_TAG_call_site_parameter, gimli::DW_TAG_GNU_call_site_parameter];
    let parameters = unit.children(site?, &tags);
    Some(CallSite {
        registers: parameters.iter().filter_map(register_and_value).collect(),
        encoding: unit.unit.encoding(),
        image,
        unit: unit.number,
    })
}

/// The file address a call returns to. The older form has it as `low_pc`.
fn returns_to(unit: &Unit<'_>, site: &Entry<'_>) -> Option<u64> {
    let value = site
        .attr_value(gimli::DW_AT_call_return_pc)
        .or_else(|| site.attr_value(gimli::DW_AT_low_pc))?;
    unit.dwarf.attr_address(&unit.unit, value).ok().flatten()
}

fn expression<'a>(value: Value<'a>) -> Option<&'a [u8]> {
    match value {
        AttributeValue::Exprloc(bytes) => Some(bytes.0.slice()),
        _ => None,
    }
}

/// A parameter in a register: `DW_OP_reg0` to `DW_OP_reg31`. Those on the
/// stack are found there.
fn register_and_value(parameter: &Entry<'_>) -> Option<(u16, Vec<u8>)> {
    let register = match expression(parameter.attr_value(gimli::DW_AT_location)?)? {
        &[op] if (gimli::DW_OP_reg0.0..=gimli::DW_OP_reg31.0).contains(&op) => {
            u16::from(op - gimli::DW_OP_reg0.0)
        }
        _ => return None,
    };
    let value = parameter
        .attr_value(gimli::DW_AT_call_value)
        .or_else(|| parameter.attr_value(gimli::DW_AT_GNU_call_site_value))?;
    Some((register, expression(value)?.to_vec()))
}
