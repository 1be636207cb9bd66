//! The file of a module: of those that have its name, the one that is proven to
//! be of the guest's build.

use super::{
    FileFacts, Module, Symbols,
    files::{Found, Hunt, ModuleNews},
};
use crate::kernel::{
    module_identity::{self, Verdict},
    module_sections::{self, Section},
    modules as guest,
};
use crate::session::{answer::Failure, request::Level, run::Session};
use crate::symbols::image::DebugImage;
use crate::target::replay::kept::Reach;
use std::{path::PathBuf, sync::Arc};

/// Files of other builds that are told of.
const MOST_TOLD: usize = 3;

/// How far the search for the file of a module is.
#[derive(Clone, Debug, Default)]
pub(super) struct Search {
    /// Goes on from here; on a thread when it is not here.
    hunt: Option<Hunt>,
    /// Whose news it is that the thread is done.
    ticket: u64,
    begun: bool,
    /// What the hunt brought and nobody looked at.
    found: Option<Result<Found, String>>,
    /// The module, but without debug info.
    bare: Option<Fit>,
    /// The best of those that are not proven to be it.
    refused: Option<Fit>,
    /// What is wrong with those.
    problems: Vec<String>,
}

/// A file, with the guest's sections by its names.
#[derive(Clone, Debug)]
pub(super) struct Fit {
    pub(super) path: PathBuf,
    pub(super) image: Arc<DebugImage>,
    pub(super) sections: Vec<Section>,
    /// What proves it, or why it is taken all the same.
    pub(super) proof: String,
}

impl Search {
    /// Whether nobody began with it.
    pub(super) fn is_new(&self) -> bool {
        !self.begun
    }
}

impl Session {
    /// A module whose file is not looked for yet.
    pub(super) fn unplaced(&self, found: guest::Module) -> Module {
        let search = Search { hunt: Some(self.hunt(&found.name)), ..Search::default() };
        Module {
            found,
            sections: Vec::new(),
            symbols: Symbols::Loading,
            path: None,
            usage: None,
            search: Some(search),
            file: FileFacts::default(),
        }
    }

    /// Finds the .ko of a module, proves it, and puts its sections where the
    /// guest has them.
    pub(super) async fn place_module(&mut self, found: guest::Module) -> Result<Module, Failure> {
        let module = self.unplaced(found);
        self.search_file(module).await
    }

    /// Tries the files that may be the module, until one is proven to be it or
    /// has to be waited for.
    pub(super) async fn search_file(&mut self, mut module: Module) -> Result<Module, Failure> {
        let Some(mut search) = module.search.take() else { return Ok(module) };
        search.begun = true;
        let places = match module_sections::Layouts::new(&self.guest_symbols()) {
            Ok(places) => Arc::new(places),
            Err(error) => {
                module.symbols = Symbols::Failed(error.to_string());
                return Ok(module);
            }
        };
        loop {
            let found = match (search.found.take(), search.hunt.take()) {
                (Some(found), hunt) => {
                    search.hunt = hunt;
                    found
                }
                (None, Some(hunt)) => match self.hunt_on(hunt).await {
                    Ok(Ok((hunt, found))) => {
                        search.hunt = Some(hunt);
                        Ok(found)
                    }
                    Ok(Err(why)) => Err(why),
                    Err(ticket) => {
                        search.ticket = ticket;
                        module.symbols = Symbols::Loading;
                        module.search = Some(search);
                        return Ok(module);
                    }
                },
                (None, None) => {
                    // It is on a thread, or failed there.
                    module.search = Some(search);
                    return Ok(module);
                }
            };
            let (path, image) = match found {
                Ok(Some((path, Ok(image)))) => (path, image),
                Ok(Some((_, Err(why)))) => {
                    search.problems.push(why);
                    continue;
                }
                Ok(None) => break,
                Err(why) => {
                    search.problems.push(why);
                    break;
                }
            };
            let names = module_sections::expected_names(image.image());
            let (places, guests) = (Arc::clone(&places), module.found.clone());
            let (sections, _) = self
                .compute_kept(Reach::Around, move |_, memory| {
                    module_sections::sections(memory, &places, &guests, Some(&names))
                })
                .await?;
            let sections = match sections {
                Ok(sections) => sections,
                Err(error) => {
                    module.symbols = Symbols::Failed(error.to_string());
                    return Ok(module);
                }
            };
            module.sections.clone_from(&sections);
            let (verdict, guests, elf) = (image.clone(), module.found.clone(), sections.clone());
            let (verdict, _) = self
                .compute_kept(Reach::Around, move |symbols, memory| {
                    module_identity::judge(symbols, memory, &guests, &elf, verdict.image())
                })
                .await?;
            let fit = |proof: String| Fit { path: path.clone(), image, sections, proof };
            match verdict {
                Ok(Verdict::Proven(proof)) => {
                    let fit = fit(proof);
                    if fit.image.image().has_dwarf() {
                        return self.take_file(module, fit).await;
                    }
                    // Better than none, but another place may have its debug info.
                    search.bare = search.bare.or(Some(fit));
                }
                Ok(Verdict::Other(why) | Verdict::Unknown(why)) => {
                    search.problems.push(format!("{}: {why}", path.display()));
                    search.refused = search.refused.or(Some(fit(why)));
                }
                Err(gap) => search.problems.push(format!("{}: {gap}", path.display())),
            }
        }
        self.end_search(module, search).await
    }

    /// There are no further files: takes what there is.
    async fn end_search(
        &mut self,
        mut module: Module,
        mut search: Search,
    ) -> Result<Module, Failure> {
        if let Some(fit) = search.bare {
            return self.take_file(module, fit).await;
        }
        if search.problems.is_empty() {
            module.symbols = Symbols::NotFound(self.where_looked());
            return Ok(module);
        }
        if let Some(mut fit) = search.refused.filter(|_| self.options.trust_symbols) {
            let (name, path) = (&module.found.name, fit.path.display());
            self.say(
                Level::Warning,
                format!(
                    "module {name}: symbols of {path} are shown although {}; they may be wrong",
                    fit.proof
                ),
            );
            fit.proof = format!("nothing: {}; trusted because you said so", fit.proof);
            return self.take_file(module, fit).await;
        }
        let more = search.problems.len().saturating_sub(MOST_TOLD);
        search.problems.truncate(MOST_TOLD);
        if more > 0 {
            search.problems.push(format!("and {more} more"));
        }
        let why = search.problems.join("; ");
        let how = "--module-path DIR adds a place that is looked at first, trust-symbols uses it all the same";
        module.symbols = Symbols::WrongBuild(format!("{why}; {how}"));
        Ok(module)
    }

    /// News of a file. Says whether there is more to do now.
    pub(in crate::session) fn module_news(&mut self, ticket: u64, news: ModuleNews) -> bool {
        match news {
            ModuleNews::Found(found) => {
                let mut searches = self.modules.iter_mut().filter_map(|m| m.search.as_mut());
                let waits = |search: &&mut Search| search.ticket == ticket && search.hunt.is_none();
                let Some(search) = searches.find(waits) else { return false };
                search.found = Some(match *found {
                    Ok((hunt, found)) => {
                        search.hunt = Some(hunt);
                        Ok(found)
                    }
                    Err(why) => Err(why),
                });
                true
            }
            ModuleNews::Progress(part) => {
                self.module_progress(ticket, part);
                false
            }
            ModuleNews::Read(read) => self.module_read(ticket, read),
        }
    }

    /// Goes on with modules whose files have been opened meanwhile. The guest
    /// is stopped.
    pub(in crate::session) async fn go_on_with_modules(&mut self) -> Result<(), Failure> {
        self.place_wishes_again();
        let ready = |module: &Module| module.search.as_ref().is_some_and(|s| s.found.is_some());
        while let Some(at) = self.modules.iter().position(ready) {
            let module = self.search_file(self.modules[at].clone()).await?;
            self.modules[at] = module;
            self.touch();
        }
        Ok(())
    }

    /// Looks again for files that were not found, or not the right ones: they
    /// may be there now, or be trusted.
    pub(in crate::session) async fn look_for_files_again(&mut self) -> Result<(), Failure> {
        for at in 0..self.modules.len() {
            let module = &self.modules[at];
            let lacks = matches!(module.symbols, Symbols::NotFound(_) | Symbols::WrongBuild(_));
            // One given by hand is known by name only.
            if lacks && module.found.addr != Default::default() {
                let found = module.found.clone();
                self.modules[at] = self.place_module(found).await?;
                self.touch();
            }
        }
        Ok(())
    }
}
