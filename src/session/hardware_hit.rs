//! Stops at watchpoints: which one it was, what it saw, and which instruction
//! did it.

use super::{
    answer::Failure,
    hits::Hit,
    request::Level,
    run::Session,
    slots::Entry,
    step::{Journey, Leg, thread_of},
    view::StopReason,
    watched::{self, Seen},
    watching::{Doer, WatchHit},
};
use crate::arch::{
    Registers,
    insn::{self, Flavor, Insn, MAX_LEN},
    operand,
};
use crate::base::{
    addr::Addr,
    memory::{Gap, Memory},
};
use crate::eval::{
    location::{Absent, Context},
    typed::Typed,
};
use crate::kernel::{cpus, hw_breakpoints, percpu};
use crate::rsp::reply::StopReply;
use crate::symbols::placed::Symbols;
use std::collections::BTreeSet;

/// A statement's code is rarely longer.
const MOST_BEFORE: u64 = 256;

/// What a debug register did at a stop.
#[derive(Debug)]
pub enum Fired {
    /// Nothing, or nothing that anybody waits for while a step ended here too.
    Nothing,
    /// Nothing that counts: the guest is to go on.
    PassBy,
    /// The guest stays stopped.
    Stay(StopReason),
}

/// The addresses of debug registers that met something, by data.
#[derive(Debug, Default)]
struct Met {
    addrs: BTreeSet<Addr>,
    /// One that is lifted already did, too.
    late: bool,
}

impl Session {
    /// Looks whether a watchpoint stopped the guest.
    pub(super) async fn watchpoint_stop(
        &mut self,
        pc: Addr,
        stop: &StopReply,
    ) -> Result<Fired, Failure> {
        let met = self.met(true).await?;
        if met.addrs.is_empty() && !met.late {
            return Ok(Fired::Nothing);
        }
        self.points.hardware.entry = Entry::Debug;
        if self.points.is_planted(pc) || self.points.hardware.has_exec(pc) {
            self.points.hardware.unbegun = Some(pc);
        }
        let wishes = self.points.wishes.iter().filter(|wish| wish.is_armed());
        let fired: Vec<(u32, Typed)> = wishes
            .filter_map(|wish| Some((wish.number, wish.watch.as_ref()?)))
            .filter(|(_, watch)| watch.is_of(&met.addrs))
            .map(|(number, watch)| (number, watch.value.clone()))
            .collect();
        let sp = self.register(self.arch().sp).await?;
        let in_entry = is_entry_code(&self.guest_symbols(), pc);
        let mut hits = Vec::new();
        for (number, value) in fired {
            let now = self
                .see_watched(value)
                .await?
                .unwrap_or_else(|absent| Seen { bytes: Vec::new(), text: format!("<{absent}>") });
            let Some(wish) = self.points.wishes.iter_mut().find(|wish| wish.number == number)
            else {
                continue;
            };
            let Some(watch) = &mut wish.watch else { continue };
            if watch.scope.as_ref().is_some_and(|scope| scope.is_over(thread_of(stop), sp)) {
                let text = gone(number, &wish.location, watch.scope.as_ref());
                self.points.delete(&[number]);
                self.say(Level::Info, text);
                continue;
            }
            if in_entry && watch.scope.is_some() {
                // An exception or an interrupt saves registers below the stack
                // pointer: the frame is gone, its end was not seen yet.
                continue;
            }
            let changed = watch.seen.bytes != now.bytes;
            let old = std::mem::replace(&mut watch.seen, now.clone()).text;
            if !watch.access.counts(changed) {
                continue;
            }
            let access = watch.access;
            let expression = wish.location.clone();
            if let Hit::Stop(_) = self.judge_hit(&[number], pc).await? {
                hits.push(WatchHit { number, expression, access, old, new: now.text, by: None });
            }
        }
        if !hits.is_empty() {
            return Ok(Fired::Stay(StopReason::Watch(hits)));
        }
        let stepped = match &self.journey {
            Some(Journey { leg: Leg::Single | Leg::Crawl { over: None, .. }, task, .. }) => {
                *task == thread_of(stop)
            }
            _ => false,
        };
        Ok(if stepped || self.breaking_in { Fired::Nothing } else { Fired::PassBy })
    }

    /// Whether a debug register met something since it was looked at last.
    pub(super) async fn has_met(&mut self) -> Result<bool, Failure> {
        let met = self.met(false).await?;
        Ok(met.late || !met.addrs.is_empty())
    }

    /// The watched addresses that the stopped CPU met; from now on they are
    /// known if `take`.
    async fn met(&mut self, take: bool) -> Result<Met, Failure> {
        let slots = &self.points.hardware;
        if !slots.watches() && slots.late.is_empty() {
            return Ok(Met::default());
        }
        let of_points = slots.events.iter().flat_map(|(addr, events)| {
            events.iter().map(|(cpu, event)| (*cpu, *event, Some(*addr)))
        });
        let late = slots.late.iter().map(|(cpu, event)| (*cpu, *event, None));
        let all: Vec<(u32, Addr, Option<Addr>)> = of_points
            .filter(|(.., addr)| addr.is_some_and(|a| !slots.has_exec(a)))
            .chain(late)
            .collect();
        let counts = self
            .compute(move |symbols, memory| {
                let active = cpus::active(symbols, memory)?;
                let here = all.iter().filter(|(cpu, ..)| *cpu == active);
                let counts: Vec<_> = here
                    .map(|(_, event, addr)| {
                        let count = hw_breakpoints::count(symbols, memory, *event)?;
                        Ok((*event, *addr, count))
                    })
                    .collect();
                counts.into_iter().collect::<Result<Vec<_>, crate::kernel::KernelError>>()
            })
            .await?;
        let mut met = Met::default();
        let counts = counts.unwrap_or_else(|why| {
            tracing::warn!(%why, "how often debug registers fired");
            Vec::new()
        });
        for (event, addr, count) in counts {
            let known = self.points.hardware.counts.get(&event).copied();
            if known.is_some_and(|known| known != count) {
                match addr {
                    Some(addr) => _ = met.addrs.insert(addr),
                    None => met.late = true,
                }
            }
            if take {
                self.points.hardware.counts.insert(event, count);
            }
        }
        Ok(met)
    }

    /// What is at a watched place now.
    pub(super) async fn see_watched(
        &mut self,
        value: Typed,
    ) -> Result<Result<Seen, Absent>, Failure> {
        self.compute(move |symbols, memory| {
            watched::look(&Context { symbols, memory, frames: &[], cpu: None }, &value)
        })
        .await
    }

    /// The guest was changed by us: what watchpoints saw is seen again.
    pub(super) async fn look_at_watched(&mut self) -> Result<(), Failure> {
        let watched = self.points.wishes.iter();
        let watched: Vec<(u32, Typed)> = watched
            .filter_map(|wish| Some((wish.number, wish.watch.as_ref()?.value.clone())))
            .collect();
        for (number, value) in watched {
            let now = self.see_watched(value).await?;
            let wish = self.points.wishes.iter_mut().find(|wish| wish.number == number);
            if let (Ok(now), Some(watch)) = (now, wish.and_then(|wish| wish.watch.as_mut())) {
                watch.seen = now;
            }
        }
        Ok(())
    }

    /// At the return address of a frame in which something is watched: drops
    /// what is gone, and says so. The first of them.
    pub(super) async fn frame_over(
        &mut self,
        pc: Addr,
        stop: &StopReply,
    ) -> Result<Option<StopReason>, Failure> {
        let sp = self.register(self.arch().sp).await?;
        let task = thread_of(stop);
        let mut over = Vec::new();
        for wish in &self.points.wishes {
            let scope = wish.watch.as_ref().and_then(|watch| watch.scope.as_ref());
            if let Some(scope) = scope
                && scope.returns_to == pc
                && scope.is_over(task, sp)
            {
                let text = gone(wish.number, &wish.location, Some(scope));
                over.push((wish.number, wish.location.clone(), scope.function.clone(), text));
            }
        }
        let numbers: Vec<u32> = over.iter().map(|(number, ..)| *number).collect();
        if numbers.is_empty() {
            return Ok(None);
        }
        self.points.delete(&numbers);
        for (.., text) in &over {
            self.say(Level::Info, text.clone());
        }
        let first = over.into_iter().next();
        Ok(first.map(|(number, expression, function, _)| StopReason::FrameOver {
            number,
            expression,
            function,
        }))
    }

    /// Once the registers of a stop are read: which instruction touched what is
    /// watched.
    pub(super) async fn name_doers(&mut self) -> Result<(), Failure> {
        let Some(StopReason::Watch(hits)) = self.stop.as_ref().map(|stop| &stop.reason) else {
            return Ok(());
        };
        let hits = hits.clone();
        let registers = self.subject_registers()?;
        let Some(pc) = registers.pc() else { return Ok(()) };
        let flavor = self.settings.flavor;
        let mut named = Vec::new();
        for mut hit in hits {
            let watched = self.points.wishes.iter().find(|wish| wish.number == hit.number);
            let pieces = watched.and_then(|wish| wish.watch.as_ref());
            let pieces = pieces.map_or(Vec::new(), |watch| watch.pieces.clone());
            let registers = registers.clone();
            let by = self
                .compute(move |symbols, memory| {
                    doer(symbols, memory, pc, &registers, &pieces, flavor)
                })
                .await?;
            hit.by = by.ok().flatten();
            named.push(hit);
        }
        if self.options.eager {
            // A status line has no room for all that.
            let text = |hit: &WatchHit| {
                let by = hit.by.as_ref().map_or(String::new(), |by| format!(" {}", by.text()));
                format!("watchpoint {} {}{by}", hit.number, hit.text())
            };
            self.say(Level::Info, named.iter().map(text).collect::<Vec<_>>().join("; "));
        }
        if let Some(stop) = &mut self.stop {
            stop.reason = StopReason::Watch(named);
        }
        Ok(())
    }
}

/// Whether that is code by which the kernel is entered (include/asm-generic/sections.h).
fn is_entry_code(symbols: &Symbols, pc: Addr) -> bool {
    let bounds = ["__entry_text_start", "__entry_text_end"].map(|name| symbols.symbol_addr(name));
    matches!(bounds, [Some(start), Some(end)] if (start..=end).contains(&pc))
}

/// What to say of a watchpoint whose frame is gone.
fn gone(number: u32, expression: &str, scope: Option<&watched::Scope>) -> String {
    let function = scope.map_or("its function", |scope| &scope.function);
    format!(
        "watchpoint {number} ({expression}) is deleted: {function} has returned, and what it had on the stack is gone"
    )
}

/// The instruction before `pc`, which touched one of these pieces of memory.
fn doer(
    symbols: &Symbols,
    memory: &dyn Memory,
    pc: Addr,
    registers: &Registers,
    pieces: &[(Addr, u8)],
    flavor: Flavor,
) -> Result<Option<Doer>, Gap> {
    let gs = cpus::active(symbols, memory).and_then(|cpu| percpu::offset(symbols, memory, cpu));
    let name = |addr: Addr| symbols.describe(addr);
    let touches = |insn: &Insn| {
        let known = |name: &str| match name {
            "gs_base" => gs.as_ref().ok().copied(),
            _ => registers.by_name(name),
        };
        let found = operand::memory_uses(insn.addr.0, &insn.bytes, &known);
        let near = |addr: &Addr, len: &u8| found.iter().any(|o| o.touches(addr.0, (*len).into()));
        pieces.iter().any(|(addr, len)| near(addr, len))
    };
    let before = before(symbols, memory, pc, flavor)?;
    let proven = before.as_ref().is_some_and(touches);
    // A `rep` is interrupted between two of its steps, and goes on at itself.
    let here = memory.bytes(pc, MAX_LEN);
    let here = here.ok().and_then(|bytes| insn::decode(pc, &bytes, 1, flavor, &name).pop());
    let repeated = here.filter(|insn| !proven && insn.text.starts_with("rep"));
    let Some(insn) = repeated.or(before) else { return Ok(None) };
    let frame = symbols.frames_at(insn.addr).into_iter().next();
    Ok(Some(Doer {
        pc: insn.addr,
        function: symbols.describe(insn.addr),
        file: frame.as_ref().and_then(|frame| frame.file.as_ref()).map(|file| file.name.clone()),
        line: frame.and_then(|frame| frame.line),
        instruction: insn.text,
        proven,
    }))
}

/// The instruction that ends where `pc` is, decoded from where its line's code
/// begins, or its function's.
fn before(
    symbols: &Symbols,
    memory: &dyn Memory,
    pc: Addr,
    flavor: Flavor,
) -> Result<Option<Insn>, Gap> {
    let last = pc.back(1);
    let row = symbols.row_at(last).map(|row| row.start);
    let starts = [row, symbols.function_at(last).map(|function| function.entry)];
    let near = |start: &Addr| *start < pc && pc.since(*start) <= MOST_BEFORE;
    let Some(start) = starts.into_iter().flatten().find(near) else { return Ok(None) };
    let bytes = memory.bytes(start, pc.since(start) as usize)?;
    let name = |addr: Addr| symbols.describe(addr);
    let insn = insn::decode(start, &bytes, bytes.len(), flavor, &name).pop();
    Ok(insn.filter(|insn| insn.next() == pc))
}
