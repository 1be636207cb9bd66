//! Names in a line of the source: walking them, looking at them, going where
//! they are defined; values beside the line.

use super::{Bench, fixture};
use crate::session::answer::{Answer, Failure, ValueAnswer};
use crate::session::request::{Printing, Purpose as For, Request};
use crate::session::symbol_answer::TypeAnswer;
use crate::session::view::State;
use crate::ui::message::{Effect, Message, Purpose};
use crate::ui::popups::{Popup, peek::Part};

fn stopped(line: u32) -> Bench {
    let mut bench = Bench::new(160, 48);
    bench.view(fixture::view(State::Stopped, Some(fixture::stop(1, line))));
    bench
}

/// Answers what is looked up.
fn look_up(bench: &mut Bench, effects: Vec<Effect>) {
    for effect in effects {
        let Effect::LookUp(asked) = effect else { panic!("{effect:?}") };
        let answer = asked.answer(&fixture::Book);
        assert_eq!(bench.send(Message::LookedUp(answer)), []);
    }
}

fn line(bench: &Bench) -> u32 {
    bench.app.source.here().unwrap().line
}

#[test]
fn a_name_is_walked_to_and_its_definition_gone_to() {
    let mut bench = stopped(36);
    // A variable of the frame is declared in its function.
    let effects = bench.keys("Right Right Enter");
    look_up(&mut bench, effects);
    assert_eq!(line(&bench), 30, "queue");
    bench.keys("Backspace");
    assert_eq!(line(&bench), 36);
    bench.keys("\\");
    assert_eq!(line(&bench), 30);
    bench.keys("Alt-Left");
    // A macro of this file.
    let effects = bench.keys("Up Up Up Up Right Right Right Right Right Enter");
    look_up(&mut bench, effects);
    assert_eq!(line(&bench), 10, "HGFS_MAGIC");
    // What the symbols know.
    let effects = bench.keys("g 2 8 Enter Right Enter");
    look_up(&mut bench, effects);
    assert_eq!(line(&bench), 28, "HgfsSendRequest");
}

#[test]
fn of_several_names_one_is_chosen() {
    let mut bench = stopped(36);
    assert_eq!(bench.keys("Enter"), []);
    let text = bench.text();
    assert!(text.contains(" Go to the definition of "), "{text}");
    assert!(text.contains("▶HgfsQueueFor") && text.contains(" req  "), "{text}");
    bench.types("que");
    let effects = bench.keys("Enter");
    look_up(&mut bench, effects);
    assert!(matches!(bench.app.popup, Popup::None));
    assert_eq!(line(&bench), 30);
    bench.keys("End");
    assert_eq!(bench.keys("Up Enter"), [], "a line of a brace");
    assert!(bench.text().contains("there is no name in the line"), "{}", bench.text());
}

#[test]
fn a_name_shows_its_value_and_its_type_as_they_come() {
    let mut bench = stopped(36);
    let print = Printing { expression: "req".into(), purpose: For::Output, ..Printing::default() };
    let ask = |part, request| Effect::Ask(request, Purpose::Peek("req".into(), part));
    assert_eq!(
        bench.keys("Right Right Right K"),
        [
            ask(Part::Value, Request::Print(print)),
            ask(Part::Type, Request::Type("req".into(), false))
        ]
    );
    let answer = |part, answer| Message::Answer(Purpose::Peek("req".into(), part), Some(answer));
    let value = ValueAnswer {
        type_name: "struct HgfsReq *".into(),
        value: Some("0xffff888004209a00".into()),
        ..ValueAnswer::default()
    };
    bench.send(answer(Part::Value, Ok(Answer::Value(Box::new(value)))));
    assert!(bench.text().contains("req = 0xffff888004209a00"), "{}", bench.text());
    assert!(bench.text().contains(" …"), "{}", bench.text());
    let members = TypeAnswer {
        name: "struct HgfsReq *".into(),
        text: "type = struct HgfsReq {\n    int id;\n} *".into(),
        size: Some(8),
        members: Vec::new(),
        summary: None,
    };
    bench.send(answer(Part::Type, Ok(Answer::Type(Box::new(members)))));
    insta::assert_snapshot!("peek", bench.text());
    bench.keys("Esc");
    assert!(matches!(bench.app.popup, Popup::None));

    // What nothing knows is told.
    bench.keys("K");
    bench.send(answer(Part::Value, Err(Failure::Other("no symbol 'req' here".into()))));
    bench.send(answer(Part::Type, Err(Failure::Other("no type 'req'".into()))));
    assert!(bench.text().contains("no symbol 'req' here"), "{}", bench.text());
}

#[test]
fn a_word_is_watched_and_the_memory_at_it_shown() {
    let mut bench = stopped(36);
    bench.keys("Right Right w");
    assert_eq!(bench.app.watches.watches, ["queue"]);
    bench.keys("1 m");
    assert_eq!(bench.app.memory.title(), "queue");
    bench.keys("1 Down w");
    assert!(bench.text().contains("\nwatch:\n"), "{}", bench.text());
}

#[test]
fn values_stand_beside_the_line_where_it_stopped() {
    let bench = stopped(36);
    let text = bench.text();
    assert!(text.contains("HgfsQueueFor(queue, req);   ◂ queue = <hgfs_queue>"), "{text}");
    assert!(text.contains("req = 0xffff888004209a00"), "{text}");
    insta::assert_snapshot!("values_beside_the_line", bench.styled());
    let mut bench = bench;
    bench.keys("v");
    assert!(!bench.text().contains("◂"), "{}", bench.text());
    bench.keys("v");
    // At a running guest they are old.
    let state = State::Running { since: bench.start, what: "continue".into() };
    bench.view(fixture::view(state, Some(fixture::stop(1, 36))));
    assert!(!bench.text().contains("◂"), "{}", bench.text());
}
