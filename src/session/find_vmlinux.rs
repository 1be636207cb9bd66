//! Without `--vmlinux` the guest itself leads to its vmlinux: by its release
//! and build-id, which kdb tells, to the places where such files are kept, and
//! at last to `debuginfod-find`. The search is a thread's work; the session
//! goes on and shows addresses.
//!
//! A file that is found is used only when it is proven to be the guest's, as
//! one that the user names would be. Where kdb tells nothing, every file that
//! may be it is tried against the guest, which costs a few reads each.

use super::{
    answer::{Answer, Failure},
    request::Level,
    run::Session,
    view::SymbolsView,
};
use crate::base::{addr::Addr, text};
use crate::image::{file::Kind, locate::Wanted, notes, wanted};
use crate::kernel::{proof, proof::Proof, slide};
use crate::symbols::{
    image::DebugImage,
    placed::{Placement, Symbols, VMLINUX},
};
use std::{
    collections::HashSet,
    env,
    io::Read,
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
    thread,
    time::Duration,
};

/// Files that are opened in one search at most.
const MOST_OPENED: usize = 64;

/// Files that are tried against the guest at most.
const MOST_TRIED: usize = 16;

/// How often a download is looked after.
const POLL: Duration = Duration::from_millis(100);

/// How far the search for the vmlinux is.
#[derive(Debug)]
pub enum Finder {
    /// Not begun, or not needed because the user named the file.
    Idle,
    /// A thread is at it.
    Looking,
    /// These may be it; to be tried at a stop.
    Found(Vec<Candidate>),
    /// One was found, and is in use.
    Used,
    /// There is none.
    Over,
}

/// A file that may be the guest's vmlinux.
#[derive(Clone, Debug)]
pub struct Candidate {
    path: PathBuf,
    image: Arc<DebugImage>,
}

/// What a search gave.
#[derive(Debug)]
pub struct Looked {
    /// What may be it, the likely first.
    pub candidates: Vec<Candidate>,
    /// What was there and is not it, and why, a sentence each.
    pub problems: Vec<String>,
}

/// The search itself, for a thread. `tell` gets words on what takes long.
pub fn look(wanted: &Wanted, tell: &dyn Fn(String), cancel: &AtomicBool) -> Looked {
    let mut looked = Looked { candidates: Vec::new(), problems: Vec::new() };
    let mut seen = HashSet::new();
    let places = wanted.places().into_iter().filter(|place| place.is_file());
    let new = |place: &PathBuf| place.canonicalize().is_ok_and(|real| seen.insert(real));
    for place in places.filter(new).take(MOST_OPENED) {
        if cancel.load(Ordering::Relaxed) {
            return looked;
        }
        looked.add(place, wanted, cancel);
    }
    // One without debug info is better than none.
    looked.candidates.sort_by_key(|candidate| !candidate.image.image().has_dwarf());
    let has_debug_info = looked.candidates.first().is_some_and(|c| c.image.image().has_dwarf());
    if let Some(id) = wanted.build_id.as_deref().filter(|_| !has_debug_info) {
        match fetch(&notes::hex(id), tell, cancel) {
            Ok(path) => {
                looked.add(path, wanted, cancel);
                looked.candidates.sort_by_key(|candidate| !candidate.image.image().has_dwarf());
            }
            Err(why) => looked.problems.push(why),
        }
    }
    looked
}

impl Looked {
    /// Opens a file, and takes it if it may be the one.
    fn add(&mut self, path: PathBuf, wanted: &Wanted, cancel: &AtomicBool) {
        let image = match DebugImage::open_in(&path, &wanted.debug_dirs, cancel) {
            Ok(image) => image,
            Err(error) => return self.problems.push(error.to_string()),
        };
        let elf = image.image();
        let why = match (elf.build_id(), wanted.build_id.as_deref()) {
            _ if elf.kind() == Kind::Relocatable => return,
            _ if elf.symbols().is_empty() => "it is stripped",
            (Some(id), Some(guest)) if id != guest => "it is of another build",
            _ => return self.candidates.push(Candidate { path, image }),
        };
        self.problems.push(format!("{}: {why}", path.display()));
    }
}

/// Asks the servers in `DEBUGINFOD_URLS` for the debug info of a build-id,
/// through the program of elfutils; gives the file in its cache.
fn fetch(id: &str, tell: &dyn Fn(String), cancel: &AtomicBool) -> Result<PathBuf, String> {
    if env::var_os("DEBUGINFOD_URLS").is_none_or(|urls| urls.is_empty()) {
        return Err("no server was asked: DEBUGINFOD_URLS is not set".into());
    }
    let child = Command::new("debuginfod-find")
        .args(["debuginfo", id])
        .env("DEBUGINFOD_PROGRESS", "1")
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn();
    let mut child = child.map_err(|error| match error.kind() {
        std::io::ErrorKind::NotFound => {
            "no server was asked: debuginfod-find is not installed".to_string()
        }
        _ => format!("debuginfod-find can't be started: {error}"),
    })?;
    let said = last_words(&mut child);
    let mut shown = String::new();
    let status = loop {
        match child.try_wait() {
            Ok(Some(status)) => break status,
            Ok(None) if cancel.load(Ordering::Relaxed) => {
                let _ = child.kill();
                let _ = child.wait();
                return Err("the download was cancelled".into());
            }
            Ok(None) => thread::sleep(POLL),
            Err(error) => return Err(format!("debuginfod-find: {error}")),
        }
        let now = said.lock().unwrap_or_else(PoisonError::into_inner).clone();
        if now != shown {
            tell(format!("debuginfod-find: {now}"));
            shown = now;
        }
    };
    let mut path = String::new();
    // A path is shorter than what a pipe holds, so it never waited for us.
    if let Some(mut out) = child.stdout.take() {
        let _ = out.read_to_string(&mut path);
    }
    match path.lines().next() {
        Some(path) if status.success() && Path::new(path).is_file() => Ok(path.into()),
        _ => {
            let said = said.lock().unwrap_or_else(PoisonError::into_inner);
            Err(format!("debuginfod-find has no debug info of {id}: {said}"))
        }
    }
}

/// The last thing a child prints on its standard error, kept up to date.
fn last_words(child: &mut Child) -> Arc<Mutex<String>> {
    let words = Arc::new(Mutex::new(String::new()));
    if let Some(mut stderr) = child.stderr.take() {
        let words = Arc::clone(&words);
        // It ends with the child.
        thread::spawn(move || {
            let mut bytes = [0; 512];
            while let Ok(count @ 1..) = stderr.read(&mut bytes) {
                let text = String::from_utf8_lossy(&bytes[..count]);
                let last = text.split(['\r', '\n']).map(str::trim).rfind(|part| !part.is_empty());
                if let Some(last) = last {
                    *words.lock().unwrap_or_else(PoisonError::into_inner) = text::printable(last);
                }
            }
        });
    }
    words
}

impl Session {
    /// The next step of the search. The guest is stopped.
    pub(super) async fn find_vmlinux(&mut self) -> Result<(), Failure> {
        match std::mem::replace(&mut self.finder, Finder::Idle) {
            Finder::Idle => {
                if self.target.release.is_none() {
                    self.release_by_kdb().await?;
                }
                if self.target.build_id.is_none() {
                    self.target.build_id = self.build_id_by_kdb().await?.map(|id| text::hex(&id));
                }
                self.begin_search();
            }
            Finder::Looking => self.finder = Finder::Looking,
            Finder::Found(candidates) => self.try_candidates(candidates).await?,
            ended @ (Finder::Used | Finder::Over) => {
                self.finder = ended;
                self.identified = true;
            }
        }
        Ok(())
    }

    /// It may be another guest now: one whose vmlinux was not found is asked
    /// again who it is.
    pub(super) fn search_again(&mut self) {
        if self.target.vmlinux.is_none() && matches!(self.finder, Finder::Over | Finder::Found(_)) {
            self.finder = Finder::Idle;
            self.target.release = None;
            self.target.build_id = None;
            self.await_stop();
        }
    }

    /// The search begins when the guest stops.
    pub(super) fn await_stop(&mut self) {
        self.symbols_view =
            SymbolsView::Looking("the vmlinux is looked for when the guest stops".into());
    }

    fn wanted(&self) -> Wanted {
        Wanted {
            // It comes from the guest, and becomes a part of paths.
            release: self.target.release.clone().filter(|release| !release.contains('/')),
            build_id: self.target.build_id.as_deref().and_then(unhex),
            debug_dirs: self.options.debug_dirs.clone(),
            working_dir: env::current_dir().unwrap_or_else(|_| ".".into()),
            root: "/".into(),
        }
    }

    fn begin_search(&mut self) {
        let wanted = self.wanted();
        let dirs = wanted.directories();
        self.target.looked = dirs.iter().map(|dir| dir.display().to_string()).collect();
        let words = format!("looking for {} …", self.whose_vmlinux());
        // No message: those stay, and this one is over in a moment.
        tracing::info!("{words}");
        self.symbols_view = SymbolsView::Looking(words);
        self.finder = Finder::Looking;
        self.loader.find(wanted);
        self.touch();
    }

    /// `the vmlinux of RELEASE`.
    fn whose_vmlinux(&self) -> String {
        match &self.target.release {
            Some(release) => format!("the vmlinux of {}", text::printable(release)),
            None => "the guest's vmlinux".into(),
        }
    }

    /// A search has ended.
    pub(super) fn looked(&mut self, looked: Looked) {
        self.target.looked.extend(looked.problems);
        self.finder = Finder::Found(looked.candidates);
    }

    /// Uses the first file that is proven to be the guest's.
    async fn try_candidates(&mut self, candidates: Vec<Candidate>) -> Result<(), Failure> {
        for Candidate { path, image } in candidates.into_iter().take(MOST_TRIED) {
            let guest = self.target.build_id.as_deref().and_then(unhex);
            let known = guest.is_some() && image.image().build_id() == guest.as_deref();
            if known || self.prove_candidate(&path, &image).await? {
                self.finder = Finder::Used;
                self.say(Level::Info, format!("found {}", path.display()));
                self.target.vmlinux = Some(path.clone());
                self.code.look_around(super::code::source_settings(&self.options, Some(&path)));
                self.take_vmlinux(&path, image);
                return Ok(());
            }
        }
        self.finder = Finder::Over;
        self.identified = true;
        self.symbols_view = SymbolsView::None;
        self.say_not_found();
        Ok(())
    }

    /// Whether a file is the guest's: placed by its slide, its build-id is in
    /// the guest's notes.
    async fn prove_candidate(
        &mut self,
        path: &Path,
        image: &Arc<DebugImage>,
    ) -> Result<bool, Failure> {
        let mut symbols = Symbols::new();
        symbols.place(VMLINUX, Arc::clone(image), Placement::Slide(0));
        let pc = self.pc().ok();
        let unslid = symbols.clone();
        let found = self.compute(move |_, memory| slide::find(&unslid, memory, pc)).await?;
        // KASLR is often off on kernels where nothing tells the slide.
        symbols.set_slide(found.map_or(0, |found| found.value));
        let proven = self.compute(move |_, memory| proof::prove(&symbols, memory)).await?;
        let proven = proven.unwrap_or_else(|gap| Proof::Unknown { why: gap.to_string() });
        let why = match &proven {
            Proof::Matches { .. } | Proof::ByBanner { .. } => return Ok(true),
            Proof::Differs { file, guest } => {
                format!("it is of another build: {file}, the guest's is {guest}")
            }
            Proof::Unknown { why } => why.clone(),
        };
        self.target.looked.push(format!("{}: {why}", path.display()));
        Ok(false)
    }

    /// What is used so far turned out to be of another kernel; it was found by
    /// us, so another one is looked for.
    pub(super) async fn find_another(&mut self) -> Result<(), Failure> {
        self.code.update(|symbols| symbols.remove(VMLINUX));
        self.target.vmlinux = None;
        self.target.vmlinux_build_id = None;
        self.finder = Finder::Idle;
        self.find_vmlinux().await
    }

    fn say_not_found(&self) {
        let release = self.target.release.as_deref();
        let places = self.wanted().directories();
        let places: Vec<_> = places.iter().map(|dir| dir.display().to_string()).collect();
        self.say(
            Level::Warning,
            format!(
                "only addresses are shown: {} was not found; give --vmlinux FILE",
                self.whose_vmlinux()
            ),
        );
        self.say(Level::Hint, format!("it was looked for in {}", places.join(", ")));
        for source in wanted::sources(release, self.target.build_id.as_deref()) {
            self.say(Level::Hint, source);
        }
    }

    /// The build-id of a kernel of which nothing is known: kdb finds the notes
    /// by name (`kdbgetaddrarg` in kernel/debug/kdb/kdb_main.c takes kallsyms,
    /// where data is in with CONFIG_KALLSYMS_ALL), and tells their address.
    pub(super) async fn build_id_by_kdb(&mut self) -> Result<Option<Vec<u8>>, Failure> {
        let output = match self.monitor("md8c1 __start_notes").await {
            Ok(Answer::Output { output }) => output,
            Err(failure) if !self.wire.is_open() => return Err(failure),
            _ => return Ok(None),
        };
        let Some(start) = address_of(&output) else { return Ok(None) };
        // It comes first where Xen has no notes, and in the most that one
        // distribution has it comes at the end of 504 bytes.
        for len in [64, 256, 504] {
            let notes = self.compute(move |_, memory| memory.bytes(start, len)).await?;
            let Ok(notes) = notes else { break };
            if let Some(id) = notes::build_id_of(&notes) {
                return Ok(Some(id.to_vec()));
            }
        }
        Ok(None)
    }
}

/// The address that a line of kdb's `md` begins with.
fn address_of(output: &str) -> Option<Addr> {
    let word = output.split_whitespace().next()?.strip_prefix("0x")?;
    u64::from_str_radix(word, 16).ok().map(Addr)
}

fn unhex(text: &str) -> Option<Vec<u8>> {
    let byte = |at: usize| u8::from_str_radix(text.get(at..at + 2)?, 16).ok();
    (!text.is_empty() && text.len().is_multiple_of(2))
        .then(|| (0..text.len()).step_by(2).map(byte).collect())
        .flatten()
}
