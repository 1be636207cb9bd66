//! What a stop shows, computed piece by piece between the user's requests: the
//! stack, the variables, the code. Each round sends the packets of one piece's
//! misses, so that a request never waits for more than that, and a resume
//! throws the rest away.

use super::{
    answer::Failure,
    entered::{frames_end, kind_word},
    run::Session,
    tree::Shown,
    view::{FrameView, FramesEnd, StopReason, VariableView},
    wanted::Due,
    wants::{Piece, Wants},
};
use crate::arch::{Registers, insn};
use crate::base::{
    addr::Addr,
    memory::{Gap, Memory, Span, Sparse},
};
use crate::eval::{
    location::{self, Context},
    value::Value,
    variables::{self, Detail, Variable},
};
use crate::symbols::{answer::SourceFile, placed::Symbols};
use crate::unwind::{
    End, Frame, Stack,
    shown::{self, ShownFrame},
    walk,
};

/// Frames that are read without being asked for.
const SHOWN_FRAMES: usize = 64;

/// Bytes of code that are read around the pc.
const CODE_BYTES: u64 = 96;

/// Callers that are given to the values of a frame: an argument may be known
/// only to the caller that passed it, which may have it from its own.
const CALLERS: usize = 4;

/// Values in a pane or a frame's line.
const LINE: Detail = Detail::Brief(100);

/// What is still to be computed for this stop.
#[derive(Debug, Default)]
pub struct Panes {
    /// The stack as far as it is known.
    pub stack: Option<Stack>,
    /// What the panes beside the stack have on screen.
    pub wants: Wants,
    /// What is still to be read.
    pub(super) due: Due,
    /// What the trees showed at this stop and at the one before.
    pub(super) shown: Shown,
}

impl Panes {
    /// Nothing is known, nothing is to be read.
    pub fn clear(&mut self) {
        let (wants, shown) = (std::mem::take(&mut self.wants), std::mem::take(&mut self.shown));
        *self = Panes { wants, shown, ..Panes::default() };
    }

    /// A new stop, whose first frame is known; everything that is on screen is
    /// wanted when `eager`.
    pub fn restart(&mut self, eager: bool) {
        let wants = std::mem::take(&mut self.wants);
        let due = Due::all(&wants, eager);
        let stack = self.stack.take();
        let shown = std::mem::take(&mut self.shown).next_stop();
        *self = Panes { stack, wants, due, shown };
    }

    /// Another frame was selected.
    pub fn reselect(&mut self, eager: bool) {
        self.due.add(Due::of_frame(&self.wants, eager));
    }

    /// Another stack is shown.
    pub fn resubject(&mut self, eager: bool) {
        self.due.set(Piece::Frames, eager);
        self.reselect(eager);
    }

    /// Whether something is still to be computed.
    pub fn has_work(&self) -> bool {
        self.queue() > 0
    }

    /// How many pieces are.
    pub fn queue(&self) -> usize {
        self.due.count()
    }
}

impl Session {
    /// The frames, as far as they are known; whether there are more.
    pub(super) async fn frames_round(&mut self) -> Result<bool, Failure> {
        self.know_registers().await?;
        let (registers, owner) = (self.subject_registers()?, self.subject_owner());
        let (stack, missed) = self
            .compute_once(move |symbols, memory| {
                walk::unwind(symbols, memory, &registers, owner, SHOWN_FRAMES)
            })
            .await?;
        self.take_stack(stack, missed);
        Ok(missed)
    }

    /// The stack with at least `physical` frames, or all there are.
    pub(super) async fn whole_stack(&mut self, physical: usize) -> Result<Stack, Failure> {
        self.know_registers().await?;
        let known = self.panes.stack.as_ref().filter(|stack| {
            stack.frames.len() >= physical || !matches!(stack.end, End::Limit | End::Missing(_))
        });
        if let Some(stack) = known {
            return Ok(stack.clone());
        }
        let (registers, owner) = (self.subject_registers()?, self.subject_owner());
        let limit = physical.min(1000);
        let stack = self
            .compute(move |symbols, memory| walk::unwind(symbols, memory, &registers, owner, limit))
            .await?;
        self.take_stack(stack.clone(), false);
        Ok(stack)
    }

    pub(super) fn take_stack(&mut self, stack: Stack, more: bool) {
        let frames = self.frame_views(&stack);
        self.panes.stack = Some(stack);
        let end = match (&self.panes.stack, more) {
            (_, true) | (None, _) => FramesEnd::Reading,
            (Some(stack), false) => frames_end(stack),
        };
        if let Some(stop) = &mut self.stop {
            // Arguments that were read stay.
            let old = std::mem::take(&mut stop.frames);
            stop.frames = frames;
            for (new, old) in stop.frames.iter_mut().zip(old) {
                if new.pc == old.pc && new.function == old.function {
                    new.args = old.args;
                }
            }
            stop.frames_end = end;
        }
        self.touch();
    }

    /// The innermost frame, from registers alone.
    pub(super) fn first_frame(&mut self) {
        let Ok(registers) = self.subject_registers() else { return };
        let stack = match self.snapshot.as_ref().is_some_and(|stop| stop.has_registers) {
            true => walk::unwind(&self.guest_symbols(), &Sparse::new(), &registers, None, 1),
            // Its pc is known, and that it stands there.
            false => walk::standing(&registers),
        };
        self.take_stack(stack, true);
    }

    pub(super) fn frame_views(&self, stack: &Stack) -> Vec<FrameView> {
        self.shown_frames(stack)
            .into_iter()
            .map(|frame| {
                let mapped =
                    frame.file.as_ref().map(|file| self.code.map(file)).unwrap_or_default();
                FrameView {
                    level: frame.level,
                    pc: frame.pc,
                    function: frame.function,
                    offset: frame.offset,
                    file: frame.file.map(|file| file.name),
                    path: mapped.path,
                    line: frame.line,
                    inlined: frame.inlined,
                    module: frame.module,
                    kind: kind_word(frame.kind),
                    saved: frame.saved.map(|saved| self.saved_view(saved)),
                    args: None,
                    source_note: mapped.note,
                    source_guessed: mapped.guessed,
                }
            })
            .collect()
    }

    /// The frames as they are shown: without inlined functions at whose first
    /// instruction a step stands, because it is not in them yet.
    fn shown_frames(&self, stack: &Stack) -> Vec<ShownFrame> {
        let mut shown = shown::expand(&self.guest_symbols(), stack);
        let hidden = if self.shows_the_stopped() { self.hidden + self.reporting() } else { 0 };
        shown.drain(..hidden.min(shown.len().saturating_sub(1)));
        for (level, frame) in shown.iter_mut().enumerate() {
            frame.level = level;
        }
        shown
    }

    /// Shows the same stop again, with another number of hidden frames.
    pub(super) fn show_again(&mut self, reason: StopReason) {
        match self.panes.stack.take() {
            Some(stack) => {
                let end = self.stop.as_ref().map(|stop| &stop.frames_end);
                let more = matches!(end, Some(FramesEnd::Reading));
                self.take_stack(stack, more);
            }
            None => self.first_frame(),
        }
        if let Some(stop) = &mut self.stop {
            stop.reason = reason;
            stop.selected = 0;
            stop.variables = None;
            stop.supplied.variables = None;
        }
        self.panes.reselect(self.options.eager);
        self.stays_put = true;
    }

    /// The values of the selected frame, as far as they are known; whether there
    /// are more.
    pub(super) async fn variables_round(&mut self) -> Result<bool, Failure> {
        let Some(work) = self.variables_work(LINE) else { return Ok(false) };
        let (variables, missed) = self.compute_once(work).await?;
        let selected = self.stop.as_ref().map_or(0, |stop| stop.selected);
        if !missed {
            self.take_arguments(selected, &variables);
        }
        if let Some(stop) = &mut self.stop {
            stop.variables = Some(variables);
        }
        Ok(missed)
    }

    fn take_arguments(&mut self, level: usize, variables: &[VariableView]) {
        let args: Vec<_> = variables.iter().filter(|v| v.argument).cloned().collect();
        if let Some(frame) = self.stop.as_mut().and_then(|stop| stop.frames.get_mut(level)) {
            frame.args = Some(args);
        }
    }

    /// Arguments and locals of the selected frame, once they are all read.
    pub(super) async fn all_variables(
        &mut self,
        detail: Detail,
    ) -> Result<Vec<VariableView>, Failure> {
        self.need_stopped()?;
        let level = self.stop.as_ref().map_or(0, |stop| stop.selected);
        // One caller more: an argument may be known only to it.
        self.whole_stack(self.selected_physical() + 2).await?;
        let Some(work) = self.variables_work(detail) else { return Ok(Vec::new()) };
        let variables = self.compute(work).await?;
        if detail == LINE {
            self.take_arguments(level, &variables);
        }
        Ok(variables)
    }

    /// Arguments of every frame, once they are all read.
    pub(super) async fn all_arguments(&mut self) -> Result<(), Failure> {
        let levels = self.stop.as_ref().map_or(0, |stop| stop.frames.len());
        for level in 0..levels {
            if self.stop.as_ref().is_some_and(|stop| stop.frames[level].args.is_some()) {
                continue;
            }
            let Some(state) = self.frame_state(level) else { continue };
            let variables = self
                .compute(move |symbols, memory| {
                    let context =
                        Context { symbols, memory, frames: &state.frames(), cpu: state.cpu };
                    let found = variables::arguments(&context, state.depth, LINE);
                    found.into_iter().map(|v| view_of(v, true)).collect::<Vec<_>>()
                })
                .await?;
            self.take_arguments(level, &variables);
        }
        Ok(())
    }

    fn variables_work(
        &self,
        detail: Detail,
    ) -> Option<impl Fn(&Symbols, &dyn Memory) -> Vec<VariableView> + use<>> {
        let state = self.frame_state(self.stop.as_ref()?.selected)?;
        Some(move |symbols: &Symbols, memory: &dyn Memory| {
            let context = Context { symbols, memory, frames: &state.frames(), cpu: state.cpu };
            let args = variables::arguments(&context, state.depth, detail);
            let locals = variables::locals(&context, state.depth, detail);
            let args = args.into_iter().map(|v| view_of(v, true));
            args.chain(locals.into_iter().map(|v| view_of(v, false))).collect()
        })
    }

    /// What variables of a shown frame need.
    pub(super) fn frame_state(&self, level: usize) -> Option<FrameState> {
        let stack = self.panes.stack.as_ref()?;
        let shown = self.shown_frames(stack);
        let shown = shown.get(level)?;
        let frames = stack.frames.get(shown.physical..)?;
        let frames = frames.iter().take(CALLERS + 1).cloned().collect();
        Some(FrameState { frames, depth: shown.depth, cpu: self.subject_cpu() })
    }

    /// The source line of a shown frame.
    pub(super) fn line_of_frame(&self, level: usize) -> Option<(SourceFile, u32)> {
        let shown = self.shown_frames(self.panes.stack.as_ref()?);
        let frame = shown.into_iter().nth(level)?;
        Some((frame.file?, frame.line?))
    }

    /// The instructions at the pc, where there is no source.
    pub(super) async fn code_round(&mut self) -> Result<(), Failure> {
        let Some(frame) = self.selected_frame() else { return Ok(()) };
        // Source is what people read; code only where there is none.
        if frame.path.is_some() {
            return Ok(());
        }
        self.read_code().await
    }

    /// Reads the instructions around the selected frame's pc.
    pub(super) async fn read_code(&mut self) -> Result<(), Failure> {
        let Some(frame) = self.selected_frame() else { return Ok(()) };
        let pc = frame.pc;
        let symbols = self.guest_symbols();
        // Decoding must begin at an instruction, so the function's start is
        // used when it is near.
        let start = symbols
            .symbol_at(pc)
            .map(|symbol| symbol.start)
            .filter(|start| pc.since(*start) < CODE_BYTES / 2)
            .or_else(|| {
                symbols.row_at(pc).map(|row| row.start).filter(|s| pc.since(*s) < CODE_BYTES / 2)
            })
            .unwrap_or(pc);
        let insns = self.instructions(start, CODE_BYTES, 40).await?;
        let names = insns.iter().map(|insn| symbols.describe(insn.addr)).collect();
        if let Some(stop) = &mut self.stop {
            stop.code = insns;
            stop.code_symbols = names;
        }
        self.touch();
        Ok(())
    }

    /// Live instructions from `start`: at most `len` bytes and `count` of them.
    pub(super) async fn instructions(
        &mut self,
        start: Addr,
        len: u64,
        count: usize,
    ) -> Result<Vec<insn::Insn>, Failure> {
        let read = self
            .compute(move |_, memory| {
                let mut bytes = Vec::new();
                // By pieces, so that an unmapped page ends the listing
                // instead of failing it.
                let mut at = start;
                while (bytes.len() as u64) < len {
                    let piece = (len - bytes.len() as u64).min(0x1000 - at.0 % 0x1000);
                    match memory.bytes(at, piece as usize) {
                        Ok(more) => bytes.extend(more),
                        Err(Gap::Fault(_) | Gap::Unrecorded(_)) => break,
                        Err(Gap::Missing(_)) => {
                            bytes.extend(std::iter::repeat_n(0, piece as usize));
                        }
                    }
                    at = at.offset(piece);
                }
                bytes
            })
            .await?;
        if read.is_empty() {
            let span = Span::new(start, len);
            let gap = if self.replay.is_some() { Gap::Unrecorded(span) } else { Gap::Fault(span) };
            return Err(Failure::Other(gap.to_string()));
        }
        let symbols = self.guest_symbols();
        let name = |addr| symbols.describe_reference(addr);
        Ok(insn::decode(start, &read, count, self.settings.flavor, &name))
    }

    /// The selected frame.
    pub(super) fn selected_frame(&self) -> Option<&FrameView> {
        self.stop.as_ref().and_then(|stop| stop.frames.get(stop.selected))
    }

    /// Registers of the selected frame.
    pub(super) fn selected_registers(&self) -> Option<Registers> {
        self.snapshot.as_ref()?;
        self.stop.as_ref().map(|stop| stop.frame_registers.clone())
    }

    /// The physical frame the selected one belongs to.
    pub(super) fn selected_physical(&self) -> usize {
        let Some((stack, stop)) = self.panes.stack.as_ref().zip(self.stop.as_ref()) else {
            return 0;
        };
        let shown = self.shown_frames(stack);
        shown.get(stop.selected).map_or(0, |frame| frame.physical)
    }

    /// How many frames the selected one is out of the innermost at its pc, when
    /// it is an inlined function.
    pub(super) fn selected_inlined(&self) -> Option<usize> {
        let (stack, stop) = self.panes.stack.as_ref().zip(self.stop.as_ref())?;
        let shown = self.shown_frames(stack);
        shown.get(stop.selected).filter(|frame| frame.inlined).map(|frame| frame.depth)
    }

    /// Selects a frame.
    pub(super) async fn select(&mut self, level: usize) -> Result<FrameView, Failure> {
        self.need_stopped()?;
        self.whole_stack(level + 1).await?;
        let count = self.stop.as_ref().map_or(0, |stop| stop.frames.len());
        if level >= count {
            return Err(Failure::Other(format!(
                "no frame {level}; the last is {}",
                count.max(1) - 1
            )));
        }
        let shown = self.panes.stack.as_ref().map(|stack| self.shown_frames(stack));
        let physical = shown.and_then(|shown| Some(shown.get(level)?.physical));
        let registers = match physical {
            Some(physical) => self.frame_registers(physical).await,
            None => None,
        };
        if let Some(stop) = &mut self.stop {
            stop.selected = level;
            stop.variables = None;
            stop.supplied.variables = None;
            stop.code.clear();
            stop.code_symbols.clear();
            if let Some(registers) = registers {
                stop.frame_registers = registers;
            }
        }
        self.panes.reselect(self.options.eager);
        self.touch();
        let args = self.all_variables(LINE).await?;
        let frame = self.selected_frame().cloned().ok_or(Failure::Running)?;
        let args = args.into_iter().filter(|v| v.argument).collect();
        Ok(FrameView { args: Some(args), ..frame })
    }
}

/// A shown frame and its callers, as its variables need them.
pub(super) struct FrameState {
    /// The physical frame, then its callers as far as they are read.
    pub frames: Vec<Frame>,
    /// Its place among the functions inlined at its pc.
    pub depth: usize,
    /// Its CPU.
    pub cpu: Option<u32>,
}

impl FrameState {
    pub fn frames(&self) -> Vec<location::Frame<'_>> {
        let frames = self.frames.iter().map(|frame| location::Frame {
            registers: &frame.registers,
            cfa: frame.cfa,
            pc: frame.pc,
            lookup: frame.lookup,
        });
        frames.collect()
    }
}

fn view_of(variable: Variable, argument: bool) -> VariableView {
    let mut view = VariableView {
        name: variable.definition.name,
        type_name: variable.type_name,
        value: None,
        optimized_out: false,
        unavailable: None,
        note: variable.note,
        argument,
    };
    match variable.value {
        Value::Known(text) => view.value = Some(text),
        Value::OptimizedOut => view.optimized_out = true,
        Value::Unavailable(why) => view.unavailable = Some(why.to_string()),
        Value::Missing(gap) => view.unavailable = Some(gap.to_string()),
    }
    view
}
