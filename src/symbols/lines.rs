//! Line tables: rows by unit, decoded when asked for, and the table of source
//! files. Kept apart from the `addr2line` crate's, which drops `is_stmt` and
//! with it the places where a line may be stopped at.

use crate::{
    base::addr::{Addr, FileAddr},
    symbols::{
        answer::{LineRow, SourceFile},
        dwarf::Unit,
        image::DebugImage,
        placed::{Placed, Symbols},
    },
};
use gimli::ColumnType;
use rustc_hash::FxHashMap;
use std::sync::Arc;

/// One row, 24 bytes.
#[derive(Clone, Copy, Debug)]
pub(super) struct Row {
    pub addr: u64,
    pub file: u32,
    pub line: u32,
    pub column: u16,
    pub is_stmt: bool,
    /// It goes on with the row before it: the same line, cut in pieces by
    /// discriminators or columns. gdb drops such rows (`dwarf_record_line_p`
    /// in gdb/dwarf2/read.c).
    pub goes_on: bool,
    /// It goes on with a line that has a statement already: not a place of
    /// its own to stop at.
    pub again: bool,
}

/// The rows of one unit: sequences of ascending addresses.
#[derive(Debug, Default)]
pub(super) struct Rows {
    rows: Vec<Row>,
    /// By start.
    sequences: Vec<Sequence>,
}

/// Rows that cover `start..end` without a gap.
#[derive(Clone, Copy, Debug)]
struct Sequence {
    start: u64,
    end: u64,
    rows: (u32, u32),
}

impl Rows {
    /// Decodes the line table of a unit; what comes before damage is kept.
    pub fn read(unit: &Unit<'_>) -> Rows {
        let mut out = Rows::default();
        let Some(program) = unit.line_program().cloned() else { return out };
        let mut rows = program.rows();
        let mut first = 0;
        // Of the rows of one line in a row: whether there was a discriminator,
        // and whether there was a statement.
        let (mut pieces, mut stmt) = (false, false);
        while let Ok(Some((_, row))) = rows.next_row() {
            if row.end_sequence() {
                out.close(first, row.address());
                first = out.rows.len();
                (pieces, stmt) = (false, false);
                continue;
            }
            let small = |value: u64| u32::try_from(value).unwrap_or(0);
            let line = small(row.line().map_or(0, u64::from));
            let last = out.rows[first..].last();
            let same_line = last.is_some_and(|last| last.line == line);
            let same_file = last.is_some_and(|last| last.file == small(row.file_index()));
            pieces = row.discriminator() != 0 || pieces && same_line;
            let after_stmt = stmt && same_line && same_file;
            stmt = row.is_stmt() || after_stmt;
            out.rows.push(Row {
                addr: row.address(),
                file: small(row.file_index()),
                line,
                column: match row.column() {
                    ColumnType::LeftEdge => 0,
                    ColumnType::Column(column) => u16::try_from(column.get()).unwrap_or(0),
                },
                is_stmt: row.is_stmt(),
                goes_on: pieces && same_line && same_file,
                again: pieces && after_stmt,
            });
        }
        // A sequence without an end is damage.
        out.rows.truncate(first);
        out.sequences.sort_by_key(|sequence| sequence.start);
        out.rows.shrink_to_fit();
        out
    }

    /// Ends the sequence whose rows start at index `first`. Code the linker
    /// dropped starts at zero; it is left out.
    fn close(&mut self, first: usize, end: u64) {
        let rows = &mut self.rows[first..];
        rows.sort_by_key(|row| row.addr);
        let start = rows.first().map_or(0, |row| row.addr);
        if start == 0 || end <= start {
            self.rows.truncate(first);
            return;
        }
        let rows = (first as u32, self.rows.len() as u32);
        self.sequences.push(Sequence { start, end, rows });
    }

    /// Every row with the end of its code, by sequence. Of several rows at
    /// one address only the last has code of its own; as gdb does, the last
    /// one that begins a statement stands for it when the last does not.
    pub fn spans(&self, start: u64, end: u64) -> Vec<(Row, u64)> {
        let mut out = Vec::new();
        for sequence in &self.sequences {
            if sequence.start >= end {
                break;
            }
            if sequence.end <= start {
                continue;
            }
            let rows = &self.rows[sequence.rows.0 as usize..sequence.rows.1 as usize];
            let from = rows.partition_point(|row| row.addr <= start);
            let from = from.saturating_sub(1);
            // Back to the first row of the same address.
            let from = rows.partition_point(|row| row.addr < rows[from].addr);
            let mut at = from;
            while at < rows.len() && rows[at].addr < end {
                let group = rows[at..].partition_point(|row| row.addr == rows[at].addr);
                let next = rows.get(at + group).map_or(sequence.end, |row| row.addr);
                let same = &rows[at..at + group];
                let stmt = same.iter().rev().find(|row| row.is_stmt && !row.goes_on);
                let row = stmt.unwrap_or(&same[group - 1]);
                if next > start && next > row.addr {
                    out.push((*row, next));
                }
                at += group;
            }
        }
        out
    }

    /// Every row as it is in the table.
    pub fn all(&self) -> &[Row] {
        &self.rows
    }
}

impl DebugImage {
    /// The rows of a unit, kept from the first question on.
    pub(super) fn rows(&self, unit: &Unit<'_>) -> Arc<Rows> {
        unit.head.rows.get_or_init(|| Arc::new(Rows::read(unit))).clone()
    }
}

/// The file of an index of a unit's line table.
pub(super) fn source_file(unit: &Unit<'_>, index: u64) -> Option<SourceFile> {
    let program = unit.line_program()?;
    let header = program.header();
    let file = header.file(index)?;
    let name = unit.string(file.path_name())?;
    let comp_dir = unit.comp_dir();
    let dir = file.directory(header).and_then(|dir| unit.string(dir));
    // Directory 0 is the unit's own, said again (DWARF 5) or implied.
    let dir = dir.filter(|dir| file.directory_index() != 0 && Some(dir) != comp_dir.as_ref());
    let mut path = name;
    for base in [dir.as_deref(), comp_dir.as_deref().filter(|dir| dir.starts_with('/'))] {
        if let Some(base) = base
            && !path.starts_with('/')
        {
            path = format!("{}/{path}", base.trim_end_matches('/'));
        }
    }
    Some(SourceFile { name: tidy(&path), comp_dir })
}

/// A path without `.` and without `x/..`, which compilers leave in paths of
/// included headers, so that one file has one name.
pub(super) fn tidy(path: &str) -> String {
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
pub(super) struct Files {
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
        for index in first..first + header.file_names().len() as u64 {
            if let Some(file) = source_file(unit, index) {
                let entry = (unit.number, index as u32);
                self.by_name.entry(file.name).or_default().push(entry);
            }
        }
    }

    /// Adds what another has read.
    pub fn merge(&mut self, other: Files) {
        for (name, uses) in other.by_name {
            self.by_name.entry(name).or_default().extend(uses);
        }
    }

    /// Ends reading: the table that is asked.
    pub fn sorted(self) -> Files {
        let mut sorted: Vec<(String, Vec<Use>)> = self.by_name.into_iter().collect();
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
        self.rows_of(addr, addr.offset(1)).pop()
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
    /// Where the next unit's code starts after `addr`.
    fn next_unit(&self, addr: FileAddr) -> Option<FileAddr> {
        let ranges = self.units()?.ranges();
        let after = ranges.partition_point(|range| range.start <= addr.0);
        ranges.get(after).map(|range| FileAddr(range.start))
    }
}

/// The rows of the unit at `start`, up to `end`, as answers.
pub(super) fn unit_rows(placed: &Placed, start: FileAddr, end: u64) -> Vec<LineRow> {
    let open = || Unit::open(&placed.image, placed.image.unit_at(start)?);
    let Some(unit) = open() else { return Vec::new() };
    let rows = placed.image.rows(&unit);
    let mut files: FxHashMap<u32, Option<SourceFile>> = FxHashMap::default();
    let mut out = Vec::new();
    for (row, row_end) in rows.spans(start.0, end) {
        let file = files.entry(row.file).or_insert_with(|| source_file(&unit, row.file.into()));
        let (Some(file), Some((start, end))) = (file, placed.runtime_range(row.addr, row_end))
        else {
            continue;
        };
        out.push(LineRow {
            start,
            end,
            file: file.clone(),
            line: row.line,
            column: row.column.into(),
            is_stmt: row.is_stmt,
        });
    }
    out.sort_by_key(|row| row.start);
    out
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

    fn row(addr: u64, line: u32, is_stmt: bool) -> Row {
        Row { addr, file: 1, line, column: 0, is_stmt, goes_on: false, again: false }
    }

    #[test]
    fn of_rows_at_one_address_the_last_statement_stands() {
        let mut rows = Rows {
            rows: vec![
                row(0x10, 1, true),
                row(0x14, 2, true),
                row(0x14, 3, false),
                row(0x18, 4, false),
            ],
            sequences: Vec::new(),
        };
        rows.close(0, 0x20);
        let lines = |start, end| -> Vec<(u32, u64)> {
            rows.spans(start, end).iter().map(|(row, end)| (row.line, *end)).collect()
        };
        assert_eq!(lines(0x10, 0x20), [(1, 0x14), (2, 0x18), (4, 0x20)]);
        assert_eq!(lines(0x15, 0x16), [(2, 0x18)]);
        assert_eq!(lines(0x1f, 0x100), [(4, 0x20)]);
        assert_eq!(lines(0x20, 0x100), []);
        assert_eq!(lines(0, 0x10), []);
    }
}
