//! Places where a breakpoint would cost the guest are refused; the user may
//! insist.

use crate::facts::{alive, setup, start_stopped};
use crate::support::guest::boot;
use kgdb_tui::demo::guest::Boot;

#[test]
fn breakpoints_that_would_cost_the_guest() {
    let mut guest = boot(&Boot::default());
    // The location, and a word of the reason.
    let refused = [
        // Measured: each of these ends the guest as soon as it is planted.
        ("__text_poke", "plants and lifts"),
        ("text_poke_kgdb", "plants and lifts"),
        ("switch_mm_irqs_off", "plants and lifts"),
        ("_raw_spin_lock", "plants and lifts"),
        ("walk_to_pmd", "plants and lifts"),
        // These lose every breakpoint.
        ("memcmp", "plants and lifts"),
        ("copy_from_kernel_nofault", "debugger itself"),
        ("gdb_serial_stub", "debugger itself"),
        ("serial8250_put_poll_char", "serial port"),
        ("entry_SYSCALL_64", "entry code"),
        ("exc_nmi", "noinstr"),
        ("notify_die", "own list"),
        ("*vfs_read+1", "middle of an instruction"),
        ("*init_task", "not code"),
    ];
    let breaks: Vec<String> = refused.iter().map(|(place, _)| format!("break {place}")).collect();
    let mut commands: Vec<&str> = breaks.iter().map(String::as_str).collect();
    // A function that is refused only to be on the safe side.
    let forced = "break --force kgdboc_get_char";
    let more = ["break vfs_read", "info breakpoints", forced, "delete", "tbreak ksys_write"];
    commands.extend(more);
    commands.extend(["continue", "next", "detach"]);
    let setup = setup(&guest);
    let mut batch = start_stopped(&mut guest, setup, &commands);
    for (command, (_, word)) in breaks.iter().zip(refused) {
        let answer = batch.ok(command);
        let wish = &answer["breakpoints"][0];
        assert_eq!(wish["state"], "refused", "{answer}");
        let why = wish["why"].as_str().unwrap();
        assert!(why.contains(word), "{command}: {why}");
        assert!(why.contains("--force"), "the way round is told: {why}");
    }
    assert_eq!(batch.ok("break vfs_read")["breakpoints"][0]["state"], "armed");
    let all = batch.ok("info breakpoints");
    let armed = all["breakpoints"].as_array().unwrap().iter().filter(|b| b["state"] == "armed");
    assert_eq!(armed.count(), 1, "{all}");
    assert_eq!(batch.ok(forced)["breakpoints"][0]["state"], "armed");
    batch.ok("delete");
    batch.ok("tbreak ksys_write");
    assert_eq!(batch.stop("continue")["function"], "ksys_write");
    batch.stop("next");
    batch.ok("detach");
    batch.end().all_good();
    alive(&mut guest);
}
