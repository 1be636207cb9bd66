//! Where each pane is. A pure function of the terminal's size, the layout the
//! user chose, what is zoomed and which panes had the keys last.

use super::layout_presets::Preset;
use super::layout_tree::{Border, Moved, place};
use ratatui::layout::Rect;

/// A pane, by its digit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PaneId {
    /// C text or instructions.
    Source,
    /// What the guest prints.
    Console,
    /// What the debugger says.
    Log,
    /// The frames.
    Stack,
    /// Arguments and locals.
    Variables,
    /// Expressions of the user.
    Watches,
    /// The selected frame's registers.
    Registers,
    /// What the user wants stopped at.
    Breakpoints,
    /// Tasks of the guest.
    Tasks,
    /// Its CPUs.
    Cpus,
    /// Its modules.
    Modules,
    /// Its memory.
    Memory,
    /// Its kernel's log.
    Dmesg,
    /// Instructions alone.
    Disassembly,
    /// What goes over the wire.
    Packets,
}

use PaneId::{
    Breakpoints, Console, Cpus, Disassembly, Dmesg, Log, Memory, Modules, Packets, Registers,
    Source, Stack, Tasks, Variables, Watches,
};

/// Every pane with the key that gives it the keys, in the order of Tab.
const KEYS: [(PaneId, char); 15] = [
    (Source, '1'),
    (Console, '2'),
    (Dmesg, 'L'),
    (Log, '3'),
    (Packets, 'X'),
    (Stack, '4'),
    (Variables, '5'),
    (Watches, 'W'),
    (Registers, '6'),
    (Breakpoints, '7'),
    (Tasks, '8'),
    (Cpus, '9'),
    (Modules, 'M'),
    (Memory, '0'),
    (Disassembly, 'D'),
];

/// The order in which panes are wanted when there is no room for all: those
/// that cost reads of their own come last.
pub const WANTED: [PaneId; 15] = [
    Source,
    Stack,
    Variables,
    Registers,
    Breakpoints,
    Console,
    Log,
    Watches,
    Modules,
    Tasks,
    Cpus,
    Memory,
    Disassembly,
    Dmesg,
    Packets,
];

impl PaneId {
    /// The key that gives it the keys.
    pub fn key(self) -> char {
        KEYS.iter().find(|(pane, _)| *pane == self).map_or(' ', |(_, key)| *key)
    }

    /// The pane of a key.
    pub fn of(key: char) -> Option<PaneId> {
        KEYS.iter().find(|(_, own)| *own == key).map(|(pane, _)| *pane)
    }

    /// The pane so many further on in the order of Tab.
    pub fn turned(self, by: usize) -> PaneId {
        let at = KEYS.iter().position(|(pane, _)| *pane == self).unwrap_or(0);
        KEYS[(at + by) % KEYS.len()].0
    }

    /// The pane before in the order of Tab.
    pub fn before(self) -> PaneId {
        self.turned(KEYS.len() - 1)
    }

    /// Its name where there is little room.
    pub fn short(self) -> &'static str {
        match self {
            Variables => "Vars",
            Registers => "Regs",
            Breakpoints => "Brk",
            Console => "Cons",
            Memory => "Mem",
            Modules => "Mods",
            Disassembly => "Asm",
            Packets => "Pkts",
            other => other.title(),
        }
    }

    /// Its name.
    pub fn title(self) -> &'static str {
        match self {
            Source => "Source",
            Console => "Console",
            Log => "Log",
            Stack => "Stack",
            Variables => "Variables",
            Watches => "Watch",
            Registers => "Registers",
            Breakpoints => "Breakpoints",
            Tasks => "Tasks",
            Cpus => "CPUs",
            Modules => "Modules",
            Memory => "Memory",
            Dmesg => "dmesg",
            Disassembly => "Disassembly",
            Packets => "Packets",
        }
    }
}

/// How much fits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Size {
    /// All panes at once: 120x35.
    Wide,
    /// As wide, but lower: three places.
    Broad,
    /// 96x32: three places, two of them side by side.
    Tall,
    /// 80x32: two places.
    Narrow,
    /// 80x24: two places, and one row for hints and messages.
    Small,
    /// Less than is supported: only what must be seen.
    Tiny,
}

impl Size {
    /// Of a terminal's columns and rows.
    pub fn of(size: (u16, u16)) -> Size {
        match size {
            (120.., 35..) => Size::Wide,
            (120.., 24..) => Size::Broad,
            (96.., 32..) => Size::Tall,
            (80.., 32..) => Size::Narrow,
            (80.., 24..) => Size::Small,
            _ => Size::Tiny,
        }
    }

    /// Its name.
    fn name(self) -> &'static str {
        match self {
            Size::Wide => "wide",
            Size::Broad => "broad",
            Size::Tall => "tall",
            Size::Narrow => "narrow",
            Size::Small => "small",
            Size::Tiny => "tiny",
        }
    }
}

/// What the user chose and moved.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Layout {
    /// Which layout.
    pub preset: Preset,
    /// Sizes of its parts.
    pub moved: Moved,
}

impl Layout {
    /// What sizes moved on a terminal of this size are kept under.
    pub fn kind(&self, size: (u16, u16)) -> String {
        format!("{} {}", self.preset.name(), Size::of(size).name())
    }

    /// Moves a border, so that the second part has so many rows or columns, or
    /// as near to that as leaves both parts in sight.
    pub fn pull(&mut self, size: (u16, u16), border: &Border, second: i32) {
        let kind = self.kind(size);
        self.moved.set(&kind, border.split, border.bounded(second), border.total());
    }
}

/// A place on the screen with one pane shown and maybe others behind it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Slot {
    /// The pane that is shown.
    pub pane: PaneId,
    /// The panes that share this place, in the order of their tabs.
    pub tabs: Vec<PaneId>,
    /// The place; its first row is the title.
    pub area: Rect,
}

impl Slot {
    /// The place without the title.
    pub fn inside(&self) -> Rect {
        let below = self.area.height.min(1);
        Rect { y: self.area.y + below, height: self.area.height - below, ..self.area }
    }
}

/// The whole screen.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Arrangement {
    /// How much fits.
    pub size: Size,
    /// The panes.
    pub slots: Vec<Slot>,
    /// Where panes meet.
    pub borders: Vec<Border>,
    /// The tour's rows; empty without a tour.
    pub tour: Rect,
    /// The status row.
    pub status: Rect,
    /// The row for messages and typing.
    pub line: Rect,
    /// The hint row; the same as `line` where there is no room for both.
    pub hints: Rect,
}

/// What decides the arrangement.
#[derive(Clone, Copy, Debug)]
pub struct Wanted<'a> {
    /// Columns and rows of the terminal.
    pub size: (u16, u16),
    /// What the user chose.
    pub layout: &'a Layout,
    /// Panes, the one that had the keys last first.
    pub recent: &'a [PaneId],
    /// Whether the first of them fills the screen.
    pub zoom: bool,
    /// Rows of the tour.
    pub tour: u16,
}

/// Places everything.
pub fn arrange(wanted: Wanted<'_>) -> Arrangement {
    let (width, height) = wanted.size;
    let size = Size::of(wanted.size);
    let mut left = height;
    let mut take_last = |rows: u16| {
        let rows = rows.min(left);
        left -= rows;
        Rect::new(0, left, width, rows)
    };
    let hints = take_last(1);
    let line = if height >= 32 { take_last(1) } else { hints };
    let status = take_last(1);
    let tour = take_last(if size == Size::Tiny { 0 } else { wanted.tour });
    let area = Rect::new(0, 0, width, left);
    let mut borders = Vec::new();
    let slots = match size {
        _ if wanted.zoom => {
            let pane = wanted.recent.first().copied().unwrap_or(Source);
            vec![Slot { pane, tabs: vec![pane], area }]
        }
        Size::Tiny if width >= 40 && height >= 10 => {
            let area = Rect { y: 2, height: left - 2, ..area };
            vec![Slot { pane: Source, tabs: vec![Source], area }]
        }
        Size::Tiny => Vec::new(),
        _ => {
            let layout = wanted.layout;
            let moved = layout.moved.of(&layout.kind(wanted.size));
            let placed = place(layout.preset.tree(size), area, moved);
            borders = placed.borders;
            let tabs = |tabs| layout.preset.panes(tabs);
            placed.places.iter().map(|(own, area)| slot(tabs(*own), *area, &wanted)).collect()
        }
    };
    Arrangement { size, slots, borders, tour, status, line, hints }
}

impl Arrangement {
    /// The slot that shows `pane`.
    pub fn slot(&self, pane: PaneId) -> Option<&Slot> {
        self.slots.iter().find(|slot| slot.pane == pane)
    }
}

fn slot(tabs: Vec<PaneId>, area: Rect, wanted: &Wanted<'_>) -> Slot {
    let shown = wanted.recent.iter().find(|pane| tabs.contains(pane));
    let pane = shown.or(tabs.first()).copied().unwrap_or(Source);
    Slot { pane, tabs, area }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ui::layout_presets::PRESETS;
    use proptest::prelude::*;

    fn at(width: u16, height: u16, tour: u16) -> Arrangement {
        let layout = &Layout::default();
        arrange(Wanted { size: (width, height), layout, recent: &WANTED, zoom: false, tour })
    }

    #[test]
    fn what_fits_is_decided_by_size() {
        assert_eq!(at(160, 48, 0).slots.len(), 6);
        assert_eq!(at(120, 35, 2).size, Size::Wide);
        assert_eq!(at(80, 24, 0).slots.len(), 2);
        assert_eq!(at(79, 24, 0).size, Size::Tiny);
        assert!(at(20, 5, 0).slots.is_empty());
        let small = at(80, 24, 0);
        assert_eq!(small.slots[1].pane, PaneId::Stack);
        assert_eq!(small.line, small.hints);
    }

    #[test]
    fn keys_name_panes_and_tab_comes_round() {
        let mut pane = Source;
        for _ in 0..KEYS.len() {
            assert_eq!(PaneId::of(pane.key()), Some(pane));
            assert_eq!(pane.turned(1).before(), pane);
            assert!(WANTED.contains(&pane));
            pane = pane.turned(1);
        }
        assert_eq!((pane, PaneId::of('x')), (Source, None));
    }

    /// What the borders' own keys and the mouse can do to a layout.
    fn pulled(layout: &mut Layout, size: (u16, u16), pulls: &[(usize, i32)]) {
        for (which, by) in pulls {
            let wanted = Wanted { size, layout, recent: &WANTED, zoom: false, tour: 0 };
            let borders = arrange(wanted).borders;
            if let Some(border) = borders.get(which % borders.len().max(1)) {
                layout.pull(size, border, i32::from(border.second()) + by);
            }
        }
    }

    proptest! {
        #[test]
        fn nothing_overlaps_or_leaves_the_screen(
            width in 0u16..300, height in 0u16..120, tour in 0u16..3, zoom: bool,
            preset in proptest::sample::select(&PRESETS[..]),
            pulls in proptest::collection::vec((0usize..8, -90i32..90), 0..6),
        ) {
            let screen = Rect::new(0, 0, width, height);
            let mut layout = Layout { preset, ..Layout::default() };
            pulled(&mut layout, (width, height), &pulls);
            let layout = &layout;
            let wanted = Wanted { size: (width, height), layout, recent: &WANTED, zoom, tour };
            let arranged = arrange(wanted);
            let mut areas: Vec<Rect> = arranged.slots.iter().map(|s| s.area).collect();
            let between = arranged.borders.iter().filter(|border| border.beside);
            areas.extend(between.map(|border| border.area));
            areas.extend([arranged.tour, arranged.status, arranged.hints]);
            for (i, a) in areas.iter().enumerate() {
                prop_assert_eq!(a.intersection(screen).area(), a.area());
                for b in &areas[i + 1..] {
                    prop_assert_eq!(a.intersection(*b).area(), 0, "{:?} {:?}", a, b);
                }
            }
            // All of the screen is used, and every place can show something.
            let used: u32 = areas.iter().map(|area| area.area()).sum();
            let line = if arranged.line == arranged.hints { 0 } else { u32::from(width) };
            let above = if arranged.size == Size::Tiny && !zoom { screen.area() } else { 0 };
            prop_assert!(used + line + above >= screen.area());
            if arranged.size != Size::Tiny {
                let low = arranged.slots.iter().map(|slot| slot.inside().area()).min();
                prop_assert!(low >= Some(40), "{:?}", arranged.slots);
            }
        }
    }
}
