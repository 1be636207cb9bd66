//! Where the kernel puts a module's sections, worked out from the headers of
//! its .ko: reading all of the addresses costs a packet a section.
//!
//! `layout_sections` (kernel/module/main.c, before 5.19 kernel/module.c) goes
//! through the headers once for code, for what is not written, for what is not
//! written after init and for the rest; first what stays, then what starts
//! with `.init`. Up to 6.3 all of it is laid out in one piece of memory for
//! each of the two, where classes start at a page when they are protected
//! (`strict_align`; in 4.2 `debug_align`); since 6.4 each class has its own.
//!
//! What is worked out here is a guess until the guest's own addresses agree:
//! see `witnesses`.

use crate::{
    base::{addr::Addr, memory::PAGE},
    image::file::Image,
    kernel::module_memory::{Kind, Piece},
    symbols::placed::PER_CPU,
};
use std::collections::BTreeSet;

/// The section that is `struct module` itself.
pub(super) const THIS_MODULE: &str = ".gnu.linkonce.this_module";

/// What is not written after init, by the kernel that came to treat it so:
/// none in 4.2, the first from 4.8, two from 4.20, all from 6.10
/// (`module_mark_ro_after_init` in kernel/module/strict_rwx.c).
const RO_AFTER_INIT: [&str; 3] = [".data..ro_after_init", "__jump_table", ".static_call_sites"];

/// How many classes of sections there are.
const CLASSES: usize = 4;

/// The headers of a .ko, as far as the kernel's loader looks at them.
#[derive(Clone, Debug, Default)]
pub struct Expected {
    pub(super) headers: Vec<Header>,
    pub(super) build_id: Option<Vec<u8>>,
    per_cpu: bool,
}

#[derive(Clone, Debug)]
pub(super) struct Header {
    pub name: String,
    size: u64,
    align: u64,
    exec: bool,
    write: bool,
    /// It is given a place in the way that is known here.
    placed: bool,
}

impl Expected {
    /// Of a .ko. Loading takes the per-CPU section, `.modinfo` and the versions
    /// out, and puts the symbol table in (`layout_symtab` and
    /// `rewrite_section_headers` in kernel/module). A wrong guess here costs
    /// reads, nothing else.
    pub fn new(ko: &Image) -> Expected {
        let taken_out = |name: &str| {
            let versions = ["__versions", "__version_ext_crcs", "__version_ext_names"];
            matches!(name, PER_CPU | ".modinfo") || versions.contains(&name)
        };
        let put_in = |name: &str| matches!(name, ".symtab" | ".strtab");
        let header = |section: &crate::image::file::Section| {
            let placed = section.alloc && !taken_out(&section.name);
            (placed || put_in(&section.name)).then(|| Header {
                name: section.name.clone(),
                size: section.size,
                align: section.align.max(1),
                exec: section.exec,
                write: section.write,
                placed,
            })
        };
        let headers = ko.sections().iter().filter_map(header).collect();
        let per_cpu = ko.section(PER_CPU).is_some_and(|section| section.size > 0);
        Expected { headers, build_id: ko.build_id().map(<[u8]>::to_vec), per_cpu }
    }

    /// Whether it has per-CPU variables.
    pub(super) fn per_cpu(&self) -> bool {
        self.per_cpu
    }

    /// The names that the guest lists, in its order: empty sections are not.
    pub(super) fn names(&self) -> impl Iterator<Item = &str> {
        self.headers.iter().filter(|header| header.size > 0).map(|header| header.name.as_str())
    }
}

impl Header {
    fn is_init(&self) -> bool {
        self.name.starts_with(".init")
    }

    /// Its place in the order of classes, where the first so many of
    /// [`RO_AFTER_INIT`] are treated so.
    fn class(&self, ro_after_init: usize) -> usize {
        match () {
            () if self.exec => 0,
            () if !self.write => 1,
            () if RO_AFTER_INIT[..ro_after_init].contains(&self.name.as_str()) => 2,
            () => 3,
        }
    }
}

/// A way in which a kernel lays out sections.
#[derive(Clone, Copy)]
struct Way {
    /// How many of [`RO_AFTER_INIT`] it knows.
    ro_after_init: usize,
    /// What the classes in one piece are aligned to.
    align: u64,
}

fn ways() -> impl Iterator<Item = Way> {
    let counts = (0..=RO_AFTER_INIT.len()).rev();
    counts.flat_map(|ro_after_init| [PAGE, 1].map(|align| Way { ro_after_init, align }))
}

/// The sections whose addresses show whether a layout is the guest's, as
/// indices into [`Expected::names`]: the last of each class, for what is
/// before it has its part in where it is.
pub(super) fn witnesses(expected: &Expected, pieces: &[Piece]) -> BTreeSet<usize> {
    let mut found = BTreeSet::new();
    for ro_after_init in 0..=RO_AFTER_INIT.len() {
        let mut last = [None; 2 * CLASSES];
        let listed = expected.headers.iter().filter(|header| header.size > 0);
        for (index, header) in listed.enumerate().filter(|(_, header)| header.placed) {
            let class = header.class(ro_after_init);
            if piece(pieces, class, header.is_init()).is_some() {
                last[class + CLASSES * usize::from(header.is_init())] = Some(index);
            }
        }
        found.extend(last.into_iter().flatten());
    }
    found
}

/// The address of each of [`Expected::names`] in these pieces of memory, where
/// it has one: in the way that agrees with all `known` addresses, which are
/// those of [`witnesses`]. `None` when no way does.
pub(super) fn layout(
    expected: &Expected,
    pieces: &[Piece],
    module: Addr,
    known: &[(usize, Addr)],
) -> Option<Vec<Option<Addr>>> {
    ways().find_map(|way| {
        let addresses = lay_out(expected, pieces, way)?;
        let agrees = |&(index, addr): &(usize, Addr)| addresses.get(index) == Some(&Some(addr));
        let itself = expected.names().position(|name| name == THIS_MODULE)?;
        let right = agrees(&(itself, module)) && !known.is_empty() && known.iter().all(agrees);
        right.then_some(addresses)
    })
}

fn lay_out(expected: &Expected, pieces: &[Piece], way: Way) -> Option<Vec<Option<Addr>>> {
    let headers = &expected.headers;
    let mut places: Vec<Option<Addr>> = vec![None; headers.len()];
    for init in [false, true] {
        let mut end: u64 = 0;
        for class in 0..CLASSES {
            let piece = piece(pieces, class, init);
            let together = piece.is_none_or(|piece| matches!(piece.kind, Kind::Core | Kind::Init));
            if !together {
                end = 0;
            }
            for (header, place) in headers.iter().zip(&mut places) {
                if !header.placed
                    || header.is_init() != init
                    || header.class(way.ro_after_init) != class
                {
                    continue;
                }
                let start = end.checked_next_multiple_of(header.align)?;
                end = start.checked_add(header.size)?;
                *place =
                    piece.filter(|piece| end <= piece.size).map(|piece| piece.start.offset(start));
            }
            if together {
                end = end.checked_next_multiple_of(way.align)?;
            }
        }
    }
    let listed = headers.iter().zip(places).filter(|(header, _)| header.size > 0);
    Some(listed.map(|(_, place)| place).collect())
}

/// The piece of memory that a class goes into.
fn piece(pieces: &[Piece], class: usize, init: bool) -> Option<&Piece> {
    let own = match (class, init) {
        (0, false) => Kind::Text,
        (1, false) => Kind::Rodata,
        (2, false) => Kind::RoAfterInit,
        (_, false) => Kind::Data,
        (0, true) => Kind::InitText,
        (1, true) => Kind::InitRodata,
        (_, true) => Kind::InitData,
    };
    let all = if init { Kind::Init } else { Kind::Core };
    pieces.iter().find(|piece| piece.kind == own || piece.kind == all)
}

#[cfg(test)]
impl Expected {
    /// Headers by name, size, alignment and flags.
    pub(super) fn of(headers: &[(&str, u64, u64, &str)]) -> Expected {
        let header = |&(name, size, align, flags): &(&str, u64, u64, &str)| Header {
            name: name.into(),
            size,
            align,
            exec: flags.contains('X'),
            write: flags.contains('W'),
            placed: flags.contains('A'),
        };
        Expected { headers: headers.iter().map(header).collect(), ..Expected::default() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const CORE: Addr = Addr(0xffff_ffff_c000_0000);
    const INIT: Addr = Addr(0xffff_ffff_c010_0000);

    fn some() -> Expected {
        Expected::of(&[
            (".note.gnu.build-id", 0x24, 4, "A"),
            (".text", 0x87, 16, "AX"),
            (".init.text", 0x4d, 1, "AX"),
            (".empty", 0, 64, "A"),
            ("__jump_table", 0x20, 8, "AW"),
            (".rodata", 0x96, 32, "A"),
            (".data", 0x1c, 8, "AW"),
            (".init.data", 0xc, 8, "AW"),
            (THIS_MODULE, 0x340, 64, "AW"),
            (".bss", 0x40, 32, "AW"),
            (".symtab", 0x978, 8, ""),
        ])
    }

    fn pieces(list: &[(Kind, Addr)]) -> Vec<Piece> {
        list.iter().map(|&(kind, start)| Piece { kind, start, size: 0x8000, text: None }).collect()
    }

    fn shown(places: &[Option<Addr>], base: Addr) -> Vec<Option<u64>> {
        places.iter().map(|place| place.map(|place| place.since(base))).collect()
    }

    #[test]
    fn classes_come_after_each_other_at_pages() {
        let pieces = pieces(&[(Kind::Core, CORE), (Kind::Init, INIT)]);
        let way = Way { ro_after_init: 2, align: PAGE };
        let places = lay_out(&some(), &pieces, way).unwrap();
        let init = INIT.since(CORE);
        assert_eq!(
            shown(&places, CORE),
            [
                Some(0x1000),
                Some(0),
                Some(init),
                // __jump_table, .rodata; the empty one moves what is after it.
                Some(0x2000),
                Some(0x1040),
                Some(0x3000),
                Some(init + 0x1000),
                Some(0x3040),
                Some(0x3380),
                None,
            ]
        );
    }

    #[test]
    fn each_class_has_its_own_memory_since_6_4() {
        let kinds = [Kind::Text, Kind::Rodata, Kind::RoAfterInit, Kind::Data];
        let list: Vec<_> = kinds.into_iter().zip((0..).map(|i| CORE.offset(i * 0x10000))).collect();
        let way = Way { ro_after_init: 2, align: PAGE };
        let places = lay_out(&some(), &pieces(&list), way).unwrap();
        let (text, init, jumps, data) = (places[1], places[2], places[3], places[5]);
        assert_eq!(text, Some(CORE));
        assert_eq!(init, None, "its memory is not there");
        assert_eq!(jumps, Some(CORE.offset(0x20000)));
        assert_eq!(data, Some(CORE.offset(0x30000)));
    }

    #[test]
    fn a_layout_counts_only_when_the_guest_agrees() {
        let (expected, pieces) = (some(), pieces(&[(Kind::Core, CORE)]));
        let seen = witnesses(&expected, &pieces);
        // .text, __jump_table, .rodata and .bss.
        assert_eq!(seen, BTreeSet::from([1, 3, 4, 8]));
        for way in ways() {
            let places = lay_out(&expected, &pieces, way).unwrap();
            let known: Vec<_> = seen.iter().map(|&i| (i, places[i].unwrap())).collect();
            let itself = places[7].unwrap();
            assert_eq!(layout(&expected, &pieces, itself, &known), Some(places));
            assert_eq!(layout(&expected, &pieces, itself.offset(8), &known), None);
            let mut other = known.clone();
            other[2].1 = other[2].1.offset(32);
            assert_eq!(layout(&expected, &pieces, itself, &other), None);
        }
    }

    proptest! {
        #[test]
        fn any_headers_are_laid_out_inside_or_not_at_all(
            sizes in prop::collection::vec((any::<u64>(), any::<u64>(), 0u8..4), 0..20),
        ) {
            let headers = sizes.into_iter().map(|(size, align, flags)| Header {
                name: ".x".into(),
                size: size >> (flags * 16),
                align: (align >> 48).max(1),
                exec: flags & 1 != 0,
                write: flags & 2 != 0,
                placed: true,
            });
            let expected = Expected { headers: headers.collect(), ..Expected::default() };
            let pieces = pieces(&[(Kind::Core, CORE)]);
            for way in ways() {
                for place in lay_out(&expected, &pieces, way).into_iter().flatten().flatten() {
                    prop_assert!(place.since(CORE) < 0x8000);
                }
            }
        }
    }
}
