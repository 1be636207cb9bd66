//! Enumerators by name, with the enumeration that they are of.

use crate::symbols::{
    answer::TypeRef,
    dwarf::{
        index::Kind,
        reader::{Below, Unit, die},
    },
    placed::{Placed, Symbols},
    types::{from_dwarf::constant, node::BTF_UNIT},
};

impl Symbols {
    /// The enumeration that has an enumerator of this name, and its value;
    /// of vmlinux first.
    pub fn enumerator_of(&self, name: &str) -> Option<(TypeRef, i64)> {
        self.images().find_map(|placed| {
            if placed.image.loaded().is_none() {
                let (id, value) = self.with_btf(placed.id, |view| view.enumerator(name))?;
                return Some((TypeRef { image: placed.id, unit: BTF_UNIT, die: id }, value));
            }
            self.dwarf_enumerator(placed, name)
        })
    }

    fn dwarf_enumerator(&self, placed: &Placed, name: &str) -> Option<(TypeRef, i64)> {
        let found = self.type_named_in(placed, name, &[Kind::Enumerator])?;
        let unit = Unit::open(&placed.image, found.unit)?;
        let value = constant(unit.entry(found.die)?.attr_value(gimli::DW_AT_const_value)?)?;
        // DWARF has no way up. Of the enumerations, the last one before it.
        let mut owner = None;
        unit.walk(unit.root_die(), &[gimli::DW_TAG_enumeration_type], &mut |entry| {
            if die(entry) < found.die {
                owner = owner.max(Some(die(entry)));
            }
            Below::Skip
        });
        Some((TypeRef { die: owner?, ..found }, value))
    }
}
