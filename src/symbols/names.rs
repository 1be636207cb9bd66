//! Names.
use crate::symbols::{answer::FunctionMatch, placed::Symbols};
impl Symbols {
    /// Where functions of this name start.
    pub fn find_functions(&self, _name: &str) -> Vec<FunctionMatch> {
        Vec::new()
    }
    /// Functions that start so.
    pub fn complete_function(&self, _prefix: &str, _limit: usize) -> Vec<String> {
        Vec::new()
    }
    /// Functions whose name contains `needle`.
    pub fn functions_matching(&self, _needle: &str, _limit: usize) -> Vec<String> {
        Vec::new()
    }
}
