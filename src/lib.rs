//! kgdb-tui: a full-screen debugger for Linux kernels with kgdb on a serial line.
//!
//! This page is the map of the program.
//!
//! # The idea
//!
//! What is shown is a pure function of symbols, of a snapshot of the stopped
//! guest, and of the screen's own state. Code that needs guest memory (the
//! unwinder, variables, kernel lists) is plain synchronous code over
//! [`base::memory::Memory`]. A read is answered, or it is a *miss* (nobody has
//! asked the guest yet) or a *fault* (the guest said no). The session collects
//! misses, merges them into few packets, and runs the computation again. So no
//! pane blocks, what is not shown costs nothing, and the unwinder is tested
//! without a guest.
//!
//! # Layers
//!
//! Imports point down only; `tests/layers.rs` checks it. From the bottom:
//!
//! - [`base`]: addresses that do not mix, memory that may miss, text for people.
//! - [`arch`]: what a CPU means: registers on the wire, flags, one instruction.
//! - [`link`]: bytes to and from the serial line, over whatever carries them.
//! - [`rsp`]: the GDB remote protocol as a state machine without I/O.
//! - [`target`]: what packets mean on kgdb: finding out what listens, limits,
//!   breaking in, planning reads.
//! - [`image`], [`symbols`]: ELF files, and DWARF questions about them, placed
//!   in the guest.
//! - [`source`]: C files on this machine.
//! - [`unwind`], [`eval`], [`kernel`]: stacks, values, and what Linux means:
//!   slide, proof, modules, CPUs.
//! - [`session`]: the debugger. One task owns the link; requests come in,
//!   updates and views go out. It alone waits for the wire.
//! - [`command`]: one table of commands for the `:` line, batch and help.
//! - [`ports`]: ends for other programs: the guest's console in a file and on a
//!   port, a port for gdb.
//! - [`ui`], [`batch`], [`demo`]: the faces, and the guest to try them on.
//!   [`config`] has keys and colours.
//! - [`setup`]: getting a guest ready: VMware's file, the guest's script, and a
//!   look at the whole chain.
//!
//! # Where to begin reading
//!
//! A stop, from the wire to the screen: `session/control.rs` takes the stop
//! packet, `session/panes.rs` computes what it shows, `session/fetch.rs` turns
//! misses into packets, [`session::view`] is what a face gets, `ui/view.rs`
//! draws it. A step: `session/step.rs` over `session/exits.rs`.
//!
//! # Invariants
//!
//! - [`rsp`], [`target`], [`image`], [`symbols`], [`unwind`], [`eval`],
//!   [`kernel`] and [`arch`] do no I/O on the wire and read no clock: time is
//!   a parameter.
//! - A request that could overrun the stub's buffers can't be built
//!   ([`rsp::command`]).
//! - Nothing is sent to a running kernel but the one question of the knock, a
//!   break-in the user asked for, and what is typed into its console; nothing that
//!   is typed is sent to a stopped one.
//! - What the user wants (a breakpoint) and what the guest has (a planted
//!   site) are two types and a difference.
//! - No symbol is shown as a fact about the guest before the vmlinux is proven
//!   to be its own; until then the session's symbols are empty.
//! - Layouts of kernel structures come from DWARF members, never from versions.
//! - No input, from the wire, a file or a person, ends in a panic; if one of
//!   ours does, the guest is let go and the terminal restored.

pub mod base;

pub mod arch;

pub mod link;

pub mod rsp;

pub mod target;

pub mod image;

pub mod symbols;

pub mod source;

pub mod unwind;

pub mod eval;

pub mod kernel;

pub mod session;

pub mod command;

pub mod config;

pub mod ui;

pub mod batch;

pub mod ports;

pub mod relay;

pub mod demo;

pub mod setup;
