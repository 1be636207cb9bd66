//! The kernel's log: for the pane as far as it shows, for a command as far back
//! as it wants. What was read stays when the guest runs, for a record never
//! changes; a further stop reads only what is new.

use super::{
    answer::{Answer, Failure},
    run::Session,
    subject::said,
    wants::{DmesgLine, DmesgView, DmesgWant},
};
use crate::base::memory::Memory;
use crate::kernel::dmesg::{self, LEVELS, Part, Place, Record};
use crate::symbols::placed::Symbols;
use crate::target::replay::kept::Reach;
use std::{collections::VecDeque, sync::Arc};

/// Records that are read at once, a screenful or less: half a second at 115200
/// baud.
const AT_ONCE: usize = 20;

/// The most records that are kept.
const MOST: usize = 5_000;

/// The most records that a command reads unless it is told how many.
const USUAL: usize = 50;

/// The log as far as it is known.
#[derive(Debug, Default)]
pub struct Dmesg {
    /// Without a gap, oldest first.
    records: VecDeque<Record>,
    /// Where the oldest begins; `None` when there is nothing older.
    begin: Option<Place>,
    /// Behind the newest.
    end: Option<Place>,
    /// How many the guest has.
    total: u64,
    /// The stop whose newest records are known.
    read_at: u64,
    /// Why there is nothing more.
    trouble: Option<String>,
    /// As shown, until something is read.
    lines: Option<Arc<Vec<DmesgLine>>>,
}

impl Dmesg {
    fn take_newest(&mut self, part: Part, total: u64, stop: u64) {
        (self.read_at, self.total, self.lines, self.trouble) = (stop, total, None, None);
        if part.joins {
            while self.records.back().is_some_and(|last| last.open) {
                self.records.pop_back();
            }
        } else {
            // Too much came at once: what is known does not reach the new.
            self.records.clear();
            self.begin = part.begin;
        }
        self.end = Some(part.end);
        self.records.extend(part.records);
        let excess = self.records.len().saturating_sub(MOST);
        if excess > 0 {
            self.records.drain(..excess);
            self.begin = None;
        }
    }

    fn take_older(&mut self, part: Part) {
        self.lines = None;
        self.begin = part.begin.filter(|_| self.records.len() < MOST);
        for record in part.records.into_iter().rev() {
            self.records.push_front(record);
        }
    }

    /// What continues a line is put into it.
    fn lines(&mut self) -> Arc<Vec<DmesgLine>> {
        if let Some(lines) = &self.lines {
            return Arc::clone(lines);
        }
        dmesg::join(self.records.make_contiguous());
        let mut lines: Vec<DmesgLine> = Vec::new();
        for record in &self.records {
            match lines.last_mut() {
                Some(last) if record.continues => last.text.push_str(&record.text),
                _ => lines.push(line(record)),
            }
        }
        let lines = Arc::new(lines);
        self.lines = Some(Arc::clone(&lines));
        lines
    }
}

fn line(record: &Record) -> DmesgLine {
    DmesgLine {
        seq: record.seq,
        level: LEVELS[usize::from(record.level.min(7))],
        // The kernel prints whole microseconds and throws the rest away.
        time: (record.nanoseconds / 1000) as f64 / 1e6,
        text: record.text.clone(),
        caller: record.caller.map(|caller| caller.to_string()),
    }
}

/// Which lines a command wants.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct DmesgAsk {
    /// Of how many of the newest.
    pub count: Option<usize>,
    /// Of this level, or worse; or lines with this text.
    pub filter: String,
}

impl DmesgAsk {
    pub(super) fn wanted(&self) -> usize {
        self.count.unwrap_or(USUAL)
    }
}

/// Whether a line is of a level or worse, or has a text.
pub fn fits(line: &DmesgLine, filter: &str) -> bool {
    let rank = |level: &str| LEVELS.iter().position(|known| *known == level);
    match rank(filter) {
        Some(worst) => rank(line.level).is_some_and(|level| level <= worst),
        None => line.text.to_lowercase().contains(&filter.to_lowercase()),
    }
}

impl Session {
    /// Reads one piece of the log: what is new at this stop, then what is older,
    /// until `wanted` records are known. False when nothing is left to read.
    pub(super) async fn dmesg_piece(&mut self, wanted: usize) -> Result<bool, Failure> {
        self.need_stopped()?;
        self.need_symbols()?;
        let stop = self.generation;
        if self.dmesg.read_at != stop {
            let (since, most) = (self.dmesg.end, AT_ONCE.max(wanted.min(4 * AT_ONCE)));
            let newest = move |symbols: &Symbols, memory: &dyn Memory| {
                let part = dmesg::newest(symbols, memory, since, most);
                (part, dmesg::count(symbols, memory))
            };
            return match self.compute_once_or_kept(newest).await? {
                (_, true) => Ok(true),
                ((Ok(part), count), false) => {
                    self.dmesg.take_newest(part, count.unwrap_or_default(), stop);
                    Ok(self.dmesg.records.len() < wanted && self.dmesg.begin.is_some())
                }
                ((Err(error), _), false) => Err(said(error)),
            };
        }
        let Some(before) = self.dmesg.begin.filter(|_| self.dmesg.records.len() < wanted) else {
            return Ok(false);
        };
        let most = AT_ONCE.min(wanted - self.dmesg.records.len());
        let older = move |symbols: &Symbols, memory: &dyn Memory| {
            dmesg::older(symbols, memory, before, most)
        };
        match self.compute_once_or_kept(older).await? {
            (_, true) => {}
            (Ok(part), false) => self.dmesg.take_older(part),
            (Err(error), false) => {
                // What is known is shown all the same.
                self.dmesg.begin = None;
                self.dmesg.trouble = Some(error.to_string());
            }
        }
        Ok(self.dmesg.records.len() < wanted && self.dmesg.begin.is_some())
    }

    /// Does `work` once. In a record, where nothing can be fetched, what was kept
    /// up to the stop before may answer more.
    async fn compute_once_or_kept<T>(
        &mut self,
        work: impl Fn(&Symbols, &dyn Memory) -> T + Copy,
    ) -> Result<(T, bool), Failure> {
        let (found, missed) = self.compute_once(work).await?;
        let kept = if missed { None } else { self.with_kept(Reach::Before, work) };
        Ok((kept.unwrap_or(found), missed))
    }

    /// Reads a piece of what the pane wants; true when there is more to read.
    pub(super) async fn dmesg_round(&mut self, want: &DmesgWant) -> Result<bool, Failure> {
        let (more, error) = match self.dmesg_piece(want.lines).await {
            Ok(more) => (more, None),
            Err(Failure::Other(why)) => (false, Some(why)),
            Err(failure) => return Err(failure),
        };
        let lines = self.dmesg.lines();
        let view = DmesgView {
            lines,
            total: self.dmesg.total,
            older: self.dmesg.begin.is_some(),
            reading: more,
            error: error.or_else(|| self.dmesg.trouble.clone()),
        };
        if let Some(stop) = &mut self.stop {
            stop.supplied.dmesg = Some(view);
        }
        Ok(more)
    }

    /// How many records are known, and how many there are.
    pub(super) fn dmesg_known(&self) -> (usize, u64) {
        (self.dmesg.records.len(), self.dmesg.total)
    }

    /// The answer to a command, of what is known.
    pub(super) fn dmesg_answer(&mut self, ask: &DmesgAsk) -> Answer {
        let lines = self.dmesg.lines();
        let newest = &lines[lines.len().saturating_sub(ask.wanted())..];
        let fit = newest.iter().filter(|line| fits(line, &ask.filter)).cloned();
        Answer::Dmesg { records: fit.collect() }
    }

    /// Forgets the log of a guest that is another one now.
    pub(super) fn forget_dmesg(&mut self) {
        self.dmesg = Dmesg::default();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_filter_is_a_level_or_a_text() {
        let line = DmesgLine { level: "warn", text: "Oops: 0002".into(), ..DmesgLine::default() };
        assert!(fits(&line, "") && fits(&line, "oops") && fits(&line, "warn"));
        assert!(fits(&line, "info") && !fits(&line, "err") && !fits(&line, "vfs"));
    }
}
