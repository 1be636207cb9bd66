//! One conversation with a stub, as a state machine.
//!
//! How to drive it: hand over what came with [`Client::receive`], call
//! [`Client::timeout`] when [`Client::poll_timeout`] is due, and after either,
//! and after [`Client::send`], send everything [`Client::poll_transmit`] gives
//! and take every [`Client::poll`].
//!
//! The rules, from `get_packet` and `put_packet` in
//! `kernel/debug/gdbstub.c`:
//! - The stub, having sent a packet, waits for one byte: `+` is good, `$` makes
//!   it answer `-` and throw away the rest of that request, anything else makes
//!   it send the packet again. So `-` after a request means "not received", and
//!   the request is sent again, whatever it is.
//! - Silence says nothing. Only a request that may be done twice is repeated
//!   after silence; for others a lone `-` asks for the answer again.
//! - An answer that comes before the ack of its request may be the repetition
//!   of an earlier one. It is held until it is sure.
//! - After any repair the line must be silent for a moment before the next
//!   request, so that late acks are not taken for new ones.

mod arrivals;
mod repairs;

use std::{
    collections::VecDeque,
    time::{Duration, Instant},
};

use super::{
    command::Command,
    frame::Decoder,
    meter::Meter,
    reply::{Reply, ReplyError, StopReply, StubError},
    timing::Timing,
};

/// How often silence is answered by another attempt.
const MAX_SILENCES: u8 = 4;

/// How often one request is refused with `-`, or its answer with a bad
/// checksum, before the line is called too noisy.
const MAX_DAMAGES: u8 = 16;

/// Whether the stub listens.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mode {
    /// Nobody knows. Only harmless questions can be sent.
    Unknown,
    /// The kernel is stopped and the stub answers.
    Stopped,
    /// The kernel runs: the line is its console, nothing can be sent.
    Running,
}

/// Names one request in the events about it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct RequestId(u64);

/// What happened.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Event {
    /// The answer to a request.
    Reply {
        /// The request.
        id: RequestId,
        /// What the stub answered.
        reply: Result<Reply, ReplyError>,
        /// The request was sent more than once and may have been done twice:
        /// "already set" can then mean that it is set as wanted.
        resent: bool,
    },
    /// A request got no answer.
    Failed {
        /// The request.
        id: RequestId,
        /// Why.
        error: RequestError,
    },
    /// The kernel stopped.
    Stop(StopReply),
    /// The stub did not do the `c` or `s` that it had acknowledged; the kernel
    /// is still stopped.
    ResumeRefused(StubError),
    /// The machine goes down (see [`StopReply::Exited`]).
    Exited {
        /// 1 restart, 2 halt, 3 power off.
        code: u8,
    },
    /// Text in an `O` packet: of a monitor command, or of the console.
    Output(Vec<u8>),
    /// Bytes that belong to no packet.
    Console(Vec<u8>),
    /// Something like a stop packet came with a bad checksum. Perhaps the
    /// kernel stopped and waits: [`Client::nudge`] asks it to say so again.
    DamagedStop(Vec<u8>),
}

/// Why a request got no answer.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum RequestError {
    /// Silence, after all attempts.
    #[error(
        "{doing}: no answer in {} attempts, the link or the guest is gone, or the guest runs",
        attempts
    )]
    NoAnswer {
        /// What was asked.
        doing: String,
        /// How often it was tried.
        attempts: u8,
    },
    /// A request that must not be repeated was not acknowledged.
    #[error("{doing}: not acknowledged, so it is unknown whether the kernel runs, connect again")]
    Unconfirmed {
        /// What was asked.
        doing: String,
    },
    /// Too many damaged packets.
    #[error("{doing}: {damages} damaged packets, check the baud rate and who else uses the line")]
    TooNoisy {
        /// What was asked.
        doing: String,
        /// How many.
        damages: u8,
    },
    /// The request came back as it was sent, and no answer after it.
    #[error(
        "{doing}: the other end sends back what it gets, a shell or login is there and the kernel runs"
    )]
    Echoed {
        /// What was asked.
        doing: String,
    },
    /// The kernel went down, or the link was opened anew.
    #[error("{doing}: the connection was lost before the answer")]
    Lost {
        /// What was asked.
        doing: String,
    },
}

/// Why a request was not taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum SendError {
    /// One at a time: the stub can not read while it answers.
    #[error("a request is already on its way")]
    Busy,
    /// Bytes would go to the console of the kernel.
    #[error("the kernel runs, break in first")]
    Running,
    /// Only `?`, `qC` and `qSupported` may be sent to find out.
    #[error("it is not known yet what listens, connect first")]
    Unknown,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Phase {
    /// Not sent: the line must be silent first.
    Settling,
    /// Sent.
    Ack,
    /// Acknowledged.
    Reply,
    /// An answer came without an ack.
    Doubtful(Vec<u8>),
}

#[derive(Debug)]
struct Flight {
    id: RequestId,
    command: Command,
    phase: Phase,
    deadline: Instant,
    silences: u8,
    damages: u8,
    resent: bool,
    echoed: bool,
}

/// The client's end. See the module for how to drive it.
#[derive(Debug)]
pub struct Client {
    decoder: Decoder,
    timing: Timing,
    mode: Mode,
    flight: Option<Flight>,
    next_id: u64,
    /// The last payload taken as answer or stop, to know it again.
    last: Option<Vec<u8>>,
    /// A `c` or `s` was acknowledged and nothing came since.
    just_resumed: Option<Command>,
    /// Repairs were made: nothing is sent before this instant, and every
    /// arrival moves it.
    quiet_until: Option<Instant>,
    last_arrival: Option<Instant>,
    events: VecDeque<Event>,
    transmit: VecDeque<Vec<u8>>,
    meter: Meter,
}

impl Client {
    /// A client for a line just opened, in [`Mode::Unknown`].
    pub fn new(timing: Timing) -> Client {
        Client {
            decoder: Decoder::default(),
            timing,
            mode: Mode::Unknown,
            flight: None,
            next_id: 0,
            last: None,
            just_resumed: None,
            quiet_until: None,
            last_arrival: None,
            events: VecDeque::new(),
            transmit: VecDeque::new(),
            meter: Meter::default(),
        }
    }

    /// Whether the stub listens.
    pub fn mode(&self) -> Mode {
        self.mode
    }

    /// What the wire cost so far.
    pub fn meter(&self) -> Meter {
        self.meter
    }

    /// The speed the time limits follow.
    pub fn timing(&self) -> Timing {
        self.timing
    }

    /// The line has this speed.
    pub fn set_timing(&mut self, timing: Timing) {
        self.timing = timing;
    }

    /// Starts a request.
    ///
    /// # Errors
    /// When one is on its way, or the stub does not listen.
    pub fn send(&mut self, command: Command, now: Instant) -> Result<RequestId, SendError> {
        if self.flight.is_some() {
            return Err(SendError::Busy);
        }
        let harmless =
            matches!(command, Command::HaltReason | Command::CurrentThread | Command::Supported);
        match self.mode {
            Mode::Running => return Err(SendError::Running),
            Mode::Unknown if !harmless => return Err(SendError::Unknown),
            Mode::Unknown | Mode::Stopped => {}
        }
        let id = RequestId(self.next_id);
        self.next_id += 1;
        let quiet = self.quiet_until.filter(|&until| until > now);
        self.flight = Some(Flight {
            id,
            command,
            phase: Phase::Settling,
            deadline: quiet.unwrap_or(now),
            silences: 0,
            damages: 0,
            resent: false,
            echoed: false,
        });
        if quiet.is_none() {
            self.transmit_request(now);
        }
        Ok(id)
    }

    /// Takes bytes from the line.
    pub fn receive(&mut self, bytes: &[u8], now: Instant) {
        self.meter.rx += bytes.len() as u64;
        self.last_arrival = Some(now);
        if let Some(until) = &mut self.quiet_until {
            *until = now + self.timing.settle();
        }
        self.decoder.push(bytes);
        self.take_items(now);
        // An answer that is coming in is no silence.
        let patience = self.timing.silence(self.decoder.held());
        if self.decoder.held() > 1
            && let Some(flight) = &mut self.flight
            && flight.phase == Phase::Reply
        {
            flight.deadline = flight.deadline.max(now + patience + Duration::from_millis(1));
        }
    }

    /// Says what time it is. Call it when [`Client::poll_timeout`] is due.
    pub fn timeout(&mut self, now: Instant) {
        if self.silence_deadline().is_some_and(|deadline| deadline <= now) {
            self.decoder.idle();
            self.take_items(now);
        }
        self.quiet_until = self.quiet_until.filter(|&until| until > now);
        if self.flight.as_ref().is_some_and(|flight| flight.phase == Phase::Settling) {
            match self.quiet_until {
                None => self.transmit_request(now),
                Some(until) => self.set_deadline(until),
            }
        } else if self.flight.as_ref().is_some_and(|flight| flight.deadline <= now) {
            self.silence(now);
        }
    }

    /// When [`Client::timeout`] wants to be called.
    #[must_use]
    pub fn poll_timeout(&self) -> Option<Instant> {
        let flight = self.flight.as_ref().map(|flight| flight.deadline);
        [flight, self.silence_deadline(), self.quiet_until].into_iter().flatten().min()
    }

    /// The next bytes to put on the line.
    #[must_use]
    pub fn poll_transmit(&mut self) -> Option<Vec<u8>> {
        self.transmit.pop_front()
    }

    /// The next thing that happened.
    #[must_use]
    pub fn poll(&mut self) -> Option<Event> {
        self.events.pop_front()
    }

    /// Says that the kernel runs, when that was found out by other means than
    /// a packet. A request on its way is given up.
    pub fn assume_running(&mut self) {
        self.give_up();
        self.mode = Mode::Running;
    }

    /// Says that nobody knows any more who listens: a kdb prompt showed up, or
    /// a knock is wanted. A request on its way is given up.
    pub fn assume_unknown(&mut self) {
        self.give_up();
        self.mode = Mode::Unknown;
    }

    /// Says that the link was opened anew: nothing of the past counts.
    pub fn reconnected(&mut self) {
        self.give_up();
        self.mode = Mode::Unknown;
        self.decoder = Decoder::default();
        self.last = None;
        self.quiet_until = None;
        self.transmit.clear();
    }

    /// Sends a lone `-`: a stub that waits for the ack of its packet sends the
    /// packet again, a stub that waits for a request ignores it. Only after
    /// [`Event::DamagedStop`], and only when the user agrees: a running kernel
    /// gets the character on its console.
    pub fn nudge(&mut self) {
        self.put(b"-".to_vec());
    }

    fn silence_deadline(&self) -> Option<Instant> {
        let held = self.decoder.held();
        let arrival = self.last_arrival.filter(|_| held > 0)?;
        Some(arrival + self.timing.silence(held))
    }
}
