//! Where the guest is caught as modules come and go, and when that is needed.
//!
//! - Load: `do_init_module`, which stays a function of its own for debuggers
//!   ("static noinline" in every version). All sections are in place and
//!   described in `sect_attrs`, and nothing of the module's init has run.
//! - End of init: `trim_init_extable`, which comes after MODULE_STATE_LIVE and
//!   before init memory is freed. Caught only while something is planted there.
//! - The end of the boot: `free_initmem`, for breakpoints in the kernel's own
//!   init code.
//! - Unload: `free_module`, by which every unload and every load that failed in
//!   its init comes before memory is freed. In a kernel where that was compiled
//!   into its callers, `module_event`: kgdb's own notifier, called for the same
//!   (kernel/debug/debug_core.c).
//!
//! The sites are hidden ones, planted only while somebody gains by them: a
//! guest that runs with a site can't be left without being stopped once more.

use crate::base::addr::Addr;
use crate::kernel::{boot, hooks};
use crate::session::{
    answer::Failure,
    request::{Level, ModuleEvent},
    run::Session,
    settings::ModuleEvents,
};
use crate::symbols::{answer::FunctionMatch, placed::Symbols};
use crate::target::replay::kept::Reach;
use std::collections::BTreeSet;

/// What is caught.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Event {
    /// A module is loaded.
    Load,
    /// Its init has run, and the memory of that is about to be freed.
    InitDone,
    /// It is about to be freed.
    Unload,
    /// Its state changes, where that is the only way to see an unload.
    Change,
    /// The kernel itself has booted, and frees its init memory.
    Booted,
}

impl Event {
    const ALL: [Event; 5] =
        [Event::Load, Event::InitDone, Event::Unload, Event::Change, Event::Booted];

    /// The function that tells it by being called with the module
    /// (kernel/module/main.c, before 5.19 kernel/module.c; lib/extable.c).
    fn function(self) -> &'static str {
        match self {
            Event::Load => "do_init_module",
            Event::InitDone => "trim_init_extable",
            Event::Unload => "free_module",
            Event::Change => "module_event",
            // init/main.c; the same name in every version.
            Event::Booted => "free_initmem",
        }
    }

    /// Where that function begins. There are several of the name `module_event`.
    fn entry(self, symbols: &Symbols) -> Option<Addr> {
        if self != Event::Change {
            return symbols.symbol_addr(self.function());
        }
        if symbols.symbol_addr(Event::Unload.function()).is_some() {
            return None;
        }
        let of_kgdb = |found: &FunctionMatch| {
            let file = found.file.as_ref();
            file.is_some_and(|file| file.name.ends_with("kernel/debug/debug_core.c"))
        };
        let found = symbols.find_functions(self.function());
        found.iter().find(|found| !found.inlined && of_kgdb(found)).map(|found| found.entry)
    }
}

/// The places in this guest, once they were looked for.
#[derive(Debug, Default)]
pub struct Watch {
    hooks: Vec<(Event, Addr)>,
    /// What was looked for.
    sought: BTreeSet<Event>,
    /// Modules that are about to be freed, or are free already: what the list
    /// still says of them counts no more.
    pub(super) freed: BTreeSet<Addr>,
    /// Whether the guest ran without being caught at loads and unloads, since
    /// its list was read.
    pub(super) missed: bool,
    /// The stop at which the list was looked at last.
    pub(super) looked_at: u64,
    /// The module for whose load the guest was stopped, and whose symbols are
    /// still being read; it goes on when they are there.
    pub(in crate::session) waits: Option<String>,
}

impl Watch {
    /// The guest is resumed; `is_planted` tells which sites it has.
    pub(in crate::session) fn resumed(&mut self, is_planted: impl Fn(Addr) -> bool) {
        let hooks = self.hooks.iter().filter(|(_, hook)| is_planted(*hook));
        let planted: Vec<Event> = hooks.map(|(event, _)| *event).collect();
        let unloads = planted.contains(&Event::Unload) || planted.contains(&Event::Change);
        self.missed |= !(unloads && planted.contains(&Event::Load));
    }

    /// In a record the guest was caught at an address, and this program goes past it:
    /// what that meant for the module that the function there was called with.
    pub(in crate::session) fn passed(&mut self, symbols: &Symbols, pc: Addr, module: Addr) {
        /// A hook is at the function's entry, or behind what tracing may change there
        /// (`hooks::hook`); the pc may be behind the breakpoint.
        const NEAR: u64 = 16;
        let is_at =
            |event: Event| event.entry(symbols).is_some_and(|entry| pc.since(entry) <= NEAR);
        if is_at(Event::Unload) {
            self.freed.insert(module);
        } else if is_at(Event::Load) {
            self.freed.remove(&module);
        }
    }

    /// What is caught at an address.
    pub fn event_at(&self, addr: Addr) -> Option<Event> {
        self.hooks.iter().find(|(_, hook)| *hook == addr).map(|(event, _)| *event)
    }

    /// Why an event can't be caught, when it can't.
    fn why_not(&self, event: ModuleEvent) -> Option<String> {
        let ways: &[Event] = match event {
            ModuleEvent::Load => &[Event::Load],
            ModuleEvent::Unload => &[Event::Unload, Event::Change],
        };
        if !ways.iter().all(|way| self.sought.contains(way)) {
            return Some("waits for the guest to stop, and for the vmlinux to be proven".into());
        }
        let can = self.hooks.iter().any(|(event, _)| ways.contains(event));
        (!can).then(|| format!("there is no breakpoint at {} in this kernel", ways[0].function()))
    }
}

impl Session {
    /// The hidden sites that are to be planted now.
    pub(in crate::session) async fn hidden_sites(&mut self) -> Result<BTreeSet<Addr>, Failure> {
        let needed: Vec<Event> = Event::ALL.into_iter().filter(|e| self.needs(*e)).collect();
        self.find_hooks(&needed).await?;
        for wish in &mut self.points.wishes {
            let Some(catch) = &wish.catch else { continue };
            wish.pending = self.watch.why_not(catch.event);
        }
        let hooks = self.watch.hooks.iter();
        Ok(hooks.filter(|(event, _)| needed.contains(event)).map(|(_, hook)| *hook).collect())
    }

    /// The stub takes no breakpoint at a hidden site.
    pub(in crate::session) fn hidden_refused(&mut self, addr: Addr, why: &str) {
        let Some(event) = self.watch.event_at(addr) else { return };
        self.watch.hooks.retain(|(_, hook)| *hook != addr);
        let what = match event {
            Event::Load => "loads of modules can't be seen as they happen",
            Event::InitDone | Event::Unload | Event::Change => {
                "the end of a module can't be seen: take breakpoints out of it before"
            }
            Event::Booted => {
                "the end of the boot can't be seen: take breakpoints out of init code before"
            }
        };
        self.say(Level::Warning, format!("{what} ({}: {why})", event.function()));
    }

    fn needs(&self, event: Event) -> bool {
        let symbols = self.guest_symbols();
        let mut wishes = self.points.wishes.iter().filter(|wish| wish.enabled);
        let always = match self.settings.module_events {
            ModuleEvents::Off => false,
            // A module may have what a breakpoint waits for, or one place more.
            ModuleEvents::On => wishes.any(|wish| wish.is_by_name()),
            ModuleEvents::Always => true,
        };
        match event {
            Event::Load => always || self.points.catches(ModuleEvent::Load),
            Event::InitDone => self.points.visible().any(|addr| is_init(&symbols, addr)),
            Event::Booted => self.points.visible().any(|addr| boot::is_init(&symbols, addr)),
            Event::Unload | Event::Change => {
                always
                    || self.points.catches(ModuleEvent::Unload)
                    || self.points.visible().any(|addr| may_be_freed(&symbols, addr))
            }
        }
    }

    /// Looks for the places of these, once for each guest.
    async fn find_hooks(&mut self, needed: &[Event]) -> Result<(), Failure> {
        let new = |event: &Event| !self.watch.sought.contains(event);
        let wanted: Vec<Event> = needed.iter().copied().filter(new).collect();
        if wanted.is_empty() || self.guest_symbols().vmlinux().is_none() {
            return Ok(());
        }
        let (arch, events) = (self.arch(), wanted.clone());
        let (found, _) = self
            .compute_kept(Reach::Before, move |symbols, memory| {
                let hook = |event: &Event| {
                    let entry = event.entry(symbols)?;
                    Some(hooks::hook(symbols, memory, arch, entry).map(|hook| (*event, hook)))
                };
                // All are asked for, so that one round reads what all need.
                let found: Vec<_> = events.iter().filter_map(hook).collect();
                found.into_iter().filter_map(Result::ok).collect::<Vec<_>>()
            })
            .await?;
        tracing::debug!(?found, "hidden sites");
        self.watch.hooks.extend(found);
        self.watch.sought.extend(wanted);
        Ok(())
    }
}

/// Whether an address is in memory of a module that is freed after its init.
pub(super) fn is_init(symbols: &Symbols, addr: Addr) -> bool {
    let section = symbols.section_at(addr);
    // `module_init_section` in kernel/module/main.c.
    section.is_some_and(|(placed, name)| placed.module().is_some() && name.starts_with(".init"))
}

/// Whether an address is in a module, or in memory nobody knows.
fn may_be_freed(symbols: &Symbols, addr: Addr) -> bool {
    symbols.section_at(addr).is_none_or(|(placed, _)| placed.module().is_some())
}
