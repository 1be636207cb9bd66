//! The real guest, for end-to-end tests.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on has failed")]
#![allow(dead_code, reason = "each test program uses a part of it")]

use std::ops::{Deref, DerefMut};
use std::sync::OnceLock;
use std::sync::atomic::AtomicBool;

use super::tools::{need, say};
use kgdb_tui::demo::DemoError;
use kgdb_tui::demo::build::{Built, Recipe};
use kgdb_tui::demo::guest::{Boot, Guest, GuestLock};
use kgdb_tui::demo::packages::NEEDED;

/// The guest's files; builds them when they are missing, which takes minutes
/// the first time, and says so.
pub fn built() -> Built {
    static BUILT: OnceLock<Result<Built, String>> = OnceLock::new();
    let built = BUILT.get_or_init(|| {
        // Before the recipe: its keys have the versions of what is installed.
        need(NEEDED);
        build().map_err(|why| why.to_string())
    });
    built.clone().unwrap_or_else(|why| panic!("no test guest: {why}"))
}

fn build() -> Result<Built, DemoError> {
    let recipe = Recipe::current()?;
    if let Some(built) = recipe.built() {
        return Ok(built);
    }
    let dir = recipe.guest_dir();
    say(&format!("building the test guest, once, about 10 minutes: {}", dir.display()));
    let mut said = String::new();
    recipe.build(&AtomicBool::new(false), &mut |progress| {
        let line = format!("  {}/{} {}", progress.step, progress.steps, progress.title);
        if line != said {
            say(&line);
            said = line;
        }
    })
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
