//! Files of commands: `-x FILE` and `source FILE`. They may be gdb's: what
//! means nothing here is passed over, and that is said.

use super::parse::{numbers, split};
use crate::base::text::{at_home, logical_lines};
use crate::session::settings::SETTINGS;
use std::{
    collections::VecDeque,
    fs,
    io::Read,
    path::{Path, PathBuf},
};
use thiserror::Error;

/// Files that name files, so deep.
const DEEPEST: usize = 8;
/// Commands of a file and of those it names.
const MOST_STEPS: usize = 10_000;
/// The largest file that is read.
const MOST_BYTES: u64 = 4 << 20;

/// One command that is to be done.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Step {
    /// The command.
    pub text: String,
    /// `FILE:LINE`; `None` for one that is of no file (`-ex`). One of a file that
    /// fails ends the file, as in gdb.
    pub place: Option<String>,
    /// Why it is passed over, when it is.
    pub passed_over: Option<&'static str>,
}

impl Step {
    /// A command that is of no file.
    pub fn of_line(text: &str) -> Step {
        Step { text: text.to_owned(), place: None, passed_over: None }
    }

    /// Words with the place before them.
    pub fn at_place(&self, words: &str) -> String {
        match &self.place {
            Some(place) => format!("{place}: {words}"),
            None => words.to_owned(),
        }
    }

    /// Whether it is one of a breakpoint that stopped the guest.
    pub fn is_of_breakpoint(&self) -> bool {
        self.place.as_ref().is_some_and(|place| place.starts_with(OF_BREAKPOINT))
    }

    /// What is said of one that is passed over.
    pub fn excuse(&self) -> Option<String> {
        let why = self.passed_over?;
        Some(self.at_place(&format!("passed over: {}: {why}", self.text)))
    }
}

/// One of a file failed: what is left of the file is not done.
pub fn end_file(steps: &mut VecDeque<Step>) {
    while steps.front().is_some_and(|step| step.place.is_some()) {
        steps.pop_front();
    }
}

/// Why a file can't be run.
#[derive(Clone, Debug, Error, PartialEq, Eq)]
pub enum ScriptError {
    /// It can't be read.
    #[error("can't read commands from {file}: {why}")]
    Unreadable {
        /// The file.
        file: String,
        /// What the system said.
        why: String,
    },
    /// Files name each other without an end.
    #[error("{0}: files of commands name each other more than {DEEPEST} deep")]
    TooDeep(String),
    /// Too much of it.
    #[error("{0}: more than {MOST_STEPS} commands")]
    TooLong(String),
}

/// The commands of a file, with those of the files it names in their places.
pub fn read(path: &Path) -> Result<Vec<Step>, ScriptError> {
    let mut steps = Vec::new();
    add(&at_home(&path.to_string_lossy()), 0, &mut steps)?;
    Ok(steps)
}

fn add(path: &Path, depth: usize, steps: &mut Vec<Step>) -> Result<(), ScriptError> {
    let shown = path.display();
    if depth > DEEPEST {
        return Err(ScriptError::TooDeep(shown.to_string()));
    }
    let mut bytes = Vec::new();
    let read = fs::File::open(path).and_then(|file| file.take(MOST_BYTES).read_to_end(&mut bytes));
    read.map_err(|error| ScriptError::Unreadable {
        file: shown.to_string(),
        why: error.to_string(),
    })?;
    for (number, step) in steps_of(&String::from_utf8_lossy(&bytes)) {
        let named = step.passed_over.is_none().then(|| named_file(&step.text)).flatten();
        match named {
            Some(file) => add(&beside(path, &file), depth + 1, steps)?,
            None => steps.push(Step { place: Some(format!("{shown}:{number}")), ..step }),
        }
        if steps.len() > MOST_STEPS {
            return Err(ScriptError::TooLong(shown.to_string()));
        }
    }
    Ok(())
}

/// The file of `source [-s] [-v] FILE`.
fn named_file(text: &str) -> Option<String> {
    let (command, mut rest) = split(text).ok()?;
    while let Some(after) = rest.strip_prefix("-s ").or_else(|| rest.strip_prefix("-v ")) {
        rest = after.trim_start();
    }
    (command.name == "source" && !rest.is_empty()).then(|| rest.to_owned())
}

/// A file as it is named from here; else beside the file that names it.
fn beside(naming: &Path, file: &str) -> PathBuf {
    let file = at_home(file);
    let near = naming.parent().map(|dir| dir.join(&file));
    near.filter(|near| !file.exists() && near.exists()).unwrap_or(file)
}

/// The commands of a text, with the numbers of their lines.
fn steps_of(text: &str) -> Vec<(usize, Step)> {
    let mut steps = Vec::new();
    let mut block: Option<(usize, Block)> = None;
    // Blocks that are passed over: how many an `end` is still to come for.
    let mut open = 0_usize;
    let mut python = false;
    for (number, line) in logical_lines(text) {
        let text = line.trim();
        let word = text.split_whitespace().next().unwrap_or_default();
        if let Some((begun, lines)) = &mut block {
            if lines.take(text) {
                steps.push((*begun, Step::of_line(&lines.whole())));
                block = None;
            }
            continue;
        }
        if open > 0 {
            match word {
                "end" => open -= 1,
                // In Python `if` begins no block of gdb's.
                _ if !python && begins_block(text, word) => open += 1,
                _ => {}
            }
            continue;
        }
        if text.is_empty() || text.starts_with('#') {
            continue;
        }
        if let Some(begun) = Block::begin(text) {
            block = Some((number, begun));
            continue;
        }
        let passed_over = passes_over(text, word);
        if passed_over.is_some() && begins_block(text, word) {
            open = 1;
            python = PYTHON.contains(&word);
        }
        steps.push((number, Step { text: text.to_owned(), place: None, passed_over }));
    }
    steps.extend(block.map(|(begun, lines)| (begun, Step::of_line(&lines.whole()))));
    steps
}

/// The commands of `-ex`. What follows `commands` belongs to it, up to `end`.
pub fn of_lines(lines: &[String]) -> Vec<Step> {
    let mut steps = Vec::new();
    let mut block: Option<Block> = None;
    for line in lines {
        match &mut block {
            Some(lines) => {
                if lines.take(line.trim()) {
                    steps.push(Step::of_line(&lines.whole()));
                    block = None;
                }
            }
            None => match Block::begin(line.trim()) {
                Some(begun) => block = Some(begun),
                None => steps.push(Step::of_line(line)),
            },
        }
    }
    steps.extend(block.map(|lines| Step::of_line(&lines.whole())));
    steps
}

/// What is done at a breakpoint that stopped the guest.
pub fn of_breakpoint(commands: &[String]) -> Vec<Step> {
    let step = |(number, text): (usize, &String)| Step {
        place: Some(format!("{OF_BREAKPOINT}:{number}")),
        ..Step::of_line(text)
    };
    (1..).zip(commands).filter(|(_, text)| *text != SILENT).map(step).collect()
}

/// Where commands of a breakpoint are.
const OF_BREAKPOINT: &str = "commands of the breakpoint";

/// The command of a breakpoint that has a stop there told in no words.
pub const SILENT: &str = "silent";

/// `commands [NUMBER …]` and the lines that follow it.
struct Block {
    lines: Vec<String>,
    /// Blocks inside it that an `end` is still to come for.
    open: usize,
}

impl Block {
    /// Begins with `commands` and nothing but numbers.
    fn begin(text: &str) -> Option<Block> {
        let (command, args) = split(text).ok()?;
        let begins = command.name == "commands" && numbers(args).is_ok();
        begins.then(|| Block { lines: vec![text.to_owned()], open: 0 })
    }

    /// Takes a line; whether it is the last one.
    fn take(&mut self, text: &str) -> bool {
        if text.is_empty() || text.starts_with('#') {
            return false;
        }
        self.lines.push(text.to_owned());
        let word = text.split_whitespace().next().unwrap_or_default();
        match word {
            "end" if self.open == 0 => return true,
            "end" => self.open -= 1,
            _ if begins_block(text, word) => self.open += 1,
            _ => {}
        }
        false
    }

    /// As one line of the command table.
    fn whole(&self) -> String {
        let (first, rest) = self.lines.split_first().expect("it begins with one");
        format!("{first} {}", rest.join("; "))
    }
}

const PYTHON: &[&str] = &["python", "py", "python-interactive", "pi", "guile", "gu"];

/// Whether lines follow that belong to it, up to `end`.
fn begins_block(text: &str, word: &str) -> bool {
    match word {
        "define" | "define-prefix" | "document" | "if" | "while" => true,
        "commands" => Block::begin(text).is_some(),
        // With words after it, it is one line.
        _ => PYTHON.contains(&word) && text == word,
    }
}

/// Why a command of gdb's means nothing here; `None` when it is to be done (and
/// fails, when it is none).
fn passes_over(text: &str, word: &str) -> Option<&'static str> {
    const NOTHING: &str = "a command of gdb's that means nothing here";
    let rest = text[word.len()..].trim();
    if word == "set" {
        let name = rest.split([' ', '=', '\t']).next().unwrap_or_default();
        let is_ours = SETTINGS.iter().any(|setting| setting.name.starts_with(name));
        let is_gdbs = GDB_SETTINGS.contains(&name);
        return (is_gdbs && !is_ours).then_some("a setting of gdb's that means nothing here");
    }
    if word == "source" && rest.ends_with(".py") {
        return Some("there is no Python here");
    }
    // gdb's skips functions as it steps, and is told which.
    if word == "skip" && !rest.is_empty() {
        return Some(NOTHING);
    }
    if split(text).is_ok() {
        return None;
    }
    match word {
        "target" | "tar" => Some("the target is given by --connect"),
        "file" | "symbol-file" | "exec-file" => Some("the vmlinux is given by --vmlinux"),
        "directory" | "dir" => Some("directories of sources are given by --source-dir"),
        _ if PYTHON.contains(&word) => Some("there is no Python here"),
        _ if word.starts_with("lx-") => Some("gdb's scripts of the kernel are not needed here"),
        _ if GDB_COMMANDS.contains(&word) => Some(NOTHING),
        _ => None,
    }
}

/// Commands of gdb's that scripts have and that mean nothing here.
const GDB_COMMANDS: &[&str] = &[
    "add-auto-load-safe-path",
    "add-auto-load-scripts-directory",
    "alias",
    "cd",
    "core-file",
    "define",
    "define-prefix",
    "disconnect",
    "document",
    "dont-repeat",
    "echo",
    "flushregs",
    "handle",
    "if",
    "kill",
    "load",
    "macro",
    "maintenance",
    "maint",
    "pwd",
    "refresh",
    "remote",
    "run",
    "shell",
    "sharedlibrary",
    "start",
    "starti",
    "tui",
    "undisplay",
    "unset",
    "while",
    "winheight",
    "with",
];

/// Settings of gdb's that scripts change and that mean nothing here.
const GDB_SETTINGS: &[&str] = &[
    "architecture",
    "arch",
    "auto-load",
    "auto-solib-add",
    "backtrace",
    "breakpoint",
    "can-use-hw-watchpoints",
    "charset",
    "confirm",
    "cwd",
    "debug",
    "debug-file-directory",
    "debuginfod",
    "disassemble-next-line",
    "editing",
    "endian",
    "environment",
    "follow-fork-mode",
    "height",
    "history",
    "host-charset",
    "input-radix",
    "language",
    "logging",
    "mem",
    "max-completions",
    "max-value-size",
    "non-stop",
    "osabi",
    "output-radix",
    "pagination",
    "print",
    "prompt",
    "python",
    "radix",
    "remote",
    "remotebaud",
    "remotecache",
    "remotetimeout",
    "scheduler-locking",
    "schedule-multiple",
    "serial",
    "solib-search-path",
    "stack-cache",
    "startup-with-shell",
    "step-mode",
    "stop-on-solib-events",
    "style",
    "sysroot",
    "tcp",
    "trace-commands",
    "trust-readonly-sections",
    "tui",
    "unwindonsignal",
    "verbose",
    "watchdog",
    "width",
];

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    type Lines = Vec<(usize, String)>;

    /// What is done, and what is passed over.
    fn split_up(text: &str) -> (Lines, Lines) {
        let (passed, done): (Vec<_>, Vec<_>) =
            steps_of(text).into_iter().partition(|(_, step)| step.passed_over.is_some());
        let texts = |steps: Vec<(usize, Step)>| {
            steps.into_iter().map(|(number, step)| (number, step.text)).collect()
        };
        (texts(done), texts(passed))
    }

    fn lines(of: &[(usize, &str)]) -> Lines {
        of.iter().map(|(number, text)| (*number, (*text).to_owned())).collect()
    }

    #[test]
    fn a_script_made_for_gdb() {
        let (done, passed) = split_up(
            "# made by hand\n\
             set confirm off\n\
             set substitute-path /build /src\n\
             set architecture i386:x86-64\n\
             target remote localhost:9999\n\
             add-symbol-file hgfs.ko 0x1000 \\\n  -s .data 0x2000 \\\n  -s .bss 0x3000\n\
             python\nimport gdb\nif True:\n    print(1)\nend\n\
             define hook-stop\nif $x\nbt\nend\nend\n\
             py print(1)\n\
             set var jiffies = 1\n\
             lx-symbols\n\
             zork\n\
             b HgfsSendRequest\n",
        );
        let symbols = "add-symbol-file hgfs.ko 0x1000   -s .data 0x2000   -s .bss 0x3000";
        let want = [
            (3, "set substitute-path /build /src"),
            (6, symbols),
            (20, "set var jiffies = 1"),
            (22, "zork"),
            (23, "b HgfsSendRequest"),
        ];
        assert_eq!(done, lines(&want));
        let want = [
            (2, "set confirm off"),
            (4, "set architecture i386:x86-64"),
            (5, "target remote localhost:9999"),
            (9, "python"),
            (14, "define hook-stop"),
            (19, "py print(1)"),
            (21, "lx-symbols"),
        ];
        assert_eq!(passed, lines(&want));
    }

    #[test]
    fn files_name_files() {
        let dir = tempfile::tempdir().unwrap();
        let write = |name: &str, text: &str| {
            let file = dir.path().join(name);
            fs::write(&file, text).unwrap();
            file
        };
        let first = write("first", "bt\n\nsource second.gdb\nsource x.py\nup\n");
        let second = write("second.gdb", "tar rem :1\ndown\n");
        let steps = read(&first).unwrap();
        let told = |step: &Step| step.excuse().unwrap_or_else(|| step.at_place(&step.text));
        let told: Vec<String> = steps.iter().map(told).collect();
        let (first, second) = (first.display(), second.display());
        let why = "passed over: tar rem :1: the target is given by --connect";
        let python = "passed over: source x.py: there is no Python here";
        assert_eq!(
            told,
            [
                format!("{first}:1: bt"),
                format!("{second}:1: {why}"),
                format!("{second}:2: down"),
                format!("{first}:4: {python}"),
                format!("{first}:5: up"),
            ]
        );
        let own = write("own", "source own\n");
        assert!(matches!(read(&own), Err(ScriptError::TooDeep(_))));
        let long = write("long", &"bt\n".repeat(MOST_STEPS + 1));
        assert!(matches!(read(&long), Err(ScriptError::TooLong(_))));
        let error = read(&dir.path().join("absent")).unwrap_err().to_string();
        assert!(error.starts_with("can't read commands from") && error.contains("absent"));
    }

    #[test]
    fn commands_of_a_breakpoint_are_one_step() {
        let text = "break f\ncommands\n  silent\n\n  # why\n  print x\nend\nup\n";
        let texts = |steps: Vec<Step>| steps.into_iter().map(|s| s.text).collect::<Vec<_>>();
        let all = |text| texts(steps_of(text).into_iter().map(|(_, step)| step).collect());
        assert_eq!(all(text), ["break f", "commands silent; print x; end", "up"]);
        assert_eq!(all("commands 1 bt; up\nup"), ["commands 1 bt; up", "up"]);
        assert_eq!(all("commands 2\nif x\nbt\nend\nend\nup")[1], "up", "a block in it");
        assert_eq!(all("commands 1\nbt"), ["commands 1 bt"], "up to the end of the file");
        let lines = ["commands 1-2", "bt", "end", "up"].map(str::to_owned);
        assert_eq!(texts(of_lines(&lines)), ["commands 1-2 bt; end", "up"]);
        let steps = of_breakpoint(&["silent".into(), "bt".into()]);
        assert!(steps.len() == 1 && steps[0].is_of_breakpoint());
    }

    #[test]
    fn gdbs_words_are_not_ours() {
        for word in GDB_COMMANDS {
            assert!(split(word).is_err(), "{word} is a command of ours");
        }
    }

    proptest! {
        #[test]
        fn any_text_is_read(text in "((set|python|end|if|bt|source x|#) ?[a-z ]{0,6}\n){0,12}") {
            for (number, step) in steps_of(&text) {
                prop_assert!(number <= text.lines().count());
                prop_assert!(!step.text.is_empty());
            }
        }
    }
}
