//! Ready-made sets of keys: what each changes of the default ones. Only data.

use super::actions::Action::{
    self, Back, Command, CommandLine, CycleCode, End, Focus, Fold, GoTo, Help, Home, Leave,
    MemoryAt, NextMatch, NextPane, PageDown, PageUp, PreviousMatch, PreviousPane, Redraw,
    RunToCursor, Search, ShowPc, ToggleBreakpoint, Unfold, Watch, Zoom,
};
use super::keymap::Scope::{self, Everywhere, Memory, Searching, Values};

/// Keys that a set has instead of, or beside, the default ones.
pub type Change = (Scope, &'static [&'static str], Action);

/// One ready-made set.
#[derive(Clone, Copy, Debug)]
pub struct Preset {
    /// Its name in the settings.
    pub name: &'static str,
    /// Whose keys they are.
    pub about: &'static str,
    /// What is laid over the default keys. Keys that a row names come before the
    /// default ones of the same action; what else they did is gone.
    pub changes: &'static [Change],
}

/// All of them, the default first.
pub const PRESETS: &[Preset] = &[
    Preset { name: "kgdb", about: "gdb's letters and the usual function keys", changes: &[] },
    Preset { name: "gdb", about: "gdb's TUI: SingleKey mode and C-x", changes: GDB },
    Preset { name: "vi", about: "vi's movements, Ctrl-W for panes, as in cgdb", changes: VI },
    Preset { name: "windbg", about: "WinDbg and Visual Studio", changes: WINDBG },
    Preset { name: "jetbrains", about: "CLion and the other JetBrains IDEs", changes: JETBRAINS },
];

/// The set of a name.
pub fn named(name: &str) -> Option<&'static Preset> {
    PRESETS.iter().find(|preset| preset.name == name)
}

/// gdb's manual, "TUI Single Key Mode" and "TUI Key Bindings". `r` (run) and the
/// keys that switch the TUI off have no meaning here.
const GDB: &[Change] = &[
    (Everywhere, &["c"], Command("continue")),
    (Everywhere, &["Ctrl-C"], Command("interrupt")),
    (Everywhere, &["n"], Command("next")),
    (Everywhere, &["s"], Command("step")),
    (Everywhere, &["v"], Focus('5')),
    (Everywhere, &["w"], Focus('4')),
    (Everywhere, &["+"], Watch),
    (Everywhere, &["Ctrl-X o"], NextPane),
    (Everywhere, &["Ctrl-X O"], PreviousPane),
    (Everywhere, &["Ctrl-X 1"], Zoom),
    (Everywhere, &["Ctrl-X 2"], CycleCode),
    (Everywhere, &["Ctrl-X s", "Ctrl-X q"], CommandLine),
    (Everywhere, &["Ctrl-X b"], Focus('7')),
    (Everywhere, &["Ctrl-X r"], Focus('6')),
    (Everywhere, &["Ctrl-X m"], Focus('0')),
    (Everywhere, &["Ctrl-X t"], Focus('8')),
    (Everywhere, &["Ctrl-X l"], Redraw),
    (Everywhere, &["Ctrl-X ?"], Help),
];

/// vim's motion.txt, windows.txt and fold.txt, as far as they mean something
/// here; `h` `j` `k` `l` `/` `n` `N` `G` `:` are the default ones already.
const VI: &[Change] = &[
    (Everywhere, &["g g"], Home),
    (Everywhere, &["G"], End),
    (Everywhere, &["g t"], GoTo),
    (Everywhere, &["g ."], ShowPc),
    (Everywhere, &["Ctrl-F", "Ctrl-D"], PageDown),
    (Everywhere, &["Ctrl-B", "Ctrl-U"], PageUp),
    (Everywhere, &["/"], Search),
    (Everywhere, &["Ctrl-O"], Back),
    (Everywhere, &["Ctrl-W w", "Ctrl-W j", "Ctrl-W l"], NextPane),
    (Everywhere, &["Ctrl-W W", "Ctrl-W k", "Ctrl-W h"], PreviousPane),
    (Everywhere, &["Ctrl-W o", "z z"], Zoom),
    (Everywhere, &["Ctrl-W s"], Focus('1')),
    (Everywhere, &["Ctrl-W c"], Focus('2')),
    (Everywhere, &["Ctrl-W t"], Focus('4')),
    (Everywhere, &["Ctrl-W v"], Focus('5')),
    (Everywhere, &["Ctrl-W r"], Focus('6')),
    (Everywhere, &["Ctrl-W b"], Focus('7')),
    (Everywhere, &["Ctrl-W m"], Focus('0')),
    (Everywhere, &["Z Z", "Z Q"], Leave),
    (Values, &["z o"], Unfold),
    (Values, &["z c"], Fold),
    (Memory, &["g t"], MemoryAt),
];

/// Microsoft's "Keyboard shortcuts (WinDbg)".
const WINDBG: &[Change] = &[
    (Everywhere, &["F5"], Command("continue")),
    (Everywhere, &["F6", "Alt-Del"], Command("interrupt")),
    (Everywhere, &["F10"], Command("next")),
    (Everywhere, &["F11", "F8"], Command("step")),
    (Everywhere, &["Shift-F11"], Command("finish")),
    (Everywhere, &["F7", "Ctrl-F10"], RunToCursor),
    (Everywhere, &["F9"], ToggleBreakpoint),
    (Everywhere, &["Shift-F5"], Leave),
    (Everywhere, &["Alt-1"], CommandLine),
    (Everywhere, &["Alt-2"], Focus('W')),
    (Everywhere, &["Alt-3"], Focus('5')),
    (Everywhere, &["Alt-4"], Focus('6')),
    (Everywhere, &["Alt-5"], Focus('0')),
    (Everywhere, &["Alt-6"], Focus('4')),
    (Everywhere, &["Alt-7"], CycleCode),
    (Everywhere, &["Alt-9"], Focus('8')),
    (Everywhere, &["Alt-F9"], Focus('7')),
    (Everywhere, &["Ctrl-G"], GoTo),
    (Everywhere, &["Ctrl-F"], Search),
    (Searching, &["F3"], NextMatch),
    (Searching, &["Shift-F3"], PreviousMatch),
];

/// JetBrains' "Windows" keymap (`$default.xml` of the IntelliJ platform).
const JETBRAINS: &[Change] = &[
    (Everywhere, &["F9"], Command("continue")),
    (Everywhere, &["F8"], Command("next")),
    (Everywhere, &["F7"], Command("step")),
    (Everywhere, &["Shift-F8"], Command("finish")),
    (Everywhere, &["Alt-F9"], RunToCursor),
    (Everywhere, &["Ctrl-F8"], ToggleBreakpoint),
    (Everywhere, &["Alt-F10"], ShowPc),
    (Everywhere, &["Ctrl-F2"], Leave),
    (Everywhere, &["Alt-F8"], CommandLine),
    (Everywhere, &["Ctrl-G"], GoTo),
    (Everywhere, &["Ctrl-F"], Search),
    (Everywhere, &["Ctrl-Alt-Left"], Back),
    (Searching, &["F3"], NextMatch),
    (Searching, &["Shift-F3"], PreviousMatch),
];

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::actions;
    use crate::config::keymap::{DEFAULT, Found, Keymap, is_plain, sequence, written};
    use std::collections::HashSet;

    #[test]
    fn each_set_reaches_every_action() {
        for preset in PRESETS {
            let keymap = Keymap::of(preset);
            for row in DEFAULT {
                let keys = keymap.keys(row.action, &[row.scope, Everywhere], 1);
                let name = row.action.name();
                assert!(!keys.is_empty(), "{}: no key for {name} in {:?}", preset.name, row.scope);
            }
            for row in actions::all() {
                let found = keymap.bindings().iter().any(|binding| binding.action == row.action);
                assert!(found, "{}: no key for {}", preset.name, row.name);
            }
        }
    }

    #[test]
    fn keys_of_a_set_parse_once_and_are_in_force() {
        for preset in PRESETS {
            let keymap = Keymap::of(preset);
            let mut seen = HashSet::new();
            for (scope, keys, action) in preset.changes {
                for text in *keys {
                    let keys = sequence(text).unwrap();
                    assert_eq!(written(&keys), *text, "{}", preset.name);
                    assert!(seen.insert((scope.name(), *text)), "{}: {text}", preset.name);
                    assert_eq!(keymap.find(&keys, &[*scope]), Found::Action(*action), "{text}");
                }
            }
        }
    }

    #[test]
    fn function_keys_have_twins_that_no_terminal_takes() {
        for preset in PRESETS {
            let keymap = Keymap::of(preset);
            for binding in keymap.bindings().iter().filter(|b| !is_plain(&b.keys)) {
                let scopes = [binding.scope, Everywhere];
                let twin = keymap.bindings().iter().any(|other| {
                    other.action == binding.action
                        && is_plain(&other.keys)
                        && keymap.find(&other.keys, &scopes) == Found::Action(binding.action)
                });
                assert!(twin, "{}: {} has no twin", preset.name, written(&binding.keys));
            }
        }
    }

    #[test]
    fn ctrl_c_always_stops_the_guest_and_esc_closes() {
        for preset in PRESETS {
            let keymap = Keymap::of(preset);
            let at = |key: &str| keymap.action(key.parse().unwrap(), &[Everywhere]);
            assert_eq!(at("Ctrl-C"), Some(Command("interrupt")), "{}", preset.name);
            assert_eq!(at("Esc"), Some(Action::Escape), "{}", preset.name);
        }
    }

    #[test]
    fn a_sets_own_keys_are_shown_first() {
        let keys =
            |name: &str, action| Keymap::of(named(name).unwrap()).keys(action, &[Everywhere], 2);
        assert_eq!(keys("kgdb", Command("continue")), "F5/c");
        assert_eq!(keys("gdb", Command("continue")), "c/F5");
        assert_eq!(keys("jetbrains", Command("continue")), "F9/F5");
        assert_eq!(keys("windbg", Command("step")), "F11/F8");
        assert_eq!(keys("vi", PageDown), "Ctrl-F/Ctrl-D");
        assert!(named("emacs").is_none());
        let hint =
            |name: &str, action| Keymap::of(named(name).unwrap()).hint_keys(action, &[Everywhere]);
        assert_eq!(hint("kgdb", Command("finish")), "f");
        assert_eq!(hint("windbg", Command("step")), "F11/s");
        assert_eq!(hint("jetbrains", ToggleBreakpoint), "Ctrl-F8/b");
        assert_eq!(hint("vi", Zoom), "Ctrl-W o");
    }
}
