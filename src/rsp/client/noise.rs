//! What can be believed on a line with noise.
//!
//! The checksum of a packet is a sum of 8 bits. It sees every single fault, but
//! not every two: one bit turned on in one byte and the same bit turned off in
//! another leave it as it was, and a zero byte that comes from nowhere adds
//! nothing. At one fault in 1,000 bytes that is one long answer in a hundred.
//! The request may be hit as well as the answer, and the stub then does
//! something else than it was asked.
//!
//! So, from the first damage that is seen until the line was clean for
//! [`CLEAN_AFTER`] bytes, an answer counts when it came twice: the request is
//! sent once more, and both answers must be the same. What was written is read
//! back. `Z` must then answer that there is one already, `z` that there is none:
//! when the second one is done as well, one of the two went to another address.
//!
//! What this does not do: requests that can not be repeated (`c`, `s`, `D`,
//! monitor commands) stay as sure as one checksum makes them.

use std::time::Instant;

use super::{Client, Phase, RequestError};
use crate::rsp::{
    command::Command,
    reply::{Reply, ReplyError},
};

/// So many bytes without damage make a line good again. At one fault in 1,000
/// bytes that is a chance of e^-65, at one in 10,000 of one in 700.
const CLEAN_AFTER: u64 = 64 << 10;

/// How often answers may differ from the one before.
const MAX_AGAIN: u8 = 8;

/// Linux's EEXIST: something is planted there already.
const EEXIST: u8 = 17;

/// Linux's ENOENT: nothing is planted there.
const ENOENT: u8 = 2;

/// What is known of the answer to a request, until it is believed.
#[derive(Debug, Default)]
pub(super) struct Trust {
    /// The answer that came before.
    before: Option<Result<Reply, ReplyError>>,
    /// What was written, while it is read back.
    written: Option<Command>,
    /// A `Z` or `z` was answered with `OK`.
    done: bool,
    /// How often it was asked again.
    again: u8,
}

impl Trust {
    /// Whether the request is on the line for a second time, for its answer to
    /// be sure.
    pub(super) fn asks_again(&self) -> bool {
        self.again > 0
    }
}

/// What to do with an answer.
enum Belief {
    /// It is the answer.
    Sure(Result<Reply, ReplyError>),
    /// Ask this.
    Ask(Command),
    /// A breakpoint is planted, or was taken out, at another address.
    Astray,
}

impl Client {
    /// Something came that was not sent, on either side.
    pub(super) fn note_damage(&mut self) {
        self.damaged_at = Some(self.meter.rx);
    }

    /// Whether the line has noise: damage was seen, and not for long has there
    /// been none. Short packets get through then, long ones often do not.
    pub fn is_noisy(&self) -> bool {
        self.damaged_at.is_some_and(|at| self.meter.rx - at < CLEAN_AFTER)
    }

    /// The answer, when it can be believed; else asks again.
    pub(super) fn trust(
        &mut self,
        reply: Result<Reply, ReplyError>,
        now: Instant,
    ) -> Option<Result<Reply, ReplyError>> {
        let noisy = self.is_noisy();
        let Some(flight) = &mut self.flight else { return Some(reply) };
        // What was once begun is brought to an end.
        if !noisy && !flight.trust.asks_again() {
            return Some(reply);
        }
        match flight.trust.weigh(&flight.command, reply) {
            Belief::Sure(reply) => {
                if let Some(written) = flight.trust.written.take() {
                    flight.command = written;
                }
                Some(reply)
            }
            Belief::Ask(command) if flight.trust.again < MAX_AGAIN => {
                flight.trust.again += 1;
                flight.command = command;
                self.ask_again(now);
                None
            }
            Belief::Ask(_) => {
                self.fail_noisy(now);
                None
            }
            Belief::Astray => {
                let doing = flight.command.to_string();
                let mode = self.mode;
                self.unsettle(now);
                self.fail(RequestError::Astray { doing }, mode);
                None
            }
        }
    }

    /// Sends the request, or what makes it sure, when the line is quiet.
    fn ask_again(&mut self, now: Instant) {
        let Some(flight) = &mut self.flight else { return };
        let repaired = flight.damages > 0 || flight.silences > 0;
        (flight.damages, flight.silences) = (0, 0);
        flight.garbled = None;
        flight.phase = Phase::Settling;
        if repaired {
            self.unsettle(now);
        }
        match self.quiet_until.filter(|&until| until > now) {
            Some(until) => self.set_deadline(until),
            None => self.transmit_request(now),
        }
    }
}

impl Trust {
    fn weigh(&mut self, command: &Command, reply: Result<Reply, ReplyError>) -> Belief {
        let before = self.before.take();
        if let Some(written) = self.written.take() {
            return match is_what_was_written(&written, &reply) {
                true => {
                    self.written = Some(written);
                    Belief::Sure(Ok(Reply::Done))
                }
                false => Belief::Ask(written),
            };
        }
        // `?` wipes the stub's table, whatever it answers.
        if !command.is_idempotent() || *command == Command::HaltReason {
            return Belief::Sure(reply);
        }
        if let Command::Insert(_) | Command::Remove(_) = command {
            let there = if matches!(command, Command::Insert(_)) { EEXIST } else { ENOENT };
            match &reply {
                Ok(_) if self.done => return Belief::Astray,
                Err(ReplyError::Refused(error)) if self.done && error.errno == there => {
                    return Belief::Sure(Ok(Reply::Done));
                }
                reply => self.done |= reply.is_ok(),
            }
        }
        if reply == Ok(Reply::Done)
            && let Some(read) = read_back(command)
        {
            self.written = Some(command.clone());
            return Belief::Ask(read);
        }
        if before.as_ref() == Some(&reply) {
            return Belief::Sure(reply);
        }
        self.before = Some(reply);
        Belief::Ask(command.clone())
    }
}

/// What reads back what a request writes.
fn read_back(command: &Command) -> Option<Command> {
    match command {
        Command::WriteMemory(bytes) | Command::WriteBinary(bytes) => bytes.read_back(),
        Command::WriteRegister(value) => Some(Command::ReadRegister { number: value.number() }),
        _ => None,
    }
}

fn is_what_was_written(written: &Command, read: &Result<Reply, ReplyError>) -> bool {
    match (written, read) {
        (Command::WriteMemory(bytes) | Command::WriteBinary(bytes), Ok(Reply::Memory(read))) => {
            bytes.data() == read
        }
        (Command::WriteRegister(value), Ok(Reply::Register(read))) => value.bytes() == read,
        // What can be written may be such that it can not be read.
        (_, Err(ReplyError::Refused(_))) => true,
        _ => false,
    }
}
