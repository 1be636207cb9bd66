//! Opening a file by memory map, or unpacked into memory.

use crate::image::{
    ImageError,
    packed::{self, Packing},
};
use memmap2::Mmap;
use std::{fs::File, io::ErrorKind, ops::Deref, path::Path, sync::atomic::AtomicBool};

/// The contents of a file.
pub enum Bytes {
    /// As it lies on the disk.
    Mapped(Mmap),
    /// Unpacked.
    Unpacked(Vec<u8>),
}

impl Deref for Bytes {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        match self {
            Bytes::Mapped(map) => map,
            Bytes::Unpacked(bytes) => bytes,
        }
    }
}

/// The contents of `path`, unpacked when it is packed.
pub fn read(path: &Path, cancel: &AtomicBool) -> Result<Bytes, ImageError> {
    let map = map(path)?;
    match Packing::of(&map) {
        Some(packing) => packed::unpack(path, packing, &map, cancel).map(Bytes::Unpacked),
        None => Ok(Bytes::Mapped(map)),
    }
}

/// Whether `path` has to be unpacked, and how many bytes it has then at least:
/// for who must decide where to open it.
pub fn packed_size(path: &Path) -> Option<u64> {
    let map = map(path).ok()?;
    Packing::of(&map).map(|_| map.len() as u64)
}

fn map(path: &Path) -> Result<Mmap, ImageError> {
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
