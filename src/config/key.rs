//! What a key is, and how keys are written: `F5`, `Ctrl-C`, `Shift-F11`, `x`.

use crossterm::event::{KeyCode, KeyEvent, KeyModifiers};
use std::{fmt, str::FromStr};
use thiserror::Error;

/// One key with its modifiers, in one form whatever the terminal sends.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Key {
    /// The key; letters keep their case.
    pub code: KeyCode,
    /// Ctrl, Alt, and Shift where the letter does not show it.
    pub modifiers: KeyModifiers,
}

/// A text that names no key.
#[derive(Clone, Debug, Error, PartialEq, Eq)]
#[error("'{0}' is no key; keys are written as F5, Ctrl-C, Shift-F11, Tab, Space, x")]
pub struct KeyError(String);

impl KeyError {
    /// The error about a text.
    pub fn of(text: &str) -> KeyError {
        KeyError(text.to_string())
    }
}

impl Key {
    /// The key of a terminal event. Terminals differ in how they report Shift
    /// and the back-tab; this evens it out.
    pub fn of(event: KeyEvent) -> Key {
        let mut modifiers =
            event.modifiers & (KeyModifiers::CONTROL | KeyModifiers::ALT | KeyModifiers::SHIFT);
        let code = match event.code {
            KeyCode::BackTab => {
                modifiers |= KeyModifiers::SHIFT;
                KeyCode::Tab
            }
            KeyCode::Char(letter) => {
                modifiers -= KeyModifiers::SHIFT;
                let control = modifiers.contains(KeyModifiers::CONTROL);
                KeyCode::Char(match letter {
                    // The bytes 0x1c to 0x1f, as crossterm reads them.
                    '4' if control => '\\',
                    '5' if control => ']',
                    '6' if control => '^',
                    '7' if control => '_',
                    letter if control => letter.to_ascii_lowercase(),
                    letter => letter,
                })
            }
            // Terminals without modified function keys send F13… for Shift-F1….
            KeyCode::F(number @ 13..=24) => {
                modifiers |= KeyModifiers::SHIFT;
                KeyCode::F(number - 12)
            }
            code => code,
        };
        Key { code, modifiers }
    }

    /// The character this key types, when it types one.
    pub fn typed(self) -> Option<char> {
        match self.code {
            KeyCode::Char(letter) if self.modifiers.is_empty() => Some(letter),
            _ => None,
        }
    }
}

const NAMED: &[(KeyCode, &str)] = &[
    (KeyCode::Tab, "Tab"),
    (KeyCode::Enter, "Enter"),
    (KeyCode::Esc, "Esc"),
    (KeyCode::Backspace, "Backspace"),
    (KeyCode::Delete, "Del"),
    (KeyCode::Char(' '), "Space"),
    (KeyCode::Up, "Up"),
    (KeyCode::Down, "Down"),
    (KeyCode::Left, "Left"),
    (KeyCode::Right, "Right"),
    (KeyCode::PageUp, "PgUp"),
    (KeyCode::PageDown, "PgDn"),
    (KeyCode::Home, "Home"),
    (KeyCode::End, "End"),
];

const MODIFIERS: &[(KeyModifiers, &str, &str)] = &[
    (KeyModifiers::CONTROL, "Ctrl-", "C-"),
    (KeyModifiers::ALT, "Alt-", "M-"),
    (KeyModifiers::SHIFT, "Shift-", "S-"),
];

impl FromStr for Key {
    type Err = KeyError;

    fn from_str(text: &str) -> Result<Key, KeyError> {
        let mut rest = text;
        let mut modifiers = KeyModifiers::NONE;
        while let Some((modifier, after)) = MODIFIERS.iter().find_map(|(modifier, long, short)| {
            let after = rest.strip_prefix(long).or_else(|| rest.strip_prefix(short))?;
            (!after.is_empty()).then_some((*modifier, after))
        }) {
            modifiers |= modifier;
            rest = after;
        }
        let named = NAMED.iter().find(|(_, name)| name.eq_ignore_ascii_case(rest));
        let function = rest.strip_prefix('F').and_then(|n| n.parse().ok());
        let mut letters = rest.chars();
        let code = match (named, function, letters.next(), letters.next()) {
            (Some((code, _)), ..) => *code,
            (_, Some(number @ 1..=12), ..) => KeyCode::F(number),
            (_, _, Some(letter), None) if !letter.is_control() => KeyCode::Char(letter),
            _ => return Err(KeyError::of(text)),
        };
        Ok(Key::of(KeyEvent::new(code, modifiers)))
    }
}

impl fmt::Display for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (modifier, long, _) in MODIFIERS {
            if self.modifiers.contains(*modifier) {
                f.write_str(long)?;
            }
        }
        if let Some((_, name)) = NAMED.iter().find(|(code, _)| *code == self.code) {
            return f.write_str(name);
        }
        match self.code {
            KeyCode::F(number) => write!(f, "F{number}"),
            KeyCode::Char(letter) if self.modifiers.contains(KeyModifiers::CONTROL) => {
                write!(f, "{}", letter.to_ascii_uppercase())
            }
            KeyCode::Char(letter) => write!(f, "{letter}"),
            other => write!(f, "{other:?}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn terminals_that_report_shift_differently_mean_the_same_key() {
        let event = |code, modifiers| Key::of(KeyEvent::new(code, modifiers));
        let shift = KeyModifiers::SHIFT;
        assert_eq!(event(KeyCode::BackTab, shift), "Shift-Tab".parse().unwrap());
        assert_eq!(event(KeyCode::F(23), KeyModifiers::NONE), "S-F11".parse().unwrap());
        assert_eq!(event(KeyCode::Char('C'), shift), "C".parse().unwrap());
        assert_eq!(event(KeyCode::Char('C'), KeyModifiers::CONTROL), "C-c".parse().unwrap());
        assert_eq!("-".parse::<Key>().unwrap().to_string(), "-");
        for bad in ["", "F0", "F25", "Hyper-x", "xy", "Ctrl-", "\u{1b}"] {
            assert!(bad.parse::<Key>().is_err(), "{bad:?}");
        }
    }

    proptest! {
        #[test]
        fn a_key_that_is_read_prints_as_what_reads_the_same(text in "(Ctrl-|C-|Alt-|M-|Shift-|S-){0,3}(F[0-9]{1,2}|[a-zA-Z]+|\\PC)") {
            if let Ok(key) = text.parse::<Key>() {
                prop_assert_eq!(key.to_string().parse::<Key>(), Ok(key), "{}", text);
            }
        }

        #[test]
        fn any_text_gets_an_answer(text in "\\PC*") {
            let _ = text.parse::<Key>();
        }
    }
}
