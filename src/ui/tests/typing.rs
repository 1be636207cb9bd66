//! The console pane as a terminal: typed into while the guest runs.

use super::{Bench, fixture};
use crate::config::key::Key;
use crate::session::answer::Failure;
use crate::session::request::{Request, Update};
use crate::session::view::State;
use crate::ui::layout::PaneId;
use crate::ui::message::{Effect, Message, Purpose};
use crossterm::event::{KeyCode, KeyEvent, KeyModifiers};
use insta::assert_snapshot;
use std::time::Instant;

fn running() -> State {
    State::Running { since: Instant::now(), what: "continue".into() }
}

/// A guest that runs, with some text on its console.
fn bench(columns: u16, rows: u16) -> Bench {
    let mut bench = Bench::new(columns, rows);
    bench.view(fixture::view(running(), Some(fixture::stop(1, 35))));
    print(&mut bench, "[   12.3] hgfs: up\r\n\x1b[1;31mred\x1b[m and \x1b[42mgreen\x1b[m\r\n# ");
    bench
}

fn print(bench: &mut Bench, text: &str) -> Vec<Effect> {
    bench.send(Message::Update(Update::Console(text.as_bytes().to_vec())))
}

fn typed(effects: &[Effect]) -> String {
    let bytes = effects.iter().filter_map(|effect| match effect {
        Effect::Ask(Request::Console(bytes), _) => Some(bytes.clone()),
        _ => None,
    });
    String::from_utf8(bytes.flatten().collect()).unwrap()
}

/// The key as crossterm reads the byte 0x1d.
fn ctrl_bracket() -> Message {
    let event = KeyEvent::new(KeyCode::Char('5'), KeyModifiers::CONTROL);
    Message::Key(Key::of(event))
}

#[test]
fn the_console_while_it_is_typed_into() {
    for (columns, rows) in [(80, 24), (160, 48)] {
        let mut bench = bench(columns, rows);
        bench.keys("2 Enter");
        print(&mut bench, "ls -l");
        assert_snapshot!(format!("console_typing_{columns}x{rows}"), bench.styled());
    }
}

#[test]
fn every_key_goes_to_the_guest_until_one_ends_it() {
    let mut bench = bench(160, 48);
    bench.keys("2");
    assert!(bench.text().contains("Enter types into it"), "{}", bench.text());
    assert_eq!(bench.keys("Enter"), []);
    assert!(bench.text().contains("Ctrl-] ends typing to the guest"), "{}", bench.text());
    let effects = bench.keys("q F6 Ctrl-C Ctrl-Z : Tab Esc 1 Up Enter");
    assert_eq!(typed(&effects), "q\x1b[17~\x03\x1a:\t\x1b1\x1b[A\r");
    assert_eq!(bench.app.focus(), PaneId::Console);
    let effects = bench.send(Message::Paste("two\r\nlines\n\x1b[201~".into()));
    assert_eq!(typed(&effects), "two\rlines\r[201~");
    print(&mut bench, "\x1b[?2004h");
    let effects = bench.send(Message::Paste("x".into()));
    assert_eq!(typed(&effects), "\x1b[200~x\x1b[201~");
    assert_eq!(typed(&print(&mut bench, "\x1b[6n")), "\x1b[3;3R");

    assert_eq!(bench.send(ctrl_bracket()), []);
    assert!(!bench.app.console.typing);
    assert_eq!(print(&mut bench, "\x1b[6n"), [], "no byte of ours goes to the guest");
    assert!(matches!(bench.keys("F6")[..], [Effect::Ask(Request::BreakIn, _)]));
}

#[test]
fn a_stop_ends_it_and_locks_the_pane() {
    let mut bench = bench(160, 48);
    bench.keys("2 i");
    assert!(bench.app.console.typing);
    bench.view(fixture::view(State::Stopped, Some(fixture::stop(2, 36))));
    assert!(!bench.app.console.typing);
    assert!(bench.text().contains("typing into its console has ended"), "{}", bench.text());
    assert!(bench.text().contains("locked: the guest is stopped"));
    // What was pressed a moment too late is a key of ours, and does no harm.
    assert_eq!(typed(&bench.keys("Enter")), "");
    assert!(bench.text().contains("its console reads nothing until it runs; F5/c lets it run"));
    // A key that was on the way when it stopped is refused by the session.
    let refused = Failure::Other("the guest is stopped: …".into());
    bench.send(Message::Answer(Purpose::Key, Some(Err(refused))));
    assert!(bench.text().contains("the guest is stopped: …"));
}

#[test]
fn another_pane_takes_the_keys_back() {
    let mut bench = bench(160, 48);
    bench.keys("2 Enter");
    bench.app.give_focus(PaneId::Source);
    assert!(!bench.app.console.typing);
    bench.keys("2 /");
    bench.types("hgfs");
    bench.keys("Enter");
    let text = bench.text();
    assert!(
        text.contains("/hgfs, Enter types into it") && !text.contains("red and green"),
        "{text}"
    );
    // What is typed into is seen whole.
    bench.keys("Enter");
    assert!(bench.text().contains("red and green"));
}
