//! Sequences of keys, keys of the user's own, and settings that change while
//! the program runs.

use super::keys::{asks, stopped};
use crate::config::actions::Action;
use crate::config::files::Loaded;
use crate::config::keymap::Scope::Stack;
use crate::config::keymap::sequence;
use crate::config::parse::{Checks, Origin, Problem, parse};
use crate::config::theme::{Terminal, Theme};
use crate::session::request::{BreakKind, Breaking, Request, Step};
use crate::ui::layout::PaneId;
use crate::ui::message::{Effect, Message, Purpose};

fn said(text: &str) -> Message {
    let origin = Origin { path: "/home/me/config.toml".into(), trusted: true, home: None };
    let parsed = parse(text, &origin, &Checks::NONE);
    Message::Settings(Loaded {
        settings: parsed.settings,
        problems: parsed.problems,
        read: vec![origin.path],
    })
}

#[test]
fn a_sequence_shows_what_can_follow() {
    let mut bench = stopped();
    bench.send(said("keys.preset = 'vi'"));
    assert_eq!(bench.keys("Ctrl-W"), []);
    let text = bench.text();
    for part in [" Ctrl-W … ", " w j l  next pane", " o      this pane over", " Esc cancels "] {
        assert!(text.contains(part), "{part}:\n{text}");
    }
    bench.keys("v");
    assert_eq!(bench.app.focus(), PaneId::Variables);
    assert!(!bench.text().contains(" Ctrl-W … "));
    bench.keys("Ctrl-W Esc");
    assert_eq!((bench.app.pending.len(), bench.app.message.take()), (0, None));
    assert_eq!(asks(bench.keys("n")), [Request::Step(Step::LineOver, 1)], "n is n again");
    bench.keys("Ctrl-W q");
    assert!(bench.text().contains("Ctrl-W q is bound to nothing"));
    // The panes' own keys begin sequences as well.
    bench.app.keymap.bind(Stack, sequence("Ctrl-W x").unwrap(), Action::Zoom);
    bench.keys("4 Ctrl-W");
    assert!(bench.text().contains(" x o    this pane over"), "{}", bench.text());
}

#[test]
fn ctrl_c_stops_the_guest_in_the_middle_of_a_sequence() {
    let mut bench = super::keys::running("continue");
    bench.send(said("keys.preset = 'gdb'"));
    assert_eq!(bench.keys("Ctrl-X"), []);
    assert_eq!(asks(bench.keys("Ctrl-C")), [Request::BreakIn]);
    assert!(bench.app.pending.is_empty());
}

#[test]
fn what_can_follow_fits_every_size() {
    for (columns, rows) in [(60, 15), (80, 24), (120, 35), (200, 60)] {
        let mut bench = super::Bench::new(columns, rows);
        bench.send(said("keys.preset = 'vi'"));
        bench.app.message = None;
        bench.keys("Ctrl-W");
        insta::assert_snapshot!(format!("sequence_{columns}x{rows}"), bench.text());
    }
}

#[test]
fn a_key_may_do_any_line() {
    let mut bench = stopped();
    bench.send(said("[keys.everywhere]\nF4 = 'break $pc'\nF3 = 'focus tasks'\nq = ''\n"));
    let request = Request::Break(Breaking::at(BreakKind::Kept, "$pc"));
    let line = Purpose::Line("break $pc".into());
    assert_eq!(bench.keys("F4"), [Effect::Ask(request, line)], "its answer is shown");
    bench.keys("F3");
    assert_eq!(bench.app.focus(), PaneId::Tasks);
    bench.keys("q");
    assert!(!bench.text().contains("Let it run"), "q does nothing now:\n{}", bench.text());
    bench.keys("? End");
    assert!(bench.text().contains("F4                 break $pc"), "{}", bench.text());
}

#[test]
fn every_action_can_be_typed_and_does_the_same() {
    let mut bench = stopped();
    for line in ["focus stack", "cursor-down", "open"] {
        bench.keys(":");
        bench.types(line);
        let effects = bench.keys("Enter");
        if line == "open" {
            assert_eq!(asks(effects), [Request::Frame(1)]);
        }
    }
    bench.keys(":");
    bench.types("zoom");
    bench.keys("Enter");
    assert!(bench.app.zoom);
}

#[test]
fn settings_that_change_are_taken_in() {
    let mut bench = stopped();
    bench.app.terminal = Terminal::default();
    let set = |name: &str, value: &str| Request::Set(name.into(), value.into());
    let effects = bench.send(said(
        "theme = 'mono'\n[set]\nlistsize = 30\n[source.substitute-path]\n'/a' = '/b'\n",
    ));
    assert_eq!(asks(effects), [set("listsize", "30"), set("substitute-path", "/a /b")]);
    assert_eq!(bench.app.theme, Theme::Mono);
    assert!(bench.text().contains("the settings were read again"));
    // What says the same is not asked again.
    let again = "theme = 'light-16'\nconnect = 'other:1'\n[set]\nlistsize = 30\n\
                 [source.substitute-path]\n'/a' = '/b'\n";
    assert_eq!(bench.send(said(again)), []);
    assert_eq!(bench.app.theme, Theme::Light16);
    assert!(bench.text().contains("read again; connect at the next start only"));
    bench.send(said("[keys.everywhere]\nx = 'zoom'\ny = 1\n[kesy]\nz = 1\n"));
    let text = bench.text();
    let first = "! config.toml:3: y is the name of an action, in quotes, not a number";
    assert!(text.contains(first) && text.contains("(and 1 more"), "{text}");
    bench.keys("3");
    assert!(bench.text().contains("unknown setting 'kesy'; did you mean keys?"));
    bench.keys("1 x");
    assert!(bench.app.zoom, "the rest holds");
}

#[test]
fn layout_and_mouse_change_at_once() {
    let mut bench = stopped();
    bench.send(said("layout = 'triage'"));
    assert_eq!(bench.app.layout.preset.name(), "triage");
    assert_eq!(bench.send(said("layout = 'triage'\nmouse = false")), [Effect::Mouse(false)]);
    assert_eq!(bench.send(said("mouse = true")), [Effect::Mouse(true)]);
    assert_eq!(bench.app.layout.preset.name(), "triage", "no word about it, no change");
}

#[test]
fn what_is_wrong_at_the_start_is_on_the_screen() {
    let mut bench = stopped();
    let problem =
        Problem { path: "/home/me/config.toml".into(), line: 7, what: "it is wrong".into() };
    let loaded = Loaded { problems: vec![problem], ..Loaded::default() };
    crate::ui::settings::start(&mut bench.app, loaded);
    assert!(bench.text().contains("! config.toml:7: it is wrong"));
}
