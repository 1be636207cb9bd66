//! Misses to packets: run a computation, fetch what it missed, run it again.

use super::{answer::Failure, run::Session, wire::WireError};
use crate::base::{
    addr::Addr,
    memory::{Memory, PAGE, Recorder, Span},
};
use crate::rsp::{command::Command, reply::Reply};
use crate::symbols::placed::Symbols;
use crate::target::reads::plan_reads;

/// A read of the stack is made at least this long, when the page allows it and
/// bytes are not dearer than requests: what is next to a wanted word there is often
/// wanted next.
const LEAST_OF_STACK: u64 = 64;

/// How much above the stack pointer counts as stack (THREAD_SIZE of x86_64 is
/// 16 KiB; half of it is more than most stacks use).
const STACK: u64 = 8 * 1024;

/// A computation that still misses something after so many rounds walks in
/// circles: lists in guest memory may loop.
const MOST_ROUNDS: usize = 2000;

impl Session {
    /// Runs `work` until it misses nothing. The guest must be stopped. Ends
    /// early with [`Failure::Cancelled`] when the user asks for something
    /// that would make the answer void.
    pub(super) async fn compute<T>(
        &mut self,
        work: impl Fn(&Symbols, &dyn Memory) -> T,
    ) -> Result<T, Failure> {
        let symbols = self.guest_symbols();
        for _ in 0..MOST_ROUNDS {
            let Some(snapshot) = &self.snapshot else { return Err(Failure::Running) };
            let recorder = Recorder::new(&snapshot.memory);
            let result = work(&symbols, &recorder);
            let misses = recorder.into_misses();
            if misses.is_empty() {
                return Ok(result);
            }
            self.fetch(misses).await?;
        }
        Err(Failure::Other("gave up: the guest's data leads in circles".into()))
    }

    /// Runs `work` once. Fetches what it missed and says whether there was
    /// anything: then it is worth running again.
    pub(super) async fn compute_once<T>(
        &mut self,
        work: impl Fn(&Symbols, &dyn Memory) -> T,
    ) -> Result<(T, bool), Failure> {
        let symbols = self.guest_symbols();
        let Some(snapshot) = &self.snapshot else { return Err(Failure::Running) };
        let recorder = Recorder::new(&snapshot.memory);
        let result = work(&symbols, &recorder);
        let misses = recorder.into_misses();
        let missed = !misses.is_empty();
        if missed {
            self.fetch(misses).await?;
        }
        Ok((result, missed))
    }

    /// Reads the spans into the snapshot, merged and split as the stub allows.
    pub(super) async fn fetch(&mut self, misses: Vec<Span>) -> Result<(), Failure> {
        let Some(snapshot) = &self.snapshot else { return Err(Failure::Running) };
        // What is known of them is not read again.
        let misses: Vec<Span> =
            misses.into_iter().map(|span| snapshot.memory.lacking(span)).collect();
        let chosen = snapshot.chosen.as_ref().map(|chosen| &chosen.registers);
        let stacks = [Some(&snapshot.registers), chosen].map(|registers| registers?.sp());
        let is_stack = |span: &Span| {
            stacks.iter().flatten().any(|sp| span.len > 0 && span.start.since(*sp) < STACK)
        };
        let widens = !self.wire.spares_bytes();
        let wide: Vec<Span> = (misses.iter())
            .map(|span| if widens && is_stack(span) { widen(span, LEAST_OF_STACK) } else { *span })
            .map(|span| snapshot.memory.lacking(span))
            .collect();
        let most = self.wire.most_at_once();
        for read in plan_reads(&wide, self.wire.worth_merging(), most) {
            if let Some(bytes) = self.read(read).await? {
                self.remember(read.start, &bytes);
                continue;
            }
            // One unreadable page fails a whole read (`gdb_cmd_memread` makes
            // one copy), and only what was asked for may count as a fault.
            for exact in plan_reads(&misses, 0, most) {
                if !overlaps(&exact, &read) {
                    continue;
                }
                // What was asked for is not asked for again.
                let found = if exact == read { None } else { self.read(exact).await? };
                match found {
                    Some(bytes) => self.remember(exact.start, &bytes),
                    None if self.read_recorded(exact).await? => {}
                    None => {
                        if let Some(snapshot) = &mut self.snapshot {
                            snapshot.memory.insert_fault(exact.start);
                        }
                    }
                }
            }
        }
        self.publish_cost();
        Ok(())
    }

    /// One read; `None` when the guest can't read there.
    pub(super) async fn read(&mut self, span: Span) -> Result<Option<Vec<u8>>, Failure> {
        let command = Command::read_memory(span.start, span.len as usize)
            .map_err(|error| Failure::Other(error.to_string()))?;
        match self.wire.ask(command).await {
            Ok(Reply::Memory(bytes)) => Ok(Some(bytes)),
            Ok(_) => Err(Failure::Other(format!("no memory in the answer for {}", span.start))),
            Err(error) if error.errno().is_some() => Ok(None),
            Err(error) => Err(self.lost(error)),
        }
    }

    pub(super) fn remember(&mut self, start: Addr, bytes: &[u8]) {
        if let Some(snapshot) = &mut self.snapshot {
            snapshot.memory.insert(start, bytes);
        }
    }

    /// A wire error as an answer.
    pub(super) fn lost(&mut self, error: WireError) -> Failure {
        match error {
            WireError::Closed(why) => {
                self.link_lost(why.clone());
                Failure::NoTarget(format!("the link is lost: {why}"))
            }
            WireError::Request(error) => self.unanswered(&error),
            other => Failure::Other(other.to_string()),
        }
    }
}

/// At least `least` bytes, in whole words, in one page.
fn widen(span: &Span, least: u64) -> Span {
    let start = span.start.0 & !7;
    let end = span.start.0.saturating_add(span.len);
    let page_end = (end - 1) / PAGE * PAGE + (PAGE - 1);
    let wanted = end.max(start.saturating_add(least)).div_ceil(8).saturating_mul(8);
    let end = wanted.min(page_end.saturating_add(1)).max(end);
    Span::new(Addr(start), end - start)
}

fn overlaps(a: &Span, b: &Span) -> bool {
    a.contains(b.start) || b.contains(a.start)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_are_widened_inside_the_page() {
        let widened = |start: u64, len: u64| {
            let span = widen(&Span::new(Addr(start), len), 32);
            (span.start.0, span.len)
        };
        assert_eq!(widened(0x1004, 4), (0x1000, 32));
        assert_eq!(widened(0x1ff8, 8), (0x1ff8, 8));
        assert_eq!(widened(0x1fe4, 4), (0x1fe0, 32));
        assert_eq!(widened(0x1ffc, 8), (0x1ff8, 32), "crosses because the caller does");
        assert_eq!(widened(u64::MAX - 3, 3).0, u64::MAX - 7);
    }
}
