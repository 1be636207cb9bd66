//! Symbols and sources, shared by the session and the faces.

use super::options::Options;
use super::resolve::{self, Here};
use super::view::{CodeBook, Completes};
use crate::source::{
    Sources,
    paths::{Lookup, Settings},
    text::Text,
};
use crate::symbols::{answer::SourceFile, placed::Symbols};
use std::{
    collections::BTreeSet,
    path::{Path, PathBuf},
    sync::{Arc, Mutex, PoisonError, RwLock},
};

/// What is known of the program: symbols of every image, and source files.
#[derive(Debug)]
pub struct Code {
    symbols: RwLock<Symbols>,
    sources: Mutex<Sources>,
}

/// A source file on this machine, or why there is none.
#[derive(Clone, Debug, Default)]
pub struct Mapped {
    /// Where it is.
    pub path: Option<PathBuf>,
    /// The rule that found it, or what would help.
    pub note: String,
    /// Whether it is a guess.
    pub guessed: bool,
}

impl Code {
    /// No symbols yet.
    pub fn new(sources: Sources) -> Code {
        Code { symbols: RwLock::new(Symbols::new()), sources: Mutex::new(sources) }
    }

    /// The symbols as they are now: a value that does not change under the
    /// reader.
    pub fn symbols(&self) -> Symbols {
        self.symbols.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Changes the symbols.
    pub fn update(&self, change: impl FnOnce(&mut Symbols)) {
        change(&mut self.symbols.write().unwrap_or_else(PoisonError::into_inner));
    }

    /// Looks for sources by other settings from now on.
    pub fn look_around(&self, settings: Settings) {
        *self.sources.lock().unwrap_or_else(PoisonError::into_inner) = Sources::new(settings);
    }

    /// Finds a source file on this machine.
    pub fn map(&self, file: &SourceFile) -> Mapped {
        let mut sources = self.sources.lock().unwrap_or_else(PoisonError::into_inner);
        match sources.find(&file.name, file.comp_dir.as_deref()) {
            Lookup::Found { path, rule } => {
                Mapped { path: Some(path), note: rule.to_string(), guessed: rule.is_guess() }
            }
            Lookup::NotFound { advice, .. } => Mapped { path: None, note: advice, guessed: false },
        }
    }
}

/// Where sources are looked for; `vmlinux` is the one in use.
pub fn source_settings(options: &Options, vmlinux: Option<&Path>) -> Settings {
    let rules = options.substitute.iter();
    Settings {
        substitutions: rules.map(|(from, to)| (from.clone(), PathBuf::from(to))).collect(),
        source_dirs: options.source_dirs.clone(),
        vmlinux: vmlinux.map(Path::to_path_buf),
        current_dir: std::env::current_dir().ok(),
    }
}

impl CodeBook for Code {
    fn text(&self, path: &Path) -> Result<Arc<Text>, String> {
        let mut sources = self.sources.lock().unwrap_or_else(PoisonError::into_inner);
        sources.text(path).map_err(|error| error.to_string())
    }

    fn lines_with_code(&self, file: &str) -> Arc<BTreeSet<u32>> {
        self.symbols().lines_with_code(file)
    }

    fn complete(&self, what: Completes, prefix: &str, limit: usize) -> Vec<String> {
        let symbols = self.symbols();
        match what {
            Completes::Function => symbols.complete_function(prefix, limit),
            Completes::File => symbols.complete_file(prefix, limit),
            Completes::Location => {
                let mut names = symbols.complete_function(prefix, limit);
                if !prefix.is_empty() && names.len() < limit {
                    names.extend(symbols.complete_file(prefix, limit - names.len()));
                }
                names
            }
        }
    }

    fn find(&self, location: &str) -> Result<(String, Option<PathBuf>, u32), String> {
        let (file, line) = source_line(&self.symbols(), location, Here::default())?;
        let path = self.map(&file).path;
        Ok((file.name, path, line))
    }
}

/// The source line a location means.
pub fn source_line(
    symbols: &Symbols,
    location: &str,
    here: Here<'_>,
) -> Result<(SourceFile, u32), String> {
    let addr = resolve::one(symbols, location, here)?;
    let frames = symbols.frames_at(addr);
    let top = frames.first().ok_or_else(|| format!("nothing is known about {addr}"))?;
    match (&top.file, top.line) {
        (Some(file), Some(line)) => Ok((file.clone(), line)),
        _ => Err(format!("{} has no source lines", top.function)),
    }
}
