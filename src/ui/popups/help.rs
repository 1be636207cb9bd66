//! The key sheet, made from the key table in force.

use super::output::Output;
use crate::config::keys::{Keymap, Scope};
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
        for binding in keymap.bindings(*scope) {
            let _ = writeln!(text, "  {:<18} {}", binding.keys.join("  "), binding.help);
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
    text.push_str("\n:help lists the commands; they are gdb's where gdb has them.\n");
    Output::new("Keys", &text)
}
