//! kgdb-tui
