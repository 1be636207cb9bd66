//! What is read of a module only because somebody asked: who uses it, and all
//! that `info module` tells.

use crate::kernel::{
    module_usage::{self, Layouts as UsageLayouts},
    modules as guest,
};
use crate::session::{
    answer::{Answer, Failure},
    run::Session,
};
use std::sync::Arc;

/// Modules of which the use is read in one round: so long a request of the
/// user waits at most.
const AT_ONCE: usize = 4;

impl Session {
    /// One round for the pane of modules; false when it has all it wants.
    pub(in crate::session) async fn modules_round(&mut self) -> Result<bool, Failure> {
        if !self.panes.wants.modules {
            return Ok(false);
        }
        let more = self.read_usage(AT_ONCE).await?;
        let views = self.modules.iter().map(|module| module.view()).collect();
        if let Some(stop) = &mut self.stop {
            stop.supplied.modules = Some(views);
        }
        Ok(more)
    }

    /// Reads the use of so many modules that lack it; says whether there are
    /// more.
    pub(in crate::session) async fn read_usage(&mut self, most: usize) -> Result<bool, Failure> {
        let Ok(layouts) = UsageLayouts::new(&self.guest_symbols()) else { return Ok(false) };
        let layouts = Arc::new(layouts);
        let known: Arc<Vec<guest::Module>> =
            Arc::new(self.modules.iter().map(|module| module.found.clone()).collect());
        // One that was given by hand has no known address.
        let lacks = |module: &super::Module| module.usage.is_none() && module.found.addr.0 != 0;
        let wanted: Vec<guest::Module> = (self.modules.iter().filter(|module| lacks(module)))
            .map(|module| module.found.clone())
            .collect();
        for found in wanted.iter().take(most) {
            let (layouts, known, module) =
                (Arc::clone(&layouts), Arc::clone(&known), found.clone());
            let usage = self
                .compute(move |symbols, memory| {
                    module_usage::usage(symbols, memory, &layouts, &module, &known)
                })
                .await?;
            let usage = usage.unwrap_or_else(|error| module_usage::Usage {
                trouble: Some(error.to_string()),
                ..module_usage::Usage::default()
            });
            if let Some(module) = self.modules.iter_mut().find(|m| m.found.addr == found.addr) {
                module.usage = Some(usage);
            }
        }
        Ok(wanted.len() > most)
    }

    /// `info module`.
    pub(in crate::session) async fn module_details(
        &mut self,
        name: &str,
    ) -> Result<Answer, Failure> {
        self.need_stopped()?;
        let _ = name;
        Err(Failure::Other("not yet".into()))
    }
}
