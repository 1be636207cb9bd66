//! Types against gdb and pahole on a real kernel: the test guest's vmlinux, or
//! the one that `KGDB_TUI_VMLINUX` names.

#![allow(clippy::unwrap_used, reason = "a test may")]

mod oracle;
mod support {
    pub mod guest;
    pub mod kernel;
    pub mod tools;
}

use kgdb_tui::{
    arch::x86_64::X86_64,
    base::addr::Addr,
    symbols::{
        answer::SymbolAt,
        lookup::catalog::{CatalogEntry, Category},
        placed::Symbols,
    },
};
use oracle::{gdb_outputs, run};
use std::{
    collections::{BTreeMap, BTreeSet},
    path::{Path, PathBuf},
    sync::OnceLock,
};
use support::{
    guest::built,
    kernel::{loaded, struct_names},
};

fn vmlinux() -> PathBuf {
    match std::env::var_os("KGDB_TUI_VMLINUX") {
        Some(path) => path.into(),
        None => built().vmlinux,
    }
}

fn kernel() -> &'static Symbols {
    static KERNEL: OnceLock<Symbols> = OnceLock::new();
    KERNEL.get_or_init(|| loaded(&vmlinux()))
}

/// Every struct and union of pahole's output, `struct page` and the like.
fn names() -> &'static [String] {
    static NAMES: OnceLock<Vec<String>> = OnceLock::new();
    NAMES.get_or_init(|| struct_names(&vmlinux()))
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

/// The places where types of one tag are described, each otherwise.
fn places(symbols: &Symbols, name: &str) -> usize {
    let (keyword, tag) = name.split_once(' ').unwrap();
    let of = |listed: &&CatalogEntry| {
        listed.declaration.as_deref() == Some(&format!("{keyword} {tag};"))
    };
    let found = symbols.list_types(&|name| name == tag.as_bytes(), 1000);
    found.listed.iter().filter(of).count()
}

#[test]
fn ptype_prints_what_gdb_prints() {
    let symbols = kernel();
    let count = if std::env::var_os("KGDB_TUI_BIG").is_some() { names().len() } else { 250 };
    let chosen = some(names(), count, 7);
    assert!(chosen.len() >= 200);
    let forms = |name: &String| [format!("ptype {name}"), format!("ptype /o {name}")];
    let commands: Vec<String> = chosen.iter().flat_map(forms).collect();
    let mut differ = Vec::new();
    let mut ambiguous = 0;
    for (command, want) in commands.iter().zip(gdb_outputs(&vmlinux(), &commands)) {
        let rest = command.strip_prefix("ptype ").unwrap();
        let (offsets, name) = match rest.strip_prefix("/o ") {
            Some(name) => (true, name),
            None => (false, rest),
        };
        let named = symbols.find_typed(name).unwrap_or_else(|| panic!("no {name}"));
        let have = symbols.describe_type(named, offsets).text;
        if without_union_padding(&have) == without_union_padding(&want) {
            continue;
        }
        // Of several structs of one tag gdb takes another one.
        match places(symbols, name) > 1 {
            true => ambiguous += 1,
            false => differ.push(format!("{command}\nhere:\n{have}\ngdb:\n{want}\n")),
        }
    }
    println!("{} compared, {ambiguous} of a tag that several have", commands.len());
    assert!(ambiguous * 100 < commands.len(), "{ambiguous}");
    assert!(differ.is_empty(), "{} of {}:\n{}", differ.len(), commands.len(), differ.join("\n"));
}

#[test]
fn sizes_and_offsets_are_paholes() {
    compare_with_pahole(&vmlinux(), kernel(), 3000);
    for name in ["hgfs", "fuse", "dummy"] {
        let path = built().dir.join(format!("modules/{name}.ko"));
        compare_with_pahole(&path, &loaded(&path), 200);
    }
}

fn compare_with_pahole(path: &Path, symbols: &Symbols, at_least: usize) {
    // `MEMBER; /* OFFSET SIZE */`, for a bit field `OFFSET:BIT`.
    let out = run("pahole", &["-F", "dwarf", path.to_str().unwrap()]);
    let (mut compared, mut differ) = (0, Vec::new());
    let mut name = String::new();
    let mut want: Vec<(u64, u64)> = Vec::new();
    for line in out.lines() {
        if let Some(head) = line.strip_suffix(" {").filter(|_| !line.starts_with('\t')) {
            name = head.to_owned();
            want.clear();
        } else if line.starts_with('}') && (name.starts_with("struct") || name.starts_with("union"))
        {
            let Some(layout) = symbols.struct_layout(&name) else {
                differ.push(format!("{name} is not there"));
                continue;
            };
            compared += 1;
            let have: Vec<(u64, u64)> = layout
                .members
                .iter()
                .map(|m| {
                    (m.bits.map_or(m.offset, |(bit, _)| m.offset + u64::from(bit) / 8), m.size)
                })
                .collect();
            if have != want && places(symbols, &name) == 1 {
                differ.push(format!("{name}: here {have:?}, pahole {want:?}"));
            }
        } else if line.starts_with('\t') && !line.starts_with("\t\t") {
            want.extend(member(line));
        }
    }
    println!("{}: {compared} structs and unions compared", path.display());
    assert!(compared > at_least, "{compared}");
    assert!(differ.is_empty(), "{} of {compared}:\n{}", differ.len(), differ.join("\n"));
}

/// Offset and size of a member by pahole's comment behind it; the bits of a
/// field count from its storage, in bytes they are where they are.
fn member(line: &str) -> Option<(u64, u64)> {
    let comment = line.strip_suffix("*/")?.rsplit_once("/*")?.1;
    let (place, size) = comment.trim().rsplit_once(char::is_whitespace)?;
    let (offset, bit) = place.split_once(':').unwrap_or((place, "0"));
    let (offset, bit): (u64, u64) = (offset.trim().parse().ok()?, bit.trim().parse().ok()?);
    Some((offset + bit / 8, size.parse().ok()?))
}

/// The lines of gdb's `info functions` and the like that have a declaration,
/// as (line, declaration), and the files.
fn declarations(text: &str) -> BTreeSet<(u32, String)> {
    let debugging = text.split("Non-debugging symbols:").next().unwrap();
    let declared = debugging.lines().filter_map(|line| line.split_once(":\t"));
    declared.filter_map(|(line, text)| Some((line.parse().ok()?, in_order(text)))).collect()
}

/// A declaration with its parameters sorted: where a function was split or
/// inlined gdb has them in the order of an instance, here it is the function's.
fn in_order(declaration: &str) -> String {
    let mut parts: Vec<&str> = declaration.split(['(', ')', ',', ';']).map(str::trim).collect();
    parts.sort();
    parts.join("|")
}

#[test]
fn names_are_listed_as_gdb_lists_them() {
    let symbols = kernel();
    let asked = [
        ("functions", "^vfs_"),
        ("functions", "^do_\\(fork\\|exit\\)"),
        ("functions", "_read$"),
        ("variables", "^init_"),
        ("variables", "_mutex$"),
        ("types", "^task_"),
        ("types", "_ops$"),
        ("types", "^u[0-9]*$"),
    ];
    let commands: Vec<String> =
        asked.iter().map(|(what, regex)| format!("info {what} {regex}")).collect();
    let mut differ = Vec::new();
    for ((what, regex), text) in asked.iter().zip(gdb_outputs(&vmlinux(), &commands)) {
        let regex = regex.replace("\\(", "(").replace("\\)", ")").replace("\\|", "|");
        let regex = regex::bytes::RegexBuilder::new(&regex).unicode(false).build().unwrap();
        let wanted = |name: &[u8]| regex.is_match(name);
        let found = match *what {
            "functions" => symbols.list_functions(&wanted, 10_000),
            "variables" => symbols.list_variables(&wanted, 10_000),
            _ => symbols.list_types(&wanted, 10_000),
        };
        assert_eq!(found.more, 0);
        let listed = found.listed.into_iter().filter(|listed| listed.category != Category::Inline);
        let have: BTreeSet<(u32, String)> = listed
            .filter_map(|listed| Some((listed.line?, in_order(&listed.declaration?))))
            .collect();
        let mut want = declarations(&text);
        // gdb lists statics that were optimized away; they have no place here.
        want.retain(|(_, declaration)| {
            let name = declaration.rsplit(' ').next().unwrap().trim_start_matches('*');
            let name = name.split('[').next().unwrap();
            *what != "variables" || !symbols.variables_named(name).is_empty()
        });
        println!("info {what} {regex}: {} here, {} in gdb", have.len(), want.len());
        assert!(!want.is_empty(), "{text}");
        differ.extend(have.symmetric_difference(&want).map(|d| format!("{what} {regex}: {d:?}")));
    }
    assert!(differ.is_empty(), "{}", differ.join("\n"));
}

/// What gdb's `info scope` says: each variable with the code it is in a
/// register in, and which.
type Scope = BTreeMap<String, BTreeSet<(u64, u64, String)>>;

fn scope_of_gdb(text: &str) -> Scope {
    let mut out = Scope::new();
    let mut name = String::new();
    for line in text.lines() {
        let line = line.trim_start_matches(", ");
        if let Some(rest) = line.split("Symbol ").nth(1).filter(|_| line.contains("Symbol ")) {
            // Labels and functions that are declared inside have no value.
            if rest.contains(" is a label ") || rest.contains(" is a function ") {
                continue;
            }
            name = rest.split(' ').next().unwrap().to_owned();
            out.entry(name.clone()).or_default();
        }
        let range =
            line.split("Range 0x").nth(1).and_then(|rest| rest.split_once(": a variable in "));
        if let Some((range, register)) = range {
            let (start, end) = range.split_once("-0x").unwrap();
            let number = |hex: &str| u64::from_str_radix(hex, 16).unwrap();
            let place = (number(start), number(end), register.trim_end_matches(',').to_owned());
            // One in pieces is told in other words here.
            if place.0 < place.1 && !place.2.contains('[') {
                out.get_mut(&name).unwrap().insert(place);
            }
        }
    }
    out
}

#[test]
fn variables_in_scope_are_gdbs() {
    let symbols = kernel();
    let functions = symbols.list_functions(&|_| true, 1_000_000).listed;
    let with_code = |f: &&CatalogEntry| f.category == Category::Function && f.declaration.is_some();
    let all: Vec<String> =
        functions.iter().filter(with_code).map(|listed| listed.name.clone()).collect();
    // Of several functions of one name gdb takes another one.
    let one = |name: &&String| symbols.find_functions(name).len() == 1;
    let chosen: Vec<String> = some(&all, 150, 3).iter().filter(one).cloned().collect();
    assert!(chosen.len() > 60, "{}", chosen.len());
    let commands: Vec<String> = chosen.iter().map(|name| format!("info scope {name}")).collect();
    let (mut compared, mut labels, mut differ) = (0, 0, Vec::new());
    for (name, text) in chosen.iter().zip(gdb_outputs(&vmlinux(), &commands)) {
        let mut want = scope_of_gdb(&text);
        let pc = symbols.find_functions(name)[0].after_prologue;
        let mut have = Scope::new();
        for visible in symbols.variables_visible(pc) {
            let entry = have.entry(visible.name.clone()).or_default();
            for place in &visible.places {
                let words = symbols.place_in_words(visible.image, &place.location, &X86_64);
                if let (Some((start, end)), Some(reg)) = (place.range, words.strip_prefix("in $")) {
                    entry.insert((start.0, end.0, format!("${reg}")));
                }
            }
        }
        compared += have.len();
        // Labels that lost their code are optimized out variables to gdb.
        let label = |name: &String| text.contains(&format!("Symbol {name} is optimized out."));
        let before = want.len();
        want.retain(|name, _| have.contains_key(name) || !label(name));
        labels += before - want.len();
        if have != want {
            differ.push(format!("{name}: here {have:x?}\ngdb {want:x?}\n{text}"));
        }
    }
    println!("{compared} variables of {} functions", chosen.len());
    assert!(compared > 100, "{compared}");
    assert!(labels * 20 < compared, "{labels}");
    assert!(differ.is_empty(), "{} of {}:\n{}", differ.len(), chosen.len(), differ.join("\n"));
}

#[test]
fn symbols_are_named_as_gdb_names_them() {
    let symbols = kernel();
    let names = some(&symbols.complete_function("", 1_000_000), 200, 5);
    let data = symbols.list_variables(&|name| name.ends_with(b"_ops"), 10_000).listed;
    let addrs: Vec<u64> = (names.iter().filter_map(|name| symbols.symbol_addr(name)))
        .map(|addr| addr.0 + 3)
        .chain(some(&data, 100, 0).iter().filter_map(|listed| listed.addr).map(|addr| addr.0))
        .collect();
    let commands: Vec<String> = addrs.iter().map(|at| format!("info symbol {at:#x}")).collect();
    let mut differ = Vec::new();
    for (at, want) in addrs.iter().zip(gdb_outputs(&vmlinux(), &commands)) {
        let Some((found, section)) = symbols.symbols_at(Addr(*at)) else {
            differ.push(format!("{at:#x}: none here, gdb {want}"));
            continue;
        };
        // Of several names of one place gdb gives one.
        let line = |symbol: &SymbolAt| match *at - symbol.start.0 {
            0 => format!("{} in section {section}", symbol.name),
            offset => format!("{} + {offset} in section {section}", symbol.name),
        };
        // gdb 13 leaves the number of a clone out.
        let gdbs = |text: &str| text.replace(".part.0 ", ".part ").replace(".isra.0 ", ".isra ");
        if !found.iter().any(|symbol| line(symbol) == want || gdbs(&line(symbol)) == want) {
            differ.push(format!(
                "{at:#x}: here {:?}, gdb {want}",
                found.iter().map(line).collect::<Vec<_>>()
            ));
        }
    }
    println!("{} addresses compared", addrs.len());
    assert!(addrs.len() > 150, "{}", addrs.len());
    assert!(differ.is_empty(), "{} of {}:\n{}", differ.len(), addrs.len(), differ.join("\n"));
}
