//! What a CPU means to a debugger: its registers on the wire, its flags in
//! words, and what one instruction does. Tables and small functions; no guest,
//! no files. x86_64 is the first; others are one more table.

pub mod emulate;
pub mod insn;
pub mod jumps;
pub mod operand;
pub mod x86_64;

use crate::base::addr::Addr;

/// One register as kgdb's `g` packet carries it.
#[derive(Clone, Copy, Debug)]
pub struct RegisterDef {
    /// gdb's name for it.
    pub name: &'static str,
    /// Bytes on the wire.
    pub size: usize,
    /// Where it starts in the `g` packet's bytes.
    pub offset: usize,
    /// Its number in `p` and `P` packets.
    pub number: u32,
    /// Its number in DWARF, where it has one.
    pub dwarf: Option<u16>,
}

/// A register by its place in [`Arch::registers`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Reg(pub u8);

/// What one architecture means.
#[derive(Debug)]
pub struct Arch {
    /// Its name as `uname -m` prints it.
    pub name: &'static str,
    /// Every register that can be known.
    pub registers: &'static [RegisterDef],
    /// Bytes of a whole `g` reply (twice as many digits on the wire).
    pub g_len: usize,
    /// The program counter.
    pub pc: Reg,
    /// The stack pointer.
    pub sp: Reg,
    /// The frame pointer.
    pub fp: Reg,
    /// Where a function finds its first argument as it is entered (psABI).
    pub first_argument: Reg,
    /// The second and the third.
    pub further_arguments: [Reg; 2],
    /// The flags register.
    pub flags: Reg,
    /// The bit of `flags` that an instruction step leaves behind; hidden from
    /// people because the stub put it there.
    pub step_flag: u64,
    /// How far past a software breakpoint the pc is when it is hit.
    pub breakpoint_skid: u64,
    /// The length field of `Z0` packets: bytes of the breakpoint instruction.
    pub breakpoint_len: u64,
    /// Turns the bytes of a `g` reply into values, in the order of
    /// `registers`; `None` where the stub's bytes mean nothing.
    decode: fn(&[u8]) -> Vec<Option<u64>>,
}

impl Arch {
    /// The register called `name` (with or without gdb's `$`), also by the
    /// common names `pc`, `sp` and `fp`.
    pub fn reg(&self, name: &str) -> Option<Reg> {
        match name.strip_prefix('$').unwrap_or(name) {
            "pc" => Some(self.pc),
            "sp" => Some(self.sp),
            "fp" => Some(self.fp),
            name => self.registers.iter().position(|r| r.name == name).map(|i| Reg(i as u8)),
        }
    }

    /// The register with this DWARF number.
    pub fn reg_by_dwarf(&self, number: u16) -> Option<Reg> {
        self.registers.iter().position(|r| r.dwarf == Some(number)).map(|i| Reg(i as u8))
    }

    /// What is known of `reg`.
    pub fn def(&self, reg: Reg) -> &'static RegisterDef {
        &self.registers[reg.0 as usize]
    }
}

/// Register values, each known or not: a sleeping task has few, a caller's
/// frame has those its callees saved.
#[derive(Clone, Debug)]
pub struct Registers {
    /// Whose registers these are.
    pub arch: &'static Arch,
    values: Vec<Option<u64>>,
}

impl PartialEq for Registers {
    fn eq(&self, other: &Registers) -> bool {
        std::ptr::eq(self.arch, other.arch) && self.values == other.values
    }
}

impl Registers {
    /// All unknown.
    pub fn unknown(arch: &'static Arch) -> Registers {
        Registers { arch, values: vec![None; arch.registers.len()] }
    }

    /// The bytes of a `g` reply. A reply of another length than
    /// [`Arch::g_len`] still gives the registers it has whole.
    pub fn from_g(arch: &'static Arch, bytes: &[u8]) -> Registers {
        let mut values = (arch.decode)(bytes);
        for (value, def) in values.iter_mut().zip(arch.registers) {
            if def.offset + def.size > bytes.len() {
                *value = None;
            }
        }
        Registers { arch, values }
    }

    /// The value of `reg`, where it is known.
    pub fn get(&self, reg: Reg) -> Option<u64> {
        self.values.get(reg.0 as usize).copied().flatten()
    }

    /// Makes `reg` known (or unknown).
    pub fn set(&mut self, reg: Reg, value: Option<u64>) {
        if let Some(slot) = self.values.get_mut(reg.0 as usize) {
            *slot = value;
        }
    }

    /// Whether they are those of a program, by the privilege level in the code
    /// segment's selector (Intel SDM volume 3, 5.5). Not when that is unknown.
    pub fn is_user(&self) -> bool {
        self.by_name("cs").is_some_and(|cs| cs & 3 != 0)
    }

    /// The value by gdb's name.
    pub fn by_name(&self, name: &str) -> Option<u64> {
        self.arch.reg(name).and_then(|reg| self.get(reg))
    }

    /// The value by DWARF number.
    pub fn by_dwarf(&self, number: u16) -> Option<u64> {
        self.arch.reg_by_dwarf(number).and_then(|reg| self.get(reg))
    }

    /// The program counter.
    pub fn pc(&self) -> Option<Addr> {
        self.get(self.arch.pc).map(Addr)
    }

    /// The stack pointer.
    pub fn sp(&self) -> Option<Addr> {
        self.get(self.arch.sp).map(Addr)
    }

    /// Every register with its value, in gdb's order.
    pub fn iter(&self) -> impl Iterator<Item = (&'static RegisterDef, Option<u64>)> + '_ {
        self.arch.registers.iter().zip(self.values.iter().copied())
    }
}
