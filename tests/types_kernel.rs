//! Types against gdb and pahole on a real kernel: the test guest's vmlinux, or
//! the one that `KGDB_TUI_VMLINUX` names.

#![allow(clippy::unwrap_used, reason = "a test may")]

mod oracle;
mod support {
    pub mod guest;
    pub mod tools;
}

use kgdb_tui::symbols::{
    image::DebugImage,
    placed::{Placement, Symbols, VMLINUX},
};
use oracle::{gdb_outputs, run};
use std::{
    path::PathBuf,
    sync::{OnceLock, atomic::AtomicBool},
};
use support::guest::built;

fn vmlinux() -> PathBuf {
    match std::env::var_os("KGDB_TUI_VMLINUX") {
        Some(path) => path.into(),
        None => built().vmlinux,
    }
}

fn kernel() -> &'static Symbols {
    static KERNEL: OnceLock<Symbols> = OnceLock::new();
    KERNEL.get_or_init(|| {
        let image = DebugImage::open(&vmlinux()).unwrap();
        image.load_dwarf(&|_| {}, &AtomicBool::new(false)).unwrap();
        let mut symbols = Symbols::new();
        symbols.place(VMLINUX, image, Placement::Slide(0));
        symbols
    })
}

/// Every struct and union of pahole's output, `struct page` and the like.
fn names() -> &'static [String] {
    static NAMES: OnceLock<Vec<String>> = OnceLock::new();
    NAMES.get_or_init(|| {
        let out = run("pahole", &["-F", "dwarf", vmlinux().to_str().unwrap()]);
        let heads = out.lines().filter_map(|line| line.strip_suffix(" {"));
        let tagged = heads.filter(|h| h.starts_with("struct ") || h.starts_with("union "));
        let mut names: Vec<String> = tagged.map(str::to_owned).collect();
        names.sort();
        names.dedup();
        names
    })
}

/// About `count` of a list, evenly from a start that differs by `seed`.
fn some<T: Clone>(all: &[T], count: usize, seed: usize) -> Vec<T> {
    let step = (all.len() / count).max(1);
    all.iter().skip(seed % step).step_by(step).cloned().collect()
}

/// A text of `ptype /o` without what gdb 13 calls padding of a union. It is
/// none: for members of a union `print_offset_data::update` (gdb/typeprint.c)
/// returns before it notes where they end, so the end of some member before
/// the union is compared with the union's size.
fn without_union_padding(text: &str) -> String {
    let mut open = Vec::new();
    let mut out = Vec::new();
    for line in text.lines() {
        if open.last() == Some(&true) && line.starts_with("/* XXX") && line.contains("padding") {
            continue;
        }
        if line.ends_with('{') {
            open.push(line.contains("union "));
        } else if line.trim_start().starts_with('}') {
            open.pop();
        }
        out.push(line);
    }
    out.join("\n")
}

#[test]
fn ptype_prints_what_gdb_prints() {
    let symbols = kernel();
    let chosen = some(names(), 250, 7);
    assert!(chosen.len() >= 200);
    let commands: Vec<String> = chosen
        .iter()
        .flat_map(|name| [format!("ptype {name}"), format!("ptype /o {name}")])
        .collect();
    let answers = match std::env::var_os("GDB_OUT") {
        Some(path) => std::fs::read_to_string(path)
            .unwrap()
            .split("<<<")
            .skip(1)
            .map(|part| part.split_once('\n').unwrap())
            .map(|(name, text)| (format!("ptype {name}"), text.trim_end().to_owned()))
            .collect(),
        None => {
            commands.iter().cloned().zip(gdb_outputs(&vmlinux(), &commands)).collect::<Vec<_>>()
        }
    };
    let mut differ = Vec::new();
    for (command, want) in &answers {
        let rest = command.strip_prefix("ptype ").unwrap();
        let (offsets, name) = match rest.strip_prefix("/o ") {
            Some(name) => (true, name),
            None => (false, rest),
        };
        let have = match symbols.find_typed(name) {
            Some(named) => symbols.describe_type(named, offsets).text,
            None => "nothing".to_owned(),
        };
        if without_union_padding(&have) != without_union_padding(want) {
            differ.push(format!("{command}\nhere:\n{have}\ngdb:\n{want}\n"));
        }
    }
    println!("{} compared, {} differ", answers.len(), differ.len());
    if let Some(path) = std::env::var_os("DIFF_OUT") {
        std::fs::write(path, differ.join("=====\n")).unwrap();
    }
    assert!(differ.is_empty(), "{} of {}:\n{}", differ.len(), answers.len(), differ.join("\n"));
}
