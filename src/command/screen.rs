//! What keys do, as commands: every action can be typed.

use super::table::{CommandDef, NOTHING};
use super::{FaceCommand, Parsed};
use crate::config::actions::{self, Action, PANES, every_action};

macro_rules! commands {
    ($($action:ident $name:literal $hint:literal $help:literal;)*) => {
        /// One command for each action of the table.
        pub(super) const COMMANDS: &[CommandDef] = &[
            FOCUS,
            $(CommandDef {
                name: $name,
                aliases: &[],
                usage: $name,
                help: $help,
                cost: NOTHING,
                completes: None,
                make: |args| match args {
                    "" => Ok(Parsed::Face(FaceCommand::Act(Action::$action))),
                    _ => Err(format!("'{args}' is too much")),
                },
            },)*
        ];
    };
}

every_action!(commands);

const FOCUS: CommandDef = CommandDef {
    name: "focus",
    aliases: &["fs"],
    usage: "focus PANE",
    help: "give a pane the keys, by its name or the beginning of it",
    cost: "what the pane shows, when it was hidden",
    completes: None,
    make: focus,
};

/// The names of the panes.
pub fn panes() -> impl Iterator<Item = &'static str> {
    PANES.iter().filter_map(|row| row.name.strip_prefix("focus "))
}

fn focus(args: &str) -> Result<Parsed, String> {
    // gdb's names of the windows of its TUI.
    let typed = match args.to_ascii_lowercase().as_str() {
        "src" | "asm" => "source".to_string(),
        "cmd" => "console".to_string(),
        "regs" => "registers".to_string(),
        other => other.to_string(),
    };
    let pane = panes().find(|name| !typed.is_empty() && name.starts_with(&typed));
    match pane.and_then(|name| actions::named(&format!("focus {name}"))) {
        Some(action) => Ok(Parsed::Face(FaceCommand::Act(action))),
        None => {
            let known = panes().collect::<Vec<_>>().join(", ");
            Err(format!("'{args}' is no pane; there are {known}"))
        }
    }
}

/// Whether a command is what a key does. Such a name is typed whole (Tab writes
/// it): `nex` stays gdb's, and `run` in a script of gdb's is no `run-to-cursor`.
pub fn is_screens(command: &CommandDef) -> bool {
    COMMANDS.iter().any(|own| own.name == command.name)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::command::parse::parse;

    #[test]
    fn every_action_can_be_typed() {
        for row in actions::all() {
            let parsed = parse(row.name);
            match row.action {
                Action::Command(_) => assert!(matches!(parsed, Ok(Parsed::Request(_))), "{row:?}"),
                action => {
                    assert_eq!(parsed, Ok(Parsed::Face(FaceCommand::Act(action))), "{row:?}");
                }
            }
        }
        assert_eq!(parse("fs st"), parse("focus stack"));
        assert_eq!(parse("focus src"), parse("focus source"));
        let error = |line: &str| parse(line).unwrap_err().to_string();
        assert!(error("focus zork").contains("there are source, console"));
        assert!(error("zoom 3").contains("too much"));
        assert!(error("focus").contains("usage: focus PANE"));
    }

    #[test]
    fn beginnings_are_gdbs_first() {
        for (short, whole) in
            [("unt x", "until x"), ("sh", "show"), ("cont", "continue"), ("fin", "finish")]
        {
            assert_eq!(parse(short), parse(whole), "{short}");
        }
        assert!(parse("run").is_err() && parse("zoo").is_err());
    }
}
