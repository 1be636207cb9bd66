//! One step by an unwind rule: this frame's registers to its caller's.

use crate::{
    arch::{Arch, Reg, Registers, insn},
    base::{addr::Addr, memory::Memory},
    symbols::{
        answer::{CfaRule, CfiRow, RegRule},
        placed::Symbols,
    },
    unwind::{End, expression},
};

/// Registers a function must leave as they were (System V ABI, AMD64, figure
/// 3.4), by DWARF number: what no rule names still has its value. All others
/// are unknown in a caller.
const CALLEE_SAVED: [u16; 6] = [3, 6, 12, 13, 14, 15];

/// Assembly functions are short; a longer one may change any register.
const LONGEST: u64 = 4096;

/// Saved registers are within this of each other; a wider spread is read one
/// by one.
const ONE_READ: i64 = 256;

/// The registers a function must save.
pub(super) fn callee_saved(arch: &'static Arch) -> impl Iterator<Item = Reg> {
    CALLEE_SAVED.into_iter().filter_map(|dwarf| arch.reg_by_dwarf(dwarf))
}

/// The caller's registers and the canonical frame address.
pub(super) fn caller(
    row: &CfiRow,
    memory: &dyn Memory,
    registers: &Registers,
) -> Result<(Registers, Addr), End> {
    let cfa = match &row.cfa {
        CfaRule::Register { dwarf, offset } => {
            let base = registers.by_dwarf(*dwarf).ok_or(End::LostRegister)?;
            Addr(base).offset(*offset as u64)
        }
        CfaRule::Expression(bytes) => expression::address(bytes, None, memory, registers)?,
    };
    let arch = registers.arch;
    let mut caller = Registers::unknown(arch);
    for reg in callee_saved(arch) {
        caller.set(reg, registers.get(reg));
    }
    // The stack pointer before the call is the CFA by definition.
    caller.set(arch.sp, Some(cfa.0));
    let saved = SavedArea::read(row, memory, cfa)?;
    for (dwarf, rule) in &row.rules {
        let Some(reg) = arch.reg_by_dwarf(if *dwarf == row.return_register { 16 } else { *dwarf })
        else {
            continue;
        };
        let value = match rule {
            RegRule::Undefined => None,
            RegRule::SameValue => registers.by_dwarf(*dwarf),
            RegRule::Offset(offset) => Some(saved.at(memory, *offset)?),
            RegRule::ValOffset(offset) => Some(cfa.offset(*offset as u64).0),
            RegRule::Register(other) => registers.by_dwarf(*other),
            RegRule::Expression(bytes) => {
                let at = expression::address(bytes, Some(cfa), memory, registers)?;
                Some(memory.u64(at).map_err(End::of)?)
            }
            RegRule::ValExpression(bytes) => {
                Some(expression::address(bytes, Some(cfa), memory, registers)?.0)
            }
        };
        caller.set(reg, value);
    }
    Ok((caller, cfa))
}

/// The registers a function must save that the assembly function at `at` has
/// not written, so that a caller's are still there: neither ORC nor the frame
/// pointer say that. `exact` when execution stands at `at`, else it is in the
/// call there. What is further on counts too when it may have come back.
pub(super) fn kept(symbols: &Symbols, at: Addr, exact: bool, registers: &Registers) -> Vec<Reg> {
    let arch = registers.arch;
    let names: Vec<&'static str> = callee_saved(arch).map(|reg| arch.def(reg).name).collect();
    let done = || {
        let function = symbols.symbol_at(at).filter(|s| (1..=LONGEST).contains(&s.size))?;
        let code = symbols.file_code(function.start, function.size as usize)?;
        let next = if exact { at } else { at.offset(1) };
        let len = next.since(function.start) as usize;
        let returns = insn::decode(function.start, &code, usize::MAX, insn::Flavor::Att, &|_| None)
            .iter()
            .filter(|insn| insn.addr >= next)
            .any(|insn| insn.jump().is_some_and(|to| to >= function.start && to < next));
        let code = if returns { &code[..] } else { code.get(..len)? };
        Some(insn::never_written(code, &names))
    };
    done().unwrap_or_default().iter().filter_map(|name| arch.reg(name)).collect()
}

/// The stack between the lowest and the highest saved register, read at once:
/// a packet costs more than the few bytes between them.
struct SavedArea {
    cfa: Addr,
    low: i64,
    bytes: Vec<u8>,
}

impl SavedArea {
    fn read(row: &CfiRow, memory: &dyn Memory, cfa: Addr) -> Result<SavedArea, End> {
        let offsets = || {
            row.rules.iter().filter_map(|(_, rule)| match rule {
                RegRule::Offset(offset) => Some(*offset),
                _ => None,
            })
        };
        let (Some(low), Some(high)) = (offsets().min(), offsets().max()) else {
            return Ok(SavedArea { cfa, low: 0, bytes: Vec::new() });
        };
        let bytes = match high.checked_sub(low) {
            Some(spread @ 0..ONE_READ) => {
                let start = cfa.offset(low as u64);
                memory.bytes(start, spread as usize + 8).map_err(End::of)?
            }
            _ => Vec::new(),
        };
        Ok(SavedArea { cfa, low, bytes })
    }

    fn at(&self, memory: &dyn Memory, offset: i64) -> Result<u64, End> {
        let inside = offset.wrapping_sub(self.low) as usize;
        let bytes = inside.checked_add(8).and_then(|end| self.bytes.get(inside..end));
        match bytes.and_then(|bytes| bytes.try_into().ok()) {
            Some(bytes) => Ok(u64::from_le_bytes(bytes)),
            None => memory.u64(self.cfa.offset(offset as u64)).map_err(End::of),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        arch::x86_64::X86_64,
        base::memory::{Gap, Recorder, Span, Sparse},
    };

    fn row(rules: Vec<(u16, RegRule)>) -> CfiRow {
        CfiRow {
            cfa: CfaRule::Register { dwarf: 7, offset: 0x20 },
            rules,
            return_register: 16,
            start: Addr(0x100),
            end: Addr(0x200),
            signal_frame: false,
        }
    }

    fn at_sp(sp: u64) -> Registers {
        let mut registers = Registers::from_g(&X86_64, &[0x11; 156]);
        registers.set(X86_64.sp, Some(sp));
        registers
    }

    #[test]
    fn saved_registers_come_back_and_scratch_ones_are_unknown() {
        let mut memory = Sparse::new();
        for i in 0..4u64 {
            memory.insert(Addr(0x1000 + 8 * i), &(0xa0 + i).to_le_bytes());
        }
        let rules =
            vec![(3, RegRule::Offset(-32)), (12, RegRule::Offset(-16)), (16, RegRule::Offset(-8))];
        let (caller, cfa) = caller(&row(rules), &memory, &at_sp(0x1000)).unwrap();
        assert_eq!(cfa, Addr(0x1020));
        assert_eq!(caller.pc(), Some(Addr(0xa3)));
        assert_eq!(caller.sp(), Some(cfa));
        assert_eq!(caller.by_name("rbx"), Some(0xa0));
        assert_eq!(caller.by_name("r12"), Some(0xa2));
        assert_eq!(caller.by_name("r13"), Some(0x1111_1111_1111_1111));
        assert_eq!(caller.by_name("rdi"), None);
    }

    #[test]
    fn one_read_covers_the_saved_registers() {
        let memory = Sparse::new();
        let recorder = Recorder::new(&memory);
        let rules = vec![(3, RegRule::Offset(-24)), (16, RegRule::Offset(-8))];
        let span = Span::new(Addr(0x1008), 24);
        let result = caller(&row(rules), &recorder, &at_sp(0x1000));
        assert_eq!(result, Err(End::Missing(Gap::Missing(span))));
        assert_eq!(recorder.into_misses(), [span]);
    }

    #[test]
    fn absurd_offsets_fault_instead_of_panicking() {
        let memory = Sparse::new();
        let rules = vec![(3, RegRule::Offset(i64::MIN)), (16, RegRule::Offset(i64::MAX))];
        assert!(matches!(caller(&row(rules), &memory, &at_sp(8)), Err(End::Missing(_))));
    }

    #[test]
    fn a_lost_register_ends_the_walk() {
        let mut registers = at_sp(0);
        registers.set(X86_64.sp, None);
        let result = caller(&row(Vec::new()), &Sparse::new(), &registers);
        assert_eq!(result, Err(End::LostRegister));
    }
}
