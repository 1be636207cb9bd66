//! What the screen does while a break-in is under way: the one question it may
//! have, and how it is given up.

use super::app::App;
use super::popups::{Popup, confirm::Confirm};
use crate::base::text::printable;
use crate::session::request::{Level, Request};
use crate::session::view::{State, View};

/// The session's news came: asks what it asks, once, and no longer than it
/// matters.
pub fn view_came(app: &mut App, before: Option<&View>, now: &View) {
    let asked = before.and_then(|view| question(&view.state));
    let asks = question(&now.state);
    let open = matches!(&app.popup, Popup::Confirm(it) if it.request == Request::BreakInByShell);
    match asks {
        Some(effect) if asked.is_none() => {
            let (effect, line) = (printable(effect), "interrupt shell".to_string());
            match app.popup {
                Popup::None => {
                    let request = Request::BreakInByShell;
                    app.popup = Popup::Confirm(Confirm { effect, line, before: None, request });
                }
                _ => app.say(Level::Info, &format!(":{line} would {effect}")),
            }
        }
        None if open => app.popup = Popup::None,
        _ => {}
    }
}

/// Asks once more, at a key that means to stop the guest.
pub fn ask_again(app: &mut App) -> bool {
    let asks = question(app.state()).map(printable);
    let (Some(effect), Popup::None) = (asks, &app.popup) else { return false };
    let (request, line) = (Request::BreakInByShell, "interrupt shell".to_string());
    app.popup = Popup::Confirm(Confirm { effect, line, before: None, request });
    true
}

fn question(state: &State) -> Option<&str> {
    match state {
        State::BreakingIn { asks, .. } => asks.as_deref(),
        _ => None,
    }
}

/// Whether Esc gives a break-in up now; what it closes otherwise comes first.
pub fn may_give_up(app: &App) -> bool {
    let closes = app.source.search.is_some() || app.zoom;
    matches!(app.state(), State::BreakingIn { .. }) && !closes
}
