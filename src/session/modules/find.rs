//! The file of a module: of those that have its name, the one whose build-id the
//! guest's module has.

use super::{Module, Symbols, files::Opening};
use crate::base::text;
use crate::kernel::{
    module_sections::{self, Section},
    modules as guest,
};
use crate::session::{answer::Failure, run::Session};
use crate::symbols::image::DebugImage;
use std::{
    collections::VecDeque,
    path::{Path, PathBuf},
    sync::Arc,
};

/// How far the search for the file of a module is.
#[derive(Clone, Debug, Default)]
pub(super) struct Search {
    /// Not looked at yet.
    pub(super) rest: VecDeque<PathBuf>,
    /// Being opened on a thread.
    pub(super) waiting: Option<PathBuf>,
    /// Has been opened, or can't be.
    pub(super) opened: Option<(PathBuf, Result<Arc<DebugImage>, String>)>,
    /// The module, but without debug info.
    pub(super) bare: Option<(PathBuf, Arc<DebugImage>)>,
    /// What is wrong with those that are not it.
    pub(super) problems: Vec<String>,
}

impl Session {
    /// Finds the .ko of a module, proves it, and puts its sections where the
    /// guest has them.
    pub(super) async fn place_module(&mut self, found: guest::Module) -> Result<Module, Failure> {
        let places = match module_sections::Layouts::new(&self.guest_symbols()) {
            Ok(places) => Arc::new(places),
            Err(error) => {
                let symbols = Symbols::Failed(error.to_string());
                let sections = Vec::new();
                let (path, usage, search) = (None, None, None);
                return Ok(Module { found, sections, symbols, path, usage, search });
            }
        };
        let candidates = self.module_candidates(&found.name).await;
        let mut module = Module {
            found,
            sections: Vec::new(),
            symbols: Symbols::Loading,
            path: None,
            usage: None,
            search: None,
        };
        if candidates.is_empty() {
            module.symbols = Symbols::NotFound(self.where_looked());
            return Ok(module);
        }
        module.search = Some(Search { rest: candidates.into(), ..Search::default() });
        self.search_file(module, &places).await
    }

    /// Tries the files that may be the module, until one is proven to be it or
    /// has to be waited for.
    pub(super) async fn search_file(
        &mut self,
        mut module: Module,
        places: &Arc<module_sections::Layouts>,
    ) -> Result<Module, Failure> {
        let Some(mut search) = module.search.take() else { return Ok(module) };
        loop {
            let (path, image) = match search.opened.take() {
                Some((path, Ok(image))) => (path, image),
                Some((_, Err(why))) => {
                    search.problems.push(why);
                    continue;
                }
                None => {
                    let Some(path) = search.rest.pop_front() else { break };
                    match self.open_module(&path).await {
                        Opening::Now(image) => (path, image),
                        Opening::Never(why) => {
                            search.problems.push(why);
                            continue;
                        }
                        Opening::Later => {
                            search.waiting = Some(path);
                            module.symbols = Symbols::Loading;
                            module.search = Some(search);
                            return Ok(module);
                        }
                    }
                }
            };
            let names = module_sections::expected_names(image.image());
            let (places, guests) = (Arc::clone(places), module.found.clone());
            let sections = self
                .compute(move |_, memory| {
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
            let proven = self.prove_module(&image, &sections).await?;
            module.sections = sections;
            match proven {
                Ok(()) if image.image().has_dwarf() => {
                    return self.take_file(module, path, image).await;
                }
                // Better than none, but another place may have its debug info.
                Ok(()) => search.bare = search.bare.or(Some((path, image))),
                Err(why) => search.problems.push(format!("{}: {why}", path.display())),
            }
        }
        if let Some((path, image)) = search.bare {
            return self.take_file(module, path, image).await;
        }
        module.symbols = Symbols::WrongBuild(search.problems.join("; "));
        Ok(module)
    }

    /// A file of a module that took long is open.
    pub(in crate::session) fn module_opened(
        &mut self,
        path: &Path,
        image: Result<Arc<DebugImage>, String>,
    ) {
        for search in self.modules.iter_mut().filter_map(|module| module.search.as_mut()) {
            if search.waiting.as_deref() == Some(path) {
                search.waiting = None;
                search.opened = Some((path.to_path_buf(), image.clone()));
            }
        }
    }

    /// Goes on with modules whose files have been opened meanwhile. The guest
    /// is stopped.
    pub(in crate::session) async fn go_on_with_modules(&mut self) -> Result<(), Failure> {
        let ready = |module: &Module| module.search.as_ref().is_some_and(|s| s.opened.is_some());
        while let Some(at) = self.modules.iter().position(ready) {
            let places = match module_sections::Layouts::new(&self.guest_symbols()) {
                Ok(places) => Arc::new(places),
                Err(error) => {
                    self.modules[at].symbols = Symbols::Failed(error.to_string());
                    self.modules[at].search = None;
                    continue;
                }
            };
            let module = self.search_file(self.modules[at].clone(), &places).await?;
            self.modules[at] = module;
            self.touch();
        }
        Ok(())
    }

    /// Compares the build-id note of the loaded module with the file's.
    pub(super) async fn prove_module(
        &mut self,
        image: &DebugImage,
        sections: &[Section],
    ) -> Result<Result<(), String>, Failure> {
        let Some(file_id) = image.image().build_id() else {
            return Ok(Err("the file has no build-id to prove it by".into()));
        };
        let known = sections.to_vec();
        let read = self.compute(move |_, memory| module_sections::build_id(memory, &known)).await?;
        Ok(match read {
            Ok(Some(id)) if id == file_id => Ok(()),
            Ok(Some(id)) => Err(format!(
                "its build-id is {}, the guest's is {}",
                text::hex(file_id),
                text::hex(&id)
            )),
            Ok(None) => Err("the guest does not tell the module's build-id".into()),
            Err(gap) => Err(gap.to_string()),
        })
    }
}
