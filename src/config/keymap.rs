//! Which keys do what: the table of the default keys, and the keys in force.
//! Hint row, key sheet and the words "F6 stops it" come from here.

use super::actions::Action;
use super::key::{Key, KeyError};
use super::presets::Preset;
use crossterm::event::{KeyCode, KeyModifiers};

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
    /// In the registers pane.
    Registers,
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
    /// In the disassembly pane.
    Disassembly,
    /// In the dmesg pane.
    Dmesg,
    /// In the log pane.
    Log,
    /// In the packets pane.
    Packets,
    /// In the console pane.
    Console,
}

impl Scope {
    /// Every scope, by its name in the settings.
    pub const NAMES: &[(&str, Scope)] = &[
        ("everywhere", Everywhere),
        ("searching", Searching),
        ("source", Source),
        ("stack", Stack),
        ("values", Values),
        ("watches", Watches),
        ("registers", Registers),
        ("breakpoints", Breakpoints),
        ("tasks", Tasks),
        ("cpus", Cpus),
        ("modules", Modules),
        ("memory", Memory),
        ("console", Console),
    ];

    /// The scope of a name.
    pub fn named(name: &str) -> Option<Scope> {
        Scope::NAMES.iter().find(|(own, _)| *own == name).map(|(_, scope)| *scope)
    }

    /// Its name in the settings.
    pub fn name(self) -> &'static str {
        Scope::NAMES.iter().find(|(_, scope)| *scope == self).map_or("", |(name, _)| name)
    }
}

/// One row of the table of default keys.
#[derive(Clone, Copy, Debug)]
pub struct Row {
    /// Where it holds.
    pub scope: Scope,
    /// The keys, the one to show first, first; those of a sequence are separated
    /// by spaces (`g g`).
    pub keys: &'static [&'static str],
    /// What they do.
    pub action: Action,
    /// A word for the hint row and a sentence for the key sheet, where the
    /// action means something of its own there.
    own: Option<(&'static str, &'static str)>,
}

const fn bind(scope: Scope, keys: &'static [&'static str], action: Action) -> Row {
    Row { scope, keys, action, own: None }
}

const fn own(
    scope: Scope,
    keys: &'static [&'static str],
    action: Action,
    hint: &'static str,
    help: &'static str,
) -> Row {
    Row { scope, keys, action, own: Some((hint, help)) }
}

use Action::{
    Back, BreakAtInit, Command, CommandLine, CopyPane, CopyRow, CycleCode, CycleLevel, CycleUnit,
    DeleteBreakpoint, Down, Edit, EditCommands, EditIgnore, EnableBreakpoint, End, EndTyping,
    Escape, Filter, Focus, Fold, Forward, GoTo, Help, Higher, Home, Leave, Left, Lower, MemoryAt,
    Narrower, NextLayout, NextMatch, NextPane, NextSubject, Open, OpenEditor, PageDown, PageUp,
    Palette, PreviousMatch, PreviousPane, PreviousSubject, Redraw, Right, RunToCursor, Search,
    ShowPc, ShowWhole, Sort, Suspend, TemporaryBreakpoint, ToggleBreakpoint, ToggleFlavor,
    ToggleValues, TypeConsole, Unfold, Unwatch, Up, Watch, Wider, Zoom,
};
use Scope::{
    Breakpoints, Console, Cpus, Disassembly, Dmesg, Everywhere, Log, Memory, Modules, Packets,
    Registers, Searching, Source, Stack, Tasks, Values, Watches,
};

/// The default keys. Every function key has a letter twin, because terminals
/// and window managers take F1, F10 and F11 for themselves.
pub const DEFAULT: &[Row] = &[
    bind(Everywhere, &["F5", "c"], Command("continue")),
    bind(Everywhere, &["F6", "Ctrl-C", "p"], Command("interrupt")),
    bind(Everywhere, &["F10", "n", "F8"], Command("next")),
    bind(Everywhere, &["F11", "s", "F7"], Command("step")),
    bind(Everywhere, &["f", "Shift-F11"], Command("finish")),
    bind(Everywhere, &["i"], Command("stepi")),
    bind(Everywhere, &["o"], Command("nexti")),
    bind(Everywhere, &["F9", "b", "Space"], ToggleBreakpoint),
    bind(Everywhere, &["P"], Command("plant")),
    bind(Everywhere, &["t"], TemporaryBreakpoint),
    bind(Everywhere, &["C", "Ctrl-F10"], RunToCursor),
    bind(Everywhere, &["u", "["], Command("up")),
    bind(Everywhere, &["d", "]"], Command("down")),
    bind(Everywhere, &["Tab"], NextPane),
    bind(Everywhere, &["Shift-Tab"], PreviousPane),
    bind(Everywhere, &["1"], Focus('1')),
    bind(Everywhere, &["2"], Focus('2')),
    bind(Everywhere, &["3"], Focus('3')),
    bind(Everywhere, &["4"], Focus('4')),
    bind(Everywhere, &["5"], Focus('5')),
    bind(Everywhere, &["6"], Focus('6')),
    bind(Everywhere, &["7"], Focus('7')),
    bind(Everywhere, &["8"], Focus('8')),
    bind(Everywhere, &["9"], Focus('9')),
    bind(Everywhere, &["0"], Focus('0')),
    bind(Everywhere, &["M"], Focus('M')),
    bind(Everywhere, &["W"], Focus('W')),
    bind(Everywhere, &["L"], Focus('L')),
    bind(Everywhere, &["D"], Focus('D')),
    bind(Everywhere, &["X"], Focus('X')),
    bind(Everywhere, &["{"], PreviousSubject),
    bind(Everywhere, &["}"], NextSubject),
    bind(Everywhere, &["w"], Watch),
    bind(Everywhere, &["m"], MemoryAt),
    bind(Everywhere, &["z"], Zoom),
    bind(Everywhere, &["F4", "v", "V v"], NextLayout),
    bind(Everywhere, &["V c", "Alt-1"], Command("layout code")),
    bind(Everywhere, &["V a", "Alt-2"], Command("layout asm")),
    bind(Everywhere, &["V d", "Alt-3"], Command("layout data")),
    bind(Everywhere, &["V o", "Alt-4"], Command("layout console")),
    bind(Everywhere, &["V t", "Alt-5"], Command("layout triage")),
    bind(Everywhere, &[">", "Ctrl-Right"], Wider),
    bind(Everywhere, &["<", "Ctrl-Left"], Narrower),
    bind(Everywhere, &["+", "Ctrl-Up"], Higher),
    bind(Everywhere, &["-", "Ctrl-Down"], Lower),
    bind(Everywhere, &["y"], CopyRow),
    bind(Everywhere, &["Y"], CopyPane),
    bind(Everywhere, &["a"], CycleCode),
    bind(Everywhere, &["A"], ToggleFlavor),
    bind(Everywhere, &["."], ShowPc),
    bind(Everywhere, &["/", "Ctrl-F"], Search),
    bind(Everywhere, &["g"], GoTo),
    bind(Everywhere, &["Ctrl-P", "F2", "O"], Palette),
    bind(Everywhere, &["Backspace", "Alt-Left"], Back),
    bind(Everywhere, &["\\", "Alt-Right"], Forward),
    bind(Everywhere, &[":"], CommandLine),
    bind(Everywhere, &["?", "F1"], Help),
    bind(Everywhere, &["Ctrl-L"], Redraw),
    bind(Everywhere, &["Ctrl-Z"], Suspend),
    bind(Everywhere, &["Esc"], Escape),
    bind(Everywhere, &["q"], Leave),
    bind(Everywhere, &["Up", "k"], Up),
    bind(Everywhere, &["Down", "j"], Down),
    bind(Everywhere, &["PgUp"], PageUp),
    bind(Everywhere, &["PgDn"], PageDown),
    bind(Everywhere, &["Home"], Home),
    bind(Everywhere, &["End", "G"], End),
    bind(Everywhere, &["Left", "h"], Left),
    bind(Everywhere, &["Right", "l"], Right),
    own(Searching, &["n"], NextMatch, "next", "next match"),
    own(Searching, &["N"], PreviousMatch, "previous", "match before"),
    own(Source, &["Enter"], Open, "definition", "go where the name at the cursor is defined"),
    own(Source, &["K"], ShowWhole, "peek", "type and value of the name at the cursor"),
    own(Source, &["v"], ToggleValues, "values", "values beside the line where it stopped, or none"),
    own(Source, &["Left", "h"], Left, "name", "to the name before in the line, else scroll left"),
    own(Source, &["Right", "l"], Right, "name", "to the next name in the line, else scroll right"),
    bind(Source, &["e"], OpenEditor),
    own(Stack, &["Enter"], Open, "select", "select this frame"),
    own(Values, &["Enter"], Open, "open", "show what is in it, or hide it; else the whole value"),
    own(Values, &["Right", "l"], Unfold, "open", "show what is in it"),
    own(Values, &["Left", "h"], Fold, "close", "hide what is in it, or go to what it is in"),
    own(Values, &["K"], ShowWhole, "whole", "show the whole value"),
    own(Values, &["x"], CycleUnit, "hex", "numbers in hexadecimal, or as people count"),
    own(Values, &["e"], Edit, "edit", "give it another value"),
    own(Watches, &["d", "Del"], Unwatch, "delete", "watch it no longer"),
    own(Tasks, &["Enter"], Open, "its stack", "show this task's stack"),
    own(Tasks, &["/"], Filter, "filter", "only tasks with this text in pid, name, state or wait"),
    own(Tasks, &["S"], Sort, "order", "as the kernel lists them, by pid, by name, by state"),
    own(Cpus, &["Enter"], Open, "its stack", "show this CPU's stack"),
    own(Modules, &["Enter"], Open, "details", "all about this module"),
    own(Modules, &["b"], BreakAtInit, "bp at init", "a breakpoint at its init function"),
    own(Modules, &["/"], Filter, "filter", "only modules with this text in name or state"),
    own(Modules, &["S"], Sort, "order", "newest first, by name, by address, by size, by symbols"),
    own(Memory, &["Enter"], Open, "follow", "memory that the word at the cursor points at"),
    own(Memory, &["Backspace"], Back, "back", "the memory shown before"),
    own(Memory, &["x"], CycleUnit, "unit", "bytes, numbers, words with names"),
    own(Memory, &["g"], MemoryAt, "go to", "memory at an address"),
    own(Disassembly, &["Enter"], Open, "follow", "what the instruction calls or jumps to"),
    own(Disassembly, &["Backspace"], Back, "back", "the instructions shown before"),
    own(Disassembly, &["g"], GoTo, "go to", "the instructions of a function or *ADDRESS"),
    own(Disassembly, &["."], ShowPc, "pc", "back to the selected frame"),
    own(Dmesg, &["Enter"], Open, "go there", "the source that the line names, else the whole line"),
    own(Dmesg, &["K"], ShowWhole, "whole", "the whole line, and who wrote it"),
    own(Dmesg, &["/"], Filter, "filter", "only lines with this text"),
    own(Dmesg, &["v"], CycleLevel, "level", "all lines, warnings and worse, errors and worse"),
    own(Packets, &["Enter"], Open, "whole", "the whole packet, decoded, and what it was for"),
    own(Packets, &["/"], Filter, "filter", "only packets with this text"),
    own(
        Console,
        &["Enter", "i"],
        TypeConsole,
        "type",
        "type into the guest's console while it runs",
    ),
    own(
        Console,
        &["Ctrl-]"],
        EndTyping,
        "ends typing",
        "end of typing into it: keys are ours again",
    ),
    own(Console, &["/"], Filter, "filter", "only lines with this text"),
    own(Log, &["Enter"], Open, "whole", "the whole message, and what it means"),
    own(Log, &["/"], Filter, "filter", "only messages with this text"),
    own(Log, &["v"], CycleLevel, "level", "all messages, warnings and worse, errors"),
    own(Registers, &["Enter"], Open, "details", "its value in every form, and before"),
    own(Registers, &["e"], Edit, "edit", "give it another value"),
    own(
        Registers,
        &["x"],
        CycleUnit,
        "names",
        "each in a row with what it points at, or all in a grid",
    ),
    own(Registers, &["Left", "h"], Left, "left", "to the register on the left"),
    own(Registers, &["Right", "l"], Right, "right", "to the register on the right"),
    own(Breakpoints, &["Enter"], Open, "go there", "show where the breakpoint is"),
    own(Breakpoints, &["Space"], EnableBreakpoint, "on/off", "enable or disable it"),
    own(Breakpoints, &["e"], Edit, "condition", "change when it counts: an expression"),
    own(Breakpoints, &["x"], EditIgnore, "ignore", "go on at so many of the next hits"),
    own(Breakpoints, &["E"], EditCommands, "commands", "change what is done when it stops"),
    own(Breakpoints, &["d", "Del"], DeleteBreakpoint, "delete", "take it away"),
];

/// A key, or several one after another, and what they do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Binding {
    /// Where it holds.
    pub scope: Scope,
    /// The keys.
    pub keys: Vec<Key>,
    /// What they do.
    pub action: Action,
}

/// What keys lead to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Found {
    /// They do this.
    Action(Action),
    /// They begin a sequence; the keys that go on, and what these lead to.
    Prefix(Vec<(Key, Next)>),
    /// They are bound to nothing.
    Nothing,
}

/// What one more key leads to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Next {
    /// This action.
    Action(Action),
    /// Still more keys.
    More,
}

/// The keys in force.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Keymap {
    bindings: Vec<Binding>,
}

impl Default for Keymap {
    fn default() -> Keymap {
        let mut keymap = Keymap { bindings: Vec::new() };
        for row in DEFAULT {
            // A test holds that every key of the table parses.
            for keys in row.keys.iter().filter_map(|text| sequence(text).ok()) {
                keymap.bindings.push(Binding { scope: row.scope, keys, action: row.action });
            }
        }
        keymap
    }
}

/// The keys of a text such as `g g` or `Ctrl-X o`.
pub fn sequence(text: &str) -> Result<Vec<Key>, KeyError> {
    let keys: Vec<Key> = text.split_whitespace().map(str::parse).collect::<Result<_, _>>()?;
    if keys.is_empty() { Err(KeyError::of(text)) } else { Ok(keys) }
}

/// Whether one begins with the other.
fn overlap(a: &[Key], b: &[Key]) -> bool {
    a.starts_with(b) || b.starts_with(a)
}

/// Whether keys reach every program: no function keys, which terminals and
/// window managers take, and none with Alt, which opens menus.
pub fn is_plain(keys: &[Key]) -> bool {
    keys.iter()
        .all(|key| !matches!(key.code, KeyCode::F(_)) && !key.modifiers.contains(KeyModifiers::ALT))
}

/// Keys as they are written.
pub fn written(keys: &[Key]) -> String {
    keys.iter().map(Key::to_string).collect::<Vec<_>>().join(" ")
}

impl Keymap {
    /// The keys of a ready-made set.
    pub fn of(preset: &Preset) -> Keymap {
        let mut keymap = Keymap::default();
        for (scope, keys, action) in preset.changes {
            // Each comes before the ones there are.
            for keys in keys.iter().rev().filter_map(|text| sequence(text).ok()) {
                keymap.bind(*scope, keys, *action);
            }
        }
        keymap
    }

    /// All that is bound.
    pub fn bindings(&self) -> &[Binding] {
        &self.bindings
    }

    /// Binds keys, before others of the same action. What the same keys did
    /// before is gone; so is what could no longer be typed: sequences that they
    /// begin, and keys that begin them.
    pub fn bind(&mut self, scope: Scope, keys: Vec<Key>, action: Action) {
        let same = |old: &Binding| old.scope == scope && old.action == action;
        let at = self.bindings.iter().position(same).unwrap_or(self.bindings.len());
        self.bindings.insert(at, Binding { scope, keys: keys.clone(), action });
        let mut index = 0;
        self.bindings.retain(|old| {
            index += 1;
            index == at + 1 || old.scope != scope || !overlap(&old.keys, &keys)
        });
    }

    /// Takes away what is bound to the keys, what they begin, and what begins
    /// them.
    pub fn unbind(&mut self, scope: Scope, keys: &[Key]) {
        self.bindings.retain(|old| old.scope != scope || !overlap(&old.keys, keys));
    }

    /// What `keys` lead to where `scopes` hold, the first scope winning.
    pub fn find(&self, keys: &[Key], scopes: &[Scope]) -> Found {
        let mut next: Vec<(Key, Next)> = Vec::new();
        for scope in scopes {
            for binding in self.bindings.iter().filter(|binding| binding.scope == *scope) {
                match binding.keys.strip_prefix(keys) {
                    Some([]) if next.is_empty() => return Found::Action(binding.action),
                    Some([key, rest @ ..]) if next.iter().all(|(known, _)| known != key) => {
                        let to =
                            if rest.is_empty() { Next::Action(binding.action) } else { Next::More };
                        next.push((*key, to));
                    }
                    _ => {}
                }
            }
        }
        if next.is_empty() { Found::Nothing } else { Found::Prefix(next) }
    }

    /// What one key does where `scopes` hold.
    pub fn action(&self, key: Key, scopes: &[Scope]) -> Option<Action> {
        match self.find(&[key], scopes) {
            Found::Action(action) => Some(action),
            Found::Prefix(_) | Found::Nothing => None,
        }
    }

    /// The first `most` keys that do `action` where `scopes` hold, as text,
    /// joined by `/`; empty when there are none.
    pub fn keys(&self, action: Action, scopes: &[Scope], most: usize) -> String {
        let keys = scopes.iter().flat_map(|scope| self.keys_of(*scope, action));
        let keys = keys.filter(|keys| self.find(keys, scopes) == Found::Action(action));
        keys.take(most).map(written).collect::<Vec<_>>().join("/")
    }

    /// The first keys that do `action` where `scopes` hold, for the hint row; where
    /// these are a function key, which terminals take for themselves, or one
    /// with Alt, the first that are neither as well.
    pub fn hint_keys(&self, action: Action, scopes: &[Scope]) -> String {
        let all = scopes.iter().flat_map(|scope| self.keys_of(*scope, action));
        let mut all = all.filter(|keys| self.find(keys, scopes) == Found::Action(action));
        match all.next() {
            None => String::new(),
            Some(first) if is_plain(first) => written(first),
            Some(first) => match all.find(|keys| is_plain(keys)) {
                Some(twin) => format!("{}/{}", written(first), written(twin)),
                None => written(first),
            },
        }
    }

    fn keys_of(&self, scope: Scope, action: Action) -> impl Iterator<Item = &[Key]> {
        let same = move |binding: &&Binding| binding.scope == scope && binding.action == action;
        self.bindings.iter().filter(same).map(|binding| &binding.keys[..])
    }

    /// What is bound in one scope, each action once and with all its keys that
    /// work where `scopes` hold, in the order of the table.
    pub fn sheet(&self, scope: Scope, scopes: &[Scope]) -> Vec<(Vec<String>, Action)> {
        let mut rows: Vec<(Vec<String>, Action)> = Vec::new();
        for binding in self.bindings.iter().filter(|binding| binding.scope == scope) {
            if self.find(&binding.keys, scopes) != Found::Action(binding.action) {
                continue;
            }
            let keys = written(&binding.keys);
            match rows.iter_mut().find(|(_, action)| *action == binding.action) {
                Some((all, _)) => all.push(keys),
                None => rows.push((vec![keys], binding.action)),
            }
        }
        rows
    }
}

/// What the action means in the first of `scopes` where it means something of
/// its own: the hint row's word and the key sheet's sentence.
fn meaning(action: Action, scopes: &[Scope]) -> Option<(&'static str, &'static str)> {
    let own = |scope: &Scope| {
        DEFAULT
            .iter()
            .find_map(|row| row.own.filter(|_| row.scope == *scope && row.action == action))
    };
    scopes.iter().find_map(own)
}

/// The hint row's word for an action where `scopes` hold.
pub fn hint(action: Action, scopes: &[Scope]) -> &'static str {
    meaning(action, scopes).map_or(action.hint(), |(hint, _)| hint)
}

/// The key sheet's words for an action where `scopes` hold.
pub fn help(action: Action, scopes: &[Scope]) -> &'static str {
    meaning(action, scopes).map_or(action.help(), |(_, help)| help)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::HashSet;

    fn keys(text: &str) -> Vec<Key> {
        sequence(text).unwrap()
    }

    #[test]
    fn every_key_of_the_table_parses_prints_back_and_is_bound_once() {
        let mut seen = HashSet::new();
        for row in DEFAULT {
            for text in row.keys {
                assert_eq!(written(&keys(text)), *text);
                assert!(
                    seen.insert((format!("{:?}", row.scope), keys(text))),
                    "{text} is bound twice in {:?}",
                    row.scope
                );
            }
        }
        let bound: usize = DEFAULT.iter().map(|row| row.keys.len()).sum();
        assert_eq!(Keymap::default().bindings.len(), bound, "none hides another");
    }

    #[test]
    fn function_keys_have_letter_twins() {
        for row in DEFAULT {
            let plain = |key: &str| key.len() == 1 || key == "Space";
            if row.keys.iter().any(|key| key.contains('F') && key.len() > 1) {
                assert!(row.keys.iter().any(|key| plain(key)), "{:?}", row.keys);
            }
        }
    }

    #[test]
    fn a_panes_own_keys_win() {
        let keymap = Keymap::default();
        let key = "d".parse().unwrap();
        let there = [Breakpoints, Everywhere];
        assert_eq!(keymap.action(key, &there), Some(DeleteBreakpoint));
        assert_eq!(keymap.action(key, &[Everywhere]), Some(Command("down")));
        assert_eq!(keymap.keys(Command("interrupt"), &there, 2), "F6/Ctrl-C");
        assert_eq!(keymap.keys(Command("down"), &there, 9), "]", "the other key is the pane's");
        assert_eq!(hint(Edit, &there), "condition");
        assert_eq!(hint(Zoom, &there), "zoom");
    }

    #[test]
    fn sequences_lead_on_and_the_last_word_counts() {
        let mut keymap = Keymap::default();
        keymap.bind(Everywhere, keys("g g"), Home);
        keymap.bind(Everywhere, keys("g d x"), Zoom);
        keymap.bind(Source, keys("g p"), ShowPc);
        let there = [Source, Everywhere];
        let next = |key: &str, action| (key.parse().unwrap(), action);
        let g = vec![
            next("p", Next::Action(ShowPc)),
            next("d", Next::More),
            next("g", Next::Action(Home)),
        ];
        assert_eq!(keymap.find(&keys("g"), &there), Found::Prefix(g));
        assert_eq!(keymap.find(&keys("g g"), &there), Found::Action(Home));
        assert_eq!(keymap.find(&keys("g q"), &there), Found::Nothing);
        assert_eq!(keymap.keys(Home, &there, 2), "g g/Home");
        assert_eq!(keymap.keys(GoTo, &there, 2), "", "its key begins a sequence now");
        keymap.bind(Everywhere, keys("g"), GoTo);
        assert_eq!(keymap.find(&keys("g"), &[Everywhere]), Found::Action(GoTo));
        assert_eq!(keymap.keys(Home, &[Everywhere], 2), "Home");
        assert!(sequence("  ").is_err() && sequence("g ??").is_err());
    }
}
