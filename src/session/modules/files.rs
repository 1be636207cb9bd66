//! Where the .ko files of the guest's modules are on this machine. Directories
//! are looked through once, on a thread, and again when a module is not among
//! what was found: it may have been built since.
//!
//! All that may block is done on [`threads`](crate::session::threads), and a
//! stop waits for it only a moment; what takes longer comes as news.

use crate::image::{locate, module_tree::ModuleTree};
use crate::session::{
    load::Loaded,
    run::Session,
    threads::{Late, Patience, Urgency},
};
use crate::symbols::image::DebugImage;
use std::{
    collections::{HashSet, VecDeque},
    path::PathBuf,
    sync::{Arc, Mutex, PoisonError, atomic::AtomicBool},
    time::{Duration, Instant},
};

/// A directory is not looked through again before it is this old.
const FRESH: Duration = Duration::from_secs(2);

/// How long the stops of a second may wait for files of modules, all in all. A
/// small module is opened in 1 ms and loaded in 5.
const MOMENT: Duration = Duration::from_millis(30);

/// A script has no screen that could stall, and its next command wants all
/// that can be had.
const OF_A_SCRIPT: Duration = Duration::from_secs(10);

/// A file of so many bytes takes long enough that one wants to know how long.
const WORTH_A_NUMBER: u64 = 8 << 20;

/// Directories that were looked through, and what is under way with files.
#[derive(Debug)]
pub struct Trees {
    known: Arc<Mutex<Vec<Known>>>,
    patience: Patience,
    last_ticket: u64,
    /// Which module's debug info is read, by ticket.
    pub(super) loads: Vec<(u64, String, Arc<DebugImage>)>,
    /// Modules whose debug info came after breakpoints were placed in them.
    pub(super) read_late: Vec<String>,
}

#[derive(Debug)]
struct Known {
    dir: PathBuf,
    levels: usize,
    tree: ModuleTree,
    read: Instant,
}

/// News of a module's file, for who holds the ticket.
#[derive(Debug)]
pub enum ModuleNews {
    /// The next file that may be it, or that there is none; the search goes on
    /// from there.
    Found(Box<Result<(Hunt, Found), String>>),
    /// So much of its debug info is read, from 0 to 1.
    Progress(f32),
    /// Its debug info is read, or can't be.
    Read(Result<(), String>),
}

/// A file, opened, or why it can't be; `None` when there is no further one.
pub type Found = Option<(PathBuf, Result<Arc<DebugImage>, String>)>;

/// The search for the file of one module: goes from one to the next.
#[derive(Clone, Debug)]
pub struct Hunt {
    name: String,
    known: Arc<Mutex<Vec<Known>>>,
    dirs: Vec<(PathBuf, usize)>,
    debug_dirs: Vec<PathBuf>,
    tried: HashSet<PathBuf>,
    rest: VecDeque<PathBuf>,
    /// How often the directories were asked.
    asked: u32,
}

impl Trees {
    /// Nothing known yet. With a screen to keep alive, stops wait less.
    pub fn new(has_screen: bool) -> Trees {
        Trees {
            known: Arc::default(),
            patience: Patience::of(if has_screen { MOMENT } else { OF_A_SCRIPT }),
            last_ticket: 0,
            loads: Vec::new(),
            read_late: Vec::new(),
        }
    }

    /// A number for something that may be late.
    fn ticket(&mut self) -> u64 {
        self.last_ticket += 1;
        self.last_ticket
    }
}

impl Hunt {
    /// The next file that may be the module: best first, opened. Directories
    /// whose knowledge is old are looked through again before it gives up.
    pub fn next(&mut self, cancel: &AtomicBool) -> Found {
        loop {
            if let Some(path) = self.rest.pop_front() {
                let image = DebugImage::open_in(&path, &self.debug_dirs, cancel);
                // The first stop asks for names in it: they are read here, not there.
                let ready = |image: &Arc<DebugImage>| {
                    image.image().symbols();
                };
                return Some((path, image.inspect(ready).map_err(|error| error.to_string())));
            }
            let oldest = match self.asked {
                0 => None,
                1 => Some(FRESH),
                _ => return None,
            };
            self.asked += 1;
            self.ask(oldest);
        }
    }

    /// Takes from the directories what was not tried yet.
    fn ask(&mut self, oldest: Option<Duration>) {
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        refresh(&mut known, &self.dirs, oldest);
        for (dir, levels) in &self.dirs {
            let of_dir = |known: &&Known| known.dir == *dir && known.levels >= *levels;
            let Some(known) = known.iter().find(of_dir) else { continue };
            for path in known.tree.files(&self.name) {
                let real = path.canonicalize().unwrap_or_else(|_| path.clone());
                if self.tried.insert(real) {
                    self.rest.push_back(path.clone());
                }
            }
        }
    }
}

/// Looks through the directories that are not known, or known for longer than
/// `oldest`.
fn refresh(known: &mut Vec<Known>, dirs: &[(PathBuf, usize)], oldest: Option<Duration>) {
    let stale = |known: &Known| oldest.is_some_and(|oldest| known.read.elapsed() > oldest);
    known.retain(|known| !stale(known));
    for (dir, levels) in dirs {
        if !known.iter().any(|known| known.dir == *dir && known.levels >= *levels) {
            let tree = ModuleTree::scan(dir, *levels);
            known.push(Known { dir: dir.clone(), levels: *levels, tree, read: Instant::now() });
        }
    }
}

impl Session {
    /// Begins to look through directories that will be asked for at the first
    /// stop: a build tree that is not in memory takes seconds.
    pub(in crate::session) fn look_ahead_for_modules(&mut self) {
        let (known, dirs) = (Arc::clone(&self.trees.known), self.module_trees());
        self.loader.threads.start(Urgency::Open, move || {
            refresh(&mut known.lock().unwrap_or_else(PoisonError::into_inner), &dirs, None);
        });
    }

    /// A search for the file of a module, not begun.
    pub(super) fn hunt(&self, name: &str) -> Hunt {
        // What the user named is looked at first.
        let rest: VecDeque<PathBuf> = self.given_file(name).into_iter().collect();
        let real = |path: &PathBuf| path.canonicalize().unwrap_or_else(|_| path.clone());
        Hunt {
            name: name.to_owned(),
            known: Arc::clone(&self.trees.known),
            dirs: self.module_trees(),
            debug_dirs: self.options.debug_dirs.clone(),
            tried: rest.iter().map(real).collect(),
            rest,
            asked: 0,
        }
    }

    /// Goes on with a search. What takes longer than a moment comes as
    /// [`ModuleNews::Found`] for the ticket.
    pub(super) async fn hunt_on(
        &mut self,
        mut hunt: Hunt,
    ) -> Result<Result<(Hunt, Found), String>, u64> {
        let late = |ticket, found: Result<_, String>| {
            Loaded::Module(ticket, ModuleNews::Found(Box::new(found)))
        };
        let next = move |cancel: &AtomicBool| {
            let found = hunt.next(cancel);
            (hunt, found)
        };
        self.soon(Urgency::Open, next, late).await
    }

    /// Reads the debug info of a module. What takes longer than a moment comes
    /// as [`ModuleNews::Read`] for the ticket.
    pub(super) async fn read_debug_info(
        &mut self,
        image: Arc<DebugImage>,
    ) -> Result<Result<(), String>, u64> {
        let (news, cores) = (self.loader.news(), self.loader.threads.cores());
        let ticket = self.trees.last_ticket + 1;
        let is_long = image.image().size() > WORTH_A_NUMBER;
        let read = move |cancel: &AtomicBool| {
            let progress = |part: f32| {
                if is_long {
                    let _ = news.send(Loaded::Module(ticket, ModuleNews::Progress(part)));
                }
            };
            let read = cores.run(|| image.load_dwarf(&progress, cancel));
            read.map_err(|error| error.to_string())
        };
        let late = |ticket, read: Result<Result<(), String>, String>| {
            Loaded::Module(ticket, ModuleNews::Read(read.and_then(|read| read)))
        };
        Ok(self.soon(Urgency::Load, read, late).await?.and_then(|read| read))
    }

    /// Does something on a thread and waits for it a moment; the ticket of its
    /// news when that was too short.
    async fn soon<T: Send + 'static>(
        &mut self,
        urgency: Urgency,
        work: impl FnOnce(&AtomicBool) -> T + Send + 'static,
        late: Late<T>,
    ) -> Result<Result<T, String>, u64> {
        let (began, ticket) = (Instant::now(), self.trees.ticket());
        let patience = self.trees.patience.left(began);
        let done = self.loader.threads.soon(urgency, patience, ticket, work, late).await;
        self.trees.patience.spend(began.elapsed());
        done.ok_or(ticket)
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
        let absent = self.options.module_paths.iter().filter(|dir| !dir.is_dir());
        let absent: Vec<_> =
            absent.map(|dir| format!("; {} is no directory", dir.display())).collect();
        format!(
            "no such .ko below {}{}; --module-path DIR adds a place",
            dirs.join(", "),
            absent.concat()
        )
    }

    /// Files that may be the module, best first.
    pub(in crate::session) async fn module_candidates(&mut self, name: &str) -> Vec<PathBuf> {
        let mut hunt = self.hunt(name);
        let all = move || {
            for oldest in [None, Some(FRESH)] {
                if hunt.rest.is_empty() {
                    hunt.ask(oldest);
                }
            }
            hunt.rest.into()
        };
        // Asked for by name: whoever asked waits.
        self.loader.threads.wait(all).await.unwrap_or_default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::{fs, path::Path};

    fn hunt(dir: &Path) -> Hunt {
        Hunt {
            name: "snd_pcm".into(),
            known: Arc::default(),
            dirs: vec![(dir.to_owned(), 3)],
            debug_dirs: Vec::new(),
            tried: HashSet::new(),
            rest: VecDeque::new(),
            asked: 0,
        }
    }

    #[test]
    fn every_file_is_tried_once_and_a_new_one_is_found_when_the_others_are_not_it() {
        let dir = tempfile::tempdir().unwrap();
        fs::write(dir.path().join("snd-pcm.ko"), b"no ELF file").unwrap();
        let cancel = AtomicBool::new(false);
        let mut hunt = hunt(dir.path());
        let (path, image) = hunt.next(&cancel).unwrap();
        assert_eq!(path, dir.path().join("snd-pcm.ko"));
        assert!(image.unwrap_err().contains("is text"));
        // Built meanwhile; and what is known is old.
        fs::create_dir(dir.path().join("sub")).unwrap();
        fs::write(dir.path().join("sub/snd_pcm.ko.xz"), b"").unwrap();
        let old = Instant::now().checked_sub(2 * FRESH).unwrap();
        hunt.known.lock().unwrap()[0].read = old;
        assert_eq!(hunt.next(&cancel).unwrap().0, dir.path().join("sub/snd_pcm.ko.xz"));
        assert!(hunt.next(&cancel).is_none());
    }
}
