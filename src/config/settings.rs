//! What a person can set: one struct for all files and the command line, each
//! of which may say a part. [`mod@super::parse`] reads it from text,
//! [`super::files`] from files.

use super::actions::Action;
use super::key::Key;
use super::keymap::{Keymap, Scope};
use super::presets::{self, Preset};
use std::path::PathBuf;

/// The default settings, with an explanation of each: what `kgdb-tui config`
/// prints.
pub const DOCUMENTED: &str = include_str!("default.toml");

/// Keys of the user's own.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OwnKeys {
    /// Where they hold.
    pub scope: Scope,
    /// The keys.
    pub keys: Vec<Key>,
    /// What they do; nothing any more without.
    pub action: Option<Action>,
}

/// Settings. What nobody set is `None` or empty.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Settings {
    /// The name of the theme.
    pub theme: Option<String>,
    /// Whether the mouse is used.
    pub mouse: Option<bool>,
    /// The name of the layout.
    pub layout: Option<String>,
    /// The name of the ready-made set of keys.
    pub preset: Option<&'static str>,
    /// Keys of the user's own; later ones win.
    pub keys: Vec<OwnKeys>,
    /// Prefixes of source paths, and what takes their place.
    pub substitute_path: Vec<(String, String)>,
    /// Where sources are looked for.
    pub source_dir: Vec<PathBuf>,
    /// Where .ko files are looked for.
    pub module_path: Vec<PathBuf>,
    /// Where separate debug files are looked for.
    pub debug_dir: Vec<PathBuf>,
    /// Names and values as the `set` command takes them.
    pub set: Vec<(String, String)>,
    /// Where the guest's serial line is.
    pub connect: Option<String>,
    /// The kernel's ELF file.
    pub vmlinux: Option<PathBuf>,
    /// A shell command that stops the guest.
    pub break_in: Option<String>,
}

impl Settings {
    /// These settings, and those below where these say nothing. Lists are
    /// looked through in order, so what is nearer comes first; of keys and
    /// `set` the later word counts, so what is nearer comes last.
    pub fn over(self, below: Settings) -> Settings {
        fn before<T>(mut first: Vec<T>, second: Vec<T>) -> Vec<T> {
            first.extend(second);
            first
        }
        Settings {
            theme: self.theme.or(below.theme),
            mouse: self.mouse.or(below.mouse),
            layout: self.layout.or(below.layout),
            // A set of keys takes the place of the one below, but not of what
            // the user changed of it.
            preset: self.preset.or(below.preset),
            keys: before(below.keys, self.keys),
            substitute_path: before(self.substitute_path, below.substitute_path),
            source_dir: before(self.source_dir, below.source_dir),
            module_path: before(self.module_path, below.module_path),
            debug_dir: before(self.debug_dir, below.debug_dir),
            set: before(below.set, self.set),
            connect: self.connect.or(below.connect),
            vmlinux: self.vmlinux.or(below.vmlinux),
            break_in: self.break_in.or(below.break_in),
        }
    }

    /// The keys that these settings make.
    pub fn keymap(&self) -> Keymap {
        let preset: Option<&Preset> = self.preset.and_then(presets::named);
        let mut keymap = preset.map_or_else(Keymap::default, Keymap::of);
        for own in &self.keys {
            match own.action {
                Some(action) => keymap.bind(own.scope, own.keys.clone(), action),
                None => keymap.unbind(own.scope, &own.keys),
            }
        }
        keymap
    }

    /// The value of a `set` name.
    pub fn value(&self, name: &str) -> Option<&str> {
        self.set.iter().rev().find(|(own, _)| own == name).map(|(_, value)| &value[..])
    }
}

/// The name of `names` that a mistyped one is most like, if it is like any.
pub fn nearest<'a>(typed: &str, names: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    let near = names.into_iter().map(|name| (distance(typed, name), name));
    let (distance, name) = near.min_by_key(|(distance, _)| *distance)?;
    (distance <= typed.chars().count().max(name.len()).div_ceil(3)).then_some(name)
}

/// Levenshtein's distance of two short texts.
fn distance(a: &str, b: &str) -> usize {
    /// A longer name is none of ours, however it is spelt.
    const LONGEST: usize = 64;
    let b: Vec<char> = b.chars().take(LONGEST).collect();
    let mut row: Vec<usize> = (0..=b.len()).collect();
    for (i, c) in a.chars().take(LONGEST).enumerate() {
        let mut diagonal = std::mem::replace(&mut row[0], i + 1);
        for (j, d) in b.iter().enumerate() {
            let other = diagonal + usize::from(c != *d);
            diagonal = row[j + 1];
            row[j + 1] = other.min(row[j] + 1).min(diagonal + 1);
        }
    }
    row[b.len()]
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::keymap::Scope::Everywhere;

    #[test]
    fn what_is_nearer_wins() {
        let set = |value: &str| vec![("listsize".to_string(), value.to_string())];
        let below = Settings {
            theme: Some("light".into()),
            source_dir: vec!["/below".into()],
            set: set("10"),
            connect: Some("a:1".into()),
            ..Settings::default()
        };
        let above = Settings {
            theme: Some("dark".into()),
            source_dir: vec!["/above".into()],
            set: set("20"),
            ..Settings::default()
        };
        let both = above.over(below);
        assert_eq!(both.theme.as_deref(), Some("dark"));
        assert_eq!(both.connect.as_deref(), Some("a:1"));
        assert_eq!(both.source_dir, [PathBuf::from("/above"), "/below".into()]);
        assert_eq!((both.value("listsize"), both.value("zork")), (Some("20"), None));
    }

    #[test]
    fn own_keys_change_the_set() {
        let own = |text: &str, action| OwnKeys {
            scope: Everywhere,
            keys: crate::config::keymap::sequence(text).unwrap(),
            action,
        };
        let settings = Settings {
            preset: Some("vi"),
            keys: vec![own("g g", Some(Action::Zoom)), own("q", None)],
            ..Settings::default()
        };
        let keymap = settings.keymap();
        assert_eq!(keymap.keys(Action::Zoom, &[Everywhere], 1), "g g");
        assert_eq!(keymap.keys(Action::Leave, &[Everywhere], 9), "Z Z/Z Q");
    }

    #[test]
    fn names_that_are_meant() {
        let names = ["theme", "mouse", "substitute-path"];
        assert_eq!(nearest("theem", names), Some("theme"));
        assert_eq!(nearest("substitute_path", names), Some("substitute-path"));
        assert_eq!(nearest("zork", names), None);
        assert_eq!(nearest("", names), None);
        assert_eq!(distance("kitten", "sitting"), 3);
    }
}
