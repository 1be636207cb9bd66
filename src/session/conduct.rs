//! What a breakpoint does when control comes to it: which of the times count,
//! and what follows.

use super::request::{Breaking, Pattern, When};
use crate::eval::expr::printf;
use serde::Serialize;
use std::{ops::Range, path::PathBuf, time::Duration};

/// What stands before the first comma of a `dprintf` that separates something:
/// its location.
pub fn before_format(text: &str) -> Range<usize> {
    printf::split(text).into_iter().next().unwrap_or(0..0)
}

/// That a format and its expressions can be read.
///
/// # Errors
/// What is wrong, with the place.
pub fn check_format(text: &str) -> Result<(), String> {
    printf::Printf::parse(text).map(drop).map_err(|error| error.shown(text))
}

/// What becomes of a breakpoint that stopped the guest.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum After {
    /// It stays.
    #[default]
    Stays,
    /// It is disabled once it has stopped the guest so often (`enable once`,
    /// `enable count`).
    Disabled(u32),
    /// It is gone (`enable delete`, `tbreak`).
    Deleted,
}

/// What a breakpoint does beside being at its sites.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Conduct {
    /// So many of the next hits do not stop the guest.
    pub ignore: u64,
    /// What becomes of it when it has stopped the guest.
    pub after: After,
    /// What is done when it has stopped the guest.
    pub commands: Vec<String>,
    /// Printed instead of stopping: the text after the location of `dprintf`.
    pub log: Option<String>,
    /// How often control came and the guest went on.
    pub passed: u64,
}

/// What a hit that counts leads to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// The guest goes on.
    GoOn,
    /// Something is printed, and the guest goes on.
    Print,
    /// The guest stays stopped. The breakpoint may be disabled now, or gone.
    Stop {
        /// Whether it is to be disabled.
        disable: bool,
        /// Whether it is to be deleted.
        delete: bool,
    },
}

impl Conduct {
    /// Takes in a hit that counts. As gdb: ignored hits are hits; a count of
    /// `enable count` goes down by stops.
    pub fn hit(&mut self) -> Verdict {
        if self.ignore > 0 {
            self.ignore -= 1;
            self.passed += 1;
            return Verdict::GoOn;
        }
        if self.log.is_some() {
            self.passed += 1;
            return Verdict::Print;
        }
        let (disable, delete) = match &mut self.after {
            After::Stays => (false, false),
            After::Deleted => (false, true),
            After::Disabled(left) => {
                *left = left.saturating_sub(1);
                (*left == 0, false)
            }
        };
        if disable {
            self.after = After::Stays;
        }
        Verdict::Stop { disable, delete }
    }
}

/// Conduct as it is shown.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct ConductView {
    /// The C expression that must be true.
    pub condition: Option<String>,
    /// How many of the next hits are ignored.
    pub ignore: u64,
    /// What else must be so.
    pub scope: Scope,
    /// What is done at a stop.
    pub commands: Vec<String>,
    /// What is printed instead of stopping.
    pub log: Option<String>,
    /// How often control came and the guest went on.
    pub passed: u64,
    /// What becomes of it after a stop, in words.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub after: Option<String>,
}

/// Who must come for it to count.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Scope {
    /// The task, by pid.
    pub task: Option<i64>,
    /// The CPU.
    pub cpu: Option<u32>,
    /// The task's name.
    pub comm: Option<String>,
}

impl Scope {
    /// In the words of the command line; empty when everybody counts.
    pub fn words(&self) -> String {
        let mut words = Vec::new();
        words.extend(self.task.map(|pid| format!("task {pid}")));
        words.extend(self.cpu.map(|cpu| format!("cpu {cpu}")));
        words.extend(self.comm.as_ref().map(|comm| {
            let plain = !comm.is_empty() && !comm.contains([' ', '"', '\'', '\t']);
            if plain { format!("comm {comm}") } else { format!("comm \"{comm}\"") }
        }));
        words.join(" ")
    }
}

impl ConductView {
    /// Of a wish.
    pub fn of(when: &When, conduct: &Conduct) -> ConductView {
        ConductView {
            condition: when.condition.clone(),
            ignore: conduct.ignore,
            scope: Scope { task: when.task, cpu: when.cpu, comm: when.comm.clone() },
            commands: conduct.commands.clone(),
            log: conduct.log.clone(),
            passed: conduct.passed,
            after: conduct.after.words(),
        }
    }
}

/// The number that means the breakpoint which was set last (`$bpnum`).
pub const LAST: u32 = 0;

/// A change of breakpoints, or what is like one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Adjusting {
    /// `condition N [EXPR]`.
    Condition(u32, Option<String>),
    /// `ignore N COUNT`.
    Ignore(u32, u64),
    /// `enable once|delete|count`; all of them when the list is empty.
    Enable(After, Vec<u32>),
    /// `commands [N …]`.
    Commands(Vec<u32>, Vec<String>),
    /// `dprintf`: a breakpoint that prints this and lets the guest go on.
    Log(Breaking, String),
    /// `rbreak`: a breakpoint at each function whose name fits.
    Matching(Pattern),
    /// `save breakpoints`.
    Save(PathBuf),
}

/// What a log point printed.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct LogLine {
    /// The breakpoint's number.
    pub breakpoint: u32,
    /// Since the session began.
    #[serde(serialize_with = "seconds")]
    pub seconds: Duration,
    /// The CPU, when it is known.
    pub cpu: Option<u32>,
    /// The task's pid.
    pub pid: Option<i64>,
    /// The task's name, when it is known.
    pub comm: Option<String>,
    /// What was printed, without the line's end.
    pub text: String,
}

fn seconds<S: serde::Serializer>(time: &Duration, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_f64((time.as_secs_f64() * 1e6).round() / 1e6)
}

/// What the breakpoints that stopped the guest leave to be done.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct AtHit {
    /// Their commands.
    pub commands: Vec<String>,
    /// Whether somebody waited for this stop, and hears of the commands.
    pub asked: bool,
    /// Why a condition could not be told.
    pub error: Option<String>,
}

#[cfg(test)]
mod tests {
    use super::*;

    const STOP: Verdict = Verdict::Stop { disable: false, delete: false };

    #[test]
    fn ignored_hits_do_not_stop_and_do_not_use_up_what_is_counted_by_stops() {
        let mut conduct = Conduct { ignore: 2, after: After::Disabled(2), ..Conduct::default() };
        assert_eq!([conduct.hit(), conduct.hit()], [Verdict::GoOn; 2]);
        assert_eq!(conduct.hit(), STOP);
        assert_eq!(conduct.hit(), Verdict::Stop { disable: true, delete: false });
        assert_eq!((conduct.passed, conduct.after), (2, After::Stays));
    }

    #[test]
    fn a_log_point_prints_and_one_for_a_single_hit_goes() {
        let mut log = Conduct { log: Some("\"x\"".into()), ..Conduct::default() };
        assert_eq!(log.hit(), Verdict::Print);
        let mut once = Conduct { after: After::Deleted, ..Conduct::default() };
        assert_eq!(once.hit(), Verdict::Stop { disable: false, delete: true });
    }

    #[test]
    fn a_scope_is_written_as_it_is_read() {
        let scope = Scope { task: Some(7), cpu: Some(1), comm: Some("kworker/0:1".into()) };
        assert_eq!(scope.words(), "task 7 cpu 1 comm kworker/0:1");
        let scope = Scope { comm: Some("a b".into()), ..Scope::default() };
        assert_eq!(scope.words(), "comm \"a b\"");
    }
}
