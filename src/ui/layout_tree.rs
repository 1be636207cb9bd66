//! A layout as data: a tree of splits, each with a share for its second part,
//! and panes at the leaves. What the user moved is kept beside it, so that one
//! tree serves every size of its kind.

use super::layout::PaneId;
use ratatui::layout::Rect;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// A part of the screen.
#[derive(Clone, Copy, Debug)]
pub enum Node {
    /// One place for some panes, of which one is shown.
    Tabs(Tabs),
    /// Two parts side by side, with a column between them.
    Beside(&'static Split),
    /// Two parts one under the other; the title of the lower one parts them.
    Under(&'static Split),
}

/// The panes of a place.
#[derive(Clone, Copy, Debug)]
pub enum Tabs {
    /// These.
    These(&'static [PaneId]),
    /// What the preset is about.
    Main,
    /// What it shows beside that where there is little room.
    Second,
    /// All others.
    Rest,
    /// All others and the second.
    AllButMain,
}

/// A part in two.
#[derive(Clone, Copy, Debug)]
pub struct Split {
    /// Rows or columns of the second part.
    pub share: Share,
    /// The left or upper part.
    pub first: Node,
    /// The right or lower part.
    pub second: Node,
}

/// How much the second part takes where the user did not say.
#[derive(Clone, Copy, Debug)]
pub struct Share {
    /// Of a thousand.
    pub of_1000: u16,
    /// At least so many rows or columns.
    pub least: u16,
    /// At most so many.
    pub most: u16,
    /// So many stay for the first part.
    pub leave: u16,
}

impl Share {
    /// A share between two bounds.
    pub const fn new(of_1000: u16, least: u16, most: u16) -> Share {
        Share { of_1000, least, most, leave: 0 }
    }

    /// All that is left by the first part, up to a bound.
    pub const fn up_to(most: u16, leave: u16) -> Share {
        Share { of_1000: 1000, least: 0, most, leave }
    }

    fn of(&self, total: u16) -> u16 {
        let part = part(total, self.of_1000).clamp(self.least, self.most);
        part.min(total.saturating_sub(self.leave))
    }
}

fn part(total: u16, of_1000: u16) -> u16 {
    (u32::from(total) * u32::from(of_1000) / 1000) as u16
}

/// What the user moved: for each kind of screen and each split of its tree,
/// counted from the root, the share of the second part, of a thousand.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Moved(BTreeMap<String, BTreeMap<usize, u16>>);

impl Moved {
    /// What was moved on one kind of screen.
    pub fn of(&self, kind: &str) -> Option<&BTreeMap<usize, u16>> {
        self.0.get(kind)
    }

    /// Gives the second part of a split so many rows or columns of `total`.
    pub fn set(&mut self, kind: &str, split: usize, second: u16, total: u16) {
        // Rounded up, so that the same number comes out again.
        let of_1000 = (u32::from(second) * 1000).div_ceil(u32::from(total.max(1))).min(1000);
        self.0.entry(kind.to_string()).or_default().insert(split, of_1000 as u16);
    }

    /// Forgets what was moved on one kind of screen.
    pub fn reset(&mut self, kind: &str) {
        self.0.remove(kind);
    }
}

/// Where two parts meet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Border {
    /// The split, counted from the root.
    pub split: usize,
    /// Whether the parts are side by side.
    pub beside: bool,
    /// The column between them, or the title row of the lower one.
    pub area: Rect,
    /// Both parts and what is between them.
    pub whole: Rect,
    /// The least rows or columns of the first part, and of the second.
    least: (u16, u16),
}

/// The least rows of a place: a title and two more.
const LEAST_ROWS: u16 = 3;
/// The least columns of a place.
const LEAST_COLUMNS: u16 = 20;

/// The least rows (or columns) that show all places of a part.
fn least(node: &Node, columns: bool) -> u16 {
    let (beside, split) = match node {
        Node::Tabs(_) => return if columns { LEAST_COLUMNS } else { LEAST_ROWS },
        Node::Beside(split) => (true, split),
        Node::Under(split) => (false, split),
    };
    let (first, second) = (least(&split.first, columns), least(&split.second, columns));
    if beside == columns { first + second + u16::from(beside) } else { first.max(second) }
}

impl Border {
    /// How many rows or columns the second part may have of those it is to
    /// have: both parts stay in sight.
    pub fn bounded(&self, second: i32) -> u16 {
        let room = self.total().saturating_sub(self.beside.into());
        let (first_least, second_least) = self.least;
        if room < first_least + second_least {
            return second.clamp(0, i32::from(room / 2)) as u16;
        }
        second.clamp(second_least.into(), (room - first_least).into()) as u16
    }

    /// Rows or columns of the second part.
    pub fn second(&self) -> u16 {
        match self.beside {
            true => self.whole.right() - self.area.right(),
            false => self.whole.bottom() - self.area.y,
        }
    }

    /// Rows or columns of both parts.
    pub fn total(&self) -> u16 {
        if self.beside { self.whole.width } else { self.whole.height }
    }
}

/// A tree laid over a part of the screen.
#[derive(Debug, Default)]
pub struct Placed {
    /// Each place.
    pub places: Vec<(Tabs, Rect)>,
    /// Where parts meet.
    pub borders: Vec<Border>,
}

/// Lays a tree over `area`.
pub fn place(node: &Node, area: Rect, moved: Option<&BTreeMap<usize, u16>>) -> Placed {
    let mut placed = Placed::default();
    let mut next = 0;
    walk(node, area, moved, &mut next, &mut placed);
    placed
}

fn walk(
    node: &Node,
    area: Rect,
    moved: Option<&BTreeMap<usize, u16>>,
    next: &mut usize,
    placed: &mut Placed,
) {
    let (beside, split) = match node {
        Node::Tabs(tabs) => return placed.places.push((*tabs, area)),
        Node::Beside(split) => (true, split),
        Node::Under(split) => (false, split),
    };
    let number = *next;
    *next += 1;
    let least = (least(&split.first, beside), least(&split.second, beside));
    let mut border = Border { split: number, beside, area, whole: area, least };
    let total = border.total();
    let wanted = match moved.and_then(|moved| moved.get(&number)) {
        Some(of_1000) => part(total, *of_1000),
        None => split.share.of(total),
    };
    let second = border.bounded(wanted.into());
    let (upper, lower) = if beside {
        let gap = total.min(1);
        let left = total - second - gap;
        border.area = Rect { x: area.x + left, width: gap, ..area };
        let right = Rect { x: area.x + left + gap, width: second, ..area };
        (Rect { width: left, ..area }, right)
    } else {
        let lower = Rect { y: area.bottom() - second, height: second, ..area };
        border.area = Rect { height: second.min(1), ..lower };
        (Rect { height: total - second, ..area }, lower)
    };
    placed.borders.push(border);
    walk(&split.first, upper, moved, next, placed);
    walk(&split.second, lower, moved, next, placed);
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const TWO: Node = Node::Under(&Split {
        share: Share::new(250, 3, 10),
        first: Node::Tabs(Tabs::Main),
        second: Node::Tabs(Tabs::Rest),
    });

    fn second(moved: &Moved, rows: u16) -> u16 {
        place(&TWO, Rect::new(0, 0, 80, rows), moved.of("here")).borders[0].second()
    }

    #[test]
    fn what_was_moved_wins_over_the_share_and_scales() {
        let mut moved = Moved::default();
        assert_eq!((second(&moved, 20), second(&moved, 80)), (5, 10));
        moved.set("here", 0, 15, 20);
        assert_eq!((second(&moved, 20), second(&moved, 80)), (15, 60));
        assert_eq!(second(&moved, 6), 3, "both parts stay in sight");
        moved.reset("here");
        assert_eq!(second(&moved, 20), 5);
    }

    proptest! {
        #[test]
        fn a_border_stays_where_it_was_put(rows in 6u16..300, wanted in -10i32..320) {
            let mut moved = Moved::default();
            let border = place(&TWO, Rect::new(0, 0, 80, rows), None).borders[0];
            let wanted = border.bounded(wanted);
            moved.set("here", 0, wanted, border.total());
            prop_assert_eq!(second(&moved, rows), wanted);
        }
    }
}
