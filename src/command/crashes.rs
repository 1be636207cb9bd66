//! Commands about crashes of the guest, and what is caught of them.

use super::{
    Parsed,
    parse::{catch_module, required},
    table::{CommandDef, NOTHING, ask},
};
use crate::base::text::printable;
use crate::session::{
    crash_view::{CrashEvent, CrashView},
    request::{BreakKind, Request},
};

/// These commands.
pub(super) const COMMANDS: &[CommandDef] = &[
    CommandDef {
        name: "catch",
        aliases: &[],
        usage: "catch panic|oops|bug|warn|hung|load|unload [MODULE]",
        help: "Stop at a panic, an exception, BUG(), WARN(), a hung task; when a module is loaded, before its init, or about to be freed.",
        cost: "one packet a site; nothing where kgdb stops by itself",
        completes: None,
        make: |args| catch(BreakKind::Kept, args),
    },
    CommandDef {
        name: "tcatch",
        aliases: &[],
        usage: "tcatch panic|oops|bug|warn|hung|load|unload [MODULE]",
        help: "A catch that is gone after its first hit.",
        cost: "as catch",
        completes: None,
        make: |args| catch(BreakKind::Temporary, args),
    },
    CommandDef {
        name: "info crash",
        aliases: &[],
        usage: "info crash",
        help: "What the kernel ran into: the instruction, the address, why, and what can be done.",
        cost: NOTHING,
        completes: None,
        make: |args| plain(Request::Crash, args),
    },
    CommandDef {
        name: "skip",
        aliases: &[],
        usage: "skip",
        help: "At an exception: go over the instruction without executing it; from a bad call, back to the caller.",
        cost: "two packets",
        completes: None,
        make: |args| plain(Request::Skip, args),
    },
    CommandDef {
        name: "reboot",
        aliases: &[],
        usage: "reboot",
        help: "Restart the guest's machine at once; breakpoints are planted again when it stops.",
        cost: "one packet",
        completes: None,
        make: |args| plain(Request::Reboot { confirmed: false }, args),
    },
];

fn plain(request: Request, args: &str) -> Result<Parsed, String> {
    if args.is_empty() { ask(request) } else { Err(format!("'{args}' is too much")) }
}

/// `catch EVENT`, `catch load [MODULE]`.
fn catch(kind: BreakKind, args: &str) -> Result<Parsed, String> {
    let args = required(args.trim(), "what to catch")?;
    let (word, rest) = args.split_once(char::is_whitespace).unwrap_or((&args, ""));
    match CrashEvent::of(word) {
        Some(_) if !rest.trim().is_empty() => Err(format!("'{}' is too much", rest.trim())),
        Some(event) => ask(Request::CatchCrash(kind, event)),
        None => catch_module(kind, &args),
    }
}

/// A crash as text: the reason, what is known besides, what can be done.
pub fn text(crash: &CrashView) -> String {
    let place = crash.function.as_ref().map(|function| match (&crash.file, crash.line) {
        (Some(file), Some(line)) => format!("{function} at {file}:{line}"),
        _ => function.clone(),
    });
    let code = match (&crash.error_code, &crash.error) {
        (Some(code), Some(error)) => Some(format!("{code}: {error}")),
        (code, error) => code.filter(|code| code.0 != 0).map(|c| c.to_string()).or(error.clone()),
    };
    let address = crash.address.map(|address| match crash.address_is.as_deref() {
        Some(is) if !is.is_empty() => format!("{address}: {is}"),
        _ => address.to_string(),
    });
    let exception = match (&crash.message, crash.vector) {
        (Some(said), Some(vector)) => Some(format!("{said} (exception {vector})")),
        (said, _) => said.clone(),
    };
    let reported = (!crash.reported_by.is_empty()).then(|| crash.reported_by.join(" < "));
    let task = crash
        .pid
        .map(|pid| format!("pid {pid} {}", printable(crash.comm.as_deref().unwrap_or_default())));
    let facts = [
        ("in", place),
        ("source", crash.source.clone()),
        ("instruction", crash.instruction.clone()),
        ("memory", crash.operand.clone()),
        ("address", address),
        ("variable", crash.expression.clone()),
        ("kernel says", exception),
        ("error code", code),
        ("task", task),
        ("reported by", reported),
    ];
    let known =
        facts.into_iter().filter_map(|(name, value)| Some(format!("{name:<12} {}", value?)));
    let notes = crash.notes.iter().map(|note| format!("note: {note}"));
    let ways = crash.ways.iter().map(|way| format!("  {:<10} {}", way.command, way.does));
    let all = std::iter::once(crash.reason.clone()).chain(known).chain(notes).chain(ways);
    all.collect::<Vec<_>>().join("\n")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::command::parse::parse;

    #[test]
    fn crashes_are_caught_and_dealt_with() {
        let request = |line: &str| match parse(line) {
            Ok(Parsed::Request(request)) => request,
            other => panic!("{line}: {other:?}"),
        };
        for event in CrashEvent::ALL {
            let (kept, once) = (BreakKind::Kept, BreakKind::Temporary);
            let line = format!("catch {}", event.word());
            assert_eq!(request(&line), Request::CatchCrash(kept, event));
            assert_eq!(request(&format!("t{line}")), Request::CatchCrash(once, event));
        }
        assert_eq!(request("info crash"), Request::Crash);
        assert_eq!(request("skip"), Request::Skip);
        assert_eq!(request("reboot"), Request::Reboot { confirmed: false });
        assert_eq!(request("reboot").confirmed(), Request::Reboot { confirmed: true });
        for line in ["catch", "catch throw", "catch oops hgfs", "skip 2", "reboot now"] {
            assert!(parse(line).is_err(), "{line}");
        }
    }
}
