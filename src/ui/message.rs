//! What reaches the screen's state, and what it wants done.

use super::lookup::{LookUp, LookedUp};
use super::panes::source::Selection;
use super::popups::peek::Part;
use super::remember::Remembered;
use crate::command::script::Step;
use crate::config::files::Loaded;
use crate::config::key::Key;
use crate::session::answer::{Answer, Failure};
use crate::session::request::{Leave, Level, Request, Update};
use crossterm::event::MouseEvent;
use std::path::PathBuf;

/// Something that happened.
#[derive(Debug)]
pub enum Message {
    /// A key was pressed.
    Key(Key),
    /// The mouse did something.
    Mouse(MouseEvent),
    /// Text was pasted.
    Paste(String),
    /// The terminal has this many columns and rows now.
    Resize(u16, u16),
    /// News from the session.
    Update(Update),
    /// A request was answered; `None` when the session ended first.
    Answer(Purpose, Option<Result<Answer, Failure>>),
    /// What was looked up in the symbols.
    LookedUp(LookedUp),
    /// The commands of a file, or why it can't be read.
    Script(Result<Vec<Step>, String>),
    /// A file of settings was changed.
    Settings(Loaded),
    /// Something outside of the screen was done; what is to be said about it.
    Done(Level, String),
    /// Time passed (durations on the screen grow).
    Tick,
    /// The system wants the program to end (SIGTERM, SIGHUP).
    Terminate,
    /// The program was in the background and is back.
    Resumed,
}

/// What an answer is for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Purpose {
    /// A key; only a failure is worth words.
    Key,
    /// A key that resumed the guest; the answer is its next stop.
    Run,
    /// Instructions of a stop's frame, for the source pane.
    Code(Selection),
    /// A part of what a name of the source is.
    Peek(String, Part),
    /// A typed line; the answer is shown under it.
    Line(String),
    /// A command of a script; the next one waits for the answer.
    Script(Box<Step>),
    /// Leaving; when it is done the program ends.
    Leave(Leave),
}

/// Something to be done outside of the screen's state.
#[derive(Debug, PartialEq)]
pub enum Effect {
    /// Ask the session.
    Ask(Request, Purpose),
    /// Look something up in the symbols, on another thread.
    LookUp(LookUp),
    /// Read commands from a file.
    Source(PathBuf),
    /// Write down what the screen remembers.
    Remember(Box<Remembered>),
    /// Hand a text to the terminal's clipboard.
    Copy(String),
    /// Write text to a file; over one that is there, or not.
    Save {
        /// Which file.
        file: PathBuf,
        /// Whether one that is there may be replaced.
        over: bool,
        /// What is written.
        text: String,
    },
    /// Open the user's editor on a file, at a line.
    Edit(PathBuf, u32),
    /// Use the mouse, or leave it to the terminal.
    Mouse(bool),
    /// Forget what the terminal shows and draw all of it.
    Redraw,
    /// Give the terminal back to the shell until `fg`.
    Suspend,
    /// End.
    Exit(Exit),
}

/// How the screen ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Exit {
    /// The session left the guest as asked.
    Left(Leave),
    /// There was no guest to leave.
    NoGuest,
    /// The user (or the system) did not wait for the session to leave.
    Impatient,
    /// The session ended by itself; why, where it said so.
    Ended(Option<String>),
}
