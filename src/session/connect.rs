//! Opening the link and finding out what listens.

use super::{
    answer::Failure,
    request::Level,
    run::Session,
    view::{Match, State, StopReason},
};
use crate::link::record::Recorder;
use crate::rsp::{
    client::{Event, Mode},
    command::Command,
    reply::StopReply,
};
use crate::target::{
    console::{KdbEntry, PAGER_QUIT},
    knock::{ERASE_QUESTION, Evidence, Knock, Step, Verdict},
};
use std::time::{Duration, Instant};

/// kdb's command that resumes (`kdb_go` in kernel/debug/kdb/kdb_main.c).
const LEAVE_KDB: &[u8] = b"go\r";

/// How long to wait before the link is tried again.
const RETRY: Duration = Duration::from_millis(500);

impl Session {
    /// Opens the link, or says why not and when it is tried again.
    pub(super) async fn connect(&mut self) {
        let Some(endpoint) = self.options.connect.clone() else { return };
        let mut link = match self.open_line(&endpoint).await {
            Ok(link) => link,
            Err(error) => {
                let why = error.to_string();
                // What worked once may work again, whatever is wrong now: an adapter
                // that was just plugged in is root's until udev has seen it, and
                // other programs look at it first.
                if error.is_temporary() || self.link_was_lost {
                    self.retry_at = Some(Instant::now() + RETRY);
                    let news = State::Connecting { why };
                    if self.state != news {
                        if !error.is_temporary() {
                            self.say(Level::Warning, format!("{error}; trying again"));
                        }
                        self.state = news;
                        self.touch_now();
                    }
                } else {
                    self.give_up(why);
                }
                return;
            }
        };
        if let Some(mut recorder) = self.recorder() {
            recorder.note(&format!("link {}", link.describe()));
            link.record(recorder);
        }
        if std::mem::take(&mut self.link_was_lost) {
            self.say(Level::Info, "the link is back".into());
        }
        self.wire.attach(link);
        self.wire.log().mark("connected".into());
        self.wire.log().purpose("who is there");
        self.silences.was_silent = false;
        self.break_in.new_line();
        self.forget_dmesg();
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

    /// Says that the record has ended, when it has.
    pub(super) fn tell_end_of_recording(&mut self) {
        let recorder = self.wire.recorder().or(self.recorder.as_mut());
        if let Some(why) = recorder.and_then(Recorder::take_trouble) {
            self.say(
                Level::Error,
                format!("--record: the record ends here ({why}); debugging goes on without it"),
            );
        }
    }

    /// The line is to be opened anew, and nothing of before counts.
    pub(super) async fn start_over(&mut self) {
        self.close_link();
        self.points.link_lost();
        self.forget_guest();
        self.generation = 0;
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
    pub(super) async fn find_out(&mut self, knock: Knock) {
        self.look_for_journal();
        let verdict = match self.knock_patiently(knock).await {
            Ok(verdict) => verdict,
            Err(why) => return self.link_lost(why),
        };
        match &verdict {
            Verdict::PendingStop { .. } => self.did_not_exit(),
            Verdict::Stopped { .. } | Verdict::StoppedByKdb { .. } if self.said_exit.is_some() => {
                self.forget_guest();
            }
            _ => {}
        }
        match &verdict {
            Verdict::Stopped { signal } | Verdict::StoppedByKdb { signal, .. } => {
                self.points.table_emptied();
                self.on_stop(StopReply::Signal { signal: *signal }).await;
            }
            Verdict::PendingStop { signal, thread, wiped } => {
                let mut stop = StopReply::Thread { signal: *signal, thread: *thread };
                if self.journey.is_none() && !*wiped {
                    // Sites of a debugger that is gone may still be planted.
                    if let Err(failure) = self.take_out_old_sites().await {
                        return self.say(Level::Error, failure.to_string());
                    }
                    stop = StopReply::Signal { signal: *signal };
                }
                self.points.table_emptied();
                self.on_stop(stop).await;
            }
            Verdict::Running(evidence) => {
                self.wire.client().assume_running();
                if *evidence == Evidence::Echo
                    && let Err(why) = self.wire.send_raw(ERASE_QUESTION).await
                {
                    return self.link_lost(why);
                }
                self.state =
                    State::Running { since: Instant::now(), what: self.how_to_stop(&verdict) };
                self.touch_now();
            }
            Verdict::LockedDown { kdb } => {
                let why = verdict.to_string();
                self.say(Level::Error, why.clone());
                // kdb keeps the guest stopped, and nobody can do anything with it.
                if *kdb && let Err(why) = self.wire.send_raw(LEAVE_KDB).await {
                    return self.link_lost(why);
                }
                self.wire.client().assume_running();
                self.breaking_in = false;
                self.fail_waiters(&Failure::Other(why.clone()));
                self.state = State::Running { since: Instant::now(), what: why };
                self.touch_now();
            }
            Verdict::WrongBaud | Verdict::OtherStub { .. } | Verdict::NotAStub { .. } => {
                self.give_up(verdict.to_string());
            }
        }
    }

    /// Knocks more than once where the guest was stopped when the link was lost:
    /// its stub may have been in the middle of an answer, and then takes the
    /// first question for a refusal of that (`put_packet` in
    /// kernel/debug/gdbstub.c); its `-` can come too late on a busy host.
    async fn knock_patiently(&mut self, knock: Knock) -> Result<Verdict, String> {
        let mut more = if std::mem::take(&mut self.silences.lost_while_stopped) { 2 } else { 0 };
        let mut verdict = self.knock(knock).await?;
        while more > 0 && verdict == Verdict::Running(Evidence::Silence) {
            more -= 1;
            self.wire.client().assume_unknown();
            let timing = self.wire.client().timing();
            verdict = self.knock(Knock::new(Instant::now(), timing)).await?;
        }
        Ok(verdict)
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
                    self.break_in.seen(&text);
                    self.show_console(text);
                }
            }
        }
    }

    /// Text of the guest while it runs, or between packets.
    pub(super) async fn on_console(&mut self, text: Vec<u8>) {
        if self.is_late_refusal(&text) {
            return;
        }
        let signs = self.watcher.feed(&text);
        self.show_console(text.clone());
        let mut entry: Option<KdbEntry> = None;
        let (mut stopped, mut paged) = (false, false);
        for sign in &signs {
            use crate::target::console::Sign;
            match sign {
                Sign::KdbEntered(found) => entry = Some(found.clone()),
                Sign::KdbPrompt { .. } | Sign::Waiting => stopped = true,
                Sign::KdbPager => paged = true,
                // The break-in tells it with what it was trying.
                other if self.breaking_in && other.refuses_sysrq() => {}
                other => self.say(Level::Warning, other.to_string()),
            }
        }
        if paged
            && self.wire.mode() != Mode::Stopped
            && let Err(why) = self.wire.send_raw(PAGER_QUIT).await
        {
            return self.link_lost(why);
        }
        if !stopped && !paged {
            return self.heard_on_console(&text, &signs).await;
        }
        if stopped && self.wire.mode() != Mode::Stopped {
            // A stub that knew us would have sent its packet: this guest was
            // started anew, or somebody typed in kdb.
            if self.identified {
                let breaking_in = self.breaking_in;
                self.forget_guest();
                self.breaking_in = breaking_in;
            }
            self.wire.client().assume_unknown();
            let timing = self.wire.client().timing();
            self.find_out(Knock::at_prompt(Instant::now(), timing, entry)).await;
        }
    }

    /// The guest says that it goes down. So can whoever prints on its console, and
    /// a question would reach a boot loader or a shell: nothing is forgotten yet.
    ///
    /// A kernel that went down has left its debugger (`gdbstub_exit` in
    /// kernel/debug/gdbstub.c clears `kgdb_connected`), and the one that is booted
    /// then has none: neither sends a stop packet. So one that comes is of the guest
    /// as it was, and at any other stop it may be another boot.
    pub(super) fn on_exit(&mut self, code: u8) {
        let what = match code {
            1 => "the guest says that it restarts",
            2 => "the guest says that it halts",
            3 => "the guest says that it powers off",
            _ => "the guest says that it goes down",
        };
        self.say(Level::Warning, format!("{what}; breakpoints are planted again when it stops"));
        self.said_exit = Some(what);
        self.fail_waiters(&Failure::Other(what.into()));
        self.state = State::Running { since: Instant::now(), what: what.into() };
        self.touch_now();
    }

    /// The guest was restarted by us.
    pub(super) fn was_restarted(&mut self) {
        let what = "the guest restarts";
        self.say(Level::Warning, format!("{what}; breakpoints are planted again when it stops"));
        self.points.table_emptied();
        self.clear_journal();
        self.forget_guest();
        self.fail_waiters(&Failure::Other(what.into()));
        self.state = State::Running { since: Instant::now(), what: what.into() };
        self.touch_now();
    }

    /// A stop packet after the guest said that it goes down.
    pub(super) fn did_not_exit(&mut self) {
        if self.said_exit.take().is_some() {
            self.say(
                Level::Warning,
                "the guest did not go down: a program printed what looks like it; everything is as it was".into(),
            );
        }
    }

    /// Where the link was lost while the guest ran, the stub still has the sites of
    /// before, those of a step that was under way too. `?` takes them all out
    /// (`gdb_cmd_status` in kernel/debug/gdbstub.c).
    pub(super) async fn take_out_old_sites(&mut self) -> Result<(), Failure> {
        match self.wire.ask(Command::HaltReason).await {
            Ok(_) => {
                self.points.table_emptied();
                Ok(())
            }
            Err(error) => Err(self.lost(error)),
        }
    }

    /// What was known of a guest that is another one now.
    pub(super) fn forget_guest(&mut self) {
        self.crashes = Default::default();
        self.snapshot = None;
        self.stop = None;
        self.journey = None;
        self.breaking_in = false;
        self.identified = false;
        self.repairs = Default::default();
        self.said_exit = None;
        self.points.hardware.forget_guest();
        self.owed_steps.clear();
        self.target.matches = Match::Unknown;
        self.target.slide = None;
        self.search_again();
        self.panes.clear();
        self.forget_modules();
        self.forget_dmesg();
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
        self.note_where_stopped();
        self.close_link();
        self.link_was_lost = true;
        let stopped = self.state.is_stopped();
        // One that fell silent was stopped when it last spoke.
        let silent = std::mem::take(&mut self.silences.fell_silent) || self.silences.was_silent;
        self.silences.lost_while_stopped |= stopped || silent;
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

    /// Names the first stop on a link by what is there.
    pub(super) fn found_reason(&self) -> Option<StopReason> {
        if let Some(recorded) = self.recorded_reason() {
            return Some(recorded);
        }
        let pc = self.pc().ok()?;
        let symbol = self.guest_symbols().symbol_at(pc)?;
        Some(StopReason::Found(format!("was stopped in {}", symbol.name)))
    }
}
