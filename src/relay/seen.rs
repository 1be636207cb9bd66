//! What is on the line, told from the bytes that pass. Pure.

use crate::rsp::{
    frame::{Decoder, Expect, Item, Packets},
    reply::{self, StopReply},
};
use crate::target::console::{Sign, Watcher};

/// What the line is used for now.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Use {
    /// Nothing has come.
    Nothing,
    /// Text of the guest.
    Console,
    /// kdb waits for a command.
    Kdb,
    /// The guest is stopped and waits for a debugger.
    Waiting,
    /// The guest is stopped, a debugger asks and it answers.
    Packets,
    /// A debugger let the guest run.
    Running,
    /// The guest goes down.
    Down,
}

impl Use {
    /// In words.
    pub fn words(self) -> &'static str {
        match self {
            Use::Nothing => "silent",
            Use::Console => "console text",
            Use::Kdb => "kdb prompt",
            Use::Waiting => "stopped, waits for a debugger",
            Use::Packets => "kgdb packets",
            Use::Running => "running",
            Use::Down => "going down",
        }
    }
}

/// Watches both directions.
#[derive(Debug)]
pub struct Seen {
    now: Use,
    from_guest: Decoder,
    to_guest: Decoder,
    watcher: Watcher,
    /// Packets that passed with a good checksum, and damaged ones.
    pub packets: u64,
    /// Damaged packets.
    pub damaged: u64,
}

impl Default for Seen {
    fn default() -> Seen {
        Seen {
            now: Use::Nothing,
            from_guest: Decoder::default(),
            to_guest: Decoder::default(),
            watcher: Watcher::default(),
            packets: 0,
            damaged: 0,
        }
    }
}

impl Seen {
    /// What the line is used for now.
    pub fn now(&self) -> Use {
        self.now
    }

    /// The guest's end was opened anew.
    pub fn new_line(&mut self) {
        let (packets, damaged) = (self.packets, self.damaged);
        *self = Seen { packets, damaged, ..Seen::default() };
    }

    /// Bytes came from a debugger.
    pub fn to_guest(&mut self, bytes: &[u8]) {
        self.to_guest.push(bytes);
        let any = Expect { ack: true, packets: Packets::Any };
        while let Some(item) = self.to_guest.next(any) {
            if let Item::Packet(payload) = item {
                self.packets += 1;
                self.now = match payload.first() {
                    Some(b'c' | b's' | b'C' | b'D' | b'k') => Use::Running,
                    // To kdb.
                    Some(b'3') => Use::Kdb,
                    _ => Use::Packets,
                };
            }
        }
    }

    /// Bytes came from the guest. Gives the text among them.
    pub fn from_guest(&mut self, bytes: &[u8]) -> Vec<u8> {
        self.from_guest.push(bytes);
        let mut text = Vec::new();
        loop {
            let talking = self.now == Use::Packets;
            // The ack of what resumes it comes after that.
            let ack = talking || self.now == Use::Running;
            let packets = if talking { Packets::Any } else { Packets::Announcements };
            let Some(item) = self.from_guest.next(Expect { ack, packets }) else { break };
            match item {
                Item::Ack | Item::Nak => {}
                Item::BadPacket(_) if talking => self.damaged += 1,
                Item::Packet(payload) => self.packet(&payload, &mut text),
                Item::Text(more) | Item::BadPacket(more) => self.text(&more, &mut text),
            }
        }
        text
    }

    /// Nothing came for a while: what looked like the beginning of a packet is
    /// text.
    pub fn idle(&mut self) -> Vec<u8> {
        self.from_guest.idle();
        self.to_guest.idle();
        self.to_guest(b"");
        self.from_guest(b"")
    }

    fn packet(&mut self, payload: &[u8], text: &mut Vec<u8>) {
        self.packets += 1;
        if let Some(output) = reply::output(payload) {
            text.extend(output);
            return;
        }
        match reply::stop(payload) {
            Some(StopReply::Exited { .. }) => self.now = Use::Down,
            Some(_) if self.now != Use::Packets => self.now = Use::Waiting,
            _ => {}
        }
    }

    fn text(&mut self, more: &[u8], text: &mut Vec<u8>) {
        text.extend_from_slice(more);
        if self.now != Use::Packets {
            self.now = Use::Console;
        }
        for sign in self.watcher.feed(more) {
            match sign {
                Sign::KdbPrompt { .. } => self.now = Use::Kdb,
                Sign::Waiting => self.now = Use::Waiting,
                _ => {}
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rsp::frame::encode;

    #[test]
    fn a_life_of_a_line() {
        let mut seen = Seen::default();
        assert_eq!(seen.now(), Use::Nothing);
        assert_eq!(seen.from_guest(b"Linux version 6.1\r\n"), b"Linux version 6.1\r\n");
        assert_eq!(seen.now(), Use::Console);
        seen.from_guest(
            b"\r\nEntering kdb (current=0x1, pid 1) on processor 0 due to Keyboard\r\n",
        );
        seen.from_guest(b"[0]kdb> ");
        assert_eq!(seen.now(), Use::Kdb);
        seen.to_guest(b"$?#3f");
        assert_eq!(seen.from_guest(b"+$S05#b8"), b"");
        assert_eq!(seen.now(), Use::Packets);
        seen.to_guest(b"+$m1000,2#8c");
        assert_eq!(seen.from_guest(b"+$12"), b"");
        assert_eq!(seen.from_guest(b"34#ca"), b"");
        seen.to_guest(&encode(b"c"));
        assert_eq!(seen.from_guest(b"+booting\r\n"), b"booting\r\n");
        assert_eq!(seen.now(), Use::Console);
        assert_eq!(seen.from_guest(&encode(b"T05thread:01;")), b"");
        assert_eq!(seen.now(), Use::Waiting);
        seen.to_guest(b"+$g#67");
        assert_eq!(seen.now(), Use::Packets);
        seen.from_guest(b"+$1234#00");
        assert_eq!((seen.damaged, seen.packets), (1, 7));
        seen.to_guest(b"$D#44");
        seen.from_guest(b"+$OK#9a");
        assert_eq!(seen.now(), Use::Running);
        seen.from_guest(&encode(b"W01"));
        assert_eq!(seen.now(), Use::Down);
    }

    #[test]
    fn half_a_packet_is_text_after_a_while() {
        let mut seen = Seen::default();
        assert_eq!(seen.from_guest(b"$T05"), b"");
        assert_eq!(seen.idle(), b"$T05");
    }
}
