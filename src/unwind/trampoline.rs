//! Tracers that stand between a function and its caller.
//!
//! To see a function return, the function-graph tracer, kretprobes and rethooks
//! put the address of a trampoline in place of the return address, and keep the
//! real one in a record of the task, with the place it was taken from
//! (kernel/trace/fgraph.c `ftrace_graph_ret_addr`, kernel/trace/rethook.c
//! `rethook_find_ret_addr`, kernel/kprobes.c `kretprobe_find_ret_addr`). To see
//! one begin, its first instruction calls `ftrace_caller`, or a copy of it in
//! memory that belongs to no image (arch/x86/kernel/ftrace.c
//! `create_trampoline`, unwind_orc.c `orc_ftrace_find`).

use crate::{
    base::{
        addr::Addr,
        memory::{Gap, Memory},
    },
    symbols::{answer::Layout, placed::Symbols},
    unwind::End,
};

/// Records and tracers are few; a list that is longer goes in a circle.
const MOST: usize = 256;

/// `FTRACE_RETFUNC_DEPTH` is 50 records of up to 48 bytes, and newer kernels
/// have one page (`SHADOW_STACK_SIZE`).
const LARGEST_STACK: u64 = 4096;

/// `KPROBE_TABLE_SIZE` of kernels that keep all instances in one table.
const TABLE: u64 = 64;

/// `pushf`, with which `ftrace_regs_caller` begins and `ftrace_caller` not.
const PUSHF: u64 = 0x9c;

#[derive(Clone, Copy, PartialEq, Eq)]
enum Hook {
    Graph,
    Rethook,
    Kretprobe,
}

fn hook(symbols: &Symbols, pc: Addr) -> Option<Hook> {
    let symbol = symbols.symbol_at(pc).filter(|symbol| symbol.start == pc)?;
    match symbol.name.as_str() {
        "return_to_handler" => Some(Hook::Graph),
        "arch_rethook_trampoline" => Some(Hook::Rethook),
        "kretprobe_trampoline" | "__kretprobe_trampoline" => Some(Hook::Kretprobe),
        _ => None,
    }
}

/// Whether a tracer lets a function return to `pc` in place of its caller.
pub(super) fn is_hook(symbols: &Symbols, pc: Addr) -> bool {
    hook(symbols, pc).is_some()
}

/// Where a function of `task` really returns to that returns to the hook at
/// `pc`. `slot` is where that return address is on the stack, `met` how many
/// hooks of the task were found on the way there, for kernels that do not
/// record the slot.
pub(super) fn real_return(
    symbols: &Symbols,
    memory: &dyn Memory,
    task: Addr,
    (pc, slot): (Addr, Addr),
    met: usize,
) -> Result<Addr, End> {
    let records = Records { symbols, memory, task, pc, slot, met };
    let found = match hook(symbols, pc) {
        Some(Hook::Graph) => records.of_graph(),
        Some(Hook::Rethook) => records.of_list("rethooks", "rethook_node", "frame"),
        Some(Hook::Kretprobe) => match symbols.symbol_addr("kretprobe_inst_table") {
            Some(table) => records.of_table(table),
            None => records.of_list("kretprobe_instances", "kretprobe_instance", "fp"),
        },
        None => Ok(None),
    };
    found.map_err(End::of)?.ok_or(End::Hooked(pc))
}

struct Records<'a> {
    symbols: &'a Symbols,
    memory: &'a dyn Memory,
    task: Addr,
    pc: Addr,
    slot: Addr,
    met: usize,
}

impl Records<'_> {
    fn member(&self, name: &str) -> Option<Addr> {
        let layout = self.symbols.struct_layout("task_struct")?;
        Some(self.task.offset(layout.member(name)?.offset))
    }

    /// `ret_stack` is an array of records, or of words with a record here and
    /// there (6.11); either has the slot in a word of its own, the newest last.
    fn of_graph(&self) -> Result<Option<Addr>, Gap> {
        let (Some(stack), Some(current), Some(record)) = (
            self.member("ret_stack"),
            self.member("curr_ret_stack"),
            self.symbols.struct_layout("ftrace_ret_stack"),
        ) else {
            return Ok(None);
        };
        let Some(ret) = record.member("ret") else { return Ok(None) };
        // Both are asked for before either can fail.
        let (stack, current) = (self.memory.u64(stack), self.memory.u32(current));
        let (stack, current) = (Addr(stack?), i64::from(current? as i32));
        let Some(retp) = record.member("retp") else {
            // -1 is an empty stack; interrupted records are beyond it.
            let index = current - self.met as i64;
            let Ok(index) = u64::try_from(index) else { return Ok(None) };
            let at = stack.offset(index.min(LARGEST_STACK / 8) * record.size + ret.offset);
            return Ok(Some(Addr(self.memory.u64(at)?)));
        };
        // The larger of what the index means in the two.
        let size = ((current + 1).max(0) as u64).saturating_mul(record.size).min(LARGEST_STACK);
        let bytes = self.memory.bytes(stack, size as usize)?;
        let words: Vec<u64> = (bytes.chunks_exact(8))
            .filter_map(|word| word.try_into().ok().map(u64::from_le_bytes))
            .collect();
        let back = (retp.offset as i64 - ret.offset as i64) / 8;
        let real =
            (0..words.len()).rev().filter(|index| words[*index] == self.slot.0).find_map(|index| {
                let at = usize::try_from(index as i64 - back).ok()?;
                words.get(at).copied().filter(|pc| *pc != self.pc.0)
            });
        Ok(real.map(Addr))
    }

    /// A list that begins in the task, newest first.
    fn of_list(&self, head: &str, record: &str, frame: &str) -> Result<Option<Addr>, Gap> {
        let (Some(head), Some(layout)) = (self.member(head), self.symbols.struct_layout(record))
        else {
            return Ok(None);
        };
        let offset = |name: &str| layout.member(name).map(|member| member.offset);
        let (Some(link), Some(ret), Some(frame)) =
            (offset("llist"), offset("ret_addr"), offset(frame))
        else {
            return Ok(None);
        };
        let mut node = Addr(self.memory.u64(head)?);
        for _ in 0..MOST {
            if node == Addr(0) {
                break;
            }
            let start = node.back(link);
            let word = |at: u64| self.memory.u64(start.offset(at));
            // All are asked for before any can fail.
            let (next, real, at) = (word(link), word(ret), word(frame));
            let (next, real, at) = (next?, real?, at?);
            if at == self.slot.0 && real != self.pc.0 {
                return Ok(Some(Addr(real)));
            }
            node = Addr(next);
        }
        Ok(None)
    }

    /// One table of lists for all tasks, newest first (before 5.11); without
    /// the slot, so the order decides.
    fn of_table(&self, table: Addr) -> Result<Option<Addr>, Gap> {
        let Some(layout) = self.symbols.struct_layout("kretprobe_instance") else {
            return Ok(None);
        };
        let offset = |layout: &Layout, name: &str| layout.member(name).map(|member| member.offset);
        let (Some(link), Some(ret), Some(task)) =
            (offset(&layout, "hlist.next"), offset(&layout, "ret_addr"), offset(&layout, "task"))
        else {
            return Ok(None);
        };
        let heads = self.memory.bytes(table, 8 * TABLE as usize)?;
        let mut left = self.met;
        for head in heads.chunks_exact(8) {
            let mut node = Addr(head.try_into().map_or(0, u64::from_le_bytes));
            for _ in 0..MOST {
                if node == Addr(0) {
                    break;
                }
                let start = node.back(link);
                let word = |at: u64| self.memory.u64(start.offset(at));
                let (next, real, owner) = (word(link), word(ret), word(task));
                let (next, real, owner) = (next?, real?, owner?);
                if owner == self.task.0 && real != self.pc.0 {
                    match left {
                        0 => return Ok(Some(Addr(real))),
                        _ => left -= 1,
                    }
                }
                node = Addr(next);
            }
        }
        Ok(None)
    }
}

/// For code in no image: the place in `ftrace_caller` or `ftrace_regs_caller`
/// of which it is a copy, by the kernel's list of tracers.
pub(super) fn copied_from(
    symbols: &Symbols,
    memory: &dyn Memory,
    pc: Addr,
) -> Result<Option<Addr>, Gap> {
    let (Some(list), Some(last), Some(layout)) = (
        symbols.symbol_addr("ftrace_ops_list"),
        symbols.symbol_addr("ftrace_list_end"),
        symbols.struct_layout("ftrace_ops"),
    ) else {
        return Ok(None);
    };
    let offset = |name: &str| layout.member(name).map(|member| member.offset);
    let (Some(next), Some(start), Some(size)) =
        (offset("next"), offset("trampoline"), offset("trampoline_size"))
    else {
        return Ok(None);
    };
    let mut ops = Addr(memory.u64(list)?);
    for _ in 0..MOST {
        if ops == last || ops == Addr(0) {
            break;
        }
        let word = |at: u64| memory.u64(ops.offset(at));
        let (next, start, size) = (word(next), word(start), word(size));
        let (next, start, size) = (next?, Addr(start?), size?);
        let inside = pc.since(start);
        if start != Addr(0) && inside < size {
            let name = match memory.uint(start, 1)? {
                PUSHF => "ftrace_regs_caller",
                _ => "ftrace_caller",
            };
            return Ok(symbols.symbol_addr(name).map(|original| original.offset(inside)));
        }
        ops = Addr(next);
    }
    Ok(None)
}
