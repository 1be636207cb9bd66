//! What came: each item of the line, by what is expected.

use std::time::Instant;

use super::{Client, Event, MAX_DAMAGES, Mode, Phase, Traffic, repairs::wait_for};
use crate::rsp::{
    command::Command,
    frame::{Expect, Item, Packets, encode, expand},
    reply::{self, Reply, ReplyError, StopReply},
};

/// How often a question is repeated for a `-` of somebody who may be no stub.
const MAX_UNKNOWN_NAKS: u8 = 1;

impl Client {
    pub(super) fn expect(&self) -> Expect {
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

    pub(super) fn take_items(&mut self, now: Instant) {
        while let Some(item) = self.decoder.next(self.expect()) {
            let Some(item) = self.doubted(item, now) else { continue };
            match item {
                Item::Ack => self.ack(now),
                Item::Nak => {
                    self.log(Traffic::Refused);
                    self.nak(now);
                }
                Item::Packet(payload) => self.take_packet(payload, now),
                Item::BadPacket(raw) => {
                    self.log(Traffic::Damaged(raw.clone()));
                    self.bad_packet(raw, now);
                }
                Item::Text(text) => {
                    self.log(Traffic::Text(text.clone()));
                    self.just_resumed = None;
                    self.text(text, now);
                }
            }
        }
    }

    pub(super) fn take_packet(&mut self, payload: Vec<u8>, now: Instant) {
        self.meter.packets_received += 1;
        self.log(Traffic::Packet(payload.clone()));
        self.packet(&payload, now);
        if self.mode != Mode::Running {
            self.just_resumed = None;
        }
    }

    fn ack(&mut self, now: Instant) {
        let timing = self.timing;
        let Some(flight) = &mut self.flight else { return };
        let resumes = flight.command.ends_with_ack();
        match &flight.phase {
            Phase::Ack if resumes => self.resumed(now),
            // The stop before came once more, and then the ack.
            Phase::Doubtful(payload) if resumes && self.last.as_ref() == Some(payload) => {
                self.resumed(now);
            }
            Phase::Ack => {
                flight.phase = Phase::Reply;
                flight.deadline = now + wait_for(&timing, self.mode, &flight.command);
            }
            Phase::Reply => self.console(b"+".to_vec()),
            Phase::Settling | Phase::Doubtful(_) => {}
        }
    }

    /// The stub took a request that ends with its ack.
    fn resumed(&mut self, now: Instant) {
        let Some(flight) = &self.flight else { return };
        let command = flight.command.clone();
        self.finish(Ok(Reply::Resumed), now);
        self.mode = if command == Command::LeaveToKdb { Mode::Unknown } else { Mode::Running };
        self.last = None;
        self.doubt.resumed(now);
        if matches!(command, Command::Continue | Command::Step) {
            self.just_resumed = Some(command);
        }
    }

    fn nak(&mut self, now: Instant) {
        let Some(flight) = &mut self.flight else { return };
        if flight.phase == Phase::Settling {
            return;
        }
        flight.damages = flight.damages.saturating_add(1);
        if self.mode != Mode::Stopped && flight.damages > MAX_UNKNOWN_NAKS {
            // A running kernel prints these too, and each question would land on
            // its console.
            return self.console(b"-".to_vec());
        }
        if flight.damages > MAX_DAMAGES {
            return self.fail_noisy(now);
        }
        if self.mode == Mode::Stopped {
            self.note_damage();
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
            self.console(encode(wire));
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
                Err(ReplyError::Malformed { .. }) if self.is_no_answer(&payload) => {
                    self.unasked(payload, now);
                }
                Err(ReplyError::Malformed { .. }) if self.is_garbled(&payload, now) => {}
                Ok(Reply::Registers(ref raw))
                    if self.registers_len.is_some_and(|len| len != raw.len())
                        && self.is_garbled(&payload, now) => {}
                reply => {
                    if let Ok(Reply::Registers(raw)) = &reply {
                        self.registers_len = Some(raw.len());
                    }
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

    /// Whether a packet that does not fit the request is something else: an
    /// announcement, or what was answered before, once more.
    fn is_no_answer(&self, payload: &[u8]) -> bool {
        self.mode != Mode::Stopped
            || reply::stop(payload).is_some()
            || self.last.as_deref() == Some(payload)
    }

    /// Whether a packet with a good checksum is to be asked for again because it
    /// can not be the answer: noise can do that. When the stub means it, it says
    /// the same again.
    fn is_garbled(&mut self, payload: &[u8], now: Instant) -> bool {
        let Some(flight) = &mut self.flight else { return false };
        if flight.garbled.as_deref() == Some(payload) {
            return false;
        }
        flight.garbled = Some(payload.to_vec());
        self.note_damage();
        self.ask_for_answer_again(now);
        true
    }

    /// A packet that is no answer: the kernel announces something, or the stub
    /// repeats itself.
    fn unasked(&mut self, payload: Vec<u8>, now: Instant) {
        // A stop that looks like the last one is the last one only as long as
        // nothing was resumed.
        let stop = reply::stop(&payload);
        let repeated = self.mode == Mode::Stopped || stop.is_none();
        if repeated && self.last.as_ref() == Some(&payload) {
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
        match stop {
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
                    self.console(encode(&payload));
                }
            }
        }
    }

    fn bad_packet(&mut self, raw: Vec<u8>, now: Instant) {
        self.meter.bad_checksums += 1;
        if self.mode != Mode::Stopped {
            let stop = looks_like_stop(&raw);
            self.just_resumed = None;
            if stop || self.mode == Mode::Running {
                self.text(raw, now);
            } else {
                self.console(raw);
            }
            return;
        }
        self.unsettle(now);
        if self.flight.as_ref().is_some_and(|flight| flight.phase == Phase::Reply) {
            self.note_damage();
            self.ask_for_answer_again(now);
        }
    }

    /// The stub waits for the ack of its answer, and sends it again.
    fn ask_for_answer_again(&mut self, now: Instant) {
        let Some(flight) = &mut self.flight else { return };
        flight.damages += 1;
        if flight.damages > MAX_DAMAGES {
            return self.fail_noisy(now);
        }
        flight.deadline = now + wait_for(&self.timing, self.mode, &flight.command);
        self.put(b"-".to_vec());
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

/// Whether bytes may have been meant to be `$T05thread:…`, as far as one can tell.
pub(super) fn looks_like_stop(raw: &[u8]) -> bool {
    let Some(body) = raw.strip_prefix(b"$T") else { return false };
    let known = b"XXthread:";
    body.len() >= 6
        && body.iter().zip(known).skip(2).filter(|(byte, want)| byte != want).count() <= 1
}
