//! The shape of the program, checked: which layer may use which, how long a
//! file may be, and that every command is in the README.

use std::{
    collections::BTreeMap,
    fs,
    path::{Path, PathBuf},
};

/// A layer and the layers it may name. Everything points down.
const LAYERS: &[(&str, &[&str])] = &[
    ("base", &[]),
    ("arch", &["base"]),
    ("config", &["base"]),
    ("link", &["base"]),
    ("rsp", &["base"]),
    ("source", &["base"]),
    ("image", &["base", "arch"]),
    ("target", &["base", "arch", "rsp"]),
    ("symbols", &["base", "arch", "image"]),
    ("unwind", &["base", "arch", "symbols"]),
    ("eval", &["base", "arch", "symbols", "unwind"]),
    ("kernel", &["base", "arch", "image", "symbols"]),
    (
        "session",
        &[
            "base", "arch", "link", "rsp", "source", "image", "target", "symbols", "unwind",
            "eval", "kernel",
        ],
    ),
    // Faces and commands see the session, and what is plain data or text.
    ("command", &["base", "arch", "config", "session", "source"]),
    ("batch", &["base", "session", "command"]),
    ("ui", &["base", "arch", "config", "source", "session", "command"]),
    ("relay", &["base", "link", "rsp", "target"]),
    // gdb's protocol is spoken there from the other end.
    ("ports", &["base", "link", "rsp", "session"]),
    ("demo", &["base", "session"]),
    ("setup", &["base", "link", "session", "kernel"]),
];

/// No file is longer than this: one file is one idea.
const MOST_LINES: usize = 600;

fn rust_files(dir: &Path, out: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(dir).expect("the source tree can be read").flatten() {
        let path = entry.path();
        if path.is_dir() {
            rust_files(&path, out);
        } else if path.extension().is_some_and(|e| e == "rs") {
            out.push(path);
        }
    }
}

fn sources() -> BTreeMap<PathBuf, String> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let mut files = Vec::new();
    rust_files(&root, &mut files);
    let read = |path: PathBuf| {
        let text = fs::read_to_string(&path).expect("a source file can be read");
        (path.strip_prefix(&root).expect("below the root").to_path_buf(), text)
    };
    files.into_iter().map(read).collect()
}

/// The layers a text names, outside comments: after `crate::`, one name or a
/// list in braces.
fn named_layers(text: &str) -> Vec<String> {
    let code: String = text
        .lines()
        .map(|line| line.split("//").next().unwrap_or_default())
        .collect::<Vec<_>>()
        .join(" ");
    let mut names = Vec::new();
    for (at, _) in code.match_indices("crate::") {
        let rest = code[at + "crate::".len()..].trim_start();
        if let Some(list) = rest.strip_prefix('{') {
            let mut depth = 0;
            let mut word = String::new();
            let mut words = Vec::new();
            for c in list.chars() {
                match c {
                    '{' => depth += 1,
                    '}' if depth == 0 => break,
                    '}' => depth -= 1,
                    ',' if depth == 0 => words.push(std::mem::take(&mut word)),
                    c if depth == 0 => word.push(c),
                    _ => {}
                }
            }
            words.push(word);
            let first = |w: &String| w.trim().split("::").next().unwrap_or_default().to_string();
            names.extend(words.iter().map(first).filter(|w| !w.is_empty()));
        } else {
            let end = rest.find(|c: char| !c.is_alphanumeric() && c != '_').unwrap_or(rest.len());
            names.push(rest[..end].to_string());
        }
    }
    names
}

#[test]
fn imports_point_down() {
    let mut wrong = Vec::new();
    for (path, text) in sources() {
        let Some(layer) = path.iter().next().and_then(|c| c.to_str()) else { continue };
        if path.components().count() < 2 {
            continue;
        }
        let Some((_, allowed)) = LAYERS.iter().find(|(name, _)| *name == layer) else {
            wrong.push(format!("{} is in no known layer", path.display()));
            continue;
        };
        for name in named_layers(&text) {
            let known = LAYERS.iter().any(|(layer, _)| *layer == name);
            if known && name != layer && !allowed.contains(&name.as_str()) {
                wrong.push(format!("{} uses {name}", path.display()));
            }
        }
    }
    assert!(wrong.is_empty(), "imports that do not point down:\n{}", wrong.join("\n"));
}

#[test]
fn the_check_sees_imports() {
    let text = "use crate::base::addr; // crate::ui\nuse crate::{rsp::{frame, reply}, link};";
    assert_eq!(named_layers(text), ["base", "rsp", "link"]);
}

#[test]
fn no_file_is_too_long() {
    let long: Vec<_> = sources()
        .into_iter()
        .map(|(path, text)| (path, text.lines().count()))
        .filter(|(_, lines)| *lines > MOST_LINES)
        .collect();
    assert!(long.is_empty(), "longer than {MOST_LINES} lines: {long:?}");
}

#[test]
fn every_command_is_in_the_readme() {
    let readme = fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("README.md"))
        .expect("there is a README");
    let missing: Vec<_> = kgdb_tui::command::table::COMMANDS
        .iter()
        .map(|command| command.name)
        .filter(|name| !readme.contains(&format!("`{name}")))
        .collect();
    assert!(missing.is_empty(), "not in the README: {missing:?}");
}
