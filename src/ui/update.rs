//! The only writer of the screen's state: a message in, effects out. Keys of
//! an open popup come here; keys of the panes go to `act`.

use super::act;
use super::app::{App, Queued};
use super::breaking_in;
use super::lookup::LookedUp;
use super::message::{Effect, Exit, Message, Purpose};
use super::palette::{self, Palette, Pressed, item};
use super::panes::log::Kind;
use super::popups::{
    Popup,
    command::{CommandLine, Typed},
    confirm::Confirm,
    crash, leave,
    output::Output,
    peek::{self, Part},
    prompt,
    prompt::Question,
};
use super::tour::{self, TourEvent};
use super::{arranging, filter, mouse, remember};
use super::{script, settings, typing, welcome};
use crate::base::text::printable;
use crate::command::{FaceCommand, Parsed, help, parse::parse, render};
use crate::config::actions::Action;
use crate::config::key::Key;
use crate::config::keymap::{self, Found, Scope};
use crate::session::answer::{Answer, Failure};
use crate::session::request::{Disassembly, Leave, Level, Request, Update};
use crate::session::view::{StopReason, View};
use crossterm::event::KeyCode;
use std::{sync::Arc, time::Instant};
use unicode_width::UnicodeWidthStr;

/// Takes in one message at a time `now`.
pub fn update(app: &mut App, message: Message, now: Instant) -> Vec<Effect> {
    app.now = now;
    let mut effects = match message {
        Message::Key(key) => key_pressed(app, key),
        Message::Mouse(event) => mouse::mouse(app, event),
        Message::Paste(text) => paste(app, &text),
        Message::Resize(columns, rows) => {
            app.size = (columns, rows);
            Vec::new()
        }
        Message::Update(news) => news_came(app, news),
        Message::Answer(purpose, answer) => answered(app, purpose, answer),
        Message::LookedUp(answer) => {
            looked_up(app, answer);
            Vec::new()
        }
        Message::Script(steps) => script::take(app, steps),
        Message::Settings(loaded) => settings::take(app, loaded),
        Message::Done(level, text) => {
            app.say(level, &printable(&text));
            Vec::new()
        }
        Message::Tick => Vec::new(),
        Message::Terminate => terminate(app),
        Message::Resumed => vec![Effect::Redraw],
    };
    tour_events(app, welcome::events(app));
    app.settle();
    effects.extend(wanted_code(app));
    effects.extend(wanted_rows(app));
    effects.extend(remember::changed(app));
    effects.extend(palette::asks(app));
    effects
}

/// Pasted text goes where typed text would.
fn paste(app: &mut App, text: &str) -> Vec<Effect> {
    if let Some(effects) = typing::paste(app, text) {
        return effects;
    }
    match &mut app.popup {
        Popup::Command(command) => command.line.insert(text.trim_end()),
        Popup::Prompt(prompt) => prompt.line.insert(text.trim_end()),
        Popup::Palette(_) => palette::with(app, |palette, sources| {
            palette.paste(text.trim_end(), sources);
        }),
        _ => {}
    }
    Vec::new()
}

/// What was looked up in the symbols came.
fn looked_up(app: &mut App, answer: LookedUp) {
    match answer {
        LookedUp::Definition(Ok(spot)) => act::visit(app, &spot),
        LookedUp::Definition(Err(why)) => app.say(Level::Info, &printable(&why)),
        answer => palette::with(app, |palette, sources| palette.answered(answer, sources)),
    }
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
        Update::View(view) => return view_came(app, view),
        Update::Console(bytes) => return typing::heard(app, &bytes),
        Update::Message(level, text) => {
            let lines: Vec<String> = text.lines().map(printable).collect();
            app.say(level, &lines.join("\n"));
        }
        Update::Log(line) => app.note(Kind::Printed, &printable(&render::log_line(&line))),
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

fn view_came(app: &mut App, view: Arc<View>) -> Vec<Effect> {
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
    app.disassembly.follow(&view);
    app.dmesg.follow(&view);
    app.packets.follow(&view);
    palette::with(app, |palette, sources| palette.view_came(sources));
    breaking_in::view_came(app, before.as_deref(), &view);
    typing::view_came(app);
    tour_events(app, &tour::events(before.as_deref(), &view));
    let crashed = |view: &View| {
        let stop =
            view.stop.as_ref().filter(|stop| view.state.is_stopped() && stop.crash.is_some());
        stop.map(|stop| stop.generation)
    };
    match crashed(&view) {
        now @ Some(_) if now != before.as_deref().and_then(crashed) => open_crash(app),
        None if matches!(app.popup, Popup::Crash) => app.popup = Popup::None,
        _ => {}
    }
    // Who waited for the stop hears of the commands with the answer.
    let stop = view.stop.as_ref().filter(|stop| view.state.is_stopped() && !stop.at_hit.asked);
    match stop {
        Some(stop) if script::take_commands(app, stop.generation, &stop.at_hit.commands) => {
            script::go_on(app)
        }
        _ => Vec::new(),
    }
}

/// The guest stopped again, or did not run: does what was pressed meanwhile, but
/// only after a step; whatever else stopped it is to be seen first.
fn came_to_stop(app: &mut App, stepped: bool) -> Vec<Effect> {
    app.resumed = None;
    match app.queued.take() {
        Some(Queued { line, seen }) if stepped || seen => act::command(app, line),
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
    let begun = match &answer {
        Some(Ok(Answer::Stop { stop })) => {
            script::take_commands(app, stop.generation, &stop.commands)
        }
        _ => false,
    };
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
        (Purpose::Peek(text, part), Some(answer)) => match &mut app.popup {
            Popup::Peek(peek) if peek.text == text => peek.take(part, answer),
            Popup::Palette(palette) => palette.value_came(&text, peek::value_text(answer)),
            _ => {}
        },
        (Purpose::Leave(how), Some(Ok(_))) => return vec![Effect::Exit(Exit::Left(how))],
        (Purpose::Leave(how), Some(Err(why))) => return leaving_failed(app, how, &why),
        // The session's own end says why.
        (_, None) | (_, Some(Err(Failure::Cancelled))) => {}
        // The guest may have been resumed meanwhile: nothing to look at.
        (Purpose::Code(_), Some(Err(Failure::Running))) => {}
        (_, Some(Err(Failure::Repeats(why)))) => {
            app.say(Level::Warning, &printable(&why));
            open_crash(app);
        }
        (_, Some(Err(why))) => app.say(Level::Error, &printable(&why.to_string())),
        (Purpose::Key, Some(Ok(answer))) => {
            if let Answer::Breakpoints { breakpoints, .. } = &answer {
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
    if begun {
        effects.extend(script::go_on(app));
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
    if let Answer::Confirm { effect, allow } = answer {
        return confirm(app, line, effect, *allow);
    }
    if let Answer::Crash { crash } = answer
        && crash::asks(crash)
    {
        app.note(Kind::Answer, &render::answer(answer));
        return open_crash(app);
    }
    let text = render::answer(answer);
    app.note(Kind::Answer, &text);
    let is_stop = matches!(answer, Answer::Stop { .. } | Answer::BrokenIn { .. });
    let one = match answer {
        Answer::Breakpoints { breakpoints, .. } => breakpoints.len() == 1,
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
fn confirm(app: &mut App, line: &str, effect: &str, allow: Option<(&str, &str)>) {
    if let Ok(Parsed::Request(request)) = parse(line) {
        let (effect, line) = (printable(effect), line.to_string());
        let before = allow.map(|(name, value)| Request::Set(name.to_owned(), value.to_owned()));
        let before = before.map(Box::new);
        let request = request.confirmed();
        app.popup = Popup::Confirm(Confirm { effect, line, before, request });
    }
}

fn open_output(app: &mut App, line: &str, text: &str) {
    if matches!(app.popup, Popup::None | Popup::Output(_) | Popup::Help(_)) {
        app.popup = Popup::Output(Output::new(line, text));
    } else {
        app.message = Some((Level::Info, format!("'{}' is answered in the log", printable(line))));
    }
}

pub(super) fn key_pressed(app: &mut App, key: Key) -> Vec<Effect> {
    if let Some(effects) = typing::key(app, key) {
        return effects;
    }
    let scopes = app.scopes();
    let mut keys = std::mem::take(&mut app.pending);
    let begun = !keys.is_empty() && matches!(app.popup, Popup::None);
    if !begun {
        keys.clear();
    }
    keys.push(key);
    let found = app.keymap.find(&keys, &scopes);
    // These work whatever is open: a debugger must always be able to stop the
    // guest, and a terminal to be redrawn or left.
    match app.keymap.action(key, &[Scope::Everywhere]) {
        _ if begun && found != Found::Nothing => {}
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
            match found {
                Found::Action(action) => return act::act(app, action),
                Found::Prefix(_) => app.pending = keys,
                Found::Nothing if begun && key.code != KeyCode::Esc => {
                    let words = format!("{} is bound to nothing", keymap::written(&keys));
                    app.say(Level::Info, &words);
                }
                Found::Nothing => {}
            }
            Vec::new()
        }
        Popup::Command(line) => in_command(app, line, key),
        Popup::Prompt(prompt) => in_prompt(app, prompt, key),
        Popup::Output(output) => in_output(app, output, key, Popup::Output),
        Popup::Help(output) => in_output(app, output, key, Popup::Help),
        Popup::Peek(mut peek) => {
            let output = std::mem::replace(&mut peek.output, Output::new("", ""));
            in_output(app, output, key, |output| {
                peek.output = output;
                Popup::Peek(peek)
            })
        }
        Popup::Leave(leaving) => in_leave(app, leaving, key),
        Popup::Confirm(confirm) => in_confirm(app, confirm, key),
        Popup::Crash => in_crash(app, key),
        Popup::Palette(palette) => in_palette(app, palette, key),
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
pub(super) fn typed(app: &mut App, line: &str) -> Vec<Effect> {
    app.message = None;
    if !line.is_empty() {
        app.note(Kind::Command, &printable(line));
    }
    match parse(line) {
        Ok(Parsed::Nothing) => Vec::new(),
        Ok(Parsed::Face(FaceCommand::Quit)) => act::act(app, Action::Leave),
        Ok(Parsed::Face(FaceCommand::Help(topic))) => {
            let text = help::help(topic.as_deref());
            app.popup = Popup::Output(Output::new(line, &text));
            Vec::new()
        }
        Ok(Parsed::Face(FaceCommand::Display(expression))) => {
            act::watch(app, &expression);
            Vec::new()
        }
        Ok(Parsed::Face(FaceCommand::Pick(what))) => {
            match item::Kind::named(&what) {
                Some(kind) => palette::open(app, kind),
                None => app
                    .say(Level::Error, &format!("'{}' is nothing to pick from", printable(&what))),
            }
            Vec::new()
        }
        Ok(Parsed::Face(FaceCommand::Source(file))) => vec![Effect::Source(file)],
        Ok(Parsed::Face(FaceCommand::Layout(name))) => {
            arranging::command(app, name.as_deref());
            Vec::new()
        }
        Ok(Parsed::Face(FaceCommand::SavePane { file, over })) => act::save(app, file, over),
        Ok(Parsed::Face(FaceCommand::Edit(location))) => act::edit(app, location.as_deref()),
        Ok(Parsed::Face(FaceCommand::Act(action))) => act::act(app, action),
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
            Question::Filter(pane) => filter::set(app, pane, prompt.line.text()),
            Question::Disassemble => app.disassembly.go_to(prompt.line.text()),
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
    keep: impl FnOnce(Output) -> Popup,
) -> Vec<Effect> {
    let screen = app.screen();
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

/// Shows what the kernel ran into, unless the user is at something else.
fn open_crash(app: &mut App) {
    let crash = app.stop().and_then(|stop| stop.crash.as_ref());
    let asks = app.state().is_stopped() && crash.is_some_and(|crash| crash::asks(crash));
    if asks && matches!(app.popup, Popup::None | Popup::Output(_) | Popup::Help(_)) {
        app.popup = Popup::Crash;
    }
}

fn in_crash(app: &mut App, key: Key) -> Vec<Effect> {
    let crash = app.stop().and_then(|stop| stop.crash.clone());
    let Some(crash) = crash.filter(|_| app.state().is_stopped()) else { return Vec::new() };
    let way = key.typed().and_then(|letter| crash::way(&crash, letter));
    let action = app.keymap.action(key, &app.scopes());
    match (way.map(|way| way.command), action) {
        (Some("set var"), _) => {
            let register = way.and_then(|way| way.does.split_once('$')).map(|(_, rest)| rest);
            let text = format!("set var ${}", register.unwrap_or("rip = …").trim_end_matches('…'));
            app.popup = Popup::Command(CommandLine::with(&text));
            Vec::new()
        }
        (Some(command @ ("skip" | "reboot")), _) => typed(app, command),
        (Some(command), _) => act::command(app, command),
        (None, _) if [KeyCode::Esc, KeyCode::Enter].contains(&key.code) => Vec::new(),
        (None, Some(action)) => act::act(app, action),
        (None, None) => {
            app.popup = Popup::Crash;
            Vec::new()
        }
    }
}

fn in_confirm(app: &mut App, confirm: Confirm, key: Key) -> Vec<Effect> {
    match key.typed().and_then(Confirm::choice) {
        Some(true) => {
            let before = confirm.before.map(|before| *before);
            let asked = before.into_iter().chain([confirm.request]);
            asked.map(|request| Effect::Ask(request, Purpose::Line(confirm.line.clone()))).collect()
        }
        None if key.code != KeyCode::Esc => {
            app.popup = Popup::Confirm(confirm);
            Vec::new()
        }
        _ => Vec::new(),
    }
}

fn in_palette(app: &mut App, palette: Box<Palette>, key: Key) -> Vec<Effect> {
    app.popup = Popup::Palette(palette);
    let mut pressed = Pressed::Going;
    palette::with(app, |palette, sources| pressed = palette.key(key, sources));
    match pressed {
        Pressed::Going => Vec::new(),
        Pressed::Read(expression) => {
            vec![Effect::Ask(peek::value_of(&expression), Purpose::Peek(expression, Part::Value))]
        }
        Pressed::Closed => {
            app.popup = Popup::None;
            Vec::new()
        }
        Pressed::Chosen(item, alternative) => {
            app.popup = Popup::None;
            app.message = None;
            palette::choose(app, item, alternative)
        }
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
