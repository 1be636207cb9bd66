//! The terminal that the guest's console is shown on, and the rows that have
//! left it at the top.
//!
//! A serial line does not tell a guest how large its terminal is, and a guest
//! takes 80 by 24 for granted (`tty_port` sets no window size). So the terminal
//! has 24 rows whatever the pane has, and 80 columns or, where the pane is wider,
//! more: kernels write long lines. It never gets narrower, because what stands at
//! its right would be lost. The pane shows the rows that have left it above its
//! own rows, as one list.
//!
//! What the guest sends ends here: nothing of it reaches our own terminal but
//! characters and colours. A sequence without an end ends with the line.

use std::{collections::VecDeque, num::NonZeroU16};
use vt100::capture::{BasicFormattedCaptureState, RowContents};

/// The most rows kept that have left the terminal.
const MOST: usize = 5_000;

/// The most bytes of answers to one piece of text.
const MOST_ANSWERS: usize = 64;

/// What a guest takes for granted.
const ROWS: u16 = 24;
const COLUMNS: u16 = 80;
/// More columns than any screen has.
const MOST_COLUMNS: u16 = 1_000;

/// How long a string inside a sequence may be (a title, a picture).
const LONGEST_STRING: usize = 4_096;

/// How a character looks: one of eight hues, and more.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Look {
    /// The hue of the text, 0 to 7, as ANSI counts them; none for plain text.
    pub text: Option<u8>,
    /// The hue behind it.
    pub behind: Option<u8>,
    pub bold: bool,
    pub dim: bool,
    pub italic: bool,
    pub underlined: bool,
    pub reversed: bool,
}

/// A row: pieces of text, each with its look.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Row {
    pub pieces: Vec<(String, Look)>,
}

impl Row {
    /// The text alone.
    pub fn text(&self) -> String {
        self.pieces.iter().map(|(text, _)| text.as_str()).collect()
    }

    fn push(&mut self, text: &str, look: Look) {
        match self.pieces.last_mut() {
            Some((last, same)) if *same == look => last.push_str(text),
            _ => self.pieces.push((text.to_string(), look)),
        }
    }

    /// Without the spaces at its end that look like nothing.
    fn trim(&mut self) {
        while let Some((text, look)) = self.pieces.last_mut() {
            if look.behind.is_some() || look.reversed || look.underlined {
                return;
            }
            text.truncate(text.trim_end_matches(' ').len());
            if !text.is_empty() {
                return;
            }
            self.pieces.pop();
        }
    }

    /// Whether its text has another one in it, which is in lower case.
    fn has(&self, text: &str) -> bool {
        text.is_empty() || self.text().to_lowercase().contains(text)
    }
}

/// Rows that have left the terminal.
#[derive(Debug, Default)]
struct Gone {
    rows: VecDeque<Row>,
    /// How many were thrown away before them.
    lost: usize,
    /// How many of those that were shown are among these.
    left: usize,
    /// Those that have the text, counted with the lost ones.
    matching: VecDeque<usize>,
    /// The text, in lower case.
    text: String,
    /// What the guest asked the terminal, answered.
    answers: Vec<u8>,
}

impl Gone {
    fn push(&mut self, row: Row) {
        if !self.text.is_empty() && row.has(&self.text) {
            self.matching.push_back(self.lost + self.rows.len());
        }
        self.rows.push_back(row);
        if self.rows.len() > MOST {
            self.rows.pop_front();
            self.lost += 1;
            let matched = self.matching.front().is_some_and(|number| *number < self.lost);
            if matched {
                self.matching.pop_front();
            }
            if matched || self.text.is_empty() {
                self.left += 1;
            }
        }
    }

    fn len(&self) -> usize {
        if self.text.is_empty() { self.rows.len() } else { self.matching.len() }
    }

    fn row(&self, index: usize) -> Option<&Row> {
        let index = match self.text.is_empty() {
            true => index,
            false => self.matching.get(index)? - self.lost,
        };
        self.rows.get(index)
    }
}

impl vt100::Callbacks for Gone {
    fn on_scroll(&mut self, contents: RowContents<'_>, _alternate_screen: bool) {
        let mut text = String::new();
        // A string takes everything.
        let _ = contents.write_formatted_basic(&mut text, &mut BasicFormattedCaptureState::new());
        self.push(row_of(&text));
    }

    /// Programs ask for the place of the cursor, mostly after they moved it as far as
    /// it goes, to know the size (ECMA-48, 8.3.35: DSR), and who we are (DA).
    fn unhandled_csi(
        &mut self,
        screen: &mut vt100::Screen,
        first: Option<u8>,
        _second: Option<u8>,
        parameters: &[&[u16]],
        final_byte: char,
    ) {
        let number = parameters.first().and_then(|number| number.first()).copied();
        let answer = match (first, final_byte, number) {
            (None, 'n', Some(5)) => "\x1b[0n".to_string(),
            (None, 'n', Some(6)) => {
                let (row, column) = screen.cursor_position();
                format!("\x1b[{};{}R", row + 1, column + 1)
            }
            // A VT102.
            (None, 'c', None | Some(0)) => "\x1b[?6c".to_string(),
            _ => return,
        };
        if self.answers.len() + answer.len() <= MOST_ANSWERS {
            self.answers.extend(answer.bytes());
        }
    }
}

/// Where in a sequence (ECMA-48) the text is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Sequence {
    #[default]
    None,
    /// After ESC.
    Begun,
    /// In a control sequence, until a byte from `@` to `~`.
    Control,
    /// In a string (a title, a picture), of so many bytes until now.
    String(usize),
}

/// The terminal.
pub(super) struct Terminal {
    parser: vt100::Parser<Gone>,
    sequence: Sequence,
    /// The beginning of a UTF-8 character whose rest has not come yet.
    partial: Vec<u8>,
    /// The rows of the screen that are shown.
    shown: Vec<u16>,
    /// Whether anything came.
    used: bool,
}

impl std::fmt::Debug for Terminal {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Terminal of {} rows", self.len())
    }
}

impl Default for Terminal {
    fn default() -> Terminal {
        let (rows, columns) = (positive(ROWS), positive(COLUMNS));
        let parser = vt100::Parser::new_with_callbacks(rows, columns, 0, Gone::default());
        Terminal {
            parser,
            sequence: Sequence::None,
            partial: Vec::new(),
            shown: Vec::new(),
            used: false,
        }
    }
}

/// CAN: ends whatever sequence is under way.
const CANCEL: u8 = 0x18;
const ESC: u8 = 0x1b;
/// Stands for bytes that are no character.
const UNREADABLE: &str = "·";
const BEL: u8 = 0x07;

impl Terminal {
    /// Takes in bytes as they came; they may end anywhere. Gives how many rows
    /// at the top of the list are gone.
    pub fn push(&mut self, bytes: &[u8]) -> usize {
        let left = self.gone().left;
        self.used |= !bytes.is_empty();
        let mut all = std::mem::take(&mut self.partial);
        all.extend_from_slice(bytes);
        let complete = complete_prefix(&all);
        // vt100 leaves out what is no character; it is to be seen that there was one.
        let text = String::from_utf8_lossy(&all[..complete]).replace('\u{fffd}', UNREADABLE);
        self.partial = all[complete..].to_vec();
        let mut safe = Vec::with_capacity(text.len());
        for byte in text.bytes() {
            self.feed(byte, &mut safe);
        }
        self.parser.process(&safe);
        self.look();
        self.gone().left - left
    }

    /// Ends sequences that would swallow what comes after them.
    fn feed(&mut self, byte: u8, safe: &mut Vec<u8>) {
        self.sequence = match (self.sequence, byte) {
            (_, ESC) => Sequence::Begun,
            (_, CANCEL) => Sequence::None,
            (Sequence::None, _) => Sequence::None,
            (_, b'\n') | (Sequence::String(LONGEST_STRING), _) => {
                safe.push(CANCEL);
                Sequence::None
            }
            (Sequence::Begun, b'[') => Sequence::Control,
            // OSC, DCS, SOS, PM, APC.
            (Sequence::Begun, b']' | b'P' | b'X' | b'^' | b'_') => Sequence::String(0),
            // Intermediate bytes; the final one follows.
            (Sequence::Begun, 0x20..=0x2f) => Sequence::Begun,
            (Sequence::Begun, _) | (Sequence::Control, b'@'..=b'~') => Sequence::None,
            (Sequence::String(_), BEL) => {
                // Only of OSC it is the end; others would go on unseen.
                safe.push(CANCEL);
                Sequence::None
            }
            (Sequence::String(length), _) => Sequence::String(length + 1),
            (state, _) => state,
        };
        safe.push(byte);
    }

    /// The answers to what the guest asked the terminal since the last call.
    pub fn answers(&mut self) -> Vec<u8> {
        std::mem::take(&mut self.parser.callbacks_mut().answers)
    }

    /// Makes the terminal as wide as the pane, if that is wider.
    pub fn widen(&mut self, columns: u16) {
        let (_, now) = self.screen().size();
        let columns = columns.min(MOST_COLUMNS);
        if columns > now.get() {
            self.parser.set_size(positive(ROWS), positive(columns));
        }
    }

    /// Shows only rows with a text.
    pub fn filter(&mut self, text: &str) {
        let gone = self.parser.callbacks_mut();
        gone.text = text.to_lowercase();
        gone.matching.clear();
        if !gone.text.is_empty() {
            let numbers = (gone.lost..).zip(&gone.rows);
            let numbers = numbers.filter(|(_, row)| row.has(&gone.text)).map(|(number, _)| number);
            gone.matching = numbers.collect();
        }
        self.look();
    }

    /// Finds out which rows of the screen are shown: those up to the cursor and
    /// what is written.
    fn look(&mut self) {
        let (cursor, _) = self.screen().cursor_position();
        let written = (0..ROWS).rev().find(|row| !self.screen_row(*row).pieces.is_empty());
        let last = written.map_or(cursor, |row| row.max(cursor));
        let text = &self.gone().text;
        self.shown = match (self.used, text.is_empty()) {
            (false, _) => Vec::new(),
            (true, true) => (0..=last).collect(),
            (true, false) => (0..=last).filter(|row| self.screen_row(*row).has(text)).collect(),
        };
    }

    fn screen(&self) -> &vt100::Screen {
        self.parser.screen()
    }

    fn gone(&self) -> &Gone {
        self.parser.callbacks()
    }

    /// How many rows there are.
    pub fn len(&self) -> usize {
        self.gone().len() + self.shown.len()
    }

    /// A row.
    pub fn row(&self, index: usize) -> Option<Row> {
        match index.checked_sub(self.gone().len()) {
            None => self.gone().row(index).cloned(),
            Some(row) => self.shown.get(row).map(|row| self.screen_row(*row)),
        }
    }

    /// Where the guest's cursor is, when it shows one: row and column.
    pub fn cursor(&self) -> Option<(usize, usize)> {
        let (row, column) = self.screen().cursor_position();
        let at = self.shown.iter().position(|shown| *shown == row)?;
        Some((self.gone().len() + at, column.into())).filter(|_| !self.screen().hide_cursor())
    }

    /// Whether arrows are to be sent as applications want them (DECCKM).
    pub fn wants_application_keys(&self) -> bool {
        self.screen().application_cursor()
    }

    /// Whether pasted text is to be marked as such.
    pub fn wants_pasted_marked(&self) -> bool {
        self.screen().bracketed_paste()
    }

    fn screen_row(&self, row: u16) -> Row {
        let mut line = Row::default();
        let (_, columns) = self.screen().size();
        for column in 0..columns.get() {
            let Some(cell) = self.screen().cell(row, column) else { break };
            if cell.is_wide_continuation() {
                continue;
            }
            let text = if cell.has_contents() { cell.contents() } else { " " };
            line.push(text, look_of(cell));
        }
        line.trim();
        line
    }
}

/// How many bytes are whole characters; at most three at the end are the
/// beginning of one.
fn complete_prefix(bytes: &[u8]) -> usize {
    match std::str::from_utf8(bytes) {
        Ok(_) => bytes.len(),
        Err(_) => {
            let from = bytes.len().saturating_sub(3);
            let begun = (from..bytes.len()).rev().find(|&i| (0xc2..0xf5).contains(&bytes[i]));
            let needs = |lead: u8| match lead {
                0xf0.. => 4,
                0xe0.. => 3,
                _ => 2,
            };
            begun.filter(|&i| bytes.len() - i < needs(bytes[i])).unwrap_or(bytes.len())
        }
    }
}

fn positive(number: u16) -> NonZeroU16 {
    NonZeroU16::new(number).unwrap_or(NonZeroU16::MIN)
}

fn look_of(cell: &vt100::Cell) -> Look {
    Look {
        text: hue(cell.fgcolor()),
        behind: hue(cell.bgcolor()),
        bold: cell.bold() || matches!(cell.fgcolor(), vt100::Color::Idx(8..=15)),
        dim: cell.dim(),
        italic: cell.italic(),
        underlined: cell.underline(),
        reversed: cell.inverse(),
    }
}

/// The one of the eight hues that is most like a colour.
fn hue(colour: vt100::Color) -> Option<u8> {
    let (red, green, blue) = match colour {
        vt100::Color::Default => return None,
        vt100::Color::Idx(number @ 0..=15) => return Some(number % 8),
        // xterm's cube of 6x6x6 colours, and 24 greys.
        vt100::Color::Idx(number @ 16..=231) => {
            let part = |step: u8| (number - 16) / step % 6 * 51;
            (part(36), part(6), part(1))
        }
        vt100::Color::Idx(number) => {
            let grey = (number - 232) * 10 + 8;
            (grey, grey, grey)
        }
        vt100::Color::Rgb(red, green, blue) => (red, green, blue),
    };
    let most = red.max(green).max(blue);
    let part = |value: u8, bit: u8| if value > most / 2 && most > 64 { bit } else { 0 };
    Some(part(red, 1) | part(green, 2) | part(blue, 4))
}

/// A row of vt100's "basic formatted" text: characters, and SGR sequences.
fn row_of(text: &str) -> Row {
    let mut row = Row::default();
    let mut look = Look::default();
    let mut pieces = text.split('\x1b');
    if let Some(first) = pieces.next()
        && !first.is_empty()
    {
        row.push(first, look);
    }
    for piece in pieces {
        let Some((parameters, text)) = piece.split_once('m') else { continue };
        change(&mut look, parameters.trim_start_matches('['));
        if !text.is_empty() {
            row.push(text, look);
        }
    }
    row.trim();
    row
}

/// Changes a look as an SGR sequence says (ECMA-48, 8.3.117; 38 and 48 as xterm
/// has them).
fn change(look: &mut Look, parameters: &str) {
    let mut numbers = parameters.split(';').map(|number| number.parse::<u8>().unwrap_or(0));
    while let Some(number) = numbers.next() {
        match number {
            0 => *look = Look::default(),
            1 => (look.bold, look.dim) = (true, false),
            2 => (look.bold, look.dim) = (false, true),
            22 => (look.bold, look.dim) = (false, false),
            3 | 23 => look.italic = number == 3,
            4 | 24 => look.underlined = number == 4,
            7 | 27 => look.reversed = number == 7,
            30..=37 => look.text = Some(number - 30),
            90..=97 => (look.text, look.bold) = (Some(number - 90), true),
            39 => look.text = None,
            40..=47 => look.behind = Some(number - 40),
            100..=107 => look.behind = Some(number - 100),
            49 => look.behind = None,
            38 | 48 => {
                let colour = match numbers.next() {
                    Some(5) => numbers.next().map(vt100::Color::Idx),
                    Some(2) => {
                        let mut part = || numbers.next().unwrap_or(0);
                        let (red, green, blue) = (part(), part(), part());
                        Some(vt100::Color::Rgb(red, green, blue))
                    }
                    _ => None,
                };
                let Some(colour) = colour else { continue };
                if number == 38 {
                    look.text = hue(colour);
                } else {
                    look.behind = hue(colour);
                }
            }
            _ => {}
        }
    }
}
