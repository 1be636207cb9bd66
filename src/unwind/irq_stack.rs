//! The switch to the interrupt stack, which no unwind rule describes.
//!
//! Since 5.8 C code switches by inline assembly: it stores the stack pointer
//! in the topmost word of the interrupt stack and moves there; a `pop %rsp`
//! brings it back (arch/x86/include/asm/irq_stack.h, `call_on_stack`). So a
//! stack pointer that equals `hardirq_stack_ptr` of the CPU stands for the
//! word it points at. Older kernels switch in the entry code: see `entry`.

use crate::{
    base::{
        addr::Addr,
        memory::{Gap, Memory, PAGE},
    },
    symbols::placed::Symbols,
    unwind::percpu,
};

/// CPUs that are tried when nobody says on which one the stack is.
const MAX_TRIED: u64 = 64;

/// The stack pointer that counts where `sp` does: the saved one at the top of
/// an interrupt stack, else `sp` itself. Only a stack pointer in the last word
/// of a page costs reads: the stack is whole pages (`irq_64.c`,
/// `map_irq_stack`).
pub(super) fn leave(
    symbols: &Symbols,
    memory: &dyn Memory,
    sp: Addr,
    cpu: Option<u32>,
) -> Result<Addr, Gap> {
    if sp.0 % PAGE != PAGE - 8 || sp.0 >> 63 == 0 {
        return Ok(sp);
    }
    let Some(variable) = percpu::variable(symbols, "hardirq_stack_ptr") else { return Ok(sp) };
    let cpus = match (cpu, symbols.symbol_addr("nr_cpu_ids")) {
        (Some(cpu), _) => u64::from(cpu)..u64::from(cpu) + 1,
        (None, Some(count)) => 0..u64::from(memory.u32(count)?).min(MAX_TRIED),
        (None, None) => 0..1,
    };
    for cpu in cpus {
        if memory.u64(percpu::copy(symbols, memory, variable, cpu)?)? == sp.0 {
            return memory.u64(sp).map(Addr);
        }
    }
    Ok(sp)
}
