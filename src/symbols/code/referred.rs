//! What a DWARF expression refers to by entry: the type of an operand, and
//! the place of a variable that has no address.

use crate::{
    base::addr::Addr,
    symbols::{
        answer::{ImageId, TypeRef, ValuePlace},
        code::scope::{const_value, location},
        dwarf::reader::Unit,
        placed::Symbols,
        types::named::type_ref,
    },
};

/// A variable that an implicit pointer points to (DWARF 5, 2.6.1.1.4).
#[derive(Clone, Debug, PartialEq)]
pub struct Pointee {
    /// Its type, where it is said.
    pub ty: Option<TypeRef>,
    /// Where its value is.
    pub location: ValuePlace,
}

impl Symbols {
    /// The base type at an offset of a unit, as operands of typed operations
    /// have it; `None` for what operands can't be (16-byte integers).
    pub fn operand_type(
        &self,
        image: ImageId,
        unit: u32,
        offset: usize,
    ) -> Option<gimli::ValueType> {
        let unit = Unit::open(&self.image(image)?.image, unit)?;
        gimli::ValueType::from_entry(&unit.entry(u32::try_from(offset).ok()?)?).ok()?
    }

    /// The variable at an offset of `.debug_info`, as it is at `pc`.
    pub fn pointee_at(&self, image: ImageId, offset: usize, pc: Addr) -> Option<Pointee> {
        let placed = self.image(image)?;
        let (number, die) = placed.image.units()?.holding(offset, false)?;
        let unit = Unit::open(&placed.image, number)?;
        let entry = unit.entry(u32::try_from(die).ok()?)?;
        let ty = unit.inherited(&entry, gimli::DW_AT_type);
        let ty = ty.and_then(|(unit, value)| type_ref(placed, &unit, value));
        let location = match unit.inherited(&entry, gimli::DW_AT_location) {
            Some((unit, value)) => location(&unit, value, placed.file_addr(pc)),
            None => {
                let value = unit.inherited(&entry, gimli::DW_AT_const_value);
                value.map_or(ValuePlace::None, |(_, value)| const_value(value))
            }
        };
        Some(Pointee { ty, location })
    }
}
