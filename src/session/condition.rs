//! Expressions at a breakpoint that may not even stop the guest: in the frame
//! of its site, with as few packets as they need.
//!
//! A register costs a packet of 20 bytes, all of them (`g`) one of 316, which
//! takes a guest longer to send than everything else of a hit. So it is found
//! out, without the guest, which registers the expression depends on: those
//! without which it has no value when all others are known.

use super::{answer::Failure, run::Session};
use crate::arch::{Reg, Registers};
use crate::base::{
    addr::Addr,
    memory::{Gap, Memory},
};
use crate::eval::{
    expr::{
        assign::Effect,
        error::ExprError,
        evaluate::{self, Scene},
        kept::Kept,
        printf::Printf,
    },
    location::{Absent, Context, Frame},
};
use crate::kernel::cpus;
use crate::symbols::{answer::CfaRule, placed::Symbols};
use crate::unwind::walk;
use std::{collections::BTreeMap, sync::Arc};

/// From so many on, all registers are asked for at once.
const MOST_REGISTERS: usize = 5;

/// Places and expressions whose registers are remembered.
const MOST_REMEMBERED: usize = 1000;

/// Callers that are read for a value that only they know.
const CALLERS: usize = 3;

/// Which registers expressions need where; `None` for all.
#[derive(Debug, Default)]
pub struct Needs(BTreeMap<(Addr, usize, String), Option<Vec<Reg>>>);

/// Where an expression is looked at.
struct Spot {
    pc: Addr,
    /// The place of its function among those inlined at the pc.
    depth: usize,
    cpu: Option<u32>,
    kept: Arc<Kept>,
}

impl Spot {
    /// Does `work` with these registers.
    fn look<T>(
        &self,
        symbols: &Symbols,
        memory: &dyn Memory,
        registers: &Registers,
        work: impl Fn(&Context<'_>, &Scene<'_>) -> T,
    ) -> T {
        let cfa = match symbols.cfi_row(self.pc).map(|row| row.cfa) {
            Some(CfaRule::Register { dwarf, offset }) => {
                let base = registers.by_dwarf(dwarf);
                base.map(|base| Addr(base.wrapping_add_signed(offset)))
            }
            _ => None,
        };
        let frame = Frame { registers, cfa, pc: self.pc, lookup: self.pc };
        self.look_from(symbols, memory, &[frame], work)
    }

    fn look_from<T>(
        &self,
        symbols: &Symbols,
        memory: &dyn Memory,
        frames: &[Frame<'_>],
        work: impl Fn(&Context<'_>, &Scene<'_>) -> T,
    ) -> T {
        let current = |symbols: &Symbols, memory: &dyn Memory| {
            let (_, task) = cpus::current(symbols, memory).map_err(|error| match error {
                crate::kernel::KernelError::Gap(gap) => Absent::Gap(gap),
                other => Absent::because(other.to_string()),
            })?;
            Ok(task.addr)
        };
        let context = Context { symbols, memory, frames, cpu: self.cpu };
        work(&context, &Scene { depth: self.depth, current: &current, kept: &self.kept })
    }
}

/// Whether something is missing that registers, callers or the CPU would give.
fn lacks<T>(result: &Result<T, ExprError>) -> bool {
    let absent = result.as_ref().err().and_then(|error| error.absent.as_ref());
    matches!(absent, Some(Absent::OptimizedOut | Absent::Unavailable(_)))
}

impl Session {
    /// Whether a condition is true where the guest is, in the function
    /// `inside` frames out of the innermost. The inner error is why that can't
    /// be told.
    pub(super) async fn holds(
        &mut self,
        condition: &str,
        inside: usize,
    ) -> Result<Result<bool, String>, Failure> {
        let text = condition.to_owned();
        let found = self.at_site(condition, inside, |context, scene| {
            evaluate::condition(context, scene, &text)
        });
        let (truth, effects) = match found.await? {
            Ok(found) => found,
            Err(error) => return Ok(Err(error.message)),
        };
        for effect in effects {
            match effect {
                Effect::SetVariable { name, value } => {
                    Arc::make_mut(&mut self.scratch.kept).set(name, value);
                }
                _ => return Ok(Err("it would write to the guest".into())),
            }
        }
        Ok(Ok(truth))
    }

    /// What a log point prints.
    pub(super) async fn text_of_log(
        &mut self,
        log: &str,
        inside: usize,
    ) -> Result<String, Failure> {
        let printf = match Printf::parse(log) {
            Ok(printf) => printf,
            Err(error) => return Ok(format!("<{}>", error.message)),
        };
        let text = self.at_site(log, inside, |context, scene| printf.text(context, scene));
        let text = text.await?.unwrap_or_else(|error| format!("<{}>", error.message));
        Ok(text)
    }

    /// Does `work`, which depends on `text` alone, at the breakpoint where the
    /// guest is.
    async fn at_site<T>(
        &mut self,
        text: &str,
        inside: usize,
        work: impl Fn(&Context<'_>, &Scene<'_>) -> Result<T, ExprError>,
    ) -> Result<Result<T, ExprError>, Failure> {
        let pc = self.pc()?;
        let kept = Arc::clone(&self.scratch.kept);
        let mut spot = Spot { pc, depth: inside, cpu: None, kept };
        let key = (pc, inside, text.to_owned());
        let known = self.needs.0.get(&key).cloned();
        if let Some(needs) = &known {
            self.read_registers(needs.as_deref()).await?;
        }
        let mut result = self.look_at(&spot, &work).await?;
        if known.is_none() && lacks(&result) {
            let symbols = self.guest_symbols();
            let registers = self.subject_registers()?;
            let needs = needed(&spot, &symbols, &registers, &work);
            self.read_registers(needs.as_deref()).await?;
            if self.needs.0.len() >= MOST_REMEMBERED {
                self.needs.0.clear();
            }
            self.needs.0.insert(key, needs);
            result = self.look_at(&spot, &work).await?;
        }
        if lacks(&result) {
            // For `this_cpu(x)` and the like.
            spot.cpu = self.cpu_at_hit().await?.ok();
            self.read_registers(None).await?;
            result = self.look_at(&spot, &work).await?;
        }
        if lacks(&result) {
            let registers = self.subject_registers()?;
            let stack = self
                .compute(|symbols, memory| {
                    walk::unwind(symbols, memory, &registers, spot.cpu, CALLERS)
                })
                .await?;
            let frames: Vec<Frame<'_>> = (stack.frames.iter())
                .map(|frame| Frame {
                    registers: &frame.registers,
                    cfa: frame.cfa,
                    pc: frame.pc,
                    lookup: frame.lookup,
                })
                .collect();
            result = self
                .compute(|symbols, memory| spot.look_from(symbols, memory, &frames, &work))
                .await?;
        }
        Ok(result)
    }

    async fn look_at<T>(
        &mut self,
        spot: &Spot,
        work: impl Fn(&Context<'_>, &Scene<'_>) -> Result<T, ExprError>,
    ) -> Result<Result<T, ExprError>, Failure> {
        let registers = self.subject_registers()?;
        self.compute(|symbols, memory| spot.look(symbols, memory, &registers, &work)).await
    }

    /// Reads these registers, or all.
    async fn read_registers(&mut self, wanted: Option<&[Reg]>) -> Result<(), Failure> {
        let Some(wanted) = wanted else {
            return self.know_registers().await;
        };
        for register in wanted {
            self.register(*register).await?;
        }
        Ok(())
    }

    /// Checks a condition, or what a log point prints, at a place; nothing is
    /// read. Errors are those of a wrong expression only.
    pub(super) fn check_at(
        &self,
        pc: Addr,
        line: Option<u32>,
        work: impl Fn(&Context<'_>, &Scene<'_>) -> Result<(), ExprError>,
    ) -> Result<(), ExprError> {
        let symbols = self.usable_symbols();
        let frames = symbols.frames_at(pc);
        let depth = frames.iter().position(|frame| frame.line == line).unwrap_or(0);
        let spot = Spot { pc, depth, cpu: Some(0), kept: Arc::clone(&self.scratch.kept) };
        let registers = pretended(Registers::unknown(self.arch()), 1);
        spot.look(&symbols, &Pretended(1), &registers, work)
    }
}

/// The registers that `work` needs besides those known; `None` when that can't
/// be told, or is too many.
fn needed<T>(
    spot: &Spot,
    symbols: &Symbols,
    known: &Registers,
    work: impl Fn(&Context<'_>, &Scene<'_>) -> Result<T, ExprError>,
) -> Option<Vec<Reg>> {
    let mut needed = Vec::new();
    // Zero and one lead both ways at `&&`, `||` and `?:`.
    for value in [0, 1] {
        let memory = Pretended(value);
        let all = pretended(known.clone(), value.into());
        let fails = |registers: &Registers| {
            let current = |_: &Symbols, _: &dyn Memory| Ok(Addr(value.into()));
            let spot = Spot { cpu: Some(0), kept: Arc::clone(&spot.kept), ..*spot };
            let result = spot.look(symbols, &memory, registers, |context, scene| {
                work(context, &Scene { current: &current, ..*scene })
            });
            lacks(&result)
        };
        if fails(&all) {
            return None;
        }
        for (index, (def, _)) in all.iter().enumerate() {
            let Some(register) = all.arch.reg(def.name) else { continue };
            debug_assert_eq!(all.arch.reg(def.name), all.arch.reg(all.arch.registers[index].name));
            if known.get(register).is_some() || needed.contains(&register) {
                continue;
            }
            let mut without = all.clone();
            without.set(register, None);
            if fails(&without) {
                needed.push(register);
            }
        }
    }
    (needed.len() <= MOST_REGISTERS).then_some(needed)
}

/// All that is not known is this.
fn pretended(mut registers: Registers, value: u64) -> Registers {
    let arch = registers.arch;
    for def in arch.registers {
        if let Some(register) = arch.reg(def.name)
            && registers.get(register).is_none()
        {
            registers.set(register, Some(value));
        }
    }
    registers
}

/// Memory that has the same number everywhere.
struct Pretended(u8);

impl Memory for Pretended {
    fn read(&self, _: Addr, buf: &mut [u8]) -> Result<(), Gap> {
        buf.fill(0);
        // Of little-endian words of any size up to eight bytes.
        buf.iter_mut().step_by(8).for_each(|byte| *byte = self.0);
        Ok(())
    }
}
