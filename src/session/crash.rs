//! Stops that are the kernel's own: exceptions, BUG, panic; and those that a
//! catch made of a warning or a task that hangs. What they are is worked out
//! here, and put into words by [`crate::kernel::crash`].

use super::{
    answer::{Answer, Failure},
    catches::Caught,
    control::SIGTRAP,
    crash_held::held_in,
    crash_view::{CrashEvent, CrashView},
    request::Level,
    run::Session,
    view::StopReason,
};
use crate::base::{addr::Addr, memory::Memory, text::printable};
use crate::eval::location::{self, Context};
use crate::kernel::{
    KernelError, cpus,
    crash::{Explained, Kind, Seen, base_name, explain},
    crash_reporters::is_reporter,
    crash_trap::{self, Fate, Trap},
    percpu,
    tasks::{Layouts, Task},
};
use crate::rsp::reply::StopReply;
use crate::symbols::{answer::SourceFile, placed::Symbols};
use crate::unwind::{
    FrameKind, Stack,
    shown::{self, ShownFrame},
    walk,
};
use std::sync::Arc;

/// Frames in which the one that did it is looked for.
const DEPTH: usize = 32;

/// Callers that are named.
const CALLERS: usize = 3;

/// The longest message of a panic that is shown.
const MESSAGE: usize = 400;

/// A crash that stopped the guest.
#[derive(Clone, Debug)]
pub struct Crash {
    /// The same for people.
    pub view: Arc<CrashView>,
    /// What went wrong, for an exception.
    pub kind: Option<Kind>,
    /// What told it, when that was a catch.
    pub caught: Caught,
    /// Frames at the top of the stack that only report it.
    pub reporting: usize,
    /// Whether something was changed since, or the user insists.
    pub answered: bool,
    /// The task that hangs.
    pub hung: Option<Task>,
}

/// What one look at the guest tells of an exception.
struct Looked {
    trap: Option<Trap>,
    fate: Option<Fate>,
    explained: Explained,
}

impl Session {
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

    /// Frames that are left out at the top of the stack: the kernel's report of
    /// what a frame further out did.
    pub(super) fn reporting(&self) -> usize {
        let crash = self.snapshot.as_ref().and_then(|snapshot| snapshot.crash.as_ref());
        crash.map_or(0, |crash| crash.reporting)
    }

    /// The stack here, before the stop is read as a whole.
    pub(super) async fn stack_here(&mut self, frames: usize) -> Result<Stack, Failure> {
        self.know_registers().await?;
        let start = self.snapshot.as_ref().map(|s| s.registers.clone()).ok_or(Failure::Running)?;
        self.compute(move |symbols, memory| walk::unwind(symbols, memory, &start, None, frames))
            .await
    }

    /// Works out what the kernel ran into, if that is what stopped it.
    pub(super) async fn look_at_crash(&mut self) -> Result<(), Failure> {
        let caught = std::mem::take(&mut self.crashes.caught);
        self.look_at_crash_of(caught, None).await
    }

    async fn look_at_crash_of(
        &mut self,
        caught: Caught,
        before: Option<&Crash>,
    ) -> Result<(), Failure> {
        let signal = self.snapshot.as_ref().map_or(SIGTRAP, |snapshot| snapshot.signal);
        if self.guest_symbols().vmlinux().is_none() {
            return Ok(());
        }
        let event = match (caught.event, signal) {
            (Some(event), _) => event,
            (None, SIGTRAP) if self.is_in_panic().await? => CrashEvent::Panic,
            (None, SIGTRAP) => return Ok(()),
            (None, _) => CrashEvent::Oops,
        };
        if event == CrashEvent::Hung {
            return self.look_at_hung_task(caught.argument).await;
        }
        let stack = self.whole_stack(DEPTH).await?;
        let symbols = self.guest_symbols();
        let shown = shown::expand(&symbols, &stack);
        let by_kgdb = signal != SIGTRAP;
        let reporting = if by_kgdb { 0 } else { reporters(&shown) };
        let Some(culprit) = shown.get(reporting).cloned() else { return Ok(()) };
        let mut view = CrashView {
            reported_by: shown[..reporting].iter().filter_map(|f| f.function.clone()).collect(),
            pid: self.stop.as_ref().and_then(|stop| stop.pid),
            comm: self.stop.as_ref().and_then(|stop| stop.comm.clone()),
            function: culprit.function.clone(),
            file: culprit.file.as_ref().map(|file| file.name.clone()),
            line: culprit.line,
            source: self.source_line(&culprit),
            pc: Some(culprit.pc),
            repeats: by_kgdb,
            ..CrashView::default()
        };
        let mut event = event;
        let mut kind = None;
        match event {
            CrashEvent::Panic => {
                self.word_panic(&mut view, &stack, &shown, caught.argument).await?
            }
            CrashEvent::Warn => word_warning(&mut view),
            _ => {
                let looked = self.look_at_exception(&stack, &shown, &culprit, signal).await?;
                kind = Some(looked.explained.kind);
                if looked.explained.kind == Kind::Bug {
                    event = CrashEvent::Bug;
                }
                if matches!(kind, Some(Kind::NullCall | Kind::BadCall)) {
                    // What is there is no function.
                    (view.function, view.file, view.line, view.source) = (None, None, None, None);
                }
                self.word_exception(&mut view, looked);
                if kind == Some(Kind::StackOverflow)
                    && let Some(name) = repeated(&shown)
                {
                    view.reason.push_str(&format!("; {name} is on it again and again"));
                }
            }
        }
        view.event = event.word();
        view.ways = self.ways(&view, kind);
        // A catch that has no place of its own counts what kgdb stops at.
        let number = match caught.event {
            event if before.is_some() || event.is_some() => {
                self.stop.as_ref().and_then(|stop| stop.reason.breakpoint())
            }
            _ => self.points.catch_counts(event).or_else(|| match event {
                CrashEvent::Bug => self.points.catch_counts(CrashEvent::Oops),
                _ => None,
            }),
        };
        let headline = view.headline.clone();
        let view = Arc::new(view);
        if let Some(stop) = &mut self.stop {
            stop.reason = StopReason::Crash { number, event, headline };
            stop.crash = Some(Arc::clone(&view));
        }
        if let Some(snapshot) = &mut self.snapshot {
            let answered = before.is_some_and(|before| before.answered);
            snapshot.crash = Some(Crash { view, kind, caught, reporting, answered, hung: None });
        }
        if reporting > 0 {
            self.take_stack(stack, false);
            if let Some(registers) = self.frame_registers(culprit.physical).await
                && let Some(stop) = &mut self.stop
            {
                stop.frame_registers = registers;
            }
        }
        self.touch();
        Ok(())
    }

    /// Works it out again: there are more symbols now.
    pub(super) async fn look_at_crash_again(&mut self) -> Result<(), Failure> {
        let Some(snapshot) = &mut self.snapshot else { return Ok(()) };
        let signal = snapshot.signal;
        match snapshot.crash.take() {
            Some(before) if before.hung.is_some() => snapshot.crash = Some(before),
            Some(before) => self.look_at_crash_of(before.caught, Some(&before)).await?,
            None => {
                self.look_at_crash().await?;
                if self.stop.as_ref().is_some_and(|stop| stop.crash.is_some()) {
                    self.tell_crash(signal);
                }
            }
        }
        Ok(())
    }

    /// Whether kgdb was called by a panic: it is in its compiled-in trap.
    async fn is_in_panic(&mut self) -> Result<bool, Failure> {
        let symbols = self.guest_symbols();
        let Some(symbol) = self.pc().ok().and_then(|pc| symbols.symbol_at(pc)) else {
            return Ok(false);
        };
        if !is_reporter(&symbol.name) {
            return Ok(false);
        }
        // `panic_cpu` is -1 while there is none (kernel/panic.c, since 4.5).
        if let Some(at) = symbols.symbol_addr("panic_cpu")
            && let Ok(cpu) = self.compute(move |_, memory| memory.u32(at)).await?
            && cpu as i32 == -1
        {
            return Ok(false);
        }
        let stack = self.whole_stack(DEPTH).await?;
        Ok(shown::expand(&symbols, &stack).iter().any(is_panic))
    }

    /// Reads all that the explanation of an exception needs.
    async fn look_at_exception(
        &mut self,
        stack: &Stack,
        shown: &[ShownFrame],
        culprit: &ShownFrame,
        signal: u8,
    ) -> Result<Looked, Failure> {
        let frames: Vec<_> = stack.frames[culprit.physical..].iter().take(4).cloned().collect();
        let Some(frame) = frames.first().cloned() else { return Err(Failure::Running) };
        let by_kgdb = signal != SIGTRAP;
        let callers = callers(shown, culprit.physical);
        let source = self.source_line(culprit);
        let cpu = self.stop.as_ref().and_then(|stop| stop.cpu);
        let told = if by_kgdb { signal } else { 0 };
        let work = move |symbols: &Symbols, memory: &dyn Memory| {
            let trap = cpu.filter(|_| by_kgdb).map(|cpu| trap_of(symbols, memory, cpu, signal));
            // At a breakpoint of ours the trap itself counts as an interrupt.
            let fate = cpu.filter(|_| by_kgdb).map(|cpu| crash_trap::fate(symbols, memory, cpu));
            let gs_base = cpu.map(|cpu| percpu::offset(symbols, memory, cpu));
            let stack = cpu.map(|cpu| stack_of(symbols, memory, cpu));
            // What is not there is not known; what is not read yet makes this
            // run once more.
            let trap = trap.and_then(Result::ok).flatten();
            let (gs_base, stack) = (gs_base.and_then(Result::ok), stack.and_then(Result::ok));
            let views: Vec<_> = frames
                .iter()
                .map(|frame| location::Frame {
                    registers: &frame.registers,
                    cfa: frame.cfa,
                    pc: frame.pc,
                    lookup: frame.lookup,
                })
                .collect();
            let context = Context { symbols, memory, frames: &views, cpu };
            let at = symbols.frames_at(frame.lookup);
            let seen = Seen {
                registers: &frame.registers,
                signal: told,
                trap: trap.as_ref(),
                gs_base,
                at: &at,
                callers: &callers,
                source: source.as_deref(),
                stack,
                held: &|register, distance| held_in(&context, register, distance),
            };
            let explained = explain(symbols, memory, &seen);
            explained.map(|explained| Looked { trap, fate: fate.and_then(Result::ok), explained })
        };
        let looked = self.compute(work).await?;
        looked.map_err(|gap| Failure::Other(gap.to_string()))
    }

    fn word_exception(&self, view: &mut CrashView, looked: Looked) {
        let Looked { trap, fate, explained } = looked;
        let Explained {
            kind,
            reason,
            instruction,
            operand,
            address,
            address_is,
            expression,
            vector,
            error,
        } = explained;
        view.headline = kind.headline().into();
        view.reason = reason;
        view.instruction = instruction;
        view.operand = operand;
        view.address = address;
        view.address_is = address_is;
        view.expression = expression;
        view.vector = vector;
        view.error = error;
        view.error_code = trap.as_ref().map(|trap| Addr(trap.error_code));
        view.message = trap.map(|trap| trap.said);
        let dies = match (fate, view.pid) {
            _ if kind == Kind::StackOverflow => {
                Some("the kernel does not survive a full stack: it panics when it goes on")
            }
            (Some(Fate::InInterrupt), _) => {
                Some("it is in an interrupt: when the kernel deals with it, it panics")
            }
            (Some(Fate::PanicOnOops), _) => {
                Some("panic_on_oops is set: when the kernel deals with it, it panics")
            }
            (_, Some(0)) => Some("it is in an idle task: when the kernel deals with it, it panics"),
            (_, Some(1)) => Some("it is in init: when the kernel deals with it, it panics"),
            _ => None,
        };
        view.notes.extend(dies.map(str::to_owned));
    }

    async fn word_panic(
        &mut self,
        view: &mut CrashView,
        stack: &Stack,
        shown: &[ShownFrame],
        argument: Addr,
    ) -> Result<(), Failure> {
        let frame = shown.iter().find(|frame| is_panic(frame)).cloned();
        let physical = frame.as_ref().map_or(0, |frame| frame.physical);
        let depth = frame.as_ref().map_or(0, |frame| frame.depth);
        let panics = stack.frames.get(physical).map(|frame| frame.lookup);
        let message = self
            .compute(move |symbols, memory| {
                // `panic` puts its message into `static char buf[1024]`; where
                // that is not done yet, what told us has it.
                let locals = panics.map_or(Vec::new(), |pc| symbols.locals_at(pc, depth));
                let buffer = locals.iter().find(|local| local.name == "buf");
                let context = Context { symbols, memory, frames: &[], cpu: None };
                let at = match argument.0 {
                    0 => buffer.and_then(|buffer| context.of(buffer).ok()?.address()),
                    _ => Some(argument),
                };
                at.map(|at| memory.c_string(at, MESSAGE))
            })
            .await?;
        let message = message.and_then(Result::ok).map(|text| printable(text.trim()));
        let message = message.filter(|text| !text.is_empty());
        let by = view.function.as_ref().map(|name| match (&view.file, view.line) {
            (Some(file), Some(line)) => format!("{name} at {}:{line}", base_name(file)),
            _ => name.clone(),
        });
        let words = message.as_deref().unwrap_or("the message can't be read");
        view.headline = format!("panic: {words}");
        view.reason = match by {
            Some(by) => format!("panic in {by}: {words}"),
            None => view.headline.clone(),
        };
        view.message = message;
        if argument.0 == 0 && self.guest_symbols().symbol_addr("kgdb_panic").is_none() {
            view.notes.push(
                "this kernel calls the debugger after it has stopped the other CPUs: they do not \
                 answer; 'catch panic' stops before that"
                    .into(),
            );
        }
        Ok(())
    }

    /// The text of a frame's line on this machine.
    fn source_line(&self, frame: &ShownFrame) -> Option<String> {
        let (file, line): (&SourceFile, u32) = (frame.file.as_ref()?, frame.line?);
        let path = self.code.map(file).path?;
        let text = self.code.source_text(&path).ok()?;
        let text = text.line(line as usize)?.trim();
        (!text.is_empty()).then(|| printable(text))
    }

    async fn look_at_hung_task(&mut self, addr: Addr) -> Result<(), Failure> {
        let arch = self.arch();
        let found = self
            .compute(move |symbols, memory| {
                let task = Layouts::new(symbols).and_then(|layouts| layouts.read(memory, addr));
                let limit = symbols.symbol_addr("sysctl_hung_task_timeout_secs");
                let limit = limit.and_then(|at| memory.u64(at).ok());
                (task, limit, super::tasks::wait_of(symbols, memory, addr, arch))
            })
            .await?;
        let (Ok(task), limit, wait) = found else { return Ok(()) };
        let function = wait.map(|wait| wait.function);
        let waits = function.as_ref().map_or(String::new(), |name| format!(", waits in {name}"));
        let time = limit.map_or(String::new(), |limit| format!(" for more than {limit} s"));
        let view = CrashView {
            event: CrashEvent::Hung.word(),
            headline: format!("hung task: pid {} {}", task.pid, task.comm),
            reason: format!(
                "hung task: pid {} {} is blocked{time} ({}){waits}",
                task.pid,
                task.comm,
                task.state.word()
            ),
            pid: Some(i64::from(task.pid)),
            comm: Some(task.comm.clone()),
            function,
            ..CrashView::default()
        };
        let view = Arc::new(CrashView { ways: self.ways(&view, None), ..view });
        if let Some(stop) = &mut self.stop {
            if let StopReason::Crash { headline, .. } = &mut stop.reason {
                headline.clone_from(&view.headline);
            }
            stop.crash = Some(Arc::clone(&view));
        }
        if let Some(snapshot) = &mut self.snapshot {
            let caught = Caught { event: Some(CrashEvent::Hung), argument: addr };
            let (hung, answered, reporting) = (Some(task), false, 0);
            snapshot.crash = Some(Crash { view, kind: None, caught, reporting, answered, hung });
        }
        Ok(())
    }

    /// Shows the stack of the task that hangs, not of the one that reports it.
    pub(super) async fn show_hung_task(&mut self) -> Result<(), Failure> {
        let crash = self.snapshot.as_ref().and_then(|snapshot| snapshot.crash.as_ref());
        let Some(task) = crash.and_then(|crash| crash.hung.clone()) else { return Ok(()) };
        match self.chosen_task(&task).await {
            Ok(Some(chosen)) => self.choose(Some(chosen)).await.map(|_| ()),
            Ok(None) => Ok(()),
            Err(Failure::Other(why)) => {
                self.say(Level::Warning, format!("the task's stack can't be shown: {why}"));
                Ok(())
            }
            Err(why) => Err(why),
        }
    }

    /// Says what happened and what can be done.
    pub(super) fn tell_crash(&self, signal: u8) {
        match self.stop.as_ref().and_then(|stop| stop.crash.as_ref()) {
            Some(crash) => {
                self.say(Level::Warning, crash.reason.clone());
                for note in &crash.notes {
                    self.say(Level::Hint, note.clone());
                }
                for way in &crash.ways {
                    self.say(Level::Hint, format!("{}: {}", way.command, way.does));
                }
            }
            // With more symbols there is more to tell.
            None if signal != SIGTRAP && !self.symbols_loading() => self.say(
                Level::Warning,
                "the kernel ran into an exception; continue only runs into it again, 'pass' lets the kernel deal with it (an oops kills the task)".into(),
            ),
            None => {}
        }
    }

    /// `info crash`.
    pub(super) async fn crash_answer(&mut self) -> Result<Answer, Failure> {
        self.need_stopped()?;
        let crash = self.stop.as_ref().and_then(|stop| stop.crash.as_deref().cloned());
        match crash {
            Some(crash) => Ok(Answer::Crash { crash: Box::new(crash) }),
            None => Err(Failure::Other("no crash stopped the guest here".into())),
        }
    }
}

fn word_warning(view: &mut CrashView) {
    let place = match (&view.file, view.line) {
        (Some(file), Some(line)) => format!(" at {}:{line}", base_name(file)),
        _ => String::new(),
    };
    let function = view.function.as_deref().unwrap_or("unknown code");
    let source = view.source.as_ref().map_or(String::new(), |line| format!(": {line}"));
    view.headline = format!("WARN in {function}");
    view.reason = format!("WARN in {function}{place}{source}");
}

/// The function that is most often on a stack, when that is no chance.
fn repeated(shown: &[ShownFrame]) -> Option<String> {
    const OFTEN: usize = 4;
    let count = |name: &str| shown.iter().filter(|f| f.function.as_deref() == Some(name)).count();
    let names = shown.iter().filter_map(|frame| frame.function.as_ref());
    let most = names.max_by_key(|name| count(name))?;
    (count(most) >= OFTEN).then(|| most.clone())
}

fn is_panic(frame: &ShownFrame) -> bool {
    matches!(frame.function.as_deref(), Some("panic" | "vpanic"))
}

/// How many frames at the top only report; none when nothing else is known.
fn reporters(shown: &[ShownFrame]) -> usize {
    let reports = |frame: &&ShownFrame| {
        let entry = matches!(frame.kind, FrameKind::Exception | FrameKind::Nmi);
        entry || frame.function.as_deref().is_some_and(is_reporter)
    };
    let count = shown.iter().take_while(reports).count();
    if count < shown.len() { count } else { 0 }
}

/// Who called the physical frame, nearest first.
fn callers(shown: &[ShownFrame], physical: usize) -> Vec<String> {
    let outer = shown.iter().filter(|frame| frame.physical > physical);
    let named = outer.filter_map(|frame| {
        let name = frame.function.as_ref()?;
        let line = frame.file.as_ref().zip(frame.line);
        let place = line.map(|(file, line)| format!(" at {}:{line}", base_name(&file.name)));
        Some(format!("{name}{}", place.unwrap_or_default()))
    });
    named.take(CALLERS).collect()
}

fn trap_of(
    symbols: &Symbols,
    memory: &dyn Memory,
    cpu: u32,
    signal: u8,
) -> Result<Option<Trap>, KernelError> {
    let stop = cpus::stops(symbols, memory, &[cpu])?.into_iter().next();
    match stop.and_then(|stop| stop.registers) {
        Some(registers) => crash_trap::trap(symbols, memory, registers, signal),
        None => Ok(None),
    }
}

/// The ends of the stack of the task on a CPU.
fn stack_of(symbols: &Symbols, memory: &dyn Memory, cpu: u32) -> Result<(u64, u64), KernelError> {
    // THREAD_SIZE on x86_64 without KASAN.
    const USUAL: u64 = 16 * 1024;
    let stop = cpus::stops(symbols, memory, &[cpu])?.into_iter().next();
    let task = stop.and_then(|stop| stop.task);
    let task = task.ok_or_else(|| KernelError::Implausible("no task".into()))?;
    let stack = Layouts::new(symbols)?.read(memory, task)?.stack.0;
    let size = symbols.type_size("union thread_union").unwrap_or(USUAL);
    Ok((stack, stack.saturating_add(size)))
}
