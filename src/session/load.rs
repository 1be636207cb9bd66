//! Symbols are loaded on threads of their own; the session hears how far they
//! are and goes on.

use super::{
    find_vmlinux::{self, Finder, Looked},
    modules::{Module, files::ModuleNews},
    repair::Bounced,
    request::Level,
    run::Session,
    threads::Threads,
    view::SymbolsView,
};
use crate::base::text;
use crate::image::{file::Image, locate::Wanted, wanted};
use crate::symbols::{SymbolsError, image::DebugImage, placed::Placement};
use std::{
    panic::{self, AssertUnwindSafe},
    path::{Path, PathBuf},
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::{Duration, Instant},
};
use tokio::sync::mpsc;

/// News from a loading thread.
#[derive(Debug)]
pub enum Loaded {
    /// So much of the file's debug info is read, from 0 to 1.
    Progress(PathBuf, f32),
    /// The symbol table answers; debug info is still coming.
    Opened(PathBuf, Arc<DebugImage>),
    /// All of it is there.
    Done(PathBuf),
    /// It can't be used; why, and where the right one comes from.
    Failed(PathBuf, String, Vec<String>),
    /// News of a module's file, for who has the ticket.
    Module(u64, ModuleNews),
    /// What the search for a vmlinux does now.
    Looking(String),
    /// The search for a vmlinux has ended.
    Looked(Looked),
}

/// Starts loading threads.
pub struct Loader {
    news: mpsc::UnboundedSender<Loaded>,
    cancel: Arc<AtomicBool>,
    /// For files of modules.
    pub(super) threads: Threads,
}

impl Loader {
    /// A loader, and where its news arrive.
    pub fn new() -> (Loader, mpsc::UnboundedReceiver<Loaded>) {
        let (news, loads) = mpsc::unbounded_channel();
        let cancel = Arc::<AtomicBool>::default();
        let threads = Threads::new(news.clone(), Arc::clone(&cancel));
        (Loader { news, cancel, threads }, loads)
    }

    /// Where news are sent to.
    pub(super) fn news(&self) -> mpsc::UnboundedSender<Loaded> {
        self.news.clone()
    }

    /// Ends every thread at its next chance, and waits a moment for them: one
    /// may have started a program, which is to end with us.
    pub fn cancel(&self) {
        const PATIENCE: Duration = Duration::from_millis(500);
        self.cancel.store(true, Ordering::Relaxed);
        let deadline = Instant::now() + PATIENCE;
        // Every thread holds the flag as long as it works; we do for ever.
        const OURS: usize = 2;
        while Arc::strong_count(&self.cancel) > OURS && Instant::now() < deadline {
            std::thread::sleep(Duration::from_millis(5));
        }
    }

    /// Opens a file and loads its debug info in the background. Other halves
    /// of it are looked for in `debug_dirs` as well.
    pub fn load(&self, path: &Path, debug_dirs: &[PathBuf]) {
        let dirs = debug_dirs.to_vec();
        self.start(path, move |path, news, cancel| {
            match DebugImage::open_in(path, &dirs, cancel) {
                Ok(image) if !image.image().has_dwarf() && image.image().symbols().is_empty() => {
                    let why = format!("{} is stripped: it has no symbols at all", path.display());
                    let advice = whole_of(image.image());
                    let _ = news.send(Loaded::Failed(path.to_path_buf(), why, advice));
                }
                Ok(image) => {
                    let _ = news.send(Loaded::Opened(path.to_path_buf(), Arc::clone(&image)));
                    load_all(path, &image, news, cancel);
                }
                Err(error) => {
                    let advice = match &error {
                        SymbolsError::Image(error) => error.advice(),
                        _ => Vec::new(),
                    };
                    let _ =
                        news.send(Loaded::Failed(path.to_path_buf(), error.to_string(), advice));
                }
            }
        });
    }

    /// Loads the debug info of a file that is open, in the background; where
    /// there is none, its symbol table is all, and it is used.
    pub fn load_all(&self, path: &Path, image: Arc<DebugImage>) {
        self.start(path, move |path, news, cancel| load_all(path, &image, news, cancel));
    }

    /// Looks for a vmlinux in the background.
    pub fn find(&self, wanted: Wanted) {
        self.start(Path::new(""), move |_, news, cancel| {
            let tell = |words| {
                let _ = news.send(Loaded::Looking(words));
            };
            let look = AssertUnwindSafe(|| find_vmlinux::look(&wanted, &tell, cancel));
            let looked = panic::catch_unwind(look).unwrap_or_else(|_| Looked {
                candidates: Vec::new(),
                problems: vec!["the search failed inside; please report it".into()],
            });
            let _ = news.send(Loaded::Looked(looked));
        });
    }

    fn start(
        &self,
        path: &Path,
        work: impl FnOnce(&Path, &mpsc::UnboundedSender<Loaded>, &AtomicBool) + Send + 'static,
    ) {
        let (news, cancel, path) =
            (self.news.clone(), Arc::clone(&self.cancel), path.to_path_buf());
        let thread = std::thread::Builder::new().name("symbols".into());
        // A thread that can't be started is news as well.
        let started = thread.spawn({
            let (news, path) = (news.clone(), path.clone());
            move || {
                let work = AssertUnwindSafe(|| work(&path, &news, &cancel));
                if panic::catch_unwind(work).is_err() {
                    let why = format!("reading {} failed inside; please report it", path.display());
                    let _ = news.send(Loaded::Failed(path, why, Vec::new()));
                }
            }
        });
        if let Err(error) = started {
            let why = format!("no thread for loading it: {error}");
            let _ = news.send(Loaded::Failed(path, why, Vec::new()));
        }
    }
}

/// Where the file comes from that has what this one lacks.
fn whole_of(elf: &Image) -> Vec<String> {
    let (release, id) = (wanted::release_of(elf), elf.build_id().map(text::hex));
    wanted::sources(release.as_deref(), id.as_deref())
}

fn load_all(
    path: &Path,
    image: &DebugImage,
    news: &mpsc::UnboundedSender<Loaded>,
    cancel: &AtomicBool,
) {
    if image.image().has_dwarf() {
        load_dwarf(path, image, news, cancel);
    } else {
        let _ = news.send(Loaded::Done(path.to_path_buf()));
    }
}

fn load_dwarf(
    path: &Path,
    image: &DebugImage,
    news: &mpsc::UnboundedSender<Loaded>,
    cancel: &AtomicBool,
) {
    let tell = |loaded| {
        let _ = news.send(loaded);
    };
    let progress = |part| tell(Loaded::Progress(path.to_path_buf(), part));
    match image.load_dwarf(&progress, cancel) {
        Ok(()) => {
            tell(Loaded::Done(path.to_path_buf()));
            // Nobody waits for this; the first letter of a search would.
            image.prepare_search();
        }
        Err(error) => tell(Loaded::Failed(path.to_path_buf(), error.to_string(), Vec::new())),
    }
}

impl Session {
    /// Begins to load the vmlinux.
    pub(super) fn load_vmlinux(&mut self) {
        if let Some(path) = &self.options.vmlinux {
            self.symbols_view = SymbolsView::Loading(0.0);
            self.loader.load(path, &self.options.debug_dirs);
            if self.options.connect.is_some() {
                self.look_ahead_for_modules();
            }
        } else if self.options.connect.is_some() {
            self.await_stop();
        }
    }

    /// The vmlinux is open: its symbol table answers from now on.
    fn place_vmlinux(&mut self, path: &Path, image: Arc<DebugImage>) {
        let elf = image.image();
        self.target.vmlinux_build_id = elf.build_id().map(text::hex);
        for remark in elf.remarks() {
            self.say(Level::Warning, remark.clone());
        }
        if elf.path() != path {
            self.say(
                Level::Info,
                format!("the debug info of {} is {}", path.display(), elf.path().display()),
            );
        }
        if !elf.has_dwarf() {
            let what = match image.has_btf() {
                true => {
                    "types come from BTF, functions from the symbol table, and there are no lines or local variables"
                }
                false => {
                    "functions are named from its symbol table, but there are no lines, types or variables"
                }
            };
            let path = path.display();
            self.say(Level::Warning, format!("{path} has no debug info: {what}"));
            for source in whole_of(elf) {
                self.say(Level::Hint, source);
            }
        }
        self.code.update(|symbols| {
            symbols.place("vmlinux", image, Placement::Slide(0));
        });
    }

    /// Uses a vmlinux that is open, and loads its debug info.
    pub(super) fn take_vmlinux(&mut self, path: &Path, image: Arc<DebugImage>) {
        self.symbols_view = SymbolsView::Loading(0.0);
        self.place_vmlinux(path, Arc::clone(&image));
        self.loader.load_all(path, image);
        self.look_ahead_for_modules();
        self.touch();
    }

    /// News from a loading thread.
    pub(super) async fn on_loaded(&mut self, loaded: Loaded) {
        let is_vmlinux = |path: &Path| self.target.vmlinux.as_deref() == Some(path);
        if let Loaded::Done(path) = &loaded {
            let symbols = self.code.symbols();
            let image = symbols.images().find(|placed| placed.image.image().path() == *path);
            if let Some(missing) = image.and_then(|placed| placed.image.missing()) {
                self.say(Level::Warning, missing);
            }
        }
        match loaded {
            Loaded::Progress(path, part) if is_vmlinux(&path) => {
                self.symbols_view = SymbolsView::Loading(part);
            }
            Loaded::Progress(..) => {}
            Loaded::Opened(path, image) if is_vmlinux(&path) => {
                self.place_vmlinux(&path, image);
            }
            Loaded::Opened(..) => {}
            Loaded::Done(path) if is_vmlinux(&path) => {
                let symbols = self.code.symbols();
                let has_dwarf =
                    symbols.vmlinux().is_some_and(|placed| placed.image.image().has_dwarf());
                self.symbols_view =
                    if has_dwarf { SymbolsView::Ready } else { SymbolsView::NoDebugInfo };
                self.after_symbols().await;
            }
            Loaded::Done(_) => {}
            Loaded::Failed(path, why, advice) if is_vmlinux(&path) => {
                self.say(Level::Error, why.clone());
                for source in advice {
                    self.say(Level::Hint, source);
                }
                self.symbols_view = SymbolsView::Failed(why);
                self.after_symbols().await;
            }
            Loaded::Failed(_, why, _) => self.say(Level::Error, why),
            Loaded::Module(ticket, news) => {
                if self.module_news(ticket, news) {
                    self.after_module().await;
                }
            }
            Loaded::Looking(words) => {
                if matches!(self.finder, Finder::Looking) {
                    self.symbols_view = SymbolsView::Looking(words);
                }
            }
            Loaded::Looked(looked) => {
                self.looked(looked);
                self.after_symbols().await;
            }
        }
        self.touch();
    }

    /// More is known now: look again at what was shown without it.
    async fn after_symbols(&mut self) {
        if let Err(failure) = self.go_on_loading().await {
            self.say(Level::Warning, failure.to_string());
        }
        if !self.state.is_stopped() || self.snapshot.is_none() {
            return;
        }
        let result = async {
            if !self.identified {
                self.identify().await?;
                self.mend_pc().await?;
                if self.mend_relics().await? == Bounced::Overtaken {
                    return Ok(());
                }
                // The task is known by its number; its CPU needs symbols.
                self.look_at_cpu().await?;
                self.look_for_new_modules(&None).await?;
                self.look_at_panic_timeout().await?;
            }
            self.first_frame();
            self.resolve_pending();
            self.look_at_crash_again().await?;
            self.reconcile().await
        };
        if let Err(failure) = result.await {
            self.say(Level::Warning, failure.to_string());
        }
        self.panes.restart(self.options.eager);
        self.answer_waiters();
    }

    /// Whether a script that waited for the stop would miss symbols now: of the
    /// vmlinux, or of a module.
    pub(super) fn symbols_awaited(&self) -> bool {
        self.symbols_loading() || self.modules.iter().any(Module::is_loading)
    }

    /// Whether the vmlinux is still being looked for or read.
    pub(super) fn symbols_loading(&self) -> bool {
        matches!(self.symbols_view, SymbolsView::Loading(_) | SymbolsView::Looking(_))
    }
}
