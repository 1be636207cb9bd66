//! CPUs at a stop, and the tasks they were caught in.
//!
//! `kgdb_info[cpu]` (kernel/debug/debug_core.c, `struct debuggerinfo_struct`)
//! has each stopped CPU's registers and task, so nothing needs to be asked
//! through the stub's threads. Before 5.x the pointers of a CPU that did not
//! answer are stale, so `enter_kgdb` decides.

use crate::{
    arch::{Registers, x86_64::X86_64},
    base::{
        addr::Addr,
        memory::{Gap, Memory},
        text::printable,
    },
    kernel::{KernelError, Struct, percpu::MAX_CPUS, symbol},
    symbols::placed::Symbols,
};

/// A CPU as the debugger core knows it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CpuStop {
    /// The CPU's number.
    pub cpu: u32,
    /// Whether it is held in the debugger. If not, it did not answer the
    /// roundup, and neither task nor registers are known.
    pub held: bool,
    /// Its `struct task_struct`.
    pub task: Option<Addr>,
    /// Its `struct pt_regs` at the time of the stop.
    pub registers: Option<Addr>,
}

/// A task as far as a status line shows it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Task {
    /// Its `struct task_struct`.
    pub addr: Addr,
    /// The thread's number in the first pid namespace.
    pub pid: i32,
    /// The process's number.
    pub tgid: i32,
    /// Its name, at most 15 bytes, safe to print.
    pub comm: String,
}

/// The CPU that talks to us: `kgdb_active`. One read of 4 bytes.
pub fn active(symbols: &Symbols, memory: &dyn Memory) -> Result<u32, KernelError> {
    let cpu = memory.u32(symbol(symbols, "kgdb_active")?)?;
    if cpu >= MAX_CPUS {
        // -1 while no CPU is in the debugger.
        return Err(KernelError::Implausible(
            "the guest says that no CPU is in the debugger".to_string(),
        ));
    }
    Ok(cpu)
}

/// Which CPUs are online, in order. One or two small reads.
pub fn online(symbols: &Symbols, memory: &dyn Memory) -> Result<Vec<u32>, KernelError> {
    // Since 4.5; before, the bits were a variable of their own.
    let mask = symbol(symbols, "__cpu_online_mask").or_else(|_| symbol(symbols, "cpu_online_bits"));
    // A kernel for one CPU has neither mask nor nr_cpu_ids.
    let (Ok(mask), Ok(count)) = (mask, symbol(symbols, "nr_cpu_ids")) else { return Ok(vec![0]) };
    let count = memory.u32(count)?;
    if count == 0 || count > MAX_CPUS {
        return Err(KernelError::Implausible(format!("the guest says it has {count} CPUs")));
    }
    let words = memory.bytes(mask, count.div_ceil(64) as usize * 8)?;
    let is_set = |cpu: &u32| words[*cpu as usize / 8] >> (cpu % 8) & 1 == 1;
    Ok((0..count).filter(is_set).collect())
}

/// What the debugger core knows of these CPUs. One read, 40 bytes a CPU.
pub fn stops(
    symbols: &Symbols,
    memory: &dyn Memory,
    cpus: &[u32],
) -> Result<Vec<CpuStop>, KernelError> {
    let info = symbol(symbols, "kgdb_info")?;
    let layout = Struct::new(symbols, "debuggerinfo_struct")?;
    let registers = layout.offset("debuggerinfo")? as usize;
    let task = layout.offset("task")? as usize;
    let (enter, enter_size) = match layout.find("enter_kgdb") {
        Some(field) => (field.0 as usize, field.1),
        None => (task, 8),
    };
    let size = layout.size();
    let cpus = || cpus.iter().copied().filter(|&cpu| cpu < MAX_CPUS);
    let (Some(first), Some(last)) = (cpus().min(), cpus().max()) else { return Ok(Vec::new()) };
    if size > 512 || last - first > 512 {
        return Err(KernelError::Implausible("kgdb_info is too large to read".to_string()));
    }
    let start = info.offset(u64::from(first) * size);
    let bytes = memory.bytes(start, (u64::from(last - first + 1) * size) as usize)?;
    let word = |cpu: u32, at: usize, len: usize| {
        let at = (u64::from(cpu - first) * size) as usize + at;
        let bytes = bytes.get(at..at + len).unwrap_or_default();
        bytes.iter().rev().fold(0u64, |value, &byte| value << 8 | u64::from(byte))
    };
    let stop = |cpu: u32| {
        let held = word(cpu, enter, enter_size.min(8) as usize) != 0;
        let pointer = |at| Some(Addr(word(cpu, at, 8))).filter(|addr| held && addr.0 != 0);
        CpuStop { cpu, held, task: pointer(task), registers: pointer(registers) }
    };
    Ok(cpus().map(stop).collect())
}

/// The tasks of other CPUs that have run into something of their own and wait
/// for their turn in the debugger. One read, 40 bytes a CPU.
pub fn waiting_tasks(symbols: &Symbols, memory: &dyn Memory) -> Result<Vec<Addr>, KernelError> {
    let all = online(symbols, memory)?;
    let (stops, waiting) = (stops(symbols, memory, &all), waiting(symbols, memory, &all));
    let (stops, waiting) = (stops?, waiting?);
    let of = stops.iter().filter(|stop| waiting.contains(&stop.cpu));
    Ok(of.filter_map(|stop| stop.task).collect())
}

/// The other CPUs that have run into something of their own, and wait for their
/// turn in the debugger. One read, 40 bytes a CPU.
pub fn waiting(
    symbols: &Symbols,
    memory: &dyn Memory,
    cpus: &[u32],
) -> Result<Vec<u32>, KernelError> {
    // DCPU_WANT_MASTER in kernel/debug/debug_core.h; a macro.
    const WANTS_TO_BE_MASTER: u64 = 1;
    let (info, active) = (symbol(symbols, "kgdb_info")?, active(symbols, memory)?);
    let layout = Struct::new(symbols, "debuggerinfo_struct")?;
    let (state, size) = (layout.field("exception_state")?, layout.size());
    let others = cpus.iter().copied().filter(|cpu| *cpu != active && *cpu < MAX_CPUS);
    let states = others.map(|cpu| {
        let at = info.offset(u64::from(cpu) * size + state.0);
        Ok((cpu, memory.uint(at, state.1.min(8) as usize)?))
    });
    // All are tried, so that one run reports every miss.
    let states: Vec<Result<_, Gap>> = states.collect();
    let states: Vec<(u32, u64)> = states.into_iter().collect::<Result<_, _>>()?;
    let waits = |(cpu, state): (u32, u64)| (state & WANTS_TO_BE_MASTER != 0).then_some(cpu);
    Ok(states.into_iter().filter_map(waits).collect())
}

/// The CPU that talks to us and its task, for a status line: four small
/// reads, of which three depend on each other.
pub fn current(symbols: &Symbols, memory: &dyn Memory) -> Result<(u32, Task), KernelError> {
    let cpu = active(symbols, memory)?;
    let stop = stops(symbols, memory, &[cpu])?.into_iter().next();
    let addr = stop.and_then(|stop| stop.task).ok_or_else(|| {
        KernelError::Implausible(format!("the guest does not say what CPU {cpu} was doing"))
    })?;
    Ok((cpu, task(symbols, memory, addr)?))
}

/// Where the stack of the task begins that the CPU which talks to us is in:
/// `task_struct.stack`. Three small reads, one after the other.
pub fn stack(symbols: &Symbols, memory: &dyn Memory) -> Result<Addr, KernelError> {
    let cpu = active(symbols, memory)?;
    let stop = stops(symbols, memory, &[cpu])?.into_iter().next();
    let task = stop.and_then(|stop| stop.task).ok_or_else(|| {
        KernelError::Implausible(format!("the guest does not say what CPU {cpu} was doing"))
    })?;
    let stack = Struct::new(symbols, "task_struct")?.offset("stack")?;
    Ok(Addr(memory.u64(task.offset(stack))?))
}

/// The task at `addr`. Two small reads: the numbers and the name are far
/// apart in `struct task_struct`.
pub fn task(symbols: &Symbols, memory: &dyn Memory, addr: Addr) -> Result<Task, KernelError> {
    let layout = Struct::new(symbols, "task_struct")?;
    let (pid, tgid) = (layout.offset("pid")?, layout.offset("tgid")?);
    let (comm, comm_size) = layout.field("comm")?;
    // Both reads are asked for before either can fail, so that one run
    // reports both misses. pid and tgid are neighbours.
    let low = pid.min(tgid);
    let numbers = memory.bytes(addr.offset(low), (pid.max(tgid) - low + 4).min(64) as usize);
    let comm = memory.c_string(addr.offset(comm), comm_size.min(64) as usize);
    let (numbers, comm) = (numbers?, comm?);
    let number = |at: u64| {
        let at = (at - low) as usize;
        numbers.get(at..at + 4).and_then(|b| b.try_into().ok()).map(i32::from_le_bytes)
    };
    let implausible = || KernelError::NoType("pid near tgid in struct task_struct".to_string());
    Ok(Task {
        addr,
        pid: number(pid).ok_or_else(implausible)?,
        tgid: number(tgid).ok_or_else(implausible)?,
        comm: printable(&comm),
    })
}

/// The registers saved in the `struct pt_regs` at `addr`. One read of 168
/// bytes. Names of members: arch/x86/include/asm/ptrace.h.
pub fn registers(
    symbols: &Symbols,
    memory: &dyn Memory,
    addr: Addr,
) -> Result<Registers, KernelError> {
    let layout = symbols
        .pt_regs(&X86_64)
        .ok_or_else(|| KernelError::NoType("struct pt_regs".to_string()))?;
    Ok(layout.decode(0, &memory.bytes(addr, layout.size)?))
}
