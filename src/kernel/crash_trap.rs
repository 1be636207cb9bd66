//! What the kernel itself says of the exception that stopped it.
//!
//! The saved registers do not have it: entry code puts -1 over the error code
//! (`idtentry_body` in arch/x86/entry/entry_64.S, 4.2 as well), and
//! `thread.trap_nr` is only set by some of the handlers. But whoever calls the
//! debugger does it by `notify_die` (kernel/notifier.c), which has it all in a
//! `struct die_args` on the stack below those registers.

use crate::{
    base::{
        addr::Addr,
        memory::{Gap, Memory, PAGE},
    },
    kernel::{KernelError, Struct, percpu, symbol},
    symbols::placed::Symbols,
};

/// How far below the registers it is looked for: first where it mostly is.
const REACH: [u64; 2] = [504, 1512];

/// The longest text: "general protection fault, probably for non-canonical
/// address 0x0123456789abcdef".
const LONGEST: usize = 96;

/// What `notify_die` was called with.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Trap {
    /// The kernel's word for it: `Oops`, `invalid opcode`.
    pub said: String,
    /// The error code that the CPU gave.
    pub error_code: u64,
    /// The number of the exception. Of a page fault it may be the one before.
    pub vector: u64,
}

/// What the kernel says of the exception with its registers at `registers`,
/// for which it gave `signal`; `None` when it can't be found.
///
/// # Errors
/// Reads that have no answer yet.
pub fn trap(
    symbols: &Symbols,
    memory: &dyn Memory,
    registers: Addr,
    signal: u8,
) -> Result<Option<Trap>, KernelError> {
    let layout = Struct::new(symbols, "die_args")?;
    let fields = ["regs", "str", "err", "trapnr", "signr"].map(|name| layout.field(name));
    let [regs, said, err, vector, number] = fields;
    let (regs, said, err, vector, number) = (regs?, said?, err?, vector?, number?);
    let size = layout.size();
    if size == 0 || size > 64 {
        return Err(KernelError::Implausible("struct die_args is too large".to_string()));
    }
    let mut end = registers;
    for reach in REACH {
        let start = registers.back(reach);
        // What was looked at reaches into what comes now.
        let Some((from, bytes)) = stack(memory, start, end.offset(size))? else { return Ok(None) };
        let word = |at: usize, (offset, len): (u64, u64)| {
            super::record::number(&bytes, at as u64 + offset, len)
        };
        for at in (0..bytes.len().saturating_sub(size as usize)).rev() {
            let here = from.offset(at as u64);
            let fits = here.0.is_multiple_of(8)
                && word(at, regs) == registers.0
                && word(at, number) == u64::from(signal)
                && word(at, vector) < 256;
            if !fits {
                continue;
            }
            let text = match memory.c_string(Addr(word(at, said)), LONGEST) {
                Ok(text) => crate::base::text::printable(&text),
                Err(gap) if gap.is_missing() => return Err(gap.into()),
                Err(_) => continue,
            };
            let said = text.trim().to_owned();
            let (error_code, vector) = (word(at, err), word(at, vector));
            return Ok(Some(Trap { said, error_code, vector }));
        }
        end = start;
    }
    Ok(None)
}

/// The stack between two addresses as far up from its page's start as it can be
/// read.
fn stack(memory: &dyn Memory, start: Addr, end: Addr) -> Result<Option<(Addr, Vec<u8>)>, Gap> {
    // Whatever can't be read is below the stack: it has a guard page there.
    let page = Addr(end.0.saturating_sub(1) / PAGE * PAGE);
    let mut from = start;
    let mut bytes = Vec::new();
    if start < page {
        match memory.bytes(start, page.since(start) as usize) {
            Ok(low) => bytes = low,
            Err(gap) if gap.is_missing() => return Err(gap),
            Err(_) => from = page,
        }
    }
    let high = from.max(page);
    match memory.bytes(high, end.since(high) as usize) {
        Ok(more) => bytes.extend(more),
        Err(gap) if gap.is_missing() => return Err(gap),
        Err(_) => return Ok(None),
    }
    Ok(Some((from, bytes)))
}

/// Whether the kernel has printed its report of the exception already. If it
/// has not, it stops once more when it has: first the trap itself is told to
/// the debugger, later the death by it (`die` in arch/x86/kernel/dumpstack.c).
///
/// # Errors
/// Reads that have no answer; a kernel without `die_owner`.
pub fn is_reported(symbols: &Symbols, memory: &dyn Memory) -> Result<bool, KernelError> {
    Ok(memory.u32(symbol(symbols, "die_owner")?)? as i32 != -1)
}

/// What becomes of the task when the kernel deals with the exception.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fate {
    /// It is killed, and the rest lives on.
    Killed,
    /// The kernel panics: in an interrupt.
    InInterrupt,
    /// The kernel panics: it was told to.
    PanicOnOops,
}

/// Bits of the preemption count that make `in_interrupt()` true: of NMIs,
/// interrupts and softirqs (include/linux/preempt.h, 4.2 as well).
const IN_INTERRUPT: u32 = 0x00ff_ff00;

/// What `oops_end` (arch/x86/kernel/dumpstack.c) will do on a CPU.
///
/// # Errors
/// Reads that have no answer.
pub fn fate(symbols: &Symbols, memory: &dyn Memory, cpu: u32) -> Result<Fate, KernelError> {
    let on_oops = symbol(symbols, "panic_on_oops").and_then(|at| Ok(memory.u32(at)?));
    let count = preempt_count(symbols, memory, cpu);
    // Both are tried, so that one run reports both misses.
    let (on_oops, count) = (gentle(on_oops)?, gentle(count)?);
    Ok(match (on_oops, count) {
        (_, Some(count)) if count & IN_INTERRUPT != 0 => Fate::InInterrupt,
        (Some(1..), _) => Fate::PanicOnOops,
        _ => Fate::Killed,
    })
}

/// What this kernel does not have is not known; what is not read yet is asked for.
fn gentle<T>(result: Result<T, KernelError>) -> Result<Option<T>, KernelError> {
    match result {
        Ok(value) => Ok(Some(value)),
        Err(error) if error.missing() => Err(error),
        Err(_) => Ok(None),
    }
}

fn preempt_count(symbols: &Symbols, memory: &dyn Memory, cpu: u32) -> Result<u32, KernelError> {
    // From 6.2 to 6.14 it is in a structure with others that are often used.
    if symbols.per_cpu_offset_symbol("pcpu_hot").is_some()
        && let Ok((offset, _)) =
            Struct::new(symbols, "pcpu_hot").and_then(|layout| layout.field("preempt_count"))
    {
        let at = percpu::addr(symbols, memory, "pcpu_hot", cpu)?;
        return Ok(memory.u32(at.offset(offset))?);
    }
    Ok(memory.u32(percpu::addr(symbols, memory, "__preempt_count", cpu)?)?)
}

/// Seconds after which a panic reboots the machine (`panic_timeout` in
/// kernel/panic.c). When it is not zero kgdb stops for no oops and no panic
/// (`kgdb_handle_exception` and `kgdb_panic` in kernel/debug/debug_core.c).
/// With its address, to change it.
///
/// # Errors
/// Reads that have no answer; a kernel without it.
pub fn panic_timeout(symbols: &Symbols, memory: &dyn Memory) -> Result<(Addr, i32), KernelError> {
    let at = symbol(symbols, "panic_timeout")?;
    Ok((at, memory.u32(at)? as i32))
}

/// Why khungtaskd reports no task that hangs, when it does not
/// (`check_hung_uninterruptible_tasks` in kernel/hung_task.c).
///
/// # Errors
/// Reads that have no answer; a kernel without them.
pub fn no_hung_tasks(
    symbols: &Symbols,
    memory: &dyn Memory,
) -> Result<Option<&'static str>, KernelError> {
    // TAINT_DIE in include/linux/panic.h (include/linux/kernel.h before 5.18).
    const TAINT_DIE: u64 = 1 << 7;
    let word = |name| symbol(symbols, name).and_then(|at| Ok(memory.uint(at, 8)?));
    let number = |name| symbol(symbols, name).and_then(|at| Ok(memory.u32(at)?));
    let taint = word("tainted_mask");
    let timeout = word("sysctl_hung_task_timeout_secs");
    let warnings = number("sysctl_hung_task_warnings");
    // All are tried, so that one run reports every miss.
    let (taint, timeout, warnings) = (gentle(taint)?, gentle(timeout)?, gentle(warnings)?);
    Ok(match (taint, timeout, warnings) {
        (Some(taint), _, _) if taint & TAINT_DIE != 0 => {
            Some("after an oops this kernel looks for hung tasks no more")
        }
        (_, Some(0), _) => Some("it is off in this kernel: hung_task_timeout_secs is 0"),
        (_, _, Some(0)) => Some("this kernel reports none any more: hung_task_warnings is 0"),
        _ => None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::memory::Sparse;
    use proptest::prelude::*;

    #[test]
    fn a_stack_is_read_as_far_down_as_it_goes() {
        let mut memory = Sparse::new();
        let top = Addr(0xffff_c900_0000_1100);
        memory.insert(Addr(0xffff_c900_0000_1000), &[7; 0x100]);
        assert!(stack(&memory, top.back(504), top).is_err_and(|gap| gap.is_missing()));
        memory.insert_fault(Addr(0xffff_c900_0000_0000));
        let (from, bytes) = stack(&memory, top.back(504), top).unwrap().unwrap();
        assert_eq!((from, bytes.len()), (Addr(0xffff_c900_0000_1000), 0x100));
        let (from, bytes) = stack(&memory, top.back(16), top).unwrap().unwrap();
        assert_eq!((from, bytes), (top.back(16), vec![7; 16]));
        assert_eq!(
            stack(&memory, Addr(0xffff_c900_0000_0010), Addr(0xffff_c900_0000_0020)),
            Ok(None)
        );
    }

    proptest! {
        #[test]
        fn any_end_of_a_stack_is_read(end in any::<u64>(), len in 1u64..4000) {
            let end = Addr(end);
            let read = stack(&Sparse::new(), end.back(len), end);
            prop_assert!(read.is_err() || read == Ok(None));
        }
    }
}
