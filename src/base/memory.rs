//! How pure code reads the guest: a read is answered, or it is a [`Gap`].
//!
//! A *miss* ([`Gap::Missing`]) means nobody has asked the guest yet; whoever
//! drives the computation fetches the bytes and runs it again. A *fault*
//! ([`Gap::Fault`]) means the guest was asked and said no; it is an answer.
//! Nothing here waits, and nothing here talks to a guest.

use super::addr::Addr;
use std::{cell::RefCell, collections::BTreeMap};
use thiserror::Error;

/// The unit in which memory is mapped and therefore in which it can fault.
pub const PAGE: u64 = 4096;

/// A run of guest bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Span {
    /// The first byte.
    pub start: Addr,
    /// How many bytes.
    pub len: u64,
}

impl Span {
    /// The `len` bytes at `start`.
    pub fn new(start: Addr, len: u64) -> Span {
        Span { start, len }
    }

    /// Whether `addr` lies inside.
    pub fn contains(&self, addr: Addr) -> bool {
        addr.since(self.start) < self.len
    }
}

/// Why a read has no bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum Gap {
    /// Not asked for yet: a miss.
    #[error("{} bytes at {} are not read yet", .0.len, .0.start)]
    Missing(Span),
    /// The guest refused: not mapped, or not readable by kgdb.
    #[error("{} bytes at {} can't be read in the guest", .0.len, .0.start)]
    Fault(Span),
    /// A record is shown, and nobody read this while it was made. The guest is
    /// not there to be asked, so it is an answer too.
    #[error("{} bytes at {} are not in the record", .0.len, .0.start)]
    Unrecorded(Span),
}

impl Gap {
    /// Whether fetching may help.
    pub fn is_missing(&self) -> bool {
        matches!(self, Gap::Missing(_))
    }
}

/// Guest memory as pure code sees it. Integers are little-endian, as on every
/// architecture kgdb-tui knows.
pub trait Memory {
    /// Fills `buf` from `addr`, or says what is in the way. On an error the
    /// contents of `buf` are unspecified.
    fn read(&self, addr: Addr, buf: &mut [u8]) -> Result<(), Gap>;

    /// `len` bytes at `addr`. Callers bound `len`: it may come from the guest.
    fn bytes(&self, addr: Addr, len: usize) -> Result<Vec<u8>, Gap> {
        let mut buf = vec![0; len];
        self.read(addr, &mut buf)?;
        Ok(buf)
    }

    /// An unsigned integer of `size` (1 to 8) bytes.
    fn uint(&self, addr: Addr, size: usize) -> Result<u64, Gap> {
        let mut buf = [0; 8];
        self.read(addr, &mut buf[..size.min(8)])?;
        Ok(u64::from_le_bytes(buf))
    }

    /// A 32-bit integer.
    fn u32(&self, addr: Addr) -> Result<u32, Gap> {
        self.uint(addr, 4).map(|v| v as u32)
    }

    /// A 64-bit integer.
    fn u64(&self, addr: Addr) -> Result<u64, Gap> {
        self.uint(addr, 8)
    }

    /// Text up to a NUL or `max` bytes, whichever is first, with bytes that
    /// are not UTF-8 replaced. Asks for the bytes in one piece of `max`,
    /// except that it does not cross into the next page unless it must.
    fn c_string(&self, addr: Addr, max: usize) -> Result<String, Gap> {
        let mut text = Vec::new();
        let mut at = addr;
        while text.len() < max {
            let page_left = PAGE - at.0 % PAGE;
            let want = (max - text.len()).min(page_left as usize);
            let piece = self.bytes(at, want)?;
            if let Some(end) = piece.iter().position(|&b| b == 0) {
                text.extend_from_slice(&piece[..end]);
                break;
            }
            text.extend_from_slice(&piece);
            at = at.offset(want as u64);
        }
        Ok(String::from_utf8_lossy(&text).into_owned())
    }
}

/// Guest bytes as far as they are known.
#[derive(Clone, Default, Debug)]
pub struct Sparse {
    pages: BTreeMap<u64, Page>,
    /// Bytes that can't be asked for, by page, one bit each.
    unrecorded: BTreeMap<u64, Box<Bits>>,
}

/// One bit for each byte of a page.
type Bits = [u64; PAGE as usize / 64];

#[derive(Clone, Debug)]
enum Page {
    /// The bytes, and one bit a byte that says which of them are known.
    Bytes(Box<[u8; PAGE as usize]>, Box<Bits>),
    /// The guest refused a read inside this page, so all of it is unreadable.
    Fault,
}

impl Sparse {
    /// Knows nothing.
    pub fn new() -> Sparse {
        Sparse::default()
    }

    /// Remembers bytes the guest sent.
    pub fn insert(&mut self, addr: Addr, bytes: &[u8]) {
        for (i, &byte) in bytes.iter().enumerate() {
            let at = addr.offset(i as u64).0;
            let page = self.pages.entry(at / PAGE).or_insert_with(Page::empty);
            if matches!(page, Page::Fault) {
                *page = Page::empty();
            }
            if let Page::Bytes(data, known) = page {
                let index = (at % PAGE) as usize;
                data[index] = byte;
                known[index / 64] |= 1 << (index % 64);
            }
        }
    }

    /// Remembers that the guest refused to read at `addr`. Memory is mapped
    /// by pages, so the whole page is taken as unreadable.
    pub fn insert_fault(&mut self, addr: Addr) {
        self.pages.insert(addr.0 / PAGE, Page::Fault);
    }

    /// Remembers those of the bytes that were not known before.
    pub fn fill(&mut self, addr: Addr, bytes: &[u8]) {
        for (i, byte) in bytes.iter().enumerate() {
            let at = addr.offset(i as u64);
            if !self.knows(at) {
                self.insert(at, std::slice::from_ref(byte));
            }
        }
    }

    /// Remembers that nobody can be asked for these bytes. Unlike a fault it
    /// says nothing of the rest of the page.
    pub fn insert_unrecorded(&mut self, span: Span) {
        for i in 0..span.len {
            let at = span.start.offset(i).0;
            let bits = self.unrecorded.entry(at / PAGE).or_insert_with(|| Box::new([0; 64]));
            let index = (at % PAGE) as usize;
            bits[index / 64] |= 1 << (index % 64);
        }
    }

    fn knows(&self, at: Addr) -> bool {
        let Some(Page::Bytes(_, known)) = self.pages.get(&(at.0 / PAGE)) else { return false };
        is_set(known, at.0)
    }

    /// The parts of a span that are known, in order.
    pub fn known_in(&self, span: Span) -> Vec<Span> {
        let mut parts: Vec<Span> = Vec::new();
        for i in 0..span.len {
            let at = span.start.offset(i);
            if !self.knows(at) {
                continue;
            }
            match parts.last_mut() {
                Some(last) if last.start.offset(last.len) == at => last.len += 1,
                _ => parts.push(Span::new(at, 1)),
            }
        }
        parts
    }

    /// Every run of known bytes, and the first byte of every page that can't be
    /// read, in the order of addresses.
    pub fn pieces(&self) -> Vec<Piece> {
        let mut pieces = Vec::new();
        for (&page, held) in &self.pages {
            let start = Addr(page.wrapping_mul(PAGE));
            let Page::Bytes(data, _) = held else {
                pieces.push(Piece::Fault(start));
                continue;
            };
            for part in self.known_in(Span::new(start, PAGE)) {
                let from = (part.start.0 % PAGE) as usize;
                pieces
                    .push(Piece::Bytes(part.start, data[from..from + part.len as usize].to_vec()));
            }
        }
        pieces
    }

    /// How many pages are held.
    pub fn page_count(&self) -> usize {
        self.pages.len()
    }

    /// A span without the bytes at its start and end that are known.
    pub fn lacking(&self, span: Span) -> Span {
        let known = |at: u64| self.knows(span.start.offset(at));
        let first = (0..span.len).find(|&at| !known(at)).unwrap_or(span.len);
        let end = (first..span.len).rev().find(|&at| !known(at)).map_or(first, |at| at + 1);
        Span::new(span.start.offset(first), end - first)
    }

    /// Forgets all pages but those that have a byte of one of these spans.
    pub fn keep_only(&mut self, spans: &[Span]) {
        self.pages.retain(|page, _| {
            let page = Span::new(Addr(page * PAGE), PAGE);
            spans.iter().any(|span| page.contains(span.start) || span.contains(page.start))
        });
        // What another stop's record lacks, this one's may have.
        self.unrecorded.clear();
    }

    /// Forgets everything.
    pub fn clear(&mut self) {
        self.pages.clear();
        self.unrecorded.clear();
    }
}

fn is_set(bits: &Bits, at: u64) -> bool {
    let index = (at % PAGE) as usize;
    bits[index / 64] >> (index % 64) & 1 == 1
}

/// A part of what is known of guest memory.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Piece {
    /// Bytes from an address on.
    Bytes(Addr, Vec<u8>),
    /// The page here can't be read.
    Fault(Addr),
}

impl Page {
    fn empty() -> Page {
        Page::Bytes(Box::new([0; PAGE as usize]), Box::new([0; PAGE as usize / 64]))
    }
}

impl Memory for Sparse {
    fn read(&self, addr: Addr, buf: &mut [u8]) -> Result<(), Gap> {
        let span = Span::new(addr, buf.len() as u64);
        let (mut missing, mut unrecorded) = (false, false);
        for (i, out) in buf.iter_mut().enumerate() {
            let at = addr.offset(i as u64).0;
            match self.pages.get(&(at / PAGE)) {
                Some(Page::Fault) => return Err(Gap::Fault(span)),
                Some(Page::Bytes(data, known)) if is_set(known, at) => {
                    *out = data[(at % PAGE) as usize];
                }
                _ => {
                    missing = true;
                    unrecorded |=
                        self.unrecorded.get(&(at / PAGE)).is_some_and(|bits| is_set(bits, at));
                }
            }
        }
        match (missing, unrecorded) {
            (false, _) => Ok(()),
            (true, true) => Err(Gap::Unrecorded(span)),
            (true, false) => Err(Gap::Missing(span)),
        }
    }
}

/// Guest memory that writes down what was missed, so that one run of a
/// computation can report several misses and they can be fetched together.
pub struct Recorder<'a> {
    inner: &'a dyn Memory,
    misses: RefCell<Vec<Span>>,
}

impl<'a> Recorder<'a> {
    /// Reads through to `inner`.
    pub fn new(inner: &'a dyn Memory) -> Recorder<'a> {
        Recorder { inner, misses: RefCell::new(Vec::new()) }
    }

    /// What was missed so far, in the order of asking.
    pub fn into_misses(self) -> Vec<Span> {
        self.misses.into_inner()
    }
}

impl Memory for Recorder<'_> {
    fn read(&self, addr: Addr, buf: &mut [u8]) -> Result<(), Gap> {
        let result = self.inner.read(addr, buf);
        if let Err(Gap::Missing(span)) = result {
            self.misses.borrow_mut().push(span);
        }
        result
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn unknown_bytes_are_misses_and_refused_pages_are_faults() {
        let mut memory = Sparse::new();
        let at = Addr(0xffff_8880_0000_0ffe);
        assert_eq!(memory.u32(at), Err(Gap::Missing(Span::new(at, 4))));
        memory.insert(at, &[1, 2]);
        assert!(memory.u32(at).is_err_and(|gap| gap.is_missing()));
        memory.insert(at.offset(2), &[3, 4]);
        assert_eq!(memory.u32(at), Ok(0x0403_0201));
        memory.insert_fault(at.offset(2));
        assert_eq!(memory.u32(at), Err(Gap::Fault(Span::new(at, 4))));
        assert_eq!(memory.uint(at, 2), Ok(0x0201));
    }

    #[test]
    fn only_wanted_pages_are_kept() {
        let mut memory = Sparse::new();
        memory.insert(Addr(0x1000), &[1]);
        memory.insert(Addr(0x2000), &[2]);
        memory.insert(Addr(0x3fff), &[3]);
        memory.keep_only(&[Span::new(Addr(0x1ff0), 8), Span::new(Addr(0x3000), 0x2000)]);
        assert!(memory.uint(Addr(0x1000), 1).is_ok());
        assert!(memory.uint(Addr(0x2000), 1).is_err());
        assert!(memory.uint(Addr(0x3fff), 1).is_ok());
    }

    #[test]
    fn what_is_known_at_the_ends_is_not_lacking() {
        let mut memory = Sparse::new();
        let lacking = |memory: &Sparse| {
            let span = memory.lacking(Span::new(Addr(0x1000), 16));
            (span.start.0, span.len)
        };
        assert_eq!(lacking(&memory), (0x1000, 16));
        memory.insert(Addr(0xff0), &[0; 20]);
        assert_eq!(lacking(&memory), (0x1004, 12));
        memory.insert(Addr(0x1008), &[0; 2]);
        memory.insert(Addr(0x100e), &[0; 2]);
        assert_eq!(lacking(&memory), (0x1004, 10), "up to what is not known in the middle");
        memory.insert(Addr(0x1000), &[0; 16]);
        assert_eq!(lacking(&memory).1, 0);
    }

    #[test]
    fn strings_end_at_nul_or_at_the_limit() {
        let mut memory = Sparse::new();
        memory.insert(Addr(0x1ffc), b"hgfs\0junk");
        assert_eq!(memory.c_string(Addr(0x1ffc), 8).unwrap(), "hgfs");
        assert_eq!(memory.c_string(Addr(0x1ffc), 3).unwrap(), "hgf");
    }

    #[test]
    fn a_recorder_lists_every_miss() {
        let memory = Sparse::new();
        let recorder = Recorder::new(&memory);
        let _ = recorder.u64(Addr(0x1000));
        let _ = recorder.u32(Addr(0x2000));
        assert_eq!(
            recorder.into_misses(),
            [Span::new(Addr(0x1000), 8), Span::new(Addr(0x2000), 4)]
        );
    }

    proptest! {
        #[test]
        fn what_goes_in_comes_out(start in any::<u64>(), data in prop::collection::vec(any::<u8>(), 1..9000)) {
            let mut memory = Sparse::new();
            memory.insert(Addr(start), &data);
            prop_assert_eq!(memory.bytes(Addr(start), data.len()).unwrap(), data);
        }
    }
}
