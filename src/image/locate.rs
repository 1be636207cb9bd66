//! Where files are kept: the vmlinux of a guest, the other half of a file whose
//! debug info was split off, the trees with modules. Paths only; what is in the
//! files is proven by who opens them.
//!
//! Where distributions install, as seen in Debian's packages and told by the
//! documentation of the others: Debian and Ubuntu
//! `/usr/lib/debug/boot/vmlinux-RELEASE` and
//! `/usr/lib/debug/lib/modules/RELEASE/`, Fedora
//! `/usr/lib/debug/lib/modules/RELEASE/vmlinux`, SUSE the same trees with names
//! that end in `.debug`. The build-id tree and `.gnu_debuglink` are described
//! in "Debugging Information in Separate Files" of gdb's manual.

use crate::image::{module_tree, notes};
use std::path::{Path, PathBuf};

/// The directory of separate debug files on every distribution.
pub const DEBUG_DIR: &str = "/usr/lib/debug";

/// Files called `vmlinux…` in one directory that are looked at.
const MOST_IN_DIR: usize = 32;

/// What is known of the kernel whose vmlinux is looked for, and where to look.
#[derive(Clone, Debug, Default)]
pub struct Wanted {
    /// Its `uname -r`.
    pub release: Option<String>,
    /// Its build-id.
    pub build_id: Option<Vec<u8>>,
    /// `--debug-dir`, in order.
    pub debug_dirs: Vec<PathBuf>,
    /// The working directory.
    pub working_dir: PathBuf,
    /// `/`, or where a test has its own.
    pub root: PathBuf,
}

impl Wanted {
    /// The places to look at, in order: those that the user named, the working
    /// directory, then where distributions and builds put it. Without a release
    /// the directories are listed for whatever is called `vmlinux…`.
    pub fn places(&self) -> Vec<PathBuf> {
        let mut places = Vec::new();
        for dir in &self.debug_dirs {
            self.in_debug_dir(dir, &mut places);
        }
        self.in_dir(&self.working_dir, &mut places);
        self.in_debug_dir(&self.root.join(DEBUG_DIR.trim_start_matches('/')), &mut places);
        let modules = self.root.join("lib/modules");
        for release in self.releases(&modules) {
            places.push(modules.join(&release).join("build/vmlinux"));
            places.push(modules.join(&release).join("vmlinux"));
        }
        self.in_dir(&self.root.join("boot"), &mut places);
        let mut seen = std::collections::HashSet::new();
        places.retain(|place| seen.insert(place.clone()));
        places
    }

    /// The directories of [`Wanted::places`], to tell where it was looked.
    pub fn directories(&self) -> Vec<PathBuf> {
        let release = self.release.as_deref().unwrap_or("*");
        let mut dirs = self.debug_dirs.clone();
        dirs.push(self.working_dir.clone());
        for dir in [DEBUG_DIR, &format!("/lib/modules/{release}/build"), "/boot"] {
            dirs.push(self.root.join(dir.trim_start_matches('/')));
        }
        dirs
    }

    /// A tree like that below [`DEBUG_DIR`].
    fn in_debug_dir(&self, dir: &Path, places: &mut Vec<PathBuf>) {
        if let Some(file) = self.build_id.as_deref().and_then(|id| by_build_id(dir, id)) {
            places.push(file);
        }
        self.in_dir(&dir.join("boot"), places);
        for modules in ["lib/modules", "usr/lib/modules"] {
            let modules = dir.join(modules);
            for release in self.releases(&modules) {
                for name in ["vmlinux", "vmlinux.debug"] {
                    places.push(modules.join(&release).join(name));
                }
            }
        }
        self.in_dir(dir, places);
    }

    /// What may be a vmlinux in one directory: by the names it should have,
    /// then by whatever begins like it.
    fn in_dir(&self, dir: &Path, places: &mut Vec<PathBuf>) {
        if let Some(release) = &self.release {
            for ending in ["", ".debug", ".gz", ".xz", ".zst"] {
                places.push(dir.join(format!("vmlinux-{release}{ending}")));
            }
        }
        places.push(dir.join("vmlinux"));
        // Another release in the name is a promise that it is another kernel.
        let other = |name: &str| {
            let digit = name.strip_prefix("vmlinux-").and_then(|rest| rest.chars().next());
            self.release.is_some() && digit.is_some_and(|c| c.is_ascii_digit())
        };
        let mut names = listed(dir, |name| name.starts_with("vmlinux") && !other(name));
        names.retain(|name| !name.ends_with(".o") && !name.ends_with(".cmd"));
        names.truncate(MOST_IN_DIR);
        places.extend(names.into_iter().map(|name| dir.join(name)));
    }

    /// The release, or every one there is.
    fn releases(&self, modules: &Path) -> Vec<String> {
        match &self.release {
            Some(release) => vec![release.clone()],
            None => listed(modules, |_| true).into_iter().take(MOST_IN_DIR).collect(),
        }
    }
}

/// Names in a directory that are wanted, sorted.
fn listed(dir: &Path, wanted: impl Fn(&str) -> bool) -> Vec<String> {
    /// A directory with more entries is not listed to its end.
    const MOST: usize = 20_000;
    let Ok(entries) = std::fs::read_dir(dir) else { return Vec::new() };
    let names = entries.take(MOST).flatten().map(|e| e.file_name().to_string_lossy().into_owned());
    let mut names: Vec<String> = names.filter(|name| wanted(name)).collect();
    names.sort();
    names
}

/// The place of a build-id in the tree of `dir`.
fn by_build_id(dir: &Path, id: &[u8]) -> Option<PathBuf> {
    let (first, rest) = id.split_at_checked(1)?;
    let name = format!("{}.debug", notes::hex(rest));
    Some(dir.join(".build-id").join(notes::hex(first)).join(name))
}

/// Where the debug info of the stripped file `path` may be: in the build-id
/// trees, then by the name in its `.gnu_debuglink` beside it, in `.debug`
/// there, and below each debug directory in the same place; then below each
/// debug directory by its own name, with and without `.debug`, which is how
/// Debian, whose modules have no link, and Ubuntu keep those of modules.
pub fn debug_files(
    path: &Path,
    build_id: Option<&[u8]>,
    link: Option<&Path>,
    debug_dirs: &[PathBuf],
) -> Vec<PathBuf> {
    let mut places = Vec::new();
    let dirs = || debug_dirs.iter().map(PathBuf::as_path).chain([Path::new(DEBUG_DIR)]);
    if let Some(id) = build_id {
        places.extend(dirs().filter_map(|dir| by_build_id(dir, id)));
    }
    // The file's own directory, with links resolved: the link was made there.
    let whole = path.canonicalize().unwrap_or_else(|_| path.to_owned());
    if let (Some(name), Some(home)) = (link, whole.parent()) {
        places.push(home.join(name));
        places.push(home.join(".debug").join(name));
        for dir in dirs() {
            if let Ok(below) = home.strip_prefix("/") {
                places.push(dir.join(below).join(name));
            }
        }
    }
    if let (Some(home), Some(name)) = (whole.parent(), whole.file_name()) {
        let name = name.to_string_lossy();
        let packed = [".xz", ".gz", ".zst"].iter().find_map(|ending| name.strip_suffix(ending));
        let plain = packed.unwrap_or(&name);
        places.push(home.join(format!("{plain}.debug")));
        for dir in dirs() {
            let Ok(below) = home.strip_prefix("/") else { continue };
            places.push(dir.join(below).join(plain));
            places.push(dir.join(below).join(format!("{plain}.debug")));
        }
    }
    places
}

/// Where the bytes of `path`, a file with debug info only, may be: the same
/// name without `.debug`, packed or not, beside it and, when it is below a
/// debug directory, in the place it is about.
pub fn stripped_files(path: &Path, debug_dirs: &[PathBuf]) -> Vec<PathBuf> {
    let whole = path.canonicalize().unwrap_or_else(|_| path.to_owned());
    let (Some(home), Some(name)) = (whole.parent(), whole.file_name()) else { return Vec::new() };
    let name = name.to_string_lossy();
    let plain = name.strip_suffix(".debug").unwrap_or(&name);
    let mut homes = vec![home.to_owned()];
    if home.ends_with(".debug") {
        homes.extend(home.parent().map(Path::to_owned));
    }
    for dir in debug_dirs.iter().map(PathBuf::as_path).chain([Path::new(DEBUG_DIR)]) {
        let dir = dir.canonicalize().unwrap_or_else(|_| dir.to_owned());
        if let Ok(below) = home.strip_prefix(&dir) {
            homes.push(Path::new("/").join(below));
        }
    }
    let mut places = Vec::new();
    for home in homes {
        for ending in ["", ".xz", ".zst", ".gz"] {
            places.push(home.join(format!("{plain}{ending}")));
        }
    }
    places
}

/// The trees that may have the modules of a guest, and how many levels of
/// directories of each are looked at: those the user named, those of
/// distributions, the neighbourhood of the vmlinux (a build directory has its
/// modules below itself), the working directory.
pub fn module_trees(
    module_paths: &[PathBuf],
    debug_dirs: &[PathBuf],
    vmlinux: Option<&Path>,
    release: Option<&str>,
) -> Vec<(PathBuf, usize)> {
    let mut trees: Vec<(PathBuf, usize)> = Vec::new();
    // `/lib` is a link to `/usr/lib` nowadays, and nothing is looked through twice.
    let mut seen: Vec<(PathBuf, usize)> = Vec::new();
    let mut add = |dir: PathBuf, levels: usize| {
        let Some(real) = dir.canonicalize().ok().filter(|real| real.is_dir()) else { return };
        if !seen.iter().any(|(other, deep)| *other == real && *deep >= levels) {
            seen.push((real, levels));
            trees.push((dir, levels));
        }
    };
    // The link to the tree that the modules were built in, as `make
    // modules_install` leaves it: they are not stripped there.
    let mut add_tree = |dir: PathBuf| {
        let build = dir.join("build");
        add(dir, module_tree::DEEP);
        if build.is_symlink() {
            add(build, module_tree::DEEP);
        }
    };
    for dir in module_paths.iter().chain(debug_dirs) {
        add_tree(dir.clone());
    }
    let beside = vmlinux.and_then(Path::parent).map(|dir| match dir.as_os_str().is_empty() {
        true => Path::new("."),
        false => dir,
    });
    let installed = |top: &Path| {
        ["lib/modules", "usr/lib/modules"]
            .map(|modules| top.join(modules).join(release.unwrap_or("")))
    };
    if let (Some(boot), Some(_)) = (beside.filter(|dir| dir.ends_with("boot")), release) {
        // An unpacked debug package, wherever it lies.
        for dir in boot.parent().map(installed).into_iter().flatten() {
            add_tree(dir);
        }
    }
    if release.is_some() {
        for top in [DEBUG_DIR, "/"] {
            installed(Path::new(top)).into_iter().for_each(&mut add_tree);
        }
    }
    if let Some(dir) = beside {
        add_tree(dir.to_owned());
    }
    // Where the vmlinux really is, when it is given by a link.
    let real = vmlinux.filter(|path| path.is_symlink()).and_then(|path| path.canonicalize().ok());
    if let Some(dir) = real.as_deref().and_then(Path::parent) {
        add(dir.to_owned(), module_tree::DEEP);
    }
    add(PathBuf::from("."), module_tree::SHALLOW);
    trees
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;

    fn wanted(root: &Path, release: Option<&str>) -> Wanted {
        Wanted {
            release: release.map(str::to_owned),
            build_id: Some(vec![0xab, 0xcd, 0xef]),
            debug_dirs: vec![root.join("mine")],
            working_dir: root.join("here"),
            root: root.to_owned(),
        }
    }

    #[test]
    fn a_release_leads_to_the_places_of_distributions_in_their_order() {
        let dir = tempfile::tempdir().unwrap();
        fs::create_dir_all(dir.path().join("here")).unwrap();
        for name in ["vmlinux", "vmlinux-old", "vmlinux-5.0", "vmlinux.o"] {
            fs::write(dir.path().join("here").join(name), b"x").unwrap();
        }
        let places = wanted(dir.path(), Some("6.1-x")).places();
        let place = |path: &str| {
            let at = places.iter().position(|place| *place == dir.path().join(path));
            at.unwrap_or_else(|| panic!("{path} is not among {places:#?}"))
        };
        let order = [
            "mine/.build-id/ab/cdef.debug",
            "mine/boot/vmlinux-6.1-x",
            "here/vmlinux-6.1-x",
            "here/vmlinux",
            "here/vmlinux-old",
            "usr/lib/debug/.build-id/ab/cdef.debug",
            "usr/lib/debug/boot/vmlinux-6.1-x",
            "usr/lib/debug/lib/modules/6.1-x/vmlinux",
            "lib/modules/6.1-x/build/vmlinux",
            "boot/vmlinux-6.1-x",
        ];
        assert!(order.map(place).is_sorted(), "{places:#?}");
        let absent = ["here/vmlinux.o", "here/vmlinux-5.0"].map(|path| dir.path().join(path));
        assert!(!places.iter().any(|place| absent.contains(place)), "{places:#?}");
    }

    #[test]
    fn without_a_release_whatever_is_called_vmlinux_is_looked_at() {
        let dir = tempfile::tempdir().unwrap();
        for file in ["boot/vmlinux-6.1", "boot/vmlinuz-6.1", "lib/modules/6.2/build/vmlinux"] {
            let file = dir.path().join(file);
            fs::create_dir_all(file.parent().unwrap()).unwrap();
            fs::write(file, b"x").unwrap();
        }
        let mut places = wanted(dir.path(), None).places();
        places.retain(|place| place.exists());
        let at = |path: &str| dir.path().join(path);
        assert_eq!(places, [at("lib/modules/6.2/build/vmlinux"), at("boot/vmlinux-6.1")]);
    }

    #[test]
    fn the_other_half_is_beside_or_in_the_same_place_of_a_debug_tree() {
        let debug = PathBuf::from("/d");
        let link = Some(Path::new("x.ko.debug"));
        let found = debug_files(
            Path::new("/lib/m/x.ko"),
            Some(&[1, 2]),
            link,
            std::slice::from_ref(&debug),
        );
        for place in [
            "/d/.build-id/01/02.debug",
            "/usr/lib/debug/.build-id/01/02.debug",
            "/lib/m/x.ko.debug",
            "/lib/m/.debug/x.ko.debug",
            "/d/lib/m/x.ko.debug",
            "/usr/lib/debug/lib/m/x.ko.debug",
        ] {
            assert!(found.contains(&PathBuf::from(place)), "{place}: {found:?}");
        }
        let found = debug_files(Path::new("/lib/m/x.ko.zst"), None, None, &[]);
        assert!(found.contains(&PathBuf::from("/usr/lib/debug/lib/m/x.ko")), "{found:?}");
        let back = stripped_files(Path::new("/d/lib/m/x.ko.debug"), &[debug]);
        assert!(back.contains(&PathBuf::from("/d/lib/m/x.ko")), "{back:?}");
        assert!(back.contains(&PathBuf::from("/lib/m/x.ko.xz")), "{back:?}");
        let hidden = stripped_files(Path::new("/m/.debug/x.ko.debug"), &[]);
        assert!(hidden.contains(&PathBuf::from("/m/x.ko")), "{hidden:?}");
        let nameless = debug_files(Path::new("/"), Some(&[]), None, &[]);
        assert!(nameless.is_empty(), "{nameless:?}");
    }

    #[test]
    fn modules_are_looked_for_where_the_user_says_and_around_the_vmlinux() {
        let dir = tempfile::tempdir().unwrap();
        let at = |path: &str| dir.path().join(path);
        for path in ["mine", "debug/boot", "debug/lib/modules/6.1-x", "tree"] {
            fs::create_dir_all(at(path)).unwrap();
        }
        let link = |to: &str, from: &str| std::os::unix::fs::symlink(at(to), at(from)).unwrap();
        link("tree", "debug/lib/modules/6.1-x/build");
        link("mine", "same");
        link("tree", "mine/build");
        let vmlinux = at("debug/boot/vmlinux-6.1-x");
        let trees = |release| {
            let given = ["mine", "same", "absent"].map(at);
            module_trees(&given, &[at("debug")], Some(&vmlinux), release)
        };
        let deep = |path: &str| (at(path), module_tree::DEEP);
        let here = (PathBuf::from("."), module_tree::SHALLOW);
        let found = trees(Some("6.1-x"));
        assert_eq!(
            found,
            [
                deep("mine"),
                // Where those of it were built.
                deep("mine/build"),
                deep("debug"),
                // What an unpacked debug package has beside its boot directory.
                deep("debug/lib/modules/6.1-x"),
                deep("debug/boot"),
                here.clone(),
            ]
        );
        let mine = [deep("mine"), deep("mine/build")];
        let others = [deep("debug"), deep("debug/boot"), here.clone()];
        assert_eq!(trees(None), [&mine[..], &others[..]].concat());
        fs::write(&vmlinux, b"x").unwrap();
        std::os::unix::fs::symlink(&vmlinux, at("mine/vmlinux")).unwrap();
        let linked = module_trees(&[], &[], Some(&at("mine/vmlinux")), None);
        assert_eq!(linked, [&mine[..], &[deep("debug/boot"), here]].concat());
    }
}
