//! The stub's own table of software breakpoints: `kgdb_break[]`, 1000 entries
//! of `struct kgdb_bkpt` (kernel/debug/debug_core.c, include/linux/kgdb.h).
//!
//! Entries are taken from the front and keep their address when the breakpoint
//! is gone, so the table remembers what earlier sessions planted.

use crate::{
    arch::insn::{Flow, instruction},
    base::{addr::Addr, memory::Memory},
    kernel::{KernelError, Struct, symbol},
    symbols::placed::Symbols,
};

/// KGDB_MAX_BREAKPOINTS in include/linux/kgdb.h.
const MOST: u64 = 1000;

/// `int3`.
pub const TRAP: u8 = 0xcc;

/// Entries that are read at a time: one packet.
const AT_ONCE: u64 = 20;

/// `enum kgdb_bpstate`, by its names in the debug information.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum State {
    /// BP_UNDEFINED: the entry is free, or was freed by `?`, `D` or `k`.
    Free,
    /// BP_REMOVED: taken out by `z0`; the entry waits for the same address.
    Removed,
    /// BP_SET: will be written at the next resume.
    Set,
    /// BP_ACTIVE: its int3 is in memory.
    Active,
}

impl State {
    const ALL: [State; 4] = [State::Free, State::Removed, State::Set, State::Active];

    fn enumerator(self) -> &'static str {
        match self {
            State::Free => "BP_UNDEFINED",
            State::Removed => "BP_REMOVED",
            State::Set => "BP_SET",
            State::Active => "BP_ACTIVE",
        }
    }

    fn value(self, symbols: &Symbols) -> Result<u64, KernelError> {
        let value = symbols.enumerator(self.enumerator());
        let value = value
            .ok_or_else(|| KernelError::NoType(format!("enumerator {}", self.enumerator())))?;
        Ok(value as u64)
    }
}

/// An entry of the table that is in use or was.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Entry {
    /// Where the entry is.
    pub addr: Addr,
    /// The breakpoint's address.
    pub site: Addr,
    /// What became of it.
    pub state: State,
    /// The byte that the int3 is in the place of; meaningless while free.
    pub saved: u8,
}

/// Every entry that was ever used since boot, in order; an address may be in
/// several that are free. One read for each 20.
///
/// # Errors
/// A read that has no answer; no debug information.
pub fn table(symbols: &Symbols, memory: &dyn Memory) -> Result<Vec<Entry>, KernelError> {
    let table = symbol(symbols, "kgdb_break")?;
    let layout = Struct::new(symbols, "kgdb_bkpt")?;
    let (site, size) = (layout.field("bpt_addr")?, layout.size());
    let (saved, state) = (layout.field("saved_instr")?, layout.field("state")?);
    if size == 0 || size > 64 {
        return Err(KernelError::Implausible("struct kgdb_bkpt is too large".to_string()));
    }
    let mut states = Vec::new();
    for known in State::ALL {
        states.push((known.value(symbols)?, known));
    }
    let mut found = Vec::new();
    for first in (0..MOST).step_by(AT_ONCE as usize) {
        let start = table.offset(first * size);
        let bytes = memory.bytes(start, (AT_ONCE * size) as usize)?;
        for (i, entry) in bytes.chunks_exact(size as usize).enumerate() {
            let word = |(at, len): (u64, u64)| {
                let bytes = entry.get(at as usize..(at + len.min(8)) as usize).unwrap_or_default();
                bytes.iter().rev().fold(0u64, |value, &byte| value << 8 | u64::from(byte))
            };
            if word(site) == 0 {
                return Ok(found);
            }
            let value = word(state);
            let state = states.iter().find(|(number, _)| *number == value).map(|(_, state)| *state);
            found.push(Entry {
                addr: start.offset(i as u64 * size),
                site: Addr(word(site)),
                state: state.unwrap_or(State::Free),
                saved: word((saved.0, 1)) as u8,
            });
        }
    }
    Ok(found)
}

/// What is to be written into an entry, and where, for another state.
///
/// # Errors
/// No debug information.
pub fn with_state(
    symbols: &Symbols,
    entry: &Entry,
    state: State,
) -> Result<(Addr, Vec<u8>), KernelError> {
    write(symbols, entry, "state", state.value(symbols)?)
}

/// What is to be written into an entry, and where, so that the kernel takes its
/// int3 out the next time it enters the debugger, whether its text is
/// read-only or not: the type `BP_POKE_BREAKPOINT`, the state `BP_ACTIVE`.
///
/// Before `mark_rodata_ro` kgdb writes an int3 like data and notes the type
/// `BP_BREAKPOINT`; afterwards that text is read-only, and taking the int3 out
/// by the noted type fails. It fails too while somebody holds `text_mutex`
/// (`kgdb_arch_remove_breakpoint` in arch/x86/kernel/kgdb.c). The kernel notes
/// `BP_SET` all the same (`dbg_deactivate_sw_breakpoints`, "BP remove failed" in
/// kernel/debug/debug_core.c), and on resume would take the int3 for the byte
/// that belongs there. The table itself is ordinary data. Measured on 6.1.192.
///
/// # Errors
/// No debug information.
pub fn correction(symbols: &Symbols, entry: &Entry) -> Result<[(Addr, Vec<u8>); 2], KernelError> {
    const POKED: &str = "BP_POKE_BREAKPOINT";
    let poked = symbols.enumerator(POKED);
    let poked = poked.ok_or_else(|| KernelError::NoType(format!("enumerator {POKED}")))?;
    let kind = write(symbols, entry, "type", poked as u64)?;
    Ok([kind, with_state(symbols, entry, State::Active)?])
}

/// What is to be written into an entry, and where, so that it is an active one
/// for `site` in read-only text, which has saved `byte`.
///
/// # Errors
/// No debug information.
pub fn entry_of(
    symbols: &Symbols,
    entry: &Entry,
    site: Addr,
    byte: u8,
) -> Result<Vec<(Addr, Vec<u8>)>, KernelError> {
    let mut writes = vec![
        write(symbols, entry, "bpt_addr", site.0)?,
        (entry.addr.offset(Struct::new(symbols, "kgdb_bkpt")?.offset("saved_instr")?), vec![byte]),
    ];
    writes.extend(correction(symbols, entry)?);
    Ok(writes)
}

/// An entry that nobody uses: a free one of the table, or the one after its
/// last. `None` when the table is full.
///
/// # Errors
/// No debug information.
pub fn unused(symbols: &Symbols, table: &[Entry]) -> Result<Option<Entry>, KernelError> {
    if let Some(free) = table.iter().find(|entry| entry.state == State::Free) {
        return Ok(Some(*free));
    }
    if table.len() as u64 >= MOST {
        return Ok(None);
    }
    let start = symbol(symbols, "kgdb_break")?;
    let addr = start.offset(table.len() as u64 * Struct::new(symbols, "kgdb_bkpt")?.size());
    Ok(Some(Entry { addr, site: Addr(0), state: State::Free, saved: 0 }))
}

fn write(
    symbols: &Symbols,
    entry: &Entry,
    member: &str,
    value: u64,
) -> Result<(Addr, Vec<u8>), KernelError> {
    let (offset, len) = Struct::new(symbols, "kgdb_bkpt")?.field(member)?;
    Ok((entry.addr.offset(offset), value.to_le_bytes()[..len.min(8) as usize].to_vec()))
}

/// `text_mutex`: whoever changes the kernel's text holds it, and kgdb neither
/// plants nor takes out meanwhile.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TextMutex {
    /// Whether somebody holds it.
    pub is_held: bool,
    /// The task that does, where the kernel notes it.
    pub holder: Option<Addr>,
    /// Where it is noted that it is held.
    pub word: Addr,
    /// What is there.
    pub now: Vec<u8>,
    /// What would be there if it were free.
    pub free: Vec<u8>,
}

/// `text_mutex` as it is. One read of 8 bytes, or two.
///
/// # Errors
/// A read that has no answer; no such mutex, or one of an unknown make.
pub fn text_mutex(symbols: &Symbols, memory: &dyn Memory) -> Result<TextMutex, KernelError> {
    /// MUTEX_FLAGS in kernel/locking/mutex.h.
    const FLAGS: u64 = 7;
    let mutex = symbol(symbols, "text_mutex")?;
    let layout = Struct::new(symbols, "mutex")?;
    let task = |word: u64| Some(Addr(word & !FLAGS)).filter(|task| task.0 != 0);
    if let Some((count, _)) = layout.find("count") {
        // Before 4.10: 1 is free, and there may be an owner beside it.
        let word = mutex.offset(count);
        let (count, owner) = (
            memory.u32(word),
            layout.find("owner").map(|(owner, _)| memory.u64(mutex.offset(owner))),
        );
        let (count, owner) = (count?, owner.transpose()?);
        let (now, free) = (count.to_le_bytes().to_vec(), 1u32.to_le_bytes().to_vec());
        let holder = owner.and_then(task);
        return Ok(TextMutex { is_held: count != 1, holder, word, now, free });
    }
    // With PREEMPT_RT it is an rt_mutex.
    let owner = layout.find("owner").or_else(|| layout.find("rtmutex.owner"));
    let (at, _) =
        owner.ok_or_else(|| KernelError::NoType("member owner in struct mutex".to_string()))?;
    let word = mutex.offset(at);
    let now = memory.u64(word)?;
    let (holder, free) = (task(now), (now & FLAGS).to_le_bytes().to_vec());
    let now = now.to_le_bytes().to_vec();
    Ok(TextMutex { is_held: holder.is_some(), holder, word, now, free })
}

/// Whether the kernel's text is read-only by now. A kernel that never makes it
/// so has no such variable, and no such problem.
///
/// # Errors
/// A read that has no answer.
pub fn text_is_readonly(symbols: &Symbols, memory: &dyn Memory) -> Result<bool, KernelError> {
    match symbols.symbol_addr("kernel_set_to_readonly") {
        Some(addr) => Ok(memory.u32(addr)? != 0),
        None => Ok(true),
    }
}

/// The int3 that is compiled into `kgdb_breakpoint`: executing it enters the
/// debugger, on the CPU that does.
///
/// # Errors
/// A read that has no answer; no such symbol.
pub fn entry_trap(symbols: &Symbols, memory: &dyn Memory) -> Result<Option<Addr>, KernelError> {
    const SEARCHED_BYTES: usize = 64;
    let start = symbol(symbols, "kgdb_breakpoint")?;
    let bytes = memory.bytes(start, SEARCHED_BYTES)?;
    Ok(bytes.iter().position(|&byte| byte == TRAP).map(|at| start.offset(at as u64)))
}

/// A return instruction of the kernel's, which does nothing but return: that at
/// the end of `kgdb_breakpoint`. Where returns are made by a thunk, the jump
/// there (`__x86_return_thunk` in arch/x86/lib/retpoline.S).
///
/// # Errors
/// A read that has no answer; no such symbol.
pub fn a_return(symbols: &Symbols, memory: &dyn Memory) -> Result<Option<Addr>, KernelError> {
    const MOST: usize = 8;
    let Some(trap) = entry_trap(symbols, memory)? else { return Ok(None) };
    let mut at = trap.offset(1);
    for _ in 0..MOST {
        let Some(insn) = instruction(memory, at)? else { return Ok(None) };
        let thunk = |target| {
            let symbol = symbols.symbol_at(target);
            symbol.is_some_and(|symbol| symbol.name == "__x86_return_thunk")
        };
        match insn.flow {
            Flow::Return => return Ok(Some(at)),
            Flow::Jump(target) if thunk(target) => return Ok(Some(at)),
            Flow::Next => at = insn.next(),
            _ => return Ok(None),
        }
    }
    Ok(None)
}
