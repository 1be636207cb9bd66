//! kgdb-tui
pub mod rsp;
