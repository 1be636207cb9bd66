//! The frame decoder: any bytes in any pieces, and what we send ourselves.
#![no_main]

use kgdb_tui::rsp::frame::{Decoder, Expect, Item, Packets, encode, escape, expand};
use libfuzzer_sys::fuzz_target;

fn expect(choice: u8) -> Expect {
    let packets =
        [Packets::Any, Packets::Announcements, Packets::AnnouncementsOrError][choice as usize % 3];
    Expect { ack: choice & 0x80 != 0, packets }
}

/// All items, with text that came in pieces put together, as bytes and kinds.
fn decode(bytes: &[u8], piece: usize, expect: Expect) -> Vec<Item> {
    let mut decoder = Decoder::default();
    let mut items: Vec<Item> = Vec::new();
    let mut take = |decoder: &mut Decoder| {
        while let Some(item) = decoder.next(expect) {
            match (items.last_mut(), item) {
                (Some(Item::Text(last)), Item::Text(more)) => last.extend(more),
                (_, item) => items.push(item),
            }
        }
    };
    for part in bytes.chunks(piece.max(1)) {
        decoder.push(part);
        take(&mut decoder);
    }
    decoder.idle();
    take(&mut decoder);
    assert_eq!(decoder.held(), 0, "nothing is kept back from a silent line");
    items
}

fuzz_target!(|input: (u8, u8, &[u8])| {
    let (choice, piece, bytes) = input;
    let expect = expect(choice);
    let whole = decode(bytes, bytes.len(), expect);
    assert_eq!(whole, decode(bytes, piece as usize, expect), "pieces do not matter");
    // Nothing is lost and nothing is added.
    let length = |item: &Item| match item {
        Item::Packet(payload) => payload.len() + 4,
        Item::BadPacket(raw) | Item::Text(raw) => raw.len(),
        Item::Ack | Item::Nak => 1,
    };
    assert_eq!(whole.iter().map(length).sum::<usize>(), bytes.len());
    for item in &whole {
        if let Item::Packet(payload) = item {
            let _ = expand(payload);
        }
    }
    // What is sent is what is taken.
    let data = &bytes[..bytes.len().min(900)];
    let escaped = escape(data);
    assert_eq!(expand(&escaped).as_deref(), Some(data));
    let any = Expect { ack: false, packets: Packets::Any };
    assert_eq!(decode(&encode(&escaped), 7, any), [Item::Packet(escaped)]);
});
