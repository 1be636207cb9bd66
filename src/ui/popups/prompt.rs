//! One-line questions: where to go, what to look for.

use crate::ui::edit::Line;
use crate::ui::filter;
use crate::ui::layout::PaneId;

/// What the text is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Question {
    /// A line, file and line, function or address to go to.
    GoTo,
    /// A function or address whose instructions are to be shown.
    Disassemble,
    /// A text to look for in the source pane.
    Search,
    /// An expression to watch.
    Watch,
    /// An address or expression whose memory is to be shown.
    Memory,
    /// A text that the rows of a pane must have.
    Filter(PaneId),
}

/// A question with what is typed so far.
#[derive(Debug)]
pub struct Prompt {
    /// What is asked.
    pub question: Question,
    /// What is typed.
    pub line: Line,
}

impl Prompt {
    /// An empty prompt.
    pub fn new(question: Question) -> Prompt {
        Prompt { question, line: Line::default() }
    }

    /// The words before what is typed.
    pub fn label(&self) -> &'static str {
        match self.question {
            Question::GoTo => "go to: ",
            Question::Disassemble => "disassemble: ",
            Question::Search => "/",
            Question::Watch => "watch: ",
            Question::Memory => "memory at: ",
            Question::Filter(pane) => filter::label(pane).unwrap_or("with: "),
        }
    }
}

/// What a text typed at "go to" means.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Place {
    /// Nothing was typed.
    Nowhere,
    /// A line of the file shown.
    Line(u32),
    /// A location of the command language.
    Location(String),
}

/// Reads a text typed at "go to": a bare number is a line, a bare address
/// gets its `*`.
pub fn place(text: &str) -> Place {
    let text = text.trim();
    match text.parse() {
        _ if text.is_empty() => Place::Nowhere,
        Ok(line) if !text.starts_with('+') => Place::Line(line),
        _ if text.starts_with("0x") => Place::Location(format!("*{text}")),
        _ => Place::Location(text.to_string()),
    }
}

#[cfg(test)]
mod tests {
    use super::{Place, place};

    #[test]
    fn what_go_to_takes() {
        assert_eq!(place("451"), Place::Line(451));
        assert_eq!(place(" vfs_read "), Place::Location("vfs_read".into()));
        assert_eq!(place("0xffffffff81000000"), Place::Location("*0xffffffff81000000".into()));
        assert_eq!(place(" "), Place::Nowhere);
    }
}
