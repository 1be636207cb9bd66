//! The texts that the rows of a pane must have, for the panes that are long
//! lists.

use super::app::App;
use super::layout::PaneId;

/// What is asked for the text of a pane; `None` for panes without one.
pub fn label(pane: PaneId) -> Option<&'static str> {
    Some(match pane {
        PaneId::Tasks => "tasks with: ",
        PaneId::Modules => "modules with: ",
        PaneId::Dmesg => "lines with: ",
        PaneId::Packets => "packets with: ",
        PaneId::Log => "messages with: ",
        PaneId::Console => "lines with: ",
        _ => return None,
    })
}

/// The text of a pane; empty when all its rows are shown.
pub fn of(app: &App, pane: PaneId) -> &str {
    match pane {
        PaneId::Tasks => &app.tasks.filter,
        PaneId::Modules => &app.modules.filter,
        PaneId::Dmesg => &app.dmesg.filter,
        PaneId::Packets => &app.packets.filter,
        PaneId::Log => &app.log.filter,
        PaneId::Console => &app.console.filter,
        _ => "",
    }
}

/// Shows only rows with this text.
pub fn set(app: &mut App, pane: PaneId, text: &str) {
    let text = text.trim();
    match pane {
        PaneId::Tasks => app.tasks.filter = text.to_string(),
        PaneId::Modules => {
            let view = app.view.clone();
            app.modules.filter(text.to_string(), view.as_deref());
        }
        PaneId::Dmesg => app.dmesg.filter(text),
        PaneId::Packets => app.packets.filter(text),
        PaneId::Log => app.log.filter(text),
        PaneId::Console => app.console.filter(text),
        _ => {}
    }
}
