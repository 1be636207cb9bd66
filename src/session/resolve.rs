//! Locations, as the session understands them: with the file that is shown
//! and the registers of the selected frame.

use super::{
    answer::Failure,
    breakpoints::Site,
    run::Session,
    view::{Match, State},
};
use crate::arch::Registers;
use crate::base::addr::Addr;
use crate::symbols::{
    lookup::{
        expression::Expression,
        location::{Line, Location},
        places::{Here, line_of},
    },
    placed::Symbols,
};

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
    let found = symbols.addresses_of(&location, from.here()).map_err(|why| why.to_string())?;
    let note = match (&location, found.moved_to) {
        (Location::Line { line: Line::At(line), .. }, Some(used)) => {
            Some(format!("line {line} has no code; line {used} is used"))
        }
        _ => None,
    };
    Ok((found.places.into_iter().map(Site::from).collect(), note))
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

    /// Looks again for places of wishes that have none.
    pub(super) fn resolve_pending(&mut self) {
        let proven = self.may_resolve();
        for index in 0..self.points.wishes.len() {
            if !self.points.wishes[index].sites.is_empty() {
                continue;
            }
            let location = self.points.wishes[index].location.clone();
            let found = match proven {
                Ok(()) => self.resolve_sites(&location),
                Err(why) if !location.starts_with("*0x") => Err(why.to_string()),
                Err(_) => self.resolve_sites(&location),
            };
            let wish = &mut self.points.wishes[index];
            match found {
                Ok((sites, note)) => {
                    wish.sites = sites;
                    wish.note = note;
                    wish.pending = None;
                }
                Err(why) => wish.pending = Some(why),
            }
        }
        self.touch();
    }

    /// Whether names can be turned into addresses of the guest.
    fn may_resolve(&self) -> Result<(), &'static str> {
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
