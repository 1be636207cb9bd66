//! The text of one source file, cut into lines and words once, when it is
//! read. Lines count from 1, as in debug information.

use crate::source::{
    SourceError,
    clex::{Lexer, Span},
    unreadable,
};
use std::{fs::File, io::Read, path::Path, sync::Arc};

/// Files over this size are not source anybody reads.
pub const MAX_BYTES: u64 = 32 << 20;

/// Longer lines are cut: they are data in generated files.
pub const MAX_LINE_BYTES: usize = 4096;

/// A source file: its lines, and the words of each.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Text {
    content: String,
    lines: Vec<Line>,
    spans: Vec<Span>,
}

#[derive(Debug, PartialEq, Eq)]
struct Line {
    start: usize,
    end: usize,
    first_span: usize,
}

impl Text {
    /// Reads a file. Bytes that are not UTF-8 are replaced.
    pub fn load(path: &Path) -> Result<Arc<Text>, SourceError> {
        let file = File::open(path).map_err(|e| unreadable(path, &e))?;
        let size = file.metadata().map_err(|e| unreadable(path, &e))?.len();
        let mut bytes = Vec::new();
        // One byte over the limit is asked for, so that a file that grows, or
        // has no size to begin with, is seen as too large too.
        file.take(MAX_BYTES + 1).read_to_end(&mut bytes).map_err(|e| unreadable(path, &e))?;
        if size > MAX_BYTES || bytes.len() as u64 > MAX_BYTES {
            let size = size.max(bytes.len() as u64);
            return Err(SourceError::TooLarge { path: path.to_path_buf(), size });
        }
        Ok(Arc::new(Text::new(&String::from_utf8_lossy(&bytes))))
    }

    /// Cuts `source` into lines and words. Tabs stay; other control
    /// characters are replaced, so that nothing in a file can move the cursor.
    pub fn new(source: &str) -> Text {
        let mut text = Text { content: String::with_capacity(source.len()), ..Text::default() };
        let mut lexer = Lexer::new();
        for line in source.lines() {
            let start = text.content.len();
            let cut = floor_char_boundary(line, MAX_LINE_BYTES);
            let shown = |c: char| if c.is_control() && c != '\t' { '·' } else { c };
            text.content.extend(line[..cut].chars().map(shown));
            if cut < line.len() {
                text.content.push('…');
            }
            let end = text.content.len();
            text.lines.push(Line { start, end, first_span: text.spans.len() });
            lexer.line(&text.content[start..end], &mut text.spans);
        }
        text
    }

    /// How many lines there are.
    pub fn len(&self) -> usize {
        self.lines.len()
    }

    /// Whether the file has no line.
    pub fn is_empty(&self) -> bool {
        self.lines.is_empty()
    }

    /// Line `number`, counted from 1, without its end.
    pub fn line(&self, number: usize) -> Option<&str> {
        let line = self.lines.get(number.checked_sub(1)?)?;
        Some(&self.content[line.start..line.end])
    }

    /// The words of line `number` in order, as byte ranges of
    /// [`Text::line`]; white space belongs to none.
    pub fn spans(&self, number: usize) -> &[Span] {
        let Some(index) = number.checked_sub(1).filter(|&i| i < self.lines.len()) else {
            return &[];
        };
        let end = self.lines.get(index + 1).map_or(self.spans.len(), |line| line.first_span);
        &self.spans[self.lines[index].first_span..end]
    }
}

/// The last character boundary at or before `at` (`str::floor_char_boundary`
/// is newer than the oldest compiler we support).
fn floor_char_boundary(text: &str, at: usize) -> usize {
    if at >= text.len() {
        return text.len();
    }
    (0..=at).rev().find(|&i| text.is_char_boundary(i)).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::source::clex::Kind;

    #[test]
    fn lines_count_from_one_and_lose_their_ends() {
        let text = Text::new("int a;\r\n\n\tb\x1b[2J();");
        assert_eq!(text.len(), 3);
        assert_eq!(text.line(1), Some("int a;"));
        assert_eq!(text.line(2), Some(""));
        assert_eq!(text.line(3), Some("\tb·[2J();"));
        assert_eq!((text.line(0), text.line(4)), (None, None));
        assert_eq!(text.spans(1)[0], Span { start: 0, end: 3, kind: Kind::Type });
        assert!(text.spans(0).is_empty() && text.spans(2).is_empty() && text.spans(9).is_empty());
    }

    #[test]
    fn a_very_long_line_is_cut_on_a_character() {
        let text = Text::new(&"é".repeat(MAX_LINE_BYTES));
        let line = text.line(1).unwrap();
        assert_eq!(line.len(), MAX_LINE_BYTES + '…'.len_utf8());
        assert!(line.ends_with('…'));
    }

    #[test]
    fn files_that_are_too_large_or_no_text_are_answers() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("big.c");
        File::create(&path).unwrap().set_len(MAX_BYTES + 1).unwrap();
        assert!(
            matches!(Text::load(&path), Err(SourceError::TooLarge { size, .. }) if size == MAX_BYTES + 1)
        );
        std::fs::write(&path, b"a\xff\0b\n").unwrap();
        assert_eq!(Text::load(&path).unwrap().line(1), Some("a\u{fffd}·b"));
        assert!(matches!(Text::load(dir.path()), Err(SourceError::Unreadable { .. })));
    }
}
