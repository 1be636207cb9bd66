//! Section addresses of a module from a file instead of guest memory: a copy
//! of the directory `/sys/module/M/sections`, lines `NAME ADDRESS`, or gdb's
//! `add-symbol-file FILE ADDRESS -s NAME ADDRESS …`.

use crate::{
    base::addr::{Addr, parse_number},
    kernel::module_sections::{MAX_SECTIONS, Section},
};
use std::{fs, io::Read, path::Path};
use thiserror::Error;

/// The largest file that is read.
const MAX_BYTES: u64 = 1 << 20;

/// Section addresses and, where the file tells, whose.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Sections {
    /// The module's name, with `_` for `-`.
    pub module: Option<String>,
    /// Its sections in the order of the file.
    pub sections: Vec<Section>,
}

/// Why a file gives no section addresses.
#[derive(Debug, Error)]
pub enum SectionsError {
    /// The file or directory can't be read.
    #[error("can't read {path}: {reason}")]
    Unreadable {
        /// The file.
        path: String,
        /// What the system said.
        reason: String,
    },
    /// A line is none of the forms.
    #[error("line {line} is not `NAME ADDRESS`: {text:?}")]
    Line {
        /// Its number, from 1.
        line: usize,
        /// What it says, cut to a length that fits a message.
        text: String,
    },
    /// `kptr_restrict` hides the addresses from users.
    #[error(
        "the address of {0} is 0; read the files as root, after \
         `echo 1 > /proc/sys/kernel/kptr_restrict`"
    )]
    Hidden(String),
    /// Nothing in it.
    #[error("there is no section in it; give a copy of /sys/module/NAME/sections")]
    Empty,
}

/// Reads a directory or a file.
pub fn read(path: &Path) -> Result<Sections, SectionsError> {
    if path.is_dir() { read_dir(path) } else { parse(&read_text(path)?) }
}

fn unreadable(path: &Path, error: &std::io::Error) -> SectionsError {
    SectionsError::Unreadable { path: path.display().to_string(), reason: error.to_string() }
}

fn read_text(path: &Path) -> Result<String, SectionsError> {
    let mut bytes = Vec::new();
    fs::File::open(path)
        .and_then(|file| file.take(MAX_BYTES).read_to_end(&mut bytes))
        .map_err(|error| unreadable(path, &error))?;
    Ok(String::from_utf8_lossy(&bytes).into_owned())
}

/// One file for each section, with its address in it. The names start with a
/// dot, so a plain `cp *` misses them.
fn read_dir(path: &Path) -> Result<Sections, SectionsError> {
    let entries = fs::read_dir(path).map_err(|error| unreadable(path, &error))?;
    let mut files: Vec<_> = entries.flatten().take(MAX_SECTIONS as usize).collect();
    files.sort_by_key(fs::DirEntry::file_name);
    let mut found = Sections { module: module_of_dir(path), ..Sections::default() };
    for file in files.iter().filter(|file| file.path().is_file()) {
        let name = file.file_name().to_string_lossy().into_owned();
        let text = read_text(&file.path())?;
        found.add(&name, text.trim()).ok_or_else(|| line_error(1, &format!("{name} {text}")))?;
    }
    found.check()
}

/// `…/hgfs/sections` is of module hgfs.
fn module_of_dir(path: &Path) -> Option<String> {
    let real = fs::canonicalize(path).ok()?;
    let of_module = real.file_name()? == "sections";
    let name = if of_module { real.parent()?.file_name()? } else { return None };
    Some(name.to_str()?.replace('-', "_"))
}

/// Parses the text of a file. Empty lines and lines that start with `#` are
/// passed over.
pub fn parse(text: &str) -> Result<Sections, SectionsError> {
    let mut found = Sections::default();
    for (number, line) in (1..).zip(text.lines()) {
        let line = line.trim();
        if line.is_empty() || line.starts_with('#') {
            continue;
        }
        let words: Vec<&str> = line.split_whitespace().collect();
        let added = match words[..] {
            ["add-symbol-file", file, ref rest @ ..] => found.add_symbol_file(file, rest),
            [name, address] => found.add(name, address),
            _ => None,
        };
        added.ok_or_else(|| line_error(number, line))?;
    }
    found.check()
}

fn line_error(line: usize, text: &str) -> SectionsError {
    SectionsError::Line { line, text: text.trim().chars().take(60).collect() }
}

impl Sections {
    fn add(&mut self, name: &str, address: &str) -> Option<()> {
        // Files copied from sysfs have 0x; lists made by people may not.
        let address =
            parse_number(address).filter(|_| address.starts_with("0x") || address == "0").or_else(
                || u64::from_str_radix(address, 16).ok().filter(|_| !address.starts_with('+')),
            )?;
        self.sections.push(Section { name: name.to_string(), addr: Addr(address) });
        Some(())
    }

    fn add_symbol_file(&mut self, file: &str, rest: &[&str]) -> Option<()> {
        let stem = Path::new(file).file_stem()?.to_str()?;
        self.module = Some(stem.trim_end_matches(".ko").replace('-', "_"));
        let mut words = rest.iter();
        while let Some(word) = words.next() {
            match *word {
                "-s" => self.add(words.next()?, words.next()?)?,
                "-readnow" | "-readnever" => {}
                address => self.add(".text", address)?,
            }
        }
        Some(())
    }

    fn check(self) -> Result<Sections, SectionsError> {
        if self.sections.is_empty() {
            return Err(SectionsError::Empty);
        }
        // One section may be at 0 for its own reasons; all are not.
        if self.sections.iter().all(|section| section.addr.0 == 0) {
            return Err(SectionsError::Hidden(self.sections[0].name.clone()));
        }
        Ok(self)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn section(name: &str, addr: u64) -> Section {
        Section { name: name.into(), addr: Addr(addr) }
    }

    #[test]
    fn lines_of_name_and_address() {
        let found =
            parse("# hgfs\n.text 0xffffffffc0000000\n\n .data\tffffffffc0002000\r\n").unwrap();
        assert_eq!(found.module, None);
        assert_eq!(
            found.sections,
            [section(".text", 0xffff_ffff_c000_0000), section(".data", 0xffff_ffff_c000_2000)]
        );
    }

    #[test]
    fn the_command_of_gdb() {
        let found =
            parse("add-symbol-file /tmp/vm-hgfs.ko 0x1000 -s .data 0x2000 -s .bss 0x3000").unwrap();
        assert_eq!(found.module.as_deref(), Some("vm_hgfs"));
        let want = [section(".text", 0x1000), section(".data", 0x2000), section(".bss", 0x3000)];
        assert_eq!(found.sections, want);
    }

    #[test]
    fn a_copy_of_the_directory() {
        let dir = tempfile::tempdir().unwrap();
        let sections = dir.path().join("vm-hgfs/sections");
        fs::create_dir_all(&sections).unwrap();
        fs::write(sections.join(".text"), "0xffffffffc0000000\n").unwrap();
        fs::write(sections.join("__param"), "0xffffffffc0001000\n").unwrap();
        let found = read(&sections).unwrap();
        assert_eq!(found.module.as_deref(), Some("vm_hgfs"));
        assert_eq!(found.sections.len(), 2);
        assert_eq!(found.sections[0], section(".text", 0xffff_ffff_c000_0000));
        fs::write(sections.join(".data"), "what\n").unwrap();
        assert!(matches!(read(&sections), Err(SectionsError::Line { .. })));
    }

    #[test]
    fn errors_say_what_to_do() {
        let hidden = parse(".text 0x0000000000000000\n.data 0x0").unwrap_err().to_string();
        assert!(hidden.contains("kptr_restrict"), "{hidden}");
        assert!(matches!(parse(""), Err(SectionsError::Empty)));
        let bad = parse(".text 0x1000\n<html>").unwrap_err().to_string();
        assert_eq!(bad, "line 2 is not `NAME ADDRESS`: \"<html>\"");
        assert!(matches!(read(Path::new("/nowhere")), Err(SectionsError::Unreadable { .. })));
        assert!(matches!(parse("add-symbol-file x.ko -s .data"), Err(SectionsError::Line { .. })));
    }

    proptest! {
        #[test]
        fn any_text_is_answered(text in "(add-symbol-file )?[a-z0-9.x# \n+-]{0,60}") {
            if let Ok(found) = parse(&text) {
                prop_assert!(!found.sections.is_empty());
            }
        }
    }
}
