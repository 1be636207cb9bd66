//! Which files below a directory may be modules: `.ko` by name, found once for
//! all modules of a guest.

use rustc_hash::FxHashMap;
use std::{
    collections::VecDeque,
    path::{Path, PathBuf},
};

/// Directory entries looked at in one tree at most. A kernel build tree has
/// some 100,000.
const MAX_ENTRIES: usize = 400_000;

/// Levels of directories below the root of a tree of modules.
pub const DEEP: usize = 12;

/// Levels of directories below a place that is not known to be about kernels,
/// such as a working directory: it may be somebody's home.
pub const SHALLOW: usize = 2;

/// The module files below one directory.
#[derive(Clone, Debug, Default)]
pub struct ModuleTree {
    by_name: FxHashMap<String, Vec<PathBuf>>,
}

impl ModuleTree {
    /// Looks through `root` and `levels` of directories below. Links to
    /// directories are not followed, so there is no loop (build trees have
    /// them).
    pub fn scan(root: &Path, levels: usize) -> ModuleTree {
        let mut tree = ModuleTree::default();
        let mut budget = MAX_ENTRIES;
        let mut queue = VecDeque::from([(root.to_owned(), 0)]);
        while let Some((dir, depth)) = queue.pop_front() {
            let Ok(entries) = std::fs::read_dir(&dir) else { continue };
            let mut here = Vec::new();
            for entry in entries.flatten() {
                if budget == 0 {
                    return tree;
                }
                budget -= 1;
                let Ok(kind) = entry.file_type() else { continue };
                if kind.is_dir() {
                    if depth < levels {
                        queue.push_back((entry.path(), depth + 1));
                    }
                } else if let Some(name) = module_of(&entry.file_name().to_string_lossy()) {
                    here.push((entry.path(), name));
                }
            }
            here.sort();
            for (path, name) in here {
                tree.by_name.entry(name).or_default().push(path);
            }
        }
        tree
    }

    /// Files that may be module `name` (as the guest says it, without `.ko`),
    /// nearer the root first, a `.ko.debug` after the `.ko` of its directory.
    /// `-` and `_` are the same in a file name, as the kernel's `modname` makes
    /// them.
    pub fn files(&self, name: &str) -> &[PathBuf] {
        self.by_name.get(&name.replace('-', "_")).map_or(&[], Vec::as_slice)
    }
}

/// The module that a file of this name has, as the kernel names it.
fn module_of(file: &str) -> Option<String> {
    const ENDINGS: [&str; 5] = [".ko", ".ko.debug", ".ko.xz", ".ko.gz", ".ko.zst"];
    let stem = ENDINGS.iter().find_map(|ending| file.strip_suffix(ending))?;
    (!stem.is_empty()).then(|| stem.replace('-', "_"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;

    #[test]
    fn dashes_are_underscores_and_the_nearest_comes_first() {
        let dir = tempfile::tempdir().unwrap();
        let at = |path: &str| dir.path().join(path);
        fs::create_dir_all(at("drivers/net/deep")).unwrap();
        for file in [
            "drivers/net/deep/snd_pcm.ko.zst",
            "drivers/net/snd-pcm.ko.debug",
            "drivers/net/snd-pcm.ko",
            "drivers/snd-pcm-oss.ko",
            "vmlinux",
        ] {
            fs::write(at(file), b"x").unwrap();
        }
        std::os::unix::fs::symlink(dir.path(), at("drivers/loop")).unwrap();
        let tree = ModuleTree::scan(dir.path(), DEEP);
        assert_eq!(
            tree.files("snd_pcm"),
            [
                at("drivers/net/snd-pcm.ko"),
                at("drivers/net/snd-pcm.ko.debug"),
                at("drivers/net/deep/snd_pcm.ko.zst"),
            ]
        );
        assert_eq!(tree.files("snd-pcm"), tree.files("snd_pcm"));
        assert!(tree.files("vmlinux").is_empty());
        let tree = ModuleTree::scan(dir.path(), 1);
        assert!(tree.files("snd_pcm").is_empty(), "too deep");
        assert_eq!(tree.files("snd_pcm_oss").len(), 1);
    }
}
