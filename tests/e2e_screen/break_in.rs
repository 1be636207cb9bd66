//! Breaking in from the screen, where the program must ask before it types on
//! the guest's console.

use crate::support::{guest::boot, screen::Screen, typist::Typist};
use crate::{LATER, PROGRAM, SOON, arguments, wait_stopped};
use kgdb_tui::demo::guest::{Boot, Hgfs, Mode};

#[test]
fn the_screen_asks_before_it_types_on_the_console() {
    let guest = boot(&Boot { mode: Mode::Shared, hgfs: Hgfs::Loaded, ..Boot::default() });
    Typist::new(guest.address()).ready();
    guest.relay().unwrap().wait_listening().unwrap();
    let mut screen = Screen::spawn(PROGRAM.to_string(), &arguments(&guest), 80, 24);
    screen.wait_for("to have it typed in the shell there", LATER);

    // No is an answer: it listens; once more, and it is given up.
    screen.keys("F6");
    screen.wait_for("This changes the guest", SOON);
    screen.keys("Esc");
    screen.wait_gone("This changes the guest", SOON);
    screen.wait_for(" BREAKING IN ", SOON);
    screen.keys("Esc");
    screen.wait_for(" RUNNING ", SOON);

    screen.keys("F6");
    screen.wait_for("This changes the guest", SOON);
    screen.keys("y");
    wait_stopped(&screen, "match");
    screen.wait_for("broken in", SOON);
    // It is not asked again. A breakpoint set meanwhile is planted at once.
    screen.keys("F5");
    screen.wait_for(" RUNNING ", SOON);
    screen.types(":break vfs_rmdir\r");
    screen.wait_for("now: plant", SOON);
    screen.keys("P");
    screen.wait_for("the guest was stopped for", SOON);
    screen.wait_for(" RUNNING ", SOON);
    screen.keys("F6");
    wait_stopped(&screen, "match");
    screen.keys("q");
    screen.wait_for("Leave the debugger. The guest is stopped.", SOON);
    screen.keys("c");
    assert!(screen.wait_end(SOON).success());
    let mut console = Typist::new(guest.address());
    console.ready();
    assert!(console.run("cat /proc/hgfs").contains("requests "));
}
