//! The whole program on the real guest, from its command line to its answers.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

#[path = "../support"]
mod support {
    pub mod batch;
    pub mod faulty;
    pub mod guest;
    pub mod tools;
    pub mod typist;
}

mod agreement;
mod boot;
mod break_in;
mod conditions;
mod console;
mod crashes;
mod dangers;
mod expressions;
mod facts;
mod files;
mod found;
mod gdb;
mod gdb_port;
mod leaving;
mod loss;
mod module_agreement;
mod module_facts;
mod module_files;
mod module_hand;
mod module_loading;
mod modules;
mod noise;
mod oracle;
mod patching;
mod relayed;
mod replay;
mod replay_stops;
mod setup;
mod soak;
mod spine;
mod stacks;
mod stepping;
mod suspended;
mod tasks;
mod trouble;
mod unplugged;
mod values;
mod watch;
