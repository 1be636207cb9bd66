//! One run of a build script, into a directory that appears only when the
//! script has done all of it.
//!
//! A script gets the directory as its last argument. It prints progress and
//! errors on standard output ([`Line`]), writes `build.log`, and keeps what is
//! only for the build in `work`.

use std::fs::{self, File};
use std::io::{BufRead, BufReader};
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc;
use std::time::Duration;

use crate::demo::{DemoError, tail};

/// A file that is part of this program: its name and what is in it.
pub(super) type Asset = (&'static str, &'static [u8]);

/// Runs one script of ours into a directory that appears only when it is done.
pub(super) struct Job<'a> {
    /// Held by the script and all it starts, so that after our death the next
    /// builder waits for what still runs.
    pub lock: &'a File,
    /// Set to end the script.
    pub cancel: &'a AtomicBool,
}

impl Job<'_> {
    /// `step` gets the script's step from 1, the part of it that is done, and
    /// its title.
    pub fn run(
        &self,
        assets: &[Asset],
        script: &str,
        args: &[&Path],
        result: &Path,
        step: &mut dyn FnMut(usize, f64, &str),
    ) -> Result<(), DemoError> {
        let partial = result.with_extension("partial");
        remove(&partial)?;
        remove(result)?;
        let recipe = partial.join("recipe");
        write_assets(assets, &recipe)?;

        let log = partial.join("build.log");
        let errors = File::options().create(true).append(true).open(&log);
        let lock = self.lock.try_clone().map_err(DemoError::file("share the lock for", result))?;
        let mut child = Command::new("bash")
            .arg(recipe.join(script))
            .args(args)
            .arg(&partial)
            // The lock is of use there, and nothing reads it.
            .stdin(lock)
            .stdout(Stdio::piped())
            .stderr(errors.map_err(DemoError::file("create", &log))?)
            .process_group(0)
            .spawn()
            .map_err(|source| DemoError::Start { program: "bash".to_owned(), source })?;

        let (lines, said) = mpsc::channel();
        if let Some(stream) = child.stdout.take() {
            std::thread::spawn(move || {
                for line in BufReader::new(stream).lines().map_while(Result::ok) {
                    if lines.send(line).is_err() {
                        return;
                    }
                }
            });
        }

        let mut why = format!("{script} failed");
        loop {
            if self.cancel.load(Ordering::Relaxed) {
                kill_group(child.id());
                let _ = child.wait();
                remove_used(&partial)?;
                return Err(DemoError::Cancelled);
            }
            match said.recv_timeout(Duration::from_millis(200)) {
                Ok(line) => match Line::parse(&line) {
                    Line::Step(number, part, title) => step(number, part, title),
                    Line::Error(text) => why = text.to_owned(),
                    Line::Other => {}
                },
                Err(mpsc::RecvTimeoutError::Timeout) => {}
                Err(mpsc::RecvTimeoutError::Disconnected) => break,
            }
        }
        let status = child.wait().map_err(DemoError::file("wait for", script))?;
        if !status.success() {
            let text = fs::read(&log).unwrap_or_default();
            // A kernel tree is large; the log is what is of use.
            let _ = fs::remove_dir_all(partial.join("work"));
            return Err(DemoError::Build {
                why,
                log,
                tail: telling_lines(&String::from_utf8_lossy(&text)),
            });
        }
        fs::rename(&partial, result).map_err(DemoError::file("rename to", result))
    }
}

/// A line of a script's standard output.
#[derive(Debug, PartialEq)]
enum Line<'a> {
    Step(usize, f64, &'a str),
    Error(&'a str),
    Other,
}

impl Line<'_> {
    /// `@step 3/4 0.42 compiling the kernel`, or `@error TEXT`.
    fn parse(line: &str) -> Line<'_> {
        if let Some(text) = line.strip_prefix("@error ") {
            return Line::Error(text);
        }
        let step = || {
            let mut words = line.strip_prefix("@step ")?.splitn(3, ' ');
            let (number, _) = words.next()?.split_once('/')?;
            let part: f64 = words.next()?.parse().ok()?;
            Some(Line::Step(number.parse().ok()?, part.clamp(0.0, 1.0), words.next()?))
        };
        step().unwrap_or(Line::Other)
    }
}

/// The lines of a build log to show. Compilers work side by side, so the one
/// that failed is seldom the last to speak.
fn telling_lines(log: &str) -> String {
    const MARKS: [&str; 5] =
        ["error:", "Error ", "***", "No space left on device", "cannot allocate memory"];
    let errors: Vec<&str> =
        log.lines().filter(|line| MARKS.iter().any(|mark| line.contains(mark))).collect();
    if errors.is_empty() { tail(log, 10) } else { tail(&errors.join("\n"), 10) }
}

fn write_assets(assets: &[Asset], dir: &Path) -> Result<(), DemoError> {
    for (name, bytes) in assets {
        let file = dir.join(name);
        let parent = file.parent().unwrap_or(dir);
        fs::create_dir_all(parent).map_err(DemoError::file("create", parent))?;
        fs::write(&file, bytes).map_err(DemoError::file("write", &file))?;
    }
    Ok(())
}

fn remove(dir: &Path) -> Result<(), DemoError> {
    match fs::remove_dir_all(dir) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
            Err(DemoError::File { what: "remove", path: dir.to_owned(), source: error })
        }
        _ => Ok(()),
    }
}

/// Removes a directory in which killed programs may still be about to make a
/// last file.
fn remove_used(dir: &Path) -> Result<(), DemoError> {
    for _ in 0..20 {
        if remove(dir).is_ok() {
            return Ok(());
        }
        std::thread::sleep(Duration::from_millis(100));
    }
    remove(dir)
}

/// Ends a script and all it started. The shell has `kill` built in, and no
/// other way to a process group is without `unsafe`.
fn kill_group(leader: u32) {
    let _ = Command::new("sh").args(["-c", &format!("kill -s KILL -- -{leader}")]).status();
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Instant;

    #[test]
    fn the_line_with_the_error_is_shown() {
        let log = "  CC a.o\nb.c:7: error: no such thing\n  CC c.o\n  CC d.o\n";
        assert_eq!(telling_lines(log), "b.c:7: error: no such thing");
        assert_eq!(telling_lines("one\ntwo\n"), "one\ntwo");
    }

    #[test]
    fn script_lines_are_understood() {
        assert_eq!(
            Line::parse("@step 3/4 0.42 compiling the kernel"),
            Line::Step(3, 0.42, "compiling the kernel")
        );
        assert_eq!(Line::parse("@step 1/4 7 too much"), Line::Step(1, 1.0, "too much"));
        assert_eq!(Line::parse("@error lost: CONFIG_KGDB"), Line::Error("lost: CONFIG_KGDB"));
        assert_eq!(Line::parse("@step x/4 0 bad"), Line::Other);
        assert_eq!(Line::parse("  CC  init/main.o"), Line::Other);
    }

    /// A job with a script of the test's own.
    fn run(dir: &Path, cancel: bool, script: &'static str) -> Result<Vec<String>, DemoError> {
        let lock = File::create(dir.join("lock")).unwrap();
        let cancel = AtomicBool::new(cancel);
        let job = Job { lock: &lock, cancel: &cancel };
        let mut steps = Vec::new();
        let assets: &[Asset] = &[("test.sh", script.as_bytes())];
        job.run(assets, "test.sh", &[], &dir.join("result"), &mut |step, part, title| {
            steps.push(format!("{step} {part} {title}"));
        })?;
        Ok(steps)
    }

    #[test]
    fn a_result_appears_when_it_is_complete() {
        let dir = tempfile::tempdir().unwrap();
        let steps = run(dir.path(), false, "echo '@step 1/1 0.5 work'; echo hi > \"$1/made\"");
        assert_eq!(steps.unwrap(), ["1 0.5 work"]);
        assert_eq!(fs::read_to_string(dir.path().join("result/made")).unwrap(), "hi\n");
    }

    #[test]
    fn a_failed_build_leaves_no_result_and_says_why() {
        let dir = tempfile::tempdir().unwrap();
        let error = run(
            dir.path(),
            false,
            "echo 'cc: no' > \"$1/build.log\"; echo '@error it does not compile'; exit 1",
        )
        .unwrap_err();
        let text = error.to_string();
        assert!(text.starts_with("it does not compile"), "{text}");
        assert!(text.ends_with("cc: no"), "{text}");
        assert!(!dir.path().join("result").exists());
    }

    #[test]
    fn a_cancelled_build_ends_and_leaves_nothing() {
        let dir = tempfile::tempdir().unwrap();
        let start = Instant::now();
        let error = run(dir.path(), true, "sleep 60 & sleep 60").unwrap_err();
        assert!(matches!(error, DemoError::Cancelled));
        assert!(start.elapsed() < Duration::from_secs(10));
        assert!(!dir.path().join("result").exists());
        assert!(!dir.path().join("result.partial").exists());
    }
}
