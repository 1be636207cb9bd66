//! Arguments and locals of a frame, and what a function returned.

use crate::{
    arch::Registers,
    base::memory::Memory,
    eval::{format::Limits, location::Context, lost::Notes, typed::Typed, value::Value},
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

/// What a function of this return type left in the registers, right after it
/// returned: rax for what fits it (System V ABI, AMD64, 3.2.3). Structs and
/// floating-point numbers are not followed.
pub fn returned(
    symbols: &Symbols,
    memory: &dyn Memory,
    registers: &Registers,
    ty: TypeRef,
) -> Value {
    let unavailable = |why: &str| Value::Unavailable(why.to_string());
    let Some(rax) = registers.by_name("rax") else {
        return unavailable("the registers are not known");
    };
    match symbols.type_shape(ty) {
        TypeShape::Struct { .. } | TypeShape::Array { .. } => {
            return unavailable("a struct is returned in memory or several registers");
        }
        TypeShape::Float { .. } => return unavailable("floating-point registers are not known"),
        TypeShape::Int { size, .. } if size > 8 => {
            return unavailable("returned in two registers");
        }
        _ => {}
    }
    let context = Context { symbols, memory, frames: &[], cpu: None };
    let value = Typed::of_bytes(ty.into(), &rax.to_le_bytes());
    context.printed(&value, None, &Limits::default()).into()
}
