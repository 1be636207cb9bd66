//! Where an image's BTF comes from, and questions by name.

use crate::symbols::{
    answer::{ImageId, TypeRef},
    dwarf::index::Kind,
    image::DebugImage,
    placed::{Placed, Symbols},
    types::{
        btf::{self, Btf, BtfKind, Raw, View},
        node::BTF_UNIT,
    },
};

impl DebugImage {
    /// Whether types can come from `.BTF`. That of a module whose base is
    /// vmlinux's needs a vmlinux that has it.
    pub fn has_btf(&self) -> bool {
        self.image().section(".BTF").is_some_and(|section| section.size > 0)
    }
}

impl Symbols {
    /// Asks the BTF of an image; `None` when it has none that can be used.
    pub(in crate::symbols) fn with_btf<T>(
        &self,
        image: ImageId,
        ask: impl FnOnce(&View<'_>) -> Option<T>,
    ) -> Option<T> {
        let image = &self.image(image)?.image;
        let data = image.image().section_data(".BTF")?;
        let read =
            |base: Option<&View<'_>>| image.btf.get_or_init(|| Btf::read(data, base)).as_ref();
        if !btf::is_split(data) {
            return ask(&View { own: read(None)?, data, base: None, stubs: false });
        }
        let (of, base_data, stubs) = match image.image().section_data(".BTF.base") {
            Some(distilled) => (&image.btf_base, distilled, true),
            None => {
                let kernel = &self.vmlinux()?.image;
                (&kernel.btf, kernel.image().section_data(".BTF")?, false)
            }
        };
        let own = of.get_or_init(|| Btf::read(base_data, None)).as_ref()?;
        let base = View { own, data: base_data, base: None, stubs };
        let view = View { own: read(Some(&base))?, data, base: Some(&base), stubs: false };
        // It was read on top of another vmlinux.
        if !view.follows(&base) {
            return None;
        }
        ask(&view)
    }

    /// The first type of a name in the BTF of an image, the kinds in their
    /// order.
    pub(in crate::symbols) fn btf_named(
        &self,
        placed: &Placed,
        name: &str,
        kinds: &[Kind],
    ) -> Option<TypeRef> {
        let found = self.with_btf(placed.id, |view| {
            let of = |kind: &Kind| view.named(name, |raw| is_a(view, raw, *kind));
            Some(kinds.iter().find_map(of)?.0)
        });
        Some(TypeRef { image: placed.id, unit: BTF_UNIT, die: found? })
    }

    /// The type of a function or a variable of an image by its BTF.
    pub(in crate::symbols) fn btf_declared(
        &self,
        placed: &Placed,
        name: &str,
        kind: Kind,
    ) -> Option<TypeRef> {
        let wanted = if kind == Kind::Variable { BtfKind::Var } else { BtfKind::Func };
        let id = self.with_btf(placed.id, |view| {
            let (id, raw) = view.named(name, |raw| raw.kind == wanted)?;
            Some(if wanted == BtfKind::Var { raw.size_or_type } else { id })
        })?;
        Some(TypeRef { image: placed.id, unit: BTF_UNIT, die: id })
    }
}

fn is_a(view: &View<'_>, raw: &Raw<'_>, kind: Kind) -> bool {
    match raw.kind {
        BtfKind::Struct => kind == Kind::Struct,
        BtfKind::Union => kind == Kind::Union,
        BtfKind::Enum | BtfKind::Enum64 => kind == Kind::Enum && !view.enumerators(raw).is_empty(),
        BtfKind::Typedef => kind == Kind::Typedef,
        BtfKind::Int | BtfKind::Float => kind == Kind::Base,
        _ => false,
    }
}

impl Placed {
    /// Whether there is anything that types are described by.
    pub fn has_types(&self) -> bool {
        self.image.dwarf_ready() || self.image.has_btf()
    }
}
