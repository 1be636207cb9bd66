//! Scopes.
use crate::{
    base::addr::Addr,
    symbols::{
        answer::{FrameBase, VariableDef},
        placed::Symbols,
    },
};
impl Symbols {
    /// The parameters of the function at place `depth` of [`Symbols::frames_at`].
    pub fn arguments_at(&self, _pc: Addr, _depth: usize) -> Vec<VariableDef> {
        Vec::new()
    }
    /// The local variables in scope there, innermost block first.
    pub fn locals_at(&self, _pc: Addr, _depth: usize) -> Vec<VariableDef> {
        Vec::new()
    }
    /// What `DW_OP_fbreg` counts from in the function that holds `pc`.
    pub fn frame_base(&self, _pc: Addr) -> Option<FrameBase> {
        None
    }
    /// A variable of file scope, by name.
    pub fn find_variable(&self, _name: &str) -> Option<VariableDef> {
        None
    }
}
