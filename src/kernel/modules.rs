//! The modules of a stopped kernel: the list from the symbol `modules`, and
//! the section addresses of one module from its `sect_attrs`.
//!
//! Listing costs one or two small reads a module. Sections cost far more
//! (every name is a string of its own in the heap), so they are asked for
//! module by module, and a caller that has the .ko passes the names it
//! expects, which saves nearly all of the strings.
//!
//! Layouts, decided by which members there are: kernel/module.c of 4.2 has
//! `module_core`, 4.5 to 6.3 `core_layout`, since 6.4 `mem[]`
//! (include/linux/module.h); section attributes are kernel/module.c,
//! kernel/module/sysfs.c `struct module_sect_attrs`.

use crate::{
    base::{
        addr::Addr,
        memory::{Gap, Memory},
    },
    image::file::Image,
    kernel::{KernelError, Struct, symbol},
    symbols::placed::Symbols,
};

/// More modules than any kernel has loaded.
pub const MAX_MODULES: usize = 4096;
/// More sections than any module has; -ffunction-sections gives hundreds.
pub const MAX_SECTIONS: u64 = 2048;
/// More bytes than any section name; names are cut there.
const MAX_SECTION_NAME: usize = 128;
/// Most section names fit here, and a read of this size is cheap.
const SHORT_NAME: usize = 32;

/// Where a module is in its life (`enum module_state`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum State {
    /// Runs; its init sections are gone.
    Live,
    /// Is set up or runs its init function.
    Coming,
    /// Is being removed.
    Going,
    /// Something else, by its number.
    Other(u32),
}

/// A loaded module, by what the list alone tells.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Module {
    /// Its name, as `lsmod` shows it.
    pub name: String,
    /// Its `struct module`.
    pub addr: Addr,
    /// Where it is in its life.
    pub state: State,
    /// The start of its code, where known.
    pub base: Option<Addr>,
    /// Bytes of code and data that stay after init, where known.
    pub size: Option<u64>,
}

/// What a walk of the list gave.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct List {
    /// The modules met, the newest first, as the kernel keeps them.
    pub modules: Vec<Module>,
    /// Why there may be more, or why some are left out.
    pub problem: Option<KernelError>,
}

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
    list: u64,
    state: (u64, u64),
    name: (u64, u64),
    extent: Extent,
    sect_attrs: Option<u64>,
    attrs: Option<Attrs>,
    states: [Option<i64>; 4],
}

/// Where a module keeps its base and size.
#[derive(Debug)]
enum Extent {
    /// Two members far apart or near: up to 6.3.
    Fields {
        base: (u64, u64),
        size: (u64, u64),
    },
    /// An array with one element for each type of memory: since 6.4.
    Array {
        start: u64,
        element: u64,
        count: u64,
        base: u64,
        size: (u64, u64),
        init_first: u64,
    },
    Unknown,
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
    /// From the debug information of vmlinux.
    pub fn new(symbols: &Symbols) -> Result<Layouts, KernelError> {
        let module = Struct::new(symbols, "module")?;
        let name = module.field("name")?;
        let names = ["LIVE", "COMING", "GOING", "UNFORMED"];
        let extent = Extent::new(symbols, &module);
        Ok(Layouts {
            list: module.offset("list.next").or_else(|_| module.offset("list"))?,
            state: module.field("state")?,
            name: (name.0, name.1.clamp(1, 256)),
            extent,
            sect_attrs: module.find("sect_attrs").map(|field| field.0),
            attrs: Attrs::new(symbols),
            states: names.map(|name| symbols.enumerator(&format!("MODULE_STATE_{name}"))),
        })
    }

    fn state(&self, number: u64) -> Option<State> {
        let is = |i: usize| self.states[i] == Some(number as i64);
        match number {
            _ if is(0) => Some(State::Live),
            _ if is(1) => Some(State::Coming),
            _ if is(2) => Some(State::Going),
            // On the list, but only to keep its name taken.
            _ if is(3) => None,
            _ => Some(State::Other(number as u32)),
        }
    }
}

impl Extent {
    fn new(symbols: &Symbols, module: &Struct) -> Extent {
        let fields = [("core_layout.base", "core_layout.size"), ("module_core", "core_size")];
        for (base, size) in fields {
            if let (Some(base), Some(size)) = (module.find(base), module.find(size)) {
                return Extent::Fields { base, size };
            }
        }
        let array = || {
            let (start, bytes) = module.find("mem")?;
            let memory = Struct::new(symbols, "module_memory").ok()?;
            let element = memory.size();
            let count = bytes.checked_div(element)?;
            // Memory that is freed after init comes last.
            let init_first = symbols.enumerator("MOD_INIT_TEXT")? as u64;
            let (base, size) = (memory.find("base")?.0, memory.find("size")?);
            (count <= 32).then_some(Extent::Array { start, element, count, base, size, init_first })
        };
        array().unwrap_or(Extent::Unknown)
    }

    /// Base and size of what stays after init.
    fn read(&self, memory: &dyn Memory, module: Addr) -> Result<Option<(Addr, u64)>, Gap> {
        match *self {
            Extent::Fields { base, size } => {
                let low = base.0.min(size.0);
                let high = (base.0 + base.1).max(size.0 + size.1);
                let number = |bytes: &[u8], (at, len): (u64, u64)| number(bytes, at - low, len);
                if high - low <= 64 {
                    let bytes = memory.bytes(module.offset(low), (high - low) as usize)?;
                    Ok(Some((Addr(number(&bytes, base)), number(&bytes, size))))
                } else {
                    let first = memory.uint(module.offset(base.0), base.1 as usize);
                    let second = memory.uint(module.offset(size.0), size.1 as usize);
                    Ok(Some((Addr(first?), second?)))
                }
            }
            Extent::Array { start, element, count, base, size, init_first } => {
                let stay = count.min(init_first);
                let bytes = memory.bytes(module.offset(start), (stay * element) as usize)?;
                let total = (0..stay).map(|i| number(&bytes, i * element + size.0, size.1)).sum();
                Ok(Some((Addr(number(&bytes, base, 8)), total)))
            }
            Extent::Unknown => Ok(None),
        }
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

/// The loaded modules. Goes as far as memory allows: on a miss the list ends
/// there with the miss as its problem; a module whose size can't be read is
/// listed without one.
pub fn list(symbols: &Symbols, memory: &dyn Memory, layouts: &Layouts) -> List {
    match symbol(symbols, "modules") {
        Ok(head) => walk(memory, layouts, head),
        Err(error) => List { problem: Some(error), ..List::default() },
    }
}

fn walk(memory: &dyn Memory, layouts: &Layouts, head: Addr) -> List {
    let mut list = List::default();
    let mut next = match memory.u64(head) {
        Ok(first) => Addr(first),
        Err(gap) => return List { problem: Some(gap.into()), ..list },
    };
    // The first miss of a size is kept, so that a caller knows to come again.
    let mut size_missing = None;
    while next != head {
        if list.modules.len() == MAX_MODULES
            || list.modules.iter().any(|m| m.addr.offset(layouts.list) == next)
        {
            let text = format!("the list of modules is damaged: it comes back to {next}");
            list.problem = Some(KernelError::Implausible(text));
            return list;
        }
        let addr = next.back(layouts.list);
        let (module, after) = match read_module(memory, layouts, addr) {
            Ok(read) => read,
            Err(error) => {
                list.problem = Some(error);
                return list;
            }
        };
        if let Some(mut module) = module {
            match layouts.extent.read(memory, addr) {
                Ok(Some((base, size))) => (module.base, module.size) = (Some(base), Some(size)),
                Err(gap) if gap.is_missing() => size_missing = size_missing.or(Some(gap)),
                _ => {}
            }
            list.modules.push(module);
        }
        next = after;
    }
    list.problem = size_missing.map(KernelError::from);
    list
}

/// One module and the next list entry; `None` for one that is not formed.
fn read_module(
    memory: &dyn Memory,
    layouts: &Layouts,
    addr: Addr,
) -> Result<(Option<Module>, Addr), KernelError> {
    let fields = [layouts.state, (layouts.list, 8), layouts.name];
    let low = fields.iter().map(|field| field.0).min().unwrap_or(0);
    let high = fields.iter().map(|field| field.0 + field.1).max().unwrap_or(0);
    // State, list and name are neighbours in every kernel; if a kernel's
    // layout is shuffled they are read one by one.
    let (state, next, name) = if high - low <= 504 {
        let bytes = memory.bytes(addr.offset(low), (high - low) as usize)?;
        let field = |(at, len): (u64, u64)| {
            bytes.get((at - low) as usize..(at - low + len) as usize).unwrap_or_default()
        };
        let uint = |bytes: &[u8]| number(bytes, 0, bytes.len().min(8) as u64);
        (uint(field(fields[0])), uint(field(fields[1])), field(fields[2]).to_vec())
    } else {
        let state = memory.uint(addr.offset(layouts.state.0), layouts.state.1.min(8) as usize);
        let next = memory.u64(addr.offset(layouts.list));
        let name = memory.bytes(addr.offset(layouts.name.0), layouts.name.1 as usize);
        (state?, next?, name?)
    };
    let name: Vec<u8> = name.into_iter().take_while(|&byte| byte != 0).collect();
    if name.is_empty() || !name.iter().all(|byte| byte.is_ascii_graphic()) {
        return Err(KernelError::Implausible(format!(
            "the list of modules is damaged: there is no module at {addr}"
        )));
    }
    let name = String::from_utf8_lossy(&name).into_owned();
    let module = |state| Module { name, addr, state, base: None, size: None };
    Ok((layouts.state(state).map(module), Addr(next)))
}

/// The names that the kernel lists for a module loaded from this .ko, for
/// [`sections`]: allocated, non-empty sections in the order of the headers.
/// Loading takes the per-CPU section, `.modinfo` and `__versions` out, and
/// puts the symbol table in (`layout_symtab` and `rewrite_section_headers` in
/// kernel/module). A wrong guess here costs reads, nothing else.
pub fn expected_sections(ko: &Image) -> Vec<String> {
    let taken_out = |name: &str| matches!(name, ".data..percpu" | ".modinfo" | "__versions");
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
/// `expected` are the names of [`expected_sections`], if the .ko is at hand:
/// the kernel keeps the order of the headers (`add_sect_attrs`), so when the
/// count agrees only the first and the last name are read, to confirm it.
pub fn sections(
    memory: &dyn Memory,
    layouts: &Layouts,
    module: &Module,
    expected: Option<&[String]>,
) -> Result<Vec<Section>, KernelError> {
    let no_attrs = || {
        KernelError::NoType(
            "section addresses of modules (CONFIG_KALLSYMS and CONFIG_SYSFS)".to_string(),
        )
    };
    let (offset, attrs) = layouts.sect_attrs.zip(layouts.attrs.as_ref()).ok_or_else(no_attrs)?;
    let base = Addr(memory.u64(module.addr.offset(offset))?);
    if base.0 == 0 {
        return Err(KernelError::Implausible(format!(
            "module {} has no section addresses yet",
            module.name
        )));
    }
    let raw = attrs.read(memory, base, &module.name)?;
    let names = names(memory, &raw, expected)?;
    let is_init = |name: &str| name.starts_with(".init");
    let live = module.state == State::Live;
    Ok(names
        .into_iter()
        .zip(raw)
        .map(|(name, (_, addr))| Section { name, addr })
        .filter(|section| !(live && is_init(&section.name)))
        .collect())
}

impl Attrs {
    /// The pointer to the name, and the address, of every section.
    fn read(
        &self,
        memory: &dyn Memory,
        base: Addr,
        module: &str,
    ) -> Result<Vec<(Addr, Addr)>, KernelError> {
        let absurd = |count: u64| {
            KernelError::Implausible(format!("module {module} can't have {count} sections"))
        };
        match *self {
            Attrs::Counted { count, array, element, name, address } => {
                let count = memory.uint(base.offset(count.0), count.1.min(8) as usize)?;
                if count > MAX_SECTIONS {
                    return Err(absurd(count));
                }
                let bytes = memory.bytes(base.offset(array), (count * element) as usize)?;
                let pointer = |i: u64, at: u64| Addr(number(&bytes, i * element + at, 8));
                Ok((0..count).map(|i| (pointer(i, name), pointer(i, address))).collect())
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

/// The section names, by reading every string, or by `expected` where the
/// guest agrees with it.
fn names(
    memory: &dyn Memory,
    raw: &[(Addr, Addr)],
    expected: Option<&[String]>,
) -> Result<Vec<String>, KernelError> {
    if let Some(expected) = expected
        && expected.len() == raw.len()
        && let (Some(first), Some(last)) = (raw.first(), raw.last())
    {
        let first = section_name(memory, first.0);
        let last = section_name(memory, last.0);
        if expected.first() == Some(&first?) && expected.last() == Some(&last?) {
            return Ok(expected.to_vec());
        }
    }
    // All are tried, so that one run reports every miss.
    let read: Vec<_> = raw.iter().map(|section| section_name(memory, section.0)).collect();
    Ok(read.into_iter().collect::<Result<_, _>>()?)
}

fn section_name(memory: &dyn Memory, at: Addr) -> Result<String, Gap> {
    let short = memory.c_string(at, SHORT_NAME)?;
    let name =
        if short.len() < SHORT_NAME { short } else { memory.c_string(at, MAX_SECTION_NAME)? };
    Ok(crate::base::text::printable(&name))
}

/// A little-endian number of up to 8 bytes; 0 where the bytes end.
fn number(bytes: &[u8], at: u64, len: u64) -> u64 {
    let bytes = bytes.get(at as usize..(at + len.min(8)) as usize).unwrap_or_default();
    bytes.iter().rev().fold(0, |value, &byte| value << 8 | u64::from(byte))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::memory::{Recorder, Sparse};
    use proptest::prelude::*;

    const HEAD: Addr = Addr(0xffff_ffff_8200_0000);
    const FIRST: Addr = Addr(0xffff_ffff_c000_0100);

    /// The layout of 6.1 in small.
    fn layouts() -> Layouts {
        Layouts {
            list: 8,
            state: (0, 4),
            name: (24, 56),
            extent: Extent::Fields { base: (256, 8), size: (264, 4) },
            sect_attrs: Some(320),
            attrs: Some(Attrs::Counted {
                count: (8, 4),
                array: 16,
                element: 72,
                name: 0,
                address: 64,
            }),
            states: [Some(0), Some(1), Some(2), Some(3)],
        }
    }

    fn module(memory: &mut Sparse, at: Addr, state: u32, next: Addr, name: &[u8]) {
        let mut bytes = vec![0; 336];
        bytes[0..4].copy_from_slice(&state.to_le_bytes());
        bytes[8..16].copy_from_slice(&next.0.to_le_bytes());
        bytes[24..24 + name.len()].copy_from_slice(name);
        bytes[256..264].copy_from_slice(&at.0.to_le_bytes());
        bytes[264..268].copy_from_slice(&0x4000u32.to_le_bytes());
        bytes[320..328].copy_from_slice(&at.offset(0x1000).0.to_le_bytes());
        memory.insert(at, &bytes);
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

    fn two_modules() -> Sparse {
        let mut memory = Sparse::new();
        memory.insert(HEAD, &FIRST.offset(8).0.to_le_bytes());
        module(&mut memory, FIRST, 1, FIRST.offset(0x8008), b"hgfs");
        module(&mut memory, FIRST.offset(0x8000), 0, HEAD, b"fuse");
        memory
    }

    #[test]
    fn modules_come_with_state_and_extent() {
        let list = walk(&two_modules(), &layouts(), HEAD);
        assert_eq!(list.problem, None);
        let names: Vec<_> = list.modules.iter().map(|m| (m.name.as_str(), m.state)).collect();
        assert_eq!(names, [("hgfs", State::Coming), ("fuse", State::Live)]);
        assert_eq!((list.modules[0].base, list.modules[0].size), (Some(FIRST), Some(0x4000)));
    }

    #[test]
    fn an_unformed_module_is_passed_over() {
        let mut memory = two_modules();
        module(&mut memory, FIRST, 3, FIRST.offset(0x8008), b"hgfs");
        let list = walk(&memory, &layouts(), HEAD);
        assert_eq!(list.modules.len(), 1);
        assert_eq!(list.modules[0].name, "fuse");
    }

    #[test]
    fn a_miss_ends_the_walk_with_what_was_found() {
        let mut memory = two_modules();
        module(&mut memory, FIRST, 0, Addr(0xffff_ffff_c010_0008), b"hgfs");
        let recorder = Recorder::new(&memory);
        let list = walk(&recorder, &layouts(), HEAD);
        assert_eq!(list.modules.len(), 1);
        assert!(list.problem.is_some_and(|p| p.missing()));
        assert_eq!(recorder.into_misses().len(), 1);
    }

    #[test]
    fn loops_wild_pointers_and_garbage_end_the_walk() {
        let mut memory = two_modules();
        module(&mut memory, FIRST.offset(0x8000), 0, FIRST.offset(8), b"fuse");
        let list = walk(&memory, &layouts(), HEAD);
        assert_eq!(list.modules.len(), 2);
        assert!(matches!(list.problem, Some(KernelError::Implausible(_))));

        module(&mut memory, FIRST.offset(0x8000), 0, FIRST.offset(8), b"\xff\x01");
        assert!(matches!(
            walk(&memory, &layouts(), HEAD).problem,
            Some(KernelError::Implausible(_))
        ));

        module(&mut memory, FIRST, 0, Addr(0x18), b"hgfs");
        memory.insert_fault(Addr(0x10));
        let list = walk(&memory, &layouts(), HEAD);
        assert_eq!(list.modules.len(), 1);
        assert!(matches!(list.problem, Some(KernelError::Gap(Gap::Fault(_)))));
    }

    #[test]
    fn sections_of_a_live_module_leave_out_init() {
        let mut memory = two_modules();
        let sections_in = [(".text", 0x1000), (".init.text", 0x2000), (".data", 0x3000)];
        with_sections(&mut memory, FIRST, &sections_in);
        let mut module = walk(&memory, &layouts(), HEAD).modules[0].clone();
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
        let mut memory = two_modules();
        with_sections(&mut memory, FIRST, &[(".text", 0x1000), (".a", 0x2000), (".data", 0x3000)]);
        let module = walk(&memory, &layouts(), HEAD).modules[0].clone();
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
        let mut memory = two_modules();
        with_sections(&mut memory, FIRST, &[(".text", 0x1000), (".a", 0x2000), (".data", 0x3000)]);
        let module = walk(&memory, &layouts(), HEAD).modules[0].clone();
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
        let mut memory = two_modules();
        with_sections(&mut memory, FIRST, &[]);
        memory.insert(FIRST.offset(0x1008), &u64::MAX.to_le_bytes());
        let module = walk(&memory, &layouts(), HEAD).modules[0].clone();
        let error = sections(&memory, &layouts(), &module, None).unwrap_err();
        assert!(matches!(error, KernelError::Implausible(_)), "{error}");
    }

    proptest! {
        #[test]
        fn any_memory_is_walked_to_an_end(noise in prop::collection::vec(any::<u8>(), 336), at in 0usize..300) {
            let mut memory = two_modules();
            memory.insert(FIRST.offset(at as u64), &noise[..336 - at]);
            let list = walk(&memory, &layouts(), HEAD);
            prop_assert!(list.modules.len() <= 2);
            for module in &list.modules {
                let _ = sections(&memory, &layouts(), module, None);
            }
        }
    }
}
