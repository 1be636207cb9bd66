//! What the demo does first, and what it tells the user to press.

use kgdb_tui::ui::tour::{TourEvent, TourStep};

/// Commands that bring the guest into the demo module.
pub const COMMANDS: [&str; 3] = ["wait 120", "break HgfsSendRequest", "continue"];

/// The tour: one thing at a time, in the order one meets them.
pub fn steps() -> Vec<TourStep> {
    const STEPS: &[(&str, TourEvent)] = &[
        (
            "A real kernel boots, stops in kgdb and runs on to the demo module …",
            TourEvent::BreakpointHit,
        ),
        (
            "Stopped in HgfsSendRequest of module hgfs. Press n (or F10) to step over a line",
            TourEvent::Stepped,
        ),
        (
            "Press 5 for the variables, then Enter to look into req, Left to close it",
            TourEvent::ValueOpened,
        ),
        (
            "Press s (or F11) to step into a call; registers that changed are marked",
            TourEvent::Stepped,
        ),
        ("Press u to look at the caller, d to come back", TourEvent::FrameSelected),
        ("Press f to run until this function returns", TourEvent::Finished),
        (
            "Press 8 for every task of the guest, then Enter on one that sleeps: its stack is true",
            TourEvent::OtherStack,
        ),
        (
            "Move in the source with the arrows and press b to set a breakpoint at the cursor",
            TourEvent::BreakpointSet,
        ),
        ("Press c (or F5) to let the guest run to its next breakpoint", TourEvent::BreakpointHit),
        (
            "M shows the modules; type : for commands, such as :break vfs_read; ? lists the keys; q leaves",
            TourEvent::Key,
        ),
    ];
    STEPS.iter().map(|&(text, done_when)| TourStep { text: text.into(), done_when }).collect()
}
