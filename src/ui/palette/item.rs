//! What the palette offers: one line each, and what is done with it.

use super::preview::expression;
use crate::base::text::printable;
use crate::session::symbol_answer::MatchAnswer;
use crate::ui::panes::words::{Use, Word};

/// Something that can be chosen.
#[derive(Clone, Debug, PartialEq)]
pub struct Item {
    /// What it is.
    pub what: What,
    /// What is matched and shown.
    pub name: String,
    /// What stands at the right: keys, a place, a state.
    pub about: String,
    /// What is shown of it beside the list, when nobody has to be asked.
    pub details: Vec<String>,
}

/// What an item is.
#[derive(Clone, Debug, PartialEq)]
pub enum What {
    /// A command.
    Command {
        /// Its name.
        name: &'static str,
        /// Whether it is done at once: it takes nothing, or a key does it so.
        at_once: bool,
    },
    /// A name in the symbols.
    Code(Box<MatchAnswer>),
    /// A module of the guest.
    Module,
    /// A task, by its pid.
    Task(i64),
    /// A breakpoint.
    Breakpoint {
        /// Its number.
        number: u32,
        /// Whether it is switched off.
        disabled: bool,
        /// Where it is, as a location.
        place: String,
    },
    /// A word of the source.
    Word(Use, Box<Word>),
}

/// What kinds of items are looked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// All of them.
    Everything,
    /// Commands, and what keys do.
    Commands,
    /// Functions.
    Functions,
    /// Source files.
    Files,
    /// Types.
    Types,
    /// Variables of file scope.
    Variables,
    /// Values of enumerations.
    Enumerators,
    /// Modules of the guest.
    Modules,
    /// Tasks of the guest.
    Tasks,
    /// Breakpoints.
    Breakpoints,
}

/// The kinds by what is typed before a text for them alone; `search` has the
/// same letters.
pub const KINDS: [(Kind, &str, &str); 9] = [
    (Kind::Commands, ":", "commands"),
    (Kind::Functions, "f:", "functions"),
    (Kind::Files, "s:", "files"),
    (Kind::Types, "t:", "types"),
    (Kind::Variables, "v:", "variables"),
    (Kind::Enumerators, "e:", "enumerators"),
    (Kind::Modules, "m:", "modules"),
    (Kind::Tasks, "p:", "tasks"),
    (Kind::Breakpoints, "b:", "breakpoints"),
];

impl Kind {
    /// The kind that a typed text asks for, and the text without its prefix.
    pub fn parse(text: &str) -> (Kind, &str) {
        let text = text.trim_start();
        let found = KINDS.iter().find_map(|(kind, prefix, _)| {
            text.strip_prefix(prefix).map(|rest| (*kind, rest.trim_start()))
        });
        found.unwrap_or((Kind::Everything, text))
    }

    /// What is typed before a text for this kind alone.
    pub fn prefix(self) -> &'static str {
        KINDS.iter().find(|(kind, ..)| *kind == self).map_or("", |(_, prefix, _)| prefix)
    }

    /// Its name in a sentence.
    pub fn name(self) -> &'static str {
        KINDS.iter().find(|(kind, ..)| *kind == self).map_or("everything", |(.., name)| name)
    }

    /// The kind of that name, or of a beginning of it that no other has.
    pub fn named(name: &str) -> Option<Kind> {
        let name = name.trim().to_lowercase();
        let mut fits = KINDS.iter().filter(|(.., full)| full.starts_with(&name));
        match (name.is_empty(), fits.next(), fits.next()) {
            (true, ..) => Some(Kind::Everything),
            (false, Some((kind, ..)), None) => Some(*kind),
            _ => None,
        }
    }

    /// Whether the symbols have it: it is looked for on another thread.
    pub fn is_code(self) -> bool {
        matches!(
            self,
            Kind::Functions | Kind::Files | Kind::Types | Kind::Variables | Kind::Enumerators
        )
    }
}

impl Item {
    /// A name of the symbols.
    pub fn code(found: MatchAnswer) -> Item {
        let place = match (&found.file, found.line) {
            _ if found.kind == "file" => String::new(),
            (Some(file), Some(line)) => format!("{}:{line}", printable(file)),
            (Some(file), None) => printable(file),
            _ => String::new(),
        };
        let module = found.module.as_deref().map_or(String::new(), |module| {
            format!("{}[{}]", if place.is_empty() { "" } else { " " }, printable(module))
        });
        Item {
            name: printable(&found.name),
            about: format!("{place}{module}"),
            details: Vec::new(),
            what: What::Code(Box::new(found)),
        }
    }

    /// One word that says what it is.
    pub fn word(&self) -> &'static str {
        match &self.what {
            What::Command { .. } => "command",
            What::Code(found) => found.kind,
            What::Module => "module",
            What::Task(_) => "task",
            What::Breakpoint { .. } => "breakpoint",
            What::Word(..) => "",
        }
    }

    /// The kind it belongs to.
    pub fn kind(&self) -> Kind {
        match &self.what {
            What::Command { .. } => Kind::Commands,
            What::Code(found) => match found.kind {
                "function" => Kind::Functions,
                "variable" => Kind::Variables,
                "file" => Kind::Files,
                "enumerator" => Kind::Enumerators,
                _ => Kind::Types,
            },
            What::Module => Kind::Modules,
            What::Task(_) => Kind::Tasks,
            What::Breakpoint { .. } => Kind::Breakpoints,
            What::Word(..) => Kind::Everything,
        }
    }

    /// Whether it is the same thing, though what is known of it may differ.
    pub fn is(&self, other: &Item) -> bool {
        let same = match (&self.what, &other.what) {
            (What::Code(a), What::Code(b)) => a.kind == b.kind && a.module == b.module,
            (What::Breakpoint { number: a, .. }, What::Breakpoint { number: b, .. }) => a == b,
            (a, b) => a == b,
        };
        same && self.name == other.name
    }

    /// The expression for it, when it is a variable.
    pub fn variable(&self) -> Option<String> {
        match &self.what {
            What::Code(found) if found.kind == "variable" => Some(expression(found)),
            _ => None,
        }
    }

    /// What Enter does with it, and what Tab does instead.
    pub fn choices(&self) -> (&'static str, Option<&'static str>) {
        match &self.what {
            What::Command { at_once: true, .. } => ("does it", Some("puts it on the : line")),
            What::Command { at_once: false, .. } => ("puts it on the : line", None),
            What::Code(found) => match found.kind {
                "function" => ("goes there", Some("sets a breakpoint")),
                "file" => ("opens it", None),
                "variable" => ("prints it", Some("watches it")),
                "enumerator" => ("prints it", Some("goes there")),
                _ => ("shows its members", Some("with offsets and holes")),
            },
            What::Module => ("tells all about it", Some("breakpoint at its init")),
            What::Task(_) => ("shows its stack", None),
            What::Breakpoint { disabled: true, .. } => ("goes there", Some("enables it")),
            What::Breakpoint { .. } => ("goes there", Some("disables it")),
            What::Word(Use::Definition, _) => ("goes where it is defined", None),
            What::Word(Use::Peek, _) => ("shows type and value", None),
            What::Word(Use::Watch, _) => ("watches it", None),
            What::Word(Use::Memory, _) => ("shows memory there", None),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn kinds_are_asked_for_by_prefix_and_by_name() {
        assert_eq!(Kind::parse("f: vfs"), (Kind::Functions, "vfs"));
        assert_eq!(Kind::parse(":next"), (Kind::Commands, "next"));
        assert_eq!(Kind::parse("fs/a.c"), (Kind::Everything, "fs/a.c"));
        assert_eq!(Kind::named("func"), Some(Kind::Functions));
        assert_eq!(Kind::named(""), Some(Kind::Everything));
        assert_eq!(Kind::named("t"), None, "types and tasks");
        for (kind, prefix, name) in KINDS {
            assert_eq!((kind.prefix(), kind.name()), (prefix, name));
            assert_eq!(Kind::named(name), Some(kind));
        }
    }
}
