//! The debug registers: what is wanted of them, what the stub has been given,
//! and what is known of them inside the kernel.

use crate::base::addr::Addr;
use crate::kernel::hw_breakpoints::SLOTS;
use crate::rsp::command::{Point, PointKind};
use std::collections::{BTreeMap, BTreeSet};

/// How the stopped CPU came into the debugger.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Entry {
    /// Not looked at.
    #[default]
    Unknown,
    /// By an int3.
    Int3,
    /// By a debug exception: a step, or a debug register.
    Debug,
}

/// The debug registers of the guest.
#[derive(Debug, Default)]
pub struct Slots {
    /// What the stub has, one for each address.
    planted: Vec<Point>,
    /// Whether that changed since the guest ran.
    pub changed: bool,
    /// Whether the guest has ever had any, as far as is known.
    pub used: bool,
    /// The kernel's events of an address, by CPU.
    pub events: BTreeMap<Addr, Vec<(u32, Addr)>>,
    /// How often each event was seen to have fired.
    pub counts: BTreeMap<Addr, u64>,
    /// Events that were made active so that hits are not dropped.
    pub cured: BTreeSet<Addr>,
    /// Whether this kernel drops hits; the reason when that can't be told.
    pub drops: Option<Result<bool, String>>,
    /// How the stopped CPU came here.
    pub entry: Entry,
    /// Where the stopped task is, when a site there is yet to be met: the guest
    /// was stopped after the instruction before.
    pub unbegun: Option<Addr>,
    /// CPUs that wait for their turn in the debugger since before a change.
    pub stale: BTreeSet<u32>,
    /// Events that belonged to a point that was lifted while another CPU may
    /// have met it.
    pub late: Vec<(u32, Addr)>,
}

impl Slots {
    /// The stub took a point.
    pub fn planted(&mut self, point: Point) {
        self.planted.push(point);
        (self.changed, self.used) = (true, true);
    }

    /// The stub gave the point at an address up.
    pub fn lifted(&mut self, addr: Addr) {
        self.planted.retain(|point| point.addr != addr);
        self.changed = true;
        if let Some(events) = self.events.remove(&addr) {
            self.late.extend(events);
        }
    }

    /// The stub has none any more: after `?`, `D`, a reboot.
    pub fn emptied(&mut self) {
        for addr in self.planted.iter().map(|point| point.addr).collect::<Vec<_>>() {
            self.lifted(addr);
        }
    }

    /// It may be another guest by now: nothing is known of it.
    pub fn forget_guest(&mut self) {
        *self = Slots::default();
    }

    /// What the stub has.
    pub fn points(&self) -> &[Point] {
        &self.planted
    }

    /// How many it has.
    pub fn count(&self) -> usize {
        self.planted.len()
    }

    /// Whether an instruction there stops the guest before it is executed.
    pub fn has_exec(&self, addr: Addr) -> bool {
        self.planted.iter().any(|point| point.addr == addr && point.kind == PointKind::Hardware)
    }

    /// Whether data is watched.
    pub fn watches(&self) -> bool {
        self.planted.iter().any(|point| point.kind != PointKind::Hardware)
    }

    /// What must be lifted and what planted, so that the stub has what is wanted.
    pub fn differences(&self, wanted: &[Point]) -> (Vec<Point>, Vec<Point>) {
        let lacks = |all: &[Point], points: &[Point]| {
            all.iter().filter(|point| !points.contains(point)).copied().collect()
        };
        (lacks(&self.planted, wanted), lacks(wanted, &self.planted))
    }
}

/// One point for each address, as the stub tells them apart by nothing else.
/// What is too much or fits nothing of what comes before it is left out.
pub fn merged(points: impl Iterator<Item = Point>) -> Vec<Point> {
    let mut merged: Vec<Point> = Vec::new();
    for point in points {
        let room = merged.len() < SLOTS;
        match merged.iter_mut().find(|known| known.addr == point.addr) {
            Some(known) if known.kind == point.kind => known.len = known.len.max(point.len),
            Some(known) if ![known.kind, point.kind].contains(&PointKind::Hardware) => {
                known.kind = PointKind::AccessWatch;
                known.len = known.len.max(point.len);
            }
            Some(_) => {}
            None if room => merged.push(point),
            None => {}
        }
    }
    merged
}

/// The pieces that memory is watched in: 1, 2, 4 or 8 bytes, each at a multiple
/// of its length (Intel SDM volume 3, 17.2.5), as gdb cuts it. `None` when there
/// are more than debug registers.
pub fn pieces(addr: Addr, len: u64) -> Option<Vec<(Addr, u8)>> {
    let mut pieces = Vec::new();
    let (mut at, mut left) = (addr, len);
    while left > 0 {
        let fits = |size: &u64| at.0.is_multiple_of(*size) && *size <= left;
        let size = [8, 4, 2].into_iter().find(fits).unwrap_or(1);
        if pieces.len() == SLOTS {
            return None;
        }
        pieces.push((at, size as u8));
        (at, left) = (at.offset(size), left - size);
    }
    Some(pieces)
}

#[cfg(test)]
mod tests {
    use super::*;
    use PointKind::{AccessWatch, Hardware, WriteWatch};
    use proptest::prelude::*;

    fn point(kind: PointKind, addr: u64, len: u8) -> Point {
        Point { kind, addr: Addr(addr), len }
    }

    #[test]
    fn memory_is_cut_as_gdb_cuts_it() {
        let cut = |addr, len| {
            pieces(Addr(addr), len)
                .map(|all| all.into_iter().map(|(at, len)| (at.0, len)).collect::<Vec<_>>())
        };
        assert_eq!(cut(0x1000, 4), Some(vec![(0x1000, 4)]));
        assert_eq!(cut(0x1000, 16), Some(vec![(0x1000, 8), (0x1008, 8)]));
        assert_eq!(cut(0x1001, 4), Some(vec![(0x1001, 1), (0x1002, 2), (0x1004, 1)]));
        assert_eq!(cut(0x1004, 8), Some(vec![(0x1004, 4), (0x1008, 4)]));
        assert_eq!(cut(0x1000, 33), None);
        assert_eq!(cut(0x1001, 14), None, "1, 2, 4, 4, 2 and 1 bytes");
        assert_eq!(cut(0x1000, 0), Some(vec![]));
    }

    proptest! {
        #[test]
        fn pieces_cover_what_is_watched_and_nothing_else(addr in 0x1000u64..0x2000, len in 0u64..64) {
            if let Some(all) = pieces(Addr(addr), len) {
                let mut at = addr;
                for (start, size) in &all {
                    prop_assert_eq!(start.0, at);
                    prop_assert!(start.0.is_multiple_of(u64::from(*size)) && [1, 2, 4, 8].contains(size));
                    at += u64::from(*size);
                }
                prop_assert_eq!(at, addr + len);
                prop_assert!(all.len() <= SLOTS);
            } else {
                prop_assert!(len > 8);
            }
        }
    }

    #[test]
    fn one_address_is_one_point() {
        let merge = |points: &[Point]| merged(points.iter().copied());
        let write = point(WriteWatch, 8, 4);
        assert_eq!(merge(&[write, write]), [write]);
        assert_eq!(merge(&[write, point(AccessWatch, 8, 8)]), [point(AccessWatch, 8, 8)]);
        assert_eq!(merge(&[write, point(Hardware, 8, 1)]), [write], "never both at once");
        let five: Vec<Point> = (0..5).map(|i| point(Hardware, i * 16, 1)).collect();
        assert_eq!(merge(&five), five[..4]);
    }

    #[test]
    fn only_differences_are_sent() {
        let (a, b) = (point(WriteWatch, 8, 4), point(Hardware, 16, 1));
        let mut slots = Slots::default();
        assert_eq!(slots.differences(&[a, b]), (vec![], vec![a, b]));
        slots.planted(a);
        slots.planted(b);
        assert!(slots.has_exec(b.addr) && !slots.has_exec(a.addr) && slots.watches());
        let other = point(AccessWatch, 8, 4);
        assert_eq!(slots.differences(&[other, b]), (vec![a], vec![other]), "another type");
        slots.lifted(a.addr);
        assert!(!slots.watches() && slots.changed);
        slots.emptied();
        assert_eq!(slots.count(), 0);
    }
}
