//! Every layout that `struct module` has had, as a compiler describes it, and
//! a module laid out so in memory by that compiler's own offsets. The kernels
//! are 4.2, 6.1, 6.12 and 6.14; the structures are cut down to what counts,
//! with padding where the kernel has more.

#![allow(clippy::unwrap_used, reason = "a test may panic")]

mod support {
    pub mod tools;
}

use kgdb_tui::{
    base::{addr::Addr, memory::Sparse},
    kernel::{
        module_sections::{self, Section, sections},
        modules::{Layouts, State, list},
    },
    symbols::{
        answer::Layout,
        image::DebugImage,
        placed::{Placement, Symbols},
    },
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
";

const V4_2: &str = "
struct module_attribute { struct attribute attr; void *f[5]; };
struct module_sect_attr { struct module_attribute mattr; char *name; unsigned long address; };
struct module_sect_attrs { void *grp[4]; unsigned int nsections; struct module_sect_attr attrs[0]; };
struct module { enum module_state state; struct list_head list; char name[56]; char pad[100];
  void *module_init, *module_core; unsigned int init_size, core_size, init_text_size, core_text_size;
  char pad2[60]; struct module_sect_attrs *sect_attrs; };
struct module_sect_attr use_attr;
";

const V6_1: &str = "
struct module_sect_attr { struct bin_attribute battr; unsigned long address; };
struct module_sect_attrs { void *grp[4]; unsigned int nsections; struct module_sect_attr attrs[]; };
struct module_layout { void *base; unsigned int size, text_size, ro_size, ro_after_init_size; };
struct module { enum module_state state; struct list_head list; char name[56]; char pad[300];
  struct module_layout core_layout __attribute__((aligned(64))), init_layout; char pad2[60];
  struct module_sect_attrs *sect_attrs; };
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
  struct module_sect_attrs *sect_attrs; };
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
  struct module_sect_attrs *sect_attrs; };
enum mod_mem_type use_type;
";

const MODULE: Addr = Addr(0xffff_ffff_c000_2000);
const ATTRS: Addr = Addr(0xffff_8880_0123_4000);
const NAMES: Addr = Addr(0xffff_8880_0200_0000);
const POINTERS: Addr = Addr(0xffff_8880_0300_0000);

/// Debug information as a compiler makes it of `source`.
fn symbols_of(source: &str) -> Symbols {
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

fn check(symbols: &Symbols, memory: &Sparse, size: u64) {
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
}

#[test]
fn linux_4_2() {
    let symbols = symbols_of(V4_2);
    let mut memory = guest(&symbols, |module| {
        module.set("module_core", SECTIONS[0].1);
        module.set("core_size", 0x4000);
        module.set("init_size", 0x1000);
    });
    counted(&mut memory, &symbols, "name");
    check(&symbols, &memory, 0x4000);
}

#[test]
fn linux_6_1() {
    let symbols = symbols_of(V6_1);
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
    let symbols = symbols_of(V6_12);
    let mut memory = guest(&symbols, |module| fill_mem(&symbols, module));
    counted(&mut memory, &symbols, "battr.attr.name");
    check(&symbols, &memory, 0x4000);
}

#[test]
fn linux_6_14() {
    let symbols = symbols_of(V6_14);
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
