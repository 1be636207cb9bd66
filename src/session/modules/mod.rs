//! The guest's modules: found in its memory, matched with their .ko files,
//! proven, placed, and forgotten when they are gone.
//!
//! - [`files`]: where .ko files are on this machine.
//! - [`find`]: which of them a module is; the build-id proves it.
//! - [`place`]: its sections put where the guest has them, its symbols loaded.
//! - [`given`]: section addresses that the user has already.
//! - [`watch`]: where the guest is caught as they come and go, and when.
//! - [`live`]: what is done then.

pub mod files;

mod find;
mod given;
mod live;
mod place;
mod watch;

use super::{
    answer::Failure,
    request::Level,
    run::Session,
    step::Plan,
    view::{Match, ModuleView},
};
use crate::base::addr::Addr;
use crate::kernel::{
    module_sections::Section,
    modules::{self as guest, Layouts},
};
pub use live::Caught;
pub use watch::{Event, Watch};

use find::Search;
use std::{path::PathBuf, sync::Arc};

/// How far a module's symbols are.
#[derive(Clone, Debug, PartialEq)]
enum Symbols {
    /// Its debug info is being read.
    Loading,
    /// All there.
    Loaded,
    /// No .ko was found; where it was looked for.
    NotFound(String),
    /// There are .ko files, but of other builds.
    WrongBuild(String),
    /// Something else stands in the way.
    Failed(String),
}

/// A module of the guest.
#[derive(Clone, Debug)]
pub struct Module {
    /// What the guest says.
    pub(super) found: guest::Module,
    sections: Vec<Section>,
    symbols: Symbols,
    path: Option<PathBuf>,
    /// The search for its file, while one is being opened on a thread.
    search: Option<Search>,
}

impl Module {
    /// Whether its symbols are on the way.
    pub(super) fn is_loading(&self) -> bool {
        self.symbols == Symbols::Loading
    }

    /// The module as it is shown.
    pub fn view(&self) -> ModuleView {
        let (symbols, why) = match &self.symbols {
            Symbols::Loading => ("loading", None),
            Symbols::Loaded => ("loaded", None),
            Symbols::NotFound(why) => ("not found", Some(why.clone())),
            Symbols::WrongBuild(why) => ("wrong build", Some(why.clone())),
            Symbols::Failed(why) => ("failed", Some(why.clone())),
        };
        ModuleView {
            name: self.found.name.clone(),
            state: match self.found.state {
                guest::State::Live => "live",
                guest::State::Coming => "coming",
                guest::State::Going => "going",
                guest::State::Other(_) => "unknown",
            },
            base: self.found.base.unwrap_or_default(),
            size: self.found.size,
            refs: None,
            used_by: Vec::new(),
            taints: String::new(),
            symbols,
            path: self.path.clone(),
            why,
            sections: self.sections.iter().map(|s| (s.name.clone(), s.addr)).collect(),
        }
    }
}

impl Session {
    /// Reads the module list again when it may have changed. A step is too
    /// short for that to be worth a packet.
    pub(super) async fn look_for_new_modules(
        &mut self,
        plan: &Option<Plan>,
    ) -> Result<(), Failure> {
        if matches!(plan, Some(Plan::Instruction { .. } | Plan::Line { .. } | Plan::Out { .. }))
            || !matches!(self.target.matches, Match::Match | Match::Trusted)
        {
            return Ok(());
        }
        self.go_on_with_modules().await?;
        let Some(head) = self.guest_symbols().symbol_addr("modules") else { return Ok(()) };
        // A new module is put at the head of the list, and the ends change
        // with every load and nearly every unload.
        let ends = self
            .compute(move |_, memory| {
                let bytes = memory.bytes(head, 16).ok()?;
                let word = |at| Some(u64::from_le_bytes(*bytes.get(at..)?.first_chunk()?));
                Some((word(0)?, word(8)?))
            })
            .await?;
        // The end of an init changes neither.
        let coming = |module: &Module| module.found.state == guest::State::Coming;
        if ends.is_some() && ends == self.expected_ends(head) && !self.modules.iter().any(coming) {
            return Ok(());
        }
        self.read_modules().await
    }

    /// The ends of the guest's list, if it is as we know it: that of modules
    /// which came and went while we watched needs not be read again.
    fn expected_ends(&self, head: Addr) -> Option<(u64, u64)> {
        let layouts = Layouts::new(&self.guest_symbols()).ok()?;
        match (self.modules.first(), self.modules.last()) {
            (Some(newest), Some(oldest)) => {
                Some(layouts.ends(newest.found.addr, oldest.found.addr))
            }
            _ => Some((head.0, head.0)),
        }
    }

    /// Reads the whole module list, and finds the .ko of what is new.
    pub(super) async fn read_modules(&mut self) -> Result<(), Failure> {
        let symbols = self.guest_symbols();
        let Ok(layouts) = Layouts::new(&symbols) else { return Ok(()) };
        let layouts = Arc::new(layouts);
        let list = {
            let layouts = Arc::clone(&layouts);
            self.compute(move |symbols, memory| guest::list(symbols, memory, &layouts)).await?
        };
        if let Some(problem) = list.problem {
            self.say(Level::Warning, format!("the module list was read in part: {problem}"));
        }
        let mut list = list.modules;
        // One that is about to be freed stays on the list for a moment.
        self.watch.freed.retain(|addr| list.iter().any(|module| module.addr == *addr));
        list.retain(|module| !self.watch.freed.contains(&module.addr));
        let gone: Vec<String> = self
            .modules
            .iter()
            .filter(|old| {
                !list.iter().any(|new| new.addr == old.found.addr && new.name == old.found.name)
            })
            .map(|old| old.found.name.clone())
            .collect();
        for name in gone {
            self.forget_module(&name);
        }
        let order: Vec<Addr> = list.iter().map(|module| module.addr).collect();
        for found in list {
            if let Some(old) = self.modules.iter_mut().find(|old| old.found.addr == found.addr) {
                let before = std::mem::replace(&mut old.found, found).state;
                if (before, old.found.state) == (guest::State::Coming, guest::State::Live) {
                    let name = old.found.name.clone();
                    self.init_is_over(&name);
                }
                continue;
            }
            let module = self.place_module(found).await?;
            self.modules.push(module);
        }
        self.modules.sort_by_key(|module| order.iter().position(|addr| *addr == module.found.addr));
        self.touch();
        Ok(())
    }

    /// The guest is another one now.
    pub(super) fn forget_modules(&mut self) {
        for name in self.modules.iter().map(|m| m.found.name.clone()).collect::<Vec<_>>() {
            self.forget_module(&name);
        }
        self.watch = Watch::default();
    }
}
