//! Questions about code that need no guest but more time than a drawing: they
//! are answered on another thread.

use super::palette::preview::{self, Preview};
use super::panes::{
    source::Spot,
    words::{Word, WordKind},
};
use crate::session::symbol_answer::MatchAnswer;
use crate::session::view::CodeBook;
use crate::source::text::Text;
use std::sync::Arc;

/// A question about code.
#[derive(Clone, Debug, PartialEq)]
pub enum LookUp {
    /// Names that fit a text.
    Names(String),
    /// What a name is.
    Preview(Box<MatchAnswer>),
    /// Where a word of a file is defined.
    Definition(Box<Seen>),
}

/// The answer.
#[derive(Debug)]
pub enum LookedUp {
    /// Names, and the text they fit.
    Names(String, Vec<MatchAnswer>),
    /// What a name is.
    Preview(Box<MatchAnswer>, Preview),
    /// Where a word is defined; or why that is not known.
    Definition(Result<Spot, String>),
    /// There is none: the thread has failed.
    Failed,
}

/// A word, and where it was seen.
#[derive(Clone, Debug, PartialEq)]
pub struct Seen {
    /// The word.
    pub word: Word,
    /// The file.
    pub at: Spot,
    /// Its text.
    pub text: Arc<Text>,
    /// Whether it is a variable of the selected frame.
    pub local: bool,
}

/// The most names that are asked for: nobody reads further, but types on.
pub const MOST: usize = 200;

impl LookUp {
    /// Answers it; takes as long as it takes.
    pub fn answer(self, book: &dyn CodeBook) -> LookedUp {
        match self {
            LookUp::Names(text) => {
                let found = book.search(&text, MOST);
                LookedUp::Names(text, found)
            }
            LookUp::Preview(name) => {
                let preview = preview::of(&name, book);
                LookedUp::Preview(name, preview)
            }
            LookUp::Definition(seen) => LookedUp::Definition(definition(&seen, book)),
        }
    }
}

/// Where a word is defined: a variable of the function where that first names
/// it, anything else where the symbols or this file have it.
fn definition(seen: &Seen, book: &dyn CodeBook) -> Result<Spot, String> {
    let Seen { word, at, text, local } = seen;
    let here = |line| Spot { line, ..at.clone() };
    let name = word.text.as_str();
    let found = |location: &str| {
        book.find(location).ok().map(|(file, path, line)| Spot { file, path, line })
    };
    let spot = match word.kind {
        WordKind::Member => {
            return Err(format!("'{name}' is a member; K shows its type and value"));
        }
        WordKind::File => found(&format!("{name}:1")),
        WordKind::Tag => {
            let tag = name.split(' ').next_back().unwrap_or(name);
            declared(book, &format!("t:^{tag}$"), tag, true)
                .or_else(|| tag_in(text, name).map(here))
        }
        WordKind::Name => {
            let first = || first_named(text, at.line, name).map(here);
            (local.then(first).flatten())
                .or_else(|| found(name))
                .or_else(|| declared(book, &format!("^{name}$"), name, false))
                .or_else(|| macro_in(text, name).map(here))
                .or_else(first)
        }
    };
    spot.ok_or_else(|| format!("where '{name}' is defined is not known"))
}

/// Where the symbols say that a name is declared: as a tag, or as anything else.
/// In C these are apart; an argument `filename` is no `struct filename`.
fn declared(book: &dyn CodeBook, query: &str, name: &str, tag: bool) -> Option<Spot> {
    let is_tag = |one: &MatchAnswer| matches!(one.kind, "struct" | "union" | "enum");
    let found = book.search(query, 8).into_iter();
    let mut found = found.filter(|one| one.name == name && is_tag(one) == tag);
    let (file, line) = found.find_map(|one| Some((one.file?, one.line?)))?;
    let place = book.find(&format!("{file}:{line}"));
    let (file, path, line) = place.unwrap_or((file, None, line));
    Some(Spot { file, path, line })
}

/// The line of the function around `line` that names a variable first. A
/// function begins after the last line that begins with `}`, as kernel source
/// is written.
fn first_named(text: &Text, line: u32, name: &str) -> Option<u32> {
    let starts = |line: &u32| text.line(*line as usize).is_some_and(|text| text.starts_with('}'));
    let begin = (1..line).rev().find(starts).map_or(1, |end| end + 1);
    (begin..=line).find(|at| names(text, *at, name))
}

/// The line that defines a macro.
fn macro_in(text: &Text, name: &str) -> Option<u32> {
    (1..=text.len() as u32).find(|at| {
        let line = text.line(*at as usize).unwrap_or("");
        line.trim_start().starts_with('#') && line.contains("define") && names(text, *at, name)
    })
}

/// The line where the body of a struct begins.
fn tag_in(text: &Text, name: &str) -> Option<u32> {
    (1..=text.len() as u32).find(|at| {
        let line = text.line(*at as usize).unwrap_or("").trim();
        line.strip_prefix(name).is_some_and(|rest| rest.trim_start().starts_with('{'))
    })
}

/// Whether a line has a name as a word of its own, outside of comments.
fn names(text: &Text, line: u32, name: &str) -> bool {
    use crate::source::clex::Kind::{Ident, Macro, Type};
    let content = text.line(line as usize).unwrap_or("");
    text.spans(line as usize).iter().any(|span| {
        matches!(span.kind, Ident | Macro | Type)
            && content.get(span.start as usize..span.end as usize) == Some(name)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const FILE: &str = "#define LIMIT 4\nstruct req {\n\tint id;\n};\n\nstatic int old(int id)\n{\n\treturn id;\n}\n\nstatic int new(struct req *req)\n{\n\tint id = req->id; /* count */\n\n\treturn id + count + LIMIT;\n}\n";

    #[test]
    fn a_file_tells_where_its_names_come_from() {
        let text = Text::new(FILE);
        assert_eq!(first_named(&text, 15, "id"), Some(13));
        assert_eq!(first_named(&text, 15, "req"), Some(11));
        assert_eq!(first_named(&text, 8, "id"), Some(6));
        assert_eq!(first_named(&text, 14, "count"), None, "a comment names nothing");
        assert_eq!(macro_in(&text, "LIMIT"), Some(1));
        assert_eq!(tag_in(&text, "struct req"), Some(2));
        assert_eq!(first_named(&text, 0, "id"), None);
    }
}
