//! The source pane: C text, instructions, or both. It follows the selected
//! frame, and can be walked to any place. Where a file is missing it shows
//! the instructions, the reason, and the option that would help.

use super::instructions::Instructions;
use crate::arch::insn::Flavor;
use crate::base::addr::Addr;
use crate::base::text::printable;
use crate::session::symbol_answer::InsnAnswer;
use crate::session::view::{CodeBook, FrameView, State, StopView, View};
use crate::source::text::Text;
use crate::ui::list::List;
use serde::{Deserialize, Serialize};
use std::{
    collections::BTreeSet,
    path::{Path, PathBuf},
    sync::Arc,
};

/// What the code is shown as.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Mode {
    /// C.
    #[default]
    Source,
    /// Instructions under their lines.
    Mixed,
    /// Instructions.
    Asm,
}

/// One row of the pane.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Row {
    /// A line of the file, from 1.
    Line(u32),
    /// An instruction, by its place in the pane's code.
    Code(usize),
    /// The line that the instructions below belong to, and its text.
    Place(String),
    /// Words.
    Note(String),
}

/// A place in a file, to come back to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Spot {
    /// The file as DWARF has it.
    pub file: String,
    /// Where it is on this machine.
    pub path: Option<PathBuf>,
    /// The line.
    pub line: u32,
}

/// A stop and a frame of it.
pub type Selection = (u64, usize);

/// What was followed last. When it differs, the pane goes to the frame.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Followed {
    selection: Selection,
    spot: Option<Spot>,
}

/// What the pane keeps.
#[derive(Debug, Default)]
pub struct Source {
    /// The cursor.
    pub list: List,
    /// C, both, or instructions.
    pub mode: Mode,
    /// What is looked for, while a search is on.
    pub search: Option<String>,
    /// The rows.
    pub(super) rows: Vec<Row>,
    /// The file shown.
    file: Option<(String, Option<PathBuf>)>,
    /// How the file was found, or why not.
    pub(super) note: String,
    /// Whether the file is a guess.
    pub(super) guessed: bool,
    /// The file's text.
    pub(super) text: Option<Arc<Text>>,
    /// The file's lines that have code.
    pub(super) with_code: Arc<BTreeSet<u32>>,
    followed: Option<Followed>,
    /// Instructions around the pc, or those of an older stop in the same function
    /// until the new ones are there.
    pub(super) code: Instructions,
    /// How the instructions are written.
    flavor: Flavor,
    /// What the instructions belong to.
    code_of: Option<Selection>,
    /// What instructions were asked for last.
    asked: Option<Selection>,
    back: Vec<Spot>,
    /// Where it was before it went back, the next one last.
    forward: Vec<Spot>,
    /// The word of its line that the cursor is on, counted from the left.
    pub(super) word: Option<usize>,
    /// Whether values beside the line are switched off.
    pub(super) plain: bool,
    /// Columns of the pane.
    pub width: u16,
}

impl Source {
    /// Takes in a new view: goes to a newly selected frame.
    pub fn follow(&mut self, view: &View, book: &dyn CodeBook) {
        let Some(stop) = &view.stop else { return };
        if view.flavor != self.flavor {
            // The old text stays until the new one is there.
            self.flavor = view.flavor;
            (self.code_of, self.asked) = (None, None);
        }
        let code_came = self.follow_code(stop);
        let frame = stop.frames.get(stop.selected);
        let now = Followed { selection: selection(stop), spot: frame.and_then(spot_of) };
        let reading = frame.is_none() && view.state == State::Stopped && stop.code.is_empty();
        if reading || (self.followed.as_ref() == Some(&now) && !code_came) {
            return;
        }
        if self.followed.as_ref() != Some(&now) {
            self.followed = Some(now);
            self.go_to_frame(stop, book);
        } else if self.shows_code() {
            self.make_rows(book);
            self.show_pc(stop);
        }
    }

    /// Takes the view's instructions; `true` when they are new. Those of an
    /// older stop stay while the pc is among them.
    fn follow_code(&mut self, stop: &StopView) -> bool {
        let now = selection(stop);
        if stop.code.is_empty() {
            let pc = pc_of(stop);
            let among = pc.is_some_and(|pc| self.code.position(pc).is_some());
            if self.code_of != Some(now) && !among {
                self.code = Instructions::default();
                self.code_of = None;
            }
            return false;
        }
        let code = Instructions::of_stop(stop);
        let new = self.code.rows != code.rows;
        self.code = code;
        self.code_of = Some(now);
        new
    }

    /// The selection whose instructions must be asked for: the session reads
    /// them by itself only where there is no source. Said once each.
    pub fn wants_code(&mut self, view: &View) -> Option<Selection> {
        let stop = view.stop.as_ref().filter(|_| view.state.is_stopped())?;
        let now = selection(stop);
        let frame = stop.frames.get(stop.selected)?;
        let wanted = self.shows_code() && frame.path.is_some();
        if !wanted || self.code_of == Some(now) || self.asked == Some(now) {
            return None;
        }
        self.asked = Some(now);
        Some(now)
    }

    /// Takes instructions that were asked for.
    pub fn take_code(
        &mut self,
        of: Selection,
        code: &[InsnAnswer],
        stop: &StopView,
        book: &dyn CodeBook,
    ) {
        if of != selection(stop) {
            return;
        }
        self.code = Instructions::answered(code);
        self.code_of = Some(of);
        if self.shows_code() {
            self.make_rows(book);
            self.show_pc(stop);
        }
    }

    /// Shows the selected frame's place.
    pub fn go_to_frame(&mut self, stop: &StopView, book: &dyn CodeBook) {
        match stop.frames.get(stop.selected) {
            Some(frame) => {
                match spot_of(frame) {
                    Some(spot) => self.open(&spot, book),
                    None => self.close(),
                }
                // An unreadable file's own reason is kept.
                if self.text.is_some() || frame.path.is_none() {
                    self.note = frame.source_note.clone();
                }
                self.guessed = frame.source_guessed;
            }
            None => self.close(),
        }
        self.make_rows(book);
        self.show_pc(stop);
    }

    /// Shows a place; where the pane was is kept for [`Source::back`].
    pub fn go_to(&mut self, spot: &Spot, book: &dyn CodeBook) {
        const MOST: usize = 100;
        self.forward.clear();
        if let Some(here) = self.here() {
            self.back.push(here);
            if self.back.len() > MOST {
                self.back.remove(0);
            }
        }
        self.visit(spot, book);
    }

    /// Where the pane was before it went back; `false` when it did not.
    pub fn forward(&mut self, book: &dyn CodeBook) -> bool {
        let Some(spot) = self.forward.pop() else { return false };
        self.back.extend(self.here());
        self.visit(&spot, book);
        true
    }

    /// Back to where the pane was; `false` when it was nowhere else.
    pub fn back(&mut self, book: &dyn CodeBook) -> bool {
        let Some(spot) = self.back.pop() else { return false };
        self.forward.extend(self.here());
        self.visit(&spot, book);
        true
    }

    fn visit(&mut self, spot: &Spot, book: &dyn CodeBook) {
        self.mode = Mode::Source;
        self.open(spot, book);
        self.make_rows(book);
        self.show_line(spot.line);
    }

    /// The file and line the cursor is on.
    pub fn here(&self) -> Option<Spot> {
        let (file, path) = self.file.clone()?;
        match self.rows.get(self.list.cursor)? {
            Row::Line(line) => Some(Spot { file, path, line: *line }),
            _ => None,
        }
    }

    /// The cursor's place as a location of the command language.
    pub fn location(&self) -> Option<String> {
        match self.rows.get(self.list.cursor)? {
            Row::Line(line) => Some(format!("{}:{line}", self.file.as_ref()?.0)),
            Row::Code(index) => Some(format!("*{}", self.code.rows.get(*index)?.addr)),
            Row::Place(_) | Row::Note(_) => None,
        }
    }

    /// Puts the cursor on a line of the file shown.
    pub fn show_line(&mut self, line: u32) {
        let row = self.rows.iter().position(|row| *row == Row::Line(line));
        let last = self.rows.iter().rposition(|row| matches!(row, Row::Line(_)));
        if let Some(row) = row.or(last) {
            self.word = None;
            self.list.show(row);
        }
    }

    /// Source, mixed, instructions, round again.
    pub fn cycle(&mut self, stop: Option<&StopView>, book: &dyn CodeBook) {
        let line = self.here().map(|spot| spot.line);
        self.mode = match self.mode {
            Mode::Source => Mode::Mixed,
            Mode::Mixed => Mode::Asm,
            Mode::Asm => Mode::Source,
        };
        self.make_rows(book);
        match (self.mode, line, stop) {
            (Mode::Source, Some(line), _) => self.show_line(line),
            (_, _, Some(stop)) => self.show_pc(stop),
            _ => {}
        }
    }

    /// Goes to the next (or previous) row that has the searched text, round
    /// the end; `false` when there is none.
    pub fn search_on(&mut self, forward: bool) -> bool {
        let Some(needle) = self.search.clone().filter(|needle| !needle.is_empty()) else {
            return false;
        };
        let count = self.rows.len();
        let found = (1..=count).find_map(|step| {
            let step = if forward { step } else { count - step };
            let row = (self.list.cursor + step) % count;
            let text = self.row_text(row)?;
            find(text, &needle, 0).map(|_| row)
        });
        if let Some(row) = found {
            self.list.show(row);
        }
        found.is_some()
    }

    /// Whether there is no row to draw.
    pub fn is_empty(&self) -> bool {
        self.rows.is_empty()
    }

    /// The file's text.
    pub fn text(&self) -> Option<Arc<Text>> {
        self.text.clone()
    }

    /// Columns before the text of a line: marks and number.
    pub(super) fn gutter(&self) -> usize {
        self.digits() + 3
    }

    /// Digits of the file's last line, at least three.
    pub(super) fn digits(&self) -> usize {
        self.text.as_ref().map_or(3, |text| text.len().to_string().len()).max(3)
    }

    /// Whether there is a file's text to draw.
    pub fn has_text(&self) -> bool {
        self.text.is_some()
    }

    /// The file shown: as DWARF has it, and on this machine.
    pub fn file(&self) -> Option<(&str, Option<&Path>)> {
        self.file.as_ref().map(|(file, path)| (file.as_str(), path.as_deref()))
    }

    /// Whether rows of instructions are shown.
    pub fn shows_code(&self) -> bool {
        self.mode != Mode::Source || self.text.is_none()
    }

    /// The text of the row the cursor is on, without what is drawn before it.
    pub fn cursor_text(&self) -> Option<String> {
        let text = self.row_text(self.list.cursor)?;
        Some(text.split('\t').map(printable).collect::<Vec<_>>().join("\t"))
    }

    /// The file on this machine, and the line at the cursor; among instructions
    /// that of the last line above them.
    pub fn editable(&self) -> Option<(&Path, u32)> {
        let (_, path) = self.file()?;
        let above = self.rows.get(..=self.list.cursor)?.iter().rev();
        let line = above.clone().find_map(|row| match row {
            Row::Line(line) => Some(*line),
            _ => None,
        });
        Some((path?, line.unwrap_or(1)))
    }

    fn row_text(&self, row: usize) -> Option<&str> {
        match self.rows.get(row)? {
            Row::Line(line) => self.text.as_ref()?.line(*line as usize),
            Row::Code(index) => Some(&self.code.rows.get(*index)?.text),
            Row::Place(text) | Row::Note(text) => Some(text),
        }
    }

    fn open(&mut self, spot: &Spot, book: &dyn CodeBook) {
        let now = Some((spot.file.clone(), spot.path.clone()));
        if self.file == now && self.text.is_some() {
            return;
        }
        self.guessed = false;
        self.note.clear();
        self.with_code = book.lines_with_code(&spot.file);
        self.text = match spot.path.as_deref().map(|path: &Path| book.text(path)) {
            Some(Ok(text)) => Some(text),
            Some(Err(why)) => {
                self.note = why;
                None
            }
            None => {
                self.note = format!("{} is not on this machine; see --substitute-path", spot.file);
                None
            }
        };
        self.file = now;
    }

    fn close(&mut self) {
        self.file = None;
        self.text = None;
        self.with_code = Arc::default();
        self.note.clear();
        self.guessed = false;
    }

    fn make_rows(&mut self, book: &dyn CodeBook) {
        self.word = None;
        let code = self.code.rows.len();
        self.rows = match (&self.text, self.mode) {
            (Some(text), Mode::Source) => (1..=text.len() as u32).map(Row::Line).collect(),
            (Some(text), Mode::Mixed) if code > 0 => self.mixed(text, book),
            (text, _) => {
                let note = (text.is_none() && !self.note.is_empty()).then(|| self.note.clone());
                let words = match self.followed {
                    Some(_) => "reading the instructions …",
                    None => "at a stop the instructions are here; now type :disassemble NAME",
                };
                let waiting = (code == 0).then(|| words.to_string());
                let words = note.iter().chain(&waiting).flat_map(|words| words.lines());
                words.map(|line| Row::Note(line.into())).chain((0..code).map(Row::Code)).collect()
            }
        };
        self.list.fit(self.rows.len(), self.list.height);
    }

    /// Instructions, each run under the source line it comes from.
    fn mixed(&self, text: &Text, book: &dyn CodeBook) -> Vec<Row> {
        let shown = self.file().map_or("", |(file, _)| file);
        let mut rows = Vec::new();
        let mut last = None;
        for (index, insn) in self.code.rows.iter().enumerate() {
            let place = book.find(&format!("*{}", insn.addr)).ok();
            if place.is_some() && place != last {
                match &place {
                    Some((at, _, line)) if at == shown && text.line(*line as usize).is_some() => {
                        rows.push(Row::Line(*line));
                    }
                    Some((at, path, line)) => {
                        let other = path.as_deref().and_then(|path| book.text(path).ok());
                        let text = other.as_deref().and_then(|text| text.line(*line as usize));
                        let text = text.map_or("", str::trim);
                        let name = at.rsplit('/').next().unwrap_or(at);
                        rows.push(Row::Place(format!("{name}:{line}  {text}")));
                    }
                    None => {}
                }
                last = place;
            }
            rows.push(Row::Code(index));
        }
        rows
    }

    fn show_pc(&mut self, stop: &StopView) {
        let frame = stop.frames.get(stop.selected);
        let pc = pc_of(stop);
        let insn = pc.and_then(|pc| self.code.position(pc));
        let code = self.rows.iter().position(|row| insn.is_some_and(|i| *row == Row::Code(i)));
        match (code, frame.and_then(|frame| frame.line)) {
            (Some(row), _) if self.shows_code() => self.list.show(row),
            (_, Some(line)) => self.show_line(line),
            _ => {}
        }
    }
}

pub(super) fn selection(stop: &StopView) -> Selection {
    (stop.generation, stop.selected)
}

/// The selected frame's pc, or the CPU's before there are frames.
pub(super) fn pc_of(stop: &StopView) -> Option<Addr> {
    stop.frames.get(stop.selected).map(|frame| frame.pc).or(stop.registers.pc())
}

fn spot_of(frame: &FrameView) -> Option<Spot> {
    let file = frame.file.clone()?;
    Some(Spot { file, path: frame.path.clone(), line: frame.line.unwrap_or(1) })
}

/// The byte range of the first match at or after byte `from`. Capitals only
/// matter when the searched text has some.
pub(super) fn find(text: &str, needle: &str, from: usize) -> Option<std::ops::Range<usize>> {
    let exact = needle.chars().any(char::is_uppercase);
    let same = |a: &[u8], b: &[u8]| if exact { a == b } else { a.eq_ignore_ascii_case(b) };
    let (text_bytes, needle) = (text.as_bytes(), needle.as_bytes());
    let last = text_bytes.len().checked_sub(needle.len())?;
    (from..=last)
        .find(|&at| {
            text.is_char_boundary(at)
                && text.is_char_boundary(at + needle.len())
                && same(&text_bytes[at..at + needle.len()], needle)
        })
        .map(|at| at..at + needle.len())
}

#[cfg(test)]
mod tests {
    use super::find;

    #[test]
    fn capitals_matter_only_when_typed() {
        assert_eq!(find("static HgfsReq", "hgfs", 0), Some(7..11));
        assert_eq!(find("static hgfsReq", "Hgfs", 0), None);
        assert_eq!(find("aa", "a", 1), Some(1..2));
        assert_eq!(find("é", "longer than it", 0), None);
    }
}
