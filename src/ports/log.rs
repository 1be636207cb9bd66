//! The guest's console in a file, as it came, with a line at each stop, and at a
//! resume that something was printed after.

use super::{next, tell};
use crate::session::{
    console::Heard,
    request::{Level, WeakHandle},
};
use std::{
    fs::{File, OpenOptions},
    io::{self, Write},
    path::{Path, PathBuf},
    time::{SystemTime, UNIX_EPOCH},
};
use tokio::sync::broadcast;

/// The file.
pub(super) struct ConsoleLog {
    path: PathBuf,
    file: File,
    /// Whether what was written last ended its line.
    at_start: bool,
    /// The guest runs, and that is not written yet.
    runs: bool,
}

impl ConsoleLog {
    /// Opens a file, to write at its end.
    pub fn open(path: &Path) -> io::Result<ConsoleLog> {
        let file = OpenOptions::new().create(true).append(true).open(path)?;
        Ok(ConsoleLog { path: path.to_path_buf(), file, at_start: true, runs: false })
    }

    fn write(&mut self, heard: &Heard, now: SystemTime) -> io::Result<()> {
        match heard {
            Heard::Text(text) => {
                if std::mem::take(&mut self.runs) {
                    self.mark("runs", now, "")?;
                }
                self.at_start = text.ends_with(b"\n");
                self.file.write_all(text)
            }
            Heard::Runs => {
                self.runs = true;
                Ok(())
            }
            Heard::Stopped { at, .. } => {
                self.runs = false;
                self.mark("stopped", now, at)
            }
            Heard::Away => Ok(()),
        }
    }

    /// `-- stopped 12:03:04 at vfs_read (breakpoint 1) --`.
    fn mark(&mut self, what: &str, now: SystemTime, more: &str) -> io::Result<()> {
        let line = if std::mem::replace(&mut self.at_start, true) { "" } else { "\r\n" };
        let gap = if more.is_empty() { "" } else { " " };
        let text = format!("{line}-- {what} {}{gap}{more} --\r\n", clock(now));
        self.file.write_all(text.as_bytes())
    }
}

/// The time of day in UTC, because a guest prints no other that could be compared.
fn clock(time: SystemTime) -> String {
    let seconds = time.duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs());
    let (hour, minute) = (seconds / 3_600 % 24, seconds / 60 % 60);
    format!("{hour:02}:{minute:02}:{:02}Z", seconds % 60)
}

/// Writes until the session ends, or the file can't be written any more.
pub(super) async fn run(
    log: Option<ConsoleLog>,
    mut heard: broadcast::Receiver<Heard>,
    session: WeakHandle,
) {
    let Some(mut log) = log else { return };
    while let Some(news) = next(&mut heard).await {
        let now = SystemTime::now();
        let result = match news {
            Ok(heard) => log.write(&heard, now),
            Err(count) => log.mark("lost", now, &format!("{count} pieces of text")),
        };
        if let Err(error) = result {
            let words = format!(
                "--console-log {}: {error}; nothing more is written to it",
                log.path.display()
            );
            return tell(&session, Level::Error, words).await;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    #[test]
    fn text_is_written_as_it_came_and_stops_have_lines() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("console");
        std::fs::write(&path, "before\n").unwrap();
        let mut log = ConsoleLog::open(&path).unwrap();
        let text = |text: &str| Heard::Text(text.as_bytes().into());
        let stopped = |at: &str| Heard::Stopped { at: at.into(), step: false };
        let now = UNIX_EPOCH + Duration::from_secs(86_400 * 20_000 + 12 * 3_600 + 3 * 60 + 4);
        for heard in [
            text("\x1b[31mlogin:\r\n"),
            text("half"),
            stopped("at vfs_read (breakpoint 1)"),
            Heard::Runs,
            stopped("at vfs_read (step)"),
            Heard::Runs,
            text("more\r\n"),
        ] {
            log.write(&heard, now).unwrap();
        }
        let written = std::fs::read_to_string(&path).unwrap();
        let wanted = "before\n\x1b[31mlogin:\r\nhalf\r\n\
            -- stopped 12:03:04Z at vfs_read (breakpoint 1) --\r\n\
            -- stopped 12:03:04Z at vfs_read (step) --\r\n\
            -- runs 12:03:04Z --\r\nmore\r\n";
        assert_eq!(written, wanted);
    }

    #[test]
    fn a_full_disk_is_an_error() {
        let mut log = ConsoleLog::open(Path::new("/dev/full")).unwrap();
        let error = log.write(&Heard::Text(b"x".as_slice().into()), UNIX_EPOCH).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::StorageFull);
    }
}
