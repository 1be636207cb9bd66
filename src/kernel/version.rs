//! What the guest says it is: `init_uts_ns` and `linux_banner`.

use crate::{
    base::{memory::Memory, text::printable},
    kernel::{KernelError, Struct, symbol},
    symbols::placed::Symbols,
};

/// The longest banner that is looked at. Real ones are under 300 bytes.
const MAX_BANNER: usize = 504;

/// `uname -r`, such as `6.1.192-kgdbtui`: one read of 65 bytes.
pub fn release(symbols: &Symbols, memory: &dyn Memory) -> Result<String, KernelError> {
    uts(symbols, memory, "name.release")
}

/// `uname -v`, such as `#1 SMP PREEMPT …`: one read of 65 bytes.
pub fn version(symbols: &Symbols, memory: &dyn Memory) -> Result<String, KernelError> {
    uts(symbols, memory, "name.version")
}

/// `/proc/version`: one or two reads, 504 bytes at most.
pub fn banner(symbols: &Symbols, memory: &dyn Memory) -> Result<String, KernelError> {
    let start = symbol(symbols, "linux_banner")?;
    Ok(printable(memory.c_string(start, MAX_BANNER)?.trim_end()))
}

fn uts(symbols: &Symbols, memory: &dyn Memory, member: &str) -> Result<String, KernelError> {
    let namespace = symbol(symbols, "init_uts_ns")?;
    let (offset, size) = Struct::new(symbols, "uts_namespace")?.field(member)?;
    let text = memory.c_string(namespace.offset(offset), size.min(256) as usize)?;
    Ok(printable(&text))
}
