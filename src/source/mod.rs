//! C files on this machine: where the file behind a DWARF path is, its text,
//! and its words for highlighting. Reads files, knows no guest and no DWARF.
//!
//! Contract: a path is found by a rule the user gave, or by a guess that says
//! it is one ([`paths::Rule::is_guess`]); a file that is not found comes with
//! the option that would fix it. Text of any size, encoding or content is
//! bounded and safe to print, and the lexer accepts anything.

pub mod clex;
pub mod paths;
pub mod text;

use crate::source::{
    paths::{Lookup, Paths, Settings},
    text::Text,
};
use rustc_hash::FxHashMap;
use std::{
    io,
    path::{Path, PathBuf},
    sync::Arc,
};
use thiserror::Error;

/// Why a source file can't be shown.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum SourceError {
    /// No rule and no guess leads to a file.
    #[error("no source file for {name}; {advice}")]
    NotFound {
        /// The path in the debug information.
        name: String,
        /// What to do, with the exact option.
        advice: String,
        /// The paths that were tried, in order.
        tried: Vec<PathBuf>,
    },
    /// The file is there and can't be read.
    #[error("can't read {}: {reason}", path.display())]
    Unreadable {
        /// The file.
        path: PathBuf,
        /// What the system said.
        reason: String,
    },
    /// The file is too large to be C source.
    #[error("{} has {size} bytes; files over {} bytes are not shown", path.display(), text::MAX_BYTES)]
    TooLarge {
        /// The file.
        path: PathBuf,
        /// Its size in bytes.
        size: u64,
    },
}

/// A source file as found and read.
#[derive(Clone, Debug)]
pub struct Loaded {
    /// Where it is on this machine.
    pub path: PathBuf,
    /// The rule that led there.
    pub rule: paths::Rule,
    /// Its lines.
    pub text: Arc<Text>,
}

/// The sources of one debugging session: finds, reads and keeps them.
#[derive(Debug)]
pub struct Sources {
    paths: Paths,
    texts: FxHashMap<PathBuf, Result<Arc<Text>, SourceError>>,
}

impl Sources {
    /// Sources found by these settings.
    pub fn new(settings: Settings) -> Sources {
        Sources { paths: Paths::new(settings), texts: FxHashMap::default() }
    }

    /// Where the file is that debug information calls `name`, compiled in
    /// `comp_dir`. The answer is kept.
    pub fn find(&mut self, name: &str, comp_dir: Option<&str>) -> Lookup {
        self.paths.find(name, comp_dir)
    }

    /// Adds a `--substitute-path` rule after the ones there are, and tries
    /// again for every file.
    pub fn substitute(&mut self, from: String, to: PathBuf) {
        self.paths.substitute(from, to);
        self.texts.clear();
    }

    /// Adds a `--source-dir`, and tries again for every file.
    pub fn add_source_dir(&mut self, dir: PathBuf) {
        self.paths.add_source_dir(dir);
        self.texts.clear();
    }

    /// The text of a file on this machine, kept like those of
    /// [`Sources::load`].
    pub fn text(&mut self, path: &Path) -> Result<Arc<Text>, SourceError> {
        self.texts.entry(path.to_path_buf()).or_insert_with(|| Text::load(path)).clone()
    }

    /// The text of the file that debug information calls `name`. Both the
    /// text and a failure are kept, so that drawing costs no file access.
    pub fn load(&mut self, name: &str, comp_dir: Option<&str>) -> Result<Loaded, SourceError> {
        match self.find(name, comp_dir) {
            Lookup::Found { path, rule } => {
                let text = self.texts.entry(path.clone()).or_insert_with(|| Text::load(&path));
                Ok(Loaded { text: text.clone()?, path, rule })
            }
            Lookup::NotFound { tried, advice } => {
                Err(SourceError::NotFound { name: name.to_string(), advice, tried })
            }
        }
    }
}

fn unreadable(path: &Path, error: &io::Error) -> SourceError {
    SourceError::Unreadable { path: path.to_path_buf(), reason: error.to_string() }
}
