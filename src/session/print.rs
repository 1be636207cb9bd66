//! `print` and what is like it: the value of an expression, and what it
//! changes in the guest.

use super::{
    answer::{Answer, Failure, ValueAnswer},
    request::{Printing, Purpose},
    run::Session,
};
use crate::base::{
    addr::Addr,
    memory::{PAGE, Span},
};
use crate::eval::{
    expr::{
        assign::{Change, Effect, changes},
        error::ExprError,
        evaluate::{self, Outcome, Scene},
        kept::{Kept, KeptValue},
    },
    format::{Format, Limits},
    location::{Absent, Context},
    typed::Typed,
};
use crate::rsp::command::Command;
use crate::target::registers;
use std::sync::Arc;

/// Bytes of one write: what `M` has room for with its address.
const MOST_WRITTEN: u64 = 256;

/// Values that are kept with their bytes; larger ones stay where they are.
const MOST_KEPT: u64 = 4096;

/// What one question leaves for the next.
#[derive(Debug, Default)]
pub struct Scratch {
    /// Values that were printed, and convenience variables.
    pub kept: Arc<Kept>,
    /// What `x` showed last.
    pub examined: super::examine::Examined,
}

/// A value that was looked at, ready to be told and kept.
struct Seen {
    outcome: Outcome,
    kept: KeptValue,
    type_name: String,
    text: String,
    changes: Vec<Change>,
}

impl Session {
    /// `print`, `output`, `call` and `set var`.
    pub(super) async fn print(&mut self, asked: &Printing) -> Result<Answer, Failure> {
        let text = match asked.expression.trim() {
            "" if self.scratch.kept.is_empty() => {
                return Err(Failure::Other("nothing was printed yet".into()));
            }
            "" => "$",
            text => text,
        };
        let format = match asked.format {
            None => None,
            Some(letter) => Some(Format::of(letter).ok_or_else(|| {
                Failure::Other(format!("'{letter}' is no format of values; x shows instructions"))
            })?),
        };
        let seen = self.see_value(text, |context, scene| seen(context, scene, text, format)).await;
        let mut seen = match seen {
            Ok(seen) => seen,
            Err(why) => return self.gone(text, why).await,
        };
        let of_guest: Vec<&Change> =
            seen.changes.iter().filter(|c| c.effect.is_of_guest()).collect();
        if !asked.write && !of_guest.is_empty() {
            let effect = of_guest.iter().map(|change| format!("write {change}"));
            let effect = effect.collect::<Vec<_>>().join(", ");
            return Ok(Answer::Confirm { effect, allow: None });
        }
        let mut wrote = Vec::new();
        for change in std::mem::take(&mut seen.changes) {
            if change.effect.is_of_guest() {
                self.need_stopped()?;
                wrote.push(self.carry_out(change).await?);
            }
        }
        for effect in seen.outcome.effects {
            if let Effect::SetVariable { name, value } = effect {
                Arc::make_mut(&mut self.scratch.kept).set(name, value);
            }
        }
        let is_void = seen.type_name == "void";
        let number = match asked.purpose {
            Purpose::Print if !is_void => {
                Some(Arc::make_mut(&mut self.scratch.kept).push(seen.kept))
            }
            _ => None,
        };
        let registers = self.plain_register(text);
        if !wrote.is_empty() {
            self.look_at_watched().await?;
        }
        if let (Some(flags), None) = (self.plain_flags(text), format) {
            seen.text = flags;
        }
        let value = (asked.purpose != Purpose::Set).then_some(seen.text);
        Ok(Answer::Value(Box::new(ValueAnswer {
            type_name: seen.type_name,
            value,
            number,
            optimized_out: false,
            wrote,
            registers,
        })))
    }

    /// A variable that is nowhere is an answer, not a failure.
    async fn gone(&mut self, text: &str, why: Failure) -> Result<Answer, Failure> {
        let ty = self.see(|context, scene| {
            let error = evaluate::evaluate(context, scene, text).err()?;
            let whole = error.at == (0..text.len());
            (whole && error.absent == Some(Absent::OptimizedOut)).then_some(())?;
            let (ty, _) = evaluate::type_of(context, scene, text).ok()?;
            Some(ty.name(context.symbols))
        });
        let Some(type_name) = ty.await? else { return Err(why) };
        Ok(Answer::Value(Box::new(ValueAnswer {
            type_name,
            value: Some("<optimized out>".into()),
            optimized_out: true,
            ..ValueAnswer::default()
        })))
    }

    /// The value of a register by its name, for `print $rip`.
    fn plain_register(&self, text: &str) -> Option<Vec<(String, Option<Addr>)>> {
        let name = text.strip_prefix('$')?;
        let registers = self.selected_registers()?;
        let register = registers.arch.reg(name)?;
        Some(vec![(name.to_owned(), registers.get(register).map(Addr))])
    }

    /// The flags register in words, as gdb has it: `[ PF ZF IF ]`.
    fn plain_flags(&self, text: &str) -> Option<String> {
        let registers = self.selected_registers()?;
        let arch = registers.arch;
        let flags = arch.reg(text.strip_prefix('$')?).filter(|reg| *reg == arch.flags)?;
        let value = registers.get(flags)? & !arch.step_flag;
        let words = crate::arch::x86_64::flags_text(value);
        let lowest_first: Vec<&str> = words.split(' ').rev().collect();
        Some(format!("[ {} ]", lowest_first.join(" ")))
    }

    /// Writes what an expression asked for, and reads it back.
    async fn carry_out(&mut self, change: Change) -> Result<String, Failure> {
        match &change.effect {
            Effect::WriteMemory { addr, bytes, .. } => self.write_memory(*addr, bytes).await?,
            Effect::WriteRegister { name, value, .. } => self.write_register(name, *value).await?,
            Effect::SetVariable { .. } => {}
        }
        self.changed_guest();
        Ok(format!("wrote {change}"))
    }

    /// Writes bytes and checks that the guest has them then.
    pub(super) async fn write_memory(&mut self, addr: Addr, bytes: &[u8]) -> Result<(), Failure> {
        let mut done = 0;
        while done < bytes.len() {
            let at = addr.offset(done as u64);
            let room = (PAGE - at.0 % PAGE).min(MOST_WRITTEN) as usize;
            let piece = &bytes[done..bytes.len().min(done + room)];
            let command = Command::write_memory(at, piece)
                .map_err(|error| Failure::Other(error.to_string()))?;
            match self.wire.ask(command).await {
                Ok(_) => {}
                Err(error) if error.errno().is_some() => {
                    let before = match done {
                        0 => "nothing was written".to_owned(),
                        done => format!("only {done} bytes before it were written"),
                    };
                    // kgdb_arch_… copy_to_kernel_nofault, and E14 from
                    // gdb_cmd_memwrite: code and constants are write-protected.
                    return Err(Failure::Other(format!(
                        "the guest can't write at {at}: it is not mapped, or it is read-only, as \
                         the kernel's code and constants are; {before} ({error})"
                    )));
                }
                Err(error) => return Err(self.lost(error)),
            }
            done += piece.len();
        }
        let mut back = Vec::new();
        while back.len() < bytes.len() {
            let at = addr.offset(back.len() as u64);
            let room = (PAGE - at.0 % PAGE).min(MOST_WRITTEN) as usize;
            let span = Span::new(at, room.min(bytes.len() - back.len()) as u64);
            match self.read(span).await? {
                Some(read) => {
                    self.remember(at, &read);
                    back.extend(read);
                }
                None => {
                    return Err(Failure::Other(format!("what was written at {at} can't be read")));
                }
            }
        }
        match back == bytes {
            true => Ok(()),
            false => Err(Failure::Other(format!(
                "the guest said OK, but at {addr} it has other bytes than were written"
            ))),
        }
    }

    /// Writes a register of the CPU that stopped, and checks it.
    pub(super) async fn write_register(&mut self, name: &str, value: u64) -> Result<(), Failure> {
        let other = |why: String| Failure::Other(why);
        self.need_own_subject()?;
        if self.selected_physical() != 0 {
            return Err(other(format!(
                "{name} of a caller's frame is saved on the stack; registers are written in the \
                 innermost frame only (frame 0)"
            )));
        }
        let arch = self.arch();
        let reg = arch.reg(name).ok_or_else(|| other(format!("no register {name}")))?;
        if ["cs", "ss"].contains(&name) {
            return Err(other(format!("the kernel would not survive another {name}")));
        }
        let command = registers::write(arch, reg, value).map_err(|why| other(why.to_string()))?;
        if let Err(error) = self.wire.ask(command).await {
            return match error.errno() {
                Some(_) => Err(other(format!("the guest did not write {name}: {error}"))),
                None => Err(self.lost(error)),
            };
        }
        if let Some(snapshot) = &mut self.snapshot {
            snapshot.registers.set(arch.pc, None);
        }
        let registers = self.read_all_registers().await?;
        let now = registers.get(reg);
        if let Some(stop) = &mut self.stop {
            stop.frame_registers = registers.clone();
            stop.registers = registers;
            stop.selected = 0;
        }
        self.hidden = 0;
        self.panes.stack = None;
        self.first_frame();
        match now == Some(value) {
            true => Ok(()),
            false => Err(other(format!("the guest said OK, but {name} has another value"))),
        }
    }

    /// What is shown is made again from what the guest has now.
    pub(super) fn changed_guest(&mut self) {
        self.crash_is_answered();
        if let Some(stop) = &mut self.stop {
            stop.variables = None;
            for frame in &mut stop.frames {
                frame.args = None;
            }
        }
        self.panes.restart(self.options.eager);
        self.touch();
    }
}

/// Evaluates, and makes what is told of it.
fn seen(
    context: &Context<'_>,
    scene: &Scene<'_>,
    text: &str,
    format: Option<Format>,
) -> Result<Seen, ExprError> {
    let outcome = evaluate::perform(context, scene, text)?;
    let value = &outcome.value;
    let absent = |absent: Absent| ExprError {
        message: absent.to_string(),
        at: 0..text.len(),
        absent: Some(absent),
    };
    let shown = context.printed(value, format, &Limits::default()).map_err(absent)?;
    let changes = changes(context, &outcome.effects);
    let kept = keep(context, value).map_err(absent)?;
    let type_name = value.ty.name(context.symbols);
    Ok(Seen { kept, type_name, text: shown, changes, outcome })
}

/// A value with the bytes it has now.
fn keep(context: &Context<'_>, value: &Typed) -> Result<KeptValue, Absent> {
    let home = value.address();
    let whole = value.ty.size(context.symbols).filter(|size| (1..=MOST_KEPT).contains(size));
    let bytes = match (value.bits, whole) {
        (Some(_), Some(size)) => {
            let scalar = context.scalar(value)?;
            Some(scalar.bits.to_le_bytes()[..size.min(16) as usize].to_vec())
        }
        (None, Some(size)) => match context.bytes(&value.place, size) {
            Ok(bytes) => Some(bytes),
            Err(absent @ Absent::Gap(_)) => return Err(absent),
            // Parts of it may be gone.
            Err(_) => None,
        },
        (_, None) => None,
    };
    let value = match bytes {
        Some(bytes) => Typed::of_bytes(value.ty.clone(), &bytes),
        None => value.clone(),
    };
    Ok(KeptValue { value, home })
}
