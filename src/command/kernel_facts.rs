//! Commands about how the guest's kernel is built and set up.

use super::{
    parse,
    table::{A_READ, CommandDef, ask, plain},
};
use crate::base::text::printable;
use crate::session::{
    kernel_facts::{ConfigAnswer, KgdbAnswer},
    request::Request,
};

/// These commands.
pub(super) const COMMANDS: &[CommandDef] = &[
    CommandDef {
        name: "info kgdb",
        aliases: &[],
        usage: "info kgdb",
        help: "How kgdb is set up in the running kernel: command line, kgdboc, sysrq, lockdown, panic_timeout.",
        cost: A_READ,
        completes: None,
        make: |args| plain(Request::Kgdb, args),
    },
    CommandDef {
        name: "info config",
        aliases: &[],
        usage: "info config [-n COUNT] [REGEX]",
        help: "The options that the kernel was built with (CONFIG_…), all or those whose names fit a regular expression.",
        cost: "nothing when the vmlinux has them in it; else 40 to 80 kB, once a stop",
        completes: None,
        make: |args| ask(Request::Config(parse::pattern(args)?)),
    },
];

/// How kgdb is set up, a fact a line.
pub fn kgdb(found: &KgdbAnswer) -> String {
    let unset = |value: &String| match value.as_str() {
        "" => "not set".to_owned(),
        value => printable(value),
    };
    let yes = |value: bool| if value { "yes" } else { "no" }.to_owned();
    let sysrq = found.sysrq.map(|mask| match (mask, found.sysrq_always) {
        (mask, Some(true)) => format!("{mask}, but sysrq_always_enabled"),
        (mask, _) => mask.to_string(),
    });
    let rows = [
        ("command line", found.command_line.as_deref().map(printable)),
        ("kgdboc", found.kgdboc.as_ref().map(unset)),
        ("driver", found.driver.as_ref().map(unset)),
        ("kernel.sysrq", sysrq),
        ("lockdown", found.lockdown.map(str::to_owned)),
        ("panic_timeout", found.panic_timeout.map(|seconds| seconds.to_string())),
        ("read-only code", found.rodata.map(yes)),
        ("kdb", Some(yes(found.kdb))),
    ];
    let line = |(name, value): (&str, Option<String>)| {
        format!("{name:<15} {}", value.unwrap_or_else(|| "unknown".into()))
    };
    rows.map(line).join("\n")
}

/// Options as a configuration file has them.
pub fn config(found: &ConfigAnswer) -> String {
    let mut lines = Vec::new();
    if found.from == "symbols" {
        lines.push(
            "# this kernel keeps no configuration (CONFIG_IKCONFIG); its symbols tell:".into(),
        );
    }
    lines.extend(found.options.iter().map(|(name, value)| match value.as_str() {
        "n" => format!("# CONFIG_{name} is not set"),
        value => format!("CONFIG_{name}={}", printable(value)),
    }));
    if found.options.is_empty() {
        lines.push("no option fits".into());
    }
    if found.more > 0 {
        lines.push(format!("… and {} more: info config -n COUNT", found.more));
    }
    lines.join("\n")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::command::{Parsed, parse::parse};
    use crate::session::request::Pattern;

    #[test]
    fn what_is_asked_is_understood() {
        let request = |line: &str| match parse(line) {
            Ok(Parsed::Request(request)) => request,
            other => panic!("{line}: {other:?}"),
        };
        assert_eq!(request("info kgdb"), Request::Kgdb);
        let wanted = Pattern { text: Some("KGDB".into()), limit: None };
        assert_eq!(request("info config KGDB"), Request::Config(wanted));
        assert!(parse("info kgdb now").is_err());
    }

    #[test]
    fn facts_that_are_not_known_say_so() {
        let found = KgdbAnswer {
            kgdboc: Some(String::new()),
            sysrq: Some(176),
            sysrq_always: Some(true),
            ..KgdbAnswer::default()
        };
        let text = kgdb(&found);
        assert!(text.contains("kgdboc          not set"), "{text}");
        assert!(text.contains("command line    unknown"), "{text}");
        assert!(text.contains("176, but sysrq_always_enabled"), "{text}");
    }

    #[test]
    fn options_read_like_the_file() {
        let options = [("KGDB", "y"), ("KGDB_KDB", "n")];
        let options = options.map(|(name, value)| (name.to_owned(), value.to_owned())).to_vec();
        let found = ConfigAnswer { from: "vmlinux", options, more: 0 };
        assert_eq!(config(&found), "CONFIG_KGDB=y\n# CONFIG_KGDB_KDB is not set");
    }
}
