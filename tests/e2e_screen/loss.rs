//! What the screen says when the line is lost or silent, and that it goes on.

use crate::support::{
    faulty::{Faults, Faulty},
    guest::boot,
    screen::Screen,
};
use crate::{LATER, PROGRAM, SOON, alive_and_clean, arguments, type_breakpoint, wait_stopped};
use kgdb_tui::demo::guest::{Boot, Hgfs, Link};

#[test]
fn a_lost_line_and_a_silent_guest_are_told_and_come_back() {
    let mut guest = boot(&Boot { hgfs: Hgfs::Busy, link: Link::Unix, ..Boot::default() });
    let faulty = Faulty::start(guest.address(), Faults::default());
    guest.shell().unwrap().break_in().unwrap();
    let mut arguments = arguments(&guest);
    *arguments.last_mut().unwrap() = faulty.address();
    let mut screen = Screen::spawn(PROGRAM.to_string(), &arguments, 120, 40);
    wait_stopped(&screen, "match");
    type_breakpoint(&mut screen);
    screen.keys("F5");
    wait_stopped(&screen, "breakpoint 1");

    // The relay ends while it is stopped.
    faulty.stop();
    screen.wait_for(" LINK LOST ", SOON);
    screen.wait_for("stays stopped until a debugger comes back", SOON);
    faulty.restart();
    wait_stopped(&screen, "breakpoint 1");
    screen.wait_for("●  1 HgfsSendRequest", SOON);

    // Nothing comes any more, and nothing is closed. The keys still do something.
    faulty.be_silent();
    screen.keys("n");
    screen.wait_for("nothing came for", LATER);
    screen.keys("?");
    screen.wait_for("F6  Ctrl-C  p", SOON);
    screen.keys("Esc");
    screen.wait_for("is silent now", LATER);
    faulty.speak();
    wait_stopped(&screen, "");
    screen.wait_for("●  1 HgfsSendRequest", SOON);
    screen.types(":delete\r");
    screen.keys("q");
    screen.wait_for("Leave the debugger. The guest is stopped.", SOON);
    screen.keys("c");
    assert!(screen.wait_end(SOON).success());
    alive_and_clean(&mut guest);
}
