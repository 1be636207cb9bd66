//! The modules pane on a real guest: modules come and go while it is open.

use crate::support::guest::boot;
use crate::{LATER, PROGRAM, SOON, arguments, run, support::screen::Screen, wait_stopped};
use kgdb_tui::demo::guest::{Boot, Hgfs};

#[test]
fn modules_appear_in_their_pane() {
    let mut guest = boot(&Boot { hgfs: Hgfs::Loaded, ..Boot::default() });
    let mut screen = Screen::spawn(PROGRAM.to_string(), &arguments(&guest), 160, 48);
    screen.wait_for("The guest is running", LATER);
    screen.keys("M");
    screen.wait_for("read at the first stop", SOON);
    guest.shell().unwrap().break_in().unwrap();
    wait_stopped(&screen, "✓ match");
    screen.wait_for("● hgfs ", LATER);
    let (row, _) = screen.find("● hgfs ");
    let line = screen.rows()[usize::from(row)].clone();
    assert!(line.contains("live") && line.contains("loaded"), "{line}");
    let base = address_in(&line);

    // One is loaded while the guest runs.
    screen.types(":set module-events always\r");
    screen.keys("F5");
    screen.wait_for(" RUNNING ", SOON);
    assert_eq!(run(&mut guest, "cat /sys/module/hgfs/sections/.text").trim(), base);
    run(&mut guest, "insmod /lib/modules/dummy.ko");
    screen.wait_for("● dummy ", SOON);
    run(&mut guest, "rmmod dummy");
    screen.wait_gone("● dummy ", SOON);
    run(&mut guest, "insmod /lib/modules/hgfs-ping.ko");
    screen.wait_for("● hgfs_ping ", SOON);

    // All about one.
    guest.shell().unwrap().break_in().unwrap();
    wait_stopped(&screen, "✓ match");
    screen.wait_for("2 in all", SOON);
    screen.keys("S");
    screen.wait_for("by name", SOON);
    screen.keys("Home Enter");
    screen.wait_for("╭ info module hgfs ", SOON);
    screen.wait_for(".text", SOON);
    screen.wait_for(&base, SOON);
    screen.keys("Esc");
    screen.wait_gone("╭ info module hgfs ", SOON);
    screen.keys("/");
    screen.types("ping");
    screen.keys("Enter");
    screen.wait_gone("● hgfs ", SOON);
    screen.keys("b 7");
    screen.wait_for("hgfs_ping!init", SOON);

    screen.keys("q");
    screen.wait_for("Leave the debugger. The guest is stopped.", SOON);
    screen.keys("c");
    assert!(screen.wait_end(SOON).success());
    assert!(run(&mut guest, "cat /proc/hgfs").contains("requests "));
}

/// The address in a row of the pane.
fn address_in(row: &str) -> String {
    let at = row.rfind("0xffffffff").unwrap_or_else(|| panic!("no address in {row}"));
    row[at..].split(' ').next().unwrap().to_string()
}
