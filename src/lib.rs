//! kgdb-tui: a full-screen debugger for Linux kernels with kgdb on a serial line.

pub mod base;

pub mod link;

pub mod rsp;

pub mod arch;

pub mod image;

pub mod source;

pub mod target;

pub mod symbols;

pub mod kernel;

pub mod session;

pub mod config;

pub mod command;

pub mod ui;
