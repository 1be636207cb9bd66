//! What a session costs on the serial line, beside gdb's: packets and bytes for
//! one scenario, and the time of a `next`, on the test guest behind socat.
//!
//! `cargo bench --bench wire` builds the guest when it is missing. gdb is left
//! out when it is not installed.

#![allow(clippy::unwrap_used, reason = "a measurement that cannot go on has failed")]

use kgdb_tui::demo::guest::{Boot, Guest, Hgfs};

#[path = "../tests/support"]
mod support {
    pub mod guest;
    pub mod tools;
}

#[path = "support/mod.rs"]
mod own;

#[path = "support/scenario.rs"]
mod scenario;

use scenario::SCENARIO;

/// Stops the guest from its shell.
fn stop(guest: &mut Guest) {
    guest.relay().unwrap().wait_listening().unwrap();
    guest.shell().unwrap().break_in().unwrap();
    std::thread::sleep(std::time::Duration::from_secs(1));
}

fn main() {
    let built = support::guest::built();
    // gdb can't follow KASLR.
    let mut guest =
        support::guest::boot(&Boot { kaslr: false, hgfs: Hgfs::Busy, ..Boot::default() });
    let sections = own::sections(&mut guest);
    let address = guest.address().to_owned();

    println!("attach, {}", SCENARIO.join(", ").replace("THREADS", "info threads/cpus"));
    stop(&mut guest);
    let ours = scenario::ours(&built, &address);
    ours.print("kgdb-tui");
    ours.print_kinds();
    stop(&mut guest);
    let log = tempfile::NamedTempFile::new().unwrap();
    match scenario::gdbs(&built, &address, &sections, log.path()) {
        Some(gdbs) => {
            gdbs.print("gdb");
            println!("gdb sends and receives {:.1} times as much", gdbs.bytes() / ours.bytes());
            let nexts = gdbs.each_next() / ours.each_next();
            println!("for a next gdb sends {nexts:.1} times as many packets");
        }
        None => println!("gdb is not installed"),
    }
}
