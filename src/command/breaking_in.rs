//! Commands that stop a running guest, and the one that types into its console.

use super::{
    Parsed,
    table::{CommandDef, ask},
};
use crate::session::request::Request;

/// These commands.
pub(super) const COMMANDS: &[CommandDef] = &[
    CommandDef {
        name: "interrupt",
        aliases: &["int", "break-in"],
        usage: "interrupt [shell|cancel]",
        help: "Stop the running guest: BREAK then g, the --break-in command, typing in the console's shell (only when allowed: shell), else words to type in it; cancel gives up.",
        cost: "two bytes and a BREAK, or a line typed in a shell",
        completes: None,
        make: interrupt,
    },
    CommandDef {
        name: "console",
        aliases: &[],
        usage: "console [-n] TEXT",
        help: "Type a line into the running guest's console; with -n without Enter. \\r, \\t, \\e and \\xHH are these keys.",
        cost: "the text itself; the guest echoes it",
        completes: None,
        make: console,
    },
    CommandDef {
        name: "plant",
        aliases: &[],
        usage: "plant",
        help: "Plant and lift breakpoints that were changed while the guest runs: it is stopped for a moment, where that needs nobody's help, and runs on.",
        cost: "a break-in, a packet a site, a resume",
        completes: None,
        make: |args| match args {
            "" => ask(Request::Plant),
            _ => Err(format!("'{args}' is too much")),
        },
    },
];

fn interrupt(args: &str) -> Result<Parsed, String> {
    match args.trim() {
        "" => ask(Request::BreakIn),
        "shell" => ask(Request::BreakInByShell),
        "cancel" => ask(Request::CancelBreakIn),
        other => Err(format!("'{other}' is no way to interrupt; there are shell and cancel")),
    }
}

fn console(args: &str) -> Result<Parsed, String> {
    let args = args.trim_start();
    let (text, enter) = match args.strip_prefix("-n") {
        Some("") => return Err("type what?".into()),
        Some(rest) if rest.starts_with(' ') => (rest.trim_start(), false),
        _ => (args, true),
    };
    let mut bytes = typed(text)?;
    if enter {
        bytes.push(b'\r');
    }
    ask(Request::Console(bytes))
}

/// A text with its escapes undone.
fn typed(text: &str) -> Result<Vec<u8>, String> {
    let mut bytes = Vec::new();
    let mut letters = text.chars();
    while let Some(letter) = letters.next() {
        if letter != '\\' {
            bytes.extend(letter.encode_utf8(&mut [0; 4]).bytes());
            continue;
        }
        match letters.next() {
            Some('r' | 'n') => bytes.push(b'\r'),
            Some('t') => bytes.push(b'\t'),
            Some('e') => bytes.push(0x1b),
            Some('\\') => bytes.push(b'\\'),
            Some('x') => {
                let digits: String = letters.by_ref().take(2).collect();
                let byte = u8::from_str_radix(&digits, 16);
                bytes.push(byte.map_err(|_| format!("\\x{digits} is no byte; try \\x03"))?);
            }
            other => {
                let what = other.map(String::from).unwrap_or_default();
                return Err(format!("\\{what} is no key; there are \\r \\t \\e \\xHH \\\\"));
            }
        }
    }
    Ok(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::command::parse::parse;

    #[test]
    fn what_interrupt_takes() {
        for (line, request) in [
            ("interrupt", Request::BreakIn),
            ("int shell", Request::BreakInByShell),
            ("interrupt cancel", Request::CancelBreakIn),
            ("plant", Request::Plant),
            ("console echo hi", Request::Console(b"echo hi\r".to_vec())),
            ("console -n ls\\t\\x03", Request::Console(b"ls\t\x03".to_vec())),
            ("console", Request::Console(b"\r".to_vec())),
        ] {
            assert_eq!(parse(line).ok(), Some(Parsed::Request(request)), "{line}");
        }
        assert!(parse("interrupt harder").unwrap_err().to_string().contains("shell and cancel"));
        assert!(parse("plant trees").is_err());
        assert!(parse("console -n").is_err() && parse("console \\q").is_err());
    }
}
