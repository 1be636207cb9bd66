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
//! - On a line with noise an answer counts when it came twice.
//! - A stop packet that came damaged is asked for again with `-`: the stub waits
//!   for the ack of it. No other text of a running kernel is answered.

mod arrivals;
mod damaged_stop;
mod doubt;
mod noise;
mod repairs;
mod traffic;

pub use traffic::Traffic;

use damaged_stop::DamagedStop;
use noise::Trust;

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

/// Bytes that may come for one request, repetitions and text among them, before
/// what is coming in is no reason any more to wait for its end.
const MOST_UNANSWERED: u64 = 64 << 10;

/// Bytes that may come for one request. A monitor command may print the whole
/// log of the kernel, some megabytes.
const MOST_FLOOD: u64 = 16 << 20;

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
    /// What was surely a stop packet came damaged, and the stub was asked for it
    /// again and did not answer: noise made an ack of the question. The kernel
    /// most likely waits for a request.
    StopLost,
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
    /// More came than any answer is.
    #[error("{doing}: the other end sends without an end and does not answer, is this kgdb?")]
    Flooded {
        /// What was asked.
        doing: String,
    },
    /// Noise made another request of it, and the stub did that.
    #[error("{doing}: noise on the line made it another address")]
    Astray {
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
    trust: Trust,
    /// A packet with a good checksum that can not be the answer.
    garbled: Option<Vec<u8>>,
    /// The meter's `rx` when it was sent first.
    rx_before: u64,
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
    /// The meter's `rx` at the last damage.
    damaged_at: Option<u64>,
    /// Bytes of a register packet, as they were the last time.
    registers_len: Option<usize>,
    damaged_stop: DamagedStop,
    doubt: doubt::Doubt,
    events: VecDeque<Event>,
    transmit: VecDeque<Vec<u8>>,
    traffic: VecDeque<Traffic>,
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
            damaged_at: None,
            registers_len: None,
            damaged_stop: DamagedStop::default(),
            doubt: doubt::Doubt::default(),
            events: VecDeque::new(),
            transmit: VecDeque::new(),
            traffic: VecDeque::new(),
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
            trust: Trust::default(),
            garbled: None,
            rx_before: self.meter.rx,
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
        if self.is_flooded() {
            return;
        }
        // An answer that is coming in is no silence, as long as it can be one.
        let patience = self.timing.silence(self.decoder.held());
        if self.decoder.held() > 1
            && let Some(flight) = &mut self.flight
            && flight.phase == Phase::Reply
            && self.meter.rx - flight.rx_before < MOST_UNANSWERED
        {
            flight.deadline = flight.deadline.max(now + patience + Duration::from_millis(1));
        }
    }

    /// Says what time it is. Call it when [`Client::poll_timeout`] is due.
    pub fn timeout(&mut self, now: Instant) {
        self.believe(now);
        if self.silence_deadline().is_some_and(|deadline| deadline <= now) {
            self.decoder.idle();
            self.take_items(now);
        }
        self.ask_for_damaged_stop(now);
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
        let stop = self.damaged_stop.due();
        [flight, self.silence_deadline(), self.quiet_until, self.doubt.due(), stop]
            .into_iter()
            .flatten()
            .min()
    }

    /// The next bytes to put on the line.
    #[must_use]
    pub fn poll_transmit(&mut self) -> Option<Vec<u8>> {
        self.transmit.pop_front()
    }

    /// The next piece of what went over the line, for a log of it. What nobody
    /// takes is thrown away.
    #[must_use]
    pub fn poll_traffic(&mut self) -> Option<Traffic> {
        self.traffic.pop_front()
    }

    fn log(&mut self, traffic: Traffic) {
        const MOST: usize = 256;
        if self.traffic.len() >= MOST {
            self.traffic.pop_front();
        }
        self.traffic.push_back(traffic);
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

    /// The payload that was taken for a stop or an answer last, as text of the
    /// line: when it was none after all.
    pub fn last_as_text(&self) -> Option<Vec<u8>> {
        self.last.as_ref().map(|payload| super::frame::encode(payload))
    }

    /// Says that the link was opened anew: nothing of the past counts.
    pub fn reconnected(&mut self) {
        self.give_up();
        self.mode = Mode::Unknown;
        self.decoder = Decoder::default();
        self.doubt = doubt::Doubt::default();
        self.last = None;
        self.quiet_until = None;
        self.damaged_at = None;
        self.registers_len = None;
        self.damaged_stop = DamagedStop::default();
        self.transmit.clear();
    }

    /// Sends a lone `-`: a stub that waits for the ack of its packet sends the
    /// packet again, a stub that waits for a request ignores it. Only after
    /// [`Event::DamagedStop`], and only when the user agrees: a running kernel
    /// gets the character on its console.
    pub fn nudge(&mut self) {
        self.put(b"-".to_vec());
    }

    /// Whether more came for a request than any answer is; then it has failed.
    fn is_flooded(&mut self) -> bool {
        let Some(flight) = &self.flight else { return false };
        if self.meter.rx - flight.rx_before < MOST_FLOOD {
            return false;
        }
        let doing = flight.command.to_string();
        self.fail(RequestError::Flooded { doing }, Mode::Unknown);
        true
    }

    fn silence_deadline(&self) -> Option<Instant> {
        let held = self.decoder.held();
        let arrival = self.last_arrival.filter(|_| held > 0)?;
        Some(arrival + self.timing.silence(held))
    }
}
