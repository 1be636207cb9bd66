//! What went over the line, piece by piece, for whoever keeps a log of it.

use crate::rsp::command::Command;

/// A piece of what went over the line. Acks are left out: each packet has one,
/// and what is wrong with them shows in what follows.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Traffic {
    /// A request was sent.
    Request {
        /// The request.
        command: Command,
        /// It was sent before and was not answered.
        again: bool,
    },
    /// We asked for the last packet once more, with `-`.
    AskedAgain,
    /// The stub asked for the request once more.
    Refused,
    /// A packet came; its payload.
    Packet(Vec<u8>),
    /// A packet with a wrong checksum came; all of it.
    Damaged(Vec<u8>),
    /// Bytes that belong to no packet came.
    Text(Vec<u8>),
}
