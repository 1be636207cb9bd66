//! The modules of a stopped kernel: the list from the symbol `modules`, for
//! one or two small reads a module.
//!
//! Layouts, decided by which members there are: kernel/module.c of 4.2 has
//! `module_core`, 4.5 to 6.3 `core_layout`, since 6.4 `mem[]`
//! (include/linux/module.h).

use crate::{
    base::{
        addr::Addr,
        memory::{Gap, Memory},
    },
    kernel::{KernelError, Struct, symbol},
    symbols::placed::Symbols,
};

/// More modules than any kernel has loaded.
pub const MAX_MODULES: usize = 4096;

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

/// The layouts needed, looked up once.
#[derive(Debug)]
pub struct Layouts {
    list: u64,
    state: (u64, u64),
    name: (u64, u64),
    extent: Extent,
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

/// The loaded modules. Goes as far as memory allows: on a miss the list ends
/// there with the miss as its problem; a module whose size can't be read is
/// listed without one.
pub fn list(symbols: &Symbols, memory: &dyn Memory, layouts: &Layouts) -> List {
    match symbol(symbols, "modules") {
        Ok(head) => walk(memory, layouts, head),
        Err(error) => List { problem: Some(error), ..List::default() },
    }
}

/// One module by the address of its `struct module`; `None` for one that is not
/// formed.
pub fn module_at(
    memory: &dyn Memory,
    layouts: &Layouts,
    addr: Addr,
) -> Result<Option<Module>, KernelError> {
    let extent = layouts.extent.read(memory, addr);
    let Some(mut module) = read_module(memory, layouts, addr)?.0 else { return Ok(None) };
    match extent {
        Ok(Some((base, size))) => (module.base, module.size) = (Some(base), Some(size)),
        Err(gap) if gap.is_missing() => return Err(gap.into()),
        _ => {}
    }
    Ok(Some(module))
}

impl Layouts {
    /// The ends of the list as its head has them, when these are the newest
    /// and the oldest module on it.
    pub fn ends(&self, newest: Addr, oldest: Addr) -> (u64, u64) {
        (newest.offset(self.list).0, oldest.offset(self.list).0)
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

/// A little-endian number of up to 8 bytes; 0 where the bytes end.
pub(super) fn number(bytes: &[u8], at: u64, len: u64) -> u64 {
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
        memory.insert(at, &bytes);
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

    proptest! {
        #[test]
        fn any_memory_is_walked_to_an_end(noise in prop::collection::vec(any::<u8>(), 336), at in 0usize..300) {
            let mut memory = two_modules();
            memory.insert(FIRST.offset(at as u64), &noise[..336 - at]);
            let list = walk(&memory, &layouts(), HEAD);
            prop_assert!(list.modules.len() <= 2);
        }
    }
}
