//! Where a value is, by a DWARF expression over one frame.

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
use gimli::{Encoding, EndianSlice, Evaluation, EvaluationResult, LittleEndian, UnitOffset};
use std::{borrow::Cow, fmt, sync::Arc};

/// Real expressions have a few dozen operations.
const MAX_OPERATIONS: u32 = 10_000;

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
    /// known only to the caller that passed it. Without a frame every value
    /// that needs one is unavailable.
    pub frames: &'a [Frame<'a>],
    /// The CPU whose copies of per-CPU variables are meant.
    pub cpu: Option<u32>,
}

/// Why a value has no bytes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Absent {
    /// Memory that is not read yet, or can't be.
    Gap(Gap),
    /// The compiler kept it nowhere at this address.
    OptimizedOut,
    /// It points to something that is in no memory (`<synthetic pointer>`).
    Synthetic,
    /// It can't be had, for this reason.
    Unavailable(Cow<'static, str>),
}

impl Absent {
    /// Unavailable, for this reason.
    pub fn because(why: impl Into<Cow<'static, str>>) -> Absent {
        Absent::Unavailable(why.into())
    }
}

impl From<Gap> for Absent {
    fn from(gap: Gap) -> Absent {
        Absent::Gap(gap)
    }
}

impl fmt::Display for Absent {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Absent::Gap(gap) => write!(f, "{gap}"),
            Absent::OptimizedOut => f.write_str("optimized out"),
            Absent::Synthetic => f.write_str("synthetic pointer"),
            Absent::Unavailable(why) => f.write_str(why),
        }
    }
}

/// Where a value is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Place {
    /// In guest memory.
    Memory(Addr),
    /// In a register of the frame.
    Register {
        /// Its number in DWARF.
        dwarf: u16,
        /// The first byte of it.
        offset: u64,
    },
    /// Nowhere, but these are its bytes; there may be fewer than its type has
    /// when it comes from a register, and more when part of one is meant.
    Bytes(Arc<[u8]>),
    /// In pieces.
    Pieces {
        /// From the least significant bit on.
        pieces: Arc<[Piece]>,
        /// The first byte of all of them.
        offset: u64,
    },
    /// It is a pointer to a variable that is in no memory, but is known.
    Pointing {
        /// The image that describes the variable.
        image: ImageId,
        /// Where, in `.debug_info`.
        entry: usize,
        /// Bytes into the variable.
        offset: i64,
    },
}

/// A piece of a value.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Piece {
    /// How many bits it has.
    pub bits: u64,
    /// The first bit of the place that is meant.
    pub skip: u64,
    /// Where it is; `None` when the compiler kept it nowhere.
    pub place: Option<Place>,
}

impl Place {
    /// The place `offset` bytes further on.
    #[must_use]
    pub fn further(&self, bytes: u64) -> Place {
        match self {
            Place::Memory(addr) => Place::Memory(addr.offset(bytes)),
            Place::Register { dwarf, offset } => {
                Place::Register { dwarf: *dwarf, offset: offset.saturating_add(bytes) }
            }
            Place::Bytes(all) => {
                let from = usize::try_from(bytes).map_or(all.len(), |from| from.min(all.len()));
                Place::Bytes(all[from..].into())
            }
            Place::Pieces { pieces, offset } => {
                Place::Pieces { pieces: pieces.clone(), offset: offset.saturating_add(bytes) }
            }
            Place::Pointing { .. } => Place::Bytes([].into()),
        }
    }
}

/// An expression, and what its operands are looked up in.
#[derive(Clone, Copy)]
pub(super) struct Expression<'e> {
    pub bytes: &'e [u8],
    pub encoding: Encoding,
    pub image: ImageId,
    pub unit: Option<u32>,
}

pub(super) type Slice<'a> = EndianSlice<'a, LittleEndian>;

impl Context<'_> {
    /// Where the value is that `location` describes.
    pub fn find(&self, location: &ValuePlace, image: ImageId) -> Result<Place, Absent> {
        match location {
            ValuePlace::None => Err(Absent::OptimizedOut),
            ValuePlace::Constant(bytes) => Ok(Place::Bytes(bytes.as_slice().into())),
            // An empty expression is DWARF's way to say the same as none.
            ValuePlace::Expression { bytes, .. } if bytes.is_empty() => Err(Absent::OptimizedOut),
            ValuePlace::Expression { bytes, encoding, unit } => {
                let bytes = initialized(bytes, *encoding).unwrap_or(bytes);
                let expression = Expression { bytes, encoding: *encoding, image, unit: *unit };
                self.place(&self.run(&expression, true)?, image)
            }
        }
    }

    /// Where a variable is that an implicit pointer points to.
    pub(super) fn pointee(
        &self,
        image: ImageId,
        entry: usize,
        offset: i64,
    ) -> Result<Place, Absent> {
        let pc = self.frame()?.lookup;
        let offset = u64::try_from(offset).map_err(|_| Absent::OptimizedOut)?;
        let found = self.symbols.pointee_at(image, entry, pc).ok_or(Absent::OptimizedOut)?;
        match self.find(&found.location, image)? {
            Place::Pointing { .. } if offset > 0 => Err(Absent::OptimizedOut),
            place @ Place::Pointing { .. } => Ok(place),
            place => Ok(place.further(offset)),
        }
    }

    /// Runs an expression to its end.
    pub(super) fn run<'e>(
        &self,
        expression: &Expression<'e>,
        frame_base_allowed: bool,
    ) -> Result<Vec<gimli::Piece<Slice<'e>>>, Absent> {
        let slice = EndianSlice::new(expression.bytes, LittleEndian);
        let mut evaluation = Evaluation::new(slice, expression.encoding);
        evaluation.set_max_iterations(MAX_OPERATIONS);
        let mut state = evaluation.evaluate().map_err(damaged)?;
        loop {
            state = match state {
                EvaluationResult::Complete => return Ok(evaluation.as_result().to_vec()),
                EvaluationResult::RequiresRegister { register, base_type } => {
                    let value = self.register(register.0)?;
                    evaluation.resume_with_register(self.typed(expression, base_type, value)?)
                }
                EvaluationResult::RequiresMemory { space: Some(_), .. } => {
                    return Err(Absent::because("in another address space"));
                }
                EvaluationResult::RequiresMemory { address, size, base_type, .. } => {
                    let value = self.memory.uint(Addr(address), usize::from(size))?;
                    evaluation.resume_with_memory(self.typed(expression, base_type, value)?)
                }
                EvaluationResult::RequiresFrameBase if frame_base_allowed => {
                    evaluation.resume_with_frame_base(self.frame_base()?.0)
                }
                EvaluationResult::RequiresCallFrameCfa => {
                    evaluation.resume_with_call_frame_cfa(self.cfa()?.0)
                }
                EvaluationResult::RequiresRelocatedAddress(address) => {
                    let at = self.relocated(expression.image, FileAddr(address))?;
                    evaluation.resume_with_relocated_address(at.0)
                }
                EvaluationResult::RequiresEntryValue(register) => {
                    let value = entry::value(self, register.0.slice())?;
                    evaluation.resume_with_entry_value(gimli::Value::Generic(value))
                }
                EvaluationResult::RequiresBaseType(offset) => {
                    evaluation.resume_with_base_type(self.operand_type(expression, offset)?)
                }
                EvaluationResult::RequiresParameterRef(_) => return Err(Absent::OptimizedOut),
                EvaluationResult::RequiresTls(_) => {
                    return Err(Absent::because("thread-local, which kernels have no storage for"));
                }
                _ => return Err(Absent::because("a DWARF operation that is not understood")),
            }
            .map_err(damaged)?;
        }
    }

    /// A register or a piece of memory as an operand of some type.
    fn typed(
        &self,
        expression: &Expression<'_>,
        base_type: UnitOffset,
        value: u64,
    ) -> Result<gimli::Value, Absent> {
        match self.operand_type(expression, base_type)? {
            gimli::ValueType::Generic => Ok(gimli::Value::Generic(value)),
            ty => {
                let bytes = value.to_le_bytes();
                gimli::Value::parse(ty, EndianSlice::new(&bytes, LittleEndian)).map_err(damaged)
            }
        }
    }

    fn operand_type(
        &self,
        expression: &Expression<'_>,
        offset: UnitOffset,
    ) -> Result<gimli::ValueType, Absent> {
        if offset.0 == 0 {
            return Ok(gimli::ValueType::Generic);
        }
        let of = |unit| self.symbols.operand_type(expression.image, unit, offset.0);
        let no = Absent::because("computed in a type that is not understood");
        expression.unit.and_then(of).ok_or(no)
    }

    /// The run-time address of an address in a file; of a per-CPU variable,
    /// that of the CPU's copy.
    fn relocated(&self, image: ImageId, address: FileAddr) -> Result<Addr, Absent> {
        let at = self.symbols.runtime_of(image, address);
        let at = at.ok_or(Absent::because("its section is not in the guest"))?;
        if !self.symbols.is_per_cpu(image, address) {
            return Ok(at);
        }
        // `__per_cpu_offset[cpu]` (include/asm-generic/percpu.h).
        let Some(offsets) = self.symbols.symbol_addr("__per_cpu_offset") else { return Ok(at) };
        let no_cpu = Absent::because("a per-CPU variable, and the CPU is not known");
        let cpu = self.cpu.ok_or(no_cpu)?;
        Ok(at.offset(self.memory.u64(offsets.offset(u64::from(cpu) * 8))?))
    }

    fn frame(&self) -> Result<&Frame<'_>, Absent> {
        self.frames.first().ok_or(Absent::because("there is no frame"))
    }

    /// A register of the frame by its number in DWARF.
    pub(super) fn register(&self, dwarf: u16) -> Result<u64, Absent> {
        // Not saved by any callee: its value is gone, as in gdb.
        self.frame()?.registers.by_dwarf(dwarf).ok_or(Absent::OptimizedOut)
    }

    fn cfa(&self) -> Result<Addr, Absent> {
        self.frame()?.cfa.ok_or(Absent::because("the frame's address is not known"))
    }

    fn frame_base(&self) -> Result<Addr, Absent> {
        let base = self.symbols.frame_base(self.frame()?.lookup);
        let base = base.ok_or(Absent::because("the function has no frame base"))?;
        let expression = Expression {
            bytes: &base.bytes,
            encoding: base.encoding,
            image: base.image,
            unit: Some(base.unit),
        };
        match self.run(&expression, false)?.as_slice() {
            [gimli::Piece { location: gimli::Location::Register { register }, .. }] => {
                self.register(register.0).map(Addr)
            }
            [gimli::Piece { location: gimli::Location::Address { address }, .. }] => {
                Ok(Addr(*address))
            }
            _ => Err(Absent::because("the function's frame base is no address")),
        }
    }

    /// One place, or several pieces. A value of which every piece is gone is
    /// gone.
    fn place(&self, pieces: &[gimli::Piece<Slice<'_>>], image: ImageId) -> Result<Place, Absent> {
        if let [piece] = pieces
            && piece.size_in_bits.is_none()
        {
            return one_place(&piece.location, image).ok_or(Absent::OptimizedOut);
        }
        let pieces: Arc<[Piece]> = (pieces.iter())
            .map(|piece| Piece {
                bits: piece.size_in_bits.unwrap_or(0),
                skip: piece.bit_offset.unwrap_or(0),
                place: one_place(&piece.location, image),
            })
            .collect();
        match pieces.iter().all(|piece| piece.place.is_none()) {
            true => Err(Absent::OptimizedOut),
            false => Ok(Place::Pieces { pieces, offset: 0 }),
        }
    }
}

/// The expression without its last operation, when that says that the value
/// may not be initialized (`DW_OP_GNU_uninit`, which is no part of the place).
pub(super) fn initialized(bytes: &[u8], encoding: Encoding) -> Option<&[u8]> {
    let before = bytes.strip_suffix(&[gimli::DW_OP_GNU_uninit.0])?;
    let expression = gimli::Expression(EndianSlice::new(bytes, LittleEndian));
    let mut operations = expression.operations(encoding);
    let mut last = None;
    while let Ok(Some(operation)) = operations.next() {
        last = Some(operation);
    }
    matches!(last, Some(gimli::Operation::Uninitialized)).then_some(before)
}

fn damaged(why: gimli::Error) -> Absent {
    Absent::because(match why {
        gimli::Error::UnsupportedEvaluation => "a DWARF operation that is not understood",
        gimli::Error::TooManyIterations => "its DWARF expression does not end",
        gimli::Error::DivisionByZero => "its DWARF expression divides by zero",
        _ => "its DWARF expression is damaged",
    })
}

fn one_place(location: &gimli::Location<Slice<'_>>, image: ImageId) -> Option<Place> {
    match location {
        gimli::Location::Empty => None,
        gimli::Location::Register { register } => {
            Some(Place::Register { dwarf: register.0, offset: 0 })
        }
        gimli::Location::Address { address } => Some(Place::Memory(Addr(*address))),
        gimli::Location::Value { value } => Some(Place::Bytes(value_bytes(*value).into())),
        gimli::Location::Bytes { value } => Some(Place::Bytes(value.slice().into())),
        gimli::Location::ImplicitPointer { value, byte_offset } => {
            Some(Place::Pointing { image, entry: value.0, offset: *byte_offset })
        }
    }
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
        check(&Context { symbols: &symbols, memory: &memory, frames: &[frame], cpu: None })
    }

    fn find(bytes: &[u8]) -> Result<Place, Absent> {
        let bytes = bytes.to_vec();
        let location = ValuePlace::Expression { bytes, encoding: ENCODING, unit: None };
        with(|context| context.find(&location, ImageId(0)))
    }

    fn bytes(bytes: &[u8], size: u64) -> Result<Vec<u8>, Absent> {
        with(|context| context.bytes(&find(bytes)?, size))
    }

    #[test]
    fn registers_addresses_and_values() {
        let rbx = 0x1122_3344_5566_7788u64.to_le_bytes().to_vec();
        assert_eq!(find(&[0x53]), Ok(Place::Register { dwarf: 3, offset: 0 }), "DW_OP_reg3");
        assert_eq!(bytes(&[0x53], 8), Ok(rbx), "its value");
        assert_eq!(find(&[0x77, 8]), Ok(Place::Memory(Addr(0x1008))), "DW_OP_breg7 8");
        assert_eq!(find(&[0x9c]), Ok(Place::Memory(Addr(0x1040))), "DW_OP_call_frame_cfa");
        assert_eq!(bytes(&[0x35, 0x9f], 4), Ok(vec![5, 0, 0, 0]), "DW_OP_lit5, stack_value");
        assert_eq!(bytes(&[0x9e, 2, 7, 8], 2), Ok(vec![7, 8]), "DW_OP_implicit_value");
    }

    #[test]
    fn what_is_gone_is_said_to_be_gone() {
        assert_eq!(find(&[]), Err(Absent::OptimizedOut));
        assert_eq!(bytes(&[0x50], 8), Err(Absent::OptimizedOut), "rax was not saved");
        // DW_OP_entry_value(DW_OP_reg3): rbx is known, but not what it was.
        assert_eq!(find(&[0xa3, 1, 0x53, 0x9f]), Err(Absent::OptimizedOut));
        let missing = find(&[0x77, 0, 0x06, 0x9f]);
        assert!(matches!(missing, Err(Absent::Gap(gap)) if gap.is_missing()));
        assert!(matches!(find(&[0x91, 0]), Err(Absent::Unavailable(_))), "no frame base");
        assert!(matches!(find(&[0xff]), Err(Absent::Unavailable(_))));
    }

    #[test]
    fn a_value_may_not_be_initialized() {
        let rbx = Place::Register { dwarf: 3, offset: 0 };
        assert_eq!(find(&[0x53, 0xf0]), Ok(rbx), "DW_OP_reg3, DW_OP_GNU_uninit");
        assert_eq!(find(&[0x77, 0x70]), Ok(Place::Memory(Addr(0xff0))), "an operand of -16");
        assert_eq!(find(&[0x0a, 0x00, 0xf0]), Ok(Place::Memory(Addr(0xf000))), "DW_OP_const2u");
    }

    #[test]
    fn pieces_are_put_together_or_gone() {
        // reg3 piece 4, memory at sp+8 piece 2
        let ops = [0x53, 0x93, 4, 0x77, 8, 0x93, 2];
        assert_eq!(bytes(&ops, 6), Ok(vec![0x88, 0x77, 0x66, 0x55, 1, 2]));
        assert_eq!(bytes(&[0x53, 0x93, 4, 0x93, 2], 6), Err(Absent::OptimizedOut));
        assert_eq!(bytes(&[0x53, 0x93, 4, 0x93, 2], 3), Ok(vec![0x88, 0x77, 0x66]));
        assert_eq!(bytes(&[0x50, 0x93, 4, 0x93, 2], 4), Err(Absent::OptimizedOut));
        assert_eq!(find(&[0x93, 4, 0x93, 2]), Err(Absent::OptimizedOut));
        // DW_OP_bit_piece: 12 bits of rbx from bit 4 on, then 4 bits of lit5.
        let ops = [0x53, 0x9d, 12, 4, 0x35, 0x9f, 0x9d, 4, 0];
        assert_eq!(bytes(&ops, 2), Ok(vec![0x78, 0x57]));
    }

    #[test]
    fn a_value_wider_than_its_register_is_not_made_up() {
        with(|context| {
            let place = Place::Bytes([1; 8].into());
            assert_eq!(context.bytes(&place, 4), Ok(vec![1; 4]));
            assert_eq!(context.bytes(&place, 16), Err(Absent::OptimizedOut));
            let register = Place::Register { dwarf: 3, offset: 6 };
            assert_eq!(context.bytes(&register, 2), Ok(vec![0x22, 0x11]));
            assert_eq!(context.bytes(&register, 4), Err(Absent::OptimizedOut));
            let huge = context.bytes(&Place::Memory(Addr(0)), 1 << 40);
            assert!(matches!(huge, Err(Absent::Unavailable(_))));
        });
    }

    proptest! {
        #[test]
        fn any_expression_is_answered(ops in prop::collection::vec(any::<u8>(), 0..32)) {
            let _ = bytes(&ops, 8);
        }
    }
}
