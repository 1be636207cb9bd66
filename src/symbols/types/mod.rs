//! Types: found by name, written as C, laid out, shown as `ptype` does.
//!
//! A type is told one step at a time (`node`), and a step comes from DWARF
//! or, where a file has none, from BTF; everything else works on steps and is
//! the same code for both.

pub mod named;

mod enumerators;

pub(super) mod node;

pub(super) mod from_dwarf;

pub(super) mod from_btf;

pub(super) mod btf;

pub(super) mod btf_source;

pub(super) mod layout;

pub(super) mod written;

pub(super) mod offsets;

pub mod pt_regs;

pub mod describe;
