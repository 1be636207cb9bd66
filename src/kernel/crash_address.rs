//! What a bad address is, in words: a poison that the kernel writes on purpose,
//! an error number taken for a pointer, text, user space, a part of the kernel's
//! own memory.

use crate::{
    base::{
        addr::Addr,
        memory::{Gap, Memory, PAGE},
    },
    symbols::placed::Symbols,
};

/// How far from a poison or NULL an address is still taken for a member of it.
const NEAR: u64 = PAGE;

/// What a value is that was used as a pointer, or the address it led to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Sort {
    /// NULL, or a member of it.
    Null,
    /// An error number (`ERR_PTR` in include/linux/err.h).
    Error(u64),
    /// A list entry that was deleted.
    ListPoison,
    /// Memory that was freed, or never written, filled by the allocator.
    SlabPoison,
    /// No address at all: bits 47 to 63 differ.
    NonCanonical,
    /// Of user space.
    User,
    /// Of the kernel.
    Kernel,
}

/// What sort of pointer a value is.
pub fn sort(value: u64) -> Sort {
    match value {
        0..NEAR => Sort::Null,
        // MAX_ERRNO in include/linux/err.h.
        0xffff_ffff_ffff_f001.. => Sort::Error(value.wrapping_neg()),
        _ if list_poison(value).is_some() => Sort::ListPoison,
        _ if slab_poison(value).is_some() => Sort::SlabPoison,
        _ if !is_canonical(value) => Sort::NonCanonical,
        _ if value >> 63 == 0 => Sort::User,
        _ => Sort::Kernel,
    }
}

/// Whether the CPU takes it for an address: with five levels of page tables 57
/// bits count (Intel SDM volume 1, 3.3.7.1); the kernel's own are canonical with
/// 48 as well.
fn is_canonical(value: u64) -> bool {
    const BITS: u32 = 16;
    ((value << BITS) as i64 >> BITS) as u64 == value
}

/// The name of a list poison near below an address, and how far it is.
/// POISON_POINTER_DELTA is CONFIG_ILLEGAL_POINTER_VALUE, on x86_64 always
/// 0xdead000000000000 (include/linux/poison.h).
fn list_poison(value: u64) -> Option<(&'static str, u64)> {
    const DELTA: u64 = 0xdead_0000_0000_0000;
    let inside = value.wrapping_sub(DELTA);
    match inside {
        0x100..0x122 => Some(("LIST_POISON1", inside - 0x100)),
        0x122..0x200 => Some(("LIST_POISON2", inside - 0x122)),
        // LIST_POISON2 before 4.3.
        0x200..0x300 => Some(("LIST_POISON2", inside - 0x200)),
        0x300..0x400 => Some(("TIMER_ENTRY_STATIC", inside - 0x300)),
        _ => None,
    }
}

/// What filled memory with one byte (include/linux/poison.h). An address in it
/// has a small distance in its last bytes.
fn slab_poison(value: u64) -> Option<&'static str> {
    match value >> 16 {
        0x6b6b_6b6b_6b6b => Some("slab memory that was freed (filled with 0x6b)"),
        0x5a5a_5a5a_5a5a => Some("slab memory that was never written (filled with 0x5a)"),
        0xaaaa_aaaa_aaaa => Some("a page that was freed (filled with 0xaa)"),
        0xcccc_cccc_cccc => Some("init memory that was freed (filled with 0xcc)"),
        _ => None,
    }
}

/// The usual names of error numbers (include/uapi/asm-generic/errno-base.h,
/// errno.h).
pub fn errno(number: u64) -> Option<&'static str> {
    const BASE: [&str; 34] = [
        "EPERM", "ENOENT", "ESRCH", "EINTR", "EIO", "ENXIO", "E2BIG", "ENOEXEC", "EBADF", "ECHILD",
        "EAGAIN", "ENOMEM", "EACCES", "EFAULT", "ENOTBLK", "EBUSY", "EEXIST", "EXDEV", "ENODEV",
        "ENOTDIR", "EISDIR", "EINVAL", "ENFILE", "EMFILE", "ENOTTY", "ETXTBSY", "EFBIG", "ENOSPC",
        "ESPIPE", "EROFS", "EMLINK", "EPIPE", "EDOM", "ERANGE",
    ];
    match number {
        1..=34 => Some(BASE[number as usize - 1]),
        35 => Some("EDEADLK"),
        36 => Some("ENAMETOOLONG"),
        38 => Some("ENOSYS"),
        39 => Some("ENOTEMPTY"),
        61 => Some("ENODATA"),
        71 => Some("EPROTO"),
        75 => Some("EOVERFLOW"),
        95 => Some("EOPNOTSUPP"),
        110 => Some("ETIMEDOUT"),
        512 => Some("ERESTARTSYS"),
        517 => Some("EPROBE_DEFER"),
        _ => None,
    }
}

/// An error pointer as the source writes it.
pub fn error_pointer(number: u64) -> String {
    match errno(number) {
        Some(name) => format!("ERR_PTR(-{name})"),
        None => format!("ERR_PTR(-{number})"),
    }
}

/// An address in words; empty when there is nothing to say of it.
///
/// # Errors
/// Reads that have no answer yet.
pub fn words(symbols: &Symbols, memory: &dyn Memory, value: u64) -> Result<String, Gap> {
    Ok(match sort(value) {
        Sort::Null if value == 0 => "NULL".into(),
        Sort::Null => format!("NULL + {value:#x}"),
        Sort::Error(number) => error_pointer(number),
        Sort::ListPoison => match list_poison(value) {
            Some((name, 0)) => format!("{name}: the entry was deleted from its list before"),
            Some((name, by)) => {
                format!("{name} + {by:#x}: the entry was deleted from its list before")
            }
            None => String::new(),
        },
        Sort::SlabPoison => slab_poison(value).unwrap_or_default().into(),
        Sort::NonCanonical => match as_text(value) {
            Some(text) => format!("no address; it looks like the text \"{text}\""),
            None => "no address: not canonical".into(),
        },
        Sort::User => "in user space".into(),
        Sort::Kernel => kernel(symbols, memory, Addr(value))?,
    })
}

/// Eight letters in a row are no address that somebody computed.
fn as_text(value: u64) -> Option<String> {
    let bytes = value.to_le_bytes();
    let letters = bytes.iter().filter(|byte| byte.is_ascii_graphic() || **byte == b' ').count();
    (letters >= 6 && bytes[..6].iter().all(|b| b.is_ascii_graphic() || *b == b' ')).then(|| {
        let text: Vec<u8> = bytes.iter().copied().filter(|b| (32..127).contains(b)).collect();
        String::from_utf8_lossy(&text).into_owned()
    })
}

/// Which part of the kernel's memory (Documentation/x86/x86_64/mm.rst). KASLR
/// moves three of them; their beginnings are variables then.
fn kernel(symbols: &Symbols, memory: &dyn Memory, addr: Addr) -> Result<String, Gap> {
    if let Some((_, section)) = symbols.section_at(addr) {
        let name = symbols.describe(addr).unwrap_or_else(|| addr.to_string());
        return Ok(format!("{name} in {section}"));
    }
    let base = |name: &str, without: u64| match symbols.symbol_addr(name) {
        Some(at) => memory.u64(at),
        None => Ok(without),
    };
    let bases = [
        base("page_offset_base", 0xffff_8800_0000_0000),
        base("vmalloc_base", 0xffff_c900_0000_0000),
        base("vmemmap_base", 0xffff_ea00_0000_0000),
    ];
    if let Some(Err(missing)) = bases.iter().find(|base| base.is_err_and(|gap| gap.is_missing())) {
        return Err(*missing);
    }
    let [direct, vmalloc, vmemmap] = bases.map(|base| base.unwrap_or(u64::MAX));
    Ok(match addr.0 {
        0xffff_ffff_a000_0000..0xffff_ffff_ff00_0000 => {
            "where modules are loaded, but in none that is known".into()
        }
        0xffff_ffff_8000_0000..0xffff_ffff_a000_0000 => {
            "where the kernel's image is, but not in it".into()
        }
        at if at >= vmemmap && vmemmap > vmalloc => "in the array of struct page".into(),
        at if at >= vmalloc && vmalloc > direct => "in vmalloc's memory".into(),
        at if at >= direct => "in the kernel's map of all memory".into(),
        _ => "in no part of the kernel's memory".into(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::memory::Sparse;
    use proptest::prelude::*;

    fn told(value: u64) -> String {
        words(&Symbols::new(), &Sparse::new(), value).unwrap()
    }

    #[test]
    fn bad_pointers_are_known_by_their_value() {
        assert_eq!(told(0), "NULL");
        assert_eq!(told(0x38), "NULL + 0x38");
        assert_eq!(told((-2i64) as u64), "ERR_PTR(-ENOENT)");
        assert_eq!(told((-4095i64) as u64), "ERR_PTR(-4095)");
        assert!(told(0xdead_0000_0000_0108).starts_with("LIST_POISON1 + 0x8: "));
        assert!(told(0xdead_0000_0000_0122).starts_with("LIST_POISON2: "));
        assert!(told(0xdead_0000_0000_0200).starts_with("LIST_POISON2: "), "4.2");
        assert!(told(0x6b6b_6b6b_6b6b_6b9b).contains("was freed"));
        assert_eq!(told(0x6873_6172_6373_6768), "no address; it looks like the text \"hgscrash\"");
        assert_eq!(told(0x0123_0000_0000_0000), "no address: not canonical");
        assert_eq!(told(0x7f00_0000_1000), "in user space");
        assert_eq!(told(0xffff_8880_0123_4567), "in the kernel's map of all memory");
        assert_eq!(told(0xffff_c900_0001_0000), "in vmalloc's memory");
    }

    proptest! {
        #[test]
        fn every_value_has_words(value in any::<u64>()) {
            let _ = told(value);
        }
    }
}
