//! Commands about what the screen shows and where it goes from there: layouts,
//! a pane in a file, the user's editor.

use super::{
    FaceCommand, Parsed,
    parse::required,
    table::{CommandDef, NOTHING},
};
use std::path::PathBuf;

/// What `layout` takes.
pub const LAYOUTS: [&str; 7] = ["asm", "code", "console", "data", "next", "reset", "triage"];

/// The commands.
pub(super) const COMMANDS: &[CommandDef] = &[
    CommandDef {
        name: "layout",
        aliases: &[],
        usage: "layout [code|asm|data|console|triage|next|reset]",
        help: "Another arrangement of the panes; reset: this one as it was before borders were moved.",
        cost: "what the panes show that were hidden",
        completes: None,
        make: |args| Ok(Parsed::Face(FaceCommand::Layout(layout(args)))),
    },
    CommandDef {
        name: "save pane",
        aliases: &[],
        usage: "save pane [-f] FILE",
        help: "Write all rows of the pane that has the keys as text; -f over a file that is there.",
        cost: NOTHING,
        completes: None,
        make: save,
    },
    CommandDef {
        name: "edit",
        aliases: &[],
        usage: "edit [LOCATION]",
        help: "Open $VISUAL or $EDITOR at a line, the one at the cursor without LOCATION; then come back.",
        cost: NOTHING,
        completes: Some(crate::session::view::Completes::Location),
        make: |args| Ok(Parsed::Face(FaceCommand::Edit(own(args)))),
    },
];

fn own(args: &str) -> Option<String> {
    (!args.is_empty()).then(|| args.to_string())
}

/// The name of a layout; gdb's own names are taken for what is like them here.
fn layout(args: &str) -> Option<String> {
    let name = match args {
        "src" => "code",
        "split" | "regs" => "asm",
        other => other,
    };
    own(name)
}

fn save(args: &str) -> Result<Parsed, String> {
    let (over, file) = match args.strip_prefix("-f ") {
        Some(rest) => (true, rest.trim()),
        None => (false, args),
    };
    let file = PathBuf::from(required(file, "a file")?);
    Ok(Parsed::Face(FaceCommand::SavePane { file, over }))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::command::parse::parse;

    fn face(line: &str) -> FaceCommand {
        match parse(line) {
            Ok(Parsed::Face(command)) => command,
            other => panic!("{line}: {other:?}"),
        }
    }

    #[test]
    fn what_is_typed() {
        let layout = |name: &str| FaceCommand::Layout(Some(name.into()));
        assert_eq!(face("layout"), FaceCommand::Layout(None));
        assert_eq!(face("layout triage"), layout("triage"));
        assert_eq!(face("layout src"), layout("code"));
        let save = |over| FaceCommand::SavePane { file: "/tmp/a b".into(), over };
        assert_eq!(face("save pane /tmp/a b"), save(false));
        assert_eq!(face("save pane -f /tmp/a b"), save(true));
        assert!(parse("save pane").is_err());
        assert_eq!(face("edit"), FaceCommand::Edit(None));
        assert_eq!(face("edit vfs_read"), FaceCommand::Edit(Some("vfs_read".into())));
    }
}
