//! What a user asks of a type: `ptype`, `ptype /o`, `whatis`.

use crate::symbols::{
    answer::{Gap, MemberView, TypeDescription, TypeRef},
    dwarf::index::Kind,
    placed::Symbols,
    types::{
        node::{Node, Types},
        written,
    },
};

/// Something with a type that a user has named.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Named {
    /// The type.
    pub ty: TypeRef,
    /// How many pointers to it were written after it.
    pub pointers: usize,
    /// A type was named, not a variable or function that has it.
    pub is_type: bool,
}

/// The most pointers to pointers that are worth printing.
const MOST_POINTERS: usize = 16;

impl Symbols {
    /// What `name` means: a type (`struct page`, `u32`, `struct page **`, or
    /// a tag without its keyword), a variable, or a function. Of the names of
    /// C that share one space, types come before variables and functions, and
    /// tags come last.
    pub fn find_typed(&self, name: &str) -> Option<Named> {
        let stem = name.trim().trim_end_matches(|c: char| c == '*' || c.is_whitespace());
        let pointers = name[stem.len()..].matches('*').count().min(MOST_POINTERS);
        let words = stem.trim_start_matches("const ").trim_start_matches("volatile ").trim();
        let named = |ty, is_type| Named { ty, pointers, is_type };
        if words == "void" {
            let first = self.images().next()?;
            return Some(named(TypeRef::void_of(first), true));
        }
        let tagged = ["struct ", "union ", "enum "].iter().any(|word| words.starts_with(word));
        if tagged || words.contains(' ') {
            return self.find_type(words).map(|ty| named(ty, true));
        }
        let plain = || self.type_named(words, &[Kind::Typedef, Kind::Base]);
        if let Some(ty) = plain() {
            return Some(named(ty, true));
        }
        let own = self.find_variable(words).map(|variable| variable.ty);
        if let Some(ty) = own.or_else(|| self.function_type(words)) {
            return Some(named(ty, false));
        }
        self.find_type(words).map(|ty| named(ty, true))
    }

    /// The type of a function by its name; `hgfs!name` looks in one module.
    pub fn function_type(&self, name: &str) -> Option<TypeRef> {
        let (only, name) = match name.split_once('!') {
            Some((module, name)) => (Some(module), name),
            None => (None, name),
        };
        let mut images = self.images().filter(|placed| only.is_none_or(|only| placed.name == only));
        images.find_map(|placed| match placed.image.loaded() {
            Some(_) => self.type_named_in(placed, name, &[Kind::Function, Kind::Inline]),
            None => self.btf_declared(placed, name, Kind::Function),
        })
    }

    /// The name of a type, as `whatis` gives it: of a type one typedef is
    /// looked through, of a variable none.
    pub fn whatis(&self, named: Named) -> String {
        let types = Types::new(self);
        let ty = match &*types.node(named.ty) {
            Node::Typedef { target, .. } if named.is_type && named.pointers == 0 => *target,
            _ => named.ty,
        };
        pointed(written::declared(&types, ty, "", -1), named.pointers)
    }

    /// A type with everything in it, as `ptype` gives it; with `offsets` as
    /// `ptype /o` does.
    pub fn describe_type(&self, named: Named, offsets: bool) -> TypeDescription {
        let types = Types::new(self);
        let (at, node) = types.whole(named.ty);
        let composite = matches!(&*node, Node::Composite { .. }) && named.pointers == 0;
        let offsets = offsets && composite;
        let text = written::described(&types, named.ty, offsets);
        let head = if offsets { "/* offset      |    size */  " } else { "" };
        let mut out = TypeDescription {
            name: self.whatis(Named { is_type: false, ..named }),
            text: format!("{head}type = {}", pointed(text, named.pointers)),
            size: match named.pointers {
                0 => types.size(named.ty),
                _ => Some(8),
            },
            members: Vec::new(),
            summary: None,
        };
        if composite {
            out.members = members(&types, at, &node);
            out.summary = summary(&node, &out.members);
        }
        out
    }
}

fn pointed(text: String, pointers: usize) -> String {
    match pointers {
        0 => text,
        count => format!("{text} {}", "*".repeat(count)),
    }
}

/// The members of a struct with the holes after them.
fn members(types: &Types<'_>, at: TypeRef, node: &Node) -> Vec<MemberView> {
    let Node::Composite { union, size, .. } = node else { return Vec::new() };
    let fields = types.members(at);
    let total = size.unwrap_or(0).saturating_mul(8);
    let ends = fields.iter().skip(1).map(|next| next.bit).chain([total]);
    let view = |(field, next): (&crate::symbols::types::node::Field, u64)| {
        let size = types.size(field.ty).unwrap_or(0);
        let bits = field.bits.map_or(size.saturating_mul(8), u64::from);
        let hole = match union {
            true => 0,
            false => next.saturating_sub(field.bit.saturating_add(bits)),
        };
        MemberView {
            name: field.name.clone(),
            offset: field.bit / 8,
            size,
            bit: field.bits.map(|_| (field.bit % 8) as u32),
            bits: field.bits,
            type_name: written::declared(types, field.ty, "", -1),
            hole: (hole > 0).then_some(Gap { bytes: hole / 8, bits: (hole % 8) as u32 }),
        }
    };
    fields.iter().zip(ends).map(view).collect()
}

/// Bytes of a cache line; what pahole assumes too.
const CACHE_LINE: u64 = 64;

/// The figures of a struct in pahole's words.
fn summary(node: &Node, members: &[MemberView]) -> Option<String> {
    let Node::Composite { union, size: Some(size), .. } = node else { return None };
    let mut parts = vec![
        format!("size: {size}"),
        format!("cachelines: {}", size.div_ceil(CACHE_LINE)),
        format!("members: {}", members.len()),
    ];
    if !union && let Some((last, before)) = members.split_last() {
        let holes: Vec<Gap> = before.iter().filter_map(|member| member.hole).collect();
        let (bytes, bits) =
            (holes.iter().filter(|h| h.bytes > 0), holes.iter().filter(|h| h.bits > 0));
        let sum = |of: fn(&Gap) -> u64| holes.iter().map(of).sum::<u64>();
        if bytes.clone().count() > 0 {
            parts.push(format!("holes: {}, sum holes: {}", bytes.count(), sum(|gap| gap.bytes)));
        }
        if bits.clone().count() > 0 {
            let total = sum(|gap| gap.bits.into());
            parts.push(format!("bit holes: {}, sum bit holes: {total} bits", bits.count()));
        }
        if let Some(Gap { bytes, bits }) = last.hole {
            parts.extend((bytes > 0).then(|| format!("padding: {bytes}")));
            parts.extend((bits > 0).then(|| format!("bit padding: {bits} bits")));
        }
    }
    if size % CACHE_LINE != 0 {
        parts.push(format!("last cacheline: {} bytes", size % CACHE_LINE));
    }
    Some(format!("/* {} */", parts.join(", ")))
}
