//! VMware's file of one virtual machine (`.vmx`): lines `key = "value"`.
//!
//! There is no published grammar. What is read here is what VMware writes and
//! what libvirt's driver for it takes (src/vmx/vmx.c): keys in any case, values
//! in quotes with `|22` for a quote and `|7c` for a bar, comments after `#`,
//! and a first line `.encoding = "windows-1252"` that says what the bytes of
//! the others mean. Keys and the values that matter here are ASCII, so the bytes
//! are left as they are: a line that is not changed keeps each of them, its end
//! (`\r\n` on Windows) included.

use std::{borrow::Cow, collections::BTreeMap, ops::Range};
use thiserror::Error;

/// More bytes than any such file has: real ones have 2 to 20 kB.
pub const MOST_BYTES: usize = 1 << 20;

/// More lines than any such file has.
const MOST_LINES: usize = 20_000;

/// Why bytes are not the file of a virtual machine.
#[derive(Clone, Debug, Error, PartialEq, Eq)]
pub enum VmxError {
    /// Too large.
    #[error("it is larger than a .vmx ever is (1 MB)")]
    TooLarge,
    /// Not text in a superset of ASCII.
    #[error("it is no text file; wanted is the .vmx, not a disk (.vmdk) or a snapshot")]
    NotText,
    /// Text of something else.
    #[error(
        "it is no .vmx: it has no config.version; wanted is the file with lines such as memsize = \"4096\""
    )]
    NotVmx,
    /// VMware has encrypted what is in it.
    #[error(
        "this virtual machine is encrypted (line {line}), so that only VMware can change the file; add the port there: Settings, Add, Serial Port, Use socket (named pipe), This end is the server, Yield CPU on poll"
    )]
    Encrypted {
        /// The line that shows it.
        line: usize,
    },
    /// A value that can't be written into the file.
    #[error("'{0}' can't be written into this file; give a path of plain letters (--socket)")]
    NotPlain(String),
}

/// The file, every byte of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Vmx {
    lines: Vec<Line>,
    /// How new lines end.
    end: &'static [u8],
}

#[derive(Clone, Debug, PartialEq, Eq)]
struct Line {
    /// With what ends it.
    bytes: Vec<u8>,
    what: What,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum What {
    /// A comment, or nothing.
    Nothing,
    Entry {
        /// In lower case.
        key: String,
        /// Where the value is in the line, without its quotes.
        value: Range<usize>,
        quoted: bool,
    },
    /// Something else.
    Strange,
}

/// A key that is there more than once.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Duplicate {
    /// In lower case.
    pub key: String,
    /// The numbers of its lines, from 1.
    pub lines: Vec<usize>,
}

impl Vmx {
    /// Takes a file apart.
    ///
    /// # Errors
    /// It is no such file, or an encrypted one.
    pub fn parse(bytes: &[u8]) -> Result<Vmx, VmxError> {
        if bytes.len() > MOST_BYTES {
            return Err(VmxError::TooLarge);
        }
        if bytes.contains(&0) {
            return Err(VmxError::NotText);
        }
        let mut lines: Vec<Line> = Vec::new();
        for (index, line) in bytes.split_inclusive(|&byte| byte == b'\n').enumerate() {
            if index == MOST_LINES {
                return Err(VmxError::TooLarge);
            }
            lines.push(Line { bytes: line.to_vec(), what: what(line, index == 0) });
        }
        let windows = lines.iter().filter(|line| line.bytes.ends_with(b"\r\n")).count();
        let end: &[u8] = if windows * 2 > lines.len() { b"\r\n" } else { b"\n" };
        let vmx = Vmx { lines, end };
        // `encryption.data` holds all other lines, `encryption.keySafe` its keys.
        for key in ["encryption.data", "encryption.keysafe"] {
            if let Some(&line) = vmx.lines_of(key).first() {
                return Err(VmxError::Encrypted { line });
            }
        }
        // VMware wants both, but people write files by hand that have one.
        let is_vmx =
            ["config.version", "virtualhw.version"].iter().any(|key| vmx.get(key).is_some());
        if is_vmx { Ok(vmx) } else { Err(VmxError::NotVmx) }
    }

    /// The bytes of the file.
    pub fn bytes(&self) -> Vec<u8> {
        self.lines.iter().flat_map(|line| line.bytes.iter().copied()).collect()
    }

    /// The value of a key, in any case, with what is written for quotes and
    /// bars put back. Bytes that are not UTF-8 are replaced.
    pub fn get(&self, key: &str) -> Option<String> {
        let key = key.to_ascii_lowercase();
        self.lines.iter().rev().find_map(|line| match &line.what {
            What::Entry { key: own, value, .. } if *own == key => {
                Some(unescaped(&line.bytes[value.clone()]))
            }
            _ => None,
        })
    }

    /// Whether a value says yes.
    pub fn is_true(&self, key: &str) -> bool {
        self.get(key).is_some_and(|value| value.trim().eq_ignore_ascii_case("true"))
    }

    /// Gives a key a value: in its own line if it has one, else in a new one at
    /// the end. Returns whether that changed anything.
    ///
    /// # Errors
    /// A value with control characters, or with letters beyond ASCII where the
    /// file is not in UTF-8.
    pub fn set(&mut self, key: &str, value: &str) -> Result<bool, VmxError> {
        let is_utf8 = self.get(".encoding").is_none_or(|name| name.eq_ignore_ascii_case("utf-8"));
        if value.chars().any(char::is_control) || !(value.is_ascii() || is_utf8) {
            return Err(VmxError::NotPlain(value.to_owned()));
        }
        if self.get(key).as_deref() == Some(value) {
            return Ok(false);
        }
        let wanted = key.to_ascii_lowercase();
        let text = escaped(value);
        let mut found = false;
        for line in &mut self.lines {
            if let What::Entry { key: own, value, quoted } = &mut line.what
                && *own == wanted
            {
                let new = if *quoted { text.clone() } else { format!("\"{text}\"") };
                let start = value.start + usize::from(!*quoted);
                line.bytes.splice(value.clone(), new.bytes());
                *value = start..start + text.len();
                (*quoted, found) = (true, true);
            }
        }
        if !found {
            if let Some(last) = self.lines.last_mut().filter(|last| !last.bytes.ends_with(b"\n")) {
                last.bytes.extend_from_slice(self.end);
            }
            let mut bytes = format!("{key} = \"{text}\"").into_bytes();
            bytes.extend_from_slice(self.end);
            let what = what(&bytes, false);
            self.lines.push(Line { bytes, what });
        }
        Ok(true)
    }

    /// Keys that are there more than once.
    pub fn duplicates(&self) -> Vec<Duplicate> {
        let mut seen: BTreeMap<&str, Vec<usize>> = BTreeMap::new();
        for (number, line) in (1..).zip(&self.lines) {
            if let What::Entry { key, .. } = &line.what {
                seen.entry(key).or_default().push(number);
            }
        }
        let several = seen.into_iter().filter(|(_, lines)| lines.len() > 1);
        several.map(|(key, lines)| Duplicate { key: key.to_owned(), lines }).collect()
    }

    /// The numbers of lines that are neither a comment nor `key = "value"`.
    pub fn strange_lines(&self) -> Vec<usize> {
        let numbered = (1..).zip(&self.lines);
        numbered.filter(|(_, line)| line.what == What::Strange).map(|(number, _)| number).collect()
    }

    fn lines_of(&self, wanted: &str) -> Vec<usize> {
        let is = |line: &Line| matches!(&line.what, What::Entry { key, .. } if key == wanted);
        (1..).zip(&self.lines).filter(|(_, line)| is(line)).map(|(number, _)| number).collect()
    }
}

/// What a line is; a byte order mark may be before the first.
fn what(line: &[u8], first: bool) -> What {
    let skip = if first && line.starts_with(b"\xef\xbb\xbf") { 3 } else { 0 };
    let at = |from: usize| from + line[from..].iter().take_while(|b| is_blank(**b)).count();
    // The end of the line is not a part of an empty value.
    let on = |from: usize| from + line[from..].iter().take_while(|b| b" \t".contains(b)).count();
    let start = at(skip);
    if start == line.len() || line[start] == b'#' {
        return What::Nothing;
    }
    let is_key = |b: &u8| b.is_ascii_alphanumeric() || b"._:-".contains(b);
    let key_end = start + line[start..].iter().take_while(|b| is_key(b)).count();
    let equals = on(key_end);
    if key_end == start || line.get(equals) != Some(&b'=') {
        return What::Strange;
    }
    let key = String::from_utf8_lossy(&line[start..key_end]).to_ascii_lowercase();
    let from = on(equals + 1);
    if line.get(from) != Some(&b'"') {
        // Without quotes it goes to the end of the line.
        let rest = &line[from..];
        let len = rest.iter().rposition(|b| !is_blank(*b)).map_or(0, |last| last + 1);
        let value = from..from + len;
        // What has a quote inside is nothing that could be changed safely.
        return match line[value.clone()].contains(&b'"') {
            true => What::Strange,
            false => What::Entry { key, value, quoted: false },
        };
    }
    let Some(len) = line[from + 1..].iter().position(|&b| b == b'"') else { return What::Strange };
    let value = from + 1..from + 1 + len;
    let rest = at(value.end + 1);
    match line.get(rest) {
        None | Some(b'#') => What::Entry { key, value, quoted: true },
        Some(_) => What::Strange,
    }
}

fn is_blank(byte: u8) -> bool {
    matches!(byte, b' ' | b'\t' | b'\r' | b'\n')
}

/// A value as it stands between the quotes.
fn escaped(value: &str) -> String {
    value.replace('|', "|7c").replace('"', "|22")
}

/// The reverse, for every `|XX`.
fn unescaped(bytes: &[u8]) -> String {
    let mut out: Cow<'_, [u8]> = Cow::Borrowed(bytes);
    let mut at = 0;
    while let Some(bar) = out[at..].iter().position(|&b| b == b'|').map(|p| at + p) {
        let digits = out.get(bar + 1..bar + 3).and_then(|two| std::str::from_utf8(two).ok());
        let plain = digits.filter(|two| two.bytes().all(|b| b.is_ascii_hexdigit()));
        if let Some(byte) = plain.and_then(|two| u8::from_str_radix(two, 16).ok()) {
            out.to_mut().splice(bar..bar + 3, [byte]);
        }
        at = bar + 1;
    }
    String::from_utf8_lossy(&out).into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const FILE: &str = "#!/usr/bin/vmware\r\n.encoding = \"windows-1252\"\r\nconfig.version = \"8\"\r\n  Serial0.Present=\"true\"  # a comment\r\nserial0.fileName = /tmp/plain\r\ndisplayName = \"a |22b|22 |7c c\"\r\nwhat is this\r\n";

    fn file() -> Vmx {
        Vmx::parse(FILE.as_bytes()).unwrap()
    }

    #[test]
    fn values_are_found_however_they_are_written() {
        let vmx = file();
        assert_eq!(vmx.get("CONFIG.version").as_deref(), Some("8"));
        assert!(vmx.is_true("serial0.present"));
        assert_eq!(vmx.get("serial0.fileName").as_deref(), Some("/tmp/plain"));
        assert_eq!(vmx.get("displayname").as_deref(), Some("a \"b\" | c"));
        assert_eq!(vmx.get("serial1.present"), None);
        assert_eq!(vmx.strange_lines(), [7]);
        assert_eq!(vmx.duplicates(), []);
    }

    #[test]
    fn a_change_leaves_every_other_byte() {
        let mut vmx = file();
        assert_eq!(vmx.set("serial0.present", "FALSE"), Ok(true));
        assert_eq!(vmx.set("SERIAL0.fileName", "/tmp/a\"b|c"), Ok(true));
        assert_eq!(vmx.set("serial1.present", "TRUE"), Ok(true));
        assert_eq!(vmx.set("serial1.present", "TRUE"), Ok(false));
        let text = String::from_utf8(vmx.bytes()).unwrap();
        let want =
            FILE.replace("\"true\"", "\"FALSE\"").replace("/tmp/plain", "\"/tmp/a|22b|7cc\"")
                + "serial1.present = \"TRUE\"\r\n";
        assert_eq!(text, want);
        assert_eq!(vmx.get("serial0.filename").as_deref(), Some("/tmp/a\"b|c"));
        assert_eq!(Vmx::parse(text.as_bytes()).unwrap(), vmx);
    }

    #[test]
    fn an_empty_value_is_filled_in_its_line() {
        for line in ["memsize =\n", "memsize = \r\n", "memsize = \"\"\n", "memsize="] {
            let mut vmx = Vmx::parse(format!("config.version = \"8\"\n{line}").as_bytes()).unwrap();
            assert_eq!(vmx.get("memsize").as_deref(), Some(""));
            vmx.set("memsize", "512").unwrap();
            let text = String::from_utf8(vmx.bytes()).unwrap();
            let last = text.lines().last().unwrap();
            assert!(last.starts_with("memsize") && last.ends_with("\"512\""), "{text:?}");
        }
    }

    #[test]
    fn a_last_line_without_an_end_gets_one() {
        let mut vmx = Vmx::parse(b"config.version = \"8\"\nmemsize = \"512\"").unwrap();
        vmx.set("serial0.present", "TRUE").unwrap();
        assert!(vmx.bytes().ends_with(b"\"512\"\nserial0.present = \"TRUE\"\n"));
    }

    #[test]
    fn what_is_none_is_refused_with_words() {
        let parse = |bytes: &[u8]| Vmx::parse(bytes).map(|_| ()).unwrap_err();
        assert_eq!(parse(b"KDMV\x01\0\0"), VmxError::NotText);
        assert_eq!(parse(b""), VmxError::NotVmx);
        assert_eq!(parse(b"hello = \"you\"\n"), VmxError::NotVmx);
        assert_eq!(parse(&vec![b'a'; MOST_BYTES + 1]), VmxError::TooLarge);
        let keys = b".encoding = \"UTF-8\"\nencryption.keySafe = \"vmware:key/list\"\n";
        let why = parse(keys);
        assert_eq!(why, VmxError::Encrypted { line: 2 });
        assert!(why.to_string().contains("Settings, Add, Serial Port"));
    }

    #[test]
    fn letters_the_file_has_no_bytes_for_are_refused() {
        let mut vmx = file();
        assert!(vmx.set("serial0.fileName", "/tmp/é").is_err());
        assert!(vmx.set("serial0.fileName", "/tmp/a\nb").is_err());
        assert_eq!(vmx, file());
        let mut vmx = Vmx::parse(b".encoding = \"UTF-8\"\nconfig.version = \"8\"\n").unwrap();
        assert_eq!(vmx.set("serial0.fileName", "/tmp/é"), Ok(true));
    }

    #[test]
    fn twice_is_seen() {
        let twice =
            b"config.version = \"8\"\nserial0.present = \"TRUE\"\nSERIAL0.present = \"FALSE\"\n";
        let vmx = Vmx::parse(twice).unwrap();
        let lines = vec![2, 3];
        assert_eq!(vmx.duplicates(), [Duplicate { key: "serial0.present".into(), lines }]);
    }

    proptest! {
        #[test]
        fn any_bytes_are_kept_and_changes_are_found(
            bytes in prop::collection::vec(
                prop_oneof![Just(b'"'), Just(b'='), Just(b'\n'), Just(b'#'), Just(b'|'), 1u8..=255], 0..200),
            value in "[ -~]{0,20}",
        ) {
            let mut all = b"config.version = \"8\"\n".to_vec();
            all.extend(&bytes);
            if let Ok(mut vmx) = Vmx::parse(&all) {
                prop_assert_eq!(vmx.bytes(), all);
                vmx.set("serial3.fileName", &value).unwrap();
                let again = Vmx::parse(&vmx.bytes()).unwrap();
                prop_assert_eq!(again.get("serial3.fileName"), Some(value.clone()));
                prop_assert!(!vmx.set("serial3.fileName", &value).unwrap());
            }
        }
    }
}
