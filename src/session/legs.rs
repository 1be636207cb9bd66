//! The way of a plan: where the next resume goes, as cheaply as can be told
//! from the code, and which frames count there.

use super::{
    answer::Failure,
    exits::{self, Exits, Line},
    request::Towards,
    run::Session,
    step::{Guard, Leg, Plan, Whose},
};
use crate::arch::insn::{self, Flow};
use crate::base::{addr::Addr, memory::Memory};
use crate::kernel::cpus;
use crate::rsp::{command::Command, reply::Reply};
use crate::symbols::{answer::CfaRule, placed::Symbols};
use std::collections::BTreeSet;

/// More exits than this are not worth a breakpoint each: two packets to plant
/// and lift one, two to step an instruction.
const MOST_EXITS: usize = 6;

/// A line of so few instructions is stepped: an instruction step costs half of
/// planting, meeting and lifting a breakpoint.
const CHEAP_TO_STEP: usize = 2;

/// No stack of the kernel is larger (THREAD_SIZE, IRQ_STACK_SIZE).
const LARGEST_STACK: u64 = 64 * 1024;

impl Session {
    /// The leg that a plan begins with, from the place where the guest is.
    pub(super) async fn next_leg(&mut self, plan: &Plan) -> Result<Leg, Failure> {
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
            Plan::To { places, out, .. } => {
                let back = out.map(|(back, _)| back);
                let places = places.iter().copied().chain(back).collect();
                Ok(Leg::Sites { places, guard: Guard::Any })
            }
        }
    }

    /// The cheapest way out of a line.
    pub(super) async fn line_leg(
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
            match self.return_address(cfa).await? {
                Some(back) => all.insert(back),
                None => return Ok(Leg::Single),
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

    /// `until LOCATION`, `advance LOCATION`, run to cursor. As in gdb, the
    /// first two are about the task that is stopped: another one that comes to
    /// the place goes on, and so does `until` in another frame.
    pub(super) async fn begin_run_to(
        &mut self,
        location: &str,
        towards: Towards,
    ) -> Result<(Plan, Leg), Failure> {
        let (sites, _) = self.resolve_sites(location).map_err(Failure::Other)?;
        let places: BTreeSet<Addr> = sites.iter().map(|site| site.addr).collect();
        let (word, whose, out) = match towards {
            Towards::Cursor => ("run to cursor", Whose::Any, None),
            Towards::Until | Towards::Advance => {
                self.need_own_subject()?;
                // The outermost frame has nowhere to return to.
                let out = match self.plan_out().await {
                    Ok(Plan::Out { returns_to, cfa, .. }) => Some((returns_to, cfa)),
                    _ => None,
                };
                match (towards, out) {
                    (Towards::Until, Some((_, cfa))) => ("until", Whose::Frame(cfa), out),
                    (Towards::Until, None) => ("until", Whose::Task, out),
                    _ => ("advance", Whose::Task, out),
                }
            }
        };
        let plan = Plan::To { word, places, whose, out };
        let leg = self.next_leg(&plan).await?;
        Ok((plan, leg))
    }

    /// Whether the frame at the stop is one that counts.
    pub(super) async fn passes(&mut self, guard: Guard) -> Result<bool, Failure> {
        let (place, least) = match guard {
            Guard::Any => return Ok(true),
            Guard::Sp(least) => (self.register(self.arch().sp).await?, least),
            Guard::Cfa(least) => match self.cfa_here().await? {
                Some(cfa) => (cfa, least),
                None => return Ok(true),
            },
        };
        if place.abs_diff(least) < LARGEST_STACK {
            return Ok(place >= least);
        }
        // Another stack: an interrupt's, by the same code, and so further in; or
        // the step began on an interrupt's and has left it.
        Ok(match self.task_stack().await? {
            Some(stack) => {
                let is_tasks = |place: u64| place.wrapping_sub(stack) <= LARGEST_STACK;
                is_tasks(place) && !is_tasks(least)
            }
            None => place >= least,
        })
    }

    /// Where the stack of the stopped task begins (`task_struct.stack`).
    async fn task_stack(&mut self) -> Result<Option<u64>, Failure> {
        let found = self
            .compute(|symbols: &Symbols, memory: &dyn Memory| cpus::stack(symbols, memory))
            .await?;
        Ok(found.ok().map(|stack| stack.0))
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
}

/// Where a step into a function stops: after its prologue, when it has lines.
pub(super) fn entered(symbols: &Symbols, target: Addr) -> Option<Addr> {
    symbols.row_at(target).filter(|row| row.line != 0)?;
    let function = symbols.function_at(target)?;
    if function.entry != target {
        return None;
    }
    let found = symbols.find_functions(&function.name);
    found.iter().find(|f| f.entry == target && !f.inlined).map(|f| f.after_prologue)
}
