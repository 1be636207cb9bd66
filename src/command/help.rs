//! What `help` says: commands, and the manual's topics.

use super::manual;
use super::table::{COMMANDS, CommandDef};
use std::fmt::Write;

/// Help on one command or topic, or on what there is.
pub fn help(topic: Option<&str>) -> String {
    let Some(topic) = topic else { return everything() };
    let called = |command: &&CommandDef| command.name == topic || command.aliases.contains(&topic);
    if let Some(command) = COMMANDS.iter().find(called) {
        return one(command);
    }
    let begins: Vec<_> =
        COMMANDS.iter().filter(|command| command.name.starts_with(topic)).collect();
    match (&begins[..], &manual::topics(topic)[..]) {
        ([], []) => format!("no command or topic '{topic}'; 'help' lists them"),
        ([command], []) => one(command),
        ([], [section]) => format!("{}\n\n{}", section.title, manual::text(section)),
        (commands, sections) => {
            let mut out = list(commands);
            if !sections.is_empty() {
                let _ = writeln!(out, "\nTopics:");
            }
            for section in sections {
                let _ = writeln!(out, "help {}", section.title.to_lowercase());
            }
            out.trim().to_string()
        }
    }
}

fn everything() -> String {
    let mut out = list(&COMMANDS.iter().collect::<Vec<_>>());
    out.push_str("\nTopics, each with help TOPIC (a word of it is enough):\n");
    for section in manual::sections() {
        let indent = if section.nested { "    " } else { "  " };
        let _ = writeln!(out, "{indent}{}", section.title.to_lowercase());
    }
    out
}

fn one(command: &CommandDef) -> String {
    let aliases = match command.aliases {
        [] => String::new(),
        aliases => format!("\nshort: {}", aliases.join(", ")),
    };
    format!("{}\n{}\ncost: {}{aliases}", command.usage, command.help, command.cost)
}

fn list(commands: &[&CommandDef]) -> String {
    commands.iter().map(|c| format!("{:<28} {}\n", c.usage, c.help)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn help_covers_every_command_and_topic() {
        let all = help(None);
        for command in COMMANDS {
            assert!(all.contains(command.usage), "{}", command.name);
        }
        for section in manual::sections() {
            let title = section.title.to_lowercase();
            assert!(all.contains(&title), "{title}");
            let text = help(Some(&title));
            assert!(!text.starts_with("no command"), "{title}: {text}");
        }
    }

    #[test]
    fn a_command_comes_before_a_topic() {
        assert!(help(Some("finish")).starts_with("finish\nRun until"));
        assert!(help(Some("break")).starts_with("break [--force]"));
        assert!(help(Some("breakpoints")).starts_with("Breakpoints\n\n"));
        assert!(help(Some("info")).contains("info cpus"));
        assert!(help(Some("zork")).starts_with("no command or topic 'zork'"));
    }
}
