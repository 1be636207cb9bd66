//! A CPU's own pointers: the top of its interrupt stack, the task it runs.

use crate::{
    base::{
        addr::Addr,
        memory::{Gap, Memory},
    },
    symbols::placed::Symbols,
};

/// The per-CPU variable `name`, of its own or a member of `pcpu_hot` (6.2 to
/// 6.14), as what [`copy`] wants.
pub(super) fn variable(symbols: &Symbols, name: &str) -> Option<Addr> {
    // A kernel for one CPU has it as a plain variable.
    let one_cpu = symbols.symbol_addr("__per_cpu_offset").is_none();
    let named = |name: &str| {
        let plain = || symbols.symbol_addr(name).filter(|_| one_cpu);
        symbols.per_cpu_offset_symbol(name).or_else(plain)
    };
    named(name).or_else(|| {
        let hot = named("pcpu_hot")?;
        let member = symbols.struct_layout("pcpu_hot")?.member(name)?;
        Some(hot.offset(member.offset))
    })
}

/// Where the copy of `cpu` is. One small read.
pub(super) fn copy(
    symbols: &Symbols,
    memory: &dyn Memory,
    variable: Addr,
    cpu: u64,
) -> Result<Addr, Gap> {
    match symbols.symbol_addr("__per_cpu_offset") {
        Some(offsets) => Ok(variable.offset(memory.u64(offsets.offset(cpu * 8))?)),
        None => Ok(variable),
    }
}
