//! In a record: computations over what this program would have kept from an earlier
//! stop, had it been there.

use super::{answer::Failure, run::Session};
use crate::base::{
    addr::Addr,
    memory::{Gap, Memory, Sparse},
};
use crate::symbols::placed::Symbols;
use crate::target::replay::kept::Reach;
use std::cell::Cell;

impl Session {
    /// As [`Session::compute`], for what is read once and kept from stop to stop. Where
    /// the record of this stop lacks some of it, earlier stops tell. Also says whether
    /// they did.
    pub(super) async fn compute_kept<T>(
        &mut self,
        reach: Reach,
        work: impl Fn(&Symbols, &dyn Memory) -> T,
    ) -> Result<(T, bool), Failure> {
        let result = self.compute(&work).await?;
        Ok(match self.with_kept(reach, &work) {
            Some(kept) => (kept, true),
            None => (result, false),
        })
    }

    /// The result with what earlier stops tell; `None` when that is not needed. What
    /// comes from there is used for this alone, and is not known of this stop.
    pub(super) fn with_kept<T>(
        &self,
        reach: Reach,
        work: impl Fn(&Symbols, &dyn Memory) -> T,
    ) -> Option<T> {
        let replay = self.replay.as_ref()?;
        let now = &self.snapshot.as_ref()?.memory;
        let symbols = self.guest_symbols();
        let looked = Lacking { memory: now, lacks: Cell::new(false) };
        work(&symbols, &looked);
        if !looked.lacks.get() {
            return None;
        }
        let before = replay.kept(reach);
        Some(work(&symbols, &Both { now, before: &before }))
    }
}

/// Notes whether the record lacks something.
struct Lacking<'a> {
    memory: &'a Sparse,
    lacks: Cell<bool>,
}

impl Memory for Lacking<'_> {
    fn read(&self, addr: Addr, buf: &mut [u8]) -> Result<(), Gap> {
        let result = self.memory.read(addr, buf);
        if let Err(Gap::Unrecorded(_)) = result {
            self.lacks.set(true);
        }
        result
    }
}

/// What is known of this stop, else what was known before.
struct Both<'a> {
    now: &'a Sparse,
    before: &'a Sparse,
}

impl Memory for Both<'_> {
    fn read(&self, addr: Addr, buf: &mut [u8]) -> Result<(), Gap> {
        let result = self.now.read(addr, buf);
        if let Ok(()) | Err(Gap::Fault(_)) = result {
            return result;
        }
        for (i, byte) in buf.iter_mut().enumerate() {
            let (at, byte) = (addr.offset(i as u64), std::slice::from_mut(byte));
            let known = self.now.read(at, byte).is_ok() || self.before.read(at, byte).is_ok();
            if !known {
                return result;
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_present_comes_before_the_past() {
        let (mut now, mut before) = (Sparse::new(), Sparse::new());
        now.insert(Addr(0x1004), &[1, 1]);
        now.insert_fault(Addr(0x2000));
        before.insert(Addr(0x1002), &[2; 8]);
        before.insert(Addr(0x2000), &[2; 8]);
        let both = Both { now: &now, before: &before };
        let read = |at: u64, len| both.bytes(Addr(at), len);
        assert_eq!(read(0x1002, 6), Ok(vec![2, 2, 1, 1, 2, 2]));
        assert!(matches!(read(0x1000, 4), Err(Gap::Missing(_))), "neither has it all");
        assert!(matches!(read(0x2000, 4), Err(Gap::Fault(_))), "the guest refuses it now");
        now.insert_unrecorded(crate::base::memory::Span::new(Addr(0x1000), 2));
        let looked = Lacking { memory: &now, lacks: Cell::new(false) };
        assert!(looked.read(Addr(0x1004), &mut [0; 2]).is_ok() && !looked.lacks.get());
        assert!(looked.read(Addr(0x1000), &mut [0; 2]).is_err() && looked.lacks.get());
    }
}
