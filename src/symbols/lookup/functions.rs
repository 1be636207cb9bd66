//! Functions by name: those out of line, inlined instances, and assembly.

use crate::{
    base::addr::FileAddr,
    image::symtab::Symbol,
    symbols::{
        answer::{FunctionMatch, SourceFile},
        code::{funcs::declared, inlining, lines::unit_rows, prologue},
        dwarf::{
            index::{Kind, NameEntry},
            reader::{Below, Desk, Unit},
        },
        image::DebugImage,
        lookup::places::ends_in,
        placed::{Placed, Symbols},
    },
};
use rayon::iter::{IntoParallelRefIterator as _, ParallelIterator as _};
use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

/// Places of one name at most: `kmalloc` is inlined some 3,000 times.
const MAX_MATCHES: usize = 20_000;

impl Symbols {
    /// Every place where a function of this name starts: out of line (statics
    /// of one name in several files are all there), then inlined instances,
    /// each by address; code without DWARF by its symbol. `hgfs!name` looks
    /// in one module, `vmlinux!name` in the kernel. Clones made by GCC
    /// (`name.isra.0`, `.constprop.0`, `.part.0`) match their name.
    pub fn find_functions(&self, name: &str) -> Vec<FunctionMatch> {
        let (only, name) = match name.split_once('!') {
            Some((module, name)) => (Some(module), name),
            None => (None, name),
        };
        let images = self.images().filter(|placed| only.is_none_or(|only| placed.name == only));
        let mut out: Vec<FunctionMatch> =
            images.flat_map(|placed| functions_in(placed, name)).collect();
        out.sort_by(|a, b| {
            let key = |m: &FunctionMatch| (m.name != name, m.inlined, m.module.is_some(), m.entry);
            key(a).cmp(&key(b))
        });
        out.truncate(MAX_MATCHES);
        out
    }

    /// Names of functions that start with `prefix`, sorted. `hgfs!` before it
    /// looks in one module.
    pub fn complete_function(&self, prefix: &str, limit: usize) -> Vec<String> {
        let (module, prefix) = match prefix.split_once('!') {
            Some((module, prefix)) => (Some(module), prefix),
            None => (None, prefix),
        };
        let mut names = BTreeSet::new();
        for placed in self.images().filter(|p| module.is_none_or(|module| p.name == module)) {
            let image = placed.image.image();
            let mut more = BTreeSet::new();
            if let Some(loaded) = placed.image.loaded() {
                let found = loaded.index.prefixed(image, prefix);
                for entry in found.iter().filter(|entry| is_function(entry)) {
                    let text = loaded.index.text(image, entry);
                    more.insert(String::from_utf8_lossy(text).into_owned());
                    // Sorted already, so the first ones are the answer.
                    if more.len() >= limit {
                        break;
                    }
                }
            }
            let symbols = image.symbols().prefixed(prefix).filter(is_entered);
            more.extend(symbols.map(|symbol| symbol.name.to_owned()).take(limit));
            names.extend(more);
        }
        let shown = |name| match module {
            Some(module) => format!("{module}!{name}"),
            None => name,
        };
        names.into_iter().take(limit).map(shown).collect()
    }

    /// Names of functions of a file (or of files that end so) that start with
    /// `prefix`, sorted; of a short prefix not all.
    pub fn complete_function_of(&self, file: &str, prefix: &str, limit: usize) -> Vec<String> {
        /// Functions that are looked at: each costs some microseconds.
        const MOST: usize = 5000;
        let mut names = BTreeSet::new();
        for placed in self.images() {
            let image = placed.image.image();
            let Some(loaded) = placed.image.loaded() else { continue };
            let found = loaded.index.prefixed(image, prefix);
            for entry in found.iter().filter(|entry| is_function(entry)).take(MOST) {
                let of_file = || {
                    let unit = Unit::open(&placed.image, entry.unit)?;
                    let (have, _) = declared(&unit, &unit.entry(entry.die)?);
                    have.map(|have| ends_in(&have.name, file))
                };
                if of_file() == Some(true) {
                    let text = loaded.index.text(image, entry);
                    names.insert(String::from_utf8_lossy(text).into_owned());
                }
            }
        }
        names.into_iter().take(limit).collect()
    }
}

/// Whether a symbol is of a function that can be called; `.cold` parts are
/// jumped to from inside theirs.
fn is_entered(symbol: &Symbol<'_>) -> bool {
    symbol.function && !symbol.name.ends_with(".cold")
}

fn is_function(entry: &NameEntry) -> bool {
    matches!(entry.kind, Kind::Function | Kind::Inline)
}

/// An inlined instance, wherever its image is placed.
pub(in crate::symbols) struct Inlined {
    entry: FileAddr,
    file: Option<SourceFile>,
    line: Option<u32>,
}

fn functions_in(placed: &Placed, name: &str) -> Vec<FunctionMatch> {
    let mut out = Vec::new();
    if let Some(loaded) = placed.image.loaded() {
        let named = loaded.index.named(placed.image.image(), name);
        let functions = named.iter().filter(|entry| entry.kind == Kind::Function);
        out.extend(functions.filter_map(|f| out_of_line(placed, f.unit, f.die, name)));
        let find = || Arc::new(inlined_in(&placed.image, named));
        let inlined = placed.image.inlined.get(name.to_owned(), find);
        for instance in inlined.iter() {
            let Some(at) = placed.runtime(instance.entry) else { continue };
            out.push(FunctionMatch {
                name: name.to_owned(),
                entry: at,
                after_prologue: at,
                file: instance.file.clone(),
                line: instance.line,
                module: placed.module(),
                inlined: true,
            });
        }
    }
    out.extend(by_symbol(placed, name, &out));
    out.dedup_by(|a, b| a.entry == b.entry && a.inlined == b.inlined);
    out
}

fn out_of_line(placed: &Placed, unit: u32, die: u32, name: &str) -> Option<FunctionMatch> {
    let unit = Unit::open(&placed.image, unit)?;
    let entry = unit.entry(die)?;
    let ranges = unit.ranges(&entry);
    let start = unit.entry_pc(&entry, &ranges)?;
    let range = ranges.iter().find(|range| (range.0..range.1).contains(&start))?;
    let after = prologue::after(&placed.image, &unit, start, range.1);
    let at = placed.runtime(FileAddr(start))?;
    let (file, line) = declared(&unit, &entry);
    Some(FunctionMatch {
        name: name.to_owned(),
        entry: at,
        after_prologue: at.offset(after - start),
        file,
        line,
        module: placed.module(),
        inlined: false,
    })
}

/// Every inlined instance of the functions described at `named`. An instance
/// refers to the abstract function in its own unit, so only units that have
/// one are looked through, and those known to refer to other units.
fn inlined_in(image: &DebugImage, named: &[NameEntry]) -> Vec<Inlined> {
    let abstracts = named.iter().filter(|entry| entry.kind == Kind::Inline);
    let described: BTreeSet<(u32, u32)> = abstracts.map(|entry| (entry.unit, entry.die)).collect();
    if described.is_empty() {
        return Vec::new();
    }
    let far = image.loaded().map_or(&[][..], |loaded| &loaded.inline_far);
    let units: BTreeSet<u32> =
        described.iter().map(|(unit, _)| *unit).chain(far.iter().copied()).collect();
    let units: Vec<u32> = units.into_iter().collect();
    let parts: Vec<Vec<Inlined>> =
        units.par_iter().map(|unit| instances(image, *unit, &described)).collect();
    parts.into_iter().flatten().collect()
}

/// The inlined instances in one unit of the abstract functions `described`.
fn instances(image: &DebugImage, unit: u32, described: &BTreeSet<(u32, u32)>) -> Vec<Inlined> {
    let open = || Desk::new(image.image(), image.units()?, false).unit(unit);
    let Some(unit) = open() else { return Vec::new() };
    let (mut out, mut found) = (Vec::new(), Vec::new());
    for top in inlining::candidates(image, &unit, described) {
        unit.walk(top, &[gimli::DW_TAG_inlined_subroutine], &mut |entry| {
            if let Some(origin) = entry.attr_value(gimli::DW_AT_abstract_origin)
                && unit.target(origin).is_some_and(|origin| described.contains(&origin))
            {
                found.push(entry.clone());
            }
            Below::Look
        });
    }
    let mut where_declared = BTreeMap::new();
    for entry in found {
        let ranges = unit.ranges(&entry);
        let Some(at) = unit.entry_pc(&entry, &ranges) else { continue };
        let Some(origin) = unit.origin(&entry) else { continue };
        let declared = || declared(&origin.unit, &origin.entry);
        let known = where_declared.entry((origin.unit.number, origin.die()));
        let (file, line) = known.or_insert_with(declared).clone();
        out.push(Inlined { entry: FileAddr(at), file, line });
    }
    out
}

/// Functions the symbol table has and DWARF has not: assembly, and clones,
/// whose own names only the symbol table knows.
fn by_symbol(placed: &Placed, name: &str, have: &[FunctionMatch]) -> Vec<FunctionMatch> {
    let image = placed.image.image();
    let table = image.symbols();
    let clones = table.prefixed(name).filter(|symbol| is_clone(symbol.name, name));
    let known: BTreeSet<_> = have.iter().filter(|m| !m.inlined).map(|m| m.entry).collect();
    let mut out = Vec::new();
    for symbol in table.named(name).chain(clones) {
        let Some(at) = placed.symbol_addr(&symbol) else { continue };
        if !placed.is_code(at) || known.contains(&at) {
            continue;
        }
        let mut found = FunctionMatch {
            name: symbol.name.to_owned(),
            entry: at,
            after_prologue: at,
            file: None,
            line: None,
            module: placed.module(),
            inlined: false,
        };
        if let Some(described) = described(&placed.image, placed, symbol.addr) {
            found = FunctionMatch { name: found.name, entry: at, ..described };
        } else if let Some(row) = unit_rows(placed, symbol.addr, symbol.addr.0 + 1).pop() {
            // Assembly has lines though it has no functions.
            found = FunctionMatch { file: Some(row.file), line: Some(row.line), ..found };
        }
        out.push(found);
    }
    out
}

/// What DWARF says of a function that starts at `addr` under another name.
fn described(image: &DebugImage, placed: &Placed, addr: FileAddr) -> Option<FunctionMatch> {
    let range = image.function_range(addr).filter(|range| range.start == addr.0)?;
    let found = out_of_line(placed, range.unit, range.die, "")?;
    (placed.file_addr(found.entry) == Some(addr)).then_some(found)
}

/// Whether `symbol` is a clone that GCC made of `name`: `name.isra.0`. Parts
/// that only hold unlikely code (`.cold`) are no functions to stop at.
fn is_clone(symbol: &str, name: &str) -> bool {
    let Some(suffix) = symbol.strip_prefix(name) else { return false };
    let kinds = [".isra.", ".constprop.", ".part.", ".llvm."];
    kinds.iter().any(|kind| suffix.starts_with(kind)) && !suffix.ends_with(".cold")
}
