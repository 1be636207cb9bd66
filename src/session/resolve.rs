//! Locations, as the session understands them: with the file that is shown
//! and the registers of the selected frame.

use super::{
    answer::Failure,
    modules::Module,
    run::Session,
    view::{Match, State},
    wish::Site,
};
use crate::arch::Registers;
use crate::base::addr::Addr;
use crate::kernel::modules::State as Life;
use crate::symbols::{
    answer::ImageId,
    image::DebugImage,
    lookup::{
        expression::Expression,
        location::{Line, Location},
        places::{CodePlace, Here, Places, line_of},
    },
    placed::{Placed, Symbols, VMLINUX},
};
use std::collections::BTreeSet;

/// What a location is understood from.
#[derive(Debug, Default)]
pub struct Standpoint {
    file: Option<String>,
    line: Option<u32>,
    registers: Option<Registers>,
}

impl Standpoint {
    /// The same, as the symbols want it.
    pub fn here(&self) -> Here<'_> {
        Here { file: self.file.as_deref(), line: self.line, registers: self.registers.as_ref() }
    }

    /// The same, at a line of a file.
    pub fn at(&self, file: &str, line: u32) -> Standpoint {
        Standpoint {
            file: Some(file.to_owned()),
            line: Some(line),
            registers: self.registers.clone(),
        }
    }
}

/// Where a breakpoint can be planted, and what to say about it.
pub type Sites = (Vec<Site>, Option<String>);

/// Every place a breakpoint at this location needs.
pub fn sites(symbols: &Symbols, text: &str, from: &Standpoint) -> Result<Sites, String> {
    let location = Location::parse(text).map_err(|why| why.to_string())?;
    let found = match symbols.addresses_of(&location, from.here()) {
        Ok(found) => found,
        Err(why) => match init_or_exit(symbols, &location) {
            Some(place) => Places { places: vec![place], moved_to: None },
            None => return Err(why.to_string()),
        },
    };
    let note = match (&location, found.moved_to) {
        (Location::Line { line: Line::At(line), .. }, Some(used)) => {
            Some(format!("line {line} has no code; line {used} is used"))
        }
        _ => None,
    };
    Ok((found.places.into_iter().map(Site::from).collect(), note))
}

/// `M!init` and `M!exit`, where the module has no function of that name: those
/// it gave to `module_init` and `module_exit`, which make these aliases of them
/// (include/linux/module.h).
fn init_or_exit(symbols: &Symbols, location: &Location) -> Option<CodePlace> {
    let Location::Function { module: Some(module), file: None, name } = location else {
        return None;
    };
    let alias = match name.as_str() {
        "init" => "init_module",
        "exit" => "cleanup_module",
        _ => return None,
    };
    let only = symbols.only(module)?;
    let placed = only.images().find(|placed| placed.module().is_some())?;
    let symbol = placed.image.image().symbols().named(alias).next()?;
    let entry = placed.symbol_addr(&symbol)?;
    let function = only.function_at(entry).map(|function| function.name);
    let named = function.as_ref().map(|name| only.find_functions(name)).unwrap_or_default();
    let start = named.iter().find(|found| found.entry == entry && !found.inlined);
    Some(only.place_at(start.map_or(entry, |found| found.after_prologue), function.as_deref()))
}

/// Whether a module has a symbol in its file that the guest has no more.
fn has_lost(placed: &Placed, name: &str) -> bool {
    let mut named = placed.image.image().symbols().named(name);
    placed.module().is_some() && named.any(|symbol| placed.symbol_addr(&symbol).is_none())
}

/// The images that can answer.
fn answering(symbols: &Symbols) -> BTreeSet<ImageId> {
    let ready = |image: &DebugImage| image.dwarf_ready() || !image.image().has_dwarf();
    symbols.images().filter(|placed| ready(&placed.image)).map(|placed| placed.id).collect()
}

impl Session {
    /// Whether there is no guest, and there will be none.
    pub(super) fn is_offline(&self) -> bool {
        matches!(self.state, State::Offline) && self.options.connect.is_none()
    }

    /// Symbols for questions: the guest's when they are proven; without a
    /// guest, the file's own.
    pub(super) fn usable_symbols(&self) -> Symbols {
        match self.state {
            State::Offline => self.code.symbols(),
            _ => self.guest_symbols(),
        }
    }

    /// The selected frame's file, line and registers; without a frame, the
    /// file that was listed last.
    pub(super) fn standpoint(&self) -> Standpoint {
        let frame = self.selected_frame().filter(|frame| frame.file.is_some());
        let listed = self.listed.as_ref();
        match frame {
            Some(frame) => Standpoint {
                file: frame.file.clone(),
                line: frame.line,
                registers: self.selected_registers(),
            },
            None => Standpoint {
                file: listed.map(|listed| listed.file.name.clone()),
                line: listed.map(|listed| listed.line),
                registers: self.selected_registers(),
            },
        }
    }

    /// The one address a location means.
    pub(super) fn address(&self, text: &str) -> Result<Addr, Failure> {
        let other = |why: String| Failure::Other(why);
        let location = Location::parse(text).map_err(|why| other(why.to_string()))?;
        let symbols = self.usable_symbols();
        let found = symbols.address_of(&location, self.standpoint().here());
        found.map_err(|why| other(why.to_string()))
    }

    /// Resolves a location for a breakpoint.
    pub(super) fn resolve_sites(&self, location: &str) -> Result<Sites, String> {
        let symbols = match self.is_offline() {
            true => self.code.symbols(),
            false => self.guest_symbols(),
        };
        sites(&symbols, location, &self.standpoint())
    }

    /// A location that means the same later, when another file is shown and
    /// registers have other values.
    pub(super) fn lasting(&self, text: &str) -> Result<String, Failure> {
        let other = |why: String| Failure::Other(why);
        let from = self.standpoint();
        match Location::parse(text).map_err(|why| other(why.to_string()))? {
            Location::Line { module, file, line }
                if file.is_none() || !matches!(line, Line::At(_)) =>
            {
                let place = line_of(file.as_deref(), line, from.here());
                let (file, line) = place.map_err(|why| other(why.to_string()))?;
                let (file, line) = (Some(file.to_owned()), Line::At(line));
                Ok(Location::Line { module, file, line }.to_string())
            }
            Location::Address(expression) if has_register(&expression) => {
                let value = self.usable_symbols().value_of(&expression, from.here());
                Ok(format!("*{}", value.map_err(|why| other(why.to_string()))?))
            }
            location @ Location::Address(_) if !text.trim().starts_with('*') => {
                Ok(location.to_string())
            }
            _ => Ok(text.trim().to_owned()),
        }
    }

    /// Looks again for places of wishes that have none, and for those in
    /// modules that came since.
    pub(super) fn resolve_pending(&mut self) {
        self.release_restored();
        let proven = self.may_resolve();
        let symbols = self.guest_symbols();
        for index in 0..self.points.wishes.len() {
            let wish = &self.points.wishes[index];
            let no_place = wish.catch.is_some() || wish.crash.is_some() || wish.watch.is_some();
            if no_place || wish.gone || wish.held.is_some() {
                continue;
            }
            let location = wish.location.clone();
            if !wish.sites.is_empty() {
                self.resolve_more(&symbols, index);
                continue;
            }
            let found = match proven {
                Ok(()) => self.resolve_sites(&location),
                Err(why) if !location.starts_with("*0x") => Err(why.to_string()),
                Err(_) => self.resolve_sites(&location),
            };
            let wish = &self.points.wishes[index];
            if let (Some(parked), Ok((sites, note))) = (&wish.parked, &found)
                && *note != wish.note
                && !self.has_init(sites)
            {
                // A line of init code is gone; the next one that has code is
                // of another function.
                self.points.wishes[index].pending = Some(parked.clone());
                continue;
            }
            let wish = &mut self.points.wishes[index];
            match found {
                Ok((sites, note)) => {
                    wish.sites = sites;
                    wish.note = note;
                    (wish.pending, wish.parked) = (None, None);
                    wish.asked = answering(&symbols);
                }
                Err(why) => {
                    // What is not clear among all may be in one module.
                    self.resolve_more(&symbols, index);
                    if self.points.wishes[index].sites.is_empty() {
                        let parked = self.points.wishes[index].parked.clone();
                        let why = parked.unwrap_or_else(|| self.what_it_waits_for(&location, why));
                        self.points.wishes[index].pending = Some(why);
                    }
                }
            }
        }
        self.touch();
    }

    /// Adds to a wish the places that it has in modules it was not looked for
    /// in yet.
    fn resolve_more(&mut self, symbols: &Symbols, index: usize) {
        let from = self.standpoint();
        let wish = &mut self.points.wishes[index];
        if !wish.is_by_name() {
            return;
        }
        for id in answering(symbols) {
            let module = symbols.image(id).and_then(Placed::module);
            let Some(only) = module.and_then(|module| symbols.only(&module)) else { continue };
            if !wish.asked.insert(id) {
                continue;
            }
            let Ok((found, note)) = sites(&only, &wish.location, &from) else { continue };
            // Where that very line has no code, another file is meant.
            if note.is_some() && !wish.sites.is_empty() {
                continue;
            }
            for site in found {
                if !wish.sites.iter().any(|known| known.addr == site.addr) {
                    wish.sites.push(site);
                }
            }
            (wish.pending, wish.parked) = (None, None);
            wish.note = wish.note.take().or(note);
        }
    }

    /// Whether these places are in a module that has all its code: its init has
    /// not run.
    fn has_init(&self, sites: &[Site]) -> bool {
        let coming = self.modules.iter().filter(|module| module.found.state == Life::Coming);
        let names: Vec<&str> = coming.map(|module| module.found.name.as_str()).collect();
        sites.iter().any(|site| site.module.as_deref().is_some_and(|name| names.contains(&name)))
    }

    /// Why a location has no place yet, and what would give it one.
    fn what_it_waits_for(&self, location: &str, why: String) -> String {
        if self.may_resolve().is_err() || self.is_offline() {
            return why;
        }
        let module = match Location::parse(location) {
            Ok(Location::Function { module, .. } | Location::Line { module, .. }) => module,
            _ => return why,
        };
        let symbols = self.guest_symbols();
        if let Ok(Location::Function { name, .. }) = Location::parse(location)
            && let Some(placed) = symbols.images().find(|placed| has_lost(placed, &name))
        {
            let module = &placed.name;
            return format!(
                "{name} is in init memory of {module}, which is freed; armed when {module} is loaded again"
            );
        }
        let Some(module) = module.filter(|module| module != VMLINUX) else {
            return format!("{why}; waits for a module that has it");
        };
        let known = self.modules.iter().find(|known| known.found.name == module).map(Module::view);
        match known {
            None => format!("waits for module {module} to be loaded"),
            Some(known) if known.symbols == "loaded" => why,
            Some(known) => {
                let more = known.why.map_or(String::new(), |why| format!(": {why}"));
                format!("module {module} is loaded, but its symbols are {}{more}", known.symbols)
            }
        }
    }

    /// Whether names can be turned into addresses of the guest.
    pub(super) fn may_resolve(&self) -> Result<(), &'static str> {
        if matches!(self.state, State::Offline) {
            return Ok(());
        }
        match self.target.matches {
            Match::Match | Match::Trusted if self.symbols_loading() => {
                Err("waits for the symbols to be loaded")
            }
            Match::Match | Match::Trusted => Ok(()),
            Match::Mismatch => Err("the vmlinux is not the guest's (trust-symbols overrides)"),
            Match::Unknown => Err("waits for the first stop, to prove the vmlinux"),
        }
    }
}

fn has_register(expression: &Expression) -> bool {
    match expression {
        Expression::Register(_) => true,
        Expression::Number(_) | Expression::Symbol { .. } => false,
        Expression::Negative(value) => has_register(value),
        Expression::Pair(left, _, right) => has_register(left) || has_register(right),
    }
}
