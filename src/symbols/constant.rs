//! Texts that the guest can't have another way than the file has them, so that
//! they need not be read over the line.
//!
//! What a file says of memory is true of few things: code is patched, and what
//! has an address in it is moved by KASLR or by loading. A text of read-only
//! memory is neither, if it is known to be a text.

use crate::{
    base::addr::{Addr, FileAddr},
    image::file::{Image, Section},
    symbols::placed::{Placed, Symbols, VMLINUX},
};

/// In the kernel proper, what makes read-only data read-only
/// (arch/x86/mm/init_64.c, under CONFIG_STRICT_KERNEL_RWX, before 4.11
/// CONFIG_DEBUG_RODATA): without it a stray write may have changed a text.
const PROTECTS_KERNEL: &[&str] = &["mark_rodata_ro"];

/// The same for modules (kernel/module/strict_rwx.c, before 5.19
/// kernel/module.c; `set_section_ro_nx` before 4.5).
const PROTECTS_MODULES: &[&str] =
    &["module_enable_ro", "module_enable_rodata_ro", "set_section_ro_nx"];

/// From here on read-only data is written until the end of the boot, and jump
/// labels for ever (RO_AFTER_INIT_DATA in include/asm-generic/vmlinux.lds.h; since
/// 4.9, the second name at first).
const RO_AFTER_INIT: &[&str] = &["__start_ro_after_init", "__start_data_ro_after_init"];

/// Longer ones are not looked at.
const LONGEST: usize = 4096;

impl Symbols {
    /// The text at `addr` with its NUL, or the first `most` bytes of it, where the
    /// guest can't have another. `None` for all else, and where it is not sure.
    pub fn constant_text(&self, addr: Addr, most: usize) -> Option<&[u8]> {
        let (placed, at) = self.locate(addr)?;
        let image = placed.image.image();
        let section = image.section_at(at)?;
        let left = section.addr.0.wrapping_add(section.size).wrapping_sub(at.0);
        let bytes = image.file_bytes(at, LONGEST.min(usize::try_from(left).ok()?))?;
        let (text, behind) = bytes.split_at(bytes.iter().position(|byte| *byte == 0)? + 1);
        let end = FileAddr(at.0.wrapping_add(text.len() as u64));
        let constant = match placed.name.as_str() {
            VMLINUX if !is_protected(placed, PROTECTS_KERNEL) => false,
            VMLINUX => in_kernel(image, section, end, text, behind.first()),
            _ => {
                let kernel = self.vmlinux()?;
                is_protected(kernel, PROTECTS_MODULES) && section.strings && !section.write
            }
        };
        constant.then_some(&text[..text.len().min(most)])
    }
}

fn is_protected(kernel: &Placed, names: &[&str]) -> bool {
    let symbols = kernel.image.image().symbols();
    names.iter().any(|name| symbols.named(name).next().is_some())
}

/// Whether a text that ends at `end` is one that the kernel proper has as its
/// file has it. Linked, all read-only data is in one section.
fn in_kernel(
    image: &Image,
    section: &Section,
    end: FileAddr,
    text: &[u8],
    next: Option<&u8>,
) -> bool {
    if section.strings && !section.write {
        return true;
    }
    let mut limits = RO_AFTER_INIT.iter().filter_map(|name| image.symbols().named(name).next());
    let before = |limit: FileAddr| section.contains(limit) && end <= limit;
    // Older kernels have neither name: which of their read-only data is written
    // during the boot is not told.
    let is_constant = section.name == ".rodata" && limits.next().is_some_and(|s| before(s.addr));
    // An address of the kernel is 0xffffffff80000000 at least, and moves by whole
    // 2 MiB (CONFIG_PHYSICAL_ALIGN): of its bytes the third and those above may
    // change. The fourth, which is above 0x7f, would be in the text, or behind it.
    is_constant && text.iter().chain(next).all(u8::is_ascii) && text.first() != Some(&0)
}
