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
pub mod edit;
pub mod layout;
pub mod list;
pub mod message;
pub mod panes;
pub mod pen;
pub mod popups;
pub mod run;
mod script;
mod status;
pub mod term;
pub mod tour;
pub mod update;
pub mod view;
mod waiting;

use crate::command::script::Step;
use crate::config::theme::Theme;
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
    /// The colours.
    pub theme: Theme,
    /// What tells a newcomer what to press; none when empty.
    pub tour: Vec<tour::TourStep>,
    /// What is done first.
    pub commands: Vec<Step>,
}

/// Shows the session on the terminal until the user leaves. Must run in a
/// tokio runtime with time and I/O; the session runs elsewhere.
pub async fn run(
    handle: Handle,
    updates: UnboundedReceiver<Update>,
    book: Arc<dyn CodeBook>,
    options: Options,
) -> Result<message::Exit, UiError> {
    let mut app = app::App::new(book, options.theme, Instant::now());
    app.tour = tour::Tour::new(options.tour);
    app.script = options.commands.into();
    let mut screen = term::Term::enter().map_err(UiError::Terminal)?;
    run::run(app, handle, updates, &mut screen, run::terminal_events).await
}

#[cfg(test)]
mod tests;
