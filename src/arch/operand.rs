//! What one instruction does with memory and what it changes, computed from
//! the registers it runs with: to explain a fault, what it means to skip the
//! instruction that made it, and which instruction a watchpoint caught.

use iced_x86::{
    Decoder, DecoderOptions, Instruction, InstructionInfoFactory, Mnemonic, OpAccess, OpKind,
    Register, UsedMemory,
};

/// How memory is used.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Access {
    /// Read only.
    Read,
    /// Written only.
    Write,
    /// Read, then written.
    Both,
}

impl Access {
    /// As a verb: `reads`.
    pub fn verb(self) -> &'static str {
        match self {
            Access::Read => "reads",
            Access::Write => "writes",
            Access::Both => "changes",
        }
    }

    /// Whether it writes.
    pub fn writes(self) -> bool {
        self != Access::Read
    }
}

/// One piece of memory that an instruction uses.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MemoryUse {
    /// Where; `None` when a register that it is computed from is not known.
    pub address: Option<u64>,
    /// The register that the address begins with.
    pub base: Option<String>,
    /// The register that is added to it, and what that is multiplied by.
    pub index: Option<(String, u32)>,
    /// What is added last; for an address at a distance from the pc, all of it.
    pub displacement: i64,
    /// Bytes; 0 where the instruction does not say.
    pub size: u64,
    /// How.
    pub access: Access,
}

impl MemoryUse {
    /// Whether it has a byte of `len` bytes at `addr`.
    pub fn touches(&self, addr: u64, len: u64) -> bool {
        let end = |start: u64, len: u64| start.saturating_add(len.max(1));
        let touches = |own: u64| own < end(addr, len) && addr < end(own, self.size);
        self.address.is_some_and(touches)
    }

    /// As the kernel's own sources write it: `0x38(%rax,%rbx,8)`.
    pub fn text(&self) -> String {
        let displacement = match self.displacement {
            0 if self.base.is_some() || self.index.is_some() => String::new(),
            n if n < 0 && self.base.is_some() => format!("-{:#x}", n.unsigned_abs()),
            n => format!("{n:#x}"),
        };
        let base = self.base.as_ref().map_or(String::new(), |base| format!("%{base}"));
        match &self.index {
            Some((index, scale)) => format!("{displacement}({base},%{index},{scale})"),
            None if base.is_empty() => displacement,
            None => format!("{displacement}({base})"),
        }
    }
}

/// Values of registers by name; `gs_base` and `fs_base` are asked for as well.
pub type Values<'a> = dyn Fn(&str) -> Option<u64> + 'a;

fn decoded(at: u64, bytes: &[u8]) -> Option<Instruction> {
    let instruction = Decoder::with_ip(64, bytes, at, DecoderOptions::NONE).decode();
    (!instruction.is_invalid()).then_some(instruction)
}

fn name(register: Register) -> String {
    format!("{register:?}").to_lowercase()
}

/// Every piece of memory that the instruction at `at` uses, also what it does
/// not name: the stack of a `push`, both ends of a `movs`.
pub fn memory_uses(at: u64, bytes: &[u8], values: &Values<'_>) -> Vec<MemoryUse> {
    let Some(instruction) = decoded(at, bytes) else { return Vec::new() };
    let mut infos = InstructionInfoFactory::new();
    infos.info(&instruction).used_memory().iter().filter_map(|used| of(used, values)).collect()
}

fn of(used: &UsedMemory, values: &Values<'_>) -> Option<MemoryUse> {
    let access = match used.access() {
        OpAccess::Read | OpAccess::CondRead => Access::Read,
        OpAccess::Write | OpAccess::CondWrite => Access::Write,
        OpAccess::ReadWrite | OpAccess::ReadCondWrite => Access::Both,
        OpAccess::None | OpAccess::NoMemAccess => return None,
    };
    let some = |register: Register| (register != Register::None).then(|| name(register));
    let (base, index) = (some(used.base()), some(used.index()));
    let value = |register: Register| match register {
        Register::None => Some(0),
        register => {
            let whole = values(&name(register.full_register()))?;
            Some(if register.size() == 4 { whole & 0xffff_ffff } else { whole })
        }
    };
    // In 64-bit mode the other segments begin at 0 (Intel SDM volume 3, 3.4.4).
    let segment = match used.segment() {
        Register::GS => values("gs_base"),
        Register::FS => values("fs_base"),
        _ => Some(0),
    };
    let scale = used.scale();
    let address = value(used.base()).zip(value(used.index())).zip(segment);
    let address = address.map(|((base, index), segment)| {
        let index = index.wrapping_mul(u64::from(scale));
        let sum = base.wrapping_add(index).wrapping_add(used.displacement());
        segment.wrapping_add(sum)
    });
    Some(MemoryUse {
        address,
        base,
        index: index.map(|index| (index, scale)),
        displacement: used.displacement() as i64,
        size: used.memory_size().size() as u64,
        access,
    })
}

/// What a division divides by: a register's name, or nothing for memory. `None`
/// when it is no division.
pub fn divisor(bytes: &[u8]) -> Option<Option<String>> {
    let instruction = decoded(0, bytes)?;
    if !matches!(instruction.mnemonic(), Mnemonic::Div | Mnemonic::Idiv) {
        return None;
    }
    let is_register = instruction.op0_kind() == OpKind::Register;
    Some(is_register.then(|| name(instruction.op0_register())))
}

/// Whether it is `ud2`, which BUG() and WARN() are made of.
pub fn is_ud2(bytes: &[u8]) -> bool {
    bytes.starts_with(&[0x0f, 0x0b])
}

/// The whole 64-bit registers that an instruction changes, the stack pointer,
/// the flags and the pc apart.
pub fn registers_written(bytes: &[u8]) -> Vec<String> {
    let Some(instruction) = decoded(0, bytes) else { return Vec::new() };
    let mut infos = InstructionInfoFactory::new();
    let mut names = Vec::new();
    for used in infos.info(&instruction).used_registers() {
        let reads = matches!(used.access(), OpAccess::Read | OpAccess::CondRead);
        let whole = used.register().full_register();
        let name = name(whole);
        if !reads && whole.is_gpr64() && whole != Register::RSP && !names.contains(&name) {
            names.push(name);
        }
    }
    names
}

/// Whether some instruction in `code` looks at a member of a structure: reads
/// `size` bytes at `offset` from what a register points to.
pub fn reads_member(code: &[u8], offset: u64, size: u64) -> bool {
    let mut decoder = Decoder::with_ip(64, code, 0, DecoderOptions::NONE);
    let mut infos = InstructionInfoFactory::new();
    let mut instruction = Instruction::default();
    while decoder.can_decode() {
        decoder.decode_out(&mut instruction);
        if instruction.is_invalid() {
            return false;
        }
        let by_register = instruction.op_kinds().any(|kind| kind == OpKind::Memory)
            && instruction.memory_base().is_gpr64()
            && !matches!(instruction.memory_base(), Register::RSP | Register::RBP)
            && instruction.memory_index() == Register::None
            && instruction.memory_displacement64() == offset;
        let reads = infos.info(&instruction).used_memory().iter().any(|memory| {
            matches!(memory.access(), OpAccess::Read | OpAccess::ReadWrite)
                && memory.memory_size().size() as u64 == size
        });
        if by_register && reads {
            return true;
        }
    }
    false
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const AT: u64 = 0xffff_ffff_8100_0000;

    fn uses(bytes: &[u8]) -> Vec<MemoryUse> {
        memory_uses(AT, bytes, &|register| match register {
            "rax" => Some(0),
            "rbx" => Some(2),
            "rsp" => Some(0xffff_c900_0000_1000),
            "rsi" => Some(0x10),
            "gs_base" => Some(0xffff_8880_0000_0000),
            _ => None,
        })
    }

    fn one(bytes: &[u8]) -> MemoryUse {
        let mut uses = uses(bytes);
        assert_eq!(uses.len(), 1, "{uses:?}");
        uses.remove(0)
    }

    #[test]
    fn addresses_are_computed_from_the_registers() {
        // mov 0x38(%rax),%eax
        let read = one(&[0x8b, 0x40, 0x38]);
        assert_eq!((read.address, read.size, read.access), (Some(0x38), 4, Access::Read));
        assert_eq!((read.text().as_str(), read.base.as_deref()), ("0x38(%rax)", Some("rax")));
        // addl $1,-8(%rax,%rbx,4)
        let change = one(&[0x83, 0x44, 0x98, 0xf8, 0x01]);
        assert_eq!((change.address, change.access), (Some(0), Access::Both));
        assert_eq!(change.text(), "-0x8(%rax,%rbx,4)");
        // mov %rax,0x100(%rip)
        let relative = one(&[0x48, 0x89, 0x05, 0, 1, 0, 0]);
        assert_eq!((relative.address, relative.access), (Some(AT + 0x107), Access::Write));
        // mov %gs:0x28,%rax
        let per_cpu = one(&[0x65, 0x48, 0x8b, 0x04, 0x25, 0x28, 0, 0, 0]);
        assert_eq!(per_cpu.address, Some(0xffff_8880_0000_0028));
        // mov (%rcx),%eax: rcx is not known.
        assert_eq!(one(&[0x8b, 0x01]).address, None);
        // lea 8(%rax),%rcx uses no memory.
        assert!(uses(&[0x48, 0x8d, 0x48, 0x08]).is_empty());
    }

    #[test]
    fn memory_that_is_not_named_counts() {
        // call *(%rax): reads the pointer, writes the return address.
        let call = uses(&[0xff, 0x10]);
        assert_eq!(call.len(), 2, "{call:?}");
        assert!(call.iter().any(|used| used.address == Some(0) && used.access == Access::Read));
        let pushed = 0xffff_c900_0000_0ff8;
        assert!(call.iter().any(|u| u.address == Some(pushed) && u.access == Access::Write));
    }

    #[test]
    fn divisions_traps_and_results_are_known() {
        assert_eq!(divisor(&[0xf7, 0xf1]), Some(Some("ecx".into())));
        assert_eq!(divisor(&[0xf7, 0x30]), Some(None), "divl (%rax)");
        assert_eq!(divisor(&[0x90]), None);
        assert!(is_ud2(&[0x0f, 0x0b, 0x90]) && !is_ud2(&[0x0f]));
        assert_eq!(registers_written(&[0x8b, 0x40, 0x38]), ["rax"]);
        assert_eq!(registers_written(&[0xc6, 0x00, 0x54]), [""; 0], "movb $'T',(%rax)");
        assert_eq!(registers_written(&[]), [""; 0]);
    }

    #[test]
    fn half_registers_and_the_flat_segments_are_known() {
        // mov (%eax),%cl with a base of 32 bits: the rest of rax does not count.
        let wide = |name: &str| (name == "rax").then_some(0xffff_ffff_0000_0040);
        assert_eq!(memory_uses(AT, &[0x67, 0x8a, 0x08], &wide)[0].address, Some(0x40));
        // cmpb $0,%ds:(%rax,%rbx,8)
        assert_eq!(one(&[0x3e, 0x80, 0x3c, 0xd8, 0]).address, Some(0x10));
        // lock cmpxchg %ecx,(%rsi)
        assert_eq!(one(&[0xf0, 0x0f, 0xb1, 0x0e]).access, Access::Both);
    }

    #[test]
    fn a_touch_is_an_overlap() {
        let used = one(&[0x89, 0x43, 0x02]);
        assert_eq!((used.address, used.size), (Some(4), 4), "mov %eax,2(%rbx)");
        assert!(used.touches(0, 8) && used.touches(7, 1));
        assert!(!used.touches(0, 4) && !used.touches(8, 4));
    }

    #[test]
    fn a_member_that_is_looked_at_is_found() {
        // cmpl $1,0xa8(%rdi)
        let compared = [0x90, 0x83, 0xbf, 0xa8, 0, 0, 0, 1, 0xc3];
        assert!(reads_member(&compared, 0xa8, 4));
        assert!(!reads_member(&compared, 0xa8, 8) && !reads_member(&compared, 0xac, 4));
        // mov 0xa8(%rbx),%eax; a local at the same distance from the stack pointer.
        assert!(reads_member(&[0x8b, 0x83, 0xa8, 0, 0, 0], 0xa8, 4));
        assert!(!reads_member(&[0x8b, 0x84, 0x24, 0xa8, 0, 0, 0], 0xa8, 4));
        // A write is no look.
        assert!(!reads_member(&[0x89, 0x83, 0xa8, 0, 0, 0], 0xa8, 4));
    }

    proptest! {
        #[test]
        fn any_bytes_have_an_answer(bytes in prop::collection::vec(any::<u8>(), 0..20), rax: u64) {
            let known = |name: &str| ["rax", "rsp", "rdi"].contains(&name).then_some(rax);
            // `enter` has the most: a frame pointer for each of 31 levels, read and written.
            let uses = memory_uses(rax, &bytes, &known);
            prop_assert!(uses.len() < 100);
            uses.iter().for_each(|used| _ = (used.text(), used.touches(rax, 8)));
            reads_member(&bytes, 0x10, 4);
        }
    }
}
