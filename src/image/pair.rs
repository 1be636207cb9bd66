//! A file and its other half, where the debug info was split from the code.
//!
//! Distributions ship the code stripped and the debug info in a file of its own
//! (`objcopy --only-keep-debug`, `eu-strip -f`). That one has every section,
//! but the loaded ones without bytes (NOBITS). So sections, their indexes and
//! addresses, symbols and DWARF come from the half with the debug info, and the
//! bytes of code and tables (`.orc_*`, `.notes`) from the other.
//!
//! Two files are halves of one when their build-ids agree; where one has none,
//! by the CRC-32 that `.gnu_debuglink` holds. Nothing else is taken.

use crate::image::{
    ImageError,
    file::{Image, Kind},
    locate, notes,
};
use std::{
    path::{Path, PathBuf},
    sync::atomic::AtomicBool,
};

/// Opens `path`, and its other half where it needs one and that is found.
/// `debug_dirs` are looked in before [`locate::DEBUG_DIR`].
///
/// Without the other half the image is as it is: without debug info, or
/// without bytes; [`Image::remarks`] tells of those that don't fit.
pub fn open(path: &Path, debug_dirs: &[PathBuf], cancel: &AtomicBool) -> Result<Image, ImageError> {
    let image = Image::open_until(path, cancel)?;
    if !image.has_dwarf() {
        with_debug_info(image, debug_dirs, cancel)
    } else if image.is_debug_only() {
        with_body(image, debug_dirs, cancel)
    } else {
        Ok(image)
    }
}

/// Finds the debug info of a stripped file.
fn with_debug_info(
    mut stripped: Image,
    debug_dirs: &[PathBuf],
    cancel: &AtomicBool,
) -> Result<Image, ImageError> {
    let link = stripped.debug_link();
    let name = link.as_ref().map(|(name, _)| name.as_path());
    let places = locate::debug_files(stripped.path(), stripped.build_id(), name, debug_dirs);
    let mut remarks = Vec::new();
    for place in others(&stripped, places) {
        let mut debug = match Image::open_until(&place, cancel) {
            Ok(image) => image,
            Err(ImageError::Cancelled(path)) => return Err(ImageError::Cancelled(path)),
            Err(error) => {
                remarks.push(error.to_string());
                continue;
            }
        };
        let crc = link.as_ref().map(|(_, crc)| *crc);
        match fits(&debug, &stripped, crc) {
            Ok(()) if debug.has_dwarf() => {
                if debug.is_debug_only() {
                    debug.take_body(stripped);
                }
                return Ok(debug);
            }
            Ok(()) => {}
            Err(why) => remarks.push(why),
        }
    }
    stripped.remark(remarks);
    Ok(stripped)
}

/// Finds the bytes of a file with debug info only.
fn with_body(
    mut debug: Image,
    debug_dirs: &[PathBuf],
    cancel: &AtomicBool,
) -> Result<Image, ImageError> {
    let mut remarks = Vec::new();
    for place in others(&debug, locate::stripped_files(debug.path(), debug_dirs)) {
        let body = match Image::open_until(&place, cancel) {
            Ok(image) => image,
            Err(ImageError::Cancelled(path)) => return Err(ImageError::Cancelled(path)),
            Err(error) => {
                remarks.push(error.to_string());
                continue;
            }
        };
        let crc = body.debug_link().map(|(_, crc)| crc);
        match fits(&debug, &body, crc) {
            Ok(()) if !body.is_debug_only() => {
                debug.take_body(body);
                return Ok(debug);
            }
            Ok(()) => {}
            Err(why) => remarks.push(why),
        }
    }
    debug.remark(remarks);
    Ok(debug)
}

/// The files among `places` that are there, and are not the one we have.
fn others(have: &Image, places: Vec<PathBuf>) -> impl Iterator<Item = PathBuf> + use<> {
    let same = have.path().canonicalize().ok();
    places.into_iter().filter(move |place| place.is_file() && place.canonicalize().ok() != same)
}

/// Whether they are halves of one file; if not, why.
fn fits(debug: &Image, body: &Image, crc: Option<u32>) -> Result<(), String> {
    let kinds = [debug.kind(), body.kind()];
    if kinds.contains(&Kind::Relocatable) && kinds[0] != kinds[1] {
        return Err(format!("{} is another kind of file", debug.path().display()));
    }
    let (debug_path, body_path) = (debug.path().display(), body.path().display());
    match (debug.build_id(), body.build_id(), crc) {
        (Some(debug_id), Some(body_id), _) if debug_id == body_id => Ok(()),
        (Some(debug_id), Some(body_id), _) => Err(format!(
            "{debug_path} is of another build than {body_path}: its build-id is {}, not {}",
            notes::hex(debug_id),
            notes::hex(body_id)
        )),
        (_, _, Some(crc)) if crc_of(debug.raw()) == crc => Ok(()),
        (_, _, Some(crc)) => Err(format!(
            "{debug_path} is not the debug info of {body_path}: its CRC is {:08x}, not {crc:08x}",
            crc_of(debug.raw())
        )),
        (_, _, None) => Err(format!(
            "{debug_path} and {body_path} have no build-id to prove that they belong together"
        )),
    }
}

/// The CRC-32 of `.gnu_debuglink`, which is that of gzip.
fn crc_of(bytes: &[u8]) -> u32 {
    let mut crc = flate2::Crc::new();
    crc.update(bytes);
    crc.sum()
}
