//! Ways out of a frame. Mostly that is a breakpoint on its return address; but
//! inlined functions have none, and where it is in code that takes no
//! breakpoint (`do_syscall_64` is `noinstr`) the frame's last instructions
//! take one instead.

use super::{
    answer::Failure,
    exits::{self, Line},
    run::Session,
    step::{Guard, Leg, Plan},
};
use crate::base::{
    addr::Addr,
    memory::{Gap, Memory},
};
use crate::symbols::placed::Symbols;
use std::collections::BTreeSet;

/// More ways out of a function than this are not worth a breakpoint each.
const MOST_ENDS: usize = 24;

/// How much of a function is read at once.
const REACH: u64 = 160;

impl Session {
    /// `finish` of the selected frame.
    pub(super) async fn plan_out(&mut self) -> Result<Plan, Failure> {
        let stack = self.whole_stack(self.selected_physical() + 2).await?;
        let frame = self.selected_physical();
        let (this, caller) = match (stack.frames.get(frame), stack.frames.get(frame + 1)) {
            (Some(this), Some(caller)) => (this, caller),
            _ => {
                return Err(Failure::Other(
                    "the selected frame has no caller in the kernel to finish to".into(),
                ));
            }
        };
        let cfa = this.cfa.ok_or_else(|| {
            Failure::Other("the selected frame's place on the stack is not known".into())
        })?;
        let (returns_to, function) = (caller.pc, Some(this.lookup));
        Ok(Plan::Out { returns_to, cfa: cfa.0, function, from: this.pc })
    }

    /// `finish` of the selected frame when it is an inlined function.
    pub(super) async fn plan_out_of_inlined(&mut self) -> Result<Option<Plan>, Failure> {
        let physical = self.selected_physical();
        let Some(depth) = self.selected_inlined() else { return Ok(None) };
        let stack = self.whole_stack(physical + 1).await?;
        let Some(frame) = stack.frames.get(physical) else { return Ok(None) };
        let body = Line::whole_function(&self.guest_symbols(), frame.lookup, depth);
        let cfa = frame.cfa.map(|cfa| cfa.0);
        Ok(body.map(|body| Plan::OutOfInlined { body, from: frame.pc, cfa }))
    }

    /// Breakpoints on every way out of an inlined function.
    pub(super) async fn inlined_leg(
        &mut self,
        body: &Line,
        from: Addr,
        cfa: Option<u64>,
    ) -> Result<Leg, Failure> {
        let body = body.clone();
        let walked = self
            .compute(move |symbols, memory| {
                let inside = |addr| body.contains(symbols, addr);
                exits::walk(memory, from, false, inside, |addr| body.reach(symbols, addr))
            })
            .await?;
        let exits = walked.map_err(|gap| Failure::Other(gap.to_string()))?;
        let mut places = exits.places;
        if exits.returns
            && let Some(back) = self.return_address(cfa).await?
        {
            places.insert(back);
        }
        if places.is_empty() || places.len() > MOST_ENDS || !exits.unclear.is_empty() {
            return Err(Failure::Other(
                "the ways out of this inlined function can't be told; use next, or finish its caller"
                    .into(),
            ));
        }
        Ok(Leg::Sites { places, guard: cfa.map_or(Guard::Any, Guard::Cfa) })
    }

    /// Another leg to the same end when the stub would not plant some of
    /// `places`. `None` when there is none but to step every instruction.
    pub(super) async fn way_around(
        &mut self,
        places: &BTreeSet<Addr>,
    ) -> Result<Option<Leg>, Failure> {
        let (from, cfa) = match self.journey.as_ref().map(|journey| &journey.plan) {
            Some(Plan::Out { from, cfa, .. }) => (*from, *cfa),
            Some(Plan::Line { cfa: Some(cfa), .. }) => (self.pc()?, *cfa),
            _ => return Ok(None),
        };
        let back = self.return_address(Some(cfa)).await?;
        if places.iter().any(|place| !self.points.is_planted(*place) && Some(*place) != back) {
            return Ok(None);
        }
        let walked = self.compute(move |symbols, memory| ends(symbols, memory, from)).await?;
        let Ok(Some(ends)) = walked else { return Ok(None) };
        if ends.contains(&self.pc()?) {
            return Ok(Some(Leg::Single));
        }
        let planted = places.iter().copied().filter(|place| self.points.is_planted(*place));
        let places: BTreeSet<Addr> = planted.chain(ends).collect();
        self.points.temporary = places.clone();
        self.reconcile().await?;
        let all = places.iter().all(|place| self.points.is_planted(*place));
        Ok(all.then_some(Leg::Sites { places, guard: Guard::Cfa(cfa) }))
    }

    /// When an instruction step has just entered a function: its last
    /// instructions, planted, and its frame. Stepping through what it calls
    /// may take for ever, and through the scheduler.
    pub(super) async fn over_call(&mut self) -> Result<Option<(BTreeSet<Addr>, Guard)>, Failure> {
        let pc = self.pc()?;
        if self.guest_symbols().function_at(pc).is_none_or(|function| function.entry != pc) {
            return Ok(None);
        }
        let walked = self.compute(move |symbols, memory| ends(symbols, memory, pc)).await?;
        let Some(ends) = walked.ok().flatten().filter(|ends| !ends.contains(&pc)) else {
            return Ok(None);
        };
        let cfa = self.register(self.arch().sp).await?.wrapping_add(8);
        self.points.temporary = ends.clone();
        self.reconcile().await?;
        let all = ends.iter().all(|end| self.points.is_planted(*end));
        Ok(all.then_some((ends, Guard::Cfa(cfa))))
    }

    /// What is in the return slot of a frame: the word below its CFA.
    pub(super) async fn return_address(
        &mut self,
        cfa: Option<u64>,
    ) -> Result<Option<Addr>, Failure> {
        let Some(cfa) = cfa else { return Ok(None) };
        let slot = Addr(cfa).back(8);
        Ok(self.compute(move |_, memory| memory.u64(slot)).await?.ok().map(Addr))
    }
}

/// The last instructions of the function at `from` that can be reached from
/// there; `None` when they can't all be told.
fn ends(symbols: &Symbols, memory: &dyn Memory, from: Addr) -> Result<Option<BTreeSet<Addr>>, Gap> {
    let Some(function) = symbols.function_at(from) else { return Ok(None) };
    let end_of = |addr: Addr| {
        function.ranges.iter().find(|(start, end)| (*start..*end).contains(&addr)).map(|r| r.1)
    };
    let inside = |addr| end_of(addr).is_some();
    let reach = |addr| end_of(addr).map_or(0, |end| end.since(addr).min(REACH));
    let exits = exits::walk(memory, from, false, inside, reach)?;
    let clear = exits.unclear.is_empty() && (1..=MOST_ENDS).contains(&exits.ends.len());
    Ok(clear.then_some(exits.ends))
}
