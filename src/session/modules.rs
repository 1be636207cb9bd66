//! The guest's modules: found in its memory, matched with their .ko files,
//! proven, placed.

use super::{
    answer::{Answer, Failure},
    request::Level,
    run::Session,
    step::Plan,
    view::{Match, ModuleView},
};
use crate::base::{addr::Addr, text};
use crate::image::locate;
use crate::kernel::{
    module_sections::{self, Section},
    modules::{self as guest, Layouts},
    sections_file,
};
use crate::symbols::{image::DebugImage, placed::Placement};
use std::{
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
}

impl Module {
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
                return Ok(Module { found, sections: Vec::new(), symbols, path: None });
            }
        };
        let beside = self.options.vmlinux.clone().unwrap_or_default();
        let candidates = locate::find_module(&found.name, &self.options.module_paths, &beside);
        let mut module =
            Module { found, sections: Vec::new(), symbols: Symbols::Loading, path: None };
        if candidates.is_empty() {
            module.symbols = Symbols::NotFound(self.where_looked(&beside));
            return Ok(module);
        }
        let mut problems = Vec::new();
        for path in candidates {
            let image = match DebugImage::open(&path) {
                Ok(image) => image,
                Err(error) => {
                    problems.push(error.to_string());
                    continue;
                }
            };
            let names = module_sections::expected_names(image.image());
            let (places, guests) = (Arc::clone(&places), module.found.clone());
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
            match self.prove_module(&image, &sections).await? {
                Ok(()) => {
                    module.symbols = self.put(&module.found.name, &path, image, &sections);
                    module.sections = sections;
                    module.path = Some(path);
                    return Ok(module);
                }
                Err(why) => problems.push(format!("{}: {why}", path.display())),
            }
            module.sections = sections;
        }
        module.symbols = Symbols::WrongBuild(problems.join("; "));
        Ok(module)
    }

    fn where_looked(&self, beside: &Path) -> String {
        let beside = beside.parent().filter(|dir| !dir.as_os_str().is_empty());
        let beside = beside.map_or(".".to_string(), |dir| dir.display().to_string());
        let dirs = self.options.module_paths.iter().map(|dir| dir.display().to_string());
        let all: Vec<_> = dirs.chain([beside]).collect();
        format!("no such .ko below {}; --module-path DIR adds a place", all.join(", "))
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
        let size = std::fs::metadata(path).map_or(u64::MAX, |meta| meta.len());
        if size > LOADED_AT_ONCE {
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
    pub(super) fn take_sections_of_options(&mut self) {
        for path in self.options.sections.clone() {
            if let Err(failure) = self.take_sections(&path) {
                self.say(Level::Error, failure.to_string());
            }
        }
    }

    /// `sections PATH`.
    pub(super) fn take_sections(&mut self, path: &Path) -> Result<Answer, Failure> {
        let fail = |why: String| Failure::Other(format!("{}: {why}", path.display()));
        let given = sections_file::read(path).map_err(|error| fail(error.to_string()))?;
        let name = given.module.ok_or_else(|| {
            fail(
                "it does not tell the module's name; name the file or its directory after it"
                    .into(),
            )
        })?;
        let beside = self.options.vmlinux.clone().unwrap_or_default();
        let candidates = locate::find_module(&name, &self.options.module_paths, &beside);
        let ko = candidates.first().ok_or_else(|| fail(self.where_looked(&beside)))?;
        let image = DebugImage::open(ko).map_err(|error| fail(error.to_string()))?;
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
        });
        self.touch();
        Ok(Answer::Text { text: format!("{name}: symbols from {}", ko.display()) })
    }
}
