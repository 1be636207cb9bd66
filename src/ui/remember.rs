//! What the screen remembers of a target from one start to the next: layout and
//! sizes, watches, lines typed, what the code is shown as.

use super::app::App;
use super::layout_presets::Preset;
use super::layout_tree::Moved;
use super::message::Effect;
use super::panes::source::Mode;
use crate::base::text::printable;
use crate::session::request::Level;
use serde::{Deserialize, Serialize, de::DeserializeOwned};
use serde_json::{Map, Value};

/// What it is kept as.
pub const NAME: &str = "screen";

/// What is remembered.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Remembered {
    layout: Preset,
    sizes: Moved,
    code: Mode,
    watches: Vec<String>,
    history: Vec<String>,
}

impl Remembered {
    fn of(app: &App) -> Remembered {
        Remembered {
            layout: app.layout.preset,
            sizes: app.layout.moved.clone(),
            code: app.source.mode,
            watches: app.watches.watches.clone(),
            history: app.history.lines().to_vec(),
        }
    }

    /// Compared in place: this is asked after each message.
    fn is_of(&self, app: &App) -> bool {
        self.layout == app.layout.preset
            && self.code == app.source.mode
            && self.sizes == app.layout.moved
            && self.watches == app.watches.watches
            && self.history == app.history.lines()
    }

    /// Reads what a file has, part by part: what is not understood is named, and
    /// costs only itself.
    fn read(mut found: Map<String, Value>) -> (Remembered, Vec<String>) {
        let mut wrong = Vec::new();
        let out = Remembered {
            layout: part(&mut found, "layout", &mut wrong),
            sizes: part(&mut found, "sizes", &mut wrong),
            code: part(&mut found, "code", &mut wrong),
            watches: part(&mut found, "watches", &mut wrong),
            history: part(&mut found, "history", &mut wrong),
        };
        wrong.extend(found.keys().map(|name| format!("'{}' is not known here", printable(name))));
        (out, wrong)
    }
}

fn part<T: Default + DeserializeOwned>(
    found: &mut Map<String, Value>,
    name: &str,
    wrong: &mut Vec<String>,
) -> T {
    let Some(value) = found.remove(name) else { return T::default() };
    serde_json::from_value(value).unwrap_or_else(|why| {
        wrong.push(format!("'{name}': {}", printable(&why.to_string())));
        T::default()
    })
}

/// Gives the screen what was remembered. A file that makes no sense is told of,
/// and changes nothing.
pub fn restore(app: &mut App) {
    let Some(kept) = &app.kept else { return };
    let path = kept.path(NAME);
    match kept.load::<Map<String, Value>>(NAME) {
        Ok(None) => {}
        Ok(Some(found)) => {
            let (remembered, wrong) = Remembered::read(found);
            app.layout.preset = remembered.layout;
            app.layout.moved = remembered.sizes.clone();
            app.source.mode = remembered.code;
            app.watches.watches.clone_from(&remembered.watches);
            remembered.history.iter().for_each(|line| app.history.push(line));
            super::arranging::show_firsts(app);
            app.remembered = remembered;
            if !wrong.is_empty() {
                let file = printable(&path.display().to_string());
                let text = format!("{file}: {}; that part is not used", wrong.join("; "));
                app.say(Level::Warning, &text);
            }
        }
        Err(why) => app.say(Level::Warning, &printable(&why.to_string())),
    }
}

/// Has what changed written down, but not while a border is being moved.
pub fn changed(app: &mut App) -> Option<Effect> {
    if app.kept.is_none() || app.dragged.is_some() || app.remembered.is_of(app) {
        return None;
    }
    app.remembered = Remembered::of(app);
    Some(Effect::Remember(Box::new(app.remembered.clone())))
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn a_part_that_makes_no_sense_costs_only_itself() {
        let all = Remembered {
            layout: Preset::Triage,
            watches: vec!["jiffies".into()],
            history: vec!["bt".into()],
            code: Mode::Mixed,
            ..Remembered::default()
        };
        let Value::Object(mut found) = json!(all) else { panic!("an object") };
        assert_eq!(Remembered::read(found.clone()), (all.clone(), vec![]));
        found.insert("layout".into(), json!("sideways"));
        found.insert("colour".into(), json!(1));
        let (read, wrong) = Remembered::read(found);
        assert_eq!(read, Remembered { layout: Preset::Code, ..all });
        assert_eq!(wrong.len(), 2, "{wrong:?}");
        assert!(wrong[0].contains("sideways") && wrong[1].contains("'colour'"), "{wrong:?}");
    }
}
