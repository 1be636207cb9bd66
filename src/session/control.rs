//! Resuming and stopping: how wishes become sites in the guest, how a resume
//! gets off a breakpoint, and what a stop means.

use super::{
    answer::Failure,
    exits,
    modules::{Caught, Event},
    request::{Level, Step},
    run::Session,
    snapshot::Snapshot,
    step::{Journey, Leg, MOST_CRAWLED, Next, Plan, thread_of},
    view::{FramesEnd, State, StopReason, StopView},
    wants::Supplied,
    wire::WireEvent,
};
use crate::arch::Registers;
use crate::base::{addr::Addr, memory::Span};
use crate::rsp::{
    command::{Command, Point, PointKind},
    reply::{Reply, StopReply},
    thread::ThreadId,
};
use crate::target::registers;
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

    /// `until`, `advance`.
    pub(super) async fn run_to(&mut self, location: &str) -> Result<(), Failure> {
        self.need_stopped()?;
        self.look_for_modules_once().await?;
        let (plan, leg) = self.begin_run_to(location).await?;
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
        self.cost_base = self.wire.cost();
        self.previous = self.stop.as_ref().map(|stop| stop.registers.clone());
        self.journey = Some(Journey { plan, leg, task });
        let result = self.resume().await;
        if result.is_err() {
            self.journey = None;
            self.points.temporary.clear();
        }
        result
    }

    /// Resumes for the journey's leg.
    async fn resume(&mut self) -> Result<(), Failure> {
        let Some(journey) = &self.journey else { return Ok(()) };
        let mut leg = journey.leg.clone();
        let what = journey.plan.word();
        self.points.temporary = match &leg {
            Leg::Sites { places, .. } => places.clone(),
            Leg::Crawl { over: Some((sites, _)), .. } => sites.clone(),
            Leg::Free | Leg::Single | Leg::Crawl { over: None, .. } => Default::default(),
        };
        let pc = self.pc()?;
        self.reconcile().await?;
        if let Leg::Sites { places, guard } = &leg
            && !places.iter().all(|place| self.points.is_planted(*place))
        {
            leg = match self.way_around(places).await? {
                Some(leg) => leg,
                None => Leg::Crawl {
                    places: places.clone(),
                    guard: *guard,
                    left: MOST_CRAWLED,
                    over: None,
                },
            };
            if let Some(journey) = &mut self.journey {
                journey.leg = leg.clone();
            }
        }
        let single = matches!(leg, Leg::Single | Leg::Crawl { over: None, .. });
        if !self.leave_site(pc, single).await? {
            return Ok(());
        }
        let command = if single { Command::Step } else { Command::Continue };
        tracing::debug!(%pc, ?leg, what, "resuming");
        self.resume_with(command, what).await
    }

    /// Gets the stopped task off a site that is planted where it is. Says
    /// whether there is still something to resume: else the guest runs, or has
    /// stopped once more. For a `single` step there is nothing to do but to
    /// take the site out.
    pub(super) async fn leave_site(&mut self, pc: Addr, single: bool) -> Result<bool, Failure> {
        if !self.points.is_planted(pc) || (!single && self.pass_hook(pc).await?) {
            return Ok(true);
        }
        // The stub arms every site on resume, and would stop right here
        // again: take the site out, step one instruction, put it back.
        let stepped = self.snapshot.as_ref().and_then(|snapshot| snapshot.thread);
        self.points.stepped_off = Some((pc, stepped));
        self.lift(pc).await?;
        if single {
            return Ok(true);
        }
        let Some(stop) = self.step_once().await? else { return Ok(false) };
        if self.is_clean_step(&stop, stepped).await? {
            self.points.stepped_off = None;
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
            Ok(_) => Ok(()),
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
        if let (Some(Plan::Line { .. }), Some(mut snapshot)) = (stepping, self.snapshot.take())
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
            snapshot.registers = Registers::unknown(snapshot.registers.arch);
            snapshot.memory.clear();
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
            || self.points.wish_at(pc).is_some();
        let at_goal = matches!(&self.journey, Some(Journey { leg: Leg::Sites { places, .. }, .. }) if places.contains(&pc));
        Ok(same_task && !hit && !at_goal)
    }

    /// Makes the stub's sites agree with what is wanted.
    pub(super) async fn reconcile(&mut self) -> Result<(), Failure> {
        if self.points.table_nearly_full() {
            // Only `?` frees entries without disconnecting (`gdb_cmd_status`
            // calls dbg_remove_all_break).
            match self.wire.ask(Command::HaltReason).await {
                Ok(_) => self.points.table_emptied(),
                Err(error) => return Err(self.lost(error)),
            }
        }
        self.points.hidden = self.hidden_sites().await?;
        let (lift, plant) = self.points.differences();
        for addr in lift {
            self.lift(addr).await?;
        }
        for addr in plant {
            if let Some(why) = self.danger_at(addr).await? {
                if self.points.wish_at(addr).is_some() {
                    self.say(Level::Warning, why.clone());
                }
                self.points.refused(addr, &why);
                continue;
            }
            let point = self.point(addr);
            if self.is_early().await? {
                self.early.sites.insert(addr);
            }
            match self.wire.ask(Command::Insert(point)).await {
                Ok(_) => self.points.planted(addr),
                Err(error) => match error.errno() {
                    Some(17) => self.points.planted(addr),
                    // The guest was stopped while it changed its own text
                    // (`text_mutex`): not now.
                    Some(16) => tracing::info!(%addr, %error, "planted at the next stop"),
                    Some(_) => {
                        let why = error.to_string();
                        // A step finds another way; only a wish is news.
                        if self.points.wish_at(addr).is_some() {
                            self.say(Level::Warning, why.clone());
                        }
                        self.points.refused(addr, &why);
                        self.hidden_refused(addr, &why);
                    }
                    None => return Err(self.lost(error)),
                },
            }
        }
        self.touch();
        Ok(())
    }

    /// Takes every site out.
    pub(super) async fn lift_all(&mut self) -> Result<(), Failure> {
        for addr in self.points.planted_sites() {
            self.lift(addr).await?;
        }
        Ok(())
    }

    async fn lift(&mut self, addr: Addr) -> Result<(), Failure> {
        let point = self.point(addr);
        match self.wire.ask(Command::Remove(point)).await {
            Ok(_) => {}
            // The stub does not have it (any more): that is what is wanted.
            Err(error) if error.errno().is_some() => {
                tracing::warn!(%addr, %error, "lifting a breakpoint was refused");
            }
            Err(error) => return Err(self.lost(error)),
        }
        self.points.lifted(addr);
        Ok(())
    }

    fn point(&self, addr: Addr) -> Point {
        let len = self.arch().breakpoint_len as u8;
        Point { kind: PointKind::Software, addr, len }
    }

    /// The guest stopped.
    pub(super) async fn on_stop(&mut self, stop: StopReply) {
        if let Err(failure) = self.take_stop(stop).await {
            if self.wire.is_open() {
                self.say(Level::Error, format!("the stop could not be read: {failure}"));
                self.state = State::Stopped;
            }
            self.fail_waiters(&failure);
            self.touch_now();
        }
    }

    async fn take_stop(&mut self, stop: StopReply) -> Result<(), Failure> {
        let signal = match stop {
            StopReply::Signal { signal } | StopReply::Thread { signal, .. } => signal,
            StopReply::Exited { code } => {
                self.on_exit(code);
                return Ok(());
            }
            StopReply::Terminated { signal } => signal,
        };
        self.snapshot = Some(Snapshot {
            generation: self.generation + 1,
            registers: Registers::unknown(self.arch()),
            thread: thread_of(&stop),
            signal,
            memory: std::mem::take(&mut self.code_of_step),
            chosen: None,
            tasks: None,
        });
        // Only the pc at first: most stops on the way of a step need no more.
        let mut pc = Addr(self.register(self.arch().pc).await?);
        let skid = pc.back(self.arch().breakpoint_skid);
        let trapped = signal == SIGTRAP && self.points.is_planted(skid);
        if trapped {
            // The stub reports the address after the int3. Put right at once,
            // so that whatever happens next resumes at a whole instruction.
            pc = skid;
            self.write_pc(pc).await?;
        }
        tracing::debug!(%pc, ?stop, "stopped");
        if self.put_back(&stop).await? {
            return self.resume().await;
        }
        self.end_step_off(&stop);
        self.repair_early(pc).await?;
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
        let reason = match self.reason(pc, signal, &stop).await? {
            Next::Go(leg) => {
                if let Some(journey) = &mut self.journey {
                    journey.leg = leg;
                }
                return self.resume().await;
            }
            Next::Stay(reason) => reason,
        };
        self.settle(reason).await
    }

    /// Why the guest is here, or that it must go on.
    async fn reason(&mut self, pc: Addr, signal: u8, stop: &StopReply) -> Result<Next, Failure> {
        if let Some(Journey {
            leg: Leg::Single | Leg::Crawl { over: None, .. },
            task: Some(stepped),
            ..
        }) = &self.journey
            && thread_of(stop) != Some(*stepped)
        {
            self.owed_steps.insert(*stepped);
        }
        if signal == SIGTRAP
            && let Some((number, line)) = self.points.hit(pc)
        {
            self.hidden = self.hidden_for(pc, line);
            return Ok(Next::Stay(StopReason::Breakpoint(number)));
        }
        if signal != SIGTRAP || self.breaking_in {
            return Ok(Next::Stay(self.foreign_stop(stop)));
        }
        match self.journey.take() {
            Some(mut journey) => {
                let next = self.after_leg(&mut journey, stop).await;
                self.journey = Some(journey);
                next
            }
            None => Ok(Next::Stay(self.foreign_stop(stop))),
        }
    }

    /// A breakpoint on a line that calls an inlined function may be on the
    /// first instruction of that: then the frame of the line is meant.
    fn hidden_for(&self, pc: Addr, line: Option<u32>) -> usize {
        let symbols = self.guest_symbols();
        let begun = exits::begun_inlines(&symbols, pc);
        let frames = symbols.frames_at(pc);
        frames.iter().take(begun + 1).position(|frame| frame.line == line).unwrap_or(0)
    }

    /// Why the guest stopped, when no breakpoint or step of ours did it.
    pub(super) fn foreign_stop(&self, stop: &StopReply) -> StopReason {
        let signal = match stop {
            StopReply::Signal { signal }
            | StopReply::Thread { signal, .. }
            | StopReply::Terminated { signal } => *signal,
            StopReply::Exited { .. } => 0,
        };
        if self.breaking_in && signal == SIGTRAP {
            return StopReason::BreakIn;
        }
        let found = matches!(stop, StopReply::Signal { .. });
        match signal {
            SIGTRAP if found => StopReason::Found("was stopped".into()),
            SIGTRAP => {
                let symbol = self.pc().ok().and_then(|pc| self.guest_symbols().symbol_at(pc));
                StopReason::Signal(match symbol {
                    Some(symbol) => format!("trap in {}", symbol.name),
                    None => "trap".into(),
                })
            }
            // The signals kgdb gives: arch/x86/kernel/traps.c, dumpstack.c.
            4 => StopReason::Signal("SIGILL: BUG or invalid instruction".into()),
            7 => StopReason::Signal("SIGBUS".into()),
            8 => StopReason::Signal("SIGFPE: division".into()),
            11 => StopReason::Signal("SIGSEGV: oops".into()),
            other => StopReason::Signal(format!("signal {other}")),
        }
    }

    /// The guest stays stopped: read what every stop needs and show it.
    pub(super) async fn settle(&mut self, reason: StopReason) -> Result<(), Failure> {
        let plan = self.journey.take().map(|journey| journey.plan);
        self.points.temporary.clear();
        self.points.stepped_off = None;
        self.breaking_in = false;
        self.damaged_stop = false;
        let registers = match self.wire.ask(Command::ReadRegisters).await {
            Ok(Reply::Registers(bytes)) => match registers::from_reply(self.arch(), &bytes) {
                Ok(registers) => registers,
                Err(error) => {
                    self.say(Level::Warning, error.to_string());
                    Registers::from_g(self.arch(), &bytes)
                }
            },
            Ok(_) => return Err(Failure::Other("the stub sent no registers".into())),
            Err(error) => return Err(self.lost(error)),
        };
        let Some(snapshot) = &mut self.snapshot else { return Err(Failure::Running) };
        snapshot.registers = registers.clone();
        // What is shown is read at this stop.
        snapshot.memory.clear();
        self.generation = snapshot.generation;
        let signal = snapshot.signal;
        self.stop = Some(StopView {
            generation: self.generation,
            reason,
            signal: Some(signal),
            cpu: None,
            pid: None,
            comm: None,
            previous: self.previous.take(),
            frame_registers: registers.clone(),
            registers,
            frames: Vec::new(),
            frames_end: FramesEnd::Reading,
            selected: 0,
            variables: None,
            code: Vec::new(),
            code_symbols: Vec::new(),
            returned: None,
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
        }
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
        if signal != SIGTRAP {
            self.say(
                Level::Warning,
                "the kernel ran into an exception; continue only runs into it again, 'pass' lets the kernel deal with it (an oops kills the task)".into(),
            );
        }
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
