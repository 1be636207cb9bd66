//! What reaches the screen's state, and what it wants done.

use super::panes::source::Selection;
use crate::command::script::Step;
use crate::config::keys::Key;
use crate::session::answer::{Answer, Failure};
use crate::session::request::{Leave, Request, Update};
use std::path::PathBuf;

/// Something that happened.
#[derive(Debug)]
pub enum Message {
    /// A key was pressed.
    Key(Key),
    /// Text was pasted.
    Paste(String),
    /// The terminal has this many columns and rows now.
    Resize(u16, u16),
    /// News from the session.
    Update(Update),
    /// A request was answered; `None` when the session ended first.
    Answer(Purpose, Option<Result<Answer, Failure>>),
    /// The commands of a file, or why it can't be read.
    Script(Result<Vec<Step>, String>),
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
    /// Read commands from a file.
    Source(PathBuf),
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
