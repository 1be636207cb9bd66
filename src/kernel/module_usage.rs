//! Who uses a module, how often, and what it taints the kernel with. This
//! changes while the list of modules stays as it is, so it is read when it is
//! shown and not kept: two or three packets a module, and one for each user.

use crate::{
    base::{addr::Addr, memory::Memory},
    kernel::{
        KernelError, Struct,
        modules::{Module, name_field, name_of},
        percpu,
        record::{Field, Record, number},
        symbol,
    },
    symbols::placed::Symbols,
};

/// More users than a module is listed with.
pub const MAX_USERS: usize = 256;

/// `MODULE_REF_BASE` (kernel/module/main.c, before 5.19 kernel/module.c): what
/// the count of a module has that nobody uses.
const REF_BASE: i64 = 1;

/// Who uses a module, how often, and what it taints.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Usage {
    /// How often it is in use, as `lsmod` counts; `None` in a kernel that
    /// can't unload modules.
    pub refs: Option<i64>,
    /// Whether it can't be unloaded because it has no exit function.
    pub permanent: bool,
    /// The modules that use it, the last that came first.
    pub users: Vec<String>,
    /// The letters of /proc/modules.
    pub taints: String,
    /// What is wrong with one of these.
    pub trouble: Option<String>,
}

/// The layouts needed, looked up once.
#[derive(Debug)]
pub struct Layouts {
    name: Field,
    init: Option<Field>,
    taints: Option<Field>,
    letters: Option<Letters>,
    unload: Option<Unload>,
}

/// What there is with CONFIG_MODULE_UNLOAD.
#[derive(Debug)]
struct Unload {
    /// Of `struct module`.
    refs: Refs,
    users: u64,
    used: u64,
    exit: Option<Field>,
    /// Of `struct module_use`.
    link: u64,
    user: u64,
    used_link: u64,
    target: u64,
}

/// How uses are counted.
#[derive(Debug)]
enum Refs {
    /// `refcnt`, since 3.19.
    Count(Field),
    /// `refptr`, a pair of counters for each CPU.
    PerCpu { pointer: Field, up: Field, down: Field },
}

/// `taint_flags[]` of kernel/panic.c, since 4.10.
#[derive(Debug)]
struct Letters {
    array: Addr,
    size: u64,
    letter: u64,
    /// Whether it is meant for modules; without the member, in newer kernels,
    /// all are.
    of_module: Option<u64>,
}

/// The letters before 4.10, in the order in which `module_flags_taint` of
/// kernel/module.c (4.2) tries them; the bits are TAINT_PROPRIETARY_MODULE,
/// TAINT_OOT_MODULE, TAINT_FORCED_MODULE, TAINT_CRAP and TAINT_UNSIGNED_MODULE.
const OLD_LETTERS: [(u32, char); 5] = [(0, 'P'), (12, 'O'), (1, 'F'), (10, 'C'), (13, 'E')];

impl Layouts {
    /// From the debug information of vmlinux.
    pub fn new(symbols: &Symbols) -> Result<Layouts, KernelError> {
        let module = Struct::new(symbols, "module")?;
        Ok(Layouts {
            name: name_field(&module)?,
            init: module.find("init"),
            taints: module.find("taints"),
            letters: Letters::new(symbols),
            unload: Unload::new(symbols, &module),
        })
    }
}

impl Unload {
    fn new(symbols: &Symbols, module: &Struct) -> Option<Unload> {
        let refs = match module.find("refcnt") {
            Some(count) => Refs::Count(count),
            None => {
                let pair = Struct::new(symbols, "module_ref").ok()?;
                let (up, down) = (pair.find("incs")?, pair.find("decs")?);
                Refs::PerCpu { pointer: module.find("refptr")?, up, down }
            }
        };
        let one = Struct::new(symbols, "module_use").ok()?;
        let list = |of: &Struct, name: &str| {
            of.find(&format!("{name}.next")).or_else(|| of.find(name)).map(|field| field.0)
        };
        Some(Unload {
            refs,
            users: list(module, "source_list")?,
            used: list(module, "target_list")?,
            exit: module.find("exit"),
            link: list(&one, "source_list")?,
            user: one.find("source")?.0,
            used_link: list(&one, "target_list")?,
            target: one.find("target")?.0,
        })
    }
}

impl Letters {
    fn new(symbols: &Symbols) -> Option<Letters> {
        let flag = Struct::new(symbols, "taint_flag").ok()?;
        Some(Letters {
            array: symbols.symbol_addr("taint_flags")?,
            size: flag.size(),
            letter: flag.find("c_true")?.0,
            of_module: flag.find("module").map(|field| field.0),
        })
    }

    /// As `module_flags_taint` (kernel/module/main.c): those that are meant for
    /// modules, by bit.
    fn of(&self, memory: &dyn Memory, taints: u64) -> Result<String, KernelError> {
        let count = u64::from(64 - taints.leading_zeros());
        let bytes = memory.bytes(self.array, (count * self.size.min(64)) as usize)?;
        let byte = |bit: u64, at: u64| number(&bytes, bit * self.size + at, 1) as u8;
        let counts = |bit: &u64| {
            taints >> bit & 1 == 1 && self.of_module.is_none_or(|at| byte(*bit, at) == 1)
        };
        let letters = (0..count).filter(counts).map(|bit| byte(bit, self.letter));
        Ok(letters.filter(u8::is_ascii_uppercase).map(char::from).collect())
    }
}

/// What changes with the use of a module. `known` are the modules of the list:
/// their names need no reading.
pub fn usage(
    symbols: &Symbols,
    memory: &dyn Memory,
    layouts: &Layouts,
    module: &Module,
    known: &[Module],
) -> Result<Usage, KernelError> {
    // All are tried, so that one run reports every miss.
    let taints = layouts.taints(memory, module);
    let Some(unload) = &layouts.unload else {
        return Ok(Usage { taints: taints?, ..Usage::default() });
    };
    let (count, first) = match &unload.refs {
        Refs::Count(count) => (*count, (unload.users, 8)),
        Refs::PerCpu { pointer, .. } => (*pointer, (unload.users, 8)),
    };
    let fields: Vec<Field> =
        [Some(count), Some(first), unload.exit].into_iter().flatten().collect();
    let record = Record::read(memory, module.addr, &fields, u64::MAX);
    let (taints, record) = (taints?, record?);
    let refs = match &unload.refs {
        Refs::Count(count) => Ok(i64::from(record.uint(*count) as i32) - REF_BASE),
        Refs::PerCpu { pointer, up, down } => {
            per_cpu_count(symbols, memory, Addr(record.uint(*pointer)), *up, *down)
        }
    };
    // A module that was built in two steps has an init that may not be left.
    let no_exit = unload.exit.is_some_and(|exit| record.uint(exit) == 0);
    let init = match layouts.init.filter(|_| no_exit) {
        Some((at, _)) => memory.u64(module.addr.offset(at)).map(|init| init != 0),
        None => Ok(false),
    };
    let chain = Chain {
        head: module.addr.offset(unload.users),
        link: unload.link,
        who: unload.user,
        name: layouts.name,
    };
    let users = chain.names(memory, Addr(record.uint(first)), known);
    let (users, trouble) = users?;
    Ok(Usage { refs: Some(refs?), permanent: init?, users, taints, trouble })
}

impl Layouts {
    fn taints(&self, memory: &dyn Memory, module: &Module) -> Result<String, KernelError> {
        let Some((at, len)) = self.taints else { return Ok(String::new()) };
        let taints = memory.uint(module.addr.offset(at), len.min(8) as usize)?;
        match &self.letters {
            _ if taints == 0 => Ok(String::new()),
            Some(letters) => letters.of(memory, taints),
            None => Ok(OLD_LETTERS
                .iter()
                .filter(|(bit, _)| taints >> bit & 1 == 1)
                .map(|l| l.1)
                .collect()),
        }
    }

    /// The modules that a module uses.
    pub fn used(
        &self,
        memory: &dyn Memory,
        module: &Module,
        known: &[Module],
    ) -> Result<(Vec<String>, Option<String>), KernelError> {
        let Some(unload) = &self.unload else { return Ok((Vec::new(), None)) };
        let head = module.addr.offset(unload.used);
        let chain = Chain { head, link: unload.used_link, who: unload.target, name: self.name };
        chain.names(memory, Addr(memory.u64(head)?), known)
    }
}

/// The count before 3.19 (`module_refcount` in kernel/module.c).
fn per_cpu_count(
    symbols: &Symbols,
    memory: &dyn Memory,
    pointer: Addr,
    up: Field,
    down: Field,
) -> Result<i64, KernelError> {
    let cpus = symbol(symbols, "nr_cpu_ids")?;
    let cpus = memory.u32(cpus)?.min(percpu::MAX_CPUS);
    let count = |cpu: u32| -> Result<i64, KernelError> {
        let at = pointer.offset(percpu::offset(symbols, memory, cpu)?);
        let record = Record::read(memory, at, &[up, down], 1)?;
        Ok((record.uint(up) as i64).wrapping_sub(record.uint(down) as i64))
    };
    let counts: Vec<_> = (0..cpus).map(count).collect();
    counts.into_iter().try_fold(0, |sum: i64, one| Ok(sum.wrapping_add(one?)))
}

/// A list of `struct module_use`, which is on two: that of the module that is
/// used and that of the user.
struct Chain {
    head: Addr,
    /// Where the link of this list is in `struct module_use`, and the module
    /// at the other end.
    link: u64,
    who: u64,
    /// The name in `struct module`.
    name: Field,
}

impl Chain {
    /// The names, and what is wrong with the list.
    fn names(
        &self,
        memory: &dyn Memory,
        first: Addr,
        known: &[Module],
    ) -> Result<(Vec<String>, Option<String>), KernelError> {
        let mut names = Vec::new();
        let mut nodes: Vec<Addr> = Vec::new();
        let mut next = first;
        while next != self.head {
            if nodes.len() == MAX_USERS || nodes.contains(&next) {
                return Ok((names, Some(format!("the list of its users is damaged at {next}"))));
            }
            nodes.push(next);
            let (link, who) = ((self.link, 8), (self.who, 8));
            let record = match Record::read(memory, next.back(self.link), &[link, who], 1) {
                Ok(record) => record,
                Err(error) if error.missing() => return Err(error),
                Err(error) => return Ok((names, Some(format!("the list of its users: {error}")))),
            };
            let who = Addr(record.uint(who));
            let name = match known.iter().find(|module| module.addr == who) {
                Some(module) => Some(module.name.clone()),
                None => match memory.bytes(who.offset(self.name.0), self.name.1 as usize) {
                    Ok(bytes) => name_of(&bytes),
                    Err(gap) if gap.is_missing() => return Err(gap.into()),
                    Err(_) => None,
                },
            };
            names.push(name.unwrap_or_else(|| format!("?{who}")));
            next = Addr(record.uint(link));
        }
        Ok((names, None))
    }
}
