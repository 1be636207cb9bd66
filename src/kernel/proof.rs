//! Whether a vmlinux is the guest's: the build-id note in memory against the
//! one in the file, or the banner where the file has no build-id.
//!
//! The notes are loaded at `__start_notes` (include/asm-generic/vmlinux.lds.h,
//! `NOTES`). Text is no proof: the kernel patches its own.

use crate::{
    base::{
        memory::{Gap, Memory},
        text::hex,
    },
    image::notes::build_id_of,
    kernel::{KernelError, symbol, version},
    symbols::placed::Symbols,
};

/// More note bytes than any kernel has; the rest is not read.
const MAX_NOTES: u64 = 2048;

/// What the comparison gave.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Proof {
    /// Same build-id: this vmlinux is the guest's.
    Matches {
        /// The build-id in hexadecimal.
        id: String,
    },
    /// The file has no build-id, and the banner, with the build's number, its
    /// date and its compiler, is the same.
    ByBanner {
        /// The banner.
        banner: String,
    },
    /// Another kernel: its symbols must not be shown as fact.
    Differs {
        /// The file's build-id or banner.
        file: String,
        /// The guest's.
        guest: String,
    },
    /// No answer either way.
    Unknown {
        /// What stood in the way.
        why: String,
    },
}

impl Proof {
    /// Whether symbols may be shown as fact.
    pub fn holds(&self) -> bool {
        matches!(self, Proof::Matches { .. } | Proof::ByBanner { .. })
    }
}

/// Compares vmlinux, placed by its slide, with the guest. Reads one note (36
/// bytes); where that is none, all of them (a few hundred bytes), or the banner.
/// `Err` is a miss; all else is an answer.
pub fn prove(symbols: &Symbols, memory: &dyn Memory) -> Result<Proof, Gap> {
    let Some(vmlinux) = symbols.vmlinux() else {
        return Ok(Proof::Unknown { why: "there is no vmlinux".to_string() });
    };
    let image = vmlinux.image.image();
    let result = match image.build_id() {
        Some(id) => by_build_id(symbols, memory, id),
        None => by_banner(symbols, memory),
    };
    match result {
        Ok(proof) => Ok(proof),
        Err(KernelError::Gap(gap)) if gap.is_missing() => Err(gap),
        Err(error) => Ok(Proof::Unknown { why: error.to_string() }),
    }
}

fn by_build_id(symbols: &Symbols, memory: &dyn Memory, id: &[u8]) -> Result<Proof, KernelError> {
    let start = symbol(symbols, "__start_notes")?;
    if let Some((at, len)) = note_of_file(symbols, id) {
        // If there is one where the file has it, the others don't matter.
        if let Some(guest) = build_id_of(&memory.bytes(start.offset(at), len)?) {
            return Ok(compared(id, guest));
        }
    }
    let len = symbol(symbols, "__stop_notes")?.since(start).min(MAX_NOTES);
    let notes = memory.bytes(start, len as usize)?;
    Ok(match build_id_of(&notes) {
        Some(guest) => compared(id, guest),
        None => Proof::Unknown {
            why: format!(
                "there is no build-id note at {start}, where vmlinux has it; \
                 it is of another kernel, or the slide is wrong"
            ),
        },
    })
}

fn compared(file: &[u8], guest: &[u8]) -> Proof {
    match file == guest {
        true => Proof::Matches { id: hex(file) },
        false => Proof::Differs { file: hex(file), guest: hex(guest) },
    }
}

/// Where the file's notes have the one with its build-id, counted from their
/// start, and its length.
fn note_of_file(symbols: &Symbols, id: &[u8]) -> Option<(u64, usize)> {
    // ELF: three words, `GNU` with its NUL, then the id.
    const BEFORE_ID: usize = 16;
    let image = symbols.vmlinux()?.image.image();
    let start = image.symbols().named("__start_notes").next()?.addr;
    let stop = image.symbols().named("__stop_notes").next()?.addr;
    let len = stop.0.checked_sub(start.0)?.min(MAX_NOTES);
    let notes = image.file_bytes(start, len as usize)?;
    let before = notes.windows(id.len()).position(|bytes| bytes == id)?.checked_sub(BEFORE_ID)?;
    let note = notes.get(before..before + BEFORE_ID + id.len())?;
    (build_id_of(note) == Some(id)).then_some((before as u64, note.len()))
}

fn by_banner(symbols: &Symbols, memory: &dyn Memory) -> Result<Proof, KernelError> {
    let no_banner = || KernelError::NoSymbol("linux_banner".to_string());
    let guest = version::banner(symbols, memory)?;
    let file = file_banner(symbols).ok_or_else(no_banner)?;
    Ok(if file == guest {
        Proof::ByBanner { banner: guest }
    } else {
        Proof::Differs { file, guest }
    })
}

/// The banner as the file has it.
fn file_banner(symbols: &Symbols) -> Option<String> {
    let vmlinux = symbols.vmlinux()?;
    let image = vmlinux.image.image();
    let at = image.symbols().named("linux_banner").next()?.addr;
    let section = (image.sections().iter())
        .find(|s| at.0.wrapping_sub(s.addr.0) < s.size)
        .map(|s| s.size - (at.0 - s.addr.0))?;
    let bytes = image.file_bytes(at, section.min(504) as usize)?;
    let end = bytes.iter().position(|&b| b == 0).unwrap_or(bytes.len());
    let text = String::from_utf8_lossy(&bytes[..end]);
    Some(crate::base::text::printable(text.trim_end()))
}
