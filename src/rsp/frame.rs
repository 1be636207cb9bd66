//! Framing: `$payload#cs`, acks, and the console text around them.
//!
//! ```text
//!   $ 4 f 4 b # 9 a        '$'  start, never inside a payload
//!   │ └──┬──┘ │ └┬┘        '#'  end of the payload
//!   │ payload │  sum of the payload bytes modulo 256, two hex digits
//! ```
//!
//! kgdb shares its line with the console, and console text may hold `$`, `#`,
//! `+` and `-`. What is a packet is decided by the checksum alone.

use std::fmt::Write;

/// Longest payload that is still taken for a packet, in bytes.
///
/// The largest `BUFMAX` of any architecture is 2048 (arm64 and riscv,
/// `arch/*/include/asm/kgdb.h`); x86 has 1024. Longer than this is text.
pub const MAX_PAYLOAD: usize = 2048;

/// One thing found on the line.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Item {
    /// A packet whose checksum is right. The payload is as it was on the wire:
    /// see [`expand`] for stubs that compress.
    Packet(Vec<u8>),
    /// Something framed like a packet whose checksum is wrong: all its bytes,
    /// from `$` to the second digit.
    BadPacket(Vec<u8>),
    /// `+`, when the client was waiting for one.
    Ack,
    /// `-`, when the client was waiting for an ack.
    Nak,
    /// Anything else, as it came.
    Text(Vec<u8>),
}

/// What the client can make use of right now. It decides how bytes that may
/// mean two things are read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Expect {
    /// A request was sent and its ack has not come: `+` and `-` count. At any
    /// other time they are text.
    pub ack: bool,
    /// Which payloads can be packets.
    pub packets: Packets,
}

/// Which payloads can be packets.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Packets {
    /// Any: the stub is talking to us.
    Any,
    /// The kernel runs, the line is its console. Only a packet that announces
    /// something by itself can come: `T`, `S`, `W`, `X`, `O`.
    Announcements,
    /// As before, or an `Exx` that refuses the resume just acknowledged.
    AnnouncementsOrError,
}

impl Packets {
    fn may_start_with(self, first: u8) -> bool {
        match self {
            Packets::Any => true,
            Packets::Announcements => matches!(first, b'T' | b'S' | b'W' | b'X' | b'O'),
            Packets::AnnouncementsOrError => {
                first == b'E' || Packets::Announcements.may_start_with(first)
            }
        }
    }

    /// A line break inside a packet is possible from a stub we talk to (a bit
    /// error), but on a console it is simply the end of a line.
    fn may_contain(self, byte: u8) -> bool {
        self == Packets::Any || (0x20..0x7f).contains(&byte)
    }
}

/// Splits the byte stream. Feed it with [`push`](Decoder::push) in pieces of
/// any size, then take items with [`next`](Decoder::next) until there is none:
/// what the client expects may change from one item to the next.
///
/// No byte is dropped: the raw bytes of all items, in order, are the input.
#[derive(Debug, Default)]
pub struct Decoder {
    buffer: Vec<u8>,
    /// The line went silent: an unfinished packet at the front will not be
    /// finished any more.
    silent: bool,
}

/// What the bytes from a `$` on turned out to be.
enum Candidate {
    Packet { payload: usize },
    BadPacket { payload: usize },
    Unfinished,
    Text,
}

impl Decoder {
    /// Adds bytes as they came from the line.
    pub fn push(&mut self, bytes: &[u8]) {
        if !bytes.is_empty() {
            self.buffer.extend_from_slice(bytes);
            self.silent = false;
        }
    }

    /// Says that nothing came for so long that an unfinished packet is text.
    /// What follows its `$` is looked at again by the next calls of
    /// [`next`](Decoder::next).
    pub fn idle(&mut self) {
        self.silent = true;
    }

    /// How many bytes of an unfinished packet are held back. 0 after
    /// [`next`](Decoder::next) returned `None` means nothing is held.
    pub fn held(&self) -> usize {
        self.buffer.len()
    }

    /// The next item, or `None` when more bytes are needed.
    pub fn next(&mut self, expect: Expect) -> Option<Item> {
        let first = *self.buffer.first()?;
        let mut text = 0;
        if expect.ack && matches!(first, b'+' | b'-') {
            self.buffer.remove(0);
            return Some(if first == b'+' { Item::Ack } else { Item::Nak });
        }
        if first == b'$' {
            match candidate(&self.buffer, expect.packets) {
                Candidate::Packet { payload } => {
                    let mut raw = self.take(payload + 4);
                    raw.truncate(payload + 1);
                    raw.remove(0);
                    return Some(Item::Packet(raw));
                }
                Candidate::BadPacket { payload } => {
                    return Some(Item::BadPacket(self.take(payload + 4)));
                }
                Candidate::Unfinished if !self.silent => return None,
                Candidate::Unfinished | Candidate::Text => text = 1,
            }
        }
        let special = |byte: &u8| *byte == b'$' || (expect.ack && matches!(byte, b'+' | b'-'));
        let end = self.buffer[text..].iter().position(special);
        Some(Item::Text(self.take(end.map_or(self.buffer.len(), |end| text + end))))
    }

    fn take(&mut self, count: usize) -> Vec<u8> {
        let rest = self.buffer.split_off(count);
        std::mem::replace(&mut self.buffer, rest)
    }
}

fn candidate(bytes: &[u8], packets: Packets) -> Candidate {
    let body = &bytes[1..];
    if body.first().is_some_and(|&first| first != b'#' && !packets.may_start_with(first)) {
        return Candidate::Text;
    }
    let mut sum = 0u8;
    for (payload, &byte) in body.iter().enumerate() {
        if byte == b'#' {
            if payload == 0 && packets != Packets::Any {
                return Candidate::Text;
            }
            return checksum_digits(&body[payload + 1..], payload, sum);
        }
        // `$` starts a packet and can not be inside one: RSP escapes it.
        if byte == b'$' || payload == MAX_PAYLOAD || !packets.may_contain(byte) {
            return Candidate::Text;
        }
        sum = sum.wrapping_add(byte);
    }
    Candidate::Unfinished
}

fn checksum_digits(after: &[u8], payload: usize, sum: u8) -> Candidate {
    // A `$` in place of a digit is the next packet, whose start must not be
    // swallowed with the damaged one.
    if after.iter().take(2).any(|&digit| digit == b'$') {
        return Candidate::Text;
    }
    let [high, low, ..] = *after else { return Candidate::Unfinished };
    match (hex_digit(high), hex_digit(low)) {
        (Some(high), Some(low)) if high << 4 | low == sum => Candidate::Packet { payload },
        _ => Candidate::BadPacket { payload },
    }
}

/// The value of one hex digit, either case.
pub fn hex_digit(byte: u8) -> Option<u8> {
    (byte as char).to_digit(16).map(|digit| digit as u8)
}

/// The sum of all bytes modulo 256.
pub fn checksum(payload: &[u8]) -> u8 {
    payload.iter().fold(0, |sum: u8, &byte| sum.wrapping_add(byte))
}

/// Frames a payload: `$payload#cs`. Binary data inside must have gone through
/// [`escape`] before.
pub fn encode(payload: &[u8]) -> Vec<u8> {
    let mut frame = Vec::with_capacity(payload.len() + 4);
    frame.push(b'$');
    frame.extend_from_slice(payload);
    frame.push(b'#');
    frame.extend_from_slice(format!("{:02x}", checksum(payload)).as_bytes());
    frame
}

/// Escapes binary data for an `X` packet: `}` and the byte xor 0x20.
///
/// kgdb undoes exactly this (`kgdb_ebin2mem` in `kernel/debug/gdbstub.c`); it
/// needs only `#` and `}` escaped, RSP also wants `$` and `*`.
pub fn escape(data: &[u8]) -> Vec<u8> {
    let mut escaped = Vec::with_capacity(data.len() + data.len() / 16);
    for &byte in data {
        if matches!(byte, b'#' | b'$' | b'}' | b'*') {
            escaped.extend([b'}', byte ^ 0x20]);
        } else {
            escaped.push(byte);
        }
    }
    escaped
}

/// Undoes run-length coding and escapes of a reply. kgdb uses neither, so its
/// replies pass unchanged; other stubs do (RSP, "Overview": `0* ` is `0000`).
///
/// `None` when the coding is broken, or blows up to more than 64 KiB.
pub fn expand(payload: &[u8]) -> Option<Vec<u8>> {
    let mut expanded = Vec::with_capacity(payload.len());
    let mut bytes = payload.iter();
    while let Some(&byte) = bytes.next() {
        match byte {
            b'}' => expanded.push(bytes.next()? ^ 0x20),
            b'*' => {
                let repeats = usize::from(bytes.next()?.checked_sub(29)?);
                let last = *expanded.last()?;
                expanded.extend(std::iter::repeat_n(last, repeats));
            }
            _ => expanded.push(byte),
        }
        if expanded.len() > 1 << 16 {
            return None;
        }
    }
    Some(expanded)
}

/// Bytes as lower-case hex digits, two a byte.
pub fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::with_capacity(bytes.len() * 2), |mut digits, byte| {
        let _ = write!(digits, "{byte:02x}");
        digits
    })
}

/// Hex digits as bytes; `None` for an odd count or anything that is no digit.
pub fn unhex(digits: &[u8]) -> Option<Vec<u8>> {
    if !digits.len().is_multiple_of(2) {
        return None;
    }
    digits.chunks(2).map(|pair| Some(hex_digit(pair[0])? << 4 | hex_digit(pair[1])?)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const TALKING: Expect = Expect { ack: false, packets: Packets::Any };
    const WAITING: Expect = Expect { ack: true, packets: Packets::Any };
    const RUNNING: Expect = Expect { ack: false, packets: Packets::Announcements };

    fn decode(input: &[u8], expect: Expect) -> Vec<Item> {
        let mut decoder = Decoder::default();
        decoder.push(input);
        let mut items: Vec<_> = std::iter::from_fn(|| decoder.next(expect)).collect();
        decoder.idle();
        items.extend(std::iter::from_fn(|| decoder.next(expect)));
        assert_eq!(decoder.held(), 0);
        items
    }

    fn text(bytes: &str) -> Item {
        Item::Text(bytes.into())
    }

    #[test]
    fn ack_and_reply() {
        assert_eq!(decode(b"+$OK#9a", WAITING), [Item::Ack, Item::Packet(b"OK".into())]);
        assert_eq!(decode(b"-", WAITING), [Item::Nak]);
        assert_eq!(decode(b"$#00", TALKING), [Item::Packet(vec![])]);
    }

    #[test]
    fn signs_are_text_when_no_ack_is_due() {
        assert_eq!(decode(b"a+b-c\r\n", RUNNING), [text("a+b-c\r\n")]);
    }

    #[test]
    fn a_packet_starts_inside_noise() {
        let ok = Item::Packet(b"OK".into());
        assert_eq!(decode(b"$x$OK#9a", TALKING), [text("$x"), ok.clone()]);
        assert_eq!(decode(b"$x#$OK#9a", TALKING), [text("$x#"), ok.clone()]);
        assert_eq!(decode(b"$x#1$OK#9a", TALKING), [text("$x#1"), ok.clone()]);
        assert_eq!(decode(b"$x#11$OK#9a", TALKING), [Item::BadPacket(b"$x#11".into()), ok]);
        assert_eq!(decode(b"$+$OK#9a", WAITING)[..2], [text("$"), Item::Ack]);
    }

    #[test]
    fn console_of_a_running_kernel() {
        let stop = encode(b"T05thread:fffffffe;");
        let mut line = b"root@box:~$ echo $HOME # +x\r\n".to_vec();
        line.extend(&stop);
        let items = decode(&line, RUNNING);
        assert_eq!(items.last(), Some(&Item::Packet(b"T05thread:fffffffe;".into())));
        assert!(items[..items.len() - 1].iter().all(|item| matches!(item, Item::Text(_))));
        // A good checksum alone is not enough: the echo of our own packet.
        assert_eq!(decode(b"$?#3f", RUNNING), [text("$?#3f")]);
        assert_eq!(decode(b"$T\r\n", RUNNING), [text("$T\r\n")]);
    }

    #[test]
    fn too_long_and_silent_are_text() {
        let long = [b"$".to_vec(), vec![b'a'; MAX_PAYLOAD + 10]].concat();
        assert_eq!(decode(&long, TALKING), [Item::Text(long.clone())]);
        assert_eq!(decode(b"$OK#9", TALKING), [text("$OK#9")]);
    }

    #[test]
    fn run_length_and_escapes_expand() {
        assert_eq!(expand(b"0* ").as_deref(), Some(&b"0000"[..]));
        assert_eq!(expand(b"}\x03").as_deref(), Some(&b"#"[..]));
        assert_eq!(expand(b"*!"), None);
        assert_eq!(expand(b"a*\x02"), None);
        assert_eq!(expand(b"a}"), None);
    }

    /// Walks the input beside the items and checks that they cover it.
    fn assert_covers(input: &[u8], items: &[Item]) {
        let mut rest = input;
        for item in items {
            let length = match item {
                Item::Packet(payload) => {
                    assert_eq!(rest[1..1 + payload.len()], payload[..]);
                    payload.len() + 4
                }
                Item::BadPacket(raw) | Item::Text(raw) => {
                    assert_eq!(rest[..raw.len()], raw[..]);
                    raw.len()
                }
                Item::Ack => usize::from(rest[0] == b'+'),
                Item::Nak => usize::from(rest[0] == b'-'),
            };
            assert!(length > 0);
            rest = &rest[length..];
        }
        assert!(rest.is_empty());
    }

    fn merged(items: Vec<Item>) -> Vec<Item> {
        let mut merged: Vec<Item> = Vec::new();
        for item in items {
            match (merged.last_mut(), item) {
                (Some(Item::Text(last)), Item::Text(more)) => last.extend(more),
                (_, item) => merged.push(item),
            }
        }
        merged
    }

    fn line() -> impl Strategy<Value = Vec<u8>> {
        let piece = prop_oneof![
            proptest::collection::vec(any::<u8>(), 0..12),
            "[$#+\\-a-f0-9TSO]{0,12}".prop_map(String::into_bytes),
            "[A-Za-z0-9:;,]{0,30}".prop_map(|payload| encode(payload.as_bytes())),
        ];
        proptest::collection::vec(piece, 0..8).prop_map(|pieces| pieces.concat())
    }

    fn expectation() -> impl Strategy<Value = Expect> {
        let packets = prop_oneof![Just(Packets::Any), Just(Packets::Announcements)];
        (any::<bool>(), packets).prop_map(|(ack, packets)| Expect { ack, packets })
    }

    proptest! {
        #[test]
        fn nothing_is_dropped(input in line(), expect in expectation()) {
            assert_covers(&input, &decode(&input, expect));
        }

        #[test]
        fn any_split_gives_the_same_items(
            input in line(), expect in expectation(), cuts in proptest::collection::vec(1usize..9, 1..40)
        ) {
            let mut decoder = Decoder::default();
            let mut items = Vec::new();
            let mut rest = &input[..];
            let mut cuts = cuts.iter().cycle();
            while !rest.is_empty() {
                let cut = (*cuts.next().unwrap()).min(rest.len());
                decoder.push(&rest[..cut]);
                rest = &rest[cut..];
                items.extend(std::iter::from_fn(|| decoder.next(expect)));
            }
            decoder.idle();
            items.extend(std::iter::from_fn(|| decoder.next(expect)));
            prop_assert_eq!(merged(items), merged(decode(&input, expect)));
        }

        #[test]
        fn a_packet_after_noise_without_dollar_is_found(
            noise in "[^$]{0,40}", payload in "[A-Za-z0-9:;,]{0,60}"
        ) {
            let mut input = noise.into_bytes();
            input.extend(encode(payload.as_bytes()));
            let items = decode(&input, TALKING);
            prop_assert_eq!(items.last(), Some(&Item::Packet(payload.into_bytes())));
        }

        #[test]
        fn escape_is_undone(data in proptest::collection::vec(any::<u8>(), 0..200)) {
            let escaped = escape(&data);
            prop_assert!(!escaped.iter().any(|byte| matches!(byte, b'#' | b'$' | b'*')));
            prop_assert_eq!(expand(&escaped), Some(data));
        }

        #[test]
        fn expand_takes_anything(data in proptest::collection::vec(any::<u8>(), 0..200)) {
            let _ = expand(&data);
        }

        #[test]
        fn hex_round_trip(data in proptest::collection::vec(any::<u8>(), 0..100)) {
            prop_assert_eq!(unhex(hex(&data).as_bytes()), Some(data));
        }
    }
}
