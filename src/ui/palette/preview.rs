//! What is shown of a chosen item beside the list. What the symbols and the
//! source files tell is made on another thread: a type may have hundreds of
//! members, a file thousands of lines.

use crate::base::text::printable;
use crate::session::symbol_answer::MatchAnswer;
use crate::session::view::CodeBook;
use crate::source::text::Text;
use std::{path::PathBuf, sync::Arc};

/// What is shown of an item.
#[derive(Clone, Debug, PartialEq)]
pub enum Preview {
    /// Lines of text.
    Words(Vec<String>),
    /// A place in a file.
    Source {
        /// The file as it is shown.
        file: String,
        /// Its text.
        text: Arc<Text>,
        /// The line that matters.
        line: u32,
        /// What is said first: how it is declared.
        heading: Option<String>,
    },
}

/// The location that means a name.
pub fn location(name: &MatchAnswer) -> String {
    match (name.kind, &name.file, name.line) {
        ("function", ..) => name.choose.clone().unwrap_or_else(|| name.name.clone()),
        ("file", ..) => format!("{}:1", name.name),
        (_, Some(file), Some(line)) => format!("{file}:{line}"),
        _ => name.name.clone(),
    }
}

/// Where a name is. A function that is inlined everywhere has no place of its
/// own but that of its declaration.
pub fn find(name: &MatchAnswer, book: &dyn CodeBook) -> Result<Place, String> {
    book.find(&location(name)).or_else(|why| match (&name.file, name.line) {
        (Some(file), Some(line)) => book.find(&format!("{file}:{line}")).map_err(|_| why),
        _ => Err(why),
    })
}

/// A file as DWARF has it, where it is on this machine, and a line.
type Place = (String, Option<PathBuf>, u32);

/// A name as expressions have it.
pub fn expression(name: &MatchAnswer) -> String {
    match name.kind {
        "struct" | "union" | "enum" => format!("{} {}", name.kind, name.name),
        _ => name.choose.clone().unwrap_or_else(|| name.name.clone()),
    }
}

/// Makes it.
pub fn of(name: &MatchAnswer, book: &dyn CodeBook) -> Preview {
    let described = || book.describe(&expression(name));
    let in_words = |text: String| Preview::Words(text.lines().map(untabbed).collect());
    if matches!(name.kind, "struct" | "union" | "enum" | "typedef" | "base")
        && let Some(text) = described()
    {
        return in_words(text);
    }
    let heading = (name.kind == "variable").then(described).flatten();
    let heading = heading.map(|text| printable(text.lines().next().unwrap_or_default()));
    let source = find(name, book).and_then(|(file, path, line)| {
        let path = path.ok_or_else(|| format!("{file} is not on this machine"))?;
        Ok((file, book.text(&path)?, line))
    });
    match source {
        Ok((file, text, line)) => Preview::Source { file: printable(&file), text, line, heading },
        Err(why) => in_words([heading.unwrap_or_default(), why].join("\n").trim().to_owned()),
    }
}

fn untabbed(line: &str) -> String {
    printable(&line.replace('\t', "    "))
}
