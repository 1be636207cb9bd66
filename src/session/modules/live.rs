//! Breakpoints go out of a module before the guest frees it.
//!
//! kgdb keeps a breakpoint in memory that is gone. At the next stop it pokes
//! into it, runs into a BUG inside the debugger, and the guest is lost (seen on
//! 6.1: `text_poke_kgdb` in arch/x86/kernel/alternative.c). So while one is
//! planted in a module, a hidden one is planted where every unload, and every
//! load that failed in `module_init`, comes by before memory is freed.

use crate::base::addr::Addr;
use crate::session::{
    answer::Failure,
    request::Level,
    run::Session,
    step::{Journey, Leg, Plan},
};
use crate::symbols::placed::Symbols;

/// Frees a module, which is its argument (kernel/module/main.c, before 5.19
/// kernel/module.c).
const FREE_MODULE: &str = "free_module";

impl Session {
    /// Where the hidden breakpoint belongs; `None` when none is needed.
    pub(in crate::session) fn unload_guard(&self) -> Option<Addr> {
        let symbols = self.guest_symbols();
        let needed = self.points.wished().any(|site| may_be_freed(&symbols, site));
        needed.then(|| symbols.symbol_addr(FREE_MODULE)).flatten()
    }

    /// Lifts what is planted in a module when the guest stopped at `pc` because
    /// it is about to free it. Says whether that is all the stop was for.
    pub(in crate::session) async fn module_goes(&mut self, pc: Addr) -> Result<bool, Failure> {
        if self.points.guard != Some(pc) || self.points.wish_at(pc).is_some() {
            return Ok(false);
        }
        let addr = Addr(self.register(self.arch().first_argument).await?);
        // One that was given by --sections has no known address.
        let goes = |known: Addr| known == addr || known == Addr::default();
        let modules = self.modules.iter().filter(|module| goes(module.found.addr));
        let names: Vec<String> = modules.map(|module| module.found.name.clone()).collect();
        for name in &names {
            self.forget_module(name);
            self.say(
                Level::Info,
                format!("module {name} is unloaded; breakpoints in it wait until it is back"),
            );
        }
        let symbols = self.guest_symbols();
        for wish in &mut self.points.wishes {
            if wish.sites.iter().any(|site| symbols.symbol_at(site.addr).is_none()) {
                wish.sites.clear();
                wish.pending = Some("its memory may be gone with a module".into());
            }
        }
        self.module_ends = None;
        self.reconcile().await?;
        let journey = self.journey.get_or_insert(Journey {
            plan: Plan::Continue,
            leg: Leg::Free,
            task: None,
        });
        Ok(!self.breaking_in && matches!(journey.leg, Leg::Free | Leg::Sites { .. }))
    }
}

/// Whether an address is in a module, or in memory nobody knows.
fn may_be_freed(symbols: &Symbols, addr: Addr) -> bool {
    symbols.symbol_at(addr).is_none_or(|symbol| symbol.module.is_some())
}
