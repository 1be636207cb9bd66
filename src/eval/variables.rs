//! Arguments and locals of a frame, and what a function returned.

use crate::{
    arch::Registers,
    base::{addr::Addr, memory::Memory},
    eval::{
        format::Limits,
        location::{Absent, Context},
        lost::Notes,
        typed::Typed,
        value::Value,
    },
    symbols::{
        answer::{TypeRef, TypeShape, VariableDef},
        placed::Symbols,
    },
};

/// More variables than any pane or line shows.
const MAX_VARIABLES: usize = 512;

/// How much of each value is told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Detail {
    /// All of it, as gdb's `info locals`.
    Whole,
    /// One line of about so many columns; no more is read.
    Brief(usize),
}

/// A variable with its value.
#[derive(Clone, Debug, PartialEq)]
pub struct Variable {
    /// What the debug info says of it.
    pub definition: VariableDef,
    /// Its type as C writes it.
    pub type_name: String,
    /// Its value.
    pub value: Value,
    /// What is to be said beside the value, or of one that is optimized out.
    pub note: Option<String>,
}

/// The arguments of the function at place `depth` among those inlined into
/// each other at the frame.
pub fn arguments(context: &Context<'_>, depth: usize, detail: Detail) -> Vec<Variable> {
    let Some(frame) = context.frames.first() else { return Vec::new() };
    variables(context, depth, context.symbols.arguments_at(frame.lookup, depth), detail)
}

/// The local variables in scope there, innermost block first.
pub fn locals(context: &Context<'_>, depth: usize, detail: Detail) -> Vec<Variable> {
    let Some(frame) = context.frames.first() else { return Vec::new() };
    variables(context, depth, context.symbols.locals_at(frame.lookup, depth), detail)
}

/// All are evaluated even when one misses, so that one run asks for all.
fn variables(
    context: &Context<'_>,
    depth: usize,
    definitions: Vec<VariableDef>,
    detail: Detail,
) -> Vec<Variable> {
    let notes = Notes::new(context, depth);
    let evaluate = |definition: VariableDef| {
        let text = context.of(&definition).and_then(|value| match detail {
            Detail::Whole => context.text(&value, None, &Limits::default()),
            Detail::Brief(width) => context.brief(&value, width),
        });
        let value = Value::from(text);
        let note = (value == Value::OptimizedOut || notes.may_be_uninitialized(&definition))
            .then(|| notes.on(&definition))
            .flatten();
        let type_name = context.symbols.type_name(definition.ty);
        Variable { definition, type_name, value, note }
    };
    definitions.into_iter().take(MAX_VARIABLES).map(evaluate).collect()
}

/// What a function of this return type left behind, right after it returned
/// (System V ABI, AMD64, 3.2.3): what fits two registers is in rax and rdx, and
/// of what does not rax has the address. The kernel returns nothing in others.
///
/// # Errors
/// Why it can't be told.
pub fn returned(
    symbols: &Symbols,
    memory: &dyn Memory,
    registers: &Registers,
    ty: TypeRef,
) -> Result<Typed, Absent> {
    let unknown = || Absent::because("the registers are not known");
    let low = registers.by_name("rax").ok_or_else(unknown)?;
    let shape = symbols.type_shape(ty);
    let size = symbols.size_of(ty).unwrap_or(8);
    let in_memory = match shape {
        TypeShape::Float { .. } => {
            return Err(Absent::because("floating-point registers are not known"));
        }
        // With a member that is not aligned it is in memory however small.
        TypeShape::Struct { .. } | TypeShape::Array { .. } => {
            let aligned = symbols.layout_of(ty).is_some_and(|layout| {
                let mut members = layout.members.iter();
                members.all(|member| member.offset % member.size.clamp(1, 8) == 0)
            });
            if size <= 16 && !aligned {
                return Err(Absent::because("a struct that is returned in registers or in memory"));
            }
            size > 16
        }
        _ => false,
    };
    if in_memory {
        // More than is shown of any.
        const MOST: u64 = 4096;
        let bytes = memory.bytes(Addr(low), size.min(MOST) as usize)?;
        return Ok(Typed::of_bytes(ty.into(), &bytes));
    }
    let mut bytes = low.to_le_bytes().to_vec();
    if size > 8 {
        let high = registers.by_name("rdx").ok_or_else(unknown)?;
        bytes.extend(high.to_le_bytes());
    }
    Ok(Typed::of_bytes(ty.into(), &bytes[..size.clamp(1, 16) as usize]))
}
