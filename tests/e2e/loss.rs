//! Guests that go away: it goes on by itself with what the user has.

use crate::facts::{alive, start_stopped, type_line};
use crate::support::{
    batch::Setup,
    faulty::{Faults, Faulty},
    guest::{LockedGuest, boot},
};
use kgdb_tui::demo::guest::{Boot, Hgfs, Link};
use std::time::Duration;

fn guest() -> (LockedGuest, Faulty) {
    let guest = boot(&Boot { hgfs: Hgfs::Loaded, link: Link::Unix, ..Boot::default() });
    let faulty = Faulty::start(guest.address(), Faults::default());
    (guest, faulty)
}

/// The machine restarts without a word (sysrq b calls no reboot notifier): the
/// breakpoints are planted again at the next stop, where KASLR put them now.
#[test]
fn a_machine_that_was_reset() {
    let (mut guest, faulty) = guest();
    let commands = [
        "break ksys_write",
        "disable 1",
        "continue",
        "wait 120",
        "enable 1",
        "continue",
        "delete",
        "detach",
    ];
    let setup = Setup::new(&faulty.address()).arg("--timeout").arg("120");
    let mut batch = start_stopped(&mut guest, setup, &commands);
    let site = batch.ok(commands[0])["breakpoints"][0]["sites"][0].clone();
    batch.ok(commands[1]);
    guest.shell().unwrap().expect("# ", Duration::from_secs(60)).unwrap();
    type_line(&mut guest, "echo b > /proc/sysrq-trigger");
    guest.shell().unwrap().expect("guest ready", Duration::from_secs(120)).unwrap();
    guest.shell().unwrap().break_in().unwrap();
    // The `continue` of before the reset ends with this stop, which is one of
    // another boot.
    let stop = batch.stop(commands[2]);
    assert_eq!(stop["function"], "kgdb_breakpoint", "the symbols fit: {stop}");
    batch.stop(commands[3]);
    let again = batch.ok(commands[4])["breakpoints"][0].clone();
    assert_eq!(again["state"], "armed", "{again}");
    println!("ksys_write before and after the reset: {site}, {}", again["sites"][0]);
    assert_eq!(batch.stop(commands[5])["function"], "ksys_write");
    batch.ok(commands[6]);
    batch.ok(commands[7]);
    batch.end().all_good();
    alive(&mut guest);
}
