//! A typed line to a request.

use super::table::{COMMANDS, CommandDef};
use super::{CommandError, Parsed, screen};
use crate::session::conduct::LAST;
use crate::session::request::{
    BreakKind, Catch, Disassembly, Listing, ModuleEvent, Part, Pattern, Request,
};

/// Parses one line: a command's name, one of its aliases, or a beginning of
/// its name that fits no other command; then the argument text. A line that
/// is empty or begins with `#` is nothing.
pub fn parse(line: &str) -> Result<Parsed, CommandError> {
    let line = line.trim();
    if line.is_empty() || line.starts_with('#') {
        return Ok(Parsed::Nothing);
    }
    let (command, args) = split(line)?;
    (command.make)(args).map_err(|what| CommandError::Usage { what, usage: command.usage })
}

/// The command a line begins with, and the rest of the line.
pub fn split(line: &str) -> Result<(&'static CommandDef, &str), CommandError> {
    let (word, rest) = first_word(line);
    if let Some(args) = info_args(word, rest) {
        let (sub, args) = first_word(args);
        return find(&format!("info {sub}")).map(|command| (command, args.trim()));
    }
    // gdb's `save` is only ever about breakpoints.
    if let ("save", Some(args)) = (word, rest.trim().strip_prefix("pane")) {
        return find("save pane").map(|command| (command, args.trim()));
    }
    find(word).map(|command| (command, rest.trim()))
}

/// The most breakpoints that a range names.
const LONGEST_RANGE: u32 = 1000;

/// What follows `info` (or `i`, gdb's short form), when the word is that.
fn info_args<'a>(word: &str, rest: &'a str) -> Option<&'a str> {
    let is_info = word == "i" || (word.len() >= 3 && "info".starts_with(word));
    is_info.then(|| rest.trim())
}

/// The first word ends at a space, or before `/` as in `x/8gx`.
fn first_word(line: &str) -> (&str, &str) {
    let end = line.find(|c: char| c.is_whitespace() || c == '/').unwrap_or(line.len());
    line.split_at(end)
}

fn find(word: &str) -> Result<&'static CommandDef, CommandError> {
    let exact = COMMANDS.iter().find(|c| c.name == word || c.aliases.contains(&word));
    if let Some(command) = exact {
        return Ok(command);
    }
    let begins = COMMANDS.iter().filter(|c| c.name.starts_with(word) && !screen::is_screens(c));
    let begins: Vec<_> = begins.collect();
    match begins[..] {
        [command] => Ok(command),
        [] => {
            let like = COMMANDS.iter().map(|c| c.name).filter(|n| is_like(word, n)).take(3);
            Err(CommandError::Unknown { word: word.to_string(), like: like.collect() })
        }
        _ => {
            let candidates = begins.iter().map(|c| c.name).collect();
            Err(CommandError::Ambiguous { word: word.to_string(), candidates })
        }
    }
}

/// Whether a name differs from the typed word by little: the same letters in
/// another order, or one more or less.
fn is_like(word: &str, name: &str) -> bool {
    let sorted = |s: &str| {
        let mut letters: Vec<char> = s.chars().collect();
        letters.sort_unstable();
        letters
    };
    let (a, b) = (sorted(word), sorted(name));
    let common = a.iter().filter(|c| b.contains(c)).count();
    a.len().abs_diff(b.len()) <= 1 && common + 1 >= a.len() && word.get(..1) == name.get(..1)
}

/// A repeat count: 1 when it is left out.
pub fn count(args: &str) -> Result<u32, String> {
    match args {
        "" => Ok(1),
        _ => match args.parse() {
            Ok(count @ 1..) => Ok(count),
            _ => Err(format!("'{args}' is no count")),
        },
    }
}

/// Breakpoint numbers and ranges (`2-4`), separated by spaces or commas.
pub fn numbers(args: &str) -> Result<Vec<u32>, String> {
    args.split(|c: char| c.is_whitespace() || c == ',').filter(|word| !word.is_empty()).try_fold(
        Vec::new(),
        |mut numbers, word| {
            let number = |text: &str| match text {
                "$bpnum" => Some(LAST),
                _ => text.parse().ok().filter(|number| *number > 0),
            };
            let wrong = || format!("'{word}' is no breakpoint number");
            match word.split_once('-') {
                None => numbers.push(number(word).ok_or_else(wrong)?),
                Some((first, last)) => {
                    let range =
                        number(first).ok_or_else(wrong)?..=number(last).ok_or_else(wrong)?;
                    if range.is_empty() || range.end() - range.start() > LONGEST_RANGE {
                        return Err(wrong());
                    }
                    numbers.extend(range);
                }
            }
            Ok(numbers)
        },
    )
}

/// An argument that must be there.
pub fn required(args: &str, what: &str) -> Result<String, String> {
    if args.is_empty() { Err(format!("{what} is missing")) } else { Ok(args.to_string()) }
}

/// `[-n COUNT] [REGEX]`; `-q` is gdb's for saying less.
pub fn pattern(args: &str) -> Result<Pattern, String> {
    let mut pattern = Pattern::default();
    let mut rest = args.trim();
    loop {
        if let Some(after) = rest.strip_prefix("-n ") {
            let after = after.trim_start();
            let (count, text) = after.split_once(char::is_whitespace).unwrap_or((after, ""));
            let count = count.parse().ok().filter(|&count: &usize| count > 0);
            let count = count.ok_or_else(|| "-n wants a count".to_string())?;
            (pattern.limit, rest) = (Some(count), text.trim_start());
        } else if rest == "-q" || rest.starts_with("-q ") {
            rest = rest[2..].trim_start();
        } else {
            break;
        }
    }
    let rest = rest.strip_prefix("-- ").unwrap_or(rest).trim();
    pattern.text = (!rest.is_empty()).then(|| rest.to_owned());
    Ok(pattern)
}

/// `list`, `list -`, `list LOCATION`, `list A,B`, `list A,`, `list ,B`.
pub fn list(args: &str) -> Result<Parsed, String> {
    let given = |text: &str| Some(text.trim()).filter(|t| !t.is_empty()).map(str::to_owned);
    let listing = match (args.trim(), args.split_once(',')) {
        ("" | "+", _) => Listing::On,
        ("-", _) => Listing::Back,
        (_, Some((start, end))) => match (given(start), given(end)) {
            (None, None) => return Err("a location is missing beside ','".into()),
            (start, end) => Listing::Range(start, end),
        },
        (place, None) => Listing::Around(place.to_owned()),
    };
    Ok(Parsed::Request(Request::List(listing)))
}

/// `disassemble [/LETTERS …] [LOCATION | START,END | START,+LENGTH]`.
pub fn disassemble(args: &str) -> Result<Parsed, String> {
    let mut asked = Disassembly::default();
    let mut rest = args.trim();
    while let Some(letters) = rest.strip_prefix('/') {
        let end = letters.find(char::is_whitespace).unwrap_or(letters.len());
        for letter in letters[..end].chars() {
            match letter {
                // gdb's /m puts the lines into the order of the source, which
                // tears optimized code apart; its manual says to use /s.
                's' | 'm' => asked.source = true,
                'r' => asked.bytes = true,
                'a' => asked.arrows = true,
                _ => return Err(format!("'/{letter}' is none of /s, /r and /a")),
            }
        }
        rest = letters[end..].trim_start();
    }
    asked.what = match rest.split_once(',') {
        None if rest.is_empty() => Part::Here,
        None => Part::Function(rest.to_owned()),
        Some((start, end)) => {
            let start = required(start.trim(), "the start")?;
            let end = required(end.trim(), "the end, or +LENGTH")?;
            match end.strip_prefix('+') {
                Some(len) => {
                    let number = crate::base::addr::parse_number(len.trim());
                    let len = number.ok_or_else(|| format!("'{len}' is no length in bytes"))?;
                    Part::Length(start, len)
                }
                None => Part::Range(start, end),
            }
        }
    };
    Ok(Parsed::Request(Request::Disassemble(asked)))
}

/// `catch load [MODULE]`, `catch unload [MODULE]`.
pub fn catch_module(kind: BreakKind, args: &str) -> Result<Parsed, String> {
    let (word, module) = args.split_once(char::is_whitespace).unwrap_or((args, ""));
    let event = match word {
        "load" => ModuleEvent::Load,
        "unload" => ModuleEvent::Unload,
        other => {
            return Err(format!(
                "'{other}' can't be caught; there are panic, oops, bug, warn, hung, load and unload"
            ));
        }
    };
    let module = module.trim();
    if module.contains(char::is_whitespace) {
        return Err(format!("'{module}' is no name of a module"));
    }
    let module = (!module.is_empty()).then(|| module.to_owned());
    Ok(Parsed::Request(Request::Catch(kind, Catch { event, module })))
}

/// `bt [COUNT]`, `bt all [FILTER]`.
pub fn backtrace(args: &str) -> Result<Parsed, String> {
    let (word, rest) = args.split_once(char::is_whitespace).unwrap_or((args, ""));
    Ok(Parsed::Request(match word {
        "" => Request::Backtrace(None),
        "all" => Request::Stacks(rest.trim().to_owned()),
        _ => Request::Backtrace(Some(count(args)? as usize)),
    }))
}

/// `cpu [NUMBER]`.
pub fn cpu(args: &str) -> Result<Parsed, String> {
    let number = match args {
        "" => None,
        _ => Some(args.parse().map_err(|_| format!("'{args}' is no number of a CPU"))?),
    };
    Ok(Parsed::Request(Request::Cpu(number)))
}

/// `info tasks [-c] [FILTER]`.
pub fn tasks(args: &str) -> Result<Parsed, String> {
    let rest = args.strip_prefix("-c").filter(|rest| rest.is_empty() || rest.starts_with(' '));
    let filter = rest.unwrap_or(args).trim().to_owned();
    Ok(Parsed::Request(Request::Tasks { filter, cmdlines: rest.is_some() }))
}

/// `task [PID]`; gdb's `thread apply all bt` too.
pub fn task(args: &str) -> Result<Parsed, String> {
    let words: Vec<_> = args.split_whitespace().collect();
    Ok(Parsed::Request(match words[..] {
        [] => Request::Task(None),
        ["apply", "all", "bt" | "backtrace" | "where"] => Request::Stacks(String::new()),
        _ => Request::Task(Some(args.parse().map_err(|_| format!("'{args}' is no pid"))?)),
    }))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::command::FaceCommand;
    use crate::command::request;
    use crate::session::request::{Breaking, Step};
    use proptest::prelude::*;

    #[test]
    fn names_aliases_and_beginnings() {
        assert_eq!(request("c"), Request::Continue);
        assert_eq!(request("cont"), Request::Continue);
        assert_eq!(request(" next 3 "), Request::Step(Step::LineOver, 3));
        assert_eq!(
            request("b hgfs.c:42"),
            Request::Break(Breaking::at(BreakKind::Kept, "hgfs.c:42"))
        );
        assert_eq!(request("info b"), Request::Breakpoints);
        assert_eq!(request("i r rip rsp"), Request::Registers(vec!["rip".into(), "rsp".into()]));
        assert_eq!(request("delete 1, 2"), Request::Delete(vec![1, 2]));
        assert_eq!(parse("q"), Ok(Parsed::Face(FaceCommand::Quit)));
        assert_eq!(parse("# a comment"), Ok(Parsed::Nothing));
        assert_eq!(request("monitor dmesg 20"), Request::Monitor("dmesg 20".into()));
    }

    #[test]
    fn what_happens_to_modules_is_caught() {
        let catch = |kind, event, module: Option<&str>| {
            Request::Catch(kind, Catch { event, module: module.map(str::to_owned) })
        };
        let (kept, once) = (BreakKind::Kept, BreakKind::Temporary);
        assert_eq!(request("catch load"), catch(kept, ModuleEvent::Load, None));
        assert_eq!(request("catch unload hgfs"), catch(kept, ModuleEvent::Unload, Some("hgfs")));
        assert_eq!(request("tcatch load  fuse"), catch(once, ModuleEvent::Load, Some("fuse")));
        for line in ["catch", "catch throw", "catch load two names"] {
            assert!(parse(line).is_err(), "{line}");
        }
    }

    #[test]
    fn patterns_may_have_a_count() {
        let names = |line: &str| match request(line) {
            Request::Names(_, Pattern { text, limit }) => (text, limit),
            other => panic!("{other:?}"),
        };
        assert_eq!(names("info functions"), (None, None));
        assert_eq!(names("info types ^task_"), (Some("^task_".into()), None));
        assert_eq!(names("info variables -n 5 -q init"), (Some("init".into()), Some(5)));
        assert!(parse("info functions -n x y").is_err());
        assert_eq!(request("info scope vfs_read"), Request::Scope("vfs_read".into()));
    }

    #[test]
    fn listings_are_gdbs() {
        let list = |line: &str| match request(line) {
            Request::List(listing) => listing,
            other => panic!("{other:?}"),
        };
        let own = |text: &str| Some(text.to_owned());
        assert_eq!(list("list"), Listing::On);
        assert_eq!(list("l -"), Listing::Back);
        assert_eq!(list("list vfs_read"), Listing::Around("vfs_read".into()));
        assert_eq!(list("list a.c:1 , +3"), Listing::Range(own("a.c:1"), own("+3")));
        assert_eq!(list("list ,20"), Listing::Range(None, own("20")));
        assert_eq!(list("list 10,"), Listing::Range(own("10"), None));
        assert!(parse("list ,").is_err());
        let code = |line: &str| match request(line) {
            Request::Disassemble(asked) => asked,
            other => panic!("{other:?}"),
        };
        assert_eq!(code("disas"), Disassembly::default());
        let all = Disassembly {
            source: true,
            bytes: true,
            arrows: true,
            what: Part::Length("vfs_read".into(), 32),
        };
        assert_eq!(code("disassemble /rs /a vfs_read,+0x20"), all);
        assert_eq!(code("disas 1,2").what, Part::Range("1".into(), "2".into()));
        assert_eq!(code("disas/s f").what, Part::Function("f".into()));
        assert!(parse("disas /z f").is_err());
        assert!(parse("disas f,+x").is_err());
        assert_eq!(
            request("set disassembly-flavor intel"),
            Request::Set("disassembly-flavor".into(), "intel".into())
        );
        assert!(parse("set listsize").is_err());
    }

    #[test]
    fn tasks_and_cpus_are_chosen_and_listed() {
        assert_eq!(request("cpu"), Request::Cpu(None));
        assert_eq!(request("cpu 1"), Request::Cpu(Some(1)));
        assert_eq!(request("task 7"), Request::Task(Some(7)));
        assert_eq!(request("thread"), Request::Task(None));
        let tasks = |filter: &str, cmdlines| Request::Tasks { filter: filter.into(), cmdlines };
        assert_eq!(request("ps kworker"), tasks("kworker", false));
        assert_eq!(request("info threads"), tasks("", false));
        assert_eq!(request("info tasks -c disk sleep"), tasks("disk sleep", true));
        assert_eq!(request("info tasks -cx"), tasks("-cx", false));
        assert_eq!(request("bt 3"), Request::Backtrace(Some(3)));
        for line in ["bt all", "thread apply all bt", "info stacks"] {
            assert_eq!(request(line), Request::Stacks(String::new()), "{line}");
        }
        assert_eq!(request("bt all hgfs"), Request::Stacks("hgfs".into()));
        assert!(parse("cpu x").is_err() && parse("task x").is_err() && parse("bt al").is_err());
    }

    #[test]
    fn errors_help() {
        let text = |line: &str| parse(line).unwrap_err().to_string();
        assert_eq!(text("braek x"), "no command 'braek'; did you mean break?");
        assert!(text("de").contains("delete, detach"));
        assert_eq!(text("next x"), "'x' is no count; usage: next [COUNT]");
        assert!(text("info zork").starts_with("no command 'info zork'"));
    }

    #[test]
    fn every_name_and_alias_is_its_own() {
        let mut seen = std::collections::BTreeSet::new();
        for command in COMMANDS {
            for name in command.aliases.iter().chain([&command.name]) {
                assert!(seen.insert(name), "{name} is there twice");
            }
        }
    }

    proptest! {
        #[test]
        fn any_line_gets_an_answer(line in "\\PC*") {
            let _ = parse(&line);
        }
    }
}
