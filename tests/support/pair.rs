//! The client and the model of the stub on a line with a rate, a delay and
//! faults.

#![allow(dead_code, reason = "each test program uses a part of it")]

use std::{
    collections::VecDeque,
    time::{Duration, Instant},
};

use super::faulty::{Dice, Noise, spoil};
use super::stub::Stub;
use kgdb_tui::rsp::{
    client::{Client, Event, RequestError},
    command::Command,
    reply::{Reply, ReplyError},
    timing::Timing,
};

/// What happens to one byte.
#[derive(Debug, Clone, Copy)]
pub enum Fault {
    Drop,
    Flip(u8),
    Insert(u8),
    /// The line stands still for so many milliseconds.
    Stall(u16),
}

/// One direction: bytes with their time of arrival.
#[derive(Default)]
pub struct Wire {
    bytes: VecDeque<(Instant, u8)>,
    /// So many bytes were put in.
    pub sent: usize,
    /// What happens to which byte.
    pub faults: Vec<(usize, Fault)>,
    /// What happens to any byte.
    pub noise: Option<(Noise, Dice)>,
}

impl Wire {
    fn put(&mut self, byte: u8, now: Instant, per_byte: Duration, latency: Duration) {
        let mut at = (now + latency).max(self.bytes.back().map_or(now, |&(at, _)| at) + per_byte);
        let fault = self.faults.iter().find(|(index, _)| *index == self.sent).map(|(_, f)| *f);
        self.sent += 1;
        if let Some((noise, dice)) = &mut self.noise {
            let mut bytes = Vec::new();
            spoil(byte, *noise, dice, &mut bytes);
            self.bytes.extend(bytes.into_iter().map(|byte| (at, byte)));
            return;
        }
        match fault {
            None => self.bytes.push_back((at, byte)),
            Some(Fault::Drop) => {}
            Some(Fault::Flip(bits)) => {
                // Noise that makes an ack, or the start of a packet, out of
                // something else is beyond what the protocol can tell.
                let flipped = byte ^ bits;
                let safe = !matches!(flipped, b'+' | b'-' | b'$' | 3);
                self.bytes.push_back((at, if safe { flipped } else { byte ^ 0x80 }));
            }
            Some(Fault::Insert(noise)) => {
                self.bytes.push_back((at, noise));
                self.bytes.push_back((at, byte));
            }
            Some(Fault::Stall(millis)) => {
                at += Duration::from_millis(millis.into());
                self.bytes.push_back((at, byte));
            }
        }
    }
}

/// The client and the model of the stub, under a clock that the test moves.
pub struct Pair {
    pub client: Client,
    pub stub: Stub,
    pub now: Instant,
    pub to_stub: Wire,
    pub to_client: Wire,
    per_byte: Duration,
    latency: Duration,
    /// Stop the kernel so long after it was resumed.
    pub stop_after: Option<Duration>,
    pub stop_at: Option<Instant>,
    pub events: Vec<Event>,
}

impl Pair {
    /// A line of 115200 baud.
    pub fn new(stub: Stub) -> Pair {
        Pair {
            client: Client::new(Timing::for_baud(115_200)),
            stub,
            now: Instant::now(),
            to_stub: Wire::default(),
            to_client: Wire::default(),
            per_byte: Duration::from_micros(87),
            latency: Duration::from_millis(3),
            stop_after: None,
            stop_at: None,
            events: Vec::new(),
        }
    }

    /// Moves what is to be moved now.
    pub fn pump(&mut self) {
        while let Some(bytes) = self.client.poll_transmit() {
            for byte in bytes {
                self.to_stub.put(byte, self.now, self.per_byte, self.latency);
            }
        }
        while let Some(byte) = self.stub.out.pop_front() {
            self.to_client.put(byte, self.now, self.per_byte, self.latency);
        }
        self.events.extend(std::iter::from_fn(|| self.client.poll()));
        if !self.stub.is_running() {
            self.stop_at = None;
        } else if self.stop_at.is_none() {
            self.stop_at = self.stop_after.map(|after| self.now + after);
        }
    }

    /// Moves to the next thing that happens. False when nothing will.
    pub fn step(&mut self) -> bool {
        self.pump();
        let arrivals = [self.to_stub.bytes.front(), self.to_client.bytes.front()];
        let arrivals = arrivals.into_iter().flatten().map(|&(at, _)| at);
        let Some(next) = arrivals.chain(self.client.poll_timeout()).chain(self.stop_at).min()
        else {
            return false;
        };
        self.now = self.now.max(next);
        while let Some(&(_, byte)) = self.to_stub.bytes.front().filter(|(at, _)| *at <= self.now) {
            self.to_stub.bytes.pop_front();
            self.stub.byte(byte);
        }
        while let Some(&(_, byte)) = self.to_client.bytes.front().filter(|(at, _)| *at <= self.now)
        {
            self.to_client.bytes.pop_front();
            self.client.receive(&[byte], self.now);
        }
        if self.stop_at.is_some_and(|at| at <= self.now) {
            self.stop_at = None;
            if self.stub.is_running() {
                self.stub.stop();
            }
        }
        if self.client.poll_timeout().is_some_and(|at| at <= self.now) {
            self.client.timeout(self.now);
        }
        self.pump();
        true
    }

    /// The first event that fits.
    pub fn run_until(&mut self, what: impl Fn(&Event) -> bool) -> Option<Event> {
        for _ in 0..200_000 {
            if let Some(found) = self.events.iter().position(&what) {
                return Some(self.events.remove(found));
            }
            if !self.step() {
                break;
            }
        }
        let found = self.events.iter().position(&what)?;
        Some(self.events.remove(found))
    }

    /// One request and its end.
    pub fn ask(
        &mut self,
        command: Command,
    ) -> Result<(Result<Reply, ReplyError>, bool), RequestError> {
        let id = self.client.send(command, self.now).expect("taken");
        let about = |event: &Event| match event {
            Event::Reply { id: about, .. } | Event::Failed { id: about, .. } => *about == id,
            _ => false,
        };
        match self.run_until(about).expect("every request ends") {
            Event::Reply { reply, resent, .. } => Ok((reply, resent)),
            Event::Failed { error, .. } => Err(error),
            _ => unreachable!(),
        }
    }

    /// All text that came so far, of the console and of `O` packets.
    pub fn texts(&mut self) -> String {
        let text = |event| match event {
            Event::Output(text) | Event::Console(text) => text,
            _ => Vec::new(),
        };
        let bytes: Vec<u8> = self.events.drain(..).flat_map(text).collect();
        String::from_utf8_lossy(&bytes).into_owned()
    }

    /// A request that must be answered well.
    pub fn good(&mut self, command: Command) -> Reply {
        self.ask(command).expect("answered").0.expect("no error")
    }
}
