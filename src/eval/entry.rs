//! The value a register had when a function was entered, from the caller's
//! note of what it passed. gdb shows the same as `argument@entry`.
//!
//! A note is only believed when the call it belongs to is a direct call of
//! this very function. Any other way in (a tail call from a third function,
//! a call through a pointer) may have changed the registers between.

use crate::{
    arch::insn::{Flow, decode_one},
    base::addr::Addr,
    eval::location::{Absent, Context, Expression, value_bytes},
    symbols::placed::Placement,
};

/// A direct call is `e8` and four bytes (Intel SDM volume 2, CALL).
const CALL_LEN: u64 = 5;

/// A caller's value may be its own caller's, and so on: this many frames.
const MAX_FRAMES: usize = 6;

/// The register that `expression` names alone: `DW_OP_reg0` to `DW_OP_reg31`.
pub(super) fn register(expression: &[u8]) -> Option<u16> {
    match expression {
        &[op] if (gimli::DW_OP_reg0.0..=gimli::DW_OP_reg31.0).contains(&op) => {
            Some(u16::from(op - gimli::DW_OP_reg0.0))
        }
        _ => None,
    }
}

/// The value on entry that `expression` names: one register.
pub(super) fn value(context: &Context<'_>, expression: &[u8]) -> Result<u64, Absent> {
    let register = register(expression).ok_or(Absent::OptimizedOut)?;
    let [callee, caller, ..] = context.frames else { return Err(Absent::OptimizedOut) };
    let function = context.symbols.function_at(callee.lookup).ok_or(Absent::OptimizedOut)?;
    // An interrupted frame did not call: its pc is looked up as it is.
    if caller.pc == caller.lookup || !calls(context, caller.pc, function.entry)? {
        return Err(Absent::OptimizedOut);
    }
    let site = context.symbols.call_site_at(caller.pc).ok_or(Absent::OptimizedOut)?;
    let (_, bytes) = (site.registers.iter())
        .find(|(passed, _)| *passed == register)
        .ok_or(Absent::OptimizedOut)?;
    let rest = &context.frames[1..];
    let below = Context { frames: &rest[..rest.len().min(MAX_FRAMES)], ..*context };
    let expression =
        Expression { bytes, encoding: site.encoding, image: site.image, unit: Some(site.unit) };
    match below.run(&expression, true)?.as_slice() {
        [piece] => match piece.location {
            // The note is of a value, so an "address" is the value itself.
            gimli::Location::Address { address } => Ok(address),
            gimli::Location::Value { value } => Ok(u64::from_le_bytes(value_bytes(value))),
            _ => Err(Absent::OptimizedOut),
        },
        _ => Err(Absent::OptimizedOut),
    }
}

/// Whether the instruction that returns to `pc` is a direct call of `entry`.
/// The kernel's text is taken from its file, which costs nothing; a module's
/// is not relocated there, so it is read.
fn calls(context: &Context<'_>, pc: Addr, entry: Addr) -> Result<bool, Absent> {
    let at = pc.back(CALL_LEN);
    let from_file = context.symbols.vmlinux().and_then(|vmlinux| {
        let in_file = vmlinux.file_addr(at)?;
        matches!(vmlinux.placement, Placement::Slide(_)).then_some(())?;
        Some(vmlinux.image.image().file_bytes(in_file, CALL_LEN as usize)?.to_vec())
    });
    let bytes = match from_file {
        Some(bytes) => bytes,
        None => context.memory.bytes(at, CALL_LEN as usize)?,
    };
    Ok(decode_one(at, &bytes).is_some_and(|call| call.flow == Flow::Call(Some(entry))))
}
