//! The debugger itself: run state, breakpoints, stepping, and the only place
//! where misses become packets.
//!
//! A face (screen or batch) holds a [`request::Handle`]: it sends
//! [`request::Request`]s and receives [`request::Update`]s, among them a fresh
//! [`view::View`] whenever something changed. Faces know nothing else of the
//! layers below. The session never waits for a face, and a face never waits
//! for the session.

pub mod answer;
pub mod elements;
pub mod module_answer;
pub mod options;
pub mod request;
pub mod run;
pub mod symbol_answer;
pub mod view;
pub mod wants;

mod breakpoints;
mod code;
mod connect;
mod control;
mod disassemble;
mod entered;
mod examine;
mod exits;
mod fetch;
mod find_vmlinux;
mod identify;
mod info;
mod inspect;
mod jobs;
mod listing;
mod load;
mod memory;
mod modules;
mod panes;
mod print;
mod relics;
mod repair;
mod resolve;
mod scene;
pub mod settings;
mod snapshot;
mod stacks;
mod step;
mod subject;
mod tasks;
mod threads;
mod tree;
mod types;
mod wanted;
mod way_out;
mod wire;
mod wishes;
