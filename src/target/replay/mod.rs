//! A stub made of a record of the line: it answers what was answered while the
//! record was made, and nothing else.
//!
//! The bytes are not played back: a [`tape::Tape`] is the list of the stops of
//! the guest with what was asked and answered at each, [`held::Held`] is what is
//! known of one stop by that, and [`stub::Stub`] speaks the protocol. So the
//! program can ask in another order, for other pieces of memory, and for another
//! stop; what nobody asked while the record was made is answered with the error
//! [`UNRECORDED`]. What the program kept from earlier stops is in [`kept::Kept`], and
//! only who asks for that gets it.

pub mod held;
pub mod kept;
pub mod stub;
pub mod tape;

#[cfg(test)]
mod tests;

/// The error number of the answer to what a record does not have: `ENODATA`,
/// which kgdb never sends.
pub const UNRECORDED: u8 = 61;
