//! Stopping a running kernel.
//!
//! On x86 the serial driver does not look for packets or Ctrl-C while the
//! kernel runs (`kgdboc` registers no receive hook with 8250), so a packet
//! would only reach the shell. What works over the line is sysrq: a BREAK and,
//! within 5 seconds, the key `g` (`uart_handle_sysrq_char` in
//! `include/linux/serial_core.h`). It needs the port to be a registered
//! console, and `kernel.sysrq` to be exactly 1. Else somebody must write `g` to
//! `/proc/sysrq-trigger` in the guest: a command of the user's, we ourselves in
//! the console's shell, or the user by hand.
//!
//! An [`Attempt`] tries these in turn: ask it with [`Attempt::next`] what to do,
//! tell it what happened. When it goes on from one way to the next, nothing of
//! the former is left that could stop the kernel, or be typed into a shell,
//! later; where that can't be promised, [`Attempt::is_loose`] says so.

use std::{
    collections::VecDeque,
    time::{Duration, Instant},
};

use super::{
    console::Sign,
    prompt::Tail,
    typing::{self, Typing},
};

/// What is left on the line of a BREAK and `g` that did nothing is this: the
/// `g` was taken as typed. DEL erases it again; a stub that came to stop after
/// all reads over it.
const ERASE: &[u8] = b"\x7f";

/// What was typed before must have arrived: QEMU's telnet passes a BREAK on
/// ahead of data that came in the same piece (`tcp_chr_process_IAC_bytes`), and
/// the kernel would take that data for the key (measured, QEMU 7.2).
const PAUSE: Duration = Duration::from_millis(100);

/// How long a kernel takes to stop after the key: the roundup of the CPUs
/// gives up after a second, the banner goes over the line.
const STOPS_WITHIN: Duration = Duration::from_secs(3);

/// A `g` that was echoed was not taken as a key; a stop does not come any more.
const ECHO_SETTLES: Duration = Duration::from_millis(500);

/// How long a break-in command of the user's may take.
pub const COMMAND_PATIENCE: Duration = Duration::from_secs(30);

/// How long a guest may take to stop after the command has ended.
const COMMAND_SETTLES: Duration = Duration::from_secs(3);

/// What the user can type in the guest as root when the line has no BREAK.
/// `write_sysrq_trigger` does not look at `kernel.sysrq`.
pub const BY_HAND: &str = "echo g > /proc/sysrq-trigger";

/// A way to stop a running kernel.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Way {
    /// BREAK on the line, then the sysrq key for the debugger.
    Break,
    /// A command of the user's.
    Command,
    /// Typing into the shell on the console.
    Shell,
    /// The user types in the guest; we listen.
    Hand,
}

impl Way {
    /// One word for batch.
    pub fn word(self) -> &'static str {
        match self {
            Way::Break => "break",
            Way::Command => "command",
            Way::Shell => "shell",
            Way::Hand => "by hand",
        }
    }
}

/// A way that was tried, and what came of it.
#[derive(Debug, Clone, PartialEq)]
pub struct Tried {
    /// Which.
    pub way: Way,
    /// How it ended.
    pub outcome: Outcome,
    /// How long it took.
    pub time: Duration,
}

/// How a way ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Outcome {
    /// The kernel stopped.
    Stopped,
    /// It did not work; why, and what to do.
    Failed(String),
    /// It was given up before it was known.
    GivenUp,
}

/// What to do now.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Act {
    /// Tell that this way begins.
    Begin(Way),
    /// Tell that a way failed; why, and what to do.
    Failed(Way, String),
    /// Send a BREAK.
    Break,
    /// Type this.
    Type(&'static [u8]),
    /// Run the user's command.
    Run,
    /// End the user's command.
    Kill,
    /// Listen, but not longer than this.
    Wait(Instant),
    /// Listen for as long as it takes.
    Listen,
}

#[derive(Debug)]
enum Stage {
    /// Between two ways.
    Between,
    Break(Breaking),
    /// The command runs until it ends, at most until then.
    Command(Instant),
    /// It has ended well; the guest should stop until then.
    CommandEnded(Instant),
    Shell(Typing),
    Hand,
}

#[derive(Debug)]
enum Breaking {
    /// What was typed before arrives.
    Pausing(Instant),
    /// The BREAK was sent.
    Sent,
    /// The key was sent; it should stop until then.
    Keyed(Instant),
}

/// One attempt to stop the kernel.
#[derive(Debug)]
pub struct Attempt {
    ways: VecDeque<Way>,
    stage: Stage,
    /// What is to be done before anything else.
    acts: VecDeque<Act>,
    /// When the way began.
    since: Instant,
    tried: Vec<Tried>,
    tail: Tail,
    /// The key came back as text.
    echoed: bool,
    /// BREAK was tried again, because another key had come between.
    again: bool,
    loose: bool,
}

impl Attempt {
    /// Will try these ways; the last is [`Way::Hand`], always. `tail` is what
    /// the console shows now.
    pub fn new(ways: impl IntoIterator<Item = Way>, tail: Tail, now: Instant) -> Attempt {
        Attempt {
            ways: ways.into_iter().collect(),
            stage: Stage::Between,
            acts: VecDeque::new(),
            since: now,
            tried: Vec::new(),
            tail,
            echoed: false,
            again: false,
            loose: false,
        }
    }

    /// What is tried now; `None` before the first.
    pub fn way(&self) -> Option<Way> {
        match self.stage {
            Stage::Between => None,
            Stage::Break(_) => Some(Way::Break),
            Stage::Command(_) | Stage::CommandEnded(_) => Some(Way::Command),
            Stage::Shell(_) => Some(Way::Shell),
            Stage::Hand => Some(Way::Hand),
        }
    }

    /// Ways that failed until now.
    pub fn tried(&self) -> &[Tried] {
        &self.tried
    }

    /// What the way under way is busy with, where there is something to tell.
    pub fn busy_with(&self) -> Option<&'static str> {
        match &self.stage {
            Stage::Shell(typing) => Some(typing.words()),
            _ => None,
        }
    }

    /// Whether something that was begun may still stop the kernel.
    pub fn is_loose(&self) -> bool {
        let now = match &self.stage {
            Stage::Between | Stage::Hand => false,
            Stage::Break(breaking) => !matches!(breaking, Breaking::Pausing(_)),
            Stage::Command(_) | Stage::CommandEnded(_) => true,
            Stage::Shell(typing) => typing.is_typed(),
        };
        self.loose || now
    }

    /// What to do now. Ask again after each act but the last two.
    pub fn next(&mut self, now: Instant) -> Act {
        loop {
            if let Some(act) = self.acts.pop_front() {
                return act;
            }
            match &mut self.stage {
                Stage::Between => self.begin(now),
                Stage::Break(Breaking::Pausing(until)) => {
                    if now < *until {
                        return Act::Wait(*until);
                    }
                    self.stage = Stage::Break(Breaking::Sent);
                    return Act::Break;
                }
                Stage::Break(Breaking::Sent) => {
                    self.echoed = false;
                    self.stage = Stage::Break(Breaking::Keyed(now + STOPS_WITHIN));
                    return Act::Type(b"g");
                }
                Stage::Break(Breaking::Keyed(until)) => {
                    if now < *until {
                        return Act::Wait(*until);
                    }
                    self.acts.push_back(Act::Type(ERASE));
                    let why = match self.echoed {
                        true => ECHOED,
                        false => SILENT,
                    };
                    self.loose = !self.echoed;
                    self.fail(why.into(), now);
                }
                Stage::Command(until) => {
                    if now < *until {
                        return Act::Wait(*until);
                    }
                    self.loose = true;
                    self.acts.push_back(Act::Kill);
                    let seconds = COMMAND_PATIENCE.as_secs();
                    self.fail(format!("it did not end in {seconds} s and was ended"), now);
                }
                Stage::CommandEnded(until) => {
                    if now < *until {
                        return Act::Wait(*until);
                    }
                    self.loose = true;
                    self.fail("it ended well, but the guest did not stop".into(), now);
                }
                Stage::Shell(typing) => match typing.step(now) {
                    typing::Step::Type(bytes) => return Act::Type(bytes),
                    typing::Step::Wait(until) => return Act::Wait(until),
                    typing::Step::Failed(why) => {
                        self.loose |= typing.is_typed();
                        self.fail(why, now);
                    }
                },
                Stage::Hand => return Act::Listen,
            }
        }
    }

    fn begin(&mut self, now: Instant) {
        self.since = now;
        let way = self.ways.pop_front().unwrap_or(Way::Hand);
        self.stage = match way {
            Way::Break => Stage::Break(Breaking::Pausing(now + PAUSE)),
            Way::Command => {
                self.acts.push_back(Act::Run);
                Stage::Command(now + COMMAND_PATIENCE)
            }
            Way::Shell => Stage::Shell(Typing::new(&self.tail, now)),
            Way::Hand => Stage::Hand,
        };
        self.acts.push_front(Act::Begin(way));
    }

    fn end(&mut self, outcome: Outcome, now: Instant) {
        if let Some(way) = self.way() {
            let time = now.saturating_duration_since(self.since);
            self.tried.push(Tried { way, outcome, time });
        }
        self.stage = Stage::Between;
    }

    /// The way under way does not work.
    pub fn fail(&mut self, why: String, now: Instant) {
        if let Some(way) = self.way() {
            self.acts.push_back(Act::Failed(way, why.clone()));
        }
        self.end(Outcome::Failed(why), now);
    }

    /// The guest printed something, and that is what it says.
    pub fn heard(&mut self, text: &[u8], signs: &[Sign], now: Instant) {
        self.tail.feed(text);
        let refusal = signs.iter().find(|sign| sign.refuses_sysrq());
        if refusal.is_some_and(Sign::is_hopeless) {
            // All other ways end in the same key.
            self.ways.clear();
        }
        match &mut self.stage {
            Stage::Break(Breaking::Keyed(until)) => {
                if refusal == Some(&Sign::SysrqOtherKey)
                    && !std::mem::replace(&mut self.again, true)
                {
                    self.stage = Stage::Break(Breaking::Pausing(now + PAUSE));
                } else if let Some(sign) = refusal {
                    self.fail(sign.to_string(), now);
                } else if text.first() == Some(&b'g') && !self.echoed {
                    // It may still be the beginning of a message.
                    self.echoed = true;
                    *until = (*until).min(now + ECHO_SETTLES);
                }
            }
            Stage::Shell(typing) => {
                typing.heard(text, now);
                if let Some(sign) = refusal.filter(|_| typing.is_typed()) {
                    self.fail(sign.to_string(), now);
                }
            }
            Stage::Command(_) | Stage::CommandEnded(_) => {
                if let Some(sign) = refusal {
                    self.acts.push_back(Act::Kill);
                    self.fail(sign.to_string(), now);
                }
            }
            Stage::Between | Stage::Break(_) | Stage::Hand => {}
        }
    }

    /// The user's command has ended; why, when it did not do well.
    pub fn command_ended(&mut self, problem: Option<String>, now: Instant) {
        if !matches!(self.stage, Stage::Command(_)) {
            return;
        }
        match problem {
            None => self.stage = Stage::CommandEnded(now + COMMAND_SETTLES),
            Some(why) => self.fail(why, now),
        }
    }

    /// The user does not want to wait for this way any longer: on to the next.
    pub fn skip(&mut self, now: Instant) {
        match &self.stage {
            Stage::Break(Breaking::Keyed(_)) => self.acts.push_back(Act::Type(ERASE)),
            Stage::Command(_) => self.acts.push_back(Act::Kill),
            _ => {}
        }
        self.loose = self.is_loose();
        self.end(Outcome::GivenUp, now);
    }

    /// The user allows typing into the console's shell: that comes next.
    pub fn type_in_shell(&mut self, now: Instant) {
        if self.way() != Some(Way::Shell) {
            self.ways.retain(|way| *way != Way::Shell);
            self.ways.push_front(Way::Shell);
            self.skip(now);
        }
    }

    /// The guest stopped, by what was tried (`ours`) or by itself; gives all
    /// that was tried.
    pub fn stopped(mut self, ours: bool, now: Instant) -> (Option<Way>, Vec<Tried>) {
        let way = self.way().filter(|_| ours);
        self.end(if ours { Outcome::Stopped } else { Outcome::GivenUp }, now);
        (way, self.tried)
    }

    /// The user gives up; gives all that was tried.
    pub fn given_up(mut self, now: Instant) -> Vec<Tried> {
        self.end(Outcome::GivenUp, now);
        self.tried
    }
}

/// Why a `g` came back as text.
const ECHOED: &str = "the guest took the g as typed text: the relay drops the BREAK, or kernel.sysrq is 0 there (sysctl kernel.sysrq=1), or the port is not a console (console=ttyS0)";

/// Why nothing at all happened.
const SILENT: &str = "nothing happened: the relay drops the BREAK, or the port is not a console of the guest (console=ttyS0), or its kernel has no MAGIC_SYSRQ_SERIAL, or it hangs with interrupts off";

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// Runs until it listens or waits longer than `patience`; gives what was done.
    fn run(attempt: &mut Attempt, now: &mut Instant, patience: Duration) -> Vec<Act> {
        let end = *now + patience;
        let mut acts = Vec::new();
        loop {
            match attempt.next(*now) {
                Act::Wait(until) if until <= end => *now = until,
                last @ (Act::Wait(_) | Act::Listen) => {
                    acts.push(last);
                    return acts;
                }
                act => acts.push(act),
            }
        }
    }

    fn failures(acts: &[Act]) -> Vec<&str> {
        acts.iter()
            .filter_map(|act| match act {
                Act::Failed(_, why) => Some(why.as_str()),
                _ => None,
            })
            .collect()
    }

    const LONG: Duration = Duration::from_secs(600);

    #[test]
    fn one_way_after_the_other() {
        let mut now = Instant::now();
        let ways = [Way::Break, Way::Command, Way::Shell, Way::Hand];
        let mut attempt = Attempt::new(ways, Tail::default(), now);
        let acts = run(&mut attempt, &mut now, LONG);
        let begun: Vec<_> = acts
            .iter()
            .filter_map(|act| match act {
                Act::Begin(way) => Some(*way),
                _ => None,
            })
            .collect();
        assert_eq!(begun, ways);
        let typed: Vec<&Act> = acts
            .iter()
            .filter(|act| matches!(act, Act::Break | Act::Type(_) | Act::Run | Act::Kill))
            .collect();
        assert_eq!(
            typed,
            [
                &Act::Break,
                &Act::Type(b"g"),
                &Act::Type(ERASE),
                &Act::Run,
                &Act::Kill,
                &Act::Type(b" \x7f")
            ]
        );
        assert_eq!(acts.last(), Some(&Act::Listen));
        let why = failures(&acts);
        assert!(why[0].contains("relay drops") && why[1].contains("30 s"), "{why:?}");
        assert!(attempt.is_loose());
        let (way, tried) = attempt.stopped(true, now);
        assert_eq!((way, tried.len()), (Some(Way::Hand), 4));
        assert_eq!(tried[0].time, PAUSE + STOPS_WITHIN);
    }

    #[test]
    fn a_refusal_that_is_printed_ends_a_way_at_once() {
        let mut now = Instant::now();
        let mut attempt = Attempt::new([Way::Break], Tail::default(), now);
        run(&mut attempt, &mut now, PAUSE);
        let text = b"sysrq: This sysrq operation is disabled.\r\n";
        attempt.heard(text, &[Sign::SysrqDisabled], now);
        let acts = run(&mut attempt, &mut now, LONG);
        assert!(failures(&acts)[0].contains("kernel.sysrq=1"), "{acts:?}");
        assert!(!acts.contains(&Act::Type(ERASE)), "the kernel took the key");
        assert!(!attempt.is_loose());
    }

    #[test]
    fn where_no_key_can_help_no_other_way_is_tried() {
        let mut now = Instant::now();
        let mut attempt = Attempt::new([Way::Break, Way::Command], Tail::default(), now);
        run(&mut attempt, &mut now, PAUSE);
        attempt.heard(b"sysrq: HELP : reboot(b)\r\n", &[Sign::SysrqUnknown], now);
        let acts = run(&mut attempt, &mut now, LONG);
        assert!(failures(&acts)[0].contains("kgdboc"), "{acts:?}");
        assert_eq!(acts[1..], [Act::Begin(Way::Hand), Act::Listen]);
    }

    #[test]
    fn a_key_that_is_echoed_is_erased() {
        let mut now = Instant::now();
        let mut attempt = Attempt::new([Way::Break], Tail::default(), now);
        run(&mut attempt, &mut now, PAUSE);
        attempt.heard(b"g", &[], now);
        let acts = run(&mut attempt, &mut now, ECHO_SETTLES);
        assert_eq!(acts[0], Act::Type(ERASE));
        assert!(failures(&acts)[0].contains("typed text"), "{acts:?}");
        assert!(!attempt.is_loose(), "an echo proves that the key was read");
    }

    #[test]
    fn another_key_after_the_break_is_tried_once_more() {
        let mut now = Instant::now();
        let mut attempt = Attempt::new([Way::Break], Tail::default(), now);
        for _ in 0..2 {
            let acts = run(&mut attempt, &mut now, PAUSE);
            assert!(acts.contains(&Act::Break), "{acts:?}");
            attempt.heard(b"sysrq: HELP : debug(g)\r\n", &[Sign::SysrqOtherKey], now);
        }
        assert_eq!(failures(&run(&mut attempt, &mut now, LONG)).len(), 1);
    }

    #[test]
    fn commands_end_well_or_not() {
        let mut now = Instant::now();
        let mut attempt = Attempt::new([Way::Command], Tail::default(), now);
        run(&mut attempt, &mut now, Duration::ZERO);
        attempt.command_ended(Some("exit status: 1: no route".into()), now);
        assert!(failures(&run(&mut attempt, &mut now, LONG))[0].contains("no route"));
        let mut attempt = Attempt::new([Way::Command], Tail::default(), now);
        run(&mut attempt, &mut now, Duration::ZERO);
        attempt.command_ended(None, now);
        assert!(failures(&run(&mut attempt, &mut now, LONG))[0].contains("ended well"));
    }

    #[test]
    fn asked_again_it_goes_on_to_the_next_way() {
        let mut now = Instant::now();
        let mut attempt = Attempt::new([Way::Break, Way::Command], Tail::default(), now);
        run(&mut attempt, &mut now, PAUSE);
        attempt.skip(now);
        let acts = run(&mut attempt, &mut now, Duration::ZERO);
        assert_eq!(acts[..3], [Act::Type(ERASE), Act::Begin(Way::Command), Act::Run]);
        attempt.type_in_shell(now);
        let acts = run(&mut attempt, &mut now, Duration::ZERO);
        assert_eq!(acts[..2], [Act::Kill, Act::Begin(Way::Shell)]);
        let outcomes: Vec<_> = attempt.given_up(now).into_iter().map(|t| t.outcome).collect();
        assert_eq!(outcomes, [const { Outcome::GivenUp }; 3]);
    }

    proptest! {
        #[test]
        fn whatever_is_heard_it_ends_in_listening(text in proptest::collection::vec(any::<u8>(), 1..40)) {
            let mut now = Instant::now();
            let ways = [Way::Break, Way::Command, Way::Shell];
            let mut attempt = Attempt::new(ways, Tail::default(), now);
            for _ in 0..400 {
                match attempt.next(now) {
                    Act::Wait(until) => now = until,
                    Act::Type(_) | Act::Break => attempt.heard(&text, &[], now),
                    Act::Listen => return Ok(()),
                    _ => {}
                }
            }
            prop_assert!(false, "it does not end");
        }
    }
}
