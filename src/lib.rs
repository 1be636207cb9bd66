//! kgdb-tui

pub mod demo;
