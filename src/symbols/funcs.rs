//! Functions.
use crate::{
    base::addr::Addr,
    symbols::{
        answer::{CodeFrame, Function, InlineInstance},
        placed::Symbols,
    },
};
impl Symbols {
    /// The functions that are at `addr`, innermost first: inlined ones, then
    /// the one out of line. At least one where [`Symbols::symbol_at`] answers.
    pub fn frames_at(&self, addr: Addr) -> Vec<CodeFrame> {
        self.symbol_at(addr)
            .into_iter()
            .map(|symbol| CodeFrame {
                function: symbol.name,
                file: None,
                line: None,
                column: None,
                inlined: false,
                module: symbol.module,
                entry: symbol.start,
                depth: 0,
            })
            .collect()
    }
    /// The function out of line that holds `addr`.
    pub fn function_at(&self, _addr: Addr) -> Option<Function> {
        None
    }
    /// The inlined calls that are at `addr`, innermost first.
    pub fn inline_ranges_at(&self, _addr: Addr) -> Vec<InlineInstance> {
        Vec::new()
    }
}
