//! What one instruction does, worked out without the CPU.
//!
//! A task stands at a breakpoint and is to go on. To take the breakpoint out,
//! step one instruction and put it back lets every other CPU pass that place
//! unseen meanwhile, the very task that is waited for among them: a second CPU
//! that met the breakpoint at the same time is sent on by the kernel as soon as
//! the breakpoint is out (`kgdb_skipexception` in arch/x86/kernel/kgdb.c). So
//! plain instructions are done from outside, by writing registers and memory,
//! and the breakpoint stays where it is. The kernel does the same where it
//! patches itself (`int3_emulate_jmp` and its kin in
//! arch/x86/include/asm/text-patching.h).
//!
//! Flags: Intel SDM volume 1, 3.4.3.1, and each instruction's page in volume 2.

use super::{Arch, Reg, Registers};
use crate::base::{
    addr::Addr,
    memory::{Gap, Memory},
};
use iced_x86::{
    ConditionCode, Decoder, DecoderOptions, Instruction, InstructionInfoFactory, Mnemonic,
    OpAccess, OpKind, Register,
};
use std::collections::BTreeSet;

const CF: u64 = 1;
const PF: u64 = 1 << 2;
const AF: u64 = 1 << 4;
const ZF: u64 = 1 << 6;
const SF: u64 = 1 << 7;
const TF: u64 = 1 << 8;
const OF: u64 = 1 << 11;
const RF: u64 = 1 << 16;
const VM: u64 = 1 << 17;
const ARITHMETIC: u64 = CF | PF | AF | ZF | SF | OF;

/// What an instruction does.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Effect {
    /// Registers with their new values, without the pc.
    pub registers: Vec<(Reg, u64)>,
    /// What is stored, and where.
    pub store: Option<(Addr, Vec<u8>)>,
    /// Where control is afterwards.
    pub next: Addr,
    /// Whether doing it twice is the same as doing it once: it may then be
    /// done in pieces, of which the new pc is the last.
    pub repeats: bool,
}

/// One instruction that can be done from outside.
#[derive(Clone, Debug)]
pub struct Plain {
    arch: &'static Arch,
    insn: Instruction,
    reads: Vec<Reg>,
    uses_memory: bool,
}

impl Plain {
    /// The instruction at `at`, when it is one that can be done from outside.
    pub fn new(arch: &'static Arch, at: Addr, bytes: &[u8]) -> Option<Plain> {
        let mut decoder = Decoder::with_ip(64, bytes, at.0, DecoderOptions::NONE);
        let insn = decoder.decode();
        let repeated = insn.has_rep_prefix() || insn.has_repne_prefix();
        // `rep ret` is a `ret`, and `rep nop` is `pause`.
        let harmless = matches!(insn.mnemonic(), Mnemonic::Ret | Mnemonic::Pause);
        let is_plain = !insn.is_invalid()
            && !insn.has_lock_prefix()
            && (!repeated || harmless)
            // The CPU's own area: on its way into the debugger the kernel counts in
            // it (`__preempt_count`), and what is there is not what the task sees.
            && !matches!(insn.memory_segment(), Register::FS | Register::GS)
            && is_known(&insn);
        if !is_plain {
            return None;
        }
        let mut reads = BTreeSet::new();
        let mut infos = InstructionInfoFactory::new();
        let info = infos.info(&insn);
        let uses_memory = info.used_memory().iter().any(|u| u.access() != OpAccess::NoMemAccess);
        for used in info.used_registers() {
            let writes_only = matches!(used.access(), OpAccess::Write | OpAccess::NoMemAccess);
            // A part that is written keeps the rest of its register.
            let whole = used.register().is_gpr64() || used.register().is_gpr32();
            if used.register().is_gpr() && !(writes_only && whole) {
                reads.insert(reg(arch, used.register())?);
            }
        }
        if insn.rflags_read() != 0 || insn.rflags_modified() != 0 || is_pushf(&insn) {
            reads.insert(arch.flags);
        }
        Some(Plain { arch, insn, reads: reads.into_iter().collect(), uses_memory })
    }

    /// The registers whose values it needs.
    pub fn reads(&self) -> &[Reg] {
        &self.reads
    }

    /// Whether it reads or writes memory, the stack too.
    pub fn uses_memory(&self) -> bool {
        self.uses_memory
    }

    /// What it does with these registers; `None` when one of them is not known,
    /// or it can't be told.
    ///
    /// # Errors
    /// What it loads can't be read.
    pub fn effect(
        &self,
        registers: &Registers,
        memory: &dyn Memory,
    ) -> Result<Option<Effect>, Gap> {
        if self.reads.iter().any(|reg| registers.get(*reg).is_none()) {
            return Ok(None);
        }
        let mut doing = Doing {
            plain: self,
            registers,
            memory,
            written: Vec::new(),
            store: None,
            next: Addr(self.insn.next_ip()),
        };
        if doing.run()?.is_none() {
            return Ok(None);
        }
        let Doing { written, store, next, .. } = doing;
        let again = |reg: Reg| reg != self.arch.flags && self.reads.contains(&reg);
        let repeats = !written.iter().any(|(reg, _)| *reg == self.arch.sp || again(*reg));
        Ok(Some(Effect { registers: written, store, next, repeats }))
    }
}

fn is_pushf(insn: &Instruction) -> bool {
    insn.mnemonic() == Mnemonic::Pushfq
}

fn is_known(insn: &Instruction) -> bool {
    use Mnemonic::{
        Add, And, Call, Cmp, Dec, Endbr64, Inc, Jmp, Lea, Leave, Mov, Movsx, Movsxd, Movzx, Neg,
        Nop, Not, Or, Pause, Pop, Popfq, Push, Pushfq, Ret, Sub, Test, Xor,
    };
    let by_condition = insn.condition_code() != ConditionCode::None;
    let name = matches!(
        insn.mnemonic(),
        Add | And
            | Call
            | Cmp
            | Dec
            | Endbr64
            | Inc
            | Jmp
            | Lea
            | Leave
            | Mov
            | Movsx
            | Movsxd
            | Movzx
            | Neg
            | Nop
            | Not
            | Or
            | Pause
            | Pop
            | Popfq
            | Push
            | Pushfq
            | Ret
            | Sub
            | Test
            | Xor
    );
    // `ret n`, far calls and jumps are none of the kernel's.
    let far = insn.is_call_far() || insn.is_jmp_far() || insn.is_jmp_far_indirect();
    let far = far || insn.is_call_far_indirect();
    let clean_return = insn.mnemonic() != Mnemonic::Ret || insn.op_count() == 0;
    (name || by_condition) && !far && clean_return
}

/// The register of `Arch` that a register or a part of one belongs to.
fn reg(arch: &Arch, register: Register) -> Option<Reg> {
    let high = [Register::AH, Register::BH, Register::CH, Register::DH].contains(&register);
    let full = register.full_register();
    if high || !full.is_gpr64() {
        return None;
    }
    arch.reg(&format!("{full:?}").to_lowercase())
}

/// An instruction under way. Each step is `None` when it can't be told.
struct Doing<'a> {
    plain: &'a Plain,
    registers: &'a Registers,
    memory: &'a dyn Memory,
    written: Vec<(Reg, u64)>,
    store: Option<(Addr, Vec<u8>)>,
    next: Addr,
}

/// `None` inside when it can't be told.
type Told<T> = Result<Option<T>, Gap>;

/// Takes the value out of a [`Told`], or gives up.
macro_rules! told {
    ($value:expr) => {
        match $value {
            Some(value) => value,
            None => return Ok(None),
        }
    };
}

impl Doing<'_> {
    fn run(&mut self) -> Told<()> {
        let insn = self.plain.insn;
        match insn.mnemonic() {
            Mnemonic::Nop | Mnemonic::Pause | Mnemonic::Endbr64 => Ok(Some(())),
            Mnemonic::Mov | Mnemonic::Movzx => {
                let value = told!(self.operand(1)?);
                Ok(self.write(0, value))
            }
            Mnemonic::Movsx | Mnemonic::Movsxd => {
                let value = told!(self.operand(1)?);
                let value = extended(value, told!(self.size(1)));
                Ok(self.write(0, value))
            }
            Mnemonic::Lea => {
                let address = told!(self.address());
                Ok(self.write(0, address))
            }
            Mnemonic::Jmp => {
                self.next = Addr(told!(self.target()?));
                Ok(Some(()))
            }
            Mnemonic::Push => {
                let value = told!(self.operand(0)?);
                self.push(value)
            }
            Mnemonic::Pushfq => {
                let flags = told!(self.flags());
                self.push(flags & !(TF | RF | VM))
            }
            Mnemonic::Pop => {
                let value = told!(self.pop()?);
                Ok(self.write(0, value))
            }
            Mnemonic::Popfq => {
                let value = told!(self.pop()?);
                // One that was pushed during an instruction step has its flag.
                self.written
                    .push((self.plain.arch.flags, value & !(TF | RF | VM) & 0x003f_7fd7 | 2));
                Ok(Some(()))
            }
            Mnemonic::Call => {
                let target = told!(self.target()?);
                told!(self.push(insn.next_ip())?);
                self.next = Addr(target);
                Ok(Some(()))
            }
            Mnemonic::Ret => {
                self.next = Addr(told!(self.pop()?));
                Ok(Some(()))
            }
            Mnemonic::Leave => {
                let fp = told!(self.registers.get(self.plain.arch.fp));
                let value = self.memory.u64(Addr(fp))?;
                self.written.push((self.plain.arch.fp, value));
                self.written.push((self.plain.arch.sp, fp.wrapping_add(8)));
                Ok(Some(()))
            }
            _ if insn.condition_code() != ConditionCode::None => self.by_condition(),
            _ => self.arithmetic(),
        }
    }

    fn by_condition(&mut self) -> Told<()> {
        let insn = self.plain.insn;
        let holds = told!(holds(insn.condition_code(), told!(self.flags())));
        if insn.is_jcc_short_or_near() {
            if holds {
                self.next = Addr(insn.near_branch_target());
            }
            return Ok(Some(()));
        }
        if is_set(&insn) {
            return Ok(self.write(0, u64::from(holds)));
        }
        // cmov: the source is read in any case; half a register is cleared.
        let (old, new) = (told!(self.operand(0)?), told!(self.operand(1)?));
        Ok(self.write(0, if holds { new } else { old }))
    }

    fn arithmetic(&mut self) -> Told<()> {
        use Mnemonic::{Add, And, Cmp, Dec, Inc, Neg, Not, Or, Sub, Test, Xor};
        let insn = self.plain.insn;
        let name = insn.mnemonic();
        let size = told!(self.size(0));
        let mask = u64::MAX >> (64 - 8 * size);
        let a = told!(self.operand(0)?) & mask;
        let b = match name {
            Inc | Dec | Neg => 1,
            Not => 0,
            _ => told!(self.operand(1)?) & mask,
        };
        let sign = |value: u64| value >> (8 * size - 1) & 1 == 1;
        let (result, carry, overflow) = match name {
            Add | Inc => {
                let result = a.wrapping_add(b) & mask;
                (result, result < a, sign((a ^ result) & (b ^ result)))
            }
            Sub | Cmp | Dec => {
                let result = a.wrapping_sub(b) & mask;
                (result, a < b, sign((a ^ b) & (a ^ result)))
            }
            Neg => {
                let result = a.wrapping_neg() & mask;
                (result, a != 0, sign(a & result))
            }
            And | Test => (a & b, false, false),
            Or => (a | b, false, false),
            Xor => (a ^ b, false, false),
            Not => {
                let done = self.write(0, !a & mask);
                return Ok(done);
            }
            _ => return Ok(None),
        };
        let logic = matches!(name, And | Test | Or | Xor);
        let half = if name == Neg { a & 0xf != 0 } else { (a ^ b ^ result) & 0x10 != 0 };
        let old = told!(self.flags());
        let bit = |set: bool, bit: u64| if set { bit } else { 0 };
        let mut flags = old & !ARITHMETIC
            | bit(carry, CF)
            | bit((result as u8).count_ones().is_multiple_of(2), PF)
            | bit(half && !logic, AF)
            | bit(result == 0, ZF)
            | bit(sign(result), SF)
            | bit(overflow, OF);
        if matches!(name, Inc | Dec) {
            flags = flags & !CF | old & CF;
        }
        if !matches!(name, Cmp | Test) {
            told!(self.write(0, result));
        }
        self.written.push((self.plain.arch.flags, flags));
        Ok(Some(()))
    }

    fn flags(&self) -> Option<u64> {
        self.registers.get(self.plain.arch.flags)
    }

    /// Where a jump or a call goes.
    fn target(&self) -> Told<u64> {
        match self.plain.insn.op_kind(0) {
            OpKind::NearBranch64 => Ok(Some(self.plain.insn.near_branch_target())),
            _ => self.operand(0),
        }
    }

    fn push(&mut self, value: u64) -> Told<()> {
        // Of 16 bits: nobody does.
        if !matches!(self.plain.insn.stack_pointer_increment(), -8) {
            return Ok(None);
        }
        let sp = told!(self.registers.get(self.plain.arch.sp)).wrapping_sub(8);
        self.store = Some((Addr(sp), value.to_le_bytes().to_vec()));
        self.written.push((self.plain.arch.sp, sp));
        Ok(Some(()))
    }

    fn pop(&mut self) -> Told<u64> {
        if !matches!(self.plain.insn.stack_pointer_increment(), 8) {
            return Ok(None);
        }
        let sp = told!(self.registers.get(self.plain.arch.sp));
        let value = self.memory.u64(Addr(sp))?;
        self.written.push((self.plain.arch.sp, sp.wrapping_add(8)));
        Ok(Some(value))
    }

    /// Bytes of an operand.
    fn size(&self, operand: u32) -> Option<usize> {
        let insn = &self.plain.insn;
        let size = match insn.op_kind(operand) {
            OpKind::Register => insn.op_register(operand).size(),
            OpKind::Memory => insn.memory_size().size(),
            _ => 8,
        };
        (1..=8).contains(&size).then_some(size)
    }

    /// The address of the operand in memory.
    fn address(&self) -> Option<u64> {
        let insn = &self.plain.insn;
        let operand = (0..insn.op_count()).find(|i| insn.op_kind(*i) == OpKind::Memory)?;
        insn.virtual_address(operand, 0, |register, _, _| match register {
            // Flat in 64 bits.
            Register::CS | Register::DS | Register::ES | Register::SS => Some(0),
            register => {
                let value = self.registers.get(reg(self.plain.arch, register)?)?;
                Some(if register.size() == 4 { value & 0xffff_ffff } else { value })
            }
        })
    }

    fn operand(&self, operand: u32) -> Told<u64> {
        let insn = &self.plain.insn;
        Ok(match insn.op_kind(operand) {
            OpKind::Register => {
                let register = insn.op_register(operand);
                let value = told!(self.registers.get(told!(reg(self.plain.arch, register))));
                Some(value & u64::MAX >> (64 - 8 * register.size()))
            }
            OpKind::Memory => {
                let address = told!(self.address());
                let size = told!(self.size(operand));
                Some(self.memory.uint(Addr(address), size)?)
            }
            _ => insn.try_immediate(operand).ok(),
        })
    }

    /// Writes an operand; the rest of a register stays, but for the upper half
    /// of a whole one.
    fn write(&mut self, operand: u32, value: u64) -> Option<()> {
        let insn = &self.plain.insn;
        let size = self.size(operand)?;
        let mask = u64::MAX >> (64 - 8 * size);
        match insn.op_kind(operand) {
            OpKind::Register => {
                let reg = reg(self.plain.arch, insn.op_register(operand))?;
                let kept = if size >= 4 { 0 } else { self.registers.get(reg)? & !mask };
                // `pop %rsp`.
                self.written.retain(|(written, _)| *written != reg);
                self.written.push((reg, kept | value & mask));
            }
            // To change what is in memory takes more than one packet, and is
            // not the same done twice.
            OpKind::Memory if matches!(insn.mnemonic(), Mnemonic::Mov) || is_set(insn) => {
                let bytes = (value & mask).to_le_bytes()[..size].to_vec();
                self.store = Some((Addr(self.address()?), bytes));
            }
            _ => return None,
        }
        Some(())
    }
}

fn is_set(insn: &Instruction) -> bool {
    insn.condition_code() != ConditionCode::None && insn.op_count() == 1
}

fn extended(value: u64, size: usize) -> u64 {
    let unused = 64 - 8 * size as u32;
    ((value << unused) as i64 >> unused) as u64
}

fn holds(condition: ConditionCode, flags: u64) -> Option<bool> {
    let is = |bit: u64| flags & bit != 0;
    Some(match condition {
        ConditionCode::o => is(OF),
        ConditionCode::no => !is(OF),
        ConditionCode::b => is(CF),
        ConditionCode::ae => !is(CF),
        ConditionCode::e => is(ZF),
        ConditionCode::ne => !is(ZF),
        ConditionCode::be => is(CF | ZF),
        ConditionCode::a => !is(CF | ZF),
        ConditionCode::s => is(SF),
        ConditionCode::ns => !is(SF),
        ConditionCode::p => is(PF),
        ConditionCode::np => !is(PF),
        ConditionCode::l => is(SF) != is(OF),
        ConditionCode::ge => is(SF) == is(OF),
        ConditionCode::le => is(ZF) || is(SF) != is(OF),
        ConditionCode::g => !is(ZF) && is(SF) == is(OF),
        ConditionCode::None => return None,
    })
}

#[cfg(test)]
#[path = "emulate_tests.rs"]
mod tests;
