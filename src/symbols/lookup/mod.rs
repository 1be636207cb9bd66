//! What people name, found: locations as gdb writes them, functions and
//! variables by name, lists by pattern, searches by a few letters.

pub mod location;

pub mod expression;

pub mod places;

pub(super) mod functions;

pub mod globals;

pub mod catalog;

pub mod search;

pub(super) mod corpus;
