//! A record of the line: every byte, when and which way, and notes between
//! them on what the program was doing.
//!
//! ```text
//! # kgdb-tui line record 2
//! 0.000000 note program kgdb-tui 0.1.0
//! 0.000000 note began 2026-03-14T09:26:53Z
//! 0.000000 tx $?#3f
//! 0.003120 rx +$S05#b8
//! 1.200000 break
//! 2.000000 note asked continue
//! ```
//!
//! Seconds since the record began; bytes with Rust's escapes
//! (`std::ascii::escape_default`), so that it is text and can be read and
//! searched. The file is packed with gzip (`zcat` shows it), unless its name
//! ends in `.txt`. `tx` are bytes that were sent, `rx` bytes that came, those
//! within 2 ms together; `break` is a BREAK that was sent; a `note` begins with a
//! word for what it is about:
//!
//! | note | about |
//! |---|---|
//! | `program`, `began` | who wrote the record, when (UTC) |
//! | `link` | a link was opened: to where |
//! | `kernel` | which kernel the guest runs, its build-id |
//! | `asked` | what the user asked for |
//! | `stop` | the guest stays stopped: which stop, why |
//! | `outside` | of how many inlined functions that begin at its pc this stop is shown outside |
//! | `snapshot` | the record was made of one stop; how deep, and whether it is whole |
//!
//! Version 1 had no notes and was never packed; it is still read
//! ([`read`](super::record_reader::read)).

use std::{
    fs::File,
    io::{self, BufWriter, Write},
    os::unix::fs::OpenOptionsExt,
    path::Path,
    time::{Duration, Instant, SystemTime, UNIX_EPOCH},
};

use flate2::{Compression, write::GzEncoder};

/// The first line, up to the version.
pub(super) const HEADER: &str = "# kgdb-tui line record ";

/// The version that is written.
const VERSION: &str = "2";

/// How long what was written may be on the way to the file: the most that is
/// lost of the record when the program is killed.
pub const SYNC: Duration = Duration::from_secs(1);

/// Bytes that come within so long after one are in one entry with it: many relays
/// pass them on a few at a time, and the time of each would be most of the record.
const SOON: Duration = Duration::from_millis(2);

/// Longest note, in bytes.
const MOST_NOTED: usize = 2000;

/// Writes a record. When the disk is full the record ends, and
/// [`Recorder::take_trouble`] tells; debugging goes on.
#[derive(Debug)]
pub struct Recorder {
    file: Option<Out>,
    start: Instant,
    /// When everything was in the file last.
    synced: Instant,
    dirty: bool,
    trouble: Option<String>,
    /// Bytes that came and are in no entry yet, and when the first of them did.
    came: Option<(Duration, Vec<u8>)>,
}

#[derive(Debug)]
enum Out {
    Plain(BufWriter<File>),
    Packed(Box<GzEncoder<BufWriter<File>>>),
}

impl Out {
    fn writer(&mut self) -> &mut dyn Write {
        match self {
            Out::Plain(file) => file,
            Out::Packed(file) => file,
        }
    }
}

impl Recorder {
    /// Makes the file, for its owner alone, or empties it.
    ///
    /// # Errors
    /// What the operating system says.
    pub fn create(path: &Path) -> io::Result<Recorder> {
        // It has the guest's memory in it: nobody else is to read it.
        let mut options = File::options();
        options.write(true).create(true).truncate(true).mode(0o600);
        let file = BufWriter::new(options.open(path)?);
        let mut file = match path.extension().is_some_and(|extension| extension == "txt") {
            true => Out::Plain(file),
            false => Out::Packed(Box::new(GzEncoder::new(file, Compression::default()))),
        };
        writeln!(file.writer(), "{HEADER}{VERSION}")?;
        let now = Instant::now();
        let mut recorder = Recorder {
            file: Some(file),
            start: now,
            synced: now,
            dirty: true,
            trouble: None,
            came: None,
        };
        recorder.note(concat!("program kgdb-tui ", env!("CARGO_PKG_VERSION")));
        recorder.note(&format!("began {}", utc(SystemTime::now())));
        recorder.sync();
        Ok(recorder)
    }

    /// Bytes went out.
    pub fn sent(&mut self, bytes: &[u8]) {
        self.write("tx", bytes);
    }

    /// Bytes came in.
    pub fn received(&mut self, bytes: &[u8]) {
        let now = self.start.elapsed();
        match &mut self.came {
            _ if bytes.is_empty() => return,
            Some((first, came)) if now - *first < SOON => came.extend_from_slice(bytes),
            _ => {
                self.write_what_came();
                self.came = Some((now, bytes.to_vec()));
            }
        }
        self.written();
    }

    /// A BREAK went out.
    pub fn sent_break(&mut self) {
        self.write("break", b"");
    }

    /// What a reader must know to follow; what is too long is cut.
    pub fn note(&mut self, text: &str) {
        let bytes = text.as_bytes();
        self.write("note", &bytes[..bytes.len().min(MOST_NOTED)]);
    }

    /// Sees to it that everything so far is in the file.
    pub fn sync(&mut self) {
        self.write_what_came();
        (self.dirty, self.synced) = (false, Instant::now());
        let done = self.file.as_mut().map(|file| file.writer().flush());
        self.end_on_error(done);
    }

    /// When [`Recorder::sync`] is wanted, if nothing else happens before.
    pub fn sync_at(&self) -> Option<Instant> {
        (self.dirty && self.file.is_some()).then(|| self.synced + SYNC)
    }

    /// Why the record has ended, once.
    pub fn take_trouble(&mut self) -> Option<String> {
        self.trouble.take()
    }

    fn write(&mut self, what: &str, bytes: &[u8]) {
        if bytes.is_empty() && what != "break" {
            return;
        }
        self.write_what_came();
        self.write_entry(self.start.elapsed(), what, bytes);
        self.written();
    }

    fn write_what_came(&mut self) {
        if let Some((first, bytes)) = self.came.take() {
            self.write_entry(first, "rx", &bytes);
        }
    }

    fn write_entry(&mut self, at: Duration, what: &str, bytes: &[u8]) {
        let entry = format_entry(at, what, bytes);
        let done = self.file.as_mut().map(|file| file.writer().write_all(entry.as_bytes()));
        self.end_on_error(done);
    }

    /// There is something that is not in the file yet.
    fn written(&mut self) {
        self.dirty = true;
        if self.sync_at().is_some_and(|at| at <= Instant::now()) {
            self.sync();
        }
    }

    fn end_on_error(&mut self, done: Option<io::Result<()>>) {
        if let Some(Err(error)) = done {
            tracing::warn!("the line record ends here: {error}");
            self.trouble = Some(error.to_string());
            self.file = None;
        }
    }
}

impl Drop for Recorder {
    fn drop(&mut self) {
        self.write_what_came();
        if let Some(Out::Packed(mut file)) = self.file.take()
            && let Err(error) = file.try_finish().and_then(|()| file.get_mut().flush())
        {
            tracing::warn!("the end of the line record could not be written: {error}");
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

/// `2026-03-14T09:26:53Z`. The calendar by Howard Hinnant's `civil_from_days`
/// (<https://howardhinnant.github.io/date_algorithms.html>): years begin in
/// March, so that the odd day is the last.
fn utc(time: SystemTime) -> String {
    let seconds = time.duration_since(UNIX_EPOCH).unwrap_or_default().as_secs();
    let (days, rest) = (seconds / 86_400 + 719_468, seconds % 86_400);
    let (era, day) = (days / 146_097, days % 146_097);
    let year = (day - day / 1460 + day / 36_524 - day / 146_096) / 365;
    let day = day - (365 * year + year / 4 - year / 100);
    let month = (5 * day + 2) / 153;
    let date = day - (153 * month + 2) / 5 + 1;
    let month = if month < 10 { month + 3 } else { month - 9 };
    let year = era * 400 + year + u64::from(month <= 2);
    let (hours, minutes, seconds) = (rest / 3600, rest / 60 % 60, rest % 60);
    format!("{year:04}-{month:02}-{date:02}T{hours:02}:{minutes:02}:{seconds:02}Z")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::link::record_reader::{Entry, Happening, Reader, parse_entry, read};
    use proptest::prelude::*;

    #[test]
    fn what_was_written_is_read() {
        let directory = tempfile::tempdir().unwrap();
        for name in ["record.txt", "record"] {
            let path = directory.path().join(name);
            let mut recorder = Recorder::create(&path).unwrap();
            recorder.sent(b"$?#3f");
            recorder.received(b"");
            recorder.received(b"+$S05#b8\r\n\xff\\");
            recorder.sent_break();
            recorder.note("asked continue");
            drop(recorder);
            let bytes = std::fs::read(&path).unwrap();
            if name.ends_with(".txt") {
                let text = String::from_utf8(bytes.clone()).unwrap();
                assert!(text.contains(" rx +$S05#b8\\r\\n\\xff\\\\\n"), "{text}");
            }
            let entries = read(&bytes[..]).unwrap();
            let whats: Vec<_> = entries.into_iter().map(|entry| entry.what).collect();
            let note = |text: String| Happening::Note(text);
            assert_eq!(whats[0], note(format!("program kgdb-tui {}", env!("CARGO_PKG_VERSION"))));
            assert!(matches!(&whats[1], Happening::Note(text) if text.starts_with("began 20")));
            assert_eq!(
                whats[2..],
                [
                    Happening::Sent(b"$?#3f".into()),
                    Happening::Received(b"+$S05#b8\r\n\xff\\".into()),
                    Happening::Break,
                    note("asked continue".into()),
                ]
            );
        }
    }

    #[test]
    fn what_a_killed_program_leaves_can_be_read() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("record.gz");
        let mut recorder = Recorder::create(&path).unwrap();
        recorder.sent(b"$?#3f");
        recorder.sync();
        recorder.sent(b"$g#67");
        // The file as it is now: nothing has been finished.
        let bytes = std::fs::read(&path).unwrap();
        let mut reader = Reader::new(&bytes[..]).unwrap();
        let last = reader.by_ref().last().unwrap();
        assert_eq!(last.what, Happening::Sent(b"$?#3f".into()));
        assert!(reader.trouble().unwrap().contains("cut off"), "{:?}", reader.trouble());
    }

    #[test]
    fn a_full_disk_ends_the_record_alone() {
        let mut recorder = Recorder::create(Path::new("/dev/full"));
        if let Ok(recorder) = &mut recorder {
            recorder.received(&[b'x'; 100_000]);
            recorder.sync();
            let trouble = recorder.take_trouble().unwrap();
            assert!(trouble.contains("space"), "{trouble}");
            assert_eq!(recorder.take_trouble(), None);
            recorder.sent(b"x");
            assert_eq!(recorder.sync_at(), None);
        }
    }

    #[test]
    fn times_of_the_calendar() {
        let at = |seconds| utc(UNIX_EPOCH + Duration::from_secs(seconds));
        assert_eq!(at(0), "1970-01-01T00:00:00Z");
        assert_eq!(at(951_782_400), "2000-02-29T00:00:00Z");
        assert_eq!(at(1_773_480_413), "2026-03-14T09:26:53Z");
        assert_eq!(at(4_107_542_399), "2100-02-28T23:59:59Z");
    }

    proptest! {
        #[test]
        fn bytes_survive(
            data in proptest::collection::vec(any::<u8>(), 1..100), micros in 0u64..1 << 40
        ) {
            let at = Duration::from_micros(micros);
            let line = format_entry(at, "rx", &data);
            let entry = parse_entry(line.strip_suffix('\n').unwrap().as_bytes());
            prop_assert_eq!(entry, Some(Entry { at, what: Happening::Received(data) }));
        }
    }
}
