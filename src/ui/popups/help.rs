//! The key sheet, made from the key table in force.

use super::output::Output;
use crate::config::keymap::{Keymap, Scope, help};
use std::fmt::Write;

/// The sheet for a pane: its own keys first.
pub fn sheet(keymap: &Keymap, scopes: &[Scope], pane: &str) -> Output {
    let mut text = String::new();
    for scope in scopes {
        let heading = match scope {
            Scope::Everywhere => "Everywhere".to_string(),
            Scope::Searching => "While a search is on".to_string(),
            _ => format!("In this pane ({pane})"),
        };
        let _ = writeln!(text, "{heading}");
        for (keys, action) in keymap.sheet(*scope, scopes) {
            let _ = writeln!(text, "  {:<18} {}", keys.join("  "), help(action, &[*scope]));
        }
        text.push('\n');
    }
    text.push_str("Signs\n");
    for (sign, meaning) in [
        ("▶ ▷", "the line that runs next; the line an outer frame comes back to"),
        ("● ○ ◐ ✗", "breakpoint armed; waits for its place; disabled; refused"),
        ("·", "the line has code"),
        ("*", "differs from the stop before"),
        ("— …", "not known; being read"),
    ] {
        let _ = writeln!(text, "  {sign:<18} {meaning}");
    }
    text.push_str("\nMouse\n");
    for (where_, meaning) in [
        ("a row", "choose it; once more: open it"),
        ("left of source", "set a breakpoint, or take it away"),
        ("tab, hint, choice", "as its key"),
        ("a border", "drag it: the column between panes, the title of a lower one"),
        ("with Shift", "the terminal's own selection (--no-mouse: always)"),
    ] {
        let _ = writeln!(text, "  {where_:<18} {meaning}");
    }
    text.push_str("\n:help lists the commands; they are gdb's where gdb has them.\n");
    Output::new("Keys", &text)
}
