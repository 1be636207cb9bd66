//! What is read of a module only because somebody asked: who uses it, and all
//! that `info module` tells.

use super::Module;
use crate::base::{addr::Addr, text};
use crate::kernel::{
    KernelError,
    module_facts::{self, Facts},
    module_layout::Expected,
    module_params::{self, Parameter},
    module_sections::{self, Presence, Section},
    module_usage::{self, Layouts as UsageLayouts, Usage},
    modules as guest,
};
use crate::session::{
    answer::{Answer, Failure},
    module_answer::{FunctionAnswer, MemoryAnswer, ModuleAnswer, ParameterAnswer, SectionAnswer},
    run::Session,
};
use crate::symbols::{
    image::DebugImage,
    placed::{Placement, Symbols as Placed},
};
use std::sync::Arc;

/// Modules of which the use is read in one round: so long a request of the
/// user waits at most.
const AT_ONCE: usize = 4;

/// A module as the guest's memory has it.
struct Read {
    facts: Result<Facts, KernelError>,
    usage: Result<Usage, KernelError>,
    uses: Result<(Vec<String>, Option<String>), KernelError>,
    sections: Result<Vec<(Section, Presence)>, KernelError>,
    per_cpu: Result<Option<Section>, KernelError>,
    build_id: Result<Option<Vec<u8>>, KernelError>,
    parameters: Result<Vec<Parameter>, KernelError>,
}

impl Session {
    /// One round for the pane of modules; false when it has all it wants.
    pub(in crate::session) async fn modules_round(&mut self) -> Result<bool, Failure> {
        if !self.panes.wants.modules {
            return Ok(false);
        }
        self.read_usage(AT_ONCE).await
    }

    /// There is a new stop: how modules are used may be different.
    pub(in crate::session) fn forget_usage(&mut self) {
        for module in &mut self.modules {
            module.usage = None;
        }
    }

    /// Reads the use of so many modules that lack it; says whether there are
    /// more.
    pub(in crate::session) async fn read_usage(&mut self, most: usize) -> Result<bool, Failure> {
        let Ok(layouts) = UsageLayouts::new(&self.guest_symbols()) else { return Ok(false) };
        let layouts = Arc::new(layouts);
        let known = self.guests_modules();
        // One that was given by hand has no known address.
        let lacks = |module: &&Module| module.usage.is_none() && module.found.addr.0 != 0;
        let lacking = self.modules.iter().filter(lacks).map(|module| module.found.clone());
        let wanted: Vec<guest::Module> = lacking.collect();
        for found in wanted.iter().take(most) {
            let (layouts, known, module) =
                (Arc::clone(&layouts), Arc::clone(&known), found.clone());
            let usage = self
                .compute(move |symbols, memory| {
                    module_usage::usage(symbols, memory, &layouts, &module, &known)
                })
                .await?;
            let usage = usage.unwrap_or_else(|error| Usage {
                trouble: Some(error.to_string()),
                ..Usage::default()
            });
            if let Some(trouble) = &usage.trouble {
                self.tell_troubles(vec![format!("{}: {trouble}", found.name)]);
            }
            if let Some(module) = self.modules.iter_mut().find(|m| m.found.addr == found.addr) {
                module.usage = Some(usage);
            }
        }
        Ok(wanted.len() > most)
    }

    fn guests_modules(&self) -> Arc<Vec<guest::Module>> {
        Arc::new(self.modules.iter().map(|module| module.found.clone()).collect())
    }

    /// `info module`.
    pub(in crate::session) async fn module_details(
        &mut self,
        name: &str,
    ) -> Result<Answer, Failure> {
        self.need_stopped()?;
        self.look_for_new_modules(&None).await?;
        // As insmod, which takes the file's name for the module's.
        let wanted = name.trim_end_matches(".ko").replace('-', "_");
        let module = self.modules.iter().find(|module| module.found.name == wanted).cloned();
        let module = module.ok_or_else(|| {
            Failure::Other(format!("the guest has no module {wanted}; info modules lists them"))
        })?;
        if module.found.addr.0 == 0 {
            return Err(Failure::Other(format!(
                "only the sections of {wanted} are known, which were given by hand"
            )));
        }
        let image = self.image_of(&module);
        let read = self.read_all(&module, image.as_deref()).await?;
        Ok(Answer::Module(Box::new(answer(&module, read, image))))
    }

    /// The file of a module that is in use, and so is proven to be it.
    fn image_of(&self, module: &Module) -> Option<Arc<DebugImage>> {
        let symbols = self.code.symbols();
        let mut images = symbols.images();
        let placed = images.find(|placed| placed.name == module.found.name)?;
        module.path.as_ref().map(|_| Arc::clone(&placed.image))
    }

    async fn read_all(
        &mut self,
        module: &Module,
        image: Option<&DebugImage>,
    ) -> Result<Read, Failure> {
        let symbols = self.guest_symbols();
        let other = |error: KernelError| Failure::Other(error.to_string());
        let usage = Arc::new(UsageLayouts::new(&symbols).map_err(other)?);
        let places = module_sections::Layouts::new(&symbols).map(Arc::new);
        let (known, found) = (self.guests_modules(), module.found.clone());
        let expected = image.map(|image| Expected::new(image.image()));
        self.compute(move |symbols, memory| {
            let sections = places.clone().and_then(|places| {
                module_sections::all_sections(memory, &places, &found, expected.as_ref())
            });
            let there = |(section, presence): &(Section, Presence)| {
                (*presence == Presence::Loaded).then(|| section.clone())
            };
            let loaded: Vec<Section> = sections.iter().flatten().filter_map(there).collect();
            Read {
                facts: module_facts::facts(symbols, memory, &found),
                usage: module_usage::usage(symbols, memory, &usage, &found, &known),
                uses: usage.used(memory, &found, &known),
                per_cpu: module_sections::per_cpu(symbols, memory, &found),
                build_id: module_sections::build_id(memory, &loaded).map_err(Into::into),
                parameters: module_params::parameters(symbols, memory, &found),
                sections,
            }
        })
        .await
    }
}

/// What was read, as it is told; what failed is told among the troubles.
fn answer(module: &Module, read: Read, image: Option<Arc<DebugImage>>) -> ModuleAnswer {
    let mut troubles = Vec::new();
    let facts = or_trouble(&mut troubles, "versions", read.facts);
    let usage = or_trouble(&mut troubles, "use", read.usage);
    let (uses, trouble) = or_trouble(&mut troubles, "used modules", read.uses);
    troubles.extend(usage.trouble.iter().chain(&trouble).cloned());
    let sections = or_trouble(&mut troubles, "sections", read.sections);
    let nowhere = sections.iter().filter(|(_, presence)| *presence == Presence::Nowhere);
    let nowhere: Vec<&str> = nowhere.map(|(section, _)| section.name.as_str()).collect();
    if !nowhere.is_empty() {
        let names = nowhere.join(", ");
        troubles.push(format!("not in the module's memory, and not used: {names}"));
    }
    let names = image.map(|image| with_all(&module.found.name, image, &sections));
    let function = |addr: Addr| {
        let gone = sections_gone(&sections) && !in_memory(&module.found, addr);
        let name = names.as_ref().and_then(|symbols| name_of(symbols, addr));
        FunctionAnswer { address: addr, name, gone }
    };
    let per_cpu = or_trouble(&mut troubles, "per-CPU variables", read.per_cpu);
    let build_id = or_trouble(&mut troubles, "build-id", read.build_id);
    let parameters = or_trouble(&mut troubles, "parameters", read.parameters);
    let view = module.view();
    ModuleAnswer {
        name: view.name,
        address: module.found.addr,
        state: view.state,
        memory: module.found.memory.iter().map(piece).collect(),
        refs: usage.refs,
        permanent: usage.permanent,
        used_by: usage.users,
        uses,
        taints: usage.taints,
        version: facts.version,
        srcversion: facts.srcversion,
        build_id: build_id.map(|id| text::hex(&id)),
        init: facts.init.map(function),
        exit: facts.exit.map(function),
        sections: (sections.iter().map(section))
            .chain(per_cpu.map(|section| SectionAnswer {
                name: section.name,
                address: section.addr,
                state: "per-cpu",
            }))
            .collect(),
        parameters: parameters.into_iter().map(parameter).collect(),
        symbols: view.symbols,
        path: view.path,
        proven_by: view.proven_by,
        why: view.why,
        troubles,
    }
}

fn or_trouble<T: Default>(
    troubles: &mut Vec<String>,
    what: &str,
    result: Result<T, KernelError>,
) -> T {
    result.unwrap_or_else(|error| {
        troubles.push(format!("{what}: {error}"));
        T::default()
    })
}

fn sections_gone(sections: &[(Section, Presence)]) -> bool {
    sections.iter().any(|(_, presence)| *presence == Presence::Gone)
}

fn in_memory(module: &guest::Module, addr: Addr) -> bool {
    module.memory.iter().any(|piece| piece.contains(addr))
}

/// The module's symbols with also what is gone at its place, for the name of a
/// function that ran there.
fn with_all(name: &str, image: Arc<DebugImage>, sections: &[(Section, Presence)]) -> Placed {
    let was = sections.iter().filter(|(_, presence)| *presence != Presence::Nowhere);
    let places = was.map(|(section, _)| (section.name.clone(), section.addr)).collect();
    let mut symbols = Placed::new();
    symbols.place(name, image, Placement::Sections(places));
    symbols
}

/// The function at an address: `module_init` gives it a second name
/// (include/linux/module.h), which says nothing.
fn name_of(symbols: &Placed, addr: Addr) -> Option<String> {
    let (names, _) = symbols.symbols_at(addr)?;
    let names = || names.iter().filter(|symbol| symbol.start == addr);
    let said = |name: &&str| !matches!(*name, "init_module" | "cleanup_module");
    let all = || names().map(|symbol| symbol.name.as_str());
    all().find(said).or_else(|| all().next()).map(str::to_string)
}

fn piece(piece: &crate::kernel::module_memory::Piece) -> MemoryAnswer {
    let (what, start, size, text) = (piece.kind.word(), piece.start, piece.size, piece.text);
    MemoryAnswer { what, start, size, text }
}

fn section((section, presence): &(Section, Presence)) -> SectionAnswer {
    let state = match presence {
        Presence::Loaded => "loaded",
        Presence::Gone => "gone",
        Presence::Nowhere => "nowhere",
    };
    SectionAnswer { name: section.name.clone(), address: section.addr, state }
}

fn parameter(parameter: Parameter) -> ParameterAnswer {
    let (value, why) = match parameter.value {
        Ok(value) => (Some(value), None),
        Err(why) => (None, Some(why)),
    };
    let mode = format!("{:04o}", parameter.mode);
    ParameterAnswer { name: parameter.name, type_name: parameter.type_name, value, why, mode }
}
