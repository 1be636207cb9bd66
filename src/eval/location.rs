//! Where a value is, by a DWARF expression over one frame, and its bytes.

use crate::{
    arch::Registers,
    base::{
        addr::{Addr, FileAddr},
        memory::{Gap, Memory},
    },
    eval::entry,
    symbols::{
        answer::{ImageId, ValuePlace},
        placed::Symbols,
    },
};
use gimli::{Encoding, EndianSlice, Evaluation, EvaluationResult, LittleEndian};

/// Real expressions have a few dozen operations.
const MAX_OPERATIONS: u32 = 10_000;

/// Larger values are not fetched whole; whoever wants them asks by member.
pub const MAX_BYTES: u64 = 4096;

/// One frame of a stack as expressions see it.
#[derive(Clone, Copy, Debug)]
pub struct Frame<'a> {
    /// Its registers, as far as they are known.
    pub registers: &'a Registers,
    /// Its canonical frame address.
    pub cfa: Option<Addr>,
    /// Its pc; for a caller, where the call returns to.
    pub pc: Addr,
    /// The address it is looked up by; one before `pc` for a caller.
    pub lookup: Addr,
}

/// A frame for expressions: everything they may refer to.
#[derive(Clone, Copy)]
pub struct Context<'a> {
    /// The placed images.
    pub symbols: &'a Symbols,
    /// Guest memory.
    pub memory: &'a dyn Memory,
    /// The frame, then its callers as far as they are known: a value may be
    /// known only to the caller that passed it. Never empty in use; without
    /// a frame every value that needs one is unavailable.
    pub frames: &'a [Frame<'a>],
}

/// Why a value has no bytes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Absent {
    /// Memory that is not read yet, or can't be.
    Gap(Gap),
    /// The compiler kept it nowhere at this address.
    OptimizedOut,
    /// Of its pieces some are kept and some are not.
    PartlyOptimizedOut,
    /// It is somewhere that can't be followed, for this reason.
    Unavailable(&'static str),
}

impl From<Gap> for Absent {
    fn from(gap: Gap) -> Absent {
        Absent::Gap(gap)
    }
}

/// Where a value is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Found {
    /// In guest memory.
    At(Addr),
    /// Nowhere as such, but these are its bytes; shorter than its type when
    /// it comes from a register, longer when only part of one is meant.
    Bytes(Vec<u8>),
}

pub(super) type Slice<'a> = EndianSlice<'a, LittleEndian>;

impl Context<'_> {
    /// Where the value is that `location` describes.
    pub fn find(&self, location: &ValuePlace, image: ImageId) -> Result<Found, Absent> {
        match location {
            ValuePlace::None => Err(Absent::OptimizedOut),
            ValuePlace::Constant(bytes) => Ok(Found::Bytes(bytes.clone())),
            // An empty expression is DWARF's way to say the same as none.
            ValuePlace::Expression { bytes, .. } if bytes.is_empty() => Err(Absent::OptimizedOut),
            ValuePlace::Expression { bytes, encoding } => {
                let mut evaluation = evaluation(bytes, *encoding);
                self.run(&mut evaluation, image, true)?;
                self.assemble(evaluation.as_result())
            }
        }
    }

    /// The `size` bytes of the value.
    pub fn fetch(&self, found: &Found, size: u64) -> Result<Vec<u8>, Absent> {
        if size > MAX_BYTES {
            return Err(Absent::Unavailable("too large to show"));
        }
        match found {
            Found::At(addr) => Ok(self.memory.bytes(*addr, size as usize)?),
            Found::Bytes(bytes) => match bytes.get(..size as usize) {
                Some(bytes) => Ok(bytes.to_vec()),
                None => Err(Absent::OptimizedOut),
            },
        }
    }

    pub(super) fn run(
        &self,
        evaluation: &mut Evaluation<Slice<'_>>,
        image: ImageId,
        frame_base_allowed: bool,
    ) -> Result<(), Absent> {
        evaluation.set_max_iterations(MAX_OPERATIONS);
        let damaged = |_| Absent::Unavailable("its DWARF expression is damaged");
        let mut state = evaluation.evaluate().map_err(damaged)?;
        loop {
            state = match state {
                EvaluationResult::Complete => return Ok(()),
                // Typed operations: only the untyped form is understood.
                EvaluationResult::RequiresRegister { base_type, .. }
                | EvaluationResult::RequiresMemory { base_type, .. }
                    if base_type.0 != 0 =>
                {
                    return Err(Absent::Unavailable("a typed DWARF expression"));
                }
                EvaluationResult::RequiresRegister { register, .. } => {
                    evaluation.resume_with_register(gimli::Value::Generic(self.register(register)?))
                }
                EvaluationResult::RequiresMemory { space: Some(_), .. } => {
                    return Err(Absent::Unavailable("in another address space"));
                }
                EvaluationResult::RequiresMemory { address, size, .. } => {
                    let value = self.memory.uint(Addr(address), usize::from(size))?;
                    evaluation.resume_with_memory(gimli::Value::Generic(value))
                }
                EvaluationResult::RequiresFrameBase if frame_base_allowed => {
                    evaluation.resume_with_frame_base(self.frame_base()?.0)
                }
                EvaluationResult::RequiresCallFrameCfa => {
                    evaluation.resume_with_call_frame_cfa(self.cfa()?.0)
                }
                EvaluationResult::RequiresRelocatedAddress(address) => {
                    let at = self.symbols.runtime_of(image, FileAddr(address));
                    let at = at.ok_or(Absent::Unavailable("its section is not in the guest"))?;
                    evaluation.resume_with_relocated_address(at.0)
                }
                EvaluationResult::RequiresEntryValue(expression) => {
                    let value = entry::value(self, expression.0.slice())?;
                    evaluation.resume_with_entry_value(gimli::Value::Generic(value))
                }
                EvaluationResult::RequiresParameterRef(_) => return Err(Absent::OptimizedOut),
                EvaluationResult::RequiresTls(_) => {
                    return Err(Absent::Unavailable("thread-local"));
                }
                EvaluationResult::RequiresBaseType(_) => {
                    return Err(Absent::Unavailable("a typed DWARF expression"));
                }
                _ => return Err(Absent::Unavailable("a DWARF operation that is not understood")),
            }
            .map_err(damaged)?;
        }
    }

    fn frame(&self) -> Result<&Frame<'_>, Absent> {
        self.frames.first().ok_or(Absent::Unavailable("there is no frame"))
    }

    fn register(&self, register: gimli::Register) -> Result<u64, Absent> {
        // Not saved by any callee: its value is gone, as in gdb.
        self.frame()?.registers.by_dwarf(register.0).ok_or(Absent::OptimizedOut)
    }

    fn cfa(&self) -> Result<Addr, Absent> {
        self.frame()?.cfa.ok_or(Absent::Unavailable("the frame's address is not known"))
    }

    fn frame_base(&self) -> Result<Addr, Absent> {
        let base = self.symbols.frame_base(self.frame()?.lookup);
        let base = base.ok_or(Absent::Unavailable("the function has no frame base"))?;
        let mut evaluation = evaluation(&base.bytes, base.encoding);
        self.run(&mut evaluation, base.image, false)?;
        match evaluation.as_result() {
            [piece] => match piece.location {
                gimli::Location::Register { register } => self.register(register).map(Addr),
                gimli::Location::Address { address } => Ok(Addr(address)),
                _ => Err(Absent::Unavailable("the function's frame base is no address")),
            },
            _ => Err(Absent::Unavailable("the function's frame base is no address")),
        }
    }

    /// One location, or several pieces put together; a value of which a
    /// piece is gone is gone.
    fn assemble(&self, pieces: &[gimli::Piece<Slice<'_>>]) -> Result<Found, Absent> {
        if let [piece] = pieces
            && piece.size_in_bits.is_none()
        {
            return match &piece.location {
                gimli::Location::Address { address } => Ok(Found::At(Addr(*address))),
                location => self.bytes_of(location, None).map(Found::Bytes),
            };
        }
        let mut whole = Vec::new();
        let mut gone = 0;
        for piece in pieces {
            let bits = piece.size_in_bits.unwrap_or(0);
            if bits % 8 != 0 || piece.bit_offset.unwrap_or(0) != 0 {
                return Err(Absent::Unavailable("in pieces of single bits"));
            }
            if bits / 8 + whole.len() as u64 > MAX_BYTES {
                return Err(Absent::Unavailable("too large to show"));
            }
            let size = (bits / 8) as usize;
            match self.bytes_of(&piece.location, Some(bits / 8)) {
                Ok(bytes) if bytes.len() >= size => whole.extend(&bytes[..size]),
                Ok(_) | Err(Absent::OptimizedOut) => gone += 1,
                Err(absent) => return Err(absent),
            }
        }
        match gone {
            0 if !whole.is_empty() => Ok(Found::Bytes(whole)),
            gone if gone == pieces.len() || whole.is_empty() => Err(Absent::OptimizedOut),
            _ => Err(Absent::PartlyOptimizedOut),
        }
    }

    fn bytes_of(
        &self,
        location: &gimli::Location<Slice<'_>>,
        size: Option<u64>,
    ) -> Result<Vec<u8>, Absent> {
        match location {
            gimli::Location::Empty | gimli::Location::ImplicitPointer { .. } => {
                Err(Absent::OptimizedOut)
            }
            gimli::Location::Register { register } => {
                Ok(self.register(*register)?.to_le_bytes().to_vec())
            }
            gimli::Location::Address { address } => {
                Ok(self.memory.bytes(Addr(*address), size.unwrap_or(8) as usize)?)
            }
            gimli::Location::Value { value } => Ok(value_bytes(*value).to_vec()),
            gimli::Location::Bytes { value } => Ok(value.slice().to_vec()),
        }
    }
}

pub(super) fn evaluation(bytes: &[u8], encoding: Encoding) -> Evaluation<Slice<'_>> {
    Evaluation::new(EndianSlice::new(bytes, LittleEndian), encoding)
}

/// A value on DWARF's stack, widened by its sign.
pub(super) fn value_bytes(value: gimli::Value) -> [u8; 8] {
    match value {
        gimli::Value::Generic(v) | gimli::Value::U64(v) => v.to_le_bytes(),
        gimli::Value::I64(v) => v.to_le_bytes(),
        gimli::Value::I8(v) => i64::from(v).to_le_bytes(),
        gimli::Value::I16(v) => i64::from(v).to_le_bytes(),
        gimli::Value::I32(v) => i64::from(v).to_le_bytes(),
        gimli::Value::U8(v) => u64::from(v).to_le_bytes(),
        gimli::Value::U16(v) => u64::from(v).to_le_bytes(),
        gimli::Value::U32(v) => u64::from(v).to_le_bytes(),
        gimli::Value::F32(v) => u64::from(v.to_bits()).to_le_bytes(),
        gimli::Value::F64(v) => v.to_le_bytes(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{arch::x86_64::X86_64, base::memory::Sparse};
    use proptest::prelude::*;

    const ENCODING: Encoding =
        Encoding { address_size: 8, format: gimli::Format::Dwarf32, version: 5 };

    fn with<T>(check: impl FnOnce(&Context<'_>) -> T) -> T {
        let mut registers = Registers::unknown(&X86_64);
        registers.set(X86_64.sp, Some(0x1000));
        registers.set(X86_64.reg("rbx").unwrap(), Some(0x1122_3344_5566_7788));
        let mut memory = Sparse::new();
        memory.insert(Addr(0x1008), &[1, 2, 3, 4, 5, 6, 7, 8]);
        let symbols = Symbols::new();
        let (pc, lookup) = (Addr(0), Addr(0));
        let frame = Frame { registers: &registers, cfa: Some(Addr(0x1040)), pc, lookup };
        check(&Context { symbols: &symbols, memory: &memory, frames: &[frame] })
    }

    fn find(bytes: &[u8]) -> Result<Found, Absent> {
        let location = ValuePlace::Expression { bytes: bytes.to_vec(), encoding: ENCODING };
        with(|context| context.find(&location, ImageId(0)))
    }

    #[test]
    fn registers_addresses_and_values() {
        let rbx = 0x1122_3344_5566_7788u64.to_le_bytes().to_vec();
        assert_eq!(find(&[0x53]), Ok(Found::Bytes(rbx)), "DW_OP_reg3");
        assert_eq!(find(&[0x77, 8]), Ok(Found::At(Addr(0x1008))), "DW_OP_breg7 8");
        assert_eq!(find(&[0x9c]), Ok(Found::At(Addr(0x1040))), "DW_OP_call_frame_cfa");
        let five = 5u64.to_le_bytes().to_vec();
        assert_eq!(find(&[0x35, 0x9f]), Ok(Found::Bytes(five)), "DW_OP_lit5, stack_value");
        assert_eq!(find(&[0x9e, 2, 7, 8]), Ok(Found::Bytes(vec![7, 8])), "DW_OP_implicit_value");
    }

    #[test]
    fn what_is_gone_is_said_to_be_gone() {
        assert_eq!(find(&[]), Err(Absent::OptimizedOut));
        assert_eq!(find(&[0x50]), Err(Absent::OptimizedOut), "rax was not saved");
        // DW_OP_entry_value(DW_OP_reg3): rbx is known, but not what it was.
        assert_eq!(find(&[0xa3, 1, 0x53, 0x9f]), Err(Absent::OptimizedOut));
        let missing = find(&[0x77, 0, 0x06, 0x9f]);
        assert!(matches!(missing, Err(Absent::Gap(gap)) if gap.is_missing()));
        assert!(matches!(find(&[0x91, 0]), Err(Absent::Unavailable(_))), "no frame base");
        assert!(matches!(find(&[0xff]), Err(Absent::Unavailable(_))));
    }

    #[test]
    fn pieces_are_put_together_or_gone() {
        // reg3 piece 4, memory at sp+8 piece 2
        let whole = find(&[0x53, 0x93, 4, 0x77, 8, 0x93, 2]);
        assert_eq!(whole, Ok(Found::Bytes(vec![0x88, 0x77, 0x66, 0x55, 1, 2])));
        assert_eq!(find(&[0x53, 0x93, 4, 0x93, 2]), Err(Absent::PartlyOptimizedOut));
        assert_eq!(find(&[0x50, 0x93, 4, 0x93, 2]), Err(Absent::OptimizedOut));
    }

    #[test]
    fn a_value_wider_than_its_register_is_not_made_up() {
        with(|context| {
            let found = Found::Bytes(vec![1; 8]);
            assert_eq!(context.fetch(&found, 4), Ok(vec![1; 4]));
            assert_eq!(context.fetch(&found, 16), Err(Absent::OptimizedOut));
            assert!(matches!(
                context.fetch(&Found::At(Addr(0)), 1 << 40),
                Err(Absent::Unavailable(_))
            ));
        });
    }

    proptest! {
        #[test]
        fn any_expression_is_answered(bytes in prop::collection::vec(any::<u8>(), 0..32)) {
            let _ = find(&bytes);
        }
    }
}
