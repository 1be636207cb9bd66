//! kgdb's stub as a thing with limits, registers, threads and ways in.
//!
//! `rsp` knows packets; this layer knows what they mean on a kgdb: what a
//! silent, echoing or chattering line is ([`knock`]), what the kernel's own
//! text says ([`console`]), how a running kernel is stopped ([`breakin`]), also by
//! typing ([`typing`]) where a shell waits ([`prompt`]).
//!
//! It is pure as `rsp` is: values in, values out, time is a parameter. It does
//! not queue, retry or remember what is planted; that is `session`.

pub mod breakin;
pub mod console;
pub mod knock;
pub mod limits;
pub mod prompt;
pub mod reads;
pub mod registers;
pub mod replay;
pub mod threads;
pub mod typing;
