//! dwarf
