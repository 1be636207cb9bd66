//! The panes beside the stack: what they want of the session, and their keys.

use super::{Bench, fixture};
use crate::config::actions::Action;
use crate::session::answer::Answer;
use crate::session::request::Request;
use crate::session::view::{State, StopView};
use crate::session::wants::{MemoryWant, Piece, SubjectView, TaskSort, Wants};
use crate::ui::act::act;
use crate::ui::filter;
use crate::ui::layout::{PaneId, WANTED};
use crate::ui::message::{Effect, Message};
use insta::assert_snapshot;

fn stopped(columns: u16, rows: u16) -> Bench {
    let mut bench = Bench::new(columns, rows);
    bench.view(fixture::view(State::Stopped, Some(fixture::stop(1, 35))));
    bench
}

/// The only thing asked: what the panes want, after the last key.
fn wants(effects: Vec<Effect>) -> Wants {
    let want = |effect: &Effect| match effect {
        Effect::Ask(Request::Want(wants), _) => wants.clone(),
        other => panic!("{other:?}"),
    };
    effects.iter().map(want).next_back().expect("something is wanted")
}

#[test]
fn numbers_of_values_turn_hexadecimal() {
    let mut bench = Bench::new(160, 48);
    bench.view(fixture::view(State::Stopped, Some(fixture::stop(1, 35))));
    bench.keys("5 x");
    assert!(bench.text().contains("len   0x3 "), "{}", bench.text());
    bench.keys("x");
    assert!(bench.text().contains("len   3 "), "{}", bench.text());
}

#[test]
fn a_long_list_of_tasks_says_what_it_costs_and_waits_for_a_word() {
    let mut bench = Bench::new(160, 48);
    let mut stop = fixture::stop(1, 35);
    let mut tasks = stop.supplied.tasks.take().unwrap_or_default();
    tasks.asks =
        Some("the list of 900 tasks takes about 405.0 kB, 36 s at this link's rate".into());
    tasks.rows.truncate(1);
    stop.supplied.tasks = Some(tasks);
    let view = fixture::view(State::Stopped, Some(stop));
    bench.keys("8 S");
    bench.view(view.clone());
    assert!(bench.text().contains("36 s at this link's rate; Enter here reads it"));
    let sure = |bench: &Bench| bench.app.wants().tasks.is_some_and(|tasks| tasks.sure);
    assert!(!sure(&bench));
    bench.keys("End Enter");
    assert!(sure(&bench));
    // At the next stop it costs as much again.
    let stop = crate::session::view::StopView { generation: 2, ..fixture::stop(1, 35) };
    bench.view(fixture::view(State::Stopped, Some(stop)));
    assert!(!sure(&bench));
}

#[test]
fn only_what_is_on_screen_is_wanted() {
    let mut bench = stopped(160, 48);
    assert!(bench.app.wanted.variables);
    let first = bench.app.wanted.clone();
    assert_eq!((first.cpus, first.tasks.clone(), first.memory.clone()), (false, None, None));
    let with_cpus = wants(bench.keys("9"));
    assert!(with_cpus.cpus && with_cpus.variables);
    let with_tasks = wants(bench.keys("8"));
    assert!(with_tasks.cpus && with_tasks.tasks.is_some_and(|t| t.rows > 3 && t.first == 0));
    let without_cpus = wants(bench.keys("7"));
    assert!(!without_cpus.cpus, "the CPUs are behind the breakpoints now");
    let back = Wants { first: None, ..wants(bench.keys("2")) };
    assert_eq!(back, first, "and the tasks behind the console");
    assert!(!wants(bench.keys("z")).variables, "a zoomed pane hides the others");
}

#[test]
fn what_has_the_keys_is_wanted_first() {
    let mut bench = stopped(160, 48);
    assert_eq!(bench.app.wanted.first, None, "the source is there at once");
    assert_eq!(wants(bench.keys("0")).first, Some(Piece::Memory));
    assert_eq!(wants(bench.keys("5")).first, Some(Piece::Tree));
    assert_eq!(wants(bench.keys("8")).first, Some(Piece::Tasks));
    assert_eq!(wants(bench.keys("1")).first, None);
}

#[test]
fn a_value_is_opened_closed_watched_and_edited() {
    let mut bench = stopped(160, 48);
    let opened = wants(bench.keys("5 Down Down Enter"));
    assert_eq!(opened.open.into_iter().collect::<Vec<_>>(), ["2"]);
    assert_eq!(bench.keys("Right"), [], "open already");
    assert_eq!(bench.keys("Down Down"), []);
    assert_eq!(bench.keys("Left"), [], "to the value it is in");
    assert!(wants(bench.keys("Left")).open.is_empty());
    assert_eq!(bench.keys("Down Enter"), [], "nothing in it: shown whole");
    assert!(bench.text().contains("spinlock_t lock = {rlock = {…}}"), "{}", bench.text());
    bench.keys("Esc e");
    assert!(bench.text().contains(":set var lock =\n"), "{}", bench.text());
    bench.keys("Esc");
    let watched = wants(bench.keys("w"));
    assert_eq!(watched.watches, ["lock"]);
    assert_eq!(bench.app.focus(), PaneId::Watches);
    assert!(!watched.variables);
    assert_eq!(wants(bench.keys("d")).watches, [""; 0], "no longer watched");
    bench.keys("w");
    bench.types("jiffies+1");
    assert_eq!(wants(bench.keys("Enter")).watches, ["jiffies+1"]);
}

#[test]
fn a_filter_is_asked_for_where_there_is_one_and_escape_takes_it_away() {
    let mut bench = stopped(160, 48);
    for pane in WANTED {
        bench.app.give_focus(pane);
        bench.send(Message::Tick);
        // As the press of a key does.
        bench.app.message = None;
        act(&mut bench.app, Action::Filter);
        if let Some(label) = filter::label(pane) {
            assert!(bench.text().contains(label.trim_end()), "{pane:?}");
            bench.types("abc");
            bench.keys("Enter");
            assert_eq!(filter::of(&bench.app, pane), "abc", "{pane:?}");
            bench.keys("Esc");
            assert_eq!(filter::of(&bench.app, pane), "", "{pane:?}");
        } else {
            let words = format!("the rows of {} can't be filtered", pane.title());
            assert!(bench.text().contains(&words), "{pane:?}");
        }
    }
}

#[test]
fn tasks_are_filtered_sorted_and_looked_at() {
    let mut bench = stopped(160, 48);
    bench.keys("8 /");
    bench.types("kw");
    let filtered = wants(bench.keys("Enter")).tasks.unwrap();
    assert_eq!(filtered.filter, "kw");
    assert!(bench.text().contains("/kw, 41 in all"), "{}", bench.text());
    assert_eq!(wants(bench.keys("S")).tasks.unwrap().sort, TaskSort::Pid);
    // A filter can be taken back.
    bench.keys("/ Backspace Backspace");
    assert_eq!(wants(bench.keys("Enter")).tasks.unwrap().filter, "");
}

#[test]
fn memory_is_scrolled_and_followed() {
    let mut bench = stopped(160, 48);
    bench.keys("m");
    bench.types("$rsp");
    let want = wants(bench.keys("Enter")).memory.unwrap();
    let rows = want.len / 8;
    assert_eq!(want, MemoryWant { expression: "$rsp".into(), offset: 0, len: 8 * rows });
    assert_eq!(wants(bench.keys("Up")).memory.unwrap().offset, -8);
    assert_eq!(wants(bench.keys("Home")).memory.unwrap().offset, 0);
    assert_eq!(wants(bench.keys("PgDn")).memory.unwrap().offset, 8 * (rows as i64 - 1));
    bench.keys("Home");
    let followed = wants(bench.keys("Down Enter")).memory.unwrap();
    assert_eq!(followed.expression, "0xffff888004209a00");
    assert_eq!(wants(bench.keys("Backspace")).memory.unwrap().expression, "$rsp");
    assert_eq!(bench.keys("Down Down Enter"), [], "a small number is no address");
    assert!(bench.text().contains("nothing to follow"), "{}", bench.text());
    let bytes = wants(bench.keys("x")).memory.unwrap();
    assert_eq!(bytes.len, 16 * rows, "bytes, sixteen a row here");
    assert!(bench.text().contains("35 20 00 c0 ff ff ff ff"), "{}", bench.text());
}

#[test]
fn memory_at_a_value_knows_pointers() {
    let mut bench = stopped(160, 48);
    let memory = wants(bench.keys("5 m")).memory.unwrap();
    assert_eq!(memory.expression, "req");
    assert_eq!(bench.app.focus(), PaneId::Memory);
}

#[test]
fn panes_of_rows() {
    let mut bench = stopped(100, 30);
    for keys in ["8 z", "9", "0 m"] {
        bench.keys(keys);
        if keys.contains('m') {
            bench.types("$rsp");
            bench.keys("Enter");
        }
        assert_snapshot!(bench.text());
    }
    bench.keys("x");
    assert_snapshot!(bench.text());
}

#[test]
fn another_tasks_stack_says_whose_it_is() {
    let mut bench = Bench::new(160, 48);
    let subject = SubjectView {
        cpu: Some(0),
        pid: Some(2),
        comm: Some("kthreadd".into()),
        stopped_here: false,
        doing: "sleeps".into(),
    };
    let stop = StopView { subject: Some(subject), ..fixture::stop(1, 35) };
    bench.view(fixture::view(State::Stopped, Some(stop)));
    assert!(bench.text().contains(" 2 kthreadd: sleeps "), "{}", bench.text());
}

#[test]
fn long_work_is_seen_and_ended() {
    let mut bench = Bench::new(160, 48);
    let mut view = fixture::view(State::Stopped, Some(fixture::stop(1, 35)));
    let words = "[####      ] stacks: 12 of 40 tasks read";
    view.working = Some(words.into());
    bench.view(view);
    assert!(bench.text().contains(&format!(" {words}; Esc ends it")), "{}", bench.text());
    let ends = bench.keys("Esc");
    assert!(matches!(&ends[..], [Effect::Ask(Request::BreakIn, _)]), "{ends:?}");
}

#[test]
fn a_change_of_the_guest_is_asked_first() {
    let mut bench = stopped(160, 48);
    bench.keys(":");
    bench.types("set var req->id = 7");
    let asked = bench.keys("Enter");
    let [Effect::Ask(Request::Print(printing), purpose)] = &asked[..] else { panic!("{asked:?}") };
    assert!(!printing.write);
    let answer = |answer| Message::Answer(purpose.clone(), Some(Ok(answer)));
    let effect = || Answer::Confirm {
        effect: "write 4 bytes at 0x10 (req->id): 1 -> 7".into(),
        allow: None,
    };
    bench.send(answer(effect()));
    assert!(bench.text().contains("write 4 bytes at 0x10 (req->id): 1 -> 7"), "{}", bench.text());
    assert_eq!(bench.keys("x"), [], "neither yes nor no");
    let done = bench.keys("y");
    let [Effect::Ask(Request::Print(printing), _)] = &done[..] else { panic!("{done:?}") };
    assert!(printing.write && printing.expression == "req->id = 7");
    bench.send(answer(effect()));
    assert_eq!(bench.keys("Esc"), [], "nothing was done");
    assert!(!bench.text().contains("write 4 bytes"));
}
