//! The picture of the README: the real screen on the real guest, recorded.

use crate::support::{
    screen::Screen,
    svg::{self, Shot},
};
use crate::{LATER, PROGRAM, SOON, arguments, busy, line_of, pc_line, status, wait_stopped};
use std::{fs, path::Path};

/// Takes shots of a screen.
struct Camera {
    screen: Screen,
    shots: Vec<Shot>,
}

impl Camera {
    fn shoot(&mut self, caption: &str, seconds: f64) {
        let (rows, caption) = (self.screen.cells(), caption.to_string());
        self.shots.push(Shot { rows, caption, seconds });
    }
}

/// Makes `assets/screen.svg` anew:
/// `cargo test --test e2e_screen -- --ignored picture`.
#[test]
#[ignore = "writes assets/screen.svg"]
fn picture() {
    let mut guest = busy();
    let state = tempfile::tempdir().unwrap();
    let arguments = arguments(&guest);
    let colours = [("COLORTERM", "truecolor")];
    let screen =
        Screen::spawn_in(PROGRAM.to_string(), &arguments, (150, 42), state.path(), &colours);
    let mut camera = Camera { screen, shots: Vec::new() };
    camera.screen.wait_for("The guest is running", LATER);
    camera.shoot("kgdb-tui --vmlinux vmlinux: the guest runs, and this link has no BREAK", 3.0);

    guest.shell().unwrap().break_in().unwrap();
    wait_stopped(&camera.screen, "✓ match");
    camera.screen.wait_for("└ system call from user space", LATER);
    camera.shoot("stopped: the slide is found, the vmlinux proven, the module's symbols read", 3.0);

    camera.screen.keys("Ctrl-P");
    camera.screen.types("hgfsendreq");
    camera.screen.wait_for("HgfsSendRequest", SOON);
    camera.shoot("Ctrl-P: everything that has a name, by a few of its letters", 4.0);
    camera.screen.keys("Esc");
    camera.screen.wait_gone("Find anything", SOON);

    crate::type_breakpoint(&mut camera.screen);
    camera.screen.keys("F5");
    wait_stopped(&camera.screen, "breakpoint 1");
    camera.screen.wait_for("HgfsSendRequest(req=0xffff", LATER);
    camera.screen.wait_for("›▸req 0xffff", SOON);
    camera.shoot("F5: the breakpoint is hit; stack, variables and registers are there", 4.0);

    // The first line reads `current`, which is in a header.
    camera.screen.keys("n");
    wait_stopped(&camera.screen, " step ");
    camera.screen.keys("n");
    let entry = line_of("hgfs/request.c", "noinline int HgfsSendRequest(") + 1;
    camera.screen.wait_until("a line further on", LATER, |text| {
        let further = |(_, at): (u16, u32)| at > entry;
        text.contains("hgfs/request.c [hgfs]")
            && status(text).is_some_and(|status| status.contains(" step "))
            && pc_line(&camera.screen).is_some_and(further)
    });
    camera.screen.wait_for("▸req 0xffff", LATER);
    camera.screen.keys("5 Enter");
    camera.screen.wait_for("▾req", SOON);
    camera.screen.wait_for("HGFS_OP_", SOON);
    camera.shoot("n steps, Enter opens the structure: only what is seen is read", 4.0);

    camera.screen.keys("8");
    camera.screen.wait_for("8 Tasks", SOON);
    camera.screen.wait_for("HgfsSendRequest", SOON);
    camera.shoot("8: every task, and the function it waits in", 4.0);

    let svg = svg::picture(&camera.shots);
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("assets/screen.svg");
    fs::write(&file, &svg).unwrap();
    camera.screen.keys("q");
    camera.screen.wait_for("Leave the debugger", SOON);
    camera.screen.keys("c");
    assert!(camera.screen.wait_end(SOON).success());
}

#[test]
fn a_picture_has_the_text_the_colours_and_a_time_for_each_screen() {
    let shot = |bytes: &[u8], caption: &str| {
        let (rows, columns) = (2.try_into().unwrap(), 8.try_into().unwrap());
        let mut parser = vt100::Parser::new(rows, columns, 0);
        parser.process(bytes);
        let cell = |row, column| parser.screen().cell(row, column).unwrap().clone();
        let rows = (0..2).map(|row| (0..8).map(|column| cell(row, column)).collect()).collect();
        Shot { rows, caption: caption.into(), seconds: 2.0 }
    };
    let first = shot(b"\x1b[1;38;2;255;0;0ma<b\x1b[0m c", "one");
    let svg = svg::picture(&[first, shot("\x1b[7m宽\x1b[0m".as_bytes(), "two")]);
    assert!(svg.contains("class=\"b\" style=\"fill:#ff0000\">a&lt;b</text>"), "{svg}");
    assert!(svg.contains("viewBox=\"0 0 64 "), "{svg}");
    // A wide character has two cells; reversed, it has a ground.
    assert!(svg.contains("<rect x=\"0\" y=\"0\" width=\"16\""), "{svg}");
    assert!(svg.contains("50.00% { visibility: visible }"), "{svg}");
    assert_eq!(svg.matches("<g ").count(), svg.matches("</g>").count());
}
