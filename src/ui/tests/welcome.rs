//! What a first start says, and how it goes away.

use super::{Bench, fixture};
use crate::session::view::State;
use crate::ui::{tour::Tour, welcome};

fn welcomed(columns: u16, rows: u16) -> Bench {
    let mut bench = Bench::new(columns, rows);
    bench.app.tour = Tour::new(welcome::steps(&bench.app));
    bench.view(fixture::view(State::Stopped, Some(fixture::stop(1, 35))));
    bench
}

#[test]
fn what_was_tried_is_told_no_longer() {
    let mut bench = welcomed(160, 48);
    assert!(bench.text().contains("1/3 Welcome."), "{}", bench.text());
    assert!(bench.text().contains("? or F1 lists all keys of a pane"), "{}", bench.text());
    bench.keys("Down n");
    assert!(bench.text().contains("1/3 "), "nothing of it was tried");
    bench.keys("? Esc");
    assert!(bench.text().contains("2/3 Ctrl-P or F2 finds anything"), "{}", bench.text());
    bench.keys("O Esc");
    assert!(bench.text().contains("3/3 Tab and the digits"), "{}", bench.text());
    bench.keys("Down");
    assert!(bench.app.tour.is_none());
}

#[test]
fn esc_takes_it_away_at_every_size() {
    for (columns, rows) in [(80, 24), (120, 35), (200, 60)] {
        let mut bench = welcomed(columns, rows);
        assert!(bench.text().contains("1/3 Welcome."), "{}", bench.text());
        bench.keys("Esc");
        assert!(!bench.text().contains("Welcome"), "{}", bench.text());
    }
}
