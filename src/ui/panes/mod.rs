//! The panes, one file each: what it keeps, what its keys do, how it is drawn.
//! No pane knows another; what they share comes from the view.

pub mod breakpoints;
mod code;
pub mod console;
pub mod cpus;
pub mod disassembly;
pub mod dmesg;
mod instructions;
pub mod log;
pub mod memory;
pub mod modules;
pub mod packets;
pub mod registers;
pub mod source;
pub mod stack;
pub mod tasks;
mod terminal;
pub mod tree;
mod word_cursor;
pub mod words;

pub(in crate::ui) use code::{put_code, word_role};

use crate::base::text::printable;
use crate::config::actions::Action;
use crate::config::keymap::{Keymap, Scope};
use crate::config::theme::{Role, Theme};
use crate::session::request::Request;
use crate::session::view::View;
use crate::ui::pen::Pen;
use ratatui::{buffer::Buffer, layout::Rect, style::Style};

/// What a key in a pane leads to, beside what it changes in the pane.
#[derive(Debug, PartialEq)]
pub enum Outcome {
    /// Something for the session.
    Ask(Request),
    /// A line of the command table.
    Line(String),
    /// The same, with the answer shown as that of a typed line.
    Typed(String),
    /// Show a location in the source pane.
    Show(String),
    /// Show a text under a title.
    Text(&'static str, String),
    /// Watch an expression.
    Watch(String),
    /// Do something with a word of the source, or with one of several.
    Word(words::Use, Vec<words::Word>),
    /// Show memory at an expression.
    Memory(String),
    /// Have the user type another value for an expression.
    Edit(String),
    /// Have the user finish a line of the command table.
    Command(String),
    /// Words for the message row.
    Say(String),
}

/// What a pane is drawn with.
#[derive(Clone, Copy)]
pub struct Look<'a> {
    /// The colours.
    pub theme: Theme,
    /// The keys in force, for words that name one.
    pub keymap: &'a Keymap,
    /// Whether the pane has the keys.
    pub focused: bool,
    /// What there is to show.
    pub view: Option<&'a View>,
}

/// What is in a pane that needs symbols which are not proven to be the guest's.
const NEEDS_VMLINUX: &str = "not known without the guest's own vmlinux";

impl Look<'_> {
    /// How a role looks.
    pub fn style(&self, role: Role) -> Style {
        self.theme.style(role)
    }

    /// The keys that do something in any pane.
    fn key(&self, action: Action) -> String {
        let key = self.keymap.hint_keys(action, &[Scope::Everywhere]);
        // It can still be typed.
        if key.is_empty() { format!(":{}", action.name()) } else { key }
    }

    /// Marks the row the cursor is on, in the pane that has the keys.
    fn cursor(&self, buffer: &mut Buffer, area: Rect, row: u16, here: bool) {
        if here && self.focused {
            Pen::new(buffer, area, row).fill(self.style(Role::Cursor));
        }
    }

    /// A row of words where there is nothing to show.
    fn placeholder(&self, buffer: &mut Buffer, area: Rect, words: &str) {
        Pen::new(buffer, area, 0).put(" ", Style::new()).put(words, self.style(Role::Dim));
    }
}

/// Which lines of a log are shown.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Worst {
    /// All.
    #[default]
    All,
    /// Warnings and worse.
    Warnings,
    /// Errors and worse.
    Errors,
}

impl Worst {
    /// The next choice, round.
    fn next(self) -> Worst {
        match self {
            Worst::All => Worst::Warnings,
            Worst::Warnings => Worst::Errors,
            Worst::Errors => Worst::All,
        }
    }
}

/// ` [hgfs]`: what a name is of.
fn of_module(name: &str) -> String {
    format!(" [{}]", printable(name))
}

/// The last part of a path.
fn file_name(path: &str) -> &str {
    path.rsplit('/').next().unwrap_or(path)
}
