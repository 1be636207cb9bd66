//! Registers over the wire.

use crate::{
    arch::{Arch, Reg, Registers},
    rsp::command::{Command, CommandError},
};

/// Why registers can not be read or written.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum RegistersError {
    /// The `g` reply has another size.
    #[error(
        "the stub sent {got} bytes of registers, {arch} has {want}: the guest has another architecture, or this is not kgdb"
    )]
    Length {
        /// Bytes that came.
        got: usize,
        /// Bytes expected.
        want: usize,
        /// The architecture expected.
        arch: &'static str,
    },
    /// The stub says OK and does nothing.
    #[error("kgdb ignores writes to {name}")]
    Ignored {
        /// The register.
        name: &'static str,
    },
    /// The value needs more bytes than the register has.
    #[error("{value:#x} does not fit {name}, which has {size} bytes")]
    TooLarge {
        /// The register.
        name: &'static str,
        /// Its size in bytes.
        size: usize,
        /// The value.
        value: u64,
    },
    /// The stub has no number for it.
    #[error(transparent)]
    Command(#[from] CommandError),
}

/// The bytes of a `g` reply as registers.
///
/// # Errors
/// When there are not exactly as many as this architecture has.
pub fn from_reply(arch: &'static Arch, bytes: &[u8]) -> Result<Registers, RegistersError> {
    if bytes.len() == arch.g_len {
        Ok(Registers::from_g(arch, bytes))
    } else {
        let (got, want) = (bytes.len(), arch.g_len);
        Err(RegistersError::Length { got, want, arch: arch.name })
    }
}

/// The `P` packet that sets a register of the stopped CPU; little-endian, as
/// every architecture we know.
///
/// # Errors
/// When the stub would ignore it: `dbg_set_reg` in `arch/x86/kernel/kgdb.c`
/// returns success for rsp without writing it. When the value does not fit.
pub fn write(arch: &'static Arch, reg: Reg, value: u64) -> Result<Command, RegistersError> {
    let def = arch.def(reg);
    if arch.name == "x86_64" && reg == arch.sp {
        return Err(RegistersError::Ignored { name: def.name });
    }
    let bytes = value.to_le_bytes();
    let size = def.size.min(bytes.len());
    if bytes[size..].iter().any(|&byte| byte != 0) {
        return Err(RegistersError::TooLarge { name: def.name, size, value });
    }
    Ok(Command::write_register(def.number as u8, &bytes[..size])?)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::arch::x86_64::X86_64;

    #[test]
    fn a_reply_of_another_architecture_is_refused() {
        let bytes: Vec<u8> = (0..156).collect();
        let registers = from_reply(&X86_64, &bytes).unwrap();
        assert_eq!(registers.by_name("rbx"), Some(0x0f0e_0d0c_0b0a_0908));
        let error = from_reply(&X86_64, &bytes[..64]).unwrap_err().to_string();
        assert!(error.contains("64 bytes") && error.contains("x86_64 has 156"), "{error}");
    }

    #[test]
    fn writes_as_the_stub_takes_them() {
        let pc = write(&X86_64, X86_64.pc, 0xffff_ffff_8100_0000).unwrap();
        assert_eq!(pc.payload(), b"P10=00000081ffffffff");
        let flags = write(&X86_64, X86_64.flags, 0x246).unwrap();
        assert_eq!(flags.payload(), b"P11=46020000");
        assert!(write(&X86_64, X86_64.flags, 1 << 32).is_err());
        let ignored = write(&X86_64, X86_64.sp, 0);
        assert_eq!(ignored, Err(RegistersError::Ignored { name: "rsp" }));
    }
}
