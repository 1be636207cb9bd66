//! The panes of what was written down: dmesg, packets, the log; and the
//! disassembly pane.

use super::{Bench, fixture};
use crate::base::addr::Addr;
use crate::session::packets::{PacketView, Way};
use crate::session::request::{Level, Request, Update};
use crate::session::symbol_answer::InsnAnswer;
use crate::session::view::{State, StopView, View};
use crate::session::wants::{CodeView, CodeWant, DmesgLine, DmesgView, Wants};
use crate::ui::message::{Effect, Message};
use insta::assert_snapshot;
use std::sync::Arc;

const SIZES: [(u16, u16); 4] = [(60, 15), (80, 24), (120, 35), (200, 60)];

fn view(change: impl FnOnce(&mut StopView)) -> View {
    let mut stop = fixture::stop(1, 35);
    change(&mut stop);
    fixture::view(State::Stopped, Some(stop))
}

/// The pane at every size.
fn at_all_sizes(name: &str, key: &str, prepare: impl Fn(&mut Bench)) {
    for (columns, rows) in SIZES {
        let mut bench = Bench::new(columns, rows);
        prepare(&mut bench);
        bench.keys(key);
        prepare(&mut bench);
        assert_snapshot!(format!("{name}_{columns}x{rows}"), bench.styled());
    }
}

fn wants(effects: &[Effect]) -> Wants {
    let found = effects.iter().find_map(|effect| match effect {
        Effect::Ask(Request::Want(wants), _) => Some(wants.clone()),
        _ => None,
    });
    found.unwrap_or_else(|| panic!("nothing wanted: {effects:?}"))
}

fn lines(from: u64, to: u64) -> Vec<DmesgLine> {
    let line = |seq: u64| {
        let (level, text) = match seq % 8 {
            0 => ("warn", "hgfs: 申请 of a request took 2.1 s"),
            1 => ("err", "BUG: kernel NULL pointer dereference, address: 0000000000000038"),
            2 => ("emerg", "Oops: 0000 [#1] SMP"),
            3 => ("warn", "RIP: 0010:HgfsSendRequest+0x12/0x340 [hgfs]"),
            4 => ("debug", "\thgfs_dump: len=12 \u{1b}[31m"),
            5 => ("notice", "random: crng init done"),
            6 => (
                "info",
                "If you want to keep using the local clock, then add:\n  trace_clock=local",
            ),
            _ => ("info", "e1000 0000:00:03.0: (PCI:33MHz:32-bit) 52:54:00:12:34:56"),
        };
        let time = 600.0 + seq as f64 / 8.0;
        DmesgLine { seq, level, time, text: text.into(), caller: Some("T812".into()) }
    };
    (from..to).map(line).collect()
}

fn dmesg(from: u64, to: u64) -> View {
    view(|stop| {
        stop.supplied.dmesg = Some(DmesgView {
            lines: Arc::new(lines(from, to)),
            total: to,
            older: from > 0,
            reading: false,
            error: None,
        });
    })
}

#[test]
fn dmesg_at_all_sizes() {
    at_all_sizes("dmesg", "L", |bench| {
        bench.view(dmesg(20, 41));
    });
}

#[test]
fn dmesg_reads_back_as_far_as_one_scrolls_and_keeps_its_place() {
    let mut bench = Bench::new(100, 40);
    bench.view(view(|_| ()));
    let first = wants(&bench.keys("L z")).dmesg.unwrap().lines;
    assert!(first >= 20);
    bench.view(dmesg(30, 41));
    assert!(bench.text().contains("11 of 41 lines"), "{}", bench.text());
    // At the top, up asks for more and says what it costs.
    let more = wants(&bench.keys("Home Up")).dmesg.unwrap().lines;
    assert!(more > first && bench.text().contains("older lines, about "), "{}", bench.text());
    let at = |bench: &Bench| bench.app.dmesg.list;
    assert_eq!(at(&bench).cursor, 0);
    bench.view(dmesg(0, 41));
    assert!(at(&bench).cursor > 20, "the cursor is on the same line: {:?}", at(&bench));
    assert!(bench.text().contains("all 41 lines"));
    // By level, by text.
    bench.keys("v v");
    assert!(bench.text().contains("errors and worse") && !bench.text().contains("crng"));
    bench.keys("v /");
    bench.types("crng");
    bench.keys("Enter");
    assert!(bench.text().contains("/crng") && !bench.text().contains("PCI:33MHz"));
    // A new line at a further stop is followed.
    bench.keys("/");
    (0..4).for_each(|_| drop(bench.keys("Backspace")));
    bench.keys("Enter End");
    bench.view(dmesg(0, 44));
    assert!(bench.text().contains("Oops: 0000 [#1] SMP"));
    assert_eq!(at(&bench).cursor + 1, at(&bench).len);
}

#[test]
fn a_line_of_an_oops_leads_to_its_source() {
    let mut bench = Bench::new(160, 48);
    bench.view(view(|_| ()));
    bench.keys("L");
    bench.view(dmesg(0, 4));
    let effects = bench.keys("Enter");
    assert_eq!(effects, []);
    // The book of the fixture knows no such place; that it was asked is told.
    assert!(bench.text().contains("*hgfs!HgfsSendRequest+0x12"), "{}", bench.text());
    bench.keys("L Up Up Up K");
    assert!(bench.text().contains("by the task with pid 812"), "{}", bench.text());
}

fn packets(count: u64) -> View {
    let packet = |number: u64| {
        let (way, raw, words, purpose, trouble) = match number % 6 {
            0 => (Way::Mark, "", "stop 3: breakpoint 1", "", false),
            1 => (Way::Sent, "g", "read the registers", "stop", false),
            2 => (Way::Received, "0000000000000000a0c1", "registers, 560 B", "stop", false),
            3 => (
                Way::Sent,
                "mffffc90000183d98,40",
                "read 64 bytes at 0xffffc90000183d98",
                "stack",
                false,
            ),
            4 => (Way::Received, "$00ff#00", "damaged: its checksum is wrong", "stack", true),
            _ => (
                Way::Received,
                "3530a081ffffffff00",
                "64 bytes: 3530a081ffffffff00000000000000a0 …",
                "stack",
                false,
            ),
        };
        let (time, raw, words) = (number as f64 / 50.0, raw.into(), words.into());
        Arc::new(PacketView { number, time, way, raw, words, purpose, trouble })
    };
    View { packets: Some(Arc::new((1..=count).map(packet).collect())), ..view(|_| ()) }
}

#[test]
fn packets_at_all_sizes() {
    at_all_sizes("packets", "X", |bench| {
        bench.view(packets(70));
    });
}

#[test]
fn packets_are_wanted_while_they_are_seen_and_filtered() {
    let mut bench = Bench::new(160, 48);
    bench.view(view(|_| ()));
    assert!(wants(&bench.keys("X")).packets);
    bench.view(packets(60));
    bench.keys("/");
    bench.types("checksum");
    bench.keys("Enter");
    assert_eq!(bench.app.packets.list.len, 10);
    bench.view(packets(66));
    assert_eq!(bench.app.packets.list.len, 11);
    bench.keys("Enter");
    assert!(bench.text().contains("$00ff#00"));
    bench.keys("Esc");
    assert!(!wants(&bench.keys("2")).packets);
}

#[test]
fn the_log_at_all_sizes() {
    at_all_sizes("log", "3", |bench| {
        bench.view(view(|_| ()));
        let said = [
            (Level::Info, "the link is back"),
            (Level::Warning, "no source for hgfs/request.c; see --substitute-path"),
            (Level::Warning, "no source for hgfs/request.c; see --substitute-path"),
            (Level::Error, "read 64 bytes at 0x10: not mapped (E14)\nsee info link"),
        ];
        for (level, text) in said {
            bench.send(Message::Update(Update::Message(level, text.into())));
        }
    });
}

fn code(most: u64, before: u64, after: u64) -> View {
    view(|stop| {
        let insn = |(insn, symbol): (&crate::arch::insn::Insn, &Option<String>)| InsnAnswer {
            address: insn.addr,
            symbol: symbol.clone(),
            bytes: crate::base::text::hex(&insn.bytes),
            text: insn.text.clone(),
            target: insn.refers_to,
            jump: insn.jump(),
            ..InsnAnswer::default()
        };
        let code = stop.code.iter().zip(&stop.code_symbols).map(insn).collect();
        stop.supplied.code = Some(CodeView {
            want: CodeWant { place: None, most },
            at: stop.code[0].addr,
            function: Some("HgfsSendRequest".into()),
            instructions: Arc::new(code),
            before,
            after,
            error: None,
        });
    })
}

#[test]
fn disassembly_at_all_sizes() {
    at_all_sizes("disassembly", "D", |bench| {
        bench.view(code(512, 0, 900));
    });
}

#[test]
fn disassembly_follows_calls_comes_back_and_reads_on_at_its_end() {
    let mut bench = Bench::new(160, 48);
    bench.view(view(|_| ()));
    let first = wants(&bench.keys("D")).code.unwrap();
    assert_eq!(first, CodeWant { place: None, most: 512 });
    bench.view(code(512, 0, 900));
    // A breakpoint at the instruction of the cursor.
    let effects = bench.keys("Down b");
    let toggled = |effects: &[Effect]| match effects {
        [Effect::Ask(Request::Toggle(place), _)] => place.clone(),
        other => panic!("{other:?}"),
    };
    assert_eq!(toggled(&effects), format!("*{}", Addr(0xffff_ffff_c000_2036)));
    // At the end there is more of the function.
    let more = wants(&bench.keys("End Down")).code.unwrap();
    assert_eq!(more.most, 1024);
    bench.view(code(1024, 0, 0));
    // The call, and back.
    bench.keys("Home Down Down Down Down Enter");
    let place = bench.app.wanted.code.clone().unwrap().place.unwrap();
    assert!(place.starts_with("*0xffffffff812"), "{place}");
    bench.keys("Backspace");
    assert_eq!(bench.app.wanted.code.clone().unwrap().place, None);
    bench.keys("g");
    bench.types("vfs_read");
    bench.keys("Enter");
    let place = bench.app.wanted.code.clone().unwrap().place;
    assert_eq!(place.as_deref(), Some("vfs_read"));
    bench.keys(".");
    assert_eq!(bench.app.wanted.code.clone().unwrap().place, None);
}
