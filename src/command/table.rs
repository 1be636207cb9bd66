//! The commands: gdb's names where gdb has one.

use super::{
    FaceCommand, Parsed, arranging, breaking, breaking_in, crashes, expression, kernel_facts, logs,
    parse, picking, replaying, screen, stepping, symbol_files, watching,
};
use crate::session::request::{BreakKind, Leave, Names, Request};
use crate::session::view::Completes;
use std::time::Duration;

/// One command.
#[derive(Clone, Copy)]
pub struct CommandDef {
    /// Its full name; two words for `info …`.
    pub name: &'static str,
    /// Other names, mostly gdb's short ones.
    pub aliases: &'static [&'static str],
    /// How it is written.
    pub usage: &'static str,
    /// One sentence on what it does.
    pub help: &'static str,
    /// What it costs on the wire.
    pub cost: &'static str,
    /// What its argument completes to.
    pub completes: Option<Completes>,
    /// Makes a request of the argument text, or says what is wrong with it.
    pub make: fn(&str) -> Result<Parsed, String>,
}

pub(super) fn ask(request: Request) -> Result<Parsed, String> {
    Ok(Parsed::Request(request))
}

pub(super) fn breakpoint(kind: BreakKind, args: &str) -> Result<Parsed, String> {
    ask(Request::Break(breaking::breaking(kind, args)?))
}

pub(super) fn plain(request: Request, args: &str) -> Result<Parsed, String> {
    if args.is_empty() { ask(request) } else { Err(format!("'{args}' is too much")) }
}

pub(super) const ONE_STOP: &str = "one resume, then a stop: `g` and what the panes show";
pub(super) const NOTHING: &str = "nothing";
pub(super) const A_READ: &str = "reads of what is not known at this stop";

/// Every command, in the order of the help.
pub const COMMANDS: &[CommandDef] = &joined::<{ count() }>();

/// The parts of the table.
const PARTS: [&[CommandDef]; 14] = [
    stepping::COMMANDS,
    GENERAL,
    breaking::COMMANDS,
    breaking_in::COMMANDS,
    watching::COMMANDS,
    crashes::COMMANDS,
    expression::COMMANDS,
    symbol_files::COMMANDS,
    kernel_facts::COMMANDS,
    logs::COMMANDS,
    replaying::COMMANDS,
    arranging::COMMANDS,
    picking::COMMANDS,
    screen::COMMANDS,
];

const fn count() -> usize {
    let (mut part, mut count) = (0, 0);
    while part < PARTS.len() {
        count += PARTS[part].len();
        part += 1;
    }
    count
}

/// One table of all.
const fn joined<const N: usize>() -> [CommandDef; N] {
    let mut all = [GENERAL[0]; N];
    let (mut part, mut own, mut at) = (0, 0, 0);
    while at < N {
        if own == PARTS[part].len() {
            (part, own) = (part + 1, 0);
            continue;
        }
        all[at] = PARTS[part][own];
        (own, at) = (own + 1, at + 1);
    }
    all
}

/// All but those about values and types.
const GENERAL: &[CommandDef] = &[
    CommandDef {
        name: "continue",
        aliases: &["c", "fg"],
        usage: "continue",
        help: "Let the guest run until something stops it.",
        cost: ONE_STOP,
        completes: None,
        make: |args| plain(Request::Continue, args),
    },
    CommandDef {
        name: "pass",
        aliases: &["pass-exception"],
        usage: "pass",
        help: "Let the kernel deal with the exception that stopped it: an oops kills the task.",
        cost: "one packet, then a knock; breakpoints are planted again at the next stop",
        completes: None,
        make: |args| plain(Request::PassException, args),
    },
    CommandDef {
        name: "wait",
        aliases: &[],
        usage: "wait SECONDS",
        help: "Wait for the guest to stop.",
        cost: NOTHING,
        completes: None,
        make: |args| {
            let seconds: f64 =
                args.parse().map_err(|_| format!("'{args}' is no time in seconds"))?;
            let time = Duration::try_from_secs_f64(seconds).map_err(|e| e.to_string())?;
            ask(Request::Wait(time))
        },
    },
    CommandDef {
        name: "break",
        aliases: &["b", "br"],
        usage: "break [--force] [LOCATION] [task PID] [cpu N] [comm NAME] [if EXPR]",
        help: "Stop at a function, FILE:LINE or *ADDRESS, also while the guest runs; only for a task, a CPU, a task's name, or when EXPR is true there. Where it may cost the guest, it needs --force.",
        cost: "one packet a site",
        completes: Some(Completes::Location),
        make: |args| breakpoint(BreakKind::Kept, args),
    },
    CommandDef {
        name: "tbreak",
        aliases: &["tb"],
        usage: "tbreak [--force] [LOCATION] [task PID] [cpu N] [comm NAME] [if EXPR]",
        help: "A breakpoint that is gone after the first hit that counts.",
        cost: "one packet a site",
        completes: Some(Completes::Location),
        make: |args| breakpoint(BreakKind::Temporary, args),
    },
    CommandDef {
        name: "delete",
        aliases: &["d"],
        usage: "delete [NUMBER …]",
        help: "Take breakpoints away; all of them without a number.",
        cost: "one packet a site",
        completes: None,
        make: |args| ask(Request::Delete(parse::numbers(args)?)),
    },
    CommandDef {
        name: "disable",
        aliases: &["dis"],
        usage: "disable [NUMBER …]",
        help: "Keep breakpoints but do not stop at them.",
        cost: "one packet a site",
        completes: None,
        make: |args| ask(Request::Enable(false, parse::numbers(args)?)),
    },
    CommandDef {
        name: "enable",
        aliases: &["en"],
        usage: "enable [once | delete | count COUNT] [NUMBER …]",
        help: "Stop at disabled breakpoints again; once or COUNT times, or until the next stop and then delete.",
        cost: "one packet a site",
        completes: None,
        make: breaking::enable,
    },
    CommandDef {
        name: "bt",
        aliases: &["backtrace", "where"],
        usage: "bt [COUNT | all [FILTER]]",
        help: "How the code got here: the stack, innermost first; all: of all tasks (info stacks).",
        cost: "a read for each piece of the stack",
        completes: None,
        make: parse::backtrace,
    },
    CommandDef {
        name: "cpu",
        aliases: &[],
        usage: "cpu [NUMBER]",
        help: "Show the stack, registers and variables of what another CPU runs; or tell whose are shown.",
        cost: "a few reads a CPU",
        completes: None,
        make: parse::cpu,
    },
    CommandDef {
        name: "task",
        aliases: &["thread"],
        usage: "task [PID]",
        help: "Show the stack, registers and variables of any task; or tell whose are shown.",
        cost: "about ten small reads to find it, then its stack",
        completes: None,
        make: parse::task,
    },
    CommandDef {
        name: "frame",
        aliases: &["f"],
        usage: "frame [NUMBER]",
        help: "Choose a frame of the stack.",
        cost: A_READ,
        completes: None,
        make: |args| match args {
            "" => ask(Request::FrameBy(0)),
            _ => {
                let number = args.parse().map_err(|_| format!("'{args}' is no frame number"))?;
                ask(Request::Frame(number))
            }
        },
    },
    CommandDef {
        name: "up",
        aliases: &[],
        usage: "up [COUNT]",
        help: "Choose the frame that called this one.",
        cost: A_READ,
        completes: None,
        make: |args| ask(Request::FrameBy(i64::from(parse::count(args)?))),
    },
    CommandDef {
        name: "down",
        aliases: &[],
        usage: "down [COUNT]",
        help: "Choose the frame that this one called.",
        cost: A_READ,
        completes: None,
        make: |args| ask(Request::FrameBy(-i64::from(parse::count(args)?))),
    },
    CommandDef {
        name: "list",
        aliases: &["l"],
        usage: "list [- | LOCATION | FIRST,LAST]",
        help: "Source lines around a place, from one to another, or going on from the last ones.",
        cost: NOTHING,
        completes: Some(Completes::Location),
        make: parse::list,
    },
    CommandDef {
        name: "disassemble",
        aliases: &["disas"],
        usage: "disassemble [/s] [/r] [/a] [LOCATION | START,END | START,+LENGTH]",
        help: "Instructions of a function as they are in the guest now (/s source, /r bytes, /a arrows).",
        cost: "a read of the function's bytes",
        completes: Some(Completes::Location),
        make: parse::disassemble,
    },
    CommandDef {
        name: "search",
        aliases: &["find"],
        usage: "search TEXT",
        help: "Names that have these letters in this order, best first; f: v: t: e: s: before it for one kind.",
        cost: NOTHING,
        completes: None,
        make: |args| ask(Request::Search(parse::required(args, "a part of a name")?)),
    },
    CommandDef {
        name: "show",
        aliases: &[],
        usage: "show [NAME]",
        help: "The value of a setting, or of all.",
        cost: NOTHING,
        completes: Some(Completes::Setting),
        make: |args| ask(Request::Show(args.to_string())),
    },
    CommandDef {
        name: "monitor",
        aliases: &["mon"],
        usage: "monitor COMMAND",
        help: "Run a kdb command in the stopped guest, such as lsmod, ps or dmesg 20.",
        cost: "two digits a printed byte",
        completes: None,
        make: |args| ask(Request::Monitor(parse::required(args, "a kdb command")?)),
    },
    CommandDef {
        name: "trust-symbols",
        aliases: &[],
        usage: "trust-symbols",
        help: "Show symbols although this vmlinux is not proven to be the guest's.",
        cost: NOTHING,
        completes: None,
        make: |args| plain(Request::TrustSymbols, args),
    },
    CommandDef {
        name: "info registers",
        aliases: &["info regs", "info r"],
        usage: "info registers [NAME …]",
        help: "Registers of the selected frame.",
        cost: NOTHING,
        completes: None,
        make: |args| {
            let names = args.split_whitespace().map(|n| n.trim_start_matches('$').to_string());
            ask(Request::Registers(names.collect()))
        },
    },
    CommandDef {
        name: "info args",
        aliases: &[],
        usage: "info args",
        help: "Arguments of the selected frame.",
        cost: A_READ,
        completes: None,
        make: |args| plain(Request::Arguments, args),
    },
    CommandDef {
        name: "info locals",
        aliases: &[],
        usage: "info locals",
        help: "Local variables of the selected frame.",
        cost: A_READ,
        completes: None,
        make: |args| plain(Request::Locals, args),
    },
    CommandDef {
        name: "info line",
        aliases: &[],
        usage: "info line LOCATION",
        help: "The addresses of a line, or the line of an address.",
        cost: NOTHING,
        completes: Some(Completes::Location),
        make: |args| ask(Request::Line(parse::required(args, "a location")?)),
    },
    CommandDef {
        name: "info symbol",
        aliases: &[],
        usage: "info symbol ADDRESS|NAME",
        help: "Every symbol at an address, and the section it is in.",
        cost: NOTHING,
        completes: None,
        make: |args| ask(Request::Symbol(parse::required(args, "an address")?)),
    },
    CommandDef {
        name: "info macro",
        aliases: &[],
        usage: "info macro NAME",
        help: "The definition of a macro (of a kernel compiled with -g3).",
        cost: NOTHING,
        completes: None,
        make: |args| ask(Request::Macro(parse::required(args, "a name")?)),
    },
    CommandDef {
        name: "info functions",
        aliases: &[],
        usage: "info functions [-n COUNT] [REGEX]",
        help: "Functions whose names fit a regular expression, by file.",
        cost: NOTHING,
        completes: Some(Completes::Function),
        make: |args| ask(Request::Names(Names::Functions, parse::pattern(args)?)),
    },
    CommandDef {
        name: "info variables",
        aliases: &[],
        usage: "info variables [-n COUNT] [REGEX]",
        help: "Variables of file scope whose names fit a regular expression, by file.",
        cost: NOTHING,
        completes: None,
        make: |args| ask(Request::Names(Names::Variables, parse::pattern(args)?)),
    },
    CommandDef {
        name: "info types",
        aliases: &[],
        usage: "info types [-n COUNT] [REGEX]",
        help: "Types whose names fit a regular expression, by file.",
        cost: NOTHING,
        completes: Some(Completes::Type),
        make: |args| ask(Request::Names(Names::Types, parse::pattern(args)?)),
    },
    CommandDef {
        name: "info scope",
        aliases: &[],
        usage: "info scope LOCATION",
        help: "Variables that can be seen at a place, and where they are there.",
        cost: NOTHING,
        completes: Some(Completes::Location),
        make: |args| ask(Request::Scope(parse::required(args, "a location")?)),
    },
    CommandDef {
        name: "info sources",
        aliases: &[],
        usage: "info sources [-n COUNT] [REGEX]",
        help: "Source files the symbols know, all or those that fit.",
        cost: NOTHING,
        completes: None,
        make: |args| ask(Request::SourceFiles(parse::pattern(args)?)),
    },
    CommandDef {
        name: "info breakpoints",
        aliases: &["info b"],
        usage: "info breakpoints",
        help: "Every breakpoint, its sites and hits.",
        cost: NOTHING,
        completes: None,
        make: |args| plain(Request::Breakpoints, args),
    },
    CommandDef {
        name: "info modules",
        aliases: &["info mod", "info sharedlibrary", "lsmod"],
        usage: "info modules",
        help: "Modules in the guest, where they are and whether their symbols are found.",
        cost: "a few reads a module",
        completes: None,
        make: |args| plain(Request::Modules, args),
    },
    CommandDef {
        name: "info module",
        aliases: &[],
        usage: "info module NAME",
        help: "All about one module: memory, users, taints, version, build-id, sections, parameters.",
        cost: "some ten reads, two for each parameter, and one for each section when there is no .ko",
        completes: Some(Completes::Module),
        make: |args| ask(Request::Module(parse::required(args, "a module's name")?)),
    },
    CommandDef {
        name: "info cpus",
        aliases: &[],
        usage: "info cpus",
        help: "What each CPU runs.",
        cost: "a few reads a CPU",
        completes: None,
        make: |args| plain(Request::Cpus, args),
    },
    CommandDef {
        name: "info tasks",
        aliases: &["info threads", "ps"],
        usage: "info tasks [-c] [FILTER]",
        help: "Tasks and where they wait: all, or those with a text in pid, name, state or there; -c with command lines.",
        cost: "five reads a task, eight for a command line; interrupt ends it",
        completes: None,
        make: parse::tasks,
    },
    CommandDef {
        name: "info stacks",
        aliases: &[],
        usage: "info stacks [FILTER]",
        help: "Stacks of tasks, equal ones together: all, or those with a text in pid, name, state or a function.",
        cost: "six reads a task; interrupt ends it",
        completes: None,
        make: |args| ask(Request::Stacks(args.to_string())),
    },
    CommandDef {
        name: "info target",
        aliases: &[],
        usage: "info target",
        help: "Release, build-ids, whether the vmlinux is the guest's, KASLR slide.",
        cost: NOTHING,
        completes: None,
        make: |args| plain(Request::Target, args),
    },
    CommandDef {
        name: "info link",
        aliases: &[],
        usage: "info link",
        help: "Bytes and packets so far, and the rate.",
        cost: NOTHING,
        completes: None,
        make: |args| plain(Request::Link, args),
    },
    CommandDef {
        name: "detach",
        aliases: &[],
        usage: "detach",
        help: "Lift every breakpoint and let the guest run.",
        cost: "one packet",
        completes: None,
        make: |args| plain(Request::Leave(Leave::Detach), args),
    },
    CommandDef {
        name: "help",
        aliases: &["h"],
        usage: "help [COMMAND | TOPIC]",
        help: "What the commands are; all about one of them, or about a topic of the manual.",
        cost: NOTHING,
        completes: None,
        make: |args| {
            Ok(Parsed::Face(FaceCommand::Help((!args.is_empty()).then(|| args.to_string()))))
        },
    },
    CommandDef {
        name: "quit",
        aliases: &["q", "exit"],
        usage: "quit",
        help: "Detach and leave.",
        cost: "one packet",
        completes: None,
        make: |args| {
            if args.is_empty() {
                Ok(Parsed::Face(FaceCommand::Quit))
            } else {
                Err(format!("'{args}' is too much"))
            }
        },
    },
];
