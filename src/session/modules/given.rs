//! Section addresses that the user has already.

use super::{FileFacts, Module, guest};
use crate::base::addr::Addr;
use crate::kernel::sections_file;
use crate::session::{
    answer::{Answer, Failure},
    request::Level,
    run::Session,
};
use crate::symbols::image::DebugImage;
use std::{path::Path, sync::atomic::AtomicBool};

impl Session {
    /// `--sections`: addresses the user has already.
    pub(in crate::session) async fn take_sections_of_options(&mut self) {
        for path in self.options.sections.clone() {
            if let Err(failure) = self.take_sections(&path).await {
                self.say(Level::Error, failure.to_string());
            }
        }
    }

    /// `sections PATH`.
    pub(in crate::session) async fn take_sections(
        &mut self,
        path: &Path,
    ) -> Result<Answer, Failure> {
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
        let symbols = self.put(&name, ko, image, &given.sections).await;
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
                memory: Vec::new(),
            },
            sections: given.sections,
            symbols,
            path: Some(ko.clone()),
            usage: None,
            search: None,
            file: FileFacts::default(),
        });
        self.touch();
        Ok(Answer::Text { text: format!("{name}: symbols from {}", ko.display()) })
    }
}
