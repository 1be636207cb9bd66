//! The modules pane, and commands of files.

use super::{Bench, fixture};
use crate::command::script::Step;
use crate::session::answer::{Answer, Failure};
use crate::session::request::{BreakKind, Breaking, Request};
use crate::session::view::{Match, ModuleView, State, View};
use crate::ui::layout::PaneId;
use crate::ui::message::{Effect, Message, Purpose};
use insta::assert_snapshot;

fn view(modules: Vec<ModuleView>) -> View {
    View { modules, ..fixture::view(State::Stopped, Some(fixture::stop(1, 35))) }
}

fn bench(columns: u16, rows: u16) -> Bench {
    let mut bench = Bench::new(columns, rows);
    bench.view(view(fixture::modules()));
    bench.keys("M");
    bench
}

/// The names in the rows of the pane, which fills the screen.
fn names(bench: &Bench) -> Vec<String> {
    let text = bench.text();
    let rows = text.lines().skip(1).take_while(|row| !row.trim().is_empty());
    rows.filter_map(|row| row.split_whitespace().nth(1)).map(str::to_string).collect()
}

#[test]
fn modules_at_the_sizes_that_matter() {
    assert_snapshot!(bench(160, 48).styled());
    assert_snapshot!(bench(120, 35).styled());
    assert_snapshot!(bench(80, 24).styled());
    let mut zoomed = bench(120, 35);
    zoomed.keys("z Down Down");
    assert_snapshot!(zoomed.styled());
}

#[test]
fn modules_are_wanted_while_they_are_seen() {
    let mut bench = Bench::new(160, 48);
    bench.view(view(fixture::modules()));
    let wants = |effects: &[Effect]| match effects {
        [Effect::Ask(Request::Want(wants), _)] => wants.modules,
        other => panic!("{other:?}"),
    };
    assert!(wants(&bench.keys("M")));
    assert_eq!(bench.app.focus(), PaneId::Modules);
    assert!(!wants(&bench.keys("7")));
}

#[test]
fn modules_are_sorted_filtered_and_looked_into() {
    let mut bench = bench(120, 30);
    bench.keys("z");
    assert_eq!(names(&bench), ["hgfs_pong", "hgfs_ping", "hgfs", "fuse", "dummy"]);
    bench.keys("Down Down");
    let orders = [
        ("by name", ["dummy", "fuse", "hgfs", "hgfs_ping", "hgfs_pong"]),
        ("by address", ["hgfs", "hgfs_ping", "hgfs_pong", "fuse", "dummy"]),
        ("by size", ["fuse", "hgfs", "hgfs_ping", "hgfs_pong", "dummy"]),
        ("by symbols", ["hgfs_pong", "dummy", "hgfs_ping", "fuse", "hgfs"]),
    ];
    for (words, order) in orders {
        bench.keys("S");
        assert_eq!(names(&bench), order);
        assert!(bench.text().contains(words), "{}", bench.text());
        // The cursor stays on its module.
        let asked = bench.keys("Enter");
        let [Effect::Ask(Request::Module(name), Purpose::Line(line))] = &asked[..] else {
            panic!("{asked:?}")
        };
        assert_eq!((name.as_str(), line.as_str()), ("hgfs", "info module hgfs"));
    }
    bench.keys("S");
    let asked = bench.keys("b");
    let init = Request::Break(Breaking::at(BreakKind::Kept, "hgfs!init"));
    assert_eq!(asked, [Effect::Ask(init, Purpose::Key)]);

    bench.keys("/");
    bench.types("ping");
    bench.keys("Enter");
    assert_eq!(names(&bench), ["hgfs_ping"]);
    assert!(bench.text().contains("/ping, 5 in all"), "{}", bench.text());
    bench.keys("/ Backspace Backspace Backspace Backspace");
    bench.types("wrong");
    bench.keys("Enter");
    assert_eq!(names(&bench), ["hgfs_pong"], "by the state of symbols");
    bench.keys("/");
    bench.types("x");
    bench.keys("Enter");
    assert!(bench.text().contains("no module has this text"), "{}", bench.text());
}

#[test]
fn what_is_known_is_shown_without_the_guest() {
    let mut bench = Bench::new(120, 40);
    let running = State::Running { since: bench.start, what: "continue".into() };
    bench.view(View { state: running, ..view(fixture::modules()) });
    bench.keys("M Enter");
    let text = bench.text();
    assert!(text.contains("hgfs_pong: coming, at 0xffffffffc0011000"), "{text}");
    assert!(text.contains("symbols: wrong build"), "{text}");
    assert!(text.contains("its build-id is 0f3a"), "{text}");
    assert!(text.contains(".data                    0xffffffffc0013000"), "{text}");
}

#[test]
fn an_empty_pane_says_how_it_is_filled() {
    let mut bench = Bench::new(120, 40);
    bench.view(view(Vec::new()));
    bench.keys("M");
    assert!(bench.text().contains("no module is loaded in the guest"), "{}", bench.text());
    let mut unproven = view(Vec::new());
    unproven.target.matches = Match::Mismatch;
    bench.view(unproven);
    assert!(bench.text().contains("not known without the guest's own vmlinux"), "{}", bench.text());
    let mut bench = Bench::new(120, 40);
    bench.view(fixture::view(State::Offline, None));
    bench.keys("M z");
    assert!(bench.text().contains(":sections PATH gives what you have"), "{}", bench.text());
    assert_eq!(bench.keys("Enter b S"), [], "there is nothing to look into");
}

fn step(line: usize, text: &str, passed_over: Option<&'static str>) -> Step {
    Step { text: text.into(), place: Some(format!("x.gdb:{line}")), passed_over }
}

#[test]
fn commands_of_a_file_come_one_after_another() {
    let mut bench = Bench::new(120, 40);
    bench.view(view(Vec::new()));
    bench.keys(":");
    bench.types("source x.gdb");
    assert_eq!(bench.keys("Enter"), [Effect::Source("x.gdb".into())]);
    let steps = vec![
        step(1, "set confirm off", Some("a setting of gdb's that means nothing here")),
        step(2, "b HgfsSendRequest", None),
        step(3, "continue", None),
        step(4, "bt", None),
    ];
    let mut asked = bench.send(Message::Script(Ok(steps)));
    let mut done = Vec::new();
    for _ in 0..2 {
        let [Effect::Ask(request, purpose)] = &asked[..] else { panic!("{asked:?}") };
        done.push(request.clone());
        let answer = Some(Ok(Answer::Text { text: "an answer".into() }));
        asked = bench.send(Message::Answer(purpose.clone(), answer));
    }
    let wish = Request::Break(Breaking::at(BreakKind::Kept, "HgfsSendRequest"));
    assert_eq!(done, [wish, Request::Continue]);
    // An error ends the file.
    let [Effect::Ask(_, purpose)] = &asked[..] else { panic!("{asked:?}") };
    bench.app.script.push_back(step(5, "up", None));
    bench.app.script.push_back(Step::of_line("info link"));
    let failed = Some(Err(Failure::Running));
    let last = bench.send(Message::Answer(purpose.clone(), failed));
    assert!(matches!(&last[..], [Effect::Ask(Request::Link, _)]), "{last:?}");
    assert!(bench.text().contains("x.gdb:4: bt: the guest is running"), "{}", bench.text());
    bench.keys("3 z");
    let log = bench.text();
    assert!(log.contains("x.gdb:1: passed over: set confirm off"), "{log}");
    assert!(log.contains("an answer"), "{log}");
}

#[test]
fn a_file_that_is_not_there_is_told() {
    let mut bench = Bench::new(120, 40);
    bench.view(view(Vec::new()));
    assert_eq!(bench.send(Message::Script(Err("can't read commands from x".into()))), []);
    assert!(bench.text().contains("can't read commands from x"), "{}", bench.text());
}
