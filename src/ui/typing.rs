//! Typing into the guest's console. While that is on every key goes to the guest,
//! as a terminal would send it, but the one that ends it; it ends by itself when
//! the guest stops, because a stopped kernel reads nothing.

use super::app::App;
use super::layout::PaneId;
use super::message::{Effect, Purpose};
use super::popups::Popup;
use crate::config::actions::Action;
use crate::config::key::Key;
use crate::config::keymap::Scope;
use crate::session::request::{Level, Request};
use crate::session::view::State;
use crossterm::event::{KeyCode, KeyModifiers};

/// Begins, if the guest runs; else says why not.
pub fn begin(app: &mut App) {
    app.give_focus(PaneId::Console);
    match why_not(app) {
        None => app.console.type_into(true),
        Some(why) => app.say(Level::Info, &why),
    }
}

/// Why nothing can be typed now.
fn why_not(app: &App) -> Option<String> {
    let go = app.keys(Action::Command("continue"), 2);
    Some(match app.state() {
        State::Running { .. } | State::BreakingIn { .. } => return None,
        State::Stopped => format!(
            "the guest is stopped: its console reads nothing until it runs; {go} lets it run"
        ),
        State::Knocking => "still finding out what listens".into(),
        State::Connecting { .. } => "not connected yet".into(),
        State::Lost { .. } => "the link is lost; trying again".into(),
        State::Offline => "there is no guest (offline)".into(),
    })
}

/// Ends.
pub fn end(app: &mut App) {
    if app.console.typing {
        app.console.type_into(false);
    } else {
        app.say(Level::Info, "nothing is typed into the guest's console now");
    }
}

/// Whether keys go to the guest.
fn is_on(app: &App) -> bool {
    app.console.typing && app.focus() == PaneId::Console && matches!(app.popup, Popup::None)
}

/// What a key does while keys go to the guest; `None` when they do not.
pub fn key(app: &mut App, key: Key) -> Option<Vec<Effect>> {
    if !is_on(app) {
        return None;
    }
    app.message = None;
    if app.keymap.action(key, &[Scope::Console]) == Some(Action::EndTyping) {
        app.console.type_into(false);
        return Some(Vec::new());
    }
    let bytes = sent(key, app.console.wants_application_keys());
    Some(bytes.map_or(Vec::new(), |bytes| vec![Effect::Ask(Request::Console(bytes), Purpose::Key)]))
}

/// What pasted text does while keys go to the guest; `None` when they do not.
pub fn paste(app: &App, text: &str) -> Option<Vec<Effect>> {
    if !is_on(app) {
        return None;
    }
    // Enter is what ends a line on a terminal. Nothing pasted may look like the
    // end of what is pasted.
    let mut text = text.replace("\r\n", "\r").replace('\n', "\r").replace('\x1b', "");
    if app.console.wants_pasted_marked() {
        text = format!("\x1b[200~{text}\x1b[201~");
    }
    Some(vec![Effect::Ask(Request::Console(text.into_bytes()), Purpose::Key)])
}

/// Text of the guest; while keys go to it, a program there may ask the terminal
/// something.
pub fn heard(app: &mut App, bytes: &[u8]) -> Vec<Effect> {
    match app.console.push(bytes) {
        answers if answers.is_empty() => Vec::new(),
        answers => vec![Effect::Ask(Request::Console(answers), Purpose::Key)],
    }
}

/// The guest may have stopped.
pub fn view_came(app: &mut App) {
    if app.console.typing && why_not(app).is_some() {
        app.console.type_into(false);
        let words = match app.state() {
            State::Stopped => "the guest stopped: typing into its console has ended",
            _ => "the guest is gone: typing into its console has ended",
        };
        app.say(Level::Info, words);
    }
}

/// What the pane's title says of it, and whether that matters now.
pub fn note(app: &App) -> (String, bool) {
    let key = |action| app.keymap.keys(action, &[Scope::Console, Scope::Everywhere], 1);
    if app.console.typing {
        return (format!("{} ends typing to the guest", key(Action::EndTyping)), true);
    }
    let focused = app.focus() == PaneId::Console;
    let filter = match app.console.filter.as_str() {
        "" => String::new(),
        text => format!("/{}, ", crate::base::text::printable(text)),
    };
    let words = match app.state() {
        State::Running { .. } | State::BreakingIn { .. } if focused => {
            format!("{} types into it", key(Action::TypeConsole))
        }
        State::Stopped if focused => "locked: the guest is stopped".into(),
        _ => String::new(),
    };
    (format!("{filter}{words}").trim_end_matches(", ").to_string(), false)
}

/// The bytes a terminal sends for a key (xterm's control sequences, "PC-Style
/// Function Keys"), with arrows for applications or not; `None` where it has none.
fn sent(key: Key, application: bool) -> Option<Vec<u8>> {
    let Key { code, modifiers } = key;
    let alt = modifiers.contains(KeyModifiers::ALT);
    let control = modifiers.contains(KeyModifiers::CONTROL);
    let shift = modifiers.contains(KeyModifiers::SHIFT);
    // 1, and what is held.
    let held = 1 + u8::from(shift) + 2 * u8::from(alt) + 4 * u8::from(control);
    let letter = |letter: char| match held {
        1 if application => format!("\x1bO{letter}"),
        1 => format!("\x1b[{letter}"),
        held => format!("\x1b[1;{held}{letter}"),
    };
    let number = |number: u8| match held {
        1 => format!("\x1b[{number}~"),
        held => format!("\x1b[{number};{held}~"),
    };
    let text = match code {
        KeyCode::Up => letter('A'),
        KeyCode::Down => letter('B'),
        KeyCode::Right => letter('C'),
        KeyCode::Left => letter('D'),
        KeyCode::End => letter('F'),
        KeyCode::Home => letter('H'),
        KeyCode::Insert => number(2),
        KeyCode::Delete => number(3),
        KeyCode::PageUp => number(5),
        KeyCode::PageDown => number(6),
        KeyCode::F(n @ 1..=4) if held == 1 => format!("\x1bO{}", char::from(b'O' + n)),
        KeyCode::F(n @ 1..=4) => format!("\x1b[1;{held}{}", char::from(b'O' + n)),
        KeyCode::F(n @ 5..=12) => {
            let numbers = [15, 17, 18, 19, 20, 21, 23, 24];
            number(*numbers.get(usize::from(n) - 5)?)
        }
        KeyCode::Tab if shift => "\x1b[Z".into(),
        KeyCode::Char(_) | KeyCode::Enter | KeyCode::Tab | KeyCode::Backspace | KeyCode::Esc => {
            let typed = match code {
                KeyCode::Enter => "\r".into(),
                KeyCode::Tab => "\t".into(),
                KeyCode::Esc => "\x1b".into(),
                KeyCode::Backspace => if control { "\x08" } else { "\x7f" }.into(),
                KeyCode::Char(letter) if control => char::from(control_of(letter)?).to_string(),
                KeyCode::Char(letter) => letter.to_string(),
                _ => return None,
            };
            if alt { format!("\x1b{typed}") } else { typed }
        }
        _ => return None,
    };
    Some(text.into_bytes())
}

/// The control character of a key.
fn control_of(letter: char) -> Option<u8> {
    match letter {
        ' ' => Some(0),
        '?' => Some(0x7f),
        '@'..='_' | 'a'..='z' => Some(letter as u8 & 0x1f),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::sent;
    use crate::config::key::Key;

    #[test]
    fn keys_are_sent_as_xterm_does() {
        for (key, bytes) in [
            ("a", "a"),
            ("é", "é"),
            ("Space", " "),
            ("Enter", "\r"),
            ("Tab", "\t"),
            ("Shift-Tab", "\x1b[Z"),
            ("Backspace", "\x7f"),
            ("Esc", "\x1b"),
            ("Ctrl-C", "\x03"),
            ("Ctrl-Z", "\x1a"),
            ("Ctrl-[", "\x1b"),
            ("Ctrl-\\", "\x1c"),
            ("Ctrl-Space", "\0"),
            ("Alt-b", "\x1bb"),
            ("Up", "\x1b[A"),
            ("Ctrl-Left", "\x1b[1;5D"),
            ("Home", "\x1b[H"),
            ("Del", "\x1b[3~"),
            ("PgUp", "\x1b[5~"),
            ("F1", "\x1bOP"),
            ("F5", "\x1b[15~"),
            ("Shift-F5", "\x1b[15;2~"),
            ("F12", "\x1b[24~"),
        ] {
            let key: Key = key.parse().unwrap();
            assert_eq!(sent(key, false).as_deref(), Some(bytes.as_bytes()), "{key}");
        }
        let up: Key = "Up".parse().unwrap();
        assert_eq!(sent(up, true).as_deref(), Some(&b"\x1bOA"[..]));
    }
}
