//! Opening a file by memory map, and saying in words why it can't be used.

use crate::image::ImageError;
use memmap2::Mmap;
use std::{fs::File, io::ErrorKind, path::Path};

const VMLINUX: &str = "the uncompressed vmlinux with debug info is needed \
                       (the file of that name in the kernel's build directory)";

/// Maps `path` for reading.
pub fn map(path: &Path) -> Result<Mmap, ImageError> {
    let failed = |why: std::io::Error| match why.kind() {
        ErrorKind::NotFound => ImageError::Absent(path.to_owned()),
        ErrorKind::PermissionDenied => ImageError::Permission(path.to_owned()),
        _ => ImageError::Io { path: path.to_owned(), why },
    };
    // Asked before opening: opening a FIFO without a writer would wait.
    let meta = std::fs::metadata(path).map_err(failed)?;
    if !meta.is_file() {
        return Err(ImageError::NotAFile(path.to_owned()));
    }
    if meta.len() == 0 {
        return Err(ImageError::Empty(path.to_owned()));
    }
    let file = File::open(path).map_err(failed)?;
    map_file(&file).map_err(failed)
}

/// The one `unsafe` of this crate.
#[allow(unsafe_code)]
fn map_file(file: &File) -> std::io::Result<Mmap> {
    // SAFETY: the map is private and read-only, and outlives every slice of
    // it because `Image` owns it and lends by reference. What Rust can't rule
    // out is that another process changes or shortens the file meanwhile. A
    // change in place could give other bytes, which every reader here treats
    // as hostile anyway and bounds-checks; nothing is cached as `str` without
    // a check at use. Shortening raises SIGBUS, which ends the program; tools
    // that read vmlinux this way (perf, drgn, gdb) accept that, and the
    // kernel's build replaces vmlinux by a new file rather than in place.
    unsafe { Mmap::map(file) }
}

/// What a file that is no ELF looks like, as an error.
pub fn not_elf(path: &Path, bytes: &[u8]) -> ImageError {
    let starts = |magic: &[u8]| bytes.starts_with(magic);
    let packed = "unpack it first";
    let (looks, wanted) = if bytes.get(0x202..0x206) == Some(b"HdrS") {
        ("a bootable kernel (bzImage)", VMLINUX)
    } else if starts(&[0x1f, 0x8b]) {
        ("compressed with gzip", packed)
    } else if starts(&[0xfd, b'7', b'z', b'X', b'Z', 0]) {
        ("compressed with xz", packed)
    } else if starts(&[0x28, 0xb5, 0x2f, 0xfd]) {
        ("compressed with zstd", packed)
    } else if starts(b"!<arch>\n") {
        ("an archive", VMLINUX)
    } else if starts(b"MZ") {
        ("an EFI program", VMLINUX)
    } else if is_text(bytes) {
        ("text", VMLINUX)
    } else {
        ("data of an unknown kind", VMLINUX)
    };
    ImageError::NotElf { path: path.to_owned(), looks, wanted }
}

fn is_text(bytes: &[u8]) -> bool {
    let head = &bytes[..bytes.len().min(512)];
    head.iter().all(|&b| b >= 0x20 && b != 0x7f || matches!(b, b'\n' | b'\r' | b'\t'))
}
