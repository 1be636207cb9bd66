//! The only writer of the screen's state: a message in, effects out. Keys of
//! an open popup come here; keys of the panes go to `act`.

use super::act;
use super::app::App;
use super::message::{Effect, Exit, Message, Purpose};
use super::panes::log::Kind;
use super::popups::{
    Popup, command::Typed, confirm::Confirm, leave, output::Output, prompt, prompt::Question,
};
use super::script;
use super::tour::{self, TourEvent};
use crate::base::text::printable;
use crate::command::{FaceCommand, Parsed, parse::parse, render};
use crate::config::keys::{Action, Key, Scope};
use crate::session::answer::{Answer, Failure};
use crate::session::request::{Disassembly, Leave, Level, Request, Update};
use crate::session::view::{StopReason, View};
use crossterm::event::KeyCode;
use ratatui::layout::Rect;
use std::{sync::Arc, time::Instant};
use unicode_width::UnicodeWidthStr;

/// Takes in one message at a time `now`.
pub fn update(app: &mut App, message: Message, now: Instant) -> Vec<Effect> {
    app.now = now;
    let mut effects = match message {
        Message::Key(key) => key_pressed(app, key),
        Message::Paste(text) => {
            match &mut app.popup {
                Popup::Command(command) => command.line.insert(text.trim_end()),
                Popup::Prompt(prompt) => prompt.line.insert(text.trim_end()),
                _ => {}
            }
            Vec::new()
        }
        Message::Resize(columns, rows) => {
            app.size = (columns, rows);
            Vec::new()
        }
        Message::Update(news) => news_came(app, news),
        Message::Answer(purpose, answer) => answered(app, purpose, answer),
        Message::Script(steps) => script::take(app, steps),
        Message::Tick => Vec::new(),
        Message::Terminate => terminate(app),
        Message::Resumed => vec![Effect::Redraw],
    };
    app.settle();
    effects.extend(wanted_code(app));
    effects.extend(wanted_rows(app));
    effects
}

/// Tells the session what is on screen, when that changed.
fn wanted_rows(app: &mut App) -> Option<Effect> {
    let wants = app.wants();
    if wants == app.wanted {
        return None;
    }
    app.wanted = wants.clone();
    Some(Effect::Ask(Request::Want(wants), Purpose::Key))
}

/// Asks for instructions where they are shown and not there.
fn wanted_code(app: &mut App) -> Option<Effect> {
    let view = app.view.clone()?;
    let of = app.source.wants_code(&view)?;
    Some(Effect::Ask(Request::Disassemble(Disassembly::default()), Purpose::Code(of)))
}

fn news_came(app: &mut App, news: Update) -> Vec<Effect> {
    match news {
        Update::View(view) => view_came(app, view),
        Update::Console(bytes) => app.console.push(&bytes),
        Update::Message(level, text) => app.say(level, &printable(&text)),
        Update::Ended(why) => return vec![Effect::Exit(ended(app, why))],
    }
    Vec::new()
}

fn ended(app: &App, why: Option<String>) -> Exit {
    match (&app.popup, why) {
        (Popup::Leave(leave::Leaving::Under(how)), None) => Exit::Left(*how),
        (_, why) => Exit::Ended(why),
    }
}

fn view_came(app: &mut App, view: Arc<View>) {
    let before = app.view.replace(view.clone());
    let book = app.book.clone();
    app.settle();
    app.source.follow(&view, &*book);
    app.stack.follow(&view);
    app.variables.follow(&view);
    app.watches.follow(&view);
    app.tasks.follow(&view);
    app.cpus.follow(&view);
    app.modules.follow(&view);
    app.breakpoints.follow(&view);
    tour_events(app, &tour::events(before.as_deref(), &view));
}

/// The guest stopped again, or did not run: does the step that was pressed
/// meanwhile, but only after a step; whatever else stopped it is to be seen.
fn came_to_stop(app: &mut App, stepped: bool) -> Vec<Effect> {
    app.resumed = None;
    match app.queued.take() {
        Some(line) if stepped => act::command(app, line),
        _ => Vec::new(),
    }
}

fn tour_events(app: &mut App, events: &[TourEvent]) {
    if let Some(tour) = &mut app.tour
        && !tour.on(events)
    {
        app.tour = None;
    }
}

fn answered(
    app: &mut App,
    purpose: Purpose,
    answer: Option<Result<Answer, Failure>>,
) -> Vec<Effect> {
    if let Purpose::Script(step) = &purpose {
        return script::answered(app, step, answer);
    }
    let mut effects = Vec::new();
    if purpose == Purpose::Run {
        let step = StopReason::Step.word();
        let stepped = matches!(&answer, Some(Ok(Answer::Stop { stop })) if stop.reason == step);
        effects = came_to_stop(app, stepped);
    }
    match (purpose, answer) {
        (Purpose::Leave(how), Some(Ok(_))) => return vec![Effect::Exit(Exit::Left(how))],
        (Purpose::Leave(how), Some(Err(why))) => return leaving_failed(app, how, &why),
        // The session's own end says why.
        (_, None) | (_, Some(Err(Failure::Cancelled))) => {}
        // The guest may have been resumed meanwhile: nothing to look at.
        (Purpose::Code(_), Some(Err(Failure::Running))) => {}
        (_, Some(Err(why))) => app.say(Level::Error, &printable(&why.to_string())),
        (Purpose::Key, Some(Ok(answer))) => {
            if let Answer::Breakpoints { breakpoints } = &answer {
                // A key's breakpoint may have landed elsewhere than the cursor.
                if let [one] = &breakpoints[..]
                    && let Some(why) = &one.why
                {
                    let text = format!("breakpoint {} {}: {why}", one.number, one.state);
                    app.say(Level::Warning, &printable(&text));
                }
            }
        }
        (Purpose::Run | Purpose::Script(_), Some(Ok(_))) => {}
        (Purpose::Code(of), Some(Ok(answer))) => {
            let (view, book) = (app.view.clone(), app.book.clone());
            if let Answer::Code(code) = &answer
                && let Some(stop) = view.as_ref().and_then(|view| view.stop.as_deref())
            {
                app.source.take_code(of, &code.instructions, stop, &*book);
            }
        }
        (Purpose::Line(line), Some(Ok(answer))) => show_answer(app, &line, &answer),
    }
    effects
}

/// The user decides what now; where there is none any more, nothing is waited
/// for.
fn leaving_failed(app: &mut App, how: Leave, why: &Failure) -> Vec<Effect> {
    if app.must_end {
        return vec![Effect::Exit(Exit::Impatient)];
    }
    // An older way of leaving that failed says nothing about the newer one.
    if matches!(&app.popup, Popup::Leave(leave::Leaving::Under(now)) if *now == how) {
        app.popup = Popup::Leave(leave::Leaving::Failed(printable(&why.to_string())));
    }
    Vec::new()
}

fn terminate(app: &mut App) -> Vec<Effect> {
    if std::mem::replace(&mut app.must_end, true) {
        return vec![Effect::Exit(Exit::Impatient)];
    }
    act::leave(app, Leave::Detach)
}

/// One line goes to the message row, more into a popup; a stop may come much
/// later than it was asked for and opens nothing over what the user does now.
fn show_answer(app: &mut App, line: &str, answer: &Answer) {
    if let Answer::Confirm { effect } = answer {
        return confirm(app, line, effect);
    }
    let text = render::answer(answer);
    app.note(Kind::Answer, &text);
    let is_stop = matches!(answer, Answer::Stop { .. });
    let one = match answer {
        Answer::Breakpoints { breakpoints } => breakpoints.len() == 1,
        _ => false,
    };
    // A line that does not fit is several.
    let wide = text.width() + 2 > usize::from(app.size.0);
    match text.lines().count() {
        0 => {}
        1 if wide && !is_stop => open_output(app, line, &text),
        2 if one && !wide => {
            let rows: Vec<&str> = text.lines().map(str::trim).collect();
            app.message = Some((Level::Info, printable(&rows.join(": "))));
        }
        1 => app.message = Some((Level::Info, printable(&text))),
        _ if is_stop => {
            app.message = Some((Level::Info, printable(text.lines().next().unwrap_or(""))));
        }
        _ => open_output(app, line, &text),
    }
}

/// Asks before a line changes the guest.
fn confirm(app: &mut App, line: &str, effect: &str) {
    if let Ok(Parsed::Request(request)) = parse(line) {
        let (effect, line) = (printable(effect), line.to_string());
        app.popup = Popup::Confirm(Confirm { effect, line, request: request.confirmed() });
    }
}

fn open_output(app: &mut App, line: &str, text: &str) {
    if matches!(app.popup, Popup::None | Popup::Output(_) | Popup::Help(_)) {
        app.popup = Popup::Output(Output::new(line, text));
    } else {
        app.message = Some((Level::Info, format!("'{}' is answered in the log", printable(line))));
    }
}

fn key_pressed(app: &mut App, key: Key) -> Vec<Effect> {
    let action = app.keymap.action(key, &app.scopes());
    // These work whatever is open: a debugger must always be able to stop the
    // guest, and a terminal to be redrawn or left.
    match app.keymap.action(key, &[Scope::Everywhere]) {
        Some(action @ (Action::Redraw | Action::Suspend)) if key.typed().is_none() => {
            return act::act(app, action);
        }
        Some(Action::Command("interrupt")) if key.typed().is_none() => {
            let running = !app.state().is_stopped() || app.resumed.is_some();
            if running || matches!(app.popup, Popup::None) {
                return act::command(app, "interrupt");
            }
            app.popup = Popup::None;
            return Vec::new();
        }
        _ => {}
    }
    match std::mem::replace(&mut app.popup, Popup::None) {
        Popup::None => {
            app.message = None;
            tour_events(app, &[TourEvent::Key]);
            action.map_or(Vec::new(), |action| act::act(app, action))
        }
        Popup::Command(line) => in_command(app, line, key),
        Popup::Prompt(prompt) => in_prompt(app, prompt, key),
        Popup::Output(output) => in_output(app, output, key, Popup::Output),
        Popup::Help(output) => in_output(app, output, key, Popup::Help),
        Popup::Leave(leaving) => in_leave(app, leaving, key),
        Popup::Confirm(confirm) => in_confirm(app, confirm, key),
    }
}

fn in_command(
    app: &mut App,
    mut command: super::popups::command::CommandLine,
    key: Key,
) -> Vec<Effect> {
    let book = app.book.clone();
    match command.key(key, &mut app.history, &*book) {
        Typed::Going => app.popup = Popup::Command(command),
        Typed::Cancelled => {}
        Typed::Done(line) => {
            app.history.push(&line);
            return typed(app, &line);
        }
    }
    Vec::new()
}

/// Does a typed line.
fn typed(app: &mut App, line: &str) -> Vec<Effect> {
    app.message = None;
    if !line.is_empty() {
        app.note(Kind::Command, &printable(line));
    }
    match parse(line) {
        Ok(Parsed::Nothing) => Vec::new(),
        Ok(Parsed::Face(FaceCommand::Quit)) => act::act(app, Action::Leave),
        Ok(Parsed::Face(FaceCommand::Help(topic))) => {
            let text = render::help(topic.as_deref());
            app.popup = Popup::Output(Output::new(line, &text));
            Vec::new()
        }
        Ok(Parsed::Face(FaceCommand::Display(expression))) => {
            act::watch(app, &expression);
            Vec::new()
        }
        Ok(Parsed::Face(FaceCommand::Source(file))) => vec![Effect::Source(file)],
        Ok(Parsed::Request(Request::Leave(how))) => act::leave(app, how),
        Ok(Parsed::Request(request)) => {
            vec![Effect::Ask(request, Purpose::Line(line.to_string()))]
        }
        Err(why) => {
            app.say(Level::Error, &printable(&why.to_string()));
            Vec::new()
        }
    }
}

fn in_prompt(app: &mut App, mut prompt: prompt::Prompt, key: Key) -> Vec<Effect> {
    match key.code {
        KeyCode::Esc => {}
        KeyCode::Backspace if prompt.line.text().is_empty() => {}
        KeyCode::Enter => match prompt.question {
            Question::Search => act::search_for(app, prompt.line.text()),
            Question::Watch => act::watch(app, prompt.line.text()),
            Question::Memory => act::memory(app, prompt.line.text()),
            Question::Filter => app.tasks.filter = prompt.line.text().trim().to_string(),
            Question::FilterModules => {
                let view = app.view.clone();
                app.modules.filter(prompt.line.text().trim().to_string(), view.as_deref());
            }
            Question::GoTo => match prompt::place(prompt.line.text()) {
                prompt::Place::Nowhere => {}
                prompt::Place::Line(line) => act::show_line(app, line),
                prompt::Place::Location(location) => act::show(app, &location),
            },
        },
        _ => {
            prompt.line.key(key);
            app.popup = Popup::Prompt(prompt);
        }
    }
    Vec::new()
}

fn in_output(
    app: &mut App,
    mut output: Output,
    key: Key,
    keep: fn(Output) -> Popup,
) -> Vec<Effect> {
    let screen = Rect::new(0, 0, app.size.0, app.arrangement().status.y);
    let action = app.keymap.action(key, &[Scope::Everywhere]);
    let closes = [KeyCode::Esc, KeyCode::Enter, KeyCode::Char('q'), KeyCode::Char('?')];
    if closes.contains(&key.code) {
        return Vec::new();
    }
    match action {
        None => app.popup = keep(output),
        Some(action) if output.act(action, screen) => app.popup = keep(output),
        // Anything else is meant for what lies below.
        Some(action) => return act::act(app, action),
    }
    Vec::new()
}

fn in_confirm(app: &mut App, confirm: Confirm, key: Key) -> Vec<Effect> {
    match key.typed().and_then(Confirm::choice) {
        Some(true) => vec![Effect::Ask(confirm.request, Purpose::Line(confirm.line))],
        None if key.code != KeyCode::Esc => {
            app.popup = Popup::Confirm(confirm);
            Vec::new()
        }
        _ => Vec::new(),
    }
}

fn in_leave(app: &mut App, leaving: leave::Leaving, key: Key) -> Vec<Effect> {
    let choice = match key.code {
        KeyCode::Esc if !matches!(leaving, leave::Leaving::Under(_)) => Some(leave::Choice::Stay),
        _ => key.typed().and_then(|letter| leaving.choice(letter, app.state())),
    };
    match choice {
        Some(leave::Choice::Leave(how)) => act::leave(app, how),
        Some(leave::Choice::Abandon) => vec![Effect::Exit(Exit::Impatient)],
        Some(leave::Choice::Stay) => Vec::new(),
        None => {
            app.popup = Popup::Leave(leaving);
            Vec::new()
        }
    }
}
