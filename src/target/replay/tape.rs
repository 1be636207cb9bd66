//! From the bytes of a record to the stops of the guest and what was asked at
//! each.

use std::{collections::BTreeSet, sync::Arc, time::Duration};

use crate::rsp::{
    frame::{Decoder, Expect, Item, Packets, checksum, hex_digit, unhex},
    reply::{self, StopReply},
    thread::ThreadId,
};

/// A packet that is not finished after so long is text.
const SILENCE: Duration = Duration::from_millis(500);

/// How much of a record is kept, in bytes of requests and answers.
const MOST_BYTES: usize = 256 << 20;

/// How many stops.
const MOST_STOPS: usize = 500_000;

/// How many notes.
const MOST_NOTES: usize = 100_000;

/// A request, and what came for it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Exchange {
    /// The payload of the request.
    pub request: Vec<u8>,
    /// What was printed for it (`O` packets).
    pub outputs: Vec<Vec<u8>>,
    /// The payload of the answer.
    pub reply: Vec<u8>,
}

/// One stop of the guest, long or short.
#[derive(Debug, Clone, Default)]
pub struct TapedStop {
    /// Since the record began.
    pub at: Duration,
    /// The signal's number.
    pub signal: u8,
    /// Who stopped; `None` when the stop was found by asking.
    pub thread: Option<ThreadId>,
    /// Why the guest stayed stopped, as the program said it; `None` where it
    /// let the guest go on by itself, or where nobody wrote it down.
    pub shown: Option<String>,
    /// How many inlined functions that begin at its pc it was shown outside of.
    pub outside: usize,
    /// What the user asked for at it.
    pub asked: Vec<String>,
    /// What went over the line.
    pub exchanges: Vec<Exchange>,
    /// What the guest had printed since the stop before.
    pub before: Vec<u8>,
    /// How it was let go on: the letter of the request.
    pub resumed: Option<u8>,
    /// What was planted then: the arguments of `Z`.
    pub planted: Arc<BTreeSet<Vec<u8>>>,
}

impl TapedStop {
    /// Whether there is enough of it to be looked at.
    pub fn has_registers(&self) -> bool {
        self.exchanges.iter().any(|exchange| exchange.request == b"g")
    }
}

/// A record as stops.
#[derive(Debug, Default)]
pub struct Tape {
    /// In the order of time.
    pub stops: Vec<TapedStop>,
    /// What the guest printed after the last one.
    pub after: Vec<u8>,
    /// Notes about the whole: the program, the kernel, links.
    pub notes: Vec<String>,
    /// What had no room.
    pub full: Option<&'static str>,
}

impl Tape {
    /// The stops that can be gone to, as places in `stops`: those that the
    /// program showed; where it wrote no notes, those that have registers.
    pub fn shown(&self) -> Vec<usize> {
        let noted = self.stops.iter().any(|stop| stop.shown.is_some());
        let is_shown = |stop: &TapedStop| match noted {
            true => stop.shown.is_some() && stop.has_registers(),
            false => stop.has_registers(),
        };
        (0..self.stops.len()).filter(|&at| is_shown(&self.stops[at])).collect()
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Mode {
    Unknown,
    Stopped,
    Running,
}

#[derive(Debug)]
struct Flight {
    exchange: Exchange,
    acked: bool,
}

/// Makes a tape of what happened on the line, in order.
#[derive(Debug)]
pub struct Taping {
    tape: Tape,
    decoder: Decoder,
    mode: Mode,
    flight: Option<Flight>,
    just_resumed: bool,
    planted: Arc<BTreeSet<Vec<u8>>>,
    text: Vec<u8>,
    last_arrival: Duration,
    room: usize,
}

impl Default for Taping {
    fn default() -> Taping {
        Taping {
            tape: Tape::default(),
            decoder: Decoder::default(),
            mode: Mode::Unknown,
            flight: None,
            just_resumed: false,
            planted: Arc::default(),
            text: Vec::new(),
            last_arrival: Duration::ZERO,
            room: MOST_BYTES,
        }
    }
}

impl Taping {
    /// Bytes that were sent, as they were given to the line at once.
    pub fn sent(&mut self, at: Duration, bytes: &[u8]) {
        self.arrive(at, &[]);
        let Some(request) = packet(bytes) else { return };
        if let Some(flight) = &mut self.flight
            && flight.exchange.request == request
        {
            // Once more: the guest has not got it.
            flight.acked = false;
            return;
        }
        let exchange =
            Exchange { request: request.to_vec(), outputs: Vec::new(), reply: Vec::new() };
        self.flight = Some(Flight { exchange, acked: false });
    }

    /// Bytes that came.
    pub fn received(&mut self, at: Duration, bytes: &[u8]) {
        self.arrive(at, bytes);
    }

    /// What the program wrote down.
    pub fn noted(&mut self, text: &str) {
        let (word, rest) = text.split_once(' ').unwrap_or((text, ""));
        let stop = self.tape.stops.last_mut();
        match (word, stop) {
            ("asked", Some(stop)) if stop.asked.len() < 1000 => stop.asked.push(rest.to_owned()),
            ("asked", _) => {}
            ("stop", Some(stop)) => stop.shown = Some(rest.to_owned()),
            ("outside", Some(stop)) => stop.outside = rest.parse().unwrap_or(0),
            _ => {
                if word == "link" {
                    // Whatever was on its way is lost.
                    (self.mode, self.flight) = (Mode::Unknown, None);
                    self.decoder = Decoder::default();
                }
                if self.tape.notes.len() < MOST_NOTES {
                    self.tape.notes.push(text.to_owned());
                }
            }
        }
    }

    /// The tape.
    pub fn finish(mut self) -> Tape {
        self.decoder.idle();
        self.take_items(self.last_arrival);
        self.tape.after = std::mem::take(&mut self.text);
        self.tape
    }

    fn arrive(&mut self, at: Duration, bytes: &[u8]) {
        if at.saturating_sub(self.last_arrival) > SILENCE {
            self.decoder.idle();
            self.take_items(at);
        }
        if !bytes.is_empty() {
            self.last_arrival = at;
            self.decoder.push(bytes);
            self.take_items(at);
        }
    }

    /// As the program's own end of the protocol expects it.
    fn expect(&self) -> Expect {
        let unacked = self.flight.as_ref().is_some_and(|flight| !flight.acked);
        let may_be_late = self.flight.is_some() && self.mode == Mode::Unknown;
        let packets = match self.mode {
            Mode::Running if self.just_resumed => Packets::AnnouncementsOrError,
            Mode::Running => Packets::Announcements,
            Mode::Unknown if self.flight.is_none() => Packets::Announcements,
            Mode::Unknown | Mode::Stopped => Packets::Any,
        };
        Expect { ack: (unacked || may_be_late) && self.mode != Mode::Running, packets }
    }

    fn take_items(&mut self, at: Duration) {
        while let Some(item) = self.decoder.next(self.expect()) {
            match item {
                Item::Ack => self.ack(),
                Item::Packet(payload) => self.packet(at, payload),
                Item::Text(text) if self.has_room(text.len()) => self.text.extend(text),
                // What is damaged was asked for again.
                Item::Nak | Item::BadPacket(_) | Item::Text(_) => {}
            }
        }
    }

    fn ack(&mut self) {
        let Some(flight) = &mut self.flight else { return };
        flight.acked = true;
        let letter = flight.exchange.request.first().copied().unwrap_or_default();
        if !matches!(letter, b'c' | b's' | b'C' | b'k' | b'3') {
            return;
        }
        self.flight = None;
        if let Some(stop) = self.tape.stops.last_mut() {
            stop.resumed = Some(letter);
            stop.planted = Arc::clone(&self.planted);
        }
        self.just_resumed = matches!(letter, b'c' | b's');
        if !self.just_resumed {
            self.planted = Arc::default();
        }
        self.mode = if letter == b'3' { Mode::Unknown } else { Mode::Running };
    }

    fn packet(&mut self, at: Duration, payload: Vec<u8>) {
        if let Some(text) = reply::output(&payload) {
            match &mut self.flight {
                Some(flight) if self.room > text.len() => {
                    self.room -= text.len();
                    flight.exchange.outputs.push(text);
                }
                Some(_) => {}
                None => self.text.extend(text),
            }
            return;
        }
        match self.flight.take() {
            // A shell that sends back what it gets.
            Some(flight) if flight.exchange.request == payload => self.flight = Some(flight),
            Some(flight) if answers(&flight.exchange.request, &payload) => {
                self.answered(at, Exchange { reply: payload, ..flight.exchange });
            }
            flight => {
                self.flight = flight;
                self.unasked(at, &payload);
            }
        }
    }

    fn answered(&mut self, at: Duration, exchange: Exchange) {
        let letter = exchange.request.first().copied().unwrap_or_default();
        match letter {
            b'?' => {
                self.planted = Arc::default();
                if self.mode != Mode::Stopped
                    && let Some(stop) = reply::stop(&exchange.reply)
                {
                    self.begin_stop(at, stop);
                }
                return;
            }
            b'Z' if exchange.reply == b"OK" => {
                Arc::make_mut(&mut self.planted).insert(exchange.request[1..].to_vec());
            }
            b'z' if exchange.reply == b"OK" => {
                Arc::make_mut(&mut self.planted).remove(&exchange.request[1..]);
            }
            b'D' | b'R' => {
                self.planted = Arc::default();
                self.mode = Mode::Unknown;
                if let Some(stop) = self.tape.stops.last_mut() {
                    stop.resumed = Some(letter);
                }
                return;
            }
            _ => {}
        }
        let size = exchange.request.len() + exchange.reply.len() + size_of::<Exchange>();
        if self.has_room(size)
            && let Some(stop) = self.tape.stops.last_mut()
        {
            stop.exchanges.push(exchange);
        }
    }

    /// A packet that is no answer: the guest tells of a stop, or of its end.
    fn unasked(&mut self, at: Duration, payload: &[u8]) {
        if std::mem::take(&mut self.just_resumed) && reply::errno(payload).is_some() {
            // The resume was refused.
            self.mode = Mode::Stopped;
            if let Some(stop) = self.tape.stops.last_mut() {
                stop.resumed = None;
            }
            return;
        }
        match reply::stop(payload) {
            Some(StopReply::Exited { .. }) => self.mode = Mode::Running,
            // The same once more, because its ack was lost.
            Some(_) if self.mode == Mode::Stopped => {}
            Some(stop) => self.begin_stop(at, stop),
            None => {}
        }
    }

    fn begin_stop(&mut self, at: Duration, stop: StopReply) {
        let (signal, thread) = match stop {
            StopReply::Signal { signal } | StopReply::Terminated { signal } => (signal, None),
            StopReply::Thread { signal, thread } => (signal, thread),
            StopReply::Exited { .. } => return,
        };
        (self.mode, self.just_resumed) = (Mode::Stopped, false);
        if self.tape.stops.len() >= MOST_STOPS {
            self.tape.full = Some("it has too many stops, the last ones are left out");
            return;
        }
        let before = std::mem::take(&mut self.text);
        self.tape.stops.push(TapedStop { at, signal, thread, before, ..TapedStop::default() });
    }

    fn has_room(&mut self, size: usize) -> bool {
        if size > self.room || self.tape.full.is_some() {
            self.tape.full.get_or_insert("it is too large, what came later is left out");
            return false;
        }
        self.room -= size;
        true
    }
}

/// The payload, when bytes are one packet and nothing else.
fn packet(bytes: &[u8]) -> Option<&[u8]> {
    let body = bytes.strip_prefix(b"$")?;
    let (payload, end) = body.split_at_checked(body.len().checked_sub(3)?)?;
    let sum = match *end {
        [b'#', high, low] => hex_digit(high)? << 4 | hex_digit(low)?,
        _ => return None,
    };
    (sum == checksum(payload) && !payload.is_empty()).then_some(payload)
}

/// Whether a payload can be the answer to a request: the rule of
/// [`reply::parse`], by the letters alone.
fn answers(request: &[u8], payload: &[u8]) -> bool {
    let refused = reply::errno(payload).is_some();
    let hex = |range: std::ops::RangeInclusive<usize>| {
        unhex(payload).is_some_and(|bytes| range.contains(&bytes.len()))
    };
    match request {
        b"?" => matches!(reply::stop(payload), Some(StopReply::Signal { .. })),
        b"g" => refused || hex(64..=1024),
        [b'm', ..] => {
            let wanted = super::held::memory_range(request).map_or(0, |span| span.len as usize);
            refused || (wanted > 0 && hex(wanted..=wanted))
        }
        [b'p', ..] => refused || hex(1..=64),
        [b'q', b'C'] => refused || payload.starts_with(b"QC"),
        [b'q', b'f' | b's', ..] => refused || matches!(payload.first(), None | Some(b'm' | b'l')),
        [b'q', ..] => reply::stop(payload).is_none(),
        [b'c' | b's' | b'C' | b'k' | b'3', ..] => false,
        _ => refused || payload.is_empty() || payload == b"OK",
    }
}
