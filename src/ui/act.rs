//! What each action does. Actions that concern the guest go through the
//! command table, so that a key and the typed word can't differ.

use super::app::{App, Queued};
use super::layout::PaneId;
use super::message::{Effect, Exit, Purpose};
use super::palette::{self, item::Kind};
use super::panes::Outcome;
use super::panes::source::Spot;
use super::popups::{Popup, command::CommandLine, help, leave::Leaving, output::Output, prompt};
use super::update::typed;
use super::words;
use super::{arranging, breaking_in, copying, filter, typing};
use crate::arch::insn::Flavor;
use crate::base::text::printable;
use crate::command::{
    Parsed,
    parse::parse,
    script::{Step, end_file},
};
use crate::config::actions::Action;
use crate::session::request::{BreakKind, Breaking, Leave, Level, Request, Towards};
use crate::session::view::State;
use std::{path::PathBuf, time::Duration};

/// Does an action.
pub fn act(app: &mut App, action: Action) -> Vec<Effect> {
    match action {
        Action::Command(line) if action.row().is_some() => return command(app, line),
        // A line of the user's own: its answer is to be seen.
        Action::Command(line) => return typed(app, line),
        Action::ToggleBreakpoint => return at_cursor(app, Request::Toggle),
        Action::TemporaryBreakpoint => {
            return at_cursor(app, |place| {
                Request::Break(Breaking::at(BreakKind::Temporary, place))
            });
        }
        Action::RunToCursor => {
            if !may_run(app, None) {
                return Vec::new();
            }
            let mut effects = at_cursor(app, |place| Request::RunTo(place, Towards::Cursor));
            if let Some(Effect::Ask(_, purpose)) = effects.first_mut() {
                *purpose = Purpose::Run;
                app.note_resume();
            }
            return effects;
        }
        Action::Focus(key) => {
            if let Some(pane) = PaneId::of(key) {
                app.give_focus(pane);
            }
        }
        // Hidden panes come to the front of their tabs.
        Action::NextPane => app.give_focus(app.focus().turned(1)),
        Action::PreviousPane => app.give_focus(app.focus().before()),
        Action::NextSubject => return next_subject(app, true),
        Action::PreviousSubject => return next_subject(app, false),
        Action::Filter => {
            let pane = app.focus();
            if filter::label(pane).is_none() {
                app.say(Level::Info, &format!("the rows of {} can't be filtered", pane.title()));
                return Vec::new();
            }
            let mut prompt = prompt::Prompt::new(prompt::Question::Filter(pane));
            prompt.line.insert(filter::of(app, pane));
            app.popup = Popup::Prompt(prompt);
        }
        Action::Zoom => app.zoom = !app.zoom,
        Action::NextLayout => arranging::choose(app, app.layout.preset.next()),
        Action::Wider => arranging::grow(app, true, 4),
        Action::Narrower => arranging::grow(app, true, -4),
        Action::Higher => arranging::grow(app, false, 2),
        Action::Lower => arranging::grow(app, false, -2),
        Action::CopyRow => return copy(app, copying::at_cursor),
        Action::CopyPane => return copy(app, copying::pane),
        Action::OpenEditor => return edit(app, None),
        Action::CycleCode => {
            let (view, book) = (app.view.clone(), app.book.clone());
            app.give_focus(PaneId::Source);
            app.settle();
            app.source.cycle(view.as_ref().and_then(|view| view.stop.as_deref()), &*book);
        }
        Action::ToggleFlavor => {
            let flavor = match app.view.as_ref().map(|view| view.flavor) {
                Some(Flavor::Intel) => Flavor::Att,
                _ => Flavor::Intel,
            };
            let request = Request::Set("disassembly-flavor".into(), flavor.word().into());
            return vec![Effect::Ask(request, Purpose::Key)];
        }
        Action::ShowPc if app.focus() == PaneId::Disassembly => app.disassembly.follow_frame(),
        Action::ShowPc => show_pc(app),
        Action::Search => {
            app.give_focus(PaneId::Source);
            app.popup = Popup::Prompt(prompt::Prompt::new(prompt::Question::Search));
        }
        Action::NextMatch => search_on(app, true),
        Action::PreviousMatch => search_on(app, false),
        Action::GoTo if app.focus() == PaneId::Disassembly => {
            ask(app, prompt::Question::Disassemble);
        }
        Action::GoTo => app.popup = Popup::Prompt(prompt::Prompt::new(prompt::Question::GoTo)),
        Action::Back if ![PaneId::Memory, PaneId::Disassembly].contains(&app.focus()) => {
            let book = app.book.clone();
            if !app.source.back(&*book) {
                show_pc(app);
            }
        }
        Action::TypeConsole => typing::begin(app),
        Action::EndTyping => typing::end(app),
        Action::CommandLine => app.popup = Popup::Command(CommandLine::default()),
        Action::Help => {
            let sheet = help::sheet(&app.keymap, &app.scopes(), app.focus().title());
            app.popup = Popup::Help(sheet);
        }
        Action::Forward => {
            let book = app.book.clone();
            if !app.source.forward(&*book) {
                app.say(Level::Info, "the source pane did not go back before");
            }
        }
        Action::Palette => palette::open(app, Kind::Everything),
        Action::Redraw => return vec![Effect::Redraw],
        Action::Suspend => return vec![Effect::Suspend],
        Action::Escape if breaking_in::may_give_up(app) => {
            return vec![Effect::Ask(Request::CancelBreakIn, Purpose::Key)];
        }
        // What is known of the work so far is its answer.
        Action::Escape if app.view.as_ref().is_some_and(|view| view.working.is_some()) => {
            return vec![Effect::Ask(Request::BreakIn, Purpose::Key)];
        }
        Action::Escape => escape(app),
        Action::Leave => return ask_to_leave(app),
        _ => return in_pane(app, action),
    }
    Vec::new()
}

/// Does a line of the command table for a key.
pub fn command(app: &mut App, line: &'static str) -> Vec<Effect> {
    let request = match parse(line) {
        Ok(Parsed::Request(request)) => request,
        _ => return Vec::new(),
    };
    let may = match request {
        _ if resumes(&request) => may_run(app, Some(line)),
        Request::BreakIn if breaking_in::ask_again(app) => false,
        Request::BreakIn => may_break_in(app),
        Request::FrameBy(_) if app.stop().is_none() => {
            app.say(Level::Info, "there is no stack before the first stop");
            false
        }
        _ => true,
    };
    if request == Request::BreakIn {
        // A breakpoint's commands may let the guest go on over and over.
        app.no_commands = app.script.front().is_some_and(Step::is_of_breakpoint) || may;
        end_file(&mut app.script);
    }
    match (may, resumes(&request)) {
        (false, _) => Vec::new(),
        (true, false) => vec![Effect::Ask(request, Purpose::Key)],
        (true, true) => {
            app.note_resume();
            vec![Effect::Ask(request, Purpose::Run)]
        }
    }
}

fn resumes(request: &Request) -> bool {
    matches!(
        request,
        Request::Continue
            | Request::Step(..)
            | Request::RunTo(..)
            | Request::Jump { sure: true, .. }
    )
}

/// Whether the guest can be resumed; says why not. A step that comes while
/// another is under way is kept for when that one has ended, and whatever was
/// pressed at a stop that is on screen, until it is answered.
fn may_run(app: &mut App, line: Option<&'static str>) -> bool {
    /// Longer steps are waiting for something else than the CPU.
    const SHORT: Duration = Duration::from_millis(500);
    let escape = app.keys(Action::Escape, 1);
    let stop_keys = app.keys(Action::Command("interrupt"), 3);
    if app.shows_next_stop() {
        app.queued = line.map(|line| Queued { line, seen: true });
        if line.is_none() {
            app.say(Level::Info, "this stop is still read; in a moment");
        }
        return false;
    }
    if app.resumed.is_some_and(|at| app.now.duration_since(at) < SHORT) {
        let line = line.filter(|line| *line != "continue");
        app.queued = line.map(|line| Queued { line, seen: false });
        return false;
    }
    let words = match app.state() {
        _ if app.view.is_none() => STARTING.into(),
        State::Stopped if app.resumed.is_none() => return true,
        State::Stopped | State::Running { .. } => {
            format!("the guest is running; {stop_keys} stops it")
        }
        State::BreakingIn { .. } => {
            format!("a break-in is under way; {stop_keys} tries the next way, {escape} gives up")
        }
        State::Connecting { .. } => "not connected yet".into(),
        State::Knocking => "still finding out what listens".into(),
        State::Lost { .. } => "the link is lost; trying again".into(),
        State::Offline => "there is no guest (offline)".into(),
    };
    app.say(Level::Info, &words);
    false
}

/// Keys may come before the session's first news.
const STARTING: &str = "just starting; in a moment";

fn may_break_in(app: &mut App) -> bool {
    let words = match app.state() {
        _ if app.view.is_none() => STARTING,
        State::Running { .. } | State::BreakingIn { .. } | State::Knocking => return true,
        State::Stopped if app.resumed.is_some() => return true,
        State::Stopped => "the guest is stopped already",
        State::Connecting { .. } => "not connected yet; there is nothing to stop",
        State::Lost { .. } => "the link is lost; trying again",
        State::Offline => "there is no guest (offline)",
    };
    app.say(Level::Info, words);
    false
}

fn at_cursor(app: &mut App, make: impl FnOnce(String) -> Request) -> Vec<Effect> {
    let location = match app.focus() {
        PaneId::Disassembly => app.disassembly.location(),
        _ => app.source.location(),
    };
    match location {
        Some(location) => vec![Effect::Ask(make(location), Purpose::Key)],
        None => {
            app.say(Level::Info, "the cursor is on no line of code");
            Vec::new()
        }
    }
}

fn in_pane(app: &mut App, action: Action) -> Vec<Effect> {
    let view = app.view.clone();
    let view = view.as_deref();
    let outcome = match app.focus() {
        PaneId::Source => app.source.act(action),
        PaneId::Console => {
            app.console.list.act(action);
            None
        }
        PaneId::Log => app.log.act(action),
        PaneId::Registers => app.registers.act(action, view),
        PaneId::Variables => app.variables.act(action, view),
        PaneId::Watches => app.watches.act(action, view),
        PaneId::Stack => app.stack.act(action, view),
        PaneId::Breakpoints => app.breakpoints.act(action, view),
        PaneId::Tasks => app.tasks.act(action, view),
        PaneId::Cpus => app.cpus.act(action, view),
        PaneId::Modules => app.modules.act(action, view),
        PaneId::Memory => app.memory.act(action, view),
        PaneId::Disassembly => app.disassembly.act(action, view),
        PaneId::Dmesg => app.dmesg.act(action),
        PaneId::Packets => app.packets.act(action),
    };
    match (outcome, action) {
        (Some(Outcome::Ask(request)), _) => return vec![Effect::Ask(request, Purpose::Key)],
        (Some(Outcome::Line(line)), _) => return line_for_key(&line),
        (Some(Outcome::Typed(line)), _) => {
            if let Ok(Parsed::Request(request)) = parse(&line) {
                return vec![Effect::Ask(request, Purpose::Line(line))];
            }
        }
        (Some(Outcome::Show(location)), _) => show(app, &location),
        (Some(Outcome::Text(title, text)), _) => {
            app.popup = Popup::Output(Output::new(title, &text));
        }
        (Some(Outcome::Watch(expression)), _) => watch(app, &expression),
        (Some(Outcome::Word(what, words)), _) => return words::wanted(app, what, words),
        (Some(Outcome::Memory(expression)), _) => memory(app, &expression),
        (Some(Outcome::Edit(expression)), _) => {
            app.popup = Popup::Command(CommandLine::with(&format!("set var {expression} = ")));
        }
        (Some(Outcome::Command(text)), _) => {
            app.popup = Popup::Command(CommandLine::with(&text));
        }
        (Some(Outcome::Say(words)), _) => app.say(Level::Info, &words),
        // Nothing at the cursor to do it with: ask.
        (None, Action::Watch) => ask(app, prompt::Question::Watch),
        (None, Action::MemoryAt) => ask(app, prompt::Question::Memory),
        (None, _) => {}
    }
    Vec::new()
}

fn ask(app: &mut App, question: prompt::Question) {
    app.popup = Popup::Prompt(prompt::Prompt::new(question));
}

/// A line of the command table that a pane made.
fn line_for_key(line: &str) -> Vec<Effect> {
    match parse(line) {
        Ok(Parsed::Request(request)) => vec![Effect::Ask(request, Purpose::Key)],
        _ => Vec::new(),
    }
}

/// Adds an expression to the watch pane, once.
pub fn watch(app: &mut App, expression: &str) {
    let expression = expression.trim().to_string();
    if !expression.is_empty() && !app.watches.watches.contains(&expression) {
        app.watches.watches.push(expression);
    }
    app.give_focus(PaneId::Watches);
}

/// Shows memory at an expression.
pub fn memory(app: &mut App, expression: &str) {
    let expression = expression.trim();
    if !expression.is_empty() {
        app.memory.go_to(expression.to_string());
        app.give_focus(PaneId::Memory);
    }
}

/// The stack of the next CPU, or, while the tasks are in front, of the next
/// task.
fn next_subject(app: &mut App, forward: bool) -> Vec<Effect> {
    if app.focus() == PaneId::Tasks {
        app.tasks.list.act(if forward { Action::Down } else { Action::Up });
        return in_pane(app, Action::Open);
    }
    let Some(stop) = app.stop().filter(|_| app.state().is_stopped()) else {
        app.say(Level::Info, "the CPUs' stacks are known when the guest is stopped");
        return Vec::new();
    };
    let count = app.view.as_ref().and_then(|view| view.target.cpus).unwrap_or(1).max(1);
    let now = stop.subject.as_ref().map_or(stop.cpu, |subject| subject.cpu).unwrap_or(0);
    let next = if forward { now + 1 } else { now + count - 1 } % count;
    line_for_key(&format!("cpu {next}"))
}

/// Shows a location in the source pane.
pub fn show(app: &mut App, location: &str) {
    match app.book.find(location) {
        Ok((file, path, line)) => visit(app, &Spot { file, path, line }),
        Err(why) => app.say(Level::Error, &printable(&why)),
    }
}

/// Shows a line of the file that is shown.
pub fn show_line(app: &mut App, line: u32) {
    match app.source.file() {
        Some((file, path)) => {
            let spot = Spot { file: file.to_string(), path: path.map(Into::into), line };
            visit(app, &spot);
        }
        None => app.say(Level::Info, "no file is shown; a line number needs one"),
    }
}

pub(super) fn visit(app: &mut App, spot: &Spot) {
    let book = app.book.clone();
    app.give_focus(PaneId::Source);
    app.settle();
    app.source.go_to(spot, &*book);
}

fn show_pc(app: &mut App) {
    let (view, book) = (app.view.clone(), app.book.clone());
    match view.as_ref().and_then(|view| view.stop.as_deref()) {
        Some(stop) => app.source.go_to_frame(stop, &*book),
        None => app.say(Level::Info, "the guest has not stopped yet"),
    }
}

/// Begins a search; an empty text ends the one that is on.
pub fn search_for(app: &mut App, text: &str) {
    app.source.search = (!text.is_empty()).then(|| text.to_string());
    if !text.is_empty() {
        search_on(app, true);
    }
}

fn search_on(app: &mut App, forward: bool) {
    if !app.source.search_on(forward) {
        let text = app.source.search.take().unwrap_or_default();
        app.say(Level::Info, &format!("'{}' is not in this file", printable(&text)));
    }
}

/// Ends one thing: the search, else the filter of the pane, else the zoom, else
/// the tour.
fn escape(app: &mut App) {
    if app.source.search.take().is_some() {
    } else if !filter::of(app, app.focus()).is_empty() {
        filter::set(app, app.focus(), "");
    } else if app.zoom {
        app.zoom = false;
    } else {
        app.tour = None;
    }
}

/// Whether a record takes the guest's place: then there is nobody to leave.
fn is_replay(app: &App) -> bool {
    app.view.as_ref().is_some_and(|view| view.link.replay.is_some())
}

fn ask_to_leave(app: &mut App) -> Vec<Effect> {
    match app.state() {
        _ if is_replay(app) => vec![Effect::Exit(Exit::NoGuest)],
        State::Offline | State::Connecting { .. } => vec![Effect::Exit(Exit::NoGuest)],
        _ => {
            app.popup = Popup::Leave(Leaving::Asking);
            Vec::new()
        }
    }
}

/// Asks the session to leave; without a guest there is nothing to ask.
pub fn leave(app: &mut App, how: Leave) -> Vec<Effect> {
    match app.state() {
        _ if is_replay(app) => vec![Effect::Exit(Exit::NoGuest)],
        State::Offline | State::Connecting { .. } => vec![Effect::Exit(Exit::NoGuest)],
        _ => {
            app.popup = Popup::Leave(Leaving::Under(how));
            vec![Effect::Ask(Request::Leave(how), Purpose::Leave(how))]
        }
    }
}

/// Hands text of the focused pane to the clipboard.
fn copy(app: &mut App, of: fn(&mut App, PaneId) -> String) -> Vec<Effect> {
    /// Terminals take no more than 100,000 bytes, in base64.
    const MOST: usize = 74_994;
    let text = of(app, app.focus());
    if text.len() > MOST {
        let words = "too much for a terminal's clipboard; :save pane FILE writes it";
        app.say_only(Level::Warning, words);
        return Vec::new();
    }
    let what = match text.lines().count() {
        0 => return Vec::new(),
        1 => printable(text.trim()),
        lines => format!("{lines} lines"),
    };
    // There is no answer: a terminal that does not know OSC 52 says nothing.
    app.say_only(Level::Info, &format!("given to the terminal's clipboard: {what}"));
    vec![Effect::Copy(text)]
}

/// Writes the focused pane to a file.
pub fn save(app: &mut App, file: PathBuf, over: bool) -> Vec<Effect> {
    let text = copying::pane(app, app.focus());
    vec![Effect::Save { file, over, text }]
}

/// Opens the editor at a location, or where the cursor of the source pane is.
pub fn edit(app: &mut App, location: Option<&str>) -> Vec<Effect> {
    if let Some(location) = location {
        match app.book.find(location) {
            Ok((_, Some(path), line)) => return vec![Effect::Edit(path, line)],
            Ok((file, None, _)) => {
                let words = format!("{file} is not on this machine; see --substitute-path");
                app.say(Level::Error, &printable(&words));
            }
            Err(why) => app.say(Level::Error, &printable(&why)),
        }
        return Vec::new();
    }
    match app.source.editable() {
        Some((path, line)) => vec![Effect::Edit(path.to_path_buf(), line)],
        None => {
            app.say(Level::Info, "the source pane shows no file of this machine to edit");
            Vec::new()
        }
    }
}
