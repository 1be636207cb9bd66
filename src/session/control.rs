//! Resuming: how a resume gets off a breakpoint, and what it forgets.

use super::{
    answer::Failure,
    delicate::Instead,
    repair::{Bounced, Displaced},
    request::{Level, Step, Towards},
    run::Session,
    step::{Journey, Leg, MOST_CRAWLED, Plan, thread_of},
    view::{State, StopReason},
    wire::WireEvent,
};
use crate::base::{addr::Addr, memory::Span};
use crate::rsp::{command::Command, reply::StopReply, thread::ThreadId};
use std::time::{Duration, Instant};

/// An instruction step that has not come back after this long has left the
/// kernel (`sysret`, `iret`): then there is no stop to wait for.
const STEP_PATIENCE: Duration = Duration::from_secs(2);

/// SIGTRAP: breakpoints, steps, panic and sysrq-g.
pub const SIGTRAP: u8 = 5;

impl Session {
    /// `continue`.
    pub(super) async fn go_on(&mut self) -> Result<(), Failure> {
        self.need_stopped()?;
        self.set_out(Plan::Continue, Leg::Free).await
    }

    /// `step` and its kin.
    pub(super) async fn step(&mut self, step: Step, count: u32) -> Result<(), Failure> {
        self.need_stopped()?;
        self.need_own_subject()?;
        match self.begin_step(step, count).await? {
            Some((plan, leg)) => self.set_out(plan, leg).await,
            None => {
                // Only another frame is shown; the guest did not move.
                self.show_again(StopReason::Step);
                Ok(())
            }
        }
    }

    /// `until`, `advance`, run to cursor.
    pub(super) async fn run_to(&mut self, location: &str, towards: Towards) -> Result<(), Failure> {
        self.need_stopped()?;
        // The location may be told by them.
        self.know_registers().await?;
        self.look_for_modules_once().await?;
        let (plan, leg) = self.begin_run_to(location, towards).await?;
        self.set_out(plan, leg).await
    }

    /// That the guest is stopped and answers.
    pub(super) fn need_stopped(&self) -> Result<(), Failure> {
        match &self.state {
            State::Stopped if self.snapshot.is_some() => Ok(()),
            State::Stopped | State::Running { .. } | State::BreakingIn { .. } => {
                Err(Failure::Running)
            }
            State::Offline => Err(Failure::NoTarget("started with --offline".into())),
            State::Connecting { why } | State::Lost { why } => Err(Failure::NoTarget(why.clone())),
            State::Knocking => Err(Failure::NoTarget("still finding out what listens".into())),
        }
    }

    async fn set_out(&mut self, plan: Plan, leg: Leg) -> Result<(), Failure> {
        self.place_for_wishes().await?;
        let task = self.snapshot.as_ref().and_then(|snapshot| snapshot.thread);
        self.hidden = 0;
        self.mark_cost(self.cost_of_stop());
        self.wire.log().purpose("going on");
        self.cost_base = self.wire.cost();
        self.previous = self.stop.as_ref().map(|stop| stop.registers.clone());
        self.site_codes.clear();
        self.journey = Some(Journey { plan, leg, task, resumes: 0, passed: 0 });
        let result = self.resume().await;
        if result.is_err() {
            self.journey = None;
            self.points.temporary.clear();
        }
        result
    }

    /// Resumes for the journey's leg.
    pub(super) async fn resume(&mut self) -> Result<(), Failure> {
        let Some(journey) = &mut self.journey else { return Ok(()) };
        journey.resumes += 1;
        let what = journey.told();
        let mut leg = journey.leg.clone();
        self.points.temporary = match &leg {
            Leg::Sites { places, .. } => places.clone(),
            Leg::Crawl { over: Some((sites, _)), .. } => sites.clone(),
            Leg::Free | Leg::Single | Leg::Crawl { over: None, .. } => Default::default(),
        };
        let pc = self.pc()?;
        self.reconcile().await?;
        if !leg.is_step() && !self.plant_late(pc).await? {
            return Ok(());
        }
        if let Leg::Sites { places, guard } = &leg
            && !places.iter().all(|place| self.points.is_planted(*place))
        {
            let whole = match self.journey.as_ref().map(|journey| &journey.plan) {
                Some(Plan::To { places, .. }) => {
                    let refused = places.iter().find(|place| !self.points.is_planted(**place));
                    if let Some(place) = refused {
                        return Err(Failure::Other(format!(
                            "the kernel takes no breakpoint at {place}, so it can't be run to; step there, or run to its caller"
                        )));
                    }
                    // Only the way out of the frame is none.
                    let planted = self.points.temporary.iter().copied();
                    let planted = planted.filter(|place| self.points.is_planted(*place)).collect();
                    Some(Leg::Sites { places: planted, guard: *guard })
                }
                _ => None,
            };
            let around = match whole {
                Some(leg) => Some(leg),
                None => self.way_around(places).await?,
            };
            leg = match around {
                Some(leg) => leg,
                None => Leg::Crawl {
                    places: places.clone(),
                    guard: *guard,
                    left: MOST_CRAWLED,
                    over: None,
                },
            };
        }
        if leg.is_step() {
            match self.instead_of_step(pc).await? {
                Some(Instead::Leaves) => {
                    self.step_leaves();
                    leg = Leg::Free;
                }
                Some(Instead::Done) => {
                    self.step_is_done(&what);
                    return Ok(());
                }
                Some(Instead::To(place, guard)) => {
                    self.points.temporary.insert(place);
                    self.reconcile().await?;
                    // Where the stub takes none there is only the step.
                    if self.points.is_planted(place) {
                        leg.run_to(place, guard);
                    }
                }
                None => {}
            }
        }
        if let Some(journey) = &mut self.journey {
            journey.leg = leg.clone();
        }
        let single = leg.is_step();
        if !self.leave_site(pc, single).await? {
            return Ok(());
        }
        let command = if single { Command::Step } else { Command::Continue };
        tracing::debug!(%pc, ?leg, what, "resuming");
        self.resume_with(command, &what).await
    }

    /// Gets the stopped task off a site that is planted where it is. Says
    /// whether there is still something to resume: else the guest runs, or has
    /// stopped once more. For a `single` step there is nothing to do but to
    /// take the site out.
    pub(super) async fn leave_site(&mut self, pc: Addr, single: bool) -> Result<bool, Failure> {
        if !self.settle_debug_registers(pc).await? {
            return Ok(false);
        }
        if self.points.hardware.unbegun.take() == Some(pc) && !single {
            // What is planted here was not met yet.
            return Ok(true);
        }
        self.pass_debug_register(pc).await?;
        if !self.points.is_planted(pc) {
            return Ok(true);
        }
        // Without a window in which another CPU passes here unseen.
        if !single && self.emulate(pc).await? {
            return Ok(true);
        }
        if !single && self.is_waited_for().await? {
            // It stops here once more, and waits; the one that is waited for
            // has its turn first.
            self.write_pc(pc).await?;
            return Ok(true);
        }
        // The stub arms every site on resume, and would stop right here
        // again: take the site out, step one instruction, put it back.
        let stepped = self.snapshot.as_ref().and_then(|snapshot| snapshot.thread);
        self.points.stepped_off = Some((pc, stepped));
        if self.repairs.stuck.contains(&pc) {
            self.take_out_here(pc).await?;
        } else {
            self.lift(pc).await?;
        }
        if single {
            return Ok(true);
        }
        let Some(stop) = self.step_once().await? else { return Ok(false) };
        if self.is_clean_step(&stop, stepped).await? {
            self.points.stepped_off = None;
            let at = Displaced { pc: self.pc()?, trapped: false };
            if self.mend_sites(at).await? == Bounced::Overtaken {
                return Ok(false);
            }
            self.reconcile().await?;
            return Ok(true);
        }
        if let Some(stepped) = stepped
            && thread_of(&stop) != Some(stepped)
        {
            self.owed_steps.insert(stepped);
        }
        self.wire.push_front(WireEvent::Stop(stop));
        Ok(false)
    }

    /// Sends a `c` or an `s`: the stop is over.
    pub(super) async fn resume_with(
        &mut self,
        command: Command,
        what: &str,
    ) -> Result<(), Failure> {
        self.watch.resumed(|addr| self.points.is_planted(addr));
        self.forget_stop(what);
        match self.wire.ask(command).await {
            Ok(_) => self.end_of_record().map_or(Ok(()), Err),
            Err(error) => {
                let failure = self.lost(error);
                self.say(Level::Error, failure.to_string());
                Err(failure)
            }
        }
    }

    /// The stop is over: nothing that was read counts any more, except that a
    /// step of lines goes on with the code of its function as it read it.
    pub(super) fn forget_stop(&mut self, what: &str) {
        let stepping = self.journey.as_ref().map(|journey| &journey.plan);
        let of_code = matches!(
            stepping,
            Some(Plan::Line { .. } | Plan::Instruction { .. } | Plan::Out { .. } | Plan::To { .. })
        );
        if let (true, Some(mut snapshot)) = (of_code, self.snapshot.take())
            && let Some(function) =
                snapshot.registers.pc().and_then(|pc| self.guest_symbols().function_at(pc))
        {
            let span = |(start, end): &(Addr, Addr)| Span::new(*start, end.since(*start));
            snapshot.memory.keep_only(&function.ranges.iter().map(span).collect::<Vec<_>>());
            self.code_of_step = snapshot.memory;
        }
        self.snapshot = None;
        self.panes.clear();
        let since = match self.state {
            State::Running { since, .. } => since,
            _ => Instant::now(),
        };
        self.state = State::Running { since, what: what.to_string() };
        self.touch_later();
    }

    /// One `s` off a breakpoint, answered in place. `None` when the guest left
    /// the kernel and runs.
    async fn step_once(&mut self) -> Result<Option<StopReply>, Failure> {
        match self.wire.ask(Command::Step).await {
            Ok(_) => {}
            Err(error) => return Err(self.lost(error)),
        }
        if let Some(snapshot) = &mut self.snapshot {
            snapshot.forget();
        }
        let deadline = tokio::time::Instant::now() + STEP_PATIENCE;
        let mut kept = Vec::new();
        let result = loop {
            match tokio::time::timeout_at(deadline, self.wire.event()).await {
                Ok(WireEvent::Stop(stop)) => break Some(stop),
                Ok(
                    other @ (WireEvent::Closed(_)
                    | WireEvent::Exited(_)
                    | WireEvent::ResumeRefused(_)),
                ) => {
                    kept.push(other);
                    break None;
                }
                Ok(other) => kept.push(other),
                Err(_) => {
                    self.say(
                        Level::Info,
                        "the step left the kernel for user mode; the guest runs, and the breakpoint it stood on is planted again at the next stop".into(),
                    );
                    break None;
                }
            }
        };
        for event in kept.into_iter().rev() {
            self.wire.push_front(event);
        }
        if result.is_none() {
            self.forget_stop("continue");
        }
        Ok(result)
    }

    /// Whether a stop is just the end of our own instruction step.
    async fn is_clean_step(
        &mut self,
        stop: &StopReply,
        stepped: Option<ThreadId>,
    ) -> Result<bool, Failure> {
        let StopReply::Thread { signal: SIGTRAP, .. } = stop else { return Ok(false) };
        let same_task = stepped == thread_of(stop);
        let pc = Addr(self.register(self.arch().pc).await?);
        let hit = self.points.is_planted(pc.back(self.arch().breakpoint_skid))
            || self.points.hidden.contains(&pc)
            || self.points.wish_at(pc).is_some()
            || self.has_met().await?;
        let at_goal = matches!(&self.journey, Some(Journey { leg: Leg::Sites { places, .. }, .. }) if places.contains(&pc));
        Ok(same_task && !hit && !at_goal)
    }
}
