//! kgdb-tui
fn main() {}
