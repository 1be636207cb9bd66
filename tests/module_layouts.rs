//! Every layout that `struct module` has had, as a compiler describes it, and
//! a module laid out so in memory by that compiler's own offsets. The kernels
//! are 3.18, 4.2, 4.9, 5.4, 6.1, 6.12 and 6.14; the structures are cut down to
//! what counts, with padding where the kernel has more.

#![allow(clippy::unwrap_used, reason = "a test may panic")]

mod support {
    pub mod tools;
}

use kgdb_tui::{
    base::{
        addr::Addr,
        memory::{Memory, Recorder, Sparse},
    },
    kernel::{
        module_facts::facts,
        module_params::{Parameter, parameters},
        module_sections::{self, Section, all_sections, sections},
        module_usage::{self, Usage, usage},
        modules::{Layouts, Mark, Module, State, list, mark},
    },
    symbols::{
        answer::Layout,
        image::DebugImage,
        placed::{Placement, Symbols},
    },
};
use proptest::{
    prelude::*,
    test_runner::{Config, TestRunner},
};
use std::{fs, sync::atomic::AtomicBool};
use support::tools::tool;

const COMMON: &str = "
struct list_head { struct list_head *next, *prev; };
struct attribute { const char *name; unsigned short mode; };
struct bin_attribute { struct attribute attr; unsigned long size; void *private; void *f[4]; };
enum module_state { MODULE_STATE_LIVE, MODULE_STATE_COMING, MODULE_STATE_GOING, MODULE_STATE_UNFORMED };
struct list_head modules;
struct module *use_module; struct module_sect_attrs *use_attrs;
struct kernel_param_ops { unsigned int flags; int (*set)(const char *, void *); int (*get)(char *, void *);
  void (*free)(void *); };
struct kparam_string { unsigned int maxlen; char *string; };
struct kparam_array { unsigned int max, elemsize; unsigned int *num; const struct kernel_param_ops *ops;
  void *elem; };
struct kernel_param { const char *name; struct module *mod; const struct kernel_param_ops *ops;
  const unsigned short perm; signed char level; unsigned char flags;
  union { void *arg; const struct kparam_string *str; const struct kparam_array *arr; }; };
struct kernel_param_ops param_ops_int, param_ops_short, param_ops_hexint, param_ops_bool, param_ops_invbool,
  param_ops_charp, param_ops_string, param_ops_ulong, param_array_ops;
struct kernel_param *use_param; struct kparam_string *use_string; struct kparam_array *use_array;
int param_get_int(char *buffer, void *kp) { return 0; }
int set_it(const char *text, void *kp) { return 0; }
struct module_use { struct list_head source_list, target_list; struct module *source, *target; };
struct module_use *use_use;
typedef struct { int counter; } atomic_t;
";

/// What every `struct module` here has, in the members' order of 6.1.
const MEMBERS: &str = "const char *version, *srcversion; struct kernel_param *kp; unsigned int num_kp;
  int (*init)(void); char pad3[40]; unsigned long taints; void *percpu; struct list_head source_list, target_list;
  void (*exit)(void); REFCNT";

/// The tree that counts its changes, before and after 5.10.
const OLD_TREE: &str = "
typedef struct { unsigned sequence; } seqcount_t;
struct mod_tree_root { struct { seqcount_t seq; void *tree[2]; } root; unsigned long addr_min, addr_max; } mod_tree;
";
const NEW_TREE: &str = "
typedef struct { unsigned sequence; } seqcount_t; typedef struct { seqcount_t seqcount; } seqcount_latch_t;
struct mod_tree_root { struct { seqcount_latch_t seq; void *tree[2]; } root; unsigned long addr_min, addr_max; }
  mod_tree;
";

/// The letters of taints, since 4.10 and since 6.11.
const TAINT_FLAGS: &str = "
struct taint_flag { char c_true, c_false; _Bool module; }; struct taint_flag taint_flags[19];
";
const TAINT_FLAGS_WITH_TEXT: &str = "
struct taint_flag { char c_true, c_false; _Bool module; const char *desc; }; struct taint_flag taint_flags[20];
";

const V4_2: &str = "
struct module_attribute { struct attribute attr; void *f[5]; };
struct module_sect_attr { struct module_attribute mattr; char *name; unsigned long address; };
struct module_sect_attrs { void *grp[4]; unsigned int nsections; struct module_sect_attr attrs[0]; };
struct module { enum module_state state; struct list_head list; char name[56]; char pad[100];
  void *module_init, *module_core; unsigned int init_size, core_size, init_text_size, core_text_size;
  char pad2[60]; struct module_sect_attrs *sect_attrs; MEMBERS };
struct module_sect_attr use_attr;
";

/// As 4.2, but with counts for each CPU (3.18).
const V3_18: &str = "
struct module_ref { unsigned long incs, decs; }; struct module_ref *use_ref;
unsigned int nr_cpu_ids; unsigned long __per_cpu_offset[2];
";

/// 4.9 to 5.8: the memory of 6.1, the attributes of 4.2.
const V4_9: &str = "
struct module_attribute { struct attribute attr; void *f[5]; };
struct module_sect_attr { struct module_attribute mattr; char *name; unsigned long address; };
struct module_sect_attrs { void *grp[4]; unsigned int nsections; struct module_sect_attr attrs[0]; };
struct module_layout { void *base; unsigned int size, text_size, ro_size, ro_after_init_size; };
struct module { enum module_state state; struct list_head list; char name[56]; char pad[300];
  struct module_layout core_layout __attribute__((aligned(64))), init_layout; char pad2[60];
  struct module_sect_attrs *sect_attrs; MEMBERS };
struct module_sect_attr use_attr;
";

const V6_1: &str = "
struct module_sect_attr { struct bin_attribute battr; unsigned long address; };
struct module_sect_attrs { void *grp[4]; unsigned int nsections; struct module_sect_attr attrs[]; };
struct module_layout { void *base; unsigned int size, text_size, ro_size, ro_after_init_size; };
struct module { enum module_state state; struct list_head list; char name[56]; char pad[300];
  struct module_layout core_layout __attribute__((aligned(64))), init_layout; char pad2[60];
  struct module_sect_attrs *sect_attrs; MEMBERS };
struct module_sect_attr use_attr;
";

const V6_12: &str = "
struct module_sect_attr { struct bin_attribute battr; unsigned long address; };
struct module_sect_attrs { void *grp[4]; unsigned int nsections; struct module_sect_attr attrs[]; };
enum mod_mem_type { MOD_TEXT, MOD_DATA, MOD_RODATA, MOD_RO_AFTER_INIT, MOD_INIT_TEXT, MOD_INIT_DATA,
  MOD_INIT_RODATA, MOD_MEM_NUM_TYPES };
struct module_memory { void *base; unsigned int size; void *node[7]; };
struct module { enum module_state state; struct list_head list; char name[56]; char pad[300];
  struct module_memory mem[MOD_MEM_NUM_TYPES] __attribute__((aligned(64))); char pad2[60];
  struct module_sect_attrs *sect_attrs; MEMBERS };
enum mod_mem_type use_type; struct module_sect_attr use_attr;
";

const V6_14: &str = "
struct attribute_group { const char *name; void *f[3]; void *attrs; struct bin_attribute **bin_attrs; };
struct module_sect_attrs { struct attribute_group grp; struct bin_attribute attrs[]; };
enum mod_mem_type { MOD_TEXT, MOD_DATA, MOD_RODATA, MOD_RO_AFTER_INIT, MOD_INIT_TEXT, MOD_INIT_DATA,
  MOD_INIT_RODATA, MOD_MEM_NUM_TYPES };
struct module_memory { void *base; unsigned int size; void *node[7]; };
struct module { enum module_state state; struct list_head list; char name[56]; char pad[300];
  struct module_memory mem[MOD_MEM_NUM_TYPES] __attribute__((aligned(64))); char pad2[60];
  struct module_sect_attrs *sect_attrs; MEMBERS };
enum mod_mem_type use_type;
";

const MODULE: Addr = Addr(0xffff_ffff_c000_2000);
const ATTRS: Addr = Addr(0xffff_8880_0123_4000);
const NAMES: Addr = Addr(0xffff_8880_0200_0000);
const POINTERS: Addr = Addr(0xffff_8880_0300_0000);

/// Debug information as a compiler makes it of `source`.
fn symbols_of(sources: &[&str]) -> Symbols {
    let refs = match sources.contains(&V3_18) {
        true => "struct module_ref *refptr;",
        false => "atomic_t refcnt;",
    };
    let source = sources.concat().replace("MEMBERS", &MEMBERS.replace("REFCNT", refs));
    let dir = tempfile::tempdir().unwrap();
    let (c, elf) = (dir.path().join("k.c"), dir.path().join("vmlinux"));
    fs::write(&c, format!("{COMMON}{source}\nint _start(void) {{ return 0; }}\n")).unwrap();
    let mut gcc = tool("gcc");
    gcc.args(["-g", "-nostdlib", "-static", "-no-pie", "-Wl,-Ttext=0xffffffff81000000"]);
    gcc.args(["-mcmodel=kernel", "-fno-pic", "-o"]).arg(&elf).arg(&c);
    assert!(gcc.status().unwrap().success());
    let image = DebugImage::open(&elf).unwrap();
    image.load_dwarf(&|_| (), &AtomicBool::new(false)).unwrap();
    let mut symbols = Symbols::new();
    symbols.place("vmlinux", image, Placement::Slide(0));
    symbols
}

/// Writes into a structure by the names of its members.
struct Writer<'a> {
    memory: &'a mut Sparse,
    at: Addr,
    layout: &'a Layout,
}

impl Writer<'_> {
    fn set(&mut self, member: &str, value: u64) {
        let found = self.layout.member(member).unwrap_or_else(|| panic!("no member {member}"));
        let bytes = &value.to_le_bytes()[..found.size.min(8) as usize];
        self.memory.insert(self.at.offset(found.offset), bytes);
    }
}

/// A guest with one live module of three sections, and the layouts of it.
fn guest(symbols: &Symbols, fill: impl Fn(&mut Writer<'_>)) -> Sparse {
    let mut memory = Sparse::new();
    let head = symbols.symbol_addr("modules").unwrap();
    let layout = symbols.struct_layout("module").unwrap();
    memory.insert(MODULE, &vec![0; layout.size as usize]);
    memory.insert(head, &MODULE.offset(layout.member("list").unwrap().offset).0.to_le_bytes());
    let mut module = Writer { memory: &mut memory, at: MODULE, layout: &layout };
    module.set("list.next", head.0);
    module.set("name", u64::from_le_bytes(*b"hgfs\0\0\0\0"));
    module.set("sect_attrs", ATTRS.0);
    fill(&mut module);
    memory
}

const SECTIONS: [(&str, u64); 3] = [
    (".text", 0xffff_ffff_c000_0000),
    (".init.text", 0xffff_ffff_c000_9000),
    (".bss", 0xffff_ffff_c000_3000),
];

fn add_name(memory: &mut Sparse, index: u64, name: &str) -> u64 {
    let at = NAMES.offset(index * 64);
    let mut bytes = name.as_bytes().to_vec();
    bytes.resize(64, 0);
    memory.insert(at, &bytes);
    at.0
}

fn counted(memory: &mut Sparse, symbols: &Symbols, name: &str) {
    let all = symbols.struct_layout("module_sect_attrs").unwrap();
    let one = symbols.struct_layout("module_sect_attr").unwrap();
    Writer { memory, at: ATTRS, layout: &all }.set("nsections", SECTIONS.len() as u64);
    for (index, (section, addr)) in (0..).zip(SECTIONS) {
        let at = ATTRS.offset(all.member("attrs").unwrap().offset + index * one.size);
        memory.insert(at, &vec![0; one.size as usize]);
        let text = add_name(memory, index, section);
        let mut attribute = Writer { memory, at, layout: &one };
        attribute.set(name, text);
        attribute.set("address", addr);
    }
}

const TEXTS: Addr = Addr(0xffff_8880_0400_0000);
const PARAMETERS: Addr = Addr(0xffff_ffff_c000_1800);
const VALUES: Addr = Addr(0xffff_ffff_c000_1c00);
const USE: Addr = Addr(0xffff_8880_0500_0000);
const USER: Addr = Addr(0xffff_ffff_c010_2000);

fn add_text(memory: &mut Sparse, index: u64, text: &[u8]) -> u64 {
    let mut bytes = text.to_vec();
    bytes.resize(256, 0);
    memory.insert(TEXTS.offset(index * 256), &bytes);
    TEXTS.offset(index * 256).0
}

/// A parameter of a module: its name, the functions and the value.
fn add_parameter(
    memory: &mut Sparse,
    symbols: &Symbols,
    index: u64,
    name: &str,
    ops: &str,
    at: u64,
) {
    let layout = symbols.struct_layout("kernel_param").unwrap();
    let one = PARAMETERS.offset(index * layout.size);
    memory.insert(one, &vec![0; layout.size as usize]);
    let name = add_text(memory, 10 + index, name.as_bytes());
    let mut one = Writer { memory, at: one, layout: &layout };
    one.set("name", name);
    one.set("ops", symbols.symbol_addr(ops).map_or(VALUES.0 + 512, |at| at.0));
    one.set("perm", 0o644);
    one.set("arg", at);
}

/// Everything else that a module has: a user, taints, versions, parameters.
fn fill_rest(memory: &mut Sparse, symbols: &Symbols) {
    let layout = symbols.struct_layout("module").unwrap();
    let at = |member: &str| MODULE.offset(layout.member(member).unwrap().offset).0;
    let (users, used) = (at("source_list"), at("target_list"));
    let version = add_text(memory, 0, b"1.2");
    let srcversion = add_text(memory, 1, b"A6F67F00EB66C93360C2564");
    let mut module = Writer { memory, at: MODULE, layout: &layout };
    module.set("version", version);
    module.set("srcversion", srcversion);
    module.set("init", SECTIONS[1].1);
    module.set("exit", SECTIONS[0].1 + 0x10);
    // Proprietary, out of tree, and one that is not for modules.
    module.set("taints", 1 | 1 << 12 | 1 << 9);
    module.set("source_list.next", USE.0);
    module.set("target_list.next", used);
    module.set("kp", PARAMETERS.0);
    module.set("num_kp", 8);
    if layout.member("refcnt").is_some() {
        module.set("refcnt", 3);
    }
    if let Some(flags) = symbols.struct_layout("taint_flag") {
        let array = symbols.symbol_addr("taint_flags").unwrap();
        memory.insert(array, &[b' '; 20 * 16]);
        for (bit, letter, of_module) in [(0, b'P', 1), (9, b'W', 0), (12, b'O', 1)] {
            let at = array.offset(bit * flags.size);
            memory.insert(at, &[letter, b' ', of_module]);
        }
    }
    let one = symbols.struct_layout("module_use").unwrap();
    memory.insert(USE, &vec![0; one.size as usize]);
    let mut one = Writer { memory, at: USE, layout: &one };
    one.set("source_list.next", users);
    one.set("source", USER.0);
    one.set("target", MODULE.0);
    memory.insert(USER, &vec![0; layout.size as usize]);
    let name = USER.offset(layout.member("name").unwrap().offset);
    memory.insert(name, b"hgfs_pong\0");
    fill_parameters(memory, symbols);
}

fn fill_parameters(memory: &mut Sparse, symbols: &Symbols) {
    memory.insert(VALUES, &[0; 1024]);
    let value = |i: u64| VALUES.offset(i * 8).0;
    let hello = add_text(memory, 2, b"hello");
    memory.insert(VALUES, &(-7i32).to_le_bytes());
    memory.insert(VALUES.offset(8), &[1]);
    memory.insert(VALUES.offset(16), &hello.to_le_bytes());
    memory.insert(VALUES.offset(24), &[1]);
    memory.insert(VALUES.offset(32), &0xbeefu32.to_le_bytes());
    let parameters = [
        ("number", "param_ops_int", value(0)),
        ("loud", "param_ops_bool", value(1)),
        ("greeting", "param_ops_charp", value(2)),
        ("quiet", "param_ops_invbool", value(3)),
        ("mask", "param_ops_hexint", value(4)),
        ("sizes", "param_array_ops", value(8)),
        ("path", "param_ops_string", value(14)),
        ("own", "its own", value(0)),
    ];
    for (index, (name, ops, at)) in (0..).zip(parameters) {
        add_parameter(memory, symbols, index, name, ops, at);
    }
    let array = symbols.struct_layout("kparam_array").unwrap();
    let mut array = Writer { memory, at: Addr(value(8)), layout: &array };
    array.set("max", 4);
    array.set("elemsize", 2);
    array.set("num", value(20));
    array.set("ops", symbols.symbol_addr("param_ops_short").unwrap().0);
    array.set("elem", value(21));
    memory.insert(Addr(value(20)), &2u32.to_le_bytes());
    memory.insert(Addr(value(21)), &[0xff, 0xff, 4, 0]);
    let text = symbols.struct_layout("kparam_string").unwrap();
    let mut text = Writer { memory, at: Addr(value(14)), layout: &text };
    text.set("maxlen", 3);
    text.set("string", hello);
    let ops = symbols.struct_layout("kernel_param_ops").unwrap();
    let mut ops = Writer { memory, at: Addr(VALUES.0 + 512), layout: &ops };
    ops.set("set", symbols.symbol_addr("set_it").unwrap().0);
}

/// What is read of a module besides its place and its sections.
fn check_rest(symbols: &Symbols, memory: &Sparse, module: &Module) {
    let layouts = module_usage::Layouts::new(symbols).unwrap();
    let read = usage(symbols, memory, &layouts, module, std::slice::from_ref(module)).unwrap();
    let users = vec!["hgfs_pong".to_string()];
    let taints = "PO".to_string();
    let wanted = Usage { refs: Some(2), permanent: false, users, taints, trouble: None };
    assert_eq!(read, wanted);
    assert_eq!(layouts.used(memory, module, &[]).unwrap(), (vec![], None));
    let read = facts(symbols, memory, module).unwrap();
    assert_eq!(read.version.as_deref(), Some("1.2"));
    assert_eq!(read.srcversion.as_deref(), Some("A6F67F00EB66C93360C2564"));
    assert_eq!(read.init, Some(Addr(SECTIONS[1].1)));
    assert_eq!(read.exit, Some(Addr(SECTIONS[0].1 + 0x10)));
    let read = parameters(symbols, memory, module).unwrap();
    let told = |one: &Parameter| {
        let value = one.value.clone().unwrap_or_else(|why| format!("({why})"));
        assert_eq!(one.mode, 0o644);
        format!("{} {} {value}", one.name, one.type_name.as_deref().unwrap_or("-"))
    };
    assert_eq!(
        read.iter().map(told).collect::<Vec<_>>(),
        [
            "number int -7",
            "loud bool Y",
            "greeting charp hello",
            "quiet invbool N",
            "mask hexint 0x00beef",
            "sizes array of short -1,4",
            "path string hel",
            "own - (set by set_it)",
        ]
    );
}

/// The reads of a computation as the session makes them, whatever they give.
fn fetched<T>(guest: &Sparse, compute: impl Fn(&dyn Memory) -> T) -> (T, usize) {
    let mut known = Sparse::new();
    let mut reads = 0;
    for _ in 0..2000 {
        let recorder = Recorder::new(&known);
        let result = compute(&recorder);
        let misses = recorder.into_misses();
        if misses.is_empty() {
            return (result, reads);
        }
        for miss in misses {
            reads += 1;
            assert!(miss.len <= 64 * 1024, "{miss:?}");
            match guest.bytes(miss.start, miss.len as usize) {
                Ok(bytes) => known.insert(miss.start, &bytes),
                Err(_) => known.insert_fault(miss.start),
            }
        }
    }
    panic!("no end of misses");
}

fn check(symbols: &Symbols, memory: &Sparse, size: u64) {
    let mut memory = memory.clone();
    fill_rest(&mut memory, symbols);
    let memory = &memory;
    let layouts = Layouts::new(symbols).unwrap();
    let found = list(symbols, memory, &layouts);
    assert_eq!(found.problems, []);
    let [module] = &found.modules[..] else { panic!("{found:?}") };
    assert_eq!((module.name.as_str(), module.addr, module.state), ("hgfs", MODULE, State::Live));
    assert_eq!((module.base, module.size), (Some(Addr(SECTIONS[0].1)), Some(size)));
    let layouts = module_sections::Layouts::new(symbols).unwrap();
    let got = sections(memory, &layouts, module, None).unwrap();
    let section = |i: usize| Section { name: SECTIONS[i].0.into(), addr: Addr(SECTIONS[i].1) };
    assert_eq!(got, [section(0), section(2)]);
    check_rest(symbols, memory, module);
    hostile(symbols, memory, module);
}

/// Damage of everything that was read: the answer is another or none, and comes.
fn hostile(symbols: &Symbols, memory: &Sparse, module: &Module) {
    let layout = symbols.struct_layout("module").unwrap();
    let layouts = module_usage::Layouts::new(symbols).unwrap();
    let usage =
        |memory: &Sparse| fetched(memory, |memory| usage(symbols, memory, &layouts, module, &[])).0;
    let parameters =
        |memory: &Sparse| fetched(memory, |memory| parameters(symbols, memory, module)).0;
    let with = |member: &str, value: u64| {
        let mut memory = memory.clone();
        Writer { memory: &mut memory, at: MODULE, layout: &layout }.set(member, value);
        memory
    };
    // A list that comes back to itself, and one that leads nowhere.
    let mut looping = memory.clone();
    looping.insert(USE, &USE.0.to_le_bytes());
    let read = usage(&looping).unwrap();
    assert!(read.trouble.unwrap().contains("damaged"), "{:?}", read.users);
    assert_eq!(read.users.len(), 1);
    let read = usage(&with("source_list.next", 0x18)).unwrap();
    assert!(read.trouble.is_some() && read.taints == "PO");
    assert!(parameters(&with("num_kp", 4_000_000_000)).is_err());
    assert!(parameters(&with("num_kp", 0)).unwrap().is_empty());
    assert!(parameters(&with("kp", 0)).is_err());
    assert!(parameters(&with("kp", 0x1000)).is_err());
    // A text, an array and functions in memory that is not there.
    let mut wild = memory.clone();
    let one = symbols.struct_layout("kernel_param").unwrap();
    for i in 0..8 {
        let at = PARAMETERS.offset(i * one.size);
        Writer { memory: &mut wild, at, layout: &one }.set("arg", 0x2000);
    }
    let read = parameters(&wild).unwrap();
    assert_eq!(read.iter().filter(|one| one.value.is_err()).count(), 8, "{read:?}");
    // Every word of what is read.
    let mut spoilt =
        TestRunner::new(Config { cases: 64, failure_persistence: None, ..Config::default() });
    let places = [MODULE, USE, PARAMETERS, VALUES, ATTRS, POINTERS, TEXTS];
    let noise = (0..places.len(), 0u64..512, prop::collection::vec(any::<u8>(), 1..300));
    let tried = spoilt.run(&noise, |(place, at, noise)| {
        let mut memory = memory.clone();
        memory.insert(places[place].offset(at), &noise);
        let _ = usage(&memory);
        let _ = parameters(&memory);
        let _ = fetched(&memory, |memory| facts(symbols, memory, module));
        let attrs = module_sections::Layouts::new(symbols).unwrap();
        let _ = fetched(&memory, |memory| all_sections(memory, &attrs, module, None));
        Ok(())
    });
    tried.unwrap();
}

#[test]
fn linux_4_2() {
    let symbols = symbols_of(&[V4_2, OLD_TREE]);
    let mut memory = guest(&symbols, |module| {
        module.set("module_core", SECTIONS[0].1);
        module.set("core_size", 0x4000);
        module.set("init_size", 0x1000);
    });
    counted(&mut memory, &symbols, "name");
    check(&symbols, &memory, 0x4000);
}

#[test]
fn linux_3_18() {
    let symbols = symbols_of(&[V4_2, V3_18]);
    let mut memory = guest(&symbols, |module| {
        module.set("module_core", SECTIONS[0].1);
        module.set("core_size", 0x4000);
        module.set("refptr", 0x1000);
    });
    counted(&mut memory, &symbols, "name");
    let (cpus, offsets) =
        (symbols.symbol_addr("nr_cpu_ids").unwrap(), symbols.symbol_addr("__per_cpu_offset"));
    memory.insert(cpus, &2u32.to_le_bytes());
    for (cpu, counts) in [(0u64, [5u64, 1]), (1, [0, 2])] {
        let at = Addr(0xffff_8880_0600_0000 + 0x1_0000 * cpu);
        memory.insert(offsets.unwrap().offset(8 * cpu), &at.0.to_le_bytes());
        memory.insert(at.offset(0x1000), &counts.map(u64::to_le_bytes).concat());
    }
    check(&symbols, &memory, 0x4000);
    // Without the tree, the ends of the list.
    let head = symbols.symbol_addr("modules").unwrap();
    memory.insert(head.offset(8), &MODULE.0.to_le_bytes());
    let first = Addr(memory.u64(head).unwrap());
    assert_eq!(mark(&symbols, &memory), Ok(Mark::Ends(first, MODULE)));
}

#[test]
fn linux_4_9() {
    let symbols = symbols_of(&[V4_9, OLD_TREE]);
    let mut memory = guest(&symbols, |module| {
        module.set("core_layout.base", SECTIONS[0].1);
        module.set("core_layout.size", 0x4000);
    });
    counted(&mut memory, &symbols, "name");
    check(&symbols, &memory, 0x4000);
}

#[test]
fn linux_5_4() {
    let symbols = symbols_of(&[V4_9, OLD_TREE, TAINT_FLAGS]);
    let mut memory = guest(&symbols, |module| {
        module.set("core_layout.base", SECTIONS[0].1);
        module.set("core_layout.size", 0x4000);
    });
    counted(&mut memory, &symbols, "name");
    check(&symbols, &memory, 0x4000);
}

#[test]
fn changes_are_counted_before_and_after_5_10() {
    for tree in [OLD_TREE, NEW_TREE] {
        let symbols = symbols_of(&[V6_1, tree]);
        let mut memory = Sparse::new();
        memory.insert(symbols.symbol_addr("mod_tree").unwrap(), &42u32.to_le_bytes());
        assert_eq!(mark(&symbols, &memory), Ok(Mark::Tree(42)));
    }
}

#[test]
fn linux_6_1() {
    let symbols = symbols_of(&[V6_1, NEW_TREE, TAINT_FLAGS]);
    let mut memory = guest(&symbols, |module| {
        module.set("core_layout.base", SECTIONS[0].1);
        module.set("core_layout.size", 0x4000);
    });
    counted(&mut memory, &symbols, "battr.attr.name");
    check(&symbols, &memory, 0x4000);
}

/// `mem[]`: what stays is the sum of all types but those of init.
fn fill_mem(symbols: &Symbols, module: &mut Writer<'_>) {
    let start = module.layout.member("mem").unwrap().offset;
    let memory = symbols.struct_layout("module_memory").unwrap();
    for index in 0..7 {
        let at = module.at.offset(start + index * memory.size);
        let mut one = Writer { memory: module.memory, at, layout: &memory };
        one.set("base", SECTIONS[0].1 + index * 0x1000);
        one.set("size", 0x1000);
    }
}

#[test]
fn linux_6_12() {
    let symbols = symbols_of(&[V6_12, NEW_TREE, TAINT_FLAGS_WITH_TEXT]);
    let mut memory = guest(&symbols, |module| fill_mem(&symbols, module));
    counted(&mut memory, &symbols, "battr.attr.name");
    check(&symbols, &memory, 0x4000);
}

#[test]
fn linux_6_14() {
    let symbols = symbols_of(&[V6_14, TAINT_FLAGS_WITH_TEXT]);
    let mut memory = guest(&symbols, |module| fill_mem(&symbols, module));
    let all = symbols.struct_layout("module_sect_attrs").unwrap();
    let one = symbols.struct_layout("bin_attribute").unwrap();
    memory.insert(POINTERS, &[0; 256]);
    Writer { memory: &mut memory, at: ATTRS, layout: &all }.set("grp.bin_attrs", POINTERS.0);
    for (index, (section, addr)) in (0..).zip(SECTIONS) {
        let at = ATTRS.offset(all.member("attrs").unwrap().offset + index * one.size);
        memory.insert(at, &vec![0; one.size as usize]);
        memory.insert(POINTERS.offset(8 * index), &at.0.to_le_bytes());
        let text = add_name(&mut memory, index, section);
        let mut attribute = Writer { memory: &mut memory, at, layout: &one };
        attribute.set("attr.name", text);
        attribute.set("private", addr);
    }
    check(&symbols, &memory, 0x4000);
}
