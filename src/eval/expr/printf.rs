//! `"format",ARGS` as in gdb's `printf` and `dprintf`: C's conversions of
//! integers, characters, fractions and pointers, and `%s` of a string in the
//! guest. Nothing is called, so there is no `%n` and no `*`.

use crate::{
    base::{memory::Gap, text::printable},
    eval::{
        ctype::Shape,
        expr::{
            arith::Number,
            assign::Overlay,
            error::ExprError,
            evaluate::{self, Evaluator, Operand, Scene},
            literal,
        },
        location::{Absent, Context},
        typed::Typed,
    },
};
use std::{cell::RefCell, ops::Range};

/// Characters of a string of the guest that are printed (gdb's `print elements`).
const MOST_OF_STRING: usize = 200;
/// The widest field; wider ones are a slip.
const WIDEST: usize = 1000;

/// A format and the expressions it prints.
#[derive(Clone, Debug, PartialEq)]
pub struct Printf {
    pieces: Vec<Piece>,
    args: Vec<Arg>,
}

#[derive(Clone, Debug, PartialEq)]
struct Arg {
    text: String,
    at: Range<usize>,
    conversion: Conversion,
}

#[derive(Clone, Debug, PartialEq)]
enum Piece {
    Text(String),
    /// The next argument.
    Value,
}

/// What stands behind a `%`.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
struct Conversion {
    left: bool,
    zeros: bool,
    plus: bool,
    space: bool,
    alternate: bool,
    width: usize,
    precision: Option<usize>,
    /// Bytes of an integer.
    size: u64,
    letter: char,
}

impl Printf {
    /// Reads `"format",ARGS`; errors point into the text.
    ///
    /// # Errors
    /// When it is none, or the arguments are too few or too many.
    pub fn parse(text: &str) -> Result<Printf, ExprError> {
        let fail = |at: usize, message: &str| Err(ExprError::new(at..text.len(), message));
        let begin = text.len() - text.trim_start().len();
        let Some(mut rest) = text[begin..].strip_prefix('"') else {
            return fail(begin, "a format in double quotes is wanted");
        };
        let mut bytes = Vec::new();
        loop {
            if let Some(after) = rest.strip_prefix('"') {
                rest = after;
                break;
            }
            let Some((more, after)) = literal::character(rest) else {
                return fail(begin, "the format does not end: a '\"' is missing");
            };
            bytes.extend(more);
            rest = after;
        }
        let format = String::from_utf8_lossy(&bytes).into_owned();
        let (pieces, conversions) = match pieces(&format) {
            Ok(read) => read,
            Err(message) => return fail(begin, &message),
        };
        let at = text.len() - rest.len();
        let places = match rest.trim_start() {
            "" => Vec::new(),
            args if args.starts_with(',') => {
                let first = text.len() - args.len() + 1;
                split(&text[first..]).into_iter().map(|r| r.start + first..r.end + first).collect()
            }
            _ => return fail(at, "a comma is wanted after the format"),
        };
        if places.len() != conversions.len() {
            let (given, wanted) = (places.len(), conversions.len());
            return fail(at, &format!("the format prints {wanted} values, but {given} are given"));
        }
        let arg = |(at, conversion): (Range<usize>, Conversion)| Arg {
            text: text[at.clone()].to_owned(),
            at,
            conversion,
        };
        let args: Vec<Arg> = places.into_iter().zip(conversions).map(arg).collect();
        match args.iter().find(|arg| arg.text.trim().is_empty()) {
            Some(arg) => fail(arg.at.start, "an expression is missing"),
            None => Ok(Printf { pieces, args }),
        }
    }

    /// That every argument is an expression with a value of some use here;
    /// nothing is read.
    ///
    /// # Errors
    /// The first argument that is wrong.
    pub fn check(&self, context: &Context<'_>, scene: &Scene<'_>) -> Result<(), ExprError> {
        self.args.iter().try_for_each(|arg| {
            evaluate::check(context, scene, &arg.text).map_err(|error| arg.shifted(error))
        })
    }

    /// The text.
    ///
    /// # Errors
    /// When an argument has no value; the errors of all are found out, so that
    /// what they miss is read at once.
    pub fn text(&self, context: &Context<'_>, scene: &Scene<'_>) -> Result<String, ExprError> {
        let values: Vec<_> = self.args.iter().map(|arg| arg.text(context, scene)).collect();
        let values = values.into_iter().collect::<Result<Vec<_>, _>>()?;
        Ok(self.put_together(values))
    }

    /// The same, with the reason in the place of a value that is not to be had.
    pub fn text_anyway(&self, context: &Context<'_>, scene: &Scene<'_>) -> String {
        let value = |arg: &Arg| {
            let text = arg.text(context, scene);
            text.unwrap_or_else(|error| format!("<{}>", error.message))
        };
        self.put_together(self.args.iter().map(value).collect())
    }

    fn put_together(&self, values: Vec<String>) -> String {
        let mut values = values.into_iter();
        let piece = |piece: &Piece| match piece {
            Piece::Text(text) => text.clone(),
            Piece::Value => values.next().unwrap_or_default(),
        };
        self.pieces.iter().map(piece).collect()
    }
}

impl Arg {
    fn shifted(&self, error: ExprError) -> ExprError {
        let by = self.at.start;
        ExprError { at: error.at.start + by..error.at.end + by, ..error }
    }

    fn text(&self, context: &Context<'_>, scene: &Scene<'_>) -> Result<String, ExprError> {
        let value = evaluate::evaluate(context, scene, &self.text);
        value.and_then(|value| self.written(context, scene, &value)).map_err(|e| self.shifted(e))
    }

    fn written(
        &self,
        context: &Context<'_>,
        scene: &Scene<'_>,
        value: &Typed,
    ) -> Result<String, ExprError> {
        let overlay = Overlay::new(context.memory);
        let effects = RefCell::new(Vec::new());
        let text = &self.text;
        let evaluator = Evaluator {
            context: *context,
            scene,
            text,
            dry: false,
            overlay: &overlay,
            effects: &effects,
        };
        let whole = 0..text.len();
        if self.conversion.letter != 's' {
            return Ok(self.conversion.number(evaluator.number(value, &whole)?));
        }
        let absent = |why: Absent| ExprError {
            message: why.to_string(),
            at: whole.clone(),
            absent: Some(why),
        };
        // An array that is in no memory has its bytes with it.
        if let (Shape::Array { .. }, None) = (value.ty.shape(context.symbols), value.address()) {
            let bytes = context.raw(value).map_err(absent)?;
            return Ok(self.conversion.string(&bytes));
        }
        let Operand::Pointer { addr, .. } = evaluator.operand(value, &whole)? else {
            return Err(ExprError::new(whole.clone(), "%s prints strings: this is no pointer"));
        };
        if addr == 0 {
            return Ok(self.conversion.string(b"(null)"));
        }
        let most = self.conversion.precision.unwrap_or(MOST_OF_STRING).min(MOST_OF_STRING);
        match context.memory.c_string(crate::base::addr::Addr(addr), most) {
            Ok(text) => Ok(self.conversion.string(text.as_bytes())),
            Err(gap @ Gap::Missing(_)) => Err(absent(Absent::Gap(gap))),
            Err(gap) => Ok(format!("<{gap}>")),
        }
    }
}

impl Conversion {
    fn number(&self, number: Number) -> String {
        let signed = matches!(self.letter, 'd' | 'i');
        let int = number.to_int(self.size, signed).value;
        let bits = int as u128;
        let (sign, digits) = match self.letter {
            'd' | 'i' if int < 0 => ("-", int.unsigned_abs().to_string()),
            'd' | 'i' if self.plus => ("+", int.to_string()),
            'd' | 'i' if self.space => (" ", int.to_string()),
            'd' | 'i' | 'u' => ("", int.to_string()),
            'x' if self.alternate && int != 0 => ("0x", format!("{bits:x}")),
            'X' if self.alternate && int != 0 => ("0X", format!("{bits:X}")),
            'x' => ("", format!("{bits:x}")),
            'X' => ("", format!("{bits:X}")),
            'o' => (if self.alternate { "0" } else { "" }, format!("{bits:o}")),
            'p' => ("0x", format!("{bits:x}")),
            'c' => return self.padded(&printable(&char::from(bits as u8).to_string())),
            letter => {
                let value = number.to_float(8);
                let places = self.precision.unwrap_or(6);
                let text = match letter {
                    'e' => format!("{value:.places$e}"),
                    'g' => format!("{value}"),
                    _ => format!("{value:.places$}"),
                };
                return self.padded(&text);
            }
        };
        // The least count of digits.
        let digits = match self.precision {
            Some(least) => format!("{digits:0>least$}"),
            None => digits,
        };
        if self.zeros && !self.left && self.precision.is_none() {
            let width = self.width.saturating_sub(sign.len());
            return format!("{sign}{digits:0>width$}");
        }
        self.padded(&format!("{sign}{digits}"))
    }

    fn string(&self, bytes: &[u8]) -> String {
        let end = bytes.iter().position(|byte| *byte == 0).unwrap_or(bytes.len());
        let end = self.precision.map_or(end, |most| end.min(most));
        self.padded(&printable(&String::from_utf8_lossy(&bytes[..end])))
    }

    fn padded(&self, text: &str) -> String {
        let width = self.width;
        if self.left { format!("{text:<width$}") } else { format!("{text:>width$}") }
    }
}

/// The pieces of a format, and how its values are written.
fn pieces(format: &str) -> Result<(Vec<Piece>, Vec<Conversion>), String> {
    let (mut pieces, mut conversions) = (Vec::new(), Vec::new());
    let mut text = String::new();
    let mut chars = format.chars().peekable();
    while let Some(c) = chars.next() {
        if c != '%' {
            text.push(c);
            continue;
        }
        if chars.next_if_eq(&'%').is_some() {
            text.push('%');
            continue;
        }
        let mut conversion = Conversion { size: 4, ..Conversion::default() };
        while let Some(flag) = chars.next_if(|c| "-0+ #".contains(*c)) {
            match flag {
                '-' => conversion.left = true,
                '0' => conversion.zeros = true,
                '+' => conversion.plus = true,
                ' ' => conversion.space = true,
                _ => conversion.alternate = true,
            }
        }
        let mut digits = || {
            let mut number = 0_usize;
            while let Some(digit) = chars.next_if(char::is_ascii_digit) {
                number = number * 10 + digit as usize - '0' as usize;
                if number > WIDEST {
                    return Err(format!("a field of more than {WIDEST} columns"));
                }
            }
            Ok((number, chars.next_if_eq(&'.').is_some()))
        };
        let (width, dot) = digits()?;
        conversion.width = width;
        if dot {
            conversion.precision = Some(digits()?.0);
        }
        while let Some(length) = chars.next_if(|c| "hlLqjzt".contains(*c)) {
            conversion.size = match (length, conversion.size) {
                ('h', 2) => 1,
                ('h', _) => 2,
                _ => 8,
            };
        }
        conversion.letter = match chars.next() {
            Some(letter) if "diuxXocspfFgGeE".contains(letter) => {
                if "FGE".contains(letter) {
                    letter.to_ascii_lowercase()
                } else {
                    letter
                }
            }
            Some(other) => {
                return Err(format!(
                    "'%{other}' is no conversion; there are %d %u %x %o %c %s %p %f"
                ));
            }
            None => return Err("the format ends in a '%'; '%%' prints one".into()),
        };
        if conversion.letter == 'p' {
            conversion.size = 8;
        }
        if !text.is_empty() {
            pieces.push(Piece::Text(std::mem::take(&mut text)));
        }
        pieces.push(Piece::Value);
        conversions.push(conversion);
    }
    if !text.is_empty() {
        pieces.push(Piece::Text(text));
    }
    Ok((pieces, conversions))
}

/// The places between commas outside of brackets and quotes.
pub fn split(text: &str) -> Vec<Range<usize>> {
    let (mut places, mut start, mut depth) = (Vec::new(), 0, 0_i32);
    let mut quote: Option<char> = None;
    let mut escaped = false;
    for (at, c) in text.char_indices() {
        match (quote, c) {
            _ if escaped => escaped = false,
            (Some(_), '\\') => escaped = true,
            (Some(open), c) if c == open => quote = None,
            (Some(_), _) => {}
            (None, '"' | '\'') => quote = Some(c),
            (None, '(' | '[' | '{') => depth += 1,
            (None, ')' | ']' | '}') => depth -= 1,
            (None, ',') if depth == 0 => {
                places.push(start..at);
                start = at + 1;
            }
            (None, _) => {}
        }
    }
    places.push(start..text.len());
    places
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        base::{
            addr::Addr,
            memory::{Memory, Sparse},
        },
        eval::expr::kept::Kept,
        symbols::placed::Symbols,
    };
    use proptest::prelude::*;

    fn printed(text: &str) -> Result<String, ExprError> {
        let (symbols, mut memory) = (Symbols::new(), Sparse::new());
        memory.insert(
            Addr(0x1000),
            b"hgfs\x1b\0junk and more of it                                 ",
        );
        memory.insert(Addr(0x1000 + 50), &[b'.'; 300]);
        let context = Context { symbols: &symbols, memory: &memory, frames: &[], cpu: None };
        let current = |_: &Symbols, _: &dyn Memory| Err(Absent::because("nobody"));
        let scene = Scene { depth: 0, current: &current, kept: &Kept::default() };
        Printf::parse(text)?.text(&context, &scene)
    }

    #[test]
    fn conversions_are_cs() {
        for (text, wanted) in [
            (r#""plain\n""#, "plain\n"),
            (
                r#""%d|%5d|%-5d|%05d|%+d|% d", -1, 42, 42, 42, 42, 42"#,
                "-1|   42|42   |00042|+42| 42",
            ),
            (r#""%x %X %#x %08x %o %#o", 255, 255, 255, 255, 8, 8"#, "ff FF 0xff 000000ff 10 010"),
            (r#""%u %lu %hhu %hd", -1, -1, 257, 65537"#, "4294967295 18446744073709551615 1 1"),
            (r#""%d %ld", 0x100000001, 0x100000001"#, "1 4294967297"),
            (r#""%p %c%c 100%%", 4096, 'a', 10"#, "0x1000 a· 100%"),
            (r#""%s|%8s|%-8s|%.2s", "ab", "ab", "ab", "abc""#, "ab|      ab|ab      |ab"),
            (r#""%.3d %f %.1f", 7, 1.5, 2.25"#, "007 1.500000 2.2"),
            (r#""%d %d", (1, 2), 3"#, "2 3"),
            (r#""%s", (char *)0"#, "(null)"),
            (r#""%s", (char *)0x1000"#, "hgfs·"),
        ] {
            assert_eq!(printed(text).as_deref(), Ok(wanted), "{text}");
        }
    }

    #[test]
    fn what_is_wrong_is_pointed_at() {
        for (text, message, at) in [
            ("x", "a format in double quotes", 0),
            (r#""x"#, "does not end", 0),
            (r#""%d""#, "prints 1 values, but 0 are given", 4),
            (r#""x", 1"#, "prints 0 values, but 1 are given", 3),
            (r#""%d %d", 1,"#, "an expression is missing", 11),
            (r#""%y", 1"#, "'%y' is no conversion", 0),
            (r#""%n", 1"#, "'%n' is no conversion", 0),
            (r#""%*d", 1, 2"#, "'%*' is no conversion", 0),
            (r#""%d" 1"#, "a comma is wanted", 4),
            (r#""%d", 1 +"#, "", 9),
            (r#""%s", 1"#, "no pointer", 5),
        ] {
            let error = printed(text).unwrap_err();
            assert!(error.message.contains(message), "{text}: {error}");
            assert_eq!(error.at.start, at, "{text}: {error}");
        }
    }

    proptest! {
        #[test]
        fn any_text_is_answered(text in "\"?[%dsxlp0-9.a\\\\\"',(){} #*+-]{0,40}") {
            let _ = printed(&text);
        }
    }
}
