//! The guest's console as a terminal on the screen: typed into while the guest
//! runs, locked while it is stopped.

use crate::support::{guest::boot, screen::Screen, typist::Typist};
use crate::{LATER, PROGRAM, SOON, arguments, wait_stopped};
use kgdb_tui::demo::guest::{Boot, Hgfs, Link, Mode};

#[test]
fn the_guests_shell_in_the_console_pane() {
    let guest = boot(&Boot {
        mode: Mode::Shared,
        link: Link::Telnet,
        hgfs: Hgfs::Loaded,
        ..Boot::default()
    });
    Typist::new(guest.address()).ready();
    let mut screen = Screen::spawn(PROGRAM.to_string(), &arguments(&guest), 120, 40);
    screen.wait_for(" RUNNING ", LATER);
    screen.keys("2 z");
    screen.wait_for("Enter types into it", SOON);
    screen.keys("Enter");
    screen.wait_for("Ctrl-] ends", SOON);
    // The shell is at its prompt when it answers.
    screen.types("\recho re''ady\r");
    screen.wait_for("ready", SOON);
    screen.types("echo he''llo one; ls --color=always /\r");
    screen.wait_for("hello one", SOON);
    screen.wait_for("proc", SOON);
    // Keys of ours go to the guest too, and a program there uses the whole terminal.
    screen.types("vi /vifile\r");
    screen.wait_for("- /vifile", SOON);
    screen.types("ifrom vi");
    screen.wait_for("from vi", SOON);
    screen.keys("Esc");
    screen.wait_for("- /vifile [Modified]", SOON);
    screen.types(":wq\r");
    screen.wait_gone("~", SOON);
    screen.types("cat /vifile\r");
    screen.wait_for("from vi", SOON);

    // A flood, and a stop in its middle: the keys are ours again, the pane is locked.
    screen.types("yes kgdb-flood | head -c 300000; echo flood-en''ded\r");
    screen.wait_for("kgdb-flood", SOON);
    screen.types("\x1d");
    screen.wait_for("Enter types into it", SOON);
    screen.keys("F6");
    wait_stopped(&screen, "match");
    screen.wait_for("locked: the guest is stopped", SOON);
    screen.keys("Enter");
    screen.wait_for("its console reads nothing until it runs", SOON);
    screen.keys("F5");
    screen.wait_for(" RUNNING ", SOON);
    screen.wait_for("flood-ended", LATER);
    screen.keys("Enter");
    screen.wait_for("Ctrl-] ends", SOON);
    // Stopped by what is typed: typing ends by itself.
    screen.types("echo g > /proc/sysrq-trigger\r");
    wait_stopped(&screen, "match");
    screen.wait_for("typing into its console has ended", SOON);
    screen.keys("q");
    screen.wait_for("Leave the debugger. The guest is stopped.", SOON);
    screen.keys("c");
    assert!(screen.wait_end(SOON).success());
    let mut typist = Typist::new(guest.address());
    typist.ready();
    assert!(typist.run("cat /proc/hgfs").contains("requests "));
}
