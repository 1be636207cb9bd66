//! What did not come: silence, and how a request ends.

use std::time::{Duration, Instant};

use super::{Client, Event, MAX_DAMAGES, MAX_SILENCES, Mode, Phase, RequestError, Traffic};
use crate::rsp::{
    command::Command,
    reply::{self, Reply, ReplyError},
    timing::Timing,
};

impl Client {
    /// Nothing came within the time limit of the request.
    pub(super) fn silence(&mut self, now: Instant) {
        let unknown = self.mode == Mode::Unknown;
        let Some(flight) = &mut self.flight else { return };
        let doing = flight.command.to_string();
        flight.silences = flight.silences.saturating_add(1);
        let attempts = flight.silences;
        let idempotent = flight.command.is_idempotent();
        if let Phase::Doubtful(payload) = &flight.phase {
            if idempotent && attempts > MAX_DAMAGES {
                return self.fail_noisy(now);
            }
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

    /// The only sign that the request arrived is its answer. When that is the
    /// same as the answer before, it may as well be the one before, repeated.
    fn accept_doubtful(&mut self, payload: Vec<u8>, now: Instant) {
        let Some(flight) = &self.flight else { return };
        if self.last.as_ref() == Some(&payload) {
            let doing = flight.command.to_string();
            return self.fail(RequestError::Unconfirmed { doing }, Mode::Unknown);
        }
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

    pub(super) fn finish(&mut self, reply: Result<Reply, ReplyError>, now: Instant) {
        let Some(reply) = self.trust(reply, now) else { return };
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

    pub(super) fn fail(&mut self, error: RequestError, mode: Mode) {
        if let Some(flight) = self.flight.take() {
            self.mode = mode;
            self.events.push_back(Event::Failed { id: flight.id, error });
        }
    }

    pub(super) fn fail_noisy(&mut self, now: Instant) {
        self.unsettle(now);
        if let Some(flight) = &self.flight {
            let (doing, damages) = (flight.command.to_string(), flight.damages);
            self.fail(RequestError::TooNoisy { doing, damages }, Mode::Unknown);
        }
    }

    pub(super) fn give_up(&mut self) {
        self.just_resumed = None;
        if let Some(flight) = &self.flight {
            let doing = flight.command.to_string();
            self.fail(RequestError::Lost { doing }, self.mode);
        }
    }

    pub(super) fn transmit_request(&mut self, now: Instant) {
        let Some(flight) = &mut self.flight else { return };
        self.quiet_until = None;
        flight.phase = Phase::Ack;
        flight.deadline = now + wait_for(&self.timing, self.mode, &flight.command);
        let frame = flight.command.encode();
        let traffic = Traffic::Request {
            command: flight.command.clone(),
            again: flight.resent || flight.trust.asks_again(),
        };
        self.log(traffic);
        self.meter.packets_sent += 1;
        self.put(frame);
    }

    pub(super) fn resend_request(&mut self, now: Instant) {
        self.meter.resends += 1;
        if let Some(flight) = &mut self.flight {
            flight.resent = true;
        }
        self.transmit_request(now);
    }

    pub(super) fn unsettle(&mut self, now: Instant) {
        self.quiet_until = Some(now + self.timing.settle());
    }

    pub(super) fn set_deadline(&mut self, deadline: Instant) {
        if let Some(flight) = &mut self.flight {
            flight.deadline = deadline;
        }
    }

    pub(super) fn put(&mut self, bytes: Vec<u8>) {
        if bytes == b"-" {
            self.log(Traffic::AskedAgain);
        }
        self.meter.tx += bytes.len() as u64;
        self.transmit.push_back(bytes);
    }

    pub(super) fn console(&mut self, text: Vec<u8>) {
        match self.events.back_mut() {
            Some(Event::Console(last)) => last.extend(text),
            _ => self.events.push_back(Event::Console(text)),
        }
    }
}

pub(super) fn wait_for(timing: &Timing, mode: Mode, command: &Command) -> Duration {
    match (mode, command) {
        (Mode::Unknown, _) => timing.knock(),
        // A kdb command may compute for long before its first line.
        (_, Command::Monitor(_)) => timing.reply(512, 1024) * 5,
        _ => timing.reply(command.payload().len() + 4, command.reply_size() + 5),
    }
}
