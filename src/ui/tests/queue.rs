//! What of the screen is still to be read.

use super::{Bench, fixture};
use crate::session::view::State;

#[test]
fn the_status_tells_how_much_is_still_to_be_read() {
    let status = |columns, queue| {
        let mut bench = Bench::new(columns, 24);
        let mut view = fixture::view(State::Stopped, Some(fixture::stop(1, 35)));
        view.link.queue = queue;
        bench.view(view);
        bench.text()
    };
    let text = status(160, 3);
    assert!(text.contains("11.2 kB/s 3 to read"), "{text}");
    assert!(!status(160, 0).contains("to read"));
    // There is no room for it beside what matters more.
    let text = status(80, 3);
    assert!(text.contains("STOPPED") && text.contains("✓ match"), "{text}");
}
