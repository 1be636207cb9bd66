//! DWARF expressions in unwind rules: registers, memory and arithmetic give
//! one address (DWARF 5, 6.4.2: no frame base, no CFA, no type lookups).

use crate::{
    arch::Registers,
    base::{addr::Addr, memory::Memory},
    unwind::End,
};
use gimli::{EndianSlice, Evaluation, EvaluationResult, LittleEndian, Value};

/// Kernel modules' and programs' rules have under 20 operations.
const MAX_OPERATIONS: u32 = 1000;

const ENCODING: gimli::Encoding =
    gimli::Encoding { address_size: 8, format: gimli::Format::Dwarf32, version: 4 };

/// The address an expression computes, with `initial` pushed first when
/// there is one.
pub(super) fn address(
    bytes: &[u8],
    initial: Option<Addr>,
    memory: &dyn Memory,
    registers: &Registers,
) -> Result<Addr, End> {
    // What an expression can't say, or says wrongly, is a missing rule.
    let pc = || End::NoCfi(registers.pc().unwrap_or_default());
    let mut evaluation = Evaluation::new(EndianSlice::new(bytes, LittleEndian), ENCODING);
    evaluation.set_max_iterations(MAX_OPERATIONS);
    if let Some(initial) = initial {
        evaluation.set_initial_value(initial.0);
    }
    let mut state = evaluation.evaluate().map_err(|_| pc())?;
    loop {
        state = match state {
            EvaluationResult::Complete => break,
            EvaluationResult::RequiresRegister { register, .. } => {
                let value = registers.by_dwarf(register.0).ok_or(End::LostRegister)?;
                evaluation.resume_with_register(Value::Generic(value))
            }
            EvaluationResult::RequiresMemory { address, size, .. } => {
                let value = memory.uint(Addr(address), usize::from(size)).map_err(End::of)?;
                evaluation.resume_with_memory(Value::Generic(value))
            }
            _ => return Err(pc()),
        }
        .map_err(|_| pc())?;
    }
    match evaluation.as_result() {
        [piece] => match piece.location {
            gimli::Location::Address { address } => Ok(Addr(address)),
            _ => Err(pc()),
        },
        _ => Err(pc()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{arch::x86_64::X86_64, base::memory::Sparse};
    use proptest::prelude::*;

    #[test]
    fn registers_memory_and_an_initial_value() {
        let mut registers = Registers::unknown(&X86_64);
        registers.set(X86_64.sp, Some(0x1000));
        let mut memory = Sparse::new();
        memory.insert(Addr(0x1008), &0x2000u64.to_le_bytes());
        // DW_OP_breg7 8; DW_OP_deref
        assert_eq!(address(&[0x77, 8, 0x06], None, &memory, &registers), Ok(Addr(0x2000)));
        // DW_OP_lit4; DW_OP_plus
        assert_eq!(address(&[0x34, 0x22], Some(Addr(0x10)), &memory, &registers), Ok(Addr(0x14)));
        // DW_OP_breg6 0
        assert_eq!(address(&[0x76, 0], None, &memory, &registers), Err(End::LostRegister));
        let missing = address(&[0x77, 0, 0x06], None, &memory, &registers);
        assert!(matches!(missing, Err(End::Missing(_))));
        // DW_OP_call_frame_cfa has no meaning here.
        assert!(matches!(address(&[0x9c], None, &memory, &registers), Err(End::NoCfi(_))));
    }

    proptest! {
        #[test]
        fn any_bytes_end(bytes in prop::collection::vec(any::<u8>(), 0..24)) {
            let registers = Registers::from_g(&X86_64, &[1; 156]);
            let _ = address(&bytes, None, &Sparse::new(), &registers);
        }
    }
}
