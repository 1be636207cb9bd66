//! Keys in, requests out.

use super::{Bench, fixture};
use crate::arch::insn::Flavor;
use crate::session::answer::{Answer, Failure, StopAnswer};
use crate::session::conduct::{Adjusting, AtHit};
use crate::session::request::{
    BreakKind, Breaking, Disassembly, Leave, Request, Step, Towards, Update,
};
use crate::session::symbol_answer::{CodeAnswer, InsnAnswer};
use crate::session::view::{State, StopReason, StopView};
use crate::ui::layout::PaneId;
use crate::ui::message::{Effect, Exit, Message, Purpose};
use std::time::Duration;

pub fn stopped() -> Bench {
    let mut bench = Bench::new(160, 48);
    bench.view(fixture::view(State::Stopped, Some(fixture::stop(1, 35))));
    bench
}

pub fn running(what: &str) -> Bench {
    let mut bench = stopped();
    let state = State::Running { since: bench.start, what: what.into() };
    bench.view(fixture::view(state, Some(fixture::stop(1, 35))));
    bench
}

/// What keys ask for, beside what the panes want.
pub fn asks(effects: Vec<Effect>) -> Vec<Request> {
    let request = |effect| match effect {
        Effect::Ask(Request::Want(_), _) => None,
        Effect::Ask(request, _) => Some(request),
        other => panic!("{other:?}"),
    };
    effects.into_iter().filter_map(request).collect()
}

/// The answer to a key that resumed the guest.
fn ended_by(reason: StopReason) -> Message {
    let stop = Box::new(StopAnswer::of(&StopView { reason, ..fixture::stop(2, 36) }));
    Message::Answer(Purpose::Run, Some(Ok(Answer::Stop { stop })))
}

#[test]
fn both_twins_run_the_guest() {
    let mut bench = stopped();
    for (keys, request) in [
        ("F5 c", Request::Continue),
        ("F10 n F8", Request::Step(Step::LineOver, 1)),
        ("F11 s F7", Request::Step(Step::Line, 1)),
        ("f Shift-F11", Request::Step(Step::Out, 1)),
        ("i", Request::Step(Step::Instruction, 1)),
        ("o", Request::Step(Step::InstructionOver, 1)),
        ("u [", Request::FrameBy(1)),
        ("d ]", Request::FrameBy(-1)),
    ] {
        for key in keys.split(' ') {
            assert_eq!(asks(bench.keys(key)), std::slice::from_ref(&request), "{key}");
            bench.send(ended_by(StopReason::Breakpoint(1)));
        }
    }
}

#[test]
fn every_command_of_the_key_table_is_one() {
    for binding in crate::config::keymap::DEFAULT {
        if let crate::config::actions::Action::Command(line) = binding.action {
            let parsed = crate::command::parse::parse(line);
            let layout = line.starts_with("layout ") && parsed.is_ok();
            let request = matches!(parsed, Ok(crate::command::Parsed::Request(_)));
            assert!(request || layout, "{line}");
        }
    }
}

#[test]
fn breakpoints_go_where_the_cursor_is() {
    let mut bench = stopped();
    let here = "hgfs/request.c:36".to_string();
    assert_eq!(asks(bench.keys("Down b")), [Request::Toggle(here.clone())]);
    assert_eq!(
        asks(bench.keys("t")),
        [Request::Break(Breaking::at(BreakKind::Temporary, here.clone()))]
    );
    assert_eq!(asks(bench.keys("C")), [Request::RunTo(here, Towards::Cursor)]);
    bench.send(ended_by(StopReason::Arrived));
    assert_eq!(bench.keys("a a"), [], "the view has the instructions");
    assert_eq!(asks(bench.keys("Space")), [Request::Toggle("*0xffffffffc0002035".into())]);
}

#[test]
fn before_a_stop_instructions_have_a_command() {
    let mut bench = Bench::new(160, 48);
    bench.view(fixture::view(State::Offline, None));
    bench.keys("a");
    assert!(bench.text().contains(":disassemble NAME"), "{}", bench.text());
    assert!(!bench.text().contains("reading the instructions"));
}

#[test]
fn instructions_are_asked_for_only_when_shown() {
    let mut bench = Bench::new(160, 48);
    let mut stop = fixture::stop(1, 35);
    stop.code.clear();
    assert_eq!(bench.view(fixture::view(State::Stopped, Some(stop.clone()))), []);
    let ask = Effect::Ask(Request::Disassemble(Disassembly::default()), Purpose::Code((1, 0)));
    assert_eq!(bench.keys("a"), [ask]);
    assert_eq!(bench.keys("a Down"), [], "once");
    assert!(bench.text().contains("reading the instructions …"));
    let insn = InsnAnswer {
        address: stop.frames[0].pc,
        symbol: Some("HgfsSendRequest+0x35".into()),
        bytes: "4889e5".into(),
        text: "mov %rsp,%rbp".into(),
        current: true,
        ..InsnAnswer::default()
    };
    let code = CodeAnswer { instructions: vec![insn], ..CodeAnswer::default() };
    let answer = Answer::Code(Box::new(code));
    bench.send(Message::Answer(Purpose::Code((1, 0)), Some(Ok(answer))));
    assert!(bench.text().contains("▶ffffffffc0002035 4889e5 "), "{}", bench.text());
    stop.generation = 2;
    let again = bench.view(fixture::view(State::Stopped, Some(stop)));
    assert_eq!(
        asks(again),
        [Request::Disassemble(Disassembly::default())],
        "the next stop's are asked for"
    );
    assert!(bench.text().contains("▶ffffffffc0002035 4889e5 "), "the old ones stay till then");
}

#[test]
fn the_flavor_of_instructions_is_one_key() {
    let mut bench = Bench::new(160, 48);
    let mut stop = fixture::stop(1, 35);
    stop.code.clear();
    bench.view(fixture::view(State::Stopped, Some(stop.clone())));
    bench.keys("a");
    let code = Answer::Code(Box::default());
    bench.send(Message::Answer(Purpose::Code((1, 0)), Some(Ok(code))));
    let set = |flavor: &str| Request::Set("disassembly-flavor".into(), flavor.into());
    assert_eq!(asks(bench.keys("A")), [set("intel")]);
    let mut view = fixture::view(State::Stopped, Some(stop));
    view.flavor = Flavor::Intel;
    let again = asks(bench.view(view));
    assert_eq!(
        again,
        [Request::Disassemble(Disassembly::default())],
        "the text is asked for again"
    );
    assert_eq!(asks(bench.keys("A")), [set("att")]);
}

#[test]
fn while_the_guest_runs_keys_say_why_they_wait() {
    let mut bench = running("continue");
    assert_eq!(bench.keys("n"), []);
    assert!(bench.text().contains("the guest is running; F6/Ctrl-C/p stops it"));
    assert_eq!(asks(bench.keys("b")), [Request::Toggle("hgfs/request.c:35".into())]);
    assert_eq!(asks(bench.keys("Ctrl-C")), [Request::BreakIn]);
    let mut bench = stopped();
    assert_eq!(bench.keys("Ctrl-C"), []);
    assert!(bench.text().contains("the guest is stopped already"));
}

#[test]
fn one_step_is_typed_ahead_and_only_after_a_step() {
    let mut bench = stopped();
    // The view still says stopped: a short step is not shown as running.
    assert_eq!(asks(bench.keys("n n n")), [Request::Step(Step::LineOver, 1)]);
    let effects = bench.send(ended_by(StopReason::Step));
    assert_eq!(asks(effects), [Request::Step(Step::LineOver, 1)]);
    assert_eq!(bench.send(ended_by(StopReason::Step)), [], "once");

    assert_eq!(asks(bench.keys("n s")), [Request::Step(Step::LineOver, 1)]);
    let hit = bench.send(ended_by(StopReason::Breakpoint(1)));
    assert_eq!(hit, [], "a breakpoint is where the user wants to look");

    bench.keys("n");
    bench.at = Duration::from_secs(2);
    bench.keys("n");
    assert!(bench.text().contains("the guest is running"), "a long step is not typed over");
    assert_eq!(asks(bench.keys("Ctrl-C")), [Request::BreakIn]);
    assert_eq!(bench.send(ended_by(StopReason::Step)), []);
}

/// A stop is on screen before all of it is read, which takes its time on a slow
/// line.
#[test]
fn a_key_at_a_stop_that_is_still_read_is_done_when_it_is() {
    let mut bench = stopped();
    for (key, reason, request) in [
        ("s", StopReason::Step, Request::Step(Step::Line, 1)),
        ("c", StopReason::Breakpoint(1), Request::Continue),
    ] {
        bench.view(fixture::view(State::Stopped, Some(fixture::stop(1, 35))));
        assert_eq!(asks(bench.keys("n")), [Request::Step(Step::LineOver, 1)]);
        bench.at += Duration::from_secs(2);
        let stop = StopView { reason: reason.clone(), ..fixture::stop(2, 36) };
        bench.view(fixture::view(State::Stopped, Some(stop)));
        assert_eq!(bench.keys(key), []);
        assert!(!bench.text().contains("the guest is running"), "{}", bench.text());
        assert_eq!(asks(bench.send(ended_by(reason))), [request]);
        bench.send(ended_by(StopReason::Step));
    }
}

#[test]
fn ctrl_c_reaches_the_guest_from_any_popup() {
    for keys in [":", "g", "/", "?"] {
        let mut bench = running("continue");
        bench.keys(keys);
        assert_eq!(asks(bench.keys("Ctrl-C")), [Request::BreakIn], "{keys}");
    }
}

#[test]
fn typed_lines_are_the_command_table() {
    let mut bench = stopped();
    bench.keys(":");
    bench.types("info modules");
    let purpose = Purpose::Line("info modules".into());
    assert_eq!(bench.keys("Enter"), [Effect::Ask(Request::Modules, purpose)]);
    bench.keys(":");
    bench.types("braek");
    assert_eq!(bench.keys("Enter"), []);
    assert!(bench.text().contains("✗ no command 'braek'; did you mean break?"));
    bench.keys(": Up Up");
    assert!(bench.text().contains("\n:info modules\n"), "{}", bench.text());
}

#[test]
fn answers_show_by_their_length() {
    let mut bench = stopped();
    let line = |bench: &mut Bench, answer| {
        bench.send(Message::Answer(Purpose::Line("x".into()), Some(answer)));
    };
    line(&mut bench, Ok(Answer::Text { text: "vfs_read in section .text".into() }));
    assert!(bench.text().contains("\n vfs_read in section .text\n"), "{}", bench.text());
    line(&mut bench, Ok(Answer::Text { text: "one\ntwo\tx\nthree".into() }));
    assert!(bench.text().contains("│ two        x"), "{}", bench.text());
    bench.keys("Esc");
    assert!(!bench.text().contains("│ two"));
    line(&mut bench, Err(Failure::Other("no symbol 'x'".into())));
    assert!(bench.text().contains("✗ no symbol 'x'"));
    bench.keys("3");
    assert!(bench.text().contains("         three"), "the log keeps them:\n{}", bench.text());
}

#[test]
fn leaving_asks_and_never_kills() {
    let mut bench = stopped();
    assert_eq!(
        bench.keys("q x c"),
        [Effect::Ask(Request::Leave(Leave::Detach), Purpose::Leave(Leave::Detach))]
    );
    assert!(bench.text().contains("lifting the breakpoints"));
    assert_eq!(bench.keys("Esc q c"), [], "it is under way");
    let done = Message::Answer(Purpose::Leave(Leave::Detach), Some(Ok(Answer::Done {})));
    assert_eq!(bench.send(done), [Effect::Exit(Exit::Left(Leave::Detach))]);

    let mut bench = stopped();
    assert_eq!(asks(bench.keys("q s")), [Request::Leave(Leave::Stopped)]);
    let failed = Failure::Other("the link does not answer".into());
    bench.send(Message::Answer(Purpose::Leave(Leave::Stopped), Some(Err(failed))));
    assert!(bench.text().contains("the link does not answer"));
    assert_eq!(asks(bench.keys("x")), [Request::Leave(Leave::AsIs)]);
    assert_eq!(bench.keys("x"), [Effect::Exit(Exit::Impatient)]);

    let mut bench = stopped();
    assert_eq!(bench.keys("q Esc"), []);
    assert_eq!(asks(bench.keys("c")), [Request::Continue]);

    let mut bench = running("continue");
    assert_eq!(bench.keys("q s"), [], "a running guest can't be left stopped");
}

#[test]
fn without_a_guest_q_leaves_at_once() {
    let mut bench = Bench::new(80, 24);
    bench.view(fixture::view(State::Connecting { why: "refused".into() }, None));
    assert_eq!(bench.keys("Ctrl-C"), [], "Ctrl-C never quits");
    assert_eq!(bench.keys("q"), [Effect::Exit(Exit::NoGuest)]);
}

#[test]
fn a_signal_leaves_through_the_session() {
    let mut bench = stopped();
    assert_eq!(asks(bench.send(Message::Terminate)), [Request::Leave(Leave::Detach)]);
    let ended = Message::Update(Update::Ended(None));
    assert_eq!(bench.send(ended), [Effect::Exit(Exit::Left(Leave::Detach))]);
    let failed = Message::Answer(
        Purpose::Leave(Leave::Detach),
        Some(Err(Failure::Other("the guest did not stop".into()))),
    );
    assert_eq!(bench.send(failed), [Effect::Exit(Exit::Impatient)], "nobody is there to ask");
    let mut bench = stopped();
    let why = Some("the link is lost".to_string());
    let ended = Message::Update(Update::Ended(why.clone()));
    assert_eq!(bench.send(ended), [Effect::Exit(Exit::Ended(why))]);
}

#[test]
fn lists_have_their_own_keys() {
    let mut bench = stopped();
    assert_eq!(asks(bench.keys("4 Down Down Enter")), [Request::Frame(2)]);
    assert_eq!(asks(bench.keys("7 Space")), [Request::Enable(false, vec![1])]);
    assert_eq!(asks(bench.keys("Down Space")), [Request::Enable(true, vec![2])]);
    assert_eq!(asks(bench.keys("d")), [Request::Delete(vec![2])]);
    assert!(bench.text().contains(" Enter go there  Space on/off  e condition  d delete "));
    bench.keys("Enter");
    assert_eq!(bench.app.focus(), PaneId::Source);
    assert_eq!(asks(bench.keys("b")), [Request::Toggle("hgfs/request.c:43".into())]);
    assert_eq!(asks(bench.keys("Backspace b")), [Request::Toggle("hgfs/request.c:35".into())]);
}

#[test]
fn what_a_breakpoint_does_is_edited_as_a_line() {
    let mut bench = stopped();
    let mut view = fixture::view(State::Stopped, Some(fixture::stop(1, 35)));
    let conduct = &mut view.breakpoints[0].conduct;
    conduct.condition = Some("req->id == 7".into());
    conduct.commands = vec!["silent".into(), "bt".into()];
    bench.view(view);
    bench.keys("7 e");
    assert!(bench.text().contains(":condition 1 req->id == 7"), "{}", bench.text());
    bench.types("1");
    let condition = Adjusting::Condition(1, Some("req->id == 71".into()));
    assert_eq!(asks(bench.keys("Enter")), [Request::Adjust(condition)]);
    bench.keys("x");
    bench.types("3");
    assert_eq!(asks(bench.keys("Enter")), [Request::Adjust(Adjusting::Ignore(1, 3))]);
    let commands = Adjusting::Commands(vec![1], vec!["silent".into(), "bt".into()]);
    assert_eq!(asks(bench.keys("E Enter")), [Request::Adjust(commands)]);
}

#[test]
fn commands_of_a_breakpoint_are_done_once_for_each_stop() {
    let mut bench = running("continue");
    let stop_at = |generation, commands: &[&str], asked| {
        let at_hit = AtHit {
            commands: commands.iter().map(ToString::to_string).collect(),
            asked,
            error: None,
        };
        StopView { reason: StopReason::Breakpoint(1), at_hit, ..fixture::stop(generation, 36) }
    };
    let of = |stop: &StopView| {
        let stop = Box::new(StopAnswer::of(stop));
        Message::Answer(Purpose::Run, Some(Ok(Answer::Stop { stop })))
    };
    // The view tells nobody who hears of it with an answer.
    let stop = stop_at(2, &["silent", "up", "continue"], true);
    assert_eq!(asks(bench.view(fixture::view(State::Stopped, Some(stop.clone())))), []);
    assert_eq!(asks(bench.send(of(&stop))), [Request::FrameBy(1)]);
    assert_eq!(asks(bench.send(of(&stop))), [], "once");
    // F6 ends them, and those of the stop that it brings.
    bench.keys("F6");
    assert!(bench.app.script.is_empty());
    let next = stop_at(3, &["continue"], true);
    bench.view(fixture::view(State::Stopped, Some(next.clone())));
    assert_eq!(asks(bench.send(of(&next))), []);
    // Nobody waited for this one.
    let own = stop_at(4, &["down"], false);
    assert_eq!(asks(bench.view(fixture::view(State::Stopped, Some(own)))), [Request::FrameBy(-1)]);
}

#[test]
fn a_cut_value_can_be_seen_whole() {
    let mut bench = stopped();
    assert_eq!(asks(bench.keys("5 Down Down K")), []);
    let whole = "struct HgfsQueue * queue = 0xffffffffc0004a40 <hgfs_queue>";
    assert!(bench.text().contains(whole), "{}", bench.text());
    assert_eq!(asks(bench.keys("Esc n")), [Request::Step(Step::LineOver, 1)]);
}

#[test]
fn going_to_a_place_and_back() {
    let mut bench = stopped();
    bench.keys("g");
    bench.types("vfs_read");
    bench.keys("Enter");
    assert_eq!(asks(bench.keys("b")), [Request::Toggle("fs/read_write.c:450".into())]);
    bench.keys("g");
    bench.types("12");
    bench.keys("Enter");
    assert_eq!(asks(bench.keys("b")), [Request::Toggle("fs/read_write.c:12".into())]);
    assert_eq!(
        asks(bench.keys("Backspace Backspace b")),
        [Request::Toggle("hgfs/request.c:35".into())]
    );
    bench.keys("g");
    bench.types("nowhere");
    bench.keys("Enter");
    assert!(bench.text().contains("✗ no function, file or address 'nowhere'"));
}

#[test]
fn search_takes_n_for_itself_until_esc() {
    let mut bench = stopped();
    bench.keys("/");
    bench.types("queue");
    bench.keys("Enter");
    assert_eq!(bench.app.source.here().unwrap().line, 36);
    bench.keys("n N N");
    assert_eq!(bench.app.source.here().unwrap().line, 35);
    assert!(bench.text().contains("n next  N previous  Esc close  F5/c go"), "{}", bench.text());
    bench.keys("Esc");
    assert_eq!(asks(bench.keys("n")), [Request::Step(Step::LineOver, 1)]);
    bench.keys("/");
    bench.types("not there");
    bench.keys("Enter");
    assert!(bench.text().contains("'not there' is not in this file"));
}

#[test]
fn a_new_stop_brings_the_source_back() {
    let mut bench = stopped();
    bench.keys("Home");
    bench.view(fixture::view(State::Stopped, Some(fixture::stop(1, 35))));
    assert_eq!(bench.app.source.here().unwrap().line, 1, "the same stop moves nothing");
    bench.view(fixture::view(State::Stopped, Some(fixture::stop(2, 36))));
    assert_eq!(bench.app.source.here().unwrap().line, 36);
}

#[test]
fn zoom_and_tabs_on_a_small_screen() {
    let mut bench = Bench::new(80, 24);
    bench.view(fixture::view(State::Stopped, Some(fixture::stop(1, 35))));
    bench.keys("6");
    assert!(bench.text().contains("HgfsSendRequest+0x35  flg 00000246 [IF ZF PF]"));
    bench.keys("z");
    assert!(!bench.text().contains("spin_lock"), "{}", bench.text());
    bench.keys("Esc 1");
    assert!(bench.text().contains("spin_lock") && bench.text().contains(" flg "));
    bench.keys("Tab");
    assert_eq!(bench.app.focus(), PaneId::Console);
    bench.keys("Shift-Tab Shift-Tab");
    assert_eq!(bench.app.focus(), PaneId::Disassembly);
}
