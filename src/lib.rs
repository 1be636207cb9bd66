//! kgdb-tui: a full-screen debugger for Linux kernels with kgdb on a serial line.

pub mod base;

pub mod arch;

pub mod config;

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

pub mod batch;

pub mod ui;

pub mod demo;
