//! Text for people: sizes, times and bytes in a form that can be read.

use std::path::PathBuf;
use std::time::Duration;

/// A byte count in three significant figures at most: `504 B`, `11.2 kB`.
pub fn bytes(count: u64) -> String {
    match count {
        0..1_000 => format!("{count} B"),
        1_000..1_000_000 => format!("{:.1} kB", count as f64 / 1e3),
        _ => format!("{:.1} MB", count as f64 / 1e6),
    }
}

/// A duration as `41 ms`, `1.2 s` or `3 min 20 s`.
pub fn duration(time: Duration) -> String {
    let ms = time.as_millis();
    match ms {
        0..1_000 => format!("{ms} ms"),
        1_000..60_000 => format!("{:.1} s", time.as_secs_f64()),
        _ => format!("{} min {} s", time.as_secs() / 60, time.as_secs() % 60),
    }
}

/// Guest or file text made safe to print in one line: control characters are
/// replaced, so that nothing from outside can move the cursor.
pub fn printable(text: &str) -> String {
    text.chars().map(|c| if c.is_control() { '·' } else { c }).collect()
}

/// Bytes as lower-case hexadecimal, two digits each.
pub fn hex(bytes: &[u8]) -> String {
    use std::fmt::Write;
    let mut text = String::with_capacity(bytes.len() * 2);
    for byte in bytes {
        let _ = write!(text, "{byte:02x}");
    }
    text
}

/// `~/` is the user's directory, as the shell and gdb have it.
pub fn at_home(path: &str) -> PathBuf {
    match (path.strip_prefix("~/"), std::env::var_os("HOME")) {
        (Some(rest), Some(home)) => PathBuf::from(home).join(rest),
        _ => PathBuf::from(path),
    }
}

/// The lines of a text with their numbers, from 1: one that ends in a backslash
/// goes on in the next, as in the files of gdb and the shell.
pub fn logical_lines(text: &str) -> Vec<(usize, String)> {
    let mut lines: Vec<(usize, String)> = Vec::new();
    let mut goes_on = false;
    for (number, line) in (1..).zip(text.lines()) {
        let line = line.strip_suffix('\r').unwrap_or(line);
        let (part, more) = match line.trim_end().strip_suffix('\\') {
            Some(part) => (part, true),
            None => (line, false),
        };
        match lines.last_mut().filter(|_| goes_on) {
            Some((_, last)) => last.push_str(part),
            None => lines.push((number, part.to_owned())),
        }
        goes_on = more;
    }
    lines
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn figures_are_short() {
        assert_eq!(bytes(504), "504 B");
        assert_eq!(bytes(11_240), "11.2 kB");
        assert_eq!(bytes(633_000_000), "633.0 MB");
        assert_eq!(duration(Duration::from_millis(41)), "41 ms");
        assert_eq!(duration(Duration::from_millis(1_234)), "1.2 s");
        assert_eq!(duration(Duration::from_secs(200)), "3 min 20 s");
    }

    #[test]
    fn escape_sequences_lose_their_teeth() {
        assert_eq!(printable("a\x1b[2Jb\r\n"), "a·[2Jb··");
        assert_eq!(hex(&[0, 0xcc]), "00cc");
    }

    #[test]
    fn a_line_goes_on_after_a_backslash() {
        let lines = logical_lines("a \\\n b\\ \r\nc\n\nd \\");
        let want = [(1, "a  bc"), (4, ""), (5, "d ")];
        assert_eq!(lines, want.map(|(number, text)| (number, text.to_owned())));
        assert!(logical_lines("").is_empty());
    }
}
