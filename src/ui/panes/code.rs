//! Draws the rows of the source pane: gutter, highlighted C.

use super::source::{Mode, Row, Source, find};
use super::{Look, breakpoints};
use crate::base::text::printable;
use crate::config::theme::Role;
use crate::session::view::{BreakpointView, FrameView};
use crate::source::clex::{Kind, Span};
use crate::ui::pen::{Pen, clip};
use ratatui::{
    buffer::Buffer,
    layout::Rect,
    style::{Modifier, Style},
};
use unicode_width::UnicodeWidthChar;

/// Tabs go to every eighth column, as kernel source has it.
const TAB: usize = 8;

impl Source {
    /// What the title says: the path, and how it was found.
    pub fn title(&self) -> (String, String) {
        let Some((file, path)) = self.file() else { return (String::new(), String::new()) };
        let shown = match path {
            Some(path) if self.text.is_some() => path.display().to_string(),
            _ => file.to_string(),
        };
        let note = match (self.guessed, self.text.is_some()) {
            (_, false) => "no source",
            (true, true) if self.note.is_empty() => "guessed",
            _ => self.note.as_str(),
        };
        (printable(&shown), printable(note))
    }

    /// Whether the title's note is about a guess.
    pub fn is_guess(&self) -> bool {
        self.guessed
    }

    /// Whether a column of a row is what is before its text: marks and number.
    pub fn is_gutter(&self, row: usize, column: u16) -> bool {
        let width = match self.rows.get(row) {
            Some(Row::Line(_)) => self.gutter(),
            Some(Row::Code(_)) => 2,
            _ => 0,
        };
        usize::from(column) < width
    }

    /// Draws the rows.
    pub fn draw(&self, buffer: &mut Buffer, area: Rect, look: &Look<'_>) {
        let stop = look.view.and_then(|view| view.stop.as_deref());
        if self.rows.is_empty() {
            let words = if stop.is_some() { "reading …" } else { "" };
            return look.placeholder(buffer, area, words);
        }
        for (row, index) in self.list.seen().enumerate() {
            let mut pen = Pen::new(buffer, area, row as u16);
            let cursor = index == self.list.cursor;
            let mut values = None;
            let base = match &self.rows[index] {
                Row::Line(line) => {
                    let role = self.draw_line(&mut pen, index, *line, look);
                    values = role.and_then(|_| self.draw_values(&mut pen, area, *line, look));
                    role
                }
                Row::Code(code) => self.code.draw(&mut pen, *code, self.part(), stop, look),
                Row::Place(place) => {
                    pen.put("   ", Style::new()).put(&printable(place), look.style(Role::Type));
                    None
                }
                Row::Note(words) => {
                    pen.put("   ", Style::new()).put(&printable(words), look.style(Role::Warning));
                    None
                }
            };
            let whole = match base {
                Some(role) => Some(look.style(role)),
                None if cursor && look.focused => Some(look.style(Role::Cursor)),
                None => None,
            };
            if let Some(style) = whole {
                // The gutter's first column keeps the breakpoint's own colour.
                let shifted = Rect { x: area.x + 1, width: area.width.saturating_sub(1), ..area };
                Pen::new(buffer, shifted, row as u16).fill(style);
            }
            if let Some(area) = values {
                // Not part of the text, and not as loud.
                let style = Style::new().remove_modifier(Modifier::BOLD);
                let style = style.add_modifier(Modifier::ITALIC);
                Pen::new(buffer, area, row as u16).fill(style);
            }
        }
    }

    /// What part of the text is seen, and what is looked for in it.
    fn part(&self) -> (usize, Option<&str>) {
        (self.list.left, self.search.as_deref())
    }

    /// Draws a line; gives the role of the whole row when it is a pc's.
    fn draw_line(&self, pen: &mut Pen<'_>, row: usize, line: u32, look: &Look<'_>) -> Option<Role> {
        let stop = look.view.and_then(|view| view.stop.as_deref());
        let (digits, cursor) = (self.digits(), row == self.list.cursor);
        let file = self.file().map_or("", |(file, _)| file);
        let (mark, role) = match self.breakpoint_on(file, line, look) {
            Some(wish) => breakpoints::sign(wish.state),
            None if self.with_code.contains(&line) => ("·", Role::Dim),
            None => (" ", Role::Text),
        };
        let frame = stop.and_then(|stop| stop.frames.get(stop.selected));
        // Among instructions the pc is one of them, not a line.
        let frame = frame.filter(|_| self.mode == Mode::Source);
        let here = frame.filter(|f| f.line == Some(line) && f.file.as_deref() == Some(file));
        let pc = here.map(|frame| pc_role(frame, look));
        let whole = pc.filter(|role| *role != Role::Dim);
        pen.put(mark, look.style(role));
        pen.put(pc_sign(pc), look.style(Role::Focused));
        let number_role = if cursor { Role::Strong } else { Role::Dim };
        pen.put(&format!("{line:>digits$} "), look.style(number_role));
        let (content, spans) = self.line(line);
        let style = text_style(content, spans, self.search.as_deref(), whole.is_some(), look);
        let word = self.word_in(row).filter(|_| look.focused);
        put_code(pen, content, self.list.left, |byte| match &word {
            Some(word) if word.contains(&byte) => {
                style(byte).add_modifier(Modifier::BOLD | Modifier::UNDERLINED)
            }
            _ => style(byte),
        });
        whole
    }

    /// The text of a line, and its words.
    fn line(&self, line: u32) -> (&str, &[Span]) {
        let text = self.text.as_ref();
        text.map_or(("", &[][..]), |text| {
            (text.line(line as usize).unwrap_or(""), text.spans(line as usize))
        })
    }

    /// Writes what is known of the names in the line where the guest stopped;
    /// gives the columns it takes.
    fn draw_values(
        &self,
        pen: &mut Pen<'_>,
        area: Rect,
        line: u32,
        look: &Look<'_>,
    ) -> Option<Rect> {
        let (content, spans) = self.line(line);
        let values = self.values(content, spans, look.view?);
        // A few columns of it would say nothing.
        if values.is_empty() || pen.room() < 14 {
            return None;
        }
        let used = area.width - pen.room() as u16;
        let shown = clip(&values, pen.room() - 5);
        pen.put("   ◂ ", Style::new()).put(&shown, Style::new());
        Some(Rect { x: area.x + used, width: area.width - used, ..area })
    }

    /// The breakpoint that landed on a line, or waits for it.
    fn breakpoint_on<'a>(
        &self,
        file: &str,
        line: u32,
        look: &Look<'a>,
    ) -> Option<&'a BreakpointView> {
        let wishes = look.view.map(|view| view.breakpoints.iter())?;
        let landed = |wish: &BreakpointView| match (&wish.file, wish.line) {
            (Some(at), Some(number)) => at == file && number == line,
            _ => names_line(&wish.location, file, line),
        };
        // An armed one is the one to show.
        wishes.filter(|wish| landed(wish)).min_by_key(|wish| wish.state != "armed")
    }
}

/// Text from column `left` on, coloured by words, with what a search found
/// marked.
pub(super) fn draw_text(
    pen: &mut Pen<'_>,
    text: &str,
    spans: &[Span],
    (left, needle): (usize, Option<&str>),
    plain: bool,
    look: &Look<'_>,
) {
    put_code(pen, text, left, text_style(text, spans, needle, plain, look));
}

/// How the letter at a byte of a text looks.
fn text_style(
    text: &str,
    spans: &[Span],
    needle: Option<&str>,
    plain: bool,
    look: &Look<'_>,
) -> impl Fn(usize) -> Style {
    let matches = matches(text, needle);
    move |byte| {
        if matches.iter().any(|range| range.contains(&byte)) {
            return look.style(Role::Match);
        }
        if plain { Style::new() } else { look.style(word_role(spans, byte)) }
    }
}

fn matches(text: &str, needle: Option<&str>) -> Vec<std::ops::Range<usize>> {
    let mut found = Vec::new();
    if let Some(needle) = needle.filter(|needle| !needle.is_empty()) {
        let mut from = 0;
        while let Some(range) = find(text, needle, from) {
            from = range.end;
            found.push(range);
        }
    }
    found
}

/// Whether a location as the user wrote it means this line: `read_write.c:451`
/// for `fs/read_write.c`.
fn names_line(location: &str, file: &str, line: u32) -> bool {
    let Some((at, number)) = location.rsplit_once(':') else { return false };
    let head = file.strip_suffix(at);
    number.parse() == Ok(line) && head.is_some_and(|head| head.is_empty() || head.ends_with('/'))
}

/// While the guest runs the last stop's place is only where it was.
pub(super) fn pc_role(frame: &FrameView, look: &Look<'_>) -> Role {
    match look.view {
        Some(view) if !view.state.is_stopped() => Role::Dim,
        _ if frame.level == 0 => Role::Pc,
        _ => Role::Caller,
    }
}

pub(super) fn pc_sign(pc: Option<Role>) -> &'static str {
    match pc {
        Some(Role::Pc) => "▶",
        Some(_) => "▷",
        None => " ",
    }
}

/// The text of a line from column `left` on, tabs as spaces; `style` is that of
/// the letter at a byte.
pub(in crate::ui) fn put_code(
    pen: &mut Pen<'_>,
    text: &str,
    left: usize,
    style: impl Fn(usize) -> Style,
) {
    let room = pen.room();
    let mut column = 0;
    let mut run = String::new();
    let mut run_style = Style::new();
    for (byte, c) in text.char_indices() {
        let width = if c == '\t' { TAB - column % TAB } else { c.width().unwrap_or(0) };
        let style = style(byte);
        if style != run_style {
            pen.put(&run, run_style);
            run.clear();
            run_style = style;
        }
        match c {
            '\t' => run.extend((column..column + width).filter(|at| *at >= left).map(|_| ' ')),
            // A wide character cut by the left edge leaves a blank.
            _ if column < left && column + width > left => run.push(' '),
            _ if column >= left => run.push(c),
            _ => {}
        }
        column += width;
        if column >= left + room {
            break;
        }
    }
    pen.put(&run, run_style);
}

/// What the word at a byte of a line is shown as.
pub(in crate::ui) fn word_role(spans: &[Span], byte: usize) -> Role {
    let next = spans.partition_point(|span| span.end as usize <= byte);
    match spans.get(next) {
        Some(span) if span.start as usize <= byte => role(span.kind),
        _ => Role::Text,
    }
}

fn role(kind: Kind) -> Role {
    match kind {
        Kind::Keyword => Role::Keyword,
        Kind::Type => Role::Type,
        Kind::Number => Role::Number,
        Kind::String | Kind::Char => Role::String,
        Kind::Comment => Role::Comment,
        Kind::Preproc => Role::Preproc,
        Kind::Macro => Role::Macro,
        Kind::Ident | Kind::Punct => Role::Text,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pending_location_finds_its_line() {
        assert!(names_line("read_write.c:451", "fs/read_write.c", 451));
        assert!(names_line("fs/read_write.c:451", "fs/read_write.c", 451));
        assert!(!names_line("write.c:451", "fs/read_write.c", 451));
        assert!(!names_line("read_write.c:45", "fs/read_write.c", 451));
        assert!(!names_line("vfs_read", "fs/read_write.c", 451));
    }
}
