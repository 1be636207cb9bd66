//! A line that tells a newcomer what to press next, for the demo. It moves on
//! when the thing has happened, however it was brought about.

use crate::session::view::{State, StopReason, View};
use crate::ui::pen::wrap;

/// What ends a step of the tour.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TourEvent {
    /// The guest stopped.
    Stopped,
    /// A step ended (`next`, `step`, `stepi`).
    Stepped,
    /// A frame returned.
    Finished,
    /// There is one more breakpoint.
    BreakpointSet,
    /// A breakpoint was hit.
    BreakpointHit,
    /// The guest runs.
    Running,
    /// Another frame than the innermost is selected.
    FrameSelected,
    /// A value was opened.
    ValueOpened,
    /// The stack of another task or CPU is shown.
    OtherStack,
    /// The key sheet is open.
    HelpOpened,
    /// The palette is open.
    PaletteOpened,
    /// Any key was pressed.
    Key,
}

/// One step of the tour.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TourStep {
    /// What to do, in a sentence.
    pub text: String,
    /// What shows that it is done.
    pub done_when: TourEvent,
}

/// The tour under way.
#[derive(Clone, Debug)]
pub struct Tour {
    steps: Vec<TourStep>,
    at: usize,
}

impl Tour {
    /// A tour from its first step; `None` without steps.
    pub fn new(steps: Vec<TourStep>) -> Option<Tour> {
        (!steps.is_empty()).then_some(Tour { steps, at: 0 })
    }

    /// What to show: `2/7 press n …`.
    pub fn text(&self) -> String {
        let text = self.steps.get(self.at).map_or("", |step| &step.text);
        format!("{}/{} {text}", self.at + 1, self.steps.len())
    }

    /// How many rows it takes, one or two.
    pub fn rows(&self, width: u16) -> u16 {
        let width = usize::from(width.saturating_sub(12)).max(1);
        wrap(&self.text(), width).len().clamp(1, 2) as u16
    }

    /// Moves on when `events` end the step at hand; `false` when that was the
    /// last.
    pub fn on(&mut self, events: &[TourEvent]) -> bool {
        if self.steps.get(self.at).is_some_and(|step| events.contains(&step.done_when)) {
            self.at += 1;
        }
        self.at < self.steps.len()
    }
}

/// What happened between two views.
pub fn events(before: Option<&View>, now: &View) -> Vec<TourEvent> {
    let mut events = Vec::new();
    let generation = |view: &View| view.stop.as_ref().map(|stop| stop.generation);
    let was = before.and_then(generation);
    if let Some(stop) = &now.stop
        && now.state.is_stopped()
    {
        let new_stop = was != Some(stop.generation);
        if new_stop {
            events.push(TourEvent::Stopped);
            match stop.reason {
                StopReason::Step => events.push(TourEvent::Stepped),
                StopReason::Finished => events.push(TourEvent::Finished),
                StopReason::Breakpoint(_) => events.push(TourEvent::BreakpointHit),
                _ => {}
            }
        }
        let selected = before.and_then(|view| view.stop.as_ref()).map_or(0, |stop| stop.selected);
        if !new_stop && stop.selected != selected && stop.selected != 0 {
            events.push(TourEvent::FrameSelected);
        }
        if !new_stop && stop.supplied.variables.iter().flatten().any(|row| row.open) {
            events.push(TourEvent::ValueOpened);
        }
        if stop.subject.as_ref().is_some_and(|subject| !subject.stopped_here) {
            events.push(TourEvent::OtherStack);
        }
    }
    let ran = before.is_some_and(|view| matches!(view.state, State::Running { .. }));
    if matches!(now.state, State::Running { .. }) && !ran {
        events.push(TourEvent::Running);
    }
    if before.is_some_and(|view| view.breakpoints.len() < now.breakpoints.len()) {
        events.push(TourEvent::BreakpointSet);
    }
    events
}
