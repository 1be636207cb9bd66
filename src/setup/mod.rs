//! Getting a guest ready to be debugged: its serial port in VMware's file, the
//! shell lines that are for the guest itself, and a look at the whole chain
//! that says what is wrong and what cures it.
//!
//! Contract: what is written here is one file of VMware's, and only when asked
//! ([`vmx_file`]). The guest's script is printed, never run. [`doctor`] looks
//! and changes nothing: a guest that runs goes on, one that is stopped stays
//! stopped.

pub mod doctor;
pub mod guest_script;
pub mod vmx;
pub mod vmx_edit;
pub mod vmx_file;
