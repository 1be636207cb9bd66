//! What instructions do, as they are done from outside.

use super::*;
use crate::arch::x86_64::X86_64;
use crate::base::memory::Sparse;
use proptest::prelude::*;

const AT: Addr = Addr(0xffff_ffff_8100_0000);

fn registers(values: &[(&str, u64)]) -> Registers {
    let mut registers = Registers::unknown(&X86_64);
    for (name, value) in values {
        registers.set(X86_64.reg(name).unwrap(), Some(*value));
    }
    registers
}

/// What an instruction does: register names with values, and where it goes on.
fn done(code: &[u8], values: &[(&str, u64)], memory: &Sparse) -> Option<Effect> {
    let plain = Plain::new(&X86_64, AT, code)?;
    plain.effect(&registers(values), memory).unwrap()
}

fn changed(code: &[u8], values: &[(&str, u64)]) -> Vec<(&'static str, u64)> {
    let effect = done(code, values, &Sparse::new()).unwrap();
    let named = |(reg, value): &(Reg, u64)| (X86_64.def(*reg).name, *value);
    effect.registers.iter().map(named).collect()
}

#[test]
fn nothing_but_the_pc_changes() {
    for code in [&[0x0f, 0x1f, 0x44, 0, 0][..], &[0x90], &[0xf3, 0x0f, 0x1e, 0xfa]] {
        let effect = done(code, &[], &Sparse::new()).unwrap();
        assert!(effect.registers.is_empty() && effect.store.is_none() && effect.repeats);
        assert_eq!(effect.next, AT.offset(code.len() as u64));
    }
    assert_eq!(done(&[0xeb, 0x10], &[], &Sparse::new()).unwrap().next, AT.offset(0x12));
    let taken = done(&[0x74, 0x10], &[("eflags", ZF)], &Sparse::new()).unwrap();
    let passed = done(&[0x74, 0x10], &[("eflags", 0)], &Sparse::new()).unwrap();
    assert_eq!((taken.next, passed.next), (AT.offset(0x12), AT.offset(2)));
}

#[test]
fn copies_and_sums() {
    assert_eq!(changed(&[0x48, 0x89, 0xfb], &[("rdi", 7)]), [("rbx", 7)]);
    // mov %edi,%ebx clears the upper half; mov %dil,%bl keeps the rest.
    assert_eq!(changed(&[0x89, 0xfb], &[("rdi", u64::MAX)]), [("rbx", 0xffff_ffff)]);
    let low = changed(&[0x40, 0x88, 0xfb], &[("rdi", 0xff), ("rbx", 0x1234)]);
    assert_eq!(low, [("rbx", 0x12ff)]);
    let lea = changed(&[0x48, 0x8d, 0x44, 0x8b, 0x10], &[("rbx", 0x100), ("rcx", 4)]);
    assert_eq!(lea, [("rax", 0x120)]);
    // test %eax,%eax; cmp $1,%rax; sub $0x20,%rsp
    assert_eq!(changed(&[0x85, 0xc0], &[("rax", 0), ("eflags", 2)]), [("eflags", 2 | ZF | PF)]);
    let less = changed(&[0x48, 0x83, 0xf8, 0x01], &[("rax", 0), ("eflags", 2)]);
    assert_eq!(less, [("eflags", 2 | CF | PF | AF | SF)]);
    let sub = done(&[0x48, 0x83, 0xec, 0x20], &[("rsp", 0x1000), ("eflags", 2)], &Sparse::new());
    let sub = sub.unwrap();
    assert!(!sub.repeats && sub.registers[0] == (X86_64.sp, 0xfe0));
}

#[test]
fn the_stack_is_used() {
    let push = done(&[0x53], &[("rbx", 5), ("rsp", 0x1000)], &Sparse::new()).unwrap();
    assert_eq!(push.store, Some((Addr(0xff8), 5u64.to_le_bytes().to_vec())));
    assert_eq!((&push.registers[..], push.repeats), (&[(X86_64.sp, 0xff8)][..], false));
    let mut memory = Sparse::new();
    memory.insert(Addr(0x1000), &AT.0.to_le_bytes());
    let ret = done(&[0xc3], &[("rsp", 0x1000)], &memory).unwrap();
    assert_eq!((ret.next, ret.registers[0]), (AT, (X86_64.sp, 0x1008)));
    let call = done(&[0xe8, 0, 1, 0, 0], &[("rsp", 0x1000)], &memory).unwrap();
    assert_eq!(call.next, AT.offset(0x105));
    assert_eq!(call.store, Some((Addr(0xff8), AT.offset(5).0.to_le_bytes().to_vec())));
}

#[test]
fn the_step_flag_is_not_pushed_and_not_popped() {
    let push = done(&[0x9c], &[("eflags", 0x346), ("rsp", 0x1000)], &Sparse::new()).unwrap();
    assert_eq!(push.store, Some((Addr(0xff8), 0x246u64.to_le_bytes().to_vec())));
    let mut memory = Sparse::new();
    memory.insert(Addr(0x1000), &0x346u64.to_le_bytes());
    let pop = done(&[0x9d], &[("eflags", 2), ("rsp", 0x1000)], &memory).unwrap();
    assert!(pop.registers.contains(&(X86_64.flags, 0x246)) && !pop.repeats);
}

#[test]
fn memory_of_the_cpu_is_left_to_it() {
    // mov %gs:0x10,%rax
    let code = [0x65, 0x48, 0x8b, 0x04, 0x25, 0x10, 0, 0, 0];
    assert!(Plain::new(&X86_64, AT, &code).is_none());
}

#[test]
fn what_is_not_plain_is_left_to_the_cpu() {
    // lock incl (%rax); incl (%rax); rep movsb; hlt; sysretq; cli; int3; in; mov cr3
    for code in [
        &[0xf0, 0xff, 0x00][..],
        &[0xff, 0x00],
        &[0xf3, 0xa4],
        &[0xf4],
        &[0x48, 0x0f, 0x07],
        &[0xfa],
        &[0xcc],
        &[0xec],
        &[0x0f, 0x20, 0xd8],
        &[0x06],
        &[],
    ] {
        let mut memory = Sparse::new();
        memory.insert(Addr(0x1000), &[0; 8]);
        let known = [("rax", 0x1000), ("eflags", 2), ("rdx", 0), ("rsp", 0x1000)];
        assert_eq!(done(code, &known, &memory), None, "{code:x?}");
    }
}

proptest! {
    #[test]
    fn no_bytes_make_it_fail(code: [u8; 15], values: [u64; 18]) {
        let mut all = Registers::unknown(&X86_64);
        for (i, value) in values.iter().enumerate() {
            all.set(Reg(i as u8), Some(*value));
        }
        if let Some(plain) = Plain::new(&X86_64, AT, &code) {
            let _ = plain.effect(&all, &Sparse::new());
        }
    }
}
