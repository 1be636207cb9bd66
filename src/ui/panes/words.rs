//! The names in a line of C: what the cursor can be on, and the expression each
//! of them ends (`queue->lock` for `lock`). Knows the words of C, no grammar.

use crate::source::clex::{Kind, Span};
use std::ops::Range;

/// A name in a line.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Word {
    /// Its bytes in the line.
    pub bytes: Range<usize>,
    /// What it stands for: `struct page`, `req`, `req->id`, `linux/list.h`.
    pub text: String,
    /// What it is.
    pub kind: WordKind,
}

/// What a name in a line can be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum WordKind {
    /// A variable, function, macro or typedef.
    Name,
    /// A member of a struct.
    Member,
    /// A struct, union or enum by its tag.
    Tag,
    /// A file that is included.
    File,
}

/// What a word of the source is wanted for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Use {
    /// To go where it is defined.
    Definition,
    /// To see its type and value.
    Peek,
    /// To watch it.
    Watch,
    /// To see the memory at it.
    Memory,
}

/// The names of a line in their order.
pub fn words(line: &str, spans: &[Span]) -> Vec<Word> {
    let mut words: Vec<Word> = Vec::new();
    let text = |span: &Span| line.get(span.start as usize..span.end as usize).unwrap_or("");
    let includes =
        spans.first().is_some_and(|first| text(first).starts_with('#')) && line.contains("include");
    for (at, span) in spans.iter().enumerate() {
        let bytes = span.start as usize..span.end as usize;
        let own = text(span);
        let before = |back: usize| at.checked_sub(back).map_or("", |at| text(&spans[at]));
        let mut push = |text: String, kind| {
            words.push(Word { bytes: bytes.clone(), text, kind });
        };
        match span.kind {
            Kind::String if includes => {
                let file = own.trim_matches(|c| matches!(c, '<' | '>' | '"'));
                push(file.to_owned(), WordKind::File);
            }
            Kind::Ident | Kind::Macro | Kind::Type => match before(1) {
                tag @ ("struct" | "union" | "enum") => {
                    push(format!("{tag} {own}"), WordKind::Tag);
                }
                // Of what is called or indexed before it nothing is known here.
                sign @ ("." | ">") if sign == "." || line[..bytes.start].ends_with("->") => {
                    let sign = if sign == "." { "." } else { "->" };
                    let (start, of) = (bytes.start, 1 + usize::from(sign == "->"));
                    let owner = at.checked_sub(of + 1).map(|at| spans[at].end as usize);
                    let owner = words.last().filter(|word| {
                        Some(word.bytes.end) == owner && word.bytes.end + sign.len() == start
                    });
                    if let Some(owner) = owner {
                        let text = format!("{}{sign}{own}", owner.text);
                        words.push(Word { bytes, text, kind: WordKind::Member });
                    }
                }
                // `int` and the like mean nothing else anywhere.
                _ if span.kind == Kind::Type && !own.ends_with("_t") => {}
                _ => push(own.to_owned(), WordKind::Name),
            },
            _ => {}
        }
    }
    words
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::source::text::Text;
    use proptest::prelude::*;

    fn of(line: &str) -> Vec<String> {
        let text = Text::new(line);
        words(text.line(1).unwrap_or(""), text.spans(1)).into_iter().map(|w| w.text).collect()
    }

    #[test]
    fn names_and_what_they_end() {
        assert_eq!(
            of("\tif (!wait_for(&req->done, timeout ?: HGFS_TIMEOUT)) {"),
            ["wait_for", "req", "req->done", "timeout", "HGFS_TIMEOUT"]
        );
        assert_eq!(
            of("struct HgfsQueue *queue = &q.a.b;"),
            ["struct HgfsQueue", "queue", "q", "q.a", "q.a.b"]
        );
        assert_eq!(of("int n = f(x)->y; /* no word */"), ["n", "f", "x"]);
        assert_eq!(of("#include <linux/list.h>"), ["linux/list.h"]);
        assert_eq!(of("return 0x10 + \"text\";"), [""; 0]);
        assert_eq!(of("a-- > b"), ["a", "b"]);
    }

    proptest! {
        #[test]
        fn any_line_gives_words_within_it(line in "\\PC{0,80}") {
            let text = Text::new(&line);
            let line = text.line(1).unwrap_or("").to_owned();
            for word in words(&line, text.spans(1)) {
                prop_assert!(line.get(word.bytes).is_some());
            }
        }
    }
}
