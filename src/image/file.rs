//! One ELF file: what it is, its sections, its bytes.

use crate::{
    arch::{Arch, x86_64::X86_64},
    base::addr::FileAddr,
    image::{
        ImageError, layout, notes,
        open::{self, Bytes},
        symtab::{self, Symtab},
        text::Outside,
        wanted,
    },
};
use object::{
    LittleEndian, Object as _, ObjectSection as _, SectionFlags, elf,
    read::elf::{ElfFile64, FileHeader as _},
};
use rustc_hash::FxHashMap;
use std::{
    collections::VecDeque,
    path::{Path, PathBuf},
    sync::{OnceLock, atomic::AtomicBool},
};

/// What the linker made of it (`e_type`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Linked for fixed addresses: vmlinux.
    Executable,
    /// Position-independent: a vDSO, or a vmlinux of an architecture that
    /// links it so.
    Shared,
    /// Not linked: a module.
    Relocatable,
}

/// No section of debug info is larger when it is unpacked.
const MOST_IN_SECTION: u64 = 4 << 30;

/// One section.
#[derive(Clone, Debug)]
pub struct Section {
    /// Its name; one packed in GNU's old way (`.zdebug_info`) has the name of
    /// what comes out of it (`.debug_info`).
    pub name: String,
    /// Where it starts. For a module: in the made-up layout of
    /// [`layout`]; zero for what is not loaded.
    pub addr: FileAddr,
    /// Its size in memory, in bytes.
    pub size: u64,
    /// What its address is a multiple of, a power of two; 0 and 1 are the same.
    pub align: u64,
    /// It is loaded (`SHF_ALLOC`).
    pub alloc: bool,
    /// It holds code (`SHF_EXECINSTR`).
    pub exec: bool,
    /// It may be written (`SHF_WRITE`).
    pub write: bool,
    /// It holds texts that end with a NUL, and nothing else (`SHF_STRINGS`).
    pub strings: bool,
    /// Where its bytes are in the file; `None` for `.bss` and the like, and
    /// for compressed sections.
    pub(super) range: Option<(u64, u64)>,
    /// The contents need work before use: compressed, or relocated.
    pub(super) cooked: bool,
}

impl Section {
    /// Whether `addr` is inside.
    pub fn contains(&self, addr: FileAddr) -> bool {
        self.alloc && addr.0.wrapping_sub(self.addr.0) < self.size
    }

    /// Whether the file has no bytes of it.
    fn empty(&self) -> bool {
        self.range.is_none() && !self.cooked
    }
}

/// An ELF file, mapped. Cheap to open: a vmlinux of 633 MB takes 0.1 ms.
pub struct Image {
    path: PathBuf,
    bytes: Bytes,
    kind: Kind,
    sections: Vec<Section>,
    /// By section: contents that had to be decompressed or relocated, made at
    /// the first question.
    cooked: Vec<OnceLock<Option<Vec<u8>>>>,
    build_id: Option<Vec<u8>>,
    symbols: OnceLock<symtab::Entries>,
    /// The file with the bytes of loaded sections, where this one has debug
    /// info only.
    body: Option<Box<Image>>,
    remarks: Vec<String>,
    /// A module's code with its calls to the outside.
    pub(super) outside: OnceLock<Outside>,
}

impl Image {
    /// Opens `path`, and no other file: an x86_64 vmlinux or module, which may
    /// be packed. [`pair::open`](super::pair::open) also finds the other half
    /// of a file whose debug info was split off.
    pub fn open(path: &Path) -> Result<Image, ImageError> {
        Image::open_until(path, &AtomicBool::new(false))
    }

    /// Like [`Image::open`]. A packed file is unpacked into memory, which may
    /// take a while; setting `cancel` ends that.
    pub fn open_until(path: &Path, cancel: &AtomicBool) -> Result<Image, ImageError> {
        let map = open::read(path, cancel)?;
        let kind = check_header(path, &map)?;
        let damaged = |why: object::Error| ImageError::Damaged {
            path: path.to_owned(),
            why: why.to_string(),
        };
        let elf = parse(&map).map_err(damaged)?;
        let mut sections = Vec::new();
        let mut aligns = Vec::new();
        for section in elf.elf_section_table().iter().enumerate().map(|(i, _)| i) {
            let index = object::SectionIndex(section);
            // The null section keeps its place, so that indexes agree.
            let Ok(section) = elf.section_by_index(index) else {
                sections.push(Section::null());
                aligns.push(1);
                continue;
            };
            sections.push(read_section(path, &map, &section)?);
            aligns.push(section.align());
        }
        if kind == Kind::Relocatable {
            layout::assign(&mut sections, &aligns);
            for index in layout::relocated_sections(&elf) {
                // A half with debug info only keeps relocations of what it lacks.
                if let Some(section) = sections.get_mut(index).filter(|s| s.range.is_some()) {
                    section.cooked = true;
                }
            }
        }
        drop(elf);
        let cooked = sections.iter().map(|_| OnceLock::new()).collect();
        let mut image = Image {
            path: path.to_owned(),
            bytes: map,
            kind,
            sections,
            cooked,
            build_id: None,
            symbols: OnceLock::new(),
            body: None,
            remarks: Vec::new(),
            outside: OnceLock::new(),
        };
        image.build_id = image.find_build_id();
        Ok(image)
    }

    /// The file it came from: of two halves the one with the debug info.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The other half, which has the bytes of loaded sections.
    pub fn body(&self) -> Option<&Image> {
        self.body.as_deref()
    }

    /// What was noticed while the other half was looked for, a sentence each.
    pub fn remarks(&self) -> &[String] {
        &self.remarks
    }

    pub(super) fn remark(&mut self, remarks: Vec<String>) {
        self.remarks.extend(remarks);
    }

    /// Takes the bytes of loaded sections from `body`, whose sections are put
    /// where those of this file are.
    pub(super) fn take_body(&mut self, mut body: Image) {
        // Several sections may have one name; they keep their order.
        let mut homes: FxHashMap<&str, VecDeque<FileAddr>> = FxHashMap::default();
        for own in self.sections.iter().filter(|own| own.alloc) {
            homes.entry(&own.name).or_default().push_back(own.addr);
        }
        for section in body.sections.iter_mut().filter(|section| section.alloc) {
            let same = homes.get_mut(section.name.as_str());
            section.addr = same.and_then(VecDeque::pop_front).unwrap_or(section.addr);
        }
        self.body = Some(Box::new(body));
    }

    /// How many bytes it has, unpacked: a measure of how long loading takes.
    pub fn size(&self) -> u64 {
        self.bytes.len() as u64
    }

    /// The contents of the file, unpacked.
    pub(super) fn raw(&self) -> &[u8] {
        &self.bytes
    }

    /// The name of the file with the debug info, and its CRC-32
    /// (`.gnu_debuglink`; "Separate Debug Files" in gdb's manual).
    pub(super) fn debug_link(&self) -> Option<(PathBuf, u32)> {
        use std::os::unix::ffi::OsStrExt as _;
        let elf = parse(&self.bytes).ok()?;
        let (name, crc) = elf.gnu_debuglink().ok()??;
        let name = Path::new(std::ffi::OsStr::from_bytes(name));
        // A link names a file, never a way to one.
        Some((name.file_name()?.into(), crc))
    }

    /// Whether its loaded sections have no bytes: they were split off, and this
    /// is the half with the debug info.
    pub fn is_debug_only(&self) -> bool {
        let mut code = self.sections.iter().filter(|s| s.alloc && s.exec && s.size > 0).peekable();
        code.peek().is_some() && code.all(|s| s.range.is_none() && !s.cooked)
    }

    /// The sections that take work before they can be used (unpacking,
    /// relocating), among those that debug info is read from. Asking for their
    /// contents from several threads spreads the work.
    pub fn debug_sections_to_cook(&self) -> Vec<&str> {
        let debug = |s: &&Section| s.cooked && s.name.starts_with(".debug_");
        self.sections.iter().filter(debug).map(|s| s.name.as_str()).collect()
    }

    /// What the linker made of it.
    pub fn kind(&self) -> Kind {
        self.kind
    }

    /// The build-id, which names this very build.
    pub fn build_id(&self) -> Option<&[u8]> {
        self.build_id.as_deref()
    }

    /// The architecture. Files of others are refused at [`Image::open`].
    pub fn arch(&self) -> &'static Arch {
        &X86_64
    }

    /// Every section, by ELF index; the first is the null section.
    pub fn sections(&self) -> &[Section] {
        &self.sections
    }

    /// The section of this name.
    pub fn section(&self, name: &str) -> Option<&Section> {
        self.sections.iter().find(|section| section.name == name)
    }

    /// The loaded section that holds `addr`. Sections that start at zero in a
    /// linked file are per-CPU data, which is not at that address; they are
    /// not found here.
    pub fn section_at(&self, addr: FileAddr) -> Option<&Section> {
        self.sections.iter().find(|section| section.contains(addr) && section.addr.0 != 0)
    }

    /// The contents of a section, decompressed, and for a module relocated to
    /// its made-up layout. `None` for a section that is absent or has no
    /// bytes in the file. The first question does the work; it is kept.
    pub fn section_data(&self, name: &str) -> Option<&[u8]> {
        self.section_data_at(self.sections.iter().position(|section| section.name == name)?)
    }

    /// The same by the section's place in [`Image::sections`].
    pub fn section_data_at(&self, index: usize) -> Option<&[u8]> {
        let section = self.sections.get(index)?;
        if let Some(body) = self.body.as_deref().filter(|_| section.alloc && section.empty()) {
            return body.section_data(&section.name);
        }
        if !section.cooked {
            return self.range(section.range?);
        }
        self.cooked[index].get_or_init(|| self.cook(index)).as_deref()
    }

    /// The symbol table, sorted by address. The first question reads it.
    pub fn symbols(&self) -> Symtab<'_> {
        let entries = self.symbols.get_or_init(|| match parse(&self.bytes) {
            Ok(elf) => symtab::read(&elf, &self.sections, self.kind),
            Err(_) => symtab::Entries::default(),
        });
        Symtab::new(entries, &self.bytes)
    }

    /// Whether there is DWARF to load.
    pub fn has_dwarf(&self) -> bool {
        self.section(".debug_info").is_some_and(|section| section.size > 0)
    }

    /// `len` bytes as the file has them at `addr`: code and constants before
    /// any patching by the guest; a module's are not relocated. `None` when
    /// they are not all in one section of the file.
    pub fn file_bytes(&self, addr: FileAddr, len: usize) -> Option<&[u8]> {
        let section = self.section_at(addr)?;
        if let Some(body) = self.body.as_deref().filter(|_| section.empty()) {
            return body.file_bytes(addr, len);
        }
        let start = usize::try_from(addr.0.wrapping_sub(section.addr.0)).ok()?;
        self.range(section.range?)?.get(start..start.checked_add(len)?)
    }

    /// Bytes of the file.
    pub fn file_size(&self) -> u64 {
        self.bytes.len() as u64
    }

    /// The file, parsed.
    pub(super) fn elf(&self) -> Option<Elf<'_>> {
        parse(&self.bytes).ok()
    }

    fn range(&self, (offset, size): (u64, u64)) -> Option<&[u8]> {
        let end = offset.checked_add(size)?;
        self.bytes.get(usize::try_from(offset).ok()?..usize::try_from(end).ok()?)
    }

    fn cook(&self, index: usize) -> Option<Vec<u8>> {
        let elf = parse(&self.bytes).ok()?;
        let section = elf.section_by_index(object::SectionIndex(index)).ok()?;
        let data = section.compressed_data().ok()?;
        // A section can't expand more than a thousandfold (deflate's limit, and
        // debug info is far from zstd's); a header that claims more is hostile.
        if data.uncompressed_size / 1100 > self.bytes.len() as u64
            || data.uncompressed_size > MOST_IN_SECTION
        {
            return None;
        }
        let mut data = data.decompress().ok()?.into_owned();
        if self.kind == Kind::Relocatable {
            layout::relocate(&elf, &section, &self.sections, &mut data);
        }
        Some(data)
    }

    fn find_build_id(&self) -> Option<Vec<u8>> {
        let notes = self.sections.iter().filter(|s| s.name.contains("note"));
        let bytes = notes.filter_map(|section| self.range(section.range?));
        bytes.filter_map(notes::build_id_of).next().map(<[u8]>::to_vec)
    }
}

impl std::fmt::Debug for Image {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Image({})", self.path.display())
    }
}

impl Section {
    fn null() -> Section {
        Section {
            name: String::new(),
            addr: FileAddr(0),
            size: 0,
            align: 0,
            alloc: false,
            exec: false,
            write: false,
            strings: false,
            range: None,
            cooked: false,
        }
    }
}

pub(super) type Elf<'a> = ElfFile64<'a, LittleEndian>;

fn parse(bytes: &[u8]) -> object::Result<Elf<'_>> {
    Elf::parse(bytes)
}

/// Checks the ELF header by itself, for messages that say what to do.
fn check_header(path: &Path, bytes: &[u8]) -> Result<Kind, ImageError> {
    if !bytes.starts_with(&elf::ELFMAG) {
        return Err(wanted::not_elf(path, bytes));
    }
    let unsupported =
        |what: &str| ImageError::Unsupported { path: path.to_owned(), what: what.to_owned() };
    match (bytes.get(4), bytes.get(5)) {
        (Some(1), _) => return Err(unsupported("a 32-bit ELF file")),
        (_, Some(2)) => return Err(unsupported("a big-endian ELF file")),
        _ => {}
    }
    let truncated = |part: &str, end: u64| ImageError::Truncated {
        path: path.to_owned(),
        part: part.to_owned(),
        end,
        len: bytes.len() as u64,
    };
    let Ok(header) = elf::FileHeader64::<LittleEndian>::parse(bytes) else {
        return Err(match bytes.len() < 64 {
            true => truncated("the ELF header", 64),
            false => unsupported("an ELF file of an unknown version"),
        });
    };
    let endian = LittleEndian;
    let machine = header.e_machine(endian);
    if machine != elf::EM_X86_64 {
        return Err(unsupported(&match machine {
            elf::EM_AARCH64 => "for arm64".to_owned(),
            elf::EM_RISCV => "for RISC-V".to_owned(),
            other => format!("for another machine ({})", other.0),
        }));
    }
    let kind = match header.e_type(endian) {
        elf::ET_EXEC => Kind::Executable,
        elf::ET_DYN => Kind::Shared,
        elf::ET_REL => Kind::Relocatable,
        elf::ET_CORE => return Err(unsupported("a core dump")),
        _ => return Err(unsupported("an ELF file of an unknown type")),
    };
    let entries = u64::from(header.e_shnum.get(endian)) * 64;
    let end = header.e_shoff(endian).saturating_add(entries);
    if end > bytes.len() as u64 {
        return Err(truncated("the section table", end));
    }
    Ok(kind)
}

fn read_section(
    path: &Path,
    bytes: &[u8],
    section: &object::read::elf::ElfSection<'_, '_, elf::FileHeader64<LittleEndian>>,
) -> Result<Section, ImageError> {
    let name = String::from_utf8_lossy(section.name_bytes().unwrap_or_default()).into_owned();
    let range = section.file_range();
    if let Some((offset, size)) = range
        && offset.saturating_add(size) > bytes.len() as u64
    {
        return Err(ImageError::Truncated {
            path: path.to_owned(),
            part: format!("section {name}"),
            end: offset.saturating_add(size),
            len: bytes.len() as u64,
        });
    }
    let SectionFlags::Elf { sh_flags, .. } = section.flags() else { return Ok(Section::null()) };
    let has = |flag: elf::SectionFlags| sh_flags.0 & flag.0 != 0;
    let old_style = name.strip_prefix(".zdebug_").map(|rest| format!(".debug_{rest}"));
    let packed = has(elf::SHF_COMPRESSED) || old_style.is_some();
    Ok(Section {
        name: old_style.unwrap_or(name),
        addr: FileAddr(section.address()),
        size: section.size(),
        align: section.align(),
        alloc: has(elf::SHF_ALLOC),
        exec: has(elf::SHF_EXECINSTR),
        write: has(elf::SHF_WRITE),
        strings: has(elf::SHF_STRINGS),
        range,
        cooked: packed,
    })
}
