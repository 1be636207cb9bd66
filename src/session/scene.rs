//! Expressions at a stop: what they see, and what is read for them.

use super::{
    answer::{Answer, Failure},
    panes::FrameState,
    request::{Disassembly, Listing, Part},
    run::Session,
    view::State,
};
use crate::base::{
    addr::Addr,
    memory::{Gap, Memory, Span},
};
use crate::eval::{
    expr::{
        error::ExprError,
        evaluate::{self, Scene},
        kept::Kept,
    },
    location::{Absent, Context},
};
use crate::kernel::cpus;
use crate::symbols::placed::Symbols;
use std::{cell::Cell, sync::Arc};

/// What expressions see of a stop. Without one: symbols, and nothing else.
struct Sight {
    frame: Option<FrameState>,
    /// The CPU whose copies of per-CPU variables are meant.
    cpu: Option<u32>,
    /// The task that is shown, when it is not what the guest stopped in.
    task: Option<Addr>,
    kept: Arc<Kept>,
}

impl Sight {
    fn look<T>(
        &self,
        symbols: &Symbols,
        memory: &dyn Memory,
        work: impl FnOnce(&Context<'_>, &Scene<'_>) -> T,
    ) -> T {
        let frames = self.frame.as_ref().map_or(Vec::new(), FrameState::frames);
        let context = Context { symbols, memory, frames: &frames, cpu: self.cpu };
        let current = |symbols: &Symbols, memory: &dyn Memory| match self.task {
            Some(task) => Ok(task),
            None => current(symbols, memory, self.cpu),
        };
        let depth = self.frame.as_ref().map_or(0, |frame| frame.depth);
        work(&context, &Scene { depth, current: &current, kept: &self.kept })
    }
}

/// The task a CPU was caught in, as the debugger core of the kernel knows it.
fn current(symbols: &Symbols, memory: &dyn Memory, cpu: Option<u32>) -> Result<Addr, Absent> {
    let cpu = cpu.ok_or(Absent::because("the CPU is not known, so its task is not"))?;
    let stops = cpus::stops(symbols, memory, &[cpu]);
    let stops = stops.map_err(|error| Absent::because(error.to_string()))?;
    let task = stops.first().and_then(|stop| stop.task);
    task.ok_or_else(|| Absent::because(format!("the guest does not say what CPU {cpu} was doing")))
}

/// Memory where there is no guest; it knows whether any was wanted.
#[derive(Default)]
struct Nothing {
    wanted: Cell<bool>,
}

impl Memory for Nothing {
    fn read(&self, addr: Addr, buf: &mut [u8]) -> Result<(), Gap> {
        self.wanted.set(true);
        Err(Gap::Fault(Span::new(addr, buf.len() as u64)))
    }
}

impl Session {
    /// What expressions see now.
    fn sight(&self) -> Sight {
        let stopped = self.need_stopped().is_ok();
        let stop = self.stop.as_ref().filter(|_| stopped);
        let frame = stop.and_then(|stop| self.frame_state(stop.selected));
        let cpu = match &frame {
            Some(frame) => frame.cpu,
            None => stop.and_then(|stop| stop.cpu),
        };
        let chosen = self.snapshot.as_ref().and_then(|snapshot| snapshot.chosen.as_ref());
        let task = chosen.filter(|_| stopped).and_then(|chosen| chosen.task);
        Sight { frame, cpu, task, kept: self.scratch.kept.clone() }
    }

    /// Does `work` on what expressions see, as often as it misses something.
    pub(super) async fn see<T>(
        &mut self,
        work: impl Fn(&Context<'_>, &Scene<'_>) -> T,
    ) -> Result<T, Failure> {
        let sight = self.sight();
        if self.need_stopped().is_err() {
            return Ok(sight.look(&self.usable_symbols(), &Nothing::default(), work));
        }
        self.compute(move |symbols, memory| sight.look(symbols, memory, &work)).await
    }

    /// Does `work` once; whether it missed something, which is read now. The
    /// guest must be stopped.
    pub(super) async fn see_once<T>(
        &mut self,
        work: impl Fn(&Context<'_>, &Scene<'_>) -> T,
    ) -> Result<(T, bool), Failure> {
        let sight = self.sight();
        self.compute_once(move |symbols, memory| sight.look(symbols, memory, &work)).await
    }

    /// The same, where an answer that callers could give is wanted.
    pub(super) async fn see_value<T>(
        &mut self,
        text: &str,
        work: impl Fn(&Context<'_>, &Scene<'_>) -> Result<T, ExprError>,
    ) -> Result<T, Failure> {
        if self.need_stopped().is_err() {
            let memory = Nothing::default();
            let result = self.sight().look(&self.usable_symbols(), &memory, work);
            return match result {
                Ok(_) if memory.wanted.get() => Err(self.no_memory(text)),
                result => result.map_err(|error| self.failed(text, error)),
            };
        }
        let mut result = self.see(&work).await?;
        if let Err(error) = &result
            && matches!(error.absent, Some(Absent::OptimizedOut | Absent::Unavailable(_)))
        {
            // What is gone here may be known to a caller.
            self.whole_stack(self.selected_physical() + 2).await?;
            result = self.see(&work).await?;
        }
        result.map_err(|error| self.failed(text, error))
    }

    /// An error of an expression in the face's words.
    pub(super) fn failed(&self, text: &str, error: ExprError) -> Failure {
        if matches!(&error.absent, Some(Absent::Gap(_))) && self.need_stopped().is_err() {
            return self.no_memory(text);
        }
        Failure::Expression {
            shown: error.shown(text),
            message: error.message,
            start: error.at.start,
            end: error.at.end,
        }
    }

    fn no_memory(&self, text: &str) -> Failure {
        match &self.state {
            State::Offline => Failure::NoTarget(format!(
                "'{text}' is in the guest's memory, and there is no guest; its type and place are \
                 known: whatis {text}, p &({text})"
            )),
            _ => Failure::Running,
        }
    }

    /// The address that an expression means: of a function or an array where
    /// it is, of a struct in memory too, else its value.
    pub(super) async fn address_of(&mut self, text: &str) -> Result<Addr, Failure> {
        self.see_value(text, |context, scene| evaluate::address(context, scene, text)).await
    }

    /// A location that the symbols alone understand: one that needs an
    /// expression, such as `*req->handler`, becomes `*0x…`.
    pub(super) async fn located(&mut self, text: &str) -> Result<String, Failure> {
        let trimmed = text.trim();
        let known = self.address(trimmed).is_ok() || self.resolve_sites(trimmed).is_ok();
        let expression = trimmed.strip_prefix('*').unwrap_or(trimmed);
        if known || expression.trim().is_empty() {
            return Ok(text.to_owned());
        }
        match self.address_of(expression).await {
            Ok(address) => Ok(format!("*{address}")),
            // Of a plain name the location's own error says more.
            Err(why @ Failure::Expression { .. }) if is_expression(trimmed) => Err(why),
            Err(Failure::Expression { .. }) => Ok(text.to_owned()),
            Err(why) => Err(why),
        }
    }
}

impl Session {
    /// The same for what `list` takes.
    pub(super) async fn located_listing(&mut self, what: Listing) -> Result<Listing, Failure> {
        Ok(match what {
            Listing::Around(text) => Listing::Around(self.located(&text).await?),
            Listing::Range(start, end) => {
                Listing::Range(self.located_part(start).await?, self.located_part(end).await?)
            }
            other => other,
        })
    }

    async fn located_part(&mut self, text: Option<String>) -> Result<Option<String>, Failure> {
        match text {
            // `+3` and `42` are lines.
            Some(text) if text.trim_start().starts_with('*') => {
                Ok(Some(self.located(&text).await?))
            }
            text => Ok(text),
        }
    }

    /// The same for what `disassemble` takes.
    pub(super) async fn located_code(&mut self, what: Disassembly) -> Result<Disassembly, Failure> {
        let part = match what.what {
            Part::Here => Part::Here,
            Part::Function(text) => Part::Function(self.located(&text).await?),
            Part::Range(start, end) => {
                Part::Range(self.located(&start).await?, self.located(&end).await?)
            }
            Part::Length(start, len) => Part::Length(self.located(&start).await?, len),
        };
        Ok(Disassembly { what: part, ..what })
    }

    /// `info symbol`, of any address.
    pub(super) async fn symbol_of(&mut self, text: &str) -> Result<Answer, Failure> {
        match self.symbol(text) {
            Err(why) => match self.address_of(text).await {
                Ok(address) => self.symbol(&address.to_string()),
                Err(error @ Failure::Expression { .. }) if is_expression(text) => Err(error),
                Err(_) => Err(why),
            },
            answer => answer,
        }
    }
}

/// Whether a text can be nothing but an expression.
fn is_expression(text: &str) -> bool {
    text.starts_with('*') || text.contains("->") || text.contains(['(', '[', '&', '$'])
}
