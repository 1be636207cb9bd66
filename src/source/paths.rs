//! From the path in debug information to a file on this machine.
//!
//! The order: `--substitute-path` (as in gdb: the first rule whose prefix
//! matches at a `/`), the path as it is, `--source-dir` (longest tail of the
//! path first), then a guess. A guess takes a tail of the path that exists
//! under a directory near vmlinux; it is marked as one, and what it says of
//! one file is tried first for the next.
//!
//! Debian compiles its kernels in a relative directory, so a path may have no
//! root at all; then the whole of it is the tail.

use rustc_hash::FxHashMap;
use std::{
    fmt, fs,
    path::{Path, PathBuf},
};

/// How the user wants files found.
#[derive(Clone, Debug, Default)]
pub struct Settings {
    /// `--substitute-path FROM=TO`, in order.
    pub substitutions: Vec<(String, PathBuf)>,
    /// `--source-dir DIR`, in order.
    pub source_dirs: Vec<PathBuf>,
    /// The vmlinux: guesses look around it.
    pub vmlinux: Option<PathBuf>,
    /// The current directory: guesses look around it too.
    pub current_dir: Option<PathBuf>,
}

/// Why a path led to a file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Rule {
    /// The file is where it was compiled.
    AsIs,
    /// A `--substitute-path` rule.
    Substituted {
        /// The prefix that was replaced.
        from: String,
        /// What replaced it.
        to: PathBuf,
    },
    /// A `--source-dir`.
    SourceDir {
        /// The directory.
        dir: PathBuf,
    },
    /// Nobody said so; the file is merely there.
    Guessed {
        /// The prefix that seems to be replaced; empty for a relative path.
        from: String,
        /// What seems to replace it.
        to: PathBuf,
    },
}

impl Rule {
    /// Whether the file may be another than the one compiled.
    pub fn is_guess(&self) -> bool {
        matches!(self, Rule::Guessed { .. })
    }
}

impl fmt::Display for Rule {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Rule::AsIs => f.write_str("where it was compiled"),
            Rule::Substituted { from, to } => write!(f, "substituted {from}={}", to.display()),
            Rule::SourceDir { dir } => write!(f, "in source directory {}", dir.display()),
            Rule::Guessed { from, to } if from.is_empty() => {
                write!(f, "guessed, in {}", to.display())
            }
            Rule::Guessed { from, to } => write!(f, "guessed {from}={}", to.display()),
        }
    }
}

/// Whether there is a file for a path.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Lookup {
    /// There is.
    Found {
        /// The file.
        path: PathBuf,
        /// What led there.
        rule: Rule,
    },
    /// There is not.
    NotFound {
        /// What was tried first, in order; not all of a long search.
        tried: Vec<PathBuf>,
        /// The option that would fix it, as a sentence.
        advice: String,
    },
}

/// Finds files and remembers what it found.
#[derive(Debug)]
pub struct Paths {
    settings: Settings,
    /// Guesses that held, the latest first.
    learned: Vec<(String, PathBuf)>,
    /// Directories that may hold the sources; listed at the first guess.
    roots: Option<Vec<PathBuf>>,
    answers: FxHashMap<String, Lookup>,
}

/// How many tried paths an answer lists.
const MAX_TRIED: usize = 16;
/// Bounds of the search for source directories.
const MAX_ROOTS: usize = 96;
const MAX_ENTRIES: usize = 4096;
const MAX_PARENTS: usize = 4;

impl Paths {
    /// Finds by these settings.
    pub fn new(settings: Settings) -> Paths {
        Paths { settings, learned: Vec::new(), roots: None, answers: FxHashMap::default() }
    }

    /// Adds a substitution behind the others.
    pub fn substitute(&mut self, from: String, to: PathBuf) {
        self.settings.substitutions.push((from, to));
        self.answers.clear();
    }

    /// Adds a source directory behind the others.
    pub fn add_source_dir(&mut self, dir: PathBuf) {
        self.settings.source_dirs.push(dir);
        self.answers.clear();
    }

    /// The file for `name`, compiled in `comp_dir`. Answers are kept.
    pub fn find(&mut self, name: &str, comp_dir: Option<&str>) -> Lookup {
        if let Some(answer) = self.answers.get(name) {
            return answer.clone();
        }
        let clean = normalize(name);
        let comp_dir = comp_dir.map(normalize);
        let answer = self.search(&clean, comp_dir.as_deref());
        self.answers.insert(name.to_string(), answer.clone());
        answer
    }

    fn search(&mut self, name: &str, comp_dir: Option<&str>) -> Lookup {
        let mut tried = Tried::default();
        let rule = (self.settings.substitutions.iter())
            .find_map(|(from, to)| Some((from, to, strip_dir(name, &normalize(from))?)));
        if let Some((from, to, tail)) = rule
            && let Some(path) = tried.check(to.join(tail))
        {
            return Lookup::Found {
                path,
                rule: Rule::Substituted { from: from.clone(), to: to.clone() },
            };
        }
        if name.starts_with('/')
            && let Some(path) = tried.check(PathBuf::from(name))
        {
            return Lookup::Found { path, rule: Rule::AsIs };
        }
        for tail in tails(name) {
            for dir in &self.settings.source_dirs {
                if let Some(path) = tried.check(dir.join(tail)) {
                    return Lookup::Found { path, rule: Rule::SourceDir { dir: dir.clone() } };
                }
            }
        }
        match self.guess(name, comp_dir, &mut tried) {
            Some((path, from, to)) => Lookup::Found { path, rule: Rule::Guessed { from, to } },
            None => Lookup::NotFound { tried: tried.paths, advice: advice(name, comp_dir) },
        }
    }

    fn guess(
        &mut self,
        name: &str,
        comp_dir: Option<&str>,
        tried: &mut Tried,
    ) -> Option<(PathBuf, String, PathBuf)> {
        for (from, to) in &self.learned {
            if let Some(tail) = strip_dir(name, from)
                && let Some(path) = tried.check(to.join(tail))
            {
                return Some((path, from.clone(), to.clone()));
            }
        }
        // A file of the kernel must be found by its whole path in the tree,
        // or `init/main.c` would do for any `main.c`. A file from elsewhere
        // needs a directory beside its name.
        let shortest = match comp_dir.and_then(|dir| strip_dir(name, dir)) {
            Some(in_tree) => components(in_tree),
            None if name.starts_with('/') => 2,
            None => components(name),
        };
        let settings = &self.settings;
        let roots = self.roots.get_or_insert_with(|| source_roots(settings));
        let version = comp_dir.and_then(|dir| dir.rsplit_once('-')).map(|(_, version)| version);
        let other_version = |root: &PathBuf| match (version, root.to_str()) {
            (Some(version), Some(root)) => !root.ends_with(version),
            _ => true,
        };
        let mut ordered: Vec<&PathBuf> = roots.iter().collect();
        ordered.sort_by_key(|root| other_version(root));
        for tail in tails(name).take_while(|tail| components(tail) >= shortest) {
            for root in &ordered {
                let Some(path) = tried.check(root.join(tail)) else { continue };
                let from = name[..name.len() - tail.len()].trim_end_matches('/').to_string();
                let to = (*root).clone();
                self.learned.insert(0, (from.clone(), to.clone()));
                return Some((path, from, to));
            }
        }
        None
    }
}

#[derive(Default)]
struct Tried {
    paths: Vec<PathBuf>,
}

impl Tried {
    fn check(&mut self, path: PathBuf) -> Option<PathBuf> {
        if path.is_file() {
            return Some(path);
        }
        if self.paths.len() < MAX_TRIED && !self.paths.contains(&path) {
            self.paths.push(path);
        }
        None
    }
}

/// Directories that may hold sources: around vmlinux and the current
/// directory, and where Debian and Ubuntu unpack kernel sources.
fn source_roots(settings: &Settings) -> Vec<PathBuf> {
    let mut roots = Vec::new();
    let vmlinux_dir = settings.vmlinux.as_deref().map(|path| {
        let real = fs::canonicalize(path).unwrap_or_else(|_| path.to_path_buf());
        real.parent().map_or_else(|| PathBuf::from("."), Path::to_path_buf)
    });
    let bases = (vmlinux_dir.iter().flat_map(|dir| dir.ancestors().take(MAX_PARENTS)))
        .chain(settings.current_dir.iter().flat_map(|dir| dir.ancestors().take(2)))
        .chain([Path::new("/usr/src")]);
    for base in bases {
        add_root(&mut roots, base.to_path_buf());
        for child in children(base) {
            let Some(name) = child.file_name().and_then(|name| name.to_str()) else { continue };
            let nested = matches!(name, "source" | "sources" | "src");
            if nested || name == "linux" || name.starts_with("linux-") {
                add_root(&mut roots, child.clone());
            }
            if nested {
                let is_kernel = |dir: &PathBuf| {
                    dir.file_name().is_some_and(|name| name.to_string_lossy().starts_with("linux"))
                };
                children(&child)
                    .into_iter()
                    .filter(is_kernel)
                    .for_each(|dir| add_root(&mut roots, dir));
            }
        }
    }
    roots
}

fn add_root(roots: &mut Vec<PathBuf>, dir: PathBuf) {
    if roots.len() < MAX_ROOTS && !roots.contains(&dir) {
        roots.push(dir);
    }
}

/// The directories in `dir` by name, newest version last in the alphabet
/// first.
fn children(dir: &Path) -> Vec<PathBuf> {
    let Ok(entries) = fs::read_dir(dir) else { return Vec::new() };
    let mut found: Vec<PathBuf> =
        entries.take(MAX_ENTRIES).flatten().map(|e| e.path()).filter(|p| p.is_dir()).collect();
    found.sort_unstable_by(|a, b| b.cmp(a));
    found
}

/// The sentence with the option that would make `name` found.
fn advice(name: &str, comp_dir: Option<&str>) -> String {
    let from = match comp_dir {
        Some(dir) if dir.starts_with('/') && strip_dir(name, dir).is_some() => dir,
        _ if name.starts_with('/') => name.rsplit_once('/').map_or("/", |(dir, _)| dir),
        _ => return "use --source-dir /path/to/linux".to_string(),
    };
    let last = from.rsplit('/').find(|part| !part.is_empty()).unwrap_or("source");
    format!("use --substitute-path {from}=/path/to/{last}")
}

/// Takes `.`, `..` and doubled slashes out of a path, by its text alone.
fn normalize(path: &str) -> String {
    let mut parts: Vec<&str> = Vec::new();
    for part in path.split('/') {
        match part {
            "" | "." => {}
            ".." if parts.last().is_some_and(|&last| last != "..") => {
                parts.pop();
            }
            ".." if path.starts_with('/') => {}
            part => parts.push(part),
        }
    }
    let root = if path.starts_with('/') { "/" } else { "" };
    format!("{root}{}", parts.join("/"))
}

/// What is left of `name` under the directory `dir`.
fn strip_dir<'a>(name: &'a str, dir: &str) -> Option<&'a str> {
    if dir.is_empty() {
        return (!name.starts_with('/')).then_some(name);
    }
    let rest = name.strip_prefix(dir)?;
    let tail = if dir.ends_with('/') { rest } else { rest.strip_prefix('/')? };
    (!tail.is_empty()).then_some(tail)
}

/// `a/b/c`, `b/c`, `c`: never with a `..` at its start, which would leave the
/// directory it is joined to.
fn tails(name: &str) -> impl Iterator<Item = &str> {
    let name = name.trim_start_matches('/');
    let starts = std::iter::once(0).chain(name.match_indices('/').map(|(i, _)| i + 1));
    starts.map(|i| &name[i..]).filter(|tail| !tail.is_empty() && !tail.starts_with("../"))
}

fn components(path: &str) -> usize {
    path.split('/').filter(|part| !part.is_empty()).count()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    struct Tree(tempfile::TempDir);

    impl Tree {
        fn new(files: &[&str]) -> Tree {
            let dir = tempfile::tempdir().unwrap();
            for file in files {
                let path = dir.path().join(file);
                fs::create_dir_all(path.parent().unwrap()).unwrap();
                fs::write(path, "int x;\n").unwrap();
            }
            Tree(dir)
        }

        fn at(&self, path: &str) -> PathBuf {
            fs::canonicalize(self.0.path()).unwrap().join(path)
        }
    }

    fn found(lookup: Lookup) -> (PathBuf, Rule) {
        match lookup {
            Lookup::Found { path, rule } => (path, rule),
            Lookup::NotFound { tried, advice } => panic!("{tried:?} {advice}"),
        }
    }

    #[test]
    fn the_first_matching_substitution_wins_at_a_slash() {
        let tree = Tree::new(&["a/fs/x.c", "b/fs/x.c"]);
        let mut paths = Paths::new(Settings {
            substitutions: vec![
                ("/build/lin".into(), tree.at("a")),
                ("/build/linux/".into(), tree.at("b")),
                ("/build/linux".into(), tree.at("a")),
            ],
            ..Settings::default()
        });
        let (path, rule) = found(paths.find("/build/linux/./fs/../fs/x.c", Some("/build/linux")));
        assert_eq!(path, tree.at("b/fs/x.c"));
        assert_eq!(rule, Rule::Substituted { from: "/build/linux/".into(), to: tree.at("b") });
    }

    #[test]
    fn a_path_that_exists_is_taken_as_it_is() {
        let tree = Tree::new(&["x.c"]);
        let mut paths = Paths::new(Settings::default());
        let name = tree.at("x.c");
        assert_eq!(found(paths.find(name.to_str().unwrap(), None)), (name, Rule::AsIs));
    }

    #[test]
    fn a_source_directory_matches_the_longest_tail() {
        let tree = Tree::new(&["s/main.c", "s/init/main.c"]);
        let settings = Settings { source_dirs: vec![tree.at("s")], ..Settings::default() };
        let mut paths = Paths::new(settings);
        let (path, rule) = found(paths.find("/build/linux/init/main.c", None));
        assert_eq!(path, tree.at("s/init/main.c"));
        assert!(!rule.is_guess());
        assert_eq!(
            found(paths.find("init/main.c", Some("debian/build"))).0,
            tree.at("s/init/main.c")
        );
        assert_eq!(found(paths.find("../other/main.c", None)).0, tree.at("s/main.c"));
    }

    #[test]
    fn a_guess_looks_around_vmlinux_and_is_learned() {
        let tree = Tree::new(&[
            "k/boot/vmlinux",
            "k/linux-source-4.1.0/fs/read.c",
            "k/linux-source-4.2.0/fs/read.c",
            "k/linux-source-4.2.0/fs/open.c",
            "k/linux-source-4.2.0/init/main.c",
        ]);
        let vmlinux = Some(tree.at("k/boot/vmlinux"));
        let mut paths = Paths::new(Settings { vmlinux, ..Settings::default() });
        let from = "/build/linux-xyz/linux-4.2.0";
        let comp_dir = Some(from);
        let (path, rule) = found(paths.find("/build/linux-xyz/linux-4.2.0/fs/read.c", comp_dir));
        assert_eq!(path, tree.at("k/linux-source-4.2.0/fs/read.c"));
        let to = tree.at("k/linux-source-4.2.0");
        assert_eq!(rule, Rule::Guessed { from: from.into(), to: to.clone() });
        assert_eq!(paths.learned, [(from.to_string(), to)]);
        let (path, rule) = found(paths.find("/build/linux-xyz/linux-4.2.0/fs/open.c", comp_dir));
        assert_eq!(path, tree.at("k/linux-source-4.2.0/fs/open.c"));
        assert!(rule.is_guess());
        // A module's main.c is not the kernel's.
        assert!(matches!(paths.find("/home/u/hgfs/main.c", comp_dir), Lookup::NotFound { .. }));
    }

    #[test]
    fn relative_paths_as_debian_has_them_are_guessed_whole() {
        let tree = Tree::new(&["vmlinux", "linux-source-6.1/arch/x86/kernel/head64.c"]);
        let settings = Settings { vmlinux: Some(tree.at("vmlinux")), ..Settings::default() };
        let mut paths = Paths::new(settings);
        let name = "arch/x86/kernel/head64.c";
        let (path, rule) = found(paths.find(name, Some("debian/build/build_amd64")));
        assert_eq!(path, tree.at("linux-source-6.1").join(name));
        assert!(rule.to_string().starts_with("guessed, in "), "{rule}");
    }

    #[test]
    fn a_missing_file_names_the_option_that_helps() {
        let mut paths = Paths::new(Settings::default());
        let comp_dir = "/build/linux-xyz/linux-4.2.0";
        let Lookup::NotFound { tried, advice } =
            paths.find(&format!("{comp_dir}/fs/nothing_here.c"), Some(comp_dir))
        else {
            panic!("found");
        };
        assert_eq!(tried[0], Path::new(comp_dir).join("fs/nothing_here.c"));
        assert_eq!(advice, format!("use --substitute-path {comp_dir}=/path/to/linux-4.2.0"));
        let tree = Tree::new(&["fs/nothing_here.c"]);
        paths.substitute(comp_dir.into(), tree.at(""));
        assert!(
            !found(paths.find(&format!("{comp_dir}/fs/nothing_here.c"), Some(comp_dir)))
                .1
                .is_guess()
        );
    }

    proptest! {
        #[test]
        fn any_path_is_answered(name in "[/.a-é ]{0,30}", dir in prop::option::of("[/.a]{0,12}")) {
            let mut paths = Paths::new(Settings {
                substitutions: vec![(dir.clone().unwrap_or_default(), PathBuf::from("/nowhere"))],
                source_dirs: vec![PathBuf::from("/nowhere")],
                ..Settings::default()
            });
            let first = paths.find(&name, dir.as_deref());
            prop_assert_eq!(first, paths.find(&name, dir.as_deref()));
        }

        #[test]
        fn a_clean_path_stays(path in "(/[a-z]{1,4}){1,5}") {
            prop_assert_eq!(normalize(&path), path.clone());
            prop_assert_eq!(normalize(&format!("/x/..{path}/.")), path);
        }
    }
}
