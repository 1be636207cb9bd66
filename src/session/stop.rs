//! What a stop of the guest means, and reading what every stop needs.

use super::{
    answer::Failure,
    conduct::AtHit,
    control::SIGTRAP,
    hardware_hit::Fired,
    hits::Hit,
    modules::{Caught, Event},
    repair::{Bounced, Displaced},
    request::Level,
    run::Session,
    slots::Entry,
    snapshot::Snapshot,
    step::{Journey, Leg, Next, Plan, Whose, thread_of},
    view::{FramesEnd, State, StopReason, StopView},
    wants::Supplied,
};
use crate::arch::Registers;
use crate::base::addr::Addr;
use crate::rsp::{client::Mode, command::Command, reply::StopReply, thread::ThreadId};
use crate::target::{knock::Knock, registers};
use std::time::Instant;

impl Session {
    /// The guest stopped.
    pub(super) async fn on_stop(&mut self, stop: StopReply) {
        let taken = match self.came_another_way() {
            true => Box::pin(self.take_recorded_stop(stop)).await,
            false => self.take_stop(stop).await,
        };
        let taken = match taken {
            // The program that made the record had no need to look at this one.
            Err(_) if self.is_unseen() => Box::pin(self.replay_on()).await,
            taken => taken,
        };
        let doubted = std::mem::take(&mut self.doubted);
        if let Err(failure) = taken {
            if self.wire.is_open() && self.wire.mode() == Mode::Unknown && !doubted {
                // Nobody answered: something on the console may have looked like it.
                self.say(
                    Level::Warning,
                    format!(
                        "what looked like a stop of the guest may be none ({failure}); finding out"
                    ),
                );
                self.snapshot = None;
                self.doubted = true;
                if let Some(text) = self.wire.client().last_as_text() {
                    self.show_console(text);
                }
                let knock = Knock::new(Instant::now(), self.wire.client().timing());
                return Box::pin(self.find_out(knock)).await;
            }
            if self.wire.is_open() {
                self.say(Level::Error, format!("the stop could not be read: {failure}"));
                self.state = State::Stopped;
            }
            self.fail_waiters(&failure);
            self.touch_now();
        }
    }

    /// Begins to know a stop.
    pub(super) fn new_snapshot(&mut self, stop: &StopReply) {
        let signal = match *stop {
            StopReply::Signal { signal }
            | StopReply::Thread { signal, .. }
            | StopReply::Terminated { signal } => signal,
            StopReply::Exited { .. } => 0,
        };
        self.snapshot = Some(Snapshot {
            generation: self.generation + 1,
            registers: Registers::unknown(self.arch()),
            has_registers: false,
            thread: thread_of(stop),
            signal,
            memory: std::mem::take(&mut self.code_of_step),
            chosen: None,
            crash: None,
            tasks: None,
        });
    }

    async fn take_stop(&mut self, stop: StopReply) -> Result<(), Failure> {
        self.silences.was_silent = false;
        let signal = match stop {
            StopReply::Signal { signal } | StopReply::Thread { signal, .. } => signal,
            StopReply::Exited { code } => {
                self.on_exit(code);
                return Ok(());
            }
            StopReply::Terminated { signal } => signal,
        };
        let seen = Instant::now();
        self.new_snapshot(&stop);
        // Only the pc at first: most stops on the way of a step need no more.
        let mut pc = Addr(self.register(self.arch().pc).await?);
        let skid = pc.back(self.arch().breakpoint_skid);
        (self.points.hardware.entry, self.points.hardware.unbegun) = (Entry::Unknown, None);
        let mut trapped = signal == SIGTRAP
            && self.points.is_planted(skid)
            && !self.is_debug_register_stop(pc).await?;
        let mut unwritten = false;
        if let Some(at) = self.put_back(&stop).await? {
            (pc, trapped) = (at.pc, at.trapped);
            if self.is_stepped(thread_of(&stop)) {
                // This is the end of that step.
                self.owed_steps.retain(|task| Some(*task) != thread_of(&stop));
            }
        } else if trapped {
            self.rewound = None;
            // The stub reports the address after the int3.
            pc = skid;
            let register = self.arch().pc;
            if let Some(snapshot) = &mut self.snapshot {
                snapshot.registers.set(register, Some(pc.0));
            }
            // Put right at once, so that whatever happens next resumes at a
            // whole instruction; or sent on in a moment.
            unwritten = self.is_anothers(&stop, pc);
            if !unwritten {
                self.write_pc(pc).await?;
            }
            self.points.hardware.entry = Entry::Int3;
        }
        tracing::debug!(%pc, ?stop, "stopped");
        if signal != SIGTRAP && Box::pin(self.passes_again(pc)).await? {
            return Ok(());
        }
        self.end_step_off(&stop);
        if self.mend_sites(Displaced { pc, trapped }).await? == Bounced::Overtaken {
            return Ok(());
        }
        if unwritten {
            if self.repairs.stuck.is_empty() && self.emulate(pc).await? {
                return self.pass_on().await;
            }
            self.write_pc(pc).await?;
        }
        if trapped && !self.breaking_in && !self.points.wanted().contains(&pc) {
            // It could not be taken out, and nobody wants it any more.
            return match self.is_stepped(thread_of(&stop)) {
                true => self.resume().await,
                false => self.pass_by().await,
            };
        }
        if signal == SIGTRAP
            && self.points.hidden.contains(&pc)
            && let Some(event) = self.watch.event_at(pc)
        {
            match self.module_event(event).await? {
                Caught::Stay(reason) => return self.settle(reason).await,
                Caught::Later => return Ok(()),
                // A task that came here by its own step has taken it.
                Caught::Nothing if trapped && self.is_hidden(pc) => return self.pass_by().await,
                Caught::Nothing => {}
            }
        }
        if signal == SIGTRAP && !trapped {
            match self.watchpoint_stop(pc, &stop).await? {
                Fired::Stay(reason) => {
                    self.note_overtaken(&stop);
                    return self.settle(reason).await;
                }
                Fired::PassBy => return self.pass_by().await,
                Fired::Nothing => {}
            }
        }
        if signal == SIGTRAP && self.points.frame_ends().any(|end| end == pc) {
            let over = self.frame_over(pc, &stop).await?;
            if trapped && self.is_hidden(pc) {
                match over {
                    Some(reason) => return self.settle(reason).await,
                    None => return self.pass_by().await,
                }
            }
        }
        let reason = match self.reason(pc, signal, &stop, trapped).await? {
            Next::Pass => {
                if let Some(journey) = &mut self.journey {
                    journey.passed += 1;
                }
                return self.pass_by().await;
            }
            Next::Go(leg) => {
                if let Some(journey) = &mut self.journey {
                    journey.leg = leg;
                }
                return self.resume().await;
            }
            Next::Stay(reason) => reason,
            Next::GoPast => return self.go_past(pc).await,
        };
        if self.is_quick(&reason) {
            return self.quick_stop(seen).await;
        }
        self.settle(reason).await
    }

    /// Remembers a task whose instruction step was overtaken by another's stop.
    fn note_overtaken(&mut self, stop: &StopReply) {
        if let Some(Journey { leg, task: Some(stepped), .. }) = &self.journey
            && leg.is_step()
            && thread_of(stop) != Some(*stepped)
        {
            self.owed_steps.insert(*stepped);
        }
    }

    /// Whether a stop is another task's at a site that only the step has, with
    /// nothing else to be looked at.
    fn is_anothers(&self, stop: &StopReply, pc: Addr) -> bool {
        let (Some(journey), Some(thread)) = (&self.journey, thread_of(stop)) else { return false };
        let any = matches!(journey.plan, Plan::To { whose: Whose::Any, .. });
        journey.task.is_some_and(|task| task != thread)
            && !any
            && matches!(&journey.leg, Leg::Sites { places, .. } if places.contains(&pc))
            && !self.breaking_in
            && !self.points.is_wished(pc)
            && !self.points.hidden.contains(&pc)
            && !self.points.frame_ends().any(|end| end == pc)
    }

    /// Lets a task go on that was got off its site.
    async fn pass_on(&mut self) -> Result<(), Failure> {
        let Some(journey) = &mut self.journey else { return Ok(()) };
        journey.passed += 1;
        let what = journey.told();
        self.reconcile().await?;
        self.resume_with(Command::Continue, &what).await
    }

    /// Whether a task is the one whose instruction is stepped.
    fn is_stepped(&self, task: Option<ThreadId>) -> bool {
        matches!(&self.journey, Some(Journey {
            leg: Leg::Single | Leg::Crawl { over: None, .. },
            task: stepped,
            ..
        }) if *stepped == task)
    }

    /// Why the guest is here, or that it must go on.
    async fn reason(
        &mut self,
        pc: Addr,
        signal: u8,
        stop: &StopReply,
        trapped: bool,
    ) -> Result<Next, Failure> {
        let next = self.next(pc, signal, stop, trapped).await?;
        if matches!(next, Next::Stay(_)) {
            self.note_overtaken(stop);
        }
        Ok(next)
    }

    async fn next(
        &mut self,
        pc: Addr,
        signal: u8,
        stop: &StopReply,
        trapped: bool,
    ) -> Result<Next, Failure> {
        if signal == SIGTRAP
            && let Some(next) = self.catch_hit(pc, stop).await?
        {
            return Ok(next);
        }
        let hit = match signal {
            SIGTRAP => self.breakpoint_hit(pc).await?,
            _ => Hit::Nothing,
        };
        if let Hit::Stop(reason) = hit {
            return Ok(Next::Stay(reason));
        }
        if signal == SIGTRAP && !self.breaking_in && self.is_late_break_in() {
            return Ok(Next::Stay(StopReason::BreakIn));
        }
        let passed = hit == Hit::Passed;
        if signal != SIGTRAP || self.breaking_in {
            return Ok(Next::Stay(self.foreign_stop(stop)));
        }
        match self.journey.take() {
            Some(mut journey) => {
                // One that did not count is no foreign stop.
                let next = match passed && !journey.may_end(pc, thread_of(stop)) {
                    true => Ok(Next::GoPast),
                    false => self.after_leg(&mut journey, stop, trapped).await,
                };
                self.journey = Some(journey);
                next
            }
            None if passed => Ok(Next::GoPast),
            None => Ok(Next::Stay(self.foreign_stop(stop))),
        }
    }

    /// The guest stays stopped: read what every stop needs and show it.
    pub(super) async fn settle(&mut self, reason: StopReason) -> Result<(), Failure> {
        let plan = self.journey.take().map(|journey| journey.plan);
        if let StopReason::Module { number, .. } = &reason
            && let Some(wish) = self.points.wish(*number)
        {
            self.at_hit.commands.clone_from(&wish.conduct.commands);
        }
        self.points.temporary.clear();
        self.points.stepped_off = None;
        self.breaking_in = false;
        self.passing = None;
        self.damaged_stop = false;
        self.rewound = None;
        self.broken_in(reason == StopReason::BreakIn);
        if self.reads_registers_at_once() {
            self.know_registers().await?;
        }
        let Some(snapshot) = &mut self.snapshot else { return Err(Failure::Running) };
        let registers = snapshot.registers.clone();
        // What is shown is read at this stop.
        snapshot.memory.clear();
        self.generation = snapshot.generation;
        let signal = snapshot.signal;
        let words = format!("stop {}: {}", self.generation, reason.text());
        self.note(&words);
        if self.hidden > 0 {
            self.note(&format!("outside {}", self.hidden));
        }
        self.wire.log().mark(words);
        self.stop = Some(StopView {
            generation: self.generation,
            reason,
            signal: Some(signal),
            cpu: None,
            pid: None,
            comm: None,
            previous: self.previous.take(),
            frame_registers: registers.clone(),
            register_names: Default::default(),
            registers,
            frames: Vec::new(),
            frames_end: FramesEnd::Reading,
            selected: 0,
            variables: None,
            code: Vec::new(),
            code_symbols: Vec::new(),
            returned: None,
            crash: None,
            at_hit: AtHit { asked: !self.waiters.is_empty(), ..std::mem::take(&mut self.at_hit) },
            cost: Default::default(),
            subject: None,
            supplied: Supplied::default(),
        });
        self.state = State::Stopped;
        let first = !self.identified;
        if first {
            self.touch_now();
            self.identify().await?;
            self.mend_pc().await?;
            if self.mend_relics().await? == Bounced::Overtaken {
                return Ok(());
            }
            self.find_used_registers().await?;
        }
        self.first_frame();
        self.publish_cost();
        self.touch_now();
        self.look_at_task(&plan).await?;
        self.forget_usage();
        self.look_for_new_modules(&plan).await?;
        if self.stop.as_ref().is_some_and(|stop| stop.frames.iter().all(|f| f.function.is_none())) {
            // In a module that was not known before.
            self.first_frame();
        }
        if let Some(Plan::Out { function: Some(function), .. }) = plan
            && self.stop.as_ref().is_some_and(|stop| stop.reason == StopReason::Finished)
        {
            self.read_returned(function).await?;
        }
        self.resolve_pending();
        if first {
            self.name_found_breakpoint();
            self.name_late_break_in();
            self.look_at_panic_timeout().await?;
        }
        self.look_at_crash().await?;
        self.name_doers().await?;
        self.reconcile().await?;
        if first {
            // The link may have been lost just before a module goes.
            let pc = self.pc()?;
            if let Some(event @ (Event::Unload | Event::Change)) = self.watch.event_at(pc) {
                self.module_event(event).await?;
                self.reconcile().await?;
            }
        }
        self.panes.restart(self.options.eager);
        self.publish_cost();
        self.tell_crash(signal);
        self.show_hung_task().await?;
        self.answer_waiters();
        self.touch_now();
        Ok(())
    }

    /// Sets the guest's pc (`P`, little-endian).
    pub(super) async fn write_pc(&mut self, pc: Addr) -> Result<(), Failure> {
        let command = registers::write(self.arch(), self.arch().pc, pc.0)
            .map_err(|error| Failure::Other(error.to_string()))?;
        match self.wire.ask(command).await {
            Ok(_) => {
                let register = self.arch().pc;
                if let Some(snapshot) = &mut self.snapshot {
                    snapshot.registers.set(register, Some(pc.0));
                }
                Ok(())
            }
            Err(error) => Err(self.lost(error)),
        }
    }
}
