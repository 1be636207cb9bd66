//! The address part of a location: numbers, `$registers` and symbols put
//! together. Text alone, like [`super::location`], and as bounded.

use crate::{base::addr::parse_number, symbols::lookup::location::Malformed};
use std::fmt;

/// How deep parentheses and signs may be nested.
const MOST_NESTED: u32 = 50;

/// An address to be computed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Expression {
    /// A number.
    Number(u64),
    /// The value of `$name`.
    Register(String),
    /// The address of a symbol.
    Symbol {
        /// The module to look in.
        module: Option<String>,
        /// Its name.
        name: String,
    },
    /// The same below zero, modulo 2^64.
    Negative(Box<Expression>),
    /// Two values put together, modulo 2^64.
    Pair(Box<Expression>, Operator, Box<Expression>),
}

/// What puts two values together.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Operator {
    /// `+`
    Plus,
    /// `-`
    Minus,
    /// `*`
    Times,
}

impl Expression {
    /// Takes an address apart: numbers, `$registers`, symbols (also with `&`
    /// before them and a module and `!`), `+`, `-`, `*` and parentheses.
    pub fn parse(text: &str) -> Result<Expression, Malformed> {
        let mut parser = Parser { rest: text.trim(), depth: 0 };
        let value = parser.sum()?;
        match parser.rest {
            "" => Ok(value),
            _ => Err(parser.lost()),
        }
    }
}

struct Parser<'a> {
    rest: &'a str,
    depth: u32,
}

impl Parser<'_> {
    fn lost(&self) -> Malformed {
        Malformed::Expression { rest: self.rest.to_owned() }
    }

    /// Steps over `mark` and the space after it.
    fn eat(&mut self, mark: char) -> bool {
        let after = self.rest.strip_prefix(mark);
        if let Some(after) = after {
            self.rest = after.trim_start();
        }
        after.is_some()
    }

    fn sum(&mut self) -> Result<Expression, Malformed> {
        let mut value = self.product()?;
        loop {
            let operator = match () {
                () if self.eat('+') => Operator::Plus,
                () if self.eat('-') => Operator::Minus,
                () => return Ok(value),
            };
            value = Expression::Pair(Box::new(value), operator, Box::new(self.product()?));
        }
    }

    fn product(&mut self) -> Result<Expression, Malformed> {
        let mut value = self.signed()?;
        while self.eat('*') {
            let next = self.signed()?;
            value = Expression::Pair(Box::new(value), Operator::Times, Box::new(next));
        }
        Ok(value)
    }

    fn signed(&mut self) -> Result<Expression, Malformed> {
        self.depth += 1;
        if self.depth > MOST_NESTED {
            return Err(Malformed::Deep);
        }
        let value = if self.eat('-') {
            Expression::Negative(Box::new(self.signed()?))
        } else if self.eat('+') {
            self.signed()?
        } else if self.rest.starts_with('*') {
            return Err(Malformed::Memory(self.rest[1..].to_owned()));
        } else if self.eat('&') {
            match self.operand()? {
                symbol @ Expression::Symbol { .. } => symbol,
                _ => return Err(self.lost()),
            }
        } else if self.eat('(') {
            let value = self.sum()?;
            if !self.eat(')') {
                return Err(self.lost());
            }
            value
        } else {
            self.operand()?
        };
        self.depth -= 1;
        Ok(value)
    }

    fn operand(&mut self) -> Result<Expression, Malformed> {
        if let Some(after) = self.rest.strip_prefix('$') {
            let end = after.find(|c: char| !is_of_name(c)).unwrap_or(after.len());
            if end == 0 {
                return Err(self.lost());
            }
            self.rest = after[end..].trim_start();
            return Ok(Expression::Register(after[..end].to_owned()));
        }
        let first = self.word()?;
        if first.starts_with(|c: char| c.is_ascii_digit()) {
            return number(&first)
                .map(Expression::Number)
                .ok_or_else(|| Malformed::Expression { rest: format!("{first}{}", self.rest) });
        }
        if self.eat('!') {
            let name = self.word()?;
            return Ok(Expression::Symbol { module: Some(first), name });
        }
        Ok(Expression::Symbol { module: None, name: first })
    }

    /// A name or number, or what is in quotes.
    fn word(&mut self) -> Result<String, Malformed> {
        let (end, skip) = match self.rest.chars().next() {
            Some(quote @ ('\'' | '"')) => (closing(self.rest, quote)?, 1),
            _ => (self.rest.find(|c: char| !is_of_name(c)).unwrap_or(self.rest.len()), 0),
        };
        let word = self.rest[skip..end].to_owned();
        if word.is_empty() {
            return Err(self.lost());
        }
        self.rest = self.rest[end + skip..].trim_start();
        Ok(word)
    }
}

/// C's names, and what compilers put into theirs: `foo.isra.0`.
fn is_of_name(c: char) -> bool {
    c.is_alphanumeric() || matches!(c, '_' | '.' | '@')
}

/// A number as C writes it: with a leading zero it is octal.
fn number(text: &str) -> Option<u64> {
    match text.strip_prefix('0') {
        Some(octal) if is_digits(octal) => u64::from_str_radix(octal, 8).ok(),
        _ => parse_number(text),
    }
}

impl fmt::Display for Expression {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Expression::Number(number) => write!(f, "0x{number:x}"),
            Expression::Register(name) => write!(f, "${name}"),
            Expression::Symbol { module: Some(module), name } => {
                write!(f, "{}!{}", Quoted(module), Quoted(name))
            }
            Expression::Symbol { module: None, name } => Quoted(name).fmt(f),
            Expression::Negative(value) => write!(f, "(-{value})"),
            Expression::Pair(left, operator, right) => {
                let sign = match operator {
                    Operator::Plus => '+',
                    Operator::Minus => '-',
                    Operator::Times => '*',
                };
                write!(f, "({left} {sign} {right})")
            }
        }
    }
}

/// Where the quote that `text` begins with is closed.
pub(in crate::symbols) fn closing(text: &str, quote: char) -> Result<usize, Malformed> {
    let inside = &text[quote.len_utf8()..];
    let unclosed = || Malformed::Quote { quote, rest: inside.to_owned() };
    inside.find(quote).map(|at| at + quote.len_utf8()).ok_or_else(unclosed)
}

/// Whether a text is made of digits alone.
pub(in crate::symbols) fn is_digits(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit())
}

/// A name, in quotes where it would not be read as one otherwise.
pub(in crate::symbols) struct Quoted<'a>(pub &'a str);

impl fmt::Display for Quoted<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let first = |c: char| c.is_alphabetic() || matches!(c, '_' | '/');
        let plain = self.0.starts_with(first) && self.0.chars().all(|c| is_of_name(c) || c == '/');
        match (plain, self.0.contains('\'')) {
            (true, _) => f.write_str(self.0),
            (false, false) => write!(f, "'{}'", self.0),
            (false, true) => write!(f, "\"{}\"", self.0),
        }
    }
}
