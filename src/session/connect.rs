//! Opening the link, finding out what listens, stopping a running guest, and
//! leaving it.

use super::{
    answer::Failure,
    control::SIGTRAP,
    request::{Leave, Level},
    run::Session,
    settings::ModuleEvents,
    step::Leg,
    view::{Match, State, StopReason},
};
use crate::link::{Link, endpoint::Endpoint, record::Recorder};
use crate::rsp::{
    client::{Event, Mode},
    command::Command,
    reply::StopReply,
};
use crate::target::{
    breakin,
    console::{KdbEntry, PAGER_QUIT},
    knock::{Knock, Step, Verdict},
};
use std::time::{Duration, Instant};

/// How long to wait before the link is tried again.
const RETRY: Duration = Duration::from_millis(500);

/// How long a guest may take to stop when we want to leave it.
const LEAVE_PATIENCE: Duration = Duration::from_secs(10);

/// How long a break-in command of the user's may take.
const COMMAND_PATIENCE: Duration = Duration::from_secs(30);

impl Session {
    /// Opens the link, or says why not and when it is tried again.
    pub(super) async fn connect(&mut self) {
        let Some(endpoint) = self.options.connect.clone() else { return };
        let mut link = match Link::open(&endpoint).await {
            Ok(link) => link,
            Err(error) => {
                let why = error.to_string();
                if error.is_temporary() {
                    self.retry_at = Some(Instant::now() + RETRY);
                    let news = State::Connecting { why };
                    if self.state != news {
                        self.state = news;
                        self.touch_now();
                    }
                } else {
                    self.give_up(why);
                }
                return;
            }
        };
        if let Some(recorder) = self.recorder() {
            link.record(recorder);
        }
        if std::mem::take(&mut self.link_was_lost) {
            self.say(Level::Info, "the link is back".into());
        }
        self.wire.attach(link);
        self.identified = false;
        self.target.matches = Match::Unknown;
        self.search_again();
        self.state = State::Knocking;
        self.touch_now();
        let timing = self.wire.client().timing();
        self.find_out(Knock::new(Instant::now(), timing)).await;
    }

    /// The record of the line: made at the first link, continued on later ones.
    fn recorder(&mut self) -> Option<Recorder> {
        if let Some(recorder) = self.recorder.take() {
            return Some(recorder);
        }
        let path = self.options.record.take()?;
        match Recorder::create(&path) {
            Ok(recorder) => Some(recorder),
            Err(error) => {
                self.say(Level::Error, format!("--record {}: {error}", path.display()));
                None
            }
        }
    }

    fn close_link(&mut self) {
        self.recorder = self.wire.close().or(self.recorder.take());
    }

    /// No use in trying again.
    fn give_up(&mut self, why: String) {
        self.close_link();
        self.say(Level::Error, why.clone());
        self.fail_waiters(&Failure::NoTarget(why.clone()));
        self.state = State::Lost { why };
        self.touch_now();
    }

    /// Finds out what listens, and acts on it.
    async fn find_out(&mut self, knock: Knock) {
        let verdict = match self.knock(knock).await {
            Ok(verdict) => verdict,
            Err(why) => return self.link_lost(why),
        };
        match &verdict {
            Verdict::Stopped { signal } | Verdict::StoppedByKdb { signal, .. } => {
                self.points.table_emptied();
                self.on_stop(StopReply::Signal { signal: *signal }).await;
            }
            Verdict::PendingStop { signal, thread, wiped } => {
                let mut stop = StopReply::Thread { signal: *signal, thread: *thread };
                if self.journey.is_none() && !*wiped {
                    // Sites of a debugger that is gone may still be planted:
                    // `?` takes them out (`gdb_cmd_status`).
                    if let Err(error) = self.wire.ask(Command::HaltReason).await {
                        let failure = self.lost(error);
                        return self.say(Level::Error, failure.to_string());
                    }
                    stop = StopReply::Signal { signal: *signal };
                }
                self.points.table_emptied();
                self.on_stop(stop).await;
            }
            Verdict::Running(_) => {
                self.wire.client().assume_running();
                self.state =
                    State::Running { since: Instant::now(), what: self.how_to_stop(&verdict) };
                self.touch_now();
            }
            Verdict::WrongBaud | Verdict::OtherStub { .. } | Verdict::NotAStub { .. } => {
                self.give_up(verdict.to_string());
            }
        }
    }

    async fn knock(&mut self, mut knock: Knock) -> Result<Verdict, String> {
        loop {
            let now = Instant::now();
            let deadline = match knock.step(now) {
                Step::Done(verdict) => return Ok(verdict),
                Step::Send(command) => {
                    if let Err(error) = self.wire.client().send(command, now) {
                        tracing::warn!(%error, "the knock could not be sent");
                    }
                    continue;
                }
                Step::Type(bytes) => {
                    self.wire.send_raw(bytes).await?;
                    continue;
                }
                Step::ListenUntil(until) => Some(until),
                Step::Wait => None,
            };
            for event in self.wire.round(deadline).await? {
                knock.observe(&event, Instant::now());
                if let Event::Console(text) = event {
                    self.show_console(text);
                }
            }
        }
    }

    fn how_to_stop(&self, verdict: &Verdict) -> String {
        let how = match (&self.options.break_in, self.link_has_break()) {
            (Some(command), _) => format!("press F6 (interrupt) to run: {command}"),
            (None, true) => "press F6 (interrupt) to send BREAK and g".to_string(),
            (None, false) => format!("to stop it, type in the guest as root: {}", breakin::BY_HAND),
        };
        format!("{verdict}; {how}")
    }

    fn link_has_break(&self) -> bool {
        matches!(self.options.connect, Some(Endpoint::Telnet { .. } | Endpoint::Serial { .. }))
    }

    /// Text of the guest while it runs, or between packets.
    pub(super) async fn on_console(&mut self, text: Vec<u8>) {
        let signs = self.watcher.feed(&text);
        self.show_console(text);
        let mut entry: Option<KdbEntry> = None;
        let (mut stopped, mut paged) = (false, false);
        for sign in signs {
            use crate::target::console::Sign;
            match sign {
                Sign::KdbEntered(found) => entry = Some(found),
                Sign::KdbPrompt { .. } | Sign::Waiting => stopped = true,
                Sign::KdbPager => paged = true,
                other => self.say(Level::Warning, other.to_string()),
            }
        }
        if paged
            && self.wire.mode() != Mode::Stopped
            && let Err(why) = self.wire.send_raw(PAGER_QUIT).await
        {
            return self.link_lost(why);
        }
        if stopped && self.wire.mode() != Mode::Stopped {
            self.wire.client().assume_unknown();
            let timing = self.wire.client().timing();
            self.find_out(Knock::at_prompt(Instant::now(), timing, entry)).await;
        }
    }

    /// The guest goes down.
    pub(super) fn on_exit(&mut self, code: u8) {
        let what = match code {
            1 => "the guest restarts",
            2 => "the guest halts",
            3 => "the guest powers off",
            _ => "the guest goes down",
        };
        self.say(Level::Warning, format!("{what}; breakpoints are planted again when it stops"));
        self.points.table_emptied();
        self.forget_guest();
        self.fail_waiters(&Failure::Other(what.into()));
        self.state = State::Running { since: Instant::now(), what: what.into() };
        self.touch_now();
    }

    /// What was known of a guest that is another one now.
    fn forget_guest(&mut self) {
        self.snapshot = None;
        self.stop = None;
        self.journey = None;
        self.breaking_in = false;
        self.identified = false;
        self.early = Default::default();
        self.owed_steps.clear();
        self.target.matches = Match::Unknown;
        self.target.slide = None;
        self.search_again();
        self.panes.clear();
        self.forget_modules();
        for wish in &mut self.points.wishes {
            // KASLR moves everything at the next boot.
            if !wish.location.starts_with("*0x") {
                wish.sites.clear();
                wish.asked.clear();
                wish.pending = Some("waits for the guest to stop again".into());
            }
        }
    }

    /// The link broke: say so and try again.
    pub(super) fn link_lost(&mut self, why: String) {
        if !self.wire.is_open() {
            return;
        }
        self.close_link();
        self.link_was_lost = true;
        let stopped = self.state.is_stopped();
        let note =
            if stopped { "; the guest stays stopped until a debugger comes back" } else { "" };
        let text = format!("the link is lost: {why}{note}; trying again");
        self.say(Level::Error, text.clone());
        self.fail_waiters(&Failure::NoTarget(format!("the link is lost: {why}")));
        self.points.link_lost();
        self.forget_guest();
        self.state = State::Lost { why: text };
        self.retry_at = Some(Instant::now() + RETRY);
        self.touch_now();
    }

    /// Hands the exception that stopped the guest to the kernel.
    pub(super) async fn pass_exception(&mut self) -> Result<(), Failure> {
        self.need_stopped()?;
        if self.snapshot.as_ref().is_some_and(|stop| stop.signal == SIGTRAP) {
            return Err(Failure::Other(
                "no exception of the kernel's stopped it; use continue".into(),
            ));
        }
        self.cost_base = self.wire.cost();
        if let Err(error) = self.wire.ask(Command::PassException).await {
            return Err(self.lost(error));
        }
        self.points.table_emptied();
        self.forget_stop("continue");
        // That was a detach too (gdbstub.c, gdb_cmd_exception_pass): the stub
        // announces no stop any more until somebody speaks to it.
        self.wire.client().assume_unknown();
        let timing = self.wire.client().timing();
        self.find_out(Knock::new(Instant::now(), timing)).await;
        if let State::Running { what, .. } = &mut self.state {
            *what = "continue".into();
            self.touch();
        }
        if matches!(self.state, State::Running { .. }) && !self.points.wishes.is_empty() {
            self.say(
                Level::Info,
                "the kernel goes on; kgdb dropped the breakpoints, they are planted again at the next stop"
                    .into(),
            );
        }
        Ok(())
    }

    /// Stops the running guest by the first way there is.
    pub(super) async fn break_in(&mut self) -> Result<(), Failure> {
        match self.state {
            State::Stopped => return Err(Failure::Stopped),
            State::Running { .. } | State::BreakingIn { .. } => {}
            _ => {
                self.need_stopped()?;
            }
        }
        if std::mem::take(&mut self.damaged_stop) {
            self.wire.client().nudge();
            self.state = State::BreakingIn { what: "asked the stub to repeat its stop".into() };
            self.touch_now();
            return Ok(());
        }
        let stepping = !std::mem::replace(&mut self.breaking_in, true) && self.is_stepping();
        if self.watch.waits.is_some() {
            // It is stopped already, for symbols that are being read.
            self.stays_put = true;
            return self.go_on_loading().await;
        }
        let what = if stepping {
            // The next instruction step ends in a stop, and that is kept. Asked
            // again, the guest itself is stopped.
            "it stops after this instruction".to_string()
        } else if let Some(command) = self.options.break_in.clone() {
            self.run_command(&command);
            format!("running: {command}")
        } else if self.link_has_break() {
            for step in breakin::SYSRQ {
                match step {
                    breakin::Step::Break => {
                        self.wire.send_break().await.map_err(|e| Failure::Other(e.to_string()))?;
                    }
                    breakin::Step::Pause(time) => tokio::time::sleep(time).await,
                    breakin::Step::Send(bytes) => {
                        self.wire.send_raw(bytes).await.map_err(Failure::NoTarget)?;
                    }
                }
            }
            self.nudge_at = Some(Instant::now() + breakin::STOPS_WITHIN);
            "sent BREAK and g".to_string()
        } else {
            format!("this link has no BREAK; type in the guest as root: {}", breakin::BY_HAND)
        };
        self.say(Level::Info, what.clone());
        self.state = State::BreakingIn { what };
        self.touch_now();
        Ok(())
    }

    /// Whether the resume that is under way is one instruction long.
    fn is_stepping(&self) -> bool {
        let leg = self.journey.as_ref().map(|journey| &journey.leg);
        matches!(leg, Some(Leg::Single | Leg::Crawl { over: None, .. }))
    }

    /// A break-in should have worked by now.
    pub(super) fn break_in_is_silent(&mut self) {
        if !matches!(self.state, State::BreakingIn { .. }) {
            return;
        }
        let causes = breakin::SILENT_CAUSES.join("; or ");
        let what = format!(
            "BREAK and g did nothing: perhaps {causes}. Type in the guest as root: {}",
            breakin::BY_HAND
        );
        self.say(Level::Warning, what.clone());
        self.state = State::BreakingIn { what };
        self.touch_now();
    }

    /// Runs the user's break-in command beside the session.
    fn run_command(&self, command: &str) {
        let updates = self.updates();
        let text = command.to_string();
        tokio::spawn(async move {
            let mut child = tokio::process::Command::new("sh");
            child.arg("-c").arg(&text).stdin(std::process::Stdio::null()).kill_on_drop(true);
            let problem = match tokio::time::timeout(COMMAND_PATIENCE, child.output()).await {
                Ok(Ok(output)) if output.status.success() => return,
                Ok(Ok(output)) => {
                    let said = String::from_utf8_lossy(&output.stderr);
                    format!("{}: {}", output.status, said.trim())
                }
                Ok(Err(error)) => error.to_string(),
                // `ssh guest 'echo g > …'` can't return while the guest is stopped.
                Err(_) => return,
            };
            let text = format!("the break-in command '{text}' failed: {problem}");
            let _ = updates.send(super::request::Update::Message(Level::Error, text));
        });
    }

    /// Parts from the guest.
    pub(super) async fn leave(&mut self, how: Leave) -> Result<(), Failure> {
        self.points.temporary.clear();
        if how == Leave::AsIs || !self.wire.is_open() {
            return Ok(());
        }
        if self.wire.mode() != Mode::Stopped {
            if self.points.planted_count() == 0 {
                return Ok(());
            }
            self.stop_for_leaving().await?;
        }
        match how {
            Leave::Stopped => {
                for wish in &mut self.points.wishes {
                    wish.enabled = false;
                }
                self.settings.module_events = ModuleEvents::Off;
                self.reconcile().await
            }
            _ => {
                if let Err(failure) = self.let_others_pass().await {
                    tracing::warn!(%failure, "other CPUs may still be at breakpoints");
                }
                match self.wire.ask(self.detach_command()).await {
                    Ok(_) => {
                        self.points.table_emptied();
                        Ok(())
                    }
                    Err(error) => Err(self.lost(error)),
                }
            }
        }
    }

    /// `D`; but at an oops or the like that would run into the same exception
    /// again, and the guest would stop with nobody there. So the kernel gets it,
    /// and does what it does without a debugger.
    fn detach_command(&self) -> Command {
        match &self.snapshot {
            Some(stop) if stop.signal != SIGTRAP => {
                self.say(
                    Level::Warning,
                    "the guest was stopped by an exception, which the kernel deals with now: an oops kills the task".into(),
                );
                Command::PassException
            }
            _ => Command::Detach,
        }
    }

    /// A running guest can't be told to lift a breakpoint, and one that stays
    /// planted would stop it with nobody there. So it is stopped once more,
    /// where the link can do that.
    async fn stop_for_leaving(&mut self) -> Result<(), Failure> {
        let count = self.points.planted_count();
        if self.options.break_in.is_none() && !self.link_has_break() {
            return Err(Failure::Other(format!(
                "the guest runs with {count} breakpoints planted, which can only be lifted while it is stopped; stop it first (in the guest, as root: {})",
                breakin::BY_HAND
            )));
        }
        self.break_in().await?;
        let deadline = tokio::time::Instant::now() + LEAVE_PATIENCE;
        while self.wire.mode() != Mode::Stopped || self.snapshot.is_none() {
            match tokio::time::timeout_at(deadline, self.wire.event()).await {
                Ok(event) => Box::pin(self.on_event(event)).await,
                Err(_) => {
                    return Err(Failure::Other(format!(
                        "the guest did not stop, so its {count} breakpoints stay planted"
                    )));
                }
            }
            if !self.wire.is_open() {
                return Err(Failure::NoTarget("the link is lost".into()));
            }
        }
        Ok(())
    }

    /// Names the first stop on a link by what is there.
    pub(super) fn found_reason(&self) -> Option<StopReason> {
        let pc = self.pc().ok()?;
        let symbol = self.guest_symbols().symbol_at(pc)?;
        Some(StopReason::Found(format!("was stopped in {}", symbol.name)))
    }
}
