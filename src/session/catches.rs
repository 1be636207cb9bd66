//! `catch panic`, `oops`, `bug`, `warn` and `hung`: where the kernel can be
//! caught when something is wrong with it.
//!
//! At an exception of its own and at a panic kgdb stops anyway, unless
//! `panic_timeout` is set ([`crash_trap::panic_timeout`]); then, and for what it
//! does not stop at, there is a breakpoint:
//!
//! - panic: `kgdb_panic`, which has the message; before 5.8, where kgdb comes
//!   only after the other CPUs are stopped, `panic` itself.
//! - oops, BUG: `oops_enter`, which every death by an exception begins with.
//! - WARN: `__warn`, before 4.6 `warn_slowpath_common`.
//! - hung: `sched_show_task`, by which khungtaskd shows the task that hangs
//!   (kernel/hung_task.c, 4.2 as well); other callers are passed by.
//!
//! They are planted where the function's first argument is copied, as those
//! that watch modules are ([`hooks`]): not in the way of ftrace.

use super::{
    answer::{Answer, Failure},
    crash_view::CrashEvent,
    hits::Hit,
    request::BreakKind,
    run::Session,
    step::Next,
    view::StopReason,
    wish::{Site, Wish},
};
use crate::base::addr::Addr;
use crate::kernel::{crash_trap, hooks};
use crate::rsp::reply::StopReply;

/// Frames up to the caller that counts.
const NEAR: usize = 6;

/// What was caught last, until it is explained.
#[derive(Clone, Copy, Debug, Default)]
pub struct Caught {
    /// What happened.
    pub event: Option<CrashEvent>,
    /// The first argument of the function that told it.
    pub argument: Addr,
}

impl Session {
    /// `catch panic` and its kin.
    pub(super) async fn set_crash_catch(
        &mut self,
        kind: BreakKind,
        event: CrashEvent,
    ) -> Result<Answer, Failure> {
        let wish = self.points.add(kind, event.means().into());
        wish.crash = Some(event);
        wish.pending = Some("waits for the guest to stop".into());
        let number = wish.number;
        self.crashes.catches_at = None;
        self.plant().await?;
        self.breakpoints_answer(&[number])
    }

    /// Gives catches their places, which depend on the guest's `panic_timeout`.
    pub(super) async fn place_catches(&mut self) -> Result<(), Failure> {
        if !self.points.wishes.iter().any(|wish| wish.is_armed() && wish.crash.is_some()) {
            return Ok(());
        }
        let waits = |wish: &Wish| wish.is_armed() && wish.crash.is_some() && wish.pending.is_some();
        if self.crashes.catches_at == Some(self.generation) && !self.points.wishes.iter().any(waits)
        {
            // A step on the way: nothing that counts here has changed.
            return Ok(());
        }
        if self.guest_symbols().vmlinux().is_none() {
            for wish in self.points.wishes.iter_mut().filter(|wish| wish.crash.is_some()) {
                wish.pending = Some("waits for the vmlinux to be proven".into());
            }
            return Ok(());
        }
        self.crashes.catches_at = Some(self.generation);
        let timeout = self.panic_timeout().await?.map_or(0, |(_, seconds)| seconds);
        for index in 0..self.points.wishes.len() {
            let wish = &self.points.wishes[index];
            let Some(event) = wish.crash.filter(|_| wish.is_armed()) else { continue };
            let function = self.function_of(event, timeout != 0);
            let known = wish.sites.first().and_then(|site| site.function.clone());
            let placed = match function {
                Some(function) if known.as_deref() == Some(function) => {
                    self.points.wishes[index].pending = None;
                    continue;
                }
                Some(function) => self.site_in(function).await?.map(Some),
                None => Ok(None),
            };
            let asleep = match event {
                CrashEvent::Hung => self.compute(crash_trap::no_hung_tasks).await?.ok().flatten(),
                _ => None,
            };
            let wish = &mut self.points.wishes[index];
            wish.pending = None;
            wish.note = asleep.map(str::to_owned);
            // Only a panic calls it, before it calls the debugger.
            wish.forced = function == Some("kgdb_panic");
            match placed {
                Ok(Some(site)) => wish.sites = vec![site],
                Ok(None) => {
                    wish.sites.clear();
                    wish.note = Some("kgdb stops there by itself".into());
                }
                Err(why) => {
                    wish.sites.clear();
                    wish.pending = Some(why);
                }
            }
        }
        Ok(())
    }

    /// The function in which an event is caught; `None` when kgdb stops there
    /// by itself.
    fn function_of(&self, event: CrashEvent, reboots: bool) -> Option<&'static str> {
        let symbols = self.guest_symbols();
        let has = |name: &str| symbols.symbol_addr(name).is_some();
        match event {
            CrashEvent::Panic if !has("kgdb_panic") => Some("panic"),
            CrashEvent::Panic => reboots.then_some("kgdb_panic"),
            CrashEvent::Oops | CrashEvent::Bug => reboots.then_some("oops_enter"),
            CrashEvent::Warn if has("__warn") => Some("__warn"),
            CrashEvent::Warn => Some("warn_slowpath_common"),
            CrashEvent::Hung => Some("sched_show_task"),
        }
    }

    /// The place in a function where its first argument can be had, or why
    /// there is none.
    async fn site_in(&mut self, function: &'static str) -> Result<Result<Site, String>, Failure> {
        let symbols = self.guest_symbols();
        let has_hung = symbols.symbol_addr("sysctl_hung_task_timeout_secs").is_some();
        if function == "sched_show_task" && !has_hung {
            return Ok(Err("this kernel does not look for hung tasks \
                           (CONFIG_DETECT_HUNG_TASK)"
                .into()));
        }
        let Some(entry) = symbols.symbol_addr(function) else {
            return Ok(Err(format!("this kernel has no function {function}")));
        };
        let arch = self.arch();
        let hook =
            self.compute(move |symbols, memory| hooks::hook(symbols, memory, arch, entry)).await?;
        let addr = hook.unwrap_or(entry);
        let place = symbols.place_at(addr, Some(function));
        Ok(Ok(Site { function: Some(function.into()), ..Site::from(place) }))
    }

    /// The guest is at `pc` and trapped: what is to be done when that is where
    /// an event is caught.
    pub(super) async fn catch_hit(
        &mut self,
        pc: Addr,
        stop: &StopReply,
    ) -> Result<Option<Next>, Failure> {
        let here = |event: CrashEvent| !self.points.catches_at(pc, event).is_empty();
        let events: Vec<CrashEvent> = CrashEvent::ALL.into_iter().filter(|e| here(*e)).collect();
        let Some(&first) = events.first() else { return Ok(None) };
        let argument = Addr(self.register(self.arch().first_argument).await?);
        let event = match first {
            CrashEvent::Oops | CrashEvent::Bug => {
                let event = self.oops_or_bug().await?;
                events.into_iter().find(|one| *one == event || *one == CrashEvent::Oops)
            }
            CrashEvent::Hung => self.is_of_hung_task().await?.then_some(CrashEvent::Hung),
            other => Some(other),
        };
        let hit = match event {
            Some(event) => {
                let there = self.points.catches_at(pc, event);
                let hit = self.judge_hit(&there, pc).await?;
                // The frames that are left out are others: see `reporting`.
                self.hidden = 0;
                hit
            }
            None => Hit::Passed,
        };
        if let (Some(event), Hit::Stop(reason)) = (event, hit) {
            self.crashes.caught = Caught { event: Some(event), argument };
            let number = reason.breakpoint();
            let headline = String::new();
            return Ok(Some(Next::Stay(StopReason::Crash { number, event, headline })));
        }
        if self.points.is_wanted_besides(pc) || self.breaking_in {
            return Ok(None);
        }
        tracing::debug!(%pc, ?stop, "not what is caught there");
        Ok(Some(Next::GoPast))
    }

    /// Whether the task is to be shown because it hangs.
    async fn is_of_hung_task(&mut self) -> Result<bool, Failure> {
        let stack = self.stack_here(NEAR).await?;
        let symbols = self.guest_symbols();
        let in_file = |frame: &crate::unwind::Frame| {
            let at = symbols.frames_at(frame.lookup);
            at.iter().any(|code| {
                code.file.as_ref().is_some_and(|file| file.name.ends_with("kernel/hung_task.c"))
            })
        };
        Ok(stack.frames.iter().skip(1).any(in_file))
    }

    /// What kind of death `oops_enter` begins.
    async fn oops_or_bug(&mut self) -> Result<CrashEvent, Failure> {
        let stack = self.stack_here(24).await?;
        let entry = stack.frames.iter().position(|frame| frame.saved.is_some());
        let pc = entry.and_then(|entry| stack.frames.get(entry + 1)).map(|frame| frame.pc);
        let Some(pc) = pc else { return Ok(CrashEvent::Oops) };
        let code = self.compute(move |_, memory| memory.bytes(pc, 2)).await?;
        let is_bug = code.is_ok_and(|code| crate::arch::operand::is_ud2(&code));
        Ok(if is_bug { CrashEvent::Bug } else { CrashEvent::Oops })
    }

    /// The guest's `panic_timeout` and where it is; `None` where there is none.
    pub(super) async fn panic_timeout(&mut self) -> Result<Option<(Addr, i32)>, Failure> {
        Ok(self.compute(crash_trap::panic_timeout).await?.ok())
    }
}
