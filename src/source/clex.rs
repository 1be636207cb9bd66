//! The words of C, for highlighting: a lexer that works line by line, keeps
//! what runs over lines (comments, continued strings) between calls, and
//! accepts any text. It knows no grammar, which is why macros-full kernel
//! code, half an `#if` and assembly all come out sensibly.

/// What a word is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Kind {
    /// A word of the C language, and the kernel's own like `__init`.
    Keyword,
    /// A type's name: built in, ending in `_t`, or after `struct`.
    Type,
    /// A number.
    Number,
    /// A string, or the file of an `#include`.
    String,
    /// A character constant.
    Char,
    /// A comment of either form.
    Comment,
    /// A preprocessor directive's `#word`, and the text of `#error`.
    Preproc,
    /// A name in capitals.
    Macro,
    /// Any other name.
    Ident,
    /// One character that is none of the above.
    Punct,
}

/// A word: bytes `start..end` of its line, always on character boundaries.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Span {
    /// The first byte.
    pub start: u32,
    /// One past the last byte.
    pub end: u32,
    /// What it is.
    pub kind: Kind,
}

/// What the last line left open.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Open {
    #[default]
    Nothing,
    BlockComment,
    /// A `//` comment whose line ended in a backslash.
    LineComment,
    /// A string or character constant continued by a backslash.
    Quoted(u8),
    /// A directive continued by a backslash: a `#` that starts the next line
    /// is no directive.
    Directive,
}

/// Turns lines into words, in the order of the file.
#[derive(Clone, Debug, Default)]
pub struct Lexer {
    open: Open,
}

const KEYWORDS: &[&str] = &[
    "_Alignas",
    "_Alignof",
    "_Generic",
    "_Noreturn",
    "_Static_assert",
    "_Thread_local",
    "__always_inline",
    "__asm__",
    "__attribute__",
    "__cold",
    "__exit",
    "__force",
    "__init",
    "__inline",
    "__iomem",
    "__must_check",
    "__percpu",
    "__rcu",
    "__read_mostly",
    "__user",
    "asm",
    "asmlinkage",
    "auto",
    "break",
    "case",
    "const",
    "continue",
    "default",
    "do",
    "else",
    "enum",
    "extern",
    "for",
    "goto",
    "if",
    "inline",
    "noinline",
    "noinstr",
    "notrace",
    "register",
    "restrict",
    "return",
    "sizeof",
    "static",
    "struct",
    "switch",
    "typedef",
    "typeof",
    "union",
    "volatile",
    "while",
];

const TYPES: &[&str] = &[
    "_Bool", "__be16", "__be32", "__be64", "__le16", "__le32", "__le64", "__s16", "__s32", "__s64",
    "__s8", "__u16", "__u32", "__u64", "__u8", "bool", "char", "double", "float", "int", "long",
    "s16", "s32", "s64", "s8", "short", "signed", "u16", "u32", "u64", "u8", "unsigned", "void",
];

impl Lexer {
    /// At the start of a file.
    pub fn new() -> Lexer {
        Lexer::default()
    }

    /// Appends the words of the next line to `out`. `line` has no line end.
    pub fn line(&mut self, line: &str, out: &mut Vec<Span>) {
        let open = std::mem::take(&mut self.open);
        let mut cursor = Cursor { bytes: line.as_bytes(), at: 0, out };
        let continued = line.ends_with('\\');
        match open {
            Open::BlockComment => self.block_comment(&mut cursor, 0, 0),
            Open::LineComment => self.line_comment(&mut cursor, 0, continued),
            Open::Quoted(quote) => self.quoted(&mut cursor, 0, 0, quote),
            Open::Nothing => self.directive(&mut cursor),
            Open::Directive => {}
        }
        let mut after_tag = false;
        while let Some(byte) = cursor.peek(0) {
            let start = cursor.at;
            let mut is_tag = false;
            match byte {
                b' ' | b'\t' => {
                    cursor.at += 1;
                    continue;
                }
                b'/' if cursor.peek(1) == Some(b'*') => self.block_comment(&mut cursor, start, 2),
                b'/' if cursor.peek(1) == Some(b'/') => {
                    self.line_comment(&mut cursor, start, continued);
                }
                b'"' | b'\'' => self.quoted(&mut cursor, start, 1, byte),
                b'0'..=b'9' => cursor.number(start),
                b'.' if cursor.peek(1).is_some_and(|b| b.is_ascii_digit()) => cursor.number(start),
                _ if is_ident(byte) => is_tag = cursor.word(start, after_tag),
                _ => {
                    cursor.at += 1;
                    cursor.push(start, Kind::Punct);
                }
            }
            after_tag = is_tag;
        }
        if continued && self.open == Open::Nothing {
            self.open = Open::Directive;
        }
    }

    /// `#  word` at the start of a line, with what belongs to it alone.
    fn directive(&mut self, cursor: &mut Cursor<'_>) {
        cursor.skip_while(is_blank);
        let start = cursor.at;
        if cursor.peek(0) != Some(b'#') {
            return;
        }
        cursor.at += 1;
        cursor.skip_while(is_blank);
        let word_start = cursor.at;
        cursor.skip_while(is_ident);
        let word = &cursor.bytes[word_start..cursor.at];
        match word {
            b"include" => {
                cursor.push(start, Kind::Preproc);
                cursor.skip_while(is_blank);
                let file = cursor.at;
                if cursor.peek(0) == Some(b'<') {
                    cursor.skip_while(|b| b != b'>');
                    cursor.at = (cursor.at + 1).min(cursor.bytes.len());
                    cursor.push(file, Kind::String);
                }
            }
            // Free text, often with an apostrophe.
            b"error" | b"warning" => {
                cursor.at = cursor.bytes.len();
                cursor.push(start, Kind::Preproc);
            }
            _ => cursor.push(start, Kind::Preproc),
        }
    }

    fn block_comment(&mut self, cursor: &mut Cursor<'_>, start: usize, skip: usize) {
        cursor.at += skip;
        match cursor.bytes[cursor.at..].windows(2).position(|pair| pair == b"*/") {
            Some(end) => cursor.at += end + 2,
            None => {
                cursor.at = cursor.bytes.len();
                self.open = Open::BlockComment;
            }
        }
        cursor.push(start, Kind::Comment);
    }

    fn line_comment(&mut self, cursor: &mut Cursor<'_>, start: usize, continued: bool) {
        cursor.at = cursor.bytes.len();
        cursor.push(start, Kind::Comment);
        if continued {
            self.open = Open::LineComment;
        }
    }

    /// A string or character constant whose opening quote, if it is on this
    /// line, is `skip` bytes long.
    fn quoted(&mut self, cursor: &mut Cursor<'_>, start: usize, skip: usize, quote: u8) {
        cursor.at += skip;
        let kind = if quote == b'"' { Kind::String } else { Kind::Char };
        while let Some(byte) = cursor.peek(0) {
            cursor.at += 1;
            if byte == quote {
                return cursor.push(start, kind);
            }
            if byte == b'\\' {
                if cursor.peek(0).is_none() {
                    self.open = Open::Quoted(quote);
                } else {
                    cursor.at += 1;
                }
            }
        }
        cursor.push(start, kind);
    }
}

struct Cursor<'a> {
    bytes: &'a [u8],
    at: usize,
    out: &'a mut Vec<Span>,
}

impl Cursor<'_> {
    fn peek(&self, ahead: usize) -> Option<u8> {
        self.bytes.get(self.at + ahead).copied()
    }

    fn skip_while(&mut self, wanted: impl Fn(u8) -> bool) {
        while self.peek(0).is_some_and(&wanted) {
            self.at += 1;
        }
    }

    fn push(&mut self, start: usize, kind: Kind) {
        if start < self.at {
            self.out.push(Span { start: start as u32, end: self.at as u32, kind });
        }
    }

    /// A number by the rule of the standard (6.4.8, "preprocessing number"):
    /// letters, digits, dots, and a sign after an exponent.
    fn number(&mut self, start: usize) {
        let hex = self.peek(0) == Some(b'0') && matches!(self.peek(1), Some(b'x' | b'X'));
        let mut last = 0;
        while let Some(byte) = self.peek(0) {
            let sign_of_exponent = matches!(byte, b'+' | b'-')
                && if hex { matches!(last, b'p' | b'P') } else { matches!(last, b'e' | b'E') };
            if !(byte == b'.' || is_ident(byte) || sign_of_exponent) {
                break;
            }
            last = byte;
            self.at += 1;
        }
        self.push(start, Kind::Number);
    }

    /// A name; gives whether the next name is that of a type.
    fn word(&mut self, start: usize, after_tag: bool) -> bool {
        self.skip_while(is_ident);
        // Bytes come from a `str` and a word ends before an ASCII byte.
        let word = std::str::from_utf8(&self.bytes[start..self.at]).unwrap_or_default();
        let kind = if KEYWORDS.binary_search(&word).is_ok() {
            Kind::Keyword
        } else if after_tag || TYPES.binary_search(&word).is_ok() || word.ends_with("_t") {
            Kind::Type
        } else if is_macro(word) {
            Kind::Macro
        } else {
            Kind::Ident
        };
        self.push(start, kind);
        matches!(word, "struct" | "union" | "enum")
    }
}

fn is_blank(byte: u8) -> bool {
    matches!(byte, b' ' | b'\t')
}

/// Bytes over 0x7f belong to names, so that a word never ends inside a
/// character.
fn is_ident(byte: u8) -> bool {
    byte == b'_' || byte == b'$' || byte.is_ascii_alphanumeric() || byte >= 0x80
}

fn is_macro(word: &str) -> bool {
    word.len() > 1
        && word.bytes().any(|b| b.is_ascii_uppercase())
        && word.bytes().all(|b| b == b'_' || b.is_ascii_uppercase() || b.is_ascii_digit())
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn words(source: &str) -> Vec<(&str, Kind)> {
        let mut lexer = Lexer::new();
        let mut found = Vec::new();
        for line in source.lines() {
            let mut spans = Vec::new();
            lexer.line(line, &mut spans);
            found.extend(spans.iter().map(|s| (&line[s.start as usize..s.end as usize], s.kind)));
        }
        found
    }

    fn of(source: &str, kind: Kind) -> Vec<&str> {
        words(source).into_iter().filter(|w| w.1 == kind).map(|w| w.0).collect()
    }

    #[test]
    fn the_word_lists_are_sorted_for_binary_search() {
        assert!(KEYWORDS.is_sorted() && TYPES.is_sorted());
    }

    #[test]
    fn a_line_of_kernel_c() {
        use Kind::*;
        assert_eq!(
            words("static struct file *f = GFP_KERNEL + 0x1fUL; // x"),
            [
                ("static", Keyword),
                ("struct", Keyword),
                ("file", Type),
                ("*", Punct),
                ("f", Ident),
                ("=", Punct),
                ("GFP_KERNEL", Macro),
                ("+", Punct),
                ("0x1fUL", Number),
                (";", Punct),
                ("// x", Comment),
            ]
        );
    }

    #[test]
    fn comments_run_over_lines_and_end() {
        assert_eq!(of("a /* b\n * \"c\n */ d /**/ e", Kind::Ident), ["a", "d", "e"]);
        assert_eq!(of("// a \\\nb\nc", Kind::Ident), ["c"]);
        assert_eq!(of("/*/ a */ b", Kind::Ident), ["b"]);
    }

    #[test]
    fn strings_and_characters_end_at_their_quote_or_line() {
        assert_eq!(of(r#"f("a\"b", 'c', '\'', "d)"#, Kind::String), [r#""a\"b""#, "\"d)"]);
        assert_eq!(of(r"f('c', '\'')", Kind::Char), ["'c'", r"'\''"]);
        assert_eq!(of("\"a\\\nb\" c", Kind::Ident), ["c"]);
        assert_eq!(of("don't\nx", Kind::Ident), ["don", "x"]);
    }

    #[test]
    fn directives_only_start_a_line() {
        assert_eq!(
            of("#include <linux/fs.h>\n#  define X 1", Kind::Preproc),
            ["#include", "#  define"]
        );
        assert_eq!(of("#include <linux/fs.h>", Kind::String), ["<linux/fs.h>"]);
        assert_eq!(of("#include \"a.h\"", Kind::String), ["\"a.h\""]);
        assert_eq!(
            of("#define S(x) \\\n  #x \\\n  #y\n#undef S", Kind::Preproc),
            ["#define", "#undef"]
        );
        assert_eq!(of("#error don't /* x", Kind::Preproc), ["#error don't /* x"]);
    }

    #[test]
    fn numbers_in_all_forms() {
        let source = "1 0x10ull 1.5e-3f .5 0x1p-2 1-2 0xe+1";
        assert_eq!(
            of(source, Kind::Number),
            ["1", "0x10ull", "1.5e-3f", ".5", "0x1p-2", "1", "2", "0xe", "1"]
        );
    }

    #[test]
    fn ten_thousand_lines_take_milliseconds() {
        let source =
            "\tif (unlikely(!rq->nr_running)) /* nothing */ return \"idle\";\n".repeat(11_000);
        let start = std::time::Instant::now();
        let count = words(&source).len();
        assert_eq!(count, 11_000 * 15);
        assert!(start.elapsed().as_millis() < 500, "{:?}", start.elapsed());
    }

    proptest! {
        #[test]
        fn any_text_gives_words_in_order_and_in_the_line(
            lines in prop::collection::vec("[a-z0-9_'\"/*#\\\\ é∀<.+\t-]{0,40}", 0..12),
        ) {
            let mut lexer = Lexer::new();
            for line in &lines {
                let mut spans = Vec::new();
                lexer.line(line, &mut spans);
                let mut at = 0;
                for span in spans {
                    prop_assert!(span.start as usize >= at && span.start < span.end);
                    at = span.end as usize;
                    prop_assert!(line.get(span.start as usize..at).is_some());
                }
            }
        }

        #[test]
        fn nothing_but_blanks_is_left_out(line in any::<String>()) {
            let line: String = line.chars().filter(|c| !c.is_control()).collect();
            let mut spans = Vec::new();
            Lexer::new().line(&line, &mut spans);
            let mut covered = vec![false; line.len()];
            for span in spans {
                covered[span.start as usize..span.end as usize].fill(true);
            }
            for (i, byte) in line.bytes().enumerate() {
                prop_assert!(covered[i] || is_blank(byte), "{line:?} at {i}");
            }
        }
    }
}
