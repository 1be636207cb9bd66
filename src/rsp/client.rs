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

use std::{
    collections::VecDeque,
    time::{Duration, Instant},
};

use super::{
    command::Command,
    frame::{Decoder, Expect, Item, Packets, expand},
    meter::Meter,
    reply::{self, Reply, ReplyError, StopReply, StubError},
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

    /// Whether [`Client::send`] would take a request as far as order goes.
    pub fn is_idle(&self) -> bool {
        self.flight.is_none()
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

    fn expect(&self) -> Expect {
        let talking = self.mode != Mode::Running;
        let phase = self.flight.as_ref().map(|flight| &flight.phase);
        let ack = match phase {
            Some(Phase::Ack | Phase::Doubtful(_)) => true,
            // The ack may have been a `+` of console text.
            Some(Phase::Reply) => self.mode == Mode::Unknown,
            // Late acks of a repair.
            Some(Phase::Settling) | None => self.quiet_until.is_some(),
        };
        let packets = match self.mode {
            Mode::Running if self.just_resumed.is_some() => Packets::AnnouncementsOrError,
            Mode::Running => Packets::Announcements,
            Mode::Unknown if self.flight.is_none() => Packets::Announcements,
            Mode::Unknown | Mode::Stopped => Packets::Any,
        };
        Expect { ack: ack && talking, packets }
    }

    fn take_items(&mut self, now: Instant) {
        while let Some(item) = self.decoder.next(self.expect()) {
            match item {
                Item::Ack => self.ack(now),
                Item::Nak => self.nak(now),
                Item::Packet(payload) => {
                    self.meter.packets_received += 1;
                    self.packet(&payload, now);
                    if self.mode != Mode::Running {
                        self.just_resumed = None;
                    }
                }
                Item::BadPacket(raw) => self.bad_packet(raw, now),
                Item::Text(text) => {
                    self.just_resumed = None;
                    if self.mode != Mode::Stopped && looks_like_stop(&text) {
                        self.events.push_back(Event::DamagedStop(text));
                    } else {
                        self.console(text);
                    }
                }
            }
        }
    }

    fn ack(&mut self, now: Instant) {
        let timing = self.timing;
        let Some(flight) = &mut self.flight else { return };
        match flight.phase {
            Phase::Ack if flight.command.ends_with_ack() => {
                let command = flight.command.clone();
                self.finish(Ok(Reply::Resumed), now);
                self.mode =
                    if command == Command::LeaveToKdb { Mode::Unknown } else { Mode::Running };
                self.last = None;
                if matches!(command, Command::Continue | Command::Step) {
                    self.just_resumed = Some(command);
                }
            }
            Phase::Ack => {
                flight.phase = Phase::Reply;
                flight.deadline = now + wait_for(&timing, self.mode, &flight.command);
            }
            Phase::Reply => self.console(b"+".to_vec()),
            Phase::Settling | Phase::Doubtful(_) => {}
        }
    }

    fn nak(&mut self, now: Instant) {
        let Some(flight) = &mut self.flight else { return };
        if flight.phase == Phase::Settling {
            return;
        }
        flight.damages += 1;
        if flight.damages > MAX_DAMAGES {
            return self.fail_noisy(now);
        }
        self.resend_request(now);
    }

    fn packet(&mut self, wire: &[u8], now: Instant) {
        let Some(payload) = expand(wire) else {
            self.meter.strays += 1;
            return;
        };
        if let Some(flight) = &mut self.flight
            && flight.phase != Phase::Settling
            && payload == flight.command.payload()
        {
            // A shell does that, and so does kdb when something stood behind
            // its prompt: the answer may still come (`kdb_read` in
            // `kernel/debug/kdb/kdb_io.c`).
            flight.echoed = true;
            self.console(super::frame::encode(wire));
            return;
        }
        if let Some(text) = reply::output(&payload) {
            self.put(b"+".to_vec());
            if let Some(flight) = &mut self.flight {
                flight.deadline = now + wait_for(&self.timing, self.mode, &flight.command);
            }
            self.events.push_back(Event::Output(text));
            return;
        }
        match self.flight.as_ref().map(|flight| (&flight.phase, &flight.command)) {
            Some((Phase::Reply, command)) => match reply::parse(command, &payload) {
                Err(ReplyError::Malformed { .. }) => self.unasked(payload, now),
                reply => {
                    self.put(b"+".to_vec());
                    self.last = Some(payload);
                    self.finish(reply, now);
                }
            },
            Some((Phase::Ack | Phase::Doubtful(_), command)) if may_answer(command, &payload) => {
                self.put(b"+".to_vec());
                let deadline = now + self.timing.settle();
                if let Some(flight) = &mut self.flight {
                    flight.phase = Phase::Doubtful(payload);
                    flight.deadline = deadline;
                }
            }
            _ => self.unasked(payload, now),
        }
    }

    /// A packet that is no answer: the kernel announces something, or the stub
    /// repeats itself.
    fn unasked(&mut self, payload: Vec<u8>, now: Instant) {
        if self.last.as_ref() == Some(&payload) {
            self.meter.strays += 1;
            self.put(b"+".to_vec());
            self.unsettle(now);
            return;
        }
        if let (Some(command), Some(_)) = (self.just_resumed.take(), reply::errno(&payload)) {
            self.put(b"+".to_vec());
            self.mode = Mode::Stopped;
            if let Err(ReplyError::Refused(error)) = reply::parse(&command, &payload) {
                self.events.push_back(Event::ResumeRefused(error));
            }
            self.last = Some(payload);
            return;
        }
        match reply::stop(&payload) {
            Some(StopReply::Exited { code }) => {
                // `gdbstub_exit` does not wait for an ack; a `+` would reach
                // the console of a machine that is going down.
                self.give_up();
                self.mode = Mode::Running;
                self.events.push_back(Event::Exited { code });
            }
            Some(stop) => {
                self.put(b"+".to_vec());
                self.mode = Mode::Stopped;
                self.last = Some(payload);
                self.events.push_back(Event::Stop(stop));
            }
            None => {
                self.meter.strays += 1;
                if self.mode == Mode::Stopped {
                    self.put(b"+".to_vec());
                    self.unsettle(now);
                } else {
                    self.console(super::frame::encode(&payload));
                }
            }
        }
    }

    fn bad_packet(&mut self, raw: Vec<u8>, now: Instant) {
        self.meter.bad_checksums += 1;
        if self.mode != Mode::Stopped {
            let stop = looks_like_stop(&raw);
            self.just_resumed = None;
            if stop {
                self.events.push_back(Event::DamagedStop(raw));
            } else {
                self.console(raw);
            }
            return;
        }
        self.unsettle(now);
        let Some(flight) = &mut self.flight else { return };
        if flight.phase != Phase::Reply {
            return;
        }
        flight.damages += 1;
        if flight.damages > MAX_DAMAGES {
            return self.fail_noisy(now);
        }
        flight.deadline = now + wait_for(&self.timing, self.mode, &flight.command);
        self.put(b"-".to_vec());
    }

    /// Nothing came within the time limit of the request.
    fn silence(&mut self, now: Instant) {
        let unknown = self.mode == Mode::Unknown;
        let Some(flight) = &mut self.flight else { return };
        let doing = flight.command.to_string();
        flight.silences += 1;
        let attempts = flight.silences;
        let idempotent = flight.command.is_idempotent();
        if let Phase::Doubtful(payload) = &flight.phase {
            if idempotent {
                return self.resend_request(now);
            }
            let payload = payload.clone();
            return self.accept_doubtful(payload, now);
        }
        if unknown && flight.echoed {
            return self.fail(RequestError::Echoed { doing }, Mode::Unknown);
        }
        if unknown {
            return self.fail(RequestError::NoAnswer { doing, attempts }, Mode::Unknown);
        }
        if flight.command.ends_with_ack() {
            return self.fail(RequestError::Unconfirmed { doing }, Mode::Unknown);
        }
        if attempts >= MAX_SILENCES {
            self.unsettle(now);
            return self.fail(RequestError::NoAnswer { doing, attempts }, Mode::Unknown);
        }
        let asked_again = flight.phase == Phase::Ack || attempts % 2 == 0;
        if idempotent && asked_again {
            return self.resend_request(now);
        }
        flight.deadline = now + wait_for(&self.timing, self.mode, &flight.command);
        self.unsettle(now);
        self.put(b"-".to_vec());
    }

    /// The only sign that the request arrived is its answer.
    fn accept_doubtful(&mut self, payload: Vec<u8>, now: Instant) {
        let Some(flight) = &self.flight else { return };
        self.last = Some(payload.clone());
        if flight.command.ends_with_ack() {
            self.finish(Ok(Reply::Resumed), now);
            if let Some(stop) = reply::stop(&payload) {
                self.mode = Mode::Stopped;
                self.events.push_back(Event::Stop(stop));
            }
        } else {
            let reply = reply::parse(&flight.command, &payload);
            self.finish(reply, now);
        }
    }

    fn finish(&mut self, reply: Result<Reply, ReplyError>, now: Instant) {
        let Some(flight) = self.flight.take() else { return };
        self.meter.round_trips += 1;
        // After the first answer too: an earlier question, of ours or of another
        // debugger, may have been lying in the UART and is answered as well.
        let first = self.mode == Mode::Unknown;
        if first || flight.resent || flight.damages > 0 || flight.silences > 0 {
            self.unsettle(now);
        }
        self.mode = match (&flight.command, &reply) {
            (Command::Detach | Command::Restart, Ok(_)) => Mode::Running,
            _ => Mode::Stopped,
        };
        self.events.push_back(Event::Reply { id: flight.id, reply, resent: flight.resent });
    }

    fn fail(&mut self, error: RequestError, mode: Mode) {
        if let Some(flight) = self.flight.take() {
            self.mode = mode;
            self.events.push_back(Event::Failed { id: flight.id, error });
        }
    }

    fn fail_noisy(&mut self, now: Instant) {
        self.unsettle(now);
        if let Some(flight) = &self.flight {
            let (doing, damages) = (flight.command.to_string(), flight.damages);
            self.fail(RequestError::TooNoisy { doing, damages }, Mode::Unknown);
        }
    }

    fn give_up(&mut self) {
        self.just_resumed = None;
        if let Some(flight) = &self.flight {
            let doing = flight.command.to_string();
            self.fail(RequestError::Lost { doing }, self.mode);
        }
    }

    fn transmit_request(&mut self, now: Instant) {
        let Some(flight) = &mut self.flight else { return };
        self.quiet_until = None;
        flight.phase = Phase::Ack;
        flight.deadline = now + wait_for(&self.timing, self.mode, &flight.command);
        let frame = flight.command.encode();
        self.meter.packets_sent += 1;
        self.put(frame);
    }

    fn resend_request(&mut self, now: Instant) {
        self.meter.resends += 1;
        if let Some(flight) = &mut self.flight {
            flight.resent = true;
        }
        self.transmit_request(now);
    }

    fn unsettle(&mut self, now: Instant) {
        self.quiet_until = Some(now + self.timing.settle());
    }

    fn set_deadline(&mut self, deadline: Instant) {
        if let Some(flight) = &mut self.flight {
            flight.deadline = deadline;
        }
    }

    fn put(&mut self, bytes: Vec<u8>) {
        self.meter.tx += bytes.len() as u64;
        self.transmit.push_back(bytes);
    }

    fn console(&mut self, text: Vec<u8>) {
        match self.events.back_mut() {
            Some(Event::Console(last)) => last.extend(text),
            _ => self.events.push_back(Event::Console(text)),
        }
    }
}

fn wait_for(timing: &Timing, mode: Mode, command: &Command) -> Duration {
    match (mode, command) {
        (Mode::Unknown, _) => timing.knock(),
        // A kdb command may compute for long before its first line.
        (_, Command::Monitor(_)) => timing.reply(512, 1024) * 5,
        _ => timing.reply(command.payload().len() + 4, command.reply_size() + 5),
    }
}

/// Whether a payload could be what the request, not yet acknowledged, leads
/// to.
fn may_answer(command: &Command, payload: &[u8]) -> bool {
    match command {
        Command::Continue | Command::Step => {
            matches!(reply::stop(payload), Some(StopReply::Thread { .. }))
        }
        // A `T` packet is a stop that was waiting, not the answer to `?`.
        Command::HaltReason if payload.starts_with(b"T") => false,
        command if command.ends_with_ack() => false,
        command => !matches!(reply::parse(command, payload), Err(ReplyError::Malformed { .. })),
    }
}

/// Whether bytes were meant to be `$T05thread:…`, as far as one can tell.
fn looks_like_stop(raw: &[u8]) -> bool {
    let Some(body) = raw.strip_prefix(b"$T") else { return false };
    let known = b"XXthread:";
    body.len() >= 6
        && body.iter().zip(known).skip(2).filter(|(byte, want)| byte != want).count() <= 1
}
