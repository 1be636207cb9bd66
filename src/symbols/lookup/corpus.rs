//! The names of one image in one piece of memory, for searches.

use crate::symbols::{dwarf::index::Kind, image::DebugImage, lookup::search::NameKind};
use rustc_hash::FxHashSet;
use std::sync::{Arc, OnceLock};

/// The names of an image.
pub(in crate::symbols) struct Corpus {
    text: Vec<u8>,
    pub names: Vec<Name>,
    /// Bytes of text it may have. Names that share their bytes could be more
    /// than the file, and are hostile.
    most: u64,
    /// Whether the debug info was there when it was made.
    whole: bool,
}

/// One name.
#[derive(Clone, Copy)]
pub(in crate::symbols) struct Name {
    /// See [`letters`].
    pub letters: u64,
    start: u32,
    /// Bytes.
    pub len: u16,
    /// What it is of.
    pub kind: NameKind,
}

/// How names begin that only a macro uses.
const MADE_UP: [&str; 3] = ["__UNIQUE_ID_", "__func__", "__compiletime_assert_"];

/// A corpus that is kept, once it is whole.
#[derive(Default)]
pub(in crate::symbols) struct Kept(OnceLock<Arc<Corpus>>);

impl Corpus {
    /// Nothing yet; at most so many bytes of text.
    pub fn new(most: u64, whole: bool) -> Corpus {
        Corpus { text: Vec::new(), names: Vec::new(), most, whole }
    }

    /// The names of an image; kept once its debug info is there.
    pub fn of(image: &DebugImage) -> Arc<Corpus> {
        if let Some(corpus) = image.names.0.get() {
            return corpus.clone();
        }
        let corpus = Arc::new(Corpus::make(image));
        if corpus.whole {
            return image.names.0.get_or_init(|| corpus).clone();
        }
        corpus
    }

    fn make(image: &DebugImage) -> Corpus {
        let whole = image.dwarf_ready() || !image.image().has_dwarf();
        let mut corpus = Corpus::new(image.image().file_size(), whole);
        // Names that macros make to have one; nobody looks for them.
        let made_up = |name: &[u8]| MADE_UP.iter().any(|start| name.starts_with(start.as_bytes()));
        let mut functions: FxHashSet<&[u8]> = FxHashSet::default();
        if let Some(loaded) = image.loaded() {
            let mut last: (&[u8], Option<NameKind>) = (b"", None);
            for (text, entry) in loaded.index.iter(image.image()) {
                let kind = NameKind::of(entry.kind);
                // Much is declared that this kernel does not have.
                let absent = || {
                    let name = std::str::from_utf8(text).unwrap_or_default();
                    image.image().symbols().named(name).next().is_none()
                };
                if entry.kind == Kind::Declared && (last == (text, Some(kind)) || absent()) {
                    continue;
                }
                if last != (text, Some(kind)) && !made_up(text) {
                    corpus.add(text, kind);
                    last = (text, Some(kind));
                    if kind == NameKind::Function {
                        functions.insert(text);
                    }
                }
            }
            for file in loaded.files.names() {
                corpus.add(file.as_bytes(), NameKind::File);
            }
        }
        let described = !functions.is_empty();
        for symbol in image.image().symbols().iter() {
            let name = symbol.name.as_bytes();
            let kind = match symbol.function {
                true => NameKind::Function,
                // Where there is DWARF it has the variables.
                false if !described && symbol.size != 0 => NameKind::Variable,
                false => continue,
            };
            if !symbol.name.ends_with(".cold") && !made_up(name) && functions.insert(name) {
                corpus.add(name, kind);
            }
        }
        corpus.text.shrink_to_fit();
        corpus.names.shrink_to_fit();
        corpus
    }

    /// Adds a name, unless it is no text or there is no more room.
    pub fn add(&mut self, text: &[u8], kind: NameKind) {
        let (Ok(start), Ok(len)) = (u32::try_from(self.text.len()), u16::try_from(text.len()))
        else {
            return;
        };
        let fits = u64::from(start) + u64::from(len) <= self.most;
        if len > 0 && fits && std::str::from_utf8(text).is_ok() {
            self.text.extend_from_slice(text);
            self.names.push(Name { letters: letters(text), start, len, kind });
        }
    }

    /// The text of a name.
    pub fn text(&self, name: &Name) -> &str {
        let start = name.start as usize;
        let bytes = self.text.get(start..start + usize::from(name.len)).unwrap_or_default();
        std::str::from_utf8(bytes).unwrap_or_default()
    }
}

/// One bit for each letter that a name has, in either case.
pub(in crate::symbols) fn letters(text: &[u8]) -> u64 {
    text.iter().fold(0, |mask, byte| {
        mask | 1
            << match byte.to_ascii_lowercase() {
                letter @ b'a'..=b'z' => letter - b'a',
                digit @ b'0'..=b'9' => 26 + digit - b'0',
                b'_' => 36,
                b'/' => 37,
                b'.' => 38,
                b'-' => 39,
                _ => 40,
            }
    })
}
