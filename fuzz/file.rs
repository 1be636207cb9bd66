//! An input as a file: images are opened by path.

use std::{fs, path::Path, path::PathBuf, sync::OnceLock};

/// Gives the bytes as a file, one of this process's own.
pub fn with(bytes: &[u8], work: impl FnOnce(&Path)) {
    static PATH: OnceLock<PathBuf> = OnceLock::new();
    let path = PATH.get_or_init(|| {
        // A memory file system where there is one: inputs come by thousands.
        let dir = Path::new("/dev/shm");
        let dir = if dir.is_dir() { dir.to_path_buf() } else { std::env::temp_dir() };
        dir.join(format!("kgdb-tui-fuzz-{}", std::process::id()))
    });
    fs::write(path, bytes).expect("the input can be written");
    work(path);
    let _ = fs::remove_file(path);
}
