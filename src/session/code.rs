//! Symbols and sources, shared by the session and the faces.

use super::listing::source_line;
use super::options::Options;
use super::resolve::Standpoint;
use super::settings::SETTINGS;
use super::symbol_answer::MatchAnswer;
use super::view::{CodeBook, Completes};
use crate::source::{
    Sources,
    paths::{Lookup, Settings},
    text::Text,
};
use crate::symbols::{
    answer::SourceFile,
    lookup::search::{Found, Searcher},
    placed::{Placed, Symbols, VMLINUX},
};
use std::{
    collections::BTreeSet,
    path::{Path, PathBuf},
    sync::{Arc, Mutex, PoisonError, RwLock},
};

/// What is known of the program: symbols of every image, and source files.
pub struct Code {
    symbols: RwLock<Symbols>,
    sources: Mutex<Sources>,
    searcher: Mutex<Searcher>,
    /// Names of the guest's modules, with symbols or without.
    modules: Mutex<Vec<String>>,
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
        Code {
            symbols: RwLock::new(Symbols::new()),
            sources: Mutex::new(sources),
            searcher: Mutex::default(),
            modules: Mutex::default(),
        }
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

    /// Names that fit a text best. A text that goes on from the last one is
    /// answered from what fitted that.
    pub fn search(&self, symbols: &Symbols, text: &str, limit: usize) -> Vec<Found> {
        let mut searcher = self.searcher.lock().unwrap_or_else(PoisonError::into_inner);
        searcher.search(symbols, text, limit)
    }

    /// Takes the names of the guest's modules.
    pub fn know_modules(&self, names: Vec<String>) {
        *self.modules.lock().unwrap_or_else(PoisonError::into_inner) = names;
    }

    /// Adds a rule for source paths.
    pub fn substitute(&self, from: String, to: PathBuf) {
        let mut sources = self.sources.lock().unwrap_or_else(PoisonError::into_inner);
        sources.substitute(from, to);
    }

    /// The text of a file on this machine.
    pub fn source_text(&self, path: &Path) -> Result<Arc<Text>, String> {
        let mut sources = self.sources.lock().unwrap_or_else(PoisonError::into_inner);
        sources.text(path).map_err(|error| error.to_string())
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
        self.source_text(path)
    }

    fn lines_with_code(&self, file: &str) -> Arc<BTreeSet<u32>> {
        self.symbols().lines_with_code(file)
    }

    fn complete(&self, what: Completes, prefix: &str, limit: usize) -> Vec<String> {
        let symbols = self.symbols();
        let names = match what {
            Completes::Function => symbols.complete_function(prefix, limit),
            Completes::File => symbols.complete_file(prefix, limit),
            Completes::Location => complete_location(&symbols, prefix, limit),
            Completes::Module => {
                let known = self.modules.lock().unwrap_or_else(PoisonError::into_inner);
                let fits = known.iter().filter(|name| name.starts_with(prefix));
                return fits.take(limit).cloned().collect();
            }
            Completes::Type => return symbols.complete_type(prefix, limit),
            Completes::Setting => {
                let names = SETTINGS.iter().map(|setting| setting.name);
                return names.filter(|n| n.starts_with(prefix)).map(str::to_owned).collect();
            }
        };
        if !names.is_empty() || prefix.len() < 2 {
            return names;
        }
        let kind = if what == Completes::File { 's' } else { 'f' };
        let found = self.search(&symbols, &format!("{kind}:{prefix}"), limit.min(MOST_FUZZY));
        found.into_iter().map(|found| found.name).collect()
    }

    fn search(&self, text: &str, limit: usize) -> Vec<MatchAnswer> {
        self.matches(&self.symbols(), text, limit)
    }

    fn describe(&self, name: &str) -> Option<String> {
        let symbols = self.symbols();
        let named = symbols.find_typed(name)?;
        Some(symbols.describe_type(named, false).text)
    }

    fn find(&self, location: &str) -> Result<(String, Option<PathBuf>, u32), String> {
        let found = source_line(&self.symbols(), location, &Standpoint::default())?;
        let path = self.map(&found.file).path;
        Ok((found.file.name, path, found.line))
    }
}

/// Names offered where none begins as typed.
const MOST_FUZZY: usize = 24;

/// Functions and files that begin so. A name that is whole and in several
/// files is offered once for each: `fs/inode.c:init_once`. After a file and a
/// colon its functions are offered.
fn complete_location(symbols: &Symbols, prefix: &str, limit: usize) -> Vec<String> {
    if let Some((file, begin)) = prefix.rsplit_once(':') {
        let names = symbols.complete_function_of(file, begin, limit);
        return names.into_iter().map(|name| format!("{file}:{name}")).collect();
    }
    let mut names = symbols.complete_function(prefix, limit);
    if prefix.contains('!') {
        return names;
    }
    if !prefix.is_empty() {
        let modules = symbols.images().filter_map(Placed::module);
        let begun = modules.filter(|name| name.starts_with(prefix));
        names.extend(begun.map(|name| format!("{name}!")));
    }
    if !prefix.is_empty() && names.len() < limit {
        names.extend(symbols.complete_file(prefix, limit - names.len()));
    }
    if names.iter().any(|name| name == prefix) {
        let found = symbols.find_functions(prefix);
        let files: BTreeSet<&str> = (found.iter().filter(|found| !found.inlined))
            .filter_map(|found| found.file.as_ref())
            .map(SourceFile::short)
            .collect();
        if files.len() > 1 {
            let room = limit.saturating_sub(names.len());
            names.extend(files.iter().take(room).map(|file| format!("{file}:{prefix}")));
        }
        let images: BTreeSet<Option<&str>> = (found.iter().filter(|found| !found.inlined))
            .map(|found| found.module.as_deref())
            .collect();
        if images.len() > 1 {
            let of = |module: Option<&str>| format!("{}!{prefix}", module.unwrap_or(VMLINUX));
            names.extend(images.into_iter().map(of));
        }
    }
    names
}
