//! Layouts and sizes by key and by command, what is remembered, what leaves the
//! screen as text.

use super::{Bench, fixture};
use crate::session::kept::Kept;
use crate::session::view::State;
use crate::ui::layout::PaneId;
use crate::ui::layout_presets::{PRESETS, Preset};
use crate::ui::message::{Effect, Message};
use crate::ui::remember;
use insta::assert_snapshot;

fn stopped(columns: u16, rows: u16) -> Bench {
    let mut bench = Bench::new(columns, rows);
    bench.view(fixture::view(State::Stopped, Some(fixture::stop(1, 35))));
    bench
}

/// Types a line; what it leads to, but for what the panes want then.
fn line(bench: &mut Bench, text: &str) -> Vec<Effect> {
    bench.keys(":");
    bench.types(text);
    let effects = bench.keys("Enter");
    effects.into_iter().filter(|effect| !matches!(effect, Effect::Ask(..))).collect()
}

fn columns_of(bench: &Bench, pane: PaneId) -> u16 {
    bench.app.arrangement().slot(pane).unwrap().area.width
}

fn rows_of(bench: &Bench, pane: PaneId) -> u16 {
    bench.app.arrangement().slot(pane).unwrap().area.height
}

#[test]
fn every_preset_at_every_size() {
    for (columns, rows) in [(200, 60), (120, 35), (80, 24)] {
        for preset in PRESETS.into_iter().skip(1) {
            let mut bench = stopped(columns, rows);
            line(&mut bench, &format!("layout {}", preset.name()));
            assert_snapshot!(format!("{}_{columns}", preset.name()), bench.text());
        }
    }
    for preset in PRESETS {
        let mut bench = stopped(60, 15);
        line(&mut bench, &format!("layout {}", preset.name()));
        assert!(bench.text().contains("60x15: needs 80x24"), "{}", bench.text());
    }
}

#[test]
fn layouts_come_by_key_and_by_name() {
    let mut bench = stopped(160, 48);
    bench.keys("F4");
    assert_eq!((bench.app.layout.preset, bench.app.focus()), (Preset::Asm, PaneId::Disassembly));
    assert!(bench.text().contains("layout asm: instructions large"), "{}", bench.text());
    bench.keys("v");
    assert_eq!(bench.app.layout.preset, Preset::Data);
    bench.keys("Alt-5");
    assert_eq!((bench.app.layout.preset, bench.app.focus()), (Preset::Triage, PaneId::Tasks));
    // What is in front is what the layout is about, whatever was there before.
    assert!(bench.app.arrangement().slot(PaneId::Dmesg).is_some());
    // As at the start, when the size is not known yet; and in little room.
    let mut early = Bench::new(0, 0);
    line(&mut early, "layout triage");
    early.send(Message::Resize(160, 48));
    assert!(early.app.arrangement().slot(PaneId::Dmesg).is_some());
    early.send(Message::Resize(80, 24));
    assert!(early.app.arrangement().slot(PaneId::Stack).is_some());
    line(&mut bench, "layout src");
    assert_eq!((bench.app.layout.preset, bench.app.focus()), (Preset::Code, PaneId::Source));
    line(&mut bench, "layout zork");
    assert!(bench.text().contains("no layout 'zork'; there are code, asm, data"));
    line(&mut bench, "layout");
    assert!(bench.text().contains("layout code; there are code, asm"), "{}", bench.text());
}

#[test]
fn borders_move_by_key_and_come_back() {
    let mut bench = stopped(160, 48);
    let (wide, high) = (columns_of(&bench, PaneId::Source), rows_of(&bench, PaneId::Source));
    bench.keys("> +");
    assert_eq!(columns_of(&bench, PaneId::Source), wide + 4);
    assert_eq!(rows_of(&bench, PaneId::Source), high + 2);
    // The same border from its other side.
    bench.keys("4 Ctrl-Right");
    assert_eq!(columns_of(&bench, PaneId::Source), wide);
    bench.keys("1 < - Ctrl-Left Ctrl-Down");
    assert_eq!(columns_of(&bench, PaneId::Source), wide - 8);
    (0..60).for_each(|_| drop(bench.keys("<")));
    assert_eq!(columns_of(&bench, PaneId::Source), 20, "it stays in sight");
    // Another layout and another size have their own.
    bench.keys("F4");
    assert_ne!(columns_of(&bench, PaneId::Disassembly), 20);
    line(&mut bench, "layout code");
    line(&mut bench, "layout reset");
    assert_eq!(columns_of(&bench, PaneId::Source), wide);
    assert_eq!(rows_of(&bench, PaneId::Source), high);
    bench.keys("z >");
    assert!(bench.text().contains("the pane fills the screen"), "{}", bench.text());
    let mut narrow = stopped(80, 24);
    narrow.keys(">");
    assert!(narrow.text().contains("no border to move there"), "{}", narrow.text());
}

#[test]
fn the_screen_remembers_what_the_user_made_of_it() {
    let root = tempfile::tempdir().unwrap();
    let kept = Kept::new(root.path(), "localhost:9999");
    let remembered = |effects: &[Effect]| {
        effects.iter().find_map(|effect| match effect {
            Effect::Remember(what) => Some(what.clone()),
            _ => None,
        })
    };
    let mut bench = stopped(160, 48);
    bench.app.kept = Some(kept.clone());
    assert_eq!(remembered(&bench.keys("Down Up u z z")), None, "nothing to remember");
    assert!(remembered(&bench.keys("F4")).is_some());
    assert!(remembered(&bench.keys(">")).is_some());
    assert!(remembered(&bench.keys("a")).is_some());
    bench.keys(":");
    bench.types("display jiffies");
    let last = remembered(&bench.keys("Enter")).unwrap();
    kept.save(remember::NAME, &*last).unwrap();

    let mut next = stopped(160, 48);
    next.app.kept = Some(kept.clone());
    remember::restore(&mut next.app);
    let apps = [&bench.app, &next.app];
    assert_eq!(apps[0].layout, apps[1].layout);
    assert_eq!(apps[0].source.mode, apps[1].source.mode);
    assert_eq!(apps[1].watches.watches, ["jiffies"]);
    assert_eq!(apps[1].history.lines(), ["display jiffies"]);
    assert_eq!(next.app.focus(), PaneId::Disassembly);
    assert_eq!(remembered(&next.keys("Down")), None);

    std::fs::write(kept.path(remember::NAME), "{\"layout\": \"code\", \"zoo\": 1").unwrap();
    let mut next = stopped(160, 48);
    next.app.kept = Some(kept);
    remember::restore(&mut next.app);
    assert!(next.text().contains("is damaged and not used"), "{}", next.text());
    assert_eq!(next.app.layout.preset, Preset::Code);
}

#[test]
fn rows_and_panes_leave_as_text() {
    let mut bench = stopped(100, 40);
    let copied = |effects: Vec<Effect>| match &effects[..] {
        [Effect::Copy(text)] => text.clone(),
        other => panic!("{other:?}"),
    };
    let source = copied(bench.keys("1 y"));
    assert!(source.starts_with("spin_lock("), "{source:?}");
    let told = format!("given to the terminal's clipboard: {source}");
    assert!(bench.text().contains(&told), "{}", bench.text());
    let value = bench.keys("5 y");
    assert!(matches!(&value[..], [.., Effect::Copy(text)] if text == "0xffff888004209a00"));
    let stack = bench.keys("4 Y");
    let [.., Effect::Copy(stack)] = &stack[..] else { panic!("{stack:?}") };
    assert_eq!(stack.lines().count(), 7, "{stack}");
    assert!(stack.contains("#5  do_syscall_64") && stack.contains("└ syscall from user mode"));
    // All rows, not only those seen, and the screen is as it was.
    let list = bench.app.source.list;
    bench.keys("1");
    let effects = line(&mut bench, "save pane /tmp/of a pane");
    let [Effect::Save { file, over: false, text }] = &effects[..] else { panic!("{effects:?}") };
    assert_eq!(file.to_str(), Some("/tmp/of a pane"));
    assert_eq!(text.lines().count(), list.len);
    assert!(list.len > list.height, "{list:?}");
    assert_eq!(bench.app.source.list, list);
    for pane in ["2", "L", "3", "X", "W", "6", "7", "8", "9", "M", "0", "D"] {
        bench.keys(pane);
        let effects = line(&mut bench, "save pane /tmp/x");
        assert!(matches!(&effects[..], [Effect::Save { .. }]), "{pane}: {effects:?}");
        bench.keys("y");
    }
}

#[test]
fn the_editor_opens_where_the_cursor_is() {
    let mut bench = stopped(100, 40);
    let effects = bench.keys("1 Down e");
    let [Effect::Edit(path, 36)] = &effects[..] else { panic!("{effects:?}") };
    assert!(path.ends_with("hgfs/request.c"), "{path:?}");
    bench.keys("a");
    let effects = bench.keys("e");
    assert!(matches!(&effects[..], [Effect::Edit(..)]), "{effects:?}");
    line(&mut bench, "edit zork");
    assert!(bench.text().contains("no function"), "{}", bench.text());
    let mut empty = Bench::new(100, 40);
    assert_eq!(empty.keys("e"), []);
    assert!(empty.text().contains("no file of this machine to edit"), "{}", empty.text());
}
