//! What the screen asks and shows while a break-in is under way.

use super::{Bench, fixture};
use crate::session::request::Request;
use crate::session::view::State;
use crate::ui::message::{Effect, Purpose};

fn breaking_in(asks: Option<&str>) -> State {
    State::BreakingIn {
        what: "this link has no BREAK; type in the guest as root: echo g > /proc/sysrq-trigger"
            .into(),
        asks: asks.map(Into::into),
    }
}

fn bench() -> Bench {
    let mut bench = Bench::new(80, 24);
    let state = State::Running { since: bench.start, what: "continue".into() };
    bench.view(fixture::view(state, None));
    bench
}

const QUESTION: &str = "type 'echo g > /proc/sysrq-trigger' into the shell";

#[test]
fn typing_on_the_console_is_asked_for_once() {
    let mut bench = bench();
    bench.view(fixture::view(breaking_in(Some(QUESTION)), None));
    assert!(bench.text().contains("sysrq-trigger' into"), "{}", bench.text());
    assert_eq!(bench.keys("Esc"), [], "no is an answer");
    bench.view(fixture::view(breaking_in(Some(QUESTION)), None));
    assert!(!bench.text().contains("do it"), "{}", bench.text());
    assert!(bench.text().contains("    echo g > /proc/sysrq-trigger"), "{}", bench.text());
    // Asked again to stop it, it asks again.
    assert_eq!(bench.keys("F6"), []);
    assert!(bench.text().contains("do it"), "{}", bench.text());
    bench.keys("Esc");
    // Esc once more gives the break-in up.
    assert_eq!(bench.keys("Esc"), [Effect::Ask(Request::CancelBreakIn, Purpose::Key)]);
}

#[test]
fn yes_is_a_request_and_the_question_goes_when_it_is_void() {
    let mut bench = bench();
    bench.view(fixture::view(breaking_in(Some(QUESTION)), None));
    let line = Purpose::Line("interrupt shell".into());
    assert_eq!(bench.keys("y"), [Effect::Ask(Request::BreakInByShell, line)]);
    bench.view(fixture::view(breaking_in(None), None));
    bench.view(fixture::view(breaking_in(Some(QUESTION)), None));
    assert!(bench.text().contains("do it"));
    bench.view(fixture::view(State::Stopped, Some(fixture::stop(1, 35))));
    assert!(!bench.text().contains("do it"), "{}", bench.text());
}

#[test]
fn a_question_does_not_come_over_what_is_typed() {
    let mut bench = bench();
    bench.keys(":");
    bench.types("info target");
    bench.view(fixture::view(breaking_in(Some(QUESTION)), None));
    assert!(!bench.text().contains("do it"), "{}", bench.text());
    let effects = bench.keys("Enter");
    assert!(matches!(&effects[..], [Effect::Ask(Request::Target, _)]), "{effects:?}");
}

#[test]
fn a_key_plants_while_the_guest_runs() {
    assert_eq!(bench().keys("P"), [Effect::Ask(Request::Plant, Purpose::Key)]);
}
