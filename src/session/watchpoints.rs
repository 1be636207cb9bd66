//! `watch`, `rwatch`, `awatch`.

use super::{
    answer::{Answer, Failure},
    run::Session,
    watched::{Scope, Watched, look},
    watching::{Access, Watching},
    wish::Site,
};
use crate::base::addr::Addr;
use crate::eval::{expr::evaluate, location::Place, typed::Typed};
use crate::kernel::{cpus, hw_breakpoints};
use crate::session::slots::pieces;
use crate::symbols::placed::Symbols;

/// More of a stack than a frame is looked for in.
const STACK: u64 = 16 * 1024;

impl Session {
    /// Sets a watchpoint on where an expression is now.
    pub(super) async fn set_watch(&mut self, asked: Watching) -> Result<Answer, Failure> {
        self.need_stopped()?;
        if let Some(question) = self.cure_question().await? {
            return Ok(question);
        }
        let text = asked.expression.trim();
        let other = |why: String| Failure::Other(format!("{text}: {why}"));
        let found = self
            .see_value(text, |context, scene| {
                let value = evaluate::evaluate(context, scene, text)?;
                let (size, ty) = (value.ty.size(context.symbols), value.ty.name(context.symbols));
                Ok((value, size, ty))
            })
            .await?;
        let (value, size, type_name) = found;
        let (start, len) = span(&value, size).map_err(other)?;
        let Some(pieces) = pieces(start, len) else {
            return Err(other(format!(
                "{len} bytes at {start} need more than the four debug registers of 8 bytes each; choose a member or an element"
            )));
        };
        if let Some(why) = self.delicate(start, len).await? {
            return Err(other(why));
        }
        let seen = self.see(|context, _| look(context, &value)).await?;
        let seen = seen.map_err(|absent| other(absent.to_string()))?;
        let scope = self.scope_of(start).await?;
        let notes = self.notes(&asked, text, start, scope.as_ref());
        let site = module_of(&self.guest_symbols(), start);
        let wish = self.points.add(asked.kind, text.to_owned());
        wish.means = super::request::Means::Hardware;
        wish.when = asked.when;
        wish.note = (!notes.is_empty()).then(|| notes.join("; "));
        wish.sites = site.into_iter().collect();
        wish.watch = Some(Watched {
            access: asked.access,
            value,
            type_name,
            pieces,
            seen,
            scope,
            refused: None,
        });
        let number = wish.number;
        let checked = self.check_point(number).and_then(|()| self.need_debug_registers());
        if let Err(why) = checked {
            self.points.delete(&[number]);
            return Err(why);
        }
        self.plant_new(number).await
    }

    /// Why something must not be watched.
    async fn delicate(&mut self, start: Addr, len: u64) -> Result<Option<String>, Failure> {
        let found = self
            .compute(move |symbols, memory| {
                let cpus = cpus::online(symbols, memory)?;
                hw_breakpoints::delicate(symbols, memory, &cpus, start, len)
            })
            .await?;
        Ok(found.ok().flatten())
    }

    /// The frame of the stopped task that has an address of its stack.
    async fn scope_of(&mut self, addr: Addr) -> Result<Option<Scope>, Failure> {
        if self.need_own_subject().is_err() {
            return Ok(None);
        }
        let task = self.snapshot.as_ref().and_then(|snapshot| snapshot.thread);
        let Some(sp) = self.subject_registers()?.sp() else { return Ok(None) };
        if addr < sp || addr.since(sp) >= STACK {
            return Ok(None);
        }
        let stack = self.whole_stack(64).await?;
        let holds = |cfa: Addr| addr < cfa && cfa.since(sp) < STACK;
        let found = stack.frames.iter().position(|frame| frame.cfa.is_some_and(holds));
        let Some((frame, caller)) =
            found.and_then(|at| Some((&stack.frames[at], stack.frames.get(at + 1)?)))
        else {
            return Ok(None);
        };
        let function = self.guest_symbols().function_at(frame.lookup).map(|f| f.name);
        Ok(frame.cfa.map(|cfa| Scope {
            function: function.unwrap_or_else(|| frame.lookup.to_string()),
            cfa: cfa.0,
            returns_to: caller.pc,
            guarded: true,
            task,
        }))
    }

    /// What else is to be known of a watchpoint.
    fn notes(
        &self,
        asked: &Watching,
        text: &str,
        start: Addr,
        scope: Option<&Scope>,
    ) -> Vec<String> {
        let mut notes = Vec::new();
        if asked.access == Access::Read {
            notes.push("x86 can't tell reads from writes: an access that changes the value is taken for a write and passed over".to_string());
        }
        let symbols = self.guest_symbols();
        if is_per_cpu(&symbols, text)
            && let Some(cpu) = self.stop.as_ref().and_then(|stop| stop.cpu)
        {
            let cpu = self.subject_cpu().unwrap_or(cpu);
            notes.push(format!("the copy of CPU {cpu}; those of other CPUs are not watched"));
        } else if text.contains("->") || text.contains(['*', '[']) {
            notes.push(format!("{start} is watched; not another place, should {text} become one"));
        }
        if let Some(scope) = scope {
            notes.push(format!("on the stack: until {} returns", scope.function));
        }
        notes
    }
}

/// Where a value is in memory, and how many bytes of it.
fn span(value: &Typed, size: Option<u64>) -> Result<(Addr, u64), String> {
    let addr = match &value.place {
        Place::Memory(addr) => *addr,
        Place::Register { .. } => {
            return Err("it is in a register, and a debug register watches memory; use stepi, or watch what it is stored to".into());
        }
        Place::Pieces { .. } => {
            return Err("the compiler keeps it in pieces, not in memory as a whole".into());
        }
        Place::Pointing { .. } => return Err("what it points to is in no memory".into()),
        Place::Bytes(_) => {
            return Err("this is a value, not a place in memory; watch *(TYPE *) ADDRESS watches an address".into());
        }
    };
    match (value.bits, size) {
        (Some((first, width)), _) if width > 0 => {
            let (start, end) = (first / 8, (first + width).div_ceil(8));
            Ok((addr.offset(start.into()), (end - start).into()))
        }
        (None, Some(size @ 1..)) => Ok((addr, size)),
        _ => Err("its type has no size; cast it: watch *(unsigned long *) ADDRESS".into()),
    }
}

/// Whether an expression begins with the name of a per-CPU variable.
fn is_per_cpu(symbols: &Symbols, text: &str) -> bool {
    let name = text.trim_start_matches(['&', '(', '*', ' ']);
    let end = name.find(|c: char| !c.is_ascii_alphanumeric() && c != '_' && c != '!');
    let name = &name[..end.unwrap_or(name.len())];
    symbols.variables_named(name).first().is_some_and(|global| {
        let addr = global.file_addr();
        addr.is_some_and(|addr| symbols.is_per_cpu(global.variable.image, addr))
    })
}

/// The module whose memory an address is in.
fn module_of(symbols: &Symbols, addr: Addr) -> Option<Site> {
    let (placed, _) = symbols.section_at(addr)?;
    let module = Some(placed.module()?);
    Some(Site {
        addr,
        function: None,
        file: None,
        line: None,
        module,
        inlined_into: None,
        refused: None,
    })
}
