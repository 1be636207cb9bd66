//! The ELF symbol table: by address, and by name. It answers before DWARF is
//! loaded, and for assembly, which has no DWARF functions, for good.

use crate::{
    base::addr::FileAddr,
    image::file::{Elf, Kind, Section},
};
use object::{Object as _, ObjectSymbol as _, SymbolIndex, SymbolKind, elf};
use std::sync::OnceLock;

/// How the address of a symbol relates to where the image is loaded.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Place {
    /// In the loaded section of this index; moves with it.
    Section(u16),
    /// An offset into each CPU's area: `.data..percpu` linked at zero. Never
    /// slid by KASLR.
    PerCpu,
    /// A number, not an address. Never slid.
    Absolute,
}

/// One symbol.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Symbol<'a> {
    /// Its name.
    pub name: &'a str,
    /// Its value; for a module in the made-up layout.
    pub addr: FileAddr,
    /// Its size in bytes; zero where the assembler gave none.
    pub size: u64,
    /// It is code with a type (`STT_FUNC`).
    pub function: bool,
    /// It is visible to other files (`STB_GLOBAL`, `STB_WEAK`).
    pub global: bool,
    /// How it moves.
    pub place: Place,
}

#[derive(Clone, Copy)]
struct Entry {
    addr: u64,
    size: u64,
    /// Where the name starts in the file, and its length.
    name: (u32, u16),
    section: u16,
    flags: u8,
}

const FUNCTION: u8 = 1;
const GLOBAL: u8 = 2;
const PER_CPU: u8 = 4;
const ABSOLUTE: u8 = 8;

/// What was read, sorted by address.
#[derive(Default)]
pub struct Entries {
    by_addr: Vec<Entry>,
    by_name: OnceLock<Vec<u32>>,
}

/// The symbol table of one image.
#[derive(Clone, Copy)]
pub struct Symtab<'a> {
    entries: &'a Entries,
    file: &'a [u8],
}

pub(super) fn read(file: &Elf<'_>, sections: &[Section], kind: Kind) -> Entries {
    let table = file.elf_symbol_table();
    let base = file.data().as_ptr() as usize;
    let mut by_addr = Vec::with_capacity(table.len());
    for index in 1..table.len() {
        let Ok(symbol) = file.symbol_by_index(SymbolIndex(index)) else { continue };
        let Ok(name) = symbol.name_bytes() else { continue };
        if name.is_empty() || matches!(symbol.kind(), SymbolKind::Section | SymbolKind::File) {
            continue;
        }
        let mut flags = 0;
        let mut addr = symbol.address();
        let mut section = 0;
        match symbol.section_index() {
            Some(at) => {
                let Some(home) = sections.get(at.0).filter(|s| s.alloc) else { continue };
                section = at.0 as u16;
                if kind == Kind::Relocatable {
                    addr = addr.wrapping_add(home.addr.0);
                } else if home.addr.0 == 0 {
                    flags |= PER_CPU;
                }
            }
            None if symbol.section() == object::SymbolSection::Absolute => flags |= ABSOLUTE,
            None => continue,
        }
        if symbol.elf_symbol().st_info.st_type() == elf::STT_FUNC {
            flags |= FUNCTION;
        }
        if symbol.is_global() {
            flags |= GLOBAL;
        }
        let (Ok(offset), Ok(len)) =
            (u32::try_from(name.as_ptr() as usize - base), u16::try_from(name.len()))
        else {
            continue;
        };
        by_addr.push(Entry { addr, size: symbol.size(), name: (offset, len), section, flags });
    }
    by_addr.sort_by_key(|entry| entry.addr);
    Entries { by_addr, by_name: OnceLock::new() }
}

impl<'a> Symtab<'a> {
    pub(super) fn new(entries: &'a Entries, file: &'a [u8]) -> Symtab<'a> {
        Symtab { entries, file }
    }

    /// How many symbols.
    pub fn len(&self) -> usize {
        self.entries.by_addr.len()
    }

    /// Whether the file is stripped.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Every symbol, by address; per-CPU and absolute ones are among the low.
    pub fn iter(&self) -> impl Iterator<Item = Symbol<'a>> + use<'a> {
        let table = *self;
        self.entries.by_addr.iter().map(move |entry| table.symbol(entry))
    }

    /// Every symbol of this name: statics of several files may share one.
    pub fn named(&self, name: &str) -> impl Iterator<Item = Symbol<'a>> + use<'a> {
        let table = *self;
        let order = self.by_name();
        let start = order.partition_point(|&i| table.name_at(i) < name);
        let len = order[start..].partition_point(|&i| table.name_at(i) == name);
        order[start..start + len].iter().map(move |&i| table.at(i))
    }

    /// Symbols whose name starts with `prefix`, by name.
    pub fn prefixed(&self, prefix: &str) -> impl Iterator<Item = Symbol<'a>> + use<'a> {
        let table = *self;
        let order = self.by_name();
        let start = order.partition_point(|&i| table.name_at(i) < prefix);
        let len = order[start..].partition_point(|&i| table.name_at(i).starts_with(prefix));
        order[start..start + len].iter().map(move |&i| table.at(i))
    }

    /// The symbol that names `addr` best: the last that starts at or before
    /// it, among several at one address a function before data, a global
    /// before a local, a sized one before a label, and then the shortest
    /// name. A symbol without a size counts only where no sized one holds the
    /// address: labels inside a function do not name its code. It reaches to
    /// the next one, but not over more than a page; nothing is named past the
    /// end of the last sized symbol by that or by one before it. Per-CPU and absolute symbols name no address.
    pub fn at_addr(&self, addr: FileAddr) -> Option<Symbol<'a>> {
        /// Nested and padded symbols are few in a row; this only bounds the
        /// walk back over hostile tables.
        const WALK: usize = 64;
        /// How far a symbol without a size reaches at most; only padding and
        /// the rest of a section is further from the next symbol.
        const REACH: u64 = 0x1000;
        let entries = &self.entries.by_addr;
        let end = entries.partition_point(|entry| entry.addr <= addr.0);
        let moves = |entry: &&Entry| entry.flags & (PER_CPU | ABSOLUTE) == 0;
        let near = || entries[..end].iter().rev().take(WALK).filter(moves);
        // A label inside a symbol with a size ends with it.
        let ends = near().map(|entry| entry.addr.saturating_add(entry.size));
        let ended = ends.filter(|&end| end <= addr.0).max().unwrap_or(0);
        let inside = |entry: &Entry| match entry.size {
            0 => entry.addr >= ended && addr.0 - entry.addr < REACH,
            size => addr.0 - entry.addr < size,
        };
        let nearest = |sized: bool| {
            let mut best: Option<&Entry> = None;
            for entry in near().filter(|entry| (entry.size != 0) == sized) {
                if best.is_some_and(|best| best.addr != entry.addr) {
                    break;
                }
                if inside(entry) && best.is_none_or(|best| self.rank(entry) > self.rank(best)) {
                    best = Some(entry);
                }
            }
            best
        };
        // Labels inside a function are no functions (SYM_INNER_LABEL).
        let best = nearest(true).or_else(|| nearest(false));
        best.map(|entry| self.symbol(entry))
    }

    fn rank(&self, entry: &Entry) -> (bool, bool, bool, std::cmp::Reverse<usize>) {
        (
            entry.flags & FUNCTION != 0,
            entry.size != 0,
            entry.flags & GLOBAL != 0,
            std::cmp::Reverse(entry.name.1.into()),
        )
    }

    fn by_name(&self) -> &'a [u32] {
        self.entries.by_name.get_or_init(|| {
            // The first eight bytes decide most comparisons, without a jump
            // to the text of both names.
            let keyed = |index: u32| {
                let mut head = [0; 8];
                let name = self.name_at(index).as_bytes();
                let len = name.len().min(8);
                head[..len].copy_from_slice(&name[..len]);
                (u64::from_be_bytes(head), index)
            };
            let mut order: Vec<(u64, u32)> =
                (0..self.entries.by_addr.len() as u32).map(keyed).collect();
            order.sort_unstable_by(|a, b| {
                let names = || self.name_at(a.1).cmp(self.name_at(b.1));
                a.0.cmp(&b.0).then_with(names).then(a.1.cmp(&b.1))
            });
            order.into_iter().map(|(_, index)| index).collect()
        })
    }

    fn at(&self, index: u32) -> Symbol<'a> {
        self.symbol(&self.entries.by_addr[index as usize])
    }

    fn name_at(&self, index: u32) -> &'a str {
        self.name(&self.entries.by_addr[index as usize])
    }

    fn name(&self, entry: &Entry) -> &'a str {
        let start = entry.name.0 as usize;
        let bytes = self.file.get(start..start + usize::from(entry.name.1));
        bytes.and_then(|bytes| std::str::from_utf8(bytes).ok()).unwrap_or("?")
    }

    fn symbol(&self, entry: &Entry) -> Symbol<'a> {
        let place = match entry.flags {
            flags if flags & PER_CPU != 0 => Place::PerCpu,
            flags if flags & ABSOLUTE != 0 => Place::Absolute,
            _ => Place::Section(entry.section),
        };
        Symbol {
            name: self.name(entry),
            addr: FileAddr(entry.addr),
            size: entry.size,
            function: entry.flags & FUNCTION != 0,
            global: entry.flags & GLOBAL != 0,
            place,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A table of (address, size, name, flags); names are packed in one text.
    fn table(symbols: &[(u64, u64, &str, u8)]) -> (Entries, Vec<u8>) {
        let mut file = Vec::new();
        let mut by_addr = Vec::new();
        for &(addr, size, name, flags) in symbols {
            let name_at = (file.len() as u32, name.len() as u16);
            file.extend(name.as_bytes());
            by_addr.push(Entry { addr, size, name: name_at, section: 1, flags });
        }
        by_addr.sort_by_key(|entry| entry.addr);
        (Entries { by_addr, by_name: OnceLock::new() }, file)
    }

    #[test]
    fn an_address_is_named_by_the_best_symbol_that_reaches_it() {
        let (entries, file) = table(&[
            (0x100, 0x40, "__pfx_sys_read", FUNCTION),
            (0x100, 0x40, "sys_read", FUNCTION | GLOBAL),
            (0x100, 0, "label", GLOBAL),
            (0x120, 4, "inner", 0),
            (0x200, 0, "open_ended", 0),
            (0x5000, 8, "data", GLOBAL),
            (0x130, 9, "per_cpu", PER_CPU | GLOBAL),
            (0x138, 9, "number", ABSOLUTE | GLOBAL),
        ]);
        let table = Symtab::new(&entries, &file);
        let name = |addr| table.at_addr(FileAddr(addr)).map(|symbol| symbol.name);
        assert_eq!(name(0xff), None);
        assert_eq!(name(0x100), Some("sys_read"), "a global function");
        assert_eq!(name(0x121), Some("inner"));
        assert_eq!(name(0x124), Some("sys_read"), "around the inner one");
        assert_eq!(name(0x13f), Some("sys_read"), "not a number or an offset");
        assert_eq!(name(0x140), None, "past its end");
        assert_eq!(name(0x210), Some("open_ended"));
        assert_eq!(name(0x1200), None, "no symbol reaches that far");
        assert_eq!(name(0x5008), None);
        assert_eq!(table.at_addr(FileAddr(u64::MAX)), None);
    }

    #[test]
    fn names_are_found_whole_and_by_their_start() {
        let (entries, file) = table(&[
            (3, 0, "vfs_read_long_name_b", 0),
            (1, 0, "vfs_read_long_name_a", 0),
            (2, 0, "vfs_read", 0),
            (4, 0, "vfs_read", PER_CPU),
            (5, 0, "", 0),
        ]);
        let table = Symtab::new(&entries, &file);
        let named: Vec<Symbol<'_>> = table.named("vfs_read").collect();
        assert_eq!(named.iter().map(|s| s.addr.0).collect::<Vec<_>>(), [2, 4]);
        assert_eq!(named[1].place, Place::PerCpu);
        let prefixed: Vec<&str> = table.prefixed("vfs_read_").map(|s| s.name).collect();
        assert_eq!(prefixed, ["vfs_read_long_name_a", "vfs_read_long_name_b"]);
        assert_eq!(table.named("vfs").count(), 0);
        assert_eq!(table.prefixed("w").count(), 0);
    }
}
