//! Files of settings with any text: read, and made into a keymap.
#![no_main]

use kgdb_tui::command::parse::parse as command;
use kgdb_tui::config::parse::{Checks, Origin, parse};
use kgdb_tui::session::settings;
use libfuzzer_sys::fuzz_target;
use std::hint::black_box;

const CHECKS: Checks = Checks {
    line: |line| command(line).map(|_| ()).map_err(|error| error.to_string()),
    set: settings::check,
    set_names: settings::names_for_files,
    ..Checks::NONE
};

fuzz_target!(|text: &str| {
    for trusted in [false, true] {
        let origin = Origin { path: "/tree/.kgdb-tui.toml".into(), trusted, home: None };
        let parsed = parse(text, &origin, &CHECKS);
        let lines = text.matches('\n').count() + 1;
        for problem in &parsed.problems {
            assert!((1..=lines).contains(&problem.line), "{problem}");
        }
        assert!(trusted || parsed.settings.break_in.is_none());
        let _ = black_box(parsed.settings.keymap());
    }
});
