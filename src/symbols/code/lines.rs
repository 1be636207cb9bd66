//! Addresses to lines, and the table of source files. Kept apart from the
//! `addr2line` crate's, which drops `is_stmt` and with it the places where a
//! line may be stopped at.

use crate::{
    base::addr::{Addr, FileAddr},
    symbols::{
        answer::{LineRow, SourceFile},
        dwarf::{
            reader::{Slice, Unit},
            rows::{Row, Rows},
        },
        image::DebugImage,
        placed::{Placed, Symbols},
    },
};
use gimli::LineProgramHeader;
use rustc_hash::FxHashMap;
use std::{
    cell::OnceCell,
    sync::{Arc, OnceLock},
};

impl DebugImage {
    /// The rows of a unit, kept from the first question on.
    pub(in crate::symbols) fn rows(&self, unit: &Unit<'_>) -> Arc<Rows> {
        let read = || Arc::new(Rows::read(unit.line_table()));
        unit.head.rows.get_or_init(read).clone()
    }
}

/// The file of an index of a unit's line table. Kept: many rows have it.
pub(in crate::symbols) fn source_file(unit: &Unit<'_>, index: u64) -> Option<SourceFile> {
    let table = unit.head.files.get_or_init(|| {
        let count = unit.line_program().map_or(0, |p| p.header().file_names().len());
        (0..=count).map(|_| OnceLock::new()).collect()
    });
    let kept = table.get(usize::try_from(index).ok()?)?;
    kept.get_or_init(|| {
        let name = Directories::of(unit)?.path(index)?;
        Some(Box::new(SourceFile { name, comp_dir: unit.comp_dir() }))
    })
    .as_deref()
    .cloned()
}

/// The directories of a line table, as they begin the paths of its files.
struct Directories<'u, 'a> {
    unit: &'u Unit<'a>,
    header: &'u LineProgramHeader<Slice<'a>>,
    comp_dir: Option<String>,
    /// By index, once one is needed.
    tidied: Vec<Option<String>>,
}

impl<'u, 'a> Directories<'u, 'a> {
    fn of(unit: &'u Unit<'a>) -> Option<Directories<'u, 'a>> {
        let header = unit.line_program()?.header();
        Some(Directories { unit, header, comp_dir: unit.comp_dir(), tidied: Vec::new() })
    }

    /// The whole path of a file.
    fn path(&mut self, index: u64) -> Option<String> {
        let file = self.header.file(index)?;
        let name = self.unit.line_string(file.path_name())?;
        if name.starts_with('/') {
            return Some(tidy(&name));
        }
        let mut path = self.directory(file.directory_index()).to_owned();
        if !path.is_empty() && !path.ends_with('/') {
            path.push('/');
        }
        path.push_str(&name);
        // Nearly all names are plain.
        let plain = !name.starts_with('.') && !name.contains("//") && !name.contains("/.");
        Some(if plain { path } else { tidy(&path) })
    }

    /// The directory of an index: tidied, and empty for none.
    fn directory(&mut self, index: u64) -> &str {
        let Ok(at) = usize::try_from(index) else { return "" };
        // Files that name a directory that is not there count as in none.
        let at = at.min(self.header.include_directories().len() + 1);
        if self.tidied.len() <= at {
            self.tidied.resize(at + 1, None);
        }
        if self.tidied[at].is_none() {
            self.tidied[at] = Some(self.tidy(index));
        }
        self.tidied[at].as_deref().unwrap_or_default()
    }

    fn tidy(&self, index: u64) -> String {
        let comp_dir = self.comp_dir.as_deref();
        // Directory 0 is the unit's own, said again (DWARF 5) or implied.
        let said = index != 0 || comp_dir.is_none() && self.header.version() >= 5;
        let own = self.header.directory(index).filter(|_| said);
        let own = own.and_then(|dir| self.unit.line_string(dir));
        let mut path = own.filter(|dir| Some(dir.as_str()) != comp_dir).unwrap_or_default();
        if let Some(base) = comp_dir.filter(|dir| dir.starts_with('/'))
            && !path.starts_with('/')
        {
            path = format!("{}/{path}", base.trim_end_matches('/'));
        }
        tidy(&path)
    }
}

/// A path without `.` and without `x/..`, which compilers leave in paths of
/// included headers, so that one file has one name.
pub(in crate::symbols) fn tidy(path: &str) -> String {
    let mut parts: Vec<&str> = Vec::new();
    for part in path.split('/') {
        match part {
            "." | "" => {}
            ".." if parts.last().is_some_and(|last| *last != "..") => {
                parts.pop();
            }
            part => parts.push(part),
        }
    }
    let root = if path.starts_with('/') { "/" } else { "" };
    format!("{root}{}", parts.join("/"))
}

/// Every source file of an image, and which units name it.
#[derive(Default)]
pub(in crate::symbols) struct Files {
    /// While reading.
    by_name: FxHashMap<String, Vec<Use>>,
    /// Sorted, once everything is read.
    names: Vec<String>,
    /// By name: where its uses start in `uses`; one more at the end.
    starts: Vec<u32>,
    uses: Vec<Use>,
}

/// A unit, and the index of a file in that unit's table.
type Use = (u32, u32);

impl Files {
    /// Reads the file table of a unit's line program.
    pub fn read(&mut self, unit: &Unit<'_>) {
        let Some(program) = unit.line_program() else { return };
        let header = program.header();
        // Files count from 1 before DWARF 5.
        let first = if header.version() >= 5 { 0 } else { 1 };
        let Some(mut directories) = Directories::of(unit) else { return };
        for index in first..first + header.file_names().len() as u64 {
            let Some(name) = directories.path(index) else { continue };
            let entry = (unit.number, index as u32);
            match self.by_name.get_mut(&name) {
                Some(uses) => uses.push(entry),
                None => drop(self.by_name.insert(name, vec![entry])),
            }
        }
    }

    /// The table that is asked, of all that was read.
    pub fn of_parts(parts: Vec<Files>) -> Files {
        let mut all: FxHashMap<String, Vec<Use>> = FxHashMap::default();
        for (name, uses) in parts.into_iter().flat_map(|part| part.by_name) {
            all.entry(name).or_default().extend(uses);
        }
        let mut sorted: Vec<(String, Vec<Use>)> = all.into_iter().collect();
        sorted.sort_unstable_by(|a, b| a.0.cmp(&b.0));
        let mut files = Files::default();
        for (name, uses) in sorted {
            files.names.push(name);
            files.starts.push(files.uses.len() as u32);
            files.uses.extend(uses);
        }
        files.starts.push(files.uses.len() as u32);
        files.uses.shrink_to_fit();
        files
    }

    /// Every name, sorted.
    pub fn names(&self) -> &[String] {
        &self.names
    }

    /// The units that name the file, with its index there.
    pub fn uses(&self, name: &str) -> &[(u32, u32)] {
        let Ok(at) = self.names.binary_search_by(|have| have.as_str().cmp(name)) else {
            return &[];
        };
        &self.uses[self.starts[at] as usize..self.starts[at + 1] as usize]
    }
}

impl Symbols {
    /// The row of the line table whose code holds `addr`; `None` for code
    /// without lines, and before the debug info is loaded.
    pub fn row_at(&self, addr: Addr) -> Option<LineRow> {
        let (placed, file) = self.locate(addr)?;
        row_in(placed, file, placed.image.unit_at(file)?)
    }

    /// Every row that overlaps `start..end`, by address. The first and last
    /// may reach beyond.
    pub fn rows_of(&self, start: Addr, end: Addr) -> Vec<LineRow> {
        let mut out = Vec::new();
        let mut at = start;
        // A range may be of several units (a disassembly from an address on);
        // each round ends one unit's rows or steps over code that has none.
        for _ in 0..64 {
            if at >= end {
                break;
            }
            let Some((placed, file)) = self.locate(at) else { break };
            let rows = unit_rows(placed, file, file.0.saturating_add(end.since(at)));
            match rows.last() {
                Some(last) if last.end > at => {
                    at = last.end;
                    out.extend(rows);
                }
                _ => match placed.image.next_unit(file) {
                    Some(next) => at = at.offset(next.0 - file.0),
                    None => break,
                },
            }
        }
        out
    }
}

impl DebugImage {
    /// The line table of a unit, and what comes after it.
    pub(in crate::symbols) fn line_table(&self, number: u32) -> Option<&[u8]> {
        let units = self.units()?;
        let place = units.sections().place(gimli::SectionId::DebugLine)?;
        self.image().section_data_at(place)?.get(units.head(number)?.lines_here()?..)
    }

    /// Where the next unit's code starts after `addr`.
    fn next_unit(&self, addr: FileAddr) -> Option<FileAddr> {
        let ranges = self.units()?.ranges();
        let after = ranges.partition_point(|range| range.start <= addr.0);
        ranges.get(after).map(|range| FileAddr(range.start))
    }
}

/// The rows of the unit at `start`, up to `end`, as answers.
pub(in crate::symbols) fn unit_rows(placed: &Placed, start: FileAddr, end: u64) -> Vec<LineRow> {
    let open = || Unit::open(&placed.image, placed.image.unit_at(start)?);
    let Some(unit) = open() else { return Vec::new() };
    let rows = placed.image.rows(&unit);
    let mut files: FxHashMap<u32, Option<SourceFile>> = FxHashMap::default();
    let mut out = Vec::new();
    for (row, row_end) in rows.spans(start.0, end) {
        let file = files.entry(row.file).or_insert_with(|| source_file(&unit, row.file.into()));
        let file = file.clone();
        out.extend(file.and_then(|file| line_row(placed, &row, row_end, file)));
    }
    out.sort_by_key(|row| row.start);
    out
}

/// The row of unit `number` whose code holds `addr`. Opens the unit only for a
/// table or file that was not asked for before.
pub(in crate::symbols) fn row_in(placed: &Placed, addr: FileAddr, number: u32) -> Option<LineRow> {
    let image = &placed.image;
    let head = image.units()?.head(number)?;
    let unit = OnceCell::new();
    let unit = || unit.get_or_init(|| Unit::open(image, number)).as_ref();
    let (row, end) = match (head.rows.get(), image.line_table(number)) {
        (Some(rows), _) => rows.at(addr.0),
        (None, Some(table)) => head.rows.get_or_init(|| Arc::new(Rows::read(table))).at(addr.0),
        (None, None) => image.rows(unit()?).at(addr.0),
    }?;
    let known = head.file(row.file.into());
    let file = known.or_else(|| source_file(unit()?, row.file.into()))?;
    line_row(placed, &row, end, file)
}

fn line_row(placed: &Placed, row: &Row, end: u64, file: SourceFile) -> Option<LineRow> {
    let (start, end) = placed.runtime_range(row.addr, end)?;
    let (line, column) = (row.line, row.column.into());
    Some(LineRow { start, end, file, line, column, is_stmt: row.is_stmt })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_lose_what_says_nothing() {
        for (path, tidied) in [
            ("./include/linux/list.h", "include/linux/list.h"),
            ("/b/l/./kernel//fork.c", "/b/l/kernel/fork.c"),
            ("/b/arch/x86/../../kernel/fork.c", "/b/kernel/fork.c"),
            ("../lib/x.c", "../lib/x.c"),
            ("../../x.c", "../../x.c"),
        ] {
            assert_eq!(tidy(path), tidied);
        }
    }
}
