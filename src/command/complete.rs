//! Completion of a command line: command names first, then what the command
//! takes.

use super::table::COMMANDS;
use super::{arranging, manual, parse, screen};
use crate::session::view::{CodeBook, Completes};

/// What a word can become.
#[derive(Clone, Debug, PartialEq, Eq, Default)]
pub struct Completion {
    /// Byte where the word begins that a candidate replaces.
    pub start: usize,
    /// What it can be replaced with.
    pub candidates: Vec<String>,
}

/// The most candidates that are looked for.
pub const LIMIT: usize = 200;

/// Completes the word before byte `cursor` of `line`.
pub fn complete(line: &str, cursor: usize, book: &dyn CodeBook) -> Completion {
    let head = line.get(..cursor).unwrap_or(line);
    let indent = head.len() - head.trim_start().len();
    let typed = &head[indent..];
    let start = head.rfind(char::is_whitespace).map_or(0, |i| i + 1);
    if typed.starts_with("help ")
        || !typed.contains(' ')
        || typed.starts_with("info ") && start == indent + 5
    {
        let name = typed.strip_prefix("help ").unwrap_or(typed);
        let from = if typed.starts_with("help ") { indent + 5 } else { indent };
        let names = COMMANDS.iter().map(|c| c.name.to_string());
        let topics = manual::sections().iter().map(|section| section.title.to_lowercase());
        let topics = topics.filter(|_| from > indent);
        let candidates = names.chain(topics).filter(|n| n.starts_with(name)).collect();
        return Completion { start: from, candidates };
    }
    if let Some(pane) = typed.strip_prefix("focus ") {
        let candidates = screen::panes().filter(|name| name.starts_with(pane));
        return Completion { start, candidates: candidates.map(str::to_string).collect() };
    }
    if let Some(layout) = typed.strip_prefix("layout ") {
        let candidates = arranging::LAYOUTS.iter().filter(|name| name.starts_with(layout));
        return Completion { start, candidates: candidates.map(|name| name.to_string()).collect() };
    }
    match parse::split(typed) {
        Ok((command, _)) => match command.completes {
            Some(Completes::Location) => {
                // Two of them may stand together: `list A,B`.
                let start = head.rfind(',').map_or(start, |comma| start.max(comma + 1));
                let candidates = book.complete(Completes::Location, &head[start..], LIMIT);
                Completion { start, candidates }
            }
            Some(what) => {
                Completion { start, candidates: book.complete(what, &head[start..], LIMIT) }
            }
            None => Completion { start, candidates: Vec::new() },
        },
        Err(_) => Completion { start, candidates: Vec::new() },
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::{collections::BTreeSet, path::Path, path::PathBuf, sync::Arc};

    struct Book;
    impl CodeBook for Book {
        fn text(&self, _: &Path) -> Result<Arc<crate::source::text::Text>, String> {
            Err("none".into())
        }
        fn lines_with_code(&self, _: &str) -> Arc<BTreeSet<u32>> {
            Arc::default()
        }
        fn complete(&self, what: Completes, prefix: &str, _: usize) -> Vec<String> {
            vec![format!("{what:?}:{prefix}")]
        }
        fn search(&self, _: &str, _: usize) -> Vec<crate::session::symbol_answer::MatchAnswer> {
            Vec::new()
        }
        fn describe(&self, _: &str) -> Option<String> {
            None
        }
        fn find(&self, _: &str) -> Result<(String, Option<PathBuf>, u32), String> {
            Err("none".into())
        }
    }

    fn candidates(line: &str) -> (usize, Vec<String>) {
        let completion = complete(line, line.len(), &Book);
        (completion.start, completion.candidates)
    }

    #[test]
    fn commands_then_what_they_take() {
        assert_eq!(candidates("cont"), (0, vec!["continue".into()]));
        assert_eq!(candidates("  cont"), (2, vec!["continue".into()]));
        assert_eq!(candidates("info mo"), (0, vec!["info modules".into(), "info module".into()]));
        assert_eq!(candidates("help det"), (5, vec!["detach".into()]));
        assert_eq!(candidates("b Hgfs"), (2, vec!["Location:Hgfs".into()]));
        assert_eq!(candidates("list vfs_read,Hgfs"), (14, vec!["Location:Hgfs".into()]));
        assert_eq!(candidates("info functions vf"), (15, vec!["Function:vf".into()]));
        assert_eq!(candidates("monitor ls"), (8, vec![]));
        assert_eq!(candidates("zo"), (0, vec!["zoom".into()]));
        assert_eq!(candidates("focus me"), (6, vec!["memory".into()]));
    }
}
