//! The journal: which sites the guest has, on disk, for as long as it has them.
//!
//! A session that is killed can't take them out. Whoever comes next may meet a
//! stop just after one of them, or its int3 still in memory; and the stub's own
//! table can't always tell: it is read with symbols only, and forgets. The
//! journal may name more sites than there are, never fewer.

use super::{
    answer::Failure,
    repair::{Bounced, Displaced},
    request::Level,
    run::Session,
};
use crate::base::addr::Addr;
use crate::kernel::breaks::TRAP;
use serde::{Deserialize, Serialize};
use std::collections::BTreeSet;

/// What it is kept as.
const NAME: &str = "journal";

/// Sites in a guest.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Journal {
    /// The build-id of the guest's kernel, where known.
    build_id: Option<String>,
    /// Its slide, where known: another boot has another one.
    slide: Option<Addr>,
    /// Addresses.
    sites: BTreeSet<Addr>,
}

/// The journal of this session, and that of the one before.
#[derive(Debug, Default)]
pub struct Journals {
    /// What is on disk.
    written: Journal,
    /// What an earlier session left, until it is looked after.
    found: Option<Journal>,
    /// Whether it was looked for.
    looked: bool,
    /// Whether it was said that it can't be written.
    complained: bool,
}

impl Session {
    /// Looks for what an earlier session left, once.
    pub(super) fn look_for_journal(&mut self) {
        if std::mem::replace(&mut self.journals.looked, true) {
            return;
        }
        let Some(kept) = &self.kept else { return };
        match kept.load::<Journal>(NAME) {
            Ok(found) => self.journals.found = found,
            Err(error) => self.say(Level::Warning, format!("the journal of breakpoints: {error}")),
        }
    }

    /// Writes down which sites there are, before the guest runs with them.
    pub(super) fn write_journal(&mut self) {
        let mut sites: BTreeSet<Addr> = self.points.planted_sites().into_iter().collect();
        if sites.is_subset(&self.journals.written.sites) {
            return;
        }
        if let Some(found) = &self.journals.found {
            sites.extend(&found.sites);
        }
        let Some(kept) = &self.kept else { return };
        let journal =
            Journal { build_id: self.target.build_id.clone(), slide: self.target.slide, sites };
        match kept.save(NAME, &journal) {
            Ok(()) => self.journals.written = journal,
            Err(error) => {
                if !std::mem::replace(&mut self.journals.complained, true) {
                    self.say(
                        Level::Warning,
                        format!("breakpoints can't be repaired by a later session if this one is killed: {error}"),
                    );
                }
            }
        }
    }

    /// The guest has no sites any more.
    pub(super) fn clear_journal(&mut self) {
        self.journals.found = None;
        if std::mem::take(&mut self.journals.written).sites.is_empty() {
            return;
        }
        if let Some(kept) = &self.kept
            && let Err(error) = kept.forget(NAME)
        {
            tracing::warn!(%error, "the journal stays");
        }
    }

    /// Whether an earlier session had a site at an address of this guest.
    pub(super) fn was_journaled(&self, site: Addr) -> bool {
        let fits = |journal: &&Journal| self.is_of_this_guest(journal);
        let found = self.journals.found.as_ref().filter(fits);
        found.is_some_and(|journal| journal.sites.contains(&site))
    }

    /// Nothing that is known speaks against it.
    fn is_of_this_guest(&self, journal: &Journal) -> bool {
        let differs = |a: &Option<String>, b: &Option<String>| a.is_some() && b.is_some() && a != b;
        let slid = |a: Option<Addr>, b: Option<Addr>| a.is_some() && b.is_some() && a != b;
        !differs(&journal.build_id, &self.target.build_id)
            && !slid(journal.slide, self.target.slide)
    }

    /// At the first stop on a link, once the guest's identity is known: takes out
    /// what an earlier session left in memory.
    /// Waits for symbols: they tell an int3 that is compiled in.
    pub(super) async fn mend_relics(&mut self) -> Result<Bounced, Failure> {
        let symbols = self.guest_symbols();
        if symbols.vmlinux().is_none() {
            return Ok(Bounced::Back);
        }
        let Some(journal) = self.journals.found.take() else { return Ok(Bounced::Back) };
        if !self.is_of_this_guest(&journal) || journal.sites.is_empty() {
            self.journals.written = journal;
            self.clear_journal();
            return Ok(Bounced::Back);
        }
        let sites = journal.sites.clone();
        let left: BTreeSet<Addr> = self
            .compute(move |_, memory| {
                let bytes: Vec<_> = sites.iter().map(|site| memory.uint(*site, 1)).collect();
                let traps =
                    sites.iter().zip(bytes).filter(|(_, byte)| *byte == Ok(u64::from(TRAP)));
                traps.map(|(site, _)| *site).collect()
            })
            .await?;
        let compiled_in =
            |site: &Addr| symbols.file_bytes(*site, 1).is_some_and(|byte| byte == [TRAP]);
        let left: BTreeSet<Addr> = left.into_iter().filter(|site| !compiled_in(site)).collect();
        let count = journal.sites.len();
        self.journals.written = journal;
        if left.is_empty() {
            tracing::info!(count, "an earlier session left breakpoints; none is in memory");
            self.clear_journal();
            return Ok(Bounced::Back);
        }
        let names: Vec<_> = left.iter().map(|site| symbols.describe(*site)).collect();
        let names: Vec<_> = (names.into_iter().zip(&left))
            .map(|(name, site)| name.map_or(site.to_string(), |name| format!("{site} {name}")))
            .collect();
        let names = names.join(", ");
        self.repairs.stuck.extend(left);
        let at = Displaced { pc: self.pc()?, trapped: false };
        let bounced = self.mend_sites(at).await?;
        if bounced == Bounced::Back && self.repairs.stuck.is_empty() {
            self.say(
                Level::Warning,
                format!("breakpoints of an earlier session were still in memory, and are taken out: {names}"),
            );
            self.clear_journal();
        } else {
            self.say(
                Level::Warning,
                format!("breakpoints of an earlier session are still in memory, and can't be taken out now: {names}"),
            );
        }
        Ok(bounced)
    }
}
