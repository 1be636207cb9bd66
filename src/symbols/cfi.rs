//! CFI.
use crate::{
    base::addr::Addr,
    symbols::{answer::CfiRow, placed::Symbols},
};
impl Symbols {
    /// Where the caller's registers are when the pc is `pc`.
    pub fn cfi_row(&self, _pc: Addr) -> Option<CfiRow> {
        None
    }
}
