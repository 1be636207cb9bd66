//! The words of an expression, with their places.

use crate::eval::expr::{ast::Integer, error::ExprError, literal};
use std::ops::Range;

/// One word.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Token {
    Integer(Integer),
    Float(f64, bool),
    /// `'a'`.
    Char(u8),
    /// `"text"`.
    Text(Vec<u8>),
    /// What else stands in single quotes: a file or a symbol.
    Quoted(String),
    Name(String),
    /// What follows a `$`: `rip`, `1`, `$2`, or nothing.
    Dollar(String),
    Mark(&'static str),
    End,
}

/// A word and where it stands.
#[derive(Clone, Debug)]
pub(super) struct Word {
    pub token: Token,
    pub at: Range<usize>,
}

/// Marks, longer ones before those that they begin with.
const MARKS: [&str; 46] = [
    "<<=", ">>=", "->", "++", "--", "&&", "||", "==", "!=", "<=", ">=", "<<", ">>", "+=", "-=",
    "*=", "/=", "%=", "&=", "|=", "^=", "::", "+", "-", "*", "/", "%", "&", "|", "^", "~", "!",
    "<", ">", "=", "?", ":", ",", ".", "(", ")", "[", "]", "{", "}", "@",
];

/// All words of a text; the last is [`Token::End`].
pub(super) fn words(text: &str) -> Result<Vec<Word>, ExprError> {
    let mut words = Vec::new();
    let mut at = 0;
    loop {
        at += text[at..].len() - text[at..].trim_start().len();
        let rest = &text[at..];
        let (token, len) = match rest.chars().next() {
            None => {
                words.push(Word { token: Token::End, at: at..at });
                return Ok(words);
            }
            Some(first) => word(rest, first, at)?,
        };
        words.push(Word { token, at: at..at + len });
        at += len;
    }
}

/// The first word of `rest`, which starts at `at`, and its length.
fn word(rest: &str, first: char, at: usize) -> Result<(Token, usize), ExprError> {
    let ends = |of: fn(char) -> bool| rest.find(|c: char| !of(c)).unwrap_or(rest.len());
    if is_first_of_name(first) {
        let len = ends(is_of_name);
        return Ok((Token::Name(rest[..len].to_owned()), len));
    }
    let fraction = first == '.' && rest[1..].starts_with(|c: char| c.is_ascii_digit());
    if first.is_ascii_digit() || fraction {
        let len = number_end(rest);
        return match literal::number(&rest[..len]) {
            Ok(literal::Number::Integer(integer)) => Ok((Token::Integer(integer), len)),
            Ok(literal::Number::Float(value, single)) => Ok((Token::Float(value, single), len)),
            Err(why) => Err(ExprError::new(at..at + len, why)),
        };
    }
    match first {
        '$' => {
            let after = &rest[1..];
            let skip = usize::from(after.starts_with('$'));
            let name = after[skip..].find(|c: char| !is_of_name(c)).unwrap_or(after.len() - skip);
            Ok((Token::Dollar(after[..skip + name].to_owned()), 1 + skip + name))
        }
        '\'' => quoted(rest, at),
        '"' => string(rest, at),
        _ => match MARKS.iter().find(|mark| rest.starts_with(**mark)) {
            Some(mark) => Ok((Token::Mark(mark), mark.len())),
            None => {
                let end = at + first.len_utf8();
                Err(ExprError::new(at..end, format!("'{first}' means nothing in C")))
            }
        },
    }
}

/// A number goes on over letters, so that `12ab` is wrong and not two words.
fn number_end(rest: &str) -> usize {
    let is_hex = rest.starts_with("0x") || rest.starts_with("0X");
    let mut before = '0';
    for (at, c) in rest.char_indices() {
        let sign = matches!(c, '+' | '-') && matches!(before, 'e' | 'E') && !is_hex;
        if !(is_of_name(c) || c == '.' || sign) {
            return at;
        }
        before = c;
    }
    rest.len()
}

/// `'a'` is a character; more than one is the name of a file or a symbol.
fn quoted(rest: &str, at: usize) -> Result<(Token, usize), ExprError> {
    if let Some((bytes, after)) = literal::character(&rest[1..])
        && after.starts_with('\'')
        && !after[1..].trim_start().starts_with("::")
        && !rest.starts_with("''")
    {
        let len = rest.len() - after.len() + 1;
        return match bytes[..] {
            [byte] => Ok((Token::Char(byte), len)),
            _ => Err(ExprError::new(at..at + len, "a character is one byte")),
        };
    }
    match rest[1..].find('\'') {
        Some(0) => Err(ExprError::new(at..at + 2, "there is nothing between the quotes")),
        Some(end) => Ok((Token::Quoted(rest[1..=end].to_owned()), end + 2)),
        None => Err(ExprError::new(at..at + 1, "this quote is not closed")),
    }
}

fn string(rest: &str, at: usize) -> Result<(Token, usize), ExprError> {
    let mut bytes = Vec::new();
    let mut left = &rest[1..];
    while let Some((more, after)) = literal::character(left) {
        if left.starts_with('"') {
            return Ok((Token::Text(bytes), rest.len() - left.len() + 1));
        }
        bytes.extend(more);
        left = after;
    }
    Err(ExprError::new(at..at + 1, "this quote is not closed"))
}

fn is_first_of_name(c: char) -> bool {
    c.is_alphabetic() || c == '_'
}

fn is_of_name(c: char) -> bool {
    c.is_alphanumeric() || c == '_'
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn tokens(text: &str) -> Vec<Token> {
        words(text).unwrap().into_iter().map(|word| word.token).collect()
    }

    #[test]
    fn words_are_cs_and_gdbs() {
        let name = |text: &str| Token::Name(text.into());
        let dollar = |text: &str| Token::Dollar(text.into());
        use Token::{Char, End, Mark, Quoted, Text};
        assert_eq!(tokens("a->b"), [name("a"), Mark("->"), name("b"), End]);
        assert_eq!(tokens("a<<=b"), [name("a"), Mark("<<="), name("b"), End]);
        assert_eq!(tokens("hgfs!x != 'a'")[1], Mark("!"));
        assert_eq!(tokens("'a' '\\n' 'x.c'::y")[..3], [Char(b'a'), Char(10), Quoted("x.c".into())]);
        assert_eq!(tokens("'a'::y")[0], Quoted("a".into()));
        assert_eq!(tokens("$rip+$"), [dollar("rip"), Mark("+"), dollar(""), End]);
        assert_eq!(tokens("$$ $$3 $1"), [dollar("$"), dollar("$3"), dollar("1"), End]);
        assert_eq!(tokens(r#""a\"b""#), [Text(b"a\"b".to_vec()), End]);
        assert_eq!(tokens("1.5e-3"), [Token::Float(1.5e-3, false), End]);
        assert_eq!(tokens("0xe+1").len(), 4, "a hexadecimal e is no exponent");
    }

    #[test]
    fn errors_point_at_the_word() {
        let error = |text| words(text).map(|_| ()).unwrap_err().at;
        assert_eq!(error("a + 12ab"), 4..8);
        assert_eq!(error("x # y"), 2..3);
        assert_eq!(error("\"open"), 0..1);
        assert_eq!(error("'open"), 0..1);
        assert_eq!(error("''"), 0..2);
    }

    proptest! {
        #[test]
        fn words_tile_any_text(text in "\\PC{0,40}") {
            if let Ok(words) = words(&text) {
                let mut end = 0;
                for word in &words {
                    prop_assert!(word.at.start >= end && text.is_char_boundary(word.at.start));
                    prop_assert!(text[end..word.at.start].trim().is_empty());
                    end = word.at.end;
                }
                prop_assert_eq!(end, text.len());
            }
        }
    }
}
