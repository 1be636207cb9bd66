//! What the kernel has of kgdb's debug registers: as a compiler lays it out,
//! and in the real vmlinux.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

mod support {
    pub mod guest;
    pub mod kernel;
    pub mod linked;
    pub mod tools;
}

use kgdb_tui::{
    base::{
        addr::Addr,
        memory::{Gap, Memory, Recorder, Span, Sparse},
    },
    kernel::hw_breakpoints::{SLOTS, count, delicate, drops_hits, saved_dr7, slots, state},
    symbols::placed::Symbols,
};
use proptest::{
    prelude::*,
    test_runner::{Config, TestRunner},
};
use support::{
    guest::built,
    kernel::loaded,
    linked::{FileMemory, Linked},
};

/// Code as the file has it.
struct Code<'a>(&'a Symbols);

impl Memory for Code<'_> {
    fn read(&self, addr: Addr, into: &mut [u8]) -> Result<(), Gap> {
        let code = self.0.file_code(addr, into.len());
        let code = code.ok_or_else(|| Gap::Fault(Span::new(addr, into.len() as u64)))?;
        into.copy_from_slice(&code);
        Ok(())
    }
}

/// The guest's kernel has the check that drops hits, and the NMI that writes DR7
/// back.
#[test]
fn a_kernel_that_drops_hits_is_known_by_its_code() {
    let symbols = loaded(&built().vmlinux);
    assert_eq!(drops_hits(&symbols, &Code(&symbols)), Ok(true));
    let mut memory = Sparse::new();
    let offsets = symbols.symbol_addr("__per_cpu_offset").unwrap();
    memory.insert(offsets, &0xffff_8880_1000_0000u64.to_le_bytes());
    let saved = saved_dr7(&symbols, &memory, 0).unwrap().unwrap();
    assert_eq!(saved.0 & !0xff_ffff, 0xffff_8880_1000_0000);
    for entry in ["cpu_tss_rw", "cpu_dr7"] {
        let at = symbols.per_cpu_offset_symbol(entry).unwrap().offset(0xffff_8880_1000_0000);
        let why = delicate(&symbols, &memory, &[0], at, 1).unwrap().unwrap();
        assert!(why.contains(entry), "{why}");
        assert_eq!(delicate(&symbols, &memory, &[0], Addr(0xffff_8880_2000_0000), 8), Ok(None));
    }
    assert!(delicate(&symbols, &memory, &[0], Addr(0xffff_fe00_0000_1000), 8).unwrap().is_some());
}

#[test]
fn the_table_has_an_event_for_each_cpu() {
    let linked = Linked::compile("kernel/debug_registers.c", &[]);
    let memory = FileMemory(linked.symbols.clone());
    let symbols = &linked.symbols;
    assert_eq!(drops_hits(symbols, &memory), Ok(false));
    assert_eq!(saved_dr7(symbols, &memory, 0), Ok(None), "{} has none", linked.program.display());
    let found = slots(symbols, &memory, &[0, 1]).unwrap();
    assert_eq!(found.len(), SLOTS);
    assert_eq!((found[0].enabled, found[0].addr), (true, Addr(0xffff_ffff_c000_2418)));
    assert_eq!((found[0].len, found[0].kind), (0x4c, 0x81));
    let counts = |slot: usize| -> Vec<u64> {
        let events = found[slot].events.iter();
        events.map(|(_, event)| count(symbols, &memory, *event).unwrap()).collect()
    };
    assert_eq!((counts(0), counts(1)), (vec![7, 9], vec![0, 0]));
    assert!(found[2].events.is_empty(), "before kgdb_arch_late");
    let (_, event) = found[1].events[1];
    let (addr, active) = state(symbols, event, true).unwrap();
    assert_eq!(memory.bytes(addr, active.len()).unwrap(), active);
    assert_eq!(state(symbols, event, false).unwrap(), (addr, vec![0xff; 4]));
}

/// All that is missing is asked for in few rounds, and nothing in memory makes
/// it panic.
#[test]
fn any_memory_has_an_answer() {
    let linked = Linked::compile("kernel/debug_registers.c", &[]);
    let symbols = &linked.symbols;
    let (table, offsets) = (
        symbols.symbol_addr("breakinfo").unwrap(),
        symbols.symbol_addr("__per_cpu_offset").unwrap(),
    );
    let (whole, mut known) = (FileMemory(symbols.clone()), Sparse::new());
    let mut rounds = 0;
    loop {
        let recorder = Recorder::new(&known);
        let result = slots(symbols, &recorder, &[0, 1]);
        let misses = recorder.into_misses();
        if misses.is_empty() {
            assert_eq!(result, slots(symbols, &whole, &[0, 1]));
            break;
        }
        for miss in misses {
            known.insert(miss.start, &whole.bytes(miss.start, miss.len as usize).unwrap());
        }
        rounds += 1;
    }
    assert!(rounds <= 3, "{rounds} rounds");
    let bytes = (prop::collection::vec(any::<u8>(), 128), any::<[u64; 2]>());
    let mut runner = TestRunner::new(Config::with_cases(64));
    runner
        .run(&bytes, |(bytes, words)| {
            let mut memory = Sparse::new();
            memory.insert(table, &bytes);
            let words: Vec<u8> = words.iter().flat_map(|word| word.to_le_bytes()).collect();
            memory.insert(offsets, &words);
            let _ = slots(symbols, &memory, &[0, 1, u32::MAX]);
            Ok(())
        })
        .unwrap();
}
