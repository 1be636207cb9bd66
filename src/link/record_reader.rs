//! Reading a record of the line, as [`record`](super::record) writes it.
//!
//! A record may come from a program that was killed, over mail, or from
//! somebody who means no good: what can be read of it is read, the rest is told
//! of, and none of it takes more memory than it should.

use std::{
    fs::File,
    io::{self, BufRead, BufReader, Read},
    path::Path,
    time::Duration,
};

use flate2::bufread::MultiGzDecoder;

use super::record::HEADER;

/// How much of a record is read, unpacked: ten hours of a busy line of 115200
/// baud.
const MOST: u64 = 512 << 20;

/// Longest line: 4096 bytes that came at once, each as `\x00`, and what is
/// before them.
const LONGEST: u64 = 20_000;

/// One line of a record.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    /// Since the record began; microseconds are kept.
    pub at: Duration,
    /// What happened.
    pub what: Happening,
}

/// What happened on the line.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Happening {
    /// We sent bytes.
    Sent(Vec<u8>),
    /// Bytes came.
    Received(Vec<u8>),
    /// We sent a BREAK.
    Break,
    /// What the program was doing.
    Note(String),
}

/// Why a record can not be read.
#[derive(Debug, thiserror::Error)]
pub enum RecordError {
    /// Not a record.
    #[error(
        "not a record of a line: its first line is not `{HEADER}1` or 2; --record FILE and `snapshot FILE` make them"
    )]
    Header,
    /// A record of a later program.
    #[error("a record of version {version}: this kgdb-tui reads 1 and 2, take a newer one")]
    Version {
        /// Its version.
        version: String,
    },
    /// The file can not be read.
    #[error("{0}")]
    Io(#[from] io::Error),
}

/// Reads a record, entry by entry.
pub struct Reader<'a> {
    lines: Box<dyn BufRead + Send + 'a>,
    /// Bytes that may still be read.
    left: u64,
    number: u64,
    unreadable: u64,
    first_unreadable: u64,
    cut_off: Option<String>,
}

impl Reader<'static> {
    /// Opens a file.
    ///
    /// # Errors
    /// See [`RecordError`].
    pub fn open(path: &Path) -> Result<Reader<'static>, RecordError> {
        Reader::new(BufReader::new(File::open(path)?))
    }
}

impl<'a> Reader<'a> {
    /// Begins with the first line, unpacked where it is packed.
    ///
    /// # Errors
    /// See [`RecordError`].
    pub fn new(mut source: impl BufRead + Send + 'a) -> Result<Reader<'a>, RecordError> {
        // RFC 1952: the first two bytes of every gzip member.
        let packed = source.fill_buf()?.starts_with(&[0x1f, 0x8b]);
        let lines: Box<dyn BufRead + Send + 'a> = match packed {
            true => Box::new(BufReader::new(MultiGzDecoder::new(source))),
            false => Box::new(source),
        };
        let mut reader = Reader {
            lines,
            left: MOST,
            number: 0,
            unreadable: 0,
            first_unreadable: 0,
            cut_off: None,
        };
        let first = reader.line();
        let version = first.as_deref().and_then(|line| line.strip_prefix(HEADER.as_bytes()));
        match version {
            Some(b"1" | b"2") => Ok(reader),
            Some(version) if version.iter().all(u8::is_ascii_digit) && !version.is_empty() => {
                let version = String::from_utf8_lossy(&version[..version.len().min(20)]);
                Err(RecordError::Version { version: version.into_owned() })
            }
            _ => Err(RecordError::Header),
        }
    }

    /// What is wrong with what was read so far, in words.
    pub fn trouble(&self) -> Option<String> {
        let lines = match self.unreadable {
            0 => None,
            1 => Some(format!("line {} can not be read and is left out", self.first_unreadable)),
            count => Some(format!(
                "{count} lines can not be read and are left out, line {} is the first",
                self.first_unreadable
            )),
        };
        let parts: Vec<String> = lines.into_iter().chain(self.cut_off.clone()).collect();
        (!parts.is_empty()).then(|| parts.join("; "))
    }

    /// The next line without its end; one that is too long has no more than
    /// that.
    fn line(&mut self) -> Option<Vec<u8>> {
        if self.cut_off.is_some() {
            return None;
        }
        if self.left == 0 {
            let most = MOST >> 20;
            self.cut_off = Some(format!("it has more than {most} MiB, the rest is left out"));
            return None;
        }
        let mut line = Vec::new();
        let most = LONGEST.min(self.left);
        let read = (&mut self.lines).take(most).read_until(b'\n', &mut line);
        self.left -= line.len() as u64;
        if let Err(error) = read {
            self.cut_off = Some(match error.kind() {
                io::ErrorKind::UnexpectedEof => {
                    "it is cut off, as a program that was killed leaves it".into()
                }
                _ => format!("it can not be read further: {error}"),
            });
        }
        if line.is_empty() {
            return None;
        }
        self.number += 1;
        if line.last() == Some(&b'\n') {
            line.pop();
        } else if self.cut_off.is_some() {
            // The part of a line.
            return None;
        }
        Some(line)
    }
}

impl Iterator for Reader<'_> {
    type Item = Entry;

    fn next(&mut self) -> Option<Entry> {
        loop {
            let line = self.line()?;
            if let Some(entry) = parse_entry(&line) {
                return Some(entry);
            }
            if self.unreadable == 0 {
                self.first_unreadable = self.number;
            }
            self.unreadable += 1;
        }
    }
}

/// Reads a whole record as far as that goes.
///
/// # Errors
/// See [`RecordError`].
pub fn read(source: impl BufRead + Send) -> Result<Vec<Entry>, RecordError> {
    Ok(Reader::new(source)?.collect())
}

pub(super) fn parse_entry(line: &[u8]) -> Option<Entry> {
    let line = std::str::from_utf8(line).ok()?;
    let (time, rest) = line.split_once(' ')?;
    let (seconds, micros) = time.split_once('.')?;
    let micros: u32 = micros.parse().ok().filter(|_| micros.len() == 6)?;
    let at = Duration::new(seconds.parse().ok()?, micros.checked_mul(1000)?);
    let what = match rest.split_once(' ') {
        None if rest == "break" => Happening::Break,
        Some(("tx", bytes)) => Happening::Sent(unescape(bytes)?),
        Some(("rx", bytes)) => Happening::Received(unescape(bytes)?),
        Some(("note", bytes)) => {
            Happening::Note(String::from_utf8_lossy(&unescape(bytes)?).into_owned())
        }
        _ => return None,
    };
    Some(Entry { at, what })
}

fn unescape(text: &str) -> Option<Vec<u8>> {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.bytes();
    while let Some(byte) = rest.next() {
        bytes.push(match byte {
            b'\\' => match rest.next()? {
                b't' => b'\t',
                b'r' => b'\r',
                b'n' => b'\n',
                quoted @ (b'\\' | b'\'' | b'"') => quoted,
                b'x' => {
                    let digit = |byte: u8| (byte as char).to_digit(16);
                    let (high, low) = (digit(rest.next()?)?, digit(rest.next()?)?);
                    (high << 4 | low) as u8
                }
                _ => return None,
            },
            b' '..=b'~' => byte,
            _ => return None,
        });
    }
    Some(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn a_file_that_is_no_record() {
        for bytes in [&b""[..], b"hello", b"# kgdb-tui line record x\n", b"\x1f\x8b\x08"] {
            assert!(matches!(read(bytes), Err(RecordError::Header)), "{bytes:?}");
        }
        let later = read(&b"# kgdb-tui line record 7\n"[..]).unwrap_err();
        assert!(later.to_string().contains("version 7"), "{later}");
    }

    #[test]
    fn lines_that_are_none_are_left_out() {
        let text = "# kgdb-tui line record 1\n0.000001 tx a\nx\n1.0 tx a\n1.000000 up a\n\
                    1.000000 tx \\q\n1.000000 tx \\x4\n2.000000 rx b\n3.000000 rx \\";
        let mut reader = Reader::new(text.as_bytes()).unwrap();
        assert_eq!(reader.by_ref().count(), 2);
        assert_eq!(
            reader.trouble().unwrap(),
            "6 lines can not be read and are left out, line 3 is the first"
        );
    }

    #[test]
    fn a_line_without_end_takes_no_memory() {
        let source = io::Read::chain(&b"# kgdb-tui line record 2\n"[..], io::repeat(b'x'));
        let mut reader = Reader::new(BufReader::new(source)).unwrap();
        reader.left = 1 << 20;
        assert_eq!(reader.next(), None);
        assert!(reader.trouble().unwrap().contains("the rest is left out"));
    }

    proptest! {
        #[test]
        fn parse_takes_anything(line in ".{0,60}") {
            let _ = parse_entry(line.as_bytes());
        }

        #[test]
        fn reading_takes_anything(bytes in proptest::collection::vec(any::<u8>(), 0..300)) {
            let text = [b"# kgdb-tui line record 2\n", &bytes[..]].concat();
            let _ = read(&text[..]).map(|entries| entries.len());
            let packed = [b"\x1f\x8b\x08\0\0\0\0\0\0\xff", &bytes[..]].concat();
            let _ = read(&packed[..]);
        }
    }
}
