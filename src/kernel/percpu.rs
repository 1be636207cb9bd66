//! Per-CPU variables. The offset of each CPU's copy is `__per_cpu_offset[cpu]`
//! (include/asm-generic/percpu.h); a kernel for one CPU has no such array, and
//! its per-CPU variables are plain ones.

use crate::{
    base::{addr::Addr, memory::Memory},
    kernel::KernelError,
    symbols::placed::Symbols,
};

/// More CPUs than any kernel of today is built for (`NR_CPUS` is at most
/// 8192 on x86), so a number over it is garbage.
pub const MAX_CPUS: u32 = 8192;

/// What is added to a per-CPU symbol to get the copy of `cpu`.
pub fn offset(symbols: &Symbols, memory: &dyn Memory, cpu: u32) -> Result<u64, KernelError> {
    if cpu >= MAX_CPUS {
        return Err(KernelError::Implausible(format!("there is no CPU {cpu}")));
    }
    match symbols.symbol_addr("__per_cpu_offset") {
        Some(offsets) => Ok(memory.u64(offsets.offset(u64::from(cpu) * 8))?),
        None => Ok(0),
    }
}

/// Where the copy of the per-CPU variable `name` for `cpu` is.
pub fn addr(
    symbols: &Symbols,
    memory: &dyn Memory,
    name: &str,
    cpu: u32,
) -> Result<Addr, KernelError> {
    let one_cpu = symbols.symbol_addr("__per_cpu_offset").is_none();
    let symbol = symbols
        .per_cpu_offset_symbol(name)
        .or_else(|| symbols.symbol_addr(name).filter(|_| one_cpu))
        .ok_or_else(|| KernelError::NoSymbol(name.to_string()))?;
    Ok(symbol.offset(offset(symbols, memory, cpu)?))
}
