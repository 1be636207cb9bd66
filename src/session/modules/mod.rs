//! The guest's modules: found in its memory, matched with their .ko files,
//! proven, placed, and forgotten when they are gone.
//!
//! - [`details`]: what is read only when somebody asks.
//! - [`files`]: where .ko files are on this machine.
//! - [`find`]: which of them a module is; the build-id proves it.
//! - [`place`]: its sections put where the guest has them, its symbols loaded.
//! - [`given`]: section addresses that the user has already.
//! - [`live`]: loads and unloads, caught as they happen.

pub mod files;

mod details;
mod find;
pub mod given;
mod live;
mod place;

use super::{
    answer::Failure,
    request::Level,
    run::Session,
    step::Plan,
    view::{Match, ModuleView},
};
use crate::kernel::{
    module_sections::Section,
    module_usage::Usage,
    modules::{self as guest, Layouts},
};
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
    /// Who uses it and how often, when that was read at this stop.
    usage: Option<Usage>,
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
        let usage = self.usage.clone().unwrap_or_default();
        ModuleView {
            name: self.found.name.clone(),
            state: match self.found.state {
                _ if self.found.addr.0 == 0 => "given",
                guest::State::Live => "live",
                guest::State::Coming => "coming",
                guest::State::Going => "going",
                guest::State::Other(_) => "unknown",
            },
            base: self.found.base.unwrap_or_default(),
            size: self.found.size,
            counted: self.usage.is_some(),
            refs: usage.refs,
            permanent: usage.permanent,
            used_by: usage.users,
            taints: usage.taints,
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
        for module in &mut self.modules {
            module.usage = None;
        }
        if matches!(plan, Some(Plan::Instruction { .. } | Plan::Line { .. } | Plan::Out { .. }))
            || !matches!(self.target.matches, Match::Match | Match::Trusted)
        {
            return Ok(());
        }
        self.go_on_with_modules().await?;
        self.look_at_list().await?;
        self.go_on_with_given().await
    }

    async fn look_at_list(&mut self) -> Result<(), Failure> {
        let Some(head) = self.guest_symbols().symbol_addr("modules") else { return Ok(()) };
        // A new module is put at the head of the list, and the ends change
        // with every load and nearly every unload.
        let ends = self
            .compute(move |_, memory| {
                Some((memory.u64(head).ok()?, memory.u64(head.offset(8)).ok()?))
            })
            .await?;
        if ends.is_some() && ends == self.module_ends {
            return Ok(());
        }
        self.read_modules().await?;
        self.module_ends = ends;
        Ok(())
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
        for problem in list.problems {
            self.say(Level::Warning, format!("modules: {problem}"));
        }
        let gone: Vec<String> = self
            .modules
            .iter()
            .filter(|old| {
                !list
                    .modules
                    .iter()
                    .any(|new| new.addr == old.found.addr && new.name == old.found.name)
            })
            .map(|old| old.found.name.clone())
            .collect();
        for name in gone {
            self.forget_module(&name);
        }
        for found in list.modules {
            if let Some(old) = self.modules.iter_mut().find(|old| old.found.addr == found.addr) {
                old.found = found;
                continue;
            }
            let module = self.place_module(found).await?;
            self.modules.push(module);
        }
        self.touch();
        Ok(())
    }

    pub(super) fn forget_module(&mut self, name: &str) {
        let symbols = self.code.symbols();
        for wish in &mut self.points.wishes {
            let inside = wish.sites.iter().any(|site| {
                symbols.symbol_at(site.addr).and_then(|s| s.module).as_deref() == Some(name)
            });
            if inside {
                wish.sites.clear();
                wish.pending = Some(format!("module {name} was unloaded"));
            }
        }
        self.code.update(|symbols| symbols.remove(name));
        self.modules.retain(|module| module.found.name != name);
    }

    /// The guest is another one now.
    pub(super) fn forget_modules(&mut self) {
        for name in self.modules.iter().map(|m| m.found.name.clone()).collect::<Vec<_>>() {
            self.forget_module(&name);
        }
        self.module_ends = None;
    }
}
