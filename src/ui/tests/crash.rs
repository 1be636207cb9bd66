//! The popup of a crash.

use super::keys::asks;
use super::{Bench, fixture};
use crate::base::addr::Addr;
use crate::session::answer::{Answer, Failure};
use crate::session::crash_view::{CrashEvent, CrashView, Way};
use crate::session::request::Request;
use crate::session::view::{State, StopReason, StopView};
use crate::ui::message::{Message, Purpose};
use crate::ui::popups::Popup;
use insta::assert_snapshot;
use std::sync::Arc;

fn crash() -> CrashView {
    let way = |key, command, does: &str| Way { key, command, does: does.into() };
    CrashView {
        event: "oops",
        headline: "NULL pointer".into(),
        reason: "NULL pointer: HgfsSendRequest reads 4 bytes at 0x38: member `handle` of a NULL \
                 `struct HgfsFile *` (`file`, in rax)"
            .into(),
        instruction: Some("mov 0x38(%rax),%eax".into()),
        operand: Some("0x38(%rax) with rax = 0x0".into()),
        address: Some(Addr(0x38)),
        message: Some("Oops".into()),
        error: Some("read in kernel mode; no page is there".into()),
        repeats: true,
        ways: vec![
            way('s', "skip", "go over the instruction without executing it"),
            way('v', "set var", "change a register or memory: set var $rax = …"),
            way('p', "pass", "let the kernel deal with it: it kills pid 812"),
            way('c', "continue", "execute it again, after a change"),
            way('b', "reboot", "restart the machine at once"),
        ],
        ..CrashView::default()
    }
}

fn crashed(crash: CrashView) -> StopView {
    let reason = StopReason::Crash {
        number: None,
        event: CrashEvent::of(crash.event).unwrap(),
        headline: crash.headline.clone(),
    };
    StopView { reason, crash: Some(Arc::new(crash)), ..fixture::stop(1, 35) }
}

fn bench(columns: u16, rows: u16) -> Bench {
    let mut bench = Bench::new(columns, rows);
    bench.view(fixture::view(State::Stopped, Some(crashed(crash()))));
    bench
}

#[test]
fn a_crash_says_what_can_be_done() {
    for (columns, rows) in [(80, 24), (160, 48)] {
        assert_snapshot!(bench(columns, rows).text());
    }
}

#[test]
fn each_way_has_its_key() {
    assert_eq!(asks(bench(80, 24).keys("s")), [Request::Skip]);
    assert_eq!(asks(bench(80, 24).keys("p")), [Request::PassException]);
    assert_eq!(asks(bench(80, 24).keys("b")), [Request::Reboot { confirmed: false }]);
    let mut change = bench(80, 24);
    assert_eq!(asks(change.keys("v")), []);
    assert!(change.text().contains(":set var $rax ="), "{}", change.text());
    // Looking around closes it, and nothing is done.
    let mut closed = bench(80, 24);
    assert_eq!(asks(closed.keys("Esc")), []);
    assert!(matches!(closed.app.popup, Popup::None));
    // It does not come back by itself at the same stop.
    closed.view(fixture::view(State::Stopped, Some(crashed(crash()))));
    assert!(matches!(closed.app.popup, Popup::None));
}

#[test]
fn running_into_it_again_is_asked_about() {
    let mut bench = bench(80, 24);
    bench.keys("Esc");
    assert_eq!(asks(bench.keys("F5")), [Request::Continue]);
    let refused = Failure::Repeats("the guest would run into the same exception again".into());
    bench.send(Message::Answer(Purpose::Run, Some(Err(refused))));
    assert!(matches!(bench.app.popup, Popup::Crash), "{}", bench.text());
    assert!(bench.text().contains("the same exception again"), "{}", bench.text());
    // The second time it is meant.
    assert_eq!(asks(bench.keys("c")), [Request::Continue]);
    bench.view(fixture::view(
        State::Running { since: bench.start, what: "continue".into() },
        Some(fixture::stop(1, 35)),
    ));
    assert!(matches!(bench.app.popup, Popup::None));
}

#[test]
fn a_warning_opens_nothing() {
    let mut bench = Bench::new(80, 24);
    let warning = CrashView { event: "warn", ways: Vec::new(), ..crash() };
    bench.view(fixture::view(State::Stopped, Some(crashed(warning.clone()))));
    assert!(matches!(bench.app.popup, Popup::None));
    let answer = Answer::Crash { crash: Box::new(warning) };
    bench.send(Message::Answer(Purpose::Line("info crash".into()), Some(Ok(answer))));
    assert!(matches!(bench.app.popup, Popup::Output(_)));
}
