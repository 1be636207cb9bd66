//! Commands about debug registers: hardware breakpoints and watchpoints.

use super::{
    Parsed,
    breaking::when,
    table::{CommandDef, ask, breakpoint},
};
use crate::session::{
    request::{BreakKind, Means, Request},
    view::Completes,
    watching::{Access, Watching},
};

const A_REGISTER: &str = "a packet to set it, reads of the kernel's own book-keeping";

/// These commands.
pub(super) const COMMANDS: &[CommandDef] = &[
    CommandDef {
        name: "hbreak",
        aliases: &["hb"],
        usage: "hbreak [--force] [LOCATION] [cpu N] [task PID] [comm NAME] [if EXPR]",
        help: "Set a breakpoint by a debug register of the CPU: no byte of the code is changed. There are four.",
        cost: A_REGISTER,
        completes: Some(Completes::Location),
        make: |args| hardware(BreakKind::Kept, args),
    },
    CommandDef {
        name: "thbreak",
        aliases: &["thb"],
        usage: "thbreak [--force] [LOCATION] [cpu N] [task PID] [comm NAME] [if EXPR]",
        help: "The same, gone after its first hit.",
        cost: A_REGISTER,
        completes: Some(Completes::Location),
        make: |args| hardware(BreakKind::Temporary, args),
    },
    CommandDef {
        name: "watch",
        aliases: &[],
        usage: "watch EXPRESSION [cpu N] [task PID] [if EXPR], such as watch dev->refs, watch *(u64 *) 0xffff888003a01000",
        help: "Stop when the value there changes, with the old and the new one and the instruction that did it.",
        cost: A_REGISTER,
        completes: Some(Completes::Location),
        make: |args| watch(Access::Write, args),
    },
    CommandDef {
        name: "rwatch",
        aliases: &[],
        usage: "rwatch EXPRESSION",
        help: "Stop when it is accessed and stays as it is; x86 can't tell more of a read.",
        cost: A_REGISTER,
        completes: Some(Completes::Location),
        make: |args| watch(Access::Read, args),
    },
    CommandDef {
        name: "awatch",
        aliases: &[],
        usage: "awatch EXPRESSION",
        help: "Stop at each access, be it read or written, the same value too.",
        cost: A_REGISTER,
        completes: Some(Completes::Location),
        make: |args| watch(Access::Any, args),
    },
];

fn hardware(kind: BreakKind, args: &str) -> Result<Parsed, String> {
    let mut parsed = breakpoint(kind, args)?;
    if let Parsed::Request(Request::Break(asked)) = &mut parsed {
        asked.means = Means::Hardware;
    }
    Ok(parsed)
}

/// `watch [-l|-location] EXPRESSION`: always where the expression is now, as
/// gdb's `-l`.
fn watch(access: Access, args: &str) -> Result<Parsed, String> {
    let args = args.trim();
    let bare = ["-location", "-l"].into_iter().find_map(|flag| {
        let rest = args.strip_prefix(flag)?;
        rest.is_empty().then_some("").or(rest.strip_prefix(char::is_whitespace))
    });
    let (expression, when) = when(bare.unwrap_or(args).trim())?;
    if expression.is_empty() {
        return Err("an expression is missing".into());
    }
    let kind = BreakKind::Kept;
    ask(Request::Watch(Watching { kind, access, expression, when }))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::command::parse::parse;
    use crate::command::request;
    use crate::session::request::{Breaking, When};

    #[test]
    fn a_debug_register_is_asked_for() {
        let hard = |kind, location: &str, forced| {
            let means = Means::Hardware;
            Request::Break(Breaking { means, forced, ..Breaking::at(kind, location) })
        };
        assert_eq!(request("hbreak vfs_read"), hard(BreakKind::Kept, "vfs_read", false));
        assert_eq!(request("hb"), hard(BreakKind::Kept, "", false));
        assert_eq!(request("thb --force x.c:4"), hard(BreakKind::Temporary, "x.c:4", true));
    }

    #[test]
    fn an_expression_is_watched() {
        let of = |access, expression: &str| {
            let (kind, when) = (BreakKind::Kept, When::default());
            let expression = expression.to_owned();
            Request::Watch(Watching { kind, access, expression, when })
        };
        assert_eq!(request("watch a->b"), of(Access::Write, "a->b"));
        assert_eq!(request("watch -l a->b"), of(Access::Write, "a->b"));
        assert_eq!(request("watch -location  *p"), of(Access::Write, "*p"));
        assert_eq!(request("watch -lives"), of(Access::Write, "-lives"), "minus lives");
        assert_eq!(request("rwatch x"), of(Access::Read, "x"));
        let condition = Some("x > 3".to_owned());
        let when = When { condition, cpu: Some(1), ..When::default() };
        let (kind, access, expression) = (BreakKind::Kept, Access::Write, "x".to_owned());
        let watching = Watching { kind, access, expression, when };
        assert_eq!(request("watch x cpu 1 if x > 3"), Request::Watch(watching));
        assert_eq!(request("awatch *(u8 *) 0x10"), of(Access::Any, "*(u8 *) 0x10"));
        assert!(parse("watch").is_err() && parse("awatch -l").is_err());
    }
}
