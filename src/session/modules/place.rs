//! Puts a module's sections where the guest has them, and loads its symbols.

use super::{Module, Symbols};
use crate::kernel::module_sections::{self, Section};
use crate::session::{answer::Failure, request::Level, run::Session};
use crate::symbols::{
    image::DebugImage,
    placed::{PER_CPU, Placement},
};
use std::{
    path::{Path, PathBuf},
    sync::{Arc, atomic::AtomicBool},
};

/// A .ko up to this size is loaded while the stop is being shown: it takes
/// some ten milliseconds, and a breakpoint in it is placed right away.
const LOADED_AT_ONCE: u64 = 16 << 20;

impl Session {
    pub(super) async fn take_file(
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

    pub(super) fn put(
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
    pub(in crate::session) fn module_loaded(&mut self, path: &Path) {
        for module in self.modules.iter_mut().filter(|m| m.path.as_deref() == Some(path)) {
            module.symbols = Symbols::Loaded;
        }
    }

    /// A module's debug info can't be read.
    pub(in crate::session) fn module_failed(&mut self, path: &Path, why: &str) {
        for module in self.modules.iter_mut().filter(|m| m.path.as_deref() == Some(path)) {
            module.symbols = Symbols::Failed(why.to_string());
        }
        self.say(Level::Warning, why.to_string());
    }
}
