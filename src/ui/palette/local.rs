//! What the palette offers that nobody has to be asked for: commands, keys,
//! and what the view has of the guest.

use super::Sources;
use super::item::{Item, Kind, What};
use crate::base::text::{bytes, printable};
use crate::command::table::{COMMANDS, CommandDef};
use crate::command::{FaceCommand, Parsed};
use crate::config::actions::{Action, ActionDef, PANES};
use crate::session::view::{BreakpointView, ModuleView};
use crate::session::wants::TaskView;

/// The items of a kind.
pub fn items(kind: Kind, sources: &Sources<'_>) -> Vec<Item> {
    let all = kind == Kind::Everything;
    let mut items = Vec::new();
    if all || kind == Kind::Commands {
        items.extend(COMMANDS.iter().filter_map(|def| command(def, sources)));
        items.extend(PANES.iter().map(|row| pane(row, sources)));
    }
    let Some(view) = sources.view else { return items };
    if all || kind == Kind::Breakpoints {
        items.extend(view.breakpoints.iter().map(breakpoint));
    }
    if all || kind == Kind::Modules {
        items.extend(view.modules.iter().map(module));
    }
    let tasks = view.stop.as_ref().filter(|_| view.state.is_stopped());
    if let Some(tasks) = tasks.and_then(|stop| stop.supplied.tasks.as_ref())
        && (all || kind == Kind::Tasks)
    {
        items.extend(tasks.rows.iter().map(task));
    }
    items
}

/// A command; moving the cursor is not worth a row.
fn command(def: &'static CommandDef, sources: &Sources<'_>) -> Option<Item> {
    use Action::{Down, End, Home, Left, PageDown, PageUp, Right, Up};
    let action = match (def.make)("") {
        Ok(Parsed::Face(FaceCommand::Act(action))) => action,
        _ => Action::Command(def.name),
    };
    if matches!(action, Down | End | Home | Left | PageDown | PageUp | Right | Up) {
        return None;
    }
    let keys = sources.keymap.keys(action, sources.scopes, 3);
    let about = match def.usage.strip_prefix(def.name) {
        _ if !keys.is_empty() => keys.clone(),
        // Its examples are beside the list.
        Some(arguments) => {
            arguments.split(", such as").next().unwrap_or_default().trim().to_owned()
        }
        None => String::new(),
    };
    let mut details = vec![def.usage.to_owned(), String::new(), def.help.to_owned()];
    details.push(format!("Costs: {}.", def.cost));
    if !keys.is_empty() {
        details.push(format!("Keys: {keys}"));
    }
    if !def.aliases.is_empty() {
        details.push(format!("Also: {}", def.aliases.join(", ")));
    }
    // `delete` alone takes all breakpoints away: what takes arguments is
    // finished by hand.
    let at_once = def.usage == def.name || !keys.is_empty();
    let what = What::Command { name: def.name, at_once };
    Some(Item { what, name: def.name.to_owned(), about, details })
}

fn pane(row: &'static ActionDef, sources: &Sources<'_>) -> Item {
    let keys = sources.keymap.keys(row.action, sources.scopes, 3);
    let details = vec![row.name.to_owned(), String::new(), row.help.to_owned()];
    let what = What::Command { name: row.name, at_once: true };
    Item { what, name: row.name.to_owned(), about: keys, details }
}

fn breakpoint(wish: &BreakpointView) -> Item {
    let place = match (&wish.file, wish.line, wish.sites.first()) {
        (Some(file), Some(line), _) => format!("{file}:{line}"),
        (_, _, Some(site)) => format!("*{site}"),
        _ => wish.location.clone(),
    };
    let mut details = vec![format!("{} {} {}", wish.kind, wish.number, printable(&wish.location))];
    details.push(wish.state.to_owned());
    details.extend(wish.why.iter().map(|why| printable(why)));
    details.extend(wish.conduct.condition.iter().map(|text| format!("if {}", printable(text))));
    details.push(format!("{} hits", wish.hits));
    details.extend(wish.places.iter().map(|place| {
        let function = place.function.as_deref().map_or(String::new(), printable);
        format!("{} {function}", place.address)
    }));
    Item {
        what: What::Breakpoint {
            number: wish.number,
            disabled: wish.state == "disabled",
            place: place.clone(),
        },
        name: format!("{} {}", wish.number, printable(&wish.location)),
        about: format!("{} {}", wish.state, printable(&place)),
        details,
    }
}

fn module(module: &ModuleView) -> Item {
    let mut details = vec![format!("{}: {}", printable(&module.name), module.state)];
    if module.base.0 != 0 {
        details.push(format!("at {}", module.base));
    }
    details.extend(module.size.map(bytes));
    details.push(format!("symbols: {}", module.symbols));
    let path = module.path.as_ref().map(|path| printable(&path.display().to_string()));
    details.extend(path);
    details.extend(module.why.iter().map(|why| printable(why)));
    if !module.used_by.is_empty() {
        details.push(format!("used by {}", printable(&module.used_by.join(", "))));
    }
    Item {
        what: What::Module,
        name: printable(&module.name),
        about: format!("{}, symbols {}", module.state, module.symbols),
        details,
    }
}

fn task(task: &TaskView) -> Item {
    let comm = printable(&task.comm);
    let state = match (task.on_cpu, task.cpu) {
        (true, Some(cpu)) => format!("on CPU {cpu}"),
        _ => task.state.clone(),
    };
    let wait = task.wait.as_deref().map(printable);
    let mut details = vec![format!("{} {comm}", task.pid), state.clone()];
    details.extend(wait.iter().map(|wait| format!("waits in {wait}")));
    details.extend(task.cmdline.iter().map(|words| printable(words)));
    details.extend(task.parent.map(|parent| format!("child of {parent}")));
    if task.pid != task.tgid {
        details.push(format!("a thread of {}", task.tgid));
    }
    if task.kernel {
        details.push("a kernel thread".to_owned());
    }
    details.push(format!("task_struct at {}", task.address));
    let about = wait.map_or(state.clone(), |wait| format!("{state} in {wait}"));
    Item { what: What::Task(task.pid), name: format!("{} {comm}", task.pid), about, details }
}
