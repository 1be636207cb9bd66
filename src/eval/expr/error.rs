//! Why an expression has no value, and where in its text.

use crate::eval::location::Absent;
use std::ops::Range;

/// What is wrong with an expression.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub struct ExprError {
    /// What, in words.
    pub message: String,
    /// Where: bytes of the text that was evaluated.
    pub at: Range<usize>,
    /// Set when the expression is right, but a value in it is not to be had:
    /// not read yet, not readable, optimized out.
    pub absent: Option<Absent>,
}

impl ExprError {
    /// Something is wrong at a place.
    pub fn new(at: Range<usize>, message: impl Into<String>) -> ExprError {
        ExprError { message: message.into(), at, absent: None }
    }

    /// Whether it will be answered once what it missed is read.
    pub fn is_missing(&self) -> bool {
        matches!(&self.absent, Some(Absent::Gap(gap)) if gap.is_missing())
    }

    /// The message with the text and a mark below the place, for a face that
    /// has lines of one width:
    ///
    /// ```text
    /// no member 'lenn' in struct hgfs_req; did you mean 'len'?
    ///   req->lenn + 1
    ///        ^^^^
    /// ```
    pub fn shown(&self, text: &str) -> String {
        let head = text.get(..self.at.start).unwrap_or(text);
        let marked = text.get(self.at.clone()).unwrap_or_default();
        if text.contains('\n') {
            return self.message.clone();
        }
        let (indent, width) = (head.chars().count(), marked.chars().count().max(1));
        format!("{}\n  {text}\n  {}{}", self.message, " ".repeat(indent), "^".repeat(width))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_mark_is_below_the_place() {
        let error = ExprError::new(5..9, "no member 'lenn'");
        assert_eq!(error.shown("req->lenn + 1"), "no member 'lenn'\n  req->lenn + 1\n       ^^^^");
        assert_eq!(ExprError::new(2..2, "x").shown("1+"), "x\n  1+\n    ^");
        assert_eq!(ExprError::new(3..40, "x").shown("äü"), "x\n  äü\n    ^");
    }
}
