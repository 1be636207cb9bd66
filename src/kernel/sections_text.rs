//! Section addresses as text. A line is one of
//!
//! ```text
//! .text 0xffffffffc0000000                                 NAME ADDRESS
//! hgfs .text 0xffffffffc0000000                            MODULE NAME ADDRESS
//! .text:0xffffffffc0000000                                 grep -H . .[!.]* *
//! /sys/module/hgfs/sections/.text:0xffffffffc0000000       grep -r . /sys/module/hgfs/sections
//! ==> /sys/module/hgfs/sections/.text <==                  head …; the address follows
//! add-symbol-file hgfs.ko 0xffffffffc0000000 -s .data …    gdb
//! ```
//!
//! In a script of gdb's only `add-symbol-file` counts.

use super::{
    add_symbol_file::AddSymbolFile,
    module_sections::Section,
    sections_file::{Sections, SectionsError, module_name},
};
use crate::base::{addr::Addr, addr::parse_number, text::logical_lines};

const GDB: &str = "add-symbol-file";

/// Parses the text of a file: the sections of each module it names. Empty lines
/// and lines that start with `#` are passed over.
pub fn parse(text: &str) -> Result<Vec<Sections>, SectionsError> {
    let lines = logical_lines(text);
    let gdb = |line: &str| line.split_whitespace().next() == Some(GDB);
    let is_script = lines.iter().any(|(_, line)| gdb(line));
    let mut found = Vec::new();
    let mut header: Option<String> = None;
    for (number, line) in lines {
        let line = line.trim();
        if line.is_empty() || line.starts_with('#') || is_script && !gdb(line) {
            continue;
        }
        if is_script {
            add_symbol_file(&mut found, number, line)?;
            continue;
        }
        let path = line.strip_prefix("==> ").and_then(|rest| rest.strip_suffix(" <=="));
        if let Some(path) = path {
            header = Some(path.to_owned());
            continue;
        }
        let words: Vec<&str> = line.split_whitespace().collect();
        let read = match (&words[..], header.take()) {
            ([text], Some(path)) => place(&path, text),
            ([word], None) => word.rsplit_once(':').and_then(|(path, text)| place(path, text)),
            ([path, text], None) => place(path.strip_suffix(':').unwrap_or(path), text),
            ([module, name, text], None) => module_name(module)
                .zip(address(text))
                .map(|(module, addr)| (Some(module), Section { name: (*name).to_owned(), addr })),
            _ => None,
        };
        let (module, section) = read.ok_or_else(|| line_error(number, line))?;
        of_module(&mut found, module).sections.push(section);
    }
    Ok(found)
}

/// A line that can't be read, cut to what fits a message.
pub(super) fn line_error(line: usize, text: &str) -> SectionsError {
    SectionsError::Line { line, text: text.trim().chars().take(60).collect() }
}

/// An address: `0x…`, or hexadecimal digits as lists made by people have them.
pub(super) fn address(text: &str) -> Option<Addr> {
    let bare = || {
        let digits = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_hexdigit());
        u64::from_str_radix(text, 16).ok().filter(|_| digits)
    };
    let prefixed = text.starts_with("0x") || text.starts_with("0X");
    if prefixed { parse_number(text).map(Addr) } else { bare().map(Addr) }
}

/// A section by its file in sysfs, or by its name alone.
fn place(path: &str, text: &str) -> Option<(Option<String>, Section)> {
    let addr = address(text)?;
    let mut parts = path.rsplit('/');
    let name = parts.next().filter(|name| !name.is_empty())?.to_owned();
    let module = match (parts.next(), parts.next()) {
        (Some("sections"), Some(module)) => Some(module_name(module)?),
        _ => None,
    };
    Some((module, Section { name, addr }))
}

fn of_module(found: &mut Vec<Sections>, module: Option<String>) -> &mut Sections {
    let at = found.iter().position(|known| known.module == module).unwrap_or_else(|| {
        found.push(Sections { module, ..Sections::default() });
        found.len() - 1
    });
    &mut found[at]
}

fn add_symbol_file(
    found: &mut Vec<Sections>,
    number: usize,
    line: &str,
) -> Result<(), SectionsError> {
    let text = line.trim_start().strip_prefix(GDB).unwrap_or(line);
    let command =
        AddSymbolFile::parse(text).map_err(|why| SectionsError::Gdb { line: number, why })?;
    let name = command.file.file_name().and_then(|name| module_name(name.to_str()?));
    let module = of_module(found, Some(name.ok_or_else(|| line_error(number, line))?));
    module.file = Some(command.file);
    let text = command.text.map(|text| (".text".to_owned(), text));
    for (name, text) in text.into_iter().chain(command.sections) {
        // gdb takes digits without 0x as decimal.
        let addr = parse_number(&text).map(Addr).or_else(|| address(&text));
        let addr = addr.ok_or_else(|| line_error(number, &format!("{name} {text}")))?;
        module.sections.push(Section { name, addr });
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::path::PathBuf;

    const TEXT: u64 = 0xffff_ffff_c000_0000;
    const DATA: u64 = 0xffff_ffff_c000_2000;

    /// A module and its sections.
    type Plain = (Option<String>, Vec<(String, u64)>);

    fn read(text: &str) -> Vec<Plain> {
        let sections = |module: Sections| {
            let sections = module.sections.into_iter().map(|s| (s.name, s.addr.0)).collect();
            (module.module, sections)
        };
        parse(text).unwrap().into_iter().map(sections).collect()
    }

    fn of(module: Option<&str>) -> Plain {
        (module.map(str::to_owned), vec![(".text".into(), TEXT), (".data".into(), DATA)])
    }

    #[test]
    fn lines_of_name_and_address() {
        let lines = "# hgfs\n.text 0xffffffffc0000000\n\n .data\tffffffffc0002000\r\n";
        assert_eq!(read(lines), [of(None)]);
        let grep = ".text:0xffffffffc0000000\n.data:0xffffffffc0002000\n";
        assert_eq!(read(grep), [of(None)]);
        let cat = ".text: 0xffffffffc0000000\n.data: 0xffffffffc0002000\n";
        assert_eq!(read(cat), [of(None)]);
    }

    #[test]
    fn listings_name_their_module() {
        let lines = |form: &dyn Fn(&str, &str, u64) -> String| -> String {
            ["vm-hgfs", "fuse"]
                .iter()
                .flat_map(|m| [form(m, ".text", TEXT), form(m, ".data", DATA)])
                .collect()
        };
        let want = [of(Some("vm_hgfs")), of(Some("fuse"))];
        let grep = |m: &str, s: &str, a| format!("/sys/module/{m}/sections/{s}:0x{a:x}\n");
        assert_eq!(read(&lines(&grep)), want);
        let short = |m: &str, s: &str, a| format!("{m}/sections/{s} 0x{a:x}\n");
        assert_eq!(read(&lines(&short)), want);
        let three = |m: &str, s: &str, a| format!("{m} {s} 0x{a:x}\n");
        assert_eq!(read(&lines(&three)), want);
        let head = |m: &str, s: &str, a| format!("==> {m}/sections/{s} <==\n0x{a:016x}\n\n");
        assert_eq!(read(&lines(&head)), want);
    }

    #[test]
    fn a_script_of_gdbs() {
        let script = "set confirm off\ntarget remote :9999\n# made by hand\n\
            add-symbol-file /tmp/vm-hgfs.ko 0xffffffffc0000000 \\\n  -s .data \\\n  0xffffffffc0002000\n\
            add-symbol-file fuse.ko -s .text 0xffffffffc0000000 -s .data 18446744072635818048\nbt\n";
        let found = read(script);
        assert_eq!(found[0], of(Some("vm_hgfs")));
        assert_eq!(found[1].1[1].1, 18_446_744_072_635_818_048, "decimal, as in gdb");
        assert_eq!(parse(script).unwrap()[0].file, Some(PathBuf::from("/tmp/vm-hgfs.ko")));
    }

    #[test]
    fn what_is_no_listing() {
        for bad in ["<html>", ".text", ".text 0xg", "a b c d", "==> x <==\n.text 0x1", ":0x1"] {
            assert!(matches!(parse(bad), Err(SectionsError::Line { .. })), "{bad}");
        }
        assert!(parse("").unwrap().is_empty());
    }

    proptest! {
        #[test]
        fn any_text_is_answered(text in "(add-symbol-file )?[a-z0-9.x#:/= \n+<>-]{0,80}") {
            if let Ok(found) = parse(&text) {
                let names: Vec<_> = found.iter().map(|module| &module.module).collect();
                let once: std::collections::BTreeSet<_> = names.iter().collect();
                prop_assert_eq!(names.len(), once.len());
            }
        }

        #[test]
        fn what_sysfs_has_comes_back(
            sections in prop::collection::btree_map("[._][a-zA-Z0-9_.]{1,20}", 1u64.., 1..20),
        ) {
            let line = |(name, addr): (&String, &u64)| format!("/m/hgfs/sections/{name}:0x{addr:x}\n");
            let text: String = sections.iter().map(line).collect();
            let want = vec![(Some("hgfs".to_string()), sections.into_iter().collect::<Vec<_>>())];
            prop_assert_eq!(read(&text), want);
        }
    }
}
