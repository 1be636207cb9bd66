//! Stepping as a state machine over stops: a [`Plan`] is what the user wants,
//! a [`Leg`] is one resume on the way there.

use super::{
    answer::Failure,
    exits::{self, Line},
    legs::entered,
    request::{Level, Step},
    run::Session,
    view::StopReason,
};
use crate::base::addr::Addr;
use crate::rsp::{reply::StopReply, thread::ThreadId};
use std::collections::BTreeSet;

/// Instruction steps that are made towards a place without a breakpoint: some
/// minutes. They are counted on the screen, and a break-in ends them.
pub const MOST_CRAWLED: u32 = 50_000;

/// What the user wants of the guest's run.
#[derive(Clone, Debug)]
pub enum Plan {
    /// To run until something stops it.
    Continue,
    /// Steps of one instruction.
    Instruction {
        /// Over calls.
        over: bool,
        /// How many are left, this one included.
        left: u32,
    },
    /// Steps of one source line.
    Line {
        /// Over calls.
        over: bool,
        /// How many are left, this one included.
        left: u32,
        /// The line that is stepped.
        line: Line,
        /// The frame it is in; `None` when not known.
        cfa: Option<u64>,
        /// Where the function of that frame begins.
        entry: Option<Addr>,
    },
    /// Until a frame is gone.
    Out {
        /// Where it returns to.
        returns_to: Addr,
        /// Its canonical frame address: the stack pointer is at least this
        /// once it is gone.
        cfa: u64,
        /// The function that returns, for its value.
        function: Option<Addr>,
        /// Where control is in the frame, or was last seen on its way out.
        from: Addr,
    },
    /// Until an inlined function is left. There is no call to return from.
    OutOfInlined {
        /// Its code.
        body: Line,
        /// Where control is in it.
        from: Addr,
        /// The frame it is in; `None` when not known.
        cfa: Option<u64>,
    },
    /// Until control is at one of these places, or the frame is gone.
    To {
        /// The command: `until`, `advance`, `run to cursor`.
        word: &'static str,
        /// The places.
        places: BTreeSet<Addr>,
        /// Whose frame counts.
        whose: Whose,
        /// Where the frame it began in returns to, and its canonical frame
        /// address; `None` when that does not end it.
        out: Option<(Addr, u64)>,
    },
}

/// Whose arrival at a place counts.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Whose {
    /// Every task's: to run to the cursor is to set a temporary breakpoint.
    Any,
    /// Only the task's own, in any of its functions (`advance`).
    Task,
    /// Only in the very frame with this canonical frame address (`until`): a
    /// recursion into the same code does not count.
    Frame(u64),
}

impl Plan {
    /// The command's name.
    pub fn word(&self) -> &'static str {
        match self {
            Plan::Continue => "continue",
            Plan::Instruction { over: false, .. } => "stepi",
            Plan::Instruction { over: true, .. } => "nexti",
            Plan::Line { over: false, .. } => "step",
            Plan::Line { over: true, .. } => "next",
            Plan::Out { .. } | Plan::OutOfInlined { .. } => "finish",
            Plan::To { word, .. } => word,
        }
    }
}

/// One resume.
#[derive(Clone, Debug, PartialEq)]
pub enum Leg {
    /// No breakpoints but the user's.
    Free,
    /// One instruction.
    Single,
    /// One instruction after another to places where the stub takes no
    /// breakpoint (`noinstr` code, say).
    Crawl {
        /// Where to.
        places: BTreeSet<Addr>,
        /// Which frames count.
        guard: Guard,
        /// How many more steps before it is given up.
        left: u32,
        /// Places that are run to before the next step, and which frames count
        /// there: the last instructions of a function that was just called,
        /// what comes after an instruction that must not be stepped.
        over: Option<(BTreeSet<Addr>, Guard)>,
    },
    /// To temporary breakpoints.
    Sites {
        /// Where they are.
        places: BTreeSet<Addr>,
        /// Which frames count.
        guard: Guard,
    },
}

impl Leg {
    /// Whether the next resume is one instruction long.
    pub fn is_step(&self) -> bool {
        matches!(self, Leg::Single | Leg::Crawl { over: None, .. })
    }

    /// Makes a step a run to what comes after it.
    pub fn run_to(&mut self, place: Addr, guard: Guard) {
        match self {
            Leg::Crawl { over, .. } => *over = Some(([place].into(), guard)),
            leg => *leg = Leg::Sites { places: [place].into(), guard },
        }
    }
}

/// Tells a frame from a deeper one of the same code: a recursion has lower
/// addresses on the stack.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Guard {
    /// Every frame counts.
    Any,
    /// The stack pointer must be at least this.
    Sp(u64),
    /// The canonical frame address must be at least this.
    Cfa(u64),
}

/// What is to be done after a stop.
#[derive(Debug, PartialEq)]
pub enum Next {
    /// Resume again.
    Go(Leg),
    /// This stop is nothing to the leg: let the task that stopped go on.
    Pass,
    /// The guest stays stopped, for this reason.
    Stay(StopReason),
    /// Go on from a breakpoint that did not count, with what was under way.
    GoPast,
}

/// A resume that is under way.
#[derive(Clone, Debug)]
pub struct Journey {
    /// What for.
    pub plan: Plan,
    /// Which resume.
    pub leg: Leg,
    /// The task that is stepped.
    pub task: Option<ThreadId>,
    /// Resumes until now: one for each instruction that was stepped.
    pub resumes: u32,
    /// Stops that were other tasks' or frames'.
    pub passed: u32,
}

impl Journey {
    /// A run that nobody asked for.
    pub fn free() -> Journey {
        Journey { plan: Plan::Continue, leg: Leg::Free, task: None, resumes: 0, passed: 0 }
    }

    /// What is under way, with how long it has been when that is long.
    pub fn told(&self) -> String {
        let word = self.plan.word();
        let single = matches!(self.leg, Leg::Single | Leg::Crawl { .. });
        match (single, self.resumes, self.passed) {
            (true, WORTH_TELLING.., _) => {
                format!("{word}: {} instructions", thousands(self.resumes))
            }
            (false, _, WORTH_TELLING..) => {
                format!("{word}: others passed {} times", thousands(self.passed))
            }
            _ => word.to_string(),
        }
    }
}

/// A step of so many resumes is a long one.
const WORTH_TELLING: u32 = 20;

fn thousands(number: u32) -> String {
    match number / 1000 {
        0 => number.to_string(),
        more => format!("{more},{:03}", number % 1000),
    }
}

impl Session {
    /// Starts a step from the selected frame; the first leg.
    ///
    /// `None` when the step is done already.
    pub(super) async fn begin_step(
        &mut self,
        step: Step,
        count: u32,
    ) -> Result<Option<(Plan, Leg)>, Failure> {
        let plan = match step {
            Step::Instruction => Plan::Instruction { over: false, left: count },
            Step::InstructionOver => Plan::Instruction { over: true, left: count },
            Step::Line | Step::LineOver => {
                let over = step == Step::LineOver;
                let pc = self.pc()?;
                if !over && self.hidden > 0 {
                    // At the call of an inlined function: stepping into it
                    // moves nothing in the guest.
                    self.hidden -= 1;
                    return Ok(None);
                }
                match Line::at(&self.guest_symbols(), pc, over, self.hidden) {
                    Some(line) => self.plan_line(over, count, line).await?,
                    // As gdb does: a function without lines is run to its end.
                    None => self.plan_out().await.map_err(|error| {
                        Failure::Other(format!("no source line at {pc}, and {error}; use stepi"))
                    })?,
                }
            }
            Step::Onward => {
                let pc = self.pc()?;
                let line = Line::at(&self.guest_symbols(), pc, true, self.hidden);
                let line = line
                    .ok_or_else(|| Failure::Other(format!("no source line at {pc}; use stepi")))?;
                let line = line.and_all_before(&self.guest_symbols(), pc);
                self.plan_line(true, count, line).await?
            }
            Step::Out => match self.plan_out_of_inlined().await? {
                Some(plan) => plan,
                None => self.plan_out().await?,
            },
        };
        let leg = self.next_leg(&plan).await?;
        Ok(Some((plan, leg)))
    }

    /// A plan for steps of the line at the pc.
    async fn plan_line(&mut self, over: bool, left: u32, line: Line) -> Result<Plan, Failure> {
        let (cfa, entry) = (self.cfa_here().await?, self.entry_here()?);
        Ok(Plan::Line { over, left, line, cfa, entry })
    }

    /// Where the function at the pc begins, that is not inlined.
    fn entry_here(&self) -> Result<Option<Addr>, Failure> {
        let pc = self.pc()?;
        Ok(self.guest_symbols().function_at(pc).map(|function| function.entry))
    }

    /// Decides after a stop on the way. `pc` is where the guest is; the stop
    /// was no breakpoint of the user's that counts. `trapped` when it was one of
    /// ours or the user's all the same.
    pub(super) async fn after_leg(
        &mut self,
        journey: &mut Journey,
        stop: &StopReply,
        trapped: bool,
    ) -> Result<Next, Failure> {
        let pc = self.pc()?;
        let task = thread_of(stop);
        let same_task = journey.task.is_none() || task == journey.task;
        if let (Plan::To { .. }, Leg::Sites { places, .. }) = (&journey.plan, &journey.leg)
            && places.contains(&pc)
        {
            return self.at_place(&journey.plan.clone(), same_task).await;
        }
        match &journey.leg {
            Leg::Sites { places, guard } if places.contains(&pc) => {
                if !same_task || !self.passes(*guard).await? {
                    return Ok(Next::Pass);
                }
            }
            Leg::Crawl { over: Some((sites, guard)), .. } if sites.contains(&pc) => {
                let guard = *guard;
                if !same_task || !self.passes(guard).await? {
                    return Ok(Next::Pass);
                }
                if let Leg::Crawl { over, .. } = &mut journey.leg {
                    *over = None;
                }
                return Ok(Next::Go(journey.leg.clone()));
            }
            // Also when it is the task's own: an interrupt came before its step.
            _ if trapped => return Ok(Next::Pass),
            Leg::Single if same_task => {
                if let Some(task) = task {
                    self.owed_steps.remove(&task);
                }
            }
            Leg::Crawl { places, guard, left, over: None } if same_task => {
                let (places, guard, left) = (places.clone(), *guard, left.saturating_sub(1));
                if left == 0 {
                    let text = format!("gave up after {MOST_CRAWLED} instructions");
                    self.say(Level::Warning, text);
                    return Ok(Next::Stay(StopReason::Step));
                }
                if !places.contains(&pc) || !self.passes(guard).await? {
                    let over = self.over_call().await?;
                    return Ok(Next::Go(Leg::Crawl { places, guard, left, over }));
                }
            }
            _ if task.is_some_and(|task| self.owed_steps.remove(&task)) => {
                // The end of an earlier instruction step, of a task that was
                // overtaken by another one's stop.
                return Ok(Next::Pass);
            }
            leg => {
                // To step again would step another task than the one wanted.
                let goes_on = matches!(leg, Leg::Free | Leg::Sites { .. });
                if self.is_stray_step().await? || (self.rewind_stale_trap().await? && goes_on) {
                    return Ok(Next::Pass);
                }
                return Ok(Next::Stay(self.foreign_stop(stop)));
            }
        }
        self.arrived(journey).await
    }

    /// At one of the places of a plan to run to somewhere.
    async fn at_place(&mut self, plan: &Plan, same_task: bool) -> Result<Next, Failure> {
        let Plan::To { places, whose, out, .. } = plan else { return Ok(Next::Pass) };
        let pc = self.pc()?;
        let arrives = places.contains(&pc)
            && match *whose {
                Whose::Any => true,
                Whose::Task => same_task,
                Whose::Frame(cfa) => {
                    same_task && self.cfa_here().await?.is_none_or(|here| here == cfa)
                }
            };
        let is_out = same_task
            && match *out {
                Some((back, cfa)) if back == pc => self.passes(Guard::Sp(cfa)).await?,
                _ => false,
            };
        Ok(match arrives || is_out {
            true => Next::Stay(StopReason::Arrived),
            false => Next::Pass,
        })
    }

    /// Whether a trap is the end of an instruction step that nobody waits for:
    /// the step flag was left in the flags of a CPU across a switch of tasks, or
    /// in flags that were pushed during a step and are popped now. The flag is
    /// gone with the next `c` (`kgdb_arch_handle_exception`).
    async fn is_stray_step(&mut self) -> Result<bool, Failure> {
        let flags = self.register(self.arch().flags).await?;
        let stray = flags & self.arch().step_flag != 0;
        if stray {
            tracing::info!(pc = %self.pc()?, "a stray step");
        }
        Ok(stray)
    }

    /// A leg ended where it should.
    async fn arrived(&mut self, journey: &mut Journey) -> Result<Next, Failure> {
        let pc = self.pc()?;
        let symbols = self.guest_symbols();
        let (over, line, cfa) = match &mut journey.plan {
            Plan::Continue => return Ok(Next::Go(Leg::Free)),
            Plan::Out { returns_to, .. } if *returns_to == pc => {
                // Inlined functions that begin here are not entered yet.
                self.hidden = exits::begun_inlines(&symbols, pc);
                return Ok(Next::Stay(StopReason::Finished));
            }
            Plan::Out { from, .. } => {
                // At an instruction that ends the function, or past it.
                *from = pc;
                let plan = journey.plan.clone();
                return self.next_leg(&plan).await.map(Next::Go);
            }
            Plan::OutOfInlined { body, from, .. } if body.contains(&symbols, pc) => {
                *from = pc;
                let plan = journey.plan.clone();
                return self.next_leg(&plan).await.map(Next::Go);
            }
            Plan::OutOfInlined { .. } => {
                self.hidden = exits::begun_inlines(&symbols, pc);
                return Ok(Next::Stay(StopReason::Finished));
            }
            // Crawled to.
            Plan::To { .. } => return Ok(Next::Stay(StopReason::Arrived)),
            Plan::Instruction { left, .. } => {
                *left -= 1;
                if *left == 0 {
                    return Ok(Next::Stay(StopReason::Step));
                }
                let plan = journey.plan.clone();
                return self.next_leg(&plan).await.map(Next::Go);
            }
            Plan::Line { over, line, cfa, .. } => (*over, line.clone(), *cfa),
        };
        let begun = exits::begun_inlines(&symbols, pc);
        if !over
            && begun > 0
            && Line::at(&symbols, pc, over, begun).is_some_and(|at| at.is_same_place(&line))
        {
            // The stepped line calls this inlined function: go in.
            return self.line_done(journey, begun - 1).await;
        }
        let depth = symbols.frames_at(pc).len();
        if begun > 0
            && depth - begun.min(depth) == line.depth()
            && line.is_within_function(&symbols, pc)
            && Line::at(&symbols, pc, over, begun).is_some_and(|at| !at.is_same_place(&line))
        {
            // Another line of the stepped frame calls an inlined function here:
            // its call is where a step ends, whatever the row says (gdb's rule).
            return self.line_done(journey, begun).await;
        }
        if line.contains(&symbols, pc) {
            let cfa = self.frame_of_line(journey, cfa).await?;
            return self.line_leg(over, &line, cfa).await.map(Next::Go);
        }
        let function = symbols.function_at(pc);
        let at_entry = function.as_ref().is_some_and(|f| f.entry == pc);
        if at_entry && !line.is_within_function(&symbols, pc) {
            // A call, or a jump that ends the function with another one.
            let start = if over { None } else { entered(&symbols, pc) };
            if start != Some(pc) {
                let sp = self.register(self.arch().sp).await?;
                let above = sp.wrapping_add(8);
                if let Some(start) = start {
                    let places = [start].into();
                    return Ok(Next::Go(Leg::Sites { places, guard: Guard::Cfa(above) }));
                }
                let slot = Addr(sp);
                return match self.compute(move |_, memory| memory.u64(slot)).await? {
                    Ok(back) => {
                        let places = [Addr(back)].into();
                        Ok(Next::Go(Leg::Sites { places, guard: Guard::Sp(above) }))
                    }
                    Err(_) => Ok(Next::Stay(StopReason::Step)),
                };
            }
        }
        let Some(row) = symbols.row_at(pc).filter(|row| row.line != 0) else {
            return Ok(Next::Stay(StopReason::Step));
        };
        let entered_function =
            function.as_ref().is_some_and(|f| entered(&symbols, f.entry) == Some(pc));
        // Inside a function that is inlined in the stepped one, past its
        // beginning: for `next` that is the line of its call.
        let inside = depth.saturating_sub(line.depth());
        let passing = over && inside > begun && line.is_within_function(&symbols, pc);
        if !passing && (exits::begins_statement(&row, pc) || (entered_function && !over)) {
            return self.line_done(journey, begun).await;
        }
        if !passing
            && row.start == pc
            && !row.is_stmt
            && line.is_within_function(&symbols, pc)
            && let Plan::Line { line, .. } = &mut journey.plan
        {
            // The compiler does not want a stop here. The line's statement may
            // begin further on, so this is no new line yet (gdb's
            // process_event_stop_test does the same).
            line.go_through(&row);
            let line = line.clone();
            return self.line_leg(over, &line, cfa).await.map(Next::Go);
        }
        // In the middle of another line (a return to the caller, a jump):
        // go on to where a line begins, as gdb does.
        self.onto_line(journey, if passing { inside } else { begun }).await
    }

    /// The frame of the stepped line, which may be another one by now: a part of
    /// a function that the compiler made a function of its own (`.part.0`) has its
    /// name and its lines, and returns into it. What is above the old frame's
    /// place is no return address any more.
    async fn frame_of_line(
        &mut self,
        journey: &mut Journey,
        known: Option<u64>,
    ) -> Result<Option<u64>, Failure> {
        let now = self.entry_here()?;
        match &mut journey.plan {
            Plan::Line { cfa, entry, .. } if *entry != now => {
                let here = self.cfa_here().await?;
                (*cfa, *entry) = (here, now);
                Ok(here)
            }
            _ => Ok(known),
        }
    }

    /// One line is stepped. `hidden` inlined functions begin at the pc and are
    /// not entered yet.
    async fn line_done(&mut self, journey: &mut Journey, hidden: usize) -> Result<Next, Failure> {
        if let Plan::Line { left, .. } = &mut journey.plan {
            *left -= 1;
            if *left > 0 {
                return self.onto_line(journey, hidden).await;
            }
        }
        self.hidden = hidden;
        Ok(Next::Stay(StopReason::Step))
    }

    /// Goes on with the line at the pc, in the frame `outer` frames out.
    async fn onto_line(&mut self, journey: &mut Journey, outer: usize) -> Result<Next, Failure> {
        let pc = self.pc()?;
        let (here, function) = (self.cfa_here().await?, self.entry_here()?);
        let symbols = self.guest_symbols();
        let Plan::Line { over, line, cfa, entry, .. } = &mut journey.plan else {
            return Ok(Next::Stay(StopReason::Step));
        };
        let Some(found) = Line::at(&symbols, pc, *over, outer) else {
            return Ok(Next::Stay(StopReason::Step));
        };
        (*line, *cfa, *entry) = (found.clone(), here, function);
        let over = *over;
        self.line_leg(over, &found, here).await.map(Next::Go)
    }

    /// The pc of the stop.
    pub(super) fn pc(&self) -> Result<Addr, Failure> {
        let snapshot = self.snapshot.as_ref().ok_or(Failure::Running)?;
        snapshot.registers.pc().ok_or_else(|| Failure::Other("the pc is not known".into()))
    }
}

/// The task a stop is about.
pub fn thread_of(stop: &StopReply) -> Option<ThreadId> {
    match stop {
        StopReply::Thread { thread, .. } => *thread,
        _ => None,
    }
}
