//! Debug info that is not in the file itself: `.dwo` files beside the objects
//! (`-gsplit-dwarf`, CONFIG_DEBUG_INFO_SPLIT), a `.dwp` package of them, and
//! the file that `dwz -m` moved common parts into.
//!
//! The file keeps a skeleton of each unit: its code, its lines, and the name
//! of the `.dwo`. What is not found is counted, for one clear message.

use crate::{
    image::file::Image,
    symbols::dwarf::{
        reader::{Sections, Slice, view},
        roots::{Found, found_in},
    },
};
use gimli::{DwarfPackage, DwoId, EndianSlice, LittleEndian, SectionId};
use rustc_hash::FxHashMap;
use std::{
    path::{Path, PathBuf},
    sync::Arc,
};

/// One `.dwo`, or the part of a package that stands for one.
#[derive(Clone, Debug)]
pub(in crate::symbols) struct Split {
    image: Arc<Image>,
    sections: Arc<Sections>,
    row: Row,
}

/// Which part of a file.
#[derive(Clone, Copy, Debug)]
enum Row {
    /// All of it: a `.dwo`.
    Whole,
    /// The unit of this id in a package.
    Unit(u64),
    /// A unit of a type in a package, by its row.
    Type(u32),
}

impl Split {
    /// The DWARF of it. `parent` is the file that has the skeleton.
    pub fn dwarf<'a>(
        &'a self,
        parent: &gimli::Dwarf<Slice<'a>>,
    ) -> Option<gimli::Dwarf<Slice<'a>>> {
        match self.row {
            Row::Whole => {
                let mut dwarf = view(&self.image, &self.sections);
                dwarf.make_dwo(parent);
                Some(dwarf)
            }
            Row::Unit(id) => self.package()?.find_cu(DwoId(id), parent).ok()?,
            Row::Type(row) => self.package()?.tu_sections(row, parent).ok(),
        }
    }

    /// A `.dwo` is not linked, so each unit of a type is in a section of its
    /// own, all of one name: each of these as one to be read.
    pub fn parts(&self) -> Vec<Split> {
        if !matches!(self.row, Row::Whole) {
            return vec![self.clone()];
        }
        let mut out = Vec::new();
        for (place, section) in self.image.sections().iter().enumerate() {
            let id = match section.name.as_str() {
                ".debug_info.dwo" => SectionId::DebugInfo,
                ".debug_types.dwo" => SectionId::DebugTypes,
                _ => continue,
            };
            let sections = Arc::new(self.sections.with_units_at(id, place));
            out.push(Split { image: self.image.clone(), sections, row: self.row });
        }
        out
    }

    fn package(&self) -> Option<DwarfPackage<Slice<'_>>> {
        package(&self.image, &self.sections)
    }
}

fn package<'a>(image: &'a Image, sections: &Sections) -> Option<DwarfPackage<Slice<'a>>> {
    let section = |id| Ok::<_, gimli::Error>(sections.data(image, id));
    DwarfPackage::load(section, EndianSlice::new(&[], LittleEndian)).ok()
}

/// The units of a `.dwo`'s DWARF.
pub(in crate::symbols) fn units_of<'a>(dwarf: &gimli::Dwarf<Slice<'a>>) -> Vec<Found<'a>> {
    found_in(Path::new(""), dwarf).unwrap_or_default()
}

/// What a skeleton says of its unit.
#[derive(Clone, Debug, Default)]
pub(in crate::symbols) struct Skeleton {
    pub id: Option<u64>,
    pub name: String,
    pub comp_dir: Option<String>,
}

/// Where the parts of a file are looked for.
pub(in crate::symbols) struct Finder {
    beside: PathBuf,
    package: Option<(Arc<Image>, Arc<Sections>)>,
}

impl Finder {
    /// For the parts of `image`.
    pub fn new(image: &Image) -> Finder {
        let mut package = image.path().as_os_str().to_owned();
        package.push(".dwp");
        let package = Image::open(Path::new(&package)).ok().map(|image| {
            let sections = Sections::of(&image, true);
            (Arc::new(image), Arc::new(sections))
        });
        let beside = image.path().parent().unwrap_or(Path::new("")).to_owned();
        Finder { beside, package }
    }

    /// The part of a skeleton: in the package, where the compiler put it, or
    /// next to the file.
    pub fn find(&self, skeleton: &Skeleton) -> Option<Split> {
        if let (Some((image, sections)), Some(id)) = (&self.package, skeleton.id)
            && package(image, sections).is_some_and(|package| package.cu_index.find(id).is_some())
        {
            let (image, sections) = (image.clone(), sections.clone());
            return Some(Split { image, sections, row: Row::Unit(id) });
        }
        let name = Path::new(&skeleton.name);
        let dir = skeleton.comp_dir.as_deref().unwrap_or_default();
        let last = name.file_name().map(Path::new).unwrap_or(name);
        let places = [Path::new(dir).join(name), self.beside.join(name), self.beside.join(last)];
        let image = places.iter().find_map(|path| Image::open(path).ok())?;
        let sections = Arc::new(Sections::of(&image, true));
        Some(Split { image: Arc::new(image), sections, row: Row::Whole })
    }

    /// The units of types in the package.
    pub fn types(&self) -> Vec<Split> {
        let Some((image, sections)) = &self.package else { return Vec::new() };
        let count = package(image, sections).map_or(0, |package| package.tu_index.unit_count());
        let row =
            |row| Split { image: image.clone(), sections: sections.clone(), row: Row::Type(row) };
        (1..=count).map(row).collect()
    }
}

/// What is not there, and how it is told.
#[derive(Debug, Default)]
pub(in crate::symbols) struct Missing {
    /// Units whose part was not found, and one of their files.
    split: Option<(usize, PathBuf)>,
    /// How many units have a part elsewhere.
    of: usize,
    /// The file of common parts.
    common: Option<PathBuf>,
}

impl Missing {
    /// A unit has its part elsewhere.
    pub fn note(&mut self, skeleton: &Skeleton, found: bool) {
        self.of += 1;
        if !found {
            let dir = skeleton.comp_dir.as_deref().unwrap_or_default();
            let path = || Path::new(dir).join(&skeleton.name);
            self.split.get_or_insert_with(|| (0, path())).0 += 1;
        }
    }

    /// The file of common parts is not there.
    pub fn note_common(&mut self, path: PathBuf) {
        self.common = Some(path);
    }

    /// In words; `None` when everything is there.
    pub fn told(&self, path: &Path) -> Option<String> {
        let path = path.display();
        let split = self.split.as_ref().map(|(count, example)| {
            format!(
                "{count} of {} units of {path} have their debug info in .dwo files that are not there, e.g. {}; they have lines, but no variables, types or inlined calls. Copy them to that place or beside {path}, or make {path}.dwp of them",
                self.of,
                example.display()
            )
        });
        let common = self.common.as_ref().map(|common| {
            format!(
                "{path} shares debug info with other files in {} (made by dwz), which is not there; types and names that are in it are missing. Install it with the debug package, or copy it to that place",
                common.display()
            )
        });
        match (split, common) {
            (Some(split), Some(common)) => Some(format!("{split}. {common}")),
            (one, other) => one.or(other),
        }
    }
}

/// The file of common parts that `.gnu_debugaltlink` names (a path and a
/// build-id): `None` without the section, `Err` with the path when it is not
/// there or of another build.
pub(in crate::symbols) fn common(image: &Image) -> Option<Result<Image, PathBuf>> {
    let link = image.section_data(".gnu_debugaltlink")?;
    let end = link.iter().position(|&byte| byte == 0)?;
    let (name, id) = (String::from_utf8_lossy(&link[..end]).into_owned(), &link[end + 1..]);
    // Relative to the file, through symbolic links, as gdb has it.
    let real = image.path().canonicalize().unwrap_or(image.path().to_owned());
    let path = real.parent().unwrap_or(Path::new("")).join(&name);
    let found = Image::open(&path).ok().filter(|common| common.build_id() == Some(id));
    Some(found.ok_or(path))
}

/// Text of names that are in no section of the file itself, each once.
#[derive(Default)]
pub(in crate::symbols) struct Pool {
    text: Vec<u8>,
    places: FxHashMap<Box<[u8]>, u32>,
}

impl Pool {
    /// Where the text is, which ends in a zero there.
    pub fn place(&mut self, text: &[u8]) -> Option<u32> {
        if let Some(&place) = self.places.get(text) {
            return Some(place);
        }
        let place = u32::try_from(self.text.len()).ok()?;
        self.text.extend_from_slice(text);
        self.text.push(0);
        self.places.insert(text.into(), place);
        Some(place)
    }

    /// All of it.
    pub fn into_text(self) -> Vec<u8> {
        self.text
    }
}
