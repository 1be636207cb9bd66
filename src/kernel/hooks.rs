//! Where a kernel function can be caught again and again without getting in
//! anybody's way.
//!
//! A breakpoint that has to be taken out for an instruction step, each time it
//! was met, lets another CPU pass unseen meanwhile. And one on a function's
//! first five bytes is in the way of ftrace, which expects its own there
//! (`ftrace_verify_code` in arch/x86/kernel/ftrace.c ends all tracing when it
//! finds an int3). So the place is the copy of the first argument that nearly
//! every function makes before it does anything: a debugger does it as well
//! ([`Plain`](crate::arch::emulate::Plain)), and the breakpoint stays where it is.
//! Where there is none it is the entry: better in the way of ftrace than nowhere.

use crate::{
    arch::{
        Arch,
        insn::{Flow, Insn, copies_register, decode_one, never_written},
    },
    base::{
        addr::Addr,
        memory::{Gap, Memory},
    },
    symbols::placed::Symbols,
};
use std::ops::Range;

/// More bytes than the first instructions of a function have.
const BEGINNING: usize = 64;

/// The 5-byte NOPs that the kernel puts where a function's call of `__fentry__`
/// was (`x86_nops` in arch/x86/kernel/alternative.c).
const NOPS: [[u8; 5]; 2] = [[0x0f, 0x1f, 0x44, 0x00, 0x00], [0x66, 0x66, 0x66, 0x66, 0x90]];

/// The place to catch the function that begins at `entry`. One read: where the
/// file tells how far to read, of no more than that.
pub fn hook(symbols: &Symbols, memory: &dyn Memory, arch: &Arch, entry: Addr) -> Result<Addr, Gap> {
    let expected = symbols.file_code(entry, BEGINNING).and_then(|code| copy(&code, arch));
    in_guest(memory, arch, entry, expected)
}

/// `expected`: where the copy of the argument is in the file. The guest's code may
/// be another, so that is taken only from what is read.
fn in_guest(
    memory: &dyn Memory,
    arch: &Arch,
    entry: Addr,
    expected: Option<Range<usize>>,
) -> Result<Addr, Gap> {
    if let Some(copied) = expected {
        match memory.bytes(entry, copied.end) {
            Ok(code) => {
                if let Some(copied) = copy(&code, arch) {
                    return Ok(entry.offset(copied.start as u64));
                }
            }
            Err(gap) if gap.is_missing() => return Err(gap),
            Err(_) => return Ok(entry),
        }
    }
    match memory.bytes(entry, BEGINNING) {
        Ok(code) => Ok(copy(&code, arch).map_or(entry, |copied| entry.offset(copied.start as u64))),
        Err(gap) if gap.is_missing() => Err(gap),
        // A function so near to the end of the text that no more follows.
        Err(_) => Ok(entry),
    }
}

/// Where the copy of the argument is in the code of a function. What comes after it
/// does not matter.
fn copy(code: &[u8], arch: &Arch) -> Option<Range<usize>> {
    let argument = arch.def(arch.first_argument).name;
    let mut at = 0;
    while let Some(insn) = code.get(at..).and_then(|rest| decode_one(Addr(at as u64), rest)) {
        if let Some((from, to)) = copies_register(&insn.bytes)
            && from == argument
            && arch.reg(&to).is_some_and(|to| to != arch.sp)
            && !never_written(&code[first_len(code)..at], &[argument]).is_empty()
        {
            return Some(at..at + insn.bytes.len());
        }
        let is_fentry = |insn: &Insn| at == 0 && insn.bytes.len() == 5;
        match insn.flow {
            Flow::Next => {}
            Flow::Call(_) if is_fentry(&insn) => {}
            _ => break,
        }
        at += insn.bytes.len();
    }
    None
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
    use crate::{
        arch::x86_64::X86_64,
        base::memory::{Recorder, Span, Sparse},
    };
    use proptest::prelude::*;

    const AT: Addr = Addr(0xffff_ffff_8100_0040);

    fn of(bytes: &[u8]) -> Addr {
        let mut code = bytes.to_vec();
        code.resize(BEGINNING, 0x90);
        let mut memory = Sparse::new();
        memory.insert(AT, &code);
        let place = in_guest(&memory, &X86_64, AT, None).unwrap();
        // The same where the file said how far to read, and where it was wrong.
        let expected = copy(&code, &X86_64);
        assert_eq!(in_guest(&memory, &X86_64, AT, expected).unwrap(), place);
        assert_eq!(in_guest(&memory, &X86_64, AT, Some(3..6)).unwrap(), place);
        place
    }

    #[test]
    fn the_copy_of_the_argument_is_the_place() {
        // free_module of 6.1: nop; push %rbx; mov %rdi,%rbx; nop
        let nop = [0x0f, 0x1f, 0x44, 0, 0];
        let rest = [0x53, 0x48, 0x89, 0xfb, 0x0f, 0x1f, 0x44, 0, 0];
        assert_eq!(of(&[&nop[..], &rest].concat()), AT.offset(6));
        // As it is before ftrace replaced the call.
        assert_eq!(of(&[&[0xe8, 0, 1, 0, 0][..], &rest].concat()), AT.offset(6));
        // trim_init_extable, which is not traced: mov 300(%rdi),%esi; mov %rdi,%rax
        assert_eq!(of(&[0x8b, 0xb7, 0x2c, 1, 0, 0, 0x48, 0x89, 0xf8]), AT.offset(6));
        // With frame pointers: nop; push %rbp; mov %rsp,%rbp; mov %rdi,%r12
        let frame = [&nop[..], &[0x55, 0x48, 0x89, 0xe5, 0x49, 0x89, 0xfc]].concat();
        assert_eq!(of(&frame), AT.offset(9));
    }

    #[test]
    fn without_a_copy_it_is_the_entry() {
        // module_event: nop; xor %eax,%eax; ret; and the next function.
        let event = [0x0f, 0x1f, 0x44, 0, 0, 0x31, 0xc0, 0xc3, 0x48, 0x89, 0xfb];
        assert_eq!(of(&event), AT);
        assert_eq!(of(&[0xc3]), AT);
        // xor %edi,%edi; mov %rdi,%rbx: that is not the argument any more.
        assert_eq!(of(&[0x31, 0xff, 0x48, 0x89, 0xfb]), AT);
        // The stub writes no stack pointer.
        assert_eq!(of(&[0x48, 0x89, 0xfc]), AT);
        let memory = Sparse::new();
        assert!(in_guest(&memory, &X86_64, AT, None).is_err_and(|gap| gap.is_missing()));
    }

    #[test]
    fn no_more_is_read_than_the_file_has_before_the_copy() {
        let code = [0x0f, 0x1f, 0x44, 0, 0, 0x53, 0x48, 0x89, 0xfb];
        let memory = Sparse::new();
        let recorder = Recorder::new(&memory);
        let expected = copy(&code, &X86_64);
        assert!(in_guest(&recorder, &X86_64, AT, expected).is_err_and(|gap| gap.is_missing()));
        assert_eq!(recorder.into_misses(), [Span::new(AT, 9)]);
    }

    proptest! {
        #[test]
        fn any_code_has_a_place(code in prop::collection::vec(any::<u8>(), BEGINNING)) {
            prop_assert!(of(&code).since(AT) < BEGINNING as u64);
        }
    }
}
