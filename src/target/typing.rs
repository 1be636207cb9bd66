//! Stopping a kernel by typing into the shell on its console, for lines where
//! console and kgdb share one port and no BREAK goes through.
//!
//! It feels its way: a blank that is erased again shows whether anything
//! echoes; a fresh prompt shows what it is; only then is the line typed. A
//! password is never answered, and what is half typed is thrown away and not
//! run (Ctrl-U, then Enter).

use std::time::{Duration, Instant};

use super::prompt::{Prompt, Tail};

/// A blank and DEL, which erases it (`VERASE` in termios(3)): nothing is left
/// of it in a shell, a login or a question for a password.
const PROBE: &[u8] = b" \x7f";

/// Ctrl-U (`VKILL`), then Enter.
const FRESH: &[u8] = b"\x15\r";

/// The line. With the blank, shells that are told to keep it out of their
/// history (`HISTCONTROL=ignorespace`).
const LINE: &[u8] = b" echo g > /proc/sysrq-trigger\r";

/// How long an echo may take.
const ECHO: Duration = Duration::from_secs(3);

/// How long a prompt may take after Enter.
const PROMPT: Duration = Duration::from_secs(2);

/// Text that is followed by so much silence is whole.
const QUIET: Duration = Duration::from_millis(250);

/// How long the kernel may take to stop after the line.
const STOPS_WITHIN: Duration = Duration::from_secs(5);

/// How often Enter is typed to see a prompt.
const MOST_ENTERS: u8 = 2;

/// What to do now.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Step {
    /// Type this.
    Type(&'static [u8]),
    /// Listen, but not longer than this.
    Wait(Instant),
    /// It did not work; why, and what to do.
    Failed(String),
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Stage {
    /// Nothing was typed.
    Begin,
    /// The probe was typed.
    Probed,
    /// Enter was typed.
    Entered,
    /// The line was typed.
    Typed,
    /// Given up.
    Failed(String),
}

/// The state of one attempt.
#[derive(Debug)]
pub struct Typing {
    stage: Stage,
    tail: Tail,
    /// When the stage began.
    since: Instant,
    /// When text came last that changed what waits there.
    heard: Option<Instant>,
    /// Whether something came back that only an echo of the probe can be.
    echoed: bool,
    enters: u8,
}

impl Typing {
    /// Begins; `tail` is what the console shows now.
    pub fn new(tail: &Tail, now: Instant) -> Typing {
        let stage = match tail.prompt() {
            Some(Prompt::Password) => Stage::Failed(refusal(&Prompt::Password)),
            _ => Stage::Begin,
        };
        Typing { stage, tail: Tail::default(), since: now, heard: None, echoed: false, enters: 0 }
    }

    /// Whether the line was typed, and may be run later.
    pub fn is_typed(&self) -> bool {
        self.stage == Stage::Typed
    }

    /// In words, what is going on.
    pub fn words(&self) -> &'static str {
        match self.stage {
            Stage::Begin | Stage::Probed => "whether anything echoes on the console",
            Stage::Entered => "what prompt the console has",
            Stage::Typed | Stage::Failed(_) => "echo g > /proc/sysrq-trigger",
        }
    }

    /// Text came from the guest.
    pub fn heard(&mut self, text: &[u8], now: Instant) {
        let before = self.tail.prompt();
        self.tail.feed(text);
        // Messages of the kernel that come all the time change nothing.
        if before.is_none() || self.tail.prompt() != before {
            self.heard = Some(now);
        }
        // Erasing is echoed as a backspace, by line editors also as a cursor
        // movement, by a tty without ECHOE as `^?`.
        self.echoed |= text.iter().any(|byte| matches!(byte, 8 | 0x1b | 0x7f | b'^'));
    }

    /// What to do now.
    pub fn step(&mut self, now: Instant) -> Step {
        match &self.stage {
            Stage::Begin => self.enter(Stage::Probed, PROBE, now),
            Stage::Probed if self.echoed => {
                self.enters = 1;
                self.enter(Stage::Entered, FRESH, now)
            }
            Stage::Probed if now >= self.since + ECHO => self.fail(
                "nothing echoes on the console: there is a program that reads no line, a question for a password, or no shell on this port",
            ),
            Stage::Probed => Step::Wait(self.since + ECHO),
            Stage::Entered => self.entered(now),
            Stage::Typed => self.typed(now),
            Stage::Failed(why) => Step::Failed(why.clone()),
        }
    }

    fn entered(&mut self, now: Instant) -> Step {
        let late = self.since + PROMPT;
        let quiet = self.heard.map_or(late, |heard| heard.max(self.since) + QUIET);
        let prompt = self.tail.prompt();
        let seen = matches!(prompt, Some(Prompt::Root | Prompt::User | Prompt::Login))
            || prompt == Some(Prompt::Password);
        if now < quiet.min(late) || (!seen && now < late) {
            return Step::Wait(if seen { quiet.min(late) } else { late });
        }
        match prompt {
            Some(Prompt::Root) => self.enter(Stage::Typed, LINE, now),
            // A message of the kernel without a time may stand behind a prompt.
            None | Some(Prompt::Unknown(_)) if self.enters < MOST_ENTERS => {
                self.enters += 1;
                self.enter(Stage::Entered, FRESH, now)
            }
            None => self.fail(
                "no prompt comes: a program has the console's shell busy, end it or type the line yourself",
            ),
            Some(other) => {
                let why = refusal(&other);
                self.fail(&why)
            }
        }
    }

    fn typed(&mut self, now: Instant) -> Step {
        if let Some(why) = self.tail.lines().iter().find_map(|line| shell_refusal(line)) {
            return self.fail(why);
        }
        let late = self.since + STOPS_WITHIN;
        // The echo of the line is the first line; a prompt behind it comes when
        // the shell has run it.
        let quiet = self.heard.map_or(late, |heard| heard + 4 * QUIET);
        let back = !self.tail.lines().is_empty() && self.tail.prompt() == Some(Prompt::Root);
        if back && now >= quiet {
            return self.fail(
                "the shell ran it and the kernel did not stop: kgdb has no line (kgdboc), or the kernel has no kgdb",
            );
        }
        if now >= late {
            return self.fail(
                "the line is typed but the shell has not come back from it; the guest stops when it runs it",
            );
        }
        Step::Wait(if back { quiet.min(late) } else { late })
    }

    fn enter(&mut self, stage: Stage, bytes: &'static [u8], now: Instant) -> Step {
        self.stage = stage;
        self.since = now;
        self.heard = None;
        self.tail.clear();
        Step::Type(bytes)
    }

    fn fail(&mut self, why: &str) -> Step {
        self.stage = Stage::Failed(why.to_owned());
        Step::Failed(why.to_owned())
    }
}

/// Why nothing is typed at a prompt.
fn refusal(prompt: &Prompt) -> String {
    match prompt {
        Prompt::Root => String::new(),
        Prompt::User => "the console's shell is not root's: become root there (sudo -i, su -), then break in again".into(),
        Prompt::Login => "nobody is logged in on the console: log in there as root, then break in again".into(),
        Prompt::Password => "the console asks for a password, and none is typed for you: log in there as root, then break in again".into(),
        Prompt::Unknown(line) => format!("what has the console is no shell that is known (it shows '{line}')"),
    }
}

/// What a shell says when it can't write to /proc/sysrq-trigger, as the cure.
/// bash, dash, busybox, zsh and tee name the file, each with its own words
/// around the C library's.
pub fn shell_refusal(line: &str) -> Option<&'static str> {
    const REFUSALS: [(&str, &str); 8] = [
        ("permission denied", "permission denied: only root may write to /proc/sysrq-trigger"),
        (
            "operation not permitted",
            "not permitted: it must be root of the guest itself, not of a container in it",
        ),
        (
            "read-only file system",
            "/proc is read-only there: it must be the guest itself, not a container in it",
        ),
        ("no such file", NO_SYSRQ),
        ("nonexistent", NO_SYSRQ),
        ("does not exist", NO_SYSRQ),
        ("cannot open", "the shell could not open /proc/sysrq-trigger"),
        ("input/output error", "the kernel refused the write to /proc/sysrq-trigger"),
    ];
    const NO_SYSRQ: &str =
        "there is no /proc/sysrq-trigger: /proc is not mounted, or the kernel has no MAGIC_SYSRQ";
    let lower = line.to_lowercase();
    // Not the echo of the line that was typed.
    if !lower.contains("sysrq-trigger") {
        return None;
    }
    REFUSALS.iter().find(|(words, _)| lower.contains(words)).map(|&(_, cure)| cure)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// Runs an attempt against a console that answers what is typed; gives why
    /// it failed (empty when the line ran) and what was typed.
    fn run(before: &str, mut answer: impl FnMut(&[u8]) -> Vec<u8>) -> (String, Vec<u8>) {
        let mut now = Instant::now();
        let mut tail = Tail::default();
        tail.feed(before.as_bytes());
        let mut typing = Typing::new(&tail, now);
        let mut typed = Vec::new();
        for _ in 0..100 {
            match typing.step(now) {
                Step::Type(bytes) => {
                    typed.extend(bytes);
                    now += Duration::from_millis(5);
                    let came = answer(bytes);
                    if came == b"STOP" {
                        return (String::new(), typed);
                    }
                    if !came.is_empty() {
                        typing.heard(&came, now);
                    }
                }
                Step::Wait(until) => now = until,
                Step::Failed(why) => return (why, typed),
            }
        }
        panic!("it does not end");
    }

    /// A tty that echoes, and prints this at each Enter.
    fn shell(prompt: &'static str, result: &'static [u8]) -> impl FnMut(&[u8]) -> Vec<u8> {
        move |bytes| match bytes {
            PROBE => b" \x08 \x08".to_vec(),
            FRESH => format!("\r\n{prompt}").into_bytes(),
            _ => result.to_vec(),
        }
    }

    #[test]
    fn a_root_shell_runs_the_line() {
        let (why, typed) = run("# $?#3f", shell("\x1b[1mroot@guest\x1b[m:~# ", b"STOP"));
        assert_eq!(why, "");
        assert_eq!(typed, [PROBE, FRESH, LINE].concat());
    }

    #[test]
    fn a_message_behind_the_prompt_costs_another_enter_at_most() {
        let (why, _) = run("", shell("# [    1.234567] usb 1-1: x\r\n", b"STOP"));
        assert_eq!(why, "");
        let mut enters = 0;
        let (why, _) = run("", |bytes| match bytes {
            PROBE => b" \x08 \x08".to_vec(),
            FRESH => {
                enters += 1;
                if enters == 1 { b"\r\n# usb 1-1: x\r\n".to_vec() } else { b"\r\n# ".to_vec() }
            }
            _ => b"STOP".to_vec(),
        });
        assert_eq!((why.as_str(), enters), ("", 2));
    }

    #[test]
    fn where_nothing_is_typed_and_why() {
        let typed_before_the_line = [PROBE, FRESH].concat();
        for (prompt, words) in [
            ("me@guest:~$ ", "not root's"),
            ("guest login: ", "nobody is logged in"),
            ("Password: ", "asks for a password"),
        ] {
            let (why, typed) = run("", shell(prompt, b"STOP"));
            assert!(why.contains(words), "{prompt}: {why}");
            assert_eq!(typed, typed_before_the_line);
        }
        let (why, _) = run("", shell("mysql> ", b"STOP"));
        assert!(why.contains("'mysql>'"), "{why}");
        let (why, _) = run("", shell("", b"STOP"));
        assert!(why.contains("busy"), "{why}");
        let (why, typed) = run("guest login: root\r\nPassword: ", shell("# ", b"STOP"));
        assert!(why.contains("password") && typed.is_empty(), "{why}");
        let (why, typed) = run("[ 1.000000] booting\r\n", |_| Vec::new());
        assert!(why.contains("nothing echoes"), "{why}");
        assert_eq!(typed, PROBE);
    }

    #[test]
    fn what_the_shell_says_about_the_line() {
        for (said, words) in [
            ("bash: /proc/sysrq-trigger: Permission denied", "only root"),
            ("sh: can't create /proc/sysrq-trigger: nonexistent directory", "MAGIC_SYSRQ"),
            ("sh: 1: cannot create /proc/sysrq-trigger: Read-only file system", "container"),
            ("bash: /proc/sysrq-trigger: No such file or directory", "MAGIC_SYSRQ"),
            ("", "did not stop"),
        ] {
            let result = format!(" echo g > /proc/sysrq-trigger\r\n{said}\r\n# ");
            let (why, _) = run("# ", shell("# ", result.into_bytes().leak()));
            assert!(why.contains(words), "{said}: {why}");
        }
        assert_eq!(shell_refusal("# echo g > /proc/sysrq-trigger"), None);
        assert_eq!(shell_refusal("cat: x: Permission denied"), None);
    }

    proptest! {
        #[test]
        fn hostile_consoles_end_it(text in "(# |login: |\\[    1.000000\\] |\r\n|\x08|.){0,30}") {
            let bytes = text.into_bytes();
            let (_, typed) = run("", |_| bytes.clone());
            prop_assert!(typed.len() <= PROBE.len() + 2 * FRESH.len() + LINE.len());
        }
    }
}
