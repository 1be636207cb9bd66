//! Loads and unloads as they happen: the guest is caught at a hidden site, what
//! is to be done is done, and it goes on.
//!
//! Lifting breakpoints in time is no convenience: kgdb keeps one in memory that
//! is gone. At the next stop it pokes into it, runs into a BUG inside the
//! debugger, and the guest is lost (seen on 6.1: `text_poke_kgdb` in
//! arch/x86/kernel/alternative.c).

use super::{
    guest,
    place::placement,
    watch::{self, Event},
};
use crate::base::addr::Addr;
use crate::kernel::{boot, module_sections};
use crate::rsp::{command::Command, reply::StopReply, thread::ThreadId};
use crate::session::{
    answer::Failure,
    request::{Level, ModuleEvent},
    run::Session,
    settings::ModuleEvents,
    step::{Journey, Leg, Plan, thread_of},
    view::{State, StopReason},
    wish::Site,
};

/// What is to be done after the guest was caught at a hidden site.
pub enum Caught {
    /// Nobody asked for this stop: go on.
    Nothing,
    /// The user asked for it.
    Stay(StopReason),
    /// Go on once the symbols of the module are read.
    Later,
}

impl Session {
    /// Does what is to be done when the guest is at a hidden site.
    pub(in crate::session) async fn module_event(
        &mut self,
        event: Event,
    ) -> Result<Caught, Failure> {
        let addr = Addr(self.register(self.arch().first_argument).await?);
        tracing::debug!(?event, %addr, "caught");
        match event {
            Event::Load => self.module_comes(addr).await,
            Event::InitDone => {
                let of = |module: &super::Module| module.found.addr == addr;
                if let Some(module) = self.modules.iter_mut().find(|module| of(module)) {
                    module.found.state = guest::State::Live;
                    let name = module.found.name.clone();
                    self.init_is_over(&name);
                }
                Ok(Caught::Nothing)
            }
            Event::Booted => {
                self.boot_is_over();
                Ok(Caught::Nothing)
            }
            Event::Unload => self.module_goes(addr).await,
            Event::Change => {
                // `module_event(self, val, data)`
                let [state, module] = self.arch().further_arguments;
                let state = self.register(state).await? as i64;
                if Some(state) != self.guest_symbols().enumerator("MODULE_STATE_GOING") {
                    return Ok(Caught::Nothing);
                }
                let module = Addr(self.register(module).await?);
                self.module_goes(module).await
            }
        }
    }

    /// A module is loaded, and its init is the next to run.
    async fn module_comes(&mut self, addr: Addr) -> Result<Caught, Failure> {
        self.watch.freed.remove(&addr);
        let Ok(layouts) = guest::Layouts::new(&self.guest_symbols()) else {
            return Ok(Caught::Nothing);
        };
        let found = self.compute(move |_, memory| guest::module_at(memory, &layouts, addr)).await?;
        let found = match found {
            Ok(Some(found)) => found,
            Ok(None) => return Ok(Caught::Nothing),
            Err(error) => {
                self.say(Level::Warning, format!("a module is loaded, but {error}"));
                return Ok(Caught::Nothing);
            }
        };
        let name = found.name.clone();
        let is_it = |module: &super::Module| module.found.addr == addr && module.found.name == name;
        // Seen at a stop before; then its sections were not told yet, perhaps.
        let known = self.modules.iter().find(|module| is_it(module));
        if known.is_none_or(|module| module.sections.is_empty()) {
            let same =
                |module: &super::Module| module.found.addr == addr || module.found.name == name;
            let old = self.modules.iter().filter(|module| same(module));
            for name in old.map(|module| module.found.name.clone()).collect::<Vec<_>>() {
                self.forget_module(&name);
            }
            let module = self.place_module(found).await?;
            let base = module.found.base.unwrap_or_default();
            self.say(Level::Info, format!("module {name} is loaded at {base}"));
            // The guest puts a new one at the head of its list.
            self.modules.insert(0, module);
        }
        self.touch();
        if self.is_awaited(&name) {
            if let State::Running { what, .. } = &mut self.state {
                *what = format!("reading the symbols of {name}, which is being loaded");
            }
            self.watch.waits = Some(name);
            return Ok(Caught::Later);
        }
        Ok(self.module_came(&name))
    }

    /// Whether symbols of a module are on the way that a breakpoint may need, or
    /// that are to be shown right at any moment: once the guest runs, its memory
    /// can't be compared with the file until the next stop.
    fn is_awaited(&self, name: &str) -> bool {
        let loading = |module: &super::Module| module.found.name == name && module.is_loading();
        let always = self.settings.module_events == ModuleEvents::Always;
        self.modules.iter().any(loading)
            && (always || self.points.wishes.iter().any(|wish| wish.enabled && wish.is_by_name()))
    }

    /// All is known of a module that was loaded.
    fn module_came(&mut self, name: &str) -> Caught {
        self.resolve_pending();
        match self.points.caught(ModuleEvent::Load, name) {
            Some(number) => Caught::Stay(StopReason::Module {
                number,
                event: ModuleEvent::Load,
                name: name.to_owned(),
            }),
            None => Caught::Nothing,
        }
    }

    /// Goes on where the guest was stopped for a load whose symbols took long.
    /// It stays stopped for the user who asked for that meanwhile.
    pub(in crate::session) async fn go_on_loading(&mut self) -> Result<(), Failure> {
        if self.snapshot.is_none() {
            return Ok(());
        }
        let Some(name) = self.watch.waits.clone() else { return Ok(()) };
        self.go_on_with_modules().await?;
        if self.breaking_in {
            self.watch.waits = None;
            return self.settle(StopReason::BreakIn).await;
        }
        if self.is_awaited(&name) {
            return Ok(());
        }
        self.watch.waits = None;
        match self.module_came(&name) {
            Caught::Stay(reason) => self.settle(reason).await,
            Caught::Nothing | Caught::Later => self.pass_by().await,
        }
    }

    /// A module is about to be freed.
    async fn module_goes(&mut self, addr: Addr) -> Result<Caught, Failure> {
        self.watch.freed.insert(addr);
        let known = self.modules.iter().find(|module| module.found.addr == addr);
        let mut name = known.map(|module| module.found.name.clone());
        if name.is_none()
            && let Ok(layouts) = guest::Layouts::new(&self.guest_symbols())
        {
            // One that was not seen before, or given by its sections alone.
            let read = self.compute(move |_, memory| guest::module_at(memory, &layouts, addr));
            name = read.await?.ok().flatten().map(|module| module.name);
        }
        if name.is_none() {
            // It may be any that is known by hand alone; those that stay are
            // proven again at the next stop.
            let by_hand = self.modules.iter().filter(|module| module.found.addr.0 == 0);
            for name in by_hand.map(|module| module.found.name.clone()).collect::<Vec<_>>() {
                self.forget_module(&name);
            }
        }
        let name = name.unwrap_or_else(|| format!("at {addr}"));
        self.forget_module(&name);
        let symbols = self.guest_symbols();
        let unknown = |addr: Addr| symbols.section_at(addr).is_none();
        self.park(unknown, &format!("its memory may be gone with module {name}"));
        self.drop_places(unknown);
        self.say(Level::Info, format!("module {name} is unloaded"));
        self.touch();
        Ok(match self.points.caught(ModuleEvent::Unload, &name) {
            Some(number) => {
                Caught::Stay(StopReason::Module { number, event: ModuleEvent::Unload, name })
            }
            None => Caught::Nothing,
        })
    }

    /// Whether what stopped the guest at a hidden site can go on at once.
    pub(in crate::session) fn is_hidden(&mut self, pc: Addr) -> bool {
        !self.breaking_in
            && self.points.wish_at(pc).is_none()
            && !self.points.temporary.contains(&pc)
    }

    /// Lets the guest go on from a hidden site. What the user asked for goes on
    /// as it was: a task that is stepped takes its step, whichever task this is.
    pub(in crate::session) async fn pass_by(&mut self) -> Result<(), Failure> {
        let run = Journey::free();
        let what = self.journey.get_or_insert(run).told();
        self.reconcile().await?;
        let pc = self.pc()?;
        if !self.leave_site(pc, false).await? {
            return Ok(());
        }
        self.resume_with(Command::Continue, &what).await
    }

    /// Init memory of a module is about to be freed.
    pub(super) fn init_is_over(&mut self, name: &str) {
        let symbols = self.guest_symbols();
        let of_module = |addr: Addr| {
            let section = symbols.section_at(addr);
            section.is_some_and(|(placed, _)| placed.name == name)
        };
        let goes = |addr: Addr| of_module(addr) && watch::is_init(&symbols, addr);
        let why =
            format!("init memory of {name} is freed; armed again when {name} is loaded again");
        self.park(goes, &why);
        self.drop_places(goes);
        if let Some(module) = self.modules.iter_mut().find(|module| module.found.name == name) {
            module.sections.retain(|section| !module_sections::is_init(&section.name));
            module.found.memory.retain(|piece| !piece.kind.is_init());
            let sections = placement(&module.sections);
            self.code.update(|symbols| symbols.replace(name, sections));
        }
        self.touch();
    }

    /// The kernel's init memory is about to be freed.
    fn boot_is_over(&mut self) {
        self.repairs.booted = true;
        let symbols = self.guest_symbols();
        let goes = |addr: Addr| boot::is_init(&symbols, addr);
        self.park(goes, boot::FREED);
        self.drop_places(goes);
        self.touch();
    }

    /// A module is gone, or about to go.
    pub(in crate::session) fn forget_module(&mut self, name: &str) {
        let symbols = self.code.symbols();
        let goes =
            |addr: Addr| symbols.section_at(addr).is_some_and(|(placed, _)| placed.name == name);
        self.park(goes, &format!("module {name} was unloaded; armed again when it is loaded"));
        self.drop_places(goes);
        self.code.update(|symbols| symbols.remove(name));
        self.modules.retain(|module| module.found.name != name);
    }

    /// Takes sites of breakpoints out of memory that goes.
    fn park(&mut self, goes: impl Fn(Addr) -> bool, why: &str) {
        let inside = |site: &Site| goes(site.addr);
        for wish in &mut self.points.wishes {
            let lasts = wish.watch.is_none() && !is_bare_address(&wish.location);
            wish.gone |= !lasts && wish.sites.iter().any(inside);
        }
        self.points.forget(inside, why);
        for wish in self.points.wishes.iter_mut().filter(|wish| wish.gone) {
            wish.pending = Some("what was at this address is gone with a module".into());
        }
    }

    /// Takes temporary sites out of memory that goes. A step that has nowhere
    /// left to come to is a `continue`.
    fn drop_places(&mut self, goes: impl Fn(Addr) -> bool) {
        self.points.temporary.retain(|addr| !goes(*addr));
        let Some(journey) = &mut self.journey else { return };
        if let Plan::To { places, .. } = &mut journey.plan {
            places.retain(|addr| !goes(*addr));
        }
        let places = match &mut journey.leg {
            Leg::Sites { places, .. } => places,
            Leg::Crawl { places, over, .. } => {
                if let Some((sites, _)) = over {
                    sites.retain(|addr| !goes(*addr));
                }
                places
            }
            Leg::Free | Leg::Single => return,
        };
        let before = places.len();
        places.retain(|addr| !goes(*addr));
        if places.is_empty() && before > 0 {
            (journey.plan, journey.leg) = (Plan::Continue, Leg::Free);
            let text = "the place to stop at is gone with its module; the guest runs on";
            self.say(Level::Warning, text.into());
        }
    }

    /// Whether a stop is of the task that is being stepped off a site.
    pub(in crate::session) fn end_step_off(&mut self, stop: &StopReply) {
        let task: Option<ThreadId> = thread_of(stop);
        self.points.step_ended(task);
    }
}

/// Whether a location is an address without a name in it: what was there is
/// gone, and something else will be.
pub fn is_bare_address(location: &str) -> bool {
    let named = |text: &str| text.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_');
    let mut words = location.split(|c: char| !c.is_ascii_alphanumeric() && c != '_');
    location.starts_with('*') && !words.any(named)
}

#[cfg(test)]
mod tests {
    use super::is_bare_address;

    #[test]
    fn addresses_without_names_are_told() {
        for bare in ["*0xffffffffc0000010", "*12", "*0x10+0x20"] {
            assert!(is_bare_address(bare), "{bare}");
        }
        for named in ["*HgfsSendRequest+4", "HgfsSendRequest", "hgfs/main.c:65", "*init"] {
            assert!(!is_bare_address(named), "{named}");
        }
    }
}
