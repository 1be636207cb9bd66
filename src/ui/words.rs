//! What is done with a word of the source: go where it is defined, look at it,
//! watch it. Of several in a line one is chosen first.

use super::act;
use super::app::App;
use super::lookup::{LookUp, Seen};
use super::message::{Effect, Purpose};
use super::palette::{
    self,
    item::{Item, What},
};
use super::panes::words::{Use, Word, WordKind};
use super::popups::{Popup, peek::Peek};
use crate::base::text::printable;
use crate::session::request::Level;

/// Does it with the only word, or asks which one is meant.
pub fn wanted(app: &mut App, what: Use, mut words: Vec<Word>) -> Vec<Effect> {
    if what == Use::Peek {
        words.retain(|word| word.kind != WordKind::File);
    }
    match words.len() {
        0 => {
            app.say(Level::Info, "there is no name in the line at the cursor");
            Vec::new()
        }
        1 => words.pop().map_or(Vec::new(), |word| with(app, what, &word)),
        _ => {
            let title = match what {
                Use::Definition => "Go to the definition of",
                Use::Peek => "Type and value of",
                Use::Watch => "Watch",
                Use::Memory => "Memory at",
            };
            let items = words.into_iter().map(|word| item(app, what, word)).collect();
            palette::open_words(app, title, items);
            Vec::new()
        }
    }
}

/// A word as a row of the palette, with what the view knows of it.
fn item(app: &App, what: Use, word: Word) -> Item {
    let known = app.stop().and_then(|stop| {
        stop.variables.iter().flatten().find(|variable| variable.name == word.text)
    });
    let (about, details) = match known {
        Some(variable) => {
            let type_name = printable(&variable.type_name);
            let value = variable.value.as_deref().map_or("—".into(), printable);
            let details = vec![format!("{type_name} {}", word.text), format!("= {value}")];
            (value, details)
        }
        None => (String::new(), vec![printable(&word.text)]),
    };
    let name = printable(&word.text);
    Item { what: What::Word(what, Box::new(word)), name, about, details }
}

/// Does what a word is wanted for.
pub fn with(app: &mut App, what: Use, word: &Word) -> Vec<Effect> {
    match what {
        Use::Definition => return definition(app, word),
        Use::Peek => {
            let (peek, asks) = Peek::new(&word.text, word.kind != WordKind::Tag);
            app.popup = Popup::Peek(peek);
            let ask =
                |(part, request)| Effect::Ask(request, Purpose::Peek(word.text.clone(), part));
            return asks.into_iter().map(ask).collect();
        }
        Use::Watch => act::watch(app, &word.text),
        Use::Memory => act::memory(app, &word.text),
    }
    Vec::new()
}

fn definition(app: &mut App, word: &Word) -> Vec<Effect> {
    let (Some(at), Some(text)) = (app.source.here(), app.source.text()) else {
        return Vec::new();
    };
    let frame = app.stop().and_then(|stop| {
        let frame = stop.frames.get(stop.selected)?;
        (frame.file.as_ref() == Some(&at.file)).then_some(stop.variables.iter().flatten())
    });
    let local = frame.is_some_and(|mut own| own.any(|variable| variable.name == word.text));
    let seen = Seen { word: word.clone(), at, text, local };
    vec![Effect::LookUp(LookUp::Definition(Box::new(seen)))]
}
