//! Characters and strings in C's quotes (gdb/valprint.c, `generic_printstr`
//! and what it calls).

use super::Limits;

/// A character as C writes it, in single quotes.
pub(super) fn quoted_char(byte: u8) -> String {
    let mut out = String::from("'");
    push(&mut out, byte, b'\'');
    out.push('\'');
    out
}

/// Text in double quotes. Long runs of one character stand outside as
/// `'\000' <repeats 12 times>`; dots after it say that it goes on.
pub(super) fn quoted(bytes: &[u8], goes_on: bool, limits: &Limits) -> String {
    let bytes = match bytes.split_last() {
        Some((0, before)) if !goes_on => before,
        _ => bytes,
    };
    if bytes.is_empty() {
        return if goes_on { "\"\"..." } else { "\"\"" }.to_string();
    }
    let mut out = String::new();
    let mut shown = 0;
    let mut inside = false;
    let mut rest = bytes;
    while let Some(&byte) = rest.first()
        && shown < limits.elements
    {
        let run = rest.iter().take_while(|next| **next == byte).count();
        rest = &rest[run..];
        shown += run;
        if run > limits.repeats {
            out.push_str(match (inside, out.is_empty()) {
                (true, _) => "\", ",
                (false, true) => "",
                (false, false) => ", ",
            });
            out.push('\'');
            push(&mut out, byte, b'\'');
            out.push_str(&format!("' <repeats {run} times>"));
            inside = false;
            continue;
        }
        if !inside {
            out.push_str(if out.is_empty() { "\"" } else { ", \"" });
            inside = true;
        }
        for _ in 0..run {
            push(&mut out, byte, b'"');
        }
    }
    if inside {
        out.push('"');
    }
    if goes_on || !rest.is_empty() {
        out.push_str("...");
    }
    out
}

/// Adds one byte as C writes it inside `quote`.
fn push(out: &mut String, byte: u8, quote: u8) {
    let letter = match byte {
        0x07 => 'a',
        0x08 => 'b',
        0x0c => 'f',
        b'\n' => 'n',
        b'\r' => 'r',
        b'\t' => 't',
        0x0b => 'v',
        b' '..=b'~' => {
            if byte == quote || byte == b'\\' {
                out.push('\\');
            }
            return out.push(char::from(byte));
        }
        _ => return out.push_str(&format!("\\{byte:03o}")),
    };
    out.extend(['\\', letter]);
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn text(bytes: &[u8]) -> String {
        quoted(bytes, false, &Limits::default())
    }

    #[test]
    fn characters_are_escaped_as_in_c() {
        assert_eq!(quoted_char(b'a'), "'a'");
        assert_eq!(quoted_char(b'\''), r"'\''");
        assert_eq!(quoted_char(b'"'), "'\"'");
        assert_eq!(quoted_char(0), r"'\000'");
        assert_eq!(quoted_char(0xff), r"'\377'");
    }

    #[test]
    fn strings_lose_one_nul_and_fold_runs() {
        assert_eq!(text(b"hi\n\"\x01\0"), r#""hi\n\"\001""#);
        assert_eq!(text(b""), "\"\"");
        assert_eq!(text(b"\0"), "\"\"");
        assert_eq!(text(b"ab\0\0"), r#""ab\000""#);
        assert_eq!(text(b"\x0012"), r#""\00012""#);
        assert_eq!(
            text(&[b"ab".as_slice(), &[0; 13]].concat()),
            r#""ab", '\000' <repeats 12 times>"#
        );
        assert_eq!(quoted(b"abc", true, &Limits::default()), "\"abc\"...");
        let long: Vec<u8> = (0..300).map(|i| b'a' + (i % 26) as u8).collect();
        let shown = text(&long);
        assert_eq!(shown.len(), 200 + 5);
        assert!(shown.ends_with("\"..."));
    }

    proptest! {
        #[test]
        fn any_bytes_are_quoted(bytes in prop::collection::vec(any::<u8>(), 0..400), on: bool) {
            let text = quoted(&bytes, on, &Limits::default());
            prop_assert!(text.is_ascii() && text.chars().all(|c| !c.is_control()));
        }
    }
}
