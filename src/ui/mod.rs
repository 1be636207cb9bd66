//! The full-screen terminal.
//!
//! Three parts: [`app::App`] is all state as plain data, [`update::update`] is
//! its only writer (a message in, effects out), [`view::draw`] shows it and
//! changes nothing. [`mod@run`] ties them to a terminal and a session. A pane is
//! one file: state, keys, drawing; no pane knows another.
//!
//! The screen knows the session's requests, answers and views, and the command
//! table; nothing of the layers below. It never waits for the session: every
//! question is asked and the loop goes on.

mod act;
pub mod app;
mod arranging;
mod breaking_in;
mod copying;
pub mod edit;
pub mod editor;
mod filter;
pub mod layout;
pub mod layout_presets;
pub mod layout_tree;
pub mod list;
pub mod lookup;
pub mod message;
mod mouse;
pub mod palette;
pub mod panes;
pub mod pen;
pub mod popups;
pub mod remember;
pub mod run;
mod script;
mod settings;
mod status;
pub mod term;
mod title;
pub mod tour;
mod typing;
pub mod update;
pub mod view;
mod waiting;
pub mod welcome;
mod words;

use crate::command::script::Step;
use crate::config::files::Loaded;
use crate::config::theme::{Terminal, Theme};
use crate::session::kept::Kept;
use crate::session::request::{Handle, Update};
use crate::session::view::CodeBook;
use std::{io, sync::Arc, time::Instant};
use thiserror::Error;
use tokio::sync::mpsc::UnboundedReceiver;

/// Why the screen could not go on.
#[derive(Debug, Error)]
pub enum UiError {
    /// The terminal can't be used.
    #[error("use the terminal: {0}; run it in a terminal, or use --batch")]
    Terminal(#[source] io::Error),
    /// Signal handlers could not be set.
    #[error("listen to signals: {0}")]
    Signals(#[source] io::Error),
}

/// What a run of the screen is given beside the session.
#[derive(Clone, Debug, Default)]
pub struct Options {
    /// What the terminal tells of itself.
    pub terminal: Terminal,
    /// What the files of settings say.
    pub loaded: Loaded,
    /// What tells a newcomer what to press; none when empty.
    pub tour: Vec<tour::TourStep>,
    /// Whether it is the user's first start: then the screen says where things
    /// are, unless there is a tour.
    pub first: bool,
    /// Whether the mouse may be used.
    pub mouse: bool,
    /// Where it is written down what the screen remembers; nowhere when `None`.
    pub kept: Option<Kept>,
    /// What is done first.
    pub commands: Vec<Step>,
}

/// Shows the session on the terminal until the user leaves. Must run in a
/// tokio runtime with time and I/O; the session runs elsewhere.
pub async fn run(
    handle: Handle,
    updates: UnboundedReceiver<Update>,
    settings: UnboundedReceiver<Loaded>,
    book: Arc<dyn CodeBook>,
    options: Options,
) -> Result<message::Exit, UiError> {
    let theme = Theme::of(&options.terminal);
    let mut app = app::App::new(book, theme, Instant::now());
    app.terminal = options.terminal;
    let mouse = options.loaded.settings.mouse != Some(false);
    settings::start(&mut app, options.loaded);
    app.tour = tour::Tour::new(options.tour);
    if options.first && app.tour.is_none() {
        app.tour = tour::Tour::new(welcome::steps(&app));
    }
    app.script = options.commands.into();
    app.kept = options.kept;
    remember::restore(&mut app);
    let mut screen = term::Term::enter(options.mouse, mouse).map_err(UiError::Terminal)?;
    run::run(app, handle, updates, settings, &mut screen, run::terminal_events).await
}

#[cfg(test)]
mod tests;
