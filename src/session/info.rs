//! What the symbols know by name or by address: `info functions`, `variables`,
//! `types`, `sources`, `scope` and `symbol`.

use super::{
    answer::{Answer, Failure},
    request::{Names, Pattern},
    run::Session,
    symbol_answer::{
        NameAnswer, NamesAnswer, ScopeAnswer, ScopeRange, ScopeVariable, SymbolAnswer,
    },
};
use crate::base::addr::Addr;
use crate::symbols::{
    answer::{SourceFile, ValuePlace},
    code::visible::Visible,
    lookup::{
        catalog::{CatalogEntry, Category},
        location::Location,
    },
    placed::Symbols,
};
use regex::bytes::{Regex, RegexBuilder};
use std::collections::BTreeSet;

/// Names that are listed unless a count is given.
pub(super) const MOST_NAMES: usize = 1000;

impl Session {
    /// `info functions`, `info variables`, `info types`.
    pub(super) fn names(&self, what: Names, pattern: &Pattern) -> Result<Answer, Failure> {
        let symbols = self.usable_symbols();
        let regex = regex(pattern)?;
        let wanted = |name: &[u8]| regex.as_ref().is_none_or(|regex| regex.is_match(name));
        let limit = pattern.limit.unwrap_or(MOST_NAMES);
        let (found, what) = match what {
            Names::Functions => (symbols.list_functions(&wanted, limit), "functions"),
            Names::Variables => (symbols.list_variables(&wanted, limit), "variables"),
            Names::Types => (symbols.list_types(&wanted, limit), "types"),
        };
        let names: BTreeSet<String> = found.listed.iter().map(|name| name.name.clone()).collect();
        Ok(Answer::Listed(Box::new(NamesAnswer {
            what,
            pattern: pattern.text.clone(),
            names: names.into_iter().collect(),
            symbols: found.listed.into_iter().map(name_answer).collect(),
            truncated: found.more > 0,
            more: found.more,
        })))
    }

    /// `info sources`.
    pub(super) fn source_files(&self, pattern: &Pattern) -> Result<Answer, Failure> {
        let regex = regex(pattern)?;
        let mut names = self.usable_symbols().files();
        names.retain(|name| regex.as_ref().is_none_or(|regex| regex.is_match(name.as_bytes())));
        let more = names.len().saturating_sub(pattern.limit.unwrap_or(usize::MAX));
        names.truncate(names.len() - more);
        Ok(Answer::Listed(Box::new(NamesAnswer {
            what: "sources",
            pattern: pattern.text.clone(),
            names,
            symbols: Vec::new(),
            truncated: more > 0,
            more,
        })))
    }

    /// `info scope`: at the first place of a location; of a function, where
    /// its arguments are in place.
    pub(super) fn scope(&self, text: &str) -> Result<Answer, Failure> {
        let symbols = self.usable_symbols();
        let from = self.standpoint();
        let other = |why: String| Failure::Other(why);
        let location = Location::parse(text).map_err(|why| other(why.to_string()))?;
        let address = match &location {
            // Out of line rather than where it is inlined.
            Location::Function { module, file, name } => {
                let found = symbols.functions(module, file.as_deref(), name);
                found.map_err(|why| other(why.to_string()))?.first().map(|f| f.after_prologue)
            }
            _ => {
                let found = symbols.addresses_of(&location, from.here());
                found.map_err(|why| other(why.to_string()))?.places.first().map(|place| place.addr)
            }
        };
        let address = address.ok_or_else(|| other(format!("no code at {text}")))?;
        let frames = symbols.frames_at(address);
        let variables = symbols.variables_visible(address);
        Ok(Answer::Scope(Box::new(ScopeAnswer {
            location: text.to_owned(),
            address,
            function: frames.first().map(|frame| frame.function.clone()),
            variables: variables
                .iter()
                .map(|v| self.scope_variable(&symbols, v, address))
                .collect(),
        })))
    }

    fn scope_variable(&self, symbols: &Symbols, visible: &Visible, pc: Addr) -> ScopeVariable {
        let arch = symbols.image(visible.image).map(|placed| placed.image.image().arch());
        let words = |place: &ValuePlace| match arch {
            Some(arch) => symbols.place_in_words(visible.image, place, arch),
            None => String::new(),
        };
        let here = visible.at(pc).map(|place| &place.location);
        let ranges = visible.places.iter().filter_map(|place| {
            let (start, end) = place.range?;
            Some(ScopeRange { start, end, value: words(&place.location) })
        });
        ScopeVariable {
            name: visible.name.clone(),
            type_name: symbols.type_name(visible.ty),
            size: symbols.size_of(visible.ty),
            argument: visible.argument,
            value: words(here.unwrap_or(&ValuePlace::None)),
            optimized_out: matches!(here, None | Some(ValuePlace::None)),
            ranges: ranges.collect(),
        }
    }

    /// `info symbol`: of an address, or of what a name stands for.
    pub(super) fn symbol(&self, text: &str) -> Result<Answer, Failure> {
        let symbols = self.usable_symbols();
        let address = match self.address(text) {
            Ok(address) => address,
            Err(why) => {
                variable_address(&symbols, text).ok_or_else(|| match text.contains("::") {
                    // No location, so what is wrong with it as one says nothing.
                    true => Failure::Other(format!("no variable {text}")),
                    false => why,
                })?
            }
        };
        let found = symbols.symbols_at(address).filter(|(names, _)| !names.is_empty());
        let Some((names, section)) = found else {
            return Err(Failure::Other(format!("no symbol at {address}")));
        };
        let best = &names[0];
        let offset = address.since(best.start);
        let module = best.module.as_ref().map_or(String::new(), |module| format!(" of {module}"));
        let line = |name: &str| match offset {
            0 => format!("{name} in section {section}{module}"),
            _ => format!("{name} + {offset} in section {section}{module}"),
        };
        let lines: Vec<String> = names.iter().map(|symbol| line(&symbol.name)).collect();
        Ok(Answer::Symbol(Box::new(SymbolAnswer {
            address,
            symbol: best.name.clone(),
            aliases: names[1..].iter().map(|symbol| symbol.name.clone()).collect(),
            offset,
            module: best.module.clone(),
            text: lines.join("\n"),
            section,
        })))
    }
}

/// Where a variable of file scope is, a module's too; of one that is per CPU,
/// its offset.
fn variable_address(symbols: &Symbols, name: &str) -> Option<Addr> {
    let global = symbols.variables_named(name).into_iter().next()?;
    symbols.runtime_of(global.variable.image, global.file_addr()?)
}

fn name_answer(listed: CatalogEntry) -> NameAnswer {
    NameAnswer {
        name: listed.name,
        kind: match listed.category {
            Category::Function => "function",
            Category::Inline => "inline",
            Category::Variable => "variable",
            Category::Type => "type",
        },
        shown_file: listed.file.as_ref().map(shown),
        file: listed.file.map(|file| file.name),
        line: listed.line,
        address: listed.addr,
        type_name: listed.type_name,
        declaration: listed.declaration,
        module: listed.module,
    }
}

/// A file's name below the directory the compiler ran in.
fn shown(file: &SourceFile) -> String {
    let below = file.comp_dir.as_ref().and_then(|dir| file.name.strip_prefix(dir.as_str()));
    below.and_then(|rest| rest.strip_prefix('/')).unwrap_or(&file.name).to_owned()
}

pub(super) fn regex(pattern: &Pattern) -> Result<Option<Regex>, Failure> {
    let Some(text) = &pattern.text else { return Ok(None) };
    let built = RegexBuilder::new(&plain_operators(text)).unicode(false).build();
    built.map(Some).map_err(|why| Failure::Other(format!("'{text}': {}", one_line(&why))))
}

/// The last line of the message; those before draw the place.
fn one_line(why: &regex::Error) -> String {
    let text = why.to_string();
    text.lines().last().unwrap_or_default().trim_start_matches("error: ").to_owned()
}

/// gdb's expressions are POSIX basic ones, where `\(`, `\|` and the like are
/// operators and the bare signs are not; people write both. No name in C has
/// such a sign, so all of them are operators here.
fn plain_operators(text: &str) -> String {
    let mut out = String::new();
    let mut chars = text.chars().peekable();
    while let Some(c) = chars.next() {
        match chars.peek() {
            Some('(' | ')' | '|' | '{' | '}' | '+' | '?') if c == '\\' => {}
            Some(&next) if c == '\\' => {
                out.extend([c, next]);
                chars.next();
            }
            _ => out.push(c),
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    fn matches(pattern: &str, name: &str) -> bool {
        let pattern = Pattern { text: Some(pattern.into()), limit: None };
        regex(&pattern).unwrap().unwrap().is_match(name.as_bytes())
    }

    #[test]
    fn expressions_are_read_in_both_grammars() {
        assert!(matches("vfs_re", "__vfs_read"), "found anywhere");
        assert!(matches("^vfs_\\(read\\|write\\)$", "vfs_write"));
        assert!(matches("^vfs_(read|write)$", "vfs_read"));
        assert!(!matches("^vfs_(read|write)$", "vfs_readv"));
        assert!(matches("d\\{2\\}", "add"));
        assert!(matches("a\\.b", "a.b") && !matches("a\\.b", "axb"));
        assert!(matches("\\bread\\b", "read") && !matches("\\bread\\b", "vfs_read"));
        assert!(!matches("VFS", "vfs_read"), "letters have a case");
    }

    #[test]
    fn what_is_no_expression_is_told_in_one_line() {
        for text in ["*read", "a(", "[z"] {
            let pattern = Pattern { text: Some(text.into()), limit: None };
            let why = regex(&pattern).unwrap_err().to_string();
            assert!(why.starts_with(&format!("'{text}': ")), "{why}");
            assert!(!why.contains('\n'), "{why}");
        }
    }

    #[test]
    fn files_are_shown_below_their_directory() {
        let file =
            |name: &str, dir: &str| SourceFile { name: name.into(), comp_dir: Some(dir.into()) };
        assert_eq!(shown(&file("/b/linux/fs/a.c", "/b/linux")), "fs/a.c");
        assert_eq!(shown(&file("/b/hgfs/a.c", "/b/linux")), "/b/hgfs/a.c");
        assert_eq!(shown(&file("/b/linux-6/a.c", "/b/linux")), "/b/linux-6/a.c");
    }
}
