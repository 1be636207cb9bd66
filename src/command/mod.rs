//! One table of commands. It feeds the `:` line, batch, key hints, help and
//! completion, so that these can't disagree.

pub mod complete;
mod expression;
pub mod listing;
pub mod modules;
pub mod names;
pub mod parse;
pub mod render;
pub mod script;
mod symbol_files;
pub mod table;
pub mod tasks;

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
    /// Run the commands in a file.
    Source(PathBuf),
    /// Help on a command, or on all.
    Help(Option<String>),
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
