//! C expressions as gdb's users type them: `req->list.next`, `*p@3`,
//! `'fs/namei.c'::state`, `hgfs!count`, `$rip`, `(u64)x >> 3 == 0`.
//!
//! Contract: text in, a value or an [`error::ExprError`] that points at the
//! place in the text out. Plain code over a snapshot: what is not read yet is
//! a miss, and the same call is made again. Only what is needed is read: a
//! member of a struct reads that member, and `&&` not its other side. Nothing
//! is ever written: an assignment gives an [`assign::Effect`] that whoever
//! owns the guest may carry out. Guest functions are never called.

pub mod assign;
pub mod error;
pub mod evaluate;
pub mod kept;
pub mod printf;

mod arith;
mod ast;
mod convert;
mod dollar;
mod lex;
mod literal;
mod macros;
mod names;
mod operators;
mod parse;
#[cfg(test)]
mod parse_tests;
mod type_name;
mod types;
