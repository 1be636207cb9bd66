//! The debugger itself: run state, breakpoints, stepping, and the only place
//! where misses become packets.
//!
//! A face (screen or batch) holds a [`request::Handle`]: it sends
//! [`request::Request`]s and receives [`request::Update`]s, among them a fresh
//! [`view::View`] whenever something changed. Faces know nothing else of the
//! layers below. The session never waits for a face, and a face never waits
//! for the session.

pub mod answer;
pub mod completes;
pub mod conduct;
pub mod console;
pub mod crash_view;
pub mod dmesg;
pub mod elements;
pub mod kernel_facts;
pub mod log_place;
pub mod module_answer;
pub mod options;
pub mod packets;
pub mod replay_view;
pub mod request;
pub mod run;
pub mod saving;
pub mod symbol_answer;
pub mod view;
pub mod wants;
pub mod watching;

mod adjust;
mod asked;
mod break_command;
mod break_in;
mod breakpoints;
mod catches;
mod code;
mod condition;
mod connect;
mod control;
mod crash;
mod crash_held;
mod crash_ways;
mod delicate;
mod disassemble;
mod emulate;
mod entered;
mod examine;
mod exits;
mod fetch;
mod find_vmlinux;
mod hardware;
mod hardware_hit;
mod hits;
mod identify;
mod info;
mod inspect;
mod jobs;
mod journal;
mod jump;
pub mod kept;
mod leave;
mod legs;
mod listing;
mod load;
mod matches;
mod memory;
mod modules;
mod others;
mod panes;
mod plant;
mod poke;
mod print;
mod publish;
mod raw;
mod registers;
mod relics;
mod repair;
mod replay;
mod replay_kept;
mod resolve;
mod restored;
mod returned;
mod scene;
mod script_of;
pub mod settings;
mod silence;
mod sites;
mod slots;
mod snapshot;
mod stacks;
mod step;
mod stop;
mod subject;
mod tasks;
mod threads;
mod told;
mod tree;
mod typed;
mod types;
mod wanted;
mod watched;
mod watchpoints;
mod way_out;
mod wire;
mod wish;
mod wishes;
