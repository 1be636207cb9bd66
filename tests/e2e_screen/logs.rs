//! The kernel's log, instructions and packets on a real guest: the same lines
//! as its own `dmesg`, in the same order; a warning's line leads to its source.

use crate::{LATER, PROGRAM, SOON, arguments, busy, run, support::screen::Screen, wait_stopped};

/// The texts of what the guest's own `dmesg` prints, as far as a row shows them.
fn texts(dmesg: &str) -> Vec<String> {
    dmesg.lines().map(|line| line.trim_end().chars().take(100).collect()).collect()
}

#[test]
fn the_log_is_the_guests_own_and_leads_to_source() {
    let mut guest = busy();
    // Nothing of it on the console, which is the shell's.
    run(&mut guest, "dmesg -n 1; insmod /lib/modules/hgfs-crash.ko");
    run(&mut guest, "(echo warn > /proc/hgfs-crash); true");
    // Without their times: such lines are taken for what the kernel prints meanwhile.
    let printed = run(&mut guest, "dmesg | tail -n 70 | sed 's/^.[^]]*. //'");
    let own = texts(&printed);
    assert!(own.iter().any(|line| line.contains("RIP: 0010:CrashWarn+0x")), "{printed:?}");

    let mut screen = Screen::spawn(PROGRAM.to_string(), &arguments(&guest), 160, 48);
    screen.wait_for("The guest is running", LATER);
    guest.shell().unwrap().break_in().unwrap();
    wait_stopped(&screen, "✓ match");
    screen.wait_for("└ system call from user space", LATER);

    // The newest lines, in the guest's order.
    screen.keys("L z");
    screen.wait_until("lines of the log", SOON, |text| {
        text.contains(" lines ─") && !text.contains("reading …")
    });
    // The newest of all is drawn last.
    screen.wait_for("sysrq: DEBUG", SOON);
    let rows = screen.rows();
    let wanted = &own[own.len() - 20..];
    let mut from = 0;
    for line in wanted {
        let at = rows[from..].iter().position(|row| row.contains(line.as_str()));
        from +=
            at.unwrap_or_else(|| panic!("no {line:?} in its place:\n{}", screen.contents())) + 1;
    }

    // Further back, one line alone, and the source it names.
    screen.keys("Home Up");
    screen.wait_for("older lines, about", SOON);
    screen.wait_until("more lines", SOON, |text| !text.contains("reading …"));
    screen.keys("/");
    screen.types("RIP: 0010:CrashWarn");
    screen.keys("Enter");
    screen.wait_for("RIP: 0010:CrashWarn+0x", SOON);
    screen.keys("Enter");
    screen.wait_for("hgfs-crash.c", SOON);
    screen.wait_for("CrashWarn(void)", SOON);
    screen.keys("z");

    // What that took is in the log of the wire.
    screen.keys("X");
    screen.wait_for("→ dmesg", SOON);
    screen.wait_for("bytes: ", SOON);

    // The instructions of a function, and a breakpoint at one of them.
    screen.keys("D g");
    screen.types("vfs_read");
    screen.keys("Enter");
    screen.wait_for("D Disassembly vfs_read", SOON);
    screen.keys("b");
    screen.wait_for("●", SOON);
    screen.keys("b .");
    screen.wait_gone("D Disassembly vfs_read", SOON);

    screen.keys("q");
    screen.wait_for("Leave the debugger. The guest is stopped.", SOON);
    screen.keys("c");
    assert!(screen.wait_end(SOON).success());
    assert!(run(&mut guest, "cat /proc/hgfs").contains("requests "));
}
