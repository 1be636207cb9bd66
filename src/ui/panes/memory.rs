//! Guest memory: as bytes, as numbers, or as words with the names of what they
//! point at. The word at the cursor can be followed.

use super::{Look, Outcome};
use crate::base::addr::Addr;
use crate::base::text::printable;
use crate::config::actions::Action;
use crate::config::theme::Role;
use crate::session::view::View;
use crate::session::wants::{MemoryView, MemoryWant};
use crate::ui::list::List;
use crate::ui::pen::Pen;
use ratatui::{buffer::Buffer, layout::Rect, style::Style};

/// Bytes of a word.
const WORD: usize = 8;

/// How memory is shown.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Unit {
    /// A word a row, with names.
    #[default]
    Words,
    /// Bytes and their letters.
    Bytes,
    /// Numbers of four bytes.
    Longs,
}

/// A place in memory.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct Place {
    expression: String,
    offset: i64,
}

/// What the pane keeps.
#[derive(Debug, Default)]
pub struct Memory {
    /// The row the cursor is on; all rows are on screen.
    pub list: List,
    /// The column of cells the cursor is on.
    column: usize,
    /// Columns of the pane.
    pub width: u16,
    place: Option<Place>,
    before: Vec<Place>,
    unit: Unit,
}

impl Memory {
    /// Shows memory at an expression.
    pub fn go_to(&mut self, expression: String) {
        self.before.extend(self.place.take());
        self.place = Some(Place { expression, offset: 0 });
        (self.list.cursor, self.column) = (0, 0);
    }

    /// What is to be read when the pane is on screen.
    pub fn want(&self) -> Option<MemoryWant> {
        let place = self.place.as_ref()?;
        let len = (self.list.height * self.row_bytes()) as u64;
        Some(MemoryWant { expression: place.expression.clone(), offset: place.offset, len })
            .filter(|want| want.len > 0)
    }

    /// Where it is, for the title.
    pub fn title(&self) -> String {
        match &self.place {
            Some(Place { expression, offset: 0 }) => printable(expression),
            Some(Place { expression, offset }) => {
                let sign = if *offset < 0 { '-' } else { '+' };
                format!("{} {sign} {:#x}", printable(expression), offset.unsigned_abs())
            }
            None => String::new(),
        }
    }

    fn row_bytes(&self) -> usize {
        match self.unit {
            Unit::Words => WORD,
            // A space, the address, three columns a byte, a letter a byte.
            _ if self.width >= 1 + 17 + 16 * 3 + 16 => 16,
            _ => 8,
        }
    }

    fn unit_bytes(&self) -> usize {
        match self.unit {
            Unit::Words => WORD,
            Unit::Bytes => 1,
            Unit::Longs => 4,
        }
    }

    /// Moves what is shown by some rows.
    pub fn scroll(&mut self, rows: i64) {
        let by = rows * self.row_bytes() as i64;
        if let Some(place) = &mut self.place {
            place.offset = place.offset.saturating_add(by);
        }
    }

    /// Puts the cursor on the cell at a column of the pane; `true` when it was
    /// there already.
    pub fn point(&mut self, column: u16) -> bool {
        // A space, the address and another space; then each with a space.
        let cell = usize::from(column).saturating_sub(18) / (2 * self.unit_bytes() + 1);
        let cell = cell.min(self.row_bytes() / self.unit_bytes() - 1);
        std::mem::replace(&mut self.column, cell) == cell
    }

    /// Does what a key asks.
    pub fn act(&mut self, action: Action, view: Option<&View>) -> Option<Outcome> {
        let rows = self.list.height.max(1) as i64;
        self.list.len = self.list.height;
        let cells = self.row_bytes() / self.unit_bytes();
        match action {
            Action::Up if self.list.cursor == 0 => self.scroll(-1),
            Action::Down if self.list.cursor + 1 >= self.list.height => self.scroll(1),
            Action::PageUp => self.scroll(1 - rows),
            Action::PageDown => self.scroll(rows - 1),
            Action::Home => {
                if let Some(place) = &mut self.place {
                    place.offset = 0;
                }
                (self.list.cursor, self.column) = (0, 0);
            }
            Action::Left => self.column = self.column.saturating_sub(1),
            Action::Right => self.column = (self.column + 1).min(cells - 1),
            Action::CycleUnit => {
                self.unit = match self.unit {
                    Unit::Words => Unit::Bytes,
                    Unit::Bytes => Unit::Longs,
                    Unit::Longs => Unit::Words,
                };
                self.column = 0;
            }
            Action::Back => self.place = self.before.pop().or(self.place.take()),
            Action::Open => {
                let memory = view?.stop.as_ref()?.supplied.memory.as_ref()?;
                let at = self.list.cursor * self.row_bytes() + self.column * self.unit_bytes();
                let word = word(memory, at / WORD * WORD)?;
                if word >> 63 == 0 {
                    let words = "this is no address of the kernel; nothing to follow";
                    return Some(Outcome::Say(words.into()));
                }
                self.go_to(format!("{word:#x}"));
            }
            Action::End => {}
            action => {
                self.list.act(action);
            }
        }
        None
    }

    /// Draws the memory.
    pub fn draw(&self, buffer: &mut Buffer, area: Rect, look: &Look<'_>) {
        let Some(place) = &self.place else {
            return look.placeholder(buffer, area, "m shows memory: at a value, or at an address");
        };
        let stop = look.view.and_then(|view| view.stop.as_ref());
        let Some(memory) = stop.and_then(|stop| stop.supplied.memory.as_ref()) else {
            let words =
                if stop.is_some() { "reading …" } else { "known when the guest is stopped" };
            return look.placeholder(buffer, area, words);
        };
        if memory.want.expression != place.expression {
            return look.placeholder(buffer, area, "reading …");
        }
        if let Some(error) = &memory.error {
            return look.placeholder(buffer, area, &printable(error));
        }
        // While a scrolled screen is read, what is known stays where it belongs.
        let ahead = place.offset.wrapping_sub(memory.want.offset);
        let start = Addr(memory.start.0.wrapping_add(ahead as u64));
        for row in 0..area.height {
            let at = ahead.saturating_add((usize::from(row) * self.row_bytes()) as i64);
            let addr = start.offset((usize::from(row) * self.row_bytes()) as u64);
            let mut pen = Pen::new(buffer, area, row);
            pen.put(&format!(" {:016x} ", addr.0), look.style(Role::Dim));
            self.draw_cells(&mut pen, memory, at, usize::from(row), look);
        }
    }

    fn draw_cells(
        &self,
        pen: &mut Pen<'_>,
        memory: &MemoryView,
        at: i64,
        row: usize,
        look: &Look<'_>,
    ) {
        let size = self.unit_bytes();
        let here = row == self.list.cursor && look.focused;
        let byte = |i: usize| {
            let index = usize::try_from(at.checked_add(i as i64)?).ok()?;
            memory.bytes.get(index).copied()
        };
        for cell in 0..self.row_bytes() / size {
            let bytes: Vec<Option<Option<u8>>> =
                (0..size).rev().map(|i| byte(cell * size + i)).collect();
            let digits: String = bytes
                .iter()
                .map(|byte| match byte {
                    Some(Some(byte)) => format!("{byte:02x}"),
                    Some(None) => "??".into(),
                    None => "··".into(),
                })
                .collect();
            let zero = bytes.iter().all(|byte| *byte == Some(Some(0)));
            let role = match (here && cell == self.column, zero) {
                (true, _) => Role::Cursor,
                (false, true) => Role::Dim,
                (false, false) => Role::Text,
            };
            pen.put(&digits, look.style(role)).put(" ", Style::new());
        }
        if self.unit == Unit::Words {
            let addr = Addr(memory.start.0.wrapping_add(at as u64));
            let names = memory.names.iter().filter(|(named, _)| *named == addr);
            let words: Vec<String> = names.map(|(_, name)| printable(name)).collect();
            pen.put(&words.join("  "), look.style(Role::Type));
            return;
        }
        let letters: String = (0..self.row_bytes())
            .map(|i| match byte(i).flatten() {
                Some(byte @ b' '..=b'~') => char::from(byte),
                Some(_) => '.',
                None => ' ',
            })
            .collect();
        pen.put(&letters, look.style(Role::Dim));
    }
}

/// The word at an offset into what is known.
fn word(memory: &MemoryView, at: usize) -> Option<u64> {
    let bytes = memory.bytes.get(at..at + WORD)?;
    bytes.iter().rev().try_fold(0, |word, byte| Some(word << 8 | u64::from((*byte)?)))
}
