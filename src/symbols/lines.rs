//! Lines.
use crate::{
    base::addr::Addr,
    symbols::{answer::LineRow, placed::Symbols},
};
impl Symbols {
    /// The line table's row that holds `addr`.
    pub fn row_at(&self, _addr: Addr) -> Option<LineRow> {
        None
    }
    /// Every row that overlaps `start..end`, by address.
    pub fn rows_of(&self, _start: Addr, _end: Addr) -> Vec<LineRow> {
        Vec::new()
    }
}
