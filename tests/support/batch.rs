//! The program itself, run in batch mode with JSON output.
//!
//! Its commands are given at the start, but its answers come one by one, so a
//! test can act in the guest between them.

use serde_json::Value;
use std::{
    ffi::OsString,
    io::{BufRead, BufReader, Read},
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    sync::{
        Arc, Mutex,
        mpsc::{Receiver, RecvTimeoutError, channel},
    },
    thread::JoinHandle,
    time::{Duration, Instant},
};

use super::guest::built;

/// Longer than any one command takes on a busy machine.
const PATIENCE: Duration = Duration::from_secs(120);

/// How the program is to be started.
pub struct Setup {
    args: Vec<OsString>,
    env: Vec<(OsString, OsString)>,
    dir: Option<PathBuf>,
}

impl Setup {
    /// With nothing but `--batch --json`.
    pub fn bare() -> Setup {
        let args = vec!["--batch".into(), "--json".into()];
        Setup { args, env: Vec::new(), dir: None }
    }

    /// With the test guest's files, connected to `address`.
    pub fn new(address: &str) -> Setup {
        Setup::with_symbols(&built().vmlinux).arg("--connect").arg(address)
    }

    /// With some vmlinux and the test guest's modules and sources.
    pub fn with_symbols(vmlinux: &Path) -> Setup {
        let built = built();
        Setup::bare()
            .arg("--vmlinux")
            .arg(vmlinux)
            .arg("--module-path")
            .arg(&built.modules)
            .arg("--substitute-path")
            .arg(format!("{}={}", kgdb_tui::demo::build::COMPILED_IN, built.source.display()))
    }

    /// One more argument.
    pub fn arg(mut self, arg: impl Into<OsString>) -> Setup {
        self.args.push(arg.into());
        self
    }

    /// In a directory of its own.
    pub fn in_dir(mut self, dir: &Path) -> Setup {
        self.dir = Some(dir.to_owned());
        self
    }

    /// With a variable in its environment.
    pub fn env(mut self, name: &str, value: impl Into<OsString>) -> Setup {
        self.env.push((name.into(), value.into()));
        self
    }

    /// One more command.
    pub fn ex(self, command: &str) -> Setup {
        self.arg("-ex").arg(command)
    }

    /// More commands.
    pub fn exs(self, commands: &[&str]) -> Setup {
        commands.iter().fold(self, |setup, command| setup.ex(command))
    }

    /// Starts the program.
    pub fn start(&self) -> Batch {
        let mut child = Command::new(env!("CARGO_BIN_EXE_kgdb-tui"))
            .args(&self.args)
            .env("XDG_STATE_HOME", concat!(env!("CARGO_TARGET_TMPDIR"), "/state"))
            .env("XDG_CONFIG_HOME", concat!(env!("CARGO_TARGET_TMPDIR"), "/state"))
            .envs(self.env.iter().map(|(name, value)| (name, value)))
            .current_dir(self.dir.as_deref().unwrap_or(Path::new(".")))
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .expect("the program starts");
        let stdout = child.stdout.take().expect("a pipe");
        let mut stderr = child.stderr.take().expect("a pipe");
        let (sender, lines) = channel();
        std::thread::spawn(move || {
            for line in BufReader::new(stdout).lines().map_while(Result::ok) {
                if sender.send(line).is_err() {
                    return;
                }
            }
        });
        let said = Arc::new(Mutex::new(String::new()));
        let saying = std::thread::spawn({
            let said = Arc::clone(&said);
            move || {
                let mut bytes = [0; 1024];
                while let Ok(count @ 1..) = stderr.read(&mut bytes) {
                    let text = String::from_utf8_lossy(&bytes[..count]).into_owned();
                    said.lock().expect("nobody panics in here").push_str(&text);
                }
            }
        });
        Batch { child, lines, logs: Vec::new(), said, saying: Some(saying) }
    }

    /// Starts it, and waits for its end.
    pub fn run(&self) -> Ended {
        self.start().end()
    }
}

/// One line of output.
#[derive(Debug, Clone)]
pub struct Line {
    /// The command.
    pub command: String,
    /// What was wrong.
    pub error: Option<String>,
    /// How long it took.
    pub seconds: f64,
    /// Its answer; null when it failed.
    pub result: Value,
    /// `tx`, `rx`, `packets`.
    pub wire: Value,
}

impl Line {
    fn parse(text: &str) -> Line {
        let value: Value =
            serde_json::from_str(text).unwrap_or_else(|e| panic!("no JSON: {e}: {text}"));
        let error = value["error"].as_str().map(str::to_string);
        assert_eq!(value["ok"].as_bool(), Some(error.is_none()), "{text}");
        assert!(value["wire"]["packets"].is_u64(), "{text}");
        Line {
            command: value["command"].as_str().expect("a command").to_string(),
            error,
            seconds: value["seconds"].as_f64().expect("a number"),
            result: value["result"].clone(),
            wire: value["wire"].clone(),
        }
    }

    /// The answer of a command that must have worked.
    #[track_caller]
    pub fn ok(&self) -> &Value {
        if let Some(error) = &self.error {
            panic!("{}: {error}", self.command);
        }
        &self.result
    }

    /// The stop in the answer.
    #[track_caller]
    pub fn stop(&self) -> &Value {
        let stop = &self.ok()["stop"];
        assert!(stop.is_object(), "{}: no stop in {}", self.command, self.result);
        stop
    }
}

/// What a log point printed, when a line of output is that.
fn log_of(text: &str) -> Option<Value> {
    let value: Value = serde_json::from_str(text).ok()?;
    value.get("log").cloned()
}

/// How a run ended.
#[derive(Debug)]
pub struct Ended {
    /// The exit status; `None` after a signal.
    pub status: Option<i32>,
    /// What was not read before the end.
    pub lines: Vec<Line>,
    /// Standard error.
    pub said: String,
}

impl Ended {
    /// The answer to a command that must be there and have worked.
    #[track_caller]
    pub fn ok(&self, command: &str) -> &Value {
        self.line(command).ok()
    }

    /// The line of a command that must be there.
    #[track_caller]
    pub fn line(&self, command: &str) -> &Line {
        match self.lines.iter().find(|line| line.command == command) {
            Some(line) => line,
            None => panic!("no answer to {command}: {self:#?}"),
        }
    }

    /// That every command was done.
    #[track_caller]
    pub fn all_good(self) -> Ended {
        for line in &self.lines {
            if let Some(error) = &line.error {
                panic!("{}: {error}\n{}", line.command, self.said);
            }
        }
        assert_eq!(self.status, Some(0), "{}", self.said);
        self
    }
}

/// The running program.
pub struct Batch {
    child: Child,
    lines: Receiver<String>,
    /// What log points printed.
    pub logs: Vec<Value>,
    said: Arc<Mutex<String>>,
    saying: Option<JoinHandle<()>>,
}

impl Batch {
    /// The next answer. What log points print before it is kept.
    #[track_caller]
    pub fn next(&mut self) -> Line {
        match self.lines.recv_timeout(PATIENCE) {
            Ok(line) => match log_of(&line) {
                Some(log) => {
                    self.logs.push(log);
                    self.next()
                }
                None => Line::parse(&line),
            },
            Err(why) => panic!("no further answer ({why}); it said: {}", self.said()),
        }
    }

    /// The next answer, which must be to `command` and good.
    #[track_caller]
    pub fn ok(&mut self, command: &str) -> Value {
        let line = self.next();
        assert_eq!(line.command, command);
        if let Some(error) = &line.error {
            panic!("{command}: {error}; it said: {}", self.said());
        }
        line.result
    }

    /// The next answer, which must be to `command` and a stop.
    #[track_caller]
    pub fn stop(&mut self, command: &str) -> Value {
        let result = self.ok(command);
        assert!(result["stop"].is_object(), "{command}: no stop in {result}");
        result["stop"].clone()
    }

    /// What came on standard error until now.
    pub fn said(&self) -> String {
        self.said.lock().expect("nobody panics in there").clone()
    }

    /// Waits until standard error has a text.
    #[track_caller]
    pub fn expect_said(&self, text: &str) {
        let start = Instant::now();
        while !self.said().contains(text) {
            assert!(start.elapsed() < PATIENCE, "{text:?} was not said: {}", self.said());
            std::thread::sleep(Duration::from_millis(20));
        }
    }

    /// Sends it a signal, by number.
    pub fn signal(&self, signal: i32) {
        // The shell's own: the program `kill` is not on every machine.
        let kill = format!("kill -{signal} {}", self.child.id());
        let status = Command::new("sh").args(["-c", &kill]).status().expect("sh is there");
        assert!(status.success());
    }

    /// Looks at the memory it uses until it ends: gives the most, in kB.
    #[allow(dead_code, reason = "one test program uses it")]
    pub fn watch_memory(&self) -> JoinHandle<u64> {
        let status = format!("/proc/{}/status", self.child.id());
        std::thread::spawn(move || {
            let mut most = 0;
            // A zombie has no such line.
            while let Some(line) = std::fs::read_to_string(&status)
                .ok()
                .and_then(|text| Some(text.lines().find(|l| l.starts_with("VmHWM"))?.to_owned()))
            {
                let number = line.split_whitespace().nth(1).and_then(|word| word.parse().ok());
                most = most.max(number.unwrap_or(0));
                std::thread::sleep(Duration::from_millis(20));
            }
            most
        })
    }

    /// Waits for its end.
    #[track_caller]
    pub fn end(mut self) -> Ended {
        let mut lines = Vec::new();
        loop {
            match self.lines.recv_timeout(PATIENCE) {
                Ok(line) if log_of(&line).is_some() => {}
                Ok(line) => lines.push(Line::parse(&line)),
                Err(RecvTimeoutError::Disconnected) => break,
                Err(RecvTimeoutError::Timeout) => {
                    panic!("it does not end after {lines:#?}; it said: {}", self.said())
                }
            }
        }
        let status = self.child.wait().expect("our child").code();
        if let Some(saying) = self.saying.take() {
            saying.join().expect("it does not panic");
        }
        Ended { status, lines, said: self.said() }
    }
}

impl Drop for Batch {
    fn drop(&mut self) {
        // After a panic of the test.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// A pipe that keeps a batch at a `source` command until commands are written.
#[allow(dead_code, reason = "not every test program uses it")]
pub struct Gate(PathBuf);

#[allow(dead_code, reason = "not every test program uses it")]
impl Gate {
    /// Made in `dir`.
    pub fn new(dir: &Path, name: &str) -> Gate {
        let path = dir.join(name);
        let made = Command::new("mkfifo").arg(&path).status().expect("mkfifo is there");
        assert!(made.success());
        Gate(path)
    }

    /// The command that waits for it.
    pub fn command(&self) -> String {
        format!("source {}", self.0.display())
    }

    /// Lets the batch go on.
    pub fn open(&self) {
        std::fs::write(&self.0, "# go on\n").expect("the batch reads it");
    }
}
