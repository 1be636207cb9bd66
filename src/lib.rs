//! kgdb-tui
pub mod link;
pub mod rsp;
