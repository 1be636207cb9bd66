//! One ELF file: what it is, its sections, its bytes.

use crate::{
    arch::{Arch, x86_64::X86_64},
    base::addr::FileAddr,
    image::{
        ImageError, layout, notes, open,
        symtab::{self, Symtab},
        text::Outside,
    },
};
use memmap2::Mmap;
use object::{
    LittleEndian, Object as _, ObjectSection as _, SectionFlags, elf,
    read::elf::{ElfFile64, FileHeader as _},
};
use std::{
    path::{Path, PathBuf},
    sync::OnceLock,
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

/// One section.
#[derive(Clone, Debug)]
pub struct Section {
    /// Its name.
    pub name: String,
    /// Where it starts. For a module: in the made-up layout of
    /// [`layout`]; zero for what is not loaded.
    pub addr: FileAddr,
    /// Its size in memory, in bytes.
    pub size: u64,
    /// It is loaded (`SHF_ALLOC`).
    pub alloc: bool,
    /// It holds code (`SHF_EXECINSTR`).
    pub exec: bool,
    /// It may be written (`SHF_WRITE`).
    pub write: bool,
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
}

/// An ELF file, mapped. Cheap to open: a vmlinux of 633 MB takes 0.1 ms.
pub struct Image {
    path: PathBuf,
    map: Mmap,
    kind: Kind,
    sections: Vec<Section>,
    /// By section: contents that had to be decompressed or relocated, made at
    /// the first question.
    cooked: Vec<OnceLock<Option<Vec<u8>>>>,
    build_id: Option<Vec<u8>>,
    symbols: OnceLock<symtab::Entries>,
    /// A module's code with its calls to the outside.
    pub(super) outside: OnceLock<Outside>,
}

impl Image {
    /// Opens `path`: an x86_64 vmlinux or module.
    pub fn open(path: &Path) -> Result<Image, ImageError> {
        let map = open::map(path)?;
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
                if let Some(section) = sections.get_mut(index) {
                    section.cooked = true;
                }
            }
        }
        drop(elf);
        let cooked = sections.iter().map(|_| OnceLock::new()).collect();
        let mut image = Image {
            path: path.to_owned(),
            map,
            kind,
            sections,
            cooked,
            build_id: None,
            symbols: OnceLock::new(),
            outside: OnceLock::new(),
        };
        image.build_id = image.find_build_id();
        Ok(image)
    }

    /// The file it came from.
    pub fn path(&self) -> &Path {
        &self.path
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
        let index = self.sections.iter().position(|section| section.name == name)?;
        let section = &self.sections[index];
        if !section.cooked {
            return self.range(section.range?);
        }
        self.cooked[index].get_or_init(|| self.cook(index)).as_deref()
    }

    /// The symbol table, sorted by address. The first question reads it.
    pub fn symbols(&self) -> Symtab<'_> {
        let entries = self.symbols.get_or_init(|| match parse(&self.map) {
            Ok(elf) => symtab::read(&elf, &self.sections, self.kind),
            Err(_) => symtab::Entries::default(),
        });
        Symtab::new(entries, &self.map)
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
        let start = (addr.0 - section.addr.0) as usize;
        self.range(section.range?)?.get(start..start.checked_add(len)?)
    }

    /// Bytes of the file.
    pub fn file_size(&self) -> u64 {
        self.map.len() as u64
    }

    /// The file, parsed.
    pub(super) fn elf(&self) -> Option<Elf<'_>> {
        parse(&self.map).ok()
    }

    fn range(&self, (offset, size): (u64, u64)) -> Option<&[u8]> {
        let end = offset.checked_add(size)?;
        self.map.get(usize::try_from(offset).ok()?..usize::try_from(end).ok()?)
    }

    fn cook(&self, index: usize) -> Option<Vec<u8>> {
        let elf = parse(&self.map).ok()?;
        let section = elf.section_by_index(object::SectionIndex(index)).ok()?;
        let data = section.compressed_data().ok()?;
        // A section can't expand more than a thousandfold (deflate's limit);
        // a header that claims more is hostile.
        if data.uncompressed_size / 1100 > self.map.len() as u64 {
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
            alloc: false,
            exec: false,
            write: false,
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
        return Err(open::not_elf(path, bytes));
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
        return Err(unsupported(&format!("for another machine ({machine:?})")));
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
    Ok(Section {
        name,
        addr: FileAddr(section.address()),
        size: section.size(),
        alloc: has(elf::SHF_ALLOC),
        exec: has(elf::SHF_EXECINSTR),
        write: has(elf::SHF_WRITE),
        range,
        cooked: has(elf::SHF_COMPRESSED),
    })
}
