//! Where a module's file may be: the trees the user named, then the tree the
//! vmlinux is in (a build directory has its modules below itself).

use std::{
    collections::VecDeque,
    path::{Path, PathBuf},
};

/// Directory entries looked at in one search at most. A kernel build tree has
/// some 100,000.
const MAX_ENTRIES: usize = 400_000;
/// Levels of directories below each root.
const MAX_DEPTH: usize = 12;

/// Files that may be module `name` (as the guest says it, without `.ko`), best
/// first: the order of `dirs`, then the directory of `beside` (the vmlinux)
/// and below; nearer the root first. `-` and `_` are the same in a file name,
/// as the kernel's `modname` makes them. A `.ko.debug` comes after a `.ko`
/// of the same directory.
pub fn find_module(name: &str, dirs: &[PathBuf], beside: &Path) -> Vec<PathBuf> {
    let mut roots: Vec<&Path> = dirs.iter().map(PathBuf::as_path).collect();
    roots.extend(beside.parent().map(|dir| match dir.as_os_str().is_empty() {
        true => Path::new("."),
        false => dir,
    }));
    let wanted = name.replace('-', "_");
    let mut found = Vec::new();
    let mut budget = MAX_ENTRIES;
    for root in roots {
        search(root, &wanted, &mut budget, &mut found);
    }
    found
}

fn search(root: &Path, wanted: &str, budget: &mut usize, found: &mut Vec<PathBuf>) {
    let mut queue = VecDeque::from([(root.to_owned(), 0)]);
    while let Some((dir, depth)) = queue.pop_front() {
        let Ok(entries) = std::fs::read_dir(&dir) else { continue };
        let mut here = Vec::new();
        for entry in entries.flatten() {
            if *budget == 0 {
                return;
            }
            *budget -= 1;
            // The type of the entry itself: links to directories are not
            // followed, so there is no loop (build trees have them).
            let Ok(kind) = entry.file_type() else { continue };
            if kind.is_dir() {
                if depth < MAX_DEPTH {
                    queue.push_back((entry.path(), depth + 1));
                }
            } else if is_module_file(&entry.file_name().to_string_lossy(), wanted) {
                here.push(entry.path());
            }
        }
        here.sort();
        for path in here {
            if !found.contains(&path) {
                found.push(path);
            }
        }
    }
}

fn is_module_file(file: &str, wanted: &str) -> bool {
    const ENDINGS: [&str; 5] = [".ko", ".ko.debug", ".ko.xz", ".ko.gz", ".ko.zst"];
    let stem = ENDINGS.iter().find_map(|ending| file.strip_suffix(ending));
    stem.is_some_and(|stem| stem.replace('-', "_") == wanted)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;

    #[test]
    fn user_trees_come_first_and_dashes_are_underscores() {
        let dir = tempfile::tempdir().unwrap();
        let at = |path: &str| dir.path().join(path);
        for sub in ["mine/a/b", "build/drivers/net"] {
            fs::create_dir_all(at(sub)).unwrap();
        }
        for file in [
            "mine/a/b/snd-pcm.ko",
            "mine/a/b/snd-pcm.ko.debug",
            "build/drivers/net/snd_pcm.ko",
            "build/vmlinux",
            "build/drivers/snd-pcm-oss.ko",
        ] {
            fs::write(at(file), b"x").unwrap();
        }
        std::os::unix::fs::symlink(at("build"), at("build/drivers/loop")).unwrap();
        let found = find_module("snd_pcm", &[at("mine"), at("absent")], &at("build/vmlinux"));
        assert_eq!(
            found,
            [
                at("mine/a/b/snd-pcm.ko"),
                at("mine/a/b/snd-pcm.ko.debug"),
                at("build/drivers/net/snd_pcm.ko")
            ]
        );
        assert!(find_module("absent", &[], &at("build/vmlinux")).is_empty());
    }
}
