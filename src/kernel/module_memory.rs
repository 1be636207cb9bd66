//! The memory that a module has, by what its `struct module` tells.
//!
//! Layouts, decided by which members there are (include/linux/module.h): 4.2
//! has `module_core` and `module_init` with their sizes, 4.5 to 6.3
//! `core_layout` and `init_layout`, since 6.4 there is `mem[]`, one piece for
//! each `enum mod_mem_type`.

use crate::{
    base::{addr::Addr, memory::Memory},
    kernel::{
        KernelError, Struct,
        record::{Field, Record},
    },
    symbols::placed::Symbols,
};

/// No piece of a module is larger: they all are in 1.5 GiB
/// (`MODULES_VADDR`, arch/x86/include/asm/pgtable_64_types.h).
const MOST_BYTES: u64 = 0x6000_0000;

/// More types of memory than any kernel has; 6.4 has seven.
const MOST_TYPES: u64 = 16;

/// A piece of a module's memory.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Piece {
    /// What it is for.
    pub kind: Kind,
    /// Where it starts.
    pub start: Addr,
    /// Its size in bytes.
    pub size: u64,
    /// How much of it is code, where code and data are in one piece.
    pub text: Option<u64>,
}

impl Piece {
    /// Whether an address is inside.
    pub fn contains(&self, addr: Addr) -> bool {
        addr.since(self.start) < self.size
    }
}

/// What a piece of memory is for. Up to 6.3 there are [`Kind::Core`] and
/// [`Kind::Init`], since then the others.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Kind {
    /// All that stays.
    Core,
    /// Code.
    Text,
    /// Data.
    Data,
    /// Data that is never written.
    Rodata,
    /// Data that is not written after init.
    RoAfterInit,
    /// All that is given back after init.
    Init,
    /// The same, code only.
    InitText,
    /// The same, data only.
    InitData,
    /// The same, data that is never written.
    InitRodata,
}

impl Kind {
    /// The types of `mem[]`, by their enumerators.
    const TYPES: [(&'static str, Kind); 7] = [
        ("MOD_TEXT", Kind::Text),
        ("MOD_DATA", Kind::Data),
        ("MOD_RODATA", Kind::Rodata),
        ("MOD_RO_AFTER_INIT", Kind::RoAfterInit),
        ("MOD_INIT_TEXT", Kind::InitText),
        ("MOD_INIT_DATA", Kind::InitData),
        ("MOD_INIT_RODATA", Kind::InitRodata),
    ];

    /// Whether it is given back after init.
    pub fn is_init(self) -> bool {
        self >= Kind::Init
    }

    /// In a word.
    pub fn word(self) -> &'static str {
        match self {
            Kind::Core => "core",
            Kind::Text => "text",
            Kind::Data => "data",
            Kind::Rodata => "rodata",
            Kind::RoAfterInit => "ro_after_init",
            Kind::Init => "init",
            Kind::InitText => "init_text",
            Kind::InitData => "init_data",
            Kind::InitRodata => "init_rodata",
        }
    }
}

/// Where `struct module` has them.
#[derive(Debug, Default)]
pub struct Layouts {
    pieces: Vec<Members>,
}

#[derive(Debug)]
struct Members {
    kind: Kind,
    base: Field,
    size: Field,
    text: Option<Field>,
}

impl Layouts {
    /// From the debug information of vmlinux; of a kernel that has none of
    /// the layouts, no memory is known.
    pub(super) fn new(symbols: &Symbols, module: &Struct) -> Layouts {
        let found = [
            (Kind::Core, ["core_layout.base", "core_layout.size", "core_layout.text_size"]),
            (Kind::Init, ["init_layout.base", "init_layout.size", "init_layout.text_size"]),
            (Kind::Core, ["module_core", "core_size", "core_text_size"]),
            (Kind::Init, ["module_init", "init_size", "init_text_size"]),
        ];
        let members = |(kind, [base, size, text]): (Kind, [&str; 3])| {
            let (base, size) = (module.find(base)?, module.find(size)?);
            Some(Members { kind, base, size, text: module.find(text) })
        };
        let mut pieces: Vec<Members> = found.into_iter().filter_map(members).collect();
        if pieces.is_empty() {
            pieces = Layouts::array(symbols, module).unwrap_or_default();
        }
        Layouts { pieces }
    }

    fn array(symbols: &Symbols, module: &Struct) -> Option<Vec<Members>> {
        let (start, bytes) = module.find("mem")?;
        let one = Struct::new(symbols, "module_memory").ok()?;
        let (base, size) = (one.find("base")?, one.find("size")?);
        let count = bytes.checked_div(one.size())?;
        let members = |(name, kind): (&str, Kind)| {
            let index = symbols.enumerator(name).and_then(|index| u64::try_from(index).ok())?;
            let at = |(offset, len): Field| (start + index * one.size() + offset, len);
            let inside = index < count.min(MOST_TYPES);
            inside.then(|| Members { kind, base: at(base), size: at(size), text: None })
        };
        Some(Kind::TYPES.into_iter().filter_map(members).collect())
    }

    /// The pieces that a module has: those of init only `with_init`, for after
    /// it they are zero. One packet up to 6.3, or two with init; since 6.4 one
    /// a piece. What can't be true is left out.
    pub fn read(
        &self,
        memory: &dyn Memory,
        module: Addr,
        with_init: bool,
    ) -> Result<Vec<Piece>, KernelError> {
        let wanted = || self.pieces.iter().filter(|members| with_init || !members.kind.is_init());
        let fields: Vec<Field> = wanted()
            .flat_map(|members| [Some(members.base), Some(members.size), members.text])
            .flatten()
            .collect();
        let mut record = Record::default();
        // A plan is for few fields. All are tried, so that one run reports
        // every miss.
        let read: Vec<_> =
            fields.chunks(9).map(|some| Record::read(memory, module, some, u64::MAX)).collect();
        for part in read {
            record.add(part?);
        }
        let piece = |members: &Members| Piece {
            kind: members.kind,
            start: Addr(record.uint(members.base)),
            size: record.uint(members.size),
            text: members.text.map(|text| record.uint(text)),
        };
        let plausible =
            |piece: &Piece| piece.start.0 != 0 && (1..=MOST_BYTES).contains(&piece.size);
        Ok(wanted().map(piece).filter(plausible).collect())
    }

    /// The layout of 6.1 in small: base, size and text size of core at 256,
    /// of init at 320.
    #[cfg(test)]
    pub(super) fn for_tests() -> Layouts {
        let members =
            |kind, at| Members { kind, base: (at, 8), size: (at + 8, 4), text: Some((at + 12, 4)) };
        Layouts { pieces: vec![members(Kind::Core, 256), members(Kind::Init, 320)] }
    }
}
