//! Every pane at every size that matters, with styles, cut out of the screen.

use super::{Bench, fixture, rows, runs};
use crate::session::view::State;
use crate::ui::layout::{PaneId, WANTED};
use insta::assert_snapshot;
use ratatui::{buffer::Buffer, layout::Rect};

const SIZES: [(u16, u16); 4] = [(60, 15), (80, 24), (120, 35), (200, 60)];

/// Where a pane is on a screen of a size; the whole screen where it has no room.
fn cut(pane: PaneId, (columns, height): (u16, u16)) -> Buffer {
    let mut bench = Bench::new(columns, height);
    bench.view(fixture::view(State::Stopped, Some(fixture::stop(1, 35))));
    bench.keys(&pane.key().to_string());
    // What it has asked for is in the fixture's views.
    bench.view(fixture::view(State::Stopped, Some(fixture::stop(2, 36))));
    let whole = bench.buffer();
    let arranged = bench.app.arrangement();
    let Some(slot) = arranged.slot(pane) else { return whole };
    let area = slot.area;
    let mut part = Buffer::empty(Rect::new(0, 0, area.width, area.height));
    for (to, from) in part.area.positions().zip(area.positions()) {
        part[to] = whole[from].clone();
    }
    part
}

#[test]
fn every_pane_at_every_size() {
    for pane in WANTED {
        let mut text = String::new();
        for size in SIZES {
            let part = cut(pane, size);
            let (text_rows, styles) = (rows(&part, |_| true), runs(&part));
            text.push_str(&format!("{}x{}\n{text_rows}{styles}\n", size.0, size.1));
        }
        assert_snapshot!(format!("pane_{}", pane.title().to_lowercase()), text);
    }
}
