//! What a file that can't be used is, and which one is wanted instead: told by
//! the release, where it is known, with the place where distributions put it.

use crate::image::ImageError;
use std::path::Path;

/// What a file that is no ELF looks like, as an error.
pub fn not_elf(path: &Path, bytes: &[u8]) -> ImageError {
    let starts = |magic: &[u8]| bytes.starts_with(magic);
    let release = bzimage_release(bytes);
    let looks = if bytes.get(0x202..0x206) == Some(b"HdrS") {
        "a bootable kernel"
    } else if starts(b"MZ") {
        "an EFI program"
    } else if starts(b"!<arch>\n") {
        "an archive"
    } else if starts(b"070701") {
        "an initial RAM disk (cpio)"
    } else if is_text(bytes) {
        "text"
    } else {
        "data of an unknown kind"
    };
    let wanted = match &release {
        Some(release) => format!("wanted is the vmlinux of {release}"),
        None => "wanted is a vmlinux with debug info".to_owned(),
    };
    ImageError::NotElf { path: path.to_owned(), looks: looks.to_owned(), wanted, release }
}

/// The release in the header of a bzImage: the first word of the text that
/// `kernel_version` at 0x20e points to, 0x200 bytes further
/// (Documentation/arch/x86/boot.rst, protocol 2.00 and later).
pub fn bzimage_release(bytes: &[u8]) -> Option<String> {
    if bytes.get(0x202..0x206)? != b"HdrS" {
        return None;
    }
    let at = usize::from(u16::from_le_bytes(bytes.get(0x20e..0x210)?.try_into().ok()?));
    if at == 0 {
        return None;
    }
    let text = bytes.get(at + 0x200..)?;
    // `utsname.release` has 65 bytes.
    let word: Vec<u8> =
        text.iter().take(65).copied().take_while(|byte| byte.is_ascii_graphic()).collect();
    (word.len() < 65).then(|| String::from_utf8(word).ok()).flatten().filter(|w| !w.is_empty())
}

/// Where the vmlinux of a release comes from, a sentence each, the likely
/// first. Without a release, or with one that tells no distribution: the build
/// directory.
pub fn sources(release: Option<&str>, build_id: Option<&str>) -> Vec<String> {
    let mut told = Vec::new();
    let build = "a kernel built by hand has it in its build directory, as vmlinux";
    if let Some(release) = release {
        let place = |package: String, file: String| format!("package {package} puts it at {file}");
        let libs = format!("/usr/lib/debug/lib/modules/{release}/vmlinux");
        let boot = format!("/usr/lib/debug/boot/vmlinux-{release}");
        match distribution(release) {
            Some(Distribution::Debian) => {
                told.push(place(format!("linux-image-{release}-dbg"), boot));
            }
            Some(Distribution::Ubuntu) => {
                told.push(place(format!("linux-image-{release}-dbgsym of ddebs.ubuntu.com"), boot))
            }
            Some(Distribution::Fedora) => {
                told.push(place(format!("kernel-debuginfo-{release}"), libs));
            }
            Some(Distribution::Suse) => told.push(place(
                "kernel-default-debuginfo".to_owned(),
                format!("/usr/lib/debug, vmlinux-{release}.debug"),
            )),
            None => {}
        }
    }
    if told.is_empty() {
        told.push(build.to_owned());
    }
    if let Some(id) = build_id {
        told.push(format!("`debuginfod-find debuginfo {id}` fetches it where a server has it"));
    }
    told
}

enum Distribution {
    Debian,
    Ubuntu,
    Fedora,
    Suse,
}

/// Who builds kernels with releases like this one.
fn distribution(release: &str) -> Option<Distribution> {
    let ends = |endings: &[&str]| endings.iter().any(|ending| release.ends_with(ending));
    if ends(&["-generic", "-lowlatency", "-aws", "-azure", "-gcp", "-kvm", "-oem"]) {
        Some(Distribution::Ubuntu)
    } else if release.contains(".fc") || release.contains(".el") {
        Some(Distribution::Fedora)
    } else if ends(&["-default"]) {
        Some(Distribution::Suse)
    } else if ends(&["-amd64"]) {
        Some(Distribution::Debian)
    } else {
        None
    }
}

fn is_text(bytes: &[u8]) -> bool {
    let head = &bytes[..bytes.len().min(512)];
    head.iter().all(|&b| b >= 0x20 && b != 0x7f || matches!(b, b'\n' | b'\r' | b'\t'))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn bzimage(release: &[u8]) -> Vec<u8> {
        let mut bytes = vec![0; 0x1000];
        bytes[..2].copy_from_slice(b"MZ");
        bytes[0x202..0x206].copy_from_slice(b"HdrS");
        bytes[0x20e..0x210].copy_from_slice(&0x300u16.to_le_bytes());
        bytes[0x500..0x500 + release.len()].copy_from_slice(release);
        bytes
    }

    #[test]
    fn a_bzimage_tells_whose_vmlinux_is_wanted_in_one_line() {
        let bytes = bzimage(b"6.1.0-53-amd64 (debian@x) #1 SMP\0");
        assert_eq!(bzimage_release(&bytes).as_deref(), Some("6.1.0-53-amd64"));
        let error = not_elf(Path::new("bzImage"), &bytes).to_string();
        assert_eq!(error, "bzImage is a bootable kernel; wanted is the vmlinux of 6.1.0-53-amd64");
    }

    #[test]
    fn a_header_that_leads_nowhere_gives_no_release() {
        let mut bytes = bzimage(b"6.1\0");
        bytes[0x20e..0x210].copy_from_slice(&0xfff0u16.to_le_bytes());
        assert_eq!(bzimage_release(&bytes), None);
        assert_eq!(bzimage_release(&bytes[..0x20f]), None);
        assert_eq!(bzimage_release(&bzimage(&[b'x'; 200])), None, "no end");
        assert_eq!(bzimage_release(&bzimage(b"\0")), None);
    }

    #[test]
    fn each_distribution_has_its_own_package() {
        let first = |release: &str| sources(Some(release), None).remove(0);
        assert!(first("6.1.0-53-amd64").contains("linux-image-6.1.0-53-amd64-dbg "));
        assert!(first("4.2.0-14-generic").contains("linux-image-4.2.0-14-generic-dbgsym"));
        assert!(first("6.5.6-300.fc39.x86_64").contains("kernel-debuginfo-6.5.6-300.fc39.x86_64"));
        assert!(first("6.4.0-150600.21-default").contains("kernel-default-debuginfo"));
        assert!(first("6.1.192-mine").contains("build directory"));
        assert!(sources(None, Some("abcd"))[1].contains("debuginfod-find debuginfo abcd"));
    }
}
