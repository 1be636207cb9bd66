//! A log of the line: every byte, when and which way.
//!
//! ```text
//! # kgdb-tui line record 1
//! 0.000000 tx $?#3f
//! 0.003120 rx +$S05#b8
//! 1.200000 break
//! ```
//!
//! Seconds since the record began; bytes with Rust's escapes
//! (`std::ascii::escape_default`), so that it is text and can be read and
//! searched.

use std::{
    fs::File,
    io::{self, BufRead, BufWriter, Write},
    path::Path,
    time::{Duration, Instant},
};

const HEADER: &str = "# kgdb-tui line record 1";

/// Writes a record. When the disk is full the record ends with a warning in
/// the log; debugging goes on.
#[derive(Debug)]
pub struct Recorder {
    file: Option<BufWriter<File>>,
    start: Instant,
}

impl Recorder {
    /// Makes the file, or empties it.
    ///
    /// # Errors
    /// What the operating system says.
    pub fn create(path: &Path) -> io::Result<Recorder> {
        let mut file = BufWriter::new(File::create(path)?);
        writeln!(file, "{HEADER}")?;
        Ok(Recorder { file: Some(file), start: Instant::now() })
    }

    /// Bytes went out.
    pub fn sent(&mut self, bytes: &[u8]) {
        self.write("tx", bytes);
    }

    /// Bytes came in.
    pub fn received(&mut self, bytes: &[u8]) {
        self.write("rx", bytes);
    }

    /// A BREAK went out.
    pub fn sent_break(&mut self) {
        self.write("break", b"");
    }

    fn write(&mut self, what: &str, bytes: &[u8]) {
        if bytes.is_empty() && what != "break" {
            return;
        }
        let entry = format_entry(self.start.elapsed(), what, bytes);
        let written = self.file.as_mut().map(|file| {
            file.write_all(entry.as_bytes())?;
            file.flush()
        });
        if let Some(Err(error)) = written {
            tracing::warn!("the line record ends here: {error}");
            self.file = None;
        }
    }
}

fn format_entry(at: Duration, what: &str, bytes: &[u8]) -> String {
    let (seconds, micros) = (at.as_secs(), at.subsec_micros());
    match bytes {
        [] => format!("{seconds}.{micros:06} {what}\n"),
        _ => format!("{seconds}.{micros:06} {what} {}\n", bytes.escape_ascii()),
    }
}

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
}

/// Why a record can not be read.
#[derive(Debug, thiserror::Error)]
pub enum RecordError {
    /// Not a record.
    #[error("not a line record: the first line must be `{HEADER}`")]
    Header,
    /// A line that is none of ours.
    #[error("line {number} of the record can not be read: `{line}`")]
    Line {
        /// Counted from 1.
        number: usize,
        /// The line.
        line: String,
    },
    /// The file can not be read.
    #[error("read the record: {0}")]
    Io(#[from] io::Error),
}

/// Reads a record.
///
/// # Errors
/// See [`RecordError`].
pub fn read(source: impl BufRead) -> Result<Vec<Entry>, RecordError> {
    let mut lines = source.lines();
    if lines.next().transpose()?.as_deref() != Some(HEADER) {
        return Err(RecordError::Header);
    }
    let mut entries = Vec::new();
    for (index, line) in lines.enumerate() {
        let line = line?;
        match parse_entry(&line) {
            Some(entry) => entries.push(entry),
            None => return Err(RecordError::Line { number: index + 2, line }),
        }
    }
    Ok(entries)
}

fn parse_entry(line: &str) -> Option<Entry> {
    let (time, rest) = line.split_once(' ')?;
    let (seconds, micros) = time.split_once('.')?;
    let micros: u32 = micros.parse().ok().filter(|_| micros.len() == 6)?;
    let at = Duration::new(seconds.parse().ok()?, micros * 1000);
    let what = match rest.split_once(' ') {
        None if rest == "break" => Happening::Break,
        Some(("tx", bytes)) => Happening::Sent(unescape(bytes)?),
        Some(("rx", bytes)) => Happening::Received(unescape(bytes)?),
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
    fn what_was_written_is_read() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("record");
        let mut recorder = Recorder::create(&path).unwrap();
        recorder.sent(b"$?#3f");
        recorder.received(b"");
        recorder.received(b"+$S05#b8\r\n\xff\\");
        recorder.sent_break();
        let text = std::fs::read_to_string(&path).unwrap();
        assert!(text.contains(" rx +$S05#b8\\r\\n\\xff\\\\\n"), "{text}");
        let entries = read(text.as_bytes()).unwrap();
        let whats: Vec<_> = entries.into_iter().map(|entry| entry.what).collect();
        assert_eq!(
            whats,
            [
                Happening::Sent(b"$?#3f".into()),
                Happening::Received(b"+$S05#b8\r\n\xff\\".into()),
                Happening::Break
            ]
        );
    }

    #[test]
    fn a_file_that_is_no_record() {
        assert!(matches!(read(&b""[..]), Err(RecordError::Header)));
        for line in ["x", "1.0 tx a", "1.000000 up a", "1.000000 tx \\q", "1.000000 tx \\x4"] {
            let text = format!("{HEADER}\n{line}\n");
            assert!(matches!(read(text.as_bytes()), Err(RecordError::Line { number: 2, .. })));
        }
    }

    proptest! {
        #[test]
        fn bytes_survive(
            data in proptest::collection::vec(any::<u8>(), 1..100), micros in 0u64..1 << 40
        ) {
            let at = Duration::from_micros(micros);
            let line = format_entry(at, "rx", &data);
            let entry = parse_entry(line.strip_suffix('\n').unwrap());
            prop_assert_eq!(entry, Some(Entry { at, what: Happening::Received(data) }));
        }

        #[test]
        fn parse_takes_anything(line in ".{0,60}") {
            let _ = parse_entry(&line);
        }
    }
}
