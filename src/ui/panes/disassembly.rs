//! Instructions of the selected frame's function, or of another place. Reads
//! a part of a large function, and more of it as one scrolls there.

use super::instructions::Instructions;
use super::source::{Selection, selection};
use super::{Look, Outcome};
use crate::base::addr::Addr;
use crate::base::text::{bytes, printable};
use crate::config::actions::Action;
use crate::config::theme::Role;
use crate::session::symbol_answer::InsnAnswer;
use crate::session::view::{State, View};
use crate::session::wants::CodeWant;
use crate::ui::list::List;
use crate::ui::pen::Pen;
use ratatui::{buffer::Buffer, layout::Rect};
use std::sync::Arc;

/// Bytes that are read of a function at first: a tenth of a second at 115200
/// baud, and most functions whole.
const FEW: u64 = 512;

/// The most that is shown of a function.
const MOST: u64 = 16 * 1024;

/// What the pane keeps.
#[derive(Debug)]
pub struct Disassembly {
    /// The cursor.
    pub list: List,
    /// What is wanted.
    want: CodeWant,
    /// Places shown before; none is the selected frame.
    before: Vec<Option<String>>,
    code: Instructions,
    /// What they were made of.
    answer: Arc<Vec<InsnAnswer>>,
    function: Option<String>,
    /// Bytes of the function above and below what is read.
    left_out: (u64, u64),
    error: Option<String>,
    /// What the instructions are of.
    shown: Option<(Selection, CodeWant)>,
}

impl Default for Disassembly {
    fn default() -> Disassembly {
        Disassembly {
            list: List::default(),
            want: CodeWant { place: None, most: FEW },
            before: Vec::new(),
            code: Instructions::default(),
            answer: Arc::default(),
            function: None,
            left_out: (0, 0),
            error: None,
            shown: None,
        }
    }
}

impl Disassembly {
    /// What is to be read when the pane is on screen.
    pub fn want(&self) -> CodeWant {
        self.want.clone()
    }

    /// Shows the function at a location, as the user types one.
    pub fn go_to(&mut self, location: &str) {
        let location = location.trim();
        let star = if location.starts_with("0x") { "*" } else { "" };
        if !location.is_empty() {
            self.visit(Some(format!("{star}{location}")));
        }
    }

    /// Shows the selected frame again.
    pub fn follow_frame(&mut self) {
        if self.want.place.is_some() {
            self.visit(None);
        } else if let Some((selection, _)) = self.shown.as_ref() {
            // The cursor goes back to the pc with the next view.
            self.shown = Some((*selection, CodeWant::default()));
        }
    }

    fn visit(&mut self, place: Option<String>) {
        const MOST_BACK: usize = 100;
        self.before.push(std::mem::replace(&mut self.want, CodeWant { place, most: FEW }).place);
        if self.before.len() > MOST_BACK {
            self.before.remove(0);
        }
    }

    /// Takes in a new view. Another stop or frame is followed.
    pub fn follow(&mut self, view: &View) {
        let Some(stop) = &view.stop else { return };
        let now = selection(stop);
        let moved = self.shown.as_ref().is_some_and(|(shown, _)| *shown != now);
        if moved && view.state == State::Stopped {
            self.want = CodeWant { place: None, most: FEW };
            self.before.clear();
        }
        let Some(code) = &stop.supplied.code else { return };
        let of = (now, code.want.clone());
        let known = self.shown.as_ref() == Some(&of);
        if code.want != self.want || (known && Arc::ptr_eq(&code.instructions, &self.answer)) {
            return;
        }
        let instructions = Instructions::answered(&code.instructions);
        // More of the same keeps the cursor where it is.
        let same = self.shown.as_ref().is_some_and(|(selection, want)| {
            *selection == now && want.place == code.want.place && want.most > 0
        });
        let cursor = self.address().filter(|_| same);
        let at = cursor.and_then(|at| instructions.position(at));
        let at = at.or_else(|| instructions.position(code.at)).unwrap_or(0);
        self.code = instructions;
        self.answer = Arc::clone(&code.instructions);
        self.function = code.function.clone();
        self.left_out = (code.before, code.after);
        self.error = code.error.clone();
        self.shown = Some(of);
        self.list.fit(self.code.rows.len(), self.list.height);
        self.list.show(at);
    }

    fn address(&self) -> Option<Addr> {
        self.code.rows.get(self.list.cursor).map(|row| row.addr)
    }

    /// The cursor's place as a location of the command language.
    pub fn location(&self) -> Option<String> {
        self.address().map(|at| format!("*{at}"))
    }

    /// What it shows, and what of that is left out.
    pub fn title(&self, running: bool) -> (String, String) {
        // What is seen is named, not what is still being read.
        let shown = self.shown.as_ref().map(|(_, want)| want);
        let place = match (&self.function, shown.and_then(|want| want.place.as_deref())) {
            (Some(function), _) => printable(function),
            (None, place) => place.map_or(String::new(), printable),
        };
        let wanted = &self.want.place;
        let pending = shown.map_or(wanted.is_some(), |want| want.place != *wanted);
        let note = match self.left_out {
            _ if running => "at the last stop".to_string(),
            _ if pending => match &self.want.place {
                Some(place) => format!("reading {} …", printable(place)),
                None => "reading …".to_string(),
            },
            (0, 0) => String::new(),
            (above, 0) => format!("↑ {}", bytes(above)),
            (0, below) => format!("↓ {}", bytes(below)),
            (above, below) => format!("↑ {} ↓ {}", bytes(above), bytes(below)),
        };
        (place, note)
    }

    /// Does what a key asks.
    pub fn act(&mut self, action: Action, _: Option<&View>) -> Option<Outcome> {
        let (above, below) = self.left_out;
        let at_top = above > 0 && self.list.cursor == 0;
        let at_end = below > 0 && self.list.cursor + 1 >= self.code.rows.len();
        match action {
            Action::Up | Action::PageUp | Action::Home if at_top => self.more(),
            Action::Down | Action::PageDown | Action::End if at_end => self.more(),
            Action::Back => match self.before.pop() {
                Some(place) => self.want = CodeWant { place, most: FEW },
                None => self.follow_frame(),
            },
            Action::Open => match self.code.rows.get(self.list.cursor)?.target {
                Some(target) => self.visit(Some(format!("*{target}"))),
                None => {
                    return Some(Outcome::Say("this instruction names no other place".into()));
                }
            },
            action => {
                self.list.act(action);
            }
        }
        None
    }

    fn more(&mut self) {
        self.want.most = (self.want.most * 2).min(MOST);
    }

    /// Draws the instructions.
    pub fn draw(&self, buffer: &mut Buffer, area: Rect, look: &Look<'_>) {
        let stop = look.view.and_then(|view| view.stop.as_deref());
        if self.code.rows.is_empty() {
            let words = match (&self.error, stop) {
                (Some(why), _) => printable(why),
                (None, Some(_)) => "reading …".into(),
                (None, None) => {
                    "read at a stop; :disassemble NAME shows the file's code now".into()
                }
            };
            return look.placeholder(buffer, area, &words);
        }
        for (row, index) in self.list.seen().enumerate() {
            let row = row as u16;
            let mut pen = Pen::new(buffer, area, row);
            let whole = self.code.draw(&mut pen, index, (self.list.left, None), stop, look);
            match whole {
                // The gutter's first column keeps the breakpoint's own colour.
                Some(role) => {
                    let reach = Rect { x: area.x + 1, width: area.width.saturating_sub(1), ..area };
                    Pen::new(buffer, reach, row).fill(look.style(role));
                }
                None => look.cursor(buffer, area, row, index == self.list.cursor),
            }
            // On the pc's row the cursor would not be seen.
            if whole.is_some() && index == self.list.cursor && look.focused {
                Pen::new(buffer, Rect { width: 1, ..area }, row).fill(look.style(Role::Cursor));
            }
        }
    }
}
