//! Arguments and locals of a frame, and what a function returned.

use crate::{
    arch::Registers,
    base::memory::Memory,
    eval::{location::Context, typed::Typed, value::Value},
    symbols::{
        answer::{TypeRef, TypeShape, VariableDef},
        placed::Symbols,
    },
};

/// More variables than any pane or line shows.
const MAX_VARIABLES: usize = 512;

/// A variable with its value.
#[derive(Clone, Debug, PartialEq)]
pub struct Variable {
    /// Its name.
    pub name: String,
    /// Its type as C writes it.
    pub type_name: String,
    /// Its type, to look into it.
    pub ty: TypeRef,
    /// Its value in one line.
    pub value: Value,
    /// The line it is declared at.
    pub line: Option<u32>,
}

/// The arguments of the function at place `depth` among those inlined into
/// each other at the frame.
pub fn arguments(context: &Context<'_>, depth: usize) -> Vec<Variable> {
    let at = context.frames.first().map(|frame| context.symbols.arguments_at(frame.lookup, depth));
    variables(context, at.unwrap_or_default())
}

/// The local variables in scope there, innermost block first.
pub fn locals(context: &Context<'_>, depth: usize) -> Vec<Variable> {
    let at = context.frames.first().map(|frame| context.symbols.locals_at(frame.lookup, depth));
    variables(context, at.unwrap_or_default())
}

/// All are evaluated even when one misses, so that one run asks for all.
fn variables(context: &Context<'_>, definitions: Vec<VariableDef>) -> Vec<Variable> {
    let evaluate = |definition: VariableDef| Variable {
        type_name: context.symbols.type_name(definition.ty),
        value: context.of(&definition).map_or_else(Value::from, |value| context.value(&value)),
        name: definition.name,
        ty: definition.ty,
        line: definition.line,
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
    context.value(&Typed::of_bytes(ty.into(), &rax.to_le_bytes()))
}
