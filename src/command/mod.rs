//! One table of commands. It feeds the `:` line, batch, key hints, help and
//! completion, so that these can't disagree.

pub mod arranging;
pub mod breaking;
mod breaking_in;
pub mod complete;
mod crashes;
mod expression;
pub mod help;
pub mod kernel_facts;
pub mod listing;
mod logs;
pub mod manual;
pub mod modules;
pub mod names;
pub mod parse;
mod picking;
pub mod render;
mod replaying;
pub mod screen;
pub mod script;
mod stepping;
mod symbol_files;
pub mod table;
pub mod tasks;
mod watching;

use crate::config::actions::Action;
use crate::session::request::Request;
use std::path::PathBuf;
use thiserror::Error;

/// What a command line means.
#[derive(Clone, Debug, PartialEq)]
pub enum Parsed {
    /// Something for the session.
    Request(Request),
    /// Something the face does itself.
    Face(FaceCommand),
    /// An empty line or a comment.
    Nothing,
}

/// Commands that concern the face alone.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum FaceCommand {
    /// Leave the program; the guest runs on.
    Quit,
    /// Keep the value of an expression on the screen.
    Display(String),
    /// Open the palette for one kind of things; for all when it is empty.
    Pick(String),
    /// Run the commands in a file.
    Source(PathBuf),
    /// Help on a command or a topic, or on what there is.
    Help(Option<String>),
    /// Another layout, by its name; without one, which there are.
    Layout(Option<String>),
    /// Write the pane that has the keys to a file.
    SavePane {
        /// Which.
        file: PathBuf,
        /// Whether one that is there may be replaced.
        over: bool,
    },
    /// Open the user's editor, at a location or at the cursor.
    Edit(Option<String>),
    /// What a key does, typed.
    Act(Action),
}

/// Why a line is no command.
#[derive(Clone, Debug, Error, PartialEq, Eq)]
pub enum CommandError {
    /// No such command.
    #[error("no command '{word}'{}", similar(.like))]
    Unknown {
        /// What was typed.
        word: String,
        /// Commands with a like name.
        like: Vec<&'static str>,
    },
    /// The word begins several commands.
    #[error("'{word}' could be {}", .candidates.join(", "))]
    Ambiguous {
        /// What was typed.
        word: String,
        /// What it could be.
        candidates: Vec<&'static str>,
    },
    /// The arguments do not fit.
    #[error("{what}; usage: {usage}")]
    Usage {
        /// What is wrong.
        what: String,
        /// The command's usage line.
        usage: &'static str,
    },
}

fn similar(like: &[&str]) -> String {
    if like.is_empty() {
        "; 'help' lists them".into()
    } else {
        format!("; did you mean {}?", like.join(" or "))
    }
}

/// The request that a line makes.
#[cfg(test)]
pub(crate) fn request(line: &str) -> crate::session::request::Request {
    match parse::parse(line) {
        Ok(Parsed::Request(request)) => request,
        other => panic!("{line}: {other:?}"),
    }
}
