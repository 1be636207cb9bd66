//! What the user wants (a [`Wish`]) and what the guest has (a planted site)
//! are two things. [`Points`] keeps both and says what would make them agree.

use super::request::{BreakKind, Catch, ModuleEvent};
use super::view::{BreakpointView, PlaceView};
use crate::base::addr::Addr;
use crate::rsp::thread::ThreadId;
use crate::symbols::{answer::ImageId, lookup::places::CodePlace};
use crate::target::limits;
use std::collections::BTreeSet;

/// The stub's table has 1000 entries, and an address keeps its entry until
/// `?`, `D` or `k` empties the table (`kgdb_break[]`, KGDB_MAX_BREAKPOINTS in
/// include/linux/kgdb.h). Stepping uses many addresses, so the table is
/// emptied before it is full.
pub const TABLE_NEARLY_FULL: usize = limits::BREAKPOINTS * 9 / 10;

/// A place where a wish can be planted.
#[derive(Clone, Debug, PartialEq)]
pub struct Site {
    /// Where.
    pub addr: Addr,
    /// The function there.
    pub function: Option<String>,
    /// The file as DWARF has it.
    pub file: Option<String>,
    /// The line it landed on.
    pub line: Option<u32>,
    /// The module; `None` for vmlinux.
    pub module: Option<String>,
    /// The function out of line that an inlined copy is in.
    pub inlined_into: Option<String>,
    /// What the stub said when it refused.
    pub refused: Option<String>,
}

impl From<CodePlace> for Site {
    fn from(place: CodePlace) -> Site {
        Site {
            addr: place.addr,
            function: place.function,
            file: place.file.map(|file| file.name),
            line: place.line,
            module: place.module,
            inlined_into: place.inlined_into,
            refused: None,
        }
    }
}

/// A breakpoint as the user wished it.
#[derive(Clone, Debug)]
pub struct Wish {
    /// Its number.
    pub number: u32,
    /// Whether it stays.
    pub kind: BreakKind,
    /// The location as written.
    pub location: String,
    /// What it stops at, when that is no place.
    pub catch: Option<Catch>,
    /// Whether it is to stop the guest.
    pub enabled: bool,
    /// Whether it is planted where that may cost the guest.
    pub forced: bool,
    /// How often it did.
    pub hits: u64,
    /// Where it can be planted; empty while pending.
    pub sites: Vec<Site>,
    /// Why it is pending.
    pub pending: Option<String>,
    /// What else is to be known of where it landed.
    pub note: Option<String>,
    /// Whether it is an address in a module that is gone, which means nothing
    /// any more: something else will be there.
    pub gone: bool,
    /// Why it waits for a module that was there, until that is there again.
    pub parked: Option<String>,
    /// Images in which its places were looked for.
    pub asked: BTreeSet<ImageId>,
}

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
}

impl Points {
    /// Adds a wish; not resolved yet.
    pub fn add(&mut self, kind: BreakKind, location: String) -> &mut Wish {
        self.last_number += 1;
        self.wishes.push(Wish {
            number: self.last_number,
            kind,
            location,
            catch: None,
            enabled: true,
            forced: false,
            hits: 0,
            sites: Vec::new(),
            pending: None,
            note: None,
            gone: false,
            parked: None,
            asked: BTreeSet::new(),
        });
        self.wishes.last_mut().expect("one was pushed just now")
    }

    /// Addresses that should be planted while the guest runs.
    pub fn wanted(&self) -> BTreeSet<Addr> {
        let mut wanted: BTreeSet<Addr> =
            self.visible().chain(self.hidden.iter().copied()).collect();
        if let Some((addr, _)) = self.stepped_off {
            wanted.remove(&addr);
        }
        wanted
    }

    /// The same without the hidden ones: sites of wishes and of a step.
    pub fn visible(&self) -> impl Iterator<Item = Addr> {
        let enabled = self.wishes.iter().filter(|wish| wish.enabled);
        let sites = enabled.flat_map(|wish| &wish.sites).filter(|site| site.refused.is_none());
        sites.map(|site| site.addr).chain(self.temporary.iter().copied())
    }

    /// Whether an enabled wish waits for something to happen to a module.
    pub fn catches(&self, event: ModuleEvent) -> bool {
        let mut enabled = self.wishes.iter().filter(|wish| wish.enabled);
        enabled.any(|wish| wish.catch.as_ref().is_some_and(|catch| catch.event == event))
    }

    /// Counts what happened to a module for the wishes that wait for it; the
    /// number of the first.
    pub fn caught(&mut self, event: ModuleEvent, module: &str) -> Option<u32> {
        let mut first = None;
        self.wishes.retain_mut(|wish| {
            let fits = wish.catch.as_ref().is_some_and(|catch| catch.fits(event, module));
            if !wish.enabled || !fits {
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

    /// How many sites the stub has.
    pub fn planted_count(&self) -> usize {
        self.planted.len()
    }

    /// The stub took a breakpoint.
    pub fn planted(&mut self, addr: Addr) {
        self.planted.insert(addr);
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
        self.lost.append(&mut self.planted);
        self.used.clear();
        self.stepped_off = None;
    }

    /// Whether there was a breakpoint when the link was lost.
    pub fn was_planted(&self, addr: Addr) -> bool {
        self.lost.contains(&addr)
    }

    /// The stub's table is empty now: after `?`, `D`, a reboot.
    pub fn table_emptied(&mut self) {
        self.planted.clear();
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
            .find(|wish| wish.enabled && wish.sites.iter().any(|site| site.addr == addr))
    }

    /// Counts a hit at `addr`; the number of the wish, which is gone now if it
    /// was a temporary one, and the line its site is on.
    pub fn hit(&mut self, addr: Addr) -> Option<(u32, Option<u32>)> {
        let wish = self.wish_at(addr)?;
        wish.hits += 1;
        let (number, kind) = (wish.number, wish.kind);
        let line = wish.sites.iter().find(|site| site.addr == addr).and_then(|site| site.line);
        if kind == BreakKind::Temporary {
            self.wishes.retain(|wish| wish.number != number);
        }
        Some((number, line))
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
            }
        }
        self.unknown(numbers)
    }

    fn unknown(&self, numbers: &[u32]) -> Vec<u32> {
        let exists = |number: &u32| self.wishes.iter().any(|wish| wish.number == *number);
        numbers.iter().copied().filter(|number| !exists(number)).collect()
    }

    /// Every wish as it is shown.
    pub fn views(&self) -> Vec<BreakpointView> {
        self.wishes.iter().map(|wish| wish.view(&self.planted)).collect()
    }
}

impl Wish {
    /// Whether every place it has was refused by the stub.
    fn is_refused(&self) -> bool {
        !self.sites.is_empty() && self.sites.iter().all(|site| site.refused.is_some())
    }

    /// Whether one of its places is there.
    pub fn is_at(&self, addr: Addr) -> bool {
        self.sites.iter().any(|site| site.addr == addr)
    }

    /// Whether it names something that a module which comes later may have.
    pub fn is_by_name(&self) -> bool {
        self.catch.is_none() && !self.location.starts_with('*')
    }

    fn view(&self, planted: &BTreeSet<Addr>) -> BreakpointView {
        let first = self.sites.first();
        let refusal = || self.sites.iter().find_map(|site| site.refused.clone());
        let armed = self.sites.iter().any(|site| planted.contains(&site.addr));
        let (state, why) = match () {
            () if !self.enabled => ("disabled", None),
            () if self.catch.is_some() && self.pending.is_none() => ("armed", None),
            () if self.sites.is_empty() => ("pending", self.pending.clone()),
            () if self.is_refused() => ("refused", refusal()),
            () if !armed => ("pending", Some("planted at the next stop".to_string())),
            () => ("armed", refusal()),
        };
        BreakpointView {
            number: self.number,
            kind: match (self.catch.as_ref().map(|catch| catch.event), self.kind) {
                (None, BreakKind::Kept) => "breakpoint",
                (None, BreakKind::Temporary) => "temporary",
                (Some(ModuleEvent::Load), BreakKind::Kept) => "catch load",
                (Some(ModuleEvent::Load), BreakKind::Temporary) => "tcatch load",
                (Some(ModuleEvent::Unload), BreakKind::Kept) => "catch unload",
                (Some(ModuleEvent::Unload), BreakKind::Temporary) => "tcatch unload",
            },
            location: self.location.clone(),
            sites: self.sites.iter().map(|site| site.addr).collect(),
            state,
            why,
            hits: self.hits,
            function: first.and_then(|site| site.function.clone()),
            file: first.and_then(|site| site.file.clone()),
            line: first.and_then(|site| site.line),
            places: self.sites.iter().map(|site| self.place(site)).collect(),
            note: self.note.clone(),
        }
    }

    fn place(&self, site: &Site) -> PlaceView {
        let same = |other: &&Site| other.function == site.function && other.file == site.file;
        let alone = self.sites.iter().filter(same).count() == 1;
        // A function's entry can be named by its file where that tells it
        // from the others; an inlined copy has no name of its own.
        let choose = match (&site.function, &site.file) {
            (Some(function), Some(file)) if alone && site.inlined_into.is_none() => {
                let module = site.module.as_ref().map_or(String::new(), |name| format!("{name}!"));
                let others = self.sites.iter().filter_map(|site| site.file.as_deref());
                format!("{module}{}:{function}", short_of(file, others))
            }
            _ => format!("*{}", site.addr),
        };
        PlaceView {
            address: site.addr,
            function: site.function.clone(),
            file: site.file.clone(),
            line: site.line,
            module: site.module.clone(),
            inlined_into: site.inlined_into.clone(),
            choose,
            refused: site.refused.clone(),
        }
    }
}

/// The shortest end of a path, of two parts at least, that none of the other
/// paths has.
fn short_of<'a>(file: &'a str, others: impl Iterator<Item = &'a str> + Clone) -> &'a str {
    let starts = file.rmatch_indices('/').map(|(at, _)| &file[at + 1..]).skip(1);
    let mut ends = starts.filter(|end| {
        let same = |other: &str| other.strip_suffix(end).is_some_and(|head| head.ends_with('/'));
        !others.clone().any(|other| other != file && same(other))
    });
    ends.next().unwrap_or(file)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_place_is_chosen_by_the_end_of_its_path() {
        let files = ["/b/fs/inode.c", "/b/fs/proc/inode.c", "/b/net/socket.c", "/b/x/fs/inode.c"];
        let short = |file| short_of(file, files.into_iter());
        assert_eq!(short("/b/net/socket.c"), "net/socket.c");
        assert_eq!(short("/b/fs/proc/inode.c"), "proc/inode.c");
        assert_eq!(short("/b/fs/inode.c"), "b/fs/inode.c");
        assert_eq!(short("/b/x/fs/inode.c"), "x/fs/inode.c");
        assert_eq!(short_of("inode.c", files.into_iter()), "inode.c");
    }

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
