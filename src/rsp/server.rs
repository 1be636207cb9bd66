//! The other end of the protocol: what a gdb asks of us, typed, and our answers.
//!
//! Only what a debugger needs that looks at a kernel, steps it and lets it run.
//! Whatever is not known here is [`Asked::Unknown`], whose answer is empty, as the protocol wants
//! it (gdb manual, "Overview" of the remote protocol).

use super::frame::{Decoder, Expect, Item, Packets, checksum, encode, hex, unhex};

/// The longest packet we take, in characters (`PacketSize`).
pub const PACKET_SIZE: usize = 1984;

/// The most bytes of memory in one answer: two digits each.
pub const MOST_MEMORY: u64 = 960;

/// What gdb asks.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Asked {
    /// `qSupported`.
    Supported,
    /// `QStartNoAckMode`.
    NoAcks,
    /// `?`.
    WhyStopped,
    /// `qAttached`: whether the program was there before the debugger.
    Attached,
    /// `qOffsets`: how far the program was moved.
    Offsets,
    /// `qfThreadInfo`.
    Threads,
    /// `qsThreadInfo`.
    MoreThreads,
    /// `qThreadExtraInfo`.
    ThreadName(u64),
    /// `T`: whether a thread is there.
    IsThread(u64),
    /// `qC`.
    Thread,
    /// `Hg`: whose registers are meant from now on; 0 and -1 are any.
    Choose(Option<u64>),
    /// `Hc`: whom a resume is for; 0 and -1 are any.
    ChooseResumed(Option<u64>),
    /// `g`.
    Registers,
    /// `p`.
    Register(usize),
    /// `P`.
    WriteRegister(usize, Vec<u8>),
    /// `m`.
    Memory {
        /// Where.
        addr: u64,
        /// How much.
        len: u64,
    },
    /// `M`.
    WriteMemory {
        /// Where.
        addr: u64,
        /// What.
        bytes: Vec<u8>,
    },
    /// `c`, and `s` for a `single` instruction.
    Resume {
        /// Whether it is a step.
        single: bool,
    },
    /// `Z0`, `Z1`; `z0`, `z1` when it is not to be `there`.
    Breakpoint {
        /// Whether it is wanted.
        there: bool,
        /// Whether it is one of a debug register.
        hardware: bool,
        /// Where.
        addr: u64,
    },
    /// `G`, signals for the kernel, resumes elsewhere, watchpoints.
    Refused(&'static str),
    /// `D`, `k`, `vKill`: gdb goes away.
    Leave {
        /// Whether it waits for an answer.
        answer: bool,
    },
    /// Anything else.
    Unknown,
}

/// Why something is refused.
const SIGNAL: &str = "a kernel takes no signals; kgdb-tui's 'pass' lets it deal with an exception";
const ELSEWHERE: &str = "write $pc first to go on elsewhere";
const WATCH: &str = "watchpoints are set in kgdb-tui, not here";

/// What a packet asks.
pub fn asked(payload: &[u8]) -> Asked {
    let text = String::from_utf8_lossy(payload);
    let rest = |prefix: &str| text.strip_prefix(prefix);
    if let Some(id) = rest("qThreadExtraInfo,").and_then(number) {
        return Asked::ThreadName(id);
    }
    match &*text {
        "?" => return Asked::WhyStopped,
        "g" => return Asked::Registers,
        "qfThreadInfo" => return Asked::Threads,
        "qsThreadInfo" => return Asked::MoreThreads,
        "qC" => return Asked::Thread,
        "qOffsets" => return Asked::Offsets,
        "QStartNoAckMode" => return Asked::NoAcks,
        "k" => return Asked::Leave { answer: false },
        "qSupported" => return Asked::Supported,
        _ => {}
    }
    let Some(first) = payload.first() else { return Asked::Unknown };
    let body = text.get(1..).unwrap_or("");
    match first {
        _ if text.starts_with("qSupported:") => Asked::Supported,
        _ if text.starts_with("qAttached") => Asked::Attached,
        _ if text.starts_with("vKill") => Asked::Leave { answer: true },
        // An empty answer to `vCont?` has gdb use `c` and `s`.
        b'v' => Asked::Unknown,
        b'D' => Asked::Leave { answer: true },
        b'H' => match (body.get(..1), body.get(1..)) {
            (Some("g"), Some("0" | "-1")) => Asked::Choose(None),
            (Some("g"), Some(id)) => {
                number(id).map_or(Asked::Unknown, |id| Asked::Choose(Some(id)))
            }
            (Some("c"), Some("0" | "-1")) => Asked::ChooseResumed(None),
            (Some("c"), Some(id)) => {
                number(id).map_or(Asked::Unknown, |id| Asked::ChooseResumed(Some(id)))
            }
            _ => Asked::Unknown,
        },
        b'T' => number(body).map_or(Asked::Unknown, Asked::IsThread),
        b'p' => number(body).map_or(Asked::Unknown, |number| Asked::Register(number as usize)),
        b'P' => write_register(body).unwrap_or(Asked::Unknown),
        b'm' => match body.split_once(',').map(|(addr, len)| (number(addr), number(len))) {
            Some((Some(addr), Some(len))) => Asked::Memory { addr, len },
            _ => Asked::Unknown,
        },
        b'M' => write_memory(body).unwrap_or(Asked::Unknown),
        b'c' | b's' if body.is_empty() => Asked::Resume { single: *first == b's' },
        b'c' | b's' => Asked::Refused(ELSEWHERE),
        b'C' | b'S' => Asked::Refused(SIGNAL),
        b'G' => Asked::Refused("single registers are written, not all at once"),
        // None is left unknown: gdb would write its own breakpoints into the memory.
        b'Z' | b'z' => breakpoint(*first == b'Z', body).unwrap_or(Asked::Refused(WATCH)),
        _ => Asked::Unknown,
    }
}

fn number(digits: &str) -> Option<u64> {
    u64::from_str_radix(digits, 16).ok()
}

/// `TYPE,ADDR,KIND`.
fn breakpoint(there: bool, body: &str) -> Option<Asked> {
    let mut parts = body.split(',');
    let hardware = match parts.next()? {
        "0" => false,
        "1" => true,
        _ => return None,
    };
    Some(Asked::Breakpoint { there, hardware, addr: number(parts.next()?)? })
}

fn write_register(body: &str) -> Option<Asked> {
    let (register, digits) = body.split_once('=')?;
    Some(Asked::WriteRegister(number(register)? as usize, unhex(digits.as_bytes())?))
}

fn write_memory(body: &str) -> Option<Asked> {
    let (place, digits) = body.split_once(':')?;
    let (addr, len) = place.split_once(',')?;
    let bytes = unhex(digits.as_bytes())?;
    let whole = bytes.len() as u64 == number(len)?;
    whole.then_some(Asked::WriteMemory { addr: number(addr)?, bytes })
}

/// `E.` and words: an error that gdb shows as it is.
pub fn error(words: &str) -> Vec<u8> {
    let plain = |c: char| if c.is_ascii_graphic() && !"#$}*".contains(c) { c } else { ' ' };
    let words: String = words.chars().take(300).map(plain).collect();
    format!("E.{words}").into_bytes()
}

/// `O` and words: text that gdb prints while it waits for a stop.
pub fn output(words: &str) -> Vec<u8> {
    let words: String = words.chars().take(300).collect();
    format!("O{}", hex(words.as_bytes())).into_bytes()
}

/// Bytes as digits, `xx` where there is none.
pub fn digits(bytes: &[Option<u8>]) -> Vec<u8> {
    let one = |byte: &Option<u8>| byte.map_or("xx".into(), |byte| hex(&[byte]));
    bytes.iter().map(one).collect::<String>().into_bytes()
}

/// What came from gdb.
#[derive(Debug, PartialEq, Eq)]
pub enum Arrival {
    /// A packet.
    Packet(Vec<u8>),
    /// The last answer is to be sent again, or a packet came damaged.
    Again(Vec<u8>),
    /// Ctrl-C.
    Interrupt,
}

/// The bytes of one gdb, in and out.
#[derive(Debug, Default)]
pub struct Server {
    decoder: Decoder,
    no_acks: bool,
    last: Vec<u8>,
}

impl Server {
    /// Takes bytes; gives what they hold and what is to be sent at once.
    pub fn receive(&mut self, bytes: &[u8]) -> (Vec<Arrival>, Vec<u8>) {
        self.decoder.push(bytes);
        let expect = Expect { ack: true, packets: Packets::Any };
        let (mut arrivals, mut out) = (Vec::new(), Vec::new());
        while let Some(item) = self.decoder.next(expect) {
            match item {
                Item::Packet(payload) => {
                    if !self.no_acks {
                        out.push(b'+');
                    }
                    arrivals.push(Arrival::Packet(payload));
                }
                Item::BadPacket(_) if !self.no_acks => out.push(b'-'),
                Item::Nak if !self.no_acks => arrivals.push(Arrival::Again(self.last.clone())),
                Item::Text(text) if text.contains(&3) => arrivals.push(Arrival::Interrupt),
                Item::BadPacket(_) | Item::Nak | Item::Ack | Item::Text(_) => {}
            }
        }
        (arrivals, out)
    }

    /// An answer as it goes over the wire.
    pub fn answer(&mut self, payload: &[u8]) -> Vec<u8> {
        self.last = encode(payload);
        self.last.clone()
    }

    /// No more acks; after the answer to that.
    pub fn stop_acks(&mut self) {
        self.no_acks = true;
    }
}

/// The sum of a payload is right in every answer; for tests of other layers.
pub fn is_framed(bytes: &[u8]) -> bool {
    let Some(body) = bytes.strip_prefix(b"$") else { return false };
    let Some(end) = body.iter().rposition(|byte| *byte == b'#') else { return false };
    unhex(&body[end + 1..]) == Some(vec![checksum(&body[..end])])
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn what_gdb_13_asks_when_it_attaches() {
        for (packet, wanted) in [
            ("qSupported:multiprocess+;swbreak+", Asked::Supported),
            ("vMustReplyEmpty", Asked::Unknown),
            ("QStartNoAckMode", Asked::NoAcks),
            ("Hg0", Asked::Choose(None)),
            ("Hg-1", Asked::Choose(None)),
            ("Hg2", Asked::Choose(Some(2))),
            ("Hc-1", Asked::ChooseResumed(None)),
            ("Hc2", Asked::ChooseResumed(Some(2))),
            ("qTStatus", Asked::Unknown),
            ("?", Asked::WhyStopped),
            ("qfThreadInfo", Asked::Threads),
            ("qsThreadInfo", Asked::MoreThreads),
            ("qThreadExtraInfo,1", Asked::ThreadName(1)),
            ("T1", Asked::IsThread(1)),
            ("qAttached", Asked::Attached),
            ("qOffsets", Asked::Offsets),
            ("g", Asked::Registers),
            ("p10", Asked::Register(16)),
            ("P0=0100000000000000", Asked::WriteRegister(0, vec![1, 0, 0, 0, 0, 0, 0, 0])),
            ("mffffffff81000000,40", Asked::Memory { addr: 0xffff_ffff_8100_0000, len: 0x40 }),
            ("M10,2:abcd", Asked::WriteMemory { addr: 0x10, bytes: vec![0xab, 0xcd] }),
            ("M10,3:abcd", Asked::Unknown),
            ("vCont?", Asked::Unknown),
            ("vCont;c", Asked::Unknown),
            ("c", Asked::Resume { single: false }),
            ("s", Asked::Resume { single: true }),
            ("cffff", Asked::Refused(ELSEWHERE)),
            ("C0b", Asked::Refused(SIGNAL)),
            ("Z0,ffff,1", Asked::Breakpoint { there: true, hardware: false, addr: 0xffff }),
            ("z1,ffff,1", Asked::Breakpoint { there: false, hardware: true, addr: 0xffff }),
            ("Z2,ffff,8", Asked::Refused(WATCH)),
            ("Z0,", Asked::Refused(WATCH)),
            ("D", Asked::Leave { answer: true }),
            ("k", Asked::Leave { answer: false }),
            ("", Asked::Unknown),
        ] {
            assert_eq!(asked(packet.as_bytes()), wanted, "{packet}");
        }
    }

    #[test]
    fn acks_until_gdb_wants_none() {
        let mut server = Server::default();
        let packet = |text: &str| Arrival::Packet(text.into());
        assert_eq!(server.receive(b"+$?#3f"), (vec![packet("?")], b"+".to_vec()));
        assert_eq!(server.answer(b"S05"), b"$S05#b8");
        assert_eq!(server.receive(b"-"), (vec![Arrival::Again(b"$S05#b8".to_vec())], vec![]));
        assert_eq!(server.receive(b"$?#00"), (vec![], b"-".to_vec()));
        server.stop_acks();
        assert_eq!(server.receive(b"$g#6"), (vec![], vec![]));
        assert_eq!(server.receive(b"7\x03"), (vec![packet("g"), Arrival::Interrupt], vec![]));
    }

    #[test]
    fn errors_are_words_that_need_no_escapes() {
        assert_eq!(error("no #$}* here"), b"E.no      here");
        assert_eq!(digits(&[Some(1), None]), b"01xx");
    }

    proptest! {
        #[test]
        fn anything_may_come(bytes in proptest::collection::vec(any::<u8>(), 0..300)) {
            let mut server = Server::default();
            for arrival in server.receive(&bytes).0 {
                if let Arrival::Packet(payload) = arrival {
                    asked(&payload);
                }
            }
            asked(&bytes);
            let answer = server.answer(&error(&String::from_utf8_lossy(&bytes)));
            prop_assert!(is_framed(&answer));
        }
    }
}
