//! The kernel's own init memory: code that runs once, and is freed at the end of
//! the boot.

use crate::{
    base::{addr::Addr, memory::Memory},
    kernel::{KernelError, symbol},
    symbols::placed::Symbols,
};

/// What is to be said of a breakpoint there afterwards.
pub const FREED: &str = "the kernel frees its init memory at the end of the boot: nothing is there any more; kgdbwait on the kernel's command line stops before";

/// Whether an address is in init code of vmlinux: between `_sinittext` and
/// `_einittext` (INIT_TEXT_SECTION in include/asm-generic/vmlinux.lds.h).
pub fn is_init(symbols: &Symbols, addr: Addr) -> bool {
    let range = (symbols.symbol_addr("_sinittext"), symbols.symbol_addr("_einittext"));
    matches!(range, (Some(start), Some(end)) if (start..end).contains(&addr))
}

/// Whether that memory is freed, or is being freed now: `system_state`
/// (include/linux/kernel.h). One read of 4 bytes.
///
/// # Errors
/// A read that has no answer; no debug information.
pub fn is_over(symbols: &Symbols, memory: &dyn Memory) -> Result<bool, KernelError> {
    // Since 5.18 there is a state for it.
    let names = ["SYSTEM_FREEING_INITMEM", "SYSTEM_RUNNING"];
    let first = names.iter().find_map(|name| symbols.enumerator(name));
    let first = first.ok_or_else(|| KernelError::NoType(format!("enumerator {}", names[1])))?;
    Ok(i64::from(memory.u32(symbol(symbols, "system_state")?)?) >= first)
}
