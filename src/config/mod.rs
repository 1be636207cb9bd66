//! What a person can choose: keys and colours. Words and tables only; nothing
//! here reads a file, draws, or knows the debugger.

pub mod keys;
pub mod theme;
