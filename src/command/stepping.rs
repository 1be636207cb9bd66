//! Commands that step, or run to a place.

use super::{
    Parsed, parse,
    table::{CommandDef, ONE_STOP, ask, plain},
};
use crate::session::{
    request::{Request, Step, Towards},
    view::Completes,
};

fn step(kind: Step, args: &str) -> Result<Parsed, String> {
    ask(Request::Step(kind, parse::count(args)?))
}

/// These commands.
pub(super) const COMMANDS: &[CommandDef] = &[
    CommandDef {
        name: "step",
        aliases: &["s"],
        usage: "step [COUNT]",
        help: "Run to another source line, into functions that have lines.",
        cost: ONE_STOP,
        completes: None,
        make: |args| step(Step::Line, args),
    },
    CommandDef {
        name: "next",
        aliases: &["n"],
        usage: "next [COUNT]",
        help: "Run to another source line, over calls.",
        cost: ONE_STOP,
        completes: None,
        make: |args| step(Step::LineOver, args),
    },
    CommandDef {
        name: "stepi",
        aliases: &["si"],
        usage: "stepi [COUNT]",
        help: "Execute one machine instruction.",
        cost: ONE_STOP,
        completes: None,
        make: |args| step(Step::Instruction, args),
    },
    CommandDef {
        name: "nexti",
        aliases: &["ni"],
        usage: "nexti [COUNT]",
        help: "Execute one machine instruction, over calls.",
        cost: ONE_STOP,
        completes: None,
        make: |args| step(Step::InstructionOver, args),
    },
    CommandDef {
        name: "finish",
        aliases: &["fin"],
        usage: "finish",
        help: "Run until the selected frame returns, and show what it returned.",
        cost: ONE_STOP,
        completes: None,
        make: |args| plain(Request::Step(Step::Out, 1), args),
    },
    CommandDef {
        name: "until",
        aliases: &["u"],
        usage: "until [LOCATION]",
        help: "Run to a place in the selected frame, or out of it; without a place like next, but not back in a loop. Other tasks and frames go on.",
        cost: ONE_STOP,
        completes: Some(Completes::Location),
        make: |args| match args {
            "" => step(Step::Onward, args),
            place => ask(Request::RunTo(place.into(), Towards::Until)),
        },
    },
    CommandDef {
        name: "advance",
        aliases: &["adv"],
        usage: "advance LOCATION",
        help: "Run to a place, or out of the selected frame; other tasks go on (for those: tbreak and continue).",
        cost: ONE_STOP,
        completes: Some(Completes::Location),
        make: |args| ask(Request::RunTo(parse::required(args, "a location")?, Towards::Advance)),
    },
    CommandDef {
        name: "jump",
        aliases: &["j"],
        usage: "jump LOCATION",
        help: "Go on at another place: what is between is not done, and nothing else changes. Asks first on the screen.",
        cost: ONE_STOP,
        completes: Some(Completes::Location),
        make: |args| {
            let location = parse::required(args, "a location")?;
            ask(Request::Jump { location, sure: false })
        },
    },
];
