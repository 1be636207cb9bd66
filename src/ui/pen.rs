//! Writing rows of text into the screen buffer: cut at the edge, measured in
//! columns, never wrapped.

use ratatui::{
    buffer::Buffer,
    layout::Rect,
    style::{Color, Style},
};
use unicode_width::UnicodeWidthStr;

/// Writes one row from left to right.
pub struct Pen<'a> {
    buffer: &'a mut Buffer,
    x: u16,
    end: u16,
    y: u16,
}

impl<'a> Pen<'a> {
    /// A pen at the start of row `row` of `area`; a row outside of the area
    /// or the buffer takes no ink.
    pub fn new(buffer: &'a mut Buffer, area: Rect, row: u16) -> Pen<'a> {
        let inside = area.intersection(buffer.area);
        let y = area.y.saturating_add(row);
        let end = if row < inside.height { inside.right() } else { inside.x };
        Pen { buffer, x: inside.x, end, y }
    }

    /// Writes `text` as far as there is room.
    pub fn put(&mut self, text: &str, style: Style) -> &mut Self {
        if self.x < self.end {
            let room = usize::from(self.end - self.x);
            self.x = self.buffer.set_stringn(self.x, self.y, text, room, style).0;
        }
        self
    }

    /// Writes `text`, and spaces until `width` columns are used; longer text
    /// is cut with `…`.
    pub fn column(&mut self, text: &str, width: usize, style: Style) -> &mut Self {
        let cut = clip(text, width);
        let fill = width.saturating_sub(cut.width());
        self.put(&cut, style).put(&" ".repeat(fill), style)
    }

    /// Columns left.
    pub fn room(&self) -> usize {
        usize::from(self.end.saturating_sub(self.x))
    }

    /// Writes `text` at the right edge, when it fits in what is left.
    pub fn right(&mut self, text: &str, style: Style) {
        let width = text.width();
        if width <= self.room() {
            self.x = self.end - width as u16;
            self.put(text, style);
        }
    }

    /// Gives the whole row from here to the edge a style. Text that had the
    /// new background's colour stays readable: it gets the default colour.
    pub fn fill(&mut self, style: Style) {
        for x in self.x..self.end {
            if let Some(cell) = self.buffer.cell_mut((x, self.y)) {
                cell.set_style(style);
                if cell.fg == cell.bg {
                    cell.fg = Color::Reset;
                }
            }
        }
    }
}

/// `text` in at most `width` columns, the end replaced by `…` when it is longer.
pub fn clip(text: &str, width: usize) -> String {
    if text.width() <= width {
        return text.to_string();
    }
    // The width of a text is not the sum of its letters': a sign behind one can
    // make it wider (U+FE0F).
    let mut out = String::new();
    for c in text.chars() {
        out.push(c);
        if out.width() + 1 > width {
            out.pop();
            break;
        }
    }
    if width > 0 {
        out.push('…');
    }
    out
}

/// `text` in at most `width` columns, the beginning replaced by `…`: for
/// paths, whose end matters.
pub fn clip_start(text: &str, width: usize) -> String {
    if text.width() <= width {
        return text.to_string();
    }
    if width == 0 {
        return String::new();
    }
    let starts = text.char_indices().map(|(at, _)| &text[at..]).rev();
    let tail = starts.take_while(|tail| tail.width() < width).last().unwrap_or("");
    format!("…{tail}")
}

/// Breaks text into rows of at most `width` columns, at spaces where there
/// are some; a word longer than a row is cut.
pub fn wrap(text: &str, width: usize) -> Vec<String> {
    let width = width.max(1);
    let mut rows = Vec::new();
    for line in text.lines() {
        let mut row = String::new();
        for word in line.split(' ') {
            let gap = usize::from(!row.is_empty());
            // A word that is longer than a row is cut wherever it begins.
            let fits = row.width() + gap + word.width() <= width || word.width() > width;
            if (!fits || row.width() + gap >= width) && gap == 1 {
                rows.push(std::mem::take(&mut row));
            } else if gap == 1 {
                row.push(' ');
            }
            for c in word.chars() {
                row.push(c);
                if row.width() > width && row.pop().is_some() {
                    rows.push(std::mem::replace(&mut row, c.to_string()));
                }
            }
        }
        rows.push(row);
    }
    rows
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn the_end_of_a_path_and_the_start_of_a_name_stay() {
        assert_eq!(clip_start("drivers/net/dummy.c", 10), "…t/dummy.c");
        assert_eq!(clip("HgfsSendRequest", 8), "HgfsSen…");
        assert_eq!(clip("宽字符", 4), "宽…");
        assert_eq!(clip("a*\u{fe0f}bcd", 3), "a*…", "the sign makes two columns of one");
        assert_eq!((clip("ab", 0), clip_start("ab", 0)), (String::new(), String::new()));
    }

    #[test]
    fn text_wraps_at_spaces() {
        assert_eq!(wrap("type echo g there", 8), ["type", "echo g", "there"]);
        assert_eq!(wrap("abcdefgh", 3), ["abc", "def", "gh"]);
        assert_eq!(wrap("pc 0xffffffff", 8), ["pc 0xfff", "fffff"]);
        assert_eq!(wrap("a\n\nb", 3), ["a", "", "b"]);
    }

    #[test]
    fn a_row_outside_takes_no_ink() {
        let area = Rect::new(0, 0, 4, 2);
        let mut buffer = Buffer::empty(area);
        Pen::new(&mut buffer, area, 2).put("no", Style::new()).fill(Style::new());
        Pen::new(&mut buffer, Rect::new(9, 9, 3, 3), 0).put("no", Style::new());
        assert_eq!(buffer, Buffer::empty(area));
        Pen::new(&mut buffer, area, 1).column("abcdef", 3, Style::new()).put("xyz", Style::new());
        assert_eq!(buffer, Buffer::with_lines(["    ", "ab…x"]));
    }

    proptest! {
        #[test]
        fn nothing_is_wider_than_asked(text in "\\PC{0,40}", width in 0usize..20) {
            prop_assert!(clip(&text, width).width() <= width);
            prop_assert!(clip_start(&text, width).width() <= width);
            if width > 1 {
                prop_assert!(wrap(&text, width).iter().all(|row| row.width() <= width));
            }
        }
    }
}
