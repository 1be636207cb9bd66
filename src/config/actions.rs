//! What keys can do: one table. It makes the enum, the words of the hint row
//! and the key sheet, and the commands of the `:` line, so that these can't
//! disagree.

use std::collections::BTreeSet;
use std::sync::{Mutex, PoisonError};

/// Every action that needs no more than its name, one a row:
///
/// the action, its name as one types it, a word or two for the hint row, and
/// what it does, for the key sheet and the command's help.
///
/// A new action is one row here, what it does in `ui/act.rs` or in a pane, and
/// its keys in `config/keymap.rs`. The macro hands the rows to another one; the
/// table of commands (`command/screen.rs`) is made from the same rows.
macro_rules! every_action {
    ($to:ident) => {
        $to! {
            ToggleBreakpoint "toggle-breakpoint" "bp"
                "set a breakpoint at the cursor, or take it away";
            TemporaryBreakpoint "break-once" "once" "a breakpoint for one hit here";
            RunToCursor "run-to-cursor" "to cursor" "run to the cursor";
            NextPane "next-pane" "pane" "next pane";
            PreviousPane "previous-pane" "pane" "pane before";
            Zoom "zoom" "zoom" "this pane over the whole screen, and back";
            NextLayout "next-layout" "layout"
                "the next layout: code, asm, data, console, triage";
            Wider "wider" "wider" "this pane wider";
            Narrower "narrower" "narrower" "this pane narrower";
            Higher "higher" "higher" "this pane higher";
            Lower "lower" "lower" "this pane lower";
            CopyRow "copy-row" "copy" "copy the row, value or line at the cursor (OSC 52; not every terminal takes it)";
            CopyPane "copy-pane" "copy all" "copy all rows of this pane (OSC 52; else: save pane FILE)";
            OpenEditor "open-editor" "editor" "open $EDITOR at the line of the cursor";
            CycleCode "cycle-code" "asm" "source, mixed, instructions";
            ToggleFlavor "toggle-flavor" "flavor" "instructions as AT&T or as Intel write them";
            ShowPc "show-pc" "pc" "back to the selected frame's line";
            Search "search-source" "find" "find a text in the source";
            NextMatch "next-match" "next" "next match";
            PreviousMatch "previous-match" "previous" "match before";
            GoTo "go-to" "go to" "go to a line, FILE:LINE, function or *ADDRESS";
            Back "go-back" "back" "where the source pane was before";
            Forward "go-forward" "forward" "where the source pane was before it went back";
            ToggleValues "toggle-values" "values" "values beside the line where it stopped, or none";
            Open "open" "open"
                "open what the cursor is on: frame, breakpoint, value, task, module";
            Unfold "unfold" "open" "show what is in the value at the cursor";
            Fold "fold" "close" "hide what is in the value, or go to what it is in";
            Watch "add-watch" "watch" "watch the value at the cursor, or an expression";
            Unwatch "remove-watch" "delete" "watch what the cursor is on no longer";
            MemoryAt "show-memory" "memory"
                "memory the value at the cursor points at, or at an address";
            CycleUnit "cycle-unit" "unit" "memory as bytes, numbers, words with names";
            Edit "edit-value" "edit" "give the value the cursor is on another one";
            Filter "filter" "filter" "only rows with a text";
            Sort "sort" "order" "another order of rows";
            CycleLevel "cycle-level" "level" "only messages of a level or worse";
            PreviousSubject "previous-task" "task" "the stack of the task or CPU before";
            NextSubject "next-task" "task" "the stack of the next task or CPU";
            ShowWhole "show-whole" "whole" "show the whole of what the pane cuts";
            BreakAtInit "break-at-init" "bp at init"
                "a breakpoint at the init function of the module at the cursor";
            EditIgnore "edit-ignore" "ignore" "go on at so many of the next hits";
            EditCommands "edit-commands" "commands" "change what is done when it stops";
            EnableBreakpoint "toggle-enabled" "on/off"
                "enable or disable the breakpoint the cursor is on";
            DeleteBreakpoint "delete-breakpoint" "delete"
                "take the breakpoint the cursor is on away";
            TypeConsole "type-console" "type" "type into the guest's console while it runs";
            EndTyping "end-typing" "end typing" "keys are the debugger's again";
            Palette "palette" "anything"
                "find anything by some letters: commands, functions, files, types, tasks";
            CommandLine "command-line" "cmd" "command line, gdb's words";
            Help "keys" "help" "the keys of this pane";
            Redraw "redraw" "redraw" "draw everything again";
            Suspend "suspend" "suspend" "back to the shell for a while (fg returns)";
            Escape "close" "close" "close what is open, end a search";
            Leave "leave" "quit" "leave; asks what becomes of the guest";
            Up "cursor-up" "up" "cursor up";
            Down "cursor-down" "down" "cursor down";
            PageUp "page-up" "page" "a screenful up";
            PageDown "page-down" "page" "a screenful down";
            Home "first-row" "first" "to the first row";
            End "last-row" "last" "to the last row";
            Left "scroll-left" "left" "scroll left";
            Right "scroll-right" "right" "scroll right";
        }
    };
}
pub(crate) use every_action;

macro_rules! define {
    ($($action:ident $name:literal $hint:literal $help:literal;)*) => {
        /// What a key does.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
        pub enum Action {
            /// A line of the command table, as if typed after `:`.
            Command(&'static str),
            /// Give a pane the keys, by the pane's own key.
            Focus(char),
            $(#[doc = $help] $action,)*
        }

        const SIMPLE: &[ActionDef] = &[
            $(ActionDef { action: Action::$action, name: $name, hint: $hint, help: $help }),*
        ];
    };
}

/// One row of the table.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ActionDef {
    /// What it does.
    pub action: Action,
    /// Its name, as it is typed after `:` and in settings.
    pub name: &'static str,
    /// A word or two for the hint row.
    pub hint: &'static str,
    /// What it does, in words.
    pub help: &'static str,
}

every_action!(define);

/// The panes: what gives each the keys.
pub const PANES: &[ActionDef] = &[
    pane('1', "focus source", "source", "source pane"),
    pane('2', "focus console", "console", "what the guest prints"),
    pane('3', "focus log", "log", "messages of the debugger"),
    pane('4', "focus stack", "stack", "stack pane"),
    pane('5', "focus variables", "variables", "variables pane"),
    pane('6', "focus registers", "registers", "registers pane"),
    pane('7', "focus breakpoints", "breakpoints", "breakpoints pane"),
    pane('8', "focus tasks", "tasks", "tasks pane"),
    pane('9', "focus cpus", "CPUs", "CPUs pane"),
    pane('0', "focus memory", "memory", "memory pane"),
    pane('M', "focus modules", "modules", "modules pane"),
    pane('W', "focus watches", "watches", "watch pane"),
    pane('L', "focus dmesg", "dmesg", "the kernel's log"),
    pane('D', "focus disassembly", "disassembly", "instructions alone"),
    pane('X', "focus packets", "packets", "what goes over the wire"),
];

/// Commands that have keys of their own. Any other line may have one as well.
const LINES: &[ActionDef] = &[
    line("continue", "go", "let the guest run"),
    line("interrupt", "break in", "stop the running guest"),
    line("next", "over", "to the next line, over calls"),
    line("step", "into", "to the next line, into functions that have lines"),
    line("finish", "out", "until the selected frame returns"),
    line("stepi", "instr", "one instruction"),
    line("nexti", "instr over", "one instruction, over a call"),
    line(
        "plant",
        "plant now",
        "plant what was set while the guest runs: it is stopped for a moment",
    ),
    line("up", "up", "select the frame that called this one"),
    line("down", "down", "select the frame that this one called"),
];

const fn pane(key: char, name: &'static str, hint: &'static str, help: &'static str) -> ActionDef {
    ActionDef { action: Action::Focus(key), name, hint, help }
}

const fn line(name: &'static str, hint: &'static str, help: &'static str) -> ActionDef {
    ActionDef { action: Action::Command(name), name, hint, help }
}

/// Every action that has a name of its own.
pub fn all() -> impl Iterator<Item = &'static ActionDef> {
    LINES.iter().chain(SIMPLE).chain(PANES)
}

/// The action of a name.
pub fn named(name: &str) -> Option<Action> {
    all().find(|row| row.name == name).map(|row| row.action)
}

impl Action {
    /// Its row; a line of the user's own has none.
    pub fn row(self) -> Option<&'static ActionDef> {
        all().find(|row| row.action == self)
    }

    /// How it is written: its name, or the line.
    pub fn name(self) -> &'static str {
        match (self.row(), self) {
            (Some(row), _) => row.name,
            (None, Action::Command(line)) => line,
            (None, _) => "",
        }
    }

    /// A word or two for the hint row.
    pub fn hint(self) -> &'static str {
        self.row().map_or(self.name(), |row| row.hint)
    }

    /// What it does, in words.
    pub fn help(self) -> &'static str {
        self.row().map_or(self.name(), |row| row.help)
    }

    /// What does a line of the user's own. Settings can be read again and again
    /// while the program runs, so each text is kept once; `None` when it is
    /// absurdly long or there are absurdly many.
    pub fn of_line(line: &str) -> Option<Action> {
        const LONGEST: usize = 1000;
        const MOST: usize = 2000;
        static LINES: Mutex<BTreeSet<&'static str>> = Mutex::new(BTreeSet::new());
        let mut lines = LINES.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(known) = lines.get(line) {
            return Some(Action::Command(known));
        }
        if line.len() > LONGEST || lines.len() >= MOST {
            return None;
        }
        let kept: &'static str = Box::leak(line.to_owned().into_boxed_str());
        lines.insert(kept);
        Some(Action::Command(kept))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::HashSet;

    #[test]
    fn names_are_their_own_and_find_their_action() {
        let mut seen = HashSet::new();
        for row in all() {
            assert!(seen.insert(row.name), "{} is there twice", row.name);
            assert_eq!(named(row.name), Some(row.action), "{}", row.name);
            assert!(!row.hint.is_empty() && !row.help.is_empty(), "{} has no words", row.name);
        }
        assert_eq!(named("zork"), None);
    }

    #[test]
    fn a_line_of_the_users_own_is_kept_once() {
        let first = Action::of_line("break $pc").unwrap();
        assert_eq!(Action::of_line("break $pc"), Some(first));
        assert_eq!((first.name(), first.hint()), ("break $pc", "break $pc"));
        assert_eq!(Action::of_line(&"x".repeat(1001)), None);
    }
}
