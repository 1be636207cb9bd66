//! A breakpoint as the user wishes it, and how it is shown.

use super::conduct::{Conduct, ConductView};
use super::crash_view::CrashEvent;
use super::request::{BreakKind, Catch, Means, ModuleEvent, When};
use super::view::{BreakpointView, PlaceView};
use super::watched::Watched;
use crate::base::addr::Addr;
use crate::rsp::command::{Point, PointKind};
use crate::symbols::{answer::ImageId, lookup::places::CodePlace};
use std::collections::BTreeSet;

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
    /// What it is made of.
    pub means: Means,
    /// The location as written.
    pub location: String,
    /// What it stops at, when that is no place.
    pub catch: Option<Catch>,
    /// The crash it stops at, when it is that.
    pub crash: Option<CrashEvent>,
    /// When control that comes there counts.
    pub when: When,
    /// What follows then.
    pub conduct: Conduct,
    /// Why it waits although it is enabled: it is of an earlier session, and the
    /// kernel may be another one.
    pub held: Option<String>,
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
    /// What it watches, when it is no place in code.
    pub watch: Option<Watched>,
}

impl Wish {
    /// Whether every place it has was refused by the stub.
    fn is_refused(&self) -> bool {
        !self.sites.is_empty() && self.sites.iter().all(|site| site.refused.is_some())
    }

    /// Whether control that comes to it matters.
    pub fn is_armed(&self) -> bool {
        self.enabled && self.held.is_none()
    }

    /// Whether one of its places is there.
    pub fn is_at(&self, addr: Addr) -> bool {
        self.sites.iter().any(|site| site.addr == addr)
    }

    /// Whether it names something that a module which comes later may have.
    pub fn is_by_name(&self) -> bool {
        self.catch.is_none()
            && self.watch.is_none()
            && self.crash.is_none()
            && !self.location.starts_with('*')
    }

    /// What it wants of the debug registers.
    pub fn demand(&self) -> impl Iterator<Item = Point> + '_ {
        let hard = self.is_armed() && self.means == Means::Hardware && self.pending.is_none();
        let exec = |site: &Site| Point { kind: PointKind::Hardware, addr: site.addr, len: 1 };
        let in_code = if hard && self.watch.is_none() { &self.sites[..] } else { &[] };
        let watched = self.watch.iter().filter(move |_| hard && !self.gone);
        let code = in_code.iter().filter(|site| site.refused.is_none()).map(exec);
        code.chain(watched.flat_map(Watched::points))
    }

    /// As it is shown; `planted` are the sites the stub has.
    pub fn view(&self, planted: &BTreeSet<Addr>) -> BreakpointView {
        if let Some(watch) = &self.watch {
            return watch.view(self, planted);
        }
        let hard = self.means == Means::Hardware;
        let first = self.sites.first();
        let refusal = || self.sites.iter().find_map(|site| site.refused.clone());
        let armed = self.sites.iter().any(|site| planted.contains(&site.addr));
        let (state, why) = match () {
            () if !self.enabled => ("disabled", None),
            () if self.held.is_some() => ("pending", self.held.clone()),
            () if self.catch.is_some() && self.pending.is_none() => ("armed", None),
            // Where kgdb stops by itself nothing is planted.
            () if self.crash.is_some() && self.pending.is_none() && self.sites.is_empty() => {
                ("armed", None)
            }
            () if self.sites.is_empty() => ("pending", self.pending.clone()),
            () if self.is_refused() => ("refused", refusal()),
            () if !armed && hard => {
                ("pending", Some("set at a stop at which a debug register is free".to_string()))
            }
            () if !armed => {
                ("pending", Some("planted at the next stop, or now: plant".to_string()))
            }
            () => ("armed", refusal()),
        };
        BreakpointView {
            number: self.number,
            kind: match (self.catch.as_ref().map(|catch| catch.event), self.kind) {
                (None, kind) if self.crash.is_some() => crash_kind(self.crash, kind),
                (None, BreakKind::Kept) if hard => "hw breakpoint",
                (None, BreakKind::Temporary) if hard => "hw temporary",
                (None, _) if self.conduct.log.is_some() => "dprintf",
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
            watch: None,
            conduct: ConductView::of(&self.when, &self.conduct),
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

/// `catch oops`, `tcatch oops`.
fn crash_kind(event: Option<CrashEvent>, kind: BreakKind) -> &'static str {
    let kept = kind == BreakKind::Kept;
    match event {
        Some(CrashEvent::Panic) if kept => "catch panic",
        Some(CrashEvent::Panic) => "tcatch panic",
        Some(CrashEvent::Oops) if kept => "catch oops",
        Some(CrashEvent::Oops) => "tcatch oops",
        Some(CrashEvent::Bug) if kept => "catch bug",
        Some(CrashEvent::Bug) => "tcatch bug",
        Some(CrashEvent::Warn) if kept => "catch warn",
        Some(CrashEvent::Warn) => "tcatch warn",
        Some(CrashEvent::Hung) if kept => "catch hung",
        Some(CrashEvent::Hung) => "tcatch hung",
        None => "breakpoint",
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
}
