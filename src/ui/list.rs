//! The cursor and scroll position of a list of rows. Knows how many rows
//! there are and how many fit; knows nothing of what they show.

use crate::config::actions::Action;
use std::ops::Range;

/// Where the cursor is and what part of the rows is seen.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct List {
    /// The row the cursor is on.
    pub cursor: usize,
    /// The first row seen.
    pub top: usize,
    /// How many rows there are.
    pub len: usize,
    /// How many rows fit.
    pub height: usize,
    /// Columns scrolled to the right.
    pub left: usize,
}

impl List {
    /// Rows are now `len`, room is for `height`; the cursor stays in sight.
    pub fn fit(&mut self, len: usize, height: usize) {
        self.len = len;
        self.height = height;
        self.cursor = self.cursor.min(len.saturating_sub(1));
        let last_top = len.saturating_sub(height);
        self.top = self.top.min(last_top).min(self.cursor);
        if self.cursor >= self.top + height.max(1) {
            self.top = self.cursor + 1 - height.max(1);
        }
    }

    /// Puts the cursor on a row, and that row at a third of the height if it
    /// was out of sight or within two rows of an edge.
    pub fn show(&mut self, row: usize) {
        self.cursor = row.min(self.len.saturating_sub(1));
        let margin = 2.min(self.height / 3);
        let comfortable = self.top + margin..(self.top + self.height).saturating_sub(margin);
        if !comfortable.contains(&self.cursor) {
            self.top = self.cursor.saturating_sub(self.height / 3);
        }
        self.fit(self.len, self.height);
    }

    /// Moves what is seen by some rows; the cursor comes along where it must.
    pub fn scroll(&mut self, rows: isize) {
        let last_top = self.len.saturating_sub(self.height);
        self.top = self.top.saturating_add_signed(rows).min(last_top);
        let last = self.top + self.height.saturating_sub(1);
        self.cursor = self.cursor.clamp(self.top, last.max(self.top));
        self.fit(self.len, self.height);
    }

    /// Does what a movement key asks; `false` when the action is no movement.
    pub fn act(&mut self, action: Action) -> bool {
        let page = self.height.saturating_sub(1).max(1);
        match action {
            Action::Up => self.cursor = self.cursor.saturating_sub(1),
            Action::Down => self.cursor = self.cursor.saturating_add(1),
            Action::PageUp => {
                self.cursor = self.cursor.saturating_sub(page);
                self.top = self.top.saturating_sub(page);
            }
            Action::PageDown => {
                self.cursor = self.cursor.saturating_add(page);
                self.top = self.top.saturating_add(page);
            }
            Action::Home => self.cursor = 0,
            Action::End => self.cursor = usize::MAX,
            Action::Left => self.left = self.left.saturating_sub(8),
            Action::Right => self.left = (self.left + 8).min(4096),
            _ => return false,
        }
        self.fit(self.len, self.height);
        true
    }

    /// The rows that are seen.
    pub fn seen(&self) -> Range<usize> {
        self.top..(self.top + self.height).min(self.len)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn a_place_far_away_comes_to_the_upper_third() {
        let mut list = List::default();
        list.fit(1000, 30);
        list.show(500);
        assert_eq!((list.cursor, list.top), (500, 490));
        list.show(503);
        assert_eq!(list.top, 490, "a step in sight does not scroll");
        list.show(519);
        assert_eq!(list.top, 509);
    }

    #[test]
    fn scrolling_takes_the_cursor_along_at_the_edge() {
        let mut list = List::default();
        list.fit(100, 10);
        list.cursor = 4;
        list.scroll(3);
        assert_eq!((list.top, list.cursor), (3, 4));
        list.scroll(3);
        assert_eq!((list.top, list.cursor), (6, 6));
        list.scroll(1000);
        assert_eq!((list.top, list.cursor), (90, 90));
        list.scroll(-1000);
        assert_eq!((list.top, list.cursor), (0, 9));
        list.fit(0, 0);
        list.scroll(3);
        assert_eq!((list.top, list.cursor), (0, 0));
    }

    proptest! {
        #[test]
        fn the_cursor_is_always_seen(
            sizes in proptest::collection::vec((0usize..200, 0usize..50), 1..8),
            moves in proptest::collection::vec(0usize..6, 0..40),
        ) {
            use Action::{Down, End, Home, PageDown, PageUp, Up};
            let mut list = List::default();
            for (len, height) in sizes {
                list.fit(len, height);
                for &at in &moves {
                    list.act([Up, Down, PageUp, PageDown, Home, End][at]);
                    if len > 0 && height > 0 {
                        prop_assert!(list.seen().contains(&list.cursor), "{list:?}");
                    }
                }
            }
        }
    }
}
