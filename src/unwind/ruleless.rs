//! Steps from code that no rule describes: assembly of kernels without ORC,
//! code the kernel makes itself (BPF, trampolines), a pc that is no code.
//!
//! In this order: the stack pointer has not moved, and at it is the return
//! address of a call to this very function ([`By::Return`]); the frame pointer
//! is a plausible one ([`By::FramePointer`]); the next word on the stack that
//! follows a call ([`By::Guess`]).

use crate::{
    arch::{
        Registers,
        insn::{self, MAX_LEN},
    },
    base::{
        addr::Addr,
        memory::{Gap, Memory, PAGE},
    },
    symbols::placed::Symbols,
    unwind::{By, End, rules},
};

/// All code of an x86_64 kernel, its modules and what it compiles itself is in
/// the top 2 GiB, because it is built with `-mcmodel=kernel`.
const LOWEST_CODE: Addr = Addr(0xffff_ffff_8000_0000);

/// Kernel stacks are aligned to their size, and this is the size of most
/// (THREAD_SIZE and IRQ_STACK_SIZE of x86_64).
const STACK: u64 = 16 * 1024;

/// How far a scan goes, and how much it reads at a time.
const SCANNED: u64 = 2048;
const PIECE: u64 = 512;

/// Whether there may be code at `pc`: in an image only where that has code.
pub(super) fn may_be_code(symbols: &Symbols, pc: Addr) -> bool {
    let image = symbols.images().find(|placed| placed.file_addr(pc).is_some());
    pc >= LOWEST_CODE && image.is_none_or(|placed| placed.is_code(pc))
}

/// The call that returns to `pc`, by the code in the file: its target, `None`
/// for a computed one.
fn call_before(symbols: &Symbols, pc: Addr) -> Option<Option<Addr>> {
    let most = (MAX_LEN as u64).min(pc.0);
    (1..=most).rev().find_map(|len| {
        let start = pc.back(len);
        let placed = symbols.images().find(|placed| placed.file_addr(start).is_some())?;
        let bytes = placed.image.image().code(placed.file_addr(start)?, len as usize)?;
        insn::call_ending_at(pc, &bytes)
    })
}

/// Whether `pc` can be a return address: it follows a call, where the code is
/// known; elsewhere anything in the range of code may.
fn returns(symbols: &Symbols, pc: Addr) -> bool {
    let known = symbols.images().any(|placed| placed.file_addr(pc.back(1)).is_some());
    may_be_code(symbols, pc.back(1)) && (!known || call_before(symbols, pc).is_some())
}

/// The frame before one at `at` with these registers, and what says so.
/// `exact` when execution stands there.
pub(super) fn caller(
    symbols: &Symbols,
    memory: &dyn Memory,
    registers: &Registers,
    (at, exact): (Addr, bool),
) -> Result<(Registers, By), End> {
    let sp = registers.sp().ok_or(End::LostRegister)?;
    if sp.0 >> 63 == 0 || !sp.0.is_multiple_of(8) {
        return Err(End::NoCfi(at));
    }
    if exact && let Some(caller) = by_return(symbols, memory, registers, (at, sp))? {
        return Ok((caller, By::Return));
    }
    if let Some(caller) = by_frame_pointer(symbols, memory, registers)? {
        return Ok((caller, By::FramePointer));
    }
    match scan(symbols, memory, sp)? {
        Some(slot) => {
            let mut caller = Registers::unknown(registers.arch);
            caller.set(caller.arch.pc, Some(memory.u64(slot).map_err(End::of)?));
            caller.set(caller.arch.sp, Some(slot.offset(8).0));
            Ok((caller, By::Guess))
        }
        None => Err(End::NoCfi(at)),
    }
}

/// By the word at the stack pointer, if it is the return address of a call to
/// the function that holds `at`; or, where there is no code, of any call: it
/// went through a bad pointer (as `null_orc_entry` in unwind_orc.c).
fn by_return(
    symbols: &Symbols,
    memory: &dyn Memory,
    registers: &Registers,
    (at, sp): (Addr, Addr),
) -> Result<Option<Registers>, End> {
    let pc = Addr(memory.u64(sp).map_err(End::of)?);
    let fits = match (call_before(symbols, pc), symbols.symbol_at(at)) {
        // It has done nothing yet.
        (_, Some(function)) if function.start == at => returns(symbols, pc),
        (Some(Some(target)), Some(function)) => target == function.start,
        (Some(_), None) => true,
        _ => false,
    };
    if !fits {
        return Ok(None);
    }
    let arch = registers.arch;
    let mut caller = Registers::unknown(arch);
    let kept = match may_be_code(symbols, at) {
        true => rules::kept(symbols, at, true, registers),
        false => rules::callee_saved(arch).collect(),
    };
    for reg in kept {
        caller.set(reg, registers.get(reg));
    }
    caller.set(caller.arch.pc, Some(pc.0));
    caller.set(caller.arch.sp, Some(sp.offset(8).0));
    Ok(Some(caller))
}

/// By the frame pointer, if it points up the same stack at a frame of a call.
pub(super) fn by_frame_pointer(
    symbols: &Symbols,
    memory: &dyn Memory,
    registers: &Registers,
) -> Result<Option<Registers>, End> {
    let arch = registers.arch;
    let (Some(fp), Some(sp)) = (registers.get(arch.fp).map(Addr), registers.sp()) else {
        return Ok(None);
    };
    let same_stack = fp.0 / STACK == sp.0 / STACK && fp.0 >> 63 == 1;
    if fp < sp || !same_stack || !fp.0.is_multiple_of(8) {
        return Ok(None);
    }
    let (older, pc) = match (memory.u64(fp), memory.u64(fp.offset(8))) {
        (Ok(older), Ok(pc)) => (older, Addr(pc)),
        (Err(gap @ Gap::Missing(_)), _) | (_, Err(gap @ Gap::Missing(_))) => {
            return Err(End::Missing(gap));
        }
        _ => return Ok(None),
    };
    if !returns(symbols, pc) {
        return Ok(None);
    }
    let mut caller = Registers::unknown(arch);
    caller.set(arch.pc, Some(pc.0));
    caller.set(arch.sp, Some(fp.offset(16).0));
    caller.set(arch.fp, Some(older));
    Ok(Some(caller))
}

/// The first word from `sp` on, in what one page has, that follows a call.
fn scan(symbols: &Symbols, memory: &dyn Memory, sp: Addr) -> Result<Option<Addr>, End> {
    let end = sp.offset(SCANNED).0.min(sp.0 / STACK * STACK + STACK);
    let mut at = sp;
    while at.0 < end {
        let len = PIECE.min(end - at.0).min(PAGE - at.0 % PAGE);
        let bytes = match memory.bytes(at, len as usize) {
            Ok(bytes) => bytes,
            Err(gap @ Gap::Missing(_)) => return Err(End::Missing(gap)),
            Err(Gap::Fault(_) | Gap::Unrecorded(_)) => return Ok(None),
        };
        let words = bytes.chunks_exact(8).map(|w| w.try_into().map(u64::from_le_bytes));
        let found = words.enumerate().find(|(_, word)| {
            word.is_ok_and(|pc| pc >= LOWEST_CODE.0 && call_before(symbols, Addr(pc)).is_some())
        });
        if let Some((index, _)) = found {
            return Ok(Some(at.offset(8 * index as u64)));
        }
        at = at.offset(len);
    }
    Ok(None)
}
