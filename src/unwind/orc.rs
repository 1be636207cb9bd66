//! ORC: the kernel's own unwind table, for assembly, which has no DWARF rule
//! (Documentation/x86/orc-unwinder.rst, arch/x86/kernel/unwind_orc.c).
//!
//! It tells where the caller's stack pointer, rbp and pc are, and nothing of
//! the other registers, so it is asked only where DWARF has no answer. The
//! table is read from vmlinux: two sections of equal length, `.orc_unwind_ip`
//! with places relative to themselves and `.orc_unwind` with what holds from
//! there on. It is searched from end to end, because older kernels sort it
//! only at boot, and because assembly frames are few.

use crate::{
    arch::{Reg, Registers},
    base::{
        addr::{Addr, FileAddr},
        memory::Memory,
    },
    symbols::{answer::Layout, placed::Symbols},
    unwind::End,
};

/// Bytes of `struct orc_entry`, which is packed.
const ENTRY: usize = 6;

// `ORC_REG_*` (arch/x86/include/asm/orc_types.h); the same in all versions.
const UNDEFINED: u64 = 0;
const PREV_SP: u64 = 1;
const BP: u64 = 4;
const BP_INDIRECT: u64 = 8;
const SP_INDIRECT: u64 = 9;

/// What ORC says holds at an address.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Rule {
    sp_reg: u64,
    sp_offset: i64,
    bp_reg: u64,
    bp_offset: i64,
    kind: Kind,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    /// Nothing is known.
    Undefined,
    /// Called; the return address is below the caller's stack pointer.
    Call,
    /// A whole `pt_regs` is there.
    Regs,
    /// Only what the CPU pushed is there.
    Partial,
    /// The first code of a stack.
    End,
}

/// The frame that ORC leads to.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Before {
    /// The caller, and the canonical frame address of the frame.
    Caller(Registers, Addr),
    /// The code this was entered from has its registers in the `pt_regs` at
    /// this address.
    PtRegs(Addr),
    /// Only what the CPU pushed of it, at this address.
    Pushed(Addr),
}

/// The rule at `at`, which is in vmlinux.
pub(super) fn rule(symbols: &Symbols, at: Addr) -> Option<Rule> {
    let vmlinux = symbols.vmlinux()?;
    let file = vmlinux.file_addr(at)?;
    let image = vmlinux.image.image();
    let places = image.section_data(".orc_unwind_ip")?;
    let start = image.section(".orc_unwind_ip")?.addr;
    let index = find(places, start, file)?;
    let bytes = image.section_data(".orc_unwind")?.get(index * ENTRY..(index + 1) * ENTRY)?;
    decode(bytes.try_into().ok()?, &*symbols.struct_layout("orc_entry")?)
}

/// The last entry whose place is at or before `wanted`.
fn find(places: &[u8], start: FileAddr, wanted: FileAddr) -> Option<usize> {
    let mut best: Option<(u64, usize)> = None;
    for (index, place) in places.chunks_exact(4).enumerate() {
        let relative = i32::from_le_bytes([place[0], place[1], place[2], place[3]]);
        let here = start.0.wrapping_add(4 * index as u64);
        let place = here.wrapping_add_signed(i64::from(relative));
        if place <= wanted.0 && best.is_none_or(|(nearest, _)| place >= nearest) {
            best = Some((place, index));
        }
    }
    best.map(|(_, index)| index)
}

/// An entry by the members its structure has in this kernel: with `end` a
/// type of two bits, without it a type of three bits and other numbers (6.4).
fn decode(bytes: &[u8; ENTRY], layout: &Layout) -> Option<Rule> {
    let mut padded = [0; 16];
    padded[..ENTRY].copy_from_slice(bytes);
    let field = |name: &str| -> Option<u64> {
        let member = layout.member(name)?;
        let start = usize::try_from(member.offset).ok()?;
        let word = u64::from_le_bytes(padded.get(start..start + 8)?.try_into().ok()?);
        let (first, count) = member.bits.unwrap_or((0, (member.size.min(4) * 8) as u32));
        Some(word.checked_shr(first)? & ((1 << count.min(32)) - 1))
    };
    let signed = |name: &str| Some(i64::from(field(name)? as u16 as i16));
    let sp_reg = field("sp_reg")?;
    let kind = match (field("end"), field("type")?) {
        (Some(end), _) if sp_reg == UNDEFINED => {
            if end == 1 {
                Kind::End
            } else {
                Kind::Undefined
            }
        }
        (Some(_), 0) | (None, 2) => Kind::Call,
        (Some(_), 1) | (None, 3) => Kind::Regs,
        (Some(_), 2) | (None, 4) => Kind::Partial,
        (None, 1) => Kind::End,
        _ => Kind::Undefined,
    };
    let (sp_offset, bp_offset) = (signed("sp_offset")?, signed("bp_offset")?);
    Some(Rule { sp_reg, sp_offset, bp_reg: field("bp_reg")?, bp_offset, kind })
}

impl Rule {
    /// Whether the code is the first of its stack.
    pub(super) fn is_end(&self) -> bool {
        self.kind == Kind::End
    }

    /// Whether anything is known of the code.
    pub(super) fn is_known(&self) -> bool {
        self.kind != Kind::Undefined
    }

    /// One step back from a frame with these registers, of which the code
    /// leaves `kept` alone.
    pub(super) fn step(
        &self,
        memory: &dyn Memory,
        registers: &Registers,
        kept: &[Reg],
        at: Addr,
    ) -> Result<Before, End> {
        let named = |name: &str| registers.by_name(name).map(Addr).ok_or(End::LostRegister);
        let read = |at: Addr| memory.u64(at).map_err(End::of);
        let offset = self.sp_offset as u64;
        let sp = match self.sp_reg {
            // unwind_orc.c leaves the offset out for these, though the hint in
            // asm_exc_nmi has one (`base=%rdx offset=8`).
            2 => named("rdx")?.offset(offset),
            3 => named("rdi")?.offset(offset),
            BP => named("rbp")?.offset(offset),
            5 => named("rsp")?.offset(offset),
            6 => named("r10")?.offset(offset),
            7 => named("r13")?.offset(offset),
            BP_INDIRECT => Addr(read(named("rbp")?.offset(offset))?),
            SP_INDIRECT => Addr(read(named("rsp")?)?).offset(offset),
            _ => return Err(End::NoCfi(at)),
        };
        match self.kind {
            Kind::Regs => return Ok(Before::PtRegs(sp)),
            Kind::Partial => return Ok(Before::Pushed(sp)),
            Kind::Call => {}
            Kind::Undefined | Kind::End => return Err(End::NoCfi(at)),
        }
        let arch = registers.arch;
        let mut caller = Registers::unknown(arch);
        caller.set(arch.sp, Some(sp.0));
        caller.set(arch.pc, Some(read(sp.back(8))?));
        let bp = match self.bp_reg {
            UNDEFINED => registers.get(arch.fp),
            PREV_SP => Some(read(sp.offset(self.bp_offset as u64))?),
            BP => Some(read(named("rbp")?.offset(self.bp_offset as u64))?),
            _ => None,
        };
        for reg in kept {
            caller.set(*reg, registers.get(*reg));
        }
        caller.set(arch.fp, bp);
        Ok(Before::Caller(caller, sp))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{arch::x86_64::X86_64, base::memory::Sparse};

    #[test]
    fn the_nearest_place_before_is_found_in_any_order() {
        let start = FileAddr(0x1000);
        let places = [0x500i32, 0x300, 0x400];
        let mut bytes = Vec::new();
        for (index, place) in places.iter().enumerate() {
            bytes.extend((place - 0x1000 - 4 * index as i32).to_le_bytes());
        }
        assert_eq!(find(&bytes, start, FileAddr(0x2ff)), None);
        assert_eq!(find(&bytes, start, FileAddr(0x300)), Some(1));
        assert_eq!(find(&bytes, start, FileAddr(0x4ff)), Some(2));
        assert_eq!(find(&bytes, start, FileAddr(u64::MAX)), Some(0));
        assert_eq!(find(&[1, 2], start, FileAddr(0)), None);
    }

    fn rule(kind: Kind, sp_reg: u64, sp_offset: i64) -> Rule {
        Rule { sp_reg, sp_offset, bp_reg: UNDEFINED, bp_offset: 0, kind }
    }

    #[test]
    fn a_leaf_in_assembly_returns_to_what_is_on_the_stack() {
        let mut registers = Registers::from_g(&X86_64, &[1; 156]);
        registers.set(X86_64.sp, Some(0x1000));
        let mut memory = Sparse::new();
        memory.insert(Addr(0x1000), &0xffff_ffff_8100_0005u64.to_le_bytes());
        let before = rule(Kind::Call, 5, 8).step(&memory, &registers, &[], Addr(0)).unwrap();
        let Before::Caller(caller, cfa) = before else { panic!("{before:?}") };
        assert_eq!(
            (caller.pc(), caller.sp(), cfa),
            (Some(Addr(0xffff_ffff_8100_0005)), Some(cfa), Addr(0x1008))
        );
        assert_eq!(caller.by_name("rbp"), registers.by_name("rbp"));
        assert_eq!(caller.by_name("rbx"), None, "ORC does not say");
        let rbx = X86_64.reg("rbx").unwrap();
        let before = rule(Kind::Call, 5, 8).step(&memory, &registers, &[rbx], Addr(0)).unwrap();
        let Before::Caller(caller, _) = before else { panic!("{before:?}") };
        assert_eq!(caller.by_name("rbx"), registers.by_name("rbx"), "the code does not write it");
        let regs = rule(Kind::Regs, 5, 8).step(&memory, &registers, &[], Addr(0));
        assert_eq!(regs, Ok(Before::PtRegs(Addr(0x1008))));
        let pushed = rule(Kind::Partial, 5, 8).step(&memory, &registers, &[], Addr(0));
        assert_eq!(pushed, Ok(Before::Pushed(Addr(0x1008))));
        let nothing = rule(Kind::Undefined, 0, 0).step(&memory, &registers, &[], Addr(7));
        assert_eq!(nothing, Err(End::NoCfi(Addr(7))));
    }
}
