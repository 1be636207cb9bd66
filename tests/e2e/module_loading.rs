//! A module with a hundred megabytes of debug info: nothing waits for it.

use crate::facts::{alive, run, type_line};
use crate::support::{
    guest::{LockedGuest, boot, built},
    tools::tool,
};
use kgdb_tui::demo::{
    build::COMPILED_IN,
    guest::{Boot, Hgfs, Link},
};
use kgdb_tui::session::{
    answer::Answer,
    options::Options,
    request::{BreakKind, Breaking, Leave, Request, Update},
    run::{self, Started},
    view::{FramesEnd, ModuleView, State, SymbolsView, View},
};
use std::{
    fmt::Write as _,
    fs,
    path::Path,
    sync::Arc,
    time::{Duration, Instant},
};

/// The file has at least so many bytes.
const HUGE: u64 = 100 << 20;

/// What no answer may take while it is read. On an idle machine it is 2 ms; others
/// have the cores now and then.
const STALL: Duration = Duration::from_millis(250);

/// The demo module as it would be with a hundred megabytes of debug info: the
/// types and functions of many more files, all the sections of the guest's own,
/// and its build-id.
fn huge_module(dir: &Path) {
    let mut source = String::new();
    for i in 0..12_000 {
        let last = i.max(1) - 1;
        write!(
            source,
            "struct generated_{i} {{ int number_{i}; struct generated_{last} *last; char name[{}]; }};\n\
             static inline int use_{i}(struct generated_{i} *it) {{ int sum = it->number_{i}; return sum; }}\n",
            i % 60 + 1
        )
        .unwrap();
    }
    fs::write(dir.join("types.c"), source).unwrap();
    let mut gcc = tool("gcc");
    gcc.current_dir(dir).args(["-g", "-O1", "-mcmodel=kernel", "-fno-pic", "-c", "types.c"]);
    gcc.args(["-fno-eliminate-unused-debug-types", "-fno-eliminate-unused-debug-symbols"]);
    assert!(gcc.status().unwrap().success());
    let one = fs::metadata(dir.join("types.o")).unwrap().len();
    let mut ld = tool("ld");
    ld.current_dir(dir).args(["-r", "-o", "hgfs.ko"]).arg(built().modules.join("hgfs.ko"));
    ld.args(vec!["types.o"; (HUGE / one + 1) as usize]);
    assert!(ld.status().unwrap().success());
    assert!(fs::metadata(dir.join("hgfs.ko")).unwrap().len() >= HUGE);
    fs::remove_file(dir.join("types.o")).unwrap();
}

/// A session, and what it shows.
struct Watched {
    started: Started,
    view: Arc<View>,
    said: Vec<String>,
}

impl Watched {
    async fn start(guest: &LockedGuest, modules: &Path) -> Watched {
        let built = built();
        let options = Options {
            connect: Some(guest.address().parse().unwrap()),
            vmlinux: Some(built.vmlinux.clone()),
            module_paths: vec![modules.to_owned()],
            substitute: vec![(COMPILED_IN.into(), built.source.display().to_string())],
            eager: true,
            ..Options::default()
        };
        let mut started = run::start(options).unwrap();
        let mut said = Vec::new();
        loop {
            match started.updates.recv().await {
                Some(Update::View(view)) => return Watched { started, view, said },
                Some(Update::Message(_, text)) => said.push(text),
                Some(_) => {}
                None => panic!("it is gone: {said:?}"),
            }
        }
    }

    /// Takes an update.
    fn take(&mut self, update: Update) {
        match update {
            Update::View(view) => self.view = view,
            Update::Message(_, text) => self.said.push(text),
            Update::Ended(Some(why)) => panic!("it ended: {why}; {:?}", self.said),
            // It was asked to, or it sends no further update.
            Update::Ended(None) | Update::Console(_) | Update::Log(_) => {}
        }
    }

    /// Waits until the view is as wanted.
    async fn until(&mut self, what: &str, wanted: impl Fn(&View) -> bool) {
        let waiting = async {
            while !wanted(&self.view) {
                match self.started.updates.recv().await {
                    Some(update) => self.take(update),
                    None => panic!("{what}: it is gone: {:?}", self.said),
                }
            }
        };
        if tokio::time::timeout(Duration::from_secs(90), waiting).await.is_err() {
            panic!("{what}: {:?} {:#?}", self.said, self.view);
        }
    }

    /// Asks, and says how long the answer took.
    async fn ask(&mut self, request: Request) -> (Answer, Duration) {
        let began = Instant::now();
        let answer = self.started.handle.send(request).await.unwrap().unwrap();
        let took = began.elapsed();
        while let Ok(update) = self.started.updates.try_recv() {
            self.take(update);
        }
        (answer, took)
    }

    fn hgfs(&self) -> Option<&ModuleView> {
        self.view.modules.iter().find(|module| module.name == "hgfs")
    }
}

/// Questions that need symbols and no packets, and their answers' times.
#[derive(Default)]
struct Quick {
    asked: u32,
    all: Duration,
    longest: Duration,
    by: String,
}

impl Quick {
    async fn round(&mut self, watched: &mut Watched) {
        let questions = [
            Request::Line("vfs_read".into()),
            Request::Symbol("HgfsSendRequest".into()),
            Request::Line("hgfs_ping!HgfsOpenFile".into()),
            Request::Link,
        ];
        for question in questions {
            let asked = format!("{question:?}");
            let (_, took) = watched.ask(question).await;
            self.asked += 1;
            self.all += took;
            if took > self.longest {
                (self.longest, self.by) = (took, asked);
            }
        }
    }
}

impl std::fmt::Display for Quick {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let mean = self.all / self.asked.max(1);
        write!(
            f,
            "{} questions, {mean:.1?} each, at most {:.1?} for {}",
            self.asked, self.longest, self.by
        )
    }
}

fn is_stopped(view: &View) -> bool {
    matches!(view.state, State::Stopped)
}

#[test]
fn nothing_waits_for_a_huge_module() {
    let dir = tempfile::tempdir().unwrap();
    huge_module(dir.path());
    let mut guest = boot(&Boot { hgfs: Hgfs::Busy, link: Link::Unix, ..Boot::default() });
    run(&mut guest, "insmod /lib/modules/hgfs-ping.ko && insmod /lib/modules/dummy.ko");
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        let mut watched = Watched::start(&guest, dir.path()).await;
        let ready = |view: &View| matches!(view.symbols, SymbolsView::Ready);
        watched.until("symbols of vmlinux", ready).await;
        guest.shell().unwrap().break_in().unwrap();
        watched.until("a stop", is_stopped).await;
        let stopped = Instant::now();
        let function = |view: &View| {
            let stop = view.stop.as_ref();
            stop.is_some_and(|stop| stop.frames.iter().any(|frame| frame.function.is_some()))
        };
        watched.until("a frame", function).await;
        let painted = stopped.elapsed();
        let known = |view: &View| {
            let known = |module: &ModuleView| module.path.is_some();
            view.modules.len() == 3 && view.modules.iter().all(known)
        };
        watched.until("modules", known).await;
        let listed = stopped.elapsed();

        // All the others are there, and this one is on its way.
        let hgfs = watched.hgfs().unwrap();
        assert_eq!(hgfs.symbols, "loading", "{hgfs:?}");
        let wish = Request::Break(Breaking::at(BreakKind::Kept, "hgfs/request.c:82"));
        let (answer, mut wished) = watched.ask(wish).await;
        let Answer::Breakpoints { breakpoints, .. } = answer else { panic!("{answer:?}") };
        assert_eq!(breakpoints[0].state, "pending", "{breakpoints:?}");
        // By the symbol table, until more is known.
        let wish = Request::Break(Breaking::at(BreakKind::Kept, "hgfs!HgfsProcShow"));
        wished += watched.ask(wish).await.1;
        // The stack takes packets.
        let end = |view: &View| view.stop.as_ref().map(|stop| stop.frames_end.clone());
        watched.until("a stack", |view| end(view) != Some(FramesEnd::Reading)).await;
        let mut read = Vec::new();
        let mut quick = Quick::default();
        while watched.hgfs().is_some_and(|module| module.symbols == "loading") {
            quick.round(&mut watched).await;
            read.extend(watched.hgfs().and_then(|module| module.why.clone()));
        }
        let loaded = stopped.elapsed();
        let mut idle = Quick::default();
        for _ in 0..20 {
            idle.round(&mut watched).await;
        }
        eprintln!(
            "stop to frame {painted:.1?}, to modules {listed:.1?}, to all symbols {loaded:.1?}; breakpoints set in {wished:.1?}; meanwhile {quick}; later {idle}"
        );
        read.dedup();
        eprintln!("{read:?}");
        assert!(quick.asked > 3 && quick.longest < STALL, "{quick}");
        assert!(read.iter().any(|told| told.ends_with("% are read")), "{read:?}");
        // What waited for it is planted, without a further stop.
        watched.until("armed", |view| view.breakpoints.iter().all(|b| b.state == "armed")).await;
        let (answer, _) = watched.ask(Request::Continue).await;
        let Answer::Stop { stop } = answer else { panic!("{answer:?}") };
        assert_eq!(stop.function.as_deref(), Some("HgfsProcShow"), "{stop:?}");
        watched.ask(Request::Delete(Vec::new())).await;
        watched.ask(Request::Leave(Leave::Detach)).await;
    });
    alive(&mut guest);

    // The stop is over before the file is read: it goes on at the next one.
    runtime.block_on(async {
        let mut watched = Watched::start(&guest, dir.path()).await;
        let ready = |view: &View| matches!(view.symbols, SymbolsView::Ready);
        watched.until("symbols of vmlinux", ready).await;
        let wish = Request::Break(Breaking::at(BreakKind::Kept, "hgfs/request.c:82"));
        watched.ask(wish).await;
        watched.ask(Request::Break(Breaking::at(BreakKind::Kept, "vfs_read"))).await;
        guest.shell().unwrap().break_in().unwrap();
        watched.until("modules", |view| is_stopped(view) && view.modules.len() == 3).await;
        let mut stops = 0;
        while watched.view.breakpoints[0].state != "armed" {
            assert!(stops < 1000, "{:?}", watched.view.breakpoints);
            watched.ask(Request::Continue).await;
            stops += 1;
        }
        eprintln!("armed at stop {stops}");
        // Leaving does not wait for what is still read.
        watched.ask(Request::Delete(Vec::new())).await;
        watched.ask(Request::Leave(Leave::Detach)).await;
    });
    alive(&mut guest);

    // Loaded while the guest runs: it is held before its init until the line
    // that waits for the file is planted; a break-in meanwhile keeps it there.
    run(&mut guest, "rmmod hgfs");
    for broken_into in [false, true] {
        runtime.block_on(async {
            let mut watched = Watched::start(&guest, dir.path()).await;
            let ready = |view: &View| matches!(view.symbols, SymbolsView::Ready);
            watched.until("symbols of vmlinux", ready).await;
            guest.shell().unwrap().break_in().unwrap();
            watched.until("a stop", |view| is_stopped(view) && view.modules.len() == 2).await;
            let line = crate::facts::line_of("hgfs/main.c", "i < ARRAY_SIZE(names)");
            let wish = Request::Break(Breaking::at(BreakKind::Kept, format!("hgfs/main.c:{line}")));
            watched.ask(wish).await;
            let stopped = watched.started.handle.send(Request::Continue);
            type_line(&mut guest, "insmod /lib/modules/hgfs.ko");
            if broken_into {
                let held = |view: &View| view.modules.iter().any(|module| module.name == "hgfs");
                watched.until("hgfs", held).await;
                watched.started.handle.send(Request::BreakIn).await.unwrap().unwrap();
            }
            let Answer::Stop { stop } = stopped.await.unwrap().unwrap() else { panic!("no stop") };
            if broken_into {
                assert_eq!(stop.function.as_deref(), Some("do_init_module"), "{stop:?}");
                let armed = |view: &View| view.breakpoints[0].state == "armed";
                watched.until("its symbols", armed).await;
                let (answer, _) = watched.ask(Request::Continue).await;
                let Answer::Stop { stop } = answer else { panic!("{answer:?}") };
                assert_eq!(stop.line, Some(line as u32), "{stop:?}");
            } else {
                assert_eq!(stop.function.as_deref(), Some("HgfsInit"), "{stop:?}");
                assert_eq!(stop.line, Some(line as u32), "{stop:?}");
            }
            watched.ask(Request::Delete(Vec::new())).await;
            watched.ask(Request::Leave(Leave::Detach)).await;
        });
        alive(&mut guest);
        run(&mut guest, "rmmod hgfs");
    }
    run(&mut guest, "insmod /lib/modules/hgfs.ko");

    // Leaving in the middle of it.
    runtime.block_on(async {
        let mut watched = Watched::start(&guest, dir.path()).await;
        let ready = |view: &View| matches!(view.symbols, SymbolsView::Ready);
        watched.until("symbols of vmlinux", ready).await;
        guest.shell().unwrap().break_in().unwrap();
        watched.until("modules", |view| is_stopped(view) && view.modules.len() == 3).await;
        let (_, took) = watched.ask(Request::Leave(Leave::Detach)).await;
        let began = Instant::now();
        std::sync::Arc::into_inner(watched.started.thread).unwrap().join().unwrap();
        eprintln!("left in {took:.1?}, ended {:.1?} later", began.elapsed());
        assert!(took < Duration::from_secs(2) && began.elapsed() < Duration::from_secs(2));
    });
    alive(&mut guest);
}
