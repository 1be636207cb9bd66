//! BTF, the compact description of types that kernels carry in themselves
//! (`CONFIG_DEBUG_INFO_BTF`): what is left of a vmlinux's types when its DWARF
//! is stripped. Layout: Documentation/bpf/btf.rst, include/uapi/linux/btf.h.
//!
//! ```text
//! header   magic eb9f, version, flags, header length; then offset and length
//!          of the types and of the strings, counted from the header's end
//! types    name, info (count 0..15, kind 24..28, flag 31), size or type;
//!          then what the kind has: members, enumerators, parameters, …
//! strings  zero-terminated, named by their offset
//! ```
//!
//! Types are numbered from 1; 0 is `void`. A module's BTF goes on where that
//! of its base ends, in numbers and in string offsets: the base is vmlinux's,
//! or `.BTF.base` in the module itself (Linux 6.11).
//!
//! Nothing is trusted: a number that is of no type gives nothing, and a type
//! that runs over the end of the section ends the table before it.

use rustc_hash::FxHashSet;

const MAGIC: u16 = 0xeb9f;
const HEADER: usize = 24;

/// What a type is (`BTF_KIND_*`).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(in crate::symbols) enum BtfKind {
    Int,
    Ptr,
    Array,
    Struct,
    Union,
    Enum,
    Fwd,
    Typedef,
    Volatile,
    Const,
    Restrict,
    Func,
    FuncProto,
    Var,
    DataSec,
    Float,
    DeclTag,
    TypeTag,
    Enum64,
}

impl BtfKind {
    fn of(number: u32) -> Option<BtfKind> {
        const KINDS: [BtfKind; 19] = [
            BtfKind::Int,
            BtfKind::Ptr,
            BtfKind::Array,
            BtfKind::Struct,
            BtfKind::Union,
            BtfKind::Enum,
            BtfKind::Fwd,
            BtfKind::Typedef,
            BtfKind::Volatile,
            BtfKind::Const,
            BtfKind::Restrict,
            BtfKind::Func,
            BtfKind::FuncProto,
            BtfKind::Var,
            BtfKind::DataSec,
            BtfKind::Float,
            BtfKind::DeclTag,
            BtfKind::TypeTag,
            BtfKind::Enum64,
        ];
        KINDS.get((number as usize).checked_sub(1)?).copied()
    }

    /// Bytes that follow the first twelve: for each of `count`, and once.
    fn tail(self, count: usize) -> usize {
        match self {
            BtfKind::Int | BtfKind::Var | BtfKind::DeclTag => 4,
            BtfKind::Array => 12,
            BtfKind::Struct | BtfKind::Union | BtfKind::DataSec | BtfKind::Enum64 => 12 * count,
            BtfKind::Enum | BtfKind::FuncProto => 8 * count,
            _ => 0,
        }
    }
}

/// One type as it is in the section.
#[derive(Clone, Copy, Debug)]
pub(in crate::symbols) struct Raw<'a> {
    /// Offset of its name; 0 for none.
    pub name: u32,
    pub kind: BtfKind,
    /// The top bit of `info`; what it means depends on the kind.
    pub flag: bool,
    /// Bytes, or the number of another type.
    pub size_or_type: u32,
    tail: &'a [u8],
}

impl<'a> Raw<'a> {
    fn words(&self, size: usize) -> impl Iterator<Item = [u32; 3]> + 'a {
        self.tail.chunks_exact(size).map(|chunk| {
            let word = |at: usize| chunk.get(at..at + 4).map_or(0, le32);
            [word(0), word(4), word(8)]
        })
    }

    /// The word after a `Int`, `Var` or `DeclTag`.
    pub fn word(&self) -> u32 {
        self.tail.get(..4).map_or(0, le32)
    }

    /// Of a struct or union: name, type, and offset word of each member.
    pub fn members(&self) -> impl Iterator<Item = [u32; 3]> + 'a {
        self.words(12)
    }

    /// Of an array: element type, index type, number of elements.
    pub fn array(&self) -> [u32; 3] {
        self.words(12).next().unwrap_or_default()
    }

    /// Of a function: name and type of each parameter.
    pub fn parameters(&self) -> impl Iterator<Item = [u32; 2]> + 'a {
        self.words(8).map(|[name, ty, _]| [name, ty])
    }

    /// Of an enumeration: name and value of each enumerator. Values of `Enum`
    /// are 32 bits, signed when `flag` says so, or when no flag says anything
    /// (`signs` is false: before Linux 6.0 it was never set).
    fn enumerators(&self, signs: bool) -> Vec<(u32, i64)> {
        let signed = self.flag || !signs;
        match self.kind {
            BtfKind::Enum => {
                let value = |word: u32| match signed {
                    true => i64::from(word as i32),
                    false => i64::from(word),
                };
                self.words(8).map(|[name, word, _]| (name, value(word))).collect()
            }
            _ => {
                let value = |low: u32, high: u32| (u64::from(high) << 32 | u64::from(low)) as i64;
                self.words(12).map(|[name, low, high]| (name, value(low, high))).collect()
            }
        }
    }
}

fn le32(bytes: &[u8]) -> u32 {
    bytes.try_into().map_or(0, u32::from_le_bytes)
}

/// Where everything is in one section.
#[derive(Debug)]
pub(in crate::symbols) struct Btf {
    /// The number of its first type.
    first: u32,
    /// The offset that its first string has.
    first_string: u32,
    /// Where each type starts in the section.
    starts: Vec<u32>,
    strings: (usize, usize),
    /// Numbers of the types that have a name, by name.
    by_name: Vec<u32>,
    /// Some enumeration says that it is signed.
    signs: bool,
}

/// Where the header of a section says that types and strings are.
struct Parts {
    types: (usize, usize),
    strings: (usize, usize),
}

fn parts(data: &[u8]) -> Option<Parts> {
    let header = data.get(..HEADER)?;
    if u16::from_le_bytes([header[0], header[1]]) != MAGIC {
        return None;
    }
    let word = |at: usize| le32(&header[at..at + 4]) as usize;
    let length = word(4);
    let part = |offset: usize, size: usize| {
        let start = length.checked_add(offset)?;
        let end = start.checked_add(size)?;
        (length >= HEADER && end <= data.len()).then_some((start, end))
    };
    Some(Parts { types: part(word(8), word(12))?, strings: part(word(16), word(20))? })
}

/// Whether a section goes on from a base: the strings of one that stands by
/// itself start with the empty one (`btf_parse_str_sec` in tools/lib/bpf).
pub(in crate::symbols) fn is_split(data: &[u8]) -> bool {
    parts(data).is_some_and(|parts| {
        let (start, end) = parts.strings;
        start == end || data[start] != 0
    })
}

impl Btf {
    /// Reads where the types of a section are; `base` is what it goes on
    /// from. `None` when the header is none.
    pub fn read(data: &[u8], base: Option<&View<'_>>) -> Option<Btf> {
        let parts = parts(data)?;
        let (first, first_string) = base.map_or((1, 0), View::end);
        let mut btf = Btf {
            first,
            first_string,
            starts: Vec::new(),
            strings: parts.strings,
            by_name: Vec::new(),
            signs: base.is_some_and(View::signs),
        };
        let (mut at, end) = parts.types;
        while let Some(raw) = raw(data.get(..end)?, at) {
            btf.starts.push(u32::try_from(at).ok()?);
            btf.signs |= raw.flag && matches!(raw.kind, BtfKind::Enum | BtfKind::Enum64);
            at += 12 + raw.tail.len();
        }
        let view = View { own: &btf, data, base, stubs: false };
        let mut named: Vec<(&[u8], u32)> = Vec::new();
        for id in (first..).take(btf.starts.len()) {
            let name = view.raw(id).map_or(&b""[..], |raw| view.text(raw.name));
            if !name.is_empty() {
                named.push((name, id));
            }
        }
        named.sort_unstable();
        let by_name = named.into_iter().map(|(_, id)| id).collect();
        Some(Btf { by_name, ..btf })
    }
}

/// The type at an offset, when it is whole and of a kind that is known.
fn raw(data: &[u8], at: usize) -> Option<Raw<'_>> {
    let head = data.get(at..at.checked_add(12)?)?;
    let (name, info, size_or_type) = (le32(&head[..4]), le32(&head[4..8]), le32(&head[8..]));
    let kind = BtfKind::of(info >> 24 & 0x1f)?;
    let size = kind.tail((info & 0xffff) as usize);
    let tail = data.get(at + 12..(at + 12).checked_add(size)?)?;
    Some(Raw { name, kind, flag: info >> 31 != 0, size_or_type, tail })
}

/// A section, read, with its bytes and what it goes on from.
#[derive(Clone, Copy)]
pub(in crate::symbols) struct View<'a> {
    pub own: &'a Btf,
    pub data: &'a [u8],
    pub base: Option<&'a View<'a>>,
    /// It is a distilled base (`.BTF.base`): most structs have name and size
    /// only (`btf__distill_base` in tools/lib/bpf/btf.c).
    pub stubs: bool,
}

impl<'a> View<'a> {
    /// Whether it goes on from where `base` ends.
    pub fn follows(&self, base: &View<'_>) -> bool {
        (self.own.first, self.own.first_string) == base.end()
    }

    fn signs(&self) -> bool {
        self.own.signs
    }

    /// Whether a struct is described elsewhere and only named here.
    pub fn is_stub(&self, id: u32, raw: &Raw<'_>) -> bool {
        match self.base {
            Some(base) if id < self.own.first => base.is_stub(id, raw),
            _ => self.stubs && raw.tail.is_empty() && raw.size_or_type != 0,
        }
    }

    /// The number and the string offset that come next.
    fn end(&self) -> (u32, u32) {
        let (start, end) = self.own.strings;
        let count = |size: usize| u32::try_from(size).unwrap_or(u32::MAX);
        (
            self.own.first.saturating_add(count(self.own.starts.len())),
            self.own.first_string.saturating_add(count(end - start)),
        )
    }

    /// The type of a number.
    pub fn raw(&self, id: u32) -> Option<Raw<'a>> {
        let Some(index) = id.checked_sub(self.own.first) else {
            return self.base.and_then(|base| base.raw(id));
        };
        raw(self.data, *self.own.starts.get(index as usize)? as usize)
    }

    /// The string at an offset; empty where there is none.
    pub fn text(&self, offset: u32) -> &'a [u8] {
        let Some(at) = offset.checked_sub(self.own.first_string) else {
            return self.base.map_or(b"", |base| base.text(offset));
        };
        let (start, end) = self.own.strings;
        let tail = self.data[start..end].get(at as usize..).unwrap_or_default();
        let len = tail.iter().position(|&byte| byte == 0).unwrap_or(tail.len());
        &tail[..len]
    }

    /// The string at an offset as text; `None` when it is empty.
    pub fn name(&self, offset: u32) -> Option<String> {
        let text = self.text(offset);
        (!text.is_empty()).then(|| String::from_utf8_lossy(text).into_owned())
    }

    /// The first type of this very name in this section that `wanted` takes.
    pub fn named(
        &self,
        name: &str,
        mut wanted: impl FnMut(&Raw<'a>) -> bool,
    ) -> Option<(u32, Raw<'a>)> {
        let name = name.as_bytes();
        let text = |id: u32| self.raw(id).map_or(&b""[..], |raw| self.text(raw.name));
        let start = self.own.by_name.partition_point(|&id| text(id) < name);
        let run = self.own.by_name[start..].iter().take_while(|&&id| text(id) == name);
        run.filter_map(|&id| Some((id, self.raw(id)?))).find(|(_, raw)| wanted(raw))
    }

    /// Every type of this section with a name, by name.
    pub fn names(&self) -> impl Iterator<Item = (&'a [u8], u32, Raw<'a>)> + '_ {
        self.own.by_name.iter().filter_map(|&id| {
            let raw = self.raw(id)?;
            Some((self.text(raw.name), id, raw))
        })
    }

    /// Name and value of each enumerator of an enumeration.
    pub fn enumerators(&self, raw: &Raw<'_>) -> Vec<(u32, i64)> {
        raw.enumerators(self.signs())
    }

    /// The enumeration that has an enumerator of this name, and its value.
    pub fn enumerator(&self, name: &str) -> Option<(u32, i64)> {
        let name = name.as_bytes();
        // Equal names have equal offsets: the strings are merged.
        let mut other = FxHashSet::default();
        for (index, &start) in self.own.starts.iter().enumerate() {
            let Some(raw) = raw(self.data, start as usize) else { continue };
            if !matches!(raw.kind, BtfKind::Enum | BtfKind::Enum64) {
                continue;
            }
            for (offset, value) in self.enumerators(&raw) {
                if other.contains(&offset) {
                    continue;
                }
                if self.text(offset) == name {
                    return Some((self.own.first + index as u32, value));
                }
                other.insert(offset);
            }
        }
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const INT: u32 = 1;
    const ARRAY: u32 = 3;
    const STRUCT: u32 = 4;
    const ENUM: u32 = 6;
    const FLAG: u32 = 1 << 31;

    /// A section of types, each its words, and strings.
    fn section(types: &[&[u32]], strings: &[u8]) -> Vec<u8> {
        let words: Vec<u32> = types.iter().copied().flatten().copied().collect();
        let length = 4 * words.len() as u32;
        let mut out = vec![0x9f, 0xeb, 1, 0];
        for word in [24, 0, length, length, strings.len() as u32].iter().chain(&words) {
            out.extend(word.to_le_bytes());
        }
        out.extend(strings);
        out
    }

    /// `int`, `int [4]`, `struct pair { int a; int b : 3; }`, an enumeration.
    fn kernel() -> Vec<u8> {
        section(
            &[
                &[1, INT << 24, 4, 0x0100_0020],
                &[0, ARRAY << 24, 0, 1, 1, 4],
                &[5, FLAG | STRUCT << 24 | 2, 8, 10, 1, 0, 12, 1, 3 << 24 | 32],
                &[0, FLAG | ENUM << 24 | 2, 4, 14, u32::MAX, 18, 7],
            ],
            b"\0int\0pair\0a\0b\0NEG\0POS\0",
        )
    }

    fn view<'a>(own: &'a Btf, data: &'a [u8]) -> View<'a> {
        View { own, data, base: None, stubs: false }
    }

    #[test]
    fn types_have_numbers_from_one() {
        let data = kernel();
        let btf = Btf::read(&data, None).unwrap();
        let view = view(&btf, &data);
        assert!(!is_split(&data));
        assert!(view.raw(0).is_none() && view.raw(5).is_none());
        assert_eq!(view.raw(1).unwrap().kind, BtfKind::Int);
        assert_eq!(view.raw(2).unwrap().array(), [1, 1, 4]);
        let (id, pair) = view.named("pair", |_| true).unwrap();
        assert_eq!((id, pair.size_or_type, pair.flag), (3, 8, true));
        let members: Vec<[u32; 3]> = pair.members().collect();
        assert_eq!(members, [[10, 1, 0], [12, 1, 3 << 24 | 32]]);
        assert_eq!(view.name(members[1][0]).as_deref(), Some("b"));
        assert_eq!(view.enumerator("NEG"), Some((4, -1)));
        assert_eq!(view.enumerator("POS"), Some((4, 7)));
        assert!(view.named("pair", |raw| raw.kind == BtfKind::Union).is_none());
        assert!(view.named("pa", |_| true).is_none());
    }

    #[test]
    fn a_module_goes_on_from_its_base() {
        let data = kernel();
        let btf = Btf::read(&data, None).unwrap();
        let base = view(&btf, &data);
        // The base's strings are 22 bytes; `struct mod { int [4] a; }`.
        let module = section(&[&[22, STRUCT << 24 | 1, 16, 10, 2, 0]], b"mod\0");
        assert!(is_split(&module));
        let own = Btf::read(&module, Some(&base)).unwrap();
        let all = View { own: &own, data: &module, base: Some(&base), stubs: false };
        assert!(all.follows(&base));
        assert_eq!(all.named("mod", |_| true).unwrap().0, 5);
        assert_eq!(all.raw(2).unwrap().kind, BtfKind::Array, "of the base");
        assert_eq!(all.text(10), b"a", "of the base");
        let other = section(&[], b"\0");
        let other = Btf::read(&other, None).unwrap();
        assert!(!all.follows(&view(&other, &[])));
    }

    #[test]
    fn what_is_cut_short_ends_the_table() {
        let data = kernel();
        assert!(Btf::read(&data[..23], None).is_none());
        assert!(Btf::read(&data[..data.len() - 1], None).is_none(), "strings end too early");
        let cut = section(&[&[1, INT << 24, 4, 0x20], &[0, STRUCT << 24 | 9, 8, 1]], b"\0int\0");
        let btf = Btf::read(&cut, None).unwrap();
        assert!(view(&btf, &cut).raw(1).is_some());
        assert!(view(&btf, &cut).raw(2).is_none());
        let unknown = section(&[&[0, 30 << 24, 0]], b"\0");
        assert!(view(&Btf::read(&unknown, None).unwrap(), &unknown).raw(1).is_none());
    }

    proptest! {
        #[test]
        fn damage_never_panics(flips in proptest::collection::vec((0usize..200, any::<u8>()), 1..8)) {
            let mut data = kernel();
            for (at, byte) in flips {
                let len = data.len();
                data[at % len] = byte;
            }
            let Some(btf) = Btf::read(&data, None) else { return Ok(()) };
            let view = view(&btf, &data);
            for (_, id, raw) in view.names() {
                prop_assert!(view.raw(id).is_some());
                let _ = (raw.members().count(), raw.parameters().count(), raw.array(), raw.word());
            }
            let _ = (view.named("pair", |_| true), view.enumerator("POS"), is_split(&data));
        }
    }
}
