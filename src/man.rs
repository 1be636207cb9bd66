//! The manual page and the completions of shells, made from the options and
//! the manual.

use crate::cli::Cli;
use clap::CommandFactory;
use clap_complete::Shell;
use clap_mangen::{
    Man,
    roff::{Inline, Roff, bold, roman},
};
use kgdb_tui::command::manual::{self, Block, Section};
use std::io;

/// Sections of the manual that are for who builds the program, or that the
/// page has already.
const LEFT_OUT: [&str; 4] = ["kgdb-tui", "Measured", "How it is built", "License"];

/// The page in roff, for section 1.
pub fn page() -> io::Result<String> {
    let man = Man::new(Cli::command());
    let mut page = Vec::new();
    man.render_title(&mut page)?;
    man.render_name_section(&mut page)?;
    man.render_synopsis_section(&mut page)?;
    let mut about = Roff::new();
    about.control("SH", ["DESCRIPTION"]);
    let first = manual::sections().first();
    first.iter().flat_map(|section| &section.blocks).for_each(|block| add(&mut about, block));
    about.to_writer(&mut page)?;
    man.render_options_section(&mut page)?;
    man.render_subcommands_section(&mut page)?;
    let mut rest = Roff::new();
    let wanted = |section: &&Section| !LEFT_OUT.contains(&section.title.as_str());
    for section in manual::sections().iter().filter(wanted) {
        let (kind, title) = match section.nested {
            true => ("SS", section.title.clone()),
            false => ("SH", section.title.to_uppercase()),
        };
        rest.control(kind, [title.as_str()]);
        section.blocks.iter().for_each(|block| add(&mut rest, block));
    }
    rest.to_writer(&mut page)?;
    Ok(String::from_utf8_lossy(&page).into_owned())
}

fn add(roff: &mut Roff, block: &Block) {
    match block {
        Block::Text(text) => {
            roff.control("PP", []);
            roff.text([roman(text)]);
        }
        Block::Item(text) => {
            roff.control("IP", ["\\(bu", "2"]);
            roff.text([roman(text)]);
        }
        Block::Code(text) => {
            roff.control("PP", []).control("RS", ["4"]).control("nf", []);
            for line in text.trim_end().lines() {
                roff.text([roman(line)]);
            }
            roff.control("fi", []).control("RE", []);
        }
        Block::Row(cells) => {
            let (name, rest) = cells.split_first().map_or(("", &[][..]), |(n, r)| (n, r));
            roff.control("TP", []);
            roff.text([bold(name)]);
            let rest: Vec<Inline> = rest.iter().map(|cell| roman(format!("{cell} "))).collect();
            roff.text(rest);
        }
    }
}

/// What a shell is to read to complete the program's options.
pub fn completions(shell: Shell) -> String {
    let mut out = Vec::new();
    clap_complete::generate(shell, &mut Cli::command(), "kgdb-tui", &mut out);
    String::from_utf8_lossy(&out).into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_page_has_the_options_and_the_manual() {
        let page = page().unwrap();
        for part in [".SH OPTIONS", "substitute", ".SH KEYS", ".SH COMMANDS", ".SS \"Stepping\""] {
            let plain = page.replace("\\-", "-");
            assert!(plain.contains(part) || plain.contains(&part.replace('"', "")), "{part}");
        }
    }

    #[test]
    fn shells_learn_the_options() {
        for shell in [Shell::Bash, Shell::Zsh, Shell::Fish] {
            assert!(completions(shell).contains("vmlinux"), "{shell}");
        }
    }
}
