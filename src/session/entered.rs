//! How the unwinder's words reach people: the kinds of frames, the ends of
//! stacks, and what entry code saved of the code it was entered from.

use super::{
    run::Session,
    view::{FramesEnd, SavedView},
};
use crate::arch::Registers;
use crate::base::{addr::Addr, memory::Memory};
use crate::symbols::placed::Symbols;
use crate::unwind::{End, FrameKind, Saved, Stack, entry};

impl Session {
    /// What entry code saved; what was read for other reasons costs nothing.
    pub(super) fn saved_view(&self, saved: Saved) -> SavedView {
        let known = match (&saved.registers, &self.snapshot) {
            (None, Some(stop)) => {
                let arch = stop.registers.arch;
                entry::saved(&self.guest_symbols(), &stop.memory, saved.at, arch).ok()
            }
            _ => None,
        };
        let saved = known.unwrap_or(saved);
        let values = saved.registers.as_ref().map(|registers| {
            let known = registers.iter().filter_map(|(def, value)| Some((def.name, Addr(value?))));
            known.collect()
        });
        let orig_ax = saved.orig_ax.map(|number| number as i64);
        SavedView { at: saved.at, registers: values, orig_ax }
    }

    /// The registers that a physical frame is about: for entry code those it
    /// saved, once they are read.
    pub(super) async fn frame_registers(&mut self, physical: usize) -> Option<Registers> {
        let frame = self.panes.stack.as_ref()?.frames.get(physical)?;
        let (own, saved) = (frame.registers.clone(), frame.saved.clone());
        let Some(saved) = saved else { return Some(own) };
        if let Some(registers) = saved.registers {
            return Some(registers);
        }
        let (at, arch) = (saved.at, own.arch);
        let work =
            move |symbols: &Symbols, memory: &dyn Memory| entry::saved(symbols, memory, at, arch);
        let read = self.compute(work).await.ok().and_then(Result::ok)?;
        if let Some(frame) = self.panes.stack.as_mut().and_then(|s| s.frames.get_mut(physical)) {
            frame.saved = Some(read.clone());
        }
        if let Some(stack) = self.panes.stack.clone() {
            let more = matches!(stack.end, End::Missing(_));
            self.take_stack(stack, more);
        }
        read.registers.or(Some(own))
    }
}

/// The word of the JSON contract.
pub(super) fn kind_word(kind: FrameKind) -> &'static str {
    match kind {
        FrameKind::Normal => "normal",
        FrameKind::Interrupt => "interrupt",
        FrameKind::Exception => "exception",
        FrameKind::Nmi => "nmi",
        FrameKind::Syscall => "syscall",
        FrameKind::User => "user",
        FrameKind::Guess => "guess",
    }
}

pub(super) fn frames_end(stack: &Stack) -> FramesEnd {
    match &stack.end {
        complete @ End::Complete(_) if stack.is_whole() => {
            FramesEnd::Complete(complete.to_string())
        }
        // What comes after a guess is only as good as the guess.
        complete @ End::Complete(_) => {
            FramesEnd::Broken(format!("{complete}, if the guessed frames are right"))
        }
        End::Missing(_) => FramesEnd::Reading,
        other => FramesEnd::Broken(other.to_string()),
    }
}
