//! DWARF as it is in the files: units, where their entries are, the names in
//! them, rows of line tables, macros. What it means is asked elsewhere.
//!
//! `units` come first: where each starts and which code it has. `reader`
//! opens one for a question and follows references, into other units and into
//! other files (`split`). `index` walks them all once, for names.

pub(super) mod reader;

pub(super) mod units;

pub(super) mod roots;

pub(super) mod split;

pub(super) mod index;

pub(super) mod rows;

pub mod macros;
