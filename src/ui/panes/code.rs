//! Draws the rows of the source pane: gutter, highlighted C, instructions.

use super::source::{Mode, Row, Source, find, pc_of};
use super::{Look, breakpoints};
use crate::base::addr::Addr;
use crate::base::text::printable;
use crate::config::theme::Role;
use crate::session::view::{BreakpointView, FrameView, StopView};
use crate::source::clex::{Kind, Span};
use crate::ui::pen::Pen;
use ratatui::{buffer::Buffer, layout::Rect, style::Style};
use unicode_width::{UnicodeWidthChar, UnicodeWidthStr};

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

    /// Draws the rows.
    pub fn draw(&self, buffer: &mut Buffer, area: Rect, look: &Look<'_>) {
        let stop = look.view.and_then(|view| view.stop.as_deref());
        if self.rows.is_empty() {
            let words = if stop.is_some() { "reading …" } else { "" };
            return look.placeholder(buffer, area, words);
        }
        let digits = self.text.as_ref().map_or(3, |text| text.len().to_string().len()).max(3);
        for (row, index) in self.list.seen().enumerate() {
            let mut pen = Pen::new(buffer, area, row as u16);
            let cursor = index == self.list.cursor;
            let base = match &self.rows[index] {
                Row::Line(line) => self.draw_line(&mut pen, *line, digits, cursor, stop, look),
                Row::Code(code) => self.draw_insn(&mut pen, *code, stop, look),
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
                let reach = if base.is_some() { shifted } else { area };
                Pen::new(buffer, reach, row as u16).fill(style);
            }
        }
    }

    /// Draws a line; gives the role of the whole row when it is a pc's.
    fn draw_line(
        &self,
        pen: &mut Pen<'_>,
        line: u32,
        digits: usize,
        cursor: bool,
        stop: Option<&StopView>,
        look: &Look<'_>,
    ) -> Option<Role> {
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
        let text = self.text.as_ref();
        let (content, spans) = text.map_or(("", &[][..]), |text| {
            (text.line(line as usize).unwrap_or(""), text.spans(line as usize))
        });
        self.draw_text(pen, content, spans, whole.is_some(), look);
        whole
    }

    /// The text of a line from column `left` on, coloured by words, with what
    /// a search found marked.
    fn draw_text(
        &self,
        pen: &mut Pen<'_>,
        text: &str,
        spans: &[Span],
        plain: bool,
        look: &Look<'_>,
    ) {
        let matches = self.matches(text);
        let style_at = |byte: usize| {
            if matches.iter().any(|range| range.contains(&byte)) {
                return look.style(Role::Match);
            }
            let next = spans.partition_point(|span| span.end as usize <= byte);
            match spans.get(next) {
                Some(span) if span.start as usize <= byte && !plain => look.style(role(span.kind)),
                _ => Style::new(),
            }
        };
        let (left, room) = (self.list.left, pen.room());
        let mut column = 0;
        let mut run = String::new();
        let mut run_style = Style::new();
        for (byte, c) in text.char_indices() {
            let width = if c == '\t' { TAB - column % TAB } else { c.width().unwrap_or(0) };
            let style = style_at(byte);
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

    fn matches(&self, text: &str) -> Vec<std::ops::Range<usize>> {
        let mut found = Vec::new();
        if let Some(needle) = self.search.as_deref().filter(|needle| !needle.is_empty()) {
            let mut from = 0;
            while let Some(range) = find(text, needle, from) {
                from = range.end;
                found.push(range);
            }
        }
        found
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

    fn draw_insn(
        &self,
        pen: &mut Pen<'_>,
        index: usize,
        stop: Option<&StopView>,
        look: &Look<'_>,
    ) -> Option<Role> {
        let stop = stop?;
        let insn = self.code.get(index)?;
        let frame = stop.frames.get(stop.selected);
        let here = pc_of(stop) == Some(insn.addr);
        let pc = here.then(|| frame.map_or(Role::Pc, |frame| pc_role(frame, look)));
        let (mark, mark_role) = match planted(look, insn.addr) {
            Some(wish) => breakpoints::sign(wish.state),
            None => (" ", Role::Text),
        };
        let whole = pc.filter(|role| *role != Role::Dim);
        let colour = |role| if whole.is_some() { Style::new() } else { look.style(role) };
        pen.put(mark, look.style(mark_role)).put(pc_sign(pc), look.style(Role::Focused));
        pen.put(&format!("{:016x} ", insn.addr.0), colour(Role::Dim));
        if pen.room() > 80 {
            pen.column(&insn.bytes, 22, colour(Role::Dim));
        }
        let symbol = printable(&insn.symbol);
        match pen.room() {
            80.. => pen.column(&symbol, 24, colour(Role::Type)).put(" ", Style::new()),
            // The stack names the function; what changes is the distance.
            45.. => pen.column(distance(&symbol), 7, colour(Role::Type)).put(" ", Style::new()),
            _ => &mut *pen,
        };
        self.draw_arrows(pen, index, colour(Role::Dim));
        let text = printable(&insn.text);
        let (operation, operands) = text.split_once(' ').unwrap_or((&text, ""));
        pen.column(operation, operation.len().max(7), colour(Role::Keyword)).put(" ", Style::new());
        let operands = operands.trim_start();
        // Where there is no room for both, a name says more than its address.
        let named = name_alone(operands).filter(|_| operands.width() > pen.room());
        let shown = named.as_deref().unwrap_or(operands);
        self.draw_text(pen, shown, &[], whole.is_some(), look);
        whole
    }
}

/// The distance from a symbol, or the symbol where it begins.
fn distance(symbol: &str) -> &str {
    let name = symbol.split(' ').next().unwrap_or(symbol);
    name.rfind("+0x").map_or(name, |at| &name[at..])
}

/// The operands without the address that a name stands for.
fn name_alone(operands: &str) -> Option<String> {
    let open = operands.rfind(" <")?;
    let address = operands[..open].rfind("0x")?;
    let digits = &operands[address + 2..open];
    let head = operands[..address].trim_end().trim_end_matches('#').trim_end();
    let all = digits.bytes().all(|b| b.is_ascii_hexdigit());
    all.then(|| format!("{head}{}", &operands[open + usize::from(head.is_empty())..]))
}

impl Source {
    /// The jumps beside an instruction. In a narrow pane the outer ones, which
    /// are the longest, give way to the text.
    fn draw_arrows(&self, pen: &mut Pen<'_>, index: usize, style: Style) {
        /// The least room an instruction is left with.
        const TEXT: usize = 30;
        let Some(arrows) = self.arrows.get(index) else { return };
        let over = (arrows.chars().count() + TEXT).saturating_sub(pen.room());
        let shown: String = arrows.chars().skip(over).collect();
        if shown.chars().count() >= 3 {
            pen.put(&shown, style);
        }
    }
}

/// The breakpoint planted at an address.
fn planted<'a>(look: &Look<'a>, at: Addr) -> Option<&'a BreakpointView> {
    look.view?.breakpoints.iter().find(|wish| wish.sites.contains(&at))
}

/// Whether a location as the user wrote it means this line: `read_write.c:451`
/// for `fs/read_write.c`.
fn names_line(location: &str, file: &str, line: u32) -> bool {
    let Some((at, number)) = location.rsplit_once(':') else { return false };
    let head = file.strip_suffix(at);
    number.parse() == Ok(line) && head.is_some_and(|head| head.is_empty() || head.ends_with('/'))
}

/// While the guest runs the last stop's place is only where it was.
fn pc_role(frame: &FrameView, look: &Look<'_>) -> Role {
    match look.view {
        Some(view) if !view.state.is_stopped() => Role::Dim,
        _ if frame.level == 0 => Role::Pc,
        _ => Role::Caller,
    }
}

fn pc_sign(pc: Option<Role>) -> &'static str {
    match pc {
        Some(Role::Pc) => "▶",
        Some(_) => "▷",
        None => " ",
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
    fn a_name_can_stand_for_its_address() {
        assert_eq!(name_alone("0x10 <vfs_read+0x3>").as_deref(), Some("<vfs_read+0x3>"));
        let data = "0x100(%rip),%rax # 0x1107 <jiffies>";
        assert_eq!(name_alone(data).as_deref(), Some("0x100(%rip),%rax <jiffies>"));
        assert_eq!(name_alone("$0x10,%rax"), None);
        assert_eq!(distance("vfs_read+0x10 [m]"), "+0x10");
        assert_eq!(distance("vfs_read"), "vfs_read");
    }

    #[test]
    fn a_pending_location_finds_its_line() {
        assert!(names_line("read_write.c:451", "fs/read_write.c", 451));
        assert!(names_line("fs/read_write.c:451", "fs/read_write.c", 451));
        assert!(!names_line("write.c:451", "fs/read_write.c", 451));
        assert!(!names_line("read_write.c:45", "fs/read_write.c", 451));
        assert!(!names_line("vfs_read", "fs/read_write.c", 451));
    }
}
