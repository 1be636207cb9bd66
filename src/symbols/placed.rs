//! Images placed in the guest: file addresses to run-time addresses and back.

use crate::{
    base::addr::{Addr, FileAddr},
    image::{
        file::Section,
        symtab::{Place, Symbol},
    },
    symbols::{
        answer::{ImageId, SymbolAt},
        image::DebugImage,
    },
};
use rustc_hash::FxHashMap;
use std::{collections::VecDeque, sync::Arc};

/// The name of the kernel proper among the images.
pub const VMLINUX: &str = "vmlinux";

/// The section of per-CPU variables. Where a module has it is an offset that
/// every CPU adds its own to, so nothing is at that address.
pub const PER_CPU: &str = ".data..percpu";

/// Where the guest has an image.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Placement {
    /// Everything moved by this, modulo 2^64: a vmlinux under KASLR.
    Slide(u64),
    /// Each section by itself: a module. A section that is not listed is not
    /// in the guest (`.init.text` once the module is live).
    Sections(Vec<(String, Addr)>),
}

/// One image and its place.
#[derive(Clone, Debug)]
pub struct Placed {
    /// Its id.
    pub id: ImageId,
    /// `vmlinux`, or the name of the module.
    pub name: String,
    /// The file.
    pub image: Arc<DebugImage>,
    /// Where the guest has it.
    pub placement: Placement,
    /// Loaded sections by run-time address.
    spans: Arc<[SpanOf]>,
}

#[derive(Clone, Copy, Debug)]
struct SpanOf {
    start: Addr,
    file: FileAddr,
    size: u64,
    exec: bool,
}

/// All images of the guest. A value: clones share everything.
#[derive(Clone, Debug, Default)]
pub struct Symbols {
    placed: Arc<Vec<Placed>>,
    next_id: u32,
}

impl Placed {
    fn new(id: ImageId, name: &str, image: Arc<DebugImage>, placement: Placement) -> Placed {
        let mut spans = Vec::new();
        // Several sections may have one name; the guest lists them in the same
        // order, those that it has.
        let mut places: FxHashMap<&str, VecDeque<Addr>> = FxHashMap::default();
        if let Placement::Sections(list) = &placement {
            for (name, addr) in list.iter().filter(|(name, _)| name != PER_CPU) {
                places.entry(name).or_default().push_back(*addr);
            }
        }
        for section in image.image().sections() {
            // Sections at zero in a linked file are per-CPU, at no address.
            if !section.alloc || section.size == 0 || section.addr.0 == 0 {
                continue;
            }
            let start = match &placement {
                Placement::Slide(slide) => Some(Addr(section.addr.0.wrapping_add(*slide))),
                Placement::Sections(_) => {
                    places.get_mut(section.name.as_str()).and_then(VecDeque::pop_front)
                }
            };
            let Some(start) = start else { continue };
            let (file, size, exec) = (section.addr, section.size, section.exec);
            spans.push(SpanOf { start, file, size, exec });
        }
        spans.sort_by_key(|span| span.start);
        Placed { id, name: name.to_owned(), image, placement, spans: spans.into() }
    }

    /// The module's name; `None` for vmlinux.
    pub fn module(&self) -> Option<String> {
        (self.name != VMLINUX).then(|| self.name.clone())
    }

    /// The file address of a run-time address inside a loaded section.
    pub fn file_addr(&self, addr: Addr) -> Option<FileAddr> {
        let after = self.spans.partition_point(|span| span.start <= addr);
        let span = self.spans[..after].last()?;
        let inside = addr.since(span.start);
        (inside < span.size).then(|| FileAddr(span.file.0.wrapping_add(inside)))
    }

    /// The run-time address of a file address inside a loaded section; one
    /// past a section's end is still translated, as an end of ranges. `None`
    /// when the guest does not have it (a module's discarded `.init.text`),
    /// and for per-CPU offsets.
    pub fn runtime(&self, addr: FileAddr) -> Option<Addr> {
        let of = |inclusive: bool| {
            self.spans.iter().find(|span| {
                let inside = addr.0.wrapping_sub(span.file.0);
                inside < span.size || inclusive && inside == span.size
            })
        };
        let span = of(false).or_else(|| of(true))?;
        Some(span.start.offset(addr.0.wrapping_sub(span.file.0)))
    }

    /// A range of file addresses at run time.
    pub(super) fn runtime_range(&self, start: u64, end: u64) -> Option<(Addr, Addr)> {
        let at = self.runtime(FileAddr(start))?;
        Some((at, at.offset(end.wrapping_sub(start))))
    }

    /// Whether the address is in a section of code.
    pub fn is_code(&self, addr: Addr) -> bool {
        self.spans.iter().any(|span| span.exec && addr.since(span.start) < span.size)
    }

    /// Where a symbol is in the guest; per-CPU and absolute ones unslid.
    pub fn symbol_addr(&self, symbol: &Symbol<'_>) -> Option<Addr> {
        match (symbol.place, &self.placement) {
            (Place::PerCpu | Place::Absolute, _) => Some(Addr(symbol.addr.0)),
            // Labels such as `_end` lie past every section.
            (Place::Section(_), Placement::Slide(slide)) => {
                Some(Addr(symbol.addr.0.wrapping_add(*slide)))
            }
            (Place::Section(_), Placement::Sections(_)) => self.runtime(symbol.addr),
        }
    }
}

impl Symbols {
    /// No image yet: every question has an empty answer.
    pub fn new() -> Symbols {
        Symbols::default()
    }

    /// Adds an image as `vmlinux` or under the name of a module, in place of
    /// one of the same name.
    pub fn place(&mut self, name: &str, image: Arc<DebugImage>, placement: Placement) -> ImageId {
        let id = ImageId(self.next_id);
        self.next_id = self.next_id.wrapping_add(1);
        let placed = Placed::new(id, name, image, placement);
        let list = Arc::make_mut(&mut self.placed);
        list.retain(|other| other.name != name);
        // The kernel first: it answers for most addresses and names.
        match name {
            VMLINUX => list.insert(0, placed),
            _ => list.push(placed),
        }
        id
    }

    /// Puts an image that is known by this name elsewhere. It keeps its id, and
    /// no other image is touched.
    pub fn replace(&mut self, name: &str, placement: Placement) {
        let mut list = Arc::make_mut(&mut self.placed).iter_mut();
        if let Some(placed) = list.find(|placed| placed.name == name) {
            *placed = Placed::new(placed.id, name, placed.image.clone(), placement);
        }
    }

    /// Takes an image out.
    pub fn remove(&mut self, name: &str) {
        Arc::make_mut(&mut self.placed).retain(|placed| placed.name != name);
    }

    /// Every image, vmlinux first.
    pub fn images(&self) -> impl Iterator<Item = &Placed> {
        self.placed.iter()
    }

    /// The image of this name alone, to ask only it.
    pub fn only(&self, name: &str) -> Option<Symbols> {
        let placed = self.placed.iter().find(|placed| placed.name == name)?.clone();
        Some(Symbols { placed: Arc::new(vec![placed]), next_id: self.next_id })
    }

    /// The kernel proper.
    pub fn vmlinux(&self) -> Option<&Placed> {
        self.placed.first().filter(|placed| placed.name == VMLINUX)
    }

    /// The image of this id, unless it was taken out.
    pub fn image(&self, id: ImageId) -> Option<&Placed> {
        self.placed.iter().find(|placed| placed.id == id)
    }

    /// Moves vmlinux to the slide that was found out. Its id stays, so what
    /// was asked of its types still holds.
    pub fn set_slide(&mut self, slide: u64) {
        self.replace(VMLINUX, Placement::Slide(slide));
    }

    /// The image that has `addr`, and the address in its file.
    pub(super) fn locate(&self, addr: Addr) -> Option<(&Placed, FileAddr)> {
        self.placed.iter().find_map(|placed| Some((placed, placed.file_addr(addr)?)))
    }

    /// The run-time address of an address in the file of `image`, as
    /// `DW_OP_addr` has it. Per-CPU offsets are given back as they are.
    pub fn runtime_of(&self, image: ImageId, addr: FileAddr) -> Option<Addr> {
        let placed = self.image(image)?;
        if let Some(at) = placed.runtime(addr) {
            return Some(at);
        }
        let sections = placed.image.image().sections();
        match &placed.placement {
            Placement::Slide(_) => {
                let offset = |section: &Section| section.addr.0 == 0 && section.contains(addr);
                sections.iter().any(offset).then_some(Addr(addr.0))
            }
            Placement::Sections(list) => {
                let own = |section: &&Section| section.name == PER_CPU && section.contains(addr);
                let section = sections.iter().find(own)?;
                let (_, base) = list.iter().find(|(name, _)| name == PER_CPU)?;
                Some(base.offset(addr.0.wrapping_sub(section.addr.0)))
            }
        }
    }

    /// Whether an address in the file of `image` is of a per-CPU variable,
    /// which every CPU has a copy of elsewhere.
    pub fn is_per_cpu(&self, image: ImageId, addr: FileAddr) -> bool {
        let sections = self.image(image).map(|placed| placed.image.image().sections());
        let per_cpu = |section: &Section| section.name == PER_CPU && section.contains(addr);
        sections.is_some_and(|sections| sections.iter().any(per_cpu))
    }

    /// The image that has `addr`, and the name of the section it is in there.
    pub fn section_at(&self, addr: Addr) -> Option<(&Placed, &str)> {
        let (placed, file) = self.locate(addr)?;
        Some((placed, &placed.image.image().section_at(file)?.name))
    }

    /// The symbol that holds `addr`: a function before data, a global before
    /// a local. `None` outside every image and in the gaps inside them.
    pub fn symbol_at(&self, addr: Addr) -> Option<SymbolAt> {
        let (placed, file) = self.locate(addr)?;
        let image = placed.image.image();
        let symbol = image.symbols().at_addr(file)?;
        // A label without a size reaches to the end of its section at most.
        let section = image.section_at(file)?;
        if symbol.addr < section.addr {
            return None;
        }
        Some(SymbolAt {
            name: symbol.name.to_owned(),
            start: addr.back(file.0 - symbol.addr.0),
            size: symbol.size,
            module: placed.module(),
        })
    }

    /// Every symbol that starts where the one that names `addr` best starts,
    /// the best first, and the name of the section. Per-CPU offsets are found
    /// too.
    pub fn symbols_at(&self, addr: Addr) -> Option<(Vec<SymbolAt>, String)> {
        let (placed, start, best) = match self.locate(addr) {
            Some((placed, file)) => {
                let best = self.symbol_at(addr)?;
                (placed, file.0 - addr.since(best.start), best)
            }
            None => {
                let placed = self.vmlinux()?;
                let per_cpu = |symbol: &Symbol<'_>| {
                    symbol.place == Place::PerCpu
                        && addr.0.wrapping_sub(symbol.addr.0) < symbol.size.max(1)
                };
                let symbol = placed.image.image().symbols().iter().find(per_cpu)?;
                let (name, start, size) = (symbol.name.to_owned(), symbol.addr.0, symbol.size);
                (placed, start, SymbolAt { name, start: Addr(start), size, module: None })
            }
        };
        let image = placed.image.image();
        let mut out = vec![best.clone()];
        for symbol in image.symbols().iter() {
            if symbol.addr.0 != start || symbol.name == best.name || symbol.place == Place::Absolute
            {
                continue;
            }
            let (name, size) = (symbol.name.to_owned(), symbol.size);
            out.push(SymbolAt { name, size, ..best.clone() });
        }
        let section = image.sections().iter().find(|section| section.contains(FileAddr(start)))?;
        Some((out, section.name.clone()))
    }

    /// What an image's file has at `addr`. The guest may have changed it: see
    /// alternatives, ftrace, jump labels.
    pub fn file_bytes(&self, addr: Addr, len: usize) -> Option<&[u8]> {
        let (placed, _) = self.section_at(addr)?;
        placed.image.image().file_bytes(placed.file_addr(addr)?, len)
    }

    /// `addr` in words: `vfs_read+0x10`, `HgfsSendRequest [hgfs]`.
    pub fn describe(&self, addr: Addr) -> Option<String> {
        let symbol = self.symbol_at(addr)?;
        let mut text = symbol.name;
        let offset = addr.since(symbol.start);
        if offset != 0 {
            text.push_str(&format!("+0x{offset:x}"));
        }
        if let Some(module) = symbol.module {
            text.push_str(&format!(" [{module}]"));
        }
        Some(text)
    }

    /// The address of an ELF symbol of vmlinux: slid, unless it is absolute
    /// or per-CPU. Among several of one name a global comes first.
    pub fn symbol_addr(&self, name: &str) -> Option<Addr> {
        let placed = self.vmlinux()?;
        placed.symbol_addr(&pick(placed.image.image().symbols().named(name))?)
    }

    /// What to add to a CPU's `__per_cpu_offset` to reach a per-CPU variable
    /// of vmlinux. Kernels up to 6.14 link `.data..percpu` at zero and the
    /// offset is not slid; later ones link it like other data, and it is.
    /// `None` when the symbol is not in a per-CPU section.
    pub fn per_cpu_offset_symbol(&self, name: &str) -> Option<Addr> {
        let placed = self.vmlinux()?;
        let image = placed.image.image();
        let symbol = pick(image.symbols().named(name))?;
        let per_cpu = match symbol.place {
            Place::PerCpu => true,
            Place::Absolute => false,
            Place::Section(index) => image
                .sections()
                .get(usize::from(index))
                .is_some_and(|section| section.name == PER_CPU),
        };
        if per_cpu { placed.symbol_addr(&symbol) } else { None }
    }
}

fn pick<'a>(named: impl Iterator<Item = Symbol<'a>>) -> Option<Symbol<'a>> {
    named.max_by_key(|symbol| (symbol.global, std::cmp::Reverse(symbol.addr)))
}
