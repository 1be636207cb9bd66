//! What is done with what was chosen.

use super::item::{Item, Kind, What};
use super::preview::{expression, find, location};
use super::{Palette, with};
use crate::base::text::printable;
use crate::session::request::{BreakKind, Breaking, Level, Request};
use crate::session::symbol_answer::MatchAnswer;
use crate::ui::act;
use crate::ui::app::App;
use crate::ui::message::{Effect, Purpose};
use crate::ui::panes::source::Spot;
use crate::ui::popups::{Popup, command::CommandLine};
use crate::ui::update::typed;
use crate::ui::words;

/// Opens the palette, limited to a kind.
pub fn open(app: &mut App, kind: Kind) {
    app.popup = Popup::Palette(Box::new(Palette::of(kind)));
    with(app, |palette, sources| palette.refill(sources, false));
}

/// Opens it with words of the source alone.
pub fn open_words(app: &mut App, title: &'static str, words: Vec<Item>) {
    app.popup = Popup::Palette(Box::new(Palette::of_items(title, words)));
    with(app, |palette, sources| palette.refill(sources, false));
}

/// Does what Enter means for an item, or the other thing that can be done.
pub fn choose(app: &mut App, item: Item, alternative: bool) -> Vec<Effect> {
    /// Items that stand first next time.
    const MOST: usize = 12;
    if !matches!(item.what, What::Word(..)) {
        app.chosen.retain(|other| !other.is(&item));
        app.chosen.push_front(item.clone());
        app.chosen.truncate(MOST);
    }
    match (item.what, alternative) {
        (What::Command { name, at_once: true }, false) => typed(app, name),
        (What::Command { name, .. }, _) => {
            app.popup = Popup::Command(CommandLine::with(&format!("{name} ")));
            Vec::new()
        }
        (What::Code(name), _) => code(app, &name, alternative),
        (What::Module, false) => typed(app, &format!("info module {}", item.name)),
        (What::Module, true) => set(format!("{}!init", item.name)),
        (What::Task(pid), _) => {
            vec![Effect::Ask(Request::Task(Some(pid)), Purpose::Key)]
        }
        (What::Breakpoint { place, .. }, false) => {
            act::show(app, &place);
            Vec::new()
        }
        (What::Breakpoint { number, disabled, .. }, true) => {
            vec![Effect::Ask(Request::Enable(disabled, vec![number]), Purpose::Key)]
        }
        (What::Word(what, word), _) => words::with(app, what, &word),
    }
}

fn code(app: &mut App, name: &MatchAnswer, alternative: bool) -> Vec<Effect> {
    let expression = expression(name);
    match (name.kind, alternative) {
        ("function", true) => return set(location(name)),
        ("variable", true) => act::watch(app, &expression),
        // Of a variable of file scope no value is known while the guest runs.
        ("variable", false) if app.state().is_stopped() => {
            return typed(app, &format!("print {expression}"));
        }
        ("enumerator", false) => return typed(app, &format!("print {expression}")),
        ("function" | "file" | "variable" | "enumerator", _) => {
            let book = app.book.clone();
            match find(name, &*book) {
                Ok((file, path, line)) => act::visit(app, &Spot { file, path, line }),
                Err(why) => app.say(Level::Error, &printable(&why)),
            }
        }
        (_, false) => return typed(app, &format!("ptype {expression}")),
        (_, true) => return typed(app, &format!("ptype /o {expression}")),
    }
    Vec::new()
}

fn set(location: String) -> Vec<Effect> {
    let request = Request::Break(Breaking::at(BreakKind::Kept, location));
    vec![Effect::Ask(request, Purpose::Key)]
}
