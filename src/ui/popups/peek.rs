//! What a name of the source is: its value, its type, its macro, in one window.
//! Each part comes when it is known.

use super::output::Output;
use crate::base::text::printable;
use crate::command::render;
use crate::session::answer::{Answer, Failure};
use crate::session::request::{Printing, Purpose, Request};

/// A part of what is shown.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Part {
    /// The value at the stop.
    Value,
    /// The type.
    Type,
    /// The definition as a macro.
    Macro,
}

/// What is known of a name so far.
#[derive(Debug)]
pub struct Peek {
    /// The name, or expression.
    pub text: String,
    parts: Vec<(Part, Option<Result<String, Failure>>)>,
    /// It as text to be scrolled.
    pub output: Output,
}

/// Asks for the value of an expression, to be shown only.
pub fn value_of(expression: &str) -> Request {
    let expression = expression.to_owned();
    Request::Print(Printing { expression, purpose: Purpose::Output, ..Printing::default() })
}

/// A value in one line; or why there is none.
pub fn value_text(answer: Result<Answer, Failure>) -> String {
    match answer {
        Ok(answer) => {
            let lines: Vec<String> =
                render::answer(&answer).lines().map(|line| printable(line.trim())).collect();
            format!("= {}", lines.join(" "))
        }
        Err(why) => printable(why.to_string().lines().next().unwrap_or_default()),
    }
}

impl Peek {
    /// A name of which nothing is known yet, and what is to be asked.
    pub fn new(text: &str, has_value: bool) -> (Peek, Vec<(Part, Request)>) {
        let capitals = text.chars().all(|c| !c.is_lowercase());
        let mut asks = Vec::new();
        if has_value {
            asks.push((Part::Value, value_of(text)));
        }
        asks.push((Part::Type, Request::Type(text.to_owned(), false)));
        if capitals {
            asks.push((Part::Macro, Request::Macro(text.to_owned())));
        }
        let parts = asks.iter().map(|(part, _)| (*part, None)).collect();
        let mut peek = Peek { text: text.to_owned(), parts, output: Output::new(text, "…") };
        peek.show();
        (peek, asks)
    }

    /// Takes a part in.
    pub fn take(&mut self, part: Part, answer: Result<Answer, Failure>) {
        let text = answer.map(|answer| render::answer(&answer).trim_end().to_owned());
        if let Some((_, known)) = self.parts.iter_mut().find(|(own, _)| *own == part) {
            *known = Some(text);
        }
        self.show();
    }

    fn show(&mut self) {
        let known = self.parts.iter().any(|(_, text)| matches!(text, Some(Ok(_))));
        let waits = self.parts.iter().any(|(_, text)| text.is_none());
        let mut lines: Vec<String> = Vec::new();
        for (part, text) in &self.parts {
            match (part, text) {
                (Part::Value, Some(Ok(value))) => lines.push(format!("{} = {value}", self.text)),
                (_, Some(Ok(text))) => lines.push(text.clone()),
                (Part::Value, Some(Err(Failure::Running))) => {
                    lines.push("its value is known when the guest is stopped".into());
                }
                // A type has no value, a variable is no macro: what it is was
                // told by another part.
                (_, Some(Err(why))) if !known && !waits => lines.push(why.to_string()),
                _ => {}
            }
        }
        if waits {
            lines.push("…".into());
        }
        self.output = Output::new(&self.text, &lines.join("\n"));
    }
}
