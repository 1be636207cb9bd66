//! What the user wants (a [`Wish`]) and what the guest has (a planted site)
//! are two things. [`Points`] keeps both and says what would make them agree.

use super::conduct::{After, Conduct, LAST};
use super::crash_view::CrashEvent;
use super::request::{BreakKind, Means, ModuleEvent, When};
use super::slots::{self, Slots};
use super::view::BreakpointView;
use super::watching::HardwareView;
use super::wish::{Site, Wish};
use crate::base::addr::Addr;
use crate::kernel::hw_breakpoints::SLOTS;
use crate::rsp::command::Point;
use crate::rsp::thread::ThreadId;
use crate::target::limits;
use std::collections::BTreeSet;

/// The stub's table has 1000 entries, and an address keeps its entry until
/// `?`, `D` or `k` empties the table (`kgdb_break[]`, KGDB_MAX_BREAKPOINTS in
/// include/linux/kgdb.h). Stepping uses many addresses, so the table is
/// emptied before it is full.
pub const TABLE_NEARLY_FULL: usize = limits::BREAKPOINTS * 9 / 10;

/// Wishes and sites.
#[derive(Debug, Default)]
pub struct Points {
    /// Every wish, by number.
    pub wishes: Vec<Wish>,
    last_number: u32,
    /// Sites the stub has now.
    planted: BTreeSet<Addr>,
    /// Addresses that took an entry of the stub's table since it was emptied.
    used: BTreeSet<Addr>,
    /// Sites that a step wants.
    pub temporary: BTreeSet<Addr>,
    /// Where the guest is caught as modules come and go.
    pub hidden: BTreeSet<Addr>,
    /// A site that a task is stepped off, and the task: it is planted again
    /// once the step has ended, not while it is under way.
    pub stepped_off: Option<(Addr, Option<ThreadId>)>,
    /// Sites the stub had when the link was lost.
    lost: BTreeSet<Addr>,
    /// How many sites and debug registers the stub may still have of before the
    /// link was lost.
    pub unsure: usize,
    /// Sites the stub ever had.
    ever: BTreeSet<Addr>,
    /// The debug registers.
    pub hardware: Slots,
}

impl Points {
    /// Adds a wish; not resolved yet.
    pub fn add(&mut self, kind: BreakKind, location: String) -> &mut Wish {
        self.last_number += 1;
        while self.wish(self.last_number).is_some() {
            self.last_number += 1;
        }
        self.push(self.last_number, kind, location)
    }

    /// Adds a wish under a number of its own.
    pub fn push(&mut self, number: u32, kind: BreakKind, location: String) -> &mut Wish {
        self.wishes.push(Wish {
            number,
            kind,
            location,
            means: Means::default(),
            when: When::default(),
            conduct: Conduct::default(),
            held: None,
            catch: None,
            crash: None,
            enabled: true,
            forced: false,
            hits: 0,
            sites: Vec::new(),
            pending: None,
            note: None,
            gone: false,
            parked: None,
            asked: BTreeSet::new(),
            watch: None,
        });
        self.wishes.last_mut().expect("one was pushed just now")
    }

    /// Addresses that should be planted while the guest runs.
    pub fn wanted(&self) -> BTreeSet<Addr> {
        let soft = self.wishes.iter().filter(|w| w.is_armed() && w.means == Means::Software);
        let sites = soft.flat_map(|wish| &wish.sites).filter(|site| site.refused.is_none());
        let mut wanted: BTreeSet<Addr> = sites.map(|site| site.addr).collect();
        wanted.extend(self.temporary.iter().chain(&self.hidden).copied());
        wanted.extend(self.frame_ends());
        if let Some((addr, _)) = self.stepped_off {
            wanted.remove(&addr);
        }
        wanted
    }

    /// The same without the hidden ones: sites of wishes and of a step.
    pub fn visible(&self) -> impl Iterator<Item = Addr> {
        let enabled = self.wishes.iter().filter(|wish| wish.is_armed());
        let sites = enabled.flat_map(|wish| &wish.sites).filter(|site| site.refused.is_none());
        sites.map(|site| site.addr).chain(self.temporary.iter().copied())
    }

    /// Where the functions return to in whose frames something is watched.
    pub fn frame_ends(&self) -> impl Iterator<Item = Addr> + '_ {
        let watched = self.wishes.iter().filter(|wish| wish.is_armed());
        let scopes = watched.filter_map(|wish| wish.watch.as_ref()?.scope.as_ref());
        scopes.filter(|scope| scope.guarded).map(|scope| scope.returns_to)
    }

    /// What the debug registers should have while the guest runs.
    pub fn hardware_wanted(&self) -> Vec<Point> {
        slots::merged(self.wishes.iter().flat_map(Wish::demand))
    }

    /// How many debug registers that would take if there were enough.
    pub fn hardware_demand(&self) -> usize {
        let wanted = self.wishes.iter().flat_map(Wish::demand);
        wanted.map(|point| point.addr).collect::<BTreeSet<_>>().len()
    }

    /// A debug register can't be had for an address.
    pub fn hardware_refused(&mut self, addr: Addr, why: &str) {
        for wish in self.wishes.iter_mut().filter(|wish| wish.means == Means::Hardware) {
            for site in wish.sites.iter_mut().filter(|site| site.addr == addr) {
                site.refused = Some(why.to_string());
            }
            if let Some(watch) = &mut wish.watch
                && watch.pieces.iter().any(|(start, _)| *start == addr)
            {
                watch.refused = Some(why.to_string());
            }
        }
    }

    /// What was refused is to be tried again.
    pub fn retry_hardware(&mut self) {
        for wish in self.wishes.iter_mut().filter(|wish| wish.means == Means::Hardware) {
            wish.sites.iter_mut().for_each(|site| site.refused = None);
            if let Some(watch) = &mut wish.watch {
                watch.refused = None;
            }
        }
    }

    /// Whether an enabled wish waits for something to happen to a module.
    pub fn catches(&self, event: ModuleEvent) -> bool {
        let mut enabled = self.wishes.iter().filter(|wish| wish.is_armed());
        enabled.any(|wish| wish.catch.as_ref().is_some_and(|catch| catch.event == event))
    }

    /// Counts what happened to a module for the wishes that wait for it; the
    /// number of the first.
    pub fn caught(&mut self, event: ModuleEvent, module: &str) -> Option<u32> {
        let mut first = None;
        self.wishes.retain_mut(|wish| {
            let fits = wish.catch.as_ref().is_some_and(|catch| catch.fits(event, module));
            if !wish.is_armed() || !fits {
                return true;
            }
            wish.hits += 1;
            first = first.or(Some(wish.number));
            wish.kind != BreakKind::Temporary
        });
        first
    }

    /// Takes sites of wishes away, whose memory is going. A wish without any
    /// left waits, for the reason given.
    pub fn forget(&mut self, goes: impl Fn(&Site) -> bool, why: &str) {
        for wish in &mut self.wishes {
            let before = wish.sites.len();
            wish.sites.retain(|site| !goes(site));
            if wish.sites.len() == before {
                continue;
            }
            wish.asked.clear();
            if wish.sites.is_empty() {
                wish.pending = Some(why.to_string());
                wish.parked = wish.pending.clone();
            }
        }
    }

    /// What must be lifted and what planted.
    pub fn differences(&self) -> (Vec<Addr>, Vec<Addr>) {
        let wanted = self.wanted();
        let lift = self.planted.difference(&wanted).copied().collect();
        let plant = wanted.difference(&self.planted).copied().collect();
        (lift, plant)
    }

    /// Whether the stub has a breakpoint there.
    pub fn is_planted(&self, addr: Addr) -> bool {
        self.planted.contains(&addr)
    }

    /// Every site the stub has.
    pub fn planted_sites(&self) -> Vec<Addr> {
        self.planted.iter().copied().collect()
    }

    /// How much of ours the stub has: sites and debug registers.
    pub fn planted_count(&self) -> usize {
        self.planted.len() + self.hardware.count()
    }

    /// The stub took a breakpoint.
    pub fn planted(&mut self, addr: Addr) {
        self.planted.insert(addr);
        self.ever.insert(addr);
        self.used.insert(addr);
    }

    /// What was stepped off a site has come back from it: the task's next stop
    /// is here. Another task's stop means nothing.
    pub fn step_ended(&mut self, task: Option<ThreadId>) {
        if self.stepped_off.is_some_and(|(_, stepped)| stepped == task || task.is_none()) {
            self.stepped_off = None;
        }
    }

    /// The stub gave a breakpoint up.
    pub fn lifted(&mut self, addr: Addr) {
        self.planted.remove(&addr);
    }

    /// The link is lost, and nobody knows what becomes of the sites.
    pub fn link_lost(&mut self) {
        self.unsure += self.planted_count();
        self.lost.append(&mut self.planted);
        self.hardware.forget_guest();
        self.used.clear();
        self.stepped_off = None;
    }

    /// Every place a breakpoint was ever planted at.
    pub fn ever_planted(&self) -> impl Iterator<Item = Addr> + '_ {
        self.ever.iter().copied()
    }

    /// Whether there ever was a breakpoint.
    pub fn was_ever_planted(&self, addr: Addr) -> bool {
        self.ever.contains(&addr)
    }

    /// Whether there was a breakpoint when the link was lost.
    pub fn was_planted(&self, addr: Addr) -> bool {
        self.lost.contains(&addr)
    }

    /// The stub's table is empty now: after `?`, `D`, a reboot.
    pub fn table_emptied(&mut self) {
        self.planted.clear();
        self.unsure = 0;
        self.hardware.emptied();
        self.used.clear();
        self.stepped_off = None;
    }

    /// Whether the stub's table is nearly full of old addresses.
    pub fn table_nearly_full(&self) -> bool {
        self.used.len() >= TABLE_NEARLY_FULL && self.used.len() > self.planted.len()
    }

    /// The stub would not plant at `addr`.
    pub fn refused(&mut self, addr: Addr, why: &str) {
        self.temporary.remove(&addr);
        self.hidden.remove(&addr);
        let watched = self.wishes.iter_mut().filter_map(|wish| wish.watch.as_mut()?.scope.as_mut());
        watched.filter(|scope| scope.returns_to == addr).for_each(|scope| scope.guarded = false);
        for site in self.wishes.iter_mut().flat_map(|wish| &mut wish.sites) {
            if site.addr == addr {
                site.refused = Some(why.to_string());
            }
        }
    }

    /// The first enabled wish with a site at `addr`.
    pub fn wish_at(&mut self, addr: Addr) -> Option<&mut Wish> {
        self.wishes
            .iter_mut()
            .find(|wish| wish.is_armed() && wish.sites.iter().any(|site| site.addr == addr))
    }

    /// Whether an enabled wish has a site at `addr`.
    pub fn is_wished(&self, addr: Addr) -> bool {
        let mut enabled = self.wishes.iter().filter(|wish| wish.enabled);
        enabled.any(|wish| wish.sites.iter().any(|site| site.addr == addr))
    }

    /// Counts a hit at `addr`; the number of the wish, which is gone now if it
    /// was a temporary one, and the line its site is on.
    pub fn hit(&mut self, addr: Addr) -> Option<(u32, Option<u32>)> {
        let mut plain = self.wishes.iter_mut().filter(|wish| wish.crash.is_none());
        let wish = plain.find(|wish| wish.enabled && wish.is_at(addr))?;
        wish.hits += 1;
        let (number, kind) = (wish.number, wish.kind);
        let line = wish.sites.iter().find(|site| site.addr == addr).and_then(|site| site.line);
        if kind == BreakKind::Temporary {
            self.wishes.retain(|wish| wish.number != number);
        }
        Some((number, line))
    }

    /// The numbers of the armed wishes that catch this event at `addr`.
    pub fn catches_at(&self, addr: Addr, event: CrashEvent) -> Vec<u32> {
        let wishes = self.wishes.iter().filter(|wish| wish.is_armed() && wish.is_at(addr));
        wishes.filter(|wish| wish.crash == Some(event)).map(|wish| wish.number).collect()
    }

    /// Whether something else than a catch is wanted at `addr`.
    pub fn is_wanted_besides(&self, addr: Addr) -> bool {
        let mut plain = self.wishes.iter().filter(|wish| wish.is_armed() && wish.crash.is_none());
        self.temporary.contains(&addr) || plain.any(|wish| wish.is_at(addr))
    }

    /// Counts an event for the wishes that wait for it; the number of the first.
    pub fn catch_counts(&mut self, event: CrashEvent) -> Option<u32> {
        let mut first = None;
        self.wishes.retain_mut(|wish| {
            if !wish.is_armed() || wish.crash != Some(event) {
                return true;
            }
            wish.hits += 1;
            first = first.or(Some(wish.number));
            wish.kind != BreakKind::Temporary
        });
        first
    }

    /// The wish with a number.
    pub fn wish(&mut self, number: u32) -> Option<&mut Wish> {
        self.wishes.iter_mut().find(|wish| wish.number == number)
    }

    /// Takes the wish away that was added last, as if it had never been.
    pub fn take_back(&mut self, number: u32) {
        self.delete(&[number]);
        if self.last_number == number {
            self.last_number -= 1;
        }
    }

    /// Numbers as the user gave them, with that of the last one in its place.
    pub fn numbered(&self, numbers: &[u32]) -> Vec<u32> {
        let real = |number: &u32| if *number == LAST { self.last_number } else { *number };
        numbers.iter().map(real).collect()
    }

    /// Takes wishes away; says which numbers do not exist.
    pub fn delete(&mut self, numbers: &[u32]) -> Vec<u32> {
        let unknown = self.unknown(numbers);
        self.wishes.retain(|wish| !numbers.is_empty() && !numbers.contains(&wish.number));
        unknown
    }

    /// Enables or disables wishes; says which numbers do not exist.
    pub fn enable(&mut self, enabled: bool, numbers: &[u32]) -> Vec<u32> {
        for wish in &mut self.wishes {
            if numbers.is_empty() || numbers.contains(&wish.number) {
                wish.enabled = enabled;
                wish.conduct.after = After::Stays;
            }
        }
        self.unknown(numbers)
    }

    fn unknown(&self, numbers: &[u32]) -> Vec<u32> {
        let exists = |number: &u32| self.wishes.iter().any(|wish| wish.number == *number);
        numbers.iter().copied().filter(|number| !exists(number)).collect()
    }

    /// How many debug registers are in use.
    pub fn registers(&self) -> HardwareView {
        HardwareView { used: self.hardware.count(), slots: SLOTS }
    }

    /// Every wish as it is shown.
    pub fn views(&self) -> Vec<BreakpointView> {
        let hard = self.hardware.points().iter().map(|point| point.addr).collect();
        let planted = |wish: &Wish| match wish.means {
            Means::Software => wish.view(&self.planted),
            Means::Hardware => wish.view(&hard),
        };
        self.wishes.iter().map(planted).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::session::request::Catch;

    fn site(addr: u64) -> Site {
        Site {
            addr: Addr(addr),
            function: None,
            file: None,
            line: None,
            module: None,
            inlined_into: None,
            refused: None,
        }
    }

    #[test]
    fn only_differences_are_sent() {
        let mut points = Points::default();
        points.add(BreakKind::Kept, "a".into()).sites = vec![site(1), site(2)];
        points.add(BreakKind::Temporary, "b".into()).sites = vec![site(2)];
        assert_eq!(points.differences(), (vec![], vec![Addr(1), Addr(2)]));
        points.planted(Addr(1));
        points.planted(Addr(2));
        assert_eq!(points.differences(), (vec![], vec![]));
        points.delete(&[1]);
        assert_eq!(points.differences(), (vec![Addr(1)], vec![]), "2 is still wanted by b");
        assert_eq!(points.hit(Addr(2)), Some((2, None)));
        assert!(points.wishes.is_empty(), "a temporary one is gone after its hit");
    }

    #[test]
    fn hidden_sites_are_planted_beside_the_wishes() {
        let mut points = Points::default();
        points.add(BreakKind::Kept, "a".into()).sites = vec![site(2)];
        points.hidden.insert(Addr(1));
        points.temporary.insert(Addr(3));
        assert_eq!(points.differences().1, [Addr(1), Addr(2), Addr(3)]);
        assert_eq!(points.visible().collect::<Vec<_>>(), [Addr(2), Addr(3)]);
        points.enable(false, &[]);
        assert_eq!(points.visible().collect::<Vec<_>>(), [Addr(3)]);
    }

    #[test]
    fn a_site_that_is_stepped_off_is_not_planted_meanwhile() {
        let task = |pid| Some(ThreadId(pid));
        let mut points = Points::default();
        points.add(BreakKind::Kept, "a".into()).sites = vec![site(2)];
        points.stepped_off = Some((Addr(2), task(7)));
        assert_eq!(points.differences().1, []);
        points.step_ended(task(8));
        assert_eq!(points.differences().1, [], "another task's stop");
        points.step_ended(task(7));
        assert_eq!(points.differences().1, [Addr(2)]);
    }

    #[test]
    fn what_happens_to_a_module_is_counted() {
        let mut points = Points::default();
        let mut catch = |kind, event, module: Option<&str>| {
            let wish = points.add(kind, module.unwrap_or("any module").into());
            wish.catch = Some(Catch { event, module: module.map(str::to_owned) });
        };
        catch(BreakKind::Kept, ModuleEvent::Load, Some("hgfs-ping"));
        catch(BreakKind::Temporary, ModuleEvent::Load, None);
        catch(BreakKind::Kept, ModuleEvent::Unload, None);
        assert_eq!(points.caught(ModuleEvent::Load, "fuse"), Some(2));
        assert_eq!(points.wishes.len(), 2, "the temporary one is gone");
        assert_eq!(points.caught(ModuleEvent::Load, "fuse"), None);
        assert_eq!(points.caught(ModuleEvent::Load, "hgfs_ping"), Some(1));
        assert_eq!(points.views()[0].kind, "catch load");
        assert_eq!((points.views()[0].state, points.views()[0].hits), ("armed", 1));
        points.enable(false, &[3]);
        assert!(!points.catches(ModuleEvent::Unload) && points.catches(ModuleEvent::Load));
        assert_eq!(points.caught(ModuleEvent::Unload, "fuse"), None);
    }

    #[test]
    fn a_wish_keeps_the_places_that_do_not_go() {
        let mut points = Points::default();
        points.add(BreakKind::Kept, "a".into()).sites = vec![site(1), site(2)];
        points.forget(|site| site.addr == Addr(2), "gone");
        assert_eq!((points.wishes[0].sites.len(), &points.wishes[0].pending), (1, &None));
        points.forget(|site| site.addr == Addr(1), "gone");
        assert_eq!(points.wishes[0].pending.as_deref(), Some("gone"));
    }

    #[test]
    fn states_tell_what_became_of_a_wish() {
        let mut points = Points::default();
        points.add(BreakKind::Kept, "a".into()).pending = Some("no symbol a".into());
        assert_eq!(points.views()[0].state, "pending");
        points.wishes[0].sites = vec![site(1)];
        assert_eq!(points.views()[0].state, "pending");
        points.planted(Addr(1));
        assert_eq!(points.views()[0].state, "armed");
        points.enable(false, &[]);
        assert_eq!(points.views()[0].state, "disabled");
        points.enable(true, &[1]);
        points.lifted(Addr(1));
        points.refused(Addr(1), "no");
        assert_eq!(
            (points.views()[0].state, points.views()[0].why.as_deref()),
            ("refused", Some("no"))
        );
        assert_eq!(points.delete(&[7]), [7]);
    }

    #[test]
    fn the_stubs_table_fills_with_addresses_not_with_breakpoints() {
        let mut points = Points::default();
        for i in 0..TABLE_NEARLY_FULL as u64 {
            points.planted(Addr(i));
            points.lifted(Addr(i));
        }
        assert!(points.table_nearly_full());
        points.table_emptied();
        assert!(!points.table_nearly_full());
    }
}
