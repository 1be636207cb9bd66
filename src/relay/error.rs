//! Why a relay can not run.

use crate::link::error::LinkError;
use std::io;

/// What ends a relay, or keeps it from starting.
#[derive(Debug, thiserror::Error)]
pub enum RelayError {
    /// The port or socket can not be had.
    #[error("can not listen on {what}: {why}")]
    Listen {
        /// What was to be listened on.
        what: String,
        /// Why, and what to do.
        why: String,
    },
    /// The guest's end can not be opened, and will not be by waiting.
    #[error(transparent)]
    Guest(#[from] LinkError),
    /// The record can not be written.
    #[error("--record {path}: {source}")]
    Record {
        /// The file.
        path: String,
        /// What the operating system says.
        source: io::Error,
    },
    /// The operating system refuses something basic.
    #[error("the relay can not run: {0}")]
    Io(#[from] io::Error),
}
