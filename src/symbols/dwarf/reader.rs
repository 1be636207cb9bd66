//! Units of DWARF as queries see them: opened for one question, thrown away
//! after it, nothing borrowed across. What is worth keeping between questions
//! (abbreviations, line rows) holds no reference and lives in
//! [`Head`](crate::symbols::dwarf::units::Head).

use crate::{
    image::file::Image,
    symbols::{
        dwarf::units::{Elsewhere, Head, Units},
        image::DebugImage,
    },
};
use gimli::{
    AttributeValue, DebuggingInformationEntry, DwAt, DwTag, EndianSlice, IncompleteLineProgram,
    LittleEndian, Section as _, UnitOffset, UnitType,
};
use rustc_hash::FxHashMap;
use std::{
    cell::{OnceCell, RefCell},
    ops::Deref,
    rc::Rc,
};

/// Bytes of a section, as the DWARF reader wants them.
pub(in crate::symbols) type Slice<'a> = EndianSlice<'a, LittleEndian>;
/// One entry (DIE).
pub(in crate::symbols) type Entry<'a> = DebuggingInformationEntry<Slice<'a>>;
/// The value of one attribute.
pub(in crate::symbols) type Value<'a> = AttributeValue<Slice<'a>>;

/// How many references (`DW_AT_abstract_origin`, `DW_AT_specification`,
/// `DW_AT_type`) are followed in a row; real chains have two or three, a
/// hostile file may have a loop.
pub(in crate::symbols) const MAX_HOPS: usize = 16;

/// Units that one question has open at a time.
const MAX_OPEN: usize = 256;

/// Where the DWARF sections of a file are: their places among its sections,
/// by [`gimli::SectionId`]. Looking for the names takes longer than the rest
/// of most questions.
#[derive(Debug, Default)]
pub(in crate::symbols) struct Sections(Vec<Option<usize>>);

impl Sections {
    /// Looks for them; for those of a `.dwo` with `split`.
    pub fn of(image: &Image, split: bool) -> Sections {
        let mut places = Vec::new();
        let mut note = |id: gimli::SectionId| {
            let name = if split { id.dwo_name() } else { Some(id.name()) };
            let place = image.sections().iter().position(|s| Some(s.name.as_str()) == name);
            if places.len() <= id as usize {
                places.resize(id as usize + 1, None);
            }
            places[id as usize] = place;
            Ok::<_, std::convert::Infallible>(())
        };
        match gimli::DwarfSections::load(&mut note) {
            Ok(_) => {}
            Err(never) => match never {},
        }
        for id in [gimli::SectionId::DebugCuIndex, gimli::SectionId::DebugTuIndex] {
            let Ok(()) = note(id);
        }
        Sections(places)
    }

    /// The bytes of a section; none when the file has it not.
    pub fn data<'a>(&self, image: &'a Image, id: gimli::SectionId) -> Slice<'a> {
        let data = self.place(id).and_then(|place| image.section_data_at(place));
        EndianSlice::new(data.unwrap_or_default(), LittleEndian)
    }

    /// The same with the units in one section only.
    pub fn with_units_at(&self, id: gimli::SectionId, place: usize) -> Sections {
        let mut places = self.0.clone();
        for units in [gimli::SectionId::DebugInfo, gimli::SectionId::DebugTypes] {
            if let Some(slot) = places.get_mut(units as usize) {
                *slot = (units == id).then_some(place);
            }
        }
        Sections(places)
    }

    /// The place of one of them.
    pub fn place(&self, id: gimli::SectionId) -> Option<usize> {
        self.0.get(id as usize).copied().flatten()
    }
}

/// All DWARF sections of a file. Cheap to make.
pub(in crate::symbols) fn view<'a>(
    image: &'a Image,
    sections: &Sections,
) -> gimli::Dwarf<Slice<'a>> {
    let section = |id| Ok::<_, std::convert::Infallible>(sections.data(image, id));
    match gimli::Dwarf::load(section) {
        Ok(dwarf) => dwarf,
        Err(never) => match never {},
    }
}

/// A unit opened for a question. Cheap to clone.
#[derive(Clone)]
pub(in crate::symbols) struct Unit<'a> {
    open: Rc<Opened<'a>>,
    desk: Rc<Desk<'a>>,
}

/// What is shared by everybody who has the unit open.
pub(in crate::symbols) struct Opened<'a> {
    pub dwarf: Rc<gimli::Dwarf<Slice<'a>>>,
    pub unit: gimli::Unit<Slice<'a>>,
    /// Its number among the units of the image.
    pub number: u32,
    /// What is kept of it.
    pub head: &'a Head,
    /// Where its lines are: in the file even if the rest is in a `.dwo`.
    line_dwarf: Rc<gimli::Dwarf<Slice<'a>>>,
    lines: OnceCell<Option<IncompleteLineProgram<Slice<'a>>>>,
}

impl<'a> Deref for Unit<'a> {
    type Target = Opened<'a>;

    fn deref(&self) -> &Opened<'a> {
        &self.open
    }
}

/// The units that one question has open: references lead from one to another.
pub(in crate::symbols) struct Desk<'a> {
    units: &'a Units,
    dwarf: Rc<gimli::Dwarf<Slice<'a>>>,
    /// DWARF that is not in the file itself.
    elsewhere: RefCell<FxHashMap<Elsewhere, Rc<gimli::Dwarf<Slice<'a>>>>>,
    /// Whether abbreviations are kept for the next question.
    keep: bool,
    open: RefCell<FxHashMap<u32, Rc<Opened<'a>>>>,
}

impl<'a> Desk<'a> {
    /// A desk for one question; `keep` when there may be more about the same
    /// units.
    pub fn new(image: &'a Image, units: &'a Units, keep: bool) -> Rc<Desk<'a>> {
        let dwarf = Rc::new(units.view(image));
        let (elsewhere, open) = (RefCell::default(), RefCell::default());
        Rc::new(Desk { units, dwarf, elsewhere, keep, open })
    }

    fn dwarf(&self, place: Option<Elsewhere>) -> Option<Rc<gimli::Dwarf<Slice<'a>>>> {
        let Some(place) = place else { return Some(self.dwarf.clone()) };
        if let Some(dwarf) = self.elsewhere.borrow().get(&place) {
            return Some(dwarf.clone());
        }
        let dwarf = Rc::new(self.units.elsewhere(place, &self.dwarf)?);
        self.elsewhere.borrow_mut().insert(place, dwarf.clone());
        Some(dwarf)
    }

    /// Opens unit `number`; `None` when the number is of no unit, or its
    /// root can't be parsed.
    pub fn unit(self: &Rc<Desk<'a>>, number: u32) -> Option<Unit<'a>> {
        if let Some(open) = self.open.borrow().get(&number) {
            return Some(Unit { open: open.clone(), desk: self.clone() });
        }
        let head = self.units.head(number)?;
        let dwarf = self.dwarf(head.elsewhere())?;
        let unit = head.open(&dwarf, self.keep)?;
        let line_dwarf = if head.is_split() { self.dwarf.clone() } else { dwarf.clone() };
        let lines = OnceCell::new();
        let open = Rc::new(Opened { dwarf, unit, number, head, line_dwarf, lines });
        let mut all = self.open.borrow_mut();
        if all.len() >= MAX_OPEN {
            all.clear();
        }
        all.insert(number, open.clone());
        Some(Unit { open, desk: self.clone() })
    }
}

/// An entry and the unit it is in.
#[derive(Clone)]
pub(in crate::symbols) struct At<'a> {
    pub unit: Unit<'a>,
    pub entry: Entry<'a>,
}

impl<'a> At<'a> {
    /// The value of an attribute of the entry itself.
    pub fn attr(&self, name: DwAt) -> Option<Value<'a>> {
        self.entry.attr_value(name)
    }

    /// Its offset in its unit.
    pub fn die(&self) -> u32 {
        die(&self.entry)
    }

    /// Its direct children that have one of these tags.
    pub fn children(&self, tags: &[DwTag]) -> Vec<At<'a>> {
        let children = self.unit.children(self.die(), tags).into_iter();
        children.map(|entry| At { unit: self.unit.clone(), entry }).collect()
    }
}

impl<'a> Unit<'a> {
    /// Opens unit `number` for a question of its own; see [`Desk::unit`].
    pub fn open(image: &'a DebugImage, number: u32) -> Option<Unit<'a>> {
        Desk::new(image.image(), image.units()?, true).unit(number)
    }

    /// Another unit of the image, for the same question.
    pub fn other(&self, number: u32) -> Option<Unit<'a>> {
        if number == self.number { Some(self.clone()) } else { self.desk.unit(number) }
    }

    /// The header of the unit's line table.
    pub fn line_program(&self) -> Option<&IncompleteLineProgram<Slice<'a>>> {
        let read = || self.head.line_program(&self.line_dwarf, self);
        self.lines.get_or_init(read).as_ref()
    }

    /// The unit's line table and what comes after it; empty for none.
    pub fn line_table(&self) -> &'a [u8] {
        let section = self.line_dwarf.debug_line.reader().slice();
        self.head.lines().and_then(|lines| section.get(lines..)).unwrap_or_default()
    }

    /// A string of the line table as text.
    pub fn line_string(&self, value: Value<'a>) -> Option<String> {
        let text = self.line_dwarf.attr_string(&self.unit, value).ok()?;
        Some(text.to_string_lossy().into_owned())
    }

    /// The directory the compiler ran in.
    pub fn comp_dir(&self) -> Option<String> {
        match self.root()?.attr_value(gimli::DW_AT_comp_dir) {
            Some(dir) => self.string(dir),
            None => self.head.comp_dir().map(str::to_owned),
        }
    }

    /// Whether it is the unit of one type.
    pub fn is_of_type(&self) -> bool {
        matches!(self.unit.header.type_(), UnitType::Type { .. } | UnitType::SplitType { .. })
    }

    /// The unit's own entry.
    pub fn root(&self) -> Option<Entry<'a>> {
        self.entry(self.root_die())
    }

    /// The offset of that.
    pub fn root_die(&self) -> u32 {
        self.unit.header.root_offset().0 as u32
    }

    /// The entry at an offset of the unit.
    pub fn entry(&self, die: u32) -> Option<Entry<'a>> {
        self.unit.entry(UnitOffset(die as usize)).ok().filter(|entry| !entry.is_null())
    }

    /// The entry at an offset of any unit.
    pub fn at(&self, (unit, die): (u32, u32)) -> Option<At<'a>> {
        let unit = self.other(unit)?;
        let entry = unit.entry(die)?;
        Some(At { unit, entry })
    }

    /// The entry that an attribute refers to, in this unit or another.
    pub fn referred(&self, value: Value<'_>) -> Option<At<'a>> {
        self.at(self.target(value)?)
    }

    /// Where an attribute refers to: the number of a unit and an offset in
    /// it. Other units are referred to by what a linker optimized
    /// (`DW_FORM_ref_addr`), by what `dwz` shared, and by types that have a
    /// unit of their own (`DW_FORM_ref_sig8`).
    pub fn target(&self, value: Value<'_>) -> Option<(u32, u32)> {
        let (unit, offset) = match value {
            AttributeValue::UnitRef(offset) => (self.number, offset.0),
            AttributeValue::DebugInfoRef(offset) => {
                match offset.to_unit_offset(&self.unit.header) {
                    Some(own) => (self.number, own.0),
                    None => self.desk.units.holding(offset.0, self.head.is_common())?,
                }
            }
            AttributeValue::DebugInfoRefSup(offset) => self.desk.units.holding(offset.0, true)?,
            AttributeValue::DebugTypesRef(signature) => {
                return self.desk.units.signed(signature.0);
            }
            _ => return None,
        };
        Some((unit, u32::try_from(offset).ok()?))
    }

    /// The attribute of an entry, or of the entry it is an instance or the
    /// definition of; with the unit it is said in.
    pub fn inherited(&self, entry: &Entry<'a>, name: DwAt) -> Option<(Unit<'a>, Value<'a>)> {
        if let Some(value) = entry.attr_value(name) {
            return Some((self.clone(), value));
        }
        let mut next = self.origin(entry);
        for _ in 0..MAX_HOPS {
            let origin = next?;
            if let Some(value) = origin.attr(name) {
                return Some((origin.unit, value));
            }
            next = origin.unit.origin(&origin.entry);
        }
        None
    }

    /// The entry that an entry is an instance of (`DW_AT_abstract_origin`) or
    /// the definition of (`DW_AT_specification`).
    pub fn origin(&self, entry: &Entry<'a>) -> Option<At<'a>> {
        let value = entry
            .attr_value(gimli::DW_AT_abstract_origin)
            .or_else(|| entry.attr_value(gimli::DW_AT_specification))?;
        self.referred(value)
    }

    /// The name of an entry, its own or inherited.
    pub fn name(&self, entry: &Entry<'a>) -> Option<String> {
        self.inherited(entry, gimli::DW_AT_name).and_then(|(unit, value)| unit.string(value))
    }

    /// A string attribute as text.
    pub fn string(&self, value: Value<'a>) -> Option<String> {
        let text = self.dwarf.attr_string(&self.unit, value).ok()?;
        Some(text.to_string_lossy().into_owned())
    }

    /// The code of an entry, as file addresses, without what the linker
    /// dropped; in the order of the file, the entry's own part first as
    /// compilers write it.
    pub fn ranges(&self, entry: &Entry<'a>) -> Vec<(u64, u64)> {
        self.code(
            entry.attr_value(gimli::DW_AT_low_pc),
            entry.attr_value(gimli::DW_AT_high_pc),
            entry.attr_value(gimli::DW_AT_ranges),
        )
    }

    /// The same from the attributes.
    pub fn code(
        &self,
        low: Option<Value<'a>>,
        high: Option<Value<'a>>,
        ranges: Option<Value<'a>>,
    ) -> Vec<(u64, u64)> {
        code(&self.dwarf, &self.unit, low, high, ranges)
    }

    /// Where an entry with code is entered: `DW_AT_entry_pc` when its code
    /// has that address, else the start of its first range. (GCC gives many
    /// inlined calls an entry at an empty range before their code; stopping
    /// there would not be in them yet.) `None` when it has no code.
    pub fn entry_pc(&self, entry: &Entry<'a>, ranges: &[(u64, u64)]) -> Option<u64> {
        let first = ranges.first()?.0;
        let said = match entry.attr_value(gimli::DW_AT_entry_pc) {
            // DWARF 5, 2.18: a constant counts from the base address.
            Some(AttributeValue::Udata(offset)) => Some(first.wrapping_add(offset)),
            Some(value) => self.dwarf.attr_address(&self.unit, value).ok().flatten(),
            None => None,
        };
        let covered = |at: &u64| ranges.iter().any(|&(start, end)| (start..end).contains(at));
        Some(said.filter(covered).unwrap_or(first))
    }

    /// Whether the unit may have inlined calls of functions that another unit
    /// describes, by the forms of its abbreviations.
    pub fn inlines_from_afar(&self) -> bool {
        let far = [gimli::DW_FORM_ref_addr, gimli::DW_FORM_GNU_ref_alt, gimli::DW_FORM_ref_sup4];
        self.abbreviations().any(|abbreviation| {
            abbreviation.tag() == gimli::DW_TAG_inlined_subroutine
                && abbreviation.attributes().iter().any(|spec| {
                    spec.name() == gimli::DW_AT_abstract_origin && far.contains(&spec.form())
                })
        })
    }

    /// The abbreviations of the unit; compilers number them from 1 without
    /// gaps.
    pub fn abbreviations(&self) -> impl Iterator<Item = &gimli::Abbreviation> {
        (1..).map_while(|code| self.unit.abbreviations.get(code))
    }

    /// Visits the entries below an entry that have one of these tags; the
    /// others are passed over without reading their attributes, and looked
    /// below. `visit` says whether to look below the entry too.
    pub fn walk(&self, die: u32, tags: &[DwTag], visit: &mut dyn FnMut(&Entry<'a>) -> Below) {
        self.descend(die, tags, Below::Look, visit);
    }

    fn descend(
        &self,
        die: u32,
        tags: &[DwTag],
        unlisted: Below,
        visit: &mut dyn FnMut(&Entry<'a>) -> Below,
    ) {
        let Ok(mut raw) = self.unit.entries_raw(Some(UnitOffset(die as usize))) else { return };
        match raw.read_abbreviation() {
            Ok(Some(root)) if root.has_children() => {
                if raw.skip_attributes(root.attributes()).is_err() {
                    return;
                }
            }
            _ => return,
        }
        let mut entry = Entry::null();
        // Entries deeper than this are passed over.
        let mut floor = isize::MAX;
        while raw.next_depth() > 0 {
            let (depth, offset) = (raw.next_depth(), raw.next_offset());
            let abbreviation = match raw.read_abbreviation() {
                Ok(Some(abbreviation)) => abbreviation,
                Ok(None) => continue,
                Err(_) => return,
            };
            let (tag, specs) = (abbreviation.tag(), abbreviation.attributes());
            if depth > floor || !tags.contains(&tag) {
                if raw.skip_attributes(specs).is_err() {
                    return;
                }
                if depth <= floor {
                    floor = unlisted.floor(depth);
                }
                continue;
            }
            if raw.read_attributes(specs, &mut entry.attrs).is_err() {
                return;
            }
            entry =
                Entry { tag, has_children: abbreviation.has_children(), offset, depth, ..entry };
            floor = visit(&entry).floor(depth);
        }
    }

    /// The direct children of an entry that have one of these tags.
    pub fn children(&self, die: u32, tags: &[DwTag]) -> Vec<Entry<'a>> {
        let mut out = Vec::new();
        self.descend(die, tags, Below::Skip, &mut |entry| {
            out.push(entry.clone());
            Below::Skip
        });
        out
    }
}

/// The code that attributes give an entry. Not gimli's `die_ranges`, which adds
/// without a check and panics on a hostile size in a debug build.
pub(in crate::symbols) fn code<'a>(
    dwarf: &gimli::Dwarf<Slice<'a>>,
    unit: &gimli::Unit<Slice<'a>>,
    low: Option<Value<'a>>,
    high: Option<Value<'a>>,
    ranges: Option<Value<'a>>,
) -> Vec<(u64, u64)> {
    let address = |value| dwarf.attr_address(unit, value).ok().flatten();
    let mut out = Vec::new();
    if let Some(value) = ranges {
        let Ok(Some(mut list)) = dwarf.attr_ranges(unit, value) else { return out };
        while let Ok(Some(range)) = list.next() {
            out.push((range.begin, range.end));
        }
    } else if let (Some(low), Some(high)) = (low.and_then(address), high) {
        let end = match high {
            AttributeValue::Addr(_) | AttributeValue::DebugAddrIndex(_) => address(high),
            value => value.udata_value().map(|size| low.wrapping_add(size)),
        };
        out.extend(end.map(|end| (low, end)));
    }
    out.retain(|&(start, end)| start != 0 && start < end);
    out
}

/// Whether a walk goes on below an entry.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(in crate::symbols) enum Below {
    /// Visit its children.
    Look,
    /// Pass over its children.
    Skip,
}

impl Below {
    /// The depth below which entries are passed over, after one at `depth`.
    fn floor(self, depth: isize) -> isize {
        match self {
            Below::Look => isize::MAX,
            Below::Skip => depth,
        }
    }
}

/// The offset of an entry in its unit.
pub(in crate::symbols) fn die(entry: &Entry<'_>) -> u32 {
    u32::try_from(entry.offset().0).unwrap_or(u32::MAX)
}

/// A small unsigned attribute: a line, a column, a count.
pub(in crate::symbols) fn number(value: Option<Value<'_>>) -> Option<u64> {
    match value? {
        // `udata_value` refuses signed forms, in which lines never come but
        // counts and sizes may.
        AttributeValue::Sdata(value) => u64::try_from(value).ok(),
        AttributeValue::FileIndex(index) => Some(index),
        value => value.udata_value(),
    }
}
