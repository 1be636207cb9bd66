//! Watchpoints on the screen.

use super::{Bench, fixture};
use crate::base::addr::Addr;
use crate::session::answer::Answer;
use crate::session::request::{Level, Request};
use crate::session::view::{BreakpointView, State, StopReason, View};
use crate::session::watching::{Access, HardwareView, WatchHit, WatchView};
use crate::ui::message::{Effect, Message};

fn watched() -> View {
    let mut stop = fixture::stop(1, 35);
    stop.reason = StopReason::Watch(vec![WatchHit {
        number: 4,
        expression: "req->id".into(),
        access: Access::Write,
        old: "6".into(),
        new: "7".into(),
        by: None,
    }]);
    let mut view = fixture::view(State::Stopped, Some(stop));
    let plain = view.breakpoints.remove(0);
    view.hardware = HardwareView { used: 2, slots: 4 };
    view.breakpoints = vec![
        BreakpointView { kind: "hw breakpoint", ..plain.clone() },
        BreakpointView {
            number: 4,
            kind: "hw watchpoint",
            location: "req->id".into(),
            file: None,
            line: None,
            watch: Some(WatchView {
                access: Access::Write,
                address: Addr(0xffff_8880_0300_0018),
                length: 4,
                registers: 1,
                type_name: "u32".into(),
                value: "7".into(),
                frame: None,
            }),
            ..plain
        },
    ];
    view
}

#[test]
fn the_pane_shows_values_and_registers_in_use() {
    let mut bench = Bench::new(160, 48);
    bench.view(watched());
    let text = bench.text();
    for part in ["hw 2/4 ─", "hw HgfsSendRequest", "watch req->id = 7"] {
        assert!(text.contains(part), "{part}: {text}");
    }
    assert!(text.contains("watchpoint 4 req->id: 6 -> 7"), "{text}");
}

#[test]
fn what_debug_registers_need_is_agreed_to_by_a_setting() {
    let mut bench = Bench::new(160, 48);
    bench.view(watched());
    bench.keys(":");
    bench.types("watch req->id");
    let asked = bench.keys("Enter");
    let [Effect::Ask(request @ Request::Watch(_), purpose)] = &asked[..] else {
        panic!("{asked:?}")
    };
    let ask = || Answer::Confirm {
        effect: "write perf_event.state".into(),
        allow: Some(("hardware-cure", "on")),
    };
    bench.send(Message::Answer(purpose.clone(), Some(Ok(ask()))));
    assert!(bench.text().contains("write perf_event.state"), "{}", bench.text());
    let done = bench.keys("y");
    let [Effect::Ask(Request::Set(name, value), _), Effect::Ask(again, _)] = &done[..] else {
        panic!("{done:?}")
    };
    assert_eq!((name.as_str(), value.as_str()), ("hardware-cure", "on"));
    assert_eq!(again, request);
    bench.send(Message::Answer(purpose.clone(), Some(Ok(ask()))));
    assert_eq!(bench.keys("Esc"), [], "nothing is written");
    assert_ne!(bench.app.message.as_ref().map(|message| message.0), Some(Level::Error));
}
