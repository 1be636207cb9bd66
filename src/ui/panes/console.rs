//! The guest's console: a terminal, and what has left it at the top. While the
//! guest runs it can be typed into; the keys of that are in `ui/typing.rs`.

use super::Look;
use super::terminal::{Look as Letters, Row, Terminal};
use crate::config::theme::{Role, Theme};
use crate::ui::list::List;
use crate::ui::pen::Pen;
use ratatui::{
    buffer::Buffer,
    layout::{Position, Rect},
    style::{Modifier, Style},
};
use unicode_width::UnicodeWidthChar;

/// What the pane keeps.
#[derive(Debug, Default)]
pub struct Console {
    /// The cursor; at the last row it follows.
    pub list: List,
    /// Only rows with this text.
    pub filter: String,
    /// Whether keys go to the guest.
    pub typing: bool,
    terminal: Terminal,
    /// Columns of the pane.
    width: u16,
}

/// The column of the margin at the left.
const MARGIN: u16 = 1;

impl Console {
    /// Takes in bytes as they came; they may end anywhere. Gives what a terminal
    /// answers to what they ask, which is nothing while nobody types here.
    pub fn push(&mut self, bytes: &[u8]) -> Vec<u8> {
        let following = self.list.cursor + 1 >= self.list.len;
        let gone = self.terminal.push(bytes);
        self.list.cursor = self.list.cursor.saturating_sub(gone);
        self.list.top = self.list.top.saturating_sub(gone);
        if following {
            self.list.cursor = usize::MAX;
        }
        self.list.fit(self.terminal.len(), self.list.height);
        self.follow();
        let answers = self.terminal.answers();
        if self.typing { answers } else { Vec::new() }
    }

    /// The pane has this many columns and rows now.
    pub fn fit(&mut self, width: u16, height: usize) {
        let following = self.list.cursor + 1 >= self.list.len;
        self.width = width;
        self.terminal.widen(width.saturating_sub(MARGIN));
        self.list.fit(self.terminal.len(), height);
        if following {
            self.list.act(crate::config::actions::Action::End);
        }
        self.follow();
    }

    /// Shows only rows with a text.
    pub fn filter(&mut self, text: &str) {
        self.filter = text.trim().to_string();
        self.terminal.filter(&self.filter);
        self.list.cursor = usize::MAX;
        self.list.fit(self.terminal.len(), self.list.height);
    }

    /// Keys go to the guest from now on, or no more.
    pub fn type_into(&mut self, typing: bool) {
        self.typing = typing;
        if typing {
            if !self.filter.is_empty() {
                self.filter("");
            }
            self.follow();
        } else {
            self.list.left = 0;
        }
    }

    /// While keys go to the guest its cursor is in sight.
    fn follow(&mut self) {
        if !self.typing {
            return;
        }
        let (row, column) = self.terminal.cursor().unwrap_or((usize::MAX, 0));
        self.list.cursor = row;
        self.list.fit(self.terminal.len(), self.list.height);
        let room = usize::from(self.width.saturating_sub(MARGIN)).max(1);
        if !(self.list.left..self.list.left + room).contains(&column) {
            self.list.left = (column + 1).saturating_sub(room * 3 / 4);
        }
        if column < room {
            self.list.left = 0;
        }
    }

    /// Whether the guest's program wants arrows as applications do.
    pub fn wants_application_keys(&self) -> bool {
        self.terminal.wants_application_keys()
    }

    /// Whether the guest's program wants pasted text marked.
    pub fn wants_pasted_marked(&self) -> bool {
        self.terminal.wants_pasted_marked()
    }

    /// Where the guest's cursor is on our screen, when keys go there.
    pub fn cursor(&self, area: Rect) -> Option<Position> {
        let (row, column) = self.terminal.cursor().filter(|_| self.typing)?;
        let y = u16::try_from(row.checked_sub(self.list.top)?).ok()?;
        let x = u16::try_from(column.checked_sub(self.list.left)?).ok()? + MARGIN;
        let inside = y < area.height && x < area.width;
        inside.then(|| Position::new(area.x + x, area.y + y))
    }

    /// Draws the rows.
    pub fn draw(&self, buffer: &mut Buffer, area: Rect, look: &Look<'_>) {
        if self.terminal.len() == 0 {
            let words = match self.filter.is_empty() {
                true => "the guest has printed nothing on this line",
                false => "no line has this text; / changes it",
            };
            return look.placeholder(buffer, area, words);
        }
        for (row, index) in self.list.seen().enumerate() {
            let Some(line) = self.terminal.row(index) else { continue };
            let mut pen = Pen::new(buffer, area, row as u16);
            pen.put(" ", Style::new());
            for (text, letters) in from_column(&line, self.list.left) {
                pen.put(&text, style(letters, look.theme));
            }
            let here = index == self.list.cursor && !self.typing;
            look.cursor(buffer, area, row as u16, here);
        }
    }
}

/// The pieces of a row from a column on.
fn from_column(row: &Row, column: usize) -> Vec<(String, Letters)> {
    let mut at = 0;
    let mut pieces = Vec::new();
    for (text, look) in &row.pieces {
        let mut rest = String::new();
        for letter in text.chars() {
            if at >= column {
                rest.push(letter);
            }
            at += letter.width().unwrap_or(0);
        }
        if !rest.is_empty() {
            pieces.push((rest, *look));
        }
    }
    pieces
}

/// The guest's eight hues in our colours, which can be read on the theme's
/// background; in themes without colours there is only what needs none.
fn style(look: Letters, theme: Theme) -> Style {
    let mut style = theme.style(hue(look.behind.or(look.text)));
    for (on, modifier) in [
        (look.bold, Modifier::BOLD),
        (look.dim, Modifier::DIM),
        (look.italic, Modifier::ITALIC),
        (look.underlined, Modifier::UNDERLINED),
        (look.reversed || look.behind.is_some(), Modifier::REVERSED),
    ] {
        if on {
            style = style.add_modifier(modifier);
        }
    }
    style
}

/// Black, red, green, yellow, blue, magenta, cyan, white.
fn hue(number: Option<u8>) -> Role {
    match number {
        Some(0) => Role::Dim,
        Some(1) => Role::Armed,
        Some(2) => Role::Good,
        Some(3) => Role::Warning,
        Some(4) => Role::Type,
        Some(5) => Role::Keyword,
        Some(6) => Role::Key,
        _ => Role::Text,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::time::{Duration, Instant};

    fn lines(chunks: &[&[u8]]) -> Vec<String> {
        let mut console = Console::default();
        chunks.iter().for_each(|chunk| drop(console.push(chunk)));
        texts(&console)
    }

    fn texts(console: &Console) -> Vec<String> {
        let rows = (0..console.terminal.len()).filter_map(|index| console.terminal.row(index));
        rows.map(|row| row.text()).collect()
    }

    #[test]
    fn a_guest_cannot_move_our_cursor() {
        let text = b"\x1b[2J\x1b[1;1Hlogin: \x1b]0;title\x07ok\x07";
        assert_eq!(lines(&[text]), ["login: ok"]);
        assert_eq!(lines(&[b"a\x1b[3", b"1mb\r\nc"]), ["ab", "c"]);
    }

    #[test]
    fn progress_lines_overwrite_themselves() {
        assert_eq!(lines(&[b" 10%\r 90%\r\n", b"ab\x08c"]), [" 90%", "ac"]);
    }

    #[test]
    fn a_character_may_come_in_pieces() {
        assert_eq!(lines(&[b"\xe5\xae", b"\xbd!"]), ["宽!"]);
        assert_eq!(lines(&[b"\xff", b"a"]), ["·a"]);
    }

    #[test]
    fn a_sequence_without_an_end_swallows_no_further_line() {
        for begun in ["\x1b]0;title", "\x1bPq#0", "\x1b[12;", "\x1b_x", "\x1b^x", "\x1bX\x07"] {
            let text = format!("{begun}\r\nnext\r\nlast");
            let lines = lines(&[text.as_bytes()]);
            assert_eq!(&lines[lines.len() - 2..], ["next", "last"], "{begun:?}: {lines:?}");
        }
        let long = [b"\x1b]0;".to_vec(), vec![b'x'; 10_000], b"end".to_vec()].concat();
        assert!(lines(&[&long]).concat().ends_with("end"));
    }

    #[test]
    fn rows_that_leave_the_terminal_are_kept_and_bounded() {
        let mut console = Console::default();
        console.fit(81, 10);
        for number in 0..6_000 {
            console.push(format!("\x1b[31mline\x1b[m {number}\r\n").as_bytes());
        }
        let texts = texts(&console);
        // 5,000 above the 24 of the terminal, the last of which is empty.
        assert_eq!(texts.len(), 5_024);
        assert_eq!(texts[..2], ["line 977", "line 978"]);
        assert_eq!(texts[5_020..], ["line 5997", "line 5998", "line 5999", ""]);
        assert_eq!(console.list.cursor, 5_023, "it follows");
        assert_eq!(console.terminal.row(0).unwrap().pieces[0].1.text, Some(1));
        // Who reads further up stays where he is.
        console.list.act(crate::config::actions::Action::Home);
        console.list.cursor = 100;
        console.list.fit(console.list.len, 10);
        console.push(b"more\r\nand more\r\n");
        assert_eq!(console.list.cursor, 98);
    }

    #[test]
    fn only_rows_with_a_text() {
        let mut console = Console::default();
        console.fit(81, 10);
        for number in 0..100 {
            console.push(format!("Line {number}\r\n").as_bytes());
        }
        console.filter("line 7");
        assert_eq!(texts(&console).len(), 11);
        console.push(b"line 7 once more\r\nline 8\r\n");
        assert_eq!(texts(&console).last().unwrap(), "line 7 once more");
        console.filter("");
        assert_eq!(texts(&console).len(), 103);
    }

    #[test]
    fn a_wider_pane_makes_the_terminal_wider_and_a_narrower_one_loses_nothing() {
        let mut console = Console::default();
        let long = "x".repeat(150);
        console.fit(201, 10);
        console.push(long.as_bytes());
        console.fit(41, 10);
        assert_eq!(texts(&console), [long]);
    }

    #[test]
    fn the_guests_cursor_is_in_sight_while_it_is_typed_at() {
        let mut console = Console::default();
        console.fit(41, 5);
        console.push(&b"prompt$ ".repeat(9));
        console.type_into(true);
        let area = Rect::new(10, 20, 41, 5);
        let cursor = console.cursor(area).unwrap();
        assert!(cursor.x > 10 && cursor.x < 51 && cursor.y == 20, "{cursor:?}");
        console.type_into(false);
        assert_eq!((console.cursor(area), console.list.left), (None, 0));
    }

    #[test]
    fn a_program_learns_the_size_while_it_is_typed_at() {
        let mut console = Console::default();
        console.fit(101, 10);
        let question = b"\x1b[999;999H\x1b[6n\x1b[c\x1b[5n";
        assert_eq!(console.push(question), b"", "nobody types: no byte goes to the guest");
        console.type_into(true);
        assert_eq!(console.push(question), b"\x1b[24;100R\x1b[?6c\x1b[0n");
        assert!(console.push(&question.repeat(100)).len() <= 64, "a flood is not answered");
    }

    /// A flood must not freeze the screen: the line itself brings 11 kB a second,
    /// a virtual one some MB.
    #[test]
    fn a_flood_is_taken_in_quickly() {
        let mut console = Console::default();
        console.fit(161, 40);
        let flood = b"[   12.345678] a line of a kernel that prints very much\r\n".repeat(70);
        let start = Instant::now();
        let mut taken = 0;
        while taken < 2_000_000 {
            console.push(&flood);
            taken += flood.len();
        }
        let elapsed = start.elapsed();
        println!("2 MB of console text: {elapsed:?}");
        assert!(elapsed < Duration::from_secs(20), "{elapsed:?}");
    }

    fn hostile() -> impl Strategy<Value = Vec<u8>> {
        let piece = prop_oneof![
            proptest::collection::vec(any::<u8>(), 0..20),
            "\x1b\\[[0-9;?:]{0,12}[@-~]".prop_map(String::into_bytes),
            "\x1b[\\]PX^_][ -~]{0,12}(\x07|\x1b\\\\)?".prop_map(String::into_bytes),
            "\x1b[ -~]".prop_map(String::into_bytes),
            "[宽e\u{301}\u{200d}\u{fe0f}👨🇩🇪\r\n\t\u{8}]{0,12}".prop_map(String::into_bytes),
            Just(b"\x1b[?1049h".to_vec()),
            Just(b"\x1b[5;3r\x1b[999;999H\x1b[?6h".to_vec()),
            Just(vec![b'x'; 90]),
        ];
        proptest::collection::vec(piece, 0..30).prop_map(|pieces| pieces.concat())
    }

    proptest! {
        #[test]
        fn any_bytes_in_any_pieces_give_the_same_lines(
            bytes in hostile(), at in 0usize..600, width in 1u16..200,
        ) {
            let at = at.min(bytes.len());
            let shown = |chunks: &[&[u8]]| {
                let mut console = Console::default();
                console.fit(width, 10);
                chunks.iter().for_each(|chunk| drop(console.push(chunk)));
                texts(&console)
            };
            let whole = shown(&[&bytes]);
            prop_assert!(whole.iter().all(|line| !line.contains(char::is_control)));
            if std::str::from_utf8(&bytes).is_ok() {
                prop_assert_eq!(shown(&[&bytes[..at], &bytes[at..]]), whole);
            }
        }

        #[test]
        fn the_pane_can_be_drawn_whatever_came(
            bytes in hostile(), widths in proptest::collection::vec(0u16..200, 1..4), typing: bool,
        ) {
            let mut console = Console::default();
            let keymap = crate::config::keymap::Keymap::default();
            let theme = Theme::Dark16;
            let look = Look { theme, keymap: &keymap, focused: true, view: None };
            for width in widths {
                let area = Rect::new(0, 0, width, 12);
                console.fit(width, 12);
                console.push(&bytes);
                console.type_into(typing);
                let mut buffer = Buffer::empty(area);
                console.draw(&mut buffer, area, &look);
                let cursor = console.cursor(area);
                prop_assert!(cursor.is_none_or(|at| area.contains(at)));
            }
        }
    }
}
