//! Puts a module's sections where the guest has them, and loads its symbols.

use super::{Module, Symbols, find::Fit, guest};
use crate::kernel::module_sections::{self, Section};
use crate::session::{answer::Failure, request::Level, run::Session};
use crate::symbols::{
    image::DebugImage,
    placed::{PER_CPU, Placement},
};
use std::{path::Path, sync::Arc};

impl Session {
    /// Uses a file for a module.
    pub(super) async fn take_file(
        &mut self,
        mut module: Module,
        fit: Fit,
    ) -> Result<Module, Failure> {
        let mut sections = fit.sections;
        if fit.image.image().section(PER_CPU).is_some_and(|section| section.size > 0) {
            let found = module.found.clone();
            let place = self.compute(move |symbols, memory| {
                module_sections::per_cpu(symbols, memory, &found).ok().flatten()
            });
            // Without it only the module's per-CPU variables are nowhere.
            sections.extend(place.await?);
        }
        module.symbols = self.put(&module.found.name, &fit.path, fit.image, &sections).await;
        module.sections = sections;
        module.path = Some(fit.path);
        module.file.proven_by = Some(fit.proof);
        module.search = None;
        Ok(module)
    }

    /// Places a file under a module's name and reads its debug info; what takes
    /// longer than a moment goes on on a thread.
    pub(super) async fn put(
        &mut self,
        name: &str,
        path: &Path,
        image: Arc<DebugImage>,
        sections: &[Section],
    ) -> Symbols {
        self.code.update(|symbols| {
            symbols.place(name, Arc::clone(&image), placement(sections));
        });
        self.trees.loads.retain(|(_, loading, _)| loading != name);
        if !image.image().has_dwarf() {
            return Symbols::Bare(format!(
                "{} has no debug info: functions are named, but there are no lines, types or variables; --module-path or --debug-dir adds a place where it may be",
                path.display()
            ));
        }
        match self.read_debug_info(Arc::clone(&image)).await {
            Ok(read) => self.symbols_of(name, &image, read),
            Err(ticket) => {
                self.trees.loads.push((ticket, name.to_owned(), image));
                Symbols::Loading
            }
        }
    }

    /// How far a module's symbols are after its debug info was read.
    fn symbols_of(&self, name: &str, image: &DebugImage, read: Result<(), String>) -> Symbols {
        let told = match &read {
            Ok(()) => image.missing(),
            Err(why) => Some(why.clone()),
        };
        if let Some(told) = told {
            self.say(Level::Warning, format!("module {name}: {told}"));
        }
        read.map_or_else(Symbols::Failed, |()| Symbols::Loaded)
    }

    /// So much of a module's debug info is read.
    pub(super) fn module_progress(&mut self, ticket: u64, part: f32) {
        let Some((_, name, _)) = self.trees.loads.iter().find(|(t, ..)| *t == ticket) else {
            return;
        };
        let mut modules = self.modules.iter_mut();
        if let Some(module) = modules.find(|module| module.found.name == *name) {
            // Told from several threads, not always in order.
            module.file.read = Some(module.file.read.map_or(part, |read| read.max(part)));
            self.touch_later();
        }
    }

    /// A module's debug info is read, or can't be. Says whether it is the one
    /// that is in use.
    pub(super) fn module_read(&mut self, ticket: u64, read: Result<(), String>) -> bool {
        let at = self.trees.loads.iter().position(|(t, ..)| *t == ticket);
        let Some((_, name, image)) = at.map(|at| self.trees.loads.swap_remove(at)) else {
            return false;
        };
        let symbols = self.symbols_of(&name, &image, read);
        let mut modules = self.modules.iter_mut();
        let Some(module) = modules.find(|module| module.found.name == name) else { return false };
        module.symbols = symbols;
        module.file.read = None;
        self.trees.read_late.push(name);
        true
    }

    /// Breakpoints that a symbol table placed are at the entry of a function;
    /// debug info knows where its arguments are in place. Not while the guest
    /// runs: it may be about to stop at one.
    pub(super) fn place_wishes_again(&mut self) {
        let names = std::mem::take(&mut self.trees.read_late);
        if names.is_empty() {
            return;
        }
        let symbols = self.code.symbols();
        for wish in &mut self.points.wishes {
            let module = |at| symbols.symbol_at(at).and_then(|symbol| symbol.module);
            if wish.sites.iter().any(|s| module(s.addr).is_some_and(|m| names.contains(&m))) {
                wish.sites.clear();
            }
        }
    }

    /// What the guest says of a known module now. Once its init is over, the init
    /// sections are gone; the file stays as it is.
    pub(super) async fn renew_module(
        &mut self,
        at: usize,
        found: guest::Module,
    ) -> Result<(), Failure> {
        let module = &mut self.modules[at];
        let before = std::mem::replace(&mut module.found, found.clone()).state;
        if before == found.state {
            return Ok(());
        }
        // It may have had no sections yet.
        if matches!(module.symbols, Symbols::Failed(_)) && module.path.is_none() {
            self.modules[at] = self.place_module(found).await?;
        } else if !has_init(&found) {
            let name = found.name.clone();
            self.init_is_over(&name);
        }
        self.touch();
        Ok(())
    }
}

/// Whether a module has its init memory still. One that goes has it only when it
/// goes because its init failed.
fn has_init(found: &guest::Module) -> bool {
    match found.state {
        guest::State::Live => false,
        guest::State::Going => found.memory.iter().any(|piece| piece.kind.is_init()),
        _ => true,
    }
}

pub(super) fn placement(sections: &[Section]) -> Placement {
    Placement::Sections(sections.iter().map(|s| (s.name.clone(), s.addr)).collect())
}
