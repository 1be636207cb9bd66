//! A value with its type and its place: read, looked into, followed. Nothing
//! is read before it is asked for, so a struct of many pages costs nothing
//! until a member of it is wanted.

use crate::{
    base::addr::Addr,
    eval::{
        ctype::{CType, Field, Shape},
        location::{Absent, Context, Piece, Place},
    },
    symbols::answer::VariableDef,
};

/// Larger values are not read whole (gdb's `max-value-size`).
pub const MAX_BYTES: u64 = 65536;

/// A value: what type it has, and where it is.
#[derive(Clone, Debug, PartialEq)]
pub struct Typed {
    /// Its type.
    pub ty: CType,
    /// Where it is.
    pub place: Place,
    /// For a bit field: its first bit counted from the least significant bit
    /// of the place, and how many bits it has.
    pub bits: Option<(u32, u32)>,
}

/// A number, a character, an enumerator or a pointer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Scalar {
    /// Its bits, zero above `size` bytes.
    pub bits: u128,
    /// Bytes of its type.
    pub size: u64,
    /// Whether its first bit is its sign.
    pub signed: bool,
}

impl Scalar {
    /// From little-endian bytes.
    pub fn from_bytes(bytes: &[u8], signed: bool) -> Scalar {
        let bytes = &bytes[..bytes.len().min(16)];
        let bits = bytes.iter().rev().fold(0, |value, &byte| value << 8 | u128::from(byte));
        Scalar { bits, size: bytes.len() as u64, signed }
    }

    /// Its value, with its sign. An unsigned value of 16 bytes that does not
    /// fit is negative: `bits` has it.
    pub fn value(&self) -> i128 {
        let unused = 128 - 8 * self.size.min(16) as u32;
        match self.signed && self.size > 0 {
            true => (self.bits << unused) as i128 >> unused,
            false => self.bits as i128,
        }
    }

    /// Its lowest 64 bits, as an address.
    pub fn addr(&self) -> Addr {
        Addr(self.bits as u64)
    }
}

impl Typed {
    /// A value in memory.
    pub fn at(ty: CType, addr: Addr) -> Typed {
        Typed { ty, place: Place::Memory(addr), bits: None }
    }

    /// A value that is in no place, from its bytes.
    pub fn of_bytes(ty: CType, bytes: &[u8]) -> Typed {
        Typed { ty, place: Place::Bytes(bytes.into()), bits: None }
    }

    /// Where it is, when it is in memory and no bit field.
    pub fn address(&self) -> Option<Addr> {
        match (&self.place, self.bits) {
            (Place::Memory(addr), None) => Some(*addr),
            _ => None,
        }
    }

    /// The member that `field` is of its struct.
    #[must_use]
    pub fn field(&self, field: &Field) -> Typed {
        let place = self.place.further(field.offset);
        Typed { ty: field.ty.clone(), place, bits: field.bits }
    }
}

impl Context<'_> {
    /// The value of a variable.
    pub fn of(&self, variable: &VariableDef) -> Result<Typed, Absent> {
        let place = self.find(&variable.location, variable.image)?;
        let ty = self.with_length(variable.ty.into(), &place);
        Ok(Typed { ty, place, bits: None })
    }

    /// The type of a variable; an array that is only declared here, without a
    /// length, has what the symbol table says.
    fn with_length(&self, ty: CType, place: &Place) -> CType {
        let (Shape::Array { element, count: None }, Place::Memory(addr)) =
            (ty.shape(self.symbols), place)
        else {
            return ty;
        };
        let symbol = self.symbols.symbol_at(*addr).filter(|symbol| symbol.start == *addr);
        let size = element.size(self.symbols).filter(|size| *size > 0);
        match (symbol, size) {
            (Some(symbol), Some(size)) if symbol.size >= size => element.array(symbol.size / size),
            _ => ty,
        }
    }

    /// The first `size` bytes at a place.
    pub fn bytes(&self, place: &Place, size: u64) -> Result<Vec<u8>, Absent> {
        if size > MAX_BYTES {
            return Err(Absent::because("too large to show"));
        }
        let of = |bytes: &[u8], offset: u64| {
            let from = usize::try_from(offset).ok().filter(|from| *from <= bytes.len());
            let bytes = from.and_then(|from| bytes[from..].get(..size as usize));
            bytes.map(<[u8]>::to_vec).ok_or(Absent::OptimizedOut)
        };
        match place {
            Place::Memory(addr) => Ok(self.memory.bytes(*addr, size as usize)?),
            Place::Register { dwarf, offset } => of(&self.register(*dwarf)?.to_le_bytes(), *offset),
            Place::Bytes(bytes) => of(bytes, 0),
            Place::Pieces { pieces, offset } => self.assemble(pieces, *offset, size),
            Place::Pointing { .. } => Err(Absent::Synthetic),
        }
    }

    /// Bytes out of pieces, the first piece at the least significant bits. A
    /// value of which a piece is gone is gone.
    fn assemble(&self, pieces: &[Piece], offset: u64, size: u64) -> Result<Vec<u8>, Absent> {
        let mut out = vec![0u8; size as usize];
        let (first, end) =
            (offset.saturating_mul(8), offset.saturating_add(size).saturating_mul(8));
        let mut at = 0u64;
        for piece in pieces {
            let (from, to) = (at.max(first), at.saturating_add(piece.bits).min(end));
            let start = at;
            at = at.saturating_add(piece.bits);
            if from >= to {
                continue;
            }
            let place = piece.place.as_ref().ok_or(Absent::OptimizedOut)?;
            // Where the wanted bits of the piece are at its place.
            let skip = piece.skip.saturating_add(from - start);
            let wanted = to - from;
            let place = place.further(skip / 8);
            let bytes = self.bytes(&place, (skip % 8 + wanted).div_ceil(8))?;
            for bit in 0..wanted {
                let source = (skip % 8 + bit) as usize;
                let target = (from - first + bit) as usize;
                out[target / 8] |= (bytes[source / 8] >> (source % 8) & 1) << (target % 8);
            }
        }
        if at < end { Err(Absent::OptimizedOut) } else { Ok(out) }
    }

    /// The bytes of a whole value; not of a bit field, which has none of its
    /// own.
    pub fn raw(&self, value: &Typed) -> Result<Vec<u8>, Absent> {
        let no_size = Absent::because("its type is not complete");
        self.bytes(&value.place, value.ty.size(self.symbols).ok_or(no_size)?)
    }

    /// A number, a character, an enumerator or a pointer. A pointer to what
    /// is in no memory is [`Absent::Synthetic`].
    pub fn scalar(&self, value: &Typed) -> Result<Scalar, Absent> {
        let shape = value.ty.shape(self.symbols);
        let no_scalar = Absent::because("it is no number and no pointer");
        let size = shape.scalar_size().ok_or(no_scalar)?;
        self.scalar_of(value, size, shape.is_signed())
    }

    /// The same, of a type that is known to have this size and sign.
    pub(super) fn scalar_of(
        &self,
        value: &Typed,
        size: u64,
        signed: bool,
    ) -> Result<Scalar, Absent> {
        let Some((first, width)) = value.bits else {
            return Ok(Scalar::from_bytes(&self.bytes(&value.place, size)?, signed));
        };
        // Only the bytes that have a bit of it: a field of a packed struct
        // may end where the struct does.
        let place = value.place.further(u64::from(first / 8));
        let (first, width) = (first % 8, width.min(64));
        let bytes = self.bytes(&place, u64::from((first + width).div_ceil(8)))?;
        let all = Scalar::from_bytes(&bytes, false).bits >> first;
        let unused = 128 - width;
        if width == 0 {
            return Ok(Scalar { bits: 0, size, signed });
        }
        let bits = match signed {
            true => ((all << unused) as i128 >> unused) as u128,
            false => all << unused >> unused,
        };
        let above = 128 - 8 * size.clamp(1, 16) as u32;
        Ok(Scalar { bits: bits << above >> above, size, signed })
    }

    /// The member of a struct or union, also inside anonymous ones.
    pub fn member(&self, value: &Typed, name: &str) -> Result<Typed, Absent> {
        let field = value.ty.member(self.symbols, name).ok_or_else(|| {
            let ty = value.ty.name(self.symbols);
            Absent::because(format!("{ty} has no member named {name}"))
        })?;
        Ok(value.field(&field))
    }

    /// What a pointer points to.
    pub fn deref(&self, pointer: &Typed) -> Result<Typed, Absent> {
        self.pointed(pointer, 0)
    }

    /// Element `index` of an array, or of the memory that a pointer points
    /// to as if it were one. Bounds are not checked, as in C.
    pub fn index(&self, value: &Typed, index: i64) -> Result<Typed, Absent> {
        let Shape::Array { element, .. } = value.ty.shape(self.symbols) else {
            return self.pointed(value, index);
        };
        let offset = self.distance(&element, index)?;
        let place = match &value.place {
            Place::Memory(addr) => Place::Memory(addr.offset(offset)),
            _ if index < 0 => return Err(Absent::because("before the array")),
            place => place.further(offset),
        };
        Ok(Typed { ty: element, place, bits: None })
    }

    fn pointed(&self, pointer: &Typed, index: i64) -> Result<Typed, Absent> {
        let Shape::Pointer { size, target } = pointer.ty.shape(self.symbols) else {
            return Err(Absent::because("it is no pointer"));
        };
        let place = match &pointer.place {
            Place::Pointing { image, entry, offset } if index == 0 => {
                self.pointee(*image, *entry, *offset)?
            }
            _ => {
                let addr = self.scalar_of(pointer, size, false)?.addr();
                match index {
                    0 => Place::Memory(addr),
                    _ => Place::Memory(addr.offset(self.distance(&target, index)?)),
                }
            }
        };
        Ok(Typed { ty: target, place, bits: None })
    }

    /// Bytes from one element to the one `index` further on, modulo 2^64.
    fn distance(&self, element: &CType, index: i64) -> Result<u64, Absent> {
        let size = match element.shape(self.symbols) {
            // As GNU C has it.
            Shape::Void | Shape::Function => Some(1),
            _ => element.size(self.symbols),
        };
        let size = size.ok_or(Absent::because("the size of its elements is not known"))?;
        Ok((index as u64).wrapping_mul(size))
    }

    /// Where a value is in memory.
    pub fn address(&self, value: &Typed) -> Result<Addr, Absent> {
        value.address().ok_or_else(|| {
            Absent::because(match (&value.place, value.bits) {
                (_, Some(_)) => "a bit field has no address",
                (Place::Register { .. }, _) => "it is in a register, so it has no address",
                (Place::Pieces { .. }, _) => "it is in pieces, so it has no address",
                _ => "it is in no memory, so it has no address",
            })
        })
    }
}
