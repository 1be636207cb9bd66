//! Types: found by name, named as C writes them, and what they are made of.

use crate::symbols::{
    answer::{TypeRef, TypeShape},
    dwarf::{At, Entry, MAX_HOPS, Unit, Value, number},
    index::{Kind, NameEntry},
    placed::{Placed, Symbols},
};
use gimli::{AttributeValue, DwTag};
use std::cell::Cell;

/// Enumerators of one type at most; the kernel's largest has some 1,000.
const MAX_ENUMERATORS: usize = 20_000;

/// Entries that make one name at most.
const MAX_WORDS: usize = 500;

impl TypeRef {
    /// `void` of an image.
    pub(super) fn void_of(placed: &Placed) -> TypeRef {
        TypeRef { image: placed.id, unit: 0, die: 0 }
    }

    /// Whether it is `void`, which has no size and no value.
    pub fn is_void(&self) -> bool {
        self.die == 0
    }
}

/// The type a `DW_AT_type` refers to.
pub(super) fn type_ref(placed: &Placed, unit: &Unit<'_>, value: Value<'_>) -> Option<TypeRef> {
    let (unit, die) = unit.target(value)?;
    Some(TypeRef { image: placed.id, unit, die })
}

/// A type with its unit opened: what the questions below work on. Types lead
/// from one unit of the image into another.
pub(super) struct Typed<'a> {
    pub symbols: &'a Symbols,
    pub placed: &'a Placed,
    pub unit: Unit<'a>,
    /// How many more entries the name being made may take.
    words: Cell<usize>,
}

impl<'a> Typed<'a> {
    pub fn open(symbols: &'a Symbols, ty: TypeRef) -> Option<Typed<'a>> {
        let placed = symbols.image(ty.image)?;
        let unit = Unit::open(&placed.image, ty.unit)?;
        Some(Typed { symbols, placed, unit, words: Cell::new(MAX_WORDS) })
    }

    /// The entry of a type of the same image; `None` for void. A type that is
    /// only named here and has a unit of its own is found there.
    pub fn at(&self, ty: TypeRef) -> Option<At<'a>> {
        let at = if ty.is_void() { None } else { self.unit.at((ty.unit, ty.die)) }?;
        let signature = at.attr(gimli::DW_AT_signature);
        signature.and_then(|signature| at.unit.referred(signature)).or(Some(at))
    }

    /// The type an entry has; none is `void`.
    pub fn type_of(&self, at: &At<'a>) -> TypeRef {
        let value = at.unit.inherited(&at.entry, gimli::DW_AT_type);
        value
            .and_then(|(unit, value)| type_ref(self.placed, &unit, value))
            .unwrap_or(TypeRef::void_of(self.placed))
    }

    /// The entry of a type without typedefs and qualifiers; `None` for void.
    pub fn plain(&self, ty: TypeRef) -> Option<At<'a>> {
        let mut ty = ty;
        for _ in 0..MAX_HOPS * 4 {
            let at = self.at(ty)?;
            if at.entry.tag() != gimli::DW_TAG_typedef && qualifier(at.entry.tag()).is_none() {
                return Some(at);
            }
            ty = self.type_of(&at);
        }
        None
    }

    /// Bytes of a type; `None` for void, functions and what is not complete.
    pub fn size(&self, ty: TypeRef) -> Option<u64> {
        let mut ty = ty;
        let mut count: u64 = 1;
        for _ in 0..MAX_HOPS {
            let at = self.plain(ty)?;
            if let Some(size) = number(at.attr(gimli::DW_AT_byte_size)) {
                return size.checked_mul(count);
            }
            match at.entry.tag() {
                gimli::DW_TAG_array_type => {
                    for dimension in counts(&at) {
                        count = count.checked_mul(dimension.unwrap_or(0))?;
                    }
                    ty = self.type_of(&at);
                }
                gimli::DW_TAG_pointer_type => return count.checked_mul(self.pointer_size()),
                // Described here only by name.
                _ => return self.complete(&at)?.checked_mul(count),
            }
        }
        None
    }

    fn complete(&self, at: &At<'a>) -> Option<u64> {
        let whole = self.definition(at)?;
        let at = Typed::open(self.symbols, whole)?.at(whole)?;
        number(at.attr(gimli::DW_AT_byte_size))
    }

    /// Where a type that is only declared in this unit is described whole.
    pub fn definition(&self, at: &At<'a>) -> Option<TypeRef> {
        at.attr(gimli::DW_AT_declaration)?;
        let name = at.unit.name(&at.entry)?;
        let kind = match at.entry.tag() {
            gimli::DW_TAG_structure_type => Kind::Struct,
            gimli::DW_TAG_union_type => Kind::Union,
            gimli::DW_TAG_enumeration_type => Kind::Enum,
            _ => return None,
        };
        // The image itself first: a module's own type of that name is meant.
        let own = self.symbols.type_named_in(self.placed, &name, &[kind]);
        own.or_else(|| self.symbols.type_named(&name, &[kind]))
    }

    pub fn pointer_size(&self) -> u64 {
        self.unit.unit.header.address_size().into()
    }

    /// The type as C writes it.
    pub fn written(&self, ty: TypeRef) -> String {
        self.words.set(MAX_WORDS);
        self.declare(ty, "", 0)
    }

    /// A declaration of `inner` (a declarator, or nothing) with this type.
    fn declare(&self, ty: TypeRef, inner: &str, hops: usize) -> String {
        let join = |base: &str| match inner {
            "" => base.to_owned(),
            inner => format!("{base} {inner}"),
        };
        if ty.is_void() {
            return join("void");
        }
        // Functions whose parameters are functions branch, so depth alone is
        // no bound on a hostile file.
        let left = self.words.get().saturating_sub(1);
        self.words.set(left);
        let Some(at) = self.at(ty).filter(|_| hops < MAX_HOPS && left > 0) else {
            return join("?");
        };
        let target = self.type_of(&at);
        match at.entry.tag() {
            gimli::DW_TAG_pointer_type => {
                let inner = format!("*{inner}");
                let wraps = self.at(target).is_some_and(|target| {
                    matches!(
                        target.entry.tag(),
                        gimli::DW_TAG_array_type | gimli::DW_TAG_subroutine_type
                    )
                });
                let inner = if wraps { format!("({inner})") } else { inner };
                self.declare(target, &inner, hops + 1)
            }
            gimli::DW_TAG_array_type => {
                let mut inner = inner.to_owned();
                for count in counts(&at) {
                    inner.push_str(&match count {
                        Some(count) => format!("[{count}]"),
                        None => "[]".to_owned(),
                    });
                }
                self.declare(target, &inner, hops + 1)
            }
            gimli::DW_TAG_subroutine_type => {
                let parameters = self.parameters(&at, hops + 1);
                self.declare(target, &format!("{inner}({parameters})"), hops + 1)
            }
            tag => match qualifier(tag) {
                Some(word) if self.is_pointer(target) => {
                    let inner = if inner.is_empty() { String::new() } else { format!(" {inner}") };
                    self.declare(target, &format!(" {word}{inner}"), hops + 1)
                }
                Some(word) => {
                    // A constant array of constants says it twice.
                    let text = self.declare(target, inner, hops + 1);
                    let twice = text.strip_prefix(word).is_some_and(|rest| rest.starts_with(' '));
                    match text.strip_prefix("const ") {
                        _ if twice => text,
                        Some(rest) => format!("const {word} {rest}"),
                        None => format!("{word} {text}"),
                    }
                }
                None => join(&tagged(&at)),
            },
        }
    }

    fn is_pointer(&self, ty: TypeRef) -> bool {
        self.at(ty).is_some_and(|at| at.entry.tag() == gimli::DW_TAG_pointer_type)
    }

    fn parameters(&self, function: &At<'a>, hops: usize) -> String {
        let tags = [gimli::DW_TAG_formal_parameter, gimli::DW_TAG_unspecified_parameters];
        let children = function.children(&tags);
        let text = |at: &At<'a>| match at.entry.tag() {
            gimli::DW_TAG_formal_parameter => self.declare(self.type_of(at), "", hops),
            _ => "...".to_owned(),
        };
        match children.is_empty() {
            true => "void".to_owned(),
            false => children.iter().take(MAX_WORDS).map(text).collect::<Vec<_>>().join(", "),
        }
    }

    fn shape(&self, ty: TypeRef) -> TypeShape {
        if ty.is_void() {
            return TypeShape::Void;
        }
        let Some(at) = self.plain(ty) else {
            return match self.ends_in_void(ty) {
                true => TypeShape::Void,
                false => TypeShape::Unknown,
            };
        };
        let size = self.size(self.reference(&at)).unwrap_or(0);
        let target = self.type_of(&at);
        let named = || at.attr(gimli::DW_AT_name).and_then(|name| at.unit.string(name));
        match at.entry.tag() {
            gimli::DW_TAG_base_type => base_shape(&at.entry, size),
            gimli::DW_TAG_pointer_type => TypeShape::Pointer { size, target },
            gimli::DW_TAG_structure_type => TypeShape::Struct { name: named(), size, union: false },
            gimli::DW_TAG_union_type => TypeShape::Struct { name: named(), size, union: true },
            gimli::DW_TAG_array_type => TypeShape::Array { element: target, counts: counts(&at) },
            gimli::DW_TAG_subroutine_type => TypeShape::Function,
            gimli::DW_TAG_enumeration_type => {
                TypeShape::Enum { size, names: self.enumerators(&at) }
            }
            _ => TypeShape::Unknown,
        }
    }

    /// The type that an entry of this image is.
    pub fn reference(&self, at: &At<'a>) -> TypeRef {
        TypeRef { image: self.placed.id, unit: at.unit.number, die: at.die() }
    }

    /// Whether typedefs and qualifiers end in nothing, as in `const void`.
    fn ends_in_void(&self, ty: TypeRef) -> bool {
        let mut ty = ty;
        for _ in 0..MAX_HOPS * 4 {
            let Some(at) = self.at(ty) else { return false };
            ty = self.type_of(&at);
            if ty.is_void() {
                let tag = at.entry.tag();
                return tag == gimli::DW_TAG_typedef || qualifier(tag).is_some();
            }
        }
        false
    }

    fn enumerators(&self, at: &At<'a>) -> Vec<(String, i64)> {
        if let Some(whole) = self.definition(at)
            && let Some(typed) = Typed::open(self.symbols, whole)
            && let Some(whole) = typed.at(whole)
        {
            return enumerators(&whole);
        }
        enumerators(at)
    }
}

/// The enumerators right below an entry.
fn enumerators(at: &At<'_>) -> Vec<(String, i64)> {
    let value = |at: &At<'_>| {
        Some((at.unit.name(&at.entry)?, constant(at.attr(gimli::DW_AT_const_value)?)?))
    };
    let children = at.children(&[gimli::DW_TAG_enumerator]);
    children.iter().take(MAX_ENUMERATORS).filter_map(value).collect()
}

/// The number of elements in each dimension of an array.
pub(super) fn counts(array: &At<'_>) -> Vec<Option<u64>> {
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

/// The name of a type that has one: with its keyword where C wants it.
pub(super) fn tagged(at: &At<'_>) -> String {
    let inherited = || at.unit.name(&at.entry).unwrap_or_else(|| "?".to_owned());
    let keyword = match at.entry.tag() {
        gimli::DW_TAG_structure_type => "struct",
        gimli::DW_TAG_union_type => "union",
        gimli::DW_TAG_enumeration_type => "enum",
        gimli::DW_TAG_base_type => {
            let name = inherited();
            return in_c(&name).map_or(name, str::to_owned);
        }
        _ => return inherited(),
    };
    let name = at.attr(gimli::DW_AT_name).and_then(|name| at.unit.string(name));
    match name {
        Some(name) => format!("{keyword} {name}"),
        None => format!("{keyword} {{...}}"),
    }
}

fn base_shape(entry: &Entry<'_>, size: u64) -> TypeShape {
    let encoding = match entry.attr_value(gimli::DW_AT_encoding) {
        Some(AttributeValue::Encoding(encoding)) => encoding,
        _ => return TypeShape::Unknown,
    };
    match encoding {
        gimli::DW_ATE_boolean => TypeShape::Bool { size },
        gimli::DW_ATE_float => TypeShape::Float { size },
        gimli::DW_ATE_signed_char if size == 1 => TypeShape::Char { signed: true },
        gimli::DW_ATE_unsigned_char if size == 1 => TypeShape::Char { signed: false },
        encoding => TypeShape::Int { size, signed: encoding == gimli::DW_ATE_signed },
    }
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

/// A constant of an enumerator, with its sign where the form has one.
pub(super) fn constant(value: Value<'_>) -> Option<i64> {
    match value {
        AttributeValue::Sdata(value) => Some(value),
        value => value.udata_value().map(|value| value as i64),
    }
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
        if ty.is_void() {
            return "void".to_owned();
        }
        Typed::open(self, ty).map_or("?".to_owned(), |typed| typed.written(ty))
    }

    /// What a type is, without typedefs and qualifiers.
    pub fn type_shape(&self, ty: TypeRef) -> TypeShape {
        if ty.is_void() {
            return TypeShape::Void;
        }
        Typed::open(self, ty).map_or(TypeShape::Unknown, |typed| typed.shape(ty))
    }

    /// Bytes of a value of the type; `None` for void, functions, and types
    /// that are nowhere described whole.
    pub fn size_of(&self, ty: TypeRef) -> Option<u64> {
        Typed::open(self, ty)?.size(ty)
    }

    /// Bytes of the type of this name.
    pub fn type_size(&self, name: &str) -> Option<u64> {
        self.size_of(self.find_type(name)?)
    }

    /// The value of an enumerator, such as `MODULE_STATE_LIVE`.
    pub fn enumerator(&self, name: &str) -> Option<i64> {
        let found = self.type_named(name, &[Kind::Enumerator])?;
        let typed = Typed::open(self, found)?;
        constant(typed.at(found)?.attr(gimli::DW_AT_const_value)?)
    }

    /// The first entry of one of these kinds, vmlinux first, the kinds in
    /// their order.
    pub(super) fn type_named(&self, name: &str, kinds: &[Kind]) -> Option<TypeRef> {
        self.images().find_map(|placed| self.type_named_in(placed, name, kinds))
    }

    pub(super) fn type_named_in(
        &self,
        placed: &Placed,
        name: &str,
        kinds: &[Kind],
    ) -> Option<TypeRef> {
        let index = &placed.image.loaded()?.index;
        let named = index.named(placed.image.image(), name);
        let of = |kind: &Kind| named.iter().find(|entry| entry.kind == *kind);
        let found: &NameEntry = kinds.iter().find_map(of)?;
        Some(TypeRef { image: placed.id, unit: found.unit, die: found.die })
    }
}

/// How people write an integer type that GCC names by its words in the order
/// of the grammar.
fn in_c(name: &str) -> Option<&'static str> {
    Some(match name {
        "long int" => "long",
        "long unsigned int" => "unsigned long",
        "long long int" => "long long",
        "long long unsigned int" => "unsigned long long",
        "short int" => "short",
        "short unsigned int" => "unsigned short",
        _ => return None,
    })
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
