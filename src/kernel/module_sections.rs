//! The section addresses of one module, from its `sect_attrs`.
//!
//! They cost far more than the list of modules: a word of each of some twenty
//! structures of 72 bytes, and every name is a string of its own in the heap.
//! A caller that has the .ko passes its headers, from which nearly all of it
//! can be worked out ([`module_layout`](super::module_layout)): of 24 sections
//! of the test guest's hgfs-ping three addresses are read, to see that it is so.
//!
//! Layouts, decided by which members there are: `struct module_sect_attrs` in
//! kernel/module.c of 4.2 and kernel/module/sysfs.c later.

use crate::{
    base::{
        addr::Addr,
        memory::{Gap, Memory},
        text::printable,
    },
    image::{file::Image, notes::build_id_of},
    kernel::{
        KernelError, Struct,
        module_layout::{Expected, layout, witnesses},
        modules::{Module, State},
        record::number,
    },
    symbols::placed::{PER_CPU, Symbols},
};

/// More sections than any module has; -ffunction-sections gives hundreds.
pub const MAX_SECTIONS: u64 = 2048;
/// More bytes than any section name; names are cut there.
const MAX_SECTION_NAME: usize = 128;
/// Most section names fit here, and a read of this size is cheap.
const SHORT_NAME: usize = 32;
/// The section with the build-id.
pub const NOTE: &str = ".note.gnu.build-id";
/// The note is among so many sections at the start: linkers put notes first.
const NOTE_AMONG: usize = 4;

/// A section of a module, or an address by a name like one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Section {
    /// `.text` and the like.
    pub name: String,
    /// Where it is loaded.
    pub addr: Addr,
}

/// Whether there is something where a section is said to be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Presence {
    /// It is there.
    Loaded,
    /// It was there; its memory was given back after init.
    Gone,
    /// Nothing can be there: the address is null, or is not the module's.
    Nowhere,
}

/// The layouts needed, looked up once.
#[derive(Debug)]
pub struct Layouts {
    sect_attrs: u64,
    per_cpu: Option<u64>,
    attrs: Attrs,
}

/// How `struct module_sect_attrs` is laid out.
#[derive(Debug)]
struct Attrs {
    list: AttrList,
    /// Of one attribute.
    name: u64,
    address: u64,
}

#[derive(Debug)]
enum AttrList {
    /// A count, and an array of attributes.
    Counted { count: (u64, u64), array: u64, element: u64 },
    /// No count: a NULL-terminated array of pointers to attributes.
    Pointers { pointers: u64 },
}

impl Layouts {
    /// From the debug information of vmlinux. An error means that this kernel
    /// keeps no section addresses.
    pub fn new(symbols: &Symbols) -> Result<Layouts, KernelError> {
        let module = Struct::new(symbols, "module")?;
        let sect_attrs = module.find("sect_attrs");
        let (sect_attrs, attrs) = sect_attrs.zip(Attrs::new(symbols)).ok_or_else(|| {
            KernelError::NoType(
                "section addresses of modules (CONFIG_KALLSYMS and CONFIG_SYSFS)".to_string(),
            )
        })?;
        let per_cpu = module.find("percpu").map(|field| field.0);
        Ok(Layouts { sect_attrs: sect_attrs.0, per_cpu, attrs })
    }
}

impl Attrs {
    fn new(symbols: &Symbols) -> Option<Attrs> {
        let all = Struct::new(symbols, "module_sect_attrs").ok()?;
        let attribute = |name: &str| Struct::new(symbols, name).ok();
        if let (Some(count), Some(array)) = (all.find("nsections"), all.find("attrs")) {
            let one = attribute("module_sect_attr")?;
            // `name` is 4.2's own member; later it is the sysfs attribute's.
            let name = one.find("battr.attr.name").or_else(|| one.find("name"))?.0;
            let address = one.find("address")?.0;
            let element = one.size();
            let list = AttrList::Counted { count, array: array.0, element };
            return (8..=512).contains(&element).then_some(Attrs { list, name, address });
        }
        let one = attribute("bin_attribute")?;
        let pointers = all.find("grp.bin_attrs").or_else(|| all.find("grp.bin_attrs_new"))?.0;
        let (name, address) = (one.find("attr.name")?.0, one.find("private")?.0);
        Some(Attrs { list: AttrList::Pointers { pointers }, name, address })
    }
}

/// What the guest has of a module loaded from this .ko, for [`sections`].
pub fn expected_names(ko: &Image) -> Expected {
    Expected::new(ko)
}

/// The sections of a module that are in the guest now. What was given back
/// after init is left out, and so is what can't be where it is said to be.
///
/// `expected` is the .ko that may be the module's. If it is, three to seven
/// small reads are enough. If it is another build, only the section with the
/// build-id is found, which proves it; see [`build_id`].
pub fn sections(
    memory: &dyn Memory,
    layouts: &Layouts,
    module: &Module,
    expected: Option<&Expected>,
) -> Result<Vec<Section>, KernelError> {
    let entries = layouts.entries(memory, module, expected)?;
    let found = match expected {
        Some(expected) => match worked_out(memory, layouts, module, &entries, expected)? {
            Some(sections) => sections,
            None => read_out(memory, layouts, module, &entries, expected)?,
        },
        None => named(memory, layouts, &entries)?,
    };
    Ok(found.into_iter().filter(|section| presence(module, section) == Presence::Loaded).collect())
}

/// All sections that a module is said to have, as `/sys/module/NAME/sections`
/// shows them: also what is gone. With the .ko that is proven to be the
/// module's their names are known; else each costs a read.
pub fn all_sections(
    memory: &dyn Memory,
    layouts: &Layouts,
    module: &Module,
    proven: Option<&Expected>,
) -> Result<Vec<(Section, Presence)>, KernelError> {
    let entries = layouts.entries(memory, module, None)?;
    layouts.read_ahead(memory, &entries);
    let names = match proven {
        Some(proven) => with_names_of(memory, layouts, &entries, proven)?,
        None => None,
    };
    let found = match names {
        Some(found) => found,
        None => named(memory, layouts, &entries)?,
    };
    Ok(found
        .into_iter()
        .map(|section| {
            let presence = presence(module, &section);
            (section, presence)
        })
        .collect())
}

/// Whether a section of this name is freed once the module's init is done
/// (`module_init_section` in kernel/module).
pub fn is_init(name: &str) -> bool {
    name.starts_with(".init")
}

/// Whether a section of this name may be gone once the module is live: besides
/// `.init*` the symbol table that it was loaded with, and without
/// CONFIG_MODULE_UNLOAD `.exit*`.
pub(super) fn goes_after_init(name: &str) -> bool {
    is_init(name) || matches!(name, ".symtab" | ".strtab") || name.starts_with(".exit")
}

/// Whether a section is there. The attributes still name what is gone, and so
/// a live module tells by its memory what it has.
fn presence(module: &Module, section: &Section) -> Presence {
    let inside = module.memory.iter().any(|piece| piece.contains(section.addr));
    let of_init = goes_after_init(&section.name);
    match module.memory.is_empty() {
        _ if section.addr.0 == 0 => Presence::Nowhere,
        false if inside => Presence::Loaded,
        true if !(of_init && module.state == State::Live) => Presence::Loaded,
        _ if of_init => Presence::Gone,
        _ => Presence::Nowhere,
    }
}

/// The build-id in the module's own note, to prove a .ko by: one read of 36
/// bytes. `None` when the module has no such section or no such note in it.
pub fn build_id(memory: &dyn Memory, sections: &[Section]) -> Result<Option<Vec<u8>>, Gap> {
    // A header of 16 bytes with the name, and a SHA-1; the linker's default.
    const NOTE_BYTES: usize = 36;
    let Some(note) = sections.iter().find(|section| section.name == NOTE) else {
        return Ok(None);
    };
    let bytes = memory.bytes(note.addr, NOTE_BYTES)?;
    Ok(build_id_of(&bytes).map(<[u8]>::to_vec))
}

/// Where a module's per-CPU variables are: an offset, as those of vmlinux
/// have. The section is not among the others, because the loader takes it out;
/// its copies are at `percpu` of `struct module` (`percpu_modalloc` in
/// kernel/module/main.c). One read of 8 bytes; `None` for a kernel for one CPU.
pub fn per_cpu(
    symbols: &Symbols,
    memory: &dyn Memory,
    module: &Module,
) -> Result<Option<Section>, KernelError> {
    let Some((member, _)) = Struct::new(symbols, "module")?.find("percpu") else {
        return Ok(None);
    };
    let addr = Addr(memory.u64(module.addr.offset(member))?);
    Ok((addr.0 != 0).then(|| Section { name: PER_CPU.to_string(), addr }))
}

impl Layouts {
    /// The attributes of a module's sections.
    fn entries(
        &self,
        memory: &dyn Memory,
        module: &Module,
        expected: Option<&Expected>,
    ) -> Result<Vec<Addr>, KernelError> {
        let base = memory.u64(module.addr.offset(self.sect_attrs));
        if let Some(at) = self.per_cpu.filter(|_| expected.is_some_and(Expected::per_cpu)) {
            // It is next to the other in every kernel, and [`per_cpu`] is
            // asked for it next.
            let _ = memory.u64(module.addr.offset(at));
        }
        let base = Addr(base?);
        let absurd =
            |what: String| Err(KernelError::Implausible(format!("module {} {what}", module.name)));
        if base.0 == 0 {
            return absurd("has no section addresses yet".into());
        }
        match self.attrs.list {
            AttrList::Counted { count, array, element } => {
                let count = memory.uint(base.offset(count.0), count.1.min(8) as usize)?;
                if count > MAX_SECTIONS {
                    return absurd(format!("can't have {count} sections"));
                }
                Ok((0..count).map(|i| base.offset(array + i * element)).collect())
            }
            AttrList::Pointers { pointers } => {
                let array = Addr(memory.u64(base.offset(pointers))?);
                let expected = expected.map_or(24, |expected| expected.names().count() as u64);
                // With the null at the end.
                let at_once = (expected + 1).clamp(1, 63);
                let mut found = Vec::new();
                while (found.len() as u64) < MAX_SECTIONS {
                    let at = array.offset(found.len() as u64 * 8);
                    let bytes = memory.bytes(at, at_once as usize * 8)?;
                    let words = (0..at_once).map(|i| Addr(number(&bytes, i * 8, 8)));
                    found.extend(words.take_while(|word| word.0 != 0));
                    if !(found.len() as u64).is_multiple_of(at_once) || number(&bytes, 0, 8) == 0 {
                        return Ok(found);
                    }
                }
                absurd(format!("can't have {MAX_SECTIONS} sections"))
            }
        }
    }

    /// Asks for all of the structures, as their neighbours come in the same
    /// packet. That is cheaper than two words of each, not than one.
    fn read_ahead(&self, memory: &dyn Memory, entries: &[Addr]) {
        let (name, address) = (self.attrs.name, self.attrs.address);
        let start = name.min(address);
        for entry in entries {
            let _ = memory.bytes(entry.offset(start), (name.max(address) + 8 - start) as usize);
        }
    }

    fn address(&self, memory: &dyn Memory, entry: Addr) -> Result<Addr, Gap> {
        memory.u64(entry.offset(self.attrs.address)).map(Addr)
    }

    fn name(&self, memory: &dyn Memory, entry: Addr) -> Result<String, Gap> {
        let at = Addr(memory.u64(entry.offset(self.attrs.name))?);
        let short = memory.c_string(at, SHORT_NAME)?;
        let name =
            if short.len() < SHORT_NAME { short } else { memory.c_string(at, MAX_SECTION_NAME)? };
        Ok(printable(&name))
    }
}

/// The sections by the .ko's headers, confirmed by a few of the guest's own
/// addresses; `None` when they do not agree.
fn worked_out(
    memory: &dyn Memory,
    layouts: &Layouts,
    module: &Module,
    entries: &[Addr],
    expected: &Expected,
) -> Result<Option<Vec<Section>>, KernelError> {
    if entries.len() != expected.names().count() {
        return Ok(None);
    }
    let known = |index: usize| {
        let entry = *entries.get(index)?;
        Some(layouts.address(memory, entry).map(|addr| (index, addr)))
    };
    // All are tried, so that one run reports every miss.
    let known: Vec<_> = witnesses(expected, &module.memory).into_iter().filter_map(known).collect();
    let known = known.into_iter().collect::<Result<Vec<_>, Gap>>()?;
    let places = layout(expected, &module.memory, module.addr, &known);
    let section = |(name, addr): (&str, Option<Addr>)| {
        addr.map(|addr| Section { name: name.to_string(), addr })
    };
    Ok(places.map(|places| expected.names().zip(places).filter_map(section).collect()))
}

/// The sections by the guest's addresses and the .ko's names, or the guest's
/// where these are others; only the one with the build-id if that tells that
/// the .ko is not the module's.
fn read_out(
    memory: &dyn Memory,
    layouts: &Layouts,
    module: &Module,
    entries: &[Addr],
    expected: &Expected,
) -> Result<Vec<Section>, KernelError> {
    for entry in entries.iter().take(NOTE_AMONG) {
        let (name, addr) = (layouts.name(memory, *entry), layouts.address(memory, *entry));
        let note = Section { name: name?, addr: addr? };
        if note.name != NOTE || presence(module, &note) != Presence::Loaded {
            continue;
        }
        if let (Some(id), Some(wanted)) =
            (build_id(memory, std::slice::from_ref(&note))?, &expected.build_id)
            && id != *wanted
        {
            return Ok(vec![note]);
        }
        break;
    }
    match with_names_of(memory, layouts, entries, expected)? {
        Some(found) => Ok(found),
        None => {
            layouts.read_ahead(memory, entries);
            named(memory, layouts, entries)
        }
    }
}

/// The sections with a .ko's names; `None` when the guest has another number
/// of them, or another first or last name.
fn with_names_of(
    memory: &dyn Memory,
    layouts: &Layouts,
    entries: &[Addr],
    expected: &Expected,
) -> Result<Option<Vec<Section>>, KernelError> {
    let agree = |entry: Option<&Addr>, name: Option<&str>| match (entry, name) {
        (Some(entry), Some(name)) => layouts.name(memory, *entry).map(|found| found == name),
        _ => Ok(false),
    };
    if expected.names().count() != entries.len() {
        return Ok(None);
    }
    let ends = [
        agree(entries.first(), expected.names().next()),
        agree(entries.last(), expected.names().last()),
    ];
    let [first, last] = ends;
    if !(first? && last?) {
        return Ok(None);
    }
    let addresses: Vec<_> = entries.iter().map(|entry| layouts.address(memory, *entry)).collect();
    let names = expected.names().zip(addresses);
    let found = names.map(|(name, addr)| Ok(Section { name: name.to_string(), addr: addr? }));
    found.collect::<Result<_, KernelError>>().map(Some)
}

/// Every section by the guest's own names.
fn named(
    memory: &dyn Memory,
    layouts: &Layouts,
    entries: &[Addr],
) -> Result<Vec<Section>, KernelError> {
    // All are tried, so that one run reports every miss.
    let read = |entry: &Addr| (layouts.name(memory, *entry), layouts.address(memory, *entry));
    let read: Vec<_> = entries.iter().map(read).collect();
    read.into_iter().map(|(name, addr)| Ok(Section { name: name?, addr: addr? })).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::memory::{Recorder, Span, Sparse};
    use crate::kernel::{
        module_layout::THIS_MODULE,
        module_memory::{Kind, Piece},
    };
    use proptest::prelude::*;

    const CORE: Addr = Addr(0xffff_ffff_c000_0000);
    const INIT: Addr = Addr(0xffff_ffff_c010_0000);
    const FIRST: Addr = Addr(0xffff_ffff_c000_2040);
    const ATTRS: Addr = Addr(0xffff_8880_0123_4000);

    /// The layout of 6.1 in small.
    fn layouts() -> Layouts {
        let list = AttrList::Counted { count: (8, 4), array: 16, element: 72 };
        let attrs = Attrs { list, name: 0, address: 64 };
        Layouts { sect_attrs: 320, per_cpu: Some(344), attrs }
    }

    fn module(state: State, kinds: &[(Kind, Addr)]) -> Module {
        let piece = |&(kind, start)| Piece { kind, start, size: 0x8000, text: None };
        let memory = kinds.iter().map(piece).collect();
        Module { name: "hgfs".into(), addr: FIRST, state, base: None, size: None, memory }
    }

    /// One that is being set up, of whose memory nothing is known.
    fn coming() -> Module {
        module(State::Coming, &[])
    }

    fn with_sections(sections: &[(&str, u64)]) -> Sparse {
        let mut memory = Sparse::new();
        memory.insert(FIRST.offset(320), &ATTRS.0.to_le_bytes());
        memory.insert(ATTRS.offset(8), &(sections.len() as u64).to_le_bytes());
        for (i, (name, address)) in (0..).zip(sections) {
            let one = ATTRS.offset(16 + 72 * i);
            let string = ATTRS.offset(0x2000 + 0x100 * i);
            memory.insert(one, &[0; 72]);
            memory.insert(one, &string.0.to_le_bytes());
            memory.insert(one.offset(64), &address.to_le_bytes());
            let mut text = name.as_bytes().to_vec();
            text.resize(MAX_SECTION_NAME, 0);
            memory.insert(string, &text);
        }
        memory
    }

    fn names(found: Vec<Section>) -> Vec<String> {
        found.into_iter().map(|section| section.name).collect()
    }

    #[test]
    fn what_is_not_there_is_left_out() {
        let at = |offset| CORE.offset(offset).0;
        let listed = [
            (".text", at(0)),
            (".init.text", INIT.0),
            (".data", at(0x3000)),
            (".zero", 0),
            (".elsewhere", 0xffff_ffff_8100_0000),
            (".symtab", INIT.0 + 0x1000),
        ];
        let memory = with_sections(&listed);
        let found = |module: &Module| names(sections(&memory, &layouts(), module, None).unwrap());
        let live = module(State::Live, &[(Kind::Core, CORE)]);
        assert_eq!(found(&live), [".text", ".data"]);
        let pieces = [(Kind::Core, CORE), (Kind::Init, INIT)];
        let set_up = module(State::Coming, &pieces);
        assert_eq!(found(&set_up), [".text", ".init.text", ".data", ".symtab"]);
        // Where its memory is not known, the names tell.
        let unknown = module(State::Live, &[]);
        assert_eq!(found(&unknown), [".text", ".data", ".elsewhere"]);
        let all = all_sections(&memory, &layouts(), &live, None).unwrap();
        let how: Vec<_> = all.into_iter().map(|(_, presence)| presence).collect();
        use Presence::{Gone, Loaded, Nowhere};
        assert_eq!(how, [Loaded, Gone, Loaded, Nowhere, Nowhere, Gone]);
    }

    fn expected() -> Expected {
        Expected::of(&[
            (".note.gnu.build-id", 0x24, 4, "A"),
            (".text", 0x80, 16, "AX"),
            (".init.text", 0x40, 1, "AX"),
            (".rodata", 0x96, 32, "A"),
            (THIS_MODULE, 0x340, 64, "AW"),
            (".bss", 0x40, 32, "AW"),
        ])
    }

    /// The reads that are made until the sections are known.
    fn reads(guest: &Sparse, module: &Module, expected: &Expected) -> (Vec<Section>, Vec<Span>) {
        let (mut known, mut reads) = (Sparse::new(), Vec::new());
        loop {
            let recorder = Recorder::new(&known);
            let found = sections(&recorder, &layouts(), module, Some(expected));
            let misses = recorder.into_misses();
            if misses.is_empty() {
                return (found.unwrap(), reads);
            }
            for miss in misses {
                let bytes = guest.bytes(miss.start, miss.len as usize).unwrap();
                known.insert(miss.start, &bytes);
                reads.push(miss);
            }
        }
    }

    #[test]
    fn headers_save_reads_but_only_when_the_guest_agrees() {
        let at = |offset| CORE.offset(offset).0;
        let listed = [
            (".note.gnu.build-id", at(0x1000)),
            (".text", at(0)),
            (".init.text", INIT.0),
            (".rodata", at(0x1040)),
            (THIS_MODULE, at(0x2000)),
            (".bss", at(0x2340)),
        ];
        let live =
            Module { addr: CORE.offset(0x2000), ..module(State::Live, &[(Kind::Core, CORE)]) };
        let mut memory = with_sections(&listed);
        memory.insert(live.addr.offset(320), &ATTRS.0.to_le_bytes());
        let want: Vec<Section> = (listed.iter().filter(|(name, _)| *name != ".init.text"))
            .map(|&(name, addr)| Section { name: name.into(), addr: Addr(addr) })
            .collect();
        let (found, spent) = reads(&memory, &live, &expected());
        assert_eq!(found, want);
        // The pointer, the count, the last of code, of what is not written and
        // of what is.
        assert_eq!(spent.iter().map(|span| span.len).collect::<Vec<_>>(), [8, 4, 8, 8, 8]);

        // One address is another, as in a kernel that lays out in another way.
        memory.insert(ATTRS.offset(16 + 72 * 3 + 64), &at(0x1200).to_le_bytes());
        let note = [4, 0, 0, 0, 20, 0, 0, 0, 3, 0, 0, 0, b'G', b'N', b'U', 0];
        memory.insert(CORE.offset(0x1000), &[&note[..], &[7; 20]].concat());
        let (found, spent) = reads(&memory, &live, &expected());
        assert_eq!(found[2], Section { name: ".rodata".into(), addr: Addr(at(0x1200)) });
        assert_eq!(found.len(), 5);
        assert!(spent.len() > 8);

        // It is another build: its note is all that is read.
        let mut other = expected();
        other.build_id = Some(vec![8; 20]);
        let (found, spent) = reads(&memory, &live, &other);
        assert_eq!(names(found.clone()), [".note.gnu.build-id"]);
        assert_eq!(build_id(&memory, &found).unwrap(), Some(vec![7; 20]));
        assert!(spent.len() < 12, "{spent:?}");
    }

    #[test]
    fn every_missing_name_is_reported_at_once() {
        let mut memory = with_sections(&[(".text", 0x1000), (".a", 0x2000), (".data", 0x3000)]);
        for i in 0..3u64 {
            let wild = 0x10_0000 * (i + 1);
            memory.insert(ATTRS.offset(16 + 72 * i), &wild.to_le_bytes());
        }
        let recorder = Recorder::new(&memory);
        assert!(sections(&recorder, &layouts(), &coming(), None).unwrap_err().missing());
        assert_eq!(recorder.into_misses().len(), 3);
    }

    #[test]
    fn absurd_counts_are_refused() {
        let mut memory = with_sections(&[]);
        memory.insert(ATTRS.offset(8), &u64::MAX.to_le_bytes());
        let error = sections(&memory, &layouts(), &coming(), None).unwrap_err();
        assert!(matches!(error, KernelError::Implausible(_)), "{error}");
    }

    proptest! {
        #[test]
        fn any_memory_is_answered(
            noise in prop::collection::vec(any::<u8>(), 0..336),
            at in 0u64..300,
            with_headers in any::<bool>(),
        ) {
            let mut memory = with_sections(&[(".text", CORE.0), (".data", 0x3000)]);
            memory.insert(ATTRS.offset(at), &noise);
            let expected = expected();
            let live = module(State::Live, &[(Kind::Core, CORE)]);
            let found = sections(&memory, &layouts(), &live, with_headers.then_some(&expected));
            prop_assert!(found.is_err() || found.is_ok_and(|f| f.len() as u64 <= MAX_SECTIONS));
        }
    }
}
