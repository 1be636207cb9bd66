//! Section addresses that the user has already (`--sections`, `sections`, and
//! [`added`](super::added) files).
//!
//! Where the guest's memory tells, it is right: what was given is compared with
//! it, and a difference is told. Where it does not (no `sect_attrs`, a vmlinux
//! without types), the file is proven by the build-id note at the given address,
//! and again at each stop, because nothing else tells that the module is gone.
//! Given sections are kept for the whole session.

use super::{FileFacts, Module, Symbols, guest};
use crate::base::addr::Addr;
use crate::kernel::{
    module_identity::{self, Verdict},
    module_sections::{self, NOTE, Section},
    sections_file,
};
use crate::session::{
    answer::{Answer, Failure},
    request::Level,
    run::Session,
};
use crate::symbols::image::DebugImage;
use std::{
    path::{Path, PathBuf},
    sync::{Arc, atomic::AtomicBool},
};

/// What was given for one module.
#[derive(Clone, Debug)]
pub struct Given {
    pub(super) name: String,
    /// The .ko, where it was named.
    pub(super) file: Option<PathBuf>,
    sections: Vec<Section>,
    /// Where it is from, in words.
    from: String,
    /// The file that was proven, or is used without a guest.
    proven: Option<(PathBuf, Arc<DebugImage>)>,
    /// What was said about it last; nothing is said twice.
    said: String,
}

impl Given {
    pub(super) fn new(
        name: String,
        file: Option<PathBuf>,
        sections: Vec<Section>,
        from: String,
    ) -> Given {
        Given { name, file, sections, from, proven: None, said: String::new() }
    }

    fn base(&self) -> Option<Addr> {
        self.sections.iter().find(|section| section.name == ".text").map(|section| section.addr)
    }
}

impl Session {
    /// `--sections`.
    pub(in crate::session) async fn take_sections_of_options(&mut self) {
        for path in self.options.sections.clone() {
            match self.take_sections(&path).await {
                Ok(Answer::Text { text }) => self.say(Level::Info, text),
                Ok(_) => {}
                Err(failure) => self.say(Level::Error, failure.to_string()),
            }
        }
    }

    /// `sections PATH`.
    pub(in crate::session) async fn take_sections(
        &mut self,
        path: &Path,
    ) -> Result<Answer, Failure> {
        let fail = |why: String| Failure::Other(format!("{}: {why}", path.display()));
        let found = sections_file::read(path).map_err(|error| fail(error.to_string()))?;
        let mut told = Vec::new();
        for module in found {
            let name = module.module.ok_or_else(|| {
                fail("it does not tell the module's name; call the file NAME.sections".into())
            })?;
            let file = module.file.filter(|file| file.exists());
            let from = path.display().to_string();
            told.push(self.give(Given::new(name, file, module.sections, from)).await?);
        }
        Ok(Answer::Text { text: told.join("\n") })
    }

    /// The file that was named for a module.
    pub(super) fn given_file(&self, name: &str) -> Option<PathBuf> {
        self.given.iter().find(|given| given.name == name)?.file.clone()
    }

    /// Keeps what was given and uses it, as far as that is possible now. Tells
    /// what became of it.
    pub(super) async fn give(&mut self, given: Given) -> Result<String, Failure> {
        let (name, count) = (given.name.clone(), given.sections.len());
        self.given.retain(|known| known.name != name);
        self.given.push(given);
        let at = self.given.len() - 1;
        if self.is_offline() {
            self.prove_given(at, false).await?;
        } else if self.need_stopped().is_ok() && self.guest_symbols().vmlinux().is_some() {
            if let Err(failure) = self.use_named_file(&name).await {
                self.given.remove(at);
                return Err(failure);
            }
            self.settle_given(at).await?;
        } else {
            return Ok(format!(
                "{name}: {count} sections; they are used once the guest is stopped and the file is proven to be the module's"
            ));
        }
        self.resolve_given().await?;
        self.outcome(&name, count)
    }

    /// A file that was named for a module of the guest is used when it is proven,
    /// also where another was found.
    async fn use_named_file(&mut self, name: &str) -> Result<(), Failure> {
        let Some((file, at)) = self.given_file(name).zip(self.in_guest(name)) else {
            return Ok(());
        };
        let module = self.modules[at].clone();
        if module.path.as_ref() == Some(&file) {
            return Ok(());
        }
        let fail = |why: String| Failure::Other(format!("{}: {why}", file.display()));
        let image = self.open_given(&file).await.map_err(Failure::Other)?;
        if let Some(sections) = self.sections_of_guest(&module).await? {
            self.judge(&image, &module.found, &sections).await?.map_err(fail)?;
            self.modules[at] = self.place_module(module.found).await?;
        }
        Ok(())
    }

    /// What became of a module, in a sentence; an error when it has no symbols.
    fn outcome(&self, name: &str, count: usize) -> Result<String, Failure> {
        let Some(module) = self.modules.iter().find(|module| module.found.name == name) else {
            let said = self.given.iter().find(|given| given.name == name).map(|g| g.said.clone());
            return Ok(said.unwrap_or_default());
        };
        let view = module.view();
        let path = view.path.map_or(String::new(), |path| format!(" from {}", path.display()));
        let why = view.why.map_or(String::new(), |why| format!(": {why}"));
        let text = format!("{name}: symbols {}{path}{why}", view.symbols);
        match view.symbols {
            "loaded" | "loading" | "no debug info" => Ok(format!("{text}, {count} sections")),
            _ => Err(Failure::Other(text)),
        }
    }

    /// Places may have come or gone.
    pub(super) async fn resolve_given(&mut self) -> Result<(), Failure> {
        self.resolve_pending();
        if self.need_stopped().is_ok() {
            self.reconcile().await?;
            self.first_frame();
            self.panes.restart(self.options.eager);
        }
        self.touch();
        Ok(())
    }

    /// Looks at all that was given again. The guest is stopped, and its own list
    /// of modules was read.
    pub(in crate::session) async fn go_on_with_given(&mut self) -> Result<(), Failure> {
        for at in 0..self.given.len() {
            self.settle_given(at).await?;
        }
        Ok(())
    }

    /// Looks at what was given for modules that the guest lists: one was placed.
    pub(super) async fn go_on_with_listed(&mut self) -> Result<(), Failure> {
        for at in 0..self.given.len() {
            if self.in_guest(&self.given[at].name).is_some() {
                self.settle_given(at).await?;
            }
        }
        Ok(())
    }

    /// The place of a module that the guest lists.
    fn in_guest(&self, name: &str) -> Option<usize> {
        let own = |module: &Module| module.found.name == name && module.found.addr.0 != 0;
        self.modules.iter().position(own)
    }

    /// The place of a module that is known by hand alone.
    pub(super) fn by_hand(&self, name: &str) -> Option<usize> {
        let own = |module: &Module| module.found.name == name && module.found.addr.0 == 0;
        self.modules.iter().position(own)
    }

    async fn settle_given(&mut self, at: usize) -> Result<(), Failure> {
        let name = self.given[at].name.clone();
        if self.guest_symbols().vmlinux().is_none() {
            return Ok(());
        }
        match self.in_guest(&name) {
            Some(listed) => {
                let module = self.modules[listed].clone();
                if module.is_loading() {
                    return Ok(());
                }
                match self.sections_of_guest(&module).await? {
                    Some(sections) => self.compare_given(at, &sections),
                    // Its kernel keeps no addresses.
                    None => self.prove_given(at, true).await?,
                }
            }
            None if self.module_mark.is_some() => {
                let from = &self.given[at].from;
                let text = format!(
                    "the guest has no module {name} now; what {from} says of it is not used"
                );
                self.say_once(at, Level::Info, text);
            }
            None => self.prove_given(at, true).await?,
        }
        Ok(())
    }

    /// The section addresses that the guest has; `None` when it does not tell.
    async fn sections_of_guest(
        &mut self,
        module: &Module,
    ) -> Result<Option<Vec<Section>>, Failure> {
        if !module.sections.is_empty() {
            return Ok(Some(module.sections.clone()));
        }
        let Ok(places) = module_sections::Layouts::new(&self.guest_symbols()) else {
            return Ok(None);
        };
        let (places, found) = (Arc::new(places), module.found.clone());
        let read = self
            .compute(move |_, memory| module_sections::sections(memory, &places, &found, None))
            .await?;
        Ok(read.ok())
    }

    /// Tells where the guest's addresses differ.
    fn compare_given(&mut self, at: usize, guests: &[Section]) {
        let given = &self.given[at];
        let differs = given.sections.iter().filter_map(|section| {
            let own = guests.iter().find(|own| own.name == section.name)?;
            (own.addr != section.addr).then_some((section, own.addr))
        });
        let differs: Vec<_> = differs.collect();
        let Some((section, own)) = differs.first() else { return };
        let more = match differs.len() - 1 {
            0 => String::new(),
            more => format!(", and {more} more differ"),
        };
        let text = format!(
            "{}: {} says {} is at {}, the guest has it at {own}{more}: it is of another load; the guest's are used",
            given.name, given.from, section.name, section.addr
        );
        self.say_once(at, Level::Warning, text);
    }

    fn say_once(&mut self, at: usize, level: Level, text: String) {
        if self.given[at].said != text {
            self.say(level, text.clone());
            self.given[at].said = text;
        }
    }

    /// Finds the file of a module whose addresses only the user knows, proves it
    /// by the note at the given address (not without a guest), and places it.
    async fn prove_given(&mut self, at: usize, guest: bool) -> Result<(), Failure> {
        let given = self.given[at].clone();
        let mut named = given.file.clone();
        if let Some((path, image)) = &given.proven {
            match self.proves(image, &given, guest).await? {
                Ok(_) if self.modules.iter().any(|m| m.found.name == given.name) => return Ok(()),
                // It was gone, and is back at the same place.
                Ok(_) => named = Some(path.clone()),
                Err(why) => {
                    let (name, from) = (&given.name, &given.from);
                    let text = format!(
                        "module {name} is no longer where {from} says ({why}); its symbols are taken away"
                    );
                    self.forget_module(name);
                    self.say_once(at, Level::Warning, text);
                    return Ok(());
                }
            }
        }
        let candidates = match named {
            Some(file) => vec![file],
            None => self.module_candidates(&given.name).await,
        };
        let mut state = Symbols::NotFound(self.where_looked());
        let mut problems = Vec::new();
        let mut path = None;
        let mut file_facts = FileFacts::default();
        for file in candidates {
            let image = match self.open_given(&file).await {
                Ok(image) => image,
                Err(why) => {
                    problems.push(why);
                    continue;
                }
            };
            match self.proves(&image, &given, guest).await? {
                Ok(proof) => {
                    file_facts.proven_by = Some(proof);
                    state = self.put(&given.name, &file, Arc::clone(&image), &given.sections).await;
                    self.given[at].proven = Some((file.clone(), image));
                    self.given[at].said.clear();
                    path = Some(file);
                    break;
                }
                Err(why) => problems.push(format!("{}: {why}", file.display())),
            }
        }
        if path.is_none() && !problems.is_empty() {
            let has_note = given.sections.iter().any(|section| section.name == NOTE);
            let why = problems.join("; ");
            state = if has_note { Symbols::WrongBuild(why) } else { Symbols::Failed(why) };
        }
        if let Symbols::WrongBuild(why) | Symbols::Failed(why) | Symbols::NotFound(why) = &state {
            let text = format!("{}: {why}", given.name);
            self.say_once(at, Level::Warning, text);
        }
        let found = self.found_by_hand(&given);
        let sections = given.sections;
        let module = Module {
            found,
            sections,
            symbols: state,
            path,
            usage: None,
            search: None,
            file: file_facts,
        };
        match self.modules.iter().position(|known| known.found.name == given.name) {
            Some(known) => self.modules[known] = module,
            None => self.modules.push(module),
        }
        self.touch();
        Ok(())
    }

    /// What the guest says of a module, or what there is without that.
    fn found_by_hand(&self, given: &Given) -> guest::Module {
        match self.in_guest(&given.name) {
            Some(listed) => self.modules[listed].found.clone(),
            None => guest::Module {
                name: given.name.clone(),
                // Not known: the guest's list is not, either.
                addr: Addr::default(),
                state: guest::State::Live,
                base: given.base(),
                size: None,
                memory: Vec::new(),
            },
        }
    }

    /// What proves that a file is what the guest has at these addresses, or why
    /// it is not.
    async fn proves(
        &mut self,
        image: &Arc<DebugImage>,
        given: &Given,
        guest: bool,
    ) -> Result<Result<String, String>, Failure> {
        if !guest {
            return Ok(Ok("nothing: there is no guest".into()));
        }
        let module = self.found_by_hand(given);
        let has_note = given.sections.iter().any(|section| section.name == NOTE);
        if has_note || module.addr.0 != 0 {
            return self.judge(image, &module, &given.sections).await;
        }
        if self.options.trust_symbols {
            return Ok(Ok("nothing; trusted because you said so".into()));
        }
        Ok(Err(format!(
            "it can't be proven to be the guest's, because the address of {NOTE} was not given; give it too, or override with: trust-symbols"
        )))
    }

    /// The same, by what the guest's memory has.
    async fn judge(
        &mut self,
        image: &Arc<DebugImage>,
        module: &guest::Module,
        sections: &[Section],
    ) -> Result<Result<String, String>, Failure> {
        let (image, module, sections) = (Arc::clone(image), module.clone(), sections.to_vec());
        let verdict = self
            .compute(move |symbols, memory| {
                module_identity::judge(symbols, memory, &module, &sections, image.image())
            })
            .await?;
        Ok(match verdict {
            Ok(Verdict::Proven(proof)) => Ok(proof),
            Ok(Verdict::Other(why) | Verdict::Unknown(why)) => Err(why),
            Err(gap) => Err(gap.to_string()),
        })
    }

    pub(super) async fn open_given(&self, file: &Path) -> Result<Arc<DebugImage>, String> {
        let (path, dirs) = (file.to_path_buf(), self.options.debug_dirs.clone());
        let open = move || DebugImage::open_in(&path, &dirs, &AtomicBool::new(false));
        match self.loader.threads.wait(open).await {
            Some(opened) => opened.map_err(|error| error.to_string()),
            None => Err(format!("opening {} failed inside; please report it", file.display())),
        }
    }
}
