//! Another layout, and other sizes, by key and by command.

use super::app::App;
use super::layout::Size;
use super::layout_presets::{PRESETS, Preset};
use super::layout_tree::place;
use crate::base::text::printable;
use crate::session::request::Level;
use ratatui::layout::Rect;

/// Shows a layout: what it is about gets the keys, and each of its places shows
/// what comes first there.
pub fn choose(app: &mut App, preset: Preset) {
    app.layout.preset = preset;
    app.zoom = false;
    show_firsts(app);
    app.say_only(Level::Info, &format!("layout {}: {}", preset.name(), preset.words()));
}

/// Brings what comes first in each place to the front: on this screen, and on a
/// wide one, which it may become.
pub fn show_firsts(app: &mut App) {
    let preset = app.layout.preset;
    for size in [Size::Wide, Size::of(app.size)] {
        let placed = place(preset.tree(size), Rect::default(), None);
        let places = placed.places.iter().rev();
        let firsts = places.filter_map(|(tabs, _)| preset.panes(*tabs).first().copied());
        firsts.for_each(|pane| app.give_focus(pane));
    }
    app.give_focus(preset.about());
}

/// Does `layout [NAME|next|reset]`.
pub fn command(app: &mut App, word: Option<&str>) {
    match word {
        None => {
            let now = app.layout.preset.name();
            let text =
                format!("layout {now}; there are {}; 'reset' forgets moved borders", names());
            app.say(Level::Info, &text);
        }
        Some("next") => choose(app, app.layout.preset.next()),
        Some("reset") => {
            let kind = app.layout.kind(app.size);
            app.layout.moved.reset(&kind);
        }
        Some(word) => match Preset::of(word) {
            Some(preset) => choose(app, preset),
            None => {
                app.say(
                    Level::Error,
                    &format!("no layout '{}'; there are {}", printable(word), names()),
                );
            }
        },
    }
}

fn names() -> String {
    PRESETS.map(Preset::name).join(", ")
}

/// Makes the focused pane wider or higher (or less so) by moving the nearest
/// border that parts it from another one.
pub fn grow(app: &mut App, beside: bool, by: i32) {
    let arranged = app.arrangement();
    let own = arranged.slot(app.focus()).map(|slot| slot.area);
    let parts = |whole: Rect| own.is_some_and(|own| whole.intersection(own) == own);
    // The borders come from the outermost to the innermost.
    let mut borders = arranged.borders.iter().rev();
    let border = borders.find(|border| border.beside == beside && parts(border.whole));
    let (Some(border), Some(own)) = (border, own) else {
        let words = if app.zoom { "the pane fills the screen" } else { "no border to move there" };
        app.say_only(Level::Info, words);
        return;
    };
    let in_second = if beside { own.x > border.area.x } else { own.y >= border.area.y };
    let by = if in_second { by } else { -by };
    app.layout.pull(app.size, border, i32::from(border.second()) + by);
}
