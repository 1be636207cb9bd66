//! The README as a manual: its sections are the topics of `help` and the text
//! of the man page, so that there is one text to keep true.

use pulldown_cmark::{Event, HeadingLevel, Options, Parser, Tag, TagEnd};
use std::{fmt::Write, sync::LazyLock};

/// The text.
const README: &str = include_str!("../../README.md");

/// A section of the manual.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Section {
    /// Its heading.
    pub title: String,
    /// Whether it is part of the section before it.
    pub nested: bool,
    /// What is in it.
    pub blocks: Vec<Block>,
}

/// A piece of a section, without marks.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Block {
    /// A paragraph in one line.
    Text(String),
    /// A point of a list, in one line.
    Item(String),
    /// Lines to be shown as they are.
    Code(String),
    /// A row of a table.
    Row(Vec<String>),
}

/// Every section, in order; the text before the first heading is under the
/// title of the document.
pub fn sections() -> &'static [Section] {
    static SECTIONS: LazyLock<Vec<Section>> = LazyLock::new(|| parse(README));
    &SECTIONS
}

/// The sections a word may mean: the one with this title, else those whose
/// title has a word that begins with it.
pub fn topics(word: &str) -> Vec<&'static Section> {
    let word = word.trim().to_lowercase();
    let is = |section: &&Section| section.title.to_lowercase() == word;
    if let Some(section) = sections().iter().find(is) {
        return vec![section];
    }
    let has = |section: &&Section| {
        let title = section.title.to_lowercase();
        let begins = |part: &str| part.starts_with(&word);
        !word.is_empty() && (title.starts_with(&word) || title.split([' ', ':']).any(begins))
    };
    sections().iter().filter(has).collect()
}

/// A section and those nested in it, as lines of plain text. Long paragraphs
/// are one line each: who shows them wraps them.
pub fn text(section: &'static Section) -> String {
    let from = sections().iter().position(|other| std::ptr::eq(other, section)).unwrap_or(0);
    let rest = sections().get(from + 1..).unwrap_or_default();
    let nested = rest.iter().take_while(|other| other.nested && !section.nested);
    let mut out = String::new();
    for part in std::iter::once(section).chain(nested) {
        if !out.is_empty() {
            let _ = writeln!(out, "\n{}\n", part.title);
        }
        write_blocks(&mut out, &part.blocks);
    }
    out.trim_end().to_string()
}

fn write_blocks(out: &mut String, blocks: &[Block]) {
    /// Columns of the first cell of a row, at most.
    const MOST: usize = 34;
    let first = |block: &Block| match block {
        Block::Row(cells) => cells.first().map_or(0, |cell| cell.chars().count()),
        _ => 0,
    };
    let width = blocks.iter().map(first).filter(|width| *width <= MOST).max().unwrap_or(0);
    let mut before: Option<&Block> = None;
    for block in blocks {
        // Rows and points stand together.
        let together = matches!(
            (before, block),
            (Some(Block::Row(_)), Block::Row(_)) | (Some(Block::Item(_)), Block::Item(_))
        );
        if before.is_some() && !together {
            out.push('\n');
        }
        match block {
            Block::Text(text) => out.push_str(text),
            Block::Item(text) => {
                let _ = write!(out, "- {text}");
            }
            Block::Code(text) => {
                let indented: Vec<String> =
                    text.trim_end().lines().map(|line| format!("    {line}")).collect();
                out.push_str(&indented.join("\n"));
            }
            Block::Row(cells) => {
                let mut cells = cells.iter();
                let name = cells.next().map_or("", String::as_str);
                let rest: Vec<&str> = cells.map(String::as_str).collect();
                if name.chars().count() > width {
                    let _ = write!(out, "{name}\n{:width$}  {}", "", rest.join("  "));
                } else {
                    let _ = write!(out, "{name:<width$}  {}", rest.join("  "));
                }
            }
        }
        out.push('\n');
        before = Some(block);
    }
}

/// What is being read.
#[derive(Default)]
struct Reader {
    sections: Vec<Section>,
    /// The words of the innermost block.
    words: String,
    /// The cells of the row.
    cells: Vec<String>,
    in_heading: bool,
    in_code: bool,
    items: usize,
    in_image: bool,
}

impl Reader {
    fn push(&mut self, block: Block) {
        if self.sections.is_empty() {
            self.sections.push(Section::default());
        }
        if let Some(section) = self.sections.last_mut() {
            section.blocks.push(block);
        }
    }

    fn take(&mut self) -> String {
        std::mem::take(&mut self.words).trim().to_string()
    }

    /// Ends a paragraph, of a list or not.
    fn paragraph(&mut self) {
        let text = self.take();
        if text.is_empty() {
            return;
        }
        self.push(if self.items > 0 { Block::Item(text) } else { Block::Text(text) });
    }

    fn take_in(&mut self, event: Event<'_>) {
        match event {
            Event::Start(Tag::Heading { level, .. }) => {
                let nested = level > HeadingLevel::H2;
                self.sections.push(Section { nested, ..Section::default() });
                self.in_heading = true;
            }
            Event::End(TagEnd::Heading(_)) => {
                let title = self.take();
                if let Some(section) = self.sections.last_mut() {
                    section.title = title;
                }
                self.in_heading = false;
            }
            Event::Start(Tag::CodeBlock(_)) => self.in_code = true,
            Event::End(TagEnd::CodeBlock) => {
                self.in_code = false;
                let code = std::mem::take(&mut self.words);
                self.push(Block::Code(code));
            }
            Event::Start(Tag::Item) => {
                self.paragraph();
                self.items += 1;
            }
            Event::End(TagEnd::Item) => {
                self.paragraph();
                self.items = self.items.saturating_sub(1);
            }
            Event::End(TagEnd::Paragraph) => self.paragraph(),
            Event::End(TagEnd::TableCell) => {
                let cell = self.take();
                self.cells.push(cell);
            }
            Event::End(end @ (TagEnd::TableRow | TagEnd::TableHead)) => {
                let cells = std::mem::take(&mut self.cells);
                // Over two columns a head says what can be seen.
                let plain = end == TagEnd::TableHead && cells.len() <= 2;
                if !plain && cells.iter().any(|cell| !cell.is_empty()) {
                    self.push(Block::Row(cells));
                }
            }
            Event::Start(Tag::Image { .. }) => self.in_image = true,
            Event::End(TagEnd::Image) => self.in_image = false,
            // What stands for a picture is of no use without it.
            Event::Text(_) | Event::Code(_) if self.in_image => {}
            Event::Text(text) | Event::Code(text) => self.words.push_str(&text),
            Event::SoftBreak | Event::HardBreak if !self.in_code => self.words.push(' '),
            _ => {}
        }
    }
}

fn parse(text: &str) -> Vec<Section> {
    let mut reader = Reader::default();
    for event in Parser::new_ext(text, Options::ENABLE_TABLES) {
        reader.take_in(event);
    }
    reader.sections
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn the_readme_is_a_manual() {
        let titles: Vec<&str> = sections().iter().map(|section| section.title.as_str()).collect();
        for title in ["kgdb-tui", "Keys", "Commands", "Breakpoints", "Scripts", "Modules"] {
            assert!(titles.contains(&title), "{title} in {titles:?}");
        }
        for section in sections() {
            let text = text(section);
            assert!(!text.is_empty(), "{} says nothing", section.title);
            assert!(!text.contains("**") && !text.contains("](#"), "{}: {text}", section.title);
        }
    }

    #[test]
    fn a_topic_is_found_by_a_word_of_its_title() {
        let titles = |word| -> Vec<&str> {
            topics(word).iter().map(|section| section.title.as_str()).collect()
        };
        assert_eq!(titles("keys"), ["Keys"]);
        assert_eq!(titles("vmware"), [""; 0]);
        assert_eq!(titles("running"), ["Stopping a running guest"]);
        assert_eq!(titles("break"), ["Breakpoints"]);
        assert_eq!(titles(""), [""; 0]);
    }

    #[test]
    fn marks_are_gone_and_rows_stand_in_columns() {
        let text = "# T\n\nSome *text* over\ntwo `lines`.\n\n| k | d |\n|---|---|\n| `F5` `c` | go |\n\n\
                    - one\n- two\n  more\n\n```\nas it\n  is\n```\n\n## U\n\n### V\n\nx\n";
        let sections = parse(text);
        let mut out = String::new();
        write_blocks(&mut out, &sections[0].blocks);
        let rows = "F5 c  go\n";
        let lines = "- one\n- two more\n";
        assert_eq!(
            out,
            format!("Some text over two lines.\n\n{rows}\n{lines}\n    as it\n      is\n")
        );
        let nested: Vec<bool> = sections.iter().map(|section| section.nested).collect();
        assert_eq!(nested, [false, false, true]);
    }

    proptest! {
        #[test]
        fn any_text_is_taken(text in "[-|#`*> a-c\\n\\[\\]()!]{0,80}") {
            let sections = parse(&text);
            let mut out = String::new();
            sections.iter().for_each(|section| write_blocks(&mut out, &section.blocks));
        }
    }
}
