//! Symbols are loaded on threads of their own; the session hears how far they
//! are and goes on.

use super::{request::Level, run::Session, view::SymbolsView};
use crate::base::text;
use crate::symbols::{image::DebugImage, placed::Placement};
use std::{
    panic::{self, AssertUnwindSafe},
    path::{Path, PathBuf},
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
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
    /// It can't be used.
    Failed(PathBuf, String),
}

/// Starts loading threads.
pub struct Loader {
    news: mpsc::UnboundedSender<Loaded>,
    cancel: Arc<AtomicBool>,
}

impl Loader {
    /// A loader, and where its news arrive.
    pub fn new() -> (Loader, mpsc::UnboundedReceiver<Loaded>) {
        let (news, loads) = mpsc::unbounded_channel();
        (Loader { news, cancel: Arc::default() }, loads)
    }

    /// Ends every thread at its next chance.
    pub fn cancel(&self) {
        self.cancel.store(true, Ordering::Relaxed);
    }

    /// Opens a file and loads its debug info in the background.
    pub fn load(&self, path: &Path) {
        self.start(path, |path, news, cancel| match DebugImage::open(path) {
            Ok(image) => {
                let _ = news.send(Loaded::Opened(path.to_path_buf(), Arc::clone(&image)));
                if image.image().has_dwarf() {
                    load_dwarf(path, &image, news, cancel);
                } else {
                    // Its symbol table is all there is, and it is used.
                    let _ = news.send(Loaded::Done(path.to_path_buf()));
                }
            }
            Err(error) => {
                let _ = news.send(Loaded::Failed(path.to_path_buf(), error.to_string()));
            }
        });
    }

    /// Loads the debug info of a file that is open, in the background.
    pub fn load_dwarf(&self, path: &Path, image: Arc<DebugImage>) {
        self.start(path, move |path, news, cancel| load_dwarf(path, &image, news, cancel));
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
                    let _ = news.send(Loaded::Failed(path, why));
                }
            }
        });
        if let Err(error) = started {
            let _ = news.send(Loaded::Failed(path, format!("no thread for loading it: {error}")));
        }
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
        Ok(()) => tell(Loaded::Done(path.to_path_buf())),
        Err(error) => tell(Loaded::Failed(path.to_path_buf(), error.to_string())),
    }
}

impl Session {
    /// Begins to load the vmlinux.
    pub(super) fn load_vmlinux(&mut self) {
        if let Some(path) = &self.options.vmlinux {
            self.symbols_view = SymbolsView::Loading(0.0);
            self.loader.load(path);
        }
    }

    /// News from a loading thread.
    pub(super) async fn on_loaded(&mut self, loaded: Loaded) {
        let is_vmlinux = |path: &Path| self.options.vmlinux.as_deref() == Some(path);
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
                self.target.vmlinux_build_id = image.image().build_id().map(text::hex);
                if !image.image().has_dwarf() {
                    self.say(
                        Level::Warning,
                        format!(
                            "{} has no debug info: functions are named from its symbol table, but there are no lines, types or variables; the file that has them is in linux-image-*-dbg, a ddeb, or kernel-debuginfo",
                            path.display()
                        ),
                    );
                }
                self.code.update(|symbols| {
                    symbols.place("vmlinux", image, Placement::Slide(0));
                });
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
            Loaded::Done(path) => {
                self.module_loaded(&path);
                self.after_symbols().await;
            }
            Loaded::Failed(path, why) if is_vmlinux(&path) => {
                self.say(Level::Error, why.clone());
                self.symbols_view = SymbolsView::Failed(why);
                self.after_symbols().await;
            }
            Loaded::Failed(path, why) => self.module_failed(&path, &why),
        }
        self.touch();
    }

    /// More is known now: look again at what was shown without it.
    async fn after_symbols(&mut self) {
        if !self.state.is_stopped() || self.snapshot.is_none() {
            return;
        }
        let result = async {
            if !self.identified {
                self.identify().await?;
                self.mend_pc().await?;
                // The task is known by its number; its CPU needs symbols.
                self.look_at_cpu().await?;
                self.look_for_new_modules(&None).await?;
            }
            self.first_frame();
            self.resolve_pending();
            self.reconcile().await
        };
        if let Err(failure) = result.await {
            self.say(Level::Warning, failure.to_string());
        }
        self.panes.restart(self.options.eager);
        self.answer_waiters();
    }

    /// Whether the vmlinux is still being read.
    pub(super) fn symbols_loading(&self) -> bool {
        matches!(self.symbols_view, SymbolsView::Loading(_))
    }
}
