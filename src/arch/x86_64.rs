//! x86_64: the 156 bytes of kgdb's `g` packet, and RFLAGS in words.
//!
//! The layout is `dbg_reg_def` in arch/x86/kernel/kgdb.c, cut at
//! `NUMREGBYTES` = 17 * 8 + 5 * 4 (arch/x86/include/asm/kgdb.h). The same in
//! 4.2, 6.1 and 6.12. DWARF numbers: System V ABI, AMD64, figure 3.36.

use super::{Arch, Reg, RegisterDef};
use gdbstub::arch::Registers as _;
use gdbstub_arch::x86::reg::X86_64CoreRegs;

const fn def(
    name: &'static str,
    size: usize,
    offset: usize,
    number: u32,
    dwarf: Option<u16>,
) -> RegisterDef {
    RegisterDef { name, size, offset, number, dwarf }
}

const REGISTERS: &[RegisterDef] = &[
    def("rax", 8, 0, 0, Some(0)),
    def("rbx", 8, 8, 1, Some(3)),
    def("rcx", 8, 16, 2, Some(2)),
    def("rdx", 8, 24, 3, Some(1)),
    def("rsi", 8, 32, 4, Some(4)),
    def("rdi", 8, 40, 5, Some(5)),
    def("rbp", 8, 48, 6, Some(6)),
    def("rsp", 8, 56, 7, Some(7)),
    def("r8", 8, 64, 8, Some(8)),
    def("r9", 8, 72, 9, Some(9)),
    def("r10", 8, 80, 10, Some(10)),
    def("r11", 8, 88, 11, Some(11)),
    def("r12", 8, 96, 12, Some(12)),
    def("r13", 8, 104, 13, Some(13)),
    def("r14", 8, 112, 14, Some(14)),
    def("r15", 8, 120, 15, Some(15)),
    def("rip", 8, 128, 16, Some(16)),
    def("eflags", 4, 136, 17, Some(49)),
    def("cs", 4, 140, 18, Some(51)),
    def("ss", 4, 144, 19, Some(52)),
];

/// x86_64 as kgdb shows it. `ds` and `es` are on the wire too, but the stub
/// never fills them in (`dbg_reg_def` has offset -1), so they are left out
/// here rather than shown with stale bytes.
pub static X86_64: Arch = Arch {
    name: "x86_64",
    registers: REGISTERS,
    g_len: 156,
    pc: Reg(16),
    sp: Reg(7),
    fp: Reg(6),
    first_argument: Reg(5),
    further_arguments: [Reg(4), Reg(3)],
    flags: Reg(17),
    step_flag: 0x100,
    breakpoint_skid: 1,
    breakpoint_len: 1,
    decode,
};

/// `gdbstub_arch` refuses anything under 536 bytes (gdb's full register file
/// with x87 and SSE), so kgdb's 156 bytes are padded with zeros and only what
/// they covered is taken back out.
fn decode(bytes: &[u8]) -> Vec<Option<u64>> {
    const FULL: usize = 0x218;
    let mut padded = [0; FULL];
    let len = bytes.len().min(FULL);
    padded[..len].copy_from_slice(&bytes[..len]);
    let mut core = X86_64CoreRegs::default();
    if core.gdb_deserialize(&padded).is_err() {
        return vec![None; REGISTERS.len()];
    }
    let flags_and_segments = [core.eflags, core.segments.cs, core.segments.ss];
    (core.regs.iter().copied())
        .chain([core.rip])
        .chain(flags_and_segments.map(u64::from))
        .map(Some)
        .collect()
}

/// The set bits of RFLAGS by name, highest first, with the I/O privilege
/// level when it is not zero (Intel SDM volume 1, 3.4.3).
pub fn flags_text(flags: u64) -> String {
    const BITS: &[(u32, &str)] = &[
        (21, "ID"),
        (20, "VIP"),
        (19, "VIF"),
        (18, "AC"),
        (17, "VM"),
        (16, "RF"),
        (14, "NT"),
        (11, "OF"),
        (10, "DF"),
        (9, "IF"),
        (8, "TF"),
        (7, "SF"),
        (6, "ZF"),
        (4, "AF"),
        (2, "PF"),
        (0, "CF"),
    ];
    let mut words: Vec<String> =
        BITS.iter().filter(|(bit, _)| flags >> bit & 1 == 1).map(|(_, n)| n.to_string()).collect();
    let iopl = flags >> 12 & 3;
    if iopl != 0 {
        words.push(format!("IOPL={iopl}"));
    }
    words.join(" ")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::arch::Registers;
    use crate::base::addr::Addr;

    #[test]
    fn a_g_reply_of_156_bytes_gives_every_register() {
        let bytes: Vec<u8> = (0..156).collect();
        let regs = Registers::from_g(&X86_64, &bytes);
        for (def, value) in regs.iter() {
            let mut want = [0; 8];
            want[..def.size].copy_from_slice(&bytes[def.offset..def.offset + def.size]);
            assert_eq!(value, Some(u64::from_le_bytes(want)), "{}", def.name);
        }
    }

    #[test]
    fn a_short_reply_gives_only_what_it_has() {
        let regs = Registers::from_g(&X86_64, &[0xaa; 20]);
        assert_eq!(regs.by_name("rbx"), Some(0xaaaa_aaaa_aaaa_aaaa));
        assert_eq!(regs.by_name("rcx"), None);
        assert_eq!(regs.pc(), None);
        assert_eq!(Registers::from_g(&X86_64, &[]).pc(), None);
    }

    #[test]
    fn names_and_dwarf_numbers_agree_with_the_abi() {
        let mut regs = Registers::unknown(&X86_64);
        regs.set(X86_64.pc, Some(7));
        assert_eq!(regs.by_name("$rip"), Some(7));
        assert_eq!(regs.by_name("$pc"), Some(7));
        assert_eq!(regs.pc(), Some(Addr(7)));
        assert_eq!(regs.by_dwarf(16), Some(7));
        assert_eq!(X86_64.reg_by_dwarf(1), X86_64.reg("rdx"));
        assert_eq!(X86_64.reg("fs"), None);
    }

    #[test]
    fn flags_are_words() {
        assert_eq!(flags_text(0x246), "IF ZF PF");
        assert_eq!(flags_text(0x3000), "IOPL=3");
    }
}
