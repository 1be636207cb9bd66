//! Functions, variables and types whose names match, with where they are
//! declared and how: `info functions`, `info variables`, `info types`.
//!
//! Names are tried first, for all of the kernel; what matches is looked at in
//! DWARF, up to a limit. Types of one name are described again by every unit,
//! so for those all units are looked through, on every core.

use crate::{
    base::addr::{Addr, FileAddr},
    image::symtab::{Place, Symbol},
    symbols::{
        answer::{SourceFile, TypeRef},
        code::funcs::declared,
        dwarf::{
            index::{Kind, NameEntry},
            reader::{Unit, die},
        },
        lookup::globals::{global, is_data},
        placed::{Placed, Symbols},
        types::{
            btf::BtfKind,
            node::{BTF_UNIT, Node, Types},
            written,
        },
    },
};
use rayon::iter::{IntoParallelIterator as _, ParallelIterator as _};
use rustc_hash::FxHashSet;

/// Whether a name is wanted.
pub type Wanted<'w> = &'w (dyn Fn(&[u8]) -> bool + Sync);

/// What a listed name is of.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Category {
    /// A function with code of its own.
    Function,
    /// A function that is inlined wherever it is called.
    Inline,
    /// A variable of file scope.
    Variable,
    /// A struct, union, enumeration, typedef or base type.
    Type,
}

/// One name that matches.
#[derive(Clone, Debug, PartialEq)]
pub struct CatalogEntry {
    /// The name.
    pub name: String,
    /// What it is of.
    pub category: Category,
    /// How C declares it, with a semicolon; `None` when only the symbol table
    /// has it.
    pub declaration: Option<String>,
    /// Its type as C writes it, or what a function returns and takes.
    pub type_name: Option<String>,
    /// Where it is declared.
    pub file: Option<SourceFile>,
    /// The line of that.
    pub line: Option<u32>,
    /// Where it is in the guest; a per-CPU variable's is an offset.
    pub addr: Option<Addr>,
    /// The module; `None` for vmlinux.
    pub module: Option<String>,
    /// Other files see it (it is not static).
    pub external: bool,
}

/// What was found.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Catalog {
    /// By file, then globals before statics, then by name; what only the
    /// symbol table has comes last, by address.
    pub listed: Vec<CatalogEntry>,
    /// How many more match.
    pub more: usize,
}

impl Symbols {
    /// Functions whose names are wanted, `limit` at most.
    pub fn list_functions(&self, wanted: Wanted<'_>, limit: usize) -> Catalog {
        self.list(wanted, limit, &[Kind::Function, Kind::Inline])
    }

    /// Variables of file scope whose names are wanted, `limit` at most.
    pub fn list_variables(&self, wanted: Wanted<'_>, limit: usize) -> Catalog {
        self.list(wanted, limit, &[Kind::Variable])
    }

    fn list(&self, wanted: Wanted<'_>, limit: usize, kinds: &[Kind]) -> Catalog {
        let mut out = Catalog::default();
        for placed in self.images() {
            let image = placed.image.image();
            let mut known: FxHashSet<&[u8]> = FxHashSet::default();
            let mut found: Vec<NameEntry> = Vec::new();
            if let Some(loaded) = placed.image.loaded() {
                let all = loaded.index.iter(image);
                for (text, entry) in all.filter(|(_, entry)| kinds.contains(&entry.kind)) {
                    // Entries of one name follow each other.
                    if known.contains(text) || wanted(text) {
                        known.insert(text);
                        found.push(*entry);
                    }
                }
            }
            let inlined = |entry: &NameEntry| entry.kind == Kind::Inline;
            let (abstracts, mut found): (Vec<_>, Vec<_>) = found.into_iter().partition(inlined);
            found.extend(without_code(placed, &found, abstracts));
            out.more += found.len().saturating_sub(limit.saturating_sub(out.listed.len()));
            found.truncate(limit.saturating_sub(out.listed.len()));
            // Units are opened once each this way.
            found.sort_unstable_by_key(|entry| (entry.unit, entry.die));
            let types = Types::new(self);
            out.listed.extend(found.iter().filter_map(|entry| match entry.kind {
                Kind::Variable => variable(&types, placed, entry),
                _ => function(&types, placed, entry),
            }));
            let functions = kinds.contains(&Kind::Function);
            for symbol in image.symbols().iter() {
                let name = symbol.name.as_bytes();
                let fits = match functions {
                    true => is_entered(placed, &symbol),
                    false => is_data(placed, &symbol),
                };
                if !fits || known.contains(name) || !wanted(name) {
                    continue;
                }
                let Some(addr) = placed.symbol_addr(&symbol) else { continue };
                if out.listed.len() >= limit {
                    out.more += 1;
                    continue;
                }
                out.listed.push(self.bare(placed, symbol.name, addr, functions, symbol.global));
            }
        }
        out.sort();
        out
    }

    /// A name that the symbol table has, and BTF perhaps the type of.
    fn bare(
        &self,
        placed: &Placed,
        name: &str,
        addr: Addr,
        function: bool,
        external: bool,
    ) -> CatalogEntry {
        let kind = if function { Kind::Function } else { Kind::Variable };
        let ty = self.btf_declared(placed, name, kind);
        let types = Types::new(self);
        let declaration = ty.map(|ty| format!("{};", written::declared(&types, ty, name, 0)));
        CatalogEntry {
            name: name.to_owned(),
            category: if function { Category::Function } else { Category::Variable },
            declaration,
            type_name: ty.map(|ty| self.type_name(ty)),
            file: None,
            line: None,
            addr: Some(addr),
            module: placed.module(),
            external,
        }
    }

    /// Types whose names are wanted, each with every place that describes it
    /// anew, `limit` at most.
    pub fn list_types(&self, wanted: Wanted<'_>, limit: usize) -> Catalog {
        let mut out = Catalog::default();
        for placed in self.images() {
            let found = match placed.image.units().filter(|_| placed.image.dwarf_ready()) {
                Some(units) => {
                    let in_unit = |number| types_in(self, placed, number as u32, wanted);
                    let all: Vec<Vec<CatalogEntry>> =
                        (0..units.len()).into_par_iter().map(in_unit).collect();
                    all.into_iter().flatten().collect()
                }
                None => self.types_in_btf(placed, wanted),
            };
            out.listed.extend(found);
        }
        let mut seen = FxHashSet::default();
        out.listed.retain(|listed| {
            let file = listed.file.as_ref().map(|file| file.name.clone());
            seen.insert((file, listed.line, listed.declaration.clone(), listed.module.clone()))
        });
        out.sort();
        out.more = out.listed.len().saturating_sub(limit);
        out.listed.truncate(limit);
        out
    }

    fn types_in_btf(&self, placed: &Placed, wanted: Wanted<'_>) -> Vec<CatalogEntry> {
        let found = self.with_btf(placed.id, |view| {
            let is_type = |kind| !matches!(kind, BtfKind::Var | BtfKind::Func | BtfKind::DataSec);
            let tag = |kind| matches!(kind, BtfKind::DeclTag | BtfKind::TypeTag | BtfKind::Fwd);
            let all = view
                .names()
                .filter(|(text, _, raw)| is_type(raw.kind) && !tag(raw.kind) && wanted(text));
            Some(all.map(|(_, id, _)| id).collect::<Vec<u32>>())
        });
        let types = Types::new(self);
        let listed = |id| {
            let ty = TypeRef { image: placed.id, unit: BTF_UNIT, die: id };
            type_listed(&types, placed, ty)
        };
        found.unwrap_or_default().into_iter().filter_map(listed).collect()
    }
}

impl Catalog {
    fn sort(&mut self) {
        let key = |listed: &CatalogEntry| {
            let file = listed.file.as_ref().map(|file| file.name.clone());
            // Addresses order only what has no file.
            let addr = listed.addr.filter(|_| file.is_none());
            (listed.declaration.is_none(), file.is_none(), file, addr, !listed.external)
        };
        self.listed.sort_by(|a, b| {
            key(a).cmp(&key(b)).then_with(|| (&a.name, a.line).cmp(&(&b.name, b.line)))
        });
    }
}

/// Whether a symbol is of code that is called or jumped to by its name:
/// assembly has entries without a type. `.cold` parts are of their functions.
fn is_entered(placed: &Placed, symbol: &Symbol<'_>) -> bool {
    let Place::Section(index) = symbol.place else { return false };
    let section = placed.image.image().sections().get(usize::from(index));
    let code = section.is_some_and(|section| section.exec);
    code && (symbol.function || symbol.global) && !symbol.name.ends_with(".cold")
}

/// Of inlined functions those without code of their own anywhere; each unit
/// describes them again, and the first is enough.
fn without_code(
    placed: &Placed,
    with_code: &[NameEntry],
    inlined: Vec<NameEntry>,
) -> Vec<NameEntry> {
    let Some(loaded) = placed.image.loaded() else { return Vec::new() };
    let text = |entry: &NameEntry| loaded.index.text(placed.image.image(), entry);
    let mut have: FxHashSet<&[u8]> = with_code.iter().map(text).collect();
    inlined.into_iter().filter(|entry| have.insert(text(entry))).collect()
}

fn function(types: &Types<'_>, placed: &Placed, entry: &NameEntry) -> Option<CatalogEntry> {
    let unit = Unit::open(&placed.image, entry.unit)?;
    let die = unit.entry(entry.die)?;
    let name = unit.name(&die)?;
    let (file, line) = declared(&unit, &die);
    let external = unit.inherited(&die, gimli::DW_AT_external).is_some();
    let ty = TypeRef { image: placed.id, unit: entry.unit, die: entry.die };
    let ranges = unit.ranges(&die);
    let start = unit.entry_pc(&die, &ranges);
    let inline = entry.kind == Kind::Inline;
    Some(CatalogEntry {
        category: if inline { Category::Inline } else { Category::Function },
        declaration: Some(declaration(types, ty, &name, external)),
        type_name: Some(written::declared(types, ty, "", -1)),
        name,
        file,
        line,
        addr: start.and_then(|at| placed.runtime(FileAddr(at))),
        module: placed.module(),
        external,
    })
}

fn declaration(types: &Types<'_>, ty: TypeRef, name: &str, external: bool) -> String {
    let linkage = if external { "" } else { "static " };
    format!("{linkage}{};", written::declared(types, ty, name, 0))
}

fn variable(types: &Types<'_>, placed: &Placed, entry: &NameEntry) -> Option<CatalogEntry> {
    let global = global(placed, entry)?;
    let (name, ty) = (global.variable.name.clone(), global.variable.ty);
    let at = global.file_addr();
    Some(CatalogEntry {
        category: Category::Variable,
        declaration: Some(declaration(types, ty, &name, global.external)),
        type_name: Some(written::declared(types, ty, "", -1)),
        name,
        addr: at.and_then(|at| types.symbols.runtime_of(placed.id, at)),
        file: global.file,
        line: global.line,
        module: global.module,
        external: global.external,
    })
}

const TYPE_TAGS: [gimli::DwTag; 5] = [
    gimli::DW_TAG_structure_type,
    gimli::DW_TAG_union_type,
    gimli::DW_TAG_enumeration_type,
    gimli::DW_TAG_typedef,
    gimli::DW_TAG_base_type,
];

/// The types right below a unit that are wanted and whole.
fn types_in(
    symbols: &Symbols,
    placed: &Placed,
    number: u32,
    wanted: Wanted<'_>,
) -> Vec<CatalogEntry> {
    let Some(unit) = Unit::open(&placed.image, number) else { return Vec::new() };
    let types = Types::new(symbols);
    let mut out = Vec::new();
    for entry in unit.children(unit.root_die(), &TYPE_TAGS) {
        let named = entry.attr_value(gimli::DW_AT_name);
        let text = named.and_then(|name| unit.dwarf.attr_string(&unit.unit, name).ok());
        if !text.is_some_and(|text| wanted(text.slice())) {
            continue;
        }
        let ty = TypeRef { image: placed.id, unit: number, die: die(&entry) };
        let Some(listed) = type_listed(&types, placed, ty) else { continue };
        // Base types are of no file.
        let (file, line) = match entry.attr_value(gimli::DW_AT_decl_line) {
            Some(_) => declared(&unit, &entry),
            None => (None, None),
        };
        out.push(CatalogEntry { file, line, ..listed });
    }
    out
}

fn type_listed(types: &Types<'_>, placed: &Placed, ty: TypeRef) -> Option<CatalogEntry> {
    let (name, declaration) = match &*types.node(ty) {
        Node::Typedef { name, target } => {
            let text = written::declared(types, types.past_typedefs(*target), "", -1);
            (name.clone(), format!("typedef {text} {name};"))
        }
        Node::Composite { name: Some(name), size: Some(_), .. }
        | Node::Enum { name: Some(name), size: Some(_) } => {
            (name.clone(), format!("{};", written::declared(types, ty, "", -1)))
        }
        Node::Base { .. } => {
            let name = written::declared(types, ty, "", -1);
            (name.clone(), name)
        }
        _ => return None,
    };
    Some(CatalogEntry {
        name,
        category: Category::Type,
        type_name: Some(written::declared(types, ty, "", -1)),
        declaration: Some(declaration),
        file: None,
        line: None,
        addr: None,
        module: placed.module(),
        external: true,
    })
}
