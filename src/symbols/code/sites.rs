//! Source lines to addresses: where `break file:line` belongs, and which
//! lines of a file have code.

use crate::{
    base::addr::{Addr, FileAddr},
    symbols::{
        answer::{CodeLines, LineMatch, LineMiss, SourceFile},
        code::{
            funcs::Nest,
            lines::{source_file, tidy},
            prologue,
        },
        dwarf::{
            reader::{Unit, die},
            rows::{Row, some_rows},
        },
        placed::{Placed, Symbols},
    },
};
use rayon::iter::{IntoParallelRefIterator as _, ParallelIterator as _};
use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

/// A file named by this many units or fewer has their rows kept; a header
/// named by thousands is decoded for the question only.
const FEW_UNITS: usize = 8;
/// Names offered for a file that is not found.
const SIMILAR: usize = 3;

impl Symbols {
    /// Where the code of a line is. `file` is a path, or its end from a `/`
    /// on: `read_write.c`, `fs/read_write.c`. A line without code gives the
    /// next one that has some. There is one address for each block of code,
    /// as gdb does it: of a line whose code is scattered over one block only
    /// the lowest; one inside a function's prologue moves behind it.
    ///
    /// # Errors
    /// See [`LineMiss`].
    pub fn find_lines(&self, file: &str, line: u32) -> Result<LineMatch, LineMiss> {
        let names = self.files_ending_in(file);
        if names.is_empty() {
            let similar = self.similar_files(file);
            return Err(LineMiss::NoSuchFile { file: file.to_owned(), similar });
        }
        let mut found: Vec<(String, Vec<Hit<'_>>)> = Vec::new();
        for name in names {
            let hits = self.hits(&name, line);
            if !hits.is_empty() {
                found.push((name, hits));
            }
        }
        // A file with the very line comes before those that have only later
        // ones: `file` may be a header and a source of the same name.
        let exact = |hits: &[Hit<'_>]| hits.iter().any(|hit| hit.row.line == line);
        if found.len() > 1 && found.iter().filter(|(_, hits)| exact(hits)).count() == 1 {
            found.retain(|(_, hits)| exact(hits));
        }
        match found.len() {
            0 => Err(LineMiss::NoCode { file: file.to_owned(), line }),
            1 => {
                self.line_match(&found[0].1).ok_or(LineMiss::NoCode { file: file.to_owned(), line })
            }
            _ => Err(LineMiss::Ambiguous {
                file: file.to_owned(),
                files: found.into_iter().map(|(name, _)| name).collect(),
            }),
        }
    }

    /// The lines of a file that have code, for the marks beside its text.
    /// `file` as in [`Symbols::find_lines`]; several files that end so are
    /// taken together.
    pub fn lines_with_code(&self, file: &str) -> CodeLines {
        let mut lines = BTreeSet::new();
        for name in self.files_ending_in(file) {
            for placed in self.images().filter(|placed| placed.image.dwarf_ready()) {
                let of_image = placed.image.lines.get(name.clone(), || {
                    let rows = rows_of_file(placed, &name);
                    let lines = rows.iter().map(|(_, row)| row.line).filter(|&line| line != 0);
                    Arc::new(lines.collect())
                });
                lines.extend(of_image.iter().copied());
            }
        }
        Arc::new(lines)
    }

    /// Every source file, sorted.
    pub fn files(&self) -> Vec<String> {
        let mut names: Vec<String> = self.file_names().map(str::to_owned).collect();
        names.sort();
        names.dedup();
        names
    }

    /// Files for completion: those with a part of their path, from a `/` on,
    /// that starts with `prefix`; given from that part on, shortest first.
    pub fn complete_file(&self, prefix: &str, limit: usize) -> Vec<String> {
        let mut found = BTreeSet::new();
        for name in self.file_names() {
            let starts = name.match_indices('/').map(|(at, _)| at + 1);
            // The last part that matches: the shortest that is enough.
            let mut starts: Vec<usize> = std::iter::once(0).chain(starts).collect();
            starts.reverse();
            if let Some(at) = starts.into_iter().find(|&at| name[at..].starts_with(prefix)) {
                found.insert((name.len() - at, &name[at..]));
            }
        }
        found.into_iter().take(limit).map(|(_, name)| name.to_owned()).collect()
    }

    /// The files that `file` can mean, as in [`Symbols::find_lines`]; at
    /// least one.
    ///
    /// # Errors
    /// No file ends so.
    pub fn source_files(&self, file: &str) -> Result<Vec<SourceFile>, LineMiss> {
        let of_name = |name: String| {
            self.images().find_map(|placed| {
                let &(unit, index) = placed.image.loaded()?.files.uses(&name).first()?;
                source_file(&Unit::open(&placed.image, unit)?, index.into())
            })
        };
        let found: Vec<SourceFile> =
            self.files_ending_in(file).into_iter().filter_map(of_name).collect();
        if found.is_empty() {
            let similar = self.similar_files(file);
            return Err(LineMiss::NoSuchFile { file: file.to_owned(), similar });
        }
        Ok(found)
    }

    fn file_names(&self) -> impl Iterator<Item = &str> {
        let loaded = self.images().filter_map(|placed| placed.image.loaded());
        loaded.flat_map(|loaded| loaded.files.names()).map(String::as_str)
    }

    fn files_ending_in(&self, file: &str) -> BTreeSet<String> {
        let file = tidy(file);
        let ends = |name: &&str| {
            let rest = name.strip_suffix(file.as_str());
            rest.is_some_and(|rest| rest.is_empty() || rest.ends_with('/'))
        };
        let found: BTreeSet<String> = self.file_names().filter(ends).map(str::to_owned).collect();
        if found.contains(&file) { BTreeSet::from([file]) } else { found }
    }

    /// Files whose last part resembles the one asked for.
    fn similar_files(&self, file: &str) -> Vec<String> {
        let base = |path: &str| path.rsplit('/').next().unwrap_or(path).to_owned();
        let wanted = base(file);
        let close = |name: &str| {
            let name = base(name);
            name == wanted || one_edit(&name, &wanted)
        };
        let found: BTreeSet<&str> = self.file_names().filter(|name| close(name)).collect();
        found.into_iter().take(SIMILAR).map(str::to_owned).collect()
    }

    /// The rows of the first line from `line` on that has code in `name`.
    fn hits(&self, name: &str, line: u32) -> Vec<Hit<'_>> {
        let mut hits: Vec<Hit<'_>> = Vec::new();
        for placed in self.images() {
            for &(unit, row) in rows_of_file(placed, name).iter() {
                if row.line >= line && row.line != 0 {
                    hits.push(Hit { placed, unit, row });
                }
            }
        }
        let landed = hits.iter().map(|hit| hit.row.line).min();
        hits.retain(|hit| Some(hit.row.line) == landed);
        hits
    }

    fn line_match(&self, hits: &[Hit<'_>]) -> Option<LineMatch> {
        let mut sites: BTreeMap<(u32, u32, u32), Addr> = BTreeMap::new();
        let mut lone = BTreeSet::new();
        let mut ordered: Vec<&Hit<'_>> = hits.iter().collect();
        ordered.sort_by_key(|hit| hit.row.addr);
        for hit in ordered {
            let file = FileAddr(hit.row.addr);
            let Some(mut at) = hit.placed.runtime(file) else { continue };
            let Some(nest) = Nest::in_image(hit.placed, file) else {
                lone.insert(at);
                continue;
            };
            let block = block_of(&nest);
            if let Some(after) = behind_prologue(&nest) {
                at = at.offset(after - file.0);
            }
            sites.entry((hit.placed.id.0, nest.unit.number, block)).or_insert(at);
        }
        let mut all: Vec<Addr> = sites.into_values().chain(lone).collect();
        all.sort();
        all.dedup();
        let first = hits.first()?;
        let unit = Unit::open(&first.placed.image, first.unit)?;
        let file: SourceFile = source_file(&unit, first.row.file.into())?;
        (!all.is_empty()).then_some(LineMatch { file, line: first.row.line, sites: all })
    }
}

/// A row of the wanted line.
struct Hit<'a> {
    placed: &'a Placed,
    unit: u32,
    row: Row,
}

/// The innermost block that gdb counts as one: a function, an inlined call,
/// or a block with variables of its own.
fn block_of(nest: &Nest<'_>) -> u32 {
    let counts = |entry: &&crate::symbols::dwarf::reader::Entry<'_>| {
        entry.tag() != gimli::DW_TAG_lexical_block
            || !nest.unit.children(die(entry), &[gimli::DW_TAG_variable]).is_empty()
    };
    nest.blocks.iter().rev().find(counts).map_or(0, die)
}

/// Where to stop instead, when the address is in the function's prologue.
fn behind_prologue(nest: &Nest<'_>) -> Option<u64> {
    let ranges = nest.unit.ranges(&nest.blocks[0]);
    let entry = nest.unit.entry_pc(&nest.blocks[0], &ranges)?;
    let range = ranges.iter().find(|range| (range.0..range.1).contains(&entry))?;
    if !(entry..range.1).contains(&nest.addr.0) {
        return None;
    }
    let after = prologue::after(&nest.placed.image, &nest.unit, entry, range.1);
    (nest.addr.0 < after).then_some(after)
}

/// Every statement row of a file in an image: (unit, row). The rows of units
/// that are few are kept whole; of a header, whose units may be thousands, only
/// those of its own lines.
fn rows_of_file(placed: &Placed, name: &str) -> Arc<Vec<(u32, Row)>> {
    let Some(loaded) = placed.image.loaded() else { return Arc::default() };
    let mut by_unit: BTreeMap<u32, BTreeSet<u32>> = BTreeMap::new();
    for &(unit, file) in loaded.files.uses(name) {
        by_unit.entry(unit).or_default().insert(file);
    }
    let keep = by_unit.len() <= FEW_UNITS;
    let by_unit: Vec<(u32, BTreeSet<u32>)> = by_unit.into_iter().collect();
    let of_unit = |(number, files): &(u32, BTreeSet<u32>)| {
        // Most units know a file by one number.
        let first = files.first().copied().unwrap_or_default();
        let of_file = |file: u32| file == first || files.len() > 1 && files.contains(&file);
        let wanted = |row: &Row| of_file(row.file) && row.is_stmt && !row.again;
        let rows: Option<Vec<Row>> = match keep {
            true => Unit::open(&placed.image, *number)
                .map(|unit| placed.image.rows(&unit).iter().filter(wanted).collect()),
            false => placed.image.line_table(*number).map(|table| some_rows(table, wanted)),
        };
        rows.unwrap_or_default().into_iter().map(|row| (*number, row)).collect()
    };
    let read = || {
        let parts: Vec<Vec<(u32, Row)>> = by_unit.par_iter().map(of_unit).collect();
        Arc::new(parts.concat())
    };
    if keep { read() } else { placed.image.headers.get(name.to_owned(), read) }
}

/// Whether two names differ by one letter: changed, added, left out.
fn one_edit(a: &str, b: &str) -> bool {
    let (short, long) = if a.len() <= b.len() { (a, b) } else { (b, a) };
    let (short, long) = (short.as_bytes(), long.as_bytes());
    let start = short.iter().zip(long).take_while(|(a, b)| a == b).count();
    match long.len() - short.len() {
        0 => short[start..].get(1..) == long[start..].get(1..),
        1 => short[start..] == long[start + 1..],
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_one_letter_apart() {
        for (a, b, near) in [
            ("fork.c", "fork.c", true),
            ("fork.c", "fork.h", true),
            ("fork.c", "frk.c", true),
            ("fork.c", "forks.c", true),
            ("fork.c", "frok.c", false),
            ("fork.c", "sys.c", false),
        ] {
            assert_eq!(one_edit(a, b), near, "{a} {b}");
            assert_eq!(one_edit(b, a), near, "{b} {a}");
        }
    }
}
