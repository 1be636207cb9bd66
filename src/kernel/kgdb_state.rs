//! How kgdb is set up in the running kernel: which port it has, who may call it,
//! what keeps it from stopping. About ten small reads.

use crate::{
    base::{
        addr::Addr,
        memory::{Gap, Memory, PAGE},
        text::printable,
    },
    kernel::{KernelError, Struct, module_params, symbol},
    symbols::placed::Symbols,
};

/// As much of the command line as is read at a time: most are shorter.
const PIECE: u64 = 192;

/// The kernel's own limit (COMMAND_LINE_SIZE in arch/x86/include/asm/setup.h).
const MOST_LINE: usize = 2048;

/// What is known; `None` where this kernel does not have it, or does not tell.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct KgdbState {
    /// `/proc/cmdline`.
    pub command_line: Option<String>,
    /// `/sys/module/kgdboc/parameters/kgdboc`; empty when it is not set.
    pub kgdboc: Option<String>,
    /// Which driver carries the debugger's bytes (`dbg_io_ops`): `kgdboc`; empty
    /// when there is none.
    pub driver: Option<String>,
    /// `/proc/sys/kernel/sysrq`: 0 for none, 1 for all, else a mask. Of the keys
    /// only: `/proc/sysrq-trigger` always works.
    pub sysrq: Option<i32>,
    /// Whether `sysrq_always_enabled` is on the command line.
    pub sysrq_always: Option<bool>,
    /// How far the kernel is locked down.
    pub lockdown: Option<Lockdown>,
    /// Seconds from a panic to the restart. While it is not 0 no exception of the
    /// kernel's own stops in the debugger (`kgdb_handle_exception` in
    /// kernel/debug/debug_core.c).
    pub panic_timeout: Option<i32>,
    /// Whether the kernel's code is read-only.
    pub rodata: Option<bool>,
    /// Whether kdb is built in.
    pub kdb: bool,
}

/// How far the kernel is locked down (`security/lockdown/lockdown.c`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Lockdown {
    /// Not at all.
    None,
    /// Nothing may change the kernel: kgdb may not write.
    Integrity,
    /// Nothing may read it either: kgdb is of no use.
    Confidentiality,
    /// A kernel that only tells that it is.
    Some,
}

impl Lockdown {
    /// As `/sys/kernel/security/lockdown` has it.
    pub fn word(self) -> &'static str {
        match self {
            Lockdown::None => "none",
            Lockdown::Integrity => "integrity",
            Lockdown::Confidentiality => "confidentiality",
            Lockdown::Some => "on",
        }
    }
}

/// Reads it.
///
/// # Errors
/// Only a miss: what can't be read is not told.
pub fn read(symbols: &Symbols, memory: &dyn Memory) -> Result<KgdbState, Gap> {
    // All are tried, so that one run reports every miss.
    let command_line = known(command_line(symbols, memory));
    let kgdboc = known(module_params::builtin_text(symbols, memory, "kgdboc"));
    let driver = known(driver(symbols, memory));
    let int = |name| known(number(symbols, memory, name, 4)).map(|v| v.map(|v| v as u32 as i32));
    let flag = |name| known(number(symbols, memory, name, 1)).map(|v| v.map(|v| v != 0));
    let (sysrq, panic_timeout) = (int("sysrq_enabled"), int("panic_timeout"));
    let (sysrq_always, rodata) = (flag("sysrq_always_enabled"), flag("rodata_enabled"));
    let lockdown = known(lockdown(symbols, memory));
    Ok(KgdbState {
        command_line: command_line?,
        kgdboc: kgdboc?,
        driver: driver?,
        sysrq: sysrq?,
        sysrq_always: sysrq_always?,
        lockdown: lockdown?,
        panic_timeout: panic_timeout?,
        rodata: rodata?,
        kdb: symbols.symbol_addr("kdb_register").is_some(),
    })
}

/// What is no miss is an answer, or none.
fn known<T>(result: Result<T, KernelError>) -> Result<Option<T>, Gap> {
    match result {
        Ok(value) => Ok(Some(value)),
        Err(KernelError::Gap(gap)) if gap.is_missing() => Err(gap),
        Err(_) => Ok(None),
    }
}

fn number(
    symbols: &Symbols,
    memory: &dyn Memory,
    name: &str,
    size: usize,
) -> Result<u64, KernelError> {
    Ok(memory.uint(symbol(symbols, name)?, size)?)
}

/// `saved_command_line` in init/main.c. `boot_command_line` is init memory, and
/// is gone after the boot.
fn command_line(symbols: &Symbols, memory: &dyn Memory) -> Result<String, KernelError> {
    let at = Addr(memory.u64(symbol(symbols, "saved_command_line")?)?);
    let mut text = Vec::new();
    while text.len() < MOST_LINE {
        let from = at.offset(text.len() as u64);
        let piece = memory.bytes(from, PIECE.min(PAGE - from.0 % PAGE) as usize)?;
        match piece.iter().position(|&byte| byte == 0) {
            Some(end) => {
                text.extend_from_slice(&piece[..end]);
                return Ok(printable(String::from_utf8_lossy(&text).trim_end()));
            }
            None => text.extend(piece),
        }
    }
    Err(KernelError::Implausible("the command line has no end".into()))
}

/// The name of the driver in use: `dbg_io_ops` in kernel/debug/debug_core.c.
fn driver(symbols: &Symbols, memory: &dyn Memory) -> Result<String, KernelError> {
    let name = Struct::new(symbols, "kgdb_io")?.offset("name")?;
    let ops = Addr(memory.u64(symbol(symbols, "dbg_io_ops")?)?);
    if ops.0 == 0 {
        return Ok(String::new());
    }
    let name = Addr(memory.u64(ops.offset(name))?);
    Ok(printable(&memory.c_string(name, 16)?))
}

/// `kernel_locked_down`: since 5.4 one of `enum lockdown_reason`, in the kernels
/// of distributions before that a bool.
fn lockdown(symbols: &Symbols, memory: &dyn Memory) -> Result<Lockdown, KernelError> {
    let at = symbol(symbols, "kernel_locked_down")?;
    let levels = ["LOCKDOWN_INTEGRITY_MAX", "LOCKDOWN_CONFIDENTIALITY_MAX"];
    let [Some(integrity), Some(confidentiality)] = levels.map(|name| symbols.enumerator(name))
    else {
        let on = memory.uint(at, 1)? != 0;
        return Ok(if on { Lockdown::Some } else { Lockdown::None });
    };
    Ok(match i64::from(memory.u32(at)?) {
        level if level >= confidentiality => Lockdown::Confidentiality,
        level if level >= integrity => Lockdown::Integrity,
        _ => Lockdown::None,
    })
}
