//! The log of the wire: the last packets with what they mean, what they were
//! for, and what each stop cost. It is kept all the time, as it came; words are
//! made of it only when somebody looks.

use super::{answer::Answer, run::Session, view::Cost};
use crate::base::text::{bytes, duration, hex, printable};
use crate::rsp::{
    client::Traffic,
    command::Command,
    reply::{self, Reply, StopReply},
};
use serde::Serialize;
use std::{
    collections::VecDeque,
    sync::Arc,
    time::{Duration, Instant},
};

/// The most pieces that are kept.
const MOST: usize = 2_000;

/// Console text comes a few bytes at a time: pieces up to this are put together.
const MOST_TEXT: usize = 200;

/// Bytes of an answer that are shown beside what it means.
const SHOWN: usize = 16;

/// Packets that a command lists unless it is told how many.
const USUAL: usize = 50;

/// Which way a piece went.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Way {
    /// To the guest.
    Sent,
    /// From it.
    Received,
    /// It is no piece of the line but a word of ours: where a stop begins or ends.
    Mark,
}

/// A piece as shown.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct PacketView {
    /// Counted from 1.
    pub number: u64,
    /// Seconds since the start.
    pub time: f64,
    /// Which way it went.
    pub way: Way,
    /// The payload as it is on the line, made printable.
    pub raw: String,
    /// What it means.
    pub words: String,
    /// What it was for.
    pub purpose: &'static str,
    /// Whether something is wrong: sent again, damaged, refused.
    pub trouble: bool,
}

#[derive(Debug)]
enum What {
    Traffic(Traffic),
    Raw(Vec<u8>),
    Mark(String),
}

#[derive(Debug)]
struct Entry {
    at: Duration,
    what: What,
    /// The request that a packet may be the answer to.
    asked: Option<Command>,
    purpose: &'static str,
}

/// The log.
#[derive(Debug)]
pub struct Packets {
    began: Instant,
    entries: VecDeque<Entry>,
    /// The number of the newest.
    count: u64,
    asked: Option<Command>,
    purpose: &'static str,
    /// As shown, up to `shown_to`.
    shown: VecDeque<Arc<PacketView>>,
    shown_to: u64,
    all: Arc<Vec<Arc<PacketView>>>,
}

impl Default for Packets {
    /// Nothing went over the line.
    fn default() -> Packets {
        Packets {
            began: Instant::now(),
            entries: VecDeque::new(),
            count: 0,
            asked: None,
            purpose: "",
            shown: VecDeque::new(),
            shown_to: 0,
            all: Arc::default(),
        }
    }
}

impl Packets {
    /// What follows is for this.
    pub fn purpose(&mut self, purpose: &'static str) {
        self.purpose = purpose;
    }

    /// Takes what went over the line.
    pub fn traffic(&mut self, traffic: Traffic) {
        if let Traffic::Request { command, .. } = &traffic {
            self.asked = Some(command.clone());
        }
        if let Traffic::Text(more) = &traffic
            && let Some(Entry { what: What::Traffic(Traffic::Text(text)), .. }) =
                self.entries.back_mut()
            && text.len() < MOST_TEXT
            && self.shown_to < self.count
        {
            text.extend_from_slice(more);
            return;
        }
        self.push(What::Traffic(traffic));
    }

    /// Takes bytes that were sent and are no packet.
    pub fn raw(&mut self, bytes: &[u8]) {
        self.push(What::Raw(bytes.to_vec()));
    }

    /// Writes a word of ours between the packets.
    pub fn mark(&mut self, words: String) {
        self.push(What::Mark(words));
    }

    fn push(&mut self, what: What) {
        let (at, purpose) = (self.began.elapsed(), self.purpose);
        let asked = match &what {
            What::Traffic(Traffic::Packet(_)) => self.asked.clone(),
            _ => None,
        };
        self.entries.push_back(Entry { at, what, asked, purpose });
        self.count += 1;
        if self.entries.len() > MOST {
            self.entries.pop_front();
        }
    }

    /// What is kept, oldest first.
    pub fn views(&mut self) -> Arc<Vec<Arc<PacketView>>> {
        if self.shown_to == self.count {
            return Arc::clone(&self.all);
        }
        let first = self.count - self.entries.len() as u64;
        let new = self.shown_to.max(first);
        for (number, entry) in (first + 1..).zip(&self.entries).skip((new - first) as usize) {
            self.shown.push_back(Arc::new(view(number, entry)));
        }
        while self.shown.len() > self.entries.len() {
            self.shown.pop_front();
        }
        self.shown_to = self.count;
        self.all = Arc::new(self.shown.iter().cloned().collect());
        Arc::clone(&self.all)
    }
}

fn view(number: u64, entry: &Entry) -> PacketView {
    let shown = |way, raw: &[u8], words: String, trouble| PacketView {
        number,
        time: entry.at.as_secs_f64(),
        way,
        raw: escaped(raw),
        words,
        purpose: entry.purpose,
        trouble,
    };
    match &entry.what {
        What::Mark(words) => shown(Way::Mark, b"", words.clone(), false),
        What::Raw(bytes) => shown(Way::Sent, bytes, "typed on the line".into(), false),
        What::Traffic(Traffic::Request { command, again }) => {
            let again_words = if *again { ", sent again" } else { "" };
            shown(Way::Sent, &command.payload(), format!("{command}{again_words}"), *again)
        }
        What::Traffic(Traffic::AskedAgain) => {
            shown(Way::Sent, b"-", "send that once more".into(), true)
        }
        What::Traffic(Traffic::Refused) => {
            shown(Way::Received, b"-", "not received, send it once more".into(), true)
        }
        What::Traffic(Traffic::Damaged(raw)) => {
            shown(Way::Received, raw, "damaged: its checksum is wrong".into(), true)
        }
        What::Traffic(Traffic::Text(text)) => {
            shown(Way::Received, text, "text of the guest".into(), false)
        }
        What::Traffic(Traffic::Packet(payload)) => {
            let (words, trouble) = answer(entry.asked.as_ref(), payload);
            shown(Way::Received, payload, words, trouble)
        }
    }
}

/// What a packet from the stub says, and whether that is trouble.
fn answer(asked: Option<&Command>, payload: &[u8]) -> (String, bool) {
    if let Some(text) = reply::output(payload) {
        return (format!("prints: {}", printable(&String::from_utf8_lossy(&text))), false);
    }
    if let Some(StopReply::Thread { .. } | StopReply::Exited { .. }) = reply::stop(payload) {
        return (stop(reply::stop(payload)), false);
    }
    let Some(asked) = asked else { return ("unasked".into(), false) };
    match reply::parse(asked, payload) {
        Ok(Reply::Done) => ("done".into(), false),
        Ok(Reply::Resumed) => ("the guest runs".into(), false),
        Ok(Reply::Memory(memory)) => {
            let more = if memory.len() > SHOWN { " …" } else { "" };
            let head = hex(&memory[..memory.len().min(SHOWN)]);
            (format!("{} bytes: {head}{more}", memory.len()), false)
        }
        Ok(Reply::Registers(all)) => (format!("registers, {}", bytes(all.len() as u64)), false),
        Ok(Reply::Register(value)) => (format!("register: {}", hex(&value)), false),
        Ok(Reply::Stop(found)) => (stop(Some(found)), false),
        Ok(Reply::Thread(id)) => (format!("thread {}", id.0), false),
        Ok(Reply::Threads(ids)) if ids.is_empty() => ("no more threads".into(), false),
        Ok(Reply::Threads(ids)) => (format!("{} threads", ids.len()), false),
        Ok(Reply::Text(text)) => (printable(&String::from_utf8_lossy(&text)), false),
        Err(why) => (why.to_string(), true),
    }
}

fn stop(stop: Option<StopReply>) -> String {
    match stop {
        Some(StopReply::Thread { signal, thread: Some(thread) }) => {
            format!("stopped: signal {signal}, thread {}", thread.0)
        }
        Some(StopReply::Thread { signal, thread: None } | StopReply::Signal { signal }) => {
            format!("stopped: signal {signal}")
        }
        Some(StopReply::Exited { code }) => format!("the machine goes down ({code})"),
        Some(StopReply::Terminated { signal }) => format!("terminated by signal {signal}"),
        None => "a stop".into(),
    }
}

/// Bytes as text; what is no letter as `\x1b`.
fn escaped(bytes: &[u8]) -> String {
    let mut out = String::with_capacity(bytes.len());
    for &byte in bytes {
        match byte {
            b' '..=b'~' => out.push(char::from(byte)),
            _ => out.push_str(&format!("\\x{byte:02x}")),
        }
    }
    out
}

/// Whether a piece has a text.
pub fn fits(packet: &PacketView, text: &str) -> bool {
    let text = text.to_lowercase();
    [packet.raw.as_str(), &packet.words, packet.purpose]
        .iter()
        .any(|part| part.to_lowercase().contains(&text))
}

/// Which packets a command lists.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct PacketsAsk {
    /// So many of the newest that fit.
    pub count: Option<usize>,
    /// Those with this text in packet, words or purpose.
    pub filter: String,
}

impl Session {
    /// The newest packets that fit.
    pub(super) fn packets_answer(&mut self, ask: &PacketsAsk) -> Answer {
        let all = self.wire.log().views();
        let fit: Vec<_> = all.iter().filter(|packet| fits(packet, &ask.filter)).collect();
        let from = fit.len().saturating_sub(ask.count.unwrap_or(USUAL));
        Answer::Packets { packets: fit[from..].iter().map(|packet| (***packet).clone()).collect() }
    }

    /// Writes into the log what the stop that is over has cost.
    pub(super) fn mark_cost(&mut self, cost: Cost) {
        if self.generation > 0 {
            self.wire.log().mark(format!(
                "stop {} cost {} packets, {}, {}",
                self.generation,
                cost.packets,
                bytes(cost.tx + cost.rx),
                duration(cost.time)
            ));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::addr::Addr;

    fn request(command: Command) -> Traffic {
        Traffic::Request { command, again: false }
    }

    fn words(packets: &mut Packets) -> Vec<String> {
        packets.views().iter().map(|packet| packet.words.clone()).collect()
    }

    #[test]
    fn packets_are_told_in_words() {
        let mut packets = Packets::default();
        packets.purpose("stack");
        let read = Command::read_memory(Addr(0xffff_8880_0000_1000), 4).unwrap();
        packets.traffic(request(read.clone()));
        packets.traffic(Traffic::Packet(b"0102aaff".to_vec()));
        packets.traffic(request(read.clone()));
        packets.traffic(Traffic::Damaged(b"$01#00".to_vec()));
        packets.traffic(Traffic::AskedAgain);
        packets.traffic(Traffic::Packet(b"E14".to_vec()));
        packets.traffic(request(Command::Continue));
        packets.traffic(Traffic::Text(b"hello".to_vec()));
        packets.traffic(Traffic::Text(b" guest\n".to_vec()));
        packets.traffic(Traffic::Packet(b"T05thread:59;".to_vec()));
        packets.traffic(Traffic::Packet(b"O6869".to_vec()));
        packets.mark("stop 2".into());
        assert_eq!(
            words(&mut packets),
            [
                "read 4 bytes at 0xffff888000001000",
                "4 bytes: 0102aaff",
                "read 4 bytes at 0xffff888000001000",
                "damaged: its checksum is wrong",
                "send that once more",
                "read 4 bytes at 0xffff888000001000: not mapped, or not readable by kgdb (E14)",
                "continue",
                "text of the guest",
                "stopped: signal 5, thread 89",
                "prints: hi",
                "stop 2",
            ]
        );
        let all = packets.views();
        assert_eq!((all[0].raw.as_str(), all[0].purpose), ("mffff888000001000,4", "stack"));
        assert_eq!(all[7].raw, "hello guest\\x0a");
        assert!(all[5].trouble && !all[6].trouble);
    }

    #[test]
    fn the_log_is_bounded_and_made_once() {
        let mut packets = Packets::default();
        for number in 0..MOST + 500 {
            packets.mark(format!("{number}"));
            if number % 700 == 0 {
                packets.views();
            }
        }
        let all = packets.views();
        assert_eq!((all.len(), all[0].words.as_str()), (MOST, "500"));
        assert_eq!((all[0].number, all[MOST - 1].number), (501, MOST as u64 + 500));
        assert!(Arc::ptr_eq(&all, &packets.views()));
    }
}
