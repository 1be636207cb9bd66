//! The KASLR slide: how far from its link address the kernel runs.
//!
//! On x86_64 the interrupt descriptor table is readable at an address that
//! KASLR does not move, and its first gate holds the run-time address of a
//! known function. Where the table is not there yet (kgdbwait), the stop is
//! in `kgdb_breakpoint`, whose place inside 2 MiB KASLR does not change. A
//! search for `linux_banner` is the last resort and only done on request.
//!
//! Sources: `CPU_ENTRY_AREA_RO_IDT` (arch/x86/include/asm/pgtable_areas.h,
//! since 4.15), `FIX_RO_IDT` (arch/x86/include/asm/fixmap.h, before),
//! `find_random_virt_addr` (arch/x86/boot/compressed/kaslr.c).

use crate::{
    base::{
        addr::{Addr, FileAddr},
        memory::Memory,
    },
    kernel::{KernelError, symbol},
    symbols::placed::{Placement, Symbols},
};

/// The slide is a multiple of this: `PHYSICAL_ALIGN` is at least 2 MiB on
/// x86_64 (arch/x86/Kconfig).
pub const ALIGN: u64 = 0x20_0000;

/// The slide is below this: `KERNEL_IMAGE_SIZE` with `RANDOMIZE_BASE`.
pub const LIMIT: u64 = 0x4000_0000;

/// The read-only alias of the IDT, at the start of the CPU entry area.
const ENTRY_AREA_IDT: Addr = Addr(0xffff_fe00_0000_0000);

/// `FIXADDR_TOP` of x86_64: below the 2 MiB that end after the vsyscall page.
const FIXADDR_TOP: u64 = 0xffff_ffff_ff7f_f000;

/// How many bytes of the banner tell it from anything else.
const BANNER_PROBE: usize = 32;

/// How many candidates of the search one run asks for.
const PROBES_AT_ONCE: usize = 32;

/// How a slide was found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum How {
    /// The first gate of the interrupt descriptor table.
    Idt,
    /// The stop inside `kgdb_breakpoint`.
    StopPc,
    /// `linux_banner` was found there.
    Banner,
}

impl std::fmt::Display for How {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            How::Idt => "the interrupt table",
            How::StopPc => "the stop in kgdb_breakpoint",
            How::Banner => "the place of linux_banner",
        })
    }
}

/// The slide of a kernel. Not yet a proof that vmlinux is the guest's.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Slide {
    /// What is added to addresses of vmlinux.
    pub value: u64,
    /// Where it comes from.
    pub by: How,
}

/// Finds the slide from the IDT, else from the stop at `pc`. Reads 16 bytes.
/// The present placement of vmlinux does not matter.
pub fn find(
    symbols: &Symbols,
    memory: &dyn Memory,
    pc: Option<Addr>,
) -> Result<Slide, KernelError> {
    let from_idt = by_idt(symbols, memory);
    if from_idt.as_ref().is_err_and(KernelError::missing) {
        return from_idt;
    }
    match (from_idt, pc.and_then(|pc| by_stop_pc(symbols, pc))) {
        (Ok(slide), _) | (Err(_), Some(slide)) => Ok(slide),
        (Err(error), None) => Err(error),
    }
}

/// Finds the slide by looking for the text of `linux_banner` at every place
/// the kernel can be: up to 512 reads of 32 bytes, 32 asked for in one run.
pub fn search(symbols: &Symbols, memory: &dyn Memory) -> Result<Slide, KernelError> {
    let no_banner = || KernelError::NoSymbol("linux_banner".to_string());
    let linked = linked(symbols, symbol(symbols, "linux_banner")?);
    let vmlinux = symbols.vmlinux().ok_or_else(no_banner)?;
    let file = vmlinux.image.image().file_bytes(FileAddr(linked.0), BANNER_PROBE);
    let want = file.filter(|bytes| bytes.len() == BANNER_PROBE).ok_or_else(no_banner)?;
    let mut missed = None;
    let mut misses = 0;
    for value in (0..LIMIT).step_by(ALIGN as usize) {
        match memory.bytes(linked.offset(value), BANNER_PROBE) {
            Ok(bytes) if bytes == want => return Ok(Slide { value, by: How::Banner }),
            Err(gap) if gap.is_missing() => {
                missed = Some(gap);
                misses += 1;
                if misses == PROBES_AT_ONCE {
                    break;
                }
            }
            _ => {}
        }
    }
    match missed {
        Some(gap) => Err(gap.into()),
        None => Err(KernelError::Implausible(
            "the banner of this vmlinux is nowhere in the guest; it is of another kernel"
                .to_string(),
        )),
    }
}

fn by_idt(symbols: &Symbols, memory: &dyn Memory) -> Result<Slide, KernelError> {
    let table = match symbols.enumerator("FIX_RO_IDT") {
        Some(index) => Addr(FIXADDR_TOP.wrapping_sub((index as u64) << 12)),
        None => ENTRY_AREA_IDT,
    };
    let gate = memory.bytes(table, 16)?;
    let handler = handler(&gate);
    // The names of vector 0's entry since 5.8, and before.
    let entry =
        symbol(symbols, "asm_exc_divide_error").or_else(|_| symbol(symbols, "divide_error"))?;
    let value = handler.since(linked(symbols, entry));
    plausible(value).map(|value| Slide { value, by: How::Idt }).ok_or_else(|| {
        KernelError::Implausible(format!(
            "the guest's divide error handler at {handler} does not fit this vmlinux at any slide; \
             it is of another kernel"
        ))
    })
}

/// The handler's address in a gate: three pieces (Intel SDM volume 3, 6.14.1).
fn handler(gate: &[u8]) -> Addr {
    let piece = |range: std::ops::Range<usize>| {
        gate.get(range).unwrap_or_default().iter().rev().fold(0, |v, &b| v << 8 | u64::from(b))
    };
    Addr(piece(0..2) | piece(6..8) << 16 | piece(8..12) << 32)
}

fn by_stop_pc(symbols: &Symbols, pc: Addr) -> Option<Slide> {
    let function = symbols.symbol_addr("kgdb_breakpoint")?;
    let size = symbols.symbol_at(function).map_or(0, |at| at.size);
    let distance = pc.since(linked(symbols, function));
    // After the int3, so past the start and at most at the end.
    let inside = distance % ALIGN;
    if inside == 0 || inside > size.max(1) {
        return None;
    }
    plausible(distance - inside).map(|value| Slide { value, by: How::StopPc })
}

fn plausible(value: u64) -> Option<u64> {
    (value < LIMIT && value.is_multiple_of(ALIGN)).then_some(value)
}

/// Takes the present slide of vmlinux off an address.
fn linked(symbols: &Symbols, addr: Addr) -> Addr {
    match symbols.vmlinux().map(|placed| &placed.placement) {
        Some(Placement::Slide(slide)) => addr.back(*slide),
        _ => addr,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_gate_gives_its_handler() {
        let gate = [0x90, 0x0b, 0x10, 0, 0, 0x8e, 0xc0, 0x81, 0xff, 0xff, 0xff, 0xff, 0, 0, 0, 0];
        assert_eq!(handler(&gate), Addr(0xffff_ffff_81c0_0b90));
        assert_eq!(handler(&[]), Addr(0));
    }

    #[test]
    fn only_places_where_the_kernel_can_be_are_taken() {
        assert_eq!(plausible(0), Some(0));
        assert_eq!(plausible(0x1e00_0000), Some(0x1e00_0000));
        assert_eq!(plausible(0x1000), None);
        assert_eq!(plausible(LIMIT), None);
        assert_eq!(plausible(0u64.wrapping_sub(ALIGN)), None);
    }
}
