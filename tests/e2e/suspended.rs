//! The virtual machine is suspended and resumed: its ports stay open, and nothing
//! comes from it.

use crate::facts::{alive, type_line, values};
use crate::loss::{GOES_ON, HIT, at_breakpoint};
use crate::support::{
    batch::{Gate, Setup},
    guest::boot,
};
use kgdb_tui::demo::guest::{Boot, Hgfs, Link};
use std::time::Instant;

#[test]
fn a_machine_that_is_suspended() {
    let mut guest = boot(&Boot { hgfs: Hgfs::Loaded, link: Link::Unix, ..Boot::default() });
    let dir = tempfile::tempdir().unwrap();
    let gates = [Gate::new(dir.path(), "one"), Gate::new(dir.path(), "two")];
    let [one, two] = [gates[0].command(), gates[1].command()];
    let mut commands = vec!["continue"];
    commands.extend([&one, "x/64xb init_mm", &two, "x/64xb init_nsproxy", "wait 60"]);
    commands.extend(["x/64xb init_mm", "x/64xb init_nsproxy"]);
    commands.extend(GOES_ON);
    let setup = Setup::new(guest.address()).arg("--timeout").arg("120");
    let mut at = at_breakpoint(&mut guest, setup, &commands);

    // While it runs with a breakpoint planted. It answers, so it runs.
    alive(&mut guest);
    let suspended = guest.suspend();
    type_line(&mut guest, HIT);
    drop(suspended);
    at.stop = at.batch.stop("continue");
    at.hits += 1;
    assert_eq!(at.stop["breakpoint"], 1, "{}", at.stop);

    // While it is stopped and asked something, for a short time: told, and answered.
    let suspended = guest.suspend();
    gates[0].open();
    at.batch.ok(&one);
    let start = Instant::now();
    at.batch.expect_said("nothing came for 4 s");
    drop(suspended);
    let memory = values(&at.batch.ok("x/64xb init_mm"));
    assert_eq!(memory.len(), 64);
    println!("suspended for a moment: answered after {:?}", start.elapsed());

    // For longer than it is waited for: told, and found where it was when it speaks.
    let suspended = guest.suspend();
    gates[1].open();
    at.batch.ok(&two);
    let start = Instant::now();
    let failed = at.batch.next();
    let error = failed.error.unwrap_or_else(|| panic!("{}", failed.result));
    assert!(error.contains("no answer"), "{error}");
    at.batch.expect_said("is silent now: is the virtual machine suspended");
    println!("suspended: told after {:?}", start.elapsed());
    drop(suspended);
    at.found_again("wait 60");
    assert_eq!(values(&at.batch.ok("x/64xb init_mm")), memory);
    assert_eq!(values(&at.batch.ok("x/64xb init_nsproxy")).len(), 64);
    at.goes_on(&mut guest);
}
