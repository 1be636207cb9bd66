//! A crash as it is shown, and what can be caught of crashes.

use crate::base::addr::Addr;
use serde::{Deserialize, Serialize};

/// What the kernel does when something is wrong (`catch`).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum CrashEvent {
    /// It gives up.
    Panic,
    /// An exception in its own code.
    Oops,
    /// BUG().
    Bug,
    /// WARN().
    Warn,
    /// A task that was blocked for too long.
    Hung,
}

impl CrashEvent {
    /// All there are.
    pub const ALL: [CrashEvent; 5] =
        [CrashEvent::Panic, CrashEvent::Oops, CrashEvent::Bug, CrashEvent::Warn, CrashEvent::Hung];

    /// The word that `catch` takes.
    pub fn word(self) -> &'static str {
        match self {
            CrashEvent::Panic => "panic",
            CrashEvent::Oops => "oops",
            CrashEvent::Bug => "bug",
            CrashEvent::Warn => "warn",
            CrashEvent::Hung => "hung",
        }
    }

    /// What is caught, for the list of breakpoints.
    pub fn means(self) -> &'static str {
        match self {
            CrashEvent::Panic => "a panic of the kernel",
            CrashEvent::Oops => "an exception in kernel code",
            CrashEvent::Bug => "a BUG()",
            CrashEvent::Warn => "a WARN()",
            CrashEvent::Hung => "a task that hangs",
        }
    }

    /// The event of a word.
    pub fn of(word: &str) -> Option<CrashEvent> {
        CrashEvent::ALL.into_iter().find(|event| event.word() == word)
    }
}

/// Something that can be done at a crash.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Way {
    /// The key for it while the crash is on screen.
    pub key: char,
    /// The command.
    pub command: &'static str,
    /// What it does here.
    pub does: String,
}

/// A crash, explained.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct CrashView {
    /// `panic`, `oops`, `bug`, `warn` or `hung`.
    pub event: &'static str,
    /// What it is, in two or three words.
    pub headline: String,
    /// What happened, in one line.
    pub reason: String,
    /// The task that did it, or that hangs.
    pub pid: Option<i64>,
    /// Its name.
    pub comm: Option<String>,
    /// The function that did it.
    pub function: Option<String>,
    /// The file as DWARF has it.
    pub file: Option<String>,
    /// The line.
    pub line: Option<u32>,
    /// The source there.
    pub source: Option<String>,
    /// Where.
    pub pc: Option<Addr>,
    /// The instruction; null where there is none.
    pub instruction: Option<String>,
    /// The memory it used: the operand with the values of its registers.
    pub operand: Option<String>,
    /// The address it used.
    pub address: Option<Addr>,
    /// What that address is.
    pub address_is: Option<String>,
    /// The variable and member that led there.
    pub expression: Option<String>,
    /// The number of the exception.
    pub vector: Option<u64>,
    /// The error code that the CPU gave.
    pub error_code: Option<Addr>,
    /// What it means.
    pub error: Option<String>,
    /// The kernel's own word for it; a panic's message.
    pub message: Option<String>,
    /// Functions of the kernel's that only report it, innermost first; they
    /// are left out of the stack.
    pub reported_by: Vec<String>,
    /// What else is to be known.
    pub notes: Vec<String>,
    /// Whether to go on means to run into it again.
    pub repeats: bool,
    /// What can be done.
    pub ways: Vec<Way>,
}
