//! The memory pane's bytes: what is on screen, with the names of what the words
//! there are and point at.

use super::{
    answer::Failure,
    run::Session,
    wants::{MemoryView, MemoryWant},
};
use crate::base::{
    addr::Addr,
    memory::{Gap, Memory, PAGE},
};

/// More than any screen shows.
const MOST: u64 = 16 * 1024;

/// Bytes of a word.
const WORD: u64 = 8;

impl Session {
    /// Reads the memory a pane wants.
    pub(super) async fn memory_round(&mut self, want: MemoryWant) -> Result<(), Failure> {
        let mut shown = MemoryView { want, ..MemoryView::default() };
        match self.examined_address(&shown.want.expression).await {
            Ok(base) => {
                shown.start = base.offset(shown.want.offset as u64);
                let (start, len) = (shown.start, shown.want.len.min(MOST));
                shown.bytes =
                    self.compute(move |_, memory| known_bytes(memory, start, len)).await?;
                shown.names = self.names_of_words(&shown);
            }
            Err(why) => shown.error = Some(why.to_string()),
        }
        if let Some(stop) = &mut self.stop {
            stop.supplied.memory = Some(shown);
        }
        Ok(())
    }

    /// For each word that is a symbol or points at one, its name.
    fn names_of_words(&self, shown: &MemoryView) -> Vec<(Addr, String)> {
        let symbols = self.guest_symbols();
        let mut names = Vec::new();
        for (index, word) in shown.bytes.chunks_exact(WORD as usize).enumerate() {
            let at = shown.start.offset(index as u64 * WORD);
            let exact = symbols.symbol_at(at).filter(|symbol| symbol.start == at);
            names.extend(exact.map(|symbol| (at, format!("{}:", symbol.name))));
            let value = word
                .iter()
                .rev()
                .try_fold(0, |value: u64, byte| Some(value << 8 | u64::from((*byte)?)));
            // User addresses and small numbers have no names in the kernel.
            let value = value.map(Addr).filter(|value| value.0 >> 63 == 1);
            names.extend(value.and_then(|value| Some((at, symbols.describe(value)?))));
        }
        names
    }
}

/// Bytes by pages: one that can't be read does not hide the others.
fn known_bytes(memory: &dyn Memory, start: Addr, len: u64) -> Vec<Option<u8>> {
    let mut bytes = Vec::new();
    while (bytes.len() as u64) < len {
        let at = start.offset(bytes.len() as u64);
        let piece = (len - bytes.len() as u64).min(PAGE - at.0 % PAGE) as usize;
        match memory.bytes(at, piece) {
            Ok(known) => bytes.extend(known.into_iter().map(Some)),
            Err(Gap::Fault(_) | Gap::Missing(_)) => bytes.extend(vec![None; piece]),
        }
    }
    bytes
}

#[cfg(test)]
mod tests {
    use super::known_bytes;
    use crate::base::{addr::Addr, memory::Sparse};

    #[test]
    fn a_page_that_faults_hides_only_itself() {
        let mut memory = Sparse::new();
        memory.insert(Addr(0x1ff8), &[1, 2, 3, 4, 5, 6, 7, 8]);
        memory.insert_fault(Addr(0x2000));
        let bytes = known_bytes(&memory, Addr(0x1ffe), 4);
        assert_eq!(bytes, [Some(7), Some(8), None, None]);
        let wraps = known_bytes(&Sparse::new(), Addr(u64::MAX), 2);
        assert_eq!(wraps, [None, None]);
    }
}
