//! The whole program on the real guest, from its command line to its answers.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

#[path = "../support"]
mod support {
    pub mod batch;
    pub mod guest;
    pub mod tools;
}

mod agreement;
mod boot;
mod dangers;
mod expressions;
mod facts;
mod files;
mod found;
mod gdb;
mod module_agreement;
mod module_facts;
mod module_files;
mod module_hand;
mod module_loading;
mod modules;
mod oracle;
mod spine;
mod stacks;
mod tasks;
mod trouble;
mod values;
