//! Stopping a running guest: the ways there are, one after the other.

use super::{
    answer::{Answer, Failure, TriedAnswer},
    break_command::BreakCommand,
    control::SIGTRAP,
    plant::Quick,
    request::{Level, Request},
    run::{Session, Waiter},
    step::Leg,
    view::{State, StopReason},
};
use crate::rsp::client::Mode;
use crate::target::{
    breakin::{Act, Attempt, BY_HAND, Tried, Way},
    console::Sign,
    knock::Verdict,
    prompt::Tail,
};
use std::time::{Duration, Instant};

/// How long a stop that looks like a break-in may be one that was given up.
const LATE: Duration = Duration::from_secs(120);

/// How soon to look again whether the guest runs.
const AGAIN: Duration = Duration::from_millis(200);

/// What is known of breaking in.
#[derive(Default)]
pub(super) struct BreakIn {
    /// The attempt under way.
    attempt: Option<Attempt>,
    /// The command of the user's that runs for it.
    pub command: Option<BreakCommand>,
    /// The way that worked last, which comes first.
    worked: Option<Way>,
    /// Whether we may type into the console's shell.
    shell_allowed: bool,
    /// What the guest's console shows; empty when it printed nothing here.
    tail: Tail,
    /// Whether the guest prints on this line while it runs.
    talks: bool,
    /// When it was running before the attempt, and what for.
    was: Option<(Instant, String)>,
    /// Who asked for the stop, and hears what was tried.
    pub waiters: Vec<Waiter>,
    /// When something was given up that may still stop the guest.
    loose: Option<Instant>,
    /// A stop that is only for planting.
    pub quick: Option<Quick>,
    /// What was tried for the stop that is here, until it is told.
    pub tried: Vec<TriedAnswer>,
}

impl BreakIn {
    /// Another line, or the same once more: nothing is known of who is there.
    pub fn new_line(&mut self) {
        self.talks = false;
        self.tail = Tail::default();
    }

    /// How the guest is being stopped; `None` when it is not.
    pub fn way(&self) -> Option<Way> {
        self.attempt.as_ref().map(|attempt| attempt.way().unwrap_or(Way::Hand))
    }

    /// The guest printed this while it ran.
    pub fn seen(&mut self, text: &[u8]) {
        self.talks = true;
        self.tail.feed(text);
    }
}

impl Session {
    pub(super) fn how_to_stop(&self, verdict: &Verdict) -> String {
        let how = match self.ways_in().first() {
            Some(Way::Command) => {
                let command = self.options.break_in.as_deref().unwrap_or_default();
                format!("press F6 (interrupt) to run: {command}")
            }
            Some(Way::Break) => "press F6 (interrupt) to send BREAK and g".to_string(),
            Some(Way::Shell) => {
                format!("press F6 (interrupt) to have this typed in its shell: {BY_HAND}")
            }
            _ if self.may_offer_shell() => {
                format!(
                    "press F6 (interrupt) to have it typed in the shell there, or type as root: {BY_HAND}"
                )
            }
            _ => format!("to stop it, type in the guest as root: {BY_HAND}"),
        };
        format!("{verdict}; {how}")
    }

    /// The ways that need nobody, the one that worked last first.
    fn ways_in(&self) -> Vec<Way> {
        let shell = self.break_in.shell_allowed || self.options.break_in_shell;
        let there = [
            (Way::Break, self.wire.has_break()),
            (Way::Command, self.options.break_in.is_some()),
            (Way::Shell, shell && self.break_in.talks),
        ];
        let mut ways: Vec<Way> = there.iter().filter(|(_, is)| *is).map(|(way, _)| *way).collect();
        ways.sort_by_key(|way| Some(*way) != self.break_in.worked);
        ways
    }

    /// Whether the guest can be stopped without anybody's help, as far as can be
    /// told.
    pub(super) fn can_break_in(&self) -> bool {
        !self.ways_in().is_empty()
    }

    /// Whether the user could allow one more way.
    fn may_offer_shell(&self) -> bool {
        self.break_in.talks && !self.break_in.shell_allowed && !self.options.break_in_shell
    }

    /// Does what was asked about stopping the running guest.
    pub(super) async fn asked_to_stop(&mut self, request: Request, reply: Waiter) {
        if !self.state.is_stopped()
            && let Some(over) = self.end_of_record()
        {
            let _ = reply.send(Err(over));
            return;
        }
        let started = match request {
            Request::Plant => return self.plant_now(reply).await,
            Request::CancelBreakIn => {
                let _ = reply.send(self.cancel_break_in());
                return;
            }
            Request::BreakInByShell => self.break_in_by_shell().await,
            _ => self.break_in_for_user().await,
        };
        match started {
            Ok(()) => {
                self.break_in.waiters.push(reply);
                if std::mem::take(&mut self.stays_put) {
                    self.answer_waiters();
                    self.touch_now();
                }
            }
            Err(failure) => {
                let _ = reply.send(Err(failure));
            }
        }
    }

    /// Stops the running guest. Asked again while that is under way, goes on to
    /// the next way.
    pub(super) async fn break_in(&mut self) -> Result<(), Failure> {
        match self.state {
            State::Stopped => return Err(Failure::Stopped),
            State::Running { .. } | State::BreakingIn { .. } => {}
            _ => {
                self.need_stopped()?;
            }
        }
        if let State::Running { since, what } = &self.state {
            self.break_in.was = Some((*since, what.clone()));
        }
        if std::mem::take(&mut self.damaged_stop) {
            self.wire.client().nudge();
            self.is_breaking_in("asked the stub to repeat its stop".into());
            return Ok(());
        }
        let first = !std::mem::replace(&mut self.breaking_in, true);
        let stepping = first && self.is_stepping();
        let passing = self.passes_often().filter(|_| first);
        if self.watch.waits.is_some() {
            // It is stopped already, for symbols that are being read.
            self.stays_put = true;
            return self.go_on_loading().await;
        }
        if stepping {
            // The next instruction step ends in a stop, and that is kept. Asked
            // again, the guest itself is stopped.
            let what = "it stops after this instruction".to_string();
            self.say(Level::Info, what.clone());
            self.is_breaking_in(what);
            return Ok(());
        }
        if let Some(number) = passing {
            // Control comes by all the time, and does not go on the next time.
            let what = format!("it stops when control comes to breakpoint {number} again");
            self.say(Level::Info, what.clone());
            self.is_breaking_in(what);
            return Ok(());
        }
        // What is typed for it must not come behind half a line of the user's.
        self.forget_typed();
        let now = Instant::now();
        match &mut self.break_in.attempt {
            Some(attempt) if attempt.way() != Some(Way::Hand) => attempt.skip(now),
            _ => {
                let ways = self.ways_in();
                self.break_in.attempt = Some(Attempt::new(ways, self.break_in.tail.clone(), now));
            }
        }
        self.break_in_on().await;
        Ok(())
    }

    /// The same for the user: a stop that was only for planting becomes a real
    /// one.
    pub(super) async fn break_in_for_user(&mut self) -> Result<(), Failure> {
        if self.break_in.quick.is_some() {
            let instead = "the guest is stopped instead, and breakpoints are planted then";
            self.quick_failed(&Failure::Other(instead.into()));
            return Ok(());
        }
        self.break_in().await
    }

    /// Stops it by typing into the console's shell, which the user allows.
    pub(super) async fn break_in_by_shell(&mut self) -> Result<(), Failure> {
        if !self.break_in.talks {
            return Err(Failure::Other(
                "the guest prints nothing on this line: no shell is there to type into".into(),
            ));
        }
        self.break_in.shell_allowed = true;
        if self.break_in.attempt.is_none() {
            self.break_in.worked = Some(Way::Shell);
            return self.break_in().await;
        }
        if let Some(attempt) = &mut self.break_in.attempt {
            attempt.type_in_shell(Instant::now());
        }
        self.break_in_on().await;
        Ok(())
    }

    /// Stops it in place, for a part of the program that can't go on without:
    /// nobody is asked, and the user's hand is not waited for.
    pub(super) async fn stop_guest(&mut self, patience: Duration) -> Result<(), Failure> {
        let waits = |attempt: &Attempt| attempt.way() == Some(Way::Hand);
        if self.break_in.attempt.as_ref().is_none_or(waits) {
            self.break_in().await?;
        }
        let deadline = Instant::now() + patience;
        while !self.state.is_stopped() || self.snapshot.is_none() {
            if self.break_in.attempt.as_ref().is_some_and(waits) || Instant::now() >= deadline {
                return Err(self.give_up_break_in());
            }
            let due = self.nudge_at.map_or(deadline, |at| at.min(deadline));
            tokio::select! {
                event = self.wire.event() => Box::pin(self.on_event(event)).await,
                problem = ended(&mut self.break_in.command) => self.break_command_ended(problem).await,
                () = tokio::time::sleep_until(due.into()) => self.break_in_on().await,
            }
            if !self.wire.is_open() {
                return Err(Failure::NoTarget("the link is lost".into()));
            }
        }
        Ok(())
    }

    /// The user gives up.
    pub(super) fn cancel_break_in(&mut self) -> Result<Answer, Failure> {
        // A stop that was passed by in between has made it `Running` again.
        if !self.breaking_in && !matches!(self.state, State::BreakingIn { .. }) {
            return Err(Failure::Other("no break-in is under way".into()));
        }
        self.give_up_break_in();
        Ok(Answer::Done {})
    }

    /// The guest runs on.
    fn give_up_break_in(&mut self) -> Failure {
        let mut tried = Vec::new();
        if let Some(attempt) = self.end_attempt() {
            if attempt.is_loose() {
                self.break_in.loose = Some(Instant::now());
            }
            tried = attempt.given_up(Instant::now());
        }
        self.breaking_in = false;
        let (since, what) =
            self.break_in.was.take().unwrap_or_else(|| (Instant::now(), String::new()));
        self.state = State::Running { since, what };
        self.touch_now();
        let failure = Failure::NotStopped { tried: tried.iter().map(TriedAnswer::of).collect() };
        for waiter in std::mem::take(&mut self.break_in.waiters) {
            let _ = waiter.send(Err(failure.clone()));
        }
        self.quick_failed(&failure);
        failure
    }

    /// Takes the attempt that is over, with its command.
    fn end_attempt(&mut self) -> Option<Attempt> {
        self.nudge_at = None;
        self.break_in.command = None;
        self.break_in.attempt.take()
    }

    /// The guest has stopped, by us or by itself. Whoever asked for it hears it.
    pub(super) fn broken_in(&mut self, ours: bool) {
        let mut tried = Vec::new();
        if let Some(attempt) = self.end_attempt() {
            // What is under way has done it; what was given up before may come.
            let direct = ours && attempt.tried().is_empty() && self.may_be_sysrq() != Some(false);
            if attempt.is_loose() && !direct {
                self.break_in.loose = Some(Instant::now());
            }
            let (way, all) = attempt.stopped(ours, Instant::now());
            if way.is_some_and(|way| way != Way::Hand) {
                self.break_in.worked = way;
            }
            tried = all.iter().map(TriedAnswer::of).collect();
        }
        self.break_in.was = None;
        self.break_in.tried = tried;
        let instead = "the guest stopped by itself meanwhile, and breakpoints are planted now";
        self.quick_failed(&Failure::Other(instead.into()));
    }

    /// Tells everyone who asked for the stop that it is here.
    pub(super) fn answer_break_in(&mut self) {
        let Some(stop) = &self.stop else { return };
        let tried = std::mem::take(&mut self.break_in.tried);
        let answer =
            Answer::BrokenIn { stop: Box::new(super::answer::StopAnswer::of(stop)), tried };
        for waiter in std::mem::take(&mut self.break_in.waiters) {
            let _ = waiter.send(Ok(answer.clone()));
        }
    }

    /// There will be no stop: the link is lost, or the guest is another one.
    pub(super) fn forget_break_in(&mut self, failure: &Failure) {
        self.end_attempt();
        for waiter in std::mem::take(&mut self.break_in.waiters) {
            let _ = waiter.send(Err(failure.clone()));
        }
        self.quick_failed(failure);
    }

    /// Whether a stop nobody asked for looks like a break-in that was given up.
    pub(super) fn is_late_break_in(&mut self) -> bool {
        if self.may_be_sysrq() != Some(true)
            || self.break_in.loose.take().is_none_or(|at| at.elapsed() > LATE)
        {
            return false;
        }
        self.say(Level::Warning, "this is an earlier break-in, which came late".into());
        true
    }

    /// The same at the first stop on a link, once it is known where it is.
    pub(super) fn name_late_break_in(&mut self) {
        let found = self.stop.as_ref().is_some_and(|stop| {
            matches!(stop.reason, StopReason::Found(_)) && stop.signal == Some(SIGTRAP)
        });
        if found
            && self.is_late_break_in()
            && let Some(stop) = &mut self.stop
        {
            stop.reason = StopReason::BreakIn;
        }
    }

    /// Whether the guest stopped where sysrq `g` stops it; not known at the
    /// first stop before symbols are placed.
    fn may_be_sysrq(&self) -> Option<bool> {
        let symbol = self.guest_symbols().symbol_at(self.pc().ok()?)?;
        Some(symbol.name == "kgdb_breakpoint")
    }

    /// Does what the attempt wants done now.
    pub(super) async fn break_in_on(&mut self) {
        self.nudge_at = None;
        if self.wire.mode() == Mode::Stopped {
            // It stopped by itself, for a moment: nothing may be typed at the
            // stub. Either it stays so, or it runs on and this is asked again.
            self.nudge_at = Some(Instant::now() + AGAIN);
            return;
        }
        while let Some(attempt) = &mut self.break_in.attempt {
            let now = Instant::now();
            match attempt.next(now) {
                Act::Begin(way) => self.way_begins(way).await,
                Act::Failed(way, why) => {
                    let what = self.words_of(way);
                    self.say(Level::Warning, format!("{what} did not stop the guest: {why}"));
                }
                Act::Break => {
                    if let Err(error) = self.wire.send_break().await
                        && let Some(attempt) = &mut self.break_in.attempt
                    {
                        attempt.fail(error.to_string(), Instant::now());
                    }
                }
                Act::Type(bytes) => {
                    if let Err(why) = self.wire.send_raw(bytes).await {
                        return self.link_lost(why);
                    }
                }
                Act::Run => {
                    let command = self.options.break_in.clone().unwrap_or_default();
                    match BreakCommand::start(&command) {
                        Ok(running) => self.break_in.command = Some(running),
                        Err(why) => attempt.fail(why, now),
                    }
                }
                Act::Kill => self.break_in.command = None,
                Act::Wait(until) => {
                    self.nudge_at = Some(until);
                    break;
                }
                Act::Listen => break,
            }
        }
        if self.break_in.attempt.is_some() {
            let words = self.break_in_words();
            self.is_breaking_in(words);
        }
    }

    fn is_breaking_in(&mut self, what: String) {
        let by_hand = self.break_in.attempt.as_ref().and_then(Attempt::way) == Some(Way::Hand);
        let asks = (by_hand && self.may_offer_shell()).then(|| SHELL_QUESTION.to_string());
        let news = State::BreakingIn { what, asks };
        if self.state != news {
            self.state = news;
            self.touch_now();
        }
    }

    async fn way_begins(&mut self, way: Way) {
        if way != Way::Hand {
            return self.say(Level::Info, format!("breaking in: {}", self.words_of(way)));
        }
        if self.break_in.quick.is_some() {
            // Not worth a human's trouble.
            self.give_up_break_in();
            return;
        }
        let words = self.words_of(way);
        self.say(Level::Warning, words);
    }

    /// A way in words.
    fn words_of(&self, way: Way) -> String {
        match way {
            Way::Break => "BREAK and g".into(),
            Way::Command => {
                format!("the command '{}'", self.options.break_in.as_deref().unwrap_or_default())
            }
            Way::Shell => "typing in the console's shell".into(),
            Way::Hand => {
                let none = match self.break_in.attempt.as_ref().map(Attempt::tried) {
                    Some([]) | None if !self.wire.has_break() => "this link has no BREAK",
                    _ => "the guest still runs",
                };
                let shell = match self.may_offer_shell() {
                    true => {
                        " (or let it be typed in the console's shell: interrupt shell, --break-in-shell)"
                    }
                    false => "",
                };
                format!("{none}{shell}; type in the guest as root: {BY_HAND}")
            }
        }
    }

    /// What is going on, and what was found out on the way.
    fn break_in_words(&self) -> String {
        let Some(attempt) = &self.break_in.attempt else { return String::new() };
        let way = attempt.way().unwrap_or(Way::Hand);
        let mut words = self.words_of(way);
        if let Some(busy) = attempt.busy_with() {
            words = format!("{words}: {busy}");
        }
        match attempt.tried().iter().rev().find_map(problem) {
            Some((way, why)) if attempt.way() == Some(Way::Hand) => {
                format!("{} did not stop it: {why}. {words}", self.words_of(way))
            }
            Some((way, _)) => format!("{} did not stop it; now {words}", self.words_of(way)),
            None => words,
        }
    }

    /// The guest printed something while it ran; what it says was told.
    pub(super) async fn heard_on_console(&mut self, text: &[u8], signs: &[Sign]) {
        self.break_in.seen(text);
        if let Some(attempt) = &mut self.break_in.attempt {
            attempt.heard(text, signs, Instant::now());
            self.break_in_on().await;
        }
    }

    /// The user's command has ended.
    pub(super) async fn break_command_ended(&mut self, problem: Option<String>) {
        self.break_in.command = None;
        if let Some(attempt) = &mut self.break_in.attempt {
            attempt.command_ended(problem, Instant::now());
            self.break_in_on().await;
        }
    }

    /// Whether the resume that is under way is one instruction long.
    pub(super) fn is_stepping(&self) -> bool {
        let leg = self.journey.as_ref().map(|journey| &journey.leg);
        matches!(leg, Some(Leg::Single | Leg::Crawl { over: None, .. }))
    }
}

/// What the user is asked before we type on the console.
const SHELL_QUESTION: &str = "type 'echo g > /proc/sysrq-trigger' into the shell on the guest's console. What is half typed there is thrown away (Ctrl-U). Nothing but Enter is typed unless a root prompt shows; a password is never answered";

fn problem(tried: &Tried) -> Option<(Way, &str)> {
    match &tried.outcome {
        crate::target::breakin::Outcome::Failed(why) => Some((tried.way, why)),
        _ => None,
    }
}

/// Waits for the end of the command that runs, if one does.
pub(super) async fn ended(command: &mut Option<BreakCommand>) -> Option<String> {
    match command {
        Some(command) => command.ended().await,
        None => std::future::pending().await,
    }
}
