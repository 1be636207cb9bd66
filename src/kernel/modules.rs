//! The modules of a stopped kernel: the list from the symbol `modules`, for
//! two small reads a module. What more a module tells is read when somebody
//! asks: [`module_sections`](super::module_sections),
//! [`module_usage`](super::module_usage), [`module_facts`](super::module_facts)
//! and [`module_params`](super::module_params).
//!
//! kdb's `lsmod` tells about the same in text, but it is not used. For five
//! modules it costs 1,224 bytes in 54 packets that each wait for an ack, for
//! every `kdb_printf` is one; the walk costs 940 bytes in 10 packets. So it is
//! with a hundred: some 21,000 bytes in 1,000 packets and 18,800 in 200. It
//! also needs CONFIG_KGDB_KDB, says nothing of init memory, and where it should
//! list the users of a module it prints the module's own name (`kdb_lsmod` in
//! kernel/module/kdb.c takes `use->target` of the source list).

use crate::{
    base::{addr::Addr, memory::Memory},
    kernel::{
        KernelError, Struct,
        module_memory::{self, Piece},
        record::{Field, Record, number},
        symbol,
    },
    symbols::placed::Symbols,
};
use std::collections::HashSet;

/// More modules than any kernel has loaded.
pub const MAX_MODULES: usize = 4096;

/// Most names are shorter; what a longer one has more is read apart.
const SHORT_NAME: u64 = 24;

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
    /// Its name, as `lsmod` shows it; `?0xffff…` where that is no text.
    pub name: String,
    /// Its `struct module`.
    pub addr: Addr,
    /// Where it is in its life.
    pub state: State,
    /// The start of its code, where known.
    pub base: Option<Addr>,
    /// Bytes of code and data that stay after init, where known.
    pub size: Option<u64>,
    /// All its memory, as far as known.
    pub memory: Vec<Piece>,
}

/// What a walk of the list gave.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct List {
    /// The modules met, the newest first, as the kernel keeps them.
    pub modules: Vec<Module>,
    /// Whether there was one that is not formed yet: it is on the list only to
    /// keep its name taken.
    pub unformed: bool,
    /// Why there may be more, or what is not known of some: one for each
    /// module at most.
    pub problems: Vec<KernelError>,
}

/// The layouts needed, looked up once.
#[derive(Debug)]
pub struct Layouts {
    list: u64,
    state: Field,
    name: Field,
    extents: module_memory::Layouts,
    states: [Option<i64>; 4],
}

impl Layouts {
    /// From the debug information of vmlinux.
    pub fn new(symbols: &Symbols) -> Result<Layouts, KernelError> {
        let module = Struct::new(symbols, "module")?;
        let names = ["LIVE", "COMING", "GOING", "UNFORMED"];
        Ok(Layouts {
            list: module.offset("list.next").or_else(|_| module.offset("list"))?,
            state: module.field("state")?,
            name: name_field(&module)?,
            extents: module_memory::Layouts::new(symbols, &module),
            states: names.map(|name| symbols.enumerator(&format!("MODULE_STATE_{name}"))),
        })
    }

    /// `None` for a module that is not formed.
    fn state(&self, number: u64) -> Option<State> {
        let is = |i: usize| self.states[i] == Some(number as i64);
        match number {
            _ if is(0) => Some(State::Live),
            _ if is(1) => Some(State::Coming),
            _ if is(2) => Some(State::Going),
            _ if is(3) => None,
            _ => Some(State::Other(number as u32)),
        }
    }

    /// The state of a module that is known, and its memory now: what changes
    /// in its life while the list stays as it is. One read, and another one or
    /// two when it is no longer what it was.
    pub fn again(&self, memory: &dyn Memory, known: &Module) -> Result<Module, KernelError> {
        let number = memory.uint(known.addr.offset(self.state.0), self.state.1.min(8) as usize)?;
        let state = self.state(number).unwrap_or(State::Other(number as u32));
        if state == known.state {
            return Ok(known.clone());
        }
        let pieces = self.extents.read(memory, known.addr, state != State::Live)?;
        Ok(Module { state, ..known.clone() }.with_memory(pieces))
    }
}

/// Something that differs whenever a module has come or gone.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mark {
    /// The count of changes to the tree in which the kernel looks up the module
    /// of an address.
    Tree(u32),
    /// The ends of the list: a new module is put at its head. A module that is
    /// loaded again to where it was leaves them as they are.
    Ends(Addr, Addr),
}

/// The mark of the list: one read of 4 bytes, or of 16 in a kernel without the
/// tree (CONFIG_MODULES_TREE_LOOKUP, which perf and tracing select).
///
/// `mod_tree` is a latched tree, which counts each change of it twice, and
/// modules are put in and taken out with their init memory and without
/// (`mod_tree_insert` and others in kernel/module/tree_lookup.c, before 5.19
/// kernel/module.c). A module that is not formed yet is in it already.
pub fn mark(symbols: &Symbols, memory: &dyn Memory) -> Result<Mark, KernelError> {
    let tree = || {
        let root = Struct::new(symbols, "mod_tree_root").ok()?;
        let count = root.find("root.seq.seqcount.sequence");
        let count = count.or_else(|| root.find("root.seq.sequence"))?;
        Some(symbols.symbol_addr("mod_tree")?.offset(count.0))
    };
    if let Some(count) = tree() {
        return Ok(Mark::Tree(memory.u32(count)?));
    }
    let (newest, oldest) = ends(symbols, memory)?;
    Ok(Mark::Ends(newest, oldest))
}

/// The ends of the list, as pointers to its entries in the newest and the
/// oldest module, see [`Layouts::ends`]: one read of 16 bytes.
pub fn ends(symbols: &Symbols, memory: &dyn Memory) -> Result<(Addr, Addr), KernelError> {
    let ends = memory.bytes(symbol(symbols, "modules")?, 16)?;
    Ok((Addr(number(&ends, 0, 8)), Addr(number(&ends, 8, 8))))
}

/// The name of a module in its structure.
pub(super) fn name_field(module: &Struct) -> Result<Field, KernelError> {
    module.field("name").map(|(at, len)| (at, len.clamp(1, 256)))
}

/// A name as a module may have it; `None` for what is no such text.
pub(super) fn name_of(bytes: &[u8]) -> Option<String> {
    let name = bytes.split(|&byte| byte == 0).next().unwrap_or_default();
    let is_text = !name.is_empty() && name.iter().all(u8::is_ascii_graphic);
    is_text.then(|| String::from_utf8_lossy(name).into_owned())
}

impl Module {
    /// The same with this memory.
    fn with_memory(mut self, pieces: Vec<Piece>) -> Module {
        let staying = || pieces.iter().filter(|piece| !piece.kind.is_init());
        self.base = staying().next().map(|piece| piece.start);
        self.size = self.base.map(|_| staying().map(|piece| piece.size).sum());
        self.memory = pieces;
        self
    }
}

/// The loaded modules. Goes as far as memory allows: on a miss the list ends
/// there with the miss as its problem; a module whose memory can't be read is
/// listed without it, and one whose name is no text by its address.
pub fn list(symbols: &Symbols, memory: &dyn Memory, layouts: &Layouts) -> List {
    match symbol(symbols, "modules") {
        Ok(head) => walk(memory, layouts, head),
        Err(error) => List { problems: vec![error], ..List::default() },
    }
}

/// One module by the address of its `struct module`; `None` for one that is not
/// formed.
pub fn module_at(
    memory: &dyn Memory,
    layouts: &Layouts,
    addr: Addr,
) -> Result<Option<Module>, KernelError> {
    // Both are tried, so that one run reports every miss.
    let pieces = layouts.extents.read(memory, addr, true);
    let node = Node::read(memory, layouts, addr)?;
    let pieces = match pieces {
        Err(error) if error.missing() => return Err(error),
        pieces => pieces.unwrap_or_default(),
    };
    let Some(state) = layouts.state(node.state) else { return Ok(None) };
    Ok(Some(node.module(state, pieces)))
}

impl Layouts {
    /// The ends of the list as its head has them, when these are the newest
    /// and the oldest module on it.
    pub fn ends(&self, newest: Addr, oldest: Addr) -> (Addr, Addr) {
        (newest.offset(self.list), oldest.offset(self.list))
    }
}

fn walk(memory: &dyn Memory, layouts: &Layouts, head: Addr) -> List {
    let (mut list, mut seen) = (List::default(), HashSet::new());
    let Err(problem) = follow(memory, layouts, head, Way::On, &mut seen, &mut list) else {
        return list;
    };
    let missing = problem.missing();
    list.problems.push(problem);
    if !missing {
        // Those behind the damage, from the other end; that leads to the same.
        let mut rest = List::default();
        let ended = follow(memory, layouts, head, Way::Back, &mut seen, &mut rest);
        list.problems.extend(ended.err().filter(KernelError::missing));
        list.problems.extend(rest.problems);
        list.modules.extend(rest.modules.into_iter().rev());
        list.unformed |= rest.unformed;
    }
    list
}

/// Which way a list is followed.
#[derive(Clone, Copy, PartialEq)]
enum Way {
    On,
    Back,
}

/// Adds the modules that come one after the other. Ends with an error where
/// the list is damaged.
fn follow(
    memory: &dyn Memory,
    layouts: &Layouts,
    head: Addr,
    way: Way,
    seen: &mut HashSet<Addr>,
    list: &mut List,
) -> Result<(), KernelError> {
    let damaged = |what: String| {
        Err(KernelError::Implausible(format!("the list of modules is damaged: {what}")))
    };
    let first = if way == Way::On { head } else { head.offset(8) };
    let (mut before, mut at) = (head, Addr(memory.u64(first)?));
    while at != head {
        if seen.len() == MAX_MODULES || !seen.insert(at) {
            return damaged(format!("it comes back to {at}"));
        }
        let node = Node::read(memory, layouts, at.back(layouts.list))?;
        let (ahead, behind) = match way {
            Way::On => (node.next, node.prev),
            Way::Back => (node.prev, node.next),
        };
        if behind != before && (node.name.is_none() || way == Way::Back) {
            return damaged(format!("there is no module at {}", node.addr));
        }
        (before, at) = (at, ahead);
        let Some(state) = layouts.state(node.state) else {
            list.unformed = true;
            continue;
        };
        let pieces = layouts.extents.read(memory, node.addr, state != State::Live);
        let problem = match (&node.name, &pieces) {
            (_, Err(error)) => Some(error.clone()),
            (None, Ok(_)) => Some(KernelError::Implausible(format!(
                "the name of the module at {} is no text",
                node.addr
            ))),
            _ => None,
        };
        list.problems.extend(problem);
        list.modules.push(node.module(state, pieces.unwrap_or_default()));
    }
    Ok(())
}

/// A module as it is on the list.
struct Node {
    addr: Addr,
    state: u64,
    next: Addr,
    prev: Addr,
    name: Option<String>,
}

impl Node {
    /// State, list and name are neighbours in every kernel; where they are
    /// not, because a kernel's layout is shuffled, it takes more reads.
    fn read(memory: &dyn Memory, layouts: &Layouts, addr: Addr) -> Result<Node, KernelError> {
        let (name, len) = layouts.name;
        let short = (name, len.min(SHORT_NAME));
        let (next, prev) = ((layouts.list, 8), (layouts.list + 8, 8));
        let record = Record::read(memory, addr, &[layouts.state, next, prev, short], 1)?;
        let mut text = record.bytes(short).to_vec();
        if !text.contains(&0) && len > SHORT_NAME {
            let rest = addr.offset(name + SHORT_NAME);
            text.extend(memory.bytes(rest, (len - SHORT_NAME) as usize)?);
        }
        Ok(Node {
            addr,
            state: record.uint(layouts.state),
            next: Addr(record.uint(next)),
            prev: Addr(record.uint(prev)),
            name: name_of(&text),
        })
    }

    /// The module in this state, with this memory.
    fn module(self, state: State, pieces: Vec<Piece>) -> Module {
        let name = self.name.unwrap_or_else(|| format!("?{}", self.addr));
        let (base, size, memory) = (None, None, Vec::new());
        Module { name, addr: self.addr, state, base, size, memory }.with_memory(pieces)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::memory::{Gap, Recorder, Sparse};
    use proptest::prelude::*;

    const HEAD: Addr = Addr(0xffff_ffff_8200_0000);
    const FIRST: Addr = Addr(0xffff_ffff_c000_0100);

    /// The layout of 6.1 in small.
    fn layouts() -> Layouts {
        Layouts {
            list: 8,
            state: (0, 4),
            name: (24, 56),
            extents: module_memory::Layouts::for_tests(),
            states: [Some(0), Some(1), Some(2), Some(3)],
        }
    }

    /// The module number `i` of three.
    fn at(i: u64) -> Addr {
        FIRST.offset(0x8000 * i)
    }

    /// A node of the list.
    fn link(i: u64) -> Addr {
        at(i).offset(8)
    }

    fn module(memory: &mut Sparse, i: u64, state: u32, next: Addr, name: &[u8]) {
        let mut bytes = vec![0; 340];
        let mut set = |at: usize, value: &[u8]| bytes[at..at + value.len()].copy_from_slice(value);
        set(0, &state.to_le_bytes());
        set(8, &next.0.to_le_bytes());
        set(16, &if i == 0 { HEAD } else { link(i - 1) }.0.to_le_bytes());
        set(24, name);
        set(256, &at(i).0.to_le_bytes());
        set(264, &0x4000u32.to_le_bytes());
        set(268, &0x1000u32.to_le_bytes());
        set(320, &at(i).offset(0x5000).0.to_le_bytes());
        set(328, &0x2000u32.to_le_bytes());
        memory.insert(at(i), &bytes);
    }

    fn three_modules() -> Sparse {
        let mut memory = Sparse::new();
        memory.insert(HEAD, &[link(0), link(2)].map(|link| link.0.to_le_bytes()).concat());
        module(&mut memory, 0, 1, link(1), b"hgfs");
        module(&mut memory, 1, 0, link(2), b"a_name_of_24_characters_or_more");
        module(&mut memory, 2, 0, HEAD, b"fuse");
        memory
    }

    fn names(list: &List) -> Vec<&str> {
        list.modules.iter().map(|module| module.name.as_str()).collect()
    }

    #[test]
    fn modules_come_with_state_and_memory() {
        let list = walk(&three_modules(), &layouts(), HEAD);
        assert_eq!((list.problems, list.unformed), (vec![], false));
        let [hgfs, long, fuse] = &list.modules[..] else { panic!("{:?}", list.modules) };
        assert_eq!((hgfs.name.as_str(), hgfs.state), ("hgfs", State::Coming));
        assert_eq!((hgfs.base, hgfs.size), (Some(FIRST), Some(0x4000)), "without init");
        assert_eq!(hgfs.memory.len(), 2);
        assert_eq!(hgfs.memory[0].text, Some(0x1000));
        assert_eq!(long.name, "a_name_of_24_characters_or_more");
        assert_eq!((fuse.state, fuse.memory.len()), (State::Live, 1), "init is not even read");
    }

    #[test]
    fn a_module_costs_two_small_reads() {
        let mut known = Sparse::new();
        let (guest, mut reads) = (three_modules(), Vec::new());
        loop {
            let recorder = Recorder::new(&known);
            let done = walk(&recorder, &layouts(), HEAD).modules.len() == 3;
            let misses = recorder.into_misses();
            if done && misses.is_empty() {
                break;
            }
            for miss in misses {
                reads.push(miss.len);
                known.insert(miss.start, &guest.bytes(miss.start, miss.len as usize).unwrap());
            }
        }
        // The head; state, links and 24 bytes of name; core, and init of one
        // that has it still; the rest of a long name.
        assert_eq!(reads, [8, 48, 16, 16, 48, 32, 16, 48, 16]);
    }

    #[test]
    fn an_unformed_module_is_passed_over_and_told_of() {
        let mut memory = three_modules();
        module(&mut memory, 0, 3, link(1), b"hgfs");
        let list = walk(&memory, &layouts(), HEAD);
        assert_eq!((list.modules.len(), list.unformed), (2, true));
    }

    #[test]
    fn a_module_that_was_coming_is_live_now() {
        let mut memory = three_modules();
        let list = walk(&memory, &layouts(), HEAD);
        let hgfs = &list.modules[0];
        assert_eq!(layouts().again(&memory, hgfs).unwrap(), *hgfs);
        module(&mut memory, 0, 0, link(1), b"hgfs");
        let now = layouts().again(&memory, hgfs).unwrap();
        assert_eq!((now.state, now.memory.len(), now.size), (State::Live, 1, Some(0x4000)));
    }

    #[test]
    fn a_miss_ends_the_walk_with_what_was_found() {
        let mut memory = three_modules();
        module(&mut memory, 0, 0, Addr(0xffff_ffff_c010_0008), b"hgfs");
        let recorder = Recorder::new(&memory);
        let list = walk(&recorder, &layouts(), HEAD);
        assert_eq!(list.modules.len(), 1);
        assert!(list.problems[0].missing());
        assert_eq!(recorder.into_misses().len(), 1);
    }

    #[test]
    fn one_that_has_no_name_is_listed_and_those_after_it_too() {
        let mut memory = three_modules();
        module(&mut memory, 1, 0, link(2), b"\xff\x01");
        let list = walk(&memory, &layouts(), HEAD);
        assert_eq!(names(&list), ["hgfs", "?0xffffffffc0008100", "fuse"]);
        assert_eq!(list.problems.len(), 1, "{:?}", list.problems);
        // But not where the list leads back to somebody else.
        memory.insert(link(1).offset(8), &[0; 8]);
        let list = walk(&memory, &layouts(), HEAD);
        assert_eq!(names(&list), ["hgfs", "fuse"], "fuse from the other end");
        assert!(matches!(list.problems[..], [KernelError::Implausible(_)]));
    }

    #[test]
    fn those_behind_one_that_cannot_be_read_are_found_from_the_other_end() {
        let mut memory = three_modules();
        memory.insert_fault(at(1));
        let list = walk(&memory, &layouts(), HEAD);
        assert_eq!(names(&list), ["hgfs", "fuse"]);
        assert!(matches!(list.problems[..], [KernelError::Gap(Gap::Fault(_))]));
    }

    #[test]
    fn memory_that_cannot_be_is_no_memory() {
        let mut memory = three_modules();
        memory.insert(at(2).offset(256), &[0; 8]);
        memory.insert(at(1).offset(264), &[0xff; 4]);
        let list = walk(&memory, &layouts(), HEAD);
        assert_eq!(names(&list).len(), 3);
        assert_eq!((list.modules[1].base, list.modules[2].size), (None, None));
    }

    #[test]
    fn loops_and_wild_pointers_end_the_walk() {
        let mut memory = three_modules();
        module(&mut memory, 2, 0, link(0), b"fuse");
        let list = walk(&memory, &layouts(), HEAD);
        assert_eq!(list.modules.len(), 3);
        assert!(matches!(list.problems[..], [KernelError::Implausible(_)]));

        module(&mut memory, 0, 0, Addr(0x18), b"hgfs");
        memory.insert_fault(Addr(0x10));
        let list = walk(&memory, &layouts(), HEAD);
        assert_eq!(names(&list), ["hgfs"], "the last one says that the first is after it");
        assert!(matches!(list.problems[..], [KernelError::Gap(Gap::Fault(_))]));
    }

    proptest! {
        #[test]
        fn any_memory_is_walked_to_an_end(noise in prop::collection::vec(any::<u8>(), 336), at in 0usize..300) {
            let mut memory = three_modules();
            memory.insert(FIRST.offset(at as u64), &noise[..336 - at]);
            let list = walk(&memory, &layouts(), HEAD);
            prop_assert!(list.modules.len() <= 3 && list.problems.len() <= 4);
        }
    }
}
