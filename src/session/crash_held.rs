//! Which variable is in a register, and which member of what it points to is
//! meant: the debug info tells it for the instruction at the pc.

use crate::eval::{
    ctype::{CType, Shape},
    location::{Context, Place},
};
use crate::kernel::crash::Held;
use crate::symbols::{answer::VariableDef, placed::Symbols};

/// Functions inlined into each other whose variables are looked through.
const DEEPEST: usize = 8;

/// Structs in structs: more than any name on a screen has.
const MOST_NESTED: usize = 6;

/// The variable that a register holds in the frame, and the member so many
/// bytes from where it points. Pointers to structs that have such a member come
/// first.
pub fn held_in(context: &Context<'_>, register: &str, distance: i64) -> Option<Held> {
    let frame = context.frames.first()?;
    let arch = frame.registers.arch;
    let dwarf = arch.def(arch.reg(register)?).dwarf?;
    let value = frame.registers.by_dwarf(dwarf);
    let mut plain = None;
    for depth in 0..DEEPEST {
        let arguments = context.symbols.arguments_at(frame.lookup, depth);
        let locals = context.symbols.locals_at(frame.lookup, depth);
        for variable in arguments.iter().chain(&locals) {
            if !is_in(context, variable, dwarf, value) {
                continue;
            }
            let held = of(context.symbols, variable, distance);
            if held.member.is_some() {
                return Some(held);
            }
            plain = plain.or(Some(held));
        }
    }
    plain
}

/// Whether a variable is what a register holds.
fn is_in(context: &Context<'_>, variable: &VariableDef, dwarf: u16, value: Option<u64>) -> bool {
    match context.find(&variable.location, variable.image) {
        Ok(Place::Register { dwarf: number, offset: 0 }) => number == dwarf,
        // A pointer that is computed at this pc; NULL would be many things.
        Ok(Place::Bytes(bytes)) => {
            let same = value.filter(|value| *value != 0).map(u64::to_le_bytes);
            same.is_some_and(|same| bytes.len() >= 8 && bytes[..8] == same)
        }
        _ => false,
    }
}

fn of(symbols: &Symbols, variable: &VariableDef, distance: i64) -> Held {
    let ty = CType::from(variable.ty);
    let target = match ty.shape(symbols) {
        Shape::Pointer { target, .. } => Some(target),
        _ => None,
    };
    let offset = u64::try_from(distance).ok();
    let member = target.zip(offset).and_then(|(ty, at)| member_at(symbols, &ty, at, 0));
    Held { variable: variable.name.clone(), type_name: ty.name(symbols), member }
}

/// The member at an offset in a struct: `list.next`.
fn member_at(symbols: &Symbols, ty: &CType, offset: u64, depth: usize) -> Option<String> {
    if depth > MOST_NESTED {
        return None;
    }
    let inside = |field: &&crate::eval::ctype::Field| {
        (field.offset..field.offset.saturating_add(field.size.max(1))).contains(&offset)
    };
    let members = ty.members(symbols);
    let field = members.iter().find(inside)?;
    let deeper = match field.ty.shape(symbols) {
        Shape::Struct { .. } => member_at(symbols, &field.ty, offset - field.offset, depth + 1),
        _ => None,
    };
    match (field.name.as_str(), deeper) {
        ("", deeper) => deeper,
        (name, Some(deeper)) => Some(format!("{name}.{deeper}")),
        (name, None) => Some(name.to_owned()),
    }
}
