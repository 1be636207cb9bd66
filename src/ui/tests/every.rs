//! Each action by each of its keys, in every ready-made set of keys, and by its
//! name on the `:` line; each command by a line. An action or a command without
//! a case here fails.

use super::{Bench, fixture};
use crate::command::{self, Parsed, help, parse::split, table::COMMANDS};
use crate::config::actions::{self, Action};
use crate::config::keymap::{self, Found, Keymap};
use crate::config::presets::PRESETS;
use crate::session::request::{BreakKind, Breaking, Request, Step, Towards};
use crate::session::view::State;
use crate::ui::layout::PaneId;
use crate::ui::message::{Effect, Message};
use crate::ui::popups::Popup;
use std::collections::BTreeSet;

/// What an action comes to.
enum Comes {
    /// This is asked of the session.
    Asks(Request),
    /// Some request is asked, of this kind.
    AsksSome(fn(&Request) -> bool),
    /// This is done outside.
    Does(fn(&Effect) -> bool),
    /// The pane has the keys.
    Focus(PaneId),
    /// A popup is open, of this kind.
    Opens(fn(&Popup) -> bool),
    /// The screen before and after.
    Changes(fn(&Bench, &Bench) -> bool),
    /// The screen says this.
    Says(&'static str),
}

use Comes::{Asks, AsksSome, Changes, Does, Focus, Opens, Says};

/// The name of an action, the default keys that lead to where it is pressed, and
/// what it comes to.
type Case = (&'static str, &'static str, Comes);

fn line(bench: &Bench) -> u32 {
    bench.app.source.here().map_or(0, |spot| spot.line)
}

fn width(bench: &Bench) -> u16 {
    bench.app.arrangement().slot(bench.app.focus()).map_or(0, |slot| slot.area.width)
}

fn height(bench: &Bench) -> u16 {
    bench.app.arrangement().slot(bench.app.focus()).map_or(0, |slot| slot.area.height)
}

fn here() -> String {
    "hgfs/request.c:35".into()
}

fn is_prompt(popup: &Popup) -> bool {
    matches!(popup, Popup::Prompt(_))
}

fn is_line(popup: &Popup) -> bool {
    matches!(popup, Popup::Command(_))
}

fn cases() -> Vec<Case> {
    vec![
        ("continue", "", Asks(Request::Continue)),
        ("interrupt", "", Says("the guest is stopped already")),
        ("next", "", Asks(Request::Step(Step::LineOver, 1))),
        ("step", "", Asks(Request::Step(Step::Line, 1))),
        ("finish", "", Asks(Request::Step(Step::Out, 1))),
        ("stepi", "", Asks(Request::Step(Step::Instruction, 1))),
        ("nexti", "", Asks(Request::Step(Step::InstructionOver, 1))),
        ("plant", "", Asks(Request::Plant)),
        ("up", "", Asks(Request::FrameBy(1))),
        ("down", "", Asks(Request::FrameBy(-1))),
        ("toggle-breakpoint", "", Asks(Request::Toggle(here()))),
        ("break-once", "", Asks(Request::Break(Breaking::at(BreakKind::Temporary, here())))),
        ("run-to-cursor", "", Asks(Request::RunTo(here(), Towards::Cursor))),
        ("next-pane", "4", Changes(|a, b| b.app.focus() == a.app.focus().turned(1))),
        ("previous-pane", "4", Changes(|a, b| b.app.focus() == a.app.focus().before())),
        ("zoom", "", Changes(|a, b| b.app.zoom && !a.app.zoom)),
        ("next-layout", "4", Changes(|a, b| b.app.layout.preset == a.app.layout.preset.next())),
        ("wider", "4", Changes(|a, b| width(b) > width(a))),
        ("narrower", "4", Changes(|a, b| width(b) < width(a))),
        ("higher", "4", Changes(|a, b| height(b) > height(a))),
        ("lower", "4", Changes(|a, b| height(b) < height(a))),
        ("copy-row", "4", Does(|effect| matches!(effect, Effect::Copy(_)))),
        ("copy-pane", "4", Does(|effect| matches!(effect, Effect::Copy(_)))),
        ("open-editor", "", Does(|effect| matches!(effect, Effect::Edit(_, 35)))),
        ("cycle-code", "", Changes(|a, b| a.text() != b.text())),
        ("toggle-flavor", "", Asks(Request::Set("disassembly-flavor".into(), "intel".into()))),
        ("show-pc", "Home", Changes(|a, b| line(a) == 1 && line(b) == 35)),
        ("search-source", "", Opens(is_prompt)),
        ("next-match", "/ q u e u e Enter", Changes(|a, b| line(b) > line(a))),
        ("previous-match", "/ q u e u e Enter", Changes(|a, b| line(b) < line(a))),
        ("go-to", "", Opens(is_prompt)),
        ("go-back", "g 1 2 Enter", Changes(|a, b| line(a) == 12 && line(b) == 35)),
        ("go-forward", "g 1 2 Enter Backspace", Changes(|_, b| line(b) == 12)),
        ("toggle-values", "", Changes(|a, b| a.text() != b.text())),
        ("open", "4 Down", Asks(Request::Frame(1))),
        (
            "unfold",
            "5 Down Down Left",
            Changes(|a, b| b.app.variables.open != a.app.variables.open),
        ),
        ("fold", "5 Down Down Right", Changes(|a, b| b.app.variables.open != a.app.variables.open)),
        ("add-watch", "5 Down Down", Changes(|_, b| b.app.watches.watches == ["queue"])),
        ("remove-watch", "5 Down Down w", Changes(|_, b| b.app.watches.watches.is_empty())),
        ("show-memory", "5", Focus(PaneId::Memory)),
        ("cycle-unit", "m $ r s p Enter", Changes(|a, b| a.text() != b.text())),
        ("cycle-level", "L", Changes(|a, b| a.text() != b.text())),
        ("edit-value", "5 Down Down Down Down Down", Opens(is_line)),
        ("filter", "8", Opens(is_prompt)),
        ("sort", "8", Changes(|a, b| a.app.wants() != b.app.wants() || a.text() != b.text())),
        ("previous-task", "", Asks(Request::Cpu(Some(0)))),
        ("next-task", "", Asks(Request::Cpu(Some(0)))),
        ("show-whole", "5 Down Down", Opens(|popup| matches!(popup, Popup::Output(_)))),
        ("break-at-init", "M", AsksSome(|request| matches!(request, Request::Break(_)))),
        ("edit-ignore", "7", Opens(is_line)),
        ("edit-commands", "7", Opens(is_line)),
        ("toggle-enabled", "7", Asks(Request::Enable(false, vec![1]))),
        ("delete-breakpoint", "7", Asks(Request::Delete(vec![1]))),
        ("type-console", "2", Says("its console reads nothing until it runs")),
        ("end-typing", "2", Says("nothing is typed into the guest's console now")),
        ("palette", "", Opens(|popup| matches!(popup, Popup::Palette(_)))),
        ("command-line", "", Opens(is_line)),
        ("keys", "", Opens(|popup| matches!(popup, Popup::Help(_)))),
        ("redraw", "", Does(|effect| *effect == Effect::Redraw)),
        ("suspend", "", Does(|effect| *effect == Effect::Suspend)),
        ("close", "z", Changes(|_, b| !b.app.zoom)),
        ("leave", "", Opens(|popup| matches!(popup, Popup::Leave(_)))),
        ("cursor-up", "", Changes(|a, b| line(b) + 1 == line(a))),
        ("cursor-down", "", Changes(|a, b| line(b) == line(a) + 1)),
        ("page-up", "End", Changes(|a, b| line(b) < line(a))),
        ("page-down", "Home", Changes(|a, b| line(b) > line(a))),
        ("first-row", "", Changes(|_, b| line(b) == 1)),
        ("last-row", "", Changes(|a, b| line(b) > line(a))),
        ("scroll-left", "3 Right", Changes(|_, b| b.app.log.list.left == 0)),
        ("scroll-right", "3", Changes(|_, b| b.app.log.list.left > 0)),
        ("focus source", "4", Focus(PaneId::Source)),
        ("focus console", "", Focus(PaneId::Console)),
        ("focus log", "", Focus(PaneId::Log)),
        ("focus stack", "", Focus(PaneId::Stack)),
        ("focus variables", "", Focus(PaneId::Variables)),
        ("focus registers", "", Focus(PaneId::Registers)),
        ("focus breakpoints", "", Focus(PaneId::Breakpoints)),
        ("focus tasks", "", Focus(PaneId::Tasks)),
        ("focus cpus", "", Focus(PaneId::Cpus)),
        ("focus memory", "", Focus(PaneId::Memory)),
        ("focus modules", "", Focus(PaneId::Modules)),
        ("focus watches", "", Focus(PaneId::Watches)),
        ("focus dmesg", "", Focus(PaneId::Dmesg)),
        ("focus disassembly", "", Focus(PaneId::Disassembly)),
        ("focus packets", "", Focus(PaneId::Packets)),
    ]
}

/// A stopped guest, with the default keys pressed that a case begins with.
fn bench(setup: &str) -> Bench {
    let mut bench = Bench::new(160, 48);
    let mut view = fixture::view(State::Stopped, Some(fixture::stop(1, 35)));
    view.modules = fixture::modules();
    bench.view(view);
    if !setup.is_empty() {
        bench.keys(setup);
    }
    bench
}

/// What a case did not come to; nothing when it did.
fn check(what: &str, case: &Case, bench: &Bench, effects: &[Effect]) -> Option<String> {
    let (name, setup, comes) = case;
    let asked: Vec<&Request> = effects
        .iter()
        .filter_map(|effect| match effect {
            Effect::Ask(Request::Want(_), _) => None,
            Effect::Ask(request, _) => Some(request),
            _ => None,
        })
        .collect();
    let done = match comes {
        Asks(request) => asked == [request],
        AsksSome(kind) => asked.iter().any(|request| kind(request)),
        Does(kind) => effects.iter().any(kind),
        Focus(pane) => bench.app.focus() == *pane,
        Opens(kind) => kind(&bench.app.popup),
        Changes(kind) => kind(&self::bench(setup), bench),
        Says(words) => bench.text().contains(words),
    };
    let message = bench.app.message.as_ref().map(|(_, text)| text);
    (!done).then(|| format!("{name} by {what}: {effects:?}, {message:?}, {:?}", bench.app.popup))
}

#[test]
fn every_action_has_a_case() {
    let cases: BTreeSet<_> = cases().iter().map(|(name, ..)| *name).collect();
    let named: BTreeSet<_> = actions::all().map(|row| row.name).collect();
    let apart: Vec<_> = cases.symmetric_difference(&named).collect();
    assert!(apart.is_empty(), "without a case here, or no action: {apart:?}");
}

#[test]
fn every_action_does_what_it_says_by_each_key_of_each_set() {
    let (mut pressed, mut wrong) = (0, Vec::new());
    for preset in PRESETS {
        for case in cases() {
            let (name, setup, _) = case;
            let action = actions::named(name).unwrap();
            let scopes = bench(setup).app.scopes();
            let keymap = Keymap::of(preset);
            let all = keymap.bindings().iter().filter(|binding| {
                binding.action == action
                    && keymap.find(&binding.keys, &scopes) == Found::Action(action)
            });
            let all: Vec<_> = all.map(|binding| binding.keys.clone()).collect();
            if all.is_empty() {
                wrong.push(format!("{name}: no key in the set {}", preset.name));
            }
            for keys in all {
                let mut bench = bench(setup);
                bench.app.keymap = keymap.clone();
                let press = |key| bench.send(Message::Key(key));
                let effects: Vec<Effect> = keys.iter().copied().flat_map(press).collect();
                let what = format!("{} in the set {}", keymap::written(&keys), preset.name);
                wrong.extend(check(&what, &case, &bench, &effects));
                pressed += 1;
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    assert!(pressed > 5 * actions::all().count());
}

#[test]
fn every_action_does_the_same_when_it_is_typed() {
    let mut wrong = Vec::new();
    for case in cases() {
        let (name, setup, _) = case;
        let mut bench = bench(setup);
        bench.keys(":");
        bench.types(name);
        let effects = bench.keys("Enter");
        // An interrupt that is typed is the session's to answer.
        if name != "interrupt" {
            wrong.extend(check("its name", &case, &bench, &effects));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

/// A line of each command that is no action.
const LINES: &[&str] = &[
    "layout data",
    "save pane /tmp/pane",
    "edit HgfsSendRequest",
    "condition 1 x > 3",
    "ignore 1 3",
    "commands 1 bt; continue",
    "dprintf HgfsSendRequest,\"%d\\n\",timeout",
    "rbreak ^Hgfs",
    "save breakpoints /tmp/file",
    "printf \"%d\\n\",timeout",
    "interrupt",
    "console echo hello",
    "plant",
    "catch load hgfs",
    "tcatch panic",
    "info crash",
    "skip",
    "reboot",
    "print/x timeout",
    "output timeout",
    "display timeout",
    "set listsize 20",
    "x/4gx $rsp",
    "info list &modules",
    "ptype struct HgfsReq",
    "whatis timeout",
    "hbreak HgfsSendRequest",
    "thbreak HgfsSendRequest",
    "watch hgfs_stats.sent",
    "rwatch hgfs_stats.sent",
    "awatch hgfs_stats.sent",
    "focus stack",
    "step 2",
    "next",
    "stepi",
    "nexti",
    "finish",
    "until 40",
    "advance 40",
    "jump 40",
    "sections /tmp/sections",
    "add-symbol-file /tmp/hgfs.ko 0xffffffffc0002000",
    "remove-symbol-file /tmp/hgfs.ko",
    "source /tmp/file",
    "continue",
    "pass",
    "wait 1",
    "break HgfsSendRequest if timeout > 3",
    "tbreak HgfsSendRequest",
    "delete 1",
    "disable 1",
    "enable once 1",
    "bt 3",
    "cpu 1",
    "task 1",
    "frame 1",
    "up",
    "down",
    "list HgfsSendRequest",
    "disassemble /s HgfsSendRequest",
    "search Hgfs",
    "pick functions",
    "show listsize",
    "monitor lsmod",
    "trust-symbols",
    "info registers rip",
    "info args",
    "info locals",
    "info line HgfsSendRequest",
    "info symbol 0xffffffffc0002035",
    "info macro HGFS_TIMEOUT",
    "info functions ^Hgfs",
    "info variables ^hgfs",
    "info types ^Hgfs",
    "info scope HgfsSendRequest",
    "info sources hgfs",
    "info breakpoints",
    "info modules",
    "info module hgfs",
    "info cpus",
    "info dmesg",
    "info packets stack",
    "info tasks cat",
    "info stacks",
    "info target",
    "info kgdb",
    "info config KGDB",
    "info link",
    "replay 2",
    "snapshot /tmp/bug.rec",
    "info replay",
    "detach",
    "help bt",
    "quit",
];

#[test]
fn every_command_has_help_and_a_line_that_does_it() {
    let mut seen = BTreeSet::new();
    for line in LINES {
        let (command, _) = split(line).unwrap();
        assert!(seen.insert(command.name), "{} has two lines", command.name);
        let mut bench = bench("");
        bench.keys(":");
        bench.types(line);
        let effects = bench.keys("Enter");
        let error = bench.app.message.as_ref().filter(|(_, text)| text.contains("usage:"));
        assert_eq!(error, None, "{line}");
        match command::parse::parse(line).unwrap() {
            Parsed::Nothing => panic!("{line} is nothing"),
            // Leaving is asked of the session in a way of its own.
            Parsed::Request(request) => {
                let asked = effects.iter().any(|effect| match effect {
                    Effect::Ask(asked, _) => *asked == request,
                    _ => false,
                });
                assert!(asked, "{line}: {effects:?}");
            }
            Parsed::Face(_) => {
                let same = effects.is_empty() && bench.text() == self::bench("").text();
                assert!(!same, "{line} does nothing");
            }
        }
    }
    for command in COMMANDS {
        let action = actions::named(command.name)
            .is_some_and(|action| !matches!(action, Action::Command(_)));
        assert!(action || seen.contains(command.name), "{} has no line here", command.name);
        assert!(!command.help.is_empty() && !command.cost.is_empty(), "{}", command.name);
        assert!(help::help(Some(command.name)).contains(command.usage), "{}", command.name);
    }
}
