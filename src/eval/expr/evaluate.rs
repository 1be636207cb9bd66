//! The value of an expression.

use crate::{
    base::{addr::Addr, memory::Memory},
    eval::{
        ctype::{Basic, CType, Shape},
        expr::{
            arith::{self, Int, Number},
            assign::{Effect, Overlay},
            ast::{At, Expr, Integer, Kind, Unary},
            error::ExprError,
            kept::{Kept, void},
            parse,
        },
        location::{Absent, Context},
        typed::Typed,
    },
    symbols::placed::Symbols,
};
use std::cell::RefCell;

pub(super) type Result<T> = std::result::Result<T, ExprError>;

/// Finds the `struct task_struct` that `current` means.
pub type Current<'a> = &'a dyn Fn(&Symbols, &dyn Memory) -> std::result::Result<Addr, Absent>;

/// What an expression may name beside the frame and the symbols.
#[derive(Clone, Copy)]
pub struct Scene<'a> {
    /// The place of the selected function among those inlined at the frame.
    pub depth: usize,
    /// What `current` means.
    pub current: Current<'a>,
    /// Values that were printed and convenience variables.
    pub kept: &'a Kept,
}

/// A value, and what the expression does beside having it.
#[derive(Clone, Debug)]
pub struct Outcome {
    /// The value.
    pub value: Typed,
    /// What is to be written, in this order; nothing is done yet.
    pub effects: Vec<Effect>,
}

/// The value of an expression that changes nothing.
///
/// # Errors
/// When the text is no expression, has no value, or would write something.
pub fn evaluate(context: &Context<'_>, scene: &Scene<'_>, text: &str) -> Result<Typed> {
    let outcome = perform(context, scene, text)?;
    match outcome.effects.is_empty() {
        true => Ok(outcome.value),
        false => Err(ExprError::new(0..text.len(), "this would change something")),
    }
}

/// The value of an expression, and what it asks to be written.
///
/// # Errors
/// When the text is no expression, or has no value.
pub fn perform(context: &Context<'_>, scene: &Scene<'_>, text: &str) -> Result<Outcome> {
    let overlay = Overlay::new(context.memory);
    let effects = RefCell::new(Vec::new());
    let context = Context { memory: &overlay, ..*context };
    let evaluator =
        Evaluator { context, scene, text, dry: false, overlay: &overlay, effects: &effects };
    let expr = parse::expression(text, &|name| evaluator.is_type(name))?;
    let value = evaluator.value(&expr)?;
    Ok(Outcome { value, effects: effects.take() })
}

/// Whether an expression is true, and what it asks to be set beside.
///
/// # Errors
/// When the text is no expression, or has no value that is true or false.
pub fn condition(
    context: &Context<'_>,
    scene: &Scene<'_>,
    text: &str,
) -> Result<(bool, Vec<Effect>)> {
    let Outcome { value, effects } = perform(context, scene, text)?;
    let overlay = Overlay::new(context.memory);
    let none = RefCell::new(Vec::new());
    let evaluator =
        Evaluator { context: *context, scene, text, dry: false, overlay: &overlay, effects: &none };
    let number = evaluator.number(&value, &(0..text.len()))?;
    Ok((!number.is_zero(), effects))
}

/// That a text is an expression whose value is a number or a pointer, and that
/// changes nothing in the guest. Nothing is read: whether it has a value is
/// seen when it is wanted.
///
/// # Errors
/// When it is none.
pub fn check(context: &Context<'_>, scene: &Scene<'_>, text: &str) -> Result<()> {
    let overlay = Overlay::new(context.memory);
    let effects = RefCell::new(Vec::new());
    let evaluator = Evaluator {
        context: *context,
        scene,
        text,
        dry: true,
        overlay: &overlay,
        effects: &effects,
    };
    let expr = parse::expression(text, &|name| evaluator.is_type(name))?;
    evaluator.operand(&evaluator.value(&expr)?, &(0..text.len()))?;
    if let Some(at) = evaluator.written(&expr) {
        return Err(ExprError::new(at, "this would write to the guest at every hit"));
    }
    Ok(())
}

/// The type of an expression, or the type that is written; and whether it was
/// a type. Nothing is read.
///
/// # Errors
/// When the text is neither.
pub fn type_of(context: &Context<'_>, scene: &Scene<'_>, text: &str) -> Result<(CType, bool)> {
    let overlay = Overlay::new(context.memory);
    let effects = RefCell::new(Vec::new());
    let evaluator = Evaluator {
        context: *context,
        scene,
        text,
        dry: true,
        overlay: &overlay,
        effects: &effects,
    };
    let expr = parse::expression_or_type(text, &|name| evaluator.is_type(name))?;
    match &expr.kind {
        Kind::Type(ty) => Ok((evaluator.ctype(ty)?, true)),
        _ => Ok((evaluator.value(&expr)?.ty, false)),
    }
}

/// The address that an expression means: where a function, an array or a
/// struct is, and the value of all else.
///
/// # Errors
/// When the text is no expression, has no such value, or would write something.
pub fn address(context: &Context<'_>, scene: &Scene<'_>, text: &str) -> Result<Addr> {
    let value = evaluate(context, scene, text)?;
    let is_struct = matches!(value.ty.shape(context.symbols), Shape::Struct { .. } | Shape::Void);
    if let (true, Some(addr)) = (is_struct, value.address()) {
        return Ok(addr);
    }
    let overlay = Overlay::new(context.memory);
    let effects = RefCell::new(Vec::new());
    let evaluator = Evaluator {
        context: *context,
        scene,
        text,
        dry: false,
        overlay: &overlay,
        effects: &effects,
    };
    evaluator.address_in(&value, &(0..text.len())).map(Addr)
}

/// An expression being evaluated.
#[derive(Clone, Copy)]
pub(super) struct Evaluator<'a> {
    pub context: Context<'a>,
    pub scene: &'a Scene<'a>,
    pub text: &'a str,
    /// Only types are wanted: nothing is read, numbers are zero.
    pub dry: bool,
    pub overlay: &'a Overlay<'a>,
    pub effects: &'a RefCell<Vec<Effect>>,
}

/// What operators make of a value.
pub(super) enum Operand {
    Number(Number),
    Pointer { addr: u64, target: CType },
}

impl<'a> Evaluator<'a> {
    /// The same, for types alone.
    pub fn dry(&self) -> Evaluator<'a> {
        Evaluator { dry: true, ..*self }
    }

    pub fn value(&self, expr: &Expr) -> Result<Typed> {
        let at = &expr.at;
        match &expr.kind {
            Kind::Integer(integer) => Ok(of_number(Number::Int(literal(*integer)))),
            Kind::Float(value, single) => {
                let number = Number::Float(*value, 8);
                let size = if *single { 4 } else { 8 };
                Ok(of_number(Number::Float(number.to_float(size), size)))
            }
            Kind::Char(byte) => Ok(Typed::of_bytes(CType::Basic(Basic::Char), &[*byte])),
            Kind::Text(bytes) => {
                let ended = [bytes.as_slice(), &[0]].concat();
                let ty = CType::Basic(Basic::Char).array(ended.len() as u64);
                Ok(Typed::of_bytes(ty, &ended))
            }
            Kind::Name(name) => self.named(name, at),
            Kind::Dollar(name) => match self.register(name, at)? {
                Some(register) => Ok(register),
                None => Ok(self.kept(name).unwrap_or_else(void)),
            },
            Kind::History(which) => match self.history(*which, at)? {
                Some(kept) => Ok(kept.value.clone()),
                None => Ok(void()),
            },
            Kind::Unary(op, of) => self.unary(*op, of, at),
            Kind::Binary(op, left, right) => self.binary(*op, left, right, at),
            Kind::Assign(op, target, value) => self.assign(*op, target, value, at),
            Kind::Step { target, up, before } => self.step(target, *up, *before, at),
            Kind::Conditional(test, yes, no) => match self.truth(test)? {
                _ if self.dry => self.value(yes),
                true => self.value(yes),
                false => self.value(no),
            },
            Kind::Cast(ty, of) => self.cast(&self.ctype(ty)?, &self.value(of)?, at),
            Kind::SizeOfType(ty) => Ok(size_value(self.size(&self.ctype(ty)?, at)?)),
            Kind::SizeOf(of) => {
                let ty = self.dry().value(of)?.ty;
                Ok(size_value(self.size(&ty, at)?))
            }
            Kind::AlignOfType(ty) => Ok(size_value(self.alignment(&self.ctype(ty)?, at, 0)?)),
            Kind::TypedAt(ty, address) => {
                let addr = self.address_in(&self.value(address)?, &address.at)?;
                Ok(Typed::at(self.ctype(ty)?, Addr(addr)))
            }
            Kind::Member { of, name, name_at, .. } => {
                let of = self.struct_of(self.value(of)?, name_at)?;
                Ok(of.field(&self.field(&of.ty, name, name_at)?))
            }
            Kind::Index(of, index) => self.indexed(&self.value(of)?, &self.value(index)?, at),
            Kind::ContainerOf(pointer, ty, path) => {
                let ty = self.ctype(ty)?;
                let (offset, _) = self.offset(&ty, path)?;
                let addr = self.address_in(&self.value(pointer)?, &pointer.at)?;
                Ok(pointer_value(addr.wrapping_sub(offset), ty))
            }
            Kind::OffsetOf(ty, path) => Ok(size_value(self.offset(&self.ctype(ty)?, path)?.0)),
            Kind::PerCpu { of, cpu, pointer } => self.per_cpu(of, cpu.as_deref(), *pointer),
            Kind::Type(_) => Err(ExprError::new(at.clone(), "this is a type; ptype shows types")),
        }
    }

    pub fn absent(&self, at: &At, absent: Absent) -> ExprError {
        ExprError { message: absent.to_string(), at: at.clone(), absent: Some(absent) }
    }

    /// The value as operators take it: arrays and functions as pointers.
    pub fn operand(&self, value: &Typed, at: &At) -> Result<Operand> {
        let symbols = self.context.symbols;
        let shape = value.ty.shape(symbols);
        let address = || match (self.dry, self.context.address(value)) {
            (true, _) => Ok(0),
            (false, Ok(addr)) => Ok(addr.0),
            (false, Err(absent)) => Err(self.absent(at, absent)),
        };
        match shape {
            Shape::Pointer { target, .. } => {
                let addr = match self.dry {
                    true => 0,
                    false => self.scalar(value, at)? as u64,
                };
                Ok(Operand::Pointer { addr, target })
            }
            Shape::Array { element, .. } => {
                Ok(Operand::Pointer { addr: address()?, target: element })
            }
            Shape::Function => Ok(Operand::Pointer { addr: address()?, target: value.ty.clone() }),
            Shape::Float { size } => {
                let bytes = match self.dry {
                    true => vec![0; size as usize],
                    false => {
                        let read = self.context.raw(value);
                        read.map_err(|absent| self.absent(at, absent))?
                    }
                };
                let float = match (size, bytes.as_slice().try_into()) {
                    (8, Ok(bytes)) => Some(f64::from_le_bytes(bytes)),
                    _ => bytes.as_slice().try_into().ok().map(|b| f64::from(f32::from_le_bytes(b))),
                };
                let float = float.ok_or_else(|| {
                    ExprError::new(
                        at.clone(),
                        format!("no arithmetic with {size} bytes of fraction"),
                    )
                })?;
                Ok(Operand::Number(Number::Float(float, size)))
            }
            Shape::Void => Err(ExprError::new(at.clone(), "this has no value; cast it to a type")),
            Shape::Struct { union, .. } => {
                let what = if union { "a union" } else { "a struct" };
                Err(ExprError::new(at.clone(), format!("{what} is no number")))
            }
            Shape::Unknown => {
                let message = "its type is not known; cast it to the one it is declared with";
                Err(ExprError::new(at.clone(), message))
            }
            shape => {
                let size = shape.scalar_size().unwrap_or(4);
                let number = if self.dry { 0 } else { self.scalar(value, at)? };
                let int = Int::new(number, size, shape.is_signed());
                // A bit field that an int can hold becomes one (C11 6.3.1.1).
                Ok(Operand::Number(Number::Int(match value.bits {
                    Some((_, width)) if width < 32 => Int::of_c_int(int.value),
                    _ => int,
                })))
            }
        }
    }

    fn scalar(&self, value: &Typed, at: &At) -> Result<i128> {
        match self.context.scalar(value) {
            Ok(scalar) => Ok(scalar.value()),
            Err(absent) => Err(self.absent(at, absent)),
        }
    }

    /// A number; a pointer as its address.
    pub fn number(&self, value: &Typed, at: &At) -> Result<Number> {
        Ok(match self.operand(value, at)? {
            Operand::Number(number) => number,
            Operand::Pointer { addr, .. } => Number::Int(Int::new(addr.into(), 8, false)),
        })
    }

    /// A value as an address.
    pub fn address_in(&self, value: &Typed, at: &At) -> Result<u64> {
        Ok(self.number(value, at)?.to_int(8, false).value as u64)
    }

    pub fn truth(&self, expr: &Expr) -> Result<bool> {
        Ok(!self.number(&self.value(expr)?, &expr.at)?.is_zero())
    }

    fn unary(&self, op: Unary, of: &Expr, at: &At) -> Result<Typed> {
        if op == Unary::Address {
            return self.address_of(of, at);
        }
        let value = self.value(of)?;
        if op == Unary::Deref {
            return self.pointed(&value, at);
        }
        match (op, self.operand(&value, &of.at)?) {
            (Unary::Not, Operand::Number(number)) => Ok(truth_value(number.is_zero())),
            (Unary::Not, Operand::Pointer { addr, .. }) => Ok(truth_value(addr == 0)),
            (_, Operand::Pointer { .. }) => {
                Err(ExprError::new(of.at.clone(), "a pointer is no number; cast it to one"))
            }
            (Unary::Minus, Operand::Number(number)) => Ok(of_number(arith::negated(number))),
            (Unary::Plus, Operand::Number(Number::Int(int))) => {
                Ok(of_number(Number::Int(int.promoted())))
            }
            (Unary::BitNot, Operand::Number(Number::Int(int))) => {
                let int = int.promoted();
                Ok(of_number(Number::Int(Int::new(!int.value, int.size, int.signed))))
            }
            (Unary::BitNot, _) => Err(ExprError::new(at.clone(), "a fraction has no bits to turn")),
            (_, Operand::Number(number)) => Ok(of_number(number)),
        }
    }

    /// `*value`. Of a number, as in gdb, it is a long there.
    fn pointed(&self, value: &Typed, at: &At) -> Result<Typed> {
        let symbols = self.context.symbols;
        match value.ty.shape(symbols) {
            Shape::Function => Ok(value.clone()),
            Shape::Array { element, .. } => Ok(Typed { ty: element, ..value.clone() }),
            Shape::Pointer { target, .. } if target.is_void(symbols) => {
                let message = "a pointer to void does not say what is there; cast it";
                Err(ExprError::new(at.clone(), message))
            }
            Shape::Pointer { target, .. } if self.dry => Ok(Typed::at(target, Addr(0))),
            Shape::Pointer { .. } => {
                self.context.deref(value).map_err(|absent| self.absent(at, absent))
            }
            _ => {
                let addr = self.address_in(value, at)?;
                Ok(Typed::at(CType::Basic(Basic::Long), Addr(addr)))
            }
        }
    }

    pub fn address_of(&self, of: &Expr, at: &At) -> Result<Typed> {
        let value = self.lvalue(of)?;
        if self.dry {
            return Ok(pointer_value(0, value.ty));
        }
        match self.context.address(&value) {
            Ok(addr) => Ok(pointer_value(addr.0, value.ty)),
            Err(absent) => Err(ExprError::new(at.clone(), absent.to_string())),
        }
    }

    /// The value with the place where it is kept: of a value that was printed
    /// before, the place it was taken from.
    pub fn lvalue(&self, expr: &Expr) -> Result<Typed> {
        match &expr.kind {
            Kind::History(which) => {
                let Some(kept) = self.history(*which, &expr.at)? else { return Ok(void()) };
                Ok(match kept.home {
                    Some(home) => Typed::at(kept.value.ty.clone(), home),
                    None => kept.value.clone(),
                })
            }
            Kind::Member { of, name, name_at, .. } => {
                let of = self.struct_of(self.lvalue(of)?, name_at)?;
                Ok(of.field(&self.field(&of.ty, name, name_at)?))
            }
            Kind::Index(of, index) => {
                self.indexed(&self.lvalue(of)?, &self.value(index)?, &expr.at)
            }
            _ => self.value(expr),
        }
    }

    /// A struct, or the one that a pointer points to: gdb takes `.` and `->`
    /// for each other.
    fn struct_of(&self, mut value: Typed, at: &At) -> Result<Typed> {
        while let Shape::Pointer { .. } = value.ty.shape(self.context.symbols) {
            value = self.pointed(&value, at)?;
        }
        Ok(value)
    }

    fn indexed(&self, of: &Typed, index: &Typed, at: &At) -> Result<Typed> {
        let symbols = self.context.symbols;
        let is_list = |value: &Typed| {
            matches!(value.ty.shape(symbols), Shape::Array { .. } | Shape::Pointer { .. })
        };
        let (of, index) = match (is_list(of), is_list(index)) {
            (true, _) => (of, index),
            (false, true) => (index, of),
            (false, false) => {
                let message = format!("'{}' is no array and no pointer", of.ty.name(symbols));
                return Err(ExprError::new(at.clone(), message));
            }
        };
        let index = self.number(index, at)?.to_int(8, true).value as i64;
        match of.ty.shape(symbols) {
            Shape::Pointer { target, .. } if target.is_void(symbols) => self.pointed(of, at),
            Shape::Pointer { target, .. } if self.dry => Ok(Typed::at(target, Addr(0))),
            _ => self.context.index(of, index).map_err(|absent| self.absent(at, absent)),
        }
    }
}

/// A number in the language's own type.
pub(super) fn of_number(number: Number) -> Typed {
    Typed::of_bytes(CType::Basic(number.basic()), &number.bytes())
}

pub(super) fn pointer_value(addr: u64, target: CType) -> Typed {
    Typed::of_bytes(target.pointer(), &addr.to_le_bytes())
}

pub(super) fn truth_value(truth: bool) -> Typed {
    of_number(Number::Int(Int::of_c_int(truth.into())))
}

fn size_value(size: u64) -> Typed {
    of_number(Number::Int(Int::new(size.into(), 8, false)))
}

/// The first of the types a literal may have that its value fits (C11
/// 6.4.4.1): of a decimal one without `u`, only those with a sign.
fn literal(integer: Integer) -> Int {
    let value = i128::from(integer.value);
    let (signed, unsigned) = (!integer.unsigned, integer.unsigned || !integer.decimal);
    if integer.longs == 0 {
        if signed && value <= i128::from(i32::MAX) {
            return Int::new(value, 4, true);
        }
        if unsigned && value <= i128::from(u32::MAX) {
            return Int::new(value, 4, false);
        }
    }
    Int::new(value, 8, signed && value <= i128::from(i64::MAX))
}
