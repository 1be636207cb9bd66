//! Modules are placed one after another between the user's requests: the
//! addresses of one take some ten packets, a guest may have a hundred, and on a
//! slow line that is half a minute in which a key must still work.

use super::{Module, Symbols, guest};
use crate::base::addr::Addr;
use crate::session::{answer::Failure, request::Level, run::Session, wish::Wish};

impl Module {
    /// Whether it waits for its turn.
    fn waits(&self) -> bool {
        self.search.as_ref().is_some_and(super::Search::is_new)
    }

    /// Whether its code may be at an address.
    pub(in crate::session) fn has(&self, addr: Addr) -> bool {
        let Some((base, size)) = self.found.base.zip(self.found.size) else { return false };
        addr.since(base) < size
    }
}

impl Session {
    /// Whether a module can't wait: a script goes on with its next command, one
    /// that is coming is about to run its init, and one that the guest is in is
    /// what the user looks at.
    pub(super) fn is_wanted_now(&self, found: &guest::Module) -> bool {
        let stands_in = || {
            let inside = |(base, size), pc: Addr| pc.since(base) < size;
            let extent = found.base.zip(found.size);
            extent.zip(self.pc().ok()).is_some_and(|(extent, pc)| inside(extent, pc))
        };
        !self.options.eager || found.state != guest::State::Live || stands_in()
    }

    /// The module that has to be placed next.
    fn next_module(&self) -> Option<usize> {
        let in_the_way = self.module_in_the_way();
        in_the_way.or_else(|| self.modules.iter().position(Module::waits))
    }

    /// Whether there is one.
    pub(in crate::session) fn has_modules_to_place(&self) -> bool {
        self.next_module().is_some()
    }

    /// A module that waits although the stack that is shown leads through it.
    pub(in crate::session) fn module_in_the_way(&self) -> Option<usize> {
        let frames = self.stop.iter().flat_map(|stop| &stop.frames);
        let unknown = frames.filter(|frame| frame.function.is_none());
        let pcs: Vec<Addr> = unknown.map(|frame| frame.pc).collect();
        let is_in_the_way = |m: &Module| m.waits() && pcs.iter().any(|pc| m.has(*pc));
        self.modules.iter().position(is_in_the_way)
    }

    /// Places one module.
    pub(in crate::session) async fn module_round(&mut self) {
        if let Err(failure) = self.place_next().await
            && self.wire.is_open()
        {
            self.say(Level::Warning, failure.to_string());
        }
        self.after_module().await;
        self.publish_cost();
    }

    async fn place_next(&mut self) -> Result<(), Failure> {
        let Some(at) = self.next_module() else { return Ok(()) };
        match self.search_file(self.modules[at].clone()).await {
            Ok(module) => self.modules[at] = module,
            Err(failure) => {
                // Not again and again; what was in the way is said.
                self.modules[at].search = None;
                self.modules[at].symbols = Symbols::Failed(failure.to_string());
                return Err(failure);
            }
        }
        Ok(())
    }

    /// Places all that wait, before the guest runs: a breakpoint may belong into
    /// one of them.
    pub(in crate::session) async fn place_for_wishes(&mut self) -> Result<(), Failure> {
        let lacks = |wish: &Wish| wish.enabled && wish.is_by_name() && wish.sites.is_empty();
        let pending = self.points.wishes.iter().any(lacks);
        if !pending || !self.has_modules_to_place() {
            return Ok(());
        }
        let count = self.modules.iter().filter(|module| module.waits()).count();
        self.say(
            Level::Info,
            format!("{count} modules are looked at first: a breakpoint may be in one of them"),
        );
        while self.has_modules_to_place() {
            self.place_next().await?;
        }
        self.resolve_pending();
        Ok(())
    }

    /// A module has symbols, or more of them: breakpoints are placed, and what
    /// is shown of it is made anew. What the user selected stays selected.
    pub(in crate::session) async fn after_module(&mut self) {
        if let Err(failure) = self.go_on_loading().await {
            self.say(Level::Warning, failure.to_string());
        }
        if !self.state.is_stopped() || self.snapshot.is_none() {
            return;
        }
        let result = async {
            self.go_on_with_modules().await?;
            self.go_on_with_listed().await?;
            self.resolve_pending();
            self.look_at_crash_again().await?;
            self.reconcile().await
        };
        if let Err(failure) = result.await {
            self.say(Level::Warning, failure.to_string());
        }
        let frames = self.stop.iter().flat_map(|stop| &stop.frames);
        let concerned = frames.into_iter().any(|f| f.module.is_some() || f.function.is_none());
        match concerned {
            true if self.options.eager => self.panes.resubject(true),
            true => self.first_frame(),
            false => self.panes.reselect(self.options.eager),
        }
        self.answer_waiters();
        self.touch();
    }
}
