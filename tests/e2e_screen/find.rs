//! Things found by name on a real kernel: the palette, the names in a line of
//! the source, and what is done with them.

use crate::{
    LATER, PROGRAM, SOON, alive_and_clean, arguments, busy, line_of, support::screen::Screen,
    wait_pc, wait_stopped,
};
use std::time::{Duration, Instant};

/// A letter is drawn long before this, whatever is being looked for.
const AT_ONCE: Duration = Duration::from_secs(1);

/// Opens the palette and types a text; each letter is to be seen at once.
#[track_caller]
fn look_for(screen: &mut Screen, text: &str) {
    screen.keys("O");
    screen.wait_for(" Find anything ", SOON);
    let mut typed = String::from("> ");
    for letter in text.chars() {
        let began = Instant::now();
        screen.types(&letter.to_string());
        typed.push(letter);
        screen.wait_for(typed.trim_end(), SOON);
        assert!(began.elapsed() < AT_ONCE, "{typed:?} took {:?}", began.elapsed());
    }
}

#[test]
fn names_are_found_looked_at_and_acted_on() {
    let mut guest = busy();
    let mut screen = Screen::spawn(PROGRAM.to_string(), &arguments(&guest), 160, 48);
    screen.wait_for("The guest is running", LATER);
    guest.shell().unwrap().break_in().unwrap();
    wait_stopped(&screen, "✓ match");
    screen.wait_for("└ system call from user space", LATER);

    // A function of the module, whose symbols may come while it is looked for.
    look_for(&mut screen, "sendrequest");
    screen.wait_for("▶function   HgfsSendRequest", LATER);
    screen.wait_for("noinline int HgfsSendRequest(struct HgfsReq *req)", SOON);
    screen.keys("Enter");
    screen.wait_gone(" Find anything ", SOON);
    screen.wait_for("hgfs/request.c", SOON);
    screen.keys("O");
    screen.wait_for("▶recent     HgfsSendRequest", SOON);
    screen.keys("Tab");
    screen.wait_for("●  1 HgfsSendRequest", SOON);
    screen.keys("F5");
    wait_stopped(&screen, "breakpoint 1");
    wait_pc(&screen, line_of("hgfs/request.c", "noinline int HgfsSendRequest(") + 1);

    // The caller's line has names whose values are known.
    screen.keys("u");
    screen.wait_for("▶#1  HgfsSendOpenRequest", SOON);
    screen.wait_for("ret = HgfsSendRequest(req);   ◂ ", SOON);
    screen.wait_for("req = 0xffff", SOON);
    screen.keys("1 Right Right Right K");
    screen.wait_for("req = (struct HgfsReq *) 0xffff", SOON);
    screen.wait_for("type = struct HgfsReq {", SOON);
    screen.keys("Esc");
    screen.wait_gone("type = struct HgfsReq {", SOON);
    screen.keys("v");
    screen.wait_gone("◂", SOON);

    // A type, with what is in it before it is chosen.
    look_for(&mut screen, "t:hgfsreq");
    screen.wait_for("▶struct     HgfsReq ", SOON);
    screen.wait_for("│ type = struct HgfsReq {", SOON);
    screen.keys("Enter");
    screen.wait_for("╭ ptype struct HgfsReq ", SOON);
    screen.keys("Esc");
    screen.wait_gone("╭ ptype struct HgfsReq ", SOON);

    // A register the function does not read as it is entered.
    screen.keys("d 6");
    screen.wait_for("▶#0  HgfsSendRequest", SOON);
    screen.wait_for(" rip*ffffffffc0", SOON);
    screen.keys("e");
    screen.wait_for(":set var $rax = 0x", SOON);
    screen.keys("Ctrl-U");
    screen.types("set var $rax = 0x1234");
    screen.keys("Enter");
    screen.wait_for("This changes the guest", SOON);
    screen.keys("y");
    screen.wait_for(" rax*0000000000001234 ", SOON);

    // A task, from the list that is read for it.
    look_for(&mut screen, "p:kthreadd");
    // On a busy machine the line was slow, and what takes long is asked first.
    screen.wait_until("the task, or the question", LATER, |text| {
        text.contains("▶task       2 kthreadd") || text.contains("Enter reads it")
    });
    if screen.contents().contains("Enter reads it") {
        screen.keys("Enter");
    }
    screen.wait_for("▶task       2 kthreadd", LATER);
    screen.keys("Enter");
    screen.wait_for(" 2 kthreadd: ", SOON);
    screen.wait_for("└ start of the thread", SOON);

    screen.keys("q");
    screen.wait_for("Leave the debugger. The guest is stopped.", SOON);
    screen.keys("c");
    assert!(screen.wait_end(SOON).success());
    alive_and_clean(&mut guest);
}
