//! The registers: walked, named, told in every form, edited.

use super::{Bench, fixture};
use crate::session::view::State;

fn stopped(columns: u16, rows: u16) -> Bench {
    let mut bench = Bench::new(columns, rows);
    bench.view(fixture::view(State::Stopped, Some(fixture::stop(1, 35))));
    bench.keys("6");
    bench
}

#[test]
fn a_register_is_walked_to_and_tells_what_it_points_at() {
    let mut bench = stopped(160, 48);
    assert!(bench.text().contains(" rax = 42 "), "{}", bench.text());
    // r9 is the fifth row's second.
    bench.keys("Down Down Down Down Right");
    assert!(bench.text().contains(" r9 → jiffies "), "{}", bench.text());
    bench.keys("Enter");
    assert!(bench.text().contains("points at jiffies"), "{}", bench.text());
    bench.keys("Esc Left Up Up Up Up Enter");
    assert!(bench.text().contains("rax = 0x2a = 42"), "{}", bench.text());
    assert!(bench.text().contains("0x0 at the stop before"), "{}", bench.text());
    bench.keys("Esc End Left Left Enter");
    assert!(bench.text().contains("set: IF ZF PF"), "{}", bench.text());
}

#[test]
fn a_register_is_edited_watched_and_followed() {
    let mut bench = stopped(160, 48);
    bench.keys("e");
    assert!(bench.text().contains("\n:set var $rax = 0x2a\n"), "{}", bench.text());
    bench.keys("Esc Right m");
    assert_eq!(bench.app.memory.title(), "$rbx");
    bench.keys("6 w");
    assert_eq!(bench.app.watches.watches, ["$rbx"]);
    // What a callee may have overwritten has no value to change.
    bench.keys("6 Down Down Down Down Down e");
    assert!(bench.text().contains("is not known in this frame"), "{}", bench.text());
}

#[test]
fn registers_at_the_sizes_that_matter() {
    for (columns, rows) in [(60, 15), (80, 24), (120, 35), (200, 60)] {
        let mut bench = stopped(columns, rows);
        insta::assert_snapshot!(format!("registers_{columns}x{rows}"), bench.styled());
        bench.keys("z x Down");
        insta::assert_snapshot!(format!("registers_long_{columns}x{rows}"), bench.text());
    }
}
