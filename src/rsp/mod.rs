//! The GDB remote serial protocol as a client of kgdb speaks it, without I/O.
//!
//! Bytes and instants go in, packets to send and events come out. Nothing here
//! opens a socket, reads a clock or waits: [`client::Client`] is told the time
//! and says when it wants to be called again. So a whole conversation, with
//! lost bytes and slow lines, is a unit test.
//!
//! The layer promises:
//! - a byte that is not part of a packet with a good checksum is never lost:
//!   it comes out as console text;
//! - nothing is sent to a running kernel but the `+` that a stop packet is
//!   waiting for, or the `-` when one came damaged;
//! - a request that resumes the kernel is never sent twice unless the stub
//!   itself said that it did not get it;
//! - a command that could overrun the stub's buffers can not be built
//!   ([`command`]).
//!
//! [`server`] is the other end, for a gdb that talks to us.
//!
//! What it does not do: queue requests, know registers, decide what a silent
//! line means. Those are `session` and `target`.
//!
//! Facts about the stub come from the kernel's `kernel/debug/gdbstub.c`, read
//! in 4.2, 6.1 and 6.12; the function is named where it matters.

pub mod client;
pub mod command;
pub mod frame;
pub mod meter;
pub mod reply;
pub mod server;
pub mod thread;
pub mod timing;
