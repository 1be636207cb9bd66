//! A look at the whole chain, from this machine to the guest's kernel: each
//! check is a line, and what is wrong comes with its cure.
//!
//! It works with what there is. Without a vmlinux, a `.vmx`, a connection or a
//! stopped guest the lines that need it say that they were not looked at, and
//! what to give. It changes nothing: the guest is left as it was found.

mod address;
pub mod holders;
mod kernel;
mod line;
mod machine;
mod options;

use crate::{kernel::kconfig::Config, session::options::Options};
use serde::Serialize;
use std::{fs::File, io::Read, path::PathBuf, time::Duration};

/// More bytes than a file with a configuration is read of: a kernel image that
/// has one inside is at most so large.
const MOST_CONFIG: u64 = 128 << 20;

/// What is to be looked at.
#[derive(Clone, Debug)]
pub struct Asked {
    /// The address, the vmlinux, the sources.
    pub options: Options,
    /// VMware's file of the guest.
    pub vmx: Option<PathBuf>,
    /// The configuration of the guest's kernel.
    pub config_file: Option<PathBuf>,
    /// Whether a running guest may be stopped for a moment, to look into it.
    pub stop: bool,
    /// How long to listen for the marker of a port.
    pub listen: Option<Duration>,
    /// How long the connection and a stop may take.
    pub timeout: Duration,
}

/// How a check came out.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Health {
    /// As it should be.
    Ok,
    /// Something does not work that one may do without.
    Warning,
    /// The guest can't be debugged, or not with what was given.
    Wrong,
    /// Something that is needed to look is not there.
    NotLooked,
}

impl Health {
    fn word(self) -> &'static str {
        match self {
            Health::Ok => "ok",
            Health::Warning => "warning",
            Health::Wrong => "WRONG",
            Health::NotLooked => "-",
        }
    }
}

/// One check.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Check {
    /// Which part of the chain it is about.
    pub part: Part,
    /// What was looked at.
    pub what: String,
    /// How it came out.
    pub health: Health,
    /// What was found.
    pub found: String,
    /// What to do, or to give so that it is looked at.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cure: Option<String>,
}

/// A part of the chain, in its order.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Part {
    /// This machine.
    Host,
    /// The virtual machine, as VMware's file has it.
    Machine,
    /// The connection and what is at its other end.
    Line,
    /// The guest's kernel as it runs.
    Guest,
    /// What that was built with.
    Config,
    /// Symbols and sources on this machine.
    Files,
}

impl Part {
    fn title(self) -> &'static str {
        match self {
            Part::Host => "this machine",
            Part::Machine => "the virtual machine",
            Part::Line => "the line",
            Part::Guest => "the guest's kernel",
            Part::Config => "its configuration",
            Part::Files => "symbols and sources",
        }
    }
}

/// The checks so far.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Report {
    /// In the order of the chain.
    pub checks: Vec<Check>,
}

impl Report {
    fn add(
        &mut self,
        part: Part,
        health: Health,
        what: &str,
        found: impl Into<String>,
    ) -> &mut Check {
        let (what, found) = (what.to_owned(), found.into());
        self.checks.push(Check { part, what, health, found, cure: None });
        let last = self.checks.len() - 1;
        &mut self.checks[last]
    }

    fn ok(&mut self, part: Part, what: &str, found: impl Into<String>) {
        self.add(part, Health::Ok, what, found);
    }

    fn warning(&mut self, part: Part, what: &str, found: impl Into<String>, cure: &str) {
        self.add(part, Health::Warning, what, found).cure = Some(cure.to_owned());
    }

    fn wrong(&mut self, part: Part, what: &str, found: impl Into<String>, cure: &str) {
        self.add(part, Health::Wrong, what, found).cure = Some(cure.to_owned());
    }

    fn not_looked(&mut self, part: Part, what: &str, why: &str, give: &str) {
        let found = format!("not looked at: {why}");
        self.add(part, Health::NotLooked, what, found).cure = Some(give.to_owned());
    }

    /// Whether nothing is wrong.
    pub fn is_good(&self) -> bool {
        self.checks.iter().all(|check| check.health != Health::Wrong)
    }

    /// As text: a line for each check, and its cure below.
    pub fn text(&self) -> String {
        let mut lines = Vec::new();
        let mut part = None;
        for check in &self.checks {
            if part.replace(check.part) != Some(check.part) {
                lines.push(check.part.title().to_owned());
            }
            let Check { what, found, cure, .. } = check;
            lines.push(format!("  {:<8} {what}: {found}", check.health.word()));
            let name = if check.health == Health::NotLooked { "to look" } else { "cure" };
            lines.extend(cure.iter().map(|cure| format!("           {name}: {cure}")));
        }
        let count = |health: Health| self.checks.iter().filter(|c| c.health == health).count();
        let counts = [
            (count(Health::Wrong), "wrong"),
            (count(Health::Warning), "warnings"),
            (count(Health::NotLooked), "not looked at"),
        ];
        let told = counts.iter().filter(|(count, _)| *count > 0);
        let told: Vec<String> = told.map(|(count, word)| format!("{count} {word}")).collect();
        let first = if self.is_good() { "nothing is wrong" } else { "" };
        let all = std::iter::once(first.to_owned()).filter(|first| !first.is_empty()).chain(told);
        lines.push(all.collect::<Vec<_>>().join(", "));
        lines.join("\n") + "\n"
    }
}

/// Looks at all of it. `say` gets words while something is waited for.
///
/// # Errors
/// The session could not be started.
pub async fn run(asked: &Asked, say: &mut dyn FnMut(&str)) -> std::io::Result<Report> {
    let mut report = Report::default();
    let usable = address::look(&mut report, asked.options.connect.as_ref());
    machine::look(&mut report, asked);
    let mut config = asked.config_file.as_ref().and_then(|path| read_config(&mut report, path));
    line::look(&mut report, asked, usable, &mut config, say).await?;
    options::look(&mut report, config.as_ref());
    // A check may be made before those that the chain has earlier.
    report.checks.sort_by_key(|check| check.part);
    Ok(report)
}

/// A configuration and where it is from.
#[derive(Clone, Debug)]
struct Known {
    config: Config,
    from: String,
}

fn read_config(report: &mut Report, path: &PathBuf) -> Option<Known> {
    let what = "--config-file";
    let mut bytes = Vec::new();
    let read = File::open(path).and_then(|file| file.take(MOST_CONFIG).read_to_end(&mut bytes));
    if let Err(error) = read {
        let cure = "give a copy of the guest's /boot/config-RELEASE or /proc/config.gz";
        report.wrong(Part::Config, what, format!("{}: {error}", path.display()), cure);
        return None;
    }
    match Config::of_bytes(&bytes) {
        Ok(config) => Some(Known { config, from: path.display().to_string() }),
        Err(why) => {
            let cure = "give a copy of the guest's /boot/config-RELEASE or /proc/config.gz";
            report.wrong(Part::Config, what, format!("{}: {why}", path.display()), cure);
            None
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_report_is_lines_with_their_cures() {
        let mut report = Report::default();
        report.ok(Part::Host, "socket", "there");
        report.warning(Part::Host, "mode", "odd", "chmod");
        assert!(report.is_good());
        assert!(report.text().ends_with("nothing is wrong, 1 warnings\n"));
        report.wrong(Part::Line, "stub", "none", "start the guest");
        report.not_looked(Part::Guest, "release", "it runs", "stop it");
        assert!(!report.is_good());
        let want = "this machine\n  ok       socket: there\n  warning  mode: odd\n           cure: chmod\nthe line\n  WRONG    stub: none\n           cure: start the guest\nthe guest's kernel\n  -        release: not looked at: it runs\n           to look: stop it\n1 wrong, 1 warnings, 1 not looked at\n";
        assert_eq!(report.text(), want);
        let json = serde_json::to_value(&report).unwrap();
        assert_eq!(json["checks"][2]["health"], "wrong");
        assert_eq!(json["checks"][3]["part"], "guest");
    }
}
