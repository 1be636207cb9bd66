//! The real guest, for end-to-end tests.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on has failed")]
#![allow(dead_code, reason = "each test program uses a part of it")]

use std::fs;
use std::ops::{Deref, DerefMut};
use std::sync::OnceLock;
use std::sync::atomic::AtomicBool;
use std::time::{Duration, Instant};

use super::tools::{need, say};
use kgdb_tui::demo::DemoError;
use kgdb_tui::demo::build::{Built, Recipe};
use kgdb_tui::demo::guest::{Boot, Guest, GuestLock};
use kgdb_tui::demo::packages::NEEDED;
use rustix::process::{Pid, Signal, kill_process};

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

impl LockedGuest {
    /// Suspends the virtual machine, as closing a laptop's lid does; it goes on
    /// when the value is dropped. Its ports stay open.
    pub fn suspend(&self) -> Suspended {
        let pid = qemu();
        kill_process(pid, Signal::STOP).unwrap();
        let suspended = Suspended(pid);
        let start = Instant::now();
        while !is_stopped(pid) {
            assert!(start.elapsed() < Duration::from_secs(60), "QEMU takes no SIGSTOP");
            std::thread::sleep(Duration::from_millis(2));
        }
        suspended
    }
}

/// A virtual machine that does nothing.
pub struct Suspended(Pid);

impl Drop for Suspended {
    fn drop(&mut self) {
        let _ = kill_process(self.0, Signal::CONT);
    }
}

/// The QEMU of this process: a shell that we started waits for it, and there is
/// one guest at a time.
fn qemu() -> Pid {
    let us = std::process::id() as i32;
    let all = fs::read_dir("/proc").unwrap().flatten();
    let pids = all.filter_map(|entry| entry.file_name().to_str()?.parse::<i32>().ok());
    let mut ours = pids.filter(|pid| {
        let named = fs::read_to_string(format!("/proc/{pid}/comm"));
        named.is_ok_and(|name| name.starts_with("qemu-system"))
            && field(*pid, 1).and_then(|shell| field(shell.parse().ok()?, 1))
                == Some(us.to_string())
    });
    let pid = ours.next().expect("a guest of ours runs");
    assert_eq!(ours.next(), None, "and no other");
    Pid::from_raw(pid).unwrap()
}

/// A field of `/proc/PID/stat`, counted from the state behind the name (proc(5)).
fn field(pid: i32, number: usize) -> Option<String> {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    stat.rsplit_once(") ")?.1.split(' ').nth(number).map(str::to_string)
}

/// Whether every thread of a process is stopped.
fn is_stopped(pid: Pid) -> bool {
    let threads = fs::read_dir(format!("/proc/{pid}/task")).unwrap().flatten();
    let mut threads = threads.filter_map(|entry| entry.file_name().to_str()?.parse().ok());
    threads.all(|thread: i32| field(thread, 0).as_deref() == Some("T"))
}
