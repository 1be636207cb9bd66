//! The kernel's log in every form it has had, as a compiler lays it out and as
//! the kernel writes it: 3.5, 4.2, 5.1, 5.10 and 6.1. The structures are cut
//! down to what counts.

#![allow(clippy::unwrap_used, reason = "a test may panic")]

mod support {
    pub mod tools;
}

use kgdb_tui::{
    base::{
        addr::Addr,
        memory::{Memory, Recorder, Sparse},
    },
    kernel::{
        KernelError,
        dmesg::{Caller, Part, Place, Record, count, newest, older},
    },
    rsp::command::MAX_READ,
    symbols::{
        answer::Layout,
        image::DebugImage,
        placed::{Placement, Symbols},
    },
    target::reads::{plan_reads, worth_merging},
};
use proptest::prelude::*;
use std::{fs, sync::atomic::AtomicBool};
use support::tools::tool;

const OLD: &str = "
struct NAME { unsigned long long ts_nsec; unsigned short len, text_len, dict_len; unsigned char facility;
  unsigned char flags:5; unsigned char level:3; CALLER } __attribute__((packed, aligned(4)));
struct NAME *use_log;
char *log_buf; unsigned int log_buf_len;
unsigned long long log_first_seq, log_next_seq; unsigned int log_first_idx, log_next_idx;
";

const NEW: &str = "
typedef struct { long counter; } atomic_long_t;
struct dev_printk_info { char subsystem[16], device[48]; };
struct printk_info { unsigned long long seq, ts_nsec; unsigned short text_len; unsigned char facility;
  unsigned char flags:5; unsigned char level:3; unsigned int caller_id; struct dev_printk_info dev_info; };
struct prb_data_blk_lpos { unsigned long begin, next; };
struct prb_desc { atomic_long_t state_var; struct prb_data_blk_lpos text_blk_lpos; };
struct prb_data_ring { unsigned int size_bits; char *data; atomic_long_t head_lpos, tail_lpos; };
struct prb_desc_ring { unsigned int count_bits; struct prb_desc *descs; struct printk_info *infos;
  atomic_long_t head_id, tail_id, LAST; };
struct printk_ringbuffer { struct prb_desc_ring desc_ring; struct prb_data_ring text_data_ring;
  atomic_long_t fail; };
struct prb_data_block { unsigned long id; char data[]; };
struct prb_data_block *use_block;
struct printk_ringbuffer *prb;
";

/// Debug information as a compiler makes it of `source`.
fn symbols_of(source: &str) -> Symbols {
    let dir = tempfile::tempdir().unwrap();
    let (c, elf) = (dir.path().join("k.c"), dir.path().join("vmlinux"));
    fs::write(&c, format!("{source}\nint _start(void) {{ return 0; }}\n")).unwrap();
    let mut gcc = tool("gcc");
    gcc.args(["-g", "-nostdlib", "-static", "-no-pie", "-Wl,-Ttext=0xffffffff81000000"]);
    gcc.args(["-mcmodel=kernel", "-fno-pic", "-o"]).arg(&elf).arg(&c);
    assert!(gcc.status().unwrap().success());
    let image = DebugImage::open(&elf).unwrap();
    image.load_dwarf(&|_| (), &AtomicBool::new(false)).unwrap();
    let mut symbols = Symbols::new();
    symbols.place("vmlinux", image, Placement::Slide(0));
    symbols
}

fn old(name: &str, caller: &str) -> Symbols {
    symbols_of(&OLD.replace("NAME", name).replace("CALLER", caller))
}

fn new(last: &str) -> Symbols {
    symbols_of(&NEW.replace("LAST", last))
}

fn put(memory: &mut Sparse, at: Addr, layout: &Layout, member: &str, value: u64) {
    let found = layout.member(member).unwrap_or_else(|| panic!("no member {member}"));
    let at = at.offset(found.offset);
    let len = found.size.min(8) as usize;
    let mut value = value;
    if let Some((first, bits)) = found.bits {
        let before = memory.uint(at, len).unwrap();
        value = before & !(((1 << bits) - 1) << first) | value << first;
    }
    memory.insert(at, &value.to_le_bytes()[..len]);
}

const BUFFER: Addr = Addr(0xffff_8880_0100_0000);
const RINGS: Addr = Addr(0xffff_ffff_8234_5000);
const DESCS: Addr = Addr(0xffff_8880_0200_0000);
const INFOS: Addr = Addr(0xffff_8880_0300_0000);

/// What is logged.
#[derive(Clone, Debug)]
struct Said {
    level: u64,
    flags: u64,
    text: String,
}

fn said(level: u64, text: &str) -> Said {
    Said { level, flags: 2, text: text.into() }
}

/// Writes as `log_store` of 4.2 does.
struct OldLog<'a> {
    symbols: &'a Symbols,
    layout: std::sync::Arc<Layout>,
    memory: Sparse,
    len: u64,
    first: (u64, u64),
    next: (u64, u64),
    sizes: std::collections::VecDeque<(u64, u64)>,
}

impl<'a> OldLog<'a> {
    fn new(symbols: &'a Symbols, name: &str, len: u64) -> OldLog<'a> {
        let mut memory = Sparse::new();
        memory.insert(BUFFER, &vec![0; len as usize]);
        let layout = symbols.struct_layout(name).unwrap();
        let sizes = Default::default();
        OldLog { symbols, layout, memory, len, first: (0, 0), next: (0, 0), sizes }
    }

    fn log(&mut self, said: &Said) {
        let header = self.layout.size;
        let size = (header + said.text.len() as u64).next_multiple_of(4);
        let mut at = self.next.1;
        if at + size + header > self.len {
            self.memory.insert(BUFFER.offset(at), &vec![0; header as usize]);
            at = 0;
        }
        // `log_make_free_space`: what is overwritten is gone.
        let overlaps = |&(old, len): &(u64, u64)| old < at + size + header && at < old + len;
        while self.sizes.iter().any(overlaps) {
            self.sizes.pop_front();
            self.first.0 += 1;
        }
        let one = BUFFER.offset(at);
        self.memory.insert(one, &vec![0; header as usize]);
        let seq = self.next.0;
        let mut set = |member, value| put(&mut self.memory, one, &self.layout, member, value);
        set("ts_nsec", 1_000_000 * seq);
        set("len", size);
        set("text_len", said.text.len() as u64);
        set("flags", said.flags);
        set("level", said.level);
        if self.layout.member("caller_id").is_some() {
            set("caller_id", 0x8000_0001);
        }
        let mut text = said.text.as_bytes().to_vec();
        text.resize((size - header) as usize, 0);
        self.memory.insert(one.offset(header), &text);
        self.sizes.push_back((at, size));
        self.next = (seq + 1, at + size);
        self.first.1 = self.sizes[0].0;
    }

    fn guest(&self) -> Sparse {
        let mut memory = self.memory.clone();
        memory.insert(variables(self.symbols, "log_buf"), &[0; 4096]);
        let mut set = |name: &str, value: u64, len: usize| {
            memory.insert(self.symbols.symbol_addr(name).unwrap(), &value.to_le_bytes()[..len]);
        };
        set("log_buf", BUFFER.0, 8);
        set("log_buf_len", self.len, 4);
        set("log_first_seq", self.first.0, 8);
        set("log_next_seq", self.next.0, 8);
        set("log_first_idx", self.first.1, 4);
        set("log_next_idx", self.next.1, 4);
        memory
    }
}

/// Writes as `prb_reserve` and `prb_final_commit` do.
struct NewLog<'a> {
    symbols: &'a Symbols,
    memory: Sparse,
    count_bits: u64,
    size_bits: u64,
    tail: u64,
    head: u64,
    position: u64,
    seq: u64,
}

const ID_MASK: u64 = !0 >> 2;

impl<'a> NewLog<'a> {
    fn new(symbols: &'a Symbols, count_bits: u64, size_bits: u64) -> NewLog<'a> {
        let mut memory = Sparse::new();
        let size = |name| symbols.struct_layout(name).unwrap().size as usize;
        memory.insert(DESCS, &vec![0; size("prb_desc") << count_bits]);
        memory.insert(INFOS, &vec![0; size("printk_info") << count_bits]);
        memory.insert(BUFFER, &vec![0; 1 << size_bits]);
        memory.insert(RINGS, &vec![0; size("printk_ringbuffer")]);
        // DESC0_ID, BLK0_LPOS.
        let head = 0u64.wrapping_sub((1 << count_bits) + 1) & ID_MASK;
        let position = 0u64.wrapping_sub(1 << size_bits);
        NewLog { symbols, memory, count_bits, size_bits, tail: head, head, position, seq: 0 }
    }

    fn log(&mut self, said: &Said, state: u64) {
        self.head = self.head.wrapping_add(1) & ID_MASK;
        let index = self.head & ((1 << self.count_bits) - 1);
        if self.head.wrapping_sub(self.tail) & ID_MASK >= 1 << self.count_bits {
            self.tail = self.tail.wrapping_add(1) & ID_MASK;
        }
        let size = 1u64 << self.size_bits;
        let need = (8 + said.text.len() as u64).next_multiple_of(8);
        let begin = self.position;
        let mut next = begin.wrapping_add(need);
        let mut start = begin & (size - 1);
        if begin >> self.size_bits != next >> self.size_bits {
            // Not split: the text is at the beginning.
            start = 0;
            next = (next >> self.size_bits << self.size_bits).wrapping_add(need);
        }
        let (mut begin, mut shown) = (begin, next);
        if said.text.is_empty() {
            (begin, shown) = (3, 3);
        } else {
            self.position = next;
            let mut block = self.head.to_le_bytes().to_vec();
            block.extend(said.text.as_bytes());
            self.memory.insert(BUFFER.offset(start), &block);
        }
        let desc = self.symbols.struct_layout("prb_desc").unwrap();
        let at = DESCS.offset(index * desc.size);
        let mut set = |member, value| put(&mut self.memory, at, &desc, member, value);
        set("state_var", state << 62 | self.head);
        set("text_blk_lpos.begin", begin);
        set("text_blk_lpos.next", shown);
        let info = self.symbols.struct_layout("printk_info").unwrap();
        let at = INFOS.offset(index * info.size);
        let mut set = |member, value| put(&mut self.memory, at, &info, member, value);
        set("seq", self.seq);
        set("ts_nsec", 1_000_000 * self.seq);
        set("text_len", said.text.len() as u64);
        set("level", said.level);
        set("flags", said.flags);
        set("caller_id", 0x8000_0001);
        self.seq += 1;
    }

    fn guest(&self) -> Sparse {
        let mut memory = self.memory.clone();
        memory.insert(variables(self.symbols, "prb"), &[0; 4096]);
        let rings = self.symbols.struct_layout("printk_ringbuffer").unwrap();
        memory.insert(self.symbols.symbol_addr("prb").unwrap(), &RINGS.0.to_le_bytes());
        let mut set = |member, value| put(&mut memory, RINGS, &rings, member, value);
        set("desc_ring.count_bits", self.count_bits);
        set("desc_ring.descs", DESCS.0);
        set("desc_ring.infos", INFOS.0);
        set("desc_ring.head_id", self.head);
        set("desc_ring.tail_id", self.tail);
        set("text_data_ring.size_bits", self.size_bits);
        set("text_data_ring.data", BUFFER.0);
        memory
    }
}

/// Does what the session does: reads what is missing and asks again. Gives the
/// bytes of the answers too.
fn ask<T>(
    guest: &Sparse,
    known: &mut Sparse,
    what: impl Fn(&dyn Memory) -> Result<T, KernelError>,
) -> (Result<T, KernelError>, usize, usize) {
    let (mut bytes, mut packets) = (0, 0);
    loop {
        let recorder = Recorder::new(known);
        let result = what(&recorder);
        let misses = recorder.into_misses();
        if misses.is_empty() {
            return (result, bytes, packets);
        }
        for read in plan_reads(&misses, worth_merging(None), MAX_READ) {
            packets += 1;
            match guest.bytes(read.start, read.len as usize) {
                // `+`, `$`, two digits a byte, `#`, the checksum.
                Ok(read_bytes) => {
                    bytes += 1 + 1 + 2 * read_bytes.len() + 3;
                    known.insert(read.start, &read_bytes);
                }
                Err(_) => known.insert_fault(read.start),
            }
        }
    }
}

/// The page that a variable is in.
fn variables(symbols: &Symbols, name: &str) -> Addr {
    Addr(symbols.symbol_addr(name).unwrap().0 & !0xfff)
}

fn texts(records: &[Record]) -> Vec<&str> {
    records.iter().map(|record| record.text.as_str()).collect()
}

/// Everything, in pieces from the newest on back.
fn everything(symbols: &Symbols, guest: &Sparse, most: usize) -> Vec<Record> {
    let mut part = newest(symbols, guest, None, most).unwrap();
    let mut all = part.records.clone();
    while let Some(begin) = part.begin {
        part = older(symbols, guest, begin, most).unwrap();
        all.splice(0..0, part.records.clone());
    }
    all
}

/// Lines as a kernel has them, 60 to 90 bytes long.
fn usual(count: usize) -> Vec<Said> {
    let line = |n: usize| {
        let text = format!(
            "usb 1-{n}: new high-speed USB device number {} using xhci_hcd{}",
            n * 7 + 3,
            ", and more".repeat(n % 3)
        );
        said((n % 8) as u64, &text)
    };
    (0..count).map(line).collect()
}

fn check(symbols: &Symbols, guest: &Sparse, all: &[Said], has_caller: bool) {
    let expected: Vec<&str> = all.iter().map(|said| said.text.as_str()).collect();
    for most in [1, 7, 50, 1000] {
        let read = everything(symbols, guest, most);
        let from = expected.len() - read.len();
        assert_eq!(texts(&read), expected[from..], "{most} at a time");
        assert!(count(symbols, guest).unwrap() >= read.len() as u64);
        for (index, record) in read.iter().enumerate() {
            assert_eq!(record.seq, (from + index) as u64);
            assert_eq!(u64::from(record.level), all[from + index].level);
            assert_eq!(record.nanoseconds, 1_000_000 * record.seq);
            assert_eq!(record.caller, has_caller.then_some(Caller::Cpu(1)));
        }
    }
    // The newest twenty, by what they cost.
    let mut known = Sparse::new();
    let (part, bytes, packets) = ask(guest, &mut known, |memory| newest(symbols, memory, None, 20));
    let part = part.unwrap();
    let mut lines = part.records.len();
    let (mut bytes, mut packets, mut begin) = (bytes, packets, part.begin);
    while let Some(place) = begin.filter(|_| lines < 20) {
        let left = 20 - lines;
        let (more, b, p) = ask(guest, &mut known, |memory| older(symbols, memory, place, left));
        let more = more.unwrap();
        (lines, bytes, packets) = (lines + more.records.len(), bytes + b, packets + p);
        begin = more.begin;
    }
    println!("{lines} lines: {bytes} bytes of answers in {packets} packets");
    assert!(lines >= 20 && bytes <= 5_700, "{lines} lines, {bytes} bytes");
    // Nothing new costs next to nothing.
    let mut again = Sparse::new();
    let since = Some(part.end);
    let (part, bytes, packets) = ask(guest, &mut again, |m| newest(symbols, m, since, 20));
    println!("nothing new: {bytes} bytes of answers in {packets} packets");
    let part = part.unwrap();
    assert!(part.records.is_empty() && part.joins && bytes < 300, "{part:?} {bytes}");
}

#[test]
fn old_logs_before_and_after_they_begin_anew() {
    for (name, caller, version) in [
        ("log", "", "3.5"),
        ("printk_log", "", "4.2"),
        ("printk_log", "unsigned int caller_id;", "5.1"),
    ] {
        println!("{version}");
        let symbols = old(name, caller);
        let tag = format!("struct {name}");
        for (lines, size) in [(40, 1 << 16), (3000, 1 << 16), (1000, 8192 + 12)] {
            let all = usual(lines);
            let mut log = OldLog::new(&symbols, &tag, size);
            all.iter().for_each(|said| log.log(said));
            assert_eq!(log.next.0 - log.first.0, log.sizes.len() as u64);
            let guest = log.guest();
            check(&symbols, &guest, &all, !caller.is_empty());
            let kept = everything(&symbols, &guest, 33).len();
            assert_eq!(kept, log.sizes.len(), "all that is kept");
        }
    }
}

#[test]
fn new_logs_before_and_after_they_begin_anew() {
    for (last, version) in [("last_finalized_id", "5.10"), ("last_finalized_seq", "6.12")] {
        println!("{version}");
        let symbols = new(last);
        for (lines, bits) in [(40, (8, 16)), (3000, (8, 16)), (1000, (5, 12))] {
            let all = usual(lines);
            let mut log = NewLog::new(&symbols, bits.0, bits.1);
            all.iter().for_each(|said| log.log(said, 2));
            check(&symbols, &log.guest(), &all, true);
        }
    }
}

#[test]
fn what_is_new_is_read_alone_and_joins_what_is_known() {
    let symbols = old("printk_log", "");
    // At each stop some more; the buffer begins anew several times.
    let all = usual(400);
    let mut log = OldLog::new(&symbols, "struct printk_log", 4096);
    let (mut since, mut seen) = (None, Vec::new());
    for lines in all.chunks(9) {
        lines.iter().for_each(|said| log.log(said));
        let part = newest(&symbols, &log.guest(), since, 20).unwrap();
        assert_eq!((part.joins, part.records.len()), (since.is_some(), lines.len()));
        since = Some(part.end);
        seen.extend(part.records);
    }
    assert_eq!(texts(&seen), all.iter().map(|said| said.text.as_str()).collect::<Vec<_>>());
    // More than are wanted: the gap is told.
    usual(60).iter().for_each(|said| log.log(said));
    let part = newest(&symbols, &log.guest(), since, 20).unwrap();
    assert!(!part.joins && part.records.last().unwrap().seq == 459);

    let symbols = new("last_finalized_id");
    let mut log = NewLog::new(&symbols, 6, 12);
    let (mut since, mut seen) = (None, Vec::new());
    for lines in all.chunks(9) {
        lines.iter().for_each(|said| log.log(said, 2));
        let part = newest(&symbols, &log.guest(), since, 20).unwrap();
        assert_eq!((part.joins, part.records.len()), (since.is_some(), lines.len()));
        since = Some(part.end);
        seen.extend(part.records);
    }
    assert_eq!(texts(&seen), all.iter().map(|said| said.text.as_str()).collect::<Vec<_>>());
    usual(60).iter().for_each(|said| log.log(said, 2));
    assert!(!newest(&symbols, &log.guest(), since, 20).unwrap().joins);
}

#[test]
fn what_is_being_written_is_left_out_and_what_may_grow_is_read_again() {
    let symbols = new("last_finalized_id");
    let mut log = NewLog::new(&symbols, 5, 12);
    log.log(&said(6, "whole"), 2);
    log.log(&said(6, "half wri"), 0);
    log.log(&said(4, ""), 2);
    log.log(&Said { level: 6, flags: 0, text: "to be continued".into() }, 1);
    let part = newest(&symbols, &log.guest(), None, 20).unwrap();
    assert_eq!(texts(&part.records), ["whole", "", "to be continued"]);
    assert_eq!(part.records.iter().map(|r| r.open).collect::<Vec<_>>(), [false, false, true]);
    // The one that was open is not behind us.
    let again = newest(&symbols, &log.guest(), Some(part.end), 20).unwrap();
    assert_eq!((texts(&again.records), again.joins), (vec!["to be continued"], true));
}

#[test]
fn fragments_are_known_as_such() {
    let symbols = old("printk_log", "");
    let mut log = OldLog::new(&symbols, "struct printk_log", 4096);
    for (flags, text) in [(8, "cpus: 0"), (8, " 1"), (10, " 2"), (2, "next")] {
        log.log(&Said { level: 6, flags, text: text.into() });
    }
    let mut part = newest(&symbols, &log.guest(), None, 20).unwrap();
    kgdb_tui::kernel::dmesg::join(&mut part.records);
    let continues: Vec<bool> = part.records.iter().map(|record| record.continues).collect();
    assert_eq!(continues, [false, true, true, false]);
}

#[test]
fn other_kernels_are_told_apart() {
    let symbols = symbols_of("int x;");
    assert!(matches!(newest(&symbols, &Sparse::new(), None, 5), Err(KernelError::NoType(_))));
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(64) })]

    /// Lengths of every kind, buffers that begin anew at every place.
    #[test]
    fn any_old_log_is_read_as_it_was_written(
        lengths in prop::collection::vec(0usize..300, 1..120),
        size in 300u64..1200,
        most in 1usize..30,
    ) {
        let symbols = the_old();
        let all: Vec<Said> = lengths
            .iter()
            .enumerate()
            .map(|(n, len)| said((n % 8) as u64, &format!("{n}:{}", "x".repeat(*len))))
            .collect();
        let mut log = OldLog::new(symbols, "struct printk_log", size * 4);
        all.iter().for_each(|said| log.log(said));
        let read = everything(symbols, &log.guest(), most);
        prop_assert_eq!(read.len(), log.sizes.len());
        for record in &read {
            prop_assert_eq!(&record.text, &all[record.seq as usize].text);
        }
    }

    /// A guest may hold anything.
    #[test]
    fn garbage_ends(
        seed in prop::collection::vec(any::<u64>(), 16), most in 1usize..40, place: (bool, u64, u32),
    ) {
        let mut garbage = Sparse::new();
        let mut bytes: Vec<u8> = seed.iter().flat_map(|word| word.to_le_bytes()).collect();
        bytes = bytes.repeat(64);
        for at in [BUFFER, RINGS, DESCS, INFOS] {
            garbage.insert(at, &bytes);
        }
        for symbols in [the_old(), the_new()] {
            let mut memory = garbage.clone();
            let names = ["log_buf", "log_first_seq", "log_next_seq", "log_buf_len", "log_first_idx",
                "log_next_idx", "prb"];
            for (index, name) in names.iter().enumerate() {
                if let Some(at) = symbols.symbol_addr(name) {
                    let value = match *name {
                        "log_buf" => BUFFER.0,
                        "prb" => RINGS.0,
                        _ => seed[index],
                    };
                    let len = if name.ends_with("idx") || name.ends_with("len") { 4 } else { 8 };
                    memory.insert(at, &value.to_le_bytes()[..len]);
                }
            }
            let (ring, seq, index) = place;
            let place = if ring { Place::Behind(seq) } else { Place::Before { seq, index } };
            for since in [None, Some(place)] {
                let _: Result<Part, _> = newest(symbols, &memory, since, most);
            }
            let _ = older(symbols, &memory, place, most);
            let _ = count(symbols, &memory);
        }
    }
}

fn the_old() -> &'static Symbols {
    static OLD: std::sync::OnceLock<Symbols> = std::sync::OnceLock::new();
    OLD.get_or_init(|| old("printk_log", ""))
}

fn the_new() -> &'static Symbols {
    static NEW: std::sync::OnceLock<Symbols> = std::sync::OnceLock::new();
    NEW.get_or_init(|| new("last_finalized_id"))
}
