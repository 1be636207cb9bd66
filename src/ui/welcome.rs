//! What somebody who starts the program for the first time is told: where the
//! keys are listed, and how everything else is found. Three lines, each gone
//! when what it says was tried; Esc takes them away, and they never come back.

use super::app::App;
use super::popups::Popup;
use super::tour::{TourEvent, TourStep};
use crate::config::actions::Action;

/// The lines, with the keys in force.
pub fn steps(app: &App) -> Vec<TourStep> {
    let keys = |action| app.keys(action, 2).replace('/', " or ");
    let step = |text: String, done_when| TourStep { text, done_when };
    vec![
        step(
            format!(
                "Welcome. The last row has the keys that matter now; {} lists all keys of a pane",
                keys(Action::Help)
            ),
            TourEvent::HelpOpened,
        ),
        step(
            format!(
                "{} finds anything by a few letters: functions, types, variables, tasks, commands",
                keys(Action::Palette)
            ),
            TourEvent::PaletteOpened,
        ),
        step(
            format!(
                "{} and the digits go from pane to pane; {} takes gdb's commands; {} leaves, and \
                 asks what becomes of the guest",
                keys(Action::NextPane),
                keys(Action::CommandLine),
                keys(Action::Leave)
            ),
            TourEvent::Key,
        ),
    ]
}

/// What is open that a line asked for.
pub fn events(app: &App) -> &'static [TourEvent] {
    match app.popup {
        Popup::Help(_) => &[TourEvent::HelpOpened],
        Popup::Palette(_) => &[TourEvent::PaletteOpened],
        _ => &[],
    }
}
