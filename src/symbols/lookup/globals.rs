//! Variables of file scope, by name. Statics of one name in several files are
//! each there.

use crate::{
    base::addr::FileAddr,
    image::symtab::Symbol,
    symbols::{
        answer::{SourceFile, TypeRef, ValuePlace, VariableDef},
        code::{funcs::declared, scope::variable},
        dwarf::{
            index::{Kind, NameEntry},
            reader::{Entry, Unit},
        },
        lookup::places::ends_in,
        placed::{Placed, Symbols},
    },
};

/// A variable of file scope.
#[derive(Clone, Debug, PartialEq)]
pub struct Global {
    /// Its name, type and place.
    pub variable: VariableDef,
    /// The file it is defined in; `None` when only the symbol table has it.
    pub file: Option<SourceFile>,
    /// The line of that.
    pub line: Option<u32>,
    /// The module; `None` for vmlinux.
    pub module: Option<String>,
    /// Other files see it (it is not static).
    pub external: bool,
}

impl Symbols {
    /// A variable of file scope by name: of vmlinux, then of the modules;
    /// `hgfs!name` looks in one, `'fs/x.c'::name` in one file. Among statics
    /// of one name the first.
    pub fn find_variable(&self, name: &str) -> Option<VariableDef> {
        self.variables_named(name).into_iter().next().map(|global| global.variable)
    }

    /// Every variable of file scope of this name, written as for
    /// [`Symbols::find_variable`]; those that other files see first.
    pub fn variables_named(&self, name: &str) -> Vec<Global> {
        let (file, name) = in_file(name);
        let (only, name) = match name.split_once('!') {
            Some((module, name)) => (Some(module), name),
            None => (None, name),
        };
        let mut out = Vec::new();
        for placed in self.images().filter(|p| only.is_none_or(|only| p.name == only)) {
            let mut found = match placed.image.loaded() {
                Some(loaded) => {
                    let named = loaded.index.named(placed.image.image(), name);
                    let variables = named.iter().filter(|entry| entry.kind == Kind::Variable);
                    variables.filter_map(|entry| global(placed, entry)).collect()
                }
                None => Vec::new(),
            };
            if found.is_empty() {
                let symbols = placed.image.image().symbols();
                let data = symbols.named(name).filter(|symbol| is_data(placed, symbol));
                found.extend(data.filter_map(|symbol| self.by_symbol(placed, &symbol)));
            }
            found.sort_by_key(|global| !global.external);
            out.extend(found);
        }
        if let Some(wanted) = file {
            let of = |file: &SourceFile| ends_in(&file.name, wanted);
            out.retain(|global| global.file.as_ref().is_some_and(of));
        }
        out
    }

    /// A variable that only the symbol table has. Its type is where C declares
    /// it, or in BTF where that names it (per-CPU variables, mostly).
    fn by_symbol(&self, placed: &Placed, symbol: &Symbol<'_>) -> Option<Global> {
        let declared = placed.image.loaded().and_then(|loaded| {
            let named = loaded.index.named(placed.image.image(), symbol.name);
            let entry = named.iter().find(|entry| entry.kind == Kind::Declared)?;
            global(placed, entry)
        });
        let (ty, file, line) = match declared {
            Some(declared) => (Some(declared.variable.ty), declared.file, declared.line),
            None => (self.btf_declared(placed, symbol.name, Kind::Variable), None, None),
        };
        let mut bytes = vec![gimli::DW_OP_addr.0];
        bytes.extend(symbol.addr.0.to_le_bytes());
        let encoding =
            gimli::Encoding { address_size: 8, format: gimli::Format::Dwarf32, version: 5 };
        Some(Global {
            variable: VariableDef {
                name: symbol.name.to_owned(),
                ty: ty.unwrap_or(TypeRef::void_of(placed)),
                location: ValuePlace::Expression { bytes, encoding, unit: None },
                line: None,
                image: placed.id,
            },
            file,
            line,
            module: placed.module(),
            external: symbol.global,
        })
    }
}

/// `'fs/x.c'::name` taken apart.
fn in_file(name: &str) -> (Option<&str>, &str) {
    match name.rsplit_once("::") {
        Some((file, name)) => (Some(file.trim().trim_matches('\'')), name.trim()),
        None => (None, name),
    }
}

/// Whether a symbol is of data in this image.
pub(in crate::symbols) fn is_data(placed: &Placed, symbol: &Symbol<'_>) -> bool {
    use crate::image::symtab::Place;
    let sections = placed.image.image().sections();
    match symbol.place {
        Place::PerCpu => true,
        Place::Absolute => false,
        Place::Section(index) => {
            !symbol.function && sections.get(usize::from(index)).is_some_and(|s| !s.exec)
        }
    }
}

/// The variable an entry of the index is of.
pub(in crate::symbols) fn global(placed: &Placed, entry: &NameEntry) -> Option<Global> {
    let unit = Unit::open(&placed.image, entry.unit)?;
    let die: Entry<'_> = unit.entry(entry.die)?;
    let (file, line) = declared(&unit, &die);
    let external = unit.inherited(&die, gimli::DW_AT_external).is_some();
    let variable = variable(placed, &unit, &die, None)?;
    Some(Global { variable, file, line, module: placed.module(), external })
}

impl Global {
    /// Where it is in the file of its image; `None` for a constant and for
    /// what is nowhere.
    pub fn file_addr(&self) -> Option<FileAddr> {
        let ValuePlace::Expression { bytes, .. } = &self.variable.location else { return None };
        let (&op, addr) = bytes.split_first()?;
        let addr: [u8; 8] = addr.get(..8)?.try_into().ok()?;
        (op == gimli::DW_OP_addr.0).then(|| FileAddr(u64::from_le_bytes(addr)))
    }
}

#[cfg(test)]
mod tests {
    use super::in_file;

    #[test]
    fn a_file_may_be_written_before_a_name() {
        assert_eq!(in_file("'fs/x.c'::state"), (Some("fs/x.c"), "state"));
        assert_eq!(in_file("x.c::state"), (Some("x.c"), "state"));
        assert_eq!(in_file("hgfs!state"), (None, "hgfs!state"));
    }
}
