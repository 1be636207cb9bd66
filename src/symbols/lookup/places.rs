//! What a location means: every address it has, with what is there.

use crate::{
    arch::Registers,
    base::addr::Addr,
    image::symtab::Symbol,
    symbols::{
        answer::{CodeFrame, FunctionMatch, LineMiss, SourceFile},
        lookup::{
            expression::{Expression, Operator},
            location::{Line, Location, Malformed},
        },
        placed::{Symbols, VMLINUX},
    },
};
use thiserror::Error;

/// Names offered in place of one that is not found.
const SIMILAR: usize = 3;

/// What a location is understood from, besides the symbols.
#[derive(Clone, Copy, Default)]
pub struct Here<'a> {
    /// The file that is shown, as DWARF has it: what a bare line means.
    pub file: Option<&'a str>,
    /// The line that `+N` and `-N` count from.
    pub line: Option<u32>,
    /// Values of `$registers`.
    pub registers: Option<&'a Registers>,
}

/// One place in the code.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CodePlace {
    /// Where.
    pub addr: Addr,
    /// The function there: the one that was named, else the innermost.
    pub function: Option<String>,
    /// The source file.
    pub file: Option<SourceFile>,
    /// The line.
    pub line: Option<u32>,
    /// The module; `None` for vmlinux.
    pub module: Option<String>,
    /// The function out of line that an inlined copy is in.
    pub inlined_into: Option<String>,
}

/// All that a location means.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Places {
    /// At least one, by address.
    pub places: Vec<CodePlace>,
    /// The line whose code is taken because the one asked for has none.
    pub moved_to: Option<u32>,
}

/// Why a location has no address.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum NoPlace {
    /// It is no location.
    #[error(transparent)]
    Malformed(#[from] Malformed),
    /// The line has none.
    #[error(transparent)]
    Line(#[from] LineMiss),
    /// No function or other symbol of that name.
    #[error("no symbol '{name}'{}", hint(.similar, .place))]
    NoSymbol {
        /// The name.
        name: String,
        /// Where it was looked for: ` in hgfs`; empty for everywhere.
        place: String,
        /// Names that resemble it.
        similar: Vec<String>,
    },
    /// The function's section is not in the guest.
    #[error("'{name}' is in {section} of {module}, which is not in the guest's memory{}", freed(.section))]
    NotThere {
        /// The name.
        name: String,
        /// The section of the file.
        section: String,
        /// The module.
        module: String,
    },
    /// The function is not of that file.
    #[error("no function '{name}' in {file}; it is in {}", .files.join(", "))]
    OtherFile {
        /// The function.
        name: String,
        /// The file asked for.
        file: String,
        /// The files that have one.
        files: Vec<String>,
    },
    /// No module of that name has symbols.
    #[error("no symbols of a module '{name}'; there are those of {}", .known.join(", "))]
    NoModule {
        /// The name.
        name: String,
        /// Modules with symbols.
        known: Vec<String>,
    },
    /// A bare line, and no file is shown.
    #[error("no file is shown, so a line needs one: FILE:LINE")]
    NoFile,
    /// `-N` goes before the first line, or `+N` has nothing to count from.
    #[error("there is no line to count from, or none so far before it")]
    NoLine,
    /// `$register`, and the guest runs.
    #[error("registers are known only while the guest is stopped")]
    NoRegisters,
    /// No such register.
    #[error("no register ${0}")]
    NoRegister(String),
    /// The register's value is not known.
    #[error("${0} is not known in this frame")]
    Unknown(String),
}

fn freed(section: &str) -> &'static str {
    if section.starts_with(".init") { ": it is freed when init is done" } else { "" }
}

fn hint(similar: &[String], place: &str) -> String {
    match (similar, place) {
        ([], "") => " in vmlinux or a loaded module".into(),
        ([], place) => place.into(),
        (names, place) => format!("{place}; did you mean {}?", names.join(" or ")),
    }
}

impl Symbols {
    /// Every address of a location: all functions of a name, out of line and
    /// inlined, where their arguments are in place; one address for each block
    /// of a line's code.
    pub fn addresses_of(&self, location: &Location, here: Here<'_>) -> Result<Places, NoPlace> {
        match location {
            Location::Address(expression) => {
                let addr = self.value_of(expression, here)?;
                Ok(Places { places: vec![self.place_at(addr, None)], moved_to: None })
            }
            Location::Line { module, file, line } => {
                let (file, line) = line_of(file.as_deref(), *line, here)?;
                self.of_module(module)?.places_of_line(file, line)
            }
            Location::Function { module, file, name } => {
                let mut places = Vec::new();
                for found in self.functions(module, file.as_deref(), name)? {
                    let at = if found.inlined { found.entry } else { found.after_prologue };
                    places.push(self.place_at(at, Some(name)));
                }
                places.sort_by_key(|place| place.addr);
                places.dedup_by_key(|place| place.addr);
                Ok(Places { places, moved_to: None })
            }
        }
    }

    /// The one address that a location stands for where only one is of use,
    /// as for `x` and `disassemble`: a function's entry, out of line when it
    /// is; a line's first.
    pub fn address_of(&self, location: &Location, here: Here<'_>) -> Result<Addr, NoPlace> {
        match location {
            Location::Address(expression) => self.value_of(expression, here),
            Location::Function { module, file: None, name } => self.symbol_value(module, name),
            Location::Function { module, file, name } => {
                let found = self.functions(module, file.as_deref(), name)?;
                Ok(found.first().map_or(Addr(0), |found| found.entry))
            }
            Location::Line { .. } => {
                let places = self.addresses_of(location, here)?.places;
                Ok(places.first().map_or(Addr(0), |place| place.addr))
            }
        }
    }

    /// The functions a location names, those out of line first; at least one.
    pub fn functions(
        &self,
        module: &Option<String>,
        file: Option<&str>,
        name: &str,
    ) -> Result<Vec<FunctionMatch>, NoPlace> {
        let found = self.of_module(module)?.find_functions(name);
        if found.is_empty() {
            return Err(self.no_symbol(module, name));
        }
        let Some(file) = file else { return Ok(found) };
        let of_file = |found: &&FunctionMatch| {
            found.file.as_ref().is_some_and(|have| ends_in(&have.name, file))
        };
        let own: Vec<FunctionMatch> = found.iter().filter(of_file).cloned().collect();
        if own.is_empty() {
            let files = found.iter().filter_map(|found| Some(found.file.as_ref()?.short().into()));
            let mut files: Vec<String> = files.collect();
            files.sort();
            files.dedup();
            let (name, file) = (name.to_owned(), file.to_owned());
            return Err(NoPlace::OtherFile { name, file, files });
        }
        Ok(own)
    }

    /// The value of an address expression.
    pub fn value_of(&self, expression: &Expression, here: Here<'_>) -> Result<Addr, NoPlace> {
        Ok(match expression {
            Expression::Number(number) => Addr(*number),
            Expression::Register(name) => {
                let registers = here.registers.ok_or(NoPlace::NoRegisters)?;
                let register = registers.arch.reg(name);
                let register = register.ok_or_else(|| NoPlace::NoRegister(name.clone()))?;
                let value = registers.get(register);
                Addr(value.ok_or_else(|| NoPlace::Unknown(name.clone()))?)
            }
            Expression::Symbol { module, name } => self.symbol_value(module, name)?,
            Expression::Negative(value) => Addr(self.value_of(value, here)?.0.wrapping_neg()),
            Expression::Pair(left, operator, right) => {
                let (left, right) = (self.value_of(left, here)?.0, self.value_of(right, here)?.0);
                Addr(match operator {
                    Operator::Plus => left.wrapping_add(right),
                    Operator::Minus => left.wrapping_sub(right),
                    Operator::Times => left.wrapping_mul(right),
                })
            }
        })
    }

    /// What is at an address. `named` is the function that was asked for: of
    /// several that are inlined into each other there, it is the one to tell.
    pub fn place_at(&self, addr: Addr, named: Option<&str>) -> CodePlace {
        let frames = self.frames_at(addr);
        let is_named = |frame: &&CodeFrame| Some(frame.function.as_str()) == named;
        let frame = frames.iter().find(is_named).or(frames.first());
        let outer = frames.iter().find(|frame| !frame.inlined);
        CodePlace {
            addr,
            function: frame.map(|frame| frame.function.clone()),
            file: frame.and_then(|frame| frame.file.clone()),
            line: frame.and_then(|frame| frame.line),
            module: frame.and_then(|frame| frame.module.clone()),
            inlined_into: match frame {
                Some(frame) if frame.inlined => outer.map(|outer| outer.function.clone()),
                _ => None,
            },
        }
    }

    /// The symbols of one module, or of all.
    fn of_module(&self, module: &Option<String>) -> Result<Symbols, NoPlace> {
        let Some(name) = module else { return Ok(self.clone()) };
        let known = || self.images().map(|placed| placed.name.clone()).collect();
        self.only(name).ok_or_else(|| NoPlace::NoModule { name: name.clone(), known: known() })
    }

    fn places_of_line(&self, file: &str, line: u32) -> Result<Places, NoPlace> {
        let found = self.find_lines(file, line)?;
        let at = |&addr: &Addr| {
            // The first instruction of a line may belong to a function that is
            // inlined there; the place is told by the function of the line.
            let frames = self.frames_at(addr);
            let of_line = |frame: &&CodeFrame| {
                frame.line == Some(found.line) && frame.file.as_ref() == Some(&found.file)
            };
            let named = frames.iter().find(of_line).map(|frame| frame.function.as_str());
            CodePlace {
                file: Some(found.file.clone()),
                line: Some(found.line),
                ..self.place_at(addr, named)
            }
        };
        let moved_to = (found.line != line).then_some(found.line);
        Ok(Places { places: found.sites.iter().map(at).collect(), moved_to })
    }

    /// The address of a function, out of line when it is, or of a variable.
    fn symbol_value(&self, module: &Option<String>, name: &str) -> Result<Addr, NoPlace> {
        let symbols = self.of_module(module)?;
        let of_table = || {
            symbols.images().find_map(|placed| {
                let named = placed.image.image().symbols().named(name);
                let best = named.max_by_key(|symbol| symbol.global)?;
                placed.symbol_addr(&best)
            })
        };
        let functions = symbols.find_functions(name);
        let entry = |inlined: bool| {
            functions.iter().find(|found| found.inlined == inlined).map(|found| found.entry)
        };
        // Of a weak function that another replaced, the code may still be
        // there; the symbol table has the one that is called.
        let linked = of_table();
        let own = linked.filter(|at| functions.iter().any(|found| found.entry == *at));
        let found = own.or_else(|| entry(false)).or(linked).or_else(|| entry(true));
        found.ok_or_else(|| self.no_symbol(module, name))
    }

    fn no_symbol(&self, module: &Option<String>, name: &str) -> NoPlace {
        let place = module.as_ref().map_or(String::new(), |module| format!(" in {module}"));
        let symbols = self.of_module(module).unwrap_or_default();
        for placed in symbols.images().filter(|placed| placed.name != VMLINUX) {
            let image = placed.image.image();
            let absent = |symbol: &Symbol<'_>| placed.symbol_addr(symbol).is_none();
            let section = (image.symbols().named(name).find(absent))
                .and_then(|symbol| image.section_at(symbol.addr));
            if let Some(section) = section {
                let (section, module) = (section.name.clone(), placed.name.clone());
                return NoPlace::NotThere { name: name.to_owned(), section, module };
            }
        }
        let similar = symbols.similar_names(name, SIMILAR);
        NoPlace::NoSymbol { name: name.to_owned(), place, similar }
    }
}

/// The file and the number of a line.
pub fn line_of<'a>(
    file: Option<&'a str>,
    line: Line,
    here: Here<'a>,
) -> Result<(&'a str, u32), NoPlace> {
    let file = file.or(here.file).ok_or(NoPlace::NoFile)?;
    let line = match (line, here.line) {
        (Line::At(line), _) => Some(line),
        (Line::Forward(count), Some(from)) => from.checked_add(count),
        (Line::Back(count), Some(from)) => from.checked_sub(count).filter(|&line| line > 0),
        _ => None,
    };
    Ok((file, line.ok_or(NoPlace::NoLine)?))
}

/// Whether `path` is `end`, or ends so from a `/` on.
pub fn ends_in(path: &str, end: &str) -> bool {
    let head = path.strip_suffix(end.trim_start_matches("./"));
    head.is_some_and(|head| head.is_empty() || head.ends_with('/') || end.starts_with('/'))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::arch::x86_64::X86_64;

    fn value(text: &str, here: Here<'_>) -> Result<Addr, String> {
        let location = Location::parse(text).map_err(|why| why.to_string())?;
        Symbols::new().address_of(&location, here).map_err(|why| why.to_string())
    }

    #[test]
    fn addresses_add_up() {
        let mut registers = Registers::unknown(&X86_64);
        registers.set(X86_64.sp, Some(0x1000));
        let here = Here { registers: Some(&registers), ..Here::default() };
        let at = |text| value(text, here);
        assert_eq!(at("*0x10+0x8 - 4"), Ok(Addr(0x14)));
        assert_eq!(at("$rsp + 16"), Ok(Addr(0x1010)));
        assert_eq!(at("*2*($rsp-0x800)"), Ok(Addr(0x1000)));
        assert_eq!(at("*-1"), Ok(Addr(u64::MAX)));
        assert_eq!(at("$rip").unwrap_err(), "$rip is not known in this frame");
        assert_eq!(at("$zork").unwrap_err(), "no register $zork");
        assert_eq!(
            at("no_such_thing").unwrap_err(),
            "no symbol 'no_such_thing' in vmlinux or a loaded module"
        );
        assert!(value("$rsp", Here::default()).unwrap_err().contains("stopped"));
        assert!(value("hgfs!f", here).unwrap_err().starts_with("no symbols of a module 'hgfs'"));
    }

    #[test]
    fn lines_are_counted_from_the_one_shown() {
        let here = Here { file: Some("a.c"), line: Some(10), registers: None };
        assert_eq!(line_of(None, Line::Forward(3), here), Ok(("a.c", 13)));
        assert_eq!(line_of(None, Line::Back(3), here), Ok(("a.c", 7)));
        assert_eq!(line_of(Some("b.c"), Line::At(3), here), Ok(("b.c", 3)));
        assert_eq!(line_of(None, Line::Back(10), here), Err(NoPlace::NoLine));
        assert_eq!(line_of(None, Line::At(1), Here::default()), Err(NoPlace::NoFile));
    }

    #[test]
    fn a_files_end_begins_at_a_slash() {
        assert!(ends_in("/b/fs/inode.c", "fs/inode.c"));
        assert!(ends_in("fs/inode.c", "./fs/inode.c"));
        assert!(ends_in("/fs/inode.c", "/fs/inode.c"));
        assert!(!ends_in("fs/inode.c", "node.c"));
    }
}
