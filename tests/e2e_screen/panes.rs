//! The panes beside the stack on a real guest: tasks, CPUs, memory, values.

use crate::{
    LATER, PROGRAM, SOON, arguments, busy, run, support::screen::Screen, type_breakpoint,
    wait_stopped,
};

#[test]
fn tasks_cpus_memory_and_values_are_looked_into() {
    let mut guest = busy();
    let mut screen = Screen::spawn(PROGRAM.to_string(), &arguments(&guest), 160, 48);
    screen.wait_for("The guest is running", LATER);
    guest.shell().unwrap().break_in().unwrap();
    wait_stopped(&screen, "✓ match");
    screen.wait_for("└ system call from user space", LATER);

    // Tasks: only those with a text, and the stack of one that sleeps.
    screen.keys("8");
    screen.wait_for("[kthreadd]", SOON);
    screen.keys("/");
    screen.types("kthreadd");
    screen.keys("Enter");
    screen.wait_gone("     1 init", SOON);
    screen.wait_for("2 [kthreadd]", SOON);
    screen.keys("Enter");
    screen.wait_for(" 2 kthreadd: ", SOON);
    screen.wait_for("#1  __schedule", SOON);
    screen.wait_for("kthreadd ", SOON);
    screen.wait_for("└ start of the thread", SOON);

    // CPUs: both are there, and the stack of the other one.
    screen.keys("9");
    screen.wait_for(" CPU0 ", SOON);
    screen.wait_for("CPU1 ", SOON);
    screen.find("stopped here");
    screen.keys("}");
    screen.wait_gone(" 2 kthreadd: ", SOON);
    screen.keys("7");

    // Values: into a struct that a pointer points at.
    type_breakpoint(&mut screen);
    screen.keys("F5");
    wait_stopped(&screen, "breakpoint 1");
    screen.wait_for("›▸req 0xffff", SOON);
    screen.keys("5 Enter");
    screen.wait_for("›▾req", SOON);
    screen.wait_for("attempts : 4", SOON);
    screen.keys("Enter");
    screen.wait_gone("attempts : 4", SOON);

    // The memory the pointer points at, as words.
    let (row, column) = screen.find("›▸req 0xffff");
    let text: String = screen.rows()[usize::from(row)].chars().skip(column.into()).collect();
    let address = text.split("0x").nth(1).unwrap().split(' ').next().unwrap().to_string();
    screen.keys("m");
    screen.wait_for(&format!(" {address} "), SOON);

    // A watch stays over a stop.
    screen.keys("W w");
    screen.types("req->id");
    screen.keys("Enter");
    screen.wait_for("req->id", SOON);
    screen.keys("F5");
    screen.wait_for(" 2 hits", LATER);
    wait_stopped(&screen, "breakpoint 1");
    screen.wait_for("req->id ", SOON);

    screen.keys("q");
    screen.wait_for("Leave the debugger. The guest is stopped.", SOON);
    screen.keys("c");
    assert!(screen.wait_end(SOON).success());
    assert!(run(&mut guest, "cat /proc/hgfs").contains("requests "));
}
