//! Commands about breakpoints: where, when they count, and what they do.

use super::{
    Parsed,
    parse::{self, parse, required},
    table::{A_READ, CommandDef, NOTHING, ask},
};
use crate::session::conduct::{self, Adjusting, After, LAST};
use crate::session::request::{BreakKind, Breaking, Request, When};
use crate::session::view::Completes;

/// Reads `[--force] [LOCATION] [task PID] [cpu N] [comm NAME] [if EXPR]`, what
/// `break` and its kin have in common.
pub fn breaking(kind: BreakKind, args: &str) -> Result<Breaking, String> {
    let (forced, args) = match args.trim().strip_prefix("--force") {
        Some(rest) if rest.is_empty() || rest.starts_with(' ') => (true, rest.trim()),
        _ => (false, args.trim()),
    };
    let (location, when) = when(args)?;
    Ok(Breaking { forced, when, ..Breaking::at(kind, location) })
}

/// Takes what says when it counts off the end of a place, or of what is
/// watched.
pub fn when(args: &str) -> Result<(String, When), String> {
    let mut when = When::default();
    let words = words(args);
    let text = |word: &Word| &args[word.start..word.end];
    let mut end = words.len();
    if let Some(at) = words.iter().position(|word| word.is_if) {
        let condition = args[words[at].end..].trim();
        when.condition = Some(required(condition, "an expression after 'if'")?);
        end = at;
    }
    // In any order, and before that a place.
    while end >= 2 {
        let (name, value) = (text(&words[end - 2]), text(&words[end - 1]));
        let number = || value.parse::<u32>().map_err(|_| format!("'{value}' is no number"));
        match name {
            "task" | "thread" | "pid" if when.task.is_none() => {
                when.task =
                    Some(i64::from(number().map_err(|why| format!("{why} of a task (pid)"))?));
            }
            "cpu" if when.cpu.is_none() => {
                when.cpu = Some(number().map_err(|why| format!("{why} of a CPU"))?);
            }
            "comm" if when.comm.is_none() => {
                let bare =
                    value.strip_prefix(['"', '\'']).and_then(|v| v.strip_suffix(['"', '\'']));
                when.comm = Some(bare.unwrap_or(value).to_owned());
            }
            _ => break,
        }
        end -= 2;
    }
    let location = match end {
        0 => String::new(),
        end => args[..words[end - 1].end].trim().to_owned(),
    };
    Ok((location, when))
}

struct Word {
    start: usize,
    end: usize,
    /// The keyword before a condition: `if` alone, or before a `(`.
    is_if: bool,
}

/// Words outside of quotes and brackets. No C expression has an `if` in it.
fn words(text: &str) -> Vec<Word> {
    let mut words: Vec<Word> = Vec::new();
    let (mut start, mut depth) = (None, 0_u32);
    let mut quote: Option<char> = None;
    for (at, c) in text.char_indices() {
        match (quote, c) {
            (Some(open), c) => {
                if c == open {
                    quote = None;
                }
            }
            (None, c) if c.is_whitespace() && depth == 0 => {
                if let Some(start) = start.take() {
                    words.push(Word { start, end: at, is_if: &text[start..at] == "if" });
                }
            }
            (None, c) => {
                // `if(x)` needs no space.
                if c == '(' && depth == 0 && start.is_some_and(|start| &text[start..at] == "if") {
                    words.push(Word { start: start.unwrap_or(at), end: at, is_if: true });
                    return words;
                }
                start.get_or_insert(at);
                match c {
                    '"' | '\'' => quote = Some(c),
                    '(' | '[' | '{' => depth += 1,
                    ')' | ']' | '}' => depth = depth.saturating_sub(1),
                    _ => {}
                }
            }
        }
    }
    if let Some(start) = start {
        words.push(Word { start, end: text.len(), is_if: &text[start..] == "if" });
    }
    words
}

/// `condition N [EXPR]`.
fn condition(args: &str) -> Result<Parsed, String> {
    let (number, rest) = args.split_once(char::is_whitespace).unwrap_or((args, ""));
    let rest = rest.trim();
    let condition = (!rest.is_empty()).then(|| rest.to_owned());
    ask(Request::Adjust(Adjusting::Condition(one_number(number)?, condition)))
}

/// `ignore N COUNT`.
fn ignore(args: &str) -> Result<Parsed, String> {
    let (number, count) = args.split_once(char::is_whitespace).unwrap_or((args, ""));
    let number = one_number(number)?;
    let count = count.trim();
    let count = count.parse().map_err(|_| match count {
        "" => "how many hits are ignored is missing".to_owned(),
        _ => format!("'{count}' is no count"),
    })?;
    ask(Request::Adjust(Adjusting::Ignore(number, count)))
}

fn one_number(text: &str) -> Result<u32, String> {
    match parse::numbers(text)?[..] {
        [number] => Ok(number),
        [] => Err("the number of a breakpoint is missing".into()),
        _ => Err("one breakpoint at a time".into()),
    }
}

/// `enable [once|delete|count COUNT] [NUMBER …]`.
pub fn enable(args: &str) -> Result<Parsed, String> {
    let (word, rest) = args.split_once(char::is_whitespace).unwrap_or((args, ""));
    let rest = rest.trim();
    let (after, numbers) = match word {
        "once" => (After::Disabled(1), rest),
        "delete" => (After::Deleted, rest),
        "count" => {
            let (count, rest) = rest.split_once(char::is_whitespace).unwrap_or((rest, ""));
            match count.parse() {
                Ok(count @ 1..) => (After::Disabled(count), rest.trim()),
                _ => return Err(format!("'{count}' is no count of stops")),
            }
        }
        _ => return ask(Request::Enable(true, parse::numbers(args)?)),
    };
    ask(Request::Adjust(Adjusting::Enable(after, parse::numbers(numbers)?)))
}

/// `commands [NUMBER …] COMMAND; COMMAND …`: numbers first, then commands
/// between semicolons, up to an `end` that may be left out. An `end` alone
/// takes them away.
fn commands(args: &str) -> Result<Parsed, String> {
    let mut lines = lines(args).into_iter();
    let first = lines.next().unwrap_or_default();
    let is_number = |word: &str| parse::numbers(word).is_ok_and(|numbers| !numbers.is_empty());
    let mut rest = first;
    while let Some(word) = rest.split_whitespace().next().filter(|word| is_number(word)) {
        rest = rest[word.len()..].trim_start();
    }
    let numbers = match parse::numbers(first[..first.len() - rest.len()].trim())? {
        none if none.is_empty() => vec![LAST],
        numbers => numbers,
    };
    let mut body = Vec::new();
    let mut ended = false;
    for line in std::iter::once(rest).chain(lines).filter(|line| !line.is_empty()) {
        if ended {
            return Err(format!("'{line}' comes after 'end'"));
        }
        if line == "end" {
            ended = true;
            continue;
        }
        if line != "silent" {
            parse(line).map_err(|error| format!("{line}: {error}"))?;
        }
        body.push(line.to_owned());
    }
    if body.is_empty() && !ended {
        return Err("what is to be done is missing; 'end' alone takes commands away".into());
    }
    ask(Request::Adjust(Adjusting::Commands(numbers, body)))
}

/// The parts between semicolons and line ends outside of quotes.
fn lines(text: &str) -> Vec<&str> {
    let (mut lines, mut start) = (Vec::new(), 0);
    let (mut quoted, mut escaped) = (false, false);
    for (at, c) in text.char_indices() {
        match c {
            _ if escaped => escaped = false,
            '\\' if quoted => escaped = true,
            '"' => quoted = !quoted,
            '\n' => {
                lines.push(text[start..at].trim());
                (start, quoted) = (at + 1, false);
            }
            ';' if !quoted => {
                lines.push(text[start..at].trim());
                start = at + 1;
            }
            _ => {}
        }
    }
    lines.push(text[start..].trim());
    lines
}

/// `dprintf LOCATION,"FORMAT"[,EXPR …]`.
fn dprintf(args: &str) -> Result<Parsed, String> {
    let (forced, args) = match args.strip_prefix("--force ") {
        Some(rest) => (true, rest.trim()),
        None => (false, args),
    };
    let place = conduct::before_format(args);
    let log = args.get(place.end + 1..).unwrap_or_default().trim();
    let log = required(log, "the format, after LOCATION and a comma,")?;
    conduct::check_format(&log)?;
    let (location, when) = when(&args[place])?;
    let asked = Breaking { forced, when, ..Breaking::at(BreakKind::Kept, location) };
    ask(Request::Adjust(Adjusting::Log(asked, log)))
}

/// These commands.
pub(super) const COMMANDS: &[CommandDef] = &[
    CommandDef {
        name: "condition",
        aliases: &["cond"],
        usage: "condition NUMBER [EXPR]",
        help: "Let a breakpoint count only when an expression is true there; without one, always.",
        cost: "at each hit one packet for each register, and reads of what it names",
        completes: None,
        make: condition,
    },
    CommandDef {
        name: "ignore",
        aliases: &[],
        usage: "ignore NUMBER COUNT",
        help: "Go on at the next COUNT hits of a breakpoint; they are counted.",
        cost: NOTHING,
        completes: None,
        make: ignore,
    },
    CommandDef {
        name: "commands",
        aliases: &[],
        usage: "commands [NUMBER …] COMMAND; COMMAND …",
        help: "Do this whenever the breakpoint stops the guest; in files one a line, up to 'end'. 'commands 2 end' takes it away.",
        cost: "what the commands cost",
        completes: None,
        make: commands,
    },
    CommandDef {
        name: "dprintf",
        aliases: &["logpoint"],
        usage: "dprintf LOCATION [task PID] [cpu N] [comm NAME],\"FORMAT\",EXPR …",
        help: "Print this whenever control comes there, with time, CPU and task, and let the guest go on.",
        cost: "as a breakpoint with a condition, and three small reads for CPU and task",
        completes: Some(Completes::Location),
        make: dprintf,
    },
    CommandDef {
        name: "rbreak",
        aliases: &[],
        usage: "rbreak [-n COUNT] REGEX",
        help: "A breakpoint at each function whose name fits a regular expression.",
        cost: "one packet a site",
        completes: Some(Completes::Function),
        make: |args| {
            required(args, "a regular expression")?;
            ask(Request::Adjust(Adjusting::Matching(parse::pattern(args)?)))
        },
    },
    CommandDef {
        name: "save breakpoints",
        aliases: &["save"],
        usage: "save breakpoints FILE",
        help: "Write the breakpoints to a file of commands that 'source' reads.",
        cost: NOTHING,
        completes: None,
        make: |args| {
            let path = args
                .strip_prefix("breakpoints")
                .filter(|rest| !rest.starts_with(char::is_alphanumeric));
            let path = required(path.unwrap_or(args).trim(), "a file")?;
            ask(Request::Adjust(Adjusting::Save(crate::base::text::at_home(&path))))
        },
    },
    CommandDef {
        name: "printf",
        aliases: &[],
        usage: "printf \"FORMAT\",EXPR …",
        help: "Print values as C does; %s reads a string of the guest.",
        cost: A_READ,
        completes: None,
        make: |args| {
            let text = required(args, "a format")?;
            conduct::check_format(&text)?;
            ask(Request::Printf(text))
        },
    },
];

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn at(text: &str) -> (String, When) {
        when(text).unwrap()
    }

    fn adjusting(line: &str) -> Adjusting {
        match parse(line) {
            Ok(Parsed::Request(Request::Adjust(what))) => what,
            other => panic!("{line}: {other:?}"),
        }
    }

    #[test]
    fn when_a_breakpoint_counts_stands_behind_its_place() {
        let none = When::default;
        let some = |text: &str| Some(text.to_owned());
        for (text, location, wanted) in [
            ("", "", none()),
            ("vfs_read", "vfs_read", none()),
            ("vfs_read if count > 5", "vfs_read", When { condition: some("count > 5"), ..none() }),
            ("vfs_read if(count>5)", "vfs_read", When { condition: some("(count>5)"), ..none() }),
            ("if x", "", When { condition: some("x"), ..none() }),
            (
                "a.c:1 task 7 if a if b",
                "a.c:1",
                When { task: Some(7), condition: some("a if b"), ..none() },
            ),
            (
                "f cpu 1 comm kworker/0:1 thread 12",
                "f",
                When { cpu: Some(1), task: Some(12), comm: some("kworker/0:1"), ..none() },
            ),
            (
                "f comm \"a b\" if 1",
                "f",
                When { comm: some("a b"), condition: some("1"), ..none() },
            ),
            ("cpu 1", "", When { cpu: Some(1), ..none() }),
            ("cpu", "cpu", none()),
            ("'my file.c':12 if x", "'my file.c':12", When { condition: some("x"), ..none() }),
            ("my if file.c:12", "my", When { condition: some("file.c:12"), ..none() }),
            ("\"my if file.c\":12", "\"my if file.c\":12", none()),
            ("*(long)p + 4 if x", "*(long)p + 4", When { condition: some("x"), ..none() }),
            ("*0x10 task 1", "*0x10", When { task: Some(1), ..none() }),
            ("iffy if iffy", "iffy", When { condition: some("iffy"), ..none() }),
        ] {
            assert_eq!(at(text), (location.to_owned(), wanted), "{text}");
        }
        for bad in ["f if", "f cpu x", "f task -1", "f if  "] {
            assert!(when(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn breakpoints_are_adjusted_in_gdbs_words() {
        assert_eq!(
            adjusting("condition 2 req->id == 5"),
            Adjusting::Condition(2, Some("req->id == 5".into()))
        );
        assert_eq!(adjusting("cond 2"), Adjusting::Condition(2, None));
        assert_eq!(adjusting("ignore $bpnum 10"), Adjusting::Ignore(LAST, 10));
        assert_eq!(adjusting("enable once 1 2"), Adjusting::Enable(After::Disabled(1), vec![1, 2]));
        assert_eq!(adjusting("enable count 3 1"), Adjusting::Enable(After::Disabled(3), vec![1]));
        assert_eq!(adjusting("enable delete"), Adjusting::Enable(After::Deleted, vec![]));
        assert_eq!(parse("enable 1-3"), Ok(Parsed::Request(Request::Enable(true, vec![1, 2, 3]))));
        let own = |lines: &[&str]| lines.iter().map(|line| line.to_string()).collect::<Vec<_>>();
        assert_eq!(
            adjusting("commands 1 silent; printf \"a;b %d\\n\", x; continue"),
            Adjusting::Commands(vec![1], own(&["silent", "printf \"a;b %d\\n\", x", "continue"]))
        );
        assert_eq!(adjusting("commands\nbt\nend"), Adjusting::Commands(vec![LAST], own(&["bt"])));
        assert_eq!(
            adjusting("commands 1-2 3; bt; up"),
            Adjusting::Commands(vec![1, 2, 3], own(&["bt", "up"]))
        );
        assert_eq!(adjusting("commands 4 end"), Adjusting::Commands(vec![4], vec![]));
        assert_eq!(
            adjusting("dprintf f(int) cpu 1,\"%d, %s\", x, y"),
            Adjusting::Log(
                Breaking {
                    when: When { cpu: Some(1), ..When::default() },
                    ..Breaking::at(BreakKind::Kept, "f(int)")
                },
                "\"%d, %s\", x, y".into()
            )
        );
        assert_eq!(adjusting("save breakpoints a b"), Adjusting::Save("a b".into()));
        for bad in [
            "condition",
            "condition x",
            "ignore 1",
            "ignore 1 x",
            "enable count x 1",
            "commands 1",
            "commands 1 frobnicate",
            "commands 1 bt; end; up",
            "dprintf f",
            "dprintf f,x",
            "dprintf f,\"%d\"",
            "save breakpoints",
            "printf",
            "printf x",
            "rbreak",
        ] {
            assert!(parse(bad).is_err(), "{bad}");
        }
    }

    proptest! {
        #[test]
        fn any_text_has_its_parts(text in "[a-z*:.'\"() ]{0,12}( (if|cpu|task|comm|0x1|1|x)){0,6}") {
            if let Ok((location, when)) = when(&text) {
                prop_assert!(text.contains(location.as_str()));
                prop_assert!(when.condition.is_none_or(|c| text.ends_with(c.trim_end()) || text.trim_end().ends_with(&c)));
            }
        }
    }
}
