//! Programs that the tests use besides Rust. What is missing is installed, as
//! `kgdb-tui demo` does it, so that `cargo test` needs nothing but itself on a
//! fresh Debian machine.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on has failed")]
#![allow(dead_code, reason = "each test program uses a part of it")]

use kgdb_tui::demo::{
    DemoError,
    build::Recipe,
    packages::{self, NEEDED, Probe},
};
use std::{
    fs::File,
    io::{self, Write},
    process::Command,
    sync::OnceLock,
};

/// What tests need besides the guest's own packages.
const WITNESSES: &[Probe] = &[
    ("gdb", "gdb"),
    ("binutils", "readelf"),
    ("xz-utils", "xz"),
    ("zstd", "zstd"),
    ("elfutils", "eu-strip"),
    ("dwz", "dwz"),
    ("dwarves", "pahole"),
];

/// A program to run; installed first if it is not there.
///
/// # Panics
/// When it cannot be installed; the message says what to install by hand.
#[track_caller]
pub fn tool(name: &'static str) -> Command {
    need(&[(name, name)]);
    Command::new(name)
}

/// Makes sure that some programs or files are there. When one is missing, all
/// that any test needs is installed: the machine is most likely a fresh one.
///
/// # Panics
/// As [`tool`].
#[track_caller]
pub fn need(of: &[Probe]) {
    static DONE: OnceLock<Result<(), String>> = OnceLock::new();
    if packages::missing(of).is_empty() {
        return;
    }
    if let Err(why) = DONE.get_or_init(|| install_all().map_err(|why| why.to_string())) {
        panic!("{why}");
    }
}

fn install_all() -> Result<(), DemoError> {
    let cache = Recipe::current()?.cache().to_owned();
    let file = |what| move |source| DemoError::File { what, path: "the cache".into(), source };
    std::fs::create_dir_all(&cache).map_err(file("create"))?;
    // One test program installs; another one that is started at the same time
    // waits, and finds it done.
    let lock = File::create(cache.join("packages.lock")).map_err(file("write in"))?;
    lock.lock().map_err(file("lock"))?;
    let wanted: Vec<Probe> = NEEDED.iter().chain(WITNESSES).copied().collect();
    let missing = packages::missing(&wanted);
    if !missing.is_empty() {
        say(&format!("the tests need packages, installing: {}", missing.join(" ")));
    }
    // No test asks for a password: without root it says what to install.
    packages::install(&missing, &mut |_| false, &mut |_| {})
}

/// Tells the user something now. `eprintln` would be kept until a test fails.
pub fn say(text: &str) {
    let _ = writeln!(io::stderr(), "{text}");
}
