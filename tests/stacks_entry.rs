//! Entry code, instruction by instruction: wherever an interrupt, an exception
//! or a system call stands in it, the stack leads to what was entered from, with
//! its registers. The guest's own entry code is carried out here, since no
//! breakpoint can be set in it.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

mod support {
    pub mod guest;
    pub mod kernel;
    pub mod tools;
}

use iced_x86::{Decoder, DecoderOptions, Instruction, Mnemonic, OpKind, Register};
use kgdb_tui::{
    arch::{Registers, x86_64::X86_64},
    base::{
        addr::Addr,
        memory::{Memory, Sparse},
    },
    symbols::placed::Symbols,
    unwind::{Bottom, By, End, FrameKind, entry, trapped::is_on_the_way, walk::unwind},
};
use std::collections::BTreeSet;
use support::{guest::built, kernel::loaded};

/// The end of a task's stack, and one of a CPU's own for exceptions.
const TASK_STACK: Addr = Addr(0xffff_c900_0001_4000);
const NMI_STACK: Addr = Addr(0xffff_fe00_0000_f000);

/// A CPU as far as entry code needs one.
struct Cpu<'a> {
    symbols: &'a Symbols,
    memory: Sparse,
    registers: Registers,
    zero: bool,
}

impl Cpu<'_> {
    fn get(&self, name: &str) -> u64 {
        self.registers.by_name(name).unwrap()
    }

    fn set(&mut self, name: &str, value: u64) {
        self.registers.set(X86_64.reg(name).unwrap(), Some(value));
    }

    fn push(&mut self, value: u64) {
        let sp = self.get("rsp") - 8;
        self.set("rsp", sp);
        self.memory.insert(Addr(sp), &value.to_le_bytes());
    }

    /// What the CPU does itself on an interrupt (Intel SDM volume 3, 6.14.2).
    fn interrupted(&mut self, stack: Option<Addr>, code: Option<u64>) {
        let pushed = ["ss", "rsp", "eflags", "cs", "rip"].map(|name| self.get(name));
        let sp = stack.map_or(self.get("rsp"), |stack| stack.0);
        self.set("rsp", sp & !15);
        pushed.into_iter().chain(code).for_each(|value| self.push(value));
        self.set("cs", 0x10);
    }

    fn wide(register: Register) -> String {
        format!("{:?}", register.full_register()).to_lowercase()
    }

    fn address(&self, insn: &Instruction) -> u64 {
        if insn.is_ip_rel_memory_operand() {
            return insn.ip_rel_memory_address();
        }
        let base = self.get(&Cpu::wide(insn.memory_base()));
        base.wrapping_add(insn.memory_displacement64())
    }

    fn value(&self, insn: &Instruction, operand: u32) -> u64 {
        let size = insn.memory_size().size().clamp(1, 8);
        match insn.op_kind(operand) {
            OpKind::Register => {
                let register = insn.op_register(operand);
                let value = self.get(&Cpu::wide(register));
                if register.size() == 4 { value & 0xffff_ffff } else { value }
            }
            // What is in nobody's stack and in no CPU's area is zero.
            OpKind::Memory if insn.segment_prefix() == Register::GS => 0,
            OpKind::Memory => self.memory.uint(Addr(self.address(insn)), size).unwrap_or(0),
            _ => insn.immediate(operand),
        }
    }

    /// Carries out one instruction; `None` where C code or user space begins.
    fn step(&mut self) -> Option<()> {
        let pc = self.registers.pc().unwrap();
        let code = (1..=15).rev().find_map(|len| self.symbols.file_code(pc, len)).unwrap();
        let insn = Decoder::with_ip(64, &code, pc.0, DecoderOptions::NONE).decode();
        self.set("rip", insn.next_ip());
        match insn.mnemonic() {
            Mnemonic::Push => {
                let value = self.value(&insn, 0);
                self.push(value);
            }
            Mnemonic::Mov | Mnemonic::Movsxd if insn.op0_kind() == OpKind::Register => {
                // The stack of the task, from the CPU's own area.
                let gs = insn.op1_kind() == OpKind::Memory && insn.segment_prefix() == Register::GS;
                let value = if gs { TASK_STACK.0 } else { self.value(&insn, 1) };
                self.set(&Cpu::wide(insn.op0_register()), value);
            }
            Mnemonic::Mov if insn.segment_prefix() != Register::GS => {
                let value = self.value(&insn, 1);
                self.memory.insert(Addr(self.address(&insn)), &value.to_le_bytes());
            }
            Mnemonic::Xor => self.set(&Cpu::wide(insn.op0_register()), 0),
            Mnemonic::Lea => {
                let at = self.address(&insn);
                self.set(&Cpu::wide(insn.op0_register()), at);
            }
            Mnemonic::Sub | Mnemonic::Add => {
                let (a, b) = (self.value(&insn, 0), self.value(&insn, 1));
                let sub = insn.mnemonic() == Mnemonic::Sub;
                let value = if sub { a.wrapping_sub(b) } else { a.wrapping_add(b) };
                self.set(&Cpu::wide(insn.op0_register()), value);
            }
            Mnemonic::Test => self.zero = self.value(&insn, 0) & self.value(&insn, 1) == 0,
            Mnemonic::Cmp => self.zero = self.value(&insn, 0) == self.value(&insn, 1),
            Mnemonic::Je if self.zero => self.set("rip", insn.near_branch_target()),
            Mnemonic::Jne if !self.zero => self.set("rip", insn.near_branch_target()),
            Mnemonic::Jmp => self.set("rip", insn.near_branch_target()),
            Mnemonic::Call => {
                let target = Addr(insn.near_branch_target());
                // C code; what it is called for is the end of the way in.
                if self.symbols.cfi_row(target).is_some() {
                    return None;
                }
                self.push(insn.next_ip());
                self.set("rip", target.0);
            }
            Mnemonic::Ret => {
                let sp = self.get("rsp");
                let pc = self.memory.u64(Addr(sp)).unwrap();
                self.set("rsp", sp + 8);
                self.set("rip", pc);
            }
            _ => {}
        }
        Some(())
    }
}

/// A CPU before it enters, in `vfs_read` or in user space.
fn before(symbols: &Symbols, user: bool) -> Cpu<'_> {
    let mut registers = Registers::unknown(&X86_64);
    for (index, def) in X86_64.registers.iter().enumerate() {
        registers.set(X86_64.reg(def.name).unwrap(), Some(0x1111 * (index as u64 + 1)));
    }
    let mut memory = Sparse::new();
    memory.insert(TASK_STACK.back(4096), &[0; 4096]);
    let mut cpu = Cpu { symbols, memory, registers, zero: false };
    let (pc, sp, cs, ss) = match user {
        true => (0x40_1000, 0x7ffe_0000_1000, 0x33, 0x2b),
        false => (symbols.symbol_addr("vfs_read").unwrap().0, TASK_STACK.back(0x200).0, 0x10, 0x18),
    };
    for (name, value) in [("rip", pc), ("rsp", sp), ("cs", cs), ("ss", ss), ("eflags", 0x246)] {
        cpu.set(name, value);
    }
    cpu
}

/// Goes through the entry code at `name` until C code is called, and looks from
/// every instruction. How many there were.
fn goes_through(
    symbols: &Symbols,
    name: &str,
    (user, stack, code): (bool, Option<Addr>, Option<u64>),
    kind: FrameKind,
) -> usize {
    let mut cpu = before(symbols, user);
    let from = cpu.registers.clone();
    // A return address, so that the stack goes on.
    if !user {
        let caller = symbols.symbol_addr("ksys_read").unwrap().0 + 0x40;
        cpu.memory.insert(TASK_STACK.back(0x200), &caller.to_le_bytes());
    }
    match (name, stack) {
        ("entry_SYSCALL_64", _) => {
            // The CPU pushes nothing, and the code changes the stack first.
            cpu.set("rcx", from.pc().unwrap().0);
            cpu.set("r11", from.by_name("eflags").unwrap());
            cpu.set("cs", 0x10);
        }
        _ => cpu.interrupted(stack.or(user.then_some(TASK_STACK)), code),
    }
    cpu.set("rip", symbols.symbol_addr(name).unwrap().0);
    let mut count = 0;
    let mut wrong: Vec<String> = Vec::new();
    loop {
        let pc = cpu.registers.pc().unwrap();
        let stack = unwind(symbols, &cpu.memory, &cpu.registers, None, 4);
        let first = &stack.frames[0];
        let place = format!("{name}: {} {:?}", symbols.describe(pc).unwrap(), stack.end);
        let mut wrong = |what: String| wrong.push(format!("{place}: {what}"));
        if symbols.symbol_at(pc).unwrap().name == name && first.kind != kind {
            wrong(format!("{:?}", first.kind));
        }
        let end = match (kind, user) {
            (FrameKind::Syscall, _) => Some(Bottom::Syscall),
            (_, true) => Some(Bottom::User),
            (_, false) => None,
        };
        // error_entry is first called from the entry point.
        let next = stack.frames.iter().find(|frame| frame.by == By::PtRegs);
        match (end, next) {
            (Some(end), _) if stack.end == End::Complete(end) => {}
            (None, Some(next)) => {
                for name in ["rip", "rsp", "rbx", "rbp", "r12", "r13", "r14", "r15"] {
                    if next.registers.by_name(name) != from.by_name(name) {
                        wrong(name.to_owned());
                    }
                }
            }
            _ => wrong("it does not lead there".to_owned()),
        }
        count += 1;
        if cpu.step().is_none() {
            break;
        }
        assert!(count < 200, "{place}");
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
    // At the call into C, everything is in the saved registers. error_entry
    // calls with its own return address below them.
    let pc = cpu.registers.pc().unwrap();
    let below = if symbols.symbol_at(pc).unwrap().name == "error_entry" { 8 } else { 0 };
    let at = cpu.registers.sp().unwrap().offset(below);
    let saved = entry::saved(symbols, &cpu.memory, at, &X86_64).unwrap().registers.unwrap();
    for name in ["rip", "rdi", "rbx", "rbp", "r12", "r15"] {
        assert_eq!(saved.by_name(name), from.by_name(name), "{name}");
    }
    count
}

#[test]
fn every_instruction_of_entry_code_leads_out_of_it() {
    let symbols = loaded(&built().vmlinux);
    let mut all = 0;
    for user in [false, true] {
        for (name, stack, code, kind) in [
            ("asm_sysvec_apic_timer_interrupt", None, None, FrameKind::Interrupt),
            ("asm_common_interrupt", None, Some(0x21), FrameKind::Interrupt),
            ("asm_exc_page_fault", None, Some(2), FrameKind::Exception),
            ("asm_exc_invalid_op", None, None, FrameKind::Exception),
            ("asm_exc_debug", Some(NMI_STACK), None, FrameKind::Exception),
            ("asm_exc_nmi", Some(NMI_STACK), None, FrameKind::Nmi),
        ] {
            let count = goes_through(&symbols, name, (user, stack, code), kind);
            assert!(count > 20, "{name}: {count}");
            all += count;
        }
    }
    all += goes_through(&symbols, "entry_SYSCALL_64", (true, None, None), FrameKind::Syscall);
    eprintln!("{all} instructions");
}

/// From the entry at `name` to C code: whether each instruction shows a trap, when
/// `vfs_read` was interrupted `after` bytes, with `flags`.
fn shows_a_trap(
    symbols: &Symbols,
    name: &str,
    (stack, code): (Option<Addr>, Option<u64>),
    (after, flags): (u64, u64),
) -> Vec<(String, bool)> {
    let site = symbols.symbol_addr("vfs_read").unwrap();
    let sites = BTreeSet::from([site]);
    let mut cpu = before(symbols, false);
    cpu.set("rip", site.0 + after);
    cpu.set("eflags", flags);
    cpu.interrupted(stack, code);
    cpu.set("eflags", 0x46);
    cpu.set("rip", symbols.symbol_addr(name).unwrap().0);
    let mut shown = Vec::new();
    loop {
        let place = symbols.describe(cpu.registers.pc().unwrap()).unwrap();
        let shows = is_on_the_way(symbols, &cpu.memory, &cpu.registers, 1, &sites);
        shown.push((place, shows));
        if cpu.step().is_none() {
            return shown;
        }
    }
}

/// A CPU that met a breakpoint, or owes a step, and is held anywhere on its way into
/// the kernel shows it; one that met an interrupt does not.
#[test]
fn a_trap_shows_from_its_first_instruction() {
    let kernel = loaded(&built().vmlinux);
    let symbols = &kernel;
    const STEP: u64 = 0x346;
    const NONE: u64 = 0x246;
    for (name, entry, from) in [
        ("asm_exc_int3", (None, None), (1, NONE)),
        ("asm_exc_debug", (Some(NMI_STACK), None), (5, STEP)),
        // Before the step is carried out comes an interrupt.
        ("asm_common_interrupt", (None, Some(0x21)), (0, STEP)),
    ] {
        let shown = shows_a_trap(symbols, name, entry, from);
        println!("{name}: {} instructions", shown.len());
        let not: Vec<_> = shown.iter().filter(|(_, shows)| !shows).collect();
        assert!(not.is_empty(), "{name}: {not:?}");
        assert!(shown.len() > 15, "{name}");
        let shared = |(place, _): &(String, bool)| !place.contains(name);
        assert!(shown.iter().any(shared), "{name} goes through code that others share");
    }
    let shown = shows_a_trap(symbols, "asm_common_interrupt", (None, Some(0x21)), (0, NONE));
    assert!(shown.iter().all(|(_, shows)| !shows), "{shown:?}");
}
