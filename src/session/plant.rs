//! Planting while the guest runs: it is stopped for a moment, and runs on.

use super::{
    answer::{Answer, Failure},
    request::Level,
    run::{Session, Waiter},
    step::Journey,
    view::StopReason,
};
use std::time::{Duration, Instant};

/// A stop that is only for planting.
pub(super) struct Quick {
    /// Who asked for it.
    reply: Waiter,
}

impl Session {
    /// Plants and lifts what was asked for while the guest ran. A running guest
    /// is stopped for a moment, where that needs nobody's help.
    pub(super) async fn plant_now(&mut self, reply: Waiter) {
        if self.need_stopped().is_ok() {
            let planted = self.reconcile().await;
            let _ = reply.send(planted.map(|()| self.planted(Duration::ZERO)));
            return;
        }
        if let Some(why) = self.no_quick_stop() {
            let _ = reply.send(Err(why));
            return;
        }
        self.break_in.quick = Some(Quick { reply });
        if let Err(failure) = self.break_in().await {
            self.quick_failed(&failure);
        }
    }

    /// Why the guest is not stopped for planting; `None` when it can be.
    fn no_quick_stop(&self) -> Option<Failure> {
        let words = match self.need_stopped() {
            Ok(()) => return None,
            Err(Failure::Running) if self.breaking_in => {
                "a break-in is under way; breakpoints are planted when the guest stops"
            }
            Err(Failure::Running) if self.is_stepping() => {
                "the guest is about to stop by itself, and breakpoints are planted then"
            }
            Err(Failure::Running) if self.can_break_in() => return None,
            Err(Failure::Running) => {
                "breakpoints are planted at the next stop; nothing here stops the guest without help (--break-in, interrupt shell, telnet: or serial: with a BREAK)"
            }
            Err(other) => return Some(other),
        };
        Some(Failure::Other(words.into()))
    }

    /// Whether a stop for this reason is only for planting.
    pub(super) fn is_quick(&self, reason: &StopReason) -> bool {
        self.break_in.quick.is_some() && *reason == StopReason::BreakIn
    }

    /// The guest, stopped since `seen` for planting, runs on at once.
    pub(super) async fn quick_stop(&mut self, seen: Instant) -> Result<(), Failure> {
        let Some(quick) = self.break_in.quick.take() else { return Ok(()) };
        let result = self.plant_and_go().await;
        let time = seen.elapsed();
        match &result {
            Ok(()) => self.say(
                Level::Info,
                format!("planted; the guest was stopped for {} ms", time.as_millis()),
            ),
            Err(_) => self.fail_waiters(&Failure::Running),
        }
        let _ = quick.reply.send(result.clone().map(|()| self.planted(time)));
        result
    }

    async fn plant_and_go(&mut self) -> Result<(), Failure> {
        if !self.identified {
            // The first stop on this link: what the breakpoints mean is not
            // known before the guest is.
            self.settle(StopReason::BreakIn).await?;
            return self.go_on().await;
        }
        self.breaking_in = false;
        self.damaged_stop = false;
        self.broken_in(true);
        self.place_for_wishes().await?;
        self.resolve_pending();
        let task = self.snapshot.as_ref().and_then(|snapshot| snapshot.thread);
        let free = || Journey { task, ..Journey::free() };
        self.journey.get_or_insert_with(free);
        self.resume().await
    }

    fn planted(&mut self, stopped: Duration) -> Answer {
        let tried = std::mem::take(&mut self.break_in.tried);
        Answer::Planted {
            breakpoints: self.breakpoints(),
            stopped: (stopped.as_secs_f64() * 1e6).round() / 1e6,
            tried,
        }
    }

    /// There is no stop for planting, or it became a real one.
    pub(super) fn quick_failed(&mut self, failure: &Failure) {
        if let Some(quick) = self.break_in.quick.take() {
            let _ = quick.reply.send(Err(failure.clone()));
        }
    }
}
