//! The section addresses of one module, from its `sect_attrs`.
//!
//! They cost far more than the list of modules: every name is a string of its
//! own in the heap. So they are asked for module by module, and a caller that
//! has the .ko passes the names it expects, which saves nearly all of them.
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

/// Where the linker puts the note with the build-id.
pub const BUILD_ID_NOTE: &str = ".note.gnu.build-id";

/// A section of a module, or an address by a name like one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Section {
    /// `.text` and the like.
    pub name: String,
    /// Where it is loaded.
    pub addr: Addr,
}

/// The layouts needed, looked up once.
#[derive(Debug)]
pub struct Layouts {
    sect_attrs: u64,
    attrs: Attrs,
}

/// How `struct module_sect_attrs` is laid out.
#[derive(Debug)]
enum Attrs {
    /// A count, and an array whose elements have a name and an address.
    Counted { count: (u64, u64), array: u64, element: u64, name: u64, address: u64 },
    /// No count: a NULL-terminated array of pointers to attributes.
    Pointers { pointers: u64, name: u64, address: u64 },
}

impl Layouts {
    /// From the debug information of vmlinux. An error means that this kernel
    /// keeps no section addresses.
    pub fn new(symbols: &Symbols) -> Result<Layouts, KernelError> {
        let sect_attrs = Struct::new(symbols, "module")?.find("sect_attrs");
        let (sect_attrs, attrs) = sect_attrs.zip(Attrs::new(symbols)).ok_or_else(|| {
            KernelError::NoType(
                "section addresses of modules (CONFIG_KALLSYMS and CONFIG_SYSFS)".to_string(),
            )
        })?;
        Ok(Layouts { sect_attrs: sect_attrs.0, attrs })
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
            return (8..=512).contains(&element).then_some(Attrs::Counted {
                count,
                array: array.0,
                element,
                name,
                address,
            });
        }
        let one = attribute("bin_attribute")?;
        let pointers = all.find("grp.bin_attrs").or_else(|| all.find("grp.bin_attrs_new"))?.0;
        Some(Attrs::Pointers {
            pointers,
            name: one.find("attr.name")?.0,
            address: one.find("private")?.0,
        })
    }
}

/// The names that the kernel lists for a module loaded from this .ko, for
/// [`sections`]: allocated, non-empty sections in the order of the headers.
/// Loading takes the per-CPU section, `.modinfo` and `__versions` out, and
/// puts the symbol table in (`layout_symtab` and `rewrite_section_headers` in
/// kernel/module). A wrong guess here costs reads, nothing else.
pub fn expected_names(ko: &Image) -> Vec<String> {
    let taken_out = |name: &str| matches!(name, PER_CPU | ".modinfo" | "__versions");
    let put_in = |name: &str| matches!(name, ".symtab" | ".strtab");
    (ko.sections().iter())
        .filter(|section| section.size > 0)
        .filter(|section| section.alloc && !taken_out(&section.name) || put_in(&section.name))
        .map(|section| section.name.clone())
        .collect()
}

/// The section addresses of a module. Those of `.init*` are left out of a
/// live one, whose init memory is gone while its attributes still name it.
///
/// `expected` are the names of [`expected_names`], if the .ko is at hand:
/// the kernel keeps the order of the headers (`add_sect_attrs`), so when the
/// count agrees only the first and the last name are read, to confirm it.
pub fn sections(
    memory: &dyn Memory,
    layouts: &Layouts,
    module: &Module,
    expected: Option<&[String]>,
) -> Result<Vec<Section>, KernelError> {
    let base = Addr(memory.u64(module.addr.offset(layouts.sect_attrs))?);
    if base.0 == 0 {
        return Err(KernelError::Implausible(format!(
            "module {} has no section addresses yet",
            module.name
        )));
    }
    let (raw, names) = match expected {
        Some(expected) => {
            let raw = layouts.attrs.read(memory, base, &module.name, Some(expected.len()))?;
            if are_expected(memory, &raw, expected)? {
                (raw, expected.to_vec())
            } else {
                named(memory, &layouts.attrs, base, &module.name)?
            }
        }
        None => named(memory, &layouts.attrs, base, &module.name)?,
    };
    let is_init = |name: &str| name.starts_with(".init");
    let live = module.state == State::Live;
    Ok(names
        .into_iter()
        .zip(raw)
        .map(|(name, (_, addr))| Section { name, addr })
        .filter(|section| !(live && is_init(&section.name)))
        .collect())
}

/// The build-id in the module's own note, to prove a .ko by: one read of 36
/// bytes. `None` when the module has no such section or no such note in it.
pub fn build_id(memory: &dyn Memory, sections: &[Section]) -> Result<Option<Vec<u8>>, Gap> {
    // A header of 16 bytes with the name, and a SHA-1; the linker's default.
    const NOTE_BYTES: usize = 36;
    let Some(note) = sections.iter().find(|section| section.name == BUILD_ID_NOTE) else {
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

/// A section as the kernel has it: the pointer to its name, and its address.
type Raw = (Addr, Addr);

impl Attrs {
    /// The pointer to the name, and the address, of every section. When there
    /// are as many as `expected`, only the first and the last name are
    /// fetched and the others are null: a `struct bin_attribute` lies between
    /// any two addresses, so reading it all would triple the bytes.
    fn read(
        &self,
        memory: &dyn Memory,
        base: Addr,
        module: &str,
        expected: Option<usize>,
    ) -> Result<Vec<Raw>, KernelError> {
        let absurd = |count: u64| {
            KernelError::Implausible(format!("module {module} can't have {count} sections"))
        };
        match *self {
            Attrs::Counted { count, array, element, name, address } => {
                let count = memory.uint(base.offset(count.0), count.1.min(8) as usize)?;
                if count > MAX_SECTIONS {
                    return Err(absurd(count));
                }
                let sparse = expected.is_some_and(|expected| expected as u64 == count);
                let pointer = |i: u64, at: u64| -> Result<Addr, Gap> {
                    memory.u64(base.offset(array + i * element + at)).map(Addr)
                };
                let entry = |i: u64| {
                    let wanted = !sparse || i == 0 || i + 1 == count;
                    let name = if wanted { pointer(i, name) } else { Ok(Addr(0)) };
                    let address = pointer(i, address);
                    Ok((name?, address?))
                };
                // All are tried, so that one run reports every miss.
                let entries: Vec<Result<_, Gap>> = (0..count).map(entry).collect();
                Ok(entries.into_iter().collect::<Result<_, _>>()?)
            }
            Attrs::Pointers { pointers, name, address } => {
                const AT_ONCE: u64 = 32;
                let array = Addr(memory.u64(base.offset(pointers))?);
                let mut found = Vec::new();
                let mut missed = None;
                'all: for chunk in 0..MAX_SECTIONS / AT_ONCE {
                    let at = array.offset(chunk * AT_ONCE * 8);
                    let bytes = memory.bytes(at, AT_ONCE as usize * 8)?;
                    for i in 0..AT_ONCE {
                        let attribute = Addr(number(&bytes, i * 8, 8));
                        if attribute.0 == 0 {
                            break 'all;
                        }
                        let name = memory.u64(attribute.offset(name));
                        let address = memory.u64(attribute.offset(address));
                        match (name, address) {
                            (Ok(name), Ok(address)) => found.push((Addr(name), Addr(address))),
                            (Err(gap), _) | (_, Err(gap)) => missed = missed.or(Some(gap)),
                        }
                    }
                }
                match missed {
                    Some(gap) => Err(gap.into()),
                    None if found.len() as u64 == MAX_SECTIONS => Err(absurd(MAX_SECTIONS)),
                    None => Ok(found),
                }
            }
        }
    }
}

/// Whether the guest has the expected sections, judged by their number and the
/// first and the last name.
fn are_expected(
    memory: &dyn Memory,
    raw: &[Raw],
    expected: &[String],
) -> Result<bool, KernelError> {
    if expected.len() != raw.len() {
        return Ok(false);
    }
    let (Some(first), Some(last)) = (raw.first(), raw.last()) else { return Ok(false) };
    let (first, last) = (section_name(memory, first.0), section_name(memory, last.0));
    Ok(expected.first() == Some(&first?) && expected.last() == Some(&last?))
}

/// Every section with its name, by reading every string.
fn named(
    memory: &dyn Memory,
    attrs: &Attrs,
    base: Addr,
    module: &str,
) -> Result<(Vec<Raw>, Vec<String>), KernelError> {
    let raw = attrs.read(memory, base, module, None)?;
    // All are tried, so that one run reports every miss.
    let read: Vec<_> = raw.iter().map(|section| section_name(memory, section.0)).collect();
    let names = read.into_iter().collect::<Result<_, _>>()?;
    Ok((raw, names))
}

fn section_name(memory: &dyn Memory, at: Addr) -> Result<String, Gap> {
    let short = memory.c_string(at, SHORT_NAME)?;
    let name =
        if short.len() < SHORT_NAME { short } else { memory.c_string(at, MAX_SECTION_NAME)? };
    Ok(printable(&name))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::memory::{Recorder, Sparse};
    use proptest::prelude::*;

    const FIRST: Addr = Addr(0xffff_ffff_c000_0100);

    /// The layout of 6.1 in small.
    fn layouts() -> Layouts {
        let (count, array) = ((8, 4), 16);
        let attrs = Attrs::Counted { count, array, element: 72, name: 0, address: 64 };
        Layouts { sect_attrs: 320, attrs }
    }

    fn module() -> Module {
        let name = "hgfs".to_string();
        Module {
            name,
            addr: FIRST,
            state: State::Coming,
            base: None,
            size: None,
            memory: Vec::new(),
        }
    }

    fn guest() -> Sparse {
        let mut memory = Sparse::new();
        memory.insert(FIRST.offset(320), &FIRST.offset(0x1000).0.to_le_bytes());
        memory
    }

    fn with_sections(memory: &mut Sparse, at: Addr, sections: &[(&str, u64)]) {
        let attrs = at.offset(0x1000);
        memory.insert(attrs.offset(8), &(sections.len() as u64).to_le_bytes());
        for (i, (name, address)) in (0..).zip(sections) {
            let one = attrs.offset(16 + 72 * i);
            let string = attrs.offset(0x2000 + 0x100 * i);
            memory.insert(one, &[0; 72]);
            memory.insert(one, &string.0.to_le_bytes());
            memory.insert(one.offset(64), &address.to_le_bytes());
            let mut text = name.as_bytes().to_vec();
            text.resize(MAX_SECTION_NAME, 0);
            memory.insert(string, &text);
        }
    }

    #[test]
    fn sections_of_a_live_module_leave_out_init() {
        let mut memory = guest();
        let sections_in = [(".text", 0x1000), (".init.text", 0x2000), (".data", 0x3000)];
        with_sections(&mut memory, FIRST, &sections_in);
        let mut module = module();
        let names = |found: Vec<Section>| found.into_iter().map(|s| s.name).collect::<Vec<_>>();
        let coming = sections(&memory, &layouts(), &module, None).unwrap();
        assert_eq!(coming[2], Section { name: ".data".into(), addr: Addr(0x3000) });
        assert_eq!(names(coming), [".text", ".init.text", ".data"]);
        module.state = State::Live;
        assert_eq!(
            names(sections(&memory, &layouts(), &module, None).unwrap()),
            [".text", ".data"]
        );
    }

    #[test]
    fn expected_names_save_reads_but_only_when_the_guest_agrees() {
        let mut memory = guest();
        with_sections(&mut memory, FIRST, &[(".text", 0x1000), (".a", 0x2000), (".data", 0x3000)]);
        let module = module();
        let names = |expected: &[&str]| {
            let expected: Vec<String> = expected.iter().map(|s| s.to_string()).collect();
            let found = sections(&memory, &layouts(), &module, Some(&expected)).unwrap();
            found.into_iter().map(|s| s.name).collect::<Vec<_>>()
        };
        // The middle name is taken from the caller: it was not read.
        assert_eq!(names(&[".text", ".b", ".data"]), [".text", ".b", ".data"]);
        assert_eq!(names(&[".text", ".b", ".bss"]), [".text", ".a", ".data"]);
        assert_eq!(names(&[".text", ".data"]), [".text", ".a", ".data"]);
    }

    #[test]
    fn every_missing_name_is_reported_at_once() {
        let mut memory = guest();
        with_sections(&mut memory, FIRST, &[(".text", 0x1000), (".a", 0x2000), (".data", 0x3000)]);
        let module = module();
        for i in 0..3u64 {
            let wild = 0x10_0000 * (i + 1);
            memory.insert(FIRST.offset(0x1000 + 16 + 72 * i), &wild.to_le_bytes());
        }
        let recorder = Recorder::new(&memory);
        assert!(sections(&recorder, &layouts(), &module, None).unwrap_err().missing());
        assert_eq!(recorder.into_misses().len(), 3);
    }

    #[test]
    fn absurd_counts_are_refused() {
        let mut memory = guest();
        with_sections(&mut memory, FIRST, &[]);
        memory.insert(FIRST.offset(0x1008), &u64::MAX.to_le_bytes());
        let module = module();
        let error = sections(&memory, &layouts(), &module, None).unwrap_err();
        assert!(matches!(error, KernelError::Implausible(_)), "{error}");
    }

    proptest! {
        #[test]
        fn any_memory_is_answered(noise in prop::collection::vec(any::<u8>(), 0..336), at in 0u64..300) {
            let mut memory = guest();
            with_sections(&mut memory, FIRST, &[(".text", 0x1000), (".data", 0x3000)]);
            memory.insert(FIRST.offset(0x1000 + at), &noise);
            let found = sections(&memory, &layouts(), &module(), None);
            prop_assert!(found.is_err() || found.is_ok_and(|f| f.len() as u64 <= MAX_SECTIONS));
        }
    }
}
