//! Stepping as a state machine over stops: a [`Plan`] is what the user wants,
//! a [`Leg`] is one resume on the way there.

use super::{
    answer::Failure,
    exits::{self, Exits, Line},
    request::Step,
    run::Session,
    view::StopReason,
};
use crate::arch::insn::{self, Flow};
use crate::base::addr::Addr;
use crate::rsp::{
    command::Command,
    reply::{Reply, StopReply},
    thread::ThreadId,
};
use crate::symbols::{answer::CfaRule, placed::Symbols};
use std::collections::BTreeSet;

/// More exits than this are not worth a breakpoint each: two packets to plant
/// and lift one, two to step an instruction.
const MOST_EXITS: usize = 6;

/// A line of so few instructions is stepped: an instruction step costs half of
/// planting, meeting and lifting a breakpoint.
const CHEAP_TO_STEP: usize = 2;

/// Instruction steps that are made towards a place without a breakpoint: ten
/// seconds on a quick line.
pub const MOST_CRAWLED: u32 = 2000;

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
        /// The places.
        places: BTreeSet<Addr>,
    },
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
            Plan::To { .. } => "until",
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
        /// The last instructions of a function that was just called, and its
        /// frame: it is run instead of stepped.
        over: Option<(BTreeSet<Addr>, u64)>,
    },
    /// To temporary breakpoints.
    Sites {
        /// Where they are.
        places: BTreeSet<Addr>,
        /// Which frames count.
        guard: Guard,
    },
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
    /// The guest stays stopped, for this reason.
    Stay(StopReason),
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
                    Some(line) => {
                        Plan::Line { over, left: count, line, cfa: self.cfa_here().await? }
                    }
                    // As gdb does: a function without lines is run to its end.
                    None => self.plan_out().await.map_err(|error| {
                        Failure::Other(format!("no source line at {pc}, and {error}; use stepi"))
                    })?,
                }
            }
            Step::Out => match self.plan_out_of_inlined().await? {
                Some(plan) => plan,
                None => self.plan_out().await?,
            },
        };
        let leg = self.next_leg(&plan).await?;
        Ok(Some((plan, leg)))
    }

    /// The leg that a plan begins with, from the place where the guest is.
    async fn next_leg(&mut self, plan: &Plan) -> Result<Leg, Failure> {
        match plan {
            Plan::Continue => Ok(Leg::Free),
            Plan::Instruction { over: false, .. } => Ok(Leg::Single),
            Plan::Instruction { over: true, .. } => {
                let pc = self.pc()?;
                let insn = self.compute(move |_, memory| insn::instruction(memory, pc)).await?;
                match insn {
                    Ok(Some(insn)) if matches!(insn.flow, Flow::Call(_)) => {
                        let sp = self.register(self.arch().sp).await?;
                        Ok(Leg::Sites { places: [insn.next()].into(), guard: Guard::Sp(sp) })
                    }
                    _ => Ok(Leg::Single),
                }
            }
            Plan::Line { over, line, cfa, .. } => self.line_leg(*over, line, *cfa).await,
            Plan::Out { returns_to, cfa, .. } => {
                Ok(Leg::Sites { places: [*returns_to].into(), guard: Guard::Sp(*cfa) })
            }
            Plan::OutOfInlined { body, from, cfa } => self.inlined_leg(body, *from, *cfa).await,
            Plan::To { places } => Ok(Leg::Sites { places: places.clone(), guard: Guard::Any }),
        }
    }

    /// The cheapest way out of a line.
    async fn line_leg(
        &mut self,
        over: bool,
        line: &Line,
        cfa: Option<u64>,
    ) -> Result<Leg, Failure> {
        let pc = self.pc()?;
        let wanted = line.clone();
        let walked = self
            .compute(move |symbols, memory| {
                let inside = |addr| wanted.contains(symbols, addr);
                exits::walk(memory, pc, !over, inside, |addr| wanted.reach(symbols, addr))
            })
            .await?;
        let Ok(exits) = walked else { return Ok(Leg::Single) };
        let Exits { places, calls, returns, unclear, instructions, delicate, .. } = exits;
        let short = instructions <= CHEAP_TO_STEP && delicate == 0;
        if unclear.contains(&pc) || short {
            return Ok(Leg::Single);
        }
        if calls.contains(&pc) {
            return self.call_leg(pc).await;
        }
        let mut all: BTreeSet<Addr> = places.into_iter().chain(calls).chain(unclear).collect();
        if returns {
            let Some(cfa) = cfa else { return Ok(Leg::Single) };
            let slot = Addr(cfa).back(8);
            match self.compute(move |_, memory| memory.u64(slot)).await? {
                Ok(back) => all.insert(Addr(back)),
                Err(_) => return Ok(Leg::Single),
            };
        }
        if all.is_empty() || all.len() > MOST_EXITS {
            return Ok(Leg::Single);
        }
        let guard = cfa.map_or(Guard::Any, Guard::Cfa);
        Ok(Leg::Sites { places: all, guard })
    }

    /// From a call instruction into the function it calls, when that has
    /// lines; else over it.
    async fn call_leg(&mut self, pc: Addr) -> Result<Leg, Failure> {
        let insn = self.compute(move |_, memory| insn::instruction(memory, pc)).await?;
        let Ok(Some(insn)) = insn else { return Ok(Leg::Single) };
        let mut target = match insn.flow {
            Flow::Call(target) => target,
            _ => return Ok(Leg::Single),
        };
        let symbols = self.guest_symbols();
        // Retpolines call a thunk named after the register that holds the
        // target (arch/x86/lib/retpoline.S).
        let thunk = target.and_then(|target| symbols.symbol_at(target));
        if let Some(name) =
            thunk.as_ref().and_then(|s| s.name.strip_prefix("__x86_indirect_thunk_"))
            && let Some(register) = self.arch().reg(name)
        {
            target = Some(Addr(self.register(register).await?));
        }
        let sp = self.register(self.arch().sp).await?;
        let over = Leg::Sites { places: [insn.next()].into(), guard: Guard::Sp(sp) };
        match target {
            None => Ok(Leg::Single),
            Some(target) => match entered(&symbols, target) {
                // The callee's frame begins where the stack pointer is now; an
                // interrupt may call the same function deeper.
                Some(start) => {
                    Ok(Leg::Sites { places: [start, insn.next()].into(), guard: Guard::Cfa(sp) })
                }
                None => Ok(over),
            },
        }
    }

    /// `until`, `advance`, run to cursor.
    pub(super) async fn begin_run_to(&mut self, location: &str) -> Result<(Plan, Leg), Failure> {
        let (sites, _) = self.resolve_sites(location).map_err(Failure::Other)?;
        let places: BTreeSet<Addr> = sites.iter().map(|site| site.addr).collect();
        let plan = Plan::To { places };
        let leg = self.next_leg(&plan).await?;
        Ok((plan, leg))
    }

    /// Decides after a stop on the way. `pc` is where the guest is; the stop
    /// was no breakpoint of the user's.
    pub(super) async fn after_leg(
        &mut self,
        journey: &mut Journey,
        stop: &StopReply,
    ) -> Result<Next, Failure> {
        let pc = self.pc()?;
        let task = thread_of(stop);
        let same_task = journey.task.is_none() || task == journey.task;
        match &journey.leg {
            Leg::Sites { places, guard } if places.contains(&pc) => {
                let any_task = matches!(journey.plan, Plan::To { .. });
                if (!same_task && !any_task) || !self.passes(*guard).await? {
                    return Ok(Next::Go(journey.leg.clone()));
                }
            }
            Leg::Single if same_task => {}
            Leg::Crawl { over: Some((sites, cfa)), .. } if sites.contains(&pc) => {
                let cfa = *cfa;
                if same_task
                    && self.passes(Guard::Cfa(cfa)).await?
                    && let Leg::Crawl { over, .. } = &mut journey.leg
                {
                    *over = None;
                }
                return Ok(Next::Go(journey.leg.clone()));
            }
            Leg::Crawl { places, guard, left, over: None } if same_task => {
                let (places, guard, left) = (places.clone(), *guard, left.saturating_sub(1));
                if left == 0 {
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
                return Ok(Next::Go(journey.leg.clone()));
            }
            leg => {
                // To step again would step another task than the one wanted.
                let goes_on = matches!(leg, Leg::Free | Leg::Sites { .. });
                if self.rewind_stale_trap().await? && goes_on {
                    return Ok(Next::Go(journey.leg.clone()));
                }
                return Ok(Next::Stay(self.foreign_stop(stop)));
            }
        }
        self.arrived(journey).await
    }

    /// Whether the frame at the stop is one that counts.
    async fn passes(&mut self, guard: Guard) -> Result<bool, Failure> {
        match guard {
            Guard::Any => Ok(true),
            Guard::Sp(least) => Ok(self.register(self.arch().sp).await? >= least),
            Guard::Cfa(least) => Ok(self.cfa_here().await?.is_none_or(|cfa| cfa >= least)),
        }
    }

    /// A leg ended where it should.
    async fn arrived(&mut self, journey: &mut Journey) -> Result<Next, Failure> {
        let pc = self.pc()?;
        let symbols = self.guest_symbols();
        let (over, line, cfa) = match &mut journey.plan {
            Plan::Continue => return Ok(Next::Go(Leg::Free)),
            Plan::Out { returns_to, .. } if *returns_to == pc => {
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
        let here = self.cfa_here().await?;
        let symbols = self.guest_symbols();
        let Plan::Line { over, line, cfa, .. } = &mut journey.plan else {
            return Ok(Next::Stay(StopReason::Step));
        };
        let Some(found) = Line::at(&symbols, pc, *over, outer) else {
            return Ok(Next::Stay(StopReason::Step));
        };
        (*line, *cfa) = (found.clone(), here);
        let over = *over;
        self.line_leg(over, &found, here).await.map(Next::Go)
    }

    /// The canonical frame address at the pc, when unwind data gives it from a
    /// register.
    pub(super) async fn cfa_here(&mut self) -> Result<Option<u64>, Failure> {
        let pc = self.pc()?;
        match self.guest_symbols().cfi_row(pc).map(|row| row.cfa) {
            Some(CfaRule::Register { dwarf, offset }) => match self.arch().reg_by_dwarf(dwarf) {
                Some(register) => {
                    Ok(Some(self.register(register).await?.wrapping_add_signed(offset)))
                }
                None => Ok(None),
            },
            _ => Ok(None),
        }
    }

    /// A register of the stopped CPU: from what was read, or by `p`.
    pub(super) async fn register(&mut self, register: crate::arch::Reg) -> Result<u64, Failure> {
        let Some(snapshot) = &self.snapshot else { return Err(Failure::Running) };
        if let Some(value) = snapshot.registers.get(register) {
            return Ok(value);
        }
        let number = snapshot.registers.arch.def(register).number as u8;
        match self.wire.ask(Command::ReadRegister { number }).await {
            Ok(Reply::Register(bytes)) => {
                let mut word = [0; 8];
                let len = bytes.len().min(8);
                word[..len].copy_from_slice(&bytes[..len]);
                let value = u64::from_le_bytes(word);
                if let Some(snapshot) = &mut self.snapshot {
                    snapshot.registers.set(register, Some(value));
                }
                Ok(value)
            }
            Ok(_) => Err(Failure::Other("the stub sent no register".into())),
            Err(error) => Err(self.lost(error)),
        }
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

/// Where a step into a function stops: after its prologue, when it has lines.
fn entered(symbols: &Symbols, target: Addr) -> Option<Addr> {
    symbols.row_at(target).filter(|row| row.line != 0)?;
    let function = symbols.function_at(target)?;
    if function.entry != target {
        return None;
    }
    let found = symbols.find_functions(&function.name);
    found.iter().find(|f| f.entry == target && !f.inlined).map(|f| f.after_prologue)
}
