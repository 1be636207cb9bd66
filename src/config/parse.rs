//! Settings as TOML: what the text says, and everything that is wrong with it,
//! by line. One wrong word costs that word alone.

use super::actions::{self, Action};
use super::keymap::{Scope, sequence};
use super::presets;
use super::settings::{OwnKeys, Settings, nearest};
use super::theme;
use std::fmt;
use std::path::{Path, PathBuf};
use toml::Spanned;
use toml::de::{DeTable, DeValue};

/// What other layers know of values: each says what is wrong with one.
#[derive(Clone, Copy, Debug)]
pub struct Checks {
    /// Whether a text is a line of the `:` prompt.
    pub line: fn(&str) -> Result<(), String>,
    /// Whether a text is an address of a guest.
    pub connect: fn(&str) -> Result<(), String>,
    /// Whether `set` takes a name and a value.
    pub set: fn(&str, &str) -> Result<(), String>,
    /// The names that `set` takes.
    pub set_names: fn() -> Vec<&'static str>,
    /// The names of layouts.
    pub layouts: fn() -> Vec<&'static str>,
}

impl Checks {
    /// Everything is right.
    pub const NONE: Checks = Checks {
        line: |_| Ok(()),
        connect: |_| Ok(()),
        set: |_, _| Ok(()),
        set_names: Vec::new,
        layouts: || vec!["code", "triage"],
    };
}

/// Where a text comes from.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Origin {
    /// The file.
    pub path: PathBuf,
    /// Whether it may name commands for this machine: it is the user's own.
    pub trusted: bool,
    /// The user's home, for `~/`.
    pub home: Option<PathBuf>,
}

/// Something wrong in a file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Problem {
    /// The file.
    pub path: PathBuf,
    /// The line, from 1; 0 for the whole file.
    pub line: usize,
    /// What is wrong, and what would be right.
    pub what: String,
}

impl Problem {
    /// The same with the file's name alone, where there is little room.
    pub fn short(&self) -> String {
        let name = self.path.file_name().map(PathBuf::from);
        Problem { path: name.unwrap_or_default(), ..self.clone() }.to_string()
    }
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let path = self.path.display();
        match self.line {
            0 => write!(f, "{path}: {}", self.what),
            line => write!(f, "{path}:{line}: {}", self.what),
        }
    }
}

/// What a text says.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Parsed {
    /// What could be understood.
    pub settings: Settings,
    /// What could not.
    pub problems: Vec<Problem>,
    /// Whether it is no TOML at all: then nothing of it counts.
    pub broken: bool,
}

/// The most problems that are told of one text.
const MOST: usize = 20;

const TOP: &[&str] =
    &["theme", "mouse", "layout", "connect", "vmlinux", "break-in", "keys", "source", "set"];
const SOURCE: &[&str] = &["substitute-path", "source-dir", "module-path", "debug-dir"];

/// Reads a text.
pub fn parse(text: &str, origin: &Origin, checks: &Checks) -> Parsed {
    let (table, errors) = DeTable::parse_recoverable(text);
    let mut reader =
        Reader { text, origin, checks, settings: Settings::default(), problems: Vec::new() };
    for error in &errors {
        let at = error.span().map_or(0, |span| span.start);
        reader.problem(at, error.message().replace('\n', ", "));
    }
    if errors.is_empty() {
        reader.top(table.get_ref());
    }
    reader.problems.sort_by_key(|problem| problem.line);
    Parsed { settings: reader.settings, problems: reader.problems, broken: !errors.is_empty() }
}

struct Reader<'a> {
    text: &'a str,
    origin: &'a Origin,
    checks: &'a Checks,
    settings: Settings,
    problems: Vec<Problem>,
}

/// A key of a table with where it is, and its value.
type Entry<'t, 'i> = (&'t str, usize, &'t Spanned<DeValue<'i>>);

/// The entries of a table in the order of the text.
fn entries<'t, 'i>(table: &'t DeTable<'i>) -> Vec<Entry<'t, 'i>> {
    let entry = |(key, value): (&'t Spanned<_>, &'t Spanned<DeValue<'i>>)| {
        let key: &'t Spanned<std::borrow::Cow<'i, str>> = key;
        (key.get_ref().as_ref(), key.span().start, value)
    };
    let mut entries: Vec<_> = table.iter().map(entry).collect();
    entries.sort_by_key(|(_, at, _)| *at);
    entries
}

impl Reader<'_> {
    fn problem(&mut self, at: usize, what: String) {
        if self.problems.len() < MOST {
            let before = self.text.as_bytes().get(..at).unwrap_or_default();
            let line = 1 + before.iter().filter(|byte| **byte == b'\n').count();
            self.problems.push(Problem { path: self.origin.path.clone(), line, what });
        }
    }

    /// An unknown name, and the one that was meant.
    fn unknown(&mut self, at: usize, what: &str, name: &str, names: &[&str]) {
        let meant = match nearest(name, names.iter().copied()) {
            Some(near) => format!("did you mean {near}?"),
            None => format!("there are {}", names.join(", ")),
        };
        self.problem(at, format!("unknown {what} '{name}'; {meant}"));
    }

    fn top(&mut self, table: &DeTable<'_>) {
        for (name, at, value) in entries(table) {
            match name {
                "theme" => self.settings.theme = self.one_of(name, value, &theme::NAMES),
                "layout" => {
                    self.settings.layout = self.one_of(name, value, &(self.checks.layouts)())
                }
                "mouse" => match value.get_ref() {
                    DeValue::Boolean(mouse) => self.settings.mouse = Some(*mouse),
                    _ => self.mistyped(name, value, "true or false"),
                },
                "connect" => self.connect(value),
                "vmlinux" => {
                    let path = self.string(name, value);
                    self.settings.vmlinux = path.map(|path| self.path(&path));
                }
                "break-in" if !self.origin.trusted => {
                    self.refuse(at, "break-in is a command for this machine");
                }
                "break-in" => self.settings.break_in = self.string(name, value),
                "keys" => self.tables(name, value, Reader::keys),
                "source" => self.tables(name, value, Reader::source),
                "set" => self.tables(name, value, Reader::set),
                _ => self.unknown(at, "setting", name, TOP),
            }
        }
    }

    fn mistyped(&mut self, name: &str, value: &Spanned<DeValue<'_>>, wanted: &str) {
        let kind = match value.get_ref() {
            DeValue::String(_) => "a text",
            DeValue::Integer(_) | DeValue::Float(_) => "a number",
            DeValue::Boolean(_) => "true or false",
            DeValue::Datetime(_) => "a date",
            DeValue::Array(_) => "a list",
            DeValue::Table(_) => "a table",
        };
        self.problem(value.span().start, format!("{name} is {wanted}, not {kind}"));
    }

    /// What a file of a source tree may not do.
    fn refuse(&mut self, at: usize, what: &str) {
        let words = "refused here, where anybody may have put it; it belongs in config.toml \
                     (kgdb-tui config --path tells where that is) or on the command line";
        self.problem(at, format!("{what}: {words}"));
    }

    fn string(&mut self, name: &str, value: &Spanned<DeValue<'_>>) -> Option<String> {
        match value.get_ref() {
            DeValue::String(text) if !text.trim().is_empty() => Some(text.trim().to_string()),
            DeValue::String(_) => {
                self.problem(value.span().start, format!("{name} is empty"));
                None
            }
            _ => {
                self.mistyped(name, value, "a text in quotes");
                None
            }
        }
    }

    fn one_of(
        &mut self,
        name: &str,
        value: &Spanned<DeValue<'_>>,
        names: &[&str],
    ) -> Option<String> {
        let text = self.string(name, value)?;
        if names.contains(&&text[..]) {
            return Some(text);
        }
        self.unknown(value.span().start, name, &text, names);
        None
    }

    fn tables(
        &mut self,
        name: &str,
        value: &Spanned<DeValue<'_>>,
        read: fn(&mut Self, &DeTable<'_>),
    ) {
        match value.get_ref() {
            DeValue::Table(table) => read(self, table),
            _ => self.mistyped(name, value, "a table"),
        }
    }

    fn connect(&mut self, value: &Spanned<DeValue<'_>>) {
        let Some(address) = self.string("connect", value) else { return };
        let at = value.span().start;
        if address.starts_with("exec:") && !self.origin.trusted {
            return self.refuse(at, "exec: is a command for this machine");
        }
        match (self.checks.connect)(&address) {
            Ok(()) => self.settings.connect = Some(address),
            Err(why) => self.problem(at, why),
        }
    }

    /// A path: `~/` is the home, a relative one begins at the file's directory.
    fn path(&self, text: &str) -> PathBuf {
        let home = text.strip_prefix("~/").zip(self.origin.home.as_deref());
        let directory = self.origin.path.parent().unwrap_or(Path::new(""));
        home.map_or_else(|| directory.join(text), |(rest, home)| home.join(rest))
    }

    fn source(&mut self, table: &DeTable<'_>) {
        for (name, at, value) in entries(table) {
            match name {
                "source-dir" => self.settings.source_dir = self.paths(name, value),
                "module-path" => self.settings.module_path = self.paths(name, value),
                "debug-dir" => self.settings.debug_dir = self.paths(name, value),
                "substitute-path" => self.tables(name, value, Reader::substitutions),
                _ => self.unknown(at, "setting of [source]", name, SOURCE),
            }
        }
    }

    fn paths(&mut self, name: &str, value: &Spanned<DeValue<'_>>) -> Vec<PathBuf> {
        let DeValue::Array(items) = value.get_ref() else {
            self.mistyped(name, value, "a list of directories, [\"DIR\"]");
            return Vec::new();
        };
        let mut paths = Vec::new();
        for item in items.iter() {
            paths.extend(self.string(name, item).map(|text| self.path(&text)));
        }
        paths
    }

    fn substitutions(&mut self, table: &DeTable<'_>) {
        for (from, at, value) in entries(table) {
            let Some(to) = self.string("what takes a path's place", value) else { continue };
            if from.is_empty() {
                self.problem(at, "the path that is replaced is empty".into());
            } else {
                let to = self.path(&to).display().to_string();
                self.settings.substitute_path.push((from.to_string(), to));
            }
        }
    }

    fn set(&mut self, table: &DeTable<'_>) {
        let names = (self.checks.set_names)();
        for (name, at, value) in entries(table) {
            let text = match value.get_ref() {
                DeValue::String(text) => text.trim().to_string(),
                DeValue::Integer(number) => {
                    match i64::from_str_radix(number.as_str(), number.radix()) {
                        Ok(number) => number.to_string(),
                        Err(_) => number.to_string(),
                    }
                }
                DeValue::Boolean(on) => if *on { "on" } else { "off" }.to_string(),
                _ => {
                    self.mistyped(name, value, "a text or a number");
                    continue;
                }
            };
            if !names.is_empty() && !names.contains(&name) {
                self.unknown(at, "setting of [set]", name, &names);
            } else {
                match (self.checks.set)(name, &text) {
                    Ok(()) => self.settings.set.push((name.to_string(), text)),
                    Err(why) => self.problem(value.span().start, why),
                }
            }
        }
    }

    fn keys(&mut self, table: &DeTable<'_>) {
        for (name, at, value) in entries(table) {
            if name == "preset" {
                let Some(text) = self.string(name, value) else { continue };
                self.settings.preset = presets::named(&text).map(|preset| preset.name);
                if self.settings.preset.is_none() {
                    let names: Vec<_> = presets::PRESETS.iter().map(|p| p.name).collect();
                    self.unknown(value.span().start, "preset", &text, &names);
                }
            } else if let Some(scope) = Scope::named(name) {
                match value.get_ref() {
                    DeValue::Table(table) => self.bindings(scope, table),
                    _ => self.mistyped(name, value, "a table"),
                }
            } else {
                let scopes = Scope::NAMES.iter().map(|(name, _)| *name);
                let names: Vec<_> = scopes.chain(["preset"]).collect();
                self.unknown(at, "place for keys", name, &names);
            }
        }
    }

    fn bindings(&mut self, scope: Scope, table: &DeTable<'_>) {
        for (text, at, value) in entries(table) {
            let keys = match sequence(text) {
                Ok(keys) => keys,
                Err(why) => {
                    self.problem(at, why.to_string());
                    continue;
                }
            };
            let DeValue::String(line) = value.get_ref() else {
                self.mistyped(text, value, "the name of an action, in quotes");
                continue;
            };
            let action = match line.trim() {
                "" => None,
                line => match self.action(value.span().start, line) {
                    Some(action) => Some(action),
                    None => continue,
                },
            };
            self.settings.keys.push(OwnKeys { scope, keys, action });
        }
    }

    fn action(&mut self, at: usize, line: &str) -> Option<Action> {
        if let Some(action) = actions::named(line) {
            return Some(action);
        }
        if let Err(why) = (self.checks.line)(line) {
            self.problem(at, why);
            return None;
        }
        // `save` and `source`, for instance, are about files of this machine.
        if !self.origin.trusted {
            self.refuse(at, "a key for a line of commands");
            return None;
        }
        let action = Action::of_line(line);
        if action.is_none() {
            self.problem(at, "the line is too long, or there are too many".into());
        }
        action
    }
}

#[cfg(test)]
#[path = "parse_tests.rs"]
mod tests;
