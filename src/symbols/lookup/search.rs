//! Names found by a few of their letters: functions, variables, types,
//! enumerators and source files of every image, best first.
//!
//! Each image gets a `Corpus` at the first question: its names once each,
//! in one piece of memory, with a mask of their letters. Most names are ruled
//! out by the mask alone; the rest are scored by `nucleo-matcher` on every
//! core. A [`Searcher`] also keeps which names fitted the last query: one more
//! letter can only make them fewer.
//!
//! Measured in a release build on two cores that were busy with other work
//! (load 5 to 6), 2026-11, `cargo bench --bench symbols`, on a distribution's
//! vmlinux of 633 MB: the first question 62 ms, which makes the corpus; then
//! letter by letter 1 to 3 ms for `vfsread`, 9 to 0.2 ms for `task_struct`;
//! one or two of the most common letters, which fit nearly every name, 9 to
//! 12 ms. On a vmlinux of 220 MB two thirds of that.

use crate::symbols::{
    answer::ImageId,
    code::funcs::declared,
    dwarf::{index::Kind, reader::Unit},
    image::DebugImage,
    lookup::corpus::{Corpus, Name, letters},
    placed::{Placed, Symbols},
};
use nucleo_matcher::{
    Config, Matcher, Utf32Str,
    pattern::{Atom, AtomKind, CaseMatching, Normalization, Pattern},
};
use rayon::{
    iter::{IntoParallelRefIterator as _, ParallelIterator as _},
    slice::ParallelSlice as _,
};
use std::{cell::RefCell, cmp::Reverse, sync::Arc};

/// What a name is of.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum NameKind {
    /// A function.
    Function,
    /// A variable.
    Variable,
    /// A struct.
    Struct,
    /// A union.
    Union,
    /// An enumeration.
    Enum,
    /// A typedef.
    Typedef,
    /// An integer or the like.
    Base,
    /// One value of an enumeration.
    Enumerator,
    /// A source file.
    File,
}

impl NameKind {
    pub(in crate::symbols) fn of(kind: Kind) -> NameKind {
        match kind {
            Kind::Function | Kind::Inline => NameKind::Function,
            Kind::Variable | Kind::Declared => NameKind::Variable,
            Kind::Struct => NameKind::Struct,
            Kind::Union => NameKind::Union,
            Kind::Enum => NameKind::Enum,
            Kind::Typedef => NameKind::Typedef,
            Kind::Base => NameKind::Base,
            Kind::Enumerator => NameKind::Enumerator,
        }
    }

    /// Its name: `function`, `variable`, `struct`, …
    pub fn word(self) -> &'static str {
        match self {
            NameKind::Function => "function",
            NameKind::Variable => "variable",
            NameKind::Struct => "struct",
            NameKind::Union => "union",
            NameKind::Enum => "enum",
            NameKind::Typedef => "typedef",
            NameKind::Base => "base",
            NameKind::Enumerator => "enumerator",
            NameKind::File => "file",
        }
    }

    /// The letter that asks for this kind alone, before a `:`.
    fn letter(self) -> char {
        match self {
            NameKind::Function => 'f',
            NameKind::Variable => 'v',
            NameKind::Enumerator => 'e',
            NameKind::File => 's',
            _ => 't',
        }
    }
}

/// A name that fits.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Found {
    /// The name, or a file's path.
    pub name: String,
    /// What it is of.
    pub kind: NameKind,
    /// The file that declares it.
    pub file: Option<String>,
    /// The line of that.
    pub line: Option<u32>,
    /// The module; `None` for vmlinux.
    pub module: Option<String>,
    /// How well it fits; only comparable within one query.
    pub score: u32,
}

/// What is looked for.
struct Query {
    pattern: Pattern,
    /// Letters that every name that fits has.
    letters: u64,
    kind: Option<char>,
}

impl Query {
    /// A text as fzf reads it: words that must all fit, in any order, small
    /// letters for either case; `^`, `$`, `'` and `!` as there. `f:`, `v:`,
    /// `t:`, `e:` or `s:` before it asks for one kind.
    fn parse(text: &str) -> Query {
        let (kind, text) = match text.trim_start().split_once(':') {
            Some((kind @ ("f" | "v" | "t" | "e" | "s"), rest)) => (kind.chars().next(), rest),
            _ => (None, text),
        };
        let pattern = Pattern::parse(text, CaseMatching::Smart, Normalization::Never);
        let wanted = pattern.atoms.iter().filter(|atom| !atom.negative);
        let letters = wanted
            .map(|atom| letters(atom.needle_text().to_string().as_bytes()))
            .fold(0, |all, some| all | some);
        Query { pattern, letters, kind }
    }

    /// The score of the first way to lay the letters over a name, of a query
    /// of words alone.
    fn quick(&self, name: Utf32Str<'_>, matcher: &mut Matcher) -> Option<u32> {
        let score = |atom: &Atom| {
            let needle = atom.needle_text();
            // As the pattern was parsed: small letters mean either case.
            matcher.config.normalize = false;
            matcher.config.ignore_case = !needle.chars().any(char::is_uppercase);
            matcher.fuzzy_match_greedy(name, needle).map(u32::from)
        };
        self.pattern.atoms.iter().map(score).sum()
    }

    /// Whether adding letters to it can only make fewer names fit.
    fn narrows(&self) -> bool {
        self.pattern.atoms.iter().all(|atom| !atom.negative && atom.kind == AtomKind::Fuzzy)
    }
}

/// A search that is typed letter by letter.
#[derive(Default)]
pub struct Searcher {
    last: Option<Last>,
}

/// What the last query left.
struct Last {
    query: String,
    kind: Option<char>,
    fits: Vec<(ImageId, Arc<Corpus>, Vec<u32>)>,
}

/// A name that fits, by image and place in its corpus.
#[derive(Clone, Copy)]
struct Scored {
    score: u32,
    image: usize,
    name: u32,
}

impl Searcher {
    /// The names that fit `text` best, at most `limit`.
    pub fn search(&mut self, symbols: &Symbols, text: &str, limit: usize) -> Vec<Found> {
        let query = Query::parse(text);
        if query.pattern.atoms.is_empty() || limit == 0 {
            return Vec::new();
        }
        let last = self.last.take();
        let goes_on = |last: &Last| last.kind == query.kind && text.starts_with(&last.query);
        let kept = last.filter(|last| query.narrows() && goes_on(last));
        let mut fits = Vec::new();
        let mut best: Vec<Scored> = Vec::new();
        for (image, placed) in symbols.images().enumerate() {
            let corpus = Corpus::of(&placed.image);
            let before = kept.as_ref().and_then(|kept| {
                let same = |fit: &&(ImageId, Arc<Corpus>, Vec<u32>)| {
                    fit.0 == placed.id && Arc::ptr_eq(&fit.1, &corpus)
                };
                kept.fits.iter().find(same).map(|fit| fit.2.as_slice())
            });
            let round = score(&corpus, &query, before, limit);
            fits.push((placed.id, corpus, round.fits));
            best.extend(round.best.iter().map(|&(score, name)| Scored { score, image, name }));
            keep_best(&mut best, &fits, limit);
        }
        let found = best.iter().map(|scored| {
            let (_, corpus, _) = &fits[scored.image];
            let name = corpus.names[scored.name as usize];
            (corpus.text(&name).to_owned(), name.kind, scored.score, scored.image)
        });
        let placed: Vec<&Placed> = symbols.images().collect();
        let found = found
            .map(|(name, kind, score, image)| {
                let placed = placed[image];
                let (file, line) = where_declared(&placed.image, &name, kind);
                Found { name, kind, file, line, module: placed.module(), score }
            })
            .collect();
        let query_text = text.to_owned();
        self.last = query.narrows().then_some(Last { query: query_text, kind: query.kind, fits });
        found
    }
}

/// Keeps the best `limit`, best first: by score, then short names before
/// long, functions before variables before types, the kernel before modules.
fn keep_best(best: &mut Vec<Scored>, fits: &[(ImageId, Arc<Corpus>, Vec<u32>)], limit: usize) {
    let key = |scored: &Scored| {
        let name = fits[scored.image].1.names[scored.name as usize];
        (Reverse(scored.score), name.len, name.kind, scored.image, scored.name)
    };
    if best.len() > limit {
        best.select_nth_unstable_by_key(limit - 1, key);
        best.truncate(limit);
    }
    best.sort_unstable_by_key(key);
}

/// What one corpus has for a query.
struct Round {
    /// Every name that fits.
    fits: Vec<u32>,
    /// The best of them, with their scores, in no order.
    best: Vec<(u32, u32)>,
}

/// The names of `among` (or all) that fit, and at least the best `limit`.
///
/// The best way to lay a few letters over a name costs much more to find than
/// the first. So where very many names fit, all get the score of the first,
/// and only those that do best in that get their best.
fn score(corpus: &Corpus, query: &Query, among: Option<&[u32]>, limit: usize) -> Round {
    /// Names whose best score is worth its time.
    const BEST: usize = 1500;
    let quick = query.narrows();
    let mut best = match quick {
        true => scored(corpus, query, among, |name, matcher| query.quick(name, matcher)),
        false => scored(corpus, query, among, |name, matcher| query.pattern.score(name, matcher)),
    };
    let fits = best.iter().map(|(_, name)| *name).collect();
    let most = limit.max(BEST);
    if best.len() > most {
        let rank = |index: u32| {
            let name = corpus.names[index as usize];
            (name.len, name.kind, index)
        };
        best.select_nth_unstable_by(most - 1, |a, b| {
            b.0.cmp(&a.0).then_with(|| rank(a.1).cmp(&rank(b.1)))
        });
        best.truncate(most);
    }
    if quick {
        MATCHER.with_borrow_mut(|matcher| {
            let mut buffer = Vec::new();
            for (score, index) in &mut best {
                let name = corpus.text(&corpus.names[*index as usize]);
                let whole = query.pattern.score(Utf32Str::new(name, &mut buffer), matcher);
                *score = whole.unwrap_or(*score);
            }
        });
    }
    Round { fits, best }
}

/// The names that are not ruled out by their letters or kind, and have a score.
fn scored(
    corpus: &Corpus,
    query: &Query,
    among: Option<&[u32]>,
    score: impl Fn(Utf32Str<'_>, &mut Matcher) -> Option<u32> + Sync,
) -> Vec<(u32, u32)> {
    /// Names in one piece of the work.
    const PIECE: usize = 4096;
    let may = |name: &Name| {
        name.letters & query.letters == query.letters
            && query.kind.is_none_or(|kind| kind == name.kind.letter())
    };
    let piece = |indexes: &mut dyn Iterator<Item = u32>| {
        MATCHER.with_borrow_mut(|matcher| {
            let mut buffer = Vec::new();
            let mut found = Vec::new();
            for index in indexes {
                let name = &corpus.names[index as usize];
                if may(name)
                    && let Some(score) =
                        score(Utf32Str::new(corpus.text(name), &mut buffer), matcher)
                {
                    found.push((score, index));
                }
            }
            found
        })
    };
    match among {
        Some(among) => {
            let pieces = among.par_chunks(PIECE);
            pieces.flat_map_iter(|part| piece(&mut part.iter().copied())).collect()
        }
        None => {
            let count = corpus.names.len() as u32;
            let starts: Vec<u32> = (0..count).step_by(PIECE).collect();
            let part = |start: &u32| piece(&mut (*start..(start + PIECE as u32).min(count)));
            starts.par_iter().flat_map_iter(part).collect()
        }
    }
}

thread_local! {
    /// A matcher has some 130 kB of memory to work in.
    static MATCHER: RefCell<Matcher> = RefCell::new(Matcher::new(Config::DEFAULT));
}

/// Where a name is declared, by the first description of it.
fn where_declared(image: &DebugImage, name: &str, kind: NameKind) -> (Option<String>, Option<u32>) {
    if kind == NameKind::File {
        return (Some(name.to_owned()), None);
    }
    let place = || {
        let named = image.loaded()?.index.named(image.image(), name);
        let entry = named.iter().find(|entry| NameKind::of(entry.kind) == kind)?;
        let unit = Unit::open(image, entry.unit)?;
        let (file, line) = declared(&unit, &unit.entry(entry.die)?);
        Some((file.map(|file| file.name), line))
    };
    place().unwrap_or_default()
}

impl Symbols {
    /// The names that fit `text` best, at most `limit`; see
    /// [`Searcher::search`], which is quicker while `text` is being typed.
    pub fn search(&self, text: &str, limit: usize) -> Vec<Found> {
        Searcher::default().search(self, text, limit)
    }

    /// Functions and variables that `name` may be a slip of: up to two
    /// letters wrong, missing, too many or swapped; else those that have its
    /// letters in their order.
    pub fn similar_names(&self, name: &str, limit: usize) -> Vec<String> {
        let most = match name.chars().count() {
            0..=2 => 0,
            3..=5 => 1,
            _ => 2,
        };
        let wanted: Vec<char> = name.to_lowercase().chars().collect();
        let own = letters(name.as_bytes());
        let mut near: Vec<(usize, NameKind, String)> = Vec::new();
        for placed in self.images() {
            let corpus = Corpus::of(&placed.image);
            for entry in &corpus.names {
                // Each slip changes at most one letter for another.
                let apart = (entry.letters ^ own).count_ones() as usize;
                let longer = usize::from(entry.len).abs_diff(name.len());
                let callable = matches!(entry.kind, NameKind::Function | NameKind::Variable);
                if !callable || apart > 2 * most || longer > most {
                    continue;
                }
                let text = corpus.text(entry);
                if let Some(slips) = slips(&wanted, text, most) {
                    near.push((slips, entry.kind, text.to_owned()));
                }
            }
        }
        near.sort();
        near.dedup_by(|a, b| a.2 == b.2);
        let mut names: Vec<String> = near.into_iter().map(|(.., name)| name).take(limit).collect();
        if names.is_empty() && wanted.len() > 2 && !name.contains([' ', '!', '^', '$', '\'']) {
            let found = self.search(&format!("f:{name}"), limit);
            names.extend(found.into_iter().map(|found| found.name));
            names.dedup();
        }
        names
    }
}

/// How many letters of `name` are wrong, missing, too many or swapped with
/// their neighbour (the restricted Damerau–Levenshtein distance), in either
/// case; `None` when more than `most`.
pub fn slips(wanted: &[char], name: &str, most: usize) -> Option<usize> {
    let name: Vec<char> = name.to_lowercase().chars().collect();
    let mut before: Vec<usize> = Vec::new();
    let mut last: Vec<usize> = (0..=name.len()).collect();
    for (i, &c) in wanted.iter().enumerate() {
        let mut row = vec![i + 1];
        for (j, &d) in name.iter().enumerate() {
            let changed = last[j] + usize::from(c != d);
            let mut least = changed.min(last[j + 1] + 1).min(row[j] + 1);
            if i > 0 && j > 0 && c == name[j - 1] && wanted[i - 1] == d {
                least = least.min(before[j - 1] + 1);
            }
            row.push(least);
        }
        if row.iter().all(|&slips| slips > most) {
            return None;
        }
        before = std::mem::replace(&mut last, row);
    }
    last.last().copied().filter(|&slips| slips <= most)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn slips_are_counted() {
        let count = |wanted: &str, name: &str| slips(&wanted.chars().collect::<Vec<_>>(), name, 2);
        assert_eq!(count("vfs_read", "vfs_read"), Some(0));
        assert_eq!(count("vfs_raed", "vfs_read"), Some(1));
        assert_eq!(count("vfs_red", "vfs_read"), Some(1));
        assert_eq!(count("vfs_readd", "vfs_read"), Some(1));
        assert_eq!(count("hgfssendrequest", "HgfsSendRequest"), Some(0));
        assert_eq!(count("vfs_raedx", "vfs_read"), Some(2));
        assert_eq!(count("vfs_write", "vfs_read"), None);
        assert_eq!(count("ca", "abc"), None);
    }

    fn corpus(names: &[(&str, NameKind)]) -> Corpus {
        let mut corpus = Corpus::new(1000, true);
        names.iter().for_each(|(name, kind)| corpus.add(name.as_bytes(), *kind));
        corpus
    }

    #[test]
    fn queries_rule_out_by_letters_and_kind() {
        let corpus = corpus(&[
            ("vfs_read", NameKind::Function),
            ("vfs_readv", NameKind::Function),
            ("VFS_READ", NameKind::Enumerator),
            ("fs/read_write.c", NameKind::File),
            ("größe", NameKind::Variable),
        ]);
        let fit = |query: &str| -> Vec<u32> { score(&corpus, &Query::parse(query), None, 9).fits };
        assert_eq!(fit("vfsrd"), [0, 1, 2]);
        assert_eq!(fit("VFS"), [2], "capitals are meant");
        assert_eq!(fit("read$"), [0, 2]);
        assert_eq!(fit("f:rd"), [0, 1]);
        assert_eq!(fit("s:rd"), [3]);
        assert_eq!(fit("read !v$ vfs"), [0, 2]);
        assert_eq!(fit("größ"), [4]);
        assert!(Query::parse("vfs rd").narrows());
        assert!(!Query::parse("read$").narrows());
    }

    #[test]
    fn of_equal_names_the_short_one_comes_first() {
        let corpus = Arc::new(corpus(&[
            ("vfs_readv", NameKind::Function),
            ("vfs_read", NameKind::Function),
            ("vfs_ready", NameKind::Function),
        ]));
        let mut best: Vec<Scored> = score(&corpus, &Query::parse("vfs_read"), None, 2)
            .best
            .into_iter()
            .map(|(score, name)| Scored { score, image: 0, name })
            .collect();
        keep_best(&mut best, &[(ImageId(0), corpus, Vec::new())], 2);
        assert_eq!(best.iter().map(|scored| scored.name).collect::<Vec<_>>(), [1, 0]);
    }
}
