//! Section addresses of modules from files instead of guest memory: copies of
//! `/sys/module/M/sections` and listings of it, lines `NAME ADDRESS`, and
//! gdb's `add-symbol-file`. [`sections_text`] has the
//! forms of text.

use crate::{
    base::addr::Addr,
    kernel::{
        add_symbol_file::WordsError,
        module_sections::{MAX_SECTIONS, Section},
        modules::MAX_MODULES,
        sections_text,
    },
};
use std::{
    fs,
    io::Read,
    path::{Path, PathBuf},
};
use thiserror::Error;

/// The largest file that is read.
const MAX_BYTES: u64 = 4 << 20;

/// Section addresses of one module and, where the file tells, whose.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Sections {
    /// The module's name, with `_` for `-`.
    pub module: Option<String>,
    /// Its .ko, where the file names one.
    pub file: Option<PathBuf>,
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
    /// A line of gdb's is not as gdb has it.
    #[error("line {line}: add-symbol-file: {why}")]
    Gdb {
        /// Its number, from 1.
        line: usize,
        /// What is wrong.
        why: WordsError,
    },
    /// `kptr_restrict` hides the addresses from users.
    #[error(
        "the addresses of {0} are 0; read them as root, after \
         `echo 1 > /proc/sys/kernel/kptr_restrict`"
    )]
    Hidden(String),
    /// The names of files that begin with a dot were not copied or listed.
    #[error(
        "{0} has no section whose name begins with a dot, such as .text; `*` passes \
         them over: take the whole directory (cp -r), or `.[!.]* *`"
    )]
    NoDots(String),
    /// One section at two places: of two loads, perhaps.
    #[error("{module} has two addresses for {section}: {first} and {second}")]
    Twice {
        /// The module.
        module: String,
        /// The section.
        section: String,
        /// Its first address.
        first: Addr,
        /// Its second.
        second: Addr,
    },
    /// Nothing in it.
    #[error("there is no section in it; give a copy of /sys/module/NAME/sections")]
    Empty,
}

/// Reads a directory or a file. Each module is there once.
pub fn read(path: &Path) -> Result<Vec<Sections>, SectionsError> {
    if !path.is_dir() {
        let mut found = sections_text::parse(&read_text(path)?)?;
        for nameless in found.iter_mut().filter(|found| found.module.is_none()) {
            nameless.module = module_of_file(path);
        }
        return check(found);
    }
    let is_copy = |dir: &Path| dir.join("sections").is_dir();
    if is_copy(path) {
        return check(vec![read_dir(&path.join("sections"))?]);
    }
    let mut below = entries(path, MAX_MODULES)?;
    below.retain(|dir| is_copy(dir));
    if below.is_empty() {
        return check(vec![read_dir(path)?]);
    }
    let read: Result<_, _> = below.iter().map(|dir| read_dir(&dir.join("sections"))).collect();
    check(read?)
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

fn entries(dir: &Path, most: usize) -> Result<Vec<PathBuf>, SectionsError> {
    let entries = fs::read_dir(dir).map_err(|error| unreadable(dir, &error))?;
    let mut paths: Vec<_> = entries.flatten().map(|entry| entry.path()).take(most).collect();
    paths.sort();
    Ok(paths)
}

/// One file for each section, with its address in it.
fn read_dir(dir: &Path) -> Result<Sections, SectionsError> {
    let mut found = Sections { module: module_of_dir(dir), ..Sections::default() };
    for file in entries(dir, MAX_SECTIONS as usize)? {
        let Some(name) = file.file_name().filter(|_| file.is_file()) else { continue };
        let (name, text) = (name.to_string_lossy().into_owned(), read_text(&file)?);
        let Some(addr) = sections_text::address(text.trim()) else {
            return Err(sections_text::line_error(1, &format!("{name} {text}")));
        };
        found.sections.push(Section { name, addr });
    }
    Ok(found)
}

/// `…/hgfs/sections` is of module hgfs, and so is a copy of it that is called
/// `hgfs`.
fn module_of_dir(path: &Path) -> Option<String> {
    let real = fs::canonicalize(path).ok()?;
    let name = match real.file_name()?.to_str()? {
        "sections" => real.parent()?.file_name()?.to_str()?,
        name => name,
    };
    module_name(name)
}

/// `hgfs.txt` is of module hgfs; `sections.txt` may be of any.
fn module_of_file(path: &Path) -> Option<String> {
    let name = path.file_name()?.to_str()?.split('.').next()?;
    module_name(name).filter(|name| name != "sections")
}

/// The name of a module as the kernel has it; `None` for what is no name.
pub fn module_name(name: &str) -> Option<String> {
    let name = name.strip_suffix(".ko").unwrap_or(name).replace('-', "_");
    let is_name =
        |name: &str| name.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_');
    (!name.is_empty() && name.len() < 64 && is_name(&name)).then_some(name)
}

/// What has no place is left out; what can't be right is refused.
fn check(found: Vec<Sections>) -> Result<Vec<Sections>, SectionsError> {
    let mut checked: Vec<Sections> = Vec::new();
    for mut module in found {
        let name = module.module.clone().unwrap_or_else(|| "the module".into());
        if module.sections.is_empty() {
            continue;
        }
        if !module.sections.iter().any(|section| section.name.starts_with('.')) {
            return Err(SectionsError::NoDots(name));
        }
        // One may be at 0 for reasons of its own; all are not.
        module.sections.retain(|section| section.addr.0 != 0);
        if module.sections.is_empty() {
            return Err(SectionsError::Hidden(name));
        }
        let mut once: Vec<Section> = Vec::new();
        for section in module.sections {
            match once.iter().find(|known| known.name == section.name) {
                None => once.push(section),
                Some(known) if known.addr == section.addr => {}
                Some(known) => {
                    return Err(SectionsError::Twice {
                        module: name,
                        section: section.name,
                        first: known.addr,
                        second: section.addr,
                    });
                }
            }
        }
        checked.push(Sections { sections: once, ..module });
    }
    if checked.is_empty() { Err(SectionsError::Empty) } else { Ok(checked) }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn section(name: &str, addr: u64) -> Section {
        Section { name: name.into(), addr: Addr(addr) }
    }

    /// What a copy of `/sys/module/NAME/sections` has.
    fn copy(dir: &Path) {
        fs::create_dir_all(dir).unwrap();
        fs::write(dir.join(".text"), "0xffffffffc0000000\n").unwrap();
        fs::write(dir.join("__param"), "0xffffffffc0001000\n").unwrap();
    }

    #[test]
    fn copies_of_directories() {
        let dir = tempfile::tempdir().unwrap();
        let sections = dir.path().join("module/vm-hgfs/sections");
        copy(&sections);
        copy(&dir.path().join("module/fuse/sections"));
        fs::create_dir(dir.path().join("module/printk")).unwrap();
        copy(&dir.path().join("dummy"));
        let names = |below: &str| -> Vec<String> {
            let found = read(&dir.path().join(below)).unwrap();
            assert!(found.iter().all(|module| module.sections.len() == 2), "{found:?}");
            assert_eq!(found[0].sections[0], section(".text", 0xffff_ffff_c000_0000));
            found.into_iter().map(|module| module.module.unwrap()).collect()
        };
        assert_eq!(names("module/vm-hgfs/sections"), ["vm_hgfs"]);
        assert_eq!(names("module/vm-hgfs"), ["vm_hgfs"]);
        assert_eq!(names("module"), ["fuse", "vm_hgfs"]);
        assert_eq!(names("dummy"), ["dummy"]);
        fs::write(sections.join(".data"), "what\n").unwrap();
        assert!(matches!(read(&sections), Err(SectionsError::Line { .. })));
        fs::remove_file(sections.join(".data")).unwrap();
        fs::remove_file(sections.join(".text")).unwrap();
        let why = read(&sections).unwrap_err().to_string();
        assert!(why.contains("cp -r"), "{why}");
    }

    #[test]
    fn the_name_of_a_file_names_the_module_when_it_does_not() {
        let dir = tempfile::tempdir().unwrap();
        let read_as = |name: &str, text: &str| {
            let file = dir.path().join(name);
            fs::write(&file, text).unwrap();
            read(&file)
        };
        let module = |name: &str| read_as(name, ".text 0x1000").unwrap().remove(0).module;
        assert_eq!(module("vm-hgfs.txt").as_deref(), Some("vm_hgfs"));
        assert_eq!(module("hgfs").as_deref(), Some("hgfs"));
        assert_eq!(module("sections.txt"), None);
    }

    #[test]
    fn errors_say_what_to_do() {
        let dir = tempfile::tempdir().unwrap();
        let why = |text: &str| {
            let file = dir.path().join("hgfs");
            fs::write(&file, text).unwrap();
            read(&file).unwrap_err().to_string()
        };
        let hidden = why(".text 0x0000000000000000\n.data 0x0");
        assert!(hidden.contains("hgfs are 0") && hidden.contains("kptr_restrict"), "{hidden}");
        assert!(why("").contains("/sys/module/NAME/sections"));
        assert_eq!(why(".text 0x1000\n<html>"), "line 2 is not `NAME ADDRESS`: \"<html>\"");
        let twice = why(".text 0x1000\n.text 0x1000\n.text 0x2000");
        assert_eq!(twice, "hgfs has two addresses for .text: 0x1000 and 0x2000");
        let gdb = why("add-symbol-file x.ko -s .data");
        assert!(gdb.starts_with("line 1: add-symbol-file: -s wants"), "{gdb}");
        assert!(why("__param:0x1000").contains("`.[!.]* *`"));
        assert!(matches!(read(Path::new("/nowhere")), Err(SectionsError::Unreadable { .. })));
        fs::write(dir.path().join("hgfs"), ".text 0x1000\n.data 0").unwrap();
        assert_eq!(read(&dir.path().join("hgfs")).unwrap()[0].sections.len(), 1);
    }
}
