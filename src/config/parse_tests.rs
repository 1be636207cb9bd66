//! Tests of settings as TOML.

use super::*;
use crate::config::keymap::Scope::{Everywhere, Values};
use crate::config::settings::DOCUMENTED;
use proptest::prelude::*;

const CHECKS: Checks = Checks {
    line: |line| match line.starts_with("zork") {
        true => Err(format!("no command '{line}'")),
        false => Ok(()),
    },
    connect: |address| match address.contains(':') {
        true => Ok(()),
        false => Err(format!("'{address}' is no address")),
    },
    set: |name, value| match (name, value) {
        ("listsize", "0") => Err("listsize is a number of lines, not '0'".into()),
        _ => Ok(()),
    },
    set_names: || vec!["listsize", "module-events"],
    layouts: || vec!["code", "asm"],
};

fn origin(trusted: bool) -> Origin {
    let path = if trusted { "/etc/me/config.toml" } else { "/src/linux/.kgdb-tui.toml" };
    Origin { path: path.into(), trusted, home: Some("/home/me".into()) }
}

fn read(text: &str) -> Parsed {
    parse(text, &origin(true), &CHECKS)
}

/// The problems as text, without the file.
fn wrong(text: &str) -> Vec<String> {
    let told = |problem: &Problem| format!("{}: {}", problem.line, problem.what);
    read(text).problems.iter().map(told).collect()
}

#[test]
fn what_can_be_set() {
    let text = r#"
theme = "dark-16"
mouse = false
layout = "code"
connect = "telnet:localhost:4444"
vmlinux = "~/linux/vmlinux"
break-in = "ssh guest true"
[keys]
preset = "vi"
[keys.everywhere]
"g h" = "zoom"
"F4" = "break $pc"
q = ""
[keys.values]
"y" = "show-whole"
[source]
source-dir = ["sources", "/usr/src/linux"]
substitute-path = { "/build" = "/home/me/build" }
[set]
listsize = 0x20
module-events = true
"#;
    let Parsed { settings, problems, broken } = read(text);
    assert_eq!((problems, broken), (vec![], false));
    assert_eq!(settings.theme.as_deref(), Some("dark-16"));
    assert_eq!(settings.mouse, Some(false));
    assert_eq!(settings.layout.as_deref(), Some("code"));
    assert_eq!(settings.connect.as_deref(), Some("telnet:localhost:4444"));
    assert_eq!(settings.vmlinux, Some("/home/me/linux/vmlinux".into()));
    assert_eq!(settings.break_in.as_deref(), Some("ssh guest true"));
    assert_eq!(settings.preset, Some("vi"));
    let own = |scope, text: &str, action| OwnKeys { scope, keys: sequence(text).unwrap(), action };
    let keys = [
        own(Everywhere, "g h", Some(Action::Zoom)),
        own(Everywhere, "F4", Some(Action::Command("break $pc"))),
        own(Everywhere, "q", None),
        own(Values, "y", Some(Action::ShowWhole)),
    ];
    assert_eq!(settings.keys, keys);
    let dirs: [PathBuf; 2] = ["/etc/me/sources".into(), "/usr/src/linux".into()];
    assert_eq!(settings.source_dir, dirs);
    assert_eq!(settings.substitute_path, [("/build".into(), "/home/me/build".into())]);
    assert_eq!(settings.value("listsize"), Some("32"));
    assert_eq!(settings.value("module-events"), Some("on"));
}

#[test]
fn the_documented_default_is_the_default() {
    let Parsed { settings, problems, broken } = parse(DOCUMENTED, &origin(true), &Checks::NONE);
    assert_eq!((problems, broken), (vec![], false));
    assert_eq!(settings.keymap(), Settings::default().keymap());
    assert_eq!(settings.theme.as_deref(), Some("auto"));
    assert_eq!(settings.mouse, Some(true));
    assert_eq!(settings.connect.as_deref(), Some("localhost:9999"));
    assert!(settings.source_dir.is_empty() && settings.substitute_path.is_empty());
    for name in TOP.iter().chain(SOURCE) {
        let said = DOCUMENTED.lines().any(|line| {
            let line = line.trim_start_matches(['#', '[']).trim_start_matches("source.");
            line.starts_with(name)
        });
        assert!(said, "{name} is not in the documented default");
    }
}

#[test]
fn what_is_wrong_is_told_by_line_and_the_rest_holds() {
    let text = "theem = 'dark'\ntheme = 'drak'\nmouse = 1\n[keys]\npreset = 'emacs'\n\
                [keys.everywher]\n[keys.everywhere]\nHyper-x = 'zoom'\nz = 'zomo'\ny = 'zork'\n\
                x = 3\n[source]\nsource-dir = 'x'\nsource_dir = []\n[set]\nlistsize = 0\n\
                list-size = 3\nmodule-events = 'on'\n";
    let expected = [
        "1: unknown setting 'theem'; did you mean theme?",
        "2: unknown theme 'drak'; did you mean dark?",
        "3: mouse is true or false, not a number",
        "5: unknown preset 'emacs'; there are kgdb, gdb, vi, windbg, jetbrains",
        "6: unknown place for keys 'everywher'; did you mean everywhere?",
        "8: 'Hyper-x' is no key; keys are written as F5, Ctrl-C, Shift-F11, Tab, Space, x",
        "10: no command 'zork'",
        "11: x is the name of an action, in quotes, not a number",
        "13: source-dir is a list of directories, [\"DIR\"], not a text",
        "14: unknown setting of [source] 'source_dir'; did you mean source-dir?",
        "16: listsize is a number of lines, not '0'",
        "17: unknown setting of [set] 'list-size'; did you mean listsize?",
    ];
    assert_eq!(wrong(text), expected);
    let parsed = read(text);
    assert!(!parsed.broken);
    assert_eq!(parsed.settings.value("module-events"), Some("on"));
    assert_eq!(parsed.settings.theme, None);
    assert_eq!(
        parsed.problems[0].to_string(),
        "/etc/me/config.toml:1: unknown setting 'theem'; did you mean theme?"
    );
}

#[test]
fn what_is_no_toml_counts_for_nothing() {
    let parsed = read("mouse = false\ntheme = \n[keys\nx = 1\nx = 2\n");
    assert!(parsed.broken);
    assert_eq!(parsed.settings, Settings::default());
    let lines: Vec<_> = parsed.problems.iter().map(|problem| problem.line).collect();
    assert_eq!(&lines[..2], [2, 3], "{:?}", parsed.problems);
}

#[test]
fn a_source_tree_runs_nothing_on_this_machine() {
    let text = "break-in = 'rm x'\nconnect = 'exec:rm x'\n[keys.everywhere]\n\
                F4 = 'save breakpoints /home/me/.profile'\nF5 = 'step'\nF3 = 'focus tasks'\n";
    let parsed = parse(text, &origin(false), &CHECKS);
    let lines: Vec<_> = parsed.problems.iter().map(|problem| problem.line).collect();
    assert_eq!(lines, [1, 2, 4]);
    assert!(parsed.problems.iter().all(|problem| problem.what.contains("refused here")));
    assert_eq!((parsed.settings.break_in, parsed.settings.connect), (None, None));
    assert_eq!(parsed.settings.keys.len(), 2);
}

proptest! {
    #[test]
    fn any_text_gets_an_answer(text in "\\PC*") {
        read(&text);
    }

    /// Lines that are nearly right, with the errors where they are.
    #[test]
    fn problems_are_in_the_text(
        lines in proptest::collection::vec(
            "(theme|mouse|[a-z-]{1,8}|\"[A-Za-z0-9 -]{0,8}\") = (true|[0-9]{1,3}|'[a-z $]{0,9}'|\\[\\])|\\[(keys|set|source|keys.[a-z]{4,9})\\]|[a-z=\\[\\]'\"]{0,6}",
            0..12,
        ),
    ) {
        let text = lines.join("\n");
        let parsed = read(&text);
        for problem in &parsed.problems {
            prop_assert!((1..=lines.len().max(1)).contains(&problem.line), "{problem}\n{text}");
        }
        if parsed.broken {
            prop_assert_eq!(parsed.settings, Settings::default());
        }
    }
}
