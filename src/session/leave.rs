//! Parting from the guest, with nothing of ours left in it.

use super::{
    answer::Failure,
    control::SIGTRAP,
    repair::{Bounced, Displaced},
    request::{Leave, Level},
    run::Session,
    settings::ModuleEvents,
};
use crate::rsp::{client::Mode, command::Command};
use crate::target::breakin;
use std::time::Duration;

/// How long a guest may take to stop when we want to leave it.
const LEAVE_PATIENCE: Duration = Duration::from_secs(40);

impl Session {
    /// Parts from the guest.
    pub(super) async fn leave(&mut self, how: Leave) -> Result<(), Failure> {
        self.points.temporary.clear();
        self.keep_breakpoints();
        if how == Leave::AsIs || !self.wire.is_open() || self.replay.is_some() {
            return Ok(());
        }
        if self.wire.mode() != Mode::Stopped {
            let count = self.points.planted_count() + self.points.unsure;
            if count == 0 {
                return Ok(());
            }
            self.stop_for_leaving(count).await?;
        }
        self.need_clean_text().await?;
        self.restore_panic_timeout().await;
        match how {
            Leave::Stopped => {
                // They are not disabled for the next session.
                self.saved.stop();
                for wish in &mut self.points.wishes {
                    wish.enabled = false;
                }
                self.settings.module_events = ModuleEvents::Off;
                self.reconcile().await?;
                self.retire_hardware().await?;
                self.clear_journal();
                Ok(())
            }
            _ => {
                self.retire_hardware().await?;
                if let Err(failure) = self.let_others_pass().await {
                    tracing::warn!(%failure, "other CPUs may still be at breakpoints");
                }
                if self.is_at_exception() {
                    return self.pass_for_good().await;
                }
                match self.wire.ask(Command::Detach).await {
                    Ok(_) => {
                        if self.wire.is_noisy() {
                            self.wire.linger().await;
                        }
                        self.points.table_emptied();
                        self.clear_journal();
                        Ok(())
                    }
                    Err(error) => Err(self.lost(error)),
                }
            }
        }
    }

    /// That every breakpoint is out of memory: `D` makes the kernel forget those
    /// that are not.
    async fn need_clean_text(&mut self) -> Result<(), Failure> {
        // Each one is looked at.
        self.repairs.stuck.extend(self.points.planted_sites());
        let at = Displaced { pc: self.pc()?, trapped: false };
        let back = self.mend_sites(at).await? == Bounced::Back;
        if back {
            for site in self.repairs.stuck.clone() {
                self.lift(site).await?;
            }
            if self.repairs.stuck.is_empty() {
                return Ok(());
            }
        }
        Err(Failure::Other(
            "breakpoints can't be taken out now: the guest was stopped while it changes the kernel's text (text_mutex is held); let it run on (finish, continue) and leave at the next stop".into(),
        ))
    }

    /// Whether `D` would run into an exception again, and the guest would stop
    /// with nobody there. Then the kernel gets it, and does what it does
    /// without a debugger.
    fn is_at_exception(&self) -> bool {
        let Some(stop) = &self.snapshot else { return false };
        let answered = stop.crash.as_ref().is_some_and(|crash| crash.answered);
        let at_it = stop.signal != SIGTRAP && !(answered && self.has_moved());
        if at_it {
            self.say(
                Level::Warning,
                "the guest was stopped by an exception, which the kernel deals with now: an oops kills the task".into(),
            );
        }
        at_it
    }

    /// A running guest can't be told to lift a breakpoint, and one that stays
    /// planted would stop it with nobody there. So it is stopped once more,
    /// where the link can do that.
    async fn stop_for_leaving(&mut self, count: usize) -> Result<(), Failure> {
        if let Some(said) = self.said_exit {
            return Err(Failure::Other(format!(
                "{said}: if that is true, its {count} breakpoints are gone and it can be left as it is; if a program only printed it, they are planted, and can only be lifted while it is stopped (in the guest, as root: {})",
                breakin::BY_HAND
            )));
        }
        if !self.can_break_in() && self.passes_often().is_none() {
            return Err(Failure::Other(format!(
                "the guest runs with {count} breakpoints planted, which can only be lifted while it is stopped; stop it first (in the guest, as root: {})",
                breakin::BY_HAND
            )));
        }
        match self.stop_guest(LEAVE_PATIENCE).await {
            Err(Failure::NotStopped { tried }) => Err(Failure::Other(format!(
                "{}; its {count} breakpoints stay planted",
                Failure::NotStopped { tried }
            ))),
            stopped => stopped,
        }
    }
}
