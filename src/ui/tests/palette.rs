//! The palette: what is found, what is asked, what a choice does.

use super::{Bench, fixture};
use crate::session::answer::{Answer, ValueAnswer};
use crate::session::request::{BreakKind, Breaking, Request};
use crate::session::view::State;
use crate::session::wants::{TaskSort, TaskWant};
use crate::ui::layout::PaneId;
use crate::ui::lookup::LookUp;
use crate::ui::message::{Effect, Message, Purpose};
use crate::ui::popups::Popup;

fn stopped(columns: u16, rows: u16) -> Bench {
    let mut bench = Bench::new(columns, rows);
    let mut view = fixture::view(State::Stopped, Some(fixture::stop(1, 35)));
    view.modules = fixture::modules();
    bench.view(view);
    bench
}

/// Answers what is looked up, and what that leads to.
fn look_up(bench: &mut Bench, effects: Vec<Effect>) -> Vec<Effect> {
    let mut others = Vec::new();
    let mut effects = std::collections::VecDeque::from(effects);
    while let Some(effect) = effects.pop_front() {
        match effect {
            Effect::LookUp(asked) => {
                let answer = asked.answer(&fixture::Book);
                effects.extend(bench.send(Message::LookedUp(answer)));
            }
            other => others.push(other),
        }
    }
    others
}

/// Types, with every question answered at once.
fn types(bench: &mut Bench, text: &str) {
    for letter in text.chars() {
        let key = if letter == ' ' { "Space".to_string() } else { letter.to_string() };
        let effects = bench.send(Message::Key(key.parse().unwrap()));
        look_up(bench, effects);
    }
}

#[test]
fn a_function_is_found_and_gone_to_or_stopped_at() {
    let mut bench = stopped(160, 48);
    bench.keys("Ctrl-P");
    types(&mut bench, "sendreq");
    let text = bench.text();
    assert!(text.contains("▶function   HgfsSendRequest"), "{text}");
    assert!(text.contains("hgfs/request.c:28 [hgfs]"), "{text}");
    assert!(text.contains("▶  28 "), "its source: {text}");
    assert_eq!(bench.keys("Enter"), []);
    assert!(matches!(bench.app.popup, Popup::None));
    assert_eq!(bench.app.source.here().unwrap().line, 28);

    // It stands first now, and Tab sets a breakpoint.
    bench.keys("F2");
    assert!(bench.text().contains("▶recent     HgfsSendRequest"), "{}", bench.text());
    let request = Request::Break(Breaking::at(BreakKind::Kept, "HgfsSendRequest"));
    assert_eq!(bench.keys("Tab"), [Effect::Ask(request, Purpose::Key)]);
}

#[test]
fn one_question_is_out_at_a_time_and_the_newest_text_is_next() {
    let mut bench = stopped(160, 48);
    bench.keys("O");
    let names = |text: &str| Effect::LookUp(LookUp::Names(text.into()));
    assert_eq!(bench.keys("z"), [names("z")]);
    assert_eq!(bench.keys("v f s"), [], "the first is not answered yet");
    assert!(bench.text().contains("…"), "{}", bench.text());
    let next = bench.send(Message::LookedUp(LookUp::Names("z".into()).answer(&fixture::Book)));
    assert_eq!(next, [names("zvfs")]);
    bench.keys("Esc");
    let late = LookUp::Names("zvfs".into()).answer(&fixture::Book);
    assert_eq!(bench.send(Message::LookedUp(late)), [], "nobody waits for it any more");
}

#[test]
fn symbols_that_come_while_a_question_is_out_are_asked_for_as_well() {
    let mut bench = stopped(160, 48);
    bench.keys("O");
    let names = || LookUp::Names("z".into());
    assert_eq!(bench.keys("z"), [Effect::LookUp(names())]);
    // A view without modules has less to be searched: what is told now is old.
    assert_eq!(bench.view(fixture::view(State::Stopped, Some(fixture::stop(1, 35)))), []);
    let again = bench.send(Message::LookedUp(names().answer(&fixture::Book)));
    assert_eq!(again, [Effect::LookUp(names())]);
    let done = bench.send(Message::LookedUp(names().answer(&fixture::Book)));
    assert!(!done.contains(&Effect::LookUp(names())), "{done:?}");
}

#[test]
fn commands_are_done_or_finished_on_the_line() {
    let mut bench = stopped(160, 48);
    bench.keys("Ctrl-P");
    types(&mut bench, ":next");
    let text = bench.text();
    assert!(text.contains("▶command    next"), "{text}");
    assert!(text.contains("F10/n/F8"), "{text}");
    bench.keys("Esc : p i c k Space c o m m Enter");
    types(&mut bench, "info link");
    let asked = Effect::Ask(Request::Link, Purpose::Line("info link".into()));
    assert_eq!(bench.keys("Enter"), [asked]);
    bench.keys("Ctrl-P");
    types(&mut bench, ":next");
    assert_eq!(bench.keys("Enter").len(), 1, "as its key does");
    bench.keys("Ctrl-P");
    types(&mut bench, ":delete");
    assert_eq!(bench.keys("Enter"), [], "alone it would delete all");
    assert!(bench.text().contains("\n:delete\n"), "{}", bench.text());
}

#[test]
fn variables_types_modules_breakpoints_have_their_own_ways() {
    let mut bench = stopped(160, 48);
    let line = |line: &str| {
        let Ok(crate::command::Parsed::Request(request)) = crate::command::parse::parse(line)
        else {
            panic!("{line}")
        };
        Effect::Ask(request, Purpose::Line(line.into()))
    };
    let ask = |request| Effect::Ask(request, Purpose::Key);
    let init = Request::Break(Breaking::at(BreakKind::Kept, "hgfs_ping!init"));
    for (keys, text, key, effects) in [
        ("O", "v:stats", "Enter", vec![line("print hgfs_stats")]),
        ("O", "t:req", "Enter", vec![line("ptype struct HgfsReq")]),
        ("O", "t:req", "Tab", vec![line("ptype /o struct HgfsReq")]),
        ("O", "m:ping", "Enter", vec![line("info module hgfs_ping")]),
        ("O", "m:ping", "Tab", vec![ask(init)]),
        ("O", "b:1", "Tab", vec![ask(Request::Enable(false, vec![1]))]),
        ("O", "b:2", "Tab", vec![ask(Request::Enable(true, vec![2]))]),
    ] {
        bench.keys(keys);
        types(&mut bench, text);
        assert_eq!(bench.keys(key), effects, "{text}");
    }
    bench.keys("O");
    types(&mut bench, "v:stats");
    let read = bench.keys("Ctrl-R");
    let Effect::Ask(Request::Print(print), purpose) = &read[0] else { panic!("{read:?}") };
    assert_eq!(print.expression, "hgfs_stats");
    let value = ValueAnswer { value: Some("{sent = 7}".into()), ..ValueAnswer::default() };
    let answer = Ok(Answer::Value(Box::new(value)));
    bench.send(Message::Answer(purpose.clone(), Some(answer)));
    assert!(bench.text().contains("= {sent = 7}"), "{}", bench.text());
    bench.keys("Tab");
    assert_eq!(bench.app.watches.watches, ["hgfs_stats"]);
    assert_eq!(bench.app.focus(), PaneId::Watches);
}

#[test]
fn tasks_are_read_while_they_are_looked_for() {
    let mut bench = stopped(160, 48);
    bench.types(":pick tasks");
    let want = |effects: Vec<Effect>| {
        effects.into_iter().find_map(|effect| match effect {
            Effect::Ask(Request::Want(wants), _) => Some(wants.tasks),
            _ => None,
        })
    };
    let all = |first, rows| TaskWant {
        filter: String::new(),
        sort: TaskSort::Pid,
        first,
        rows,
        sure: false,
    };
    assert_eq!(want(bench.keys("Enter")), Some(Some(all(0, 1))), "and more of the first");
    types(&mut bench, "cat");
    assert!(bench.text().contains("▶task       812 cat"), "{}", bench.text());
    let effects = bench.keys("Enter");
    assert!(matches!(&effects[0], Effect::Ask(Request::Task(Some(812)), _)), "{effects:?}");
    assert_eq!(want(effects), Some(None), "no longer");
}

#[test]
fn it_fits_every_size() {
    for (columns, rows) in [(60, 15), (80, 24), (120, 35), (200, 60)] {
        let mut bench = stopped(columns, rows);
        bench.keys("Ctrl-P");
        // Not the list itself: it grows with every command.
        let text = bench.text();
        assert!(text.contains("> ") && text.contains("some letters; : commands"), "{text}");
        assert!(text.contains("▶command    step"), "{text}");
        types(&mut bench, "hgfs");
        insta::assert_snapshot!(format!("palette_{columns}x{rows}"), bench.styled());
        types(&mut bench, "zzz");
        assert!(bench.text().contains("no name with these letters"), "{}", bench.text());
    }
}
