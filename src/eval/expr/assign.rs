//! Assignments: what they would write, and where. Nothing is written here;
//! an expression that goes on after an assignment sees what it would be.

use crate::{
    base::{
        addr::Addr,
        memory::{Gap, Memory, Span},
    },
    eval::{
        ctype::Shape,
        expr::{
            arith::{Int, Number},
            ast::{At, Binary, Expr, Kind},
            error::ExprError,
            evaluate::{Evaluator, Result, of_number},
        },
        format::Limits,
        location::{Absent, Context, Place},
        typed::Typed,
    },
};
use std::{cell::RefCell, fmt};

/// Most bytes that one assignment writes.
const MOST_BYTES: u64 = 4096;

/// What an expression asks to be written.
#[derive(Clone, Debug, PartialEq)]
pub enum Effect {
    /// Bytes of guest memory.
    WriteMemory {
        /// Where.
        addr: Addr,
        /// Their new values.
        bytes: Vec<u8>,
        /// What is assigned to, to be shown before and after.
        target: Typed,
        /// The same as it is written.
        what: String,
    },
    /// A register of the selected frame.
    WriteRegister {
        /// Its name.
        name: &'static str,
        /// All of its new value.
        value: u64,
        /// What is assigned to.
        target: Typed,
        /// The same as it is written.
        what: String,
    },
    /// A convenience variable, which is not in the guest.
    SetVariable {
        /// Its name, without `$`.
        name: String,
        /// Its value.
        value: Typed,
    },
}

impl Effect {
    /// Whether the guest is changed.
    pub fn is_of_guest(&self) -> bool {
        !matches!(self, Effect::SetVariable { .. })
    }
}

/// Guest memory as it would be after what is to be written.
pub(super) struct Overlay<'a> {
    inner: &'a dyn Memory,
    written: RefCell<Vec<(Addr, Vec<u8>)>>,
}

impl<'a> Overlay<'a> {
    pub fn new(inner: &'a dyn Memory) -> Overlay<'a> {
        Overlay { inner, written: RefCell::default() }
    }

    fn write(&self, addr: Addr, bytes: Vec<u8>) {
        self.written.borrow_mut().push((addr, bytes));
    }
}

impl Memory for Overlay<'_> {
    fn read(&self, addr: Addr, buf: &mut [u8]) -> std::result::Result<(), Gap> {
        self.inner.read(addr, buf)?;
        let span = Span::new(addr, buf.len() as u64);
        for (start, bytes) in self.written.borrow().iter() {
            for (place, byte) in bytes.iter().enumerate() {
                let at = start.offset(place as u64);
                if span.contains(at) {
                    buf[at.since(addr) as usize] = *byte;
                }
            }
        }
        Ok(())
    }
}

impl Evaluator<'_> {
    /// `target = value` and `target += value`.
    pub fn assign(
        &self,
        op: Option<Binary>,
        target: &Expr,
        value: &Expr,
        at: &At,
    ) -> Result<Typed> {
        if let Some(name) = self.convenience(target) {
            let new = match op {
                None => self.value(value)?,
                Some(op) => {
                    let (old, by) = (self.value(target)?, self.value(value)?);
                    self.combine(op, (&old, &target.at), (&by, &value.at), at)?
                }
            };
            return self.set(name, new, &value.at);
        }
        let place = self.lvalue(target)?;
        if self.dry {
            return Ok(place);
        }
        let new = match op {
            None => self.value(value)?,
            Some(op) => {
                let by = self.value(value)?;
                self.combine(op, (&place, &target.at), (&by, &value.at), at)?
            }
        };
        self.store(&place, &new, target, value)
    }

    /// `++target` and its like.
    pub fn step(&self, target: &Expr, up: bool, before: bool, at: &At) -> Result<Typed> {
        let old = self.value(target)?;
        let op = if up { Binary::Add } else { Binary::Subtract };
        let one = of_number(Number::Int(Int::of_c_int(1)));
        let new = self.combine(op, (&old, &target.at), (&one, at), at)?;
        let convenience = self.convenience(target);
        if self.dry && convenience.is_none() {
            return Ok(old);
        }
        // What it has now: afterwards another value is there.
        let had = if self.dry { old } else { self.taken(old, at)? };
        let stored = match convenience {
            Some(name) => self.set(name, new, at)?,
            None => self.store(&self.lvalue(target)?, &new, target, target)?,
        };
        Ok(if before { stored } else { had })
    }

    /// The name of a convenience variable; registers have the same mark.
    fn convenience<'e>(&self, target: &'e Expr) -> Option<&'e str> {
        let Kind::Dollar(name) = &target.kind else { return None };
        let known = self.context.frames.first().map(|frame| frame.registers.arch);
        let arch = known.unwrap_or(&crate::arch::x86_64::X86_64);
        arch.reg(name).is_none().then_some(name)
    }

    /// Where an expression would write to the guest.
    pub fn written(&self, expr: &Expr) -> Option<At> {
        match &expr.kind {
            Kind::Assign(_, target, value) => match self.convenience(target) {
                Some(_) => self.written(value),
                None => Some(expr.at.clone()),
            },
            Kind::Step { target, .. } => {
                self.convenience(target).is_none().then(|| expr.at.clone())
            }
            Kind::Binary(_, left, right) | Kind::Index(left, right) => {
                self.written(left).or_else(|| self.written(right))
            }
            Kind::Conditional(test, yes, no) => {
                [test, yes, no].into_iter().find_map(|part| self.written(part))
            }
            Kind::Unary(_, of)
            | Kind::Cast(_, of)
            | Kind::TypedAt(_, of)
            | Kind::Member { of, .. }
            | Kind::ContainerOf(of, ..) => self.written(of),
            Kind::PerCpu { of, cpu, .. } => {
                self.written(of).or_else(|| cpu.as_ref().and_then(|cpu| self.written(cpu)))
            }
            // Nothing is done in a sizeof.
            Kind::SizeOf(_) | Kind::SizeOfType(_) | Kind::AlignOfType(_) => None,
            Kind::Integer(_) | Kind::Float(..) | Kind::Char(_) | Kind::Text(_) => None,
            Kind::Name(_) | Kind::Dollar(_) | Kind::History(_) => None,
            Kind::OffsetOf(..) | Kind::Type(_) => None,
        }
    }

    /// Sets a convenience variable to the value as it is now.
    fn set(&self, name: &str, value: Typed, at: &At) -> Result<Typed> {
        if self.dry {
            return Ok(value);
        }
        let value = self.taken(value, at)?;
        let (name, kept) = (name.to_owned(), value.clone());
        self.effects.borrow_mut().push(Effect::SetVariable { name, value: kept });
        Ok(value)
    }

    /// The value with its bytes; too large a one stays where it is. A bit
    /// field stays one: it is promoted by its width (C11 6.3.1.1), and what was
    /// assigned to one has its type.
    fn taken(&self, value: Typed, at: &At) -> Result<Typed> {
        let symbols = self.context.symbols;
        let shape = value.ty.shape(symbols);
        if let (Some((_, width)), Some(_)) = (value.bits, shape.scalar_size()) {
            let bytes = self.bytes_as(&shape, &value, at)?;
            let bits = Some((0, width));
            return Ok(Typed { bits, ..Typed::of_bytes(value.ty, &bytes) });
        }
        match value.ty.size(symbols) {
            Some(size @ 1..=MOST_BYTES) => {
                let bytes = self.context.bytes(&value.place, size);
                let bytes = bytes.map_err(|absent| self.absent(at, absent))?;
                Ok(Typed::of_bytes(value.ty, &bytes))
            }
            _ => Ok(value),
        }
    }

    /// Notes that `new` is to be written at the place of `target`.
    fn store(&self, place: &Typed, new: &Typed, target: &Expr, value: &Expr) -> Result<Typed> {
        let symbols = self.context.symbols;
        let error = |message: &str| ExprError::new(target.at.clone(), message);
        let bytes = match place.ty.shape(symbols) {
            shape if shape.scalar_size().is_some() => self.bytes_as(&shape, new, &value.at)?,
            Shape::Array { .. } if matches!(value.kind, Kind::Text(_)) => {
                let size = place.ty.size(symbols).unwrap_or(0);
                let mut bytes = self.raw(new, &value.at)?;
                if bytes.len() as u64 > size {
                    return Err(ExprError::new(value.at.clone(), "this text is too long for it"));
                }
                bytes.resize(size.min(MOST_BYTES) as usize, 0);
                bytes
            }
            Shape::Struct { .. } | Shape::Array { .. } => {
                if place.ty.name(symbols) != new.ty.name(symbols) {
                    let message =
                        format!("a value of type '{}' is wanted here", place.ty.name(symbols));
                    return Err(ExprError::new(value.at.clone(), message));
                }
                let bytes = self.raw(new, &value.at)?;
                if bytes.len() as u64 > MOST_BYTES {
                    return Err(error("this is too large to be assigned at once"));
                }
                bytes
            }
            Shape::Function => return Err(error("a function can't be assigned to")),
            _ => return Err(error("what this is is not known, so it can't be assigned to")),
        };
        let what = self.text.get(target.at.clone()).unwrap_or_default().to_owned();
        match &place.place {
            Place::Memory(addr) => {
                let (addr, written) = match place.bits {
                    None => (*addr, bytes.clone()),
                    Some(bits) => self.with_bits(*addr, bits, &bytes, &target.at)?,
                };
                self.overlay.write(addr, written.clone());
                let effect =
                    Effect::WriteMemory { addr, bytes: written, target: place.clone(), what };
                self.effects.borrow_mut().push(effect);
            }
            Place::Register { dwarf, offset } => {
                if place.bits.is_some() {
                    return Err(error("a bit field in a register can't be assigned to"));
                }
                self.store_register(*dwarf, *offset, &bytes, place, target, what)?;
            }
            Place::Pieces { .. } => {
                return Err(error("it is kept in pieces here, which can't be assigned to"));
            }
            Place::Bytes(_) | Place::Pointing { .. } => {
                return Err(error("this is a value without a place, so it can't be assigned to"));
            }
        }
        Ok(match place.bits {
            // What fits the bit field is what it has then.
            Some(_) => self.taken(place.clone(), &target.at)?,
            None => Typed::of_bytes(place.ty.clone(), &bytes),
        })
    }

    fn store_register(
        &self,
        dwarf: u16,
        offset: u64,
        bytes: &[u8],
        place: &Typed,
        target: &Expr,
        what: String,
    ) -> Result<()> {
        let error = |message: &str| ExprError::new(target.at.clone(), message);
        let frame = self.context.frames.first().ok_or_else(|| error("there is no frame"))?;
        let pending = |effect: &Effect| matches!(effect, Effect::WriteRegister { .. });
        if self.effects.borrow().iter().any(pending) {
            return Err(error("an expression can write one register only"));
        }
        let (registers, arch) = (frame.registers, frame.registers.arch);
        let reg = arch.reg_by_dwarf(dwarf).ok_or_else(|| error("kgdb has no such register"))?;
        let old =
            registers.get(reg).ok_or_else(|| self.absent(&target.at, Absent::OptimizedOut))?;
        // What the value does not cover stays.
        let mut whole = old.to_le_bytes();
        let from = (offset as usize).min(8);
        let to = (from + bytes.len()).min(8);
        whole[from..to].copy_from_slice(&bytes[..to - from]);
        let (name, value) = (arch.def(reg).name, u64::from_le_bytes(whole));
        let target = place.clone();
        self.effects.borrow_mut().push(Effect::WriteRegister { name, value, target, what });
        Ok(())
    }

    /// The bytes that hold a bit field, with its new value in them.
    fn with_bits(
        &self,
        addr: Addr,
        (first, width): (u32, u32),
        value: &[u8],
        at: &At,
    ) -> Result<(Addr, Vec<u8>)> {
        let addr = addr.offset(u64::from(first / 8));
        let (first, width) = (first % 8, width.min(64));
        let len = (first + width).div_ceil(8) as usize;
        let old = self.context.memory.bytes(addr, len);
        let old = old.map_err(|gap| self.absent(at, Absent::Gap(gap)))?;
        let number = |bytes: &[u8]| {
            bytes.iter().take(16).rev().fold(0u128, |all, &byte| all << 8 | u128::from(byte))
        };
        let mask = ((1u128 << width) - 1) << first;
        let new = number(&old) & !mask | (number(value) << first) & mask;
        Ok((addr, new.to_le_bytes()[..len].to_vec()))
    }

    fn raw(&self, value: &Typed, at: &At) -> Result<Vec<u8>> {
        self.context.raw(value).map_err(|absent| self.absent(at, absent))
    }
}

/// An effect with the values before and after, for people.
#[derive(Clone, Debug)]
pub struct Change {
    /// What is to be written.
    pub effect: Effect,
    /// The value that is there.
    pub before: String,
    /// The value that will be there.
    pub after: String,
}

impl fmt::Display for Change {
    /// `4 bytes at 0xffff… (req->id): 1 -> 7`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.effect {
            Effect::WriteMemory { addr, bytes, what, .. } => {
                let count = bytes.len();
                let plural = if count == 1 { "" } else { "s" };
                write!(f, "{count} byte{plural} at {addr} ({what})")?;
            }
            Effect::WriteRegister { name, what, .. } if what.trim_start_matches('$') == *name => {
                write!(f, "register {name}")?;
            }
            Effect::WriteRegister { name, what, .. } => write!(f, "register {name} ({what})")?,
            Effect::SetVariable { name, .. } => write!(f, "${name}")?,
        }
        write!(f, ": {} -> {}", self.before, self.after)
    }
}

/// What effects change, each seen after those before it.
pub fn changes(context: &Context<'_>, effects: &[Effect]) -> Vec<Change> {
    let overlay = Overlay::new(context.memory);
    let text = |context: &Context<'_>, target: &Typed| {
        let limits = Limits { elements: 20, ..Limits::default() };
        match context.text(target, None, &limits) {
            Ok(text) => text,
            Err(absent) => format!("<{absent}>"),
        }
    };
    let mut all = Vec::new();
    for effect in effects {
        let now = Context { memory: &overlay, ..*context };
        let (before, after) = match effect {
            Effect::WriteMemory { addr, bytes, target, .. } => {
                let before = text(&now, target);
                overlay.write(*addr, bytes.clone());
                (before, text(&now, target))
            }
            Effect::WriteRegister { name, value, target, .. } => {
                let mut frames = now.frames.to_vec();
                let changed = frames.first().map(|frame| {
                    let mut registers = frame.registers.clone();
                    if let Some(reg) = registers.arch.reg(name) {
                        registers.set(reg, Some(*value));
                    }
                    registers
                });
                if let (Some(frame), Some(changed)) = (frames.first_mut(), &changed) {
                    frame.registers = changed;
                }
                (text(&now, target), text(&Context { frames: &frames, ..now }, target))
            }
            Effect::SetVariable { .. } => continue,
        };
        all.push(Change { effect: effect.clone(), before, after });
    }
    all
}
