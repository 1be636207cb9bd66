//! Commands that come one after another: those of the start, and of files. Each
//! waits for the answer to the one before; the log has all of it.

use super::app::App;
use super::message::{Effect, Purpose};
use super::panes::log::Kind;
use super::{act, arranging};
use crate::base::text::printable;
use crate::command::{
    FaceCommand, Parsed,
    parse::parse,
    render,
    script::{Step, end_file, of_breakpoint},
};
use crate::config::actions::Action;
use crate::session::answer::{Answer, Failure};
use crate::session::request::{Level, Request};

/// Commands of a file come before what else is to be done; or the file can't be
/// read.
pub fn take(app: &mut App, steps: Result<Vec<Step>, String>) -> Vec<Effect> {
    match steps {
        Ok(steps) => steps.into_iter().rev().for_each(|step| app.script.push_front(step)),
        Err(why) => {
            app.say(Level::Error, &printable(&why));
            end_file(&mut app.script);
        }
    }
    go_on(app)
}

/// Commands of a breakpoint that stopped the guest come before what else is to
/// be done, once for each stop. Whether there are any.
pub fn take_commands(app: &mut App, generation: u64, commands: &[String]) -> bool {
    if generation <= app.done_at {
        return false;
    }
    app.done_at = generation;
    if std::mem::take(&mut app.no_commands) {
        // The user wants it to stay stopped.
        return false;
    }
    let steps = of_breakpoint(commands);
    let some = !steps.is_empty();
    steps.into_iter().rev().for_each(|step| app.script.push_front(step));
    some
}

/// Does what comes next.
pub fn go_on(app: &mut App) -> Vec<Effect> {
    while let Some(step) = app.script.pop_front() {
        if let Some(excuse) = step.excuse() {
            app.say(Level::Info, &printable(&excuse));
            continue;
        }
        app.note(Kind::Command, &printable(&step.text));
        match parse(&step.text) {
            Ok(Parsed::Nothing | Parsed::Face(FaceCommand::Help(_) | FaceCommand::Pick(_))) => {}
            Ok(Parsed::Face(FaceCommand::Display(expression))) => act::watch(app, &expression),
            Ok(Parsed::Face(FaceCommand::Source(file))) => return vec![Effect::Source(file)],
            Ok(Parsed::Face(FaceCommand::Layout(name))) => {
                arranging::command(app, name.as_deref());
            }
            Ok(Parsed::Face(FaceCommand::SavePane { file, over })) => {
                return act::save(app, file, over);
            }
            Ok(Parsed::Face(FaceCommand::Edit(location))) => {
                let effects = act::edit(app, location.as_deref());
                if !effects.is_empty() {
                    return effects;
                }
            }
            Ok(Parsed::Face(FaceCommand::Act(action))) => {
                let effects = act::act(app, action);
                if !effects.is_empty() {
                    return effects;
                }
            }
            Ok(Parsed::Face(FaceCommand::Quit)) => {
                app.script.clear();
                return act::act(app, Action::Leave);
            }
            Ok(Parsed::Request(Request::Leave(how))) => {
                app.script.clear();
                return act::leave(app, how);
            }
            // A script means what it says.
            Ok(Parsed::Request(request)) => {
                return vec![Effect::Ask(request.confirmed(), Purpose::Script(Box::new(step)))];
            }
            Err(why) => failed(app, &step, &why.to_string()),
        }
    }
    Vec::new()
}

fn failed(app: &mut App, step: &Step, why: &str) {
    let words = step.at_place(&format!("{}: {why}", step.text));
    app.say(Level::Error, &printable(&words));
    if step.place.is_some() {
        end_file(&mut app.script);
    }
}

/// Takes in the answer to a command, and does the next.
pub fn answered(
    app: &mut App,
    step: &Step,
    answer: Option<Result<Answer, Failure>>,
) -> Vec<Effect> {
    match answer {
        // The session's own end says why.
        None | Some(Err(Failure::Cancelled)) => app.script.clear(),
        Some(Err(why)) => failed(app, step, &why.to_string()),
        Some(Ok(answer)) => {
            app.note(Kind::Answer, &render::answer(&answer));
            let of_file = !step.is_of_breakpoint();
            if of_file
                && step.place.is_some()
                && app.script.front().is_none_or(|next| next.place.is_none())
            {
                let words = "the commands of the file are done; their answers are in the log";
                app.message = Some((Level::Info, words.into()));
            }
        }
    }
    go_on(app)
}
