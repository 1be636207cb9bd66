//! The command line of a process, from its own memory.
//!
//! The stub does not read user memory (`copy_from_kernel_nofault_allowed` in
//! arch/x86/mm/maccess.c), but all of the guest's memory is mapped once more
//! at `page_offset_base`. So the page tables of the process are walked as the
//! CPU would do it, for the one page that has the start of the arguments:
//! about eight small reads.

use crate::{
    base::{
        addr::Addr,
        memory::{Memory, PAGE},
        text::printable,
    },
    kernel::{KernelError, Struct, symbol},
    symbols::placed::Symbols,
};

/// As much of a command line as is read.
const MOST: u64 = 128;

/// Bits of an entry of a page table: it is valid, and it maps memory itself
/// (Intel SDM volume 3, 4.5).
const PRESENT: u64 = 1;
const LARGE: u64 = 1 << 7;

/// The physical address in an entry.
const ADDRESS: u64 = 0x000f_ffff_ffff_f000;

/// The start of the command line of the process of the task at `task`, with
/// its words apart by spaces. `None` when it has no memory of its own, or when
/// that page is not in memory.
///
/// # Errors
/// Kernels without `page_offset_base` (up to 4.7, or built without
/// CONFIG_RANDOMIZE_MEMORY) do not tell where their memory is mapped.
pub fn of(
    symbols: &Symbols,
    memory: &dyn Memory,
    task: Addr,
) -> Result<Option<String>, KernelError> {
    let base = symbol(symbols, "page_offset_base")?;
    let mm = Struct::new(symbols, "task_struct")?.offset("mm")?;
    let layout = Struct::new(symbols, "mm_struct")?;
    let (pgd, start) = (layout.offset("pgd")?, layout.offset("arg_start")?);
    let end = layout.offset("arg_end")?;
    // With CONFIG_X86_5LEVEL a variable, 39 or 48; without, there is none.
    let top = symbols.symbol_addr("pgdir_shift");
    let (base, mm) = (memory.u64(base), memory.u64(task.offset(mm)));
    let top = top.map_or(Ok(39), |addr| memory.u32(addr))?.min(48);
    let (base, mm) = (Addr(base?), Addr(mm?));
    if mm.0 == 0 {
        return Ok(None);
    }
    let (pgd, start, end) =
        (memory.u64(mm.offset(pgd)), memory.u64(mm.offset(start)), memory.u64(mm.offset(end)));
    let (pgd, start, end) = (Addr(pgd?), start?, end?);
    let len = end.saturating_sub(start).min(MOST).min(PAGE - start % PAGE);
    let Some(at) = direct(memory, base, pgd, start, top)?.filter(|_| len > 0) else {
        return Ok(None);
    };
    let bytes = memory.bytes(at, len as usize)?;
    let words: Vec<_> = bytes
        .split(|&byte| byte == 0)
        .filter(|word| !word.is_empty())
        .map(|word| printable(&String::from_utf8_lossy(word)))
        .collect();
    let more = if end - start > len { "…" } else { "" };
    Ok((!words.is_empty()).then(|| words.join(" ") + more))
}

/// Where the byte at a user address is in the direct map.
fn direct(
    memory: &dyn Memory,
    base: Addr,
    pgd: Addr,
    user: u64,
    top: u32,
) -> Result<Option<Addr>, KernelError> {
    let mut table = pgd;
    for shift in (12..=top).rev().step_by(9) {
        let entry = memory.u64(table.offset((user >> shift & 0x1ff) * 8))?;
        if entry & PRESENT == 0 {
            return Ok(None);
        }
        let physical = entry & ADDRESS;
        let is_last = shift == 12 || (shift <= 30 && entry & LARGE != 0);
        if is_last {
            let inside = (1u64 << shift) - 1;
            return Ok(Some(base.offset((physical & !inside) + (user & inside))));
        }
        table = base.offset(physical);
    }
    Ok(None)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::memory::Sparse;

    const BASE: Addr = Addr(0xffff_8880_0000_0000);
    const USER: u64 = 0x7ffd_1234_5678;

    fn tables(large: bool) -> Sparse {
        let mut memory = Sparse::new();
        let mut put = |table: u64, shift: u32, entry: u64| {
            let at = BASE.offset(table + (USER >> shift & 0x1ff) * 8);
            memory.insert(at, &entry.to_le_bytes());
        };
        put(0x1000, 39, 0x2000 | 0x67);
        put(0x2000, 30, 0x3000 | 0x67);
        if large {
            put(0x3000, 21, 0x4000_0000 | 0xe7);
        } else {
            put(0x3000, 21, 0x4000 | 0x67);
            // With the bit that forbids execution.
            put(0x4000, 12, 1 << 63 | 0x9000 | 0x67);
        }
        memory
    }

    #[test]
    fn page_tables_are_walked_as_the_cpu_does() {
        let pgd = BASE.offset(0x1000);
        let at = |memory: &Sparse| direct(memory, BASE, pgd, USER, 39).unwrap();
        assert_eq!(at(&tables(false)), Some(BASE.offset(0x9678)));
        assert_eq!(at(&tables(true)), Some(BASE.offset(0x4000_0000 + (USER & 0x1f_ffff))));
        let mut memory = tables(false);
        memory.insert(BASE.offset(0x3000 + (USER >> 21 & 0x1ff) * 8), &[0; 8]);
        assert_eq!(at(&memory), None);
    }
}
