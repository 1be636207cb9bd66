//! `list` and `info line`: source lines, and which code is of which line.

use super::{
    answer::{Answer, Failure},
    request::Listing,
    resolve::Standpoint,
    run::Session,
    symbol_answer::{LineRange, SourceAnswer},
};
use crate::base::addr::Addr;
use crate::symbols::{
    answer::{LineMiss, LineRow, SourceFile},
    lookup::{location::Location, places::line_of},
    placed::Symbols,
};
use std::collections::BTreeSet;

/// What was listed last.
#[derive(Clone, Debug)]
pub struct Listed {
    /// The file.
    pub file: SourceFile,
    /// The line in question.
    pub line: u32,
    /// The first and the last line that were shown.
    shown: (u32, u32),
    /// The stop and the frame that were selected then: when another is, a
    /// plain `list` is about that.
    selection: Option<(u64, usize)>,
}

/// A line of a file that a location means.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SourceLine {
    /// The file.
    pub file: SourceFile,
    /// The line.
    pub line: u32,
    /// What is to be said of it first.
    pub heading: Option<String>,
    /// Other places of the same name, as locations.
    pub others: Vec<String>,
}

/// The source line a location means: a line itself whether it has code or
/// not, the line that a function starts on, the line of an address.
pub fn source_line(symbols: &Symbols, text: &str, from: &Standpoint) -> Result<SourceLine, String> {
    let location = Location::parse(text).map_err(|why| why.to_string())?;
    match &location {
        Location::Line { file, line, .. } => {
            let place = line_of(file.as_deref(), *line, from.here());
            let (file, line) = place.map_err(|why| why.to_string())?;
            let file = one_file(symbols, file, line).map_err(|why| why.to_string())?;
            Ok(SourceLine { file, line, heading: None, others: Vec::new() })
        }
        Location::Function { module, file, name } => {
            let found = symbols.functions(module, file.as_deref(), name);
            let found = found.map_err(|why| why.to_string())?;
            let mut starts: Vec<(SourceFile, u32)> = Vec::new();
            for function in &found {
                let row = symbols.row_at(function.entry);
                let of_file = |row: &LineRow| {
                    !function.inlined && row.line != 0 && Some(&row.file) == function.file.as_ref()
                };
                let line = row.filter(of_file).map(|row| row.line).or(function.line);
                if let (Some(file), Some(line)) = (&function.file, line)
                    && !starts.iter().any(|(have, at)| have == file && *at == line)
                {
                    starts.push((file.clone(), line));
                }
            }
            let mut starts = starts.into_iter();
            let (file, line) =
                starts.next().ok_or_else(|| format!("{name} has no source lines"))?;
            let others = starts.map(|(file, _)| format!("{}:{name}", file.short())).collect();
            Ok(SourceLine { file, line, heading: None, others })
        }
        Location::Address(expression) => {
            let addr = symbols.value_of(expression, from.here()).map_err(|why| why.to_string())?;
            let place = symbols.place_at(addr, None);
            let (Some(file), Some(line)) = (place.file, place.line) else {
                let name =
                    symbols.describe(addr).map_or(String::new(), |name| format!(" <{name}>"));
                return Err(format!("no source line is known for {addr}{name}"));
            };
            let function = place.function.unwrap_or_default();
            let heading = Some(format!("{addr} is in {function} ({}:{line}).", file.short()));
            Ok(SourceLine { file, line, heading, others: Vec::new() })
        }
    }
}

/// The file meant; of several that end so, the one that has code at the line.
fn one_file(symbols: &Symbols, file: &str, line: u32) -> Result<SourceFile, LineMiss> {
    let mut files = symbols.source_files(file)?;
    match files.len() {
        1 => Ok(files.remove(0)),
        _ => symbols.find_lines(file, line).map(|found| found.file),
    }
}

impl Session {
    pub(super) fn list(&mut self, ask: &Listing) -> Result<Answer, Failure> {
        let other = |why: String| Failure::Other(why);
        let size = self.settings.list_size;
        let symbols = self.usable_symbols();
        let from = self.standpoint();
        let around = |line: u32| line.saturating_sub(size / 2).max(1);
        let (place, first, last) = match ask {
            Listing::On | Listing::Back => return self.list_on(*ask == Listing::Back),
            Listing::Around(text) => {
                let place = source_line(&symbols, text, &from).map_err(other)?;
                let first = around(place.line);
                (place, first, first.saturating_add(size - 1))
            }
            Listing::Range(Some(start), None) => {
                let place = source_line(&symbols, start, &from).map_err(other)?;
                let first = place.line;
                (place, first, first.saturating_add(size - 1))
            }
            Listing::Range(None, Some(end)) => {
                let place = source_line(&symbols, end, &from).map_err(other)?;
                let last = place.line;
                (place, last.saturating_sub(size - 1).max(1), last)
            }
            Listing::Range(Some(start), Some(end)) => {
                let place = source_line(&symbols, start, &from).map_err(other)?;
                let from = from.at(&place.file.name, place.line);
                let end = source_line(&symbols, end, &from).map_err(other)?;
                if end.file != place.file {
                    let files = (&place.file.name, &end.file.name);
                    return Err(other(format!("{} and {} are two files", files.0, files.1)));
                }
                if end.line < place.line {
                    return Err(other(format!("{} comes before {}", end.line, place.line)));
                }
                let first = place.line;
                (place, first, end.line)
            }
            Listing::Range(None, None) => return Err(other("say what to list: A,B".into())),
        };
        self.show_lines(place, first, last)
    }

    /// After or before what was listed last; around the selected frame when
    /// it is another than then.
    fn list_on(&mut self, back: bool) -> Result<Answer, Failure> {
        let size = self.settings.list_size;
        let selection = self.selection();
        let listed = self.listed.clone().filter(|listed| listed.selection == selection);
        let Some(listed) = listed else {
            let Some(frame) = self.selected_frame() else {
                return Err(Failure::Other(
                    "nothing was listed yet; say what: list LOCATION".into(),
                ));
            };
            let pc = frame.pc;
            let level = self.stop.as_ref().map_or(0, |stop| stop.selected);
            let (file, line) = self.line_of_frame(level).ok_or_else(|| {
                Failure::Other(format!("the selected frame at {pc} has no source line"))
            })?;
            let place = SourceLine { file, line, heading: None, others: Vec::new() };
            let first = line.saturating_sub(size / 2).max(1);
            return self.show_lines(place, first, first.saturating_add(size - 1));
        };
        let (first, last) = listed.shown;
        let name = &listed.file.name;
        let (first, last) = match back {
            true if first <= 1 => {
                return Err(Failure::Other(format!("already at the start of {name}")));
            }
            true => (first.saturating_sub(size).max(1), first - 1),
            false => (last.saturating_add(1), last.saturating_add(size)),
        };
        let (file, line) = (listed.file, listed.line);
        self.show_lines(SourceLine { file, line, heading: None, others: Vec::new() }, first, last)
    }

    fn selection(&self) -> Option<(u64, usize)> {
        self.stop.as_ref().map(|stop| (stop.generation, stop.selected))
    }

    fn show_lines(&mut self, place: SourceLine, first: u32, last: u32) -> Result<Answer, Failure> {
        let mapped = self.code.map(&place.file);
        let Some(path) = mapped.path else { return Err(Failure::Other(mapped.note)) };
        let source = self.code.source_text(&path).map_err(Failure::Other)?;
        let texts = (first..=last).map_while(|n| source.line(n as usize));
        let lines: Vec<String> = texts.map(str::to_string).collect();
        if lines.is_empty() {
            let (name, count) = (&place.file.name, source.len());
            return Err(Failure::Other(format!(
                "line number {first} is out of range; {name} has {count} lines"
            )));
        }
        let end = first.saturating_add(lines.len() as u32 - 1);
        self.listed = Some(Listed {
            file: place.file.clone(),
            line: place.line,
            shown: (first, end),
            selection: self.selection(),
        });
        Ok(Answer::Source(SourceAnswer {
            file: place.file.name,
            path: Some(path),
            first,
            lines,
            line: place.line,
            heading: place.heading,
            others: place.others,
        }))
    }

    /// `info line`.
    pub(super) fn line(&self, text: &str) -> Result<Answer, Failure> {
        let other = |why: String| Failure::Other(why);
        let symbols = self.usable_symbols();
        let from = self.standpoint();
        let location = Location::parse(text).map_err(|why| other(why.to_string()))?;
        let none = |why: crate::symbols::lookup::places::NoPlace| other(why.to_string());
        let (mut asked, mut moved) = (None, None);
        let starts: Vec<(Addr, Option<SourceFile>)> = match &location {
            Location::Function { module, file, name } => {
                let found = symbols.functions(module, file.as_deref(), name).map_err(none)?;
                let out_of_line = found.iter().any(|function| !function.inlined);
                let wanted = found.iter().filter(|function| !out_of_line || !function.inlined);
                let entries: BTreeSet<Addr> = wanted.map(|function| function.entry).collect();
                entries.into_iter().map(|entry| (entry, None)).collect()
            }
            _ => {
                let found = symbols.addresses_of(&location, from.here()).map_err(none)?;
                if let Location::Line { file, line, .. } = &location {
                    moved = found.moved_to;
                    asked = Some(line_of(file.as_deref(), *line, from.here()).map_err(none)?.1);
                }
                // Of a line that has no code the place it stands at, as in gdb.
                let most = if moved.is_some() { 1 } else { usize::MAX };
                let places = found.places.into_iter().take(most);
                places.map(|place| (place.addr, place.file.filter(|_| asked.is_some()))).collect()
            }
        };
        let range = |(at, file): &(Addr, Option<SourceFile>)| {
            let range = line_range(&symbols, *at, asked, file.as_ref());
            // A line without code is not at that address at all.
            LineRange { code_of: range.code_of.filter(|_| moved.is_none()), ..range }
        };
        let ranges: Vec<LineRange> = starts.iter().map(range).collect();
        let first = ranges.first();
        Ok(Answer::Line {
            file: first.and_then(|range| range.file.clone()),
            line: moved.or(first.and_then(|range| range.line)),
            function: first.and_then(|range| range.function.clone()),
            addresses: starts.into_iter().map(|(at, _)| at).collect(),
            ranges,
        })
    }
}

/// The piece of code at an address that is of its line; `file` and `asked` are
/// of the line that was asked for. That may have no code there: it is a later
/// line's, or of a function that is inlined there.
fn line_range(
    symbols: &Symbols,
    at: Addr,
    asked: Option<u32>,
    file: Option<&SourceFile>,
) -> LineRange {
    let row = symbols.row_at(at).filter(|row| row.line != 0);
    let own = row.as_ref().filter(|row| {
        asked.is_none_or(|line| row.line == line) && file.is_none_or(|file| row.file == *file)
    });
    let (start, end) = match (own, asked) {
        (Some(row), None) => (row.start, row.end),
        (Some(row), Some(_)) => (at, row.end),
        (None, _) => (at, at),
    };
    let elsewhere = row.as_ref().filter(|row| own.is_none() && file != Some(&row.file));
    let file = file.or(row.as_ref().map(|row| &row.file));
    LineRange {
        file: file.map(|file| file.name.clone()),
        short: file.map_or(String::new(), |file| file.short().to_owned()),
        line: asked.or(row.as_ref().map(|row| row.line)),
        start,
        end,
        start_symbol: symbols.describe(start),
        end_symbol: symbols.describe(end),
        function: symbols.frames_at(start).into_iter().next().map(|frame| frame.function),
        code_of: elsewhere.map(|row| format!("{}:{}", row.file.short(), row.line)),
    }
}
