//! Types by name, and what they are.

use crate::symbols::{
    answer::{TypeRef, TypeShape},
    dwarf::{
        index::{Kind, NameEntry},
        reader::{Unit, Value},
    },
    placed::{Placed, Symbols},
    types::{
        btf::BtfKind,
        from_dwarf::constant,
        node::{Encoding, Node, Types},
        written,
    },
};
use std::collections::BTreeSet;

/// Kinds of names that are of types.
const TYPE_KINDS: [Kind; 5] = [Kind::Struct, Kind::Union, Kind::Enum, Kind::Typedef, Kind::Base];

/// Qualifiers in a row at most.
const MAX_QUALIFIERS: usize = 16;

impl TypeRef {
    /// `void` of an image.
    pub(in crate::symbols) fn void_of(placed: &Placed) -> TypeRef {
        TypeRef { image: placed.id, unit: 0, die: 0 }
    }

    /// Whether it is `void`, which has no size and no value.
    pub fn is_void(&self) -> bool {
        self.die == 0
    }
}

/// The type a `DW_AT_type` refers to.
pub(in crate::symbols) fn type_ref(
    placed: &Placed,
    unit: &Unit<'_>,
    value: Value<'_>,
) -> Option<TypeRef> {
    let (unit, die) = unit.target(value)?;
    Some(TypeRef { image: placed.id, unit, die })
}

impl Symbols {
    /// A type by name: `struct list_head`, `union x`, `enum y`, `u32`,
    /// `unsigned long`, or a tag without its keyword. Complete ones only.
    pub fn find_type(&self, name: &str) -> Option<TypeRef> {
        let name = name.trim();
        let tagged: [(&str, &[Kind]); 3] =
            [("struct ", &[Kind::Struct]), ("union ", &[Kind::Union]), ("enum ", &[Kind::Enum])];
        for (keyword, kinds) in tagged {
            if let Some(tag) = name.strip_prefix(keyword) {
                return self.type_named(tag.trim_start(), kinds);
            }
        }
        let kinds = [Kind::Typedef, Kind::Struct, Kind::Union, Kind::Base, Kind::Enum];
        let usual = spelled(name);
        self.type_named(usual.as_deref().unwrap_or(name), &kinds)
    }

    /// A type as C writes it: `struct hgfs_req *`, `int (*)(void *)`.
    pub fn type_name(&self, ty: TypeRef) -> String {
        written::declared(&Types::new(self), ty, "", -1)
    }

    /// The type built on this one by a declarator: `*` makes it a pointer,
    /// `[3]` an array, `(*)(int)` a pointer to a function of it.
    pub fn declared_as(&self, ty: TypeRef, declarator: &str) -> String {
        let types = Types::new(self);
        let mut at = ty;
        for _ in 0..MAX_QUALIFIERS {
            let Node::Qualified { target, .. } = &*types.node(at) else { break };
            at = *target;
        }
        // `*` binds weaker than what follows it.
        let behind = matches!(&*types.node(at), Node::Array { .. } | Node::Function(_));
        match behind && declarator.starts_with('*') {
            true => written::declared(&types, ty, &format!("({declarator})"), -1),
            false => written::declared(&types, ty, declarator, -1),
        }
    }

    /// What a type is, without typedefs and qualifiers.
    pub fn type_shape(&self, ty: TypeRef) -> TypeShape {
        let types = Types::new(self);
        let (at, node) = types.whole(ty);
        match &*node {
            Node::Void => TypeShape::Void,
            Node::Base { size, encoding, .. } => base_shape(*encoding, *size),
            Node::Pointer { size, target } => TypeShape::Pointer { size: *size, target: *target },
            Node::Composite { union, name, size } => {
                TypeShape::Struct { name: name.clone(), size: *size, union: *union }
            }
            Node::Enum { size, .. } => {
                TypeShape::Enum { size: size.unwrap_or(0), names: types.enumerators(at) }
            }
            Node::Array { element, counts, .. } => {
                TypeShape::Array { element: *element, counts: counts.clone() }
            }
            Node::Function(_) => TypeShape::Function,
            Node::Typedef { .. } | Node::Qualified { .. } | Node::Unknown => TypeShape::Unknown,
        }
    }

    /// Bytes of a value of the type; `None` for void, functions, and types
    /// that are nowhere described whole.
    pub fn size_of(&self, ty: TypeRef) -> Option<u64> {
        Types::new(self).size(ty)
    }

    /// Bytes of the type of this name.
    pub fn type_size(&self, name: &str) -> Option<u64> {
        self.size_of(self.find_type(name)?)
    }

    /// The value of an enumerator, such as `MODULE_STATE_LIVE`.
    pub fn enumerator(&self, name: &str) -> Option<i64> {
        self.images().find_map(|placed| {
            if placed.image.loaded().is_none() {
                return self.with_btf(placed.id, |view| Some(view.enumerator(name)?.1));
            }
            let found = self.type_named_in(placed, name, &[Kind::Enumerator])?;
            let unit = Unit::open(&placed.image, found.unit)?;
            constant(unit.entry(found.die)?.attr_value(gimli::DW_AT_const_value)?)
        })
    }

    /// Names of types that start with `prefix`, tags without their keyword,
    /// sorted.
    pub fn complete_type(&self, prefix: &str, limit: usize) -> Vec<String> {
        let mut names = BTreeSet::new();
        for placed in self.images() {
            let image = placed.image.image();
            let mut more = BTreeSet::new();
            let mut add = |name: &[u8]| {
                more.insert(String::from_utf8_lossy(name).into_owned());
                more.len() < limit
            };
            match placed.image.loaded() {
                Some(loaded) => {
                    let found = loaded.index.prefixed(image, prefix).iter();
                    let types = found.filter(|entry| TYPE_KINDS.contains(&entry.kind));
                    let _ = types.map(|entry| loaded.index.text(image, entry)).all(&mut add);
                }
                None => {
                    let of = |kind: BtfKind| !matches!(kind, BtfKind::Func | BtfKind::Var);
                    self.with_btf(placed.id, |view| {
                        let all = view.names().filter(|(_, _, raw)| of(raw.kind));
                        let found = all.filter(|(name, ..)| name.starts_with(prefix.as_bytes()));
                        Some(found.map(|(name, ..)| name).all(&mut add))
                    });
                }
            }
            names.extend(more);
        }
        names.into_iter().take(limit).collect()
    }

    /// The first entry of one of these kinds, vmlinux first, the kinds in
    /// their order.
    pub(in crate::symbols) fn type_named(&self, name: &str, kinds: &[Kind]) -> Option<TypeRef> {
        self.images().find_map(|placed| self.type_named_in(placed, name, kinds))
    }

    /// The same in one image: by its DWARF, and until that is loaded, or when
    /// there is none, by its BTF.
    pub(in crate::symbols) fn type_named_in(
        &self,
        placed: &Placed,
        name: &str,
        kinds: &[Kind],
    ) -> Option<TypeRef> {
        let Some(loaded) = placed.image.loaded() else {
            return self.btf_named(placed, name, kinds);
        };
        let named = loaded.index.named(placed.image.image(), name);
        let of = |kind: &Kind| named.iter().find(|entry| entry.kind == *kind);
        let found: &NameEntry = kinds.iter().find_map(of)?;
        Some(TypeRef { image: placed.id, unit: found.unit, die: found.die })
    }
}

fn base_shape(encoding: Encoding, size: u64) -> TypeShape {
    match encoding {
        Encoding::Bool => TypeShape::Bool { size },
        Encoding::Float => TypeShape::Float { size },
        Encoding::SignedChar => TypeShape::Char { signed: true },
        Encoding::UnsignedChar => TypeShape::Char { signed: false },
        Encoding::Signed => TypeShape::Int { size, signed: true },
        Encoding::Unsigned => TypeShape::Int { size, signed: false },
        Encoding::Other => TypeShape::Unknown,
    }
}

/// The name compilers give a base type that C lets people spell in many ways.
fn spelled(name: &str) -> Option<String> {
    let words: Vec<&str> = name.split_whitespace().collect();
    let known = ["unsigned", "signed", "long", "short", "int", "char"];
    if words.is_empty() || !words.iter().all(|word| known.contains(word)) {
        return None;
    }
    let count = |word| words.iter().filter(|have| **have == word).count();
    let unsigned = count("unsigned") > 0;
    let text = match (count("long"), count("short"), count("char")) {
        (0, 0, 0) if unsigned => "unsigned int",
        (0, 0, 0) => "int",
        (1, _, _) if unsigned => "long unsigned int",
        (1, _, _) => "long int",
        (2.., _, _) if unsigned => "long long unsigned int",
        (2.., _, _) => "long long int",
        (_, 1.., _) if unsigned => "short unsigned int",
        (_, 1.., _) => "short int",
        _ if unsigned => "unsigned char",
        _ if count("signed") > 0 => "signed char",
        _ => "char",
    };
    Some(text.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn base_types_have_one_spelling() {
        for (said, usual) in [
            ("unsigned long", "long unsigned int"),
            ("unsigned", "unsigned int"),
            ("long  long int unsigned", "long long unsigned int"),
            ("short", "short int"),
            ("unsigned char", "unsigned char"),
        ] {
            assert_eq!(spelled(said).as_deref(), Some(usual));
        }
        assert_eq!(spelled("u32"), None);
        assert_eq!(spelled(""), None);
    }
}
