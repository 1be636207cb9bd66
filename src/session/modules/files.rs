//! Where the .ko files of the guest's modules are on this machine. Directories
//! are looked through once, on a thread that may block, and again when a module
//! is not among what was found: it may have been built since.

use crate::image::{locate, module_tree::ModuleTree, open};
use crate::session::run::Session;
use crate::symbols::image::DebugImage;
use std::{
    collections::HashSet,
    path::{Path, PathBuf},
    sync::{Arc, atomic::AtomicBool},
    time::{Duration, Instant},
};
use tokio::sync::oneshot;

/// A directory is not looked through again before it is this old.
const FRESH: Duration = Duration::from_secs(2);

/// A packed file up to this size is unpacked while the stop is being shown.
/// xz, the slowest, gives some 60 MB a second, and debug info packs to a fifth:
/// that is 90 ms.
const UNPACKED_AT_ONCE: u64 = 1 << 20;

/// Directories looked through.
#[derive(Debug, Default)]
pub struct Trees {
    known: Vec<Known>,
    /// More of them, soon.
    coming: Option<oneshot::Receiver<Vec<Known>>>,
}

#[derive(Debug)]
struct Known {
    dir: PathBuf,
    levels: usize,
    tree: ModuleTree,
    read: Instant,
}

/// A file of a module, or when it will be there.
pub enum Opening {
    /// Open.
    Now(Arc<DebugImage>),
    /// [`Loaded::Module`](super::load::Loaded::Module) brings it: unpacking takes long.
    Later,
    /// It can't be used.
    Never(String),
}

impl Session {
    /// Begins to look through directories that will be asked for at the first
    /// stop: a build tree that is not in memory takes seconds.
    pub(in crate::session) fn look_ahead_for_modules(&mut self) {
        self.trees.coming = Some(scan(self.module_trees()));
    }

    /// Files that may be the module, best first.
    pub(in crate::session) async fn module_candidates(&mut self, name: &str) -> Vec<PathBuf> {
        let mut found = self.look_in_trees(name, None).await;
        if found.is_empty() {
            found = self.look_in_trees(name, Some(FRESH)).await;
        }
        if let Some(given) = self.given_file(name) {
            found.retain(|path| *path != given);
            found.insert(0, given);
        }
        found
    }

    /// Looks for a module; directories whose knowledge is older than `oldest`
    /// are looked through again.
    async fn look_in_trees(&mut self, name: &str, oldest: Option<Duration>) -> Vec<PathBuf> {
        if let Some(coming) = self.trees.coming.take() {
            self.trees.known.extend(coming.await.unwrap_or_default());
        }
        let wanted = self.module_trees();
        let stale = |known: &Known| oldest.is_some_and(|oldest| known.read.elapsed() > oldest);
        self.trees.known.retain(|known| !stale(known));
        let is_known = |dir: &Path, levels: usize| {
            self.trees.known.iter().any(|known| known.dir == dir && known.levels >= levels)
        };
        let mut unknown = wanted.clone();
        unknown.retain(|(dir, levels)| !is_known(dir, *levels));
        if !unknown.is_empty() {
            self.trees.known.extend(scan(unknown).await.unwrap_or_default());
        }
        let mut seen = HashSet::new();
        let mut found = Vec::new();
        for (dir, levels) in wanted {
            let mut trees = self.trees.known.iter();
            let tree = trees.find(|known| known.dir == dir && known.levels >= levels);
            for path in tree.map(|known| known.tree.files(name)).unwrap_or_default() {
                if seen.insert(path.canonicalize().unwrap_or_else(|_| path.clone())) {
                    found.push(path.clone());
                }
            }
        }
        found
    }

    fn module_trees(&self) -> Vec<(PathBuf, usize)> {
        locate::module_trees(
            &self.options.module_paths,
            &self.options.debug_dirs,
            self.target.vmlinux.as_deref(),
            self.target.release.as_deref(),
        )
    }

    /// Where modules are looked for, in words.
    pub(in crate::session) fn where_looked(&self) -> String {
        let dirs = self.module_trees().into_iter().map(|(dir, _)| dir.display().to_string());
        let dirs: Vec<_> = dirs.collect();
        format!("no such .ko below {}; --module-path DIR adds a place", dirs.join(", "))
    }

    /// Opens a file of a module, now or, where that takes long, on a thread.
    pub(in crate::session) async fn open_module(&mut self, path: &Path) -> Opening {
        let packed = open::packed_size(path);
        if packed.is_some_and(|size| size > UNPACKED_AT_ONCE) {
            self.loader.open_module(path, &self.options.debug_dirs);
            return Opening::Later;
        }
        let (path, dirs) = (path.to_path_buf(), self.options.debug_dirs.clone());
        let open = move || DebugImage::open_in(&path, &dirs, &AtomicBool::new(false));
        match on_thread(open).await {
            Ok(Ok(image)) => Opening::Now(image),
            Ok(Err(error)) => Opening::Never(error.to_string()),
            Err(_) => Opening::Never("opening it failed inside; please report it".into()),
        }
    }
}

fn scan(dirs: Vec<(PathBuf, usize)>) -> oneshot::Receiver<Vec<Known>> {
    let one = |(dir, levels): (PathBuf, usize)| {
        let tree = ModuleTree::scan(&dir, levels);
        Known { dir, levels, tree, read: Instant::now() }
    };
    on_thread(move || dirs.into_iter().map(one).collect())
}

/// Does something that may block, on a thread that nobody waits for at the end
/// of the program. There is no result where the thread fails or can't start.
pub(super) fn on_thread<T: Send + 'static>(
    work: impl FnOnce() -> T + Send + 'static,
) -> oneshot::Receiver<T> {
    let (done, result) = oneshot::channel();
    let thread = std::thread::Builder::new().name("files".into());
    // Whoever waits hears of a failure by the sender's end.
    let _ = thread.spawn(move || done.send(work()).is_ok());
    result
}
