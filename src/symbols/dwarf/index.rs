//! Names: functions, variables, types, enumerators, found without parsing.
//!
//! An entry is 16 bytes and holds no text: its name is an offset into
//! `.debug_str` (or into `.debug_info`, for short names written in place; names
//! in `.dwo` files are copied).
//! Types are described again in every unit that uses them; one complete
//! description of each name is kept. Functions are all kept.

use crate::{
    image::file::Image,
    symbols::dwarf::{
        reader::{Slice, Unit, Value},
        split::Pool,
        units::FunctionRange,
    },
};
use gimli::{Abbreviation, AttributeValue, DwTag, EntriesRaw, Section as _, UnitOffset};
use rayon::slice::ParallelSliceMut as _;
use rustc_hash::FxHashSet;
use std::{
    cmp::Reverse,
    sync::{Arc, Mutex, PoisonError},
};

/// What a name is of.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[repr(u8)]
pub(in crate::symbols) enum Kind {
    /// A function with code of its own.
    Function,
    /// The abstract description of a function that was inlined somewhere.
    Inline,
    /// A variable that has a place or a value.
    Variable,
    /// A variable that is only declared: one that assembly or the linker
    /// makes, such as `jiffies`, or one that another unit defines.
    Declared,
    /// A struct with members.
    Struct,
    /// A union with members.
    Union,
    /// An enumeration with enumerators.
    Enum,
    /// A typedef.
    Typedef,
    /// An integer or the like.
    Base,
    /// One value of an enumeration.
    Enumerator,
}

impl Kind {
    /// Whether every one of a name counts, not just the first description.
    fn many(self) -> bool {
        matches!(self, Kind::Function | Kind::Inline | Kind::Variable)
    }
}

/// One name.
#[derive(Clone, Copy, Debug)]
pub(in crate::symbols) struct NameEntry {
    name: NameRef,
    pub unit: u32,
    pub die: u32,
    pub kind: Kind,
}

/// Where text is: an offset into `.debug_str`, `.debug_info`, or a pool of what
/// is in other files, by the two top bits.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(in crate::symbols) struct NameRef(u32);

/// No name: past the end of every text.
const NAMELESS: NameRef = NameRef(u32::MAX);

const IN_INFO: u32 = 1 << 31;
const IN_POOL: u32 = 1 << 30;
const OFFSET: u32 = IN_POOL - 1;

/// Names that are in other files, while several threads read.
pub(in crate::symbols) type SharedPool = Mutex<Pool>;

/// The names that some units have.
#[derive(Default)]
pub(in crate::symbols) struct Names {
    pub entries: Vec<NameEntry>,
    pub functions: Vec<FunctionRange>,
    seen: FxHashSet<(Kind, NameRef)>,
    pool: Arc<SharedPool>,
}

/// The attributes of one entry that matter here.
#[derive(Default)]
struct Facts<'a> {
    name: Option<Value<'a>>,
    origin: Option<Value<'a>>,
    low: Option<Value<'a>>,
    high: Option<Value<'a>>,
    ranges: Option<Value<'a>>,
    sibling: Option<usize>,
    declaration: bool,
    inline: bool,
    placed: bool,
}

impl Names {
    /// Nothing yet; text that is in other files goes to `pool`.
    pub fn new(pool: Arc<SharedPool>) -> Names {
        Names { pool, ..Names::default() }
    }

    /// The names of one unit.
    pub fn of(unit: &Unit<'_>) -> Names {
        let mut names = Names::default();
        names.read(unit);
        names
    }

    /// The functions out of line, by address.
    pub fn functions(mut self) -> Vec<FunctionRange> {
        self.functions.sort_by_key(|range| (range.start, Reverse(range.size)));
        self.functions
    }

    /// Walks the entries right below a unit's own, and enumerators. What was
    /// read before damage is good.
    pub fn read(&mut self, unit: &Unit<'_>) {
        let _ = self.scan(unit);
    }

    /// Adds a name. The linker merges equal strings, so equal names have
    /// equal offsets; where it did not, a duplicate does no harm.
    fn add(&mut self, entry: NameEntry) {
        if entry.kind.many() || self.seen.insert((entry.kind, entry.name)) {
            self.entries.push(entry);
        }
    }

    fn scan(&mut self, unit: &Unit<'_>) -> gimli::Result<()> {
        let mut raw = unit.unit.entries_raw(None)?;
        let Some(root) = raw.read_abbreviation()? else { return Ok(()) };
        raw.skip_attributes(root.attributes())?;
        if !root.has_children() {
            return Ok(());
        }
        while !raw.is_empty() {
            let offset = raw.next_offset();
            let Some(abbreviation) = raw.read_abbreviation()? else { return Ok(()) };
            let tag = abbreviation.tag();
            let facts = read_facts(&mut raw, abbreviation)?;
            if let Ok(die) = u32::try_from(offset.0) {
                self.note(unit, die, tag, &facts);
            }
            if !abbreviation.has_children() {
                continue;
            }
            if tag == gimli::DW_TAG_enumeration_type {
                self.enumerators(unit, &mut raw)?;
                continue;
            }
            match facts.sibling {
                Some(sibling) if sibling > raw.next_offset().0 => {
                    raw = unit.unit.entries_raw(Some(UnitOffset(sibling)))?;
                }
                _ => skip_children(&mut raw)?,
            }
        }
        Ok(())
    }

    fn note<'a>(&mut self, unit: &Unit<'a>, die: u32, tag: DwTag, facts: &Facts<'a>) {
        let kind = match tag {
            gimli::DW_TAG_subprogram => return self.note_function(unit, die, facts),
            gimli::DW_TAG_variable if facts.placed => Kind::Variable,
            gimli::DW_TAG_variable if facts.declaration => Kind::Declared,
            _ if facts.declaration => return,
            gimli::DW_TAG_structure_type => Kind::Struct,
            gimli::DW_TAG_union_type => Kind::Union,
            gimli::DW_TAG_enumeration_type => Kind::Enum,
            gimli::DW_TAG_typedef => Kind::Typedef,
            gimli::DW_TAG_base_type => Kind::Base,
            _ => return,
        };
        if let Some(name) = self.name_of(unit, facts) {
            self.add(NameEntry { name, unit: unit.number, die, kind });
        }
    }

    fn note_function<'a>(&mut self, unit: &Unit<'a>, die: u32, facts: &Facts<'a>) {
        let ranges = unit.code(facts.low, facts.high, facts.ranges);
        // Before link-time optimization nothing is known to be inlined, and
        // every function that other units have instances of looks so.
        let described = facts.inline || !facts.declaration && facts.origin.is_none();
        if ranges.is_empty() && !described {
            return;
        }
        let name = self.name_of(unit, facts);
        if let Some(name) = name {
            let kind = if ranges.is_empty() { Kind::Inline } else { Kind::Function };
            self.add(NameEntry { name, unit: unit.number, die, kind });
        }
        let (unit, name) = (unit.number, name.unwrap_or(NAMELESS));
        let range = |(start, end): (u64, u64)| {
            let size = u32::try_from(end - start).ok()?;
            Some(FunctionRange { start, size, unit, die, name })
        };
        self.functions.extend(ranges.into_iter().filter_map(range));
    }

    /// The name of an entry, or of what it is an instance or definition of.
    fn name_of<'a>(&self, unit: &Unit<'a>, facts: &Facts<'a>) -> Option<NameRef> {
        let (other, value) = match (facts.name, facts.origin) {
            (Some(value), _) => (None, value),
            (None, Some(origin)) => {
                let at = unit.referred(origin)?;
                let (unit, value) = at.unit.inherited(&at.entry, gimli::DW_AT_name)?;
                (Some(unit), value)
            }
            (None, None) => return None,
        };
        let unit = other.as_ref().unwrap_or(unit);
        // A file that is not the image's own has text that is not there later.
        let own = unit.head.elsewhere().is_none();
        if let AttributeValue::DebugStrRef(offset) = value
            && own
            && offset.0 <= OFFSET as usize
        {
            // Nearly all; the text itself is not looked at.
            return Some(NameRef(offset.0 as u32));
        }
        let text = unit.dwarf.attr_string(&unit.unit, value).ok()?;
        let at = text.slice().as_ptr() as usize;
        let within = |section: &Slice<'_>| {
            let offset = at.checked_sub(section.slice().as_ptr() as usize)?;
            (offset < section.slice().len() && offset <= OFFSET as usize).then_some(offset as u32)
        };
        if own {
            if let Some(at) = within(unit.dwarf.debug_str.reader()) {
                return Some(NameRef(at));
            }
            if let Some(at) = within(unit.dwarf.debug_info.reader()) {
                return Some(NameRef(at | IN_INFO));
            }
        }
        let mut pool = self.pool.lock().unwrap_or_else(PoisonError::into_inner);
        pool.place(text.slice()).filter(|&at| at <= OFFSET).map(|at| NameRef(at | IN_POOL))
    }

    fn enumerators<'a>(
        &mut self,
        unit: &Unit<'a>,
        raw: &mut EntriesRaw<'_, Slice<'a>>,
    ) -> gimli::Result<()> {
        let outer = raw.next_depth();
        while raw.next_depth() >= outer {
            let offset = raw.next_offset();
            let Some(abbreviation) = raw.read_abbreviation()? else { continue };
            let facts = read_facts(raw, abbreviation)?;
            if abbreviation.tag() == gimli::DW_TAG_enumerator
                && let (Some(name), Ok(die)) = (self.name_of(unit, &facts), u32::try_from(offset.0))
            {
                let kind = Kind::Enumerator;
                self.add(NameEntry { name, unit: unit.number, die, kind });
            }
        }
        Ok(())
    }
}

fn read_facts<'a>(
    raw: &mut EntriesRaw<'_, Slice<'a>>,
    abbreviation: &Abbreviation,
) -> gimli::Result<Facts<'a>> {
    let mut facts = Facts::default();
    for &spec in abbreviation.attributes() {
        let attribute = raw.read_attribute_inline(spec)?;
        match attribute.name() {
            gimli::DW_AT_name => facts.name = Some(attribute.value()),
            gimli::DW_AT_abstract_origin | gimli::DW_AT_specification => {
                facts.origin = Some(attribute.value());
            }
            gimli::DW_AT_low_pc => facts.low = Some(attribute.value()),
            gimli::DW_AT_high_pc => facts.high = Some(attribute.value()),
            gimli::DW_AT_ranges => facts.ranges = Some(attribute.value()),
            gimli::DW_AT_declaration => facts.declaration = true,
            gimli::DW_AT_inline => facts.inline = true,
            gimli::DW_AT_location | gimli::DW_AT_const_value => facts.placed = true,
            gimli::DW_AT_sibling => {
                if let AttributeValue::UnitRef(offset) = attribute.value() {
                    facts.sibling = Some(offset.0);
                }
            }
            _ => {}
        }
    }
    Ok(facts)
}

fn skip_children(raw: &mut EntriesRaw<'_, Slice<'_>>) -> gimli::Result<()> {
    let outer = raw.next_depth();
    while raw.next_depth() >= outer {
        if let Some(abbreviation) = raw.read_abbreviation()? {
            raw.skip_attributes(abbreviation.attributes())?;
        }
    }
    Ok(())
}

/// The names of an image, sorted.
pub(in crate::symbols) struct Index {
    entries: Vec<NameEntry>,
    /// Text of names that is in other files.
    pool: Vec<u8>,
}

/// Text of names.
#[derive(Clone, Copy)]
struct Texts<'a> {
    strings: &'a [u8],
    info: &'a [u8],
    pool: &'a [u8],
}

impl<'a> Texts<'a> {
    fn of(image: &'a Image, pool: &'a [u8]) -> Texts<'a> {
        let section = |name| image.section_data(name).unwrap_or_default();
        Texts { strings: section(".debug_str"), info: section(".debug_info"), pool }
    }

    /// The bytes from the start of a name to the end of its section.
    fn tail(&self, name: NameRef) -> &'a [u8] {
        let section = match name.0 & !OFFSET {
            IN_POOL => self.pool,
            IN_INFO => self.info,
            _ => self.strings,
        };
        section.get((name.0 & OFFSET) as usize..).unwrap_or_default()
    }

    fn bytes(&self, name: NameRef) -> &'a [u8] {
        let tail = self.tail(name);
        let end = tail.iter().position(|&byte| byte == 0).unwrap_or(tail.len());
        &tail[..end]
    }

    /// The first eight bytes as a number that sorts as they do.
    fn head(&self, name: NameRef) -> u64 {
        let mut head = [0; 8];
        for (slot, &byte) in head.iter_mut().zip(self.tail(name)) {
            if byte == 0 {
                break;
            }
            *slot = byte;
        }
        u64::from_be_bytes(head)
    }
}

impl Index {
    /// Merges the names of all units.
    pub fn build(image: &Image, parts: Vec<Vec<NameEntry>>, pool: Vec<u8>) -> Index {
        let texts = Texts::of(image, &pool);
        let mut seen = FxHashSet::default();
        let mut keyed = Vec::new();
        for entry in parts.into_iter().flatten() {
            if entry.kind.many() || seen.insert((entry.kind, entry.name)) {
                keyed.push((texts.head(entry.name), entry));
            }
        }
        drop(seen);
        // The first eight bytes decide nearly every comparison without
        // touching the text.
        keyed.par_sort_unstable_by(|(a_head, a), (b_head, b)| {
            (a_head.cmp(b_head))
                .then_with(|| texts.bytes(a.name).cmp(texts.bytes(b.name)))
                .then_with(|| (a.kind, a.unit, a.die).cmp(&(b.kind, b.unit, b.die)))
        });
        let entries = keyed.into_iter().map(|(_, entry)| entry).collect();
        Index { entries, pool }
    }

    /// Every entry of this very name.
    pub fn named<'a>(&'a self, image: &Image, name: &str) -> &'a [NameEntry] {
        self.run(image, name.as_bytes(), |text, name| text == name)
    }

    /// Every entry whose name starts with `prefix`, by name.
    pub fn prefixed<'a>(&'a self, image: &Image, prefix: &str) -> &'a [NameEntry] {
        self.run(image, prefix.as_bytes(), |text, prefix| text.starts_with(prefix))
    }

    /// Every entry with its name, by name.
    pub fn iter<'a>(
        &'a self,
        image: &'a Image,
    ) -> impl Iterator<Item = (&'a [u8], &'a NameEntry)> + 'a {
        let texts = Texts::of(image, &self.pool);
        self.entries.iter().map(move |entry| (texts.bytes(entry.name), entry))
    }

    /// A name; empty for none.
    pub fn name<'a>(&'a self, image: &'a Image, name: NameRef) -> &'a [u8] {
        Texts::of(image, &self.pool).bytes(name)
    }

    /// The name of an entry.
    pub fn text<'a>(&'a self, image: &'a Image, entry: &NameEntry) -> &'a [u8] {
        Texts::of(image, &self.pool).bytes(entry.name)
    }

    fn run(&self, image: &Image, key: &[u8], like: fn(&[u8], &[u8]) -> bool) -> &[NameEntry] {
        let texts = Texts::of(image, &self.pool);
        let start = self.entries.partition_point(|entry| texts.bytes(entry.name) < key);
        let rest = &self.entries[start..];
        let len = rest.partition_point(|entry| like(texts.bytes(entry.name), key));
        &rest[..len]
    }
}
