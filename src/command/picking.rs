//! Commands that open the palette.

use super::{FaceCommand, Parsed, table::CommandDef};

/// These commands.
pub(super) const COMMANDS: &[CommandDef] = &[CommandDef {
    name: "pick",
    aliases: &[],
    usage: "pick [KIND]",
    help: "Find anything by some letters of its name; KIND is commands, functions, files, types, variables, enumerators, modules, tasks or breakpoints.",
    cost: "nothing; for tasks the reads of their list",
    completes: None,
    make: |args| Ok(Parsed::Face(FaceCommand::Pick(args.trim().to_owned()))),
}];

#[cfg(test)]
mod tests {
    use super::*;
    use crate::command::parse::parse;

    #[test]
    fn pick_takes_a_kind_or_none() {
        let pick = |text: &str| Ok(Parsed::Face(FaceCommand::Pick(text.into())));
        assert_eq!(parse("pick"), pick(""));
        assert_eq!(parse("pick functions"), pick("functions"));
    }
}
