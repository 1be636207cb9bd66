//! A guest that does not answer: suspended, reset, behind a relay that is stuck
//! or a line with too much noise. The link is still open, so nobody says that
//! anything is wrong; only the answer does not come.
//!
//! Whatever it was, what the guest does now is not known. So it is found out
//! anew, as after a connect, and what the user has stays.

use super::{answer::Failure, request::Level, run::Session, view::State};
use crate::base::addr::Addr;
use crate::rsp::client::{Mode, RequestError};
use crate::target::knock::Knock;
use std::time::Instant;

/// What is said of a guest that answered, and then was silent.
const FELL_SILENT: &str = "the guest answered until a moment ago and is silent now: is the virtual machine suspended, reset or off, the relay stuck, a cable out? When it speaks again, this goes on by itself";

/// What is remembered of silences.
#[derive(Debug, Default)]
pub(super) struct Silences {
    /// When to find out what a guest does that did not answer.
    pub find_out_at: Option<Instant>,
    /// That is to be told.
    pub fell_silent: bool,
    /// It answered nothing, and did not stop since.
    pub was_silent: bool,
    /// How many more late `-` are taken for a refusal.
    pub late_refusals: u8,
    /// The guest was stopped when the link was lost.
    pub lost_while_stopped: bool,
    /// Where it was stopped when it was lost sight of.
    pub stopped_at: Option<Addr>,
}

impl Session {
    /// A request has no answer. Finds out in a moment what the guest does.
    pub(super) fn unanswered(&mut self, error: &RequestError) -> Failure {
        let why = error.to_string();
        // A stop that is being read may be none, and the guest run.
        let known = self.snapshot.as_ref().is_none_or(|stop| stop.generation <= self.generation);
        if matches!(error, RequestError::Lost { .. })
            || self.silences.find_out_at.is_some()
            || !known
        {
            return Failure::Other(why);
        }
        self.say(Level::Warning, format!("{why}; finding out what the guest does"));
        self.silences.fell_silent = true;
        self.begin_anew();
        self.fail_waiters(&Failure::Other(why.clone()));
        Failure::Other(why)
    }

    /// Nothing that was known of the guest counts: it may have been started anew
    /// meanwhile. The next stop is looked at like the first on a link.
    fn begin_anew(&mut self) {
        self.note_where_stopped();
        self.wire.client().assume_unknown();
        self.silences.find_out_at = Some(Instant::now());
        self.points.link_lost();
        self.forget_guest();
        self.state = State::Knocking;
        self.touch_now();
    }

    /// The guest is lost sight of. When it is found where it was, it has not been
    /// there twice.
    pub(super) fn note_where_stopped(&mut self) {
        if let (Some(stop), true) = (&self.stop, self.state.is_stopped()) {
            self.silences.stopped_at = stop.registers.pc();
        }
    }

    /// The guest said that it stopped, and noise took it.
    pub(super) fn stop_lost(&mut self) {
        self.say(
            Level::Warning,
            "a stop of the guest was lost on the line; finding out what it does".into(),
        );
        self.begin_anew();
    }

    /// The time has come.
    pub(super) async fn find_out_again(&mut self) {
        self.silences.find_out_at = None;
        if !self.wire.is_open() {
            return;
        }
        self.wire.log().purpose("who is there");
        let timing = self.wire.client().timing();
        self.find_out(Knock::new(Instant::now(), timing)).await;
        if std::mem::take(&mut self.silences.fell_silent)
            && let State::Running { what, .. } = &mut self.state
        {
            self.silences.was_silent = true;
            self.silences.late_refusals = 3;
            *what = format!("{FELL_SILENT}; {what}");
            let what = what.clone();
            self.say(Level::Warning, what);
            self.touch_now();
        }
    }

    /// Whether a text is the `-` of a stub that was in the middle of an answer when
    /// it was asked, which came too late to be taken for one: alone, or behind the
    /// answers that were held up. Only after a stopped guest fell silent: a running
    /// one prints what it likes. Then it is asked again, a few times at most.
    pub(super) fn is_late_refusal(&mut self, text: &[u8]) -> bool {
        let refused = match text {
            [b'-'] => true,
            [.., b'#', high, low, b'-'] => high.is_ascii_hexdigit() && low.is_ascii_hexdigit(),
            _ => false,
        };
        if !self.silences.was_silent
            || !refused
            || self.silences.late_refusals == 0
            || self.wire.mode() == Mode::Stopped
        {
            return false;
        }
        self.silences.late_refusals -= 1;
        self.wire.client().assume_unknown();
        self.silences.find_out_at = Some(Instant::now());
        true
    }

    /// Says it when the line begins to have noise.
    pub(super) fn tell_of_noise(&mut self) {
        let noisy = self.wire.is_noisy();
        if noisy && !self.noise_told {
            let (resends, damaged) = self.wire.troubles();
            self.say(
                Level::Warning,
                format!(
                    "the line has noise: {damaged} packets came damaged, {resends} were sent again; each answer counts only when it came twice now, which takes longer"
                ),
            );
        }
        self.noise_told = noisy;
    }
}
