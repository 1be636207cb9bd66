//! The real guest, for end-to-end tests.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

use std::ops::{Deref, DerefMut};
use std::sync::atomic::AtomicBool;

use kgdb_tui::demo::build::{Built, Recipe};
use kgdb_tui::demo::guest::{Boot, Guest, GuestLock};
use kgdb_tui::demo::packages;

/// The guest's files; builds them when they are missing, which takes minutes
/// the first time, and says so.
pub fn built() -> Built {
    let recipe = Recipe::current().unwrap();
    if let Some(built) = recipe.built() {
        return built;
    }
    let missing = packages::missing();
    if !missing.is_empty() {
        eprintln!("the test guest needs packages: installing {}", missing.join(" "));
        packages::install(&missing, &mut |_| true, &mut |_| {}).unwrap();
    }
    // The keys have the versions of what was installed in them.
    let recipe = Recipe::current().unwrap();
    eprintln!("building the test guest in {}", recipe.guest_dir().display());
    let mut said = String::new();
    let built = recipe.build(&AtomicBool::new(false), &mut |progress| {
        let line = format!("  {}/{} {}", progress.step, progress.steps, progress.title);
        if line != said {
            eprintln!("{line}");
            said = line;
        }
    });
    built.unwrap()
}

/// A guest that has the machine for itself among the tests.
pub struct LockedGuest {
    // Dropped first.
    guest: Guest,
    _lock: GuestLock,
}

/// Boots the guest, after all others are gone.
pub fn boot(boot: &Boot) -> LockedGuest {
    let built = built();
    let lock = GuestLock::take(&built).unwrap();
    LockedGuest { guest: Guest::boot(&built, boot).unwrap(), _lock: lock }
}

impl Deref for LockedGuest {
    type Target = Guest;

    fn deref(&self) -> &Guest {
        &self.guest
    }
}

impl DerefMut for LockedGuest {
    fn deref_mut(&mut self) -> &mut Guest {
        &mut self.guest
    }
}
