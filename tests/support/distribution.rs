//! A distribution's kernel with debug info: Debian's package of it, 860 MB to
//! download and 6 GB unpacked. Only for those who ask, with `KGDB_TUI_BIG=1`.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on has failed")]
#![allow(dead_code, reason = "each test program uses a part of it")]

use super::tools;
use kgdb_tui::demo::build::Recipe;
use std::{
    fs::{self, File},
    path::{Path, PathBuf},
    process::Command,
};

/// The files that are compared.
pub struct Files {
    /// Linked, with DWARF 5, BTF, and relocations that must not be applied.
    pub vmlinux: PathBuf,
    /// Some large modules.
    pub modules: Vec<PathBuf>,
}

/// The files, downloaded at the first time; `None` unless they are asked for.
pub fn files() -> Option<Files> {
    if std::env::var_os("KGDB_TUI_BIG").is_none_or(|value| value.is_empty()) {
        return None;
    }
    let root = root();
    let boot = fs::read_dir(root.join("usr/lib/debug/boot")).unwrap();
    let vmlinux = boot.map(|entry| entry.unwrap().path()).find(|path| is_vmlinux(path)).unwrap();
    let release = vmlinux.file_name().unwrap().to_string_lossy();
    let release = release.strip_prefix("vmlinux-").unwrap().to_owned();
    let of = root.join("usr/lib/debug/lib/modules").join(release).join("kernel");
    let modules = ["fs/xfs/xfs.ko", "fs/ext4/ext4.ko", "net/wireless/cfg80211.ko"];
    Some(Files { vmlinux, modules: modules.iter().map(|path| of.join(path)).collect() })
}

fn is_vmlinux(path: &Path) -> bool {
    path.file_name().is_some_and(|name| name.to_string_lossy().starts_with("vmlinux-"))
}

/// Where the package is unpacked: `KGDB_TUI_BIG` itself when it is a directory,
/// else in the cache.
fn root() -> PathBuf {
    let given = PathBuf::from(std::env::var_os("KGDB_TUI_BIG").unwrap());
    if given.is_dir() {
        return given;
    }
    let cache = Recipe::current().unwrap().cache().join("debian-dbg");
    fs::create_dir_all(&cache).unwrap();
    let lock = File::create(cache.join("lock")).unwrap();
    lock.lock().unwrap();
    let (done, root) = (cache.join("done"), cache.join("root"));
    if !done.exists() {
        let package = newest();
        tools::say(&format!("downloading and unpacking {package} into {}", cache.display()));
        run(Command::new("apt-get").arg("download").arg(&package).current_dir(&cache));
        let found = fs::read_dir(&cache).unwrap().map(|entry| entry.unwrap().path());
        let archive = found.into_iter().find(|path| path.extension().is_some_and(|e| e == "deb"));
        let archive = archive.unwrap();
        run(Command::new("dpkg").arg("-x").arg(&archive).arg(&root));
        fs::remove_file(&archive).unwrap();
        File::create(done).unwrap();
    }
    root
}

/// What the package that follows the newest kernel depends on.
fn newest() -> String {
    let output = Command::new("apt-cache").args(["depends", "linux-image-amd64-dbg"]).output();
    let text = String::from_utf8(output.unwrap().stdout).unwrap();
    let found = text.lines().find_map(|line| line.trim().strip_prefix("Depends: "));
    found.expect("apt-cache knows linux-image-amd64-dbg").to_owned()
}

fn run(command: &mut Command) {
    let status = command.status().unwrap_or_else(|why| panic!("{command:?}: {why}"));
    assert!(status.success(), "{command:?} failed");
}
