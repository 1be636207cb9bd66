//! The stub that a record makes: packets in, packets out.

use std::{
    collections::{BTreeSet, VecDeque},
    sync::Arc,
};

use super::{
    UNRECORDED,
    held::{Held, memory_range, register_number},
    kept::{Kept, Reach},
    tape::{Tape, TapedStop},
};
use crate::{
    arch::Arch,
    base::{
        addr::Addr,
        memory::{Span, Sparse},
    },
    rsp::frame::{Decoder, Expect, Item, Packets, encode, hex, unhex},
};

/// kgdb's error for memory that it can't read (`-EINVAL`, `gdb_cmd_memread`).
const EINVAL: u8 = 22;

/// What there may be to say at once: a whole console log of a long record.
const MOST_SAID: usize = 64 << 20;

/// A stub that has what a record has.
pub struct Stub {
    arch: &'static Arch,
    tape: Arc<Tape>,
    /// The stops that can be gone to.
    shown: Vec<usize>,
    /// The stop it is at; behind the last one the guest runs.
    at: usize,
    /// The stop before that, as it was gone to: what is between them was passed.
    from: usize,
    held: Held,
    kept: Kept,
    /// What is planted now: the arguments of `Z`.
    planted: BTreeSet<Vec<u8>>,
    decoder: Decoder,
    out: VecDeque<u8>,
    last: Vec<u8>,
    /// The next resume goes to the next stop that can be gone to.
    leap: bool,
    other_way: bool,
}

impl Stub {
    /// At the first stop of a tape that can be gone to.
    pub fn new(arch: &'static Arch, tape: Arc<Tape>) -> Stub {
        let shown = tape.shown();
        let mut stub = Stub {
            arch,
            tape,
            shown,
            at: 0,
            from: 0,
            held: Held::of(arch, &TapedStop::default()),
            kept: Kept::default(),
            planted: BTreeSet::new(),
            decoder: Decoder::default(),
            out: VecDeque::new(),
            last: Vec::new(),
            leap: false,
            other_way: false,
        };
        stub.rewind();
        stub
    }

    /// Back to the first stop, as a line that was just opened.
    pub fn rewind(&mut self) {
        let first = self.shown.first().copied().unwrap_or(self.tape.stops.len());
        self.planted.clear();
        self.decoder = Decoder::default();
        self.out.clear();
        self.leap = false;
        self.say_text(0..first + 1);
        self.arrive(first, false);
        self.from = 0;
    }

    /// Takes bytes that the program sent.
    pub fn take(&mut self, bytes: &[u8]) {
        self.decoder.push(bytes);
        while let Some(item) = self.decoder.next(Expect { ack: true, packets: Packets::Any }) {
            match item {
                Item::Packet(payload) if !self.is_over() => self.request(&payload),
                Item::Nak => self.out.extend(self.last.clone()),
                Item::BadPacket(_) if !self.is_over() => self.out.push_back(b'-'),
                // A running guest's console takes it.
                Item::Packet(_) | Item::BadPacket(_) | Item::Ack | Item::Text(_) => {}
            }
        }
    }

    /// Gives bytes that the guest sends.
    pub fn say(&mut self, buffer: &mut [u8]) -> usize {
        let count = buffer.len().min(self.out.len());
        for (place, byte) in buffer.iter_mut().zip(self.out.drain(..count)) {
            *place = byte;
        }
        count
    }

    /// Whether the last stop is over.
    pub fn is_over(&self) -> bool {
        self.at >= self.tape.stops.len()
    }

    /// The stop it is at.
    pub fn stop(&self) -> Option<&TapedStop> {
        self.tape.stops.get(self.at)
    }

    /// The stops that can be gone to, in order.
    pub fn stops(&self) -> impl Iterator<Item = &TapedStop> {
        self.shown.iter().map(|&at| &self.tape.stops[at])
    }

    /// How many there are.
    pub fn count(&self) -> usize {
        self.shown.len()
    }

    /// The number of the stop it is at, from 1: of those that can be gone to, it
    /// is this or shortly after it.
    pub fn number(&self) -> usize {
        self.shown.partition_point(|&at| at <= self.at)
    }

    /// The whole tape.
    pub fn tape(&self) -> &Tape {
        &self.tape
    }

    /// Whether this stop was come to in another way than in the record, so that
    /// what was on its way then is not now.
    pub fn came_another_way(&self) -> bool {
        self.other_way
    }

    /// Whether this stop can be looked at.
    pub fn has_registers(&self) -> bool {
        self.stop().is_some_and(TapedStop::has_registers)
    }

    /// Makes the next resume go to the next stop that can be gone to.
    pub fn leap(&mut self) {
        self.leap = true;
    }

    /// What of a span can be read here; `None` when the guest itself refused
    /// to read it.
    pub fn known_in(&self, span: Span) -> Option<Vec<Span>> {
        (!self.held.is_refused(span)).then(|| self.held.known_in(span))
    }

    /// Memory as the program knew it at this stop, from earlier stops too.
    pub fn kept(&mut self, reach: Reach) -> Arc<Sparse> {
        self.kept.at(&self.tape, self.at, reach)
    }

    /// The stops on the way here at which nobody stopped now: where each was, and a
    /// register of it, as far as they were read.
    pub fn passed(&self, register: u8) -> Vec<(Addr, u64)> {
        let between = self.tape.stops.get(self.from + 1..self.at).unwrap_or_default();
        let seen = between.iter().filter(|stop| !stop.exchanges.is_empty());
        let of_stop = |stop: &TapedStop| {
            let held = Held::of(self.arch, stop);
            Some((held.raw_pc()?, held.value(register)?))
        };
        seen.filter_map(of_stop).collect()
    }

    fn arrive(&mut self, at: usize, other_way: bool) {
        (self.from, self.at) = (self.at, at);
        self.other_way = other_way;
        let Some(stop) = self.tape.stops.get(at) else { return };
        self.held = Held::of(self.arch, stop);
        // As the kernel does it: the pc is behind a breakpoint that was hit,
        // where there is one now. The program put that right then.
        let trapped = self.held.raw_pc().is_some_and(|pc| {
            let site = pc.back(self.arch.breakpoint_skid);
            self.planted.iter().any(|planted| is_software_at(planted, site))
        });
        if other_way && !trapped {
            self.held.put_right();
        }
    }

    /// What the guest printed before these stops.
    fn say_text(&mut self, stops: std::ops::Range<usize>) {
        let tape = Arc::clone(&self.tape);
        let stops = stops.filter_map(|at| tape.stops.get(at));
        for text in stops.map(|stop| &stop.before) {
            let room = MOST_SAID.saturating_sub(self.out.len());
            self.out.extend(&text[..text.len().min(room)]);
        }
    }

    fn resume(&mut self, letter: u8) {
        self.out.push_back(b'+');
        let Some(stop) = self.tape.stops.get(self.at) else { return };
        let leap = std::mem::take(&mut self.leap);
        let same = !leap && stop.resumed == Some(letter) && stop.planted.is_subset(&self.planted);
        let next = match same {
            true => self.at + 1,
            false => {
                let after = self.shown.partition_point(|&at| at <= self.at);
                self.shown.get(after).copied().unwrap_or(self.tape.stops.len())
            }
        };
        if !matches!(letter, b'c' | b's') {
            self.planted.clear();
        }
        self.say_text(self.at + 1..next.saturating_add(1).min(self.tape.stops.len()));
        self.arrive(next, !same);
        match self.tape.stops.get(next) {
            Some(stop) => {
                let thread = stop.thread.map(|id| format!("thread:{};", id.encode()));
                let packet = format!("T{:02x}{}", stop.signal, thread.unwrap_or_default());
                self.send(packet.as_bytes());
            }
            None => {
                let tape = Arc::clone(&self.tape);
                let room = MOST_SAID.saturating_sub(self.out.len());
                self.out.extend(&tape.after[..tape.after.len().min(room)]);
            }
        }
    }

    fn send(&mut self, payload: &[u8]) {
        self.last = encode(payload);
        self.out.extend(self.last.clone());
    }

    fn request(&mut self, request: &[u8]) {
        if let [letter @ (b'c' | b's' | b'C' | b'k'), ..] = request {
            return self.resume(*letter);
        }
        self.out.push_back(b'+');
        if request == b"3" {
            self.at = self.tape.stops.len();
            return;
        }
        let answer = self.reply(request);
        self.send(&answer);
    }

    fn reply(&mut self, request: &[u8]) -> Vec<u8> {
        match request {
            b"?" => {
                self.planted.clear();
                format!("S{:02x}", self.stop().map_or(5, |stop| stop.signal)).into_bytes()
            }
            b"g" => or_unrecorded(self.held.registers().map(|bytes| hex(&bytes))),
            [b'p', digits @ ..] => {
                let value = register_number(digits).and_then(|number| self.held.register(number));
                or_unrecorded(value.map(|bytes| hex(&bytes)))
            }
            [b'm', ..] => self.memory(request),
            [b'M' | b'X', ..] => self.write_memory(request),
            [b'P', rest @ ..] => match self.refusal(request) {
                Some(refusal) => refusal,
                None if self.held.write_register(rest) => b"OK".to_vec(),
                None => error(EINVAL),
            },
            [b'H', b'g', id @ ..] => match self.held.choose(id) {
                true => b"OK".to_vec(),
                false => self.refusal(request).unwrap_or_else(|| error(UNRECORDED)),
            },
            [b'H', ..] => b"OK".to_vec(),
            [b'Z', point @ ..] => {
                let refusal = self.refusal(request);
                if refusal.is_none() {
                    self.planted.insert(point.to_vec());
                }
                refusal.unwrap_or_else(|| b"OK".to_vec())
            }
            [b'z', point @ ..] => {
                let refusal = self.refusal(request);
                if refusal.is_none() {
                    self.planted.remove(point);
                }
                refusal.unwrap_or_else(|| b"OK".to_vec())
            }
            b"D" | b"R0" => {
                self.at = self.tape.stops.len();
                b"OK".to_vec()
            }
            _ => self.by_text(request),
        }
    }

    /// What the guest refused then, it refuses now.
    fn refusal(&mut self, request: &[u8]) -> Option<Vec<u8>> {
        let (_, answer) = self.held.answer(request)?;
        (answer != b"OK").then_some(answer)
    }

    fn by_text(&mut self, request: &[u8]) -> Vec<u8> {
        if let Some((outputs, answer)) = self.held.answer(request) {
            for output in outputs {
                // The longest that fits kgdb's buffer is a quarter of this.
                for piece in output.chunks(1000) {
                    self.out.extend(encode(&[b"O", hex(piece).as_bytes()].concat()));
                }
            }
            return answer;
        }
        match request {
            b"qC" => match self.held.own() {
                Some(id) => format!("QC{}", id.encode()).into_bytes(),
                None => error(UNRECORDED),
            },
            [b'q', b's', ..] => Vec::new(),
            [b'q' | b'T', ..] if !request.starts_with(b"qSupported") => error(UNRECORDED),
            _ => Vec::new(),
        }
    }

    fn memory(&self, request: &[u8]) -> Vec<u8> {
        let Some(span) = memory_range(request) else { return error(EINVAL) };
        match self.held.memory(span) {
            Some(bytes) => hex(&bytes).into_bytes(),
            None if self.held.is_refused(span) => error(EINVAL),
            None => error(UNRECORDED),
        }
    }

    fn write_memory(&mut self, request: &[u8]) -> Vec<u8> {
        if let Some(refusal) = self.refusal(request) {
            return refusal;
        }
        let Some(span) = memory_range(request) else { return error(EINVAL) };
        let colon = request.iter().position(|&byte| byte == b':').unwrap_or(request.len());
        let data = request.get(colon + 1..).unwrap_or_default();
        let bytes = match request[0] {
            b'M' => unhex(data),
            _ => unescaped(data),
        };
        match bytes.filter(|bytes| bytes.len() as u64 == span.len) {
            Some(bytes) => {
                self.held.write_memory(span.start, &bytes);
                b"OK".to_vec()
            }
            None => error(EINVAL),
        }
    }
}

/// Undoes [`escape`](crate::rsp::frame::escape).
fn unescaped(data: &[u8]) -> Option<Vec<u8>> {
    let mut bytes = Vec::with_capacity(data.len());
    let mut rest = data.iter();
    while let Some(&byte) = rest.next() {
        bytes.push(if byte == b'}' { rest.next()? ^ 0x20 } else { byte });
    }
    Some(bytes)
}

fn error(errno: u8) -> Vec<u8> {
    format!("E{errno:02}").into_bytes()
}

fn or_unrecorded(answer: Option<String>) -> Vec<u8> {
    answer.map_or_else(|| error(UNRECORDED), String::into_bytes)
}

/// Whether the arguments of a `Z` are those of a breakpoint in memory here.
fn is_software_at(point: &[u8], site: Addr) -> bool {
    point.starts_with(format!("0,{:x},", site.0).as_bytes())
}
