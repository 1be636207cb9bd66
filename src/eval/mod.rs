//! Variables of a frame: from DWARF's description of where a value is to a
//! line that a C programmer can read.
//!
//! Contract: plain code over a [`Memory`](crate::base::memory::Memory); what
//! is not read yet is [`Value::Missing`](value::Value), and the same call is made again. A
//! value that can't be known is never replaced by another: it is optimized
//! out, or unavailable with the reason.

mod entry;

pub mod location;

pub mod ctype;
pub mod typed;

pub mod expr;

pub mod format;

pub mod value;

pub mod lost;

pub mod collections;
pub mod tree;
pub mod variables;
