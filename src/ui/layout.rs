//! Where each pane is. A pure function of the terminal's size, what is zoomed
//! and which panes had the keys last.

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
}

use PaneId::{
    Breakpoints, Console, Cpus, Log, Memory, Modules, Registers, Source, Stack, Tasks, Variables,
    Watches,
};

/// Every pane with the key that gives it the keys, in the order of Tab.
const KEYS: [(PaneId, char); 12] = [
    (Source, '1'),
    (Console, '2'),
    (Log, '3'),
    (Stack, '4'),
    (Variables, '5'),
    (Watches, 'W'),
    (Registers, '6'),
    (Breakpoints, '7'),
    (Tasks, '8'),
    (Cpus, '9'),
    (Modules, 'M'),
    (Memory, '0'),
];

/// The order in which panes are wanted when there is no room for all: those
/// that cost reads of their own come last.
pub const WANTED: [PaneId; 12] = [
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
];

/// Panes that share a place beside the stack, where there is no room for all.
const BESIDE: [PaneId; 10] =
    [Variables, Watches, Registers, Breakpoints, Modules, Tasks, Cpus, Memory, Console, Log];

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
        }
    }
}

/// How much fits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Size {
    /// All panes at once.
    Wide,
    /// Source, stack and a strip of tabs.
    Medium,
    /// Source and a strip of tabs.
    Small,
    /// Less than is supported: only what must be seen.
    Tiny,
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
    /// The column between left and right panes, where there is one.
    pub divider: Option<Rect>,
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
    let size = match (width, height) {
        (120.., 35..) => Size::Wide,
        (120.., 24..) | (80.., 32..) => Size::Medium,
        (80.., 24..) => Size::Small,
        _ => Size::Tiny,
    };
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
    let mut divider = None;
    let slots = match size {
        _ if wanted.zoom => {
            let pane = wanted.recent.first().copied().unwrap_or(Source);
            vec![Slot { pane, tabs: vec![pane], area }]
        }
        Size::Tiny if width >= 40 && height >= 10 => {
            vec![Slot { pane: Source, tabs: vec![Source], area: cut_top(area, 2).1 }]
        }
        Size::Tiny => Vec::new(),
        Size::Small => {
            let (source, strip) = cut_bottom(area, (area.height * 2 / 5).clamp(7, 10));
            vec![slot(&[Source], source, &wanted), slot(&WANTED[1..], strip, &wanted)]
        }
        Size::Medium if width >= 120 => {
            let (left, gap, right) = columns(area);
            divider = Some(gap);
            let (stack, strip) = cut_bottom(right, right.height.saturating_sub(8).min(13));
            vec![
                slot(&[Source], left, &wanted),
                slot(&[Stack], stack, &wanted),
                slot(&BESIDE, strip, &wanted),
            ]
        }
        Size::Medium if width >= 96 => {
            let (source, lower) = cut_bottom(area, (area.height * 2 / 5).clamp(11, 16));
            let half = lower.width / 2;
            let at = |x, width| Rect { x: lower.x + x, width, ..lower };
            divider = Some(at(half, 1));
            vec![
                slot(&[Source], source, &wanted),
                slot(&[Stack], at(0, half), &wanted),
                slot(&BESIDE, at(half + 1, lower.width - half - 1), &wanted),
            ]
        }
        Size::Medium => {
            let (source, lower) = cut_bottom(area, (area.height * 2 / 5).clamp(11, 16));
            vec![slot(&[Source], source, &wanted), slot(&WANTED[1..], lower, &wanted)]
        }
        Size::Wide => {
            // Rows of tasks and of memory are long: they go under the source.
            let (left, gap, right) = columns(area);
            divider = Some(gap);
            let (source, lower) = cut_bottom(left, (left.height / 4).clamp(7, 14));
            let (upper, breakpoints) = cut_bottom(right, (right.height / 6).clamp(5, 10));
            let (upper, registers) = cut_bottom(upper, 12.min(upper.height.saturating_sub(12)));
            let (stack, variables) = cut_bottom(upper, upper.height * 9 / 20);
            vec![
                slot(&[Source], source, &wanted),
                slot(&[Console, Log, Tasks, Memory], lower, &wanted),
                slot(&[Stack], stack, &wanted),
                slot(&[Variables, Watches], variables, &wanted),
                slot(&[Registers], registers, &wanted),
                slot(&[Breakpoints, Cpus, Modules], breakpoints, &wanted),
            ]
        }
    };
    Arrangement { size, slots, divider, tour, status, line, hints }
}

impl Arrangement {
    /// The slot that shows `pane`.
    pub fn slot(&self, pane: PaneId) -> Option<&Slot> {
        self.slots.iter().find(|slot| slot.pane == pane)
    }
}

fn slot(tabs: &[PaneId], area: Rect, wanted: &Wanted<'_>) -> Slot {
    let shown = wanted.recent.iter().find(|pane| tabs.contains(pane));
    Slot { pane: shown.copied().unwrap_or(tabs[0]), tabs: tabs.to_vec(), area }
}

/// Source needs most; the registers' two columns need 45.
fn columns(area: Rect) -> (Rect, Rect, Rect) {
    let right = (area.width * 37 / 100).clamp(46, 72);
    let left = area.width - right - 1;
    let at = |x, width| Rect { x: area.x + x, width, ..area };
    (at(0, left), at(left, 1), at(left + 1, right))
}

fn cut_bottom(area: Rect, rows: u16) -> (Rect, Rect) {
    let rows = rows.min(area.height);
    cut_top(area, area.height - rows)
}

fn cut_top(area: Rect, rows: u16) -> (Rect, Rect) {
    let rows = rows.min(area.height);
    let top = Rect { height: rows, ..area };
    (top, Rect { y: area.y + rows, height: area.height - rows, ..area })
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn at(width: u16, height: u16, tour: u16) -> Arrangement {
        arrange(Wanted { size: (width, height), recent: &WANTED, zoom: false, tour })
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

    proptest! {
        #[test]
        fn nothing_overlaps_or_leaves_the_screen(
            width in 0u16..300, height in 0u16..120, tour in 0u16..3, zoom: bool,
        ) {
            let screen = Rect::new(0, 0, width, height);
            let wanted = Wanted { size: (width, height), recent: &WANTED, zoom, tour };
            let arranged = arrange(wanted);
            let mut areas: Vec<Rect> = arranged.slots.iter().map(|s| s.area).collect();
            areas.extend(arranged.divider.filter(|_| !zoom));
            areas.extend([arranged.tour, arranged.status, arranged.hints]);
            for (i, a) in areas.iter().enumerate() {
                prop_assert_eq!(a.intersection(screen).area(), a.area());
                for b in &areas[i + 1..] {
                    prop_assert_eq!(a.intersection(*b).area(), 0, "{:?} {:?}", a, b);
                }
            }
        }
    }
}
