//! Commands about values and types, and how their arguments are read.

use super::{
    FaceCommand, Parsed,
    parse::required,
    table::{A_READ, CommandDef, NOTHING, ask},
};
use crate::session::{
    request::{Elements, Examining, Printing, Purpose, Request},
    view::Completes,
};

/// These commands.
pub(super) const COMMANDS: &[CommandDef] = &[
    CommandDef {
        name: "print",
        aliases: &["p", "inspect", "call"],
        usage: "print[/FORMAT] [EXPRESSION], such as p *req, p/x req->flags, p $rip, p count = 3",
        help: "The value of a C expression; an assignment changes the guest. Functions are not called.",
        cost: A_READ,
        completes: Some(Completes::Location),
        make: |args| print(args, Purpose::Print),
    },
    CommandDef {
        name: "output",
        aliases: &[],
        usage: "output[/FORMAT] EXPRESSION",
        help: "The same without a number, and not kept in the history.",
        cost: A_READ,
        completes: Some(Completes::Location),
        make: |args| print(args, Purpose::Output),
    },
    CommandDef {
        name: "display",
        aliases: &[],
        usage: "display EXPRESSION",
        help: "Keep a value on the screen, in the watch pane; d there takes it away.",
        cost: "at each stop a read of what is not known",
        completes: Some(Completes::Location),
        make: |args| {
            let expression = required(args, "an expression")?;
            Ok(Parsed::Face(FaceCommand::Display(expression)))
        },
    },
    CommandDef {
        name: "set",
        aliases: &[],
        usage: "set NAME VALUE | set var EXPRESSION, such as set var req->id = 7",
        help: "Change a setting, such as disassembly-flavor intel; or a variable, member or register.",
        cost: "nothing; for a variable what it reads, and a write that is read back",
        completes: Some(Completes::Setting),
        make: set,
    },
    CommandDef {
        name: "x",
        aliases: &[],
        usage: "x[/COUNT FORMAT SIZE] [EXPRESSION], such as x/8gx $rsp",
        help: "Memory: formats x z d u o t c a f s i, sizes b h w g; without an address it goes on.",
        cost: "a read of the bytes",
        completes: Some(Completes::Location),
        make: examine,
    },
    CommandDef {
        name: "info list",
        aliases: &["elements"],
        usage: "info list[/COUNT] EXPRESSION [struct TYPE MEMBER], such as info list &t->pending struct hgfs_req list",
        help: "What is in a list_head, hlist_head, rb_root, xarray or idr; loops and poison are told.",
        cost: "a read for each element",
        completes: Some(Completes::Location),
        make: elements,
    },
    CommandDef {
        name: "ptype",
        aliases: &[],
        usage: "ptype [/o] TYPE|EXPRESSION",
        help: "A type with its members; /o with their offsets, sizes and holes.",
        cost: NOTHING,
        completes: Some(Completes::Type),
        make: |args| {
            let (offsets, name) = offsets_flag(args)?;
            ask(Request::Type(required(name, "a type")?, offsets))
        },
    },
    CommandDef {
        name: "whatis",
        aliases: &[],
        usage: "whatis TYPE|EXPRESSION",
        help: "The name of the type of something.",
        cost: NOTHING,
        completes: Some(Completes::Type),
        make: |args| ask(Request::WhatIs(required(args, "a type")?)),
    },
];

/// `print[/FORMAT] EXPRESSION`.
fn print(args: &str, purpose: Purpose) -> Result<Parsed, String> {
    let (spec, rest) = spec(args);
    let mut format = None;
    for letter in spec.chars() {
        match letter {
            'x' | 'z' | 'd' | 'u' | 'o' | 't' | 'c' | 'a' | 'f' | 's' => format = Some(letter),
            // gdb's way to say that no script shall write the value.
            'r' => {}
            'i' => return Err("'/i' shows instructions; x/i does".into()),
            'b' | 'h' | 'w' | 'g' => return Err(format!("'{letter}' is a size; only x has sizes")),
            '0'..='9' => return Err("a count is of use with x only".into()),
            _ => return Err(format!("'{letter}' is no format")),
        }
    }
    let expression = rest.strip_prefix("-- ").unwrap_or(rest).trim().to_owned();
    if expression.is_empty() && purpose != Purpose::Print {
        return Err("an expression is missing".into());
    }
    ask(Request::Print(Printing { expression, format, write: false, purpose }))
}

/// `info list[/COUNT] EXPRESSION [struct TYPE MEMBER]`.
fn elements(args: &str) -> Result<Parsed, String> {
    let (spec, rest) = spec(args);
    let limit = match spec {
        "" => None,
        _ => Some(spec.parse().map_err(|_| format!("'{spec}' is no count"))?),
    };
    let words: Vec<&str> = rest.split_whitespace().collect();
    let (expression, element) = match words[..] {
        [.., tag @ ("struct" | "union"), name, member] if words.len() > 3 => {
            // The expression is what stands before, with its own spaces.
            let end = rest.rfind(&format!("{tag} ")).unwrap_or(rest.len());
            (rest[..end].trim(), Some((format!("{tag} {name}"), member.to_owned())))
        }
        _ => (rest, None),
    };
    let expression = required(expression, "a list head")?;
    ask(Request::Elements(Elements { expression, element, limit }))
}

/// The letters right after a `/`, and what follows them.
fn spec(args: &str) -> (&str, &str) {
    match args.strip_prefix('/') {
        Some(rest) => {
            let (spec, rest) = rest.split_once(char::is_whitespace).unwrap_or((rest, ""));
            (spec, rest.trim())
        }
        None => ("", args.trim()),
    }
}

/// `x/COUNT FORMAT SIZE EXPRESSION`: a count, then format and size letters in
/// any order.
fn examine(args: &str) -> Result<Parsed, String> {
    let (spec, address) = spec(args);
    let mut asked = Examining { address: address.to_owned(), ..Examining::default() };
    let sign = usize::from(spec.starts_with('-'));
    let rest = &spec[sign..];
    let digits = sign + rest.find(|c: char| !c.is_ascii_digit()).unwrap_or(rest.len());
    if digits > sign {
        let count = spec[..digits].parse();
        asked.count = Some(count.map_err(|_| format!("'{spec}' is no count"))?);
    }
    for letter in spec[digits..].chars() {
        match letter {
            'b' => asked.unit = Some(1),
            'h' => asked.unit = Some(2),
            'w' => asked.unit = Some(4),
            'g' => asked.unit = Some(8),
            'x' | 'z' | 'd' | 'u' | 'o' | 't' | 'c' | 'a' | 'f' | 's' | 'i' => {
                asked.format = Some(letter);
            }
            _ => return Err(format!("'{letter}' is no format or size")),
        }
    }
    ask(Request::Examine(asked))
}

/// `set NAME VALUE`, `set var EXPRESSION`, `set $name = EXPRESSION`.
fn set(args: &str) -> Result<Parsed, String> {
    let (name, value) = args.split_once(char::is_whitespace).unwrap_or((args, ""));
    if matches!(name, "var" | "variable") {
        return print(&required(value.trim(), "an assignment")?, Purpose::Set);
    }
    if name.starts_with('$') {
        return print(args, Purpose::Set);
    }
    let (name, value) = (required(name, "a setting")?, required(value.trim(), "its value")?);
    if value.starts_with('=') {
        return Err(format!("'{name}' is taken for a setting; set var {args}"));
    }
    ask(Request::Set(name, value))
}

/// `/o` before the argument of `ptype`.
fn offsets_flag(args: &str) -> Result<(bool, &str), String> {
    match spec(args) {
        ("", name) => Ok((false, name)),
        ("o", name) => Ok((true, name)),
        (flags, _) => Err(format!("'/{flags}' is not known; /o shows offsets")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::command::parse::parse;
    use crate::command::request;

    fn printing(line: &str) -> (String, Option<char>, Purpose) {
        match request(line) {
            Request::Print(Printing { expression, format, write: false, purpose }) => {
                (expression, format, purpose)
            }
            other => panic!("{line}: {other:?}"),
        }
    }

    #[test]
    fn print_takes_a_format_and_any_expression() {
        let print = |text: &str, format| (text.to_owned(), format, Purpose::Print);
        assert_eq!(printing("p $rip"), print("$rip", None));
        assert_eq!(printing("print *req->list.next@2"), print("*req->list.next@2", None));
        assert_eq!(printing("p/x a / b"), print("a / b", Some('x')));
        assert_eq!(printing("p /d x"), print("x", Some('d')));
        assert_eq!(printing("call x = 3"), print("x = 3", None));
        assert_eq!(printing("p"), print("", None));
        assert_eq!(printing("p/x"), print("", Some('x')));
        assert_eq!(printing("p -- -1"), print("-1", None));
        assert_eq!(printing("output/c 65").2, Purpose::Output);
        for bad in ["p/i x", "p/8x x", "p/gx x", "p/q x", "output"] {
            assert!(parse(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn set_is_for_settings_and_for_variables() {
        let set = |text: &str| (text.to_owned(), None, Purpose::Set);
        assert_eq!(printing("set var req->id = 7"), set("req->id = 7"));
        assert_eq!(printing("set variable x=1"), set("x=1"));
        assert_eq!(printing("set $x = 1"), set("$x = 1"));
        assert_eq!(printing("set $x=1"), set("$x=1"));
        assert_eq!(
            request("set disassembly-flavor intel"),
            Request::Set("disassembly-flavor".into(), "intel".into())
        );
        assert!(parse("set listsize").is_err());
        assert!(parse("set x = 3").unwrap_err().to_string().contains("set var x = 3"));
    }

    #[test]
    fn examine_reads_gdbs_formats() {
        let examine = |line: &str| match request(line) {
            Request::Examine(Examining { count, unit, format, address }) => {
                (count, unit, format, address)
            }
            other => panic!("{line}: {other:?}"),
        };
        assert_eq!(examine("x/8gx $rsp"), (Some(8), Some(8), Some('x'), "$rsp".into()));
        assert_eq!(examine("x/s linux_banner"), (None, None, Some('s'), "linux_banner".into()));
        assert_eq!(examine("x $rip + 8"), (None, None, None, "$rip + 8".into()));
        assert_eq!(examine("x/-3xg p"), (Some(-3), Some(8), Some('x'), "p".into()));
        assert_eq!(examine("x"), (None, None, None, String::new()));
        assert_eq!(examine("x/4"), (Some(4), None, None, String::new()));
        assert!(parse("x/8q 1").is_err());
        assert!(parse("x/99999999999x 1").is_err());
    }

    #[test]
    fn ptype_takes_its_flag_with_and_without_a_space() {
        for line in ["ptype/o struct page", "ptype /o struct page", "ptype/o  struct page"] {
            assert_eq!(request(line), Request::Type("struct page".into(), true), "{line}");
        }
        assert_eq!(request("ptype u32"), Request::Type("u32".into(), false));
        assert!(parse("ptype/x u32").unwrap_err().to_string().contains("/o shows offsets"));
        assert!(parse("ptype /o").is_err());
        assert_eq!(request("whatis vfs_read"), Request::WhatIs("vfs_read".into()));
    }
}
