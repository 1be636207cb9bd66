//! `struct pt_regs`: the registers that entry code saves, by the members it
//! has in this kernel (arch/x86/include/asm/ptrace.h).

use crate::{
    arch::{Arch, Reg, Registers},
    symbols::placed::Symbols,
};
use std::ops::Range;

/// More than any architecture's; it bounds what is read.
const LARGEST: u64 = 504;

/// Where each register is in a `struct pt_regs`.
#[derive(Clone, Debug)]
pub struct PtRegs {
    arch: &'static Arch,
    /// Bytes of all of it.
    pub size: usize,
    /// Where the part begins that the CPU pushes itself, with the pc.
    pub pushed_by_cpu: usize,
    /// Register, offset, bytes.
    slots: Vec<(Reg, usize, usize)>,
    orig_ax: Option<usize>,
}

impl Symbols {
    /// How `struct pt_regs` lies in memory; `None` without debug information.
    pub fn pt_regs(&self, arch: &'static Arch) -> Option<PtRegs> {
        let layout = self.struct_layout("pt_regs").filter(|layout| layout.size <= LARGEST)?;
        let slot = |name: &str| {
            // rax is ax, eflags is flags; r8 and cs are themselves.
            let short = name.strip_prefix(['r', 'e']).filter(|s| !s.starts_with(char::is_numeric));
            let member = layout.member(short.unwrap_or(name))?;
            Some((arch.reg(name)?, member.offset as usize, member.size.min(8) as usize))
        };
        let slots: Vec<_> = arch.registers.iter().filter_map(|def| slot(def.name)).collect();
        let pushed_by_cpu = slots.iter().find(|slot| slot.0 == arch.pc)?.1;
        let orig_ax = layout.member("orig_ax").map(|member| member.offset as usize);
        Some(PtRegs { arch, size: layout.size as usize, pushed_by_cpu, slots, orig_ax })
    }
}

impl PtRegs {
    /// The registers in the bytes of a `pt_regs` from offset `from` on; those
    /// before it and those cut off are unknown.
    pub fn decode(&self, from: usize, bytes: &[u8]) -> Registers {
        let mut registers = Registers::unknown(self.arch);
        for (reg, offset, size) in &self.slots {
            let value = offset.checked_sub(from).and_then(|at| word(bytes, at, *size));
            registers.set(*reg, value);
        }
        registers
    }

    /// Where a register is, and how many bytes it has there.
    pub fn place(&self, register: Reg) -> Option<(usize, usize)> {
        let slot = self.slots.iter().find(|slot| slot.0 == register)?;
        Some((slot.1, slot.2))
    }

    /// The bytes from the first to the last of these registers; `None` when one is
    /// in no `pt_regs`.
    pub fn part(&self, registers: impl IntoIterator<Item = Reg>) -> Option<Range<usize>> {
        let mut part: Option<Range<usize>> = None;
        for register in registers {
            let (offset, len) = self.place(register)?;
            let (start, end) = part.map_or((offset, 0), |part| (part.start, part.end));
            part = Some(start.min(offset)..end.max(offset + len));
        }
        part
    }

    /// The number of the system call, or what the entry code put there.
    pub fn orig_ax(&self, bytes: &[u8]) -> Option<u64> {
        word(bytes, self.orig_ax?, 8)
    }
}

fn word(bytes: &[u8], at: usize, size: usize) -> Option<u64> {
    let bytes = bytes.get(at..at.checked_add(size)?)?;
    Some(bytes.iter().rev().fold(0u64, |value, &byte| value << 8 | u64::from(byte)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::arch::x86_64::X86_64;

    #[test]
    fn each_register_is_taken_from_its_place() {
        let slot = |name, offset, size| (X86_64.reg(name).unwrap(), offset, size);
        let layout = PtRegs {
            arch: &X86_64,
            size: 32,
            pushed_by_cpu: 16,
            slots: vec![slot("rax", 0, 8), slot("rip", 16, 8), slot("cs", 24, 2)],
            orig_ax: Some(8),
        };
        let bytes: Vec<u8> = (0..32).collect();
        let all = layout.decode(0, &bytes);
        assert_eq!(all.by_name("rax"), Some(0x0706_0504_0302_0100));
        assert_eq!(all.by_name("cs"), Some(0x1918));
        assert_eq!(layout.orig_ax(&bytes), Some(0x0f0e_0d0c_0b0a_0908));
        let part = layout.decode(16, &bytes[16..]);
        assert_eq!((part.pc(), part.by_name("rax")), (all.pc(), None));
        assert_eq!(layout.decode(0, &bytes[..20]).pc(), None, "cut off");
        assert_eq!(layout.orig_ax(&[]), None);
        let reg = |name| X86_64.reg(name).unwrap();
        assert_eq!(layout.part([reg("cs"), reg("rip")]), Some(16..26));
        assert_eq!(layout.part([reg("rip"), reg("rbx")]), None, "it has no rbx");
    }
}
