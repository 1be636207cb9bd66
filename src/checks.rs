//! What the files of settings may say, as the layers that use it know it.

use kgdb_tui::command::{Parsed, parse::parse};
use kgdb_tui::config::parse::Checks;
use kgdb_tui::link::endpoint::Endpoint;
use kgdb_tui::session::settings;
use kgdb_tui::ui::layout_presets::{PRESETS, Preset};

/// The checks of the program.
pub const CHECKS: Checks = Checks {
    line: |line| match parse(line) {
        Ok(Parsed::Nothing) => Err("there is no command in the line".into()),
        Ok(Parsed::Face(_) | Parsed::Request(_)) => Ok(()),
        Err(error) => Err(error.to_string()),
    },
    connect: |address| address.parse::<Endpoint>().map(|_| ()).map_err(|error| error.to_string()),
    set: settings::check,
    set_names: settings::names_for_files,
    layouts: || PRESETS.map(Preset::name).to_vec(),
};

#[cfg(test)]
mod tests {
    use super::*;
    use kgdb_tui::config::parse::{Origin, parse as read};
    use kgdb_tui::config::settings::DOCUMENTED;

    #[test]
    fn the_documented_default_is_right_also_where_it_is_a_comment() {
        let origin = Origin { trusted: true, ..Origin::default() };
        let parsed = read(DOCUMENTED, &origin, &CHECKS);
        assert_eq!(parsed.problems, []);
        for name in settings::names_for_files() {
            assert!(parsed.settings.value(name).is_some(), "{name} is not documented");
        }
        // What is given as an example is a comment without a space.
        let example = |line: &str| match line.strip_prefix('#') {
            Some(rest) if !rest.starts_with(' ') => format!("{rest}\n"),
            _ => format!("{line}\n"),
        };
        let all: String = DOCUMENTED.lines().map(example).collect();
        let parsed = read(&all, &origin, &CHECKS);
        assert_eq!(parsed.problems, []);
        assert_eq!(parsed.settings.keys.len(), 5);
    }
}
