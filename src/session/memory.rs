//! The memory pane's bytes: what is on screen, with the names of what the words
//! there are and point at.

use super::{
    answer::Failure,
    run::Session,
    wants::{MemoryView, MemoryWant},
};
use crate::base::{
    addr::Addr,
    memory::{Memory, PAGE},
};
use crate::eval::{
    ctype::{CType, Shape},
    expr::evaluate,
};
use crate::symbols::placed::Symbols;
use std::ops::Range;

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
                shown.names = self.members_shown(&shown).await?;
                shown.names.extend(self.names_of_words(&shown));
            }
            Err(why) => shown.error = Some(why.to_string()),
        }
        if let Some(stop) = &mut self.stop {
            stop.supplied.memory = Some(shown);
        }
        Ok(())
    }

    /// The members that begin in each word, where the expression is a struct or
    /// points at one.
    async fn members_shown(&mut self, shown: &MemoryView) -> Result<Vec<(Addr, String)>, Failure> {
        let (text, want) = (shown.want.expression.clone(), shown.want.clone());
        let start = shown.start.back(want.offset as u64);
        let members = self.see(move |context, scene| {
            let symbols = context.symbols;
            let (ty, _) = evaluate::type_of(context, scene, &text).ok()?;
            let ty = match ty.shape(symbols) {
                Shape::Pointer { target, .. } => target,
                _ => ty,
            };
            let from = u64::try_from(want.offset).unwrap_or(0);
            let mut members = Members { symbols, window: from..from + want.len, found: Vec::new() };
            members.inside(&ty, 0, "", 0);
            Some(members.found)
        });
        let members = members.await?.unwrap_or_default();
        let word_of = |offset: u64| Addr(start.offset(offset).0 & !(WORD - 1));
        Ok(members.into_iter().map(|(offset, name)| (word_of(offset), name)).collect())
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

/// Members of a struct whose first byte is in a window.
struct Members<'a> {
    symbols: &'a Symbols,
    window: Range<u64>,
    found: Vec<(u64, String)>,
}

impl Members<'_> {
    /// Adds those of `ty`, which begins at `base` and is called `path`.
    fn inside(&mut self, ty: &CType, base: u64, path: &str, depth: usize) {
        /// Structs in structs: more than any name on a screen has.
        const DEEPEST: usize = 6;
        for field in ty.members(self.symbols) {
            let at = base + field.offset;
            let is_outside = at >= self.window.end || at + field.size.max(1) <= self.window.start;
            if is_outside || depth > DEEPEST {
                continue;
            }
            let name = match field.name.as_str() {
                "" => path.to_string(),
                name => format!("{path}.{name}"),
            };
            match field.ty.shape(self.symbols) {
                Shape::Struct { .. } => self.inside(&field.ty, at, &name, depth + 1),
                _ if at >= self.window.start => self.found.push((at, name)),
                _ => {}
            }
        }
    }
}

/// Bytes by pages: one that can't be read does not hide the others.
pub(super) fn known_bytes(memory: &dyn Memory, start: Addr, len: u64) -> Vec<Option<u8>> {
    let mut bytes = Vec::new();
    while (bytes.len() as u64) < len {
        let at = start.offset(bytes.len() as u64);
        let piece = (len - bytes.len() as u64).min(PAGE - at.0 % PAGE) as usize;
        match memory.bytes(at, piece) {
            Ok(known) => bytes.extend(known.into_iter().map(Some)),
            Err(_) => bytes.extend(vec![None; piece]),
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
