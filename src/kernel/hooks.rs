//! Where a kernel function can be caught again and again without getting in
//! anybody's way.
//!
//! A breakpoint that has to be taken out for an instruction step, each time it
//! was met, lets another CPU pass unseen meanwhile. And one on a function's
//! first five bytes is in the way of ftrace, which expects its own there
//! (`ftrace_verify_code` in arch/x86/kernel/ftrace.c ends all tracing when it
//! finds an int3). So the place is the copy of the first argument that nearly
//! every function makes before it does anything: a debugger does it as well
//! by writing a register, and the breakpoint stays where it is.

use crate::{
    arch::{
        Arch, Reg,
        insn::{Flow, Insn, copies_register, decode_one, never_written},
    },
    base::{
        addr::Addr,
        memory::{Gap, Memory},
    },
};

/// More bytes than the first instructions of a function have.
const BEGINNING: usize = 64;

/// The 5-byte NOPs that the kernel puts where a function's call of `__fentry__`
/// was (`x86_nops` in arch/x86/kernel/alternative.c).
const NOPS: [[u8; 5]; 2] = [[0x0f, 0x1f, 0x44, 0x00, 0x00], [0x66, 0x66, 0x66, 0x66, 0x90]];

/// A place where a function is caught.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Hook {
    /// Where.
    pub addr: Addr,
    /// How to go on from there.
    pub over: Over,
}

/// How to go on from a [`Hook`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Over {
    /// The first argument into a register, then to an address.
    Copy {
        /// The register.
        to: Reg,
        /// The address.
        next: Addr,
    },
    /// To an address: there is nothing to do.
    Skip {
        /// The address.
        next: Addr,
    },
    /// By an instruction step.
    Step,
}

/// The place to catch the function that begins at `entry`. One read.
pub fn hook(memory: &dyn Memory, arch: &Arch, entry: Addr) -> Result<Hook, Gap> {
    match memory.bytes(entry, BEGINNING) {
        Ok(code) => Ok(place(&code, arch, entry)),
        Err(gap) if gap.is_missing() => Err(gap),
        // A function so near to the end of the text that no more follows.
        Err(_) => Ok(Hook { addr: entry, over: Over::Step }),
    }
}

/// Whether there is a 5-byte NOP.
pub fn is_nop(memory: &dyn Memory, addr: Addr) -> Result<bool, Gap> {
    let bytes = memory.bytes(addr, 5)?;
    Ok(NOPS.iter().any(|nop| bytes == nop))
}

fn place(code: &[u8], arch: &Arch, entry: Addr) -> Hook {
    let argument = arch.def(arch.first_argument).name;
    let mut at = 0;
    while let Some(insn) = code.get(at..).and_then(|rest| decode_one(Addr(at as u64), rest)) {
        if let Some((from, to)) = copies_register(&insn.bytes)
            && from == argument
            && let Some(to) = arch.reg(&to).filter(|to| *to != arch.sp)
            && !never_written(&code[first_len(code)..at], &[argument]).is_empty()
        {
            let addr = entry.offset(at as u64);
            let next = entry.offset(insn.next().0);
            return Hook { addr, over: Over::Copy { to, next } };
        }
        let is_fentry = |insn: &Insn| at == 0 && insn.bytes.len() == 5;
        match insn.flow {
            Flow::Next => {}
            Flow::Call(_) if is_fentry(&insn) => {}
            _ => break,
        }
        at += insn.bytes.len();
    }
    match code.first_chunk() {
        Some(first) if NOPS.contains(first) => {
            // Better in the way of ftrace than stepped over.
            Hook { addr: entry, over: Over::Skip { next: entry.offset(5) } }
        }
        _ => Hook { addr: entry, over: Over::Step },
    }
}

/// How many bytes at the beginning are ftrace's.
fn first_len(code: &[u8]) -> usize {
    let call = code.first() == Some(&0xe8);
    let nop = code.first_chunk().is_some_and(|first| NOPS.contains(first));
    if call || nop { 5 } else { 0 }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{arch::x86_64::X86_64, base::memory::Sparse};
    use proptest::prelude::*;

    const AT: Addr = Addr(0xffff_ffff_8100_0040);

    fn of(bytes: &[u8]) -> Hook {
        let mut code = bytes.to_vec();
        code.resize(BEGINNING, 0x90);
        let mut memory = Sparse::new();
        memory.insert(AT, &code);
        hook(&memory, &X86_64, AT).unwrap()
    }

    fn copy(at: u64, to: &str) -> Hook {
        let over = Over::Copy { to: X86_64.reg(to).unwrap(), next: AT.offset(at + 3) };
        Hook { addr: AT.offset(at), over }
    }

    #[test]
    fn the_copy_of_the_argument_is_the_place() {
        // free_module of 6.1: nop; push %rbx; mov %rdi,%rbx; nop
        let nop = [0x0f, 0x1f, 0x44, 0, 0];
        let rest = [0x53, 0x48, 0x89, 0xfb, 0x0f, 0x1f, 0x44, 0, 0];
        assert_eq!(of(&[&nop[..], &rest].concat()), copy(6, "rbx"));
        // As it is before ftrace replaced the call.
        assert_eq!(of(&[&[0xe8, 0, 1, 0, 0][..], &rest].concat()), copy(6, "rbx"));
        // trim_init_extable, which is not traced: mov 300(%rdi),%esi; mov %rdi,%rax
        assert_eq!(of(&[0x8b, 0xb7, 0x2c, 1, 0, 0, 0x48, 0x89, 0xf8]), copy(6, "rax"));
        // With frame pointers: nop; push %rbp; mov %rsp,%rbp; mov %rdi,%r12
        let frame = [&nop[..], &[0x55, 0x48, 0x89, 0xe5, 0x49, 0x89, 0xfc]].concat();
        assert_eq!(of(&frame), copy(9, "r12"));
    }

    #[test]
    fn without_a_copy_it_is_the_entry() {
        // module_event: nop; xor %eax,%eax; ret; and the next function.
        let event = [0x0f, 0x1f, 0x44, 0, 0, 0x31, 0xc0, 0xc3, 0x48, 0x89, 0xfb];
        assert_eq!(of(&event), Hook { addr: AT, over: Over::Skip { next: AT.offset(5) } });
        assert_eq!(of(&[0xc3]), Hook { addr: AT, over: Over::Step });
        // xor %edi,%edi; mov %rdi,%rbx: that is not the argument any more.
        assert_eq!(of(&[0x31, 0xff, 0x48, 0x89, 0xfb]), Hook { addr: AT, over: Over::Step });
        // The stub writes no stack pointer.
        assert_eq!(of(&[0x48, 0x89, 0xfc]), Hook { addr: AT, over: Over::Step });
        let memory = Sparse::new();
        assert!(hook(&memory, &X86_64, AT).is_err_and(|gap| gap.is_missing()));
    }

    proptest! {
        #[test]
        fn any_code_has_a_place(code in prop::collection::vec(any::<u8>(), BEGINNING)) {
            let hook = of(&code);
            prop_assert!(hook.addr.since(AT) < BEGINNING as u64);
        }
    }
}
