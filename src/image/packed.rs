//! Files packed with gzip, xz or zstd: modules as `make modules_install` packs
//! them (`CONFIG_MODULE_COMPRESS_*`), and a packed vmlinux.
//!
//! What it is is told by its first bytes, not by its name. It is unpacked into
//! memory, which is bounded: such a file does not tell its size in advance, and
//! a small one may claim to be endless.

use crate::image::ImageError;
use ruzstd::decoding::{
    StreamingDecoder,
    errors::{FrameDecoderError, ReadFrameHeaderError},
};
use std::{
    io::{self, Read},
    path::Path,
    sync::atomic::{AtomicBool, Ordering},
};

/// How a file is packed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Packing {
    /// RFC 1952.
    Gzip,
    /// The .xz file format, 1.1.
    Xz,
    /// RFC 8878.
    Zstd,
}

/// Never more than this comes out of a file.
const MOST: u64 = 4 << 30;

/// Real debug info packs to a third or a tenth, a symbol table less. What
/// claims more than this many times its size is made to fill the memory.
const MOST_RATIO: u64 = 100;

/// A small file may be packed better than that.
const ALWAYS: u64 = 16 << 20;

/// Memory for the dictionary of an xz stream, in KiB. `xz -9` needs 64 MiB.
const MOST_DICTIONARY: u32 = 256 << 10;

/// Unpacked between two looks at whether it is still wanted.
const STEP: usize = 1 << 20;

impl Packing {
    /// What the first bytes of a file say.
    pub fn of(bytes: &[u8]) -> Option<Packing> {
        const MAGICS: [(&[u8], Packing); 3] = [
            (&[0x1f, 0x8b], Packing::Gzip),
            (&[0xfd, b'7', b'z', b'X', b'Z', 0], Packing::Xz),
            (&[0x28, 0xb5, 0x2f, 0xfd], Packing::Zstd),
        ];
        MAGICS.iter().find(|(magic, _)| bytes.starts_with(magic)).map(|(_, packing)| *packing)
    }

    /// The name of the program that does it.
    pub fn name(self) -> &'static str {
        match self {
            Packing::Gzip => "gzip",
            Packing::Xz => "xz",
            Packing::Zstd => "zstd",
        }
    }
}

/// The contents of a packed ELF file; `path` is for messages.
///
/// # Errors
/// The file is damaged or cut off, what is in it is no ELF file or unreasonably
/// large, or `cancel` was set.
pub fn unpack(
    path: &Path,
    packing: Packing,
    bytes: &[u8],
    cancel: &AtomicBool,
) -> Result<Vec<u8>, ImageError> {
    let most = (bytes.len() as u64).saturating_mul(MOST_RATIO).saturating_add(ALWAYS).min(MOST);
    match packing {
        Packing::Gzip => {
            drain(path, packing, flate2::bufread::MultiGzDecoder::new(bytes), most, cancel)
        }
        Packing::Xz => {
            let reader = lzma_rust2::XzReader::new_mem_limit(bytes, true, MOST_DICTIONARY);
            drain(path, packing, reader, most, cancel)
        }
        Packing::Zstd => drain(path, packing, Frames { rest: bytes, now: None }, most, cancel),
    }
}

fn drain(
    path: &Path,
    packing: Packing,
    mut from: impl Read,
    most: u64,
    cancel: &AtomicBool,
) -> Result<Vec<u8>, ImageError> {
    let broken =
        |why: String| ImageError::Packed { path: path.to_owned(), packing: packing.name(), why };
    let mut out = Vec::new();
    loop {
        if cancel.load(Ordering::Relaxed) {
            return Err(ImageError::Cancelled(path.to_owned()));
        }
        let part = (&mut from).take(STEP as u64).read_to_end(&mut out);
        let part = part.map_err(|why| {
            broken(match why.kind() {
                io::ErrorKind::UnexpectedEof => "it is cut off".to_owned(),
                _ => why.to_string(),
            })
        })?;
        if part == 0 {
            return Ok(out);
        }
        // Whatever else is packed (an initrd, a log) is not unpacked to its end.
        if !out.starts_with(&object::elf::ELFMAG) {
            return Err(ImageError::NotElf {
                path: path.to_owned(),
                looks: format!("packed with {}, and what is in it is no ELF file", packing.name()),
                wanted: "wanted is a vmlinux or a module".to_owned(),
                release: None,
            });
        }
        if out.len() as u64 > most {
            return Err(broken(format!("more than {} MiB come out of it", most >> 20)));
        }
    }
}

/// The contents of all frames of a zstd file.
struct Frames<'a> {
    rest: &'a [u8],
    now: Option<StreamingDecoder<&'a [u8], ruzstd::decoding::FrameDecoder>>,
}

impl Read for Frames<'_> {
    fn read(&mut self, out: &mut [u8]) -> io::Result<usize> {
        loop {
            if let Some(frame) = &mut self.now {
                let count = frame.read(out)?;
                if count > 0 || out.is_empty() {
                    return Ok(count);
                }
            }
            if let Some(frame) = self.now.take() {
                let (told, is) = (
                    frame.decoder.get_checksum_from_data(),
                    frame.decoder.get_calculated_checksum(),
                );
                if told.is_some() && told != is {
                    return Err(io::Error::other("its checksum is wrong"));
                }
                self.rest = frame.into_inner();
            }
            if self.rest.is_empty() {
                return Ok(0);
            }
            match StreamingDecoder::new(self.rest) {
                Ok(frame) => self.now = Some(frame),
                // A frame of somebody else's, such as an index (RFC 8878, 3.1.2).
                Err(FrameDecoderError::ReadFrameHeaderError(ReadFrameHeaderError::SkipFrame {
                    length,
                    ..
                })) => self.rest = self.rest.get(8 + length as usize..).unwrap_or_default(),
                Err(why) => return Err(io::Error::other(why.to_string())),
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::io::Write as _;

    fn elf(len: usize) -> Vec<u8> {
        let mut bytes = b"\x7fELF".to_vec();
        bytes.resize_with(len, || b'x');
        bytes
    }

    fn gzip(bytes: &[u8]) -> Vec<u8> {
        let mut packer = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::best());
        packer.write_all(bytes).unwrap();
        packer.finish().unwrap()
    }

    fn unpacked(bytes: &[u8]) -> Result<Vec<u8>, ImageError> {
        let packing = Packing::of(bytes).unwrap();
        unpack(Path::new("x.ko"), packing, bytes, &AtomicBool::new(false))
    }

    #[test]
    fn gzip_is_unpacked_in_all_its_members() {
        let plain = elf(3 * STEP + 7);
        let (first, rest) = plain.split_at(STEP);
        let packed = [gzip(first), gzip(rest)].concat();
        assert_eq!(unpacked(&packed).unwrap(), plain);
    }

    #[test]
    fn a_bomb_is_stopped_and_said() {
        let packed = gzip(&elf(64 << 20));
        assert!(packed.len() < 1 << 20);
        let error = unpacked(&packed).unwrap_err().to_string();
        assert!(error.contains("MiB come out"), "{error}");
    }

    #[test]
    fn what_is_no_elf_file_is_not_unpacked_to_its_end() {
        let error = unpacked(&gzip(b"070701, an initrd")).unwrap_err().to_string();
        assert!(error.contains("no ELF file"), "{error}");
    }

    #[test]
    fn a_cut_off_file_is_said_to_be() {
        let packed = gzip(&elf(5000));
        let error = unpacked(&packed[..packed.len() - 9]).unwrap_err();
        assert!(matches!(error, ImageError::Packed { .. }), "{error}");
    }

    #[test]
    fn unpacking_stops_when_nobody_wants_it() {
        let packed = gzip(&elf(5000));
        let cancelled = unpack(Path::new("x"), Packing::Gzip, &packed, &AtomicBool::new(true));
        assert!(matches!(cancelled, Err(ImageError::Cancelled(_))));
    }

    proptest! {
        #[test]
        fn any_stream_is_survived(
            which in 0usize..3,
            tail in prop::collection::vec(any::<u8>(), 0..300),
        ) {
            let magics: [&[u8]; 3] =
                [&[0x1f, 0x8b, 8, 0], &[0xfd, b'7', b'z', b'X', b'Z', 0, 0, 1], &[0x28, 0xb5, 0x2f, 0xfd]];
            let mut bytes = magics[which].to_vec();
            bytes.extend(tail);
            let _ = unpacked(&bytes);
        }
    }
}
