//! Settings of the files, taken in: at the start, and when a file was changed.

use super::app::App;
use super::arranging;
use super::layout_presets::Preset;
use super::message::{Effect, Purpose};
use crate::base::text::printable;
use crate::config::actions::Action;
use crate::config::files::Loaded;
use crate::config::keymap::Scope;
use crate::config::settings::Settings;
use crate::config::theme::Theme;
use crate::session::request::{Level, Request};

/// Takes in what the files say at the start. The session has its own part
/// already.
pub fn start(app: &mut App, loaded: Loaded) {
    show(app, &loaded.settings);
    if let Some(preset) = loaded.settings.layout.as_deref().and_then(Preset::of) {
        app.layout.preset = preset;
        arranging::show_firsts(app);
    }
    complain(app, &loaded);
    app.settings = loaded.settings;
}

/// Takes in what the files say now. What the session can change while it runs
/// is asked of it, but only where the files say something new: what the user
/// typed meanwhile stays.
pub fn take(app: &mut App, loaded: Loaded) -> Vec<Effect> {
    let before = std::mem::replace(&mut app.settings, loaded.settings.clone());
    let now = &loaded.settings;
    show(app, now);
    let set = |name: &str, value: &str| {
        Effect::Ask(Request::Set(name.to_string(), value.to_string()), Purpose::Key)
    };
    let mut effects = Vec::new();
    for (name, _) in &now.set {
        if let Some(value) = now.value(name)
            && before.value(name) != Some(value)
            && !effects.contains(&set(name, value))
        {
            effects.push(set(name, value));
        }
    }
    for rule in now.substitute_path.iter().filter(|rule| !before.substitute_path.contains(rule)) {
        effects.push(set("substitute-path", &format!("{} {}", rule.0, rule.1)));
    }
    if before.layout != now.layout
        && let Some(preset) = now.layout.as_deref().and_then(Preset::of)
    {
        arranging::choose(app, preset);
    }
    if before.mouse != now.mouse {
        effects.push(Effect::Mouse(now.mouse != Some(false)));
    }
    if before != *now || loaded.problems.is_empty() {
        app.say(Level::Info, &taken(&before, now));
    }
    complain(app, &loaded);
    effects
}

/// What the screen shows at once.
fn show(app: &mut App, settings: &Settings) {
    app.keymap = settings.keymap();
    app.pending.clear();
    let theme = settings.theme.as_deref().unwrap_or("auto");
    app.theme = Theme::named(theme, &app.terminal).unwrap_or(app.theme);
}

/// Says that the files were read, and what of it has to wait.
fn taken(before: &Settings, now: &Settings) -> String {
    let late = [
        ("connect", before.connect != now.connect),
        ("vmlinux", before.vmlinux != now.vmlinux),
        ("break-in", before.break_in != now.break_in),
        ("source-dir", before.source_dir != now.source_dir),
        ("module-path", before.module_path != now.module_path),
        ("debug-dir", before.debug_dir != now.debug_dir),
    ];
    let late: Vec<&str> = late.iter().filter(|(_, new)| *new).map(|(name, _)| *name).collect();
    match &late[..] {
        [] => "the settings were read again".to_string(),
        late => format!("the settings were read again; {} at the next start only", late.join(", ")),
    }
}

/// Says what is wrong in the files: the first of it, and all of it in the log.
fn complain(app: &mut App, loaded: &Loaded) {
    for problem in &loaded.problems {
        app.say(Level::Warning, &printable(&problem.to_string()));
    }
    let others = match loaded.problems.len() {
        0 | 1 => String::new(),
        count => {
            let log = app.keymap.keys(Action::Focus('3'), &[Scope::Everywhere], 1);
            format!(" (and {} more: {log} shows the log)", count - 1)
        }
    };
    if let Some(first) = loaded.problems.first() {
        let words = format!("{}{others}", first.short());
        app.message = Some((Level::Warning, printable(&words)));
    }
}
