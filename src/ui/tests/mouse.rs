//! Clicks, drags and the wheel.

use super::{Bench, fixture};
use crate::session::request::{Leave, Request};
use crate::session::view::State;
use crate::ui::layout::PaneId;
use crate::ui::message::{Effect, Message, Purpose};
use crate::ui::popups::Popup;
use crossterm::event::{KeyModifiers, MouseButton, MouseEvent, MouseEventKind};
use proptest::{collection::vec, prelude::*, sample::select};

fn stopped(columns: u16, rows: u16) -> Bench {
    let mut bench = Bench::new(columns, rows);
    bench.view(fixture::view(State::Stopped, Some(fixture::stop(1, 35))));
    bench
}

impl Bench {
    fn mouse(&mut self, kind: MouseEventKind, (column, row): (u16, u16)) -> Vec<Effect> {
        let modifiers = KeyModifiers::NONE;
        let effects = self.send(Message::Mouse(MouseEvent { kind, column, row, modifiers }));
        let wants = |effect: &Effect| matches!(effect, Effect::Ask(Request::Want(_), _));
        effects.into_iter().filter(|effect| !wants(effect)).collect()
    }

    fn click(&mut self, at: (u16, u16)) -> Vec<Effect> {
        let effects = self.mouse(MouseEventKind::Down(MouseButton::Left), at);
        self.mouse(MouseEventKind::Up(MouseButton::Left), at);
        effects
    }

    /// Where a text is on the screen.
    #[track_caller]
    fn find(&self, text: &str) -> (u16, u16) {
        let screen = self.text();
        let at = screen.lines().enumerate().find_map(|(row, line)| {
            let before = &line[..line.find(text)?];
            Some((before.chars().count() as u16, row as u16))
        });
        at.unwrap_or_else(|| panic!("no {text:?}:\n{screen}"))
    }
}

fn asked(request: Request) -> Vec<Effect> {
    vec![Effect::Ask(request, Purpose::Key)]
}

#[test]
fn a_click_chooses_and_on_the_chosen_row_it_opens() {
    let mut bench = stopped(160, 48);
    let at = bench.find("vfs_read");
    assert_eq!(bench.click(at), []);
    assert_eq!((bench.app.focus(), bench.app.stack.list.cursor), (PaneId::Stack, 3));
    assert_eq!(bench.click(at), asked(Request::Frame(3)));
    // The first click on a pane without the keys only gives it the keys.
    bench.keys("1");
    assert_eq!(bench.click(at), []);
    // Below the last row there is nothing to choose.
    let (column, row) = bench.find("└ syscall from user mode");
    assert_eq!(bench.click((column, row + 1)), []);
    assert_eq!(bench.app.stack.list.cursor, 3);
    let queue = bench.find("▾queue");
    bench.click(queue);
    assert!(bench.app.variables.open.is_empty());
    bench.click(queue);
    assert_eq!(bench.app.variables.open.iter().collect::<Vec<_>>(), ["2"]);
}

#[test]
fn the_gutter_sets_a_breakpoint_and_the_text_does_not() {
    let mut bench = stopped(160, 48);
    let (column, row) = bench.find(" 43 ");
    let toggle = asked(Request::Toggle("hgfs/request.c:43".into()));
    for column in [0, 1, column + 2] {
        assert_eq!(bench.click((column, row)), toggle, "column {column}");
    }
    assert_eq!(bench.click((12, row + 1)), []);
    assert_eq!(bench.app.source.location().as_deref(), Some("hgfs/request.c:44"));
    assert_eq!(bench.click((12, row + 1)), [], "a second click goes nowhere");
}

#[test]
fn tabs_hints_and_titles_are_clicked_as_they_are_read() {
    for (columns, rows) in [(160, 48), (80, 24), (124, 28), (100, 40)] {
        let mut bench = stopped(columns, rows);
        for (name, pane) in [("8", PaneId::Tasks), ("7", PaneId::Breakpoints), ("4", PaneId::Stack)]
        {
            let slots = bench.app.arrangement().slots;
            let slot = slots.iter().find(|slot| slot.tabs.contains(&pane)).unwrap();
            let title = bench.text().lines().nth(slot.area.y.into()).unwrap().to_string();
            let inside = title.chars().skip(slot.area.x.into());
            let at = inside.enumerate().position(|(_, c)| c.to_string() == name).unwrap();
            assert_eq!(bench.click((slot.area.x + at as u16, slot.area.y)), []);
            assert_eq!(bench.app.focus(), pane, "{columns}x{rows}\n{}", bench.text());
        }
        let over = bench.find(" over");
        let next = bench.click((over.0 + 2, over.1));
        let step = Request::Step(crate::session::request::Step::LineOver, 1);
        assert_eq!(next, [Effect::Ask(step, Purpose::Run)], "{columns}x{rows}");
    }
    let mut bench = stopped(160, 48);
    let (column, row) = bench.find("Breakpoints");
    bench.click((column + 40, row));
    assert_eq!(bench.app.focus(), PaneId::Breakpoints, "the rest of the title is the pane's");
}

#[test]
fn the_wheel_scrolls_what_it_is_over() {
    let mut bench = stopped(160, 48);
    let top = bench.app.source.list.top;
    bench.mouse(MouseEventKind::ScrollUp, (10, 10));
    assert_eq!(bench.app.source.list.top, top - 3);
    bench.mouse(MouseEventKind::ScrollDown, (10, 10));
    assert_eq!(bench.app.source.list.top, top);
    bench.mouse(MouseEventKind::ScrollRight, (10, 10));
    assert_eq!(bench.app.source.list.left, 8);
    bench.keys("0 m");
    bench.types("$rsp");
    bench.keys("Enter 1");
    let (column, row) = bench.find("Mem");
    bench.mouse(MouseEventKind::ScrollDown, (column, row + 2));
    assert!(bench.app.memory.title().contains("+ 0x18"), "{}", bench.app.memory.title());
    assert_eq!(bench.app.focus(), PaneId::Source, "the keys stay");
    // A text that lies over the panes is scrolled instead.
    bench.keys("?");
    let text = bench.text();
    bench.mouse(MouseEventKind::ScrollDown, (10, 10));
    assert_ne!(bench.text(), text);
    assert_eq!(bench.app.source.list.top, top);
    bench.click((10, 20));
    assert!(matches!(bench.app.popup, Popup::Help(_)));
    bench.click((10, 2));
    assert!(matches!(bench.app.popup, Popup::None), "a click outside closes it");
}

#[test]
fn borders_are_dragged() {
    let mut bench = stopped(160, 48);
    let wide = bench.app.arrangement().slots[0].area;
    let column = wide.right();
    bench.mouse(MouseEventKind::Down(MouseButton::Left), (column, 9));
    for to in [column - 10, column - 30] {
        bench.mouse(MouseEventKind::Drag(MouseButton::Left), (to, 12));
        assert_eq!(bench.app.arrangement().slots[0].area.right(), to);
    }
    bench.mouse(MouseEventKind::Up(MouseButton::Left), (column - 30, 12));
    bench.mouse(MouseEventKind::Drag(MouseButton::Left), (column, 12));
    assert_eq!(bench.app.arrangement().slots[0].area.right(), column - 30, "it was let go");
    // The title of the lower one, beside its tabs.
    let row = bench.app.arrangement().slots[1].area.y;
    bench.mouse(MouseEventKind::Down(MouseButton::Left), (column - 32, row));
    bench.mouse(MouseEventKind::Drag(MouseButton::Left), (column - 32, row - 8));
    assert_eq!(bench.app.arrangement().slots[1].area.y, row - 8);
    bench.mouse(MouseEventKind::Drag(MouseButton::Left), (0, 0));
    assert_eq!(bench.app.arrangement().slots[0].area.height, 3);
    assert!(!bench.text().is_empty());
}

#[test]
fn what_a_popup_offers_can_be_clicked() {
    let mut bench = stopped(160, 48);
    bench.keys("q");
    bench.click((2, 2));
    assert!(matches!(bench.app.popup, Popup::Leave(_)), "beside it nothing happens");
    let at = bench.find("Esc  stay");
    bench.click(at);
    assert!(matches!(bench.app.popup, Popup::None));
    bench.keys("q");
    let at = bench.find("lift the breakpoints and let the guest run");
    let leave = Effect::Ask(Request::Leave(Leave::Detach), Purpose::Leave(Leave::Detach));
    assert_eq!(bench.click(at), [leave]);
    // Completion.
    let mut bench = stopped(80, 24);
    bench.keys(":");
    bench.types("info b");
    bench.keys("Backspace Tab");
    let at = bench.find("info target");
    bench.click(at);
    assert!(bench.text().contains(":info target"), "{}", bench.text());
}

proptest! {
    #[test]
    fn no_click_panics_anywhere(
        size in select(&[(0, 0), (20, 5), (60, 15), (80, 24), (124, 28), (100, 40), (160, 48)][..]),
        preset in select(&["layout asm", "layout data", "layout triage", "layout code"][..]),
        acts in vec((0usize..9, 0u16..170, 0u16..50), 1..40),
    ) {
        use MouseEventKind::{Down, Drag, ScrollDown, ScrollLeft, ScrollRight, ScrollUp, Up};
        let left = MouseButton::Left;
        let mut bench = stopped(size.0, size.1);
        bench.keys(":");
        bench.types(preset);
        bench.keys("Enter");
        for (what, column, row) in acts {
            let kinds =
                [Down(left), Down(left), Drag(left), Up(left), ScrollUp, ScrollDown, ScrollLeft,
                 ScrollRight];
            match kinds.get(what) {
                Some(kind) => drop(bench.mouse(*kind, (column, row))),
                // Something lies over the panes, or the size is another one.
                None if row < 40 => {
                    const KEYS: [&str; 7] = ["?", ":", "Tab", "q", "z", "Ctrl-P", "Esc"];
                    drop(bench.keys(KEYS[usize::from(column) % KEYS.len()]));
                }
                None => drop(bench.send(Message::Resize(column, row))),
            }
        }
        if bench.app.size.0 > 0 {
            bench.text();
        }
    }
}
