//! The guest's modules: found in its memory, matched with their .ko files,
//! proven, placed, and forgotten when they are gone.
//!
//! - [`details`]: what is read only when somebody asks.
//! - [`files`]: where .ko files are on this machine.
//! - [`find`]: which of them a module is; the build-id proves it.
//! - [`round`]: one module after another, between the user's requests.
//! - [`place`]: its sections put where the guest has them, its symbols loaded.
//! - [`given`]: section addresses that the user has already; [`added`]: files.
//! - [`watch`]: where the guest is caught as they come and go, and when.
//! - [`live`]: what is done then.

pub mod files;

mod added;
mod details;
mod find;
pub mod given;
mod live;
mod place;
mod round;
mod watch;

use super::{answer::Failure, request::Level, run::Session, step::Plan, view::ModuleView};
use crate::base::addr::Addr;
use crate::kernel::{
    module_sections::{self, Section},
    module_usage::Usage,
    modules::{self as guest, Layouts},
};
pub use live::{Caught, is_bare_address};
pub use watch::{Event, Watch};

use crate::base::memory::Memory;
use crate::symbols::placed::Symbols as AllSymbols;
use crate::target::replay::kept::Reach;
use find::Search;
use std::{path::PathBuf, sync::Arc};

/// Troubles with the guest's modules that are told at once.
const MOST_TROUBLES: usize = 4;

/// How far a module's symbols are.
#[derive(Clone, Debug, PartialEq)]
enum Symbols {
    /// Its debug info is being read.
    Loading,
    /// All there.
    Loaded,
    /// The right file, but it has a symbol table only.
    Bare(String),
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
    /// The search for its file, until that is found.
    search: Option<Search>,
    /// What is known of its file.
    file: FileFacts,
}

/// What is known of the file of a module.
#[derive(Clone, Debug, Default)]
struct FileFacts {
    /// What shows that it is the guest's.
    proven_by: Option<String>,
    /// How much of its debug info is read, from 0 to 1, while that takes long.
    read: Option<f32>,
}

impl Module {
    /// Whether its symbols are on the way.
    pub(super) fn is_loading(&self) -> bool {
        self.symbols == Symbols::Loading
    }

    /// The module as it is shown.
    pub fn view(&self) -> ModuleView {
        let (symbols, why) = match &self.symbols {
            Symbols::Loading => {
                ("loading", self.file.read.map(|part| format!("{:.0} % are read", part * 100.0)))
            }
            Symbols::Loaded => ("loaded", None),
            Symbols::Bare(why) => ("no debug info", Some(why.clone())),
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
            proven_by: self.file.proven_by.clone(),
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
        self.go_on_with_modules().await?;
        if matches!(plan, Some(Plan::Instruction { .. } | Plan::Line { .. } | Plan::Out { .. }))
            || !self.target.matches.is_guests()
        {
            return Ok(());
        }
        self.watch.looked_at = self.generation;
        self.look_at_list().await?;
        self.go_on_with_given().await
    }

    /// Reads the list when it may have changed.
    async fn look_at_list(&mut self) -> Result<(), Failure> {
        let mark = self.compute(|symbols, memory| guest::mark(symbols, memory).ok()).await?;
        // A record has no mark of a stop that was a step: the list was not looked at.
        let is_unrecorded = mark.is_none() && self.replay.is_some() && self.module_mark.is_some();
        if is_unrecorded || mark.is_some() && mark == self.module_mark {
            return self.look_at_unsettled().await;
        }
        if self.module_mark.is_some() {
            if self.list_is_as_seen().await? {
                self.module_mark = mark;
                return self.look_at_unsettled().await;
            }
            self.forget_rebuilt().await?;
        }
        let settled = self.read_modules().await?;
        self.module_mark = mark.filter(|_| settled);
        self.watch.missed = false;
        Ok(())
    }

    /// Reads the module list again if it was not looked at since the guest
    /// stopped: before something is planted, which may be in a module.
    pub(super) async fn look_for_modules_once(&mut self) -> Result<(), Failure> {
        match self.watch.looked_at == self.generation {
            true => Ok(()),
            false => self.look_for_new_modules(&None).await,
        }
    }

    /// Whether every change of the list was caught as it happened, so that it
    /// need not be read again. One read.
    async fn list_is_as_seen(&mut self) -> Result<bool, Failure> {
        let symbols = self.guest_symbols();
        let (Ok(layouts), Some(head)) = (Layouts::new(&symbols), symbols.symbol_addr("modules"))
        else {
            return Ok(false);
        };
        // A record tells by what was read at this stop.
        if self.watch.missed && self.replay.is_none() {
            return Ok(false);
        }
        let of_guest = self.modules.iter().filter(|module| module.found.addr.0 != 0);
        let known: Vec<Addr> = of_guest.map(|module| module.found.addr).collect();
        let expected = match (known.first(), known.last()) {
            (Some(newest), Some(oldest)) => layouts.ends(*newest, *oldest),
            _ => (head, head),
        };
        let ends = self.compute(|symbols, memory| guest::ends(symbols, memory).ok()).await?;
        Ok(ends == Some(expected))
    }

    /// Reads the state of modules that were not live: they become it without
    /// a change of the list.
    async fn look_at_unsettled(&mut self) -> Result<(), Failure> {
        let unsettled = |module: &&Module| module.found.state != guest::State::Live;
        let of_guest = |module: &&Module| module.found.addr.0 != 0;
        let modules = self.modules.iter().filter(unsettled).filter(of_guest);
        let known: Vec<guest::Module> = modules.map(|module| module.found.clone()).collect();
        let Ok(layouts) = Layouts::new(&self.guest_symbols()) else { return Ok(()) };
        if known.is_empty() {
            return Ok(());
        }
        let now = self
            .compute(move |_, memory| {
                // All are tried, so that one run reports every miss.
                known.iter().map(|known| layouts.again(memory, known)).collect::<Vec<_>>()
            })
            .await?;
        for found in now.into_iter().flatten() {
            let at = self.modules.iter().position(|old| old.found.addr == found.addr);
            if let Some(at) = at.filter(|at| self.modules[*at].found != found) {
                self.renew_module(at, found).await?;
            }
        }
        Ok(())
    }

    /// Forgets modules that may have been unloaded and loaded again, from
    /// another build, to the same place: their build-id is no longer there. One
    /// small read a module with symbols, after the list has changed.
    async fn forget_rebuilt(&mut self) -> Result<(), Failure> {
        let symbols = self.code.symbols();
        let known = |module: &Module| {
            let placed = symbols.images().find(|placed| placed.name == module.found.name)?;
            let id = placed.image.image().build_id()?.to_vec();
            Some((module.found.name.clone(), id, module.sections.clone()))
        };
        let placed: Vec<_> = self.modules.iter().filter_map(known).collect();
        let sections: Vec<Vec<Section>> = placed.iter().map(|(.., s)| s.clone()).collect();
        let (ids, _) = self
            .compute_kept(Reach::Before, move |_, memory| {
                let ids = sections.iter().map(|s| module_sections::build_id(memory, s));
                ids.collect::<Vec<_>>()
            })
            .await?;
        for ((name, wanted, _), id) in placed.iter().zip(ids) {
            // One that was proven by something else has no such section.
            if !matches!(id, Ok(None)) && !matches!(id, Ok(Some(id)) if id == *wanted) {
                self.forget_module(name);
            }
        }
        Ok(())
    }

    /// Reads the whole module list, and finds the .ko of what is new. Says
    /// whether all of them have their place in it.
    pub(super) async fn read_modules(&mut self) -> Result<bool, Failure> {
        let symbols = self.guest_symbols();
        let Ok(layouts) = Layouts::new(&symbols) else { return Ok(false) };
        let layouts = Arc::new(layouts);
        let (list, is_kept) = {
            let layouts = Arc::clone(&layouts);
            let list = move |symbols: &AllSymbols, memory: &dyn Memory| {
                guest::list(symbols, memory, &layouts)
            };
            self.compute_kept(Reach::Before, list).await?
        };
        self.tell_troubles(list.problems.iter().map(ToString::to_string).collect());
        let settled = !list.unformed;
        let mut list = list.modules;
        // One that is about to be freed stays on the list for a moment.
        let goes = |module: &guest::Module| module.state == guest::State::Going;
        let going = |addr: &Addr| list.iter().any(|module| module.addr == *addr && goes(module));
        if !is_kept {
            self.watch.freed.retain(going);
        }
        list.retain(|module| !self.watch.freed.contains(&module.addr));
        let gone: Vec<String> = self
            .modules
            .iter()
            .filter(|old| {
                // What is known by hand alone has no address to compare.
                let by_hand = old.found.addr.0 == 0;
                !list.iter().any(|new| {
                    if by_hand {
                        return new.name == old.found.name;
                    }
                    let names = (&new.name, new.addr, new.base);
                    names == (&old.found.name, old.found.addr, old.found.base)
                })
            })
            .map(|old| old.found.name.clone())
            .collect();
        for name in gone {
            self.forget_module(&name);
        }
        let order: Vec<Addr> = list.iter().map(|module| module.addr).collect();
        for found in list {
            if let Some(at) = self.modules.iter().position(|old| old.found.addr == found.addr) {
                self.renew_module(at, found).await?;
                continue;
            }
            if let Some(at) = self.by_hand(&found.name) {
                // Its debug info may be what made the list readable, so it stays
                // until it is placed anew; for good where nothing tells better.
                match module_sections::Layouts::new(&self.guest_symbols()) {
                    Ok(_) => self.modules[at] = self.place_module(found).await?,
                    Err(_) => self.modules[at].found = found,
                }
                continue;
            }
            let mut module = self.unplaced(found);
            if self.is_wanted_now(&module.found) {
                module = self.search_file(module).await?;
            }
            self.modules.push(module);
        }
        self.modules.sort_by_key(|module| order.iter().position(|addr| *addr == module.found.addr));
        self.touch();
        Ok(settled)
    }

    /// Says what is wrong with the guest's modules: each thing once, and of
    /// many only the first.
    fn tell_troubles(&mut self, texts: Vec<String>) {
        let new: Vec<String> =
            texts.into_iter().filter(|text| !self.module_troubles.contains(text)).collect();
        for text in new.iter().take(MOST_TROUBLES) {
            self.say(Level::Warning, format!("modules: {text}"));
        }
        if new.len() > MOST_TROUBLES {
            let more = new.len() - MOST_TROUBLES;
            self.say(Level::Warning, format!("modules: and {more} more of such troubles"));
        }
        self.module_troubles.extend(new);
    }

    /// That the guest's modules can be known: where there are none, it must not
    /// be for want of symbols.
    pub(super) fn need_modules(&self) -> Result<(), Failure> {
        if self.is_offline() {
            return Ok(());
        }
        self.need_stopped()?;
        let proven = self.target.matches.is_guests();
        let why = match Layouts::new(&self.guest_symbols()) {
            _ if !proven => "no vmlinux is proven to be the guest's (info target)".to_owned(),
            Err(error) => error.to_string(),
            Ok(_) => return Ok(()),
        };
        Err(Failure::Other(format!("the guest's modules are not known: {why}")))
    }

    /// The guest is another one now.
    pub(super) fn forget_modules(&mut self) {
        for name in self.modules.iter().map(|m| m.found.name.clone()).collect::<Vec<_>>() {
            self.forget_module(&name);
        }
        self.watch = Watch::default();
        self.module_troubles.clear();
        self.module_mark = None;
    }
}
