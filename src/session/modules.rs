//! The guest's modules: found in its memory, matched with their .ko files,
//! proven, placed.

use super::{
    answer::{Answer, Failure},
    module_files::Opening,
    request::Level,
    run::Session,
    step::Plan,
    view::{Match, ModuleView},
};
use crate::base::{addr::Addr, text};
use crate::kernel::{
    module_sections::{self, Section},
    modules::{self as guest, Layouts},
    sections_file,
};
use crate::symbols::{
    image::DebugImage,
    placed::{PER_CPU, Placement},
};
use std::{
    collections::VecDeque,
    path::{Path, PathBuf},
    sync::{Arc, atomic::AtomicBool},
};

/// A .ko up to this size is loaded while the stop is being shown: it takes
/// some ten milliseconds, and a breakpoint in it is placed right away.
const LOADED_AT_ONCE: u64 = 16 << 20;

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

/// How far the search for the file of a module is.
#[derive(Clone, Debug, Default)]
struct Search {
    /// Not looked at yet.
    rest: VecDeque<PathBuf>,
    /// Being opened on a thread.
    waiting: Option<PathBuf>,
    /// Has been opened, or can't be.
    opened: Option<(PathBuf, Result<Arc<DebugImage>, String>)>,
    /// The module, but without debug info.
    bare: Option<(PathBuf, Arc<DebugImage>)>,
    /// What is wrong with those that are not it.
    problems: Vec<String>,
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
        if let Some(problem) = list.problem {
            self.say(Level::Warning, format!("the module list was read in part: {problem}"));
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

    /// Finds the .ko of a module, proves it, and puts its sections where the
    /// guest has them.
    async fn place_module(&mut self, found: guest::Module) -> Result<Module, Failure> {
        let places = match module_sections::Layouts::new(&self.guest_symbols()) {
            Ok(places) => Arc::new(places),
            Err(error) => {
                let symbols = Symbols::Failed(error.to_string());
                let sections = Vec::new();
                return Ok(Module { found, sections, symbols, path: None, search: None });
            }
        };
        let candidates = self.module_candidates(&found.name).await;
        let mut module = Module {
            found,
            sections: Vec::new(),
            symbols: Symbols::Loading,
            path: None,
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
    async fn search_file(
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

    async fn take_file(
        &mut self,
        mut module: Module,
        path: PathBuf,
        image: Arc<DebugImage>,
    ) -> Result<Module, Failure> {
        let mut sections = module.sections.clone();
        if image.image().section(PER_CPU).is_some_and(|section| section.size > 0) {
            let found = module.found.clone();
            let place = self.compute(move |symbols, memory| {
                module_sections::per_cpu(symbols, memory, &found).ok().flatten()
            });
            // Without it only the module's per-CPU variables are nowhere.
            sections.extend(place.await?);
        }
        module.symbols = self.put(&module.found.name, &path, image, &sections);
        module.path = Some(path);
        Ok(module)
    }

    /// A file of a module that took long is open.
    pub(super) fn module_opened(&mut self, path: &Path, image: Result<Arc<DebugImage>, String>) {
        for search in self.modules.iter_mut().filter_map(|module| module.search.as_mut()) {
            if search.waiting.as_deref() == Some(path) {
                search.waiting = None;
                search.opened = Some((path.to_path_buf(), image.clone()));
            }
        }
    }

    /// Goes on with modules whose files have been opened meanwhile. The guest
    /// is stopped.
    pub(super) async fn go_on_with_modules(&mut self) -> Result<(), Failure> {
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
    async fn prove_module(
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

    fn put(
        &mut self,
        name: &str,
        path: &Path,
        image: Arc<DebugImage>,
        sections: &[Section],
    ) -> Symbols {
        let places = sections.iter().map(|s| (s.name.clone(), s.addr)).collect();
        self.code.update(|symbols| {
            symbols.place(name, Arc::clone(&image), Placement::Sections(places));
        });
        if image.image().size() > LOADED_AT_ONCE {
            self.loader.load_dwarf(path, image);
            return Symbols::Loading;
        }
        match image.load_dwarf(&|_| (), &AtomicBool::new(false)) {
            Ok(()) => Symbols::Loaded,
            Err(error) => Symbols::Failed(error.to_string()),
        }
    }

    /// A module's debug info is read.
    pub(super) fn module_loaded(&mut self, path: &Path) {
        for module in self.modules.iter_mut().filter(|m| m.path.as_deref() == Some(path)) {
            module.symbols = Symbols::Loaded;
        }
    }

    /// A module's debug info can't be read.
    pub(super) fn module_failed(&mut self, path: &Path, why: &str) {
        for module in self.modules.iter_mut().filter(|m| m.path.as_deref() == Some(path)) {
            module.symbols = Symbols::Failed(why.to_string());
        }
        self.say(Level::Warning, why.to_string());
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

    /// `--sections`: addresses the user has already.
    pub(super) async fn take_sections_of_options(&mut self) {
        for path in self.options.sections.clone() {
            if let Err(failure) = self.take_sections(&path).await {
                self.say(Level::Error, failure.to_string());
            }
        }
    }

    /// `sections PATH`.
    pub(super) async fn take_sections(&mut self, path: &Path) -> Result<Answer, Failure> {
        let fail = |why: String| Failure::Other(format!("{}: {why}", path.display()));
        let given = sections_file::read(path).map_err(|error| fail(error.to_string()))?;
        let name = given.module.ok_or_else(|| {
            fail(
                "it does not tell the module's name; name the file or its directory after it"
                    .into(),
            )
        })?;
        let candidates = self.module_candidates(&name).await;
        let ko = candidates.first().ok_or_else(|| fail(self.where_looked()))?;
        let image = DebugImage::open_in(ko, &self.options.debug_dirs, &AtomicBool::new(false))
            .map_err(|error| fail(error.to_string()))?;
        let symbols = self.put(&name, ko, image, &given.sections);
        let base = given.sections.iter().find(|s| s.name == ".text").map(|s| s.addr);
        self.modules.retain(|module| module.found.name != name);
        self.modules.push(Module {
            found: guest::Module {
                name: name.clone(),
                // Not known; the next look at the guest's list finds it.
                addr: Addr::default(),
                state: guest::State::Live,
                base,
                size: None,
            },
            sections: given.sections,
            symbols,
            path: Some(ko.clone()),
            search: None,
        });
        self.touch();
        Ok(Answer::Text { text: format!("{name}: symbols from {}", ko.display()) })
    }
}
