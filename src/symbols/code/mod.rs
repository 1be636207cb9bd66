//! What is at an address of code: lines, functions and what is inlined in
//! them, variables in scope, rules to unwind by; and where lines and inlined
//! functions have their code.

pub(super) mod lines;

pub(super) mod funcs;

pub(super) mod sites;

pub(super) mod prologue;

pub(super) mod inlining;

pub(super) mod scope;

pub mod visible;

pub(super) mod cfi;

pub mod calls;

mod referred;

mod bytes;
