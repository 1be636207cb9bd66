//! What is different when a record takes the guest's place.

use super::{Bench, fixture};
use crate::session::replay_view::ReplayView;
use crate::session::view::State;
use crate::ui::message::{Effect, Exit};
use std::time::Instant;

fn replayed(columns: u16, rows: u16, state: State, seconds: Option<f64>) -> Bench {
    let mut bench = Bench::new(columns, rows);
    let mut view = fixture::view(state, Some(fixture::stop(1, 35)));
    view.link.replay = Some(ReplayView { stop: 3, stops: 7, seconds });
    bench.view(view);
    bench
}

#[test]
fn the_status_says_that_it_is_a_record_and_where_in_it() {
    for (columns, rows) in [(80, 24), (160, 48)] {
        let bench = replayed(columns, rows, State::Stopped, Some(12.34));
        let text = bench.text();
        assert!(text.contains(" REPLAY "), "{text}");
        assert!(text.contains("stop 3 of 7, at 12.3 s"), "{text}");
        assert!(!text.contains("STOPPED"), "{text}");
        let running = State::Running { since: Instant::now(), what: "end of the record".into() };
        let text = replayed(columns, rows, running, None).text();
        assert!(text.contains(" REPLAY ENDS "), "{text}");
        assert!(text.contains("the record ends after stop 7"), "{text}");
    }
}

#[test]
fn nobody_is_asked_what_becomes_of_the_guest() {
    let mut bench = replayed(80, 24, State::Stopped, Some(1.0));
    assert_eq!(bench.keys("q"), [Effect::Exit(Exit::NoGuest)]);
}
