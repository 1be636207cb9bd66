//! The words for a place in the code, in gdb's grammar: its manual's
//! "Linespec Locations", "Explicit Locations" and "Address Locations", and a
//! module's name before a `!`.
//!
//! Pure text: what a location means is asked of
//! [`Symbols::addresses_of`](crate::symbols::placed::Symbols::addresses_of). Any text is
//! accepted or refused with a reason; nothing here panics or recurses without
//! a bound.

use crate::symbols::lookup::expression::{Expression, Quoted, closing, is_digits};
use std::fmt;
use thiserror::Error;

/// A place in the code as it was written, taken apart.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Location {
    /// `*EXPRESSION`; also a bare `0x…`, `$rip` or `vfs_read+0x10`.
    Address(Expression),
    /// `file.c:42`, `42`, `+3`, `-3`, `hgfs!file.c:42`.
    Line {
        /// The module to look in; `vmlinux` is the kernel proper.
        module: Option<String>,
        /// The file, or its end from a `/` on; none means the one shown.
        file: Option<String>,
        /// Which of its lines.
        line: Line,
    },
    /// `vfs_read`, `fs/read_write.c:vfs_read`, `hgfs!HgfsSendRequest`.
    Function {
        /// The module to look in; `vmlinux` is the kernel proper.
        module: Option<String>,
        /// The file it is declared in, or the end of its path.
        file: Option<String>,
        /// Its name.
        name: String,
    },
}

/// A line of a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Line {
    /// By its number, from 1.
    At(u32),
    /// So many after the default line.
    Forward(u32),
    /// So many before the default line.
    Back(u32),
}

/// Why a text is no location.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum Malformed {
    /// There is no text.
    #[error("a location is missing: FUNCTION, FILE:LINE, FILE:FUNCTION or *ADDRESS")]
    Missing,
    /// After the colon there is neither a line nor a function.
    #[error("after '{0}:' a line or a function is missing, such as {0}:451")]
    NothingAfter(String),
    /// A file's name is missing before the colon.
    #[error("before ':{0}' the file is missing, such as fs/read_write.c:{0}")]
    NoFile(String),
    /// A number that is too large for a line.
    #[error("'{0}' is no line number")]
    Line(String),
    /// A quote is not closed.
    #[error("the {quote} before '{rest}' is not closed")]
    Quote {
        /// The quote.
        quote: char,
        /// What follows it.
        rest: String,
    },
    /// A name with a space, unquoted.
    #[error("'{0}' is no name; one with spaces is written in quotes, 'like this'")]
    Name(String),
    /// An explicit location's option that is not known.
    #[error("'{0}' is none of -source, -function and -line")]
    Option(String),
    /// An explicit location's option without its value, or given twice.
    #[error("'{0}' needs one value")]
    Value(String),
    /// Options that mean nothing together.
    #[error("-function and -line say two places; write -source FILE -line N, or -function NAME")]
    TwoPlaces,
    /// Something in an expression that is not understood.
    #[error(
        "'{rest}' is not understood; an address is made of numbers, $registers, symbols, + - * and parentheses"
    )]
    Expression {
        /// The expression from that on; empty at its end.
        rest: String,
    },
    /// An expression that needs the guest's memory.
    #[error("'*{0}' inside an address would need the guest's memory, which a location can't read")]
    Memory(String),
    /// Parentheses in parentheses, too deep.
    #[error("the address is nested too deep")]
    Deep,
}

impl Location {
    /// Takes a location apart.
    pub fn parse(text: &str) -> Result<Location, Malformed> {
        let text = text.trim();
        if text.is_empty() {
            return Err(Malformed::Missing);
        }
        if let Some(expression) = text.strip_prefix('*') {
            return Expression::parse(expression).map(Location::Address);
        }
        if text.starts_with("0x") || text.starts_with('$') || text.starts_with('(') {
            return Expression::parse(text).map(Location::Address);
        }
        if text.starts_with('-') && text[1..].starts_with(|c: char| c.is_ascii_alphabetic()) {
            return explicit(text);
        }
        for (sign, line) in [('+', Line::Forward as fn(u32) -> Line), ('-', Line::Back)] {
            if let Some(count) = text.strip_prefix(sign) {
                let line = line(line_number(count.trim())?);
                return Ok(Location::Line { module: None, file: None, line });
            }
        }
        linespec(text)
    }
}

/// `[MODULE!][FILE:]LINE`, `[MODULE!][FILE:]FUNCTION`, `SYMBOL+NUMBER`.
fn linespec(text: &str) -> Result<Location, Malformed> {
    let marks = marks(text)?;
    let module = marks.iter().find(|(_, mark)| *mark == '!').map(|(at, _)| *at);
    let colon = marks.iter().rev().find(|(at, mark)| *mark == ':' && Some(*at) > module);
    let (module, start) = match module {
        Some(at) => (Some(name(&text[..at])?), at + 1),
        None => (None, 0),
    };
    let Some(&(colon, _)) = colon else {
        let rest = text[start..].trim();
        if is_digits(rest) {
            let line = Line::At(line_number(rest)?);
            return Ok(Location::Line { module, file: None, line });
        }
        if marks.iter().any(|(_, mark)| matches!(mark, '+' | '-' | '*')) {
            return Expression::parse(text).map(Location::Address);
        }
        return Ok(Location::Function { module, file: None, name: name(rest)? });
    };
    let (file, rest) = (text[start..colon].trim(), text[colon + 1..].trim());
    if file.is_empty() {
        return Err(Malformed::NoFile(rest.to_owned()));
    }
    let file = unquoted(file)?;
    match rest {
        "" => Err(Malformed::NothingAfter(file)),
        _ if is_digits(rest) => {
            let line = Line::At(line_number(rest)?);
            Ok(Location::Line { module, file: Some(file), line })
        }
        _ => Ok(Location::Function { module, file: Some(file), name: name(rest)? }),
    }
}

/// `-source FILE -line N` and the like, in any order; an option may be cut to
/// its first letters as in gdb.
fn explicit(text: &str) -> Result<Location, Malformed> {
    const NAMES: [&str; 3] = ["-source", "-function", "-line"];
    let mut values: [Option<String>; 3] = [None, None, None];
    let mut rest = text;
    while !rest.is_empty() {
        let end = rest.find(char::is_whitespace).unwrap_or(rest.len());
        let (option, after) = rest.split_at(end);
        let known = NAMES.iter().position(|name| option.len() > 1 && name.starts_with(option));
        let Some(which) = known else { return Err(Malformed::Option(option.to_owned())) };
        let after = after.trim_start();
        let end = match after.chars().next() {
            Some(quote @ ('\'' | '"')) => closing(after, quote)? + 1,
            _ => after.find(char::is_whitespace).unwrap_or(after.len()),
        };
        let value = unquoted(&after[..end])?;
        if value.is_empty() || values[which].is_some() {
            return Err(Malformed::Value(option.to_owned()));
        }
        values[which] = Some(value);
        rest = after[end..].trim_start();
    }
    match values {
        [_, Some(_), Some(_)] => Err(Malformed::TwoPlaces),
        [file, Some(name), None] => Ok(Location::Function { module: None, file, name }),
        [file, None, Some(line)] => {
            let line = match (line.strip_prefix('+'), line.strip_prefix('-')) {
                (Some(count), _) => Line::Forward(line_number(count)?),
                (_, Some(count)) => Line::Back(line_number(count)?),
                _ => Line::At(line_number(&line)?),
            };
            Ok(Location::Line { module: None, file, line })
        }
        [Some(file), None, None] => Err(Malformed::NothingAfter(file)),
        [None, None, None] => Err(Malformed::Missing),
    }
}

/// Where the signs of the grammar are outside quotes. Two colons together are
/// part of a name (`core::fmt::write`).
fn marks(text: &str) -> Result<Vec<(usize, char)>, Malformed> {
    let mut marks = Vec::new();
    let mut at = 0;
    while let Some(c) = text[at..].chars().next() {
        let next = at + c.len_utf8();
        match c {
            '\'' | '"' => at += closing(&text[at..], c)? + 1,
            ':' if text[next..].starts_with(':') => at = next + 1,
            ':' | '!' | '+' | '-' | '*' => {
                marks.push((at, c));
                at = next;
            }
            _ => at = next,
        }
    }
    Ok(marks)
}

/// The text without the quotes around it.
fn unquoted(text: &str) -> Result<String, Malformed> {
    match text.chars().next() {
        Some(quote @ ('\'' | '"')) => {
            let end = closing(text, quote)?;
            match &text[end + 1..] {
                "" => Ok(text[1..end].to_owned()),
                _ => Err(Malformed::Name(text.to_owned())),
            }
        }
        _ if text.contains(['\'', '"']) => Err(Malformed::Name(text.to_owned())),
        _ => Ok(text.to_owned()),
    }
}

fn name(text: &str) -> Result<String, Malformed> {
    let text = text.trim();
    let plain = unquoted(text)?;
    match plain.is_empty() || plain == text && text.contains(char::is_whitespace) {
        true => Err(Malformed::Name(text.to_owned())),
        false => Ok(plain),
    }
}

fn line_number(text: &str) -> Result<u32, Malformed> {
    let number = if is_digits(text) { text.parse().ok() } else { None };
    number.ok_or_else(|| Malformed::Line(text.to_owned()))
}

impl fmt::Display for Location {
    /// The location as it can be read back.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let before =
            |f: &mut fmt::Formatter<'_>, module: &Option<String>, file: &Option<String>| {
                if let Some(module) = module {
                    write!(f, "{}!", Quoted(module))?;
                }
                if let Some(file) = file {
                    write!(f, "{}:", QuotedFile(file))?;
                }
                Ok(())
            };
        match self {
            Location::Address(expression) => write!(f, "*{expression}"),
            Location::Line { module, file, line } => {
                before(f, module, file)?;
                match line {
                    Line::At(line) => write!(f, "{line}"),
                    Line::Forward(count) => write!(f, "+{count}"),
                    Line::Back(count) => write!(f, "-{count}"),
                }
            }
            Location::Function { module, file, name } => {
                before(f, module, file)?;
                Quoted(name).fmt(f)
            }
        }
    }
}

/// A file's path, in quotes where it would not be read as one otherwise. The
/// line after it tells it from other forms, so a path may have most signs.
struct QuotedFile<'a>(&'a str);

impl fmt::Display for QuotedFile<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let first = |c: char| c.is_alphabetic() || matches!(c, '_' | '/' | '.');
        let other = |c: char| c.is_whitespace() || matches!(c, ':' | '!' | '\'' | '"');
        if self.0.starts_with(first) && !self.0.contains(other) {
            return f.write_str(self.0);
        }
        Quoted(self.0).fmt(f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn function(module: Option<&str>, file: Option<&str>, name: &str) -> Location {
        let own = |text: Option<&str>| text.map(str::to_owned);
        Location::Function { module: own(module), file: own(file), name: name.into() }
    }

    fn line(module: Option<&str>, file: Option<&str>, line: Line) -> Location {
        let own = |text: Option<&str>| text.map(str::to_owned);
        Location::Line { module: own(module), file: own(file), line }
    }

    #[test]
    fn every_form_of_gdbs_manual_and_modules() {
        let parse =
            |text: &str| Location::parse(text).unwrap_or_else(|why| panic!("{text}: {why}"));
        for (text, want) in [
            ("vfs_read", function(None, None, "vfs_read")),
            (" vfs_read ", function(None, None, "vfs_read")),
            ("'a b'", function(None, None, "a b")),
            ("schedule.isra.0", function(None, None, "schedule.isra.0")),
            ("core::fmt::write", function(None, None, "core::fmt::write")),
            ("fs/inode.c:init_once", function(None, Some("fs/inode.c"), "init_once")),
            ("hgfs!HgfsInit", function(Some("hgfs"), None, "HgfsInit")),
            ("hgfs!main.c:init", function(Some("hgfs"), Some("main.c"), "init")),
            ("fs/read_write.c:451", line(None, Some("fs/read_write.c"), Line::At(451))),
            ("file.c : 12", line(None, Some("file.c"), Line::At(12))),
            ("'my file.c':12", line(None, Some("my file.c"), Line::At(12))),
            ("\"a:b.c\":12", line(None, Some("a:b.c"), Line::At(12))),
            ("drm-mm.c:7", line(None, Some("drm-mm.c"), Line::At(7))),
            ("hgfs!main.c:12", line(Some("hgfs"), Some("main.c"), Line::At(12))),
            ("42", line(None, None, Line::At(42))),
            ("+3", line(None, None, Line::Forward(3))),
            ("- 3", line(None, None, Line::Back(3))),
            ("-source a.c -line 3", line(None, Some("a.c"), Line::At(3))),
            ("-l +3", line(None, None, Line::Forward(3))),
            ("-func f -s 'a b.c'", function(None, Some("a b.c"), "f")),
        ] {
            assert_eq!(parse(text), want, "{text}");
        }
    }

    #[test]
    fn addresses_are_expressions() {
        let shown = |text: &str| match Location::parse(text) {
            Ok(Location::Address(expression)) => expression.to_string(),
            other => panic!("{text}: {other:?}"),
        };
        for (text, want) in [
            ("*0x10", "0x10"),
            ("* &vfs_read + 010", "(vfs_read + 0x8)"),
            ("*vfs_read+4*2-1", "((vfs_read + (0x4 * 0x2)) - 0x1)"),
            ("*(1+2)*3", "((0x1 + 0x2) * 0x3)"),
            ("*-$rip", "(-$rip)"),
            ("$rsp+8", "($rsp + 0x8)"),
            ("vfs_read+0x10", "(vfs_read + 0x10)"),
            ("*hgfs!init - 'odd name'", "(hgfs!init - 'odd name')"),
        ] {
            assert_eq!(shown(text), want, "{text}");
        }
    }

    #[test]
    fn a_path_is_written_as_it_is_typed() {
        let location = Location::parse("'/b/linux-6.1/fs/a+b.c' : 12").unwrap();
        assert_eq!(location.to_string(), "/b/linux-6.1/fs/a+b.c:12");
        assert_eq!(Location::parse("'a b.c':12").unwrap().to_string(), "'a b.c':12");
    }

    #[test]
    fn what_is_wrong_is_said() {
        let why = |text: &str| Location::parse(text).unwrap_err().to_string();
        assert!(why(" ").starts_with("a location is missing"));
        assert!(why("file.c:").starts_with("after 'file.c:' a line or a function is missing"));
        assert!(why(":12").starts_with("before ':12' the file is missing"));
        assert_eq!(why("'abc").as_str(), "the ' before 'abc' is not closed");
        assert!(why("vfs_read if 1").starts_with("'vfs_read if 1' is no name"));
        assert!(why("99999999999").contains("is no line number"));
        assert!(why("-zork 1").starts_with("'-zork' is none of"));
        assert!(why("-line").starts_with("'-line' needs one value"));
        assert!(why("-function f -line 3").contains("two places"));
        assert!(why("*1 +").starts_with("'' is not understood"));
        assert!(why("*1 2").starts_with("'2' is not understood"));
        assert!(why("**p").contains("memory"));
        assert!(why("*&5").contains("is not understood"));
        assert!(why("*12ab").starts_with("'12ab' is not understood"));
        assert_eq!(why(&format!("*{}1", "(".repeat(5000))), "the address is nested too deep");
        assert_eq!(why(&format!("*{}1", "-".repeat(5000))), "the address is nested too deep");
    }

    proptest! {
        #[test]
        fn any_text_gets_an_answer(text in "\\PC*") {
            let _ = Location::parse(&text);
        }

        #[test]
        fn what_is_read_can_be_written_and_read_again(
            text in "(\\*|hgfs!)?[a-c$('\"&0-9x +*:./!-]{0,14}"
        ) {
            if let Ok(location) = Location::parse(&text) {
                let written = location.to_string();
                prop_assert_eq!(Location::parse(&written), Ok(location), "{}", written);
            }
        }
    }
}
