//! Commands about what the user has already: section addresses, files with
//! symbols, files of commands.

use super::{
    FaceCommand, Parsed,
    parse::required,
    table::{CommandDef, NOTHING, ask},
};
use crate::session::request::Request;
use std::path::PathBuf;

/// These commands.
pub(super) const COMMANDS: &[CommandDef] = &[
    CommandDef {
        name: "sections",
        aliases: &[],
        usage: "sections PATH",
        help: "Take modules' section addresses from a copy of /sys/module/M/sections or a file of lines.",
        cost: "one read a module, to prove the .ko",
        completes: None,
        make: |args| ask(Request::Sections(PathBuf::from(required(args, "a path")?))),
    },
    CommandDef {
        name: "add-symbol-file",
        aliases: &[],
        usage: "add-symbol-file FILE [ADDRESS] [-s SECTION ADDRESS]… [-o OFFSET]",
        help: "Take a module's .ko, and where its sections are; the guest's own addresses win.",
        cost: "one read, to prove the .ko",
        completes: None,
        make: |args| ask(Request::AddSymbolFile(required(args, "a file")?)),
    },
    CommandDef {
        name: "remove-symbol-file",
        aliases: &[],
        usage: "remove-symbol-file FILE | -a ADDRESS",
        help: "Forget what add-symbol-file or sections gave, by its file or an address in it.",
        cost: NOTHING,
        completes: None,
        make: |args| ask(Request::RemoveSymbolFile(required(args, "a file or -a ADDRESS")?)),
    },
    CommandDef {
        name: "source",
        aliases: &[],
        usage: "source FILE",
        help: "Run the commands in a file; what only gdb knows is passed over, an error ends it.",
        cost: "what its commands cost",
        completes: None,
        make: |args| {
            Ok(Parsed::Face(FaceCommand::Source(PathBuf::from(required(args, "a file")?))))
        },
    },
];
