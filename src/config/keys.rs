//! Keys: how they are written, and the table of what each does. The hint row
//! and the help sheet are made from this table, so they can't disagree with it.

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
                KeyCode::Char(if control { letter.to_ascii_lowercase() } else { letter })
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
            _ => return Err(KeyError(text.to_string())),
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

/// What a key does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Action {
    /// A line of the command table, as if typed after `:`.
    Command(&'static str),
    /// Set or take away a breakpoint at the cursor.
    ToggleBreakpoint,
    /// A breakpoint at the cursor that is gone after its first hit.
    TemporaryBreakpoint,
    /// Run until the cursor's line.
    RunToCursor,
    /// Give a pane the keys, by its own key.
    Focus(char),
    /// The next pane.
    NextPane,
    /// The pane before.
    PreviousPane,
    /// The focused pane over the whole screen, and back.
    Zoom,
    /// Source, then mixed, then instructions.
    CycleCode,
    /// Instructions in AT&T's style, or Intel's.
    ToggleFlavor,
    /// Back to where the selected frame is.
    ShowPc,
    /// Ask for a text to look for.
    Search,
    /// The next match.
    NextMatch,
    /// The match before.
    PreviousMatch,
    /// Ask for a line, symbol or address to go to.
    GoTo,
    /// Where the source pane was before.
    Back,
    /// Open what the cursor is on: frame, breakpoint, value, task, module.
    Open,
    /// Show what is below the value the cursor is on.
    Unfold,
    /// Hide it again, or go to what the value is in.
    Fold,
    /// Watch the value the cursor is on, or ask for an expression.
    Watch,
    /// No longer watch what the cursor is on.
    Unwatch,
    /// Memory where the value the cursor is on points, or ask for an address.
    MemoryAt,
    /// Another way to show memory: bytes, numbers, words with names.
    CycleUnit,
    /// Give the value the cursor is on another one.
    Edit,
    /// Ask for a text that rows must have.
    Filter,
    /// Another order of rows.
    Sort,
    /// The stack of the task or CPU before.
    PreviousSubject,
    /// The stack of the next task or CPU.
    NextSubject,
    /// Show the whole of what the cursor is on, where the pane cuts it.
    ShowWhole,
    /// A breakpoint at the init function of the module the cursor is on.
    BreakAtInit,
    /// Enable or disable the breakpoint the cursor is on.
    EnableBreakpoint,
    /// Take the breakpoint the cursor is on away.
    DeleteBreakpoint,
    /// Open the `:` line.
    CommandLine,
    /// The key sheet.
    Help,
    /// Draw everything again.
    Redraw,
    /// Give the terminal back to the shell for a while.
    Suspend,
    /// Close what is open, end the search, clear the message.
    Escape,
    /// Ask how to leave.
    Leave,
    /// Move the cursor up.
    Up,
    /// Move the cursor down.
    Down,
    /// A screenful up.
    PageUp,
    /// A screenful down.
    PageDown,
    /// To the first row.
    Home,
    /// To the last row.
    End,
    /// Show what is further left.
    Left,
    /// Show what is further right.
    Right,
}

/// Where a binding holds. The focused pane's come first, then `Everywhere`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Scope {
    /// In any pane.
    Everywhere,
    /// While a search is on in the source pane.
    Searching,
    /// In the source pane.
    Source,
    /// In the stack pane.
    Stack,
    /// In panes of values: variables and watches.
    Values,
    /// In the watch pane.
    Watches,
    /// In the breakpoints pane.
    Breakpoints,
    /// In the tasks pane.
    Tasks,
    /// In the CPUs pane.
    Cpus,
    /// In the modules pane.
    Modules,
    /// In the memory pane.
    Memory,
}

/// One row of the key table.
#[derive(Clone, Copy, Debug)]
pub struct Binding {
    /// Where it holds.
    pub scope: Scope,
    /// The keys, the one to show first, first.
    pub keys: &'static [&'static str],
    /// What they do.
    pub action: Action,
    /// A word or two for the hint row.
    pub hint: &'static str,
    /// A sentence for the help sheet.
    pub help: &'static str,
}

const fn bind(
    scope: Scope,
    keys: &'static [&'static str],
    action: Action,
    hint: &'static str,
    help: &'static str,
) -> Binding {
    Binding { scope, keys, action, hint, help }
}

use Action::{
    Back, BreakAtInit, Command, CommandLine, CycleCode, CycleUnit, DeleteBreakpoint, Down, Edit,
    EnableBreakpoint, End, Escape, Filter, Focus, Fold, GoTo, Help, Home, Leave, Left, MemoryAt,
    NextMatch, NextPane, NextSubject, Open, PageDown, PageUp, PreviousMatch, PreviousPane,
    PreviousSubject, Redraw, Right, RunToCursor, Search, ShowPc, ShowWhole, Sort, Suspend,
    TemporaryBreakpoint, ToggleBreakpoint, ToggleFlavor, Unfold, Unwatch, Up, Watch, Zoom,
};
use Scope::{
    Breakpoints, Cpus, Everywhere, Memory, Modules, Searching, Source, Stack, Tasks, Values,
    Watches,
};

/// The default keys. Every function key has a letter twin, because terminals
/// and window managers take F1, F10 and F11 for themselves.
pub const DEFAULT: &[Binding] = &[
    bind(Everywhere, &["F5", "c"], Command("continue"), "go", "let the guest run"),
    bind(
        Everywhere,
        &["F6", "Ctrl-C", "p"],
        Command("interrupt"),
        "break in",
        "stop the running guest",
    ),
    bind(Everywhere, &["F10", "n", "F8"], Command("next"), "over", "to the next line, over calls"),
    bind(
        Everywhere,
        &["F11", "s", "F7"],
        Command("step"),
        "into",
        "to the next line, into functions that have lines",
    ),
    bind(
        Everywhere,
        &["f", "Shift-F11"],
        Command("finish"),
        "out",
        "until the selected frame returns",
    ),
    bind(Everywhere, &["i"], Command("stepi"), "instr", "one instruction"),
    bind(Everywhere, &["o"], Command("nexti"), "instr over", "one instruction, over a call"),
    bind(
        Everywhere,
        &["F9", "b", "Space"],
        ToggleBreakpoint,
        "bp",
        "set a breakpoint at the cursor, or take it away",
    ),
    bind(Everywhere, &["t"], TemporaryBreakpoint, "once", "a breakpoint for one hit here"),
    bind(Everywhere, &["C", "Ctrl-F10"], RunToCursor, "to cursor", "run to the cursor"),
    bind(Everywhere, &["u", "["], Command("up"), "up", "select the frame that called this one"),
    bind(Everywhere, &["d", "]"], Command("down"), "down", "select the frame that this one called"),
    bind(Everywhere, &["Tab"], NextPane, "pane", "next pane"),
    bind(Everywhere, &["Shift-Tab"], PreviousPane, "pane", "pane before"),
    bind(Everywhere, &["1"], Focus('1'), "source", "source pane"),
    bind(Everywhere, &["2"], Focus('2'), "console", "what the guest prints"),
    bind(Everywhere, &["3"], Focus('3'), "log", "messages of the debugger"),
    bind(Everywhere, &["4"], Focus('4'), "stack", "stack pane"),
    bind(Everywhere, &["5"], Focus('5'), "variables", "variables pane"),
    bind(Everywhere, &["6"], Focus('6'), "registers", "registers pane"),
    bind(Everywhere, &["7"], Focus('7'), "breakpoints", "breakpoints pane"),
    bind(Everywhere, &["8"], Focus('8'), "tasks", "tasks pane"),
    bind(Everywhere, &["9"], Focus('9'), "CPUs", "CPUs pane"),
    bind(Everywhere, &["0"], Focus('0'), "memory", "memory pane"),
    bind(Everywhere, &["M"], Focus('M'), "modules", "modules pane"),
    bind(Everywhere, &["W"], Focus('W'), "watches", "watch pane"),
    bind(Everywhere, &["{"], PreviousSubject, "task", "the stack of the task or CPU before"),
    bind(Everywhere, &["}"], NextSubject, "task", "the stack of the next task or CPU"),
    bind(Everywhere, &["w"], Watch, "watch", "watch the value at the cursor, or an expression"),
    bind(
        Everywhere,
        &["m"],
        MemoryAt,
        "memory",
        "memory the value at the cursor points at, or at an address",
    ),
    bind(Everywhere, &["z"], Zoom, "zoom", "this pane over the whole screen, and back"),
    bind(Everywhere, &["a"], CycleCode, "asm", "source, mixed, instructions"),
    bind(Everywhere, &["A"], ToggleFlavor, "flavor", "instructions as AT&T or as Intel write them"),
    bind(Everywhere, &["."], ShowPc, "pc", "back to the selected frame's line"),
    bind(Everywhere, &["/", "Ctrl-F"], Search, "find", "find a text in the source"),
    bind(Everywhere, &["g"], GoTo, "go to", "go to a line, FILE:LINE, function or *ADDRESS"),
    bind(Everywhere, &["Backspace"], Back, "back", "where the source pane was before"),
    bind(Everywhere, &[":"], CommandLine, "cmd", "command line, gdb's words"),
    bind(Everywhere, &["?", "F1"], Help, "help", "this sheet"),
    bind(Everywhere, &["Ctrl-L"], Redraw, "redraw", "draw everything again"),
    bind(Everywhere, &["Ctrl-Z"], Suspend, "suspend", "back to the shell for a while (fg returns)"),
    bind(Everywhere, &["Esc"], Escape, "close", "close what is open, end a search"),
    bind(Everywhere, &["q"], Leave, "quit", "leave; asks what becomes of the guest"),
    bind(Everywhere, &["Up", "k"], Up, "up", "cursor up"),
    bind(Everywhere, &["Down", "j"], Down, "down", "cursor down"),
    bind(Everywhere, &["PgUp"], PageUp, "page", "a screenful up"),
    bind(Everywhere, &["PgDn"], PageDown, "page", "a screenful down"),
    bind(Everywhere, &["Home"], Home, "first", "to the first row"),
    bind(Everywhere, &["End", "G"], End, "last", "to the last row"),
    bind(Everywhere, &["Left", "h"], Left, "left", "scroll left"),
    bind(Everywhere, &["Right", "l"], Right, "right", "scroll right"),
    bind(Searching, &["n"], NextMatch, "next", "next match"),
    bind(Searching, &["N"], PreviousMatch, "previous", "match before"),
    bind(Source, &["Enter"], ShowPc, "pc", "back to the selected frame's line"),
    bind(Stack, &["Enter"], Open, "select", "select this frame"),
    bind(Values, &["Enter"], Open, "open", "show what is in it, or hide it; else the whole value"),
    bind(Values, &["Right", "l"], Unfold, "open", "show what is in it"),
    bind(Values, &["Left", "h"], Fold, "close", "hide what is in it, or go to what it is in"),
    bind(Values, &["K"], ShowWhole, "whole", "show the whole value"),
    bind(Values, &["e"], Edit, "edit", "give it another value"),
    bind(Watches, &["d", "Del"], Unwatch, "delete", "watch it no longer"),
    bind(Tasks, &["Enter"], Open, "its stack", "show this task's stack"),
    bind(Tasks, &["/"], Filter, "filter", "only tasks with this text in pid, name, state or wait"),
    bind(Tasks, &["S"], Sort, "order", "as the kernel lists them, by pid, by name, by state"),
    bind(Cpus, &["Enter"], Open, "its stack", "show this CPU's stack"),
    bind(Modules, &["Enter"], Open, "details", "all about this module"),
    bind(Modules, &["b"], BreakAtInit, "bp at init", "a breakpoint at its init function"),
    bind(Modules, &["/"], Filter, "filter", "only modules with this text in name or state"),
    bind(Modules, &["S"], Sort, "order", "newest first, by name, by address, by size, by symbols"),
    bind(Memory, &["Enter"], Open, "follow", "memory that the word at the cursor points at"),
    bind(Memory, &["Backspace"], Back, "back", "the memory shown before"),
    bind(Memory, &["x"], CycleUnit, "unit", "bytes, numbers, words with names"),
    bind(Memory, &["g"], MemoryAt, "go to", "memory at an address"),
    bind(Breakpoints, &["Enter"], Open, "go there", "show where the breakpoint is"),
    bind(Breakpoints, &["Space"], EnableBreakpoint, "on/off", "enable or disable it"),
    bind(Breakpoints, &["d", "Del"], DeleteBreakpoint, "delete", "take it away"),
];

/// The keys in force.
#[derive(Clone, Debug)]
pub struct Keymap {
    rows: Vec<(Key, &'static Binding)>,
}

impl Default for Keymap {
    fn default() -> Keymap {
        let rows = DEFAULT.iter().flat_map(|binding| {
            // A test holds that every key of the table parses.
            binding.keys.iter().filter_map(move |key| Some((key.parse().ok()?, binding)))
        });
        Keymap { rows: rows.collect() }
    }
}

impl Keymap {
    /// What `key` does where `scopes` hold, the first scope winning.
    pub fn action(&self, key: Key, scopes: &[Scope]) -> Option<Action> {
        scopes.iter().find_map(|scope| {
            let row = self.rows.iter().find(|(k, b)| *k == key && b.scope == *scope);
            row.map(|(_, binding)| binding.action)
        })
    }

    /// The first `most` keys of an action as text, joined by `/`; empty when
    /// it has none.
    pub fn keys(&self, action: Action, most: usize) -> String {
        let keys = self.rows.iter().filter(|(_, b)| b.action == action).take(most);
        keys.map(|(key, _)| key.to_string()).collect::<Vec<_>>().join("/")
    }

    /// The hint row's word for an action where `scopes` hold; one action may
    /// have another word in another pane.
    pub fn hint(&self, action: Action, scopes: &[Scope]) -> &'static str {
        let found = scopes.iter().find_map(|scope| {
            self.rows.iter().find(|(_, b)| b.action == action && b.scope == *scope)
        });
        found.map_or("", |(_, binding)| binding.hint)
    }

    /// The bindings of one scope, in the order of the table.
    pub fn bindings(&self, scope: Scope) -> impl Iterator<Item = &'static Binding> {
        DEFAULT.iter().filter(move |binding| binding.scope == scope)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::HashSet;

    #[test]
    fn every_key_of_the_table_parses_prints_back_and_is_bound_once() {
        let mut seen = HashSet::new();
        for binding in DEFAULT {
            for text in binding.keys {
                let key: Key = text.parse().unwrap();
                assert_eq!(key.to_string(), *text);
                assert!(
                    seen.insert((format!("{:?}", binding.scope), key)),
                    "{text} is bound twice in {:?}",
                    binding.scope
                );
            }
        }
    }

    #[test]
    fn function_keys_have_letter_twins() {
        for binding in DEFAULT {
            let plain = |key: &str| key.len() == 1 || key == "Space";
            if binding.keys.iter().any(|key| key.contains('F') && key.len() > 1) {
                assert!(binding.keys.iter().any(|key| plain(key)), "{:?}", binding.keys);
            }
        }
    }

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

    #[test]
    fn a_panes_own_keys_win() {
        let keys = Keymap::default();
        let key = "d".parse().unwrap();
        let there = [Scope::Breakpoints, Scope::Everywhere];
        assert_eq!(keys.action(key, &there), Some(Action::DeleteBreakpoint));
        assert_eq!(keys.action(key, &[Scope::Everywhere]), Some(Action::Command("down")));
        assert_eq!(keys.keys(Action::Command("interrupt"), 2), "F6/Ctrl-C");
    }
}
